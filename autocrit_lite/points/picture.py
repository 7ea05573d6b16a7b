"""A small picture of a spectrum, and of where a gradient lies in it, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from ..arrays import Array

DECADES = 8
"""Of |λ|, from the largest down, that have bars of their own (chosen by us)."""

WIDTH, HEIGHT, BASE, MARGIN = 520, 150, 112, 12
"""Of the picture, where its bars stand, and what is free beside them, in pixels."""

LEAST = 1e-6
"""Smaller shares have no bar (chosen by us); others at least two pixels."""

SERIES = (("eigenvalues", "#999999"), ("‖g‖²", "#56B4E9"))
"""What the bars are, and Okabe and Ito's colours that the classes leave over."""


def by_decade(values: Array, shares: Array, top: int) -> Array:
    """Return the sum of shares (m,) for each bar, (2 DECADES + 1,): λ < 0, λ near 0, λ > 0.

    Parameters
    ----------
    values, shares : array (m,)
        Eigenvalues and their shares.
    top : int
        10^top is the lower end of the outermost bars.
    """
    with np.errstate(divide="ignore"):
        decade = np.floor(np.log10(np.abs(values))) - (top - DECADES)
    bars = DECADES + np.sign(values) * np.clip(decade, 0, DECADES)
    return np.bincount(bars.astype(int), weights=shares, minlength=2 * DECADES + 1)


def spectrum_svg(spectrum: tuple[Array, Array], gradient: tuple[Array, Array]) -> str:
    """Return the picture: for each decade of λ the share of eigenvalues, and that of ‖g‖².

    Parameters
    ----------
    spectrum, gradient : pair of arrays (m,)
        Eigenvalues, or nodes, and their shares; those of the gradient in a basis of its own.
    """
    largest = max(float(np.max(np.abs(values))) for values, _ in (spectrum, gradient))
    top = int(np.floor(np.log10(largest))) if largest > 0.0 else 0
    heights = [by_decade(values, shares, top) for values, shares in (spectrum, gradient)]
    step = (WIDTH - 2 * MARGIN) / (2 * DECADES + 1)
    said = "; ".join(_said(name, row, top) for (name, _), row in zip(SERIES, heights, strict=True))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="10">',
        f"<title>{escape(said)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for series, ((name, colour), row) in enumerate(zip(SERIES, heights, strict=True)):
        parts.append(
            f'<text x="{MARGIN + 170 * series}" y="12" fill="{colour}" font-weight="bold">'
            f"share of {name}</text>"
        )
        for bar in np.flatnonzero(row > LEAST).tolist():
            height = max(2.0, 90.0 * row[bar])
            x = MARGIN + step * (bar + 0.12 + 0.38 * series)
            parts.append(
                f'<rect x="{x:.1f}" y="{BASE - height:.1f}" width="{0.36 * step:.1f}" '
                f'height="{height:.1f}" fill="{colour}"><title>{row[bar]:.2%} of {name}, λ '
                f"{_label(bar, top)}</title></rect>"
            )
    parts.append(f'<path d="M0 {BASE}H{WIDTH}" stroke="black" stroke-width="0.8"/>')
    for bar in range(0, 2 * DECADES + 1, 2):
        x = MARGIN + step * (bar + 0.5)
        parts.append(
            f'<text x="{x:.1f}" y="{BASE + 14}" fill="black" text-anchor="middle">'
            f"{_label(bar, top)}</text>"
        )
    parts.append(
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 6}" fill="black" text-anchor="middle">'
        "eigenvalue λ, one pair of bars for each decade</text></svg>"
    )
    return "".join(parts)


def _label(bar: int, top: int) -> str:
    """Return where a bar begins."""
    if bar == DECADES:
        return "≈ 0"
    sign = "−" if bar < DECADES else ""
    return f"{sign}1e{top - DECADES + abs(bar - DECADES)}"


def _said(name: str, row: Sequence[float], top: int) -> str:
    most = int(np.argmax(row))
    return f"{row[most]:.0%} of {name} at λ {_label(most, top)}"
