"""``PlantedFeedback``: tastes that the KG explains, as ``SyntheticKGRec`` plants them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.objects import a_data_set
from kgrl.options import expected
from kgrl.simulator.feedback import FeedbackModel


class PlantedFeedback(FeedbackModel):
    r"""A world whose right answer is known: a user likes the items with one of her favourite attributes, no others.

    .. math:: r_{ui} = 1 \text{ if item i's attribute is among user u's favourites, else } -1

    Neither paper has it. The logged ratings are a sample of this feedback, and the KG says which items share an
    attribute: here a method that reads the KG has something to find there, which it has not in worlds that are fitted
    to ratings alone.

    Args:
        data: as :class:`~kgrl.datasets.SyntheticKGRec` makes it, with ``data['user'].taste [U, k]`` and
            ``data['item'].attribute [N]``.

    Raises:
        ValueError: it has no such tastes.
    """

    likes: Tensor
    attribute: Tensor

    def __init__(self, data: HeteroData) -> None:
        for node, name in (("user", "taste"), ("item", "attribute")):
            if name not in a_data_set("data", data, node)[node]:
                raise ValueError(expected("data", f"of planted tastes, with data[{node!r}].{name}", list(data[node]),
                                          "SyntheticKGRec makes such data"))
        taste, attribute = data["user"].taste, data["item"].attribute
        super().__init__(len(taste), len(attribute), device=taste.device)
        likes = torch.full((len(taste), int(max(taste.max(), attribute.max())) + 1), -1.0, device=taste.device)
        self.register_buffer("likes", likes.scatter_(1, taste, 1.0))  # [U, A], of −1 and 1
        self.register_buffer("attribute", attribute)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        return self.likes[users, self.attribute[items]]

    def rows(self, users: Tensor) -> Tensor:
        return self.likes[users].index_select(1, self.attribute)
