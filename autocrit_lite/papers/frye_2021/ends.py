"""Where a search for critical points ended, in which of two traps if at none, and how fast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...arrays import Array
from ...checks import number
from ...finders import FinderStopReason
from ...reasons import Reason
from ...runner.experiment import setting

WINDOW = 0.1
"""The last part of a run that tells whether it stalls: chosen by us."""

STEEP, ORDER = 0.1, 1.5
"""Of ``is_superlinear``. Fixed on the runs of the quartic, of which it takes none that ends away
from the critical point for superlinear."""

CLIFF_DECADES, CLIFF_WIDTH = 6.0, 10
"""Of ``has_cliff``: decades of ‖g‖² within iterations. Fixed on the quartic, where they part the
runs to the critical point from the others, and on the linear network, where they mark the falls
that the eye sees. How many runs of the latter have a cliff depends on them."""

STOPPED = (int(FinderStopReason.LINE_SEARCH_FAILED), int(FinderStopReason.STEP_VANISHED))


class End(Reason):
    """Where a run ended.

    Both traps stop Newton's method away from critical points. In a gradient-flat region H is
    singular and the gradient nearly in its kernel, so that no direction lowers ‖g‖² to first order
    (Frye et al. 2021). Near other points at which H is singular directions are there, but they
    grow longer and the steps along them shorter without end (Powell 1970); r is small and does not
    tell.
    """

    CRITICAL = 0, "critical: ‖g‖² is below the cut-off"
    FLAT = 1, "gradient-flat: most of ‖g‖² lies in eigenspaces of small |λ|"
    STALLED = 2, "stalled: ‖g‖² falls no more, though not flat"
    UNDERWAY = 3, "underway: none of these, ‖g‖² was still falling"


@dataclass(frozen=True)
class EndRule:
    """The settings by which experiments tell how runs end."""

    critical: float = setting(1e-8, "on ‖g‖²: ε_c of Frye et al. 2021, Table 1", above=0.0)
    flat_share: float = setting(
        0.81,
        "of ‖g‖²: the least with which r, at most ‖Hp + g‖/‖g‖, can be above 1 − ε_r = 0.9 of "
        "Frye et al. 2021, Table 1; r that large also needs a short p",
        above=0.0,
    )
    stall: float = setting(
        0.1,
        "chosen by us: a run has stalled if ‖g‖² falls or rises by a smaller share over the last "
        "tenth of its iterations; alone it would take a run of few iterations for stalled",
        above=0.0,
        below=1.0,
    )
    slow: float = setting(
        1e-3,
        "chosen by us: and ‖g‖ by a smaller share in each of these iterations; a hundredth of the "
        "step length that line searches start with; alone it would take one of many cheap "
        "iterations for stalled",
        above=0.0,
        below=1.0,
    )

    def ends(
        self,
        squared_gradient_norm: Array,
        share: Array,
        fall: Array,
        pace: Array,
        stop_reason: Array,
    ) -> Array:
        """Return the ``End`` of each run, an integer array (...).

        Parameters
        ----------
        squared_gradient_norm : array (...)
            ‖g‖² at the last iterate.
        share : array (...)
            The share of it in eigenspaces of small |λ|, from 0 to 1.
        fall, pace : array (...)
            By which share ‖g‖² fell over the last part of the run, and ‖g‖ in each of its
            iterations: see ``late``.
        stop_reason : integer array (...)
            Values of ``FinderStopReason``: a run whose line search failed has stalled.

        Examples
        --------
        >>> fall = np.array([0.0, 0.0, 0.0, 0.5])
        >>> squared, share = [1e-9, 1e-3, 1e-3, 1e-3], [0.1, 0.9, 0.1, 0.1]
        >>> codes = EndRule().ends(squared, share, fall, fall / 50, 2)
        >>> [End(code).name for code in codes]
        ['CRITICAL', 'FLAT', 'STALLED', 'UNDERWAY']
        """
        is_slow = (np.abs(fall) < self.stall) & (np.abs(pace) < self.slow)
        is_stalled = is_slow | np.isin(stop_reason, STOPPED)
        return np.select(
            [
                np.asarray(squared_gradient_norm) < self.critical,
                np.asarray(share) >= self.flat_share,
                is_stalled,
            ],
            [End.CRITICAL, End.FLAT, End.STALLED],
            End.UNDERWAY,
        )


def late(
    squared_gradient_norm: Array, step_size: Array, iterations: Array, window: float = WINDOW
) -> tuple[Array, Array, Array]:
    """Return how runs behave at last.

    Parameters
    ----------
    squared_gradient_norm, step_size : array (..., K + 1)
        Histories, as of a ``Trace``.
    iterations : integer array (...)
    window : float
        How large a part of each run is looked at, at least one iteration.

    Returns
    -------
    fall : array (...)
        By which share ‖g‖² fell; negative if it rose. 0 for a run without iterations.
    pace : array (...)
        By which share ‖g‖ fell in each iteration, on (geometric) average: the step length with
        which exact Newton directions would bring that. 0 for a run without iterations.
    step_size : array (...)
        The median step length. NaN for a run without iterations.

    Examples
    --------
    >>> squared = np.array([[16.0, 8.0, 4.0, 1.0, np.nan]])
    >>> steps = np.array([[1.0, 1.0, 0.5, 0.0, np.nan]])
    >>> [x.tolist() for x in late(squared, steps, np.array([3]), window=0.3)]
    [[0.75], [0.5], [0.5]]
    """
    window = number("window", window, above=0.0, at_most=1.0)
    shape = np.shape(iterations)
    fall, pace, step = np.zeros(shape), np.zeros(shape), np.full(shape, np.nan)
    for run in np.ndindex(shape):
        last = int(np.asarray(iterations)[run])
        if last == 0:
            continue
        length = max(1, round(window * last))
        first = last - length
        left = squared_gradient_norm[run][last] / squared_gradient_norm[run][first]
        fall[run] = 1.0 - left
        pace[run] = 1.0 - left ** (0.5 / length)
        step[run] = np.median(step_size[run][first:last])
    return fall, pace, step


def has_cliff(
    squared_gradient_norm: Array, decades: float = CLIFF_DECADES, width: int = CLIFF_WIDTH
) -> Array:
    """Return which runs (..., K) fall off a cliff, as Fig. 1A's runs do, booleans (...).

    Their ‖g‖² falls by so many decades or more within ``width`` successive iterations. With the
    rule's own numbers ‖g‖ is halved by each of them on average.

    Examples
    --------
    >>> fast, slow = 10.0 ** -np.arange(20.0), 0.5 ** np.arange(20.0)
    >>> has_cliff(np.stack([fast, slow])).tolist()
    [True, False]
    """
    above_zero = np.maximum(squared_gradient_norm, np.finfo(np.float64).tiny)
    height = np.log10(np.fmin.accumulate(above_zero, axis=-1))  # NaN after a run's end: its last
    width = min(width, height.shape[-1] - 1)
    return np.any(height[..., :-width] - height[..., width:] >= decades, axis=-1)


def is_superlinear(squared_gradient_norm: Array) -> Array:
    """Return which runs (..., K) converge superlinearly somewhere, booleans (...).

    They have two successive steps, of which the first reduces ‖g‖ to a tenth or less, the second by
    that factor to the power 1.5 or more: ‖g‖ falls faster and faster, as Newton's method makes it
    where it converges quadratically. A step that lands at the limit of rounding may hide it. This
    is what the word means; ``has_cliff`` is what the paper's figure shows.

    Examples
    --------
    >>> quadratic, linear = 10.0 ** -(2.0 ** np.arange(6)), 10.0 ** -np.arange(6.0)
    >>> is_superlinear(np.stack([quadratic, linear]) ** 2).tolist()
    [True, False]
    """
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 where a run ends, NaN after its end
        fall = np.diff(0.5 * np.log(squared_gradient_norm), axis=-1)
        steeper = fall[..., 1:] <= ORDER * fall[..., :-1]
    return np.any((fall[..., :-1] <= np.log(STEEP)) & steeper, axis=-1)
