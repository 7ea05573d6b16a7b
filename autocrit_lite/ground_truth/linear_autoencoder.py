"""Every critical point of the linear autoencoder with one hidden layer (Baldi & Hornik 1989).

With Σ the second-moment matrix of centred data (N inputs), eigenvalues λ₁ < … < λ_N, and h hidden
units, the loss depends on the map M = W₂W₁ alone: tr((M − 1)Σ(M − 1)ᵀ) / N. A point is critical if
and only if M projects onto the span of a set I of at most h eigenvectors, and W₁ and W₂ factor it
through that span. With the eigenvectors of I in the columns of U_I:

    W₁ = A [U_Iᵀ]      W₂ = [U_I  0] A⁻¹      A any invertible (h, h)
           [ 0  ]

So there is one connected set of critical points for each I (Frye et al. 2019, section 3). What is
the same on all of it, with r = |I|:

    loss       Σ_{j∉I} λ_j / N                                    (averaged over the N outputs)
    index      #{i ∈ I, j ∉ I : λ_j > λ_i} + (h − r)(N − r)       negative eigenvalues, of 2hN
    zeros      h² − (h − r)²                                      the dimension of the set

The first term of the index exchanges a kept eigenvector for one of larger eigenvalue; the second
gives an unused hidden unit one of the N − r eigenvectors that are left.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np

from ..arrays import Array
from ..checks import float_array, integer, number
from ..networks.mlp import MLP


@dataclass(frozen=True, eq=False)
class LinearAutoencoderPoints:
    """The K critical points of a linear autoencoder, one for each set of eigenvectors.

    Attributes
    ----------
    eigenvalues : array (N,)
        Of the covariance, in increasing order.
    eigenvectors : array (N, N)
        In the columns, in the same order. Eigenvector 0 is that of the smallest eigenvalue.
    n_hidden : int
        h.
    sets : tuple of K tuples of int
        The numbers of the eigenvectors that each point keeps; smaller sets first. Point 0 keeps
        none, "the critical point at zero".
    theta : array (K, 2hN)
        The point with A = 1, in the layout of ``net``.
    loss : array (K,)
        Squared error averaged over samples and outputs.
    index : array (K,)
        The fraction of the Hessian's eigenvalues that are negative.
    """

    eigenvalues: Array
    eigenvectors: Array
    n_hidden: int
    sets: tuple[tuple[int, ...], ...]
    theta: Array
    loss: Array
    index: Array

    @property
    def net(self) -> MLP:
        """The network: N-h-N, linear, without biases."""
        n_inputs = len(self.eigenvalues)
        return MLP((n_inputs, self.n_hidden, n_inputs), activation="linear", bias=False)

    @property
    def kept(self) -> Array:
        """Which eigenvectors each point keeps, boolean, shape (K, N)."""
        return _membership(self.sets, len(self.eigenvalues))

    def linear_map(self, theta: Array) -> Array:
        """Return M = W₂W₁, shape (..., N, N), at theta (..., 2hN)."""
        (W1, _), (W2, _) = self.net.unflatten(float_array("theta", theta))
        return W2 @ W1

    def identify(self, theta: Array) -> Identification:
        """Return the true point whose linear map is the nearest to that of each theta.

        In the basis of the eigenvectors the true maps are diagonal matrices of zeros and ones, so
        that ‖M − P_I‖² = ‖M − 0‖² + Σ_{i∈I} (1 − 2M_ii): the nearest keeps the eigenvectors with
        M_ii > 1/2, and of these the h with the largest M_ii. This is exact, and stays so where
        the sample's eigenvectors are not along the axes.

        Parameters
        ----------
        theta : array (n,) or (B, n)

        Raises
        ------
        TypeError, ValueError
            If theta is not float64, not finite, or of the wrong shape.
        """
        U = self.eigenvectors
        M = U.T @ self.linear_map(theta) @ U
        diagonal = np.diagonal(M, axis1=-2, axis2=-1)
        order = np.argsort(-diagonal, axis=-1, kind="stable")[..., : self.n_hidden]
        largest = np.zeros(diagonal.shape, dtype=bool)
        np.put_along_axis(largest, order, True, axis=-1)
        kept = largest & (diagonal > 0.5)
        distance = np.linalg.norm(M - kept[..., None] * np.eye(len(U)), axis=(-2, -1))
        row_of = {chosen: row for row, chosen in enumerate(self.sets)}
        flat = kept.reshape(-1, len(U))
        rows = [row_of[tuple(np.flatnonzero(chosen).tolist())] for chosen in flat]
        return Identification(np.reshape(rows, kept.shape[:-1]), kept, distance)

    def kept_by_diagonal(self, theta: Array, threshold: float = 0.9) -> Array:
        """Return which eigenvectors each theta keeps by the paper's rule, boolean, (..., N).

        The rule reads the diagonal of M itself and holds that coordinate i stands for eigenvector
        i, as it does in a population of diagonal covariance 1, …, N (Frye et al. 2019, 6.6). On a
        sample it misses true points, and ``identify`` does not.

        Parameters
        ----------
        theta : array (n,) or (B, n)
        threshold : float
            An eigenvector is kept above this. The default is the paper's.
        """
        threshold = number("threshold", threshold)
        return np.diagonal(self.linear_map(theta), axis1=-2, axis2=-1) > threshold


@dataclass(frozen=True, eq=False)
class Identification:
    """The nearest true critical point of a linear autoencoder, for each θ.

    Attributes
    ----------
    row : integer array (...)
        Its place in ``sets``, ``theta``, ``loss`` and ``index``.
    kept : boolean array (..., N)
        The eigenvectors that it keeps.
    distance : array (...)
        ‖M − P_I‖, the Frobenius norm between the linear maps: 0 on the whole connected set of
        critical points, however θ is scaled.
    """

    row: Array
    kept: Array
    distance: Array


def critical_points(covariance: Array, n_hidden: int = 4) -> LinearAutoencoderPoints:
    """Return all critical points of the N-h-N linear autoencoder, modulo A.

    Parameters
    ----------
    covariance : array (N, N)
        XᵀX/N of the centred data X (samples, N) that the network is trained on, not that of the
        distribution they come from. Its eigenvalues must be positive and distinct: else the
        critical points of given I are no longer one set for each I.
    n_hidden : int
        h, from 1 to N. The default is that of Frye et al. 2019, section 3.

    Raises
    ------
    TypeError, ValueError
        If the covariance is not a finite symmetric float64 matrix with positive, distinct
        eigenvalues, or ``n_hidden`` is out of range.

    References
    ----------
    P. Baldi and K. Hornik, Neural networks and principal component analysis: learning from
    examples without local minima, Neural Networks 2(1), 53-58, 1989.

    Examples
    --------
    >>> points = critical_points(np.diag(np.arange(1.0, 17.0)))
    >>> len(points.sets), int(np.sum(points.index == 0.0))
    (2517, 1)
    >>> points.sets[-1], float(points.loss[-1]), float(points.index[-1])
    ((12, 13, 14, 15), 4.875, 0.0)
    """
    covariance = _checked_covariance(covariance)
    n = len(covariance)
    h = integer("n_hidden", n_hidden, at_least=1, at_most=n)
    eigenvalues, U = np.linalg.eigh(covariance)
    gaps = np.diff(eigenvalues, prepend=0.0)
    if np.any(gaps <= n * np.finfo(float).eps * eigenvalues[-1]):
        raise ValueError(
            "covariance must have positive, distinct eigenvalues, but has "
            + ", ".join(f"{value:.6g}" for value in eigenvalues)
        )
    sets = tuple(chain.from_iterable(combinations(range(n), r) for r in range(h + 1)))
    kept = _membership(sets, n)

    W1 = np.zeros((len(sets), h, n))
    for row, chosen in enumerate(sets):
        W1[row, : len(chosen)] = U[:, chosen].T
    W2 = np.swapaxes(W1, -1, -2)
    theta = np.concatenate([W.reshape(len(sets), -1) for W in (W1, W2)], axis=1)

    rank = kept.sum(axis=1)
    # eigenvectors are numbered by increasing eigenvalue: count the pairs i kept, j > i left out
    left_out_above = np.cumsum(~kept[:, ::-1], axis=1)[:, ::-1]
    exchanges = np.sum(left_out_above * kept, axis=1)
    negative = exchanges + (h - rank) * (n - rank)
    return LinearAutoencoderPoints(
        eigenvalues=eigenvalues,
        eigenvectors=U,
        n_hidden=h,
        sets=sets,
        theta=theta,
        loss=(~kept) @ eigenvalues / n,
        index=negative / (2 * h * n),
    )


def _checked_covariance(covariance: Array) -> Array:
    """Return the covariance if it is a finite symmetric matrix, else raise."""
    covariance = float_array("covariance", covariance)
    if covariance.ndim != 2 or covariance.shape[0] != covariance.shape[1] or not covariance.size:
        raise ValueError(f"covariance must be a square matrix, not of shape {covariance.shape}")
    asymmetry = np.max(np.abs(covariance - covariance.T))
    # XᵀX is symmetric to rounding; more than that is a mistake
    if asymmetry > 1e-12 * np.max(np.abs(covariance)):
        raise ValueError(f"covariance must be symmetric, but differs by {asymmetry:g} across")
    return covariance


def _membership(sets: tuple[tuple[int, ...], ...], n: int) -> Array:
    """Return the sets of numbers below n as a boolean array (K, n)."""
    kept = np.zeros((len(sets), n), dtype=bool)
    for row, chosen in enumerate(sets):
        kept[row, list(chosen)] = True
    return kept
