"""What every finder has from the driver: batches, traces, stop reasons, refusals."""

from functools import partial

import numpy as np
import pytest

from autocrit_lite.arrays import indices, norm, put, take
from autocrit_lite.devices import to_numpy
from autocrit_lite.finders import (
    FinderStopReason,
    damped_newton,
    driver,
    exact_newton,
    gradient_norm_minimization,
    index_targeted_newton,
    levenberg_marquardt,
    newton_mr,
    newton_tr,
    saddle_free_newton,
)
from autocrit_lite.finders.driver import Step
from autocrit_lite.finders.line_search import Search
from autocrit_lite.linalg.minres_qlp import StopReason as SolverStopReason

from .problems import Counted, Point, matrix_free, saddle, strict

EIGENVALUES = (-2.0, -0.5, 0.3, 1.0, 4.0)
FINDERS = {
    "newton_mr": newton_mr,
    "newton_mr matrix-free": partial(newton_mr, dense=False),
    "newton_tr": newton_tr,
    "exact_newton": exact_newton,
    "damped_newton": damped_newton,
    "gradient_norm": gradient_norm_minimization,
    "index_targeted_newton": partial(index_targeted_newton, index=1),
    "index_targeted_newton in a Krylov space": partial(
        index_targeted_newton, index=1, krylov_dimension=3
    ),
    "levenberg_marquardt": levenberg_marquardt,
    "levenberg_marquardt geodesic": partial(levenberg_marquardt, geodesic=True),
    "levenberg_marquardt matrix-free": matrix_free,
    "saddle_free_newton": saddle_free_newton,
    "saddle_free_newton with a Newton end": partial(saddle_free_newton, newton_end=True),
    "saddle_free_newton in a Krylov space": partial(saddle_free_newton, krylov_dimension=3),
}
every_finder = pytest.mark.parametrize("find", FINDERS.values(), ids=FINDERS.keys())


def starts(objective, count=7, seed=1):
    return objective.middle + np.random.default_rng(seed).normal(size=(count, len(EIGENVALUES)))


@every_finder
def test_a_run_does_not_depend_on_its_companions(find):
    objective = saddle(EIGENVALUES, c=0.5)
    theta0 = starts(objective)
    # not so far that rounding decides what happens: the losses that saddle-free Newton compares
    # differ by its smallest damping's square times ‖g‖²
    tolerance = 1e-3 if "saddle_free" in str(find) else 1e-12
    options = {"max_iterations": 6, "squared_gradient_tolerance": tolerance}
    batch = find(objective, theta0, **options)
    pair = find(objective, theta0[[5, 2]], **options)
    # where a minimum along a line is, is known to the root of the rounding error
    rtol = 1e-4 if find is exact_newton else 1e-7
    for row, other in ((5, 0), (2, 1)):
        run = find(objective, theta0[row], **options)
        for trace, i in ((batch, row), (pair, other)):
            assert int(trace.stop_reason[i]) == run.stop_reason
            assert int(trace.iterations[i]) == run.iterations
            np.testing.assert_allclose(trace.theta[i], run.theta, rtol=rtol, atol=1e-9)
            length = run.iterations + 1
            for name in ("value", "step_size", "direction_norm", "products", "trials"):
                mine, its = getattr(run, name), getattr(trace, name)[i]
                np.testing.assert_allclose(its[:length], mine, rtol=100 * rtol, atol=1e-9)
                assert np.isnan(its[length:]).all()


@every_finder
def test_a_run_does_not_depend_on_starts_far_out(find):
    """At 1e60 the gradient is 1e180, and its square no number; at 1e200 the loss is none."""
    objective = saddle(EIGENVALUES, c=0.5)
    near = starts(objective, count=2)
    far = np.outer([1e60, 1e200], np.ones(len(EIGENVALUES)))
    options = {"max_iterations": 4, "record_theta": True}
    found = find(objective, np.stack([near[0], far[0], far[1], near[1]]), **options)
    for rows, theta0 in (([0, 3], near), ([1], far[:1]), ([2], far[1:])):
        expected = find(objective, theta0, **options)
        np.testing.assert_array_equal(found.stop_reason[rows], expected.stop_reason)
        np.testing.assert_allclose(
            found.thetas[rows, : expected.thetas.shape[1]], expected.thetas, rtol=1e-7
        )
    if find is newton_mr:
        assert (found.iterations > 0).tolist() == [True, True, False, True]


@every_finder
def test_other_array_modules_and_devices(find):
    objective = saddle(EIGENVALUES, c=0.5)
    theta0 = starts(objective, count=4)
    expected = find(objective, theta0, max_iterations=8, record_theta=True)
    other = saddle(EIGENVALUES, c=0.5, convert=strict)
    found = find(other, strict(theta0), max_iterations=8, record_theta=True)
    for name in ("theta", "theta_first", "thetas", "value", "step_size"):
        array = getattr(found, name)
        assert array.device == other.middle.device
        np.testing.assert_allclose(
            to_numpy(array), getattr(expected, name), rtol=1e-6, atol=1e-8, err_msg=name
        )
    np.testing.assert_array_equal(to_numpy(found.stop_reason), expected.stop_reason)
    assert found.to_frame().shape == expected.to_frame().shape
    single = find(other, strict(theta0[0]), max_iterations=3)
    assert single.theta.shape == (5,)
    assert isinstance(single.stop_reason, FinderStopReason)


def test_the_trace_of_a_batch():
    objective = saddle(EIGENVALUES, c=0.5)
    theta0 = starts(objective)
    theta0[3] = objective.middle  # critical from the start
    trace = newton_mr(objective, theta0, 40, squared_gradient_tolerance=1e-20, record_theta=True)
    longest = trace.iterations.max()
    assert trace.iterations[3] == 0
    assert trace.stop_reason[3] == FinderStopReason.CONVERGED
    assert trace.value.shape == trace.relative_residual.shape == (7, longest + 1)
    assert trace.thetas.shape == (7, longest + 1, 5)
    np.testing.assert_array_equal(trace.theta_start, theta0)
    np.testing.assert_array_equal(trace.thetas[:, 0], theta0)
    np.testing.assert_array_equal(trace.theta_first[:, :3], trace.thetas[:, 1:4])
    for run in range(7):
        end = trace.iterations[run]
        np.testing.assert_array_equal(trace.thetas[run, end], trace.theta[run])
        assert np.isnan(trace.thetas[run, end + 1 :]).all()
        assert np.isnan(trace.theta_first[run, end:]).all()
        point = objective.linearize(trace.thetas[run, : end + 1])
        np.testing.assert_allclose(trace.value[run, : end + 1], point.value, rtol=1e-12)
        squared = np.sum(point.gradient**2, axis=1)
        found = trace.squared_gradient_norm[run, : end + 1]
        # of g, a sum of terms of about 1, rounding leaves some units in the last place of 1
        np.testing.assert_allclose(np.sqrt(found), np.sqrt(squared), rtol=1e-12, atol=1e-13)
        assert np.isfinite(trace.relative_residual[run, :end]).all()
        assert np.isnan(trace.relative_residual[run, end:]).all()


def test_the_last_number_of_a_history():
    objective = saddle(EIGENVALUES, c=0.5)
    theta0 = starts(objective)
    theta0[3] = objective.middle  # no direction is computed there
    trace = newton_mr(objective, theta0, 40, squared_gradient_tolerance=1e-20)
    assert len(set(trace.iterations.tolist())) > 2
    last, r = trace.last("value"), trace.last("relative_residual")
    for run, end in enumerate(trace.iterations):
        assert last[run] == trace.value[run, end]
        if end:
            assert r[run] == trace.relative_residual[run, end - 1]
    assert np.isnan(r[3])
    single = newton_mr(objective, theta0[0], 40, squared_gradient_tolerance=1e-20)
    assert isinstance(single.last("value"), float)
    assert single.last("value") == single.value[-1]
    with pytest.raises(ValueError, match="name must be one of"):
        trace.last("theta")


def test_the_frame_has_a_row_for_each_run_and_iterate():
    objective = saddle(EIGENVALUES, c=0.5)
    trace = newton_mr(objective, starts(objective), 20)
    frame = trace.to_frame()
    assert len(frame) == np.sum(trace.iterations + 1)
    row = frame[(frame["run"] == 4) & (frame["iteration"] == 2)].iloc[0]
    assert row["value"] == trace.value[4, 2]
    assert row["step_size"] == trace.step_size[4, 2]
    run = newton_mr(objective, starts(objective)[4], 20)
    assert list(run.to_frame()["run"]) == [0] * (run.iterations + 1)


def test_the_limit_of_iterations():
    objective = saddle(EIGENVALUES, c=0.5)
    theta0 = starts(objective)[0]
    trace = newton_mr(objective, theta0, 2)
    assert trace.stop_reason is FinderStopReason.MAX_ITERATIONS
    assert trace.iterations == 2
    none = newton_mr(objective, theta0, 0)
    assert none.iterations == 0
    assert none.value.shape == none.step_size.shape == (1,)
    np.testing.assert_array_equal(none.theta, theta0)
    assert np.isnan(none.theta_first).all()
    assert none.theta_first.shape == (5, 5)


class Cliff:
    """f(x) = ½x² down to x = 1, below which it is not finite."""

    hessian_cost = 1.0

    def value_and_gradient(self, theta):
        point = self.linearize(theta)
        return point.value, point.gradient

    def linearize(self, theta):
        inside = theta[:, 0] > 1.0
        value = np.where(inside, 0.5 * theta[:, 0] ** 2, np.inf)
        gradient = np.where(inside[:, None], theta, np.nan)
        return Point(value, gradient, np.where(inside[:, None, None], np.ones((1, 1)), np.nan))


class Descent:
    """Gradient descent with a step length of 1/4."""

    def init(self, objective, theta):
        return None

    def step(self, objective, theta, point, state):
        one = np.ones(len(theta))
        return Step(Search(theta - 0.25 * point.gradient, 0.25 * one, one), -point.gradient, one)


def test_what_is_not_finite_ends_a_run_and_keeps_the_rest():
    trace = driver.find(Descent(), Cliff(), np.array([[2.0], [0.5], [50.0]]), 5, 0.0, False)
    assert trace.stop_reason.tolist() == [5, 5, 2]
    assert trace.iterations.tolist() == [2, 0, 5]
    np.testing.assert_allclose(trace.theta[:, 0], [2 * 0.75**2, 0.5, 50 * 0.75**5])
    assert np.isinf(trace.value[1, 0])
    assert np.isnan(trace.value[0, 3])
    assert np.isfinite(trace.value[0, :3]).all()


@every_finder
def test_a_line_search_stays_out_of_what_is_not_finite(find):
    trace = find(Cliff(), np.array([[3.0]]), max_iterations=20)
    assert trace.theta[0, 0] > 1.0
    assert np.isfinite(trace.value[0, : trace.iterations[0] + 1]).all()


def test_a_gradient_in_the_kernel_leaves_no_step():
    """A linear loss: the Hessian is zero, and so is the shortest Newton direction."""
    flat = saddle((0.0, 0.0, 0.0))

    class Slope:
        hessian_cost = 1.0

        def value_and_gradient(self, theta):
            return np.sum(theta, axis=-1), np.ones_like(theta)

        def linearize(self, theta):
            return Point(*self.value_and_gradient(theta), flat.linearize(theta).matrix)

    for find in (newton_mr, damped_newton, exact_newton, levenberg_marquardt):
        trace = find(Slope(), np.array([1.0, 2.0, 3.0]))
        assert trace.stop_reason is FinderStopReason.STEP_VANISHED
        assert trace.iterations == 0
        np.testing.assert_array_equal(trace.theta, [1.0, 2.0, 3.0])
        np.testing.assert_allclose(trace.residual_ratio, [1.0])
        assert trace.step_size[0] == 0.0


@pytest.mark.parametrize("dense", ["auto", False, True])
def test_products_are_counted(dense):
    """What the trace counts is what a single run makes."""
    objective = Counted(saddle(np.linspace(-3.0, 5.0, 12), c=0.5), hessian_cost=6.0)
    theta0 = objective.objective.middle + np.random.default_rng(2).normal(size=12)
    trace = newton_mr(objective, theta0, 4, rtol=1e-8, dense=dense)
    assert trace.iterations == 4
    counted = objective.products + objective.hessian_cost * objective.hessians
    assert trace.products[-1] == counted
    assert (np.diff(trace.products) > 0).all()
    if dense == "auto":
        # the first solve begins without the matrix, the others with it, as the first was long
        assert objective.hessians == 4
        assert objective.products == 6
        assert trace.solver_iterations[0] > 6
    np.testing.assert_allclose(
        trace.theta, newton_mr(objective.objective, theta0, 4, rtol=1e-8).theta, rtol=1e-9
    )


def test_the_dense_hessian_changes_nothing_beyond_rounding():
    objective = saddle(np.linspace(-3.0, 5.0, 12), c=0.5)
    theta0 = objective.middle + np.random.default_rng(2).normal(size=(5, 12))
    free, auto, dense = (
        newton_mr(objective, theta0, 6, rtol=1e-8, dense=dense) for dense in (False, "auto", True)
    )
    for other in (auto, dense):
        np.testing.assert_allclose(other.theta, free.theta, rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(other.solver_iterations, free.solver_iterations)
    assert np.isnan(auto.relative_residual_frobenius).all()
    assert np.isfinite(dense.relative_residual_frobenius[:, :6]).all()


class Kink:
    """f(x, y) = ½(x² + y²), whose Hessian is not finite where x = 0."""

    hessian_cost = 2.0

    def __init__(self, element):
        self.element = element

    def value_and_gradient(self, theta):
        return 0.5 * np.sum(theta**2, axis=-1), theta

    def linearize(self, theta):
        curvature = np.where(theta == 0.0, self.element, 1.0)
        matrix = np.where(np.eye(2) > 0.0, curvature[..., None], 0.0)
        return Point(*self.value_and_gradient(theta), matrix)


@pytest.mark.parametrize("element", [np.nan, np.inf])
@every_finder
def test_a_hessian_that_is_not_finite_ends_a_run_with_its_reason(find, element):
    theta0 = np.array([[0.0, 1.0], [1.0, 2.0]])
    for found in (find(Kink(element), theta0, 3), find(Kink(element), theta0[:1], 3)):
        assert found.stop_reason[0] == FinderStopReason.NON_FINITE
        assert found.iterations[0] == 0
        np.testing.assert_array_equal(found.theta[0], theta0[0])
        for name in ("relative_residual", "residual_ratio", "relative_residual_frobenius"):
            assert np.isnan(getattr(found, name)[0]).all()


def test_a_solve_without_a_finite_product_says_so():
    for find in (newton_mr, newton_tr, partial(newton_mr, dense=True)):
        trace = find(Kink(np.nan), np.array([0.0, 1.0]), 3)
        assert trace.stop_reason is FinderStopReason.NON_FINITE
        assert trace.solver_stop_reason[0] == SolverStopReason.NON_FINITE
        assert np.isnan(trace.relative_residual_frobenius[0])


@pytest.mark.parametrize(
    ("error", "name", "arguments"),
    [
        (ValueError, "theta0", {"theta0": np.zeros((2, 2, 5))}),
        (ValueError, "theta0", {"theta0": np.array(1.0)}),
        (ValueError, "theta0", {"theta0": np.full(5, np.nan)}),
        (ValueError, "theta0", {"theta0": np.zeros((0, 5))}),
        (TypeError, "theta0", {"theta0": np.zeros(5, dtype="U1")}),
        (TypeError, "theta0", {"theta0": np.zeros(5, dtype=complex)}),
        (ValueError, "max_iterations", {"max_iterations": -1}),
        (TypeError, "max_iterations", {"max_iterations": 2.5}),
        (ValueError, "squared_gradient_tolerance", {"squared_gradient_tolerance": -1e-8}),
        (ValueError, "squared_gradient_tolerance", {"squared_gradient_tolerance": np.nan}),
    ],
)
@every_finder
def test_bad_input_is_refused(find, error, name, arguments):
    with pytest.raises(error, match=name):
        find(saddle(EIGENVALUES), **{"theta0": np.zeros(5), **arguments})


@every_finder
def test_a_plain_function_is_no_objective(find):
    with pytest.raises(TypeError, match=r"objective must be one, such as AutogradObjective\(f\)"):
        find(lambda theta: theta @ theta, np.zeros(5))


@pytest.mark.parametrize(
    ("find", "error", "name", "value"),
    [
        (newton_mr, ValueError, "rtol", -1e-3),
        (newton_mr, TypeError, "rtol", "small"),
        (newton_mr, ValueError, "rtol", 1),
        (newton_mr, ValueError, "maxit", 0),
        (newton_tr, ValueError, "maxit", 0),
        (newton_mr, ValueError, "rho", 1.5),
        (newton_mr, ValueError, "rho_unit", -0.1),
        (newton_mr, ValueError, "step_rule", "double"),
        (newton_mr, ValueError, "step_rule", np.array(["carry", "restart"])),
        (newton_mr, ValueError, "dense", "sometimes"),
        (newton_mr, ValueError, "dense", 1),
        (newton_mr, ValueError, "dense", 0),
        (newton_tr, ValueError, "rtol", 1.0),
        (newton_tr, ValueError, "gammas", ()),
        (newton_tr, TypeError, "gammas", 5),
        (newton_tr, ValueError, "gammas", (1.0, -1.0)),
        (newton_tr, ValueError, "gammas", (np.inf,)),
        (damped_newton, ValueError, "step_rule", None),
        (saddle_free_newton, ValueError, "krylov_dimension", 0),
    ],
)
def test_bad_options_are_refused(find, error, name, value):
    with pytest.raises(error, match=rf"^(every one of )?{name} must"):
        find(saddle(EIGENVALUES), np.zeros(5), **{name: value})


@pytest.mark.parametrize(("option", "value"), [("rtol", 1.0), ("maxit", 0)])
def test_options_of_the_solver_are_refused_before_work_starts(option, value):
    objective = saddle(EIGENVALUES)  # no system is solved at its critical point
    with pytest.raises(ValueError, match=rf"^{option} must be"):
        newton_mr(objective, objective.middle, 3, **{option: value})


def test_a_boolean_of_numpy_is_one():
    theta0 = np.ones(5)
    for dense in (True, False):
        counts = []
        for given in (dense, np.bool_(dense)):
            objective = Counted(saddle(EIGENVALUES, c=0.5), hessian_cost=4.0)
            newton_mr(objective, theta0, 2, dense=given)
            counts.append((objective.hessians, objective.products))
        assert counts[0] == counts[1]
        assert (counts[0][0] > 0) is dense


def test_every_stop_reason_has_a_sentence():
    assert FinderStopReason.LINE_SEARCH_FAILED == 3
    sentences = {reason.sentence for reason in FinderStopReason}
    assert len(sentences) == len(FinderStopReason)


def test_rows_are_taken_and_put_back():
    full = np.arange(12.0).reshape(6, 2)
    rows = indices(np.array([False, True, False, False, True, True]))
    part = take(full, rows)
    np.testing.assert_array_equal(put(rows, full, part), full)
    changed = put(rows, full, -part)
    np.testing.assert_array_equal(changed[[0, 2, 3]], full[[0, 2, 3]])
    np.testing.assert_array_equal(changed[[1, 4, 5]], -full[[1, 4, 5]])
    np.testing.assert_array_equal(put(rows[:0], full, part[:0]), full)


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_norms_neither_overflow_nor_underflow(scale):
    x = np.array([[3.0, -4.0], [0.0, 0.0]])
    np.testing.assert_allclose(norm(scale * x), [5.0 * scale, 0.0], rtol=1e-15)


def test_no_dense_hessian_where_products_with_it_are_no_cheaper():
    class FewSamples(Counted):
        dense_product_cost = 1.0

    objective = FewSamples(saddle(np.linspace(-3.0, 5.0, 12), c=0.5), hessian_cost=2.0)
    theta0 = objective.objective.middle + np.random.default_rng(2).normal(size=12)
    trace = newton_mr(objective, theta0, 2, rtol=1e-8)
    assert objective.hessians == 0
    assert trace.products[-1] == objective.products
    trace = newton_mr(objective, theta0, 2, rtol=1e-8, dense=True)
    assert objective.hessians == 2
    assert trace.products[-1] == 2 * 2.0 + np.nansum(trace.solver_iterations) + 2 * 3
