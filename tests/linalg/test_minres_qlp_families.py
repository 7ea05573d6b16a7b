"""MINRES-QLP on the families of problems that Krylov methods are tested on, and at random."""

import collections

import array_api_strict
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import LinearOperator
from scipy.sparse.linalg import minres as scipy_minres

from autocrit_lite.linalg.minres_qlp import StopReason, minres_qlp

SOLVED = {StopReason.RESIDUAL, StopReason.LEAST_SQUARES, StopReason.ROUNDING}


def symmetric(rng, eigenvalues):
    Q = np.linalg.qr(rng.standard_normal((len(eigenvalues),) * 2))[0]
    A = (Q * eigenvalues) @ Q.T
    return 0.5 * (A + A.T)


def error(x, A, b):
    exact = np.linalg.pinv(A, rcond=1e-10, hermitian=True) @ b
    return np.linalg.norm(x - exact) / np.linalg.norm(exact)


FAMILIES = {
    "definite": np.linspace(1.0, 50.0, 40),
    "indefinite": np.concatenate([np.linspace(-20.0, -1.0, 15), np.linspace(1.0, 50.0, 25)]),
    "clustered": np.repeat([-3.0, 1.0, 7.0], [10, 20, 10]),
    "nearly singular": np.concatenate([[1e-6, -1e-6], np.linspace(1.0, 5.0, 38)]),
    "singular": np.concatenate([np.zeros(10), np.linspace(-9.0, -1.0, 10), np.linspace(1, 9, 20)]),
    "rank 1": np.concatenate([np.zeros(39), [-4.0]]),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("compatible", [True, False])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_the_solution_is_that_of_the_pseudo_inverse(family, compatible, scale):
    rng = np.random.default_rng(0)
    A = scale * symmetric(rng, FAMILIES[family])
    b = rng.standard_normal(40)
    if compatible:
        b = A @ b / scale
    result = minres_qlp(A, b, rtol=1e-13, maxxnorm=np.inf)
    assert result.stop_reason in SOLVED
    assert error(result.x, A, b) < (1e-5 if family == "nearly singular" else 1e-8)


@pytest.mark.parametrize("family", ["definite", "indefinite", "singular"])
def test_scipy_s_minres_finds_the_same_where_there_is_a_solution(family):
    rng = np.random.default_rng(1)
    A = symmetric(rng, FAMILIES[family])
    b = A @ rng.standard_normal(40)
    theirs, info = scipy_minres(A, b, rtol=1e-12)
    assert info == 0
    np.testing.assert_allclose(minres_qlp(A, b, rtol=1e-12).x, theirs, rtol=1e-7, atol=1e-9)


def test_a_solution_has_nothing_in_the_null_space():
    rng = np.random.default_rng(2)
    A = symmetric(rng, FAMILIES["singular"])
    b = rng.standard_normal(40)
    eigenvalues, vectors = np.linalg.eigh(A)
    null = vectors[:, np.abs(eigenvalues) < 1e-10]
    assert null.shape[1] == 10
    x = minres_qlp(A, b).x
    assert np.linalg.norm(null.T @ x) < 1e-8 * np.linalg.norm(x)


def test_a_right_hand_side_of_zero_needs_no_iteration():
    result = minres_qlp(np.eye(3), np.zeros(3))
    assert result.stop_reason == StopReason.ZERO_RIGHT_HAND_SIDE
    assert result.iterations == 0
    np.testing.assert_array_equal(result.x, 0.0)


def test_an_eigenvector_needs_one():
    A = np.diag([3.0, -2.0, 0.0])
    result = minres_qlp(A, np.array([0.0, 4.0, 0.0]))
    np.testing.assert_allclose(result.x, [0.0, -2.0, 0.0], atol=1e-15)
    assert result.iterations == 1


def test_a_matrix_of_zeros_gives_the_shortest_solution():
    result = minres_qlp(np.zeros((4, 4)), np.ones(4))
    np.testing.assert_array_equal(result.x, 0.0)
    assert result.stop_reason in SOLVED


@pytest.mark.parametrize("shift", [0.7, -1.3])
def test_a_shift_is_taken_off_the_diagonal(shift):
    rng = np.random.default_rng(3)
    A, b = symmetric(rng, FAMILIES["indefinite"]), rng.standard_normal(40)
    shifted = minres_qlp(A, b, shift=shift, rtol=1e-12).x
    np.testing.assert_allclose(shifted, np.linalg.solve(A - shift * np.eye(40), b), rtol=1e-8)


def test_every_kind_of_operator_gives_the_same():
    rng = np.random.default_rng(4)
    A, b = symmetric(rng, FAMILIES["singular"]), rng.standard_normal(40)
    kinds = [
        A,
        A.tolist(),
        scipy.sparse.csr_array(A),
        LinearOperator(A.shape, matvec=lambda v: A @ v, dtype=float),
        lambda v: A @ v,
    ]
    # what a residual within rtol says of x, in the range of A, with its smallest |λ| there of 1
    norm = np.linalg.norm
    exact = np.linalg.pinv(A, rcond=1e-10, hermitian=True) @ b
    for kind in kinds:
        result = minres_qlp(kind, b)
        assert result.stop_reason is StopReason.LEAST_SQUARES
        assert norm(result.x - exact) <= 2e-10 * 9.0 * norm(b - A @ exact)


def test_a_preconditioner_saves_iterations_and_changes_no_solution():
    rng = np.random.default_rng(5)
    diagonal = 10.0 ** np.linspace(0, 6, 60)
    A = np.diag(diagonal) + 0.1 * symmetric(rng, np.linspace(-1, 1, 60))
    b = rng.standard_normal(60)
    plain = minres_qlp(A, b, rtol=1e-10)
    helped = minres_qlp(A, b, rtol=1e-10, M=np.diag(1.0 / diagonal))
    np.testing.assert_allclose(helped.x, np.linalg.solve(A, b), rtol=1e-6, atol=1e-9)
    assert helped.iterations < plain.iterations / 2


def test_an_indefinite_preconditioner_is_told():
    rng = np.random.default_rng(6)
    A, b = symmetric(rng, FAMILIES["definite"]), rng.standard_normal(40)
    M = np.diag(np.where(np.arange(40) % 2, 1.0, -1.0))
    reason = minres_qlp(A, b, M=M).stop_reason
    assert reason == StopReason.INDEFINITE_PRECONDITIONER


def test_both_phases_find_the_same_and_trancond_decides_between_them():
    rng = np.random.default_rng(7)
    A, b = symmetric(rng, FAMILIES["indefinite"]), rng.standard_normal(40)
    qlp = minres_qlp(A, b, trancond=1.0, rtol=1e-12)
    minres = minres_qlp(A, b, trancond=np.inf, rtol=1e-12)
    changed = minres_qlp(A, b, trancond=5.0, rtol=1e-12)
    assert qlp.minres_iterations <= 1
    assert minres.qlp_iterations == 0
    assert min(changed.minres_iterations, changed.qlp_iterations) > 0
    for other in (minres, changed):
        np.testing.assert_allclose(other.x, qlp.x, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"maxit": 3}, StopReason.MAXIT),
        ({"maxxnorm": 1e-3}, StopReason.MAXXNORM),
        ({"acondlim": 2.0}, StopReason.ACONDLIM),
    ],
)
def test_limits_stop_a_solve_with_their_own_reason(options, reason):
    rng = np.random.default_rng(8)
    A, b = symmetric(rng, FAMILIES["indefinite"]), rng.standard_normal(40)
    result = minres_qlp(A, b, rtol=1e-12, **options)
    assert result.stop_reason == reason
    assert np.all(np.isfinite(result.x))


def test_a_product_that_is_not_finite_keeps_what_was_found():
    calls = []

    def product(v):
        calls.append(v)
        return v * np.arange(1.0, 31.0) if len(calls) < 6 else v * np.nan

    result = minres_qlp(product, np.ones(30), rtol=1e-12)
    assert result.stop_reason == StopReason.NON_FINITE
    assert np.all(np.isfinite(result.x))


def test_reported_residuals_are_those_of_the_solution():
    rng = np.random.default_rng(9)
    A, b = symmetric(rng, FAMILIES["singular"]), rng.standard_normal(40)
    result = minres_qlp(A, b)
    r = b - A @ result.x
    assert result.residual_norm == pytest.approx(np.linalg.norm(r), rel=1e-12)
    assert result.cokernel_residual_norm == pytest.approx(np.linalg.norm(A @ r), abs=1e-12)
    assert result.A_norm <= np.linalg.norm(A, 2) * (1 + 1e-12)


def test_histories_fall_and_the_callback_sees_every_iterate():
    rng = np.random.default_rng(10)
    A, b = symmetric(rng, FAMILIES["indefinite"]), rng.standard_normal(40)
    seen = []
    result = minres_qlp(A, b, history=True, callback=lambda x: seen.append(x.copy()))
    assert len(seen) == result.iterations
    assert len(result.residual_history) == result.iterations + 1
    assert np.all(np.diff(result.residual_history) <= 1e-10)
    np.testing.assert_allclose(seen[-1], result.x, rtol=1e-6)


@pytest.mark.parametrize("shared", [True, False])
def test_a_batch_is_solved_as_its_systems_are_one_by_one(shared):
    rng = np.random.default_rng(11)
    families = list(FAMILIES.values())
    A = np.stack([symmetric(rng, family) for family in families])
    if shared:
        A[:] = A[1]
    b = rng.standard_normal((len(families), 40)) * 10.0 ** np.arange(-3, 3)[:, None]
    b[2] = 0.0
    batch = minres_qlp(A[0] if shared else A, b, rtol=1e-12)
    for k in range(len(families)):
        one = minres_qlp(A[k], b[k], rtol=1e-12)
        scale = np.linalg.norm(one.x)
        np.testing.assert_allclose(batch.x[k], one.x, rtol=1e-6, atol=1e-7 * scale)
        assert (batch.stop_reason[k] in SOLVED) == (one.stop_reason in SOLVED)


def test_an_operator_that_offers_take_is_asked_for_the_systems_that_go_on():
    rng = np.random.default_rng(12)
    A = np.stack([np.diag(rng.uniform(1, 2, 30)) for _ in range(7)])
    A += np.diag(np.linspace(0, 50, 30)) * (np.arange(7) == 3)[:, None, None]
    sizes = []

    class Operator:
        def __init__(self, A):
            self.A = A

        def __call__(self, v):
            sizes.append(len(v))
            return (self.A @ v[:, :, None])[:, :, 0]

        def take(self, rows):
            return Operator(self.A[rows])

    b = rng.standard_normal((7, 30))
    result = minres_qlp(Operator(A), b, rtol=1e-12)
    np.testing.assert_allclose(result.x, np.linalg.solve(A, b[:, :, None])[:, :, 0], rtol=1e-8)
    assert sizes[0] == 7
    assert min(sizes) < 7


@pytest.mark.parametrize("batch", [False, True])
def test_other_array_modules_and_devices(batch):
    rng = np.random.default_rng(13)
    A = np.stack([symmetric(rng, FAMILIES[name]) for name in ("indefinite", "singular")])
    b = rng.standard_normal((2, 40))
    if not batch:
        A, b = A[1], b[1]
    device = array_api_strict.Device("device1")
    strict = minres_qlp(
        array_api_strict.asarray(A, device=device),
        array_api_strict.asarray(b, device=device),
        rtol=1e-12,
    )
    assert strict.x.device == device
    back = array_api_strict.asarray(strict.x, device=array_api_strict.Device("CPU_DEVICE"))
    np.testing.assert_allclose(np.asarray(back), minres_qlp(A, b, rtol=1e-12).x, rtol=1e-6)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    n=st.integers(1, 12),
    rank=st.integers(0, 12),
    seed=st.integers(0, 2**16),
    exponent=st.integers(-12, 12),
)
def test_any_small_system(n, rank, seed, exponent):
    rng = np.random.default_rng(seed)
    eigenvalues = np.zeros(n)
    kept = min(rank, n)
    eigenvalues[:kept] = rng.uniform(0.1, 3.0, kept) * rng.choice([-1.0, 1.0], kept)
    A = 10.0**exponent * symmetric(rng, eigenvalues)
    b = rng.standard_normal(n)
    result = minres_qlp(A, b, rtol=1e-13, maxxnorm=np.inf)
    assert result.stop_reason in SOLVED
    if kept:
        assert error(result.x, A, b) < 1e-6


def random_system(rng):
    """A symmetric system with its pseudo-inverse solution, known by construction."""
    n = int(rng.integers(1, 201))
    rank = int(rng.integers(1, n + 1))
    condition = 10.0 ** rng.uniform(0, 3)
    magnitudes = rng.uniform(1 / condition, 1.0, rank)
    magnitudes[0] = 1.0
    eigenvalues = magnitudes * rng.choice([-1.0, 1.0], rank) * 10.0 ** rng.uniform(-12, 12)
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0][:, :rank]
    A = (Q * eigenvalues) @ Q.T
    b = rng.standard_normal(n)
    compatible = bool(rng.integers(2)) or rank == n
    if compatible:
        b = Q @ (Q.T @ b)
    b *= 10.0 ** rng.uniform(-12, 12)
    return 0.5 * (A + A.T), b, Q @ ((Q.T @ b) / eigenvalues), compatible


def check_systems(count):
    rng = np.random.default_rng(0)
    table = collections.Counter()
    worst = 0.0
    for _ in range(count):
        A, b, exact, compatible = random_system(rng)
        result = minres_qlp(A, b, rtol=1e-13, maxit=4 * len(b), maxxnorm=np.inf)
        table["compatible" if compatible else "incompatible", result.stop_reason.name] += 1
        if result.stop_reason in SOLVED:
            found = np.linalg.norm(result.x - exact) / np.linalg.norm(exact)
            worst = max(worst, found)
            assert found < 1e-6
        if result.stop_reason == StopReason.RESIDUAL:
            assert np.linalg.norm(b - A @ result.x) <= 1.01e-13 * (
                np.linalg.norm(A, 2) * np.linalg.norm(result.x) + np.linalg.norm(b)
            )
    solved = sum(k for (_, name), k in table.items() if StopReason[name] in SOLVED)
    for (kind, name), k in sorted(table.items()):
        print(f"{kind:>13} {name:<15} {k}")
    print(f"convergence reported in {solved / count:.1%}, largest relative error {worst:.1e}")
    assert solved >= 0.99 * count


def test_random_systems():
    check_systems(150)


@pytest.mark.slow
def test_a_thousand_random_systems():
    check_systems(1000)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"b": np.zeros((2, 2, 2))}, "b must"),
        ({"b": np.array([1.0, np.nan])}, "b must"),
        ({"b": np.ones(3)}, "A must"),
        ({"A": "matrix"}, "A must"),
        ({"rtol": -1e-3}, "rtol must"),
        ({"maxit": -1}, "maxit must"),
        ({"maxit": 2.5}, "maxit must"),
        ({"maxxnorm": 0.0}, "maxxnorm must"),
        ({"acondlim": np.nan}, "acondlim must"),
        ({"trancond": "large"}, "trancond must"),
        ({"shift": np.inf}, "shift must"),
        ({"callback": 3}, "callback must"),
        ({"M": np.eye(3)}, "M must"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    good = {"A": np.eye(2), "b": np.ones(2)}
    with pytest.raises((TypeError, ValueError), match=message):
        minres_qlp(**{**good, **arguments})
