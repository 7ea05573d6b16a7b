"""One function for each panel of the figures; they draw arrays and compute no results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .arrays import Array
from .checks import missing

try:
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
except ImportError as error:
    raise missing("Drawing", "Matplotlib", "notebooks", error) from None

# Okabe and Ito's palette, which readers with any colour vision can tell apart. The meanings are
# those of Frye et al. 2021, Figs 2 to 5, and of Frye et al. 2019, Fig. 1 (true and found points).
CRITICAL = "#0072B2"
FLAT = "#E69F00"
STALLED = "#CC79A7"
NEITHER = "#000000"
TRUE = "#999999"
FOUND = "#009E73"

FARTHEST = 300.0
"""Differences beyond this many accepted ones are drawn here by ``comparisons``."""

LINE_WIDTH = 0.6
"""Of one run among a hundred, in points."""

STYLE: dict[Any, Any] = {
    "figure.dpi": 110,
    "savefig.dpi": 200,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw what is inside in the project's one style."""
    with mpl.rc_context():
        kept = {name: mpl.rcParams[name] for name in ("backend", "interactive")}
        mpl.rcdefaults()  # not the user's settings
        mpl.rcParams.update(STYLE | kept)
        yield


def save(figure: Figure, name: str, folder: Path, stamp: str | None = None) -> list[Path]:
    """Write a figure as PNG and PDF, with a word in its corner if it is not of paper scale.

    Parameters
    ----------
    figure : Figure
    name : str
        File name without its ending.
    folder : Path
        Made if it is missing.
    stamp : str, optional
        For example ``"quick"``.
    """
    if stamp:
        figure.text(0.995, 0.005, stamp, ha="right", va="bottom", color=NEITHER, fontsize=8)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.png", folder / f"{name}.pdf"]
    # without dates, so that drawing the same data again leaves the files as they were
    figure.savefig(paths[0], metadata={"Software": None})
    figure.savefig(paths[1], metadata={"CreationDate": None})
    return paths


def squared_gradient_norm(
    ax: Axes,
    traces: Array,
    colors: Sequence[str],
    cutoff: float | None = None,
    floor: float | None = None,
    iteration: Array | None = None,
) -> None:
    """Draw ‖∇L‖² against iteration, both on log scales (Frye et al. 2019, Fig. 1, top).

    Parameters
    ----------
    ax : Axes
    traces : array (runs, K)
        NaN after the end of a run.
    colors : sequence of str
        One for each run.
    cutoff : float, optional
        Where a dotted line marks the criterion.
    floor : float, optional
        The lowest value shown.
    iteration : array (K,), optional
        Of each column; by default 0, 1, 2, ….
    """
    number = np.arange(traces.shape[1]) if iteration is None else iteration
    for trace, color in zip(traces, colors, strict=True):
        ax.plot(number + 1, trace, color=color, lw=LINE_WIDTH, alpha=0.7)
    ax.set(xscale="log", yscale="log", xlabel="iteration + 1", ylabel=r"$\|\nabla L\|^2$")
    if cutoff is not None:
        ax.axhline(cutoff, color=NEITHER, ls=":", lw=0.8)
    if floor is not None:
        ax.set_ylim(floor, 10.0 * np.nanmax(traces))


def loss_against_index(
    ax: Axes,
    true: tuple[Array, Array] | None,
    found: tuple[Array, Array],
    colors: str | Sequence[str] = FOUND,
) -> None:
    """Draw loss against index, found points over the true ones (Frye et al. 2019, Fig. 1).

    Parameters
    ----------
    ax : Axes
    true, found : pair of arrays (K,)
        Index and loss of each point; ``true`` may be None.
    colors : str or sequence of str
        Of the found points.
    """
    if true is not None:
        ax.scatter(*true, s=14, color=TRUE, alpha=0.5, lw=0, label="true critical points")
    ax.scatter(*found, s=9, c=colors, lw=0, alpha=0.9, zorder=3, label="found")
    ax.set(xlabel="index", ylabel=r"$L(\theta)$")


def landscape(ax: Axes, x: Array, y: Array, values: Array, label: str, levels: int = 30) -> None:
    """Fill the contours of a nonnegative function of the plane, on a log scale.

    Parameters
    ----------
    ax : Axes
    x, y : array (p,), (q,)
    values : array (q, p)
    label : str
        What the colours mean.
    levels : int
        Number of contours.
    """
    # a grid point may lie exactly where the function is zero
    logarithm = np.log10(np.maximum(values, values[values > 0].min()))
    filled = ax.contourf(x, y, logarithm, levels=levels, cmap="Greys_r")
    ax.figure.colorbar(filled, ax=ax, label=label, shrink=0.85)
    ax.set(xlabel="$x$", ylabel="$y$", xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))


def direction_field(ax: Axes, x: Array, y: Array, directions: Array) -> None:
    """Draw unit arrows along ``directions`` (q, p, 2) at the points of the grid x (p,), y (q,)."""
    lengths = np.linalg.norm(directions, axis=-1, keepdims=True)
    units = np.divide(directions, lengths, out=np.zeros_like(directions), where=lengths > 0)
    ax.quiver(x, y, units[..., 0], units[..., 1], color=CRITICAL, alpha=0.6, width=0.003, scale=40)


def trajectories(ax: Axes, paths: Array, colors: Sequence[str]) -> None:
    """Draw runs in the plane, with a dot where each starts.

    Parameters
    ----------
    ax : Axes
    paths : array (runs, iterations + 1, 2)
        NaN after the end of a run.
    colors : sequence of str
        One for each run.
    """
    for path, color in zip(paths, colors, strict=True):
        ax.plot(path[:, 0], path[:, 1], color=color, lw=LINE_WIDTH, alpha=0.6)
    ax.scatter(paths[:, 0, 0], paths[:, 0, 1], s=8, c=list(colors), lw=0, zorder=3)


def value(ax: Axes, traces: Array, colors: Sequence[str], label: str = r"$L(\theta)$") -> None:
    """Draw a positive loss against iteration, on log scales (Frye et al. 2021, Fig. 2B, top)."""
    for trace, color in zip(traces, colors, strict=True):
        ax.plot(np.arange(len(trace)) + 1, trace, color=color, lw=LINE_WIDTH, alpha=0.7)
    ax.set(xscale="log", yscale="log", xlabel="iteration + 1", ylabel=label)


def residual(ax: Axes, traces: Array, colors: Sequence[str], label: str = "$r$") -> None:
    """Draw a residual index in [0, 1] against iteration (Frye et al. 2021, Fig. 3B)."""
    for trace, color in zip(traces, colors, strict=True):
        ax.plot(trace, color=color, lw=LINE_WIDTH, alpha=0.7)
    ax.set(xlabel="iteration", ylabel=label, ylim=(-0.03, 1.03))


def step_length(ax: Axes, traces: Array, colors: Sequence[str]) -> None:
    """Draw the accepted step lengths α against iteration, on log scales."""
    iteration = np.arange(1, traces.shape[1] + 1)
    for trace, color in zip(np.where(traces > 0, traces, np.nan), colors, strict=True):
        ax.plot(iteration, trace, color=color, lw=LINE_WIDTH, alpha=0.7)
    ax.set(xscale="log", yscale="log", xlabel="iteration + 1", ylabel=r"$\alpha$")


def legend(ax: Axes, entries: dict[str, str], **options: Any) -> None:
    """Add a legend of coloured dots, ``{text: color}``, and of nothing else."""
    dots = [ax.scatter([], [], color=color, s=14, label=text) for text, color in entries.items()]
    ax.legend(handles=dots, **options)


def comparisons(
    ax: Axes,
    scaled: Array,
    names: Sequence[str],
    numbers: Sequence[str],
    kinds: Sequence[str],
    marks: Mapping[str, tuple[str, str]],
) -> None:
    """Draw measured numbers beside printed ones, a row for each.

    Parameters
    ----------
    ax : Axes
    scaled : array (rows, 5)
        Value, its interval, and what is accepted: differences from the printed number, in units of
        the largest that is accepted.
    names, numbers, kinds : sequence of str
        Of each row: what is on its left, on its right, and its verdict.
    marks : dict
        Verdict to colour and marker.
    """
    beside = ax.get_yaxis_transform()
    for y, (value, low, high, least, most) in enumerate(scaled):
        color, marker = marks[kinds[y]]
        ax.plot([least, most], [y, y], color="0.85", lw=7, solid_capstyle="butt", zorder=1)
        ax.plot([low, high], [y, y], color=color, lw=1.2, zorder=2)
        ax.plot(value, y, color=color, marker=marker, ms=5, ls="none", zorder=3)
        ax.text(1.01, y, numbers[y], transform=beside, va="center", fontsize=7)
    ax.axvline(0.0, color="black", lw=0.8, zorder=0)
    ax.text(1.01, -1.2, "printed → measured", transform=beside, fontsize=7)
    ax.set_yticks(range(len(names)), names, fontsize=7)
    ax.set_xscale("symlog", linthresh=1.0)
    ticks = [-100.0, -10.0, -1.0, 0.0, 1.0, 10.0, 100.0]
    ax.set_xticks(ticks, ["−100", "−10", "−1", "printed", "1", "10", "100"])
    ax.set(xlim=(-1.2 * FARTHEST, 1.2 * FARTHEST), ylim=(len(names) - 0.4, -0.6))
    ax.set_xlabel("measured − printed, in units of the largest difference that is accepted")
    ax.tick_params(top=True, labeltop=True)
    handles = [
        Line2D([], [], color=color, marker=marker, ls="none", label=kind)
        for kind, (color, marker) in marks.items()
        if kind in kinds
    ]
    ax.figure.legend(handles=handles, loc="outside upper center", ncols=len(marks))
