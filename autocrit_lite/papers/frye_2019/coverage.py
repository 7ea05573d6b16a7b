"""How many of the true critical points are ever found: many more runs than in Frye et al. 2019."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from ...arrays import Array
from ...checks import different
from ...runner.experiment import Arrays, generators, setting
from ...runner.results import Results
from ...runner.store import Record, Task
from .linear_autoencoder import DIMS, SCHEMES, AutoencoderExperiment
from .sampling_bias import searched

KEPT = ("row", "loss", "index", "end", "iterations")


@dataclass(frozen=True)
class Coverage(AutoencoderExperiment):
    """Newton-MR from many trajectories, for both ways of sampling and several sizes of noise."""

    name: ClassVar[str] = "coverage"
    quick: ClassVar[dict[str, Any]] = {
        "groups": 2,
        "trajectories": 5,
        "starts": 2,
        "sigmas": (0.0, 1.0),
        "max_iterations": 500,
    }

    groups: int = setting(
        25,
        "chosen by us: of 10 trajectories, 10 starts from each, of 8 kinds: 20,000 runs",
        at_least=1,
    )
    starts: int = setting(10, "chosen by us: from each trajectory", at_least=1)
    max_iterations: int = setting(
        1000, "chosen by us, so that few Newton runs are cut short", at_least=1
    )
    maxit: int = setting(
        64, "chosen by us: solved further, more runs stall and each takes longer", at_least=1
    )
    sigmas: tuple[float, ...] = setting(
        (0.0, 0.01, 0.1, 1.0), "Frye et al. 2019, 4.3, and a larger one", at_least=0.0
    )

    def check(self) -> None:
        """Raise a ValueError if there is no σ or one twice."""
        different("sigmas", self.sigmas)

    def stages(self) -> list[list[Task]]:
        """Return a task for each group of trajectories."""
        return [
            [
                self.task(
                    partial(self.search, group),
                    train=self.training,
                    sigmas=self.sigmas,
                    **self.limits,
                    group=group,
                )
                for group in range(self.groups)
            ]
        ]

    def search(self, group: int) -> Arrays:
        """Train the trajectories of a group and search from all kinds of starts."""
        all_starts = self.train_and_sample(key=(3, group))["theta_start"]
        sigmas = np.array(self.sigmas)
        found = []
        for scheme, starts in enumerate(all_starts):
            starts = starts.reshape(-1, starts.shape[-1])
            (rng,) = generators(self.seed, (4, group, scheme), 1)
            noisy = starts + sigmas[:, None, None] * rng.standard_normal(starts.shape)
            # all σ in one batch, for speed
            tiled, every = np.tile(starts, (len(sigmas), 1)), np.concatenate(noisy)
            cells = searched(self, tiled, every)
            found.append({name: cells[name].reshape(noisy.shape[:-1]) for name in KEPT})
        return {name: np.stack([cells[name] for cells in found]) for name in KEPT}

    def gather(self, records: Sequence[Record]) -> Results:
        """Return the arrays with the dimensions scheme, sigma, run; and the true points'."""
        arrays = {name: np.concatenate([r.arrays[name] for r in records], axis=-1) for name in KEPT}
        _, points = self.problem()
        true = Results.of({"true_loss": points.loss, "true_index": points.index}, DIMS)
        labels = {"scheme": tuple(SCHEMES), "sigma": self.sigmas}
        return Results(arrays, dict.fromkeys(KEPT, ("scheme", "sigma", "run")), labels) | true

    @staticmethod
    def binding(arrays: Arrays) -> Arrays:
        """Return nothing: where a run from a distant start ends may hang on rounding."""
        return {}

    @staticmethod
    def distributions(arrays: Arrays) -> Arrays:
        """Return the losses of the points found."""
        return {"loss": arrays["loss"].ravel()}


def chao1(rows: Array) -> tuple[int, float]:
    """Return how many different points were found, and Chao's estimate of how many can be.

    With f₁ points found once and f₂ found twice: S + f₁(f₁ − 1) / (2(f₂ + 1)), the bias-corrected
    form, which is a lower bound in expectation (Chao 1984, Scandinavian Journal of Statistics 11).

    Parameters
    ----------
    rows : integer array
        The number of the point that each run found.

    Examples
    --------
    >>> chao1(np.array([4, 4, 7, 9]))
    (3, 3.5)
    """
    counts = np.unique(rows, return_counts=True)[1]
    once, twice = int(np.sum(counts == 1)), int(np.sum(counts == 2))
    return len(counts), len(counts) + once * (once - 1) / (2 * (twice + 1))
