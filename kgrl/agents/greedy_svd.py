"""``GreedySVD``: matrix factorization, with the user of the session folded in after every interaction."""

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
from kgrl.options import between, expected, single
from kgrl.pretrain.items import ItemFactors, item_factors
from kgrl.raw_ids import RawIds
from kgrl.sessions import Sessions

LEAST_RIDGE = 1e-3
"""Below it, single precision no longer tells the least-squares solution."""


class GreedySVD(Scorer):
    r"""Recommends the item of the highest feedback that a matrix factorization predicts (Koren et al., 2009).

    A baseline of both papers: it "trains the singular value decomposition (SVD) model after each interaction and picks
    the item with highest rating predicted" (TPGR, Chen et al., 2019, section 5.1; KGQR, Zhou et al., 2020, section
    5.1.4). The model is :math:`\hat r_{ui} = \mathbf p_u^\top \mathbf q_i + b_u + b_i`, fitted to the ratings of the
    training users. A session's user, who has none, is fitted to her feedback :math:`f_1 \dots f_t` on the items
    :math:`j_1 \dots j_t` by ridge regression, anew at every step:

    .. math::
        (\mathbf p, b) = \arg\min \sum_{s \le t} \bigl(f_s - b_{j_s} - b - \mathbf p^\top \mathbf q_{j_s}\bigr)^2 +
        \lambda\,\bigl(\lVert \mathbf p \rVert^2 + b^2\bigr), \qquad
        a_{t+1} = \arg\max_i\ \mathbf p^\top \mathbf q_i + b_i

    Before any feedback that is the item of the highest bias.

    Differs from the papers: the user alone is re-fitted (folded in), not the whole model; what one session of T steps
    would change in the item factors is next to nothing, and to refit them at each step of each session is out of
    reach. So sessions leave no trace: it learns nothing from interactions.

    Paper is silent: on biases, on λ, and on what feedback 0 for "not rated" (:class:`kgrl.simulator.RatedFeedback`)
    means to the model: here it is a rating in the middle of the scale, while the training users' missing ratings are
    none. Looks at every item: O(N) a decision.

    Args:
        factors: of the items, from :func:`kgrl.pretrain.item_factors`.
        ridge: λ ≥ 0.001, in squared ratings on [−1, 1].
        ids: ``[N]``, the items' raw ids (``data["item"].raw_id``), by which its file is checked when it is loaded.

    Raises:
        ValueError: factors and biases that do not fit together, are not finite or not real, ids of other items, or
            ``ridge`` out of range.
    """

    loading: Tensor
    bias: Tensor

    def __init__(self, factors: ItemFactors, ridge: float = 1.0, *, ids: RawIds | None = None) -> None:
        super().__init__()
        of_class("factors", factors, ItemFactors, "kgrl.pretrain.item_factors makes them")
        vector, bias = (single(f"factors.{name}", part) for name, part in factors._asdict().items())
        if vector.dim() != 2 or not len(vector) or bias.shape != vector.shape[:1]:
            came = f"{list(vector.shape)} and {list(bias.shape)}"
            raise ValueError(expected("factors", "the items' vectors [N, d] and biases [N], N > 0", came))
        if not (vector.isfinite().all() and bias.isfinite().all()):
            raise ValueError(expected("factors", "finite", "NaN or infinity"))
        self.options = {"ridge": between("ridge", ridge, LEAST_RIDGE, float("inf"))}
        self.catalogue = Catalogue.of_items(ids, len(bias))
        self.register_buffer("loading", torch.cat([vector, torch.ones_like(bias).unsqueeze(1)], dim=1))  # 1: of b
        self.register_buffer("bias", bias.clone())

    @classmethod
    def from_ratings(
        cls, data: HeteroData, users: Tensor, *, dim: int = 50, epochs: int = 30, weight_decay: float = 1e-4,
        ridge: float = 1.0, seed: int = 0,
    ) -> GreedySVD:
        """Fits the factorization to the ratings of the training users.

        Args:
            data: a data set.
            users: ``[U]``, training users.
            dim: length of the factors; the KGQR paper uses 50 for every method.
            epochs, weight_decay, seed: see :func:`kgrl.pretrain.item_factors`.
            ridge: λ.
        """
        factors = item_factors(data, users, dim=dim, epochs=epochs, weight_decay=weight_decay, seed=seed)
        return cls(factors, ridge, ids=data["item"].get("raw_id"))

    @torch.no_grad()
    def fold_in(self, sessions: Sessions) -> Tensor:
        """``[B, d + 1]``: **p** and, last, b of every session's user, as far as her feedback goes."""
        # ridge regression is the linear-Gaussian inference in which every item's noise is λ
        noise = self.bias.new_tensor(self.options["ridge"]).expand_as(self.bias)
        terms = TasteTerms(self.bias, self.loading, noise)
        return terms.infer(sessions.shown, sessions.feedback[:, : sessions.step])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes factors, biases, options and raw ids to one safetensors file, whole or not at all."""
        self._write(path, {"vector": self.loading[:, :-1], "bias": self.bias}, {"options": self.options})

    @classmethod
    def load(cls, path: str | os.PathLike[str], ids: RawIds | None = None) -> GreedySVD:
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
        return cls(ItemFactors(tensors["vector"], tensors["bias"]), **metadata["options"], ids=known)

    @property
    def num_items(self) -> int:
        """N."""
        return len(self.bias)

    def _scores(self, sessions: Sessions, explore: bool = False) -> Tensor:
        """``[B, N]``, the predicted feedback; −∞ for what was shown."""
        scores = torch.addmm(self.bias, self.fold_in(sessions), self.loading.T)
        return without_shown(scores, sessions.shown)

    def extra_repr(self) -> str:
        return f"{len(self.bias)} items, {self.loading.size(1) - 1} factors, ridge={self.options['ridge']}"
