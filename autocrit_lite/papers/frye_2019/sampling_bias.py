"""Frye et al. 2019, Figs 3 and 4: which critical points Newton-MR finds, and from what starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ...arrays import Array
from ...finders import FRYE_2019, newton_mr
from ...runner.experiment import Configuration, Read, generators, setting
from ...runner.results import Measured, Results
from ...runner.store import Record, Store
from ...training.sampling import add_noise
from .claims_bias import figure_3_and_4
from .linear_autoencoder import (
    SCHEMES,
    TRAINED_DIMS,
    AutoencoderExperiment,
    describe,
    problem,
    train_and_sample,
)

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
        for name in ("schemes", "sigmas"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{name} must be one or more different values, not {values}")

    def stages(self) -> list[list[dict[str, Any]]]:
        """Return the training, then a batch of searches for each scheme and σ."""
        train = {"stage": "train", **self.training}
        options = {"max_iterations": self.max_iterations, "rtol": self.rtol}
        searches = [
            {"stage": "find", "train": train, "scheme": s, "sigma": sigma, **options}
            for s in self.schemes
            for sigma in self.sigmas
        ]
        return [[train], searches]

    @staticmethod
    def compute(configuration: Configuration, read: Read) -> dict[str, Array]:
        """Train, or search from all starts of a kind in one batch."""
        if configuration["stage"] == "train":
            return train_and_sample(configuration)
        training = configuration["train"]
        scheme = list(SCHEMES).index(configuration["scheme"])
        starts = read(training)["theta_start"][scheme]
        starts = starts.reshape(-1, starts.shape[-1])
        # the same noise, scaled, for every σ: what differs between them is its size alone
        (rng,) = generators(training["seed"], (2, scheme), 1)
        return search(configuration, starts, add_noise(starts, configuration["sigma"], rng))

    def gather(self, records: Sequence[Record]) -> Results:
        """Return the arrays with the dimensions scheme, sigma, run, eigenvector and point."""
        trained, searches = records[0].arrays, [r.arrays for r in records[1:]]
        arrays = {name: trained[name] for name in ("true_loss", "true_index", "eigenvalues")}
        dims = {name: TRAINED_DIMS[name] for name in arrays}
        outer = (len(self.schemes), len(self.sigmas), self.trajectories * self.starts)
        for name, tail in FOUND_DIMS.items():
            parts = np.stack([a[name] for a in searches])
            arrays[name] = parts.reshape(*outer, *parts.shape[2:])
            dims[name] = ("scheme", "sigma", "run", *tail)
        arrays["trajectory"] = np.repeat(np.arange(self.trajectories), self.starts)
        dims["trajectory"] = ("run",)
        return Results(arrays, dims, {"scheme": self.schemes, "sigma": self.sigmas})

    def claims(self, results: Results, store: Store | None = None) -> dict[str, Measured]:
        """Return what the results say on sections 4.3 and 4.4 of the paper."""
        return figure_3_and_4(results, self.schemes, self.sigmas)

    @staticmethod
    def binding(arrays: dict[str, Array]) -> dict[str, Array]:
        """Return the starts."""
        return {"theta_start": arrays["theta_start"]}

    @staticmethod
    def distributions(arrays: dict[str, Array]) -> dict[str, Array]:
        """Return the losses of the points found."""
        return {"loss": arrays["loss"]} if "loss" in arrays else {}


FOUND_DIMS: dict[str, tuple[str, ...]] = {
    "iterations": (),
    "end": (),
    "loss": (),
    "index": (),
    "row": (),
    "distance": (),
    "kept": ("eigenvector",),
    "kept_by_diagonal": ("eigenvector",),
    "power": (),
    "start_loss": (),
}


def search(configuration: Configuration, starts: Array, noisy: Array) -> dict[str, Array]:
    """Run Newton-MR from ``noisy`` (runs, n) and say which critical points it found.

    ``power`` is the mean of θ² before the noise, for the signal-to-noise ratio.
    """
    objective, points = problem(configuration["train"])
    trace = newton_mr(
        objective,
        noisy,
        configuration["max_iterations"],
        configuration["rtol"],
        maxit=configuration.get("maxit"),
        **FRYE_2019,
    )
    found = points.identify(trace.theta)
    loss, index, _ = describe(objective, points, trace.theta)
    return {
        "theta_start": noisy,
        "iterations": np.asarray(trace.iterations),
        "end": trace.squared_gradient_norm[np.arange(len(noisy)), trace.iterations],
        "loss": loss,
        "index": index,
        "row": found.row,
        "distance": found.distance,
        "kept": found.kept,
        "kept_by_diagonal": points.kept_by_diagonal(trace.theta),
        "power": np.mean(starts**2, axis=-1),
        "start_loss": trace.value[:, 0],
    }
