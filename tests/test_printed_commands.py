"""Commands that pages and presets print beside their figures: the scripts take them as they stand.

They are not run here, as that takes hours, but read as far as the script's own options and the agent's.
"""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PRINTED = re.compile(r"python (examples/(?:kgqr|tpgr|reproduce/run)\.py)([^`\n\"#;]*)")
PAGES = [ROOT / "README.md", ROOT / "examples" / "reproduce" / "RESULTS.md", *(ROOT / "docs").glob("*.md"),
         *(ROOT / "docs" / "how-to").glob("*.md"), *(ROOT / "docs" / "results").glob("*.md"),
         *(ROOT / "kgrl" / "presets").glob("*.toml")]


def printed() -> list[tuple[str, str]]:
    """(script, its arguments) of every command but those that only show the form of one."""
    found = [match.groups() for page in PAGES for match in PRINTED.finditer(page.read_text(encoding="utf-8"))]
    return sorted({(script, words.strip()) for script, words in found if not re.search("TABLE|--help", words)})


def test_there_are_some_of_every_script() -> None:
    assert {script for script, _ in printed()} == {"examples/kgqr.py", "examples/tpgr.py", "examples/reproduce/run.py"}


@pytest.mark.parametrize(("script", "words"), printed())
def test_a_printed_command_is_one(script: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = words.replace("FOLDER", str(tmp_path)).replace("$seed", "0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [script, *shlex.split(words)])
    runpy.run_path(str(ROOT / script))["options"]()
