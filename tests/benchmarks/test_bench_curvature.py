"""Products, gradients and Hessians of the papers' networks: to compare two versions of the code.

``write_table.py`` beside this file compares them with other libraries.
"""

import numpy as np
import pytest

from .peers import PEERS, PROBLEMS

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("operation", ["product", "gradient", "Hessian"])
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_networks(benchmark, problem, operation):
    result = benchmark(PEERS["autocrit_lite"](problem)[operation])
    assert np.all(np.isfinite(result))


@pytest.mark.parametrize("operation", ["product", "gradient", "Hessian"])
@pytest.mark.parametrize(
    "peer", ["64 points", "without compression", "64 points without compression"]
)
def test_linear_autoencoder(benchmark, peer, operation):
    result = benchmark(PEERS[peer](PROBLEMS[0])[operation])
    assert np.all(np.isfinite(result))


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
@pytest.mark.parametrize(
    ("peer", "library"),
    [
        ("autograd", "autograd"),
        ("JAX, jit", "jax"),
        ("JAX, linearized", "jax"),
        ("PyTorch, double backward", "torch"),
        ("torch.func", "torch"),
        ("curvlinops", "curvlinops"),
    ],
)
# curvlinops' own, when it is imported
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_peers_compute_the_same(peer, library, problem):
    pytest.importorskip(library)
    ours, theirs = PEERS["autocrit_lite"](problem), PEERS[peer](problem)
    for operation in theirs.keys() - {"Hessian"}:
        mine = ours[operation]()
        other = np.asarray(theirs[operation]())
        assert np.max(np.abs(other - mine)) < 1e-12 * np.max(np.abs(mine))
