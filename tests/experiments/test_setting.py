import pytest
import torch

from kgrl.datasets import from_frames
from kgrl.experiments.setting import DATASETS, Setting
from kgrl.simulator import PredictedFeedback, RatedFeedback


def test_name_and_world(synthetic):
    assert Setting(synthetic, "taste", 0.25, dataset="mine").name == "mine/taste/eta-0.25"
    assert Setting(synthetic, "taste", 0.0, dataset="mine").name == "mine/taste/eta-0"
    with pytest.raises(ValueError, match="did you mean 'logged'"):
        Setting(synthetic, "loged", dataset="mine")
    with pytest.raises(ValueError, match="`dataset` must be a known name, got 'ml-100'.*did you mean 'ml-100k'"):
        Setting.load("ml-100", "kgqr")


def test_each_world_is_its_own(synthetic, setting):
    assert isinstance(setting.feedback, PredictedFeedback)
    assert setting.feedback.fitting.biases
    assert torch.equal(setting.simulator.first, setting.popular)
    assert setting.simulator.eta == 0.1
    taste = Setting(synthetic, "taste", dataset="synthetic", horizon=8)
    assert not taste.feedback.fitting.biases
    logged = Setting(synthetic, "logged", dataset="synthetic", horizon=8)
    assert isinstance(logged.feedback, RatedFeedback)
    assert not len(logged.simulator.first)  # the agent opens
    assert logged.feedback.threshold == 0.0  # ratings of 0 and 1: relevant above 1/2, as 3 is not on the scale


def test_settings_of_another_eta_share_the_rest(setting):
    other = setting.with_eta(0.3)
    assert (other.eta, other.simulator.eta, other.name) == (0.3, 0.3, "synthetic/kgqr/eta-0.3")
    assert (setting.eta, setting.simulator.eta) == (0.1, 0.1)
    assert other.feedback is setting.feedback
    assert torch.equal(other.test, setting.test)
    assert other.digest == setting.digest


def test_the_digest_tells_data_apart(synthetic, setting):
    other = synthetic.clone()
    other["user", "rates", "item"].rating[3] = 1 - other["user", "rates", "item"].rating[3]
    changed = [Setting(other, "kgqr", dataset="synthetic", horizon=8),
               Setting(synthetic, "kgqr", dataset="synthetic", horizon=9)]
    without = synthetic.clone()
    kind = next(kind for kind in without.edge_types if "user" not in kind)
    without[kind].edge_index = without[kind].edge_index[:, :-1]
    changed.append(Setting(without, "kgqr", dataset="synthetic", horizon=8))
    assert len({setting.digest, *(each.digest for each in changed)}) == 4
    assert Setting(synthetic.clone(), "taste", 0.0, dataset="other", horizon=8).digest == setting.digest


def test_curves_are_of_validation_users_from_all_over(setting, monkeypatch):
    assert torch.equal(setting.curve_users, setting.valid)
    monkeypatch.setattr("kgrl.experiments.setting.CURVE_USERS", 3)
    few = setting.with_eta(0.1)
    few.__dict__.pop("curve_users", None)
    assert few.curve_users.tolist() == setting.valid[[0, 2, 5]].tolist()  # of six


def test_what_a_data_set_lacks_is_said(synthetic):
    import pandas as pd

    ratings = pd.DataFrame({"user": list("aabbccddeeffgghhiijj"), "item": list("xyxyxyxyxz") * 2,
                            "rating": [1, 2] * 10, "time": range(20)})
    bare = Setting(from_frames(ratings, rating_scale=(1, 2, 1)), "logged", dataset="mine")
    assert bare.has_time
    assert not bare.has_kg
    with pytest.raises(ValueError, match="KGQR needs a knowledge graph, and mine has none; choose another data set"):
        bare.require("kg", "KGQR")
    with pytest.raises(ValueError, match="the knowledge graph needs a knowledge graph, and mine has none"):
        _ = bare.kg
    made = Setting(synthetic, "logged", dataset="synthetic")
    assert made.has_kg
    with pytest.raises(ValueError, match="Figure 3 needs time stamps, and synthetic has none"):
        made.require("time", "Figure 3")
    bare.require("time", "Figure 3")


def test_a_known_data_set_is_loaded(tmp_path):
    assert "netflix" in DATASETS
    loaded = Setting.load("synthetic", "logged", 0.2, root=tmp_path)
    assert loaded.name == "synthetic/logged/eta-0.2"
    assert loaded.cache == tmp_path / "synthetic" / "embeddings"
    assert loaded.data["user"].num_nodes == 200
