"""Every finder on a device: what NumPy gives, and a known number of waits for the device."""

import array_api_strict
import numpy as np
import pytest

from autocrit_lite import MLP, NetworkObjective
from autocrit_lite.devices import to_numpy
from autocrit_lite.finders import newton_mr
from autocrit_lite.finders.trace import DIRECTION_SCALARS, ITERATE_SCALARS
from autocrit_lite.linalg.minres_qlp import minres_qlp
from tests.benchmarks.synchronisations import synchronisations
from tests.strict import DEVICE, as_gpu, back, there

from .test_driver import every_finder

NET = MLP((3, 2, 3))


def objective_and_starts(count):
    """Return the loss of a small autoencoder, and points near a minimum (count, n).

    The penalty keeps its Hessians well conditioned, so that a few iterations keep the digits.
    """
    rng = np.random.default_rng(3)
    X = rng.normal(size=(30, 3))
    theta0 = rng.normal(size=(count, NET.n_parameters))
    return NetworkObjective(NET, X, X, l2=30.0), 0.5 * theta0


@every_finder
@pytest.mark.parametrize("count", [1, 4])
def test_a_finder_on_a_device_does_what_it_does_with_numpy(monkeypatch, find, count):
    objective, theta0 = objective_and_starts(count)
    theta0 = theta0[0] if count == 1 else theta0
    expected = find(objective, theta0, max_iterations=3, record_theta=True)
    as_gpu(monkeypatch)
    found = find(objective.to_device("gpu"), there(theta0), max_iterations=3, record_theta=True)
    assert found.theta.device == found.value.device == found.thetas.device == DEVICE
    found = to_numpy(found)
    for name in ("theta", "theta_first", "thetas", *ITERATE_SCALARS):
        wanted = getattr(expected, name)
        assert np.allclose(getattr(found, name), wanted, rtol=1e-10, atol=1e-12, equal_nan=True)
    # of a system that is solved, the residual is rounding, and so is all that is said of it
    left = expected.relative_residual > 1e-10
    for name in DIRECTION_SCALARS:
        mine, wanted = getattr(found, name), getattr(expected, name)
        if "residual" in name:
            mine, wanted = np.where(left, mine, 0.0), np.where(left, wanted, 0.0)
        assert np.allclose(mine, wanted, rtol=1e-7, atol=1e-12, equal_nan=True), name
    assert np.array_equal(found.stop_reason, expected.stop_reason)
    assert np.array_equal(found.iterations, expected.iterations)


def waits(call):
    """Return a call's result, and how often it waited for the device."""
    with synchronisations(array_api_strict._array_object.Array, array_api_strict) as count:
        result = call()
    return result, count.total


def test_every_way_to_the_host_is_counted_once():
    x = there(np.array([1.0, 0.0]))
    for call in (
        lambda: bool(x[0] > 0.0),
        lambda: float(x[0]),
        lambda: int(x[0]),
        lambda: to_numpy(x),
        lambda: array_api_strict.nonzero(x),
    ):
        assert waits(call)[1] == 1
    assert waits(lambda: array_api_strict.sum(x + x))[1] == 0
    assert np.array_equal(back(x), [1.0, 0.0])
    assert "get" not in vars(array_api_strict._array_object.Array)


def test_the_solver_waits_once_in_an_iteration_whatever_the_batch():
    rng = np.random.default_rng(0)
    A, b = rng.normal(size=(40, 40)), rng.normal(size=40)
    counts = {}
    for n_systems in (2, 30):
        for maxit in (10, 20):
            args = there(A + A.T), there(np.tile(b, (n_systems, 1)))
            counts[n_systems, maxit] = waits(lambda a=args, m=maxit: minres_qlp(*a, 1e-12, m))[1]
    assert counts[2, 10] == counts[30, 10]
    assert counts[2, 20] == counts[30, 20]
    assert counts[2, 20] - counts[2, 10] == 10


@every_finder
def test_how_often_a_finder_waits_does_not_depend_on_the_batch(monkeypatch, find):
    objective, theta0 = objective_and_starts(2)
    as_gpu(monkeypatch)
    far = objective.to_device("gpu")
    counts = [
        waits(lambda k=k: find(far, there(np.tile(theta0, (k, 1))), max_iterations=2))[1]
        for k in (1, 6)
    ]
    assert counts[0] == counts[1]


@pytest.mark.parametrize("rtol", [5e-4, 1e-10])
@pytest.mark.parametrize("count", [4, 12])
def test_how_often_an_iteration_of_newton_mr_waits(monkeypatch, count, rtol):
    """Once for each solver iteration and trial point, a few times where systems end, and so on."""
    objective, theta0 = objective_and_starts(count)
    as_gpu(monkeypatch)
    far = objective.to_device("gpu")
    k = 4
    found, total = waits(lambda: newton_mr(far, there(theta0), max_iterations=k, rtol=rtol))
    trace = to_numpy(found)
    solver, trials = trace.solver_iterations[:, :k], trace.trials[:, :k]
    ends = sum(len(np.unique(own[np.isfinite(own)])) for own in solver.T)
    often = np.sum(np.nanmax(solver, axis=0)) + np.sum(np.nanmax(trials, axis=0))
    assert often < total <= often + 6 * ends + 15 * k
