"""Frye et al. 2021, Figs 3 to 5: the settings that the paper leaves open, varied together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd

from ...arrays import Array
from ...checks import different
from ...linalg.inertia import morse_index
from ...networks.initialization import SCHEMES
from ...points.classes import is_gradient_flat
from ...runner.experiment import Arrays, Experiment, setting, setting_of
from ...runner.results import Results
from ...runner.store import Record, Task
from .current_iterate import newton_mr_along_current
from .gradient_flat import CONVERGED, GradientFlat, as_published
from .random_labels import RandomLabels

ITERATES = ("x_k-1", "x_k")
"""Which of MINRES-QLP's iterates is the direction: see ``current_iterate``."""


class Cell(NamedTuple):
    """One combination of the open settings."""

    initialization: str
    epochs: int
    l2: float
    rtol: float
    iterate: str


@dataclass(frozen=True)
class OpenSettings(Experiment):
    """Newton-MR on the network of Fig. 5 with combinations of what the paper leaves open."""

    name: ClassVar[str] = "open_settings"
    quick: ClassVar[dict[str, Any]] = {
        "initializations": ("unit_rows",),
        "epochs": (50,),
        "trajectories": 2,
        "max_iterations": 20,
    }

    initializations: tuple[str, ...] = setting(
        ("unit_rows", "xavier", "he"),
        "the authors' public code, and the two in common use (not stated)",
        choices=tuple(SCHEMES),
    )
    epochs: tuple[int, ...] = setting(
        (200, 1000), "chosen by us (not stated): all labels learnt, and far beyond", at_least=1
    )
    l2s: tuple[float, ...] = setting(
        (1e-4, 1e-3, 1e-2, 1e-1), "chosen by us (not stated)", at_least=0.0
    )
    rtols: tuple[float, ...] = setting(
        (5e-4, 1e-4),
        "Frye et al. 2021, A.2, for Figs 3 and 4 (not stated for Fig. 5), and a stricter one: what "
        "stricter ones do is in `tolerance`; with 1e-10, as in Fig. 1, a solve may take n steps",
        at_least=0.0,
        below=1.0,
    )
    iterates: tuple[str, ...] = setting(
        ITERATES, "this package's solver, and the authors' public code", choices=ITERATES
    )
    trajectories: int = setting_of(RandomLabels, "trajectories")
    starts: int = setting(2, "chosen by us: from each trajectory, 20 in all", at_least=1)
    fraction: int = setting(
        2,
        "chosen by us: of all combinations those whose levels' numbers add up to a multiple of it",
        at_least=1,
    )
    max_iterations: int = setting_of(RandomLabels, "max_iterations")
    seed: int = setting_of(RandomLabels, "seed")

    def check(self) -> None:
        """Raise a ValueError if a list is empty or names something twice."""
        for name in ("initializations", "epochs", "l2s", "rtols", "iterates"):
            different(name, getattr(self, name))

    def cells(self) -> list[Cell]:
        """Return the combinations that are computed, the last setting changing first."""
        levels = (self.initializations, self.epochs, self.l2s, self.rtols, self.iterates)
        numbers = product(*(range(len(of)) for of in levels))
        chosen = zip(product(*levels), numbers, strict=True)
        return [Cell(*cell) for cell, number in chosen if sum(number) % self.fraction == 0]

    def study(self, cell: Cell) -> RandomLabels:
        """Return the experiment of Fig. 5 with the settings of a cell."""
        own = {name: getattr(self, name) for name in ("trajectories", "starts", "max_iterations")}
        return RandomLabels(seed=self.seed, epochs=cell.epochs, l2=cell.l2, rtol=cell.rtol, **own)

    def stages(self) -> list[list[Task]]:
        """Return the trainings, then the searches of each cell."""
        trainings: dict[str, Task] = {}
        searches = []
        for cell in self.cells():
            study = self.study(cell)
            train = self.task(
                partial(study.train_for_starts, cell.initialization),
                stage="train",
                initialization=cell.initialization,
                **study.training,
            )
            trainings.setdefault(train.key, train)
            searches.append(
                self.task(
                    partial(search, study, cell.iterate),
                    train,
                    stage="find",
                    train=train.configuration,
                    rtol=cell.rtol,
                    iterate=cell.iterate,
                    max_iterations=self.max_iterations,
                )
            )
        return [list(trainings.values()), searches]

    def gather(self, records: Sequence[Record]) -> Results:
        """Return the arrays with the dimensions cell and run."""
        searches = records[-len(self.cells()) :]
        parts = [Results.of(record.arrays, {}, "run") for record in searches]
        return Results.stacked(parts, cell=[", ".join(map(str, c)) for c in self.cells()])

    def table(self, results: Results) -> pd.DataFrame:
        """Return the settings of each cell, and what shares of its runs the paper prints."""
        frame = pd.DataFrame(self.cells())
        for name, runs in counted(results).items():
            frame[name] = runs.mean(axis=-1)
        return frame

    @staticmethod
    def binding(arrays: Arrays) -> Arrays:
        """Return the starts of a training; of a search, the loss where it begins."""
        return {name: arrays[name] for name in ("theta_start", "start_loss") if name in arrays}

    @staticmethod
    def distributions(arrays: Arrays) -> Arrays:
        """Return log₁₀ ‖g‖² at the end of the runs, down to ``CONVERGED``."""
        return {"end": np.log10(np.maximum(arrays["end"], CONVERGED))} if "end" in arrays else {}


def search(study: GradientFlat, iterate: str, trained: Arrays) -> Arrays:
    """Return where runs from all starts end, and how flat they find the loss on the way."""
    objective, starts = study.objective(), trained["theta_start"]
    along = newton_mr_along_current if iterate == "x_k" else as_published
    found: dict[str, list[Any]] = {}
    for start in starts[:, None]:
        trace = along(objective, start, study.max_iterations, study.rtol)
        last = int(np.asarray(trace.iterations)[0])
        r, r_H = trace.relative_residual[0], trace.relative_cokernel_residual[0]
        known = np.isfinite(r)
        one = {
            "start_loss": trace.value[0, 0],
            "iterations": last,
            "end": trace.squared_gradient_norm[0, last],
            "loss": trace.value[0, last],
            "index": morse_index(objective.linearize(trace.theta).hessian())[0],
            "largest_residual": r[known].max(initial=0.0),
            "flat": bool(np.any(is_gradient_flat(r[known], r_H[known]))),
        }
        for name, x in one.items():
            found.setdefault(name, []).append(x)
    return {name: np.array(column) for name, column in found.items()}


def counted(results: Results) -> dict[str, Array]:
    """Return which runs (cells, runs) are of those that the paper counts in Fig. 5.

    Those that end at ‖g‖² ≥ 1e-8, and those that meet an approximately gradient-flat iterate (Frye
    et al. 2021, A.6).
    """
    return {"end": results["end"] >= 1e-8, "flat": results["flat"]}
