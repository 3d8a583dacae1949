"""``TfIdfProfile``: the plainest content-based recommender, the line for those that know more."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import diags
from torch import Tensor
from torch_geometric.data import Data

from kgrl.agents.shared.picking import without_shown
from kgrl.agents.shared.scorer import Scorer
from kgrl.nn.state.sparse_taste import sparse_rows
from kgrl.pretrain.feature_terms import item_features
from kgrl.sessions import Sessions


class TfIdfProfile(Scorer):
    r"""Recommends the items most like the sum of those that the user liked.

    An item is a vector of its (relation, entity), each with the weight :math:`\log (N / n)` of the n items that have
    it, of length 1. Of equal scores the lower id comes first.

    Args:
        kg: from :func:`kgrl.graph.knowledge_graph`.
        least: number of items that an entity is linked to at least.
    """

    items: Tensor
    features: Tensor

    def __init__(self, kg: Data, least: int = 3) -> None:
        super().__init__()
        matrix = item_features(kg, least, alike=1.0).matrix.copy()
        matrix.data[:] = 1
        matrix = matrix @ diags(np.log(matrix.shape[0] / matrix.getnnz(0)))
        length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(1)).ravel())
        matrix = (diags(1 / length.clip(1e-9)) @ matrix).tocsr()
        start, column = (torch.from_numpy(part).long() for part in (matrix.indptr, matrix.indices))
        self.register_buffer(
            "items", sparse_rows(start, column, torch.from_numpy(matrix.data).float(), matrix.shape[1]))
        self.register_buffer("features", self.items.to_sparse_coo().T.to_sparse_csr())

    @property
    def num_items(self) -> int:
        """N."""
        return len(self.items)

    def _scores(self, sessions: Sessions, explore: bool = False) -> Tensor:
        """``[B, N]``, −∞ for what was shown."""
        liked = torch.zeros(len(sessions), self.num_items + 1, dtype=torch.float)
        liked = liked.scatter_(1, sessions.liked + 1, 1.0)[:, 1:]
        return without_shown((self.items @ (self.features @ liked.T)).T, sessions.shown)
