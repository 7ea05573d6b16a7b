"""The built book as a browser shows it: offline, in light and dark."""

import pytest

from .conftest import ROOT

BOOK = ROOT / "build" / "book" / "html"
PAGES = sorted(path.relative_to(BOOK).as_posix() for path in BOOK.rglob("*.html"))
SHOWN = (
    "index.html",
    "claims.html",
    "api/finders.html",
    "experiments.html",
    "notebooks/01_quartic.html",
)
"""Of these pages a picture is kept."""


def test_the_book_is_built():
    assert "index.html" in PAGES, "run `make book`"
    assert set(SHOWN) <= set(PAGES)


@pytest.fixture
def page(chromium):
    """Return a page that remembers what went wrong and what was asked of the network."""
    page = chromium.new_page(viewport={"width": 1400, "height": 1000})
    page.troubles = []
    page.on("pageerror", lambda error: page.troubles.append(str(error)))
    page.on("requestfailed", lambda request: page.troubles.append(f"not loaded: {request.url}"))
    page.on(
        "request",
        lambda request: (
            request.url.startswith(("file:", "data:", "blob:"))
            or page.troubles.append(f"from elsewhere: {request.url}")
        ),
    )
    yield page
    page.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_needs_no_network_and_shows_its_formulas_and_images(name, page, screenshots):
    page.goto((BOOK / name).as_uri())
    formulas = page.locator(".math")
    if formulas.count():  # MathJax puts what it has drawn in place of the source
        page.wait_for_function(
            "[...document.querySelectorAll('.math')].every(m => m.querySelector('mjx-container'))"
        )
        assert page.locator("[data-mjx-error], mjx-merror").count() == 0
    for image in page.locator("img").all():
        image.scroll_into_view_if_needed()
        assert image.evaluate("image => image.complete && image.naturalWidth") > 0
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 1400, "wider than the window"
    for scheme in ("light", "dark") if name in SHOWN else ():
        page.emulate_media(color_scheme=scheme)
        page.evaluate("window.scrollTo(0, 0)")
        page.screenshot(path=screenshots / f"book-{name.replace('/', '-')[:-5]}-{scheme}.png")
    assert page.troubles == []


def test_the_search_finds_a_finder(page):
    page.goto((BOOK / "search.html").as_uri() + "?q=newton_mr")
    page.locator("#search-results a").first.wait_for()
    assert page.troubles == []


def test_the_claims_are_filtered_and_sorted(page):
    page.goto((BOOK / "claims.html").as_uri())
    rows = page.locator(".claims .rows tbody tr:visible")
    whole = rows.count()
    page.locator(".claims select[name=verdict]").select_option("corrected")
    corrected = rows.count()
    assert 0 < corrected < whole
    page.locator(".claims select[name=paper]").select_option("Cooper 2020")
    assert 0 < rows.count() < corrected
    page.locator(".claims input").fill("no claim says this")
    assert rows.count() == 0
    page.reload()
    page.locator(".claims .rows thead button").first.click()
    names = rows.locator("code").all_inner_texts()
    assert len(names) == whole
    assert names[0].startswith("c20")
    assert names[-1].startswith("s18")
    assert page.troubles == []


@pytest.mark.parametrize("width", [1200, 400])
def test_the_claims_are_as_wide_as_the_window(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.goto((BOOK / "claims.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.querySelector('.claims .rows').scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_page(page, scheme):
    page.emulate_media(color_scheme=scheme)
    page.goto((BOOK / "notebooks/01_quartic.html").as_uri())
    text, ground = (
        page.evaluate(f"getComputedStyle(document.querySelector('{selector}')).{style}")
        for selector, style in (("article p", "color"), ("body", "backgroundColor"))
    )
    dark, light = sorted((_luminance(text), _luminance(ground)))
    assert (light + 0.05) / (dark + 0.05) > 7  # WCAG 2.2, 1.4.6
    assert (_luminance(ground) > 0.5) == (scheme == "light")


def _luminance(color):
    """Return the relative luminance of a colour such as rgb(20, 20, 20) (WCAG 2.2)."""
    parts = [int(part) / 255 for part in color.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
