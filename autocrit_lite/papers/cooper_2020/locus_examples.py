"""The examples of Cooper 2020, and Lemma 5.12 on all functions of a small class: exact, no runs."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.polynomial import Polynomial

from ...arrays import Array
from ...runner.results import Measured
from ...statistics import never
from .locus_tables import corrected, measured

VALLEY = Polynomial([0.0, 0.0, 6.0, 5.0, 1.0])
"""x⁴ + 5x³ + 6x² (§5.3)."""

TROUGHS = Polynomial([0.0, 1.0, -5.0, 0.0, 5.0])
"""5x⁴ − 5x² + x, of (x, y) (§5.3)."""

SQUARE = Polynomial([0.0, 0.0, 1.0])
"""x², of (x, y) (Definition 3.4)."""

KNOTS, LEVELS = 6, 3
"""Of the functions that Lemma 5.12 is tried on: how many, and how many values (chosen by us)."""


def examples() -> dict[str, Measured]:
    """Return the claims that need no run."""
    return {
        **line(SQUARE),
        **valley(VALLEY),
        **troughs(TROUGHS),
        **isolated_minima(*plateaus()),
        **saddle(np.diag([2.0, -2.0])),
    }


def stationary(f: Polynomial) -> tuple[Array, Array]:
    """Return the real zeros of f′, ascending, and f″ there."""
    roots = f.deriv().roots()
    real = np.sort(roots.real[np.abs(roots.imag) < 1e-9])
    return real, f.deriv(2)(real)


def line(f: Polynomial) -> dict[str, Measured]:
    """Definition 3.4: which of the axes is critical for f(x), a function of (x, y)."""
    x, bend = stationary(f)
    on_axis = float(f.deriv()(1.0))  # ∂f/∂x at (1, 0)
    critical = len(x) == 1 and x[0] == 0.0 and bend[0] > 0.0
    return measured(
        "c20-ex-axis",
        f"∇f = ({on_axis:g}, 0) at (1, 0)",
        on_axis == 0.0,
        verdict=corrected(critical, on_axis == 0.0),
        rate=bend[0],
    )


def valley(f: Polynomial) -> dict[str, Measured]:
    """§5.3: whether zero is an isolated, strict local minimum in a spurious valley, not global."""
    x, bend = stationary(f)
    zero = int(np.argmin(np.abs(x)))
    lowest = int(np.argmin(f(x)))
    # f = x² q: the component of {f ≤ 0} at zero is the point alone where q(0) > 0
    alone = float(f(x[zero])) == 0.0 and bend[zero] > 0.0
    return measured(
        "c20-ex-valley",
        f"f″(0) = {f.deriv(2)(0.0):g}, f = {f(x[lowest]):.3g} at x = {x[lowest]:.3g}",
        {
            "local minimum": bool(abs(x[zero]) < 1e-9 and bend[zero] > 0.0),
            "valley": bool(alone and f(x[lowest]) < f(x[zero])),
        },
        others=", ".join(f"{root:.3g}" for k, root in enumerate(x) if k != zero),
    )


def troughs(f: Polynomial) -> dict[str, Measured]:
    """§5.3: whether f(x), of (x, y), has a spurious valley; its minima are lines."""
    x, bend = stationary(f)
    low = x[bend > 0.0]
    values = f(low)
    walls = bool(np.any((bend < 0.0) & (x > low.min()) & (x < low.max())))
    spurious = len(low) > 1 and float(np.ptp(values)) > 0.0 and walls
    return measured(
        "c20-ex-troughs",
        f"spurious valleys: {int(np.sum(values > values.min()))}, each a line of minima",
        bool(spurious),
        listed=" and ".join(
            f"f = {v:.3g} at x = {at:.3g}" for at, v in zip(low, values, strict=True)
        ),
    )


def plateaus(parts: int = 4) -> tuple[int, int]:
    """Return how many local, not global minima are not strict, and how many of those isolated.

    They are those of all continuous functions that are linear between ``KNOTS`` whole numbers,
    where each has one of ``LEVELS`` values. Definitions 5.1, 5.4 and 5.5 are asked for at multiples
    of 1/parts, which shows what holds in any neighbourhood, as long as there are points between
    the knots.
    """
    knots = np.array(list(product(range(LEVELS), repeat=KNOTS)), dtype=float)
    x = np.arange((KNOTS - 1) * parts + 1)
    k = np.minimum(x // parts, KNOTS - 2)
    t = x / parts - k
    f = knots[:, k] * (1.0 - t) + knots[:, k + 1] * t
    before, here, after = f[:, :-2], f[:, 1:-1], f[:, 2:]
    minimum = (here <= before) & (here <= after)
    strict = (here < before) & (here < after)
    inner = minimum[:, 1:-1] & ~strict[:, 1:-1]
    inner &= here[:, 1:-1] > f.min(axis=1, keepdims=True)
    isolated = inner & ~minimum[:, :-2] & ~minimum[:, 2:]
    return int(inner.sum()), int(isolated.sum())


def isolated_minima(count: int, isolated: int) -> dict[str, Measured]:
    """Lemma 5.12: an isolated local minimum is strict."""
    return measured(
        "c20-strict",
        f"{isolated} of {count} minima",
        never(isolated, count),
        functions=LEVELS**KNOTS,
        knots=KNOTS,
        levels=LEVELS,
    )


def saddle(H: Array) -> dict[str, Measured]:
    """§5.3: zero as a critical point of ½ xᵀHx (2, 2), and its level set."""
    eigenvalues = np.linalg.eigvalsh(H)
    # on (1, ±1) times any number the form vanishes
    lines = [float(v @ H @ v) for v in (np.array([1.0, 1.0]), np.array([1.0, -1.0]))]
    return measured(
        "c20-ex-saddle",
        f"eigenvalues {eigenvalues[0]:g}, {eigenvalues[1]:g}",
        {
            "isolated": bool(np.all(eigenvalues != 0.0)),
            "lines": lines == [0.0, 0.0],
            "saddle": bool(eigenvalues[0] < 0.0 < eigenvalues[1]),
        },
    )
