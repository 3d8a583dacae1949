"""``fit_next_item``: how GRU4Rec's network learns from sequences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from kgrl.agents.shared.picking import finite_report
from kgrl.nn.policy.next_item import LOSSES, NextItem
from kgrl.pretrain.sequences import LikedSequences
from kgrl.seeding import fenced, generator_for

LEAST_WEIGHT = 1e-30
"""Smaller ones, which L2 leaves of items that next to nobody liked, become 0 in the end: where a product falls below
the smallest normal number, it takes a CPU forty times as long."""


def fit_next_item(network: NextItem, sequences: LikedSequences, options: Mapping[str, Any]) -> None:
    """Each epoch goes once over the sequences, in another order and with other cuts, side by side.

    Args:
        network: what learns, in place; on the sequences' device.
        sequences: what it learns from.
        options: those of :class:`kgrl.agents.GRU4Rec`.
    """
    generator = generator_for("cpu", options["seed"])
    adam = torch.optim.Adam(
        network.parameters(), lr=options["lr"], weight_decay=options["weight_decay"], fused=True)
    weight = sequences.likes().cpu().double().pow(options["alpha"])
    with fenced(options["seed"]):  # of dropout
        for _ in range(options["epochs"]):
            lanes = sequences.parallel(options["batch_size"], options["longest"], generator)
            hidden = network.gru.initial(options["batch_size"])
            for items, first in zip(*(part.split(options["steps"]) for part in lanes), strict=True):
                before, hidden = network(items, first, hidden.detach())
                drawn = _draw(weight, options["negatives"], generator).to(items.device)
                loss = ranking_loss(network, before, items, drawn, options)
                adam.zero_grad(set_to_none=True)
                loss.backward()
                adam.step()
        finite_report(("loss",), loss.detach().unsqueeze(0), network.parameters())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.masked_fill_(parameter.abs() < LEAST_WEIGHT, 0)


def ranking_loss(
    network: NextItem, before: Tensor, items: Tensor, drawn: Tensor, options: Mapping[str, Any]
) -> Tensor:
    """The mean loss over the items that came next.

    Args:
        network: gives the scores.
        before: ``[L, B, h]``, the states.
        items: ``[L, B]``, the items that came next; −1 for none, but not all of them.
        drawn: ``[n]``, negatives beside those of the other sequences.
        options: ``loss`` and ``regularisation``.
    """
    each = LOSSES[options["loss"]](*network.against(before, items, drawn), options["regularisation"])
    there = (items >= 0).reshape(-1)
    return (each * there).sum() / there.sum()


def _draw(weight: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """``[count]``, item ids in proportion to ``weight [N]``."""
    if not count:
        return torch.empty(0, dtype=torch.long, device=weight.device)
    return torch.multinomial(weight, count, replacement=True, generator=generator)
