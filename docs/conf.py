"""The site: ``python -m sphinx -W -b html docs SITE``. Nothing is fetched, when it is built or when it is read."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

import noisymodel

sys.path.insert(0, str(Path(__file__).parent))

import api_names

project = "noisymodel"
author = "The noisymodel authors"
copyright = "2026, the noisymodel authors"  # noqa: A001 - Sphinx asks for this name
version = release = noisymodel.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["evidence", "figures", "static", "templates"]
templates_path = ["templates"]
default_role = "py:obj"  # docstrings write names of the library between single backticks

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autosummary_generate = False  # the tables of names only: each name has its entry on a page of docs/api
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # attributes that are described twice (field and property) are no error
python_use_unqualified_type_names = True
mathjax_path = "not-used.js"  # formulas are Unicode text; MyST asks for the extension all the same

sphinx_gallery_conf = {
    "examples_dirs": ["../examples/how_to", "../examples/gallery"],
    "gallery_dirs": ["how_to", "gallery"],
    "within_subsection_order": "how_to_order.HowToOrder",
    "abort_on_example_error": True,
    "capture_repr": (),
    "download_all_examples": False,
    "min_reported_time": 0,
    "reset_argv": "how_to_order.picture_for",
    "remove_config_comments": True,
    "show_memory": False,
    "write_computation_times": False,  # its page loads scripts from elsewhere
    "reset_modules": (),  # the scripts change no global state
}

html_theme = "furo"
html_static_path = ["static"]
html_extra_path = ["published"]  # the page of a study, as its report wrote it
html_css_files = ["site.css"]
html_title = f"noisymodel {version}"
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
html_context = {"site_versions": json.loads((Path(__file__).parent / "versions.json").read_text(encoding="utf-8"))}


def setup(app: Sphinx) -> None:
    """Leave out the fields of named tuples that have no text of their own; fill the index of the API; mark blocks."""
    app.connect("autodoc-skip-member", _says_nothing)
    app.connect("source-read", _fill_index)
    app.connect("doctree-read", _mark)
    app.connect("autodoc-process-docstring", _no_lists_of_one_letter, priority=400)  # before napoleon


def _fill_index(app: object, page: str, source: list[str]) -> None:
    source[0] = api_names.with_tables(source[0])


def _says_nothing(app: object, what: str, name: str, value: object, skip: bool, options: object) -> bool | None:
    return True if str(getattr(value, "__doc__", "")).startswith("Alias for field number") else None


def _mark(app: object, doctree: nodes.document) -> None:
    """Say to site.css which blocks are messages, not tables in text, and which cells hold numbers or many words."""
    for block in doctree.findall(nodes.literal_block):
        if block.get("language") == "text" and not re.search(r"\S {2,}\S", block.astext()):
            block["classes"].append("message")
    for cell in doctree.findall(nodes.entry):
        text = cell.astext()
        if re.fullmatch(r"[-+−±\d.,/ %\[\]e×]+", text):
            cell["classes"].append("numbers")
        elif len(text) > 30:
            cell["classes"].append("words")


def _no_lists_of_one_letter(
    app: object, what: str, name: str, value: object, options: object, lines: list[str]
) -> None:
    """Read ``num_classes: K.`` as a letter: reStructuredText would begin an enumeration."""
    lines[:] = [re.sub(r"^(\s*(?:\w+: )?)([A-Z]\.)(?= |$)", r"\1\\\2", line) for line in lines]
