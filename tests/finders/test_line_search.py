"""Which step lengths are accepted: checked against finite differences, not against the search."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from autocrit_lite.finders import FRYE_2019, FRYE_2021, FinderStopReason, damped_newton, newton_mr
from autocrit_lite.finders.line_search import BETA, STEP_SIZE0, Line
from autocrit_lite.ground_truth.quartic import Quartic, quartic

VARIANTS = {"2019": FRYE_2019, "2021": FRYE_2021}
RULES = [
    (variant, rule, find)
    for variant in VARIANTS
    for rule in ("carry", "restart")
    for find in (newton_mr, damped_newton)
    if find is newton_mr or variant == "2021"
]


def gradient(theta):
    """Return the quartic's gradient by central differences with Richardson's extrapolation."""

    def central(h):
        steps = h * np.eye(2)
        return np.stack([quartic(theta + s) - quartic(theta - s) for s in steps], -1) / (2 * h)

    return (4.0 * central(0.5e-3) - central(1e-3)) / 3.0


def hessian_product(theta, v):
    h = 1e-4 / np.linalg.norm(v, axis=-1, keepdims=True)
    return (gradient(theta + h * v) - gradient(theta - h * v)) / (2.0 * h)


@pytest.mark.parametrize(("variant", "rule", "find"), RULES)
def test_what_is_accepted_meets_the_test_and_what_was_tried_before_does_not(variant, rule, find):
    options = VARIANTS[variant]
    x, y = np.meshgrid(np.linspace(-4.0, 4.0, 5), np.linspace(-2.1, 2.3, 4))
    starts = np.stack([x.ravel(), y.ravel()], axis=-1)
    given = options if find is newton_mr else {}
    trace = find(Quartic(), starts, 12, step_rule=rule, record_theta=True, **given)
    run, k = np.nonzero(trace.step_size[:, :-1] > 0)
    alpha, theta, new = trace.step_size[run, k], trace.thetas[run, k], trace.thetas[run, k + 1]
    p = (new - theta) / alpha[:, None]
    # where a step is so short that its direction is rounding, it shows nothing
    legible = (alpha * np.linalg.norm(p, axis=-1) > 1e-4) & (np.linalg.norm(p, axis=-1) < 1e3)
    run, k, alpha, theta, new, p = (a[legible] for a in (run, k, alpha, theta, new, p))
    assert len(k) > 100

    now = np.sum(gradient(theta) ** 2, axis=-1)
    slope = np.sum(hessian_product(theta, p) * gradient(theta), axis=-1)

    def excess(rho, alpha):
        there = np.sum(gradient(theta + alpha[:, None] * p) ** 2, axis=-1)
        return (there - (now + 2.0 * rho * alpha * slope)) / now

    rho, rho_unit = options["rho"], options["rho_unit"]
    unit = np.zeros(len(alpha), dtype=bool)
    if rho_unit is not None:
        unit = excess(rho_unit, np.ones_like(alpha)) <= 1e-6
        assert (alpha[unit & (excess(rho_unit, np.ones_like(alpha)) < -1e-6)] == 1.0).all()
    assert (excess(rho, alpha)[~unit] <= 1e-6).all()
    first = trace.trials[run, k] == 1 + (rho_unit is not None)
    halved = ~unit & ~first
    assert halved.sum() > 5
    assert (excess(rho, 2.0 * alpha)[halved] >= -1e-6).all()


@pytest.mark.parametrize(("variant", "rule", "find"), RULES)
def test_where_each_search_starts(variant, rule, find):
    options = VARIANTS[variant]
    rng = np.random.default_rng(3)
    starts = rng.uniform([-5.0, -4.0], [5.0, 4.0], size=(40, 2))
    trace = find(Quartic(), starts, 15, step_rule=rule, **(options if find is newton_mr else {}))
    has_unit = options["rho_unit"] is not None
    for sizes, trials in zip(trace.step_size, trace.trials, strict=True):
        start = 0.1
        for size, count in zip(sizes, trials, strict=True):
            if not size > 0.0:
                break
            if not (has_unit and count == 1.0):
                assert size == start * 0.5 ** (count - 1 - has_unit)
            else:
                assert size == 1.0
            start = min(2.0 * size, 1.0) if rule == "carry" else 0.1


def test_a_search_that_fails_stays_where_it_was():
    theta = np.array([[1.0, -2.0], [3.0, 4.0], [5.0, 6.0]])
    direction = np.ones((3, 2))

    def accept(rows, trial, alpha):
        # row 0: nothing; row 2: short steps only
        return (rows == 2) & (alpha <= 0.2)

    pending = np.array([True, False, True])
    found = Line(theta, direction).backtrack(accept, np.full(3, 1.0), pending)
    np.testing.assert_array_equal(found.theta[:2], theta[:2])
    np.testing.assert_array_equal(found.theta[2], [5.125, 6.125])
    assert found.step_size.tolist() == [0.0, 0.0, 0.125]
    # 1 + α == 1 and −2 + α == −2 at α = 2⁻⁵³, the 54th
    assert found.trials.tolist() == [54.0, 0.0, 4.0]


def test_a_failed_line_search_is_reported_and_keeps_the_point():
    """Steps that no length makes good: the Hessian has the wrong sign."""

    class Wrong:
        hessian_cost = 1.0
        value_and_gradient = Quartic().value_and_gradient

        def linearize(self, theta):
            point = Quartic().linearize(theta)
            return type(point)(point.value, point.gradient, -point.diagonal)

    start = np.array([2.0, 1.0])
    for find in (newton_mr, damped_newton):
        trace = find(Wrong(), start)
        assert trace.stop_reason is FinderStopReason.LINE_SEARCH_FAILED
        assert trace.iterations == 0
        np.testing.assert_array_equal(trace.theta, start)
        assert trace.step_size.tolist() == [0.0]


def test_the_exact_search_finds_the_lowest_gradient():
    rng = np.random.default_rng(4)
    theta = rng.uniform(-3.0, 3.0, size=(20, 2))
    point = Quartic().linearize(theta)
    direction = -point.gradient / point.diagonal
    squared = np.sum(point.gradient**2, axis=1)
    found = Line(theta, direction).minimize(Quartic(), squared)
    assert (found.step_size > 0.0).all()
    for i in range(20):

        def merit(alpha, i=i):
            g = Quartic().value_and_gradient(theta[i] + alpha * direction[i])[1]
            return float(g @ g)

        grid = np.geomspace(1e-6, 4.0, 4000)
        best = grid[np.argmin([merit(alpha) for alpha in grid])]
        refined = minimize_scalar(merit, bounds=(0.99 * best, 1.01 * best), method="bounded")
        assert merit(found.step_size[i]) <= refined.fun * (1.0 + 1e-9) + 1e-12


def test_the_exact_search_fails_where_no_length_lowers_the_gradient():
    theta = np.array([[2.0, 1.0]])
    point = Quartic().linearize(theta)
    upwards = point.gradient / point.diagonal
    found = Line(theta, upwards).minimize(Quartic(), np.sum(point.gradient**2, axis=1))
    assert not found.step_size.any()
    np.testing.assert_array_equal(found.theta, theta)


@pytest.mark.parametrize("alpha", [np.inf, np.nan])
def test_a_step_length_that_is_not_finite_ends_the_search(alpha):
    theta = np.zeros((2, 2))

    def short(rows, trial, alpha):
        return alpha < 0.3

    found = Line(theta, theta + 1.0).backtrack(short, np.array([1.0, alpha]), max_trials=50)
    assert found.step_size.tolist() == [0.25, 0.0]
    assert found.trials.tolist() == [3.0, 0.0]


def test_a_step_along_one_coordinate_is_a_step():
    line = Line(np.array([[1.0, 1.0]]), np.array([[1.0, 0.0]]))
    search = line.backtrack(lambda rows, trial, alpha: alpha < 1.0, np.array([1.0]))
    assert search.theta.tolist() == [[1.5, 1.0]]


def test_the_papers_constants():
    """Frye et al. 2021, A.2, and 2019, 6.4, as printed; the shared ones are defaults."""
    assert dict(FRYE_2021) == {"rho": 0.1, "rho_unit": 0.5}
    assert dict(FRYE_2019) == {"rho": 1e-4, "rho_unit": None}
    assert (STEP_SIZE0, BETA) == (0.1, 0.5)
