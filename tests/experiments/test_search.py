import json

import pytest
import torch

from kgrl.agents import FixedList
from kgrl.evaluate import evaluate
from kgrl.experiments.method import Method
from kgrl.experiments.search import Tuned, search, world_of

LISTS = Method("Lists", lambda setting, seed, order, **_: FixedList(setting.popular if order == "popular"
                                                                    else setting.popular.flip(0)),
               grid=({"order": "unpopular"}, {"order": "popular"}))


def test_the_best_on_validation_users_is_chosen(setting):
    seen = []
    result = search(setting, LISTS, watch=seen.append)
    rewards = [evaluate(FixedList(order), setting.simulator, setting.curve_users).reward
               for order in (setting.popular.flip(0), setting.popular)]
    assert [row["reward"] for row in result["tried"]] == pytest.approx(rewards, abs=1e-6)
    assert result["options"] == {"order": "popular"}
    assert seen == result["tried"]
    assert (result["eta"], result["users"], result["training"]) == (0.1, len(setting.curve_users), {})


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
    other.add("a/b", Method("Other", LISTS.build), {"options": {}})
    mine.add("a/b", LISTS, {"options": {"order": "popular"}})
    assert set(json.loads(path.read_text())["a/b"]) == {"Lists", "Other"}
    again = Tuned(path)
    assert again.options("a/b", LISTS) == {"order": "popular"}
    assert again.options("a/b", Method("Variant", LISTS.build, LISTS.grid, tuned_as="Lists")) == {"order": "popular"}
    assert again.options("a/c", LISTS) == {"order": "unpopular"}
    assert again.searched("a/b", LISTS)


def test_a_choice_that_is_no_longer_in_the_grid_is_refused(tmp_path):
    path = tmp_path / "tuned.json"
    Tuned(path).add("a/b", LISTS, {"options": {"order": "random"}})
    with pytest.raises(ValueError, match=r"tuned\.json: a/b: Lists` must be a setting of the method's grid.*again"):
        Tuned(path).options("a/b", LISTS)
    path.write_text("{")
    with pytest.raises(ValueError, match=r"tuned\.json is no file of search results"):
        Tuned(path)


def test_world_of():
    assert world_of("ml-100k/heldout/eta-0.1") == "ml-100k/heldout"
