"""One run of a finder, step by step: with sliders in JupyterLab, as a still picture elsewhere.

A run is shown on a plane of parameters: all of them where there are two, a slice through a point
where there are more. A still picture is the same frame that the sliders move through.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from inspect import signature
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from . import finders, plotting
from .arrays import Array
from .checks import float_array, integer, missing, number, objective_with, one_of
from .finders import Trace
from .objectives import Objective
from .points.classes import PointClass, point_class

if TYPE_CHECKING:  # `plotting` says what to install where Matplotlib is missing
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FINDERS: dict[str, Callable[..., Trace]] = {
    "Newton-MR": finders.newton_mr,
    "Newton-TR": finders.newton_tr,
    "exact Newton": finders.exact_newton,
    "damped Newton": finders.damped_newton,
    "gradient norm minimisation": finders.gradient_norm_minimization,
    "Levenberg-Marquardt": finders.levenberg_marquardt,
    "saddle-free Newton": finders.saddle_free_newton,
}
"""The finders to choose from, by their names in the menu."""

TOLERANCES = (1e-12, 1e-1)
"""The least and the largest rtol: chosen by us."""
BARS = 8
"""Parts of the spectrum shown: chosen by us."""
GRID = 81
"""Points of the landscape along each side: chosen by us."""
ARROW = 0.14
"""Length of the gradient's arrow, in widths of the window: chosen by us."""
SHORT = 1e-2
"""The α below which a sentence says that the step is cut: chosen by us."""
FLAT = 5e-4
"""Where the bars of a gradient-flat point are orange: |λ| as small beside ‖H‖ as r_H has to be
(Frye et al. 2021, section 2.4)."""
NOTABLE = 0.1
"""The r from which a sentence says that the solver leaves some of the gradient: chosen by us."""
HISTORIES = {"squared_gradient_norm": r"$\|\nabla f\|^2$", "relative_residual": "$r$"}
HISTORIES |= {"step_size": r"$\alpha$"}
ROWS = (("x", "finder", "seed"), ("y", "rtol"), ("play", "step"), ("image",), ("sentence",))
COLORS = {PointClass.CRITICAL: plotting.CRITICAL, PointClass.STRICTLY_FLAT: plotting.FLAT}


def has_tolerance(finder: str) -> bool:
    """Return whether a finder of the menu takes ``rtol``."""
    return "rtol" in signature(FINDERS[finder]).parameters


@dataclass(frozen=True)
class Scene:
    """An objective over a window of a plane of its parameters.

    Attributes
    ----------
    objective : Objective
    origin : array (n,)
        The plane's point (0, 0).
    axes : array (2, n)
        Two orthogonal directions of length 1.
    labels : pair of str
        What they are.
    window : pair of pairs of float
        The ends of both axes.
    """

    objective: Objective
    origin: Array
    axes: Array
    labels: tuple[str, str]
    window: tuple[tuple[float, float], tuple[float, float]]

    def theta(self, at: Array) -> Array:
        """Return the parameters (..., n) of points (..., 2) of the plane."""
        return self.origin + at @ self.axes

    def project(self, theta: Array) -> Array:
        """Return the points (..., 2) of the plane that are nearest to parameters (..., n)."""
        return (theta - self.origin) @ self.axes.T

    @cached_property
    def landscape(self) -> Array:
        """log₁₀ ‖∇f‖² over the window, (GRID, GRID); rows go along the second axis."""
        x, y = (np.linspace(*ends, GRID) for ends in self.window)
        plane = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        gradient = self.objective.value_and_gradient(self.theta(plane))[1]
        squared = np.sum(gradient**2, axis=-1)
        least = squared[squared > 0.0].min(initial=1.0)  # a point may lie where it is zero
        return np.log10(np.maximum(squared, least)).reshape(GRID, GRID)

    def run(self, start: Array, finder: str, rtol: float, max_iterations: int) -> Run:
        """Return the run of a finder from a point (2,) of the plane."""
        options: dict[str, Any] = {"rtol": rtol} if has_tolerance(finder) else {}
        options |= {"max_iterations": max_iterations, "record_theta": True}
        trace = FINDERS[finder](self.objective, self.theta(start), **options)
        return Run(self, finder, options.get("rtol"), trace, trace.thetas)


@dataclass(frozen=True)
class Run:
    """One run, and what is known at each of its iterates.

    Attributes
    ----------
    scene : Scene
    finder : str
    rtol : float or None
        None where the finder takes none.
    trace : Trace
    thetas : array (iterations + 1, n)
        The iterates.
    """

    scene: Scene
    finder: str
    rtol: float | None
    trace: Trace
    thetas: Array
    _spectra: dict[int, tuple[Array, Array]] = field(default_factory=dict, repr=False)

    @property
    def last(self) -> int:
        """The number of the last iterate."""
        return int(self.trace.iterations)

    def spectrum(self, step: int) -> tuple[Array, Array]:
        """Return the Hessian's eigenvalues (n,) and the share of ‖∇f‖² along each eigenvector."""
        if step not in self._spectra:
            point = self.scene.objective.linearize(self.thetas[step])
            eigenvalues, vectors = np.linalg.eigh(point.hessian())
            along = (vectors.T @ point.gradient) ** 2
            self._spectra[step] = eigenvalues, along / max(along.sum(), sys.float_info.min)
        return self._spectra[step]

    def bars(self, step: int) -> tuple[list[str], Array, Array]:
        """Return names (k,), shares of ‖∇f‖² (k,) and least |λ| (k,) of parts of the spectrum.

        The parts are the eigenvalues if they are few, else decades of |λ|, the last one open.
        """
        eigenvalues, shares = self.spectrum(step)
        size = np.abs(eigenvalues)
        if len(size) <= BARS:
            return [f"λ = {eigenvalue:.1e}" for eigenvalue in eigenvalues], shares, size
        tiny = sys.float_info.min
        top = int(np.floor(np.log10(max(size.max(), tiny))))
        decades = top - np.arange(BARS)
        place = np.clip(top - np.floor(np.log10(np.maximum(size, tiny))), 0, BARS - 1).astype(int)
        names = [f"|λ| = 1e{k} … 1e{k + 1}" for k in decades[:-1]] + [f"|λ| < 1e{decades[-2]}"]
        return names, np.bincount(place, shares, minlength=BARS), 10.0**decades

    def kind(self, step: int) -> PointClass:
        """Return the class of an iterate by its r and r_H (Frye et al. 2021, Table 1)."""
        trace = self.trace
        residuals = trace.relative_residual[step], trace.relative_cokernel_residual[step]
        return PointClass(int(point_class(trace.squared_gradient_norm[step], *residuals)))

    def sentence(self, step: int) -> str:
        """Return in one sentence what happens at an iterate."""
        trace, kind = self.trace, self.kind(step)
        names, shares, _ = self.bars(step)
        most = int(np.argmax(shares))
        squared, r, alpha = (float(getattr(trace, name)[step]) for name in HISTORIES)
        lies = f"{shares[most]:.0%} of ‖∇f‖² = {squared:.3g} lies at {names[most]}"
        leaves = f"the solver, to rtol = {self.rtol:.0e}," if self.rtol is not None else "the step"
        if kind is PointClass.CRITICAL:
            said = f"‖∇f‖² = {squared:.1e} is below 1e-8: the point is approximately CRITICAL"
        elif kind is PointClass.STRICTLY_FLAT:
            said = f"{lies}, which {leaves} leaves alone (r = {r:.2f}): "
            said += "the point looks GRADIENT-FLAT, though nothing is critical here"
        elif r > NOTABLE:
            said = f"{lies}; {leaves} leaves a part of the gradient alone (r = {r:.2f}), "
            said += "not enough to call the point gradient-flat"
        else:
            solved = f"Hp = −∇f is solved (r = {r:.2f}), so the point does not look flat"
            said = f"{lies}; {solved if np.isfinite(r) else 'no residual is known here'}"
        if alpha > 0.0:
            said += f"; {'the step is cut to' if alpha < SHORT else 'the step is'} α = {alpha:.2g}"
        end = f". The run ends: {trace.stop_reason.sentence}" if step == self.last else ""
        return f"Step {step} of {self.last}: {said}{end}."

    def figure(self, step: int) -> Figure:
        """Return the frame of an iterate: path, histories, and where the gradient lies."""
        from matplotlib.figure import Figure

        with plotting.style():
            figure = Figure(figsize=(8, 2.9))
            figure.set_layout_engine("none")
            grid = figure.add_gridspec(3, 3, width_ratios=(1.25, 1, 0.9), wspace=0.48, hspace=0.15)
            grid.update(left=0.07, right=0.985, top=0.9, bottom=0.16)
            self._draw_path(figure.add_subplot(grid[:, 0]), step)
            self._draw_histories([figure.add_subplot(grid[row, 1]) for row in range(3)], step)
            self._draw_spectrum(figure.add_subplot(grid[:, 2]), step)
        return figure

    def _color(self, step: int) -> str:
        return COLORS.get(self.kind(step), plotting.NEITHER)

    def _draw_path(self, ax: Axes, step: int) -> None:
        scene = self.scene
        x, y = scene.project(self.thetas[: step + 1]).T
        window = np.array(scene.window)
        levels = np.round(4.0 * scene.landscape) / 4.0  # of few colours, so that files are small
        extent = (*scene.window[0], *scene.window[1])
        ax.imshow(levels, cmap="Greys_r", origin="lower", extent=extent, aspect="auto")
        ax.plot(x, y, color=plotting.FOUND, lw=1.2, marker=".", ms=3)
        gradient = scene.objective.value_and_gradient(self.thetas[step])[1]
        downhill = -(gradient @ scene.axes.T) / np.ptp(window, axis=1)
        downhill = ARROW * downhill / max(float(np.linalg.norm(downhill)), sys.float_info.min)
        tip = (x[-1], y[-1]) + downhill * np.ptp(window, axis=1)
        arrow = {"arrowstyle": "->", "color": plotting.NEITHER, "lw": 1.5}
        ax.annotate("", tip, (x[-1], y[-1]), arrowprops=arrow, annotation_clip=True)
        ax.scatter(x[-1], y[-1], s=45, color=self._color(step), edgecolor="white", zorder=4)
        ax.set(xlim=window[0], ylim=window[1], xlabel=scene.labels[0], ylabel=scene.labels[1])
        ax.set_title(r"path over $\|\nabla f\|^2$, arrow: $-\nabla f$")

    def _draw_histories(self, axes: Sequence[Axes], step: int) -> None:
        for ax, (name, label) in zip(axes, HISTORIES.items(), strict=True):
            history = getattr(self.trace, name)[: self.last + 1]
            if name != "relative_residual":
                history = np.where(history > 0.0, history, np.nan)
                ax.set_yscale("log")
            ax.plot(history, color=plotting.TRUE, lw=1)
            ax.plot(step, history[step], color=self._color(step), marker="o", ms=5)
            ax.set_ylabel(label, rotation=0, ha="right", va="center")
            ax.minorticks_off()
            ax.set_xlim(-0.3, self.last + 0.3)
            ax.tick_params(labelbottom=ax is axes[-1])
        axes[1].set(ylim=(-0.08, 1.08), yticks=(0, 1))
        tolerance = "" if self.rtol is None else f", rtol = {self.rtol:.0e}"
        axes[0].set_title(f"{self.finder}{tolerance}")
        axes[-1].set_xlabel("step")

    def _draw_spectrum(self, ax: Axes, step: int) -> None:
        names, shares, size = self.bars(step)
        flat = (size <= FLAT * size.max()) & (self.kind(step) is PointClass.STRICTLY_FLAT)
        ax.barh(names, shares, color=np.where(flat, plotting.FLAT, plotting.TRUE), height=0.6)
        ax.set(xlim=(0, 1), xticks=(0, 0.5, 1), xlabel=r"share of $\|\nabla f\|^2$")
        ax.set_title("where the gradient lies")

    def png(self, step: int, dpi: float = 110.0) -> bytes:
        """Return the frame of an iterate as PNG."""
        file = BytesIO()
        self.figure(step).savefig(file, format="png", dpi=dpi, metadata={"Software": None})
        return file.getvalue()

    def film(self, steps: Sequence[int], dpi: float = 80.0) -> plotting.Film:
        """Return frames to step through in any browser, without a kernel and without a network.

        Parameters
        ----------
        steps : sequence of int
            Iterates. The last one is shown first; where scripts do not run, it stays.
        dpi : float
            80, chosen by us: some 30 kB a frame.

        Raises
        ------
        TypeError, ValueError
            If a step is not one of the run.
        """
        shown = [integer("a step", step, at_most=self.last) for step in steps]
        return plotting.Film([self.png(k, dpi) for k in shown], [self.sentence(k) for k in shown])


class Explorer:
    """What ``explore`` returns: shown in a notebook, widgets where they work, else a picture.

    Attributes
    ----------
    scene : Scene
    run : Run
        As the sliders have it.
    step : int
    controls : dict of ipywidgets.Widget
        By name: x, y, seed, finder, rtol, play, step; also image and sentence. Empty without
        widgets.
    """

    def __init__(self, scene: Scene, run: Run, step: int, max_iterations: int, live: bool) -> None:
        self.scene, self.run, self.step = scene, run, step
        self.controls: dict[str, Any] = {}
        self._max_iterations = max_iterations
        if live:
            self._build(_widgets())

    def figure(self) -> Figure:
        """Return the present frame."""
        return self.run.figure(self.step)

    def sentence(self) -> str:
        """Return in one sentence what happens there."""
        return self.run.sentence(self.step)

    def _build(self, w: Any) -> None:
        """Make the widgets of the library ``w`` and connect them."""
        run, (lowest, highest) = self.run, np.log10(TOLERANCES)
        wide = {"style": {"description_width": "6em"}, "layout": w.Layout(width="26em")}

        def place(k: int) -> Any:
            at, (low, high) = self.scene.project(run.trace.theta_start)[k], self.scene.window[k]
            name = f"start {self.scene.labels[k].replace('$', '')}"
            steps = {"min": low, "max": high, "step": 10.0 ** np.floor(np.log10((high - low) / 50))}
            return w.FloatSlider(at, **steps, description=name, **wide)

        tolerance = {"min": lowest, "max": highest, "step": 0.5, "readout_format": ".0e"}
        self.controls = c = {
            "x": place(0),
            "y": place(1),
            "seed": w.BoundedIntText(0, max=10**6, description="or by seed"),
            "finder": w.Dropdown(options=[*FINDERS], value=run.finder, description="finder"),
            "rtol": w.FloatLogSlider(run.rtol or 5e-4, **tolerance, description="rtol", **wide),
            "play": w.Play(self.step, max=run.last, interval=500),
            "step": w.IntSlider(self.step, max=run.last, description="step", **wide),
            "image": w.Image(format="png"),
            "sentence": w.HTML(),
        }
        w.jslink((c["play"], "value"), (c["step"], "value"))
        self._box = w.VBox([w.HBox([c[name] for name in row]) for row in ROWS])
        for name in ("x", "y", "finder", "rtol"):
            c[name].observe(self._start_again, "value")
        c["seed"].observe(self._draw_start, "value")
        c["step"].observe(self._show, "value")
        self._show()

    def _draw_start(self, change: Any) -> None:
        """Put the start where a seed says, uniformly in the window."""
        at = np.random.default_rng(change["new"]).uniform(*np.transpose(self.scene.window))
        self.controls["x"].value, self.controls["y"].value = at

    def _start_again(self, _: Any = None) -> None:
        c = self.controls
        at = np.array((c["x"].value, c["y"].value))
        c["rtol"].disabled = not has_tolerance(c["finder"].value)
        self.run = self.scene.run(at, c["finder"].value, c["rtol"].value, self._max_iterations)
        c["play"].max = c["step"].max = self.run.last  # the step is cut to it
        self._show()

    def _show(self, _: Any = None) -> None:
        self.step = min(self.controls["step"].value, self.run.last)
        self.controls["image"].value = self.run.png(self.step)
        self.controls["sentence"].value = f"<p aria-live='polite'>{escape(self.sentence())}</p>"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        if self.controls:
            return self._box._repr_mimebundle_(**options)
        return {"image/png": self.run.png(self.step), "text/plain": self.sentence()}


def explore(
    objective: Objective,
    start: Sequence[float] = (1.0, 1.0),
    *,
    x_range: tuple[float, float] = (-2.0, 2.0),
    y_range: tuple[float, float] = (-2.0, 2.0),
    origin: Array | None = None,
    directions: Array | None = None,
    labels: tuple[str, str] | None = None,
    finder: str = "Newton-MR",
    rtol: float = 5e-4,
    max_iterations: int = 100,
    step: int = 0,
    live: bool | None = None,
) -> Explorer:
    """Show one run of a finder step by step, with sliders for its start, tolerance and step.

    Parameters
    ----------
    objective : Objective
        Of NumPy arrays.
    start : pair of float
        Where the run starts in the plane.
    x_range, y_range : pair of float
        The window: chosen by us.
    origin : array (n,), optional
        A point that the plane goes through; needed if there are more than two parameters.
    directions : array (2, n), optional
        What spans the plane, made orthogonal and of length 1. By default the two parameters, or the
        eigenvectors at the origin whose eigenvalues are largest and smallest in modulus.
    labels : pair of str, optional
        What to call the two directions.
    finder : str
        A name in ``FINDERS``.
    rtol : float
        The solver's tolerance, from 1e-12 to 0.1, if the finder takes one: 5e-4 (Frye et al. 2021,
        A.2).
    max_iterations : int
        100, chosen by us.
    step : int
        The step shown first; the last one if the run is shorter.
    live : bool, optional
        Whether to make widgets, which need ipywidgets. By default where JupyterLab or Jupyter
        Notebook runs the cell, and not in batch runs.

    Returns
    -------
    Explorer
        ``figure()`` and ``sentence()`` are what it shows, ``run.film(steps)`` frames to keep.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    ImportError
        If there are to be widgets and ipywidgets is not installed.

    Examples
    --------
    >>> from autocrit_lite.ground_truth.quartic import Quartic
    >>> window = (-5.0, 5.0)
    >>> shown = explore(Quartic(), (-4.0, 1.0), x_range=window, step=99, live=False)
    >>> "CRITICAL" in shown.sentence()
    True
    """
    objective_with("linearize", objective)
    one_of("finder", finder, FINDERS)
    rtol = number("rtol", rtol, at_least=TOLERANCES[0], at_most=TOLERANCES[1])
    for name, (low, high) in (("x_range", x_range), ("y_range", y_range)):
        if not number(name, low, finite=True) < number(name, high, finite=True):
            raise ValueError(f"{name} must be two growing numbers, not {low}, {high}")
    at = float_array("start", np.asarray(start, dtype=float), 2)
    if not all(low <= x <= high for x, (low, high) in zip(at, (x_range, y_range), strict=True)):
        raise ValueError(f"start must lie in x_range and y_range, not at {tuple(at.tolist())}")
    point = np.zeros(2) if origin is None else float_array("origin", origin, "n")
    axes, names = _plane(objective, point, directions)
    scene = Scene(objective, point, axes, labels or names, (x_range, y_range))
    max_iterations = integer("max_iterations", max_iterations, at_least=1)
    run = scene.run(at, finder, rtol, max_iterations)
    live = _is_live() if live is None else live
    return Explorer(scene, run, min(integer("step", step), run.last), max_iterations, live)


def _plane(
    objective: Objective, origin: Array, directions: Array | None
) -> tuple[Array, tuple[str, str]]:
    """Return the two axes of the plane, (2, n), and what they are."""
    names = ("$x$", "$y$")
    try:
        point = objective.linearize(origin)
    except ValueError as error:
        raise ValueError(f"origin must be a point of the objective: {error}") from error
    if directions is not None:
        directions = float_array("directions", directions, 2, len(origin))
        names = ("direction 1", "direction 2")
    elif len(origin) == 2:
        directions = np.eye(2)
    else:
        eigenvalues, vectors = np.linalg.eigh(point.hessian())
        steep, level = np.argsort(np.abs(eigenvalues))[[-1, 0]]
        directions = vectors.T[[steep, level]]
        names = (f"along λ = {eigenvalues[steep]:.1e}", f"along λ = {eigenvalues[level]:.1e}")
    axes, triangle = np.linalg.qr(directions.T)
    size = np.diag(triangle)
    if np.min(np.abs(size)) <= 1e-12 * np.max(np.abs(triangle)):
        raise ValueError("directions must be two that are not parallel")
    return (axes * np.sign(size)).T, names


def _is_live() -> bool:
    """Return whether a front end with widgets runs this cell.

    JupyterLab and Jupyter Notebook name the cell in what they send to the kernel; papermill,
    nbconvert and nbval do not.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    kernel = getattr(shell, "kernel", None)
    return bool(kernel and kernel.get_parent("shell").get("metadata", {}).get("cellId"))


def _widgets() -> Any:
    """Return ipywidgets."""
    try:
        import ipywidgets
    except ImportError as error:
        raise missing("A live explorer", "ipywidgets", "notebooks", error) from None
    return ipywidgets
