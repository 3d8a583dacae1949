"""What is given as a whole is looked at: a device that this machine lacks is refused by name wherever one is given."""

from __future__ import annotations

import pytest
import torch

from kgrl.graph import knowledge_graph
from kgrl.objects import a_device
from kgrl.pretrain import pretrain_entities
from kgrl.seeding import generator_for
from kgrl.simulator import PredictedFeedback
from tests.agents.every_agent import data

LACKING = [f"cuda:{torch.cuda.device_count()}", "xpu:77", *(["mps"] if not torch.backends.mps.is_available() else [])]


@pytest.mark.parametrize("device", LACKING)
def test_a_device_that_is_not_there(device: str) -> None:
    for give in (lambda: a_device("device", torch.device(device)), lambda: generator_for(device, 0),
                 lambda: pretrain_entities(knowledge_graph(data()), dim=4, epochs=1, device=device),
                 lambda: PredictedFeedback.fit(data(), device=device)):
        with pytest.raises(ValueError, match=f"`device` must be a device of this machine, .*, got '{device}'"):
            give()


@pytest.mark.parametrize("device", ["cpu", "meta", torch.device("cpu", 0)])
def test_a_device_that_is_there(device: str | torch.device) -> None:
    assert a_device("device", device) == torch.device(device)


@pytest.mark.parametrize("device", [5, None, "gpu", "cuda:x", ["cpu"]])
def test_what_is_no_device(device: object) -> None:
    with pytest.raises(ValueError, match="`device` must be a device of this machine"):
        a_device("device", device)
