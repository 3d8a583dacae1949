"""``kg_tastes`` against dense closed forms, where kinds of items are planted, and where the KG says nothing."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from kgrl.agents import DQNR, KGQR, TPGR, LinearGaussian
from kgrl.datasets import SyntheticKGRec, as_released, from_frames
from kgrl.graph import knowledge_graph, shuffled, without_edges
from kgrl.nn import TasteState, TasteTerms
from kgrl.pretrain import factor_tastes, item_features, item_tastes, kg_tastes, relation_regression
from kgrl.pretrain.feature_terms import ItemFeatures
from kgrl.pretrain.kg_tastes import _features, observations, through_kg
from kgrl.rollout import rollout
from kgrl.simulator import RatedFeedback, Simulator
from tests.pretrain.test_feature_terms import random_graph

ITEMS, KINDS, USERS, TRAIN = 60, 6, 150, 100
NOISE = 0.04
"""Variance of a planted rating around what the user's taste makes her expect."""
NEW = torch.arange(0, ITEMS, 5)


class World(NamedTuple):
    """``truth``: the planted terms; ``ratings [U, N]``, all of which ``data`` holds."""

    data: HeteroData
    truth: TasteTerms
    ratings: Tensor


@cache
def world() -> World:
    """Items of six kinds, whose terms are their kind's and a little of their own; everybody rates everything.

    The KG has the kind, and a second relation that says nothing.
    """
    generator = torch.Generator().manual_seed(0)

    def normal(*size: int) -> Tensor:
        return torch.randn(size, generator=generator)

    kind = torch.arange(ITEMS) * 7 % ITEMS % KINDS
    expected = (0.2 * normal(KINDS))[kind] + 0.04 * normal(ITEMS)
    loading = (0.2 * normal(KINDS, 2))[kind] + 0.03 * normal(ITEMS, 2)
    ratings = (expected + normal(USERS, 2) @ loading.T + NOISE**0.5 * normal(USERS, ITEMS)).clamp(-1, 1)
    rows = [(u, i, float(ratings[u, i])) for u in range(USERS) for i in range(ITEMS)]
    colour = torch.randint(5, (ITEMS,), generator=generator).tolist()
    triples = [(f"e{i}", *fact) for i in range(ITEMS)
               for fact in (("kind", f"k{int(kind[i])}"), ("colour", f"c{colour[i]}"))]
    links = [(i, f"e{i}") for i in range(ITEMS)]
    data = from_frames(pd.DataFrame(rows, columns=["user", "item", "rating"]),
                       pd.DataFrame(triples, columns=["head", "relation", "tail"]),
                       pd.DataFrame(links, columns=["item", "entity"]), rating_scale=(-1.0, 1.0, 0.0))
    return World(data, TasteTerms(expected, loading, torch.full((ITEMS,), NOISE)), ratings)


def train() -> Tensor:
    return torch.arange(TRAIN)


def some_terms(items: int = ITEMS, seed: int = 0) -> TasteTerms:
    generator = torch.Generator().manual_seed(seed)
    return TasteTerms(torch.randn(items, generator=generator), torch.randn(items, 3, generator=generator),
                      0.05 + torch.rand(items, generator=generator))


def some_counts(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, 30, (ITEMS,), generator=generator).index_fill(0, NEW, 0)


def commonness(features: ItemFeatures) -> np.ndarray:
    """With loops; a relation whose entities are all as common has no column, an item without entities is average."""
    links = features.matrix.toarray() > 0
    columns = []
    for relation in range(len(features.names)):
        mine = links[:, features.relation == relation]
        mean = np.array([np.mean([np.log(mine[:, e].sum()) for e in np.flatnonzero(row)]) if row.any() else np.nan
                         for row in mine])
        if np.nanstd(mean) > 1e-9:
            apart = np.nan_to_num(mean - np.nanmean(mean))
            columns.append(apart / np.sqrt((apart**2).mean()))
    return np.stack(columns, 1)


# ---------------------------------------------------------------------------------------------------- closed forms


@pytest.mark.parametrize("part", ["expected", "loading"])
def test_equals_the_dense_solution(part: str, monkeypatch) -> None:
    """Everything formed and inverted, at the variances that were found."""
    fits = []
    fit_relations = relation_regression.fit_relations
    monkeypatch.setattr("kgrl.pretrain.feature_terms.fit_relations",
                        lambda *given: fits.append(fit_relations(*given)) or fits[-1])
    kg, base, seen = knowledge_graph(world().data), some_terms(), some_counts()
    base.expected[NEW], base.loading[NEW] = torch.nan, torch.nan  # what is not known does not matter
    made, known = through_kg(kg, base, seen), seen.numpy() > 0
    features = item_features(kg)
    x = np.concatenate([features.matrix.toarray(), commonness(item_features(kg, least=1))], 1)
    relation = np.concatenate([features.relation, [2]])  # kinds are all as common
    fit = fits[part == "loading"]
    values = getattr(base, part).view(ITEMS, -1).double().numpy()
    mean, error = values[known].mean(0), (base.noise.double().numpy() / seen.clamp(min=1).numpy())
    v = np.diag(fit.variance[relation])
    c = x[known] @ v @ x[known].T + np.diag(fit.rest + error[known])
    told = x @ v @ x[known].T @ np.linalg.solve(c, values[known] - mean)
    share = np.where(known, error / (error + fit.rest), 1)[:, None]
    wanted = np.where(known[:, None], values, mean) + share * told
    found = getattr(made, part).view(ITEMS, -1).numpy()
    np.testing.assert_allclose(found, wanted, atol=2e-4)
    assert torch.equal(made.noise[known], base.noise[known])


def test_a_new_items_noise_is_what_is_not_known_of_it(monkeypatch) -> None:
    monkeypatch.setattr(relation_regression, "DRAWS", 20_000)
    fits = []
    fit_relations = relation_regression.fit_relations
    monkeypatch.setattr("kgrl.pretrain.feature_terms.fit_relations",
                        lambda *given: fits.append(fit_relations(*given)) or fits[-1])
    kg, base, seen = knowledge_graph(world().data), some_terms(), some_counts()
    made, known = through_kg(kg, base, seen), seen.numpy() > 0
    features = item_features(kg)
    x = np.concatenate([features.matrix.toarray(), commonness(item_features(kg, least=1))], 1)
    wanted = base.noise[known].double().numpy().mean()
    for fit, count in zip(fits, (1, 3), strict=True):
        v = np.diag(fit.variance[np.concatenate([features.relation, [2]])])
        c = x[known] @ v @ x[known].T + np.diag(fit.covariance.diagonal)
        left = v - v @ x[known].T @ np.linalg.solve(c, x[known] @ v)
        wanted = wanted + count * (np.diag(x @ left @ x.T)[NEW.numpy()] + fit.rest)
    np.testing.assert_allclose(made.noise[NEW].numpy(), wanted, rtol=0.03)


@pytest.mark.parametrize("seed", [0, 1])
def test_blocks_of_their_own_say_how_common_the_entities_are_and_how_many(seed: int) -> None:
    kg = random_graph(seed)
    (matrix, relation, told), features = _features(kg, completeness=False), item_features(kg)
    known, every = features.matrix.shape[1], item_features(kg, least=1)
    np.testing.assert_array_equal(matrix[:, :known].toarray(), features.matrix.toarray())
    common = commonness(every)
    up_to = known + common.shape[1]
    np.testing.assert_allclose(matrix[:, known:up_to].toarray(), common, atol=1e-12)
    number = np.stack([np.asarray((every.matrix[:, every.relation == r] != 0).sum(1)).ravel()
                       for r in range(len(every.names))], 1)
    columns = [column for column in (*np.log1p(number).T, *(number > 0).T.astype(float)) if column.std() > 1e-9]
    wanted = np.stack([(column - column.mean()) / column.std() for column in columns], 1)
    np.testing.assert_allclose(matrix[:, up_to:].toarray(), wanted, atol=1e-12)
    assert told.tolist() == [True] * up_to + [False] * wanted.shape[1]
    assert _features(kg, completeness=True).told.all()
    assert len(set(relation[known:up_to])) == len(set(relation[up_to:])) == 1


def test_how_much_the_kg_has_of_an_item_tells_nothing_unless_asked() -> None:
    """Liked items have more entities, all of which mean nothing: as a KG has more of famous films."""
    rng, items = np.random.default_rng(0), 400
    liking = rng.standard_normal(items)
    number = np.clip(np.round(4 + 2 * liking), 1, 12).astype(int)
    head = np.repeat(np.arange(items), number)
    tail = items + rng.integers(100, size=len(head))
    kg = knowledge_graph(torch.from_numpy(np.stack([head, tail])), num_items=items)
    base = TasteTerms(torch.from_numpy(0.2 * liking).float(), torch.zeros(items, 1), torch.full((items,), 0.1))
    new = torch.arange(300, items)
    seen = torch.full((items,), 50).index_fill(0, new, 0)

    def told(completeness: bool) -> float:
        found = through_kg(kg, base, seen, completeness=completeness).expected[new]
        return float(torch.corrcoef(torch.stack([found, base.expected[new]]))[0, 1])

    assert told(completeness=True) > 0.8
    assert abs(told(completeness=False)) < 0.3


@pytest.mark.parametrize("noise", ["fitted", "held-out"])
def test_equals_the_model_of_the_ratings_where_the_kg_says_nothing(noise: str) -> None:
    data = as_released(world().data, NEW)
    kg = without_edges(knowledge_graph(data))
    found = kg_tastes(kg, data, train(), 2, noise=noise, seed=3)
    wanted = factor_tastes(data, train(), 2, noise=noise, seed=3)
    rated = torch.ones(ITEMS, dtype=torch.bool).index_fill(0, NEW, False)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, wanted, strict=True))
    torch.testing.assert_close(found.expected[NEW], found.expected[rated].mean().expand(len(NEW)))


def test_terms_of_a_closed_form_are_drawn_to_the_mean_item_where_the_kg_says_nothing() -> None:
    data = as_released(world().data, NEW)
    kg = without_edges(knowledge_graph(data))
    found, own = kg_tastes(kg, data, train(), 2, unrated="zero"), item_tastes(data, train(), 2)
    rated = torch.ones(ITEMS, dtype=torch.bool).index_fill(0, NEW, False)
    mean, spread = own.expected[rated].mean(), (found.expected - own.expected[rated].mean()) / (
        own.expected - own.expected[rated].mean())
    assert torch.equal(found.noise[rated], own.noise[rated])
    assert bool(((spread[rated] > 0.9) & (spread[rated] < 1)).all())  # of a hundred ratings each, little is left open
    torch.testing.assert_close(found.expected[NEW], mean.expand(len(NEW)))


def test_where_most_feedback_is_0_a_new_items_noise_follows_its_mean() -> None:
    """Exact where the variance of what was seen is 0.1 and 0.4 times the mean."""
    kg, base, seen = knowledge_graph(world().data), some_terms(), some_counts()
    weight = base.loading / 20
    base = TasteTerms(base.expected, weight, 0.1 + 0.4 * base.expected.clamp(min=0) - weight.square().sum(1))
    plain, found = (through_kg(kg, base, seen, zeros=zeros) for zeros in (False, True))
    unsure = plain.noise[NEW] - base.noise[seen > 0].mean()
    wanted = 0.1 + 0.4 * found.expected[NEW].clamp(min=0) - found.loading[NEW].square().sum(1) + unsure
    torch.testing.assert_close(found.noise[NEW], wanted)
    assert torch.equal(found.noise[seen > 0], base.noise[seen > 0])


def test_where_few_rate_what_is_not_good_few_ratings_tell() -> None:
    """The mean is the logarithm of the number of ratings; of some items one rating of much noise is known."""
    generator = torch.Generator().manual_seed(0)
    seen = torch.randint(1, 200, (ITEMS,), generator=generator)
    truth = 0.3 * seen.add(1).log()
    noise = torch.full((ITEMS,), 1.0)
    base = TasteTerms(truth + torch.randn(ITEMS, generator=generator) * (noise / seen).sqrt(), torch.zeros(ITEMS, 2),
                      noise)
    kg = knowledge_graph(world().data)
    error = [(through_kg(kg, base, seen, zeros=True, popularity=told).expected - truth)[seen < 30].square().mean()
             for told in (False, True)]
    assert error[1] < error[0] / 4
    new = seen.index_fill(0, NEW, 0)
    one, two = (through_kg(kg, base, new, popularity=told) for told in (False, True))
    assert all(torch.equal(a[NEW], b[NEW]) for a, b in zip(one, two, strict=True))  # nobody could rate a new one


@pytest.mark.parametrize("option", [{"popularity": True}, {"noise": "held-out"}])
def test_what_people_rate_next_is_not_for_zeros(option: dict[str, Any]) -> None:
    data = world().data
    with pytest.raises(ValueError, match="`unrated` must be 'unknown' with"):
        kg_tastes(knowledge_graph(data), data, train(), unrated="zero", **option)


def test_how_often_an_item_was_rated_is_its_own() -> None:
    data = world().data
    with pytest.raises(ValueError, match="`popularity` must be False with own=False"):
        kg_tastes(knowledge_graph(data), data, train(), popularity=True, own=False)


def test_a_kg_without_shared_entities_says_no_more_than_none() -> None:
    own = knowledge_graph(torch.stack([torch.arange(ITEMS), ITEMS + torch.arange(ITEMS)]), num_items=ITEMS)
    one, two = (through_kg(kg, some_terms(), some_counts()) for kg in (own, without_edges(own)))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_an_item_with_many_ratings_follows_its_own_and_one_with_few_those_like_it() -> None:
    base = world().truth._replace(expected=world().truth.expected.clone())
    base.expected[7] += 0.5  # not at all like its kind
    apart = {}
    for count in (1, 100, 1_000_000):
        seen = torch.full((ITEMS,), 50).index_fill(0, torch.tensor([7]), count)
        made = through_kg(knowledge_graph(world().data), base, seen)
        apart[count] = float((made.expected - base.expected)[7].abs())
    assert apart[1_000_000] < 1e-4 < apart[100] < apart[1]


@pytest.mark.parametrize("own", [True, False])
def test_items_by_other_numbers_are_expected_alike(own: bool, monkeypatch) -> None:
    """But for the draws, which follow the numbers: so with exact ones, and each item a part of its own."""
    monkeypatch.setattr(relation_regression, "_probes", lambda size, seed: np.sqrt(size) * np.eye(size))
    for name, value in {"LOOSE": 1e-9, "TIGHT": 1e-9, "FOLDS": ITEMS, "DRAWS": 500}.items():
        monkeypatch.setattr(relation_regression, name, value)
    edges = knowledge_graph(world().data, inverse=False)
    order = torch.randperm(ITEMS, generator=torch.Generator().manual_seed(1))
    place = torch.cat([order.argsort(), torch.arange(ITEMS, edges.num_nodes)])
    other = knowledge_graph(place[edges.edge_index], edge_type=edges.edge_type, num_items=ITEMS)
    base, seen = some_terms(), some_counts()
    one = through_kg(edges, base, seen, own=own)
    two = through_kg(other, TasteTerms(*(part[order] for part in base)), seen[order], own=own)
    for name, rtol in (("expected", 1e-4), ("loading", 1e-4), ("noise", 0.1)):
        torch.testing.assert_close(getattr(two, name), getattr(one, name)[order], atol=1e-5, rtol=rtol)


# ------------------------------------------------------------------------------------------------------ planted kinds


@cache
def made(unrated: str = "zero", which: str = "right", own: bool = True) -> TasteTerms:
    data = as_released(world().data, NEW)
    kg = {"right": lambda kg: kg, "shuffled": shuffled}[which](knowledge_graph(data))
    return kg_tastes(kg, data, train(), 2, unrated=unrated, own=own)


def explained(found: Tensor, truth: Tensor) -> float:
    return float(1 - (found - truth).square().mean() / (truth - truth.mean(0)).square().mean())


@pytest.mark.parametrize("unrated", ["unknown", "zero"])
def test_new_items_terms_are_found_through_the_kg(unrated: str) -> None:
    truth, right, wrong = world().truth, made(unrated), made(unrated, "shuffled")
    assert explained(right.expected[NEW], truth.expected[NEW]) > 0.8
    assert explained(wrong.expected[NEW], truth.expected[NEW]) < 0.3

    def together(terms: TasteTerms) -> Tensor:  # loadings up to a rotation
        old = torch.ones(ITEMS, dtype=torch.bool).index_fill(0, NEW, False)
        return terms.loading[NEW] @ terms.loading[old].T

    assert explained(together(right), together(truth)) > 0.7
    assert explained(together(wrong), together(truth)) < 0.3


@pytest.mark.parametrize("which", ["right", "shuffled"])
def test_other_users_ratings_of_new_items_are_as_far_off_as_it_says(which: str) -> None:
    """Whether the KG tells much or nothing, the mean squared error is the variance that was expected."""
    terms = made(which=which)
    variance = terms.noise + terms.loading.square().sum(1)
    ratio = (world().ratings[TRAIN:] - terms.expected).square().mean(0) / variance
    assert 0.75 < float(ratio[NEW].mean()) < 1.3
    assert float(terms.noise[NEW].min()) > 0.9 * NOISE


def test_unseen_old_items_are_as_uncertain_as_new_ones() -> None:
    """``own=False``: told by the others, and the variance is that of being told so."""
    terms = made(own=False)
    old = torch.ones(ITEMS, dtype=torch.bool).index_fill(0, NEW, False)
    variance = terms.noise + terms.loading.square().sum(1)
    ratio = (world().ratings[TRAIN:] - terms.expected).square().mean(0) / variance
    assert 0.75 < float(ratio[old].mean()) < 1.3
    assert float(terms.noise[old].mean()) == pytest.approx(float(terms.noise[NEW].mean()), rel=0.15)
    assert 0.5 < explained(terms.expected[old], world().truth.expected[old]) < 0.999


def test_new_items_are_noisier_the_less_the_kg_tells() -> None:
    old = torch.ones(ITEMS, dtype=torch.bool).index_fill(0, NEW, False)
    right, wrong = made(), made(which="shuffled")
    assert right.noise[old].mean() < right.noise[NEW].mean() < 0.7 * wrong.noise[NEW].mean()


def test_an_attribute_that_alone_decides(tmp_path) -> None:
    data = SyntheticKGRec(tmp_path, 120, 60, 4, num_distractors=6, ratings_per_user=20)[0]
    released = as_released(data, NEW)
    liked = torch.arange(4)[:, None] == data["item"].attribute[NEW]  # by users of each taste
    kind = [torch.arange(120)[(data["user"].taste[:, 0] == taste)] for taste in range(4)]

    def agreement(kg: Data) -> float:
        """How much more a user's expected feedback is of new items that she likes, once she has rated some old ones."""
        terms, apart = kg_tastes(kg, released, torch.arange(100), 3, unrated="zero"), 0.0
        for taste, users in enumerate(kind):
            test = users[users >= 100][:1]
            edges = released["user", "rates", "item"]
            mine = edges.edge_index[0] == test
            past = edges.edge_index[1][mine][None]
            mean = terms.infer(past, 2 * edges.rating[mine][None].float() - 1)
            scores = terms.expected[NEW] + terms.loading[NEW] @ mean[0]
            apart += float(scores[liked[taste]].mean() - scores[~liked[taste]].mean()) / 4
        return apart

    kg = knowledge_graph(released)
    assert agreement(kg) > 0.1 > 0.05 > agreement(shuffled(kg))


# ------------------------------------------------------------------------------------------------------ what it sees


def test_how_often_an_items_feedback_was_seen() -> None:
    rows = [(0, 0, 1.0), (1, 0, -1.0), (1, 1, 0.5), (2, 2, 0.5), (3, 3, 1.0)]
    data = from_frames(pd.DataFrame(rows, columns=["user", "item", "rating"]), rating_scale=(-1.0, 1.0, 0.0))
    users = torch.tensor([2, 1, 0])
    assert observations(data, users, "unknown").tolist() == [2, 1, 1, 0]
    assert observations(data, users, "zero").tolist() == [3, 3, 3, 3]
    new = as_released(data, torch.tensor([1]))
    assert observations(new, users, "zero").tolist() == [3, 0, 3, 3]
    assert observations(new, users, "unknown").tolist() == [2, 0, 1, 0]


def test_to_zero_a_new_item_is_not_one_that_everybody_passed_by() -> None:
    data = as_released(world().data, NEW)
    unmarked = data.clone()
    del unmarked["item"].new
    kg = knowledge_graph(data)
    passed_by = kg_tastes(kg, unmarked, train(), 2, unrated="zero")
    assert passed_by.expected[NEW].abs().max() < 0.03  # they are drawn towards their kind a little
    assert made().expected[NEW].abs().mean() > 0.08


@pytest.mark.parametrize("unrated", ["unknown", "zero"])
def test_test_users_ratings_change_nothing(unrated: str) -> None:
    data = as_released(world().data, NEW)
    other = data.clone()
    edges = other["user", "rates", "item"]
    edges.rating = torch.where(edges.edge_index[0] >= TRAIN, -edges.rating, edges.rating)
    found = kg_tastes(knowledge_graph(data), other, train(), 2, unrated=unrated)
    assert all(torch.equal(a, b) for a, b in zip(found, made(unrated), strict=True))


def test_the_same_twice_and_the_global_states_untouched() -> None:
    state, global_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    kg, terms = knowledge_graph(world().data), (some_terms(), some_counts())
    one, two, other = (through_kg(kg, *terms, own=False, seed=seed) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not torch.equal(one.expected, other.expected)
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(np.random.get_state()[1], global_state)


# ------------------------------------------------------------------------------------------------------ what it starts


def test_every_agent_starts_from_it() -> None:
    data, terms = as_released(world().data, NEW), made()
    kg, simulator = knowledge_graph(data), Simulator(RatedFeedback(world().data, relevant_above=0.0), horizon=4)
    vectors = torch.randn(ITEMS, 4, generator=torch.Generator().manual_seed(0))
    given: dict[str, Any] = {"tastes": terms, "horizon": 4}
    small = {"state_channels": 4, "hidden_channels": 4, "epsilon": 0.0, **given}
    linear = LinearGaussian(terms)
    wanted = rollout(linear, simulator, train()[:20]).items
    agents = [DQNR(vectors, **small), KGQR(kg, dim=4, candidates=None, backfill=("random", ITEMS), **small),
              TPGR.from_data(data, train(), item_channels=4, state_channels=4, **given)]
    for agent in agents[:2]:
        assert torch.equal(rollout(agent, simulator, train()[:20], explore=False).items, wanted), agent
    assert torch.equal(agents[2].state.taste.expected, terms.expected)
    rollout(agents[2], simulator, train()[:20])
    state = TasteState(4, start=terms)
    assert all(torch.equal(part, other) for part, other in zip(state.project(vectors), terms, strict=True))


# ------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(("options", "text"), [
    ({"kg": knowledge_graph(torch.tensor([[0], [1]]), num_items=2)}, f"`kg` must be of the data set's {ITEMS} items"),
    ({"kg": Data()}, "`kg` must be a graph that"), ({"unrated": "never"}, "`unrated` must be"),
    ({"dim": 0}, "`dim` must be at least 1, got 0"), ({"users": torch.tensor([USERS])}, "`users` must be"),
    ({"users": torch.empty(0, dtype=torch.long)}, "`users` must be at least one (user )?id"),
])
@pytest.mark.parametrize("unrated", ["unknown", "zero"])
def test_bad_input_is_named(options: dict[str, Any], text: str, unrated: str) -> None:
    data = world().data
    given = {"kg": knowledge_graph(data), "data": data, "users": train(), "unrated": unrated}
    with pytest.raises(ValueError, match=text):
        kg_tastes(**(given | options))


@pytest.mark.parametrize("unrated", ["unknown", "zero"])
def test_users_without_ratings_are_refused(unrated: str) -> None:
    data = world().data.clone()
    data["user"].num_nodes = USERS + 1
    with pytest.raises(ValueError, match="`users` must be users with at least one rating among them"):
        kg_tastes(knowledge_graph(data), data, torch.tensor([USERS]), unrated=unrated)


def test_items_that_nobody_saw_are_refused() -> None:
    kg = knowledge_graph(world().data)
    with pytest.raises(ValueError, match="`seen` must be above 0 for some item"):
        through_kg(kg, some_terms(), torch.zeros(ITEMS, dtype=torch.long))
    with pytest.raises(ValueError, match=rf"`seen` must be \[{ITEMS}\], a number an item, got \[3\]"):
        through_kg(kg, some_terms(), torch.ones(3, dtype=torch.long))


@pytest.mark.parametrize(("unrated", "model"), [("unknown", factor_tastes), ("zero", item_tastes)])
@pytest.mark.parametrize("own", [True, False])
def test_ratings_that_are_all_the_same(unrated: str, model, own: bool) -> None:
    """Nobody and nothing differs, but for what is left of the factorization's random start."""
    data = as_released(world().data, NEW)
    data["user", "rates", "item"].rating = torch.full_like(data["user", "rates", "item"].rating, 0.5)
    found = kg_tastes(knowledge_graph(data), data, train(), 2, unrated=unrated, own=own).checked("found")
    torch.testing.assert_close(found.expected, torch.full((ITEMS,), 0.5), atol=0.1, rtol=0)
    assert found.noise.max() < 0.02
    model(data, train(), 2).checked("base")
