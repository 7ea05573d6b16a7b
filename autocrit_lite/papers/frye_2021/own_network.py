"""A reader's own data and network in place of those of a figure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from ...arrays import Array
from ...datasets.digits import SCALINGS, small_digits, z_score
from ...datasets.own import checksum, load_data_file
from ...networks.mlp import MLP
from ...networks.objective import NetworkObjective
from ...runner.experiment import setting
from .gradient_flat import GradientFlat


@dataclass(frozen=True)
class OwnNetwork(GradientFlat):
    """Newton-MR on a figure's network and data, or on others that its reader names.

    A subclass says what it makes of the data (``samples``), and has the figure's network as the
    default of ``layers``.
    """

    loss: ClassVar[str]
    bias: ClassVar[bool] = True

    layers: tuple[int, ...] = setting((), "the sizes of the network's layers", at_least=1)
    data_file: str = setting("", "a data file of yours in place of MNIST: .npz, .npy or text; none")

    def samples(self) -> tuple[Array, Array]:
        """Return the inputs X (N, inputs) and what the network learns: Y (N, outputs) or labels."""
        raise NotImplementedError

    @property
    def network(self) -> MLP:
        """The network."""
        return MLP(self.layers, bias=self.bias)

    def objective(self) -> NetworkObjective:
        """Return the loss of the network on its data."""
        X, Y = self.samples()
        return NetworkObjective(self.network, X, Y, loss=self.loss, l2=self.l2)

    @cached_property
    def sha256(self) -> str:
        """The checksum of ``data_file`` when the settings were checked."""
        return checksum("data_file", self.data_file)

    @property
    def is_the_papers(self) -> bool:
        """Whether network and data are those of the figure."""
        return self.layers == type(self).layers and not self.data_file

    def check(self) -> None:
        """Raise a ValueError if the network does not fit the data."""
        if len(self.layers) < 2:
            raise ValueError(f"layers must be at least two sizes, not {list(self.layers)}")
        usual = type(self).layers
        if not self.data_file and usual[:1] + usual[-1:] == self.layers[:1] + self.layers[-1:]:
            return  # the figure's own data fit
        X, Y = self.samples()
        n_inputs, n_outputs = X.shape[1], Y.shape[1] if Y.ndim == 2 else int(Y.max()) + 1
        exactly = "" if Y.ndim == 2 else "at least "
        wrong_end = self.layers[-1] != n_outputs if Y.ndim == 2 else self.layers[-1] < n_outputs
        if self.layers[0] != n_inputs or wrong_end:
            raise ValueError(
                f"layers must begin with {n_inputs} and end with {exactly}{n_outputs}, "
                f"as the data do, not {list(self.layers)}"
            )

    @property
    def training(self) -> dict[str, Any]:
        """The settings that decide data, trajectories and starts; the data file by its content."""
        training = super().training
        # the archive's tasks were named before there was a choice
        if self.layers == type(self).layers:
            del training["layers"]
        if self.data_file:
            return {**training, "sha256": self.sha256}
        del training["data_file"]
        return training


@dataclass(frozen=True)
class OnDigits(OwnNetwork):
    """Newton-MR on a network that sees images of digits of 4 × 4 pixels."""

    quick: ClassVar[dict[str, Any]] = {
        "n_samples": 1000,
        "trajectories": 2,
        "starts": 4,
        "max_iterations": 100,
        "batch": 1,
    }

    scaling: str = setting(
        "pixel", "chosen by us: the axis of the z-score is not stated", choices=SCALINGS
    )

    def images(self, labelled: bool) -> tuple[Array, Array]:
        """Return the z-scored images (N, pixels) and their labels, or a reader's own.

        Of a ``data_file`` the first ``n_samples`` rows are taken, or all if they are fewer.
        """
        if not self.data_file:
            return small_digits(self.scaling, self.n_samples)
        X, labels = load_data_file(self.data_file, self.sha256, labelled)
        return z_score(X[: self.n_samples], self.scaling), labels[: self.n_samples]
