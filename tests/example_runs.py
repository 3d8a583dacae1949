"""Runs of the example scripts, as somebody types them, and the folder of their files."""

from __future__ import annotations

from tests.processes import ROOT, run_script


def run(*arguments: str, script: str = "kgqr") -> str:
    """What ``examples/SCRIPT.py`` prints, in a process of its own."""
    code, said, errors = run_script(ROOT / "examples" / f"{script}.py", *arguments)
    assert code == 0, errors
    return said
