"""Lay out the sources of the book in a folder: pages, notebooks, figures, and what is generated.

The notebooks are shown as they are committed, never executed. Each figure gets its alt text from
``figures.toml``. Three pages are written by the package itself: the claims, what the command takes,
and the settings of the experiments with their sources.
"""

from __future__ import annotations

import argparse
import inspect
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import nbformat

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff")
MATHJAX = ("tex-svg.js", "a11y", "sre")
"""What of MathJax a page may load: the formulas, and what makes them heard."""
SAVED = re.compile(r"plotting\.save\(\s*\w+,\s*\"(\w+)\"")
"""How a cell of a notebook names the figure that it shows."""


def alt_texts() -> dict[str, str]:
    """Return the alt texts by the names of the figures."""
    return tomllib.loads((DOCS / "figures.toml").read_text(encoding="utf-8"))


def figures_of(notebook: nbformat.NotebookNode) -> Iterator[tuple[nbformat.NotebookNode, str]]:
    """Yield each cell that shows a figure, with the name under which it saves the figure.

    Raises
    ------
    ValueError
        If a cell shows other than one figure that it saves: an alt text belongs to one name.
    """
    for number, cell in enumerate(notebook.cells):
        images = [o for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
        names = SAVED.findall(cell.source)
        if images and len(names) == len(images) == 1:
            yield cell, names[0]
        elif images:
            raise ValueError(
                f"cell {number} shows {len(images)} figures and saves {names}: give each figure a "
                'cell of its own, with plotting.save(figure, "NAME", ...)'
            )


def with_alt_texts(path: Path) -> str:
    """Return a notebook, as text, whose figures have their alt texts.

    Raises
    ------
    ValueError
        If a figure has none.
    """
    notebook, texts = nbformat.read(path, as_version=4), alt_texts()
    for cell, name in figures_of(notebook):
        if name not in texts:
            raise ValueError(f"{path.name}: no alt text for {name}: add one to docs/figures.toml")
        cell.metadata["mystnb"] = {"image": {"alt": texts[name]}}
    return nbformat.writes(notebook)


def command_page() -> str:
    """Return the page on the command: the help of each of its verbs, as wide as COLUMNS says."""
    from autocrit_lite import cli

    parser = cli.build_parser()
    (verbs,) = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    parts = ["# The command", f"```text\n{parser.format_help()}```"]
    for name, verb in verbs.choices.items():
        parts += [f"## autocrit-lite {name}", f"```text\n{verb.format_help()}```"]
    return "\n\n".join(parts) + "\n"


def experiments_page() -> str:
    """Return the page on the experiments: what each is, and its settings with their sources."""
    from autocrit_lite.papers.registry import REGISTRY
    from autocrit_lite.runner import paths

    notebooks = paths.notebooks()
    parts = [
        "# Experiments and their settings",
        "Every number that decides a result: at the paper's scale, in the small version where that "
        "differs, and its source. `autocrit-lite run NAME` computes an experiment, `-p SETTING "
        "VALUE` changes a setting. How they are written is in [the package](api/results.rst).",
    ]
    for name, kind in REGISTRY.items():
        paper, quick = (kind.from_profile(profile).settings() for profile in ("paper", "quick"))
        parts += [f"## {name}", inspect.cleandoc(kind.__doc__ or "").replace("``", "`")]
        if name in notebooks:
            file = notebooks[name].name
            parts.append(
                f"Shown in the notebook [{file.removesuffix('.ipynb')}](notebooks/{file})."
            )
        changed = quick["value"].where(quick["value"] != paper["value"], "")
        rows = [
            f"| `{setting}` | {_code(row['value'])} | {_code(changed[setting])} | {row['source']} |"
            for setting, row in paper.iterrows()
        ]
        head = ["| setting | paper | quick | source |", "|---|---|---|---|"]
        parts.append("\n".join([*head, *rows]))
    return "\n\n".join(parts) + "\n"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def links(text: str) -> str:
    """Return a page whose links are right in the book: pages and folders lie side by side there.

    The code and the archive are not in the book: what linked to them is text.
    """
    text = re.sub(r"\[([^]]+)\]\((?:\.\./)?(?:autocrit_lite|data)/[^)]+\)", r"\1", text)
    return text.replace("](docs/", "](").replace("](../", "](")


def claims_page() -> str:
    """Return the page on the claims, measured on the archive: to sort and filter, and drawn."""
    from autocrit_lite.papers import claims, page

    text = (DOCS / "claims.md").read_text(encoding="utf-8")
    return text.split("CLAIMS")[0] + f"```{{raw}} html\n{page.fragment(claims.archived())}```\n"


def start_page() -> str:
    """Return the start page, with the notebooks' numbers and titles for the sidebar."""
    entries = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        title = nbformat.read(path, as_version=4).cells[0].source.splitlines()[0]
        short = title.removeprefix("# ").split(":")[0]
        entries.append(f"{path.stem[:2]} {short} <notebooks/{path.stem}>")
    page = (DOCS / "index.md").read_text(encoding="utf-8")
    return links(page).replace("NOTEBOOKS", "\n".join(entries))


def stage(folder: Path) -> None:
    """Write the sources of the book to a new folder."""
    shutil.copytree(
        DOCS, folder, ignore=shutil.ignore_patterns("__pycache__", "stage.py", "check.py")
    )
    shutil.copytree(ROOT / "figures", folder / "figures", ignore=shutil.ignore_patterns("*.pdf"))
    for path in [*(ROOT / name for name in PAGES), *DOCS.glob("*.md")]:
        (folder / path.name).write_text(links(path.read_text(encoding="utf-8")), encoding="utf-8")
    (folder / "notebooks").mkdir()
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        (folder / "notebooks" / path.name).write_text(with_alt_texts(path), encoding="utf-8")
    pages = {
        "index": start_page(),
        "claims": claims_page(),
        "command": command_page(),
        "experiments": experiments_page(),
    }
    for name, text in pages.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    mathjax = Path(
        str(distribution("sphinx-mathjax-offline").locate_file("sphinx-mathjax-offline"))
    )
    for part in MATHJAX:
        source, target = mathjax / "static/mathjax" / part, folder / "_static/mathjax" / part
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)


if __name__ == "__main__":
    stage(Path(sys.argv[1]))
