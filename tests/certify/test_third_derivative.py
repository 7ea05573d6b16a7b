"""Bounds of third derivatives of networks so small that the largest one can be searched for."""

import numpy as np
import pytest

import autocrit_lite as al
from autocrit_lite.certify.balls import Balls
from autocrit_lite.certify.enclosures import NetworkEnclosure
from autocrit_lite.certify.third_derivative import largest_eigenvalue

STEP = 1e-4


def largest_third(objective, theta, region):
    """Return the largest |D³L[v, v, v]| that is seen in a region of the plane."""
    angles = np.linspace(0.0, np.pi, 721)
    v = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    around = np.linspace(0.0, 2.0 * np.pi, 24, endpoint=False)
    circle = np.stack([np.cos(around), np.sin(around)], axis=1)
    offsets = np.concatenate([r * circle for r in np.linspace(0.0, 0.999 * region, 8)])
    moves = np.stack([theta + offsets + s * STEP * e for e in np.eye(2) for s in (1.0, -1.0)])
    H = objective.linearize(moves.reshape(-1, 2)).hessian().reshape(2, 2, -1, 2, 2)
    T = (H[:, 0] - H[:, 1]) / (2.0 * STEP)
    return np.max(np.abs(np.einsum("kpij,vk,vi,vj->pv", T, v, v, v)))


def softmax(p):
    """Return a classifier of two classes and one sample, and where it gives the probabilities p."""
    objective = al.NetworkObjective(
        al.MLP((1, 2), bias=False), np.ones((1, 1)), np.array([0]), loss="cross_entropy"
    )
    return objective, np.array([np.log(p), np.log(1.0 - p)])


def chain(activation, x=1.0, y=0.5):
    """Return w₂σ(w₁x) with squared error."""
    X, Y = np.full((1, 1), x), np.full((1, 1), y)
    return al.NetworkObjective(al.MLP((1, 1, 1), activation, bias=False), X, Y)


def third(objective, theta, region):
    return NetworkEnclosure(objective).third(theta, np.zeros_like(theta), region)


def test_a_softmax_has_the_third_cumulant_that_the_bound_allows_for():
    p = 0.5 - np.sqrt(1.0 / 12.0)  # where p (1 − p)(1 − 2p) is largest
    objective, theta = softmax(p)
    exact = np.sqrt(8.0) * p * (1.0 - p) * (1.0 - 2.0 * p)
    assert abs(largest_third(objective, theta, 0.0) - exact) < 1e-6
    K = third(objective, theta, 1e-9)
    assert exact <= K < 2.0 * exact


@pytest.mark.parametrize("activation", ["swish", "tanh", "sigmoid", "linear"])
@pytest.mark.parametrize("region", [1e-3, 0.3, 3.0])
def test_no_third_derivative_in_the_region_is_above_the_bound(activation, region):
    objective = chain(activation)
    for theta in np.array([[-4.0, 1.0], [-1.0, 3.0], [0.3, 0.2], [2.5, -1.0], [0.0, 0.0]]):
        assert largest_third(objective, theta, region) <= third(objective, theta, region) + 1e-5


def test_norms_alone_give_what_the_recursion_does_by_hand():
    """Of w₂w₁ − y: ζ₁ = 2w, ζ₂ = 2 and ζ₃ = 0 where both weights are w, so that K = 6 ζ₁ζ₂."""
    for w in (0.5, 2.0):
        enclosure = NetworkEnclosure(chain("linear"))
        K = enclosure._third_by_norms(np.array([w, w]), np.zeros(2), 0.0)
        assert 24.0 * w <= K <= 24.0 * w * (1.0 + 1e-6)
    # and of a softmax: ζ₁ = ‖x‖ = 1
    objective, theta = softmax(0.3)
    K = NetworkEnclosure(objective)._third_by_norms(theta, np.zeros(2), 0.0)
    assert np.sqrt(0.5) <= K <= np.sqrt(0.5) * (1.0 + 1e-6)


@pytest.mark.parametrize("seed", range(10))
def test_a_largest_eigenvalue_is_bounded_closely(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 30))
    B = rng.normal(size=(n, int(rng.integers(1, 30)))) * 10.0 ** rng.uniform(-5.0, 5.0)
    G = B @ B.T
    exact = np.linalg.eigvalsh(G)[-1]
    bound = largest_eigenvalue(Balls.of(G))
    assert exact * (1.0 - 1e-12) <= bound <= 1.1 * exact + 1e-250
    spread = largest_eigenvalue(Balls(G, np.full((n, n), exact)))
    assert spread >= (1.0 + n) * exact * (1.0 - 1e-12) - np.abs(exact - bound)
    assert largest_eigenvalue(Balls.of(np.zeros((n, n)))) < 1e-200


def test_a_largest_eigenvalue_that_powers_do_not_find_is_bounded_too():
    assert largest_eigenvalue(Balls.of(np.diag([1.0] * 30 + [1.01]))) >= 1.01


def test_gradient_and_hessian_are_those_of_both_parts_of_a_point():
    objective = chain("swish")
    enclosure = NetworkEnclosure(objective)
    high, low = np.array([0.7, -1.1]), np.array([0.25, 1e-3])
    point = objective.linearize(high + low)
    value, gradient = enclosure.gradient(high, low)
    assert abs(float(value.mid()) - point.value) < 1e-14
    np.testing.assert_allclose([float(g.mid()) for g in gradient], point.gradient, atol=1e-14)
    H = enclosure.hessian(high, low)
    np.testing.assert_allclose(H.middle, point.hessian(), atol=1e-14)
    whole = enclosure.third(high + low, 0.0 * low, 1e-3)
    np.testing.assert_allclose(enclosure.third(high, low, 1e-3), whole, rtol=1e-6)
