"""``through_features``: terms of items from those of items with the same features."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_matrix, diags
from torch import Tensor

from kgrl.nn.taste import TasteTerms
from kgrl.options import expected
from kgrl.pretrain.relation_regression import fit_relations


def through_features(
    matrix: csr_matrix, relation: np.ndarray, base: TasteTerms, seen: Tensor, *, told: np.ndarray | None = None,
    own: bool = True, seed: int = 0,
) -> TasteTerms:
    """Terms of all items from the terms of those that were seen; :func:`kgrl.pretrain.kg_tastes` has the equations.

    Without features an item that was not seen is the mean item: the mean terms, the mean noise, and what is not known
    of its terms, their variance among items, on top.

    Args:
        matrix: features, CSR ``[N, M]``.
        relation: ``[M]``, each column's relation.
        base: of the N items; what it says of items never seen does not matter.
        seen: ``[N]``, how often each was; 0: all that is known of it comes through its features.
        told: ``[M]``, which columns an item may be told by. The others take their part in the fit, so that nothing of
            theirs is put down to these, and are left out of what is made of it. ``None``: all.
        own: whether what was seen of an item itself counts.
        seed: of the traces' estimates and of the parts.

    Raises:
        ValueError: ``seen`` of another shape, or no item was seen.
    """
    if seen.shape != base.expected.shape:
        raise ValueError(expected("seen", f"{list(base.expected.shape)}, a number an item", list(seen.shape)))
    if not bool((seen > 0).any()):
        raise ValueError(expected("seen", "above 0 for some item", 0, "without ratings there is nothing to learn from"))
    count, given = seen.cpu().numpy(), base.noise.cpu().double().numpy()
    alone = count == 0 if own else np.ones(len(count), bool)
    noise, parts = np.where(alone, given[count > 0].mean(), given), []
    told = np.ones(matrix.shape[1], bool) if told is None else told
    for values in (base.expected.unsqueeze(1), base.loading):
        part, unknown = _drawn(matrix, relation, told, values.cpu().double().numpy(), given, count, own, seed)
        parts.append(torch.from_numpy(part))
        noise += np.where(alone, unknown * values.size(1), 0.0)  # a user's taste has variance 1 in every direction
    made = (parts[0].squeeze(1), parts[1], torch.from_numpy(noise))
    return TasteTerms(*(part.float().to(base.expected.device) for part in made))


def _drawn(
    matrix: csr_matrix, relation: np.ndarray, told: np.ndarray, values: np.ndarray, noise: np.ndarray,
    count: np.ndarray, own: bool, seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """``[N, K]``, the values drawn towards those of like items; ``[N]``, one's variance where none of its own count."""
    known = count > 0
    mean, error = values[known].mean(0), noise[known] / count[known]
    fit = fit_relations(matrix[known], relation, values[known] - mean, error, seed)
    made, unknown, telling = np.empty_like(values), np.zeros(len(values)), matrix @ diags(told.astype(float))
    made[~known], unknown[~known] = mean + fit.predict(telling[~known]), fit.spread(telling[~known], seed)
    if own:
        made[known] = values[known] + (error / (error + fit.rest))[:, None] * fit.predict(telling[known])
    else:
        like, unknown[known] = fit.unseen(telling[known], seed)
        made[known] = mean + like
    return made, unknown
