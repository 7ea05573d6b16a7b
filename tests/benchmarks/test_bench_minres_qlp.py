"""What an iteration of MINRES-QLP costs beside SciPy's MINRES, one system and a batch of 100.

The operator is diagonal, so that nearly all of the time is the solvers' own. `pytest
--benchmark-enable tests/benchmarks/test_bench_minres_qlp.py` prints the times of 200 iterations.
"""

import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator
from scipy.sparse.linalg import minres as scipy_minres

from autocrit_lite.minres_qlp import minres_qlp

N = 552
ITERATIONS = 200
EIGENVALUES = np.concatenate([-np.geomspace(1e-3, 1, N // 2), np.geomspace(1e-3, 1, N // 2)])


def product(v):
    return EIGENVALUES * v


@pytest.mark.parametrize("phase", [1.0, np.inf], ids=["QLP", "MINRES"])
@pytest.mark.parametrize("systems", [1, 100])
def test_iterations_of_minres_qlp(benchmark, systems, phase):
    b = np.random.default_rng(0).standard_normal((systems, N) if systems > 1 else N)
    result = benchmark(minres_qlp, product, b, rtol=0.0, maxit=ITERATIONS, trancond=phase)
    assert np.all(np.asarray(result.iterations) == ITERATIONS)


def test_iterations_of_scipy_minres(benchmark):
    A = LinearOperator((N, N), matvec=product, dtype=float)
    b = np.random.default_rng(0).standard_normal(N)
    _, info = benchmark(scipy_minres, A, b, rtol=1e-30, maxiter=ITERATIONS)
    assert info == ITERATIONS


@pytest.mark.parametrize("systems", [1, 100])
def test_products_alone(benchmark, systems):
    v = np.random.default_rng(0).standard_normal((systems, N) if systems > 1 else N)
    benchmark(lambda: [product(v) for _ in range(ITERATIONS)])
