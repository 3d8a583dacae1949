"""Wrong options of an agent are told before any data are read: it is made once on a few items, and thrown away."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

import pandas as pd
import torch
from torch_geometric.data import HeteroData

from kgrl.datasets.frames import from_frames

USERS, ITEMS = 12, 40


def few_data() -> HeteroData:
    """Twelve users, forty items and a KG: enough to make any agent on."""
    user, item = torch.cartesian_prod(torch.arange(USERS), torch.arange(ITEMS)).T
    ratings = pd.DataFrame({"user": user, "item": item, "rating": (user * 3 + item * 7) % 5 + 1})
    triples = pd.DataFrame({"head": range(ITEMS), "relation": ["kind"] * ITEMS,
                            "tail": [f"kind {item % 4}" for item in range(ITEMS)]})
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
