"""Spectra computed within the matrix, against NumPy's."""

import numpy as np
import pytest

from autocrit_lite.linalg import large_spectra
from autocrit_lite.linalg.large_spectra import (
    eigenvalues_in_place,
    leading,
    live_spectrum,
    symmetric_product,
)


def symmetric(n, seed=0):
    A = np.random.default_rng(seed).standard_normal((n, n))
    return A + A.T


@pytest.mark.parametrize("bandwidth", [1, 3, 8, 96])
@pytest.mark.parametrize("n", [1, 2, 3, 9, 10, 17, 40, 200])
def test_the_eigenvalues_are_numpys(n, bandwidth, monkeypatch):
    monkeypatch.setattr(large_spectra, "BANDWIDTH", bandwidth)
    A = symmetric(n, seed=n)
    found = eigenvalues_in_place(A.copy())
    np.testing.assert_allclose(found, np.linalg.eigvalsh(A), atol=1e-13 * n)


def test_a_matrix_of_several_blocks(monkeypatch):
    monkeypatch.setattr(large_spectra, "BLOCK", 7)
    monkeypatch.setattr(large_spectra, "BANDWIDTH", 5)
    A = symmetric(60)
    np.testing.assert_allclose(eigenvalues_in_place(A.copy()), np.linalg.eigvalsh(A), atol=1e-12)
    V = np.random.default_rng(1).standard_normal((60, 3))
    np.testing.assert_allclose(symmetric_product(np.tril(A), V), A @ V, atol=1e-13)


def test_only_the_lower_triangle_is_read(monkeypatch):
    monkeypatch.setattr(large_spectra, "BANDWIDTH", 4)
    A = symmetric(30)
    expected = np.linalg.eigvalsh(A)
    A[np.triu_indices(30, 1)] = 7.0
    np.testing.assert_allclose(eigenvalues_in_place(A), expected, atol=1e-12)


@pytest.mark.parametrize(
    "A",
    [
        np.zeros((12, 12)),
        np.diag(np.arange(12.0)),
        np.ones((12, 12)),
        np.kron(np.eye(3), np.ones((4, 4))),
    ],
    ids=["zero", "diagonal", "rank 1", "blocks"],
)
def test_columns_that_need_no_reflection(A, monkeypatch):
    monkeypatch.setattr(large_spectra, "BANDWIDTH", 2)
    np.testing.assert_allclose(eigenvalues_in_place(A.copy()), np.linalg.eigvalsh(A), atol=1e-12)


def test_eigenvalues_of_very_different_sizes_to_the_norms_rounding(monkeypatch):
    monkeypatch.setattr(large_spectra, "BANDWIDTH", 4)
    expected = np.concatenate([-(10.0 ** np.arange(-12.0, 0.0)), [0.0], 10.0 ** np.arange(-9, 2)])
    Q = np.linalg.qr(symmetric(len(expected)))[0]
    A = (Q * expected) @ Q.T
    found = eigenvalues_in_place(0.5 * (A + A.T))
    np.testing.assert_allclose(found, np.sort(expected), atol=1e-13)


def test_a_view_into_a_larger_matrix(monkeypatch):
    monkeypatch.setattr(large_spectra, "BANDWIDTH", 3)
    A = symmetric(20)
    large = np.full((25, 25), 3.0)
    large[:20, :20] = A
    np.testing.assert_allclose(
        eigenvalues_in_place(large[:20, :20]), np.linalg.eigvalsh(A), atol=1e-12
    )
    assert np.all(large[20:] == 3.0)


@pytest.mark.parametrize(
    ("A", "error"),
    [
        (np.zeros((2, 3)), ValueError),
        ([[1.0]], ValueError),
        (np.array([[np.nan]]), ValueError),
        (np.eye(2, dtype=complex), TypeError),
    ],
)
def test_what_is_no_symmetric_matrix_is_refused(A, error):
    with pytest.raises(error, match="H must"):
        eigenvalues_in_place(A)


def test_rows_are_moved_within_the_matrix():
    rng = np.random.default_rng(0)
    H = rng.standard_normal((20, 20))
    rows = np.flatnonzero(rng.random(20) < 0.6)
    expected = H[np.ix_(rows, rows)]
    moved = leading(H, rows)
    np.testing.assert_array_equal(moved, expected)
    assert moved.base is H


def test_a_spectrum_without_zero_rows():
    A = symmetric(20)
    A[[3, 7], :] = A[:, [3, 7]] = 0.0
    norms, found = live_spectrum(A.copy())
    np.testing.assert_allclose(norms, np.linalg.norm(A, axis=1), rtol=1e-14)
    live = np.delete(np.delete(A, [3, 7], axis=0), [3, 7], axis=1)
    np.testing.assert_allclose(found, np.linalg.eigvalsh(live), atol=1e-13)
    assert live_spectrum(np.zeros((3, 3)))[1].shape == (0,)
