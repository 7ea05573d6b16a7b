"""The arithmetic of balls, against exact fractions."""

from fractions import Fraction

import numpy as np
import pytest
from flint import arb, ctx

from autocrit_lite.certify.balls import Balls, Stack, enlarged

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


def stack(rng, N, p, q):
    x = random(rng, N, p, q)
    return Stack(x.middle, x.radius[:, 0] * rng.integers(0, 2, (N, q)))


def entry(x, i, p, q):
    """Return the ends of an entry of a stack."""
    middle, radius = Fraction(float(x.middle[i, p, q])), Fraction(float(x.radius[i, q]))
    return [middle - radius, middle, middle + radius]


@pytest.mark.parametrize("seed", range(6))
def test_no_operation_on_stacks_leaves_the_balls(seed):
    rng = np.random.default_rng(seed)
    N, p, q, r = 3, 2, 3, 2
    x, M, d, y = stack(rng, N, p, q), random(rng, q, r), random(rng, N, q), random(rng, N, r)
    x2 = stack(rng, N, p, q)
    product, scaled, added, outer = x @ M, x.scaled(d), x + x2, x.outer(y, d)
    worst = {}
    for i in range(N):
        for a in range(p):
            for b in range(r):
                terms = [
                    [s * t for s in entry(x, i, a, c) for t in ends(M[c, b])] for c in range(q)
                ]
                for bound in (sum(map(min, terms)), sum(map(max, terms))):
                    assert entry(product, i, a, b)[0] <= bound <= entry(product, i, a, b)[2]
            for c in range(q):
                own, others = entry(x, i, a, c), entry(x2, i, a, c)
                for s in own:
                    for t in ends(d[i, c]):
                        assert entry(scaled, i, a, c)[0] <= s * t <= entry(scaled, i, a, c)[2]
                    for t in others:
                        assert entry(added, i, a, c)[0] <= s + t <= entry(added, i, a, c)[2]
                for b in range(r):
                    for e in range(q):
                        triples = [
                            s * t * u for s in own for t in ends(y[i, b]) for u in ends(d[i, e])
                        ]
                        place = a * q + c, b * q + e
                        low, high = worst.get(place, (0, 0))
                        worst[place] = low + min(triples), high + max(triples)
    for place, (low, high) in worst.items():
        assert holds(outer[place], low)
        assert holds(outer[place], high)


def test_norms_of_stacks_are_upper_bounds():
    rng = np.random.default_rng(0)
    for shape in ((5, 1, 4), (5, 4, 1), (5, 3, 4), (5, 4, 3)):
        x = stack(rng, *shape)
        for kind in (x, x.T, Stack(np.zeros(shape), x.radius)):
            signs = rng.choice([-1.0, 1.0], kind.middle.shape)
            inside = kind.middle + signs * kind.radius[:, None, :] * (1.0 - 1e-9)
            exact = np.linalg.norm(inside, 2, axis=(1, 2))
            assert np.all(exact <= kind.norms() * (1.0 + 1e-12))
            assert np.all(np.linalg.norm(kind.middle, 2, axis=(1, 2)) <= kind.norms())
        one = Stack(np.zeros(shape), np.ones((5, shape[2])))
        assert np.all(one.norms() >= np.sqrt(shape[1] * shape[2]) * (1.0 - 1e-12))


def test_a_sum_over_samples_allows_for_any_order():
    """In the order of the samples a one swallows all of the small numbers that follow."""
    small = np.append(1.0, np.full(999, 0.9 * 2.0**-53))
    total = 0.0
    for x in small.tolist():
        total += x
    error = abs(sum(map(Fraction, small.tolist())) - Fraction(total))
    one = Balls.of(np.ones((1000, 1)))
    found = Stack(np.ones((1000, 1, 1)), np.zeros((1000, 1))).outer(Balls.of(small[:, None]), one)
    assert Fraction(float(found.radius[0, 0])) >= error
