"""What the book must show is there to be shown: every name documented and on a page, every figure
described; and the check of the built book finds what is wrong. Needs no Sphinx.
"""

import importlib
import importlib.util
import inspect
import pkgutil
import re
import tomllib
from collections import Counter
from dataclasses import fields, is_dataclass
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import autocrit_lite as al
from autocrit_lite.papers import registry as experiments

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in (DOCS / "api").glob("*.rst")}
MODULES = [
    info.name for info in pkgutil.walk_packages(al.__path__, "autocrit_lite.") if not info.ispkg
]


def program(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


stage, check = program("stage"), program("check")


def public(module):
    """Return the public classes and functions that a module defines, by name."""
    return {
        name: item
        for name, item in vars(importlib.import_module(module)).items()
        if not name.startswith("_")
        and (inspect.isclass(item) or inspect.isfunction(item))
        and item.__module__ == module
    }


def shown():
    """Return how often the reference pages show each module, and each public name."""
    modules, names = Counter(), Counter()
    for text in PAGES.values():
        for module, options in re.findall(r"automodule:: (\S+)\n((?:   \S.*\n)*)", text):
            modules[module] += 1
            excluded = re.search(r":exclude-members: (.*)", options)
            left_out = excluded[1].split(", ") if excluded else []
            assert all(hasattr(importlib.import_module(module), name) for name in left_out)
            names.update(f"{module}.{name}" for name in public(module).keys() - set(left_out))
        names.update(re.findall(r"auto(?:function|class|data):: (\S+)", text))
    return modules, names


def test_every_module_is_on_one_page_of_the_reference():
    modules, _ = shown()
    missing = set(MODULES) - modules.keys()
    # the parts of these that users call are shown one by one, the rest from the inside
    assert not missing, f"add them to docs/api/: {missing}"
    assert modules == Counter(MODULES)


def test_every_public_name_is_shown_once():
    _, names = shown()
    wanted = {f"{module}.{name}" for module in MODULES for name in public(module)}
    assert wanted - names.keys() == set()
    assert [name for name, count in names.items() if count > 1] == []
    for path in names.keys() - wanted:  # data, such as FRYE_2021
        module, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(module), name), path


def test_the_overview_lists_what_the_package_brings():
    listed = re.findall(r"^   ~(\S+)\.(\w+)$", PAGES["index"], re.M)
    assert sorted([name for _, name in listed] + ["ground_truth"]) == sorted(al.__all__)
    for module, name in listed:
        assert getattr(importlib.import_module(module), name) is getattr(al, name)
    assert "``al.ground_truth``" in PAGES["index"]


def test_every_page_of_the_reference_is_reached():
    tree = PAGES["index"].split(".. toctree::")[1]
    assert set(re.findall(r"^   (\w+)$", tree, re.M)) == PAGES.keys() - {"index"}


def documented(text, section):
    """Return the names that a section of a numpydoc docstring lists."""
    found = re.search(rf"^{section}\n-+\n(.*?)(?=^\w[\w ]*\n-+$|\Z)", text, re.M | re.S)
    lines = re.findall(r"^(?=\S)(.*)$", found[1], re.M) if found else []
    entries = [line.split(" : ")[0] for line in lines]
    return [name.lstrip("*") for entry in entries for name in entry.split(", ")]


def parameters(item):
    return [name for name in inspect.signature(item).parameters if name not in ("self", "cls")]


@pytest.mark.parametrize("module", MODULES)
def test_everything_public_has_a_docstring_that_names_all_that_there_is(module):
    for name, item in public(module).items():
        methods = {
            f"{name}.{key}": inspect.unwrap(getattr(value, "fget", None) or value)
            for key, value in vars(item).items()
            if inspect.isclass(item)
            and not key.startswith("_")
            and (inspect.isfunction(value) or isinstance(value, property))
        }
        for own, thing in {name: item, **methods}.items():
            text = inspect.getdoc(thing) or ""
            assert re.match(r"\S[^\n]*\S", text), f"{own} has no docstring"
            assert not text.startswith(f"{name}("), f"{own} has only a signature for a docstring"
            listed = documented(text, "Parameters")
            assert not listed or sorted(listed) == sorted(parameters(thing)), own
        if is_dataclass(item):
            known = {field.name for field in fields(item)} | set(dir(item))
            assert set(documented(inspect.getdoc(item), "Attributes")) <= known, name


@pytest.mark.parametrize("name", [n for n in al.__all__ if callable(getattr(al, n))])
def test_what_the_package_brings_says_its_arguments_and_errors(name):
    item = getattr(al, name)
    text = inspect.getdoc(item)
    if inspect.isfunction(item):
        assert documented(text, "Parameters")  # all of them, by the test above
        assert "Raises\n------" in text
    elif getattr(item, "_is_protocol", False):  # is made by no call
        assert documented(text, "Attributes")
    elif not hasattr(item, "__members__"):  # the members of an enum have their sentences
        attributes = documented(text, "Attributes")
        assert documented(text, "Parameters") or attributes == [f.name for f in fields(item)]


def test_the_constants_that_the_package_brings_are_documented():
    source = inspect.getsource(importlib.import_module("autocrit_lite.finders.newton_mr"))
    for name in ("FRYE_2021", "FRYE_2019"):
        assert re.search(rf'^{name}\b.*\n"""\S', source, re.M)


def test_a_docstring_is_read_as_numpydoc_means_it():
    text = "Sum.\n\nParameters\n----------\na, b : float\n    Terms: x : y.\n*rest\n\n"
    text += "Returns\n-------\nc"
    assert documented(text, "Parameters") == ["a", "b", "rest"]
    assert documented(text, "Returns") == ["c"]
    assert documented(text, "Attributes") == []


def test_every_figure_has_an_alt_text_and_every_alt_text_a_figure():
    saved = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        saved += [name for _, name in stage.figures_of(nbformat.read(path, as_version=4))]
        nbformat.reads(stage.with_alt_texts(path), as_version=4)  # raises what to add
    texts = stage.alt_texts()
    assert sorted(saved) == sorted(texts)
    assert all(60 < len(text) < 500 and text.endswith(".") for text in texts.values())
    assert len(set(texts.values())) == len(texts)


def test_a_figure_without_a_name_or_an_alt_text_is_refused(tmp_path):
    cell = nbformat.v4.new_code_cell('plotting.save(figure, "99_new", folder)')
    cell.outputs = [nbformat.v4.new_output("display_data", {"image/png": ""})]
    notebook = nbformat.v4.new_notebook(cells=[cell])
    nbformat.write(notebook, tmp_path / "99_new.ipynb")
    with pytest.raises(ValueError, match=r"no alt text for 99_new: add one to docs/figures\.toml"):
        stage.with_alt_texts(tmp_path / "99_new.ipynb")
    cell.outputs *= 2
    with pytest.raises(ValueError, match="cell 0 shows 2 figures"):
        list(stage.figures_of(notebook))


def test_generated_pages_name_every_command_and_every_setting():
    page = stage.command_page()
    for verb in ("list", "run", "notebooks", "reproduce", "claims", "verify", "archive", "data"):
        assert f"## autocrit-lite {verb}\n" in page
    page = stage.experiments_page()
    for name, kind in experiments.REGISTRY.items():
        assert f"## {name}\n" in page
        assert all(f"| `{setting}` |" in page for setting in kind().settings().index)
    assert all(
        f" <notebooks/{p.stem}>" in stage.start_page() for p in ROOT.glob("notebooks/*.ipynb")
    )


GOOD = '<h1 id="top">x</h1><a href="#top">a</a><a href="b.html#there">b</a>'
GOOD += '<a href="https://doi.org/1">c</a><img src="f.png" alt="A curve that falls">'


@pytest.mark.parametrize(
    ("html", "problem"),
    [
        ("", None),
        ('<a href="c.html">c</a>', "links to c.html, which does not exist"),
        ('<a href="b.html#here">c</a>', "links to b.html#here, a page without such a place"),
        ('<a href="#nowhere">c</a>', "links to #nowhere, a page without such a place"),
        ('<script src="https://cdn.example/x.js"></script>', "which is elsewhere"),
        ('<script src="//cdn.example/x.js"></script>', "which is elsewhere"),
        ('<ol class="upperalpha simple" start="3">', "has become a list"),
        ('<link rel="stylesheet" href="http://example.com/x.css">', "which is elsewhere"),
        ('<link rel="stylesheet" href="missing.css">', "which does not exist"),
        ('<p style="background: url(https://example.com/x.png)">', "which is elsewhere"),
        ('<img src="g.png" alt="A curve that rises">', "loads g.png, which does not exist"),
        ('<img src="f.png">', "image f.png has no alt text"),
        ('<img src="f.png" alt="Figure">', "image f.png has no alt text"),
        ('<img src="figures/long_name_of_it.png" alt="long_name_of_it">', "has no alt text"),
    ],
)
def test_what_is_wrong_in_a_book_is_found(tmp_path, capsys, html, problem):
    (tmp_path / "a.html").write_text(GOOD + html)
    (tmp_path / "b.html").write_text('<p id="there">')
    (tmp_path / "f.png").touch()
    assert check.main(tmp_path) == (0 if problem is None else 1)
    assert (problem or "are right") in capsys.readouterr().out


def test_style_sheets_are_checked_too(tmp_path):
    (tmp_path / "a.html").write_text("")
    (tmp_path / "a.css").write_text("@import 'https://example.com/b.css'; p {font: url(c.woff)}")
    assert len(list(check.problems(tmp_path))) == 2


def pins(name):
    lines = re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / name).read_text(encoding="utf-8"), re.M)
    return {canonicalize_name(package): version for package, version in lines}


@pytest.mark.parametrize("extra", ["book", "browser"])
def test_the_tools_are_pinned_and_move_no_locked_package(extra):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    own, locked = pins(f"requirements-{extra}.txt"), pins("requirements.lock")
    for requirement in map(Requirement, project["optional-dependencies"][extra]):
        assert requirement.specifier.contains(own[canonicalize_name(requirement.name)])
    assert {
        name: locked[name] for name in own.keys() & locked.keys() if locked[name] != own[name]
    } == {}


EXAMPLES = {
    f"{path.stem} {number}": code
    for path in sorted(DOCS.glob("*.md"))
    for number, code in enumerate(
        re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.S)
    )
}


def test_the_pages_show_code():
    assert {"your_own_model", "solver", "certificates"} == {name.split()[0] for name in EXAMPLES}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_code_of_the_pages_runs(name, capsys):
    code = EXAMPLES[name]
    for library in ("torch", "jax"):
        if f"import {library}\n" in code:
            pytest.importorskip(library, reason=f"needs the extra {library}")
    exec(compile(code, f"{name}.md", "exec"), {})
    assert capsys.readouterr().out


def test_the_example_of_ones_own_function_says_what_it_found(capsys):
    (code,) = [code for code in EXAMPLES.values() if "AutogradObjective(f)" in code]
    exec(compile(code, "your_own_model.md", "exec"), {})
    place, index = capsys.readouterr().out.strip().rsplit("\n", 1)
    assert "approximately critical" in place
    assert 0.0 <= float(index) <= 1.0


def test_the_example_of_a_proof_proves_something(capsys):
    exec(compile(EXAMPLES["certificates 0"], "certificates.md", "exec"), {})
    there, nothing = capsys.readouterr().out.strip().split("\n")
    assert there.startswith("Proven: within")
    assert "index 0" in there
    assert nothing.startswith("Proven: no critical point")


def test_the_example_of_the_solver_prints_what_its_comment_says(capsys):
    exec(compile(EXAMPLES["solver 0"], "solver.md", "exec"), {})
    x = [float(n) for n in re.findall(r"-?\d+\.\d*(?:e-?\d+)?", capsys.readouterr().out)[:3]]
    assert x == pytest.approx([1.0, -3.0, 0.0], abs=1e-12)
