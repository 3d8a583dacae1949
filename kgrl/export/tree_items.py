"""``TreeItems``: the likeliest items of a tree policy, searched in tensor operations of fixed shapes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kgrl.nn.policy.item_scores import ItemScores, node_score, pairs
from kgrl.nn.policy.node_index import Tally
from kgrl.nn.policy.tree_policy import TreePolicy


class TreeItems(nn.Module):
    """What :meth:`kgrl.nn.TreePolicy.topk` finds; each row takes its nodes' weights along, where that groups rows.

    A row costs O(beam · s · c) numbers a level, whatever N is.

    Args:
        state: histories ``[B, L]`` and their feedback to states ``[B, s]``.
        policy: on the CPU; :meth:`kgrl.nn.TreePolicy.restrict` counts.
        scores: of the items, where the policy starts from some.
        k: how many.
        beam: nodes kept at each level; ``None``: 4·k.

    Shapes:
        - **inputs:** items :math:`(B, L)`, −1 anywhere for none, and feedback :math:`(B, L)`
        - **outputs:** items :math:`(B, k)`, best first, −1 where there are fewer, and their log-probabilities, −∞ there
    """

    def __init__(
        self, state: nn.Module, policy: TreePolicy, scores: ItemScores | None, k: int, beam: int | None = None
    ) -> None:
        super().__init__()
        self.state, self.index, self.k = state, policy.index, k
        self.beam, self.depth, self.num_children = max(k, beam or 4 * k), policy.depth, policy.num_children
        levels = policy.prepare(scores)
        self.scores, self.moments = scores is not None, len(levels.moments)
        tables = {f"{kind}{level}.{layer}": part for level, layers in enumerate(levels.layers)
                  for layer, both in enumerate(layers) for kind, part in zip(("weight", "bias"), both, strict=True)}
        self.layers = [len(layers) for layers in levels.layers]
        for level, moments in enumerate(levels.moments):
            tables |= {f"first{level}": moments.first, f"second{level}": moments.second}
        if scores is not None and levels.leaf is not None:
            numbers = {name: torch.as_tensor(getattr(scores, name), device="cpu") for name in ("sharpness", "spread")}
            tables |= {"leaf": levels.leaf, "rows": scores.rows, **numbers}
        for name, table in tables.items():
            self.register_buffer(name.replace(".", "_"), table.detach().clone())

    def forward(self, items: Tensor, feedback: Tensor) -> tuple[Tensor, Tensor]:
        state, gone = self.state(items, feedback), self.index.left(items)
        seen = scored = None
        if self.scores:
            rows = self.get_buffer("rows")
            taken = state[:, state.size(1) - rows.size(1) + 1 :]
            seen = torch.cat([taken, taken.new_ones(taken.size(0), 1)], 1)
            scored = torch.bmm(F.embedding(gone.clamp(min=0), rows), seen.unsqueeze(2)).squeeze(2)
        node = torch.zeros(items.size(0), 1, dtype=torch.long, device=items.device)
        total = state.new_zeros(items.size(0), 1)
        for level in range(self.depth):
            logits = self._logits(level, node, state, seen, gone, scored)
            total = (total.unsqueeze(2) + logits.log_softmax(2)).flatten(1)
            below = torch.arange(self.num_children, device=node.device)
            node = (node.unsqueeze(2) * self.num_children + below).flatten(1)
            keep = min(self.beam if level < self.depth - 1 else self.k, node.size(1))
            total, best = total.topk(keep, dim=1)
            node = node.gather(1, best)
        used_up = (gone >= 0).sum(1, keepdim=True) >= self.index.num_left
        total = total.masked_fill(used_up, -torch.inf)
        found = self.index.leaves[node].masked_fill(total == -torch.inf, -1)
        more = (0, self.k - keep)
        return F.pad(found, more, value=-1), F.pad(total, more, value=-torch.inf)

    def _logits(
        self, level: int, node: Tensor, state: Tensor, seen: Tensor | None, gone: Tensor, scored: Tensor | None
    ) -> Tensor:
        """``[B, W, c]``, of the children of the nodes ``[B, W]``; −∞ where nothing is left."""
        here = (self.index.above(gone, level).unsqueeze(1) == node.unsqueeze(2)) & (gone >= 0).unsqueeze(1)
        digits = F.one_hot(self.index.digit(gone, level), self.num_children).to(state.dtype)
        number = torch.bmm(here.to(state.dtype), digits)
        below = _rows(self.index.below(level), node)
        left = below - number > 0.5
        left = left | ~left.any(2, keepdim=True)  # a wide search comes by nodes without items: no softmax of nothing
        x = state.unsqueeze(1).expand(-1, node.size(1), -1)
        for layer in range(self.layers[level]):
            x = torch.relu(x) if layer else x
            weight, bias = (_rows(self.get_buffer(f"{kind}{level}_{layer}"), node) for kind in ("weight", "bias"))
            x = (x.unsqueeze(2) @ weight).squeeze(2) + bias
        if seen is not None and scored is not None:
            x = x + self.get_buffer("sharpness") * self._score(level, node, seen, scored, here, digits, below, number)
        return x.masked_fill(~left, -torch.inf)

    def _score(
        self, level: int, node: Tensor, seen: Tensor, scored: Tensor, here: Tensor, digits: Tensor, below: Tensor,
        number: Tensor,
    ) -> Tensor:
        """``[B, W, c]``, of an item its own score, of a node what the best of those left there may have."""
        if level == self.depth - 1:
            return _product(seen, _rows(self.get_buffer("leaf"), node))
        first = _product(seen, _rows(self.get_buffer(f"first{level}"), node))
        second = _product(pairs(seen), _rows(self.get_buffer(f"second{level}"), node))
        gone = here.to(scored.dtype) * scored.unsqueeze(1)
        taken = Tally(number, torch.bmm(gone, digits), torch.bmm(gone * scored.unsqueeze(1), digits))
        mean, deviation = node_score(first, second, below, taken)
        return mean + self.get_buffer("spread") * deviation


def _rows(table: Tensor, node: Tensor) -> Tensor:
    """``[B, W, …]``, the rows of ``table [nodes, …]``."""
    return F.embedding(node, table.flatten(1)).unflatten(2, table.shape[1:])


def _product(x: Tensor, table: Tensor) -> Tensor:
    """``[B, W, c]``, each row's ``x [B, F]`` times its tables ``[B, W, F, c]``."""
    return (x.unsqueeze(1).unsqueeze(2) @ table).squeeze(2)
