"""Processes of their own that need not import everything anew: each is forked from one that has, and did nothing else.

Where the system does not fork, they are spawned: the same, some seconds later.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FORKS = "forkserver" in multiprocessing.get_all_start_methods()
CONTEXT: Any = multiprocessing.get_context("forkserver" if FORKS else "spawn")
if FORKS:
    CONTEXT.set_forkserver_preload(["kgrl.experiments.methods", "kgrl.experiments.script_run", "kgrl.pretrain.models",
                                    "kgrl.train"])


def exit_code(function: Callable[..., object], *arguments: object) -> int:
    """That of a process which calls ``function`` with ``arguments``; −9 if it was killed."""
    process = CONTEXT.Process(target=function, args=arguments)
    process.start()
    process.join()
    return int(process.exitcode)


def run_script(script: Path, *arguments: str) -> tuple[int, str, str]:
    """What somebody sees who types ``python SCRIPT ARGUMENTS``: the exit code, standard output, standard error."""
    with tempfile.TemporaryDirectory() as folder:
        code = exit_code(_as_main, str(script), arguments, folder)
        return code, *((Path(folder) / name).read_text(encoding="utf-8") for name in ("1", "2"))  # type: ignore[return-value]


def _as_main(script: str, arguments: tuple[str, ...], folder: str) -> None:
    for number in (1, 2):
        handle = os.open(f"{folder}/{number}", os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(handle, number)
    os.environ["PYTHONPATH"] = str(ROOT)  # of the processes that the script starts
    sys.argv, sys.path[:0] = [script, *arguments], [str(Path(script).parent)]
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
