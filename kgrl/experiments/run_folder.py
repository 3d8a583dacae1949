"""The folder of a script's run: it follows from the options, belongs to one run at a time, and is named in errors."""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from kgrl.files import digest
from kgrl.locks import alone_in

ELSEWHERE = ("out", "data", "source")
"""Options that say where files are, and nothing of what is run."""
LONGEST = 100


def run_folder(parser: ArgumentParser, args: Namespace, script: str, apart: Collection[str] = ELSEWHERE) -> Path:
    """``runs/SCRIPT``, and behind it each option that is not the default: two commands have two folders.

    Args:
        parser: tells the defaults.
        args: as it read them, before anything is filled in.
        script: its name.
        apart: options that the run does not depend on.
    """
    name = script
    for option, value in sorted(vars(args).items()):
        if option not in apart and value != parser.get_default(option):
            name += f"-{option}-{','.join(map(str, value)) if isinstance(value, list) else value}"
    plain = re.sub(r"[^A-Za-z0-9.,=_+-]+", "-", name)
    if plain != name or len(plain) > LONGEST:  # or two would have one name
        plain = f"{plain[:LONGEST]}-{digest(name)[:8]}"
    return Path("runs") / plain


@contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """While this runs, no other run is in the folder; ends the script where one is."""
    with ExitStack() as stack:
        try:
            stack.enter_context(alone_in(folder))
        except BlockingIOError as error:
            raise SystemExit(f"error: {error}") from None
        yield
