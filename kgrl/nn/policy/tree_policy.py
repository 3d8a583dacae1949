"""``TreePolicy``: picks one of many classes by walking a cluster tree, one small network a node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from kgrl.nn.policy.grouped import Grouping, grouped_parts
from kgrl.nn.policy.item_scores import ItemScores, Levels
from kgrl.nn.policy.node_index import Gone, GoneBefore
from kgrl.nn.policy.tree_walk import Choice, TreeSearch, Walk, draw, log_prob_and_entropy
from kgrl.objects import a_generator, shaped
from kgrl.options import expected

CELLS = {"cpu": 2**18, "cuda": 2**26}
"""Children whose logits a greedy walk has at once: on a CPU they then stay in its cache."""


class TreePolicy(TreeSearch):
    r"""A distribution over N items as the product of the choices on the way from the root to a leaf.

    From the `"Large-scale Interactive Recommendation with Tree-structured Policy Gradient"
    <https://arxiv.org/abs/1811.05869>`_ paper (TPGR, Algorithms 1 and 2): with the path :math:`(p_1, \dots, p_D)` of
    item a and the nodes :math:`i_1, \dots, i_D` on it,

    .. math:: \pi_\theta(a \mid \mathbf s) = \prod_{d=1}^{D} \pi_{\theta_{i_d}}(p_d \mid \mathbf s)

    Each inner node has a fully connected network with a softmax over its c children. All nodes' weights are stacked,
    and a batch goes down a level in one grouped product: a decision costs O(D · c), and no tensor of rows × N is made
    (but for :meth:`probabilities`).

    Children without items are masked out of the softmax, and so are items that are gone and nodes all of whose items
    are; the probabilities of what is left sum to one. Differs from the authors' code, whose mask weighs a child by the
    number of items left below it when it samples, and is left out of the gradient.

    It serves any classification over many classes: cross entropy is ``-policy.log_prob(state, classes)``.

    Args:
        state_channels (int): Size s of a state.
        tree (ClusterTree): The tree over the items.
        hidden (list of int): Sizes of each node's hidden layers; none: one linear layer, as in the authors' code.

    Shapes:
        - **inputs:** states :math:`(R, s)`, and the items gone :math:`(R, L)`, −1 for none
        - **outputs:** items and log-probabilities :math:`(R)`
    """

    # ----------------------------------------------------------------------------------------------------- one item

    def sample(
        self, state: Tensor, gone: Tensor | None = None, generator: torch.Generator | None = None,
        scores: ItemScores | Levels | None = None,
    ) -> Walk:
        """Draws an item for each state.

        Args:
            state: ``[R, s]``.
            gone: ``[R, L]``, items that may not be drawn, none of them twice; −1 for none.
            generator: on the states' device.
            scores: of the items, or what :meth:`prepare` made of them.
        """
        self._checked(state, gone)
        levels = self._levels(scores)
        past = self._past(state, gone, levels)
        a_generator("generator", generator)
        node, total, choices = self._root(state), state.new_zeros(len(state)), []
        for level in range(self.depth):
            grouping = self._grouping(level, node)
            met = self._meet(level, node, grouping, state, past, levels)
            digit, log_prob = draw(self._logits(level, grouping, state, met, levels), generator)
            choices.append(Choice(node, digit, *met))
            node, total = node * self.num_children + digit, total + log_prob
        return Walk(self._items(node, gone), total, tuple(choices))

    def greedy(self, state: Tensor, gone: Tensor | None = None, scores: ItemScores | Levels | None = None) -> Walk:
        """Takes the likeliest child at every node.

        This is not always the likeliest item: that may lie below a child that is not. :meth:`topk` searches wider.
        """
        self._checked(state, gone)
        levels = self._levels(scores)
        past = self._past(state, gone, levels)
        node, total = self._root(state), state.new_zeros(len(state))
        for level in range(self.depth):
            digit, log_prob = torch.empty_like(node), torch.zeros_like(total)
            for rows, grouping in self._parts(level, node):
                here, seen, before = node[rows], state[rows], None if past is None else past.rows(rows)
                met = self._meet(level, here, grouping, seen, before, levels)
                logits = self._logits(level, grouping, seen, met, levels)
                most, child = logits.max(1)
                digit = digit.index_copy(0, rows, child)
                log_prob = log_prob.index_copy(0, rows, -(logits - most.unsqueeze(1)).exp_().sum(1).log())
            node, total = node * self.num_children + digit, total + log_prob
        return Walk(self._items(node, gone), total)

    def _root(self, state: Tensor) -> Tensor:
        return torch.zeros(len(state), dtype=torch.long, device=state.device)

    def _past(self, state: Tensor, gone: Tensor | None, levels: Levels) -> Gone | None:
        return None if gone is None or not gone.size(-1) else self._gone(state, gone, levels)

    def _items(self, leaf: Tensor, gone: Tensor | None) -> Tensor:
        """The items of leaves where walks ended; −1 where all were gone."""
        items = self.index.leaves[leaf]
        if gone is not None and gone.size(1) >= self.index.num_left:  # else something is left
            items = items.masked_fill(self._none_left(gone).squeeze(1), -1)
        return items

    def _parts(self, level: int, node: Tensor) -> Iterator[tuple[Tensor, Grouping | None]]:
        """The rows at ``node [R]``, some at a time, with their grouping: neighbours in the tree together.

        What is made of R rows and c children then stays in a CPU's cache, and so do the networks of the few nodes of a
        part: else a decision's time would grow faster than c.
        """
        size = max(1, CELLS.get(node.device.type, 2**26) // self.num_children)
        order = torch.arange(len(node), device=node.device)
        if len(node) <= size:
            yield order, self._grouping(level, node)
            return
        yield from grouped_parts(node, size) if level else ((rows, None) for rows in order.split(size))

    # ------------------------------------------------------------------------------------------------ probabilities

    def log_prob(
        self, state: Tensor, items: Tensor, gone: Tensor | None = None, scores: ItemScores | Levels | None = None
    ) -> Tensor:
        """``[R]``, the log-probability of ``items [R]``, none of them gone; other arguments as in :meth:`sample`."""
        return self.log_prob_and_entropy(state, items, gone, scores)[0]

    def log_prob_and_entropy(
        self, state: Tensor, items: Tensor, gone: Tensor | None = None, scores: ItemScores | Levels | None = None
    ) -> tuple[Tensor, Tensor]:
        """``[R]`` each: the log-probability of ``items``, and the entropy of the choices on their paths.

        The latter, averaged over drawn items, estimates the entropy over all items (chain rule).

        Raises:
            ValueError: not one item for each state, or (on the CPU; elsewhere, looking would stall the device) an item
                that the tree does not have.
        """
        self._checked(state, gone)
        shaped("items", items, len(state), whole=True)
        if items.device.type == "cpu" and bool(((items < 0) | (items >= self.num_items)).any()):
            wrong = items[(items < 0) | (items >= self.num_items)][0].item()
            raise ValueError(expected("items", f"items in [0, {self.num_items})", wrong))
        levels = self._levels(scores)
        past = None if gone is None else self._gone(state, gone, levels)
        return self._evaluate(state, self._way_to(items, state, past, levels), levels)

    def session_log_prob_and_entropy(
        self, states: Tensor, shown: Tensor, scores: ItemScores | Levels | None = None,
        choices: Sequence[Choice] | None = None, past: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """``[T, B]`` each: as :meth:`log_prob_and_entropy`, of whole sessions in which no item is shown twice.

        Args:
            states: ``[T, B, s]``, before each step.
            shown: ``[B, T]``, the item of each step; what was shown before it was gone. −1: the session had ended, and
                what stands in its place means nothing.
            scores: as in :meth:`sample`.
            choices: what the walks met on each level, ``[T, B, …]``, where that is still known: it saves the time of
                finding it out again.
            past: ``[B, L]``, what was gone from the start; −1 for none. Not asked for where there are ``choices``.
        """
        if choices is None and past is not None and past.size(1):  # as steps before, whose results nobody wants
            before = states.new_zeros(past.size(1), *states.shape[1:])
            found = self.session_log_prob_and_entropy(torch.cat([before, states]), torch.cat([past, shown], 1), scores)
            return found[0][len(before) :], found[1][len(before) :]
        sessions, horizon = shown.shape
        levels = self._levels(scores)
        flat = states.flatten(0, 1)
        if choices is None:
            shown = self.index.left(shown)
            gone = GoneBefore(self.index, shown, self._scores_of(shown, states.transpose(0, 1), levels))
            items = shown.t().flatten()
            choices = self._way_to(items.masked_fill(items < 0, self.index.first), flat, gone, levels)
        else:
            choices = [choice.map(lambda x: x.flatten(0, 1)) for choice in choices]
        found = self._evaluate(flat, choices, levels)
        return found[0].view(horizon, sessions), found[1].view(horizon, sessions)

    def _way_to(
        self, items: Tensor, state: Tensor, past: Gone | GoneBefore | None, levels: Levels
    ) -> list[Choice]:
        """What a walk to ``items`` meets."""
        choices = []
        for level in range(self.depth):
            node = self.index.above(items, level)
            met = self._meet(level, node, self._grouping(level, node), state, past, levels)
            choices.append(Choice(node, self.index.digit(items, level), *met))
        return choices

    def _evaluate(self, state: Tensor, choices: Sequence[Choice], levels: Levels) -> tuple[Tensor, Tensor]:
        """Log-probability and entropy of the choices, added up over levels."""
        total, entropy = state.new_zeros(len(state)), state.new_zeros(len(state))
        for level, (node, digit, *met) in enumerate(choices):
            logits = self._logits(level, self._grouping(level, node), state, met, levels)
            found = log_prob_and_entropy(logits, digit)
            total, entropy = total + found[0], entropy + found[1]
        return total, entropy
