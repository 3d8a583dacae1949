"""A small world, and agents that ``fit`` trains in it: a note-taker and a KGQR."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kgrl.agents import KGQR
from kgrl.factorization import Factors
from kgrl.graph import knowledge_graph
from kgrl.sessions import Sessions
from kgrl.simulator import FeedbackModel, PredictedFeedback, Simulator


def small_feedback(seed: int = 1, threshold: float = 0.0) -> PredictedFeedback:
    """Of 30 users to 40 items."""
    return PredictedFeedback(Factors(30, 40, 3, seed=seed), threshold=threshold)


def small_world(feedback: FeedbackModel | None = None, **options) -> Simulator:
    """Sessions of 6 steps."""
    return Simulator(feedback or small_feedback(), **({"eta": 0.1, "horizon": 6} | options))


class Notebook(nn.Module):
    """Recommends the first items in order, and writes down whom it was asked to learn from, and what it drew from."""

    def __init__(self, items: int = 6) -> None:
        super().__init__()
        self.items = items
        self.learned: list[Tensor] = []
        self.seeds: set[tuple[str, int]] = set()
        self.types: set[torch.dtype] = set()

    def act(self, sessions: Sessions, explore: bool, generator: torch.Generator) -> Tensor:
        self.seeds.add(("exploring" if explore else "greedy", generator.initial_seed()))
        self.note_type()
        return torch.full_like(sessions.users, sessions.step if sessions.step < self.items else -1)

    def learn(self, sessions: Sessions, generator: torch.Generator) -> dict[str, float]:
        self.seeds.add(("learning", generator.initial_seed()))
        self.note_type()
        self.learned.append(sessions.users)
        return {"gradient_steps": 2, "loss": 0.5}

    def note_type(self) -> None:
        self.types.add((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)


def small_agent(
    edges: int = 40, kind: type[KGQR] = KGQR, ids: list[str] | None = None, **options
) -> KGQR:
    """Over a KG in which each item points at one of four entities."""
    graph = torch.stack([torch.arange(edges), 40 + torch.arange(edges) % 4])
    named = {} if ids is None else {"item_id": ids, "entity_id": [*ids, *"abcd"]}
    given = {"preset": "paper", "average": 0.1, "epsilon": 0.1, "gamma": 0.5, "dim": 6, "state_channels": 6,
             "hidden_channels": 6, "gradient_steps": 2, "batch_size": 16, "backfill": ("random", 10)}
    return kind(knowledge_graph(graph, num_nodes=44, num_items=40, **named), **(given | options))
