"""The recurrent states against the layers they are made of."""

from __future__ import annotations

import pytest
import torch

from kgrl.agents.state.recurrent import LikedItems, RewardedItems
from kgrl.agents.state.session_state import states_over
from tests.agents.state.session_states import HORIZON, make, played, vectors


def test_the_sru_reads_item_and_one_hot_reward() -> None:
    state, sessions = make("rewarded items"), played()
    onehot = torch.zeros(7, HORIZON, 4)
    for row in range(7):
        for step in range(HORIZON):  # bins (−1.5, −0.75], (−0.75, 0], (0, 0.75], (0.75, 1.5]
            reward = float(sessions.rewards[row, step])
            onehot[row, step, next(k for k, end in enumerate((-0.75, 0.0, 0.75, 1.5)) if reward <= end)] = 1
    assert isinstance(state, RewardedItems)
    wanted = state.sru(torch.cat([vectors()[sessions.items], onehot], 2))
    torch.testing.assert_close(states_over(state, vectors(), sessions)[1:], wanted.transpose(0, 1))


@pytest.mark.parametrize(("reward", "bin"), [(-1.5, 0), (-1.4, 0), (-0.75, 0), (-0.74, 1), (0.0, 1), (1e-6, 2),
                                             (1.5, 3), (9.0, 3), (-9.0, 0)])
def test_bins_are_half_open_and_clamped(reward: float, bin: int) -> None:
    assert RewardedItems(4, 5, bins=4, highest=1.5).bin(torch.tensor([reward])).tolist() == [bin]


def test_liked_items_are_the_gru_of_the_liked_items() -> None:
    state, sessions = make("liked items"), played()
    assert isinstance(state, LikedItems)
    over = states_over(state, vectors(), sessions)
    for step in range(HORIZON + 1):
        torch.testing.assert_close(over[step], state.gru(vectors(), sessions.before(step).liked))


@pytest.mark.parametrize("options", [{"bins": 0}, {"bins": 2.5}, {"highest": 0.0}, {"highest": float("nan")}])
def test_options_outside_their_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises((ValueError, TypeError), match=next(iter(options))):
        RewardedItems(4, 5, **options)
