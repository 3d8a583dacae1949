"""Small agents to export, histories to ask them about, and a scan that is a plain loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kgrl.agents import DDPGR, DQNR, KGQR, TPGR, GRU4Rec, LinearGaussian
from kgrl.graph import knowledge_graph
from kgrl.nn import TasteTerms
from kgrl.sessions import Sessions
from kgrl.tree import ClusterTree

ITEMS, K, SHAPES = 60, 7, [(1, 0), (1, 1), (30, 6), (40, 32), (20, 58), (6, 60)]


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def graph() -> Any:
    """Each item points at one of 15 entities: the items two hops away are three."""
    return knowledge_graph(torch.stack([torch.arange(ITEMS), ITEMS + torch.arange(ITEMS) % 15]), num_nodes=ITEMS + 15,
                           num_items=ITEMS)


def terms(size: int = 4) -> TasteTerms:
    return TasteTerms(torch.rand(ITEMS, generator=drawn()) - 0.5, torch.randn(ITEMS, size, generator=drawn(1)),
                      torch.rand(ITEMS, generator=drawn(2)) + 0.1)


def popular() -> Tensor:
    return torch.randperm(ITEMS, generator=drawn(3))


def vectors() -> Tensor:
    return torch.randn(ITEMS, 5, generator=drawn(4))


def kgqr(**options: Any) -> KGQR:
    given = {"dim": 6, "state_channels": 6, "hidden_channels": 6, "popular": popular(), "backfill": ("popular", 5),
             "num_candidates": None}
    return moved(KGQR(graph(), **(given | options)))


def tpgr(depth: int = 2, **options: Any) -> TPGR:
    given = {"state_channels": 5, "tastes": terms()}
    return moved(TPGR(ClusterTree.build(vectors(), depth=depth), **(given | options)))


def moved(agent: Any) -> Any:
    """Away from where weights start: from zeros, and from a running average that is the same as the network."""
    noise = drawn(5)
    with torch.no_grad():
        for name, part in agent.named_parameters():
            if name not in ("sharpness", "spread"):
                part.add_(torch.randn(part.shape, generator=noise), alpha=0.3)
    agent.version += 1
    return agent


AGENTS: dict[str, Callable[[], Any]] = {
    "KGQR": kgqr,
    "KGQR as in the paper, a wide table": lambda: kgqr(preset="paper", backfill=None, hops=4),
    "KGQR, all items, SRU, known tastes": lambda: kgqr(
        variant="KGQR-CS", state="sru", tastes=terms(8), aggregator="gat"),
    "KGQR without KG, some items": lambda: kgqr(variant="KGQR-KG", embedding=vectors()).restrict(popular()[:25]),
    "KGQR, some items": lambda: kgqr().restrict(popular()[20:45]),
    "TPGR": tpgr,
    "TPGR as in the paper": lambda: tpgr(preset="paper", tastes=None, hidden=[6]),
    "TPGR, KGQR's state, three levels": lambda: tpgr(3, state="gru", kg=graph()),
    "TPGR, some items": lambda: tpgr(3).restrict(popular()[20:45]),
    "DQNR with a pool": lambda: moved(DQNR(vectors(), pool=popular()[:30])),
    "DDPGR": lambda: moved(DDPGR(vectors())),
    "GRU4Rec": lambda: moved(GRU4Rec(torch.randint(0, 50, (ITEMS,), generator=drawn()), dim=8)),
    "LinearGaussian, some items": lambda: LinearGaussian(terms()).restrict(popular()[:25]),
}


def histories(sessions: int, longest: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Items shown, 0 to ``longest`` of them, padded with −1, and how they were received; the last is the longest."""
    noise = drawn(seed)
    order = torch.rand(sessions, ITEMS, generator=noise).argsort(1)[:, :longest]
    length = torch.randint(0, longest + 1, (sessions, 1), generator=noise)
    length[-1] = longest
    there = torch.arange(longest) < length
    return order.masked_fill(~there, -1), (torch.rand(order.shape, generator=noise) * 2 - 1) * there


def sessions_of(items: Tensor, feedback: Tensor, threshold: float = 0.0) -> Sessions:
    there = [row >= 0 for row in items]
    return Sessions.from_history([row[kept].tolist() for row, kept in zip(items, there, strict=True)],
                                 [row[kept].tolist() for row, kept in zip(feedback, there, strict=True)], threshold)


def looped(step: Callable[..., Any], carry: Any, columns: Sequence[Tensor]) -> tuple[Any, None]:
    for column in zip(*columns, strict=True):
        carry, _ = step(carry, column)
    return carry, None


class MoreOfTheSame(nn.Module):
    """An agent of one's own."""

    table: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", vectors())

    def item_scores(self, items: Tensor, feedback: Tensor) -> Tensor:
        taste = (self.table[items.clamp(min=0)] * (feedback * (items >= 0)).unsqueeze(2)).sum(1)
        return taste @ self.table.T
