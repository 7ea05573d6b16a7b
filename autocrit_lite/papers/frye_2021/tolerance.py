"""Frye et al. 2021, Fig. 3 again: what its flatness owes to the solver's tolerance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from ...networks.initialization import SCHEMES
from ...runner.experiment import Arrays, Experiment, setting, setting_of, taken_from
from ...runner.results import Results, rounded
from ...runner.store import Record, Task
from .current_iterate import newton_mr_along_current
from .ends import EndRule, late
from .gradient_flat import CONVERGED, DIRECTION, POINTS, as_published
from .mnist_autoencoder import MnistAutoencoder
from .newton_systems import CHOICES, INDICES, LEVELS, resolve, spectrum, within

HISTORIES = (
    "squared_gradient_norm",
    "relative_residual",
    "residual_ratio",
    "step_size",
    "solver_iterations",
)
"""What we keep of each iterate of a re-run."""

LONG = ("long_relative_residual", "long_residual_ratio", "long_solver_iterations")

DIMS: dict[str, tuple[str, ...]] = {
    **{f"rerun_{name}": ("iteration",) for name in HISTORIES},
    **{f"rerun_{name}": ("point",) for name in ("value", "index", "largest_eigenvalue")},
    "rerun_theta": ("point", "parameter"),
    "rerun_share": ("point", "cutoff"),
    **dict.fromkeys((*DIRECTION, *LONG), ("rtol",)),
    **{f"truncated_{name}": ("cutoff",) for name in INDICES},
    **{f"choice_{name}": ("rtol", "choice") for name in ("relative_residual", "residual_ratio")},
    "share": ("cutoff",),
    "share_below": ("level",),
}
"""The dimensions that a re-run's arrays have beyond "variant" and "start", those of the systems
solved again beyond "run" and "point"."""


@dataclass(frozen=True)
class Variant:
    """What a re-run does.

    Attributes
    ----------
    study : MnistAutoencoder
        Data, network, penalty and tolerance.
    initialization : str
        How the initial weights of the training are drawn.
    current : bool
        Whether to search along x_k: see ``current_iterate``.
    """

    study: MnistAutoencoder
    initialization: str = "unit_rows"
    current: bool = False


@dataclass(frozen=True)
class Tolerance(Experiment):
    """The Newton systems of Fig. 3 solved again, and its runs repeated with other settings.

    The settings of ``MnistAutoencoder`` say which results those are, and are what the re-runs vary.
    """

    name: ClassVar[str] = "tolerance"
    quick: ClassVar[dict[str, Any]] = {
        "n_samples": 500,
        "trajectories": 2,
        "starts": 2,
        "points": "own",
        "rerun_starts": 2,
        "rerun_iterations": 40,
    }

    n_samples: int = setting_of(MnistAutoencoder, "n_samples")
    trajectories: int = setting_of(MnistAutoencoder, "trajectories")
    starts: int = setting_of(MnistAutoencoder, "starts")
    epochs: int = setting_of(MnistAutoencoder, "epochs")
    learning_rate: float = setting_of(MnistAutoencoder, "learning_rate")
    momentum: float = setting_of(MnistAutoencoder, "momentum")
    l2: float = setting_of(MnistAutoencoder, "l2")
    max_iterations: int = setting_of(MnistAutoencoder, "max_iterations")
    rtol: float = setting_of(MnistAutoencoder, "rtol")
    batch: int = setting_of(MnistAutoencoder, "batch")
    seed: int = setting_of(MnistAutoencoder, "seed")
    device: str = setting("cpu", "chosen by us: single runs leave a GPU idle", choices=("cpu",))
    layers: tuple[int, ...] = setting_of(MnistAutoencoder, "layers")
    data_file: str = setting_of(MnistAutoencoder, "data_file")
    scaling: str = setting_of(MnistAutoencoder, "scaling")
    critical: float = setting_of(EndRule, "critical")
    flat_share: float = setting_of(EndRule, "flat_share")
    stall: float = setting_of(EndRule, "stall")
    slow: float = setting_of(EndRule, "slow")
    points: str = setting(
        "archived",
        'chosen by us: those of all runs of Fig. 3; or those of the "own" re-runs with rtol as is',
        choices=("archived", "own"),
    )
    tolerances: tuple[float, ...] = setting(
        (1e-2, 1e-3, 5e-4, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12),
        "chosen by us, around 5e-4 and 1e-10 of Frye et al. 2021, A.2: the solver's rtol, and which"
        " share of the largest |eigenvalue| counts as zero",
        above=0.0,
        below=1.0,
    )
    rerun_starts: int = setting(20, "chosen by us: of the starts, evenly spaced", at_least=1)
    rerun_iterations: int = setting(500, "Frye et al. 2021, section 3", at_least=1)
    rtols: tuple[float, ...] = setting(
        (1e-2, 5e-4, 1e-4, 1e-5, 1e-10),
        "chosen by us: of the re-runs; the second and last are in Frye et al. 2021, A.2",
        above=0.0,
        below=1.0,
    )
    l2s: tuple[float, ...] = setting(
        (1e-3, 1e-1), "chosen by us: add 2λ/n, 4e-6 and 4e-4, to all eigenvalues", above=0.0
    )
    initializations: tuple[str, ...] = setting(
        ("xavier", "he"), "chosen by us, in place of unit_rows", choices=tuple(SCHEMES)
    )
    flat_cutoff: float = setting(
        5e-4,
        "relative to the largest |eigenvalue|: ε_g of Frye et al. 2021, Table 1; r_H < ε_g means "
        "that the residual lies in eigenspaces below that, on the whole",
        above=0.0,
    )

    def check(self) -> None:
        """Raise a ValueError if settings do not fit together."""
        self.source()  # whose settings are checked there
        if self.rtol not in self.rtols:
            raise ValueError(f"rtols must hold rtol, {self.rtol:g}, not only {self.rtols}")
        if self.flat_cutoff not in self.tolerances:
            raise ValueError(f"flat_cutoff must be one of the tolerances, not {self.flat_cutoff:g}")
        if self.rerun_starts > self.trajectories * self.starts:
            raise ValueError(
                f"rerun_starts must be at most trajectories times starts, "
                f"{self.trajectories * self.starts}, not {self.rerun_starts}"
            )

    def source(self) -> MnistAutoencoder:
        """Return the experiment whose points are looked at again."""
        return taken_from(self, MnistAutoencoder)

    def variants(self) -> dict[str, Variant]:
        """Return the variants by name; the first is what Fig. 3 shows."""
        source = self.source()
        others = sorted(set(self.rtols) - {self.rtol}, reverse=True)
        scaling = {"pixel": "overall", "overall": "pixel"}[self.scaling]
        return {
            f"rtol {self.rtol:g}": Variant(source),
            **{f"rtol {rtol:g}": Variant(replace(source, rtol=rtol)) for rtol in others},
            **{f"l2 {l2:g}": Variant(replace(source, l2=l2)) for l2 in self.l2s},
            f"scaling {scaling}": Variant(replace(source, scaling=scaling)),
            **{name: Variant(source, name) for name in self.initializations},
            "x_k": Variant(source, current=True),
        }

    def stages(self) -> list[list[Task]]:
        """Return the trainings, the re-runs, and the solutions of batches of systems."""
        every = self.trajectories * self.starts
        runs = [int(k) for k in np.linspace(0, every - 1, self.rerun_starts).round()]
        trainings: dict[str, Task] = {}
        reruns: list[Task] = []
        for variant in self.variants().values():
            train = self.train_task(variant)
            trainings.setdefault(train.key, train)
            reruns += [self.rerun_task(variant, train, run) for run in runs]
        archived = self.points == "archived"
        systems = []
        for search in self.source().stages()[1] if archived else reruns[: len(runs)]:
            options = {"of": search.configuration, "tolerances": self.tolerances}
            systems.append(self.task(self.solve, search, stage="solve", **options))
        return [list(trainings.values()), reruns, systems]

    def train_task(self, variant: Variant) -> Task:
        """Return the training of a variant; a penalty of its own is left to the re-run."""
        study, scheme = replace(variant.study, l2=self.l2), variant.initialization
        compute, settings = partial(study.train_for_starts, scheme), study.training
        return self.task(compute, stage="train", initialization=scheme, **settings)

    def rerun_task(self, variant: Variant, train: Task, run: int) -> Task:
        """Return the re-run of a variant from one of its starts."""
        return self.task(
            partial(self.rerun, variant, run),
            train,
            stage="rerun",
            train=train.configuration,
            run=run,
            rtol=variant.study.rtol,
            l2=variant.study.l2,
            iterations=self.rerun_iterations,
            cutoffs=self.tolerances,
            **({"iterate": "current"} if variant.current else {}),
        )

    def run(self, **options: Any) -> int:
        """Compute and store the tasks that have no result yet: see ``Experiment.run``.

        Raises
        ------
        MissingResultsError
            If the results of Fig. 3 are not there, before any work.
        """
        if self.points == "archived":
            self.source().load(store=options.get("store"))
        return super().run(**options)

    def rerun(self, variant: Variant, run: int, trained: Arrays) -> Arrays:
        """Run Newton-MR from one start."""
        study = replace(variant.study, max_iterations=self.rerun_iterations)
        objective = study.objective()
        finder = newton_mr_along_current if variant.current else as_published
        batch = study.search_from(objective, trained["theta_start"][run][None], finder)
        found = {name: x[0] for name, x in batch.items()}
        point = objective.linearize(found["theta_point"])
        eigenvalues, parts = spectrum(point.hessian(), point.gradient)
        return {
            **{f"rerun_{name}": rounded(found[name]) for name in HISTORIES},
            "rerun_iterations": found["iterations"],
            "rerun_stop_reason": found["stop_reason"],
            "rerun_theta": found["theta_point"],
            "rerun_value": found["point_value"],
            "rerun_index": found["point_index"],
            "rerun_largest_eigenvalue": np.max(np.abs(eigenvalues), axis=-1),
            "rerun_share": within(eigenvalues, parts, self.tolerances),
        }

    def solve(self, searched: Arrays) -> Arrays:
        """Solve the systems at the points of a search of Fig. 3, or of a re-run."""
        is_rerun = "rerun_theta" in searched
        theta = searched["rerun_theta"][None] if is_rerun else searched["theta_point"]
        point = self.source().objective().linearize(theta.reshape(-1, theta.shape[-1]))
        solved = resolve(point.hessian(), point.gradient, self.tolerances)
        return {name: x.reshape(*theta.shape[:2], *x.shape[1:]) for name, x in solved.items()}

    @staticmethod
    def binding(arrays: Arrays) -> Arrays:
        """Return starts, where a re-run begins, and the spectra of the systems.

        No solution: those that take hundreds of iterations hang on rounding.
        """
        if "rerun_theta" in arrays:
            return {"start": arrays["rerun_squared_gradient_norm"][:1]}
        names = ("theta_start", "squared_gradient_norm", "largest_eigenvalue", "share_below")
        return {name: arrays[name] for name in names if name in arrays}

    @staticmethod
    def distributions(arrays: Arrays) -> Arrays:
        """Return log₁₀ ‖g‖² at the end of a re-run; log₁₀ r of a system, in its tolerances' mean.

        Both down to what is rounding: ``CONVERGED``, and the least of the tolerances.
        """
        if "rerun_theta" in arrays:
            last = arrays["rerun_squared_gradient_norm"][arrays["rerun_iterations"]]
            return {"end": np.log10(np.maximum(last, CONVERGED))[None]}
        if "relative_residual" not in arrays:
            return {}
        r = np.log10(np.maximum(arrays["relative_residual"], 1e-12))
        return {"residual": r.mean(axis=-1).ravel()}

    def gather(self, records: Sequence[Record]) -> Results:
        """Return the arrays of the systems and the re-runs, and how the re-runs end."""
        variants = list(self.variants())
        reruns = Results.stacked(
            [Results.of(r.arrays, DIMS) for r in records if "rerun_theta" in r.arrays],
            variant=variants,
            start=range(self.rerun_starts),
        )
        systems = [r.arrays for r in records if "share_below" in r.arrays]
        solved = Results.joined([Results.of(arrays, DIMS, "run", "point") for arrays in systems])
        cutoffs = {"rtol": self.tolerances, "cutoff": self.tolerances, "level": LEVELS}
        labels = Results({}, {}, {"point": POINTS, "choice": CHOICES, **cutoffs})
        return solved | reruns | Results.of(self.ends_of(reruns), {}, "variant", "start") | labels

    def ends_of(self, reruns: Results) -> Arrays:
        """Return how far ‖g‖² fell at the end of each re-run, by which steps, and its ``End``."""
        squared, iterations = reruns["rerun_squared_gradient_norm"], reruns["rerun_iterations"]
        fall, pace, step = late(squared, reruns["rerun_step_size"], iterations)
        last = np.take_along_axis(squared, iterations[..., None], axis=-1)[..., 0]
        flat = self.tolerances.index(self.flat_cutoff)
        share = reruns["rerun_share"][:, :, POINTS.index("last"), flat]
        rule = taken_from(self, EndRule)
        end = rule.ends(last, share, fall, pace, reruns["rerun_stop_reason"])
        told = {"fall": fall, "pace": pace, "late_step": step, "end": end}
        return {f"rerun_{name}": x for name, x in told.items()}
