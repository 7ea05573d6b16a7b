"""Enclosures of a network's loss, gradient, Hessian and third derivative.

Loss and gradient are computed in balls of some 106 bits (``pairs``), forward and backward through
the network; the Hessian in float64 balls, as ``networks.dense`` has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from flint import arb, ctx

from ..arrays import Array
from ..networks.objective import NetworkObjective
from .activations import ACTIVATIONS
from .balls import Balls, Stack, U, enlarged
from .pairs import Pairs, dot, joined, two_sum
from .third_derivative import Pass, bound, coefficients, largest_eigenvalue

BITS = 128
"""Of FLINT's balls, in which value and gradient are summed up and multiplied."""

CHUNK = 1000
"""Samples that go through the network together (chosen by us: a core's cache holds them)."""


class Enclosure(Protocol):
    """A function of n parameters whose derivatives can be enclosed, near a point high + low."""

    n: int

    def gradient(self, high: Array, low: Array) -> tuple[arb, list[arb]]:
        """Return balls that contain the value and the gradient at high + low, (n,) each."""

    def hessian(self, high: Array, low: Array) -> Balls:
        """Return balls (n, n) that contain the Hessian there."""

    def third(self, high: Array, low: Array, radius: float) -> float:
        """Return K with ‖H(θ) − H(θ̄)‖ ≤ K‖θ − θ̄‖ wherever ‖θ − θ̄‖ ≤ radius."""


class NetworkEnclosure:
    """The enclosures of a ``NetworkObjective``.

    Raises
    ------
    ValueError
        If the network's activation or its loss has none.
    """

    def __init__(self, objective: NetworkObjective) -> None:
        self.net = objective.net
        if self.net.activation not in ACTIVATIONS:
            raise ValueError(
                f"objective must have one of the activations {', '.join(ACTIVATIONS)}, "
                f"not {self.net.activation}"
            )
        self.activation = ACTIVATIONS[self.net.activation]
        self.n = self.net.n_parameters
        X, Y = (np.asarray(array) for array in objective._data)
        self.loss, self.l2 = objective._options["loss"], float(objective._options["l2"])
        if self.loss == "softmax_mse":
            raise ValueError(
                'objective must have the loss "mse" or "cross_entropy", not softmax_mse'
            )
        if self.loss == "cross_entropy" and Y.ndim == 1:
            Y = np.eye(self.net.layers[-1])[Y]
        self.X, self.Y = X, np.asarray(Y, dtype=float)
        self.bias = int(self.net.bias)
        self._last: tuple[bytes, list[Pass]] | None = None
        self._gauss_newton: tuple[list[Pass], float] | None = None

    def gradient(self, high: Array, low: Array) -> tuple[arb, list[arb]]:
        """Return balls that contain loss and gradient at high + low."""
        theta = Pairs(*two_sum(high, low), np.zeros_like(high))
        layers = [theta[where] for where in self._places()]
        kept: list[Pass] = []
        with ctx.workprec(BITS), np.errstate(over="ignore", invalid="ignore"):
            value = arb(0)
            sums = [Pairs.of(np.zeros_like(W.high)) for W in layers]
            for i in range(0, len(self.X), CHUNK):
                part, gradients, there = self._through(layers, slice(i, i + CHUNK))
                value += part
                sums = [x + y for x, y in zip(sums, gradients, strict=True)]
                kept.append(there)
            factor = arb(self.l2) / self.n
            gradient = [2 * factor * x for x in theta.numbers()]
            value = value / len(self.X) + factor * sum((x * x for x in theta.numbers()), arb(0))
            for where, own in zip(self._places(), sums, strict=True):
                for k, x in zip(where.ravel().tolist(), own.numbers(), strict=True):
                    gradient[k] += x / len(self.X)
        self._last = (high.tobytes() + low.tobytes(), kept)
        return value, gradient

    def _through(self, layers: list[Pairs], rows: slice) -> tuple[arb, list[Pairs], Pass]:
        """Return some samples' Σℓ, its gradient by each layer (out, in + 1), and their pass."""
        X, last = self.X[rows], len(layers) - 1
        ones = Pairs.of(np.ones((len(X), self.bias)))
        inputs = [Pairs.of(np.concatenate([X, ones.high], axis=1))]
        hidden, margin = [], []
        for layer, W in enumerate(layers):
            z = inputs[-1] @ W.T
            if layer < last:
                hidden.append(self.activation.evaluate(z))
                margin.append(np.full(len(X), np.inf))
                if not self.activation.smooth:
                    margin[-1] = np.min(z.balls.least, axis=1)
                inputs.append(joined(hidden[-1][0], ones))
        value, delta, output = self._output(z, self.Y[rows])
        deltas, above, gradients = [delta], [], []
        for layer in range(last, -1, -1):
            gradients.append(deltas[-1].T @ inputs[layer])
            if layer:
                above.append(deltas[-1] @ layers[layer][:, : self.net.layers[layer]])
                deltas.append(above[-1] * hidden[layer - 1][1])
        kept = Pass(
            [a.balls for a in inputs],
            [own[1].balls for own in hidden],
            [own[2] for own in hidden],
            [own[3] for own in hidden],
            [d.balls for d in deltas[::-1]],
            [d.balls for d in above[::-1]],
            output.balls,
            margin,
        )
        return value, gradients[::-1], kept

    def _output(self, z: Pairs, Y: Array) -> tuple[arb, Pairs, Pairs]:
        """Return Σℓ of samples, ∂ℓ/∂z (N, outputs), and the softmax or the outputs."""
        target = Pairs.of(Y)
        if self.loss == "mse":
            error, width = z - target, float(Y.shape[1])
            return dot(error, error) / width, error * 2.0 / width, z
        z = z - np.max(z.high, axis=1, keepdims=True)
        powers = z.exp()
        whole = powers.sum(axis=1)
        product = arb(1)
        for x in whole.numbers():
            product *= x
        probability = powers / whole[:, None]
        return product.log() - dot(target, z), probability - target, probability

    def passed(self, high: Array, low: Array) -> list[Pass]:
        """Return the passes of all samples at a point, computed if it is not the last one."""
        key = high.tobytes() + low.tobytes()
        if self._last is None or self._last[0] != key:
            self.gradient(high, low)
        assert self._last is not None
        return self._last[1]

    def matrices(self, high: Array, low: Array) -> list[Balls]:
        """Return balls of the weights (out, in) of each layer, without biases."""
        theta = Balls.of(high) + Balls.of(low)
        return [
            theta[weights].reshape(*shape)
            for (weights, _), shape in zip(self.net.slices, self.net.shapes, strict=True)
        ]

    def hessian(self, high: Array, low: Array) -> Balls:
        """Return balls (n, n) that contain the Hessian at high + low."""
        with np.errstate(over="ignore", invalid="ignore"):
            H = self._assembled(high, low, exact=True)
        if self.l2:
            diagonal = np.arange(self.n)
            own = H[diagonal, diagonal] + Balls.of(np.array(2.0 * self.l2)) / float(self.n)
            H.middle[diagonal, diagonal], H.radius[diagonal, diagonal] = own.middle, own.radius
        return H

    def _assembled(self, high: Array, low: Array, exact: bool) -> Balls:
        """Return the data's Hessian, or only its Gauss–Newton part.

        Block (l, k), k ≤ l, is Σᵢ T_lk[p, q] a_l[j] a_k[r] over samples, and for k < l also
        Σᵢ δ_l[p] D_lk[j, q] a_k[r]: see ``networks.dense``.
        """
        W, places = self.matrices(high, low), self._places()
        sums: dict[tuple[int, int, bool], Balls] = {}
        for kept in self.passed(high, low):
            for key, part in self._parts(kept, W, exact):
                sums[key] = sums[key] + part if key in sums else part
        H = Balls.of(np.zeros((self.n, self.n)))
        for (layer, k, curved), part in sums.items():
            here = places[layer] if curved else places[layer][:, : self.net.layers[layer]].T
            rows, columns = here[:, None, :, None], places[k][None, :, None, :]
            shape = np.broadcast_shapes(rows.shape, columns.shape)
            own = H[rows, columns] + part.reshape(*shape) / float(len(self.X))
            for i, j in {(layer, k): (rows, columns), (k, layer): (columns, rows)}.values():
                H.middle[i, j], H.radius[i, j] = own.middle, own.radius
        return H

    def _places(self) -> list[Array]:
        """Return where in θ each layer's weights lie, (out, in), with the biases as last column."""
        found = []
        for (weights, biases), shape in zip(self.net.slices, self.net.shapes, strict=True):
            own = np.arange(weights.start, weights.stop).reshape(shape)
            bias = np.arange(biases.start, biases.stop).reshape(shape[0], -1)
            found.append(np.concatenate([own, bias], axis=1))
        return found

    def _parts(
        self, kept: Pass, W: list[Balls], exact: bool
    ) -> Iterator[tuple[tuple[int, int, bool], Balls]]:
        """Yield what some samples add to each block: T's part (pq, jr), D's (jq, pr)."""
        last, a, first = len(W) - 1, kept.a, kept.first
        T = below = self._curvature(kept.output)
        for layer in range(last, -1, -1):
            if layer < last:
                # the transpose of T, which is symmetric
                T = (below.T @ W[layer + 1]).scaled(first[layer])
                if exact:
                    T = T + Stack.diagonal(kept.second[layer] * kept.above[layer])
            row = T
            for k in range(layer, -1, -1):
                if k < layer:
                    row = (row @ W[k + 1]).scaled(first[k])
                    if k == layer - 1:
                        below, D = row, Stack.diagonal(first[k])
                    else:
                        D = (D @ W[k + 1]).scaled(first[k])
                    if exact:
                        yield (layer, k, False), D.outer(kept.delta[layer], a[k])
                yield (layer, k, True), row.outer(a[layer], a[k])

    def _curvature(self, output: Balls) -> Stack:
        """Return ∂²ℓ/∂z² of each sample at the outputs, (N, C, C)."""
        N, C = output.middle.shape
        if self.loss == "mse":
            return Stack.diagonal(Balls.of(np.full((N, C), 2.0)) / float(C))
        pairs = output[:, :, None] * output[:, None, :]
        return Stack.diagonal(output) + Stack.of(-pairs)

    def third(self, high: Array, low: Array, radius: float) -> float:
        """Return K with ‖H(θ) − H(θ̄)‖ ≤ K‖θ − θ̄‖ wherever ‖θ − θ̄‖ ≤ radius.

        The lesser of what the samples' own matrices give (``third_derivative``) and norms alone.
        Infinite where the input of a ReLU may vanish.
        """
        passes, W = self.passed(high, low), self.matrices(high, low)
        if self._gauss_newton is None or self._gauss_newton[0] is not passes:
            with np.errstate(over="ignore", invalid="ignore"):
                G = self._assembled(high, low, exact=False)
            self._gauss_newton = passes, largest_eigenvalue(G)
        suprema, cumulant = self.activation.suprema, 0.0 if self.loss == "mse" else 0.70711
        with np.errstate(over="ignore", invalid="ignore"):
            parts = [
                coefficients(kept, self._factor(kept.output), W, suprema, cumulant, radius)
                for kept in passes
            ]
            A, B, C, cap = (np.concatenate(x) for x in zip(*parts, strict=True))
            sharp = bound(A, B, C, cap, self._gauss_newton[1])
            crude = self._third_by_norms(high, low, radius)
        if not np.isfinite(sharp):
            return crude if self.activation.smooth else np.inf
        return min(sharp, crude)

    def _factor(self, output: Balls) -> Stack:
        """Return F with FᵀF = ∂²ℓ/∂z² of each sample, (N, C, C)."""
        N, C = output.middle.shape
        if self.loss == "mse":
            return Stack.diagonal(Balls(np.full((N, C), np.sqrt(2.0 / C)), np.full((N, C), 1e-15)))
        roots = Balls(np.sqrt(output.middle), _root_radius(output))
        pairs = roots[:, :, None] * output[:, None, :]
        return Stack.diagonal(roots) + Stack.of(-pairs)

    def _third_by_norms(self, high: Array, low: Array, radius: float) -> float:
        """Return such a K from the norms of the layers alone.

        Layer by layer, from norms: ζ_m bounds the m-th derivative of a layer's pre-activations
        along a unit direction, α_m that of its activations; the third cumulant of a softmax is at
        most √2/2, its variance at most 1/2, and the gradient of cross-entropy at most √2.
        """
        N, C = self.Y.shape
        S1, S2, S3, _ = self.activation.suprema
        norms = [w.spectral_norm() + radius for w in self.matrices(high, low)]
        biases = [sum(np.linalg.norm(x[b]) for x in (high, low)) for _, b in self.net.slices]
        size = np.sqrt(np.sum(self.X**2, axis=1))
        alpha1 = alpha2 = alpha3 = np.zeros(N)
        for layer, w in enumerate(norms):
            extended = np.sqrt(size**2 + self.bias)
            zeta0 = w * size + biases[layer] + radius
            zeta1 = extended + w * alpha1
            zeta2 = 2.0 * alpha1 + w * alpha2
            zeta3 = 3.0 * alpha2 + w * alpha3
            alpha1 = S1 * zeta1
            alpha2 = S2 * zeta1**2 + S1 * zeta2
            alpha3 = S3 * zeta1**3 + 3.0 * S2 * zeta1 * zeta2 + S1 * zeta3
            size = self._activation_norm(zeta0, self.net.layers[layer + 1])
        if self.loss == "mse":
            error = zeta0 + np.sqrt(np.sum(self.Y**2, axis=1))
            terms = 6.0 / C * zeta1 * zeta2 + 2.0 / C * error * zeta3
        else:
            root = np.sqrt(2.0)
            terms = root / 2.0 * zeta1**3 + 1.5 * zeta1 * zeta2 + root * zeta3
        return float(np.mean(terms) * (1.0 + 1e-9))  # fewer than 1e5 roundings, none cancels

    def _activation_norm(self, zeta0: Array, width: int) -> Array:
        """Return bounds of ‖σ(z)‖ where ‖z‖ ≤ ζ₀: |σ(z)| ≤ |z|, but a sigmoid is below 1."""
        return np.full_like(zeta0, np.sqrt(width)) if self.net.activation == "sigmoid" else zeta0


def _root_radius(x: Balls) -> Array:
    """Return how far the square roots of numbers in balls, not negative, are from √middle."""
    root = np.sqrt(x.middle)
    least = np.where(root > 0.0, root, 1.0)
    # |√y − √m| = |y − m| / (√y + √m) ≤ r / √m, and at most √r
    return enlarged(np.minimum(x.radius / least, np.sqrt(x.radius)) + 2.0 * U * root, 8)
