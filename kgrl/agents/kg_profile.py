"""``KGProfile``: what a user likes, told by the entities that the items she liked are linked to."""

from __future__ import annotations

import os
from collections.abc import Mapping

from torch import Tensor
from torch_geometric.data import Data, HeteroData

from kgrl.agents.shared.catalogue import Catalogue, Match
from kgrl.agents.shared.picking import in_parts, without_shown
from kgrl.agents.shared.scorer import Scorer
from kgrl.files import load_tensors
from kgrl.nn.state.sparse_taste import SparseTasteTerms, sparse_rows
from kgrl.objects import of_class
from kgrl.pretrain.kg_likes import kg_likes
from kgrl.raw_ids import RawIds
from kgrl.sessions import Sessions

PARTS = ("expected", "noise", "start", "column", "value")
"""The buffers that are the model."""


class KGProfile(Scorer):
    r"""Recommends what the user is expected to like most by its entities; for items that nobody has rated, too.

    A content-based recommender, as the tf-idf profile of the items that a user liked is, in the form of a Gaussian
    model (:func:`kgrl.pretrain.kg_likes`): the training users' likes say how much each relation tells, how
    popular a new item will be and how unlike the users are in activity. A session is then one more such user, whose
    taste for every (relation, entity) is inferred exactly (:class:`kgrl.nn.SparseTasteTerms`):

    .. math:: a_t = \arg\max_j\ \mu_j + \mathbf w_j^\top \mathbb E[\mathbf p \mid y_1 \dots y_{t-1}]

    with :math:`y = 1` for a positive feedback and 0 for any other. It learns nothing from interactions, and what it
    knows of an old item beside its popularity is its entities, too. Neither paper has it.

    Args:
        likes: of the items, from :func:`kgrl.pretrain.kg_likes`.
        ids: ``[N]``, the items' raw ids (``data["item"].raw_id``), by which its file is checked when it is loaded.

    Raises:
        ValueError: parts that do not fit together, are not finite, a noise of 0 or below, or ids of other items.
    """

    expected: Tensor
    noise: Tensor
    start: Tensor
    column: Tensor
    value: Tensor

    def __init__(self, likes: SparseTasteTerms, *, ids: RawIds | None = None) -> None:
        super().__init__()
        of_class("likes", likes, SparseTasteTerms, "kgrl.pretrain.kg_likes makes them")
        loading = likes.checked("likes").loading
        self.options = {"num_features": loading.size(1)}
        self.catalogue = Catalogue.of_items(ids, len(loading))
        for name, part in _parts(likes).items():
            self.register_buffer(name, part.clone())

    @classmethod
    def from_data(
        cls, kg: Data, data: HeteroData, users: Tensor, *, old: Tensor | None = None, least: int = 2
    ) -> KGProfile:
        """Fits the model to the likes of the training users.

        Args:
            kg, data: a data set and its KG.
            users: ``[U]``, training users.
            old, least: see :func:`kgrl.pretrain.kg_likes`.
        """
        return cls(kg_likes(kg, data, users, old=old, least=least), ids=data["item"].get("raw_id"))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the model and raw ids to one safetensors file, whole or not at all."""
        self._write(path, self.state_dict(), {"options": self.options})

    @classmethod
    def load(cls, path: str | os.PathLike[str], ids: RawIds | None = None) -> KGProfile:
        """The agent that :meth:`save` wrote.

        Args:
            path: the file.
            ids: ``[N]``, the raw ids of the items as they are numbered now: those of the file, in any order. ``None``:
                they are numbered as they were, which is not checked.

        Raises:
            ValueError: a damaged or foreign file, or one of other items.
        """
        tensors, metadata = load_tensors(path, f"{cls.__name__} agent")
        known, _ = cls._found(path, tensors, ids)
        return cls(_terms(metadata["options"]["num_features"], **tensors), ids=known)

    @classmethod
    def _renumbered(cls, tensors: Mapping[str, Tensor], match: Match) -> Mapping[str, Tensor]:
        used = int(tensors["column"].max()) + 1 if len(tensors["column"]) else 0
        return _parts(_terms(used, **tensors).of(match.item))

    @property
    def num_items(self) -> int:
        """N."""
        return len(self.expected)

    @property
    def likes(self) -> SparseTasteTerms:
        """The model."""
        return _terms(self.options["num_features"], **{name: getattr(self, name) for name in PARTS})

    def _scores(self, sessions: Sessions, explore: bool = False) -> Tensor:
        """``[B, N]``, −∞ for what was shown."""
        terms, shown = self.likes, sessions.shown
        positive = sessions.positive[:, : sessions.step]
        widest = max(self.num_items, terms.loading.size(1), shown.size(1) ** 2)
        score = lambda items, liked: without_shown(terms.predict(terms.infer(items, liked)), items)  # noqa: E731
        return in_parts(score, widest, shown, positive)

    def extra_repr(self) -> str:
        return f"{self.num_items} items, {self.options['num_features']} features"


def _parts(likes: SparseTasteTerms) -> dict[str, Tensor]:
    """The model as an agent's buffers."""
    loading = likes.loading
    return {"expected": likes.expected, "noise": likes.noise, "start": loading.crow_indices(),
            "column": loading.col_indices(), "value": loading.values()}


def _terms(
    num_features: int, *, expected: Tensor, noise: Tensor, start: Tensor, column: Tensor, value: Tensor
) -> SparseTasteTerms:
    """The model out of an agent's buffers."""
    return SparseTasteTerms(expected, sparse_rows(start, column, value, num_features), noise)
