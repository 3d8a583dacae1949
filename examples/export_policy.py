"""A trained policy as files that run without kgrl: KGQR or TPGR on MovieLens-100K, by ONNX Runtime and torch.export.

    python examples/export_policy.py                        # KGQR
    python examples/export_policy.py --agent tpgr           # TPGR, in the world of logged ratings
    python examples/export_policy.py --dataset synthetic    # a made world, nothing to download

Trains briefly, with the settings that are known to be good where there are some; exports; and gives both files the
ratings of validation users, oldest first: none of them, the first few, all. ONNX Runtime answers in a process that has
neither torch nor kgrl. Prints how many histories are recommended the very items of `agent.recommend`, which items
changed places and how far apart their values are, and a table: milliseconds per call for one history and for 256 of 20
ratings each, on one thread, and the size of the file. Needs `pip install 'kgrl[export]'`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kgrl.agents import KGQR, TPGR
from kgrl.datasets import node_names, popular_items, split_users
from kgrl.experiments.arguments import check_source, whole_from
from kgrl.experiments.data_sets import DATASETS
from kgrl.export import export_policy
from kgrl.graph import knowledge_graph
from kgrl.presets import preset, preset_names
from kgrl.sessions import Sessions
from kgrl.simulator import Simulator, normalise
from kgrl.train import fit

K, LENGTHS, BATCHES = 10, (0, 1, 5, 20, 100, None), (1, 256)
ELSEWHERE = """
import sys, numpy, onnxruntime
file, histories, answers = sys.argv[1:]
given = dict(numpy.load(histories))                                     # items and feedback, [B, L] each
items, values = onnxruntime.InferenceSession(file).run(["recommended", "values"], given)
assert not {"torch", "kgrl"} & sys.modules.keys()
numpy.savez(answers, items=items, values=values)
"""


def make(agent: str, dataset: str, data: Any, users: Tensor) -> tuple[KGQR | TPGR, Simulator]:
    """The agent, and the world that it is trained in."""
    known = any(name[:2] == (agent, dataset) for name in preset_names())
    best = preset(agent, dataset).options if known else {}
    made = "planted" if dataset == "synthetic" else None
    if agent == "tpgr":
        return TPGR.from_data(data, users, **best, seed=0), Simulator(made or "rated", eta=0.0, data=data)
    kg, popular = knowledge_graph(data), popular_items(data, users)
    # a file draws nothing at random: all candidates, beside the 300 most liked items
    rule = {"num_candidates": None, "backfill": ("popular", 300)}
    world = Simulator(made or "predicted", eta=0.1, first=popular, data=data)
    return KGQR(kg, popular=popular, **(best | rule), seed=0), world


def rated(data: Any, users: Tensor) -> list[tuple[list[int], list[float]]]:
    """What each of the users rated, oldest first, and how, in [−1, 1]."""
    rates, (low, high, _) = data["user", "rates", "item"], data.rating_scale
    feedback, found = normalise(rates.rating.float(), low, high), []
    for user in users:
        own = (rates.edge_index[0] == user).nonzero().view(-1)
        own = own[rates.time[own].argsort(stable=True)] if "time" in rates else own
        found.append((rates.edge_index[1, own].tolist(), feedback[own].tolist()))
    return found


def compare(name: str, items: np.ndarray, values: np.ndarray, expected: np.ndarray, titles: list[str]) -> str:
    """How a file's answers differ from the agent's, both ``[B, K]``."""
    differ, told = items != expected, []
    for row, place in zip(*differ.nonzero(), strict=True):
        same = values[row, items[row] == expected[row, place]]
        apart = f"{abs(values[row, place] - same[0]):.0e} apart" if len(same) else "which the file does not have"
        told.append(f"    history {row}, place {place + 1}: {titles[items[row, place]]}; of the agent "
                    f"{titles[expected[row, place]]}, {apart}")
    return "\n".join([f"  {name}: {int((~differ.any(1)).sum())} get the same {K} items in the same order", *told])


def milliseconds(call: Callable[[], object]) -> float:
    """Of the processor: the median of five calls or more, after one that does not count."""
    call()
    took: list[float] = []
    while len(took) < 5 or sum(took) < 0.5:
        started = time.process_time()
        call()
        took.append(time.process_time() - started)
    return 1e3 * float(np.median(took))


def timed(agent: KGQR | TPGR, files: dict[str, Path], known: list[tuple[list[int], list[float]]]) -> list[str]:
    """The table: of the agent and of both files, for the first 20 ratings of so many users."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(files["ONNX Runtime"], options)
    program = torch.export.load(files["torch.export"]).module()
    size = {name: f"{file.stat().st_size / 2**20:.1f}" for name, file in files.items()}
    took: dict[str, list[float]] = {}
    for batch in BATCHES:
        chosen = [known[row % len(known)] for row in range(batch)]
        past = Sessions.from_history([items[:20] for items, _ in chosen], [values[:20] for _, values in chosen])
        given = {"items": past.items.numpy(), "feedback": past.feedback.numpy()}
        calls: dict[str, Callable[[], object]] = {
            "agent.recommend": partial(agent.recommend, past, k=K),
            "torch.export": partial(program, past.items, past.feedback),
            "ONNX Runtime": partial(session.run, ["recommended"], given)}
        with torch.no_grad():
            for name, call in calls.items():
                took.setdefault(name, []).append(milliseconds(call))
    return ["| one thread | " + " | ".join(f"ms, batch of {batch}" for batch in BATCHES) + " | file, MiB |",
            "|---" * (len(BATCHES) + 2) + "|",
            *(f"| {name} | " + " | ".join(f"{each:.2f}" for each in row) + f" | {size.get(name, '–')} |"
              for name, row in took.items())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--agent", choices=["kgqr", "tpgr"], default="kgqr")
    add("--dataset", choices=["ml-100k", "synthetic"], default="ml-100k")
    add("--source", type=Path, help="folder that already holds the raw files; default: download them")
    add("--data", type=Path, default=Path(__file__).resolve().parents[1] / "data", help="where data sets are kept")
    add("--interactions", type=whole_from(32), help="items shown in training; default: 2,048, of TPGR 262,144")
    add("--out", type=Path, default=Path("runs/export"), help="folder of the files")
    args = parser.parse_args()
    check_source(parser, args.source, [args.dataset])
    torch.set_num_threads(1)
    data = DATASETS[args.dataset](args.data / args.dataset, source=args.source)[0]
    train, valid, _ = split_users(data, train=0.7, valid=0.1, seed=0)
    agent, world = make(args.agent, args.dataset, data, train)
    budget, sessions = (2_048, 32) if args.agent == "kgqr" else (262_144, 2_048)
    budget = args.interactions or budget
    (last,) = fit(agent, world, train, eval_users=valid, interactions=budget, evaluate_every=budget, sessions=sessions,
                  progress=False, seed=0)
    print(f"{type(agent).__name__} after {last['interactions']:,.0f} interactions: reward {last['reward']:.3f} of "
          f"{len(valid)} validation users")

    files = {"ONNX Runtime": args.out / f"{args.agent}.onnx", "torch.export": args.out / f"{args.agent}.pt2"}
    for name, file in files.items():
        started = time.perf_counter()
        export_policy(agent, file, k=K, threshold=world.feedback.threshold,
                      format="onnx" if name == "ONNX Runtime" else "torch")
        print(f"{file}: written in {time.perf_counter() - started:.0f} s")

    known = rated(data, valid)
    past = Sessions.from_history([items[:length] for length in LENGTHS for items, _ in known],
                                 [values[:length] for length in LENGTHS for _, values in known],
                                 threshold=world.feedback.threshold)
    np.savez(args.out / "histories.npz", items=past.items.numpy(), feedback=past.feedback.numpy())
    subprocess.run([sys.executable, "-c", ELSEWHERE, files["ONNX Runtime"], args.out / "histories.npz",
                    args.out / "answers.npz"], check=True)
    answers = {"ONNX Runtime": [*np.load(args.out / "answers.npz", allow_pickle=False).values()]}
    with torch.no_grad():
        program = torch.export.load(files["torch.export"]).module()
        answers["torch.export"] = [part.numpy() for part in program(past.items, past.feedback)]
    expected, titles = agent.recommend(past, k=K).numpy(), node_names(data)
    print(f"{len(past)} histories of 0 to {past.items.size(1)} ratings")
    for name, (items, values) in answers.items():
        print(compare(name, items, values, expected, titles))
    print("\n".join(timed(agent, files, known)))


if __name__ == "__main__":
    main()
