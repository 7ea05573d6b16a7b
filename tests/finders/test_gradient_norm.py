"""Gradient norm minimisation: gradient descent on G = ½‖∇f‖²."""

import numpy as np

from autocrit_lite.finders import FinderStopReason, gradient_norm_minimization

from .problems import Counted, saddle

EIGENVALUES = (-2.0, -0.6, 0.3, 1.0, 4.0)


def merit(objective, theta):
    g = objective.value_and_gradient(theta)[1]
    return 0.5 * np.sum(g * g, axis=-1)


def merit_gradient(objective, theta):
    """Return ∇G by central differences of G."""
    n = theta.shape[-1]
    steps = 1e-5 * np.eye(n)
    return np.stack(
        [merit(objective, theta + s) - merit(objective, theta - s) for s in steps], axis=-1
    ) / (2e-5)


def starts(objective, count=10, seed=1):
    return objective.middle + np.random.default_rng(seed).normal(size=(count, 5))


def test_accepted_steps_meet_the_conditions():
    objective = saddle(EIGENVALUES, c=0.5)
    trace = gradient_norm_minimization(objective, starts(objective), 30, record_theta=True)
    run, k = np.nonzero(trace.step_size[:, :-1] > 0.0)
    theta, new, alpha = trace.thetas[run, k], trace.thetas[run, k + 1], trace.step_size[run, k]
    gradient = merit_gradient(objective, theta)
    p = -gradient
    np.testing.assert_allclose(new - theta, alpha[:, None] * p, atol=1e-6)
    slope = np.sum(gradient * p, axis=-1)
    now, there = merit(objective, theta), merit(objective, new)
    assert (there <= now + 1e-4 * alpha * slope + 1e-9 * now).all()
    slope_there = np.sum(merit_gradient(objective, new) * p, axis=-1)
    assert (slope_there >= 0.9 * slope - 1e-6).all()
    # twice the accepted step is the next one's first, and an earlier one failed where it is shorter
    follows = (k[1:] == k[:-1] + 1) & (run[1:] == run[:-1])
    halvings = trace.trials[run, k] - 1
    np.testing.assert_array_equal(
        alpha[1:][follows], (2.0 * alpha[:-1] * 0.5 ** halvings[1:])[follows]
    )


def test_too_short_a_first_step_ends_a_run():
    """Back-tracking shortens what is too short already: reported as stalled, at its start.

    Along −∇G of a quadratic with eigenvalue λ the slope is reduced by αλ²: the curvature condition
    needs αλ² ≥ 1 − c₂ = 0.1, and the first α is 0.1.
    """
    objective = saddle((-0.9, 0.9))
    theta0 = objective.middle + np.array([[1.0, 0.0], [0.3, 2.0]])
    trace = gradient_norm_minimization(objective, theta0, 100)
    assert (trace.stop_reason == FinderStopReason.LINE_SEARCH_FAILED).all()
    assert (trace.iterations == 0).all()
    np.testing.assert_array_equal(trace.theta, theta0)
    steeper = saddle((-1.1, 1.1))
    found = gradient_norm_minimization(steeper, steeper.middle + theta0 - objective.middle, 100)
    assert (found.iterations > 0).all()


def test_it_goes_to_a_saddle():
    objective = saddle((-1.4, -1.1, 1.1, 1.2, 1.3))  # the first step length is long enough
    trace = gradient_norm_minimization(
        objective, starts(objective), 3000, squared_gradient_tolerance=1e-16
    )
    assert (trace.stop_reason == FinderStopReason.CONVERGED).all()
    np.testing.assert_allclose(trace.theta - objective.middle, 0.0, atol=1e-7)
    assert np.isnan(trace.relative_residual).all()


def test_each_trial_costs_one_product():
    objective = Counted(saddle(EIGENVALUES, c=0.5), hessian_cost=1.0)
    theta0 = starts(objective.objective, count=1)[0]
    trace = gradient_norm_minimization(objective, theta0, 10)
    assert trace.iterations == 10
    assert objective.products == 1 + trace.products[-1]  # and one at the start
    assert objective.hessians == 0
    assert trace.products[-1] == np.nansum(trace.trials)
