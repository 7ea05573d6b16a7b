"""Saddle-free Newton: a descent method that leaves saddles."""

import numpy as np
import pytest

from autocrit_lite.finders import FinderStopReason, saddle_free_newton
from autocrit_lite.finders.saddle_free import DAMPINGS
from autocrit_lite.objectives import AutogradObjective

from .problems import Point, saddle

EIGENVALUES = (-2.0, -0.6, 0.3, 1.0, 4.0)


def minimum(objective):
    """Return the lowest value: −λ²/(4c) for the lowest eigenvalue λ."""
    return -(np.linalg.eigvalsh(objective.A)[0] ** 2) / (4.0 * objective.c)


@pytest.mark.parametrize("krylov_dimension", [None, 5, 2])
def test_it_leaves_the_saddle_for_a_minimum(krylov_dimension):
    objective = saddle(EIGENVALUES, c=1.0)
    theta0 = objective.middle + 0.01 * np.random.default_rng(1).normal(size=(6, 5))
    trace = saddle_free_newton(objective, theta0, 300, krylov_dimension=krylov_dimension)
    np.testing.assert_allclose(objective.value_and_gradient(trace.theta)[0], minimum(objective))
    for values, end in zip(trace.value, trace.iterations, strict=True):
        assert (np.diff(values[: end + 1]) < 0.0).all()


def test_each_step_is_the_best_of_the_dampings():
    objective = saddle(EIGENVALUES, c=1.0)
    theta0 = objective.middle + np.random.default_rng(2).normal(size=(10, 5))
    trace = saddle_free_newton(objective, theta0, 3, record_theta=True)
    chosen = set()
    for run in range(10):
        for k in range(trace.iterations[run]):
            theta = trace.thetas[run, k]
            point = objective.linearize(theta)
            values, vectors = np.linalg.eigh(point.matrix)
            steps = [
                -vectors @ ((vectors.T @ point.gradient) / (np.abs(values) + damping))
                for damping in DAMPINGS
            ]
            heights = [objective.value_and_gradient(theta + step)[0] for step in steps]
            best = int(np.argmin(heights))
            if heights[best] >= point.value:
                assert trace.damping[run, k] > max(DAMPINGS)
                continue
            chosen.add(best)
            assert trace.damping[run, k] == DAMPINGS[best]
            np.testing.assert_allclose(trace.thetas[run, k + 1], theta + steps[best], atol=1e-9)
    assert len(chosen) > 1


def test_larger_dampings_are_tried_where_the_set_does_not_lower_the_loss():
    """Where the curvature changes its sign, steps are far too long."""
    objective = AutogradObjective(lambda t: 100.0 * (t[0] ** 4 - t[0] ** 2))
    trace = saddle_free_newton(objective, np.array([6.0**-0.5]), 40)
    assert trace.damping[0] > max(DAMPINGS)
    assert (np.diff(trace.value[: trace.iterations + 1]) < 0.0).all()
    np.testing.assert_allclose(trace.theta, 0.5**0.5)


def test_the_whole_krylov_space_gives_the_dense_step():
    objective = saddle(EIGENVALUES, c=1.0)
    theta0 = objective.middle + np.random.default_rng(4).normal(size=(5, 5))
    dense = saddle_free_newton(objective, theta0, 2)
    krylov = saddle_free_newton(objective, theta0, 2, krylov_dimension=5)
    np.testing.assert_allclose(krylov.theta, dense.theta, rtol=1e-8)
    np.testing.assert_array_equal(dense.products[:, 1], objective.hessian_cost)
    np.testing.assert_array_equal(krylov.products[:, 1], 5.0)


def test_a_run_ends_at_a_minimum_by_not_descending():
    objective = saddle((1.0, 2.0, 3.0))
    trace = saddle_free_newton(objective, objective.middle + 1.0, 200)
    assert trace.stop_reason in (
        FinderStopReason.CONVERGED,
        FinderStopReason.LINE_SEARCH_FAILED,
        FinderStopReason.STEP_VANISHED,
    )
    np.testing.assert_allclose(trace.theta, objective.middle, atol=1e-7)


def test_a_run_that_cannot_descend_from_zero_ends():
    """Any step changes θ = 0, however short."""
    objective = AutogradObjective(lambda t: 5.0 + (t[0] - 1e-9) ** 2)
    trace = saddle_free_newton(objective, np.array([[0.0], [1.0]]), 5)
    assert trace.stop_reason[0] == FinderStopReason.LINE_SEARCH_FAILED
    assert trace.trials[0, 0] < 320
    assert trace.iterations.tolist()[0] == 0 < trace.iterations[1]


def test_a_run_with_a_newton_end_goes_on_to_the_limit_of_rounding():
    """The loss falls by ‖g‖²/λ: rounding hides that long before it hides ‖g‖."""
    objective = saddle(EIGENVALUES, c=1.0)
    lift = 1e3  # a loss of 1000 hides more

    class Lifted:
        hessian_cost = 1.0

        def value_and_gradient(self, theta):
            value, gradient = objective.value_and_gradient(theta)
            return lift + value, gradient

        def linearize(self, theta):
            point = objective.linearize(theta)
            return Point(lift + point.value, point.gradient, point.matrix)

    theta0 = objective.middle + np.random.default_rng(1).normal(size=(6, 5))
    plain = saddle_free_newton(Lifted(), theta0, 300)
    ended = saddle_free_newton(Lifted(), theta0, 300, newton_end=True, record_theta=True)
    arrived = FinderStopReason.ROUNDING, FinderStopReason.CONVERGED  # the latter: at g = 0
    assert np.isin(ended.stop_reason, arrived).all()
    assert (ended.last("squared_gradient_norm") < 1e-28).all()
    assert (plain.last("squared_gradient_norm") > ended.last("squared_gradient_norm")).any()
    newton = 0
    for run in range(6):
        for k in range(ended.iterations[run]):
            point = objective.linearize(ended.thetas[run, k])
            if ended.damping[run, k] == 0.0:
                p = -np.linalg.solve(point.matrix, point.gradient)
                step = ended.thetas[run, k + 1] - ended.thetas[run, k]
                np.testing.assert_allclose(step, p, rtol=1e-7, atol=1e-13)
                newton += 1
    assert newton >= 6


def test_a_newton_end_needs_the_whole_space():
    with pytest.raises(ValueError, match=r"^newton_end must be False"):
        saddle_free_newton(saddle(EIGENVALUES), np.zeros(5), krylov_dimension=3, newton_end=True)
