"""The tasks of ``critical_locus`` that look at points: on the loci, found by finders, minima."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

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
from ...runner.experiment import Configuration
from ...training.optimizers import GradientDescent, train

PARTS = ("dimension", "theorem", "found", "minimum", "escape", "cubic", "plane")
"""The kinds of tasks; a seed's random numbers are split first by them, then by task number."""

ACTIVATIONS = ("linear", "swish", "tanh", "relu")
"""Those with σ(0) = 0."""

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


def generator(configuration: Configuration, *key: int) -> np.random.Generator:
    """Return the random generator of a task, or one that the tasks of its part share by a key."""
    spawn_key = (PARTS.index(configuration["part"]), *(key or (configuration["number"],)))
    seed = np.random.SeedSequence(configuration["seed"], spawn_key=spawn_key)
    return np.random.default_rng(seed)


def data(rng: np.random.Generator, n_samples: int, net: MLP) -> tuple[Array, Array]:
    """Return Gaussian inputs and targets, the latter with mean near 1."""
    X = rng.normal(size=(n_samples, net.layers[0]))
    return X, rng.normal(size=(n_samples, net.layers[-1])) + 1.0


def gradient_norm(objective: NetworkObjective, theta: Array) -> Array:
    """Return ‖∇L‖, shape (...), at theta (..., n)."""
    return np.linalg.norm(objective.value_and_gradient(theta)[1], axis=-1)


def name_of(layers: Sequence[int]) -> int:
    """Return the digits of the indices as one number: 13 for C₁₃."""
    return int("".join(str(k) for k in layers))


# --- dimensions (§3.1.1, Proposition 6.1) ---


def dimensions(configuration: Configuration) -> dict[str, Array]:
    """Return a row for each locus of up to three indices of one network."""
    net = MLP(configuration["layers"], "tanh")
    rng = generator(configuration)
    X, Y = data(rng, configuration["samples"], net)
    depth = len(net.layers) - 1
    rows = [
        _dimension(net, X, Y, layers, rng)
        for count in range(1, min(depth, 4))
        for layers in combinations(range(1, depth), count)
    ]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _dimension(
    net: MLP, X: Array, Y: Array, layers: tuple[int, ...], rng: np.random.Generator
) -> dict[str, Any]:
    """Return the dimension of a locus by formula, by differences of points and by curvature.

    ``rank`` is that of the differences of sampled points. ``zeros`` and ``expected_zeros`` count
    the Hessian's zero eigenvalues, measured and by `locus.hessian_eigenvalues`. ``around`` is the
    dimension of the manifold of critical points through a point of a star locus, 0 if none was
    found. ``breaking`` (12) says for M_1 … M_6, b_1 … b_6 whether a step in it alone ends
    criticality, ``order`` how many of the zero matrices have to move for that, and ``growth``
    with which power of the step ‖∇L‖ grows when all of them do. ``slice_zeros`` is the nullity of
    the Hessian in the last layer alone, whose level sets Theorem 5.15 is about; ``flat`` and
    ``flat_printed`` are the dimensions of its linear space, with r̃ and as printed.
    """
    objective = NetworkObjective(net, X, Y)
    formula = locus.dimension(net, layers)
    points = locus.sample(net, Y, layers, rng, size=formula + 5)
    theta = points[0]
    H = objective.linearize(theta).hessian()
    expected = locus.hessian_eigenvalues(net, theta, X, Y, layers)
    zeros, last = _zeros(H), net.slices[-1][0].start
    flat = flat_subspace(net, theta, X)
    depth = len(net.layers) - 1
    breaking = np.zeros(12, dtype=bool)
    for layer in range(1, depth + 1):
        for offset, block in ((0, f"M_{layer}"), (6, f"b_{layer}")):
            moved = displace(net, theta, [block], 1e-2, rng)
            breaking[offset + layer - 1] = gradient_norm(objective, moved) > CRITICAL
    matrices = [f"M_{k}" for k in (*layers, depth)]
    order = 1
    while gradient_norm(objective, displace(net, theta, matrices[:order], 1e-2, rng)) <= CRITICAL:
        order += 1
    state = rng.bit_generator.state
    norms = []
    for length in (1e-2, 1e-3):  # in the same direction
        rng.bit_generator.state = state
        norms.append(gradient_norm(objective, displace(net, theta, matrices, length, rng)))
    return {
        "locus": name_of(layers),
        "count": len(layers),
        "n_parameters": net.n_parameters,
        "formula": formula,
        "rank": int(np.linalg.matrix_rank(points[1:] - theta)),
        "gradient_norm": gradient_norm(objective, points).max(),
        "zeros": zeros,
        "expected_zeros": int(np.sum(np.abs(expected) <= ZERO * expected[-1])),
        "around": around(objective, theta, zeros, rng) if len(layers) == 1 else 0,
        "breaking": breaking,
        "order": order,
        "growth": np.log10(norms[0] / norms[1]),
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


def theorems(configuration: Configuration) -> dict[str, Array]:
    """Return a row for each of many random points, each of its own network and locus."""
    rng = generator(configuration)
    rows = [_random_point(rng, configuration) for _ in range(configuration["points"])]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _random_point(rng: np.random.Generator, configuration: Configuration) -> dict[str, Any]:
    """Return what a random point of a random locus of a random network is like.

    Everything is for the summed squared error of the paper. ``printed_*`` is with the printed
    definition: b_ℓ the sum of the targets. Star points of ReLU networks have no Hessian.
    """
    depth = int(rng.choice(configuration["depths"]))
    sizes = [int(m) for m in rng.integers(1, configuration["max_width"] + 1, size=depth + 1)]
    activation = int(rng.integers(len(ACTIVATIONS)))
    net = MLP(sizes, ACTIVATIONS[activation])
    X, Y = data(rng, int(rng.integers(2, configuration["max_samples"] + 1)), net)
    count = int(rng.integers(1, depth))
    layers = tuple(int(k) for k in rng.permutation(np.arange(1, depth))[:count])
    theta = locus.sample(net, Y, layers, rng)
    summed = theta.copy()
    summed[net.slices[-1][1]] = Y.sum(axis=0)

    objective = NetworkObjective(net, X, Y)
    point = objective.linearize(np.stack([theta, summed]))
    gradients = np.linalg.norm(point.gradient, axis=1) * Y.size
    eigenvalues = np.linalg.eigvalsh(point.hessian()) * Y.size
    has_hessian = count > 1 or activation != ACTIVATIONS.index("relu")
    largest = np.abs(eigenvalues).max(axis=1, keepdims=True)
    zero = np.abs(eigenvalues) <= ZERO * largest
    negative, positive = (eigenvalues < 0) & ~zero, (eigenvalues > 0) & ~zero
    error = np.nan
    if activation != ACTIVATIONS.index("relu"):
        expected = locus.hessian_eigenvalues(net, theta, X, Y, layers) * Y.size
        error = np.abs(eigenvalues[0] - expected).max() / largest[0, 0]
    from_two_n = np.abs(eigenvalues[0, -net.layers[-1] :] / (2.0 * len(Y)) - 1.0).max()
    return {
        "depth": depth,
        "n_parameters": net.n_parameters,
        "samples": len(Y),
        "outputs": net.layers[-1],
        "activation": activation,
        "count": count,
        "has_hessian": has_hessian,
        "gradient_norm": gradients[0],
        "negative": int(negative[0].sum()),
        "zeros": int(zero[0].sum()),
        "positive": int(positive[0].sum()),
        "largest_zero": np.max(np.abs(eigenvalues[0]), where=zero[0], initial=0.0) / largest[0, 0],
        "from_two_n": from_two_n if count > 1 else np.nan,
        "spectrum_error": error,
        "printed_gradient_norm": gradients[1],
        "printed_gradient_expected": 2.0 * (len(Y) - 1) * np.linalg.norm(Y.sum(axis=0)),
        "printed_negative": int(negative[1].sum()),
        "printed_positive": int(positive[1].sum()),
    }


# --- Theorem 5.15 and its corollaries, at points that finders end at ---


def found(configuration: Configuration) -> dict[str, Array]:
    """Return a row for each run of a finder on a very wide network.

    ``eigenvalues`` (n) is the spectrum, ``features`` and ``extended`` hold the singular values of Φ
    and of Φ with a row of ones, over the largest of the latter. ``walk_*`` says how far the outputs
    and the loss move on a walk of length 100 in the linear space that Theorem 5.15 promises.
    """
    net = MLP(configuration["layers"], configuration["activation"])
    X, Y = data(generator(configuration, 0), configuration["samples"], net)
    objective = NetworkObjective(net, X, Y)
    rng = generator(configuration)
    starts = _starts(net, X, Y, configuration, rng)
    options = {"max_iterations": configuration["max_iterations"]}
    if configuration["finder"] == "newton_mr":
        # the solver's tolerance of Frye et al. 2021, Fig. 1: exact enough to converge
        options |= {"rtol": 1e-10, "dense": True}
        trace = newton_mr(objective, starts, squared_gradient_tolerance=1e-28, **options)
    else:
        trace = levenberg_marquardt(objective, starts, squared_gradient_tolerance=1e-28, **options)
    return {
        "theta_start": starts,
        "samples": np.full(len(starts), len(X)),
        "iterations": trace.iterations,
        "stop_reason": np.asarray(trace.stop_reason, dtype=np.int64),
        **_describe_found(net, objective, trace.theta, X, Y, rng),
    }


def _starts(
    net: MLP, X: Array, Y: Array, configuration: Configuration, rng: np.random.Generator
) -> Array:
    """Return random starts, or starts near a locus or near a narrower network's critical points."""
    kind, runs = configuration["start"], configuration["runs"]
    if kind == "random":
        return rng.normal(size=(runs, net.n_parameters))
    if kind == "narrow":
        points = embedded(net, X, Y, configuration["narrow_width"], runs, rng)
        return points + 0.01 * rng.normal(size=points.shape)
    theta = locus.sample(net, Y, (1,) if kind == "star" else (1, 2), rng, size=runs)
    matrices = [f"M_{layer}" for layer in range(1, len(net.layers))]
    return displace(net, theta, matrices, 0.3, rng)


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


def _describe_found(
    net: MLP,
    objective: NetworkObjective,
    theta: Array,
    X: Array,
    Y: Array,
    rng: np.random.Generator,
) -> dict[str, Array]:
    """Return loss, gradient, spectra and the walks at the ends theta (runs, n) of a finder."""
    point = objective.linearize(theta)
    features, extended, walks = [], [], []
    for row, value in zip(theta, point.value, strict=True):
        Phi = locus.hidden_activations(net, row, X, len(net.layers) - 2)
        with_ones = np.linalg.svd(np.column_stack([Phi, np.ones(len(X))]), compute_uv=False)
        features.append(np.linalg.svd(Phi, compute_uv=False) / with_ones[0])
        extended.append(with_ones / with_ones[0])
        basis = flat_subspace(net, row, X, rtol=UNCLEAR[0]).basis
        step = rng.normal(size=len(basis)) @ basis
        walked = row + 100.0 * step / np.linalg.norm(step)
        change = np.abs(net.forward(walked, X) - net.forward(row, X)).max()
        walks.append((change, abs(objective.value_and_gradient(walked)[0] - value)))
    outputs, losses = np.transpose(walks)
    return {
        "loss": point.value,
        "mean_output_loss": np.full(len(theta), np.mean((Y - Y.mean(axis=0)) ** 2)),
        "squared_gradient_norm": np.sum(point.gradient**2, axis=1),
        "norm": np.linalg.norm(theta, axis=1),
        "eigenvalues": np.linalg.eigvalsh(point.hessian()),
        "features": np.stack(features),
        "extended": np.stack(extended),
        "walk_output_change": outputs,
        "walk_loss_change": losses,
    }


# --- global minima (§4) ---


def minima(configuration: Configuration) -> dict[str, Array]:
    """Return a row for each minimum that gradient descent and then Levenberg-Marquardt train to.

    ``dimension`` is that of the manifold of critical points around the minimum, 0 if none was
    found; ``jacobian_rank`` is that of the outputs of all samples in the parameters.
    """
    rng = generator(configuration)
    net = MLP(configuration["layers"], configuration["activation"])
    X, Y = data(rng, configuration["samples"], net)
    objective = NetworkObjective(net, X, Y)
    starts = np.stack(
        [initial_theta(net, "xavier", rng) for _ in range(configuration["minima_per_network"])]
    )
    rule = GradientDescent(configuration["rate"])
    trained = train(objective, starts, rule, configuration["epochs"], memory=2**25).final
    theta = levenberg_marquardt(objective, trained, 100, squared_gradient_tolerance=1e-28).theta
    point = objective.linearize(theta)
    eigenvalues = np.linalg.eigvalsh(point.hessian())
    zero = np.abs(eigenvalues) <= ZERO * eigenvalues[:, -1:]
    outputs = jacobian(lambda t: net.forward(t, X))
    ranks = [np.linalg.matrix_rank(outputs(t).reshape(Y.size, -1), rtol=1e-7) for t in theta]
    return {
        "n_parameters": np.full(len(theta), net.n_parameters),
        "samples": np.full(len(theta), len(Y)),
        "outputs": np.full(len(theta), net.layers[-1]),
        "theta_start": starts,
        "trained_loss": objective.value_and_gradient(trained)[0],
        "loss": point.value,
        "squared_gradient_norm": np.sum(point.gradient**2, axis=1),
        "zeros": zero.sum(axis=1),
        "negative": np.sum((eigenvalues < 0) & ~zero, axis=1),
        "smallest": np.min(eigenvalues, where=~zero, initial=np.inf, axis=1) / eigenvalues[:, -1],
        "jacobian_rank": np.array(ranks, dtype=np.int64),
        "flat_dimension": np.array([flat_subspace(net, t, X).dimension for t in theta]),
        "dimension": np.array(
            [around(objective, t, int(z.sum()), rng) for t, z in zip(theta, zero, strict=True)]
        ),
    }
