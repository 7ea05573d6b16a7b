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


class SoftmaxSquaredError:
    """½‖p − y‖² of each sample with p = softmax(z), y being one-hot; not convex in z.

    With r = p − y, q = r + p, s = ⟨p, r⟩ and t = ⟨p, q⟩ the gradient in z is p∘(r − s), and the
    second derivative is diag(p∘(q − s)) − p pᵀ∘(q 1ᵀ + 1 qᵀ − s − t).
    """

    identity = False

    def __init__(self, xp: ModuleType) -> None:
        self.xp = xp

    def __call__(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        """Return the sum over samples (...), the gradient in z, and what ``curvature`` needs.

        That is p above r, (..., 2 outputs, samples).
        """
        p = _softmax(self.xp, z)
        r = p - y
        flat = self.xp.reshape(r, (*r.shape[:-2], -1))
        gradient = p * (r - self._mean(p, r))
        return 0.5 * self.xp.vecdot(flat, flat), gradient, self.xp.concat([p, r], axis=-2)

    def curvature(self, output: Array, zdot: Array) -> Array:
        """Return the second derivative in z times ``zdot``."""
        p, q, s, t = self._parts(output)
        product = (q - s) * zdot - (q - s - t) * self._mean(p, zdot)
        return p * (product - self._mean(p, q * zdot))

    def matrix(self, output: Array) -> Array:
        """Return the second derivative in z, shape (..., outputs, outputs, samples)."""
        p, q, s, t = self._parts(output)
        m = p.shape[-2]
        eye = self.xp.eye(m, dtype=p.dtype, device=device(p))[..., None]
        both = q[..., :, None, :] + q[..., None, :, :] - (s + t)[..., None, :, :]
        diagonal = eye * (p * (q - s))[..., None, :, :]
        return diagonal - p[..., :, None, :] * p[..., None, :, :] * both

    def _parts(self, output: Array) -> tuple[Array, Array, Array, Array]:
        """Return p and q, (..., outputs, samples), and s and t, (..., 1, samples)."""
        m = output.shape[-2] // 2
        p, r = output[..., :m, :], output[..., m:, :]
        q = r + p
        return p, q, self._mean(p, r), self._mean(p, q)

    def _mean(self, p: Array, x: Array) -> Array:
        """Return ⟨p, x⟩ of each sample, (..., 1, samples)."""
        return self.xp.sum(p * x, axis=-2, keepdims=True)


def _softmax(xp: ModuleType, z: Array) -> Array:
    """Return softmax(z); the largest logit becomes 0, so that exp cannot overflow."""
    p = xp.exp(z - xp.max(z, axis=-2, keepdims=True))
    p /= xp.sum(p, axis=-2, keepdims=True)
    return p


LOSSES: dict[str, type[SquaredError] | type[CrossEntropy] | type[SoftmaxSquaredError]] = {
    "mse": SquaredError,
    "cross_entropy": CrossEntropy,
    "softmax_mse": SoftmaxSquaredError,
}
