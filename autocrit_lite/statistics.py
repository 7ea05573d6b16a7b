"""Intervals, and the verdict on a number that a paper prints."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .arrays import Array

REPLICATES = 2000


def bootstrap(
    statistic: Callable[[Array], float], values: Array
) -> tuple[float, tuple[float, float]]:
    """Return a statistic and its 95 % bootstrap interval over the runs."""
    rng = np.random.default_rng(0)
    drawn = rng.choice(values, (REPLICATES, len(values)))
    return float(statistic(values)), quantiles(np.array([statistic(row) for row in drawn]))


def quantiles(values: Array) -> tuple[float, float]:
    """Return the middle 95 % of values."""
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def printed_interval(value: float, like: tuple[float, float]) -> tuple[float, float]:
    """Return an interval about a printed value, as wide as ``like``."""
    half = (like[1] - like[0]) / 2
    return value - half, value + half


def verdict(ours: tuple[float, float], theirs: tuple[float, float]) -> str:
    """Return "reproduced" if two intervals overlap, else "differs"."""
    return "reproduced" if ours[0] <= theirs[1] and theirs[0] <= ours[1] else "differs"


Interval = tuple[float, float]


def binomial(count: int, of: int) -> Interval:
    """Return the exact 95 % interval of a share."""
    from scipy.stats import binomtest  # here, since it slows every start of the command

    found = binomtest(count, of).proportion_ci()
    return float(found.low), float(found.high)


def deviation(values: Array) -> float:
    """Return the standard deviation over the trials, 0 for one trial."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def two_deviations(mean: float, deviation: float) -> Interval:
    """Return mean ± 2 standard deviations."""
    return mean - 2.0 * deviation, mean + 2.0 * deviation
