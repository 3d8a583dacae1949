"""One name, one meaning: no two files, and no two public classes or functions, of the package share one."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DEFINITIONS = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def places(package: Path) -> dict[str, set[str]]:
    """Each file's name, and each public class and function at the top of a file, with the files where it is."""
    found: dict[str, set[str]] = defaultdict(set)
    for file in sorted(package.rglob("*.py")):
        where = file.relative_to(package).as_posix()
        if file.name != "__init__.py":
            found[file.name].add(where)
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, DEFINITIONS) and not node.name.startswith("_"):
                found[node.name].add(where)
    return found


def shared_names(package: Path) -> dict[str, list[str]]:
    """The names that are in several places."""
    return {name: sorted(where) for name, where in places(package).items() if len(where) > 1}


def test_no_name_has_two_meanings() -> None:
    found = shared_names(ROOT / "kgrl")
    assert not found, "\n".join(f"{name}: {', '.join(where)}" for name, where in found.items())


@pytest.mark.parametrize(("source", "seen"), [
    ("class Table: ...", {"Table": ["datasets/table.py", "other.py"]}),
    ("def existing(): ...", {"existing": ["datasets/table.py", "other.py"]}),
    ("async def existing(): ...", {"existing": ["datasets/table.py", "other.py"]}),
    ("def _hidden(): ...", {}),
    ("class Other:\n    def existing(self): ...", {}),
])
def test_a_second_meaning_is_seen(tmp_path: Path, source: str, seen: dict[str, list[str]]) -> None:
    files = {"datasets/table.py": "class Table: ...\ndef existing(): ...\ndef _hidden(): ...",
             "datasets/__init__.py": "", "__init__.py": "", "other.py": source}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert shared_names(tmp_path) == seen


def test_a_second_file_of_a_name_is_seen(tmp_path: Path) -> None:
    for name in ("tree", "nn"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rows.py").touch()
        (tmp_path / name / "__init__.py").touch()
    assert shared_names(tmp_path) == {"rows.py": ["nn/rows.py", "tree/rows.py"]}
