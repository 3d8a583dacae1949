"""``LinearGaussian``: the item of the highest expected feedback in a linear-Gaussian model, an opponent for all."""

from __future__ import annotations

import os

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.agents.shared.picking import without_shown
from kgrl.agents.shared.scorer import Scorer
from kgrl.files import load_tensors, save_tensors
from kgrl.nn.state.taste import TasteTerms
from kgrl.objects import of_class
from kgrl.pretrain.tastes import item_tastes
from kgrl.sessions import Sessions

KIND = "LinearGaussian agent"
"""What its files are marked with."""


class LinearGaussian(Scorer):
    r"""Recommends what the user, as far as her feedback tells, is expected to like best; neither paper has it.

    The training users' ratings are taken for draws of a Gaussian with a low-rank covariance and noise by item
    (:func:`kgrl.pretrain.item_tastes`), and a session's feedback as the observation of one more such user
    (:class:`kgrl.nn.TasteTerms`):

    .. math:: a_t = \arg\max_i\ \mu_i + \mathbf w_i^\top \mathbb E[\mathbf p \mid f_1 \dots f_{t-1}]

    It is what a matrix factorization re-fitted after each interaction (the papers' GreedySVD) comes to with the
    uncertainty of a short session in it. It learns nothing from interactions, and looks at every item: O(N) a decision.

    To :meth:`from_ratings`, an item not rated is one received with feedback 0, as it is in a world of logged ratings
    (:class:`kgrl.simulator.RatedFeedback`). Where a world predicts what was not rated, that pulls the rarely rated
    items' expected feedback towards 0; :func:`kgrl.pretrain.factor_tastes`, to which a missing rating is none, is the
    model for it.

    Args:
        tastes: of the items, from :func:`kgrl.pretrain.item_tastes`, :func:`kgrl.pretrain.factor_tastes` or, for items
            that nobody has rated, too, :func:`kgrl.pretrain.kg_tastes`.

    Raises:
        ValueError: parts that do not fit together, are not finite, or a noise of 0 or below.
    """

    expected: Tensor
    loading: Tensor
    noise: Tensor

    def __init__(self, tastes: TasteTerms) -> None:
        super().__init__()
        terms = of_class("tastes", tastes, TasteTerms, "kgrl.pretrain.item_tastes makes them").checked("tastes")
        self.options = {"dim": terms.loading.size(1)}
        for name, part in terms._asdict().items():
            self.register_buffer(name, part.clone())

    @classmethod
    def from_ratings(cls, data: HeteroData, users: Tensor, *, dim: int = 12, seed: int = 0) -> LinearGaussian:
        """Fits the model to the ratings of the training users.

        Args:
            data: a data set.
            users: ``[U]``, training users.
            dim: length of a taste.
            seed: of the fit.
        """
        return cls(item_tastes(data, users, dim, seed))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the model to one safetensors file, whole or not at all."""
        save_tensors(path, self.state_dict(), {"kind": KIND, "options": self.options})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> LinearGaussian:
        """The agent that :meth:`save` wrote.

        Raises:
            ValueError: a damaged or foreign file.
        """
        return cls(TasteTerms(**load_tensors(path, KIND)[0]))

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

    def extra_repr(self) -> str:
        return f"{len(self.expected)} items, dim={self.loading.size(1)}"
