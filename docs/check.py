"""Check a built book: no broken link, nothing loaded from elsewhere, an alt text for each image."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADS = {
    ("script", "src"),
    ("img", "src"),
    ("link", "href"),
    ("iframe", "src"),
    ("source", "src"),
    ("source", "srcset"),
    ("video", "src"),
    ("audio", "src"),
    ("embed", "src"),
    ("object", "data"),
}
"""What a browser fetches without being asked."""
SHORTEST_ALT = 15
"""An alt text of fewer characters describes no figure (chosen by us)."""


class Page(HTMLParser):
    """What one page loads, links to, shows and can be linked to at."""

    def __init__(self, text: str):
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.images: list[tuple[str, str]] = []
        self.lettered = False
        self.feed(text)
        self.loads += re.findall(r"url\(['\"]?([^'\")]+)", text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag's id, link and what it loads."""
        given = {name: value or "" for name, value in attrs}
        self.ids.update(given[name] for name in ("id", "name") if name in given)
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        self.lettered |= tag == "ol" and "upperalpha" in given.get("class", "")
        if tag == "img":
            self.images.append((given.get("src", ""), given.get("alt", "")))
        self.loads += [given[name] for name in given if (tag, name) in LOADS]


def problems(folder: Path) -> Iterator[str]:
    """Yield what is wrong in the built book in a folder, one line for each."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in folder.rglob("*.html")}
    if not pages:
        yield f"{folder}: no page"
    for path, page in pages.items():
        name = path.relative_to(folder)
        if page.lettered:
            yield f"{name}: an initial or a symbol with a full stop has become a list: A., B., C."
        for target in page.loads:
            if urlsplit(target).scheme != "data":
                yield from _missing(f"{name} loads", path, target, pages, elsewhere=False)
        for target in page.links:
            yield from _missing(f"{name} links to", path, target, pages, elsewhere=True)
        for source, alt in page.images:
            if len(alt) < SHORTEST_ALT or alt in source:
                yield f"{name}: image {source} has no alt text, only {alt!r}"
    for path in folder.rglob("*.css"):
        text = path.read_text(encoding="utf-8")
        for target in re.findall(r"(?:url\(|@import )['\"]?([^'\")]+)", text):
            if urlsplit(target).scheme != "data":
                name = path.relative_to(folder)
                yield from _missing(f"{name} loads", path, target, pages, elsewhere=False)


def _missing(
    what: str, path: Path, target: str, pages: dict[Path, Page], *, elsewhere: bool
) -> Iterator[str]:
    """Yield what is wrong with a target that the file at ``path`` names."""
    url = urlsplit(target)
    if url.scheme or url.netloc:
        if not elsewhere:
            yield f"{what} {target}, which is elsewhere"
        return
    file = (path.parent / unquote(url.path)).resolve() if url.path else path
    if not file.is_file():
        yield f"{what} {target}, which does not exist"
    elif url.fragment and file in pages and unquote(url.fragment) not in pages[file].ids:
        yield f"{what} {target}, a page without such a place"


def main(folder: Path) -> int:
    """Print the problems of a book; return 1 if there are any."""
    folder = folder.resolve()
    found = list(problems(folder))
    print("\n".join(found) or f"{folder / 'index.html'}: links, images and alt texts are right")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
