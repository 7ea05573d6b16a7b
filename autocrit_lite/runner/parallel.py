"""Independent tasks over processes, threads or a Dask cluster.

The order and the number of workers change no result: a task is computed by itself, with one BLAS
thread, wherever it runs.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from typing import Any, TextIO

import joblib
from joblib.externals.loky.process_executor import BrokenProcessPool
from threadpoolctl import threadpool_limits

from ..checks import integer, missing

log = logging.getLogger(__name__)

CONNECT_SECONDS = 10
"""How long to wait for a Dask scheduler to answer (chosen by us)."""


Outcomes = Generator[tuple[int, Any], None, None]


@dataclass(frozen=True)
class Failure:
    """What takes the place of the result of a task that failed.

    Attributes
    ----------
    message : str
        The exception and the line of code that raised it, in one line.
    disk : bool
        Whether the operating system refused to read or write: the next task would fare no better.
    """

    message: str
    disk: bool = False


DIED = Failure("its worker process died twice: it crashed or ran out of memory")


def run_tasks(
    function: Callable[[Any], Any],
    tasks: Sequence[Any],
    *,
    workers: int | None = None,
    threads: bool = False,
    dask: str | None = None,
) -> Outcomes:
    """Yield ``(i, function(tasks[i]))`` for every task, as they finish.

    A task that raises yields a ``Failure`` and the others go on. When a worker process dies, the
    tasks that may have been in it are run once more, each alone, and a task that kills its worker
    again is a ``Failure``; a Dask scheduler does likewise in its own way. Ending the iteration
    early, by an exception such as KeyboardInterrupt or by ``close``, stops the workers.

    Parameters
    ----------
    function : callable
        Of one task. It must be importable in a worker, as module-level functions are.
    tasks : sequence
    workers : int, optional
        How many processes or threads; by default one for each core that this process may use.
        With one worker the tasks run in this process.
    threads : bool
        Use threads in place of processes.
    dask : str, optional
        The address of a Dask scheduler, such as ``tcp://127.0.0.1:8786``, to use its workers.

    Raises
    ------
    TypeError, ValueError
        If ``workers`` is not a positive integer, or comes together with ``dask``.
    ImportError
        If ``dask`` is given and distributed is not installed.
    OSError
        If there is no Dask scheduler at this address.
    """
    if dask is not None and workers is not None:
        raise ValueError("workers and dask exclude each other: the cluster has its own workers")
    if dask is not None:
        return _on_cluster(function, tasks, dask)
    count = joblib.cpu_count() if workers is None else integer("workers", workers, at_least=1)
    count = min(count, max(len(tasks), 2))
    if count == 1 or threads:
        return _in_process(function, tasks, count)
    return _in_processes(function, tasks, count)


def _guarded(function: Callable[[Any], Any], i: int, task: Any) -> tuple[int, Any]:
    # Not undone: a worker belongs to us, and undoing it in one thread would free BLAS in another.
    threadpool_limits(limits=1)
    try:
        return i, function(task)
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{os.path.basename(frame.filename)}:{frame.lineno}"
        message = f"{type(error).__name__}: {error} ({place})".replace("\n", " ")
        return i, Failure(message, isinstance(error, OSError))


@cache
def _follow(owner: int) -> None:
    """End this worker process when its owner has ended, however that came about."""

    def watch() -> None:
        while os.getppid() == owner:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _in_worker(owner: int, function: Callable[[Any], Any], i: int, task: Any) -> tuple[int, Any]:
    _follow(owner)
    return _guarded(function, i, task)


def _joblib(
    function: Callable[[Any], Any],
    tasks: Sequence[Any],
    waiting: Iterable[int],
    count: int,
    backend: str,
) -> Outcomes:
    run, options = _guarded, {}
    if backend == "loky":
        run, options = partial(_in_worker, os.getpid()), {"inner_max_num_threads": 1}
    with joblib.parallel_config(backend=backend, **options):
        # one task at a time, so that what is in flight when a worker dies is known
        parallel = joblib.Parallel(n_jobs=count, return_as="generator_unordered", batch_size=1)
        outputs = parallel(joblib.delayed(run)(function, i, tasks[i]) for i in waiting)
    try:
        yield from outputs
    finally:
        with warnings.catch_warnings():  # that an interrupted run wastes work is known
            warnings.simplefilter("ignore")
            outputs.close()


def _in_process(function: Callable[[Any], Any], tasks: Sequence[Any], count: int) -> Outcomes:
    with threadpool_limits(limits=1):
        yield from _joblib(function, tasks, range(len(tasks)), count, "threading")


def _in_processes(function: Callable[[Any], Any], tasks: Sequence[Any], count: int) -> Outcomes:
    waiting = dict.fromkeys(range(len(tasks)))
    while waiting:
        started: set[int] = set()

        def start(started: set[int] = started) -> Iterator[int]:
            for i in list(waiting):
                started.add(i)
                yield i

        try:
            for i, outcome in _joblib(function, tasks, start(), count, "loky"):
                del waiting[i]
                yield i, outcome
        except BrokenProcessPool:
            suspects = [i for i in waiting if i in started]
            log.warning("a worker died; running again what was in flight, %d tasks", len(suspects))
            for i in suspects:
                outcome = _alone(function, tasks, i)
                # that nothing was left to do is the work of the worker that died
                yield i, None if outcome is False else outcome
                del waiting[i]


def _alone(function: Callable[[Any], Any], tasks: Sequence[Any], i: int) -> Any:
    try:  # joblib runs what has one worker in this process, hence two
        [(_, outcome)] = _joblib(function, tasks, [i], 2, "loky")
        return outcome
    except BrokenProcessPool:
        return DIED


def _on_cluster(function: Callable[[Any], Any], tasks: Sequence[Any], address: str) -> Outcomes:
    # Not through joblib: its Dask backend waits for ever for a task whose worker died.
    try:
        import distributed
    except ImportError as error:
        raise missing("A cluster", "Dask", "dask", error) from None

    def outcomes(waiting: Iterable[int]) -> Outcomes:
        futures = {client.submit(_guarded, function, i, tasks[i], pure=False): i for i in waiting}
        try:
            for future in distributed.as_completed(list(futures), loop=client.loop):
                i = futures.pop(future)
                error = future.exception()
                if isinstance(error, distributed.KilledWorker):
                    yield i, DIED
                else:
                    yield i, Failure(f"on the cluster: {error}") if error else future.result()[1]
        finally:
            client.cancel(list(futures))

    with distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False) as client:
        suspects = []  # Dask also blames the tasks that wait on a worker while another one kills it
        for i, outcome in outcomes(range(len(tasks))):
            if outcome is DIED:
                suspects.append(i)
            else:
                yield i, outcome
        if suspects:
            log.warning("workers died; running again what was in flight, %d tasks", len(suspects))
        for i in suspects:
            yield from outcomes([i])


class Progress:
    """How far a run is, on stderr: a bar in a terminal, else a plain line now and then.

    Parameters
    ----------
    label : str
    total : int
        How many tasks there are to compute.
    stream : text file, optional
        stderr by default.
    """

    SECONDS_BETWEEN_LINES = 10.0  # chosen by us: a batch log of a day stays readable
    WIDTH = 30

    def __init__(self, label: str, total: int, stream: TextIO | None = None) -> None:
        self._label = label
        self._total = total
        self._stream = sys.stderr if stream is None else stream
        self._bar = self._stream.isatty()
        self._start = time.monotonic()
        self._shown = self._start
        self._done = 0

    def advance(self) -> None:
        """Count one more task as finished."""
        self._done += 1
        now = time.monotonic()
        last = self._done == self._total
        if last or now - self._shown > (0.1 if self._bar else self.SECONDS_BETWEEN_LINES):
            self._shown = now
            rate = self._done / max(now - self._start, 1e-9)
            left = _clock((self._total - self._done) / rate)
            text = f"{self._done}/{self._total}  {_rate(rate)}  {left} left"
            if last:
                text = f"{self._done}/{self._total}  {_rate(rate)}  in {_clock(now - self._start)}"
            if self._bar:
                full = self.WIDTH * self._done // self._total
                text = f"[{'#' * full:.<{self.WIDTH}}] {text}"
            self._show(text, end="\n" if last or not self._bar else "")

    def _show(self, text: str, end: str) -> None:
        clear = "\r\x1b[K" if self._bar else ""
        self._stream.write(f"{clear}{self._label}: {text}{end}")
        self._stream.flush()


def _rate(rate: float) -> str:
    return f"{rate:.1f} tasks/s" if rate >= 1 else f"{1 / rate:.1f} s/task"


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
