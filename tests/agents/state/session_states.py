"""Session states of every kind, small, and sessions to follow."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from kgrl.agents.state.joined import JoinedState, KnownTaste, LearnedTaste, Streak, UserStatus
from kgrl.agents.state.recurrent import LikedItems, RewardedItems
from kgrl.agents.state.session_state import Step
from kgrl.nn import TasteState, TasteTerms
from kgrl.sessions import Sessions

ITEMS, HORIZON, DIM, PAST = 9, 6, 4, 3


class Mean(nn.Module):
    """A user's own state, with nothing but what the protocol asks for: the mean vector of the items shown."""

    channels = DIM

    def items(self, vectors: Tensor) -> Tensor:
        return 2 * vectors

    def initial(self, num_sessions: int, items: Tensor) -> dict[str, Tensor]:
        return {"sum": items.new_zeros(num_sessions, DIM), "count": items.new_zeros(num_sessions)}

    def step(self, carry: dict[str, Tensor], items: Tensor, step: Step) -> dict[str, Tensor]:
        return {"sum": carry["sum"] + items[step.items], "count": carry["count"] + 1}

    def read(self, carry: dict[str, Tensor]) -> Tensor:
        return carry["sum"] / carry["count"].clamp(min=1).unsqueeze(1)


def terms() -> TasteTerms:
    return TasteTerms(torch.randn(ITEMS), torch.randn(ITEMS, 3), torch.rand(ITEMS) + 0.1)


STATES: dict[str, Callable[[], nn.Module]] = {
    "liked items": lambda: LikedItems(DIM, 5),
    "rewarded items": lambda: RewardedItems(DIM, 5, bins=4, highest=1.5),
    "rewarded items of the state's width": lambda: RewardedItems(DIM, 8, bins=4, highest=1.5),
    "status": lambda: UserStatus(HORIZON),
    "streak": lambda: Streak(HORIZON),
    "learned taste": lambda: LearnedTaste(TasteState(DIM, 2, hidden=3)),
    "known taste": lambda: KnownTaste(terms()),
    "own": Mean,
    "KGQR's": lambda: JoinedState(recurrent=LikedItems(DIM, 5), taste=LearnedTaste(TasteState(DIM, 2, hidden=3)),
                                  streak=Streak(HORIZON)),
    "TPGR's": lambda: JoinedState(recurrent=RewardedItems(DIM, 5), status=UserStatus(HORIZON),
                                  taste=KnownTaste(terms())),
    "own among others": lambda: JoinedState(recurrent=Mean(), taste=None, streak=Streak(HORIZON)),
}


def make(name: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return STATES[name]()


def vectors() -> Tensor:
    return torch.randn(ITEMS, DIM, generator=torch.Generator().manual_seed(3))


def played(sessions: int = 7, begin: int = 0, ends: bool = False) -> Sessions:
    """Finished sessions of random items and feedback, rewards with a streak term.

    Args:
        sessions: how many.
        begin: items of their past; each user has another number of them.
        ends: whether some sessions end early.
    """
    generator = torch.Generator().manual_seed(1)
    made = Sessions.empty(torch.arange(sessions), HORIZON, begin)
    size = begin + HORIZON
    made.items = torch.stack([torch.randperm(ITEMS, generator=generator)[:size] for _ in range(sessions)])
    made.feedback = torch.rand(sessions, size, generator=generator) * 2 - 1
    made.feedback[:, 1::3] *= torch.arange(sessions).unsqueeze(1) % 2  # some of it is 0
    made.length[:] = HORIZON - torch.arange(sessions) % 4 * ends
    columns = torch.arange(size)
    gone = columns >= begin + made.length.unsqueeze(1)
    gone |= columns < (torch.arange(sessions) % (begin + 1)).unsqueeze(1)  # fewer than `begin` were rated
    made.items[gone], made.feedback[gone] = -1, 0.0
    made.rewards = made.feedback * 1.4
    made.positive = made.feedback > 0.2
    made.streak = made.feedback.sign().to(torch.int8) * (columns >= begin)
    made.step = size
    return made


def grow(growing: Sessions, whole: Sessions) -> None:
    """The next column of ``whole``, written where a simulator would."""
    step = growing.step
    for name, column in growing.tensors().items():
        if column.dim() == 2:
            column[:, step] = getattr(whole, name)[:, step]
    growing.length += (whole.items[:, step] >= 0).long()
    growing.step += 1


def begun(whole: Sessions) -> Sessions:
    """Its sessions at their first step."""
    made = Sessions.empty(whole.users, HORIZON, whole.begin)
    for name, column in made.tensors().items():
        if column.dim() == 2:
            column[:, : whole.begin] = getattr(whole, name)[:, : whole.begin]
    return made
