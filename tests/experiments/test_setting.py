import pytest
import torch

from kgrl.datasets import from_frames
from kgrl.datasets.splits import split_users
from kgrl.experiments.data_sets import DATASETS, Unserved
from kgrl.experiments.setting import Setting
from kgrl.pretrain import factor_tastes, item_tastes
from kgrl.simulator import PlantedFeedback, PredictedFeedback, RatedFeedback


def test_name_and_world(synthetic):
    assert Setting(synthetic, "taste", 0.25, dataset="mine").name == "mine/taste/eta-0.25"
    assert Setting(synthetic, "taste", 0.0, dataset="mine").name == "mine/taste/eta-0"
    with pytest.raises(ValueError, match="did you mean 'logged'"):
        Setting(synthetic, "loged", dataset="mine")
    with pytest.raises(ValueError, match="`dataset` must be a known name, got 'ml-100'.*did you mean 'ml-100k'"):
        Setting.load("ml-100", "kgqr")


def test_users_are_split_seven_to_one_to_two(synthetic, setting):
    parts = setting.train, setting.valid, setting.test
    assert [len(part) for part in parts] == [42, 6, 12]
    assert all(map(torch.equal, parts, split_users(synthetic, train=0.7, valid=0.1, seed=0)))


def test_popular_is_what_training_users_liked(synthetic, setting):
    rates, liked, training = synthetic["user", "rates", "item"], [0] * 40, set(setting.train.tolist())
    for user, item, rating in zip(*rates.edge_index.tolist(), rates.rating.tolist(), strict=True):
        liked[item] += user in training and rating > 0.5
    assert setting.popular.tolist() == sorted(range(40), key=lambda item: (-liked[item], item))


def test_item_vectors_are_of_training_users(synthetic, setting):
    other = synthetic.clone()
    rates = other["user", "rates", "item"]
    tested = torch.isin(rates.edge_index[0], setting.test)
    rates.rating[tested] = 1 - rates.rating[tested]
    assert setting.vectors.shape == (40, 50)
    assert torch.equal(Setting(other, "kgqr", dataset="synthetic").vectors, setting.vectors)


def test_entities_are_kept_in_the_cache(synthetic, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("kgrl.experiments.setting.pretrain_entities", lambda kg, **given: asked.append((kg, given)))
    made = Setting(synthetic, "kgqr", dataset="synthetic", cache=tmp_path)
    assert made.entities is made.entities
    (kg, given), = asked
    assert kg is made.kg
    assert given == {"model": "TransE", "dim": 50, "seed": 0, "cache": tmp_path, "progress": False}


def test_predicted_worlds_are_fitted_as_they_are_called(synthetic, setting):
    again = PredictedFeedback.fit(synthetic, dim=20, seed=0, preset="kgqr")
    users = torch.arange(60)
    assert torch.equal(setting.feedback.rows(users), again.rows(users))
    chosen = Setting(synthetic, "heldout", dataset="synthetic").feedback.fitting
    assert chosen == PredictedFeedback.fit(synthetic, dim=20, seed=0, preset=None).fitting
    assert chosen != setting.feedback.fitting


@pytest.mark.parametrize(("scale", "above"), [((1, 5, 4), 3), ((0.5, 5, 4), 3), ((1, 3, 1.5), 1.5), ((3, 9, 7), 3),
                                              ((4, 9, 7), 7)])
def test_logged_ratings_are_relevant_above_3_where_the_scale_has_it(scale, above):
    import pandas as pd

    low, high, _ = scale
    ratings = pd.DataFrame({"user": list("aabbccddeeffgghhiijj"), "item": list("xyxyxyxyxz") * 2,
                            "rating": [low, high] * 10})
    logged = Setting(from_frames(ratings, rating_scale=scale), "logged", dataset="mine")
    assert logged.feedback.threshold == pytest.approx(2 * (above - low) / (high - low) - 1)


def test_the_world_is_where_it_is_asked_for(synthetic):
    there = Setting(synthetic, "logged", dataset="synthetic", horizon=7, device="meta")
    assert there.simulator.device.type == "meta"
    assert there.simulator.horizon == 7


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
    planted = Setting(synthetic, "planted", dataset="synthetic", horizon=8)
    assert isinstance(planted.feedback, PlantedFeedback)
    assert torch.equal(planted.simulator.first, planted.popular)
    assert logged.feedback.threshold == 0.0  # ratings of 0 and 1: relevant above 1/2, as 3 is not on the scale


@pytest.mark.parametrize(("world", "make"), [("logged", item_tastes), ("kgqr", factor_tastes),
                                             ("taste", factor_tastes), ("heldout", factor_tastes),
                                             ("planted", factor_tastes)])
def test_tastes_are_of_what_a_missing_rating_means_to_the_world(synthetic, world, make):
    made = Setting(synthetic, world, dataset="synthetic")
    for found, ours in zip(made.tastes, make(synthetic, made.train, 8), strict=True):
        assert torch.equal(found, ours)


def test_settings_of_another_eta_share_the_rest(setting):
    other = setting.with_eta(0.3)
    assert (other.eta, other.simulator.eta, other.name) == (0.3, 0.3, "synthetic/kgqr/eta-0.3")
    assert (setting.eta, setting.simulator.eta) == (0.1, 0.1)
    assert other.feedback is setting.feedback
    assert torch.equal(other.test, setting.test)
    assert other.digest == setting.digest


def test_an_eta_is_told_from_every_other(setting):
    names = [setting.with_eta(eta).name for eta in (0.1, 0.1000001, 1 / 3, 1e-7, 2, 2.0)]
    assert names == [f"synthetic/kgqr/eta-{text}" for text in (
        "0.1", "0.1000001", "0.3333333333333333", "1e-07", "2", "2")]


def test_what_another_eta_asks_for_first_is_shared_too(synthetic):
    one = Setting(synthetic, "kgqr", dataset="synthetic")
    other = one.with_eta(0.3)
    for name in ("feedback", "popular", "vectors", "tastes", "kg", "curve_users"):
        assert getattr(other, name) is getattr(one, name)
    assert other.simulator is not one.simulator


def test_the_digest_tells_data_apart(synthetic, setting):
    other = synthetic.clone()
    other["user", "rates", "item"].rating[3] = 1 - other["user", "rates", "item"].rating[3]
    changed = [Setting(other, "kgqr", dataset="synthetic", horizon=8),
               Setting(synthetic, "kgqr", dataset="synthetic", horizon=9)]
    without = synthetic.clone()
    kind = next(kind for kind in without.edge_types if "user" not in kind)
    without[kind].edge_index = without[kind].edge_index[:, :-1]
    changed.append(Setting(without, "kgqr", dataset="synthetic", horizon=8))
    renamed = synthetic.clone()
    renamed[kind[0], "renamed", kind[2]].edge_index = renamed[kind].edge_index
    del renamed[kind]
    scaled, newcomer, new_item = (synthetic.clone() for _ in range(3))
    scaled.rating_scale = (0, 1, 0.75)
    newcomer["user"].num_nodes += 1
    new_item["item"].num_nodes += 1
    changed += [Setting(data, "kgqr", dataset="synthetic", horizon=8) for data in (renamed, scaled, newcomer, new_item)]
    tastes, attributes = synthetic.clone(), synthetic.clone()
    tastes["user"].taste = (tastes["user"].taste + 1) % 10
    attributes["item"].attribute = attributes["item"].attribute.flip(0)
    changed += [Setting(data, "planted", dataset="synthetic", horizon=8) for data in (tastes, attributes)]
    assert len({setting.digest, *(each.digest for each in changed)}) == 10
    timed = [synthetic.clone(), synthetic.clone()]
    for order, data in enumerate(timed):
        time = torch.arange(len(data["user", "rates", "item"].rating))
        data["user", "rates", "item"].time = time.flip(0) if order else time
    assert len({setting.digest, *(Setting(data, "kgqr", dataset="synthetic", horizon=8).digest for data in timed)}) == 3
    resplit = Setting(synthetic, "kgqr", dataset="synthetic", horizon=8)
    resplit.test = resplit.test.flip(0)
    assert resplit.digest != setting.digest
    reordered = synthetic.clone()
    edges = reordered[synthetic.edge_types[0]]
    del reordered[synthetic.edge_types[0]]
    reordered[synthetic.edge_types[0]].update(edges)
    assert reordered.edge_types != synthetic.edge_types
    assert Setting(reordered, "kgqr", dataset="synthetic", horizon=8).digest == setting.digest
    assert Setting(synthetic.clone(), "taste", 0.0, dataset="other", horizon=8).digest == setting.digest


def test_curves_are_of_validation_users_from_all_over(setting, monkeypatch):
    assert torch.equal(setting.curve_users, setting.valid)
    monkeypatch.setattr("kgrl.experiments.setting.CURVE_USERS", 4)
    few = Setting(setting.data, "kgqr", dataset="synthetic", horizon=8)
    assert few.curve_users.tolist() == setting.valid[[0, 2, 3, 5]].tolist()  # of six


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
    with pytest.raises(Unserved, match="the planted world needs planted tastes, and mine has none"):
        Setting(bare.data, "planted", dataset="mine")


def test_a_known_data_set_is_loaded(tmp_path):
    assert "netflix" in DATASETS
    loaded = Setting.load("synthetic", "logged", 0.2, root=tmp_path)
    assert loaded.name == "synthetic/logged/eta-0.2"
    assert loaded.cache == tmp_path / "synthetic" / "embeddings"
    assert loaded.data["user"].num_nodes == 1_000


def test_made_data_have_no_source(tmp_path):
    with pytest.raises(ValueError, match="`source` must be None for synthetic data, which are made"):
        Setting.load("synthetic", "logged", root=tmp_path, source="raw")
    assert list(tmp_path.iterdir()) == []


def test_raw_files_that_are_there_are_used(synthetic, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setitem(DATASETS, "ml-1m", lambda *given, **options: asked.append((given, options)) or [synthetic])
    loaded = Setting.load("ml-1m", "taste", root=tmp_path, source="raw", device="meta")
    assert asked == [((tmp_path / "ml-1m",), {"source": "raw"})]
    assert (loaded.dataset, loaded.eta, loaded.device.type) == ("ml-1m", 0.1, "meta")


@pytest.fixture(scope="module")
def released(synthetic):
    return Setting(synthetic, "taste-new-1-past-3", dataset="synthetic", horizon=4)


def test_agents_are_made_from_what_was_before_the_new_items(synthetic, released):
    rated = released.data["user", "rates", "item"].edge_index[1]
    assert not torch.isin(rated, released.new).any()
    assert torch.equal(torch.cat([released.old, released.new]).sort().values, torch.arange(40))
    assert len(released.new) == 8
    assert torch.equal(released.data["item"].new.nonzero().view(-1), released.new)
    # whoever is liked by nobody comes last, in an order that says nothing: items are numbered at random
    assert set(released.popular[-8:].tolist()) >= set(released.new.tolist()) - set(rated.tolist())
    raw = released.everything["item"].raw_id
    assert not torch.equal(raw, synthetic["item"].raw_id)
    assert torch.equal(raw.sort().values, synthetic["item"].raw_id)
    # the world is the same, whatever was released: fitted to all ratings
    world = Setting(synthetic, "taste", dataset="synthetic", horizon=4).feedback
    assert released.feedback.num_items == world.num_items
    assert released.everything["user", "rates", "item"].num_edges == synthetic["user", "rates", "item"].num_edges


def test_training_shows_old_items_and_the_test_new_ones_after_a_past(released):
    played = released.simulator.play_random(released.test, torch.Generator().manual_seed(0))
    assert torch.isin(played.items, released.old).all()
    tested = released.test_simulator.play_random(released.test, torch.Generator().manual_seed(0))
    assert tested.begin == 3
    assert torch.isin(tested.items[:, 3:], released.new).all()
    past = tested.items[:, :3]
    assert torch.isin(past[past >= 0], released.old).all()


def test_without_new_items_both_worlds_are_one(synthetic):
    plain = Setting(synthetic, "taste", dataset="synthetic")
    assert plain.test_simulator is plain.simulator
    assert plain.data is plain.everything is synthetic
    other = Setting(synthetic, "taste-users-1", dataset="synthetic")
    assert other.name == "synthetic/taste-users-1/eta-0.1"
    assert not torch.equal(other.test, plain.test)
    assert len({plain.digest, other.digest, Setting(synthetic, "taste-new-0", dataset="synthetic").digest,
                Setting(synthetic, "taste-new-1", dataset="synthetic").digest}) == 4


def test_controls_keep_the_items_and_lose_the_links(released):
    assert released.kg_of("none").edge_index.size(1) == 0
    assert released.kg_of("shuffled").num_items == released.kg.num_items
    assert not torch.equal(released.kg_of("shuffled").edge_index, released.kg.edge_index)
    assert released.kg_of("real") is released.kg
    with pytest.raises(ValueError, match="did you mean 'shuffled'"):
        released.kg_of("shufled")


def test_the_prior_tells_new_items_apart_where_the_kg_explains_tastes(synthetic):
    planted = Setting(synthetic, "planted-new-0", dataset="synthetic", horizon=4)
    means = planted.feedback.mean_feedback(planted.train)[planted.new]
    told = planted.prior("real").expected[planted.new]
    assert told.std() > 0
    assert float(torch.corrcoef(torch.stack([means, told]))[0, 1]) > 0.3
    assert float(planted.prior("none").expected[planted.new].std()) < 1e-6
