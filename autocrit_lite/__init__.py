"""A companion to four papers on the critical points of neural-network losses."""

from typing import TYPE_CHECKING, Any

from . import ground_truth
from .certify.certificate import Certificate, certify
from .certify.emptiness import Emptiness, nothing_near
from .certify.functions import EnclosedFunction
from .finders import (
    FRYE_2019,
    FRYE_2021,
    FinderStopReason,
    Trace,
    damped_newton,
    exact_newton,
    gradient_norm_minimization,
    index_targeted_newton,
    levenberg_marquardt,
    newton_mr,
    newton_tr,
    saddle_free_newton,
)
from .interop.jax import JaxObjective
from .interop.torch import TorchObjective
from .linalg.inertia import morse_index
from .linalg.minres_qlp import MinresQLPResult, StopReason, minres_qlp
from .linalg.spectral_density import SpectralDensity, spectral_density
from .networks.mlp import MLP
from .networks.objective import NetworkObjective
from .objective_checks import check_objective
from .objectives import AutogradObjective, Linearization, Objective, from_functions
from .points.report import Report, describe
from .points.search import CriticalPoints, find_critical_points

if TYPE_CHECKING:
    from .explorer import explore

__all__ = [
    "FRYE_2019",
    "FRYE_2021",
    "MLP",
    "AutogradObjective",
    "Certificate",
    "CriticalPoints",
    "Emptiness",
    "EnclosedFunction",
    "FinderStopReason",
    "JaxObjective",
    "Linearization",
    "MinresQLPResult",
    "NetworkObjective",
    "Objective",
    "Report",
    "SpectralDensity",
    "StopReason",
    "TorchObjective",
    "Trace",
    "certify",
    "check_objective",
    "damped_newton",
    "describe",
    "exact_newton",
    "explore",
    "find_critical_points",
    "from_functions",
    "gradient_norm_minimization",
    "ground_truth",
    "index_targeted_newton",
    "levenberg_marquardt",
    "minres_qlp",
    "morse_index",
    "newton_mr",
    "newton_tr",
    "nothing_near",
    "saddle_free_newton",
    "spectral_density",
]
__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    """Import what draws, and so needs Matplotlib, when it is asked for."""
    if name == "explore":
        from .explorer import explore

        return explore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
