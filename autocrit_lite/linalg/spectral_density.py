"""How the eigenvalues of a Hessian are spread, from products alone: stochastic Lanczos quadrature.

A unit vector v has a spectral measure: the share (qᵀv)² of each eigenvector q at its eigenvalue.
Over random v its mean is the distribution of the eigenvalues. k Lanczos steps from v know k nodes
and weights of it, those of Gauss's quadrature, and bounds of what lies below any number [1]_. So an
interval from a few v holds two errors: that they are few, and that k steps do not see everything.

References
----------
.. [1] G. H. Golub, G. Meurant, Matrices, Moments and Quadrature with Applications, Princeton 2010:
   chapters 3, 4 and 11.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import device
from scipy.linalg import eigh_tridiagonal, svdvals
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
from scipy.special import stdtrit

from ..arrays import Array, array_namespace, norm, read_only
from ..checks import float_array, generator, integer, number, objective_with
from ..devices import to_numpy
from ..objectives import Objective

PROBES, STEPS = 10, 80
"""Chosen by us: 800 products place the bulk of a spectrum to a few thousandths of its width."""

EXHAUSTED = 1e-13
"""What is left of a Lanczos vector may be rounding: a thousand times its error, chosen by us."""

CONFIDENCE = 0.95
"""Of the intervals over probes, by Student's t."""

EXTREMES = 3
"""Eigenvalues at either end (chosen by us)."""

SMALL = 64
"""Up to this order all eigenvalues are as cheap as a few (chosen by us)."""

ARPACK: dict[str, Any] = {"ncv": 40, "maxiter": 20, "tol": 1e-5}
"""Chosen by us: 40 vectors of length n, and at most some 700 products."""

Product = Callable[[Array], Array]


class Share(NamedTuple):
    """A share from 0 to 1: an estimate, and the ends of an interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Quadrature:
    """What Lanczos steps from a vector know of its spectral measure.

    Attributes
    ----------
    nodes : array (k,)
        The Ritz values, ascending.
    weights : array (k,)
        Their shares; the sum is 1.
    least : float
        The least ‖Hv‖ of a unit vector in the Krylov space; no |eigenvalue| is all above it.
    exhausted : bool
        Whether the space became invariant: the nodes are then eigenvalues, and nothing is hidden.
    """

    nodes: Array
    weights: Array
    least: float
    exhausted: bool

    def below(self, level: float) -> Share:
        """Return the share of the measure below a level, with its bounds.

        By the inequalities of Chebyshev, Markov and Stieltjes: a measure with these Gauss nodes has
        below a level, of which j nodes are less, at least the first j − 1 weights, and at most the
        first j + 1.
        """
        sums = np.concatenate([[0.0], np.cumsum(self.weights)])
        j = int(np.searchsorted(self.nodes, level))
        value = float(sums[j])
        if self.exhausted:
            return Share(value, value, value)
        return Share(value, float(sums[max(j - 1, 0)]), float(sums[min(j + 1, len(self.nodes))]))

    def within(self, level: float) -> Share:
        """Return the share of the measure from −level to level, with its bounds."""
        inner, outer = self.below(-level), self.below(float(np.nextafter(level, np.inf)))
        value, low, high = outer.value - inner.value, outer.low - inner.high, outer.high - inner.low
        return Share(value, max(low, 0.0), min(high, 1.0))


def lanczos_quadrature(product: Product, v: Array, steps: int) -> Quadrature:
    """Return what Lanczos steps from v know of its spectral measure.

    Every vector is made orthogonal to all before it, twice, so that no eigenvalue shows up again.

    Parameters
    ----------
    product : callable
        Maps v (n,) to Hv.
    v : array (n,)
        Not zero. The work is done where it is.
    steps : int
        k, at most n of which are made: k products, and k vectors of length n in memory.

    Raises
    ------
    ValueError
        If a product is not finite.
    """
    xp, n = array_namespace(v), v.shape[0]
    steps = min(steps, n)
    V = xp.empty((steps, n), dtype=v.dtype, device=device(v))
    alpha, beta = np.zeros(steps), np.zeros(steps)
    v, made = v / norm(v), 0
    for k in range(steps):
        V[k, :] = v
        w = product(read_only(v))
        alpha[k], made = float(w @ v), k + 1
        if not np.isfinite(alpha[k]):
            raise ValueError("theta must be a point where the Hessian is finite")
        for _ in range(2):
            w = w - (V[:made, :] @ w) @ V[:made, :]
        beta[k] = float(norm(w))
        if beta[k] <= EXHAUSTED * max(np.max(np.abs(alpha)), np.max(beta)):
            break
        v = w / float(beta[k])
    alpha, beta = alpha[:made], beta[:made]
    nodes, vectors = eigh_tridiagonal(alpha, beta[:-1])
    T = np.diag(alpha) + np.diag(beta[:-1], 1) + np.diag(beta[:-1], -1)
    T = np.vstack([T, np.append(np.zeros(made - 1), beta[-1])])
    exhausted = made == n or made < steps
    return Quadrature(nodes, vectors[0] ** 2, float(svdvals(T)[-1]), exhausted)


@dataclass(frozen=True)
class SpectralDensity:
    """How the eigenvalues of a Hessian are spread.

    Attributes
    ----------
    n : int
        How many eigenvalues there are.
    quadratures : tuple of Quadrature
        One for each probe.
    extremes : array (m,)
        The outermost eigenvalues that were found, ascending, up to three from each end.
    residuals : array (m,)
        ‖Hq − λq‖ of each: an eigenvalue is no farther than that from it.
    products : int
        How many Hessian-vector products this took.
    """

    n: int
    quadratures: tuple[Quadrature, ...]
    extremes: Array
    residuals: Array
    products: int

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest number known to lie within the spectrum."""
        known = np.concatenate([self.extremes, *(q.nodes for q in self.quadratures)])
        return float(np.min(known)), float(np.max(known))

    def below(self, level: float) -> Share:
        """Return the share of eigenvalues below a level, in an interval of 95 %.

        It spans what the quadratures leave open and, by Student's t, how much the probes differ; a
        count narrows it, as there are never fewer eigenvalues on a side than Ritz values.

        Raises
        ------
        TypeError, ValueError
            If the level is no number.
        """
        level = number("level", level)
        found = np.array([q.below(level) for q in self.quadratures])
        value, low, high = np.mean(found, axis=0)
        margin = _quantile(len(found)) * np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
        off = self.n * np.finfo(float).eps * max(map(abs, self.range))  # rounding of Ritz values
        sure = max(int(np.sum(q.nodes < level - off)) for q in self.quadratures)
        other = max(int(np.sum(q.nodes >= level + off)) for q in self.quadratures)
        inside = np.clip([low - margin[1], high + margin[2]], sure / self.n, 1.0 - other / self.n)
        return Share(float(np.clip(value, *inside)), *map(float, inside))

    def within(self, level: float) -> Share:
        """Return the share of eigenvalues from −level to level, in an interval as of ``below``.

        Raises
        ------
        TypeError, ValueError
            If the level is no number of at least 0.
        """
        level = number("level", level, at_least=0.0)
        inner, outer = self.below(-level), self.below(float(np.nextafter(level, np.inf)))
        value, low, high = outer.value - inner.value, outer.low - inner.high, outer.high - inner.low
        return Share(max(value, 0.0), max(low, 0.0), high)

    def density(self, at: Array, width: float) -> tuple[Array, Array]:
        """Return the density of eigenvalues, smoothed, and its standard error over probes.

        Parameters
        ----------
        at : array (G,)
            Where.
        width : float
            The standard deviation of the Gaussian in place of each eigenvalue. What is finer than
            the distance between Ritz values there, the quadrature does not show.

        Returns
        -------
        mean, error : array (G,)
            The integral of the density is 1.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described.
        """
        at, width = float_array("at", at, "G"), number("width", width, above=0.0, finite=True)
        curves = np.array([smoothed(q.nodes, q.weights, at, width) for q in self.quadratures])
        return np.mean(curves, axis=0), np.std(curves, axis=0, ddof=1) / np.sqrt(len(curves))

    def __str__(self) -> str:
        """Return what it says in a few lines."""
        ends = [
            f"  {value: .6g}  {error:.1e}"
            for value, error in zip(self.extremes, self.residuals, strict=True)
        ]
        negative, probes = self.below(0.0), len(self.quadratures)
        return "\n".join(
            [
                f"{self.n} eigenvalues, by {probes} probes and {self.products} products",
                f"negative: {negative.value:.3g}, from {negative.low:.3g} to {negative.high:.3g}",
                "outermost, and how far at most from an eigenvalue:",
                *ends,
            ]
        )


def smoothed(eigenvalues: Array, weights: Array, at: Array, width: float) -> Array:
    """Return the sum (G,) of Gaussians of a width around eigenvalues (m,), times weights (m,)."""
    z = (at[:, None] - eigenvalues) / width
    return np.exp(-0.5 * z**2) @ weights / (width * np.sqrt(2.0 * np.pi))


def _quantile(probes: int) -> float:
    return float(stdtrit(probes - 1, 0.5 + CONFIDENCE / 2.0))


def spectral_density(
    objective: Objective,
    theta: Array,
    probes: int = PROBES,
    steps: int = STEPS,
    *,
    rng: np.random.Generator | None = None,
) -> SpectralDensity:
    """Return how the eigenvalues of the Hessian at theta are spread, for any n.

    By stochastic Lanczos quadrature, and SciPy's ``eigsh`` for the ends of the spectrum. No dense
    Hessian is formed: the memory is that of the linearised point and of ``steps`` + 40 vectors.

    Parameters
    ----------
    objective : Objective
    theta : array (n,)
    probes : int
        Random vectors, at least 2; 10, chosen by us.
    steps : int
        Lanczos steps, and products, for each; 80, chosen by us.
    rng : numpy.random.Generator, optional
        ``default_rng(0)`` by default: the same probes each time.

    Returns
    -------
    SpectralDensity

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or the Hessian is not finite at theta.

    Examples
    --------
    >>> from autocrit_lite import from_functions
    >>> curvature = np.repeat([-1.0, 0.0, 2.0], [10, 70, 20])
    >>> objective = from_functions(
    ...     lambda x: (0.5 * x @ (curvature * x), curvature * x), lambda x, v: curvature * v, n=100
    ... )
    >>> found = spectral_density(objective, np.ones(100))
    >>> share = found.below(-0.5)
    >>> share.low <= 0.1 <= share.high
    True
    """
    objective_with("linearize", objective)
    theta = float_array("theta", theta, "n")
    probes, steps = integer("probes", probes, at_least=2), integer("steps", steps, at_least=1)
    rng = np.random.default_rng(0) if rng is None else generator("rng", rng)
    return density_of(Products(objective.linearize(theta).hvp), theta, probes, steps, rng)


@dataclass
class Products:
    """A map v ↦ Hv that counts its calls."""

    hvp: Product
    made: int = 0

    def __call__(self, v: Array) -> Array:
        """Return Hv."""
        self.made += 1
        return self.hvp(v)


def density_of(
    product: Products, like: Array, probes: int, steps: int, rng: np.random.Generator
) -> SpectralDensity:
    """Return the same from products with vectors of the kind and size of ``like`` (n,)."""
    xp, n = array_namespace(like), like.shape[0]

    def there(v: Array) -> Array:
        return xp.asarray(v, dtype=like.dtype, device=device(like))

    quadratures = tuple(
        lanczos_quadrature(product, there(rng.standard_normal(n)), steps) for _ in range(probes)
    )
    extremes, residuals = extreme_eigenvalues(
        lambda v: to_numpy(product(there(v))), n, rng.standard_normal(n)
    )
    return SpectralDensity(n, quadratures, extremes, residuals, product.made)


def extreme_eigenvalues(product: Product, n: int, start: Array) -> tuple[Array, Array]:
    """Return the outermost eigenvalues, up to three from each end, and their residuals.

    Those that ARPACK has found when it has used up its iterations; all up to ``SMALL`` of them.

    Parameters
    ----------
    product : callable
        Maps a NumPy array v (n,) to Hv.
    n : int
    start : array (n,)
    """
    if n <= SMALL:
        H = np.stack([product(row) for row in np.eye(n)])
        values, vectors = np.linalg.eigh(0.5 * (H + H.T))
        ends = sorted({*range(n)[:EXTREMES], *range(n)[-EXTREMES:]})
        values, vectors = values[ends], vectors[:, ends]
    else:
        operator = LinearOperator((n, n), matvec=lambda v: product(np.ravel(v)), dtype=np.float64)
        try:
            values, vectors = eigsh(operator, k=2 * EXTREMES, which="BE", v0=start, **ARPACK)
        except ArpackNoConvergence as error:
            values, vectors = error.eigenvalues, error.eigenvectors
        order = np.argsort(values)
        values, vectors = values[order], vectors[:, order]
    gaps = [product(q) - value * q for value, q in zip(values, vectors.T, strict=True)]
    return values, np.array([np.linalg.norm(gap) for gap in gaps])
