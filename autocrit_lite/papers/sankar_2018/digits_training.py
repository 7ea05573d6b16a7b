"""Sankar & Balasubramanian 2018: their data, and training until the error no longer changes."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ...arrays import Array
from ...datasets.digits import crop, resize
from ...datasets.mnist import N_SHIPPED, Digits, full_digits, shipped_digits
from ...datasets.own import checked_samples, npz_arrays
from ...finders import saddle_free_newton
from ...networks.initialization import initial_theta
from ...networks.mlp import MLP
from ...networks.objective import NetworkObjective
from ...runner.experiment import Configuration
from ...training.optimizers import Adagrad, Adam, Nesterov, NoisySGD, Rule

N_CLASSES = 10
N_FIRST = 5
"""Losses of the first mini-batches that are stored, to be compared when a task is repeated."""

DATA = {
    "train": "the training images",
    "all": "training and test images together; accuracy on the test images among them",
    "split": "training and test images put together and divided anew at random",
    "centred split": "the same, after the mean image of all of them is subtracted",
    "cropped": "the centre of the images, without the pixels that are never inked",
    "jittered": "the training images with Gaussian noise on every pixel",
    "features": "features that the user supplies",
}
"""The data sets by name."""

RULES: dict[str, Callable[..., Rule]] = {
    "momentum": Nesterov,
    "Adam": Adam,
    "Adagrad": Adagrad,
    "noisy SGD": NoisySGD,
}
"""The first-order methods by name."""

FEATURE_ARRAYS = ("X_train", "y_train", "X_test", "y_test")


class Split(NamedTuple):
    """Training and test data: X (N, inputs) of float64 and labels (N,)."""

    X: Array
    labels: Array
    X_test: Array
    test_labels: Array


@lru_cache(maxsize=1)
def pool(n_train: int, n_test: int) -> Digits:
    """Return training images followed by test images: the shipped ones if they are enough."""
    if n_train + n_test <= N_SHIPPED:
        images, labels = shipped_digits()
        return Digits(images[: n_train + n_test], labels[: n_train + n_test])
    train, test = full_digits("train"), full_digits("test")
    if n_train > len(train.images) or n_test > len(test.images):
        raise ValueError(
            f"n_train and n_test must be at most {len(train.images)} and {len(test.images)}, "
            f"or together at most {N_SHIPPED}, not {n_train} and {n_test}"
        )
    return Digits(
        *(np.concatenate([a[:n_train], b[:n_test]]) for a, b in zip(train, test, strict=True))
    )


def load(data: Configuration) -> Split:
    """Return the data set of a configuration, pixels scaled to [0, 1]."""
    if data["name"] == "features":
        return load_features(data["path"], data["sha256"])
    n_train = data["n_train"]
    images, labels = pool(n_train, data["n_test"])
    size = data["size"]
    if data["name"] == "cropped":
        size = round(size * data["crop"] / images.shape[1])
        images = crop(images, data["crop"])
    if size != images.shape[1]:
        images = resize(images, size)
    X = images.reshape(len(images), -1) / 255.0
    if data["name"] == "all":
        return Split(X, labels, X[n_train:], labels[n_train:])
    if data["name"] in ("split", "centred split"):
        if data["name"] == "centred split":
            X -= X.mean(axis=0)
        order = generator(data, 0).permutation(len(X))
        X, labels = X[order], labels[order]
    if data["name"] == "jittered":
        X += data["jitter"] * generator(data, 0).standard_normal(X.shape)
    return Split(X[:n_train], labels[:n_train], X[n_train:], labels[n_train:])


def generator(configuration: Configuration, stream: int) -> np.random.Generator:
    """Return a generator of a trial; other streams give other numbers."""
    key = (configuration["trial"], stream)
    return np.random.default_rng(np.random.SeedSequence(configuration["seed"], spawn_key=key))


def load_features(path: str, sha256: str | None = None) -> Split:
    """Return the features in a user's ``.npz`` file, as they are.

    It holds X_train (N, inputs) and X_test (M, inputs) of float32 or float64 and their labels
    y_train (N,) and y_test (M,), integers from 0 to 9.

    Parameters
    ----------
    path : str
    sha256 : str, optional
        What ``checksum`` said of the file before.

    Raises
    ------
    ValueError
        If it does not hold these arrays, or is another file than it was: the message says what.
    """
    arrays = npz_arrays("features", path, FEATURE_ARRAYS, sha256)
    parts = [
        checked_samples(path, f"_{part}", arrays[f"X_{part}"], arrays[f"y_{part}"], N_CLASSES)
        for part in ("train", "test")
    ]
    if parts[0][0].shape[1] != parts[1][0].shape[1]:
        raise ValueError(f"X_train and X_test in {path} must have as many columns as each other")
    return Split(*parts[0], *parts[1])


def network(training: Configuration, n_inputs: int) -> tuple[MLP, str]:
    """Return the network of a training and the name of its loss."""
    if training["method"] == "saddle-free Newton":
        return MLP((n_inputs, *training["hidden"], n_inputs), training["activation"]), "mse"
    return MLP((n_inputs, *training["hidden"], N_CLASSES), training["activation"]), "cross_entropy"


def problem(training: Configuration) -> tuple[MLP, str, Split, Array]:
    """Return network, name of the loss, data, and targets: labels, or the inputs themselves."""
    data = load(training["data"])
    net, loss = network(training, data.X.shape[1])
    return net, loss, data, data.X if loss == "mse" else data.labels


def train_network(training: Configuration) -> dict[str, Array]:
    """Train a network until its loss changes by less than ``stop`` from one epoch to the next.

    Section 3 of the paper; the loss is that of the whole training set. For saddle-free Newton an
    epoch is an iteration (section 5).

    Returns
    -------
    dict
        ``theta`` (n,) where training ended, ``loss`` and ``error`` (epochs + 1,), the share of
        training samples that are misclassified, ``accuracy`` on the test data (NaN for an
        autoencoder), ``stopped``: whether by the rule, and the first losses.
    """
    net, loss, data, targets = problem(training)
    objective = NetworkObjective(net, data.X, targets, loss=loss)
    theta = initial_theta(net, training["initialization"], generator(training, 1))
    epochs: GradientEpochs | NewtonEpochs
    if training["method"] == "saddle-free Newton":
        epochs = NewtonEpochs(objective, training)
    else:
        epochs = GradientEpochs(objective, theta, training)

    def error() -> float:
        return np.nan if loss == "mse" else misclassified(net, theta, data.X, data.labels)

    losses, errors, stopped = [float(objective.value_and_gradient(theta)[0])], [error()], False
    for _ in range(training["max_epochs"]):
        theta = epochs(theta)
        losses.append(float(objective.value_and_gradient(theta)[0]))
        errors.append(error())
        if not np.isfinite(losses[-1]):
            raise FloatingPointError(f"training by {training['method']} diverged: lower its rate")
        stopped = abs(losses[-1] - losses[-2]) < training["stop"]
        if stopped:
            break
    wrong = np.nan if loss == "mse" else misclassified(net, theta, data.X_test, data.test_labels)
    return {
        "theta": theta,
        "loss": np.array(losses),
        "error": np.array(errors),
        "accuracy": np.array(1.0 - wrong),
        "stopped": np.array(stopped),
        "first_losses": np.array(epochs.first),
    }


class GradientEpochs:
    """Mini-batches, epoch after epoch, in a new random order each."""

    def __init__(self, objective: NetworkObjective, theta: Array, training: Configuration) -> None:
        self.objective = objective
        self.size = training["batch_size"]
        self.rule = RULES[training["method"]](**training["options"])
        self.state: Any = self.rule.init(theta[None, :])
        self.rng = generator(training, 2)
        self.left = np.zeros(0, dtype=int)
        self.first: list[float] = []

    def __call__(self, theta: Array) -> Array:
        """Return θ after an epoch."""
        for _ in range(0, self.objective.n_samples, self.size):
            theta = self.advance(theta)
        return theta

    def advance(self, theta: Array) -> Array:
        """Return θ after the step on one mini-batch."""
        if len(self.left) == 0:
            self.left = self.rng.permutation(self.objective.n_samples)
        rows, self.left = self.left[: self.size], self.left[self.size :]
        loss, gradient = self.objective.subset(rows).value_and_gradient(theta)
        if len(self.first) < N_FIRST:
            self.first.append(float(loss))
        change, self.state = self.rule.step(
            gradient[None, :], self.state, lambda k: self.rng.standard_normal((1, k))
        )
        return theta + change[0]


class NewtonEpochs:
    """One iteration of saddle-free Newton after the other."""

    def __init__(self, objective: NetworkObjective, training: Configuration) -> None:
        self.objective = objective
        self.options = training["options"]
        self.first: list[float] = []

    def __call__(self, theta: Array) -> Array:
        """Return θ after an iteration."""
        trace = saddle_free_newton(self.objective, theta, 1, **self.options)
        if len(self.first) < N_FIRST:
            self.first.append(float(trace.value[0]))
        return trace.theta


def misclassified(net: MLP, theta: Array, X: Array, labels: Array) -> float:
    """Return the share of samples that the network assigns to a wrong class."""
    return float(np.mean(np.argmax(net.forward(theta, X), axis=1) != labels))
