"""Gaussian data with the spectrum of Frye et al. 2019 and 2021."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..arrays import Array
from ..checks import float_array, generator, integer

VARIANCES = tuple(float(variance) for variance in range(1, 17))
"""Of the Gaussian data in Frye et al. 2019, 6.2, and 2021, A.1.1."""


def gaussian(
    rng: np.random.Generator,
    n_samples: int = 10_000,
    variances: Array | Sequence[float] = VARIANCES,
) -> Array:
    """Return centred Gaussian samples with a diagonal covariance, shape (n_samples, d).

    The mean is subtracted until that lowers it no more, so that what is left of it is the rounding
    of a sum. The analytical results on linear autoencoders hold for centred data
    (Frye et al. 2019, 6.2).

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the samples come from; one seed gives one data set.
    n_samples : int
        At least 2. The default is that of Frye et al. 2019, 6.2, and 2021, A.1.1.
    variances : array (d,)
        The covariance's diagonal, positive. The default is theirs too.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> X = gaussian(np.random.default_rng(0))
    >>> X.shape, bool(np.abs(X.mean(axis=0)).max() < 1e-15)
    ((10000, 16), True)
    """
    rng = generator("rng", rng)
    n_samples = integer("n_samples", n_samples, at_least=2)
    variances = float_array("variances", variances, "d")
    if np.any(variances <= 0):
        raise ValueError(f"variances must be positive, not {variances!r}")
    X = rng.standard_normal((n_samples, variances.size)) * np.sqrt(variances)
    mean = X.mean(axis=0)
    while True:
        centred = X - mean
        left = centred.mean(axis=0)
        if np.max(np.abs(left)) >= np.max(np.abs(mean)):
            return X
        X, mean = centred, left
