"""Where runs first come below cut-offs on ‖g‖², and what the points there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..arrays import Array
from ..finders.trace import Trace


def at_cutoffs(
    trace: Trace, cutoffs: Sequence[float], describe: Callable[[Array], tuple[Array, Array]]
) -> dict[str, Array]:
    """Return iteration, loss and index where ‖g‖² first falls below each cut-off, (runs, cutoffs).

    NaN where it never does; loss and index also where the finder did not keep its iterates.

    Parameters
    ----------
    trace : Trace
        Of a batch of runs, in NumPy's arrays.
    cutoffs : sequence of float
    describe : callable
        Returns loss (k,) and index (k,) at points (k, n).
    """
    shape = (len(trace.theta), len(cutoffs))
    iteration, loss, index = (np.full(shape, np.nan) for _ in range(3))
    for column, cutoff in enumerate(cutoffs):
        below = trace.squared_gradient_norm < cutoff
        runs = np.flatnonzero(below.any(axis=1))
        first = below[runs].argmax(axis=1)
        iteration[runs, column] = first
        if trace.thetas is not None and len(runs):
            loss[runs, column], index[runs, column] = describe(trace.thetas[runs, first])
    return {"cutoff_iteration": iteration, "cutoff_loss": loss, "cutoff_index": index}
