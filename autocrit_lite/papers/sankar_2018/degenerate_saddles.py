"""Sankar & Balasubramanian 2018, Tables 1 to 9 and Figs 2 and 3: where training ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any, ClassVar

import numpy as np

from ...checks import different
from ...datasets.own import checksum
from ...devices import DEVICES
from ...networks.mlp import MLP
from ...points.flat_directions import SIGNS, SOURCES, counts, most_negative
from ...runner.experiment import Arrays, Experiment, setting
from ...runner.results import Measured, Results
from ...runner.store import Record, Store, Task
from .claims import tables_and_figures
from .definitions import definitions
from .digit_spectra import LAWS, TOLERANCES, course, nearest_laws, signs, spectrum
from .digits_training import N_CLASSES, Features, Images, Training, train
from .rows import CLASSIFIER_LOSSES, FEATURE_ROWS, METHODS, ROWS, Row

DIMS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("loss", "error"), ("epoch",)),
    "eigenvalues": ("eigenvalue",),
    "counts": ("tolerance", "sign"),
    "sources": ("source",),
    **dict.fromkeys(("rescaled", "rest", "forced"), ("tolerance",)),
    "distance": ("law",),
    **{f"course_{name}": ("point",) for name in ("epoch", "loss", "error", "known_zeros")},
    "course_eigenvalues": ("point", "course_eigenvalue"),
    "library_signs": ("sign",),
    "small_signs": ("sign",),
}
"""The dimensions that arrays have beyond row and trial."""

LABELS = {"tolerance": TOLERANCES, "sign": SIGNS, "source": SOURCES, "law": LAWS}


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
        "library_trials": 1,
        "small_trials": 2,
    }

    of_machine: ClassVar[tuple[str, ...]] = ("peak_memory",)

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
    library_methods: tuple[str, ...] = setting(
        (),
        "Tables 1 and 5 have all four; of those here the paper's network is trained to the squared "
        "error, too. None is archived: each takes a quarter of an hour of one core",
        choices=METHODS,
    )
    library_trials: int = setting(1, "chosen by us: 8 in section 3", at_least=1)
    small_trials: int = setting(
        2, "chosen by us: so many are archived, of 8 in section 3", at_least=1
    )
    library_rate: float = setting(
        0.1, "the default of the library in the paper's public code, of momentum too", above=0.0
    )
    library_batch_size: int = setting(
        128, "the public code for CIFAR-10; that for MNIST misspells the name", at_least=1
    )
    seed: int = setting(0, "chosen by us: of weights, batches, noise, splits and jitter")
    device: str = setting(
        "cpu",
        'chosen by us; on "gpu" full spectra are computed: its memory must hold four Hessians',
        choices=DEVICES,
    )

    def check(self) -> None:
        """Raise a ValueError if rows are missing or repeated, or features cannot have them."""
        different("rows", self.rows)
        if self.library_methods:
            different("library_methods", self.library_methods)
        controls = [name for name in self.rows if name not in FEATURE_ROWS]
        if self.features and controls:
            raise ValueError(f"rows must not hold {controls} with features: they are of images")
        if not self.features and max(self.size, self.course_size) > 28:
            raise ValueError("size and course_size must be at most 28, as MNIST's images are")
        if self.crop > 28:
            raise ValueError(f"crop must be at most 28, not {self.crop}")

    def data(self, name: str | None, trial: int, size: int) -> Images | Features:
        """Return a data set: that of the setting if the name is None."""
        if self.features:
            return Features(self.features, checksum("features", self.features))
        name = self.images if name is None else name
        random = name in ("split", "centred split", "jittered")
        return Images(
            name,
            self.n_train,
            self.n_test,
            size,
            crop=self.crop if name == "cropped" else None,
            jitter=self.jitter if name == "jittered" else None,
            seed=self.seed if random else None,
            trial=trial if random else None,
        )

    def training(self, row: Row, trial: int) -> Training:
        """Return the training of a row in a trial."""
        options: dict[str, dict[str, Any]] = {
            "momentum": {"rate": row.rate * self.momentum_rate, "momentum": self.momentum},
            "Adam": {"rate": row.rate * self.adam_rate},
            "Adagrad": {"rate": row.rate * self.adagrad_rate},
            "noisy SGD": {"rate": row.rate * self.noisy_rate, "noise": self.noise},
            "saddle-free Newton": {"krylov_dimension": self.krylov_dimension},
        }
        autoencoder = row.method == "saddle-free Newton"
        width = self.autoencoder_hidden if autoencoder else self.hidden
        return Training(
            data=self.data(row.data, trial, self.size),
            method=row.method,
            options=options[row.method],
            batch_size=None if autoencoder else row.batch * self.batch_size,
            activation=self.autoencoder_activation if autoencoder else "relu",
            initialization=row.initialization,
            hidden=tuple(width * times for times in row.hidden),
            keep_theta=row.spectrum,
            stop=self.autoencoder_stop if autoencoder else self.stop,
            max_epochs=self.max_epochs,
            seed=self.seed,
            trial=trial,
        )

    def library_training(self, method: str, trial: int, loss: str, small: bool) -> Training:
        """Return a training with the settings of the library that the paper's public code uses.

        These are classical momentum, also for noisy SGD, its rate and mini-batches, and Xavier's
        normal weights. Its Adam and Adagrad multiply by the root that they should divide by, with
        which no network trains; here they divide. The squared error is a mean over the outputs:
        training ends where their sum changes by less than ``stop``.
        """
        first = self.training(ROWS[method], trial)
        options = dict(first.options)
        if method in ("momentum", "noisy SGD"):
            options |= {"rate": self.library_rate, "momentum": self.momentum}
        training = replace(
            first,
            method="classical momentum" if method == "momentum" else method,
            options=options,
            batch_size=self.library_batch_size,
            initialization="xavier_normal",
            stop=self.stop / (N_CLASSES if loss == "softmax_mse" else 1),
            loss=loss,
        )
        if not small:
            return training
        data = self.data(None, trial, self.course_size)
        return replace(training, data=data, hidden=(self.course_hidden,))

    def library_trainings(self) -> dict[tuple[str, str, int], list[Training]]:
        """Return by loss, method and trial the trainings with the library's settings.

        First that of the small network, then, to the squared error, that of the paper's. All of a
        trial come before the next one.
        """
        found: dict[tuple[str, str, int], list[Training]] = {}
        for trial in range(max(self.small_trials, self.library_trials)):
            for loss, method in product(CLASSIFIER_LOSSES, METHODS):
                large = loss == "softmax_mse" and method in self.library_methods
                sizes = [True] * (trial < self.small_trials)
                sizes += [False] * (large and trial < self.library_trials)
                found[loss, method, trial] = [
                    self.library_training(method, trial, loss, small) for small in sizes
                ]
        return found

    def training_task(self, training: Training) -> Task:
        """Return the task of a training."""
        return self.task(partial(train, training), stage="train", **training.configuration)

    def train_task(self, row: Row, trial: int) -> Task:
        """Return the task of a row's training."""
        return self.training_task(self.training(row, trial))

    def signs_task(self, training: Training) -> Task:
        """Return the task of counting eigenvalues by sign where a training ends."""
        trained = self.training_task(training)
        return self.task(
            partial(signs, training), trained, stage="signs", train=trained.configuration
        )

    def spectrum_task(self, row: Row, trial: int) -> Task:
        """Return the task of the spectrum where a row's training ends."""
        trained = self.train_task(row, trial)
        return self.task(
            partial(spectrum, self.training(row, trial), row.precision, self.device),
            trained,
            stage="spectrum",
            train=trained.configuration,
            precision=row.precision,
            **({} if self.device == "cpu" else {"device": self.device}),
        )

    def course_task(self, trial: int) -> Task:
        """Return the task of the spectra while a small network trains."""
        training = replace(
            self.training(Row(), trial),
            data=self.data(None, trial, self.course_size),
            hidden=(self.course_hidden,),
            max_epochs=self.course_epochs,
        )
        return self.task(partial(course, training), stage="course", **training.configuration)

    def stages(self) -> list[list[Task]]:
        """Return the trainings, each once, then the courses and the spectra, then the same with the
        settings of the library in the public code.

        All rows of a trial come before the next trial, so that a run that is stopped early leaves
        whole trials: with ``trials`` set to their number they can be looked at.
        """
        rows = [ROWS[name] for name in self.rows]
        trainings: dict[str, Task] = {}
        later = []
        for trial in range(self.trials):
            for row in rows:
                task = self.train_task(row, trial)
                trainings.setdefault(task.key, task)
            later.append(self.course_task(trial))
            later += [self.spectrum_task(row, trial) for row in rows if row.spectrum]
        library = [t for trainings in self.library_trainings().values() for t in trainings]
        return [
            list(trainings.values()),
            later,
            [self.training_task(training) for training in library],
            [self.signs_task(training) for training in library],
        ]

    @staticmethod
    def binding(arrays: Arrays) -> Arrays:
        """Return the first losses of a training, or a spectrum: training amplifies rounding.

        Of signs that were counted, the norm of the gradient: an eigenvalue may lie on the border.
        """
        for names in (("first_losses",), ("eigenvalues", "sources"), ("gradient_norm",)):
            if set(names) <= set(arrays):
                return {name: arrays[name] for name in names}
        raise KeyError(f"no task of {DegenerateSaddles.name} has {', '.join(arrays)}")

    @staticmethod
    def distributions(arrays: Arrays) -> Arrays:
        """Return the logarithms of the losses that trainings end at."""
        return {"loss": np.log(arrays["loss"][-1:])} if "loss" in arrays else {}

    def gather(self, records: Sequence[Record]) -> Results:
        """Return the numbers of all rows and trials; NaN where a row has none of a kind."""
        found = {task.key: record for task, record in zip(self.tasks(), records, strict=True)}
        trials = range(self.trials)
        cells, courses = [], []
        for row, trial in product((ROWS[name] for name in self.rows), trials):
            trained = found[self.train_task(row, trial).key]
            own = {**trained.arrays, "train_seconds": np.array(trained.header["seconds"])}
            if row.spectrum:
                own |= described(found[self.spectrum_task(row, trial).key])
            cells.append(own)
        # where there is no spectrum its arrays are empty, to be filled up with NaN
        none = {
            name: np.full((0,) * np.ndim(x), np.nan) for own in cells for name, x in own.items()
        }
        for trial in trials:
            own = found[self.course_task(trial).key].arrays
            courses.append(Results.of({f"course_{name}": x for name, x in own.items()}, DIMS))
        most = np.array([self.most_negative(ROWS[name]) for name in self.rows], dtype=float)
        return (
            Results.stacked(
                [Results.of(none | own, DIMS) for own in cells], row=self.rows, trial=trials
            )
            | Results.stacked(courses, trial=trials)
            | Results({"most_negative": most}, {"most_negative": ("row",)}, LABELS)
            | self.library_results(found)
        )

    def library_results(self, found: Mapping[str, Record]) -> Results:
        """Return what was trained with the library's settings.

        Arrays of the paper's network begin with ``library_``, those of the small one with
        ``small_``.
        """

        def cell(part: str, training: Training) -> Results:
            trained = found[self.training_task(training).key].arrays
            counted = found[self.signs_task(training).key].arrays
            own = {"accuracy": trained["accuracy"], "epochs": np.array(len(trained["loss"]) - 1)}
            own |= {name: counted[name] for name in ("signs", "below")}
            return Results.of({f"{part}_{name}": x for name, x in own.items()}, DIMS)

        trainings = self.library_trainings()
        trials, small_trials = range(self.library_trials), range(self.small_trials)
        large = [
            cell("library", trainings["softmax_mse", method, trial][-1])
            for method, trial in product(self.library_methods, trials)
        ]
        small = [
            cell("small", trainings[key][0])
            for key in product(CLASSIFIER_LOSSES, METHODS, small_trials)
        ]
        none = Results({}, {}, {"library_method": ()})
        return Results.stacked(
            small, small_loss=CLASSIFIER_LOSSES, small_method=METHODS, small_trial=small_trials
        ) | (
            Results.stacked(large, library_method=self.library_methods, library_trial=trials)
            if large
            else none
        )

    def most_negative(self, row: Row) -> float:
        """Return how many eigenvalues of a row's Hessian can be negative at most, NaN if unknown.

        Those that the first layer's convexity leaves: it has the most parameters, and how many
        inputs there are plays no part.
        """
        training = self.training(row, 0)
        if training.activation != "relu":
            return np.nan
        wide = max(training.hidden) ** 2 + 100
        return most_negative(MLP((wide, *training.hidden, 10), activation="relu"))

    def claims(self, results: Results, store: Store | None = None) -> dict[str, Measured]:
        """Return what the results say on Tables 1 to 9 and Figs 2 and 3, if they are of MNIST."""
        return {} if self.features else tables_and_figures(results) | definitions(results)


def described(record: Record) -> Arrays:
    """Return a spectrum with its counts by tolerance and what is left unexplained of its zeros.

    ``rest`` is what is measured: the zeros at a tolerance, less the rank of the null vectors, less
    the rescalings that are null directions to that tolerance.
    """
    found, tolerances = record.arrays, np.array(TOLERANCES)
    counted = counts(found["eigenvalues"], tolerances, int(found["zero_rows"]))
    rescaled = np.searchsorted(found["rescaling"], tolerances, side="right")
    try:
        distance = nearest_laws(found["eigenvalues"])[1]
    except ValueError:  # all are zero
        distance = np.full(len(LAWS), np.nan)
    return {
        **found,
        "spectrum_seconds": np.array(record.header["seconds"]),
        "counts": counted,
        "rescaled": rescaled,
        "rest": counted[:, 1] - found["sources"].sum() - rescaled,
        "distance": distance,
    }
