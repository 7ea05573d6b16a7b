"""Fig. 1 and Definitions 2 to 4 of Sankar & Balasubramanian 2018, by an example and our spectra."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...arrays import Array
from ...linalg.inertia import INDEX_TOLERANCE
from ...networks.mlp import MLP
from ...networks.objective import NetworkObjective
from ...points.flat_directions import SIGNS
from ...runner.results import Measured, Results
from .claims import PRINTED, measured
from .digit_spectra import ROUNDING

STARTS = np.linspace(4.0, 8.0, 17)
"""Above (4, 2), where f(4) = 2 (chosen by us: from much farther a step would jump the plateau)."""

RATE, STEPS = 0.05, 5000
"""Of gradient descent on Fig. 1 (chosen by us)."""


def slope(w: Array) -> Array:
    """Return f′ of a function with the properties of Fig. 1, whose formula is not printed.

    f has its global minimum at (0, 0), is flat between 2 and 3, rises elsewhere on w > 0, and
    f(4) = 2: f′ = w (w − 2)² up to 2, and 2 (w − 3)² from 3 on.
    """
    return np.where(w < 2.0, w * (w - 2.0) ** 2, 2.0 * np.maximum(w - 3.0, 0.0) ** 2)


def definitions(results: Results) -> dict[str, Measured]:
    """Return the claims, from the ends of training whose rows the paper's tables have."""
    names = {row for row, _ in PRINTED.values()}
    own = [i for i, row in enumerate(results.coordinates["row"]) if row in names]
    eigenvalues, norms, n, counts = (
        np.concatenate([results[name][i] for i in own])
        for name in ("eigenvalues", "gradient_norm", "n_parameters", "counts")
    )
    ended = np.isfinite(norms)
    zeros = counts[ended][:, 0, SIGNS.index("zero")]
    lowest = np.nanmin(eigenvalues[ended], axis=1)
    course = results["course_eigenvalues"][:, 0]
    return {
        **plateau(slope),
        **strict(lowest, zeros),
        **good(zeros, n[ended], norms[ended], np.sum(np.abs(course) <= ROUNDING, axis=1)),
    }


def plateau(slope: Callable[[Array], Array]) -> dict[str, Measured]:
    """Fig. 1: gradient descent stops at the plateau, which is no saddle."""
    w = STARTS
    for _ in range(STEPS):
        w = w - RATE * slope(w)
    stopped = (w > 2.0) & (w < 3.01)
    inside = np.linspace(2.0, 3.0, 101)[1:-1]
    flat = bool(np.all(slope(inside) == 0.0))
    return measured(
        "s18-f1",
        int(stopped.sum()),
        False,
        verdict="corrected" if stopped.all() and flat else None,
        runs=len(w),
        rate=RATE,
        least=w.min(),
        most=w.max(),
        bend=np.max(np.abs(np.diff(slope(inside)))),
    )


def strict(lowest: Array, zeros: Array) -> dict[str, Measured]:
    """Definition 2: points with zero eigenvalues may be strict saddles all the same.

    Parameters
    ----------
    lowest, zeros : array (ends,)
        The lowest eigenvalue at each end of training, and how many are zero.
    """
    both = (lowest < 0.0) & (zeros > 0)
    clear = lowest < -INDEX_TOLERANCE
    return measured(
        "s18-strict",
        int(both.sum()),
        not both.any(),
        verdict="false" if both.any() else None,
        clear=clear.sum(),
        of=len(both),
        tolerance=INDEX_TOLERANCE,
        highest=lowest.max(),
        lowest=lowest.min(),
    )


def good(zeros: Array, n: Array, norms: Array, before: Array) -> dict[str, Measured]:
    """Definitions 3 and 4: what of a good saddle the ends of training have.

    Parameters
    ----------
    zeros, n, norms : array (ends,)
        Zero eigenvalues, parameters and ‖∇f‖.
    before : array (trials,)
        Zero eigenvalues of the small network of Fig. 3 before training.
    """
    fewer = zeros > 0
    # θ = (w, 1) of the network without biases: f = (relu(w) − 1)²
    one = np.ones((1, 1))
    net = NetworkObjective(MLP((1, 1, 1), "relu", bias=False), one, one)
    h = 1e-6
    sides = net.value_and_gradient(np.array([[-h, 1.0], [h, 1.0]]))[1][:, 0]
    jump = abs(float(sides[1] - sides[0]))
    return measured(
        "s18-good",
        int(fewer.sum()),
        bool(fewer.all() and jump < 1e-3),
        verdict="corrected" if fewer.all() and jump > 1.0 else None,
        ends=len(fewer),
        kappa=np.max((n - zeros) / n),
        least=norms.min(),
        most=norms.max(),
        jump=jump,
        before=before.min(),
    )
