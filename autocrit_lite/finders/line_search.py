"""Step lengths along a direction: back-tracking on ‖∇f‖², for a batch of runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from array_api_compat import device

from ..arrays import Array, array_namespace, dot, indices, put, take
from ..checks import number, one_of
from ..objectives import Objective
from .trace import GOES_ON, FinderStopReason

CARRY, RESTART = "carry", "restart"
STEP_RULES = (CARRY, RESTART)


@dataclass(frozen=True)
class Search:
    """Where a line search ended for A runs.

    Attributes
    ----------
    theta : array (A, n)
        The accepted points; the point that the search left from where none was accepted.
    step_size : array (A,)
        The accepted step lengths, 0 where none was.
    accepted : array (A,) of bool
    trials : array (A,)
        How many step lengths were tried.
    """

    theta: Array
    step_size: Array
    accepted: Array
    trials: Array


def backtrack(
    accept: Callable[[Array, Array, Array], Array],
    theta: Array,
    direction: Array,
    step_size: Array,
    beta: float,
    pending: Array,
    max_trials: float = float("inf"),
) -> Search:
    """Shorten steps α by the factor β until θ + αp is accepted.

    A run's search ends without success when αp no longer changes θ: shorter steps cannot, either.
    It does not start from an α that is not finite, which no factor shortens.
    The device is synchronised once for each trial, to learn how many runs still search.

    Parameters
    ----------
    accept : callable
        Takes rows (k,), trial points (k, n) and step lengths (k,); returns which to accept (k,).
    theta, direction : array (A, n)
    step_size : array (A,)
        The step lengths to try first.
    beta : float
    pending : array (A,) of bool
        Which runs to search for.
    max_trials : int
    """
    xp = array_namespace(theta)
    zero = xp.zeros_like(step_size)
    found = Search(theta, zero, xp.zeros_like(pending), zero)
    pending = pending & xp.isfinite(step_size)
    tried = 0
    while tried < max_trials and (rows := indices(pending)).shape[0] > 0:
        base, alpha = take(theta, rows), take(step_size, rows)
        trial = base + alpha[:, None] * take(direction, rows)
        moves = xp.any(trial != base, axis=-1)
        accepted = moves & accept(rows, trial, alpha)
        found = Search(
            put(rows, found.theta, xp.where(accepted[:, None], trial, base)),
            put(rows, found.step_size, xp.where(accepted, alpha, 0.0)),
            put(rows, found.accepted, accepted),
            found.trials + xp.astype(pending, xp.float64),
        )
        pending = put(rows, pending, moves & ~accepted)
        step_size = beta * step_size
        tried += 1
    return found


@dataclass(frozen=True)
class SearchState:
    """The step lengths (A,) at which the next searches start."""

    step_size: Array


@dataclass(frozen=True)
class ResidualSearch:
    """Back-tracking on the squared gradient norm along a Newton direction p.

    A step length α is accepted when ‖g(θ + αp)‖² ≤ ‖g(θ)‖² + 2ρα⟨Hp, g⟩ (Roosta et al. 2018).
    For a minimum-residual direction ⟨Hp, g⟩ = −‖Hp‖² = ‖Hp + g‖² − ‖g‖². So ρ′ = 0.5 asks the unit
    step for ‖g(θ + p)‖ ≤ ‖Hp + g‖, all that the linear model says: the better the system is solved,
    the harder that is, until rounding decides, and ρ′ < 0.5 is what superlinear convergence by unit
    steps needs. With "carry" the step length grows to 1 by itself.

    Parameters
    ----------
    rho : float
        ρ: 0.1 in Frye et al. 2021, A.2; 1e-4 in Frye et al. 2019, 6.4.
    rho_unit : float or None
        ρ′ for α = 1, tried before anything else: 0.5 in Frye et al. 2021, A.2. None: not tried, as
        in Frye et al. 2019.
    step_size0 : float
        The first α (0.1 in both papers).
    beta : float
        α is multiplied by it after a failure (0.5 in both papers).
    step_rule : {"carry", "restart"}
        Where the next search starts: at the accepted step length, doubled (Frye et al. 2019, 6.4;
        the authors' code does so for both papers), or at ``step_size0`` again.
    max_step_size : float
        Doubling stops here. The papers name no limit; 1, the full Newton step, is that of the
        authors' code.
    """

    rho: float = 0.1
    rho_unit: float | None = 0.5
    step_size0: float = 0.1
    beta: float = 0.5
    step_rule: str = CARRY
    max_step_size: float = 1.0

    def __post_init__(self) -> None:
        number("rho", self.rho, at_least=0.0, below=1.0)
        if self.rho_unit is not None:
            number("rho_unit", self.rho_unit, at_least=0.0, below=1.0)
        number("step_size0", self.step_size0, above=0.0, finite=True)
        number("beta", self.beta, above=0.0, below=1.0)
        one_of("step_rule", self.step_rule, STEP_RULES)
        number("max_step_size", self.max_step_size, at_least=self.step_size0)

    def init(self, objective: Objective, theta: Array) -> SearchState:
        """Return the state at the starts theta (A, n)."""
        xp = array_namespace(theta)
        size = xp.full(theta.shape[0], self.step_size0, dtype=xp.float64, device=device(theta))
        return SearchState(size)

    def next_state(self, search: Search) -> SearchState:
        """Return the state after a search."""
        xp = array_namespace(search.step_size)
        if self.step_rule == RESTART:
            return SearchState(xp.full_like(search.step_size, self.step_size0))
        return SearchState(xp.minimum(2.0 * search.step_size, self.max_step_size))

    def __call__(
        self,
        objective: Objective,
        theta: Array,
        direction: Array,
        squared_norm: Array,
        slope: Array,
        state: SearchState,
    ) -> Search:
        """Search along the direction p (A, n) from θ (A, n).

        Parameters
        ----------
        objective : Objective
        theta, direction : array (A, n)
        squared_norm : array (A,)
            ‖g(θ)‖².
        slope : array (A,)
            ⟨Hp, g⟩.
        state : SearchState
        """
        xp = array_namespace(theta)
        pending = xp.all(xp.isfinite(direction), axis=-1)
        # ⟨Hp, g⟩ = −‖Hp‖² may come out positive by rounding; that must not allow an increase
        slope = xp.where(slope < 0.0, slope, 0.0)

        def accept(rho: float) -> Callable[[Array, Array, Array], Array]:
            def test(rows: Array, trial: Array, alpha: Array) -> Array:
                value, gradient = objective.value_and_gradient(trial)
                bound = take(squared_norm, rows) + 2.0 * rho * alpha * take(slope, rows)
                return xp.isfinite(value) & (dot(gradient, gradient) <= bound)

            return test

        if self.rho_unit is None:
            return backtrack(
                accept(self.rho), theta, direction, state.step_size, self.beta, pending
            )
        one = xp.ones_like(squared_norm)
        unit = backtrack(accept(self.rho_unit), theta, direction, one, self.beta, pending, 1)
        pending = pending & ~unit.accepted
        shorter = backtrack(accept(self.rho), theta, direction, state.step_size, self.beta, pending)
        return Search(
            xp.where(unit.accepted[:, None], unit.theta, shorter.theta),
            xp.where(unit.accepted, unit.step_size, shorter.step_size),
            unit.accepted | shorter.accepted,
            unit.trials + shorter.trials,
        )


# 4, 2, 1, …, 2⁻⁵⁰: chosen by us, to hold the full step and all shorter ones that matter
EXACT_STEPS = tuple(2.0**-j for j in range(-2, 51))
GOLDEN = 0.5 * (5.0**0.5 - 1.0)
# narrows a bracket to 1e-8 of its width: rounding hides what is finer in the place of a minimum
GOLDEN_STEPS = 38


def minimize_along(
    objective: Objective, theta: Array, direction: Array, squared_norm: Array
) -> Search:
    """Minimise ‖g(θ + αp)‖² over α > 0: the best of α = 4, 2, 1, …, 2⁻⁵⁰, then golden section.

    Golden section searches between the neighbours of the best of those α, as if there were one
    minimum there. A run fails if ‖g‖² is below its start nowhere.

    Parameters
    ----------
    objective : Objective
    theta, direction : array (A, n)
    squared_norm : array (A,)
        ‖g(θ)‖².
    """
    xp = array_namespace(theta)

    def merit(alpha: Array) -> Array:
        value, gradient = objective.value_and_gradient(theta + alpha[:, None] * direction)
        squared = dot(gradient, gradient)
        return xp.where(xp.isfinite(value) & xp.isfinite(squared), squared, xp.inf)

    best, lowest = xp.zeros_like(squared_norm), squared_norm
    for step_size in EXACT_STEPS:
        alpha = xp.full_like(squared_norm, step_size)
        height = merit(alpha)
        best = xp.where(height < lowest, alpha, best)
        lowest = xp.where(height < lowest, height, lowest)

    low, high = 0.5 * best, 2.0 * best
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    for _ in range(GOLDEN_STEPS):
        is_left = merit(left) < merit(right)
        low, high = xp.where(is_left, low, left), xp.where(is_left, right, high)
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    middle = 0.5 * (low + high)
    best = xp.where(merit(middle) < lowest, middle, best)
    found = theta + best[:, None] * direction
    accepted = xp.any(found != theta, axis=-1)
    accepted = accepted & xp.all(xp.isfinite(direction), axis=-1)
    theta = xp.where(accepted[:, None], found, theta)
    tried = xp.full_like(best, len(EXACT_STEPS) + 2 * GOLDEN_STEPS + 1)
    return Search(theta, xp.where(accepted, best, 0.0), accepted, tried)


def stop_reasons(search: Search, theta: Array, direction: Array) -> Array:
    """Return why runs end with a line search (A,), 0 for those whose step was accepted."""
    xp = array_namespace(theta)
    failed = int(FinderStopReason.LINE_SEARCH_FAILED)
    stop = xp.full(theta.shape[0], failed, dtype=xp.int64, device=device(theta))
    vanished = xp.all(theta + direction == theta, axis=-1)
    stop = xp.where(vanished, int(FinderStopReason.STEP_VANISHED), stop)
    finite = xp.all(xp.isfinite(direction), axis=-1)
    stop = xp.where(finite, stop, int(FinderStopReason.NON_FINITE))
    return xp.where(search.accepted, GOES_ON, stop)
