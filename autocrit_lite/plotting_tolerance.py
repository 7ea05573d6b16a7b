"""The panels on tolerances and finders; like those of ``plotting`` they only draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from .checks import Array
from .plotting import CRITICAL, FLAT, FOUND, LINE_WIDTH, NEITHER, STALLED, TRUE

END_COLORS = (CRITICAL, FLAT, STALLED, TRUE)
"""Of critical, gradient-flat and stalled runs, and of those underway, in the order of their
codes."""

SERIES_COLORS = (CRITICAL, FLAT, FOUND, STALLED, NEITHER, "#56B4E9", "#D55E00")


def by_tolerance(
    ax: Axes, tolerances: Sequence[float], values: Array, label: str, series: int
) -> None:
    """Draw a quantity of many systems against the tolerance: a thin line each, and the median.

    Parameters
    ----------
    ax : Axes
    tolerances : sequence of R float
        Drawn from loose to strict.
    values : array (systems, R)
    label : str
        Of the median.
    series : int
        Which the colour stands for.
    """
    color = SERIES_COLORS[series]
    ax.plot(tolerances, values.T, color=color, lw=LINE_WIDTH, alpha=0.2)
    ax.plot(
        tolerances, np.nanmedian(values, axis=0), color=color, lw=2, marker="o", ms=3, label=label
    )
    ax.set(xscale="log", xlim=(1.5 * max(tolerances), min(tolerances) / 1.5))


def share_above(
    ax: Axes, tolerances: Sequence[float], values: Mapping[str, Array], level: float
) -> None:
    """Draw in which share of the systems a quantity is above a level, against the tolerance.

    Parameters
    ----------
    ax : Axes
    tolerances : sequence of R float
    values : dict of arrays (systems, R)
        By name.
    level : float
    """
    for k, (name, x) in enumerate(values.items()):
        above = np.mean(x > level, axis=0)
        ax.plot(tolerances, above, color=SERIES_COLORS[k], marker="o", ms=3, label=name)
    ax.set(
        xscale="log",
        xlim=(1.5 * max(tolerances), min(tolerances) / 1.5),
        ylim=(-0.02, 1.02),
        ylabel=f"share of points above {level:g}",
    )


def ends_by_row(ax: Axes, rows: Sequence[str], codes: Array, names: Sequence[str]) -> None:
    """Draw how many runs of each row ended how: a bar for each row, the first one uppermost.

    Parameters
    ----------
    ax : Axes
    rows : sequence of V str
    codes : integer array (V, runs)
        From 0 on.
    names : sequence of str
        Of the codes, at most as many as ``END_COLORS``.
    """
    y = np.arange(len(rows))
    left = np.zeros(len(rows))
    for code, (name, color) in enumerate(zip(names, END_COLORS, strict=False)):
        counts = np.sum(codes == code, axis=1)
        ax.barh(y, counts, left=left, color=color, height=0.7, label=name)
        left = left + counts
    ax.set(yticks=y, yticklabels=list(rows), xlabel="runs")
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def traps(
    ax: Axes, share: Array, step_size: Array, codes: Array, names: Sequence[str], level: float
) -> None:
    """Draw the step lengths at the end of runs against the share of ‖g‖² in small eigenspaces.

    Parameters
    ----------
    ax : Axes
    share, step_size : array (runs,)
    codes : integer array (runs,)
        From 0 on.
    names : sequence of str
        Of the codes.
    level : float
        The share from which on a point is flat, drawn as a dotted line.
    """
    for code, (name, color) in enumerate(zip(names, END_COLORS, strict=False)):
        these = codes == code
        ax.scatter(share[these], step_size[these], s=12, color=color, lw=0, label=name)
    ax.axvline(level, color=NEITHER, lw=0.8, ls=":")
    ax.set(yscale="log", xlim=(-0.02, 1.02), xlabel=r"share of $\|g\|^2$ in small eigenspaces")
    ax.set_ylabel(r"step length $\alpha$ at the end")


def lowest_by_cost(
    ax: Axes, cost: Sequence[float], lowest: Mapping[str, Array], cutoffs: Sequence[float]
) -> None:
    """Draw the lowest ‖g‖² so far against the cost: a thin line for each run, and the median.

    Parameters
    ----------
    ax : Axes
    cost : sequence of G float
    lowest : dict of arrays (runs, G)
        By finder.
    cutoffs : sequence of float
        Dotted lines.
    """
    for (name, runs), color in zip(lowest.items(), SERIES_COLORS, strict=False):
        ax.plot(cost, runs.T, color=color, lw=LINE_WIDTH, alpha=0.2)
        ax.plot(cost, np.median(runs, axis=0), color=color, lw=1.8, label=name)
    for cutoff in cutoffs:
        ax.axhline(cutoff, color=NEITHER, lw=0.8, ls=":")
    ax.set(xscale="log", yscale="log", xlabel="cost / products", ylabel=r"lowest $\|g\|^2$ so far")
