"""``TasteState``: what a user's feedback so far, positive and negative, says about her taste."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Linear, Parameter

from kgrl.objects import of_class, shaped
from kgrl.options import a_tensor, at_least, expected, real
from kgrl.precision import full_precision


class Belief(NamedTuple):
    """What is believed of B tastes: their ``mean [B, k]`` and ``covariance [B, k, k]``."""

    mean: Tensor
    covariance: Tensor


class TasteTerms(NamedTuple):
    r"""A linear-Gaussian model of feedback, item by item, and the exact inference of a user's taste in it.

    .. math::
        f_j = \mu_j + \mathbf w_j^\top \mathbf p + \varepsilon_j, \qquad
        \mathbf p \sim \mathcal N(0, \mathbf I),\ \varepsilon_j \sim \mathcal N(0, \sigma_j^2)

    Args:
        expected: μ, ``[N]``, feedback from a user of average taste.
        loading: **w**, ``[N, k]``.
        noise: σ², ``[N]``.
    """

    expected: Tensor
    loading: Tensor
    noise: Tensor

    def checked(self, name: str) -> TasteTerms:
        """Itself, if it can be one; ``name`` is what it is called in the error.

        Raises:
            TypeError: a part is no tensor.
            ValueError: parts that do not fit together, are not finite, not real, or a noise of 0 or below.
        """
        shapes = [list(real(f"{name}.{field}", part).shape) for field, part in self._asdict().items()]
        if self.loading.dim() != 2 or not self.loading.numel() or not shapes[0] == shapes[2] == shapes[1][:1] != [0]:
            raise ValueError(expected(name, "expected [N], loading [N, k] and noise [N], N and k > 0", shapes))
        if not all(bool(part.isfinite().all()) for part in self):
            raise ValueError(expected(name, "finite", "NaN or infinity"))
        if not bool((self.noise > 0).all()):
            raise ValueError(expected(name, "of noise above 0", float(self.noise.min())))
        return self

    @full_precision
    def infer(self, sequences: Tensor, feedback: Tensor) -> Tensor:
        r"""``[B, k]``, :math:`\mathbb E[\mathbf p]` after whole sequences; their order does not matter.

        Args:
            sequences: ``[B, L]``, item ids; −1, anywhere, is skipped.
            feedback: ``[B, L]``, how each was received; whatever stands at a −1, NaN too, does not matter.

        Raises:
            ValueError: feedback of another shape.
        """
        ids, present = shaped("sequences", sequences, None, None, whole=True).clamp(min=0), sequences >= 0
        given, kind = torch.promote_types(self.loading.dtype, self.noise.dtype), self._kind
        terms = TasteTerms(*(part.to(kind) for part in self))
        feedback = _received(feedback, sequences, "sequences").to(kind)
        # embedding, as its gradient adds in a fixed order, which that of x[index] does not
        deviation = F.embedding(ids, terms.noise.rsqrt().unsqueeze(1)) * present.unsqueeze(2)
        loading = F.embedding(ids, terms.loading) * deviation
        surprise = (feedback - F.embedding(ids, terms.expected.unsqueeze(1)).squeeze(2)) * deviation.squeeze(2)
        prior = torch.eye(loading.size(2), device=ids.device, dtype=kind)
        precision = torch.baddbmm(prior, loading.mT, loading)
        return torch.linalg.solve(precision, (loading.mT @ surprise.unsqueeze(2)).squeeze(2)).to(given)

    @property
    def _kind(self) -> torch.dtype:
        """What the inference is computed in: single precision at least, as its systems can be near singular."""
        return torch.promote_types(torch.promote_types(self.loading.dtype, self.noise.dtype), torch.float)

    def prior(self, num_sessions: int) -> Belief:
        """The belief before any feedback."""
        size = self.loading.size(1)
        prior = torch.eye(size, device=self.loading.device, dtype=self._kind)
        return Belief(prior.new_zeros(num_sessions, size), prior.expand(num_sessions, -1, -1))

    @full_precision
    def update(self, belief: Belief, items: Tensor, feedback: Tensor) -> Belief:
        r"""One feedback later: a rank-one update, so that a session of T steps costs T·k² rather than T²·k².

        Args:
            belief: of B sessions.
            items: ``[B]``, what was shown; −1 leaves the belief as it is.
            feedback: ``[B]``; whatever stands at a −1, NaN too, does not matter.

        Raises:
            ValueError: feedback of another shape.
        """
        ids, kind = items.clamp(min=0), self._kind
        feedback = _received(feedback, items, "items").to(kind)
        loading = F.embedding(ids, self.loading).to(kind) * (items >= 0).unsqueeze(1)
        spread = torch.bmm(belief.covariance, loading.unsqueeze(2))
        rest = self.noise.index_select(0, ids).to(kind) + (loading * spread.squeeze(2)).sum(1)
        gain = spread.squeeze(2) / rest.unsqueeze(1)
        surprise = feedback - self.expected.index_select(0, ids) - (loading * belief.mean).sum(1)
        return Belief(
            torch.addcmul(belief.mean, gain, surprise.unsqueeze(1)),
            torch.addcmul(belief.covariance, gain.unsqueeze(2), spread.mT, value=-1),
        )

    def predict(self, mean: Tensor, index: Tensor, batch: Tensor) -> Tensor:
        """``[K]``, the feedback expected of K (session, item) pairs.

        Args:
            mean: ``[B, k]``, of tastes.
            index: ``[K]``, each pair's item.
            batch: ``[K]``, each pair's session, a row of ``mean``.
        """
        shaped("mean", mean, None, self.loading.size(1))
        shaped("batch", batch, shaped("index", index, None, whole=True).numel(), whole=True)
        personal = (F.embedding(index, self.loading) * F.embedding(batch, mean)).sum(1)
        return personal + F.embedding(index, self.expected.unsqueeze(1)).squeeze(1)


def _received(feedback: Tensor, items: Tensor, name: str) -> Tensor:
    """``feedback``, and 0 where there is no item: NaN there would survive being multiplied by a mask."""
    if a_tensor("feedback", feedback).shape != items.shape:
        raise ValueError(expected("feedback", f"of the shape of `{name}`, {list(items.shape)}", list(feedback.shape)))
    return feedback.masked_fill(items < 0, 0.0)


class TasteState(torch.nn.Module):
    r"""Exact inference of a user's taste in a linear-Gaussian model of her feedback; beyond both papers.

    With item vectors :math:`\mathbf i`, and items :math:`1, \dots, t` shown so far (see :class:`TasteTerms`),

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

    Where ``start`` is given, the layers learn how far the items are from it: :math:`\mu_j` and :math:`\mathbf w_j` are
    the given ones plus the layers' answers, which are 0 at first. An item's noise then is its own, the given one times
    a factor that all share, 1 at first, and weighs its terms in both sums.

    Args:
        in_channels (int): Size d of an item vector.
        taste_channels (int, optional): Size k of a taste; default: that of ``start``, or 8.
        hidden (int): Size of the hidden layer of μ.
        start (TasteTerms, optional): What is known of the N items before; its loadings are of size k.

    Shapes:
        - **inputs:** item vectors :math:`(N, d)`, sequences :math:`(B, L)` of item ids with −1 for "no item", feedback
          :math:`(B, L)`
        - **outputs:** states :math:`(B, k)`, the zero vector where nothing was shown
    """

    def __init__(
        self, in_channels: int, taste_channels: int | None = None, hidden: int = 64, start: TasteTerms | None = None
    ) -> None:
        super().__init__()
        self.in_channels = at_least("in_channels", in_channels, 1)
        size = 8 if start is None else of_class("start", start, TasteTerms).checked("start").loading.size(1)
        self.taste_channels = at_least("taste_channels", size if taste_channels is None else taste_channels, 1)
        if start is not None and self.taste_channels != size:
            raise ValueError(expected("taste_channels", f"{size}, as `start` has it", taste_channels))
        self.expected = torch.nn.Sequential(
            Linear(in_channels, at_least("hidden", hidden, 1)), torch.nn.ReLU(), Linear(hidden, 1))
        self.loading = Linear(in_channels, self.taste_channels, bias=False)
        self.log_noise = Parameter(torch.empty(()))
        self.starts = start is not None
        if start is not None:
            for name, part in start._asdict().items():
                self.register_buffer(f"start_{name}", part.detach().clone())
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws every layer uniformly from ±1/√(its inputs), as PyTorch's linear layers do; σ² = 0.1.

        Where there is a start, the last layers are 0 and its noise is as given.
        """
        for part in (*self.expected, self.loading):
            if isinstance(part, Linear):
                part.reset_parameters()
        torch.nn.init.constant_(self.log_noise, 0.0 if self.starts else -2.3)
        if self.starts:
            for parameter in (*self.expected[-1].parameters(), self.loading.weight):
                torch.nn.init.zeros_(parameter)

    def project(self, items: Tensor, ids: Tensor | None = None) -> TasteTerms:
        """The items' part, once per parameter version.

        Args:
            items: ``[n, d]``.
            ids: ``[n]``, which items of the start these are; ``None``: all N, in their order.

        Raises:
            ValueError: there is a start, of another number of items.
        """
        if ids is None:
            self._check_number(items)
        noise = self.log_noise.exp().expand(items.size(0))
        terms = TasteTerms(self.expected(items).squeeze(1), self.loading(items), noise)
        if not self.starts:
            return terms
        start = TasteTerms(*(self.get_buffer(f"start_{name}") for name in TasteTerms._fields))
        if ids is not None:
            start = TasteTerms(*(part.index_select(0, ids) for part in start))
        return TasteTerms(start.expected + terms.expected, start.loading + terms.loading, start.noise * terms.noise)

    def forward(self, items: Tensor | TasteTerms, sequences: Tensor, feedback: Tensor) -> Tensor:
        """**m** after whole sequences.

        Args:
            items: ``[N, d]``, or what :meth:`project` made of them.
            sequences, feedback: ``[B, L]`` each, see :meth:`TasteTerms.infer`.
        """
        terms, ids = self._terms(items, shaped("sequences", sequences, None, None, whole=True))
        return terms.infer(ids, feedback)

    def predict(self, state: Tensor, items: Tensor | TasteTerms, index: Tensor, batch: Tensor) -> Tensor:
        r""":math:`\hat f` of K (session, item) pairs.

        Args:
            state: ``[B, k]``.
            items: ``[N, d]``, or what :meth:`project` made of them.
            index, batch: ``[K]`` each, see :meth:`TasteTerms.predict`.
        """
        shaped("state", state, None, self.taste_channels)
        terms, index = self._terms(items, shaped("index", index, None, whole=True))
        return terms.predict(state, index, batch)

    def _terms(self, items: Tensor | TasteTerms, ids: Tensor) -> tuple[TasteTerms, Tensor]:
        """Terms, and where in them ``ids`` are found: of every item, or of those asked for, whichever are fewer."""
        if isinstance(items, TasteTerms):
            return items, ids
        self._check_number(shaped("items", items, None, self.in_channels))
        if ids.numel() < items.size(0):
            own = torch.arange(ids.numel(), device=ids.device).view_as(ids)
            asked = ids.flatten().clamp(min=0)
            return self.project(F.embedding(asked, items), asked), own.masked_fill(ids < 0, -1)
        return self.project(items), ids

    def _check_number(self, items: Tensor) -> None:
        if self.starts and len(items) != (known := len(self.get_buffer("start_expected"))):
            raise ValueError(expected("items", f"the vectors of the {known} items that `start` knows", len(items)))

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.taste_channels}"
