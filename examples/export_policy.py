"""A trained policy as an ONNX file: KGQR or TPGR on MovieLens-100K, run by ONNX Runtime without torch and kgrl.

    python examples/export_policy.py                        # KGQR
    python examples/export_policy.py --agent tpgr
    python examples/export_policy.py --dataset synthetic    # a made world, nothing to download

Trains briefly, exports, and gives test users' sessions to the file in a process that has NumPy and ONNX Runtime alone.
Prints how many users are recommended the very items of `agent.recommend`, how far the order differs where it does, the
size of the file, and the time of both. Needs `pip install 'kgrl[export]'`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kgrl.agents import KGQR, TPGR
from kgrl.datasets import popular_items, split_users
from kgrl.experiments.arguments import check_source, whole_from
from kgrl.experiments.data_sets import DATASETS
from kgrl.export import export_policy
from kgrl.graph import knowledge_graph
from kgrl.rollout import rollout
from kgrl.sessions import Sessions
from kgrl.simulator import PredictedFeedback, Simulator
from kgrl.train import fit

ELSEWHERE = """
import sys, time
import numpy, onnxruntime

file, histories, answers = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(file, options)
given = dict(numpy.load(histories))                                     # items and feedback, [B, L] each
session.run(None, given)
started = time.process_time()
items, values = session.run(["recommended", "values"], given)
seconds = time.process_time() - started
assert not {"torch", "kgrl"} & sys.modules.keys()
numpy.savez(answers, items=items, values=values, seconds=seconds)
"""


def make(args: argparse.Namespace, data: Any, users: torch.Tensor) -> KGQR | TPGR:
    if args.agent == "tpgr":
        return TPGR.from_data(data, users, seed=0)
    kg, popular = knowledge_graph(data), popular_items(data, users)
    # a file draws nothing at random: all candidates, beside the 300 most liked items
    return KGQR(kg, popular=popular, num_candidates=None, backfill=("popular", 300), gradient_steps=16, seed=0)


def histories(agent: KGQR | TPGR, world: Simulator, users: torch.Tensor) -> Sessions:
    """What the agent has shown the users so far: of the first nothing, of others a few items or whole sessions."""
    played = rollout(agent, world, users, explore=True, generator=torch.Generator().manual_seed(0))
    shown = torch.arange(len(users)) % (world.horizon + 1)
    return Sessions.from_history([row[:n].tolist() for row, n in zip(played.items, shown, strict=True)],
                                 [row[:n].tolist() for row, n in zip(played.feedback, shown, strict=True)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--agent", choices=["kgqr", "tpgr"], default="kgqr")
    add("--dataset", choices=["ml-100k", "synthetic"], default="ml-100k")
    add("--source", type=Path, help="folder that already holds the raw files; default: download them")
    add("--data", type=Path, default=Path(__file__).resolve().parents[1] / "data", help="where data sets are kept")
    add("--interactions", type=whole_from(32), help="items shown in training; default: 2,048, of TPGR 65,536")
    add("--out", type=Path, default=Path("runs/export"), help="folder of the file")
    args = parser.parse_args()
    check_source(parser, args.source, [args.dataset])
    data = DATASETS[args.dataset](args.data / args.dataset, source=args.source)[0]
    train, valid, test = split_users(data, train=0.7, valid=0.1, seed=0)
    world = Simulator(PredictedFeedback.fit(data, preset="taste", seed=0), eta=0.1, horizon=32)
    agent = make(args, data, train)
    budget = args.interactions or (2_048 if args.agent == "kgqr" else 65_536)
    fit(agent, world, train, eval_users=valid, interactions=budget, evaluate_every=budget, sessions=32, seed=0)

    file = args.out / f"{args.agent}.onnx"
    started = time.perf_counter()
    export_policy(agent, file, k=10)
    print(f"exported in {time.perf_counter() - started:.0f} s: {file}, {file.stat().st_size / 2**20:.1f} MiB")

    past = histories(agent, world, test)
    np.savez(args.out / "histories.npz", items=past.items.numpy(), feedback=past.feedback.numpy())
    subprocess.run([sys.executable, "-c", ELSEWHERE, file, args.out / "histories.npz", args.out / "answers.npz"],
                   check=True)
    answers = np.load(args.out / "answers.npz", allow_pickle=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    agent.recommend(past, k=10)
    started = time.process_time()
    expected = agent.recommend(past, k=10).numpy()
    seconds = time.process_time() - started
    torch.set_num_threads(threads)

    items, values = answers["items"], answers["values"]
    differ = items != expected
    gaps = [abs(values[row, place] - value) for row, place in zip(*differ.nonzero(), strict=True)
            for value in values[row, items[row] == expected[row, place]]]
    print(f"{len(past)} histories of 0 to {past.horizon} items: {int((~differ.any(1)).sum())} get the same 10 items in "
          f"the same order{f'; items that changed places are at most {max(gaps):.1e} apart' if gaps else ''}")
    print(f"all at once on one thread: agent.recommend {seconds * 1e3:.1f} ms, ONNX Runtime "
          f"{float(answers['seconds']) * 1e3:.1f} ms ({seconds / float(answers['seconds']):.1f} times as fast)")


if __name__ == "__main__":
    main()
