from dataclasses import replace

import pytest
import scipy.stats

from kgrl.experiments.method import METHODS, Method
from kgrl.experiments.render import efficiency_sheet, score_sheet, sheet
from kgrl.experiments.result_tables import ResultTable
from kgrl.experiments.results import Results
from kgrl.experiments.search import Tuned
from kgrl.significance import TESTS
from tests.experiments.made_cells import SETTING, TRAINING, made_cell, write_bounds

TABLE = ResultTable("t", "Table 9", {"ours": "A", "theirs": "B", "not yet": "C"}, ("reward", "precision"), "ours",
              paper={"book-crossing": {0.1: {"A": (2.0, 0.9), "C": (1.25, 0.5)}}}, note="by hand")


@pytest.fixture
def results(tmp_path, monkeypatch):
    for name in "ABC":
        monkeypatch.setitem(METHODS, name, Method(name, dict, training=TRAINING))
    return Results(tmp_path, SETTING, Tuned(tmp_path / "tuned.json"))


def test_scores_as_written_by_hand(results):
    made_cell("A", 0, [2.0, 1.0, 3.0, 2.5, 0.0]).write(results.folder)
    made_cell("A", 1, [2.2, 1.2, 3.2, 2.7, 1.7]).write(results.folder)
    made_cell("A", 2, [2.9, 1.9, 3.9, 3.4, 2.9]).write(results.folder)
    made_cell("B", 0, [1.0, 0.5, 1.5, 1.75, 2.0]).write(results.folder)
    made_cell("B", 1, [1.0, 0.5, 1.5, 1.75, -1.5], note="in random order").write(results.folder)
    write_bounds(results.folder)
    # p: in the mean over seeds, but not with seed 0 of either, all five users are better with A: 1/32 on one side
    assert sheet(TABLE, results).markdown() == """### Table 9; book-crossing, kgqr world, η = 0.1

| method | reward | P@32 | seeds | p (reward) | p (seeds) | paper's reward | paper's P@32 |
|---|---|---|---|---|---|---|---|
| ours* | 2.3000 ± 0.6557 | 1.1500 ± 0.3279 | 3 | – | – | 2.0000 | 0.9000 |
| theirs | 1.0000 ± 0.4950 | 0.5000 ± 0.2475 | 2 | 0.062 | 0.092 | – | – |
| not yet | missing | missing | missing | – | – | 1.2500 | 0.5000 |
| all-knowing | 3.0000 | 1.5000 | – | – | – | – | – |
| best fixed list | 1.5000 | 0.7500 | – | – | – | – | – |
| upper | 3.5000 | 1.7500 | – | – | – | – | – |

- mean ± deviation over seeds; p: paired two-sided Wilcoxon test over users of ours against the row; p (seeds): \
Welch's t-test over the seeds' means; *: of several seeds, mean above every row's that has been run, one-sided \
p < 0.05, and < 0.05 over seeds where the row has several
- missing, not run yet: not yet
- interactions of training: 40
- theirs: in random order
- by hand
"""


def first_column(table, results):
    return [row[0] for row in score_sheet(table, results).rows if row]


def test_a_star_is_earned_against_every_row(results):
    made_cell("A", 0, [2.0, 1.0, 3.0, 2.5, 1.5]).write(results.folder)
    made_cell("B", 0, [1.0, 0.5, 1.5, 1.75, 0.25]).write(results.folder)
    assert first_column(TABLE, results)[0] == "ours"  # one seed may be a lucky one
    made_cell("A", 1, [2.0, 1.0, 3.0, 2.5, 1.5]).write(results.folder)
    assert first_column(TABLE, results)[0] == "ours*"
    assert first_column(replace(TABLE, level=0.03), results)[0] == "ours"  # p is 1/32
    made_cell("C", 0, [1.9, 1.1, 2.9, 2.6, 1.4]).write(results.folder)  # lower in the mean, by chance
    assert first_column(TABLE, results) == ["ours", "theirs", "not yet"]


def test_seeds_that_scatter_earn_no_star(results):
    """Every user is better off with either of two seeds; the seeds are as far apart as the rows."""
    for seed in (0, 1):
        for name, rewards in (("A", [2.0, 1.0, 3.0, 2.5, 1.5]), ("B", [1.0, 0.5, 1.5, 1.75, 0.25])):
            made_cell(name, seed, [reward + 2 * seed for reward in rewards]).write(results.folder)
    rows = score_sheet(TABLE, results).rows
    assert rows[0][0] == "ours"
    assert rows[1][4:6] == ["0.062", "0.55"]  # t = 1 / √2 with two degrees of freedom
    assert scipy.stats.ttest_ind([2.0, 4.0], [1.0, 3.0], equal_var=False).pvalue == pytest.approx(0.553, abs=1e-3)


def test_a_rank_test_alone_earns_no_star(results):
    """Eleven of twelve users a little better off, one so much worse that the mean is lower than that of one row."""
    made_cell("A", 0, [1.0 + 0.01 * user for user in range(11)] + [0.0]).write(results.folder)
    made_cell("B", 0, [0.9 + 0.005 * user for user in range(11)] + [3.0]).write(results.folder)
    made_cell("C", 0, [-1.0 + 0.001 * user for user in range(12)]).write(results.folder)
    assert first_column(TABLE, results)[0] == "ours"
    ours, theirs = (results.of(name)[0].per_user["reward"] for name in "AB")
    assert TESTS["wilcoxon"](ours, theirs, "greater") < 0.05


def test_nothing_is_tested_before_ours_has_been_run(results):
    made_cell("B", 0, [1.0] * 5).write(results.folder)
    rows = score_sheet(TABLE, results).rows
    assert [row[4] for row in rows if row] == ["–", "–", "–"]
    assert [row[0] for row in rows if row] == ["ours", "theirs", "not yet"]


def test_welch_where_the_table_asks_for_it(results):
    ours, theirs = [2.0, 1.95, 2.05, 2.0, 2.1], [1.0, 0.5, 1.5, 0.75, 0.25]
    made_cell("A", 0, ours).write(results.folder)
    made_cell("B", 0, theirs).write(results.folder)
    others = [1.0, 1.01, 0.99, 1.0, 1.02]
    made_cell("C", 0, others).write(results.folder)
    made = score_sheet(replace(TABLE, test="welch", level=1e-6, metrics=("reward", "recall", "f1")), results)
    assert made.columns[1:] == ["reward", "R@32", "F1@32", "seeds", "p (reward)", "p (paired)", "p (seeds)",
                                *(f"paper's {name}" for name in ("reward", "R@32", "F1@32"))]
    expected = [scipy.stats.ttest_ind(ours, other, equal_var=False).pvalue for other in (theirs, others)]
    assert max(expected) < 0.01
    assert min(expected) < 1e-4
    assert [row[5] for row in made.rows if row] == ["–", *(f"{p:.2g}" for p in expected)]
    paired = [scipy.stats.wilcoxon([a - b for a, b in zip(ours, other, strict=True)]).pvalue
              for other in (theirs, others)]
    assert [row[6] for row in made.rows if row] == ["–", *(f"{p:.2g}" for p in paired)]
    assert "p: Welch's t-test over users" in made.notes[0]
    assert "p (paired): the paired Wilcoxon test" in made.notes[0]
    assert "p < 1e-06" in made.notes[0]
    assert made.rows[0][0] == "ours"


@pytest.mark.parametrize("test", ["welch", "wilcoxon"])
def test_of_a_single_user_nothing_is_tested(results, test):
    for method, reward in (("A", 2.0), ("B", 1.0)):
        made_cell(method, 0, [reward]).write(results.folder)
    made = score_sheet(replace(TABLE, test=test, metrics=("reward",)), results)
    assert [row[made.columns.index("p (reward)")] for row in made.rows[:2]] == ["–", "–"]


def test_a_p_too_small_for_a_number(results):
    made_cell("A", 0, [2.0] * 5).write(results.folder)
    made_cell("B", 0, [1.0] * 5).write(results.folder)
    assert score_sheet(replace(TABLE, test="welch"), results).rows[1][4] == "< 1e-300"


def test_the_notes_tell_every_budget(results, monkeypatch):
    monkeypatch.setitem(METHODS, "A", replace(METHODS["A"], training={"interactions": 1_000_000}))
    monkeypatch.setitem(METHODS, "C", replace(METHODS["C"], training={}))
    made_cell("B", 0, [1.0] * 5).write(results.folder)
    made_cell("C", 0, [1.0] * 5, training={}).write(results.folder)
    assert "interactions of training: 40" in score_sheet(TABLE, results).notes
    made_cell("A", 0, [1.0] * 5, training={"interactions": 1_000_000}).write(results.folder)
    assert "interactions of training: 40 (theirs); 1,000,000 (ours)" in score_sheet(TABLE, results).notes


def test_bounds_stand_below_a_rule(results):
    write_bounds(results.folder)
    assert [row[0] if row else "" for row in score_sheet(TABLE, results).rows][3:5] == ["", "all-knowing"]


def test_no_star_without_opponents_and_bounds_are_missed(results):
    made_cell("A", 0, [2.0, 1.0, 3.0, 2.5, 1.5]).write(results.folder)
    made = score_sheet(TABLE, results)
    assert made.rows[0][0] == "ours"
    assert "missing: the bounds of this setting" in made.notes


def test_interactions_as_written_by_hand(results):
    table = ResultTable("t", "Table 8", TABLE.rows, ("reward",), "ours", rewards=(1.0, 2.0),
                  paper={"book-crossing": {0.1: {"A": (0.06, 0.17), "B": (0.2,)}}})
    for seed, curve in enumerate([(0.5, 1.0, 0.9, 1.0, 1.1, 1.5), (1.1, 1.2, 1.3, 2.0, 2.0, 2.0), (1.0, 1.0, 1.0)]):
        made_cell("A", seed, [1.0] * 5, curve=curve).write(results.folder)
    made_cell("B", 0, [1.0] * 5, curve=(1.0, 1.0, 0.5, 1.0, 1.0)).write(results.folder)
    made_cell("B", 1, [1.0] * 5, curve=(0.5, 1.0, 1.0, 1.0)).write(results.folder)
    write_bounds(results.folder)
    made = sheet(table, results)
    assert made.columns == ["method", "1", "2", "best fixed list (1.400)", "seeds", "paper (book-crossing)"]
    # 1.0 is held from 40, 10 and 10; 2.0 never, from 40, never; 1.4 never, from 40, never: the median is of the three
    # theirs: 1.0 never and from 20: of two, both are told
    assert made.rows == [["ours", "10", "–", "–", "3", "0.06M / 0.17M"],
                         ["theirs", "20 to –", "–", "–", "2", "0.20M / –"],
                         ["not yet", "missing", "missing", "missing", "missing", "–"]]
    assert efficiency_sheet(table, results).notes[-1] == "paper: to rewards 1, 2"


def test_interactions_beside_another_data_sets_or_nobodys(results):
    cell = made_cell("A", 0, [1.0] * 5, setting="ml-100k/heldout/eta-0.1", curve=(1.0, 1.0, 1.0))
    curve = [row | {"interactions": 1_000 * row["interactions"]} for row in cell.curve]
    replace(cell, curve=curve).write(results.folder)
    table = ResultTable("t", "T", {"A": "A"}, ("reward",), "A", rewards=(1.0,), note="by hand",
                  paper={"ml-20m": {0.1: {"A": (0.5,)}}})
    found = Results(results.folder, cell.setting, results.tuned)
    made = sheet(table, found)
    assert (made.columns[-1], made.rows[0][1:]) == ("paper (ml-20m)", ["10,000", "1", "0.50M"])
    made = sheet(replace(table, stand_in={}), found)
    assert (made.columns[-1], made.rows[0][-1], made.notes[-1]) == ("seeds", "1", "by hand")


def test_a_title_names_the_streaks_weight_as_its_paper_does(results):
    title = score_sheet(TABLE, Results(results.folder, "ml-100k/logged/eta-0.2", results.tuned)).title
    assert title == "Table 9; ml-100k, logged world, α = 0.2"


def test_figures_are_those_of_the_settings_eta_and_of_the_tables_stand_in(results):
    table = replace(TABLE, stand_in={"ml-100k": "netflix"}, paper={"netflix": {
        0.1: {"A": (1.0, 0.5)}, 0.2: {"A": (1.5, 0.75)}}})
    made = score_sheet(table, Results(results.folder, "ml-100k/logged/eta-0.2", results.tuned))
    assert made.rows[0][-2:] == ["1.5000", "0.7500"]


def test_a_row_stands_beside_what_its_paper_calls_it(results, monkeypatch):
    monkeypatch.setitem(METHODS, "A", replace(METHODS["A"], in_paper="Alpha"))
    table = replace(TABLE, paper={"book-crossing": {0.1: {"Alpha": (2.0, 0.9, 0.1), "A": (1.0, 0.5, 0.2)}}})
    assert score_sheet(table, results).rows[0][-2:] == ["2.0000", "0.9000"]  # of the metrics that the table has
    efficient = replace(table, rewards=(1.0, 2.0, 3.0))
    assert efficiency_sheet(efficient, results).rows[0][-1] == "2.00M / 0.90M / 0.10M"
    at_zero = Results(results.folder, "book-crossing/kgqr/eta-0", results.tuned)
    assert efficiency_sheet(efficient, at_zero).columns[-1] == "seeds"


def test_another_data_sets_figures_are_marked(results):
    setting = "ml-100k/heldout/eta-0.1"
    table = ResultTable("t", "T", {"A": "A"}, ("reward",), "A", paper={"ml-20m": {0.1: {"A": (1.0,)}}})
    made_cell("A", 0, [1.0] * 5, setting=setting).write(results.folder)
    assert score_sheet(table, Results(results.folder, setting, results.tuned)).columns[-1] == "paper's reward (ml-20m)"
    taste = "ml-100k/taste/eta-0.1"  # a world that the paper does not have
    made_cell("A", 0, [1.0] * 5, setting=taste, curve=(1.0, 1.0, 1.0)).write(results.folder)
    there = Results(results.folder, taste, results.tuned)
    assert score_sheet(table, there).columns[-1] == "p (seeds)"
    assert efficiency_sheet(replace(table, rewards=(1.0,)), there).columns[-1] == "seeds"


@pytest.mark.parametrize(("changed", "named"), [({"data": "e"}, "data"), ({"options": {"lr": 1}}, "options"),
                                                ({"training": {"interactions": 80}}, "training")])
def test_a_cell_that_does_not_belong_is_named_and_not_averaged_in(results, changed, named):
    made_cell("A", 0, [1.0] * 5).write(results.folder)
    made_cell("A", 1, [1.0] * 5, **changed).write(results.folder)
    with pytest.raises(ValueError, match=rf"a/seed-1\.json is of another run(.|\n)*{named}: in the cell"):
        score_sheet(TABLE, results)


def test_a_cell_of_other_data_than_another_methods_is_named(results):
    made_cell("A", 0, [1.0] * 5).write(results.folder)
    made_cell("B", 0, [1.0] * 5, data="e").write(results.folder)
    with pytest.raises(ValueError, match=r"b/seed-0\.json is of another run(.|\n)*data: in the cell 'e'"):
        score_sheet(TABLE, results)


def test_a_broken_cell_is_named(results):
    path = made_cell("A", 0, [1.0] * 5).write(results.folder)
    path.write_text(path.read_text()[:100])
    with pytest.raises(ValueError, match=r"seed-0\.json is not a whole cell"):
        score_sheet(TABLE, results)
