"""The star and core loci against autograd's gradients and Hessians, over random architectures."""

import numpy as np
import pytest

from autocrit_lite.ground_truth import critical_locus as locus
from autocrit_lite.ground_truth.neighbourhood import displace, nearby_critical_points
from autocrit_lite.networks.mlp import MLP
from autocrit_lite.networks.objective import network_loss
from autocrit_lite.objectives import AutogradObjective


def mse(net, X, Y):
    return AutogradObjective(lambda theta: network_loss(net, theta, X, Y))


def random_problem(rng, activations, depths=(3, 4, 5, 6), max_width=4):
    """Return a network with its data, and the indices of one of its loci, all drawn at random."""
    depth = rng.choice(depths)
    sizes = [int(m) for m in rng.integers(1, max_width + 1, size=depth + 1)]
    net = MLP(sizes, str(rng.choice(activations)))
    N = int(rng.integers(2, 9))
    X, Y = rng.normal(size=(N, sizes[0])), rng.normal(size=(N, sizes[-1])) + 1.0
    count = int(rng.integers(1, depth))
    layers = tuple(int(k) for k in rng.permutation(np.arange(1, depth))[:count])
    return net, X, Y, layers


def problem(sizes, activation="tanh", N=7, seed=0):
    rng = np.random.default_rng(seed)
    X, Y = rng.normal(size=(N, sizes[0])), rng.normal(size=(N, sizes[-1])) + 1.0
    return MLP(sizes, activation), X, Y, rng


def norm_of_gradient(net, X, Y, theta):
    return np.linalg.norm(mse(net, X, Y).value_and_gradient(theta)[1])


# Theorems 3.1 and 3.2


@pytest.mark.parametrize(
    "count", [100, pytest.param(1500, marks=pytest.mark.slow)], ids=["100", "1500"]
)
def test_random_points_are_critical_and_have_the_predicted_spectrum(count):
    rng = np.random.default_rng(0)
    core = star = 0
    for _ in range(count):
        net, X, Y, layers = random_problem(rng, ["linear", "swish", "tanh"])
        theta = locus.sample(net, Y, layers, rng)
        point = mse(net, X, Y).linearize(theta)
        found = np.linalg.eigvalsh(point.hessian())
        expected = locus.hessian_eigenvalues(net, theta, X, Y, layers)
        assert np.linalg.norm(point.gradient) < 1e-13
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * expected[-1])
        if len(layers) == 1:
            star += 1
            continue
        core += 1
        outputs = net.layers[-1]
        assert np.sum(found < -1e-12) == 0
        assert np.sum(found > 1e-12) == outputs
        # 2N for the summed loss
        np.testing.assert_allclose(found[-outputs:] * Y.size, 2.0 * len(Y), rtol=1e-12)
    assert min(core, star) > count // 5


def test_star_points_have_the_index_of_the_product_of_ranks():
    net, X, Y, rng = problem((3, 4, 2, 5, 2))
    for k, index in [(1, 2 * 2), (2, 2 * 2), (3, 5 * 2)]:  # rank(J) rank(C)
        theta = locus.sample(net, Y, (k,), rng)
        found = np.linalg.eigvalsh(mse(net, X, Y).linearize(theta).hessian())
        assert np.sum(found < -1e-9) == index
        assert np.sum(found > 1e-9) == index + 2


def test_relu_networks_have_the_same_critical_points():
    # a kink at the points themselves: the first derivatives exist on the star locus, the second
    # on the core, whatever slope between 0 and 1 is taken at zero
    rng = np.random.default_rng(1)
    for _ in range(30):
        net, X, Y, layers = random_problem(rng, ["relu"])
        theta = locus.sample(net, Y, layers, rng)
        point = mse(net, X, Y).linearize(theta)
        assert np.linalg.norm(point.gradient) < 1e-13
        step = 1e-5 * rng.normal(size=theta.size)
        b = step[net.slices[-1][1]]
        change = mse(net, X, Y).value_and_gradient(theta + step)[0] - point.value
        if len(layers) > 1:
            assert change == pytest.approx(np.mean(b**2), abs=1e-13)
            found = np.linalg.eigvalsh(point.hessian())
            assert np.sum(found > 1e-12) == net.layers[-1]
            assert np.sum(found < -1e-12) == 0


def test_sum_of_the_targets_as_printed_breaks_both_theorems():
    net, X, Y, rng = problem((3, 4, 2, 5, 2))
    theta = locus.sample(net, Y, (1, 3), rng)
    theta[net.slices[-1][1]] = Y.sum(axis=0)
    point = mse(net, X, Y).linearize(theta)
    expected = 2.0 * (len(Y) - 1) * np.linalg.norm(Y.sum(axis=0)) / Y.size
    assert np.linalg.norm(point.gradient) == pytest.approx(expected, rel=1e-12)
    # Σ r ≠ 0 couples M_ℓ to the hidden biases: m_{ℓ−1} = 5 eigenvalues of either sign
    found = np.linalg.eigvalsh(point.hessian())
    assert np.sum(found < -1e-9) == 5
    assert np.sum(found > 1e-9) == 2 + 5


@pytest.mark.parametrize("activation", ["sigmoid", "softplus", "swish", "tanh"])
@pytest.mark.parametrize("zero", [(1, 4), (1, 3), (2, 3), (1, 2, 4)])
def test_two_zero_matrices_and_the_mean_output_suffice(activation, zero):
    # the critical set around the loci: any hidden biases, and no need of σ(0) = 0 or M_ℓ = 0
    net, X, Y, rng = problem((2, 3, 4, 3, 2), activation)
    theta = rng.normal(size=net.n_parameters)
    for layer in zero:
        theta[net.slices[layer - 1][0]] = 0.0
    theta[net.slices[-1][1]] += np.mean(Y - net.forward(theta, X), axis=0)
    point = mse(net, X, Y).linearize(theta)
    assert np.linalg.norm(point.gradient) < 1e-13
    if len(zero) == 3:  # 2N (1 + ‖a‖²), m_ℓ times
        a = locus.hidden_activations(net, theta, X, 3)[0]
        found = np.linalg.eigvalsh(point.hessian())
        np.testing.assert_allclose(found[-2:], 1.0 + a @ a, rtol=1e-12)
        assert np.max(np.abs(found[:-2])) < 1e-12


def test_one_zero_matrix_suffices_if_nothing_comes_back_to_it():
    net, X, Y, rng = problem((3, 4, 6, 2), N=20)
    theta = rng.normal(size=net.n_parameters)
    (M_1, _), (M_2, _), (M_3, b_3) = net.unflatten(theta)
    M_1[:] = 0.0
    slope = 1.0 - locus.hidden_activations(net, theta, X, 2)[0] ** 2
    Q = np.linalg.qr(slope[:, None] * M_2)[0]
    M_3 -= M_3 @ Q @ Q.T
    b_3 += (Y - net.forward(theta, X)).mean(axis=0)
    assert norm_of_gradient(net, X, Y, theta) < 1e-13
    assert np.linalg.norm(M_3) > 0.5
    assert not locus.membership(net, theta, Y, 0.5).any()
    M_3 += 0.1 * rng.normal(size=M_3.shape)
    assert norm_of_gradient(net, X, Y, theta) > 1e-3


# membership


def test_a_point_lies_on_exactly_the_loci_it_was_drawn_from():
    net, _, Y, rng = problem((2, 3, 4, 2, 3, 2))
    for layers in [(1,), (4,), (3, 2), (1, 2, 4), (1, 2, 3, 4)]:
        theta = locus.sample(net, Y, layers, rng, size=3)
        assert theta.shape == (3, net.n_parameters)
        member = locus.membership(net, theta, Y, 1e-12)
        assert member.shape == (3, 4)
        assert {int(k) + 1 for row in member for k in np.flatnonzero(row)} == set(layers)
        assert np.all(member == member[0])


def test_distance_and_tolerance():
    net, _, Y, rng = problem((2, 3, 4, 2))
    theta = locus.sample(net, Y, (1, 2), rng)
    moved = displace(net, theta, ["M_1", "b_1", "M_3"], 0.01, rng)
    assert locus.distance(net, theta, Y, (1, 2)) == 0.0
    assert locus.distance(net, moved, Y, (1, 2)) == pytest.approx(0.01, rel=1e-9)
    assert not locus.membership(net, moved, Y, 0.001).any()
    assert locus.membership(net, moved, Y, 0.02).all()
    # a free coordinate does not count
    assert locus.distance(net, displace(net, theta, ["M_2"], 1.0, rng), Y, (1,)) == 0.0


# dimensions


@pytest.mark.parametrize(
    ("sizes", "layers", "expected"),
    [
        ((2, 3, 4, 2), (1,), 35 - 10 - 6 - 7),
        ((2, 3, 4, 2), (2,), 35 - 10 - 12 - 4),
        ((2, 3, 4, 2), (1, 2), 0 + 35 - 10 - 6 - 12 - 7),
        ((3, 4, 2, 3, 1), (3,), 39 - 4 - 6 - 3),
        ((3, 4, 2, 3, 1), (2, 3), 39 - 4 - 8 - 6 - 5),
    ],
)
def test_dimension_is_the_rank_of_differences_of_sampled_points(sizes, layers, expected):
    net, _, Y, rng = problem(sizes)
    assert locus.dimension(net, layers) == expected
    points = locus.sample(net, Y, layers, rng, size=expected + 5)
    assert np.linalg.matrix_rank(points[1:] - points[0]) == expected
    # an affine space: every affine combination of its points is on it
    weights = rng.normal(size=len(points))
    combination = (weights / weights.sum()) @ points
    assert locus.distance(net, combination, Y, layers) < 1e-10


@pytest.mark.parametrize("depth", [3, 4, 5, 6])
@pytest.mark.parametrize("width", [2, 3, 5, 9, 20])
def test_largest_components_against_the_printed_proposition(depth, width):
    a, b = 3, 2
    net = MLP((a, *[width] * (depth - 1), b))
    wide = (depth - 2) * width**2, (depth - 3) * width**2
    narrow = (depth - 3) * width**2 + (a + depth - 2) * width
    assert locus.largest_component(net, 1)[1] == max(wide[0], narrow)
    assert locus.printed_dimension(net, 1) == locus.dimension(net, (2,))
    if width > a + depth - 2:
        assert locus.largest_component(net, 1) == ((1,), wide[0])
        assert locus.printed_dimension(net, 1) < wide[0]
    if depth > 3:
        narrow = (depth - 4) * width**2 + (a + depth - 3) * width
        assert locus.largest_component(net, 2)[1] == max(wide[1], narrow)
        assert locus.printed_dimension(net, 2) == locus.dimension(net, (2, 3))


def test_hessian_nullity_bounds_the_dimension():
    rng = np.random.default_rng(2)
    for _ in range(20):
        net, X, Y, layers = random_problem(rng, ["swish", "tanh"])
        theta = locus.sample(net, Y, layers, rng)
        found = np.linalg.eigvalsh(mse(net, X, Y).linearize(theta).hessian())
        assert np.sum(np.abs(found) < 1e-12) >= locus.dimension(net, layers)


@pytest.mark.parametrize("k", [1, 2])
def test_the_critical_points_around_a_star_point_form_a_larger_manifold(k):
    net, X, Y, rng = problem((2, 3, 4, 2))
    theta = locus.sample(net, Y, (k,), rng)
    expected = locus.hessian_eigenvalues(net, theta, X, Y, (k,))
    nullity = int(np.sum(np.abs(expected) < 1e-12))
    assert nullity == 35 - 2 - 2 * (3 if k == 1 else 4) * 2
    points, norms = nearby_critical_points(mse(net, X, Y), theta, 0.01, nullity + 15, rng)
    assert norms.max() < 1e-13
    # in the manifold's tangent space at full length, out of it by 0.01 of that
    singular_values = np.linalg.svd(points - theta, compute_uv=False)
    assert singular_values[nullity - 1] > 0.03 * singular_values[0]
    assert singular_values[nullity] < 0.01 * singular_values[0]
    assert nullity > locus.dimension(net, (k,))


def test_no_manifold_of_critical_points_fills_the_kernel_of_a_core_point():
    net, X, Y, rng = problem((2, 3, 4, 2))
    theta = locus.sample(net, Y, (1, 2), rng)
    norms = nearby_critical_points(mse(net, X, Y), theta, 0.1, 10, rng)[1]
    assert norms.min() > 1e-6


# steps off the loci


@pytest.mark.parametrize("k", [1, 2, 3])
def test_which_steps_off_the_star_locus_break_criticality(k):
    net, X, Y, rng = problem((3, 4, 3, 4, 2))
    theta = locus.sample(net, Y, (k,), rng)
    for layer in range(1, 5):
        for block in (f"M_{layer}", f"b_{layer}"):
            norms = [
                norm_of_gradient(net, X, Y, displace(net, theta, [block], length, rng))
                for length in (1e-3, 1e-5)
            ]
            if block in (f"M_{k}", "M_4", "b_4"):
                assert norms[0] > 1e-5
                assert norms[0] / norms[1] == pytest.approx(100.0, rel=0.9)
            else:  # free, or a hidden bias that the definition fixes without need
                assert max(norms) < 1e-13


@pytest.mark.parametrize("layers", [(1, 3), (1, 2, 3)])
def test_gradient_off_the_core_grows_with_the_power_of_its_number_of_layers(layers):
    net, X, Y, rng = problem((3, 4, 3, 4, 2))
    theta = locus.sample(net, Y, layers, rng)
    count = len(layers)
    matrices = [f"M_{k}" for k in (*layers, 4)]
    for changed in range(1, count + 2):
        seed = int(rng.integers(1000))
        norms = [
            norm_of_gradient(
                net,
                X,
                Y,
                displace(net, theta, matrices[:changed], t, np.random.default_rng(seed)),
            )
            for t in (1e-2, 1e-3)
        ]
        if changed < count:
            assert max(norms) < 1e-13
        else:
            assert np.log10(norms[0] / norms[1]) == pytest.approx(count, abs=0.05)


# arguments


@pytest.mark.parametrize(
    ("layers", "error"),
    [
        ((1, 1), ValueError),
        ((0,), ValueError),
        ((4,), ValueError),
        ((), ValueError),
        (2, ValueError),
        ((1.0,), TypeError),
    ],
)
def test_bad_indices_are_refused(layers, error):
    net, _, Y, rng = problem((2, 3, 4, 3, 2))
    with pytest.raises(error, match="layers"):
        locus.sample(net, Y, layers, rng)
    with pytest.raises(error, match="layers"):
        locus.dimension(net, layers)


def test_bad_arguments_are_refused():
    net, X, Y, rng = problem((2, 3, 4, 3, 2))
    theta = locus.sample(net, Y, (1,), rng)
    with pytest.raises(ValueError, match="net must have biases"):
        locus.sample(MLP((2, 3, 2), bias=False), Y, (1,), rng)
    with pytest.raises(ValueError, match="Y must have shape"):
        locus.sample(net, Y[:, :1], (1,), rng)
    with pytest.raises(ValueError, match="Y must be finite"):
        locus.sample(net, Y * np.nan, (1,), rng)
    with pytest.raises(TypeError, match="rng"):
        locus.sample(net, Y, (1,), 3)
    with pytest.raises(ValueError, match="tolerance"):
        locus.membership(net, theta, Y, -1.0)
    with pytest.raises(ValueError, match="theta must have shape"):
        locus.distance(net, theta[:-1], Y, (1,))
    with pytest.raises(ValueError, match="theta must lie on"):
        locus.hessian_eigenvalues(net, theta, X, Y, (2,))
    with pytest.raises(ValueError, match="activation"):
        locus.hessian_eigenvalues(MLP(net.layers, "relu"), theta, X, Y, (1,))
    with pytest.raises(ValueError, match="activation"):
        locus.hessian_eigenvalues(MLP(net.layers, "sigmoid"), theta, X, Y, (1,))
    with pytest.raises(ValueError, match="one width"):
        locus.printed_dimension(net, 1)
    with pytest.raises(ValueError, match="count"):
        locus.printed_dimension(MLP((2, 3, 3, 3, 2)), 3)
    with pytest.raises(ValueError, match="count"):
        locus.largest_component(net, 4)
    with pytest.raises(ValueError, match="blocks"):
        displace(net, theta, ["M_5"], 0.1, rng)
    with pytest.raises(ValueError, match="X must have shape"):
        locus.hidden_activations(net, theta, X.T, 1)
    with pytest.raises(ValueError, match="layer"):
        locus.hidden_activations(net, theta, X, 4)
