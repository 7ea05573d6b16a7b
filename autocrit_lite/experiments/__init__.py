"""The papers' figures and tables: for each a configuration, its tasks and their results."""

from __future__ import annotations

from .base import Experiment, FailedTasksError, MissingResultsError, setting
from .coverage import Coverage
from .critical_locus import CriticalLocus
from .degenerate_saddles import DegenerateSaddles
from .finder_comparison import FinderComparison
from .linear_autoencoder import LinearAutoencoder
from .linear_vs_nonlinear import LinearVsNonlinear
from .mnist_autoencoder import MnistAutoencoder
from .mnist_classifier import MnistClassifier
from .quartic import Quartic
from .random_labels import RandomLabels
from .results import Measured, Results
from .sampling_bias import SamplingBias
from .tolerance import Tolerance

KINDS: tuple[type[Experiment], ...] = (
    Quartic,
    LinearAutoencoder,
    SamplingBias,
    Coverage,
    LinearVsNonlinear,
    MnistAutoencoder,
    MnistClassifier,
    RandomLabels,
    Tolerance,
    FinderComparison,
    CriticalLocus,
    DegenerateSaddles,
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
