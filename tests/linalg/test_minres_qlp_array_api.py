"""MINRES-QLP on strict arrays of a device that is not the default: no hidden conversions."""

import array_api_strict as strict
import numpy as np
import pytest

from autocrit_lite import StopReason, minres_qlp

DEVICE = strict.Device("device1")


def to_device(a):
    return strict.asarray(a, device=DEVICE)


def to_numpy(a):
    return np.asarray(strict.asarray(a, device=strict.Device("CPU_DEVICE")))


def systems(n_systems=9, n=14):
    """Return symmetric matrices, some of them singular, and right-hand sides."""
    rng = np.random.default_rng(0)
    A = np.zeros((n_systems, n, n))
    for i in range(n_systems):
        Q = np.linalg.qr(rng.standard_normal((n, n)))[0][:, : n - i]
        A[i] = (Q * rng.uniform(-2.0, 2.0, n - i)) @ Q.T
    A = 0.5 * (A + np.swapaxes(A, 1, 2))
    b = rng.standard_normal((n_systems, n))
    b[3] = 0.0
    return A, b


class Operator:
    def __init__(self, A):
        self.A = A

    def __call__(self, v):
        return (self.A @ v[:, :, None])[:, :, 0]

    def take(self, rows):
        assert rows.device == DEVICE
        return Operator(strict.take(self.A, rows, axis=0))


def assert_same(result, expected):
    """Assert that a result on the device is that of NumPy."""
    for name in ("x", "stop_reason", "iterations", "residual_norm", "A_norm"):
        found = getattr(result, name)
        if isinstance(expected.x[0], np.ndarray) or name == "x":
            assert found.device == DEVICE
            found = to_numpy(found)
        np.testing.assert_allclose(found, getattr(expected, name), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("trancond", [1.0, 10.0, np.inf])
@pytest.mark.parametrize("rtol", [1e-4, 1e-12])
def test_one_system(rtol, trancond):
    A, b = systems()
    shared = {"rtol": rtol, "trancond": trancond, "shift": 0.01}
    for i in range(len(b)):
        expected = minres_qlp(A[i], b[i], **shared)
        given = to_device(A[i])
        result = minres_qlp(given, to_device(b[i]), **shared)
        assert isinstance(result.stop_reason, StopReason)
        assert isinstance(result.residual_norm, float)
        assert_same(result, expected)
        assert_same(minres_qlp(lambda v, A=given: A @ v, to_device(b[i]), **shared), expected)


@pytest.mark.parametrize("kind", ["array", "take", "whole"])
@pytest.mark.parametrize("trancond", [1.0, 10.0, np.inf])
@pytest.mark.parametrize("rtol", [1e-4, 1e-12])
def test_a_batch(rtol, trancond, kind):
    A, b = systems()
    M = np.diag(np.linspace(0.5, 2.0, b.shape[1]))
    shift = np.linspace(0.0, 0.1, len(b))
    iterates = []
    shared = {"rtol": rtol, "trancond": trancond}
    expected = minres_qlp(A, b, M=M, shift=shift, **shared)
    operator = Operator(to_device(A))
    given = {"array": operator.A, "take": operator, "whole": lambda v: operator(v)}[kind]
    result = minres_qlp(
        given,
        to_device(b),
        M=to_device(M),
        shift=to_device(shift),
        callback=iterates.append,
        **shared,
    )
    assert_same(result, expected)
    assert iterates[-1].device == DEVICE
    assert bool(strict.all(result.converged))


def test_what_is_not_finite():
    A, b = systems()
    A[2, 0, 0], A[5] = np.nan, 0.0
    result = minres_qlp(to_device(A), to_device(b))
    codes = to_numpy(result.stop_reason)
    assert codes[2] == StopReason.NON_FINITE
    assert codes[3] == StopReason.ZERO_RIGHT_HAND_SIDE
    assert codes[5] == StopReason.LEAST_SQUARES
    with pytest.raises(ValueError, match=r"^b must be finite"):
        minres_qlp(to_device(A), to_device(np.full_like(b, np.inf)))
