"""``LinearGaussian``: the item of the highest expected feedback in a linear-Gaussian model, an opponent for all."""

from __future__ import annotations

import os

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.agents.shared.catalogue import Catalogue
from kgrl.agents.shared.picking import without_shown
from kgrl.agents.shared.scorer import Scorer
from kgrl.files import load_tensors
from kgrl.nn.state.taste import TasteTerms
from kgrl.objects import of_class
from kgrl.pretrain.tastes import item_tastes
from kgrl.raw_ids import RawIds
from kgrl.sessions import Sessions


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
        ids: ``[N]``, the items' raw ids (``data["item"].raw_id``), by which its file is checked when it is loaded.

    Raises:
        ValueError: parts that do not fit together, are not finite, a noise of 0 or below, or ids of other items.
    """

    expected: Tensor
    loading: Tensor
    noise: Tensor

    def __init__(self, tastes: TasteTerms, *, ids: RawIds | None = None) -> None:
        super().__init__()
        terms = of_class("tastes", tastes, TasteTerms, "kgrl.pretrain.item_tastes makes them").checked("tastes")
        self.options = {"dim": terms.loading.size(1)}
        self.catalogue = Catalogue.of_items(ids, len(terms.expected))
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
        return cls(item_tastes(data, users, dim, seed), ids=data["item"].get("raw_id"))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the model and raw ids to one safetensors file, whole or not at all."""
        self._write(path, self.state_dict(), {"options": self.options})

    @classmethod
    def load(cls, path: str | os.PathLike[str], ids: RawIds | None = None) -> LinearGaussian:
        """The agent that :meth:`save` wrote.

        Args:
            path: the file.
            ids: ``[N]``, the raw ids of the items as they are numbered now: those of the file, in any order. ``None``:
                they are numbered as they were, which is not checked.

        Raises:
            ValueError: a damaged or foreign file, or one of other items.
        """
        tensors, _ = load_tensors(path, f"{cls.__name__} agent")
        known, _ = cls._found(path, tensors, ids)
        return cls(TasteTerms(**tensors), ids=known)

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
