"""Lemma 3.3 and §5 of Cooper 2020, at random points of networks wider than the samples are many.

Only the last layer's weights and biases are moved in most of what is measured: with A = (Φᵀ 1) the
outputs are AW, W (m_{ℓ−1} + 1, m_ℓ) holding M_ℓᵀ and b_ℓ, and the loss is the paper's, ‖AW − Y‖².
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from ...arrays import Array
from ...ground_truth import critical_locus as locus
from ...networks.activations import ACTIVATIONS as KNOWN
from ...networks.mlp import MLP
from ...networks.objective import NetworkObjective
from ...runner.experiment import Arrays
from ...runner.results import Measured
from ...statistics import never
from .locus_points import CONVERGED, CRITICAL, Row, columns, data
from .locus_settings import LocusSettings
from .locus_tables import corrected, measured, without_exception

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": KNOWN["tanh"],
    "swish": KNOWN["swish"],
    "sigmoid": KNOWN["sigmoid"],
    "mirrored": lambda z: -KNOWN["sigmoid"](-z),
    "linear": KNOWN["linear"],
}
"""By name: two of [LDS18]'s kind, the sigmoid of [NMH18], the same with the limit 0 at +∞ that
Theorem 5.10 prints, and one that the theorem excludes."""

LACKING = 1e-13
"""Φ lacks rank if its smallest singular value is below this times the largest: some hundred times
the rounding of a few layers."""

FULL = 1e-9
"""Above this it has full rank so clearly that rounding moves a solution by less than 1e-6."""

NOTHING = 1e-10
"""Relative to the loss of the mean output: no loss, far above what rounding leaves of it."""

STEPS = np.linspace(0.0, 1.0, 21)
"""Where the loss is taken on the lines of Corollary 5.9."""


def lemma(settings: LocusSettings, number: int, networks: int) -> Arrays:
    """Return a row for each of many random networks, wider than the samples are many."""
    rng = settings.generator("lemma", number)
    return columns([_random_network(settings, rng) for _ in range(networks)])


def features(net: MLP, theta: Array, X: Array, activation: Callable[[Array], Array]) -> Array:
    """Return Φᵀ (N, m_{ℓ−1}), the last hidden layer's activations, of any activation."""
    a = X
    for W, b in net.unflatten(theta)[:-1]:
        a = activation(a @ W.T + b)
    return a


def _random_network(settings: LocusSettings, rng: np.random.Generator) -> Row:
    """Return what is measured at random points of one random network.

    ``outside`` is how far the outputs are from b_ℓ after a step from a point of a locus that leaves
    M_ℓ = 0, ``inside`` after one that does not. ``bend`` is the distance of the loss from a
    parabola on a line in the last layer, ``bend_before`` on one in the first. ``rank`` is the
    smallest singular value of Φ over its largest, ``bias_rank`` that of N − 1 features and the
    ones. ``slice_loss`` is the loss at a critical point of the last layer, relative to the mean
    output's; ``narrow_loss`` and ``bias_loss`` are the same with N − 2 and N − 1 of the features.
    ``line_error`` is how far the loss on the line to the nearest such point is from (1 − t)² of its
    first value, ``line_rises`` at how many steps it does not fall. ``bias_curvature`` is ∂²L/∂b²
    over 2N, for one bias of the last layer. ``origin_gradient`` is ‖∇L‖ at zero, to be
    ``origin_expected``, and ``center_gradient`` where only b_ℓ is not zero but ȳ.
    """
    depth = int(rng.choice(settings.lemma_depths))
    N = int(rng.integers(3, settings.lemma_samples + 1))
    hidden = rng.integers(N + 1, 2 * N + 1, size=depth - 1)
    # fewer inputs than samples by two, so that Φ of a linear network lacks rank
    sizes = [int(m) for m in (rng.integers(1, N - 1), *hidden, rng.integers(1, 4))]
    net, activation = MLP(sizes, "tanh"), int(rng.integers(len(ACTIVATIONS)))
    function = list(ACTIVATIONS.values())[activation]
    X, Y = data(rng, N, net)

    def extended(theta: Array) -> Array:
        return np.column_stack([features(net, theta, X, function), np.ones(N)])

    theta = rng.normal(size=net.n_parameters)
    A, W = extended(theta), rng.normal(size=(sizes[-2] + 1, sizes[-1]))

    def loss(A: Array, W: Array) -> float:
        return float(np.sum((A @ W - Y) ** 2))

    def minimum(A: Array, W: Array) -> Array:
        return W + np.linalg.lstsq(A, Y - A @ W, rcond=None)[0]

    def left(count: int) -> float:
        """Return the loss at a critical point of the last layer, with some of its inputs."""
        own = A[:, -count:]  # the ones are the last
        return loss(own, minimum(own, aside[-count:])) / mean

    mean = float(np.sum((Y - Y.mean(axis=0)) ** 2))
    aside, up = rng.normal(size=W.shape), np.zeros_like(W)
    end, up[-1, 0] = minimum(A, W), 1.0
    line = np.array([loss(A, W + t * (end - W)) for t in STEPS]) / loss(A, W)
    step = np.zeros_like(theta)
    step[net.slices[0][0]] = rng.normal(size=sizes[0] * sizes[1])
    outside, inside = _moved(net, X, Y, function, rng)
    # zero, and the point of C_{1…ℓ−1}
    center = np.zeros((2, net.n_parameters))
    center[1, net.slices[-1][1]] = Y.mean(axis=0)
    gradients = NetworkObjective(net, X, Y).value_and_gradient(center)[1] * Y.size
    return {
        "samples": N,
        "outputs": sizes[-1],
        "activation": activation,
        "outside": outside,
        "inside": inside,
        "bend": _bend(lambda t: loss(A, W + t * aside)),
        "bend_before": _bend(lambda t: loss(extended(theta + t * step), W)),
        "rank": 1.0 / np.linalg.cond(A[:, :-1].T),
        "slice_loss": left(sizes[-2] + 1),
        "narrow_loss": left(N - 1),
        "bias_rank": 1.0 / np.linalg.cond(A[:, -N:]),
        "bias_loss": left(N),
        "line_error": np.max(np.abs(line - (1.0 - STEPS) ** 2)),
        "line_rises": np.sum(np.diff(line) >= 0.0),
        "bias_curvature": (loss(A, W + up) + loss(A, W - up) - 2.0 * loss(A, W)) / (2.0 * N),
        "origin_gradient": np.linalg.norm(gradients[0]),
        "origin_expected": 2.0 * np.linalg.norm(Y.sum(axis=0)),
        "center_gradient": np.linalg.norm(gradients[1]),
    }


def _bend(loss: Callable[[float], float]) -> float:
    """Return how far a loss is from the parabola through t = −1, 0 and 1, at 2 and 3, relative."""
    before, here, after = (loss(t) for t in (-1.0, 0.0, 1.0))
    slope, half = (after - before) / 2.0, (after + before) / 2.0 - here
    values = np.array([loss(t) for t in (2.0, 3.0)])
    parabola = here + slope * np.array([2.0, 3.0]) + half * np.array([4.0, 9.0])
    return float(np.max(np.abs(values - parabola)) / np.max(values))


def _moved(
    net: MLP, X: Array, Y: Array, activation: Callable[[Array], Array], rng: np.random.Generator
) -> tuple[float, float]:
    """Return how far outputs are from b_ℓ after two steps from a point of a random locus.

    M_ℓ stays zero in the first, and moves in the second.
    """
    depth, last = len(net.shapes), net.slices[-1][0]
    count = int(rng.integers(1, depth)) if depth > 2 else 1
    indices = tuple(int(k) for k in rng.permutation(np.arange(1, depth))[:count])
    theta = locus.sample(net, Y, indices, rng)
    moved = theta + rng.normal(size=theta.shape)
    held = moved.copy()
    held[last] = theta[last]
    found = []
    for point in (held, moved):
        M, b = net.unflatten(point)[-1]
        outputs = features(net, point, X, activation) @ M.T + b
        found.append(float(np.max(np.abs(outputs - b))))
    return found[0], found[1]


# --- what this says on the paper's statements ---


def lemmas(
    rows: pd.DataFrame, points: pd.DataFrame, dimensions: pd.DataFrame
) -> dict[str, Measured]:
    """Return the claims on Lemma 3.3, §5.1 to §5.3, and the smallest of the cores.

    Parameters
    ----------
    rows, points, dimensions : pandas.DataFrame
        The tables "lemma", "theorem" and "dimension".
    """
    names = np.array(list(ACTIVATIONS))[rows.activation]
    full = rows["rank"] > FULL
    return {
        **_derivatives(rows),
        **_nested(rows, points, dimensions),
        **_slices(rows, names != "linear"),
        **_full_rank(rows[full]),
        **_lines("c20-line", rows[full]),
        **_measure_zero(rows, names),
        **_lines("c20-lines", rows[full & np.isin(names, ("sigmoid", "mirrored"))]),
        **_maxima(rows),
    }


def _derivatives(rows: pd.DataFrame) -> dict[str, Measured]:
    """Lemma 3.3: where M_ℓ = 0 the outputs are b_ℓ, whatever else is moved."""
    move = int(np.sum(rows.outside > 0.0))  # 0 times anything, exactly
    return measured(
        "c20-derivatives",
        f"{move} of {len(rows)} steps",
        never(move, len(rows)),
        outside=rows.outside.max(),
        inside=rows.inside.min(),
    )


def _nested(
    rows: pd.DataFrame, points: pd.DataFrame, dimensions: pd.DataFrame
) -> dict[str, Measured]:
    """§3.1.1: the smallest core, and what repeated indices would make of the others."""
    depth = dimensions.layers.str.count("-")
    smallest = dimensions[dimensions["count"] == depth - 1]
    point = (smallest["rank"] == 0) & (smallest.formula == 0)
    critical = rows.origin_gradient < CRITICAL
    stars = points[(points["count"] == 1) & points.has_hessian]
    saddles = stars.negative > 0
    center = rows.center_gradient < CRITICAL
    off = np.max(np.abs(rows.origin_gradient / rows.origin_expected - 1.0))
    return measured(
        "c20-nested",
        f"zero is critical for {critical.sum()} of {len(rows)} data sets, (0, …, 0, ȳ) for "
        f"{center.sum()}",
        bool(critical.all() and not saddles.any()),
        verdict=corrected(center.all() and point.all(), critical.all()),
        cores=point.sum(),
        networks=len(smallest),
        center=rows.center_gradient.max(),
        least=rows.origin_gradient.min(),
        off=off,
        saddles=saddles.sum(),
        stars=len(stars),
    )


def _slices(rows: pd.DataFrame, analytic: Array) -> dict[str, Measured]:
    """Proposition 5.7: L is quadratic in the last layer."""
    before = rows.bend_before[analytic].median()
    bent = rows.bend > CRITICAL
    return without_exception("c20-slice", bent, "lines", bend=rows.bend.max(), before=before)


def _full_rank(full: pd.DataFrame) -> dict[str, Measured]:
    """Lemma 5.8: no loss is left in the last layer where Φ has rank N."""
    biased = full[full.bias_rank > FULL]
    return without_exception(
        "c20-full-rank",
        full.slice_loss > NOTHING,
        "slices",
        loss=full.slice_loss.max(),
        biased=np.sum(biased.bias_loss < NOTHING),
        of=len(biased),
        narrow=np.sum(full.narrow_loss > NOTHING),
        slices=len(full),
        **_narrow_example(),
    )


def _narrow_example() -> dict[str, Any]:
    """Return ‖∇L‖ and L of the network 1-1-1 at a critical point where Φ = (σ(1) σ(1)).

    x = y = (0, 1), M_1 = 0, b_1 = 1, M_2 = 0, b_2 = ½.
    """
    X = np.array([[0.0], [1.0]])
    point = NetworkObjective(MLP((1, 1, 1), "tanh"), X, X).linearize(np.array([0.0, 1.0, 0.0, 0.5]))
    return {
        "narrow_gradient": float(np.linalg.norm(point.gradient)),
        "example": float(point.value) * X.size,
    }


def _lines(id: str, rows: pd.DataFrame) -> dict[str, Measured]:
    """Corollary 5.9 and Theorem 5.11: along the line to the slice's minimum L is (1 − t)² L."""
    wrong = (rows.line_rises > 0) | (rows.slice_loss > NOTHING)
    error, steps = rows.line_error.max(), len(STEPS) - 1
    return without_exception(id, wrong, "lines", error=error, steps=steps)


def _measure_zero(rows: pd.DataFrame, names: Array) -> dict[str, Measured]:
    """Theorem 5.10: at random parameters Φ has rank N."""
    assumed, linear = rows[names != "linear"], rows[names == "linear"]
    smallest = assumed.groupby(names[names != "linear"])["rank"].min()
    return without_exception(
        "c20-measure-zero",
        assumed["rank"] < LACKING,
        "parameters",
        listed=", ".join(f"{name} {value:.0e}" for name, value in smallest.items()),
        linear=np.sum(linear["rank"] < LACKING),
        of=len(linear),
    )


def _maxima(rows: pd.DataFrame) -> dict[str, Measured]:
    """§5.3 and Corollary 5.19, on local maxima: there are none, since ∂²L/∂b_ℓ² = 2N."""
    curved = np.abs(rows.bias_curvature - 1.0) < 1e-6
    return measured(
        "c20-maxima",
        f"∂²L/∂b_ℓ² = 2N > 0 at {curved.sum()} of {len(rows)} points",
        False,
        verdict="corrected" if curved.all() else None,
        off=np.max(np.abs(rows.bias_curvature - 1.0)),
    )


def no_isolated(found: pd.DataFrame, minima: pd.DataFrame, rank: Array) -> dict[str, Measured]:
    """Proposition 5.13: at every point a space of at least (m + 1 − N) b dimensions keeps L.

    Parameters
    ----------
    found, minima : pandas.DataFrame
        The tables "found" and "minimum".
    rank : array (rows of found,)
        That of Φ with a row of ones, no less than it is.
    """
    tables = {}
    for name, table in (("found", found), ("minima", minima)):
        sizes = table.layers.str.split("-")
        width, outputs = (sizes.str[k].astype(int) for k in (-2, -1))
        tables[name] = table.assign(outputs=outputs, width=width, least=width + 1 - table.samples)
    found = tables["found"].assign(flat_dimension=lambda x: (x.width + 1 - rank) * x.outputs)
    minima = tables["minima"]
    points = found[found.converged & (found.width > found.samples)]
    trained = minima[(minima.loss < CONVERGED) & (minima.width > minima.samples)]
    alone = [int(np.sum(x.flat_dimension < x.least * x.outputs)) for x in (points, trained)]
    of = len(points) + len(trained)
    return measured(
        "c20-isolated",
        f"{sum(alone)} of {of} points",
        never(sum(alone), of),
        low=np.sum(points.negative == 0),
        minima=len(trained),
        walk=points[points.clear].walk_loss_change.max(),
        smallest=_isolated_example(),
    )


def _isolated_example() -> float:
    """Return the smallest eigenvalue of H at a minimum of the network 1-1-1, for four samples.

    x = −1, 0, 1, 2 and y = tanh x, which M_1 = M_2 = 1 and b_1 = b_2 = 0 fit.
    """
    X = np.array([[-1.0], [0.0], [1.0], [2.0]])
    objective = NetworkObjective(MLP((1, 1, 1), "tanh"), X, np.tanh(X))
    H = objective.linearize(np.array([1.0, 0.0, 1.0, 0.0])).hessian() * X.size
    return float(np.linalg.eigvalsh(H)[0])
