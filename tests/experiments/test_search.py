import itertools
import json

import pytest
import torch

from kgrl.agents import FixedList, Random
from kgrl.evaluate import evaluate
from kgrl.experiments.method import Method
from kgrl.experiments.search import Tuned, search, world_of
from kgrl.experiments.setting import Setting
from kgrl.train.rounds import EVALUATION_SEED

LISTS = Method("Lists", lambda setting, seed, order, **_: FixedList(setting.popular if order == "popular"
                                                                    else setting.popular.flip(0)),
               grid=({"order": "unpopular"}, {"order": "popular"}))


class Blind(Random):
    """Learns nothing, and notes whom it was to learn from."""

    def __init__(self, users):
        super().__init__(num_items=40)
        self.users = users

    def learn(self, sessions, generator=None):
        self.users.append(sessions.users)
        return {"gradient_steps": 0}


def test_the_best_on_validation_users_is_chosen(setting, monkeypatch):
    seen = []
    monkeypatch.setattr("time.perf_counter", itertools.count(0, 2.5).__next__)  # it is asked before and after a try
    result = search(setting, LISTS, watch=seen.append)
    rewards = [evaluate(FixedList(order), setting.simulator, setting.curve_users).reward
               for order in (setting.popular.flip(0), setting.popular)]
    assert [row["reward"] for row in result["tried"]] == pytest.approx(rewards, abs=1e-6)
    assert result["options"] == {"order": "popular"}
    assert [row["seconds"] for row in result["tried"]] == [2.5, 2.5]
    assert seen == result["tried"]
    assert (result["eta"], result["users"], result["training"]) == (0.1, len(setting.curve_users), {})


def test_of_equal_settings_the_first_is_chosen(setting):
    grid = [{"order": order, "lr": lr} for order, lr in (("unpopular", 0), ("popular", 1), ("popular", 2))]
    assert search(setting, Method("Lists", LISTS.build, grid))["options"] == {"order": "popular", "lr": 1}


def test_a_try_has_the_seed_and_half_of_the_training(setting):
    seeds, users = [], []

    def build(setting, seed):
        seeds.append(seed)
        return Blind(users)

    training = {"interactions": 192, "sessions": 4}
    trained = search(setting, Method("Blind", build, training=training), seed=3)
    untrained = search(setting, Method("Blind", build), seed=4)
    assert (seeds, trained["seed"], untrained["seed"]) == ([3, 4], 3, 4)
    rewards = [evaluate(Random(num_items=40), setting.simulator, setting.curve_users, seed=seed).reward
               for seed in (3 + EVALUATION_SEED, 4)]
    assert [each["tried"][0]["reward"] for each in (trained, untrained)] == pytest.approx(rewards, abs=1e-6)
    assert trained["training"] == {"interactions": 96, "sessions": 4, "evaluate_every": 16}
    assert training == {"interactions": 192, "sessions": 4}
    assert len(users) == 3
    assert torch.isin(torch.cat(users), setting.train).all()


def test_the_shortest_try_has_one_evaluation(synthetic):
    world = Setting(synthetic, "kgqr", dataset="synthetic", horizon=2)
    method = Method("Blind", lambda setting, seed: Blind([]), training={"interactions": 99, "sessions": 2})
    result = search(world, method, interactions=4)
    assert result["training"]["evaluate_every"] == 1
    reward = evaluate(Random(num_items=40), world.simulator, world.curve_users, seed=EVALUATION_SEED).reward
    assert result["tried"][0]["reward"] == pytest.approx(reward, abs=1e-6)


def test_no_test_user_is_looked_at(setting, monkeypatch):
    reset, users = type(setting.simulator).reset, []

    def watched(self, ids):
        users.append(ids)
        return reset(self, ids)

    monkeypatch.setattr(type(setting.simulator), "reset", watched)
    search(setting, LISTS)
    assert not torch.isin(torch.cat(users), setting.test).any()


def test_a_run_is_judged_by_its_last_three_evaluations(setting):
    class Worse(FixedList):
        """Better with every rollout, and worst of all at the end."""

        lists = ((0,) * 3, (0,) * 3)

        def __init__(self, ranking, drop):
            super().__init__(ranking)
            self.rollouts, self.drop = 0, drop

        def learn(self, sessions, generator=None):
            self.rollouts += 1
            if self.rollouts == self.drop:
                self.ranking, self.position = FixedList(self.ranking.flip(0)).buffers()
            return {"gradient_steps": 0}

    method = Method("Worse", lambda setting, seed, drop: Worse(setting.popular, drop),
                    grid=({"drop": 12}, {"drop": 99}, {"drop": 8}),
                    training={"interactions": 1_000, "sessions": 4, "evaluate_every": 7})
    result = search(setting, method, interactions=12 * 4 * 8)
    good, bad = (evaluate(FixedList(order), setting.simulator, setting.curve_users).reward
                 for order in (setting.popular, setting.popular.flip(0)))
    assert result["training"] == {"interactions": 384, "sessions": 4, "evaluate_every": 64}
    assert [row["reward"] for row in result["tried"]] == pytest.approx([(2 * good + bad) / 3, good, bad], abs=1e-5)
    assert result["options"] == {"drop": 99}


def test_results_are_kept_beside_those_of_others(tmp_path):
    path = tmp_path / "tuned.json"
    mine, other = Tuned(path), Tuned(path)
    assert mine.options("a/b", LISTS) == {"order": "unpopular"}  # the default
    assert not mine.searched("a/b", LISTS)
    variant = Method("Variant", LISTS.build, LISTS.grid, tuned_as="Lists")
    other.add("a/d", LISTS, {"options": {"order": "popular"}})
    other.add("a/b", Method("Other", LISTS.build), {"options": {}})
    mine.add("a/b", LISTS, {"options": {"order": "popular"}})
    with pytest.raises(ValueError, match="one with a search of its own, got 'Variant'; search for 'Lists'"):
        mine.add("a/c", variant, {"options": {"order": "unpopular"}})
    assert {world: list(found) for world, found in json.loads(path.read_text()).items()} == {
        "a/b": ["Lists", "Other"], "a/d": ["Lists"]}
    assert list(json.loads(path.read_text())) == ["a/b", "a/d"]
    again = Tuned(path)
    for method in (LISTS, variant):
        assert again.options("a/b", method) == {"order": "popular"}
        assert again.searched("a/b", method)
    assert again.options("a/c", LISTS) == {"order": "unpopular"}


def test_a_choice_of_tuples_is_found_in_the_grid(tmp_path):
    grid = ({"backfill": ("popular", 3)}, {"backfill": ("random", 3)})
    method, tuned = Method("Tuples", LISTS.build, grid), Tuned(tmp_path / "tuned.json")
    tuned.add("a/b", method, {"options": grid[1]})
    assert Tuned(tuned.path).options("a/b", method) == {"backfill": ["random", 3]}


def test_a_write_that_is_cut_off_leaves_the_old_results(tmp_path, monkeypatch):
    def cut_off(*_):
        raise OSError("cut off")

    tuned = Tuned(tmp_path / "tuned.json")
    tuned.add("a/b", LISTS, {"options": {"order": "popular"}})
    before = tuned.path.read_bytes()
    monkeypatch.setattr("os.replace", cut_off)
    with pytest.raises(OSError, match="cut off"):
        tuned.add("a/c", LISTS, {"options": {"order": "popular"}})
    assert tuned.path.read_bytes() == before


def test_a_choice_that_is_no_longer_in_the_grid_is_refused(tmp_path):
    path = tmp_path / "tuned.json"
    Tuned(path).add("a/b", LISTS, {"options": {"order": "random"}})
    with pytest.raises(ValueError, match=r"tuned\.json: a/b: Lists` must be a setting of the method's grid.*again"):
        Tuned(path).options("a/b", LISTS)
    for text in ("{", "[]", '{"a/b": []}', '{"a/b": {"Lists": {}}}', '{"a/b": {"Lists": {"options": 1}}}'):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"tuned\.json is no file of search results"):
            Tuned(path)


def test_world_of():
    assert world_of("ml-100k/heldout/eta-0.1") == "ml-100k/heldout"
