"""The figures on the solver's tolerance and on other finders; they draw arrays, compute nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...arrays import Array
from ...plotting import CRITICAL, FINDERS, FLAT, STALLED, TRUE, style
from ...runner.results import Results
from .ends import End

WIDTH = 8.0
"""Of the figures, in inches."""

ENDS = {
    End.CRITICAL: ("critical", CRITICAL),
    End.FLAT: ("gradient-flat", FLAT),
    End.STALLED: ("stalled", STALLED),
    End.UNDERWAY: ("still falling", TRUE),
}
"""Names and colours of how runs end."""

NETWORKS = {
    "mnist_autoencoder": "Fig. 3: autoencoder",
    "mnist_classifier": "Fig. 4: classifier",
    "random_labels": "Fig. 5: random labels",
}
"""What figures and tables call each network."""

SOLVER, EXACT, LONGER, OTHER = "#56B4E9", "#D55E00", "#332288", "#117733"
"""Of directions: by the solver, by eigenvectors, by the solver with more iterations, a fourth."""

CHOICES = {
    "the iterate before the last (this package)": SOLVER,
    "the last iterate (the authors' public code)": LONGER,
    "the last one without its last component": OTHER,
}
"""What a solver may return where it stops, in the order of ``newton_systems.CHOICES``."""

BAND = (0.1, 0.9)
"""The quantiles between which a band is drawn."""

CRITICAL_BELOW = 1e-8
"""On ‖g‖², drawn as a dotted line: ε_c of Frye et al. 2021, Table 1."""

LEAST = 1e-16
"""Of ‖g‖² and step lengths: smaller ones are drawn here."""


def systems(results: Results, point: str) -> Figure:
    """Draw what becomes of the Newton systems at one kind of point, against the tolerance.

    Parameters
    ----------
    results : Results
        Of ``Tolerance``.
    point : str
        "flattest" or "last".
    """
    row = results.coordinates["point"].index(point)
    rtol, level = results.coordinates["rtol"], results.coordinates["level"]
    with style():
        figure, (left, middle, right) = plt.subplots(1, 3, figsize=(WIDTH, 3.0))
        for ax, names in (
            (left, {"relative_residual": SOLVER, "truncated_relative_residual": EXACT}),
            (
                middle,
                {
                    "residual_ratio": SOLVER,
                    "long_residual_ratio": LONGER,
                    "truncated_residual_ratio": EXACT,
                },
            ),
        ):
            for name, color in names.items():
                band(ax, rtol, results[name][:, row], color)
            ax.set(xscale="log", xlim=(1.5 * max(rtol), min(rtol) / 1.5), ylim=(-0.02, 1.05))
            ax.set_xlabel("tolerance, or cut-off on eigenvalues")
        left.set(ylabel="$r$", title="$r$ belongs to the tolerance")
        middle.set(ylabel=r"$\|Hp + g\| \,/\, \|g\|$", title="strict: most of it is explained")
        for y, (text, color) in enumerate(
            (("solver", SOLVER), ("solver, 10 times longer", LONGER), ("eigenvectors", EXACT))
        ):
            middle.text(0.99, 0.97 - 0.08 * y, text, color=color, transform=middle.transAxes)
            middle.texts[-1].set(ha="right", va="top", fontsize=8)
        band(right, level, results["share_below"][:, row], "0.2")
        right.set(xscale="log", ylim=(-0.02, 1.05), xlabel=r"$|\lambda|$ below")
        right.set(ylabel=r"share of $\|g\|^2$", title="where the gradient lies")
    return figure


def band(ax: Axes, x: Sequence[float], values: Array, color: str) -> None:
    """Draw the median of ``values`` (systems, R) against x, and between which most of them lie."""
    low, middle, high = np.nanquantile(values, (BAND[0], 0.5, BAND[1]), axis=0)
    ax.fill_between(x, low, high, color=color, alpha=0.25, lw=0)
    ax.plot(x, middle, color=color, marker="o", ms=3)


def gradient_left(systems: Mapping[str, tuple[Array, Array, Mapping[float, Array]]]) -> Figure:
    """Draw in which eigenspaces the gradient lies, and what each tolerance leaves of it there.

    Parameters
    ----------
    systems : dict
        Title to eigenvalues (n,), the gradient in the basis of the eigenvectors (n,), and by
        tolerance the residual in that basis (n,).
    """
    with style():
        size = (WIDTH, 3.2)
        figure, axes = plt.subplots(1, len(systems), figsize=size, sharey=True, squeeze=False)
        for ax, (title, (eigenvalues, gradient, residuals)) in zip(
            axes[0], systems.items(), strict=True
        ):
            size = np.abs(eigenvalues) / np.abs(eigenvalues).max()
            order = np.argsort(size)
            shades = mpl.colormaps["viridis"](np.linspace(0.0, 0.85, len(residuals)))
            lines = {"the gradient": (gradient, TRUE)}
            for (rtol, own), shade in zip(residuals.items(), shades, strict=True):
                lines[f"left at tolerance {rtol:g}"] = own, shade
            for label, (parts, color) in lines.items():
                share = np.cumsum(parts[order] ** 2) / np.sum(gradient**2)
                below = parts is gradient  # the others lie on it
                ax.step(size[order], share, where="post", color=color, lw=4.0 if below else 1.2)
                place = {"xytext": (0, 13 if below else 2), "textcoords": "offset points"}
                ax.annotate(label, (size.max(), share[-1]), color=color, ha="right", **place)
                ax.texts[-1].set(va="bottom", fontsize=8)
            ax.set(xscale="log", xlabel=r"$|\lambda|$ over the largest, up to", title=title)
        axes[0, 0].set(ylabel=r"share of $\|g\|^2$", ylim=(-0.02, 1.2))
    return figure


def choices(results: Results, level: float) -> Figure:
    """Draw at how many points r is above a level, by tolerance and by what the solver returns.

    Parameters
    ----------
    results : Results
        Of ``Tolerance``.
    level : float
    """
    rtol, points = np.asarray(results.coordinates["rtol"]), results.coordinates["point"]
    loose = rtol >= 1e-6
    with style():
        figure, axes = plt.subplots(1, len(points), figsize=(WIDTH, 3.0), sharey=True)
        for row, (ax, point) in enumerate(zip(axes, points, strict=True)):
            by_choice = np.moveaxis(results["choice_relative_residual"][:, row, loose], 2, 0)
            colored = dict(zip(CHOICES.values(), by_choice, strict=True))
            colored[EXACT] = results["truncated_relative_residual"][:, row, loose]
            share_above(ax, rtol[loose], colored, level)
            ax.set(title=f"{point} iterates", xlabel="tolerance, or cut-off on eigenvalues")
        axes[0].set_ylabel(rf"share of points with $r > {level:g}$")
        names = [*CHOICES, "eigenvectors"]
        figure.legend(axes[0].lines, names, loc="outside lower center", ncols=2)
    return figure


def share_above(ax: Axes, tolerances: Array, values: Mapping[str, Array], level: float) -> None:
    """Draw in which share of the systems a quantity is above a level, against the tolerance.

    Parameters
    ----------
    ax : Axes
    tolerances : array (R,)
        Drawn from loose to strict.
    values : dict of arrays (systems, R)
        By colour.
    level : float
    """
    for color, x in values.items():
        ax.plot(tolerances, np.mean(x > level, axis=0), color=color, marker="o", ms=3)
    ax.set(xscale="log", xlim=(1.5 * max(tolerances), min(tolerances) / 1.5), ylim=(-0.02, 1.02))


def traps(results: Results, names: Sequence[str], share: Array, level: float) -> Figure:
    """Draw where the re-runs of each setting end, and with what step lengths.

    Parameters
    ----------
    results : Results
        Of ``Tolerance``.
    names : sequence of str
        Of the settings.
    share : array (settings, starts)
        Of ‖g‖² in small eigenspaces at the end.
    level : float
        The share from which on an end is gradient-flat.
    """
    at = results["rerun_iterations"][..., None]
    last = np.take_along_axis(results["rerun_squared_gradient_norm"], at, axis=-1)[..., 0]
    end = results["rerun_end"]
    with style():
        figure, (left, right) = plt.subplots(
            1, 2, figsize=(WIDTH, 0.9 + 0.32 * len(names)), width_ratios=[1.7, 1]
        )
        violins(left, names, last, end)
        left.set_title("where runs end, setting by setting")
        for code, (_, color) in ENDS.items():
            step = np.maximum(results["rerun_late_step"][end == code], LEAST)
            right.scatter(share[end == code], step, s=12, color=color, lw=0)
        right.axvline(level, color="0.2", lw=0.8, ls=":")
        right.set(yscale="log", xlim=(-0.02, 1.02), title="two traps")
        right.set(xlabel=r"share of $\|g\|^2$ in small eigenspaces", ylabel="last step lengths")
        _legend(left, right, end)
    return figure


def violins(ax: Axes, names: Sequence[str], values: Array, codes: Array) -> None:
    """Draw positive ``values`` (rows, runs): a violin for each row, a dot for each run.

    Parameters
    ----------
    ax : Axes
    names : sequence of str
        Of the rows, the first uppermost.
    values : array (rows, runs)
    codes : integer array (rows, runs)
        The ``End`` of each run, which gives the dot its colour.
    """
    logs = np.log10(np.maximum(values, LEAST))
    rows = np.repeat(list(names), values.shape[1])
    violin: dict[str, Any] = {"color": "0.9", "inner": None, "cut": 0, "linewidth": 0.5}
    sns.violinplot(x=logs.ravel(), y=rows, ax=ax, density_norm="width", **violin)
    dots(ax, names, logs, codes)
    ax.axvline(np.log10(CRITICAL_BELOW), color="0.2", lw=0.8, ls=":")
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.xaxis.set_major_formatter("$10^{{{x:.0f}}}$")
    ax.set(xlabel=r"$\|g\|^2$ at the end", ylabel="")


def dots(ax: Axes, names: Sequence[str], values: Array, codes: Array) -> None:
    """Draw a dot for each of ``values`` (rows, runs), in the colour of its ``End``."""
    spread = np.linspace(-0.25, 0.25, values.shape[1])
    y = np.arange(len(values))[:, None] + spread
    for code, (_, color) in ENDS.items():
        ax.scatter(values[codes == code], y[codes == code], s=9, color=color, lw=0, zorder=3)
    ax.set_yticks(range(len(names)), list(names))
    ax.set_ylim(len(names) - 0.5, -0.5)


def finders(results: Results) -> Figure:
    """Draw where the runs of each finder end on each network.

    Parameters
    ----------
    results : Results
        Of ``FinderComparison``.
    """
    return _by_network(results, results["squared_gradient_norm"], violins)


def shares(results: Results) -> Figure:
    """Draw which share of ‖g‖² lies in the smallest eigenspaces at the end of each run.

    Parameters
    ----------
    results : Results
        Of ``FinderComparison``; the second of its cut-offs is shown.
    """
    cutoff = results.coordinates["share"][1]
    figure = _by_network(results, results["share"][..., 1], dots)
    for ax in figure.axes:
        ax.set(xlim=(-0.05, 1.05))
    text = rf"share of $\|g\|^2$ where $|\lambda|$ is below {cutoff:g} of the largest"
    figure.axes[len(figure.axes) // 2].set_xlabel(text)
    return figure


def _by_network(results: Results, values: Array, draw: Callable[..., None]) -> Figure:
    networks = results.coordinates["network"]
    names = [FINDERS[name] for name in results.coordinates["finder"]]
    with style():
        figure, axes = plt.subplots(
            1, len(networks), figsize=(WIDTH, 1.4 + 0.3 * len(names)), sharey=True, squeeze=False
        )
        for k, (network, ax) in enumerate(zip(networks, axes.flat, strict=True)):
            draw(ax, names, values[k], results["end"][k])
            ax.set_title(NETWORKS[network])
        _legend(axes[0, 0], axes[0, -1], results["end"])
    return figure


def shares_of_runs(ax: Axes, names: Sequence[str], shares: Array, printed: float) -> None:
    """Draw a share of runs and its interval for each setting, and what the paper prints.

    Parameters
    ----------
    ax : Axes
    names : sequence of str
        The first uppermost.
    shares : array (settings, 3)
        Share, and the ends of its interval.
    printed : float
    """
    y = np.arange(len(names))
    ax.hlines(y, shares[:, 1], shares[:, 2], color=SOLVER, lw=3, alpha=0.5)
    ax.plot(shares[:, 0], y, "o", color=SOLVER, ms=4)
    ax.axvline(printed, color="0.2", ls="--", lw=0.8)
    ax.annotate("paper", (printed, -0.5), (3, 2), textcoords="offset points", fontsize=8)
    ax.set_yticks(y, list(names))
    ax.set(xlim=(-0.02, 1.02), ylim=(len(names) - 0.5, -0.5))


def beside(
    names: Sequence[str], shares: Array, levels: Sequence[float], printed: Sequence[float]
) -> Figure:
    """Draw the share of re-runs that ever meet r > level, beside what the paper prints of it.

    Parameters
    ----------
    names : sequence of str
        Of the settings.
    shares : array (levels, settings, 3)
        Share, and the ends of its interval.
    levels, printed : sequence of float
        A panel for each.
    """
    with style():
        size = (WIDTH, 0.9 + 0.24 * len(names))
        figure, axes = plt.subplots(1, len(levels), figsize=size, sharey=True, squeeze=False)
        for ax, of_level, level, paper in zip(axes.flat, shares, levels, printed, strict=True):
            shares_of_runs(ax, names, of_level, paper)
            ax.set_title(f"$r > {level:g}$ at some iterate", pad=14)
            ax.set_xlabel("share of runs")
    return figure


def _legend(dummy: Axes, ax: Axes, codes: Array) -> None:
    """Name the ends that occur, below the figure."""
    entries = {name: color for code, (name, color) in ENDS.items() if np.any(codes == code)}
    marks = [dummy.scatter([], [], color=color, s=14) for color in entries.values()]
    ax.figure.legend(marks, list(entries), loc="outside lower center", ncols=len(entries))
