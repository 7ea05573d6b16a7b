"""A reader's own data and network in place of those of a figure."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..checks import Array
from ..networks import MLP
from ..objectives import NetworkObjective
from .base import Configuration, setting
from .gradient_flat import GradientFlat


@dataclass(frozen=True)
class OwnNetwork(GradientFlat):
    """Newton-MR on a figure's network and data, or on others that its reader names.

    A subclass says what is made of the data (``samples``), and has the figure's network as the
    default of ``layers``.
    """

    loss: ClassVar[str]
    bias: ClassVar[bool] = True

    layers: tuple[int, ...] = setting((), "the sizes of the network's layers", at_least=1)
    data_file: str = setting("", "an .npz file of yours in place of MNIST; none")

    @classmethod
    def samples(cls, training: Configuration) -> tuple[Array, Array]:
        """Return the inputs X (N, inputs) and what the network learns: Y (N, outputs) or labels."""
        raise NotImplementedError

    @classmethod
    def network(cls, training: Configuration) -> MLP:
        """Return the network of a training."""
        return MLP(tuple(training.get("layers", cls.layers)), bias=cls.bias)

    @classmethod
    def objective(cls, training: Configuration) -> NetworkObjective:
        """Return the loss of a training's network on its data."""
        X, Y = cls.samples(training)
        return NetworkObjective(cls.network(training), X, Y, loss=cls.loss, l2=training["l2"])

    @property
    def is_the_papers(self) -> bool:
        """Whether network and data are those of the figure."""
        return self.layers == type(self).layers and not self.data_file

    def check(self) -> None:
        """Raise a ValueError if the network does not fit the data."""
        if len(self.layers) < 2:
            raise ValueError(f"layers must be at least two sizes, not {list(self.layers)}")
        if self.is_the_papers:
            return
        X, Y = self.samples(self.trainings()[0])
        n_inputs, n_outputs = X.shape[1], Y.shape[1] if Y.ndim == 2 else int(Y.max()) + 1
        exactly = "" if Y.ndim == 2 else "at least "
        wrong_end = self.layers[-1] != n_outputs if Y.ndim == 2 else self.layers[-1] < n_outputs
        if self.layers[0] != n_inputs or wrong_end:
            raise ValueError(
                f"layers must begin with {n_inputs} and end with {exactly}{n_outputs}, "
                f"as the data do, not {list(self.layers)}"
            )

    def trainings(self) -> list[dict[str, Any]]:
        """Return the configuration of the training; a data file is named by its content, too."""
        (training,) = super().trainings()
        # what the archive holds was named before there was a choice
        if self.layers == type(self).layers:
            del training["layers"]
        if self.data_file:
            training["sha256"] = checksum("data_file", self.data_file)
        else:
            del training["data_file"]
        return [training]


def checksum(name: str, path: str) -> str:
    """Return the SHA-256 of the file that the setting ``name`` names.

    Raises
    ------
    ValueError
        If there is no such file.
    """
    if not Path(path).is_file():
        raise ValueError(f"{name} must name an .npz file, and {path!r} is none")
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def load_data_file(training: Configuration, labelled: bool) -> tuple[Array, Array]:
    """Return X (N, inputs) and the labels y (N,) in the data file of a training.

    Parameters
    ----------
    training : dict
        Has ``data_file`` and its ``sha256``.
    labelled : bool
        Whether there must be labels; else they are zeros.

    Raises
    ------
    ValueError
        If it does not hold these arrays, or is another file than it was: the message says what.
    """
    path = training["data_file"]
    names = ("X", "y") if labelled else ("X",)
    arrays = npz_arrays("data_file", path, names, training["sha256"])
    y = arrays["y"] if labelled else np.zeros(len(arrays["X"]), dtype=np.int64)
    return checked_samples(path, "", arrays["X"], y)


def npz_arrays(
    name: str, path: str, wanted: Sequence[str], sha256: str | None = None
) -> dict[str, Array]:
    """Return the arrays ``wanted`` of the .npz file that the setting ``name`` names.

    Raises
    ------
    ValueError
        If it does not hold them, or is another file than it was: the message says what.
    """
    if sha256 is not None and checksum(name, path) != sha256:
        raise ValueError(f"{path} has changed since its results were asked for")
    try:
        # in memory, since NumPy leaves a damaged file open
        with np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False) as file:
            arrays = {key: file[key] for key in wanted if key in file.files}
    except Exception as error:  # a damaged zip file raises nearly anything
        raise ValueError(f"{path} is not an .npz file of plain arrays: {error}") from None
    for key in wanted:
        if key not in arrays:
            raise ValueError(f"{path} must hold {', '.join(wanted)}, and lacks {key}")
    return arrays


def checked_samples(
    path: str, suffix: str, X: Array, y: Array, n_classes: int | None = None
) -> tuple[Array, Array]:
    """Return X{suffix} (N, inputs) as float64 and the labels y{suffix} (N,) as integers.

    Raises
    ------
    ValueError
        If they are none: the message names the file and the array.
    """
    if X.dtype not in (np.float32, np.float64) or X.ndim != 2 or not np.isfinite(X).all():
        raise ValueError(
            f"X{suffix} in {path} must be finite floating-point numbers of shape (N, inputs), "
            f"not {X.dtype} of shape {X.shape}"
        )
    if y.shape != (len(X),) or not np.issubdtype(y.dtype, np.integer):
        raise ValueError(
            f"y{suffix} in {path} must be integers of shape ({len(X)},), "
            f"not {y.dtype} of shape {y.shape}"
        )
    if len(y) == 0 or y.min() < 0 or (n_classes is not None and y.max() >= n_classes):
        upwards = "upwards" if n_classes is None else f"to {n_classes - 1}"
        raise ValueError(f"y{suffix} in {path} must be labels from 0 {upwards}")
    return X.astype(np.float64), y.astype(np.int64)
