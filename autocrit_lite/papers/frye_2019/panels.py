"""The panels of Frye et al. 2019; they draw arrays and compute no results."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes

from ...arrays import Array
from ...plotting import CRITICAL, FLAT, FOUND, NEITHER, TRUE


def distance_by_cutoff(ax: Axes, cutoffs: Sequence[float], distance: Array) -> None:
    """Draw median and 95 % quantile of a distance (runs, cutoffs) against the cut-off on ‖g‖².

    An infinite cut-off is drawn a hundredfold to the right of the largest finite one.
    """
    finite = np.asarray(cutoffs, dtype=float)
    finite[~np.isfinite(finite)] = 100 * finite[np.isfinite(finite)].max()
    for quantile, style_, label in ((0.5, "-", "median"), (0.95, "--", "95 % quantile")):
        values = np.nanquantile(distance, quantile, axis=0)
        ax.plot(finite, values, style_, color=FOUND, marker="o", ms=3, label=label)
    ax.set(xscale="log", yscale="log", ylabel="distance from the nearest true point")
    ax.set_xlabel(r"cut-off on $\|g\|^2$ (last: the starts)")
    ax.legend()


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
    ax: Axes, sigmas: Sequence[float], replicates: Array, label: str, line: str, series: int
) -> None:
    """Draw mean and standard deviation of bootstrap entropies (sigmas, replicates) against σ.

    No noise is drawn ten times to the left of the smallest other σ.
    """
    x = np.asarray(sigmas, dtype=float)
    x[x == 0] = x[x > 0].min() / 10 if np.any(x > 0) else 1.0
    color = (CRITICAL, FLAT)[series % 2]
    mean, spread = replicates.mean(axis=1), replicates.std(axis=1)
    ax.errorbar(x, mean, spread, color=color, ls=line, marker="o", ms=3, capsize=2, label=label)
    ax.set(xscale="log", xlabel=r"$\sigma$ (first: no noise)", ylabel="entropy / bits")


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
    ax.axhline(printed, color=NEITHER, ls="--", lw=0.8)
    ax.set_xticks(place, [str(limit) for limit in limits])


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


def index_histogram(ax: Axes, true_index: Array, index: Array, bins: int = 25) -> None:
    """Draw how the indices of true and found points are distributed, on a log scale."""
    edges = np.linspace(0.0, true_index.max(), bins + 1).tolist()
    ax.hist(true_index, edges, density=True, color=TRUE, alpha=0.5)
    ax.hist(index, edges, density=True, histtype="step", color=FOUND)
    ax.set(yscale="log", ylabel="density")


def discovery_curve(ax: Axes, rows: Array, label: str, series: int, level: int) -> None:
    """Draw how many different points the first k runs found, against k."""
    first = np.unique(rows, return_index=True)[1]
    found = np.cumsum(np.isin(np.arange(len(rows)), first))
    color = (CRITICAL, FLAT)[series % 2]
    ax.plot(np.arange(1, len(rows) + 1), found, color=color, alpha=1.0 - 0.2 * level, label=label)
    ax.set(xscale="log", yscale="log", xlabel="runs", ylabel="different points found")


def times_found(ax: Axes, index: Array, loss: Array, times: Array) -> None:
    """Draw the true points in the plane of index and loss, coloured by how often each was found."""
    never = times == 0
    ax.scatter(index[never], loss[never], s=6, color=TRUE, lw=0, label="never found")
    order = np.argsort(times[~never])
    shown = ax.scatter(
        index[~never][order],
        loss[~never][order],
        c=np.log10(times[~never][order]),
        s=10,
        lw=0,
        cmap="viridis",
    )
    ax.figure.colorbar(shown, ax=ax, label=r"$\log_{10}$ times found")
    ax.set(xlabel="index", ylabel=r"$L(\theta)$")
    ax.legend(loc="lower right")
