"""A reader's own data and network in place of those of a figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ...arrays import Array
from ...datasets.own import (
    checksum,
)
from ...networks.mlp import MLP
from ...networks.objective import NetworkObjective
from ...runner.experiment import Configuration, setting
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
    data_file: str = setting("", "a data file of yours in place of MNIST: .npz, .npy or text; none")

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
