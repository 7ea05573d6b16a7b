"""Newton-MR on problems whose critical points are known."""

import autograd.numpy as anp
import numpy as np
import pytest

from autocrit_lite.datasets.gaussian import gaussian
from autocrit_lite.finders import FRYE_2019, FRYE_2021, FinderStopReason, damped_newton, newton_mr
from autocrit_lite.ground_truth import linear_autoencoder
from autocrit_lite.ground_truth.quartic import FLAT_SQUARED_GRADIENT_NORM, Quartic
from autocrit_lite.networks.objective import NetworkObjective
from autocrit_lite.objectives import AutogradObjective

from .problems import saddle


@pytest.mark.parametrize("index", range(7))
def test_one_unit_step_lands_on_a_quadratic_saddle(index):
    eigenvalues = np.concatenate([-np.linspace(0.5, 3.0, index), np.linspace(0.7, 4.0, 6 - index)])
    objective = saddle(eigenvalues, seed=index)
    theta0 = objective.middle + np.random.default_rng(index).normal(size=(4, 6))
    trace = newton_mr(objective, theta0, 1, rtol=1e-14, maxit=24, rho_unit=0.4)
    assert (trace.step_size[:, 0] == 1.0).all()
    np.testing.assert_allclose(trace.theta - objective.middle, 0.0, atol=1e-11)


def test_the_unit_step_of_2021_has_to_do_what_the_linear_model_says():
    """ρ′ = 0.5: ‖g(θ + p)‖ ≤ ‖Hp + g‖, with equality on a quadratic, so that rounding decides."""
    objective = saddle((-2.0, -0.5, 0.3, 1.0, 4.0))
    theta0 = objective.middle + np.random.default_rng(9).normal(size=(60, 5))
    trace = newton_mr(objective, theta0, 1, rtol=1e-14, maxit=20)
    share = np.mean(trace.step_size[:, 0] == 1.0)
    assert 0.1 < share < 0.9
    for rho_unit, accepted in ((0.49, True), (0.51, False)):
        trace = newton_mr(objective, theta0, 1, rtol=1e-14, maxit=20, rho_unit=rho_unit)
        assert ((trace.step_size[:, 0] == 1.0) == accepted).all()
    # and so the step length that is kept from iteration to iteration has to grow to 1
    trace = newton_mr(objective, theta0, 12, rtol=1e-14, maxit=20)
    np.testing.assert_allclose(trace.theta - objective.middle, 0.0, atol=1e-8)


def test_a_singular_quadratic_is_left_by_the_shortest_step():
    """The component along the kernel does not change."""
    objective = saddle((-2.0, 0.0, 0.0, 1.0, 3.0))
    theta0 = objective.middle + np.random.default_rng(5).normal(size=5)
    trace = newton_mr(objective, theta0, 1, rtol=1e-13, maxit=20, rho_unit=0.4)
    step = -np.linalg.pinv(objective.A, rcond=1e-10) @ objective.A @ (theta0 - objective.middle)
    np.testing.assert_allclose(trace.theta, theta0 + step, atol=1e-10)


@pytest.mark.parametrize(
    "options", [{}, {"rho_unit": 0.4}, FRYE_2019], ids=["2021", "unit step", "2019"]
)
def test_convergence_near_a_nonsingular_point_is_quadratic(options):
    """‖g‖ at an iterate is at most a constant times ‖g‖² at the one before, as measured."""
    objective = saddle((-2.0, -0.7, 0.5, 1.0, 4.0), c=2.0)
    rng = np.random.default_rng(6)
    # near the critical points on the axis of the eigenvalue −2, at distance √(2/2)
    values, vectors = np.linalg.eigh(objective.A)
    critical = objective.middle + np.sqrt(-values[0] / objective.c) * vectors[:, 0]
    np.testing.assert_allclose(objective.linearize(critical).gradient, 0.0, atol=1e-12)
    theta0 = critical + 0.05 * rng.normal(size=(10, 5))
    trace = newton_mr(objective, theta0, 12, rtol=1e-13, maxit=20, **options)
    np.testing.assert_allclose(trace.theta, np.broadcast_to(critical, (10, 5)), atol=1e-12)
    size = np.sqrt(trace.squared_gradient_norm)
    before, after = size[:, :-1], size[:, 1:]
    # full steps, from where it is quadratic to where rounding takes over
    clear = (before < 0.3) & (before > 1e-6) & (after > 1e-14) & (trace.step_size[:, :-1] == 1.0)
    order = np.log(after[clear]) / np.log(before[clear])
    assert clear.sum() >= 8
    assert (after[clear] < 5.0 * before[clear] ** 2).all()
    assert np.median(order) > 1.8


@pytest.mark.parametrize("variant", [FRYE_2019, FRYE_2021], ids=["2019", "2021"])
@pytest.mark.parametrize("start", [(-1.2, 1.0), (2.0, 2.0), (0.5, -1.0)])
def test_rosenbrock(variant, start):
    """Its only critical point is its minimum (1, 1)."""
    rosenbrock = AutogradObjective(lambda t: (1.0 - t[0]) ** 2 + 100.0 * (t[1] - t[0] ** 2) ** 2)
    trace = newton_mr(rosenbrock, np.array(start), 500, rtol=1e-10, **variant)
    np.testing.assert_allclose(trace.theta, [1.0, 1.0], atol=1e-7)
    assert (np.diff(trace.squared_gradient_norm[: trace.iterations + 1]) <= 0.0).all()


def test_rosenbrock_in_more_dimensions():
    def f(t):
        return anp.sum((1.0 - t[:-1]) ** 2 + 100.0 * (t[1:] - t[:-1] ** 2) ** 2)

    theta0 = 1.0 + 0.1 * np.random.default_rng(7).normal(size=(3, 6))
    trace = newton_mr(AutogradObjective(f), theta0, 100, rtol=1e-10, maxit=24)
    np.testing.assert_allclose(trace.theta, 1.0, atol=1e-8)


def grid():
    x, y = np.linspace(-5.0, 5.0, 21), np.linspace(-4.5, 4.5, 9)
    return np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)


QUARTIC_RUNS = {
    "MINRES-QLP, carry": (newton_mr, {"rtol": 1e-10, "step_rule": "carry"}),
    "MINRES-QLP, restart": (newton_mr, {"rtol": 1e-10, "step_rule": "restart"}),
    "MINRES-QLP at 5e-4, carry": (newton_mr, {"rtol": 5e-4, "step_rule": "carry"}),
    "exact, carry": (damped_newton, {"step_rule": "carry"}),
    "exact, restart": (damped_newton, {"step_rule": "restart"}),
}


@pytest.mark.parametrize(("find", "options"), QUARTIC_RUNS.values(), ids=QUARTIC_RUNS.keys())
def test_every_run_on_the_quartic_is_accounted_for(find, options):
    """189 starts: each ends at (−3, 0), at (√2, 0), or stalls in a way that can be explained.

    Near x = √2 the accepted step lengths fall like (x − √2)², faster than geometrically where x
    goes to √2 linearly. Their sum is finite, y is multiplied by about 1 − α in each step, and so y
    stops before it has come to 0, where H is singular and the gradient is not in its kernel.
    """
    starts = grid()
    trace = find(Quartic(), starts, 500, **options)
    rows = np.arange(len(starts))
    squared_norm = trace.squared_gradient_norm[rows, trace.iterations]
    x, y = trace.theta.T
    critical = (np.hypot(x + 3.0, y) < 1e-4) & (squared_norm < 1e-8)
    level = np.abs(squared_norm / FLAT_SQUARED_GRADIENT_NORM - 1.0) < 1e-2
    flat = (np.hypot(x - np.sqrt(2.0), y) < 1e-1) & level
    stalled = ~critical & ~flat
    assert critical.sum() + flat.sum() + stalled.sum() == 189
    assert critical[starts[:, 0] < -2.0 * np.sqrt(2.0)].all()
    stalls = (trace.stop_reason == FinderStopReason.LINE_SEARCH_FAILED) | (
        trace.stop_reason == FinderStopReason.MAX_ITERATIONS
    )
    assert stalls[stalled].all()
    # at the place where H is singular, as nearly as the solver's tolerance tells it
    near, short = (1e-2, 1e-3) if options.get("rtol") == 5e-4 else (1e-3, 1e-5)
    assert (np.abs(x[stalled] - np.sqrt(2.0)) < near).all()
    assert (np.abs(y[stalled]) > 1e-3).all()
    # not gradient-flat: Newton's direction explains the part of the gradient along y
    share = np.abs(3.6 * y**3 + 10.0 * y)[stalled] / np.sqrt(squared_norm[stalled])
    assert (share > 0.01).all()
    # the step lengths have come to an end
    for run in np.flatnonzero(stalled):
        steps = trace.step_size[run, : trace.iterations[run]]
        assert steps[-1] < short
    assert trace.theta.shape == (189, 2)


def test_runs_on_a_linear_autoencoder_end_at_its_critical_points():
    """6-2-6: the loss and the index at the end are those of one of the 22 true points."""
    rng = np.random.default_rng(0)
    X = gaussian(rng, 200, np.arange(1.0, 7.0))
    covariance = X.T @ X / len(X)
    points = linear_autoencoder.critical_points(covariance, n_hidden=2)
    compressed = np.sqrt(6.0) * np.linalg.cholesky(covariance).T
    objective = NetworkObjective(points.net, compressed, compressed)
    trace = newton_mr(
        objective, 0.5 * rng.normal(size=(16, 24)), 200, rtol=1e-6, dense=False, **FRYE_2019
    )
    ends = trace.squared_gradient_norm[np.arange(16), trace.iterations]
    reached = ends < 1e-10
    assert reached.sum() >= 12
    point = objective.linearize(trace.theta[reached])
    index = np.mean(np.linalg.eigvalsh(point.hessian()) < -1e-5, axis=1)
    for value, fraction in zip(point.value, index, strict=True):
        same = (np.abs(points.loss - value) < 1e-6) & (np.abs(points.index - fraction) < 1e-9)
        assert same.any()


def test_the_residuals_in_a_trace():
    """Recomputed from the dense Hessian; the solver's use its own estimate of the norm."""
    objective = saddle((-2.0, -0.5, 1e-9, 1.0, 4.0), c=0.3)
    theta0 = objective.middle + np.random.default_rng(8).normal(size=(6, 5))
    trace = newton_mr(objective, theta0, 3, maxit=2, dense=True, record_theta=True)
    for k in range(3):
        point = objective.linearize(trace.thetas[:, k])
        H, g = point.matrix, point.gradient
        alpha = trace.step_size[:, k]
        p = (trace.thetas[:, k + 1] - trace.thetas[:, k]) / alpha[:, None]
        residual = point.hvp(p) + g
        size, g_size = np.linalg.norm(residual, axis=1), np.linalg.norm(g, axis=1)
        frobenius = np.linalg.norm(H, axis=(1, 2))
        np.testing.assert_allclose(trace.direction_norm[:, k], np.linalg.norm(p, axis=1), rtol=1e-9)
        np.testing.assert_allclose(trace.residual_ratio[:, k], size / g_size, rtol=1e-6)
        r = size / (frobenius * np.linalg.norm(p, axis=1) + g_size)
        np.testing.assert_allclose(trace.relative_residual_frobenius[:, k], r, rtol=1e-6)
        r_H = np.linalg.norm(point.hvp(residual), axis=1) / (frobenius * size)
        np.testing.assert_allclose(trace.relative_cokernel_residual_frobenius[:, k], r_H, rtol=1e-6)
        # the solver's estimate of the norm is a lower bound, within a factor of 5 here
        assert (trace.relative_residual[:, k] >= r * (1.0 - 1e-9)).all()
        assert (trace.relative_residual[:, k] <= 5.0 * r).all()
        assert (trace.solver_iterations[:, k] == 2).all()


def test_the_flattest_iterate_of_a_run_to_the_flat_point():
    trace = newton_mr(Quartic(), np.array([2.6, 0.4]), 200, record_theta=True)
    np.testing.assert_allclose(trace.theta, [np.sqrt(2.0), 0.0], atol=0.1)
    # nothing of the gradient is explained; r is only near 1/2, since the solver's last iterate of
    # minimum residual goes along the gradient, and so is as long as ‖g‖ / ‖H‖
    assert np.nanmax(trace.residual_ratio) > 0.99
    assert 0.4 < np.nanmax(trace.relative_residual) < 0.6
    flattest = trace.thetas[np.nanargmax(trace.relative_residual)]
    np.testing.assert_allclose(flattest, [np.sqrt(2.0), 0.0], atol=0.1)
