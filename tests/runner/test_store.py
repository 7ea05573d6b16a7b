import json
import logging
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from autocrit_lite.runner import archive, store
from autocrit_lite.runner.store import Record, Store, Task, new_record

TASK = Task("synthetic", 1, {"seed": 3, "layers": (2, 3), "rate": 0.1})


def arrays(rng, size=50):
    history = rng.standard_normal((4, size))
    history[1, 7:] = np.nan
    return {
        "theta": history,
        "end": np.array(2),
        "flags": np.array([True, False]),
        "none": np.zeros((0, 3)),
    }


def same(a, b):
    return a.keys() == b.keys() and all(
        a[k].dtype == b[k].dtype and a[k].shape == b[k].shape and a[k].tobytes() == b[k].tobytes()
        for k in a
    )


@pytest.fixture
def folder(tmp_path):
    return Store(tmp_path / "results", tmp_path / "archive")


@pytest.fixture
def record():
    return new_record(TASK, arrays(np.random.default_rng(0)), 1.5)


def test_a_result_comes_back_bit_for_bit(folder, record):
    assert folder.read(TASK) is None
    folder.write(TASK, record)
    found = folder.read(TASK)
    assert same(found.arrays, record.arrays)
    assert found.header == record.header
    assert list(folder.path(TASK).parent.iterdir()) == [folder.path(TASK)]


def test_the_header_says_what_made_the_result_but_not_where(record):
    header = record.header
    assert header["configuration"] == {"seed": 3, "layers": [2, 3], "rate": 0.1}
    assert header["seed"] == 3
    assert header["versions"]["numpy"] == np.__version__
    assert header["machine"]["architecture"] == platform.machine()
    assert header["created"].endswith("+00:00")
    text = json.dumps(header)
    assert os.getcwd() not in text
    assert str(Path.home()) not in text
    assert platform.node() not in text.split('"')


def test_the_key_depends_on_every_number_and_on_nothing_else():
    keys = {
        TASK.key,
        Task("other", 1, TASK.configuration).key,
        Task("synthetic", 2, TASK.configuration).key,
        Task("synthetic", 1, {**TASK.configuration, "rate": np.nextafter(0.1, 1.0)}).key,
        Task("synthetic", 1, {**TASK.configuration, "more": None}).key,
    }
    assert len(keys) == 5
    assert Task("synthetic", 1, {"rate": 0.1, "layers": [2, 3], "seed": 3}).key == TASK.key


@pytest.mark.parametrize("value", [float("nan"), np.float32(1.0), object()])
def test_a_configuration_that_json_cannot_hold_is_refused(value):
    with pytest.raises((TypeError, ValueError)):
        Task("synthetic", 1, {"value": value})


@pytest.mark.parametrize("array", [np.zeros(2, np.float32), np.array(["a"]), np.array([None])])
def test_arrays_of_other_types_are_refused(array):
    with pytest.raises(TypeError, match="array 'x' of synthetic must hold float64, int64 or bool"):
        new_record(TASK, {"x": array}, 0.0)


def test_damage_is_reported_set_aside_and_never_read(folder, record, caplog):
    rng = np.random.default_rng(1)
    folder.write(TASK, record)
    path = folder.path(TASK)
    whole = path.read_bytes()
    found_damaged = 0
    for trial in range(300):
        data = bytearray(whole)
        if trial % 3 == 0:
            del data[rng.integers(len(data)) :]
        else:
            for position in rng.integers(len(data), size=trial % 3):
                data[position] ^= 1 << rng.integers(8)
        path.write_bytes(data)
        caplog.clear()
        found = folder.read(TASK)
        if found is None:
            found_damaged += 1
            assert str(path) in caplog.text
            assert not path.exists()
            path.with_suffix(".damaged").unlink()
        else:  # a bit that means nothing, such as a date of the zip file
            assert same(found.arrays, record.arrays)
            assert found.header == record.header
    assert found_damaged > 250


def test_a_forged_array_or_header_is_damage(folder, record):
    changed = {**record.arrays, "theta": record.arrays["theta"] + 1e-15}
    header = {**record.header, "seconds": 2.0}
    for forged in (Record(record.header, changed), Record(header, record.arrays)):
        folder.write(TASK, forged)
        assert folder.read(TASK) is None


def test_the_result_of_another_task_is_damage(folder, record, caplog):
    other = Task("synthetic", 1, {"seed": 4})
    folder.write(TASK, record)
    folder.path(TASK).rename(folder.path(other))
    assert folder.read(other) is None
    assert "holds the result of another task" in caplog.text


def test_a_failed_write_leaves_the_earlier_result(folder, record, monkeypatch):
    folder.write(TASK, record)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        folder.write(TASK, new_record(TASK, {"theta": np.zeros(3)}, 0.0))
    monkeypatch.undo()
    assert same(folder.read(TASK).arrays, record.arrays)
    assert list(folder.path(TASK).parent.iterdir()) == [folder.path(TASK)]


def test_readers_never_see_half_a_result(folder):
    versions = [new_record(TASK, {"x": np.full(20_000, float(i))}, 0.0) for i in range(2)]
    folder.write(TASK, versions[0])
    stop = time.monotonic() + 1.0

    def write(version):
        while time.monotonic() < stop:
            folder.write(TASK, version)

    writers = [threading.Thread(target=write, args=(version,)) for version in versions]
    for writer in writers:
        writer.start()
    reads = 0
    while time.monotonic() < stop:
        assert folder.read(TASK).arrays["x"][-1] in (0.0, 1.0)
        reads += 1
    for writer in writers:
        writer.join()
    assert reads > 3


def test_only_old_temporary_files_are_swept(folder, record):
    folder.write(TASK, record)
    old, new = (folder.path(TASK).with_name(f".{name}.tmp") for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    folder.sweep("synthetic")
    assert sorted(folder.path(TASK).parent.iterdir()) == sorted([new, folder.path(TASK)])


FULL = {
    "file size limit": "ulimit -f 40",  # of 512 bytes: what raises EFBIG needs no privileges
    "full tmpfs": 'mount -t tmpfs -o size=64k tmpfs "$RESULTS"',
}
RUNS = """
run() { "$PYTHON" -m tests.synthetic run synthetic --profile paper --workers 1 -p size $1; }
run 20 || exit 9
run 150
status=$?
run 20
ls -A "$RESULTS/synthetic"
exit $status
"""


@pytest.mark.parametrize("where", FULL)
def test_a_full_disk_is_reported_and_damages_nothing(tmp_path, where):
    # a matrix of 20 × 20 takes 3 kB, one of 150 × 150 takes 170 kB
    variables = {"AUTOCRIT_LITE_RESULTS": str(tmp_path), "RESULTS": str(tmp_path)}
    environment = {**os.environ, **variables, "PYTHON": sys.executable}
    own_mounts = ["unshare", "-rm"] if where == "full tmpfs" else []

    def shell(script):
        command = [*own_mounts, "sh", "-c", script]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    if own_mounts and (not shutil.which("unshare") or shell(FULL[where]).returncode):
        pytest.skip("this machine lets nobody mount a tmpfs")
    done = shell(f"{FULL[where]}\n{RUNS}")
    assert done.returncode == 1, done.stderr
    [line] = [line for line in done.stderr.splitlines() if "error:" in line]
    assert "File too large" in line or "No space left on device" in line
    assert "no further tasks were started" in line
    first, again, *names = done.stdout.splitlines()
    assert first.endswith("9 tasks, 9 of them computed now")
    assert again.endswith("9 tasks, 0 of them computed now")
    assert len(names) == 9
    assert all(name.endswith(".npz") for name in names)


# --- the archive ---


def records(rng, count, size):
    tasks = [Task("synthetic", 1, {"run": i, "seed": 0}) for i in range(count)]
    kept = [arrays(rng, size + i % 2) if i % 5 else {"A": rng.random((3, 2))} for i in range(count)]
    return tasks, [new_record(task, own, 0.0) for task, own in zip(tasks, kept, strict=True)]


def test_what_is_packed_is_read_as_it_was(folder, monkeypatch, caplog):
    tasks, kept = records(np.random.default_rng(2), 23, 300)
    [*paths] = archive.pack(folder.archive, "synthetic", "paper", kept)
    assert len(paths) == 2  # two kinds of results
    monkeypatch.setattr(archive, "MAXIMUM_BYTES", 30_000)
    paths = archive.pack(folder.archive, "synthetic", "paper", kept)
    assert len(paths) > 5
    assert all(path.stat().st_size <= 30_000 for path in paths)
    for task, record in zip(tasks, kept, strict=True):
        found = folder.read(task)
        assert same(found.arrays, record.arrays)
        assert found.header == record.header
    assert {profile for profile, _ in archive.parts(folder.archive, "synthetic")} == {"paper"}
    assert not caplog.records
    again = archive.pack(folder.archive, "synthetic", "paper", kept[:1])
    assert sorted((folder.archive / "synthetic").iterdir()) == again


def test_the_archive_comes_before_the_results(folder, record):
    newer = new_record(TASK, {"theta": np.zeros(1)}, 0.0)
    folder.write(TASK, newer)
    archive.pack(folder.archive, "synthetic", "paper", [record])
    assert same(folder.read(TASK).arrays, record.arrays)
    assert same(Store(folder.results).read(TASK).arrays, newer.arrays)


def test_a_result_too_large_for_a_file_is_refused(folder):
    huge = new_record(TASK, {"x": np.random.default_rng(3).random(300_000)}, 0.0)
    with pytest.raises(ValueError, match="one result of synthetic takes"):
        archive.pack(folder.archive, "synthetic", "paper", [huge])


def test_a_damaged_archive_is_reported_and_not_read(folder, caplog):
    caplog.set_level(logging.WARNING)
    rng = np.random.default_rng(4)
    tasks, kept = records(rng, 6, 40)
    folder.write(tasks[0], kept[0])
    path = archive.pack(folder.archive, "synthetic", "paper", kept)[-1]
    whole = path.read_bytes()
    for trial in range(60):
        data = bytearray(whole)
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        path.write_bytes(data)
        os.utime(path, ns=(trial + 1, trial + 1))
        for task, record in zip(tasks, kept, strict=True):
            found = folder.read(task)
            assert found is None or same(found.arrays, record.arrays)
    path.write_bytes(whole[:-100])
    assert folder.read(tasks[1]) is None or path.stem == "01"
    assert str(path) in caplog.text
    assert path.exists()


def test_a_wrong_checksum_in_the_archive_is_damage(folder, record, caplog):
    forged = Record(record.header, {**record.arrays, "end": np.array(3)})
    archive.pack(folder.archive, "synthetic", "paper", [forged])
    assert folder.read(TASK) is None
    assert TASK.key in caplog.text


def test_the_commit_is_unknown_without_git(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert store._commit() == "unknown"


def git(folder, *arguments):
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", folder, *arguments]
    subprocess.run(command, check=True, capture_output=True)


def test_the_commit_of_another_repository_is_not_taken_for_ones_own(tmp_path, monkeypatch):
    own = tmp_path / "own" / "package"
    (own / "runner").mkdir(parents=True)
    (own / "__init__.py").touch()
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "another's")
    monkeypatch.setattr(store, "__file__", str(own / "runner" / "store.py"))
    assert store._commit() == "unknown"
    git(tmp_path / "own", "init", "-q")
    git(tmp_path / "own", "add", ".")
    git(tmp_path / "own", "commit", "-q", "-m", "own")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    commit = store._commit()
    assert len(commit) == 40
    (own / "__init__.py").write_text("changed")
    assert store._commit() == f"{commit} modified"


def test_the_header_names_the_kernel_and_the_versions():
    known = store.provenance()
    kinds = {x["architecture"] for x in threadpool_info() if x["user_api"] == "blas"}
    assert all(any(str(kind) in text for text in known["machine"]["blas"]) for kind in kinds)
    assert known["versions"]["numpy"] == np.__version__
    assert {"python", "scipy", "autograd"} <= known["versions"].keys()
