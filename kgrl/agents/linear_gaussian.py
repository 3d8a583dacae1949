"""``LinearGaussian``: the item of the highest expected feedback in a linear-Gaussian model, an opponent for all."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.agents.picking import without_shown
from kgrl.agents.scorer import Scorer
from kgrl.nn.taste import TasteTerms
from kgrl.pretrain.tastes import item_tastes
from kgrl.sessions import Sessions


class LinearGaussian(Scorer):
    r"""Recommends what the user, as far as her feedback tells, is expected to like best; neither paper has it.

    The training users' ratings are taken for draws of a Gaussian with a low-rank covariance and noise by item
    (:func:`kgrl.pretrain.item_tastes`), and a session's feedback as the observation of one more such user
    (:class:`kgrl.nn.TasteTerms`):

    .. math:: a_t = \arg\max_i\ \mu_i + \mathbf w_i^\top \mathbb E[\mathbf p \mid f_1 \dots f_{t-1}]

    It is what a matrix factorization re-fitted after each interaction (the papers' GreedySVD) comes to with the
    uncertainty of a short session in it. It learns nothing from interactions, and looks at every item: O(N) a decision.

    Args:
        data: a data set.
        users: ``[U]``, training users, whose ratings it is fitted to.
        dim: length of a taste.
        seed: of the fit.
    """

    expected: Tensor
    loading: Tensor
    noise: Tensor

    def __init__(self, data: HeteroData, users: Tensor, dim: int = 12, seed: int = 0) -> None:
        super().__init__()
        for name, part in item_tastes(data, users, dim, seed)._asdict().items():
            self.register_buffer(name, part)

    @property
    def num_items(self) -> int:
        """N."""
        return len(self.expected)

    def _scores(self, sessions: Sessions, explore: bool = False) -> Tensor:
        """``[B, N]``, −∞ for what was shown."""
        terms, shown = TasteTerms(self.expected, self.loading, self.noise), sessions.shown
        mean = terms.infer(shown, sessions.feedback[:, : sessions.step])
        scores = torch.addmm(self.expected, mean, self.loading.T)
        return without_shown(scores, shown)
