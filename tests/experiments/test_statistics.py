"""The papers' counts of their data, against hand-worked cases, slow loops and the published files."""

from __future__ import annotations

import math
import random
import re
import runpy
import sys
from collections import defaultdict
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch_geometric.data import HeteroData

from kgrl.datasets import BookCrossing, from_frames
from kgrl.experiments.data_sets import DATASETS
from kgrl.experiments.statistics import (
    consecutive_count_averages,
    kgqr_statistics,
    plot_consecutive_counts,
    tpgr_statistics,
)

SCALE = (1.0, 5.0, 3.5)
PNG = b"\x89PNG\r\n\x1a\n"


def rated(rows: list[tuple], scale: tuple[float, float, float] = SCALE) -> HeteroData:
    """Rows of (user, item, rating[, time]), in the order of the file."""
    columns = ["user", "item", "rating", "time"][: len(rows[0])]
    return from_frames(pd.DataFrame(rows, columns=columns), rating_scale=scale)


# user, item, rating, time; positive is above 3
DOZEN = [
    (7, 0, 4, 30), (3, 0, 2, 10), (3, 1, 3, 20), (7, 1, 5, 10), (7, 2, 5, 20), (3, 2, 5, 30),
    (3, 3, 1, 40), (7, 3, 3, 40), (7, 4, 1, 50), (3, 4, 4, 50), (7, 5, 4, 60), (3, 5, 4, 60),
]
# user 3 in time: 2 3 5 1 4 4, user 7: 5 5 4 3 1 4
DOZEN_COUNTS = [(0, 0, 2), (0, 1, 3), (0, 2, 5), (1, 0, 1), (0, 1, 4), (1, 0, 4),
                (0, 0, 5), (1, 0, 5), (2, 0, 4), (3, 0, 3), (0, 1, 1), (0, 2, 4)]


def by_count(counts: list[tuple[int, int, float]], which: int) -> dict[int, list[float]]:
    found = defaultdict(list)
    for row in counts:
        found[row[which]].append(row[2])
    return found


def assert_averages(averages, ratings: dict[int, list[float]]) -> None:
    for count, (average, error, number) in enumerate(zip(*averages, strict=True)):
        given = ratings.get(count, [])
        assert number == len(given)
        if not given:
            assert math.isnan(average)
            continue
        mean = sum(given) / len(given)
        assert average == pytest.approx(mean)
        if len(given) == 1:
            assert math.isnan(error)
        else:
            deviation = (sum((each - mean) ** 2 for each in given) / (len(given) - 1)) ** 0.5
            assert error == pytest.approx(deviation / len(given) ** 0.5)


def test_consecutive_counts_of_a_dozen_ratings_by_hand():
    found = consecutive_count_averages(rated(DOZEN), longest=4)
    assert found["positive"].average[:4].tolist() == [24 / 7, 10 / 3, 4.0, 3.0]  # of 2 3 5 4 5 1 4, 1 4 5, 4, and 3
    assert found["positive"].ratings.tolist() == [7, 3, 1, 1, 0]
    assert found["negative"].ratings.tolist() == [7, 3, 2, 0, 0]
    for which, sign in enumerate(("positive", "negative")):
        assert_averages(found[sign], by_count(DOZEN_COUNTS, which))


def test_ratings_of_one_time_keep_the_order_of_the_file():
    tied = [(0, 0, 5, 1), (0, 1, 4, 1), (0, 2, 2, 1), (0, 3, 5, 0), (0, 4, 1, 1)]  # in time: 5 5 4 2 1
    found = consecutive_count_averages(rated(tied), longest=3)
    assert found["positive"].average.nan_to_num(-1).tolist() == [3.0, 5.0, 4.0, 2.0]
    assert found["negative"].average.nan_to_num(-1).tolist() == [4.0, 1.0, -1.0, -1.0]


def slow_counts(rows: list[tuple], above: float) -> list[tuple[int, int, float]]:
    """(positive count, negative count, rating), one user after the other, one rating after the other."""
    found = []
    for user in {row[0] for row in rows}:
        up = down = 0
        for _, _, rating, _ in sorted((row for row in rows if row[0] == user), key=lambda row: row[3]):
            found.append((up, down, rating))
            up, down = (up + 1, 0) if rating > above else (0, down + 1)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_consecutive_counts_against_a_loop(seed):
    rng = random.Random(seed)
    above, longest = [(3.0, 3), (2.5, 2), (1.0, 12), (4.0, 0)][seed]
    pairs = rng.sample([(user, item) for user in range(9) for item in range(40)], 150)
    rows = [(*pair, rng.choice([1, 2, 3, 3.5, 4, 5]), rng.randrange(12)) for pair in pairs]
    found = consecutive_count_averages(rated(rows), above, longest)
    for which, sign in enumerate(("positive", "negative")):
        assert len(found[sign].average) == longest + 1
        assert_averages(found[sign], by_count(slow_counts(rows, above), which))


def test_a_random_order_is_another_order_of_the_same_ratings():
    rng = random.Random(5)
    rows = [(user, item, rng.choice([1, 5]), item) for user in range(6) for item in range(30)]
    data = rated(rows)
    by_time, mixed, again, other = (consecutive_count_averages(data, longest=200, shuffled=seed)
                                    for seed in (None, 0, 0, 1))
    totals = [(each["positive"].average * each["positive"].ratings).nansum() for each in (by_time, mixed)]
    assert totals[0] == pytest.approx(float(totals[1]))
    assert mixed["positive"].ratings.tolist() == again["positive"].ratings.tolist()
    assert mixed["positive"].ratings.tolist() != other["positive"].ratings.tolist()
    assert mixed["positive"].ratings.tolist() != by_time["positive"].ratings.tolist()
    # the users' levels alone: who rates all alike has the same counts in any order
    alike = rated([(user, item, 5 if user else 1, item) for user in range(3) for item in range(8)])
    by_time, mixed = (consecutive_count_averages(alike, longest=9, shuffled=seed) for seed in (None, 3))
    for sign, found in by_time.items():
        for one, two in zip(found, mixed[sign], strict=True):
            assert torch.equal(one.nan_to_num(-1), two.nan_to_num(-1))


@pytest.mark.parametrize(("data", "options", "complaint"), [
    (lambda: rated([(0, 0, 4), (0, 1, 5)]), {}, "a data set with time stamps.*TPGR's Figure 3"),
    (lambda: rated([(0, 0, 1), (0, 1, 0)], (0.0, 1.0, 0.5)), {}, "a data set with time stamps.*TPGR's Figure 3"),
    (lambda: rated(DOZEN), {"above": 5.0}, "`above` must be a rating in [1.0, 5.0)"),
    (lambda: rated(DOZEN), {"above": 0.5}, "`above` must be a rating in [1.0, 5.0)"),
    (lambda: rated(DOZEN), {"longest": -1}, "`longest` must be at least 0"),
    (lambda: HeteroData(rating_scale=SCALE), {}, "`data` must be a data set with nodes of the type"),
])
def test_what_the_figure_cannot_be_made_of_is_refused(data, options, complaint):
    pattern = complaint if ".*" in complaint else re.escape(complaint)
    with pytest.raises(ValueError, match=pattern):
        consecutive_count_averages(data(), **options)


def with_kg(scale: tuple[float, float, float]) -> HeteroData:
    """Of items 0 to 5, 4 is no entity, 5 is rated by nobody, and 3 is only ever rated 0; three other entities."""
    data = HeteroData(rating_scale=scale)
    data["user"].num_nodes, data["item"].num_nodes, data["entity"].num_nodes = 3, 6, 3
    data["user", "rates", "item"].edge_index = torch.tensor([[0, 0, 0, 1, 1, 2, 2], [0, 1, 4, 1, 3, 2, 3]])
    data["user", "rates", "item"].rating = torch.tensor([1.0, 0, 1, 1, 0, 1, 0])
    for kind, pairs in {("item", "by", "entity"): [(0, 0), (3, 2), (5, 2)], ("entity", "by", "item"): [(1, 1)],
                        ("entity", "from", "entity"): [(0, 1)], ("item", "after", "item"): [(0, 2)]}.items():
        data[kind].edge_index = torch.tensor(pairs).T
    return data


def test_kgqr_statistics_by_hand():
    by_hand = {"users": 3, "items": 6, "linked_items": 3, "interactions": 7, "entities": 8, "relations": 3,
               "triples": 6}
    assert kgqr_statistics(with_kg((0.0, 1.0, 0.5))) == by_hand
    # on another scale a zero is a rating, too
    assert kgqr_statistics(with_kg((0.0, 5.0, 0.5))) == by_hand | {"linked_items": 4}


def test_kgqr_statistics_of_items_that_are_all_the_entities_there_are():
    data = with_kg((0.0, 1.0, 0.5))
    for kind in (("item", "by", "entity"), ("entity", "by", "item"), ("entity", "from", "entity")):
        del data[kind]
    del data["entity"]
    found = kgqr_statistics(data)
    assert (found["entities"], found["relations"], found["triples"], found["linked_items"]) == (2, 1, 1, 2)
    assert data.node_types == ["user", "item"]


def test_kgqr_statistics_of_the_published_files(shared, tmp_path):
    """Table 2, to the number: 14,910 books that anyone rated, of 14,967 linked ones."""
    data = BookCrossing(tmp_path, source=shared / "book-crossing")[0]
    assert kgqr_statistics(data) == {
        "users": 17_860, "items": 14_967, "linked_items": 14_910, "interactions": 139_746, "entities": 77_903,
        "relations": 25, "triples": 151_500}


def test_tpgr_statistics_round_down_and_count_what_was_rated():
    data = rated([(user, item, 4) for user in range(4) for item in range(3)][1:])
    assert tpgr_statistics(data) == {"users": 4, "items": 3, "ratings": 11, "ratings_per_user": 2,
                                     "ratings_per_item": 3}
    data["item"].num_nodes, data["user"].num_nodes = 10, 20  # listed, but never rated; there, but without ratings
    assert tpgr_statistics(data)["items"] == 3
    assert tpgr_statistics(data)["users"] == 4


def test_what_a_table_cannot_be_made_of_is_refused():
    with pytest.raises(ValueError, match="a data set with a KG.*KGQR's Table 2"):
        kgqr_statistics(rated(DOZEN))
    for count in (kgqr_statistics, tpgr_statistics):
        with pytest.raises(ValueError, match="`data` must be a data set with nodes of the type"):
            count(HeteroData(rating_scale=SCALE))


def test_the_figure_is_a_whole_png(tmp_path):
    pytest.importorskip("matplotlib")
    data = rated(DOZEN)
    plot_consecutive_counts(consecutive_count_averages(data), tmp_path / "plain.png")
    plot_consecutive_counts(consecutive_count_averages(data), tmp_path / "both.png",
                            consecutive_count_averages(data, shuffled=0))
    plain, both = ((tmp_path / name).read_bytes() for name in ("plain.png", "both.png"))
    assert plain[:8] == both[:8] == PNG
    assert plain[-8:-4] == both[-8:-4] == b"IEND"
    assert plain != both
    assert {path.name for path in tmp_path.iterdir()} == {"plain.png", "both.png"}


def test_the_script_prints_the_rows_beside_the_papers(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    script = str(Path(__file__).resolve().parents[2] / "examples" / "reproduce" / "data_statistics.py")
    monkeypatch.setattr(sys, "argv", [script, "--dataset", "synthetic", "--data", str(tmp_path / "data"),
                                      "--out", str(tmp_path), "--results", str(tmp_path / "page.md"),
                                      "--tables", str(tmp_path / "tables")])
    (tmp_path / "page.md").write_text("<!-- statistics-synthetic -->\n<!-- end statistics-synthetic -->\n")
    runpy.run_path(script, run_name="__main__")
    said = capsys.readouterr().out
    assert said.strip() in (tmp_path / "page.md").read_text()
    assert sorted(path.name for path in (tmp_path / "tables").glob("*.tex")) == [
        "kgqr-table2-synthetic.tex", "tpgr-table1-synthetic.tex"]  # Figure 3 cannot be made of it
    assert "| synthetic | 1,000 | " in said
    assert "| paper: Book-Crossing | 17,860 | 14,910 | 139,746 | 77,903 | 25 | 151,500 |" in said
    data = DATASETS["synthetic"](tmp_path / "data" / "synthetic")[0]
    items = len(set(data["user", "rates", "item"].edge_index[1].tolist()))
    assert f"| synthetic | 1,000 | {items:,} | 8,000 | 8 | 2 |" in said
    assert "| paper: Netflix | 480,189 | 17,770 | 100,498,277 | 209 | 5,655 |" in said
    assert "a data set with time stamps, got 'SyntheticKGRec'" in said


def test_a_wrong_option_of_the_script_leaves_the_page(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setitem(DATASETS, "timed", lambda root, source: [rated(DOZEN)])
    script = str(Path(__file__).resolve().parents[2] / "examples" / "reproduce" / "data_statistics.py")
    page = tmp_path / "page.md"
    page.write_text(old := "<!-- statistics-timed -->\nold\n<!-- end statistics-timed -->\n")
    given = [script, "--dataset", "timed", "--data", str(tmp_path), "--out", str(tmp_path / "figures"),
             "--results", str(page), "--tables", str(tmp_path / "tables")]
    monkeypatch.setattr(sys, "argv", [*given, "--above", "9"])
    with pytest.raises(SystemExit, match=r"data_statistics\.py: error: `above` must be a rating in \[1\.0, 5\.0\)"):
        runpy.run_path(script, run_name="__main__")
    assert page.read_text() == old
    monkeypatch.setattr(sys, "argv", given)
    runpy.run_path(script, run_name="__main__")
    for text, folder in ((page, tmp_path), (tmp_path / "tables" / "tpgr-figure3-timed.md", tmp_path / "tables")):
        (linked,) = re.findall(r"\]\((.*\.png)\)", text.read_text())
        assert (folder / linked).read_bytes()[:8] == PNG  # it leads from where it stands
