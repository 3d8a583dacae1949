import math

import pytest

from kgrl.experiments.method import METHODS, Method
from kgrl.experiments.pooled import group_of, pooled_sheet
from kgrl.experiments.result_tables import ResultTable
from kgrl.experiments.results import Results
from kgrl.experiments.search import Tuned
from tests.experiments.made_cells import TRAINING, made_cell

TABLE = ResultTable("t", "Table 9", {"A": "A", "A (shuffled KG)": "A (shuffled KG)", "B": "B"}, ("reward",), "A",
                    pooled=True)
SPLITS = [f"mine/taste-new-{split}/eta-0" for split in (0, 1)]


@pytest.mark.parametrize(("setting", "group"), [
    ("mine/taste/eta-0.1", "mine/taste/eta-0.1"),
    ("mine/taste-users-2/eta-0.1", "mine/taste/eta-0.1"),
    ("mine/taste-new-12/eta-0", "mine/taste-new/eta-0"),
    ("mine/taste-new-time-1-ever-past-32/eta-0", "mine/taste-new-time-ever-past-32/eta-0"),
])
def test_settings_that_differ_in_their_splits_alone_are_one_group(setting, group):
    assert group_of(setting) == group


@pytest.fixture
def splits(tmp_path, monkeypatch):
    for name in TABLE.rows:
        monkeypatch.setitem(METHODS, name, Method(name, dict, training=TRAINING))
    for setting, low, high in ((SPLITS[0], 0.0, 1.0), (SPLITS[1], 1.0, 3.0)):
        for line, reward in (("random", low), ("all-knowing", high)):
            made_cell(f"bound: {line}", 0, [reward] * 3, setting=setting, training={}, data=setting).write(tmp_path)
    return [Results(tmp_path, setting, Tuned(tmp_path / "none.json")) for setting in SPLITS]


def written(splits, method, seed, split, reward):
    made_cell(method, seed, [reward] * 3, setting=SPLITS[split], data=SPLITS[split]).write(splits[0].folder)


def test_shares_as_worked_out_by_hand(splits):
    written(splits, "A", 0, 0, 0.5)  # half of the way from 0 to 1
    written(splits, "A", 1, 0, 0.75)
    written(splits, "A", 0, 1, 2.5)  # three quarters of the way from 1 to 3
    written(splits, "A (shuffled KG)", 0, 0, 0.25)
    written(splits, "A (shuffled KG)", 0, 1, 1.5)
    made = pooled_sheet(TABLE, group_of(SPLITS[0]), splits)
    rows = {row[0]: row[1:] for row in made.rows if row}
    deviation = math.sqrt(((0.5 - 2 / 3) ** 2 + 2 * (0.75 - 2 / 3) ** 2) / 2)
    mean = (0.625 + 0.75) / 2  # the splits count alike, whatever their number of seeds
    # both that can be paired, by split and seed, are ahead: the signed-rank test of two has p = 1/2
    assert rows["A"] == ["0.6250", "2.5000", f"{mean:.3f} ± {deviation:.3f}", "3", "+0.375", "0.5"]
    assert rows["A (shuffled KG)"][2:] == ["0.250 ± 0.000", "2", "–", "–"]
    assert rows["B"] == ["missing"] * 4 + ["–", "–"]
    assert rows["all-knowing"] == ["1.0000", "3.0000", "1.000 ± 0.000", "–", "–", "–"]
    assert made.title == "Table 9; mine, taste-new, η = 0"


def test_a_split_without_bounds_is_left_out(splits):
    for path in (splits[0].folder / SPLITS[1]).glob("bound-*/seed-0.json"):
        path.unlink()
    written(splits, "A", 0, 0, 0.5)
    made = pooled_sheet(TABLE, group_of(SPLITS[0]), splits)
    assert next(row for row in made.rows if row[0] == "A")[1:4] == ["0.5000", "0.500", "1"]
