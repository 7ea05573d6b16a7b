"""Index-targeted Newton: it arrives at points of the index asked, and at no others."""

import numpy as np
import pytest

from autocrit_lite import MLP, NetworkObjective, certify
from autocrit_lite.finders import FinderStopReason, index_targeted_newton
from autocrit_lite.finders.eigenbasis import KANTOROVICH, lanczos
from autocrit_lite.finders.index_targeted import least_damping
from autocrit_lite.ground_truth.cubic import Cubic
from autocrit_lite.ground_truth.quartic import Quartic
from autocrit_lite.objectives import AutogradObjective

from .problems import Counted, saddle

EIGENVALUES = (-2.0, -0.6, 0.3, 1.0, 4.0)
ARRIVED = (int(FinderStopReason.ROUNDING), int(FinderStopReason.CONVERGED))
both_ways = pytest.mark.parametrize("krylov_dimension", [None, 3])


def index_at(objective, theta):
    return np.sum(np.linalg.eigvalsh(objective.linearize(theta).hessian()) < 0.0, axis=-1)


def starts(objective, count=8, seed=1, spread=1.0):
    n = len(objective.middle)
    return objective.middle + spread * np.random.default_rng(seed).normal(size=(count, n))


@both_ways
@pytest.mark.parametrize("index", [0, 1, 2])
def test_it_arrives_at_the_points_of_each_index(index, krylov_dimension):
    """Those of index 0 and 1 lie along the two descending directions, the middle has index 2."""
    objective = saddle(EIGENVALUES, c=0.5)
    trace = index_targeted_newton(
        objective, starts(objective), 200, index=index, krylov_dimension=krylov_dimension
    )
    # at the limit of rounding, if not at zero
    assert (trace.last("squared_gradient_norm") < 1e-28).all()
    assert krylov_dimension or np.isin(trace.stop_reason, ARRIVED).all()
    np.testing.assert_array_equal(index_at(objective, trace.theta), index)
    distance = 0.0 if index == 2 else np.sqrt(-EIGENVALUES[index] / objective.c)
    found = np.linalg.norm(trace.theta - objective.middle, axis=1)
    np.testing.assert_allclose(found, distance, atol=1e-12)


@both_ways
def test_a_quadratic_of_another_index_has_no_point_to_arrive_at(krylov_dimension):
    objective = saddle((-3.0, -2.0, -1.0, -0.5, 0.5, 1.0, 2.0, 3.0))
    for index in range(9):
        trace = index_targeted_newton(
            objective,
            starts(objective, count=3),
            40,
            index=index,
            krylov_dimension=krylov_dimension,
            squared_gradient_tolerance=1e-20,
        )
        if index == 4:  # the number of negative eigenvalues
            np.testing.assert_allclose(trace.theta, [objective.middle] * 3, atol=1e-8)
        else:
            assert (trace.stop_reason == FinderStopReason.MAX_ITERATIONS).all()
            assert (trace.last("squared_gradient_norm") > trace.squared_gradient_norm[:, 0]).all()


def test_a_step_is_that_of_the_recipe():
    objective = saddle(EIGENVALUES, c=1.0)
    theta0 = np.concatenate([starts(objective, spread=spread) for spread in (0.5, 1.0, 3.0)])
    trace = index_targeted_newton(objective, theta0, 12, index=1, radius=3.0, record_theta=True)
    seen, halved = set(), 0
    for run, k in zip(*np.nonzero(trace.step_size > 0.0), strict=True):
        point = objective.linearize(trace.thetas[run, k])
        values, Q = np.linalg.eigh(point.matrix)
        climbs = (np.arange(5) < 1) & (np.sum(values < 0.0) <= 1)
        seen.add(bool(climbs.any()))
        weights = np.abs(values) + trace.damping[run, k]
        d = Q @ (np.where(climbs, 1.0, -1.0) * (Q.T @ point.gradient) / weights)
        step = trace.thetas[run, k + 1] - trace.thetas[run, k]
        np.testing.assert_allclose(step, d, rtol=1e-6, atol=1e-9)
        if np.linalg.norm(d) < 1e-3:  # rounding is a part of the error
            continue
        there = objective.value_and_gradient(trace.thetas[run, k + 1])[1]
        error = Q.T @ (there - point.gradient - point.matrix @ d) / weights
        error = np.linalg.norm(error) / np.linalg.norm(d)
        assert error <= 0.75
        after = trace.direction_norm[run, k + 1] / trace.direction_norm[run, k]
        if error > 0.4:
            assert after <= 0.5 * 1.05
            halved += 1
        elif np.isfinite(after):
            assert after <= 2.0 * 1.05 or trace.damping[run, k] == 0.0
    assert seen == {True, False}
    assert halved > 2


def test_the_quadratic_phase_takes_newton_steps():
    objective = saddle(EIGENVALUES, c=1.0)
    trace = index_targeted_newton(objective, starts(objective), 60, index=1, record_theta=True)
    for run in range(8):
        end = trace.iterations[run]
        errors = np.linalg.norm(trace.thetas[run, : end + 1] - trace.theta[run], axis=1)
        late = np.flatnonzero((errors[:-1] < 0.05) & (errors[:-1] > 1e-12))
        assert len(late) >= 2
        for k in late:
            point = objective.linearize(trace.thetas[run, k])
            newton = -np.linalg.solve(point.matrix, point.gradient)
            step = trace.thetas[run, k + 1] - trace.thetas[run, k]
            np.testing.assert_allclose(step, newton, rtol=1e-7, atol=1e-13)
            assert errors[k + 1] <= 10.0 * errors[k] ** 2 + 1e-14


@pytest.mark.parametrize("seed", range(5))
def test_the_damping_keeps_the_step_within_the_radius(seed):
    rng = np.random.default_rng(seed)
    c, size = rng.normal(size=(20, 30)), 10.0 ** rng.uniform(-12.0, 2.0, size=(20, 30))
    c[:5, :10], size[:10, 5:8], size[0] = 0.0, 0.0, 0.0
    radius = 10.0 ** rng.uniform(-6.0, 12.0, size=20)
    mu = least_damping(c, size, radius)
    with np.errstate(divide="ignore", invalid="ignore"):
        length = np.linalg.norm(np.nan_to_num(c / (size + mu[:, None]), posinf=1e300), axis=1)
    assert (mu >= 0.0).all()
    assert (length <= 1.05 * radius).all()
    assert (length[mu > 0.0] >= 0.95 * radius[mu > 0.0]).all()  # the least
    assert (mu > 0.0).any()


def test_no_damping_where_there_is_no_gradient():
    zero = np.zeros((2, 3))
    np.testing.assert_array_equal(least_damping(zero, zero, np.ones(2)), [0.0, 0.0])


def test_degenerate_points_are_reached_as_fast_as_newton_reaches_them():
    """Of a homogeneous cubic Newton's step halves θ, by Euler: Hθ = 2g."""
    monkey = AutogradObjective(lambda t: t[0] ** 3 - 3.0 * t[0] * t[1] ** 2)
    for objective, start, index in (
        (monkey, [0.3, 0.2], 1),
        (Cubic(), [0.5, 0.3], 0),
        (Cubic(), [0.5, -0.3], 1),
        (Cubic(), [-0.5, -0.3], 2),
    ):
        start = np.array(start)
        trace = index_targeted_newton(objective, start, 20, index=index, record_theta=True)
        k = np.arange(trace.iterations + 1)[:, None]
        assert trace.iterations == 20
        np.testing.assert_allclose(trace.thetas, 0.5**k * start, rtol=1e-6)
    assert KANTOROVICH == 0.25  # exactly the error of these steps


def test_it_passes_the_gradient_flat_points_of_the_quartic():
    starts = np.random.default_rng(0).uniform(-5.0, 5.0, size=(40, 2))
    trace = index_targeted_newton(Quartic(), starts, 300, index=0, squared_gradient_tolerance=1e-20)
    assert (trace.stop_reason == FinderStopReason.CONVERGED).all()
    np.testing.assert_array_equal(index_at(Quartic(), trace.theta), 0)


def test_what_it_finds_of_a_small_network_is_certified():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(20, 3))
    net = MLP((3, 2, 3))
    objective = NetworkObjective(net, X, X, l2=0.2)
    theta0 = rng.normal(size=(6, net.n_parameters))
    arrived = 0
    for index in (0, 1, 2):
        trace = index_targeted_newton(objective, theta0, 400, index=index)
        for run in np.flatnonzero(trace.stop_reason == FinderStopReason.ROUNDING):
            certificate = certify(objective, trace.theta[run])
            assert certificate.proven
            assert certificate.index == index
            arrived += 1
    assert arrived >= 3


@both_ways
def test_products_are_counted(krylov_dimension):
    objective = Counted(saddle(EIGENVALUES, c=0.5), hessian_cost=4.0)
    theta0 = objective.objective.middle + 1.0
    trace = index_targeted_newton(objective, theta0, 3, index=1, krylov_dimension=krylov_dimension)
    assert trace.iterations == 3
    if krylov_dimension is None:
        assert (objective.hessians, trace.products[-1]) == (3, 12.0)
        assert objective.products == 3  # for the trace's residuals
    else:
        assert objective.hessians == 0
        assert objective.products == 3 * (3 + 1) + 3  # a block of one for the Ritz vector before
        assert trace.products[-1] == 3 * (3 + 1)


def test_a_small_krylov_space_keeps_the_lowest_directions():
    """Without those kept from step to step, two vectors do not hold the two that are climbed."""
    objective = saddle((-4.0, -3.0, *np.linspace(0.5, 8.0, 18)), c=0.05)
    theta0 = starts(objective, count=5, spread=0.3)
    trace = index_targeted_newton(
        objective, theta0, 300, index=2, krylov_dimension=2, squared_gradient_tolerance=1e-20
    )
    np.testing.assert_allclose(trace.theta, [objective.middle] * 5, atol=1e-9)


def test_the_krylov_space_has_the_vectors_it_is_given():
    objective = saddle(np.linspace(-3.0, 4.0, 12))
    point = objective.linearize(starts(objective, count=2))
    values, Q = np.linalg.eigh(point.matrix)
    first = np.swapaxes(Q[:, :, :2], 1, 2)
    basis = lanczos(point, 4, first)
    np.testing.assert_allclose(basis.eigenvalues[:, :2], values[:, :2], rtol=1e-10)
    V = basis.eigenvectors
    np.testing.assert_allclose(np.swapaxes(V, 1, 2) @ V, [np.eye(6)] * 2, atol=1e-10)
    np.testing.assert_allclose(basis.combined(basis.coefficients(point.gradient)), point.gradient)
    # of a space that is exhausted, what is missing comes last and is zero
    whole = lanczos(point, 12, first)
    absent = np.linalg.norm(whole.eigenvectors, axis=1) < 0.5
    assert (absent.sum(axis=1) >= 2).all()
    assert (np.sort(absent, axis=1) == absent).all()


@pytest.mark.parametrize(
    ("error", "name", "value"),
    [
        (ValueError, "index", -1),
        (ValueError, "index", 6),
        (TypeError, "index", 1.0),
        (ValueError, "radius", 0.0),
        (ValueError, "radius", np.inf),
        (ValueError, "krylov_dimension", 0),
    ],
)
def test_bad_options_are_refused(error, name, value):
    with pytest.raises(error, match=f"^{name} must"):
        index_targeted_newton(saddle(EIGENVALUES), np.zeros(5), **{"index": 1, name: value})
