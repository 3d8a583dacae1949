"""``Run``: what goes into a checkpoint comes out of it, and nothing of another run does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from kgrl.files import load_tensors, save_tensors
from kgrl.train.checkpoint import FILE, Run


class Learner(nn.Module):
    """One weight, and one number beside it that training goes on from."""

    def __init__(self, weight: float, moment: float) -> None:
        super().__init__()
        self.weight, self.moment = nn.Parameter(torch.tensor([weight])), moment

    def training_state(self) -> dict[str, Tensor]:
        return {"moment": torch.tensor([self.moment])}

    def load_training_state(self, state: dict[str, Tensor]) -> None:
        self.moment = state["moment"].item()


def fresh(agent: nn.Module | None = None) -> Run:
    return Run(agent or Learner(0.0, 0.0), torch.Generator().manual_seed(0))


def finished(agent: nn.Module | None = None) -> Run:
    curve = [{"interactions": 2, "reward": 0.25}]
    return Run(agent or Learner(2.0, 3.0), torch.Generator().manual_seed(5), 1, 2, 3, 4.5, 0.5, curve)


def test_what_is_saved_is_restored(tmp_path: Path) -> None:
    run = finished()
    run.save(tmp_path, {"seed": 1})
    draws = torch.rand(4, generator=run.generator)
    agent = Learner(0.0, 0.0)
    again = fresh(agent)
    assert again.restore(tmp_path, {"seed": 1})
    assert (agent.weight.item(), agent.moment) == (2.0, 3.0)
    assert torch.equal(torch.rand(4, generator=again.generator), draws)
    assert vars(again) | {"generator": None, "agent": None} == vars(finished()) | {"generator": None, "agent": None}


def test_without_a_checkpoint_nothing_is_restored(tmp_path: Path) -> None:
    run = fresh()
    assert not run.restore(tmp_path, {})
    assert run.interactions == 0


def test_a_training_state_is_made_of_tensors(tmp_path: Path) -> None:
    learner = Learner(2.0, 3.0)
    learner.training_state = lambda: {"moment": 3.0}  # type: ignore[assignment, return-value, dict-item]
    with pytest.raises(TypeError, match=r"`training_state\(\)\['moment'\]` must be a tensor, got 3.0"):
        finished(learner).save(tmp_path, {})
    assert not list(tmp_path.iterdir())


def test_an_agent_needs_no_training_state(tmp_path: Path) -> None:
    finished(nn.Linear(1, 1)).save(tmp_path, {})
    assert fresh(nn.Linear(1, 1)).restore(tmp_path, {})


def test_what_a_killed_save_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / f".{FILE}.17.tmp").write_text("begun")
    (tmp_path / "mine.tmp").write_text("not of a save")
    fresh().restore(tmp_path, {})
    assert [path.name for path in tmp_path.iterdir()] == ["mine.tmp"]


def test_what_differs_is_named_with_both_values(tmp_path: Path) -> None:
    finished().save(tmp_path, {"seed": 1, "old": 2, "same": 3})
    agent = Learner(0.0, 0.0)
    with pytest.raises(ValueError, match="belongs to another run") as error:
        fresh(agent).restore(tmp_path, {"seed": 4, "new": 5, "same": 3})
    assert str(error.value).splitlines()[1:4] == [
        "  new: checkpoint None, now 5", "  old: checkpoint 2, now None", "  seed: checkpoint 1, now 4"]
    assert (agent.weight.item(), agent.moment) == (0.0, 0.0)


def test_of_an_agents_options_those_that_differ_are_named(tmp_path: Path) -> None:
    finished().save(tmp_path, {"agent options": {"gamma": 0.5, "lr": 0.1}, "other": {"a": 1}})
    with pytest.raises(ValueError, match="belongs to another run") as error:
        fresh().restore(tmp_path, {"agent options": {"gamma": 0.9, "lr": 0.1}, "other": None})
    assert str(error.value).splitlines()[1:3] == [
        "  agent options: gamma: checkpoint 0.5, now 0.9", "  other: checkpoint {'a': 1}, now None"]


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    finished().save(tmp_path, {})
    tensors, metadata = load_tensors(tmp_path / FILE, "kgrl training run")
    save_tensors(tmp_path / FILE, tensors, metadata | {"kind": "kgrl agent"})
    with pytest.raises(ValueError, match="must hold a kgrl training run, got 'kgrl agent'"):
        fresh().restore(tmp_path, {})


def test_an_option_that_an_agent_has_got_since_is_not_held_against_it(tmp_path: Path) -> None:
    finished().save(tmp_path, {"agent options": {"lr": 0.1}})
    assert fresh().restore(tmp_path, {"agent options": {"lr": 0.1, "state": "gru"}})
    with pytest.raises(ValueError, match="agent options: lr: checkpoint 0.1, now 0.2"):
        fresh().restore(tmp_path, {"agent options": {"lr": 0.2, "state": "gru"}})
    with pytest.raises(ValueError, match="agent options: hops: checkpoint None, now 2"):
        fresh().restore(tmp_path, {"agent options": {"lr": 0.1, "hops": 2}})
