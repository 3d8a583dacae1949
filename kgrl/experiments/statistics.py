"""What the papers tell of their data: KGQR's Table 2, TPGR's Table 1 and its Figure 3."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.utils import lexsort

from kgrl.experiments.canvas import canvas
from kgrl.experiments.data_sets import Unserved
from kgrl.objects import RATES
from kgrl.options import at_least, expected
from kgrl.rating_scale import normalised_ratings
from kgrl.seeding import generator_for

COLORS = {"positive": "green", "negative": "red"}
BINARY = (0, 1)


def kgqr_statistics(data: HeteroData) -> dict[str, int]:
    """KGQR's Table 2: users, items and interactions; entities, relation types and triples.

    - ``users``: of the data set, all of whom rated.
    - ``linked_items``: rated items that some triple touches. Where ratings are 0 or 1, the zeros were drawn (RippleNet,
      section 4.1), and only ones are ratings: counted so, Book-Crossing has the table's 14,910. ``items`` are those
      that were drawn alone, too: 14,967.
    - ``interactions``: ratings, drawn zeros included, as the table's 139,746 do.
    - ``entities``: of the KG, linked items among them.
    - ``relations``: relation types, inverse ones not added.
    - ``triples``: as the files have them.

    Raises:
        ValueError: a data set without ratings.
        Unserved: one without a KG.
    """
    ratings, linked = normalised_ratings(data), _linked_items(data)
    rated = torch.zeros_like(linked)
    real = data[RATES].rating > 0 if tuple(data.rating_scale[:2]) == BINARY else slice(None)
    rated[ratings.items[real]] = True
    kinds = _kg_edge_types(data)
    return {
        "users": ratings.num_users, "items": ratings.num_items, "linked_items": int((rated & linked).sum()),
        "interactions": len(ratings.values),
        "entities": int(linked.sum()) + (data["entity"].num_nodes if "entity" in data.node_types else 0),
        "relations": len({relation for _, relation, _ in kinds}),
        "triples": sum(data[kind].edge_index.size(1) for kind in kinds),
    }


def _kg_edge_types(data: HeteroData) -> list[tuple[str, str, str]]:
    return [kind for kind in data.edge_types if "user" not in (kind[0], kind[2])]


def _linked_items(data: HeteroData) -> Tensor:
    """``[N]``, whether each item is an entity of some triple."""
    kinds = _kg_edge_types(data)
    if not kinds:
        raise Unserved(expected("data", "a data set with a KG", _name(data), "KGQR's Table 2 counts its triples"))
    linked = torch.zeros(data["item"].num_nodes, dtype=torch.bool, device=data[kinds[0]].edge_index.device)
    for kind in kinds:
        for end, ids in zip((kind[0], kind[2]), data[kind].edge_index, strict=True):
            if end == "item":
                linked[ids] = True
    return linked


def tpgr_statistics(data: HeteroData) -> dict[str, int]:
    """TPGR's Table 1: users, items, ratings, ratings a user and ratings an item.

    ``items`` are those that anyone rated: MovieLens-10M lists 10,681 films, 10,677 of them rated. Means are rounded
    down, as the table does (10,000,054 / 10,677 = 936.6 is its 936). Its 100,498,277 ratings of Netflix are 17,770 more
    than the 100,480,507 there are: one for each item, whose file begins with a line of its own.

    Raises:
        ValueError: a data set without ratings.
    """
    ratings = normalised_ratings(data)
    users, items = (int(ids.bincount().count_nonzero()) for ids in (ratings.users, ratings.items))
    total = len(ratings.values)
    return {"users": users, "items": items, "ratings": total, "ratings_per_user": total // users,
            "ratings_per_item": total // items}


class CountAverages(NamedTuple):
    """By consecutive count 0 … ``longest``: ``average``, its standard ``error`` and the number of ``ratings``.

    All ``[longest + 1]``. Averages of no rating and errors of fewer than two are NaN.
    """

    average: Tensor
    error: Tensor
    ratings: Tensor


def consecutive_count_averages(
    data: HeteroData, above: float = 3.0, longest: int = 20, shuffled: int | None = None
) -> dict[str, CountAverages]:
    r"""TPGR's Figure 3: the average rating after b positive (negative) ratings in a row, for every b.

    A rating's consecutive positive count is the largest b such that the b ratings that the user gave right before it
    are all positive, its negative count likewise: every rating has both, and at least one of them is 0.

    Ratings of one time stamp keep the order of the file; where times are days (Netflix), that decides much. The error
    is that of independent ratings, which those of one user are not.

    Paper is silent: on how long counts may get, and on who has them. Users who rate everything high have the long
    positive counts, whatever the order: on MovieLens-100K the average rises from 3.2 after none to 4.1 after ten
    positive ratings, and from 3.4 to 4.1 with each user's ratings ``shuffled``. A slope alone is no pattern in time.

    Work and memory are a few sorted columns of the R ratings.

    Args:
        data: a data set with time stamps.
        above: a rating above it, on the raw scale, is positive, any other negative.
        longest: counts above it are left out.
        shuffled: seed of a random order, to compare time's with; ``None``: by time.

    Returns:
        Averages for ``"positive"`` and for ``"negative"`` counts.

    Raises:
        ValueError: no ratings, or ``above`` outside the scale.
        Unserved: no time stamps.
    """
    users, rating = normalised_ratings(data).users, data[RATES].rating
    low, high, _ = data.rating_scale
    if "time" not in data[RATES]:
        raise Unserved(expected("data", "a data set with time stamps", _name(data),
                                "TPGR's Figure 3 follows each user's ratings in time"))
    if not low <= above < high:
        raise ValueError(expected("above", f"a rating in [{low}, {high})", above, "it is on the data's raw scale"))
    at_least("longest", longest, 0)
    when = data[RATES].time
    if shuffled is not None:
        when = torch.randperm(len(when), generator=generator_for(when.device, shuffled), device=when.device)
    order = lexsort([when, users])  # stable: ties stay in the order of the file
    users, rating = users[order], rating[order].double()
    first = torch.ones_like(users, dtype=torch.bool)
    first[1:] = users[1:] != users[:-1]
    positive = rating > above
    return {sign: _averages(_run_before(counted, first), rating, longest)
            for sign, counted in zip(COLORS, (positive, ~positive), strict=True)}


def _run_before(counted: Tensor, first: Tensor) -> Tensor:
    """``[R]``, how many in a row right before each place are ``counted``, back to the ``first`` of its user."""
    place = torch.arange(len(counted), device=counted.device)
    broken = first.clone()  # whether nothing before a place belongs to its run
    broken[1:] |= ~counted[:-1]
    return place - torch.where(broken, place, 0).cummax(0).values


def _averages(count: Tensor, rating: Tensor, longest: int) -> CountAverages:
    count = count.clamp(max=longest + 1)
    number = count.bincount(minlength=longest + 2)
    average = count.bincount(rating, longest + 2) / number
    squares = count.bincount((rating - average[count]).square_(), longest + 2)
    error = (squares / (number - 1).clamp(min=0) / number).sqrt()  # 0 / 0 where there is one
    return CountAverages(average[:-1], error[:-1], number[:-1])


def plot_consecutive_counts(
    averages: Mapping[str, CountAverages], path: str | os.PathLike[str],
    shuffled: Mapping[str, CountAverages] | None = None,
) -> None:
    """Draws TPGR's Figure 3 into a PNG file: green after positive ratings, red after negative, with standard errors.

    Args:
        averages: from :func:`consecutive_count_averages`.
        path: the file.
        shuffled: the same in a random order, dotted.
    """
    with canvas(path, legend="best") as (axes,):
        for order, style, drawn in (("", "-", averages), (", shuffled", ":", shuffled or {})):
            for sign, (average, error, _) in drawn.items():
                axes.errorbar(range(len(average)), average, error, marker=".", capsize=2, linestyle=style,
                              color=COLORS[sign], label=sign + order)
        axes.set(xlabel="consecutive count before the rating", ylabel="average rating")


def _name(data: HeteroData) -> Any:
    """What an error calls a data set."""
    return data.provenance["name"] if "provenance" in data else data.edge_types
