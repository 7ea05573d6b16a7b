"""The panels of the figures on spectra of Hessians; like those of ``plotting`` they only draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from ...arrays import Array
from ...plotting import CRITICAL, FLAT, FOUND, LINE_WIDTH, NEITHER, STALLED, TRUE
from ...points.spectral_laws import Law

SIGN_COLORS = {"negative": FLAT, "zero": NEITHER, "positive": CRITICAL}
SOURCE_COLORS = (CRITICAL, FOUND, "#56B4E9", FLAT, STALLED, TRUE, "#E8E8E8")
"""Of the sources of zeros in their order, then of the rescalings, then of the rest."""

START = 1 / 64
"""Added to epochs that are drawn on a log scale, as the start has no logarithm."""


def _shades(count: int) -> Array:
    """Return colours from dark to light."""
    return mpl.colormaps["viridis"](np.linspace(0.0, 0.9, count))


def counts_by_tolerance(
    ax: Axes, tolerance: Array, counts: Array, signs: Sequence[str], exact: int
) -> None:
    """Draw how many eigenvalues are negative, zero and positive against the tolerance.

    Parameters
    ----------
    ax : Axes
    tolerance : array (T,)
        Above 0.
    counts : array (T, 3)
    signs : sequence of str
        Of the columns.
    exact : int
        Zeros to the last bit, drawn as a dotted line.
    """
    for sign, column in zip(signs, counts.T, strict=True):
        ax.plot(tolerance, column, color=SIGN_COLORS[sign], label=sign)
    ax.axhline(exact, color=NEITHER, lw=0.8, ls=":", label="zero to the last bit")
    ax.set(xscale="log", xlabel=r"tolerance $\tau$", ylabel="eigenvalues")


def zeros_by_source(
    ax: Axes, rows: Sequence[str], parts: Mapping[str, Array], total: Array
) -> None:
    """Draw where zero eigenvalues come from: a bar for each row, with what is measured as a line.

    Parameters
    ----------
    ax : Axes
    rows : sequence of K str
    parts : dict of arrays (K,)
        By source, in the order in which they are stacked.
    total : array (K,)
        Zeros measured.
    """
    y, left = np.arange(len(rows)), np.zeros(len(rows))
    for (name, values), color in zip(parts.items(), SOURCE_COLORS, strict=False):
        width = np.maximum(values, 0)
        ax.barh(y, width, left=left, color=color, height=0.7, label=name)
        left = left + width
    ax.plot(total, y, "|", color=NEITHER, ms=9, label="measured")
    ax.set(yticks=y, yticklabels=list(rows), xlabel="zero eigenvalues")
    ax.set_ylim(len(rows) - 0.4, -0.6)


def ordered_magnitudes(ax: Axes, spectra: Mapping[str, Array], floor: float = 1e-18) -> None:
    """Draw the absolute eigenvalues of spectra in ascending order, on a log scale.

    Parameters
    ----------
    ax : Axes
    spectra : dict of arrays (k,)
        By name; zeros are drawn at ``floor``.
    floor : float
    """
    for (name, eigenvalues), color in zip(spectra.items(), _shades(len(spectra)), strict=True):
        ax.plot(np.sort(np.maximum(np.abs(eigenvalues), floor)), color=color, lw=1.2, label=name)
    ax.set(yscale="log", xlabel="eigenvalue, by size", ylabel=r"$|\lambda|$")


def error_against_negative(ax: Axes, error: Array, share: Array, epoch: Array) -> None:
    """Draw error against the share of negative eigenvalues, a dot for each point of training.

    Parameters
    ----------
    ax : Axes
    error, share : array (trials, K)
    epoch : array (K,)
        Which the colours stand for.
    """
    for e, s in zip(error, share, strict=True):
        ax.plot(s, e, color=TRUE, lw=LINE_WIDTH, zorder=1)
        drawn = ax.scatter(s, e, c=np.log2(epoch + START), s=12, lw=0, cmap="viridis")
    marks = {"0": 0.0, "1/8": 1 / 8, "1": 1.0, "4": 4.0, "16": 16.0}
    marks = {label: mark for label, mark in marks.items() if mark <= epoch.max()}
    bar = ax.figure.colorbar(drawn, ax=ax, label="epoch")
    bar.set_ticks([float(np.log2(mark + START)) for mark in marks.values()], labels=list(marks))
    ax.set(xlabel="share of negative eigenvalues", ylabel="error")


def zeros_by_epoch(ax: Axes, epoch: Array, zeros: Mapping[float, Array], known: Array) -> None:
    """Draw numbers of zero eigenvalues during training, for several tolerances.

    Parameters
    ----------
    ax : Axes
    epoch : array (K,)
    zeros : dict of arrays (trials, K)
        By tolerance.
    known : array (trials, K)
        Null vectors known beforehand, drawn as dotted lines.
    """
    for (tolerance, runs), color in zip(zeros.items(), _shades(len(zeros)), strict=True):
        first, *_ = ax.plot(epoch, runs.T, color=color, lw=1.0)
        first.set_label(rf"$\tau = {power_of_ten(tolerance)}$")
    ax.plot(epoch, known.T, color=NEITHER, lw=0.8, ls=":")
    ax.set(xlabel="epoch", ylabel="zero eigenvalues", yscale="log")


def negative_shares(
    ax: Axes, methods: Sequence[str], shares: Mapping[str, Array], printed: Array
) -> None:
    """Draw the share of negative eigenvalues by method and loss, a dot for each trial.

    Parameters
    ----------
    ax : Axes
    methods : sequence of K str
    shares : dict of arrays (K, trials)
        By loss; NaN is left out.
    printed : array (K,)
        By the paper, drawn as lines across.
    """
    x = np.arange(len(methods))
    for k, ((name, own), color) in enumerate(
        zip(shares.items(), _shades(len(shares)), strict=True)
    ):
        place = np.repeat(x + 0.2 * (k - (len(shares) - 1) / 2), own.shape[1])
        ax.plot(place, own.ravel(), "o", ms=4, mew=0, alpha=0.6, color=color, label=name)
    ax.hlines(printed, x - 0.35, x + 0.35, color=NEITHER, label="printed")
    ax.set(xticks=x, xticklabels=list(methods), ylabel="share of negative eigenvalues")
    ax.set_ylim(bottom=0.0)


def bulk_against_laws(
    ax: Axes, eigenvalues: Array, laws: Mapping[str, Law], distance: Sequence[float]
) -> None:
    """Draw the distribution function of a bulk with those of laws fitted to it.

    The Kolmogorov–Smirnov distance is the largest vertical gap. The axis of λ is linear about 0, up
    to the size below which a tenth of the bulk lies, and logarithmic beyond.

    Parameters
    ----------
    ax : Axes
    eigenvalues : array (k,)
    laws : dict of laws
        By name.
    distance : sequence of float
        The Kolmogorov–Smirnov distance of each.
    """
    share = np.linspace(0.0, 1.0, 1001)
    ax.plot(np.quantile(eigenvalues, share), share, color=TRUE, lw=2.5, label="measured")
    linear = float(np.quantile(np.abs(eigenvalues), 0.1))
    low, high = (np.arcsinh(float(end) / linear) for end in (eigenvalues.min(), eigenvalues.max()))
    x = linear * np.sinh(np.linspace(low, high, 2001))
    for (name, law), d, color in zip(laws.items(), distance, (CRITICAL, FLAT), strict=False):
        ax.plot(x, law.cdf(x), color=color, lw=1.2, label=f"{name}: distance {d:.2f}")
    lowest, highest = np.ceil(np.log10(linear)), np.floor(np.log10(np.abs(x).max()))
    sizes = 10.0 ** np.arange(highest, lowest, -2)[::-1]  # ticks for every decade would collide
    ax.set_xscale("symlog", linthresh=linear)
    ax.set_xticks([-size for size in sizes if size < -x[0]] + [0.0, *sizes])
    ax.set(xlabel=r"$\lambda$", ylabel="share of eigenvalues below")


def power_of_ten(x: float) -> str:
    """Return a power of ten as it is written in formulas."""
    return rf"10^{{{np.log10(x):.3g}}}"
