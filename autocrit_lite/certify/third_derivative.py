"""A bound on the third derivatives of a network's loss, from what its samples do.

The third derivative of L is a symmetric trilinear form, whose norm is attained on the diagonal
(Banach 1938), so that K = sup |d³L(θ + tv)/dt³| over unit vectors v and the region. With ′ for d/dt
at one sample, with outputs z, gradient δ = ∂ℓ/∂z and curvature Λ = ∂²ℓ/∂z²,

    ℓ‴ = ∂³ℓ[z′, z′, z′] + 3 z′ᵀΛz″ + δᵀz‴.

Products of the norms of all layers are too large by powers of ten; here every norm is that of a
matrix which a sample really has: P_lm = ∂z_l/∂z_m, the Jacobians J_l of z_l by θ, and the vectors
δ_m = ∂ℓ/∂z_m and ∂ℓ/∂a_m. What they may become in the region is bounded layer by layer: where θ
moves by R, z_l moves by at most R·sup‖J_l‖, and that bounds the activations' derivatives and so the
next layer. Last, no direction v serves all samples at once: with q = z′ᵀΛz′ at the middle, whose
mean is at most G, the largest eigenvalue of the Gauss–Newton matrix, a sample contributes at most
Aq + B√q + C, and by weak duality the mean is at most mean max_q ((A − μ)q + B√q + C) + μG for
every μ ≥ 0.

All norms are non-negative float64 sums and products, enlarged at the end by more than their
roundings can take (fewer than 1e5 of them, none cancels).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Array
from .balls import Balls, enlarged

SLACK = 1.0 + 1e-9
MULTIPLIERS = np.geomspace(1e-6, 1e8, 113)
"""The μ that are tried (chosen by us); whichever it is, the bound holds."""


@dataclass(frozen=True)
class Samples:
    """What the bound needs of each sample at the middle of the region.

    Attributes
    ----------
    a : list of Balls (N, inputs)
        The inputs of each layer, with a column of ones where the network has biases.
    derivatives : list of tuples of Balls (N, units)
        σ′, σ″ and σ‴ of each hidden layer.
    delta : list of Balls (N, units)
        ∂ℓ/∂z of each layer, not divided by N.
    above : list of Balls (N, units)
        ∂ℓ/∂a of each hidden layer, likewise.
    factor : Balls (N, C, C)
        F with FᵀF = Λ.
    """

    a: list[Balls]
    derivatives: list[tuple[Balls, Balls, Balls]]
    delta: list[Balls]
    above: list[Balls]
    factor: Balls


def norms(x: Balls) -> Array:
    """Return upper bounds of the spectral norms of matrices (N, p, q): a little more than they are.

    ‖M‖₂² = λ(MMᵀ) is at most ‖(MMᵀ)⁸‖_F^⅛; each square is scaled to norm 1.
    """
    M = x.middle
    S = M @ np.swapaxes(M, -1, -2) if M.shape[-2] <= M.shape[-1] else np.swapaxes(M, -1, -2) @ M
    bound, power = np.ones(len(S)), 1.0
    for _ in range(4):
        size = np.sqrt(np.sum(S**2, axis=(-2, -1)))
        bound, power = bound * size**power, power / 2.0
        S = S / np.where(size > 0.0, size, 1.0)[:, None, None]
        S = S @ S
    around = np.sqrt(np.sum(x.radius**2, axis=(-2, -1)))
    return (np.sqrt(bound) + around) * SLACK + 1e-150  # for squares that underflow


def largest_eigenvalue(G: Balls) -> float:
    """Return an upper bound of the largest eigenvalue of a symmetric positive matrix (n, n).

    Gershgorin's theorem for QᵀGQ with the approximate eigenvectors Q.
    """
    _, Q = np.linalg.eigh(0.5 * (G.middle + G.middle.T))
    q = Balls.of(Q)
    defect = (q.T @ q - Balls.of(np.eye(len(Q)))).spectral_norm()
    rows = np.sum((q.T @ G @ q).magnitude, axis=1)
    if not defect < 0.5:
        return G.spectral_norm()
    return float(enlarged(np.max(rows), len(Q) + 4) / (1.0 - defect) * SLACK)


def _length(x: Balls) -> Array:
    """Return upper bounds of the lengths of vectors (N, k)."""
    return np.sqrt(np.sum(x.magnitude**2, axis=1)) * SLACK


def _largest(x: Balls) -> Array:
    """Return upper bounds of the largest entries of vectors (N, k)."""
    return np.max(x.magnitude, axis=1)


def bound(
    samples: Samples,
    weights: Sequence[Balls],
    gauss_newton: Balls,
    suprema: tuple[float, float, float, float],
    cumulant: float,
    radius: float,
) -> float:
    """Return K, at least ‖D³L‖ wherever ‖θ − θ̄‖ ≤ radius.

    Parameters
    ----------
    samples : Samples
    weights : sequence of Balls (out, in)
        Of each layer, without biases.
    gauss_newton : Balls (n, n)
        The mean of JᵀΛJ over samples, without a penalty.
    suprema : 4 floats
        Upper bounds of |σ′|, |σ″|, |σ‴| and |σ⁗|.
    cumulant : float
        Of the loss: |∂³ℓ[w, w, w]| ≤ 2·cumulant·‖w‖·wᵀΛw, and Λ changes by at most ``cumulant``
        times as much as z: √2/2 for cross-entropy, 0 for squared errors.
    radius : float
    """
    S1, S2, S3, S4 = suprema
    R, L, N = radius, len(weights), len(samples.a[0].middle)
    w = [float(norms(W[None])[0]) for W in weights]
    F, root = samples.factor, norms(samples.factor)
    size = [_length(a) for a in samples.a]
    P: dict[tuple[int, int], Balls] = {}
    # at the middle, and by how much each may differ in the region
    nP: dict[tuple[int, int], Array] = {}
    dP: dict[tuple[int, int], Array] = {}
    moved = [np.zeros(N)]
    J: list[Array] = []
    dJ: list[Array] = []
    Ja: list[Array] = []
    d1: list[Array] = []
    d2: list[Array] = []
    d3: list[Array] = []
    top: list[Array] = []
    for layer in range(L):
        units = weights[layer].middle.shape[0]
        P[layer, layer] = Balls.of(np.broadcast_to(np.eye(units), (N, units, units)))
        nP[layer, layer], dP[layer, layer] = np.ones(N), np.zeros(N)
        if layer:
            first = samples.derivatives[layer - 1][0]
            step = weights[layer] * first[:, None, :]
            change = R * (top[-1] + d1[-1]) + w[layer] * d1[-1]
            long = norms(step)
            for m in range(layer):
                P[layer, m] = step @ P[layer - 1, m]
                nP[layer, m] = norms(P[layer, m])
                before = nP[layer - 1, m] + dP[layer - 1, m]
                dP[layer, m] = change * before + long * dP[layer - 1, m]
        J.append(_jacobian([P[layer, m] for m in range(layer + 1)], size))
        parts = [
            dP[layer, m] * (size[m] + moved[m]) + nP[layer, m] * moved[m] for m in range(layer + 1)
        ]
        dJ.append(np.sqrt(sum(x**2 for x in parts)))
        rho = R * (J[-1] + dJ[-1])
        if layer < L - 1:
            first = samples.derivatives[layer][0]
            top.append(_largest(first))
            d1.append(np.minimum(S2 * rho, 2.0 * S1))
            d2.append(np.minimum(S3 * rho, 2.0 * S2))
            d3.append(np.minimum(S4 * rho, 2.0 * S3))
            scaled = [first[:, :, None] * P[layer, m] for m in range(layer + 1)]
            own = _jacobian(scaled, size) + top[-1] * dJ[-1] + d1[-1] * (J[-1] + dJ[-1])
            Ja.append(np.minimum(own, S1 * (J[-1] + dJ[-1])))
            moved.append(R * Ja[-1])
    middle_cap = _jacobian([F @ P[L - 1, m] for m in range(L)], size) ** 2
    Jr = [x + y for x, y in zip(J, dJ, strict=True)]

    def second(layer: int, left: Balls | None, scale: Array) -> Array:
        """Return a bound of ‖left z″‖ of a layer, ``scale`` being ‖left‖."""
        total = np.zeros(N)
        for m in range(layer + 1):
            if m:
                part = nP[layer, m] if left is None else norms(left @ P[layer, m])
                total = total + 2.0 * (part + scale * dP[layer, m]) * Ja[m - 1]
            if m < layer:
                Q = P[layer, m + 1] @ weights[m + 1]
                Q = Q if left is None else left @ Q
                bent = norms(Q * samples.derivatives[m][1][:, None, :])
                dQ = scale * (dP[layer, m + 1] * (w[m + 1] + R) + nP[layer, m + 1] * R)
                sup = np.minimum(_largest(samples.derivatives[m][1]) + d2[m], S2)
                total = total + (bent + dQ * sup + norms(Q) * d2[m]) * Jr[m] ** 2
        return total

    z2 = [second(layer, None, np.ones(N)) for layer in range(L)]
    lz2 = second(L - 1, F, root)
    a2 = [
        np.minimum(_largest(samples.derivatives[m][1]) + d2[m], S2) * Jr[m] ** 2
        + np.minimum(top[m] + d1[m], S1) * z2[m]
        for m in range(L - 1)
    ]
    bends = cumulant * R * Jr[-1]  # what Λ may differ by
    d_delta = [np.zeros(N)] * L
    d_delta[L - 1] = (root**2 + bends) * R * Jr[-1]
    third = np.zeros(N)
    for m in range(L - 1, 0, -1):
        third = third + 3.0 * (_length(samples.delta[m]) + d_delta[m]) * a2[m - 1]
        above = samples.above[m - 1]
        d_above = (w[m] + R) * d_delta[m] + R * _length(samples.delta[m])
        d_delta[m - 1] = S1 * d_above + d1[m - 1] * _length(above)
        _, f2, f3 = samples.derivatives[m - 1]
        u3 = _largest(above * f3) + d_above * S3 + _largest(above) * d3[m - 1]
        u2 = _largest(above * f2) + d_above * S2 + _largest(above) * d2[m - 1]
        third = third + u3 * Jr[m - 1] ** 3 + 3.0 * u2 * Jr[m - 1] * z2[m - 1]
    b = root * dJ[-1]
    A = 2.0 * cumulant * Jr[-1]
    B = 2.0 * A * b + 3.0 * lz2
    C = A * b**2 + A * Jr[-1] ** 2 * bends + 3.0 * b * lz2 + 3.0 * bends * Jr[-1] * z2[-1] + third
    G = largest_eigenvalue(gauss_newton)
    return float(min(_dual(mu, A, B, C, middle_cap, G) for mu in MULTIPLIERS) * SLACK)


def _jacobian(parts: Sequence[Balls], size: Sequence[Array]) -> Array:
    """Return bounds of ‖(P_0‖ã_0‖, P_1‖ã_1‖, …)‖₂, the Jacobian by all parameters, (N,)."""
    middle = [p.middle * s[:, None, None] for p, s in zip(parts, size, strict=False)]
    radius = [enlarged(p.radius * s[:, None, None], 2) for p, s in zip(parts, size, strict=False)]
    return norms(Balls(np.concatenate(middle, axis=-1), np.concatenate(radius, axis=-1))) * SLACK


def _dual(mu: float, A: Array, B: Array, C: Array, cap: Array, G: float) -> float:
    """Return mean max((A − μ)q + B√q + C over 0 ≤ q ≤ cap) + μG."""
    slope = A - mu
    best = np.where(slope < 0.0, B / (2.0 * np.maximum(-slope, 1e-150)), np.inf)
    root = np.minimum(best, np.sqrt(cap))
    return float(np.mean(np.maximum(slope * root + B, 0.0) * root + C) + mu * G)
