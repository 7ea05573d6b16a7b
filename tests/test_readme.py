"""What the README shows runs, links to what exists, and is not stale."""

import re
from pathlib import Path

import pytest

from autocrit_lite import claims

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.S)


@pytest.mark.parametrize("example", EXAMPLES, ids=["own function", "solver"])
def test_examples_run(example, capsys):
    exec(compile(example, "README.md", "exec"), {})
    assert capsys.readouterr().out


def test_the_solver_example_prints_what_its_comment_says(capsys):
    exec(compile(EXAMPLES[1], "README.md", "exec"), {})
    x = [float(n) for n in re.findall(r"-?\d+\.\d*(?:e-?\d+)?", capsys.readouterr().out)[:3]]
    assert x == pytest.approx([1.0, -3.0, 0.0], abs=1e-12)


def test_links_to_files_are_not_broken():
    targets = re.findall(r"\]\((?!https?://)([^)]+)\)", README)
    assert len(targets) > 3
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_every_notebook_is_listed():
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"(notebooks/{notebook.name})" in README


def test_the_claims_table_is_what_the_archive_says(tmp_path):
    copy = tmp_path / "README.md"
    copy.write_text(README, encoding="utf-8")
    claims.update(copy)
    assert copy.read_text(encoding="utf-8") == README, (
        "run `autocrit-lite claims --update README.md`"
    )


def test_a_file_without_marks_is_refused(tmp_path):
    file = tmp_path / "plain.md"
    file.write_text("no marks", encoding="utf-8")
    with pytest.raises(ValueError, match="end of claims"):
        claims.update(file)
    assert file.read_text(encoding="utf-8") == "no marks"
