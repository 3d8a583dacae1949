"""``filled`` and ``fill``: what was measured, between the marks of a page such as ``RESULTS.md``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from kgrl.files import whole_file
from kgrl.options import expected


def filled(path: str | os.PathLike[str], parts: Mapping[str, str]) -> str:
    """A page with ``parts`` between ``<!-- name -->`` and ``<!-- end name -->``; all else on it stays.

    Args:
        path: a Markdown file.
        parts: name → Markdown; one whose marks the page does not have is left out.

    Raises:
        ValueError: a mark without its end.
    """
    page = Path(path).read_text(encoding="utf-8")
    for name, part in parts.items():
        start, end = f"<!-- {name} -->", f"<!-- end {name} -->"
        before, opened, rest = page.partition(start)
        if not opened:
            continue
        _, closed, after = rest.partition(end)
        if not closed:
            raise ValueError(expected(str(path), f"{end} behind {start}", "none"))
        page = f"{before}{start}\n{part.strip()}\n{end}{after}"
    return page


def fill(path: str | os.PathLike[str], parts: Mapping[str, str]) -> None:
    """Writes what :func:`filled` gives into the page itself, whole or not at all.

    Raises:
        ValueError: a mark without its end; the page stays as it was.
    """
    page = filled(path, parts)
    with whole_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def folder_beside(results: Path | None, name: str) -> Path:
    """Where a script's files go by default: beside the page that shows them, and without one below ``runs``."""
    return (results.parent if results else Path("runs")) / name


def link(path: Path, page: Path | None) -> str:
    """How a Markdown file, or without one the present folder, names another file."""
    return Path(os.path.relpath(path, page.parent if page else None)).as_posix()
