"""The text of the GPU's kernel, made a function by a C compiler, against the Python text."""

import ctypes
import subprocess

import numpy as np
import pytest

from autocrit_lite import StopReason, minres_qlp
from autocrit_lite.linalg import minres_qlp_cuda
from autocrit_lite.linalg.minres_qlp_cuda import SOURCE


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """Return a launcher of the kernel on NumPy arrays, with a count of its launches."""
    library = tmp_path_factory.mktemp("kernel") / "pass.so"
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-std=c11", "-shared", "-fPIC"]
    subprocess.run(["cc", *flags, "-x", "c", SOURCE, "-o", library, "-lm"], check=True)
    function = ctypes.CDLL(str(library)).minres_qlp_pass

    def launch(n_systems, length, *arguments):
        launch.count += 1
        given = [a.ctypes if isinstance(a, np.ndarray) else a for a in arguments]
        kinds = {np.int32: ctypes.c_int, np.float64: ctypes.c_double}
        given = [kinds[type(a)](a) if type(a) in kinds else a for a in given]
        function(*given, np.full(length, np.nan).ctypes)

    launch.count = 0
    return launch


def symmetric(rng, eigenvalues):
    """Return a symmetric matrix with these eigenvalues."""
    n = len(eigenvalues)
    Q = np.linalg.qr(rng.normal(size=(n, n)))[0]
    A = (Q * eigenvalues) @ Q.T
    return 0.5 * (A + A.T)


def both_ways(monkeypatch, kernel, A, b, **options):
    """Return what the Python text and the kernel find."""
    expected = minres_qlp(A, b, **options)
    before = kernel.count
    with monkeypatch.context() as patch:
        patch.setattr(minres_qlp_cuda, "launcher", lambda b: kernel)
        found = minres_qlp(A, b, **options)
    assert kernel.count > before
    return found, expected


@pytest.mark.parametrize("trancond", [1.0, 2.5, np.inf])
@pytest.mark.parametrize("maxit", [7, 200])
@pytest.mark.parametrize("rank", [200, 150])
def test_well_conditioned_systems(monkeypatch, kernel, rank, maxit, trancond):
    """Indefinite and singular ones, with right-hand sides in the range and outside of it.

    They end long before the Lanczos vectors lose their orthogonality, so that both texts agree to
    a few digits less than the arithmetic has.
    """
    rng = np.random.default_rng(rank)
    n = 200
    spectra = np.zeros((6, n))
    spectra[:, :rank] = rng.choice([-1.0, 1.0], (6, rank)) * rng.uniform(1.0, 3.0, (6, rank))
    A = np.stack([symmetric(rng, spectrum) for spectrum in spectra])
    b = rng.normal(size=(6, n))
    b[::2] = (A @ b[:, :, None])[::2, :, 0]
    b[5] = 0.0
    options = {"rtol": 5e-4, "trancond": trancond, "maxit": maxit}
    found, expected = both_ways(monkeypatch, kernel, A, b, **options)
    assert np.array_equal(found.stop_reason, expected.stop_reason)
    assert found.stop_reason[5] == StopReason.ZERO_RIGHT_HAND_SIDE
    assert np.all(found.iterations < 40)
    for name in ("iterations", "minres_iterations", "qlp_iterations", "passes"):
        assert np.array_equal(getattr(found, name), getattr(expected, name))
    for name in ("x", "A_norm", "A_cond", "x_norm", "residual_norm", "cokernel_residual_norm"):
        wanted = getattr(expected, name)
        scale = np.max(np.abs(wanted))
        assert np.allclose(getattr(found, name), wanted, rtol=1e-9, atol=1e-9 * scale), name


def test_every_other_reason_to_stop(monkeypatch, kernel):
    rng = np.random.default_rng(1)
    A = np.stack([symmetric(rng, np.geomspace(1.0, 1e4, 20)) for _ in range(3)])
    b = rng.normal(size=(3, 20))
    for options, reason in (
        ({"maxit": 3}, StopReason.MAXIT),
        ({"maxxnorm": 1e-3}, StopReason.MAXXNORM),
        ({"acondlim": 10.0}, StopReason.ACONDLIM),
    ):
        found, expected = both_ways(monkeypatch, kernel, A, b, **options)
        assert np.all(found.stop_reason == reason)
        assert np.array_equal(found.iterations, expected.iterations)
        assert np.allclose(found.x, expected.x, rtol=1e-8)
    A[1, 4, 4] = np.inf
    found, expected = both_ways(monkeypatch, kernel, A, b, maxit=3)
    assert found.stop_reason.tolist() == expected.stop_reason.tolist()
    assert found.stop_reason[1] == StopReason.NON_FINITE


def test_the_shift(monkeypatch, kernel):
    rng = np.random.default_rng(2)
    A = np.stack([symmetric(rng, rng.uniform(1.0, 2.0, 12)) for _ in range(3)])
    b, shift = rng.normal(size=(3, 12)), np.array([0.0, -1.0, 4.0])
    found, _ = both_ways(monkeypatch, kernel, A, b, rtol=1e-12, shift=shift)
    exact = np.linalg.solve(A - shift[:, None, None] * np.eye(12), b[:, :, None])[:, :, 0]
    assert np.allclose(found.x, exact, rtol=1e-10)


def test_ill_conditioned_and_singular_systems_are_solved_to_what_rounding_allows(
    monkeypatch, kernel
):
    """Where rounding decides when a pass ends, the minimum-length solution is what is compared."""
    rng = np.random.default_rng(3)
    n = 300  # more than the orders for which later passes keep the Lanczos vectors
    spectra = rng.choice([-1.0, 1.0], (4, n)) * np.geomspace(1 / 30, 1.0, n)
    spectra[2:, :40] = 0.0
    A = np.stack([symmetric(rng, spectrum) for spectrum in spectra])
    b = rng.normal(size=(4, n))
    found, _ = both_ways(monkeypatch, kernel, A, b, rtol=1e-12)
    assert np.all(found.stop_reason <= StopReason.ROUNDING)
    exact = np.stack(
        [np.linalg.pinv(a, rcond=1e-8, hermitian=True) @ r for a, r in zip(A, b, strict=True)]
    )
    error = np.linalg.norm(found.x - exact, axis=1) / np.linalg.norm(exact, axis=1)
    assert np.all(error < 1e-7)


def test_arrays_that_are_no_stack_of_matrices_go_the_usual_way(monkeypatch, kernel):
    A, b = np.diag([1.0, 2.0]), np.ones((3, 2))
    monkeypatch.setattr(minres_qlp_cuda, "launcher", lambda b: kernel)
    before = kernel.count
    minres_qlp(A, b)
    minres_qlp(lambda v: v @ A, b)
    assert kernel.count == before
