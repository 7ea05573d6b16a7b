"""What Figs 1, 3, 4 and 5 of Frye et al. 2021 share: training, Newton-MR, where its runs end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

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
from ...runner.experiment import Configuration, Experiment, Read, generators, setting
from ...runner.results import FIRST_BITS, Results, rounded
from ...runner.store import Record
from ...training.optimizers import Momentum, train
from ...training.sampling import uniform_in_height

POINTS = ("flattest", "last")
"""The iterates of a run that are looked at closely: that of the largest r, and the last one."""

CUTOFFS = (1e-8, 1e-6, 1e-4, 1e-2, np.inf)
"""Loss and index are kept where ‖g‖² first falls below each; inf: the start. 1e-8 is that of
Frye et al. 2021, Table 1, 1e-6 that of Pennington & Bahri 2017 (section 4.1)."""

SHARES = (1e-5, 1e-3)
"""How much of ‖g‖² lies in eigenspaces with |λ| below each; the first is the index's tolerance."""

HISTORIES = (
    "value",
    "squared_gradient_norm",
    "relative_residual",
    "relative_cokernel_residual",
    "residual_ratio",
    "step_size",
    "solver_iterations",
    "solver_stop_reason",
)
EXACT = ("step_size", "solver_iterations", "solver_stop_reason")
"""Those that take few values, and so little space as they are; the others are ``rounded``."""

DIRECTION = (
    "relative_residual",
    "relative_cokernel_residual",
    "residual_ratio",
    "relative_residual_frobenius",
    "relative_cokernel_residual_frobenius",
    "solver_iterations",
    "solver_stop_reason",
)
"""What is kept of the Newton direction at each of ``POINTS``."""

RUN_DIMS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(HISTORIES, ("iteration",)),
    "iterations": (),
    "stop_reason": (),
    "products": (),
    "theta_first": ("early", "parameter"),
    "theta_point": ("point", "parameter"),
    "point_value": ("point",),
    "point_squared_gradient_norm": ("point",),
    "point_iteration": ("point",),
    "point_index": ("point",),
    "point_class": ("point",),
    **{f"point_{name}": ("point",) for name in DIRECTION},
    "eigenvalues": ("point", "parameter"),
    "gradient_share": ("point", "share"),
    "cutoff_iteration": ("cutoff",),
    "cutoff_loss": ("cutoff",),
    "cutoff_index": ("cutoff",),
}
"""The arrays of a search, each with the dimension "run" first."""

TRAINED_DIMS: dict[str, tuple[str, ...]] = {
    "theta_start": ("run", "parameter"),
    "theta_trained": ("trajectory", "parameter"),
    "train_epoch": ("epoch",),
    "train_loss": ("trajectory", "epoch"),
    "train_squared_gradient_norm": ("trajectory", "epoch"),
}

EPOCHS_KEPT = 200
"""Epochs whose loss and ‖g‖² are stored, at most: evenly spaced on a log scale."""


@dataclass(frozen=True)
class GradientFlat(Experiment):
    """Newton-MR from points of training trajectories, with all that tells flatness.

    A subclass says on which loss (``objective``), and changes the settings that differ.
    """

    coordinates: ClassVar[dict[str, Sequence[Any]]] = {
        "point": POINTS,
        "cutoff": CUTOFFS,
        "share": SHARES,
    }
    search_settings: ClassVar[tuple[str, ...]] = ("max_iterations", "rtol", "batch", "device")
    """The settings that do not matter to the data, the training and the starts.

    Training runs on the CPU in any case, so that the starts are the same to the last bit.
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

    @classmethod
    def objective(cls, training: Configuration) -> NetworkObjective:
        """Return the loss of a training's network on its data."""
        raise NotImplementedError

    @classmethod
    def describe_training(cls, training: Configuration, theta: Array) -> dict[str, Array]:
        """Return what else is told of the data and of trained networks ``theta`` (T, n)."""
        return {}

    described_dims: ClassVar[dict[str, tuple[str, ...]]] = {}
    """The dimensions of the arrays that ``describe_training`` returns."""

    def trainings(self) -> list[dict[str, Any]]:
        """Return what decides data, trajectories and starts: one configuration for each network."""
        left_out = ("profile", *self.search_settings)
        names = [f.name for f in fields(self) if f.name not in left_out]
        return [{"stage": "train", **{name: getattr(self, name) for name in names}}]

    def stages(self) -> list[list[dict[str, Any]]]:
        """Return the trainings, then batches of searches from the starts of each."""
        options: dict[str, Any] = {"max_iterations": self.max_iterations, "rtol": self.rtol}
        runs = self.trajectories * self.starts
        batch = self.batch
        if self.device != "cpu":  # what the archive holds was named before there was a choice
            options["device"], batch = self.device, runs
        trainings = self.trainings()
        searches = [
            {"stage": "find", "train": training, "runs": [k, min(k + batch, runs)], **options}
            for training in trainings
            for k in range(0, runs, batch)
        ]
        return [trainings, searches]

    @classmethod
    def compute(cls, configuration: Configuration, read: Read) -> dict[str, Array]:
        """Train, or search from some of the starts."""
        if configuration["stage"] == "train":
            trained = train_and_sample(cls.objective(configuration), configuration)
            return trained | cls.describe_training(configuration, trained["theta_trained"])
        starts = read(configuration["train"])["theta_start"][slice(*configuration["runs"])]
        objective = cls.objective(configuration["train"])
        parts, options = [starts], (configuration["max_iterations"], configuration["rtol"])
        if "device" in configuration:
            objective = objective.to_device(configuration["device"])
            at_once = how_many_fit(run_bytes(objective, configuration["max_iterations"]))
            parts = np.array_split(starts, -(-len(starts) // at_once))
        found = [search(objective, part, *options) for part in parts]
        return {name: np.concatenate([part[name] for part in found]) for name in found[0]}

    @staticmethod
    def binding(arrays: dict[str, Array]) -> dict[str, Array]:
        """Return the starts of a training; of a search, loss and index where it begins.

        No iterate: a direction that takes hundreds of solver iterations hangs on rounding. With
        the network of Fig. 3 a change of the start by 1e-15 moved the first iterate by up to 5e-3.
        """
        if "theta_start" in arrays:
            return {"theta_start": arrays["theta_start"]}
        start = CUTOFFS.index(np.inf)
        return {name: arrays[name][:, start] for name in ("cutoff_loss", "cutoff_index")}

    @staticmethod
    def distributions(arrays: dict[str, Array]) -> dict[str, Array]:
        """Return log₁₀ ‖g‖² at the end of the runs."""
        if "point_squared_gradient_norm" not in arrays:
            return {}
        last = arrays["point_squared_gradient_norm"][:, POINTS.index("last")]
        return {"end": np.log10(np.maximum(last, 1e-40))}

    def gather(self, records: Sequence[Record]) -> Results:
        """Return the arrays of all runs (``RUN_DIMS``) and of the training (``TRAINED_DIMS``)."""
        trained, searches = records[0].arrays, [record.arrays for record in records[1:]]
        dims = {name: ("run", *own) for name, own in RUN_DIMS.items()}
        arrays = {name: np.concatenate([found[name] for found in searches]) for name in dims}
        return Results(
            arrays | trained, dims | TRAINED_DIMS | self.described_dims, self.coordinates
        )


def train_and_sample(
    objective: NetworkObjective, training: Configuration, scheme: str = "unit_rows"
) -> dict[str, Array]:
    """Return what training passed through, and the starts sampled uniformly in height from it.

    ``scheme`` is that of the initial weights; the paper does not state its own, the default is that
    of its authors' code.
    """
    T, S = training["trajectories"], training["starts"]
    rngs = generators(training["seed"], (1,), 2 * T)
    theta0 = np.stack([initial_theta(objective.net, scheme, rng) for rng in rngs[:T]])
    rule = Momentum(training["learning_rate"], training["momentum"])
    trained = train(objective, theta0, rule, training["epochs"])
    starts = np.empty((T, S, theta0.shape[1]))
    for t, rng in enumerate(rngs[T:]):
        run = trained.run(t)
        starts[t] = run.theta[uniform_in_height(run, S, rng)]
    wanted = np.geomspace(1, trained.iteration[-1] + 1, EPOCHS_KEPT).astype(np.int64) - 1
    kept = np.unique(np.searchsorted(trained.iteration, wanted))
    norms = [
        np.sum(objective.value_and_gradient(trained.theta[:, k, :])[1] ** 2, axis=-1) for k in kept
    ]
    return {
        "theta_start": starts.reshape(T * S, -1),
        "theta_trained": trained.final,
        "train_epoch": trained.iteration[kept],
        "train_loss": trained.kept_value[:, kept],
        "train_squared_gradient_norm": np.stack(norms, axis=1),
    }


def run_bytes(objective: NetworkObjective, max_iterations: int) -> int:
    """Return how much memory a run of ``search`` takes, about.

    Two linearised points, the old one and the new; the dense Hessian, what it is made of, and a
    copy of it for the solver's last systems, 2.5 n² numbers; all iterates.
    """
    n = objective.net.n_parameters
    return 2 * objective.point_bytes + 8 * (5 * n**2 // 2 + (max_iterations + 1) * n)


def as_published(
    objective: NetworkObjective, starts: Array, max_iterations: int, rtol: float
) -> Trace:
    """Return what Newton-MR of Frye et al. 2021, A.2, does from ``starts`` (runs, n)."""
    return newton_mr(objective, starts, max_iterations, rtol, record_theta=True, **FRYE_2021)


def search(
    objective: NetworkObjective,
    starts: Array,
    max_iterations: int,
    rtol: float,
    finder: Callable[[NetworkObjective, Array, int, float], Trace] = as_published,
) -> dict[str, Array]:
    """Run Newton-MR from ``starts`` (runs, n) and return the arrays of ``RUN_DIMS``.

    The objective says where: all that goes in and comes out is NumPy's. Hessians at the points that
    are described are brought back to be decomposed.
    """
    trace = to_numpy(finder(objective, objective.asarray(starts), max_iterations, rtol))
    runs = np.arange(len(starts))
    last = np.asarray(trace.iterations)
    # no direction at all where a run could not begin: its start is also its flattest iterate
    r = np.nan_to_num(trace.relative_residual, nan=-1.0)
    iteration = np.stack([np.argmax(r, axis=1), last], axis=1)
    assert trace.thetas is not None
    theta = trace.thetas[runs[:, None], iteration]
    described = [describe(objective, theta[:, k], rtol) for k in range(len(POINTS))]
    at_points = {name: np.stack([d[name] for d in described], axis=1) for name in described[0]}
    histories = {name: getattr(trace, name) for name in HISTORIES}
    return {
        **{
            name: padded(x if name in EXACT else rounded(x), max_iterations + 1)
            for name, x in histories.items()
        },
        "iterations": last,
        "stop_reason": np.asarray(trace.stop_reason),
        "products": trace.products[runs, last],
        "theta_first": rounded(trace.theta_first, FIRST_BITS),
        "theta_point": theta,
        "point_iteration": iteration,
        **at_points,
        **at_cutoffs(objective, trace),
    }


def describe(objective: NetworkObjective, theta: Array, rtol: float) -> dict[str, Array]:
    """Return loss, gradient, spectrum, Newton direction and class of points theta (runs, n)."""
    theta = objective.asarray(theta)
    point = objective.linearize(theta)
    g = to_numpy(point.gradient)
    squared_norm = np.sum(g**2, axis=-1)
    H = to_numpy(point.hessian())
    eigenvalues, Q = np.linalg.eigh(H)
    parts = np.einsum("rij,ri->rj", Q, g) ** 2
    shares = [np.sum(np.where(np.abs(eigenvalues) < cut, parts, 0.0), axis=-1) for cut in SHARES]
    scale = np.where(squared_norm > 0.0, squared_norm, np.nan)
    direction = newton_direction(objective, theta, point, H, rtol)
    return {
        "point_value": to_numpy(point.value),
        "point_squared_gradient_norm": squared_norm,
        "point_index": np.mean(eigenvalues < -INDEX_TOLERANCE, axis=-1),
        "point_class": point_class(
            squared_norm, direction["relative_residual"], direction["relative_cokernel_residual"]
        ),
        **{f"point_{name}": x for name, x in direction.items()},
        "eigenvalues": rounded(eigenvalues),
        "gradient_share": np.stack(shares, axis=-1) / scale[:, None],
    }


def newton_direction(
    objective: NetworkObjective, theta: Array, point: Linearization, H: Array, rtol: float
) -> dict[str, Array]:
    """Return the arrays of ``DIRECTION`` (runs,): of the one that Newton-MR takes at theta.

    ``theta`` and ``point`` are where the objective is, the Hessians H (runs, n, n) NumPy's.
    """
    found = to_numpy(solve(HessianOperator(objective, theta, point), -point.gradient, rtol))
    by_frobenius = residual_indices(H, to_numpy(point.gradient), found.x)
    return {
        "relative_residual": found.relative_residual,
        "relative_cokernel_residual": found.relative_cokernel_residual,
        "residual_ratio": by_frobenius.residual_ratio,
        "relative_residual_frobenius": by_frobenius.relative_residual,
        "relative_cokernel_residual_frobenius": by_frobenius.relative_cokernel_residual,
        "solver_iterations": found.iterations,
        "solver_stop_reason": found.stop_reason,
    }


def at_cutoffs(objective: NetworkObjective, trace: Trace) -> dict[str, Array]:
    """Return iteration, loss and index where ‖g‖² first falls below each cut-off, (runs, cutoffs).

    NaN where it never does.
    """
    assert trace.thetas is not None
    iteration, loss, index = (np.full((len(trace.theta), len(CUTOFFS)), np.nan) for _ in range(3))
    for column, cutoff in enumerate(CUTOFFS):
        below = trace.squared_gradient_norm < cutoff
        runs = np.flatnonzero(below.any(axis=1))
        if not len(runs):
            continue
        first = below[runs].argmax(axis=1)
        point = objective.linearize(objective.asarray(trace.thetas[runs, first]))
        iteration[runs, column] = first
        loss[runs, column] = to_numpy(point.value)
        index[runs, column] = morse_index(to_numpy(point.hessian()))
    return {"cutoff_iteration": iteration, "cutoff_loss": loss, "cutoff_index": index}


def padded(history: Array, length: int) -> Array:
    """Return a history (runs, K) made ``length`` long with NaN."""
    grown = np.full((len(history), length), np.nan)
    grown[:, : history.shape[1]] = history
    return grown
