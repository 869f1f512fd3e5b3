"""Configuration of Sphinx; the reference pages are written from the code before each build."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tools"))

import gen_reference  # noqa: E402

gen_reference.write(HERE / "reference")

project = "anyvirt"
author = "The anyvirt authors"
project_copyright = "the anyvirt authors"
extensions = ["sphinx.ext.autodoc", "sphinx.ext.doctest"]
html_theme = "furo"
html_title = "anyvirt"
exclude_patterns = ["_build"]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
nitpicky = False
