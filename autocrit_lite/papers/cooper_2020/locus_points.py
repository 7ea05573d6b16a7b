"""The tasks of ``critical_locus`` that look at points: on the loci, found by finders, minima."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations

import numpy as np
from autograd import jacobian

from ...arrays import Array
from ...finders import levenberg_marquardt, newton_mr
from ...ground_truth import critical_locus as locus
from ...ground_truth.flat_subspace import flat_subspace
from ...ground_truth.neighbourhood import displace, nearby_critical_points
from ...networks.initialization import initial_theta
from ...networks.mlp import MLP
from ...networks.objective import NetworkObjective
from ...runner.experiment import Arrays
from ...training.optimizers import GradientDescent, train
from .locus_settings import ACTIVATIONS, LocusSettings

STARTS = ("random", "star", "core", "narrow")
FINDERS = ("newton_mr", "levenberg_marquardt")

ZERO = 1e-10
"""At points that are exact to rounding: an eigenvalue below this times the largest is zero."""

CRITICAL = 1e-12
"""At such points: ‖∇L‖ below this is rounding (all losses here are of order 1)."""

CONVERGED = 1e-20
"""On ‖g‖², for the points that finders end at: ten decades below Frye et al. 2019's 1e-10."""

UNCLEAR = (1e-8, 1e-4)
"""There: eigenvalues of H and singular values of Φ̃ up to the one, times the largest, count as zero,
those above the other as nonzero; between the two it is not known."""

DEGENERATE = 1e-3
"""Length of the steps around a point that a manifold of critical points is looked for with."""


Row = Mapping[str, object]
"""A row of a table: numbers, or arrays as long as in the other rows."""


def columns(rows: Sequence[Row]) -> Arrays:
    """Return a table by columns."""
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def data(rng: np.random.Generator, n_samples: int, net: MLP) -> tuple[Array, Array]:
    """Return Gaussian inputs and targets, the latter with mean near 1."""
    X = rng.normal(size=(n_samples, net.layers[0]))
    return X, rng.normal(size=(n_samples, net.layers[-1])) + 1.0


def gradient_norm(objective: NetworkObjective, theta: Array) -> Array:
    """Return ‖∇L‖, shape (...), at theta (..., n)."""
    return np.linalg.norm(objective.value_and_gradient(theta)[1], axis=-1)


# --- dimensions (§3.1.1, Proposition 6.1) ---


def dimension(settings: LocusSettings, number: int, layers: Sequence[int]) -> Arrays:
    """Return a row for each locus of up to three indices of one network."""
    net = MLP(layers, "tanh")
    rng = settings.generator("dimension", number)
    X, Y = data(rng, settings.dimension_samples, net)
    depth = len(layers) - 1
    return columns(
        [
            _component(net, X, Y, indices, rng)
            for count in range(1, min(depth, 4))
            for indices in combinations(range(1, depth), count)
        ]
    )


def _component(
    net: MLP, X: Array, Y: Array, indices: tuple[int, ...], rng: np.random.Generator
) -> Row:
    """Return the dimension of a locus by formula, by differences of points and by curvature.

    ``locus`` holds the indices as digits: 13 for C₁₃. ``rank`` is that of the differences of
    sampled points. ``zeros`` and ``expected_zeros`` count the Hessian's zero eigenvalues, measured
    and by `locus.hessian_eigenvalues`. ``around`` is the dimension of the manifold of critical
    points through a point of a star locus, 0 if none was found. ``breaking`` (12) says for
    M_1 … M_6, b_1 … b_6 whether a step in it alone ends criticality, ``order`` how many of the zero
    matrices have to move for that, and ``growth`` with which power of the step ‖∇L‖ grows when all
    of them do. ``slice_zeros`` is the nullity of the Hessian in the last layer alone, whose level
    sets Theorem 5.15 is about; ``flat`` and ``flat_printed`` are the dimensions of its linear
    space, with r̃ and as printed.
    """
    objective = NetworkObjective(net, X, Y)
    formula = locus.dimension(net, indices)
    points = locus.sample(net, Y, indices, rng, size=formula + 5)
    theta = points[0]
    H = objective.linearize(theta).hessian()
    expected = locus.hessian_eigenvalues(net, theta, X, Y, indices)
    zeros, last = _zeros(H), net.slices[-1][0].start
    flat = flat_subspace(net, theta, X)
    depth = len(net.layers) - 1

    def moved(blocks: Sequence[str], length: float = 1e-2) -> float:
        return float(gradient_norm(objective, displace(net, theta, blocks, length, rng)))

    breaking = np.zeros((2, 6), dtype=bool)
    for layer in range(depth):
        for row, letter in enumerate("Mb"):
            breaking[row, layer] = moved([f"{letter}_{layer + 1}"]) > CRITICAL
    matrices = [f"M_{k}" for k in (*indices, depth)]
    order = 1
    while moved(matrices[:order]) <= CRITICAL:
        order += 1
    state = rng.bit_generator.state
    long = moved(matrices)
    rng.bit_generator.state = state  # in the same direction
    short = moved(matrices, 1e-3)
    return {
        "locus": int("".join(map(str, indices))),
        "count": len(indices),
        "n_parameters": net.n_parameters,
        "formula": formula,
        "rank": np.linalg.matrix_rank(points[1:] - theta),
        "gradient_norm": gradient_norm(objective, points).max(),
        "zeros": zeros,
        "expected_zeros": np.sum(np.abs(expected) <= ZERO * expected[-1]),
        "around": around(objective, theta, zeros, rng) if len(indices) == 1 else 0,
        "breaking": breaking.ravel(),
        "order": order,
        "growth": np.log10(long / short),
        "slice_zeros": _zeros(H[last:, last:]),
        "flat": flat.dimension,
        "flat_printed": flat.printed_dimension,
    }


def _zeros(H: Array) -> int:
    """Return how many eigenvalues of H (n, n) are zero to rounding."""
    eigenvalues = np.abs(np.linalg.eigvalsh(H))
    return int(np.sum(eigenvalues <= ZERO * eigenvalues.max()))


def around(objective: NetworkObjective, theta: Array, zeros: int, rng: np.random.Generator) -> int:
    """Return the dimension of the manifold of critical points around a critical point, else 0.

    It can be no larger than the Hessian's kernel. Points that Newton's method finds from random
    steps in the kernel all have to be critical; then their differences have as many large singular
    values as the manifold has dimensions, the others being as small as it is bent.
    """
    if zeros == 0 or gradient_norm(objective, theta) ** 2 > CONVERGED:
        return 0
    with np.errstate(over="ignore", invalid="ignore"):  # where there is none, runs may diverge
        points, norms = nearby_critical_points(objective, theta, DEGENERATE, 2 * zeros, rng)
    if not norms.max() <= CRITICAL:
        return 0
    values = np.linalg.svd(points - theta, compute_uv=False)
    return int(np.sum(values > 0.02 * values[0]))


# --- Theorems 3.1 and 3.2 ---


def theorem(settings: LocusSettings, number: int, points: int) -> Arrays:
    """Return a row for each of many random points, each of its own network and locus."""
    rng = settings.generator("theorem", number)
    return columns([_random_point(settings, rng) for _ in range(points)])


def _random_point(settings: LocusSettings, rng: np.random.Generator) -> Row:
    """Return what a random point of a random locus of a random network is like.

    Everything is for the summed squared error of the paper. ``printed_*`` is with the printed
    definition: b_ℓ the sum of the targets. Star points of ReLU networks have no Hessian.
    """
    depth = int(rng.choice(settings.depths))
    sizes = [int(m) for m in rng.integers(1, settings.max_width + 1, size=depth + 1)]
    activation = int(rng.integers(len(ACTIVATIONS)))
    net = MLP(sizes, ACTIVATIONS[activation])
    X, Y = data(rng, int(rng.integers(2, settings.max_samples + 1)), net)
    count = int(rng.integers(1, depth))
    indices = tuple(int(k) for k in rng.permutation(np.arange(1, depth))[:count])
    theta = locus.sample(net, Y, indices, rng)
    summed = theta.copy()
    summed[net.slices[-1][1]] = Y.sum(axis=0)

    point = NetworkObjective(net, X, Y).linearize(np.stack([theta, summed]))
    gradients = np.linalg.norm(point.gradient, axis=1) * Y.size
    eigenvalues = np.linalg.eigvalsh(point.hessian()) * Y.size
    largest = np.abs(eigenvalues).max(axis=1, keepdims=True)
    zero = np.abs(eigenvalues) <= ZERO * largest
    negative, positive = (np.sum((sign * eigenvalues > 0) & ~zero, axis=1) for sign in (-1.0, 1.0))
    relu, error, from_two_n = net.activation == "relu", np.nan, np.nan
    if not relu:
        expected = locus.hessian_eigenvalues(net, theta, X, Y, indices) * Y.size
        error = np.abs(eigenvalues[0] - expected).max() / largest[0, 0]
    if count > 1:
        from_two_n = np.abs(eigenvalues[0, -sizes[-1] :] / (2.0 * len(Y)) - 1.0).max()
    return {
        "depth": depth,
        "n_parameters": net.n_parameters,
        "samples": len(Y),
        "outputs": sizes[-1],
        "activation": activation,
        "count": count,
        "has_hessian": count > 1 or not relu,
        "gradient_norm": gradients[0],
        "negative": negative[0],
        "zeros": zero[0].sum(),
        "positive": positive[0],
        "largest_zero": np.max(np.abs(eigenvalues[0]), where=zero[0], initial=0.0) / largest[0, 0],
        "from_two_n": from_two_n,
        "spectrum_error": error,
        "printed_gradient_norm": gradients[1],
        "printed_gradient_expected": 2.0 * (len(Y) - 1) * np.linalg.norm(Y.sum(axis=0)),
        "printed_negative": negative[1],
        "printed_positive": positive[1],
    }


# --- Theorem 5.15 and its corollaries, at points that finders end at ---


def found(
    settings: LocusSettings,
    number: int,
    layers: Sequence[int],
    start: str,
    finder: str,
    runs: int,
) -> Arrays:
    """Return a row for each run of a finder on a very wide network.

    ``eigenvalues`` (n) is the spectrum, ``features`` and ``extended`` hold the singular values of Φ
    and of Φ with a row of ones, over the largest of the latter. ``walk_*`` says how far the outputs
    and the loss move on a walk of length 100 in the linear space that Theorem 5.15 promises.
    """
    net = MLP(layers, settings.activation)
    X, Y = data(settings.generator("found", 0), settings.wide_samples, net)
    objective = NetworkObjective(net, X, Y)
    rng = settings.generator("found", number)
    if start == "random":
        starts = rng.normal(size=(runs, net.n_parameters))
    elif start == "narrow":
        starts = embedded(net, X, Y, settings.narrow_width, runs, rng)
        starts = starts + 0.01 * rng.normal(size=starts.shape)
    else:
        points = locus.sample(net, Y, (1,) if start == "star" else (1, 2), rng, size=runs)
        starts = displace(net, points, [f"M_{k}" for k in range(1, len(layers))], 0.3, rng)
    # the solver's tolerance of Frye et al. 2021, Fig. 1: exact enough to converge
    exact = partial(newton_mr, rtol=1e-10, dense=True)
    search = exact if finder == "newton_mr" else levenberg_marquardt
    trace = search(objective, starts, settings.max_iterations, squared_gradient_tolerance=1e-28)

    point = objective.linearize(trace.theta)
    rows = []
    for theta, value in zip(trace.theta, point.value, strict=True):
        Phi = locus.hidden_activations(net, theta, X, len(layers) - 2)
        extended = np.linalg.svd(np.column_stack([Phi, np.ones(len(X))]), compute_uv=False)
        basis = flat_subspace(net, theta, X, rtol=UNCLEAR[0]).basis
        step = rng.normal(size=len(basis)) @ basis
        walked = theta + 100.0 * step / np.linalg.norm(step)
        rows.append(
            {
                "samples": len(X),
                "mean_output_loss": np.mean((Y - Y.mean(axis=0)) ** 2),
                "features": np.linalg.svd(Phi, compute_uv=False) / extended[0],
                "extended": extended / extended[0],
                "walk_output_change": np.abs(net.forward(walked, X) - net.forward(theta, X)).max(),
                "walk_loss_change": np.abs(objective.value_and_gradient(walked)[0] - value),
            }
        )
    return {
        "theta_start": starts,
        "iterations": trace.iterations,
        "stop_reason": np.asarray(trace.stop_reason, dtype=np.int64),
        "loss": point.value,
        "squared_gradient_norm": np.sum(point.gradient**2, axis=1),
        "norm": np.linalg.norm(trace.theta, axis=1),
        "eigenvalues": np.linalg.eigvalsh(point.hessian()),
        **columns(rows),
    }


def embedded(
    net: MLP, X: Array, Y: Array, width: int, size: int, rng: np.random.Generator
) -> Array:
    """Return critical points (size, n) of a wide network that come from a narrow one's.

    The narrow network has hidden layers of ``width``. All weights and biases of the further units
    are zero: a unit that is σ(0) = 0 for all samples adds nothing to the outputs, and nothing in it
    has a gradient as long as the weights that lead to and from it are zero.
    """
    narrow = MLP((net.layers[0], *[width] * (len(net.layers) - 2), net.layers[-1]), net.activation)
    objective = NetworkObjective(narrow, X, Y)
    points: list[Array] = []
    while len(points) < size:
        starts = rng.normal(size=(2 * size, narrow.n_parameters))
        ends = levenberg_marquardt(objective, starts, 200, squared_gradient_tolerance=1e-28).theta
        for theta in ends[gradient_norm(objective, ends) ** 2 < CONVERGED]:
            wide = np.zeros(net.n_parameters)
            layers = zip(net.slices, net.shapes, narrow.slices, narrow.shapes, strict=True)
            for (weights, biases), shape, (W, b), (rows, columns) in layers:
                wide[weights].reshape(shape)[:rows, :columns] = theta[W].reshape(rows, columns)
                wide[biases][:rows] = theta[b]
            points.append(wide)
    return np.stack(points[:size])


# --- global minima (§4) ---


def minimum(settings: LocusSettings, number: int, layers: Sequence[int], samples: int) -> Arrays:
    """Return a row for each minimum that gradient descent and then Levenberg-Marquardt train to.

    ``dimension`` is that of the manifold of critical points around the minimum, 0 if none was
    found; ``jacobian_rank`` is that of the outputs of all samples in the parameters.
    """
    rng = settings.generator("minimum", number)
    net = MLP(layers, settings.activation)
    X, Y = data(rng, samples, net)
    objective = NetworkObjective(net, X, Y)
    runs, rule = range(settings.minima_per_network), GradientDescent(settings.minima_rate)
    starts = np.stack([initial_theta(net, "xavier", rng) for _ in runs])
    trained = train(objective, starts, rule, settings.epochs, memory=2**25).final
    ends = levenberg_marquardt(objective, trained, 100, squared_gradient_tolerance=1e-28).theta
    point = objective.linearize(ends)
    eigenvalues = np.linalg.eigvalsh(point.hessian())
    zero = np.abs(eigenvalues) <= ZERO * eigenvalues[:, -1:]
    outputs = jacobian(lambda theta: net.forward(theta, X))
    rows = [
        {
            "n_parameters": net.n_parameters,
            "samples": samples,
            "outputs": layers[-1],
            "jacobian_rank": np.linalg.matrix_rank(outputs(theta).reshape(Y.size, -1), rtol=1e-7),
            "flat_dimension": flat_subspace(net, theta, X).dimension,
            "dimension": around(objective, theta, zeros, rng),
        }
        for theta, zeros in zip(ends, zero.sum(axis=1), strict=True)
    ]
    return {
        "theta_start": starts,
        "trained_loss": objective.value_and_gradient(trained)[0],
        "loss": point.value,
        "squared_gradient_norm": np.sum(point.gradient**2, axis=1),
        "zeros": zero.sum(axis=1),
        "negative": np.sum((eigenvalues < 0) & ~zero, axis=1),
        "smallest": np.min(eigenvalues, where=~zero, initial=np.inf, axis=1) / eigenvalues[:, -1],
        **columns(rows),
    }
