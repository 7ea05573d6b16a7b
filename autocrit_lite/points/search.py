"""Many starts to distinct critical points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from ..arrays import Array
from ..certify.certificate import Certificate, enclosure_of
from ..certify.certificate import certify as prove
from ..certify.emptiness import nothing_near
from ..checks import boolean, float_array, integer, objective_with
from ..devices import to_numpy
from ..finders import Trace, exact_newton, newton_mr
from ..linalg.inertia import INDEX_TOLERANCE, morse_index
from ..networks.mlp import MLP
from ..networks.objective import NetworkObjective
from ..objectives import Objective
from .symmetry import MARGIN, canonical, distance_bound, matched, orbit_size

POLISH = 10
"""Newton steps after a finder, at most (chosen by us: from an end that Newton's method converges
from, five are enough)."""

CRITICAL = 1e-20
"""On ‖g‖²: what an end without a proof must reach to count (chosen by us: rounding. Frye et al.
2021 show that their 1e-8 says little)."""

LARGEST = 2000
"""Parameters up to which ends are polished and their index is counted, and up to which a network's
are proven unless told (chosen by us: a proof takes seconds for a thousand, and n³ more)."""

APART = 1e-6
"""Ends without a proof that are closer, relative to 1 + ‖θ‖, count as one (chosen by us)."""


@dataclass(frozen=True)
class Found:
    """An end of a search, looked at.

    Attributes
    ----------
    start : int
        The number of the start.
    theta : array (n,)
        The end, polished.
    squared_gradient_norm, value, index : float
    certificate : Certificate or None
    empty_within : float
        No critical point is within this distance of the end; 0 if that is not proven.
    """

    start: int
    theta: Array
    squared_gradient_norm: float
    value: float
    index: float
    certificate: Certificate | None = None
    empty_within: float = 0.0

    @property
    def critical(self) -> bool:
        """Whether it counts as critical: proven so, or down to rounding where none is asked."""
        if self.certificate is not None:
            return self.certificate.proven
        return self.squared_gradient_norm < CRITICAL


@dataclass(frozen=True)
class CriticalPoints:
    """What ``find_critical_points`` found.

    Attributes
    ----------
    groups : list of lists of Found
        Distinct critical points, by loss; in each group first the end that stands for it, then the
        others that may be the same point, or an image of it.
    others : list of Found
        The ends that are not critical.
    net : MLP or None
        Whose symmetries were divided out.
    """

    groups: list[list[Found]]
    others: list[Found] = field(default_factory=list)
    net: MLP | None = None

    def __len__(self) -> int:
        """Return how many distinct critical points there are, at least."""
        return len(self.groups)

    @property
    def theta(self) -> Array:
        """The points, shape (K, n); networks' units in canonical order."""
        points = [group[0].theta for group in self.groups]
        return np.array([x if self.net is None else canonical(self.net, x) for x in points])

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each distinct critical point, then one for each other end.

        Columns: ``kind`` ("proven", "critical to rounding" or "not critical"), ``value``, ``index``
        (of proven points how many eigenvalues are negative, over n), ``squared_gradient_norm``,
        ``radius`` of the proof, ``empty_within``, ``images`` in the orbit (at most; 1 without
        known symmetries), ``times`` found, and ``starts`` from which.
        """
        rows = [self._row(group) for group in self.groups]
        rows += [self._row([end]) for end in self.others]
        return pd.DataFrame(rows)

    def _row(self, group: Sequence[Found]) -> dict[str, Any]:
        first = group[0]
        proof = first.certificate if first.critical else None
        images = 1
        if self.net is not None and proof is not None:
            point = first.theta
            images = orbit_size(self.net, point, proof.unique_within, 2 * proof.radius)[1]
        kind = "proven" if proof else "critical to rounding" if first.critical else "not critical"
        return {
            "kind": kind,
            "value": first.value,
            "index": first.index,
            "squared_gradient_norm": first.squared_gradient_norm,
            "radius": proof.radius if proof else np.nan,
            "empty_within": first.empty_within,
            "images": images,
            "times": len(group),
            "starts": [end.start for end in group],
        }


def find_critical_points(
    objective: Objective,
    starts: Array,
    *,
    finder: Callable[..., Trace] = newton_mr,
    certify: bool | None = None,
    batch: int = 1,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> CriticalPoints:
    """Search for critical points from many starts, and tell which are there and distinct.

    Each end of the finder is polished by Newton steps while these lower ‖g‖, then proven to be
    close to a critical point, if it is (``certify``); of the others it is proven how far around
    there is none (``nothing_near``). Proven points count as distinct if that is proven, too: their
    losses or indices differ, or their balls are apart for all orders of the hidden units.

    Parameters
    ----------
    objective : Objective
        A ``NetworkObjective``, or any other one that finders take; one with the methods of an
        ``Enclosure`` can be proven, too.
    starts : array (B, n)
    finder : callable
        Called with objective, starts (b, n) and ``options``; by default ``newton_mr``.
    certify : bool, optional
        Whether critical points are proven. By default where ``certify`` takes the loss and there
        are at most 2000 parameters. Without, an end is critical if ‖g‖² is below 1e-20, and two of
        these are one if they are closer than 1e-6 (1 + ‖θ‖), networks' with their units in the
        order that fits best.
    batch : int
        How many starts a finder is given at once; 1 by default, so that no result hangs on others.
    workers : int
        Processes, through joblib; 1 by default. The objective must be picklable for more.
    progress : callable, optional
        Called with how many starts are done, and of how many.
    **options
        For the finder.

    Returns
    -------
    CriticalPoints

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> import autocrit_lite as al
    >>> f = al.AutogradObjective(lambda theta: (theta[0] ** 2 - 1) ** 2 + theta[1] ** 2)
    >>> starts = np.random.default_rng(0).uniform(-1.5, 1.5, size=(20, 2))
    >>> found = al.find_critical_points(f, starts)
    >>> sorted(found.to_frame()["index"].tolist())
    [0.0, 0.0, 0.5]
    """
    objective_with("linearize", objective)
    starts = float_array("starts", starts, "B", "n")
    integer("batch", batch, at_least=1)
    integer("workers", workers, at_least=1)
    net = objective.net if isinstance(objective, NetworkObjective) else None
    if certify is None or boolean("certify", certify):
        why = _not_provable(objective)
        if certify and why:
            raise TypeError(f"certify must be False, since nothing is proven of this loss: {why}")
        certify = not why and (certify is True or starts.shape[1] <= LARGEST)
    look = partial(_ends, objective, finder, options, certify)
    firsts = range(0, len(starts), batch)
    jobs = (delayed(look)(first, starts[first : first + batch]) for first in firsts)
    ends: list[Found] = []
    for part in Parallel(n_jobs=workers, return_as="generator")(jobs):
        ends += part
        if progress is not None:
            progress(len(ends), len(starts))
    critical = sorted((end for end in ends if end.critical), key=lambda end: end.value)
    others = [end for end in ends if not end.critical]
    return CriticalPoints(distinct(net, critical), others, net)


def polished(objective: Objective, theta: Array) -> Array:
    """Return theta (n,) after exact Newton steps, none of which raises ‖g‖; as it is if n is large.

    Parameters
    ----------
    objective : Objective
    theta : array (n,)
    """
    if len(theta) > LARGEST or not np.all(np.isfinite(theta)):
        return theta
    return np.asarray(to_numpy(exact_newton(objective, there(objective, theta), POLISH).theta))


def there(objective: Objective, theta: Array) -> Array:
    """Return NumPy's theta as an array of the library and device of the objective."""
    asarray = getattr(objective, "asarray", None)
    return theta if asarray is None else asarray(theta)


def look_at_end(objective: Objective, theta: Array, certify: bool, start: int = 0) -> Found:
    """Return what an end theta (n,) is: a critical point, proven or not, or none.

    Parameters
    ----------
    objective : Objective
    theta : array (n,)
    certify : bool
    start : int
        The number of the start that it is the end of.
    """
    theta = polished(objective, theta)
    point = objective.linearize(there(objective, theta))
    value, g = float(point.value), np.asarray(to_numpy(point.gradient))
    index, proof, empty = np.nan, None, 0.0
    if certify and np.isfinite(value):
        proof = prove(cast(Any, objective), theta)
        if proof.index is not None:
            theta, index, value = proof.theta, proof.index / len(theta), sum(proof.value) / 2
        else:
            empty = nothing_near(cast(Any, objective), theta).radius
    if np.isnan(index) and np.isfinite(value) and len(theta) <= LARGEST:
        index = float(morse_index(to_numpy(point.hessian()), tolerance=INDEX_TOLERANCE))
    return Found(start, theta, float(g @ g), value, index, proof, empty)


def distinct(net: MLP | None, ends: Sequence[Found]) -> list[list[Found]]:
    """Return critical ends in groups: those of two groups are different points, for sure if proven.

    Parameters
    ----------
    net : MLP or None
        Whose symmetries are divided out.
    ends : sequence of Found
    """
    groups: list[list[Found]] = []
    for end in ends:
        same = (group for group in groups if not are_apart(net, group[0], end))
        group = next(same, None)
        if group is None:
            groups.append([end])
        else:
            group.append(end)
    return groups


def are_apart(net: MLP | None, a: Found, b: Found) -> bool:
    """Return whether two critical ends are different points, whatever the order of the units is.

    With proofs of both that is proven.
    """
    A, B = a.certificate, b.certificate
    if A is None or B is None:
        image = a.theta if net is None else matched(net, a.theta, b.theta)
        return bool(np.linalg.norm(image - b.theta) > APART * (1.0 + np.linalg.norm(b.theta)))
    if A.index != B.index or A.value[1] < B.value[0] or B.value[1] < A.value[0]:
        return True
    if A.orbit or B.orbit:  # a ball in a slice says nothing of other slices
        return False
    if net is None:
        bound = float(np.linalg.norm(a.theta - b.theta)) * (1.0 - MARGIN)
    else:
        bound = distance_bound(net, a.theta, b.theta)
    lows = np.linalg.norm(A.theta_low) + np.linalg.norm(B.theta_low)
    return bool(bound > A.radius + B.radius + 2.0 * lows)


def _not_provable(objective: Objective) -> str:
    """Return why ``certify`` does not take an objective's loss; "" if it does."""
    try:
        enclosure_of(cast(Any, objective))
    except (TypeError, ValueError) as error:
        return str(error)
    return ""


def _ends(
    objective: Objective,
    finder: Callable[..., Trace],
    options: dict[str, Any],
    certify: bool,
    first: int,
    starts: Array,
) -> list[Found]:
    """Return the ends of the searches from a batch of starts."""
    ends = to_numpy(finder(objective, there(objective, starts), **options).theta)
    return [look_at_end(objective, end, certify, first + k) for k, end in enumerate(ends)]
