"""Starts drawn from a training trajectory, and how evenly critical points are found from them.

Frye et al. 2019, 2.3, 4.3 and 4.4. No way of drawing starts samples critical points evenly; the
entropy of the eigenvectors that the points keep says how unevenly (at most log₂ N bits).
"""

from __future__ import annotations

import numpy as np
from array_api_compat import device, is_numpy_array

from ..arrays import Array, array_namespace
from ..checks import float_array, generator, integer, number, plain_array
from .optimizers import Trajectory


def uniform_in_height(trajectory: Trajectory, size: int, rng: np.random.Generator) -> Array:
    """Return the places of iterates drawn uniformly in height, integers (size,).

    Heights are drawn uniformly between the lowest and the highest loss of the iterates kept, and
    for each the iterate nearest in loss is taken (Pennington & Bahri 2017; Frye et al. 2019, 2.3).

    Parameters
    ----------
    trajectory : Trajectory
        Of one run; ``trajectory.run(b)`` takes one out of a batch.
    size : int
        How many; an iterate may be drawn more than once.
    rng : numpy.random.Generator

    Returns
    -------
    integer array (size,)
        Rows of ``trajectory.theta``.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    """
    value = _values_of_one_run(trajectory)
    size = integer("size", size)
    heights = generator("rng", rng).uniform(value.min(), value.max(), size)
    order = np.argsort(value, kind="stable")
    return order[_nearest(value[order], heights)]


def uniform_in_iteration(trajectory: Trajectory, size: int, rng: np.random.Generator) -> Array:
    """Return the places of iterates drawn uniformly in iteration, integers (size,).

    Iteration numbers are drawn from 0 to the run's last, and for each the nearest of the iterates
    kept is taken (Dauphin et al. 2014; Frye et al. 2019, 2.3).

    Parameters
    ----------
    trajectory : Trajectory
        Of one run; ``trajectory.run(b)`` takes one out of a batch.
    size : int
        How many; an iterate may be drawn more than once.
    rng : numpy.random.Generator

    Returns
    -------
    integer array (size,)
        Rows of ``trajectory.theta``.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    """
    _values_of_one_run(trajectory)
    size = integer("size", size)
    iteration = trajectory.iteration
    drawn = generator("rng", rng).integers(0, iteration[-1], size, endpoint=True)
    return _nearest(iteration, drawn)


def add_noise(theta: Array, sigma: float, rng: np.random.Generator) -> Array:
    """Return theta with independent Gaussian noise of standard deviation ``sigma`` in each element.

    Parameters
    ----------
    theta : array (..., n)
    sigma : float
        At least 0; 0.01 reduced the bias most in Frye et al. 2019, 4.3.
    rng : numpy.random.Generator

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    """
    theta = float_array("theta", theta)
    sigma = number("sigma", sigma, at_least=0.0, finite=True)
    noise = sigma * generator("rng", rng).standard_normal(tuple(theta.shape))
    if not is_numpy_array(theta):
        noise = array_namespace(theta).asarray(noise, device=device(theta))
    return theta + noise


def _values_of_one_run(trajectory: Trajectory) -> Array:
    """Return the losses (K,) of the iterates kept, of a trajectory of one run that has a loss."""
    if not isinstance(trajectory, Trajectory):
        raise TypeError(f"trajectory must be a Trajectory, not {trajectory!r}")
    if trajectory.value.ndim != 1:
        raise ValueError("trajectory must be of one run; take one out of a batch by run(b)")
    value = trajectory.kept_value
    if not np.all(np.isfinite(value)):
        raise ValueError("trajectory must hold a finite loss at every iterate")
    return value


def _nearest(grid: Array, x: Array) -> Array:
    """Return where in the increasing ``grid`` (K,) the value nearest to each x lies."""
    middles = (grid[1:] + grid[:-1]) / 2
    return np.searchsorted(middles, x)


def entropy(kept: Array, *, zero_category: bool = False) -> float:
    """Return the entropy in bits of the eigenvectors that a set of critical points keeps.

    H = −Σ p log₂ p over the eigenvectors, where each point counts once for each eigenvector that it
    keeps (Frye et al. 2019, 4.3).

    Parameters
    ----------
    kept : boolean array (R, N)
        Which eigenvectors each of R points keeps.
    zero_category : bool
        Whether points that keep none, "the critical point at zero", make one more category, as in
        the paper's public code. By default they do not count, as in the paper's text.

    Returns
    -------
    float
        From 0 to log₂ N, or log₂(N + 1) with the extra category; NaN if nothing is counted.

    Raises
    ------
    TypeError, ValueError
        If ``kept`` is not a boolean matrix.

    Examples
    --------
    >>> entropy(np.array([[True, True, False], [False, True, True], [False, False, False]]))
    1.5
    """
    return float(_entropy(_categories(kept, zero_category).sum(axis=0)))


def bootstrap_entropy(
    kept: Array,
    rng: np.random.Generator,
    *,
    trajectory: Array | None = None,
    replicates: int = 100,
    zero_category: bool = False,
) -> Array:
    """Return the entropies of resampled sets of critical points, shape (replicates,).

    Parameters
    ----------
    kept : boolean array (R, N)
        As in ``entropy``.
    rng : numpy.random.Generator
    trajectory : array (R,), optional
        Which trajectory each point was started from. If given, whole trajectories are drawn with
        replacement: points from one trajectory are alike, and drawing them one by one, as the paper
        does and as is done without this argument, makes the spread too small.
    replicates : int
        The default is the paper's (Frye et al. 2019, 4.3).
    zero_category : bool
        As in ``entropy``.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    """
    rng = generator("rng", rng)
    replicates = integer("replicates", replicates, at_least=1)
    units = _categories(kept, zero_category)
    if trajectory is not None:
        trajectory = plain_array("trajectory", trajectory)
        if trajectory.shape != units.shape[:1]:
            raise ValueError(f"trajectory must have shape ({len(units)},), not {trajectory.shape}")
        of_run = trajectory == np.unique(trajectory)[:, None]
        units = of_run.astype(np.int64) @ units
    drawn = rng.multinomial(len(units), np.full(len(units), 1.0 / len(units)), size=replicates)
    return _entropy(drawn @ units)


def _categories(kept: Array, zero_category: bool) -> Array:
    """Return what each of R points counts for, integers (R, N), or (R, N + 1)."""
    kept = plain_array("kept", kept)
    if kept.dtype != np.bool_:
        raise TypeError(f"kept must hold booleans, not {kept.dtype}")
    if kept.ndim != 2 or 0 in kept.shape:
        raise ValueError(f"kept must have shape (R, N), not {kept.shape}")
    if zero_category:
        kept = np.column_stack((kept, ~kept.any(axis=1)))
    return kept.astype(np.int64)


def _entropy(counts: Array) -> Array:
    """Return the entropy in bits, shape (...), of counts (..., N); NaN where they are all 0."""
    total = counts.sum(axis=-1, keepdims=True)
    p = np.where(total > 0, counts / np.maximum(total, 1), np.nan)
    return 0.0 - np.sum(p * np.log2(np.where(p > 0, p, 1.0)), axis=-1)
