"""Seven finders from the same starts on the networks of Frye et al. 2021, Figs 3 to 5."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, ClassVar

import numpy as np

from ... import finders
from ...arrays import Array
from ...checks import different
from ...finders import FRYE_2021, FinderStopReason, Trace
from ...networks.objective import NetworkObjective
from ...objectives import Linearization
from ...runner.experiment import Arrays, Experiment, setting, setting_of, taken_from
from ...runner.results import Results, rounded
from ...runner.store import Record, Task
from .ends import EndRule, late
from .gradient_flat import GradientFlat, look_at
from .mnist_autoencoder import MnistAutoencoder
from .mnist_classifier import MnistClassifier
from .newton_systems import within
from .random_labels import RandomLabels

NETWORKS: dict[str, type[GradientFlat]] = {
    kind.name: kind for kind in (MnistAutoencoder, MnistClassifier, RandomLabels)
}
"""Those of Figs 3, 4 and 5."""

RTOL = 5e-4
"""Of the solver in the first two finders: Frye et al. 2021, A.2, for Figs 3 and 4."""

FINDERS: dict[str, Callable[..., Trace]] = {
    "newton_mr": partial(finders.newton_mr, rtol=RTOL, **FRYE_2021),
    "newton_tr": partial(finders.newton_tr, rtol=RTOL),
    "gradient_norm_minimization": finders.gradient_norm_minimization,
    "exact_newton": finders.exact_newton,
    "damped_newton": finders.damped_newton,
    "levenberg_marquardt": finders.levenberg_marquardt,
    "saddle_free_newton": finders.saddle_free_newton,
}
"""All with their defaults, which are the papers' where there are any."""

CUTOFFS = (1e-8, 1e-10)
"""On ‖g‖²: Frye et al. 2021, Table 1, and 2019, 2.3."""

GRID = 60
"""Costs, evenly spaced on a log scale, at which the lowest ‖g‖² so far is kept (chosen by us)."""

DIMS = {
    "lowest_by_cost": ("cost",),
    "cutoff_cost": ("cutoff",),
    "cutoff_seconds": ("cutoff",),
    "share": ("share",),
}
"""The dimensions that arrays have beyond "network", "finder" and "run"."""

AT_END = ("value", "squared_gradient_norm", "index", "relative_residual", "residual_ratio")
"""What we keep of the point where a run ends."""

SHARES = (5e-4, 1e-5, 1e-7)
"""Relative to the largest |eigenvalue|; the first is ε_g of Frye et al. 2021, Table 1."""


@dataclass(frozen=True)
class FinderComparison(Experiment):
    """How far each finder gets on each network for the same cost."""

    name: ClassVar[str] = "finder_comparison"
    quick: ClassVar[dict[str, Any]] = {"starts": 2, "budget": 600}
    apart: ClassVar[tuple[str, ...]] = ("method",)
    of_machine: ClassVar[tuple[str, ...]] = ("seconds", "cutoff_seconds")

    critical: float = setting_of(EndRule, "critical")
    flat_share: float = setting_of(EndRule, "flat_share")
    stall: float = setting_of(EndRule, "stall")
    slow: float = setting_of(EndRule, "slow")
    networks: tuple[str, ...] = setting(
        tuple(NETWORKS), "Frye et al. 2021, Figs 3 to 5", choices=tuple(NETWORKS)
    )
    methods: tuple[str, ...] = setting(
        tuple(FINDERS), "chosen by us: all that there are", choices=tuple(FINDERS)
    )
    starts: int = setting(
        20, "chosen by us: of those of each network's figure, evenly spaced", at_least=1
    )
    budget: int = setting(
        8000,
        "chosen by us: for each run, in products; so that all take an hour on two cores at most",
        at_least=1,
    )
    seed: int = setting(0, "chosen by us: of data, initial weights and sampling, as in the figures")

    def check(self) -> None:
        """Raise a ValueError if there is no network or finder, or one twice, or too few starts."""
        different("networks", self.networks)
        different("methods", self.methods)
        for network in self.networks:
            kind = NETWORKS[network].from_profile(self.profile)
            if self.starts > kind.trajectories * kind.starts:
                raise ValueError(
                    f"starts must be at most the {kind.trajectories * kind.starts} that {network} "
                    f"has, not {self.starts}"
                )

    def study(self, network: str) -> GradientFlat:
        """Return the experiment of a network's figure."""
        return NETWORKS[network].from_profile(self.profile, seed=self.seed)

    def stages(self) -> list[list[Task]]:
        """Return the trainings, then one task for each network, finder and start."""
        trainings, searches = [], []
        for network in self.networks:
            study = self.study(network)
            configuration = {"stage": "train", "network": network, **study.training}
            train = self.task(study.train_for_starts, **configuration)
            trainings.append(train)
            runs = np.linspace(0, study.trajectories * study.starts - 1, self.starts).round()
            shared = {"stage": "find", "train": train.configuration, "budget": self.budget}
            for method, run in product(self.methods, map(int, runs)):
                compute = partial(self.search, network, method, run)
                searches.append(self.task(compute, train, method=method, run=run, **shared))
        return [trainings, searches]

    def search(self, network: str, method: str, run: int, trained: Arrays) -> Arrays:
        """Search with one finder from one start."""
        start = trained["theta_start"][run]
        return search(FINDERS[method], self.study(network).objective(), start, self.budget)

    @staticmethod
    def binding(arrays: Arrays) -> Arrays:
        """Return the starts: where a run ends hangs on rounding."""
        return {name: arrays[name] for name in ("theta_start", "start") if name in arrays}

    @staticmethod
    def distributions(arrays: Arrays) -> Arrays:
        """Return log₁₀ of the lowest ‖g‖², down to where runs end, and what each run cost."""
        if "lowest" not in arrays:
            return {}
        lowest = np.log10(np.maximum(arrays["lowest"], min(CUTOFFS)))
        return {"lowest": lowest[None], "products": arrays["products"][None]}

    def gather(self, records: Sequence[Record]) -> Results:
        """Return the arrays of all runs, and how each run ends."""
        searches = records[len(self.networks) :]
        labels = {"network": self.networks, "finder": self.methods, "run": range(self.starts)}
        runs = Results.stacked([Results.of(found.arrays, DIMS) for found in searches], **labels)
        arguments = ("squared_gradient_norm", "fall", "pace", "stop_reason")
        rule = taken_from(self, EndRule)
        end = rule.ends(share=runs["share"][..., 0], **{name: runs[name] for name in arguments})
        own = {"cutoff": CUTOFFS, "share": SHARES, "cost": costs(self.budget).tolist()}
        return runs | Results({"end": end}, {"end": tuple(labels)}, own)


def costs(budget: int) -> Array:
    """Return the costs (GRID,) at which the lowest ‖g‖² so far is kept."""
    return np.geomspace(1.0, budget, GRID)


def nothing(theta: Array) -> tuple[Array, Array]:
    """Return NaN for the loss (...) and its gradient (..., n) at theta."""
    return np.full(theta.shape[:-1], np.nan), np.full(theta.shape, np.nan)


class Meter:
    """An objective of one start at a time that counts what is asked of it, up to a budget.

    The unit is a Hessian-vector product. A gradient counts as one: it takes about as long, both
    being two passes through the network. A dense Hessian counts as ``hessian_cost`` products;
    products with it, and eigendecompositions, are not counted. Once the budget is spent, all values
    are NaN, at which a finder stops by itself and keeps what it has.

    Attributes
    ----------
    spent : float
    lowest : list of (float, float, float)
        Cost, processor time in seconds and ‖g‖² wherever that was lower than ever before.
    """

    def __init__(self, objective: NetworkObjective, budget: float) -> None:
        self._objective = objective
        self._budget = budget
        self._began = time.process_time()
        self.hessian_cost = objective.hessian_cost
        self.dense_product_cost = objective.dense_product_cost
        self.spent = 0.0
        self.lowest: list[tuple[float, float, float]] = []

    def pay(self, cost: float) -> bool:
        """Count a cost, unless the budget is spent; return whether it was not."""
        goes_on = self.spent < self._budget
        self.spent += cost if goes_on else 0.0
        return goes_on

    @property
    def seconds(self) -> float:
        """Processor time since the start."""
        return time.process_time() - self._began

    def value_and_gradient(self, theta: Array) -> tuple[Array, Array]:
        """Return the loss (...) and its gradient (..., n) at theta (..., n)."""
        if not self.pay(1.0):
            return nothing(theta)
        value, gradient = self._objective.value_and_gradient(theta)
        self.note(gradient)
        return value, gradient

    def linearize(self, theta: Array) -> MeteredPoint:
        """Return the loss at theta (..., n)."""
        if not self.pay(1.0):
            return MeteredPoint(self, None, *nothing(theta))
        point = self._objective.linearize(theta)
        self.note(point.gradient)
        return MeteredPoint(self, point, point.value, point.gradient)

    def note(self, gradient: Array) -> None:
        """Keep the squared norm of a gradient if it is the lowest so far."""
        squared = float(np.sum(gradient**2))
        if np.isfinite(squared) and (not self.lowest or squared < self.lowest[-1][2]):
            self.lowest.append((self.spent, self.seconds, squared))


@dataclass(frozen=True)
class MeteredPoint:
    """A point of a ``Meter``; NaN throughout if the budget was spent before."""

    meter: Meter
    point: Linearization | None
    value: Array
    gradient: Array

    def hvp(self, v: Array) -> Array:
        """Return H·v, shape (..., n)."""
        if self.point is None or not self.meter.pay(1.0):
            return np.full(v.shape, np.nan)
        return self.point.hvp(v)

    def hessian(self) -> Array:
        """Return the dense Hessian (..., n, n)."""
        if self.point is None or not self.meter.pay(self.meter.hessian_cost):
            return np.full((*self.gradient.shape, self.gradient.shape[-1]), np.nan)
        return self.point.hessian()


def search(
    finder: Callable[..., Trace], objective: NetworkObjective, start: Array, budget: int
) -> Arrays:
    """Return what is stored of one run.

    Parameters
    ----------
    finder : callable
        One of ``FINDERS``.
    objective : NetworkObjective
    start : array (n,)
    budget : int
        In products, see ``Meter``. A run also ends below the lowest of ``CUTOFFS``.
    """
    meter = Meter(objective, budget)
    # each iteration costs at least one product, so that this limit is never met
    trace = finder(
        meter,
        start,
        max_iterations=budget,
        squared_gradient_tolerance=float(np.nextafter(min(CUTOFFS), 0.0)),
    )
    seconds, spent = meter.seconds, meter.spent
    cost, when, lowest = np.array(meter.lowest).T
    known = np.searchsorted(cost, costs(budget), side="right") - 1
    below = np.searchsorted(-lowest, np.negative(CUTOFFS), side="right")
    # what a finder made of the NaN that it met says nothing
    reason = FinderStopReason.MAX_ITERATIONS if spent >= budget else trace.stop_reason
    fall, pace, step = late(
        trace.squared_gradient_norm, trace.step_size, np.asarray(trace.iterations)
    )
    found, eigenvalues, parts = look_at(objective, trace.theta[None], RTOL)
    return {
        "products": np.array(spent),
        "seconds": np.array(seconds),
        "spent": np.array(spent >= budget),
        "iterations": np.asarray(trace.iterations),
        "stop_reason": np.array(int(reason)),
        "start": trace.squared_gradient_norm[0],
        "lowest": lowest[-1],
        "lowest_by_cost": rounded(lowest[np.maximum(known, 0)]),
        "cutoff_cost": np.append(cost, np.nan)[below],
        "cutoff_seconds": np.append(when, np.nan)[below],
        "fall": fall,
        "pace": pace,
        "late_step": step,
        "share": within(eigenvalues, parts, SHARES)[0],
        **{name: found[name][0] for name in AT_END},
    }
