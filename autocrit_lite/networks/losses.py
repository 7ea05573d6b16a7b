"""The losses of a network's outputs with their derivatives, for any array library.

Arrays hold outputs before samples: z and y have shape (..., outputs, samples).
"""

from __future__ import annotations

from types import ModuleType

from array_api_compat import device

from ..arrays import Array


class SquaredError:
    """½‖z − y‖² of each sample, whose second derivative in z is the identity."""

    identity = True

    def __init__(self, xp: ModuleType) -> None:
        self.xp = xp

    def __call__(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        """Return the sum over samples (...), the gradient in z, and what ``curvature`` needs.

        The residuals that are both overwrite z.
        """
        z -= y
        flat = self.xp.reshape(z, (*z.shape[:-2], -1))
        return 0.5 * self.xp.vecdot(flat, flat), z, z

    def curvature(self, output: Array, zdot: Array) -> Array:
        """Return the second derivative in z times ``zdot``."""
        return zdot

    def matrix(self, output: Array) -> Array:
        """Return the second derivative in z, shape (..., outputs, outputs, samples)."""
        eye = self.xp.eye(output.shape[-2], dtype=output.dtype, device=device(output))
        return eye[..., None] * self.xp.ones_like(output)[..., None, :, :]


class CrossEntropy:
    """−log softmax(z)·y of each sample, y being one-hot."""

    identity = False

    def __init__(self, xp: ModuleType) -> None:
        self.xp = xp

    def __call__(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        """Return the sum over samples (...), the gradient in z, and what ``curvature`` needs: p."""
        xp = self.xp
        # the largest logit becomes 0, so that exp cannot overflow
        z = z - xp.max(z, axis=-2, keepdims=True)
        p = xp.exp(z)
        total = xp.sum(p, axis=-2, keepdims=True)
        p /= total
        z *= y
        value = xp.sum(xp.log(total), axis=(-2, -1)) - xp.sum(z, axis=(-2, -1))
        return value, p - y, p

    def curvature(self, output: Array, zdot: Array) -> Array:
        """Return the second derivative in z, diag p − p pᵀ, times ``zdot``."""
        product = output * zdot
        product -= output * self.xp.sum(product, axis=-2, keepdims=True)
        return product

    def matrix(self, output: Array) -> Array:
        """Return the second derivative in z, shape (..., outputs, outputs, samples)."""
        p, m = output, output.shape[-2]
        eye = self.xp.eye(m, dtype=p.dtype, device=device(p))
        return (eye[..., None] - p[..., :, None, :]) * p[..., None, :, :]


LOSSES: dict[str, type[SquaredError] | type[CrossEntropy]] = {
    "mse": SquaredError,
    "cross_entropy": CrossEntropy,
}
