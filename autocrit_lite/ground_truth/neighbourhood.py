"""What lies around a critical point: steps off its locus, and other critical points close to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..arrays import Array
from ..checks import integer, number, theta_array
from ..networks.mlp import MLP
from ..objectives import Objective

KERNEL = 1e-8
"""Eigenvalues below this times the largest are the kernel (chosen by us: far above the rounding of
a Hessian, about 1e-15, and below the eigenvalues met on the loci)."""

NEWTON_STEPS = 10
"""Of each run (chosen by us: with the Hessian frozen each shortens the gradient about
``radius``-fold, so that ten reach rounding from a radius of 0.03)."""


def displace(
    net: MLP, theta: Array, blocks: Sequence[str], length: float, rng: np.random.Generator
) -> Array:
    """Move θ by a random vector of a given length in some of its blocks M_i and b_i.

    Stepping off a locus shows what its definition needs. From a generic point of S_k the gradient
    grows like the length of a step in ``M_k``, ``M_ℓ`` or ``b_ℓ``, and stays zero for steps in the
    hidden biases. On a core locus with m indices, m + 1 matrices are zero, and a step in m − 1 of
    them leaves two, which is enough to be critical: the gradient is that of a multilinear function,
    zero until m of them are changed, and of the order of the length to the m from there on.

    Parameters
    ----------
    net : MLP
    theta : array (n,) or (B, n)
    blocks : sequence of str
        Names such as ``"M_1"`` or ``"b_3"``, layers counted from 1.
    length : float
        The Euclidean length of the step.
    rng : numpy.random.Generator

    Returns
    -------
    theta : array of the same shape
    """
    names = {
        f"{letter}_{layer}": where
        for layer, pair in enumerate(net.slices, start=1)
        for letter, where in zip("Mb", pair, strict=True)
    }
    unknown = sorted(set(blocks) - set(names))
    if isinstance(blocks, str) or unknown or not blocks:
        raise ValueError(f"blocks must be some of {', '.join(names)}, not {blocks!r}")
    theta = theta_array(theta, net.n_parameters)
    moved = np.zeros(net.n_parameters, dtype=bool)
    for block in blocks:
        moved[names[block]] = True
    step = np.where(moved, rng.normal(size=theta.shape), 0.0)
    step *= number("length", length, at_least=0.0) / np.linalg.norm(step, axis=-1, keepdims=True)
    return theta + step


def nearby_critical_points(
    objective: Objective, theta: Array, radius: float, size: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Look for critical points around a critical point, whatever set they belong to.

    Steps of length ``radius`` in random directions of the Hessian's kernel, each followed by
    Newton steps with the pseudoinverse of H at θ. Where the critical points around θ form a
    manifold whose tangent space is the kernel (Morse–Bott), all runs converge, and its dimension
    is the rank of the differences of more points than that, with a tolerance between ``radius``
    and 1: a manifold bends out of its tangent space by ``radius``² only.

    At points of S_{ℓ−1} where C (`critical_locus.hessian_eigenvalues`) has rank m_ℓ, the manifold
    has dimension n − (2m_{ℓ−1} + 1)m_ℓ, more than S_{ℓ−1}: all points with M_ℓ = 0, b_ℓ = ȳ and
    Σ_α (ȳ − y_α) a_{ℓ−1,α}ᵀ = 0 are critical.

    Parameters
    ----------
    objective : Objective
    theta : array (n,)
        A critical point.
    radius : float
        The length of the steps.
    size : int
        How many points to look for.
    rng : numpy.random.Generator

    Returns
    -------
    points : array (size, n)
    gradient_norms : array (size,)
        ‖∇L‖ at each: those that are not small did not converge.
    """
    theta = theta_array(theta, None)
    radius, size = number("radius", radius, above=0.0), integer("size", size, at_least=1)
    eigenvalues, vectors = np.linalg.eigh(objective.linearize(theta).hessian())
    kernel = np.abs(eigenvalues) <= KERNEL * np.max(np.abs(eigenvalues))
    steps = rng.normal(size=(size, int(kernel.sum()))) @ vectors[:, kernel].T
    points = theta + radius * steps / np.linalg.norm(steps, axis=1, keepdims=True)
    inverse = np.divide(1.0, eigenvalues, where=~kernel, out=np.zeros_like(eigenvalues))
    for _ in range(NEWTON_STEPS):
        gradient = objective.value_and_gradient(points)[1]
        points = points - (gradient @ vectors * inverse) @ vectors.T
    return points, np.linalg.norm(objective.value_and_gradient(points)[1], axis=1)
