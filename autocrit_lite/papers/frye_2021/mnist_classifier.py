"""Frye et al. 2021, Fig. 4: Newton-MR on a classifier of MNIST images of 4 × 4 pixels."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...arrays import Array
from ...finders import newton_mr
from ...networks.mlp import MLP
from ...networks.objective import NetworkObjective
from ...runner.experiment import Arrays, MissingResultsError, setting
from ...runner.results import Measured, Results
from ...runner.store import Store
from .claims import figure_4
from .mnist_autoencoder import MnistAutoencoder
from .own_network import OnDigits
from .remarks import figure_4_in_words


@dataclass(frozen=True)
class MnistClassifier(OnDigits):
    """Newton-MR on the 16-12-8-10 classifier with swish units, biases and an ℓ2 penalty.

    A ``data_file`` holds X (N, inputs) and labels y (N,).
    """

    name: ClassVar[str] = "mnist_classifier"
    schema_version: ClassVar[int] = 2
    loss: ClassVar[str] = "cross_entropy"

    layers: tuple[int, ...] = setting((16, 12, 8, 10), "Frye et al. 2021, A.1.2", at_least=1)
    starts: int = setting(10, "chosen by us: as many runs as in Fig. 3 (not stated)", at_least=1)
    epochs: int = setting(
        1000,
        "chosen by us (not stated): most networks get above the 90 % of A.1.1",
        at_least=1,
    )
    l2: float = setting(
        1e-3,
        "chosen by us (not stated): adds 2λ/n = 5e-6 to all eigenvalues, below the index's 1e-5",
        at_least=0.0,
    )

    def samples(self) -> tuple[Array, Array]:
        """Return the images and what they show."""
        return self.images(labelled=True)

    def about_training(self, theta: Array) -> Arrays:
        """Return the shares of images that the networks and logistic regression get right."""
        X, labels = self.samples()
        return {
            "accuracy": accuracy(self.network, theta, X, labels),
            "logistic_accuracy": logistic_accuracy(X, labels),
            "n_labels": np.array(len(labels)),
        }

    def claims(self, results: Results, store: Store | None = None) -> dict[str, Measured]:
        """Return what the results say on A.1 and A.5, if network and data are the paper's."""
        if not self.is_the_papers:
            return {}
        autoencoder = None
        with suppress(MissingResultsError):
            autoencoder = MnistAutoencoder.from_profile(self.profile).load(store=store)
        return figure_4(results, autoencoder) | figure_4_in_words(results)


def accuracy(net: MLP, theta: Array, X: Array, labels: Array) -> Array:
    """Return the share of samples X (N, inputs) that networks theta (T, n) classify as labelled."""
    return np.array([np.mean(net.forward(row, X).argmax(axis=1) == labels) for row in theta])


def logistic_accuracy(X: Array, labels: Array) -> Array:
    """Return the share that multinomial logistic regression classifies as labelled, shape ().

    It is the network without hidden layers at its minimum, whose loss is convex.
    """
    net = MLP((X.shape[1], int(labels.max()) + 1))
    objective = NetworkObjective(net, X, labels, loss="cross_entropy")
    start = np.zeros((1, net.n_parameters))
    trace = newton_mr(objective, start, 100, 1e-6, squared_gradient_tolerance=1e-12)
    return accuracy(net, trace.theta, X, labels)[0]
