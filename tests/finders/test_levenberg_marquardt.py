"""Levenberg-Marquardt on ½‖∇f‖²."""

from functools import partial

import numpy as np
import pytest

from autocrit_lite.finders import FinderStopReason, damped_newton, levenberg_marquardt
from autocrit_lite.ground_truth.quartic import FLAT_SQUARED_GRADIENT_NORM, Quartic
from autocrit_lite.objectives import AutogradObjective

from .problems import Counted, Point, matrix_free, saddle

EIGENVALUES = (-2.0, -0.6, 0.3, 1.0, 4.0)
geodesic = partial(levenberg_marquardt, geodesic=True)
geodesic_both_ways = pytest.mark.parametrize(
    "find", [geodesic, partial(matrix_free, geodesic=True)], ids=["dense", "matrix-free"]
)
both_ways = pytest.mark.parametrize("find", [levenberg_marquardt, matrix_free])


@both_ways
def test_a_step_minimises_the_damped_residual(find):
    objective = saddle(EIGENVALUES, c=1.0)
    theta0 = objective.middle + np.random.default_rng(1).normal(size=(8, 5))
    trace = find(objective, theta0, 6, record_theta=True)
    run, k = np.nonzero(trace.step_size[:, :-1] > 0.0)
    for i, j in zip(run, k, strict=True):
        point = objective.linearize(trace.thetas[i, j])
        H, g, mu = point.matrix, point.gradient, trace.damping[i, j]
        stacked = np.vstack([H, np.sqrt(mu) * np.eye(5)])
        p = np.linalg.lstsq(stacked, -np.concatenate([g, np.zeros(5)]), rcond=None)[0]
        step = trace.thetas[i, j + 1] - trace.thetas[i, j]
        np.testing.assert_allclose(step, p, rtol=1e-6, atol=1e-9)
        # the gain ratio is positive: the gradient is smaller there
        after = np.linalg.norm(objective.value_and_gradient(trace.thetas[i, j + 1])[1])
        assert after < np.linalg.norm(g)


@geodesic_both_ways
def test_a_geodesic_step_has_the_acceleration(find):
    """Of ¼c‖x‖⁴: D²g[v, v] = c(4⟨x, v⟩v + 2‖v‖²x), and the probe adds ε/3 of D³g = 6c‖v‖²v."""
    objective = saddle(EIGENVALUES, c=1.0)
    theta0 = objective.middle + np.random.default_rng(1).normal(size=(8, 5))
    trace = find(objective, theta0, 6, record_theta=True)
    bent = 0
    for i, j in zip(*np.nonzero(trace.step_size[:, :-1] > 0.0), strict=True):
        point, x = objective.linearize(trace.thetas[i, j]), trace.thetas[i, j] - objective.middle
        H, g, mu = point.matrix, point.gradient, trace.damping[i, j]
        inverse = np.linalg.inv(H @ H + mu * np.eye(5)) @ H
        v = -inverse @ g
        second = 4.0 * (x @ v) * v + 2.0 * (v @ v) * x + 0.1 / 3.0 * 6.0 * (v @ v) * v
        a = -0.5 * inverse @ second
        step = trace.thetas[i, j + 1] - trace.thetas[i, j]
        np.testing.assert_allclose(step, v + a, rtol=1e-4, atol=1e-6 * np.linalg.norm(v))
        ratio = 2.0 * np.linalg.norm(a) / np.linalg.norm(v)
        assert ratio <= 0.75 * (1.0 + 1e-6)
        bent += ratio > 0.1
    assert bent > 5


def test_a_step_that_bends_too_much_is_none():
    """Of θ⁶/6 with δ₁ = −θ/5: 2‖δ₂‖/‖δ₁‖ is 4/5, less 2 % by the probe; g falls all the same."""
    objective = AutogradObjective(lambda t: t[0] ** 6 / 6.0)
    plain, bent = (find(objective, np.array([1.0]), 1) for find in (levenberg_marquardt, geodesic))
    assert plain.trials[0] == 1.0
    assert bent.trials[0] > 1.0
    assert bent.damping[0] > plain.damping[0]


def test_the_damping_follows_the_gain_ratio():
    objective = saddle(EIGENVALUES, c=1.0)
    theta0 = objective.middle + 2.0 * np.random.default_rng(2).normal(size=(20, 5))
    trace = levenberg_marquardt(objective, theta0, 8, record_theta=True)
    checked = rejected = 0
    for run in range(20):
        for k in range(trace.iterations[run] - 1):
            point = objective.linearize(trace.thetas[run, k])
            p = trace.thetas[run, k + 1] - trace.thetas[run, k]
            now, model = point.gradient, point.gradient + point.hvp(p)
            there = objective.value_and_gradient(trace.thetas[run, k + 1])[1]
            predicted = now @ now - model @ model
            gain = (now @ now - there @ there) / predicted
            if predicted < 1e-8 * (now @ now):
                continue
            factor = max(1.0 / 3.0, 1.0 - (2.0 * gain - 1.0) ** 3)
            # m failures multiply by 2, 4, …, 2^m
            m = trace.trials[run, k + 1] - 1
            expected = trace.damping[run, k] * factor * 2.0 ** (m * (m + 1) / 2)
            np.testing.assert_allclose(trace.damping[run, k + 1], expected, rtol=1e-4)
            checked += 1
            rejected += m > 0
    assert checked > 40
    assert rejected > 0


def test_it_goes_on_where_newton_stalls():
    """On the quartic every start ends at one of the two stationary points of ‖∇f‖²."""
    x, y = np.linspace(-5.0, 5.0, 11), np.linspace(-4.5, 4.5, 5)
    starts = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
    rows = np.arange(len(starts))

    def ends(trace):
        squared = trace.squared_gradient_norm[rows, trace.iterations]
        critical = squared < 1e-8
        flat = np.abs(squared / FLAT_SQUARED_GRADIENT_NORM - 1.0) < 1e-6
        return critical, flat

    critical, flat = ends(levenberg_marquardt(Quartic(), starts))
    assert (critical | flat).all()
    assert flat.sum() > 5
    newton_critical, newton_flat = ends(damped_newton(Quartic(), starts, 500))
    assert not (newton_critical | newton_flat).all()


@both_ways
def test_convergence_to_a_singular_critical_point(find):
    """f = x⁴ + y² − z²: the Hessian at zero is singular, and the steps get there all the same."""
    objective = AutogradObjective(lambda t: t[0] ** 4 + t[1] ** 2 - t[2] ** 2)
    trace = find(objective, np.array([1.0, 1.0, 1.0]), 200)
    assert trace.squared_gradient_norm[trace.iterations] < 1e-20


def test_a_stall_is_reported():
    trace = levenberg_marquardt(Quartic(), np.array([2.0, 1.0]))
    np.testing.assert_allclose(trace.theta, [np.sqrt(2.0), 0.0], atol=1e-4)
    assert trace.stop_reason in (
        FinderStopReason.LINE_SEARCH_FAILED,
        FinderStopReason.STEP_VANISHED,
    )
    assert trace.step_size[trace.iterations] == 0.0


@pytest.mark.parametrize(
    "find", [levenberg_marquardt, matrix_free, geodesic, partial(matrix_free, geodesic=True)]
)
def test_products_are_counted(find):
    objective = Counted(saddle(EIGENVALUES, c=0.5), hessian_cost=4.0)
    theta0 = objective.objective.middle + 1.0
    trace = find(objective, theta0, 3)
    assert trace.iterations == 3
    made = objective.products + 4.0 * objective.hessians
    # beyond what steps cost: one at the start, and one a step for the trace's residual
    assert made == trace.products[-1] + 1 + 3


class Uphill:
    """A loss whose gradient is longer everywhere than at the start."""

    hessian_cost = 1.0

    def __init__(self, start):
        self.start = start

    def value_and_gradient(self, theta):
        point = self.linearize(theta)
        return point.value, point.gradient

    def linearize(self, theta):
        longer = np.where(np.all(theta == self.start, axis=-1), 1.0, 2.0)
        n = theta.shape[-1]
        identity = np.broadcast_to(np.eye(n), (*theta.shape, n))
        return Point(np.zeros(len(theta)), longer[:, None] * np.ones(theta.shape), identity)


def test_shorter_steps_that_vanish_are_a_stall_and_a_first_one_is_not():
    for size, reason in (
        (1.0, FinderStopReason.LINE_SEARCH_FAILED),
        (1e20, FinderStopReason.STEP_VANISHED),
    ):
        start = np.full(3, size)
        trace = levenberg_marquardt(Uphill(start), start)
        assert trace.stop_reason is reason
        assert trace.iterations == 0
        assert (trace.trials[0] > 1.0) == (size == 1.0)


@both_ways
@pytest.mark.parametrize("exponent", [-200, -100, 100, 200])
def test_a_factor_of_the_loss_changes_no_iterate(find, exponent):
    objective, factor = saddle(EIGENVALUES, c=1.0), 10.0**exponent
    theta0 = objective.middle + np.random.default_rng(1).normal(size=(5, 5))

    class Multiple:
        hessian_cost = 1.0

        def value_and_gradient(self, theta):
            return tuple(factor * x for x in objective.value_and_gradient(theta))

        def linearize(self, theta):
            point = objective.linearize(theta)
            return Point(*(factor * x for x in (point.value, point.gradient, point.matrix)))

    expected = find(objective, theta0, 8)
    found = find(Multiple(), theta0, 8)
    np.testing.assert_allclose(found.theta, expected.theta, rtol=1e-6)
    np.testing.assert_array_equal(found.trials, expected.trials)
    np.testing.assert_array_equal(found.stop_reason, expected.stop_reason)
