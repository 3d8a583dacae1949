"""The cold-start protocol: nothing leaks, and on planted readers the KG finds what nothing else does."""

import copy
from dataclasses import replace

import pandas as pd
import pytest
import torch

from kgrl.agents.fixed_list import FixedList
from kgrl.datasets.frames import from_frames
from kgrl.experiments.cold_results import SHUFFLED, Case, cold_sheet, measured
from kgrl.experiments.cold_rows import ROWS, half_known, plain_graph, plain_row
from kgrl.experiments.cold_start import ColdStart, View
from kgrl.experiments.logs import Logs
from kgrl.objects import RATES
from kgrl.sessions import Sessions
from tests.agents.planted_readers import planted_readers

NEW_ITEMS = View(new=True, past=True)
KNOWING = ("Popularity that knows", "Warm model that knows half")


@pytest.fixture(scope="module")
def readers():
    """Readers of authors, with a KG in the data set, and years and labels of the books."""
    data, kg = planted_readers()
    triples = torch.stack([kg.edge_index[0], kg.edge_type, kg.edge_index[1]])[:, kg.edge_type < kg.num_relations]
    data.relation_names = list(kg.relation_names)
    data["entity"].num_nodes = kg.num_nodes - kg.num_items
    for relation, name in enumerate(kg.relation_names):
        of = triples[1] == relation
        data["item", name, "entity"].edge_index = torch.stack([triples[0, of], triples[2, of] - kg.num_items])
    data["item"].year = 1950 + torch.arange(kg.num_items) % 50
    return data


@pytest.fixture(scope="module")
def split(readers):
    return ColdStart.of(readers, 1, hidden=0.25)


def ratings(data):
    user, item = data[RATES].edge_index.tolist()
    return list(zip(user, item, data[RATES].rating.tolist(), strict=True))


def test_who_sees_what(readers, split):
    new, old = set(split.new.tolist()), set(split.old.tolist())
    assert len(new) == 24
    assert new | old == set(range(120))
    assert not new & {item for _, item, _ in ratings(split.data)}
    assert not set(split.users.tolist()) & set(split.train.tolist())
    liked = {(user, item) for user, item, rating in ratings(split.everything) if rating > 0}
    for user in split.users.tolist():
        assert any((user, item) in liked for item in new)
        assert any((user, item) in liked for item in old)


@pytest.mark.parametrize("number", [None, 40])
def test_no_hidden_rating_reaches_an_agent(readers, number):
    split = ColdStart.of(readers, 0, number=number)
    others = copy.copy(split.everything)  # all that is hidden turned upside down
    hidden = torch.isin(others[RATES].edge_index[1], split.new)
    others[RATES].rating = torch.where(hidden, -others[RATES].rating, others[RATES].rating)
    seen = copy.copy(split.data)
    theirs = torch.isin(seen[RATES].edge_index[0], split.users)
    seen[RATES].rating = torch.where(theirs, -seen[RATES].rating, seen[RATES].rating)
    other = replace(split, everything=others, data=seen)
    for name, row in ROWS.items():
        one, two = (each.recommended(row.agent(each), NEW_ITEMS, 5) for each in (split, other))
        assert torch.equal(one, two) == (name not in KNOWING), name


def test_the_kg_finds_new_books(readers):
    case = Case("Readers", 4, [NEW_ITEMS, View(new=True, past=False)],
                ["KG profile", "Tf-idf profile", "Random", "Popularity that knows"], {"number": 150})
    found = {seed: measured(case, ColdStart.of(readers, seed, **case.options), ROWS, range(2)) for seed in range(2)}
    sheet = cold_sheet(case, "release", found)
    for split in found.values():
        recall = {name: views[str(NEW_ITEMS)]["recall"] for name, views in split["means"].items() if str(NEW_ITEMS)
                  in views}
        assert recall["KG profile"] > 0.6
        assert recall["Tf-idf profile"] > 0.5
        for name in ("Random", "KG profile" + SHUFFLED, "Tf-idf profile" + SHUFFLED):
            assert recall[name] < 2 * 4 / 24
        assert split["p"]["KG profile"][str(NEW_ITEMS)]["recall"] < 1e-6
        assert split["p"]["KG profile"]["new items, without past"]["recall"] > 1e-3
    cells = {row[0]: row for row in sheet.rows}
    assert cells["Tf-idf profile"][3:] == ["–", "–"]  # without a past it has nothing to go by
    means = [split["means"]["Random"][str(NEW_ITEMS)]["recall"] for split in found.values()]
    assert cells["Random"][2].startswith(f"{sum(means) / 2:.3f} ± ")


def test_the_past_is_neither_told_nor_recommended(split):
    """Of all items: the most liked list, without those that a user rated before."""
    agent = FixedList(torch.arange(120).flip(0))
    told, untold = (split.recommended(agent, View(new=False, past=past), 100) for past in (True, False))
    assert torch.equal(told, untold)
    past = split.logs.past
    for row in range(len(split.users)):
        known = set(split.logs.item[past & (split.logs.user == row)].tolist())
        found = untold[row][untold[row] >= 0].tolist()
        assert found == [item for item in range(119, -1, -1) if item not in known][:100]
    assert agent.recommend(Sessions.from_history([[]], [[]]), 1).item() == 119  # lifted again


def test_logs_against_a_slow_version(split):
    logs = Logs.of(split.everything, split.new, hidden=0.5, seed=3).of_users(split.users.flip(0))
    sessions, wanted = logs.sessions(torch.tensor([3, 0])), logs.liked_later()
    every = {(user, item): rating for user, item, rating in ratings(split.everything)}
    held, old = 0, 0
    for place, row in enumerate((3, 0)):
        user = int(split.users.flip(0)[row])
        past = sessions.items[place][sessions.items[place] >= 0].tolist()
        assert sessions.feedback[place].tolist()[-len(past):] == [every[user, item] for item in past]
        assert not set(past) & set(split.new.tolist())
    for row, user in enumerate(split.users.flip(0).tolist()):
        past = logs.item[logs.past & (logs.user == row)].tolist()
        liked = {item for (rater, item), rating in every.items() if rater == user and rating > 0}
        assert set(wanted[row].nonzero().flatten().tolist()) == liked - set(past)
        rated = {item for rater, item in every if rater == user} - set(split.new.tolist())
        held, old = held + len(rated - set(past)), old + len(rated)
    assert held / old == pytest.approx(0.5, abs=0.06)


def test_drawn_zeros_are_in_no_past():
    data = from_frames(pd.DataFrame([(0, 0, 1), (0, 1, 0), (1, 1, 1), (1, 0, 0)], columns=["user", "item", "rating"]),
                       rating_scale=(0.0, 1.0, 0.5))
    logs = Logs.of(data, torch.tensor([1]))
    assert list(zip(logs.user.tolist(), logs.item.tolist(), logs.past.tolist(), strict=True)) == [
        (0, 0, True), (1, 1, False)]


def test_labels_and_decades_as_a_graph(readers):
    data = ColdStart.of(readers, 2).data
    ids = data["item"].raw_id.tolist()
    kg = plain_graph(data, {ids[0]: ["Comedy", "War"], ids[2]: ["War"]})
    forward = kg.edge_type < kg.num_relations
    assert int((kg.edge_type[forward] == 0).sum()) == 3
    pairs = set(zip(*torch.as_tensor(kg.edge_index)[:, kg.edge_type == 0].tolist(), strict=True))
    assert len({tail for _, tail in pairs}) == 2
    assert {head for head, _ in pairs} == {0, 2}
    decades = torch.as_tensor(kg.edge_index)[:, kg.edge_type == 1]
    assert torch.equal(decades[0], torch.arange(120))
    for one, two in ((0, 1), (0, 2), (3, 7)):
        same = bool(data["item"].year[one] // 10 == data["item"].year[two] // 10)
        assert bool(decades[1, one] == decades[1, two]) == same


def test_labels_that_tell_are_heard(readers):
    split = ColdStart.of(readers, 0)
    author = {raw: [f"author {raw % 20}"] for raw in range(120)}
    with_authors = split.scores(plain_row(author).agent(split), NEW_ITEMS, 4)["recall"].mean()
    without = split.scores(plain_row({}).agent(split), NEW_ITEMS, 4)["recall"].mean()
    assert with_authors > 2 * without


def test_half_of_the_new_ratings(split):
    known = set(ratings(half_known(split)))
    every, seen = set(ratings(split.everything)), set(ratings(split.data))
    assert seen <= known <= every
    assert len(known - seen) / len(every - seen) == pytest.approx(0.5, abs=0.1)


def test_bad_input_is_named(readers):
    with pytest.raises(ValueError, match="`hidden` must be"):
        ColdStart.of(readers, hidden=1.0)
    with pytest.raises(ValueError, match="`number` must be at least 1"):
        ColdStart.of(readers, number=0)
    with pytest.raises(ValueError, match="an old one that the KG links, and others to train on, got '0 and 210'"):
        everybody = copy.copy(readers)
        kept = everybody[RATES].rating > 0
        everybody[RATES].edge_index, everybody[RATES].rating = (
            everybody[RATES].edge_index[:, kept], -everybody[RATES].rating[kept])
        ColdStart.of(everybody)
