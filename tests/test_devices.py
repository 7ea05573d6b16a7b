"""Arrays on a device: moved in one place, computed with there, as on the CPU."""

import sys
from types import SimpleNamespace

import array_api_strict
import numpy as np
import pytest

from autocrit_lite import MLP, NetworkObjective
from autocrit_lite.cli import archive_folder
from autocrit_lite.devices import gpu, how_many_fit, require_device, to_device, to_numpy
from autocrit_lite.finders import Trace, newton_mr
from autocrit_lite.linalg.large_spectra import live_spectrum, round_to_single
from autocrit_lite.networks import objective as network_objective
from autocrit_lite.networks.initialization import initial_theta
from autocrit_lite.papers.registry import REGISTRY
from autocrit_lite.points.classes import is_gradient_flat, point_class
from autocrit_lite.runner import archive
from autocrit_lite.runner.store import Store
from tests.strict import DEVICE, as_gpu, back, there

# --- no GPU ---


class RuntimeApi(SimpleNamespace):
    CUDARuntimeError = type("CUDARuntimeError", (RuntimeError,), {})


def cupy_that(count):
    """Return what stands for CuPy where there is no GPU: ``count`` says so."""
    return SimpleNamespace(cuda=SimpleNamespace(runtime=RuntimeApi(getDeviceCount=count)))


def without_driver():
    raise RuntimeApi.CUDARuntimeError("cudaErrorInsufficientDriver")


@pytest.mark.parametrize(
    ("cupy", "says"),
    [
        (None, "no GPU: CuPy cannot be imported"),
        (cupy_that(lambda: 0), "no GPU: CUDA finds none"),
        (cupy_that(without_driver), "no GPU: cudaErrorInsufficientDriver"),
    ],
)
def test_a_gpu_that_is_not_there_is_one_error_that_says_what_is_needed(monkeypatch, cupy, says):
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    for call in (gpu, lambda: require_device("gpu"), lambda: to_device(np.zeros(2), "gpu")):
        with pytest.raises(RuntimeError, match=f"^{says}.*pip install autocrit-lite.gpu.") as error:
            call()
        assert "\n" not in str(error.value)
    require_device("cpu")


def test_an_unknown_device_is_refused():
    for call in (lambda: require_device("tpu"), lambda: to_device(np.zeros(2), "tpu")):
        with pytest.raises(ValueError, match="device must be one of 'cpu', 'gpu', not 'tpu'"):
            call()


# --- moving ---


def test_arrays_go_to_the_device_and_come_back(monkeypatch):
    as_gpu(monkeypatch)
    x = np.arange(6.0).reshape(2, 3)
    assert to_device(x, "cpu") is x
    assert to_numpy(x) is x
    moved = to_device(x, "gpu")
    assert moved.device == DEVICE
    assert np.array_equal(to_numpy(moved), x)
    assert to_numpy(None) is None
    assert to_numpy(3.0) == 3.0


def test_a_trace_comes_back_whole(monkeypatch):
    objective, theta, _ = problem()
    as_gpu(monkeypatch)
    far = objective.to_device("gpu")
    found = newton_mr(far, far.asarray(theta), 3)
    trace = to_numpy(found)
    assert isinstance(trace, Trace)
    assert isinstance(trace.theta, np.ndarray)
    assert isinstance(trace.stop_reason, np.ndarray)
    assert trace.thetas is None
    single = to_numpy(newton_mr(far, far.asarray(theta[0]), 3))
    assert single.stop_reason is newton_mr(objective, theta[0], 3).stop_reason


def test_as_many_fit_as_half_of_the_free_memory_holds(monkeypatch):
    as_gpu(monkeypatch, free_bytes=1000)
    assert how_many_fit(100) == 5
    assert how_many_fit(501) == how_many_fit(10**9) == 1


def test_a_point_keeps_as_much_memory_as_it_says():
    objective, theta, _ = problem(layers=(16, 8, 12, 16), loss="mse", n_samples=3000)
    point = objective.linearize(theta)
    kept = {}
    for state in (state for group in point._groups for state in group.states):
        for array in (*state.a[1:], *state.delta, *state.first, *state.second, state.output):
            base = array if array.base is None else array.base
            kept[id(base)] = base.nbytes
    assert 0.8 < sum(kept.values()) / (len(theta) * objective.point_bytes) < 1.2


# --- computing ---


def problem(layers=(5, 4, 6, 3), loss="cross_entropy", l2=0.1, n_samples=40, n_points=5):
    """Return an objective, points (B, n) and blocks of vectors (B, 3, n)."""
    rng = np.random.default_rng(0)
    net = MLP(layers, "swish")
    X = rng.normal(size=(n_samples, layers[0]))
    Y = rng.integers(0, layers[-1], n_samples) if loss == "cross_entropy" else X[:, : layers[-1]]
    theta = np.stack([initial_theta(net, "unit_rows", rng) for _ in range(n_points)])
    v = rng.normal(size=(n_points, 3, net.n_parameters))
    return NetworkObjective(net, X, Y, loss, l2), theta, v


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("cache", [2**17, 1])
def test_curvature_in_chunks_of_samples_and_groups_of_points(monkeypatch, loss, cache):
    """With the small cache the device's passes take points one by one."""
    expected, theta, v = problem(loss=loss)
    as_gpu(monkeypatch)
    monkeypatch.setattr(network_objective, "CACHE", cache)
    monkeypatch.setattr(network_objective, "chunk_size", lambda *_: 20)
    objective, *_ = problem(loss=loss)
    objective = objective.to_device("gpu")
    groups = objective.linearize(objective.asarray(theta))._groups
    assert len(groups) == (5 if cache == 1 else 1)
    assert len(groups[0].states) == 2
    for points, vectors in ((theta, v), (theta[1], v[1])):
        mine, theirs = objective.linearize(there(points)), expected.linearize(points)
        value, gradient = objective.value_and_gradient(there(points))
        pairs = [
            (mine.value, theirs.value),
            (value, theirs.value),
            (mine.gradient, theirs.gradient),
            (gradient, theirs.gradient),
            (mine.hvp(there(vectors)), theirs.hvp(vectors)),
            (mine.hvp(there(vectors[..., 0, :])), theirs.hvp(vectors[..., 0, :])),
            (mine.hessian(), theirs.hessian()),
        ]
        for got, wanted in pairs:
            assert np.allclose(back(got), wanted, rtol=1e-12, atol=1e-13)
    assert objective.n_samples == expected.n_samples == 40
    assert objective.hessian_cost == expected.hessian_cost


def test_classes_of_points():
    rng = np.random.default_rng(0)
    numbers = 10.0 ** rng.uniform(-10.0, 0.0, size=(3, 4, 50))
    numbers[1] = rng.uniform(0.8, 1.0, size=(4, 50))
    numbers[0, 0, :5] = numbers[2, 0, :9] = np.nan
    device = [there(x) for x in numbers]
    expected = point_class(*numbers)
    assert set(expected.ravel().tolist()) == {-1, 0, 1, 2}
    assert np.array_equal(back(point_class(*device)), expected)
    assert np.array_equal(back(is_gradient_flat(*device[1:])), is_gradient_flat(*numbers[1:]))


def test_the_spectrum_of_one_large_matrix():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(150, 150))
    A = A + A.T
    A[[3, 70], :] = A[:, [3, 70]] = 0.0
    rounded = A.copy()
    round_to_single(rounded)
    assert np.array_equal(rounded, A.astype(np.float32))
    far = there(A)
    round_to_single(far)
    norms, eigenvalues = live_spectrum(far)
    assert np.allclose(norms, np.linalg.norm(rounded, axis=1), rtol=1e-14, atol=0.0)
    live = np.delete(np.delete(rounded, [3, 70], axis=0), [3, 70], axis=1)
    assert np.allclose(eigenvalues, np.linalg.eigvalsh(live), rtol=0.0, atol=1e-12)
    assert live_spectrum(there(np.zeros((4, 4))))[1].shape == (0,)


# --- experiments ---

# systems are solved in a few iterations, before rounding errors grow
SHORT = {"trajectories": 2, "starts": 2, "batch": 4, "max_iterations": 3, "rtol": 0.3, "epochs": 40}
SMALL = {
    "mnist_autoencoder": {**SHORT, "n_samples": 200},
    "mnist_classifier": {**SHORT, "n_samples": 200},
    "random_labels": {**SHORT, "trajectories": 1, "batch": 2, "max_iterations": 2},
}


@pytest.mark.parametrize("name", [*SMALL, "linear_vs_nonlinear", "degenerate_saddles"])
def test_the_device_is_part_of_a_task_only_where_it_is_no_cpu(name):
    kind = REGISTRY[name]
    plain = kind.from_profile("paper")
    assert plain.device == "cpu"
    near = plain.tasks()
    assert not [task for task in near if "device" in str(task.configuration)]
    first, *rest = kind.from_profile("paper", device="gpu").stages()
    assert first == plain.stages()[0]  # training, whose results both share
    later = [task.configuration for stage in rest for task in stage]
    assert {c["device"] for c in later if c["stage"] in ("find", "spectrum")} == {"gpu"}
    assert len(later) < len(near) or name == "degenerate_saddles"


@pytest.mark.parametrize("name", SMALL)
def test_the_archive_is_still_that_of_the_cpu(name):
    tasks = [task.key for task in REGISTRY[name].from_profile("paper").tasks()]
    assert set(tasks) == {key for _, part in archive.parts(archive_folder(), name) for key in part}


@pytest.mark.parametrize("name", SMALL)
def test_searches_on_a_device_end_where_they_do_on_the_cpu(monkeypatch, tmp_path, name):
    store = Store(tmp_path)
    kind, options = REGISTRY[name], SMALL[name]
    near = kind.from_profile("quick", **options)
    near.run(workers=1, store=store)
    as_gpu(monkeypatch)
    far = kind.from_profile("quick", device="gpu", **options)
    (searches,) = far.stages()[1:]
    assert len(searches) == 1
    assert far.run(workers=4, store=store) == 1  # in this process, where the device is
    expected, found = near.load(store=store), far.load(store=store)
    assert found.arrays.keys() == expected.arrays.keys()
    for array, wanted in ((found[x], expected[x]) for x in expected.arrays):
        assert type(array) is np.ndarray
        assert array.dtype == wanted.dtype
        assert np.allclose(array, wanted, rtol=1e-10, atol=1e-12, equal_nan=True)


def test_runs_that_do_not_fit_together_go_one_after_the_other(monkeypatch):
    kind = REGISTRY["mnist_autoencoder"]
    ((training,), (search,)) = kind.from_profile(
        "quick", device="gpu", **SMALL["mnist_autoencoder"]
    ).stages()
    trained = training.compute()
    found = []
    for free in (2**40, 1):
        as_gpu(monkeypatch, free_bytes=free)
        found.append(search.compute(trained))
    for name, together in found[0].items():
        assert np.allclose(found[1][name], together, rtol=1e-10, atol=1e-12, equal_nan=True)


def test_spectra_on_a_device_are_those_of_the_cpu(monkeypatch, tmp_path):
    store = Store(tmp_path)
    options = {
        "rows": ("momentum", "single precision"),
        "trials": 1,
        "n_train": 300,
        "n_test": 100,
        "max_epochs": 2,
        "course_epochs": 1,
        "course_size": 6,
    }
    kind = REGISTRY["degenerate_saddles"]
    near = kind.from_profile("quick", **options)
    near.run(workers=1, store=store)
    as_gpu(monkeypatch)
    far = kind.from_profile("quick", device="gpu", **options)
    assert far.run(workers=1, store=store) == 2
    expected, found = near.load(store=store), far.load(store=store)
    scale = np.nanmax(np.abs(expected["eigenvalues"]))
    assert np.allclose(
        found["eigenvalues"], expected["eigenvalues"], rtol=0.0, atol=1e-10 * scale, equal_nan=True
    )
    assert np.array_equal(found["zero_rows"], expected["zero_rows"])
    assert np.array_equal(found["sources"], expected["sources"])


def test_the_command_line_runs_on_the_gpu(monkeypatch, tmp_path, capsys):
    from autocrit_lite.cli import main

    monkeypatch.setenv("AUTOCRIT_LITE_RESULTS", str(tmp_path))
    as_gpu(monkeypatch)
    arguments = ["run", "random_labels", "--device", "gpu", "--workers", "1"]
    for name, value in SMALL["random_labels"].items():
        arguments += ["-p", name, str(value)]
    assert main(arguments) == 0
    assert "2 tasks, 2 of them computed now" in capsys.readouterr().out


def test_strict_arrays_cannot_leave_their_device_unseen():
    """What all of this rests on."""
    for call in (np.asarray, lambda x: x + array_api_strict.ones(3), lambda x: np.add(x, x)):
        with pytest.raises((RuntimeError, TypeError, ValueError)):
            call(there(np.ones(3)))
