"""A reader's own data and networks in the experiments of Figs 3, 4 and 5 of Frye et al. 2021."""

import numpy as np
import pytest

from autocrit_lite import MLP
from autocrit_lite.datasets.own import checked_samples, npz_arrays
from autocrit_lite.papers.frye_2021.mnist_autoencoder import MnistAutoencoder
from autocrit_lite.papers.frye_2021.mnist_classifier import MnistClassifier
from autocrit_lite.papers.frye_2021.random_labels import RandomLabels
from autocrit_lite.runner.store import Store

SMALL = {"trajectories": 1, "starts": 2, "epochs": 5, "max_iterations": 2, "batch": 2}
KINDS = (MnistAutoencoder, MnistClassifier, RandomLabels)


@pytest.fixture
def file(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "mine.npz"
    X = rng.standard_normal((60, 6)).astype(np.float32)
    np.savez(path, X=X, y=(X[:, 0] > 0).astype(np.uint8) + (X[:, 1] > 0))
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_the_figures_own_tasks_are_named_as_they_always_were(kind):
    """The archive was computed before there was a choice."""
    assert not {"layers", "data_file", "sha256"} & set(kind.from_profile("paper").training)
    layers = (*kind.layers[:-1], 20, kind.layers[-1])
    assert kind.from_profile("paper", layers=layers).training["layers"] == layers


@pytest.mark.parametrize(
    ("kind", "layers", "bias"),
    [
        (MnistAutoencoder, (6, 2, 6), True),
        (MnistClassifier, (6, 5, 3), True),
        (RandomLabels, (4, 3, 3), False),
    ],
)
def test_a_figure_of_ones_own(kind, layers, bias, file):
    experiment = kind.from_profile(
        "quick", **SMALL, n_samples=50, layers=list(layers), data_file=str(file)
    )
    results = experiment.results(workers=1, store=Store(file.parent / "results"))
    objective = experiment.objective()
    assert objective.net == MLP(layers, bias=bias)
    assert objective.n_samples == 50
    value, _ = objective.value_and_gradient(results["theta_point"][:, 1])
    np.testing.assert_allclose(results["point_value"][:, 1], value, rtol=1e-12)
    assert experiment.claims(results) == {}


def test_the_autoencoder_sees_the_files_rows_z_scored(file):
    experiment = MnistAutoencoder.from_profile(
        "quick", layers=(6, 2, 6), data_file=str(file), n_samples=40, scaling="overall"
    )
    X, Y = experiment.samples()
    rows = np.load(file)["X"][:40].astype(np.float64)
    np.testing.assert_array_equal(X, (rows - rows.mean()) / rows.std())
    assert Y is X
    whole = MnistAutoencoder.from_profile("paper", layers=(6, 2, 6), data_file=str(file))
    assert len(whole.samples()[0]) == 60  # no more are there


def test_labels_of_the_file_are_shuffled_to_be_memorised(file):
    experiment = RandomLabels.from_profile("quick", layers=(4, 3, 3), data_file=str(file))
    X, labels = experiment.samples()
    y = np.load(file)["y"]
    assert X.shape == (50, 4)
    np.testing.assert_allclose(X.mean(axis=0), 0.0, atol=1e-12)
    assert set(labels) <= set(y.tolist())
    other = RandomLabels.from_profile("quick", layers=(4, 3, 3), data_file=str(file), seed=1)
    assert not np.array_equal(other.samples()[1], labels)


def test_results_belong_to_the_files_content(file):
    settings = {"layers": (6, 2, 6), "data_file": str(file)}
    before = MnistAutoencoder.from_profile("quick", **settings)
    np.savez(file, X=np.load(file)["X"] + np.float32(1.0))
    assert MnistAutoencoder.from_profile("quick", **settings).training != before.training
    with pytest.raises(ValueError, match="has changed"):
        before.objective()


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (MnistAutoencoder, {"layers": (16,)}, "layers must be at least two sizes"),
        (MnistAutoencoder, {"layers": (16, 0, 16)}, "each of layers must be at least 1"),
        (MnistAutoencoder, {"layers": (8, 4, 16)}, "layers must begin with 16 and end with 16"),
        (MnistAutoencoder, {"layers": (16, 4, 8)}, "layers must begin with 16 and end with 16"),
        (MnistClassifier, {"layers": (16, 9)}, "begin with 16 and end with at least 10"),
        (RandomLabels, {"layers": (50, 2)}, "layers must begin with less than the n_samples = 50"),
        (RandomLabels, {"layers": (32, 1)}, "end with at least 2"),
        (MnistAutoencoder, {"data_file": "none.npz"}, "data_file must name a data file"),
    ],
)
def test_a_network_that_does_not_fit_is_refused_before_any_work(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind.from_profile("quick", **settings)


@pytest.mark.parametrize(
    ("kind", "arrays", "message"),
    [
        (MnistAutoencoder, {"Y": np.eye(6)}, "must hold X, and lacks X"),
        (MnistClassifier, {"X": np.eye(6)}, "must hold X, y, and lacks y"),
        (MnistClassifier, {"X": np.eye(6), "y": -np.arange(6)}, "labels from 0 upwards"),
        (MnistClassifier, {"X": np.eye(6), "y": np.arange(5)}, "y in .* shape"),
        (MnistAutoencoder, {"X": np.arange(6)}, "X in .* shape"),
        (MnistAutoencoder, {"X": np.ones((6, 6))}, "constant columns, as 0, 1, 2, 3, 4, 5 are"),
        (RandomLabels, {"X": np.eye(6), "y": np.arange(6)}, "n_samples must be at most the 6"),
        (RandomLabels, {"X": np.eye(60, 5), "y": np.arange(60)}, "layers must begin with at most"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(kind, arrays, message, tmp_path):
    path = tmp_path / "wrong.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=message):
        kind.from_profile("quick", layers=(6, 6), data_file=str(path))


TABLE = np.array([[0.5, -1.0, 0.0], [1.5, 2.0, 1.0], [-0.5, 0.25, 0.0], [3.0, 1.0, 1.0]])


def table_file(folder, kind):
    rows = TABLE.tolist()
    path = folder / f"data {kind}.txt"
    delimiter = {"semicolons": ";", "tabs": "\t"}.get(kind, ",")
    lines = [delimiter.join(f"{x:g}" for x in row) for row in rows]
    if kind == "npy":
        np.save(folder / "data.npy", TABLE)
        return folder / "data.npy"
    if kind == "names":
        lines = ["height,width,y", *lines]
    if kind == "label first":
        lines = ["y,height,width", *(",".join(f"{x:g}" for x in row[2:] + row[:2]) for row in rows)]
    if kind == "carriage returns":
        path.write_bytes("\r\n".join(lines).encode())
    elif kind == "mark":
        path.write_bytes(b"\xef\xbb\xbf" + "\n".join(lines).encode())
    else:
        path.write_text("\n".join(lines) + "\n")
    return path


TEXTS = ("commas", "semicolons", "tabs", "names", "label first", "carriage returns", "mark", "npy")


@pytest.mark.parametrize("kind", TEXTS)
def test_tables_as_other_programs_write_them(kind, tmp_path):
    path = str(table_file(tmp_path, kind))
    arrays = npz_arrays("data_file", path, ("X", "y"))
    assert np.array_equal(arrays["X"], TABLE[:, :2])
    _, y = checked_samples(path, "", arrays["X"], arrays["y"])
    assert y.tolist() == [0, 1, 0, 1]
    assert np.array_equal(npz_arrays("data_file", path, ("X",))["X"].shape, (4, 3))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"1,2,0\n3,,1\n", r"line 2, column 2: is empty"),
        (b"a,b,y\n1,2,0\n3,high,1\n", r"line 3, column 2: 'high' is no number"),
        (b"1,2,0\n3,nan,1\n", r"X in .* holds nan \(1 such numbers, the first in row 1, column 1"),
        (b"1,2,0\n3,4,5,6\n", r"no table of delimited text.*line 2"),
        (b"", r"no table of delimited text"),
        (bytes(range(128, 200)), r"neither an .npz or .npy file nor text"),
        (b"1,2,0.5\n3,4,1\n", r"y in .* must be integers, and holds others"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_with_its_place(content, message, tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        MnistClassifier.from_profile("quick", layers=(2, 2), data_file=str(path))


def test_numbers_of_other_widths_and_orders_and_no_samples(tmp_path):
    for kind in (np.float16, ">f8", np.int32, np.float32):
        X, y = checked_samples("file", "", TABLE[:, :2].astype(kind), np.array([0, 1, 0, 1], ">i4"))
        assert X.dtype == np.float64
        assert np.array_equal(X, TABLE[:, :2].astype(kind).astype(float))
        assert y.dtype == np.int64
    with pytest.raises(ValueError, match="X in file holds no samples"):
        checked_samples("file", "", np.zeros((0, 3)), np.zeros(0, dtype=int))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="it holds Python objects") as caught:
        npz_arrays("data_file", str(tmp_path / "objects.npy"), ("X",))
    assert "allow_pickle" not in str(caught.value)


@pytest.mark.parametrize("name", ["recompute", "archive", "force"])
def test_a_text_is_no_truth_value(name, tmp_path):
    experiment = MnistClassifier.from_profile("quick")
    call = {"recompute": experiment.results, "archive": experiment.load, "force": experiment.run}
    for text in ("false", "no", 0, None):
        with pytest.raises(TypeError, match=f"{name} must be True or False"):
            call[name](store=Store(tmp_path / "results"), **{name: text})
    assert not (tmp_path / "results").exists()


def test_claims_read_the_store_that_they_are_given(tmp_path):
    """Fig. 4's claims look up Fig. 3's results: in one store they are there, in the other not."""
    full, empty = Store(tmp_path / "full"), Store(tmp_path / "empty")
    options = {"trajectories": 1, "starts": 2, "epochs": 3, "max_iterations": 1}
    asked = []

    class Asked(Store):
        def read(self, task):
            asked.append((self.results, task.experiment))
            return super().read(task)

    classifier = MnistClassifier.from_profile("quick", **options)
    results = classifier.results(workers=1, store=full)
    for store in (full, empty):
        classifier.claims(results, Asked(store.results))
    assert {folder for folder, _ in asked} == {full.results, empty.results}
    assert {name for _, name in asked} == {"mnist_autoencoder"}
