"""TPGR on logged ratings: load, build the cluster tree, train against the simulator, show what was learned.

    python examples/tpgr.py                                   # MovieLens-100K
    python examples/tpgr.py --ratings FILE                    # user, item, rating a line, separated by tabs
    python examples/tpgr.py --state kg --tree kg              # KGQR's state encoder, tree over TransE vectors

Prints the data, the tree, the world's bounds, the learning curve and the scores of test users; writes metrics.json,
learning_curve.png, tree.md and sessions.md into --out. An interrupted run, started again, goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.agents import TPGR, LinearGaussian
from kgrl.datasets import (
    BookCrossing,
    MovieLens1M,
    MovieLens10M,
    MovieLens20M,
    MovieLens100K,
    from_frames,
    node_names,
    split_users,
)
from kgrl.evaluate import METRICS, evaluate, score
from kgrl.experiments.arguments import agent_options, number_from, whole_from
from kgrl.experiments.report import plot_curve, rated_pairs, score_table, session_pages, tree_page
from kgrl.experiments.script_run import own_folder, peak_gib, run_folder, tried
from kgrl.files import whole_file
from kgrl.graph import knowledge_graph
from kgrl.pretrain import item_vectors, pretrain_entities
from kgrl.simulator import RatedFeedback, Simulator
from kgrl.train import Run, fit
from kgrl.tree import ClusterTree

DATASETS = {"ml-100k": MovieLens100K, "ml-1m": MovieLens1M, "ml-10m": MovieLens10M, "ml-20m": MovieLens20M,
            "book-crossing": BookCrossing}

# what --set cannot give TPGR: what this script gives it, and what is no text
OWN = ("data", "users", "tree", "state", "preset", "eta", "seed", "embedding", "tastes", "kg", "ids")


def rating_scale(text: str) -> tuple[float, float, float]:
    """For ``--scale``: three numbers with commas between them."""
    lowest, highest, liked = (float(part) for part in text.split(","))
    return lowest, highest, liked


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--dataset", choices=DATASETS, default="ml-100k")
    add("--source", type=Path, help="folder that already holds the raw files; default: download them")
    add("--ratings", type=Path, help="a file of ratings instead of a data set")
    add("--scale", type=rating_scale, metavar="LOWEST,HIGHEST,LIKED", help="the ratings' scale, and what a relevant "
        "one is above; for --ratings, default: 0,5,3")
    add("--test-from", type=int, help="users with an id of at least this are the test users; default: a random fifth")
    add("--data", type=Path, default=Path(__file__).resolve().parents[1] / "data", help="where data sets are kept")
    add("--alpha", type=number_from(0), default=0.0, help="weight of the streak term")
    add("--tree", choices=["rating", "mf", "vae", "kg"], default="rating", help="the vectors that the tree is built on")
    add("--method", choices=["pca", "kmeans"], default="pca")
    add("--depth", type=whole_from(1), default=2)
    add("--state", choices=["sru", "kg"], default="sru", help="the paper's state, or KGQR's state encoder")
    add("--preset", choices=["default", "paper"], default="default")
    add("--interactions", type=whole_from(32), default=2_621_440, help="items shown in training")
    add("--pretrain", type=whole_from(0), default=0, help="of these, the first, in which the recurrent state learns to "
        "remember")
    add("--sessions", type=whole_from(1), default=8_192, help="sessions a rollout")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="any other option of TPGR, e.g. gamma=0.6")
    add("--final", action="store_true", help="train on the validation users, too: for settings that are chosen")
    add("--split", type=int, default=0, help="seed of the split into training, validation and test users")
    add("--seed", type=int, default=0, help="of the agent")
    add("--out", type=Path, help="folder of the results; default: one below runs, named after the options")
    args = parser.parse_args()
    args.out = args.out or run_folder(parser, args, "tpgr")
    if args.scale is not None and args.ratings is None:
        parser.error("--scale is that of the file of --ratings; a data set has a scale of its own")
    args.scale = args.scale or (0, 5, 3)
    args.agent = agent_options(parser, args.set, [TPGR, TPGR.from_data], OWN)
    tried(parser, lambda data: agent_of(args, data, torch.arange(data["user"].num_nodes), ClusterTree.build(
        torch.eye(data["item"].num_nodes), depth=args.depth)))
    return args


def load(args: argparse.Namespace) -> tuple[HeteroData, Tensor, Tensor, Tensor]:
    """The data, and training, validation and test users."""
    if args.ratings is None:
        data = DATASETS[args.dataset](args.data / args.dataset, source=args.source)[0]
        if "links" in data.provenance:
            print(data.provenance["links"]["sentence"])
    else:
        frame = pd.read_csv(args.ratings, sep="\t", names=["user", "item", "rating"])
        data = from_frames(frame, rating_scale=args.scale)
    if args.test_from is None:
        return data, *split_users(data, train=0.7, valid=0.1, seed=args.split)
    ids = torch.tensor([int(user) for user in data["user"].raw_id])
    early, late = (ids < args.test_from).nonzero().squeeze(1), (ids >= args.test_from).nonzero().squeeze(1)
    order = torch.randperm(len(early), generator=torch.Generator().manual_seed(args.split))
    return data, early[order[len(early) // 10 :]], early[order[: len(early) // 10]], late


def vectors(args: argparse.Namespace, data: HeteroData, train: Tensor) -> Tensor:
    """What the tree is built on; of the ratings, only the training users'."""
    if args.tree != "kg":
        return item_vectors(data, train, kind=args.tree)
    kg = knowledge_graph(data)
    return pretrain_entities(kg, model="TransE", dim=50, seed=0,
                             cache=args.data / args.dataset / "embeddings")[: kg.num_items]


def agent_of(args: argparse.Namespace, data: HeteroData, users: Tensor, tree: ClusterTree) -> TPGR:
    return TPGR.from_data(data, users, tree=tree, state=args.state, preset=args.preset, eta=args.alpha, seed=args.seed,
                          **args.agent)


def main() -> None:
    args = options()
    with own_folder(args.out):
        run(args)


def run(args: argparse.Namespace) -> None:
    data, train, valid, test = load(args)
    train = torch.cat([train, valid]) if args.final else train
    print(f"{data['user'].num_nodes:,} users ({len(train)} training, {len(valid)} validation, {len(test)} test), "
          f"{data['item'].num_nodes:,} items, {data['user', 'rates', 'item'].num_edges:,} ratings")
    started = time.perf_counter()
    tree = ClusterTree.build(vectors(args, data, train), depth=args.depth, method=args.method, seed=0).attach(data)
    sizes = [len(tree.subtree([digit])) for digit in range(tree.children)]
    print(f"tree: depth {tree.depth}, {tree.children} children a node, {min(sizes)} to {max(sizes)} items below each "
          f"child of the root, built on {args.tree} vectors in {time.perf_counter() - started:.1f} s")

    world = Simulator(RatedFeedback(data), eta=args.alpha, horizon=32)
    bounds = world.bounds(valid, train)
    watched = f"{len(valid)} validation users" + (", trained on, too" if args.final else "")
    print(f"{bounds}\n(on {watched})")
    agent = agent_of(args, data, train, tree)
    every = max(args.interactions // 20, args.sessions * 32)
    curve = fit(agent, world, train, eval_users=valid, interactions=args.interactions, evaluate_every=every,
                sessions=args.sessions, pretrain_interactions=args.pretrain, checkpoint=args.out, seed=args.seed,
                callbacks=show)
    levels = {name: bounds.metrics(name)["reward"] for name in bounds.lines}
    plot_curve(curve, levels, args.out / "learning_curve.png",
               f"α = {args.alpha}, {watched}", "TPGR")

    bounds = world.bounds(test, train)
    scores = {"TPGR": evaluate(agent, world, test),
              "linear-Gaussian": evaluate(LinearGaussian.from_ratings(data, train), world, test)}
    scores |= {name: score(sessions, bounds.num_relevant) for name, sessions in bounds.lines.items()}
    print(f"\n{len(test)} test users; p: paired Wilcoxon test of TPGR against the row\n{score_table(scores, 'TPGR')}")
    metrics: dict[str, Any] = {
        "options": {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()},
        "tree": {"depth": tree.depth, "children": tree.children, "sizes": sizes}, "levels": levels, "curve": curve,
        "test": {name: {metric: getattr(row, metric) for metric in METRICS} for name, row in scores.items()},
        "test_users": test.tolist(),
        "test_per_user": {name: {metric: row.per_user[metric].tolist() for metric in ("reward", "f1")}
                          for name, row in scores.items()},
        "test_upper_bound": bounds.upper, "interactions_per_second": speed(curve[-1]),
        "peak_memory_gib": peak_gib(),
    }
    name = node_names(data).__getitem__
    pages = {"metrics.json": json.dumps(metrics, indent=1) + "\n",
             "tree.md": f"# Cluster tree\n\n{tree_page(tree, name)}\n",
             "sessions.md": "# Sessions of test users\n\n" + session_pages(
                 scores["TPGR"].sessions, range(min(3, len(test))), None, name,
                 threshold=world.feedback.threshold, rated=rated_pairs(data, test[:3]))}
    for page, text in pages.items():
        with whole_file(args.out / page) as temporary:
            temporary.write_text(text, encoding="utf-8")
    agent.save(args.out / "agent.safetensors")
    print(f"wrote {', '.join(pages)}, learning_curve.png and agent.safetensors to {args.out}/")


def show(training: Run) -> None:
    row = training.curve[-1]
    print(f"{row['interactions']:>10,.0f} interactions  reward {row['reward']:6.3f}  precision {row['precision']:.4f}"
          f"  F1 {row['f1']:.4f}  {speed(row):>9,.0f} interactions/s", flush=True)


def speed(row: Any) -> float:
    """Training interactions a second; evaluations apart."""
    return row["interactions"] / (row["seconds"] - row["evaluation_seconds"])


if __name__ == "__main__":
    main()
