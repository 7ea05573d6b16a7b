"""What A, b and M may be: kinds of arrays, their shapes, and what is told of wrong ones."""

import numpy as np
import pytest
import scipy.sparse

from autocrit_lite import StopReason, minres_qlp

A = np.diag([2.0, -4.0, 5.0]) + np.eye(3, k=1) + np.eye(3, k=-1)
B = np.array([1.0, 2.0, 3.0])


@pytest.mark.parametrize("kind", ["array", "matrix"])
@pytest.mark.parametrize("form", ["bsr", "coo", "csc", "csr", "dia", "dok", "lil"])
def test_every_sparse_form(form, kind):
    make = getattr(scipy.sparse, f"{form}_{kind}")
    exact = np.linalg.solve(A, B)
    for dtype in (float, np.float32, int):
        given = make(A.astype(dtype))
        np.testing.assert_allclose(minres_qlp(given, B).x, exact, rtol=1e-9)
        np.testing.assert_allclose(minres_qlp(given, [B, 2 * B]).x, [exact, 2 * exact], rtol=1e-9)
    assert minres_qlp(A, B, M=make(np.eye(3))).converged
    with pytest.raises(ValueError, match=r"^A must be symmetric"):
        minres_qlp(make(A + np.eye(3, k=2)), B)
    with pytest.raises(ValueError, match=r"^A must have shape \(3, 3\), not \(2, 2\)"):
        minres_qlp(make(A[:2, :2]), B)


def test_a_callable_may_return_lists_also_when_most_systems_are_done():
    b = np.stack([np.eye(3)[0], np.eye(3)[0], B])
    matrices = np.stack([np.eye(3), np.eye(3), A])
    found = minres_qlp(lambda v: (matrices @ v[:, :, None])[:, :, 0].tolist(), b)
    assert found.iterations.tolist() == [1, 1, 3]
    np.testing.assert_allclose(found.x[2], np.linalg.solve(A, B), rtol=1e-9)


@pytest.mark.parametrize(
    "given", [A, A.tolist(), scipy.sparse.dia_array(A), np.stack([A, A])], ids=str
)
def test_right_hand_sides_in_columns_are_told_from_rows(given):
    with pytest.raises(ValueError, match=r"^b must .* or \(B, 3\) for B, a system in each row"):
        minres_qlp(given, np.ones((3, 2)))


HUGE = np.longdouble(2.0) ** 2000 if np.finfo(np.longdouble).maxexp > 2000 else None


@pytest.mark.skipif(HUGE is None, reason="longdouble is float64 here")
def test_numbers_that_only_a_longdouble_can_hold():
    """Warnings are errors in these tests: there must be none beside."""
    for name, arguments in (
        ("A", {"A": A * HUGE}),
        ("A", {"A": scipy.sparse.csr_array(A.astype(np.longdouble) * HUGE)}),
        ("A", {"A": lambda v: v * HUGE}),
        ("b", {"b": B * HUGE}),
        ("M", {"M": np.eye(3) * HUGE}),
        ("shift", {"b": np.stack([B, B]), "shift": np.ones(2) * HUGE}),
    ):
        with pytest.raises(ValueError, match=rf"^{name} must hold numbers below"):
            minres_qlp(**{"A": A, "b": B, **arguments})
    infinite = A.astype(np.longdouble)
    infinite[0, 0] = np.inf  # no overflow, but what float64 has too
    assert minres_qlp(infinite, B).stop_reason is StopReason.NON_FINITE


def test_masked_arrays():
    exact = np.linalg.solve(A, B)

    def masked(array, *where):
        array = np.ma.masked_array(array, mask=np.zeros(np.shape(array), dtype=bool))
        for index in where:
            array[index] = np.ma.masked
        return array

    for arguments in (
        {"A": masked(A)},
        {"b": masked(B)},
        {"A": [masked(row) for row in A]},
        {"A": lambda v: masked(A @ v)},
        {"b": masked(B.astype(np.float32))},
    ):
        np.testing.assert_allclose(minres_qlp(**{"A": A, "b": B, **arguments}).x, exact, rtol=1e-9)
    for name, arguments in (
        ("A", {"A": masked(A, (0, 0))}),
        ("b", {"b": masked(B, 1)}),
        ("M", {"M": masked(np.eye(3), (2, 2))}),
        ("A", {"A": [masked(A[0], 0), *A[1:]]}),
        ("b", {"b": [1.0, np.ma.masked, 3.0]}),
        ("A", {"A": lambda v: masked(A @ v, 2)}),
        ("shift", {"b": np.stack([B, B]), "shift": masked(np.zeros(2), 0)}),
    ):
        with pytest.raises(TypeError, match=rf"^{name} must not be a masked array"):
            minres_qlp(**{"A": A, "b": B, **arguments})
