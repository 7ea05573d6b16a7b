"""Ask of saddle-free Newton's runs on Fig. 3's network, with and without a penalty, whether they go
to infinity, and write figures/divergence.md.

Each run is a line of figures/divergence.jsonl, written as soon as it is there; started again, the
program goes on after the last one.
"""

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import autocrit_lite as al  # noqa: E402
from autocrit_lite.papers.frye_2021.mnist_autoencoder import MnistAutoencoder  # noqa: E402
from autocrit_lite.points.divergence import diverges  # noqa: E402

STARTS = (0, 25, 50, 75, 99)
PENALTIES = (0.0, 1e-1)
INTRODUCTION = """\
# Runs to infinity

Runs of saddle-free Newton on the network of Fig. 3 of Frye et al. 2021, {samples} samples, and
whether they go to infinity by the rule of `points.divergence`; written by
`tests/benchmarks/write_divergence.py`. ‖θ‖: its mean over the four octaves of the run. *p*: ‖g‖
falls like k⁻ᵖ in the last octave.

| λ₂ | start | iterations | loss | ‖g‖² | ‖θ‖ | p | to infinity | why |
|---|---:|---:|---:|---:|---|---:|---|---|"""


def measured(objective, X, start, iterations):
    """Return what is known of a run as a record."""
    trace = al.saddle_free_newton(objective, start, iterations, record_theta=True)
    record = {
        "iterations": trace.iterations,
        "loss": trace.last("value"),
        "squared_gradient_norm": trace.last("squared_gradient_norm"),
    }
    found = diverges(trace, lambda theta: objective.net.forward(theta, X))
    norms = [float(x) for x in found.norms]
    return record | {
        "norms": norms,
        "power": found.power,
        "verdict": found.verdict,
        "why": found.why,
    }


def main(arguments=None):
    """Measure what is not yet there, and write the table after each run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--iterations", type=int, default=256)
    parser.add_argument("--samples", type=int, default=1000)
    chosen = parser.parse_args(arguments)
    path = ROOT / "figures" / "divergence.jsonl"
    study = MnistAutoencoder.from_profile("paper")
    X = study.samples()[0][: chosen.samples]
    starts = study.load()["theta_start"].reshape(-1, study.network.n_parameters)
    for l2 in PENALTIES:
        objective = al.NetworkObjective(study.network, X, X, l2=l2)
        for run in STARTS:
            lines = path.read_text().splitlines() if path.exists() else []
            records = [json.loads(line) for line in lines]
            if (l2, run) in {(r["l2"], r["run"]) for r in records}:
                continue
            record = {
                "l2": l2,
                "run": run,
                **measured(objective, X, starts[run], chosen.iterations),
            }
            print(record, file=sys.stderr, flush=True)
            records.append(record)
            path.write_text("".join(json.dumps(r) + "\n" for r in records))
            rows = [
                f"| {r['l2']:g} | {r['run']} | {r['iterations']} | {r['loss']:.4f} "
                f"| {r['squared_gradient_norm']:.1e} | {', '.join(f'{x:.1f}' for x in r['norms'])} "
                f"| {r['power']:.2f} | {'yes' if r['verdict'] else 'no'} | {r['why']} |"
                for r in records
            ]
            head = INTRODUCTION.format(samples=f"the first {chosen.samples:,}")
            path.with_suffix(".md").write_text("\n".join([head, *rows]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
