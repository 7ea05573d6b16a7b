"""First-order training: small update rules, and the one loop that they run in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import device, is_numpy_array

from ..arrays import Array, array_namespace, read_only
from ..checks import float_array, generator, integer, number, objective_with, theta_array
from ..devices import to_numpy
from ..objectives import Objective
from ..reasons import Reason


class TrainingStopReason(Reason):
    """Why training ended."""

    COMPLETED = 0, "all iterations were done"
    NON_FINITE = 1, "the loss or its gradient is not finite; the last finite iterate is kept"


Normal = Callable[[int], Array]
"""Draws k standard normal numbers for each run, shape (B, k), from the runs' own generators."""


class Rule:
    """How an optimizer moves: a frozen dataclass of its constants, finite and none negative."""

    random = False
    """Whether it draws numbers."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            below = 1.0 if name in ("momentum", "beta1", "beta2") else None
            number(name, value, at_least=0.0, below=below, finite=True)

    def init(self, theta: Array) -> Any:
        """Return the state at theta (B, n)."""
        return ()

    def step(self, gradient: Array, state: Any, normal: Normal) -> tuple[Array, Any]:
        """Return the change of theta, shape (B, n), and the new state."""
        raise NotImplementedError


@dataclass(frozen=True)
class GradientDescent(Rule):
    """θ ← θ − ηg. η = 0.01 in Frye et al. 2019, 6.3, and 0.1 in 2021, A.2, Fig. 1."""

    rate: float = 0.01

    def step(self, gradient: Array, state: Any, normal: Normal) -> tuple[Array, Any]:
        """Return the change of theta and the new state."""
        return -self.rate * gradient, ()


@dataclass(frozen=True)
class Momentum(Rule):
    """v ← μv − ηg, θ ← θ + v (Polyak 1964). Defaults: Frye et al. 2021, A.2."""

    rate: float = 0.1
    momentum: float = 0.9

    def init(self, theta: Array) -> Any:
        """Return v = 0."""
        return (0.0 * theta,)

    def step(self, gradient: Array, state: Any, normal: Normal) -> tuple[Array, Any]:
        """Return the change of theta and the new state."""
        velocity = self.momentum * state[0] - self.rate * gradient
        return velocity, (velocity,)


@dataclass(frozen=True)
class Nesterov(Momentum):
    """v ← μv − ηg, θ ← θ + μv − ηg: Nesterov's method, seen from the points it looks ahead to.

    The iterates are θ + μv of Sutskever et al. 2013, eqs 3 and 4, where their gradient is taken.
    """

    def step(self, gradient: Array, state: Any, normal: Normal) -> tuple[Array, Any]:
        """Return the change of theta and the new state."""
        velocity = self.momentum * state[0] - self.rate * gradient
        return self.momentum * velocity - self.rate * gradient, (velocity,)


@dataclass(frozen=True)
class Adam(Rule):
    """Kingma & Ba 2015, algorithm 1, with its defaults."""

    rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def init(self, theta: Array) -> Any:
        """Return m = v = 0 at step 0."""
        return 0.0 * theta, 0.0 * theta, 0

    def step(self, gradient: Array, state: Any, normal: Normal) -> tuple[Array, Any]:
        """Return the change of theta and the new state."""
        xp = array_namespace(gradient)
        m, v, t = state
        t += 1
        m = self.beta1 * m + (1.0 - self.beta1) * gradient
        v = self.beta2 * v + (1.0 - self.beta2) * gradient**2
        m_hat, v_hat = m / (1.0 - self.beta1**t), v / (1.0 - self.beta2**t)
        return -self.rate * m_hat / (xp.sqrt(v_hat) + self.epsilon), (m, v, t)


@dataclass(frozen=True)
class Adagrad(Rule):
    """θ ← θ − ηg/(√Σg² + ε), element by element (Duchi, Hazan & Singer 2011).

    η = 0.01 is the usual rate; ε only keeps zero from being divided by zero (both chosen by us:
    Sankar & Balasubramanian 2018 do not state theirs).
    """

    rate: float = 0.01
    epsilon: float = 1e-10

    def init(self, theta: Array) -> Any:
        """Return Σg² = 0."""
        return (0.0 * theta,)

    def step(self, gradient: Array, state: Any, normal: Normal) -> tuple[Array, Any]:
        """Return the change of theta and the new state."""
        xp = array_namespace(gradient)
        squares = state[0] + gradient**2
        return -self.rate * gradient / (xp.sqrt(squares) + self.epsilon), (squares,)


@dataclass(frozen=True)
class NoisySGD(Rule):
    """θ ← θ + v, v ← μv − η(g + ξ), ξ uniform on the sphere of radius ``noise``.

    Ge et al. 2015, algorithm 1, has the unit sphere and no momentum (μ = 0); the public code of
    Sankar & Balasubramanian 2018 has μ = 0.9. The rate is chosen by us (as for gradient descent).
    """

    rate: float = 0.01
    noise: float = 1.0
    momentum: float = 0.0
    random = True

    def init(self, theta: Array) -> Any:
        """Return v = 0."""
        return (0.0 * theta,)

    def step(self, gradient: Array, state: Any, normal: Normal) -> tuple[Array, Any]:
        """Return the change of theta and the new state."""
        xi = self.noise * _unit(normal(gradient.shape[-1]))
        velocity = self.momentum * state[0] - self.rate * (gradient + xi)
        return velocity, (velocity,)


@dataclass(frozen=True)
class PerturbedGradientDescent(Rule):
    """Gradient descent with a random step where the gradient is small (Jin et al. 2017).

    Where ‖g‖ ≤ ``threshold`` and the last random step is more than ``wait`` iterations ago, the
    iteration is a step uniform in the ball of ``radius``, else one of gradient descent. In the
    paper's algorithm 2 the step of gradient descent follows in the same iteration, and a run ends
    where a random step has brought no decrease; here runs go on, to be compared at equal length.
    The paper derives its constants from bounds on the derivatives that are unknown here; these are
    chosen by us.
    """

    rate: float = 0.01
    radius: float = 1e-2
    threshold: float = 1e-3
    wait: int = 100
    random = True

    def init(self, theta: Array) -> Any:
        """Return the iterations since the last random step, more than ``wait``."""
        return (0.0 * theta[..., :1] + float(self.wait + 1),)

    def step(self, gradient: Array, state: Any, normal: Normal) -> tuple[Array, Any]:
        """Return the change of theta and the new state."""
        xp = array_namespace(gradient)
        norm = xp.sqrt(xp.sum(gradient**2, axis=-1, keepdims=True))
        perturb = (norm <= self.threshold) & (state[0] > self.wait)
        # n of the n + 2 coordinates of a point uniform on a sphere are uniform in the ball
        n = gradient.shape[-1]
        xi = self.radius * _unit(normal(n + 2))[..., :n]
        since = xp.where(perturb, xp.ones_like(norm), state[0] + 1.0)
        return xp.where(perturb, xi, -self.rate * gradient), (since,)


def _unit(x: Array) -> Array:
    """Return the vectors (..., k) scaled to length 1."""
    xp = array_namespace(x)
    return x / xp.sqrt(xp.sum(x**2, axis=-1, keepdims=True))


@dataclass(frozen=True, eq=False)
class Trajectory:
    """What training passed through, for one run or for a batch of B (then with the leading axis).

    Attributes
    ----------
    theta : array (B, K, n)
        The iterates kept; NaN after a run's end.
    iteration : integer array (K,)
        Which iterates these are, from 0, the start, to T, the last of the longest run.
    value : NumPy array (B, T + 1)
        The loss of every iterate, kept or not. NaN after a run's end.
    final : array (B, n)
        The last iterate.
    iterations : int, or integer array (B,)
        Steps done.
    stop_reason : TrainingStopReason, or integer array (B,) of its values
    """

    theta: Array
    iteration: Array
    value: Array
    final: Array
    iterations: int | Array
    stop_reason: TrainingStopReason | Array

    @property
    def kept_value(self) -> Array:
        """The loss of the iterates kept, NumPy array (B, K)."""
        return self.value[..., self.iteration]

    def run(self, b: int) -> Trajectory:
        """Return run b of a batch by itself, up to its end."""
        if self.theta.ndim != 3:
            raise ValueError("this trajectory is of one run already")
        xp = array_namespace(self.theta)
        steps = int(self.iterations[b])  # type: ignore[index]
        iteration = self.iteration[self.iteration <= steps]
        theta = self.theta[b, : len(iteration), :]
        if iteration[-1] < steps:
            iteration = np.append(iteration, steps)
            theta = xp.concat((theta, self.final[b, :][None, :]))
        value, final = self.value[b, : steps + 1], self.final[b, :]
        reason = TrainingStopReason(self.stop_reason[b])  # type: ignore[index]
        return Trajectory(theta, iteration, value, final, steps, reason)


def train(
    objective: Objective,
    theta0: Array,
    rule: Rule,
    iterations: int,
    *,
    rng: np.random.Generator | Sequence[np.random.Generator] | None = None,
    memory: int = 2**28,
) -> Trajectory:
    """Train from one start or from a batch of independent starts.

    Parameters
    ----------
    objective : Objective
    theta0 : array (n,) or (B, n)
    rule : Rule
        The optimizer, such as ``Momentum(rate=0.1)``.
    iterations : int
        Steps. Each sees all samples.
    rng : numpy.random.Generator, or a sequence of B of them for a batch
        Each run draws from its own, so that it does not depend on the others. Needed by rules
        that draw numbers.
    memory : int
        Bytes that the iterates kept may take (256 MiB, chosen by us); twice that for a moment at
        the end. Beyond it iterates are dropped, evenly in iteration and loss taken together, so
        that the steep beginning stays resolved; the first and the last are always there. The
        runs of a batch keep the same iterates, and all of them have a say in which.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> from autocrit_lite.ground_truth.quartic import Quartic
    >>> trajectory = train(Quartic(), np.array([-1.0, 1.0]), GradientDescent(0.01), 500)
    >>> trajectory.theta.shape, trajectory.final.round(6).tolist(), trajectory.stop_reason.name
    ((501, 2), [-3.0, 0.0], 'COMPLETED')
    """
    theta0 = float_array("theta0", theta_array(theta0, None, "theta0"))
    if 0 in theta0.shape:
        raise ValueError(f"theta0 must hold at least one start, not shape {tuple(theta0.shape)}")
    if not isinstance(rule, Rule):
        raise TypeError(f"rule must be one of the rules, such as Momentum(), not {rule!r}")
    iterations = integer("iterations", iterations)
    xp = array_namespace(theta0)
    theta = theta0 if theta0.ndim == 2 else theta0[None, :]
    objective_with("value_and_gradient", objective)
    rngs = _generators(rng, theta0) if rule.random else []
    capacity = integer("memory", memory, at_least=4 * 8 * theta.size) // (8 * theta.size)

    def normal(k: int) -> Array:
        drawn = np.stack([own.standard_normal(k) for own in rngs])
        return drawn if is_numpy_array(theta0) else xp.asarray(drawn, device=device(theta0))

    value = np.full((iterations + 1, theta.shape[0]), np.nan)
    steps = np.zeros(theta.shape[0], dtype=np.int64)
    going = np.ones(theta.shape[0], dtype=bool)
    goes_on = xp.ones(theta.shape[0], dtype=xp.bool, device=device(theta))
    previous, state = theta, rule.init(theta)
    kept: list[tuple[int, Array]] = []
    # what is not finite is found by looking, and ends its run
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for t in range(iterations + 1):
            loss, gradient = objective.value_and_gradient(read_only(theta))
            goes_on = goes_on & xp.isfinite(loss) & xp.all(xp.isfinite(gradient), axis=-1)
            theta = xp.where(goes_on[:, None], theta, previous)
            going = to_numpy(goes_on)
            if not going.any():
                break
            value[t, going] = to_numpy(loss)[going]
            steps[going] = t
            kept.append((t, theta))
            if len(kept) > capacity:
                kept = _thinned(kept, value[: t + 1], capacity // 2)
            if t < iterations:
                change, state = rule.step(gradient, state, normal)
                previous, theta = theta, xp.where(goes_on[:, None], theta + change, theta)

    kept = kept or [(0, theta)]
    iteration = np.array([t for t, _ in kept])
    ended = xp.asarray(iteration[None, :] > steps[:, None], device=device(theta))
    every = xp.stack([iterate for _, iterate in kept], axis=1)
    every, value = xp.where(ended[:, :, None], xp.nan, every), value[: steps.max() + 1].T
    reason = np.where(going, TrainingStopReason.COMPLETED, TrainingStopReason.NON_FINITE)
    batch = Trajectory(every, iteration, value, theta, steps, reason)
    return batch if theta0.ndim == 2 else batch.run(0)


def _thinned(kept: list[tuple[int, Array]], value: Array, count: int) -> list[tuple[int, Array]]:
    """Return about ``count`` of the iterates or fewer, the first and last among them.

    They are spaced along the curve of loss against iteration, each scaled to length 1; for a batch
    along the runs' mean. One is dropped if the gap that it leaves is at most twice what ``count``
    even gaps would be. ``value`` (t + 1, B) holds the losses so far.
    """
    variation = np.cumsum(np.abs(np.nan_to_num(np.diff(value, axis=0))), axis=0)
    share = np.nan_to_num(variation / np.where(variation[-1] > 0.0, variation[-1], 1.0))
    length = np.linspace(0.0, 1.0, len(value))
    length[1:] += share.mean(axis=1)
    at = length[[t for t, _ in kept]]
    gap = 2.0 * at[-1] / (count - 1)
    chosen = [0]
    for i in range(1, len(kept) - 1):
        if at[i + 1] - at[chosen[-1]] > gap:
            chosen.append(i)
    return [kept[i] for i in (*chosen, len(kept) - 1)]


def _generators(
    rng: np.random.Generator | Sequence[np.random.Generator] | None, theta0: Array
) -> list[np.random.Generator]:
    """Return one generator for each run."""
    if theta0.ndim == 1:
        return [generator("rng", rng)]
    if not isinstance(rng, Sequence) or len(rng) != theta0.shape[0]:
        raise TypeError(f"rng must be a sequence of {theta0.shape[0]} generators, not {rng!r}")
    return [generator("each of rng", own) for own in rng]
