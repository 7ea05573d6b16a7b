"""Critical points of linear networks, which come in orbits of a group, on a slice across the orbit.

The loss of a linear network is the same at (A W_l, A b_l, W_{l+1} A⁻¹) for every invertible A, and
with an ℓ2 penalty for every orthogonal one, so that H is singular at every critical point. Hold d
coordinates of θ fixed, d being the dimension of the orbit. Where the other coordinates' gradient
vanishes, so does all of it if the orbit's tangents have independent parts along the d fixed ones:
∇L is orthogonal to the tangents, and to the coordinates that are free, and these span everything.
"""

from __future__ import annotations

import numpy as np
from flint import arb
from scipy.linalg import qr

from ..arrays import Array
from ..networks.mlp import MLP
from .balls import Balls, enlarged
from .enclosures import Enclosure, NetworkEnclosure

RANK = 1e-6
"""Tangents that are shorter than this beside the others, by QR with pivots, are taken for zero
(chosen by us); where that is wrong nothing is proven."""


class Slice:
    """An enclosure with as many coordinates fixed as the orbit through a point has dimensions.

    Attributes
    ----------
    n : int
        How many coordinates are free.
    dimension : int
        Of the orbit, and of the kernel of H at a critical point on it.
    """

    def __init__(self, enclosure: NetworkEnclosure, theta: Array) -> None:
        self._all, self._base = enclosure, theta
        self._orthogonal = enclosure.l2 > 0.0
        tangents = orbit_tangents(enclosure.net, theta, self._orthogonal)
        _, R, order = qr(tangents, mode="economic", pivoting=True)
        sizes = np.abs(np.diagonal(R))
        self.dimension = int(np.sum(sizes > RANK * (1.0 + np.max(np.abs(theta)))))
        self._columns = order[: self.dimension]
        chosen = tangents[:, self._columns]
        self._fixed = (
            qr(chosen.T, mode="r", pivoting=True)[1][: self.dimension]
            if self.dimension
            else np.zeros(0, dtype=np.int64)
        )
        self.free = np.setdiff1d(np.arange(enclosure.n), self._fixed)
        self.n = len(self.free)

    def whole(self, high: Array, low: Array) -> tuple[Array, Array]:
        """Return the point (n,) with all coordinates, the fixed ones too."""
        full, rest = self._base.copy(), np.zeros_like(self._base)
        full[self.free], rest[self.free] = high, low
        return full, rest

    def gradient(self, high: Array, low: Array) -> tuple[arb, list[arb]]:
        """Return balls that contain the value and the free coordinates' gradient."""
        value, gradient = self._all.gradient(*self.whole(high, low))
        return value, [gradient[i] for i in self.free.tolist()]

    def hessian(self, high: Array, low: Array) -> Balls:
        """Return balls that contain the free coordinates' Hessian."""
        return self._all.hessian(*self.whole(high, low))[np.ix_(self.free, self.free)]

    def third(self, high: Array, low: Array, radius: float) -> float:
        """Return K with ‖H(θ) − H(θ̄)‖ ≤ K‖θ − θ̄‖ wherever ‖θ − θ̄‖ ≤ radius."""
        return self._all.third(*self.whole(high, low), radius)

    def is_across(self, high: Array, low: Array, radius: float) -> bool:
        """Return whether it is proven that the slice crosses the orbits of all points near.

        With M the tangents' parts along the fixed coordinates at ``high``, M there differs from it
        by at most √(2w) times the distance, w being the widest layer: each number of θ is part of
        at most 2w tangents. Where ‖I − BM‖ + ‖B‖ √(2w) r < 1, all are invertible.
        """
        if not self.dimension:
            return True
        full, rest = self.whole(high, low)
        M = orbit_tangents(self._all.net, full, self._orthogonal)
        M = M[np.ix_(self._fixed, self._columns)]
        B = Balls.of(np.linalg.inv(M))
        defect = (Balls.of(np.eye(len(M))) - B @ Balls.of(M)).spectral_norm()
        far = (radius + np.sum(np.abs(rest))) * np.sqrt(2.0 * max(self._all.net.layers))
        lost = enlarged(np.asarray(defect + B.spectral_norm() * far), len(full) + 8)
        return bool(lost < 1.0)


def orbit_tangents(net: MLP, theta: Array, orthogonal: bool) -> Array:
    """Return tangents of the orbit through θ, (n, Σ h²) or, of orthogonal maps, (n, Σ h(h − 1)/2).

    For ξ = E_ij, or E_ij − E_ji, of each hidden layer: ξ W_l, ξ b_l and −W_{l+1} ξ. All entries are
    numbers of θ, unrounded.
    """
    found = []
    layers = net.unflatten(theta)
    for layer, h in enumerate(net.layers[1:-1]):
        for i in range(h):
            for j in range(i) if orthogonal else range(h):
                parts = [[np.zeros_like(x) for x in pair if x is not None] for pair in layers]
                for sign, p, q in ((1.0, i, j), (-1.0, j, i))[: 1 + orthogonal]:
                    for own, x in zip(parts[layer], layers[layer], strict=False):
                        own[p] += sign * x[q]
                    parts[layer + 1][0][:, q] -= sign * layers[layer + 1][0][:, p]
                found.append(np.concatenate([x.ravel() for pair in parts for x in pair]))
    return np.stack(found, axis=1)


def slice_of(enclosure: Enclosure, theta: Array) -> Slice | None:
    """Return a slice across the orbit through θ, None where there is no group."""
    if not isinstance(enclosure, NetworkEnclosure) or enclosure.net.activation != "linear":
        return None
    if len(enclosure.net.layers) < 3:
        return None
    if enclosure.l2 > 0.0 and max(enclosure.net.layers[1:-1]) < 2:
        return None  # ±1 alone
    return Slice(enclosure, theta)
