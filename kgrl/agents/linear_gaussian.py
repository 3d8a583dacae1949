"""``LinearGaussian``: the item of the highest expected feedback in a linear-Gaussian model, an opponent for all."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from kgrl.agents.picking import best_item, best_items, without_shown
from kgrl.nn.taste import TasteTerms
from kgrl.options import expected
from kgrl.pretrain.tastes import item_tastes
from kgrl.sessions import Sessions


class LinearGaussian(nn.Module):
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

    @torch.no_grad()
    def act(self, sessions: Sessions, explore: bool = False, generator: torch.Generator | None = None) -> Tensor:
        """``[B]``, the item of the highest expected feedback, exploring or not; −1 where all have been shown."""
        return best_item(self._scores(sessions))

    def recommend(self, past: Sessions, k: int = 10) -> Tensor:
        """``[B, k]``, the k best items of each real user, best first, padded with −1 where there are fewer.

        Raises:
            ValueError: an item id the agent does not know.
        """
        if (past.items >= len(self.expected)).any():
            raise ValueError(expected("past.items", f"item ids below {len(self.expected)}", int(past.items.max())))
        return best_items(self._scores(past.to(self.expected.device)), k)

    def learn(self, sessions: Sessions, generator: torch.Generator | None = None) -> dict[str, float]:
        """Nothing."""
        return {"gradient_steps": 0}

    def _scores(self, sessions: Sessions) -> Tensor:
        """``[B, N]``, −∞ for what was shown."""
        terms, shown = TasteTerms(self.expected, self.loading, self.noise), sessions.shown
        mean = terms.infer(shown, sessions.feedback[:, : sessions.step])
        scores = torch.addmm(self.expected, mean, self.loading.T)
        return without_shown(scores, shown)
