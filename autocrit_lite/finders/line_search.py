"""Step lengths along directions: which of the points θ + αp each run of a batch goes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from array_api_compat import device

from ..arrays import Array, array_namespace, dot, indices, put, take
from ..checks import number, one_of
from ..objectives import Objective

CARRY, RESTART = "carry", "restart"
STEP_RULES = (CARRY, RESTART)

STEP_SIZE0 = 0.1
"""The first α (Frye et al. 2019, 6.4, and 2021, A.2)."""
BETA = 0.5
"""α is multiplied by it after a failure (Frye et al. 2019, 6.4, and 2021, A.2)."""
MAX_STEP_SIZE = 1.0
"""α does not grow beyond the full Newton step. The papers name no limit; the authors' code has
this one."""

EXACT_STEPS = tuple(2.0**-j for j in range(-2, 51))
"""4, 2, 1, …, 2⁻⁵⁰, chosen by us: the full step and all shorter ones that matter."""
GOLDEN = 0.5 * (5.0**0.5 - 1.0)
GOLDEN_STEPS = 38
"""They narrow a bracket to 1e-8 of its width: rounding hides the place of a minimum below that."""


@dataclass(frozen=True)
class Search:
    """Where A runs go.

    Attributes
    ----------
    theta : array (A, n)
        The accepted points; where the search began for runs that accepted none.
    step_size : array (A,)
        The accepted step lengths, 0 for runs that accepted none.
    trials : array (A,)
        How many points were tried.
    """

    theta: Array
    step_size: Array
    trials: Array


@dataclass(frozen=True)
class Line:
    """The points θ + αp, α > 0, of A runs.

    Attributes
    ----------
    theta, direction : array (A, n)
        θ and p. A run whose p is not finite accepts no point.
    """

    theta: Array
    direction: Array

    def backtrack(
        self,
        accept: Callable[[Array, Array, Array], Array],
        step_size: Array,
        searching: Array | bool = True,
        max_trials: float = float("inf"),
    ) -> Search:
        """Halve α until θ + αp is accepted.

        A run gives up when αp no longer changes θ, since a shorter step cannot do so either, and
        at once if its α is not finite. Each trial synchronises once with the device, to learn how
        many runs still search.

        Parameters
        ----------
        accept : callable
            Takes rows (k,), trial points (k, n) and their α (k,); returns which to accept (k,).
        step_size : array (A,)
            The first α.
        searching : array (A,) of bool, optional
            Which runs take part.
        max_trials : int, optional
        """
        xp = array_namespace(self.theta)
        finite = xp.all(xp.isfinite(self.direction), axis=-1)
        pending = finite & searching & xp.isfinite(step_size)
        zero = xp.zeros_like(step_size)
        found, tried = Search(self.theta, zero, zero), 0
        while tried < max_trials and (rows := indices(pending)).shape[0] > 0:
            base, alpha = take(self.theta, rows), take(step_size, rows)
            trial = base + alpha[:, None] * take(self.direction, rows)
            moves = xp.any(trial != base, axis=-1)
            accepted = moves & accept(rows, trial, alpha)
            found = Search(
                put(rows, found.theta, xp.where(accepted[:, None], trial, base)),
                put(rows, found.step_size, xp.where(accepted, alpha, 0.0)),
                found.trials + xp.astype(pending, xp.float64),
            )
            pending = put(rows, pending, moves & ~accepted)
            step_size = BETA * step_size
            tried += 1
        return found

    def minimize(self, objective: Objective, squared_norm: Array) -> Search:
        """Minimise ‖g(θ + αp)‖²: the best of ``EXACT_STEPS``, then golden section.

        Golden section searches between the neighbours of the best of those α, as if there were one
        minimum there. A run accepts no point if none has a lower ‖g‖² than θ.

        Parameters
        ----------
        objective : Objective
        squared_norm : array (A,)
            ‖g(θ)‖².
        """
        theta, p = self.theta, self.direction
        xp = array_namespace(theta)

        def merit(alpha: Array) -> Array:
            value, gradient = objective.value_and_gradient(theta + alpha[:, None] * p)
            squared = dot(gradient, gradient)
            return xp.where(xp.isfinite(value) & xp.isfinite(squared), squared, xp.inf)

        best, lowest = xp.zeros_like(squared_norm), squared_norm
        for step_size in EXACT_STEPS:
            alpha = xp.full_like(squared_norm, step_size)
            height = merit(alpha)
            best = xp.where(height < lowest, alpha, best)
            lowest = xp.where(height < lowest, height, lowest)

        low, high = 0.5 * best, 2.0 * best
        for _ in range(GOLDEN_STEPS):
            left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
            is_left = merit(left) < merit(right)
            low, high = xp.where(is_left, low, left), xp.where(is_left, right, high)
        middle = 0.5 * (low + high)
        best = xp.where(merit(middle) < lowest, middle, best)
        found = theta + best[:, None] * p
        accepted = xp.any(found != theta, axis=-1) & xp.all(xp.isfinite(p), axis=-1)
        trials = xp.full_like(best, len(EXACT_STEPS) + 2 * GOLDEN_STEPS + 1)
        theta = xp.where(accepted[:, None], found, theta)
        return Search(theta, xp.where(accepted, best, 0.0), trials)


@dataclass(frozen=True)
class ResidualSearch:
    """Back-tracking on ‖g‖² along a Newton direction p.

    It accepts α when ‖g(θ + αp)‖² ≤ ‖g(θ)‖² + 2ρα⟨Hp, g⟩ (Roosta et al. 2018). For a
    minimum-residual direction ⟨Hp, g⟩ = −‖Hp‖² = ‖Hp + g‖² − ‖g‖². So ρ′ = 0.5 asks the unit step
    for ‖g(θ + p)‖ ≤ ‖Hp + g‖, all that the linear model says: the better the system is solved, the
    harder that is, until rounding decides, and superlinear convergence by unit steps needs
    ρ′ < 0.5. With "carry" the step length grows to 1 by itself.

    Parameters
    ----------
    rho : float
        ρ: 0.1 in Frye et al. 2021, A.2; 1e-4 in Frye et al. 2019, 6.4.
    rho_unit : float or None
        ρ′ for α = 1, tried before anything else: 0.5 in Frye et al. 2021, A.2. None: not tried, as
        in Frye et al. 2019.
    step_rule : {"carry", "restart"}
        Where the next search starts: at the accepted step length, doubled (Frye et al. 2019, 6.4;
        the authors' code does so for both papers), or at ``STEP_SIZE0`` again.
    """

    rho: float = 0.1
    rho_unit: float | None = 0.5
    step_rule: str = CARRY

    def __post_init__(self) -> None:
        number("rho", self.rho, at_least=0.0, below=1.0)
        if self.rho_unit is not None:
            number("rho_unit", self.rho_unit, at_least=0.0, below=1.0)
        one_of("step_rule", self.step_rule, STEP_RULES)

    def next_step_size(self, search: Search) -> Array:
        """Return the α (A,) at which the next search starts."""
        if self.step_rule == RESTART:
            return first_step_size(search.theta)
        xp = array_namespace(search.step_size)
        return xp.minimum(2.0 * search.step_size, MAX_STEP_SIZE)

    def __call__(
        self, objective: Objective, line: Line, g: Array, Hp: Array, step_size: Array
    ) -> Search:
        """Search along a line where g and Hp (A, n) are known at its start, from α (A,) on."""
        xp = array_namespace(g)
        squared_norm, slope = dot(g, g), dot(Hp, g)
        # ⟨Hp, g⟩ = −‖Hp‖² may come out positive by rounding; that must not allow an increase
        slope = xp.where(slope < 0.0, slope, 0.0)

        def accept(rho: float) -> Callable[[Array, Array, Array], Array]:
            def test(rows: Array, trial: Array, alpha: Array) -> Array:
                value, gradient = objective.value_and_gradient(trial)
                bound = take(squared_norm, rows) + 2.0 * rho * alpha * take(slope, rows)
                return xp.isfinite(value) & (dot(gradient, gradient) <= bound)

            return test

        if self.rho_unit is None:
            return line.backtrack(accept(self.rho), step_size)
        unit = line.backtrack(accept(self.rho_unit), xp.ones_like(step_size), max_trials=1)
        taken = unit.step_size > 0.0
        shorter = line.backtrack(accept(self.rho), step_size, ~taken)
        return Search(
            xp.where(taken[:, None], unit.theta, shorter.theta),
            xp.where(taken, unit.step_size, shorter.step_size),
            unit.trials + shorter.trials,
        )


def first_step_size(theta: Array) -> Array:
    """Return the α (A,) at which the first searches from theta (A, n) start."""
    xp = array_namespace(theta)
    return xp.full(theta.shape[0], STEP_SIZE0, dtype=xp.float64, device=device(theta))
