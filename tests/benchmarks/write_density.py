"""Estimate the spectrum of a network with a million parameters, and write figures/density.md.

    python tests/benchmarks/write_density.py
    python tests/benchmarks/write_density.py --layers 784 32 10 --samples 1000 --out /tmp/small.md

The classifier of digits is trained for a while by gradient descent with momentum, so that the point
is not the start. Up to the order of ``EXACT`` the table has the exact spectrum beside the estimate.
"""

import argparse
import platform
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import autocrit_lite as al  # noqa: E402
from autocrit_lite.datasets.mnist import shipped_digits  # noqa: E402
from autocrit_lite.networks.initialization import initial_theta  # noqa: E402
from autocrit_lite.training.optimizers import Momentum, train  # noqa: E402

LAYERS, SAMPLES, EPOCHS = (784, 1024, 256, 10), 10_000, 20
LEVELS = (-1e-1, -1e-2, -1e-3, -1e-5, 1e-5, 1e-3, 1e-2, 1e-1, 1.0)
EXACT = 5000
INTRODUCTION = """\
# The spectrum of a large network, from products alone

`al.spectral_density` on a {layers} classifier with swish and cross-entropy on {samples:,} digits,
n = {n:,}, after {epochs} epochs; {probes} probes × {steps} steps. Written by
`tests/benchmarks/write_density.py`. Intervals of 95 %: how much the probes differ, and what the
quadrature leaves open.

| level | share of eigenvalues below | from | to |{extra}
|---:|---:|---:|---:|{rule}"""


def peak():
    """Return the most memory that this process has held so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


def main(arguments=None):
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--layers", type=int, nargs="+", default=LAYERS)
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--probes", type=int, default=10)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--out", type=Path, default=ROOT / "figures" / "density.md")
    chosen = parser.parse_args(arguments)
    digits = shipped_digits()
    X = digits.images[: chosen.samples].reshape(chosen.samples, -1) / 255.0
    net = al.MLP(tuple(chosen.layers), activation="swish")
    objective = al.NetworkObjective(net, X, digits.labels[: chosen.samples], loss="cross_entropy")
    start = initial_theta(net, "xavier", np.random.default_rng(0))
    few = 4 * start.nbytes  # what a training keeps of its iterates at least
    theta = train(objective, start, Momentum(0.1, 0.9), chosen.epochs, memory=few).final
    before, begin = peak(), time.perf_counter()
    found = al.spectral_density(objective, theta, chosen.probes, chosen.steps)
    seconds, after = time.perf_counter() - begin, peak()
    exact = None
    if net.n_parameters <= EXACT:
        exact = np.linalg.eigvalsh(objective.linearize(theta).hessian())
    lines = []
    for level in LEVELS:
        share = found.below(level)
        line = f"| {level:g} | {share.value:.4f} | {share.low:.4f} | {share.high:.4f} |"
        lines.append(line + (f" {np.mean(exact < level):.4f} |" if exact is not None else ""))
    ends = ", ".join(
        f"{value:.5g} (± {error:.0e})"
        for value, error in zip(found.extremes, found.residuals, strict=True)
    )
    vectors = 8.0 * net.n_parameters * chosen.steps / 2**20
    point = objective.point_bytes / 2**20
    text = [
        INTRODUCTION.format(
            layers="-".join(map(str, net.layers)),
            samples=chosen.samples,
            n=net.n_parameters,
            epochs=chosen.epochs,
            probes=chosen.probes,
            steps=chosen.steps,
            extra=" exact |" if exact is not None else "",
            rule="---:|" if exact is not None else "",
        ),
        *lines,
        "",
        f"Outermost eigenvalues, and how far at most from one: {ends}. The spectrum reaches from "
        f"{found.range[0]:.5g} to {found.range[1]:.5g} at least.",
        "",
        f"{found.products} products in {seconds:.3g} s. Memory at its peak: {after:,.0f} MiB, "
        f"{before:,.0f} MiB of it before; the Lanczos vectors take {vectors:,.0f} MiB and the "
        f"linearised point {point:,.0f} MiB, a dense Hessian would take "
        f"{8.0 * net.n_parameters**2 / 2**30:,.1f} GiB.",
        "",
        f"Measured {datetime.now(UTC):%Y-%m-%d} with Python {platform.python_version()}, NumPy "
        f"{np.__version__}.",
    ]
    chosen.out.write_text("\n".join(text) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
