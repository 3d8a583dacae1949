"""What the KG says of items, as features; and terms of items from those of the items with the same features."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_matrix, diags, hstack
from torch import Tensor
from torch_geometric.data import Data

from kgrl.graph import checked_graph, forward_triples
from kgrl.nn.state.taste import TasteTerms
from kgrl.options import at_least, between, expected
from kgrl.pretrain.relation_regression import RelationRegression, fit_relations

LEAST_NOISE = 1e-3
"""Noise variance of an item at least; ratings are in [−1, 1]. An item that nobody rated would have none."""


@dataclass(frozen=True)
class ItemFeatures:
    """What the KG says of the N items, in M columns; a column is a (relation, entity).

    Args:
        matrix: CSR ``[N, M]``, not negative. In a row, the columns of one relation have length 1, or 0 where the item
            has no such entity: the product of two rows is a sum of cosines, one per relation.
        relation: ``[M]``, ascending, each column's relation, a position in ``names``.
        names: of the relations that have columns; ``"inverse of r"`` where the item is the tail.
        entity: ``[M]``, each column's entity, a node of the KG.
    """

    matrix: csr_matrix
    relation: np.ndarray
    names: list[str]
    entity: np.ndarray


def item_features(kg: Data, least: int = 2, alike: float = 0.9) -> ItemFeatures:
    r"""Indicators of the items' (relation, entity), with the weight of rare entities and of cosines.

    .. math::
        x_{i,(r,e)} = \frac{\sqrt{\log (N / n_{re})}}{\sqrt{\sum_{e' \in E_{ir}} \log (N / n_{re'})}}
        \quad\text{for } e \in E_{ir}

    with :math:`E_{ir}` the entities that item i is linked to by relation r, and :math:`n_{re}` the number of items
    that e is linked to by r. A relation is read in both directions, with the item as its head and as its tail. Many
    KGs hold both directions as two relations of their own (*written by*, *author of*). Relations, with a direction,
    that link nearly the same pairs are taken as one, that of the first, so that no link counts twice.

    Args:
        kg: from :func:`kgrl.graph.knowledge_graph`, with or without inverses.
        least: number of items that an entity is linked to at least: what one item alone has tells of no other. An
            entity of all items tells nothing, either.
        alike: pairs that two relations share, as a part of all their pairs, from which on they are one.

    Raises:
        ValueError: not such a KG, one without items, ``least`` below 1 or ``alike`` outside [0, 1].
    """
    num_items, num_nodes = int(checked_graph(kg).num_items), int(kg.num_nodes)
    if not num_items:
        raise ValueError(expected("kg.num_items", "at least 1", num_items))
    least = at_least("least", least, 1)
    between("alike", alike, 0, 1)
    item, relation, entity = _links(kg)
    relation = _first_alike(item * num_nodes + entity, relation, 2 * kg.num_relations, alike)[relation]
    kinds, column = np.unique(relation * num_nodes + entity, return_inverse=True)
    matrix = csr_matrix((np.ones(len(item)), (item, column)), shape=(num_items, len(kinds)))
    matrix.data[:] = 1  # links that relations share were added up
    count = np.bincount(matrix.indices, minlength=len(kinds))
    kept = (count >= least) & (count < num_items)
    used, position = np.unique(kinds[kept] // num_nodes, return_inverse=True)
    weighted = matrix[:, kept] @ diags(np.log(num_items / count[kept]))  # squares: the roots come last
    names = [*kg.relation_names, *(f"inverse of {name}" for name in kg.relation_names)]
    return ItemFeatures(_of_length_one(weighted, position), position, [names[r] for r in used],
                        kinds[kept] % num_nodes)


def _links(kg: Data) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(item, relation, entity) of every triple that has an item as its head (relation r) or tail (r + R)."""
    head, relation, tail = forward_triples(kg).cpu().numpy().T
    as_head, as_tail = head < kg.num_items, tail < kg.num_items
    return (np.concatenate([head[as_head], tail[as_tail]]),
            np.concatenate([relation[as_head], relation[as_tail] + kg.num_relations]),
            np.concatenate([tail[as_head], head[as_tail]]))


def _first_alike(pair: np.ndarray, relation: np.ndarray, num_relations: int, alike: float) -> np.ndarray:
    """``[num_relations]``, the first relation of nearly the same pairs; each itself where there is none before."""
    _, row = np.unique(pair, return_inverse=True)
    links = csr_matrix((np.ones(len(row)), (row, relation)), shape=(row.max(initial=-1) + 1, num_relations))
    size = np.bincount(relation, minlength=num_relations)
    both = (links.T @ links).tocoo()
    same = (both.data >= alike * (size[both.row] + size[both.col] - both.data)) & (both.row > both.col)
    first = np.arange(num_relations)
    np.minimum.at(first, both.row[same], both.col[same])
    return first[first]  # what a relation is alike may itself be like an earlier one


def _of_length_one(squares: csr_matrix, relation: np.ndarray) -> csr_matrix:
    """The roots of ``squares``, divided so that each relation's part of a row has length 1."""
    num_relations = int(relation.max(initial=-1)) + 1
    group = csr_matrix((np.ones(len(relation)), (np.arange(len(relation)), relation)),
                       shape=(len(relation), num_relations))
    total, entries = squares.tocsr() @ group, squares.tocoo()
    if not entries.nnz:
        return csr_matrix(squares.shape)
    length = np.asarray(total[entries.row, relation[entries.col]]).ravel()
    return csr_matrix((np.sqrt(entries.data / length), (entries.row, entries.col)), shape=squares.shape)


class Features(NamedTuple):
    """What items are told by.

    Args:
        matrix: CSR ``[N, M]``.
        relation: ``[M]``, each column's relation.
        told: ``[M]``, which columns an item may be told by. The others take their part in the fit, so that nothing of
            theirs is put down to these, and are left out of what is made of it.
    """

    matrix: csr_matrix
    relation: np.ndarray
    told: np.ndarray

    def beside(self, columns: np.ndarray) -> Features:
        """With more ``columns [N, m]``, of a relation of their own."""
        count, own = columns.shape[1], int(self.relation.max(initial=-1)) + 1
        return Features(hstack([self.matrix, csr_matrix(columns)]).tocsr(),
                        np.concatenate([self.relation, np.full(count, own)]),
                        np.concatenate([self.told, np.ones(count, bool)]))


def through_features(
    features: Features, base: TasteTerms, seen: Tensor, *, own: bool = True, zeros: bool = False,
    popularity: bool = False, seed: int = 0,
) -> TasteTerms:
    """Terms of all items from the terms of those that were seen; :func:`kgrl.pretrain.kg_tastes` has the equations.

    Without features an item that was not seen is the mean item: the mean terms, the mean noise, and what is not known
    of its terms, their variance among items, on top.

    Args:
        features: of the N items.
        base: of the N items; what it says of items never seen does not matter.
        seen: ``[N]``, how often each was; 0: all that is known of it comes through its features.
        own: whether what was seen of an item itself counts.
        zeros: whether most of what was seen is 0, as where an item not rated was received with 0. Then an item's
            feedback varies with its mean, and so does the noise of one that was not seen; and ``base`` has not drawn
            the terms towards the mean item yet.
        popularity: whether an item that was seen is told by how often, too.
        seed: of the traces' estimates and of the parts.

    Raises:
        ValueError: ``seen`` of another shape, or no item was seen.
    """
    if seen.shape != base.expected.shape:
        raise ValueError(expected("seen", f"{list(base.expected.shape)}, a number an item", list(seen.shape)))
    if not bool((seen > 0).any()):
        raise ValueError(expected("seen", "above 0 for some item", 0, "without ratings there is nothing to learn from"))
    mean, loading, given = (part.cpu().double().numpy() for part in base)
    count = seen.cpu().numpy()
    alone = count == 0 if own else np.ones(len(count), bool)
    drawn = partial(_drawn, features, own=own, zeros=zeros, popularity=popularity, seed=seed)
    expect, unknown = drawn(mean[:, None], given, count)
    weight, unsure = drawn(loading, given, count)
    rest = _noise_by_mean(base, count > 0, expect[:, 0], weight) if zeros else given[count > 0].mean()
    unsure = unknown + loading.shape[1] * unsure  # a user's taste has variance 1 in every direction
    made = expect[:, 0], weight, np.where(alone, rest + unsure, given)
    return TasteTerms(*(torch.from_numpy(part).float().to(base.expected.device) for part in made))


def _drawn(
    features: Features, values: np.ndarray, noise: np.ndarray, count: np.ndarray, *, own: bool, zeros: bool,
    popularity: bool, seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """``[N, K]``, the values drawn towards those of like items; ``[N]``, one's variance where none of its own count."""
    known = count > 0
    mean, error = values[known].mean(0), noise[known] / count[known]

    def fit(by: Features) -> tuple[RelationRegression, csr_matrix]:
        return (fit_relations(by.matrix[known], by.relation, values[known] - mean, error, seed),
                by.matrix @ diags(by.told.astype(float)))

    found, telling = fit(features)
    made, unknown = np.empty_like(values), np.zeros(len(values))
    made[~known], unknown[~known] = mean + found.predict(telling[~known]), found.spread(telling[~known], seed)
    if not own:
        like, unknown[known] = found.unseen(telling[known], seed)
        made[known] = mean + like
        return made, unknown
    if popularity:
        found, telling = fit(features.beside(_popularity(count)))
    shift = (error / (error + found.rest))[:, None]
    kept = mean + (1 - shift) * (values[known] - mean) if zeros else values[known]
    made[known] = kept + shift * found.predict(telling[known])
    return made, unknown


def _popularity(count: np.ndarray) -> np.ndarray:
    """``[N, 2]``, log of how often an item was seen, and its square, standardised; 0 where it was not."""
    known, size = count > 0, np.log1p(count)
    columns = np.zeros((len(count), 2))
    for at, power in enumerate((1, 2)):
        value = (size[known] - size[known].mean()) ** power
        columns[known, at] = (value - value.mean()) / max(value.std(), 1e-9)
    return columns


def _noise_by_mean(base: TasteTerms, known: np.ndarray, mean: np.ndarray, loading: np.ndarray) -> np.ndarray:
    r"""``[N]``, noise of items of these means: :math:`a + b \max(\mu, 0) - \lVert \mathbf w \rVert^2`.

    Where most feedback is 0, its variance grows with how many like the item: a and b by least squares over the items
    that were seen. The mean noise instead, where that is nearer to theirs, as when everybody rates everything.
    """
    own, weight, noise = (part.cpu().double().numpy()[known] for part in base)
    taste, liked = (weight**2).sum(1), np.stack([np.ones(len(own)), own.clip(0)], 1)
    (level, slope), *_ = np.linalg.lstsq(liked, noise + taste, rcond=None)
    if np.square(level + slope * own.clip(0) - taste - noise).sum() >= np.square(noise - noise.mean()).sum():
        return np.full(len(mean), noise.mean())
    return (level + slope * mean.clip(0) - (loading**2).sum(1)).clip(LEAST_NOISE)
