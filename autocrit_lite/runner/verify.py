"""Whether the present code reproduces the archive."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from scipy.stats import ks_2samp

from ..arrays import Array
from .archive import parts
from .experiment import Experiment, compute_task
from .parallel import Failure, Progress, run_tasks
from .store import Record, Store, Task

TOLERANCE = 1e-6
"""Of the binding arrays, absolute and relative (chosen by us: far above rounding in 5 steps)."""

SIGNIFICANCE = 1e-3
"""Of the Kolmogorov–Smirnov test of the distributions (chosen by us)."""


def verify(
    kind: type[Experiment],
    folder: Path,
    sample: int,
    rng: np.random.Generator,
    workers: int | None = None,
) -> list[str]:
    """Recompute archived tasks of an experiment at random and compare; return what differs.

    Parameters
    ----------
    kind : type of Experiment
    folder : Path
        The archive.
    sample : int
        How many tasks; all if there are fewer.
    rng : numpy Generator
        Chooses them.
    workers : int, optional
        See ``run_tasks``.

    Returns
    -------
    list of str
        One line for each difference: none if the archive is reproduced.
    """
    tasks = {task.key: task for task in kind.from_profile("paper").tasks()}
    archived = {key for _, records in parts(folder, kind.name) for key in records}
    problems = []
    if archived - tasks.keys():
        problems.append(f"{len(archived - tasks.keys())} archived results belong to no task")
    if tasks.keys() - archived:
        problems.append(f"{len(tasks.keys() - archived)} tasks have no archived result")
    common = sorted(archived & tasks.keys())
    chosen = [tasks[key] for key in rng.permutation(common)[:sample]]
    store = Store(folder / "no results", folder)  # the archive alone
    pairs: list[tuple[Record, dict[str, Array]]] = []
    progress = Progress(f"verify {kind.name}", len(chosen))
    for i, outcome in run_tasks(partial(compute_task, store), chosen, workers=workers):
        progress.advance()
        before = store.read(chosen[i])
        if isinstance(outcome, Failure):
            problems.append(f"{_short(chosen[i])}: {outcome.message}")
        elif before is None:
            problems.append(f"{_short(chosen[i])}: the archived result is damaged")
        else:
            pairs.append((before, outcome))
            problems += [f"{_short(chosen[i])}: {p}" for p in _binding(kind, before, outcome)]
    return [f"{kind.name}: {problem}" for problem in [*problems, *_distributions(kind, pairs)]]


def _short(task: Task) -> str:
    return f"task {task.key[:12]}"


def _binding(kind: type[Experiment], before: Record, now: dict[str, Array]) -> Iterator[str]:
    old, new = kind.binding(before.arrays), kind.binding(now)
    if old.keys() != new.keys():
        yield f"arrays {sorted(new)} in place of {sorted(old)}"
        return
    for name, array in old.items():
        if array.shape != new[name].shape:
            yield f"{name} has shape {new[name].shape}, archived {array.shape}"
        elif not np.allclose(new[name], array, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
            difference = np.nanmax(np.abs(np.asarray(new[name], float) - array))
            yield f"{name} differs by up to {difference:.1e}, more than {TOLERANCE:.0e}"


def _distributions(
    kind: type[Experiment], pairs: list[tuple[Record, dict[str, Array]]]
) -> Iterator[str]:
    if not pairs:
        return
    old = [kind.distributions(before.arrays) for before, _ in pairs]
    new = [kind.distributions(now) for _, now in pairs]
    for name in dict.fromkeys(name for samples in old for name in samples):
        a = np.concatenate([samples[name] for samples in old if name in samples])
        b = np.concatenate([samples[name] for samples in new if name in samples])
        p = float(ks_2samp(a, b).pvalue)
        if p < SIGNIFICANCE:
            yield f"{name} is distributed otherwise (Kolmogorov–Smirnov p = {p:.1e})"
