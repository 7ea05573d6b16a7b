"""Theorem 5.15 and its corollaries, with the points at which the printed ones fail."""

import numpy as np
import pytest

from autocrit_lite.ground_truth import critical_locus as locus
from autocrit_lite.ground_truth.flat_subspace import flat_subspace, guaranteed_zeros
from autocrit_lite.networks.mlp import MLP
from autocrit_lite.networks.objective import network_loss
from autocrit_lite.objectives import AutogradObjective

CASES = [
    ((3, 12, 12, 2), "tanh", 5),  # very wide: r = r̃ = N
    ((3, 4, 5, 2), "swish", 20),  # more samples than features: nothing is flat
    ((2, 2, 9, 3), "linear", 20),  # linear: r = 2, r̃ = 3
    ((1, 6, 1), "relu", 4),
]


def problem(sizes, activation, N):
    rng = np.random.default_rng(0)
    net = MLP(sizes, activation)
    theta = rng.normal(size=net.n_parameters)
    return net, theta, rng.normal(size=(N, sizes[0])), rng


def last_layer_hessian(net, theta, X, Y):
    H = AutogradObjective(lambda t: network_loss(net, t, X, Y)).linearize(theta).hessian()
    return H[net.slices[-1][0].start :, net.slices[-1][0].start :]


@pytest.mark.parametrize(("sizes", "activation", "N"), CASES)
def test_dimension_is_the_nullity_of_the_loss_in_the_slice(sizes, activation, N):
    net, theta, X, rng = problem(sizes, activation, N)
    flat = flat_subspace(net, theta, X)
    slice_hessian = last_layer_hessian(net, theta, X, rng.normal(size=(N, sizes[-1])))
    eigenvalues = np.linalg.eigvalsh(slice_hessian)
    assert flat.dimension == np.sum(np.abs(eigenvalues) < 1e-12 * eigenvalues[-1])
    assert flat.dimension == (sizes[-2] + 1 - flat.rank_with_ones) * sizes[-1]
    assert flat.printed_dimension == (sizes[-2] + 1 - flat.rank) * sizes[-1]


@pytest.mark.parametrize(("sizes", "activation", "N"), CASES)
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_a_long_walk_keeps_outputs_and_loss(sizes, activation, N, loss):
    net, theta, X, rng = problem(sizes, activation, N)
    basis = flat_subspace(net, theta, X).basis
    np.testing.assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-13)
    Y = rng.normal(size=(N, sizes[-1])) if loss == "mse" else rng.integers(sizes[-1], size=N)
    walked = theta + 100.0 * rng.normal(size=len(basis)) @ basis
    np.testing.assert_allclose(net.forward(walked, X), net.forward(theta, X), rtol=0, atol=1e-10)
    values = [network_loss(net, t, X, Y, loss) for t in (walked, theta)]
    assert values[0] == pytest.approx(values[1], rel=1e-9, abs=1e-12)


def test_the_printed_dimension_fails_without_the_row_of_ones():
    # a star point: Φ = 0, so the printed theorem makes the whole slice flat, b_ℓ included
    net, _, X, rng = problem((2, 6, 6, 2), "tanh", 4)
    Y = rng.normal(size=(4, 2))
    theta = locus.sample(net, Y, (1,), rng)
    flat = flat_subspace(net, theta, X)
    assert (flat.rank, flat.rank_with_ones) == (0, 1)
    assert (flat.dimension, flat.printed_dimension) == (12, 14)
    eigenvalues = np.linalg.eigvalsh(last_layer_hessian(net, theta, X, Y))
    assert np.sum(eigenvalues > 1e-12) == 2


@pytest.mark.parametrize("width", [6, 10])
def test_zero_eigenvalues_of_a_saddle_fall_short_of_corollaries_516_and_518(width):
    # the star locus of a network with one hidden layer, wider than the samples are many
    net, _, X, rng = problem((2, width, 2), "tanh", 3)
    Y = rng.normal(size=(3, 2))
    theta = locus.sample(net, Y, (1,), rng)
    point = AutogradObjective(lambda t: network_loss(net, t, X, Y)).linearize(theta)
    assert np.linalg.norm(point.gradient) < 1e-14
    eigenvalues = np.linalg.eigvalsh(point.hessian())
    zeros = np.sum(np.abs(eigenvalues) < 1e-12)
    flat = flat_subspace(net, theta, X)
    assert zeros == width
    assert zeros < (width + 1 - 3) * 2  # Corollary 5.18
    assert zeros < flat.dimension < flat.printed_dimension  # Corollary 5.16, both ranks
    assert flat.dimension <= zeros + np.sum(eigenvalues < -1e-12)
    # on the flat space the quadratic form vanishes, the product with the Hessian does not
    product = point.hessian() @ flat.basis.T
    assert np.max(np.abs(flat.basis @ product)) < 1e-14
    assert np.linalg.norm(product) > 0.1


@pytest.mark.parametrize(
    ("sizes", "N", "zeros"),
    [
        ((6, 10, 10, 2), 5, 10 * 2 + 5 * 6),
        ((5, 8, 8, 8, 2), 3, 8 * 3 + 2 * 5 * 6),
        ((6, 4, 7, 5, 8), 2, 4 * 5 + 5 * 3 + 3 * 6 + 6 * 4),
        ((1, 6, 6, 1), 1, 6 * 1 + 5 * 6),
        ((2, 12, 2), 5, 0),
    ],
)
def test_sizes_alone_make_that_many_zeros_and_no_more_at_random_points(sizes, N, zeros):
    net, theta, X, rng = problem(sizes, "tanh", N)
    Y = rng.normal(size=(N, sizes[-1]))
    H = AutogradObjective(lambda t: network_loss(net, t, X, Y)).linearize(theta).hessian()
    found = np.sort(np.abs(np.linalg.eigvalsh(H)))
    assert guaranteed_zeros(net, N) == zeros
    assert np.sum(found < 1e-12 * found[-1]) == zeros
    if len(sizes) > 3:  # Corollary 5.18, at a point that is not even critical
        assert zeros >= (sizes[-2] + 1 - N) * sizes[-1]


def test_rank_tolerance():
    net, theta, X, _ = problem((3, 12, 12, 2), "tanh", 5)
    theta[net.slices[1][0]] *= 1e-6  # the second layer barely sees its inputs
    assert flat_subspace(net, theta, X).rank == 5
    assert flat_subspace(net, theta, X, rtol=1e-3).rank == 1


def test_bad_arguments_are_refused():
    net, theta, X, _ = problem((3, 4, 2), "tanh", 5)
    with pytest.raises(ValueError, match=r"theta must have shape \(\d+,\), not"):
        flat_subspace(net, np.stack([theta, theta]), X)
    with pytest.raises(ValueError, match="X must have shape"):
        flat_subspace(net, theta, X[:, :2])
    with pytest.raises(ValueError, match="rtol"):
        flat_subspace(net, theta, X, rtol=1.5)
    with pytest.raises(ValueError, match="n_samples"):
        guaranteed_zeros(net, 0)
    with pytest.raises(ValueError, match="biases"):
        guaranteed_zeros(MLP((3, 4, 2), bias=False), 5)
    with pytest.raises(ValueError, match="biases"):
        flat_subspace(MLP((3, 4, 2), bias=False), theta[:20], X)
