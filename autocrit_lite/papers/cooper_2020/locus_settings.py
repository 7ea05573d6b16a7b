"""The settings of ``critical_locus``, and what they name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from ...arrays import Array
from ...datasets.digits import small_digits
from ...datasets.gaussian import gaussian
from ...runner.experiment import Experiment, setting
from ...training.optimizers import GradientDescent, NoisySGD, PerturbedGradientDescent, Rule

STREAMS = ("dimension", "theorem", "found", "minimum", "escape", "cubic", "plane", "lemma")
"""The parts, in the order by which a seed's random numbers are split; then by task number."""

ACTIVATIONS = ("linear", "swish", "tanh", "relu")
"""Those with σ(0) = 0."""


RULES: dict[str, Callable[[float], Rule]] = {
    "plain": GradientDescent,
    "noisy": partial(NoisySGD, noise=0.1),
    "perturbed": PerturbedGradientDescent,
}
"""Gradient descent plain, with noise in every step, and with steps aside where ‖g‖ is small.

The noise and the steps aside are chosen by us, well below the larger of the distances.
"""


def _gaussian(rng: np.random.Generator, n_samples: int) -> Array:
    X = gaussian(rng, n_samples)
    return X / X.std(axis=0)


DATA: dict[str, Callable[[np.random.Generator, int], Array]] = {
    "digits": lambda rng, n_samples: small_digits(n_samples=n_samples)[0],
    "gaussian": _gaussian,
}
"""Inputs (n_samples, 16) with mean 0 and variance 1, which are the targets too, by name: the images
of Fig. 3, of which nothing is random, and Gaussian samples to compare with."""


@dataclass(frozen=True)
class LocusSettings(Experiment):
    """The numbers that decide the results, and the random generators that they mean."""

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
    lemma_networks: int = setting(500, "chosen by us: for Lemma 3.3 and §5", at_least=1)
    lemma_depths: tuple[int, ...] = setting(
        (2, 3, 4), "chosen by us: §5 asks for a hidden layer", at_least=2
    )
    lemma_samples: int = setting(6, "chosen by us: at most, with as many features", at_least=3)
    seed: int = setting(0, "chosen by us")

    def check(self) -> None:
        """Raise a ValueError if a network or a depth does not have the layers it needs."""
        for name in ("dimension_networks", "wide_networks"):
            for layers in getattr(self, name):
                if not 3 <= len(layers) <= 7:
                    raise ValueError(f"each of {name} must have 3 to 7 sizes, not {layers}")
        if any(not 3 <= depth <= 6 for depth in self.depths):
            raise ValueError(f"depths must be between 3 and 6, not {self.depths}")
        if any(layers[-2] <= self.wide_samples for layers in self.wide_networks):
            raise ValueError(f"wide_networks must be wider than {self.wide_samples} samples")

    def generator(self, part: str, *key: int) -> np.random.Generator:
        """Return a task's random generator, by its number, or one that a part's tasks share."""
        sequence = np.random.SeedSequence(self.seed, spawn_key=(STREAMS.index(part), *key))
        return np.random.default_rng(sequence)
