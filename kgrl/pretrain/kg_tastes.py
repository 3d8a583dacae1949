"""``kg_tastes``: a prior for every item, from the training users' ratings through the knowledge graph."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_matrix, hstack
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from kgrl.graph import checked_graph
from kgrl.nn.taste import TasteTerms
from kgrl.options import at_least, expected, one_of
from kgrl.pretrain.factor_tastes import factor_tastes
from kgrl.pretrain.item_features import ItemFeatures, item_features
from kgrl.pretrain.items import ratings_of
from kgrl.pretrain.relation_regression import fit_relations
from kgrl.pretrain.tastes import item_tastes

UNRATED = {"unknown": factor_tastes, "zero": item_tastes}
"""What an item not rated by a user is, and the model of the ratings in which it is that."""


def kg_tastes(
    kg: Data, data: HeteroData, users: Tensor, dim: int = 8, *, unrated: str = "unknown", own: bool = True, seed: int = 0
) -> TasteTerms:
    r"""What is expected of every item before any interaction, items that nobody has rated included.

    A hierarchical model. An item's terms :math:`\mathbf z_i = (\mu_i, \mathbf w_i)` (see :class:`kgrl.nn.TasteTerms`)
    are those of items with the same entities, and something of its own:

    .. math:: \mathbf z_i = \mathbf a + \boldsymbol\pi_i + \mathbf u_i, \qquad
        \boldsymbol\pi_i = \sum_r \sum_{e \in E_{ir}} x_{i,(r,e)} \mathbf b_{(r,e)}, \qquad
        \mathbf b_{(r,e)} \sim \mathcal N(0, v_r \mathbf I),\ \mathbf u_i \sim \mathcal N(0, \tau \mathbf I)

    with features x from :func:`kgrl.pretrain.item_features`, and one per relation that says how common the item's
    entities are. Variances :math:`v_r` and τ are those of the highest marginal likelihood, for μ and for the loadings
    apart: which relations tell of an item is found in the ratings (:func:`kgrl.pretrain.fit_relations`).

    The ratings' own estimates :math:`\hat{\mathbf z}_i` come from :func:`kgrl.pretrain.factor_tastes` (or
    :func:`kgrl.pretrain.item_tastes`). They are drawn towards the mean item **a** already; here it is towards the items
    like it, by as much as the item's :math:`n_i` ratings of noise :math:`\sigma_i^2` leave open:

    .. math:: \mathbf z_i = \hat{\mathbf z}_i + \frac{\sigma_i^2}{\sigma_i^2 + n_i \tau}\, \boldsymbol\pi_i

    So an item with many ratings follows its own, an item with none its entities, and where the KG says nothing the
    result is that of the ratings alone. An item without ratings has the mean noise, and what is not known of its terms
    on top.

    Args:
        kg: of ``data``, from :func:`kgrl.graph.knowledge_graph`.
        data: a data set; ratings are normalised to [−1, 1] by its ``rating_scale``. Items that its
            ``data['item'].new`` marks (:func:`kgrl.datasets.as_released`) could not be rated.
        users: ``[U]``, whose ratings may be seen: the training users, never the test users.
        dim: length k of a taste.
        unrated: what an item is that a user did not rate: ``"unknown"``, as in worlds of predicted feedback; or
            ``"zero"``, received with 0, as in :class:`kgrl.simulator.RatedFeedback`: then an item without any rating
            is one that everybody passed by, unless it is new.
        own: whether an item's own ratings count. ``False``: every item is told by the others like it, as if nobody had
            rated it (cross-fitted in ten parts). What an agent then learns of old items beyond that is of a kind that
            carries over to new ones; from terms of their own there would be little left to learn.
        seed: of the ratings' model, of the traces' estimates and of the parts.

    Returns:
        Terms of all N items, on the device of ``users``.

    Raises:
        ValueError: a KG of other items than ``data``, an unknown ``unrated``, or what the ratings' model refuses.
    """
    base = UNRATED[one_of("unrated", unrated, UNRATED)](data, users, at_least("dim", dim, 1), seed=seed)
    return through_kg(kg, base, observations(data, users, unrated), own=own, seed=seed)


def observations(data: HeteroData, users: Tensor, unrated: str) -> Tensor:
    """``[N]``, how often each item's feedback was seen: once per rating, or by every user where none counts as 0."""
    _, item, _ = ratings_of(data, users)
    count = torch.bincount(item, minlength=data["item"].num_nodes)
    if unrated == "unknown":
        return count
    new = data["item"].get("new")
    seen = torch.ones_like(count, dtype=torch.bool) if new is None else ~new.to(count.device)
    return seen * len(users)


def through_kg(kg: Data, base: TasteTerms, seen: Tensor, *, own: bool = True, seed: int = 0) -> TasteTerms:
    """Terms of all items from the terms of those that were seen; see :func:`kg_tastes`.

    Args:
        kg: from :func:`kgrl.graph.knowledge_graph`.
        base: of the N items; what it says of items never seen does not matter.
        seen: ``[N]``, how often each was; 0: all that is known of it comes through the KG.
        own: whether what was seen of an item itself counts.
        seed: of the traces' estimates and of the parts.

    Raises:
        ValueError: a KG of another number of items, or no item was seen.
    """
    if int(checked_graph(kg).num_items) != len(base.expected):
        raise ValueError(expected("kg", f"of the data set's {len(base.expected)} items", int(kg.num_items),
                                  "knowledge_graph(data) makes it"))
    if not bool((seen > 0).any()):
        raise ValueError(expected("seen", "above 0 for some item", 0, "without ratings there is nothing to learn from"))
    matrix, relation = _design(kg)
    count, given = seen.cpu().numpy(), base.noise.cpu().double().numpy()
    alone = (count == 0) if own else np.ones(len(count), bool)
    noise = np.where(alone, given[count > 0].mean(), given)
    parts = []
    for values in (base.expected.unsqueeze(1), base.loading):
        part, unknown = _shifted(matrix, relation, values.cpu().double().numpy(), given, count, own, seed)
        parts.append(torch.from_numpy(part))
        noise += np.where(alone, unknown * values.size(1), 0.0)
    made = (parts[0].squeeze(1), parts[1], torch.from_numpy(noise))
    return TasteTerms(*(part.float().to(base.expected.device) for part in made))


def _shifted(
    matrix: csr_matrix, relation: np.ndarray, values: np.ndarray, noise: np.ndarray, count: np.ndarray, own: bool,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """``[N, K]``, the values drawn towards those of like items; ``[N]``, the variance of one where nothing was seen."""
    known = count > 0
    mean, error = values[known].mean(0), noise[known] / count[known]
    fit = fit_relations(matrix[known], relation, values[known] - mean, error, seed)
    made = mean + fit.predict(matrix)
    if own:
        made[known] = values[known] + (error / (error + fit.rest))[:, None] * (made[known] - mean)
    else:
        made[known] = mean + fit.predict_unseen(seed)
    return made, fit.spread(matrix, seed)


def _design(kg: Data) -> tuple[csr_matrix, np.ndarray]:
    """The features to regress on, with a block of its own that says how common an item's entities are."""
    features, common = item_features(kg), _commonness(item_features(kg, least=1))
    block = int(features.relation.max(initial=-1)) + 1
    matrix = hstack([features.matrix, csr_matrix(common)]).tocsr()
    return matrix, np.concatenate([features.relation, np.full(common.shape[1], block)])


def _commonness(features: ItemFeatures) -> np.ndarray:
    """``[N, R]``, the mean log number of items that an item's entities are linked to, standardised, per relation."""
    links = features.matrix.copy()
    links.data[:] = 1
    size = np.log(np.bincount(links.indices, minlength=links.shape[1]))
    shape = len(size), int(features.relation.max(initial=-1)) + 1
    group = csr_matrix((np.ones(len(size)), (np.arange(len(size)), features.relation)), shape=shape)
    count = (links @ group).toarray()
    mean = (links.multiply(size) @ group).toarray() / np.maximum(count, 1)
    there = count > 0
    centre = (mean * there).sum(0) / np.maximum(there.sum(0), 1)
    deviation = np.where(there, mean - centre, 0.0)
    spread = np.sqrt((deviation**2).mean(0))
    return deviation[:, spread > 1e-9] / spread[spread > 1e-9]
