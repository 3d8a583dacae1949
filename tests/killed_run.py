"""A short training run in a process of its own, which kills itself at a given point; see test_train.py.

    python killed_run.py FOLDER WHERE COUNT     WHERE: "write", "replace" or "learn"; COUNT 0: never killed
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch

from kgrl.agents import KGQR
from kgrl.factorization import Factors
from kgrl.files import save_tensors
from kgrl.graph import knowledge_graph
from kgrl.simulator import PredictedFeedback, Simulator
from kgrl.train import fit


def kill_at(owner: object, name: str, count: int, before: bool) -> None:
    """Makes the ``count``-th call of ``owner.name`` the end of the process."""
    original, calls = getattr(owner, name), [0]

    def counted(*args: object, **kwargs: object) -> object:
        calls[0] += 1
        if before and calls[0] == count:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **kwargs)
        if calls[0] == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, counted)


def main() -> None:
    folder, where, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    torch.set_num_threads(1)
    kg = knowledge_graph(torch.stack([torch.arange(40), 40 + torch.arange(40) % 4]), num_nodes=44, num_items=40)
    world = Simulator(PredictedFeedback(Factors(30, 40, 3, seed=1), threshold=0.0), eta=0.1, horizon=6,
                      first=torch.arange(40))
    agent = KGQR(kg, dim=6, state_channels=6, hidden_channels=6, gradient_steps=3, batch_size=16, gamma=0.5,
                 backfill=("random", 10), streak_state=True, horizon=6, seed=3)
    if count:
        if where == "learn":
            kill_at(KGQR, "learn", count, before=True)
        else:
            kill_at(os, "fsync" if where == "write" else "replace", count, before=where == "write")
    curve = fit(agent, world, torch.arange(20), eval_users=torch.arange(20, 30), interactions=400, evaluate_every=50,
                sessions=7, checkpoint=folder, seed=4, progress=False)
    for row in curve:
        del row["seconds"], row["evaluation_seconds"]
    save_tensors(folder / "end.safetensors", agent.state_dict() | agent.training_state(),
                 {"kind": "end", "curve": curve})


if __name__ == "__main__":
    main()
