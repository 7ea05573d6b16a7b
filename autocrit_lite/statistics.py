"""Intervals, and the verdict on a number that a paper prints."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .arrays import Array

REPLICATES = 2000

Interval = tuple[float, float]


def bootstrap(statistic: Callable[[Array], float], values: Array) -> tuple[float, Interval]:
    """Return a statistic and its 95 % bootstrap interval over the runs.

    Samples for which the statistic is not finite are left out.
    """
    rng = np.random.default_rng(0)
    drawn = rng.choice(values, (REPLICATES, len(values)))
    found = np.array([statistic(row) for row in drawn])
    return float(statistic(values)), quantiles(found[np.isfinite(found)])


def quantiles(values: Array) -> Interval:
    """Return the middle 95 % of values, NaN of none."""
    low, high = np.quantile(values, (0.025, 0.975)) if len(values) else (np.nan, np.nan)
    return float(low), float(high)


def printed_interval(value: float, like: Interval) -> Interval:
    """Return an interval about a printed value, as wide as ``like``."""
    half = (like[1] - like[0]) / 2
    return value - half, value + half


def as_printed(holds: bool | np.bool_) -> str:
    """Return "reproduced" if a number is as the paper prints it, else "differs"."""
    return "reproduced" if holds else "differs"


def verdict(ours: Interval, theirs: Interval) -> str:
    """Return "reproduced" if two intervals overlap, else "differs"."""
    return as_printed(ours[0] <= theirs[1] and theirs[0] <= ours[1])


def binomial(count: int, of: int) -> Interval:
    """Return the exact 95 % interval of a share."""
    from scipy.stats import binomtest  # here, since it slows every start of the command

    found = binomtest(count, of).proportion_ci()
    return float(found.low), float(found.high)


def share(runs: Array) -> tuple[float, Interval]:
    """Return the share of runs (runs,) that are true, and its binomial interval."""
    return float(runs.mean()), binomial(int(runs.sum()), len(runs))


def rank_correlation(x: Array, y: Array) -> float:
    """Return Spearman's rank correlation of x and y (runs,), NaN if one of them is constant."""
    from scipy.stats import rankdata

    a, b = rankdata(x), rankdata(y)
    return float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) and np.ptp(b) else np.nan


def curvature(x: Array, y: Array) -> float:
    """Return the quadratic term of the least-squares parabola y(x), both scaled to their ranges.

    NaN with fewer than three different x, or a constant y.
    """
    if len(np.unique(x)) < 3 or np.ptp(y) == 0.0:
        return np.nan
    u, v = (x - x.min()) / np.ptp(x), (y - y.min()) / np.ptp(y)
    return float(np.linalg.lstsq(np.vander(u, 3), v, rcond=None)[0][0])


def deviation(values: Array) -> float:
    """Return the standard deviation over the trials, 0 for one trial."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def two_deviations(mean: float, deviation: float) -> Interval:
    """Return mean ± 2 standard deviations."""
    return mean - 2.0 * deviation, mean + 2.0 * deviation
