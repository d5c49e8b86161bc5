"""Configuration of the documentation: ``make docs`` builds it into ``docs/_build/html``."""

import os
import sys
from pathlib import Path

_DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(_DOCS.parent), str(_DOCS / "_ext")]
# Commands are described by their own parsers, for which Django reads its settings.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "e2l_site.settings")
os.environ.setdefault("E2L_DATA_DIR", str(_DOCS / "_build" / "data"))

project = "e2l"
html_title = "e2l"
exclude_patterns = ["_build", "_ext"]
smartquotes = False
highlight_language = "none"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "mathml",
    "nest_models",
    "reference",
]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_google_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["docs.css"]
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
