"""The tasks of ``critical_locus`` on problems small enough to know what must come out."""

import numpy as np
import pytest

from autocrit_lite.ground_truth import critical_locus as locus
from autocrit_lite.ground_truth.cubic import Cubic
from autocrit_lite.networks.mlp import MLP
from autocrit_lite.networks.objective import NetworkObjective
from autocrit_lite.papers.cooper_2020 import locus_motion, locus_points, locus_tables
from autocrit_lite.papers.cooper_2020.critical_locus import PARTS, CriticalLocus
from autocrit_lite.papers.cooper_2020.locus_settings import DATA
from autocrit_lite.runner.store import Store
from autocrit_lite.training.optimizers import GradientDescent, NoisySGD

SMALL = {
    "dimension_networks": ((2, 3, 4, 2), (3, 4, 3, 5, 2)),
    "growth_widths": (6, 7, 8),
    "points": 60,
    "wide_networks": ((2, 12, 2), (2, 6, 6, 2)),
    "failure_widths": (8, 12),
    "runs": 2,
    "max_iterations": 60,
    "minima_per_network": 1,
    "epochs": 2000,
    "depths": (3, 4),
    "counts": (1, 2),
    "rules": ("plain", "noisy"),
    "distances": (1.0, 0.1),
    "starts": 3,
    "limit": 1500,
    "cubic_starts": 20,
    "plane_samples": 200,
    "plane_points": 2,
    "search_distances": (1.0,),
    "search_runs": 2,
    "search_iterations": 5,
}


@pytest.fixture(scope="module")
def experiment():
    return CriticalLocus.from_profile("quick", **SMALL)


@pytest.fixture(scope="module")
def results(experiment, tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("results"), None)
    experiment.run(workers=1, store=store)
    return experiment.load(store=store)


def tasks(experiment, part):
    return [task for task in experiment.tasks() if task.configuration["part"] == part]


# settings and tasks


def test_every_part_has_tasks_numbered_from_one():
    experiment = CriticalLocus.from_profile("paper")
    for part in PARTS:
        numbers = [task.configuration["number"] for task in tasks(experiment, part)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert numbers


def test_paper_scale_has_the_points_that_were_asked_for():
    theorem = tasks(CriticalLocus.from_profile("paper", points=1100), "theorem")
    sizes = [task.configuration["points"] for task in theorem]
    assert sum(sizes) == 1100
    assert max(sizes) == 250


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"wide_networks": ((2, 5, 2),)}, "wider than 5 samples"),
        ({"wide_networks": ((2, 2),)}, "must have 3 to 7 sizes"),
        ({"dimension_networks": ((2, 3, 3, 3, 3, 3, 3, 2),)}, "must have 3 to 7 sizes"),
        ({"depths": (2,)}, "depths must be between 3 and 6"),
        ({"data": "images"}, "data must be one of"),
        ({"rules": ("fast",)}, "rules must be one of"),
        ({"distances": (0.0,)}, "above 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        CriticalLocus.from_profile("paper", **setting)


def test_tasks_repeat_bit_for_bit(experiment):
    for part in ("theorem", "cubic"):
        first, second = (tasks(experiment, part)[0].compute() for _ in range(2))
        for name in first:
            np.testing.assert_array_equal(first[name], second[name])


# points on the loci


def test_dimension_table(results):
    table = locus_tables.table(results, "dimension")
    assert set(table[table.layers == "2-3-4-2"].locus) == {1, 2, 12}
    np.testing.assert_array_equal(table["rank"], table.formula)
    np.testing.assert_array_equal(table.zeros, table.expected_zeros)
    np.testing.assert_array_equal(table.order, table["count"])
    np.testing.assert_allclose(table.growth, table["count"], atol=0.1)
    assert table.gradient_norm.max() < 1e-14
    # the printed theorem leaves the bias out
    outputs = np.array([int(text.split("-")[-1]) for text in table.layers])
    np.testing.assert_array_equal(table.slice_zeros, table.flat)
    np.testing.assert_array_equal(table.flat_printed, table.flat + outputs)
    # the manifold of critical points around S_{ℓ−1}: n − (2 m_{ℓ−1} + 1) m_ℓ
    row = table[(table.layers == "2-3-4-2") & (table.locus == 2)].iloc[0]
    assert row.around == row.zeros == 35 - (2 * 4 + 1) * 2


def test_which_single_steps_end_criticality(results):
    table = locus_tables.table(results, "dimension")
    blocks = np.array(results.coordinates["block"])
    for row, breaking in zip(table.itertuples(), results["dimension_breaking"], strict=True):
        depth = row.layers.count("-")
        expected = {f"b_{depth}"}
        if table.loc[row.Index, "count"] == 1:
            expected |= {f"M_{depth}", f"M_{row.locus}"}
        assert set(blocks[breaking]) == expected


def test_theorem_table(results):
    table = locus_tables.table(results, "theorem")
    assert len(table) == SMALL["points"]
    core = table[table["count"] > 1]
    np.testing.assert_array_equal(core.positive, core.outputs)
    np.testing.assert_array_equal(core.negative, 0)
    np.testing.assert_array_equal(table.negative + table.zeros + table.positive, table.n_parameters)
    np.testing.assert_allclose(
        table.printed_gradient_norm, table.printed_gradient_expected, rtol=1e-10
    )
    assert table.spectrum_error.max() < 1e-12
    assert set(table.activation) == {0, 1, 2, 3}


# points that finders end at


def test_embedded_points_are_critical_in_the_wide_network():
    rng = np.random.default_rng(0)
    net = MLP((2, 7, 6, 2), "swish")
    X, Y = locus_points.data(rng, 5, net)
    theta = locus_points.embedded(net, X, Y, 2, 4, rng)
    assert theta.shape == (4, net.n_parameters)
    assert locus_points.gradient_norm(NetworkObjective(net, X, Y), theta).max() < 1e-9
    features = locus.hidden_activations(net, theta[0], X, 2)
    assert np.linalg.matrix_rank(features, rtol=1e-8) <= 2


def test_corollaries_fail_near_the_star_locus_of_one_wide_hidden_layer(results):
    table = locus_tables.table(results, "found")
    star = table[(table.layers == "2-12-2") & (table.start == "star") & table.clear]
    assert len(star)
    # m zeros (`critical_locus.hessian_eigenvalues`), m + 1 − N = 8 for each of two outputs
    np.testing.assert_array_equal(star.zeros, 12)
    np.testing.assert_array_equal(star.uniform, 16)
    assert (star[["short_printed", "short_corrected", "short_uniform"]] == 1).all(axis=None)
    assert star.walk_output_change.max() < 1e-6
    deep = table[table.layers == "2-6-6-2"]
    assert (deep.short_corrected != 1).all()


def test_doubtful_spectra_are_not_counted():
    spectra = [[-1.0, 0.0, 1.0, 1.0], [-1.0, 1e-6, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]
    found = {
        "found_eigenvalues": np.array(spectra),
        "found_features": np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 1e-6]]),
        "found_extended": np.ones((3, 2)),
        "found_squared_gradient_norm": np.array([0.0, 0.0, 0.0]),
        "found_layers": np.array(["2-3-1"] * 3),
        "found_samples": np.array([3, 3, 3]),
    }
    counts = locus_tables.counted(found)
    assert counts["zeros"].tolist() == [1, 0, 2]
    assert counts["zeros_at_most"].tolist() == [1, 1, 2]
    assert counts["printed"].tolist() == [3, 3, 3]  # (3 + 1 − 1)·1
    assert counts["short_printed"].tolist() == [1, 1, -1]  # the last: rank 1 or 2
    assert counts["short_uniform"].tolist() == [0, -1, 0]  # (3 + 1 − 3)·1
    assert counts["clear"].tolist() == [True, False, False]
    found["found_squared_gradient_norm"] = np.ones(3)
    assert locus_tables.counted(found)["short_printed"].tolist() == [-1, -1, -1]


def test_minimum_table(results):
    table = locus_tables.table(results, "minimum")
    reached = table[table.loss < 1e-20]
    assert len(reached) > 2
    expected = reached.n_parameters - reached.outputs * reached.samples
    np.testing.assert_array_equal(reached.zeros, expected)
    np.testing.assert_array_equal(reached.dimension, expected)
    np.testing.assert_array_equal(reached.jacobian_rank, reached.outputs * reached.samples)


# leaving


def test_steps_to_leave_are_those_of_a_plain_loop(monkeypatch):
    monkeypatch.setattr(locus_motion, "FIRST_BLOCK", 7)
    theta0 = np.array([[0.3, -0.2], [0.3, 0.2], [-0.5, 0.1], [0.1, -0.05]])
    steps, theta = locus_motion.steps_to_leave(
        Cubic(), theta0, GradientDescent(0.05), -1.0, 200, []
    )
    for start, found in zip(theta0, steps, strict=True):
        t, position = 0, start.copy()
        while np.sum(position**3) >= -1.0 and t <= 200:
            t, position = t + 1, position - 0.15 * position**2
        assert found == t if t <= 200 else np.isnan(found)
    assert np.isnan(steps[1])
    assert 0.0 < np.linalg.norm(theta[1]) < np.linalg.norm(theta0[1])


def test_noise_makes_runs_leave_the_quadrant():
    theta0 = np.full((3, 2), 0.01)
    rngs = np.random.default_rng(0).spawn(3)
    steps, _ = locus_motion.steps_to_leave(Cubic(), theta0, NoisySGD(0.05, 0.1), -1.0, 5000, rngs)
    assert np.isfinite(steps).all()


def test_escape_takes_longer_from_the_core_and_from_close_by(results):
    table, steps = locus_tables.table(results, "escape"), results["escape_steps"]
    plain = (table.rule == "plain").to_numpy() & (table.depth == 4).to_numpy()
    median = {
        (row.count_, row.distance): np.median(np.nan_to_num(own, nan=np.inf))
        for row, own in zip(
            table[plain].rename(columns={"count": "count_"}).itertuples(), steps[plain], strict=True
        )
    }
    assert median[1, 1.0] < median[1, 0.1] < median[2, 0.1]
    assert median[2, 1.0] < median[2, 0.1]


def test_rules_share_their_starts(results):
    table, loss = locus_tables.table(results, "escape"), results["escape_start_loss"]
    own = [loss[(table.rule == rule).to_numpy()] for rule in ("plain", "noisy")]
    np.testing.assert_array_equal(*own)


# the plane


def test_exact_points_have_the_loss_of_the_mean_output_and_the_predicted_index(results):
    table, index = locus_tables.table(results, "plane"), results["plane_index"][:, 1]
    exact = ~table.points.isin(locus_motion.SEARCHED)
    assert np.isnan(table.residual[exact]).all()
    np.testing.assert_allclose(table.loss[exact], 1.0, rtol=1e-12)
    assert table.squared_gradient_norm[exact].max() < 1e-26
    kind = {name: index[(table.points == name).to_numpy()] * 552 for name in set(table.points)}
    np.testing.assert_allclose(kind["S_1"], 8 * 16)
    np.testing.assert_allclose(kind["C_12"], 0)
    np.testing.assert_allclose(kind["S_1, M_2 of low rank"], [0, 16])
    assert np.all((kind["σ′ = 0"] > 0) & (kind["σ′ = 0"] < 128))
    near = results["plane_distance"][(table.points == "S_1, M_2 small").to_numpy()]
    assert np.all(near[:, 0] < 1e-12)  # on S_1, and ever closer to C_12
    assert 0.0 < near[1, 2] < near[0, 2] / 2.0
    distance = results["plane_distance"][(table.points == "σ′ = 0").to_numpy()]
    assert distance.min() > 1.0  # on none of the loci


def test_searches_start_near_the_loci_or_high_on_a_training_run(experiment, results):
    X = DATA["digits"](np.random.default_rng(0), 200)
    objective = NetworkObjective(locus_motion.FRYE, X, X)
    starts = locus_motion.from_training(objective, 3, np.random.default_rng(0))
    assert np.all(objective.value_and_gradient(starts)[0] > locus_motion.HIGH)
    table = locus_tables.table(results, "plane")
    assert set(table.locus[table.points == "found"]) == {"S_1", "S_2", "C_12"}
    trained = table[table.points == "trained"]
    assert len(set(trained.loss)) == len(trained) == SMALL["search_runs"]
    assert ((trained.residual > 0.0) & (trained.residual <= 1.0)).all()


@pytest.mark.parametrize("data", DATA)
def test_inputs_are_z_scored(data):
    X = DATA[data](np.random.default_rng(0), 300)
    assert X.shape == (300, 16)
    np.testing.assert_allclose(X.mean(axis=0), 0.0, atol=1e-14)
    np.testing.assert_allclose(X.std(axis=0), 1.0, rtol=1e-12)


def test_the_minimum_of_swish_is_one():
    z = locus_motion.swish_minimum()
    around = np.array([z - 1e-3, z, z + 1e-3])
    assert np.argmin(around / (1.0 + np.exp(-around))) == 1


# claims


def test_claims(experiment, results):
    claims = experiment.claims(results)
    verdicts = {name: measured.verdict for name, measured in claims.items()}
    assert (
        verdicts.items()
        >= {
            "c20-star": "corrected",
            "c20-core": "corrected",
            "c20-dim-s": "corrected",
            "c20-dim-c": "corrected",
            "c20-dim-m": "reproduced",
            "c20-flat": "corrected",
            "c20-flat-zeros": "false",
            "c20-growth": "corrected",
            "c20-cubic": "reproduced",
        }.items()
    )
    assert claims["c20-star"].value == "60 of 60 points"
    count = np.sum(results["theorem_count"] > 1)
    assert claims["c20-core"].value == f"m_ℓ, 0, n − m_ℓ at {count} of {count} points"


@pytest.mark.parametrize(
    ("array", "value", "claim"),
    [
        ("theorem_gradient_norm", 1e-3, "c20-star"),
        ("theorem_negative", 1, "c20-core"),
        ("dimension_rank", 1, "c20-dim-s"),
        ("dimension_rank", 1, "c20-dim-c"),
        ("minimum_zeros", 1, "c20-dim-m"),
        ("dimension_slice_zeros", 0, "c20-flat"),
        ("found_short_printed", 0, "c20-flat-zeros"),
        ("minimum_dimension", 3, "c20-growth"),
        ("cubic_steps", 1.0, "c20-cubic"),
    ],
)
def test_claims_follow_the_numbers(experiment, results, array, value, claim):
    altered = dict(results.arrays)
    altered[array] = np.full_like(altered[array], value)
    changed = type(results)(altered, results.dims, results.coordinates)
    before, after = experiment.claims(results)[claim], experiment.claims(changed)[claim]
    assert after.verdict != before.verdict
