import io
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from autocrit_lite.runner.parallel import Failure, Progress, run_tasks

DEATH = "its worker process died twice: it crashed or ran out of memory"


def product(seed):
    A = np.random.default_rng(seed).standard_normal((80, 80))
    return np.linalg.inv(A @ A.T + np.eye(80))


def blas_threads(task):
    np.dot(np.ones((2, 2)), np.ones((2, 2)))
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def troubled(task):
    if task == "raise":
        raise ArithmeticError("no such\nluck")
    if task == "disk":
        raise OSError(28, "No space left on device")
    if task == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if isinstance(task, Path) and not task.exists():  # so that it dies once
        task.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return task


@contextmanager
def cluster():
    distributed = pytest.importorskip("distributed")
    import dask

    # one death is enough to know, and each takes a second
    with warnings.catch_warnings(), dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        warnings.simplefilter("ignore")  # of ports in use, and of what it does at exit
        with distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            silence_logs=60,
        ) as local:
            yield local.scheduler_address


def collect(tasks, function=product, **how):
    outcomes = dict(run_tasks(function, tasks, **how))
    assert sorted(outcomes) == list(range(len(tasks)))
    return [outcomes[i] for i in range(len(tasks))]


def test_where_tasks_run_changes_no_bit():
    seeds = list(range(12))
    expected = [result.tobytes() for result in collect(seeds, workers=1)]
    for how in ({"workers": 2}, {"workers": 3}, {"workers": 2, "threads": True}):
        assert [result.tobytes() for result in collect(seeds, **how)] == expected
    assert [r.tobytes() for r in collect(seeds[::-1], workers=2)] == expected[::-1]


@pytest.mark.parametrize("how", [{"workers": 1}, {"workers": 2}, {"workers": 2, "threads": True}])
def test_a_worker_has_one_blas_thread(how):
    for counts in collect([0, 1], blas_threads, **how):
        assert set(counts) <= {1}


@pytest.mark.parametrize("how", [{"workers": 1}, {"workers": 2}, {"workers": 2, "threads": True}])
def test_a_failure_is_one_line_and_the_others_go_on(how):
    tasks = [0, "raise", 2, "disk", 4]
    outcomes = collect(tasks, troubled, **how)
    assert outcomes[0::2] == [0, 2, 4]
    assert re.fullmatch(
        r"ArithmeticError: no such luck \(test_parallel.py:\d+\)", outcomes[1].message
    )
    assert [outcomes[1].disk, outcomes[3].disk] == [False, True]


def test_a_dead_worker_is_reported_and_its_task_run_once_more(tmp_path, caplog):
    tasks = [*range(6), tmp_path / "once", *range(6)]
    assert collect(tasks, troubled, workers=2) == tasks
    assert "a worker died" in caplog.text


def test_a_task_that_always_kills_its_worker_fails_alone(caplog):
    tasks = [*range(4), "die", *range(4)]
    outcomes = collect(tasks, troubled, workers=2)
    assert outcomes[4] == Failure(DEATH)
    assert outcomes[:4] + outcomes[5:] == [*range(4), *range(4)]


def test_a_dask_cluster_reports_failures_and_dead_workers(caplog):
    tasks = [*range(4), "die", *range(4), "raise"]
    with cluster() as address:
        assert (collect([5], dask=address)[0] == product(5)).all()
        outcomes = collect(tasks, troubled, dask=address)
    assert outcomes[4] == Failure(DEATH)
    assert outcomes[9].message.startswith("ArithmeticError: no such luck")
    assert outcomes[:4] + outcomes[5:9] == [*range(4), *range(4)]


def test_no_tasks_are_no_work():
    assert collect([], workers=2) == []


@pytest.mark.parametrize("workers", [0, -1, 1.5, "2", True])
def test_workers_must_be_a_positive_integer(workers):
    with pytest.raises((TypeError, ValueError), match="workers must be"):
        run_tasks(product, [1], workers=workers)


def test_workers_and_a_cluster_exclude_each_other():
    with pytest.raises(ValueError, match="exclude each other"):
        run_tasks(product, [1], workers=2, dask="tcp://127.0.0.1:1")


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("number", "group"), [(signal.SIGINT, True), (signal.SIGTERM, False)], ids=["Ctrl-C", "SIGTERM"]
)
def test_stopping_keeps_what_is_finished(tmp_path, workers, number, group):
    run = ["run", "synthetic", "--profile", "paper", "-p", "seconds", "0.2", "-p", "runs", "200"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.synthetic", *run, "--workers", str(workers)],
        env={**os.environ, "AUTOCRIT_LITE_RESULTS": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    folder = tmp_path / "synthetic"
    wait_for(lambda: list(folder.glob("*.npz")), 4)
    (os.killpg if group else os.kill)(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.splitlines()[-1].startswith("autocrit-lite: error: interrupted")
    assert "Traceback" not in errors
    kept = sorted(path.name for path in folder.iterdir())
    assert 4 <= len(kept) < 200
    assert all(name.endswith(".npz") for name in kept)
    time.sleep(0.6)
    assert sorted(path.name for path in folder.iterdir()) == kept  # no worker goes on


def linger(folder):
    (folder / str(os.getpid())).touch()
    time.sleep(60)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks into /proc")
def test_no_worker_outlives_its_owner(tmp_path):
    code = (
        "import pathlib, tests.runner.test_parallel as t; "
        f"t.collect([pathlib.Path({str(tmp_path)!r})] * 2, t.linger, workers=2)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    workers = wait_for(lambda: [int(path.name) for path in tmp_path.iterdir()], 2)
    process.kill()
    process.wait()
    assert wait_for(lambda: [pid for pid in workers if not alive(pid)], 2) == workers


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(find, count):
    """Return what is found once there is enough of it, or after a minute."""
    deadline = time.monotonic() + 60
    while len(find()) < count and time.monotonic() < deadline:
        time.sleep(0.02)
    return find()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_a_bar_in_a_terminal(monkeypatch):
    clock = iter([0.0, 1.0, 1.01, 2.0, 3.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    stream = Terminal()
    progress = Progress("quartic", 4, stream)
    for _ in range(4):
        progress.advance()
    shown = stream.getvalue().split("\r\x1b[K")[1:]
    assert shown == [
        f"quartic: [{'#' * 7}{'.' * 23}] 1/4  1.0 tasks/s  0:00:03 left",
        f"quartic: [{'#' * 22}{'.' * 8}] 3/4  1.5 tasks/s  0:00:01 left",
        f"quartic: [{'#' * 30}] 4/4  1.3 tasks/s  in 0:00:03\n",
    ]


def test_progress_is_a_line_now_and_then_elsewhere(monkeypatch):
    clock = iter(range(0, 2000, 5))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    stream = io.StringIO()
    progress = Progress("quartic", 6, stream)
    for _ in range(6):
        progress.advance()
    assert stream.getvalue().splitlines() == [
        "quartic: 3/6  5.0 s/task  0:00:15 left",
        "quartic: 6/6  5.0 s/task  in 0:00:30",
    ]
