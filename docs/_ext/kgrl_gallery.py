"""The gallery's pages: docstrings that were written for ``--help`` as RST, and outputs of scripts that take long."""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

OUTPUTS = Path(__file__).resolve().parents[1] / "outputs"
DOCSTRING = re.compile(r"(?<=:\n\n\n)(?P<text>.*?)(?=\n\.\. GENERATED FROM PYTHON SOURCE LINES)", re.DOTALL)
COMMANDS = re.compile(r"(?:^    .*\n?)+", re.MULTILINE)


def as_rst(docstring: str) -> str:
    """A docstring as a page's beginning: its first line as the title, indented lines as commands."""
    title, _, rest = docstring.strip().partition("\n")
    title = title.rstrip(".")
    rest = COMMANDS.sub(lambda found: f".. code-block:: sh\n\n{found[0]}", rest)
    return f"{title}\n{'=' * len(title)}\n{rest}\n"


def output_of(script: str) -> str:
    """What a script printed, where that was kept."""
    kept = OUTPUTS / f"{script}.txt"
    if not kept.exists():
        return ""
    lines = "\n".join(f"   {line}" for line in kept.read_text(encoding="utf-8").splitlines())
    return f"\n\nWhat it printed\n{'-' * 15}\n\nIt takes too long to be run for this page. It was run before.\n\n" \
           f".. code-block:: text\n\n{lines}\n"


def mend(app: Sphinx, page: str, source: list[str]) -> None:
    """A page that sphinx-gallery made of a script."""
    if page.startswith("generated/gallery/") and ".. GENERATED FROM PYTHON SOURCE LINES" in source[0]:
        text = DOCSTRING.sub(lambda found: as_rst(found["text"]), source[0], count=1)
        before, mark, after = text.partition("\n.. _sphx_glr_download_")
        source[0] = before + output_of(Path(page).name) + mark + after


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", mend)
    return {"parallel_read_safe": True}
