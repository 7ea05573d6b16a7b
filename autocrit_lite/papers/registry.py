"""The experiments by name."""

from __future__ import annotations

from ..runner.experiment import Experiment
from .cooper_2020.critical_locus import CriticalLocus
from .frye_2019.coverage import Coverage
from .frye_2019.linear_autoencoder import LinearAutoencoder
from .frye_2019.sampling_bias import SamplingBias
from .frye_2019.solver_limit import SolverLimit
from .frye_2021.finder_comparison import FinderComparison
from .frye_2021.linear_vs_nonlinear import LinearVsNonlinear
from .frye_2021.mnist_autoencoder import MnistAutoencoder
from .frye_2021.mnist_classifier import MnistClassifier
from .frye_2021.open_settings import OpenSettings
from .frye_2021.other_networks import OtherNetworks
from .frye_2021.quartic import Quartic
from .frye_2021.random_labels import RandomLabels
from .frye_2021.tolerance import Tolerance
from .sankar_2018.degenerate_saddles import DegenerateSaddles

KINDS: tuple[type[Experiment], ...] = (
    Quartic,
    LinearAutoencoder,
    SamplingBias,
    SolverLimit,
    Coverage,
    LinearVsNonlinear,
    MnistAutoencoder,
    MnistClassifier,
    RandomLabels,
    OpenSettings,
    OtherNetworks,
    Tolerance,
    FinderComparison,
    CriticalLocus,
    DegenerateSaddles,
)

REGISTRY = {kind.name: kind for kind in KINDS}
"""The experiments by name."""
