"""Newton-MR on the linear autoencoder of Frye et al. 2019: time of iterations, and of 150 runs."""

import numpy as np
import pytest

from autocrit_lite.datasets.gaussian import gaussian
from autocrit_lite.finders import FRYE_2019, newton_mr
from autocrit_lite.networks.mlp import MLP
from autocrit_lite.networks.objective import NetworkObjective

# chosen by us: half of n = 128
MAXIT = 64


@pytest.fixture(scope="module")
def objective():
    """Return the 16-4-16 autoencoder on 16 samples with the second moments of 10,000."""
    X = gaussian(np.random.default_rng(0))
    compressed = np.sqrt(16.0) * np.linalg.cholesky(X.T @ X / len(X)).T
    return NetworkObjective(MLP((16, 4, 16), "linear", bias=False), compressed, compressed)


@pytest.fixture(scope="module")
def starts(objective):
    """Return 150 points of 10 gradient-descent trajectories, 15 of each, uniform in height."""
    rng = np.random.default_rng(1)
    theta = rng.normal(size=(10, 128)) / 8.0
    thetas, values = [], []
    for _ in range(10_000):
        value, gradient = objective.value_and_gradient(theta)
        thetas.append(theta)
        values.append(value)
        theta = theta - 0.01 * gradient
    heights = np.array(values)
    rows = [
        np.argmin(np.abs(heights[:, i] - height))
        for i in range(10)
        for height in rng.uniform(heights[-1, i], heights[0, i], size=15)
    ]
    return np.array(thetas)[rows, np.repeat(np.arange(10), 15)]


@pytest.mark.slow
@pytest.mark.parametrize("runs", [1, 15, 75, 150])
def test_five_iterations(benchmark, objective, starts, runs):
    options = {"rtol": 1e-10, "maxit": MAXIT, **FRYE_2019}
    trace = benchmark(newton_mr, objective, starts[:runs], 5, **options)
    benchmark.extra_info["solver iterations"] = float(np.nansum(trace.solver_iterations))


@pytest.mark.slow
def test_150_runs(benchmark, objective, starts):
    options = {"rtol": 1e-10, "maxit": MAXIT, **FRYE_2019}
    trace = benchmark.pedantic(newton_mr, (objective, starts, 500), options, rounds=1, iterations=1)
    ends = trace.squared_gradient_norm[np.arange(150), trace.iterations]
    benchmark.extra_info["share below 1e-10"] = float(np.mean(ends < 1e-10))
    benchmark.extra_info["share below 1e-25"] = float(np.mean(ends < 1e-25))
    # a few runs converge slowly and are cut short here
    assert np.mean(ends < 1e-10) > 0.9
    assert np.mean(ends < 1e-25) > 0.5
