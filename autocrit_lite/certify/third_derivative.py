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
from .balls import Balls, Stack, U, enlarged

SLACK = 1.0 + 1e-9
POWERS = 30
"""Of the Gauss–Newton matrix on a vector, for its largest eigenvalue (chosen by us)."""

MULTIPLIERS = np.geomspace(1e-6, 1e8, 113)
"""The μ that are tried (chosen by us); whichever it is, the bound holds."""


@dataclass(frozen=True)
class Pass:
    """What a forward and backward pass of some samples leaves, in balls of float64.

    Attributes
    ----------
    a : list of Balls (N, inputs)
        The inputs of each layer, with a column of ones where the network has biases.
    first, second, third : list of Balls (N, units)
        σ′, σ″ and σ‴ of each hidden layer's pre-activations.
    delta : list of Balls (N, units)
        ∂ℓ/∂z of each layer, ℓ being the loss of one sample.
    above : list of Balls (N, units)
        ∂ℓ/∂a of each hidden layer's activations.
    output : Balls (N, outputs)
        The softmax, or the outputs.
    margin : list of arrays (N,)
        How far the pre-activations of each hidden layer are from a kink, at least.
    """

    a: list[Balls]
    first: list[Balls]
    second: list[Balls]
    third: list[Balls]
    delta: list[Balls]
    above: list[Balls]
    output: Balls
    margin: list[Array]


def largest_eigenvalue(G: Balls) -> float:
    """Return an upper bound of the largest eigenvalue of symmetric matrices (n, n).

    Where Cholesky's method in floats goes through for λ − G, with γ = (n + 1)u/(1 − (n + 1)u) that
    matrix is at most γ/(1 − γ) times its trace from a positive one (Rump 2006, Verification of
    positive definiteness, BIT 46; after Demmel 1989).
    """
    n = len(G.middle)
    middle = 0.5 * (G.middle + G.middle.T)
    size = np.abs(middle).max()
    v = np.sum(np.abs(middle), axis=1)
    for _ in range(POWERS):
        v = middle @ (v / max(np.linalg.norm(v), 1e-300))
    top = np.linalg.norm(v) * 1.001 + 1e-300
    while top < 4.0 * n * size:
        try:
            np.linalg.cholesky(top * np.eye(n) - middle)
        except np.linalg.LinAlgError:
            top *= 1.02
            continue
        gamma = (n + 4) * U * 1.01
        # the trace of λ − G, the rounding of its diagonal, the ball around G and its asymmetry
        lost = gamma * (n * top + np.sum(np.abs(np.diagonal(middle)))) + 2.0 * U * top
        around = Balls(middle * U, G.radius).spectral_norm()
        return float(enlarged(np.asarray(top + lost + around), n + 8))
    return G.spectral_norm()


def _length(x: Balls) -> Array:
    """Return upper bounds of the lengths of vectors (N, k)."""
    return np.sqrt(np.sum(x.magnitude**2, axis=1)) * SLACK


def _largest(x: Balls) -> Array:
    """Return upper bounds of the largest entries of vectors (N, k)."""
    return np.max(x.magnitude, axis=1)


def coefficients(
    samples: Pass,
    factor: Stack,
    weights: Sequence[Balls],
    suprema: tuple[float, float, float, float],
    cumulant: float,
    radius: float,
) -> tuple[Array, Array, Array, Array]:
    """Return A, B and C of each sample where ‖θ − θ̄‖ ≤ radius, and the largest q at the middle.

    C is infinite where a pre-activation may reach a kink. While none has, the bounds that tell how
    far it moves hold: so none can be the first.

    Parameters
    ----------
    samples : Pass
    factor : Stack (N, C, C)
        F with FᵀF = Λ.
    weights : sequence of Balls (out, in)
        Of each layer, without biases.
    suprema : 4 floats
        Upper bounds of |σ′|, |σ″|, |σ‴| and |σ⁗|.
    cumulant : float
        Of the loss: |∂³ℓ[w, w, w]| ≤ 2·cumulant·‖w‖·wᵀΛw, and Λ changes by at most ``cumulant``
        times as much as z: √2/2 for cross-entropy, 0 for squared errors.
    radius : float
    """
    S1, S2, S3, S4 = suprema
    R, L, N = radius, len(weights), len(samples.a[0].middle)
    first = samples.first
    w = [float(Stack.of(W[None]).norms()[0]) for W in weights]
    root, size = factor.norms(), [_length(a) for a in samples.a]
    # P_lm, and what it is before σ′; norms at the middle, and how far they change in the region
    P: list[list[Stack]] = []
    bare: list[list[Stack]] = []
    nP: list[list[Array]] = []
    dP: list[list[Array]] = []
    moved = [np.zeros(N)]
    J: list[Array] = []
    dJ: list[Array] = []
    Ja: list[Array] = []
    d1: list[Array] = []
    d2: list[Array] = []
    d3: list[Array] = []
    top: list[Array] = []
    kink = np.zeros(N, dtype=bool)
    for layer in range(L):
        units = weights[layer].middle.shape[0]
        eye = Stack(np.broadcast_to(np.eye(units), (N, units, units)), np.zeros((N, units)))
        own, before_sigma = _chain(eye, weights, first, layer)
        P.append(own)
        bare.append(before_sigma)
        nP.append([p.norms() for p in own[:layer]] + [np.ones(N)])
        dP.append([np.zeros(N)] * (layer + 1))
        if layer:
            change = R * (top[-1] + d1[-1]) + w[layer] * d1[-1]
            for m in range(layer):
                before = nP[layer - 1][m] + dP[layer - 1][m]
                dP[layer][m] = change * before + nP[layer][layer - 1] * dP[layer - 1][m]
        J.append(_jacobian(own, size))
        parts = [
            dP[layer][m] * (size[m] + moved[m]) + nP[layer][m] * moved[m] for m in range(layer + 1)
        ]
        dJ.append(np.sqrt(sum(x**2 for x in parts)))
        rho = R * (J[-1] + dJ[-1])
        if layer < L - 1:
            kink |= ~(rho * SLACK < samples.margin[layer])
            top.append(_largest(first[layer]))
            d1.append(np.minimum(S2 * rho, 2.0 * S1))
            d2.append(np.minimum(S3 * rho, 2.0 * S2))
            d3.append(np.minimum(S4 * rho, 2.0 * S3))
            scaled = [p.T.scaled(first[layer]).T for p in own]
            inner = _jacobian(scaled, size) + top[-1] * dJ[-1] + d1[-1] * (J[-1] + dJ[-1])
            Ja.append(np.minimum(inner, S1 * (J[-1] + dJ[-1])))
            moved.append(R * Ja[-1])
    FP, bare_FP = _chain(factor, weights, first, L - 1)
    middle_cap = _jacobian(FP, size) ** 2
    Jr = [x + y for x, y in zip(J, dJ, strict=True)]

    def second(layer: int, left: list[Stack], before: list[Stack], scale: Array) -> Array:
        """Return a bound of ‖F z″‖ of a layer, where ``left`` is FP_lm and ``scale`` is ‖F‖."""
        total = np.zeros(N)
        for m in range(layer + 1):
            if m:
                total = total + 2.0 * (left[m].norms() + scale * dP[layer][m]) * Ja[m - 1]
            if m < layer:
                bent = before[m].scaled(samples.second[m]).norms()
                dQ = scale * (dP[layer][m + 1] * (w[m + 1] + R) + nP[layer][m + 1] * R)
                sup = np.minimum(_largest(samples.second[m]) + d2[m], S2)
                total = total + (bent + dQ * sup + before[m].norms() * d2[m]) * Jr[m] ** 2
        return total

    z2 = [second(layer, P[layer], bare[layer], np.ones(N)) for layer in range(L)]
    lz2 = second(L - 1, FP, bare_FP, root)
    a2 = [
        np.minimum(_largest(samples.second[m]) + d2[m], S2) * Jr[m] ** 2
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
        f2, f3 = samples.second[m - 1], samples.third[m - 1]
        u3 = _largest(above * f3) + d_above * S3 + _largest(above) * d3[m - 1]
        u2 = _largest(above * f2) + d_above * S2 + _largest(above) * d2[m - 1]
        third = third + u3 * Jr[m - 1] ** 3 + 3.0 * u2 * Jr[m - 1] * z2[m - 1]
    b = root * dJ[-1]
    A = 2.0 * cumulant * Jr[-1]
    B = 2.0 * A * b + 3.0 * lz2
    C = A * b**2 + A * Jr[-1] ** 2 * bends + 3.0 * b * lz2 + 3.0 * bends * Jr[-1] * z2[-1] + third
    return A, B, np.where(kink, np.inf, C), middle_cap


def bound(A: Array, B: Array, C: Array, cap: Array, G: float) -> float:
    """Return K, at least ‖D³L‖, from the samples' ``coefficients`` and λ of Gauss–Newton."""
    return float(min(_dual(mu, A, B, C, cap, G) for mu in MULTIPLIERS) * SLACK)


def _chain(
    start: Stack, weights: Sequence[Balls], first: Sequence[Balls], layer: int
) -> tuple[list[Stack], list[Stack]]:
    """Return F ∂z_l/∂z_m for all m ≤ l, and F ∂z_l/∂a_m for all m < l."""
    P, before = [start], []
    for m in range(layer - 1, -1, -1):
        before.append(P[-1] @ weights[m + 1])
        P.append(before[-1].scaled(first[m]))
    return P[::-1], before[::-1]


def _jacobian(parts: Sequence[Stack], size: Sequence[Array]) -> Array:
    """Return bounds of ‖(P_0‖ã_0‖, P_1‖ã_1‖, …)‖₂, the Jacobian by all parameters, (N,)."""
    middle = [p.middle * s[:, None, None] for p, s in zip(parts, size, strict=False)]
    radius = [
        enlarged(s[:, None] * (p.radius + U * p.size), 4) for p, s in zip(parts, size, strict=False)
    ]
    whole = Stack(np.concatenate(middle, axis=-1), np.concatenate(radius, axis=-1))
    return whole.norms() * SLACK


def _dual(mu: float, A: Array, B: Array, C: Array, cap: Array, G: float) -> float:
    """Return mean max((A − μ)q + B√q + C over 0 ≤ q ≤ cap) + μG."""
    slope = A - mu
    best = np.where(slope < 0.0, B / (2.0 * np.maximum(-slope, 1e-150)), np.inf)
    root = np.minimum(best, np.sqrt(cap))
    return float(np.mean(np.maximum(slope * root + B, 0.0) * root + C) + mu * G)
