"""Swap the aggregator: KGQR trained with each one, and with one of your own, side by side.

    python examples/swap_aggregators.py                                  # MovieLens-100K, minutes
    python examples/swap_aggregators.py --aggregators mean relational BiInteraction --interactions 20480
    python examples/swap_aggregators.py --dataset book-crossing --source FOLDER
    python examples/swap_aggregators.py --dataset synthetic              # a made world, whose tastes follow the KG

Prints, for each aggregator, the reward per step of validation users, the seconds of the processor that training and its
evaluation took (of all threads together), the memory that they took on top of what was there before, and the number of
weights. So few interactions, with one seed, tell
what an aggregator costs; which is the best takes more of both.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kgrl.agents import KGQR
from kgrl.datasets import popular_items, split_users
from kgrl.experiments.arguments import check_source, whole_from
from kgrl.experiments.data_sets import DATASETS
from kgrl.experiments.script_run import peak_gib
from kgrl.graph import knowledge_graph
from kgrl.nn import Aggregator
from kgrl.nn.conv.layer_options import AGGREGATORS
from kgrl.options import expected
from kgrl.presets import preset, preset_names
from kgrl.pretrain import pretrain_entities
from kgrl.simulator import Simulator
from kgrl.train import fit


class BiInteraction(Aggregator):
    """σ(W₁·(n + x) + W₂·(n ⊙ x) + b), n the mean of the neighbours and x the node itself (KGAT; Wang et al., 2019)."""

    def __init__(self, in_channels: tuple[int, int], out_channels: int, bias: bool = True) -> None:
        super().__init__()
        self.sum = torch.nn.Linear(in_channels[0], out_channels, bias)
        self.product = torch.nn.Linear(in_channels[0], out_channels, bias=False)

    def forward(self, neighbours: Tensor, itself: Tensor) -> Tensor:
        return self.sum(neighbours + itself) + self.product(neighbours * itself)


OWN: dict[str, type[Aggregator]] = {"BiInteraction": BiInteraction}  # nothing else is to be registered


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--dataset", choices=[name for name in DATASETS if name != "netflix"], default="ml-100k")
    add("--source", type=Path, help="folder that already holds the raw files; default: download them")
    add("--data", type=Path, default=Path(__file__).resolve().parents[1] / "data", help="where data sets are kept")
    add("--aggregators", nargs="+", choices=[*AGGREGATORS, *OWN], default=[*AGGREGATORS, *OWN])
    add("--interactions", type=whole_from(32), default=4_096, help="items shown in training, for each aggregator")
    add("--seed", type=int, default=0, help="of the agents; the split and the world have seed 0")
    add("--out", type=Path, help="a JSON file for the rows, besides")
    args = parser.parse_args()
    check_source(parser, args.source, [args.dataset])
    if len(set(args.aggregators)) < len(args.aggregators):
        parser.error(expected("--aggregators", "each at most once", args.aggregators))
    return args


def trained(aggregator: str, make: Callable[..., KGQR], world: Simulator, users: Any, budget: int) -> dict[str, Any]:
    """A row of the table; in a process of its own, as a process remembers its highest memory for good."""
    before, started, (train, valid) = peak_gib(), time.process_time(), users
    agent = make(aggregator=OWN.get(aggregator, aggregator))  # the one argument: a name, or a class of one's own
    (last,) = fit(agent, world, train, eval_users=valid, interactions=budget, evaluate_every=budget, progress=False)
    assert agent.network.items.encoder is not None
    weights = sum(part.numel() for part in agent.network.items.encoder.parameters())
    return {"aggregator": aggregator, "reward": last["reward"], "precision": last["precision"],
            "seconds": time.process_time() - started, "mib": 1024 * (peak_gib() - before),
            "weights": weights}


def main() -> None:
    args = options()
    data = DATASETS[args.dataset](args.data / args.dataset, source=args.source)[0]
    train, valid, _ = split_users(data, train=0.7, valid=0.1, seed=0)
    kg, popular = knowledge_graph(data), popular_items(data, train)
    x = pretrain_entities(kg, model="TransE", dim=50, seed=0, cache=args.data / args.dataset / "embeddings")
    world = Simulator("planted" if args.dataset == "synthetic" else "predicted", eta=0.1, first=popular, data=data)
    known = any(name[:2] == ("kgqr", args.dataset) for name in preset_names())
    best = preset("KGQR", args.dataset).options if known else {}
    make = partial(KGQR, kg, embedding=x, popular=popular, seed=args.seed, **best)
    print(f"{world.bounds(valid, train)}\n(on {len(valid)} validation users)\n")
    print(f"{'aggregator':<14}{'reward':>9}{'precision':>11}{'seconds':>9}{'MiB':>8}{'weights':>9}", flush=True)
    rows = []
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as apart:
        for name in args.aggregators:
            row = apart.submit(trained, name, make, world, (train, valid), args.interactions).result()
            memory = "–" if math.isnan(row["mib"]) else f"{row['mib']:.0f}"
            print(f"{name:<14}{row['reward']:>9.3f}{row['precision']:>11.4f}{row['seconds']:>9.1f}{memory:>8}"
                  f"{row['weights']:>9,}", flush=True)
            rows.append(row)
    if args.out is not None:
        args.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
