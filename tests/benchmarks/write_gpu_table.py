"""Measure on a GPU, and write figures/benchmarks_gpu.md; sections may be chosen.

Each section runs in a process of its own. What is measured is kept in benchmarks_gpu.json, and the
table written anew, line by line: nothing is lost if a section fails or the program is stopped, and
another run adds the sections that are missing.
"""

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import autocrit_lite  # noqa: E402
from autocrit_lite.devices import require_device  # noqa: E402
from tests.benchmarks.gpu_sections import AGREEMENT, OPERATIONS, OURS, Scale  # noqa: E402
from tests.benchmarks.write_table import processor  # noqa: E402

PROGRAM = Path(__file__).with_name("gpu_sections.py")
JOBS = [
    ("check", OURS),
    ("ceilings", OURS),
    ("curvature", OURS),
    ("figure", OURS),
    ("spectrum", OURS),
    ("peers", "JAX"),
    ("peers", "PyTorch"),
    ("cpu", "one core"),
    ("cpu", "all cores"),
    ("eigenproblems", OURS),
]
"""Sections with their columns, in the order in which they are measured: what matters most first."""
MODULES = {"JAX": "jax", "PyTorch": "torch"}
LIBRARIES = ("numpy", "array-api-compat", "jax", "jaxlib", "torch")
SECONDS = 540.0
"""Of one section, at most: chosen by us, to end within ten minutes."""

INTRODUCTION = """\
# On a GPU

Times on one GPU beside those of its machine's processor, all in float64, on the network and the
data of Frye et al. 2021, Fig. 3 (16-8-16-16 swish, n = 552, N = 10,000), from the starts of that
figure. A time is that of the fastest repetition after a first one, with the device waited for. The
columns JAX and PyTorch have their derivatives on the same GPU; in iterations of Newton-MR these go
into this package's solver and finder. A point is one of a batch of B independent runs. The
sections are measured one after the other, and may be on different machines of one kind.
"""


def machine():
    """Return what the numbers were measured with, as text."""
    import cupy

    name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    runtime, driver = cupy.cuda.runtime.runtimeGetVersion(), cupy.cuda.runtime.driverGetVersion()
    versions = [f"autocrit_lite {autocrit_lite.__version__}", f"cupy {cupy.__version__}"]
    for library in LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            versions.append(f"{library} {metadata.version(library)}")
    return (
        f"{name}, CUDA runtime {runtime}, driver {driver}; {processor()}, {os.cpu_count()} cores; "
        f"Python {platform.python_version()}, {', '.join(versions)}."
    )


def measured(section, column, limit):
    """Yield the lines of a section from a process of its own, which ends after ``limit`` seconds.

    A last line says so, or how it failed.
    """
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(
            [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        ),
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        **({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} if section == "cpu" else {}),
    }
    command = [sys.executable, str(PROGRAM), section, column]
    with subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        stop = threading.Timer(limit, process.kill)
        stop.start()
        errors = []
        reader = threading.Thread(target=lambda: errors.append(process.stderr.read()))
        reader.start()
        for line in process.stdout:
            if line.startswith("{"):  # not what a library has to say
                yield json.loads(line)
        reader.join()
        late = not stop.is_alive()
        stop.cancel()
    if process.returncode:
        text = f"stopped after {limit:.0f} s" if late else errors[0].strip().split("\n")[-1]
        yield {"table": "failed", "row": section, "column": column, "text": text}


class Report:
    """What has been measured: kept as JSON, shown as Markdown."""

    def __init__(self, folder, device):
        folder.mkdir(parents=True, exist_ok=True)
        self.data, self.text = (folder / f"benchmarks_gpu.{kind}" for kind in ("json", "md"))
        self.found = {"machine": device, "lines": []}
        if self.data.exists():
            before = json.loads(self.data.read_text())
            if before["machine"] == device:
                self.found = before

    def forget(self, *place):
        """Drop the line at a table's row and column."""
        kept = [x for x in self.found["lines"] if (x["table"], x["row"], x["column"]) != place]
        self.found["lines"] = kept

    def add(self, line):
        """Keep a line in place of an earlier one, and write everything."""
        self.forget(line["table"], line["row"], line["column"])
        self.found["lines"].append(line)
        self.found["date"] = datetime.now(UTC).date().isoformat()
        self.data.write_text(json.dumps(self.found, indent=1, ensure_ascii=False) + "\n")
        self.text.write_text("\n".join(self.markdown()))

    def lines(self, table):
        """Return the lines of a table."""
        return [line for line in self.found["lines"] if line["table"] == table]

    def value(self, table, row):
        """Return a value that has a row of its own, None if it is not there."""
        return next((x.get("value") for x in self.lines(table) if x["row"] == row), None)

    def markdown(self):
        """Yield the page."""
        yield INTRODUCTION
        yield f"Measured {self.found['date']}: {self.found['machine']}"
        rate, copy = (self.value("ceilings", row) for row in ("matrix product", "copy"))
        if rate:
            yield f"\nA product of two float64 matrices ran at {rate / 1e12:.3g} TFLOP/s" + (
                f", a copy moved {copy / 1e12:.3g} TB/s." if copy else "."
            )
        for table, title in TITLES.items():
            if self.lines(table):
                yield f"\n## {title}\n"
                yield from grid(self.lines(table))
                yield from self.remarks(table, rate, copy)
        yield ""

    def remarks(self, table, rate, copy):
        """Yield what follows from a table's numbers."""
        flops, kept = least()
        ours = [x["seconds"] for x in self.lines(table) if x["column"] == OURS and "seconds" in x]
        floor = {"Hessian": rate and flops / rate, "product": copy and kept / copy}.get(table)
        what = {
            "Hessian": "At the matrix product's rate the 3·N·n² operations take",
            "product": "At the copy's rate what a point keeps is read in",
        }
        if floor and ours:
            times = f"{min(ours) / floor:.3g} times that"
            yield f"\n{what[table]} {us(floor)}; at best it takes {times}."
        if table in OPERATIONS:
            yield from pays(table, self.lines(table))

    def summary(self, count=100):
        """Yield a table of the times for a point of ``count``, and the two large computations."""
        flops, kept = least()
        rate, copy = (self.value("ceilings", row) for row in ("matrix product", "copy"))
        floors = {"Hessian": rate and flops / rate, "product": copy and kept / copy}
        yield f"| for a point, B = {count} | GPU | one core | all cores | JAX | PyTorch | floor |"
        yield "|---|---:|---:|---:|---:|---:|---:|"
        for table in OPERATIONS:
            lines = [x for x in self.lines(table) if "seconds" in x]
            at = {x["column"]: x["seconds"] for x in lines if x["row"] == count}
            cores = {x["column"]: x["seconds"] for x in lines if x["column"].endswith("cores")}
            one = [x["seconds"] for x in lines if x["column"] == "one core"]
            others = [min(one, default=None), min(cores.values(), default=None)]
            others += [at.get("JAX"), at.get("PyTorch"), floors.get(table)]
            ratios = [f"{time / at[OURS]:.3g} ×" if time and OURS in at else "" for time in others]
            yield f"| {TITLES[table].split(',')[0]} | {us(at[OURS])} | {' | '.join(ratios)} |"
        yield ""
        for name, column in (("figure", "seconds"), ("spectrum", "both")):
            for line in self.lines(name):
                if line["column"] == column:
                    yield f"{TITLES[name]}, {line['row']}: {cell(line)}."
        yield f"\nMeasured {self.found['date']}: {self.found['machine'].split(';')[0]}."


def update(path, report):
    """Write the summary between its two marks in a text."""
    text = path.read_text()
    before, rest = text.split(BEGIN)
    path.write_text(
        before + BEGIN + "\n" + "\n".join(report.summary()) + "\n" + END + rest.split(END)[1]
    )


BEGIN = "<!-- gpu: written by `python tests/benchmarks/write_gpu_table.py --update docs/gpu.md` -->"
END = "<!-- end of gpu -->"

TITLES = {
    "check": "Relative differences from the CPU's results",
    "product": "Hessian-vector product, for each point",
    "Hessian": "Dense Hessian, for each point",
    "Newton-MR iteration": "Iteration of Newton-MR, for each point",
    "iterations": "In each iteration of Newton-MR, for the batch",
    "eigenproblems": "Eigendecompositions, for each matrix",
    "spectrum": "A full spectrum",
    "figure": "The searches of Fig. 3",
    "failed": "Sections that did not end",
}


@cache
def least():
    """Return the operations of a dense Hessian, and the bytes that a product reads."""
    objective = Scale().objective()
    return 3.0 * objective.n_samples * objective.net.n_parameters**2, objective.point_bytes


def us(seconds):
    """Return a time as text."""
    if seconds < 1e-3:
        return f"{1e6 * seconds:.3g} µs"
    return f"{1e3 * seconds:.3g} ms" if seconds < 1.0 else f"{seconds:.3g} s"


def cell(line):
    """Return what a line has to say."""
    if "seconds" in line:
        return us(line["seconds"])
    return line.get("text") or f"{line['value']:.3g}"


def grid(lines):
    """Yield lines as a table in Markdown, rows and columns in the order in which they came."""
    columns = sorted(dict.fromkeys(line["column"] for line in lines), key=OURS.__ne__)
    rows = list(dict.fromkeys(line["row"] for line in lines))
    rows = sorted(rows) if all(isinstance(row, int) for row in rows) else rows
    cells = {(line["row"], line["column"]): cell(line) for line in lines}
    head = "B" if all(isinstance(row, int) for row in rows) else ""
    yield "| " + " | ".join([head, *columns]) + " |"
    yield "|---|" + "---:|" * len(columns)
    for row in rows:
        yield "| " + " | ".join([str(row), *(cells.get((row, c), "") for c in columns)]) + " |"


def pays(operation, lines):
    """Yield from which batch on the GPU is faster than the processor, for each point."""
    ours = {x["row"]: x["seconds"] for x in lines if x["column"] == OURS and "seconds" in x}
    for column in dict.fromkeys(x["column"] for x in lines if x["column"].endswith("cores")):
        best = min((x["seconds"] for x in lines if x["column"] == column), default=None)
        faster = sorted(count for count, time in ours.items() if best and time < best)
        where = f"from B = {faster[0]} on" if faster else "at none of these B"
        yield f"\nThe GPU is faster than {column} at its best {where}."
    for column in MODULES:
        theirs = {x["row"]: x["seconds"] for x in lines if x["column"] == column and "seconds" in x}
        ratios = [
            f"{theirs[count] / ours[count]:.3g} (B = {count})" for count in theirs if count in ours
        ]
        if ratios:
            yield f"\nTime of {column} over that of this package: {', '.join(ratios)}."
    times = [x["seconds"] for x in lines if x["column"] == "one core" and "seconds" in x]
    if times and ours:
        ratio = min(times) / min(ours.values())
        yield f"\nAt its best it is {ratio:.3g} times as fast as one core."


def main(arguments=None):
    """Measure the sections chosen, by default all; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    sections = list(dict.fromkeys(section for section, _ in JOBS))
    parser.add_argument("--sections", nargs="+", choices=sections, default=sections)
    parser.add_argument("--out", type=Path, default=ROOT / "figures", help="a folder")
    parser.add_argument("--limit", type=float, default=SECONDS, help="seconds for a section")
    parser.add_argument(
        "--update", type=Path, help="a text to put the summary in; measures nothing"
    )
    parsed = parser.parse_args(arguments)
    if parsed.update:
        before = json.loads((parsed.out / "benchmarks_gpu.json").read_text())
        update(parsed.update, Report(parsed.out, before["machine"]))
        return 0
    try:
        require_device("gpu")
    except RuntimeError as error:
        print(f"bench-gpu: error: {error}", file=sys.stderr)
        return 1
    report = Report(parsed.out, machine())
    for section, column in JOBS:
        if section not in parsed.sections:
            continue
        if column in MODULES and importlib.util.find_spec(MODULES[column]) is None:
            print(f"{section}, {column}: not installed", file=sys.stderr, flush=True)
            continue
        report.forget("failed", section, column)
        start = time.perf_counter()
        for line in measured(section, column, parsed.limit):
            report.add(line)
            said = f"{line['table']}, {line['row']}, {line['column']}: {cell(line)}"
            print(said, file=sys.stderr, flush=True)
        print(f"{section}, {column}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
        if section == "check" and not agrees(report):
            print("bench-gpu: error: the GPU's results differ from the CPU's", file=sys.stderr)
            return 1
    return 0


def agrees(report):
    """Return whether the GPU's results are those of the CPU."""
    differences = [line.get("value", float("nan")) for line in report.lines("check")]
    return bool(differences) and all(value <= AGREEMENT for value in differences)


if __name__ == "__main__":
    sys.exit(main())
