import numpy as np
import pytest
from scipy.stats import binom, norm

from autocrit_lite.runner import agreement
from autocrit_lite.runner.agreement import (
    CHANGE,
    LEVEL,
    POWER,
    SHARE,
    holm,
    laws,
    laws_power,
    runs_needed,
    signs,
    signs_power,
    smallest_change,
)


@pytest.mark.parametrize("n", [3, 20, 57])
def test_the_law_of_the_distance_is_that_of_the_test(n):
    for k in range(1, n + 1):
        a, b = np.arange(n, dtype=float), np.arange(n) + k - 0.5  # k of b lie above all of a
        assert laws(a, b) == pytest.approx(agreement._exceeded(n, k), rel=1e-9)


def samples(rng, n, kind):
    """Return pairs of one law, as runs are: some equal, some of other laws than others."""
    a, b = rng.normal(size=(2, n))
    if kind == "chaotic":
        return a, b
    if kind == "classes":
        return np.floor(a), np.floor(b)
    hard = 5.0 * rng.integers(3, size=n)  # starts of three kinds, a third of them not chaotic
    return hard + a, hard + np.where(hard == 5.0, a, b)


@pytest.mark.parametrize("kind", ["chaotic", "classes", "paired"])
def test_what_repeats_is_rejected_at_most_at_the_level(kind):
    rng, level, trials, comparisons = np.random.default_rng(1), 0.05, 400, 3
    false_alarms = 0
    for _ in range(trials):
        pairs = [samples(rng, 40, kind) for _ in range(comparisons)]
        p = [test(a, b) for a, b in pairs for test in (laws, signs)]
        false_alarms += holm(p, level).any()
    assert false_alarms <= binom.ppf(1.0 - 1e-6, trials, level)


def rate(rng, test, level, draw, trials=400):
    return np.mean([test(*draw(rng)) <= level for _ in range(trials)])


def apart(change):
    """Return by how much normal laws are shifted whose distribution functions differ by so much."""
    return 2.0 * norm.ppf(0.5 + change / 2.0)


@pytest.mark.parametrize(
    ("draw", "exact"),
    [
        (lambda rng, n: rng.random((2, n)) < [[0.5 - CHANGE / 2], [0.5 + CHANGE / 2]], True),
        (lambda rng, n: rng.random((2, n)) < [[0.0], [CHANGE]], False),
        (lambda rng, n: rng.normal([[0.0], [apart(CHANGE)]], size=(2, n)), False),
    ],
)
def test_the_power_against_another_law_is_at_least_as_stated(draw, exact):
    n, level, trials = 33, LEVEL, 400
    stated = laws_power(n, level)
    found = rate(np.random.default_rng(2), laws, level, lambda rng: draw(rng, n).astype(float))
    spread = 5.0 * np.sqrt(stated * (1.0 - stated) / trials)
    assert found >= stated - spread
    if exact:  # the least favourable law
        assert found <= stated + spread


def test_the_power_against_runs_on_one_side_is_as_stated():
    n, level, trials = 30, LEVEL, 1000
    stated = signs_power(n, level)

    def draw(rng):
        return np.zeros(n), np.where(rng.random(n) < SHARE, 1.0, -1.0)

    found = rate(np.random.default_rng(3), signs, level, draw, trials)
    assert abs(found - stated) <= 5.0 * np.sqrt(stated * (1.0 - stated) / trials)


@pytest.mark.parametrize("level", [LEVEL, LEVEL / 28])
def test_so_many_runs_have_the_power_and_one_less_does_not(level):
    needed = runs_needed(level)
    powers = [
        min(laws_power(n, level), signs_power(n, level)) for n in range(needed - 1, 2 * needed)
    ]
    assert powers[0] < POWER
    assert min(powers[1:]) >= POWER
    assert smallest_change(needed, level) <= CHANGE
    assert smallest_change(5, level) == 1.0


def test_equal_pairs_say_nothing():
    a = np.arange(9.0)
    assert signs(a, a) == 1.0
    assert signs(a, a + np.array([1, 1, 1, 0, 0, 0, 0, 0, 0])) == pytest.approx(0.25)
