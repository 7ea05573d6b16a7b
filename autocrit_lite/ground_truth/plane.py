"""Points in the plane of (index, loss), where the papers look at them."""

from __future__ import annotations

import numpy as np

from ..arrays import Array

PLANE_TOLERANCE = 1e-3
"""In the plane of (index, loss), each scaled to its range over the true points, the distance that
counts as accurate (chosen by us: about the size of a dot in Fig. 2 of Frye et al. 2019)."""


def plane_distance(index: Array, loss: Array, true_index: Array, true_loss: Array) -> Array:
    """Return the distance (...) of points from the nearest true one, in units of the true ranges.

    Parameters
    ----------
    index, loss : array (...)
        Of the points; NaN gives NaN.
    true_index, true_loss : array (K,)
        Of the true ones.
    """
    dx = (index[..., None] - true_index) / np.ptp(true_index)
    dy = (loss[..., None] - true_loss) / np.ptp(true_loss)
    return np.sqrt(np.min(dx**2 + dy**2, axis=-1))
