"""The tasks of ``critical_locus`` on how gradient descent leaves loci, and on Frye's plane."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from autograd import elementwise_grad

from ...arrays import Array
from ...finders import newton_mr
from ...ground_truth import critical_locus as locus
from ...ground_truth.cubic import Cubic
from ...ground_truth.neighbourhood import displace
from ...networks.activations import ACTIVATIONS
from ...networks.initialization import initial_theta
from ...networks.mlp import MLP
from ...networks.objective import NetworkObjective
from ...objectives import Objective
from ...runner.experiment import Arrays
from ...training.optimizers import Momentum, Rule, train
from .locus_points import Row, columns
from .locus_settings import DATA, RULES, LocusSettings

LEFT = 0.9
"""A run has left a locus when its loss is below this times the locus's."""

CUBIC_LEFT = -1.0
"""A run has left the saddle of x³ + y³ when its value is below this."""

FIRST_BLOCK = 500
"""Iterations after which runs that have left are dropped for the first time; then twice as many."""

FRYE = MLP((16, 8, 16, 16), "swish")
"""The network of Frye et al. 2021, Fig. 3."""

LOCI: dict[str, tuple[int, ...]] = {"S_1": (1,), "S_2": (2,), "C_12": (1, 2)}
"""All loci of that network."""

SEARCHED = ("found", "trained")
"""The kinds of points that Newton-MR searches for: from near the loci, and from training."""

HIGH = 0.9
"""Searches start from iterates of training with a loss above this."""

CUTOFFS = (1e-7, 1e-5, 1e-3)
"""Eigenvalues below minus these count for the index; Frye et al. 2021, A.2, take 1e-5."""


# --- leaving (the question of §3.2) ---


def steps_to_leave(
    objective: Objective,
    theta0: Array,
    rule: Rule,
    level: float,
    limit: int,
    rngs: list[np.random.Generator],
) -> tuple[Array, Array]:
    """Return the first iteration with a loss below a level, and where each run ended.

    Runs that have left are dropped after blocks of iterations that grow twofold. A rule's state
    does not outlive a block: of those here it matters to perturbed gradient descent alone, which
    may then step aside earlier than its wait.

    Parameters
    ----------
    objective : Objective
    theta0 : array (B, n)
    rule : Rule
    level : float
    limit : int
        Iterations after which runs that have not left are given up.
    rngs : list of B numpy.random.Generator

    Returns
    -------
    steps : array (B,)
        NaN for runs that have not left.
    theta : array (B, n)
        Somewhat later than the leaving, or after ``limit``.
    """
    theta, steps = np.array(theta0), np.full(len(theta0), np.nan)
    rows, done, block = np.arange(len(theta0)), 0, FIRST_BLOCK
    while rows.size and done < limit:
        block = min(block, limit - done)
        own = [rngs[row] for row in rows] if rule.random else None
        trajectory = train(objective, theta[rows], rule, block, rng=own, memory=2**25)
        theta[rows] = trajectory.final
        below = trajectory.value < level
        left = below.any(axis=1)
        steps[rows[left]] = done + below[left].argmax(axis=1)
        rows, done, block = rows[~left], done + block, 2 * block
    return steps, theta


def escape(settings: LocusSettings, number: int, depth: int, count: int, rule: str) -> Arrays:
    """Return a row for each distance: the steps that runs from around a locus take to leave it.

    The locus has the indices 1 … m. Each start is a random point of it, moved by the distance in
    a random direction of all the coordinates that the locus fixes. The data are the same for all
    tasks, the starts for all rules. ``end_loss`` is the last loss over the locus's, minus 1: once
    it is negative, a method that only goes downhill cannot converge to the locus any more.
    """
    shared = settings.generator("escape", 0)
    rng = settings.generator("escape", 0, depth, count)
    net = MLP((3, *[settings.escape_width] * (depth - 1), 2), settings.escape_activation)
    N = settings.escape_samples
    X = shared.normal(size=(N, 3))
    Y = X @ shared.normal(size=(3, 2)) + 0.1 * shared.normal(size=(N, 2))
    objective = NetworkObjective(net, X, Y)
    indices = tuple(range(1, count + 1))
    fixed = [f"M_{k}" for k in (*indices, depth)] + [f"b_{k}" for k in range(1, depth + 1)]
    starts = [
        displace(net, locus.sample(net, Y, indices, rng, settings.starts), fixed, distance, rng)
        for distance in settings.distances
    ]
    theta0, loss = np.concatenate(starts), np.mean((Y - Y.mean(axis=0)) ** 2)
    rngs = settings.generator("escape", number).spawn(len(theta0))
    method = RULES[rule](settings.rate)
    steps, theta = steps_to_leave(objective, theta0, method, LEFT * loss, settings.limit, rngs)
    found = {
        "start_loss": objective.value_and_gradient(theta0)[0] / loss - 1.0,
        "steps": steps,
        "end_loss": objective.value_and_gradient(theta)[0] / loss - 1.0,
        "end_distance": locus.distance(net, theta, Y, indices),
    }
    rows = {name: array.reshape(len(starts), -1) for name, array in found.items()}
    return {"distance": np.array(settings.distances), **rows}


def cubic(settings: LocusSettings, number: int, rule: str) -> Arrays:
    """Return a row for each distance from the degenerate saddle of x³ + y³: the control.

    The starts lie in the directions ``angle``, and are the same for all rules.
    """
    distance = np.array(settings.distances)
    shape = (len(distance), settings.cubic_starts)
    angle = settings.generator("cubic", 0).uniform(0.0, 2.0 * np.pi, shape)
    directions = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    theta0 = (distance[:, None, None] * directions).reshape(-1, 2)
    rngs = settings.generator("cubic", number).spawn(len(theta0))
    method = RULES[rule](settings.rate)
    with np.errstate(over="ignore", invalid="ignore"):
        steps, theta = steps_to_leave(Cubic(), theta0, method, CUBIC_LEFT, settings.limit, rngs)
    end, steps = np.linalg.norm(theta, axis=-1).reshape(shape), steps.reshape(shape)
    return {"distance": distance, "angle": angle, "steps": steps, "end_distance": end}


# --- Frye's plane (Frye et al. 2021, Fig. 3D) ---


def plane(
    settings: LocusSettings,
    number: int,
    points: str,
    locus: str,
    size: int,
    distance: float = 0.0,
    max_iterations: int = 0,
) -> Arrays:
    """Return a row for each of some points near the loss of the constant mean output.

    They are exact, or found by a search from training or from a distance from a locus. ``residual``
    is r at the last iterate of a search that has a direction, NaN at exact points.
    """
    X = DATA[settings.data](settings.generator("plane", 0), settings.plane_samples)
    rng = settings.generator("plane", number)
    objective = NetworkObjective(FRYE, X, X)
    if points in POINTS:
        starts = theta = POINTS[points](X, size, rng)
        residual = np.full(len(theta), np.nan)
    else:
        if points == "trained":
            starts = from_training(objective, size, rng)
        else:
            fixed = [f"{letter}_{k}" for letter in "Mb" for k in (1, 2, 3)]
            starts = displace(FRYE, on_locus(locus, X, size, rng), fixed, distance, rng)
        # the settings of Fig. 3, but for the number of iterations
        trace = newton_mr(objective, starts, max_iterations, dense=True)
        theta = trace.theta
        residual = np.array([row[np.isfinite(row)][-1] for row in trace.relative_residual])
    rows = [_on_plane(objective, row, X) for row in theta]
    return {"theta_start": starts, "residual": residual, **columns(rows)}


def from_training(objective: NetworkObjective, size: int, rng: np.random.Generator) -> Array:
    """Return starts (size, n) as in Fig. 3, but from the beginning of training only.

    One iterate of each run, drawn from those whose loss is above ``HIGH``, near that of the
    constant mean output, which is 1.
    """
    starts = []
    for _ in range(size):
        theta0 = initial_theta(FRYE, "unit_rows", rng)
        run = train(objective, theta0, Momentum(0.1, 0.9), 20)  # Frye et al. 2021, A.2
        high = np.flatnonzero(run.value >= min(HIGH, run.value.max()))
        starts.append(run.theta[rng.choice(high)])
    return np.stack(starts)


def _on_plane(objective: NetworkObjective, theta: Array, X: Array) -> Row:
    """Return where a point θ (n,) of Fig. 3's network lies on its plane, and near which loci.

    ``index`` (3) is taken at the ``CUTOFFS``, ``distance`` (3) is that from the ``LOCI``,
    ``matrix_norm`` (3) that of M_1 … M_3. ``output_spread`` is the largest standard deviation of an
    output over the samples, ``slope`` (2) the root mean square of σ′ over the units of each hidden
    layer.
    """
    point = objective.linearize(theta)
    eigenvalues = np.linalg.eigvalsh(point.hessian())
    pre_activations = [
        MLP(FRYE.layers[: k + 1]).forward(theta[: FRYE.slices[k - 1][1].stop], X) for k in (1, 2)
    ]
    return {
        "loss": float(point.value),
        "squared_gradient_norm": np.sum(point.gradient**2),
        "index": [np.mean(eigenvalues < -cutoff) for cutoff in CUTOFFS],
        "distance": [locus.distance(FRYE, theta, X, indices) for indices in LOCI.values()],
        "matrix_norm": [np.linalg.norm(W) for W, _ in FRYE.unflatten(theta)],
        "output_spread": FRYE.forward(theta, X).std(axis=0).max(),
        "slope": [np.sqrt(np.mean(slope(z) ** 2)) for z in pre_activations],
    }


slope: Callable[[Array], Array] = elementwise_grad(ACTIVATIONS["swish"])
"""σ′ of swish, shape (...), at z (...)."""


def on_locus(name: str, X: Array, size: int, rng: np.random.Generator) -> Array:
    """Return points (size, n) of a locus, given the data."""
    return locus.sample(FRYE, X, LOCI[name], rng, size=size)


def _with_M_2(
    X: Array, size: int, rng: np.random.Generator, change: Callable[[int, Array], Array]
) -> Array:
    """Return points of S_1 whose M_2 is replaced by ``change(number, M_2)``."""
    theta = on_locus("S_1", X, size, rng)
    where, shape = FRYE.slices[1][0], FRYE.shapes[1]
    for number, row in enumerate(theta):
        row[where] = change(number, row[where].reshape(shape)).ravel()
    return theta


def rank_deficient(X: Array, size: int, rng: np.random.Generator) -> Array:
    """Return points of S_1 with M_2 of rank 0, 1, …, 8, 0, …: the last of them lie on C_12 too."""

    def truncated(number: int, M_2: Array) -> Array:
        U, s, Vt = np.linalg.svd(M_2, full_matrices=False)
        s[number % 9 :] = 0.0
        return (U * s) @ Vt

    return _with_M_2(X, size, rng, truncated)


def near_core(X: Array, size: int, rng: np.random.Generator) -> Array:
    """Return points of S_1 that lie ever closer to C_12: M_2 a quarter of the last one's size."""
    return _with_M_2(X, size, rng, lambda number, M_2: M_2 * 0.25**number)


def swish_minimum() -> float:
    """Return where swish is lowest, about −1.278: σ′ = 0 there, since swish is not monotone."""
    from scipy.optimize import brentq  # here, since it slows every start of the command

    return float(brentq(slope, -2.0, -1.0, xtol=1e-15))


def at_the_minimum_of_swish(X: Array, size: int, rng: np.random.Generator) -> Array:
    """Return critical points with M_3 ≠ 0, which lie on no locus of Cooper's.

    M_1 = 0, and b_2 puts all units of the second layer where σ′ = 0. Then the output is the same
    for all samples, b_3 makes it the mean of the targets, and no gradient passes the second layer.
    """
    theta = on_locus("S_1", X, size, rng)
    z, ((_, b_1), (M_2, b_2), (M_3, b_3)) = swish_minimum(), FRYE.slices
    for row in theta:
        row[b_1], row[M_3] = rng.normal(size=8), rng.normal(size=256) / 4.0
        row[b_2] = z - row[M_2].reshape(16, 8) @ ACTIVATIONS["swish"](row[b_1])
        row[b_3] -= row[M_3].reshape(16, 16) @ np.full(16, ACTIVATIONS["swish"](z))
    return theta


POINTS: dict[str, Callable[[Array, int, np.random.Generator], Array]] = {
    **{name: partial(on_locus, name) for name in LOCI},
    "S_1, M_2 of low rank": rank_deficient,
    "S_1, M_2 small": near_core,
    "σ′ = 0": at_the_minimum_of_swish,
}
"""The exact critical points at the loss of the constant mean output, by kind."""
