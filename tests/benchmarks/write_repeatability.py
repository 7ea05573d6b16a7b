"""Measure how far results repeat on another BLAS kernel, and write figures/repeatability.md.

Every experiment is computed at the quick profile in a process of its own for each kernel, and once
more with two workers on the first kernel; the stored arrays are compared.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from autocrit_lite.papers.registry import REGISTRY  # noqa: E402
from autocrit_lite.runner.store import Store, provenance  # noqa: E402
from tests.portable import CHOSEN, kernels  # noqa: E402

INTRODUCTION = """\
Experiments at the quick profile, computed with one BLAS kernel after the other on one machine
({machine}), and compared with {reference}, array by array. *Identical*: the share of arrays that
are equal to the last bit. *Binding*: the largest difference in the arrays that `verify` holds any
machine to, relative to the largest number of each; *all*: the same for all arrays, in the median
and at most. What differs by about 1 holds the ends of chaotic runs.
"""


def computed(name, kernel, workers, folder):
    """Run an experiment with a kernel; return its store."""
    environment = os.environ | CHOSEN | {"OPENBLAS_CORETYPE": kernel}
    environment |= {"AUTOCRIT_LITE_RESULTS": str(folder), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "autocrit_lite.cli", "run", name, "--workers", str(workers)]
    subprocess.run(command, env=environment, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return Store(folder)


def difference(a, b):
    """Return the largest difference of two arrays relative to their largest number."""
    a, b = (np.asarray(x, dtype=float) for x in (a, b))
    if a.shape != b.shape:
        return 1.0
    finite = np.isfinite(a) & np.isfinite(b)
    if not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return 1.0
    scale = max(np.max(np.abs(a), initial=0.0, where=finite), 1e-300)
    return float(np.max(np.abs(a - b), initial=0.0, where=finite) / scale)


def compared(kind, reference, other):
    """Return the share of identical arrays, and the differences of the binding and of all."""
    identical, binding, every = [], [0.0], []
    for task in kind.from_profile("quick").tasks():
        both = (store.read(task).arrays.items() for store in (reference, other))
        a, b = ({n: x for n, x in arrays if n not in kind.of_machine} for arrays in both)
        identical += [np.array_equal(a[name], b[name], equal_nan=True) for name in a]
        every += [difference(a[name], b[name]) for name in a]
        bound, again = kind.binding(a), kind.binding(b)
        binding += [difference(bound[name], again[name]) for name in bound]
    return np.mean(identical), max(binding), np.median(every), max(every)


def rows(names, chosen):
    """Yield a row for each experiment and kernel."""
    first, *others = chosen
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            reference = computed(name, first, 1, Path(folder) / "first")
            runs = [(f"{first}, two workers", first, 2)] + [(k, k, 1) for k in others]
            for label, kernel, workers in runs:
                other = computed(name, kernel, workers, Path(folder) / label.replace(", ", "_"))
                same, binding, median, largest = compared(REGISTRY[name], reference, other)
                numbers = [f"{x:.1e}" if x else "0" for x in (binding, median, largest)]
                yield f"| `{name}` | {label} | {100 * same:.0f} % | {' | '.join(numbers)} |"


def main(arguments=None):
    """Measure, and write the table line by line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--names", nargs="+", choices=REGISTRY, default=list(REGISTRY))
    parser.add_argument("--kernels", nargs="+", help="for OPENBLAS_CORETYPE; default: all here")
    parser.add_argument("--out", type=Path, default=ROOT / "figures" / "repeatability.md")
    chosen = parser.parse_args(arguments)
    those = chosen.kernels or list(kernels())
    known = provenance()
    versions = known["versions"]
    machine = f"{known['machine']['architecture']}, Python {versions['python']}, " + ", ".join(
        f"{name} {versions[name]}" for name in ("numpy", "scipy")
    )
    lines = [
        INTRODUCTION.format(machine=machine, reference=those[0]),
        "| experiment | with | identical | binding | all, median | all, at most |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for row in rows(chosen.names, those):
        print(row, file=sys.stderr, flush=True)
        lines.append(row)
        chosen.out.write_text("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
