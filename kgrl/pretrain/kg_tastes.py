"""``kg_tastes``: a prior for every item, from the training users' ratings through the knowledge graph."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_matrix, hstack
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from kgrl.graph import checked_graph
from kgrl.nn.state.taste import TasteTerms
from kgrl.options import at_least, expected, flag, one_of
from kgrl.pretrain.feature_terms import Features, ItemFeatures, item_features, through_features
from kgrl.pretrain.items import rating_users, ratings_of
from kgrl.pretrain.tastes import NOISE, factor_tastes, item_tastes

UNRATED = ("unknown", "zero")
"""What an item that a user did not rate is."""


def kg_tastes(
    kg: Data, data: HeteroData, users: Tensor, dim: int = 8, *, unrated: str = "unknown", own: bool = True,
    completeness: bool = False, popularity: bool = False, noise: str = "fitted", seed: int = 0,
) -> TasteTerms:
    r"""What is expected of every item before any interaction, items that nobody has rated included.

    A hierarchical model. An item's terms :math:`\mathbf z_i = (\mu_i, \mathbf w_i)` (see :class:`kgrl.nn.TasteTerms`)
    are those of items with the same entities, and something of its own:

    .. math:: \mathbf z_i = \mathbf a + \boldsymbol\pi_i + \mathbf u_i, \qquad
        \boldsymbol\pi_i = \sum_r \sum_{e \in E_{ir}} x_{i,(r,e)} \mathbf b_{(r,e)}, \qquad
        \mathbf b_{(r,e)} \sim \mathcal N(0, v_r \mathbf I),\ \mathbf u_i \sim \mathcal N(0, \tau \mathbf I)

    with features x from :func:`kgrl.pretrain.item_features`, and one per relation that says how common the item's
    entities are. Variances :math:`v_r` and τ are those of the highest marginal likelihood, for μ and for the loadings
    apart: which relations tell of an item is found in the ratings, by
    :func:`kgrl.pretrain.relation_regression.fit_relations`.

    The ratings' own estimates :math:`\hat{\mathbf z}_i` come from :func:`kgrl.pretrain.factor_tastes` (or
    :func:`kgrl.pretrain.item_tastes`). They are drawn towards the mean item **a** already; here it is towards the items
    like it, by as much as the item's :math:`n_i` ratings of noise :math:`\sigma_i^2` leave open:

    .. math:: \mathbf z_i = \hat{\mathbf z}_i + \frac{\sigma_i^2}{\sigma_i^2 + n_i \tau}\, \boldsymbol\pi_i

    So an item with many ratings follows its own, an item with none its entities, and where the KG says nothing the
    result is that of the ratings alone. An item without ratings has the mean noise, and what is not known of its terms
    on top.

    With ``unrated="zero"`` the estimates are those of a closed form, which has not drawn them towards anything. What is
    left open, :math:`s_i = \sigma_i^2 / (\sigma_i^2 + n_i \tau)`, is then taken off them, too, whether the KG says
    something or not; and as such feedback varies the more the better an item is liked, the noise of an item without
    ratings follows its mean:

    .. math:: \mathbf z_i = \mathbf a + (1 - s_i)(\hat{\mathbf z}_i - \mathbf a) + s_i \boldsymbol\pi_i

    For what people rate next take ``noise="held-out"`` and ``popularity=True``. Then the errors for films with one to
    four ratings are smaller, and nearer to what is stated (MovieLens-100K, ``examples/reproduce/priors.py``). The
    defaults are for worlds of a factorization's own predictions.

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
            rated it (cross-fitted in ten parts), with the noise of such an item. What an agent then learns of old items
            beyond that is of a kind that carries over to new ones; from terms of their own little would be left to
            learn.
        completeness: whether an item may be told by how much the KG has of it, beside what it has: by its number of
            entities per relation. Entries grow with fame, after release, as awards come: of an old item the KG says
            more the better it was liked, and of a new one little. So by default the regression knows these numbers, so
            as not to put them down to entities, and does not use them. ``True`` where old and new entries are equally
            complete.
        popularity: whether an item that was rated is told by how often, too (the logarithm and its square): people rate
            what they like, so a film of few ratings is less good than its entities make it look. For
            ``unrated="unknown"`` and ``own=True``; with ``"zero"`` the mean feedback holds it already.
        noise: see :func:`kgrl.pretrain.factor_tastes`; ``"held-out"`` is for ``unrated="unknown"``.
        seed: of the ratings' model, of the traces' estimates and of the parts.

    Returns:
        Terms of all N items, on the device of ``users``.

    Raises:
        ValueError: a KG of other items than ``data``, an unknown ``unrated``, ``popularity`` or ``noise`` that do not
            go with it, or what the ratings' model refuses.
    """
    for name, value in (("own", own), ("completeness", completeness), ("popularity", popularity)):
        flag(name, value)
    seed = at_least("seed", seed, 0)
    one_of("noise", noise, NOISE)
    zeros = one_of("unrated", unrated, UNRATED) == "zero"
    users = rating_users(data, users)
    if zeros and (popularity or noise != "fitted"):
        raise ValueError(expected("unrated", "'unknown' with popularity=True or noise='held-out'", unrated))
    if popularity and not own:
        raise ValueError(expected("popularity", "False with own=False", popularity,
                                  "how often an item was rated is its own"))
    _check_items(kg, int(data["item"].num_nodes))
    seen = observations(data, users, unrated)
    base = item_tastes(data, users, dim, seed) if zeros else factor_tastes(data, users, dim, noise=noise, seed=seed)
    return through_kg(kg, base, seen, own=own, completeness=completeness, zeros=zeros, popularity=popularity, seed=seed)


def observations(data: HeteroData, users: Tensor, unrated: str) -> Tensor:
    """``[N]``, how often each item's feedback was seen: once per rating, or by every user where none counts as 0.

    Raises:
        ValueError: no users, a user twice or unknown, or none of them rated anything.
    """
    _, item, _ = ratings_of(data, users)
    if not len(item):
        raise ValueError(expected("users", "users with at least one rating among them", users))
    count = torch.bincount(item, minlength=data["item"].num_nodes)
    if unrated == "unknown":
        return count
    new = data["item"].get("new")
    seen = torch.ones_like(count, dtype=torch.bool) if new is None else ~new.to(count.device)
    return seen * len(users)


def through_kg(
    kg: Data, base: TasteTerms, seen: Tensor, *, own: bool = True, completeness: bool = False, zeros: bool = False,
    popularity: bool = False, seed: int = 0,
) -> TasteTerms:
    """Terms of all items from the terms of those that were seen; see :func:`kg_tastes`.

    Args:
        kg: from :func:`kgrl.graph.knowledge_graph`.
        base: of the N items; what it says of items never seen does not matter.
        seen: ``[N]``, how often each was; 0: all that is known of it comes through the KG.
        own: whether what was seen of an item itself counts.
        completeness, popularity: whether how much the KG has of an item counts, and how often it was seen.
        zeros: whether most of what was seen is 0.
        seed: of the traces' estimates and of the parts.

    Raises:
        ValueError: a KG of another number of items, ``seen`` of another shape, or no item was seen.
    """
    _check_items(kg, len(base.expected))
    return through_features(_features(kg, completeness), base, seen, own=own, zeros=zeros, popularity=popularity,
                            seed=seed)


def _check_items(kg: Data, num_items: int) -> None:
    if int(checked_graph(kg).num_items) != num_items:
        raise ValueError(expected("kg", f"of the data set's {num_items} items", int(kg.num_items),
                                  "knowledge_graph(data) makes it"))


def _features(kg: Data, completeness: bool) -> Features:
    """What to regress on.

    Beside the items' entities: how common these are, and how many there are.
    """
    features, every = item_features(kg), item_features(kg, least=1)
    common, number = _commonness(every)
    blocks = [features.matrix, csr_matrix(common), csr_matrix(number)]
    first = int(features.relation.max(initial=-1)) + 1
    relation = np.concatenate([features.relation, np.repeat([first, first + 1], [common.shape[1], number.shape[1]])])
    return Features(hstack(blocks).tocsr(), relation, (relation <= first) | completeness)


def _commonness(features: ItemFeatures) -> tuple[np.ndarray, np.ndarray]:
    """Two numbers per relation, standardised, ``[N, R]`` or fewer each: of an item's entities, and of how many it has.

    The mean log number of items that its entities are linked to; and the log number of its entities, and whether there
    are any.
    """
    links = features.matrix.copy()
    links.data[:] = 1
    size = np.log(np.bincount(links.indices, minlength=links.shape[1]))
    group = csr_matrix((np.ones(len(size)), (np.arange(len(size)), features.relation)),
                       shape=(len(size), len(features.names)))
    count = (links @ group).toarray()
    there = count > 0
    mean = (links.multiply(size) @ group).toarray() / np.maximum(count, 1)
    return _standard(mean, there), _standard(np.concatenate([np.log1p(count), there], 1))


def _standard(columns: np.ndarray, there: np.ndarray | None = None) -> np.ndarray:
    """Columns of mean 0 and variance 1, those that do not vary left out; 0 where there is nothing."""
    there = np.ones_like(columns, dtype=bool) if there is None else there
    centre = (columns * there).sum(0) / np.maximum(there.sum(0), 1)
    deviation = np.where(there, columns - centre, 0.0)
    spread = np.sqrt((deviation**2).mean(0))
    return deviation[:, spread > 1e-9] / spread[spread > 1e-9]
