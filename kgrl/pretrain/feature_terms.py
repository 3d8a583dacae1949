"""``through_features``: terms of items from those of items with the same features."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_matrix, diags, hstack
from torch import Tensor

from kgrl.nn.state.taste import TasteTerms
from kgrl.options import expected
from kgrl.pretrain.relation_regression import RelationRegression, fit_relations

LEAST_NOISE = 1e-3
"""Noise variance of an item at least; ratings are in [−1, 1]. An item that nobody rated would have none."""


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
