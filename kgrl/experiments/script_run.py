"""What a script's run needs: options tried before data are read, a folder of its own, and the memory that it took."""

from __future__ import annotations

import math
import re
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch_geometric.data import HeteroData

from kgrl.datasets.frames import from_frames
from kgrl.files import digest
from kgrl.locks import alone_in

USERS, ITEMS = 12, 40


def few_data(times: int = 1) -> HeteroData:
    """Twelve users, forty items (or ``times`` as many) and a KG: enough to make any agent on."""
    items = ITEMS * times
    user, item = torch.cartesian_prod(torch.arange(USERS * times), torch.arange(items)).T
    ratings = pd.DataFrame({"user": user, "item": item, "rating": (user * 3 + item * 7) % 5 + 1})
    triples = pd.DataFrame({"head": range(items), "relation": ["kind"] * items,
                            "tail": [f"kind {item % 4}" for item in range(items)]})
    return from_frames(ratings, triples, rating_scale=(1, 5, 3))


def tried(parser: ArgumentParser, make: Callable[[HeteroData], Any]) -> None:
    """Ends the script, with what the agent says, where its options are wrong.

    Args:
        parser: whose ``error`` ends it.
        make: makes the agent on a data set.
    """
    try:
        make(few_data())
    except (TypeError, ValueError) as error:
        parser.error(str(error))


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


def peak_gib() -> float:
    """In GiB; NaN on Windows, which does not tell."""
    try:
        import resource
    except ImportError:
        return math.nan
    unit = 2**30 if sys.platform == "darwin" else 2**20  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
