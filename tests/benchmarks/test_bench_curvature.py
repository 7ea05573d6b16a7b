"""Products, gradients and Hessians of the papers' networks, by this package and by its peers.

``write_table.py`` beside this file runs each peer in a process of its own and writes the table.
"""

import time

import numpy as np
import pytest

from .peers import PEERS, PROBLEMS

pytestmark = pytest.mark.slow

LIBRARIES = {
    "autograd": "autograd",
    "jax": "jax",
    "jax_linearized": "jax",
    "torch_double_backward": "torch",
    "torch_func": "torch",
    "curvlinops": "curvlinops",
}
OPERATIONS = ("product", "gradient", "Hessian")


def measure(benchmark, call):
    """Time a call for about a second, and return its result as a NumPy array."""
    call()  # compiles, where the peer does
    start = time.perf_counter()
    call()
    rounds = int(np.clip(1.0 / (time.perf_counter() - start), 5, 500))
    return np.asarray(benchmark.pedantic(call, rounds=rounds))


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.__name__)
def test_peer(benchmark, peer, problem, operation):
    if peer.__name__ in LIBRARIES:
        pytest.importorskip(LIBRARIES[peer.__name__])
    calls = peer(problem)
    if operation not in calls:
        pytest.skip(f"{peer.__name__} has no {operation} of its own")
    if operation == "Hessian" and problem.n_samples > 1000 and peer.__name__ in LIBRARIES:
        result = np.asarray(benchmark.pedantic(calls[operation]))  # seconds: one round tells
    else:
        result = measure(benchmark, calls[operation])
    *_, v = problem.data
    # the same number for all peers: v·g, v·Hv, v·Hv
    benchmark.extra_info["checksum"] = float(v @ result @ v if result.ndim == 2 else v @ result)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("points", [1, 64])
@pytest.mark.parametrize("compress", [True, False], ids=["compressed", "uncompressed"])
def test_compression(benchmark, compress, points, operation):
    from autocrit_lite import MLP, NetworkObjective

    X, Y, theta, v = PROBLEMS[0].data
    objective = NetworkObjective(MLP((16, 4, 16), "linear", False), X, Y, compress=compress)
    if points > 1:
        theta, v = (np.stack([x * (1.0 + i / points) for i in range(points)]) for x in (theta, v))
    point = objective.linearize(theta)
    calls = {
        "product": lambda: point.hvp(v),
        "gradient": lambda: objective.value_and_gradient(theta)[1],
        "Hessian": point.hessian,
    }
    measure(benchmark, calls[operation])


def test_matrix_product(benchmark):
    A = np.random.default_rng(0).normal(size=(1024, 1024))
    measure(benchmark, lambda: A @ A)
