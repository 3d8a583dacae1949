"""Pages of the repository that are no part of ``docs/``: copied at build time, with links that hold on the site.

A link in the sources is one that holds in the repository. On the site it leads to the page's copy; where the file has
no page, its text stays, with the file's name.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
COPIED = {"examples/reproduce/RESULTS.md": "generated/results", "data/README.md": "generated/data",
          "CHANGELOG.md": "generated/changelog", "CONTRIBUTING.md": "generated/contributing",
          "README.md": "index"}
LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>[^)#\s:]+)(?P<anchor>#[^)]*)?\)")
IMAGE = re.compile(r"!\[(?P<text>[^\]]*)\]\((?P<target>[^):]+)\)")


def relinked(text: str, source: Path, page: Path) -> str:
    """Markdown of ``source`` as it must stand in ``page``, both absolute."""

    def link(found: re.Match[str]) -> str:
        target = Path(os.path.normpath(source.parent / found["target"]))
        name = target.relative_to(ROOT).as_posix() if target.is_relative_to(ROOT) else ""
        if name in COPIED:
            return f"[{found['text']}]({os.path.relpath(DOCS / COPIED[name], page.parent)}.md)"
        if target.suffix == ".png":  # becomes a download
            return f"[{found['text']}]({os.path.relpath(target, page.parent)})"
        if not name or target.is_relative_to(DOCS):
            return found[0] if source == page else f"[{found['text']}]({os.path.relpath(target, page.parent)})"
        return found["text"] if name in found["text"] else f"{found['text']} (`{name}`)"

    def image(found: re.Match[str]) -> str:
        return f"![{found['text']}]({os.path.relpath(source.parent / found['target'], page.parent)})"

    return IMAGE.sub(image, LINK.sub(link, text))


def copy_pages(app: Sphinx) -> None:
    """The copies, before Sphinx looks for pages."""
    for name, page in COPIED.items():
        if name != "README.md":
            path = DOCS / f"{page}.md"
            path.parent.mkdir(exist_ok=True)
            text = relinked((ROOT / name).read_text(encoding="utf-8"), ROOT / name, path)
            path.write_text(text, encoding="utf-8")


def mend_links(app: Sphinx, page: str, source: list[str]) -> None:
    """The links of a page of ``docs/`` itself."""
    path = DOCS / f"{page}.md"
    if path.exists() and "generated" not in Path(page).parts:
        source[0] = relinked(source[0], path, path)


def setup(app: Sphinx) -> dict[str, bool]:
    """Makes Sphinx call it."""
    app.connect("builder-inited", copy_pages, priority=100)
    app.connect("source-read", mend_links)
    return {"parallel_read_safe": True}
