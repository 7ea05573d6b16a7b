"""Searches for critical points: one loop, and a file for each method."""

from .exact_newton import damped_newton, exact_newton
from .gradient_norm import gradient_norm_minimization
from .index_targeted import index_targeted_newton
from .levenberg_marquardt import levenberg_marquardt
from .newton_mr import FRYE_2019, FRYE_2021, newton_mr
from .newton_tr import newton_tr
from .saddle_free import saddle_free_newton
from .trace import FinderStopReason, Trace

__all__ = [
    "FRYE_2019",
    "FRYE_2021",
    "FinderStopReason",
    "Trace",
    "damped_newton",
    "exact_newton",
    "gradient_norm_minimization",
    "index_targeted_newton",
    "levenberg_marquardt",
    "newton_mr",
    "newton_tr",
    "saddle_free_newton",
]
