"""The papers' figures and tables: for each a configuration, its tasks and their results."""

from __future__ import annotations

from .base import Experiment, FailedTasksError, MissingResultsError, setting
from .coverage import Coverage
from .critical_locus import CriticalLocus
from .linear_autoencoder import LinearAutoencoder
from .mnist_autoencoder import MnistAutoencoder
from .quartic import Quartic
from .results import Measured, Results
from .sampling_bias import SamplingBias

KINDS: tuple[type[Experiment], ...] = (
    Quartic,
    LinearAutoencoder,
    SamplingBias,
    Coverage,
    CriticalLocus,
    MnistAutoencoder,
)

REGISTRY = {kind.name: kind for kind in KINDS}
"""The experiments by name."""

__all__ = [
    "REGISTRY",
    "Experiment",
    "FailedTasksError",
    "Measured",
    "MissingResultsError",
    "Results",
    "setting",
]
