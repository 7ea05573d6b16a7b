import os
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace

import numpy as np
import pytest
from scipy import optimize

from autocrit_lite.devices import require_device
from autocrit_lite.ground_truth.quartic import FLAT_SQUARED_GRADIENT_NORM
from autocrit_lite.papers.frye_2021 import quartic
from autocrit_lite.papers.registry import REGISTRY
from autocrit_lite.runner import archive
from autocrit_lite.runner.experiment import FailedTasksError, MissingResultsError
from autocrit_lite.runner.results import Results
from autocrit_lite.runner.store import Store
from tests.runner.test_parallel import cluster
from tests.synthetic import Synthetic


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results", tmp_path / "archive")


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log"
    path.touch()
    return path


def computed(log):
    return sorted(map(int, log.read_text().split()))


def pack(experiment, store):
    kept = [store.read(task) for task in experiment.tasks()]
    archive.pack(store.archive, experiment.name, "paper", kept)


# --- settings ---


def test_a_profile_may_be_changed_and_none_changes_nothing():
    assert Synthetic.from_profile("paper").runs == 8
    assert Synthetic.from_profile("quick").runs == 4
    assert Synthetic.from_profile("quick", runs=None, seed=3) == Synthetic("quick", 4, seed=3)
    assert Synthetic.from_profile("paper", layers=[4, 5], scale=2).layers == (4, 5)
    assert isinstance(Synthetic.from_profile("paper", scale=2).scale, float)


def test_only_the_papers_settings_make_the_papers_figures():
    for kind in REGISTRY.values():
        assert kind.from_profile("paper").scale == "paper"
        assert kind.from_profile("quick").scale == "quick"
    assert quartic.Quartic.from_profile("paper", grid=(9, 9)).scale == "own settings"


def test_the_profile_is_no_part_of_a_task():
    paper, quick = (Synthetic.from_profile(profile, runs=3) for profile in ("paper", "quick"))
    assert paper.tasks() == quick.tasks()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"run": 3}, "synthetic has no setting 'run'; it has runs, size, seed"),
        ({"profile": "quick"}, "has no setting 'profile'"),
        ({"runs": 0}, "runs must be at least 1, not 0"),
        ({"runs": 3.0}, "runs must be an integer, not 3.0"),
        ({"runs": True}, "runs must be an integer, not True"),
        ({"scale": "2"}, "scale must be a number, not '2'"),
        ({"scale": 11.0}, "scale must be above 0 and at most 10, not 11"),
        ({"scale": float("nan")}, "scale must be above 0"),
        ({"seconds": float("inf")}, "seconds must be finite, not inf"),
        ({"seconds": 10**400}, "seconds must be less than 1e308"),
        ({"window": (float("-inf"), 1.0)}, "each of window must be finite, not -inf"),
        ({"layers": 3}, "layers must be a list, not 3"),
        ({"layers": [2, 0]}, "each of layers must be at least 1, not 0"),
        ({"window": (1.0,)}, "window must be a list of 2, not"),
        ({"window": (2.0, 1.0)}, "window must be two growing numbers"),
        ({"kind": "round"}, "kind must be one of 'plain', 'bent', not 'round'"),
        ({"exact": 1}, "exact must be True or False, not 1"),
        ({"log": 3}, "log must be a text, not 3"),
        ({"limit": 0}, "limit must be at least 1, not 0"),
    ],
)
def test_a_bad_setting_is_refused_by_name(overrides, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Synthetic.from_profile("paper", **overrides)


@pytest.mark.parametrize("kind", REGISTRY.values())
def test_every_setting_states_its_source_and_every_profile_is_valid(kind):
    settings = kind.from_profile("paper").settings()
    assert (settings["source"].str.len() > 3).all()
    assert list(settings.index) == [f.name for f in fields(kind)][1:]
    assert kind.quick.keys() <= set(settings.index)
    for profile in ("paper", "quick"):
        tasks = kind.from_profile(profile).tasks()
        assert len({task.key for task in tasks}) == len(tasks) > 0


def test_a_gpu_that_is_not_there_is_an_error():
    require_device("cpu")
    try:
        import cupy

        cupy.cuda.runtime.getDeviceCount()
    except Exception:
        with pytest.raises(RuntimeError, match="no GPU"):
            require_device("gpu")
    else:
        require_device("gpu")


# --- running ---


def test_what_is_stored_is_not_computed_again(store, log):
    experiment = Synthetic.from_profile("paper", log=str(log))
    assert experiment.run(workers=1, store=store) == 9
    assert experiment.run(workers=1, store=store) == 0
    assert replace(experiment, runs=10).run(workers=1, store=store) == 2
    assert computed(log) == list(range(10))
    assert experiment.run(workers=1, force=True, store=store) == 9
    assert len(computed(log)) == 18


def test_where_tasks_run_changes_no_bit_of_what_is_stored(tmp_path):
    experiment = Synthetic.from_profile("paper")

    def arrays(name, **how):
        store = Store(tmp_path / name)
        experiment.run(store=store, **how)
        records = [store.read(task) for task in experiment.tasks()]
        return [
            (name, array.dtype, array.tobytes())
            for record in records
            for name, array in sorted(record.arrays.items())
        ]

    expected = arrays("one", workers=1)
    assert len(expected) == 1 + 8 * 3
    assert arrays("two", workers=2) == expected
    with cluster() as address:
        assert arrays("dask", dask=address) == expected


def test_failed_tasks_are_named_and_the_others_are_kept(store):
    experiment = Synthetic.from_profile("paper", trouble="raise")
    with pytest.raises(FailedTasksError) as caught:
        experiment.run(workers=2, store=store)
    [line] = str(caught.value).splitlines()
    key = experiment.stages()[1][3].key
    assert line.startswith(f"synthetic: task {key[:12]}: ArithmeticError: no such luck")
    assert len(list((store.results / "synthetic").iterdir())) == 8
    with pytest.raises(MissingResultsError, match="1 of the 9 tasks of synthetic"):
        experiment.load(store=store)


def test_a_task_whose_worker_dies_once_is_computed(store, log):
    experiment = Synthetic.from_profile("paper", trouble="die once", log=str(log))
    assert experiment.run(workers=2, store=store) == 9
    assert experiment.load(store=store)["end"].tolist() == [0, 1, 2, 0, 1, 2, 0, 1]


def test_a_damaged_result_is_computed_again(store, log, caplog):
    experiment = Synthetic.from_profile("paper", log=str(log))
    experiment.run(workers=1, store=store)
    before = experiment.load(store=store)
    path = store.path(experiment.stages()[1][2])
    path.write_bytes(path.read_bytes()[:-200])
    assert experiment.run(workers=1, store=store) == 1
    assert computed(log) == sorted([*range(8), 2])
    assert str(path) in caplog.text
    assert np.array_equal(experiment.load(store=store)["x"], before["x"])


def test_at_the_papers_scale_nothing_is_computed_unasked(store, log):
    experiment = Synthetic.from_profile("paper", log=str(log))
    with pytest.raises(MissingResultsError, match="autocrit-lite run synthetic --profile paper"):
        experiment.results(store=store)
    expected = experiment.results(recompute=True, workers=1, store=store)
    pack(experiment, store)
    for path in (store.results / "synthetic").iterdir():
        path.unlink()
    assert np.array_equal(experiment.results(store=store)["x"], expected["x"])
    assert len(computed(log)) == 8
    experiment.results(recompute=True, workers=1, store=store)  # not from the archive
    assert len(computed(log)) == 16


def test_the_quick_profile_computes_what_is_missing_without_the_archive(store, log):
    experiment = Synthetic.from_profile("quick", log=str(log))
    experiment.run(workers=1, store=store)
    pack(experiment, store)
    for path in (store.results / "synthetic").iterdir():
        path.unlink()
    for _ in range(2):
        assert experiment.results(workers=1, store=store)["x"].shape == (4, 60)
    assert computed(log) == sorted([*range(4), *range(4)])


def start(folder, log, runs, seconds):
    settings = {"log": log, "runs": runs, "seconds": seconds}
    given = [text for name, value in settings.items() for text in ("-p", name, str(value))]
    run = ["run", "synthetic", "--profile", "paper", "--workers", "2", *given]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.synthetic", *run],
        env={**os.environ, "AUTOCRIT_LITE_RESULTS": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def test_two_processes_on_one_folder_share_the_work(tmp_path, log):
    both = [start(tmp_path, log, 12, 0.1) for _ in range(2)]
    assert [process.communicate(timeout=120) and process.returncode for process in both] == [0, 0]
    experiment = Synthetic.from_profile("paper", log=str(log), runs=12, seconds=0.1)
    results = experiment.load(store=Store(tmp_path))
    assert results["x"].shape == (12, 60)
    assert computed(log) == list(range(12))
    assert all(path.suffix == ".npz" for path in (tmp_path / "synthetic").iterdir())


@pytest.mark.parametrize(
    ("kills", "runs"), [(3, 16), pytest.param(20, 500, marks=pytest.mark.slow)]
)
def test_kills_lose_nothing_and_repeat_nothing(tmp_path, log, kills, runs):
    """SIGKILL to the whole process group, from before the first task to the midst of the work."""
    rng = np.random.default_rng(kills)
    experiment = Synthetic.from_profile("paper", log=str(log), runs=runs, seconds=0.1)
    matrix, tasks = experiment.stages()[0][0], experiment.stages()[1]
    store = Store(tmp_path / "results")

    def finished():
        return {
            i: store.path(task).read_bytes()
            for i, task in enumerate([*tasks, matrix])
            if store.path(task).is_file()
        }

    kept, started = {}, 0
    for kill in range(kills + 1):
        process = start(tmp_path / "results", log, runs, 0.1)
        if kill < kills:
            if kill % 2 == 0:  # these do not end before the work has begun
                deadline = time.monotonic() + 30
                while len(finished()) <= len(kept) and time.monotonic() < deadline:
                    time.sleep(0.01)
            time.sleep(rng.uniform(0.0, 1.0))
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=120)
        again = [int(line) for line in log.read_text().split()[started:]]
        assert not kept.keys() & set(again), "a finished task was computed again"
        started += len(again)
        now = finished()
        assert kept.items() <= now.items(), "a finished result was lost or replaced"
        kept = now
    assert process.returncode == 0
    assert len(kept) == runs + 1
    clean = replace(experiment, log="", seconds=0.0)
    clean.run(workers=1, store=Store(tmp_path / "clean"))
    expected = clean.load(store=Store(tmp_path / "clean"))
    assert np.array_equal(experiment.load(store=store)["x"], expected["x"])


# --- results ---


def test_results_as_a_frame_repeat_what_lacks_a_dimension():
    results = Results(
        {"loss": np.arange(6.0).reshape(2, 3), "end": np.array([7, 8]), "t": np.zeros((3, 2))},
        {"loss": ("run", "iteration"), "end": ("run",), "t": ("iteration", "run")},
        {"run": ["a", "b"]},
    )
    frame = results.to_frame("run", "iteration")
    assert list(frame.columns) == ["run", "iteration", "loss", "end", "t"]
    assert frame["run"].tolist() == ["a"] * 3 + ["b"] * 3
    assert frame["end"].tolist() == [7] * 3 + [8] * 3
    assert frame["loss"].tolist() == list(range(6))
    assert results.to_frame("iteration", "run")["loss"].tolist() == [0, 3, 1, 4, 2, 5]
    assert results.to_frame("run").columns.tolist() == ["run", "end"]


def test_results_whose_dimensions_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="dims of x must name its 2 dimensions"):
        Results({"x": np.zeros((2, 2))}, {"x": ("run",)})
    with pytest.raises(ValueError, match="x has 2 along run, others have 3"):
        Results({"x": np.zeros(2)}, {"x": ("run",)}, {"run": [1, 2, 3]})


# --- the quartic ---


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    experiment = quartic.Quartic.from_profile("quick", grid=(6, 4), max_iterations=150)
    return experiment, experiment.results(workers=1, store=Store(tmp_path_factory.mktemp("q")))


def test_every_start_of_the_grid_is_run_in_every_way(runs):
    _, results = runs
    assert results["theta"].shape == (2, 2, 24, 151, 2)
    starts = results["theta"][:, :, :, 0]
    assert (starts == starts[0, 0]).all()
    assert len({tuple(start) for start in starts[0, 0]}) == 24
    assert starts.min(axis=(0, 1, 2)).tolist() == [-5.0, -4.5]
    assert starts.max(axis=(0, 1, 2)).tolist() == [5.0, 4.5]


def test_each_end_is_what_its_class_says(runs):
    _, results = runs
    theta, norms = results["theta"].reshape(-1, 151, 2), results["squared_gradient_norm"]
    for path, norm, end in zip(theta, norms.reshape(-1, 151), results["end"].ravel(), strict=True):
        last = np.isfinite(norm).sum() - 1
        assert np.isnan(path[last + 1 :]).all()
        x, y = path[last]
        gradient = np.array([x**3 - 6.0 * x + 9.0, 3.6 * y**3 + 10.0 * y])
        assert norm[last] == pytest.approx(gradient @ gradient, rel=1e-12, abs=1e-25)
        if quartic.ENDS[end] == "critical point":
            assert np.hypot(x + 3.0, y) < 1e-4
        elif quartic.ENDS[end] == "flat point":
            assert np.hypot(x - np.sqrt(2.0), y) < 1e-2
            assert norm[last] == pytest.approx(FLAT_SQUARED_GRADIENT_NORM, rel=0.01)
    assert set(results["end"].ravel()) >= {0, 1}


def test_the_claims_of_figure_2(runs):
    experiment, results = runs
    claims = experiment.claims(results)
    lowest = optimize.minimize_scalar(
        lambda x: (x**3 - 6.0 * x + 9.0) ** 2, bounds=(1.0, 2.0), method="bounded"
    ).fun
    least, _ = claims["f21-quartic-value"].interval
    assert least == pytest.approx(lowest, rel=0.01)
    assert least <= claims["f21-quartic-value"].value
    assert claims["f21-quartic-value"].verdict == "reproduced"
    assert 0 <= claims["f21-quartic-basin"].value <= 15


@pytest.mark.parametrize(
    "overrides",
    [{"x_range": (1.0, 1.0)}, {"directions": ()}, {"step_rules": ("carry", "carry")}, {"rtol": -1}],
)
def test_bad_settings_of_the_quartic_are_refused(overrides):
    with pytest.raises(ValueError, match=next(iter(overrides))):
        quartic.Quartic.from_profile("paper", **overrides)
