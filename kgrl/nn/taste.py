"""``TasteState``: what a user's feedback so far, positive and negative, says about her taste."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Linear, Parameter

from kgrl.options import at_least


class TasteTerms(NamedTuple):
    """The items' own part: ``expected [N]``, their feedback from a user of average taste, and ``loading [N, k]``."""

    expected: Tensor
    loading: Tensor


class Belief(NamedTuple):
    """What is believed of B tastes: their ``mean [B, k]`` and ``covariance [B, k, k]``."""

    mean: Tensor
    covariance: Tensor


class TasteState(torch.nn.Module):
    r"""Exact inference of a user's taste in a linear-Gaussian model of her feedback; beyond both papers.

    With item vectors :math:`\mathbf i`, and items :math:`1, \dots, t` shown so far,

    .. math::
        f_j &= \mu(\mathbf i_j) + \mathbf w(\mathbf i_j)^\top \mathbf p + \varepsilon_j, \qquad
        \mathbf p \sim \mathcal N(0, \mathbf I),\ \varepsilon_j \sim \mathcal N(0, \sigma^2)

        \mathbf m_t &= \mathbb E[\mathbf p \mid f_1 \dots f_t] =
        \Bigl(\sigma^2 \mathbf I + \sum_{j \le t} \mathbf w_j \mathbf w_j^\top\Bigr)^{-1}
        \sum_{j \le t} \mathbf w_j\,(f_j - \mu_j)

        \hat f_{t+1}(\mathbf i) &= \mu(\mathbf i) + \mathbf w(\mathbf i)^\top \mathbf m_t

    where μ has two fully connected layers with a ReLU between, **w** is linear and σ² learned. It is trained by the
    squared error of :math:`\hat f`, through the inference. This is probabilistic PCA (Tipping and Bishop, 1999) whose
    loadings come from item vectors, so that the items of a knowledge graph share what is learned of them. A recurrent
    network would have to find the inverse by itself, from far more sessions.

    Args:
        in_channels (int): Size d of an item vector.
        taste_channels (int): Size k of a taste.
        hidden (int): Size of the hidden layer of μ.

    Shapes:
        - **inputs:** item vectors :math:`(N, d)`, sequences :math:`(B, L)` of item ids with −1 for "no item", feedback
          :math:`(B, L)`
        - **outputs:** states :math:`(B, k)`, the zero vector where nothing was shown
    """

    def __init__(self, in_channels: int, taste_channels: int = 8, hidden: int = 64) -> None:
        super().__init__()
        self.in_channels = at_least("in_channels", in_channels, 1)
        self.taste_channels = at_least("taste_channels", taste_channels, 1)
        self.expected = torch.nn.Sequential(
            Linear(in_channels, at_least("hidden", hidden, 1)), torch.nn.ReLU(), Linear(hidden, 1))
        self.loading = Linear(in_channels, taste_channels, bias=False)
        self.log_noise = Parameter(torch.empty(()))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws every layer uniformly from ±1/√(its inputs), as PyTorch's linear layers do; σ² = 0.1."""
        for part in (*self.expected, self.loading):
            if isinstance(part, Linear):
                part.reset_parameters()
        torch.nn.init.constant_(self.log_noise, -2.3)

    def project(self, items: Tensor) -> TasteTerms:
        """The items' part, once per parameter version: ``[N, d]`` → ``[N]`` and ``[N, k]``."""
        return TasteTerms(self.expected(items).squeeze(1), self.loading(items))

    def forward(self, items: Tensor | TasteTerms, sequences: Tensor, feedback: Tensor) -> Tensor:
        """**m** after whole sequences; their order does not matter.

        Args:
            items: ``[N, d]``, or what :meth:`project` made of them.
            sequences: ``[B, L]``, item ids; −1, anywhere, is skipped.
            feedback: ``[B, L]``, how each was received.
        """
        terms, ids = self._terms(items, sequences.clamp(min=0))
        present = (sequences >= 0).to(feedback.dtype)
        # embedding, as its gradient adds in a fixed order, which that of x[index] does not
        loading = F.embedding(ids, terms.loading) * present.unsqueeze(2)
        surprise = (feedback - F.embedding(ids, terms.expected.unsqueeze(1)).squeeze(2)) * present
        noise = self.log_noise.exp() * torch.eye(self.taste_channels, device=ids.device, dtype=loading.dtype)
        precision = torch.baddbmm(noise, loading.mT, loading)
        return torch.linalg.solve(precision, (loading.mT @ surprise.unsqueeze(2)).squeeze(2))

    def initial(self, num_sessions: int) -> Belief:
        """The belief before any feedback."""
        prior = torch.eye(self.taste_channels, device=self.log_noise.device, dtype=self.log_noise.dtype)
        return Belief(prior.new_zeros(num_sessions, self.taste_channels), prior.expand(num_sessions, -1, -1))

    def step(self, belief: Belief, terms: TasteTerms, items: Tensor, feedback: Tensor) -> Belief:
        r"""One feedback later: a rank-one update, so that a session of T steps costs T·k² rather than T²·k².

        Args:
            belief: of B sessions.
            terms: of every item, from :meth:`project`.
            items: ``[B]``, what was shown; −1 leaves the belief as it is.
            feedback: ``[B]``.
        """
        ids = items.clamp(min=0)
        loading = F.embedding(ids, terms.loading) * (items >= 0).unsqueeze(1)
        spread = torch.bmm(belief.covariance, loading.unsqueeze(2))
        gain = spread.squeeze(2) / (self.log_noise.exp() + (loading * spread.squeeze(2)).sum(1, keepdim=True))
        expected = F.embedding(ids, terms.expected.unsqueeze(1)).squeeze(1) + (loading * belief.mean).sum(1)
        return Belief(
            torch.addcmul(belief.mean, gain, (feedback - expected).unsqueeze(1)),
            torch.baddbmm(belief.covariance, gain.unsqueeze(2), spread.mT, alpha=-1),
        )

    def predict(self, state: Tensor, items: Tensor | TasteTerms, index: Tensor, batch: Tensor) -> Tensor:
        r""":math:`\hat f` of K (session, item) pairs.

        Args:
            state: ``[B, k]``.
            items: ``[N, d]``, or what :meth:`project` made of them.
            index: ``[K]``, each pair's item, a row of ``items``.
            batch: ``[K]``, each pair's session, a row of ``state``.
        """
        terms, index = self._terms(items, index)
        personal = (F.embedding(index, terms.loading) * F.embedding(batch, state)).sum(1)
        return personal + F.embedding(index, terms.expected.unsqueeze(1)).squeeze(1)

    def _terms(self, items: Tensor | TasteTerms, ids: Tensor) -> tuple[TasteTerms, Tensor]:
        """Terms, and where in them ``ids`` are found: of every item, or of those asked for, whichever are fewer."""
        if not isinstance(items, Tensor):
            return items, ids
        if ids.numel() < items.size(0):
            return self.project(F.embedding(ids.flatten(), items)), torch.arange(ids.numel()).to(ids).view_as(ids)
        return self.project(items), ids

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.taste_channels}"
