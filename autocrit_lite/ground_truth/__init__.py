"""Losses whose critical points are known, or parts of which are."""

from . import critical_locus, cubic, flat_subspace, linear_autoencoder, neighbourhood, quartic

__all__ = [
    "critical_locus",
    "cubic",
    "flat_subspace",
    "linear_autoencoder",
    "neighbourhood",
    "quartic",
]
