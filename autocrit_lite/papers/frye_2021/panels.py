"""The panels of Frye et al. 2021, Figs 1 and 3 to 5; they draw arrays and compute no results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isqrt
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, NullFormatter, PercentFormatter

from ...arrays import Array
from ...plotting import (
    CRITICAL,
    FLAT,
    FOUND,
    LINE_WIDTH,
    NEITHER,
    STALLED,
    TRUE,
    loss_against_index,
    squared_gradient_norm,
    style,
)
from ...points.classes import PointClass
from ...runner.results import Results
from .claims import CRITICAL as CUTOFF
from .claims import FLAT as FLAT_LEVEL
from .claims import FLATTEST, LAST, LOOSE
from .gradient_flat import CUTOFFS, SHARES

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


def representatives(point_class: Array, end: Array) -> dict[PointClass, int]:
    """Return of each class that occurs the number of one run: the one in the middle by its end.

    Parameters
    ----------
    point_class : array (runs,)
        Of the last iterates.
    end : array (runs,)
        What the runs of a class are ordered by: ‖g‖² at the last iterate.
    """
    found = {}
    for kind in (PointClass.NEITHER, PointClass.STRICTLY_FLAT, PointClass.CRITICAL):
        runs = np.flatnonzero(point_class == kind)
        if len(runs):
            found[kind] = int(runs[np.argsort(end[runs])[len(runs) // 2]])
    return found


def two_networks(results: Results, networks: Sequence[str], cliffs: Array) -> Figure:
    """Return Fig. 1 of Frye et al. 2021, with its letters: a row for each network.

    Left, ‖∇L‖² along the runs, in the colours of the classes of their last iterates; thick, runs
    that have a cliff. Right, loss and index where ‖g‖² first falls below two cut-offs; grey, all
    critical points of the linear network.

    Parameters
    ----------
    results : Results
        Of ``LinearVsNonlinear``.
    networks : sequence of M str
    cliffs : boolean array (M, runs)
    """
    with style():
        size = (8.0, 0.3 + 2.8 * len(networks))
        figure, axes = plt.subplots(len(networks), 2, figsize=size, squeeze=False, sharex="col")
        for m, (network, (left, right)) in enumerate(zip(networks, axes, strict=True)):
            norms = results["squared_gradient_norm"][m]
            end = results["point_squared_gradient_norm"][m, :, LAST]
            colors = class_colors(results["point_class"][m, :, LAST])
            squared_gradient_norm(left, norms, colors, cutoff=CUTOFF, floor=1e-32)
            for run in np.flatnonzero(cliffs[m]):
                left.plot(np.arange(norms.shape[1]) + 1, norms[run], color=colors[run], lw=1.6)
            left.set(xscale="linear", xlabel="", xlim=(0, norms.shape[1]))
            below = f"{np.sum(end < CUTOFF)} of {len(end)} runs end below the cut-off"
            left.set_title(f"{'AC'[m]}   {network}: {below}", loc="left")
            labels = {}
            if network == "linear":
                true = results["true_index"], results["true_loss"]
                right.scatter(*true, s=14, color=TRUE, alpha=0.5, lw=0)
                labels["all critical points"] = TRUE
            for cutoff, color in ((LOOSE, LOOSE_COLOR), (CUTOFF, CRITICAL)):
                column = CUTOFFS.index(cutoff)
                index, loss = (
                    results[f"cutoff_{name}"][m, :, column] for name in ("index", "loss")
                )
                loss_against_index(right, None, (index, loss), color)
                if np.any(np.isfinite(index)):
                    labels[rf"$\|g\|^2 < 10^{{{round(np.log10(cutoff))}}}$"] = color
            for k, (label, color) in enumerate(labels.items()):
                where: dict[str, Any] = {"ha": "right", "transform": right.transAxes}
                right.text(0.98, 0.03 + 0.09 * k, label, color=color, **where)
            right.set(xlabel="")
            right.set_title(f"{'BD'[m]}   {network}", loc="left")
        axes[-1, 0].set_xlabel("iteration")
        axes[-1, 1].set_xlabel("index")
        class_legend(figure, results["point_class"][..., LAST].ravel())
    return figure


def full_steps(looked_at: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Return what a full Newton step does at one iterate of each network, a row for each.

    Parameters
    ----------
    looked_at : dict
        Name of the network to ``eigenvalues`` (n,); ``iterations`` of MINRES-QLP, ``r`` and
        ``solved``, by which factor the step changes ‖g‖²; ``cutoffs`` and ``truncated``, the same
        for directions without the eigenvectors of |λ| up to each cut-off times the largest.
    """
    labels = "rank", "iterations of MINRES-QLP", r"cut-off on $|\lambda| / \max|\lambda|$"
    with style():
        size = (8.0, 2.4 * len(looked_at))
        figure, axes = plt.subplots(len(looked_at), 3, figsize=size, squeeze=False, sharex="col")
        for line, (network, at) in zip(axes, looked_at.items(), strict=True):
            line[0].semilogy(np.sort(np.abs(at["eigenvalues"])), ".", color="0.3", ms=3)
            line[0].set(ylabel=rf"$|\lambda|$, {network}")
            line[1].loglog(at["iterations"], at["solved"], color=FOUND)
            line[1].loglog(at["iterations"], at["r"], "--", color=TRUE)
            line[1].axvline(len(at["eigenvalues"]), color=NEITHER, ls=":", lw=0.8)
            line[1].text(at["iterations"][0], 1.5 * at["r"][0], "$r$", color="0.4")
            line[2].loglog(at["cutoffs"], at["truncated"], color=FOUND)
            for ax in line[1:]:
                ax.axhline(1.0, color=TRUE, lw=0.8)
        axes[0, 0].set_title("eigenvalues", loc="left")
        axes[0, 1].set_title(r"change of $\|g\|^2$, as solved", loc="left")
        axes[0, 2].set_title(r"change of $\|g\|^2$, truncated", loc="left")
        for ax, label in zip(axes[-1], labels, strict=True):
            ax.set_xlabel(label)
    return figure


def four_panels(results: Results) -> Figure:
    """Return Figs 3 to 5 of Frye et al. 2021, with their letters.

    A, ‖∇L‖² along the runs, in the colours of the classes of their last iterates, one run of each
    class as a thick line. B, r along these. C, the distribution of r at the last iterates and of
    the largest r of a run. D, loss against index at the iterates of largest r.

    Parameters
    ----------
    results : Results
        Of a ``GradientFlat``.
    """
    kind, norms = results["point_class"], results["squared_gradient_norm"]
    r, end = results["relative_residual"], results["point_squared_gradient_norm"][:, LAST]
    typical, colors = representatives(kind[:, LAST], end), class_colors(kind[:, LAST])
    with style():
        figure = plt.figure(figsize=(8.0, 6.6))
        grid = figure.add_gridspec(2, 2)
        runs, index = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[1, 1])
        strips = (
            grid[0, 1].subgridspec(max(len(typical), 1), 1).subplots(sharex=True, squeeze=False)
        )
        cumulative = grid[1, 0].subgridspec(2, 1).subplots(sharex=True, squeeze=False)[:, 0]

        floor = max(1e-16, 0.1 * np.nanmin(norms))  # what is below is the limit of rounding
        squared_gradient_norm(runs, norms, colors, cutoff=CUTOFF, floor=floor)
        critical = int(np.sum(end < CUTOFF))
        runs.set_title(f"A   {critical} of {len(end)} runs end below the cut-off", loc="left")
        for ax, (which, run) in zip(strips[:, 0], typical.items(), strict=False):
            name, color = CLASSES[which]
            runs.plot(np.arange(norms.shape[1]) + 1, norms[run], color=color, lw=2)
            ax.plot(r[run], color=color, lw=0.8)
            ax.axhline(FLAT_LEVEL, color=TRUE, ls=":", lw=0.8)
            ax.set(ylim=(-0.05, 1.05), ylabel="$r$")
            ax.text(1.01, 0.5, name, color=color, rotation=-90, va="center", transform=ax.transAxes)
        strips[0, 0].set_title("B   $r$ along a typical run of each class", loc="left")
        strips[-1, 0].set_xlabel("iteration")
        shown = {
            "last": results["point_relative_residual"][:, LAST],
            "largest": np.nanmax(r, axis=1),
        }
        for ax, (name, values) in zip(cumulative, shown.items(), strict=True):
            distribution(ax, values)
            share = f"{np.mean(values > FLAT_LEVEL):.0%} above {FLAT_LEVEL:g}"
            ax.set_title(f"{'C   ' if name == 'last' else '      '}{name} $r$: {share}", loc="left")
        cumulative[1].set_xlabel("$r$")
        at = [results[f"point_{name}"][:, FLATTEST] for name in ("index", "value")]
        index.scatter(at[0], at[1], s=10, c=class_colors(kind[:, FLATTEST]), lw=0, alpha=0.8)
        index.set(xlabel="index", ylabel=r"$L(\theta)$")
        index.set_title("D   at the iterates of largest $r$", loc="left")
        class_legend(figure, kind[:, LAST])
    return figure


def class_legend(figure: Figure, point_class: Array) -> None:
    """Add a legend of the classes that occur above all panels, with how often."""
    handles = [
        Line2D([], [], color=color, marker="o", ms=4, ls="none", label=f"{name}: {count} runs")
        for kind, (name, color) in CLASSES.items()
        if (count := int(np.sum(point_class == kind)))
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))


def distribution(ax: Axes, values: Array) -> None:
    """Draw the distribution function of values of r (runs,), what is flat in the class's colour."""
    sns.ecdfplot(values, ax=ax, color=NEITHER)
    x, share = (np.asarray(own) for own in ax.lines[0].get_data())
    above = x > FLAT_LEVEL
    ax.plot(x[above], share[above], color=FLAT, lw=2.5, drawstyle="steps-post")
    ax.axvline(FLAT_LEVEL, color=TRUE, ls=":", lw=0.8)
    ax.set(xlabel="", ylabel="share of runs", xlim=(-0.02, 1.02), ylim=(0, 1.02))


def share_by_eigenvalue(
    points: Mapping[str, tuple[Array, Array, str]], rtol: float, floor: float = 1e-8
) -> Figure:
    """Return where gradients lie: a row for each point, a tick for each eigenvector of its Hessian.

    A bar is the share of the eigenvectors in a tenth of a decade (those of equal λ have no share of
    their own: their choice is arbitrary), the line the sum from the left.

    Parameters
    ----------
    points : dict
        Title to eigenvalues (n,), the shares (n,) of ‖g‖² along their eigenvectors, and a colour.
    rtol : float
        Of the solver. Grey: |λ| below ``rtol`` times the largest.
    floor : float
        |λ| below are drawn there (chosen by us: rounding).
    """
    largest = max(np.abs(eigenvalues).max() for eigenvalues, _, _ in points.values())
    edges = 10.0 ** np.arange(np.log10(floor), np.log10(largest) + 0.2, 0.1)
    with style():
        size = (7.5, 0.6 + 1.5 * len(points))
        figure, axes = plt.subplots(len(points), 1, figsize=size, sharex=True, squeeze=False)
        for ax, (title, (eigenvalues, share, color)) in zip(
            axes[:, 0], points.items(), strict=True
        ):
            order = np.argsort(np.abs(eigenvalues))
            where, share = np.maximum(np.abs(eigenvalues)[order], floor), share[order]
            negligible = rtol * where[-1]
            ax.axvspan(edges[0], negligible, color="0.93", lw=0)
            ax.axvline(SHARES[0], color=TRUE, ls=":", lw=0.8)
            ax.hist(where, edges, weights=share, color=color)
            ax.step(where, np.cumsum(share), where="post", color=TRUE, lw=1.2)
            sns.rugplot(x=where, ax=ax, color=TRUE, height=0.05, lw=0.3)
            ax.set(xscale="log", xlim=(edges[0], edges[-1]), ylim=(-0.08, 1.05))
            small = np.sum(share[where < negligible])
            ax.set_title(f"{title}: {small:.0%} of $\\|g\\|^2$ in the grey band", loc="left")
            ax.yaxis.set_major_formatter(PercentFormatter(1.0))
            ax.set_ylabel(r"share of $\|g\|^2$")
        axes[-1, 0].set_xlabel(r"$|\lambda|$ of the Hessian")
    return figure


def shares_by_class(results: Results) -> Figure:
    """Return how much of ‖g‖² lies at small |λ| where r is largest: a dot for each run, by class.

    Parameters
    ----------
    results : Results
        Of a ``GradientFlat``.
    """
    kind, shares = results["point_class"][:, FLATTEST], results["gradient_share"][:, FLATTEST]
    kinds = [which for which in CLASSES if np.any(kind == which)]
    order, palette = zip(*(CLASSES[which] for which in kinds), strict=True)
    names = [CLASSES[PointClass(int(code))][0] for code in kind]
    with style():
        size = (8.0, 1.0 + 0.7 * len(kinds))
        figure, axes = plt.subplots(1, len(SHARES), figsize=size, sharey=True)
        for ax, cutoff, share in zip(axes, SHARES, shares.T, strict=True):
            options: dict[str, Any] = {"order": order, "hue_order": order, "palette": palette}
            sns.stripplot(x=share, y=names, hue=names, jitter=False, size=3.5, ax=ax, **options)
            for k, which in enumerate(kinds):
                strip, mine = ax.collections[k], share[kind == which]
                at = np.array(strip.get_offsets())  # spread evenly: seaborn's jitter is random
                at[:, 1] += 0.5 * ((0.5 + 0.618 * np.arange(len(at))) % 1.0 - 0.5)
                strip.set_offsets(at)
                ax.text(0.5, k - 0.33, f"median {np.nanmedian(mine):.1%}", ha="center", fontsize=7)
            ax.set(xlim=(-0.03, 1.03), ylim=(len(kinds) - 0.5, -0.5))
            ax.xaxis.set_major_formatter(PercentFormatter(1.0))
            below = rf"$|\lambda| < 10^{{{round(np.log10(cutoff))}}}$"
            ax.set(xlabel=rf"share of $\|g\|^2$ at {below}", ylabel="")
    return figure


def images(
    rows: Mapping[str, Array], titles: Sequence[str] = (), ink: Array | None = None, crop: int = 0
) -> Figure:
    """Return samples as a network sees them, a column each, beside the pixels without ink.

    Parameters
    ----------
    rows : dict
        Name to images (k, d): squares if d is a square number, strips otherwise.
    titles : sequence of k str, optional
        Of the columns.
    ink : array (w, w), optional
        In which share of the images a pixel has ink.
    crop : int, optional
        The side of a frame about the centre of ``ink``.
    """
    count = len(next(iter(rows.values())))
    with style():
        figure = plt.figure(figsize=(8.0, 0.5 + 0.75 * max(len(rows), 3)))
        grid = figure.add_gridspec(1, 3 + count)  # in the first three, the ink
        axes = (
            grid[0, 0 if ink is None else 3 :].subgridspec(len(rows), count).subplots(squeeze=False)
        )
        for line, (name, samples) in zip(axes, rows.items(), strict=True):
            side = isqrt(samples.shape[1])
            shape = (side, side) if side**2 == samples.shape[1] else (1, samples.shape[1])
            for ax, sample in zip(line, samples, strict=True):
                ax.imshow(
                    sample.reshape(shape), cmap="gray", aspect="auto" if shape[0] == 1 else None
                )
                ax.set(xticks=[], yticks=[])
            line[0].set_ylabel(name)
        for ax, title in zip(axes[0], titles, strict=False):
            ax.set_title(title)
        if ink is not None:
            ax, width, dead = figure.add_subplot(grid[0, :3]), len(ink), ink == 0.0
            ax.imshow(ink, cmap="gray")
            ax.imshow(np.ma.masked_where(~dead, dead), cmap="cool", vmin=0.0, vmax=4.0)
            corner = (width - crop) // 2 - 0.5
            ax.add_patch(Rectangle((corner, corner), crop, crop, fill=False, ec="white", ls="--"))
            ax.set(
                xticks=[], yticks=[], title=f"{np.sum(dead)} of {width**2} pixels\nnever have ink"
            )
    return figure


def labelled(X: Array, labels: Array) -> Figure:
    """Return samples X (N, d) at their first two coordinates, drawn as their labels (N,)."""
    with style():
        figure, ax = plt.subplots(figsize=(4.0, 3.0))
        for label in np.unique(labels):
            x, y = X[labels == label, :2].T
            ax.scatter(x, y, s=24, marker=f"${label}$", color=SERIES_COLORS[5 + label % 2], lw=0.3)
        ax.set(xlabel="first component", ylabel="second component")
    return figure


def training(results: Results) -> Figure:
    """Return loss and ‖∇L‖² of each trajectory in training; ticks, where the searches start.

    Parameters
    ----------
    results : Results
        Of a ``GradientFlat``.
    """
    drawn = {"$L$": ("loss", "value"), r"$\|\nabla L\|^2$": ("squared_gradient_norm",) * 2}
    with style():
        figure, axes = plt.subplots(1, 2, figsize=(8.0, 2.5))
        for ax, (label, (name, at_start)) in zip(axes, drawn.items(), strict=True):
            ax.plot(results["train_epoch"] + 1, results[f"train_{name}"].T, color=TRUE, lw=0.8)
            sns.rugplot(y=results[at_start][:, 0], ax=ax, color=FOUND, height=0.04, lw=0.8)
            ax.set(xscale="log", yscale="log", xlabel="epoch + 1", ylabel=label)
            ax.yaxis.set_minor_formatter(NullFormatter())
        axes[0].set_title("green: where the searches start", loc="left")
    return figure


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
