"""Critical points of linear networks, modulo their group."""

import numpy as np
import pytest

import autocrit_lite as al
from autocrit_lite.certify.certificate import ALONG
from autocrit_lite.certify.enclosures import NetworkEnclosure
from autocrit_lite.certify.symmetry import Slice, orbit_tangents
from autocrit_lite.ground_truth.linear_autoencoder import critical_points


def autoencoder(n=16, h=4, seed=0):
    """Return the objective of the autoencoder on as many samples as inputs, and its points."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(10 * n, n)) * np.sqrt(np.arange(1.0, n + 1.0))
    X = np.linalg.cholesky(X.T @ X / len(X)).T * np.sqrt(n)  # (n, n) with the same moments
    points = critical_points(X.T @ X / n, h)
    return al.NetworkObjective(points.net, X, X), points


def check(found, points, k):
    """Assert that point k is proven with the index and the loss of the closed formula."""
    n, h, r = len(points.eigenvalues), points.n_hidden, len(points.sets[k])
    assert found.proven, (points.sets[k], found.why)
    assert found.orbit == h**2 - (h - r) ** 2
    assert found.index == round(points.index[k] * 2 * h * n)
    low, high = found.value
    assert low - 1e-12 <= points.loss[k] <= high + 1e-12


def test_points_of_every_rank_are_certified_with_the_index_of_the_formula():
    objective, points = autoencoder(6, 2)
    rng = np.random.default_rng(1)
    assert len(points.sets) == 22
    for k in range(22):
        check(al.certify(objective, points.theta[k]), points, k)
        # anywhere on its orbit, and near it
        A = np.eye(2) + 0.3 * rng.normal(size=(2, 2))
        (W1, _), (W2, _) = points.net.unflatten(points.theta[k])
        theta = points.net.flatten([(A @ W1, None), (W2 @ np.linalg.inv(A), None)])
        if len(points.sets[k]) == 2:
            theta = theta + 1e-5 * rng.normal(size=theta.shape)
        found = al.certify(objective, theta)
        check(found, points, k)
        assert ("across an orbit" in str(found)) == (found.orbit > 0)


def test_some_points_of_the_paper_s_network_are_certified():
    objective, points = autoencoder()
    for k in [0, 1, 16, 50, 136, 500, 696, 2000, 2516]:
        check(al.certify(objective, points.theta[k]), points, k)


@pytest.mark.slow
def test_all_points_of_the_paper_s_network_are_certified():
    objective, points = autoencoder()
    assert len(points.sets) == 2517
    for k in range(2517):
        check(al.certify(objective, points.theta[k]), points, k)


def test_a_slice_along_the_orbit_is_refused(monkeypatch):
    """Whose fixed coordinates do not move along the orbit."""
    objective, points = autoencoder(6, 2)
    k = len(points.sets) - 1
    assert al.certify(objective, points.theta[k]).proven
    monkeypatch.setattr(Slice, "is_across", lambda *_: False)
    refused = al.certify(objective, points.theta[k])
    assert not refused.proven
    assert refused.why == ALONG


def test_a_slice_is_across_only_within_a_distance():
    objective, points = autoencoder(6, 2)
    theta = points.theta[-1]
    own = Slice(NetworkEnclosure(objective), theta)
    high, low = theta[own.free], np.zeros(own.n)
    assert own.is_across(high, low, 1e-6)
    assert not own.is_across(high, low, 10.0)  # W = 0 is nearer, where the orbit is a point


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_the_loss_does_not_change_along_the_tangents(bias, l2):
    rng = np.random.default_rng(0)
    net = al.MLP((3, 2, 3, 2), "linear", bias)
    objective = al.NetworkObjective(net, rng.normal(size=(9, 3)), rng.normal(size=(9, 2)), l2=l2)
    theta = rng.normal(size=net.n_parameters)
    tangents = orbit_tangents(net, theta, orthogonal=l2 > 0.0)
    assert tangents.shape[1] == (4 if l2 else 13)
    gradient = objective.linearize(theta).gradient
    assert np.max(np.abs(gradient @ tangents)) < 1e-12


def test_a_penalised_linear_network_is_certified_modulo_rotations():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 4)) * np.array([2.0, 1.5, 1.0, 0.5])
    objective = al.NetworkObjective(al.MLP((4, 2, 4), "linear", False), X, X, l2=1e-2)
    theta = al.saddle_free_newton(
        objective, rng.normal(size=16), 300, squared_gradient_tolerance=1e-18
    ).theta
    found = al.certify(objective, theta)
    assert found.proven
    assert found.orbit == 1
    assert found.index == 0
