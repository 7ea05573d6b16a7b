"""One changed constant in every experiment, and what ``verify`` says of it.

    python -m tests.runner.faults TABLE.md

Each experiment is archived with settings so small that it takes seconds. Then a constant that
decides its results is another, and ``verify`` recomputes: as on the machine that made the archive,
and as on another one, where the archive's headers name a BLAS kernel that is not this one.
"""

import dataclasses
import sys
import tempfile
import unittest.mock
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from autocrit_lite.finders import levenberg_marquardt, line_search, newton_tr
from autocrit_lite.networks import initialization
from autocrit_lite.papers.cooper_2020 import locus_motion
from autocrit_lite.papers.registry import REGISTRY
from autocrit_lite.runner import archive
from autocrit_lite.runner import verify as verification
from autocrit_lite.runner.store import Store, provenance
from autocrit_lite.training import optimizers


def module(named):
    """Return a module of which a function has the name."""
    return sys.modules[f"autocrit_lite.finders.{named.__name__}"]


class Fault(NamedTuple):
    """A constant of an object, what it becomes, and the settings that are small."""

    where: Any
    constant: str
    value: Any
    settings: dict[str, Any]


AUTOENCODER = {"n_samples": 50, "trajectories": 5, "starts": 9, "epochs": 30, "max_iterations": 6}
FLAT = {"trajectories": 5, "starts": 9, "epochs": 20, "max_iterations": 6, "batch": 45}
DIGITS = {**FLAT, "n_samples": 60}


def faster(rule, factor=1.1):
    """Return a rule's step with another rate."""
    step = rule.step

    def other(self, gradient, *rest):
        return step(dataclasses.replace(self, rate=factor * self.rate), gradient, *rest)

    return other


FAULTS = {
    "quartic": Fault(line_search, "BETA", 0.6, {"grid": (9, 5), "max_iterations": 30}),
    "linear_autoencoder": Fault(
        module(newton_tr),
        "STEP_SIZE",
        0.2,
        {**AUTOENCODER, "methods": ("newton_tr",), "batch": 5},
    ),
    "sampling_bias": Fault(
        line_search, "MAX_STEP_SIZE", 0.2, {**AUTOENCODER, "sigmas": (0.1,), "schemes": ("height",)}
    ),
    "coverage": Fault(
        line_search, "STEP_SIZE0", 0.01, {**AUTOENCODER, "sigmas": (0.1,), "groups": 1}
    ),
    "solver_limit": Fault(
        module(newton_tr),
        "STEP_SIZE",
        0.2,
        {**AUTOENCODER, "methods": ("newton_tr",), "limits_compared": (10,)},
    ),
    "linear_vs_nonlinear": Fault(
        line_search, "MAX_STEP_SIZE", 0.2, {**FLAT, "n_samples": 50, "networks": ("linear",)}
    ),
    "mnist_autoencoder": Fault(line_search, "BETA", 0.1, {**DIGITS, "layers": (16, 3, 16)}),
    "mnist_classifier": Fault(
        optimizers.Momentum, "step", faster(optimizers.Momentum), {**DIGITS, "layers": (16, 3, 10)}
    ),
    "random_labels": Fault(
        initialization,
        "SCHEMES",
        {**initialization.SCHEMES, "unit_rows": initialization.SCHEMES["xavier"]},
        {**FLAT, "layers": (8, 3, 2)},
    ),
    "open_settings": Fault(
        line_search,
        "BETA",
        0.1,
        {
            "figures": ("Fig. 5",),
            "initializations": ("unit_rows",),
            "epochs_times": (1,),
            "l2s": (1e-3,),
            "rtols": (5e-4,),
            "iterates": ("x_k-1",),
            "trajectories": 5,
            "starts": 9,
            "max_iterations": 4,
        },
    ),
    "other_networks": Fault(
        line_search,
        "BETA",
        0.1,
        {
            "networks": ("half",),
            "n_samples": 60,
            "trajectories": 5,
            "runs": 45,
            "max_iterations": 4,
        },
    ),
    "tolerance": Fault(
        line_search,
        "BETA",
        0.1,
        {
            "n_samples": 60,
            "layers": (16, 3, 16),
            "trajectories": 2,
            "starts": 4,
            "epochs": 20,
            "points": "own",
            "rerun_starts": 8,
            "rerun_iterations": 6,
            "rtols": (5e-4,),
            "l2s": (1e-3,),
            "initializations": ("xavier",),
        },
    ),
    "finder_comparison": Fault(
        module(levenberg_marquardt),
        "TAU",
        1.0,
        {
            "networks": ("random_labels",),
            "methods": ("levenberg_marquardt",),
            "starts": 40,
            "budget": 40,
        },
    ),
    "critical_locus": Fault(
        locus_motion,
        "LEFT",
        0.5,
        {
            "dimension_networks": ((2, 3, 4, 2),),
            "growth_widths": (6,),
            "points": 3,
            "wide_networks": ((2, 6, 2),),
            "failure_widths": (4,),
            "runs": 2,
            "max_iterations": 5,
            "minima_per_network": 1,
            "epochs": 20,
            "depths": (3,),
            "counts": (1,),
            "rules": ("plain",),
            "distances": (3.0, 2.0, 1.0, 0.5),
            "limit": 3000,
            "cubic_starts": 5,
            "plane_samples": 100,
            "plane_points": 1,
            "search_distances": (1.0,),
            "search_runs": 1,
            "search_iterations": 2,
        },
    ),
    "degenerate_saddles": Fault(
        optimizers.Nesterov,
        "step",
        faster(optimizers.Nesterov),
        {
            "rows": ("momentum",),
            "trials": 40,
            "n_train": 100,
            "n_test": 50,
            "size": 5,
            "hidden": 2,
            "batch_size": 20,
            "max_epochs": 2,
            "course_size": 4,
            "course_hidden": 2,
            "course_epochs": 1,
        },
    ),
}


def small(name):
    """Return an experiment whose paper profile has the small settings."""
    kind, settings = REGISTRY[name], FAULTS[name].settings

    class Small(kind):
        @classmethod
        def from_profile(cls, profile, **overrides):
            return super().from_profile(profile, **{**settings, **overrides})

    return Small


def archived(name, folder):
    """Compute and archive an experiment with its small settings; return the archive."""
    experiment, store = small(name).from_profile("paper"), Store(folder / "results")
    experiment.run(workers=1, store=store)
    records = [store.read(task) for task in experiment.tasks()]
    archive.pack(folder / "archive", name, "paper", records)
    return folder / "archive"


@contextmanager
def another_machine():
    """Let the archive's headers name another BLAS kernel than that which computes."""
    own = provenance()
    other = {**own, "machine": {**own["machine"], "blas": ["another kernel"]}}
    with unittest.mock.patch.object(verification, "provenance", return_value=other):
        yield


def verified(name, folder):
    """Return what ``verify`` says with the present code."""
    return verification.verify(small(name), folder, None, np.random.default_rng(0), workers=1)


@contextmanager
def planted(name):
    """Change the constant."""
    fault = FAULTS[name]
    with unittest.mock.patch.object(fault.where, fault.constant, fault.value):
        yield


def rows(names):
    """Yield a row for each experiment."""
    for name in names:
        fault = FAULTS[name]
        with tempfile.TemporaryDirectory() as folder:
            made = archived(name, Path(folder))
            before = verified(name, made).verdict
            with planted(name):
                here = verified(name, made)
                with another_machine():
                    there = verified(name, made)
        value = (
            "" if callable(fault.value) or isinstance(fault.value, dict) else f" = {fault.value}"
        )
        where = fault.where.__name__.removeprefix("autocrit_lite.")
        first = [(x.problems or x.missing or ["nothing"])[0] for x in (here, there)]
        counts = [len(x.problems) for x in (here, there)]
        cells = [f"{n}: {line}" for n, line in zip(counts, first, strict=True)]
        yield f"| `{name}` | `{where}.{fault.constant}`{value} | {before} | {' | '.join(cells)} |"


def main():
    """Write the table line by line."""
    out, *names = sys.argv[1:]
    lines = [
        "| experiment | changed | before | where it was made: differences, the first | elsewhere |",
        "|---|---|---|---|---|",
    ]
    for row in rows(names or FAULTS):
        lines.append(row)
        Path(out).write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(row, flush=True)


if __name__ == "__main__":
    main()
