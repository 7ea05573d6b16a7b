"""A loss of two parameters whose Hessian is diagonal, at one point or at a batch of points."""

from __future__ import annotations

from dataclasses import dataclass

from ..arrays import Array, array_namespace
from ..checks import product_array


@dataclass(frozen=True, eq=False)
class DiagonalLinearization:
    """The loss at one point (2,) or at a batch of points (B, 2), of any array module.

    Attributes
    ----------
    value : array (...)
    gradient : array (..., 2)
    diagonal : array (..., 2)
        Of the Hessian, whose other elements are zero.
    """

    value: Array
    gradient: Array
    diagonal: Array

    def hvp(self, v: Array) -> Array:
        """Return H·v for one vector at each point (..., 2) or for a block of k, (..., k, 2)."""
        v = product_array("v", v, self.diagonal.shape)
        each = self.diagonal if v.ndim == self.diagonal.ndim else self.diagonal[..., None, :]
        return each * v

    def hessian(self) -> Array:
        """Return the dense Hessian, shape (..., 2, 2)."""
        xp = array_namespace(self.diagonal)
        identity = xp.eye(2, dtype=self.diagonal.dtype, device=self.diagonal.device)
        return self.diagonal[..., None] * identity
