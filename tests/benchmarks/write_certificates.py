"""Ask of the archived ends of Frye et al. 2021, Figs 1C, 4 and 5, what can be proven of them.

``python tests/benchmarks/write_certificates.py --minutes 25`` goes on where it was, from
build/certificates.json, for as many minutes of processor time, and writes figures/certificates.md
from all that is there. The ends are taken in an order whose every beginning is spread evenly.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import autocrit_lite as al  # noqa: E402
from autocrit_lite.papers.registry import REGISTRY  # noqa: E402

FIGURES = {"linear_vs_nonlinear": "1C", "mnist_classifier": "4", "random_labels": "5"}
GOLDEN = 0.5 * (np.sqrt(5.0) - 1.0)
INTRODUCTION = """\
# What is proven of the archived ends

Of the last iterates of Newton-MR as archived, on the networks of Frye et al. 2021 that have a
penalty: `al.certify`, whose Newton corrections may lead to a critical point that is near, and where
it proves nothing, `al.nothing_near` of the end itself. *Radius* is that of the ball around the
critical point's approximation; *empty within*, the distance from the end in which no critical point
is. The network of Fig. 3 has no penalty, and its runs go to infinity. Of the runs of other finders
(`finder_comparison`) numbers are archived, not the points. Smallest, median and largest number.

| Fig. | experiment | ends tried | ‖∇L‖² | proven critical | index | radius | h | distance \
of the end | proven empty | empty within | neither |
|---|---|---:|---|---:|---|---|---|---|---:|---|---|
"""


def study(name):
    """Return the objective of a figure's network, and the archived ends (runs, n)."""
    experiment = REGISTRY[name].from_profile("paper")
    results = experiment.load()
    theta = results["theta_point"]
    if name == "linear_vs_nonlinear":
        which = experiment.networks.index("nonlinear")
        experiment, theta = experiment.study("nonlinear"), theta[which]
    return experiment.objective(), theta[:, -1]


def examine(objective, theta):
    """Return what is proven of an end."""
    found = al.certify(objective, theta)
    kept = {"proven": found.proven, "why": found.why.split(";")[0], "empty": 0.0}
    kept["g2"] = float(np.sum(objective.linearize(theta).gradient ** 2))
    if found.proven:
        away = np.linalg.norm(found.theta - theta + found.theta_low)
        numbers = ("radius", "h", "index", "unique_within")
        kept |= {name: getattr(found, name) for name in numbers} | {"away": float(away)}
    else:
        kept["empty"] = al.nothing_near(objective, theta).radius
    return kept


def extent(numbers, format_="{:.1e}"):
    """Return smallest, median and largest."""
    if not len(numbers):
        return "–"
    three = np.min(numbers), np.median(numbers), np.max(numbers)
    return ", ".join(format_.format(x) for x in three)


def row(name, ends, found):
    """Return a row of the table."""
    proven = [x for x in found if x["proven"]]
    empty = [x["empty"] for x in found if x["empty"] > 0.0]
    left = [x["why"] for x in found if not x["proven"] and not x["empty"] > 0.0]
    reasons = "; ".join(f"{left.count(why)}: {why}" for why in sorted(set(left)))
    cells = [
        FIGURES[name],
        f"`{name}`",
        f"{len(found)} of {ends}",
        extent([x["g2"] for x in found]),
        len(proven),
        extent([x["index"] for x in proven], "{:.0f}"),
        *(extent([x[key] for x in proven]) for key in ("radius", "h", "away")),
        len(empty),
        extent(empty),
        reasons or "–",
    ]
    return "| " + " | ".join(map(str, cells)) + " |\n"


def main():
    """Examine ends until the time is up; write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=25.0, help="of processor time")
    parser.add_argument("--kept", type=Path, default=ROOT / "build" / "certificates.json")
    parser.add_argument("--out", type=Path, default=ROOT / "figures" / "certificates.md")
    options = parser.parse_args()
    options.kept.parent.mkdir(exist_ok=True)
    kept = json.loads(options.kept.read_text()) if options.kept.exists() else {}
    studies = {name: study(name) for name in FIGURES}
    places = [
        ((k * GOLDEN) % 1.0, name, k) for name in FIGURES for k in range(len(studies[name][1]))
    ]
    began = time.process_time()
    for _, name, k in sorted(places):
        own = kept.setdefault(name, {})
        if str(k) in own or time.process_time() - began > 60.0 * options.minutes:
            continue
        objective, ends = studies[name]
        own[str(k)] = examine(objective, ends[k])
        print(f"{name} {k}: {own[str(k)]}", file=sys.stderr, flush=True)
        options.kept.write_text(json.dumps(kept, indent=1))
    text = INTRODUCTION
    for name in FIGURES:
        text += row(name, len(studies[name][1]), list(kept.get(name, {}).values()))
    options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
