"""``Run``: how far a training run has come, and its one checkpoint file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kgrl.files import below, digest, load_tensors, remove_leftovers, save_tensors
from kgrl.objects import of_class
from kgrl.options import expected
from kgrl.raw_ids import as_tensor
from kgrl.sessions import Sessions

KIND = "kgrl training run"
FILE = "checkpoint.safetensors"
ONCE = {"keep": "last"}
"""What was the only choice before there was an option; older checkpoints do not name it."""
LATER = ("agent items",)
"""What older checkpoints do not know, and cannot be held to."""
LATER_OPTIONS = ("state",)
"""Likewise of an agent's options; weights of another state do not fit."""


COUNTERS = ("sessions", "interactions", "gradient_steps", "seconds", "evaluation_seconds", "curve")
"""What a checkpoint keeps of a run as plain values."""


@dataclass
class Run:
    """A training under way: the counters and the learning curve, and what a callback may want to know of it.

    Args:
        agent: that is trained.
        generator: of everything random in training.
        sessions: training sessions played; also tells whose turn it is.
        interactions: items shown to training users.
        gradient_steps: made by the agent.
        seconds: of training and evaluating, over every start of the run.
        evaluation_seconds: of these, what the evaluations took.
        curve: one dict an evaluation.
        best: the agent's weights at the evaluation of the highest reward, if they are kept; training does not go on
            from them.
        simulator: where it is trained.
        eval_users: whom the curve is measured on; ``None``: nobody.
        rollout: the latest training sessions.
        report: what the agent's ``learn`` said of them.
        stopped: why the training is to end before all interactions are made; ``None``: it is not.
    """

    agent: Any
    generator: torch.Generator
    sessions: int = 0
    interactions: int = 0
    gradient_steps: int = 0
    seconds: float = 0.0
    evaluation_seconds: float = 0.0
    curve: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    simulator: Any = None
    eval_users: Tensor | None = None
    rollout: Sessions | None = None
    report: dict[str, float] = field(default_factory=dict)
    stopped: str | None = None

    def stop(self, reason: str) -> None:
        """Ends the training once the present round is over, evaluated, and in the checkpoint.

        Args:
            reason: for ``stopped``, and for who watches the bar.
        """
        self.stopped = self.stopped or of_class("reason", reason, str)

    def evaluations(self) -> Iterator[Run]:
        """The run once for each row of its curve, with the curve as it was when that row was new."""
        rows, self.curve = self.curve, []
        for row in rows:
            self.curve.append(row)
            yield self

    def keep_best(self) -> None:
        """Copies the agent's weights if the latest evaluation is better than all before it."""
        *earlier, reward = (row["reward"] for row in self.curve)
        if not earlier or reward > max(earlier):
            self.best = {name: value.detach().clone() for name, value in self.agent.state_dict().items()}

    def save(self, folder: Path, options: Mapping[str, Any]) -> None:
        """Writes counters, weights and the agent's training state to one file, whole or not at all."""
        tensors = {f"agent.{name}": value for name, value in self.agent.state_dict().items()}
        if hasattr(self.agent, "training_state"):
            tensors |= {f"training.{name}": _tensor(name, value) for name, value in self.agent.training_state().items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        metadata = {"kind": KIND, "options": dict(options), "run": {name: getattr(self, name) for name in COUNTERS}}
        save_tensors(folder / FILE, tensors | {"generator": self.generator.get_state()}, metadata)

    def restore(self, folder: Path, options: Mapping[str, Any]) -> bool:
        """Goes on from the folder's checkpoint, if there is one: the agent's weights and training state are replaced.

        Args:
            folder: where :meth:`save` wrote.
            options: what the run depends on; must equal those the checkpoint was made with.

        Returns:
            Whether there was a checkpoint.

        Raises:
            ValueError: the checkpoint is damaged, or of another data set or other options, which are named.
        """
        remove_leftovers(folder / FILE)  # of a run killed while saving
        if not (folder / FILE).exists():
            return False
        tensors, metadata = load_tensors(folder / FILE, KIND)
        known = {**ONCE, **{name: options.get(name) for name in LATER}}
        before, now = metadata["options"], options.get("agent options")
        if isinstance(before.get("agent options"), dict) and isinstance(now, dict):
            later = {name: now[name] for name in LATER_OPTIONS if name in now}
            before["agent options"] = later | before["agent options"]
        _same_options(folder / FILE, {**known, **before}, {**known, **options})
        self.agent.load_state_dict(below("agent.", tensors))
        if hasattr(self.agent, "load_training_state"):
            self.agent.load_training_state(below("training.", tensors))
        self.best = below("best.", tensors)
        self.generator.set_state(tensors["generator"])
        for name, value in metadata["run"].items():
            setattr(self, name, value)
        return True


def _tensor(name: str, value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError(expected(f"training_state()[{name!r}]", "a tensor", value,
                                 "torch.tensor makes one of a number"))
    return value


def _same_options(path: Path, saved: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    if lines := _differing(saved, given):
        raise ValueError(f"{path} belongs to another run; these differ:\n" + "\n".join(lines)
                         + "\nUse another `checkpoint` folder, or the same data and options.")


def _differing(saved: Mapping[str, Any], given: Mapping[str, Any], of: str = "") -> list[str]:
    """A line for each option that differs, those of dictionaries one by one."""
    lines = []
    for name in sorted(saved.keys() | given.keys()):
        before, now = saved.get(name), given.get(name)
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            lines += _differing(before, now, f"{of}{name}: ")
        elif before != now:
            lines.append(f"  {of}{name}: checkpoint {before!r}, now {now!r}")
    return lines


def run_identity(
    agent: nn.Module, simulator: nn.Module, users: Tensor, eval_users: Tensor | None, *options: Any
) -> dict[str, Any]:
    """What a run's numbers depend on; a checkpoint made under anything else is refused.

    Args:
        agent, simulator, users, eval_users: see :func:`kgrl.train.fit`.
        *options: ``evaluate_every``, ``sessions``, ``precision``, ``pretrain_interactions``, ``keep`` and ``seed``.

    Returns:
        Values that JSON knows, by what a person calls them.
    """
    catalogue = getattr(agent, "catalogue", None)
    names = ("evaluate_every", "sessions", "precision", "pretrain_interactions", "keep", "seed")
    return {
        "agent": type(agent).__name__,
        "agent options": json.loads(json.dumps(getattr(agent, "options", None), default=repr)),
        "agent data": getattr(agent, "data_digest", None),
        "agent items": None if catalogue is None else digest(as_tensor(catalogue.item)),
        "world": digest(*_settings(simulator)),
        "training users": digest(users),
        "evaluation users": None if eval_users is None else digest(eval_users),
    } | dict(zip(names, options, strict=True))


def _settings(world: nn.Module) -> list[Any]:
    """What is saved of a world, every part's class, and its public attributes that are tensors or plain values."""
    found: list[Any] = [part for pair in sorted(world.state_dict().items()) for part in pair]
    for path, part in world.named_modules():
        found += [path, type(part).__qualname__]
        for name, value in sorted(vars(part).items()):
            if isinstance(value, Tensor | str | int | float) and name != "training" and not name.startswith("_"):
                found += [name, value]
    return found
