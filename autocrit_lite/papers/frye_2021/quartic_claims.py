"""What section 2 of Frye et al. 2021 says on the quartic of Fig. 2."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.polynomial import Polynomial

from ...arrays import Array
from ...runner.results import Measured
from ...statistics import binomial, bootstrap, found, never, shown
from .claims import measured

IN_X = Polynomial([40.0, 9.0, -3.0, 0.0, 0.25])
"""The quartic, eq. 2.3, at y = 0."""

IN_Y = Polynomial([0.0, 0.0, 5.0, 0.0, 0.9])
"""What y adds to it."""

CRITICAL, FLAT = 0, 1
"""Places in ``quartic.ENDS``."""

BESIDE = 0.5
"""How near the line x = √2 a run is whose sides are told (chosen by us)."""

CLOSE = 1e-2
"""As near as a run has to end to a point, as in ``quartic.ends``."""

SEVERAL = 2.0
"""Decades that are "several orders of magnitude" (chosen by us)."""


def points(in_x: Polynomial, in_y: Polynomial) -> dict[str, Measured]:
    """Return what kinds of points f(x, y) = in_x(x) + in_y(y) has, from its derivatives' zeros.

    H is diagonal, so that Hg = 0 where c c′ = 0 and d d′ = 0, with c = ∂f/∂x and d = ∂f/∂y; the
    second derivatives of ½‖g‖² there are (½c²)″ and (½d²)″.
    """
    c, d = in_x.deriv(), in_y.deriv()
    critical, kernel = _real(c), _real(c.deriv())
    lines = _real(d), _real(d.deriv())
    bends = [float((c**2 / 2.0).deriv(2)(x)) for x in kernel]
    across = float((d**2 / 2.0).deriv(2)(0.0))
    saddle, minimum = (bends[0], bends[-1]) if len(kernel) == 2 else (np.nan, np.nan)
    return measured(
        "f21-quartic-points",
        saddle,
        {
            "one critical point": len(critical) == 1 and len(lines[0]) == 1,
            "two flat points": len(kernel) == 2 and len(lines[1]) == 0 and across > 0.0,
            "a minimum and a saddle": bool(saddle < 0.0 < minimum),
        },
        critical=", ".join(f"{x:.4g}" for x in critical),
        flat=" and ".join(f"{x:.4g}" for x in kernel),
        minimum=minimum,
        across=across,
    )


def _real(f: Polynomial) -> Array:
    """Return the real zeros, ascending."""
    roots = f.roots()
    return np.sort(roots.real[np.abs(roots.imag) < 1e-9])


def basins(theta: Array, norms: Array, end: Array, flat_x: float) -> dict[str, Measured]:
    """Return what Newton-MR's runs say on the two basins and on the way to the flat point.

    Parameters
    ----------
    theta : array (runs, iterations, 2)
        The iterates, then NaN.
    norms : array (runs, iterations)
        ‖∇f‖² there.
    end : integer array (runs,)
        Places in ``quartic.ENDS``.
    flat_x : float
        x at the flat point.
    """
    left = theta[:, 0, 0] < -flat_x
    lost = int(np.sum(end[left] != CRITICAL))
    claims = measured(
        "f21-quartic-left", int(left.sum()) - lost, never(lost, int(left.sum())), runs=left.sum()
    )
    flat, critical = (np.flatnonzero(end == kind) for kind in (FLAT, CRITICAL))
    if not len(flat) or not len(critical):
        return claims
    length = np.sum(np.isfinite(norms), axis=1) - 1
    changes = np.array([_sides(theta[i, : length[i] + 1, 0] - flat_x) for i in flat])
    last = norms[flat, length[flat]]
    swings, slower = float(np.mean(changes > 1)), _slower(length, flat, critical)
    decades, interval = bootstrap(
        lambda rows: float(np.median(np.log10(norms[flat[rows], 0] / last[rows]))),
        np.arange(len(flat)),
    )
    of_swings = binomial(int(np.sum(changes > 1)), len(flat))
    return {
        **claims,
        **measured(
            "f21-quartic-swings",
            swings,
            {
                "oscillating": shown(swings, of_swings, above=0.5),
                "slower": shown(*slower, above=1.0),
            },
            runs=len(flat),
            beside=BESIDE,
            changes=np.median(changes),
            ratio=slower[0],
        ),
        **measured(
            "f21-quartic-orders",
            decades,
            shown(decades, interval, above=SEVERAL),
            interval=interval,
            runs=len(flat),
            several=SEVERAL,
        ),
    }


def _sides(x: Array) -> int:
    """Return how often a run changes from one side of x = 0 to the other while it is near."""
    near = np.sign(x[np.abs(x) < BESIDE])
    return int(np.sum(np.diff(near[near != 0]) != 0))


def _slower(length: Array, flat: Array, critical: Array) -> tuple[float, tuple[float, float]]:
    """Return by what factor the median run to the flat point is longer, with its interval."""
    runs = np.concatenate([flat, critical])

    def ratio(rows: Array) -> float:
        chosen = runs[rows]
        there = np.isin(chosen, flat)
        if there.all() or not there.any():
            return np.nan
        return float(np.median(length[chosen[there]]) / np.median(length[chosen[~there]]))

    return bootstrap(ratio, np.arange(len(runs)))


def divided(distance: Array, beside: float) -> dict[str, Measured]:
    """Return whether runs from the two sides of x = −√2 go to two points.

    Parameters
    ----------
    distance : array (runs,)
        Of the last iterate from the critical point, from the left, or the flat one, from the right.
    beside : float
        How far the starts are from the line.
    """
    lost = int(np.sum(distance > CLOSE))
    return measured(
        "f21-quartic-divided",
        len(distance) - lost,
        never(lost, len(distance)),
        runs=len(distance),
        beside=beside,
        close=CLOSE,
    )


def also_attracted(
    id: str, start: Array, end: Array, flat_x: float, *also: str, **numbers: Any
) -> dict[str, Measured]:
    """Return whether a finder's runs end at the flat point too, and others at the critical one.

    Parameters
    ----------
    id : str
    start : array (runs, 2)
    end : integer array (runs,)
        Places in ``quartic.ENDS``.
    flat_x : float
        x at the flat point.
    *also : str
        The names of further texts.
    **numbers
        For their fields.
    """
    counts = [int(np.sum(end == kind)) for kind in range(3)]
    left = start[:, 0] < -flat_x
    return measured(
        id,
        counts[FLAT],
        {
            "critical point": found(counts[CRITICAL], len(end)),
            "flat point": found(counts[FLAT], len(end)),
        },
        "fates",
        *also,
        runs=len(end),
        left=left.sum(),
        left_critical=np.sum(end[left] == CRITICAL),
        right=np.sum(~left),
        right_flat=np.sum(end[~left] == FLAT),
        stalled=counts[2],
        **numbers,
    )
