"""Measure which finders arrive at critical points that can be certified, and how soon.

From starts of Figs 4 and 5 of Frye et al. 2021 each finder runs to the limit of rounding, and what
it found is handed to ``certify``. Each run is a line of figures/finders_certified.jsonl, written as
soon as it is there; started again, the program goes on after the last one. The table is
figures/finders_certified.md.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import autocrit_lite as al  # noqa: E402
from autocrit_lite.papers.frye_2021.finder_comparison import NETWORKS, Meter  # noqa: E402

FIGURES = ROOT / "figures"
INTRODUCTION = """\
# Finders by certified arrivals

Which finders arrive at critical points that `certify` proves, written by
`tests/benchmarks/write_finders.py` from `finders_certified.jsonl`, a line for each run. *Runs*: how
many of the starts were measured. *Below*: how many end there, on ‖g‖². *Certified*: proven critical
points, of the index asked where one is asked (1 + 7i mod 30 from start i). *Distinct*: how many of
them have losses that are proven to differ. Then of these the median (least to greatest) cost in
dense Hessians, index and loss. Index-targeted Newton was given 1000 iterations in Krylov spaces of
60 or 1500 dense ones, Levenberg–Marquardt {budget} products, each without any end but its own.
"""
HEAD = (
    "| Fig. | finder | index asked | runs | below 1e-8 | 1e-10 | certified | distinct | Hessians "
    "| index | loss |",
    "|---|---|---|---|---:|---:|---:|---:|---|---|---|",
)
KRYLOV = 60
"""The Krylov space on Fig. 5's network, where a product takes a thousandth of a Hessian's time."""
DENSE_END = 1e-20
"""‖g‖² from which a run in a Krylov space goes on with the dense Hessian."""
BUDGET = 8000
"""Products, as in ``finder_comparison``."""
STRIDE = 17
"""Runs are measured in this stride, so that the first ones are of all trajectories."""


def index_of(start):
    """Return the index that is asked from a start: 1 to 30, mixed over the starts."""
    return 1 + 7 * start % 30


@cache
def problem(network):
    """Return the objective and the starts (runs, n) of a figure."""
    study = NETWORKS[network].from_profile("paper")
    objective = study.objective()
    return objective, study.load()["theta_start"].reshape(-1, objective.net.n_parameters)


def targeted(objective, start, index):
    """Return the traces of index-targeted Newton with dense Hessians."""
    return [al.index_targeted_newton(objective, start, 1500, index=index)]


def targeted_krylov(objective, start, index):
    """Return the traces of index-targeted Newton in Krylov spaces, with a dense end."""
    options = {"krylov_dimension": KRYLOV, "squared_gradient_tolerance": DENSE_END}
    first = al.index_targeted_newton(objective, start, 1000, index=index, **options)
    return [first, al.index_targeted_newton(objective, first.theta, 20, index=index)]


def saddle_free(objective, start, index):
    """Return the traces of saddle-free Newton with a Newton end."""
    return [al.saddle_free_newton(objective, start, 1500, newton_end=True)]


def saddle_free_krylov(objective, start, index):
    """Return the traces of saddle-free Newton in Krylov spaces, with a dense end."""
    options = {"krylov_dimension": KRYLOV, "squared_gradient_tolerance": 1e-10}
    first = al.saddle_free_newton(objective, start, 1000, **options)
    return [first, al.saddle_free_newton(objective, first.theta, 100, newton_end=True)]


def levenberg_marquardt(objective, start, index, geodesic=False):
    """Return the trace of Levenberg-Marquardt on the budget of ``finder_comparison``."""
    meter = Meter(objective, BUDGET)
    return [al.levenberg_marquardt(meter, start, BUDGET, geodesic=geodesic)]


@dataclass(frozen=True)
class Group:
    """Runs of one finder on one network."""

    title: str
    network: str
    starts: int
    find: Callable
    asks_index: bool = False

    def runs(self):
        """Return the numbers of the starts, evenly spaced, and early ones of all trajectories."""
        count = len(problem(self.network)[1])
        runs = np.linspace(0, count - 1, self.starts).round()
        return [int(runs[STRIDE * i % self.starts]) for i in range(self.starts)]


GEODESIC = partial(levenberg_marquardt, geodesic=True)
ENDS = "Krylov spaces, then dense"
GROUPS = {
    "fig5-targeted": Group(
        f"index-targeted Newton, {ENDS}", "random_labels", 50, targeted_krylov, True
    ),
    "fig4-targeted": Group("index-targeted Newton, dense", "mnist_classifier", 10, targeted, True),
    "fig5-saddle-free": Group(
        f"saddle-free Newton, {ENDS}", "random_labels", 20, saddle_free_krylov
    ),
    "fig4-saddle-free": Group("saddle-free Newton, dense", "mnist_classifier", 20, saddle_free),
    "fig5-lm": Group("Levenberg–Marquardt", "random_labels", 20, levenberg_marquardt),
    "fig5-lm-geodesic": Group("the same, geodesic", "random_labels", 20, GEODESIC),
    "fig4-lm": Group("Levenberg–Marquardt", "mnist_classifier", 20, levenberg_marquardt),
    "fig4-lm-geodesic": Group("the same, geodesic", "mnist_classifier", 20, GEODESIC),
}


def measured(name, run):
    """Run a finder from one start, certify what it found, and return what is known as a record."""
    group = GROUPS[name]
    objective, starts = problem(group.network)
    asked = index_of(run) if group.asks_index else 0
    began = time.process_time()
    traces = group.find(objective, starts[run], asked)
    seconds = time.process_time() - began
    last = traces[-1]
    certificate = al.certify(objective, last.theta)
    return {
        "group": name,
        "run": run,
        "asked": asked,
        "iterations": sum(trace.iterations for trace in traces),
        "hessians": round(sum(t.last("products") for t in traces) / objective.hessian_cost, 1),
        "gradients": int(sum(np.nansum(trace.trials) for trace in traces)),
        "reason": last.stop_reason.name,
        "squared_gradient_norm": last.last("squared_gradient_norm"),
        "loss": last.last("value"),
        "proven": certificate.proven,
        "index": certificate.index,
        "interval": list(certificate.value),
        "radius": certificate.radius if certificate.proven else None,
        "why": "" if certificate.proven else certificate.why,
        "seconds": round(seconds, 1),
    }


def read(path):
    """Return the records that are there."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def distinct(records):
    """Return how many of the proven points have losses that are proven to differ."""
    intervals = sorted(r["interval"] for r in records if r["proven"])
    return sum(i == 0 or low > intervals[i - 1][1] for i, (low, _) in enumerate(intervals))


def row(name, records):
    """Return a group's row of the table."""
    group = GROUPS[name]
    good = [
        r for r in records if r["proven"] and (not group.asks_index or r["index"] == r["asked"])
    ]
    figure = "4" if group.network == "mnist_classifier" else "5"
    cells = [figure, group.title, "1 to 30" if group.asks_index else "–"]
    cells += [f"{len(records)} of {group.starts}"]
    cells += [str(sum(r["squared_gradient_norm"] < cut for r in records)) for cut in (1e-8, 1e-10)]
    cells += [str(len(good)), str(distinct(good))]
    if good:
        for key in ("hessians", "index", "loss"):
            low, middle, high = np.quantile([r[key] for r in good], [0.0, 0.5, 1.0])
            cells.append(f"{middle:.3g} ({low:.3g} to {high:.3g})")
    return "| " + " | ".join(cells + ["–"] * (11 - len(cells))) + " |"


def write(path, records):
    """Write the table of all groups that have records."""
    lines = [INTRODUCTION.format(budget=BUDGET), *HEAD]
    for name in GROUPS:
        own = [r for r in records if r["group"] == name]
        lines += [row(name, own)] if own else []
    path.write_text("\n".join(lines) + "\n")


def main(arguments=None):
    """Measure what is not yet there, and write the table after each run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--minutes", type=float, default=np.inf, help="begin no run after these")
    chosen = parser.parse_args(arguments)
    path, began = FIGURES / "finders_certified.jsonl", time.monotonic()
    for name in chosen.groups:
        for run in GROUPS[name].runs():
            known = {(r["group"], r["run"]) for r in read(path)}
            if (name, run) in known:
                continue
            if time.monotonic() - began > 60.0 * chosen.minutes:
                return 0
            record = measured(name, run)
            print(record, file=sys.stderr, flush=True)
            with path.open("a") as file:
                file.write(json.dumps(record) + "\n")
            write(path.with_suffix(".md"), read(path))
    return 0


if __name__ == "__main__":
    sys.exit(main())
