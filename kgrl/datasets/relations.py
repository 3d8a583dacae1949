"""Triples → one PyG edge type a relation and pair of node types."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

EdgeType = tuple[str, str, str]


def relation_keys(names: Sequence[object], place: Callable[[object], str] = lambda name: "triples") -> list[str]:
    """Relation names as PyG can use them in module keys: letters, digits and single underscores.

    ``film.film.directed_by`` becomes ``film_film_directed_by``; the number 3 becomes ``relation_3``. Letters are
    ASCII's, without which ``torch_geometric.nn.to_hetero`` fails: ``réalisé`` becomes ``realise``, and a letter that is
    no such letter with an accent its number, as ``u5bfc``.

    Args:
        names: as they are in the data.
        place: name → where it was first written, for the error.

    Raises:
        ValueError: a name without any letter or digit, or two names that become one.
    """
    known: dict[str, object] = {}
    for name in names:
        key = re.sub(r"[\W_]+", "_", _ascii(str(name))).strip("_")
        key = f"relation_{key}" if key.isdecimal() else key
        if not key:
            raise ValueError(f"{place(name)}: a relation's name must have a letter or digit, got {name!r}")
        if key in known:
            raise ValueError(f"{place(name)}: relation names must stay distinct as module keys, got {known[key]!r} and "
                             f"{name!r}, both {key!r}; rename one")
        known[key] = name
    return list(known)


def _ascii(name: str) -> str:
    """Without accents; other letters and digits past ASCII by their number."""
    plain = "".join(each for each in unicodedata.normalize("NFKD", name) if not unicodedata.combining(each))
    return "".join(f"_u{ord(each):x}_" if not each.isascii() and each.isalnum() else each for each in plain)


def typed_edges(
    head: np.ndarray, relation: np.ndarray, tail: np.ndarray, num_items: int, keys: Sequence[str]
) -> dict[EdgeType, Tensor]:
    """Splits the triples by relation and node types; the triples of one edge type stay in order.

    Args:
        head: ``[M]``, nodes: item i is i, entity j is ``num_items`` + j.
        relation: ``[M]``, numbers of ``keys``.
        tail: ``[M]``, nodes.
        num_items: N.
        keys: the relations' names.

    Returns:
        (source type, relation, target type) → ``edge_index [2, m]``, numbered within the types, ordered as ``keys``.
    """
    kind = relation * 4 + (head >= num_items) * 2 + (tail >= num_items)
    order = np.argsort(kind, kind="stable")
    edges = np.stack([head, tail])[:, order]
    edges -= num_items * (edges >= num_items)
    kinds, starts = np.unique(kind[order], return_index=True)
    types = ("item", "entity")
    return {
        (types[int(each) // 2 % 2], keys[int(each) // 4], types[int(each) % 2]): torch.from_numpy(part.copy())
        for each, part in zip(kinds, np.split(edges, starts[1:], axis=1), strict=True)
    }
