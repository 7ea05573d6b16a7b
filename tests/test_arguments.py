"""Arrays as they come: of any real kind, in any order of bytes, masked, shared, at any scale."""

import copy
import pickle
import subprocess
import sys
import warnings

import autograd.numpy as anp
import numpy as np
import pytest
import scipy.sparse
from autograd.extend import defvjp, primitive

import autocrit_lite as al
from autocrit_lite.arrays import read_only
from autocrit_lite.finders import FinderStopReason
from autocrit_lite.linalg.residuals import residual_indices
from autocrit_lite.points.classes import PointClass, is_gradient_flat, point_class
from autocrit_lite.points.spectral_laws import MarchenkoPastur, Semicircle, kolmogorov_smirnov
from autocrit_lite.training.optimizers import GradientDescent, Momentum, train
from autocrit_lite.training.sampling import bootstrap_entropy, entropy
from tests.finders.problems import saddle
from tests.finders.test_driver import EIGENVALUES, every_finder, starts

from .strict import back, there

NET = al.MLP((3, 4, 2))
RNG = np.random.default_rng(0)
X, Y = RNG.integers(-3, 4, (20, 3)), RNG.integers(-3, 4, (20, 2))
LABELS = RNG.integers(0, 2, 20)
THETA = RNG.integers(-2, 3, NET.n_parameters)
LAW = Semicircle(0.0, 2.0)
KINDS = (int, np.int8, np.float16, np.float32, ">f8", ">i4", np.longdouble)


def wells(theta):
    return anp.sum((theta**2 - 1.0) ** 2)


# --- any real kind ---


@pytest.mark.parametrize("kind", KINDS)
def test_real_numbers_of_any_kind_are_taken_as_float64(kind):
    wanted = al.NetworkObjective(NET, X.astype(float), Y.astype(float)).linearize(
        THETA.astype(float)
    )
    found = al.NetworkObjective(NET, X.astype(kind), Y.astype(kind)).linearize(THETA.astype(kind))
    v = np.ones(len(THETA), dtype=kind)
    for mine, its in (
        (found.gradient, wanted.gradient),
        (found.hessian(), wanted.hessian()),
        (found.hvp(v), wanted.hvp(v.astype(float))),
    ):
        assert mine.dtype == np.float64
        assert np.array_equal(mine, its)
    A, b = np.diag([2, 4]).astype(kind), np.array([1, 1], dtype=kind)
    other = float if np.dtype(kind).kind == "i" else kind  # a quotient is no integer
    sparse = scipy.sparse.csr_array(A.astype(np.float64))
    for given in (A, sparse, lambda u: (A @ u).astype(other)):
        assert np.allclose(al.minres_qlp(given, b).x, [0.5, 0.25], rtol=1e-3)
    assert al.morse_index(A) == 0.0
    trace = al.newton_mr(al.AutogradObjective(wells), np.array([3, 2], dtype=kind), 30)
    assert np.allclose(np.abs(trace.theta), 1.0)


def test_lists_and_booleans_are_taken_too():
    result = al.minres_qlp([[2, 0], [0, 3]], [1, 1])
    assert np.allclose(result.x, [1 / 2, 1 / 3])
    assert np.allclose(al.minres_qlp(np.eye(2), np.array([True, False])).x, [1.0, 0.0])
    assert np.allclose(al.newton_mr(al.AutogradObjective(wells), [3, 4], 40).theta, [1.0, 1.0])


# --- masked arrays and matrices ---


def uses(array):
    """Yield the argument's name with a call that uses an array in its place, by its shape."""
    n = NET.n_parameters
    objective = al.NetworkObjective(NET, X, Y)
    point = objective.linearize(THETA)
    if array.shape == (20, 3):
        yield "X", lambda: al.NetworkObjective(NET, array, Y)
    if array.shape == (20, 2):
        yield "Y", lambda: al.NetworkObjective(NET, X, array)
        yield "Y", lambda: al.NetworkObjective(NET, X, array, loss="cross_entropy")
    if array.shape == (20,):
        yield "Y", lambda: al.NetworkObjective(NET, X, array, loss="cross_entropy")
    if array.shape == (n,):
        yield "theta", lambda: objective.linearize(array)
        yield "theta", lambda: al.AutogradObjective(wells).linearize(array)
        yield "theta0", lambda: al.newton_mr(objective, array)
        yield "v", lambda: point.hvp(array)
        yield "b", lambda: al.minres_qlp(np.eye(n), array)
        yield "gradient", lambda: residual_indices(np.eye(n), array, np.ones(n))
        yield "theta", lambda: objective.asarray(array)
        yield "squared_gradient_norm", lambda: point_class(array, array.data, array.data)
        yield "relative_residual", lambda: point_class(array.data, array, array.data)
        yield "relative_cokernel_residual", lambda: is_gradient_flat(array.data, array)
        yield "eigenvalues", lambda: kolmogorov_smirnov(array, LAW)
        yield "x", lambda: LAW.cdf(array)
        yield "x", lambda: LAW.density(array)
        yield "x", lambda: MarchenkoPastur(1.0, 1.0).cdf(array)
        yield "x", lambda: MarchenkoPastur(1.0, 1.0).density(array)
    if array.shape == (2, 2) and array.dtype != bool:
        yield "A", lambda: al.minres_qlp(array, np.ones(2))
        yield "M", lambda: al.minres_qlp(np.eye(2), np.ones(2), M=array)
        yield "hessian", lambda: al.morse_index(array)

    if array.shape == (2, 2) and array.dtype == bool:
        yield "kept", lambda: entropy(array)
    if array.shape == (4,):
        yield "rows", lambda: objective.subset(array)
        yield "trajectory", lambda: bootstrap_entropy(np.eye(4) > 0.0, RNG, trajectory=array)
        parts = NET.unflatten(THETA)
        yield "parts", lambda: NET.flatten([(parts[0][0], array), parts[1]])


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((20, 3), int),
        ((20, 2), int),
        ((20,), int),
        ((NET.n_parameters,), int),
        ((4,), int),
        ((2, 2), float),
        ((2, 2), bool),
    ],
)
def test_masked_values_are_never_used(shape, dtype):
    values = np.eye(2, dtype=dtype) if shape == (2, 2) else np.ones(shape, dtype=dtype)
    masked = np.ma.masked_array(values, mask=np.zeros(shape, dtype=bool))
    for _, use in uses(masked):
        if shape != (20, 2):
            use()  # nothing is masked
    masked[(0,) * len(shape)] = np.ma.masked
    for name, use in uses(masked):
        with pytest.raises(TypeError, match=f"^{name} must not be a masked array"):
            use()


def test_matrices_of_numpy_are_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        matrix = np.matrix(np.eye(2))
    for name, use in uses(matrix):
        with pytest.raises(TypeError, match=f"^{name} must be an array, not a numpy.matrix"):
            use()


def test_a_column_as_files_have_it_is_named():
    with pytest.raises(ValueError, match=r"^b must have shape \(5,\) for one system"):
        al.minres_qlp(np.eye(5), np.ones((5, 1)))


# --- labels ---


def test_one_hot_rows_are_labels():
    wanted = al.NetworkObjective(NET, X, LABELS, loss="cross_entropy").linearize(THETA)
    for kind in (float, int, bool, np.float32):
        hot = np.eye(2)[LABELS].astype(kind)
        found = al.NetworkObjective(NET, X, hot, loss="cross_entropy").linearize(THETA)
        assert np.array_equal(found.gradient, wanted.gradient)
    for wrong in (np.full((20, 2), 0.5), np.ones((20, 2)), np.zeros((20, 2))):
        with pytest.raises(ValueError, match=r"^Y must hold labels or one-hot rows"):
            al.NetworkObjective(NET, X, wrong, loss="cross_entropy")


# --- what is written to ---


def test_a_callable_that_writes_into_its_argument_is_stopped():
    for A in (lambda v: np.multiply(v, 2.0, out=v), lambda v: v.sort() or 2.0 * v):
        for b in (np.ones(3), np.ones((2, 3))):
            with pytest.raises(ValueError, match="read-only"):
                al.minres_qlp(A, b)


@primitive
def same(x):
    return x + 0.0


@primitive
def doubled(x):
    x *= 2.0
    return x


# so that a gradient writes into a copy, and its products into the vector
defvjp(same, lambda ans, x: lambda g: doubled(g + 0.0))
defvjp(doubled, lambda ans, x: doubled)


class Doubled:
    """A loss that writes into the point that it is given."""

    def value_and_gradient(self, theta):
        return doubled(theta)[..., 0], theta


def test_a_loss_that_writes_into_its_argument_is_stopped():
    theta, v = np.ones(2), np.ones(2)
    overwriting = al.AutogradObjective(lambda t: anp.sum(doubled(t)))
    point = al.AutogradObjective(lambda t: anp.sum(same(t) ** 2)).linearize(theta)
    for call in (
        lambda: overwriting.value_and_gradient(theta),
        lambda: overwriting.linearize(theta),
        lambda: point.hvp(v),
        lambda: train(Doubled(), theta, GradientDescent(), 1),
        lambda: train(Doubled(), theta[None, :], GradientDescent(), 1),
    ):
        with pytest.raises(ValueError, match="read-only"):
            call()
    assert np.array_equal([theta, v], np.ones((2, 2)))


def test_points_and_traces_keep_what_they_were_made_from():
    objective = al.AutogradObjective(lambda t: anp.sum(t**4))
    for theta in (np.ones(2), np.ones((3, 2))):
        point = objective.linearize(theta)
        expected = point.hessian()[..., 0]
        point = objective.linearize(theta)
        theta -= 1.0
        v = np.zeros(theta.shape)
        v[..., 0] = 1.0
        assert np.array_equal(point.hvp(v), expected)
        assert np.max(expected) == 12.0
    data, theta = X.astype(float), THETA.astype(float)
    objective = al.NetworkObjective(NET, data, Y)
    expected = objective.subset(np.arange(4)).linearize(theta).gradient
    data[:] = 0.0
    assert np.array_equal(objective.subset(np.arange(4)).linearize(theta).gradient, expected)
    for start in (theta, np.stack([theta, theta])):
        before = start.copy()
        trace = al.newton_mr(objective, start, 2)
        start[...] = 7.0
        assert np.array_equal(trace.theta_start, before)


class OneBuffer:
    """A loss that gives the same arrays again at every call."""

    hessian_cost = 1.0

    def __init__(self, objective):
        self.objective, self.buffers = objective, {}

    def fill(self, *arrays):
        kept = self.buffers.setdefault(arrays[1].shape, [np.empty_like(a) for a in arrays])
        for buffer, array in zip(kept, arrays, strict=True):
            buffer[...] = array
        return kept

    def value_and_gradient(self, theta):
        return self.fill(*self.objective.value_and_gradient(theta))

    def linearize(self, theta):
        point = self.objective.linearize(theta)
        value, gradient = self.fill(point.value, point.gradient)
        return type(point)(value, gradient, point.matrix)


@every_finder
def test_an_objective_may_return_the_same_arrays_again(find):
    objective = saddle(EIGENVALUES, c=0.5)
    theta0 = starts(objective)
    expected = find(objective, theta0, max_iterations=4)
    found = find(OneBuffer(objective), theta0, max_iterations=4)
    for name in ("theta", "value", "squared_gradient_norm", "step_size"):
        assert np.array_equal(getattr(found, name), getattr(expected, name), equal_nan=True)


class ReadOnly:
    """A loss whose arrays cannot be written to."""

    hessian_cost = 1.0

    def __init__(self, objective):
        self.objective = objective

    def value_and_gradient(self, theta):
        return tuple(map(read_only, self.objective.value_and_gradient(theta)))

    def linearize(self, theta):
        point = self.objective.linearize(theta)
        found = type(point)(*map(read_only, (point.value, point.gradient, point.matrix)))
        product = found.hvp
        object.__setattr__(found, "hvp", lambda v: read_only(product(v)))
        return found


@every_finder
def test_an_objective_may_return_arrays_that_cannot_be_written_to(find):
    objective = saddle(EIGENVALUES, c=0.5)
    expected = find(objective, starts(objective), max_iterations=4)
    found = find(ReadOnly(objective), read_only(starts(objective)), max_iterations=4)
    for name in ("theta", "value", "squared_gradient_norm", "step_size"):
        assert np.array_equal(getattr(found, name), getattr(expected, name), equal_nan=True)


class Writing(ReadOnly):
    """A loss that writes to what it is given."""

    def __init__(self, objective, method):
        super().__init__(objective)
        self.method = method

    def value_and_gradient(self, theta):
        if self.method == "value_and_gradient":
            theta *= 0.5
        return super().value_and_gradient(theta)

    def linearize(self, theta):
        if self.method == "linearize":
            theta *= 0.5
        point = super().linearize(theta)
        if self.method == "hvp":
            object.__setattr__(point, "hvp", lambda v: np.multiply(v, 2.0, out=v))
        return point


@pytest.mark.parametrize("method", ["value_and_gradient", "linearize", "hvp"])
@pytest.mark.parametrize(
    "find", [al.newton_mr, al.newton_tr, al.levenberg_marquardt, al.gradient_norm_minimization]
)
def test_an_objective_that_writes_to_what_it_is_given_is_stopped(find, method):
    objective = saddle(EIGENVALUES, c=0.5)
    if method == "value_and_gradient" and find is al.gradient_norm_minimization:
        return  # it never calls that
    for start in (starts(objective), starts(objective)[0]):
        before = start.copy()
        with pytest.raises(ValueError, match="read-only"):
            find(Writing(objective, method), start, 4)
        assert np.array_equal(start, before)


# --- copies ---


def same_point(a, b):
    return all(
        np.array_equal(x, y)
        for x, y in ((a.value, b.value), (a.gradient, b.gradient), (a.hessian(), b.hessian()))
    )


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_what_holds_data_can_be_copied_and_sent_to_a_process(duplicate):
    objectives = [
        al.NetworkObjective(NET, X, Y, l2=0.1),
        al.NetworkObjective(NET, X, LABELS, loss="cross_entropy"),
        al.NetworkObjective(al.MLP((3, 2), "linear"), X, Y),
        al.AutogradObjective(wells),
    ]
    for objective in objectives:
        theta = np.linspace(-1.0, 1.0, 8 if objective is objectives[2] else NET.n_parameters)
        point = objective.linearize(theta)
        assert same_point(duplicate(objective).linearize(theta), point)
        assert same_point(duplicate(point), point)
        trace = duplicate(al.newton_mr(objective, theta, 2))
        assert trace.stop_reason is al.newton_mr(objective, theta, 2).stop_reason
        rule = duplicate(Momentum(0.1, 0.9))
        trained = duplicate(train(objective, theta[None, :], rule, 3))
        assert trained.final.shape == (1, len(theta))
    result = duplicate(al.minres_qlp(np.eye(2), np.ones(2)))
    assert result.stop_reason is al.StopReason.RESIDUAL


SENT = """
import pickle, sys
from autocrit_lite.networks.problem import keep_freed_memory
objective = pickle.load(open(sys.argv[1], "rb"))
print(keep_freed_memory.cache_info().currsize)
"""


def test_a_process_that_is_sent_an_objective_keeps_freed_memory(tmp_path):
    path = tmp_path / "objective"
    path.write_bytes(pickle.dumps(al.NetworkObjective(al.MLP((2, 2)), np.eye(2), np.eye(2))))
    program = [sys.executable, "-c", SENT, str(path)]
    run = subprocess.run(program, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["1"]


# --- functions for autograd ---


def numpy_only(theta):
    return float(np.sum(np.asarray(theta) ** 2))


@pytest.mark.parametrize("f", [numpy_only, lambda t: 3, lambda t: 3.0, lambda t: np.exp(1.0)])
def test_a_function_that_autograd_cannot_follow(f):
    for call in (
        lambda: al.AutogradObjective(f).linearize(np.ones(2)),
        lambda: al.newton_mr(al.AutogradObjective(f), np.ones(2)),
    ):
        with pytest.raises(TypeError, match=r"^f must be written with autograd.numpy .* depends"):
            call()


def test_an_error_of_the_function_itself_is_its_own():
    def broken(theta):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        al.AutogradObjective(broken).linearize(np.ones(2))


def test_a_linear_function_has_a_hessian_of_zeros_and_no_warning():
    objective = al.AutogradObjective(lambda t: 2.0 * t[0] - t[1])
    assert np.array_equal(objective.linearize(np.ones(2)).hessian(), np.zeros((2, 2)))
    assert al.newton_mr(objective, np.ones(2), 3).iterations == 0


# --- reasons ---


def test_reasons_say_their_sentence():
    reason = al.minres_qlp(np.eye(2), np.ones(2)).stop_reason
    for text in (str(reason), f"{reason}", "{}".format(reason)):  # noqa: UP032
        assert text == f"RESIDUAL: {al.StopReason.RESIDUAL.sentence}"
    for kind in (al.StopReason, FinderStopReason, PointClass):
        for member in kind:
            assert str(member) == f"{member.name}: {member.sentence}"
            assert f"{member:d}" == str(int(member))
            assert kind(int(member)) is member


# --- scales ---

SCALES = (-1000, -600, -480, -400, 0, 400, 480, 600, 990)


def system(batch=()):
    rng = np.random.default_rng(5)
    Q = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    A = (Q * np.array([-2.0, -1.0, 0.0, 0.5, 1.0, 2.0])) @ Q.T
    return 0.5 * (A + A.T), rng.normal(size=(*batch, 6))


@pytest.mark.parametrize("of_b", SCALES)
@pytest.mark.parametrize("of_A", SCALES)
def test_a_solution_has_the_same_digits_at_every_scale(of_A, of_b):
    if not -1000 <= of_b - of_A <= 1000 or not -1000 <= of_A + of_b <= 1000:
        return
    A, b = system()
    options = {"maxxnorm": np.inf, "rtol": 1e-12}
    expected = al.minres_qlp(A, b, **options)
    scaled, rhs = np.ldexp(A, of_A), np.ldexp(b, of_b)
    for given in (scaled, lambda v: scaled @ v):
        found = al.minres_qlp(given, rhs, **options)
        assert np.allclose(np.ldexp(found.x, of_A - of_b), expected.x, rtol=1e-9, atol=1e-9)
        assert found.converged
        assert np.isfinite(found.relative_residual)
        assert found.relative_cokernel_residual < 1e-10


@pytest.mark.parametrize("to", [lambda x: x, there])
def test_each_system_of_a_batch_has_its_own_scale(to):
    A, b = system((3,))
    powers = np.array([-600, 0, 600])
    rhs = np.ldexp(b, powers[:, None])
    found = al.minres_qlp(to(A), to(rhs), 1e-12, maxxnorm=np.inf)
    expected = al.minres_qlp(A, b, 1e-12, maxxnorm=np.inf)
    x = found.x if to is not there else back(found.x)
    assert np.allclose(np.ldexp(x, -powers[:, None]), expected.x, rtol=1e-9, atol=1e-9)
    matrices = np.ldexp(np.stack([A, A, A]), powers[:, None, None])
    M = np.ldexp(np.diag(np.linspace(1.0, 2.0, 6)), 500)
    found = al.minres_qlp(to(matrices), to(b), 1e-12, M=to(M), maxxnorm=np.inf)
    expected = al.minres_qlp(A, b, 1e-12, M=np.ldexp(M, -500), maxxnorm=np.inf)
    x = found.x if to is not there else back(found.x)
    assert np.allclose(np.ldexp(x, powers[:, None]), expected.x, rtol=1e-8, atol=1e-8)


def test_the_limit_on_the_solution_is_in_its_own_units():
    A, b = 1e160 * np.diag(np.geomspace(1e-6, 1.0, 20)), np.ones(20)
    assert al.minres_qlp(A, b, maxxnorm=1e-150).stop_reason is al.StopReason.RESIDUAL
    assert al.minres_qlp(A, b, maxxnorm=1e-156).stop_reason is al.StopReason.MAXXNORM


@pytest.mark.parametrize("power", SCALES)
def test_residual_indices_have_no_scale(power):
    H, g = system()
    p = np.linspace(-1.0, 1.0, 6)
    expected = residual_indices(H, g, p)
    for found in (
        residual_indices(np.ldexp(H, power), g, np.ldexp(p, -power)),
        residual_indices(H, np.ldexp(g, power), np.ldexp(p, power)),
    ):
        assert np.allclose(found, expected, rtol=1e-12)


def test_a_gradient_whose_square_is_zero_is_not_converged():
    tiny = al.AutogradObjective(lambda t: 1e-200 * anp.sum(t**2))
    for find in (al.newton_mr, al.damped_newton, al.gradient_norm_minimization):
        trace = find(tiny, np.ones(2), 0)
        assert trace.stop_reason is FinderStopReason.MAX_ITERATIONS
    assert al.newton_mr(tiny, np.zeros(2), 1).stop_reason is FinderStopReason.CONVERGED


# --- import ---


def test_importing_the_package_takes_no_large_memory():
    text = """
import sys, tracemalloc
import numpy, scipy.linalg, pandas, autograd.numpy
tracemalloc.start()
import autocrit_lite.networks.derivatives
sys.exit(tracemalloc.get_traced_memory()[1] > 25 * 2**20)
"""
    assert subprocess.run([sys.executable, "-c", text]).returncode == 0


class Scaled:
    """A loss times a power of two."""

    hessian_cost = 1.0

    def __init__(self, objective, power):
        self.objective, self.power = objective, power

    def value_and_gradient(self, theta):
        return tuple(np.ldexp(x, self.power) for x in self.objective.value_and_gradient(theta))

    def linearize(self, theta):
        point = self.objective.linearize(theta)
        parts = (point.value, point.gradient, point.matrix)
        return type(point)(*(np.ldexp(x, self.power) for x in parts))


@pytest.mark.parametrize("power", [-900, -600, -300, 300, 600, 900])
@pytest.mark.parametrize("find", [al.newton_mr, al.exact_newton, al.damped_newton])
def test_newton_methods_go_the_same_way_at_every_scale(find, power):
    """But for the rounding of hypot, which the solver uses, to the last bit."""
    objective = saddle(EIGENVALUES, c=0.5)
    theta0 = starts(objective)
    close = {"rtol": 1e-9, "atol": 1e-12, "equal_nan": True}
    for start in (theta0, theta0[0]):
        expected = find(objective, start, max_iterations=4)
        found = find(Scaled(objective, power), start, max_iterations=4)
        assert np.array_equal(found.stop_reason, expected.stop_reason)
        for name in ("theta", "step_size", "direction_norm", "iterations"):
            assert np.allclose(getattr(found, name), getattr(expected, name), **close)
        assert np.allclose(np.ldexp(found.value, -power), expected.value, **close)
        if abs(power) == 300:
            squared = np.ldexp(found.squared_gradient_norm, -2 * power)
            assert np.allclose(squared, expected.squared_gradient_norm, **close)
    if abs(power) == 300:
        tolerance = np.ldexp(4.0 * np.nanmin(expected.squared_gradient_norm), 2 * power)
        found = find(Scaled(objective, power), start, 4, squared_gradient_tolerance=tolerance)
        assert found.stop_reason is FinderStopReason.CONVERGED
