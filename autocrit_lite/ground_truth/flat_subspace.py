"""Theorem 5.15 of Cooper 2020 (arXiv 2005.04210): linear spaces inside the level sets.

And what is true of its corollaries, which count zero eigenvalues: `guaranteed_zeros`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import Array
from ..checks import integer, number
from ..networks.mlp import MLP
from .critical_locus import hidden_activations


@dataclass(frozen=True)
class FlatSubspace:
    """A linear space of directions that change no output, hence no loss.

    Attributes
    ----------
    basis : array (dimension, n)
        Orthonormal rows.
    rank : int
        The rank r of Φ (m_{ℓ−1}, N), the last hidden layer's activations of all samples.
    rank_with_ones : int
        The rank r̃ of Φ with a row of ones for the bias.
    printed_dimension : int
        (m_{ℓ−1} + 1 − r)·m_ℓ, printed in Theorem 5.15.
    """

    basis: Array
    rank: int
    rank_with_ones: int
    printed_dimension: int

    @property
    def dimension(self) -> int:
        """(m_{ℓ−1} + 1 − r̃)·m_ℓ, the dimension of the space."""
        return int(self.basis.shape[0])


def flat_subspace(net: MLP, theta: Array, X: Array, rtol: float | None = None) -> FlatSubspace:
    """Return the directions in the last layer that leave all outputs as they are (Theorem 5.15).

    With the other layers fixed, the outputs are (M_ℓ b_ℓ) Φ̃, where Φ̃ is Φ with a row of ones.
    Adding rows of the left null space of Φ̃, of dimension m_{ℓ−1} + 1 − r̃, to the rows of (M_ℓ b_ℓ)
    changes no output, however long the step: at *any* θ, critical or not, and for any loss of the
    outputs. The theorem's proof forgets the row of ones and prints r, the rank of Φ. Where
    r̃ = r + 1 the quadratic form of Lemma 5.14 has rank (r + 1)m_ℓ, and the space it promises within
    the slice does not exist.

    Corollaries 5.16 and 5.18 conclude that the Hessian has as many zero eigenvalues. That holds
    where the Hessian is positive semidefinite, at a local minimum. At a saddle a direction with
    vᵀHv = 0 need not satisfy Hv = 0; what holds is dimension ≤ zeros + min(positive, negative).
    Both corollaries fail at the star locus, one point, of the networks a-m-a for most data with
    N > a: the Hessian has m zeros there (`critical_locus.hessian_eigenvalues`), and Corollary 5.18
    promises (m + 1 − N)a, which is more for a ≥ 2 and large m. In deeper networks that are wide
    enough they are true for another reason (`guaranteed_zeros`).

    Parameters
    ----------
    net : MLP
        With biases.
    theta : array (n,)
    X : array (N, inputs)
    rtol : float, optional
        Singular values of Φ and Φ̃ below ``rtol`` times the largest count as zero; by default
        max(m_{ℓ−1} + 1, N) times the machine epsilon, as in ``numpy.linalg.matrix_rank``.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> net, X = MLP((2, 8, 3), "tanh"), rng.normal(size=(4, 2))
    >>> theta = rng.normal(size=net.n_parameters)
    >>> flat = flat_subspace(net, theta, X)
    >>> flat.dimension, flat.printed_dimension
    (15, 15)
    >>> walked = theta + 10.0 * flat.basis[0]
    >>> bool(np.allclose(net.forward(walked, X), net.forward(theta, X), rtol=0, atol=1e-12))
    True
    """
    features = hidden_activations(net, theta, X, len(net.layers) - 2)
    extended = np.column_stack([features, np.ones(features.shape[0])])
    if rtol is None:
        rtol = float(max(extended.shape) * np.finfo(float).eps)
    rtol = number("rtol", rtol, at_least=0.0, below=1.0)
    singular_values, rows = np.linalg.svd(extended)[1:]
    rank_with_ones = int(np.sum(singular_values > rtol * singular_values[0]))
    null_rows = rows[rank_with_ones:]
    (weights, biases), (n_out, n_in) = net.slices[-1], net.shapes[-1]
    # one copy of the null space for each output; θ holds all weights before the biases
    basis = np.zeros((n_out, null_rows.shape[0], net.n_parameters))
    for output in range(n_out):
        start = weights.start + output * n_in
        basis[output, :, start : start + n_in] = null_rows[:, :-1]
        basis[output, :, biases.start + output] = null_rows[:, -1]
    rank = int(np.linalg.matrix_rank(features, rtol=rtol))
    return FlatSubspace(
        basis=basis.reshape(-1, net.n_parameters),
        rank=rank,
        rank_with_ones=rank_with_ones,
        printed_dimension=(n_in + 1 - rank) * n_out,
    )


def guaranteed_zeros(net: MLP, n_samples: int) -> int:
    """Return how many zero eigenvalues the Hessian has at least, at any θ, by the sizes alone.

    Write z_l = M_l a_{l−1} + b_l, ã for an activation with a one below it, and δ_l = ∂L/∂z_l, all
    for each of the N samples. The rows of the Hessian that belong to (M_l b_l) are sums over the
    samples of, for every layer k,

        (∂²L/∂z_l∂z_k) ⊗ ã_{l−1} ã_{k−1}ᵀ,
        (∂a_{k−1}/∂z_l)ᵀ δ_k ⊗ ã_{l−1}      for k > l, in the rows of M_k,
        δ_l ⊗ (∂a_{l−1}/∂z_k) ã_{k−1}ᵀ      for k < l.

    Take a column of any as a matrix of m_l by m_{l−1} + 1. Its rows are multiples of ã_{l−1} in the
    first two, its columns multiples of δ_l in the last. So the Hessian takes to zero all matrices
    whose rows are orthogonal to the N vectors ã_{l−1} and whose columns are to the N vectors δ_l,
    which do not come in for l = 1. They make up a space of dimension at least

        (m_l − min(N, m_l))·max(m_{l−1} + 1 − N, 0)   for l ≥ 2,   m₁·max(m₀ + 1 − N, 0) for l = 1.

    The sum over the layers is what is returned; at random points there are no more zeros than
    this. For ℓ ≥ 3 it grows with the square of the hidden layers' width w, and Corollary 5.18 of
    Cooper 2020, which promises (w + 1 − N)m_ℓ at critical points, is true at every θ wherever
    (ℓ − 2)(w − N) ≥ m_ℓ. For ℓ = 2 and N ≥ m₂, m₀ + 1 the sum is zero, and the corollary can fail.

    Parameters
    ----------
    net : MLP
        With biases and a smooth activation.
    n_samples : int

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> guaranteed_zeros(MLP((2, 10, 10, 2), "tanh"), 5), guaranteed_zeros(MLP((2, 12, 2)), 5)
    (30, 0)
    """
    if not net.bias:
        raise ValueError(f"net must have biases, not {net}")
    N, m = integer("n_samples", n_samples, at_least=1), net.layers
    free_inputs = [max(width + 1 - N, 0) for width in m[:-1]]
    free_outputs = [m[1], *(max(width - N, 0) for width in m[2:])]
    return sum(i * o for i, o in zip(free_inputs, free_outputs, strict=True))
