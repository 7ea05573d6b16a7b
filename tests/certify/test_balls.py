"""The arithmetic of balls, against exact fractions."""

from fractions import Fraction

import numpy as np
import pytest
from flint import arb, ctx

from autocrit_lite.certify.balls import Balls, enlarged

SIGNS = (-1, 0, 1)


def random(rng, *shape):
    """Return balls of all kinds: exact ones, those around zero, wide and narrow ones."""
    middle = rng.normal(size=shape) * 10.0 ** rng.uniform(-3.0, 3.0, shape)
    radius = rng.uniform(size=shape) * 10.0 ** rng.uniform(-18.0, 1.0, shape)
    kind = rng.integers(0, 3, shape)
    return Balls(np.where(kind == 0, 0.0, middle), np.where(kind == 1, 0.0, radius))


def ends(ball):
    """Return the middle and both ends of one ball, exactly."""
    return [Fraction(float(ball.middle)) + s * Fraction(float(ball.radius)) for s in SIGNS]


def holds(ball, number):
    return abs(number - Fraction(float(ball.middle))) <= Fraction(float(ball.radius))


@pytest.mark.parametrize("seed", range(4))
def test_sums_products_and_quotients_of_numbers_in_balls_are_in_the_balls(seed):
    rng = np.random.default_rng(seed)
    a, b = random(rng, 300), random(rng, 300)
    # quotients: none of these holds zero
    c = Balls(np.abs(b.middle) + 2.0 * b.radius + 1e-3, b.radius)
    whole = a + b, a - b, a * b, a / c
    for i in range(300):
        for x in ends(a[i]):
            for y in ends(b[i]):
                assert holds(whole[0][i], x + y)
                assert holds(whole[1][i], x - y)
                assert holds(whole[2][i], x * y)
            for y in ends(c[i]):
                assert holds(whole[3][i], x / y)
    assert not np.isfinite((a / (b - b)).radius).any()  # zero is in the divisor


@pytest.mark.parametrize("seed", range(4))
def test_matrix_products_and_sums_hold_all_that_balls_can_become(seed):
    rng = np.random.default_rng(seed)
    for m, k, n in ((1, 1, 1), (2, 1, 3), (3, 2, 2), (2, 30, 2)):
        A, B = random(rng, m, k), random(rng, k, n)
        product, total = A @ B, A.sum(axis=1)
        for i in range(m):
            row = [ends(A[i, j]) for j in range(k)]
            assert holds(total[i], sum(x[2] for x in row))
            assert holds(total[i], sum(x[0] for x in row))
            for p in range(n):
                pairs = [[x * y for x in row[j] for y in ends(B[j, p])] for j in range(k)]
                assert holds(product[i, p], sum(map(max, pairs)))
                assert holds(product[i, p], sum(map(min, pairs)))


@pytest.mark.parametrize("seed", range(4))
def test_magnitudes_and_norms_are_upper_bounds(seed):
    rng = np.random.default_rng(seed)
    for shape in ((1, 1), (1, 7), (6, 1)):  # of one row or column the norm is known
        x = random(rng, *shape)
        sizes = [max(map(abs, ends(ball))) for ball in x.reshape(x.middle.size)]
        assert all(map(holds_up, x.magnitude.ravel(), sizes))
        assert Fraction(x.spectral_norm()) ** 2 >= sum(s * s for s in sizes)
    square = random(rng, 5, 4)
    worst = np.abs(square.middle) + square.radius
    assert np.linalg.norm(worst, 2) <= square.spectral_norm()


def holds_up(bound, number):
    return Fraction(float(bound)) >= number


def test_an_enlarged_sum_is_an_upper_bound():
    rng = np.random.default_rng(0)
    for count in (2, 3, 10, 100):
        for _ in range(100):
            x = rng.uniform(size=count) * 10.0 ** rng.uniform(-20.0, 0.0, count)
            bound = enlarged(np.sum(x), count)
            assert Fraction(float(bound)) >= sum(map(Fraction, x.tolist()))
            assert Fraction(float(enlarged(x[0] * x[1], 1))) >= Fraction(x[0]) * Fraction(x[1])


def test_balls_of_flint_are_in_those_of_floats():
    rng = np.random.default_rng(0)
    with ctx.workprec(128):
        for x in rng.normal(size=200).tolist():
            for wide in (0.0, 1e-30, 1e-17, 1e-3, 1.0):
                ball = arb(x) / 3 + arb(0, wide) / 7
                around = Balls.from_arb([ball], ())
                whole = arb(float(around.middle), float(around.radius))
                assert whole.contains(ball)
