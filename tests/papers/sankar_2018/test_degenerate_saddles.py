"""``degenerate_saddles`` on few images and small networks, and on synthetic features."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from autocrit_lite.networks.objective import NetworkObjective
from autocrit_lite.papers.sankar_2018.claims import PRINTED
from autocrit_lite.papers.sankar_2018.degenerate_saddles import DegenerateSaddles
from autocrit_lite.papers.sankar_2018.digit_spectra import (
    COURSE_FRACTIONS,
    ROUNDING,
    TOLERANCES,
    bulk,
    nearest_laws,
)
from autocrit_lite.papers.sankar_2018.digits_training import Features, Images
from autocrit_lite.papers.sankar_2018.rows import CLASSIFIER_LOSSES, FEATURE_ROWS, ROWS
from autocrit_lite.points.spectral_laws import MarchenkoPastur, Semicircle, kolmogorov_smirnov
from autocrit_lite.runner.store import Store

SMALL = {
    "n_train": 300,
    "n_test": 100,
    "size": 8,
    "hidden": 3,
    "autoencoder_hidden": 2,
    "krylov_dimension": 6,
    "batch_size": 20,
    "momentum_rate": 0.05,
    "max_epochs": 6,
    "course_size": 6,
    "course_hidden": 2,
    "course_epochs": 3,
    "trials": 2,
    "small_trials": 2,
    "library_methods": ("momentum",),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def experiment():
    return DegenerateSaddles.from_profile("quick", **SMALL)


@pytest.fixture(scope="module")
def results(experiment, store):
    experiment.run(workers=1, store=store)
    return experiment.load(store=store)


def at(results, row):
    return list(results.coordinates["row"]).index(row)


def load(name, n_train=300, size=8, **options):
    return Images(name, n_train, 100, size, **options).load()


def split(name, trial=0, **options):
    return load(name, seed=0, trial=trial, **options)


def test_every_row_has_its_numbers(experiment, results):
    for row, what in enumerate(experiment.rows):
        autoencoder = what == "saddle-free Newton"
        assert np.isfinite(results["accuracy"][row]).all() != autoencoder
        counted = results["counts"][row]
        assert np.isfinite(counted).all() == ROWS[what].spectrum
        if ROWS[what].spectrum:
            n = results["n_parameters"][row]
            np.testing.assert_array_equal(
                counted.sum(axis=-1), np.broadcast_to(n[:, None], counted.shape[:2])
            )
            live = np.isfinite(results["eigenvalues"][row]).sum(axis=-1)
            np.testing.assert_array_equal(live + results["zero_rows"][row], n)


def test_a_spectrum_is_that_of_the_dense_hessian(experiment, results, store):
    row = at(results, "training images")
    case = ROWS["training images"], 1
    theta = store.read(experiment.train_task(*case)).arrays["theta"]
    net, loss, images, targets = experiment.training(*case).problem()
    H = NetworkObjective(net, images.X, targets, loss=loss).linearize(theta).hessian()
    found = results["eigenvalues"][row, 1]
    found = np.sort(
        np.append(found[np.isfinite(found)], np.zeros(int(results["zero_rows"][row, 1])))
    )
    np.testing.assert_allclose(found, np.linalg.eigvalsh(H), atol=1e-6)
    assert results["zero_rows"][row, 1] == np.sum(~H.any(axis=1))


def test_known_null_vectors_make_all_zeros_but_the_rest(results):
    spectra = [row for row in results.coordinates["row"] if ROWS[row].spectrum]
    tolerance = TOLERANCES.index(1e-12)
    for name in spectra:
        row = at(results, name)
        zero = results["counts"][row, :, tolerance, 1]
        known = results["sources"][row].sum(axis=-1) + results["rescaled"][row, :, tolerance]
        np.testing.assert_array_equal(results["rest"][row, :, tolerance], zero - known)
        if ROWS[name].precision == "double":
            assert np.all(zero >= known)
        forced = results["forced"][row]
        assert np.all(forced <= results["counts"][row, :, :, 1])


def test_dead_pixels_alone_make_exact_zeros_of_centred_images(experiment, results):
    """65 × 25 = 1625 at the paper's scale; here as many as pixels are never inked."""
    row = at(results, "momentum")
    dead = np.sum(~load("all").X.any(axis=0))
    assert dead > 0
    np.testing.assert_array_equal(results["sources"][row, :, 0], dead * experiment.hidden)
    np.testing.assert_array_equal(results["counts"][row, :, 0, 1], results["zero_rows"][row])


def test_controls_have_no_dead_pixels(results):
    assert np.all(results["sources"][at(results, "jittered"), :, 0] == 0)
    cropped = results["n_parameters"][at(results, "cropped")]
    assert np.all(cropped < results["n_parameters"][at(results, "momentum")])


def test_single_precision_is_another_spectrum_of_the_same_network(experiment, results):
    trainings, *_ = experiment.stages()
    assert len(trainings) == 2 * (len(ROWS) - 1)
    double, single = at(results, "momentum"), at(results, "single precision")
    np.testing.assert_array_equal(results["loss"][double], results["loss"][single])
    a, b = (results["eigenvalues"][row, 0] for row in (double, single))
    assert not np.array_equal(a, b, equal_nan=True)
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_training_ends_where_the_loss_changes_little(experiment, results):
    for row, name in enumerate(experiment.rows):
        stop = experiment.training(ROWS[name], 0).stop
        for loss, stopped in zip(results["loss"][row], results["stopped"][row], strict=True):
            changes = [abs(b - a) for a, b in pairwise(loss[np.isfinite(loss)])]
            assert stopped == (changes[-1] < stop)
            assert all(change >= stop for change in changes[:-1])
            assert stopped or len(changes) == experiment.max_epochs


def test_the_course_of_a_training(experiment, results):
    epoch = results["course_epoch"][0]
    assert epoch[0] == 0.0
    assert epoch[-1] == experiment.course_epochs
    assert len(COURSE_FRACTIONS) >= np.sum(epoch <= 1.0) > 3
    assert np.all(np.diff(epoch) > 0)
    assert np.all(results["course_loss"][:, -1] < results["course_loss"][:, 0])
    eigenvalues = results["course_eigenvalues"]
    assert eigenvalues.shape == (2, len(epoch), 36 * 2 + 2 + 2 * 10 + 10)
    zero = np.sum(np.abs(eigenvalues) < 1e-11, axis=-1)
    assert np.all(zero >= results["course_known_zeros"])


def test_a_run_that_is_stopped_early_leaves_whole_trials(experiment):
    for stage in experiment.stages():
        configurations = [task.configuration for task in stage]
        trials = [c.get("train", c)["trial"] for c in configurations]
        assert trials == sorted(trials)
    fewer = replace(experiment, trials=1)
    for few, many in zip(fewer.stages(), experiment.stages(), strict=True):
        assert few == many[: len(few)]


def test_what_hangs_on_rate_and_batch_size(experiment):
    first = experiment.training(ROWS["momentum"], 0)
    rate = experiment.training(ROWS["rate × 10"], 0)
    assert rate == replace(first, options={"rate": 0.5, "momentum": 0.9})
    assert experiment.training(ROWS["batch × 10"], 0) == replace(first, batch_size=200)


def test_the_memory_of_a_spectrum_is_kept(results):
    peak = results["peak_memory"][at(results, "momentum")]
    assert np.all((peak > 0.01) & (peak < 100.0))  # GiB
    assert np.isnan(results["peak_memory"][at(results, "width × 2")]).all()


def test_a_run_that_was_stopped_goes_on(experiment, results, store):
    assert experiment.run(workers=1, store=store) == 0
    task = next(t for t in experiment.stages()[1] if t.configuration["stage"] == "spectrum")
    before = store.read(task).arrays
    store.path(task).unlink()
    assert experiment.run(workers=1, store=store) == 1
    for name, array in experiment.binding(before).items():
        np.testing.assert_array_equal(store.read(task).arrays[name], array)


def test_claims(experiment, results):
    claims = experiment.claims(results)
    assert set(claims) == {*PRINTED, "s18-f1", "s18-f2", "s18-f3", "s18-good", "s18-strict"}
    assert claims["s18-t3-momentum"].value == results["counts"][0, :, 0, 1].mean()
    assert claims["s18-t3-momentum"].verdict == "differs"  # 1625 is of other images
    assert len(claims["s18-t5"].value) == 4
    row = at(results, "momentum")
    printed = 1620 - results["counts"][row, :, 0, 1].mean()
    shifted = results["counts"].copy()
    shifted[row, :, 0, 1] += printed
    as_printed = replace(results, arrays={**results.arrays, "counts": shifted})
    assert experiment.claims(as_printed)["s18-t3-momentum"].verdict == "reproduced"
    for claim in claims.values():
        assert claim.why
    single = results["counts"][at(results, "single precision"), :, 0, 1].mean()
    assert f"single precision {single:g} are zero" in claims["s18-t1-momentum"].why
    forced = results["sources"][row, :, 0].min()
    others = claims["s18-t3-momentum"].value - forced
    assert f"the number of others: {others:g}." in claims["s18-t3-momentum"].why


def test_the_papers_negative_eigenvalues_are_more_than_there_can_be(experiment, results):
    most = results["most_negative"]
    hidden = experiment.hidden
    assert most[at(results, "momentum")] == 9 * hidden
    assert most[at(results, "2 hidden layers")] == hidden**2 + 9 * hidden
    assert np.isnan(most[at(results, "saddle-free Newton")])
    t = list(results.coordinates["tolerance"]).index(1e-12)
    negative = results["counts"][:, :, t, 0]
    double = [row != "single precision" for row in results.coordinates["row"]]
    bounded = np.isfinite(most) & np.isfinite(negative).all(axis=1) & double
    assert np.all(negative[bounded] <= most[bounded, None])
    for id in ("s18-t1-momentum", "s18-t1-adam", "s18-t1-adagrad", "s18-t5"):
        claim = experiment.claims(results)[id]
        assert claim.verdict == "corrected"
        assert f"At most {9 * hidden} can be negative" in claim.why
    # a bound that the printed number keeps corrects nothing
    wide = replace(results, arrays={**results.arrays, "most_negative": most + 1e4})
    assert experiment.claims(wide)["s18-t1-momentum"].verdict == "differs"


@pytest.mark.parametrize("loss", CLASSIFIER_LOSSES)
def test_signs_are_those_of_the_dense_hessian(experiment, results, store, loss):
    (*_, training) = experiment.library_trainings()[loss, "momentum", 0]
    theta = store.read(experiment.training_task(training)).arrays["theta"]
    net, own, images, targets = training.problem()
    assert own == loss
    H = NetworkObjective(net, images.X, targets, loss=loss).linearize(theta).hessian()
    found = store.read(experiment.signs_task(training)).arrays
    live = H.any(axis=1)
    eigenvalues = np.linalg.eigvalsh(H[live][:, live])
    # where rounding decides no sign
    rounding = 1e-14 * np.abs(eigenvalues).max()
    assert found["below"] == np.sum(eigenvalues < -ROUNDING)
    low, high = (np.sum(eigenvalues < sign * rounding) for sign in (-1, 1))
    assert low <= found["signs"][0] <= high
    assert found["signs"][1] >= np.sum(~live)
    assert found["signs"].sum() == net.n_parameters


def test_the_librarys_settings(experiment):
    for (loss, method, trial), trainings in experiment.library_trainings().items():
        large = loss == "softmax_mse" and (method, trial) == ("momentum", 0)
        assert [t.hidden for t in trainings] == [(2,), (3,)][: 1 + large]
        for training in trainings:
            assert (training.loss, training.trial, training.batch_size) == (loss, trial, 128)
            assert training.stop == pytest.approx(1e-4 if loss == "softmax_mse" else 1e-3)
            assert training.initialization == "xavier_normal"
            if method in ("momentum", "noisy SGD"):
                assert training.options["rate"] == 0.1
                assert training.options["momentum"] == 0.9
    names = [training.method for t in experiment.library_trainings().values() for training in t]
    assert "momentum" not in names  # which is Nesterov's here
    assert "classical momentum" in names


def test_results_of_the_cross_entropy_keep_their_keys(experiment):
    for (loss, *_), trainings in experiment.library_trainings().items():
        for training in trainings:
            named = experiment.training_task(training).configuration.get("loss")
            assert named == (loss if loss == "softmax_mse" else None)
    assert not any("loss" in task.configuration for task in experiment.stages()[0])


def test_more_eigenvalues_are_negative_with_the_squared_error(experiment, results):
    squared = results["small_below"][results.coordinates["small_loss"].index("softmax_mse")]
    entropy = results["small_below"][results.coordinates["small_loss"].index("cross_entropy")]
    assert np.all(entropy <= 9 * experiment.course_hidden)
    assert np.all(squared > 9 * experiment.course_hidden)
    why = experiment.claims(results)["s18-t1-momentum"].why
    assert "Of the eigenvalues that are not zero the paper has 13.1% negative" in why
    own = "The paper's network trained to the squared error"
    assert own in why
    assert own not in experiment.claims(results)["s18-t1-adam"].why


def test_the_papers_fewer_zeros_than_dead_pixels_make_are_corrected(experiment, results):
    sources = results["sources"].copy()
    for dead, verdict in ((1625, "corrected"), (1529, "differs")):  # Table 7: 1529 ± 9
        sources[at(results, "Xavier"), :, 0] = dead
        claim = experiment.claims(replace(results, arrays={**results.arrays, "sources": sources}))
        assert claim["s18-t7-xavier"].verdict == verdict
        assert ("less than those forced" in claim["s18-t7-xavier"].why) == (verdict == "corrected")


def test_accuracies_agree_within_the_error_of_10000_test_images(experiment, results):
    """The paper prints 97.78 ± 0.13 %; that of a share of 10,000 images is 0.147 %, twice.

    With both trials alike the difference of the means has the error √(2·0.147² + 0.12²·(1/2 + 1/8))
    or 0.23 %, and as many degrees of freedom that twice as much is the bound.
    """
    accuracy = results["accuracy"].copy()
    for difference, verdict in ((0.0040, "reproduced"), (0.0060, "differs")):
        accuracy[at(results, "width × 10")] = 0.9778 - difference
        changed = replace(results, arrays={**results.arrays, "accuracy": accuracy})
        assert experiment.claims(changed)["s18-t9-250"].verdict == verdict


class TestData:
    def test_a_split_is_the_same_images_in_another_order(self):
        whole, divided = load("all"), split("split")
        both = np.concatenate([divided.X, divided.X_test])
        order = np.lexsort(both.T)
        np.testing.assert_array_equal(both[order], whole.X[np.lexsort(whole.X.T)])
        assert not np.array_equal(both, whole.X)
        np.testing.assert_array_equal(split("split").X, divided.X)
        assert not np.array_equal(split("split", trial=1).X, divided.X)

    def test_centring_takes_the_mean_of_all_images(self):
        centred = split("centred split")
        both = np.concatenate([centred.X, centred.X_test])
        np.testing.assert_allclose(both.mean(axis=0), 0.0, atol=1e-14)
        assert np.abs(centred.X.mean(axis=0)).max() > 1e-3

    def test_labels_go_with_their_images(self):
        whole, divided = load("all"), split("split")
        labels = dict(zip(map(bytes, whole.X), whole.labels, strict=True))
        for image, label in zip(divided.X_test, divided.test_labels, strict=True):
            assert labels[bytes(image)] == label

    def test_shapes(self):
        train = load("train")
        assert (train.X.shape, train.X_test.shape) == ((300, 64), (100, 64))
        assert load("train", size=28).X.shape == (300, 784)
        assert load("cropped", size=28, crop=20).X.shape == (300, 400)
        assert np.std(split("jittered", jitter=0.1).X - train.X) == pytest.approx(0.1, rel=0.02)

    def test_more_images_than_there_are(self, monkeypatch, tmp_path):
        monkeypatch.setenv("AUTOCRIT_LITE_DATA", str(tmp_path))
        with pytest.raises(FileNotFoundError, match="autocrit-lite data fetch mnist"):
            load("train", n_train=20_000)


@pytest.fixture
def features(tmp_path):
    """Ten Gaussian clouds in 12 dimensions, of which one is always zero, as an .npz file."""
    rng = np.random.default_rng(0)
    centres = 3.0 * rng.standard_normal((10, 12))
    arrays = {}
    for part, count in (("train", 200), ("test", 50)):
        y = rng.integers(0, 10, count)
        X = (centres[y] + rng.standard_normal((count, 12))).astype(np.float32)
        X[:, 3] = 0.0
        arrays |= {f"X_{part}": X, f"y_{part}": y.astype(np.uint8)}
    return arrays, tmp_path / "features.npz"


class TestFeatures:
    def test_rows_on_features(self, features):
        arrays, path = features
        np.savez(path, **arrays)
        experiment = DegenerateSaddles.from_profile(
            "quick",
            **{**SMALL, "trials": 1},
            features=str(path),
            rows=("momentum", "2 hidden layers", "width × 2"),
        )
        results = experiment.results(workers=1, store=Store(path.parent / "results"))
        assert results["n_parameters"][:, 0].tolist() == [
            3 * 13 + 40,
            3 * 13 + 12 + 40,
            6 * 13 + 70,
        ]
        assert results["sources"][0, 0, 0] == 3  # one dead feature, three units
        assert results["accuracy"][2, 0] > 0.5
        assert experiment.claims(results) == {}

    def test_a_file_that_changes_meanwhile_is_noticed(self, features):
        arrays, path = features
        np.savez(path, **arrays)
        experiment = DegenerateSaddles.from_profile("quick", features=str(path), rows=("momentum",))
        training = experiment.training(ROWS["momentum"], 0)
        np.savez(path, **{**arrays, "X_test": arrays["X_test"] + 1})
        with pytest.raises(ValueError, match="has changed"):
            training.data.load()

    @pytest.mark.parametrize(
        ("name", "change", "message"),
        [
            ("X_train", None, "lacks X_train"),
            ("X_train", lambda X: X[:, :5], "as many columns"),
            ("X_train", lambda X: X.astype(complex), "X_train .* real numbers"),
            ("X_test", lambda X: X[0], "X_test .* shape"),
            ("X_test", lambda X: np.full_like(X, np.nan), "X_test .* holds nan"),
            ("y_train", lambda y: y[:-1], "y_train .* shape"),
            ("y_train", lambda y: y + 0.5, "y_train .* integers"),
            ("y_test", lambda y: y.astype(int) - 1, "y_test .* from 0 to 9"),
            ("y_test", lambda y: y.astype(object), "plain arrays"),
        ],
    )
    def test_what_is_wrong_is_named(self, features, name, change, message):
        arrays, path = features
        wrong = dict(arrays)
        own = wrong.pop(name)
        if change is not None:
            wrong[name] = change(own)
        np.savez(path, **wrong)
        with pytest.raises((TypeError, ValueError), match=message):
            Features(str(path)).load()

    def test_what_is_no_npz_file(self, tmp_path):
        path = tmp_path / "features.npz"
        with pytest.raises(ValueError, match="must name a data file"):
            DegenerateSaddles.from_profile("quick", features=str(path), rows=("momentum",)).stages()
        for content in (b"no zip", b"", b"PK\x03\x04 cut off"):
            path.write_bytes(content)
            with pytest.raises(ValueError, match=r"features.npz(,| is) "):
                Features(str(path)).load()

    def test_controls_are_of_images(self):
        assert "cropped" not in FEATURE_ROWS
        with pytest.raises(ValueError, match="rows must not hold"):
            DegenerateSaddles.from_profile("quick", features="f.npz", rows=("cropped",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": ()}, "rows must be one or more"),
        ({"rows": ("Adam", "Adam")}, "rows must be one or more different"),
        ({"library_methods": ("Adam", "Adam")}, "library_methods must be one or more different"),
        ({"library_methods": ("He",)}, "library_methods must be one of"),
        ({"rows": ("RMSprop",)}, "rows must be one of"),
        ({"size": 29}, "size and course_size must be at most 28"),
        ({"crop": 30}, "crop must be at most 28"),
        ({"images": "cropped"}, "images must be one of"),
    ],
)
def test_settings_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        DegenerateSaddles.from_profile("quick", **change)


def test_every_setting_has_a_source():
    assert DegenerateSaddles.from_profile("paper").settings()["source"].str.len().min() > 5


@pytest.mark.parametrize("law", [0, 1])
def test_the_law_of_a_random_matrix_is_the_nearest(law):
    A = np.random.default_rng(0).standard_normal((300, 900))
    made = [A[:, :300] + A[:, :300].T + 5.0 * np.eye(300), A @ A.T / 900][law]
    laws, distance = nearest_laws(np.append(np.linalg.eigvalsh(made), np.zeros(200)))
    assert distance[law] < 0.02 < distance[1 - law]
    if law == 0:
        assert laws[0].centre == pytest.approx(5.0, abs=1.0)
    else:
        assert (laws[1].scale, laws[1].ratio) == pytest.approx((1.0, 1 / 3), rel=0.1)


def test_the_nearest_law_is_found_where_eigenvalues_spread_over_many_powers_of_ten():
    rng = np.random.default_rng(0)
    eigenvalues = np.concatenate(
        [10 ** rng.uniform(-9, -1, 1500), -(10 ** rng.uniform(-9, -3, 250))]
    )
    points = np.quantile(bulk(eigenvalues), np.linspace(0.0, 1.0, 200))
    others = (
        [Semicircle(c, 10.0**r) for c in (0.0, 1e-4, 1e-3) for r in np.arange(-6, 0, 0.5)],
        [
            MarchenkoPastur(10.0**s, ratio)
            for s in np.arange(-6, 0, 0.25)
            for ratio in (0.5, 1.0, 1.3, 1.6, 2.0)
        ],
    )
    _, distance = nearest_laws(eigenvalues)
    for found, family in zip(distance, others, strict=True):
        assert found < min(kolmogorov_smirnov(points, law) for law in family) + 0.01


def test_the_bulk_leaves_out_zeros_and_the_extremes():
    within = bulk(np.concatenate([np.linspace(-1, 1, 1000), np.zeros(500), [1e6, 1e-11]]))
    assert len(within) == 981
    assert np.abs(within).max() < 1.0
    with pytest.raises(ValueError, match="no bulk"):
        nearest_laws(np.zeros(5))
