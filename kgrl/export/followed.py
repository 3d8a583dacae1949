"""``FollowedHistory``: an agent's session state of plain histories, as a graph that knows no length beforehand."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from kgrl.agents.state.joined import JoinedState, KnownTaste, LearnedTaste
from kgrl.agents.state.session_state import SessionState, Step


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
