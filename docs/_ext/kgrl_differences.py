"""Where the code differs from the papers: the sentences that its docstrings say so in, on one page."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "generated" / "differences.rst"
STARTS = ("Differs from the paper", "Paper is silent")


def said(node: ast.AST) -> list[str]:
    """The paragraphs of a docstring that tell a difference."""
    text = inspect.cleandoc(ast.get_docstring(node, clean=False) or "") if isinstance(
        node, ast.ClassDef | ast.FunctionDef | ast.Module) else ""
    return [part for part in text.split("\n\n") if part.startswith(STARTS)]


def differences() -> Iterator[tuple[str, list[str]]]:
    """(name of a class or function, its paragraphs), room by room."""
    for file in sorted((ROOT / "kgrl").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if found := said(node):
                yield getattr(node, "name", file.stem), found


def write_page(app: Sphinx) -> None:
    """The page, before Sphinx looks for pages."""
    PAGE.parent.mkdir(exist_ok=True)
    lines = []
    for name, paragraphs in differences():
        lines += [f"**{name}**", "", *(f"{paragraph}\n" for paragraph in paragraphs)]
    PAGE.write_text("\n".join(lines), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Makes Sphinx call it."""
    app.connect("builder-inited", write_page, priority=100)
    return {"parallel_read_safe": True}
