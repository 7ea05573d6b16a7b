"""ReLU is smooth on either side of its kink."""

import numpy as np

import autocrit_lite as al
from autocrit_lite.certify.certificate import ROUGH
from autocrit_lite.certify.enclosures import NetworkEnclosure


def line(n=9):
    """Return w₂ relu(w₁x + b₁) + b₂ on a grid whose targets bend at x = 1/8, between samples."""
    X = np.linspace(-1.0, 1.0, n)[:, None]
    Y = np.maximum(2.0 * X - 0.25, 0.0) + 0.1 * np.cos(7.0 * X)
    return al.NetworkObjective(al.MLP((1, 1, 1), "relu"), X, Y, l2=1e-2)


def minimum(objective, start):
    theta = np.array(start)
    for _ in range(30):
        point = objective.linearize(theta)
        theta = theta - np.linalg.solve(point.hessian(), point.gradient)
    return theta


def inputs(objective, theta):
    return objective._data[0][:, 0] * theta[0] + theta[1]


def test_a_minimum_inside_a_cell_is_certified_and_no_kink_is_in_its_region():
    objective = line()
    found = al.certify(objective, minimum(objective, [1.4, -0.2, 1.4, 0.0]))
    assert found.proven
    assert found.index == 0
    # no input vanishes where the certificate speaks of: (x, 1)·(dw₁, db₁) at most √2 of the move
    assert found.unique_within * np.sqrt(2.0) < np.min(np.abs(inputs(objective, found.theta)))


def test_a_point_on_a_kink_is_refused_with_that_reason():
    objective = line()
    theta = np.array([2.0, -0.5, 1.0, 0.0])  # 2x − 1/2 vanishes at the sample x = 1/4
    assert np.min(np.abs(inputs(objective, theta))) == 0.0
    found = al.certify(objective, theta)
    assert not found.proven
    assert found.why == ROUGH
    assert not al.nothing_near(objective, theta).proven


def test_third_derivatives_are_bounded_in_the_cell_alone():
    objective = line()
    enclosure = NetworkEnclosure(objective)
    theta, low = np.array([2.0, -0.3, 1.0, 0.0]), np.zeros(4)
    distance = np.abs(inputs(objective, theta)) / np.hypot(1.0, objective._data[0][:, 0])
    nearest = np.min(distance)  # to the border of the cell
    assert np.isfinite(enclosure.third(theta, low, 0.9 * nearest / np.sqrt(2.0)))
    assert np.isinf(enclosure.third(theta, low, nearest))
    assert np.isinf(enclosure.third(theta, low, 1.0))
    # beyond the border the Hessian jumps: no bound would hold
    x = objective._data[0][np.argmin(distance), 0]
    direction = np.array([x, 1.0, 0.0, 0.0]) / np.hypot(x, 1.0)
    sign = -np.sign(x * theta[0] + theta[1])
    before, after = (
        objective.linearize(theta + sign * f * nearest * direction).hessian()
        for f in (0.999, 1.001)
    )
    assert np.linalg.norm(after - before) > 0.01


def test_deeper_networks_of_relus_have_bounds_that_hold():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    objective = al.NetworkObjective(al.MLP((3, 4, 3, 2), "relu"), X, Y, l2=0.1)
    theta = rng.normal(size=objective.net.n_parameters)
    region = 1.0
    while not np.isfinite(K := NetworkEnclosure(objective).third(theta, 0.0 * theta, region)):
        region *= 0.5
    H = objective.linearize(theta).hessian()
    for _ in range(50):
        v = rng.normal(size=theta.shape)
        step = region * rng.uniform() * v / np.linalg.norm(v)
        change = np.linalg.norm(objective.linearize(theta + step).hessian() - H, 2)
        assert change <= K * np.linalg.norm(step) + 1e-12
