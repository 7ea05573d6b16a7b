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
from ...datasets.digits import SCALINGS
from ...linalg.inertia import morse_index
from ...networks.initialization import SCHEMES
from ...points.classes import is_gradient_flat
from ...runner.experiment import Arrays, Experiment, setting, setting_of
from ...runner.results import Results
from ...runner.store import Record, Task
from ...statistics import score
from .claims import CRITICAL, FLAT, LEVELS
from .current_iterate import newton_mr_along_current
from .gradient_flat import CONVERGED, GradientFlat, as_published
from .mnist_autoencoder import MnistAutoencoder
from .mnist_classifier import MnistClassifier
from .random_labels import RandomLabels

ITERATES = ("x_k-1", "x_k")
"""Which of MINRES-QLP's iterates is the direction: see ``current_iterate``."""

FIGURES: dict[str, type[GradientFlat]] = {
    "Fig. 3": MnistAutoencoder,
    "Fig. 4": MnistClassifier,
    "Fig. 5": RandomLabels,
}
"""The experiments whose open settings are varied."""

ROWS: dict[str, dict[str, tuple[int, int]]] = {
    "Fig. 3": {f"r > {level:g}": (count, 100) for level, count in LEVELS.values()},
    "Fig. 4": {f"r > {FLAT:g}": (90, 100)},
    "Fig. 5": {"not critical": (33, 50), "flat": (31, 50)},
}
"""Of each figure the shares of runs that the paper prints, as a count of how many (section 3, A.5,
A.6); the paper's runs of Fig. 4 are taken to be 100."""


QUARTER = ("0000 0011 1100 1111", "0001 0110 1010 1101", "0100 0111 1001 1010")
"""A quarter of 3 × 2⁴ combinations, which has any two settings' pairs of levels equally often: for
each level of the first setting those of the other four (found by search; a test counts them)."""


class Cell(NamedTuple):
    """One combination of the open settings; Fig. 5 has no choice of scaling, Figs 3 and 4 no λ."""

    figure: str
    initialization: str
    scaling: str
    epochs: int
    l2: float
    rtol: float
    iterate: str


@dataclass(frozen=True)
class OpenSettings(Experiment):
    """Newton-MR on the networks of Figs 3 to 5 with combinations of what the paper leaves open.

    Of all combinations a fraction is computed in which every setting's levels are met equally
    often, and any two settings' pairs of levels too: mean differences between levels are then
    those of a least-squares fit of the settings' main effects.
    """

    name: ClassVar[str] = "open_settings"
    apart: ClassVar[tuple[str, ...]] = ("figure",)
    quick: ClassVar[dict[str, Any]] = {
        "figures": ("Fig. 5",),
        "initializations": ("unit_rows",),
        "epochs_times": (1,),
        "trajectories": 2,
        "max_iterations": 20,
    }

    figures: tuple[str, ...] = setting(
        tuple(FIGURES), "Frye et al. 2021, Figs 3 to 5", choices=tuple(FIGURES)
    )
    initializations: tuple[str, ...] = setting(
        ("unit_rows", "xavier", "he"),
        "the authors' public code, and the two in common use (not stated)",
        choices=tuple(SCHEMES),
    )
    scalings: tuple[str, ...] = setting(
        SCALINGS, "of Figs 3 and 4: the axis of the z-score is not stated", choices=SCALINGS
    )
    epochs_times: tuple[int, ...] = setting(
        (1, 5), "chosen by us (not stated): as many epochs as in the figure, and more", at_least=1
    )
    l2s: tuple[float, ...] = setting(
        (1e-4, 1e-3, 1e-2, 1e-1), "of Fig. 5, chosen by us (not stated)", at_least=0.0
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
    fraction: bool = setting(
        True, "chosen by us: half of the combinations of Fig. 5 and a quarter of Figs 3 and 4"
    )
    max_iterations: int = setting_of(RandomLabels, "max_iterations")
    seed: int = setting_of(RandomLabels, "seed")

    def check(self) -> None:
        """Raise a ValueError if a list is empty or names something twice."""
        lists = ("initializations", "scalings", "epochs_times", "l2s", "rtols", "iterates")
        for name in ("figures", *lists):
            different(name, getattr(self, name))

    def cells(self) -> list[Cell]:
        """Return the combinations that are computed, figure by figure.

        Of Fig. 5 half are: those whose levels' numbers add up to an even number. Of Figs 3 and 4
        a ``QUARTER`` is, or with other numbers of levels than the defaults', all.
        """
        cells = []
        for figure in self.figures:
            digits = figure != "Fig. 5"
            usual = FIGURES[figure].from_profile("paper")
            levels: tuple[Sequence[Any], ...] = (
                self.initializations,
                self.scalings if digits else ("",),
                [usual.epochs * times for times in self.epochs_times],
                (usual.l2,) if digits else self.l2s,
                self.rtols,
                self.iterates,
            )
            for numbers in product(*(range(len(of)) for of in levels)):
                if digits and [len(of) for of in levels] == [3, 2, 2, 1, 2, 2]:
                    code = "".join(str(k) for k in (*numbers[1:3], *numbers[4:]))
                    chosen = code in QUARTER[numbers[0]].split()
                else:
                    chosen = digits or sum(numbers) % 2 == 0
                if chosen or not self.fraction:
                    values = [of[k] for of, k in zip(levels, numbers, strict=True)]
                    cells.append(Cell(figure, *values))
        return cells

    def study(self, cell: Cell) -> GradientFlat:
        """Return the experiment of a cell's figure with its settings."""
        shared = ("trajectories", "starts", "max_iterations", "seed")
        own: dict[str, Any] = {name: getattr(self, name) for name in shared}
        if cell.scaling:
            own["scaling"] = cell.scaling
        kind = FIGURES[cell.figure]
        return kind(epochs=cell.epochs, l2=cell.l2, rtol=cell.rtol, **own)

    def stages(self) -> list[list[Task]]:
        """Return the trainings, then the searches of each cell."""
        trainings: dict[str, Task] = {}
        searches = []
        for cell in self.cells():
            study = self.study(cell)
            train = self.task(
                partial(study.train_for_starts, cell.initialization),
                stage="train",
                figure=cell.figure,
                initialization=cell.initialization,
                **study.training,
            )
            trainings.setdefault(train.key, train)
            searches.append(
                self.task(
                    partial(search, study, cell.iterate, (0, self.trajectories * self.starts)),
                    train,
                    stage="find",
                    figure=cell.figure,
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

    def table(self, results: Results, figure: str) -> pd.DataFrame:
        """Return the settings of each cell of a figure, and the shares of runs beside the paper's.

        ``distance`` is the sum over the figure's ``ROWS`` of the squared score statistic of the two
        shares: about a χ² of as many degrees of freedom if the paper's runs were drawn with the
        cell's settings, but for the trajectories that our runs share.
        """
        cells = self.cells()
        own = [k for k, cell in enumerate(cells) if cell.figure == figure]
        frame = pd.DataFrame([cells[k] for k in own]).drop(columns="figure")
        frame = frame.loc[:, [name for name in frame.columns if len(set(frame[name])) > 1]]
        counted = {name: runs[own] for name, runs in shares(results).items()}
        distance = np.zeros(len(own))
        for name, (printed, of) in ROWS[figure].items():
            runs = counted[name]
            frame[name] = runs.mean(axis=-1)
            distance += score(runs.sum(axis=-1), runs.shape[-1], np.array(printed), of) ** 2
        frame["distance"] = distance
        return frame

    def effects(self, results: Results, figure: str) -> pd.DataFrame:
        """Return the mean shares at each level of each varied setting, by setting and level."""
        frame = self.table(results, figure)
        rows = [*ROWS[figure], "distance"]
        varied = [name for name in frame.columns if name not in rows]
        each = {str(name): frame.groupby([name], sort=False)[rows].mean() for name in varied}
        return pd.concat(each, names=["setting", "level"])

    @staticmethod
    def binding(arrays: Arrays) -> Arrays:
        """Return the starts of a training; of a search, the loss where it begins."""
        return {name: arrays[name] for name in ("theta_start", "start_loss") if name in arrays}

    @staticmethod
    def distributions(arrays: Arrays) -> Arrays:
        """Return log₁₀ ‖g‖² at the end of the runs, down to ``CONVERGED``."""
        return {"end": np.log10(np.maximum(arrays["end"], CONVERGED))} if "end" in arrays else {}


def search(study: GradientFlat, iterate: str, runs: tuple[int, int], trained: Arrays) -> Arrays:
    """Return where the runs ``runs[0]`` to ``runs[1]`` − 1 end, and how flat their iterates are.

    Each array is (runs,): ``flat`` is the share of a run's iterates that are approximately
    gradient-flat (Frye et al. 2021, Table 1).
    """
    objective, starts = study.objective(), trained["theta_start"][slice(*runs)]
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
            "flat": np.sum(is_gradient_flat(r[known], r_H[known])) / max(known.sum(), 1),
        }
        for name, x in one.items():
            found.setdefault(name, []).append(x)
    return {name: np.array(column) for name, column in found.items()}


def shares(results: Results) -> dict[str, Array]:
    """Return which runs (cells, runs) are of those that the paper counts, by the names in ``ROWS``.

    Those with an iterate of r beyond a level, those that end at ‖g‖² ≥ 1e-8, and those that meet an
    approximately gradient-flat iterate (Frye et al. 2021, section 3 and A.6).
    """
    largest = results["largest_residual"]
    levels = {f"r > {level:g}": largest > level for level, _ in LEVELS.values()}
    return {**levels, "not critical": results["end"] >= CRITICAL, "flat": results["flat"] > 0.0}
