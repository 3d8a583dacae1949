"""What a data set has of what a table may need."""

from __future__ import annotations

import pytest
import torch

from kgrl.datasets import SyntheticKGRec
from kgrl.experiments.data_sets import NEEDS, has


def test_what_is_there_and_what_is_taken_away(tmp_path) -> None:
    data = SyntheticKGRec(tmp_path, num_users=20, num_items=30)[0]
    assert {what: has(data, what) for what in NEEDS} == {"time": False, "kg": True, "tastes": True}
    data["user", "rates", "item"].time = torch.arange(data["user", "rates", "item"].edge_index.size(1))
    assert has(data, "time")
    for kind in [kind for kind in data.edge_types if "user" not in kind]:
        del data[kind]
    assert not has(data, "kg")
    with pytest.raises(ValueError, match="`what` must be a known name, got 'times'.*did you mean 'time'"):
        has(data, "times")
