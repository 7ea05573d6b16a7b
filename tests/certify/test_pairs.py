"""Numbers of two floats, against exact fractions and FLINT."""

from fractions import Fraction

import numpy as np
import pytest
from flint import arb, ctx

from autocrit_lite.certify.pairs import Pairs, two_product, two_sum, where


def random(rng, *shape, radius=1.0):
    """Return pairs over many sizes, some exact, some floats, some around zero."""
    high = rng.normal(size=shape) * 10.0 ** rng.uniform(-4.0, 4.0, shape)
    low = high * rng.uniform(-1.0, 1.0, shape) * 2.0**-54
    kind = rng.integers(0, 4, shape)
    low = np.where(kind == 0, 0.0, low)
    wide = np.abs(high) * 10.0 ** rng.uniform(-32.0, -2.0, shape)
    high, low = two_sum(high, low)
    return Pairs(high, low, radius * np.where(kind == 1, 0.0, wide))


def ends(x, at):
    middle = Fraction(float(x.high[at])) + Fraction(float(x.low[at]))
    return [middle + sign * Fraction(float(x.radius[at])) for sign in (-1, 0, 1)]


def holds(x, at, number):
    return abs(number - ends(x, at)[1]) <= Fraction(float(x.radius[at]))


@pytest.mark.parametrize("seed", range(4))
def test_no_sum_product_or_quotient_leaves_its_ball(seed):
    rng = np.random.default_rng(seed)
    for radius in (0.0, 1.0):
        x, y = random(rng, 80, radius=radius), random(rng, 80, radius=radius)
        # some sums cancel
        y = where(np.arange(80) % 5 > 0, y, -x)
        whole = x + y, x - y, x * y, x / y
        for at in range(80):
            for a in ends(x, at):
                for b in ends(y, at):
                    for found, exact in zip(whole, (a + b, a - b, a * b, a / b), strict=True):
                        assert holds(found, at, exact)
            if radius == 0.0:
                assert whole[2].radius[at] <= 1e-30 * abs(whole[2].high[at])
                assert whole[3].radius[at] <= 1e-30 * abs(whole[3].high[at])
    assert not np.isfinite((x / (y - y)).radius).any()


@pytest.mark.parametrize("seed", range(4))
def test_two_floats_hold_a_sum_and_a_product_exactly(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 200)) * 10.0 ** rng.uniform(-40.0, 40.0, (2, 200))
    for operation, exact in ((two_sum, Fraction.__add__), (two_product, Fraction.__mul__)):
        high, low = operation(a, b)
        for x, y, h, x_low in zip(*map(np.ndarray.tolist, (a, b, high, low)), strict=True):
            assert Fraction(h) + Fraction(x_low) == exact(Fraction(x), Fraction(y))


@pytest.mark.parametrize("shape", [(2, 1, 3), (3, 7, 2), (2, 200, 2), (1, 1500, 1)])
@pytest.mark.parametrize("radius", [0.0, 1.0])
def test_no_matrix_product_leaves_its_ball(shape, radius):
    rng = np.random.default_rng(0)
    m, k, n = shape
    x, y = random(rng, m, k, radius=radius), random(rng, k, n, radius=radius)
    found, total = x @ y, x.sum(axis=1)
    for i in range(m):
        rows = [ends(x, (i, p)) for p in range(k)]
        assert holds(total, i, sum(row[0] for row in rows))
        assert holds(total, i, sum(row[2] for row in rows))
        for j in range(n):
            pairs = [[a * b for a in rows[p] for b in ends(y, (p, j))] for p in range(k)]
            assert holds(found, (i, j), sum(map(max, pairs)))
            assert holds(found, (i, j), sum(map(min, pairs)))
    if not radius:
        size = np.linalg.norm(x.high, axis=1)[:, None] * np.linalg.norm(y.high, axis=0)
        assert np.all(found.radius <= 1e-24 * k * size)
        assert np.all(found.radius > 0.0)


@pytest.mark.parametrize("k", [1, 4])
def test_matrix_products_of_wide_balls_reach_their_ends(k):
    x = Pairs(np.ones((1, k)), np.zeros((1, k)), np.ones((1, k)))
    y = Pairs(np.ones((k, 1)), np.zeros((k, 1)), np.ones((k, 1)))
    # all factors lie in [0, 2]
    assert holds(x @ y, (0, 0), Fraction(4 * k))
    assert holds(x @ y, (0, 0), Fraction(0))


def of_flint(x):
    with ctx.workprec(200):
        return [arb(float(h)) + arb(float(y)) for h, y in zip(x.high, x.low, strict=True)]


FUNCTIONS = {
    "exp": lambda x: x.exp(),
    "sigmoid": lambda x: 1 / (1 + (-x).exp()),
    "tanh": lambda x: x.tanh(),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_what_flint_says(name):
    rng = np.random.default_rng(1)
    # every step of the table, its borders, huge numbers and tiny ones
    high = np.concatenate(
        [
            np.arange(-640 * 64.0, 0.0, 97.0) / 64.0,
            (np.arange(-200.0, 1.0) + 0.5) / 64.0 - 1.0 / 64.0,
            -(10.0 ** rng.uniform(-300.0, 5.0, 200)),
            -rng.uniform(0.0, 40.0, 200),
            [0.0],
        ]
    )
    if name != "exp":
        high = np.concatenate([high, -high])
    low = high * rng.uniform(-1.0, 1.0, high.shape) * 2.0**-54
    for radius in (0.0, 1e-25, 1e-3, 0.5):
        x = Pairs(*two_sum(high, low), np.full_like(high, radius))
        found = getattr(x, name)()
        with ctx.workprec(200):
            around = of_flint(found)
            balls = [a + arb(0, float(r)) for a, r in zip(around, found.radius, strict=True)]
            for at, ball in zip(of_flint(x), balls, strict=True):
                for sign in (-1, 0, 1):
                    exact = FUNCTIONS[name](at + sign * arb(radius))
                    assert exact in ball
        if radius == 0.0:
            assert np.all(found.radius <= 1e-30)


def test_what_is_not_finite_gets_an_infinite_radius():
    x = Pairs.of(np.array([np.nan, np.inf, 3.0]))
    assert np.isinf(x.exp().radius).all()
    wide = Pairs(np.array([-1.0]), np.array([0.0]), np.array([2.0]))
    assert np.isinf(wide.exp().radius).all()
