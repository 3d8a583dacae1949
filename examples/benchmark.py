"""How fast and how large: TPGR's decisions, the cluster tree, worlds, environments and files, on data made from a seed.

    python examples/benchmark.py decisions                    # one decision of TPGR over 1,000 and over 17,770 items
    python examples/benchmark.py tree                         # the cluster tree of ratings as many as Netflix's
    python examples/benchmark.py lookups                      # ratings looked up in a world as large
    python examples/benchmark.py environments                 # steps of the simulator, raw and through Gymnasium
    python examples/benchmark.py files                        # an agent's file, beside safetensors without a digest
    python examples/benchmark.py lookups --ratings 1000000 --device cuda --out lookups.json

Prints a table and, with --out, writes it as JSON, with the options. A time is the median of five repeats after one
that does not count, each the mean of --calls calls; a peak is the whole process's in host memory, the making of the
data included. At their default sizes `tree` and `lookups` take minutes and several GiB. Trees are built on the CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import count, pairwise
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.experiments.script_run import peak_gib
from kgrl.files import load_tensors, save_tensors, whole_file
from kgrl.nn import ItemScores, TreePolicy
from kgrl.simulator import PredictedFeedback, RatedFeedback, Simulator
from kgrl.tree import ClusterTree

STATE, LOADINGS = 32 + 9 + 12, 12  # SRU, status and taste, which the items' loadings are multiplied with
NETFLIX = {"items": 17_770, "users": 480_000, "ratings": 100_000_000}
SHOWN, TASTES, REPEATS = 16, 8, 5

Row = dict[str, Any]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("decisions", help="time of one decision of TPGR").add_argument
    add("--items", type=numbers, default=[1_000, NETFLIX["items"]], help="numbers of items, separated by commas")
    add("--depth", type=int, default=2)
    add("--sessions", type=int, default=1_024, help="decisions at once")
    add = commands.add_parser("tree", help="time and memory of building the cluster tree on ratings").add_argument
    add("--depth", type=int, default=2)
    add = commands.add_parser("lookups", help="speed and memory of the world of logged ratings").add_argument
    add("--pairs", type=numbers, default=[4_096, 65_536], help="look-ups at once, separated by commas")
    add = commands.add_parser("environments", help="steps of Gymnasium's vector environment").add_argument
    add("--items", type=int, default=1_539)
    add("--sessions", type=int, default=8_192, help="environments at once")
    add = commands.add_parser("files", help="an agent's file, written and read").add_argument
    add("--items", type=numbers, default=[1_522, NETFLIX["items"]], help="numbers of items, separated by commas")
    for name, command in commands.choices.items():
        add = command.add_argument
        if name in ("tree", "lookups"):
            for size, default in NETFLIX.items():
                add(f"--{size}", type=int, default=default)
        if name != "tree":
            add("--device", type=torch.device, default=torch.device("cpu"))
            add("--calls", type=int, default=20, help="of one repeat")
        add("--seed", type=int, default=0)
        add("--out", type=Path, help="a JSON file for the results")
    args = parser.parse_args()
    if args.command == "decisions" and min(args.items) <= SHOWN:
        parser.error(f"--items must be more than the {SHOWN} that each session was shown before")
    if args.command in ("tree", "lookups") and not 0 < args.ratings <= args.items * (args.users // 2):
        parser.error("--ratings must be positive, and so few that no item needs more than half of the users")
    return args


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def popularity(args: argparse.Namespace, rng: np.random.Generator) -> np.ndarray:
    """``[N]``, how many rated each item: a power law with at most half of the users, in random order; R in all."""
    share = 1 / (np.arange(args.items) + 50)
    counts = np.minimum(share / share.sum() * args.ratings, args.users // 2).astype(np.int64)
    while (short := args.ratings - counts.sum()) > 0:
        room = np.flatnonzero(counts < args.users // 2)[:short]
        counts[room] = np.minimum(counts[room] + short // len(room), args.users // 2)
    return rng.permutation(counts)


def make_ratings(args: argparse.Namespace) -> tuple[Tensor, Tensor, Tensor]:
    """Item by item: where an item's ratings start ``[N + 1]``, who rated ``[R]``, and how, 1 to 5 ``[R]``.

    One of every n equal runs of users rates an item with n ratings: all differ, and are sorted. Tastes are planted.
    """
    rng = np.random.default_rng(args.seed)
    starts = np.append(0, popularity(args, rng).cumsum())
    users, ratings = np.empty(args.ratings, np.int64), np.empty(args.ratings, np.float32)
    tastes, films = (rng.standard_normal((size, TASTES), np.float32) for size in (args.users, args.items))
    for item, (start, stop) in enumerate(pairwise(starts)):
        size = stop - start
        runs = np.arange(size + 1) * args.users // max(size, 1)
        raters = users[start:stop] = runs[:-1] + (rng.random(size) * np.diff(runs)).astype(np.int64)
        liked = 3.6 + 0.18 * (tastes[raters] @ films[item]) + rng.standard_normal(size, np.float32)
        ratings[start:stop] = liked.round().clip(1, 5)
    return torch.from_numpy(starts), torch.from_numpy(users), torch.from_numpy(ratings)


def rating_vectors(args: argparse.Namespace) -> Tensor:
    """``[N, U]``, sparse: the ratings on [−1, 1], as ``item_vectors`` makes them."""
    starts, users, ratings = make_ratings(args)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(starts, users, ratings.sub_(3).div_(2), (args.items, args.users),
                                       check_invariants=False)


def rating_graph(args: argparse.Namespace) -> HeteroData:
    """The same ratings as a data set."""
    starts, users, ratings = make_ratings(args)
    data = HeteroData(rating_scale=(1.0, 5.0, 3.0))
    data["user"].num_nodes, data["item"].num_nodes = args.users, args.items
    items = torch.arange(args.items).repeat_interleave(starts.diff())
    data["user", "rates", "item"].edge_index = torch.stack([users, items])
    data["user", "rates", "item"].rating = ratings
    return data


def decisions(args: argparse.Namespace) -> list[Row]:
    """Each number of items in a fresh process: what ran before leaves no memory, and no warm cache, behind."""
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        rows = list(pool.map(decision, [args] * len(args.items), args.items))
    return [row | {"ratio": row["us_a_decision"] / rows[0]["us_a_decision"]} for row in rows]


@torch.no_grad()
def decision(args: argparse.Namespace, items: int) -> Row:
    """A batch of sessions walks a tree of random items and weights."""
    generator = torch.Generator().manual_seed(args.seed)
    tree = ClusterTree.build(torch.randn(items, TASTES, generator=generator), depth=args.depth, seed=args.seed)
    loadings = torch.randn(items, LOADINGS + 1, generator=generator).to(args.device) / LOADINGS
    states = torch.randn(args.sessions, STATE, generator=generator).to(args.device)
    first = torch.randint(items, (args.sessions, 1), generator=generator)
    gone = ((first + torch.arange(SHOWN) * (items // SHOWN)) % items).to(args.device)  # none of them twice
    torch.manual_seed(args.seed)  # of the policy's weights
    policy = TreePolicy(STATE, tree).to(args.device)
    levels = policy.prepare(ItemScores(loadings[:, :-1], loadings[:, -1]))
    seconds = seconds_a_call(args, lambda _: policy.greedy(states, gone, levels))
    return {"items": items, "children": tree.children, "ms_a_batch": seconds * 1e3,
            "us_a_decision": seconds / args.sessions * 1e6, "peak_gib": peak_gib()}


def tree(args: argparse.Namespace) -> list[Row]:
    started = time.perf_counter()
    vectors = rating_vectors(args)
    made, before = time.perf_counter(), peak_gib()
    built = ClusterTree.build(vectors, depth=args.depth, seed=args.seed)
    return [{"items": len(built), "ratings": args.ratings, "children": built.children,
             "seconds_of_data": made - started, "seconds_of_tree": time.perf_counter() - made,
             "peak_gib_of_data": before, "peak_gib": peak_gib()}]


def lookups(args: argparse.Namespace) -> list[Row]:
    started = time.perf_counter()
    data = rating_graph(args)
    made, before = time.perf_counter(), peak_gib()
    world = RatedFeedback(data).to(args.device)
    about = {"ratings": args.ratings, "seconds_of_data": made - started,
             "seconds_of_world": time.perf_counter() - made, "peak_gib_of_data": before, "peak_gib": peak_gib()}
    rows = []
    for pairs in args.pairs:
        users, items = random_pairs(args, data, pairs)

        def look_up(at: int, users: Tensor = users, items: Tensor = items) -> Tensor:
            return world(users[at], items[at])

        seconds = seconds_a_call(args, look_up)
        rows.append({"pairs": pairs, "lookups_a_second": pairs / seconds} | about)
    return rows


def random_pairs(args: argparse.Namespace, data: HeteroData, pairs: int) -> tuple[Tensor, Tensor]:
    """``[calls, pairs]`` each, other ones for each call: half of them rated, half of them any, in random order."""
    generator = torch.Generator().manual_seed(args.seed)
    shape = (REPEATS + 1) * args.calls, pairs
    drawn = torch.randint(args.ratings, shape, generator=generator)
    rated = torch.rand(shape, generator=generator) < 0.5
    edge_index, sizes = data["user", "rates", "item"].edge_index, (args.users, args.items)
    users, items = (torch.where(rated, ids[drawn], torch.randint(size, shape, generator=generator)).to(args.device)
                    for ids, size in zip(edge_index, sizes, strict=True))
    return users, items


def environments(args: argparse.Namespace) -> list[Row]:
    """Whole sessions of 32 steps: with the simulator alone, and through Gymnasium, with and without a mask of items.

    A step of a core is one of a second in which a core was at work: on a machine that does other things beside, it
    says more than a second of the clock does.
    """
    from kgrl.simulator.gymnasium import RecommendationVectorEnv, SessionSummary

    generator = torch.Generator().manual_seed(args.seed)
    users, items = (torch.randn(size, 20, generator=generator).to(args.device) / 5 for size in (1_000, args.items))
    world = Simulator(PredictedFeedback.from_embeddings(users, items), eta=0.1)
    first = torch.randint(args.items, (args.sessions,), generator=generator)
    shown = [(first + step * (args.items // world.horizon)) % args.items for step in range(world.horizon)]
    everyone, actions = torch.arange(len(users)), [each.numpy() for each in shown]
    on_device = [each.to(args.device) for each in shown]

    def raw(_: int) -> None:
        sessions = world.reset(everyone[first % len(users)])
        for each in on_device:
            world.step(sessions, each)

    calls: dict[str, Callable[[int], None]] = {"simulator alone": raw}
    for seen, observe in (("history", None), ("summary", SessionSummary(items))):
        for mask in (True, False):
            envs = RecommendationVectorEnv(args.sessions, simulator=world, users=everyone, observe=observe,
                                           autoreset_mode="SameStep", action_mask=mask)
            envs.reset(seed=args.seed)

            def play(_: int, envs: RecommendationVectorEnv = envs) -> None:
                for each in actions:
                    envs.step(each)

            calls[f"{seen}, {'mask' if mask else 'no mask'}"] = play
    rows = []
    for name, call in calls.items():
        busy, steps = time.process_time(), args.sessions * world.horizon
        seconds = seconds_a_call(args, call)
        busy = (time.process_time() - busy) / ((REPEATS + 1) * args.calls)
        rows.append({"environment": name, "steps_a_second": steps / seconds, "steps_of_a_core": steps / busy})
    return [row | {"of_the_simulator": row["steps_of_a_core"] / rows[0]["steps_of_a_core"]} for row in rows]


def files(args: argparse.Namespace) -> list[Row]:
    """A linear bandit's file: whole or not there, with a digest that is checked; and what safetensors does alone.

    Its own ``load_file`` maps a file and reads nothing before it is looked at; here all of it is.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder) / "ours", Path(folder) / "theirs"
        for items in args.items:
            generator = torch.Generator().manual_seed(args.seed)
            tensors = {"vectors": torch.randn(items, 300, generator=generator)}

            def plainly(_: int, tensors: dict[str, Tensor] = tensors) -> None:
                save_file(tensors, theirs)
                with open(theirs, "rb+") as handle:
                    os.fsync(handle.fileno())

            def whole(_: int, tensors: dict[str, Tensor] = tensors) -> None:
                save_tensors(ours, tensors, {"kind": "benchmark"})

            calls: dict[str, tuple[Callable[[int], object], Callable[[int], object]]] = {
                "written": (whole, plainly),
                "read": (lambda _: load_tensors(ours, "benchmark")[0]["vectors"].sum(),
                         lambda _: load_file(theirs)["vectors"].sum())}
            for what, pair in calls.items():
                own, plain = (seconds_a_call(args, call) for call in pair)
                rows.append({"items": items, "file": what, "mib": items * 300 * 4 / 2**20, "ms": own * 1e3,
                             "ms_of_safetensors": plain * 1e3})
    return rows


def seconds_a_call(args: argparse.Namespace, call: Callable[[int], object]) -> float:
    """``call`` is told how many went before."""
    turn = count()

    def repeat() -> float:
        started = time.perf_counter()
        for _ in range(args.calls):
            call(next(turn))
        if args.device.type == "cuda":
            torch.cuda.synchronize(args.device)
        return (time.perf_counter() - started) / args.calls

    repeat()
    return median(repeat() for _ in range(REPEATS))


def table(rows: list[Row]) -> str:
    cells = [[name.replace("_", " ") for name in rows[0]]]
    cells += [[value if isinstance(value, str) else f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
               for value in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(map(str.rjust, line, widths)) for line in cells)


def main() -> None:
    args = options()
    rows = {"decisions": decisions, "tree": tree, "lookups": lookups,
            "environments": environments, "files": files}[args.command](args)
    print(table(rows))
    if args.out is not None:
        result = {"options": vars(args), "threads": torch.get_num_threads(), "torch": torch.__version__, "rows": rows}
        with whole_file(args.out) as temporary:
            temporary.write_text(json.dumps(result, indent=1, default=str) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
