"""What the paper says in words: each verdict, and the fault that turns it."""

import numpy as np
import pytest
from numpy.polynomial import Polynomial

from autocrit_lite.ground_truth.quartic import FLAT_MINIMUM
from autocrit_lite.ground_truth.quartic import Quartic as QuarticObjective
from autocrit_lite.linalg.minres_qlp import StopReason
from autocrit_lite.papers.frye_2021 import quartic_claims, remarks
from autocrit_lite.papers.frye_2021.quartic import ENDS, Quartic
from autocrit_lite.points.classes import PointClass

FLAT_X = FLAT_MINIMUM[0]


def verdicts(found):
    return {name: measured.verdict for name, measured in found.items()}


# --- the quartic ---


@pytest.fixture(scope="module")
def quartic():
    experiment = Quartic(grid=(11, 3), max_iterations=150)
    return experiment, experiment.gather(
        [type("R", (), {"arrays": task.compute()}) for task in experiment.tasks()]
    )


def test_the_polynomials_are_the_quartic():
    theta = np.random.default_rng(0).normal(size=(5, 2))
    value = quartic_claims.IN_X(theta[:, 0]) + quartic_claims.IN_Y(theta[:, 1])
    np.testing.assert_allclose(value, QuarticObjective().value_and_gradient(theta)[0], rtol=1e-14)


@pytest.mark.parametrize(
    ("in_x", "in_y", "verdict"),
    [
        (quartic_claims.IN_X, quartic_claims.IN_Y, "reproduced"),
        # ∂f/∂x = x³ − 6x + 5 < 0 at √2: three critical points, and no minimum of its square there
        (Polynomial([40.0, 5.0, -3.0, 0.0, 0.25]), quartic_claims.IN_Y, "differs"),
        (Polynomial([40.0, 9.0, 3.0, 0.0, 0.25]), quartic_claims.IN_Y, "differs"),  # ∂²f/∂x² > 0
        (quartic_claims.IN_X, Polynomial([0.0, 0.0, -5.0, 0.0, 0.9]), "differs"),
    ],
)
def test_the_kinds_of_points_come_from_the_derivatives(in_x, in_y, verdict):
    assert verdicts(quartic_claims.points(in_x, in_y)) == {"f21-quartic-points": verdict}


def test_the_runs_on_the_quartic_do_what_is_said_of_them(quartic):
    experiment, results = quartic
    found = verdicts(experiment.claims(results))
    names = ["basin", "value", "points", "left", "orders", "swings", "damped", "gnm", "divided"]
    assert set(found) == {f"f21-quartic-{name}" for name in names}
    # the others hang on where the few runs of a small grid go
    certain = [found[f"f21-quartic-{name}"] for name in ("points", "left", "divided")]
    assert set(certain) == {"reproduced"}


def test_runs_from_beside_the_saddle_part(quartic):
    _, results = quartic
    theta, n = results["beside_theta"], 3
    for k, goal in ((slice(None, n), (-3.0, 0.0)), (slice(n, None), FLAT_MINIMUM)):
        np.testing.assert_allclose(theta[k], np.tile(goal, (n, 1)), atol=1e-6)
    assert verdicts(quartic_claims.divided(np.array([0.0, 3.0]), 1e-3)) == {
        "f21-quartic-divided": "differs"
    }


def test_what_newton_mr_is_said_to_do_can_fail():
    swinging = FLAT_X + np.array([3.0, 0.1, -0.1, 0.1, -0.1, 0.1, -0.01, 0.01])
    going = np.array([-5.0, -3.5, -3.01, np.nan, np.nan, np.nan, np.nan, np.nan])
    x = np.array([swinging] * 20 + [going] * 20)
    norms = np.where(np.isfinite(x), np.geomspace(1e5, 10.0, 8), np.nan)
    end = np.repeat([ENDS.index("flat point"), ENDS.index("critical point")], 20)

    def verdict(x=x, norms=norms, end=end):
        theta = np.stack([x, np.zeros_like(x)], axis=-1)
        found = verdicts(quartic_claims.basins(theta, norms, end, FLAT_X))
        return {name.removeprefix("f21-quartic-") for name, v in found.items() if v == "differs"}

    assert verdict() == set()
    one_side = np.concatenate([np.abs(x[:20] - FLAT_X) + FLAT_X, x[20:]])
    assert verdict(x=one_side) == {"swings"}
    assert verdict(norms=np.where(np.isfinite(x), np.geomspace(50.0, 10.0, 8), np.nan)) == {
        "orders"
    }
    assert verdict(end=np.append(end[:-1], ENDS.index("stalled"))) == {"left"}
    longer = np.concatenate([x[:20], np.tile(np.linspace(-5.0, -3.0, 8), (20, 1))])
    assert verdict(x=longer, norms=np.tile(np.geomspace(1e5, 10.0, 8), (40, 1))) == {"swings"}


def test_a_finder_that_is_not_attracted_is_told(quartic):
    start = np.array([[-3.0, 0.0], [2.0, 0.0]])
    for end, verdict in (([0, 1], "reproduced"), ([0, 0], "differs"), ([2, 1], "differs")):
        found = quartic_claims.also_attracted("f21-quartic-damped", start, np.array(end), FLAT_X)
        assert verdicts(found) == {"f21-quartic-damped": verdict}


# --- the networks ---


def linear_runs(falls):
    """Return what ``superlinear`` asks for, of runs with ‖g‖² 1e-2 and then these falls."""
    decades = np.cumsum(np.concatenate([np.zeros((len(falls), 1)), falls], axis=1), axis=1)
    histories = 1e-2 * 10.0**-decades
    return {
        "squared_gradient_norm": histories[None],
        "point_squared_gradient_norm": np.repeat(histories[None, :, -1:], 2, axis=-1),
        "step_size": np.ones_like(histories)[None],
        "solver_stop_reason": np.full((1, *histories.shape), StopReason.MAXIT),
        "residual_ratio": np.full((1, *histories.shape), 0.9),
    }


def test_a_superlinear_phase_is_a_fall_that_gets_faster():
    slow, fast = np.full(40, 0.25), np.array([0.05] * 36 + [1.0, 2.0, 4.0, 8.0])
    assert (
        remarks.superlinear(linear_runs(np.array([fast] * 10)), 0)["f21-linear-fast"].verdict
        == "reproduced"
    )
    (measured,) = remarks.superlinear(linear_runs(np.array([slow] * 9 + [fast])), 0).values()
    assert (measured.value, measured.verdict) == (0.1, "differs")
    assert "Of the other 9, 9 take unit steps" in measured.why
    assert "gain 0.25 decades" in measured.why
    none = linear_runs(np.full((3, 10), 0.01))
    assert remarks.superlinear(none, 0)["f21-linear-fast"].verdict == "differs"


def network_runs(n=40, seed=0):
    """Return what the remarks on Figs 3 to 5 ask for: as the paper says, for all of them."""
    rng = np.random.default_rng(seed)
    index = np.linspace(0.1, 0.4, n)
    loss = 0.1 + 5.0 * index**2 + 0.5 * index**2 * rng.choice([-1.0, 1.0], n)
    norms = np.where(np.arange(n) < 4, 1e-12, 1e-5)
    kind = np.where(np.arange(n) < 4, PointClass.CRITICAL, PointClass.STRICTLY_FLAT)
    r = np.tile([0.95, 0.3, 0.6, 0.95, 0.2], (n, 1))
    pairs = {"index": index, "value": loss, "squared_gradient_norm": norms, "class": kind}
    return {
        **{f"point_{name}": np.stack([x, x], axis=1) for name, x in pairs.items()},
        "relative_residual": r,
        "iterations": np.full(n, 4),
        "train_squared_gradient_norm": np.zeros((n, 3)),
    }


def test_what_is_said_on_figure_3_is_seen():
    assert set(verdicts(remarks.figure_3_in_words(network_runs())).values()) == {"reproduced"}


FAULTS = {
    "few": ("point_squared_gradient_norm", lambda x: 0.0 * x),  # all below the cut-off
    "most": ("point_class", lambda x: np.full_like(x, PointClass.CRITICAL)),
    "bounces": ("relative_residual", lambda r: np.maximum(r, 0.6)),  # not down to middling
    "spread": ("point_value", lambda x: x[::-1].max() - x[::-1]),  # wide at low index
    "high": ("point_index", lambda x: np.where(x > 0.39, 0.0, x)),  # a minimum on top
}


@pytest.mark.parametrize("claim", FAULTS)
def test_a_fault_turns_a_verdict_on_figure_3(claim):
    name, fault = FAULTS[claim]
    results = network_runs()
    found = remarks.figure_3_in_words(results | {name: fault(results[name])})
    assert found[f"f21-ae-{claim}"].verdict == "differs"


def test_no_run_below_the_cut_off_is_not_a_few():
    results = network_runs()
    norms = np.maximum(results["point_squared_gradient_norm"], 1e-6)
    found = remarks.figure_3_in_words(results | {"point_squared_gradient_norm": norms})
    assert found["f21-ae-few"].verdict == "differs"


def test_shapes_alike_and_different():
    convex, other = network_runs(), network_runs()
    other["point_value"] = other["point_value"][::-1]
    for results, alike, different in (
        (convex, "reproduced", "differs"),
        (other, "differs", "reproduced"),
    ):
        assert remarks.figure_4_in_words(results)["f21-cls-shape"].verdict == alike
        assert remarks.figure_5_in_words(results)["f21-mem-shape"].verdict == different
