import json

import pytest

from autocrit_lite.papers import claims
from autocrit_lite.papers import registry as experiments
from autocrit_lite.runner import paths
from autocrit_lite.runner.results import Measured
from tests.synthetic import Synthetic

IDS = """
f19-count f19-train f19-iter-mr f19-iter-tr f19-mwu f19-time-tr f19-time-gnm f19-gnm-fail
f19-gnm-epochs f19-floor f19-zero f19-no-spurious f19-cutoff f19-identify f19-entropy
f19-entropy-noise f19-entropy-t f19-snr f19-entropy-iter f19-entropy-iter-noise f19-entropy-iter-t
f19-entropy-iter-noise-t f19-bias f19-error-loss f19-start-shape f19-noise f19-noise-small
f19-noise-large f19-noise-start f19-iteration f21-linear f21-nonlinear f21-linear-fast f21-relu
f21-quartic-value f21-quartic-basin f21-quartic-points f21-quartic-left f21-quartic-divided
f21-quartic-orders f21-quartic-swings f21-quartic-damped f21-quartic-gnm f21-ae-half f21-ae-09
f21-ae-099 f21-ae-norm f21-ae-blue f21-ae-bulk f21-ae-last f21-ae-convex f21-ae-mean f21-ae-few
f21-ae-most f21-ae-bounces f21-ae-spread f21-ae-high f21-width f21-cls-09 f21-cls-end
f21-cls-bounces f21-cls-shape f21-cls-acc f21-logreg f21-mem-n f21-mem-train f21-mem-end
f21-mem-most f21-mem-flat f21-mem-min f21-mem-shape s18-f1 s18-strict s18-good s18-t1-momentum
s18-t1-adam s18-t1-adagrad s18-t3-momentum s18-t3-adam s18-t3-adagrad s18-t5 s18-sfn s18-t7-he
s18-t7-normal s18-t7-xavier s18-t7-orthogonal s18-t8-2 s18-t8-3 s18-t9-50 s18-t9-100 s18-t9-250
s18-f2 s18-f3 s18-c10 c20-star c20-core c20-dim-s c20-dim-c c20-nested c20-derivatives c20-ex-axis
c20-dim-m c20-slice c20-full-rank c20-line c20-measure-zero c20-lines c20-ex-valley c20-ex-troughs
c20-strict c20-isolated c20-maxima c20-ex-saddle c20-flat c20-flat-zeros c20-growth c20-cubic
"""


@pytest.fixture(autouse=True)
def empty(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setattr(paths, "checkout", lambda: tmp_path)
    monkeypatch.setenv(paths.RESULTS_VARIABLE, str(tmp_path / "results"))
    monkeypatch.setattr(claims, "REGISTRY", {"quartic": Synthetic})


def by_id():
    return {claim.id: claim for claim in claims.claims()}


def test_every_printed_number_is_listed_with_its_place():
    ledger = claims.claims()
    assert [claim.id for claim in ledger] == IDS.split()
    for claim in ledger:
        assert all((claim.source, claim.statement, claim.printed))


def test_every_claim_names_an_experiment():
    named = {entry["experiment"] for entry in claims.printed().values()}
    assert named <= experiments.REGISTRY.keys()


def test_without_results_every_claim_says_why_it_is_not_measured():
    for claim in claims.claims():
        assert claim.measured is None
        assert claim.verdict in (claims.NOT_YET, "not possible here")
        assert claim.why


def test_what_is_stored_is_measured_at_the_larger_scale():
    Synthetic.from_profile("quick").run(workers=1)
    claim = by_id()["f21-quartic-basin"]
    assert (claim.measured, claim.scale, claim.verdict) == (4, "quick", "differs")
    Synthetic.from_profile("paper").run(workers=1)
    claim = by_id()["f21-quartic-basin"]
    assert (claim.measured, claim.scale, claim.why) == (8, "paper", "synthetic")
    assert by_id()["f21-quartic-value"].why == ""  # results, but not a word on this claim


def test_json_is_a_list_of_objects_and_markdown_a_table():
    Synthetic.from_profile("quick").run(workers=1)
    ledger = claims.claims()
    listed = {entry["id"]: entry for entry in json.loads(claims.render(ledger, "json"))}
    assert listed["f21-quartic-basin"]["measured"] == 4
    assert listed["f21-quartic-basin"]["printed"] == "some"
    odd = [claims.Claim("a|b", "§1", "what", "1", 0.123456, (0.1, 0.2))]
    row = claims.render(odd, "markdown").splitlines()[-1]
    assert row.startswith(r"| a\|b | §1 | what | 1 | 0.1235 | 0.1, 0.2 |")
    assert claims.render(odd).splitlines()[1].split()[:4] == ["a|b", "what", "1", "0.1235"]


@pytest.mark.parametrize(
    ("text", "error"), [(None, FileNotFoundError), ("<!-- claims -->\n<!-- end of", ValueError)]
)
def test_a_file_that_cannot_be_updated_is_refused_before_any_work(
    tmp_path, monkeypatch, text, error
):
    monkeypatch.setattr(claims, "claims", lambda store: pytest.fail("the claims were made"))
    file = tmp_path / "ledger.md"
    if text:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(error, match=r"ledger\.md"):
        claims.update(file)


def test_other_formats_and_verdicts_are_refused():
    with pytest.raises(ValueError, match="format must be one of 'table', 'markdown', 'json'"):
        claims.render([], "html")
    with pytest.raises(ValueError, match="verdict must be one of 'reproduced'"):
        Measured(1, "fine", "")
