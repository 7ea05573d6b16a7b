"""Intervals, and the rules by which a measurement agrees with what a paper prints.

The kind of the statement chooses its rule, before anything is measured:

- a share of stated runs: ``shares``; a mean ± standard deviation of stated trials: ``means``; any
  other statistic of runs: ``resampled``, or ``ratios`` of one that is positive. These test whether
  both samples have one law, the paper's own sampling error included;
- an order of magnitude, or a number printed with "about": ``about``;
- a statement without a number, such as "most" or "grows": it has to be ``shown``;
- "none" and "all": ``never``; "some": ``found``.

Each says what it could have seen: the smallest difference that it calls "differs" with probability
``POWER``. SciPy's statistics are imported where they are used: they slow every start of the
command.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .arrays import Array

LEVEL = 0.05
"""How often a rule may call two samples of one law different."""

POWER = 0.8
"""With this probability the stated smallest difference is called "differs"."""

SCALES = (0.5, 2.0)
"""The sample sizes, relative to ours, at which each verdict is asked for again."""

REPLICATES = 2000

LARGEST_TABLE = 50_000
"""Beyond as many pairs of counts Barnard's test is that of the normal law (chosen by us)."""

Z_LEVEL, Z_POWER = 1.959963984540054, 0.8416212335729143
"""Quantiles of the normal law at 1 − LEVEL/2 and at POWER."""

Interval = tuple[float, float]
Statistic = Callable[[Array], float]
"""Of the runs whose numbers it is given."""


@dataclass(frozen=True)
class Comparison:
    """A measured value beside a printed one.

    Attributes
    ----------
    rule : str
        The function of this module that compared them.
    value, printed : float
    interval : (float, float)
        The 95 % interval of ``value``.
    accepted : (float, float)
        Which values agree with the printed one.
    smallest : float
        The smallest difference from ``printed`` that the rule calls "differs" with probability
        ``POWER``; of ``shown``, how far on the right side of it the truth may still lie then.
    scaled : (bool, bool)
        Whether they would agree with half and with twice our sample, at the same ``value`` and with
        a standard error that goes as 1/√n.
    """

    rule: str
    value: float
    printed: float
    interval: Interval
    accepted: Interval
    smallest: float
    scaled: tuple[bool, ...]

    @property
    def agrees(self) -> bool:
        """Whether the rule finds no difference, or the statement shown."""
        return self.accepted[0] <= self.value <= self.accepted[1]


def _compared(
    rule: str,
    value: float,
    printed: float,
    interval: Interval,
    accepted: Callable[[float], Interval],
    smallest: float,
) -> Comparison:
    """Return a comparison by what is accepted with a sample of a size relative to ours."""
    scaled = [low <= value <= high for low, high in map(accepted, SCALES)]
    low, high = (float(x) for x in accepted(1.0))
    numbers = float(value), float(printed), interval
    return Comparison(rule, *numbers, (low, high), float(smallest), tuple(map(bool, scaled)))


def shares(
    count: int,
    of: int,
    printed: int,
    printed_of: int,
    effect: float = 1.0,
    level: float = LEVEL,
) -> Comparison:
    """Compare two shares by Barnard's exact test with the pooled score statistic [1]_ [2]_.

    It rejects the pairs of counts of the largest statistic, as many as any common probability
    gives at most ``level``. Beyond ``LARGEST_TABLE`` pairs it is the score test itself. Where runs
    come in groups, all counts are divided by the design effect [3]_, the paper's too.

    Parameters
    ----------
    count, of, printed, printed_of : int
        Runs that are counted, and runs: ours and the paper's.
    effect : float
        See ``design_effect``; 1 for independent runs.
    level : float

    References
    ----------
    .. [1] Barnard, *Significance tests for 2 × 2 tables*, Biometrika 34, 1947.
    .. [2] Lydersen, Fagerland & Laake, *Recommended tests for association in 2 × 2 tables*,
       Statistics in Medicine 28, 2009.
    .. [3] Rao & Scott, *A simple method for the analysis of clustered binary data*,
       Biometrics 48, 1992.
    """
    from scipy.stats import binom

    share, m = printed / printed_of, max(round(printed_of / effect), 1)
    possible = np.arange(of + 1) / of

    def accepted(scale: float) -> Interval:
        n = max(round(of * scale / effect), 1)
        own = possible[score(possible * n, n, share * m, m) < critical_score(n, m, level)]
        return float(own[0]), float(own[-1])

    low, high = accepted(1.0)
    n = max(round(of / effect), 1)
    truth = np.linspace(0.0, 1.0, 1001)
    below, above = np.ceil(low * n - 1e-9) - 1, np.floor(high * n + 1e-9)
    seen = binom.cdf(below, n, truth) + binom.sf(above, n, truth) >= POWER
    sides = [np.abs(truth[seen & side] - share) for side in (truth > share, truth < share)]
    smallest = max((side.min() for side in sides if len(side)), default=np.nan)
    interval = binomial(count / effect, of / effect)
    return _compared("shares", count / of, share, interval, accepted, smallest)


def design_effect(runs: Array, groups: Array) -> float:
    """Return by what the variance of a share grows since runs come in groups, at least 1.

    It is 1 + (k − 1)ρ for groups of k, with ρ by analysis of variance [1]_.

    Parameters
    ----------
    runs : boolean array (R,)
    groups : array (R,)
        The group of each run.

    References
    ----------
    .. [1] Donner & Klar, *Design and Analysis of Cluster Randomization Trials*, 2000, section 1.3.
    """
    names, sizes = np.unique(groups, return_counts=True)
    share = np.array([runs[groups == name].mean() for name in names])
    if len(names) < 2 or sizes.max() < 2:
        return 1.0
    k = len(runs) / len(names)
    within = np.sum(sizes * share * (1.0 - share)) / (len(runs) - len(names))
    between = np.sum(sizes * (share - runs.mean()) ** 2) / (len(names) - 1)
    whole = between + (k - 1.0) * within
    return float(max(1.0, 1.0 + (k - 1.0) * (between - within) / whole)) if whole else 1.0


def score(count: Array | int, of: int, printed: Array | int, printed_of: int) -> Array:
    """Return the size of the pooled score statistic of two shares, 0 where both are 0 or 1."""
    pooled = (count + printed) / (of + printed_of)
    variance = pooled * (1.0 - pooled) * (1.0 / of + 1.0 / printed_of)
    difference = np.abs(count / of - printed / printed_of)
    return difference / np.sqrt(np.where(variance > 0.0, variance, 1.0))


@lru_cache
def critical_score(n: int, m: int, level: float = LEVEL) -> float:
    """Return the score from which on ``shares`` rejects with n and m runs."""
    from scipy.stats import binom, norm

    if n * m > LARGEST_TABLE:
        return float(norm.ppf(1.0 - level / 2.0))
    a, b = np.arange(n + 1), np.arange(m + 1)
    scores = score(a[:, None], n, b, m).ravel()
    order = np.argsort(-scores)
    p = np.linspace(0.005, 0.5, 100)[:, None]  # the score does not change if runs are miscounted
    size = np.zeros(len(order))
    for q in p:
        joint = np.outer(binom.pmf(a, n, q), binom.pmf(b, m, q)).ravel()
        size = np.maximum(size, np.cumsum(joint[order]))
    kept = scores[order][size > level]
    return float(kept[0]) * (1.0 + 1e-9) + 1e-9


def means(
    values: Sequence[float] | Array,
    printed: float,
    printed_deviation: float,
    printed_of: int,
    error: float = 0.0,
    level: float = LEVEL,
) -> Comparison:
    """Compare two means by Student's test with the pooled variance [1]_.

    Of a replication the null hypothesis is that both samples have one law, hence one variance.

    Parameters
    ----------
    values : array (trials,)
    printed, printed_deviation : float
        The paper's mean and standard deviation.
    printed_of : int
        The trials of the paper.
    error : float
        A standard error that each mean has besides, of which we know; degrees of freedom by
        Satterthwaite [2]_.
    level : float

    References
    ----------
    .. [1] Student, *The probable error of a mean*, Biometrika 6, 1908.
    .. [2] Satterthwaite, *An approximate distribution of estimates of variance components*,
       Biometrics Bulletin 2, 1946.
    """
    from scipy.stats import t

    n = len(values)
    mean, squares = float(np.mean(values)), float(np.var(values) * n)
    variance = (squares + (printed_of - 1) * printed_deviation**2) / (n + printed_of - 2)

    def spread(scale: float, *sizes: float) -> tuple[float, float]:
        """Return the standard error of a difference of means of ``sizes``, and its quantile."""
        sampled = variance * sum(1.0 / size for size in sizes)
        whole, freedom = sampled + len(sizes) * error**2, scale * n + printed_of - 2
        freedom *= (whole / sampled) ** 2 if sampled else np.inf
        return float(np.sqrt(whole)), float(t.ppf(1.0 - level / 2.0, freedom))

    def accepted(scale: float) -> Interval:
        s, quantile = spread(scale, scale * n, printed_of)
        return printed - quantile * s, printed + quantile * s

    own, quantile = spread(1.0, n)
    smallest = accepted(1.0)[1] - printed + Z_POWER * own
    interval = mean - quantile * own, mean + quantile * own
    return _compared("means", mean, printed, interval, accepted, smallest)


def resampled(
    statistic: Statistic,
    groups: Array,
    printed: float,
    printed_of: int | None,
    level: float = LEVEL,
) -> Comparison:
    """Compare a statistic of runs by the bootstrap of groups of runs [1]_.

    The paper's is taken to have our sampling law: differences between two bootstrap samples, of as
    many groups as ours and as the paper's, say how far two measurements of one law are apart.

    Parameters
    ----------
    statistic : callable
        Of the numbers of runs (N,), some of them more than once.
    groups : array (runs,)
        The group of each run: runs of one trajectory are not independent.
    printed : float
    printed_of : int or None
        The groups of the paper; None if the printed number has no sampling error.
    level : float

    References
    ----------
    .. [1] Davison & Hinkley, *Bootstrap Methods and their Application*, 1997, sections 3.8 and 4.4.
    """
    n = len(np.unique(groups))
    value = float(statistic(np.arange(len(groups))))
    rng = np.random.default_rng(0)
    ours = resample(statistic, groups, n, rng)
    middle = center(ours)
    if printed_of is None:
        theirs = np.full(REPLICATES, middle)
    else:
        theirs = resample(statistic, groups, printed_of, rng)

    def accepted(scale: float) -> Interval:
        own = middle + (ours - middle) / np.sqrt(scale)
        return quantiles(printed + own - theirs, 1.0 - level)

    within = accepted(1.0)
    low, high = quantiles(ours - middle, 2.0 * POWER - 1.0)
    smallest = max(within[1] - printed - low, printed - within[0] + high)
    return _compared("resampled", value, printed, quantiles(ours), accepted, smallest)


def ratios(
    statistic: Statistic, groups: Array, printed: float, printed_of: int, level: float = LEVEL
) -> Comparison:
    """Compare a positive statistic of runs, such as a count of iterations, as ``resampled`` does.

    Its logarithm is compared: the spread of such a number grows with it.
    """
    compared = resampled(
        lambda runs: float(np.log(statistic(runs))),
        groups,
        float(np.log(printed)),
        printed_of,
        level,
    )
    low, high = (float(np.exp(end)) for end in compared.interval)
    accepted = [float(np.exp(end)) for end in compared.accepted]
    return Comparison(
        "ratios",
        float(statistic(np.arange(len(groups)))),
        printed,
        (low, high),
        (accepted[0], accepted[1]),
        printed * float(np.expm1(compared.smallest)),
        compared.scaled,
    )


def resample(statistic: Statistic, groups: Array, size: int, rng: np.random.Generator) -> Array:
    """Return bootstrap replicates (REPLICATES,) of a statistic, over ``size`` groups of runs.

    They are spread by √(n/(n − 1)), since a bootstrap of n groups has (n − 1)/n of the variance.
    """
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    drawn = rng.integers(len(members), size=(REPLICATES, size))
    if len(members) == len(groups):
        found = np.array([statistic(row) for row in drawn])
    else:
        found = np.array([statistic(np.concatenate([members[i] for i in row])) for row in drawn])
    middle = center(found)
    return np.asarray(middle + (found - middle) * np.sqrt(len(members) / max(len(members) - 1, 1)))


def center(values: Array) -> float:
    """Return the mean of the finite values, NaN of none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else np.nan


def bootstrap(statistic: Statistic, groups: Array) -> tuple[float, Interval]:
    """Return a statistic of runs and its 95 % bootstrap interval over groups of runs (runs,)."""
    n = len(np.unique(groups))
    found = resample(statistic, groups, n, np.random.default_rng(0))
    return float(statistic(np.arange(len(groups)))), quantiles(found)


def mean_interval(values: Array) -> Interval:
    """Return Student's 95 % interval of the mean of values (n,), as wide as they are for one."""
    from scipy.stats import t

    n, mean = len(values), float(np.mean(values))
    if n < 2:
        return mean, mean
    half = float(t.ppf(1.0 - LEVEL / 2.0, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return mean - half, mean + half


def shown(
    value: float, interval: Interval, *, above: float = -np.inf, below: float = np.inf
) -> Comparison:
    """Compare a value with a statement that has to be shown: all of its interval must be there.

    Parameters
    ----------
    value : float
    interval : (float, float)
        Its 95 % interval, as wide as 1/√n with the sample.
    above, below : float
        What the statement says, such as "most": above one half. At least one of them.
    """
    down, up = value - interval[0], interval[1] - value

    def accepted(scale: float) -> Interval:
        low, high = above + down / np.sqrt(scale), below - up / np.sqrt(scale)
        # strictly beyond the bound, which may be none
        return float(np.nextafter(low, np.inf if np.isfinite(low) else low)), float(
            np.nextafter(high, -np.inf if np.isfinite(high) else high)
        )

    smallest = (1.0 - Z_POWER / Z_LEVEL) * max(down, up)
    printed = above if value - above < below - value else below
    return _compared("shown", value, printed, interval, accepted, smallest)


def about(
    value: float, printed: float, factor: float, interval: Interval | None = None
) -> Comparison:
    """Compare a positive number with one that is printed roughly.

    They differ where all of the interval is farther from the printed one than a factor.

    Parameters
    ----------
    value, printed : float
    factor : float
        10^½ for an order of magnitude.
    interval : (float, float), optional
        The 95 % interval of ``value``, on a logarithmic scale as wide as 1/√n with the sample.
    """
    low, high = interval or (value, value)
    # an interval that reaches zero says nothing of how small the number may be
    down = value / low if low > 0.0 else np.inf
    up = high / value if value > 0.0 else 1.0

    def accepted(scale: float) -> Interval:
        power = 1.0 / np.sqrt(scale)
        return printed / factor / up**power, printed * factor * down**power

    smallest = printed * factor * down ** (1.0 + Z_POWER / Z_LEVEL) - printed
    return _compared("about", value, printed, interval or (value, value), accepted, smallest)


def never(count: int, of: int) -> Comparison:
    """Compare with "none": one run of ``of`` refutes it. "All" is never the contrary."""
    smallest = 1.0 - (1.0 - POWER) ** (1.0 / max(of, 1))
    share = count / of if of else np.nan
    return _compared("never", share, 0.0, binomial(count, of), lambda _: (0.0, 0.0), smallest)


def found(count: int, of: int) -> Comparison:
    """Compare with "some": one run of ``of`` shows it. A smaller share would have been missed."""
    smallest = 1.0 - POWER ** (1.0 / of)
    here = np.nextafter(0.0, 1.0), 1.0
    return _compared("found", count / of, 0.0, binomial(count, of), lambda _: here, smallest)


def quantiles(values: Array, level: float = 1.0 - LEVEL) -> Interval:
    """Return the middle 95 % of values, NaN aside, or another share; NaN of none."""
    finite = values[np.isfinite(values)]
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(finite, (tail, 1.0 - tail)) if len(finite) else (np.nan, np.nan)
    return float(low), float(high)


def binomial(count: float, of: float) -> Interval:
    """Return the exact 95 % interval of a share [1]_, all of it where there is no run.

    Parameters
    ----------
    count, of : float
        Need not be whole: see ``shares``.

    References
    ----------
    .. [1] Clopper & Pearson, *The use of confidence or fiducial limits illustrated in the case of
       the binomial*, Biometrika 26, 1934.
    """
    from scipy.stats import beta

    low = beta.ppf(LEVEL / 2.0, count, of - count + 1.0) if count > 0 else 0.0
    high = beta.ppf(1.0 - LEVEL / 2.0, count + 1.0, of - count) if count < of else 1.0
    return float(low), float(high)


def difference_of_shares(
    count: float, of: float, other: float, of_other: float
) -> tuple[float, Interval]:
    """Return the difference of two shares and its 95 % interval by Newcombe's method 10 [1]_.

    Parameters
    ----------
    count, of, other, of_other : float
        Need not be whole: see ``shares``.

    References
    ----------
    .. [1] Newcombe, *Interval estimation for the difference between independent proportions*,
       Statistics in Medicine 17, 1998.
    """
    p, q = count / of, other / of_other
    (a, b), (c, d) = wilson(p, of), wilson(q, of_other)
    return p - q, (p - q - float(np.hypot(p - a, d - q)), p - q + float(np.hypot(b - p, q - c)))


def wilson(share: float, of: float) -> Interval:
    """Return the 95 % score interval of a share [1]_.

    References
    ----------
    .. [1] Wilson, *Probable inference, the law of succession, and statistical inference*,
       Journal of the American Statistical Association 22, 1927.
    """
    z = Z_LEVEL**2 / of
    middle, half = share + z / 2.0, np.sqrt(z * (share * (1.0 - share) + z / 4.0))
    return float((middle - half) / (1.0 + z)), float((middle + half) / (1.0 + z))


def rank_correlation(x: Array, y: Array) -> float:
    """Return Spearman's rank correlation of x and y (runs,), NaN if one of them is constant."""
    from scipy.stats import rankdata

    a, b = rankdata(x), rankdata(y)
    return float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) and np.ptp(b) else np.nan


def mann_whitney(x: Array, y: Array) -> float:
    """Return U: in how many pairs x is the larger, half of the ties included."""
    from scipy.stats import rankdata

    return float(rankdata(np.concatenate([x, y]))[: len(x)].sum() - len(x) * (len(x) + 1) / 2.0)


def curvature(x: Array, y: Array) -> float:
    """Return the quadratic term of the least-squares parabola y(x), both scaled to their ranges.

    NaN with fewer than three different x, or a constant y.
    """
    if len(np.unique(x)) < 3 or np.ptp(y) == 0.0:
        return np.nan
    u, v = (x - x.min()) / np.ptp(x), (y - y.min()) / np.ptp(y)
    return float(np.linalg.lstsq(np.vander(u, 3), v, rcond=None)[0][0])
