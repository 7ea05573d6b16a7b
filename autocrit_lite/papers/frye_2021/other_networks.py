"""Frye et al. 2021, §4 and A.1.2: Fig. 1 with ReLU units, and Fig. 3 with other widths."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from ...arrays import Array
from ...checks import different
from ...networks.mlp import MLP
from ...networks.objective import NetworkObjective
from ...runner.experiment import (
    Arrays,
    Experiment,
    MissingResultsError,
    setting,
    setting_of,
    taken_from,
)
from ...runner.results import Measured, Results
from ...runner.store import Record, Store, Task
from ...statistics import bootstrap, mann_whitney, rank_correlation, shown
from .claims import LAST, measured
from .gradient_flat import GradientFlat
from .linear_vs_nonlinear import NETWORKS, LinearVsNonlinear, OneNetwork, data
from .mnist_autoencoder import MnistAutoencoder
from .open_settings import ITERATES, OpenSettings, search

WIDTHS = {"half": (16, 4, 8, 16), "one": (16, 8, 16, 16), "twice": (16, 16, 32, 16)}
"""Fig. 3's network, and with half and twice as many units in its hidden layers."""


@dataclass(frozen=True)
class Relu(OneNetwork):
    """The nonlinear network of Fig. 1 with ReLU units."""

    def objective(self) -> NetworkObjective:
        """Return the mean squared error of reconstructing the Gaussian data."""
        X = data(self.seed, self.n_samples)
        layers = NETWORKS["nonlinear"].layers
        return NetworkObjective(MLP(layers, "relu", bias=False), X, X, loss="mse", l2=self.l2)


@dataclass(frozen=True)
class OtherNetworks(Experiment):
    """Newton-MR with the settings of Figs 1 and 3 on networks that the paper speaks of in words."""

    name: ClassVar[str] = "other_networks"
    apart: ClassVar[tuple[str, ...]] = ("network",)
    quick: ClassVar[dict[str, Any]] = {
        "n_samples": 500,
        "trajectories": 2,
        "runs": 2,
        "max_iterations": 20,
        "batch": 1,
    }

    networks: tuple[str, ...] = setting(
        ("relu", *WIDTHS),
        "Frye et al. 2021, A.1.2 and §4; the widths are chosen by us",
        choices=("relu", *WIDTHS),
    )
    n_samples: int = setting_of(MnistAutoencoder, "n_samples")
    trajectories: int = setting_of(MnistAutoencoder, "trajectories")
    runs: int = setting(
        50, "chosen by us: of each network; with ReLU from as many trajectories", at_least=2
    )
    max_iterations: int = setting_of(MnistAutoencoder, "max_iterations")
    batch: int = setting_of(MnistAutoencoder, "batch")
    seed: int = setting_of(MnistAutoencoder, "seed")

    def check(self) -> None:
        """Raise a ValueError if networks are named twice or runs do not come evenly."""
        different("networks", self.networks)
        if self.runs % self.trajectories:
            raise ValueError(
                f"runs must be a multiple of the {self.trajectories} trajectories, not {self.runs}"
            )

    def study(self, network: str) -> GradientFlat:
        """Return the experiment whose settings and starts a network has."""
        own: dict[str, Any] = {
            name: getattr(self, name) for name in ("n_samples", "max_iterations", "seed")
        }
        if network == "relu":
            figure_1 = LinearVsNonlinear(trajectories=self.runs, **own)
            return taken_from(figure_1, Relu, network="nonlinear")
        starts = self.runs // self.trajectories
        layers = WIDTHS[network]
        return MnistAutoencoder(trajectories=self.trajectories, starts=starts, layers=layers, **own)

    def stages(self) -> list[list[Task]]:
        """Return the trainings, then batches of searches, network by network."""
        trainings, searches = [], []
        for network in self.networks:
            study = self.study(network)
            shared = {"network": network, **study.training}
            train = self.task(study.train_for_starts, stage="train", **shared)
            trainings.append(train)
            for first in range(0, self.runs, self.batch):
                own = (first, min(first + self.batch, self.runs))
                searches.append(
                    self.task(
                        partial(search, study, ITERATES[0], own),
                        train,
                        stage="find",
                        network=network,
                        train=train.configuration,
                        runs=own,
                        rtol=study.rtol,
                        max_iterations=self.max_iterations,
                    )
                )
        return [trainings, searches]

    def gather(self, records: Sequence[Record]) -> Results:
        """Return the arrays with the dimensions network and run."""
        count = len(self.networks)
        arrays = [record.arrays for record in records[count:]]
        each = len(arrays) // count
        parts = [
            Results.joined([Results.of(x, {}, "run") for x in arrays[k * each : (k + 1) * each]])
            for k in range(count)
        ]
        return Results.stacked(parts, network=self.networks)

    def claims(self, results: Results, store: Store | None = None) -> dict[str, Measured]:
        """Return what the results say on ReLU, if there are runs with swish, and on width."""
        said = {}
        if "relu" in self.networks:
            swish = LinearVsNonlinear.from_profile(self.profile, seed=self.seed)
            with suppress(MissingResultsError):
                own = results["end"][self.networks.index("relu")]
                said = relu_beside_swish(own, swish.load(store=store))
        if set(WIDTHS) <= set(self.networks):
            rows = [self.networks.index(name) for name in WIDTHS]
            said |= more_flat_when_wider(results["flat"][rows], self.trajectories)
        return said

    @staticmethod
    def binding(arrays: Arrays) -> Arrays:
        """Return the starts of a training; of a search, the loss where it begins."""
        return OpenSettings.binding(arrays)

    @staticmethod
    def distributions(arrays: Arrays) -> Arrays:
        """Return log₁₀ ‖g‖² at the end of the runs, down to ``CONVERGED``."""
        return OpenSettings.distributions(arrays)


def relu_beside_swish(end: Array, swish: Results) -> dict[str, Measured]:
    """Return the claim on Fig. 1 with ReLU: Newton-MR performs worse.

    Worse is a larger ‖g‖² at the end: in more than half of all pairs of a run with ReLU, whose ends
    are ``end`` (runs,), and one with swish.
    """
    network = swish.coordinates["network"].index("nonlinear")
    other = swish["point_squared_gradient_norm"][network, :, LAST]
    both = np.concatenate([end, other])
    first = np.arange(len(both)) < len(end)

    def pairs(rows: Array) -> float:
        x, y = both[rows[first[rows]]], both[rows[~first[rows]]]
        return mann_whitney(x, y) / (len(x) * len(y)) if len(x) and len(y) else np.nan

    value, interval = bootstrap(pairs, np.arange(len(both)))
    return measured(
        "f21-relu",
        value,
        shown(value, interval, above=0.5),
        interval=interval,
        runs=len(end),
        ours=np.median(end),
        theirs=np.median(other),
    )


def more_flat_when_wider(flat: Array, trajectories: int) -> dict[str, Measured]:
    """Return the claim on width: the share of flat iterates of a run grows with the width.

    Parameters
    ----------
    flat : array (3, runs)
        That share, by width.
    trajectories : int
        Of each network: runs come trajectory by trajectory, and are not independent.
    """
    runs = flat.shape[1]
    width = np.repeat(np.arange(len(flat)), runs).astype(np.float64)
    values = flat.ravel()
    groups = np.repeat(np.arange(len(flat) * trajectories), runs // trajectories)

    def grows(rows: Array) -> float:
        return rank_correlation(width[rows], values[rows])

    value, interval = bootstrap(grows, groups)
    shares = ", ".join(
        f"{share:.3g} with {name}" for name, share in zip(WIDTHS, flat.mean(axis=1), strict=True)
    )
    return measured(
        "f21-width",
        value,
        shown(value, interval, above=0.0),
        interval=interval,
        runs=runs,
        shares=shares,
    )
