"""The panels of Frye et al. 2021, Figs 1 and 3 to 5; they draw arrays and compute no results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .checks import Array
from .critical_points import PointClass
from .plotting import CRITICAL, FLAT, NEITHER, STALLED

CLASS_COLORS = {
    PointClass.CRITICAL: CRITICAL,
    PointClass.STRICTLY_FLAT: FLAT,
    PointClass.NEITHER: NEITHER,
    PointClass.UNDEFINED: STALLED,
}
"""The colours of Table 1's classes; the last, for runs without a direction, is our own."""


LOOSE_COLOR = "#D55E00"
"""Of points below a cut-off that is too loose: Fig. 1B's dark red."""


def class_colors(point_class: Array) -> list[str]:
    """Return the colour of each point's class (runs,)."""
    return [CLASS_COLORS[PointClass(int(code))] for code in point_class]


def class_legend(ax: Axes, point_class: Array, **options: Any) -> None:
    """Add a legend of the classes that occur, with how often."""
    names = {
        PointClass.CRITICAL: "critical",
        PointClass.STRICTLY_FLAT: "gradient-flat",
        PointClass.NEITHER: "neither",
        PointClass.UNDEFINED: "no direction",
    }
    for kind, name in names.items():
        if count := int(np.sum(point_class == kind)):
            ax.scatter([], [], s=14, color=CLASS_COLORS[kind], label=f"{name}: {count}")
    ax.legend(**options)


def distribution(ax: Axes, values: Array, label: str, color: str, **line: Any) -> None:
    """Draw the share of runs at or above each value of r (Frye et al. 2021, Fig. 3C).

    Parameters
    ----------
    ax : Axes
    values : array (runs,)
        Values of r in [0, 1]; NaN is left out.
    label, color : str
    **line
        Passed on to ``ax.step``.
    """
    known = np.sort(values[np.isfinite(values)])
    share = 1.0 - np.arange(len(known)) / max(1, len(known))
    ax.step(
        np.concatenate([[0.0], known, [1.0]]),
        np.concatenate([[1.0], share, [0.0]]),
        where="pre",
        label=label,
        color=color,
        **line,
    )
    ax.set(xlabel="$r$", ylabel="share of runs at or above", xlim=(0, 1), ylim=(0, 1.02))


def loss_against_index(ax: Axes, index: Array, loss: Array, point_class: Array) -> None:
    """Draw loss against index in the colours of the classes (Frye et al. 2021, Fig. 3D)."""
    ax.scatter(index, loss, s=10, c=class_colors(point_class), lw=0, alpha=0.8)
    ax.set(xlabel="index", ylabel=r"$L(\theta)$")


def gradient_share(
    ax: Axes, residual: Array, share: Array, point_class: Array, cutoff: float
) -> None:
    """Draw how much of ‖g‖² lies in eigenspaces below a cut-off, against r."""
    ax.scatter(residual, share, s=10, c=class_colors(point_class), lw=0, alpha=0.8)
    ax.set(
        xlabel="$r$",
        ylabel=rf"share of $\|g\|^2$ at $|\lambda| < 10^{{{round(np.log10(cutoff))}}}$",
        xlim=(-0.03, 1.03),
        ylim=(-0.03, 1.03),
    )


def training(ax: Axes, epoch: Array, loss: Array, squared_gradient_norm: Array) -> None:
    """Draw loss and ‖∇L‖² of each trajectory (trajectories, epochs) during training."""
    for values, color, label in ((loss, CRITICAL, "$L$"), (squared_gradient_norm, FLAT, None)):
        lines = ax.plot(epoch + 1, values.T, color=color, lw=0.8, alpha=0.7)
        lines[0].set_label(label or r"$\|\nabla L\|^2$")
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
