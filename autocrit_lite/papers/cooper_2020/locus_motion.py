"""The tasks of ``critical_locus`` on how gradient descent leaves loci, and on Frye's plane."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from autograd import grad

from ...arrays import Array
from ...datasets.digits import small_digits
from ...datasets.gaussian import gaussian
from ...finders import newton_mr
from ...ground_truth import critical_locus as locus
from ...ground_truth.cubic import Cubic
from ...ground_truth.neighbourhood import displace
from ...networks.activations import ACTIVATIONS
from ...networks.initialization import initial_theta
from ...networks.mlp import MLP
from ...networks.objective import NetworkObjective
from ...objectives import Objective
from ...runner.experiment import Configuration
from ...training.optimizers import (
    GradientDescent,
    Momentum,
    NoisySGD,
    PerturbedGradientDescent,
    Rule,
    train,
)
from .locus_points import generator

RULES: dict[str, Callable[[float], Rule]] = {
    "plain": lambda rate: GradientDescent(rate),
    "noisy": lambda rate: NoisySGD(rate, noise=0.1),
    "perturbed": lambda rate: PerturbedGradientDescent(rate),
}
"""Gradient descent plain, with noise in every step, and with steps aside where ‖g‖ is small.

The noise and the steps aside are chosen by us, well below the larger of the distances.
"""

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


def escape(configuration: Configuration) -> dict[str, Array]:
    """Return a row for each distance: the steps that runs from around a locus take to leave it.

    The locus has the indices 1 … m. Each start is a random point of it, moved by the distance in
    a random direction of all the coordinates that the locus fixes. The data are the same for all
    tasks, the starts for all rules. ``end_loss`` is the last loss over the locus's, minus 1: once
    it is negative, a method that only goes downhill cannot converge to the locus any more.
    """
    shared = generator(configuration, 0)
    rng = generator(configuration, 0, configuration["depth"], configuration["count"])
    net = MLP(
        (3, *[configuration["width"]] * (configuration["depth"] - 1), 2),
        configuration["activation"],
    )
    X = shared.normal(size=(configuration["samples"], 3))
    Y = X @ shared.normal(size=(3, 2)) + 0.1 * shared.normal(size=(configuration["samples"], 2))
    objective = NetworkObjective(net, X, Y)
    layers = tuple(range(1, configuration["count"] + 1))
    fixed = [f"M_{k}" for k in (*layers, configuration["depth"])]
    fixed += [f"b_{layer}" for layer in range(1, configuration["depth"] + 1)]
    distances = configuration["distances"]
    theta0 = np.concatenate(
        [
            displace(net, locus.sample(net, Y, layers, rng, configuration["starts"]), fixed, d, rng)
            for d in distances
        ]
    )
    loss = np.mean((Y - Y.mean(axis=0)) ** 2)
    rule = RULES[configuration["rule"]](configuration["rate"])
    steps, theta = steps_to_leave(
        objective,
        theta0,
        rule,
        LEFT * loss,
        configuration["limit"],
        generator(configuration).spawn(len(theta0)),
    )
    shape = (len(distances), configuration["starts"])
    return {
        "distance": np.array(distances),
        "start_loss": objective.value_and_gradient(theta0)[0].reshape(shape) / loss - 1.0,
        "steps": steps.reshape(shape),
        "end_loss": objective.value_and_gradient(theta)[0].reshape(shape) / loss - 1.0,
        "end_distance": locus.distance(net, theta, Y, layers).reshape(shape),
    }


def cubic(configuration: Configuration) -> dict[str, Array]:
    """Return a row for each distance from the degenerate saddle of x³ + y³: the control.

    The starts lie in the directions ``angle``, and are the same for all rules.
    """
    rng = generator(configuration, 0)
    distances = np.array(configuration["distances"])
    shape = (len(distances), configuration["cubic_starts"])
    angle = rng.uniform(0.0, 2.0 * np.pi, shape)
    directions = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    theta0 = (distances[:, None, None] * directions).reshape(-1, 2)
    rule = RULES[configuration["rule"]](configuration["rate"])
    with np.errstate(over="ignore", invalid="ignore"):
        steps, theta = steps_to_leave(
            Cubic(),
            theta0,
            rule,
            CUBIC_LEFT,
            configuration["limit"],
            generator(configuration).spawn(len(theta0)),
        )
    return {
        "distance": distances,
        "angle": angle,
        "steps": steps.reshape(shape),
        "end_distance": np.linalg.norm(theta, axis=-1).reshape(shape),
    }


# --- Frye's plane (Frye et al. 2021, Fig. 3D) ---


def digits(rng: np.random.Generator, n_samples: int) -> Array:
    """Return the images of Fig. 3, (n_samples, 16); nothing in them is random."""
    return small_digits(n_samples=n_samples)[0]


def gaussian_data(rng: np.random.Generator, n_samples: int) -> Array:
    """Return z-scored Gaussian samples (n_samples, 16), to compare with."""
    X = gaussian(rng, n_samples)
    return X / X.std(axis=0)


DATA: dict[str, Callable[[np.random.Generator, int], Array]] = {
    "digits": digits,
    "gaussian": gaussian_data,
}
"""Inputs with mean 0 and variance 1, which are the targets too, by name."""


def plane(configuration: Configuration) -> dict[str, Array]:
    """Return a row for each of some points near the loss of the constant mean output.

    ``residual`` is r at the last iterate of a search that has a direction, NaN at exact points.
    """
    X = DATA[configuration["data"]](generator(configuration, 0), configuration["plane_samples"])
    rng = generator(configuration)
    if configuration["points"] not in SEARCHED:
        starts = theta = POINTS[configuration["points"]](X, configuration["size"], rng)
        residual = np.full(len(theta), np.nan)
    else:
        objective = NetworkObjective(FRYE, X, X)
        if configuration["points"] == "trained":
            starts = from_training(objective, configuration["size"], rng)
        else:
            layers = LOCI[configuration["locus"]]
            starts = locus.sample(FRYE, X, layers, rng, size=configuration["size"])
            fixed = [f"{letter}_{k}" for letter in "Mb" for k in (1, 2, 3)]
            starts = displace(FRYE, starts, fixed, configuration["distance"], rng)
        # the settings of Fig. 3, but for the number of iterations
        trace = newton_mr(objective, starts, configuration["max_iterations"], dense=True)
        theta = trace.theta
        residual = np.array([row[np.isfinite(row)][-1] for row in trace.relative_residual])
    return {"theta_start": starts, "residual": residual, **describe_on_plane(theta, X)}


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


def describe_on_plane(theta: Array, X: Array) -> dict[str, Array]:
    """Return where points of Fig. 3's network lie on its plane, and near which loci.

    Parameters
    ----------
    theta : array (K, n)
    X : array (N, 16)
        Inputs and targets.

    Returns
    -------
    dict
        ``loss`` and ``squared_gradient_norm`` (K,), ``index`` (K, 3) at the ``CUTOFFS``,
        ``distance`` (K, 3) from the ``LOCI``, ``matrix_norm`` (K, 3) of M_1 … M_3,
        ``output_spread`` (K,), the largest standard deviation of an output over the samples, and
        ``slope`` (K, 2), the root mean square of σ′ over the units of each hidden layer.
    """
    objective = NetworkObjective(FRYE, X, X)
    rows = []
    for row in theta:
        point = objective.linearize(row)
        eigenvalues = np.linalg.eigvalsh(point.hessian())
        pre_activations = [
            MLP(FRYE.layers[: k + 1]).forward(row[: FRYE.slices[k - 1][1].stop], X) for k in (1, 2)
        ]
        rows.append(
            {
                "loss": float(point.value),
                "squared_gradient_norm": np.sum(point.gradient**2),
                "index": [np.mean(eigenvalues < -cutoff) for cutoff in CUTOFFS],
                "distance": [locus.distance(FRYE, row, X, layers) for layers in LOCI.values()],
                "matrix_norm": [np.linalg.norm(W) for W, _ in FRYE.unflatten(row)],
                "output_spread": FRYE.forward(row, X).std(axis=0).max(),
                "slope": [np.sqrt(np.mean(_slope(z) ** 2)) for z in pre_activations],
            }
        )
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _slope(z: Array) -> Array:
    """Return σ′ of swish, shape (...), at z (...)."""
    slope: Array = grad(lambda t: np.sum(ACTIVATIONS["swish"](t)))(z)
    return slope


def on_locus(name: str) -> Callable[[Array, int, np.random.Generator], Array]:
    """Return what draws points (size, n) of a locus, given the data."""
    return lambda X, size, rng: locus.sample(FRYE, X, LOCI[name], rng, size=size)


def _with_M_2(
    X: Array, size: int, rng: np.random.Generator, change: Callable[[int, Array], Array]
) -> Array:
    """Return points of S_1 whose M_2 is replaced by ``change(number, M_2)``."""
    theta = locus.sample(FRYE, X, LOCI["S_1"], rng, size=size)
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

    return float(brentq(_slope, -2.0, -1.0, xtol=1e-15))


def at_the_minimum_of_swish(X: Array, size: int, rng: np.random.Generator) -> Array:
    """Return critical points with M_3 ≠ 0, which lie on no locus of Cooper's.

    M_1 = 0, and b_2 puts all units of the second layer where σ′ = 0. Then the output is the same
    for all samples, b_3 makes it the mean of the targets, and no gradient passes the second layer.
    """
    theta = locus.sample(FRYE, X, LOCI["S_1"], rng, size=size)
    z, ((_, b_1), (M_2, b_2), (M_3, b_3)) = swish_minimum(), FRYE.slices
    for row in theta:
        row[b_1], row[M_3] = rng.normal(size=8), rng.normal(size=256) / 4.0
        row[b_2] = z - row[M_2].reshape(16, 8) @ ACTIVATIONS["swish"](row[b_1])
        row[b_3] -= row[M_3].reshape(16, 16) @ np.full(16, ACTIVATIONS["swish"](z))
    return theta


POINTS: dict[str, Callable[[Array, int, np.random.Generator], Array]] = {
    **{name: on_locus(name) for name in LOCI},
    "S_1, M_2 of low rank": rank_deficient,
    "S_1, M_2 small": near_core,
    "σ′ = 0": at_the_minimum_of_swish,
}
"""The exact critical points at the loss of the constant mean output, by kind."""
