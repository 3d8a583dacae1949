"""A short training run for a process of its own, which kills itself at a given point; see test_resume.py."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import torch

from kgrl.agents import KGQR
from kgrl.files import save_tensors
from kgrl.train import fit
from tests.small_runs import small_agent, small_world


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


def killed_run(folder: Path, where: str, count: int, keep: str) -> None:
    """``where``: "write", "replace" or "learn"; ``count`` 0: never killed."""
    torch.set_num_threads(1)
    world = small_world(first=torch.arange(40))
    agent = small_agent(gradient_steps=3, gamma=0.5, streak_state=True, horizon=6, seed=3)
    if count:
        if where == "learn":
            kill_at(KGQR, "learn", count, before=True)
        else:
            kill_at(os, "fsync" if where == "write" else "replace", count, before=where == "write")
    curve = fit(agent, world, torch.arange(20), eval_users=torch.arange(20, 30), interactions=400, evaluate_every=50,
                sessions=7, checkpoint=folder, keep=keep, seed=4, progress=False)
    for row in curve:
        del row["seconds"], row["evaluation_seconds"]
    save_tensors(folder / "end.safetensors", agent.state_dict() | agent.training_state(),
                 {"kind": "end", "curve": curve})
