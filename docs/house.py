"""Draw the house from the code: its floors, the rooms on each, and what each room uses.

``python docs/house.py`` writes the picture into CONTRIBUTING.md, between its marks. The floors are
those of the contract in pyproject.toml, the arrows the imports that are in the files.
"""

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "autocrit_lite"
PLACE = re.compile(r"(<!-- house[^\n]*-->\n).*?(<!-- end of house -->)", flags=re.S)
WIDTH = 96


def floors():
    """Return the rooms of each floor, the top one first, as the contract has them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    (layers,) = (c["layers"] for c in contracts["contracts"] if c["id"] == "floors")
    return [re.split(r"\s*[|:]\s*", layer) for layer in layers]


def files(room):
    """Return the files of a room, a module or a folder."""
    return sorted((PACKAGE / room).rglob("*.py")) or [PACKAGE / f"{room}.py"]


def uses(room):
    """Return the other rooms that a room imports from."""
    found = set()
    for file in files(room):
        package = file.relative_to(PACKAGE).parent.parts
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = package[: len(package) - node.level + 1]
                names = [node.module] if node.module else [alias.name for alias in node.names]
                found |= {".".join([*base, name]).split(".")[0] for name in names}
    return found - {room, "__version__"}


def modules(room):
    """Return the names of a folder's modules."""
    inside = sorted((PACKAGE / room).glob("*.py"))
    return [path.stem for path in inside if path.stem != "__init__"]


def wrapped(words, indent):
    """Return words as lines of at most WIDTH characters."""
    lines = [indent]
    for word in words:
        if len(lines[-1]) + len(word) + 1 > WIDTH:
            lines.append(indent)
        lines[-1] += word + " "
    return [line.rstrip() for line in lines]


def picture():
    """Return the house as text, a floor a paragraph, the roof first."""
    lines = []
    storeys = floors()
    for number, rooms in zip(range(len(storeys), 0, -1), storeys, strict=True):
        lines.append(f"{number} ".ljust(WIDTH, "─"))
        for room in rooms:
            below = [r for storey in storeys for r in storey if r in uses(room)]
            lines += wrapped([f"{room}:" if modules(room) else room, *modules(room)], "  ")
            for wing in sorted(p.name for p in (PACKAGE / room).glob("[a-z]*/")):
                lines += wrapped([f"{wing}:", *modules(f"{room}/{wing}")], "      ")
            if below:
                lines += wrapped(["uses", *below], "      ")
    return "\n".join(lines)


def updated(text):
    """Return the text with the picture between its marks."""
    drawn = picture()
    return PLACE.sub(lambda m: f"{m[1]}```text\n{drawn}\n```\n{m[2]}", text)


def main():
    """Write the picture into CONTRIBUTING.md."""
    path = ROOT / "CONTRIBUTING.md"
    path.write_text(updated(path.read_text("utf-8")), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
