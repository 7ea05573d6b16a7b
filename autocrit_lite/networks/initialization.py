"""Initial parameters of networks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..arrays import Array
from ..checks import generator, one_of
from .mlp import MLP


def _normal(rng: np.random.Generator, n_out: int, n_in: int) -> Array:
    return rng.standard_normal((n_out, n_in)) / np.sqrt(n_out * n_in)


def _he(rng: np.random.Generator, n_out: int, n_in: int) -> Array:
    return rng.standard_normal((n_out, n_in)) * np.sqrt(2.0 / n_in)


def _xavier(rng: np.random.Generator, n_out: int, n_in: int) -> Array:
    bound = np.sqrt(6.0 / (n_in + n_out))
    return rng.uniform(-bound, bound, (n_out, n_in))


def _xavier_normal(rng: np.random.Generator, n_out: int, n_in: int) -> Array:
    return rng.standard_normal((n_out, n_in)) * np.sqrt(2.0 / (n_in + n_out))


def _orthogonal(rng: np.random.Generator, n_out: int, n_in: int) -> Array:
    Q, R = np.linalg.qr(rng.standard_normal((max(n_out, n_in), min(n_out, n_in))))
    # without the signs Q is not uniform over the orthogonal matrices
    Q = Q * np.sign(np.diagonal(R))
    return Q if n_out >= n_in else Q.T


def _unit_rows(rng: np.random.Generator, n_out: int, n_in: int) -> Array:
    W = rng.standard_normal((n_out, n_in))
    return W / np.linalg.norm(W, axis=1, keepdims=True)


SCHEMES: dict[str, Callable[[np.random.Generator, int, int], Array]] = {
    "normal": _normal,
    "he": _he,
    "xavier": _xavier,
    "xavier_normal": _xavier_normal,
    "orthogonal": _orthogonal,
    "unit_rows": _unit_rows,
}
"""The schemes by name: each returns weights (out, in)."""


def initial_theta(net: MLP, scheme: str, rng: np.random.Generator) -> Array:
    """Return random initial parameters of a network, shape (n,).

    Parameters
    ----------
    net : MLP
    scheme : {"normal", "he", "xavier", "xavier_normal", "orthogonal", "unit_rows"}
        How the weights of each matrix (out, in) are drawn:

        - ``"normal"``: Gaussian, variance 1 over the number of weights (Frye et al. 2019, 6.3);
        - ``"he"``: Gaussian, variance 2/in (He et al. 2015, eq. 10; the formula printed under this
          name by Sankar & Balasubramanian 2018, Table 6, is another);
        - ``"xavier"``: uniform within ±√(6/(in + out)) (Glorot & Bengio 2010, eq. 16);
        - ``"xavier_normal"``: Gaussian of the same variance, 2/(in + out) (the default of the
          library in the public code of Sankar & Balasubramanian 2018);
        - ``"orthogonal"``: uniform among matrices of orthonormal rows or columns, whichever are
          the fewer (Saxe et al. 2013);
        - ``"unit_rows"``: rows of length 1 in random directions (the public code of Frye et al.
          2021).

        Biases are 0; 0.01 with ``"unit_rows"`` (the same code).
    rng : numpy.random.Generator

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> theta = initial_theta(MLP((16, 8, 16, 16)), "unit_rows", np.random.default_rng(0))
    >>> theta.shape, float(np.linalg.norm(theta[:16]).round(12))
    ((552,), 1.0)
    """
    if not isinstance(net, MLP):
        raise TypeError(f"net must be an MLP, not {net!r}")
    draw = SCHEMES[one_of("scheme", scheme, SCHEMES)]
    rng = generator("rng", rng)
    bias = 0.01 if scheme == "unit_rows" else 0.0
    layers = [
        (draw(rng, n_out, n_in), np.full(n_out, bias) if net.bias else None)
        for n_out, n_in in net.shapes
    ]
    return net.flatten(layers)
