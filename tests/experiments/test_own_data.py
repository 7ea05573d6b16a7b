"""A reader's own data and networks in the experiments of Figs 3, 4 and 5 of Frye et al. 2021."""

import numpy as np
import pytest

from autocrit_lite import MLP
from autocrit_lite.experiments.mnist_autoencoder import MnistAutoencoder
from autocrit_lite.experiments.mnist_classifier import MnistClassifier
from autocrit_lite.experiments.random_labels import RandomLabels
from autocrit_lite.store import Store

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
    (training,) = kind.from_profile("paper").trainings()
    assert not {"layers", "data_file", "sha256"} & set(training)
    (other,) = kind.from_profile(
        "paper", layers=[*kind.layers[:-1], 20, kind.layers[-1]]
    ).trainings()
    assert other["layers"] == (*kind.layers[:-1], 20, kind.layers[-1])


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
    objective = experiment.objective(experiment.trainings()[0])
    assert objective.net == MLP(layers, bias=bias)
    assert objective.n_samples == 50
    value, _ = objective.value_and_gradient(results["theta_point"][:, 1])
    np.testing.assert_allclose(results["point_value"][:, 1], value, rtol=1e-12)
    assert experiment.claims(results) == {}


def test_the_autoencoder_sees_the_files_rows_z_scored(file):
    experiment = MnistAutoencoder.from_profile(
        "quick", layers=(6, 2, 6), data_file=str(file), n_samples=40, scaling="overall"
    )
    X, Y = experiment.samples(experiment.trainings()[0])
    rows = np.load(file)["X"][:40].astype(np.float64)
    np.testing.assert_array_equal(X, (rows - rows.mean()) / rows.std())
    assert Y is X
    whole = MnistAutoencoder.from_profile("paper", layers=(6, 2, 6), data_file=str(file))
    assert len(whole.samples(whole.trainings()[0])[0]) == 60  # no more are there


def test_labels_of_the_file_are_shuffled_to_be_memorised(file):
    experiment = RandomLabels.from_profile("quick", layers=(4, 3, 3), data_file=str(file))
    X, labels = experiment.samples(experiment.trainings()[0])
    y = np.load(file)["y"]
    assert X.shape == (50, 4)
    np.testing.assert_allclose(X.mean(axis=0), 0.0, atol=1e-12)
    assert set(labels) <= set(y.tolist())
    other = RandomLabels.from_profile("quick", layers=(4, 3, 3), data_file=str(file), seed=1)
    assert not np.array_equal(other.samples(other.trainings()[0])[1], labels)


def test_results_belong_to_the_files_content(file):
    settings = {"layers": (6, 2, 6), "data_file": str(file)}
    before = MnistAutoencoder.from_profile("quick", **settings)
    (training,) = before.trainings()
    np.savez(file, X=np.load(file)["X"] + np.float32(1.0))
    assert MnistAutoencoder.from_profile("quick", **settings).trainings() != [training]
    with pytest.raises(ValueError, match="has changed"):
        MnistAutoencoder.objective(training)


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
        (MnistAutoencoder, {"data_file": "none.npz"}, r"data_file must name an \.npz file"),
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
        (MnistAutoencoder, {"X": np.arange(6)}, "X in .* floating-point"),
        (MnistAutoencoder, {"X": np.ones((6, 6))}, "constant"),
        (RandomLabels, {"X": np.eye(6), "y": np.arange(6)}, "n_samples must be at most the 6"),
        (RandomLabels, {"X": np.eye(60, 5), "y": np.arange(60)}, "layers must begin with at most"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(kind, arrays, message, tmp_path):
    path = tmp_path / "wrong.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=message):
        kind.from_profile("quick", layers=(6, 6), data_file=str(path))
