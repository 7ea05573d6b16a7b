"""Cooper 2020: the critical loci, the theorems on very wide networks, and who leaves the core."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ...arrays import Array
from ...runner.experiment import Configuration, Experiment, Read, setting
from ...runner.results import Measured, Results
from ...runner.store import Record, Store
from .locus_motion import CUTOFFS, DATA, LOCI, POINTS, RULES, cubic, escape, plane
from .locus_points import ACTIVATIONS, FINDERS, PARTS, STARTS, dimensions, found, minima, theorems
from .locus_tables import claims, counted

TASKS: dict[str, Callable[[Configuration], dict[str, Array]]] = dict(
    zip(PARTS, (dimensions, theorems, found, minima, escape, cubic, plane), strict=True)
)

LABELS = {
    "dimension": ("layers",),
    "theorem": (),
    "found": ("layers", "start", "finder"),
    "minimum": ("layers",),
    "escape": ("depth", "count", "rule"),
    "cubic": ("rule",),
    "plane": ("points", "locus"),
}
"""What a task's configuration adds to each of its rows."""

OTHER_DIMS = {
    "dimension_breaking": "block",
    "found_eigenvalues": "eigenvalue",
    "found_features": "feature",
    "found_extended": "extended_feature",
    "escape_start_loss": "start",
    "escape_steps": "start",
    "escape_end_loss": "start",
    "escape_end_distance": "start",
    "cubic_angle": "cubic_start",
    "cubic_steps": "cubic_start",
    "cubic_end_distance": "cubic_start",
    "plane_index": "cutoff",
    "plane_distance": "locus",
    "plane_matrix_norm": "matrix",
    "plane_slope": "hidden_layer",
}
"""The second dimension of the arrays that have one; the first is the part's name."""


@dataclass(frozen=True)
class CriticalLocus(Experiment):
    """Points of the star and core loci, found critical points, minima, and runs that leave."""

    name: ClassVar[str] = "critical_locus"
    quick: ClassVar[dict[str, Any]] = {
        "dimension_networks": ((2, 3, 4, 2), (3, 4, 3, 5, 2)),
        "growth_widths": (6, 8, 10),
        "points": 250,
        "failure_widths": (4, 8, 12),
        "runs": 5,
        "minima_per_network": 2,
        "starts": 6,
        "limit": 3000,
        "cubic_starts": 50,
        "plane_samples": 1000,
        "plane_points": 3,
        "search_distances": (1.0,),
        "search_runs": 2,
    }

    dimension_networks: tuple[tuple[int, ...], ...] = setting(
        (
            (2, 3, 4, 2),
            (3, 4, 3, 5, 2),
            (2, 9, 9, 9, 9, 1),
            (3, 6, 2, 6, 6, 3),
            (2, 5, 5, 5, 5, 5, 2),
        ),
        "chosen by us: depths 3 to 6, equal and unequal widths",
        at_least=1,
    )
    dimension_samples: int = setting(7, "chosen by us", at_least=2)
    growth_widths: tuple[int, ...] = setting(
        (6, 8, 10, 12, 14, 16), "chosen by us: above the 5 samples (§5)", at_least=1
    )
    points: int = setting(1500, "chosen by us: for Theorems 3.1 and 3.2", at_least=1)
    points_per_task: int = setting(250, "chosen by us", at_least=1)
    depths: tuple[int, ...] = setting((3, 4, 5, 6), "chosen by us: §3 asks for 3 or more")
    max_width: int = setting(8, "chosen by us", at_least=1)
    max_samples: int = setting(20, "chosen by us", at_least=2)
    wide_networks: tuple[tuple[int, ...], ...] = setting(
        ((2, 12, 2), (2, 10, 10, 2)), "chosen by us: wider than the samples are many (§5)"
    )
    wide_samples: int = setting(5, "chosen by us", at_least=2)
    activation: str = setting("swish", "Frye et al. 2021, A.1.2", choices=ACTIVATIONS)
    failure_widths: tuple[int, ...] = setting(
        (4, 6, 8, 10, 12, 14, 16, 18, 20), "chosen by us: of one hidden layer", at_least=1
    )
    runs: int = setting(20, "chosen by us: of a finder from starts of a kind", at_least=1)
    max_iterations: int = setting(200, "chosen by us")
    narrow_width: int = setting(2, "chosen by us: embedded in the wide networks", at_least=1)
    mild_network: tuple[int, ...] = setting(
        (3, 8, 8, 2), "chosen by us: more parameters than samples, but not very wide (§4)"
    )
    mild_samples: int = setting(12, "chosen by us", at_least=2)
    minima_per_network: int = setting(3, "chosen by us", at_least=1)
    epochs: int = setting(3000, "chosen by us: Levenberg-Marquardt does the rest", at_least=1)
    minima_rate: float = setting(0.1, "Frye et al. 2021, A.2", above=0.0)
    escape_width: int = setting(4, "chosen by us: of the hidden layers", at_least=1)
    escape_samples: int = setting(20, "chosen by us", at_least=2)
    escape_activation: str = setting("tanh", "chosen by us", choices=("tanh", "swish", "linear"))
    counts: tuple[int, ...] = setting((1, 2, 3), "the star locus, the core, the 3-core", at_least=1)
    rules: tuple[str, ...] = setting(tuple(RULES), "chosen by us", choices=tuple(RULES))
    distances: tuple[float, ...] = setting(
        (1.0, 0.3, 0.1, 0.03, 0.01), "chosen by us: from the locus", above=0.0
    )
    starts: int = setting(12, "chosen by us: at each distance", at_least=1)
    rate: float = setting(0.05, "chosen by us", above=0.0)
    limit: int = setting(200_000, "chosen by us: steps until a run is given up", at_least=1)
    cubic_starts: int = setting(100, "chosen by us: at each distance", at_least=1)
    data: str = setting("digits", "Frye et al. 2021, Fig. 3", choices=tuple(DATA))
    plane_samples: int = setting(10_000, "Frye et al. 2021, A.1", at_least=100)
    plane_points: int = setting(9, "chosen by us: of each kind", at_least=1)
    search_distances: tuple[float, ...] = setting(
        (1.0, 3.0), "chosen by us: of Newton-MR's starts from a locus", above=0.0
    )
    search_runs: int = setting(8, "chosen by us: of Newton-MR's starts from training", at_least=1)
    search_iterations: int = setting(60, "chosen by us: enough near the loci", at_least=1)
    seed: int = setting(0, "chosen by us")

    def check(self) -> None:
        """Raise a ValueError if a network or a depth does not have the layers it needs."""
        for name, least in (("dimension_networks", 3), ("wide_networks", 3)):
            for layers in getattr(self, name):
                if len(layers) < least or len(layers) > 7:
                    raise ValueError(f"each of {name} must have 3 to 7 sizes, not {layers}")
        if any(not 3 <= depth <= 6 for depth in self.depths):
            raise ValueError(f"depths must be between 3 and 6, not {self.depths}")
        if any(layers[-2] <= self.wide_samples for layers in self.wide_networks):
            raise ValueError(f"wide_networks must be wider than {self.wide_samples} samples")

    def stages(self) -> list[list[dict[str, Any]]]:
        """Return all tasks, which are independent, the long ones first."""
        makers = (
            self._escape_tasks,
            self._plane_tasks,
            self._found_tasks,
            self._minimum_tasks,
            self._theorem_tasks,
            self._dimension_tasks,
            self._cubic_tasks,
        )
        tasks = []
        for make in makers:
            tasks += [
                {**task, "number": number, "seed": self.seed}
                for number, task in enumerate(make(), start=1)
            ]
        return [tasks]

    def _dimension_tasks(self) -> list[dict[str, Any]]:
        networks = [*self.dimension_networks, *self._growth_networks()]
        shared = {"part": "dimension", "samples": self.dimension_samples}
        return [{**shared, "layers": layers} for layers in networks]

    def _growth_networks(self) -> list[tuple[int, ...]]:
        return [(2, width, width, width, 2) for width in self.growth_widths]

    def _theorem_tasks(self) -> list[dict[str, Any]]:
        shared = {"part": "theorem"}
        shared |= {name: getattr(self, name) for name in ("depths", "max_width", "max_samples")}
        sizes = [
            min(self.points_per_task, self.points - first)
            for first in range(0, self.points, self.points_per_task)
        ]
        return [{**shared, "points": size} for size in sizes]

    def _found_tasks(self) -> list[dict[str, Any]]:
        shared = {"part": "found", "samples": self.wide_samples}
        names = ("activation", "runs", "max_iterations", "narrow_width")
        shared |= {name: getattr(self, name) for name in names}
        tasks = [
            {**shared, "layers": layers, "start": start, "finder": finder}
            for layers in self.wide_networks
            for start in STARTS
            for finder in FINDERS
            if start != "core" or len(layers) > 3
        ]
        star = {**shared, "start": "star", "finder": "levenberg_marquardt", "runs": 3}
        return tasks + [{**star, "layers": (2, width, 2)} for width in self.failure_widths]

    def _minimum_tasks(self) -> list[dict[str, Any]]:
        shared = {"part": "minimum", "rate": self.minima_rate, "activation": self.activation}
        shared |= {name: getattr(self, name) for name in ("minima_per_network", "epochs")}
        networks = [*self.wide_networks, *self._growth_networks()]
        tasks = [{**shared, "layers": one, "samples": self.wide_samples} for one in networks]
        return [*tasks, {**shared, "layers": self.mild_network, "samples": self.mild_samples}]

    def _escape_tasks(self) -> list[dict[str, Any]]:
        shared = {"part": "escape", "width": self.escape_width, "samples": self.escape_samples}
        shared |= {name: getattr(self, name) for name in ("distances", "starts", "rate", "limit")}
        shared["activation"] = self.escape_activation
        return [
            {**shared, "depth": depth, "count": count, "rule": rule}
            for count in sorted(self.counts, reverse=True)
            for depth in sorted(self.depths, reverse=True)
            for rule in self.rules
            if count < depth
        ]

    def _cubic_tasks(self) -> list[dict[str, Any]]:
        names = ("distances", "cubic_starts", "rate", "limit")
        shared = {name: getattr(self, name) for name in names}
        return [{"part": "cubic", "rule": rule, **shared} for rule in self.rules]

    def _plane_tasks(self) -> list[dict[str, Any]]:
        shared = {"part": "plane", "data": self.data, "plane_samples": self.plane_samples}
        exact = {**shared, "locus": "", "size": self.plane_points}
        search = {**shared, "max_iterations": self.search_iterations, "size": 1}
        trained = {**search, "points": "trained", "locus": ""}
        near = [
            {**search, "points": "found", "locus": name, "distance": distance}
            for distance in self.search_distances
            for name in LOCI
        ]
        return [
            *[trained] * self.search_runs,
            *near,
            *[{**exact, "points": points} for points in POINTS],
        ]

    @staticmethod
    def compute(configuration: Configuration, read: Read) -> dict[str, Array]:
        """Compute the rows of one part's table that a task stands for."""
        return TASKS[configuration["part"]](configuration)

    @staticmethod
    def binding(arrays: dict[str, Array]) -> dict[str, Array]:
        """Return the starts of what is searched for or trained, else what is counted."""
        for chaotic in ("theta_start", "start_loss", "angle"):
            if chaotic in arrays:
                return {chaotic: arrays[chaotic]}
        # whether Newton's method finds the manifold around a point may hang on rounding
        counts = arrays.keys() - {"around"}
        return {name: arrays[name] for name in counts if arrays[name].dtype.kind != "f"}

    @staticmethod
    def distributions(arrays: dict[str, Array]) -> dict[str, Array]:
        """Return the steps that runs took to leave, and where searches and training ended."""
        if "steps" in arrays:
            return {"steps": np.nan_to_num(arrays["steps"], nan=1e9).ravel()}
        if "walk_loss_change" in arrays:
            return {"loss": arrays["loss"]}
        return {name: arrays[name] for name in ("trained_loss",) if name in arrays}

    def gather(self, records: Sequence[Record]) -> Results:
        """Return the tables, one for each part: its name is their dimension and their prefix."""
        arrays, dims = {}, {}
        for part in PARTS:
            own = [record for record in records if record.configuration["part"] == part]
            for name in own[0].arrays.keys() - {"theta_start"}:
                key = f"{part}_{name}"
                arrays[key] = _joined([record.arrays[name] for record in own])
                dims[key] = (part, OTHER_DIMS[key]) if key in OTHER_DIMS else (part,)
            for name in LABELS[part]:
                labels = [_label(record.configuration[name]) for record in own]
                rows = [len(next(iter(record.arrays.values()))) for record in own]
                arrays[f"{part}_{name}"] = np.repeat(labels, rows)
                dims[f"{part}_{name}"] = (part,)
        for name, array in counted(arrays).items():
            arrays[f"found_{name}"], dims[f"found_{name}"] = array, ("found",)
        blocks = [f"{letter}_{layer}" for letter in "Mb" for layer in range(1, 7)]
        return Results(arrays, dims, {"block": blocks, "cutoff": CUTOFFS, "locus": tuple(LOCI)})

    def claims(self, results: Results, store: Store | None = None) -> dict[str, Measured]:
        """Return the claims of Cooper 2020."""
        return claims(results)


def _label(value: Any) -> Any:
    """Return layers as "2-8-2", everything else as it is."""
    return "-".join(map(str, value)) if isinstance(value, list) else value


def _joined(parts: Sequence[Array]) -> Array:
    """Return arrays (rows, …) one under the other, the shorter rows filled with NaN."""
    if len({part.shape[1:] for part in parts}) == 1:
        return np.concatenate(parts)
    width = max(part.shape[1] for part in parts)
    return np.concatenate(
        [np.pad(p, ((0, 0), (0, width - p.shape[1])), constant_values=np.nan) for p in parts]
    )
