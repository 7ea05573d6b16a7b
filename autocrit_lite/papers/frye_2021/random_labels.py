"""Frye et al. 2021, Fig. 5: Newton-MR on a classifier that memorises shuffled labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ...arrays import Array
from ...datasets.digits import principal_components, zeros_and_ones
from ...datasets.own import load_data_file
from ...runner.experiment import Arrays, generators, setting
from ...runner.results import Measured, Results
from ...runner.store import Store
from .claims import figure_5
from .mnist_classifier import accuracy
from .own_network import OwnNetwork
from .remarks import figure_5_in_words


@dataclass(frozen=True)
class RandomLabels(OwnNetwork):
    """Newton-MR on the 32-32-4-2 classifier with swish units, no biases and an ℓ2 penalty.

    A ``data_file`` holds X (N, features) and labels y (N,). Of both the samples are chosen at
    random and projected on as many principal components as the network has inputs.
    """

    name: ClassVar[str] = "random_labels"
    schema_version: ClassVar[int] = 2
    quick: ClassVar[dict[str, Any]] = {
        "trajectories": 2,
        "starts": 3,
        "max_iterations": 60,
        "batch": 1,
    }
    loss: ClassVar[str] = "cross_entropy"
    bias: ClassVar[bool] = False

    layers: tuple[int, ...] = setting((32, 32, 4, 2), "Frye et al. 2021, A.1.2", at_least=1)
    n_samples: int = setting(50, "Frye et al. 2021, A.1.1", at_least=33)
    starts: int = setting(5, "50 runs in all: Frye et al. 2021, A.6", at_least=1)
    epochs: int = setting(
        200, "chosen by us (not stated): all or nearly all labels are learnt, as in A.1", at_least=1
    )
    l2: float = setting(
        1e-3,
        "chosen by us (not stated): adds 2λ/n = 2e-6 to all eigenvalues, below the index's 1e-5",
        at_least=0.0,
    )
    rtol: float = setting(
        5e-4, "Frye et al. 2021, A.2, for Figs 3 and 4 (not stated for Fig. 5)", at_least=0.0
    )

    def samples(self) -> tuple[Array, Array]:
        """Return images (N, inputs) and shuffled labels (N,)."""
        (rng,) = generators(self.seed, (0,), 1)
        n_samples, n_inputs = self.n_samples, self.layers[0]
        if not self.data_file:
            return zeros_and_ones(rng, n_samples, n_inputs)[:2]
        X, labels = load_data_file(self.data_file, self.sha256, labelled=True)
        if n_samples > len(X):
            raise ValueError(f"n_samples must be at most the {len(X)} of data_file")
        if n_inputs > X.shape[1]:
            raise ValueError(f"layers must begin with at most the {X.shape[1]} of data_file's X")
        chosen = rng.choice(len(X), n_samples, replace=False)
        return principal_components(X[chosen], n_inputs), rng.permutation(labels[chosen])

    def about_training(self, theta: Array) -> Arrays:
        """Return how many of how many labels the networks have learnt."""
        X, labels = self.samples()
        right = np.rint(accuracy(self.network, theta, X, labels) * len(labels))
        return {"correct": right.astype(np.int64), "n_labels": np.array(len(labels))}

    def check(self) -> None:
        """Raise a ValueError if the network does not fit the data."""
        if self.layers and self.layers[0] >= self.n_samples:
            raise ValueError(
                f"layers must begin with less than the n_samples = {self.n_samples}, as there are "
                f"no more principal components, not {list(self.layers)}"
            )
        super().check()

    def claims(self, results: Results, store: Store | None = None) -> dict[str, Measured]:
        """Return what the results say on A.1 and A.6, if network and data are the paper's."""
        return figure_5(results) | figure_5_in_words(results) if self.is_the_papers else {}
