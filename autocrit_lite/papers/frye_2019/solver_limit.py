"""What the solver's iteration limit, which Frye et al. 2019 do not state, does to their results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd

from ...checks import different
from ...runner.experiment import Arrays, setting, setting_of, taken_from
from ...runner.results import Measured, Results
from ...runner.store import Record, Task
from .claims import figure_1_and_2, figure_3_and_4
from .linear_autoencoder import (
    CUTOFFS,
    DIMS,
    METHODS,
    SCHEMES,
    AutoencoderExperiment,
    LinearAutoencoder,
)
from .sampling_bias import noisy_starts

KEPT = (
    "iterations",
    "end",
    "loss",
    "index",
    "row",
    "kept",
    "kept_by_diagonal",
    "cutoff_iteration",
    "cutoff_loss",
    "cutoff_index",
)

GNM = "gradient_norm_minimization"
"""Solves no system, so that it runs once for all limits."""


class Search(NamedTuple):
    """Runs of one method from starts of one kind."""

    method: str
    scheme: str
    sigma: float

    @property
    def label(self) -> str:
        """The search in words, for tables."""
        return f"{self.method}, {self.scheme}, {self.sigma:g}"


@dataclass(frozen=True)
class SolverLimit(AutoencoderExperiment):
    """The searches of Figs 1 to 4 with the solver cut short after other numbers of iterations."""

    name: ClassVar[str] = "solver_limit"
    quick: ClassVar[dict[str, Any]] = {
        "trajectories": 2,
        "limits_compared": (10, 128),
        "methods": ("newton_mr",),
        "max_iterations": 500,
    }
    apart: ClassVar[tuple[str, ...]] = ("method",)

    limits_compared: tuple[int, ...] = setting(
        (10, 16, 20, 25, 32, 36, 50, 128),
        "chosen by us: around the default of the authors' public code, 25, and up to n",
        at_least=1,
    )
    methods: tuple[str, ...] = setting_of(LinearAutoencoder, "methods")
    sigmas: tuple[float, ...] = setting(
        (0.0, 0.01), "Frye et al. 2019, 4.3 and 4.4: those whose entropies they print", at_least=0.0
    )
    gnm_iterations: int = setting_of(LinearAutoencoder, "gnm_iterations")

    def check(self) -> None:
        """Raise a ValueError if a list is empty or names something twice."""
        for name in ("limits_compared", "methods", "sigmas"):
            different(name, getattr(self, name))

    def study(self, maxit: int) -> LinearAutoencoder:
        """Return the experiment of Figs 1 and 2 with another limit."""
        return taken_from(self, LinearAutoencoder, maxit=maxit, batch=1)

    def searches(self) -> list[Search]:
        """Return the searches that are made, in the order of the results."""
        of_newton_mr = [Search("newton_mr", s, x) for s in SCHEMES for x in self.sigmas]
        others = [Search(m, "height", 0.0) for m in METHODS if m != "newton_mr"]
        return [search for search in of_newton_mr + others if search.method in self.methods]

    def stages(self) -> list[list[Task]]:
        """Return the training, then the searches for each limit, and once those without one."""
        train = self.train_task()
        solving = [search for search in self.searches() if search.method != GNM]
        found = [
            self._task(train, search, maxit, self.study(maxit).limits)
            for maxit in self.limits_compared
            for search in solving
        ]
        if GNM in self.methods:
            options = {"max_iterations": self.gnm_iterations}
            found.append(self._task(train, self.searches()[-1], self.maxit, options))
        return [[train], found]

    def _task(self, train: Task, search: Search, maxit: int, options: dict[str, Any]) -> Task:
        return self.task(
            partial(self.search, search, maxit),
            train,
            stage="find",
            train=train.configuration,
            **search._asdict(),
            **options,
        )

    def search(self, search: Search, maxit: int, trained: Arrays) -> Arrays:
        """Search from all starts of a kind in one batch."""
        starts, noisy = noisy_starts(self, search.scheme, search.sigma, trained)
        found = self.study(maxit).found(search.method, noisy)
        power = np.mean(starts**2, axis=-1)
        return {**{name: found[name] for name in KEPT}, "power": power}

    def gather(self, records: Sequence[Record]) -> Results:
        """Return the arrays with the dimensions maxit, search, run, cutoff, eigenvector, point."""
        trained, *found = records
        last = found[-1:] if GNM in self.methods else []
        each = len(self.searches()) - len(last)
        parts = []
        for k in range(len(self.limits_compared)):
            for record in found[k * each : (k + 1) * each] + last:
                seconds = np.array(record.header["seconds"])
                parts.append(
                    Results.of(record.arrays, DIMS, "run") | Results.of({"seconds": seconds}, {})
                )
        trajectory = np.repeat(np.arange(self.trajectories), self.starts)
        return (
            Results.of(trained.arrays, DIMS)
            | Results.stacked(
                parts, maxit=self.limits_compared, search=[s.label for s in self.searches()]
            )
            | Results({"trajectory": trajectory}, {"trajectory": ("run",)}, {"cutoff": CUTOFFS})
        )

    def claims_by_limit(self, results: Results) -> dict[int, dict[str, Measured]]:
        """Return what the results with each limit say on the paper's claims."""
        kinds = self.searches()
        noisy = [k for k, kind in enumerate(kinds) if kind.method == "newton_mr"]
        plain = [kinds.index(Search(method, "height", 0.0)) for method in self.methods]
        found = {}
        for m, maxit in enumerate(self.limits_compared):
            chosen = partial(_chosen, results, m)
            found[maxit] = figure_1_and_2(chosen(plain, method=self.methods), self.methods)
            if noisy:
                schemes = tuple(SCHEMES)
                of_noisy = chosen(noisy, scheme=schemes, sigma=self.sigmas)
                found[maxit] |= figure_3_and_4(of_noisy, schemes, self.sigmas)
        return found

    @staticmethod
    def rows(found: Mapping[int, Mapping[str, Measured]]) -> pd.DataFrame:
        """Return the first number of each claim that is not the same for all limits.

        Parameters
        ----------
        found : dict
            Of ``claims_by_limit``: the limits are the columns, the ids of the claims the index.
        """
        table = pd.DataFrame(
            {
                limit: {
                    name: m.value[0] if isinstance(m.value, list) else m.value
                    for name, m in measured.items()
                }
                for limit, measured in found.items()
            }
        )
        return table[table.nunique(axis=1, dropna=False) > 1]

    @staticmethod
    def binding(arrays: Arrays) -> Arrays:
        """Return the starts or their size, and of a search loss and index there."""
        bound = {}
        for name, array in arrays.items():
            if name in ("theta_start", "power"):
                bound[name] = array
            elif name in ("cutoff_loss", "cutoff_index"):
                bound[name] = array[:, CUTOFFS.index(np.inf)]
        return bound

    @staticmethod
    def distributions(arrays: Arrays) -> Arrays:
        """Return the iterations to the cut-off, and log₁₀ ‖g‖² at the end, as of Figs 1 and 2."""
        return LinearAutoencoder.distributions(arrays)


def _chosen(results: Results, limit: int, searches: Sequence[int], **labels: Any) -> Results:
    """Return the results of one limit, the searches on named dimensions in place of their one."""
    sizes = [len(own) for own in labels.values()]
    arrays, dims = {}, {}
    for name, array in results.arrays.items():
        arrays[name], dims[name] = array, results.dims[name]
        if dims[name][0] == "maxit":
            own = array[limit][list(searches)]
            arrays[name] = own.reshape(*sizes, *own.shape[1:])
            dims[name] = (*labels, *dims[name][2:])
    return Results(arrays, dims, labels)
