"""Frye et al. 2019, Figs 3 and 4: which critical points Newton-MR finds, and from what starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from ...arrays import Array
from ...checks import different
from ...runner.experiment import Arrays, generators, setting
from ...runner.results import Measured, Results
from ...runner.store import Record, Store, Task
from ...training.sampling import add_noise
from .claims import figure_3_and_4
from .linear_autoencoder import DIMS, SCHEMES, AutoencoderExperiment, ends

SIGMAS = (0.0, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)


@dataclass(frozen=True)
class SamplingBias(AutoencoderExperiment):
    """Searches from starts drawn in two ways, with noise of several sizes added."""

    name: ClassVar[str] = "sampling_bias"
    quick: ClassVar[dict[str, Any]] = {
        "trajectories": 2,
        "sigmas": (0.0, 1e-2),
        "max_iterations": 500,
    }

    schemes: tuple[str, ...] = setting(
        tuple(SCHEMES), "Frye et al. 2019, 4.4", choices=tuple(SCHEMES)
    )
    sigmas: tuple[float, ...] = setting(
        SIGMAS, "a range that contains those of Frye et al. 2019, 4.3", at_least=0.0
    )

    def check(self) -> None:
        """Raise a ValueError if a list is empty or names something twice."""
        different("schemes", self.schemes)
        different("sigmas", self.sigmas)

    def stages(self) -> list[list[Task]]:
        """Return the training, then a batch of searches for each scheme and σ."""
        train = self.train_task()
        searches = [
            self.task(
                partial(self.search, scheme, sigma),
                train,
                stage="find",
                train=train.configuration,
                scheme=scheme,
                sigma=sigma,
                **self.limits,
            )
            for scheme in self.schemes
            for sigma in self.sigmas
        ]
        return [[train], searches]

    def search(self, scheme: str, sigma: float, trained: Arrays) -> Arrays:
        """Search from all starts of a kind in one batch."""
        starts, noisy = noisy_starts(self, scheme, sigma, trained)
        return {"theta_start": noisy, **searched(self, starts, noisy)}

    def gather(self, records: Sequence[Record]) -> Results:
        """Return the arrays with the dimensions scheme, sigma, run, eigenvector and point."""
        trained, *searches = records
        found = [Results.of(record.arrays, DIMS, "run") for record in searches]
        true = {name: trained.arrays[name] for name in ("true_loss", "true_index", "eigenvalues")}
        trajectory = np.repeat(np.arange(self.trajectories), self.starts)
        return (
            Results.of(true, DIMS)
            | Results.stacked(found, scheme=self.schemes, sigma=self.sigmas)
            | Results({"trajectory": trajectory}, {"trajectory": ("run",)})
        )

    def claims(self, results: Results, store: Store | None = None) -> dict[str, Measured]:
        """Return what the results say on sections 4.3 and 4.4 of the paper."""
        return figure_3_and_4(results, self.schemes, self.sigmas)

    @staticmethod
    def binding(arrays: Arrays) -> Arrays:
        """Return the starts."""
        return {"theta_start": arrays["theta_start"]}

    @staticmethod
    def distributions(arrays: Arrays) -> Arrays:
        """Return the losses of the points found."""
        return {"loss": arrays["loss"]} if "loss" in arrays else {}


def noisy_starts(
    experiment: AutoencoderExperiment, scheme: str, sigma: float, trained: Arrays
) -> tuple[Array, Array]:
    """Return the starts (runs, n) drawn in a way, and the same with noise of a size.

    The noise of every σ is the same but for its size.
    """
    number = list(SCHEMES).index(scheme)
    starts = trained["theta_start"][number]
    starts = starts.reshape(-1, starts.shape[-1])
    (rng,) = generators(experiment.seed, (2, number), 1)
    return starts, add_noise(starts, sigma, rng)


def searched(experiment: AutoencoderExperiment, starts: Array, noisy: Array) -> Arrays:
    """Run Newton-MR from ``noisy`` (runs, n) and say which critical points it found.

    ``power`` is the mean of θ² before the noise, for the signal-to-noise ratio.
    """
    trace = experiment.newton("newton_mr", noisy)
    return {
        **ends(*experiment.problem(), trace),
        "power": np.mean(starts**2, axis=-1),
        "start_loss": trace.value[:, 0],
    }
