"""The gallery's pages: docstrings that were written for ``--help`` as RST, and outputs of scripts that take long."""

from __future__ import annotations

import builtins
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parents[1]
EXAMPLES, OUTPUTS = DOCS.parent / "examples", DOCS / "outputs"
DOCSTRING = re.compile(r"(?P<label>\.\. _sphx_glr_\w+\.py:\n\s*\n)(?P<text>.*?)(?=\n\.\. GENERATED FROM PYTHON SOURCE)",
                       re.DOTALL)
WORK = re.compile(r"[^\s'\"]*/kgrl-docs-\w+")  # the folder that scripts write into while the site is built
OPTION = re.compile(r"(?<![`\w-])--[a-z][a-z-]*(?![`\w])(?=[^`]*(?:``[^`]*``[^`]*)*$)")
COMMANDS = re.compile(r"(?:^    .*\n?)+", re.MULTILINE)


class SmallArguments:
    """What the scripts of the gallery are run with.

    Args:
        of: script → arguments; another script has none.
    """

    def __init__(self, of: dict[str, list[str]]) -> None:
        self.of = of

    def __call__(self, gallery: dict[str, Any], script: dict[str, Any]) -> list[str]:
        return self.of.get(Path(script["src_file"]).stem, [])

    def __repr__(self) -> str:  # the same in every build, so that nothing is made again for nothing
        return "SmallArguments"


class Order:
    """Scripts in the order that a newcomer reads them in; others after them, by name."""

    first = ("kgqr.py", "tpgr.py", "kgqr_single_file.py", "swap_aggregators.py", "your_own_agent.py",
             "your_own_data.py")

    def __init__(self, folder: str) -> None: ...

    def __call__(self, script: str) -> tuple[int, str]:
        return self.first.index(script) if script in self.first else len(self.first), script


def named(gallery: dict[str, Any], script: str) -> None:
    """Tells a script its own path, which sphinx-gallery does not; it looks for its data beside it."""
    builtins.__file__ = str(EXAMPLES / Path(script).name)  # type: ignore[attr-defined]


def as_rst(docstring: str) -> str:
    """A docstring as a page's beginning: its first words as the title, indented lines as commands."""
    first, _, rest = docstring.strip().partition("\n")
    title, _, more = first.rstrip(".").partition(": ")
    rest = f"\n{more[:1].upper()}{more[1:]}{'.' * bool(more)}\n{rest}"
    rest = re.sub(r"(?<!`)`([^`\n]+)`(?!`)", r"``\1``", rest)
    rest = re.sub(r"^(?!    ).*", lambda line: OPTION.sub(r"``\g<0>``", line[0]), rest, flags=re.MULTILINE)
    rest = COMMANDS.sub(lambda found: f".. code-block:: sh\n\n{found[0]}", rest)
    return f"{title}\n{'=' * len(title)}\n{rest}\n"


def output_of(script: str) -> str:
    """What a script printed, where that was kept."""
    kept = OUTPUTS / f"{script}.txt"
    if not kept.exists():
        return ""
    lines = "\n".join(f"   {line}" for line in kept.read_text(encoding="utf-8").splitlines())
    return f"\nWhat ``python examples/{script}.py`` prints, with its default seed. This takes minutes, " \
           f"so it was run before:\n\n.. code-block:: text\n\n{lines}\n"


def mend(app: Sphinx, page: str, source: list[str]) -> None:
    """A page that sphinx-gallery made of a script."""
    if page.startswith("generated/gallery/") and ".. GENERATED FROM PYTHON SOURCE LINES" in source[0]:
        kept = output_of(Path(page).name)
        text = DOCSTRING.sub(lambda found: found["label"] + as_rst(found["text"]) + kept, source[0], count=1)
        source[0] = WORK.sub("runs", text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Makes Sphinx call it."""
    app.connect("source-read", mend)
    return {"parallel_read_safe": True}
