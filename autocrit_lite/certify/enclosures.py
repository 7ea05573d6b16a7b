"""Enclosures of a network's loss, gradient, Hessian and third derivative.

Loss and gradient are computed in ball arithmetic at 128 bits (FLINT; Johansson 2017), forward and
backward through the network; the Hessian in float64 balls, as ``networks.dense`` has it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from flint import arb, arb_mat, ctx

from ..arrays import Array
from ..networks.objective import NetworkObjective
from .balls import Balls, U, concatenate, enlarged
from .third_derivative import Samples, bound

BITS = 128
"""Of the midpoints of value and gradient: a point is a sum of two floats, 106 bits or more."""

CHUNK = 1000
"""Samples whose parts of the Hessian are made at once (chosen by us: memory)."""


class Enclosure(Protocol):
    """A function of n parameters whose derivatives can be enclosed, near a point high + low."""

    n: int

    def gradient(self, high: Array, low: Array) -> tuple[arb, list[arb]]:
        """Return balls that contain the value and the gradient at high + low, (n,) each."""

    def hessian(self, high: Array, low: Array) -> Balls:
        """Return balls (n, n) that contain the Hessian there."""

    def third(self, high: Array, low: Array, radius: float) -> float:
        """Return K with ‖H(θ) − H(θ̄)‖ ≤ K‖θ − θ̄‖ wherever ‖θ − θ̄‖ ≤ radius."""


@dataclass(frozen=True)
class Activation:
    """An activation in balls: values and derivatives, and bounds of these on the whole line.

    ``evaluate`` returns σ, σ′, σ″ and σ‴ of a number; ``suprema`` are upper bounds of |σ′|, |σ″|,
    |σ‴| and |σ⁗|.
    """

    evaluate: Callable[[arb], tuple[arb, arb, arb, arb]]
    suprema: tuple[float, float, float, float]


def _sigmoid(z: arb) -> tuple[arb, arb, arb, arb]:
    s = 1 / (1 + (-z).exp())
    first = s * (1 - s)
    return s, first, first * (1 - 2 * s), first * (1 - 6 * first)


def _swish(z: arb) -> tuple[arb, arb, arb, arb]:
    s, first, second, third = _sigmoid(z)
    return z * s, s + z * first, 2 * first + z * second, 3 * second + z * third


def _tanh(z: arb) -> tuple[arb, arb, arb, arb]:
    t = z.tanh()
    first = 1 - t * t
    return t, first, -2 * t * first, -2 * first * (1 - 3 * t * t)


def _linear(z: arb) -> tuple[arb, arb, arb, arb]:
    return z, arb(1), arb(0), arb(0)


ACTIVATIONS: dict[str, Activation] = {
    # all by subdivision in ball arithmetic: see the tests
    "swish": Activation(_swish, (1.1, 0.5003, 0.3085, 0.5006)),
    "tanh": Activation(_tanh, (1.0001, 0.7703, 2.0001, 4.0902)),
    "sigmoid": Activation(_sigmoid, (0.2501, 0.0963, 0.1252, 0.1279)),
    "linear": Activation(_linear, (1.0, 0.0, 0.0, 0.0)),
}


@dataclass(frozen=True)
class Pass:
    """What a forward and backward pass at a point leaves, in balls of float64.

    Attributes
    ----------
    a : list of Balls (N, inputs)
        The inputs of each layer, with a column of ones where the network has biases.
    first, second, third : list of Balls (N, units)
        σ′, σ″ and σ‴ of each hidden layer's pre-activations.
    delta : list of Balls (N, units)
        ∂L/∂z of each layer.
    above : list of Balls (N, units)
        ∂L/∂a of each hidden layer's activations.
    output : Balls (N, outputs)
        The softmax, or the outputs.
    """

    a: list[Balls]
    first: list[Balls]
    second: list[Balls]
    third: list[Balls]
    delta: list[Balls]
    above: list[Balls]
    output: Balls


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
        n_outputs = self.net.layers[-1]
        if self.loss == "cross_entropy" and Y.ndim == 1:
            Y = np.eye(n_outputs)[Y]
        self.X, self.Y = X, np.asarray(Y, dtype=float)
        self.bias = int(self.net.bias)
        self._last: tuple[bytes, Pass] | None = None
        self._gauss_newton: tuple[Pass, Balls] | None = None

    @cached_property
    def _inputs(self) -> arb_mat:
        ones = np.ones((len(self.X), self.bias))
        return arb_mat(np.concatenate([self.X, ones], axis=1).tolist())

    def _weights(self, high: Array, low: Array) -> list[list[list[arb]]]:
        """Return each layer's weights, with its biases as a last column, as rows (out, in + 1)."""
        exact = [arb(h) + arb(x) for h, x in zip(high.tolist(), low.tolist(), strict=True)]
        layers = []
        for (weights, biases), (n_out, n_in) in zip(self.net.slices, self.net.shapes, strict=True):
            w, b = exact[weights], exact[biases]
            layers.append(
                [w[p * n_in : (p + 1) * n_in] + b[p : p + self.bias] for p in range(n_out)]
            )
        return layers

    def gradient(self, high: Array, low: Array) -> tuple[arb, list[arb]]:
        """Return balls that contain loss and gradient at high + low."""
        with ctx.workprec(BITS):
            return self._gradient(high, low)

    def _gradient(self, high: Array, low: Array) -> tuple[arb, list[arb]]:
        N, layers, last = len(self.X), self.net.layers, len(self.net.shapes) - 1
        weights = self._weights(high, low)
        inputs: list[arb_mat] = [self._inputs]
        hidden: list[list[tuple[arb, ...]]] = []
        for layer, rows in enumerate(weights):
            z = (inputs[-1] * arb_mat(rows).transpose()).entries()
            if layer < last:
                hidden.append(list(zip(*map(self.activation.evaluate, z), strict=True)))
                width = layers[layer + 1]
                values = hidden[-1][0]
                inputs.append(
                    arb_mat(
                        [
                            [*values[i * width : (i + 1) * width], *[arb(1)] * self.bias]
                            for i in range(N)
                        ]
                    )
                )
        value, delta, output = self._output(z)
        gradient: list[arb] = []
        deltas, above = [delta], []
        for layer in range(last, -1, -1):
            d = arb_mat(N, layers[layer + 1], deltas[-1])
            by_weight = (d.transpose() * inputs[layer]).tolist()
            n_in = layers[layer]
            own = [x for row in by_weight for x in row[:n_in]]
            gradient = own + [row[n_in] for row in by_weight if self.bias] + gradient
            if layer:
                without = arb_mat([row[:n_in] for row in weights[layer]])
                above.append((d * without).entries())
                first = hidden[layer - 1][1]
                deltas.append([x * f for x, f in zip(above[-1], first, strict=True)])
        self._keep(high, low, inputs, hidden, deltas[::-1], above[::-1], output)
        if self.l2:
            theta = [x for rows in weights for x in _in_order(rows, self.bias)]
            factor = arb(self.l2) / self.n
            value += factor * sum((x * x for x in theta), arb(0))
            gradient = [g + 2 * factor * x for g, x in zip(gradient, theta, strict=True)]
        return value, gradient

    def _output(self, z: list[arb]) -> tuple[arb, list[arb], list[arb]]:
        """Return the data's loss, ∂L/∂z, and the softmax or the outputs, (N·outputs,)."""
        N, width = self.Y.shape
        y = [arb(x) for x in self.Y.ravel().tolist()]
        if self.loss == "mse":
            error = [a - b for a, b in zip(z, y, strict=True)]
            value = sum((e * e for e in error), arb(0)) / (N * width)
            return value, [2 * e / (N * width) for e in error], z
        total, probability = arb(0), []
        for i in range(0, N * width, width):
            row = z[i : i + width]
            shift = max(float(x.mid()) for x in row)
            powers = [(x - shift).exp() for x in row]
            whole = sum(powers, arb(0))
            probability += [e / whole for e in powers]
            total += whole.log() + shift
            total -= sum((x * t for x, t in zip(row, y[i : i + width], strict=True)), arb(0))
        delta = [(p - t) / N for p, t in zip(probability, y, strict=True)]
        return total / N, delta, probability

    def _keep(
        self,
        high: Array,
        low: Array,
        inputs: list[arb_mat],
        hidden: list[list[tuple[arb, ...]]],
        delta: list[list[arb]],
        above: list[list[arb]],
        output: list[arb],
    ) -> None:
        """Keep the pass in balls of float64, for the Hessian at the same point."""
        N, layers = len(self.X), self.net.layers
        widths = layers[1:]
        a = [Balls.of(np.concatenate([self.X, np.ones((N, self.bias))], axis=1))]
        ones = Balls.of(np.ones((N, self.bias)))
        orders = [
            [Balls.from_arb(x, (N, width)) for x in own]
            for own, width in zip(hidden, widths, strict=False)
        ]
        a += [concatenate([own[0], ones], axis=1) for own in orders]
        kept = Pass(
            a,
            [own[1] for own in orders],
            [own[2] for own in orders],
            [own[3] for own in orders],
            [Balls.from_arb(d, (N, width)) for d, width in zip(delta, widths, strict=True)],
            [Balls.from_arb(d, (N, width)) for d, width in zip(above, widths, strict=False)],
            Balls.from_arb(output, (N, widths[-1])),
        )
        self._last = (high.tobytes() + low.tobytes(), kept)

    def passed(self, high: Array, low: Array) -> Pass:
        """Return the pass at a point, computed if it is not the last one."""
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
        H = self._assembled(high, low, exact=True)
        if self.l2:
            diagonal = np.arange(self.n)
            own = H[diagonal, diagonal] + Balls.of(np.array(2.0 * self.l2)) / float(self.n)
            H.middle[diagonal, diagonal], H.radius[diagonal, diagonal] = own.middle, own.radius
        return H

    def _assembled(self, high: Array, low: Array, exact: bool) -> Balls:
        """Return the data's Hessian, or only its Gauss–Newton part."""
        kept, W = self.passed(high, low), self.matrices(high, low)
        places = self._places()
        H = Balls.of(np.zeros((self.n, self.n)))
        blocks: dict[tuple[int, int], Balls] = {}
        for i in range(0, len(self.X), CHUNK):
            rows = slice(i, i + CHUNK)
            for key, block in self._blocks(kept, W, rows, exact):
                blocks[key] = blocks[key] + block if key in blocks else block
        for (layer, k), block in blocks.items():
            here, there = places[layer].ravel(), places[k].ravel()
            H.middle[np.ix_(here, there)], H.radius[np.ix_(here, there)] = (
                block.middle,
                block.radius,
            )
            if k < layer:
                H.middle[np.ix_(there, here)] = block.middle.T
                H.radius[np.ix_(there, here)] = block.radius.T
        return H

    def _places(self) -> list[Array]:
        """Return where in θ each layer's weights lie, (out, in), with the biases as last column."""
        found = []
        for (weights, biases), shape in zip(self.net.slices, self.net.shapes, strict=True):
            own = np.arange(weights.start, weights.stop).reshape(shape)
            bias = np.arange(biases.start, biases.stop).reshape(shape[0], -1)
            found.append(np.concatenate([own, bias], axis=1))
        return found

    def _blocks(
        self, kept: Pass, W: list[Balls], rows: slice, exact: bool
    ) -> list[tuple[tuple[int, int], Balls]]:
        """Return the part of some samples in each block (p·j, q·r) of layers (l, k), k ≤ l.

        Σᵢ T_lk[p, q] a_l[j] a_k[r]  +  Σᵢ D_lk[j, q] δ_l[p] a_k[r], the latter for k < l: see
        ``networks.dense``.
        """
        last = len(W) - 1
        a, first = [x[rows] for x in kept.a], [x[rows] for x in kept.first]
        delta = [x[rows] for x in kept.delta]
        T = {(last, last): self._curvature(kept.output[rows])}
        for layer in range(last, -1, -1):
            if layer < last:
                scaled = first[layer][:, :, None] * (W[layer + 1].T @ T[layer + 1, layer])
                bent = kept.second[layer][rows] * kept.above[layer][rows]
                units = np.arange(scaled.middle.shape[1])
                own = scaled[:, units, units] + bent
                if exact:
                    scaled.middle[:, units, units] = own.middle
                    scaled.radius[:, units, units] = own.radius
                T[layer, layer] = scaled
            for k in range(layer - 1, -1, -1):
                T[layer, k] = (T[layer, k + 1] @ W[k + 1]) * first[k][:, None, :]
        found = []
        for layer in range(last + 1):
            for k in range(layer + 1):
                block = _outer(T[layer, k], a[layer], a[k])
                if exact and k < layer:
                    D = _diagonal(first[k])
                    for m in range(k + 1, layer):
                        D = first[m][:, :, None] * (W[m] @ D)
                    n_in = D.middle.shape[1]
                    second = _outer(D, delta[layer], a[k])  # (j, p, q, r)
                    part = block.middle[:, :n_in], block.radius[:, :n_in]
                    total = Balls(*part) + Balls(
                        second.middle.transpose(1, 0, 2, 3), second.radius.transpose(1, 0, 2, 3)
                    )
                    block.middle[:, :n_in], block.radius[:, :n_in] = total.middle, total.radius
                p, j, q, r = block.middle.shape
                found.append(((layer, k), block.reshape(p * j, q * r)))
        return found

    def _curvature(self, output: Balls) -> Balls:
        """Return ∂²L/∂z² of each sample at the outputs, (N, C, C)."""
        count, (N, C) = len(output.middle), self.Y.shape
        if self.loss == "mse":
            same = Balls.of(np.array(2.0)) / float(N * C)
            eye = np.broadcast_to(np.eye(C), (count, C, C))
            return Balls(eye * same.middle, eye * same.radius)
        pairs = -(output[:, :, None] * output[:, None, :])
        units = np.arange(C)
        own = pairs[:, units, units] + output
        pairs.middle[:, units, units], pairs.radius[:, units, units] = own.middle, own.radius
        return pairs / float(N)

    def third(self, high: Array, low: Array, radius: float) -> float:
        """Return K with ‖H(θ) − H(θ̄)‖ ≤ K‖θ − θ̄‖ wherever ‖θ − θ̄‖ ≤ radius.

        The lesser of what the samples' own matrices give (``third_derivative``) and norms alone.
        """
        kept, (N, C) = self.passed(high, low), self.Y.shape
        if self._gauss_newton is None or self._gauss_newton[0] is not kept:
            self._gauss_newton = kept, self._assembled(high, low, exact=False)
        if self.loss == "mse":
            eye = np.broadcast_to(np.eye(C), (N, C, C))
            factor, cumulant = Balls(eye * np.sqrt(2.0 / C), eye * 1e-15), 0.0
        else:
            roots = Balls(np.sqrt(kept.output.middle), _root_radius(kept.output))
            units = np.arange(C)
            factor = -(roots[:, :, None] * kept.output[:, None, :])
            own = factor[:, units, units] + roots
            factor.middle[:, units, units], factor.radius[:, units, units] = own.middle, own.radius
            cumulant = 0.70711
        samples = Samples(
            kept.a,
            list(zip(kept.first, kept.second, kept.third, strict=True)),
            [d * float(N) for d in kept.delta],
            [d * float(N) for d in kept.above],
            factor,
        )
        suprema = self.activation.suprema
        W = self.matrices(high, low)
        with np.errstate(over="ignore", invalid="ignore"):
            sharp = bound(samples, W, self._gauss_newton[1], suprema, cumulant, radius)
        crude = self._third_by_norms(high, low, radius)
        return min(sharp, crude) if np.isfinite(sharp) else crude

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
        """Return bounds of ‖σ(z)‖ where ‖z‖ ≤ ζ₀: |swish|, |tanh| ≤ |z|; a sigmoid is below 1."""
        return np.full_like(zeta0, np.sqrt(width)) if self.net.activation == "sigmoid" else zeta0


def _root_radius(x: Balls) -> Array:
    """Return how far the square roots of numbers in balls, not negative, are from √middle."""
    root = np.sqrt(x.middle)
    least = np.where(root > 0.0, root, 1.0)
    # |√y − √m| = |y − m| / (√y + √m) ≤ r / √m, and at most √r
    return enlarged(np.minimum(x.radius / least, np.sqrt(x.radius)) + 2.0 * U * root, 8)


def _in_order(rows: list[list[arb]], bias: int) -> list[arb]:
    """Return a layer's parameters as θ has them: all weights, then all biases."""
    weights = [x for row in rows for x in row[: len(row) - bias]]
    return weights + [row[-1] for row in rows if bias]


def _outer(x: Balls, y: Balls, z: Balls) -> Balls:
    """Return Σᵢ x[i, p, q] y[i, j] z[i, r], (p, j, q, r)."""
    N, p, q = x.middle.shape
    j, r = y.middle.shape[1], z.middle.shape[1]
    pairs = (y[:, :, None] * z[:, None, :]).reshape(N, j * r)
    whole = x.reshape(N, p * q).T @ pairs
    order = (0, 2, 1, 3)
    return Balls(
        np.ascontiguousarray(whole.middle.reshape(p, q, j, r).transpose(order)),
        np.ascontiguousarray(whole.radius.reshape(p, q, j, r).transpose(order)),
    )


def _diagonal(x: Balls) -> Balls:
    """Return balls (N, k, k) with x (N, k) on the diagonal."""
    eye = np.eye(x.middle.shape[1])
    return Balls(eye * x.middle[:, None, :], eye * x.radius[:, None, :])
