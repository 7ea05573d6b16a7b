"""Time this package and its peers, and write figures/benchmarks.md.

Each peer and network has a process of its own, first on one core and then on all.
"""

import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from itertools import product
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.benchmarks.peers import EXPONENTIALS, OPERATIONS, PEERS, PROBLEMS  # noqa: E402

PROGRAM = Path(__file__).with_name("peers.py")
LIBRARIES = ("numpy", "autograd", "jax", "jaxlib", "torch", "curvlinops-for-pytorch")
THREADED = "threads in BLAS"
OURS = ("autocrit_lite", "without compression", "64 points", "64 points without compression")
FIG_3 = "16-8-16-16 swish"
INTRODUCTION = """\
# Curvature: this package and its peers

Milliseconds, the fastest of the rounds that fit in half a second, and in brackets how many times as
long as autocrit_lite. Each peer had a fresh process for each network, right after the other peers',
and for gradient and product a second one some minutes later. N = 10,000 samples, 50 for the network
32-32-4-2. A product by autocrit_lite, "JAX, linearized" and PyTorch's double backward reuses what
one pass at the point has kept; the others start anew. The linear network is compressed to its
second moments but in the column that says not. autocrit_lite makes the C library keep the memory
that NumPy frees, which makes autograd faster too: "memory kept".

On all cores autocrit_lite has one thread, as the Makefile and its worker processes give it: one for
each core does more. The column "threads in BLAS" leaves BLAS as many threads as it likes; the other
packages have as many as they like.
"""


def on_one_core():
    """Pin this process to a core, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def measure(one_core):
    """Return [seconds, checksum] by peer and problem, then by operation."""
    free = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    capped = free | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    found = {}
    for turn, operations in enumerate((OPERATIONS, ("gradient", "product")), 1):
        for problem, name in product(PROBLEMS, PEERS):
            if one_core and name == THREADED:
                continue
            where = "one core" if one_core else "all cores"
            print(f"{where}, turn {turn}: {problem.name}, {name}", file=sys.stderr, flush=True)
            output = subprocess.run(
                [sys.executable, PROGRAM, name, problem.name, *operations],
                env=capped if one_core or name in OURS else free,
                check=True,
                stdout=subprocess.PIPE,
                preexec_fn=on_one_core if one_core else None,
            ).stdout
            times = found.setdefault((name, problem.name), {})
            for operation, measured in json.loads(output).items():
                times[operation] = min(measured, times.get(operation, measured))
    return found


def comparison(found):
    """Return the table of peers as lines of Markdown."""
    columns = [name for name in dict.fromkeys(name for name, _ in found) if "64 points" not in name]
    yield "| network | |" + "".join(f" {name} |" for name in columns)
    yield "|---|---|" + "---:|" * len(columns)
    for problem in PROBLEMS:
        for operation in OPERATIONS:
            ours, _ = found["autocrit_lite", problem.name][operation]
            cells = [f"{1e3 * ours:.3g}"]
            for name in columns[1:]:
                theirs, _ = found[name, problem.name].get(operation, (None, None))
                cells.append(f"{1e3 * theirs:.3g} (×{theirs / ours:.3g})" if theirs else "")
            yield f"| {problem.name} | {operation} | " + " | ".join(cells) + " |"


def compression(found):
    """Return the table of the linear autoencoder's compression as lines of Markdown."""
    yield "| points | | compressed, µs a point | without, µs a point | ratio |"
    yield "|---:|---|---:|---:|---:|"
    for points, small, whole in (
        (1, "autocrit_lite", "without compression"),
        (64, "64 points", "64 points without compression"),
    ):
        for operation in OPERATIONS:
            a, b = (
                1e6 / points * found[name, PROBLEMS[0].name][operation][0]
                for name in (small, whole)
            )
            yield f"| {points} | {operation} | {a:.3g} | {b:.3g} | {b / a:.3g} |"


def floor(found):
    """Return sentences on what the arithmetic alone takes for Fig. 3's network."""
    ours = found.get((THREADED, FIG_3), found["autocrit_lite", FIG_3])
    rate = 1024**3 / ours["matrix product"][0]  # multiply-adds a second
    problem = next(problem for problem in PROBLEMS if problem.name == FIG_3)
    hidden, n = problem.layers[1:-1], len(problem.data[2])
    least = 1.5 * problem.n_samples * n**2 / rate
    dense, _ = ours["Hessian"]
    # once each for the outputs and the gradient, and for what goes back to the hidden layers
    back = sum(p * q for p, q in zip(hidden, problem.layers[2:], strict=True))
    products = problem.n_samples * (2 * n + back) / rate
    swishes = problem.n_samples * sum(hidden) * ours["exponentials"][0] / EXPONENTIALS
    gradient, _ = ours["gradient"]
    return (
        f"A product of two 1024 × 1024 matrices ran at {2e-9 * rate:.1f} GFLOP/s, at which "
        f"1.5·N·n² multiply-adds of the network {FIG_3} take {1e3 * least:.0f} ms; its Hessian "
        f"took {1e3 * dense:.0f} ms, {dense / least:.2f} times that. The matrix products of its "
        f"gradient take {1e3 * products:.2f} ms at that rate, and exp once for each hidden unit "
        f"and sample {1e3 * swishes:.2f} ms; the gradient took {1e3 * gradient:.2f} ms, "
        f"{gradient / (products + swishes):.2f} times both."
    )


def disagreement(found):
    """Return the largest relative difference between a peer's results and this package's."""
    return max(
        abs(checksum / found["autocrit_lite", problem][operation][1] - 1.0)
        for (_, problem), operations in found.items()
        for operation, (_, checksum) in operations.items()
        if operation in OPERATIONS
    )


def processor():
    """Return the processor's name, from where Linux keeps it or else what Python knows."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def main():
    """Measure and write the tables."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in LIBRARIES)
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    measured = {one_core: measure(one_core) for one_core in (True, False)}
    worst = max(disagreement(found) for found in measured.values())
    lines = [
        INTRODUCTION,
        f"{processor()}, {os.cpu_count()} cores, load before the run {load}; "
        f"Python {platform.python_version()}, {versions}.",
        "",
        f"The peers' results (v·g and v·Hv) differ from this package's by {worst:.1e} at most.",
    ]
    for one_core, found in measured.items():
        title = "On one core" if one_core else "On all cores"
        lines += ["", f"## {title}", "", *comparison(found), "", floor(found), ""]
        lines += ["The linear autoencoder 16-4-16, with and without compression:", ""]
        lines += compression(found)
    (ROOT / "figures" / "benchmarks.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
