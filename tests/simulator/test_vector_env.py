"""The vector environment against the raw simulator, Gymnasium's own vector environment, and a case worked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kgrl.agents import FixedList, LinearGaussian
from kgrl.nn import TasteTerms
from kgrl.rollout import rollout
from kgrl.sessions import Sessions
from kgrl.simulator import Leaving, Past, Patience, PredictedFeedback, RatedFeedback, Simulator
from tests.agents.every_agent import data

gymnasium = pytest.importorskip("gymnasium", minversion="1.1")

from gymnasium.error import ResetNeeded  # noqa: E402
from gymnasium.utils import env_checker  # noqa: E402
from gymnasium.vector import AutoresetMode, SyncVectorEnv  # noqa: E402

from kgrl.simulator.gymnasium import ID, RecommendationEnv, RecommendationVectorEnv, SessionSummary  # noqa: E402

USERS, ITEMS = 6, 40
MODES = list(AutoresetMode)


def feedback(users: int = USERS, items: int = ITEMS, seed: int = 0) -> PredictedFeedback:
    generator = torch.Generator().manual_seed(seed)
    return PredictedFeedback.from_embeddings(
        torch.randn(users, 3, generator=generator), torch.randn(items, 3, generator=generator) / 2)


def make(simulator: Simulator, count: int = 4, users: Tensor | None = None, **options: Any) -> RecommendationVectorEnv:
    users = torch.arange(simulator.feedback.num_users) if users is None else users
    return RecommendationVectorEnv(count, simulator=simulator, users=users, **options)


def some(envs: RecommendationVectorEnv, generator: np.random.Generator, info: dict[str, Any]) -> np.ndarray:
    """A random action that the mask allows, of each sub-environment."""
    return (generator.random(info["action_mask"].shape) * info["action_mask"]).argmax(1)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("eta", [0.0, 0.3])
def test_step_by_step_as_the_raw_simulator(mode: AutoresetMode, eta: float, device: torch.device) -> None:
    simulator = Simulator(feedback(), eta, horizon=5).to(device)
    envs, generator = make(simulator, autoreset_mode=mode), np.random.default_rng(0)
    seen, info = envs.reset(seed=3)
    for _ in range(3):
        raw = simulator.reset(envs.sessions.users)
        for step in range(5):
            assert (seen["items"] == raw.items.cpu().numpy()).all()
            assert (seen["feedback"] == raw.feedback.cpu().numpy()).all()
            assert (info["action_mask"] == raw.unshown(ITEMS).cpu().numpy()).all()
            actions = some(envs, generator, info)
            simulator.step(raw, torch.from_numpy(actions).to(device))
            seen, rewards, terminated, truncated, info = envs.step(actions)
            assert (rewards == raw.rewards[:, step].cpu().numpy()).all()
            assert not terminated.any()
            assert (truncated == (step == 4)).all()
        if mode is AutoresetMode.SAME_STEP:
            assert (info["final_obs"][2]["items"] == raw.items[2].cpu().numpy()).all()
        elif mode is AutoresetMode.DISABLED:
            seen, info = envs.reset()
        else:
            seen, rewards, terminated, truncated, info = envs.step(actions)
            assert not np.stack([rewards, terminated, truncated]).any()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("horizon", "items"), [(4, ITEMS), (9, 6)])  # it ends at the horizon, or with the last item
def test_as_gymnasiums_own_vector_environment(mode: AutoresetMode, horizon: int, items: int) -> None:
    """One user, so that nothing is random; sub-environments get out of step as some are reset before their end."""
    simulator = Simulator(feedback(1, items), 0.2, horizon)
    users, generator = torch.tensor([0]), np.random.default_rng(1)
    ours = make(simulator, 5, users, autoreset_mode=mode)
    theirs = SyncVectorEnv([lambda: RecommendationEnv(simulator, users)] * 5, autoreset_mode=mode)
    (seen, info), (seen_there, info_there) = ours.reset(seed=0), theirs.reset(seed=0)
    ended = np.zeros(5, dtype=np.bool_)
    kinds = set()
    for step in range(30):
        same(seen, seen_there)
        same(info, info_there)
        mask = np.array([step % 7 == 2, step % 5 == 1, False, False, step == 3])
        mask |= ended if mode is AutoresetMode.DISABLED else False
        if mask.any():
            seen, info = ours.reset(options={"reset_mask": mask})
            theirs.reset(options={"reset_mask": mask})
        actions = some(ours, generator, info)
        seen, rewards, terminated, truncated, info = ours.step(actions)
        seen_there, rewards_there, terminated_there, truncated_there, info_there = theirs.step(actions)
        assert (rewards == rewards_there).all()
        assert (terminated == terminated_there).all()
        assert (truncated == truncated_there).all()
        ended = terminated | truncated
        kinds.add(tuple(ended.tolist()))
    assert terminated.dtype == truncated.dtype == np.bool_
    assert len(kinds) > 3  # they did end at different steps


def same(ours: Any, theirs: Any) -> None:
    """Equal, whatever is nested in what; only where ``_name`` says so, where there is one."""
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            which = ours.get(f"_{name}")
            if which is None or isinstance(value, dict):
                same(value, theirs[name])
            else:
                assert (which == theirs[f"_{name}"]).all()
                for one, other in zip(value[which], theirs[name][which], strict=True):
                    same(one, other)
    else:
        np.testing.assert_array_equal(ours, theirs)


def by_hand(mode: AutoresetMode) -> RecommendationVectorEnv:
    """Two sessions of one user, who likes item 0 by 0.5 and item 1 by −0.25, at most two steps, η = 0.1."""
    world = PredictedFeedback.from_embeddings(torch.ones(1, 1), torch.tensor([[0.5], [-0.25], [0.0]]))
    envs = make(Simulator(world, 0.1, horizon=2), 2, autoreset_mode=mode, observe=lambda sessions: sessions.items)
    seen, info = envs.reset(seed=0)
    assert seen.tolist() == [[-1, -1], [-1, -1]]
    assert info["action_mask"].tolist() == [[1, 1, 1], [1, 1, 1]]
    seen, rewards, terminated, truncated, info = envs.step([0, 1])
    assert seen.tolist() == [[0, -1], [1, -1]]
    assert rewards.tolist() == [0.5, -0.25]
    assert not terminated.any()
    assert not truncated.any()
    assert info["action_mask"].tolist() == [[0, 1, 1], [1, 0, 1]]
    # the second begins anew, so that only the first ends in the next step
    seen, info = envs.reset(options={"reset_mask": np.array([False, True])})
    assert seen.tolist() == [[0, -1], [-1, -1]]
    assert info["action_mask"].tolist() == [[0, 1, 1], [1, 1, 1]]
    return envs


def test_next_step_by_hand() -> None:
    envs = by_hand(AutoresetMode.NEXT_STEP)
    seen, rewards, terminated, truncated, info = envs.step([1, 0])
    assert seen.tolist() == [[0, 1], [0, -1]]  # the last observation
    np.testing.assert_allclose(rewards, [-0.25 + 0.1, 0.5])
    assert (terminated.tolist(), truncated.tolist()) == ([False, False], [True, False])
    assert info["action_mask"].tolist() == [[0, 0, 1], [0, 1, 1]]
    seen, rewards, terminated, truncated, info = envs.step([0, 2])  # the first begins anew, its action is ignored
    assert seen.tolist() == [[-1, -1], [0, 2]]
    np.testing.assert_allclose(rewards, [0, 0.1])
    assert (terminated.tolist(), truncated.tolist()) == ([False, False], [False, True])
    assert info["action_mask"].tolist() == [[1, 1, 1], [0, 1, 0]]


def test_same_step_by_hand() -> None:
    envs = by_hand(AutoresetMode.SAME_STEP)
    seen, rewards, terminated, truncated, info = envs.step([1, 0])
    assert seen.tolist() == [[-1, -1], [0, -1]]  # the first of the next session
    np.testing.assert_allclose(rewards, [-0.25 + 0.1, 0.5])
    assert (terminated.tolist(), truncated.tolist()) == ([False, False], [True, False])
    assert info["action_mask"].tolist() == [[1, 1, 1], [0, 1, 1]]
    assert info["_final_obs"].tolist() == info["_final_info"].tolist() == [True, False]
    assert info["final_obs"][0].tolist() == [0, 1]
    assert info["final_obs"][1] is None
    assert info["final_info"]["action_mask"][0].tolist() == [0, 0, 1]
    seen, rewards, _, truncated, info = envs.step([0, 2])
    assert seen.tolist() == [[0, -1], [-1, -1]]
    np.testing.assert_allclose(rewards, [0.5, 0.1])
    assert truncated.tolist() == [False, True]
    assert "final_obs" not in envs.step([1, 0])[4] or info["final_obs"][1].tolist() == [0, 2]


def test_disabled_by_hand() -> None:
    envs = by_hand(AutoresetMode.DISABLED)
    seen, _, _, truncated, _ = envs.step([1, 0])
    assert seen.tolist() == [[0, 1], [0, -1]]
    assert truncated.tolist() == [True, False]
    with pytest.raises(ResetNeeded, match=r"ended sub-environments \[0\]'; reset\(options"):
        envs.step([2, 1])
    seen, _ = envs.reset(options={"reset_mask": truncated})
    assert seen.tolist() == [[-1, -1], [0, -1]]
    seen, _, _, truncated, _ = envs.step([2, 1])
    assert seen.tolist() == [[2, -1], [0, 1]]
    assert truncated.tolist() == [False, True]


class Second(Leaving):
    """User 1 leaves after two steps."""

    def forward(self, sessions: Sessions, items: Tensor, feedback: Tensor) -> Tensor:
        return ((sessions.users == 1) & (sessions.length == 1)).unsqueeze(1).expand_as(items)


@pytest.mark.parametrize("mode", MODES)
def test_a_user_who_leaves_terminates_alone(mode: AutoresetMode) -> None:
    simulator = Simulator(feedback(3), horizon=4, leaving=Second())
    envs = make(simulator, 3, autoreset_mode=mode)
    envs.reset(seed=0, options={"users": [0, 1, 2]})
    for step in range(2):
        _, rewards, terminated, truncated, info = envs.step([step] * 3)
    assert terminated.tolist() == [False, True, False]
    assert not truncated.any()
    assert rewards[1] == simulator.feedback.rows(torch.tensor([1]))[0, 1]
    lengths = envs.sessions.length.tolist()
    if mode is AutoresetMode.SAME_STEP:
        assert lengths == [2, 0, 2]
        assert info["final_obs"][1]["items"].tolist() == [0, 1, -1, -1]
    elif mode is AutoresetMode.NEXT_STEP:
        assert lengths == [2, 2, 2]
        _, rewards, terminated, truncated, _ = envs.step([2, 0, 2])
        assert (rewards[1], terminated[1], truncated[1]) == (0, False, False)
        assert envs.sessions.length.tolist() == [3, 0, 3]
    else:
        with pytest.raises(ResetNeeded, match=r"\[1\]"):
            envs.step([2, 2, 2])


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
@pytest.mark.parametrize("rules", [{"leaving": "boredom"}, {"leaving": Patience(4.0)}, {"drift": "satiation"},
                                   {"leaving": "boredom", "drift": "satiation", "first": torch.arange(9)}])
def test_out_of_step_as_the_raw_simulator(mode: AutoresetMode, rules: dict[str, Any]) -> None:
    """Rules look at the last items: where users leave, sub-environments are at different steps, and each its own."""
    simulator = Simulator(feedback(), 0.1, 6, categories=torch.arange(ITEMS) % 4, **rules)
    envs, generator = make(simulator, 5, autoreset_mode=mode), np.random.default_rng(2)
    _, info = envs.reset(seed=1)
    users, rewards, begun, lengths = envs.sessions.users, [[] for _ in range(5)], np.ones(5, bool), set()
    for step in range(30):
        if "leaving" not in rules and step == 3:  # else all stay in step
            _, info = envs.reset(options={"reset_mask": np.array([True, False, True, False, False])})
            begun[[0, 2]] = True
        for row in np.flatnonzero(begun):
            rewards[row] = [info["opening_reward"][row]] if "first" in rules else []
        users = envs.sessions.users
        items = envs.sessions.items
        if mode is AutoresetMode.NEXT_STEP:
            ended = envs._ended.numpy().copy()
        actions = some(envs, generator, info)
        _, reward, terminated, truncated, info = envs.step(actions)
        done = terminated | truncated
        for row in range(5):
            if mode is AutoresetMode.NEXT_STEP and ended[row]:
                continue
            rewards[row].append(reward[row])
            if done[row]:
                shown = [*items[row, : len(rewards[row]) - 1].tolist(), int(actions[row])]
                raw = simulator.play(users[row : row + 1], torch.tensor([shown]))
                assert raw.rewards[0, : len(shown)].tolist() == rewards[row]
                assert (bool(raw.left), len(shown)) == (bool(terminated[row]), int(raw.length))
                lengths.add(len(shown))
        begun = done if mode is AutoresetMode.SAME_STEP else ended
    assert len(lengths) > ("leaving" in rules)


@pytest.mark.parametrize("through", ["FixedList", "LinearGaussian"])
@pytest.mark.parametrize("opened", [False, True])
def test_an_agent_of_ours_gets_the_same_rewards_through_it(through: str, opened: bool) -> None:
    world, generator = feedback(), torch.Generator().manual_seed(0)
    terms = TasteTerms(torch.zeros(ITEMS), torch.randn(ITEMS, 2, generator=generator), torch.ones(ITEMS))
    agent = FixedList(torch.arange(ITEMS).flip(0)) if through == "FixedList" else LinearGaussian(terms)
    simulator = Simulator(world, 0.1, horizon=8, first=torch.tensor([7, 5]) if opened else None)
    users = torch.arange(USERS)
    direct = rollout(agent, simulator, users)
    envs = make(simulator, USERS, users, explore=False, autoreset_mode="Disabled")
    _, info = envs.reset(options={"users": users})
    rewards = [info["opening_reward"]] if opened else []
    while len(rewards) < 8:
        _, reward, _, truncated, _ = envs.step(agent.act(envs.sessions, False, None))
        rewards.append(reward)
    assert truncated.all()
    np.testing.assert_array_equal(np.stack(rewards, 1), direct.rewards)
    assert torch.equal(envs.sessions.items, direct.items)


def test_a_pool_and_a_past() -> None:
    """Action a is the a-th item of the pool; what the user received before stands in the observation."""
    world, old, new = RatedFeedback(data()), torch.arange(10), torch.tensor([15, 12, 18])
    simulator = Simulator(world, horizon=5, items=new, past=Past.from_data(data(), old, longest=3))
    envs = make(simulator, 2, autoreset_mode="SameStep")
    seen, info = envs.reset(seed=0)
    assert envs.single_action_space.n == info["action_mask"].shape[1] == 3
    assert (seen["items"][:, :3] == simulator.past.items[envs.sessions.users].numpy()).all()
    seen, *_, info = envs.step([1, 2])
    assert seen["items"][:, 3].tolist() == [12, 18]
    assert info["action_mask"].tolist() == [[1, 0, 1], [1, 1, 0]]
    envs.step([0, 0])
    _, _, terminated, truncated, info = envs.step([2, 1])
    assert terminated.all()  # all three were shown
    assert not truncated.any()
    assert info["final_obs"][0]["items"][3:].tolist() == [12, 15, 18, -1, -1]


def test_the_seed_decides_users_and_openings() -> None:
    envs = make(Simulator(feedback(), horizon=3, first=torch.arange(30)), 16, autoreset_mode="SameStep")

    def episode(seed: int | None) -> list[list[int]]:
        envs.reset(seed=seed)
        for _ in range(2):
            envs.step(np.full(16, 35) + envs.sessions.length.numpy())
        return [envs.sessions.users.tolist(), envs.sessions.items[:, 0].tolist()]

    first, other, goes_on = episode(5), episode(6), episode(None)
    assert first == episode(5)
    assert other != first
    assert goes_on not in (first, other)
    assert set(first[0]) <= set(range(USERS))
    assert len(set(first[1])) > 4  # openings as in training


def test_given_users_and_those_not_reset() -> None:
    envs = make(Simulator(feedback(), horizon=3), 3)
    envs.reset(options={"users": [4, 4, 2]})
    envs.reset(options={"users": [0, 1, 5], "reset_mask": np.array([False, True, False])})
    assert envs.sessions.users.tolist() == [4, 1, 2]


def test_what_was_handed_out_never_changes() -> None:
    envs = make(Simulator(feedback(), 0.1, horizon=3), observe=lambda sessions: {
        "feedback": sessions.feedback, "last": sessions.rewards[:, 0], "sum": sessions.feedback.sum(1, keepdim=True)})
    kept, copies = [], []
    seen, info = envs.reset(seed=0)
    for step in range(7):
        kept.append((seen, info))
        copies.append(({name: value.copy() for name, value in seen.items()}, info["action_mask"].copy()))
        seen, rewards, *_, info = envs.step(np.arange(4) + 4 * (step % 4))
        rewards[:] = -9
        info["action_mask"][:, 30:] = 0  # nor does what is done to it change the environment
    for (seen, info), (seen_then, mask_then) in zip(kept[:-1], copies[:-1], strict=True):
        same(seen, seen_then)
        assert (info["action_mask"][:, :30] == mask_then[:, :30]).all()
    assert envs.reset()[1]["action_mask"].all()


@pytest.mark.parametrize("mode", MODES)
def test_gymnasiums_checkers(mode: AutoresetMode, recwarn: pytest.WarningsRecorder) -> None:
    simulator = Simulator(feedback(items=1_000), 0.1, horizon=4)
    envs = gymnasium.make_vec(ID, num_envs=3, simulator=simulator, users=torch.arange(USERS), autoreset_mode=mode)
    assert envs.metadata["autoreset_mode"] is envs.unwrapped.autoreset_mode is mode
    assert envs.observation_space == gymnasium.vector.utils.batch_space(envs.single_observation_space, 3)
    env_checker.check_reset_seed_determinism(envs)
    env_checker.check_reset_options(envs)
    env_checker.check_reset_return_type(envs)
    if hasattr(env_checker, "check_returned_data_not_reused"):  # since Gymnasium 1.4, for one sub-environment
        env_checker.check_returned_data_not_reused(make(simulator, 1, autoreset_mode=mode))
    for _ in range(3):
        envs.action_space.seed(0)
        seen, *_ = envs.step(envs.action_space.sample())
        assert seen in envs.observation_space
        envs.reset()
    assert not recwarn.list
    envs.close()
    envs.close()


def test_gymnasiums_own_statistics_of_episodes() -> None:
    simulator = Simulator(feedback(), 0.1, horizon=3)
    envs = gymnasium.wrappers.vector.RecordEpisodeStatistics(make(simulator, 2, autoreset_mode="SameStep"))
    envs.reset(seed=0)
    rewards = [envs.step([step, step + 9])[1] for step in range(2)]
    _, last, *_, info = envs.step([5, 6])
    np.testing.assert_allclose(info["episode"]["r"], sum(rewards) + last, rtol=1e-6)
    assert info["episode"]["l"].tolist() == [3, 3]


def test_masked_action_names_sub_environment_and_item() -> None:
    pool = torch.tensor([9, 8, 7])
    for mask in (True, False):
        envs = make(Simulator(feedback(), horizon=3, items=pool), 2, action_mask=mask)
        assert ("action_mask" in envs.reset(seed=0)[1]) == mask
        envs.step([0, 1])
        with pytest.raises(ValueError, match=r"\['action_mask'\] allows, got 1; sub-environment 1, where item 8 has"):
            envs.step([1, 1])
        envs.step([1, 2])  # the refused step has left no trace
        assert envs.sessions.items.tolist() == [[9, 8, -1], [8, 7, -1]]


def test_an_opening_is_masked() -> None:
    envs = make(Simulator(feedback(), horizon=3, first=torch.tensor([6])), 2)
    seen, info = envs.reset(seed=0)
    assert seen["items"][:, 0].tolist() == [6, 6]
    assert (info["action_mask"].sum(1) == ITEMS - 1).all()
    assert not info["action_mask"][:, 6].any()
    assert info["_opening_reward"].all()
    assert (info["opening_reward"] == seen["feedback"][:, 0]).all()
    with pytest.raises(ValueError, match="item 6 has been shown"):
        envs.step([6, 0])


@pytest.mark.parametrize(("actions", "error", "message"), [
    ([0, ITEMS], ValueError, rf"from 0 to {ITEMS - 1}, got {ITEMS}; sub-environment 1"),
    ([-1, 0], ValueError, "got -1; sub-environment 0"),
    ([0], ValueError, r"\[2\], got 'torch.int64 \[1\]'"),
    ([0.0, 1.0], ValueError, "whole number"),
    (np.array([True, False]), ValueError, "whole number"),
    ("ab", TypeError, "array of whole numbers"),
    (None, TypeError, "array of whole numbers"),
])
def test_wrong_actions(actions: Any, error: type[Exception], message: str) -> None:
    envs = make(Simulator(feedback(), horizon=3), 2)
    envs.reset()
    with pytest.raises(error, match=message):
        envs.step(actions)


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"reset_masks": 0}, ValueError, "did you mean 'reset_mask'"),
    ({"reset_mask": [True, False]}, TypeError, "NumPy array of bools"),
    ({"reset_mask": np.array([1, 0])}, TypeError, "NumPy array of bools"),
    ({"reset_mask": np.array([True])}, ValueError, r"shape \[2\]"),
    ({"reset_mask": np.array([False, False])}, ValueError, "at least one True, got '0 True"),
    ({"users": [0]}, ValueError, "one per sub-environment, 2"),
    ({"users": [0, USERS]}, ValueError, f"ids from 0 to {USERS - 1}"),
    ("mask", TypeError, "Mapping"),
])
def test_wrong_options_of_a_reset(options: Any, error: type[Exception], message: str) -> None:
    envs = make(Simulator(feedback(), horizon=3), 2)
    envs.reset(seed=0)
    before = envs.sessions.users.tolist()
    with pytest.raises(error, match=message):
        envs.reset(options=options)
    assert envs.sessions.users.tolist() == before


def test_nothing_before_the_first_reset() -> None:
    envs = make(Simulator(feedback(), horizon=3), 2)
    with pytest.raises(ResetNeeded, match="reset"):
        envs.step([0, 1])
    with pytest.raises(ValueError, match="absent from the first reset"):
        envs.reset(options={"reset_mask": np.array([True, False])})


def test_what_is_seen_must_keep_its_shape() -> None:
    envs = make(Simulator(feedback(), horizon=3), 2, observe=lambda sessions: {"grows": sessions.shown})
    envs.reset()
    with pytest.raises(ValueError, match=r"of shape \(2, 0\) by the observation space, got \[2, 1\]"):
        envs.step([0, 1])


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"num_envs": 0}, ValueError, "`num_envs`"),
    ({"simulator": None}, TypeError, "`simulator` must be a Simulator"),
    ({"users": [USERS]}, ValueError, "`users`"),
    ({"users": []}, ValueError, "`users`"),
    ({"observe": 3}, TypeError, "a function of Sessions"),
    ({"observe": lambda sessions: 3}, TypeError, "a Tensor"),
    ({"observe": lambda sessions: torch.zeros(7)}, ValueError, "one row per session"),
    ({"observe": SessionSummary(torch.ones(3, 2))}, ValueError, "`vectors`"),
    ({"observation_space": 3}, TypeError, "`observation_space`"),
    ({"autoreset_mode": "samestep"}, ValueError, "did you mean 'SameStep'"),
    ({"explore": 1}, TypeError, "`explore`"),
    ({"action_mask": None}, TypeError, "`action_mask`"),
    ({"simulator": Simulator(feedback(), horizon=1, first=torch.tensor([0]))}, ValueError, "at least 2"),
])
def test_wrong_options(options: dict[str, Any], error: type[Exception], message: str) -> None:
    given = {"simulator": Simulator(feedback()), "users": torch.arange(USERS)} | options
    with pytest.raises(error, match=message):
        RecommendationVectorEnv(**given)
