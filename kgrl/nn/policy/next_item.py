"""``NextItem``: scores of all items to come next, after the items so far."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Parameter

from kgrl.nn.state.gru import GRUState
from kgrl.options import at_least, between, expected, flag


class NextItem(torch.nn.Module):
    r"""The network of GRU4Rec: a gated recurrent unit over item vectors, and a score of every item.

    From `"Session-based Recommendations with Recurrent Neural Networks" <https://arxiv.org/abs/1511.06939>`_ (Hidasi et
    al., ICLR 2016, equations 1 to 4, which are :class:`kgrl.nn.GRUState`):

    .. math:: \mathbf h_t = \operatorname{GRU}(\mathbf e_{i_t}, \mathbf h_{t-1}), \qquad
        r_{t,j} = \mathbf w_j^\top \mathbf h_t + b_j

    With ``tied`` an item has one vector for both ends, :math:`\mathbf w_j = \mathbf e_j`: the "constrained embedding"
    of Hidasi and Karatzoglou (CIKM 2018).

    Differs from the paper: one GRU layer, no feed-forward layers between it and the scores, and no tanh on these (the
    second paper drops it, too); **h** starts from zero and the first item of a session is predicted from there, by b
    alone, where the paper predicts the second item first.

    Args:
        num_items: N.
        dim: length d of **e**.
        state_channels: length h of **h**; d where ``tied``.
        tied: whether **w** is **e**.
        dropout: of **h** on its way to the scores, in training.

    Shapes:
        - ``forward(items [L, B], first [L, B], hidden [B, h])`` → **h** before each item ``[L, B, h]``, and after the
          last ``[B, h]``. Where ``first``, an item begins a session and the state is zero before it.

    Raises:
        ValueError: an option out of range.
    """

    def __init__(
        self, num_items: int, dim: int, state_channels: int, tied: bool = True, dropout: float = 0.0
    ) -> None:
        super().__init__()
        at_least("num_items", num_items, 1)
        at_least("dim", dim, 1)
        if at_least("state_channels", state_channels, 1) != dim and tied:
            raise ValueError(expected("state_channels", f"dim = {dim} where `tied`", state_channels))
        self.tied, self.dropout = flag("tied", tied), between("dropout", dropout, 0, 1)
        self.embedding = Parameter(torch.empty(num_items, dim))
        self.gru = GRUState(dim, state_channels)
        self.output = None if tied else Parameter(torch.empty(num_items, state_channels))
        self.bias = Parameter(torch.empty(num_items))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Vectors uniform in ±1/√d, **w** (where it is not **e**) and b zero: no item stands above another at first."""
        bound = 1 / math.sqrt(self.embedding.size(1))
        torch.nn.init.uniform_(self.embedding, -bound, bound)
        self.gru.reset_parameters()
        if self.output is not None:
            torch.nn.init.zeros_(self.output)
        torch.nn.init.zeros_(self.bias)

    @property
    def weight(self) -> Tensor:
        """``[N, h]``, **w**."""
        return self.embedding if self.output is None else self.output

    def forward(self, items: Tensor, first: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        inputs = self.gru.project(F.embedding(items.clamp(min=0), self.embedding))
        before = []
        for given, begins in zip(inputs.unbind(), first.unbind(), strict=True):
            hidden = hidden.masked_fill(begins.unsqueeze(1), 0)
            before.append(hidden)
            hidden = self.gru.step(hidden, given)
        return torch.stack(before), hidden

    def scores(self, hidden: Tensor) -> Tensor:
        """``[B, N]``, r of every item after the states ``[B, h]``."""
        return F.linear(hidden, self.weight, self.bias)

    def against(self, before: Tensor, items: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The scores that a ranking loss compares: the next item's, and those of others.

        The others are the next items of the other sessions (section 3.1.2) and some drawn besides, which are the same
        for all. Paper is silent on a negative that happens to be the target: it does not count.

        Args:
            before: ``[L, B, h]``, the states.
            items: ``[L, B]``, the items that came next; −1 for none.
            drawn: ``[n]``, item ids.

        Returns:
            ``target [L·B]``, ``negatives [L·B, B + n]``, and ``counts``, of the same shape, which of them count.
        """
        before = F.dropout(before, self.dropout, self.training)
        ids = items.clamp(min=0)
        beside = torch.baddbmm(F.embedding(ids, self.bias.unsqueeze(1)).transpose(1, 2), before,
                               F.embedding(ids, self.weight).transpose(1, 2))  # [L, B, B]
        far = F.linear(before, F.embedding(drawn, self.weight), self.bias.index_select(0, drawn))  # [L, B, n]
        shown = items.unsqueeze(1).expand(-1, items.size(1), -1), drawn.expand(*items.shape, -1)
        others = torch.cat(shown, 2)
        counts = (others != items.unsqueeze(2)) & (others >= 0)
        target = beside.diagonal(dim1=1, dim2=2)
        return target.reshape(-1), torch.cat([beside, far], 2).flatten(0, 1), counts.flatten(0, 1)

    def extra_repr(self) -> str:
        return f"{len(self.bias)}, tied={self.tied}, dropout={self.dropout}"
