from dataclasses import replace

import pytest
import torch

from kgrl.experiments.cell import Cell
from kgrl.experiments.method import METHODS, Method
from kgrl.experiments.results import Results, user_means
from kgrl.experiments.search import Tuned
from tests.experiments.made_cells import SETTING, TRAINING, made_cell, write_bounds


def method(name, **options):
    return Method(name, dict, **options)


@pytest.fixture
def tuned(tmp_path):
    return Tuned(tmp_path / "tuned.json")


def test_seeds_are_in_the_order_of_numbers(tmp_path, tuned):
    for seed in (10, 2, 0):
        made_cell("A", seed, [1.0] * 5).write(tmp_path)
    found = Results(tmp_path, SETTING, tuned).of(method("A", training=TRAINING))  # one that is not in the register
    assert [cell.seed for cell in found] == [0, 2, 10]


def test_a_method_is_found_by_name(tmp_path, tuned, monkeypatch):
    monkeypatch.setitem(METHODS, "A", method("A", training=TRAINING))
    made_cell("A", 0, [1.0] * 5).write(tmp_path)
    assert len(Results(tmp_path, SETTING, tuned).of("A")) == 1


def test_cells_are_of_the_options_that_the_search_chose(tmp_path, tuned):
    searched = method("A", training=TRAINING, grid=({"lr": 1}, {"lr": 2}))
    made_cell("A", 0, [1.0] * 5, options={"lr": 2}).write(tmp_path)
    with pytest.raises(ValueError, match=r"options: in the cell {'lr': 2}, now {'lr': 1}"):
        Results(tmp_path, SETTING, tuned).of(searched)
    tuned.add("book-crossing/kgqr", searched, {"options": {"lr": 2}})
    assert len(Results(tmp_path, SETTING, tuned).of(searched)) == 1


def test_another_training_is_of_the_methods_that_train(tmp_path, tuned):
    made_cell("A", 0, [1.0] * 5, training={"interactions": 80, "sessions": 4}).write(tmp_path)
    made_cell("B", 0, [1.0] * 5, training={}).write(tmp_path)
    write_bounds(tmp_path)
    results = Results(tmp_path, SETTING, tuned, training={"interactions": 80})
    trained = method("A", training={**TRAINING, "sessions": 4})  # of which the interactions are other ones
    assert len(results.of(trained)) == len(results.of(method("B"))) == 1
    assert set(results.bounds()) == {"all-knowing", "best fixed list", "upper"}


def test_cells_of_agents_with_other_defaults_are_refused(tmp_path, tuned):
    agents = {0: None, 1: {"lr": 1, "tau": 0.1, "seed": 1}, 2: {"lr": 1, "tau": 0.1, "seed": 2}}
    for seed, agent in agents.items():  # of the first it is not known
        replace(made_cell("A", seed, [1.0] * 5), made={"agent": agent}).write(tmp_path)
    asked = method("A", training=TRAINING)
    assert len(Results(tmp_path, SETTING, tuned).of(asked)) == 3
    changed = {"lr": 1, "tau": 0.2, "more": 1, "seed": 3}
    replace(made_cell("A", 3, [1.0] * 5), made={"agent": changed}).write(tmp_path)
    with pytest.raises(ValueError, match=r"seed-3.json is of another agent than .*seed-1.json; they differ in more, t"):
        Results(tmp_path, SETTING, tuned).of(asked)


def test_cells_of_other_data_than_that_at_hand_are_refused(tmp_path, tuned):
    made_cell("A", 0, [1.0] * 5, data="d").write(tmp_path)
    with pytest.raises(ValueError, match="data: in the cell 'd', now 'e'"):
        Results(tmp_path, SETTING, tuned, data="e").of(method("A", training=TRAINING))


def test_user_means():
    cells = [made_cell("A", seed, rewards) for seed, rewards in enumerate(([1.0, 2.0], [3.0, -2.0], [5.0, 6.0]))]
    assert user_means(cells, "reward").tolist() == [3.0, 2.0]
    assert user_means(cells, "precision").tolist() == [1.5, 1.0]  # half the reward
    assert user_means(cells, "reward").dtype == torch.float64


def test_a_file_that_is_no_cells_is_named(tmp_path, tuned):
    cell = made_cell("A", 0, [1.0] * 5)
    cell.write(tmp_path)
    (path,) = tmp_path.rglob("seed-0.json")
    path.with_name("seed-0 (1).json").write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match=r"seed-0 \(1\).json` must be a cell's file, seed-NUMBER.json"):
        Results(tmp_path, SETTING, tuned).of(method("A", training=TRAINING))


def test_a_file_is_read_again_only_where_it_has_changed(tmp_path, tuned, monkeypatch):
    read = []
    monkeypatch.setattr(Cell, "read", lambda path, own=Cell.read: (read.append(path.name), own(path))[1])
    results, asked = Results(tmp_path, SETTING, tuned), method("A", training=TRAINING)
    made_cell("A", 0, [1.0] * 5).write(tmp_path)
    made_cell("A", 1, [1.0] * 5).write(tmp_path)
    results.of(asked)
    made_cell("A", 1, [2.0] * 6).write(tmp_path)
    assert [cell.scores["reward"] for cell in results.of(asked)] == [1.0, 2.0]
    assert read == ["seed-0.json", "seed-1.json", "seed-1.json"]
