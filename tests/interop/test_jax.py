"""JAX functions as objectives, where JAX is installed: the extra ``jax``, or ``bench``."""

import numpy as np
import pytest

import autocrit_lite as al
from tests.finders.test_driver import every_finder

jax = pytest.importorskip("jax", reason="needs JAX: pip install 'autocrit-lite[jax]'")
jnp = jax.numpy


@pytest.fixture(autouse=True)
def _digits_of_float64():
    with jax.enable_x64(True):
        yield


RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 3)), RNG.normal(size=(20, 2))
PARAMS = [
    {"W": RNG.normal(size=(4, 3)), "b": RNG.normal(size=4)},
    {"W": RNG.normal(size=(2, 4)), "b": RNG.normal(size=2)},
]
NET = al.MLP((3, 4, 2), activation="tanh")


def loss(params):
    """A network in the order of ``MLP``: weights (out, in), then biases."""
    first, last = params
    hidden = jnp.tanh(X @ first["W"].T + first["b"])
    leaves = jnp.concatenate([leaf.ravel() for layer in params for leaf in layer.values()])
    residual = hidden @ last["W"].T + last["b"] - Y
    return jnp.mean(residual**2) + 30.0 * jnp.mean(leaves**2)


CLOSED = al.NetworkObjective(NET, X, Y, l2=30.0)
N = NET.n_parameters


def starts(count, seed=3):
    return np.random.default_rng(seed).normal(size=(count, N))


def same(x, y, rtol=1e-12):
    """Return whether arrays agree to rounding of their largest entry."""
    return np.max(np.abs(np.asarray(x) - y)) <= rtol * max(np.max(np.abs(y)), 1e-300)


def test_derivatives_are_those_of_the_closed_form():
    mine = al.JaxObjective(loss, PARAMS)
    assert mine.n_parameters == N == mine.hessian_cost
    assert np.array_equal(mine.theta, NET.flatten([(layer["W"], layer["b"]) for layer in PARAMS]))
    theta, v = starts(2)
    here, there = mine.linearize(theta), CLOSED.linearize(theta)
    assert type(here.gradient) is type(here.hvp(v)) is np.ndarray
    assert here.gradient.dtype == here.value.dtype == np.float64
    assert here.value.shape == ()
    assert same(here.value, there.value)
    assert same(here.gradient, there.gradient)
    assert same(here.hvp(v), there.hvp(v))
    assert same(here.hvp(np.stack([v, -v, theta])), there.hvp(np.stack([v, -v, theta])))
    assert same(here.hessian(), there.hessian())
    assert same(mine.value_and_gradient(theta)[1], there.gradient)


@pytest.mark.parametrize("count", [1, 3, 4, 5])
def test_a_batch_is_what_its_points_are(count):
    mine, theta, v = al.JaxObjective(loss, PARAMS), starts(count), starts(count, seed=4)
    here, there = mine.linearize(theta), CLOSED.linearize(theta)
    assert here.value.shape == (count,)
    block = np.stack([v, -2.0 * v, theta], axis=1)
    assert same(here.value, there.value)
    assert same(here.gradient, there.gradient)
    assert same(here.hvp(v), there.hvp(v))
    assert same(here.hvp(block), there.hvp(block))
    assert same(here.hessian(), there.hessian())
    assert same(mine.value_and_gradient(theta)[0], there.value)
    assert mine.linearize(theta[:0]).hvp(v[:0]).shape == (0, N)
    assert mine._together


def test_f_is_traced_once_for_each_shape_and_not_for_each_point():
    traced = []

    def counted(params):
        traced.append(0)
        return loss(params)

    mine = al.JaxObjective(counted, PARAMS)
    first = mine.linearize(starts(1)[0])
    before = first.hvp(starts(1)[0])
    count = len(traced)
    for theta in starts(5, seed=7):
        mine.linearize(theta).hvp(theta)
    assert len(traced) == count
    assert np.array_equal(first.hvp(starts(1)[0]), before)
    mine.linearize(starts(5))
    count = len(traced)
    for size in (6, 7, 8):
        mine.linearize(starts(size))
    assert len(traced) == count


def test_a_function_without_a_batched_form_is_looped_over():
    @jax.custom_batching.custom_vmap
    def alone(x):
        return x

    @alone.def_vmap
    def _refuse(axis_size, in_batched, x):
        raise NotImplementedError

    def f(theta):
        # stands outside what is differentiated, so that only the batch meets it
        return jnp.sum(theta**4) * alone(jax.lax.stop_gradient(1.0 + 0.0 * theta[0]))

    mine = al.JaxObjective(f, np.ones(3))
    theta = np.arange(6.0).reshape(2, 3)
    point = mine.linearize(theta)
    assert not mine._together
    assert same(point.hvp(np.ones((2, 3))), 12.0 * theta**2)
    assert same(point.gradient, 4.0 * theta**3)


def test_numpy_in_gives_numpy_out_and_jax_in_gives_jax_out():
    mine, theta = al.JaxObjective(loss, PARAMS), starts(2)
    for here in (theta, theta[0]):
        given = jnp.asarray(here)
        point, there = mine.linearize(here), mine.linearize(given)
        for own, its in (
            (point.value, there.value),
            (point.gradient, there.gradient),
            (point.hvp(here), there.hvp(given)),
            (point.hessian(), there.hessian()),
            (point.hvp(here), point.hvp(given)),
        ):
            assert isinstance(own, np.ndarray)
            assert isinstance(its, jax.Array)
            assert np.array_equal(own, its)
    point.hvp(theta[0])[:] = 0.0
    tree = mine.unflatten(theta[0])
    assert np.array_equal(tree[1]["b"], theta[0][-2:])
    assert same(loss(tree), mine.value_and_gradient(theta[0])[0])


def test_a_point_stays_when_theta_changes():
    mine, theta = al.JaxObjective(lambda x: jnp.sum(x**3) / 3.0, np.ones(2)), np.ones(2)
    point = mine.linearize(theta)
    theta[:] = 5.0
    assert np.array_equal(point.hvp(np.ones(2)), [2.0, 2.0])


def test_it_passes_the_check_of_objectives():
    al.check_objective(al.JaxObjective(loss, PARAMS), starts(1)[0])


@every_finder
def test_every_finder_does_what_it_does_with_the_closed_form(find):
    mine = al.JaxObjective(loss, PARAMS)
    for theta0 in (0.5 * starts(3), 0.5 * starts(1)[0]):
        found, expected = (find(f, theta0, max_iterations=3) for f in (mine, CLOSED))
        assert type(found.theta) is np.ndarray
        assert np.allclose(found.theta, expected.theta, rtol=1e-7, atol=1e-9)
        assert np.array_equal(found.stop_reason, expected.stop_reason)


def test_float32_stays_float32():
    single = jax.tree_util.tree_map(lambda leaf: leaf.astype(np.float32), PARAMS)

    def f(params):
        return loss(params).astype(jnp.float32)

    mine, theta = al.JaxObjective(f, single), starts(1)[0]
    gradient = mine.linearize(theta).gradient
    assert gradient.dtype == np.float64
    assert np.array_equal(gradient, gradient.astype(np.float32))
    assert same(gradient, CLOSED.linearize(theta).gradient, 1e-5)
    assert "7 digits" in repr(mine)
    assert "7 digits" not in repr(al.JaxObjective(loss, PARAMS))


def test_float64_that_jax_would_round_is_refused():
    with jax.enable_x64(False), pytest.raises(TypeError, match="jax_enable_x64"):
        al.JaxObjective(loss, PARAMS)


@pytest.mark.parametrize(
    ("f", "params", "message"),
    [
        (1.0, PARAMS, "f must be callable"),
        (loss, [], "params must hold float64, or float32 throughout, not nothing"),
        (jnp.sum, np.arange(3), "not int64"),
        (lambda p: p[0], (1.0, np.float32(1.0)), "not float32, float64"),
        (lambda p: 2.0 * p, np.ones(3), r"f must return a scalar of float64, not .*\(3,\)"),
        (lambda p: (p[0], p[1]), np.ones(3), "f must return a scalar of float64"),
        (lambda p: jnp.argmax(p), np.ones(3), "f must return a scalar of float64"),
    ],
)
def test_bad_arguments_are_named(f, params, message):
    with pytest.raises(TypeError, match=message):
        al.JaxObjective(f, params)


def test_bad_points_and_vectors_are_named():
    mine = al.JaxObjective(loss, PARAMS)
    for bad in (np.zeros(25), jnp.zeros(25), np.zeros((1, 2, 26))):
        with pytest.raises(ValueError, match=r"theta must have shape \(26,\) or \(B, 26\), not"):
            mine.linearize(bad)
    with pytest.raises(ValueError, match=r"theta must have shape \(26,\), not"):
        mine.unflatten(np.zeros((1, 26)))
    with pytest.raises(ValueError, match=r"v must have shape \(26,\) or \(k, 26\), not"):
        mine.linearize(np.zeros(26)).hvp(jnp.zeros(25))


def test_a_point_is_described_as_that_of_the_closed_form():
    mine, theta = al.JaxObjective(loss, PARAMS), starts(1)[0]
    expected = al.describe(CLOSED, theta)
    for found in (al.describe(mine, theta), al.describe(mine, theta, memory=0)):
        assert found.kind == expected.kind
        assert same(found.gradient_norm, expected.gradient_norm, 1e-9)
        assert same(found.eigenvalue_range, expected.eigenvalue_range, 1e-6)
        assert found.index.low <= expected.index.value + 1e-9
        assert found.index.high >= expected.index.value - 1e-9
        assert found.proof is None
