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
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.S)


@pytest.mark.parametrize("example", EXAMPLES, ids=["own function", "network", "proof", "solver"])
def test_examples_run(example, capsys):
    exec(compile(example, "README.md", "exec"), {})
    assert capsys.readouterr().out


def test_the_example_of_ones_own_function_says_what_it_found(capsys):
    exec(compile(EXAMPLES[0], "README.md", "exec"), {})
    said = capsys.readouterr().out
    assert "approximately critical" in said
    assert 0.0 <= float(re.search(r"^index +([\d.]+): ", said, re.M)[1]) <= 1.0


def test_the_example_of_a_proof_proves_something(capsys):
    exec(compile(EXAMPLES[2], "README.md", "exec"), {})
    there, nothing = capsys.readouterr().out.strip().split("\n")
    assert there.startswith("Proven: within")
    assert "index 0" in there
    assert nothing.startswith("Proven: no critical point")


def test_the_solver_example_prints_what_its_comment_says(capsys):
    exec(compile(EXAMPLES[3], "README.md", "exec"), {})
    x = [float(n) for n in re.findall(r"-?\d+\.\d*(?:e-?\d+)?", capsys.readouterr().out)[:3]]
    assert x == pytest.approx([1.0, -3.0, 0.0], abs=1e-12)


def test_links_to_files_are_not_broken():
    targets = re.findall(r"\]\((?!https?://)([^)]+)\)", README)
    targets += re.findall(r'<img src="([^"]+)"', README)
    assert len(targets) > 10
    assert [target for target in targets if not (ROOT / target).exists()] == []


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
    section = README.split("## Symbols and names")[1].split("\n## ")[0]
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
    bibtex = re.search(r"```bibtex\n(.*?)```", README, re.S)[1]
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
    copy = tmp_path / "README.md"
    copy.write_text(README, encoding="utf-8")
    claims.update(copy)
    assert copy.read_text(encoding="utf-8") == README, (
        "run `autocrit-lite claims --update README.md`"
    )


def test_times_are_those_of_the_headers():
    table = claims.times_table(ROOT / "data" / "archive")
    rows = dict(re.findall(r"\| `(\w+)` \| (\d+) \|", table))
    experiments = {path.name for path in (ROOT / "data" / "archive").iterdir() if path.is_dir()}
    assert set(rows) == experiments
    assert int(rows["quartic"]) == 5


def test_a_file_without_marks_is_refused(tmp_path):
    file = tmp_path / "plain.md"
    file.write_text("no marks", encoding="utf-8")
    with pytest.raises(ValueError, match="end of claims"):
        claims.update(file)
    assert file.read_text(encoding="utf-8") == "no marks"
