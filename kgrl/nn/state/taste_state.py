"""``TasteState``: what a user's feedback so far, positive and negative, says about her taste."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Linear, Parameter

from kgrl.nn.state.taste import TasteTerms
from kgrl.objects import of_class, shaped
from kgrl.options import at_least, expected


class TasteState(torch.nn.Module):
    r"""Exact inference of a user's taste in a linear-Gaussian model of her feedback; beyond both papers.

    With item vectors :math:`\mathbf i`, and items :math:`1, \dots, t` shown so far (see :class:`kgrl.nn.TasteTerms`),

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
            sequences, feedback: ``[B, L]`` each, see :meth:`kgrl.nn.TasteTerms.infer`.
        """
        terms, ids = self._terms(items, shaped("sequences", sequences, None, None, whole=True))
        return terms.infer(ids, feedback)

    def predict(self, state: Tensor, items: Tensor | TasteTerms, index: Tensor, batch: Tensor) -> Tensor:
        r""":math:`\hat f` of K (session, item) pairs.

        Args:
            state: ``[B, k]``.
            items: ``[N, d]``, or what :meth:`project` made of them.
            index, batch: ``[K]`` each, see :meth:`kgrl.nn.TasteTerms.predict`.
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
