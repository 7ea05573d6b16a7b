"""Cost of one iteration of MINRES-QLP, alone and in a batch, beside SciPy's MINRES.

The products, with diagonal matrices, are timed alone and taken off. ``pytest --benchmark-enable -s
tests/benchmarks/test_bench_minres_qlp.py`` prints the table of ``iteration_costs``.
"""

import time

import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator, minres

from autocrit_lite import minres_qlp

# n = 552 are the parameters of the network of Frye et al. 2021, Fig. 3
N, SYSTEMS, ITERATIONS = 552, 100, 200
NEVER = {"rtol": 0.0, "maxit": ITERATIONS, "maxxnorm": np.inf, "acondlim": np.inf}
PHASES = {"MINRES phase": np.inf, "QLP phase": 1.0}


def problem():
    """Return diagonals (B, n) that take more than ``ITERATIONS``, and right-hand sides."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((SYSTEMS, N)) * np.geomspace(1e-6, 1.0, N), rng.standard_normal(
        (SYSTEMS, N)
    )


def calls():
    """Return by name what to time, and the products in it; each makes ``ITERATIONS``."""
    diagonal, b = problem()
    d, c = diagonal[0], b[0]
    operator = LinearOperator((N, N), matvec=lambda v: d * v, dtype=float)

    def repeat(product, v):
        for _ in range(ITERATIONS):
            product(v)

    found = {
        "SciPy MINRES": (
            lambda: minres(operator, c, rtol=0.0, maxiter=ITERATIONS),
            lambda: repeat(operator.matvec, c),
        )
    }
    for phase, trancond in PHASES.items():
        found[phase] = (
            lambda t=trancond: minres_qlp(lambda v: d * v, c, trancond=t, **NEVER),
            lambda: repeat(lambda v: d * v, c),
        )
        found[f"{phase}, batch"] = (
            lambda t=trancond: minres_qlp(lambda v: diagonal * v, b, trancond=t, **NEVER),
            lambda: repeat(lambda v: diagonal * v, b),
        )
    return found


def seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def iteration_costs(rounds):
    """Return microseconds of an iteration of a system by name: the fastest of the rounds.

    Each round times all once, so that what else the machine does slows all alike.
    """
    found = calls()
    fastest = dict.fromkeys(found, (np.inf, np.inf))
    for _ in range(rounds):
        for name, pair in found.items():
            times = zip(fastest[name], map(seconds, pair), strict=True)
            fastest[name] = tuple(min(both) for both in times)
    systems = {name: SYSTEMS if name.endswith("batch") else 1 for name in found}
    return {
        name: 1e6 * (whole - products) / ITERATIONS / systems[name]
        for name, (whole, products) in fastest.items()
    }


def table(costs):
    """Return the costs and their ratios as text."""
    lines = [f"{'':<24}{'microseconds':>14}{'of SciPy':>10}{'batch: less by':>16}"]
    for name, cost in costs.items():
        single = costs.get(name.removesuffix(", batch"))
        less = f"{single / cost:.1f}" if name.endswith("batch") else ""
        lines.append(f"{name:<24}{cost:>14.2f}{cost / costs['SciPy MINRES']:>10.2f}{less:>16}")
    return "\n".join(lines)


@pytest.mark.parametrize("name", calls())
def test_iterations(benchmark, name):
    call, _ = calls()[name]
    result = benchmark(call)
    if name != "SciPy MINRES":
        assert np.all(result.iterations == ITERATIONS)
        both = result.minres_iterations, result.qlp_iterations
        assert np.all(both[name.startswith("MINRES")] == 0)


def test_iteration_costs(benchmark):
    costs = benchmark.pedantic(
        iteration_costs, (20 if benchmark.enabled else 1,), rounds=1, iterations=1
    )
    benchmark.extra_info["microseconds"] = costs
    print("\n" + table(costs))
