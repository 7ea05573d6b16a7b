"""Whether the present code reproduces the archive.

A result that was made with this BLAS kernel and these versions, as its header says, must repeat to
rounding in all arrays but times. Made elsewhere, what binds must repeat to ``TOLERANCE``, and
samples of the rest must follow the law of the archived ones, by tests whose power is stated
(``agreement``). Tasks are of one kind if all words in their configurations agree. Nothing is
claimed unless a task of each kind was recomputed, and runs enough for that power.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Array
from .agreement import LEVEL, POWER, SHARE, holm, laws, runs_needed, signs, smallest_change
from .archive import parts
from .experiment import Experiment, compute_task
from .parallel import Failure, Progress, run_tasks
from .store import Record, Store, Task, provenance

ROUNDING = 1e-12
"""Of all arrays where they were made, relative to the largest number of each (chosen by us: they
repeat to the last bit with the same code, and another order of a sum is no change of it)."""

TOLERANCE = 1e-6
"""Of the binding arrays elsewhere, absolute and relative, and of what is compared as a distribution
(chosen by us: far above rounding in 5 steps)."""

Samples = dict[str, Array]


@dataclass
class Verification:
    """What recomputing a sample of archived tasks showed.

    Attributes
    ----------
    problems : list of str
        One line for each difference: none if nothing differs.
    missing : list of str
        What is lacking for a claim that the archive is reproduced.
    told : list of str
        What was compared, how closely or with which power.
    """

    problems: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """One of "differs", "reproduced", and "no difference found, …" where that is no claim."""
        if self.problems:
            return "differs"
        if self.missing:
            return f"no difference found, too little for a claim: {'; '.join(self.missing)}"
        return "reproduced"


def verify(
    kind: type[Experiment],
    folder: Path,
    sample: int | None,
    rng: np.random.Generator,
    workers: int | None = None,
) -> Verification:
    """Recompute archived tasks of an experiment at random and compare.

    Parameters
    ----------
    kind : type of Experiment
    folder : Path
        The archive.
    sample : int or None
        How many tasks at most; None: as many as a claim takes.
    rng : numpy Generator
        Chooses them.
    workers : int, optional
        See ``run_tasks``.

    Returns
    -------
    Verification
    """
    tasks = {task.key: task for task in kind.from_profile("paper").tasks()}
    archived = {key: r for _, part in parts(folder, kind.name) for key, r in part.items()}
    found = Verification()
    if archived.keys() - tasks.keys():
        count = len(archived.keys() - tasks.keys())
        found.problems.append(f"{count} archived results belong to no task")
    if tasks.keys() - archived.keys():
        found.problems.append(
            f"{len(tasks.keys() - archived.keys())} tasks have no archived result"
        )
    common = {key: archived[key] for key in sorted(archived.keys() & tasks.keys())}
    elsewhere = {key: r for key, r in common.items() if not made_here(r)}
    comparisons = {name for r in elsewhere.values() for name in samples(kind, r, r.arrays)}
    chosen, enough = choose(kind, common, elsewhere, runs_needed(_level(comparisons)), rng)
    chosen = chosen[: sample or enough]
    minutes = sum(common[key].header["seconds"] for key in chosen) / 60.0
    store = Store(folder / "no results", folder)  # the archive alone
    pairs: list[tuple[Samples, Samples]] = []
    title = f"verify {kind.name}, {minutes:.3g} minutes of one core where they were computed"
    progress = Progress(title, len(chosen))
    work = [tasks[key] for key in chosen]
    for i, outcome in run_tasks(partial(compute_task, store), work, workers=workers):
        progress.advance()
        before, now = store.read(work[i]), outcome
        if isinstance(now, Failure):
            found.problems.append(f"{_short(work[i])}: {now.message}")
        elif before is None:
            found.problems.append(f"{_short(work[i])}: the archived result is damaged")
        elif work[i].key in elsewhere:
            lines = binding_differences(kind.binding(before.arrays), kind.binding(now))
            found.problems += [f"{_short(work[i])}: {line}" for line in lines]
            pairs.append((samples(kind, before, before.arrays), samples(kind, before, now)))
        else:
            lines = differences(kind, before.arrays, now)
            found.problems += [f"{_short(work[i])}, made here: {line}" for line in lines]
    there = sum(key in elsewhere for key in chosen)
    if there < len(chosen):
        text = f"{len(chosen) - there} tasks made here: all arrays but times, to {ROUNDING:.0e}"
        found.told.append(text)
    if there:
        found.told.append(f"{there} tasks made elsewhere: binding arrays, to {TOLERANCE:.0e}")
    kinds, seen = ({kind_of(common[k].configuration) for k in keys} for keys in (common, chosen))
    if seen != kinds:
        found.missing.append(f"tasks of {len(seen)} kinds, where there are {len(kinds)}")
    _compare(found, pairs, comparisons)
    return found


def _short(task: Task) -> str:
    return f"task {task.key[:12]}"


def made_here(record: Record) -> bool:
    """Return whether a result's header names this BLAS kernel, processor and these versions."""
    own = provenance()
    known = [
        (record.header.get(part, {}).get(name), value)
        for part, other in (("versions", "autocrit-lite"), ("machine", "cpus"))
        for name, value in own[part].items()
        if name != other
    ]
    return all(value in (None, own) for value, own in known)  # older headers name less


def kind_of(configuration: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return all words of a task's configuration, by where they stand.

    Examples
    --------
    >>> kind_of({"stage": "find", "run": 3, "train": {"network": "linear"}})
    (('stage', 'find'), ('train.network', 'linear'))
    """
    found: list[tuple[str, str]] = []
    for name, value in sorted(configuration.items()):
        if isinstance(value, str):
            found.append((name, value))
        elif isinstance(value, dict):
            found += [(f"{name}.{inner}", word) for inner, word in kind_of(value)]
    return tuple(found)


def choose(
    kind: type[Experiment],
    records: Mapping[str, Record],
    elsewhere: Collection[str],
    needed: int,
    rng: np.random.Generator,
) -> tuple[list[str], int]:
    """Return all keys in an order, and how many of them are enough for a claim.

    First comes a task of each kind, then those with runs that a comparison lacks, then the others;
    apart from that the order is random.
    """
    order = [str(key) for key in rng.permutation(list(records))]
    seen: set[Any] = set()
    first = []
    for key in order:
        what = kind_of(records[key].configuration)
        if what not in seen:
            first.append(key)
            seen.add(what)
    chosen: list[str] = []
    runs: dict[str, int] = {}
    for key in [*first, *(key for key in order if key not in first)]:
        record = records[key]
        own = samples(kind, record, record.arrays) if key in elsewhere else {}
        if key in first or any(runs.get(name, 0) < needed for name in own):
            chosen.append(key)
            for name, values in own.items():
                runs[name] = runs.get(name, 0) + len(values)
    return [*chosen, *(key for key in order if key not in chosen)], len(chosen)


def samples(kind: type[Experiment], record: Record, arrays: Mapping[str, Array]) -> Samples:
    """Return what of a task is compared as distributions, rounded to ``TOLERANCE``, by name.

    The words that ``apart`` asks for are part of the names. NaN counts as the largest number.
    """
    words = [word for name, word in kind_of(record.configuration) if name in kind.apart]
    return {
        ", ".join([*words, name]): np.rint(np.nan_to_num(x.astype(float), nan=np.inf) / TOLERANCE)
        for name, x in kind.distributions(dict(arrays)).items()
    }


def differences(
    kind: type[Experiment], old: Mapping[str, Array], new: Mapping[str, Array]
) -> list[str]:
    """Return in what two results of a task differ by more than rounding, but for times."""
    old, new = ({n: x for n, x in a.items() if n not in kind.of_machine} for a in (old, new))
    return _differences(old, new, lambda a: ROUNDING * np.max(np.abs(a), initial=0.0))


def binding_differences(old: Mapping[str, Array], new: Mapping[str, Array]) -> list[str]:
    """Return in what binding arrays differ by more than ``TOLERANCE``."""
    return _differences(old, new, lambda a: TOLERANCE + TOLERANCE * np.abs(a))


def _differences(
    old: Mapping[str, Array], new: Mapping[str, Array], allowed: Callable[[Array], Array]
) -> list[str]:
    """Return which arrays differ by more than is allowed of the old one, and by how much."""
    if old.keys() != new.keys():
        return [f"arrays {sorted(new)} in place of {sorted(old)}"]
    lines = []
    for name, array in old.items():
        a, b = np.asarray(array, dtype=float), np.asarray(new[name], dtype=float)
        finite = np.isfinite(a)
        if a.shape != b.shape:
            lines.append(f"{name} has shape {b.shape}, archived {a.shape}")
        elif not np.array_equal(finite, np.isfinite(b)):
            lines.append(f"{name} is finite in other places")
        elif np.any(np.abs(b[finite] - a[finite]) > allowed(a[finite])):
            worst = np.max(np.abs(b[finite] - a[finite]))
            lines.append(f"{name} differs by up to {worst:.1e} of {np.abs(a[finite]).max():.1e}")
    return lines


def _compare(
    found: Verification, pairs: Sequence[tuple[Samples, Samples]], names: set[str]
) -> None:
    """Test the distributions of the runs that were made elsewhere; say with which power."""
    level = _level(names)
    tests: list[tuple[str, float]] = []
    for name in sorted(names):
        both = [(old[name], new.get(name, old[name][:0])) for old, new in pairs if name in old]
        if any(len(a) != len(b) for a, b in both):
            found.problems.append(f"{name} is of other runs than the archived")
            continue
        a, b = (np.concatenate([own[k] for own in both] or [np.empty(0)]) for k in (0, 1))
        if len(a) < runs_needed(level):
            found.missing.append(f"{name} of {len(a)} runs, where it takes {runs_needed(level)}")
        if len(a):
            tests.append((f"{name} is distributed otherwise (Kolmogorov–Smirnov", laws(a, b)))
            tests.append((f"{name} is moved to one side (sign test", signs(a, b)))
            found.told.append(
                f"{name} of {len(a)} runs: laws that differ by {smallest_change(len(a), level):.2f}"
                f" are found, and {SHARE:.0%} of runs that are higher, in {POWER:.0%} of cases"
            )
    rejected = holm([p for _, p in tests])
    found.problems += [
        f"{text}, p = {p:.1e})" for (text, p), no in zip(tests, rejected, strict=True) if no
    ]


def _level(names: set[str]) -> float:
    """Return the level of each of the two tests of all comparisons."""
    return LEVEL / max(1, 2 * len(names))
