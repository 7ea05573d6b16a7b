"""Orbits of critical points under permutations of units, and their signs."""

from itertools import permutations

import numpy as np
import pytest

from autocrit_lite import MLP
from autocrit_lite.points.symmetry import canonical, distance_bound, matched, moved, orbit_size

NETS = [
    MLP((3, 4, 2), "swish"),
    MLP((3, 4, 3, 2), "swish"),
    MLP((2, 3, 2, 3, 1), "tanh"),
    MLP((3, 4, 2), "tanh", bias=False),
]


def shuffled(net, theta, rng):
    """Return a random image of theta."""
    for layer, m in enumerate(net.layers[1:-1]):
        signs = rng.choice([-1.0, 1.0], m) if net.activation == "tanh" else np.ones(m)
        theta = moved(net, theta, layer, rng.permutation(m), signs)
    return theta


@pytest.fixture(params=NETS, ids=str)
def case(request):
    rng = np.random.default_rng(1)
    net = request.param
    theta = rng.normal(size=net.n_parameters)
    return net, theta, shuffled(net, theta, rng), rng


def test_images_are_the_same_network(case):
    net, theta, image, rng = case
    X = rng.normal(size=(7, net.layers[0]))
    assert np.any(image != theta)
    np.testing.assert_allclose(net.forward(image, X), net.forward(theta, X), atol=1e-13)


def test_all_images_have_one_canonical_form_which_is_an_image(case):
    net, theta, image, rng = case
    form = canonical(net, theta)
    np.testing.assert_array_equal(canonical(net, image), form)
    np.testing.assert_array_equal(np.sort(np.abs(form)), np.sort(np.abs(theta)))
    X = rng.normal(size=(7, net.layers[0]))
    np.testing.assert_allclose(net.forward(form, X), net.forward(theta, X), atol=1e-13)


def test_an_image_is_matched_also_with_a_little_noise(case):
    net, theta, image, rng = case
    np.testing.assert_array_equal(matched(net, image, theta), theta)
    near = theta + 1e-6 * rng.normal(size=theta.shape)
    found = matched(net, image, near)
    np.testing.assert_array_equal(found, theta)


def images(net, theta, layer=0):
    """Yield all images of a network without odd activation."""
    if layer == len(net.layers) - 2:
        yield theta
        return
    m = net.layers[layer + 1]
    for order in permutations(range(m)):
        yield from images(net, moved(net, theta, layer, np.array(order), np.ones(m)), layer + 1)


@pytest.mark.parametrize("net", [MLP((2, 3, 1)), MLP((2, 3, 3, 1)), MLP((1, 2, 3, 2, 1))], ids=str)
def test_no_image_is_closer_than_the_bound(net):
    rng = np.random.default_rng(0)
    for _ in range(5):
        theta, other = rng.normal(size=(2, net.n_parameters))
        closest = min(np.linalg.norm(image - other) for image in images(net, theta))
        bound = distance_bound(net, theta, other)
        assert 0.0 < bound <= closest
        if len(net.layers) == 3:  # all weights are compared
            assert bound > 0.999 * closest
    assert distance_bound(net, next(iter(images(net, theta))), theta) == 0.0


def test_the_bound_is_zero_for_images(case):
    net, theta, image, _ = case
    assert distance_bound(net, image, theta) == 0.0


def test_orbits_are_counted():
    net = MLP((2, 3, 1), bias=False)
    rng = np.random.default_rng(0)
    theta = rng.normal(size=net.n_parameters)
    assert orbit_size(net, theta, 1e-6, 1e-9) == (6, 6)
    # two units alike: half of the permutations fix the point
    (W, _), (v, _) = net.unflatten(theta.copy())
    W[1], v[:, 1] = W[0], v[:, 0]
    alike = net.flatten([(W, None), (v, None)])
    assert orbit_size(net, alike, 1e-6, 1e-9) == (3, 3)
    # the same weights in, others out: the lower count does not look at these
    v[:, 1] += 1.0
    assert orbit_size(net, net.flatten([(W, None), (v, None)]), 1e-6, 1e-9) == (3, 6)
    assert len({tuple(image) for image in images(net, alike)}) == 3


def test_signs_count_with_odd_activations_only():
    rng = np.random.default_rng(0)
    for activation, count in (("tanh", 48), ("swish", 6)):
        net = MLP((2, 3, 1), activation)
        theta = rng.normal(size=net.n_parameters)
        assert orbit_size(net, theta, 1e-6, 1e-9) == (count, count)


def test_layers_above_units_alike_are_counted_from_below_with_care():
    net = MLP((2, 2, 2, 1), bias=False)
    W = np.ones((2, 2))
    theta = net.flatten([(W, None), (np.array([[1.0, 2.0], [2.0, 1.0]]), None), (W[:1], None)])
    # exchanging the units of both hidden layers fixes it, of one alone does not
    every = {tuple(image) for image in images(net, theta)}
    least, most = orbit_size(net, theta, 1e-6, 1e-9)
    assert least <= len(every) == 2 <= most
