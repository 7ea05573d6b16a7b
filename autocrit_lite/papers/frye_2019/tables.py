"""What the runs of Frye et al. 2019 found, as tables for the notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ...arrays import Array
from ...finders import FinderStopReason
from ...plotting import FINDERS
from ...runner.results import Measured, Results
from ...training.sampling import entropy
from .claims import CUTOFF, LOSS_TOLERANCE, accepted, entropies
from .coverage import chao1

FLOOR = 1e-25
"""On ‖g‖², far below which runs end that only rounding stops (Frye et al. 2019, 4.1)."""


def searches(results: Results, methods: Sequence[str]) -> pd.DataFrame:
    """Return how many runs of each method came how far, and whether they found true points.

    Parameters
    ----------
    results : Results
        Of ``LinearAutoencoder``.
    methods : sequence of str
        In the order of the results' dimension ``method``.

    Returns
    -------
    DataFrame
        "not exact" counts runs below the cut-off whose loss or index is not that of the true point;
        "would end at zero" those that a failed line search would send to the critical point at
        zero if it returned the zero vector.
    """
    rows = {}
    for m, method in enumerate(methods):
        ok, row = results["end"][m] < CUTOFF, results["row"][m]
        loss_error = np.abs(results["loss"][m] - results["true_loss"][row])
        exact = (loss_error < LOSS_TOLERANCE) & (results["index"][m] == results["true_index"][row])
        failed = results["stop_reason"][m] == FinderStopReason.LINE_SEARCH_FAILED
        rows[FINDERS[method]] = {
            "runs": len(ok),
            f"below {CUTOFF:g}": int(ok.sum()),
            f"below {FLOOR:g}": int(np.sum(results["end"][m] < FLOOR)),
            "not exact": int(np.sum(ok & ~exact)),
            "true points": len(np.unique(row[ok])),
            "iterations (median)": float(np.median(results["iterations"][m])),
            "end at zero": int(np.sum(ok & (row == 0))),
            "would end at zero": int(np.sum(failed & ~ok)),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def starts(results: Results) -> pd.DataFrame:
    """Return what runs found, by the way of drawing starts and the noise added to them.

    Parameters
    ----------
    results : Results
        Of ``SamplingBias``.

    Returns
    -------
    DataFrame
        Entropies in bits, the second with the point at zero as one more category; the
        signal-to-noise ratio of the starts in decibels.
    """
    rows = {}
    for s, scheme in enumerate(results.coordinates["scheme"]):
        for x, sigma in enumerate(results.coordinates["sigma"]):
            kept, _ = accepted(results, (s, x))
            power = results["power"][s, x].mean()
            rows[scheme, sigma] = {
                "found": len(kept),
                "entropy": entropy(kept),
                "with zero": entropy(kept, zero_category=True),
                "SNR / dB": 10 * np.log10(power / sigma**2) if sigma else np.inf,
            }
    return _by_start(rows)


def spreads(results: Results, scheme: int) -> Array:
    """Return bootstrap entropies (sigmas, replicates) of one way of drawing starts.

    The bootstrap takes whole trajectories, whose runs are not independent.
    """
    noises = range(len(results.coordinates["sigma"]))
    return np.array([entropies(results, (scheme, x), by_trajectory=True) for x in noises])


def coverage(results: Results) -> pd.DataFrame:
    """Return how many true points each kind of start found, and a bound on how many it can.

    Parameters
    ----------
    results : Results
        Of ``Coverage``.

    Returns
    -------
    DataFrame
        The last row is of all kinds together.
    """
    ok = results["end"] < CUTOFF
    cells = {
        (scheme, sigma): (results["row"][s, x][ok[s, x]], ok.shape[-1])
        for s, scheme in enumerate(results.coordinates["scheme"])
        for x, sigma in enumerate(results.coordinates["sigma"])
    }
    cells["all", "all"] = results["row"][ok], ok.size
    rows = {}
    for kind, (found, runs) in cells.items():
        different, bound = chao1(found)
        rows[kind] = {"runs": runs, "below the cut-off": len(found)}
        rows[kind] |= {"different points": different, "at least reachable": round(bound)}
    return _by_start(rows)


def limits(
    results: Results, by_limit: Mapping[int, Mapping[str, Measured]], names: Sequence[str]
) -> pd.DataFrame:
    """Return what Newton-MR finds with each limit of its solver.

    Parameters
    ----------
    results, by_limit
        Of ``SolverLimit``, and of its ``claims_by_limit``.
    names : sequence of str
        Claims of which those reproduced are counted.

    Returns
    -------
    DataFrame
        The last two columns are the 95 % interval of how much less the entropy is than with the
        largest limit.
    """
    ok = results["end"][:, 0] < CUTOFF
    all_limits = list(by_limit)
    spread = [
        entropies(results, (m, 0), by_trajectory=True, replicates=2000)
        for m in range(len(all_limits))
    ]
    rows = {}
    for m, (limit, own) in enumerate(by_limit.items()):
        low, high = np.quantile(spread[-1] - spread[m], (0.025, 0.975))
        rows[limit] = {
            f"reproduced, of {len(names)}": sum(
                name in own and own[name].verdict == "reproduced" for name in names
            ),
            "runs below the cut-off": int(ok[m].sum()),
            "different points": len(np.unique(results["row"][m, 0][ok[m]])),
            "entropy": entropy(results["kept"][m, 0][ok[m]]),
            "less by at least": low,
            "and at most": high,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(index="limit")


def _by_start(rows: Mapping[tuple[object, object], Mapping[str, float]]) -> pd.DataFrame:
    index = pd.MultiIndex.from_tuples(list(rows), names=["starts uniform in", "σ"])
    return pd.DataFrame(list(rows.values()), index=index)
