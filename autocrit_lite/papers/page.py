"""The claims as a page: a table to sort and filter, and a picture of printed beside measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from io import StringIO
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import plotting
from ..runner.experiment import Experiment
from ..runner.results import Results
from ..statistics import LEVEL, POWER, Comparison
from .claims import NOT_YET, Claim, as_text, counts, measured_by, stability

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VERDICTS = {
    "reproduced": ("#009E73", "o"),
    "differs": ("#D55E00", "D"),
    "corrected": ("#56B4E9", "s"),
    "false": ("#882255", "X"),
    "not possible here": ("#767676", "v"),
    NOT_YET: ("#767676", "^"),
}
"""Colour and marker of each."""

NOTHING = "No number that the paper prints is about these settings."
"""In place of a table without rows, as with a reader's own data."""


def scaled(compared: Comparison) -> tuple[float, float, float, float, float]:
    """Return value, its interval and what is accepted, in accepted differences from the printed.

    What is compared by its ratio is scaled on a logarithm. Where one value alone is accepted, the
    unit is the smallest difference that would have been seen.
    """
    numbers = np.array([compared.value, *compared.interval, *compared.accepted])
    origin = compared.printed
    if compared.rule in ("about", "ratios"):
        numbers, origin = np.log(numbers), np.log(origin)
    moved = numbers - origin
    widths = np.abs(moved[3:][np.isfinite(moved[3:])])
    unit = widths.max() if len(widths) and widths.max() > 1e-300 else compared.smallest or 1.0
    value, low, high, least, most = np.clip(moved / unit, -plotting.FARTHEST, plotting.FARTHEST)
    return value, low, high, least, most


def _figure(ledger: Sequence[Claim]) -> Figure:
    """Return a figure with a row for each number that a rule compares."""
    import matplotlib.pyplot as plt

    rows = [(claim, *pair) for claim in ledger for pair in claim.comparisons.items()]
    with plotting.style():
        figure, ax = plt.subplots(figsize=(8.0, 1.3 + 0.19 * len(rows)))
        plotting.comparisons(
            ax,
            np.array([scaled(compared) for _, _, compared in rows]).reshape(-1, 5),
            [f"{claim.id} {name}".strip() for claim, name, _ in rows],
            [f"{as_text(c.printed)} → {as_text(c.value)}" for _, _, c in rows],
            [claim.verdict for claim, _, _ in rows],
            VERDICTS,
        )
    return figure


def picture(ledger: Sequence[Claim]) -> str:
    """Return the picture as SVG: a row for each number that a rule compares; "" without any."""
    import matplotlib.pyplot as plt

    if not any(claim.comparisons for claim in ledger):
        return ""
    text = StringIO()
    with plotting.style(), plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "claims"}):
        figure = _figure(ledger)
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
        plt.close(figure)
    svg = text.getvalue()
    return svg[svg.index("<svg") :]


def fragment(ledger: Sequence[Claim]) -> str:
    """Return the table, the picture and what is said of both, as HTML without its page."""
    template = Template(files(__package__).joinpath("claims.html").read_text("utf-8"))
    sums = stability(ledger)
    tested = max(sums["tested"], 1)
    changes = {
        name: f"{len(sums[name])} of them ({len(sums[name]) / tested:.0%}) would be others: "
        f"{', '.join(sums[name]) or 'none'}"
        for name in ("half", "double")
    }
    return template.substitute(
        sums | changes,
        expected=f"{sums['expected']:.1f}",
        level=f"{LEVEL:.0%}",
        power=f"{POWER:.0%}",
        scorecard="".join(_score(*item) for item in counts(ledger).items()),
        verdicts=_options(VERDICTS),
        heads="".join(f"<td>{verdict}</td>" for verdict in VERDICTS),
        papers=_options(counts(ledger)),
        colors="".join(
            f'.claims [data-verdict="{verdict}"] .verdict {{ border-color: {color} }}\n'
            for verdict, (color, _) in VERDICTS.items()
        ),
        rows="\n".join(_row(claim) for claim in ledger),
        picture=picture(ledger),
    )


def page(ledger: Sequence[Claim]) -> str:
    """Return the whole page, which needs nothing else to be read."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<title>Claims: printed numbers beside ours</title>\n"
        "<style>body { font-family: system-ui, sans-serif; margin: 1rem auto; max-width: 75rem; "
        "padding: 0 0.8rem; line-height: 1.45 }</style>\n</head>\n<body>\n"
        f"<h1>Every printed number beside ours</h1>\n{fragment(ledger)}</body>\n</html>\n"
    )


def _options(names: Iterable[str]) -> str:
    return "".join(f"<option>{escape(name)}</option>" for name in names)


def _score(paper: str, found: dict[str, int]) -> str:
    cells = "".join(f"<td>{count or ''}</td>" for count in found.values())
    return f"<tr><th>{escape(paper)}</th>{cells}</tr>"


def _why(claim: Claim) -> str:
    power = f"<p>{escape(claim.power)}</p>" if claim.power else ""
    return f"<details><summary>why</summary><p>{escape(claim.why)}</p>{power}</details>"


def _row(claim: Claim) -> str:
    """Return a claim's row of the table; the why is folded."""
    interval = " to ".join(as_text(end) for end in claim.interval or ())
    quick = "" if claim.scale in ("paper", None) else f" ({claim.scale})"
    cells = {
        "claim": f"<code>{claim.id}</code>",
        "statement": f"{escape(claim.statement)}<small>{escape(claim.source)}</small>",
        "printed": escape(claim.printed),
        "measured": escape(as_text(claim.measured)) + quick,
        "interval": interval,
        "verdict": f'<span class="verdict">{claim.verdict}</span>',
        "why": _why(claim),
    }
    data = f'data-verdict="{claim.verdict}" data-paper="{escape(claim.paper)}"'
    inner = "".join(f'<td data-name="{name}">{cell}</td>' for name, cell in cells.items())
    return f'<tr id="{claim.id}" {data}>{inner}</tr>'


@dataclass(frozen=True, repr=False)
class Beside:
    """The printed numbers that an experiment measures, beside its own: a notebook's table.

    Attributes
    ----------
    ledger : list of Claim
    """

    ledger: list[Claim]

    def frame(self) -> pd.DataFrame:
        """Return statement, printed and measured number, interval and verdict, by claim."""
        rows = {
            claim.id: {
                "statement": claim.statement,
                "paper": claim.printed,
                "here": as_text(claim.measured),
                "interval": " to ".join(as_text(end) for end in claim.interval or ()),
                "verdict": claim.verdict,
            }
            for claim in self.ledger
        }
        columns = ["statement", "paper", "here", "interval", "verdict"]
        return pd.DataFrame.from_dict(rows, orient="index").reindex(columns=columns)

    def _repr_html_(self) -> str:
        if not self.ledger:
            return f"<p>{NOTHING}</p>"
        table = self.frame().map(escape)
        table["why"] = [_why(claim) for claim in self.ledger]
        left: Any = [{"selector": "td, th", "props": "text-align: left; vertical-align: top"}]
        styled = table.style.set_uuid("beside").set_table_styles(left)
        return styled.map(lambda kind: f"color: {VERDICTS[kind][0]}", subset=["verdict"]).to_html()

    def __str__(self) -> str:
        """Return the verdicts, each with its claims: the part that holds on every machine."""
        found = {kind: [c.id for c in self.ledger if c.verdict == kind] for kind in VERDICTS}
        lines = [f"{kind}: {', '.join(ids)}" for kind, ids in found.items() if ids]
        return "\n".join(lines) or NOTHING

    __repr__ = __str__

    def picture(self) -> Figure:
        """Return a figure with a row for each number that a rule compares."""
        return _figure(self.ledger)


def beside(experiment: Experiment, results: Results) -> Beside:
    """Return the printed numbers of an experiment beside those of its results.

    Parameters
    ----------
    experiment : Experiment
    results : Results
        Of that experiment.

    Returns
    -------
    Beside
        Shown as a table in a notebook; ``print`` gives the verdicts alone.
    """
    return Beside(measured_by(experiment, results))
