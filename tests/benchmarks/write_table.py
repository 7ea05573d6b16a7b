"""Time this package and its peers, and write figures/benchmarks.md.

Each peer runs in a process of its own, first on one core and then on all.
"""

import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.benchmarks.peers import PEERS, PROBLEMS  # noqa: E402
from tests.benchmarks.test_bench_curvature import OPERATIONS  # noqa: E402

BENCHMARKS = Path(__file__).with_name("test_bench_curvature.py")
FOLDER = ROOT / "build" / "benchmarks"
TITLES = {
    "autocrit_lite": "autocrit_lite",
    "autocrit_lite_uncompressed": "without compression",
    "autograd": "autograd",
    "jax": "JAX, jit",
    "jax_linearized": "JAX, linearized",
    "torch_double_backward": "PyTorch, double backward",
    "torch_func": "torch.func",
    "curvlinops": "curvlinops",
}
LIBRARIES = ("numpy", "autograd", "jax", "jaxlib", "torch", "curvlinops-for-pytorch")


def on_one_core():
    """Pin this process to a core, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def run(name, tests, one_core):
    """Run some benchmarks in a new process and return what they measured, by test."""
    where = FOLDER / f"{name}-{'one' if one_core else 'all'}.json"
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    if one_core:
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    command += ["-W", "default", "--benchmark-enable", f"--benchmark-json={where}"]
    command += [f"{BENCHMARKS}::{test}" for test in tests]
    print(f"{name}, {'one core' if one_core else 'all cores'}", file=sys.stderr, flush=True)
    subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        check=True,
        stdout=sys.stderr,
        preexec_fn=on_one_core if one_core else None,
    )
    return {test["name"]: test for test in json.loads(where.read_text())["benchmarks"]}


def measure(one_core):
    """Return everything measured on one core or on all, by test."""
    found = run(
        "autocrit_lite_and_compression", ["test_matrix_product", "test_compression"], one_core
    )
    for peer in PEERS:
        names = [
            f"test_peer[{peer.__name__}-{problem.name}-{operation}]"
            for problem in PROBLEMS
            for operation in OPERATIONS
        ]
        found |= run(peer.__name__, names, one_core)
    return found


def milliseconds(found, test):
    """Return the fastest round of a test, which the machine's other work disturbs least."""
    return 1e3 * found[test]["stats"]["min"] if test in found else None


def peer_times(found, problem, operation):
    """Return milliseconds by peer, of those that were measured."""
    times = {
        peer.__name__: milliseconds(found, f"test_peer[{peer.__name__}-{problem.name}-{operation}]")
        for peer in PEERS
    }
    return {name: time for name, time in times.items() if time is not None}


def comparison(found):
    """Return the table of peers as lines of Markdown."""
    yield "| network | |" + "".join(f" {title} |" for title in TITLES.values())
    yield "|---|---|" + "---:|" * len(TITLES)
    for problem in PROBLEMS:
        for operation in OPERATIONS:
            times = peer_times(found, problem, operation)
            ours = times["autocrit_lite"]
            cells = [
                f"{times[name]:.3g}"
                + (f" (×{times[name] / ours:.3g})" if times[name] != ours else "")
                if name in times
                else ""
                for name in TITLES
            ]
            yield f"| {problem.name} | {operation} | " + " | ".join(cells) + " |"


def compression(found):
    """Return the table of the linear autoencoder's compression as lines of Markdown."""
    yield "| points | | compressed, µs a point | without, µs a point | ratio |"
    yield "|---|---|---:|---:|---:|"
    for points in (1, 64):
        for operation in OPERATIONS:
            small, whole = (
                1e3 / points * milliseconds(found, f"test_compression[{how}-{points}-{operation}]")
                for how in ("compressed", "uncompressed")
            )
            cells = f"{small:.3g} | {whole:.3g} | {whole / small:.3g}"
            yield f"| {points} | {operation} | {cells} |"


def floor(found):
    """Return a sentence on the matrix-product floor of the dense Hessian of Fig. 3's network."""
    rate = 1024**3 / milliseconds(found, "test_matrix_product")  # multiply-adds a millisecond
    least = 1.5 * 10_000 * 552**2 / rate
    ours = peer_times(found, PROBLEMS[2], "Hessian")["autocrit_lite"]
    return (
        f"A product of two 1024 × 1024 matrices runs at {2e-6 * rate:.1f} GFLOP/s, at which "
        f"1.5·N·n² multiply-adds of the 16-8-16-16 network would take {least:.0f} ms; its Hessian "
        f"takes {ours:.0f} ms, {ours / least:.2f} times that."
    )


def disagreement(found):
    """Return the largest relative difference between the peers' results."""
    worst = 0.0
    for problem in PROBLEMS:
        for operation in OPERATIONS:
            tests = [f"test_peer[{peer.__name__}-{problem.name}-{operation}]" for peer in PEERS]
            sums = [found[test]["extra_info"]["checksum"] for test in tests if test in found]
            worst = max(worst, (max(sums) - min(sums)) / abs(sums[0]))
    return worst


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
    FOLDER.mkdir(parents=True, exist_ok=True)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in LIBRARIES)
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    measured = {one_core: measure(one_core) for one_core in (True, False)}
    worst = max(disagreement(found) for found in measured.values())
    lines = [
        "# Curvature: this package and its peers",
        "",
        "Milliseconds, the fastest of many rounds, and in brackets how many times as long as "
        "autocrit_lite. Each peer ran in a process of its own. N = 10,000 samples, 50 for the "
        "network 32-32-4-2. A product by autocrit_lite, JAX linearized and PyTorch's double "
        "backward reuses what one pass at the point has kept; the others start anew. The linear "
        "network is compressed to its second moments but in the column that says not.",
        "",
        f"{processor()}, {os.cpu_count()} cores, load before the run {load}; "
        f"Python {platform.python_version()}, {versions}.",
        "",
        f"The peers' results (v·g, v·Hv) differ by at most {worst:.1e}, relative.",
    ]
    for one_core, found in measured.items():
        title = "On one core" if one_core else "On all cores, threads as each library chooses"
        lines += ["", f"## {title}", "", *comparison(found), "", floor(found)]
        lines += ["", "The 16-4-16 linear autoencoder, with and without compression:", ""]
        lines += compression(found)
    (ROOT / "figures" / "benchmarks.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
