"""MINRES-QLP against pseudo-inverses, SciPy's MINRES, dense least squares, and its own claims."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator, aslinearoperator, minres

from autocrit_lite import StopReason, minres_qlp
from autocrit_lite.linalg import minres_qlp as solver

TRANCONDS = (1.0, 1e7, np.inf)


def symmetric(rng, eigenvalues, n=None):
    """Return a symmetric matrix with these eigenvalues, and n - len(eigenvalues) zeros."""
    n = len(eigenvalues) if n is None else n
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0][:, : len(eigenvalues)]
    A = (Q * eigenvalues) @ Q.T
    return 0.5 * (A + A.T)


def pseudo_inverse_solution(A, b, cutoff=1e-9):
    """Return the pseudo-inverse of A times b."""
    eigenvalues, Q = np.linalg.eigh(A)
    kept = np.abs(eigenvalues) > cutoff * np.max(np.abs(eigenvalues))
    return Q[:, kept] @ ((Q[:, kept].T @ b) / eigenvalues[kept])


def relative_error(x, expected):
    """Return ‖x - expected‖ / ‖expected‖."""
    return np.linalg.norm(x - expected) / np.linalg.norm(expected)


def assert_claims(A, b, result, rtol):
    """Recompute everything that a result of one system says about its residuals."""
    n, x = b.shape[0], result.x
    r = b - A @ x
    r_norm, Ar_norm = np.linalg.norm(r), np.linalg.norm(A @ r)
    A_norm, scale = np.linalg.norm(A, 2), result.A_norm * np.linalg.norm(x) + np.linalg.norm(b)
    rounding = 4.0 * np.sqrt(n) * np.finfo(float).eps
    # two ways to compute the same product differ by rounding errors
    noise = rounding * (A_norm * np.linalg.norm(x) + np.linalg.norm(b))
    assert result.A_norm <= A_norm * (1 + 1e-12)
    assert result.x_norm == pytest.approx(np.linalg.norm(x), rel=1e-12)
    assert result.residual_norm == pytest.approx(r_norm, rel=1e-12, abs=noise)
    assert result.cokernel_residual_norm == pytest.approx(Ar_norm, rel=1e-12, abs=A_norm * noise)
    assert result.iterations == result.minres_iterations + result.qlp_iterations
    assert result.products == result.iterations + 2 * result.passes
    assert result.converged == (result.stop_reason <= StopReason.ZERO_RIGHT_HAND_SIDE)
    if scale > 0.0:
        assert result.relative_residual == pytest.approx(result.residual_norm / scale)
    match result.stop_reason:
        case StopReason.RESIDUAL:
            assert result.relative_residual <= rtol
            assert r_norm <= rtol * scale + noise
        case StopReason.LEAST_SQUARES:
            assert result.relative_cokernel_residual <= rtol
            assert Ar_norm <= rtol * result.A_norm * r_norm + A_norm * noise
        case StopReason.ROUNDING:
            assert (
                result.residual_norm <= rounding * scale
                or result.cokernel_residual_norm <= rounding * result.A_norm * scale
            )
        case StopReason.ZERO_RIGHT_HAND_SIDE:
            assert not b.any()
            assert not x.any()
        case StopReason.MAXIT:
            assert not result.converged


def random_signs(rng, n):
    return rng.choice([-1.0, 1.0], n)


def families():
    """Yield name, A, b, shift, and the tolerance of the error."""
    rng = np.random.default_rng(0)
    n = 40
    definite = rng.uniform(1.0, 10.0, n)
    indefinite = definite * random_signs(rng, n)
    geometric = np.geomspace(1e-3, 1.0, n) * random_signs(rng, n)
    b = rng.standard_normal(n)
    yield "definite", symmetric(rng, definite), b, 0.0, 1e-9
    yield "negative definite", symmetric(rng, -definite), b, 0.0, 1e-9
    yield "indefinite", symmetric(rng, indefinite), b, 0.0, 1e-9
    yield "geometric", symmetric(rng, geometric), b, 0.0, 1e-9
    yield "shifted", symmetric(rng, definite), b, 5.0, 1e-9
    yield "shifted to singular", symmetric(rng, np.append(definite[1:], 3.0)), b, 3.0, 1e-7
    clustered = np.repeat([-3.0, 1.0, 7.0], [10, 20, 10])
    yield "clustered", symmetric(rng, clustered), b, 0.0, 1e-9
    yield "two eigenvalues", symmetric(rng, np.repeat([2.0, -3.0], n // 2)), b, 0.0, 1e-9
    nearly = np.append(indefinite[1:], 1e-6)
    yield "nearly singular", symmetric(rng, nearly), b, 0.0, 1e-5
    A = symmetric(rng, indefinite[:25], n)
    yield "singular, consistent", A, A @ b, 0.0, 1e-9
    yield "singular, inconsistent", A, b, 0.0, 1e-9
    A = symmetric(rng, definite[:25], n)
    yield "semidefinite, consistent", A, A @ b, 0.0, 1e-9
    yield "semidefinite, inconsistent", A, b, 0.0, 1e-9
    yield "one null vector", symmetric(rng, geometric[1:], n), b, 0.0, 1e-7
    yield "rank 1", symmetric(rng, [-2.0], n), b, 0.0, 1e-9
    yield "rank 2", symmetric(rng, [-2.0, 0.5], n), b, 0.0, 1e-9
    yield "hardly any of b in the range", A, b - A @ b * 1e-4, 0.0, 1e-9
    laplacian = 2.0 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    laplacian[0, 0] = laplacian[-1, -1] = 1.0
    yield "Neumann Laplacian, inconsistent", laplacian, b, 0.0, 1e-7
    yield "diagonal", np.diag(np.arange(-3.0, 4.0)), np.ones(7), 0.0, 1e-9


FAMILIES = list(families())


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("trancond", TRANCONDS)
@pytest.mark.parametrize("family", FAMILIES, ids=[family[0] for family in FAMILIES])
def test_families(family, trancond, scale):
    _, A, b, shift, tolerance = family
    A, shift = scale * A, scale * shift
    result = minres_qlp(A, b, rtol=1e-13, shift=shift, trancond=trancond, maxxnorm=np.inf)
    shifted = A - shift * np.eye(len(b))
    assert result.converged, result
    assert_claims(shifted, b, result, 1e-13)
    assert relative_error(result.x, pseudo_inverse_solution(shifted, b, 1e-8)) < tolerance


@pytest.mark.parametrize("scale_b", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("scale_A", [1e-12, 1e12])
@pytest.mark.parametrize("n_null", [0, 10])
def test_scales(scale_A, scale_b, n_null):
    rng = np.random.default_rng(1)
    A = symmetric(
        rng, scale_A * rng.uniform(1.0, 10.0, 30 - n_null) * random_signs(rng, 30)[n_null:], 30
    )
    b = scale_b * rng.standard_normal(30)
    result = minres_qlp(A, b, rtol=1e-13, maxxnorm=np.inf)
    assert result.converged
    assert_claims(A, b, result, 1e-13)
    assert relative_error(result.x, pseudo_inverse_solution(A, b)) < 1e-9


@pytest.mark.parametrize("exponent", [-40, 40])
def test_scaling_by_a_power_of_two_changes_no_bit(exponent):
    rng = np.random.default_rng(2)
    A, b = (
        symmetric(rng, np.append(rng.uniform(-2.0, 2.0, 15), np.zeros(3))),
        rng.standard_normal(18),
    )
    result = minres_qlp(A, b)
    scaled = minres_qlp(A * 2.0**exponent, b, maxxnorm=np.inf)
    np.testing.assert_array_equal(scaled.x, result.x * 2.0**-exponent)
    scaled = minres_qlp(A, b * 2.0**exponent, maxxnorm=np.inf)
    np.testing.assert_array_equal(scaled.x, result.x * 2.0**exponent)


def test_zero_right_hand_side():
    result = minres_qlp(np.eye(3), np.zeros(3))
    assert result.stop_reason is StopReason.ZERO_RIGHT_HAND_SIDE
    assert result.stop_reason.converged
    assert result.iterations == result.products == result.passes == 0
    assert result.x.tolist() == [0.0, 0.0, 0.0]
    assert result.relative_residual == result.relative_cokernel_residual == 0.0


def test_zero_matrix():
    b = np.arange(1.0, 5.0)
    result = minres_qlp(np.zeros((4, 4)), b)
    assert result.stop_reason is StopReason.LEAST_SQUARES
    assert not result.x.any()
    assert result.residual_norm == np.linalg.norm(b)
    assert result.A_norm == 0.0


@pytest.mark.parametrize("trancond", TRANCONDS)
@pytest.mark.parametrize("eigenvalue", [3.0, -0.25])
def test_an_eigenvector_takes_one_iteration(eigenvalue, trancond):
    rng = np.random.default_rng(3)
    A = symmetric(rng, np.append(rng.uniform(1.0, 2.0, 11), eigenvalue))
    eigenvalues, Q = np.linalg.eigh(A)
    i = np.argmin(np.abs(eigenvalues - eigenvalue))
    result = minres_qlp(A, 7.0 * Q[:, i], trancond=trancond)
    assert result.stop_reason is StopReason.RESIDUAL
    assert result.iterations == 1
    assert relative_error(result.x, 7.0 / eigenvalue * Q[:, i]) < 1e-12


def test_a_null_vector_has_the_solution_zero():
    rng = np.random.default_rng(4)
    A = symmetric(rng, rng.uniform(1.0, 2.0, 11), 15)
    null = np.linalg.eigh(A)[1][:, 0]
    result = minres_qlp(A, 5.0 * null)  # A b is 1e-16, not 0
    assert result.converged
    assert result.iterations <= 2
    assert np.linalg.norm(result.x) < 1e-12
    A = np.diag([0.0, 1.0, -2.0])
    result = minres_qlp(A, np.array([2.0, 0.0, 0.0]))  # A b is 0
    assert result.stop_reason is StopReason.LEAST_SQUARES
    assert not result.x.any()


def test_one_unknown():
    for a, x in ((2.0, 1.5), (-0.5, -6.0), (0.0, 0.0)):
        result = minres_qlp(np.array([[a]]), np.array([3.0]))
        assert result.converged
        assert result.x.tolist() == [x]
        assert result.iterations == 1


@pytest.mark.parametrize("rank", range(1, 9))
def test_breakdown_at_any_iteration(rank):
    """With r distinct eigenvalues the Lanczos process ends after r iterations: β is 0."""
    eigenvalues = np.repeat(2.0 ** np.arange(rank) * (-1.0) ** np.arange(rank), 2)
    A, b = np.diag(np.append(eigenvalues, [0.0, 0.0])), np.ones(2 * rank + 2)
    for right_hand_side in (b, A @ b):
        result = minres_qlp(A, right_hand_side, rtol=1e-12)
        assert result.converged
        assert relative_error(result.x, pseudo_inverse_solution(A, right_hand_side)) < 1e-11


def least_residual(A, b, k):
    """Return the least ‖b - A x‖ over x in the Krylov space of dimension k."""
    V = b[:, None] / np.linalg.norm(b)
    while V.shape[1] < k:
        v = A @ V[:, -1]
        for _ in range(2):
            v -= V @ (V.T @ v)
        V = np.column_stack([V, v / np.linalg.norm(v)])
    return np.linalg.norm(b - A @ V @ np.linalg.lstsq(A @ V, b, rcond=None)[0]) if k else np.inf


@pytest.mark.parametrize("rtol", [1e-2, 1e-3, 1e-4])
@pytest.mark.parametrize("elsewhere", [0.1, 0.01, 0.003])
def test_nearly_all_of_b_in_what_rtol_takes_for_the_null_space(rtol, elsewhere):
    """A r is small long before an entry of L is: then the x that has this r is returned."""
    n = 60
    for seed in range(10):
        rng = np.random.default_rng(seed)
        Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
        eigenvalues = rng.choice([-1.0, 1.0], n) * np.geomspace(1e-7, 30.0, n)
        A = (Q * eigenvalues) @ Q.T
        A = (A + A.T) / 2
        b = Q @ (rng.standard_normal(n) * np.where(np.abs(eigenvalues) < rtol, 1.0, elsewhere))
        single = minres_qlp(A, b, rtol=rtol, maxit=n, maxxnorm=np.inf)
        batch = minres_qlp(A, np.stack([b, -b]), rtol=rtol, maxit=n, maxxnorm=np.inf)
        assert single.converged
        assert single.passes == 1
        assert_claims(A, b, single, rtol)
        assert np.all(batch.passes == 1)
        # later, Lanczos vectors that are no longer orthogonal take more iterations
        early = single.iterations <= 15
        least = least_residual(A, b, single.iterations - 1) if early else np.linalg.norm(b)
        for own, x in ((b, single.x), (b, batch.x[0]), (-b, batch.x[1])):
            assert np.linalg.norm(own - A @ x) <= least * (1.0 + 1e-6)


@pytest.mark.parametrize("rtol", [1e-8, 1e-10, 1e-12])
def test_minimum_length(rtol):
    """What rtol leaves in the null space is as small as what it leaves elsewhere."""
    rng = np.random.default_rng(5)
    for _ in range(20):
        rank = int(rng.integers(5, 25))
        A = symmetric(rng, rng.uniform(1.0, 5.0, rank) * random_signs(rng, rank), 30)
        b = rng.standard_normal(30)
        result = minres_qlp(A, b, rtol=rtol)
        null = np.linalg.eigh(A @ A)[1][:, : 30 - rank]
        assert result.stop_reason is StopReason.LEAST_SQUARES
        assert_claims(A, b, result, rtol)
        along = np.linalg.norm(null.T @ result.x) / result.x_norm
        assert along < 200.0 * rtol
        # no other least-squares solution is shorter
        other = result.x + null @ rng.standard_normal(30 - rank)
        assert np.linalg.norm(other) > result.x_norm


@pytest.mark.parametrize("trancond", TRANCONDS)
def test_each_iterate_minimises_the_residual_over_its_krylov_space(trancond):
    rng = np.random.default_rng(6)
    for eigenvalues in (
        rng.uniform(-3.0, 3.0, 12),
        np.append(rng.uniform(1.0, 3.0, 8), np.zeros(4)),
    ):
        A, b = symmetric(rng, eigenvalues), rng.standard_normal(12)
        iterates = []
        result = minres_qlp(A, b, rtol=1e-10, trancond=trancond, callback=iterates.append)
        assert len(iterates) == result.iterations
        krylov = np.linalg.qr(np.stack([np.linalg.matrix_power(A, k) @ b for k in range(6)], 1))[0]
        for k in range(1, 6):
            V = krylov[:, :k]
            expected = V @ np.linalg.lstsq(A @ V, b, rcond=None)[0]
            np.testing.assert_allclose(iterates[k - 1], expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("trancond", TRANCONDS)
@pytest.mark.parametrize("n_null", [0, 5])
def test_estimates_are_those_of_the_iterates(monkeypatch, n_null, trancond):
    rng = np.random.default_rng(7)
    A = symmetric(rng, rng.uniform(0.5, 3.0, 25) * random_signs(rng, 25), 25 + n_null)
    b = rng.standard_normal(25 + n_null)
    iterates, factors, own = [np.zeros_like(b)], [], solver.next_factors

    def recorded(*arguments):
        factors.append(own(*arguments))
        return factors[-1]

    monkeypatch.setattr(solver, "next_factors", recorded)
    result = minres_qlp(A, b, rtol=1e-6, trancond=trancond, callback=iterates.append)
    assert len(factors) == result.iterations > 10
    residuals = [b - A @ x for x in iterates]
    norms = np.array([np.linalg.norm(r) for r in residuals])
    # in exact arithmetic none is larger than the one before; the recurrences hold to √ε at the end
    assert np.all(np.diff(norms) <= 1e-7)
    np.testing.assert_allclose([F.phi for F in factors[:-1]], norms[1:-1], rtol=1e-6)
    cokernel = [np.linalg.norm(A @ r) for r in residuals[:-1]]
    np.testing.assert_allclose([F.cokernel for F in factors] * norms[:-1], cokernel, rtol=1e-2)


def test_trancond_decides_the_phase():
    rng = np.random.default_rng(8)
    A, b = symmetric(rng, np.geomspace(1e-4, 1.0, 60)), rng.standard_normal(60)
    qlp, both, plain = (minres_qlp(A, b, rtol=1e-9, trancond=t) for t in (1.0, 100.0, np.inf))
    assert (qlp.minres_iterations, plain.qlp_iterations) == (0, 0)
    assert 0 < both.minres_iterations < both.iterations
    assert minres_qlp(A, b, rtol=1e-9).minres_iterations == plain.minres_iterations
    assert relative_error(both.x, qlp.x) < 1e-6
    assert relative_error(plain.x, qlp.x) < 1e-6


@pytest.mark.parametrize("at", [1.5, 3.0, 10.0, 100.0])
def test_the_transfer_between_phases_changes_nothing(at):
    rng = np.random.default_rng(9)
    A, b = (
        symmetric(rng, rng.uniform(0.05, 1.0, 50) * random_signs(rng, 50)),
        rng.standard_normal(50),
    )
    steps = {}
    for trancond in (1.0, at, np.inf):
        steps[trancond] = []
        minres_qlp(A, b, rtol=1e-4, maxit=40, trancond=trancond, callback=steps[trancond].append)
    np.testing.assert_allclose(steps[at], steps[1.0], rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(steps[at], steps[np.inf], rtol=1e-8, atol=1e-8)


def test_qlp_is_more_accurate_than_minres_where_the_system_is_ill_conditioned():
    """What trancond is for (CPS, section 1): one pass each, judged by its error."""
    rng = np.random.default_rng(10)
    ratios = []
    for _ in range(10):
        A = symmetric(rng, np.concatenate([np.ones(290), np.geomspace(1e-9, 1e-1, 10)]))
        b = A @ rng.standard_normal(300)
        errors = [
            np.linalg.norm(b - A @ minres_qlp(A, b, rtol=1e-16, maxit=40, trancond=t).x)
            for t in (1.0, np.inf)
        ]
        ratios.append(errors[1] / errors[0])
    assert np.median(ratios) > 1.0
    assert max(ratios) > 3.0


@pytest.mark.parametrize("shift", [0.0, 2.5])
@pytest.mark.parametrize("preconditioned", [False, True])
@pytest.mark.parametrize("definite", [False, True])
def test_agreement_with_scipy(definite, preconditioned, shift):
    rng = np.random.default_rng(11)
    eigenvalues = rng.uniform(1.0, 4.0, 60)
    A = symmetric(rng, eigenvalues if definite else eigenvalues * random_signs(rng, 60))
    M = symmetric(rng, rng.uniform(0.5, 2.0, 60)) if preconditioned else None
    b = rng.standard_normal(60)
    for maxit in (1, 2, 5, 12, 25):
        expected = minres(A, b, rtol=0.0, maxiter=maxit, shift=shift, M=M)[0]
        result = minres_qlp(A, b, rtol=0.0, maxit=maxit, shift=shift, M=M)
        assert result.stop_reason is StopReason.MAXIT
        assert result.iterations == maxit
        assert relative_error(result.x, expected) < 1e-8


def test_agreement_with_scipy_where_the_system_is_singular_and_has_a_solution():
    rng = np.random.default_rng(1)
    A = symmetric(rng, np.concatenate([np.linspace(-9, -1, 10), np.linspace(1, 9, 20)]), 40)
    b = A @ rng.standard_normal(40)
    expected, info = minres(A, b, rtol=1e-12)
    assert info == 0
    np.testing.assert_allclose(minres_qlp(A, b, rtol=1e-12).x, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("kind", ["array", "LinearOperator", "callable"])
@pytest.mark.parametrize("case", ["nonsingular", "consistent", "inconsistent"])
def test_preconditioned(case, kind):
    """The solution is M^½ times the pseudo-inverse solution of M^½ A M^½ y = M^½ b."""
    rng = np.random.default_rng(12)
    n = 40
    A = symmetric(rng, rng.uniform(0.1, 2.0, n if case == "nonsingular" else 25), n)
    A = A if case == "consistent" else A - symmetric(rng, [3.0], n) * (case == "nonsingular")
    b = rng.standard_normal(n)
    b = A @ b if case == "consistent" else b
    eigenvalues, Q = np.linalg.eigh(symmetric(rng, rng.uniform(0.2, 5.0, n)))
    M, root = (Q * eigenvalues) @ Q.T, (Q * np.sqrt(eigenvalues)) @ Q.T
    given = {"array": M, "LinearOperator": aslinearoperator(M), "callable": lambda v: M @ v}[kind]
    result = minres_qlp(A, b, rtol=1e-12, M=given)
    inner = root @ A @ root
    y = pseudo_inverse_solution(0.5 * (inner + inner.T), root @ b)
    assert result.converged
    assert (result.stop_reason is StopReason.RESIDUAL) == (case != "inconsistent")
    assert relative_error(result.x, root @ y) < 1e-8
    residual = root @ (b - A @ result.x)
    assert result.residual_norm == pytest.approx(np.linalg.norm(residual), rel=1e-6, abs=1e-10)
    assert result.x_norm == pytest.approx(np.linalg.norm(y), rel=1e-6)
    assert result.A_norm <= np.linalg.norm(inner, 2) * (1 + 1e-9)


def test_an_exact_preconditioner_takes_one_iteration():
    rng = np.random.default_rng(13)
    A, b = symmetric(rng, rng.uniform(0.01, 5.0, 30)), rng.standard_normal(30)
    result = minres_qlp(A, b, M=np.linalg.inv(A))
    assert result.iterations <= 2
    assert relative_error(result.x, np.linalg.solve(A, b)) < 1e-8


def test_a_preconditioner_saves_iterations_and_changes_no_solution():
    rng = np.random.default_rng(5)
    diagonal = 10.0 ** np.linspace(0, 6, 60)
    A = np.diag(diagonal) + 0.1 * symmetric(rng, np.linspace(-1, 1, 60))
    b = rng.standard_normal(60)
    plain, helped = minres_qlp(A, b), minres_qlp(A, b, M=np.diag(1.0 / diagonal))
    np.testing.assert_allclose(helped.x, np.linalg.solve(A, b), rtol=1e-6, atol=1e-9)
    assert helped.iterations < plain.iterations / 2


@pytest.mark.parametrize(
    "make",
    [
        aslinearoperator,
        lambda A: LinearOperator(A.shape, matvec=lambda v: A @ v, dtype=float),
        lambda A: lambda v: A @ v,
        np.ndarray.tolist,
    ],
)
def test_kinds_of_operators(make):
    rng = np.random.default_rng(14)
    A = symmetric(rng, rng.uniform(1.0, 2.0, 20), 25)
    b = rng.standard_normal(25)
    expected = minres_qlp(A, b)
    np.testing.assert_allclose(minres_qlp(make(A), b).x, expected.x, atol=1e-12)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_small_integer_matrices(data):
    """Matrices with repeated and zero eigenvalues, and invariant subspaces, of all sizes."""
    n = data.draw(st.integers(1, 7))
    entries = st.lists(st.integers(-3, 3), min_size=n * n, max_size=n * n)
    A = np.array(data.draw(entries), dtype=float).reshape(n, n)
    A = np.tril(A) + np.tril(A, -1).T
    b = np.array(data.draw(st.lists(st.integers(-5, 5), min_size=n, max_size=n)), dtype=float)
    trancond = data.draw(st.sampled_from(TRANCONDS))
    rtol = data.draw(st.sampled_from([1e-3, 1e-8, 1e-12]))
    result = minres_qlp(A, b, rtol=rtol, trancond=trancond)
    assert_claims(A, b, result, rtol)
    assert result.converged, result
    if rtol == 1e-12:
        expected = pseudo_inverse_solution(A, b) if A.any() else np.zeros(n)
        np.testing.assert_allclose(result.x, expected, atol=1e-6 * max(1.0, np.abs(expected).max()))


@settings(deadline=None, max_examples=150)
@given(
    st.integers(1, 30),
    st.integers(0, 2**32 - 1),
    st.floats(0.0, 10.0),
    st.floats(-12.0, 12.0),
    st.booleans(),
)
def test_no_result_claims_what_is_not_so(n, seed, log_cond, log_scale, consistent):
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(1, n + 1))
    eigenvalues = 10.0 ** (log_scale - log_cond * rng.uniform(0.0, 1.0, rank))
    A = symmetric(rng, eigenvalues * random_signs(rng, rank), n)
    b = rng.standard_normal(n)
    b = A @ b if consistent else b
    for rtol in (1e-4, 1e-13):
        result = minres_qlp(A, b, rtol=rtol, maxxnorm=np.inf)
        assert_claims(A, b, result, rtol)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 12), st.integers(0, 12), st.integers(0, 2**16), st.integers(-12, 12))
def test_any_small_system(n, rank, seed, exponent):
    rng = np.random.default_rng(seed)
    eigenvalues = rng.uniform(0.1, 3.0, min(rank, n)) * random_signs(rng, min(rank, n))
    A, b = 10.0**exponent * symmetric(rng, eigenvalues, n), rng.standard_normal(n)
    result = minres_qlp(A, b, rtol=1e-13, maxxnorm=np.inf)
    assert result.converged
    if rank:
        assert relative_error(result.x, pseudo_inverse_solution(A, b)) < 1e-6


def test_an_asymmetric_matrix_is_found_out():
    rng = np.random.default_rng(15)
    A, b = rng.standard_normal((30, 30)), rng.standard_normal(30)
    assert not minres_qlp(lambda v: A @ v, b, rtol=1e-8).converged
    near = A + A.T + 1e-3 * np.triu(A)
    for matrix in (A, near, csr_array(near), np.stack([A + A.T, near])):
        with pytest.raises(ValueError, match=r"^A must be symmetric"):
            minres_qlp(matrix, np.stack([b, b]) if matrix.ndim == 3 else b)
    with pytest.raises(ValueError, match=r"^M must be symmetric"):
        minres_qlp(np.eye(30), b, M=A)
    assert minres_qlp((A + A.T) * (1.0 + 1e-10 * rng.standard_normal((30, 30))), b).iterations > 1


# ------------------------------------------------------------------------------------------------
# Limits and failures


def test_maxit():
    rng = np.random.default_rng(16)
    A, b = symmetric(rng, np.geomspace(1e-3, 1.0, 50)), rng.standard_normal(50)
    for maxit in (0, 1, 7, 50, 60):
        result = minres_qlp(A, b, rtol=1e-13, maxit=maxit)
        assert result.stop_reason is StopReason.MAXIT
        assert result.iterations == maxit
        assert_claims(A, b, result, 1e-13)
    assert minres_qlp(A, b, rtol=1e-13).iterations <= 200


def test_maxxnorm():
    # x grows to 1e6 over several iterations, and is too long well before it is a solution
    A, b = np.diag(np.geomspace(1e-6, 1.0, 20)), np.ones(20)
    result = minres_qlp(A, b, maxxnorm=1e4)
    assert result.stop_reason is StopReason.MAXXNORM
    assert result.x_norm < 1e4
    assert minres_qlp(A, b).stop_reason is StopReason.RESIDUAL


def test_acondlim():
    rng = np.random.default_rng(17)
    A, b = symmetric(rng, np.geomspace(1e-6, 1.0, 20)), rng.standard_normal(20)
    result = minres_qlp(A, b, acondlim=1e4)
    assert result.stop_reason is StopReason.ACONDLIM
    assert not result.converged
    assert minres_qlp(A, b).stop_reason is StopReason.RESIDUAL


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("trancond", TRANCONDS)
@pytest.mark.parametrize("good", [0, 1, 2, 9])
def test_a_product_that_is_not_finite(good, trancond, value):
    rng = np.random.default_rng(18)
    A, b = symmetric(rng, rng.uniform(-2.0, 2.0, 30)), rng.standard_normal(30)
    calls = []

    def product(v):
        calls.append(v)
        p = A @ v
        if len(calls) == good + 1:
            p[3] = value
        return p

    result = minres_qlp(product, b, trancond=trancond)
    assert result.stop_reason is StopReason.NON_FINITE
    assert result.iterations == good + 1
    expected = minres_qlp(A, b, maxit=good, trancond=trancond)
    np.testing.assert_allclose(result.x, expected.x, atol=1e-10)
    assert result.residual_norm == pytest.approx(expected.residual_norm)


@pytest.mark.parametrize(
    ("of_A", "of_b", "reason"),
    [(-700, 700, StopReason.NON_FINITE), (700, -700, StopReason.INACCURATE)],
)
def test_a_solution_that_no_float_can_hold_is_not_called_one(of_A, of_b, reason):
    A, b = np.diag([1.0, 2.0]) * 2.0**of_A, np.array([1.0, 1.0]) * 2.0**of_b
    single = minres_qlp(A, b, maxxnorm=np.inf)
    assert single.stop_reason is reason
    assert not single.converged
    batch = minres_qlp(A, np.stack([b, 0.0 * b, b * 2.0 ** (-of_b)]), maxxnorm=np.inf)
    assert batch.stop_reason.tolist() == [reason, StopReason.ZERO_RIGHT_HAND_SIDE, 1]
    np.testing.assert_array_equal(batch.x[0], single.x)
    assert not np.isnan(batch.x).any()


def test_an_operator_that_is_never_finite():
    result = minres_qlp(lambda v: np.full_like(v, np.nan), np.ones(4))
    assert result.stop_reason is StopReason.NON_FINITE
    assert not result.x.any()


@pytest.mark.parametrize("M", [-np.eye(12), np.diag(np.append(np.ones(11), -1.0))])
def test_a_preconditioner_that_is_not_positive_definite(M):
    rng = np.random.default_rng(19)
    A, b = symmetric(rng, rng.uniform(1.0, 2.0, 12)), rng.standard_normal(12)
    b[-1] = 0.1
    result = minres_qlp(A, b, M=M)
    assert result.stop_reason is StopReason.INDEFINITE_PRECONDITIONER
    assert not result.converged


@pytest.mark.parametrize(
    ("error", "name", "arguments"),
    [
        (ValueError, "b", {"b": np.ones((2, 2, 3))}),
        (ValueError, "b", {"b": np.ones(0)}),
        (ValueError, "b", {"b": np.array([1.0, np.nan, 1.0])}),
        (TypeError, "b", {"b": np.ones(3, dtype=complex)}),
        (TypeError, "b", {"b": np.ones(3, dtype=object)}),
        (ValueError, "A", {"A": np.eye(4)}),
        (ValueError, "A", {"A": aslinearoperator(np.eye(4))}),
        (ValueError, "A", {"A": np.ones((2, 3, 3))}),
        (ValueError, "A", {"A": lambda v: np.ones(4)}),
        (TypeError, "A", {"A": np.eye(3, dtype=complex)}),
        (TypeError, "A", {"A": 3.0}),
        (TypeError, "A", {"A": csr_array(np.diag([1j, 2.0, 3.0]))}),
        (TypeError, "A", {"A": aslinearoperator(np.diag([1j, 2.0, 3.0]))}),
        (TypeError, "A", {"A": lambda v: None}),
        (TypeError, "A", {"A": lambda v: 1j * v}),
        (TypeError, "M", {"M": lambda v: "v"}),
        (TypeError, "M", {"M": "jacobi"}),
        (ValueError, "M", {"M": np.eye(2)}),
        (ValueError, "rtol", {"rtol": -1e-3}),
        (ValueError, "rtol", {"rtol": 1.0}),
        (TypeError, "rtol", {"rtol": None}),
        (ValueError, "maxit", {"maxit": -1}),
        (TypeError, "maxit", {"maxit": 2.5}),
        (ValueError, "shift", {"shift": np.inf}),
        (ValueError, "shift", {"shift": np.ones(2)}),
        (TypeError, "shift", {"shift": "0"}),
        (ValueError, "maxxnorm", {"maxxnorm": 0.0}),
        (ValueError, "acondlim", {"acondlim": 0.5}),
        (ValueError, "acondlim", {"acondlim": np.nan}),
        (TypeError, "trancond", {"trancond": "large"}),
        (ValueError, "trancond", {"trancond": np.nan}),
        (TypeError, "callback", {"callback": 3}),
    ],
)
def test_bad_arguments(error, name, arguments):
    with pytest.raises(error, match=rf"^{name} must"):
        minres_qlp(**{"A": np.eye(3), "b": np.ones(3), **arguments})


def test_the_result_is_frozen_and_reasons_have_sentences():
    result = minres_qlp(np.eye(2), np.ones(2))
    with pytest.raises(FrozenInstanceError):
        result.x = 0
    for reason in StopReason:
        assert reason.sentence.endswith(".")
    assert len({reason.sentence for reason in StopReason}) == len(StopReason)


def test_neither_the_matrix_nor_the_right_hand_side_nor_a_product_is_written_to():
    rng = np.random.default_rng(20)
    A, b = symmetric(rng, rng.uniform(-2.0, 2.0, 10)), rng.standard_normal(10)
    shared = np.zeros(10)

    def product(v):
        v.flags.writeable = False
        np.matmul(A, v, out=shared)
        return shared

    expected = minres_qlp(A, b)
    b.flags.writeable = A.flags.writeable = False
    np.testing.assert_allclose(minres_qlp(product, b).x, expected.x, atol=1e-10)


# ------------------------------------------------------------------------------------------------
# Batches


def batch(rng, n_systems=30, n=20):
    """Return matrices (B, n, n) of all kinds, and right-hand sides."""
    A, b = np.zeros((n_systems, n, n)), rng.standard_normal((n_systems, n))
    for i in range(n_systems):
        rank = int(rng.integers(1, n + 1))
        cond = 10.0 ** rng.uniform(0.0, 2.0)
        eigenvalues = 10.0 ** rng.uniform(-3, 3) * rng.uniform(1.0, cond, rank)
        A[i] = symmetric(rng, eigenvalues * random_signs(rng, rank), n)
        if i % 3 == 0:
            b[i] = A[i] @ b[i]
    b[4], A[5] = 0.0, 0.0
    return A, b


class Operator:
    """The matrices of a batch as an operator that counts what it does."""

    def __init__(self, A, sizes):
        self.A, self.sizes = A, sizes

    def __call__(self, v):
        self.sizes.append(len(v))
        return (self.A @ v[:, :, None])[:, :, 0]

    def take(self, rows):
        return Operator(self.A[rows], self.sizes)


@pytest.mark.parametrize("rtol", [1e-3, 1e-12])
@pytest.mark.parametrize("trancond", TRANCONDS)
@pytest.mark.parametrize("kind", ["array", "take", "whole"])
def test_a_batch_gives_what_single_solves_give(kind, trancond, rtol):
    A, b = batch(np.random.default_rng(21))
    operator = {
        "array": A,
        "take": Operator(A, []),
        "whole": lambda v: (A @ v[:, :, None])[:, :, 0],
    }
    result = minres_qlp(operator[kind], b, rtol=rtol, trancond=trancond, maxxnorm=np.inf)
    assert result.stop_reason.dtype == result.iterations.dtype == np.int64
    assert result.converged.all()
    for i in range(len(b)):
        single = minres_qlp(A[i], b[i], rtol=rtol, trancond=trancond, maxxnorm=np.inf)
        size = max(np.linalg.norm(single.x), 1e-300)
        assert (
            np.linalg.norm(result.x[i] - single.x)
            <= 1e-8 * size + 10 * rtol * size * (rtol > 1e-4) * 0
        )
        if rtol == 1e-3:
            assert result.stop_reason[i] == single.stop_reason
            assert result.iterations[i] == single.iterations
            assert result.qlp_iterations[i] == single.qlp_iterations
            assert result.residual_norm[i] == pytest.approx(single.residual_norm, rel=1e-6)
            assert result.A_norm[i] == pytest.approx(single.A_norm, rel=1e-6)
            assert result.A_cond[i] == pytest.approx(single.A_cond, rel=1e-4)
            assert result.x_norm[i] == pytest.approx(single.x_norm, rel=1e-6)


def test_no_system_depends_on_which_others_share_its_batch():
    A, b = batch(np.random.default_rng(22))
    whole = minres_qlp(A, b, rtol=1e-6, maxxnorm=np.inf)
    part = minres_qlp(A[7:19], b[7:19], rtol=1e-6, maxxnorm=np.inf)
    np.testing.assert_array_equal(part.iterations, whole.iterations[7:19])
    np.testing.assert_array_equal(part.stop_reason, whole.stop_reason[7:19])
    np.testing.assert_allclose(part.x, whole.x[7:19], rtol=1e-9, atol=1e-12)


def test_finished_systems_are_dropped():
    """Half of the systems take one iteration; the operator then is taken to the other half."""
    rng = np.random.default_rng(23)
    A = np.stack([np.eye(30) * 2.0] * 12 + [symmetric(rng, np.geomspace(1e-2, 1, 30))] * 8)
    b = np.stack([rng.standard_normal(30)] * 20)
    sizes = []
    result = minres_qlp(Operator(A, sizes), b, rtol=1e-4)
    assert sizes[0] == 20
    assert sizes[1:-2] == [8] * (len(sizes) - 3)
    assert sizes[-2:] == [20, 20]  # the residuals are recomputed
    assert result.products == len(sizes)
    assert (result.iterations[:12] == 1).all()


def test_one_matrix_for_all_right_hand_sides():
    rng = np.random.default_rng(24)
    A, b = symmetric(rng, rng.uniform(-2.0, 2.0, 20), 25), rng.standard_normal((6, 25))
    b[2] = A @ b[2]
    expected = np.stack([pseudo_inverse_solution(A, row) for row in b])
    for operator in (A, csr_array(A), aslinearoperator(A), np.stack([A] * 6)):
        result = minres_qlp(operator, b, rtol=1e-13)
        assert result.converged.all()
        np.testing.assert_allclose(result.x, expected, atol=1e-8 * np.abs(expected).max())


def test_a_shift_for_each_system():
    rng = np.random.default_rng(25)
    A, b = symmetric(rng, np.linspace(-1.0, 1.0, 15)), rng.standard_normal(15)
    shifts = np.array([0.3, -1.0, 2.0, 0.0])
    result = minres_qlp(A, np.stack([b] * 4), rtol=1e-12, shift=shifts)
    for shift, x in zip(shifts, result.x, strict=True):
        expected = pseudo_inverse_solution(A - shift * np.eye(15), b)
        assert relative_error(x, expected) < 1e-8
    scalar = minres_qlp(A, np.stack([b] * 4), rtol=1e-12, shift=0.3)
    np.testing.assert_allclose(scalar.x, np.stack([result.x[0]] * 4), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("kind", ["array", "shared", "whole"])
def test_a_preconditioned_batch(kind):
    rng = np.random.default_rng(26)
    A, b = batch(rng, 8)
    M = np.stack([symmetric(rng, rng.uniform(0.5, 2.0, 20)) for _ in range(8)])
    M = M[0] if kind == "shared" else M
    given = (lambda v: (M @ v[:, :, None])[:, :, 0]) if kind == "whole" else M
    result = minres_qlp(A, b, rtol=1e-10, M=given, maxxnorm=np.inf)
    for i in range(8):
        single = minres_qlp(
            A[i], b[i], rtol=1e-10, M=M if kind == "shared" else M[i], maxxnorm=np.inf
        )
        np.testing.assert_allclose(
            result.x[i], single.x, atol=1e-6 * np.abs(single.x).max() + 1e-300
        )
        assert bool(result.converged[i]) == single.converged


@pytest.mark.parametrize("M", [np.zeros((2, 2)), np.diag([1.0, 0.0]), np.array([[0.0, 1], [1, 0]])])
def test_a_right_hand_side_of_which_a_preconditioner_sees_nothing(M):
    """bᵀMb = 0 though b is not: x = 0 solves nothing."""
    A, b = np.diag([2.0, 3.0]), np.array([0.0, 1.0])
    result = minres_qlp(A, b, M=M)
    assert result.stop_reason is StopReason.INDEFINITE_PRECONDITIONER
    assert not result.converged
    assert np.isnan(result.relative_residual)
    assert minres_qlp(A, 0.0 * b, M=M).stop_reason is StopReason.ZERO_RIGHT_HAND_SIDE
    batch = minres_qlp(A, np.stack([b, 0.0 * b, b]), M=np.stack([M, M, np.eye(2)]))
    assert batch.stop_reason.tolist() == [10, 4, 1]
    np.testing.assert_allclose(batch.x, [[0.0, 0.0], [0.0, 0.0], [0.0, 1.0 / 3.0]], atol=1e-15)


def test_one_system_of_a_batch_that_is_not_finite():
    A, b = batch(np.random.default_rng(27), 6)
    bad = A.copy()
    bad[2, 0, 0] = np.nan
    indefinite = np.stack([np.eye(20)] * 6)
    indefinite[1] *= -1.0
    result = minres_qlp(bad, b, maxxnorm=np.inf, M=indefinite)
    assert result.stop_reason[2] == StopReason.NON_FINITE
    assert result.stop_reason[1] == StopReason.INDEFINITE_PRECONDITIONER
    assert not result.x[1:3].any()
    others = [0, 3, 4, 5]
    expected = minres_qlp(A[others], b[others], maxxnorm=np.inf)
    np.testing.assert_allclose(result.x[others], expected.x, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("maxit", [0, 3, 11])
def test_limits_of_a_batch(maxit):
    A, b = batch(np.random.default_rng(28))
    result = minres_qlp(A, b, rtol=1e-10, maxit=maxit, maxxnorm=np.inf)
    assert (result.iterations <= maxit).all()
    for i in range(len(b)):
        single = minres_qlp(A[i], b[i], rtol=1e-10, maxit=maxit, maxxnorm=np.inf)
        assert result.stop_reason[i] == single.stop_reason
        np.testing.assert_allclose(
            result.x[i], single.x, rtol=1e-7, atol=1e-9 * np.abs(single.x).max()
        )


def test_the_callback_of_a_batch_sees_what_those_of_single_solves_see():
    A, b = batch(np.random.default_rng(29))
    iterates = []
    result = minres_qlp(A, b, rtol=1e-4, callback=iterates.append, maxxnorm=np.inf)
    assert len(iterates) >= result.iterations.max()
    iterates = np.stack(iterates)
    assert np.sum(result.passes == 1) > 20
    for i in np.flatnonzero(result.passes == 1):
        seen, end = [np.zeros_like(b[i])], result.iterations[i]
        minres_qlp(A[i], b[i], rtol=1e-4, callback=seen.append, maxxnorm=np.inf)
        assert len(seen) == end + 1
        # the last one may hold a component that nothing but rounding errors decide
        found, expected = iterates[: end - 1, i], np.stack(seen)[1:-1]
        np.testing.assert_allclose(
            found, expected, rtol=1e-6, atol=1e-7 * np.max(np.abs(expected), initial=0.0)
        )
        assert np.all(iterates[end:, i] == result.x[i])


def test_an_empty_batch():
    result = minres_qlp(np.zeros((0, 4, 4)), np.zeros((0, 4)))
    assert result.x.shape == (0, 4)
    assert result.stop_reason.shape == (0,)


# ------------------------------------------------------------------------------------------------
# A thousand systems


def random_system(rng, largest=200):
    """Return A, b, and what distinguishes this system.

    n and the rank are uniform; the condition number over the nonzero eigenvalues is log-uniform up
    to 1e3, and so are the scales of A and b from 1e-12 to 1e12. The nonzero eigenvalues are uniform
    or log-uniform, of one sign or of random signs.
    """
    n = int(rng.integers(1, largest + 1))
    rank = int(rng.integers(1, n + 1))
    cond = 10.0 ** rng.uniform(0.0, 3.0)
    log_uniform, definite, consistent = rng.integers(2, size=3)
    u = rng.uniform(size=rank)
    eigenvalues = cond**-u if log_uniform else 1.0 / cond + (1.0 - 1.0 / cond) * u
    eigenvalues[-1], eigenvalues[0] = 1.0 / cond, 1.0
    if not definite:
        eigenvalues *= random_signs(rng, rank)
    A = symmetric(rng, eigenvalues, n)
    b = rng.standard_normal(n)
    b = A @ b if consistent else b
    scale_A, scale_b = 10.0 ** rng.uniform(-12.0, 12.0, 2)
    kind = (
        "consistent" if consistent or rank == n else "inconsistent",
        "log-uniform" if log_uniform else "uniform",
        "definite" if definite else "indefinite",
    )
    return scale_A * A, scale_b * b, kind


def measure_systems(n_systems, seed):
    """Solve random systems; return a row for each: kind, result, error, iterations / n."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n_systems):
        A, b, kind = random_system(rng)
        result = minres_qlp(A, b, rtol=1e-13, maxit=4 * len(b), maxxnorm=np.inf)
        assert_claims(A, b, result, 1e-13)
        error = relative_error(result.x, pseudo_inverse_solution(A, b, 1e-6))
        rows.append((kind, result, error, result.iterations / len(b)))
    return rows


def table_of_systems(rows):
    """Return the table of ``measure_systems``: a line for each kind, and one for all."""
    lines = [
        f"{'system':<38}{'systems':>8}{'conv.':>7}"
        f"{'RESID':>7}{'LEAST':>7}{'ROUND':>7}{'max error':>11}{'it/n':>6}{'max':>6}"
    ]
    kinds = sorted({row[0] for row in rows})
    for kind in [*kinds, None]:
        chosen = [row for row in rows if kind in (None, row[0])]
        results = [row[1] for row in chosen]
        errors = [row[2] for row in chosen if row[1].converged]
        counts = [
            sum(result.stop_reason is reason for result in results)
            for reason in (StopReason.RESIDUAL, StopReason.LEAST_SQUARES, StopReason.ROUNDING)
        ]
        iterations = [row[3] for row in chosen]
        lines.append(
            f"{', '.join(kind) if kind else 'all':<38}{len(chosen):>8}{len(errors):>7}"
            f"{counts[0]:>7}{counts[1]:>7}{counts[2]:>7}{max(errors):>11.1e}"
            f"{np.median(iterations):>6.2f}{max(iterations):>6.2f}"
        )
    return "\n".join(lines)


def assert_systems(rows):
    """Assert that nearly all systems converge, and that all that do are solved."""
    assert sum(row[1].converged for row in rows) >= 0.99 * len(rows)
    assert max(row[2] for row in rows if row[1].converged) < 1e-6


def test_random_systems():
    assert_systems(measure_systems(150, seed=0))


@pytest.mark.slow
def test_a_thousand_random_systems():
    """Prints its table: pytest -m slow -s tests/linalg/test_minres_qlp.py."""
    rows = measure_systems(1000, seed=1)
    print("\n" + table_of_systems(rows))
    assert_systems(rows)
