"""What every experiment has in common: settings, tasks, running, loading."""

from __future__ import annotations

import math
import time
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any, ClassVar, Self, TypeVar, cast, get_args, get_origin, get_type_hints

import numpy as np
import pandas as pd

from ..arrays import Array
from ..checks import boolean, integer, number, one_of
from ..devices import require_device
from .parallel import Failure, Progress, run_tasks
from .results import Measured, Results
from .store import Record, Store, Task, new_record

T = TypeVar("T")

PROFILES = ("quick", "paper")

Arrays = dict[str, Array]
"""What a task computes: arrays by name."""


class MissingResultsError(Exception):
    """Results that are asked for have not been computed yet."""


class FailedTasksError(Exception):
    """Tasks of an experiment failed; the message has one line for each."""


def setting(default: Any, source: str, **accepted: Any) -> Any:
    """Declare one number of an experiment.

    Parameters
    ----------
    default
        The value at the paper's scale.
    source : str
        Where the value comes from, or why we chose it.
    **accepted
        ``at_least``, ``above``, ``at_most``, ``below`` for numbers, or ``choices``.
    """
    return field(default=default, metadata={"source": source, **accepted})


def setting_of(kind: type[Any], name: str) -> Any:
    """Declare a setting as another dataclass of settings has it: its default, source and range."""
    (known,) = (f for f in fields(kind) if f.name == name)
    return field(default=known.default, metadata=known.metadata)


def taken_from(settings: Experiment, kind: type[T], **others: Any) -> T:
    """Return the ``kind`` of settings that has the values of ``settings``, but for ``others``."""
    names = [f.name for f in fields(cast(Any, kind)) if f.name not in others]
    return kind(**{name: getattr(settings, name) for name in names}, **others)


def _checked(name: str, value: Any, kind: Any, accepted: Mapping[str, Any]) -> Any:
    """Return ``value`` as the type ``kind``, raising what names the setting if it is not."""
    if isinstance(kind, types.UnionType):  # X | None
        return None if value is None else _checked(name, value, get_args(kind)[0], accepted)
    if get_origin(kind) is tuple:
        inner = get_args(kind)
        length = None if inner[-1] is Ellipsis else len(inner)
        if not isinstance(value, (list, tuple)) or length not in (None, len(value)):
            size = "a list" if length is None else f"a list of {length}"
            raise TypeError(f"{name} must be {size}, not {value!r}")
        return tuple(_checked(f"each of {name}", part, inner[0], accepted) for part in value)
    if "choices" in accepted:
        return one_of(name, value, accepted["choices"])
    if kind is int:
        return integer(name, value, at_least=accepted.get("at_least", 0))
    if kind is float:
        found = number(name, value, **accepted)
        if not math.isfinite(found):
            raise ValueError(f"{name} must be finite, not {value!r}")
        return found
    if not isinstance(value, kind):
        named = {bool: "True or False", str: "a text"}[kind]
        raise TypeError(f"{name} must be {named}, not {value!r}")
    return value


class SettingsFrame(pd.DataFrame):
    """A table of settings, which a notebook shows with their sources in full."""

    def __repr__(self) -> str:
        """Return the table as text."""
        return self.to_string()

    def _repr_html_(self) -> str:
        with pd.option_context("display.max_colwidth", None):
            return str(self.to_html())


@dataclass(frozen=True)
class Experiment:
    """One figure or table of a paper, or several that share their computation.

    A subclass is a frozen dataclass whose fields, made by ``setting``, are all the numbers that
    decide the result, at the paper's scale. It says which independent tasks they mean and how
    each is computed (``stages``), and what the results are together (``gather``).

    Parameters
    ----------
    profile : {"paper", "quick"}
        At which scale the settings were chosen. It is no part of a task.
    """

    name: ClassVar[str]
    """As the notebook, without the number."""
    schema_version: ClassVar[int] = 1
    """Raised whenever the code gives stored arrays another meaning or other values."""
    quick: ClassVar[dict[str, Any]] = {}
    """The settings that differ in the profile "quick", about a minute on two cores."""

    apart: ClassVar[tuple[str, ...]] = ()
    """Names in a task's configuration: ``distributions`` are compared for each of their words."""
    of_machine: ClassVar[tuple[str, ...]] = ()
    """Arrays of times and memory, which repeat nowhere."""

    profile: str = setting("paper", "the scale", choices=PROFILES)

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for f in fields(self):
            accepted = {k: v for k, v in f.metadata.items() if k != "source"}
            value = _checked(f.name, getattr(self, f.name), hints[f.name], accepted)
            object.__setattr__(self, f.name, value)
        self.check()

    def check(self) -> None:
        """Raise a ValueError if settings that are right by themselves do not fit together."""

    @classmethod
    def from_profile(cls, profile: str, /, **overrides: Any) -> Self:
        """Return the experiment of a profile, with some settings changed.

        Parameters
        ----------
        profile : {"paper", "quick"}
        **overrides
            Settings by name. None keeps the profile's value.

        Raises
        ------
        TypeError, ValueError
            If a setting is unknown, of the wrong type or out of range: the message names it.
        """
        one_of("profile", profile, PROFILES)
        known = [f.name for f in fields(cls) if f.name != "profile"]
        for name in overrides:
            if name not in known:
                raise TypeError(f"{cls.name} has no setting {name!r}; it has {', '.join(known)}")
        given = {name: value for name, value in overrides.items() if value is not None}
        return cls(profile=profile, **{**(cls.quick if profile == "quick" else {}), **given})

    @property
    def scale(self) -> str:
        """What its figures show: "paper", "quick", or "own settings" if some are not the paper's.

        Only those of the first are in ``figures/``; the others say in a corner what they are.
        """
        if self.profile != "paper":
            return self.profile
        return "paper" if self == type(self)() else "own settings"

    def settings(self) -> SettingsFrame:
        """Return every setting with its value and its source."""
        own = [f for f in fields(self) if f.name != "profile"]
        return SettingsFrame(
            {
                "value": [str(getattr(self, f.name)) for f in own],
                "source": [f.metadata["source"] for f in own],
            },
            index=pd.Index([f.name for f in own], name="setting"),
        )

    def task(self, compute: Callable[..., Arrays], *reads: Task, **configuration: Any) -> Task:
        """Return a task of this experiment.

        Parameters
        ----------
        compute : callable
            Takes the arrays of the tasks ``reads``, in their order, and returns float64, int64 or
            bool arrays by name: a method of the experiment, or a ``functools.partial`` of one.
        *reads : Task
            Tasks of an earlier stage, computed if they are not stored; or tasks of another
            experiment, which must be stored.
        **configuration
            Every number that decides the result, in JSON types; that of ``reads`` included.
        """
        return Task(self.name, self.schema_version, configuration, compute, reads)

    def stages(self) -> list[list[Task]]:
        """Return all tasks: lists that are run one after the other.

        The tasks of one list are independent; those of a later one may read earlier results.
        """
        raise NotImplementedError

    def gather(self, records: Sequence[Record]) -> Results:
        """Return what the figures show, from the results of all tasks in their order."""
        raise NotImplementedError

    def claims(self, results: Results, store: Store | None = None) -> dict[str, Measured]:
        """Return what the results say on the papers' claims, by the ids of ``claims.toml``.

        The store, by default the usual one, is where results of other experiments are looked up.
        """
        return {}

    @staticmethod
    def binding(arrays: dict[str, Array]) -> dict[str, Array]:
        """Return what any machine must reproduce to a tolerance (``verify``); here everything."""
        return arrays

    @staticmethod
    def distributions(arrays: dict[str, Array]) -> dict[str, Array]:
        """Return samples (runs,) that rounding may change one by one but not in distribution.

        No number that falls to the level of rounding: where that is hangs on the machine.
        """
        return {}

    def tasks(self) -> list[Task]:
        """Return the tasks of all stages, in their order."""
        return [task for stage in self.stages() for task in stage]

    def run(
        self,
        *,
        workers: int | None = None,
        dask: str | None = None,
        force: bool = False,
        archive: bool = True,
        store: Store | None = None,
    ) -> int:
        """Compute and store the tasks that have no result yet; return how many those were.

        Parameters
        ----------
        workers, dask
            See ``run_tasks``.
        force : bool
            Compute every task anew.
        archive : bool
            Whether a result in the archive counts as one.
        store : Store, optional
            By default the one that AUTOCRIT_LITE_RESULTS and the checkout name.

        Raises
        ------
        FailedTasksError
            If tasks failed; the results of all others are stored.
        """
        boolean("force", force)
        store = _store(store, boolean("archive", archive) and not force)
        store.prepare()
        store.sweep(self.name)
        count = 0
        for stage in self.stages():
            missing = [task for task in stage if force or store.read(task) is None]
            if missing:
                count += self._run_stage(missing, workers, dask, force, store)
        return count

    def _run_stage(
        self,
        tasks: Sequence[Task],
        workers: int | None,
        dask: str | None,
        force: bool,
        store: Store,
    ) -> int:
        """Compute tasks; return how many of them no other process was faster with."""
        if dask is None:
            require_device(getattr(self, "device", "cpu"))
            if any("device" in task.configuration for task in tasks):
                workers = 1  # this process has the device to itself
            function: Callable[[Task], Any] = partial(_work, store, force)
        else:  # the results come back and are written here: the cluster's disks need not be ours
            function = partial(_timed, store)
        progress = Progress(f"{self.name} ({self.profile})", len(tasks))
        failures, count = [], 0
        outcomes = run_tasks(function, tasks, workers=workers, dask=dask)
        try:
            for i, outcome in outcomes:
                progress.advance()
                if isinstance(outcome, Failure):
                    failures.append(f"{self.name}: task {tasks[i].key[:12]}: {outcome.message}")
                    if outcome.disk:
                        failures[-1] += "; no further tasks were started"
                        break
                else:
                    count += outcome is not False
                    if isinstance(outcome, Record):
                        store.write(tasks[i], outcome)
        finally:
            outcomes.close()
        if failures:
            raise FailedTasksError("\n".join(failures))
        return count

    def load(self, *, archive: bool = True, store: Store | None = None) -> Results:
        """Return the gathered results without computing anything.

        Raises
        ------
        MissingResultsError
            If a task has no result.
        """
        store = _store(store, boolean("archive", archive))
        tasks = self.tasks()
        found = [store.read(task) for task in tasks]
        records = [record for record in found if record is not None]
        if len(records) < len(tasks):
            here = store.archive is not None and store.archive.is_dir()
            shipped = archive and self.profile == "paper" and not here
            raise MissingResultsError(
                f"{len(tasks) - len(records)} of the {len(tasks)} tasks of {self.name} have no "
                f"result with these settings: compute them with recompute=True, or with "
                f"`autocrit-lite run {self.name} --profile {self.profile}` and the same settings"
                + shipped
                * "; there is no data/archive/ here, which the repository has: work in a "
                'clone of it, or set profile = "quick", which computes a small version'
            )
        return self.gather(records)

    def results(
        self, *, recompute: bool = False, workers: int | None = None, store: Store | None = None
    ) -> Results:
        """Return the gathered results, as a notebook wants them.

        At the paper's scale they are read, from the archive or the results folder, and nothing is
        computed unless ``recompute`` is true. In the profile "quick" what is missing is computed.
        What is computed ignores the archive but never repeats a task of the results folder.

        Raises
        ------
        MissingResultsError
            If results at the paper's scale are missing and ``recompute`` is false.
        FailedTasksError
            If tasks failed.
        """
        computes = boolean("recompute", recompute) or self.profile == "quick"
        if computes:
            self.run(workers=workers, archive=False, store=store)
        return self.load(archive=not computes, store=store)


def _store(store: Store | None, archive: bool) -> Store:
    store = Store.default() if store is None else store
    return store if archive else replace(store, archive=None)


def compute_task(store: Store, task: Task) -> Arrays:
    """Compute the arrays of a task; what it reads comes from the store.

    Raises
    ------
    MissingResultsError
        If it reads a task of another experiment that has no result.
    """
    reads = []
    for earlier in task.reads:
        found = store.read(earlier)
        if found is None and earlier.experiment != task.experiment:
            raise MissingResultsError(
                f"{earlier.experiment} has no result of task {earlier.key[:12]}, which "
                f"{task.experiment} needs: compute it with `autocrit-lite run {earlier.experiment}`"
            )
        reads.append(compute_task(store, earlier) if found is None else found.arrays)
    if task.compute is None:
        raise TypeError(f"task {task.key[:12]} of {task.experiment} does not say what computes it")
    return task.compute(*reads)


def _work(store: Store, force: bool, task: Task) -> bool:
    """Compute a task and write its result; return False if another process was faster."""
    with store.claim(task):
        missing = force or store.read(task) is None
        if missing:
            store.write(task, _timed(store, task))
        return missing


def _timed(store: Store, task: Task) -> Record:
    start = time.perf_counter()
    arrays = compute_task(store, task)
    return new_record(task, arrays, time.perf_counter() - start)


def generators(seed: int, key: tuple[int, ...], count: int) -> list[np.random.Generator]:
    """Return independent generators; other keys give others."""
    children = np.random.SeedSequence(seed, spawn_key=key).spawn(count)
    return [np.random.default_rng(child) for child in children]
