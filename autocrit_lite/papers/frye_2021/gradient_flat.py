"""What Figs 1, 3, 4 and 5 of Frye et al. 2021 share: training, Newton-MR, where its runs end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np

from ...arrays import Array
from ...devices import DEVICES, how_many_fit, to_numpy
from ...finders import FRYE_2021, Trace, newton_mr
from ...finders.hessian_operator import HessianOperator, solve
from ...linalg.inertia import INDEX_TOLERANCE, morse_index
from ...linalg.residuals import residual_indices
from ...networks.initialization import initial_theta
from ...networks.objective import NetworkObjective
from ...objectives import Linearization
from ...points.classes import point_class
from ...points.cutoffs import at_cutoffs
from ...runner.experiment import Arrays, Experiment, generators, setting
from ...runner.results import FIRST_BITS, Results, grown, rounded
from ...runner.store import Record, Task
from ...training.optimizers import Momentum, train
from ...training.sampling import uniform_in_height
from .newton_systems import INDICES, spectrum

POINTS = ("flattest", "last")
"""The two iterates of a run that we look at closely: the one with the largest r, and the last."""

CUTOFFS = (1e-8, 1e-6, 1e-4, 1e-2, np.inf)
"""We keep loss and index where ‖g‖² first falls below each; inf is the start. 1e-8 is the cut-off
of Frye et al. 2021, Table 1, 1e-6 that of Pennington & Bahri 2017 (section 4.1)."""

SHARES = (1e-5, 1e-3)
"""How much of ‖g‖² lies in eigenspaces with |λ| below each; the first is the index's tolerance."""

CONVERGED = 1e-20
"""‖g‖² below this is compared no further with that of other machines (chosen by us: rounding)."""

EXACT = ("step_size", "solver_iterations", "solver_stop_reason")
"""Histories with few different values: they compress well as they are."""

HISTORIES = ("value", "squared_gradient_norm", *INDICES[:3], *EXACT)
"""What we keep of every iterate, ``rounded`` but for ``EXACT``."""

DIRECTION = (*INDICES, "solver_iterations", "solver_stop_reason")
"""What we keep of the Newton direction at each of ``POINTS``."""

AT_POINTS = ("value", "squared_gradient_norm", "iteration", "index", "class", *DIRECTION)

DIMS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(HISTORIES, ("iteration",)),
    **{f"point_{name}": ("point",) for name in AT_POINTS},
    **dict.fromkeys(("cutoff_iteration", "cutoff_loss", "cutoff_index"), ("cutoff",)),
    "theta_first": ("early", "parameter"),
    "theta_point": ("point", "parameter"),
    "eigenvalues": ("point", "parameter"),
    "gradient_share": ("point", "share"),
    "theta_start": ("run", "parameter"),
    "theta_trained": ("trajectory", "parameter"),
    "train_epoch": ("epoch",),
    "train_loss": ("trajectory", "epoch"),
    "train_squared_gradient_norm": ("trajectory", "epoch"),
    "accuracy": ("trajectory",),
    "correct": ("trajectory",),
}
"""The dimensions of a training's arrays, and those of a search's beyond that of its runs."""

EPOCHS_KEPT = 200
"""We store loss and ‖g‖² of at most so many epochs, evenly spaced on a log scale."""


Finder = Callable[[NetworkObjective, Array, int, float], Trace]


def as_published(
    objective: NetworkObjective, starts: Array, max_iterations: int, rtol: float
) -> Trace:
    """Return what Newton-MR of Frye et al. 2021, A.2, does from ``starts`` (runs, n)."""
    return newton_mr(objective, starts, max_iterations, rtol, record_theta=True, **FRYE_2021)


@dataclass(frozen=True)
class GradientFlat(Experiment):
    """Newton-MR from points of training trajectories, and how flat its iterates are.

    A subclass names the loss (``objective``) and changes the settings that differ. Training runs on
    the CPU in any case, so that the starts are the same to the last bit.
    """

    n_samples: int = setting(10_000, "Frye et al. 2021, A.1.1", at_least=2)
    trajectories: int = setting(
        10, "chosen by us: as in Frye et al. 2019, Fig. 1 (not stated in 2021)", at_least=1
    )
    starts: int = setting(10, "100 runs in all: Frye et al. 2021, section 3", at_least=1)
    epochs: int = setting(500, "chosen by us (not stated)", at_least=1)
    learning_rate: float = setting(0.1, "Frye et al. 2021, A.2", above=0.0)
    momentum: float = setting(0.9, "Frye et al. 2021, A.2", at_least=0.0, below=1.0)
    l2: float = setting(0.0, "Frye et al. 2021, A.1.2", at_least=0.0)
    max_iterations: int = setting(500, "Frye et al. 2021, section 3", at_least=1)
    rtol: float = setting(5e-4, "Frye et al. 2021, A.2, for Figs 3 and 4", at_least=0.0)
    batch: int = setting(
        5, "chosen by us: runs advanced together, and lost together if stopped", at_least=1
    )
    seed: int = setting(0, "chosen by us: of data, initial weights and sampling")
    device: str = setting(
        "cpu",
        'chosen by us; on "gpu" all runs advance together, or as many as its free memory holds',
        choices=DEVICES,
    )

    def objective(self) -> NetworkObjective:
        """Return the loss of the network on its data."""
        raise NotImplementedError

    def about_training(self, theta: Array) -> Arrays:
        """Return what else to store of the data and of trained networks ``theta`` (T, n)."""
        return {}

    @property
    def training(self) -> dict[str, Any]:
        """The settings that decide data, trajectories and starts."""
        of_searches = ("profile", "max_iterations", "rtol", "batch", "device")
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in of_searches}

    def stages(self) -> list[list[Task]]:
        """Return the training, then batches of searches from its starts."""
        train = self.task(self.train_and_sample, stage="train", **self.training)
        options: dict[str, Any] = {"max_iterations": self.max_iterations, "rtol": self.rtol}
        runs = self.trajectories * self.starts
        batch = self.batch
        if self.device != "cpu":  # the archive's tasks were named before there was a choice
            options["device"], batch = self.device, runs
        searches = []
        for first in range(0, runs, batch):
            own = (first, min(first + batch, runs))
            compute, configuration = partial(self.search, own), train.configuration
            searches.append(
                self.task(compute, train, stage="find", train=configuration, runs=own, **options)
            )
        return [[train], searches]

    def train_and_sample(self, scheme: str = "unit_rows") -> Arrays:
        """Train all trajectories, and sample starts from each uniformly in height.

        ``scheme`` draws the initial weights. The paper does not state its own; the default is that
        of its authors' code.
        """
        objective, T = self.objective(), self.trajectories
        rngs = generators(self.seed, (1,), 2 * T)
        theta0 = np.stack([initial_theta(objective.net, scheme, rng) for rng in rngs[:T]])
        rule = Momentum(self.learning_rate, self.momentum)
        trained = train(objective, theta0, rule, self.epochs)
        runs = [trained.run(t) for t in range(T)]
        starts = [
            run.theta[uniform_in_height(run, self.starts, rng)]
            for run, rng in zip(runs, rngs[T:], strict=True)
        ]
        wanted = np.geomspace(1, trained.iteration[-1] + 1, EPOCHS_KEPT).astype(np.int64) - 1
        kept = np.unique(np.searchsorted(trained.iteration, wanted))
        gradients = [objective.value_and_gradient(trained.theta[:, k, :])[1] for k in kept]
        norms = [np.sum(g**2, axis=-1) for g in gradients]
        return {
            "theta_start": np.concatenate(starts),
            "theta_trained": trained.final,
            "train_epoch": trained.iteration[kept],
            "train_loss": trained.kept_value[:, kept],
            "train_squared_gradient_norm": np.stack(norms, axis=1),
            **self.about_training(trained.final),
        }

    def train_for_starts(self, scheme: str = "unit_rows") -> Arrays:
        """Train, and keep the starts alone."""
        return {"theta_start": self.train_and_sample(scheme)["theta_start"]}

    def search(self, runs: tuple[int, int], trained: Arrays) -> Arrays:
        """Search from the starts ``runs[0]`` to ``runs[1]`` − 1, on the device."""
        starts = trained["theta_start"][slice(*runs)]
        objective, parts = self.objective(), [starts]
        if self.device != "cpu":
            objective = objective.to_device(self.device)
            at_once = how_many_fit(run_bytes(objective, self.max_iterations))
            parts = np.array_split(starts, -(-len(starts) // at_once))
        found = [self.search_from(objective, part) for part in parts]
        return {name: np.concatenate([part[name] for part in found]) for name in found[0]}

    def search_from(
        self, objective: NetworkObjective, starts: Array, finder: Finder = as_published
    ) -> Arrays:
        """Search from ``starts`` (runs, n), and look at what is found.

        The objective says where this runs. What goes in and comes out is NumPy's.
        """
        found = finder(objective, objective.asarray(starts), self.max_iterations, self.rtol)
        trace, runs = to_numpy(found), np.arange(len(starts))
        assert trace.thetas is not None
        last = np.asarray(trace.iterations)
        # a run that could not begin has no direction: its start is also its flattest iterate
        r = np.nan_to_num(trace.relative_residual, nan=-1.0)
        iteration = np.stack([np.argmax(r, axis=1), last], axis=1)
        theta = trace.thetas[runs[:, None], iteration]
        points = [describe(objective, theta[:, k], self.rtol) for k in range(len(POINTS))]
        histories = {name: getattr(trace, name) for name in HISTORIES}
        kept = {name: x if name in EXACT else rounded(x) for name, x in histories.items()}
        shape = (len(runs), self.max_iterations + 1)
        return {
            **{name: grown(x, shape) for name, x in kept.items()},
            "iterations": last,
            "stop_reason": np.asarray(trace.stop_reason),
            "products": trace.products[runs, last],
            "theta_first": rounded(trace.theta_first, FIRST_BITS),
            "theta_point": theta,
            "point_iteration": iteration,
            **{name: np.stack([point[name] for point in points], axis=1) for name in points[0]},
            **at_cutoffs(trace, CUTOFFS, partial(loss_and_index, objective)),
        }

    @staticmethod
    def binding(arrays: Arrays) -> Arrays:
        """Return the starts of a training; of a search, loss and index where it begins.

        No iterate: a direction that takes hundreds of solver iterations hangs on rounding. With
        the network of Fig. 3 a change of the start by 1e-15 moved the first iterate by up to 5e-3.
        """
        if "theta_start" in arrays:
            return {"theta_start": arrays["theta_start"]}
        start = CUTOFFS.index(np.inf)
        return {name: arrays[name][:, start] for name in ("cutoff_loss", "cutoff_index")}

    @staticmethod
    def distributions(arrays: Arrays) -> Arrays:
        """Return log₁₀ ‖g‖² at the end of the runs, down to ``CONVERGED``."""
        if "point_squared_gradient_norm" not in arrays:
            return {}
        last = arrays["point_squared_gradient_norm"][:, POINTS.index("last")]
        return {"end": np.log10(np.maximum(last, CONVERGED))}

    def gather(self, records: Sequence[Record]) -> Results:
        """Return the arrays of the training and of all runs."""
        trained, *searches = (record.arrays for record in records)
        runs = Results.joined([Results.of(found, DIMS, "run") for found in searches])
        labels = {"point": POINTS, "cutoff": CUTOFFS, "share": SHARES}
        return runs | Results.of(trained, DIMS) | Results({}, {}, labels)


def run_bytes(objective: NetworkObjective, max_iterations: int) -> int:
    """Return about how much memory one run of a search takes.

    Two linearised points, the old one and the new; the dense Hessian, what it is made of, and a
    copy of it for the solver's last systems, 2.5 n² numbers; all iterates.
    """
    n = objective.net.n_parameters
    return 2 * objective.point_bytes + 8 * (5 * n**2 // 2 + (max_iterations + 1) * n)


def loss_and_index(objective: NetworkObjective, theta: Array) -> tuple[Array, Array]:
    """Return loss and index at points theta (runs, n)."""
    point = objective.linearize(objective.asarray(theta))
    return to_numpy(point.value), morse_index(to_numpy(point.hessian()))


def look_at(objective: NetworkObjective, theta: Array, rtol: float) -> tuple[Arrays, Array, Array]:
    """Return what points theta (runs, n) are, and their ``spectrum``.

    That is loss, ‖g‖², index, class, and the Newton direction's ``DIRECTION``, each (runs,).
    """
    theta = objective.asarray(theta)
    point = objective.linearize(theta)
    g, H = to_numpy(point.gradient), to_numpy(point.hessian())
    squared_norm = np.sum(g**2, axis=-1)
    eigenvalues, parts = spectrum(H, g)
    direction = newton_direction(objective, theta, point, H, rtol)
    r, r_H = direction["relative_residual"], direction["relative_cokernel_residual"]
    found = {
        "value": to_numpy(point.value),
        "squared_gradient_norm": squared_norm,
        "index": np.mean(eigenvalues < -INDEX_TOLERANCE, axis=-1),
        "class": point_class(squared_norm, r, r_H),
        **direction,
    }
    return found, eigenvalues, parts


def describe(objective: NetworkObjective, theta: Array, rtol: float) -> Arrays:
    """Return what is stored of points theta (runs, n)."""
    found, eigenvalues, parts = look_at(objective, theta, rtol)
    below = [np.where(np.abs(eigenvalues) < cut, parts**2, 0.0).sum(axis=-1) for cut in SHARES]
    whole = found["squared_gradient_norm"]
    return {
        **{f"point_{name}": x for name, x in found.items()},
        "eigenvalues": rounded(eigenvalues),
        "gradient_share": np.stack(below, axis=-1) / np.where(whole > 0.0, whole, np.nan)[:, None],
    }


def newton_direction(
    objective: NetworkObjective, theta: Array, point: Linearization, H: Array, rtol: float
) -> Arrays:
    """Return the arrays of ``DIRECTION`` (runs,) for the direction that Newton-MR takes at theta.

    ``theta`` and ``point`` are where the objective is, the Hessians H (runs, n, n) are NumPy's.
    """
    b = -point.gradient
    found = to_numpy(solve(HessianOperator(objective, theta, point), b, rtol))
    r, r_H, ratio = residual_indices(H, to_numpy(point.gradient), found.x)
    by_solver = found.relative_residual, found.relative_cokernel_residual
    kept = (*by_solver, ratio, r, r_H, found.iterations, found.stop_reason)
    return dict(zip(DIRECTION, kept, strict=True))
