"""Cooper 2020: the critical loci, the theorems on very wide networks, and who leaves the core."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ...runner.experiment import Arrays
from ...runner.results import Measured, Results
from ...runner.store import Record, Store, Task
from .locus_examples import examples
from .locus_lemmas import lemma, lemmas, no_isolated
from .locus_motion import CUTOFFS, LOCI, POINTS, cubic, escape, plane
from .locus_points import FINDERS, STARTS, UNCLEAR, dimension, found, minimum, theorem
from .locus_settings import LocusSettings
from .locus_tables import claims, counted, table


class Part(NamedTuple):
    """What the tasks of a part have in common.

    ``settings`` are the names of the settings that play a part, by their names in a configuration;
    ``labels`` are those of what differs between the tasks that are written into each row.
    """

    compute: Callable[..., Arrays]
    settings: dict[str, str]
    labels: tuple[str, ...] = ()


def _named(*names: str, **others: str) -> dict[str, str]:
    return {**{name: name for name in names}, **others}


PARTS = {
    "escape": Part(
        escape,
        _named("distances", "starts", "rate", "limit")
        | {"width": "escape_width", "samples": "escape_samples", "activation": "escape_activation"},
        ("depth", "count", "rule"),
    ),
    "plane": Part(plane, _named("data", "plane_samples"), ("points", "locus")),
    "found": Part(
        found,
        _named("activation", "max_iterations", "narrow_width", samples="wide_samples"),
        ("layers", "start", "finder"),
    ),
    "minimum": Part(
        minimum,
        _named("activation", "minima_per_network", "epochs", rate="minima_rate"),
        ("layers",),
    ),
    "theorem": Part(theorem, _named("depths", "max_width", "max_samples")),
    "dimension": Part(dimension, _named(samples="dimension_samples"), ("layers",)),
    "cubic": Part(cubic, _named("distances", "cubic_starts", "rate", "limit"), ("rule",)),
    "lemma": Part(lemma, _named("lemma_depths", "lemma_samples")),
}
"""The parts by name, the long ones first."""

DIMS = {
    "dimension_breaking": ("block",),
    "found_eigenvalues": ("eigenvalue",),
    "found_features": ("feature",),
    "found_extended": ("extended_feature",),
    "plane_index": ("cutoff",),
    "plane_distance": ("locus",),
    "plane_matrix_norm": ("matrix",),
    "plane_slope": ("hidden_layer",),
    **{f"escape_{x}": ("start",) for x in ("start_loss", "steps", "end_loss", "end_distance")},
    **{f"cubic_{x}": ("cubic_start",) for x in ("angle", "steps", "end_distance")},
}
"""The second dimension of the arrays that have one; the first is the part's name."""

BLOCKS = tuple(f"{letter}_{layer}" for letter in "Mb" for layer in range(1, 7))


@dataclass(frozen=True)
class CriticalLocus(LocusSettings):
    """Points of the star and core loci, found critical points, minima, and runs that leave."""

    name: ClassVar[str] = "critical_locus"
    schema_version: ClassVar[int] = 2
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
        "lemma_networks": 100,
    }

    def varied(self) -> dict[str, list[dict[str, Any]]]:
        """Return what differs between the tasks of each part, in their order."""
        grown = [(2, width, width, width, 2) for width in self.growth_widths]
        search = {"size": 1, "max_iterations": self.search_iterations}
        star = {"start": "star", "finder": "levenberg_marquardt", "runs": 3}
        wide = [(layers, self.wide_samples) for layers in (*self.wide_networks, *grown)]
        firsts = range(0, self.points, self.points_per_task)
        return {
            "escape": [
                {"depth": depth, "count": count, "rule": rule}
                for count in sorted(self.counts, reverse=True)
                for depth in sorted(self.depths, reverse=True)
                for rule in self.rules
                if count < depth
            ],
            "plane": [{"points": "trained", "locus": "", **search}] * self.search_runs
            + [
                {"points": "found", "locus": name, "distance": distance, **search}
                for distance in self.search_distances
                for name in LOCI
            ]
            + [{"points": name, "locus": "", "size": self.plane_points} for name in POINTS],
            "found": [
                {"layers": layers, "start": start, "finder": finder, "runs": self.runs}
                for layers in self.wide_networks
                for start in STARTS
                for finder in FINDERS
                if start != "core" or len(layers) > 3
            ]
            + [{"layers": (2, width, 2), **star} for width in self.failure_widths],
            "minimum": [
                {"layers": layers, "samples": samples}
                for layers, samples in (*wide, (self.mild_network, self.mild_samples))
            ],
            "theorem": [{"points": min(self.points_per_task, self.points - i)} for i in firsts],
            "dimension": [{"layers": layers} for layers in (*self.dimension_networks, *grown)],
            "cubic": [{"rule": rule} for rule in self.rules],
            "lemma": [{"networks": self.lemma_networks}],
        }

    def stages(self) -> list[list[Task]]:
        """Return all tasks, which are independent, the long ones first."""
        tasks = []
        for name, varied in self.varied().items():
            part = PARTS[name]
            shared = {key: getattr(self, setting) for key, setting in part.settings.items()}
            shared |= {"part": name, "seed": self.seed}
            for number, own in enumerate(varied, start=1):
                compute = partial(part.compute, self, number, **own)
                tasks.append(self.task(compute, number=number, **shared, **own))
        return [tasks]

    @staticmethod
    def binding(arrays: Arrays) -> Arrays:
        """Return the starts of what is searched for or trained, else what is counted."""
        for chaotic in ("theta_start", "start_loss", "angle"):
            if chaotic in arrays:
                return {chaotic: arrays[chaotic]}
        # whether Newton's method finds the manifold around a point may hang on rounding
        counts = arrays.keys() - {"around"}
        return {name: arrays[name] for name in counts if arrays[name].dtype.kind != "f"}

    @staticmethod
    def distributions(arrays: Arrays) -> Arrays:
        """Return the steps that runs took to leave, and where searches and training ended."""
        if "steps" in arrays:
            return {"steps": arrays["steps"].ravel()}
        for name in ("trained_loss", "walk_loss_change"):  # those that have it have a loss
            if name in arrays:
                loss = arrays["loss" if name == "walk_loss_change" else name]
                return {"loss": np.log10(np.maximum(loss, 1e-12))}  # below that is rounding
        return {}

    def gather(self, records: Sequence[Record]) -> Results:
        """Return the tables, one for each part: its name is their dimension and their prefix."""
        results = Results({}, {}, {"block": BLOCKS, "cutoff": CUTOFFS, "locus": tuple(LOCI)})
        remaining = iter(records)
        for part, varied in self.varied().items():
            tables = []
            for own in varied:
                record = next(remaining)
                arrays = {f"{part}_{name}": array for name, array in record.arrays.items()}
                length = len(next(iter(arrays.values())))
                for name in PARTS[part].labels:
                    label = "-".join(map(str, own[name])) if name == "layers" else own[name]
                    arrays[f"{part}_{name}"] = np.repeat(label, length)
                tables.append(Results.of(arrays, DIMS, part))
            results |= Results.joined(tables)
        counts = {f"found_{name}": array for name, array in counted(results).items()}
        return results | Results.of(counts, {}, "found")

    def claims(self, results: Results, store: Store | None = None) -> dict[str, Measured]:
        """Return the claims of Cooper 2020."""
        found, minima = table(results, "found"), table(results, "minimum")
        rank = np.sum(results["found_extended"] > UNCLEAR[0], axis=1)
        rows = [table(results, name) for name in ("lemma", "theorem", "dimension")]
        return claims(results) | lemmas(*rows) | no_isolated(found, minima, rank) | examples()
