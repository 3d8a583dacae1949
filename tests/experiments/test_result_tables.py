import re

import pytest

import kgrl.experiments.methods
import kgrl.experiments.new_item_methods  # noqa: F401
from kgrl.evaluate import METRICS
from kgrl.experiments import paper
from kgrl.experiments.data_sets import DATASETS
from kgrl.experiments.method import METHODS
from kgrl.experiments.result_tables import TABLES, table_of
from kgrl.experiments.setting import WORLDS
from kgrl.experiments.variant import Variant


def test_every_row_is_a_known_method():
    for table in TABLES.values():
        assert set(table.rows.values()) <= set(METHODS), table.name
        assert table.ours in table.rows
        for worlds in table.paper.values():
            for eta, rows in worlds.items():
                assert eta in table.etas or table.name == "kgqr-paper-state"
                there = {METHODS[method].paper_name for method in table.rows.values()}
                assert set(rows) <= there or table.name == "kgqr-paper-state"  # some of Table 3's rows
                columns = {len(row) for row in rows.values()}
                if table.rewards:
                    assert max(columns) == len(table.rewards)
                else:
                    assert columns == {3 if table.paper is paper.KGQR_TABLE3 else len(table.metrics)}


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_a_table_is_made_as_the_paper_has_it(table):
    assert (table.test, table.level) == (("welch", 1e-6) if table.name.startswith("tpgr") else ("wilcoxon", 0.05))
    assert table.metrics == tuple(metric for metric in METRICS if metric in table.metrics)
    assert list(table.rewards) == sorted(table.rewards)
    assert len(set(table.rows.values())) == len(table.rows)  # no row twice
    ours = {"kgqr-figure4": "KGQR (1000 candidates)", "kgqr-paper-state": "KGQR (paper's state)",
            "kgqr-backfill": "KGQR-KG in the backfill", "kgqr-warm-start": "KGQR (warm start)",
            "new-items": "KGQR with prior",
            "kgqr-controls": "KGQR (random backfill)"}.get(table.name, table.name.split("-")[0].upper())
    assert table.rows[table.ours] == ours
    for dataset, world in (world.split("/") for world in table.worlds):
        assert dataset in DATASETS
        assert Variant.read(world)[0] in WORLDS
        if table.paper:
            assert paper.beside(table.paper, dataset, 0.1, table.stand_in)[1]


def test_the_figures_rows_are_what_they_are_called():
    for name in ("kgqr-figure4", "tpgr-figure4-left", "tpgr-figure4-right"):
        for label, method in TABLES[name].rows.items():
            if "(" in method:  # "K-means, VAE": "TPGR (kmeans, vae)"
                assert re.sub("[-,]", "", label.lower()) == method.partition("(")[2].rstrip(")").replace(",", "")


def test_an_unknown_table_is_refused():
    with pytest.raises(ValueError, match="did you mean 'kgqr-table3'"):
        table_of("kgqr-tabel3")


def test_the_papers_figures_agree_with_one_another():
    for dataset, tables in paper.KGQR_TABLE6.items():
        for method in ("DQN-R", "KGQR"):  # they stand in both tables
            assert tables[0.1][method] == paper.KGQR_TABLE3[dataset][0.1][method][:2]
    for figures in (paper.KGQR_TABLE3, paper.TPGR_TABLE2):
        for etas in figures.values():
            for rows in etas.values():
                best = max(rows, key=lambda name: rows[name][0])
                assert best in ("KGQR", "TPGR")  # each paper's own method leads its table
    # 17.3 % and 13.6 % of the second best's interactions (KGQR, section 5.3), to the last printed digit
    for dataset, share in (("book-crossing", 0.173), ("ml-20m", 0.136)):
        reached = paper.KGQR_TABLE4[dataset]
        second = min(row[3] for name, row in reached.items() if name != "KGQR" and len(row) == 4)
        assert reached["KGQR"][3] / second == pytest.approx(share, abs=0.01)


def test_what_stands_beside():
    assert paper.beside(paper.KGQR_TABLE3, "book-crossing", 0.2, paper.STAND_IN)[1]["KGQR"] == (3.7661, 0.9966, 0.0081)
    assert paper.beside(paper.KGQR_TABLE3, "ml-100k", 0.0, paper.STAND_IN)[0] == "ml-20m"
    assert paper.beside(paper.KGQR_TABLE3, "ml-100k", 0.3, paper.STAND_IN) == ("", {})
    assert paper.beside(paper.KGQR_TABLE3, "mine", 0.1, paper.STAND_IN) == ("", {})
    assert paper.beside(paper.TPGR_TABLE2, "ml-100k", 0.1, paper.TPGR_STAND_IN)[1]["TPGR"] == (
        0.2472, 0.2726, 0.1697, 0.1665)
