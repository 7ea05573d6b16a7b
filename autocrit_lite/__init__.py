"""A companion to four papers on the critical points of neural-network losses."""

from .networks import MLP
from .objectives import AutogradObjective

__all__ = ["MLP", "AutogradObjective"]
__version__ = "0.1.0"
