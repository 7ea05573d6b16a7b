"""Frye et al. 2021, Fig. 1: Newton-MR on a linear and on a nonlinear autoencoder, same data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ...arrays import Array
from ...datasets.gaussian import gaussian
from ...ground_truth.linear_autoencoder import critical_points
from ...networks.mlp import MLP
from ...networks.objective import NetworkObjective
from ...runner.experiment import Configuration, generators, setting
from ...runner.results import Measured, Results
from ...runner.store import Record, Store
from .claims import figure_1
from .gradient_flat import GradientFlat

NETWORKS = {
    "linear": MLP((16, 4, 16), "linear", bias=False),
    "nonlinear": MLP((16, 16, 4, 16), "swish", bias=False),
}
"""By name (Frye et al. 2021, A.1.2)."""


@dataclass(frozen=True)
class LinearVsNonlinear(GradientFlat):
    """Newton-MR with accurate directions on both networks; only the nonlinear one is penalised."""

    name: ClassVar[str] = "linear_vs_nonlinear"
    quick: ClassVar[dict[str, Any]] = {
        "n_samples": 1000,
        "trajectories": 4,
        "epochs": 500,
        "max_iterations": 150,
        "batch": 2,
    }
    search_settings: ClassVar[tuple[str, ...]] = (*GradientFlat.search_settings, "networks")

    networks: tuple[str, ...] = setting(
        tuple(NETWORKS), "Frye et al. 2021, A.1.2", choices=tuple(NETWORKS)
    )
    trajectories: int = setting(50, "chosen by us: 50 runs (not stated for Fig. 1)", at_least=1)
    starts: int = setting(
        1, "chosen by us: few epochs span most of the height, and more would coincide", at_least=1
    )
    epochs: int = setting(
        2000,
        "chosen by us (not stated): the linear network ends within 1e-9 of its minimum",
        at_least=1,
    )
    momentum: float = setting(0.0, "Frye et al. 2021, A.2, for Fig. 1", at_least=0.0, below=1.0)
    l2: float = setting(
        1e-3,
        "chosen by us (not stated): adds 2λ/n = 5e-6 to all eigenvalues, below the index's 1e-5",
        at_least=0.0,
    )
    max_iterations: int = setting(
        500, "Frye et al. 2021, section 3 (not stated for Fig. 1)", at_least=1
    )
    rtol: float = setting(1e-10, "Frye et al. 2021, A.2, for Fig. 1", at_least=0.0)

    def check(self) -> None:
        """Raise a ValueError if there is no network or one twice."""
        if not self.networks or len(set(self.networks)) < len(self.networks):
            raise ValueError(f"networks must be one or more different names, not {self.networks}")

    def trainings(self) -> list[dict[str, Any]]:
        """Return the configuration of each network's training; the linear one has no penalty."""
        (shared,) = super().trainings()
        return [
            {**shared, "network": network, "l2": 0.0 if network == "linear" else self.l2}
            for network in self.networks
        ]

    @classmethod
    def objective(cls, training: Configuration) -> NetworkObjective:
        """Return the mean squared error of reconstructing the Gaussian data."""
        X = data(training["seed"], training["n_samples"])
        return NetworkObjective(NETWORKS[training["network"]], X, X, loss="mse", l2=training["l2"])

    def gather(self, records: Sequence[Record]) -> Results:
        """Return the arrays with the dimension network first; the linear one's true points.

        Parameters and eigenvalues that a network does not have are NaN.
        """
        count = len(self.networks)
        parts = []
        for trained in records[:count]:
            own = [r for r in records[count:] if r.configuration["train"] == trained.configuration]
            parts.append(super().gather([trained, *own]))
        arrays = {name: _stacked([part[name] for part in parts]) for name in parts[0].arrays}
        dims = {name: ("network", *parts[0].dims[name]) for name in arrays}
        X = data(self.seed, self.n_samples)
        true = critical_points(X.T @ X / len(X), NETWORKS["linear"].layers[1])
        arrays |= {"true_loss": true.loss, "true_index": true.index}
        dims |= {"true_loss": ("true_point",), "true_index": ("true_point",)}
        return Results(arrays, dims, {**self.coordinates, "network": self.networks})

    def claims(self, results: Results, store: Store | None = None) -> dict[str, Measured]:
        """Return what the results say on Fig. 1, if both networks are there."""
        if set(self.networks) != set(NETWORKS):
            return {}
        linear, nonlinear = (self.networks.index(name) for name in NETWORKS)
        return figure_1(results, linear, nonlinear)


def data(seed: int, n_samples: int) -> Array:
    """Return the Gaussian data (n_samples, 16) that a seed gives."""
    (rng,) = generators(seed, (0,), 1)
    return gaussian(rng, n_samples)


def _stacked(parts: list[Array]) -> Array:
    """Return arrays on a new first axis, each filled up with NaN to the size of the largest."""
    shape = np.max([part.shape for part in parts], axis=0)
    if all(part.shape == tuple(shape) for part in parts):
        return np.stack(parts)
    grown = np.full((len(parts), *shape), np.nan)
    for whole, part in zip(grown, parts, strict=True):
        whole[tuple(slice(length) for length in part.shape)] = part
    return grown
