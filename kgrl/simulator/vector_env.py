"""``RecommendationVectorEnv``: the batched simulator as a vector environment of Gymnasium."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import Space
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, iterate
from torch import Tensor

from kgrl.objects import of_class
from kgrl.options import at_least, expected, flag, ids, one_of
from kgrl.seeding import generator_for
from kgrl.sessions import Sessions
from kgrl.simulator.env_checks import actions_of, check_actions, reset_options
from kgrl.simulator.observations import Observe, arrays_of, as_array, observation_space_of, session_history
from kgrl.simulator.simulator import Simulator

Info = dict[str, Any]
MODES = {mode.value: mode for mode in AutoresetMode}


class RecommendationVectorEnv(VectorEnv):
    """A :class:`kgrl.simulator.Simulator` as a vector environment of Gymnasium: one sub-environment per session.

    Action a recommends item :attr:`items` ``[a]``; the reward is the simulator's. A sub-environment is *terminated*
    where the user leaves or all items have been shown, and *truncated* at the horizon. All sub-environments step at
    once, whatever step each of them is at; there is no loop over them.

    Where the simulator opens sessions (``first``), a reset shows that first item: the first observation has it, its
    reward stands in ``info["opening_reward"]``, and T − 1 actions follow.

    ``info["action_mask"]`` is ``[num_envs, P]``, int8, 1 where an item may still be recommended. As in Gymnasium's own
    vector environments, ``info["_name"]`` tells which sub-environments ``info["name"]`` is of, and in the mode
    ``SAME_STEP`` ``final_obs`` and ``final_info`` are those of the sessions that ended.

    Args:
        num_envs: B, sessions at once.
        simulator: the world.
        users: ``[U]``, whom sessions are of, drawn at random: the training users', for training.
        observe: what is seen of sessions, a function of :class:`kgrl.sessions.Sessions` (not to be changed by it; their
            rows may be at different steps, as those of ``Sessions.from_history`` are) that gives a tensor ``[B, …]`` or
            a dict of such. Default :func:`kgrl.simulator.gymnasium.session_history`;
            :class:`kgrl.simulator.gymnasium.SessionSummary` makes one vector.
        observation_space: of one sub-environment; default ``observe.space(simulator)``, or where there is no such
            method, one without bounds.
        autoreset_mode: ``gymnasium.vector.AutoresetMode``, or its value, e.g. ``"SameStep"``.
        explore: whether the simulator opens sessions as in training or as in evaluation.
        action_mask: whether ``info`` has the mask; without it there is no table of ``[num_envs, P]``.

    Raises:
        TypeError: an option of another kind.
        ValueError: an unknown user or mode, a horizon that an opening fills; an ``observe`` that does not fit.
    """

    def __init__(
        self, num_envs: int = 1, *, simulator: Simulator, users: Tensor, observe: Observe | None = None,
        observation_space: Space[Any] | None = None, autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        explore: bool = True, action_mask: bool = True,
    ) -> None:
        self.num_envs = at_least("num_envs", num_envs, 1)
        self.simulator = of_class("simulator", simulator, Simulator)
        self.users = ids("users", users, simulator.feedback.num_users).to(simulator.device)
        self.observe = session_history if observe is None else observe
        if not callable(self.observe):
            raise TypeError(expected("observe", "a function of Sessions", observe))
        if isinstance(autoreset_mode, AutoresetMode):
            autoreset_mode = autoreset_mode.value
        self.autoreset_mode = MODES[one_of("autoreset_mode", autoreset_mode, MODES)]
        self.explore, self.action_mask = flag("explore", explore), flag("action_mask", action_mask)
        if len(simulator.first) and simulator.horizon < 2:
            raise ValueError(expected("simulator.horizon", "at least 2, as the first item is given", simulator.horizon))
        every = torch.arange(simulator.num_items, device=simulator.device)
        self.items = every if simulator.pool is None else simulator.pool.items
        self._place = torch.zeros_like(every).scatter_(0, self.items, every[: len(self.items)])
        self.metadata = {"render_modes": [], "autoreset_mode": self.autoreset_mode}
        self.single_action_space = Discrete(len(self.items))
        if observation_space is None:
            observation_space = observation_space_of(self.observe, simulator, self.users[:1])
        self.single_observation_space = of_class("observation_space", observation_space, Space)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self._rows = torch.arange(self.num_envs, device=simulator.device)
        self._ended = torch.zeros(self.num_envs, dtype=torch.bool, device=simulator.device)
        self._sessions: Sessions | None = None
        self._mask: Tensor | None = None

    @property
    def sessions(self) -> Sessions:
        """The sessions so far, copied: what an agent of kgrl acts on. Their rows may be at different steps."""
        return self._begun().rows(self._rows)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Info]:
        """Begins new sessions.

        Args:
            seed: decides who the users are, from here on, and what opens their sessions.
            options: ``reset_mask``, a NumPy array ``[num_envs]`` of bools, the sub-environments to reset; ``users``,
                ids ``[num_envs]``, whose sessions to begin instead of drawing.

        Returns:
            (observations, info).

        Raises:
            TypeError: a mask that is no array of bools.
            ValueError: an unknown option; a mask of another length or with nothing to reset; not one user for each.
        """
        mask, users = reset_options(options, self.num_envs, self.simulator.feedback.num_users)
        if self._sessions is None and not mask.all():
            raise ValueError(expected("options['reset_mask']", "absent from the first reset", mask.tolist()))
        super().reset(seed=seed)
        chosen = mask.nonzero().view(-1).to(self._rows.device)
        opening = self._renew(chosen, None if users is None else users.to(chosen.device)[chosen])
        self._ended[chosen] = False
        return self._observed(), self._info() | opening

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, Info]:
        """Recommends ``items[actions]``, one in each session.

        Args:
            actions: ``[num_envs]``, whole numbers; in the mode ``NEXT_STEP`` those of sub-environments that ended in
                the step before are ignored, as these begin anew.

        Returns:
            (observations, rewards ``[num_envs]``, terminations, truncations, info).

        Raises:
            ResetNeeded: before the first ``reset``, or, in the mode ``DISABLED``, after the end of a session.
            ValueError: not one action each, an unknown one, or one that is masked.
        """
        sessions, ended = self._begun(), self._ended
        items = self._chosen(actions)
        rewards, info, final = self._show(items), {}, {}
        if self._mask is not None:
            self._mask[self._rows, self._place[items.clamp(min=0)]] = 0  # in a session that is over, all the same
        terminated, truncated = self._over() & ~ended, (sessions.length >= sessions.horizon) & ~ended
        renewed, self._ended = ended, terminated | truncated
        if self.autoreset_mode is AutoresetMode.SAME_STEP and self._ended.any():
            renewed, final = self._ended, self._final()
            self._ended = torch.zeros_like(renewed)
        if renewed.any():
            info = self._renew(renewed.nonzero().view(-1))
        return (self._observed(), as_array(rewards), as_array(terminated), as_array(truncated),
                self._info() | info | final)

    def _begun(self) -> Sessions:
        if self._sessions is None:
            raise ResetNeeded(expected("reset()", "called before anything else", "no session"))
        return self._sessions

    def _show(self, items: Tensor) -> Tensor:
        """``[B]``, the rewards of ``items``; −1: nothing is shown.

        The simulator steps sessions that are at the same step, and its rules count on that. So those at each step go
        together: all of them, as a rule, and at most T groups where users leave or some sub-environments were reset.
        """
        sessions, rewards = self._begun(), torch.zeros(self.num_envs, device=items.device, dtype=torch.float)
        lengths = sessions.length.masked_fill(items < 0, -1)  # before any of them goes on
        for length in lengths[items >= 0].bincount().nonzero().view(-1).tolist():
            rows = (lengths == length).nonzero().view(-1)
            part = sessions if len(rows) == self.num_envs else sessions.rows(rows)
            part.step = sessions.begin + length
            self.simulator.step(part, items[rows])
            rewards[rows] = part.rewards[:, part.step - 1]
            if part is not sessions:
                self._put(rows, part)
        return rewards

    def _put(self, rows: Tensor, part: Sessions) -> None:
        """These sessions in place of those in ``rows``."""
        sessions = self._begun()
        for name, values in part.tensors().items():
            getattr(sessions, name).index_copy_(0, rows, values)  # whole rows: faster than by index
        sessions.step = sessions.begin + int(sessions.length.max())

    def _over(self) -> Tensor:
        """``[B]``, whether there is nobody left, or nothing to recommend."""
        sessions = self._begun()
        return sessions.left | (sessions.length >= len(self.items))

    def _chosen(self, actions: Any) -> Tensor:
        """``[B]``, the items of ``actions``; −1 in sessions that are over."""
        if self.autoreset_mode is AutoresetMode.DISABLED and self._ended.any():
            which = self._ended.nonzero().view(-1).tolist()
            raise ResetNeeded(expected("actions", "of sessions that go on", f"ended sub-environments {which[:8]}",
                                       "reset(options={'reset_mask': terminations | truncations}) begins new ones"))
        chosen = actions_of(actions, self.num_envs).to(self.items.device)
        playing = ~(self._ended | self._over())
        items = self.items[chosen.clamp(0, len(self.items) - 1)]
        if self._mask is None:
            masked = (self._begun().shown == items[:, None]).any(1)
        else:
            masked = self._mask[self._rows, self._place[items]] == 0
        check_actions(chosen, items, playing, masked, len(self.items))
        return items.masked_fill(~playing, -1)

    def _renew(self, rows: Tensor, users: Tensor | None = None) -> Info:
        """Begins new sessions in ``rows``; what their openings brought."""
        if users is None:
            users = self.users[torch.from_numpy(self.np_random.integers(len(self.users), size=len(rows)))]
        new, info, items = self.simulator.reset(users), {}, None
        if len(self.simulator.first):
            generator = generator_for(self.simulator.device, int(self.np_random.integers(2**62)))
            items = self.simulator.opening(new, self.explore, generator)
        if items is not None:
            self.simulator.step(new, items)
            reward = torch.zeros(self.num_envs, device=rows.device, dtype=torch.float)
            which = torch.zeros_like(self._ended)
            info = {"opening_reward": as_array(reward.index_put_((rows,), new.rewards[:, new.begin])),
                    "_opening_reward": as_array(which.index_fill_(0, rows, True))}
        if self._sessions is None or len(rows) == self.num_envs:
            self._sessions = new
        else:
            self._put(rows, new)
        if self.action_mask:
            if self._mask is None:
                self._mask = torch.ones(self.num_envs, len(self.items), dtype=torch.int8, device=rows.device)
            self._mask[rows] = 1
            if items is not None:
                self._mask[rows, self._place[items]] = 0
        return info

    def _observed(self) -> Any:
        """What is seen of all sessions, in arrays that nothing of this environment is going to change."""
        sessions = self._begun()
        sessions.carry.clear()  # rows that begin anew are no longer what an agent made something of
        with torch.no_grad():
            return arrays_of(self.observe(sessions), sessions, self.observation_space)

    def _info(self) -> Info:
        if self._mask is None:
            return {}
        mask = self._mask.clone() if self._mask.device.type == "cpu" else self._mask
        return {"action_mask": as_array(mask), "_action_mask": np.ones(self.num_envs, dtype=np.bool_)}

    def _final(self) -> Info:
        """Observation and info of the sessions that have just ended, as Gymnasium's own vector environments have it."""
        ended, seen = as_array(self._ended), self._observed()
        rows = {name: value[ended] for name, value in seen.items()} if isinstance(seen, dict) else seen[ended]
        each = np.full(self.num_envs, None, dtype=object)  # as Gymnasium has it: one object per sub-environment
        each[ended] = np.fromiter(iterate(self.observation_space, rows), object, int(ended.sum()))
        info = {name: ended if name.startswith("_") else value for name, value in self._info().items()}
        return {"final_obs": each, "_final_obs": ended, "final_info": info, "_final_info": ended.copy()}
