"""The figures on spectra of Hessians, each from results; they only draw.

The colours of critical and gradient-flat points are kept for those: none of these points is either.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from ...arrays import Array
from ...linalg.inertia import INDEX_TOLERANCE
from ...networks.mlp import MLP
from ...plotting import LINE_WIDTH, NEITHER, TRUE, style
from ...points.flat_directions import SOURCES, NullSpace
from ...points.spectral_laws import Law
from ...runner.results import Results
from .digit_spectra import LAWS, ROUNDING, bulk, nearest_laws
from .tables import at_tolerance, negative_shares, parts, printed, with_spectrum

SOURCE_COLORS = dict(
    zip(
        (*SOURCES, "rescaling", "the rest"),
        ("#332288", "#882255", "#88CCEE", "#44AA99", "#AA4499", TRUE, "#E8E8E8"),
        strict=True,
    )
)

START = 1 / 64
"""Added to epochs that are drawn on a log scale, as the start has no logarithm."""

FLOOR = 1e-18
"""Where zeros are drawn on a log scale."""

COURSE_TOLERANCES = (ROUNDING, 1e-8, 1e-6, INDEX_TOLERANCE, 1e-4)


def _shades(count: int) -> Array:
    """Return colours from dark to light."""
    return mpl.colormaps["viridis"](np.linspace(0.0, 0.85, count))


def source_map(net: MLP, X: Array, H: Array, known: NullSpace) -> Figure:
    """Draw dead pixels, the weights that are null directions, and the Hessian's rows of zeros.

    Parameters
    ----------
    net : MLP
        On square images.
    X : array (N, inputs)
    H : array (n, n)
    known : NullSpace
        At the point of the Hessian.
    """
    names = list(SOURCE_COLORS)
    source = np.full(net.n_parameters, len(names))
    for block in known.blocks[::-1]:  # the first source of a weight counts
        if block.vectors is None:
            source[block.indices] = names.index(block.source)
    colors = mpl.colors.ListedColormap([*SOURCE_COLORS.values(), "white"])
    weights = colors(source[net.slices[0][0]].reshape(net.shapes[0]))
    side = round(net.layers[0] ** 0.5)
    inked = np.count_nonzero(X, axis=0).reshape(side, side)
    pixels = mpl.colormaps["Greys"](0.1 + 0.7 * inked / inked.max())
    pixels[inked == 0] = colors(names.index("dead inputs"))
    with style():
        figure, axes = plt.subplots(1, 3, figsize=(8.0, 3.0), width_ratios=(1, 1.3, 1))
        axes[0].imshow(pixels)
        axes[0].set(title=f"{np.sum(inked == 0)} pixels are 0\nin every image")
        axes[1].imshow(weights, aspect="auto", interpolation="nearest")
        axes[1].set(xlabel="pixel", ylabel="hidden unit", yticks=range(net.layers[1]))
        axes[1].set_title("weights into the hidden units\nthat do not change the loss")
        size = np.where(H == 0.0, np.nan, np.abs(H))
        shown = mpl.colormaps["Greys"].with_extremes(bad="#BBCCEE")
        axes[2].imshow(size, norm=LogNorm(1e-8, 1.0, clip=True), cmap=shown)
        axes[2].set(
            title="the Hessian: coloured where\nit is 0 to the last bit", xlabel="parameter"
        )
        for ax in axes[::2]:
            ax.set(xticks=[], yticks=[])
        for name in names[: len(SOURCES)]:
            if np.any(source == names.index(name)):
                axes[1].plot([], [], "s", color=SOURCE_COLORS[name], label=name)
        figure.legend(loc="outside lower center", ncols=len(SOURCES))
    return figure


def sources(results: Results, tolerances: Sequence[float] = (ROUNDING, INDEX_TOLERANCE)) -> Figure:
    """Draw where zero eigenvalues come from: a bar for each row, a panel for each tolerance."""
    rows = with_spectrum(results)
    labels = [results.coordinates["row"][i] for i in rows]
    y = np.arange(len(rows))
    with style():
        figure, axes = plt.subplots(
            1, len(tolerances), figsize=(8.0, 0.2 * len(rows) + 1.6), sharey=True, squeeze=False
        )
        for ax, tau in zip(axes[0], tolerances, strict=True):
            left = np.zeros(len(rows))
            for name, values in parts(results, tau).items():
                width = np.maximum(values[rows].mean(axis=1), 0.0)
                ax.barh(y, width, left=left, color=SOURCE_COLORS[name], height=0.7, label=name)
                left = left + width
            zeros = at_tolerance(results, "counts", tau)[rows, :, 1].mean(axis=1)
            ax.plot(zeros, y, "|", color=NEITHER, ms=7, label="measured")
            ax.set(yticks=y, yticklabels=labels, xlabel="zero eigenvalues")
            ax.set(ylim=(len(rows) - 0.4, -0.6), title=rf"within $\pm${power_of_ten(tau)}")
        handles, names = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=4)
    return figure


def spectra(results: Results, names: Sequence[str]) -> Figure:
    """Draw the absolute eigenvalues of the first trial of some rows in order, on a log scale."""
    with style():
        figure, ax = plt.subplots(figsize=(6.0, 3.4))
        for name, color in zip(names, _shades(len(names)), strict=True):
            row = list(results.coordinates["row"]).index(name)
            values = results["eigenvalues"][row, 0]
            zeros = np.zeros(int(results["zero_rows"][row, 0]))
            values = np.abs(np.append(zeros, values[np.isfinite(values)]))
            ax.plot(np.sort(np.maximum(values, FLOOR)), color=color, lw=1.2, label=name)
        ax.set(yscale="log", xlabel="eigenvalue, by size", ylabel=r"$|\lambda|$")
        ax.legend(loc="lower right")
    return figure


def losses(results: Results) -> Figure:
    """Draw the share of negative eigenvalues by method and loss, with the paper's as lines."""
    shares = negative_shares(results)
    with style():
        figure, ax = plt.subplots(figsize=(6.0, 3.0))
        trained = shares["trained to"].unique()
        colors = dict(zip(trained, _shades(len(trained)), strict=True))
        sns.swarmplot(
            shares, x="method", y="negative", hue="trained to", palette=colors, dodge=True, ax=ax
        )
        methods = list(dict.fromkeys(shares.method))
        x = np.arange(len(methods))
        ax.hlines(printed().share[methods], x - 0.35, x + 0.35, color=NEITHER, label="printed")
        ax.set(xlabel="", ylabel="share of negative eigenvalues", ylim=(0.0, None))
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def training(results: Results) -> Figure:
    """Draw error against negative eigenvalues, and zeros by epoch (Figs 2 and 3 of the paper)."""
    epoch, course = results["course_epoch"][0], results["course_eigenvalues"]
    share = np.mean(course < -INDEX_TOLERANCE, axis=-1)
    with style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(8.0, 3.0))
        for errors, shares in zip(results["course_error"], share, strict=True):
            left.plot(shares, errors, color=TRUE, lw=LINE_WIDTH, zorder=1)
            drawn = left.scatter(shares, errors, c=np.log2(epoch + START), s=12, lw=0)
        marks = {"0": 0.0, "1/8": 1 / 8, "1": 1.0, "4": 4.0, "16": 16.0}
        marks = {label: mark for label, mark in marks.items() if mark <= epoch.max()}
        bar = figure.colorbar(drawn, ax=left, label="epoch")
        bar.set_ticks([float(np.log2(mark + START)) for mark in marks.values()], labels=[*marks])
        left.set(xlabel="share of negative eigenvalues", ylabel="error")
        before, after = share.mean(axis=0)[[0, -1]]
        left.set_title(f"negative: {before:.1%} before training, {after:.1%} after")
        for tau, color in zip(COURSE_TOLERANCES, _shades(len(COURSE_TOLERANCES)), strict=True):
            zeros = np.sum(np.abs(course) <= tau, axis=-1)
            right.plot(epoch, zeros.T, color=color, lw=1.0)
            right.text(epoch[-1], zeros[0, -1], rf" $\pm${power_of_ten(tau)}", va="center")
        right.plot(epoch, results["course_known_zeros"].T, color=NEITHER, lw=0.8, ls=":")
        right.set(xlabel="epoch", ylabel="zero eigenvalues", yscale="log")
        first, last = np.sum(np.abs(course) <= INDEX_TOLERANCE, axis=-1).mean(axis=0)[[0, -1]]
        within = rf"within $\pm${power_of_ten(INDEX_TOLERANCE)}"
        right.set_title(f"{within}: {first:.0f} before training, {last:.0f} after")
    return figure


def bulk_against_laws(eigenvalues: Array) -> Figure:
    """Draw the distribution function of a spectrum's bulk with those of the nearest laws.

    The Kolmogorov–Smirnov distance is the largest vertical gap.

    Parameters
    ----------
    eigenvalues : array (k,)
        NaN is left out.
    """
    laws, distances = nearest_laws(eigenvalues)
    with style():
        figure, ax = plt.subplots(figsize=(6.0, 3.0))
        _distributions(ax, bulk(eigenvalues), laws, distances)
    return figure


def _distributions(
    ax: Axes, values: Array, laws: Sequence[Law], distances: Sequence[float]
) -> None:
    """Draw distribution functions; λ is linear about 0, up to a tenth of the values, then log."""
    share = np.linspace(0.0, 1.0, 1001)
    ax.plot(np.quantile(values, share), share, color=TRUE, lw=2.5, label="measured")
    linear = float(np.quantile(np.abs(values), 0.1))
    low, high = (np.arcsinh(float(end) / linear) for end in (values.min(), values.max()))
    x = linear * np.sinh(np.linspace(low, high, 2001))
    for name, law, distance, color in zip(LAWS, laws, distances, _shades(2), strict=False):
        ax.plot(x, law.cdf(x), color=color, lw=1.2, label=f"{name}: distance {distance:.2f}")
    lowest, highest = np.ceil(np.log10(linear)), np.floor(np.log10(np.abs(x).max()))
    sizes = 10.0 ** np.arange(highest, lowest, -2)[::-1]  # ticks for every decade would collide
    ax.set_xscale("symlog", linthresh=linear)
    ax.set_xticks([-size for size in sizes if size < -x[0]] + [0.0, *sizes])
    ax.set(xlabel=r"$\lambda$", ylabel="share of eigenvalues below")
    ax.legend()


def power_of_ten(x: float) -> str:
    """Return a power of ten as mathematics."""
    return rf"$10^{{{np.log10(x):.3g}}}$"
