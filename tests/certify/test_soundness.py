"""Certificates of functions that are known only to within balls: what is proven holds for each.

Newton corrections cannot help where the gradient is a wide ball, so that each term of the theorem
decides. The functions in the balls have critical points that are known.
"""

import numpy as np
import pytest
from flint import arb

from autocrit_lite.certify import certificate
from autocrit_lite.certify.balls import Balls
from autocrit_lite.certify.certificate import SINGULAR, TOO_LARGE, certify
from autocrit_lite.certify.emptiness import nothing_near
from autocrit_lite.certify.functions import EnclosedFunction

from .problems import polynomial

ORIGIN = np.zeros(1)


def uncertain(coefficients, slope=0.0, value=0.0):
    """Return Σ c_k x^k + a x + b for all |a| ≤ slope and |b| ≤ value at once."""
    exact = polynomial(*coefficients)
    return EnclosedFunction(
        1,
        lambda x: exact._value(x) + arb(0, slope) * x[0] + arb(0, value),
        lambda x: [exact._gradient(x)[0] + arb(0, slope)],
        exact._second,
        exact._third,
    )


def test_the_bound_is_sharp_on_a_cubic():
    """a + x + x² has zeros for a ≤ 1/4 alone, which is h ≤ 1."""
    cubic = (0.0, 0.0, 0.5, 1.0 / 3.0)
    found = certify(uncertain(cubic, slope=0.249), ORIGIN, region=1.0)
    assert found.proven
    assert found.radius >= 0.5 - np.sqrt(0.25 - 0.249) - 1e-15  # where a = 0.249 has its zero
    assert found.unique_within <= 0.5 + 1e-15
    refused = certify(uncertain(cubic, slope=0.251), ORIGIN, region=1.0)
    assert not refused.proven
    assert refused.why == TOO_LARGE
    assert refused.h > 1.0


def test_a_zero_as_far_as_it_can_be_is_within_the_radius():
    found = certify(uncertain((0.0, 0.0, 0.05), slope=0.01), ORIGIN, region=1.0)
    assert found.proven
    assert found.radius >= 0.1  # of 0.1 x + a, |a| ≤ 0.01
    beyond = certify(uncertain((0.0, 0.0, 0.05), slope=0.01), ORIGIN, region=0.05)
    assert not beyond.proven
    assert beyond.why == TOO_LARGE


def test_the_interval_of_the_loss_holds_that_of_every_function():
    wide = certify(uncertain((0.0, 0.0, 0.5), slope=0.1), ORIGIN, region=1.0)
    assert wide.proven
    assert wide.value[0] <= -0.005  # −a²/2
    unsure = certify(uncertain((3.0, 0.0, 0.5), value=0.5), ORIGIN)
    assert unsure.proven
    assert unsure.value[0] <= 2.5
    assert unsure.value[1] >= 3.5
    refused = certify(uncertain((3.0, 1.0, 0.0), value=0.5), ORIGIN)
    assert not refused.proven
    assert refused.value[0] <= 2.5


def test_the_third_derivative_is_bounded_over_the_whole_region():
    """Of x²/2 + x⁴: 24 x, largest at the ends."""
    quartic = polynomial(0.0, 0.0, 0.5, 0.0, 1.0)
    for region in (1e-3, 1e-1, 10.0):
        found = certify(quartic, ORIGIN, region=region)
        assert 24.0 * region <= found.K
        assert found.unique_within <= region
    nearby = polynomial(0.0, 0.0, 0.5, 0.0, -1.0)  # critical at 0 and ±1/2
    assert certify(nearby, ORIGIN, region=10.0).unique_within <= 0.5


def test_an_inverse_with_one_wrong_sign_is_refused(monkeypatch):
    def flipped(matrix):
        eigenvalues, Q = np.linalg.eigh(matrix)
        eigenvalues[0] *= -1.0
        return eigenvalues, Q

    parabola = polynomial(0.0, 0.3, 1.0)
    assert certify(parabola, ORIGIN).proven
    monkeypatch.setattr(certificate, "eigh", flipped)
    refused = certify(parabola, ORIGIN)
    assert not refused.proven
    assert refused.why == SINGULAR
    assert refused.index is None


def uncertain_square(diagonal):
    """Return ½xᵀHx, H being known to be diagonal with entries in balls (middle, radius)."""
    n = len(diagonal)
    H = [[arb(*diagonal[i]) if i == j else arb(0) for j in range(n)] for i in range(n)]
    return EnclosedFunction(
        n,
        lambda x: sum((H[i][i] * x[i] * x[i] / 2 for i in range(n)), arb(0)),
        lambda x: [H[i][i] * x[i] for i in range(n)],
        lambda x: H,
        lambda x: [[[arb(0)] * n for _ in range(n)] for _ in range(n)],
    )


def test_no_index_is_told_where_an_eigenvalue_may_have_either_sign():
    origin = np.zeros(3)
    certain = certify(uncertain_square([(1.0, 0.1), (0.15, 0.1), (-2.0, 0.1)]), origin)
    assert certain.proven
    assert certain.index == 1
    unsure = certify(uncertain_square([(1.0, 0.1), (0.15, 0.16), (-2.0, 0.1)]), origin)
    assert not unsure.proven
    assert unsure.index is None
    assert unsure.why == SINGULAR


def test_nothing_is_proven_empty_that_one_of_the_functions_fills():
    """1 + a + x + x²/2 … each term of the bound decides once."""
    line = uncertain((0.0, 1.0, 0.5), slope=0.5)  # zero at −1 − a, as near as −1/2
    assert 0.4 < nothing_near(line, ORIGIN).radius <= 0.5
    curve = uncertain((0.0, 0.5, 0.0, -1.0 / 6.0))  # ½ − ½x²: zeros at ±1, H = 0 at 0
    assert 0.9 < nothing_near(curve, ORIGIN).radius <= 1.0
    far = uncertain((0.0, 3.0, 0.0, -1.0))  # 3 − 3x²
    assert 0.9 < nothing_near(far, ORIGIN).radius <= 1.0
    # ½ − 50x⁴ vanishes at 0.316: the third derivative grows with the ball
    steep = uncertain((0.0, 0.5, 0.0, 0.0, 0.0, -10.0))
    assert nothing_near(steep, ORIGIN).radius <= 0.01**0.25


def test_a_hessian_in_balls_is_not_taken_for_its_middle():
    """1 ± 0.6 is as small as 0.4: a zero may be as far as 1/0.4 of the gradient."""
    wide = EnclosedFunction(
        1,
        lambda x: x[0] * x[0] / 2,
        lambda x: [x[0] + arb(0, 0.1)],
        lambda x: [[arb(1, 0.6)]],
        lambda x: [[[arb(0)]]],
    )
    found = certify(wide, ORIGIN, region=1.0)
    assert found.proven
    assert found.radius >= 0.25
    assert isinstance(wide.hessian(ORIGIN, ORIGIN), Balls)


@pytest.mark.parametrize("low", [1e-3, -0.25])
def test_the_lower_part_of_a_point_is_part_of_it(low):
    square = polynomial(0.0, 0.0, 0.0, 1.0)
    high, lower = np.array([1.0]), np.array([low])
    value, gradient = square.gradient(high, lower)
    assert abs(float(value.mid()) - (1.0 + low) ** 3) < 1e-14
    assert abs(float(gradient[0].mid()) - 3.0 * (1.0 + low) ** 2) < 1e-14
    assert abs(square.hessian(high, lower).middle[0, 0] - 6.0 * (1.0 + low)) < 1e-14
    assert square.third(high, lower, 0.0) >= 6.0
