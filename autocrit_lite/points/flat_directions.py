"""Directions in which the Hessian of a network is zero, by construction, and how many they are.

Sankar & Balasubramanian 2018 count zero eigenvalues of ReLU networks. Many of them can be told
beforehand, from the data and from which units are active on which samples. Each of these vectors v
has H v = 0 exactly:

- a weight from an input that is 0 on every sample: neither the loss nor its gradient depends on it;
- a weight into or out of a ReLU unit that is active on no sample, and its bias: likewise nearby;
- a weight from an input (or a unit below) that is 0 on every sample on which the unit is active;
- weights of a unit of the first layer in proportions u with u·x = 0 for every sample x on which
  the unit is active, where inputs are linearly dependent (x ends with the 1 of the bias);
- the same number added to all weights out of a unit of the last hidden layer, or to all biases of
  the outputs: softmax does not change.

Scaling the weights into a ReLU unit by α and those out of it by 1/α does not change the loss
either, but along a curve: its tangent v has H v = −A g, where A has 1 for the weights into the
unit, −1 for those out of it, and g is the gradient. That is 0 at critical points alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..arrays import Array
from ..checks import float_array, one_of, plain_array
from ..networks.losses import LOSSES
from ..networks.mlp import MLP

SOURCES = ("dead inputs", "dead units", "unseen inputs", "dependent inputs", "softmax shift")
"""The families of null vectors, in the order in which they are counted."""

SIGNS = ("negative", "zero", "positive")

DEPENDENT = 1e-10
"""Inputs are dependent where the Gram matrix of the columns, each of length 1, has an eigenvalue
below this. Chosen by us: rounding makes some 1e-13; pixels of 256 grey levels that are no exact
multiples of one another make more than 1e-6."""


class Block(NamedTuple):
    """Null vectors of one source that are zero but for the parameters ``indices`` (m,).

    ``vectors`` (m, k) holds them in columns; None stands for the identity.
    """

    source: str
    indices: Array
    vectors: Array | None


class Reduced(NamedTuple):
    """A network without its dead inputs and units.

    ``theta`` (n',) are the parameters left, ``kept`` (n',) their places in the original θ, and
    ``X`` (N, inputs') the inputs left.
    """

    net: MLP
    theta: Array
    X: Array
    kept: Array


def places(net: MLP) -> list[tuple[Array, Array]]:
    """Return where in θ the weights (out, in) and biases (out,) of each layer lie."""
    parts = net.unflatten(np.arange(net.n_parameters, dtype=np.float64))
    none = np.zeros(0)
    return [(W.astype(int), (none if b is None else b).astype(int)) for W, b in parts]


def activity(net: MLP, theta: Array, X: Array) -> list[Array]:
    """Return where the units of each layer are active: boolean arrays (units, N).

    A ReLU unit is active where its input is above 0; all other units always are.
    """
    found, a = [], X
    for layer, (W, b) in enumerate(net.unflatten(theta)):
        z = a @ W.T + (0.0 if b is None else b)
        hidden = layer < len(net.shapes) - 1
        relu = hidden and net.activation == "relu"
        found.append(z.T > 0.0 if relu else np.ones(z.T.shape, dtype=bool))
        if relu:
            a = np.maximum(z, 0.0)
        elif hidden:
            break  # no unit is ever inactive, here or above
    rest = [np.ones((m, len(X)), dtype=bool) for m in net.layers[1 + len(found) :]]
    return found + rest


def reached(active: list[Array]) -> list[Array]:
    """Return where units are active and so is, in every layer above, a unit that they lead to."""
    found = active[-1:]
    for here in reversed(active[:-1]):
        found.insert(0, here & found[0].any(axis=0))
    return found


def blocks(net: MLP, theta: Array, X: Array, loss: str) -> tuple[list[Array], list[Block]]:
    """Return where units are effectively active, and the null vectors in the order of ``SOURCES``.

    "Effectively": what a unit does on a sample on which none of the units above is active does
    not matter. Null vectors that are no coordinate vectors have supports that do not overlap: a
    unit's own weights in the first layer, or the weights out of one unit in the last.
    """
    where, active = places(net), activity(net, theta, X)
    effective = reached(active)
    alive = [a.any(axis=1) for a in effective]
    ink = X != 0.0
    found = [Block("dead inputs", where[0][0][:, ~ink.any(axis=0)].ravel(), None)]

    for (W, b), (above, _), live in zip(where, where[1:], alive, strict=False):
        dead = (W[~live].ravel(), b[~live] if net.bias else b, above[:, ~live].ravel())
        found.append(Block("dead units", np.concatenate(dead), None))

    seen = [
        here.astype(np.float32) @ below.astype(np.float32).T > 0.0
        for here, below in zip(effective, [ink.T, *active], strict=False)
    ]
    for (W, _), some in zip(where, seen, strict=True):
        found.append(Block("unseen inputs", W[~some], None))

    W, b = where[0]
    for q in np.flatnonzero(alive[0]):
        columns, own = X[effective[0][q]][:, seen[0][q]], W[q, seen[0][q]]
        if net.bias:
            columns = np.hstack([columns, np.ones((len(columns), 1))])
            own = np.append(own, b[q])
        found.append(Block("dependent inputs", own, dependencies(columns)))

    if loss != "mse":
        W, b = where[-1]
        groups = [W[:, j] for j in np.flatnonzero(alive[-2])] + [b] * net.bias
        found += [Block("softmax shift", group, np.ones((len(W), 1))) for group in groups]
    return effective, found


def dependencies(columns: Array) -> Array:
    """Return a basis (m, k), in columns, of the u with ``columns`` (N, m) times u = 0.

    No column may be zero.
    """
    length = np.linalg.norm(columns, axis=0)
    unit = columns / length
    eigenvalues, Q = np.linalg.eigh(unit.T @ unit)
    return Q[:, eigenvalues < DEPENDENT] / length[:, None]


@dataclass(frozen=True)
class NullSpace:
    """The null vectors of a network's Hessian that are known beforehand: see ``null_space``."""

    net: MLP
    theta: Array
    effective: list[Array]
    blocks: tuple[Block, ...]

    def ranks(self) -> dict[str, int]:
        """Return how many zero eigenvalues each source adds to those before it.

        The numbers are the growth of the rank of all null vectors so far, in the order of
        ``SOURCES``, so that none is counted twice, and their sum is the rank of them all. The
        Hessian has at least as many zero eigenvalues.
        """
        ranks = dict.fromkeys(SOURCES, 0)
        covered = np.zeros(self.net.n_parameters, dtype=bool)
        for source, indices, vectors in self.blocks:
            fresh = ~covered[indices]
            if vectors is None:
                ranks[source] += int(fresh.sum())
                covered[indices] = True
            elif vectors.shape[1] and fresh.any():
                # what coordinate vectors do not span already
                ranks[source] += int(np.linalg.matrix_rank(vectors[fresh]))
        return ranks

    def vectors(self) -> dict[str, Array]:
        """Return the null vectors of each source, (n, k) in columns: for small networks.

        A source may repeat what an earlier one holds.
        """
        columns: dict[str, list[Array]] = {source: [] for source in SOURCES}
        for source, indices, vectors in self.blocks:
            own = np.eye(len(indices)) if vectors is None else vectors
            whole = np.zeros((self.net.n_parameters, own.shape[1]))
            whole[indices] = own
            columns[source].append(whole)
        empty = np.zeros((self.net.n_parameters, 0))
        return {source: np.hstack([empty, *parts]) for source, parts in columns.items()}

    def rescaling(self, gradient: Array) -> Array:
        """Return how far the rescalings of ReLU units are from null directions, ascending (k,).

        These are the singular values of H on the span of the rescalings' tangents v, once the
        null vectors are projected out of them. If j of them are at most τ, the Hessian has at
        least j more eigenvalues within ±τ than the rank of the null vectors, by the minimax
        principle for H². They follow from H v = −A g without the Hessian.

        Parameters
        ----------
        gradient : array (n,)
            At θ.

        Raises
        ------
        TypeError, ValueError
            If the gradient is not as described.
        """
        gradient = float_array("gradient", gradient, self.net.n_parameters)
        if self.net.activation != "relu":
            return np.zeros(0)
        signs = np.stack([np.zeros_like(gradient), *self.scalings()], axis=1)[:, 1:]
        V, HV = signs * self.theta[:, None], -signs * gradient[:, None]
        for _, indices, vectors in self.blocks:
            if vectors is None:
                V[indices] = 0.0
            elif vectors.shape[1]:
                Q = np.linalg.qr(vectors)[0]
                V[indices] -= Q @ (Q.T @ V[indices])
        _, R = np.linalg.qr(V)
        return np.linalg.svd(np.linalg.solve(R.T, HV.T), compute_uv=False)[::-1]

    def scalings(self) -> Iterator[Array]:
        """Yield the diagonal (n,) of A for each ReLU unit that is active somewhere."""
        where = places(self.net)
        for (W, b), (above, _), here in zip(where, where[1:], self.effective, strict=False):
            for q in np.flatnonzero(here.any(axis=1)):
                diagonal = np.zeros(self.net.n_parameters)
                diagonal[W[q]] = 1.0
                diagonal[b[q : q + 1]] = 1.0
                diagonal[above[:, q]] = -1.0
                yield diagonal


def null_space(net: MLP, theta: Array, X: Array, loss: str = "cross_entropy") -> NullSpace:
    """Return the null vectors of the Hessian that are known from data and activity alone.

    Parameters
    ----------
    net : MLP
        With one hidden layer or more.
    theta : array (n,)
    X : array (N, inputs)
    loss : {"cross_entropy", "softmax_mse", "mse"}

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    A network with an input that is always 0 and a unit that is never active:

    >>> net = MLP((3, 2, 2), activation="relu")
    >>> theta = net.flatten([(np.ones((2, 3)), np.array([0.0, -9.0])), (np.eye(2), np.zeros(2))])
    >>> X = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    >>> null_space(net, theta, X).ranks()  # doctest: +NORMALIZE_WHITESPACE
    {'dead inputs': 2, 'dead units': 5, 'unseen inputs': 0, 'dependent inputs': 0,
     'softmax shift': 2}
    """
    theta, X = checked(net, theta, X, loss)
    effective, found = blocks(net, theta, X, loss)
    return NullSpace(net, theta, effective, tuple(found))


def without_dead(net: MLP, theta: Array, X: Array) -> Reduced:
    """Return the network without the inputs that are always 0 and the units that never are active.

    It has the same loss, and its Hessian is that of the whole network without rows that are zero.
    One of each layer stays in any case.

    Parameters
    ----------
    net, theta, X
        As in ``null_space``.
    """
    theta, X = checked(net, theta, X, "mse")
    keep = [X.any(axis=0), *(a.any(axis=1) for a in activity(net, theta, X))]
    for layer in keep:
        layer[0] |= not layer.any()
    kept = []
    for (W, b), below, here in zip(places(net), keep, keep[1:], strict=False):
        kept += [W[here][:, below].ravel(), b[here] if net.bias else b]
    index = np.concatenate(kept)
    small = MLP([int(layer.sum()) for layer in keep], net.activation, net.bias)
    return Reduced(small, theta[index], X[:, keep[0]], index)


def forced_zeros(row_norms: Array, tolerances: Array) -> Array:
    """Return how many eigenvalues small rows alone force to within ±τ, for each τ, shape (T,).

    With E the coordinate vectors of k rows, ‖H E‖ is at most the root of the sum of their squared
    norms, and k eigenvalues lie within ± that.

    Parameters
    ----------
    row_norms : array (n,)
        The Euclidean norms of the Hessian's rows.
    tolerances : array (T,)
    """
    bounds = np.sqrt(np.cumsum(np.sort(row_norms) ** 2))
    return np.searchsorted(bounds, tolerances, side="right")


def most_negative(net: MLP, loss: str = "cross_entropy") -> int:
    """Return how many eigenvalues of the Hessian can be negative at most, wherever it is defined.

    With all weights but those of one layer held, and no unit passing its kink, the outputs are an
    affine function of that layer's weights and of its and all later biases, and the loss is a
    convex function of the outputs. So the Hessian is positive semidefinite on the space of these
    parameters, and on its sum with the null vectors of softmax's shift; by the minimax principle
    no more eigenvalues are negative than there are other dimensions. The layer that leaves the
    fewest is taken. An ℓ2 penalty only raises eigenvalues. The squared error of softmax's outputs
    is another loss, and not convex.

    Parameters
    ----------
    net : MLP
        With units of ReLU, or linear.
    loss : {"cross_entropy", "mse"}

    Raises
    ------
    ValueError
        If the units are others, whose curvature has no sign.

    Examples
    --------
    >>> most_negative(MLP((784, 25, 10), activation="relu"))
    225
    """
    one_of("loss", loss, ("cross_entropy", "mse"))
    if net.activation not in ("relu", "linear"):
        raise ValueError(f'net.activation must be "relu" or "linear", not {net.activation!r}')
    weights = [n_out * n_in for n_out, n_in in net.shapes]
    biases = [net.bias * n_out for n_out, _ in net.shapes]
    last = len(weights) - 1
    shifts = net.layers[-2] if loss == "cross_entropy" else 0  # of the last layer's weights
    return min(
        sum(weights) - weights[k] + sum(biases[:k]) - (shifts if k < last else 0)
        for k in range(last + 1)
    )


def counts(eigenvalues: Array, tolerances: Array, zero_rows: int = 0) -> Array:
    """Return how many eigenvalues lie below −τ, within ±τ and above τ: integers (T, 3), ``SIGNS``.

    Parameters
    ----------
    eigenvalues : array (k,)
        Ascending.
    tolerances : array (T,)
        τ. With 0 an eigenvalue is zero only if it is so to the last bit.
    zero_rows : int
        How many rows of zeros were left out before the eigenvalues were computed.

    Raises
    ------
    TypeError, ValueError
        If eigenvalues or tolerances are not as described, or a tolerance is negative.

    Examples
    --------
    >>> counts(np.array([-1.0, -1e-9, 0.0, 2.0]), np.array([0.0, 1e-6]), zero_rows=5).tolist()
    [[2, 6, 1], [1, 7, 1]]
    """
    eigenvalues = float_array("eigenvalues", eigenvalues)
    tolerances = plain_array("tolerances", tolerances)
    if eigenvalues.ndim != 1 or np.any(eigenvalues[1:] < eigenvalues[:-1]):
        raise ValueError(f"eigenvalues must be a vector of ascending numbers, not {eigenvalues!r}")
    if not np.all(tolerances >= 0.0):  # nor NaN
        raise ValueError(f"tolerances must be at least 0, not {tolerances!r}")
    negative = np.searchsorted(eigenvalues, -tolerances, side="left")
    positive = len(eigenvalues) - np.searchsorted(eigenvalues, tolerances, side="right")
    zero = len(eigenvalues) + zero_rows - negative - positive
    return np.stack([negative, zero, positive], axis=-1)


def checked(net: MLP, theta: Array, X: Array, loss: str) -> tuple[Array, Array]:
    """Return θ and X if all arguments are as ``null_space`` describes them, else raise."""
    if not isinstance(net, MLP) or len(net.shapes) < 2:
        raise ValueError(f"net must be an MLP with a hidden layer or more, not {net!r}")
    one_of("loss", loss, LOSSES)
    theta = float_array("theta", theta, net.n_parameters)
    return theta, float_array("X", X, "N", net.layers[0])
