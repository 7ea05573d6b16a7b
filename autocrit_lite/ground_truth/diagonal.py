"""A loss of two parameters whose Hessian is diagonal, at one point or at a batch of points."""

from __future__ import annotations

from dataclasses import dataclass

from ..arrays import Array, array_namespace
from ..checks import float_array


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
        v, shape = float_array("v", v, finite=False), tuple(self.diagonal.shape)
        if tuple(v.shape) == shape:
            return self.diagonal * v
        if v.ndim != len(shape) + 1 or (*v.shape[:-2], 2) != shape or v.shape[-1] != 2:
            raise ValueError(
                f"v must have shape {shape} or (..., k, 2) to go with it, not {tuple(v.shape)}"
            )
        return self.diagonal[..., None, :] * v

    def hessian(self) -> Array:
        """Return the dense Hessian, shape (..., 2, 2)."""
        xp = array_namespace(self.diagonal)
        identity = xp.eye(2, dtype=self.diagonal.dtype, device=self.diagonal.device)
        return self.diagonal[..., None] * identity
