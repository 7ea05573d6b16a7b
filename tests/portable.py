"""Run the suite and the checked notebooks on every BLAS kernel that this processor can run.

OpenBLAS chooses a kernel by the processor when it is loaded; OPENBLAS_CORETYPE chooses another, in
fresh processes that are started here. Each kind of run is a line of build/portable.jsonl, written
when it is done, and is not repeated for the same commit.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("Haswell", "SkylakeX", "Sandybridge", "Nehalem", "Prescott", "Zen", "Cooperlake")
NAMES += ("SapphireRapids", "ARMV8", "NeoverseN1", "NeoverseV1")
# In virtual machines that report no L2 cache OpenBLAS's Haswell kernel crashes without the size.
CHOSEN = {"OPENBLAS_L2_SIZE": "512"}
PROBE = """
import json, numpy, scipy.linalg, threadpoolctl
a = numpy.random.default_rng(0).normal(size=(300, 300))
scipy.linalg.lu(a @ a), numpy.linalg.eigh(a + a.T)
kinds = {x["architecture"] for x in threadpoolctl.threadpool_info() if x["user_api"] == "blas"}
print(json.dumps(sorted(kinds)))
"""
QUIET = ("-p", "no:randomly")
PARTS = {
    "notebooks": (
        "--nbval-lax",
        "-p",
        "tests.nbval_watch",
        *QUIET,
        "-p",
        "no:cacheprovider",
        "notebooks",
    ),
    "doctests": ("--doctest-modules", *QUIET, "autocrit_lite"),
    "tests": ("-m", "not slow", "tests"),
}


def environment(kernel, threads):
    """Return the environment of a run; the kernel "this" is the one that is chosen anyhow."""
    chosen = os.environ | {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    chosen["AUTOCRIT_LITE_FIGURES"] = str(ROOT / "build" / "figures")
    chosen.pop("MPLBACKEND", None)
    return chosen if kernel == "this" else chosen | CHOSEN | {"OPENBLAS_CORETYPE": kernel}


def architectures(kernel):
    """Return what OpenBLAS says that it runs, None where it crashes."""
    command = [sys.executable, "-c", PROBE]
    done = subprocess.run(command, env=environment(kernel, 1), capture_output=True, text=True)
    return tuple(json.loads(done.stdout)) if done.returncode == 0 else None


def kernels():
    """Return the names that give kernels of their own, with what OpenBLAS calls them."""
    found = {}
    for name in NAMES:
        kind = architectures(name)
        if kind is not None and kind not in found.values():
            found[name] = kind
    return found


def run(part, kernel, threads, seed, workers, more=()):
    """Run a part of the suite; return what it said."""
    command = [sys.executable, "-m", "pytest", "-q", *more, *PARTS[part]]
    if part == "tests":
        command += ["-n", str(workers), f"--randomly-seed={seed}"]
    elif part == "notebooks":
        command += ["-n", str(workers), "--dist", "loadfile"]
    start = time.perf_counter()
    done = subprocess.run(
        command, env=environment(kernel, threads), cwd=ROOT, capture_output=True, text=True
    )
    lines = done.stdout.strip().split("\n")
    return {
        "failed": [line for line in lines if re.match(r"(FAILED|ERROR) ", line)],
        "summary": lines[-1].strip("= ") or done.stderr.strip()[-200:],
        "status": done.returncode,
        "seconds": round(time.perf_counter() - start),
    }


def commit():
    """Return the commit of the working tree, with a mark if it was changed."""
    told = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    return subprocess.run(told, capture_output=True, text=True).stdout.strip()


def table(lines):
    """Yield the runs as a table."""
    yield "| Python | NumPy | kernel | threads | part | order | result | s |"
    yield "|---|---|---|---:|---|---:|---|---:|"
    for x in lines:
        result = x["summary"] if x["status"] else re.sub(r" in .*", "", x["summary"])
        cells = (x["python"], x["numpy"], x["kernel"], x["threads"], x["part"], x["seed"], result)
        yield "| " + " | ".join(map(str, (*cells, x["seconds"]))) + " |"
        yield from (f"    {failure}" for failure in x["failed"])


def main(arguments=None):
    """Make all runs; return the exit status."""
    import numpy

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kernels", nargs="+", help='names for OPENBLAS_CORETYPE, or "this"')
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--seeds", type=int, default=1, help="random orders of the tests")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--workers", type=int, default=2)
    text = "let old versions of dependencies deprecate each other"
    parser.add_argument("--deprecations", action="store_true", help=text)
    parser.add_argument("--again", action="store_true", help="repeat what has been done")
    chosen = parser.parse_args(arguments)
    more = ("-W", "ignore::DeprecationWarning") if chosen.deprecations else ()
    log = ROOT / "build" / "portable.jsonl"
    log.parent.mkdir(exist_ok=True)
    before = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    done, failures = {}, 0
    for kernel in chosen.kernels or kernels():
        for threads in chosen.threads:
            for part in chosen.parts:
                for seed in range(1, 1 + (chosen.seeds if part == "tests" else 1)):
                    key = {
                        "commit": commit(),
                        "python": platform.python_version(),
                        "numpy": numpy.__version__,
                        "kernel": kernel,
                        "threads": threads,
                        "part": part,
                        "seed": seed,
                    }
                    known = [x for x in before if key.items() <= x.items()]
                    if known and not chosen.again:
                        line = known[-1]
                    else:
                        line = key | run(part, kernel, threads, seed, chosen.workers, more)
                        with log.open("a") as file:
                            file.write(json.dumps(line) + "\n")
                    done[tuple(key.values())] = line
                    failures += line["status"] != 0
                    print("\n".join(list(table([line]))[2:]), file=sys.stderr, flush=True)
    print("\n".join(table(done.values())))
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
