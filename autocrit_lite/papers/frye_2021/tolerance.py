"""Frye et al. 2021, Fig. 3 again: what its flatness owes to the solver's tolerance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from ...arrays import Array
from ...networks.initialization import SCHEMES
from ...networks.objective import NetworkObjective
from ...runner.experiment import Configuration, Read, setting
from ...runner.results import Measured, Results, rounded
from ...runner.store import Record, Store
from .current_iterate import newton_mr_along_current
from .ends import EndRule, late
from .gradient_flat import DIRECTION, POINTS, as_published, search, train_and_sample
from .mnist_autoencoder import MnistAutoencoder
from .newton_systems import CHOICES, INDICES, LEVELS, resolve, spectrum, within

HISTORIES = (
    "squared_gradient_norm",
    "relative_residual",
    "residual_ratio",
    "step_size",
    "solver_iterations",
)
"""What is kept of each iterate of a re-run."""

RERUN_DIMS: dict[str, tuple[str, ...]] = {
    **{f"rerun_{name}": ("iteration",) for name in HISTORIES},
    "rerun_iterations": (),
    "rerun_stop_reason": (),
    "rerun_theta": ("point", "parameter"),
    "rerun_value": ("point",),
    "rerun_index": ("point",),
    "rerun_largest_eigenvalue": ("point",),
    "rerun_share": ("point", "cutoff"),
}
"""The arrays of a re-run, each with the dimensions "variant" and "start" first."""

SOLVE_DIMS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(DIRECTION, ("rtol",)),
    **{f"truncated_{name}": ("cutoff",) for name in INDICES},
    "long_relative_residual": ("rtol",),
    "long_residual_ratio": ("rtol",),
    "long_solver_iterations": ("rtol",),
    "choice_relative_residual": ("rtol", "choice"),
    "choice_residual_ratio": ("rtol", "choice"),
    "squared_gradient_norm": (),
    "largest_eigenvalue": (),
    "share": ("cutoff",),
    "share_below": ("level",),
}
"""The arrays of the systems solved again, each with the dimensions "run" and "point" first."""


@dataclass(frozen=True)
class Tolerance(EndRule, MnistAutoencoder):
    """The Newton systems of Fig. 3 solved again, and its runs repeated with other settings.

    The settings that it shares with ``MnistAutoencoder`` say which results those are, and are what
    the re-runs are varied from.
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

    device: str = setting("cpu", "chosen by us: single runs leave a GPU idle", choices=("cpu",))
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
        super().check()
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
        return MnistAutoencoder(**{f.name: getattr(self, f.name) for f in fields(MnistAutoencoder)})

    def variants(self) -> dict[str, dict[str, Any]]:
        """Return what is different in each variant by its name; first the one of Fig. 3."""
        others = sorted(set(self.rtols) - {self.rtol}, reverse=True)
        scaling = {"pixel": "overall", "overall": "pixel"}[self.scaling]
        return {
            f"rtol {self.rtol:g}": {},
            **{f"rtol {rtol:g}": {"rtol": rtol} for rtol in others},
            **{f"l2 {l2:g}": {"l2": l2} for l2 in self.l2s},
            f"scaling {scaling}": {"scaling": scaling},
            **{name: {"initialization": name} for name in self.initializations},
            "x_k": {"iterate": "current"},
        }

    def stages(self) -> list[list[dict[str, Any]]]:
        """Return the trainings, the re-runs, and the solutions of batches of systems."""
        (training,) = self.source().trainings()
        training = {**training, "initialization": "unit_rows"}
        every = self.trajectories * self.starts
        runs = [int(k) for k in np.linspace(0, every - 1, self.rerun_starts).round()]
        trainings: list[dict[str, Any]] = []
        reruns: list[dict[str, Any]] = []
        for changes in self.variants().values():
            # these do not change the starts
            later = ("rtol", "l2", "iterate")
            own = {**training, **{k: x for k, x in changes.items() if k not in later}}
            trainings += [own] if own not in trainings else []
            shared = {
                "stage": "rerun",
                "train": own,
                "rtol": changes.get("rtol", self.rtol),
                "l2": changes.get("l2", self.l2),
                "iterations": self.rerun_iterations,
                "cutoffs": list(self.tolerances),
                **{k: x for k, x in changes.items() if k == "iterate"},
            }
            reruns += [{**shared, "run": run} for run in runs]
        archived = self.points == "archived"
        searched = (
            [t.configuration for t in self.source().stages()[1]]
            if archived
            else reruns[: len(runs)]
        )
        systems = [
            {"stage": "solve", "of": of, "tolerances": list(self.tolerances)} for of in searched
        ]
        return [trainings, reruns, systems]

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

    @classmethod
    def compute(cls, configuration: Configuration, read: Read) -> dict[str, Array]:
        """Train, repeat one run, or solve the systems at the points of some runs."""
        if configuration["stage"] == "train":
            scheme = configuration["initialization"]
            trained = train_and_sample(cls.objective(configuration), configuration, scheme)
            return {"theta_start": trained["theta_start"]}
        if configuration["stage"] == "rerun":
            training = configuration["train"]
            start = read(training)["theta_start"][configuration["run"]]
            objective = cls.objective({**training, "l2": configuration["l2"]})
            return rerun(objective, start, configuration)
        of = configuration["of"]
        if of["stage"] == "rerun":
            theta = read(of)["rerun_theta"][None]
        else:
            theta = read(of, MnistAutoencoder)["theta_point"]
        point = cls.objective(of["train"]).linearize(theta.reshape(-1, theta.shape[-1]))
        solved = resolve(point.hessian(), point.gradient, configuration["tolerances"])
        return {name: x.reshape(*theta.shape[:2], *x.shape[1:]) for name, x in solved.items()}

    @staticmethod
    def binding(arrays: dict[str, Array]) -> dict[str, Array]:
        """Return starts, where a re-run begins, and the spectra of the systems.

        No solution: those that take hundreds of iterations hang on rounding.
        """
        if "rerun_theta" in arrays:
            return {"start": arrays["rerun_squared_gradient_norm"][:1]}
        names = ("theta_start", "squared_gradient_norm", "largest_eigenvalue", "share_below")
        return {name: arrays[name] for name in names if name in arrays}

    @staticmethod
    def distributions(arrays: dict[str, Array]) -> dict[str, Array]:
        """Return nothing: a task holds a single run."""
        return {}

    def gather(self, records: Sequence[Record]) -> Results:
        """Return the arrays of ``SOLVE_DIMS`` and ``RERUN_DIMS``, and how the re-runs end."""
        stages: list[list[dict[str, Array]]] = [[], [], []]
        for record in records:
            stage = ("train", "rerun", "solve").index(record.configuration["stage"])
            stages[stage].append(record.arrays)
        variants = list(self.variants())
        arrays = {name: np.concatenate([s[name] for s in stages[2]]) for name in SOLVE_DIMS}
        for name in RERUN_DIMS:
            stacked = np.stack([found[name] for found in stages[1]])
            arrays[name] = stacked.reshape(len(variants), -1, *stacked.shape[1:])
        told = self.ends_of(arrays)
        dims = {
            **{name: ("run", "point", *own) for name, own in SOLVE_DIMS.items()},
            **{name: ("variant", "start", *own) for name, own in RERUN_DIMS.items()},
            **dict.fromkeys(told, ("variant", "start")),
        }
        coordinates: dict[str, Sequence[Any]] = {
            "variant": variants,
            "point": POINTS,
            "rtol": self.tolerances,
            "cutoff": self.tolerances,
            "level": LEVELS,
            "choice": CHOICES,
        }
        return Results(arrays | told, dims, coordinates)

    def ends_of(self, arrays: dict[str, Array]) -> dict[str, Array]:
        """Return how far ‖g‖² fell at the end of each re-run, by which steps, and its ``End``."""
        squared = arrays["rerun_squared_gradient_norm"]
        iterations, reason = arrays["rerun_iterations"], arrays["rerun_stop_reason"]
        fall, pace, step = late(squared, arrays["rerun_step_size"], iterations)
        last = np.take_along_axis(squared, iterations[..., None], axis=-1)[..., 0]
        share = arrays["rerun_share"][
            :, :, POINTS.index("last"), self.tolerances.index(self.flat_cutoff)
        ]
        end = self.ends(last, share, fall, pace, reason)
        return {
            "rerun_fall": fall,
            "rerun_pace": pace,
            "rerun_late_step": step,
            "rerun_end": end,
        }

    def claims(self, results: Results, store: Store | None = None) -> dict[str, Measured]:
        """Return nothing: the claims on Fig. 3 are those of ``MnistAutoencoder``."""
        return {}


def rerun(
    objective: NetworkObjective, start: Array, configuration: Configuration
) -> dict[str, Array]:
    """Run Newton-MR from a start (n,) and return the arrays of ``RERUN_DIMS``."""
    limits = configuration["iterations"], configuration["rtol"]
    finder = newton_mr_along_current if "iterate" in configuration else as_published
    found = search(objective, start[None], *limits, finder)
    theta = found["theta_point"][0]
    point = objective.linearize(theta)
    eigenvalues, parts = spectrum(point.hessian(), point.gradient)
    return {
        **{f"rerun_{name}": rounded(found[name][0]) for name in HISTORIES},
        "rerun_iterations": found["iterations"][0],
        "rerun_stop_reason": found["stop_reason"][0],
        "rerun_theta": theta,
        "rerun_value": found["point_value"][0],
        "rerun_index": found["point_index"][0],
        "rerun_largest_eigenvalue": np.max(np.abs(eigenvalues), axis=-1),
        "rerun_share": within(eigenvalues, parts, configuration["cutoffs"]),
    }
