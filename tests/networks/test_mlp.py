import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from autograd.test_util import check_grads

from autocrit_lite import MLP
from autocrit_lite.networks.activations import ACTIVATIONS


@pytest.mark.parametrize(
    ("layers", "bias", "n"),
    [
        ((16, 4, 16), False, 128),
        ((16, 16, 4, 16), False, 384),
        ((16, 8, 16, 16), True, 552),
        ((16, 12, 8, 10), True, 398),
        ((32, 32, 4, 2), False, 1160),
        ((784, 25, 10), True, 19885),
        ((256, 25, 10), True, 6685),
        ((5, 2), True, 12),
    ],
)
def test_the_papers_networks_have_as_many_parameters_as_printed(layers, bias, n):
    net = MLP(layers, bias=bias)
    assert net.n_parameters == n
    assert net.slices[-1][1].stop == n


@pytest.mark.parametrize("bias", [True, False])
def test_flatten_undoes_unflatten(bias):
    net = MLP((3, 4, 2), bias=bias)
    theta = np.random.default_rng(0).normal(size=net.n_parameters)
    parts = net.unflatten(theta)
    assert [W.shape for W, _ in parts] == [(4, 3), (2, 4)]
    assert [b if b is None else b.shape for _, b in parts] == ([(4,), (2,)] if bias else [None] * 2)
    assert np.array_equal(net.flatten(parts), theta)
    parts[0][0][1, 2] = 7.0  # views: weights lie in C order from the start
    assert theta[5] == 7.0


def test_unflatten_keeps_the_axis_of_a_batch():
    net = MLP((3, 4, 2))
    theta = np.random.default_rng(0).normal(size=(5, net.n_parameters))
    for (W, b), (W3, b3) in zip(net.unflatten(theta), net.unflatten(theta[3]), strict=True):
        assert np.array_equal(W[3], W3)
        assert np.array_equal(b[3], b3)


def test_forward_is_linear_in_the_last_layer_and_activated_before():
    net = MLP((2, 3, 2), activation="tanh")
    rng = np.random.default_rng(0)
    theta, X = rng.normal(size=net.n_parameters), rng.normal(size=(7, 2))
    (W1, b1), (W2, b2) = net.unflatten(theta)
    expected = np.array([W2 @ np.tanh(W1 @ x + b1) + b2 for x in X])
    assert np.allclose(net.forward(theta, X), expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_forward_is_differentiable(activation):
    net = MLP((2, 3, 2), activation=activation)
    rng = np.random.default_rng(1)
    theta, X = rng.normal(size=net.n_parameters), rng.normal(size=(5, 2))
    check_grads(lambda t: anp.sum(net.forward(t, X) ** 2), modes=["rev"], order=1)(theta)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"layers": (3,)}, ValueError, "layers must hold two sizes or more"),
        ({"layers": 3}, ValueError, "layers must hold two sizes or more"),
        ({"layers": (3, 0, 2)}, ValueError, "every size in layers must be at least 1"),
        ({"layers": (3, 2.5)}, TypeError, "every size in layers must be an integer"),
        ({"layers": (3, 2), "activation": "sine"}, ValueError, "activation must be one of"),
        ({"layers": (3, 2), "activation": ["tanh"]}, ValueError, "activation must be one of"),
        ({"layers": (3, 2), "bias": "no"}, TypeError, "bias must be True or False"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        MLP(**arguments)


def test_unflatten_and_flatten_refuse_the_wrong_length():
    net = MLP((3, 4, 2))
    with pytest.raises(ValueError, match=r"theta must have shape \(26,\)"):
        net.unflatten(np.zeros(25))
    with pytest.raises(TypeError, match="theta must hold real numbers"):
        net.unflatten(np.zeros(26, dtype=complex))
    with pytest.raises(ValueError, match="parts must have shape"):
        net.flatten(net.unflatten(np.zeros(26))[:1])


def test_flatten_refuses_weights_and_biases_of_other_shapes():
    net = MLP((3, 4, 2))
    parts = net.unflatten(np.zeros(26))
    message = r"parts must have shapes \[\(4, 3\), \(4,\), \(2, 4\), \(2,\)\], not \[\(3, 4\)"
    with pytest.raises(ValueError, match=message):
        net.flatten([(W.T, b) for W, b in parts])
    with pytest.raises(ValueError, match="parts must have shapes"):
        net.flatten([(W, None) for W, _ in parts])
    with pytest.raises(TypeError, match="parts must hold real numbers"):
        net.flatten([(W.astype(complex), b.astype(complex)) for W, b in parts])


@pytest.mark.parametrize("shape", [(25,), (33,), (1, 26)])
def test_forward_refuses_parameters_of_another_network(shape):
    with pytest.raises(ValueError, match=r"theta must have shape \(26,\), not"):
        MLP((3, 4, 2)).forward(np.zeros(shape), np.zeros((5, 3)))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_derivatives_of_activations_agree_with_autograd(activation):
    z = np.linspace(-40.0, 40.0, 400)
    definition = ACTIVATIONS[activation]
    first = autograd.elementwise_grad(definition)
    # the product keeps a tape where the first derivative is a constant
    second = autograd.elementwise_grad(lambda z: first(z) * (1.0 + 0.0 * z))
    f, f1, f2 = ACTIVATIONS[activation].derivatives(z.copy(), np, True)
    assert np.allclose(f, definition(z), rtol=1e-14, atol=1e-14)
    assert np.allclose(f1, first(z), rtol=0, atol=1e-14)
    assert np.allclose(f2, second(z), rtol=0, atol=1e-14)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_second_derivative_changes_nothing_of_the_others(activation):
    z = np.linspace(-4.0, 4.0, 41)
    f, f1, _ = ACTIVATIONS[activation].derivatives(z.copy(), np, True)
    g, g1, none = ACTIVATIONS[activation].derivatives(z.copy(), np, False)
    assert none is None
    assert np.array_equal(f, g)
    assert np.allclose(f1, g1, rtol=0, atol=1e-15)


LIMITS = {
    "linear": (-1e4, 1e4, 1.0, 1.0),
    "swish": (0.0, 1e4, 0.0, 1.0),
    "tanh": (-1.0, 1.0, 0.0, 0.0),
    "sigmoid": (0.0, 1.0, 0.0, 0.0),
    "softplus": (0.0, 1e4, 0.0, 1.0),
    "relu": (0.0, 1e4, 0.0, 1.0),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_derivatives_of_activations_far_from_zero_are_their_limits(activation):
    with np.errstate(over="ignore"):  # as the passes over the samples do
        f, f1, f2 = ACTIVATIONS[activation].derivatives(np.array([-1e4, 1e4]), np, True)
    low, high, low_slope, high_slope = LIMITS[activation]
    assert f.tolist() == [low, high]
    assert f1.tolist() == [low_slope, high_slope]
    assert f2.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_pass_nan_on(activation):
    with np.errstate(invalid="ignore"):
        f, _, _ = ACTIVATIONS[activation].derivatives(np.array([np.nan]), np, True)
    assert np.isnan(f[0])
