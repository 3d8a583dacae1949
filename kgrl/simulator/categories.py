"""Categories of items, by which users tell that they are shown more of the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from kgrl.graph import checked_graph
from kgrl.objects import of_class
from kgrl.options import a_tensor, expected, one_of


def item_categories(kg: Data, relation: str | Sequence[str]) -> Tensor:
    """``[N, K]``, the categories that the KG gives each item: the tails of its triples of a relation, as of genres.

    Args:
        kg: the KG, from :func:`kgrl.graph.knowledge_graph`.
        relation: its name, among ``kg.relation_names``, or several names.

    Returns:
        Entity ids, ascending, K of them for the item that has the most, padded with −1.

    Raises:
        TypeError: ``kg`` is no graph, or ``relation`` no text.
        ValueError: an unknown relation, or one of which no item has a triple.
    """
    checked_graph(of_class("kg", kg, Data, "make it with kgrl.graph.knowledge_graph"))
    names = [relation] if isinstance(relation, str) else list(of_class("relation", relation, Sequence))
    wanted = [kg.relation_names.index(one_of("relation", name, kg.relation_names)) for name in names]
    heads, tails = kg.edge_index
    chosen = (heads < int(kg.num_items)) & torch.isin(kg.edge_type, kg.edge_type.new_tensor(wanted))
    if not chosen.any():
        raise ValueError(expected("relation", "one that goes from items to what they are", relation,
                                  "of no item is there a triple; its reverse may have the items in front"))
    pairs = torch.stack([heads[chosen], tails[chosen]], 1).unique(dim=0)  # sorted by item, then category
    count = torch.bincount(pairs[:, 0], minlength=int(kg.num_items))
    place = torch.arange(len(pairs), device=pairs.device) - (count.cumsum(0) - count)[pairs[:, 0]]
    table = torch.full((len(count), int(count.max())), -1, device=pairs.device)
    return table.index_put_((pairs[:, 0], place), pairs[:, 1])


class Categories(nn.Module):
    """Items and their categories, numbered from 0; what the rules that look at categories share.

    Args:
        categories: ``[N, K]``, category ids of each item, padded with −1, as :func:`item_categories` gives; ``[N]``,
            one category an item, as of clusters; or a mask ``[N, C]``.

    Raises:
        TypeError: they are no tensor.
        ValueError: they are of another shape or kind, or no item has a category.
    """

    table: Tensor

    def __init__(self, categories: Any) -> None:
        super().__init__()
        what = "the items' categories: a LongTensor [N] or [N, K] of ids, -1 for none, or a mask [N, C]"
        if categories is None:
            raise TypeError(expected("categories", what, None, "item_categories(kg, relation) takes them from the KG"))
        values = a_tensor("categories", categories)
        mask = values.dtype == torch.bool
        if not ((values.dtype == torch.long and values.dim() in (1, 2)) or (mask and values.dim() == 2)):
            raise ValueError(expected("categories", what, f"{values.dtype} {list(values.shape)}"))
        if not bool((values if mask else values >= 0).any()):
            raise ValueError(expected("categories", "a category of at least one item", "none"))
        if mask:
            most, numbers = int(values.sum(1).max()), torch.arange(values.size(1), device=values.device)
            values = torch.where(values, numbers, -1).sort(1, descending=True).values[:, :most]
        values = values.view(len(values), -1)
        known, numbers = values.unique(return_inverse=True)
        below = int((known < 0).sum())
        self.count = len(known) - below
        # C, the number behind the last, stands for no category: a column that is counted and never read
        self.register_buffer("table", torch.where(values < 0, self.count, numbers - below))

    @property
    def num_items(self) -> int:
        return len(self.table)

    def of(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """(category numbers ``[…, K]`` of ``items […]``, whether each is one); of item −1: none."""
        found = self.table[items.clamp(min=0)].masked_fill((items < 0).unsqueeze(-1), self.count)
        return found, found < self.count

    def counts(self, shown: Tensor, weights: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """How much of each category of some items was shown.

        Args:
            shown: ``[B, t]``, what was shown; −1 for nothing.
            weights: ``[t]``, what each of them counts.
            items: ``[B, M]``, whose categories are asked for.

        Returns:
            (sum of the weights of what was shown of a category ``[B, M, K]``, whether it is a category ``[B, M, K]``).
        """
        numbers, _ = self.of(shown)
        totals = weights.new_zeros(len(shown), self.count + 1)
        totals.scatter_add_(1, numbers.flatten(1), weights.repeat_interleave(numbers.size(2)).expand(len(shown), -1))
        own, real = self.of(items)
        return totals.gather(1, own.flatten(1)).view(own.shape).masked_fill(~real, 0), real

    def extra_repr(self) -> str:
        return f"{self.count} categories of {self.num_items} items"
