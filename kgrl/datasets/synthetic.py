"""A world whose right answer is known: attributes in the KG explain the tastes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch_geometric.data import HeteroData

from kgrl.datasets.assemble import Raw, Rules, assemble
from kgrl.datasets.base import KGRecDataset
from kgrl.datasets.ratings import BINARY, draw_distinct
from kgrl.datasets.table import Table
from kgrl.options import at_least, between, expected

SIZES = ("num_users", "num_items", "num_attributes", "tastes_per_user", "num_distractors", "ratings_per_user")


class SyntheticKGRec(KGRecDataset):
    r"""Users who like exactly the items that have one of their favourite attributes; made, not downloaded.

    Each item has one attribute, each user ``tastes_per_user`` favourites, both spread evenly, so that no item is
    liked by all; the world in which they do is :class:`~kgrl.simulator.PlantedFeedback`. In the KG every item points at
    its attribute, ``(item, has_attribute, entity)``, so two hops over the attribute lead from a liked item to the
    others. Distractors are a second such relation that explains nothing.

    A user's further favourites follow from the first at the same distances for all: there are A kinds of users (but for
    coincidences fewer), and who likes attribute a likes the same others. The logged ratings tell that, the KG does not.

    ``data['user'].taste [U, k]`` and ``data['item'].attribute [N]`` hold the truth; entity a, for a below
    ``num_attributes``, is attribute a. The logged ratings are binary, ``noise`` of them wrong.

    Args:
        root: folder of the data set.
        num_users: U.
        num_items: N; millions take seconds.
        num_attributes: A.
        tastes_per_user: k, favourites of a user.
        num_distractors: entities of the relation that explains nothing; 0: there is none.
        ratings_per_user: logged ratings of a user, of distinct items.
        liked_share: the share of them that are of liked items (as many as there are).
        noise: the share of ratings whose label is wrong.
        seed: of everything.
        **kwargs: ``transform``, ``pre_transform``, ``force_reload``.
    """

    license = "none needed"
    citation = "this package"

    def __init__(
        self,
        root: str | os.PathLike[str],
        num_users: int = 200,
        num_items: int = 500,
        num_attributes: int = 10,
        *,
        tastes_per_user: int = 1,
        num_distractors: int = 0,
        ratings_per_user: int = 20,
        liked_share: float = 0.5,
        noise: float = 0.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        options: dict[str, Any] = {"num_users": num_users, "num_items": num_items, "num_attributes": num_attributes,
                   "tastes_per_user": tastes_per_user, "num_distractors": num_distractors,
                   "ratings_per_user": ratings_per_user}
        for name, value in options.items():
            options[name] = at_least(name, value, 0 if name == "num_distractors" else 1)
        for name, low, high in (("num_attributes", tastes_per_user, num_items), ("ratings_per_user", 1, num_items),
                                ("num_distractors", 0, num_items)):
            between(name, options[name], low, high)
        options |= {"liked_share": between("liked_share", liked_share, 0, 1), "noise": between("noise", noise, 0, 0.5),
                    "seed": at_least("seed", seed, 0)}
        super().__init__(root, None, options, **kwargs)

    @property
    def raw_file_names(self) -> list[str]:
        return []

    def fetch(self, folder: Path) -> None:
        """Nothing is downloaded."""

    def read(self, folder: Path) -> HeteroData:
        options, rng = self.options, np.random.default_rng(self.options["seed"])
        num_users, num_items, num_attributes = (options[name] for name in SIZES[:3])
        attribute = rng.permutation(np.arange(num_items) % num_attributes)
        taste = _tastes(num_users, num_attributes, options["tastes_per_user"], rng)
        user, item = _log(taste, attribute, options["ratings_per_user"], options["liked_share"], rng)
        liked = (taste[user] == attribute[item, None]).any(1)
        rating = (liked ^ (rng.random(len(liked)) < options["noise"])).astype(np.float64)
        ratings = pd.DataFrame({"user": user, "item": item, "rating": rating})

        attributes = {"has_attribute": num_items + attribute}
        if options["num_distractors"]:
            distractor = rng.permutation(np.arange(num_items) % options["num_distractors"])
            attributes["has_distractor"] = num_items + num_attributes + distractor
        triples = pd.concat([pd.DataFrame({"head": np.arange(num_items), "relation": name, "tail": tail})
                             for name, tail in attributes.items()])
        raw = Raw(Table.of(ratings, "ratings", []), Table.of(triples, "triples", []),
                  items=Table.of(pd.DataFrame({"item": np.arange(num_items)}), "items", []))
        data = assemble(raw, Rules(BINARY), type(self).__name__)
        data["user"].taste, data["item"].attribute = torch.from_numpy(taste), torch.from_numpy(attribute)
        data.provenance["options"] |= options
        return data


def _tastes(num_users: int, num_attributes: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """``[U, k]``, distinct favourites, every attribute equally often (but for a remainder)."""
    first = rng.permutation(np.arange(num_users) % num_attributes)
    # distinct gaps from the first: the same for all, so that the attributes stay even
    gaps = np.concatenate([[0], 1 + rng.permutation(num_attributes - 1)[: k - 1]])
    return (first[:, None] + gaps) % num_attributes


def _log(
    taste: np.ndarray, attribute: np.ndarray, ratings_per_user: int, liked_share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Who rated what: (user ``[R]``, item ``[R]``), distinct pairs, sorted by user and item."""
    num_users, num_items = len(taste), len(attribute)
    by_attribute, size = np.argsort(attribute, kind="stable"), np.bincount(attribute)
    start = np.cumsum(size) - size

    def liked_item(user: np.ndarray) -> np.ndarray:
        favourite = taste[user, rng.integers(taste.shape[1], size=len(user))]
        return by_attribute[start[favourite] + (rng.random(len(user)) * size[favourite]).astype(np.int64)]

    def any_item(user: np.ndarray) -> np.ndarray:
        return rng.integers(num_items, size=len(user))

    def drawn(wanted: np.ndarray, pick: Callable[[np.ndarray], np.ndarray], taken: np.ndarray) -> np.ndarray:
        return np.concatenate([taken, draw_distinct(wanted, num_items, pick, taken)])

    liked = np.minimum(round(liked_share * ratings_per_user), size[taste].sum(1))
    pairs = drawn(liked, liked_item, np.empty(0, np.int64))
    pairs = np.sort(drawn(ratings_per_user - liked, any_item, pairs))
    if len(pairs) != num_users * ratings_per_user:
        raise ValueError(expected("ratings_per_user", f"at most {num_items}", ratings_per_user))
    return pairs // num_items, pairs % num_items
