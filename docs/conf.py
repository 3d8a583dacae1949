"""The documentation's build: ``make docs``. It needs no network, and a warning is a failure."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]

from kgrl_gallery import Order, SmallArguments, named  # noqa: E402

from kgrl.version import __version__  # noqa: E402

project, author, release = "kgrl", "the kgrl authors", __version__
copyright = "the kgrl authors"
extensions = [
    "myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_gallery.gen_gallery", "sphinxcontrib.bibtex",
    "kgrl_outside", "kgrl_api", "kgrl_differences", "kgrl_gallery", "kgrl_mathml",
]
exclude_patterns = ["_build", "outputs", "generated/differences.rst"]

html_theme = "pydata_sphinx_theme"
html_title = "kgrl"
html_theme_options = {"navigation_with_keys": False, "secondary_sidebar_items": ["page-toc"], "show_nav_level": 2}
html_math_renderer = "mathml"
html_show_sourcelink = False
html_static_path, html_css_files = ["_static"], ["kgrl.css"]
html_sidebars = {page: [] for page in ("index", "quick-tour", "glossary", "datasets", "results/*", "bibliography",
                                       "differences", "generated/*")}

myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings tell types by shapes
napoleon_google_docstring, napoleon_numpy_docstring = True, False
napoleon_use_ivar = True
napoleon_custom_sections = [(f"Args of the {group}", "params_style")
                            for group in ("graph", "candidates", "state", "learning")]
bibtex_bibfiles = ["refs.bib"]
suppress_warnings = ["config.cache"]

# scripts that run in seconds, and how: on made data, with a small budget, in a folder that goes when the build ends
WORK = tempfile.TemporaryDirectory(prefix="kgrl-docs-")
SMALL = {
    "kgqr": ["--dataset", "synthetic", "--interactions", "2048", "--set", "gradient_steps=16",
             "--data", f"{WORK.name}/data", "--out", f"{WORK.name}/kgqr"],
    "your_own_agent": ["--world", "synthetic/kgqr", "--data", f"{WORK.name}/data", "--cells", f"{WORK.name}/cells"],
}
os.environ.setdefault("OMP_NUM_THREADS", "1")

sphinx_gallery_conf = {
    "examples_dirs": "../examples", "gallery_dirs": "generated/gallery", "reset_argv": SmallArguments(SMALL),
    "filename_pattern": rf"/({'|'.join(SMALL)})\.py$", "within_subsection_order": Order,
    "image_scrapers": (), "reset_modules": (named,), "download_all_examples": False, "show_memory": False,
    "show_signature": False, "min_reported_time": 3600,
    "abort_on_example_error": True, "backreferences_dir": None, "write_computation_times": False,
}
