"""Frye et al. 2021, Fig. 1: Newton-MR on a linear and on a nonlinear autoencoder, same data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar

from ...arrays import Array
from ...checks import different
from ...datasets.gaussian import gaussian
from ...ground_truth.linear_autoencoder import critical_points
from ...networks.mlp import MLP
from ...networks.objective import NetworkObjective
from ...runner.experiment import generators, setting, taken_from
from ...runner.results import Measured, Results
from ...runner.store import Record, Store, Task
from .claims import figure_1
from .gradient_flat import GradientFlat
from .remarks import superlinear

NETWORKS = {
    "linear": MLP((16, 4, 16), "linear", bias=False),
    "nonlinear": MLP((16, 16, 4, 16), "swish", bias=False),
}
"""By name (Frye et al. 2021, A.1.2)."""


@dataclass(frozen=True)
class OneNetwork(GradientFlat):
    """Newton-MR on one of the networks."""

    name: ClassVar[str] = "linear_vs_nonlinear"
    schema_version: ClassVar[int] = 2

    network: str = setting("nonlinear", "Frye et al. 2021, A.1.2", choices=tuple(NETWORKS))

    def objective(self) -> NetworkObjective:
        """Return the mean squared error of reconstructing the Gaussian data."""
        X = data(self.seed, self.n_samples)
        return NetworkObjective(NETWORKS[self.network], X, X, loss="mse", l2=self.l2)


@dataclass(frozen=True)
class LinearVsNonlinear(GradientFlat):
    """Newton-MR with accurate directions on both networks; only the nonlinear one is penalised."""

    name: ClassVar[str] = "linear_vs_nonlinear"
    schema_version: ClassVar[int] = 2
    apart: ClassVar[tuple[str, ...]] = ("train.network",)
    quick: ClassVar[dict[str, Any]] = {
        "n_samples": 1000,
        "trajectories": 4,
        "epochs": 500,
        "max_iterations": 150,
        "batch": 2,
    }

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
        different("networks", self.networks)

    def study(self, network: str) -> OneNetwork:
        """Return the study of one network; the linear one has no penalty."""
        l2 = 0.0 if network == "linear" else self.l2
        return taken_from(self, OneNetwork, network=network, l2=l2)

    def stages(self) -> list[list[Task]]:
        """Return the trainings of all networks, then batches of searches."""
        each = [self.study(name).stages() for name in self.networks]
        return [list(chain(*stage)) for stage in zip(*each, strict=True)]

    def gather(self, records: Sequence[Record]) -> Results:
        """Return the arrays with the dimension network first; the linear one's true points.

        Parameters and eigenvalues that a network does not have are NaN.
        """
        count, parts = len(self.networks), []
        searches = (len(records) - count) // count
        for k, name in enumerate(self.networks):
            first = count + k * searches
            own = [records[k], *records[first : first + searches]]
            parts.append(self.study(name).gather(own))
        X = data(self.seed, self.n_samples)
        true = critical_points(X.T @ X / len(X), NETWORKS["linear"].layers[1])
        points = {"true_loss": true.loss, "true_index": true.index}
        dims = dict.fromkeys(points, ("true_point",))
        return Results.stacked(parts, network=self.networks) | Results(points, dims)

    def claims(self, results: Results, store: Store | None = None) -> dict[str, Measured]:
        """Return what the results say on Fig. 1, if both networks are there."""
        if set(self.networks) != set(NETWORKS):
            return {}
        linear, nonlinear = (self.networks.index(name) for name in NETWORKS)
        return figure_1(results, linear, nonlinear) | superlinear(results, linear)


def data(seed: int, n_samples: int) -> Array:
    """Return the Gaussian data (n_samples, 16) that a seed gives."""
    (rng,) = generators(seed, (0,), 1)
    return gaussian(rng, n_samples)
