"""The panels of the figures on critical loci; like those of ``plotting`` they only draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from ...arrays import Array
from ...plotting import LINE_WIDTH, NEITHER


def growth(
    ax: Axes,
    width: Array,
    measured: Mapping[str, Array],
    formulas: Mapping[str, Array],
    printed: Mapping[str, Array],
    colors: Mapping[str, str],
) -> None:
    """Draw dimensions against the width m (Cooper 2020, Propositions 6.1 and 6.2).

    Parameters
    ----------
    ax : Axes
    width : array (K,)
    measured, formulas, printed : dict of arrays (K,)
        By name: drawn as dots, solid lines and dashed lines.
    colors : dict
        Name to color, for all names.
    """
    for name, values in formulas.items():
        ax.plot(width, values, color=colors[name], lw=1.2)
    for name, values in printed.items():
        ax.plot(width, values, color=colors[name], lw=1.2, ls="--")
    for name, values in measured.items():
        ax.plot(width, values, "o", color=colors[name], ms=4, label=name)
    ax.set(xlabel="width $m$", ylabel="dimension", xticks=width)


def zeros_against_promise(
    ax: Axes, promised: Array, zeros: Array, colors: Sequence[str], size: float = 14.0
) -> None:
    """Draw numbers of zero eigenvalues against a lower bound; below the line it fails.

    Parameters
    ----------
    ax : Axes
    promised, zeros : array (K,)
    colors : sequence of K str
    size : float
        Of the dots.
    """
    limits = min(promised.min(), zeros.min()) * 0.8 + 1e-9, max(promised.max(), zeros.max()) * 1.2
    ax.plot(limits, limits, color=NEITHER, lw=0.8, ls=":")
    ax.scatter(promised, zeros, s=size, c=list(colors), lw=0, alpha=0.7, zorder=3)
    ax.set(xscale="log", yscale="log", xlabel="zeros promised", ylabel="zero eigenvalues")


def escape_steps(
    ax: Axes, distance: Array, steps: Array, limit: int, color: str, label: str | None = None
) -> None:
    """Draw the steps that runs take to leave a locus against the distance they start from.

    Parameters
    ----------
    ax : Axes
    distance : array (K,)
    steps : array (K, runs)
        NaN for runs that had not left after ``limit`` steps: triangles stand there for them.
    limit : int
    color : str
    label : str, optional
    """
    wide = np.repeat(distance[:, None], steps.shape[1], axis=1)
    left = np.isfinite(steps)
    ax.scatter(wide[left], steps[left] + 1, s=5, color=color, lw=0, alpha=0.35)
    ax.scatter(wide[~left], np.full(np.sum(~left), limit), s=14, marker="^", color=color, lw=0)
    median = np.median(np.where(left, steps, np.inf), axis=1)
    shown = np.isfinite(median)
    ax.plot(distance[shown], median[shown] + 1, color=color, lw=2 * LINE_WIDTH, label=label)
    ax.set(xscale="log", yscale="log", xlabel="distance", ylabel="steps until it has left")


def index_by_kind(
    ax: Axes, kinds: Sequence[str], index: Sequence[Array], color: Sequence[str]
) -> None:
    """Draw the indices of points, a row for each kind of point.

    Parameters
    ----------
    ax : Axes
    kinds : sequence of K str
    index : sequence of K arrays
    color : sequence of K str
    """
    for row, (values, own) in enumerate(zip(index, color, strict=True)):
        spread = 0.3 * (np.arange(len(values)) / max(len(values) - 1, 1) - 0.5)
        ax.scatter(values, row + spread, s=14, color=own, lw=0, alpha=0.8)
    ax.set(xlabel="index", yticks=range(len(kinds)), yticklabels=list(kinds), xlim=(-0.01, None))
    ax.invert_yaxis()


def fates(ax: Axes, points: Array, left: Array, colors: tuple[str, str]) -> None:
    """Draw starts in the plane by whether their runs have left.

    Parameters
    ----------
    ax : Axes
    points : array (K, 2)
    left : boolean array (K,)
    colors : pair of str
        Of runs that stayed, of runs that left.
    """
    chosen = np.where(left, colors[1], colors[0])
    ax.scatter(points[:, 0], points[:, 1], s=8, c=list(chosen), lw=0, alpha=0.8)
    ax.set(xlabel="$x$", ylabel="$y$", aspect="equal")
