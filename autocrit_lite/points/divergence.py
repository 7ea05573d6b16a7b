"""Whether a run goes to infinity, where a network is only in the limit (arXiv 2506.14951).

Without a penalty a loss need not have a minimum: along a channel it falls for ever, and so does
‖g‖, though no critical point is near. What such a run looks like can be told from its history. The
verdict is by a rule fixed beforehand, on means over the octaves of the run, its iterations K/16 to
K/8, K/8 to K/4, K/4 to K/2 and K/2 to K:

- ‖θ‖ grows: by 1 % in all, and from one octave to the next by at least 0.9 of the growth before it,
  as it does if it grows like a power of the iteration or its logarithm, whereas ‖θ‖ that converges
  like k⁻ᵇ grows by 2⁻ᵇ of it;
- the loss converges: it changes by less than 0.9 of the change before;
- ‖g‖ falls from each octave to the next, by 2⁻ᵖ if it is like k⁻ᵖ, p at least 0.1;
- what the network does converges: its outputs change by less than 0.9 of the change before.

The numbers are chosen by us. It is a verdict, not a proof: a sequence that converges more slowly
than k⁻⁰·¹⁵ looks the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..arrays import Array
from ..devices import to_numpy
from ..finders.trace import Trace

OCTAVES = 4
SHORTEST = 64
"""Iterations that a verdict needs: four in the first octave."""
KEEPS = 0.9
"""What of a change is left after an octave, if it does not converge."""
GROWTH = 0.01
"""Of ‖θ‖, over the octaves."""
POWER = 0.1
"""p, at least."""


@dataclass(frozen=True)
class Divergence:
    """Whether a run goes to infinity, and what of the rule holds.

    Attributes
    ----------
    verdict : bool
        Whether all of it holds.
    grows, loss_converges, gradient_falls, outputs_converge : bool
        ``outputs_converge`` is true if there are no outputs to look at.
    norms : array (4,)
        The mean ‖θ‖ of each octave.
    power : float
        p: ‖g‖ falls like k⁻ᵖ from the last octave but one to the last. More than that is left if
        it falls faster than like a power.
    why : str
        The verdict as a sentence.
    """

    verdict: bool
    grows: bool
    loss_converges: bool
    gradient_falls: bool
    outputs_converge: bool
    norms: Array
    power: float
    why: str


def diverges(trace: Trace, outputs: Callable[[Array], Array] | None = None) -> Divergence:
    """Say whether a run goes to infinity while what it describes converges.

    Parameters
    ----------
    trace : Trace
        Of a single run of 64 iterations or more, with ``record_theta``.
    outputs : callable, optional
        Returns an array for θ (n,): what the network does, such as its outputs on the data.

    Raises
    ------
    ValueError
        If the trace is of a batch, too short, or without its iterates.
    """
    if trace.theta.ndim != 1:
        raise ValueError("trace must be of a single run, not of a batch")
    if trace.thetas is None:
        raise ValueError("trace must have its iterates: record_theta=True")
    K = int(trace.iterations)
    if K < SHORTEST:
        raise ValueError(f"trace must have at least {SHORTEST} iterations, not {K}")
    theta, value, squared = (
        to_numpy(x)[: K + 1] for x in (trace.thetas, trace.value, trace.squared_gradient_norm)
    )
    bounds = [K // 2**j for j in range(OCTAVES, -1, -1)]
    octaves = [slice(a + 1, b + 1) for a, b in pairwise(bounds)]
    norms = np.linalg.norm(theta, axis=1)
    size, loss, slope = (
        np.array([np.mean(x[octave]) for octave in octaves])
        for x in (norms, value, 0.5 * np.log2(np.maximum(squared, np.finfo(float).tiny)))
    )
    steps, powers = np.diff(size), -np.diff(slope)
    grows = bool(
        size[-1] >= (1.0 + GROWTH) * size[0]
        and (steps > 0.0).all()
        and (steps[1:] >= KEEPS * steps[:-1]).all()
    )
    loss_converges = _converges(np.abs(np.diff(loss)))
    gradient_falls = bool((powers >= POWER).all())
    outputs_converge = True
    if outputs is not None:
        seen = [np.asarray(to_numpy(outputs(theta[b]))) for b in bounds[1:]]
        changes = [np.linalg.norm(b - a) for a, b in pairwise(seen)]
        outputs_converge = _converges(np.array(changes))
    missing = [
        why
        for why, holds in (
            ("‖θ‖ does not grow without slowing down", grows),
            ("the loss does not converge", loss_converges),
            ("‖g‖ does not fall like a power of the iteration", gradient_falls),
            ("what the network does, does not converge", outputs_converge),
        )
        if not holds
    ]
    return Divergence(
        verdict=not missing,
        grows=grows,
        loss_converges=loss_converges,
        gradient_falls=gradient_falls,
        outputs_converge=outputs_converge,
        norms=size,
        power=float(powers[-1]),
        why="; ".join(missing) or "the run goes to infinity",
    )


def _converges(changes: Array) -> bool:
    """Return whether changes from octave to octave shrink."""
    return bool(np.isfinite(changes).all() and (changes[1:] <= KEEPS * changes[:-1]).all())
