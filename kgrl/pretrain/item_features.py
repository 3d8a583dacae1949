"""``item_features``: which entities an item is linked to, as one sparse matrix, relation by relation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, diags
from torch_geometric.data import Data

from kgrl.graph import checked_graph, forward_triples
from kgrl.options import at_least, between, expected


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
