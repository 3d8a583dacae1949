"""What the nodes of a data set are called: names that are listed, names that labels tell, and the one list of all."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.stats import hypergeom
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.datasets.links import Links
from kgrl.datasets.table import Table
from kgrl.objects import a_data_set
from kgrl.options import expected

ARTICLES = "The|A|An|Le|La|Les|El|Il|Das|Der"


def node_names(data: HeteroData) -> list[str]:
    """What a person calls each node of a data set's KG, items first.

    An item goes by its title, else by its raw id after the word for what it is ("book 0195153448"); an entity by its
    name, else by "": its raw id tells a person nothing.

    Args:
        data: any ``HeteroData`` with items, and perhaps ``data["item"].title``, ``data["entity"].name`` and
            ``data.provenance["item_noun"]``.

    Returns:
        A name for each of the N items and E − N entities.
    """
    num_items, num_entities = a_data_set("data", data)["item"].num_nodes, data["entity"].num_nodes or 0
    raw = data["item"].get("raw_id", range(num_items))
    titles = data["item"].get("title") or [""] * num_items
    noun = data.provenance.get("item_noun", "item") if "provenance" in data else "item"
    items = [_as_spoken(title) or f"{noun} {each}" for title, each in
             zip(titles, raw.tolist() if isinstance(raw, Tensor) else raw, strict=True)]
    return items + list(data["entity"].get("name") or [""] * num_entities)


def _as_spoken(title: str) -> str:
    """MovieLens sorts titles by their first noun: "Crying Game, The (1992)" is "The Crying Game (1992)"."""
    return re.sub(rf"^([^(]+), ({ARTICLES})(?= \(|$)", r"\2 \1", title)


def add_names(data: HeteroData, listed: Table, links: Links | None, kept: np.ndarray) -> None:
    """Sets ``data["entity"].name`` from a list of names; an item without a title takes its entity's name as one.

    Args:
        data: with items and entities.
        listed: columns ``entity, name``.
        links: what numbered the entities.
        kept: which of all items ``data`` holds, as a mask.

    Raises:
        ValueError: there is no KG, or an entity that is not in it or is listed twice; the text names the row.
    """
    if links is None:
        raise ValueError(expected("entities", "None where there are no triples", f"{len(listed.frame):,} names",
                                  "give the `triples` that hold these entities, too"))
    number = links.entities.numbers(listed.frame["entity"])
    listed.complain(number < 0, "entity", "an entity of some triple of the KG")
    listed.complain(listed.frame["entity"].duplicated(), "entity", "listed once")
    names = np.full(len(links.entities), "", dtype=object)
    names[number] = listed.frame["name"].astype(object).fillna("").astype(str)
    others = np.ones(len(names), bool)
    others[links.entity[(links.entity >= 0) & kept]] = False
    data["entity"].name = names[others].tolist()
    own = [names[each] if each >= 0 else "" for each in links.entity[kept]]
    if any(own):
        titles = data["item"].get("title") or [""] * len(own)
        data["item"].title = [title or name for title, name in zip(titles, own, strict=True)]


SMALLEST_PHI, MARGIN, ERROR = 0.3, 1.2, 0.01
NO_LABEL = {"", "unknown", "(no genres listed)"}


def names_from_labels(data: HeteroData, labels: Sequence[Collection[str]]) -> list[str]:
    r"""Names an entity by the label whose items are its items: the one that most comedies are linked to is "Comedy".

    For entity e and label l, over the N items, with :math:`n_e` linked to e by whatever relation, :math:`n_l` labelled
    l and :math:`n_{el}` both, their agreement is the correlation of the two indicators,

    .. math::
        \phi_{el} = \frac{N n_{el} - n_e n_l}{\sqrt{n_e (N - n_e)\, n_l (N - n_l)}}

    A pair is taken if

    - so many common items are too rare by chance: in all comparisons together they come with a probability below
      ``ERROR`` = 0.01 (hypergeometric tail, Bonferroni);
    - :math:`\phi` is at least ``SMALLEST_PHI`` = 0.3: below, the word would be wrong for too many of the items;
    - each is the other's best, by ``MARGIN`` = 1.2 times the next one that is above chance: *Children's* agrees with
      the genre of family films, but with the films of a studio, too.

    What is taken is set aside, and the rest is looked at again: *Fantasy* becomes clear once the entity of *Adventure*
    films has its name. So the names are one to one. On MovieLens-100K the 18 true pairs have :math:`\phi` of 0.34 to
    0.96; with items linked to the wrong entities none is above 0.12, and nothing is named.

    Time and memory go with the links and labels of the items.

    Args:
        data: with node types ``item`` and ``entity``; links in either direction count, several between two nodes once.
        labels: for each of the N items its words; may be empty.

    Returns:
        For each entity node its name, "" where no label is clear.

    Raises:
        ValueError: there are not N collections of words.
        TypeError: one of them is a text, and not a collection of words.
    """
    num_items, num_entities = a_data_set("data", data)["item"].num_nodes, data["entity"].num_nodes or 0
    if not isinstance(labels, Sequence) or isinstance(labels, str | bytes):
        raise TypeError(expected("labels", "a collection of words for each item", type(labels).__name__))
    if len(labels) != num_items:
        raise ValueError(expected("labels", f"one collection of words for each of the {num_items} items", len(labels)))
    if (text := next((each for each in labels if isinstance(each, str)), None)) is not None:
        raise TypeError(expected("labels", "a collection of words for each item", text, "split the text into words"))
    words = sorted({word for each in labels for word in each})
    number = {word: place for place, word in enumerate(words)}
    rows = np.repeat(np.arange(num_items), [len(set(each)) for each in labels])
    labelled = _incidence(rows, [number[word] for each in labels for word in set(each)], (num_items, len(words)))
    pairs = _agreeing(_linked(data), labelled)
    names = np.full(num_entities, "", dtype=object)
    taken = _one_to_one(pairs)
    names[taken["entity"]] = [words[label] for label in taken["label"]]
    return names.tolist()


def name_by_labels(data: HeteroData, listed: pd.DataFrame, column: str, separator: str) -> None:
    """Sets ``data["entity"].name`` by what a list of items says of them, if that names any; see above.

    Args:
        data: with ``raw_id`` of the items.
        listed: columns ``item`` and ``column``, each item once.
        column: the labels of an item, as one text; without such a column nothing is named.
        separator: between them.
    """
    if column not in listed:
        return
    raw = data["item"].raw_id
    texts = listed.set_index("item")[column].reindex(raw.tolist() if isinstance(raw, Tensor) else raw).fillna("")
    names = names_from_labels(data, [set(text.split(separator)) - NO_LABEL for text in texts])
    if any(names):
        data["entity"].name = names


def _linked(data: HeteroData) -> csr_array:
    """Which item is linked to which entity, ``[N, entities]``."""
    ends = [np.empty((2, 0), np.int64)]
    for source, _, target in data.edge_types:
        if {source, target} == {"item", "entity"}:
            edge_index = data[source, _, target].edge_index.cpu().numpy()
            ends.append(edge_index if source == "item" else edge_index[::-1])
    items, entities = np.concatenate(ends, axis=1)
    return _incidence(items, entities, (data["item"].num_nodes, data["entity"].num_nodes or 0))


def _incidence(rows: np.ndarray, columns: Sequence[int] | np.ndarray, shape: tuple[int, int]) -> csr_array:
    """Ones in the given cells, however often they are given."""
    made = csr_array((np.ones(len(rows), np.int64), (rows, np.asarray(columns, np.int64))), shape=shape)
    made.sum_duplicates()
    made.data[:] = 1
    return made


def _agreeing(linked: csr_array, labelled: csr_array) -> pd.DataFrame:
    """The pairs (entity, label) that agree above chance, with their ``phi``, best first: to be taken, or rivals."""
    total = linked.shape[0]
    common = (linked.T @ labelled).tocoo()
    entity, label = common.coords
    ours, theirs = linked.sum(axis=0)[entity], labelled.sum(axis=0)[label]
    spread = np.sqrt(1.0 * ours * (total - ours) * theirs * (total - theirs))
    phi = (total * common.data - ours * theirs) / np.where(spread > 0, spread, np.inf)
    chance = np.ones(len(phi))
    near = phi >= SMALLEST_PHI / MARGIN
    chance[near] = hypergeom.sf(common.data[near] - 1, total, ours[near], theirs[near])
    comparisons = np.count_nonzero(linked.sum(axis=0)) * labelled.shape[1]
    pairs = pd.DataFrame({"entity": entity, "label": label, "phi": phi})
    return pairs[chance * comparisons < ERROR].sort_values("phi", ascending=False)


def _one_to_one(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs that are taken, round after round until none of those left is clear."""
    taken = [pairs.iloc[:0]]
    while True:
        clear = pairs["phi"] >= SMALLEST_PHI
        for side in ("entity", "label"):
            best = ~pairs.duplicated(side)
            rival = pairs[~best].drop_duplicates(side).set_index(side)["phi"]
            clear &= best & (pairs["phi"] >= MARGIN * pairs[side].map(rival).fillna(0.0))
        if not clear.any():
            return pd.concat(taken)
        taken.append(pairs[clear])
        pairs = pairs[~pairs["entity"].isin(taken[-1]["entity"]) & ~pairs["label"].isin(taken[-1]["label"])]
