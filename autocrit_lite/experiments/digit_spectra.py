"""Full Hessian spectra of trained networks, and spectra while a small network trains."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize

from ..band_reduction import eigenvalues_in_place
from ..checks import Array
from ..flat_directions import SOURCES, forced_zeros, null_space, without_dead
from ..initialization import initial_theta
from ..objectives import NetworkObjective
from ..spectra import Law, MarchenkoPastur, Semicircle, kolmogorov_smirnov
from .base import Configuration
from .digits_training import GradientEpochs, generator, misclassified, problem

TOLERANCES = (0.0, *(10.0**power for power in range(-16, 0)))
"""Below which |λ| an eigenvalue counts as zero. The paper states none."""

COURSE_FRACTIONS = (0.0, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
"""The points of the first epoch where spectra are taken: there the error falls most."""

LAWS = ("Wigner", "Marchenko–Pastur")

BULK_TOLERANCE, BULK_SHARE = 1e-10, 0.98
"""The bulk of a spectrum, chosen by us: eigenvalues above the first in absolute value, and of them
the middle 98 %, since a few are much larger."""

BULK_POINTS = 1000
"""Chosen by us, for speed: they move a distance by less than 0.001."""


def spectrum(training: Configuration, theta: Array, precision: str) -> dict[str, Array]:
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
    point = NetworkObjective(small.net, small.X, targets, loss=loss).linearize(small.theta)
    gradient = np.zeros_like(theta)
    gradient[small.kept] = point.gradient
    scaled = known.rescaling(gradient)
    H = point.hessian()
    del point, targets, data, small, known
    if precision == "single":
        round_to_single(H)
    row_norms = np.zeros(len(theta))
    row_norms[: len(H)] = np.sqrt(np.einsum("ij,ij->i", H, H))
    live = np.flatnonzero(H.any(axis=1))
    eigenvalues = eigenvalues_in_place(leading(H, live)) if len(live) else np.zeros(0)
    return {
        "eigenvalues": eigenvalues,
        "zero_rows": np.array(len(theta) - len(live)),
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


def round_to_single(H: Array) -> None:
    """Round the elements of H to single precision, row by row, in place."""
    for row in H:
        row[...] = row.astype(np.float32)


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
    middle, width = float(np.median(points)), float(np.std(points))

    def semicircle(x: Array) -> Law:
        return Semicircle(centre=middle + width * x[0], radius=width * float(np.exp(x[1])))

    def marchenko_pastur(x: Array) -> Law:
        return MarchenkoPastur(scale=width * float(np.exp(x[0])), ratio=float(np.exp(x[1])))

    fits = [nearest(points, kind) for kind in (semicircle, marchenko_pastur)]
    return [law for law, _ in fits], np.array([distance for _, distance in fits])


def nearest(points: Array, law: Callable[[Array], Law]) -> tuple[Law, float]:
    """Return the law of a family with two parameters that is nearest to points (K,), and how far.

    From several starts, as the distance has kinks and local minima.
    """

    def distance(x: Array) -> float:
        return kolmogorov_smirnov(points, law(x))

    starts = np.array([[0.0, 0.0], [0.0, -3.0], [-3.0, 0.0]])
    fits = [minimize(distance, start, method="Nelder-Mead") for start in starts]
    best = min(fits, key=lambda fit: float(fit.fun))
    return law(best.x), float(best.fun)
