"""Words about what a general reader took, or left out, and its user may not have meant."""

from __future__ import annotations

import warnings

import pandas as pd
from torch_geometric.data import HeteroData

from kgrl.datasets.table import Table


def warn_of_numbers_taken_for_items(triples: Table, ratings: Table, items: Table | None) -> None:
    """Without links an entity is the item of the same id: a film's length of 95 minutes would be item 95."""
    tails = triples.frame["tail"]
    known = pd.concat([each.frame["item"] for each in (ratings, items) if each is not None]).unique()
    numbers = pd.api.types.is_integer_dtype(tails.dtype) or tails.map(lambda each: str(each).isdecimal())
    taken = triples.frame[tails.isin(known) & numbers]
    if len(taken):
        relation, tail = taken["relation"].iloc[0], taken["tail"].iloc[0]
        names = ", ".join(map(str, taken["relation"].unique()[:5]))
        warnings.warn(
            f"`triples`: {len(taken):,} tails (of {names}) are numbers that are items' ids, and were taken for these "
            f"items, as there are no `links`; if they are values, write them as text such as '{relation} {tail}'; if "
            f"they are items, give `links` to say so", stacklevel=3)


def warn_of_unread_attributes(items: Table) -> None:
    """What describes items belongs in the KG; nothing else of a list of items is read."""
    unread = [str(column) for column in items.frame if column not in ("item", "title", "raw_id")]
    if unread:
        warnings.warn(f"`items`: only item and title are read, not {', '.join(unread)}; what items have in common "
                      f"belongs in `triples`, as (entity of the item, {unread[0]!r}, value)", stacklevel=3)


def warn_of_left_out_items(data: HeteroData) -> None:
    """With ``linked_only``, items without an entity are gone with their ratings."""
    before, options = data.provenance["before"], data.provenance["options"]
    gone = before["items"] - before.get("linked_items", before["items"])
    if options["linked_only"] and gone:
        warnings.warn(f"{gone:,} of {before['items']:,} items are no entity of the KG, and are left out with their "
                      f"ratings; linked_only=False keeps them", stacklevel=3)
