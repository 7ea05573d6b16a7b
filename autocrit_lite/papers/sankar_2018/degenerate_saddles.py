"""Sankar & Balasubramanian 2018, Tables 1 to 9 and Figs 2 and 3: where training ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ...arrays import Array
from ...datasets.own import checksum
from ...devices import DEVICES
from ...networks.mlp import MLP
from ...points.flat_directions import SIGNS, SOURCES, counts, most_negative
from ...runner.experiment import Configuration, Experiment, Read, setting
from ...runner.results import FIRST_BITS, Measured, Results, rounded
from ...runner.store import Record, Store, canonical
from .claims import tables_and_figures
from .digit_spectra import LAWS, TOLERANCES, course, nearest_laws, peak_memory, spectrum
from .digits_training import train_network


class Row(NamedTuple):
    """A row of a table, as it differs from the first one: Nesterov momentum on 784-25-10.

    ``hidden`` holds the widths of the hidden layers as multiples of the setting, ``rate`` and
    ``batch`` are likewise multiples; ``data`` is one of ``DATA``, or None for the setting
    ``images``.
    """

    method: str = "momentum"
    initialization: str = "normal"
    hidden: tuple[int, ...] = (1,)
    data: str | None = None
    precision: str = "double"
    spectrum: bool = True
    rate: float = 1.0
    batch: int = 1


ROWS = {
    "momentum": Row(),  # Tables 1 and 3, "normal" of Table 7
    "Adam": Row("Adam"),
    "Adagrad": Row("Adagrad"),
    "noisy SGD": Row("noisy SGD"),
    "saddle-free Newton": Row("saddle-free Newton"),
    "He": Row(initialization="he"),
    "Xavier": Row(initialization="xavier"),
    "orthogonal": Row(initialization="orthogonal"),
    "2 hidden layers": Row(hidden=(1, 1)),
    "3 hidden layers": Row(hidden=(1, 1, 1)),
    "width × 2": Row(hidden=(2,), spectrum=False),
    "width × 4": Row(hidden=(4,), spectrum=False),
    "width × 10": Row(hidden=(10,), spectrum=False),
    # controls, chosen by us
    "single precision": Row(precision="single"),
    "training images": Row(data="train"),
    "random split": Row(data="split"),
    "all images": Row(data="all"),
    "cropped": Row(data="cropped"),
    "jittered": Row(data="jittered"),
    "rate × 10": Row(rate=10.0),
    "batch × 10": Row(batch=10),
}
"""The rows by name."""

FEATURE_ROWS = tuple(name for name, row in ROWS.items() if row.data is None)
"""Those that features of another data set can have."""


@dataclass(frozen=True)
class DegenerateSaddles(Experiment):
    """Networks trained to the paper's stopping rule, and the spectra of their Hessians there."""

    name: ClassVar[str] = "degenerate_saddles"
    quick: ClassVar[dict[str, Any]] = {
        "n_train": 2000,
        "n_test": 1000,
        "size": 14,
        "hidden": 5,
        "autoencoder_hidden": 3,
        "krylov_dimension": 10,
        "autoencoder_stop": 1e-4,
        "batch_size": 20,
        "max_epochs": 15,
        "course_size": 10,
        "course_hidden": 4,
        "course_epochs": 10,
    }

    rows: tuple[str, ...] = setting(
        tuple(ROWS), "Tables 1 to 9, and controls chosen by us", choices=tuple(ROWS)
    )
    trials: int = setting(2, "chosen by us: 8 in section 3, each takes minutes here", at_least=1)
    features: str = setting("", "an .npz file of yours in place of MNIST; none")
    images: str = setting(
        "centred split",
        "the paper's public code; its text does not say",
        choices=("train", "split", "centred split", "all"),
    )
    n_train: int = setting(60_000, "section 3", at_least=2)
    n_test: int = setting(10_000, "section 3", at_least=1)
    size: int = setting(28, "section 3: pixels along a side", at_least=2)
    hidden: int = setting(25, "section 3", at_least=1)
    autoencoder_hidden: int = setting(10, "section 5", at_least=1)
    autoencoder_activation: str = setting(
        "sigmoid", "chosen by us (not stated)", choices=("sigmoid", "tanh", "relu")
    )
    stop: float = setting(1e-3, "section 3: 10e-4, from one epoch to the next", above=0.0)
    autoencoder_stop: float = setting(
        1e-5,
        "chosen by us: 10e-4 in section 5, of an error whose scale is not stated; on the mean "
        "squared error of pixels that would end training on its first plateau",
        above=0.0,
    )
    max_epochs: int = setting(
        200, "chosen by us, so that the rule above ends all trainings", at_least=1
    )
    batch_size: int = setting(
        100, "chosen by us (not stated; 128 in the authors' public code)", at_least=1
    )
    momentum: float = setting(0.9, "section 3", at_least=0.0, below=1.0)
    momentum_rate: float = setting(
        0.01,
        "chosen by us (not stated); the row “rate × 10” has the default of the library in the "
        "paper's public code",
        above=0.0,
    )
    adam_rate: float = setting(1e-3, "chosen by us: Kingma & Ba 2015", above=0.0)
    adagrad_rate: float = setting(0.01, "chosen by us (not stated)", above=0.0)
    noisy_rate: float = setting(0.1, "chosen by us (not stated)", above=0.0)
    noise: float = setting(
        0.08,
        "chosen by us: the length of 19,885 numbers from −0.001 to 0.001, as in the public code",
        at_least=0.0,
    )
    krylov_dimension: int = setting(
        20, "chosen by us: 500 in Dauphin et al. 2014 would take minutes for a step", at_least=1
    )
    crop: int = setting(20, "chosen by us: pixels along a side that remain of 28", at_least=2)
    jitter: float = setting(0.1, "chosen by us: standard deviation; pixels are in [0, 1]")
    course_size: int = setting(14, 'chosen by us ("a much smaller network", section 5)', at_least=2)
    course_hidden: int = setting(10, "chosen by us, as above", at_least=1)
    course_epochs: int = setting(30, "chosen by us, as above", at_least=1)
    seed: int = setting(0, "chosen by us: of weights, batches, noise, splits and jitter")
    device: str = setting(
        "cpu",
        'chosen by us; on "gpu" full spectra are computed: its memory must hold four Hessians',
        choices=DEVICES,
    )

    def check(self) -> None:
        """Raise a ValueError if rows are missing or repeated, or features cannot have them."""
        if not self.rows or len(set(self.rows)) < len(self.rows):
            raise ValueError(f"rows must be one or more different names, not {self.rows}")
        controls = [name for name in self.rows if name not in FEATURE_ROWS]
        if self.features and controls:
            raise ValueError(f"rows must not hold {controls} with features: they are of images")
        if not self.features and max(self.size, self.course_size) > 28:
            raise ValueError("size and course_size must be at most 28, as MNIST's images are")
        if self.crop > 28:
            raise ValueError(f"crop must be at most 28, not {self.crop}")

    def data(self, name: str | None, trial: int, size: int) -> dict[str, Any]:
        """Return the configuration of a data set."""
        if self.features:
            path = self.features
            return {"name": "features", "path": path, "sha256": checksum("features", path)}
        name = self.images if name is None else name
        own: dict[str, Any] = {"n_train": self.n_train, "n_test": self.n_test, "size": size}
        if name == "cropped":
            own["crop"] = self.crop
        if name == "jittered":
            own["jitter"] = self.jitter
        if name in ("split", "centred split", "jittered"):
            own |= {"seed": self.seed, "trial": trial}
        return {"name": name, **own}

    def training(self, row: Row, trial: int) -> dict[str, Any]:
        """Return the configuration of a training."""
        options: dict[str, dict[str, Any]] = {
            "momentum": {"rate": row.rate * self.momentum_rate, "momentum": self.momentum},
            "Adam": {"rate": row.rate * self.adam_rate},
            "Adagrad": {"rate": row.rate * self.adagrad_rate},
            "noisy SGD": {"rate": row.rate * self.noisy_rate, "noise": self.noise},
            "saddle-free Newton": {"krylov_dimension": self.krylov_dimension},
        }
        autoencoder = row.method == "saddle-free Newton"
        width = self.autoencoder_hidden if autoencoder else self.hidden
        return {
            "stage": "train",
            "data": self.data(row.data, trial, self.size),
            "method": row.method,
            "options": options[row.method],
            "batch_size": None if autoencoder else row.batch * self.batch_size,
            "activation": self.autoencoder_activation if autoencoder else "relu",
            "initialization": row.initialization,
            "hidden": [width * times for times in row.hidden],
            "keep_theta": row.spectrum,
            "stop": self.autoencoder_stop if autoencoder else self.stop,
            "max_epochs": self.max_epochs,
            "seed": self.seed,
            "trial": trial,
        }

    def course(self, trial: int) -> dict[str, Any]:
        """Return the configuration of a small network's training."""
        return {
            **self.training(Row(), trial),
            "stage": "course",
            "data": self.data(None, trial, self.course_size),
            "hidden": [self.course_hidden],
            "max_epochs": self.course_epochs,
        }

    def stages(self) -> list[list[dict[str, Any]]]:
        """Return the trainings, each once, then the courses and the spectra.

        All rows of a trial come before the next trial, so that a run that is stopped early leaves
        whole trials: with ``trials`` set to their number they can be looked at.
        """
        trainings: list[dict[str, Any]] = []
        later = []
        for trial in range(self.trials):
            rows = [ROWS[name] for name in self.rows]
            for row in rows:
                if self.training(row, trial) not in trainings:
                    trainings.append(self.training(row, trial))
            later.append(self.course(trial))
            later += [self.spectrum(row, trial) for row in rows if row.spectrum]
        return [trainings, later]

    def spectrum(self, row: Row, trial: int) -> dict[str, Any]:
        """Return the configuration of a spectrum."""
        return {
            "stage": "spectrum",
            "train": self.training(row, trial),
            "precision": row.precision,
            **({} if self.device == "cpu" else {"device": self.device}),
        }

    @staticmethod
    def compute(configuration: Configuration, read: Read) -> dict[str, Array]:
        """Train, or compute a spectrum, or a course of spectra."""
        if configuration["stage"] == "train":
            trained = train_network(configuration)
            theta = trained.pop("theta")
            trained["n_parameters"] = np.array(len(theta))
            if configuration["keep_theta"]:  # to the precision of the public code
                trained["theta"] = rounded(theta, FIRST_BITS)
            return trained
        if configuration["stage"] == "course":
            passed = course(configuration)
            return {**passed, "eigenvalues": rounded(passed["eigenvalues"])}
        theta = read(configuration["train"])["theta"]
        device = configuration.get("device", "cpu")
        found = spectrum(configuration["train"], theta, configuration["precision"], device)
        return {
            **found,
            "eigenvalues": rounded(found["eigenvalues"], FIRST_BITS),
            "peak_memory": np.array(peak_memory()),
        }

    @staticmethod
    def binding(arrays: dict[str, Array]) -> dict[str, Array]:
        """Return the first losses of a training, or a spectrum: training amplifies rounding."""
        names = ("first_losses",) if "first_losses" in arrays else ("eigenvalues", "sources")
        return {name: arrays[name] for name in names}

    def gather(self, records: Sequence[Record]) -> Results:
        """Return the numbers of all rows and trials; NaN where a row has none of a kind."""
        found = {
            canonical(record.configuration): {
                **record.arrays,
                "seconds": np.array(float(record.header["seconds"])),
            }
            for record in records
        }
        arrays: dict[str, Array] = {}
        dims: dict[str, tuple[str, ...]] = {}

        def add(name: str, values: Sequence[Sequence[Array]], tail: tuple[str, ...]) -> None:
            arrays[name], dims[name] = stacked(values), ("row", "trial", *tail)

        cases = [[(ROWS[name], trial) for trial in range(self.trials)] for name in self.rows]
        trained = [[found[canonical(self.training(*case))] for case in row] for row in cases]
        for name, tail in TRAINED_DIMS.items():
            add(name, [[own[name] for own in row] for row in trained], tail)
        dims_of_none = {**SPECTRUM_DIMS, "seconds": ()}
        nothing = {name: np.full((0,) * len(tail), np.nan) for name, tail in dims_of_none.items()}
        spectra = [
            [
                described(found[canonical(self.spectrum(*case))]) if case[0].spectrum else nothing
                for case in row
            ]
            for row in cases
        ]
        for name, tail in SPECTRUM_DIMS.items():
            add(name, [[own[name] for own in row] for row in spectra], tail)
        for name, tasks in (("train", trained), ("spectrum", spectra)):
            add(f"{name}_seconds", [[own["seconds"] for own in row] for row in tasks], ())
        arrays["most_negative"] = np.array([self.most_negative(ROWS[name]) for name in self.rows])
        dims["most_negative"] = ("row",)
        courses = [found[canonical(self.course(trial))] for trial in range(self.trials)]
        for name, tail in COURSE_DIMS.items():
            arrays[f"course_{name}"] = np.stack([own[name] for own in courses])
            dims[f"course_{name}"] = ("trial", *tail)
        return Results(
            arrays,
            dims,
            {
                "row": self.rows,
                "tolerance": TOLERANCES,
                "sign": SIGNS,
                "source": SOURCES,
                "law": LAWS,
            },
        )

    def most_negative(self, row: Row) -> float:
        """Return how many eigenvalues of a row's Hessian can be negative at most, NaN if unknown.

        Those that the first layer's convexity leaves: it has the most parameters, and how many
        inputs there are plays no part.
        """
        training = self.training(row, 0)
        if training["activation"] != "relu":
            return np.nan
        wide = max(training["hidden"]) ** 2 + 100
        return float(most_negative(MLP((wide, *training["hidden"], 10), activation="relu")))

    def claims(self, results: Results, store: Store | None = None) -> dict[str, Measured]:
        """Return what the results say on Tables 1 to 9 and Figs 2 and 3, if they are of MNIST."""
        return {} if self.features else tables_and_figures(results)


TRAINED_DIMS: dict[str, tuple[str, ...]] = {
    "n_parameters": (),
    "accuracy": (),
    "stopped": (),
    "loss": ("epoch",),
    "error": ("epoch",),
}
SPECTRUM_DIMS: dict[str, tuple[str, ...]] = {
    "eigenvalues": ("eigenvalue",),
    "zero_rows": (),
    "counts": ("tolerance", "sign"),
    "sources": ("source",),
    "rescaled": ("tolerance",),
    "rest": ("tolerance",),
    "forced": ("tolerance",),
    "gradient_norm": (),
    "distance": ("law",),
    "peak_memory": (),
}
COURSE_DIMS: dict[str, tuple[str, ...]] = {
    "epoch": ("point",),
    "loss": ("point",),
    "error": ("point",),
    "eigenvalues": ("point", "course_eigenvalue"),
    "known_zeros": ("point",),
}


def described(found: dict[str, Array]) -> dict[str, Array]:
    """Return a spectrum with its counts by tolerance and what is left unexplained of its zeros.

    ``rest`` is what is measured: the zeros at a tolerance, less the rank of the null vectors, less
    the rescalings that are null directions to that tolerance.
    """
    tolerances = np.array(TOLERANCES)
    counted = counts(found["eigenvalues"], tolerances, int(found["zero_rows"]))
    rescaled = np.searchsorted(found["rescaling"], tolerances, side="right")
    try:
        distance = nearest_laws(found["eigenvalues"])[1]
    except ValueError:  # all are zero
        distance = np.full(len(LAWS), np.nan)
    return {
        **found,
        "counts": counted,
        "rescaled": rescaled,
        "rest": counted[:, 1] - found["sources"].sum() - rescaled,
        "distance": distance,
    }


def stacked(values: Sequence[Sequence[Array]]) -> Array:
    """Return arrays of one number of dimensions as one, NaN after the shorter ones.

    Where there is none at all an empty array stands for it.
    """
    shapes = [array.shape for row in values for array in row]
    shape = tuple(max(sizes) for sizes in zip(*shapes, strict=True))
    whole = np.full((len(values), len(values[0]), *shape), np.nan)
    for r, row in enumerate(values):
        for t, array in enumerate(row):
            here: tuple[Any, ...] = (r, t, *(slice(size) for size in array.shape))
            whole[here] = array
    return whole
