"""Newton-TR: the best of a set of regularised steps."""

import numpy as np

from autocrit_lite.finders import FinderStopReason, newton_tr
from autocrit_lite.finders.newton_tr import GAMMAS

from .problems import saddle

EIGENVALUES = (-2.0, -0.6, 0.3, 1.0, 4.0)


def test_the_gammas_are_those_of_the_paper():
    np.testing.assert_allclose(GAMMAS, np.logspace(0, -4, 5))


def test_each_step_is_the_best_of_the_regularised_ones():
    objective = saddle(EIGENVALUES, c=1.0)
    theta0 = objective.middle + np.random.default_rng(1).normal(size=(12, 5))
    trace = newton_tr(objective, theta0, 4, rtol=1e-13, record_theta=True)
    chosen = set()
    for run in range(12):
        for k in range(trace.iterations[run]):
            theta = trace.thetas[run, k]
            point = objective.linearize(theta)
            norms = []
            steps = []
            for gamma in GAMMAS:
                step = -0.1 * np.linalg.solve(point.matrix + gamma * np.eye(5), point.gradient)
                steps.append(step)
                norms.append(np.linalg.norm(objective.value_and_gradient(theta + step)[1]))
            best = int(np.argmin(norms))
            chosen.add(best)
            assert trace.damping[run, k] == GAMMAS[best]
            np.testing.assert_allclose(trace.thetas[run, k + 1], theta + steps[best], atol=1e-9)
            ratio = np.linalg.norm(point.hvp(10.0 * steps[best]) + point.gradient)
            ratio /= np.linalg.norm(point.gradient)
            np.testing.assert_allclose(trace.residual_ratio[run, k], ratio, rtol=1e-6)
    assert len(chosen) > 1


def test_the_solver_stops_at_its_limit_for_each_gamma():
    objective = saddle(EIGENVALUES)
    theta0 = objective.middle + np.random.default_rng(2).normal(size=(3, 5))
    for maxit in (1, 2):
        trace = newton_tr(objective, theta0, 1, rtol=1e-13, maxit=maxit, gammas=(1.0, 0.1))
        np.testing.assert_array_equal(trace.solver_iterations[:, 0], 2.0 * maxit)


def test_the_gradient_falls_by_a_tenth_in_each_step_near_a_critical_point():
    objective = saddle(EIGENVALUES)
    theta0 = objective.middle + 1e-3
    trace = newton_tr(objective, theta0, 30, gammas=(1e-9,), rtol=1e-13)
    ratios = np.sqrt(trace.squared_gradient_norm[1:] / trace.squared_gradient_norm[:-1])
    np.testing.assert_allclose(ratios, 0.9, rtol=1e-6)


def test_a_run_ends_where_no_gamma_lowers_the_gradient():
    """At a minimum of ‖g‖ that is not critical."""

    class Line:
        """f' = 1 + x², which has no zero."""

        hessian_cost = 1.0

        def value_and_gradient(self, theta):
            return theta[:, 0] + theta[:, 0] ** 3 / 3.0, 1.0 + theta**2

        def linearize(self, theta):
            value, gradient = self.value_and_gradient(theta)
            matrix = 2.0 * theta[:, :, None]
            return type(saddle((1.0,)).linearize(np.zeros((1, 1))))(value, gradient, matrix)

    start = np.array([1.0])
    trace = newton_tr(Line(), start, 200)
    assert trace.stop_reason is FinderStopReason.LINE_SEARCH_FAILED
    assert 1.0 <= trace.squared_gradient_norm[trace.iterations] < 1.1
