"""A catalogue that changes: films with raw ids, numbered in any order, in KGs that hold some of them."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data

from kgrl.graph import knowledge_graph
from kgrl.sessions import Sessions

FILMS = [f"film{number}" for number in range(24)]
GENRES, PEOPLE = [f"g{number}" for number in range(3)], [f"p{number}" for number in range(8)]
_draw = random.Random(0)
FACTS = [(film, relation, what) for film in FILMS
         for relation, what in (("genre", _draw.choice(GENRES)), ("starring", _draw.choice(PEOPLE)),
                                ("starring", _draw.choice(PEOPLE)), ("about", "life"))]
FACTS += [("p0", "married_to", "p1"), ("film1", "sequel_of", "film0")]
RELATIONS = ["genre", "starring", "about", "married_to", "sequel_of"]


def shuffled_films(films: Sequence[str] = FILMS, seed: int = 1) -> list[str]:
    return random.Random(seed).sample(list(films), len(films))


def catalogue_kg(films: Sequence[str], facts: Sequence[tuple[str, str, str]] = FACTS, seed: int = 0) -> Data:
    """The KG of these films, in this order; other entities, films that are no items included, in any order.

    The film "film3" is known as item 3, and as the entity "film3".
    """
    others = sorted({each for head, _, tail in facts for each in (head, tail)} - set(films))
    entities = [*films, *random.Random(seed).sample(others, len(others))]
    number = {entity: place for place, entity in enumerate(entities)}
    edges = torch.tensor([[number[head], number[tail]] for head, _, tail in facts], dtype=torch.long).T
    types = torch.tensor([RELATIONS.index(relation) for _, relation, _ in facts])
    return knowledge_graph(edges, edge_type=types, num_items=len(films), num_nodes=len(entities),
                           relation_names=RELATIONS, item_id=torch.tensor([int(film[4:]) for film in films]),
                           entity_id=entities)


def facts_of(films: Sequence[str]) -> list[tuple[str, str, str]]:
    """Those that no other film is in."""
    others = set(FILMS) - set(films)
    return [fact for fact in FACTS if not others & {fact[0], fact[2]}]


def played(num_items: int, sessions: int = 16, steps: int = 6, seed: int = 0) -> Sessions:
    """Random sessions with random feedback."""
    generator = torch.Generator().manual_seed(seed)
    items = torch.stack([torch.randperm(num_items, generator=generator)[:steps] for _ in range(sessions)])
    return Sessions.from_history(items, torch.rand(items.shape, generator=generator) * 2 - 1)


def history(kg: Data, films: Sequence[str] = ("film3", "film5", "film8"), feedback: Sequence[float] = (1, -0.5, 0.7)
            ) -> Sessions:
    """Of two users, one of whom has seen nothing."""
    return Sessions.from_history([[int(film[4:]) for film in films], []], [list(feedback), []], ids=kg.item_id)


def by_film(kg: Data, values: Tensor) -> dict[int, Tensor]:
    """The rows of ``values [N, …]`` by the raw ids of the items."""
    return dict(zip(kg.item_id.tolist(), values, strict=True))
