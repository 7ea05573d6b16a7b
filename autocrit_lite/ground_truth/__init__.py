"""Losses whose critical points are known."""

from . import critical_locus, linear_autoencoder, quartic

__all__ = ["critical_locus", "linear_autoencoder", "quartic"]
