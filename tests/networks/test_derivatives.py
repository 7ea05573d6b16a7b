"""Closed-form derivatives against their definitions, over a grid of networks.

Run as a program, this prints the largest relative errors over the grid.
"""

import pickle
import subprocess
import sys
from dataclasses import replace
from itertools import product

import array_api_strict
import numpy as np
import pytest

from autocrit_lite import MLP, AutogradObjective, NetworkObjective, newton_mr
from autocrit_lite.networks import dense as dense_hessian
from autocrit_lite.networks import objective as network_objective
from autocrit_lite.networks.activations import ACTIVATIONS
from autocrit_lite.networks.derivatives import NetworkLinearization
from autocrit_lite.networks.losses import LOSSES
from autocrit_lite.networks.objective import network_loss

LAYERS = [(3, 2), (3, 4, 2), (5, 3, 4, 2), (2, 6, 1, 3), (4, 3, 5, 2, 3)]
# the penalty's part is the same for all, so half of the cases carry it
GRID = [
    (layers, activation, bias, loss, 0.3 if bias else 0.0)
    for layers, activation, bias, loss in product(LAYERS, ACTIVATIONS, (True, False), LOSSES)
]


def case(layers, activation="swish", bias=True, loss="mse", l2=0.3, n_samples=23):
    """Return an objective, its readable definition, two points, and three vectors for each."""
    net = MLP(layers, activation, bias)
    rng = np.random.default_rng([*layers, len(activation), bias])
    X = rng.normal(size=(n_samples, layers[0]))
    Y = rng.normal(size=(n_samples, layers[-1]))
    if loss != "mse":
        Y = rng.integers(0, layers[-1], n_samples)
    theta = rng.normal(size=(2, net.n_parameters))
    v = rng.normal(size=(2, 3, net.n_parameters))
    objective = NetworkObjective(net, X, Y, loss, l2)
    definition = AutogradObjective(lambda theta: network_loss(net, theta, X, Y, loss, l2))
    return objective, definition, theta, v


def error(found, expected):
    """Return the largest difference relative to the largest entry expected at each point."""
    axes = tuple(range(1, np.ndim(expected)))
    difference = np.max(np.abs(found - expected), axis=axes)
    return float(np.max(difference / np.max(np.abs(expected), axis=axes)))


def errors(parameters):
    """Return the relative errors of value, gradient, product and Hessian against autograd's."""
    objective, definition, theta, v = case(*parameters)
    point, expected = objective.linearize(theta), definition.linearize(theta)
    return {
        "value": error(point.value, expected.value),
        "gradient": error(point.gradient, expected.gradient),
        "product": error(point.hvp(v), expected.hvp(v)),
        "Hessian": error(point.hessian(), expected.hessian()),
    }


@pytest.mark.parametrize("parameters", GRID, ids=str)
def test_derivatives_agree_with_autograd(parameters):
    assert max(errors(parameters).values()) < 1e-12


@pytest.mark.parametrize("parameters", GRID[::5], ids=str)
def test_products_agree_with_the_dense_matrix(parameters):
    objective, _, theta, v = case(*parameters)
    point = objective.linearize(theta)
    H = point.hessian()
    assert np.array_equal(H, np.swapaxes(H, -1, -2))
    assert error(point.hvp(v), v @ H) < 1e-13
    assert error(point.hvp(v[:, 0]), np.einsum("bij,bj->bi", H, v[:, 0])) < 1e-13


@pytest.mark.parametrize("activation", [name for name in ACTIVATIONS if name != "relu"])
@pytest.mark.parametrize("loss", LOSSES)
def test_derivatives_agree_with_finite_differences(activation, loss):
    objective, _, theta, v = case((4, 3, 5, 2), activation, loss=loss)
    theta, v, h = theta[0], v[0, 0], 3e-6
    ahead, back = objective.linearize(theta + h * v), objective.linearize(theta - h * v)
    point = objective.linearize(theta)
    slope = (ahead.value - back.value) / (2 * h)
    assert abs(slope - point.gradient @ v) < 1e-8 * np.linalg.norm(point.gradient)
    bend = (ahead.gradient - back.gradient) / (2 * h)
    assert np.max(np.abs(bend - point.hvp(v))) < 1e-7 * np.max(np.abs(bend))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("chunk_size", [1, 2, 5, 22, 100])
def test_the_chunk_size_changes_rounding_only(chunk_size, loss, monkeypatch):
    whole, _, theta, v = case((5, 3, 4, 2), loss=loss)
    monkeypatch.setattr(network_objective, "chunk_size", lambda *_: chunk_size)
    chunked, *_ = case((5, 3, 4, 2), loss=loss)
    assert len(chunked._problem.chunks) == -(-23 // chunk_size)
    a, b = chunked.linearize(theta), whole.linearize(theta)
    assert error(a.value, b.value) < 1e-14
    assert error(a.gradient, b.gradient) < 1e-14
    assert error(a.hvp(v), b.hvp(v)) < 1e-14
    assert error(a.hessian(), b.hessian()) < 1e-14


def test_wide_layers_are_done_in_slabs(monkeypatch):
    objective, _, theta, _ = case((4, 3, 5, 2, 3), loss="cross_entropy")
    expected = objective.linearize(theta).hessian()
    monkeypatch.setattr(dense_hessian, "SLAB", 2)
    assert error(objective.linearize(theta).hessian(), expected) < 1e-14


@pytest.mark.parametrize("budget", [1, 100, 1000])
def test_points_and_vectors_in_groups_give_the_same(budget):
    objective, _, theta, v = case((5, 3, 4, 2))
    theta, v = np.repeat(theta, 4, axis=0), np.repeat(v, 4, axis=0)
    expected = objective.linearize(theta)
    grouped = NetworkLinearization(replace(objective._problem, budget=budget), theta)
    assert error(grouped.gradient, expected.gradient) < 1e-14
    assert error(grouped.hvp(v), expected.hvp(v)) < 1e-14
    assert error(grouped.hvp(v[:, 0]), expected.hvp(v[:, 0])) < 1e-14
    assert error(grouped.hessian(), expected.hessian()) < 1e-14


def test_a_point_of_a_batch_is_the_point_alone():
    objective, _, theta, v = case((5, 3, 4, 2))
    batch = objective.linearize(theta)
    for row in range(2):
        point = objective.linearize(theta[row])
        assert abs(point.value - batch.value[row]) < 1e-14 * point.value
        for mine, theirs in (
            (batch.gradient[row], point.gradient),
            (batch.hvp(v)[row], point.hvp(v[row])),
            (batch.hvp(v[:, 1])[row], point.hvp(v[row, 1])),
            (batch.hessian()[row], point.hessian()),
        ):
            assert np.max(np.abs(mine - theirs)) < 1e-14 * np.max(np.abs(theirs))


def test_linearize_gives_the_value_and_gradient_of_value_and_gradient():
    objective, _, theta, _ = case((5, 3, 4, 2))
    point = objective.linearize(theta)
    value, gradient = objective.value_and_gradient(theta)
    assert np.array_equal(point.value, value)
    assert error(point.gradient, gradient) < 1e-15


@pytest.mark.parametrize("bias", [True, False])
def test_a_point_stays_where_it_was_linearised(bias):
    objective, _, theta, v = case((5, 3, 4, 2), bias=bias)
    point = objective.linearize(theta)
    product, H = point.hvp(v), point.hessian()
    theta += 1.0
    assert np.array_equal(point.hvp(v), product)
    assert np.array_equal(point.hessian(), H)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layers", [(6, 3, 6), (6, 4, 2, 5), (3, 9, 3), (4, 2)])
@pytest.mark.parametrize("target", ["inputs", "other"])
def test_compression_of_a_linear_network_changes_rounding_only(layers, bias, target):
    net = MLP(layers, "linear", bias)
    rng = np.random.default_rng(0)
    X = 1.0 + rng.normal(size=(500, layers[0])) @ rng.normal(size=(layers[0], layers[0]))
    Y = X if target == "inputs" and layers[0] == layers[-1] else rng.normal(size=(500, layers[-1]))
    theta, v = rng.normal(size=(2, 3, net.n_parameters))
    small, whole = (NetworkObjective(net, X, Y, l2=0.1, compress=c) for c in (True, False))
    assert [len(o._problem.chunks) for o in (small, whole)] == [1, 1]
    assert small._problem.chunks[0].inputs.shape[1] == layers[0] + bias
    assert whole._problem.chunks[0].inputs.shape[1] == 500
    a, b = small.linearize(theta), whole.linearize(theta)
    assert error(a.value, b.value) < 1e-13
    assert error(a.gradient, b.gradient) < 1e-13
    assert error(a.hvp(v), b.hvp(v)) < 1e-13
    assert error(a.hessian(), b.hessian()) < 1e-13


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_samples_of_a_chunk_lie_side_by_side(bias, order, monkeypatch):
    # else every pass over them takes up to twice as long
    X, Y = (np.asarray(np.ones((50, n)), order=order) for n in (3, 2))
    monkeypatch.setattr(network_objective, "chunk_size", lambda *_: 20)
    objective = NetworkObjective(MLP((3, 4, 2), bias=bias), X, Y)
    chunks = objective._problem.chunks
    assert [chunk.inputs.shape for chunk in chunks] == [(3 + bias, 17)] * 2 + [(3 + bias, 16)]
    for chunk in chunks:
        assert chunk.inputs.flags.c_contiguous
        assert chunk.targets.flags.c_contiguous


def test_few_samples_are_not_compressed():
    net = MLP((6, 3, 6), "linear", bias=True)
    X = np.random.default_rng(0).normal(size=(7, 6))
    assert NetworkObjective(net, X, X)._problem.chunks[0].inputs.shape[1] == 7


DEVICE = array_api_strict.Device("device1")


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("layers", "activation", "loss"),
    [
        ((5, 3, 4, 2), "swish", "mse"),
        ((5, 3, 4, 2), "relu", "cross_entropy"),
        ((5, 3, 4, 2), "relu", "softmax_mse"),
        ((4, 3, 5, 2, 3), "softplus", "mse"),
        ((4, 3, 4), "linear", "mse"),
        ((4, 3, 4), "tanh", "cross_entropy"),
        ((4, 3, 4), "sigmoid", "mse"),
    ],
)
@pytest.mark.parametrize("batch", [True, False])
def test_arrays_of_another_device_stay_there(layers, activation, loss, bias, batch):
    net = MLP(layers, activation, bias)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(13, layers[0]))
    Y = rng.normal(size=(13, layers[-1]))
    if loss != "mse":
        Y = rng.integers(0, layers[-1], 13)
    theta, v = rng.normal(size=(2, net.n_parameters)), rng.normal(size=(2, 3, net.n_parameters))
    theta, v = (theta, v) if batch else (theta[0], v[0])

    def there(x):
        return array_api_strict.asarray(x, device=DEVICE)

    expected = NetworkObjective(net, X, Y, loss, 0.1).linearize(theta)
    point = NetworkObjective(net, there(X), there(Y), loss, 0.1).linearize(there(theta))
    for mine, theirs in (
        (point.value, expected.value),
        (point.gradient, expected.gradient),
        (point.hvp(there(v)), expected.hvp(v)),
        (point.hvp(there(v[..., 0, :])), expected.hvp(v[..., 0, :])),
        (point.hessian(), expected.hessian()),
    ):
        assert mine.device == DEVICE
        mine = np.asarray(mine.to_device(array_api_strict.Device("CPU_DEVICE")))
        assert np.allclose(mine, theirs, rtol=1e-12, atol=1e-13)


# The peak of a process that has its data and its point, before and after the dense matrix.
MEMORY = """
import resource
import numpy as np
from autocrit_lite import MLP, NetworkObjective

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

rng = np.random.default_rng(0)
net = MLP({layers}, "relu")
X, labels = rng.random(({n_samples}, {layers}[0])), rng.integers(0, 10, {n_samples})
objective = NetworkObjective(net, X, labels, "cross_entropy")
theta, v = 0.1 * rng.normal(size=(2, net.n_parameters))
point = objective.linearize(theta)
product = point.hvp(v)
print(peak())
H = point.hessian()
print(peak())
print(np.max(np.abs(H @ v - product)) / np.max(np.abs(product)))
print(max(np.max(np.abs(H[i : i + 512] - H[:, i : i + 512].T)) for i in range(0, len(H), 512)))
"""


def memory(layers, n_samples):
    """Return peak bytes without and with the dense Hessian, its error, and its asymmetry."""
    program = MEMORY.format(layers=layers, n_samples=n_samples)
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return map(float, run.stdout.split())


def test_a_dense_hessian_takes_little_more_memory_than_itself():
    layers = (150, 25, 10)
    n = MLP(layers).n_parameters
    before, peak, relative_error, asymmetry = memory(layers, 2000)
    # its n², the sums in the order of the products, up to n² / 2, and temporaries
    assert peak - before < 1.5 * 8 * n**2 + 2**28
    assert peak > 8 * n**2
    assert relative_error < 1e-12
    assert asymmetry == 0.0


@pytest.mark.slow
def test_a_dense_hessian_of_20000_parameters_takes_less_than_6_gib():
    _, peak, relative_error, asymmetry = memory((784, 25, 10), 60_000)
    assert peak < 6 * 2**30
    assert relative_error < 1e-12
    assert asymmetry == 0.0


if __name__ == "__main__":
    found = [errors(parameters) for parameters in GRID]
    print(f"largest relative errors against autograd over {len(GRID)} cases of two points each")
    for name in found[0]:
        print(f"{name:10s} {max(case[name] for case in found):.1e}")


def in_single(parameters, **options):
    """Return a case's objective in single precision, on the same data."""
    objective, _, theta, v = case(*parameters)
    loss, l2 = (objective._options[name] for name in ("loss", "l2"))
    return NetworkObjective(objective.net, *objective._data, loss, l2, dtype="float32"), theta, v


@pytest.mark.parametrize("parameters", GRID[::3], ids=str)
def test_single_precision_differs_by_its_rounding_alone(parameters):
    objective, _, theta, v = case(*parameters)
    single, *_ = in_single(parameters)
    # what each sample alone leaves: no rounding is larger than a few hundred units of its length
    each = [objective.subset(np.array([i])).linearize(theta) for i in range(objective.n_samples)]
    point, found = objective.linearize(theta), single.linearize(theta)
    for name, of in {
        "value": lambda p: p.value[:, None],
        "gradient": lambda p: p.gradient,
        "product": lambda p: p.hvp(v[:, 0]),
        "block": lambda p: p.hvp(v)[:, 0],
        "Hessian": lambda p: p.hessian().reshape(2, -1),
    }.items():
        exact, rounded = of(point), of(found)
        assert rounded.dtype == np.float64
        length = np.mean([np.linalg.norm(of(p), axis=-1) for p in each], axis=0)
        difference = np.linalg.norm(rounded - exact, axis=-1)
        assert np.all(difference <= 1e-4 * length), name
    gradient = found.gradient
    assert not np.array_equal(gradient, point.gradient) or not np.any(gradient)


def test_single_precision_halves_what_a_point_keeps_and_is_kept_by_subset_and_pickle():
    single, theta, _ = in_single(GRID[0])
    double, *_ = case(*GRID[0])
    assert 2 * single.point_bytes == double.point_bytes
    copy = pickle.loads(pickle.dumps(single))
    part = single.subset(np.arange(5))
    for objective in (single, copy, part):
        (group,) = objective.linearize(theta)._groups
        arrays = [*group.W, *group.states[0].a, *group.states[0].delta, *group.states[0].second]
        assert {array.dtype for array in arrays} == {np.dtype(np.float32)}
    assert np.array_equal(copy.linearize(theta).gradient, single.linearize(theta).gradient)


def test_sums_over_many_chunks_do_not_lose_digits(monkeypatch):
    # 2^24 equal terms would stop growing in float32 itself
    monkeypatch.setattr(network_objective, "chunk_size", lambda net, budget: 1)
    net, n_samples = MLP((1, 1), "linear", bias=False), 3000
    X, theta = np.ones((n_samples, 1)), np.array([1.0 + 2.0**-12])
    single = NetworkObjective(net, X, 0.0 * X, compress=False, dtype="float32")
    # each term is rounded, their sum is not: the mean is the term
    (term,) = single.subset(np.array([0])).value_and_gradient(theta)[1]
    (mean,) = single.value_and_gradient(theta)[1]
    assert abs(mean / term - 1.0) < 1e-12


def test_newton_mr_in_single_precision_gets_as_far_as_its_gradient_is_known():
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(200, 3)), rng.integers(0, 4, 200)
    net = MLP((3, 4))  # logistic regression with a penalty: one minimum
    single = NetworkObjective(net, X, labels, "cross_entropy", 0.1, dtype="float32")
    trace = newton_mr(single, np.zeros(net.n_parameters), 50, 1e-6)
    double = NetworkObjective(net, X, labels, "cross_entropy", 0.1)
    _, gradient = double.value_and_gradient(trace.theta)
    assert np.linalg.norm(gradient) < 1e-5


def test_another_precision_is_refused_by_name():
    with pytest.raises(
        ValueError, match="dtype must be one of 'float64', 'float32', not 'float16'"
    ):
        NetworkObjective(MLP((1, 1)), np.ones((2, 1)), np.ones((2, 1)), dtype="float16")
