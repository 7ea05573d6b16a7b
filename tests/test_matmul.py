"""Products of stacks of matrices as cuBLAS reads them: offsets and strides, without a GPU."""

import itertools

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

from autocrit_lite.matmul import matmul, strided


def dgemm(m, n, k, ta, a, lda, stride_a, tb, b, ldb, stride_b, add, c, ldc, stride_c, count):
    """cuBLAS's dgemmStridedBatched, by its documentation, on NumPy's memory: columns first."""

    def matrices(x, rows, columns, ld, stride):
        assert ld >= rows
        shape, strides = (count, rows, columns), (8 * stride, 8, 8 * ld)
        return as_strided(x, shape, strides)

    A = matrices(a, *((k, m) if ta else (m, k)), lda, stride_a)
    B = matrices(b, *((n, k) if tb else (k, n)), ldb, stride_b)
    C = matrices(c, m, n, ldc, stride_c)
    product = (A.transpose(0, 2, 1) if ta else A) @ (B.transpose(0, 2, 1) if tb else B)
    C[...] = product + C if add else product


def contiguous(rng, shape):
    return rng.normal(size=shape)


def transposed(rng, shape):
    return np.swapaxes(rng.normal(size=(*shape[:-2], shape[-1], shape[-2])), -1, -2)


def part(rng, shape):
    return rng.normal(size=(*shape[:-2], shape[-2] + 2, shape[-1] + 3))[..., 1:-1, 1:-2]


def apart(rng, shape):
    return rng.normal(size=(*shape[:-2], 2 * shape[-2], 2 * shape[-1]))[..., ::2, ::2]


KINDS = (contiguous, transposed, part, apart)


@pytest.mark.parametrize("sizes", [(3, 4, 5), (1, 4, 5), (3, 1, 5), (3, 4, 1), (1, 1, 1)])
@pytest.mark.parametrize("stacks", [((), ()), ((2,), (2,)), ((2,), ()), ((), (2,)), ((1,), (2,))])
def test_every_way_that_matrices_lie_in_memory(sizes, stacks):
    rng = np.random.default_rng(0)
    m, k, n = sizes
    for kind_x, kind_y in itertools.product(KINDS, KINDS):
        x, y = kind_x(rng, (*stacks[0], m, k)), kind_y(rng, (*stacks[1], k, n))
        expected = x @ y
        assert np.allclose(strided(x, y, None, False, dgemm), expected, rtol=1e-14, atol=1e-14)
        for kind_out, add in itertools.product((contiguous, part), (False, True)):
            out = kind_out(rng, expected.shape)
            wanted = out + expected if add else expected
            around = out.base.copy() if out.base is not None else None
            found = strided(x, y, out, add, dgemm)
            assert found is out
            assert np.allclose(out, wanted, rtol=1e-14, atol=1e-14)
            if around is not None:
                around[..., 1:-1, 1:-2] = out
                assert np.array_equal(out.base, around)


def test_numpy():
    rng = np.random.default_rng(0)
    x, y, out = (rng.normal(size=s) for s in ((2, 3, 4), (4, 5), (2, 3, 5)))
    before = out.copy()
    assert np.array_equal(matmul(x, y), x @ y)
    assert np.array_equal(matmul(x, y, out, add=True), before + x @ y)
    assert matmul(x, y, out) is out
    assert np.array_equal(out, x @ y)


def test_no_matrices_at_all():
    x, y = np.ones((0, 3, 4)), np.ones((4, 5))
    assert strided(x, y, None, False, dgemm).shape == (0, 3, 5)
