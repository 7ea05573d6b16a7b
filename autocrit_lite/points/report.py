"""Everything about one point: its class and what that hangs on, index, spectrum, and a proof."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array, norm
from ..certify.certificate import Certificate, certify
from ..certify.emptiness import Emptiness, nothing_near
from ..checks import boolean, float_array, generator, integer, number, objective_with
from ..devices import to_numpy
from ..finders.eigenbasis import Eigenbasis
from ..finders.exact_newton import CUTOFF
from ..finders.hessian_operator import Solution, solve
from ..linalg.inertia import INDEX_TOLERANCE
from ..linalg.minres_qlp import StopReason
from ..linalg.spectral_density import (
    PROBES,
    STEPS,
    Products,
    Share,
    density_of,
    lanczos_quadrature,
)
from ..objectives import Linearization, Objective
from .classes import RTOL, PointClass, point_class
from .picture import spectrum_svg

TOLERANCES = (1e-2, 5e-4, 1e-6, 1e-8, 1e-10)
"""Of the solver, at which the verdict is tried: the second and the last are those of Frye et al.
2021, A.2; the others are chosen by us."""

LEVELS = (1e-5, 1e-3, 1e-1)
"""Of |λ|, below which shares of ‖g‖² are told: what counts as zero for the index (Frye et al. 2021,
A.2), and two more, chosen by us."""

MATRICES = 5
"""Matrices of n² numbers that a decomposition takes: the Hessian, its eigenvectors, and LAPACK's
work (dsyevd)."""

MEMORY = 2**28
"""256 MiB, chosen by us: n up to 2590, which take some ten seconds."""

MATRIX_FREE_MAXIT = 500
"""Chosen by us, where n iterations would take too long."""

PROOF_UP_TO = 1000
"""Chosen by us: a proof takes about a second there with a few hundred samples."""

WITHOUT_PROOF = f"none: al.certify is tried on networks' losses of up to {PROOF_UP_TO} parameters"

MOSTLY = 0.81
"""Of ‖g‖²: the least with which r, at most ‖Hp + g‖/‖g‖, can be above 1 − ε_r = 0.9."""


class Direction(NamedTuple):
    """A Newton direction p, by a solver or by eigendecomposition, and the verdict by it.

    Attributes
    ----------
    rtol : float
        The solver's tolerance; NaN for the exact direction.
    length : float
        ‖p‖.
    relative_residual, relative_cokernel_residual, residual_ratio : float
        r, r_H and ‖Hp + g‖/‖g‖: with the solver's estimate of ‖H‖, or the largest |λ|.
    iterations : int
    stop_reason : StopReason or None
        Why the solver ended; None for the exact direction.
    kind : PointClass
    """

    rtol: float
    length: float
    relative_residual: float
    relative_cokernel_residual: float
    residual_ratio: float
    iterations: int
    stop_reason: StopReason | None
    kind: PointClass

    def __str__(self) -> str:
        """Return it in a line."""
        by = f"{self.iterations} iterations: {self.stop_reason.name}" if self.stop_reason else ""
        r, r_H = self.relative_residual, self.relative_cokernel_residual
        return (
            f"r {r:.3g}, r_H {r_H:.2g}, ‖Hp + g‖/‖g‖ {self.residual_ratio:.3g}, "
            f"‖p‖ {self.length:.3g}{'; ' * bool(by)}{by}"
        )


@dataclass(frozen=True)
class Report:
    """What ``describe`` found at a point; prints as text, and shows as a table in a notebook.

    Attributes
    ----------
    n : int
        How many parameters there are.
    value, gradient_norm : float
        The loss, and ‖g‖.
    direction : Direction
        That of Newton-MR at θ, by which the point is classified: see ``points.classes``.
    study : tuple of Direction
        The same at other tolerances of the solver, from loose to tight.
    exact : Direction or None
        −H⁺g, eigenvalues below 1e-12 of the largest taken for zero; None without a dense Hessian.
    dense : bool
        Whether a dense Hessian was decomposed. If not, what is told of the spectrum is estimated
        from products, in intervals of 95 %.
    index, zero : Share
        The share of eigenvalues below −1e-5, and of those from −1e-5 to 1e-5. With a dense Hessian
        the interval is what rounding leaves open.
    eigenvalue_range : (float, float)
        The lowest and highest eigenvalue; without a dense Hessian numbers within the spectrum.
    least : float
        The smallest |λ|; without a dense Hessian a number that it does not exceed.
    gradient_shares : dict of float to Share
        For some levels: the share of ‖g‖² in eigenspaces of |λ| up to the level. NaN where g = 0.
    spectrum, gradient_spectrum : pair of arrays (m,)
        Eigenvalues, or nodes of a quadrature, and the shares of all eigenvalues, or of ‖g‖², that
        they have.
    proof : Certificate, Emptiness or None
        Of a critical point near θ if the class is CRITICAL, else that none is near; None where
        nothing can be proven.
    seconds : float
    """

    n: int
    value: float
    gradient_norm: float
    direction: Direction
    study: tuple[Direction, ...]
    exact: Direction | None
    dense: bool
    index: Share
    zero: Share
    eigenvalue_range: tuple[float, float]
    least: float
    gradient_shares: dict[float, Share]
    spectrum: tuple[Array, Array]
    gradient_spectrum: tuple[Array, Array]
    proof: Certificate | Emptiness | None
    seconds: float

    @property
    def kind(self) -> PointClass:
        """The class of Table 1 of Frye et al. 2021, by ``direction``."""
        return self.direction.kind

    def verdicts(self) -> str:
        """Return in one line how the class changes with the solver's tolerance."""
        runs: list[tuple[PointClass, list[str]]] = []
        for direction in self.study:
            if not runs or runs[-1][0] != direction.kind:
                runs.append((direction.kind, []))
            runs[-1][1].append(f"{direction.rtol:.0e}")
        if len(runs) == 1:
            said = f"{runs[0][0].name} at every rtol from {runs[0][1][0]} to {runs[0][1][-1]}"
        else:
            said = ", then ".join(f"{kind.name} at rtol {', '.join(at)}" for kind, at in runs)
        return said + (f"; {self.exact.kind.name} by the exact direction" if self.exact else "")

    def rows(self) -> list[tuple[str, str]]:
        """Return what is told, line by line: a name and a text."""
        low, high = self.eigenvalue_range
        near = "the smallest |λ| is " + ("" if self.dense else "at most ")
        shares = [
            f"{_percent(share)} where |λ| ≤ {level:.0e}"
            for level, share in self.gradient_shares.items()
            if not np.isnan(share.value)
        ]
        lines = [
            ("value", f"{self.value:.8g}"),
            ("‖g‖", f"{self.gradient_norm:.3g}, ‖g‖² {self.gradient_norm**2:.3g}"),
            ("class", str(self.kind)),
            ("by tolerance", self.verdicts()),
            (f"p, rtol {self.direction.rtol:.0e}", str(self.direction)),
            ("p, exact", str(self.exact) if self.exact else "needs a dense Hessian"),
            ("index", f"{self._of(self.index)} eigenvalues below −{INDEX_TOLERANCE:.0e}"),
            ("zero", f"{self._of(self.zero)} eigenvalues within {INDEX_TOLERANCE:.0e} of 0"),
            ("eigenvalues", f"from {low:.4g} to {high:.4g}; {near}{self.least:.3g}"),
            ("‖g‖² lies", ", ".join(shares) or "nowhere: g = 0"),
        ]
        at_zero = self.gradient_shares[LEVELS[0]]
        if at_zero.low >= MOSTLY and self.kind is PointClass.NEITHER:
            lines.append(
                ("note", "nearly in the kernel of H: flat by where g lies, not by this direction")
            )
        return [*lines, ("proof", str(self.proof or WITHOUT_PROOF))]

    def _of(self, share: Share) -> str:
        if share.low == share.high and self.dense:
            return f"{share.value:.4g}: {round(share.value * self.n)} of {self.n}"
        return f"{share.value:.3g}, from {share.low:.3g} to {share.high:.3g}, of the"

    def __str__(self) -> str:
        """Return the report as lines of text."""
        how = "dense Hessian" if self.dense else "products alone; intervals of 95 %"
        head = f"A point of {self.n} parameters ({how}, {self.seconds:.2g} s)"
        return "\n".join([head, *(f"{name:14}{text}" for name, text in self.rows())])

    def _repr_html_(self) -> str:
        """Return the report as a table with a picture of the spectrum."""
        cells = "".join(
            f'<tr><th style="text-align:left;white-space:nowrap">{escape(name)}</th>'
            f'<td style="text-align:left">{escape(text)}</td></tr>'
            for name, text in self.rows()
        )
        return f"<table>{cells}</table>{spectrum_svg(self.spectrum, self.gradient_spectrum)}"


def _percent(share: Share) -> str:
    if share.high - share.low < 5e-3:
        return f"{share.value:.1%}"
    return f"{share.low:.0%} to {share.high:.0%}"


def describe(
    objective: Objective,
    theta: Array,
    rtol: float = RTOL,
    *,
    memory: int = MEMORY,
    maxit: int | None = None,
    prove: bool = True,
    rng: np.random.Generator | None = None,
) -> Report:
    """Tell everything about one point: what kind it is, and what that hangs on.

    Parameters
    ----------
    objective : Objective
    theta : array (n,)
    rtol : float
        The solver's tolerance, which is a part of the definition of the class; 5e-4 (Frye et al.
        2021, A.2).
    memory : int
        The bytes that a dense Hessian and its decomposition, 40 n², may take: 256 MiB by default,
        n up to 2590, chosen by us. Beyond it everything comes from products: directions by
        MINRES-QLP, the spectrum by Lanczos (see ``spectral_density``), some 1,000 products or more.
    maxit : int, optional
        The solver's limit of iterations; n (Frye et al. 2021, A.2), or without a dense Hessian at
        most 500.
    prove : bool
        Whether to try a proof: of losses of networks with up to 1000 parameters that ``certify``
        takes.
    rng : numpy.random.Generator, optional
        For the probes of the spectrum; ``default_rng(0)`` by default.

    Returns
    -------
    Report

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or loss, gradient or Hessian are not finite at theta.

    Examples
    --------
    >>> from autocrit_lite import AutogradObjective
    >>> saddle = AutogradObjective(lambda theta: theta[0] ** 2 - 3.0 * theta[1] ** 2)
    >>> report = describe(saddle, np.zeros(2))
    >>> report.kind.name, report.index.value, report.eigenvalue_range
    ('CRITICAL', 0.5, (-6.0, 2.0))
    """
    begin = time.perf_counter()
    objective_with("linearize", objective)
    theta = float_array("theta", theta, "n")
    n = theta.shape[0]
    rtol = number("rtol", rtol, at_least=0.0, below=1.0)
    memory = integer("memory", memory)
    maxit = None if maxit is None else integer("maxit", maxit, at_least=1)
    prove = boolean("prove", prove)
    rng = np.random.default_rng(0) if rng is None else generator("rng", rng)
    point = objective.linearize(theta)
    value, gradient = float(point.value), point.gradient
    if not np.isfinite(value) or not np.all(np.isfinite(to_numpy(gradient))):
        raise ValueError("theta must be a point where the loss and its gradient are finite")
    dense = 8 * MATRICES * n**2 <= memory
    if dense:
        found = _by_decomposition(point, rtol, maxit or n)
    else:
        limit = maxit or min(n, MATRIX_FREE_MAXIT)
        found = _by_products(point, rtol, limit, rng)
    small = prove and dense and n <= PROOF_UP_TO
    return Report(
        n=n,
        value=value,
        gradient_norm=float(norm(gradient)),
        dense=dense,
        proof=_proof(objective, theta, found["direction"].kind) if small else None,
        seconds=time.perf_counter() - begin,
        **found,
    )


def _by_decomposition(point: Linearization, rtol: float, maxit: int) -> dict[str, Any]:
    g, H = to_numpy(point.gradient), to_numpy(point.hessian())
    if not np.all(np.isfinite(H)):
        raise ValueError("theta must be a point where the Hessian is finite")
    n = len(g)
    values, Q = np.linalg.eigh(H)
    parts = Q.T @ g
    direction = _direction(lambda v: v @ H, g, rtol, maxit)
    # in the eigenbasis the solver takes the same course up to rounding, at n operations a product
    study = _study(lambda v: v * values, parts, direction, maxit)
    basis = Eigenbasis(values[None, :], Q[None, :, :])
    with np.errstate(divide="ignore", invalid="ignore"):  # 1/λ that is dropped; 0/0 where g = 0
        p = basis.apply(basis.pseudo_inverse(CUTOFF), -g[None, :])
        left = {name: float(x[0]) for name, x in basis.residuals(p, g[None, :]).items()}
    exact = _judged(np.nan, float(norm(p[0])), left, 0, None, g)
    off = n * np.finfo(float).eps * float(np.max(np.abs(values)))

    def below(level: float) -> Share:
        found = [np.mean(values < x) for x in (level, level - off, level + off)]
        return Share(*map(float, found))

    low, high = below(-INDEX_TOLERANCE), below(float(np.nextafter(INDEX_TOLERANCE, 1.0)))
    zero = Share(high.value - low.value, high.low - low.high, high.high - low.low)
    squares = parts**2
    whole = float(np.sum(squares))
    shares = squares / whole if whole > 0.0 else np.zeros(n)
    size = np.abs(values)
    levels = {
        level: Share(*[float(np.sum(shares[size <= level])) if whole > 0.0 else np.nan] * 3)
        for level in LEVELS
    }
    return {
        "direction": direction,
        "study": study,
        "exact": exact,
        "index": low,
        "zero": zero,
        "eigenvalue_range": (float(values[0]), float(values[-1])),
        "least": float(np.min(size)),
        "gradient_shares": levels,
        "spectrum": (values, np.full(n, 1.0 / n)),
        "gradient_spectrum": (values, shares),
    }


def _by_products(
    point: Linearization, rtol: float, maxit: int, rng: np.random.Generator
) -> dict[str, Any]:
    g, product = point.gradient, Products(point.hvp)
    direction = _direction(lambda v: product(v[0])[None, :], g, rtol, maxit)
    study = _study(lambda v: product(v[0])[None, :], g, direction, maxit)
    density = density_of(product, g, PROBES, STEPS, rng)
    quadratures, count = list(density.quadratures), len(density.quadratures)
    nodes = np.concatenate([q.nodes for q in quadratures])
    weights = np.concatenate([q.weights for q in quadratures]) / count
    own, levels = (np.zeros(1), np.zeros(1)), dict.fromkeys(LEVELS, Share(*[np.nan] * 3))
    if float(norm(g)) > 0.0:
        of_gradient = lanczos_quadrature(product, g, STEPS)
        quadratures.append(of_gradient)
        own = of_gradient.nodes, of_gradient.weights
        levels = {level: of_gradient.within(level) for level in LEVELS}
    return {
        "direction": direction,
        "study": study,
        "exact": None,
        "index": density.below(-INDEX_TOLERANCE),
        "zero": density.within(INDEX_TOLERANCE),
        "eigenvalue_range": density.range,
        "least": min(q.least for q in quadratures),
        "gradient_shares": levels,
        "spectrum": (nodes, weights),
        "gradient_spectrum": own,
    }


def _study(
    product: Callable[[Array], Array], g: Array, direction: Direction, maxit: int
) -> tuple[Direction, ...]:
    """Return the directions at ``TOLERANCES``, from loose to tight, with the one that is known.

    Where the solver ended for another reason than its tolerance a tighter one changes nothing.
    """
    found: list[Direction] = []
    for rtol in sorted({*TOLERANCES, direction.rtol}, reverse=True):
        by_tolerance = (StopReason.RESIDUAL, StopReason.LEAST_SQUARES)
        if rtol == direction.rtol:
            found.append(direction)
        elif found and found[-1].stop_reason not in by_tolerance:
            found.append(found[-1]._replace(rtol=rtol))
        else:
            found.append(_direction(product, g, rtol, maxit))
    return tuple(found)


def _direction(product: Callable[[Array], Array], g: Array, rtol: float, maxit: int) -> Direction:
    """Return the direction of Newton-MR, by a product of vectors (1, n)."""
    found: Solution = to_numpy(solve(product, -g[None, :], rtol, maxit))
    x = found.x[0]
    if not np.all(np.isfinite(x)):
        raise ValueError("theta must be a point where the Hessian is finite")
    residual, size = to_numpy(product(x[None, :]))[0] + to_numpy(g), float(norm(g))
    left = {
        "relative_residual": float(found.relative_residual[0]),
        "relative_cokernel_residual": float(found.relative_cokernel_residual[0]),
        "residual_ratio": float(norm(residual)) / size if size > 0.0 else 0.0,
    }
    reason = StopReason(int(found.stop_reason[0]))
    return _judged(rtol, float(norm(x)), left, int(found.iterations[0]), reason, to_numpy(g))


def _judged(
    rtol: float,
    length: float,
    left: dict[str, float],
    iterations: int,
    reason: StopReason | None,
    g: Array,
) -> Direction:
    r, r_H, ratio = (left[name] for name in Direction._fields[2:5])
    kind = PointClass(int(point_class(np.asarray(g @ g), np.asarray(r), np.asarray(r_H))))
    ratio = ratio if np.isfinite(ratio) else 0.0
    return Direction(rtol, length, r, r_H, ratio, iterations, reason, kind)


def _proof(objective: Objective, theta: Array, kind: PointClass) -> Certificate | Emptiness | None:
    """Return what can be proven; None if ``certify`` does not take such a loss."""
    try:
        if kind is PointClass.CRITICAL:
            return certify(objective, theta)  # type: ignore[arg-type]
        return nothing_near(objective, theta)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # arguments are checked: it has no enclosures for this loss
        return None
