"""Full Hessian spectra of trained networks, and spectra while a small network trains."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
from scipy.optimize import minimize

from ...arrays import Array, array_namespace
from ...devices import to_numpy
from ...linalg.band_reduction import eigenvalues_in_place
from ...networks.initialization import initial_theta
from ...networks.objective import NetworkObjective
from ...points.flat_directions import SOURCES, forced_zeros, null_space, without_dead
from ...points.spectral_laws import Law, MarchenkoPastur, Semicircle, kolmogorov_smirnov
from ...runner.experiment import Configuration
from .digits_training import GradientEpochs, generator, misclassified, problem

TOLERANCES = (0.0, *(10.0**power for power in range(-16, 0)))
"""Below which |λ| an eigenvalue counts as zero. The paper states none."""

COURSE_FRACTIONS = (0.0, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
"""The points of the first epoch where spectra are taken: there the error falls most."""

ROWS = 64
"""Of a Hessian that are rounded at a time: chosen by us, to take little memory."""

LAWS = ("Wigner", "Marchenko–Pastur")

BULK_TOLERANCE, BULK_SHARE = 1e-10, 0.98
"""The bulk of a spectrum, chosen by us: eigenvalues above the first in absolute value, and of them
the middle 98 %, since a few are much larger."""

BULK_POINTS = 1000
"""Chosen by us, for speed: they move a distance by less than 0.001."""

LAW_SIZES, CENTRES, RATIOS = 25, (-1.0, -0.5, 0.0, 0.5, 1.0), (0.05, 0.2, 0.6, 1.0, 1.5, 3.0, 8.0)
"""Where the search for the nearest law starts, chosen by us: how many sizes, the semicircle's
centres from the median in radii, and ratios of Marchenko and Pastur's law."""


def spectrum(
    training: Configuration, theta: Array, precision: str, device: str = "cpu"
) -> dict[str, Array]:
    """Return the spectrum of the Hessian over the training data, and what is known of its zeros.

    Rows of dead inputs and dead units are zero and are never computed; other rows that come out
    as zero to the last bit are taken out before the eigenvalues are computed.

    Parameters
    ----------
    training : dict
        The configuration of the network's training.
    theta : array (n,)
    precision : {"double", "single"}
        With "single" the Hessian's elements are rounded to single precision, as the public code
        of Sankar & Balasubramanian 2018 computes them.
    device : {"cpu", "gpu"}
        Where the Hessian and its eigenvalues are computed.

    Returns
    -------
    dict
        ``eigenvalues``, ascending, without those of zero rows; ``zero_rows``, how many those are;
        ``sources`` (5,), see ``SOURCES``; ``rescaling``, see there; ``forced`` (T,) for each of
        ``TOLERANCES``: how many zeros small rows alone force; ``gradient_norm``.
    """
    net, loss, data, targets = problem(training)
    known = null_space(net, theta, data.X, loss)
    ranks = known.ranks()
    small = without_dead(net, theta, data.X)
    objective = NetworkObjective(small.net, small.X, targets, loss=loss).to_device(device)
    point = objective.linearize(objective.asarray(small.theta))
    gradient = np.zeros_like(theta)
    gradient[small.kept] = to_numpy(point.gradient)
    scaled = known.rescaling(gradient)
    H = point.hessian()
    del point, objective, targets, data, small, known
    if precision == "single":
        round_to_single(H)
    row_norms = np.zeros(len(theta))
    if device == "cpu":
        row_norms[: len(H)] = np.sqrt(np.einsum("ij,ij->i", H, H))
        live = np.flatnonzero(H.any(axis=1))
        eigenvalues = eigenvalues_in_place(leading(H, live)) if len(live) else np.zeros(0)
    else:
        row_norms[: H.shape[0]], eigenvalues = on_its_device(H)
    return {
        "eigenvalues": eigenvalues,
        "zero_rows": np.array(len(theta) - len(eigenvalues)),
        "sources": np.array([ranks[name] for name in SOURCES]),
        "rescaling": scaled,
        "forced": forced_zeros(row_norms, np.array(TOLERANCES)),
        "gradient_norm": np.linalg.norm(gradient),
    }


def leading(H: Array, rows: Array) -> Array:
    """Return H[rows][:, rows] for ascending rows, moved within H's own memory, which may be large.

    Row i of the result is row ``rows[i]`` ≥ i of H, so that none is overwritten before it is read.
    """
    for i, row in enumerate(rows):
        H[i, : len(rows)] = H[row, rows]
    return H[: len(rows), : len(rows)]


def on_its_device(H: Array) -> tuple[Array, Array]:
    """Return the norms of H's rows, and the eigenvalues without those of zero rows, as NumPy's.

    At most four arrays of the size of H are needed at a time, with what the solver needs.
    """
    xp = array_namespace(H)
    norms = to_numpy(xp.sqrt(xp.vecdot(H, H)))
    live = xp.nonzero(xp.any(H != 0.0, axis=1))[0]
    if live.shape[0] == 0:
        return norms, np.zeros(0)
    if live.shape[0] < H.shape[0]:
        H = xp.take(xp.take(H, live, axis=0), live, axis=1)
    return norms, to_numpy(xp.linalg.eigvalsh(H))


def round_to_single(H: Array) -> None:
    """Round the elements of H to single precision, some rows at a time, in place."""
    xp = array_namespace(H)
    for start in range(0, H.shape[0], ROWS):
        rows = slice(start, min(start + ROWS, H.shape[0]))
        H[rows, :] = xp.astype(xp.astype(H[rows, :], xp.float32), xp.float64)


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


def course(training: Configuration) -> dict[str, Array]:
    """Train a network and return spectra on the way (Figs 2 and 3 of the paper).

    Returns
    -------
    dict
        ``epoch`` (K,) with parts of the first epoch (``COURSE_FRACTIONS``), ``loss``, ``error``
        (K,), the share of training samples misclassified, ``eigenvalues`` (K, n), ascending,
        ``known_zeros`` (K,), the rank of the known null vectors, and the first losses.
    """
    net, loss, data, targets = problem(training)
    objective = NetworkObjective(net, data.X, targets, loss=loss)
    theta = initial_theta(net, training["initialization"], generator(training, 1))
    epochs = GradientEpochs(objective, theta, training)
    steps = -(-objective.n_samples // training["batch_size"])
    wanted = {round(part * steps) for part in COURSE_FRACTIONS}
    wanted |= {steps * epoch for epoch in range(1, training["max_epochs"] + 1)}
    found: dict[str, list[Array]] = {}
    for step in range(steps * training["max_epochs"] + 1):
        if step in wanted:
            point = objective.linearize(theta)
            here = {
                "epoch": step / steps,
                "loss": point.value,
                "error": misclassified(net, theta, data.X, data.labels),
                "eigenvalues": np.linalg.eigvalsh(point.hessian()),
                "known_zeros": sum(null_space(net, theta, data.X, loss).ranks().values()),
            }
            for name, value in here.items():
                found.setdefault(name, []).append(np.asarray(value))
        theta = epochs.advance(theta)
    arrays = {name: np.stack(values) for name, values in found.items()}
    return {**arrays, "first_losses": np.array(epochs.first)}


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
    fits = [
        nearest(points, semicircle, sizes, CENTRES),
        nearest(points, marchenko_pastur, sizes, np.log(RATIOS).tolist()),
    ]
    return [law for law, _ in fits], np.array([distance for _, distance in fits])


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
