import array_api_strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autocrit_lite.linalg.inertia import Inertia, inertia, morse_index
from autocrit_lite.linalg.residuals import residual_indices
from autocrit_lite.points.classes import PointClass, is_gradient_flat, point_class


def with_spectrum(rng, eigenvalues):
    """Return a symmetric matrix with these eigenvalues."""
    Q = np.linalg.qr(rng.standard_normal((len(eigenvalues), len(eigenvalues)))).Q
    H = (Q * eigenvalues) @ Q.T
    return 0.5 * (H + H.T)


def random_symmetric(rng, *shape):
    H = rng.standard_normal((*shape, shape[-1]))
    return 0.5 * (H + np.swapaxes(H, -1, -2))


def counts(H, tolerance):
    eigenvalues = np.linalg.eigvalsh(H)
    negative, positive = np.sum(eigenvalues < -tolerance), np.sum(eigenvalues > tolerance)
    return Inertia(negative, len(H) - negative - positive, positive)


@pytest.mark.parametrize("n", [1, 2, 3, 17, 64, 65, 200])
@pytest.mark.parametrize("order", ["C", "F"])
def test_inertia_counts_what_the_eigenvalues_show(n, order):
    rng = np.random.default_rng(n)
    for tolerance in (0.0, 1e-5, 1.0):
        H = np.array(random_symmetric(rng, n), order=order)
        expected, before = counts(H, tolerance), H.copy()
        assert inertia(H, tolerance) == expected
        np.testing.assert_array_equal(H, before)


@settings(max_examples=60, deadline=None)
@given(
    kept=st.lists(st.sampled_from([-2.0, -1e-3, 0.0, 1e-7, -1e-7, 1e-3, 5.0]), min_size=1),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
    seed=st.integers(0, 100),
)
def test_inertia_counts_known_spectra(kept, scale, seed):
    eigenvalues = scale * np.array(kept)
    H = with_spectrum(np.random.default_rng(seed), eigenvalues)
    found = inertia(H, 1e-5 * scale)
    low, high = np.sum(eigenvalues < -1e-5 * scale), np.sum(eigenvalues > 1e-5 * scale)
    assert found == (low, len(kept) - low - high, high)


def test_inertia_of_singular_and_structured_matrices():
    assert inertia(np.zeros((4, 4))) == (0, 4, 0)
    assert inertia(np.zeros((4, 4)), 0.0) == (0, 4, 0)
    exchange = np.fliplr(np.eye(6))  # no pivot on the diagonal: blocks of two
    assert inertia(exchange) == (3, 0, 3)
    dead = np.zeros((5, 5))
    dead[1:3, 1:3] = [[1.0, 2.0], [2.0, 1.0]]
    assert inertia(dead, 0.0) == (1, 3, 1)
    assert sum(inertia(dead)) == 5


def test_morse_index_is_the_fraction_below_the_tolerance():
    rng = np.random.default_rng(0)
    H = with_spectrum(rng, [-3.0, -2e-5, -0.5e-5, 0.0, 1e-6, 2e-5, 1.0, 2.0])
    assert morse_index(H) == 2 / 8
    assert morse_index(H, tolerance=1e-4) == 1 / 8
    assert morse_index(H, tolerance=1e-6) == 3 / 8
    assert inertia(H).zero == 3
    assert inertia(H, tolerance=1e-4).zero == 5
    assert morse_index(H).shape == ()


def test_a_batch_gives_what_its_members_give():
    rng = np.random.default_rng(1)
    H = random_symmetric(rng, 3, 4, 9)
    index = morse_index(H, 0.3)
    np.testing.assert_array_equal(index, np.mean(np.linalg.eigvalsh(H) < -0.3, axis=-1))
    assert index[1, 2] == morse_index(H[1, 2], 0.3)
    assert morse_index(np.zeros((0, 3, 3))).shape == (0,)


def test_arrays_of_another_module_stay_in_it():
    device = array_api_strict.Device("device1")
    rng = np.random.default_rng(2)
    H, g, p = random_symmetric(rng, 4, 6), rng.standard_normal((4, 6)), rng.standard_normal((4, 6))
    there = [array_api_strict.asarray(x, device=device) for x in (H, g, p)]
    pairs = [
        (morse_index(there[0], 0.2), morse_index(H, 0.2)),
        *zip(residual_indices(*there), residual_indices(H, g, p), strict=True),
    ]
    for strict, expected in pairs:
        assert strict.device == device
        back = np.from_dlpack(strict.to_device(array_api_strict.Device("CPU_DEVICE")))
        np.testing.assert_allclose(back, expected, rtol=1e-13)


SYMMETRIC = np.diag([1.0, 2.0])


@pytest.mark.parametrize("function", [morse_index, inertia])
@pytest.mark.parametrize(
    ("matrix", "tolerance", "error", "says"),
    [
        (np.zeros(3), 1e-5, ValueError, r"must have shape \(..., n, n\), not \(3,\)"),
        (np.zeros((2, 3)), 1e-5, ValueError, "must have shape"),
        (np.zeros((0, 0)), 1e-5, ValueError, "must have shape"),
        (np.diag([1.0, np.nan]), 1e-5, ValueError, "must be finite"),
        (np.array([[1.0, 2.0], [2.1, 1.0]]), 1e-5, ValueError, "must be symmetric"),
        (np.diag([1j, 2]), 1e-5, TypeError, "must hold real numbers"),
        (SYMMETRIC, -1e-5, ValueError, "tolerance must be at least 0"),
        (SYMMETRIC, np.nan, ValueError, "tolerance must be"),
        (SYMMETRIC, np.inf, ValueError, "tolerance must be at least 0 and finite, not inf"),
        (SYMMETRIC, "loose", TypeError, "tolerance must be a number"),
    ],
)
def test_bad_matrices_and_tolerances_are_refused(function, matrix, tolerance, error, says):
    with pytest.raises(error, match=says):
        function(matrix, tolerance)


def test_inertia_takes_one_numpy_matrix():
    with pytest.raises(TypeError, match="matrix must be a NumPy array"):
        inertia(array_api_strict.eye(3))
    with pytest.raises(ValueError, match=r"matrix must have shape \(n, n\)"):
        inertia(np.zeros((2, 3, 3)))


@pytest.mark.parametrize("convert", [np.asarray, array_api_strict.asarray])
def test_asymmetry_is_found_beside_larger_matrices(convert):
    H = np.stack([[[0.0, 1.0], [-1.0, 0.0]], 1e12 * np.eye(2)])
    with pytest.raises(ValueError, match="must be symmetric, but differs by 2 across"):
        morse_index(convert(H))


def test_asymmetry_is_found_beyond_the_first_block_of_rows():
    H = np.eye(600)
    H[599, 3] = 1e-3
    with pytest.raises(ValueError, match=r"must be symmetric, but differs by 0\.001"):
        morse_index(H)


def test_residual_indices_are_their_definitions():
    rng = np.random.default_rng(3)
    H, g, p = random_symmetric(rng, 7), rng.standard_normal(7), rng.standard_normal(7)
    residual = H @ p + g
    frobenius, norm = np.linalg.norm(H), np.linalg.norm
    found = residual_indices(H, g, p)
    assert found.relative_residual == pytest.approx(
        norm(residual) / (frobenius * norm(p) + norm(g))
    )
    expected = norm(H @ residual) / (frobenius * norm(residual))
    assert found.relative_cokernel_residual == pytest.approx(expected)
    assert found.residual_ratio == pytest.approx(norm(residual) / norm(g))


def test_residual_indices_of_exact_flat_and_critical_points():
    H, p = np.diag([2.0, 1.0, 0.0]), np.zeros(3)
    in_kernel, in_range = np.array([0.0, 0.0, 3.0]), np.array([2.0, 1.0, 0.0])
    assert residual_indices(H, in_kernel, p) == (1.0, 0.0, 1.0)
    assert residual_indices(H, in_range, -np.array([1.0, 1.0, 0.0])) == (0.0, 0.0, 0.0)
    assert residual_indices(H, np.zeros(3), p) == (0.0, 0.0, 0.0)
    assert residual_indices(np.zeros((3, 3)), in_kernel, p) == (1.0, 0.0, 1.0)


def test_residual_indices_of_what_is_not_finite_are_nan():
    H, g = np.stack([np.full((2, 2), np.nan), np.eye(2)]), np.ones((2, 2))
    for index in residual_indices(H, g, -g):
        np.testing.assert_array_equal(index, [np.nan, 0.0])


@settings(max_examples=50, deadline=None)
@given(n=st.integers(1, 8), seed=st.integers(0, 1000), size=st.sampled_from([1e-30, 1.0, 1e30]))
def test_residual_indices_lie_in_the_unit_interval(n, seed, size):
    rng = np.random.default_rng(seed)
    H, g, p = random_symmetric(rng, 5, n), rng.standard_normal((5, n)), rng.standard_normal((5, n))
    r, r_H, _ = residual_indices(H, size * g, p)
    for index in (r, r_H):
        assert index.shape == (5,)
        assert np.all((index >= 0) & (index <= 1 + 1e-12))


@pytest.mark.parametrize(
    ("H", "g", "p"),
    [
        (np.eye(3), np.zeros(2), np.zeros(2)),
        (np.eye(3), np.zeros(3), np.zeros(2)),
        (np.zeros((2, 3, 3)), np.zeros(3), np.zeros(3)),
        (np.zeros((2, 3, 3)), np.zeros((2, 3)), np.zeros((1, 3))),
        (np.array(1.0), np.array(1.0), np.array(1.0)),
    ],
)
def test_residual_indices_refuse_shapes_that_do_not_go_together(H, g, p):
    with pytest.raises(ValueError, match="must have shapes"):
        residual_indices(H, g, p)


def test_classes_are_those_of_table_1():
    critical, flat, neither = PointClass.CRITICAL, PointClass.STRICTLY_FLAT, PointClass.NEITHER
    unknown = PointClass.UNDEFINED
    cases = [
        (0.9e-8, 0.95, 1e-5, critical),  # a critical point, gradient-flat too
        (0.9e-8, 0.10, 1e-1, critical),
        (0.9e-8, np.nan, np.nan, critical),
        (1e-8, 0.95, 4e-4, flat),
        (1e-8, 0.90, 4e-4, neither),
        (1e-8, 0.95, 5e-4, neither),
        (1.0, 0.1, 1e-5, neither),
        (1.0, np.nan, np.nan, unknown),
        (np.nan, np.nan, np.nan, unknown),
        (np.nan, 0.95, 1e-5, unknown),
    ]
    squared, r, r_H, expected = zip(*cases, strict=True)
    np.testing.assert_array_equal(point_class(squared, r, r_H), expected)
    assert point_class(1e-3, 0.95, 1e-5) == flat
    assert point_class(1e-3, 0.95, 1e-5, eps_c=1e-2) == critical
    assert point_class(1e-3, 0.95, 1e-5, eps_r=0.01) == neither
    assert point_class(1e-3, 0.95, 1e-5, eps_g=1e-6) == neither
    assert is_gradient_flat(0.95, 1e-5)
    assert "gradient-flat" in PointClass(1).sentence


@pytest.mark.parametrize(
    ("tolerances", "says"),
    [
        ({"eps_c": -1e-8}, "eps_c must be at least 0"),
        ({"eps_r": -0.1}, "eps_r must be at least 0"),
        ({"eps_r": 1.5}, "eps_r must be"),
        ({"eps_g": np.nan}, "eps_g must be"),
    ],
)
def test_bad_class_tolerances_are_refused(tolerances, says):
    with pytest.raises(ValueError, match=says):
        point_class(1.0, 0.5, 0.5, **tolerances)
