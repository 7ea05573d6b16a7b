"""Every number that the papers print, beside ours."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..checks import one_of
from ..runner import archive, paths
from ..runner.experiment import Experiment, MissingResultsError
from ..runner.results import Measured
from ..runner.store import Store
from .registry import REGISTRY

NOT_YET = "not measured yet"
"""The verdict on a claim without a measurement."""

WINGS = ("frye_2019", "frye_2021", "sankar_2018", "cooper_2020")

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
        "reproduced", "differs", "corrected", "not possible here", or "not measured yet".
    why : str
        The reason of the verdict; empty is an error of ours.
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


def printed() -> dict[str, dict[str, str]]:
    """Return what the papers print, by the ids of the wings' ``claims.toml``."""
    tables = [files(__package__).joinpath(wing, "claims.toml") for wing in WINGS]
    found = [tomllib.loads(table.read_text("utf-8")) for table in tables]
    return {id: entry for table in found for id, entry in table.items()}


def claims(store: Store | None = None) -> list[Claim]:
    """Return every claim, measured where results are stored; nothing is computed.

    Parameters
    ----------
    store : Store, optional
        By default the one that AUTOCRIT_LITE_RESULTS and the checkout name.
    """
    found = {name: stored_claims(kind, store) for name, kind in REGISTRY.items()}
    return [_claim(id, entry, found.get(entry["experiment"])) for id, entry in printed().items()]


def update(path: Path) -> None:
    """Write what the shipped archive says into a Markdown file: the claims, and its times.

    Each table goes between lines like ``<!-- claims… -->`` and ``<!-- end of claims -->``; the
    other's name is "times".

    Raises
    ------
    ValueError
        If the file does not have these lines.
    """
    text = path.read_text(encoding="utf-8")
    places = {
        name: re.compile(rf"(<!-- {name}[^\n]* -->\n).*?(<!-- end of {name} -->)", flags=re.S)
        for name in ("claims", "times")
    }
    for name, place in places.items():
        if len(place.findall(text)) != 1:
            raise ValueError(f"{path} must hold one <!-- {name} --> and one <!-- end of {name} -->")
    folder = paths.checkout() / "data" / "archive"
    tables = {
        "claims": render(claims(Store(folder / "nothing", folder)), "markdown"),
        "times": times_table(folder),
    }
    for name, place in places.items():
        between = tables[name].replace("\\", r"\\")
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


def _claim(id: str, entry: dict[str, str], found: tuple[str, dict[str, Measured]] | None) -> Claim:
    """Join what the paper prints with what was measured."""
    claim = Claim(id, entry["source"], entry["statement"], entry["printed"])
    if "verdict" in entry:  # settled without an experiment
        return replace(claim, verdict=entry["verdict"], why=entry["why"])
    if found is None:
        return replace(claim, why=f"no stored result of {entry['experiment']} yet")
    scale, own = found
    if id not in own:
        return claim
    m = own[id]
    return replace(
        claim, measured=m.value, interval=m.interval, scale=scale, verdict=m.verdict, why=m.why
    )


def render(ledger: Sequence[Claim], style: str = "table") -> str:
    """Return the claims as a text table, as Markdown or as JSON.

    Raises
    ------
    ValueError
        If ``style`` is not one of the three.
    """
    one_of("format", style, FORMATS)
    if style == "json":
        return json.dumps([asdict(claim) for claim in ledger], indent=1, ensure_ascii=False)
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
    ]
    if style == "table":
        names.remove("source")
    rows = [[_text(getattr(claim, name)) for name in names] for claim in ledger]
    return (text_table if style == "table" else markdown_table)(names, rows)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (tuple, list)):
        return ", ".join(_text(part) for part in value)
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
