"""The panels of Frye et al. 2021, Figs 1 and 3 to 5; they draw arrays and compute no results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ...arrays import Array
from ...plotting import CRITICAL, FLAT, FOUND, LINE_WIDTH, NEITHER, STALLED, TRUE, legend
from ...points.classes import PointClass

CLASSES = {
    PointClass.CRITICAL: ("critical", CRITICAL),
    PointClass.STRICTLY_FLAT: ("gradient-flat", FLAT),
    PointClass.NEITHER: ("neither", NEITHER),
    PointClass.UNDEFINED: ("no direction", STALLED),
}
"""Names and colours of Table 1's classes; the last, for runs without a direction, is our own."""

LOOSE_COLOR = "#D55E00"
"""Of points below a cut-off that is too loose: Fig. 1B's dark red."""

END_COLORS = (CRITICAL, FLAT, STALLED, TRUE)
"""Of critical, gradient-flat and stalled runs, and of those underway, in the order of their
codes."""

SERIES_COLORS = (CRITICAL, FLAT, FOUND, STALLED, NEITHER, "#56B4E9", "#D55E00")


def class_colors(point_class: Array) -> list[str]:
    """Return the colour of each point's class (runs,)."""
    return [CLASSES[PointClass(int(code))][1] for code in point_class]


def class_legend(ax: Axes, point_class: Array, **options: Any) -> None:
    """Add a legend of the classes that occur, with how often."""
    counts = [(*own, int(np.sum(point_class == kind))) for kind, own in CLASSES.items()]
    legend(ax, {f"{name}: {count}": color for name, color, count in counts if count}, **options)


def distribution(ax: Axes, values: Array, label: str, color: str, **line: Any) -> None:
    """Draw the share of runs above each value of r (Frye et al. 2021, Fig. 3C).

    Parameters
    ----------
    ax : Axes
    values : array (runs,)
        Values of r in [0, 1]; NaN is left out.
    label, color : str
    **line
        Passed on to ``ax.plot``.
    """
    sns.ecdfplot(values, complementary=True, ax=ax, label=label, color=color, **line)
    ax.set(xlabel="$r$", ylabel="share of runs above", xlim=(0, 1), ylim=(0, 1.02))


def loss_against_index(ax: Axes, index: Array, loss: Array, point_class: Array) -> None:
    """Draw loss against index in the colours of the classes (Frye et al. 2021, Fig. 3D)."""
    ax.scatter(index, loss, s=10, c=class_colors(point_class), lw=0, alpha=0.8)
    ax.set(xlabel="index", ylabel=r"$L(\theta)$")


def gradient_share(
    ax: Axes, residual: Array, share: Array, point_class: Array, cutoff: float
) -> None:
    """Draw how much of ‖g‖² lies in eigenspaces below a cut-off, against r."""
    ax.scatter(residual, share, s=10, c=class_colors(point_class), lw=0, alpha=0.8)
    below = rf"$|\lambda| < 10^{{{round(np.log10(cutoff))}}}$"
    ax.set(xlabel="$r$", ylabel=rf"share of $\|g\|^2$ at {below}")
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))


def training(ax: Axes, epoch: Array, loss: Array, squared_gradient_norm: Array) -> None:
    """Draw loss and ‖∇L‖² of each trajectory (trajectories, epochs) during training."""
    norm = r"$\|\nabla L\|^2$"
    for values, color, label in ((loss, CRITICAL, "$L$"), (squared_gradient_norm, FLAT, norm)):
        lines = ax.plot(epoch + 1, values.T, color=color, lw=0.8, alpha=0.7)
        lines[0].set_label(label)
    ax.set(xscale="log", yscale="log", xlabel="epoch + 1")
    ax.legend()


def representatives(point_class: Array, end: Array) -> Sequence[int]:
    """Return the numbers of up to three runs: of each class the one in the middle by its end.

    Parameters
    ----------
    point_class : array (runs,)
        Of the last iterates.
    end : array (runs,)
        What the runs of a class are ordered by: ‖g‖² at the last iterate.
    """
    found = []
    for kind in (PointClass.CRITICAL, PointClass.STRICTLY_FLAT, PointClass.NEITHER):
        runs = np.flatnonzero(point_class == kind)
        if len(runs):
            found.append(int(runs[np.argsort(end[runs])[len(runs) // 2]]))
    return found


def _bundle(ax: Axes, x: Sequence[float], runs: Array, color: str, label: str, **line: Any) -> None:
    """Draw a thin line for each of ``runs`` (runs, G), and their median."""
    ax.plot(x, runs.T, color=color, lw=LINE_WIDTH, alpha=0.2)
    ax.plot(x, np.nanmedian(runs, axis=0), color=color, lw=2, label=label, **line)


def _tolerance_axis(ax: Axes, tolerances: Sequence[float]) -> None:
    """Make the x axis run from loose to strict."""
    ax.set(xscale="log", xlim=(1.5 * max(tolerances), min(tolerances) / 1.5))


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
    _bundle(ax, tolerances, values, SERIES_COLORS[series], label, marker="o", ms=3)
    _tolerance_axis(ax, tolerances)


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
    _tolerance_axis(ax, tolerances)
    ax.set(ylim=(-0.02, 1.02), ylabel=f"share of points above {level:g}")


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
        _bundle(ax, cost, runs, color, name)
    for cutoff in cutoffs:
        ax.axhline(cutoff, color=NEITHER, lw=0.8, ls=":")
    ax.set(xscale="log", yscale="log", xlabel="cost / products", ylabel=r"lowest $\|g\|^2$ so far")
