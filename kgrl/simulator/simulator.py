"""``Simulator``: a batch of sessions against a feedback model, on one device."""

from __future__ import annotations

from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from kgrl.objects import of_class, shaped
from kgrl.options import LARGEST, a_tensor, at_least, between, expected, ids
from kgrl.seeding import full_precision, given_or_new
from kgrl.sessions import UNDEFINED, Sessions
from kgrl.simulator.bounds import Bounds, distinct_items, measure_bounds, taste_share_of_some
from kgrl.simulator.feedback import FeedbackModel, Reaction
from kgrl.simulator.feedback_models import made_feedback
from kgrl.simulator.past import Past, checked_past
from kgrl.simulator.pool import Pool, check_feedback, check_items, check_sessions
from kgrl.simulator.users import made_drift, made_leaving

OPENING_POOL = 100
"""How many of the most popular items a training session may open with."""


class Simulator(nn.Module):
    r"""The environment of interactive recommendation (KGQR, Zhou et al., 2020, section 5.1.2).

    Recommending item :math:`i_j` to user :math:`u_i` is rewarded with (equation 16)

    .. math:: R(s_t, i_t) = r_{ij} + \eta\,(c_p - c_n)

    where :math:`r_{ij}` is the feedback model's instinctive feedback and :math:`c_p, c_n` count the consecutive
    positive and negative feedbacks right before the step. Nothing is recommended twice in a session.

    Nothing of it is computed in mixed precision: that would be another world.

    Paper is silent: on which popular item opens a training session (here one of the first 100 of ``first``, so that
    sessions differ), and on a session with fewer than T items left (here it ends early; metrics still divide by T).

    Args:
        feedback: the world's feedback model; or its name (``"predicted"``, ``"rated"``, ``"planted"``) or class, which
            is made of ``data``.
        eta: weight η ≥ 0 of the streak term.
        horizon: T, steps a session.
        first: ``[≤ N]``, a popularity ranking, for the cold-start protocol: the first item of every session is taken
            from it, whatever the method. ``None`` leaves the first item to the agent.
        items: ``[P]``, the items that sessions are shown, e.g. the new ones of :func:`kgrl.datasets.split_items`;
            recommending another is an error. Openings, bounds, random sessions and numbers of relevant items are of
            these alone, too. ``None``: all items.
        past: what users received before a session, with which it begins; of items that are not among ``items``. Rewards
            and metrics do not count it. ``None``: sessions begin with nothing.
        leaving: when users leave before the last step: ``"boredom"``, ``"patience"``, or a class or instance of
            :class:`kgrl.simulator.Leaving`. ``None``: nobody does.
        drift: how feedback moves with what was shown: ``"satiation"``, or a class or instance of
            :class:`kgrl.simulator.Drift`. Numbers of relevant items are of the feedback before. ``None``: it does not.
        categories: of the items, where ``leaving`` or ``drift`` by name or class looks at them, see
            :func:`kgrl.simulator.item_categories`.
        data: what a ``feedback`` by name or class is made of; left out beside an instance.

    Raises:
        TypeError: ``feedback`` is no feedback model, ``past`` no past, or a rule none or without its categories.
        ValueError: an option out of range; ids that are none, unknown or, in ``items``, repeated; a ``first`` with none
            of ``items``; a past of other users, or with some of ``items``; categories of other items.
    """

    first: Tensor

    def __init__(
        self, feedback: str | type[FeedbackModel] | FeedbackModel, eta: float = 0.0, horizon: int = 32,
        first: Tensor | None = None, items: Tensor | None = None, past: Past | None = None, leaving: Any = None,
        drift: Any = None, categories: Any = None, data: HeteroData | None = None,
    ) -> None:
        super().__init__()
        self.feedback = feedback = made_feedback(feedback, data).checked()
        self.horizon = at_least("horizon", horizon, 1)
        self.eta = between("eta", eta, 0, LARGEST / self.horizon)
        device = next((t.device for t in chain(feedback.parameters(), feedback.buffers())), None)
        self.pool = None if items is None else Pool(items, feedback).to(device)
        self.past = None if past is None else checked_past(past, feedback, self.pool).to(device)
        self.leaving = made_leaving(leaving, categories, feedback)
        self.drift = made_drift(drift, categories, feedback)
        if first is not None:
            first = ids("first", first, feedback.num_items)
            first = first if self.pool is None else self.pool.ranked("first", first)
        # empty stands for None: a buffer follows `.to(device)`, and tells which device that is
        ranking = torch.empty(0, dtype=torch.long, device=device) if first is None else first.clone()
        self.register_buffer("first", ranking.to(device))

    @property
    def device(self) -> torch.device:
        return self.first.device

    @property
    def num_items(self) -> int:
        return self.feedback.num_items

    def reset(self, users: Tensor) -> Sessions:
        """New sessions of ``users [B]``, with their past where the simulator has one.

        Raises:
            ValueError: no users, or an id the feedback model does not know.
        """
        users = ids("users", users, self.feedback.num_users).to(self.device)
        if self.past is None:
            return Sessions.empty(users, self.horizon)
        return self.past.begin(users, self.horizon, self.feedback.threshold)

    def opening(self, sessions: Sessions, explore: bool, generator: torch.Generator) -> Tensor | None:
        """``[B]``, the items that the cold-start protocol prescribes for this step; ``None`` = the agent chooses.

        Args:
            sessions: the sessions so far.
            explore: training (one of the first 100 of ``first``) or evaluation (its first).
            generator: on the simulator's device; draws the training items.
        """
        if sessions.step > sessions.begin or not len(self.first):
            return None
        if not explore:
            return self.first[:1].expand(len(sessions))
        pool = self.first[:OPENING_POOL]
        return pool[torch.randint(len(pool), (len(sessions),), generator=generator, device=self.device)]

    @torch.no_grad()
    @full_precision
    def step(self, sessions: Sessions, items: Tensor) -> Sessions:
        """Shows ``items [B]``, one a session, and records how they are received.

        Args:
            sessions: changed in place.
            items: item ids; −1 where nothing is left to recommend: that session ends here, for good, and what is
                proposed for it later is ignored, as it is where the user has left.

        Returns:
            The same ``sessions``, one step on.

        Raises:
            ValueError: an item shown twice in a session, an unknown id or one that is not among the simulator's
                ``items``, with the session and the step; feedback that is no number in [−1, 1]. On the CPU at once; on
                other devices, where looking would stall the device, at the session's last step.
        """
        step = of_class("sessions", sessions, Sessions).step
        if step >= (end := sessions.items.size(1)):
            raise ValueError(expected("sessions.step", f"below the horizon {end}", step, "reset first"))
        if a_tensor("items", items).shape != sessions.users.shape or items.dtype != torch.long:
            came = f"{items.dtype} {list(items.shape)}"
            raise ValueError(expected("items", f"one id a session, int64 [{len(sessions)}]", came))
        items = items.masked_fill(sessions.left | (sessions.length < step - sessions.begin), -1)
        if items.device.type == "cpu":
            check_items(items, sessions, step, self.num_items, self.pool)
        ended = items < 0
        feedback, positive, streak = self._reaction(sessions, items.clamp(0, self.num_items - 1))
        feedback = feedback.masked_fill(ended, 0)
        if feedback.device.type == "cpu":
            check_feedback(feedback, sessions.users, items)
        else:  # left to the check at the end, by a NaN, and not to the agent's kernels
            undefined = items == UNDEFINED
            feedback, items = feedback.masked_fill(undefined, torch.nan), items.masked_fill(undefined, -1)
        reward = feedback
        if self.eta:
            up, down = sessions.streak_counts()
            reward = feedback + self.eta * (up - down).float()
        if self.leaving is not None:
            leaves = self.leaving(sessions, items.clamp(min=0).unsqueeze(1), feedback.unsqueeze(1)).squeeze(1)
            sessions.left |= leaves & ~ended
        sessions.items[:, step] = items
        sessions.feedback[:, step] = feedback
        sessions.rewards[:, step] = reward.masked_fill(ended, 0)
        sessions.positive[:, step] = positive & ~ended
        sessions.streak[:, step] = streak.masked_fill(ended, 0)
        sessions.length += ~ended
        sessions.step = step + 1
        if sessions.step == end and items.device.type != "cpu":
            check_sessions(sessions, self.num_items, self.pool)
        return sessions

    def _reaction(self, sessions: Sessions, items: Tensor) -> Reaction:
        """How ``items [B]`` are received now."""
        if self.drift is None:
            return self.feedback.react(sessions.users, items)
        before = self.feedback(sessions.users, items).unsqueeze(1)
        return self.feedback.counted(self.drift(before, sessions, items.unsqueeze(1)).squeeze(1).clamp(-1, 1))

    @full_precision
    def num_relevant(self, users: Tensor) -> Tensor:
        """``[B]``, how many of the items ``users [B]`` would receive positively: of all, or of the simulator's."""
        if self.pool is None:
            return self.feedback.num_relevant(users)
        return self.pool.num_relevant(self.feedback, self.feedback.users_of(users))

    @torch.no_grad()
    def play(self, users: Tensor, items: Tensor) -> Sessions:
        """Sessions in which ``users [B]`` are shown the given ``items [B, ≤ T]`` in order (no cold-start protocol)."""
        sessions = self.reset(users)
        shaped("items", items, len(sessions), None, whole=True)
        nothing = torch.full_like(sessions.users, -1)
        for step in range(self.horizon):
            self.step(sessions, items[:, step] if step < items.size(1) else nothing)
        return sessions

    def play_random(self, users: Tensor, generator: torch.Generator) -> Sessions:
        """Sessions in which ``users [B]`` are shown distinct items drawn at random (no cold-start protocol)."""
        users = ids("users", users, self.feedback.num_users)
        generator = given_or_new(generator, self.device)
        total = self.num_items if self.pool is None else len(self.pool)
        drawn = distinct_items(len(users), min(self.horizon, total), total, generator)
        return self.play(users, drawn if self.pool is None else self.pool.items[drawn])

    def taste_share(self, users: Tensor, train_users: Tensor) -> float:
        """How much of the world is personal, as :attr:`Bounds.taste_share <kgrl.simulator.Bounds>` has it, at a glance.

        At most 128 of the users are looked at, and nothing is played: see :meth:`bounds` for the number itself.

        Args:
            users: ``[U]``, who is scored.
            train_users: ``[U']``, whose mean feedback chooses the one list for all.

        Returns:
            The share; NaN where a session shows all items there are.
        """
        users, train_users = (ids(name, each, self.feedback.num_users).to(self.device)
                              for name, each in (("users", users), ("train_users", train_users)))
        items = None if self.pool is None else self.pool.items
        return taste_share_of_some(self.feedback, users, train_users, self.horizon, items)

    @full_precision
    def bounds(self, users: Tensor, train_users: Tensor, popular: Tensor | None = None, seed: int = 0) -> Bounds:
        """Scores that need no learning, for ``users``, to read any score of theirs against.

        With ``items`` they are of these alone. Where these are new, ``"best fixed list"`` knows what no agent may: the
        training users' feedback on new items. Of items that are equally good chance decides, by ``seed``; without
        ``items``, the lower number.

        Args:
            users: ``[B]``, who is scored.
            train_users: whose mean feedback chooses the best fixed list.
            popular: popularity ranking for the most liked list; default ``first``; with neither there is no such line.
            seed: of the random recommendations, and of ties.
        """
        users = ids("users", users, self.feedback.num_users)
        train_users = ids("train_users", train_users, self.feedback.num_users)
        if popular is not None:
            popular = ids("popular", popular, self.num_items)
            popular = popular if self.pool is None else self.pool.ranked("popular", popular)
        return measure_bounds(self, users, train_users, self.first if popular is None else popular, seed)

    def extra_repr(self) -> str:
        return f"eta={self.eta}, horizon={self.horizon}, first={len(self.first) or None}"
