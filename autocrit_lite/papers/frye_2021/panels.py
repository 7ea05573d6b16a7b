"""The panels of Frye et al. 2021, Figs 1 and 3 to 5; they draw arrays and compute no results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ...arrays import Array
from ...plotting import CRITICAL, FLAT, FOUND, NEITHER, STALLED, TRUE, legend
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
