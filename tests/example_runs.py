"""Runs of the example scripts, as somebody types them, and the folder of their files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run(*arguments: str, script: str = "kgqr") -> str:
    """What ``examples/SCRIPT.py`` prints, in a process of its own."""
    command = [sys.executable, str(ROOT / "examples" / f"{script}.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    return done.stdout
