"""Data of one's own: from three pandas frames to an agent that recommends by raw id.

    python examples/your_own_data.py                                        # a small book shop that is made up here
    python examples/your_own_data.py --ratings r.csv --triples t.csv --links l.csv --scale 1,5,3.5
    python examples/your_own_data.py --ratings r.csv --items books.csv --separator "|"      # no triples: of a table

Ratings are `user, item, rating[, time]`, triples `head, relation, tail`, links `item, entity`; ids are of any type. Who
has no triples gives a table of items instead: its columns become relations.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from torch_geometric.data import HeteroData

from kgrl.agents import KGQR
from kgrl.datasets import attribute_triples, audit_links, from_frames, node_names, popular_items, split_users
from kgrl.evaluate import evaluate
from kgrl.graph import knowledge_graph
from kgrl.sessions import Sessions, raw_items
from kgrl.simulator import RatedFeedback, Simulator
from kgrl.train import fit

GENRES = ["crime", "fantasy", "history", "poetry", "romance", "science", "travel", "war"]


def book_shop(seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Ratings, triples and links of 200 readers who each like two genres and some authors; ids are texts."""
    rng = np.random.default_rng(seed)
    books = pd.DataFrame({"book": [f"b{number:03d}" for number in range(150)], "genre": rng.choice(GENRES, 150),
                          "author": [f"author {number}" for number in rng.integers(0, 40, 150)]})
    tastes = {f"reader {number}": rng.choice(GENRES, 2, replace=False) for number in range(200)}
    rows = []
    for reader, liked in tastes.items():
        for place in rng.choice(len(books), 100, replace=False):
            base = 4.2 if books["genre"][place] in liked else 2.3
            rows.append((reader, books["book"][place], float(np.clip(round(base + rng.normal(0, 0.7)), 1, 5))))
    entity = "work/" + books["book"]
    triples = pd.concat([pd.DataFrame({"head": entity, "relation": relation, "tail": books[relation]})
                         for relation in ("genre", "author")])
    return pd.DataFrame(rows, columns=["user", "item", "rating"]), triples, pd.DataFrame(
        {"item": books["book"], "entity": entity})


def load(args: argparse.Namespace) -> HeteroData:
    """The frames as one validated `HeteroData`."""
    if args.ratings is None:
        ratings, triples, links = book_shop(args.seed)
        names = pd.DataFrame({"entity": triples["tail"].unique(), "name": triples["tail"].unique()})
        return from_frames(ratings, triples, links, rating_scale=(1, 5, 3), entities=names)
    ratings = pd.read_csv(args.ratings)
    if args.items is not None:
        return from_frames(ratings, **attribute_triples(pd.read_csv(args.items), separator=args.separator),
                           rating_scale=args.scale)
    links = None if args.links is None else pd.read_csv(args.links)     # None: an item is the entity of the same id
    return from_frames(ratings, pd.read_csv(args.triples), links, rating_scale=args.scale)


def scale(text: str) -> tuple[float, float, float]:
    low, high, threshold = map(float, text.split(","))
    return low, high, threshold


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ratings", type=Path, help="CSV: user, item, rating[, time]; default: the made book shop")
    parser.add_argument("--triples", type=Path, help="CSV: head, relation, tail")
    parser.add_argument("--links", type=Path, help="CSV: item, entity")
    parser.add_argument("--items", type=Path, help="CSV: item[, title] and attributes, in the place of triples")
    parser.add_argument("--separator", help="between several values of a text in --items")
    parser.add_argument("--scale", type=scale, help="lowest rating, highest, and above which an item is liked")
    parser.add_argument("--interactions", type=int, default=5_120, help="items that are shown in training")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.ratings is not None and (args.triples is None) == (args.items is None):
        parser.error("--ratings needs either --triples or --items")

    data = load(args)
    print(data)
    print(audit_links(data))                                        # are the links right? who likes what tells
    train, valid, test = split_users(data, seed=args.seed)
    kg, popular = knowledge_graph(data), popular_items(data, train)
    horizon = min(16, len(popular) // 2)
    logged = RatedFeedback(data, relevant_above=data.rating_scale[2])   # unrated: 0; from many ratings,
    world = Simulator(logged, horizon=horizon, first=popular)           # PredictedFeedback.fit(data) guesses the others
    print(world.bounds(test, train))

    agent = KGQR(kg, dim=16, popular=popular, gamma=0.0, lr=3e-3, gradient_steps=16, seed=args.seed)
    fit(agent, world, train, interactions=args.interactions, sessions=min(32, len(train)), eval_users=valid,
        seed=args.seed)
    print(f"KGQR                 {evaluate(agent, world, test).reward:.3f}")

    ids, names = data["item"].raw_id, node_names(data)              # your own ids, and what people call the items
    liked = raw_items(popular[None, :2], ids)[0]                    # somebody who liked these two
    past = Sessions.from_history(items=[liked], feedback=[[1.0, 1.0]], ids=ids)
    items = agent.recommend(past, k=5)
    print(f"to somebody who liked {liked}: {raw_items(items, ids)[0]}")
    print("in words: " + "; ".join(names[item] for item in items[0].tolist() if item >= 0))


if __name__ == "__main__":
    main()
