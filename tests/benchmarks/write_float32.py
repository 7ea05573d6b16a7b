"""Compare float32 with float64, in time and in digits; write figures/benchmarks_float32.md."""

import os
import platform
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import autocrit_lite as al  # noqa: E402

CASES = (
    ((16, 8, 16, 16), 10_000, "mse", "swish"),
    ((784, 25, 10), 10_000, "cross_entropy", "relu"),
    ((784, 125, 10), 10_000, "cross_entropy", "swish"),
    ((20, 9, 6, 4), 3_000, "softmax_mse", "tanh"),
    ((784, 1024, 256, 10), 10_000, "cross_entropy", "swish"),
)
ROUNDS, SECONDS = 5, 10.0
"""At least so many rounds, and as many more as fit into the time."""
DENSE = 2000
"""Parameters up to which dense Hessians are compared."""
INTRODUCTION = """\
# Single precision beside double

`NetworkObjective(..., dtype="float32")` beside float64 on random data, a point and a vector drawn
at random, one thread. *Error*: the length of the difference, relative to float64's result.
*Faster*: the median over alternating rounds of float64's time over float32's. Written by
`tests/benchmarks/write_float32.py`.

"""
HEAD = (
    "| layers | samples | loss | error: value | gradient | product | Hessian "
    "| faster: gradient | product | Hessian |\n|---|---:|---|---:|---:|---:|---:|---:|---:|---:|\n"
)


def error(exact, rounded):
    """Return the relative length of the difference."""
    return float(np.linalg.norm(rounded - exact) / np.linalg.norm(exact))


def faster(double, single):
    """Return the median ratio of the times of two calls."""
    ratios, begin = [], time.perf_counter()
    double(), single()
    while len(ratios) < ROUNDS or time.perf_counter() - begin < SECONDS:
        times = []
        for call in (double, single):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        ratios.append(times[0] / times[1])
    return statistics.median(ratios)


def row(layers, n_samples, loss, activation):
    """Return the line of a network."""
    rng, net = np.random.default_rng(0), al.MLP(layers, activation)
    X = rng.normal(size=(n_samples, layers[0]))
    Y = X[:, : layers[-1]] if loss == "mse" else rng.integers(0, layers[-1], n_samples)
    double, single = (
        al.NetworkObjective(net, X, Y, loss, 1e-3, dtype=dtype) for dtype in ("float64", "float32")
    )
    theta = 0.3 * rng.normal(size=net.n_parameters) / np.sqrt(layers[0])
    v = rng.normal(size=net.n_parameters)
    exact, rounded = double.linearize(theta), single.linearize(theta)
    errors = [
        error(exact.value, rounded.value),
        error(exact.gradient, rounded.gradient),
        error(exact.hvp(v), rounded.hvp(v)),
    ]
    ratios = [
        faster(lambda: double.value_and_gradient(theta), lambda: single.value_and_gradient(theta)),
        faster(lambda: exact.hvp(v), lambda: rounded.hvp(v)),
    ]
    dense = net.n_parameters <= DENSE
    if dense:
        errors.append(error(exact.hessian(), rounded.hessian()))
        ratios.append(faster(exact.hessian, rounded.hessian))
    cells = ["-".join(map(str, layers)), f"{n_samples:,}", f"{loss}, {activation}"]
    cells += [f"{x:.1e}" for x in errors] + [""] * (not dense)
    cells += [f"{x:.2f} ×" for x in ratios] + [""] * (not dense)
    return f"| {' | '.join(cells)} |"


def main():
    """Measure, and write each line at once."""
    out = ROOT / "figures" / "benchmarks_float32.md"
    lines = []
    for case in CASES:
        lines.append(row(*case))
        kernel = threadpool_info()[0]["architecture"]
        text = (
            f"\nMeasured {datetime.now(UTC):%Y-%m-%d} with Python {platform.python_version()}, "
            f"NumPy {np.__version__}, BLAS kernel {kernel}, {os.cpu_count()} cores.\n"
        )
        out.write_text(INTRODUCTION + HEAD + "\n".join(lines) + "\n" + text, encoding="utf-8")
        print(lines[-1], flush=True)


if __name__ == "__main__":
    main()
