"""The figures of Frye et al. 2019 and their panels; they draw arrays and compute no results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...arrays import Array
from ...plotting import FINDERS, FOUND, TRUE, squared_gradient_norm, style
from ...runner.results import Results

WIDTH = 8.0
"""Of the figures, in inches."""

MISSED = "#9467BD"
"""Of runs that end above the cut-off."""

SCHEME_COLORS = {"height": "#56B4E9", "iteration": "#D55E00"}
"""Of starts drawn uniformly in the height of the loss, and in iteration."""

PRINTED_SIGMAS = (1e-4, 1e-2, 1e-1)
"""The noise of Frye et al. 2019, Fig. 3."""

LINES = ("-", "--", "-.", ":")

Plane = tuple[Array, Array]
"""Index and loss of points, (K,) each."""


def searches(results: Results, methods: Sequence[str], cutoff: float) -> Figure:
    """Draw how the runs of each method went and which true points they found (2019, Fig. 1).

    Parameters
    ----------
    results : Results
        Of ``LinearAutoencoder``.
    methods : sequence of str
        A column for each.
    cutoff : float
        On ‖g‖²: runs that end below it found a point.
    """
    true = results["true_index"], results["true_loss"]
    with style():
        size = (min(WIDTH, 2.0 + 2.5 * len(methods)), 5.0)
        figure, axes = plt.subplots(2, len(methods), figsize=size, sharey="row", squeeze=False)
        for m, (method, top, bottom) in enumerate(zip(methods, *axes, strict=True)):
            ok = results["end"][m] < cutoff
            squared_gradient_norm(
                top,
                results["squared_gradient_norm"][m],
                list(np.where(ok, FOUND, MISSED)),
                cutoff=cutoff,
                floor=1e-40,
                iteration=results["iteration"][m],
            )
            top.set_title(f"{FINDERS[method]}\n{ok.sum()} of {len(ok)} runs below {cutoff:g}")
            above_the_line(bottom, true, (results["index"][m][ok], results["loss"][m][ok]))
            different = len(np.unique(results["row"][m][ok]))
            bottom.set_title(f"they find {different} of {len(true[0])} true points")
        for ax in axes[:, 1:].flat:
            ax.set_ylabel("")
    return figure


def above_the_line(ax: Axes, true: Plane, found: Plane) -> None:
    """Draw points found over the true ones, by index and by how far the loss is above a line.

    The line is fitted to the true points, which lie so near it that nothing else shows beside it.
    """
    slope, height = np.polyfit(*true, 1)
    index, loss = true
    ax.scatter(index, loss - (height + slope * index), s=10, color=TRUE, alpha=0.4, lw=0)
    index, loss = found
    above = loss - (height + slope * index)
    ax.scatter(index, above, s=9, color=FOUND, alpha=0.9, lw=0, zorder=3)
    ax.set(xlabel="index", ylabel="loss above the line")


def cutoffs(results: Results, method: int, distance: Array) -> Figure:
    """Draw points found at ever looser cut-offs on ‖g‖², and how far they are off (2019, Fig. 2).

    Parameters
    ----------
    results : Results
        Of ``LinearAutoencoder``.
    method : int
        Whose runs.
    distance : array (runs, cutoffs)
        From the nearest true point; NaN where a run does not come below a cut-off.
    """
    limits = results.coordinates["cutoff"]
    names = [f"{c:g}" if np.isfinite(c) else "starts" for c in limits]
    shades = mpl.colormaps["viridis"](np.linspace(0.0, 0.95, len(limits)))
    with style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.4))
        left.scatter(results["true_index"], results["true_loss"], s=22, color=TRUE, alpha=0.4, lw=0)
        for c in reversed(range(len(limits))):
            plane = results["cutoff_index"][method][:, c], results["cutoff_loss"][method][:, c]
            left.scatter(*plane, s=8, color=shades[c], lw=0, label=names[c])
        left.set(xlabel="index", ylabel=r"$L(\theta)$")
        left.set_title("the looser the cut-off, the farther off the true points (grey)")
        distance_by_cutoff(right, names, distance, shades)
        right.set_title("how far off, run by run")
    return figure


def distance_by_cutoff(ax: Axes, names: Sequence[str], distance: Array, shades: Array) -> None:
    """Draw a distance (runs, cutoffs) of each run by cut-off, a bar at each median."""
    spread = 0.6 * (0.618 * np.arange(len(distance)) % 1.0 - 0.5)  # even, and the same each time
    for c, values in enumerate(distance.T):
        ax.scatter(c + spread, np.where(values > 0.0, values, np.nan), s=6, color=shades[c], lw=0)
    median = np.nanmedian(distance, axis=0)
    place = np.arange(len(names))
    ax.hlines(median, place - 0.4, place + 0.4, color="0.2", lw=1.5, zorder=4)
    ax.set_xticks(place, list(names))
    ax.set(
        yscale="log", xlabel=r"cut-off on $\|g\|^2$", ylabel="distance from the nearest true point"
    )


def bias(
    results: Results, found: Sequence[tuple[Array, Array]], spreads: Sequence[Array]
) -> Figure:
    """Draw which eigenvectors are found from which starts, and how evenly (2019, Figs 3 and 4).

    Parameters
    ----------
    results : Results
        Of ``SamplingBias``.
    found : sequence of (boolean array (R, N), integer array (R,))
        For each way of drawing starts, without noise: eigenvectors kept, and the trajectory.
    spreads : sequence of array (sigmas, replicates)
        Bootstrap entropies for each way.
    """
    schemes, trajectories = results.coordinates["scheme"], int(results["trajectory"].max()) + 1
    with style():
        figure, axes = plt.subplots(1, len(schemes) + 1, figsize=(WIDTH, 2.8))
        for s, (scheme, ax) in enumerate(zip(schemes, axes, strict=False)):
            eigenvector_counts(ax, *found[s], trajectories)
            kept = found[s][0].any(axis=0)
            ax.set_title(f"uniform in {scheme}: {kept.sum()} of {len(kept)} found")
            entropy_by_noise(
                axes[-1], results.coordinates["sigma"], spreads[s], scheme, SCHEME_COLORS[scheme]
            )
        axes[-1].set_title("all found equally often: 4 bits")
    return figure


def eigenvector_counts(ax: Axes, kept: Array, trajectory: Array, n_trajectories: int) -> None:
    """Draw how often each eigenvector is kept, a colour for each trajectory (2019, Fig. 3).

    Parameters
    ----------
    ax : Axes
    kept : boolean array (R, N)
        Eigenvectors in the order of growing eigenvalues.
    trajectory : integer array (R,)
        Which trajectory each point was started from.
    n_trajectories : int
    """
    number = np.arange(1, kept.shape[1] + 1)
    bottom = np.zeros(kept.shape[1])
    for t in range(n_trajectories):
        counts = kept[trajectory == t].sum(axis=0)
        ax.bar(number, counts, bottom=bottom, color=mpl.colormaps["viridis"](t / n_trajectories))
        bottom += counts
    ax.set(xlabel="eigenvector", ylabel="times found", xticks=number[::3])


def entropy_by_noise(
    ax: Axes, sigmas: Sequence[float], replicates: Array, label: str, color: str
) -> None:
    """Draw mean and standard deviation of bootstrap entropies (sigmas, replicates) against σ.

    No noise is drawn ten times to the left of the smallest other σ.
    """
    x = np.asarray(sigmas, dtype=float)
    x[x == 0] = x[x > 0].min() / 10 if np.any(x > 0) else 1.0
    mean, spread = replicates.mean(axis=1), replicates.std(axis=1)
    ax.errorbar(x, mean, spread, color=color, marker="o", ms=3, capsize=2)
    ax.annotate(
        f"uniform in {label}",
        (x[0], mean[0]),
        xytext=(4, 12),
        textcoords="offset points",
        color=color,
    )
    ax.set(xscale="log", xlabel=r"$\sigma$ (first: no noise)", ylabel="entropy / bits")


def noise(results: Results, cutoff: float) -> Figure:
    """Draw the points found from starts with noise, their indices in the margin (2019, Fig. 3).

    Parameters
    ----------
    results : Results
        Of ``SamplingBias``.
    cutoff : float
        On ‖g‖².
    """
    schemes, sigmas = (results.coordinates[name] for name in ("scheme", "sigma"))
    shown = [x for x, sigma in enumerate(sigmas) if sigma in PRINTED_SIGMAS]
    true = results["true_index"], results["true_loss"]
    with style():
        figure, axes = plt.subplots(
            2 * len(schemes),
            len(shown),
            figsize=(min(WIDTH, 2.0 + 2.5 * len(shown)), 3.4 * len(schemes)),
            squeeze=False,
            height_ratios=[1, 2.2] * len(schemes),
            sharex=True,
            sharey="row",
        )
        for s, scheme in enumerate(schemes):
            for top, ax, x in zip(axes[2 * s], axes[2 * s + 1], shown, strict=True):
                ok = results["end"][s, x] < cutoff
                found = results["index"][s, x][ok], results["loss"][s, x][ok]
                index_margin(top, true[0], found[0])
                above_the_line(ax, true, found)
                top.set_title(rf"uniform in {scheme}, $\sigma = {sigmas[x]:g}$")
        for ax in axes[:, 1:].flat:
            ax.set_ylabel("")
    return figure


def index_margin(ax: Axes, true_index: Array, index: Array) -> None:
    """Draw the densities of the indices of true and of found points."""
    shape: dict[str, Any] = {"clip": (0.0, float(true_index.max())), "bw_adjust": 0.4}
    sns.kdeplot(x=true_index, ax=ax, color=TRUE, fill=True, **shape)
    sns.kdeplot(x=index, ax=ax, color=FOUND, warn_singular=False, **shape)
    ax.set(ylabel="density", yticks=[], xlabel="")


def coverage(results: Results, cutoff: float) -> Figure:
    """Draw how many true points are ever found, and which.

    Parameters
    ----------
    results : Results
        Of ``Coverage``.
    cutoff : float
        On ‖g‖².
    """
    ok, points = results["end"] < cutoff, len(results["true_loss"])
    with style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.2))
        for s, scheme in enumerate(results.coordinates["scheme"]):
            color = SCHEME_COLORS[scheme]
            left.plot([], [], color=color, label=f"uniform in {scheme}")
            for x in range(ok.shape[1]):
                discovery_curve(left, results["row"][s, x][ok[s, x]], color, LINES[x % len(LINES)])
        for x, sigma in enumerate(results.coordinates["sigma"]):
            left.plot([], [], LINES[x % len(LINES)], color="0.3", label=rf"$\sigma = {sigma:g}$")
        left.axhline(points, color="0.2", ls=":", lw=0.8)
        left.annotate(f"all {points} true points", (1, points), (2, 3), textcoords="offset points")
        left.legend(fontsize=7, loc="upper left", bbox_to_anchor=(0.0, 0.92), ncols=2)
        left.set(xlabel="runs", ylabel="different points found", ylim=(0.8, 2 * points))
        times = np.bincount(results["row"][ok], minlength=points)
        times_found(right, results["true_index"], times)
        left.set_title("no kind of start finds all")
        right.set_title(f"{np.sum(times == 0)} true points are never found")
    return figure


def discovery_curve(ax: Axes, rows: Array, color: str, line: str) -> None:
    """Draw how many different points the first k runs found, against k."""
    first = np.unique(rows, return_index=True)[1]
    found = np.cumsum(np.isin(np.arange(len(rows)), first))
    ax.plot(np.arange(1, len(rows) + 1), found, color=color, ls=line, lw=1.2)
    ax.set(xscale="log", yscale="log")


def times_found(ax: Axes, index: Array, times: Array) -> None:
    """Draw how many true points there are by index, parted by how often each was found."""
    names = ("never found", "once", "2 to 9 times", "more often")
    parts = [index[np.digitize(times, (1, 2, 10)) == k] for k in range(len(names))]
    colors = [TRUE, *mpl.colormaps["viridis"]([0.0, 0.5, 0.9])]
    ax.hist(parts, bins=24, stacked=True, color=colors, label=names)
    ax.set(xlabel="index", ylabel="true points")
    ax.legend()


def by_limit(numbers: Mapping[str, tuple[Array, Array, float]], limits: Sequence[int]) -> Figure:
    """Draw numbers that hang on the solver's limit: one panel each, the paper's number dashed.

    Parameters
    ----------
    numbers : dict
        Title to values (limits,), intervals (limits, 2) and the printed number.
    limits : sequence of int
    """
    with style():
        rows = max(1, -(-len(numbers) // 3))
        figure, axes = plt.subplots(
            rows, 3, figsize=(WIDTH, 2.2 * rows), sharex=True, squeeze=False
        )
        for ax, (title, (values, intervals, printed)) in zip(
            axes.flat, numbers.items(), strict=False
        ):
            number_by_limit(ax, limits, values, intervals, printed)
            ax.set_title(title)
        for ax in axes.flat[len(numbers) :]:
            ax.set_axis_off()
        for ax in axes[-1]:
            ax.set_xlabel("limit of the solver")
    return figure


def number_by_limit(
    ax: Axes, limits: Sequence[int], values: Array, intervals: Array, printed: float
) -> None:
    """Draw a number and its interval for each limit of the solver, and what the paper prints.

    Parameters
    ----------
    ax : Axes
    limits : sequence of int
        Drawn side by side, whatever their distances.
    values : array (limits,)
    intervals : array (limits, 2)
        NaN where there is none.
    printed : float
    """
    place = np.arange(len(limits))
    ax.vlines(place, *intervals.T, color=FOUND, lw=3, alpha=0.4)
    ax.plot(place, values, "o-", color=FOUND, ms=4, lw=0.8)
    ax.axhline(printed, color="0.2", ls="--", lw=0.8)
    ax.set_xticks(place, [str(limit) for limit in limits])


def found_by_limit(results: Results, cutoff: float) -> Figure:
    """Draw which points Newton-MR finds with each limit of its solver.

    Parameters
    ----------
    results : Results
        Of ``SolverLimit``; the first search is shown.
    cutoff : float
        On ‖g‖².
    """
    limits, ok = results.coordinates["maxit"], results["end"][:, 0] < cutoff
    losses = [loss[mine] for loss, mine in zip(results["loss"][:, 0], ok, strict=True)]
    kept = [own[mine].mean(axis=0) for own, mine in zip(results["kept"][:, 0], ok, strict=True)]
    with style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.0))
        losses_by_limit(left, results["true_loss"], limits, losses)
        left.set_title("how high the points found lie")
        eigenvectors_by_limit(right, limits, np.array(kept))
        right.set_title("which eigenvectors they keep")
    return figure


def losses_by_limit(
    ax: Axes, true_loss: Array, limits: Sequence[int], losses: Sequence[Array]
) -> None:
    """Draw what share of the points found lies below each loss, a line for each limit.

    The darker, the earlier the solver is cut short; grey: all true critical points.
    """
    sns.ecdfplot(true_loss, ax=ax, color=TRUE, lw=3, label="all true points")
    shades = mpl.colormaps["viridis"](np.linspace(0.0, 0.95, len(limits)))
    for limit, loss, shade in zip(limits, losses, shades, strict=True):
        sns.ecdfplot(loss, ax=ax, color=shade, lw=1.0, label=f"{limit}")
    ax.set(xlabel=r"$L(\theta)$", ylabel="share of the points")
    ax.legend(title="limit", fontsize=6)


def eigenvectors_by_limit(ax: Axes, limits: Sequence[int], shares: Array) -> None:
    """Draw what share of the points found keeps each eigenvector, (limits, eigenvectors)."""
    shown = ax.imshow(shares, aspect="auto", cmap="viridis", vmin=0.0)
    ax.set_yticks(np.arange(len(limits)), [str(limit) for limit in limits])
    ax.set_xticks(
        np.arange(0, shares.shape[1], 3), np.arange(1, shares.shape[1] + 1, 3).astype(str)
    )
    ax.set(xlabel="eigenvector", ylabel="limit of the solver")
    ax.figure.colorbar(shown, ax=ax, label="share that keeps it")
