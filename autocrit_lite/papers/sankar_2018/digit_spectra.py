"""Full Hessian spectra of trained networks, and spectra while a small network trains."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import islice, product

import numpy as np
from scipy.optimize import minimize

from ...arrays import Array
from ...devices import to_numpy
from ...linalg.inertia import inertia, morse_index
from ...linalg.large_spectra import leading, live_spectrum, round_to_single
from ...networks.objective import NetworkObjective
from ...points.flat_directions import SOURCES, forced_zeros, null_space, without_dead
from ...points.spectral_laws import Law, MarchenkoPastur, Semicircle, kolmogorov_smirnov
from ...runner.experiment import Arrays
from ...runner.results import FIRST_BITS, rounded
from .digits_training import N_FIRST, Training, misclassified

TOLERANCES = (0.0, *(10.0**power for power in range(-16, 0)))
"""Below which |λ| an eigenvalue counts as zero. The paper states none."""

ROUNDING = 1e-12
"""What rounding makes of zero eigenvalues is smaller."""

COURSE_FRACTIONS = (0.0, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
"""The points of the first epoch where spectra are taken: there the error falls most."""

LAWS = ("Wigner", "Marchenko–Pastur")

BULK_TOLERANCE, BULK_SHARE = 1e-10, 0.98
"""The bulk of a spectrum, chosen by us: eigenvalues above the first in absolute value, and of them
the middle 98 %, since a few are much larger."""

BULK_POINTS = 1000
"""Chosen by us, for speed: they move a distance by less than 0.001."""

LAW_SIZES, CENTRES, RATIOS = 25, (-1.0, -0.5, 0.0, 0.5, 1.0), (0.05, 0.2, 0.6, 1.0, 1.5, 3.0, 8.0)
"""Where the search for the nearest law starts, chosen by us: how many sizes, the semicircle's
centres from the median in radii, and ratios of Marchenko and Pastur's law."""


def spectrum(training: Training, precision: str, device: str, trained: Arrays) -> Arrays:
    """Return the spectrum of the Hessian over the training data, and what is known of its zeros.

    Rows of dead inputs and dead units are zero and are never computed; other rows that come out
    as zero to the last bit are taken out before the eigenvalues are computed.

    Parameters
    ----------
    training : Training
    precision : {"double", "single"}
        With "single" the Hessian's elements are rounded to single precision, as the public code
        of Sankar & Balasubramanian 2018 computes them.
    device : {"cpu", "gpu"}
        Where the Hessian and its eigenvalues are computed.
    trained : dict
        ``theta`` (n,), where training ended.

    Returns
    -------
    dict
        ``eigenvalues``, ascending, without those of zero rows; ``zero_rows``, how many those are;
        ``sources`` (5,), see ``SOURCES``; ``rescaling``, see there; ``forced`` (T,) for each of
        ``TOLERANCES``: how many zeros small rows alone force; ``gradient_norm``; ``peak_memory``.
    """
    theta = trained["theta"]
    net, loss, data, targets = training.problem()
    known = null_space(net, theta, data.X, loss)
    ranks = known.ranks()
    small = without_dead(net, theta, data.X)
    objective = NetworkObjective(small.net, small.X, targets, loss=loss).to_device(device)
    point = objective.linearize(objective.asarray(small.theta))
    gradient = np.zeros_like(theta)
    gradient[small.kept] = to_numpy(point.gradient)
    rescaling = known.rescaling(gradient)
    H = point.hessian()
    del point, objective, targets, data, small, known  # H may fill most of the memory
    if precision == "single":
        round_to_single(H)
    row_norms = np.zeros(len(theta))
    row_norms[: H.shape[0]], eigenvalues = live_spectrum(H)
    return {
        "eigenvalues": rounded(eigenvalues, FIRST_BITS),
        "zero_rows": np.array(len(theta) - len(eigenvalues)),
        "sources": np.array([ranks[name] for name in SOURCES]),
        "rescaling": rescaling,
        "forced": forced_zeros(row_norms, np.array(TOLERANCES)),
        "gradient_norm": np.linalg.norm(gradient),
        "peak_memory": np.array(peak_memory()),
    }


def signs(training: Training, trained: Arrays) -> Arrays:
    """Return how many eigenvalues of the Hessian over the training data have each sign.

    By factorisations, which take a fraction of the time of ``spectrum``.

    Parameters
    ----------
    training : Training
    trained : dict
        ``theta`` (n,), where training ended.

    Returns
    -------
    dict
        ``signs`` (3,), see ``SIGNS``: zero are the rows that are so to the last bit, and the signs
        of all other eigenvalues count, as in the public code of Sankar & Balasubramanian 2018;
        ``below``, how many are less than −``ROUNDING``; ``gradient_norm``.
    """
    net, loss, data, targets = training.problem()
    small = without_dead(net, trained["theta"], data.X)
    point = NetworkObjective(small.net, small.X, targets, loss=loss).linearize(small.theta)
    gradient_norm = np.linalg.norm(point.gradient)
    H = point.hessian()
    del point, targets, data, small  # H may fill most of the memory
    H = leading(H, np.flatnonzero(H.any(axis=1)))
    negative, _, positive = inertia(H, 0.0)
    return {
        "signs": np.array([negative, net.n_parameters - negative - positive, positive]),
        "below": np.rint(len(H) * morse_index(H, ROUNDING)),
        "gradient_norm": gradient_norm,
    }


def peak_memory() -> float:
    """Return the most memory, in GiB, that this process has held at any time; NaN on Windows.

    Of a worker process that computes several tasks one after the other: up to and including the
    present one.
    """
    try:
        import resource
    except ImportError:
        return np.nan
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def course(training: Training) -> Arrays:
    """Train a network and return spectra on the way (Figs 2 and 3 of the paper).

    Returns
    -------
    dict
        ``epoch`` (K,) with parts of the first epoch (``COURSE_FRACTIONS``), ``loss``, ``error``
        (K,), the share of training samples misclassified, ``eigenvalues`` (K, n), ascending,
        ``known_zeros`` (K,), the rank of the known null vectors, and ``first_losses``.
    """
    net, loss, data, targets = training.problem()
    objective = NetworkObjective(net, data.X, targets, loss=loss)
    theta = training.initial_theta(net)
    per_epoch = training.steps_per_epoch(objective.n_samples)
    wanted = {round(part * per_epoch) for part in COURSE_FRACTIONS}
    wanted |= {per_epoch * epoch for epoch in range(1, training.max_epochs + 1)}
    first, found = [], []
    steps = enumerate(training.steps(objective, theta))
    for step, (seen, after) in islice(steps, per_epoch * training.max_epochs + 1):
        if step in wanted:
            point = objective.linearize(theta)
            found.append(
                {
                    "epoch": step / per_epoch,
                    "loss": point.value,
                    "error": misclassified(net, theta, data.X, data.labels),
                    "eigenvalues": rounded(np.linalg.eigvalsh(point.hessian())),
                    "known_zeros": sum(null_space(net, theta, data.X, loss).ranks().values()),
                }
            )
        first.append(seen)
        theta = after
    arrays = {name: np.array([point[name] for point in found]) for name in found[0]}
    return {**arrays, "first_losses": np.array(first[:N_FIRST])}


def bulk(eigenvalues: Array) -> Array:
    """Return the bulk of a spectrum: see ``BULK_SHARE``. NaN is left out."""
    rest = eigenvalues[np.abs(eigenvalues) > BULK_TOLERANCE]
    if len(rest) == 0:
        return rest
    low, high = np.quantile(rest, [0.5 - BULK_SHARE / 2, 0.5 + BULK_SHARE / 2])
    return rest[(rest >= low) & (rest <= high)]


def nearest_laws(eigenvalues: Array) -> tuple[list[Law], Array]:
    """Return the ``LAWS`` that are nearest to the bulk, and their distances (2,) from it.

    Over all centres, radii, scales and ratios, by the Kolmogorov–Smirnov distance, from up to
    ``BULK_POINTS`` quantiles of the bulk. A fit by moments would not do: the few large eigenvalues
    would decide it.

    Raises
    ------
    ValueError
        If the eigenvalues of the bulk are fewer than two different ones.
    """
    within = bulk(eigenvalues)
    if np.unique(within).size < 2:
        raise ValueError("the eigenvalues have no bulk")
    points = np.quantile(within, np.linspace(0.0, 1.0, min(len(within), BULK_POINTS)))
    middle, unit = float(np.median(points)), float(np.median(np.abs(points)))

    def semicircle(x: Array) -> Law:
        radius = unit * float(np.exp(x[0]))
        return Semicircle(centre=middle + radius * float(x[1]), radius=radius)

    def marchenko_pastur(x: Array) -> Law:
        return MarchenkoPastur(scale=unit * float(np.exp(x[0])), ratio=float(np.exp(x[1])))

    # eigenvalues spread over many powers of ten, so that the law may be of any of these sizes
    low, high = np.log(np.quantile(np.abs(points), [0.1, 1.0]) / unit)
    sizes = np.linspace(low, high, LAW_SIZES).tolist()
    wigner, its_distance = nearest(points, semicircle, sizes, CENTRES)
    covariance, other = nearest(points, marchenko_pastur, sizes, np.log(RATIOS).tolist())
    return [wigner, covariance], np.array([its_distance, other])


def nearest(
    points: Array, law: Callable[[Array], Law], first: Sequence[float], second: Sequence[float]
) -> tuple[Law, float]:
    """Return the law of a family with two parameters that is nearest to points (K,), and how far.

    The search starts from the best three of all pairs of a first and a second parameter, as the
    distance has kinks and local minima.
    """

    def distance(x: Array) -> float:
        return kolmogorov_smirnov(points, law(x))

    starts = sorted((np.array(x) for x in product(first, second)), key=distance)
    steps = 0.3 * np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    fits = [
        minimize(distance, start, method="Nelder-Mead", options={"initial_simplex": start + steps})
        for start in starts[:3]
    ]
    best = min(fits, key=lambda fit: float(fit.fun))
    return law(best.x), float(best.fun)
