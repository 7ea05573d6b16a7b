"""What the README shows runs, links to what exists, and is not stale."""

import re
from dataclasses import fields
from inspect import signature
from pathlib import Path

import nbformat
import pytest
import yaml

import autocrit_lite as al
from autocrit_lite.papers import claims
from autocrit_lite.points.classes import point_class

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
CITING = (ROOT / "docs" / "citing.md").read_text(encoding="utf-8")
PAGES = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "data/README.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))


def test_it_can_be_read_at_one_sitting():
    assert len(README.encode()) <= 10 * 1024
    assert README.count("\n![") == 1  # one picture, beside the thumbnails


def test_the_example_runs_and_says_what_it_found(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README, re.S)
    exec(compile(example, "README.md", "exec"), {})
    place, index = capsys.readouterr().out.strip().rsplit("\n", 1)
    assert place.startswith("[")
    assert 0.0 <= float(index) <= 1.0


def code(text):
    """Return what a page shows as code, which holds no links."""
    return re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.S)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_to_files_are_not_broken(page):
    text = code(page.read_text(encoding="utf-8"))
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", text)
    targets += re.findall(r'<img src="([^"]+)"', text)
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert missing == []


def test_the_readme_leads_to_every_page():
    linked = set(re.findall(r"\]\((docs/[^)]+)\)", README))
    assert {f"docs/{path.name}" for path in PAGES if path.parent.name == "docs"} - linked == {
        "docs/claims.md",  # which only the book has
        "docs/index.md",
    }


def test_every_notebook_is_listed():
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"(notebooks/{notebook.name})" in README


def test_the_first_notebook_links_every_later_one():
    first, *later = sorted((ROOT / "notebooks").glob("*.ipynb"))
    cells = nbformat.read(first, as_version=4).cells
    text = "".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert [path.name for path in later if f"]({path.name})" not in text] == []
    linked = re.findall(r"\]\(([^)]+\.ipynb)\)", text)
    assert [target for target in linked if not (first.parent / target).exists()] == []


def test_symbols_name_what_exists():
    """The names in code of the table of symbols are fields, arguments or public functions."""
    section = GLOSSARY.split("## Symbols and names")[1].split("\n## ")[0]
    names = set(re.findall(r"`(?:trace|point|al|critical_points)\.([\w.]+)", section))
    names |= set(re.findall(r"`(\w+)`", section))
    known = {field.name for field in fields(al.Trace)} | {"direction", "value", "gradient"}
    known |= {"theta", "hvp", "hessian", "point_class", "ground_truth.critical_locus", *dir(al)}
    for function in (al.newton_mr, al.NetworkObjective, point_class):
        known |= set(signature(function).parameters)
    assert len(names) > 15
    assert names <= known


def test_it_cites_what_the_citation_file_does():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    bibtex = re.search(r"```bibtex\n(.*?)```", CITING, re.S)[1]
    assert f"{{{citation['version']}}}" in bibtex
    for work in citation["references"]:
        identifier = work.get("doi") or work["identifiers"][0]["value"].removeprefix("arXiv:")
        assert f"{{{identifier}}}" in bibtex
        (entry,) = [e for e in bibtex.split("\n@") if identifier in e]
        names = re.findall(r"(\w+), [A-Z]", entry.split("title")[0])
        assert names == [author["family-names"] for author in work["authors"]]


@pytest.fixture(scope="module")
def ledger():
    """The claims on the archive, which take their time."""
    return claims.archived()


def test_every_claim_on_the_archive_has_its_reason_and_what_would_have_been_seen(ledger):
    silent = {c.id: (c.why, c.power) for c in ledger if not c.why}
    assert not silent
    measured = [c for c in ledger if c.verdict != claims.NOT_YET]
    assert [c.id for c in measured if not c.power] == []


def test_the_counts_of_verdicts_are_what_the_archive_says(tmp_path, monkeypatch, ledger):
    monkeypatch.setattr(claims, "archived", lambda: ledger)
    for name, mark in (("README.md", "claims"), ("docs/paper_scale.md", "times")):
        shown = (ROOT / name).read_text(encoding="utf-8")
        assert f"<!-- {mark}: written by `autocrit-lite claims --update {name}` -->" in shown
        copy = tmp_path / "copy.md"
        copy.write_text(re.sub(r"(?m)^[-|] .*\d$", "", shown), encoding="utf-8")
        claims.update(copy)
        assert copy.read_text(encoding="utf-8") == shown, (
            f"run `autocrit-lite claims --update {name}`"
        )


def test_times_are_those_of_the_headers():
    table = claims.times_table(ROOT / "data" / "archive")
    rows = dict(re.findall(r"\| `(\w+)` \| (\d+) \|", table))
    experiments = {path.name for path in (ROOT / "data" / "archive").iterdir() if path.is_dir()}
    assert set(rows) == experiments
    assert int(rows["quartic"]) == 5


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("no marks", "has no marks"),
        ("<!-- claims -->\n", "must hold one <!-- claims -->"),
        ("<!-- end of times -->\n<!-- times -->\n", "must hold one <!-- times -->"),
        (2 * "<!-- times -->\n<!-- end of times -->\n", "must hold one <!-- times -->"),
    ],
)
def test_a_file_without_marks_is_refused(tmp_path, text, what):
    file = tmp_path / "plain.md"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=what):
        claims.update(file)
    assert file.read_text(encoding="utf-8") == text
