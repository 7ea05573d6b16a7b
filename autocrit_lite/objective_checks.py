"""Is an objective what it says it is? One error names the mistake, before a search trusts it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from .arrays import Array
from .checks import float_array, generator, number, objective_with
from .objectives import Linearization, Objective

STEPS = (1e-3, 1e-4, 1e-2, 1e-5, 1e-6, 1e-1)
"""Of the finite differences, times max(1, ‖θ‖), in the order in which they are tried. Chosen by us:
four-point differences of smooth functions have the most digits at the first."""
NEAR = 1e-2
"""How far away the other points are, times max(1, ‖θ‖). Chosen by us: derivatives differ there, and
few losses are undefined so near."""
LARGEST_DENSE = 1000
"""The largest n for which the dense Hessian is asked for, chosen by us: 8 MB, n products."""
EXACT = 1e-3
"""The part of ``rtol`` by which what should be equal but for rounding may differ."""


def check_objective(
    objective: Objective,
    theta: Array,
    *,
    rtol: float = 1e-5,
    rng: np.random.Generator | None = None,
) -> None:
    """Compare an objective with its own finite differences, and raise what is wrong with it.

    At θ and at a point near it: shapes, kinds of numbers, and whether they are finite; whether a
    call repeats, and leaves θ as it was; the gradient against differences of the loss, and
    Hessian-vector products against differences of the gradient; linearity and symmetry of the
    products; blocks of vectors; the dense Hessian against the products; a batch of three points
    against each of them alone. The first mistake is raised.

    Parameters
    ----------
    objective : Objective
    theta : array (n,)
        A point where the loss is smooth and its gradient is not 0, such as a random one.
    rtol : float
        How far a derivative may be from the finite differences, relative to its norm: 1e-5, chosen
        by us, far above what they leave of a smooth loss in float64 and far below any mistake. What
        should be equal but for rounding may differ by a thousandth of that. An objective that
        computes in float32 passes at about 1e-2.
    rng : numpy.random.Generator, optional
        For the directions; by default a new one of seed 0, so that a check repeats.

    Raises
    ------
    TypeError
        If an argument is not as described.
    ValueError
        If an argument is not as described, or the objective is wrong: the message names the
        mistake, with the two numbers that should be equal.

    Notes
    -----
    At a point where the gradient vanishes, its sign and factor cannot be seen. The dense Hessian is
    asked for up to n = 1000.

    Examples
    --------
    >>> import numpy as np
    >>> from autocrit_lite import AutogradObjective, from_functions
    >>> theta = np.array([0.5, -1.0])
    >>> check_objective(AutogradObjective(lambda theta: theta[0] ** 4 - theta[1] ** 2), theta)
    >>> wrong = from_functions(
    ...     lambda theta: (theta @ theta, -2.0 * theta), lambda theta, v: 2.0 * v, n=2
    ... )
    >>> try:
    ...     check_objective(wrong, theta)
    ... except ValueError as error:
    ...     print(str(error).split(":")[0])
    the gradient has the wrong sign
    """
    for method in ("linearize", "value_and_gradient"):
        objective_with(method, objective)
    theta = float_array("theta", theta, "n")
    if not isinstance(theta, np.ndarray):
        raise TypeError(f"theta must be a NumPy array, not {type(theta).__name__}")
    number("objective.hessian_cost", getattr(objective, "hessian_cost", None), at_least=0.0)
    rng = np.random.default_rng(0) if rng is None else generator("rng", rng)
    look = _Look(objective, number("rtol", rtol, above=0.0, below=1.0))
    scale = max(1.0, float(np.linalg.norm(theta)))
    near = theta + NEAR * scale * _directions(rng, 2, len(theta))
    v = _directions(rng, 2, len(theta))
    with np.errstate(all="ignore"):  # as in a finder
        look.gradient(theta, near[0], _directions(rng, 3, len(theta)), scale)
        look.products(theta, near[0], v, scale)
        look.block_and_matrix(theta, v)
        look.batch(np.stack([theta, *near]), v)


def _directions(rng: np.random.Generator, count: int, n: int) -> Array:
    """Return random unit vectors, (count, n)."""
    rows: Array = rng.normal(size=(count, n))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _relative(x: Array, y: Array) -> float:
    """Return ‖x − y‖ / max(‖x‖, ‖y‖), 0 if both are 0."""
    largest = max(np.linalg.norm(x), np.linalg.norm(y))
    return float(np.linalg.norm(np.subtract(x, y)) / largest) if largest > 0.0 else 0.0


def _require(holds: bool, mistake: str) -> None:
    if not holds:
        raise ValueError(mistake)


@dataclass(frozen=True)
class _Look:
    """The parts of ``check_objective``: each raises what is wrong."""

    objective: Objective
    rtol: float

    def gradient(self, theta: Array, near: Array, directions: Array, scale: float) -> None:
        """Compare loss and gradient at two points with each other and with differences."""
        found = self.pair(theta)
        for here in (theta, near):
            value, gradient = self.pair(here)
            point = self.linearized(here)
            for name, mine, its in (
                ("loss", value, point.value),
                ("gradient", gradient, point.gradient),
            ):
                _require(
                    self.equal(mine, its),
                    f"linearize and value_and_gradient differ: the {name} is "
                    f"{_text(its)} for one, {_text(mine)} for the other",
                )
            length = np.linalg.norm(gradient)
            lines = np.vstack([gradient / length, directions]) if length > 0.0 else directions
            self.derivative(
                "the gradient",
                "the loss",
                lines @ gradient,
                partial(self.losses, here, lines),
                scale,
                None if here is theta else lines @ found[1],
            )
        again = self.pair(theta)
        for name, mine, its in zip(("loss", "gradient"), found, again, strict=True):
            _require(
                self.equal(mine, its),
                f"the {name} changes from call to call: {_text(mine)} at first, {_text(its)} "
                "later at the same theta",
            )

    def products(self, theta: Array, near: Array, v: Array, scale: float) -> None:
        """Look at products with the vectors v (2, n) at two points."""
        (u, w), first = v, self.linearized(theta)
        found = self.product(first, u)
        for here in (theta, near):
            point = self.linearized(here)
            Hu, Hw = self.product(point, u), self.product(point, w)
            together = self.product(point, u - 2.0 * w)
            _require(
                self.equal(together, Hu - 2.0 * Hw, size=float(np.linalg.norm(Hw))),
                "hvp is not linear: H(u − 2w) is not Hu − 2Hw, but "
                f"{_relative(together, Hu - 2.0 * Hw):.1e} away, relative to its norm",
            )
            size = float(np.linalg.norm(Hu) + np.linalg.norm(Hw))
            _require(
                self.equal(w @ Hu, u @ Hw, size=size),
                f"hvp is not symmetric: w·Hu is {w @ Hu:.6g}, u·Hw is {u @ Hw:.6g}",
            )
            for direction, product in ((u, Hu), (w, Hw)):
                self.derivative(
                    "hvp",
                    "the gradient",
                    product,
                    partial(self.slope, here, direction),
                    scale,
                    found if here is near and direction is u else None,
                )
        again = self.product(first, u)
        _require(
            self.equal(found, again),
            "hvp is that of another point: the products at a point change when another is "
            f"linearised, by {_relative(found, again):.1e} of their norm",
        )

    def derivative(
        self,
        name: str,
        of: str,
        claimed: Array,
        at: Callable[[float], Array],
        scale: float,
        elsewhere: Array | None,
    ) -> None:
        """Compare a derivative with four-point differences of ``at``, the same along a line.

        ``elsewhere`` is what the objective said at the point before.
        """
        estimates = []
        for h in scale * np.array(STEPS):
            samples = [at(h), at(-h), at(2.0 * h), at(-2.0 * h)]
            if not np.all(np.isfinite(samples)):
                continue
            slope = (8.0 * (samples[0] - samples[1]) - (samples[2] - samples[3])) / (12.0 * h)
            rounding = 100.0 * np.finfo(float).eps * np.max(np.abs(samples)) / h
            largest = max(np.linalg.norm(slope), np.linalg.norm(claimed))
            if np.linalg.norm(slope - claimed) <= self.rtol * largest + rounding:
                return
            estimates.append((h, slope))
        _require(bool(estimates), f"{of} is NaN or infinite next to theta, at any distance")
        raise ValueError(_mistake(name, of, claimed, _steadiest(estimates), elsewhere))

    def block_and_matrix(self, theta: Array, v: Array) -> None:
        """Compare products with a block of vectors, and the dense Hessian, with single products."""
        point, n = self.linearized(theta), len(theta)
        wanted = np.stack([self.product(point, row) for row in v])
        found = self.product(point, v)
        _require(
            self.equal(found, wanted),
            "hvp of a block (k, n) is not that of its rows: they differ by "
            f"{_relative(found, wanted):.1e} of their norm",
        )
        if n > LARGEST_DENSE:
            return
        H = self.taken("the dense Hessian", point.hessian(), (n, n))
        _require(
            self.equal(H, H.T),
            f"hessian() is not symmetric: ‖H − Hᵀ‖ is {_relative(H, H.T):.1e} of ‖H‖",
        )
        _require(
            self.equal(v @ H, wanted),
            "hessian() times v is not hvp(v): they differ by "
            f"{_relative(v @ H, wanted):.1e} of their norm",
        )

    def batch(self, thetas: Array, v: Array) -> None:
        """Compare what a batch (3, n) gives with its points alone."""
        try:
            values, gradients = self.pair(thetas)
            point = self.linearized(thetas)
            vectors = np.stack([v[0], v[1], v[0] + v[1]])
            products = self.product(point, vectors)
            self.product(point, np.stack([vectors, -vectors], axis=1))
        except Exception as error:
            if isinstance(error, ValueError) and "shape" in str(error):
                raise
            raise ValueError(f"a batch of shape {thetas.shape} fails: {error}") from error
        for i, theta in enumerate(thetas):
            alone = self.linearized(theta)
            for name, mine, its in (
                ("loss", alone.value, values[i]),
                ("gradient", alone.gradient, gradients[i]),
                ("loss that linearize gives", alone.value, point.value[i]),
                ("gradient that linearize gives", alone.gradient, point.gradient[i]),
                ("Hessian-vector product", self.product(alone, vectors[i]), products[i]),
            ):
                _require(
                    self.equal(mine, its),
                    f"the points of a batch are mixed: the {name} of point {i} is {_text(mine)} "
                    f"alone, {_text(its)} in a batch of {len(thetas)}",
                )

    # --- what the objective says, if it is of the shape and kind that it must be ---

    def pair(self, theta: Array, finite: bool = True) -> tuple[Array, Array]:
        """Return loss and gradient at theta (..., n), which must be ``finite``."""
        given = theta.copy()
        value, gradient = self.objective.value_and_gradient(given)
        _require(np.array_equal(given, theta), "value_and_gradient writes to theta")
        return (
            self.taken("the loss", value, theta.shape[:-1], finite).copy(),
            self.taken("the gradient", gradient, theta.shape, finite).copy(),
        )

    def losses(self, theta: Array, lines: Array, h: float) -> Array:
        """Return the loss a step h along each of the lines (k, n) from theta, (k,)."""
        return np.array([self.pair(theta + h * line, finite=False)[0] for line in lines])

    def slope(self, theta: Array, line: Array, h: float) -> Array:
        """Return the gradient a step h along a line (n,) from theta, (n,)."""
        return self.pair(theta + h * line, finite=False)[1]

    def linearized(self, theta: Array) -> Linearization:
        """Return the linearisation at theta (..., n)."""
        given = theta.copy()
        point = self.objective.linearize(given)
        _require(np.array_equal(given, theta), "linearize writes to theta")
        self.taken("the loss that linearize gives", point.value, theta.shape[:-1])
        self.taken("the gradient that linearize gives", point.gradient, theta.shape)
        return point

    def product(self, point: Linearization, v: Array) -> Array:
        """Return the Hessian times v (..., n)."""
        given = v.copy()
        product = self.taken("the product of hvp", point.hvp(given), v.shape).copy()
        _require(np.array_equal(given, v), "hvp writes to v")
        return product

    def taken(self, name: str, array: Any, shape: tuple[int, ...], finite: bool = True) -> Array:
        """Return an array of the objective if it is float64 of a shape, and ``finite``."""
        array = np.asarray(array)
        _require(array.shape == shape, f"{name} must have shape {shape}, not {array.shape}")
        _require(array.dtype == np.float64, f"{name} must be float64, not {array.dtype}")
        _require(not finite or bool(np.all(np.isfinite(array))), f"{name} is NaN or infinite")
        return array

    def equal(self, x: Array, y: Array, size: float = 0.0) -> bool:
        """Return whether x and y are the same but for rounding of what is of some size."""
        largest = max(float(np.linalg.norm(x)), float(np.linalg.norm(y)), size)
        return bool(np.linalg.norm(np.subtract(x, y)) <= EXACT * self.rtol * largest)


def _steadiest(estimates: list[tuple[float, Array]]) -> Array:
    """Return the estimate, of those at several step lengths, that is nearest to its neighbour's."""
    slopes = [slope for _, slope in sorted(estimates, key=lambda pair: pair[0])]
    changes = [_relative(a, b) for a, b in pairwise(slopes)]
    return slopes[int(np.argmin(changes))] if changes else slopes[0]


def _mistake(name: str, of: str, claimed: Array, slope: Array, elsewhere: Array | None) -> str:
    """Return what is wrong with a derivative, if it has a name, and by how much it is."""
    numbers = f"its norm is {np.linalg.norm(claimed):.6g}, that of finite differences of {of} "
    numbers += f"{np.linalg.norm(slope):.6g}, of the difference "
    numbers += f"{np.linalg.norm(claimed - slope):.6g}"
    factor = float(np.sum(claimed * slope) / max(np.sum(slope * slope), np.finfo(float).tiny))
    if elsewhere is not None and _relative(claimed, elsewhere) < 1e-6:
        what = "is that of another point, the one that was asked for before"
    elif np.linalg.norm(claimed - factor * slope) < 1e-3 * np.linalg.norm(claimed - slope):
        what = "has the wrong sign" if abs(factor + 1.0) < 1e-3 else f"is {factor:.4g} times itself"
    else:
        what = f"is not the derivative of {of}"
    return f"{name} {what}: {numbers}"


def _text(x: Array) -> str:
    """Return a number, or the norm of a vector, to be read."""
    return f"{float(x):.9g}" if np.ndim(x) == 0 else f"of norm {np.linalg.norm(x):.9g}"
