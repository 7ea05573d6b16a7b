"""Frye et al. 2019, Figs 1 and 2: three finders on the deep linear autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from ...arrays import Array
from ...datasets.gaussian import gaussian
from ...finders import FRYE_2019, Trace, gradient_norm_minimization, newton_mr, newton_tr
from ...ground_truth.linear_autoencoder import LinearAutoencoderPoints, critical_points
from ...linalg.inertia import morse_index
from ...networks.initialization import initial_theta
from ...networks.objective import NetworkObjective
from ...runner.experiment import Configuration, Experiment, Read, generators, setting
from ...runner.results import Measured, Results
from ...runner.store import Record, Store
from ...training.optimizers import GradientDescent, train
from ...training.sampling import uniform_in_height, uniform_in_iteration
from .claims import CUTOFF, figure_1_and_2

SCHEMES = {"height": uniform_in_height, "iteration": uniform_in_iteration}
"""How starts are drawn from a trajectory, by name (Frye et al. 2019, 2.3)."""

METHODS = ("newton_mr", "newton_tr", "gradient_norm_minimization")

CUTOFFS = (CUTOFF, 1e-8, 1e-6, 1e-4, 1e-2, np.inf)
"""Loss and index are kept where ‖g‖² first falls below each (2019, Fig. 2); inf: the start."""

HISTORY = 400
"""Iterates whose ‖g‖² and r are stored, at most: more do not show in a figure on log scales."""


@dataclass(frozen=True)
class AutoencoderExperiment(Experiment):
    """What the experiments on the linear autoencoder share: data, training, Newton-MR's limits."""

    n_samples: int = setting(10_000, "Frye et al. 2019, 6.2", at_least=17)
    n_hidden: int = setting(4, "Frye et al. 2019, section 3", at_least=1)
    trajectories: int = setting(10, "Frye et al. 2019, Fig. 1", at_least=1)
    starts: int = setting(15, "Frye et al. 2019, Fig. 1: from each trajectory", at_least=1)
    epochs: int = setting(10_000, "Frye et al. 2019, 6.3", at_least=1)
    learning_rate: float = setting(0.01, "Frye et al. 2019, 6.3", above=0.0)
    max_iterations: int = setting(
        2000, "chosen by us, so that few Newton runs are cut short (not stated)", at_least=1
    )
    rtol: float = setting(
        1e-10, "Frye et al. 2021, A.2, for the same network (not stated in 2019)", at_least=0.0
    )
    seed: int = setting(0, "chosen by us: of data, initial weights and sampling")

    @property
    def training(self) -> dict[str, Any]:
        """What decides the data and the trajectories."""
        names = ("n_samples", "n_hidden", "trajectories", "starts", "epochs", "learning_rate")
        return {"seed": self.seed, **{name: getattr(self, name) for name in names}}


@dataclass(frozen=True)
class LinearAutoencoder(AutoencoderExperiment):
    """Critical points searched for from points of gradient-descent trajectories."""

    name: ClassVar[str] = "linear_autoencoder"
    quick: ClassVar[dict[str, Any]] = {
        "trajectories": 2,
        "methods": ("newton_mr",),
        "max_iterations": 500,
        "batch": 1,
    }

    batch: int = setting(
        5, "chosen by us: trajectories whose runs are advanced together, for speed", at_least=1
    )
    methods: tuple[str, ...] = setting(METHODS, "Frye et al. 2019, Fig. 1", choices=METHODS)
    gnm_iterations: int = setting(50_000, "the end of the axis in Frye et al. 2019, Fig. 1")

    def check(self) -> None:
        """Raise a ValueError if there is no method or one twice."""
        if not self.methods or len(set(self.methods)) < len(self.methods):
            raise ValueError(f"methods must be one or more different names, not {self.methods}")

    def batches(self) -> list[tuple[int, int]]:
        """Return first and last + 1 of the trajectories in each batch."""
        ends = range(0, self.trajectories, self.batch)
        return [(t, min(t + self.batch, self.trajectories)) for t in ends]

    def stages(self) -> list[list[dict[str, Any]]]:
        """Return the training of all trajectories, then the batches of each method."""
        train = {"stage": "train", **self.training}
        searches = []
        for method in self.methods:
            options: dict[str, Any] = {"max_iterations": self.max_iterations, "rtol": self.rtol}
            if method == "gradient_norm_minimization":
                options = {"max_iterations": self.gnm_iterations}
            searches += [
                {"stage": "find", "train": train, "method": method, "batch": [t, end], **options}
                for t, end in self.batches()
            ]
        return [[train], searches]

    @staticmethod
    def compute(configuration: Configuration, read: Read) -> dict[str, Array]:
        """Train, or search from the starts of some trajectories, all in one batch."""
        if configuration["stage"] == "train":
            return train_and_sample(configuration)
        starts = read(configuration["train"])["theta_start"][list(SCHEMES).index("height")]
        return find(
            configuration, starts[slice(*configuration["batch"])].reshape(-1, starts.shape[-1])
        )

    @staticmethod
    def binding(arrays: dict[str, Array]) -> dict[str, Array]:
        """Return the starts, and of a search loss and index there.

        No iterate: a solve of an ill-conditioned system to n iterations hangs on rounding.
        """
        start = CUTOFFS.index(np.inf)
        bound = {"theta_start": arrays["theta_start"]}
        for name in ("cutoff_loss", "cutoff_index"):
            if name in arrays:
                bound[name] = arrays[name][:, start]
        return bound

    @staticmethod
    def distributions(arrays: dict[str, Array]) -> dict[str, Array]:
        """Return the iterations, and the decades of ‖g‖² at the end."""
        if "iterations" not in arrays:
            return {}
        return {"iterations": arrays["iterations"].astype(float), "end": _decades(arrays["end"])}

    def gather(self, records: Sequence[Record]) -> Results:
        """Return the arrays with the dimensions method, run, step, cutoff, eigenvector, point."""
        trained, searches = records[0].arrays, records[1:]
        arrays = {name: array for name, array in trained.items() if name != "theta_start"}
        dims = {name: TRAINED_DIMS[name] for name in arrays}
        by_method = [
            [r.arrays for r in searches if r.configuration["method"] == method]
            for method in self.methods
        ]
        for name, tail in FOUND_DIMS.items():
            parts = [np.concatenate([a[name] for a in runs]) for runs in by_method]
            arrays[name] = np.stack(_padded(parts) if tail == ("step",) else parts)
            dims[name] = ("method", "run", *tail)
        steps = [runs[0]["iteration"].astype(float) for runs in by_method]
        arrays["iteration"] = np.stack(_padded(steps))
        dims["iteration"] = ("method", "step")
        seconds = [
            sum(r.header["seconds"] for r in searches if r.configuration["method"] == method)
            for method in self.methods
        ]
        arrays["seconds"] = np.array(seconds)
        dims["seconds"] = ("method",)
        labels = {"method": self.methods, "cutoff": CUTOFFS}
        return Results(arrays, dims, labels)

    def claims(self, results: Results, store: Store | None = None) -> dict[str, Measured]:
        """Return what the results say on sections 3 to 4.2, 6.3 and 6.6 of the paper."""
        return figure_1_and_2(results, self.methods)


TRAINED_DIMS = {
    "train_loss": ("trajectory", "epoch"),
    "train_epoch": ("epoch",),
    "true_loss": ("point",),
    "true_index": ("point",),
    "eigenvalues": ("eigenvector",),
}
FOUND_DIMS: dict[str, tuple[str, ...]] = {
    "iterations": (),
    "stop_reason": (),
    "end": (),
    "loss": (),
    "index": (),
    "row": (),
    "distance": (),
    "loss_bound": (),
    "kept": ("eigenvector",),
    "kept_by_diagonal": ("eigenvector",),
    "squared_gradient_norm": ("step",),
    "relative_residual": ("step",),
    "cutoff_iteration": ("cutoff",),
    "cutoff_loss": ("cutoff",),
    "cutoff_index": ("cutoff",),
}


@lru_cache(maxsize=1)
def _problem(
    n_samples: int, n_hidden: int, seed: int
) -> tuple[NetworkObjective, LinearAutoencoderPoints]:
    """Return the loss on the data set that a seed gives, and its true critical points."""
    X = gaussian(np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,))), n_samples)
    points = critical_points(X.T @ X / n_samples, n_hidden)
    return NetworkObjective(points.net, X, X, loss="mse"), points


def problem(training: Configuration) -> tuple[NetworkObjective, LinearAutoencoderPoints]:
    """Return the loss of a training's network on its data, and the true critical points."""
    return _problem(training["n_samples"], training["n_hidden"], training["seed"])


def train_and_sample(configuration: Configuration, key: tuple[int, ...] = (1,)) -> dict[str, Array]:
    """Return losses of the trajectories, starts sampled from them, and the true points.

    Other ``key`` than the default give other trajectories on the same data.
    """
    objective, points = problem(configuration)
    T = configuration["trajectories"]
    rngs = generators(configuration["seed"], key, 2 * T)
    theta0 = np.stack([initial_theta(points.net, "normal", rng) for rng in rngs[:T]])
    rule = GradientDescent(configuration["learning_rate"])
    trained = train(objective, theta0, rule, configuration["epochs"])
    starts = np.empty((len(SCHEMES), T, configuration["starts"], points.net.n_parameters))
    for t, rng in enumerate(rngs[T:]):
        run = trained.run(t)
        for k, sample in enumerate(SCHEMES.values()):
            starts[k, t] = run.theta[sample(run, configuration["starts"], rng)]
    epoch = _steps(configuration["epochs"])
    return {
        "theta_start": starts,
        "train_epoch": epoch,
        "train_loss": trained.value[:, epoch] - points.loss.min(),
        "true_loss": points.loss,
        "true_index": points.index,
        "eigenvalues": points.eigenvalues,
    }


def find(configuration: Configuration, starts: Array) -> dict[str, Array]:
    """Search from ``starts`` (runs, n) by a method; return what happened and what was found."""
    objective, points = problem(configuration["train"])
    limit = configuration["max_iterations"]
    if configuration["method"] == "newton_mr":
        options = {"rtol": configuration["rtol"], "record_theta": True, **FRYE_2019}
        trace = newton_mr(objective, starts, limit, **options)
    elif configuration["method"] == "newton_tr":
        trace = newton_tr(objective, starts, limit, configuration["rtol"])
    else:
        trace = gradient_norm_minimization(objective, starts, limit)
    found = points.identify(trace.theta)
    loss, index, bound = describe(objective, points, trace.theta)
    step = _steps(limit)
    return {
        "theta_start": trace.theta_start,
        "theta_first": trace.theta_first,
        "iterations": trace.iterations,
        "stop_reason": trace.stop_reason,
        "end": trace.squared_gradient_norm[np.arange(len(starts)), trace.iterations],
        "loss": loss,
        "index": index,
        "loss_bound": bound,
        "row": found.row,
        "distance": found.distance,
        "kept": found.kept,
        "kept_by_diagonal": points.kept_by_diagonal(trace.theta),
        "iteration": step,
        "squared_gradient_norm": _at(trace.squared_gradient_norm, step),
        "relative_residual": _at(trace.relative_residual, step),
        **at_cutoffs(objective, points, trace),
    }


def describe(
    objective: NetworkObjective, points: LinearAutoencoderPoints, theta: Array
) -> tuple[Array, Array, Array]:
    """Return loss, index, and how far the loss may be from the nearest critical point's, (runs,).

    Near a critical point with Hessian H the loss differs from its by gᵀH⁺g/2 to second order, at
    most ‖g‖²/(2·min nonzero |λ|). How many eigenvalues are zero there is known.
    """
    point = objective.linearize(theta)
    H = point.hessian()
    magnitudes = np.sort(np.abs(np.linalg.eigvalsh(H)), axis=-1)
    rank = points.identify(theta).kept.sum(axis=-1)
    zeros = points.n_hidden**2 - (points.n_hidden - rank) ** 2
    smallest = np.take_along_axis(magnitudes, zeros[:, None], axis=-1)[:, 0]
    squared_norm = (point.gradient**2).sum(axis=-1)
    return point.value, morse_index(H), squared_norm / (2.0 * smallest)


def at_cutoffs(
    objective: NetworkObjective, points: LinearAutoencoderPoints, trace: Trace
) -> dict[str, Array]:
    """Return iteration, loss and index where ‖g‖² first falls below each cut-off, (runs, cutoffs).

    NaN where it never does; loss and index also where the finder did not keep its iterates.
    """
    shape = (len(trace.theta), len(CUTOFFS))
    iteration, loss, index = (np.full(shape, np.nan) for _ in range(3))
    for column, cutoff in enumerate(CUTOFFS):
        below = trace.squared_gradient_norm < cutoff
        runs = np.flatnonzero(below.any(axis=1))
        first = below[runs].argmax(axis=1)
        iteration[runs, column] = first
        if trace.thetas is not None and len(runs):
            theta = trace.thetas[runs, first]
            loss[runs, column], index[runs, column], _ = describe(objective, points, theta)
    return {"cutoff_iteration": iteration, "cutoff_loss": loss, "cutoff_index": index}


def _steps(limit: int) -> Array:
    """Return the iterations, evenly spaced on a log scale, whose histories are stored."""
    return np.unique(np.geomspace(1, limit + 1, HISTORY).astype(np.int64)) - 1


def _at(history: Array, steps: Array) -> Array:
    """Return a history (runs, K) at ``steps``, NaN beyond its end."""
    kept = np.full((len(history), len(steps)), np.nan)
    inside = steps < history.shape[1]
    kept[:, inside] = history[:, steps[inside]]
    return kept


def _padded(parts: list[Array]) -> list[Array]:
    """Return arrays (..., K) with NaN after the shorter ones, all of one length."""
    length = max(part.shape[-1] for part in parts)
    grown = [np.full((*part.shape[:-1], length), np.nan) for part in parts]
    for whole, part in zip(grown, parts, strict=True):
        whole[..., : part.shape[-1]] = part
    return grown


def _decades(squared_norm: Array) -> Array:
    return np.floor(np.log10(np.maximum(squared_norm, 1e-40)))
