"""The figures on the quartic of Frye et al. 2021, Fig. 2."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ... import plotting
from ...arrays import Array
from ...ground_truth.quartic import (
    CRITICAL_POINT,
    FLAT_MINIMUM,
    FLAT_SADDLE,
    FLAT_SQUARED_GRADIENT_NORM,
)
from ...ground_truth.quartic import Quartic as QuarticObjective
from ...plotting import CRITICAL, FLAT, NEITHER, STALLED, TRUE
from .panels import ends_by_row

COLORS = (CRITICAL, FLAT, STALLED)
NAMES = ("at the critical point", "at the gradient-flat point", "stalled beside it")
"""Of the runs, by the codes of ``quartic.ENDS``."""

MARKED = {CRITICAL_POINT: CRITICAL, FLAT_MINIMUM: FLAT, FLAT_SADDLE: FLAT}
BAND = (10.0, 90.0)
"""Per cent of the runs that a band leaves below and above it (chosen by us)."""
FEWEST = 5
"""Runs that a median is taken of (chosen by us)."""


def _map(ax: Axes, x_range: tuple[float, float], y_range: tuple[float, float], of: str) -> None:
    """Fill the contours of f or of ‖∇f‖² over the window, and mark the three points."""
    x, y = np.linspace(*x_range, 201), np.linspace(*y_range, 181)
    plane = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    value, gradient = QuarticObjective().value_and_gradient(plane)
    values = {"f": value, r"\|\nabla f\|^2": np.sum(gradient**2, axis=-1)}[of]
    plotting.landscape(ax, x, y, values.reshape(y.size, x.size), rf"$\log_{{10}} {of}$")
    for at, color in MARKED.items():
        ax.scatter(*at, s=45, color=color, edgecolor="white", zorder=4)


def runs(
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    theta: Array,
    norms: Array,
    end: Array,
) -> Figure:
    """Return the figure of the runs over ‖∇f‖², and of ‖∇f‖² along them (Fig. 2B).

    Parameters
    ----------
    x_range, y_range : pair of float
        The window.
    theta : array (runs, K, 2)
        The iterates, NaN after a run's end.
    norms : array (runs, K)
        ‖∇f‖² there.
    end : integer array (runs,)
        Codes of ``quartic.ENDS``.
    """
    order = np.argsort(end == 0, kind="stable")  # the few that escape over the many that do not
    colors = np.array(COLORS)[end[order]]
    with plotting.style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), width_ratios=(1.15, 1))
        _map(left, x_range, y_range, r"\|\nabla f\|^2")
        plotting.trajectories(left, theta[order], colors)
        left.set_title("From the right, most runs are caught at $x = \\sqrt{2}$")
        plotting.squared_gradient_norm(right, norms[order], colors, floor=1e-13)
        right.axhline(FLAT_SQUARED_GRADIENT_NORM, color=NEITHER, ls=":", lw=0.8)
        right.set(ylabel="", title=r"$\|\nabla f\|^2$ levels off at $(9 - 4\sqrt{2})^2$, not at 0")
        white = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
        beside = {"ha": "right", "transform": right.transAxes, "bbox": white}
        for code, (name, color) in enumerate(zip(NAMES, COLORS, strict=True)):
            text = f"{np.sum(end == code)} runs: {name}"
            right.text(1.0, 0.6 - 0.08 * code, text, color=color, **beside)
    return figure


def landscapes(x_range: tuple[float, float], y_range: tuple[float, float]) -> Figure:
    """Return the figure of f and ‖∇f‖² over a window and along y = 0 (Fig. 2A)."""
    with plotting.style():
        figure, axes = plt.subplots(2, 2, figsize=(8, 4.6), sharex=True, height_ratios=(2.2, 1))
        left, right = axes[0]
        _map(left, x_range, y_range, "f")
        left.set(title="$f$ has one critical point, in blue", xlabel="")
        _map(right, x_range, y_range, r"\|\nabla f\|^2")
        x, y = np.linspace(*x_range, 41)[1::2], np.linspace(*y_range, 37)[1::2]
        coarse = np.stack(np.meshgrid(x, y), axis=-1)
        point = QuarticObjective().linearize(coarse.reshape(-1, 2))
        newton = (-point.gradient / point.diagonal).reshape(coarse.shape)
        plotting.direction_field(right, x, y, newton)
        right.set(title=r"$\|\nabla f\|^2$ has a second hollow, in orange", xlabel="")
        line = np.stack([np.linspace(*x_range, 401), np.zeros(401)], axis=-1)
        value, gradient = QuarticObjective().value_and_gradient(line)
        along = {"$f(x, 0)$": value, r"$\|\nabla f(x, 0)\|^2$": np.sum(gradient**2, axis=-1)}
        for ax, (label, values) in zip(axes[1], along.items(), strict=True):
            ax.plot(line[:, 0], values, color=TRUE)
            for at, color in MARKED.items():
                height = np.interp(at[0], line[:, 0], values)
                ax.scatter(at[0], height, s=45, color=color, edgecolor="white", zorder=3)
            ax.set(
                xlabel="$x$",
                ylabel=label,
                yscale="log",
                ylim=(0.5 * values[values > 0.1].min(), None),
            )
    return figure


def along_the_runs(residual: Array, step_size: Array, end: Array) -> Figure:
    """Return the figure of r and α along three runs to the flat point, before most of the others.

    A row for a short, a middling and a long run; a band for most of all runs that still go on.

    Parameters
    ----------
    residual, step_size : array (runs, K)
        r and α, NaN after a run's end.
    end : integer array (runs,)
        Codes of ``quartic.ENDS``.
    """
    flat = np.flatnonzero(end == 1)
    length = np.sum(np.isfinite(residual[flat]), axis=1)
    kinds = {"short": 0.15, "middling": 0.5, "long": 0.85}
    iteration = np.arange(residual.shape[1]) + 1
    with plotting.style():
        figure, axes = plt.subplots(3, 2, figsize=(8, 5), sharex=True, sharey="col")
        histories = residual, np.where(step_size > 0.0, step_size, np.nan)
        for column, history in zip(axes.T, histories, strict=True):
            shown = np.sum(np.isfinite(history[flat]), axis=0) >= FEWEST
            spread = np.nanpercentile(history[flat][:, shown], (*BAND, 50.0), axis=0)
            for ax, share in zip(column, kinds.values(), strict=True):
                run = flat[np.argsort(length)[int(share * len(flat))]]
                ax.fill_between(iteration[shown], *spread[:2], color=FLAT, alpha=0.2, lw=0)
                ax.plot(iteration[shown], spread[2], color=FLAT, lw=1.5)
                ax.plot(iteration, history[run], color=NEITHER, lw=1)
        for ax, kind in zip(axes[:, 0], kinds, strict=True):
            ax.set(ylabel="$r$", ylim=(-0.03, 1.03))
            ax.text(0.02, 0.8, f"a {kind} run", transform=ax.transAxes)
        for ax in axes[:, 1]:
            ax.set(xscale="log", yscale="log", ylabel=r"$\alpha$")
        axes[0, 1].text(1.0, 0.85, "median", color=FLAT, ha="right", transform=axes[0, 1].transAxes)
        axes[0, 0].set_title("$r$ is 0, rises, and is 0 again")
        axes[0, 1].set_title("steps shrink by many orders of magnitude")
        for ax in axes[-1]:
            ax.set_xlabel("iteration + 1")
    return figure


def variants(names: Sequence[str], end: Array) -> Figure:
    """Return the figure of how many runs of each variant end how: a bar each.

    Parameters
    ----------
    names : sequence of V str
    end : integer array (V, runs)
        Codes of ``quartic.ENDS``.
    """
    with plotting.style():
        figure, ax = plt.subplots(figsize=(8, 2.2))
        ends_by_row(ax, names, end, NAMES)
        ax.set_title("Where runs end hangs on the step length and on the solver")
        figure.legend(loc="outside lower center", ncols=len(NAMES))
    return figure
