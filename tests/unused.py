"""Find code that nothing uses: vulture over the package, the tests, the docs and the notebooks."""

import json
import sys
from dataclasses import fields
from pathlib import Path

from vulture import Vulture

from autocrit_lite.papers.registry import REGISTRY

ROOT = Path(__file__).resolve().parents[1]

CALLED_BY_OTHERS = ["__getattr__", "_repr_html_", "_value_"]
"""By Python, by IPython and by enum."""


def cells(path):
    """Return the code of a notebook; vulture reads Python alone."""
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in found if cell["cell_type"] == "code")


def main():
    """Print what is unused in the package; return the exit status."""
    settings = [f.name for kind in REGISTRY.values() for f in fields(kind)]  # read by their names
    search = Vulture(ignore_names=[*CALLED_BY_OTHERS, *settings])
    search.scavenge([str(ROOT / name) for name in ("autocrit_lite", "tests", "docs")])
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        search.scan(cells(path), filename=path)
    unused = [
        item
        for item in search.get_unused_code()
        if (ROOT / "autocrit_lite") in item.filename.parents
    ]
    for item in unused:
        print(item.get_report())
    return int(bool(unused))


if __name__ == "__main__":
    sys.exit(main())
