import numpy as np
import pytest

from autocrit_lite import MLP
from autocrit_lite.networks.initialization import SCHEMES, initial_theta

NET = MLP((80, 50, 120), bias=True)


def weights(scheme, seed=0, net=NET):
    parts = net.unflatten(initial_theta(net, scheme, np.random.default_rng(seed)))
    return [W for W, _ in parts], [b for _, b in parts]


@pytest.mark.parametrize(
    ("scheme", "variances"),
    [
        ("normal", [1 / 4000, 1 / 6000]),
        ("he", [2 / 80, 2 / 50]),
        ("xavier", [2 / 130, 2 / 170]),
        ("xavier_normal", [2 / 130, 2 / 170]),
        ("unit_rows", [1 / 80, 1 / 50]),
    ],
)
def test_weights_have_the_variance_of_their_scheme(scheme, variances):
    for W, variance in zip(weights(scheme)[0], variances, strict=True):
        # five standard errors of a variance, for Gaussians, the widest of these
        assert np.mean(W**2) == pytest.approx(variance, rel=5 * np.sqrt(2 / W.size))
        assert abs(np.mean(W)) < 5 * np.sqrt(variance / W.size)


def test_xavier_is_uniform_to_its_bound():
    W = weights("xavier")[0][0]
    assert 0.99 * np.sqrt(6 / 130) < np.max(np.abs(W)) <= np.sqrt(6 / 130)


def test_orthogonal_has_orthonormal_rows_or_columns():
    wide, tall = weights("orthogonal")[0]
    np.testing.assert_allclose(wide @ wide.T, np.eye(50), atol=1e-13)
    np.testing.assert_allclose(tall.T @ tall, np.eye(50), atol=1e-13)
    signs = [weights("orthogonal", seed)[0][0][0, 0] > 0 for seed in range(40)]
    assert 8 < np.sum(signs) < 32


def test_unit_rows_have_unit_rows():
    for W in weights("unit_rows")[0]:
        np.testing.assert_allclose(np.linalg.norm(W, axis=1), 1, rtol=1e-14)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_biases(scheme):
    for b in weights(scheme)[1]:
        np.testing.assert_array_equal(b, 0.01 if scheme == "unit_rows" else 0.0)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_draws_repeat_and_nets_without_biases_have_none(scheme):
    net = MLP((5, 3, 4), bias=False)
    theta = initial_theta(net, scheme, np.random.default_rng(1))
    assert theta.shape == (27,)
    np.testing.assert_array_equal(theta, initial_theta(net, scheme, np.random.default_rng(1)))
    assert np.all(theta != initial_theta(net, scheme, np.random.default_rng(2)))


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"net": (3, 2)}, TypeError, "net must be an MLP"),
        ({"scheme": "glorot"}, ValueError, "scheme must be one of 'normal'"),
        ({"rng": 7}, TypeError, "rng must be a numpy.random.Generator"),
    ],
)
def test_bad_input_is_refused(arguments, error, says):
    good = {"net": NET, "scheme": "he", "rng": np.random.default_rng(0)}
    with pytest.raises(error, match=says):
        initial_theta(**{**good, **arguments})
