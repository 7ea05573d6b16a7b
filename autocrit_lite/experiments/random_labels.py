"""Frye et al. 2021, Fig. 5: Newton-MR on a classifier that memorises shuffled labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..checks import Array
from ..datasets import zeros_and_ones
from ..networks import MLP
from ..objectives import NetworkObjective
from .base import Configuration, setting
from .claims_2021 import figure_5
from .gradient_flat import GradientFlat
from .linear_autoencoder import generators
from .mnist_classifier import accuracy
from .results import Measured, Results

NETWORK = MLP((32, 32, 4, 2), bias=False)


@dataclass(frozen=True)
class RandomLabels(GradientFlat):
    """Newton-MR on the 32-32-4-2 classifier with swish units, no biases and an ℓ2 penalty."""

    name: ClassVar[str] = "random_labels"
    quick: ClassVar[dict[str, Any]] = {
        "trajectories": 2,
        "starts": 3,
        "max_iterations": 60,
        "batch": 1,
    }
    described_dims: ClassVar[dict[str, tuple[str, ...]]] = {
        "correct": ("trajectory",),
        "n_labels": (),
    }

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

    @staticmethod
    def objective(training: Configuration) -> NetworkObjective:
        """Return the penalised cross-entropy of the shuffled labels."""
        X, labels = memorised(training)
        return NetworkObjective(NETWORK, X, labels, loss="cross_entropy", l2=training["l2"])

    @staticmethod
    def describe_training(training: Configuration, theta: Array) -> dict[str, Array]:
        """Return how many of how many labels the networks have learnt."""
        X, labels = memorised(training)
        right = np.rint(accuracy(NETWORK, theta, X, labels) * len(labels))
        return {"correct": right.astype(np.int64), "n_labels": np.array(len(labels))}

    def claims(self, results: Results) -> dict[str, Measured]:
        """Return what the results say on A.1 and A.6."""
        return figure_5(results)


def memorised(training: Configuration) -> tuple[Array, Array]:
    """Return images (N, 32) and shuffled labels (N,) that a training's seed gives."""
    (rng,) = generators(training["seed"], (0,), 1)
    X, labels, _ = zeros_and_ones(rng, training["n_samples"], NETWORK.layers[0])
    return X, labels
