"""The simulator's face for Gymnasium: importing this makes its environments known by the id ``kgrl/Recommendation-v0``.

.. code-block:: python

    import gymnasium
    import kgrl.simulator.gymnasium

    env = gymnasium.make("kgrl/Recommendation-v0", simulator=world, users=train)
    envs = gymnasium.make_vec("kgrl/Recommendation-v0", num_envs=1_024, simulator=world, users=train)

Nothing else of kgrl needs Gymnasium; ``pip install 'kgrl[gym]'`` installs it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

try:
    from gymnasium import Env, Space
    from gymnasium.envs.registration import register, registry
    from gymnasium.vector import AutoresetMode
except ImportError as error:
    raise ImportError("kgrl.simulator.gymnasium needs Gymnasium, which is not installed; say pip install 'kgrl[gym]'"
                      ) from error

from kgrl.options import expected
from kgrl.sessions import Sessions
from kgrl.simulator.observations import Observe, SessionSummary, session_history
from kgrl.simulator.simulator import Simulator
from kgrl.simulator.vector_env import Info, RecommendationVectorEnv

__all__ = ["ID", "RecommendationEnv", "RecommendationVectorEnv", "SessionSummary", "session_history"]

ID = "kgrl/Recommendation-v0"
"""For ``gymnasium.make`` and ``gymnasium.make_vec``, which are given ``simulator=`` and ``users=``, too."""


class RecommendationEnv(Env):
    """One session after the other, as an environment of Gymnasium.

    It is a :class:`kgrl.simulator.gymnasium.RecommendationVectorEnv` of one session: see there for what actions,
    rewards, ends and ``info`` are. For training that one is faster, by the number of sessions that it steps at once.

    Args:
        simulator: the world.
        users: ``[U]``, whom sessions are of, drawn at random.
        observe, observation_space, explore, action_mask: as there.
        render_mode: ``None``; there is nothing to draw.

    Raises:
        TypeError: an option of another kind.
        ValueError: an unknown user or way to render, a horizon that an opening fills; an ``observe`` that does not fit.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 (Gymnasium's own annotation)

    def __init__(
        self, simulator: Simulator, users: Tensor, *, observe: Observe | None = None,
        observation_space: Space[Any] | None = None, explore: bool = True, action_mask: bool = True,
        render_mode: str | None = None,
    ) -> None:
        if render_mode is not None:
            raise ValueError(expected("render_mode", "None, as there is nothing to draw", render_mode))
        self.render_mode = None
        self._envs = RecommendationVectorEnv(
            1, simulator=simulator, users=users, observe=observe, observation_space=observation_space,
            autoreset_mode=AutoresetMode.DISABLED, explore=explore, action_mask=action_mask)
        self.items = self._envs.items
        self.action_space = self._envs.single_action_space
        self.observation_space = self._envs.single_observation_space

    @property
    def sessions(self) -> Sessions:
        """The session so far, a batch of one, copied: what an agent of kgrl acts on."""
        return self._envs.sessions

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Info]:
        """Begins a new session; ``options`` may name its user: ``{"users": [3]}``."""
        super().reset(seed=seed)
        self._envs.np_random = self.np_random
        seen, info = self._envs.reset(options=options)
        return _of_one(seen), _of_one(info)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, Info]:
        """Recommends ``items[action]``; (observation, reward, terminated, truncated, info)."""
        seen, rewards, terminated, truncated, info = self._envs.step(np.asarray([action]))
        return _of_one(seen), float(rewards[0]), bool(terminated[0]), bool(truncated[0]), _of_one(info)


def _of_one(batch: Any) -> Any:
    """The only row of each array; that it is of one sub-environment need not be said (``_name``)."""
    if isinstance(batch, dict):
        return {name: value[0] for name, value in batch.items() if not name.startswith("_")}
    return batch[0]


if ID not in registry:
    register(ID, entry_point="kgrl.simulator.gymnasium:RecommendationEnv",
             vector_entry_point="kgrl.simulator.vector_env:RecommendationVectorEnv")
