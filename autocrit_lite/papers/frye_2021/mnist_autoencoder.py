"""Frye et al. 2021, Fig. 3: Newton-MR on an autoencoder of MNIST images of 4 × 4 pixels."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from ...arrays import Array
from ...runner.experiment import Arrays, MissingResultsError, setting
from ...runner.results import Measured, Results
from ...runner.store import Store
from .claims import figure_3, other_finders, other_settings
from .own_network import OnDigits
from .remarks import figure_3_in_words


@dataclass(frozen=True)
class MnistAutoencoder(OnDigits):
    """Newton-MR on the 16-8-16-16 autoencoder with swish units and biases.

    A ``data_file`` holds X (N, inputs).
    """

    name: ClassVar[str] = "mnist_autoencoder"
    schema_version: ClassVar[int] = 2
    loss: ClassVar[str] = "mse"

    layers: tuple[int, ...] = setting((16, 8, 16, 16), "Frye et al. 2021, A.1.2", at_least=1)
    epochs: int = setting(
        300,
        "chosen by us (not stated): ‖g‖² falls to about 1e-4, the least during training in §3",
        at_least=1,
    )

    def samples(self) -> tuple[Array, Array]:
        """Return the images twice: the network reconstructs them."""
        X, _ = self.images(labelled=False)
        return X, X

    def about_training(self, theta: Array) -> Arrays:
        """Return the loss of the best constant output, the mean image."""
        X, _ = self.samples()
        return {"mean_loss": np.mean((X - X.mean(axis=0)) ** 2)}

    def claims(self, results: Results, store: Store | None = None) -> dict[str, Measured]:
        """Return what the results say on section 3 and on 4.1.

        Where there are results of ``Tolerance`` and ``FinderComparison`` too, they say what other
        settings and other finders would do. Nothing is said of a reader's own network or data.
        """
        if not self.is_the_papers:
            return {}
        from .finder_comparison import FinderComparison  # both are built on this class
        from .tolerance import Tolerance

        found, more = figure_3(results) | figure_3_in_words(results), []
        again = Tolerance.from_profile(self.profile)
        others = FinderComparison.from_profile(self.profile)
        if again.source() == self:
            with suppress(MissingResultsError):
                more.append(other_settings(again.load(store=store)))
            with suppress(MissingResultsError):
                more.append(other_finders(others.load(store=store)))
        for id, text in (item for texts in more for item in texts.items()):
            found[id] = replace(found[id], why=f"{found[id].why} {text}")
        return found
