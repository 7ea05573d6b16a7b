"""What Frye et al. 2019 say in words on Figs 2 to 4: tendencies, which have to be shown.

Runs from one trajectory are not independent: all intervals are bootstraps of trajectories.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ... import statistics as rules
from ...arrays import Array
from ...ground_truth.plane import plane_distance
from ...runner.results import Measured, Results
from .claims import CUTOFF, bits, measured

LOOSE = 1e-6
"""On ‖g‖²: the cut-off of Pennington & Bahri 2017, by the paper's section 5."""

SMALL, MIDDLE, LARGE = 1e-4, 1e-2, 1e-1
"""The σ of Fig. 3, from left to right."""

Cell = tuple[int, int]


def of_figure_2(results: Results, methods: Sequence[str]) -> dict[str, Measured]:
    """Return how errors go with the loss, and the shape of the trajectories' points.

    Parameters
    ----------
    results : Results
        Of ``LinearAutoencoder``.
    methods : sequence of str
        In the order of the results' dimension ``method``.
    """
    cutoffs = list(results.coordinates["cutoff"])
    if "newton_mr" not in methods:
        return {}
    m, trajectories = methods.index("newton_mr"), len(results["train_loss"])
    loss, index = results["cutoff_loss"][m], results["cutoff_index"][m]
    group = np.repeat(np.arange(trajectories), len(loss) // trajectories)
    column = cutoffs.index(LOOSE)
    distance = plane_distance(
        index[:, column], loss[:, column], results["true_index"], results["true_loss"]
    )
    there = np.isfinite(distance)
    near, far = loss[there, column], distance[there]
    claims: dict[str, Measured] = {}
    if len(far):
        rank, interval = rules.bootstrap(
            lambda x: rules.rank_correlation(near[x], far[x]), group[there]
        )
        errors = rules.shown(rank, interval, below=0.0)
        claims |= measured("f19-error-loss", rank, errors, points=len(far), cutoff=LOOSE)
    starts = index[:, cutoffs.index(np.inf)], loss[:, cutoffs.index(np.inf)]
    bend, interval = rules.bootstrap(lambda x: rules.curvature(*(s[x] for s in starts)), group)
    return claims | measured(
        "f19-start-shape", bend, rules.shown(bend, interval, above=0.0), points=len(loss)
    )


def of_figures_3_and_4(
    results: Results, schemes: Sequence[str], sigmas: Sequence[float]
) -> dict[str, Measured]:
    """Return what noise and the way of sampling do to which points are found.

    Parameters
    ----------
    results : Results
        Of ``SamplingBias``.
    schemes, sigmas : sequence
        In the order of the results' dimensions.
    """
    cells = {(s, x): (i, j) for i, s in enumerate(schemes) for j, x in enumerate(sigmas)}
    plain = cells.get(("height", 0.0))
    if plain is None:
        return {}
    claims: dict[str, Measured] = {}
    for id, cell, sign in (
        ("f19-noise", cells.get(("height", MIDDLE)), 1.0),
        ("f19-iteration", cells.get(("iteration", 0.0)), -1.0),
    ):
        if cell is not None:
            claims |= _more_entropy(id, results, plain, cell, sign)
    if ("height", SMALL) in cells:
        claims |= _same_points(results, plain, cells["height", SMALL])
    if ("height", LARGE) in cells:
        claims |= _large_noise(results, plain, cells["height", LARGE])
    return claims


def _kept(results: Results, cell: Cell, rows: Array) -> Array:
    """Return the eigenvectors that the accepted points of some runs keep."""
    return np.asarray(results["kept"][cell][rows][results["end"][cell][rows] < CUTOFF])


def _entropy_gained(results: Results, plain: Cell, cell: Cell) -> tuple[float, rules.Interval]:
    """Return by how many bits a cell's entropy is above another's, and its interval."""
    return rules.bootstrap(
        lambda x: bits(results, cell, x) - bits(results, plain, x), results["trajectory"]
    )


def _more_entropy(
    id: str, results: Results, plain: Cell, cell: Cell, sign: float
) -> dict[str, Measured]:
    gain, interval = _entropy_gained(results, plain, cell)
    side = {"above": 0.0} if sign > 0.0 else {"below": 0.0}
    trajectories = len(np.unique(results["trajectory"]))
    return measured(id, gain, rules.shown(gain, interval, **side), trajectories=trajectories)


def _same_points(results: Results, plain: Cell, cell: Cell) -> dict[str, Measured]:
    """Return in how many runs noise of a size leaves the point that is found as it was."""
    both = (results["end"][plain] < CUTOFF) & (results["end"][cell] < CUTOFF)
    same = results["row"][plain] == results["row"][cell]
    if not both.any():
        return {}
    share, interval = rules.bootstrap(
        lambda x: float(same[both][x].mean()), results["trajectory"][both]
    )
    outcome = rules.shown(share, interval, above=0.5)
    return measured("f19-noise-small", share, outcome, runs=int(both.sum()), sigma=SMALL)


def _large_noise(results: Results, plain: Cell, cell: Cell) -> dict[str, Measured]:
    """Return what noise of the weights' own size does, and where it puts the starts."""
    eigenvalues, group = results["eigenvalues"], results["trajectory"]

    def grown(rows: Array) -> float:
        counts = [_kept(results, c, rows).sum(axis=0) for c in (cell, plain)]
        means = [
            counts @ eigenvalues / counts.sum() if counts.any() else np.nan for counts in counts
        ]
        return float(means[0] - means[1])

    mean, interval = rules.bootstrap(grown, group)
    gain, (low, high) = _entropy_gained(results, plain, cell)
    higher = results["start_loss"][cell] > results["start_loss"][plain]
    share, of_share = rules.bootstrap(lambda x: float(higher[x].mean()), group)
    return measured(
        "f19-noise-large",
        [mean, gain],
        {"mean eigenvalue": rules.shown(mean, interval, above=0.0), "entropy": bool(low <= 0.0)},
        interval=interval,
        sigma=LARGE,
        low=low,
        high=high,
    ) | measured(
        "f19-noise-start",
        share,
        rules.shown(share, of_share, above=0.5),
        runs=len(higher),
        sigma=LARGE,
    )
