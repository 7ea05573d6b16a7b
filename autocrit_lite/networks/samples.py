"""How an objective holds its data: features before samples, in chunks, compressed if it can be."""

from __future__ import annotations

from typing import NamedTuple

from array_api_compat import device

from ..arrays import Array, array_namespace


class Samples(NamedTuple):
    """A chunk of c samples.

    ``inputs`` is [X 1]ᵀ, shape (inputs + 1, c), or Xᵀ if the network has no biases; ``targets`` is
    Yᵀ, shape (outputs, c); ``ones`` is the last row of the inputs, shape (1, c), or None.
    """

    inputs: Array
    targets: Array
    ones: Array | None


def in_chunks(X: Array, Y: Array, ones: Array | None, size: int) -> list[Samples]:
    """Return the samples X (N, inputs), Y (N, outputs) in chunks of equal length up to ``size``.

    ``ones`` is a column (N, 1) for the biases, or None. The chunks hold copies, not views.
    """
    xp = array_namespace(X, Y)
    n_samples, n_inputs = X.shape
    n_chunks = -(-n_samples // size)
    length = -(-n_samples // n_chunks)
    chunks = []
    for start in range(0, n_samples, length):
        rows = slice(start, min(start + length, n_samples))
        count = rows.stop - start
        # new arrays: a copy of a transpose would keep its order, samples apart
        inputs = xp.empty((n_inputs + (ones is not None), count), dtype=X.dtype, device=device(X))
        inputs[:n_inputs, :] = xp.matrix_transpose(X[rows, :])
        targets = xp.empty((Y.shape[1], count), dtype=Y.dtype, device=device(X))
        targets[...] = xp.matrix_transpose(Y[rows, :])
        if ones is not None:
            inputs[n_inputs:, :] = xp.matrix_transpose(ones[rows, :])
        chunks.append(Samples(inputs, targets, None if ones is None else inputs[n_inputs:, :]))
    return chunks


def compress(X: Array, Y: Array, ones: Array | None) -> tuple[Array, Array, Array | None, Array]:
    """Return fewer samples with the same second moments, and the loss that no θ can change.

    Each residual of a linear network is linear in the sample's row of [X 1 Y], so the sum of their
    squares depends on the data through [X 1 Y]ᵀ[X 1 Y] = RᵀR alone, with R from the QR
    factorisation: its rows may take the place of the samples. Those below the columns of [X 1] hold
    targets only, the part that no linear map of [X 1] reaches: they are a constant.

    Parameters
    ----------
    X : array (N, inputs)
    Y : array (N, outputs)
    ones : array (N, 1) or None
        The column that the biases multiply.

    Returns
    -------
    X, Y, ones : arrays
        With as many rows as [X 1] has columns, or N if that is fewer.
    constant : array ()
        What to add to ½‖f(X) − Y‖² of the new samples.
    """
    xp = array_namespace(X, Y)
    columns = [X, Y] if ones is None else [X, ones, Y]
    R = xp.linalg.qr(xp.concat(columns, axis=1), mode="reduced")[1]
    n_inputs = X.shape[1]
    rank = n_inputs if ones is None else n_inputs + 1
    top = R[:rank, :]
    constant = 0.5 * xp.sum(R[rank:, rank:] ** 2)
    ones = None if ones is None else top[:, n_inputs:rank]
    return top[:, :n_inputs], top[:, rank:], ones, constant
