"""An agent's session state and its candidate rule, as tensor operations of fixed shapes, which a graph can hold."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from kgrl.agents.state.joined import JoinedState, KnownTaste, LearnedTaste
from kgrl.agents.state.session_state import SessionState, Step
from kgrl.candidates.fixed import FixedCandidates
from kgrl.candidates.k_hop import KHopCandidates
from kgrl.candidates.k_hop_index import KHopLists, KHopMasks
from kgrl.options import expected

INSTEAD = ("`agent.candidates` may be changed before: KHopCandidates(kg, size=None, backfill=None), or with a popular "
           "backfill, or FixedCandidates(agent.num_items); agent.recommend then goes by it, too")


class FollowedHistory(nn.Module):
    r"""What an agent sees of histories, made by its state's own ``step`` in a scan over their columns.

    .. math:: \mathbf c_t = \mathrm{step}(\mathbf c_{t-1}, i_t, r_t) \text{ where } i_t \ge 0,
        \text{ else } \mathbf c_{t-1}, \qquad \mathbf s = \mathrm{read}(\mathbf c_L)

    Agents themselves take all steps at once, packed by how much each session has, which depends on the numbers in it.
    The scan does not; both give the same up to rounding. A taste whose model was learned
    (:class:`kgrl.nn.TasteState`) goes on by rank-one updates in place of a linear system.

    Args:
        state: an agent's, on the CPU; its steps must be tensor operations that look at no value.
        vectors: ``[N, d]``, the agent's item vectors.
        threshold: feedback above it is positive.

    Shapes:
        - **inputs:** items :math:`(B, L)`, −1 anywhere for none, and feedback :math:`(B, L)`
        - **outputs:** states :math:`(B, s)`
    """

    def __init__(self, state: SessionState, vectors: Tensor, threshold: float) -> None:
        super().__init__()
        self.state, self.threshold = _stepwise(state, vectors), threshold
        leaves, self._form = tree_flatten(self.state.items(vectors))
        self._plain = [None if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        for place, leaf in enumerate(leaves):
            if isinstance(leaf, Tensor):
                self.register_buffer(f"items{place}", leaf.detach().clone(), persistent=False)

    def forward(self, items: Tensor, feedback: Tensor) -> Tensor:
        from torch._higher_order_ops.scan import scan

        shared = tree_unflatten([leaf if leaf is not None else self.get_buffer(f"items{place}")
                                 for place, leaf in enumerate(self._plain)], self._form)
        # a first column of nothing: a scan over no column at all is refused
        columns = (F.pad(items, (1, 0), value=-1).t().contiguous(), F.pad(feedback, (1, 0)).t().contiguous())

        # flat, as a scan carries tensors and nothing else; copies, as no two of them may be one tensor
        parts, form = tree_flatten(self.state.initial(items.size(0), shared))
        start = [part.clone(memory_format=torch.contiguous_format) for part in parts]

        def one(carry: list[Tensor], column: tuple[Tensor, Tensor]) -> tuple[list[Tensor], Tensor]:
            item, received = column
            taken = item >= 0
            positive = taken & (received > self.threshold)
            streak = torch.where(positive, 1, -1).mul(taken).to(torch.int8)
            step = Step(item, received, received, positive, streak)
            later = tree_flatten(self.state.step(tree_unflatten(carry, form), shared, step))[0]
            kept = [torch.where(taken.view(-1, *[1] * (new.dim() - 1)), new, old)
                    for new, old in zip(later, carry, strict=True)]
            return kept, item.new_zeros(1)  # a scan must put something out

        return self.state.read(tree_unflatten(scan(one, start, columns)[0], form))


def _stepwise(state: Any, vectors: Tensor) -> Any:
    """``state`` with a learned model of feedback as it stands now, whose carry keeps its shape."""
    if isinstance(state, LearnedTaste):
        return KnownTaste(state.model.project(vectors)).requires_grad_(False)
    if isinstance(state, JoinedState):
        return JoinedState(**{name: _stepwise(part, vectors) for name, part in state.named_children()})
    return state


class OpenItems(nn.Module):
    """The candidates of :class:`kgrl.candidates.KHopCandidates`, as a mask over all items.

    Args:
        candidates: whose rule draws nothing at random: no random backfill, and never more than ``size`` candidates.

    Raises:
        ValueError: candidates that are drawn at random, or that are found by walking through the KG at each call.
    """

    def __init__(self, candidates: KHopCandidates) -> None:
        super().__init__()
        self.num_items, index = candidates.num_items, candidates.index
        kind, self.count = candidates.backfill or (None, 0)
        if kind in ("random", "fill"):
            raise ValueError(expected("candidates.backfill", 'None or ("popular", n), to be exported: a file draws '
                                      "nothing at random", candidates.backfill, INSTEAD))
        allowed = torch.ones(self.num_items, dtype=torch.bool, device="cpu")
        if candidates._outside is not None:
            allowed = ~candidates._outside[: self.num_items].cpu()
        ranking = candidates.ranking.cpu() if kind else torch.empty(0, dtype=torch.long, device="cpu")
        always = torch.zeros_like(allowed).index_fill_(0, ranking[allowed[ranking]][: self.count], True)
        self._tabulate(index)
        self.register_buffer("allowed", allowed)
        self.register_buffer("always", always)
        self.register_buffer("ranking", ranking)
        self.register_buffer("rank", ranking.argsort())
        every = torch.ones(1, self.num_items, device="cpu", dtype=torch.float)
        most = int((self.reached(every).squeeze(0) & allowed | always).sum())
        if candidates.size is not None and candidates.size < most:
            raise ValueError(expected("candidates.size", f"None or at least {most}, to be exported: of more candidates "
                                      "some are drawn at random, which a file cannot", candidates.size, INSTEAD))

    def _tabulate(self, index: nn.Module) -> None:
        if isinstance(index, KHopMasks):
            self.register_buffer("table", index.mask[:-1, :-1].cpu().clone())
        elif isinstance(index, KHopLists):
            start = torch.arange(self.num_items, device="cpu").repeat_interleave(index.rowptr.diff().cpu())
            item, order = index.items.long().cpu().sort(stable=True)
            self.register_buffer("start", start[order])
            self.register_buffer("end", torch.bincount(item, minlength=self.num_items).cumsum(0))
        else:
            raise ValueError(expected("candidates", "with a table of every item's k-hop items, to be exported",
                                      "a walk through the KG at each call", "raise `table_limit`; or " + INSTEAD))

    def reached(self, liked: Tensor) -> Tensor:
        """``[B, N]``, the items within k hops of what is ``liked [B, N]``, a number above 0 where it is."""
        if "table" in self._buffers:
            return liked @ self.get_buffer("table").float() > 0.5
        # entries in the order of the items that are reached: their number is the difference of running sums
        found = F.pad(liked.index_select(1, self.get_buffer("start")).cumsum(1), (1, 0))
        end = self.get_buffer("end")
        return found.index_select(1, end) > found.index_select(1, F.pad(end[:-1], (1, 0)))

    def forward(self, liked: Tensor, gone: Tensor) -> Tensor:
        """``[B, N]``, whether an item is a candidate.

        Args:
            liked: ``[B, N]``, 1 for what was received positively, else 0.
            gone: ``[B, N]``, what was shown.
        """
        left = ~gone & self.get_buffer("allowed")
        found = (self.reached(liked) | self.get_buffer("always")) & left
        if not self.count:
            return found
        ranked = left.index_select(1, self.get_buffer("ranking"))
        next_ones = (ranked & (ranked.long().cumsum(1) <= self.count)).index_select(1, self.get_buffer("rank"))
        return found | (next_ones & ~found.any(1, keepdim=True))


def open_items(candidates: Any) -> tuple[OpenItems | None, Tensor | None]:
    """What an agent with these candidates may recommend: by a rule, or (``None``) any item of a pool, or of all.

    Raises:
        TypeError: candidates of your own.
        ValueError: see :class:`OpenItems`.
    """
    if isinstance(candidates, FixedCandidates):
        return None, None if candidates.candidates is None else candidates.candidates.cpu()
    if not isinstance(candidates, KHopCandidates):
        raise TypeError(expected("candidates", "KHopCandidates or FixedCandidates, to be exported",
                                 type(candidates).__name__, INSTEAD))
    return OpenItems(candidates), None
