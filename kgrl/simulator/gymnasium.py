"""The simulator's face for Gymnasium: importing this makes its environments known by the id ``kgrl/Recommendation-v0``.

.. code-block:: python

    import gymnasium
    import kgrl.simulator.gymnasium

    env = gymnasium.make("kgrl/Recommendation-v0", simulator=world, users=train)
    envs = gymnasium.make_vec("kgrl/Recommendation-v0", num_envs=1_024, simulator=world, users=train)

Nothing else of kgrl needs Gymnasium; ``pip install 'kgrl[gym]'`` installs it.
"""

from __future__ import annotations

try:
    from gymnasium.envs.registration import register, registry
except ImportError as error:
    raise ImportError("kgrl.simulator.gymnasium needs Gymnasium, which is not installed; say pip install 'kgrl[gym]'"
                      ) from error

from kgrl.simulator.observations import SessionSummary, session_history
from kgrl.simulator.single_env import RecommendationEnv
from kgrl.simulator.vector_env import RecommendationVectorEnv

__all__ = ["ID", "RecommendationEnv", "RecommendationVectorEnv", "SessionSummary", "session_history"]

ID = "kgrl/Recommendation-v0"
"""For ``gymnasium.make`` and ``gymnasium.make_vec``, which are given ``simulator=`` and ``users=``, too."""

if ID not in registry:
    register(ID, entry_point="kgrl.simulator.single_env:RecommendationEnv",
             vector_entry_point="kgrl.simulator.vector_env:RecommendationVectorEnv")
