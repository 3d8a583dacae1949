"""``LinearUCB``: the item of the highest upper confidence bound, in a ridge regression of each session's feedback."""

from __future__ import annotations

import os
from typing import Any, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from kgrl.agents.shared.catalogue import Catalogue
from kgrl.agents.shared.picking import without_shown
from kgrl.agents.shared.scorer import Scorer
from kgrl.agents.shared.weights import Versioned
from kgrl.agents.state.session_state import Step, advance
from kgrl.files import digest, load_tensors, restore
from kgrl.nn.state.taste import Belief, TasteTerms
from kgrl.options import between, dense_vectors, flag
from kgrl.raw_ids import RawIds
from kgrl.sessions import Sessions

LEAST_REGULARISATION = 1e-3
"""Below, single precision loses what a regression on fewer items than features leaves open."""


class LinearUCB(Versioned, Scorer):
    r"""Linear upper confidence bounds (LinUCB; Li et al., WWW 2010, Algorithm 1).

    Feedback is taken to be linear in an item's vector **x**; a session that has been shown items 1, …, t − 1 has the
    ridge regression :math:`\boldsymbol\theta` of them, and is recommended

    .. math::
        \mathbf A = \lambda \mathbf I + \sum_{j < t} \mathbf x_j \mathbf x_j^\top, \qquad
        \boldsymbol\theta = \mathbf A^{-1} \sum_{j < t} f_j \mathbf x_j, \qquad
        a_t = \arg\max_i\ \mathbf x_i^\top \boldsymbol\theta + \alpha \sqrt{\mathbf x_i^\top \mathbf A^{-1} \mathbf x_i}

    That is the inference of :class:`kgrl.nn.TasteTerms` with :math:`\mu = 0`, :math:`\mathbf w = \mathbf x` and
    :math:`\sigma^2 = \lambda`. A step of a session is a rank-one update (Sherman and Morrison), of the bounds of all
    items too: it looks at every item, O(N d) a decision, and remembers one number a session and item.

    Every session begins with :math:`\boldsymbol\theta = \mathbf 0`, as its user is new; it learns nothing from one
    session for the next. Of what is not in the vectors, popularity above all, it knows nothing: its first item is the
    one with the longest vector. A column of the items' mean training ratings, or of ones, is yours to add.

    Differs from the paper: one **A** and :math:`\boldsymbol\theta` a user, items told apart by their vectors, where
    Algorithm 1 has them a (news) article, told apart by the users' features, which new users do not have.
    In Algorithm 1 λ is 1.

    The KGQR paper (section 5.1.5) gives its baselines 50-dimensional item vectors of a matrix factorization of the
    training users' ratings, ``item_vectors(data, train, kind="mf")``. Paper is silent: TPGR's on the vectors, both on
    α and λ.

    Args:
        vectors: ``[N, d]``, the items' features **x**.
        alpha: weight α ≥ 0 of the uncertainty.
        regularisation: λ > 0.
        greedy_evaluation: whether the uncertainty counts in exploring sessions alone. Both kinds follow the bound in
            the paper, where there is no evaluation apart from learning.
        ids: ``[N]``, the items' raw ids (``data["item"].raw_id``), by which its file is checked when it is loaded.

    Raises:
        ValueError: vectors of another shape, or not finite, ids of other items, or an option outside its range.
    """

    vectors: Tensor

    def __init__(
        self, vectors: Tensor, alpha: float = 1.0, regularisation: float = 1.0, *, greedy_evaluation: bool = False,
        ids: RawIds | None = None,
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = {
            "alpha": between("alpha", alpha, 0, float("inf")),
            "regularisation": between("regularisation", regularisation, LEAST_REGULARISATION, float("inf")),
            "greedy_evaluation": flag("greedy_evaluation", greedy_evaluation),
        }
        self.register_buffer("vectors", dense_vectors("vectors", vectors).detach().to(torch.float, copy=True))
        self.catalogue = Catalogue.of_items(ids, self.num_items)

    @property
    def num_items(self) -> int:
        """N."""
        return len(self.vectors)

    def _scores(self, sessions: Sessions, explore: bool = False) -> Tensor:
        """``[B, N]``, −∞ for what was shown."""
        terms = self.kept("terms", self._terms)
        known: Known = advance(self, _Regression(), terms, sessions)
        scores = known.belief.mean @ self._terms().loading.T
        if explore or not self.options["greedy_evaluation"]:
            scores += self._bonus(known)
        return without_shown(scores, sessions.shown)

    def _bonus(self, known: Known) -> Tensor:
        """``[B, N]``, what uncertainty adds."""
        return (known.variance / self.options["regularisation"]).sqrt_().mul_(self.options["alpha"])

    def _terms(self) -> TasteTerms:
        """The ridge regression as a model of feedback."""
        nothing = self.vectors.new_zeros(len(self.vectors))
        return TasteTerms(nothing, self.vectors, nothing + self.options["regularisation"])

    # ------------------------------------------------------------------------------------------------ saving, moving

    @property
    def data_digest(self) -> str:
        """What a checkpoint remembers of the items: their features."""
        return digest(self.vectors)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes features, what was learned, options and raw ids to one safetensors file, whole or not at all."""
        self._write(path, self.state_dict(), {"options": self.options})

    @classmethod
    def load(cls, path: str | os.PathLike[str], ids: RawIds | None = None, **options: Any) -> Self:
        """The agent that :meth:`save` wrote, item features included.

        Args:
            path: the file.
            ids: ``[N]``, the raw ids of the items as they are numbered now: those of the file, in any order. ``None``:
                they are numbered as they were, which is not checked.
            **options: over those in the file.

        Raises:
            ValueError: a damaged or foreign file, one of other items, or options that make another agent.
        """
        tensors, metadata = load_tensors(path, f"{cls.__name__} agent")
        known, _ = cls._found(path, tensors, ids)
        agent = cls(tensors["vectors"], ids=known, **(metadata["options"] | options))
        restore(agent, tensors, path)
        return agent


class Known(NamedTuple):
    r"""B sessions so far.

    Args:
        belief: of θ.
        variance: ``[B, N]``, :math:`\lambda\, \mathbf x^\top \mathbf A^{-1} \mathbf x` of every item.
    """

    belief: Belief
    variance: Tensor


class _Regression:
    """The regressions of running sessions, as :func:`kgrl.agents.state.session_state.advance` goes through them."""

    def initial(self, num_sessions: int, items: TasteTerms) -> Known:
        return Known(items.prior(num_sessions), items.loading.square().sum(1).expand(num_sessions, -1))

    def step(self, known: Known, items: TasteTerms, step: Step) -> Known:
        x = F.embedding(step.items.clamp(min=0), items.loading) * (step.items >= 0).unsqueeze(1)
        spread = torch.bmm(known.belief.covariance, x.unsqueeze(2)).squeeze(2)
        rest = items.noise[0] + (x * spread).sum(1, keepdim=True)
        told = (spread * rest.rsqrt()) @ items.loading.T  # [B, N]; the square of it is what a variance loses
        variance = torch.addcmul(known.variance, told, told, value=-1).clamp_(min=0)
        return Known(items.update(known.belief, step.items, step.feedback), variance)

    def read(self, known: Known) -> Known:
        return known
