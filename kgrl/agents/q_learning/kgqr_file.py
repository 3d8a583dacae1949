"""What a file holds of a ``KGQR``, made ready for the KG that the agent is loaded with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch_geometric.data import Data

from kgrl.agents.q_learning.kgqr_parts import CONVOLVES
from kgrl.agents.shared.catalogue import Match
from kgrl.agents.shared.new_nodes import moved_rows, moved_tastes
from kgrl.agents.shared.warm_start import START, saved_tastes
from kgrl.candidates.fixed import FixedCandidates
from kgrl.graph import without_edges
from kgrl.options import expected


def constructor_options(
    metadata: Mapping[str, Any], tensors: Mapping[str, Tensor], options: Mapping[str, Any], kg: Data, changed: bool
) -> dict[str, Any]:
    """What the constructor is given for a saved agent: the file's options and tensors, and ``options`` over them.

    Args:
        metadata: of the file.
        tensors: of the file, by the numbers of ``kg``.
        options: that the agent is loaded with.
        kg: its KG.
        changed: whether that is another one than the agent was saved with.
    """
    saved = dict(metadata["options"])
    made_by_hand = saved.pop("own_candidates")
    given: dict[str, Any] = {"embedding": tensors["network.items.embedding"], "popular": tensors.get("popular"),
                             "tastes": saved_tastes(tensors, options, anew=changed)}
    if made_by_hand is not None and metadata.get("fixed"):
        given["candidates"] = FixedCandidates(int(kg.num_items), tensors.get("candidates.pool"))
    saved.setdefault("state", "gru")  # which a file of before does not name
    for part, made in (("aggregator", saved["aggregator"]), ("state", saved["state"]), ("candidates", made_by_hand)):
        by_hand = made is not None and (part == "candidates" or isinstance(made, dict))
        if by_hand and part not in (given | dict(options)):
            raise ValueError(expected(part, f"given again, as it was made by hand ({made})", None))
    given |= saved | dict(options)
    if given["backfill"] is not None:
        given["backfill"] = tuple(given["backfill"])
    return given


def moved_tensors(tensors: Mapping[str, Tensor], match: Match, kg: Data, variant: str) -> dict[str, Tensor]:
    """A saved agent's tensors, those that have a row per node or item by the numbers of ``kg``."""
    near = without_edges(kg) if variant == "KGQR-KG" else kg  # which knows nothing of any KG
    rows = kg.num_nodes if variant in CONVOLVES else kg.num_items
    moved = dict(tensors)
    for name in ("network.items.embedding", "averaged.items.embedding", "target.items.embedding"):
        if name in tensors:
            moved[name] = moved_rows(tensors[name], match.node, near)[:rows]
    for name in ("popular", "candidates.pool"):
        if name in tensors:
            moved[name] = match.moved(tensors[name])
    if (start := saved_tastes(tensors, {})) is not None:
        parts = moved_tastes(start, match, near)._asdict()
        moved |= {f"{START}{name}": part for name, part in parts.items()}
    return moved
