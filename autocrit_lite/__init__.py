"""A companion to four papers on the critical points of neural-network losses."""

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
from .networks.mlp import MLP
from .networks.objective import NetworkObjective
from .objective_checks import check_objective
from .objectives import AutogradObjective, Linearization, Objective, from_functions

__all__ = [
    "FRYE_2019",
    "FRYE_2021",
    "MLP",
    "AutogradObjective",
    "Certificate",
    "Emptiness",
    "EnclosedFunction",
    "FinderStopReason",
    "JaxObjective",
    "Linearization",
    "MinresQLPResult",
    "NetworkObjective",
    "Objective",
    "StopReason",
    "TorchObjective",
    "Trace",
    "certify",
    "check_objective",
    "damped_newton",
    "exact_newton",
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
]
__version__ = "0.2.0"
