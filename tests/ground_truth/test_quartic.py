import array_api_strict
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import minimize

from autocrit_lite import AutogradObjective
from autocrit_lite.ground_truth.quartic import (
    CRITICAL_POINT,
    FLAT_MINIMUM,
    FLAT_SADDLE,
    FLAT_SQUARED_GRADIENT_NORM,
    Quartic,
    quartic,
)

STARTS = np.random.default_rng(0).uniform(-4, 4, (50, 2))


def squared_gradient_norm(theta):
    return np.sum(Quartic().value_and_gradient(np.asarray(theta))[1] ** 2, axis=-1)


def slope(x):
    return x**3 - 6 * x + 9


def newton(_, x):
    return -slope(x) / (3 * x**2 - 6)


def test_derivatives_agree_with_autograd():
    exact, reference = Quartic().linearize(STARTS), AutogradObjective(quartic).linearize(STARTS)
    np.testing.assert_allclose(exact.value, reference.value, rtol=1e-14)
    np.testing.assert_allclose(exact.gradient, reference.gradient, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(exact.hessian(), reference.hessian(), rtol=1e-12, atol=1e-12)


def test_products_are_those_of_the_dense_hessian():
    rng = np.random.default_rng(1)
    point = Quartic().linearize(STARTS)
    v, block = rng.standard_normal((50, 2)), rng.standard_normal((50, 7, 2))
    H = point.hessian()
    np.testing.assert_allclose(point.hvp(v), np.einsum("bij,bj->bi", H, v), rtol=1e-15)
    np.testing.assert_allclose(point.hvp(block), np.einsum("bij,bkj->bki", H, block), rtol=1e-15)
    single = Quartic().linearize(STARTS[0])
    np.testing.assert_array_equal(single.hvp(block[0]), point.hvp(block)[0])
    assert single.value.shape == ()
    assert single.hessian().shape == (2, 2)


def test_the_only_critical_point_is_the_minimum():
    value, gradient = Quartic().value_and_gradient(np.array(CRITICAL_POINT))
    assert value == 6.25
    np.testing.assert_array_equal(gradient, [0, 0])
    np.testing.assert_allclose(np.roots([1, 0, -6, 9])[[0]], [-3], rtol=1e-14)
    assert np.sum(np.abs(np.roots([1, 0, -6, 9]).imag) < 1e-9) == 1
    assert np.all(Quartic().linearize(STARTS).hessian()[:, 1, 1] > 0)


@pytest.mark.parametrize("point", [FLAT_MINIMUM, FLAT_SADDLE])
def test_flat_points_have_their_gradient_in_the_kernel(point):
    at = Quartic().linearize(np.array(point))
    assert np.linalg.norm(at.gradient) > 3
    np.testing.assert_allclose(at.hessian() @ at.gradient, [0, 0], atol=1e-13)


def test_the_kernel_holds_the_gradient_nowhere_else():
    # H·g = (f_xx f_x, f_yy f_y) vanishes where both do: f_y only at y = 0, f_xx f_x at three x
    y = np.linspace(-4, 4, 801)
    x = np.full_like(y, np.sqrt(2))
    at = Quartic().linearize(np.stack((x, y), axis=-1))
    flat = np.abs(at.hvp(at.gradient)[:, 1]) < 1e-12
    assert np.flatnonzero(flat).tolist() == [400]


def test_gradient_norm_has_a_minimum_at_one_flat_point_and_a_saddle_at_the_other():
    assert squared_gradient_norm(FLAT_MINIMUM) == pytest.approx(FLAT_SQUARED_GRADIENT_NORM)
    assert 11.17 < FLAT_SQUARED_GRADIENT_NORM < 11.18
    near = minimize(squared_gradient_norm, (1.6, 0.3), method="Nelder-Mead", tol=1e-10)
    np.testing.assert_allclose(near.x, FLAT_MINIMUM, atol=1e-4)
    step, here = 1e-3, squared_gradient_norm(FLAT_SADDLE)
    for along_x in (-step, step):
        assert squared_gradient_norm(np.add(FLAT_SADDLE, (along_x, 0))) < here
        assert squared_gradient_norm(np.add(FLAT_SADDLE, (0, along_x))) > here


def test_lower_than_the_flat_minimum_is_one_interval_that_ends_at_minus_two_root_two():
    x = np.linspace(-6, 6, 120_001)
    low = x[slope(x) ** 2 < FLAT_SQUARED_GRADIENT_NORM * (1 - 1e-9)]
    assert np.all(np.diff(low) < 2e-4)
    assert low[0] < -3 < low[-1]
    assert low[-1] == pytest.approx(-2 * np.sqrt(2), abs=2e-4)
    np.testing.assert_allclose(
        slope(x) - slope(np.sqrt(2)), (x - np.sqrt(2)) ** 2 * (x + 2 * np.sqrt(2)), atol=1e-11
    )


@pytest.mark.parametrize("start", [-1.3, 0.0, 4.0])
def test_newton_flow_reaches_the_flat_point_in_finite_time(start):
    def reached(_, x):
        return slope(x[0]) - 1.001 * slope(np.sqrt(2))

    reached.terminal = True
    flow = solve_ivp(
        lambda _, x: -slope(x) / (3 * x**2 - 6),
        (0, 10),
        [start],
        events=reached,
        rtol=1e-10,
        atol=1e-12,
    )
    expected = np.log(slope(start) / (1.001 * slope(np.sqrt(2))))
    assert flow.t_events[0][0] == pytest.approx(expected, rel=1e-4)
    assert abs(flow.y[0, -1] - np.sqrt(2)) < 0.05


@pytest.mark.parametrize("start", [-1.5, -8.0])
def test_newton_flow_left_of_the_saddle_goes_to_the_critical_point(start):
    flow = solve_ivp(newton, (0, 30), [start], rtol=1e-9)
    assert flow.y[0, -1] == pytest.approx(-3, abs=1e-6)


def test_damped_newton_alternates_about_the_flat_point_or_leaps_to_the_critical_point():
    rho, root, ratios, leaps = 0.1, 2**0.5, [], []
    for e in np.random.default_rng(2).uniform(-5e-3, 5e-3, 300).tolist():
        # squares of the slope lose e to rounding below 1e-7
        while 1e-6 < abs(e) < 1e-2:
            x, alpha = root + e, 0.1
            direction = newton(None, x)
            while slope(x + alpha * direction) ** 2 > (1 - 2 * rho * alpha) * slope(x) ** 2:
                alpha /= 2
            after = x + alpha * direction
            leaps += [after < 0] if e > 0 else []
            if after < 0:
                assert -3.1495 < after < -2 * root
                assert e > 0
            else:
                ratios.append((after - root) / e)
            e = after - root
    assert len(leaps) > 500
    expected = np.log2((root + 3.1495) / (3 * root))
    assert abs(np.mean(leaps) - expected) < 4 * np.sqrt(expected / len(leaps))
    assert np.max(np.abs(ratios)) < 0.81
    assert 0.3 < np.mean(np.array(ratios) < 0) < 0.95


def test_arrays_of_another_module_stay_in_it():
    device = array_api_strict.Device("device1")
    theta = array_api_strict.asarray(STARTS, device=device)
    point = Quartic().linearize(theta)
    for array in (point.value, point.gradient, point.hessian(), point.hvp(theta)):
        assert array.device == device
    block = array_api_strict.reshape(theta, (50, 1, 2))
    assert point.hvp(block).shape == (50, 1, 2)


@pytest.mark.parametrize(
    ("theta", "error", "says"),
    [
        (np.zeros(3), ValueError, r"theta must have shape \(2,\) or \(B, 2\), not \(3,\)"),
        (np.zeros((2, 2, 2)), ValueError, "theta must have shape"),
        (np.zeros(2, dtype=complex), TypeError, "theta must hold real numbers"),
    ],
)
def test_bad_points_are_refused(theta, error, says):
    with pytest.raises(error, match=says):
        Quartic().linearize(theta)


@pytest.mark.parametrize("shape", [(3,), (4, 5, 2), (2, 5, 3), (5, 2)])
def test_bad_blocks_are_refused(shape):
    with pytest.raises(ValueError, match="v must have shape"):
        Quartic().linearize(STARTS[:2]).hvp(np.zeros(shape))
