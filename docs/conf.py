"""Sphinx configuration of the book; ``stage.py`` lays out its sources."""

import re
import types
from typing import Any

from sphinx.application import Sphinx
from sphinx.ext.autosummary import Autosummary

import autocrit_lite
from autocrit_lite.reasons import Reason

project = "autocrit_lite"
author = "The autocrit_lite developers"
copyright = "the autocrit_lite developers, MIT licence"
version = release = autocrit_lite.__version__
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "numpydoc",  # brings autosummary
]
exclude_patterns = ["README.md"]  # parts of it are included in the start page
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}

# Notebooks: as they are committed, with links and HTML tables, and nothing from elsewhere.
nb_execution_mode = "off"
nb_ipywidgets_js = {}
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath", "html_image"]
myst_heading_anchors = 3

# The docstrings say the types and shapes, so that signatures need not.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
autosummary_generate = False
default_role = "literal"

# Formulas: MathJax lies in the book, so that reading it needs no network.
mathjax_path = "mathjax/tex-svg.js"
html_static_path = ["_static"]

html_theme = "furo"
html_title = "autocrit_lite"
html_css_files = ["style.css"]
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
html_domain_indices = False
html_show_search_summary = False  # would read other pages, which a browser denies to a file
pygments_style = "friendly"
pygments_dark_style = "monokai"


def plain_to_rst(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Make a docstring, written to be read as plain text, say the same to docutils.

    There |λ| is an absolute value and not a substitution, and ``radius``² is a square. Codes are
    listed with their sentences.
    """
    if isinstance(obj, type) and issubclass(obj, Reason):
        summary = lines.index("", 1)  # where it ends; numpydoc has begun with an empty line
        codes = [f"- ``{code.name}`` = {code}: {code.sentence}" for code in obj]
        lines[summary:summary] = ["", *codes, ""]
    doctest = False
    for i, line in enumerate(lines):
        doctest = bool(line.strip()) and (doctest or line.lstrip().startswith(">>>"))
        if not doctest:
            parts = re.split("(``[^`]+``)", line)  # every other one is a literal
            for k in range(0, len(parts), 2):
                text = parts[k].replace("|", r"\|")
                parts[k] = re.sub(r"^(?=\w)", r"\\ ", text) if k else text
            lines[i] = "".join(parts)


def skip_type_aliases(
    app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out names of types, such as ``Runs = dict[str, Array]``."""
    return True if isinstance(obj, types.GenericAlias) or hasattr(obj, "__origin__") else None


class Summary(Autosummary):
    """A table of names whose summaries end where they would cite."""

    def get_items(self, names: list[str]) -> list[tuple[str, str | None, str, str]]:
        """Return name, signature, summary and full name of each."""
        return [
            (name, signature, re.sub(r"(, as in)?[,\s]*\[\S+\]_.*", ".", summary), full)
            for name, signature, summary, full in super().get_items(names)
        ]


def setup(app: Sphinx) -> None:
    """Connect the above to Sphinx."""
    app.connect("autodoc-process-docstring", plain_to_rst)
    app.connect("autodoc-skip-member", skip_type_aliases)
    app.add_directive("autosummary", Summary, override=True)
