"""The rules of the verdicts: their size, their power, and examples by hand."""

import numpy as np
import pytest
from scipy.stats import barnard_exact, binom, binomtest, mannwhitneyu

from autocrit_lite import statistics
from autocrit_lite.statistics import (
    LEVEL,
    POWER,
    about,
    binomial,
    bootstrap,
    critical_score,
    design_effect,
    difference_of_shares,
    found,
    mann_whitney,
    mean_interval,
    means,
    never,
    resampled,
    score,
    shares,
    shown,
)


@pytest.mark.parametrize(("n", "m"), [(6, 7), (10, 10), (50, 50), (100, 37)])
def test_shares_of_one_law_are_rarely_called_different(n, m):
    """The size is computed exactly, at probabilities between those that the rule looks at."""
    a, b = np.arange(n + 1), np.arange(m + 1)
    rejected = score(a[:, None], n, b, m) >= critical_score(n, m)
    sizes = [
        np.sum(np.outer(binom.pmf(a, n, p), binom.pmf(b, m, p))[rejected])
        for p in np.linspace(0.0031, 0.9969, 301)
    ]
    assert 0.5 * LEVEL < max(sizes) < 1.02 * LEVEL


def test_shares_are_compared_by_barnards_test():
    n, m = 6, 7
    for a in range(n + 1):
        for b in range(m + 1):
            p = barnard_exact([[a, b], [n - a, m - b]]).pvalue
            if abs(p - LEVEL) > 2e-3:
                assert shares(a, n, b, m).agrees == (p > LEVEL), (a, b)


def test_overlapping_intervals_are_not_enough():
    """23 of 50 against 33 of 50 overlap, and are called different if the runs are independent."""
    ours, theirs = binomial(23, 50), binomial(33, 50)
    assert ours[1] > theirs[0]
    assert not shares(23, 50, 33, 50).agrees
    assert shares(23, 50, 33, 50, effect=1.6).agrees
    assert shares(23, 50, 33, 50).scaled == (True, False)


@pytest.mark.parametrize(
    ("printed", "of", "n"), [(33, 50, 50), (89, 100, 100), (8700, 10_000, 500)]
)
def test_the_smallest_difference_of_shares_is_seen_with_the_power_that_is_said(printed, of, n):
    compared = shares(n // 2, n, printed, of)
    low, high = compared.accepted
    seen = [
        binom.cdf(round(low * n) - 1, n, p) + binom.sf(round(high * n), n, p)
        for p in (
            printed / of - compared.smallest,
            printed / of - compared.smallest + 0.02,
        )
    ]
    assert seen[0] >= POWER - 1e-9
    assert seen[1] < POWER


def test_runs_in_groups_need_their_design_effect():
    """Of groups of 10 whose shares vary, the plain test calls too many of one law different."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(10), 10)
    plain, adjusted, sizes = 0, 0, 100
    for _ in range(sizes):
        a, b = rng.random((2, 100)) < np.repeat(rng.beta(2.0, 2.0, (2, 10)), 10, axis=1)
        effect = design_effect(a, groups)
        plain += not shares(a.sum(), 100, b.sum(), 100).agrees
        adjusted += not shares(a.sum(), 100, b.sum(), 100, effect).agrees
    assert plain / sizes > 0.15
    assert adjusted / sizes < 0.14


def test_the_design_effect_of_groups_by_hand():
    groups = np.repeat(np.arange(4), 5)
    assert design_effect(groups > 1, groups) == pytest.approx(5.0)  # each group of one kind
    assert design_effect(np.arange(20) % 5 > 2, groups) == 1.0  # each group the same
    assert design_effect(np.arange(20) > 3, np.arange(20)) == 1.0


def test_means_of_one_law_are_called_different_as_often_as_is_said():
    rng = np.random.default_rng(1)
    trials = 2000
    differ = 0
    for _ in range(trials):
        ours, theirs = rng.normal(3.0, 2.0, 2), rng.normal(3.0, 2.0, 8)
        differ += not means(ours, theirs.mean(), theirs.std(ddof=1), 8).agrees
    assert abs(differ / trials - LEVEL) < 4.0 * np.sqrt(LEVEL * (1.0 - LEVEL) / trials)


def test_means_see_the_smallest_difference_with_the_power_that_is_said():
    rng = np.random.default_rng(2)
    theirs = rng.normal(0.0, 1.0, 400)
    printed, spread = theirs.mean(), theirs.std(ddof=1)
    smallest = means(rng.normal(0.0, 1.0, 40), printed, spread, 400).smallest
    seen = np.mean(
        [
            not means(rng.normal(printed + smallest, 1.0, 40), printed, spread, 400).agrees
            for _ in range(600)
        ]
    )
    assert abs(seen - POWER) < 0.06


def test_means_without_spread_are_compared_exactly_and_others_with_a_known_error():
    assert means([5.0, 5.0], 5.0, 0.0, 8).agrees
    assert not means([5.0, 5.0], 5.1, 0.0, 8).agrees
    close = means([0.9705, 0.9705], 0.9730, 0.0, 8, error=0.0016)
    assert close.agrees
    assert not means([0.9705, 0.9705], 0.9730, 0.0, 8, error=0.0008).agrees


@pytest.fixture
def few_replicates(monkeypatch):
    monkeypatch.setattr(statistics, "REPLICATES", 200)


def test_medians_of_one_law_are_rarely_called_different(few_replicates):
    """Runs come in groups, which a bootstrap of single runs does not see."""
    rng = np.random.default_rng(3)
    groups, trials = np.repeat(np.arange(10), 5), 120
    differ = {"groups": 0, "runs": 0}
    for _ in range(trials):
        of_groups = np.repeat(rng.normal(0.0, 3.0, (2, 10)), 5, axis=1)
        ours, theirs = of_groups + rng.normal(size=(2, 50))
        for name, own in (("groups", groups), ("runs", np.arange(50))):
            compared = resampled(
                lambda x, ours=ours: np.median(ours[x]),
                own,
                float(np.median(theirs)),
                len(set(own)),
            )
            differ[name] += not compared.agrees
    assert differ["groups"] / trials < 0.12
    assert differ["runs"] / trials > 0.25


def test_what_is_resampled_has_the_error_of_its_mean():
    values = np.random.default_rng(4).normal(size=400)
    mean, (low, high) = bootstrap(lambda x: float(values[x].mean()), np.arange(400))
    assert mean == pytest.approx(values.mean())
    assert (high - low) / 2.0 == pytest.approx(1.96 * values.std() / 20.0, rel=0.2)
    against = resampled(lambda x: float(values[x].mean()), np.arange(400), mean + 1.0, 400)
    exact = resampled(lambda x: float(values[x].mean()), np.arange(400), mean + 1.0, None)
    assert not against.agrees
    ratio = np.diff(against.accepted) / np.diff(exact.accepted)
    assert ratio == pytest.approx(np.sqrt(2.0), rel=0.15)
    assert exact.smallest == pytest.approx((1.96 + 0.84) * values.std() / 20.0, rel=0.15)


def test_positive_numbers_are_compared_by_their_ratio(few_replicates):
    """A third of a widely spread number is no less than its triple, though it is nearer."""
    values = np.exp(np.random.default_rng(6).normal(0.0, 0.8, 100))

    def median(rows):
        return float(np.median(values[rows]))

    third, triple = (
        statistics.ratios(median, np.arange(100), median(np.arange(100)) * factor, 100)
        for factor in (1.0 / 3.0, 3.0)
    )
    assert not third.agrees
    assert not triple.agrees
    assert third.accepted[0] / third.printed == pytest.approx(triple.accepted[0] / triple.printed)
    assert third.value == median(np.arange(100))


def test_a_statistic_that_is_not_defined_differs_without_a_warning(few_replicates):
    compared = resampled(lambda x: np.nan, np.arange(5), 1.0, 5)
    assert not compared.agrees
    assert np.isnan(compared.smallest)
    assert not shown(np.nan, (np.nan, np.nan), above=0.0).agrees


def test_a_statement_has_to_be_shown():
    assert shown(0.6, (0.55, 0.65), above=0.5).agrees
    assert not shown(0.6, (0.45, 0.75), above=0.5).agrees
    assert shown(0.6, (0.45, 0.75), above=0.5).scaled == (False, False)
    assert shown(0.6, (0.49, 0.71), above=0.5).scaled == (False, True)
    assert not shown(0.5, (0.5, 0.5), above=0.5).agrees
    assert not shown(-0.1, (-0.2, 0.01), below=0.0).agrees
    assert shown(0.5, (0.4, 0.6), above=0.25, below=0.75).agrees
    assert not shown(0.7, (0.6, 0.8), above=0.25, below=0.75).agrees


def test_a_rough_number_differs_beyond_its_factor():
    assert about(278.0, 100.0, np.sqrt(10.0)).agrees
    assert not about(330.0, 100.0, np.sqrt(10.0)).agrees
    assert about(330.0, 100.0, np.sqrt(10.0), (300.0, 363.0)).agrees
    assert not about(20.0, 100.0, 4.0, (19.0, 24.0)).agrees
    assert about(20.0, 100.0, 4.0, (16.0, 26.0)).scaled == (True, False)
    # an interval that reaches zero rules out no lower number, and still rules out higher ones
    assert about(1e4, 100.0, 4.0, (-3.0, 2e4)).agrees
    assert about(1e4, 100.0, 4.0, (-3.0, 2e4)).smallest == np.inf
    assert not about(1.0, 100.0, 4.0, (-3.0, 2.0)).agrees
    assert not about(0.0, 100.0, 4.0, (0.0, 2.0)).agrees


def test_none_and_some_and_what_would_have_been_missed():
    assert never(0, 306).agrees
    assert not never(1, 306).agrees
    assert 1.0 - (1.0 - never(0, 306).smallest) ** 306 == pytest.approx(POWER)
    assert found(1, 50).agrees
    assert not found(0, 50).agrees
    assert (1.0 - found(0, 50).smallest) ** 50 == pytest.approx(POWER)


def test_intervals_of_shares():
    for count, of in ((0, 10), (3, 10), (10, 10), (823, 10_000)):
        exact = binomtest(count, of).proportion_ci()
        assert binomial(count, of) == pytest.approx((exact.low, exact.high), abs=1e-9)
    assert binomial(0, 0) == (0.0, 1.0)
    # Newcombe 1998, Table II, (a), method 10
    difference, interval = difference_of_shares(56, 70, 48, 80)
    assert difference == pytest.approx(0.2)
    assert interval == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_other_statistics_are_those_of_scipy():
    rng = np.random.default_rng(5)
    x, y = rng.integers(0, 9, 20), rng.integers(3, 12, 30)
    assert mann_whitney(x, y) == mannwhitneyu(x, y).statistic
    low, high = mean_interval(np.array([1.0, 2.0, 3.0]))
    assert (low, high) == pytest.approx((2.0 - 2.4841, 2.0 + 2.4841), abs=1e-4)
