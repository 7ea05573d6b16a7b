"""Losses with known critical points, in closed form, for arrays of any module."""

from dataclasses import dataclass
from typing import Any

import array_api_strict
import numpy as np
from array_api_compat import array_namespace, device

from autocrit_lite.finders.driver import find
from autocrit_lite.finders.levenberg_marquardt import LevenbergMarquardt

DEVICE = array_api_strict.Device("device1")


def strict(x):
    """Return the array on a device that no NumPy function can reach."""
    return array_api_strict.asarray(x.tolist(), dtype=array_api_strict.float64, device=DEVICE)


@dataclass(frozen=True)
class Point:
    value: Any
    gradient: Any
    matrix: Any

    def hvp(self, v):
        if v.ndim == self.matrix.ndim:  # a block of vectors at each point
            return v @ self.matrix
        return (self.matrix @ v[..., :, None])[..., :, 0]

    def hessian(self):
        return self.matrix


@dataclass(frozen=True)
class Saddle:
    """f(θ) = ½ (θ − m)ᵀA(θ − m) + ¼ c ‖θ − m‖⁴, at a batch of points (B, n).

    Critical at m, with the Hessian A, and for c > 0 at m ± √(−λ/c) v for each pair of an eigenvalue
    λ < 0 of A and its eigenvector v.
    """

    A: Any
    middle: Any
    c: float = 0.0
    hessian_cost: float = 3.0

    def value_and_gradient(self, theta):
        point = self.linearize(theta)
        return point.value, point.gradient

    def linearize(self, theta):
        xp = array_namespace(theta)
        n = theta.shape[-1]
        x = theta - self.middle
        squared = xp.sum(x * x, axis=-1)
        A_x = x @ self.A
        gradient = A_x + self.c * squared[..., None] * x
        identity = xp.eye(n, dtype=xp.float64, device=device(theta))
        rank_one = x[..., :, None] * x[..., None, :]
        H = self.A + self.c * (squared[..., None, None] * identity + 2.0 * rank_one)
        value = 0.5 * xp.sum(x * A_x, axis=-1) + 0.25 * self.c * squared**2
        return Point(value, gradient, H)


def saddle(eigenvalues, c=0.0, seed=0, convert=lambda x: x):
    """Return a ``Saddle`` with these eigenvalues at a random place, in a random basis."""
    rng = np.random.default_rng(seed)
    n = len(eigenvalues)
    Q = np.linalg.qr(rng.normal(size=(n, n)))[0]
    A = (Q * np.asarray(eigenvalues, dtype=float)) @ Q.T
    return Saddle(convert(0.5 * (A + A.T)), convert(rng.normal(size=n)), c)


class Counted:
    """An objective that counts its Hessian-vector products and dense Hessians."""

    def __init__(self, objective, hessian_cost):
        self.objective, self.hessian_cost = objective, hessian_cost
        self.products = self.hessians = 0

    def value_and_gradient(self, theta):
        return self.objective.value_and_gradient(theta)

    def linearize(self, theta):
        return CountedPoint(self, self.objective.linearize(theta))


class CountedPoint:
    def __init__(self, counter, point):
        self.counter, self.point = counter, point
        self.value, self.gradient = point.value, point.gradient

    def hvp(self, v):
        self.counter.products += 1
        return self.point.hvp(v)

    def hessian(self):
        self.counter.hessians += 1
        return self.point.hessian()


def matrix_free(
    objective,
    theta0,
    max_iterations=700,
    squared_gradient_tolerance=0.0,
    record_theta=False,
    geodesic=False,
):
    """Return what Levenberg-Marquardt does on so many parameters that it forms no matrix."""
    finder = LevenbergMarquardt(largest_dense=0, geodesic=geodesic)
    return find(finder, objective, theta0, max_iterations, squared_gradient_tolerance, record_theta)
