"""The texts of the reasons, and the page of the claims."""

import re
from html import escape
from html.parser import HTMLParser

import numpy as np
import pytest

from autocrit_lite.papers import claims, page, registry
from autocrit_lite.papers.claims import WINGS, Claim
from autocrit_lite.papers.statements import SEEN, Statements
from autocrit_lite.runner.results import VERDICTS
from autocrit_lite.statistics import about, found, means, never, shares, shown


@pytest.fixture
def statements():
    made = Statements("cooper_2020")
    made.printed = {
        "x": {"why": "{count} of {runs:.0f} runs.", "more": "Also {size:.1g}.", "power": "one more"}
    }
    made.texts = {"shared": "Shared.", "why": "not this"}
    return made


def test_fields_are_filled_with_what_was_measured(statements):
    (measured,) = statements.measured(
        "x", 3, True, "more", "shared", count=3, runs=5.0, size=0.02
    ).values()
    assert measured.why == "3 of 5 runs. Also 0.02. Shared."
    assert (measured.verdict, measured.power) == ("reproduced", "one more")


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"count": 3}, r"x: no number for \['runs'\], no field for \[\]"),
        ({"count": 3, "runs": 5, "size": 1}, r"x: no number for \[\], no field for \['size'\]"),
    ],
)
def test_a_missing_or_an_unused_field_is_an_error(statements, numbers, message):
    with pytest.raises(ValueError, match=message):
        statements.measured("x", 3, True, **numbers)


def test_a_field_in_capitals_is_a_constant_of_the_module(statements):
    statements.constants = {"LIMIT": 0.5, "OTHER": 1}
    statements.printed["x"]["why"] = "Below {LIMIT:g}: {count}."
    assert statements.text("x", "why", count=3) == "Below 0.5: 3."
    statements.printed["x"]["why"] = "{ABSENT}"
    with pytest.raises(KeyError, match="ABSENT"):
        statements.text("x", "why")


def test_a_text_that_is_not_there_is_an_error(statements):
    with pytest.raises(KeyError, match="absent"):
        statements.text("x", "why", "absent", count=3, runs=5)


def test_verdict_power_and_interval_come_from_the_comparison(statements):
    numbers = {"count": 23, "runs": 50}
    compared = shares(23, 50, 33, 50)
    (measured,) = statements.measured("x", compared.value, compared, **numbers).values()
    assert measured.verdict == "differs"
    assert measured.interval == compared.interval
    assert measured.power == f"Seen with probability 0.8: {compared.smallest:.2g} away; one more"
    assert measured.changes == (True, False)
    both = {"share": compared, "other": False}
    (measured,) = statements.measured("x", [1, 2], both, **numbers).values()
    assert measured.interval is None
    assert measured.changes == (False, False)  # the other number is as it is
    (measured,) = statements.measured("x", 1, both, verdict="false", **numbers).values()
    assert (measured.verdict, measured.changes) == ("false", (False, False))


def test_every_rule_says_what_it_would_have_seen():
    one = [shares(3, 9, 4, 9), means([1.0, 2.0], 1.5, 1.0, 8), about(2.0, 3.0, 2.0)]
    rules = {c.rule for c in (*one, shown(1.0, (0.5, 1.5), above=0.0), never(0, 5), found(1, 5))}
    assert rules | {"resampled", "ratios"} == SEEN.keys()


def test_every_statement_has_its_texts():
    for wing in WINGS:
        made = Statements(wing)
        for id, entry in made.printed.items():
            assert {"source", "statement", "printed", "experiment"} <= entry.keys()
            assert "why" in entry or "why" in made.texts, id
            assert entry["source"].startswith(WINGS[wing])


COMPARED = {
    "": shares(23, 50, 33, 50),
    "most": shown(0.46, (0.3, 0.6), above=0.5),
    "rough": about(20.0, 100.0, 2.0),
    "exact": means([5.0, 5.0], 5.0, 0.0, 8),
    "none": never(0, 50),
}


@pytest.fixture
def ledger():
    sources = [f"{paper}, §1" for paper in WINGS.values()]
    made = [
        Claim(f"id-{verdict[:3]}", sources[k % 4], "a < b", "1", 2.0, (1.0, 3.0), "paper", verdict)
        for k, verdict in enumerate(VERDICTS)
    ]
    first = made[0].__class__(
        **{**vars(made[0]), "comparisons": COMPARED, "changes": (True, False), "why": "x & y"}
    )
    return [first, *made[1:]]


def test_counts_and_the_scorecard(ledger):
    counts = claims.counts(ledger)
    assert sum(map(sum, (found.values() for found in counts.values()))) == len(ledger)
    assert counts["Frye et al. 2019"]["reproduced"] == 1
    assert claims.scorecard(ledger).splitlines()[0] == (
        "- Frye et al. 2019: 2 claims, 1 reproduced, 1 not possible here"
    )
    assert claims.stability(ledger) == {
        "claims": 5,
        "tested": 1,
        "half": ["id-rep"],
        "double": [],
        "tests": 2,
        "expected": pytest.approx(0.1),
    }


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_the_page_shows_every_claim_and_loads_nothing(ledger):
    text = page.page(ledger)
    tags = Tags(text).found
    rows = [attrs for tag, attrs in tags if tag == "tr" and "id" in attrs]
    assert [row["id"] for row in rows] == [claim.id for claim in ledger]
    assert [row["data-verdict"] for row in rows] == list(VERDICTS)
    assert "a &lt; b" in text
    assert "<p>x &amp; y</p>" in text
    assert "1 of them (100%) would be others: id-rep" in text
    loads = {"src", "href", "xlink:href"}
    assert all(
        attrs[name].startswith(("#", "data:")) for _, attrs in tags for name in loads & attrs.keys()
    )
    assert not re.search(r"\$[a-z]", text)
    # without JavaScript the table is whole, and the form that would do nothing is not shown
    (form,) = [k for k, (tag, _) in enumerate(tags) if tag == "form"]
    assert ".claims form { display: none" in text
    assert all("hidden" not in attrs for tag, attrs in tags[form:] if tag == "tr")


def test_without_comparisons_there_is_a_page_all_the_same(ledger):
    assert "<svg" not in page.page(ledger[1:])
    assert "<svg" in page.page(ledger)


def test_the_picture_is_the_same_whenever_it_is_drawn(ledger):
    assert page.picture(ledger) == page.picture(ledger)


def test_a_notebooks_table_has_each_claim_with_its_verdict_and_reason(ledger):
    shown = page.Beside(ledger)
    frame, html = shown.frame(), shown._repr_html_()
    assert list(frame.index) == [claim.id for claim in ledger]
    assert list(frame["verdict"]) == [claim.verdict for claim in ledger]
    listed = [name for line in str(shown).splitlines() for name in line.split(": ")[1].split(", ")]
    assert sorted(listed) == sorted(frame.index)
    for claim in ledger:
        assert f"<p>{escape(claim.why)}</p>" in html
    figure = shown.picture()
    names = [label.get_text().split()[0] for label in figure.axes[0].get_yticklabels()]
    assert names == [claim.id for claim in ledger for _ in claim.comparisons]


def test_an_experiment_is_beside_what_it_measures():
    kind = registry.REGISTRY["quartic"]
    experiment = kind.from_profile("paper")
    results = experiment.load()
    measured = experiment.claims(results)
    assert set(page.beside(experiment, results).frame().index) == set(measured)


def test_rows_are_scaled_by_what_is_accepted():
    for name, compared in COMPARED.items():
        value, low, high, least, most = page.scaled(compared)
        assert low <= value <= high
        assert (least <= value <= most) == compared.agrees, name
    value, *_, least, most = page.scaled(about(200.0, 100.0, 2.0))
    assert (value, least, most) == pytest.approx((1.0, -1.0, 1.0))
    assert page.scaled(COMPARED["exact"])[0] == 0.0
    assert np.isfinite([page.scaled(c) for c in COMPARED.values()]).all()
