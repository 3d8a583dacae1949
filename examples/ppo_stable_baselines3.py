"""An agent of another library through Gymnasium: Stable-Baselines3's PPO on MovieLens, beside ours in the same world.

    pip install 'kgrl[sb3]'
    python examples/ppo_stable_baselines3.py                       # a few minutes on one core

PPO chooses among the films that the training users liked most often (--films), as is usual where a policy has one
output per item; all other lines may show any film. Films that the session has had are masked. Settings were chosen on
the validation users; the test users are scored once. PPO gets 1.860 (--seed 0) and 1.861 (1), the list 1.773.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box
from stable_baselines3 import PPO
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor, nn

from kgrl.agents import LinearGaussian
from kgrl.datasets import MovieLens100K, popular_items, split_users
from kgrl.evaluate import Scores, evaluate, score
from kgrl.experiments.report import score_table
from kgrl.pretrain import item_vectors
from kgrl.sessions import Sessions
from kgrl.simulator import PredictedFeedback, Simulator
from kgrl.simulator.gymnasium import ID, SessionSummary


class SummaryAndMask:
    """What PPO sees of sessions: a vector of what they were, and, in the last columns, which films are left."""

    def __init__(self, vectors: Tensor, films: Tensor) -> None:
        self.summary, self.films = SessionSummary(vectors), films

    def __call__(self, sessions: Sessions) -> Tensor:
        left = sessions.unshown(len(self.summary.vectors))[:, self.films]
        return torch.cat([self.summary(sessions), left.float()], 1)

    def space(self, simulator: Simulator) -> Box:
        seen = self.summary.space(simulator)
        mask = np.zeros(len(self.films), np.float32)
        return Box(np.append(seen.low, mask), np.append(seen.high, mask + 1))


class WithoutMask(BaseFeaturesExtractor):
    """Keeps the mask for the policy's last layer; the networks see the rest."""

    def __init__(self, space: Box, films: int) -> None:
        super().__init__(space, space.shape[0] - films)
        self.left = torch.ones(1, films)

    def forward(self, seen: Tensor) -> Tensor:
        self.left = seen[:, self.features_dim :]
        return seen[:, : self.features_dim]


class MaskedPolicy(ActorCriticPolicy):
    """PPO's usual policy, but for films that are not left."""

    def _get_action_dist_from_latent(self, latent_pi: Tensor) -> Distribution:
        logits = self.action_net(latent_pi).masked_fill(self.features_extractor.left == 0, -1e9)
        return self.action_dist.proba_distribution(action_logits=logits)


class StableBaselinesEnv(VecEnv):
    """Stable-Baselines3's own kind of vector environment, of one of Gymnasium's that resets in the same step.

    A session's end counts as one (nothing is worth anything after it), as everywhere in kgrl.
    """

    def __init__(self, envs: gymnasium.vector.VectorEnv) -> None:
        self.envs, self.actions = envs, np.zeros(envs.num_envs, np.int64)
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    def reset(self) -> np.ndarray:
        return self.envs.reset(seed=self._seeds[0])[0]

    def step_async(self, actions: np.ndarray) -> None:
        self.actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        seen, rewards, terminated, truncated, _ = self.envs.step(self.actions)
        return seen, rewards, terminated | truncated, [{} for _ in rewards]

    def close(self) -> None:
        self.envs.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self.envs, attr_name)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise NotImplementedError("all sub-environments are one")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        raise NotImplementedError("all sub-environments are one")

    def env_is_wrapped(self, wrapper_class: type[gymnasium.Wrapper], indices: Any = None) -> list[bool]:
        return [False] * self.num_envs


class Trained(nn.Module):
    """A trained PPO as an agent of kgrl: what is scored is scored as all others are."""

    def __init__(self, model: PPO, observe: SummaryAndMask) -> None:
        super().__init__()
        self.model, self.observe = model, observe

    def act(self, sessions: Sessions, explore: bool = False, generator: torch.Generator | None = None) -> Tensor:
        actions, _ = self.model.predict(self.observe(sessions).numpy(), deterministic=not explore)
        return self.observe.films[torch.from_numpy(actions)]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--source", type=Path, help="folder that already holds the raw files; default: download them")
    add("--data", type=Path, default=Path(__file__).resolve().parents[1] / "data", help="where data sets are kept")
    add("--films", type=int, default=300, help="that PPO chooses among")
    add("--interactions", type=int, default=393_216)
    add("--environments", type=int, default=256, help="sessions at once")
    add("--lr", type=float, default=3e-3, help="at first; it falls to 0")
    add("--entropy", type=float, default=0.02)
    add("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    args = options()
    data = MovieLens100K(args.data / "ml-100k", source=args.source)[0]
    train, valid, test = split_users(data, seed=0)
    popular = popular_items(data, train)
    films = popular[: args.films]
    feedback = PredictedFeedback.fit(data)
    world, shown = Simulator(feedback, eta=0.1), Simulator(feedback, eta=0.1, items=films)

    vectors = item_vectors(data, train, kind="mf", dim=20)  # of the training users' ratings alone
    observe = SummaryAndMask(5 * vectors / vectors.norm(dim=1).mean(), films)
    envs = StableBaselinesEnv(gymnasium.make_vec(
        ID, num_envs=args.environments, simulator=shown, users=train, observe=observe, autoreset_mode="SameStep",
        action_mask=False))
    envs.seed(args.seed)
    model = PPO(
        MaskedPolicy, envs, learning_rate=lambda left: left * args.lr, n_steps=world.horizon, n_epochs=4, gamma=0.0,
        batch_size=8 * args.environments, ent_coef=args.entropy, seed=args.seed, device="cpu", policy_kwargs={
            "net_arch": [128], "features_extractor_class": WithoutMask,
            "features_extractor_kwargs": {"films": len(films)}})
    model.learn(args.interactions)
    agent = Trained(model, observe)
    print(f"{model.num_timesteps:,} interactions; validation users: {evaluate(agent, world, valid).reward:.3f}")

    bounds = world.bounds(test, train, popular)
    relevant = bounds.num_relevant
    scores: dict[str, Scores] = {
        "PPO": evaluate(agent, world, test),
        "LinearGaussian": evaluate(LinearGaussian.from_ratings(data, train), world, test),
        **{name: score(sessions, relevant) for name, sessions in bounds.lines.items()},
        f"best fixed list of the {len(films)}": score(shown.bounds(test, train, popular).lines["best fixed list"],
                                                       relevant)}
    print(f"{len(test)} test users\n\n{score_table(scores, 'PPO')}")


if __name__ == "__main__":
    main()
