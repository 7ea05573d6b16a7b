"""Sankar & Balasubramanian 2018: their data, and training until the error no longer changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import islice
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
from ...runner.experiment import Arrays
from ...runner.results import FIRST_BITS, rounded
from ...training.optimizers import Adagrad, Adam, Momentum, Nesterov, NoisySGD, Rule

N_CLASSES = 10
N_FIRST = 5
"""Losses of the first mini-batches that are stored, to be compared when a task is repeated."""

RULES: dict[str, Callable[..., Rule]] = {
    "momentum": Nesterov,
    "classical momentum": Momentum,
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


@dataclass(frozen=True)
class Images:
    """Images of MNIST, with pixels scaled to [0, 1].

    Parameters
    ----------
    name : str
        "train": the training images; "all": training and test images together, with the accuracy
        on the test images among them; "split": both put together and divided anew at random;
        "centred split": the same, after the mean image is subtracted; "cropped": their centre,
        without the pixels that are never inked; "jittered": the training images with Gaussian
        noise on every pixel.
    n_train, n_test : int
    size : int
        Pixels along a side.
    crop : int, optional
        Pixels along a side that remain of 28, of "cropped" images.
    jitter : float, optional
        The noise's standard deviation.
    seed, trial : int, optional
        Of a split or of noise.
    """

    name: str
    n_train: int
    n_test: int
    size: int
    crop: int | None = None
    jitter: float | None = None
    seed: int | None = None
    trial: int | None = None

    def load(self) -> Split:
        """Return the images and their labels."""
        images, labels = pool(self.n_train, self.n_test)
        size = self.size
        if self.crop is not None:
            size = round(size * self.crop / images.shape[1])
            images = crop(images, self.crop)
        if size != images.shape[1]:
            images = resize(images, size)
        X = images.reshape(len(images), -1) / 255.0
        if self.name == "all":
            return Split(X, labels, X[self.n_train :], labels[self.n_train :])
        if self.name == "centred split":
            X -= X.mean(axis=0)
        if self.seed is not None and self.trial is not None:
            rng = generator(self.seed, self.trial, 0)
            if self.jitter is not None:
                X += self.jitter * rng.standard_normal(X.shape)
            else:
                order = rng.permutation(len(X))
                X, labels = X[order], labels[order]
        N = self.n_train
        return Split(X[:N], labels[:N], X[N:], labels[N:])


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


@dataclass(frozen=True)
class Features:
    """The features in a user's ``.npz`` file, as they are.

    It holds X_train (N, inputs) and X_test (M, inputs) of float32 or float64 and their labels
    y_train (N,) and y_test (M,), integers from 0 to 9.

    Parameters
    ----------
    path : str
    sha256 : str, optional
        What ``checksum`` said of the file before.
    """

    path: str
    sha256: str | None = None
    name: str = field(default="features", init=False)

    def load(self) -> Split:
        """Return the features and their labels.

        Raises
        ------
        ValueError
            If the file does not hold these arrays, or is another one than it was: the message says
            what.
        """
        arrays = npz_arrays("features", self.path, FEATURE_ARRAYS, self.sha256)
        (X, labels), (X_test, test_labels) = (
            checked_samples(
                self.path, f"_{part}", arrays[f"X_{part}"], arrays[f"y_{part}"], N_CLASSES
            )
            for part in ("train", "test")
        )
        if X.shape[1] != X_test.shape[1]:
            raise ValueError(
                f"X_train and X_test in {self.path} must have as many columns as each other"
            )
        return Split(X, labels, X_test, test_labels)


@dataclass(frozen=True)
class Training:
    """All that decides where a training ends.

    Parameters
    ----------
    data : Images or Features
    method : str
        One of ``RULES``, or "saddle-free Newton": of an autoencoder then, in place of a classifier.
    options : dict
        Of the method.
    batch_size : int or None
        None: every step sees all samples.
    activation, initialization : str
    hidden : tuple of int
        Units of the hidden layers.
    keep_theta : bool
        Whether θ at the end is stored.
    stop : float
        Training ends once the loss changes by less from one epoch to the next.
    max_epochs : int
    seed, trial : int
    loss : str
        Of a classifier: "cross_entropy" or "softmax_mse".
    """

    data: Images | Features
    method: str
    options: dict[str, Any]
    batch_size: int | None
    activation: str
    initialization: str
    hidden: tuple[int, ...]
    keep_theta: bool
    stop: float
    max_epochs: int
    seed: int
    trial: int
    loss: str = "cross_entropy"

    @property
    def configuration(self) -> dict[str, Any]:
        """The same as a dictionary; of the data only what plays a part.

        Cross-entropy is not named: results of a time when there was no other loss keep their keys.
        """
        data = {name: value for name, value in asdict(self.data).items() if value is not None}
        found = {**asdict(self), "data": data}
        if self.loss == "cross_entropy":
            del found["loss"]
        return found

    def problem(self) -> tuple[MLP, str, Split, Array]:
        """Return network, loss, data, and targets: labels, or the inputs themselves."""
        data = self.data.load()
        inputs = data.X.shape[1]
        if self.method == "saddle-free Newton":
            return MLP((inputs, *self.hidden, inputs), self.activation), "mse", data, data.X
        net = MLP((inputs, *self.hidden, N_CLASSES), self.activation)
        return net, self.loss, data, data.labels

    def initial_theta(self, net: MLP) -> Array:
        """Return θ (n,) where training starts."""
        return initial_theta(net, self.initialization, generator(self.seed, self.trial, 1))

    def steps(self, objective: NetworkObjective, theta: Array) -> Iterator[tuple[float, Array]]:
        """Yield the loss that each step sees, and θ after the step, without end.

        A step is one on a mini-batch, epoch after epoch in a new random order, or an iteration of
        saddle-free Newton.
        """
        if self.batch_size is None:
            while True:
                trace = saddle_free_newton(objective, theta, 1, **self.options)
                theta = trace.theta
                yield float(trace.value[0]), theta
        rule = RULES[self.method](**self.options)
        state, rng = rule.init(theta[None, :]), generator(self.seed, self.trial, 2)
        while True:
            order = rng.permutation(objective.n_samples)
            for start in range(0, len(order), self.batch_size):
                batch = objective.subset(order[start : start + self.batch_size])
                loss, gradient = batch.value_and_gradient(theta)
                change, state = rule.step(
                    gradient[None, :], state, lambda k: rng.standard_normal((1, k))
                )
                theta = theta + change[0]
                yield float(loss), theta

    def steps_per_epoch(self, n_samples: int) -> int:
        """Return how many steps an epoch has; an iteration on all samples counts as one."""
        return 1 if self.batch_size is None else -(-n_samples // self.batch_size)


def generator(seed: int, trial: int, stream: int) -> np.random.Generator:
    """Return a generator of a trial; other streams give other numbers."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(trial, stream)))


def train(training: Training) -> Arrays:
    """Train a network until its loss changes by less than ``stop`` from one epoch to the next.

    Section 3 of the paper; the loss is that of the whole training set. For saddle-free Newton an
    epoch is an iteration (section 5).

    Returns
    -------
    dict
        ``loss`` and ``error`` (epochs + 1,), the share of training samples that are misclassified,
        ``accuracy`` on the test data (NaN for an autoencoder), ``stopped``: whether by the rule,
        ``first_losses``, ``n_parameters``, and ``theta`` (n,) where training ended, if it is kept.

    Raises
    ------
    FloatingPointError
        If the loss is no longer finite.
    """
    net, loss, data, targets = training.problem()
    objective = NetworkObjective(net, data.X, targets, loss=loss)
    theta = training.initial_theta(net)

    def wrong(theta: Array, X: Array, labels: Array) -> float:
        return np.nan if loss == "mse" else misclassified(net, theta, X, labels)

    losses = [float(objective.value_and_gradient(theta)[0])]
    errors, stopped, first = [wrong(theta, data.X, data.labels)], False, []
    steps = training.steps(objective, theta)
    while not stopped and len(losses) <= training.max_epochs:
        for seen, after in islice(steps, training.steps_per_epoch(len(data.X))):
            first.append(seen)
            theta = after
        losses.append(float(objective.value_and_gradient(theta)[0]))
        errors.append(wrong(theta, data.X, data.labels))
        if not np.isfinite(losses[-1]):
            raise FloatingPointError(f"training by {training.method} diverged: lower its rate")
        stopped = abs(losses[-1] - losses[-2]) < training.stop
    arrays = {
        "loss": np.array(losses),
        "error": np.array(errors),
        "accuracy": np.array(1.0 - wrong(theta, data.X_test, data.test_labels)),
        "stopped": np.array(stopped),
        "first_losses": np.array(first[:N_FIRST]),
        "n_parameters": np.array(net.n_parameters),
    }
    # to the precision of the public code
    return arrays | ({"theta": rounded(theta, FIRST_BITS)} if training.keep_theta else {})


def misclassified(net: MLP, theta: Array, X: Array, labels: Array) -> float:
    """Return the share of samples that the network assigns to a wrong class."""
    return float(np.mean(np.argmax(net.forward(theta, X), axis=1) != labels))
