"""Every number that the papers print, beside ours."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..checks import one_of
from ..runner import archive, paths
from ..runner.experiment import Experiment, MissingResultsError
from ..runner.results import VERDICTS, Measured, Results
from ..runner.store import Store
from ..statistics import LEVEL, Comparison
from .registry import REGISTRY
from .statements import Statements

NOT_YET = "not measured yet"
"""The verdict on a claim without a measurement."""

WINGS = {
    "frye_2019": "Frye et al. 2019",
    "frye_2021": "Frye et al. 2021",
    "sankar_2018": "Sankar & Balasubramanian 2018",
    "cooper_2020": "Cooper 2020",
}
"""The papers, by their folders."""

FORMATS = ("table", "markdown", "json")


@dataclass(frozen=True)
class Claim:
    """One quantitative statement of a paper with our measurement of it.

    Attributes
    ----------
    id : str
    source : str
        Paper and place.
    statement : str
    printed : str
        What the paper prints.
    measured : number, str, list or None
    interval : (float, float) or None
        Of the measured value.
    scale : {"paper", "quick"} or None
        The profile of the results that it was measured on.
    verdict : str
        One of ``VERDICTS``, or "not measured yet".
    why : str
        The reason of the verdict; empty is an error of ours.
    power : str
        What would have been seen.
    comparisons : dict
        Name to comparison, one for each number that a rule compares.
    changes : (bool, bool)
        Whether the verdict would be another with half, and with twice our sample.
    """

    id: str
    source: str
    statement: str
    printed: str
    measured: Any = None
    interval: tuple[float, float] | None = None
    scale: str | None = None
    verdict: str = NOT_YET
    why: str = ""
    power: str = ""
    comparisons: Mapping[str, Comparison] = field(default_factory=dict)
    changes: tuple[bool, ...] = (False, False)

    @property
    def paper(self) -> str:
        """The paper that states it."""
        return next(paper for paper in WINGS.values() if self.source.startswith(paper))


def stored_claims(
    kind: type[Experiment], store: Store | None = None
) -> tuple[str, dict[str, Measured]] | None:
    """Return the scale of an experiment's stored results, the paper's if it is there, and what
    they say; None if there are none.
    """
    for scale in ("paper", "quick"):
        experiment = kind.from_profile(scale)
        with suppress(MissingResultsError):
            results = experiment.load(archive=scale == "paper", store=store)
            return scale, experiment.claims(results, store)
    return None


def printed() -> dict[str, dict[str, Any]]:
    """Return what the papers print, by the ids of the wings' ``claims.toml``."""
    return {id: entry for wing in WINGS for id, entry in Statements(wing).printed.items()}


def claims(store: Store | None = None) -> list[Claim]:
    """Return every claim, measured where results are stored; nothing is computed.

    Parameters
    ----------
    store : Store, optional
        By default the one that AUTOCRIT_LITE_RESULTS and the checkout name.
    """
    found = {name: stored_claims(kind, store) for name, kind in REGISTRY.items()}
    return [_claim(id, entry, found.get(entry["experiment"])) for id, entry in printed().items()]


def archived() -> list[Claim]:
    """Return every claim, measured on the archive that the checkout ships."""
    folder = paths.checkout() / "data" / "archive"
    return claims(Store(folder / "nothing", folder))


def update(path: Path) -> None:
    """Write what the shipped archive says into a Markdown file, between its marks.

    Between the lines ``<!-- claims… -->`` and ``<!-- end of claims -->`` go the counts of verdicts,
    between those of "times" how long the archived results took. A file has one pair or both.

    Raises
    ------
    ValueError
        If the file has neither pair, or one that is not whole or there twice.
    """
    text = path.read_text(encoding="utf-8")
    folder = paths.checkout() / "data" / "archive"
    tables = {"claims": lambda: scorecard(archived()), "times": lambda: times_table(folder)}
    found = {}
    for name in tables:
        marks = [len(re.findall(rf"<!-- {end}{name}\b", text)) for end in ("", "end of ")]
        if marks == [0, 0]:
            continue
        found[name] = re.compile(rf"(<!-- {name}\b[^\n]* -->\n).*?(<!-- end of {name} -->)", re.S)
        if marks != [1, 1] or not found[name].search(text):
            raise ValueError(
                f"{path} must hold one <!-- {name} --> and then one <!-- end of {name} -->"
            )
    if not found:
        raise ValueError(
            f"{path} has no marks: <!-- claims --> and <!-- end of claims -->, or times"
        )
    for name, place in found.items():
        between = tables[name]().replace("\\", r"\\")
        text = place.sub(rf"\1{between}\n\2", text)
    path.write_text(text, encoding="utf-8")


def times_table(folder: Path) -> str:
    """Return how long the archived results took to compute, as a Markdown table."""
    rows = []
    for name in REGISTRY:
        headers = [r.header for _, part in archive.parts(folder, name) for r in part.values()]
        if headers:
            minutes = sum(header["seconds"] for header in headers) / 60.0
            rows.append([f"`{name}`", str(len(headers)), f"{minutes:.3g}"])
    return markdown_table(["experiment", "tasks", "minutes of one core"], rows)


def measured_by(experiment: Experiment, results: Results) -> list[Claim]:
    """Return the claims that an experiment's results measure, as they are printed in the papers."""
    found = experiment.scale, experiment.claims(results)
    return [_claim(id, entry, found) for id, entry in printed().items() if id in found[1]]


def _claim(id: str, entry: dict[str, Any], found: tuple[str, dict[str, Measured]] | None) -> Claim:
    """Join what the paper prints with what was measured."""
    claim = Claim(id, entry["source"], entry["statement"], entry["printed"])
    if "verdict" in entry:  # settled without an experiment
        settled = {name: entry[name] for name in ("verdict", "why", "power")}
        return replace(claim, **settled)
    if found is None:
        return replace(claim, why=f"no stored result of {entry['experiment']} yet")
    scale, own = found
    if id not in own:
        return claim
    measured = {item.name: getattr(own[id], item.name) for item in fields(Measured)}
    return replace(claim, measured=measured.pop("value"), scale=scale, **measured)


def counts(ledger: Sequence[Claim]) -> dict[str, dict[str, int]]:
    """Return how many claims of each paper have each verdict, by the papers and the verdicts."""
    found = {paper: dict.fromkeys((*VERDICTS, NOT_YET), 0) for paper in WINGS.values()}
    for claim in ledger:
        found[claim.paper][claim.verdict] += 1
    return found


def scorecard(ledger: Sequence[Claim]) -> str:
    """Return a line for each paper with its counts by verdict, as a Markdown list."""
    lines = []
    for paper, found in counts(ledger).items():
        each = ", ".join(f"{count} {verdict}" for verdict, count in found.items() if count)
        lines.append(f"- {paper}: {sum(found.values())} claims, {each}")
    return "\n".join(lines)


def stability(ledger: Sequence[Claim]) -> dict[str, Any]:
    """Return what is to be said of so many verdicts together, by name.

    ``half`` and ``double`` name the claims whose verdict would be another with half, and with
    twice our sample. These are not drawn: the value is kept, and its standard error scaled as 1/√n.
    ``tests`` counts the comparisons that call two samples of one law different with probability
    ``LEVEL`` at most, ``expected`` how often that is expected if no number differs.
    """
    tested = [c for c in ledger if c.comparisons and c.verdict in ("reproduced", "differs")]
    rules = [test.rule for claim in tested for test in claim.comparisons.values()]
    tests = sum(rule in ("shares", "means", "resampled", "ratios") for rule in rules)
    half, double = ([claim.id for claim in tested if claim.changes[k]] for k in range(2))
    return {
        "claims": len(ledger),
        "tested": len(tested),
        "half": half,
        "double": double,
        "tests": tests,
        "expected": LEVEL * tests,
    }


def render(ledger: Sequence[Claim], style: str = "table") -> str:
    """Return the claims as a text table, as Markdown or as JSON.

    Raises
    ------
    ValueError
        If ``style`` is not one of the three.
    """
    one_of("format", style, FORMATS)
    if style == "json":
        listed = [_plain(asdict(claim)) for claim in ledger]
        return json.dumps(listed, indent=1, ensure_ascii=False, allow_nan=False)
    names = [
        "id",
        "source",
        "statement",
        "printed",
        "measured",
        "interval",
        "scale",
        "verdict",
        "why",
        "power",
    ]
    if style == "table":  # as wide as a terminal may be
        names = [name for name in names if name not in ("source", "why", "power")]
    rows = [[as_text(getattr(claim, name)) for name in names] for claim in ledger]
    return (text_table if style == "table" else markdown_table)(names, rows)


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: without NumPy's types, and null for what is not finite."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(part) for part in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def as_text(value: Any) -> str:
    """Return a measured value, an interval or None as a table shows it."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (tuple, list)):
        return ", ".join(as_text(part) for part in value)
    return str(value)


def markdown_table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows of texts as a Markdown table."""
    cells = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [names, ["---"] * len(names), *cells])


def text_table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows of texts in columns under their names."""
    lines = [list(names), *(list(row) for row in rows)]
    widths = [max(len(row[i]) for row in lines) for i in range(len(names))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in lines
    )
