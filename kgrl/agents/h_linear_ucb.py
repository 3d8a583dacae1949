"""``HLinearUCB``: linear upper confidence bounds with item features that are learned beside the known ones."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kgrl.agents.linear_ucb import LEAST_REGULARISATION, Known, LinearUCB
from kgrl.agents.shared.picking import finite_report
from kgrl.nn.state.taste import TasteTerms
from kgrl.options import at_least, between
from kgrl.raw_ids import RawIds
from kgrl.seeding import full_precision, generator_for
from kgrl.sessions import Sessions


class HLinearUCB(LinearUCB):
    r"""Linear upper confidence bounds with hidden features (hLinUCB; Wang, Wu and Wang, CIKM 2016).

    Beside its known features **x** an item has h hidden ones, **v**, the same for all users, and feedback is linear in
    both. The squared error and an L2 term are minimised by turns (coordinate descent), each turn a ridge regression: a
    session's :math:`\boldsymbol\theta = [\boldsymbol\theta^x \Vert \boldsymbol\theta^v]` with the items' features
    given, as in :class:`LinearUCB`, and an item's hidden features with the :math:`\boldsymbol\theta` of every session
    u given that showed it:

    .. math::
        \mathbf C_i = \lambda_v \mathbf I + \sum_u \boldsymbol\theta^v_u {\boldsymbol\theta^v_u}^\top, \qquad
        \mathbf v_i = \mathbf C_i^{-1} \sum_u \boldsymbol\theta^v_u
        \bigl(f_{ui} - \mathbf x_i^\top \boldsymbol\theta^x_u\bigr)

    What is uncertain of the user and of the item both raise an item's bound:

    .. math::
        a_t = \arg\max_i\ [\mathbf x_i \Vert \mathbf v_i]^\top \boldsymbol\theta
        + \alpha \sqrt{[\mathbf x_i \Vert \mathbf v_i]^\top \mathbf A^{-1} [\mathbf x_i \Vert \mathbf v_i]}
        + \alpha_v \sqrt{{\boldsymbol\theta^v}^\top \mathbf C_i^{-1} \boldsymbol\theta^v}

    Every session begins with :math:`\boldsymbol\theta = \mathbf 0`, as its user is new; the hidden features are what
    training sessions leave to later ones. Sums over interactions are all that is kept, so :meth:`learn` costs by the
    interactions it is given. As in the code of its authors (HCDM/BanditLib), which the equations here follow, what a
    session added stays as it was, though the hidden features that its :math:`\boldsymbol\theta` was found with change
    after it. It looks at every item: O(N (d + h²)) a decision.

    Differs from the paper: users' and items' turns alternate by batches of sessions, not by steps (the authors' code
    has windows of several interactions, too), so an item's turn has the :math:`\boldsymbol\theta` of whole sessions;
    and an item keeps the hidden features it began with while every session that showed it had
    :math:`\boldsymbol\theta^v = \mathbf 0`, where the authors' code sets them to **0**.
    Hidden features start uniform on [0, 1), as in the authors' code (at **0** they would stay there). On the known
    features see :class:`LinearUCB`. Paper is silent (KGQR's and TPGR's): on h, both α and both λ.

    Args:
        vectors: ``[N, d]``, the items' known features **x**.
        hidden_channels: how many hidden features, h.
        alpha: weight α ≥ 0 of the uncertainty about the user.
        hidden_alpha: weight α_v ≥ 0 of the uncertainty about the items.
        regularisation: λ > 0, of users.
        hidden_regularisation: λ_v > 0, of items.
        greedy_evaluation: whether uncertainty counts in exploring sessions alone.
        seed: of the hidden features to start from.
        ids: ``[N]``, the items' raw ids (``data["item"].raw_id``), by which its file is checked when it is loaded.

    Raises:
        ValueError: vectors of another shape, or not finite, ids of other items, or an option outside its range.
    """

    start: Tensor
    moments: Tensor
    products: Tensor

    def __init__(
        self, vectors: Tensor, hidden_channels: int = 5, alpha: float = 1.0, hidden_alpha: float = 1.0,
        regularisation: float = 1.0, hidden_regularisation: float = 1.0, *, greedy_evaluation: bool = False,
        seed: int = 0, ids: RawIds | None = None,
    ) -> None:
        super().__init__(vectors, alpha, regularisation, greedy_evaluation=greedy_evaluation, ids=ids)
        shape = len(vectors), at_least("hidden_channels", hidden_channels, 1)
        self.options |= {
            "hidden_channels": shape[1],
            "hidden_alpha": between("hidden_alpha", hidden_alpha, 0, float("inf")),
            "hidden_regularisation": between(
                "hidden_regularisation", hidden_regularisation, LEAST_REGULARISATION, float("inf")),
            "seed": at_least("seed", seed, 0),
        }
        start = torch.rand(shape, generator=generator_for("cpu", seed), device="cpu", dtype=torch.float)
        self.register_buffer("start", start.to(self.vectors.device))
        self.register_buffer("moments", torch.zeros_like(self.start).unsqueeze(2).repeat(1, 1, shape[1]))
        self.register_buffer("products", torch.zeros_like(self.start))
        self._solved: tuple[int, Solved] | None = None

    @property
    def hidden(self) -> Tensor:
        """``[N, h]``, the items' hidden features **v**."""
        return self._solution().terms.loading[:, self.vectors.size(1) :]

    @torch.no_grad()
    @full_precision
    def learn(self, sessions: Sessions, generator: torch.Generator | None = None) -> dict[str, float]:
        """The users' turn, then the items', on finished sessions.

        Returns:
            ``loss``, the mean squared error of the feedback between the turns, and ``gradient_steps``, of which there
            are none.

        Raises:
            ValueError: what it learned is not finite.
        """
        ids, taken = sessions.shown.clamp(min=0), sessions.shown >= 0
        feedback, known = sessions.feedback[:, : sessions.step], self.vectors.size(1)
        theta = self._terms().infer(sessions.shown, feedback)
        features = F.embedding(ids, self._terms().loading)  # [B, T, d + h]
        rest = feedback - (features[..., :known] @ theta[:, :known, None]).squeeze(2)
        error = (rest - (features[..., known:] @ theta[:, known:, None]).squeeze(2))[taken]
        mine = theta[:, None, known:] * taken.unsqueeze(2)  # [B, T, h], 0 past a session's end
        self.products.index_add_(0, ids.flatten(), (mine * rest.unsqueeze(2)).flatten(0, 1))
        self.moments.index_add_(0, ids.flatten(), (mine.unsqueeze(3) * mine.unsqueeze(2)).flatten(0, 1))
        self.version += 1
        loss = error.square().sum() / max(len(error), 1)
        return finite_report(("loss",), loss.unsqueeze(0), (self.products, self.moments)) | {"gradient_steps": 0}

    def _terms(self) -> TasteTerms:
        return self._solution().terms

    def _bonus(self, known: Known) -> Tensor:
        hidden = known.belief.mean[:, self.vectors.size(1) :]
        pairs = (hidden.unsqueeze(2) * hidden.unsqueeze(1)).flatten(1)
        variance = (pairs @ self._solution().inverse.flatten(1).T).clamp_(min=0)
        return super()._bonus(known).add_(variance.sqrt_(), alpha=self.options["hidden_alpha"])

    @torch.no_grad()
    def _solution(self) -> Solved:
        """The items' regressions, solved once a version."""
        if self._solved is None or self._solved[0] != self.version:
            prior = torch.eye(self.start.size(1), device=self.start.device, dtype=self.start.dtype)
            prior *= self.options["hidden_regularisation"]
            inverse = torch.linalg.inv(self.moments + prior)
            told = self.moments.flatten(1).any(1, keepdim=True)
            hidden = torch.where(told, (inverse @ self.products.unsqueeze(2)).squeeze(2), self.start)
            nothing = self.vectors.new_zeros(len(self.vectors))
            noise = nothing + self.options["regularisation"]
            terms = TasteTerms(nothing, torch.cat([self.vectors, hidden], 1), noise)
            self._solved = self.version, Solved(terms, inverse)
        return self._solved[1]


class Solved(NamedTuple):
    """What the items' regressions come to: the model of feedback, and **C**'s ``inverse [N, h, h]``."""

    terms: TasteTerms
    inverse: Tensor
