"""Frye et al. 2019, Figs 1 and 2: three finders on the deep linear autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, ClassVar

import numpy as np

from ...arrays import Array
from ...checks import different
from ...datasets.gaussian import gaussian
from ...finders import FRYE_2019, Trace, gradient_norm_minimization, newton_mr, newton_tr
from ...ground_truth.linear_autoencoder import LinearAutoencoderPoints, critical_points
from ...linalg.inertia import morse_index
from ...networks.initialization import initial_theta
from ...networks.objective import NetworkObjective
from ...points.cutoffs import at_cutoffs
from ...runner.experiment import Arrays, Experiment, generators, setting
from ...runner.results import Measured, Results, grown
from ...runner.store import Record, Store, Task
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

DIMS: dict[str, tuple[str, ...]] = {
    "train_loss": ("trajectory", "epoch"),
    "train_epoch": ("epoch",),
    "true_loss": ("point",),
    "true_index": ("point",),
    "eigenvalues": ("eigenvector",),
    "kept": ("eigenvector",),
    "kept_by_diagonal": ("eigenvector",),
    "squared_gradient_norm": ("step",),
    "relative_residual": ("step",),
    "cutoff_iteration": ("cutoff",),
    "cutoff_loss": ("cutoff",),
    "cutoff_index": ("cutoff",),
}
"""The dimensions that arrays have beyond that of the runs."""


@dataclass(frozen=True)
class AutoencoderExperiment(Experiment):
    """What the experiments on the linear autoencoder share: data, training, Newton's limits."""

    schema_version: ClassVar[int] = 2

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
    maxit: int = setting(
        25, "the default of the authors' public code (not stated in 2019; 2021, A.2: n)", at_least=1
    )
    seed: int = setting(0, "chosen by us: of data, initial weights and sampling")

    @property
    def training(self) -> dict[str, Any]:
        """What decides the data and the trajectories."""
        names = ("n_samples", "n_hidden", "trajectories", "starts", "epochs", "learning_rate")
        return {"seed": self.seed, **{name: getattr(self, name) for name in names}}

    def train_task(self) -> Task:
        """Return the task of training all trajectories."""
        return self.task(self.train_and_sample, stage="train", **self.training)

    def problem(self) -> tuple[NetworkObjective, LinearAutoencoderPoints]:
        """Return the loss of the network on its data, and the true critical points."""
        return _problem(self.n_samples, self.n_hidden, self.seed)

    def train_and_sample(self, key: tuple[int, ...] = (1,)) -> Arrays:
        """Return losses of the trajectories, starts sampled from them, and the true points.

        Other ``key`` than the default give other trajectories on the same data.
        """
        objective, points = self.problem()
        T = self.trajectories
        rngs = generators(self.seed, key, 2 * T)
        theta0 = np.stack([initial_theta(points.net, "normal", rng) for rng in rngs[:T]])
        trained = train(objective, theta0, GradientDescent(self.learning_rate), self.epochs)
        starts = np.empty((len(SCHEMES), T, self.starts, points.net.n_parameters))
        for t, rng in enumerate(rngs[T:]):
            run = trained.run(t)
            for k, sample in enumerate(SCHEMES.values()):
                starts[k, t] = run.theta[sample(run, self.starts, rng)]
        epoch = _steps(self.epochs)
        return {
            "theta_start": starts,
            "train_epoch": epoch,
            "train_loss": trained.value[:, epoch] - points.loss.min(),
            "true_loss": points.loss,
            "true_index": points.index,
            "eigenvalues": points.eigenvalues,
        }

    @property
    def limits(self) -> dict[str, Any]:
        """What ends the Newton methods and their solver."""
        return {"max_iterations": self.max_iterations, "rtol": self.rtol, "maxit": self.maxit}

    def newton(self, method: str, starts: Array, *, record_theta: bool = False) -> Trace:
        """Return what the paper's Newton-MR or Newton-TR does from starts (runs, n)."""
        objective, _ = self.problem()
        options: dict[str, Any] = {**self.limits, "record_theta": record_theta}
        if method == "newton_mr":
            return newton_mr(objective, starts, **options, **FRYE_2019)
        return newton_tr(objective, starts, **options)


@lru_cache(maxsize=1)
def _problem(
    n_samples: int, n_hidden: int, seed: int
) -> tuple[NetworkObjective, LinearAutoencoderPoints]:
    """Return the loss on the data set that a seed gives, and its true critical points."""
    X = gaussian(np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,))), n_samples)
    points = critical_points(X.T @ X / n_samples, n_hidden)
    return NetworkObjective(points.net, X, X, loss="mse"), points


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
    apart: ClassVar[tuple[str, ...]] = ("method",)

    batch: int = setting(
        5, "chosen by us: trajectories whose runs are advanced together, for speed", at_least=1
    )
    methods: tuple[str, ...] = setting(METHODS, "Frye et al. 2019, Fig. 1", choices=METHODS)
    gnm_iterations: int = setting(50_000, "the end of the axis in Frye et al. 2019, Fig. 1")

    def check(self) -> None:
        """Raise a ValueError if there is no method or one twice."""
        different("methods", self.methods)

    def batches(self) -> list[tuple[int, int]]:
        """Return first and last + 1 of the trajectories in each batch."""
        ends = range(0, self.trajectories, self.batch)
        return [(t, min(t + self.batch, self.trajectories)) for t in ends]

    def stages(self) -> list[list[Task]]:
        """Return the training of all trajectories, then the batches of each method."""
        train = self.train_task()
        searches = []
        for method in self.methods:
            options = self.limits
            if method == "gradient_norm_minimization":
                options = {"max_iterations": self.gnm_iterations}
            searches += [
                self.task(
                    partial(self.search, method, batch),
                    train,
                    stage="find",
                    train=train.configuration,
                    method=method,
                    batch=batch,
                    **options,
                )
                for batch in self.batches()
            ]
        return [[train], searches]

    def search(self, method: str, batch: tuple[int, int], trained: Arrays) -> Arrays:
        """Search by a method from the starts of some trajectories, all in one batch."""
        of_height = trained["theta_start"][list(SCHEMES).index("height")][slice(*batch)]
        return self.found(method, of_height.reshape(-1, of_height.shape[-1]))

    def found(self, method: str, starts: Array) -> Arrays:
        """Return how runs of a method from starts (runs, n) went and what they found."""
        objective, points = self.problem()
        limit = self.max_iterations
        if method == "gradient_norm_minimization":
            limit = self.gnm_iterations
            trace = gradient_norm_minimization(objective, starts, limit)
        else:
            trace = self.newton(method, starts, record_theta=method == "newton_mr")
        step = _steps(limit)
        return {
            "theta_start": trace.theta_start,
            "theta_first": trace.theta_first,
            "stop_reason": trace.stop_reason,
            **ends(objective, points, trace),
            "loss_bound": loss_bound(objective, points, trace.theta),
            "iteration": step,
            "squared_gradient_norm": _at(trace.squared_gradient_norm, step),
            "relative_residual": _at(trace.relative_residual, step),
            **at_cutoffs(trace, CUTOFFS, partial(loss_and_index, objective)),
        }

    @staticmethod
    def binding(arrays: Arrays) -> Arrays:
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
    def distributions(arrays: Arrays) -> Arrays:
        """Return the iterations to the paper's cut-off; log₁₀ ‖g‖² at the end, down to 1e-20."""
        if "cutoff_iteration" not in arrays:
            return {}
        iterations = arrays["cutoff_iteration"][:, CUTOFFS.index(CUTOFF)]
        return {"iterations": iterations, "end": np.log10(np.maximum(arrays["end"], 1e-20))}

    def gather(self, records: Sequence[Record]) -> Results:
        """Return the arrays with the dimensions method, run, step, cutoff, eigenvector, point."""
        trained, *searches = records
        by_method = []
        for k in range(0, len(searches), len(self.batches())):
            own = searches[k : k + len(self.batches())]
            of_method = {
                "iteration": own[0].arrays["iteration"].astype(float),
                "seconds": np.array(sum(record.header["seconds"] for record in own)),
            }
            runs = [
                Results.of({n: x for n, x in r.arrays.items() if n != "iteration"}, DIMS, "run")
                for r in own
            ]
            by_method.append(Results.joined(runs) | Results.of(of_method, {"iteration": ("step",)}))
        return (
            Results.of(trained.arrays, DIMS)
            | Results.stacked(by_method, method=self.methods)
            | Results({}, {}, {"cutoff": CUTOFFS})
        )

    def claims(self, results: Results, store: Store | None = None) -> dict[str, Measured]:
        """Return what the results say on sections 3 to 4.2, 6.3 and 6.6 of the paper."""
        return figure_1_and_2(results, self.methods)


def ends(objective: NetworkObjective, points: LinearAutoencoderPoints, trace: Trace) -> Arrays:
    """Return where runs ended and what they found, (runs,) or (runs, eigenvectors)."""
    found = points.identify(trace.theta)
    loss, index = loss_and_index(objective, trace.theta)
    last = np.asarray(trace.iterations)
    return {
        "iterations": last,
        "end": trace.squared_gradient_norm[np.arange(len(last)), last],
        "loss": loss,
        "index": index,
        "row": found.row,
        "distance": found.distance,
        "kept": found.kept,
        "kept_by_diagonal": points.kept_by_diagonal(trace.theta),
    }


def loss_and_index(objective: NetworkObjective, theta: Array) -> tuple[Array, Array]:
    """Return loss and index at points theta (runs, n)."""
    point = objective.linearize(theta)
    return point.value, morse_index(point.hessian())


def loss_bound(objective: NetworkObjective, points: LinearAutoencoderPoints, theta: Array) -> Array:
    """Return how far the loss may be from the nearest critical point's, (runs,).

    Near a critical point with Hessian H the loss differs from its by gᵀH⁺g/2 to second order, at
    most ‖g‖²/(2·min nonzero |λ|). How many eigenvalues are zero there is known.
    """
    point = objective.linearize(theta)
    magnitudes = np.sort(np.abs(np.linalg.eigvalsh(point.hessian())), axis=-1)
    rank = points.identify(theta).kept.sum(axis=-1)
    zeros = points.n_hidden**2 - (points.n_hidden - rank) ** 2
    smallest = np.take_along_axis(magnitudes, zeros[:, None], axis=-1)[:, 0]
    return (point.gradient**2).sum(axis=-1) / (2.0 * smallest)


def _steps(limit: int) -> Array:
    """Return the iterations, evenly spaced on a log scale, whose histories are stored."""
    return np.unique(np.geomspace(1, limit + 1, HISTORY).astype(np.int64)) - 1


def _at(history: Array, steps: Array) -> Array:
    """Return a history (runs, K) at ``steps``, NaN beyond its end."""
    return grown(history, (len(history), max(history.shape[1], steps[-1] + 1)))[:, steps]
