"""Functions whose critical points are known, written for balls."""

from math import perm, sqrt

from flint import arb

from autocrit_lite.certify.functions import EnclosedFunction

ZERO = arb(0)


def polynomial(*coefficients):
    """Return Σ c_k x^k of one variable, by Horner's rule."""

    def derivative(order):
        def at(x):
            total = ZERO
            for k in range(len(coefficients) - 1, order - 1, -1):
                total = total * x[0] + arb(coefficients[k]) * perm(k, order)  # arb: not rounded
            return total

        return at

    value, first, second, third = (derivative(order) for order in range(4))
    return EnclosedFunction(
        1, value, lambda x: [first(x)], lambda x: [[second(x)]], lambda x: [[[third(x)]]]
    )


def quartic():
    """Return the quartic of Frye et al. 2021, eq. 2.3."""
    tenth = arb(1) / 10
    return EnclosedFunction(
        2,
        lambda x: x[0] ** 4 / 4 - 3 * x[0] ** 2 + 9 * x[0] + 9 * tenth * x[1] ** 4
        + 5 * x[1] ** 2 + 40,
        lambda x: [x[0] ** 3 - 6 * x[0] + 9, 36 * tenth * x[1] ** 3 + 10 * x[1]],
        lambda x: [[3 * x[0] ** 2 - 6, ZERO], [ZERO, 108 * tenth * x[1] ** 2 + 10]],
        lambda x: [
            [[6 * x[0], ZERO], [ZERO, ZERO]],
            [[ZERO, ZERO], [ZERO, 216 * tenth * x[1]]],
        ],
    )  # fmt: skip


def quadratic(H, b):
    """Return ½xᵀHx − bᵀx."""
    n = len(b)
    rows = [[arb(x) for x in row] for row in H.tolist()]
    right = [arb(x) for x in b.tolist()]
    rights = list(zip(rows, right, strict=True))

    def gradient(x):
        return [sum((a * y for a, y in zip(row, x, strict=True)), -r) for row, r in rights]

    def value(x):
        return sum((y * (g - r) / 2 for y, g, r in zip(x, gradient(x), right, strict=True)), ZERO)

    nothing = [[[ZERO] * n] * n] * n
    return EnclosedFunction(n, value, gradient, lambda x: rows, lambda x: nothing)


FLAT = sqrt(2.0)
