"""Newton's method by eigendecomposition."""

import numpy as np
import pytest

from autocrit_lite.finders import damped_newton, exact_newton
from autocrit_lite.finders.driver import find
from autocrit_lite.finders.eigenbasis import Eigenbasis, lanczos
from autocrit_lite.finders.exact_newton import CUTOFF, ExactNewton
from autocrit_lite.finders.line_search import ResidualSearch
from autocrit_lite.ground_truth.quartic import Quartic
from autocrit_lite.objectives import AutogradObjective

from .problems import Point, saddle


@pytest.mark.parametrize("search", [ResidualSearch(rho_unit=0.4), None])
@pytest.mark.parametrize("index", range(6))
def test_a_quadratic_saddle_of_every_index_takes_one_step(search, index):
    eigenvalues = np.concatenate([-np.linspace(0.5, 3.0, index), np.linspace(0.7, 4.0, 5 - index)])
    objective = saddle(eigenvalues, seed=index)
    theta0 = objective.middle + np.random.default_rng(index).normal(size=(3, 5))
    trace = find(ExactNewton(search), objective, theta0, 1, 0.0, False)
    # golden section knows the place of a minimum to the root of the rounding error
    np.testing.assert_allclose(trace.step_size[:, 0], 1.0, rtol=1e-7)
    np.testing.assert_allclose(trace.theta - objective.middle, 0.0, atol=1e-6)
    np.testing.assert_array_equal(trace.products[:, 1], objective.hessian_cost)


def test_directions_are_those_of_the_pseudo_inverse():
    for small in (1e-5, 0.1 * CUTOFF):
        objective = saddle((-2.0, -small, 0.0, 1.0, 4.0))
        theta0 = objective.middle + np.random.default_rng(1).normal(size=(4, 5))
        point = objective.linearize(theta0)
        trace = damped_newton(objective, theta0, 1, record_theta=True)
        p = -point.gradient @ np.linalg.pinv(objective.A, rcond=CUTOFF)
        moved = (trace.theta - theta0) / trace.step_size[:, :1]
        np.testing.assert_allclose(moved, p, rtol=1e-4, atol=1e-9)
        residual = p @ objective.A + point.gradient
        size, g_size = np.linalg.norm(residual, axis=1), np.linalg.norm(point.gradient, axis=1)
        np.testing.assert_allclose(trace.residual_ratio[:, 0], size / g_size, atol=1e-6)
        lengths = np.linalg.norm(p, axis=1)
        for norm_of_H, found in (
            (4.0, trace.relative_residual),
            (np.linalg.norm(objective.A), trace.relative_residual_frobenius),
        ):
            r = size / (norm_of_H * lengths + g_size)
            np.testing.assert_allclose(found[:, 0], r, rtol=1e-5, atol=1e-12)


def test_rosenbrock():
    rosenbrock = AutogradObjective(lambda t: (1.0 - t[0]) ** 2 + 100.0 * (t[1] - t[0] ** 2) ** 2)
    trace = exact_newton(rosenbrock, np.array([0.9, 0.9]), 100, squared_gradient_tolerance=1e-16)
    np.testing.assert_allclose(trace.theta, [1.0, 1.0], atol=1e-6)


def test_the_exact_search_never_raises_the_gradient():
    rng = np.random.default_rng(2)
    trace = exact_newton(Quartic(), rng.uniform(-4.0, 4.0, size=(30, 2)), 50)
    for norms, end in zip(trace.squared_gradient_norm, trace.iterations, strict=True):
        assert (np.diff(norms[: end + 1]) < 0.0).all()


def test_a_hessian_that_is_not_finite_gives_no_direction():
    H = np.stack([np.eye(3), np.full((3, 3), np.nan)])
    basis = Eigenbasis.of(Point(None, np.ones((2, 3)), H))
    p = basis.apply(basis.pseudo_inverse(1e-12), np.ones((2, 3)))
    np.testing.assert_allclose(p[0], 1.0)
    assert np.isnan(p[1]).all()


def test_lanczos_gives_the_spectrum_in_the_krylov_space():
    objective = saddle(np.linspace(-3.0, 7.0, 12))
    point = objective.linearize(objective.middle + np.random.default_rng(3).normal(size=(4, 12)))
    whole = lanczos(point, 12)
    np.testing.assert_allclose(
        whole.eigenvalues, np.tile(np.linspace(-3, 7, 12), (4, 1)), rtol=1e-8
    )
    part = lanczos(point, 5)
    Q = part.eigenvectors
    np.testing.assert_allclose(np.swapaxes(Q, 1, 2) @ Q, np.tile(np.eye(5), (4, 1, 1)), atol=1e-12)
    # Rayleigh-Ritz: Qᵀ H Q is diagonal, and the space holds the gradient and H times it
    ritz = np.swapaxes(Q, 1, 2) @ objective.A @ Q
    np.testing.assert_allclose(ritz, part.eigenvalues[:, :, None] * np.eye(5), atol=1e-10)
    for v in (point.gradient, point.hvp(point.gradient)):
        np.testing.assert_allclose(part.apply(np.ones((4, 5)), v), v, atol=1e-9)


def test_lanczos_in_an_exhausted_space():
    """Two distinct eigenvalues: the Krylov space of any vector has two dimensions."""
    objective = saddle((-1.0, -1.0, 2.0, 2.0, 2.0))
    point = objective.linearize(objective.middle + np.random.default_rng(4).normal(size=(3, 5)))
    basis = lanczos(point, 4)
    found = np.sort(np.abs(basis.eigenvalues), axis=1)
    np.testing.assert_allclose(found, np.tile([0.0, 0.0, 1.0, 2.0], (3, 1)), atol=1e-10)
    v = point.gradient
    np.testing.assert_allclose(basis.apply(basis.eigenvalues, v), point.hvp(v), atol=1e-10)
