"""Tests of whether two samples of runs follow one law, and the power of these tests.

Runs come in pairs, from the same start: archived and recomputed. Where rounding differs, a chaotic
run may end elsewhere, but archived and recomputed ends still follow the same law. Two tests look
for what would not: ``laws`` for a law that changed, ``signs`` for runs that come out higher, or
lower, more often than half of the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import comb

import numpy as np
from scipy.stats import binom, binomtest, ks_2samp

from ..arrays import Array

LEVEL = 1e-3
"""Of all tests of an experiment together: so often they may reject what repeats (chosen by us)."""

POWER = 0.9
"""How often the changes below are to be found (chosen by us)."""

CHANGE = 0.6
"""The least difference of two distribution functions that has to be found: as if 60 % of the runs
had crossed some value (chosen by us: what the fewest runs of an experiment, 50, can show)."""

SHARE = 0.9
"""The share of runs that come out higher, in place of a half, that has to be found (likewise)."""


PATIENCE = 20
"""With so many numbers of pairs in a row the power is there to stay."""


def laws(a: Array, b: Array) -> float:
    """Return the p-value of the two-sample Kolmogorov–Smirnov test of a and b (n,).

    It is exact for independent samples without ties. Ties, pairs that come out equal and pairs
    whose laws differ from one another make it larger, so that it rejects less often.
    """
    return float(ks_2samp(a, b, method="exact").pvalue)


def signs(a: Array, b: Array) -> float:
    """Return the p-value of the sign test of the pairs in a and b (n,), equal ones left out."""
    higher, lower = int(np.sum(b > a)), int(np.sum(b < a))
    return float(binomtest(higher, higher + lower).pvalue) if higher + lower else 1.0


def holm(p: Sequence[float], level: float = LEVEL) -> Array:
    """Return which of several hypotheses are rejected: any true one in at most ``level`` of cases.

    Holm 1979, Scandinavian Journal of Statistics 6.

    Examples
    --------
    >>> holm([0.02, 0.6, 0.001], level=0.05).tolist()
    [True, False, True]
    """
    order = np.argsort(p)
    below = np.asarray(p)[order] <= level / np.arange(len(p), 0, -1)
    rejected = np.empty(len(p), dtype=bool)
    rejected[order] = np.logical_and.accumulate(below)
    return rejected


def laws_power(n: int, level: float, change: float = CHANGE) -> float:
    """Return how often ``laws`` finds, with n pairs, laws that differ by ``change`` at some x.

    At least: with shares p and p − change of the runs below x the test finds what their observed
    difference shows. It is most uncertain for p = (1 + change)/2, where n times the difference plus
    n is binomial, of 2n with p.
    """
    least = _least_distance(n, level)
    return float(binom.sf(n + least - 1, 2 * n, (1.0 + change) / 2.0))


def signs_power(n: int, level: float, share: float = SHARE) -> float:
    """Return how often ``signs`` finds, with n pairs, that a ``share`` of runs is higher."""
    k = np.arange(n + 2)
    least = k[2.0 * binom.sf(k - 1, n, 0.5) <= level][0]
    return float(binom.sf(least - 1, n, share))


def smallest_change(n: int, level: float, power: float = POWER) -> float:
    """Return the least change, in hundredths, that ``laws`` finds with n pairs and the power.

    1 at most: with few pairs it finds not even that.
    """
    changes = np.linspace(0.01, 1.0, 100)
    found = np.array([laws_power(n, level, change) for change in changes]) >= power
    return float(changes[np.argmax(found)]) if found.any() else 1.0


@cache
def runs_needed(level: float, power: float = POWER) -> int:
    """Return the number of pairs from which on both tests, each at a level, have the power.

    Examples
    --------
    >>> runs_needed(0.0005)
    37
    """
    n, found = 0, 0
    while found < PATIENCE:  # powers rise with n, but not with every n
        n += 1
        enough = min(laws_power(n, level), signs_power(n, level)) >= power
        found = found + 1 if enough else 0
    return n - PATIENCE + 1


@cache
def _least_distance(n: int, level: float) -> int:
    """Return the least n·D that two samples of n are rejected for, n + 1 if there is none."""
    k = 1
    while k <= n and _exceeded(n, k) > level:
        k += 1
    return k


def _exceeded(n: int, k: int) -> float:
    """Return how often n·D ≥ k for two samples of n from one law.

    2 Σⱼ (−1)ʲ⁻¹ C(2n, n − jk) / C(2n, n), j = 1, 2, …: Gnedenko & Korolyuk 1951.
    """
    terms = [comb(2 * n, n - j * k) * (-1) ** (j - 1) for j in range(1, n // k + 1)]
    return min(1.0, 2 * sum(terms) / comb(2 * n, n))
