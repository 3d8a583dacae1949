from dataclasses import replace

import pytest

from kgrl.experiments.figures import plot_curves, plot_rows
from kgrl.experiments.method import METHODS, Method
from kgrl.experiments.result_tables import TABLES, ResultTable
from kgrl.experiments.results import Results
from kgrl.experiments.search import Tuned
from tests.experiments.made_cells import SETTING, TRAINING, made_cell, write_bounds

to_rgb = pytest.importorskip("matplotlib.colors", reason="matplotlib is an extra").to_rgb
TABLE = ResultTable("t", "Figure 9", {"first": "A", "second": "B", "third": "C"}, ("reward", "precision"), "first")


@pytest.fixture
def results(tmp_path, monkeypatch):
    for name in "ABC":
        monkeypatch.setitem(METHODS, name, Method(name, dict, training=TRAINING))
    made_cell("A", 0, [1.0] * 5, curve=(1.0, 2.0, 3.0)).write(tmp_path)
    faster = made_cell("A", 1, [1.5] * 5, curve=(1.5, 2.5))
    replace(faster, curve=[faster.curve[0], faster.curve[1] | {"seconds": 0.4}]).write(tmp_path)
    made_cell("B", 0, [0.5] * 5).write(tmp_path)
    write_bounds(tmp_path)
    return Results(tmp_path, SETTING, Tuned(tmp_path / "tuned.json"))


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are written, for a look."""
    from matplotlib.figure import Figure

    kept, save = [], Figure.savefig

    def savefig(figure, *args, **options):
        kept.append(figure)
        save(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return kept


def test_curves(results, drawn, tmp_path):
    plot_curves(TABLE, results, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    axes, = drawn[0].axes
    assert drawn[0].get_suptitle() == f"Figure 9\n{SETTING}"
    assert "interactions" in axes.get_xlabel()
    assert "reward" in axes.get_ylabel()
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["first", "all-knowing", "best fixed list"]
    lines = {line.get_label(): list(map(float, line.get_ydata())) for line in axes.get_lines()}
    # the mean over seeds, as far as all of them go; B has no curve; the bounds at their level on the same users
    assert lines == {"first": [1.25, 2.25], "all-knowing": [3.1, 3.1], "best fixed list": [1.4, 1.4]}
    first, span = axes.get_lines()[0], axes.collections[0]
    assert first.get_xdata().tolist() == [10, 20]
    assert {tuple(corner) for corner in span.get_paths()[0].vertices} == {(10, 1.0), (10, 1.5), (20, 2.0), (20, 2.5)}
    assert span.get_facecolor()[0][:3].tolist() == pytest.approx(to_rgb(first.get_color()))


def test_a_figure_has_its_own_title_and_twelve_rows_their_own_lines(tmp_path, results, drawn, monkeypatch):
    for number in range(12):
        monkeypatch.setitem(METHODS, f"R{number}", replace(METHODS["A"], name=f"R{number}"))
        made_cell(f"R{number}", 0, [0.5] * 5, curve=(1.0, 2.0)).write(tmp_path)
    rows = {str(number): f"R{number}" for number in range(12)}
    plot_curves(replace(TABLE, rows=rows, ours="0", figure="Curves"), results, tmp_path / "curves.png")
    assert drawn[0].get_suptitle() == f"Curves\n{SETTING}"
    looks = {(line.get_color(), line.get_linestyle()) for line in drawn[0].axes[0].get_lines()[:12]}
    assert len(looks) == 12


def test_a_single_seed_has_no_span(tmp_path, results, drawn):
    made_cell("C", 0, [0.5] * 5, curve=(1.0, 2.0)).write(tmp_path)
    plot_curves(replace(TABLE, rows={"third": "C"}, ours="third"), results, tmp_path / "curves.png")
    assert not drawn[0].axes[0].collections


def test_rows(results, drawn, tmp_path):
    plot_rows(TABLE, results, tmp_path / "rows.png")
    assert (tmp_path / "rows.png").read_bytes().startswith(b"\x89PNG")
    reward, precision, seconds = drawn[0].axes
    assert [label.get_text() for label in reward.get_xticklabels()] == ["first", "second"]
    assert reward.get_lines()[0].get_ydata().tolist() == pytest.approx([1.25, 0.5])
    assert precision.get_lines()[0].get_ydata().tolist() == pytest.approx([0.625, 0.25])
    # 0.6 of 0.9 s for 30 interactions, and 0.2 of 0.4 s for 20
    assert seconds.get_lines()[0].get_ydata().tolist() == pytest.approx([15.0])
    spans = [segment[:, 1].tolist() for segment in reward.containers[0].lines[2][0].get_segments()]
    assert spans == [pytest.approx([1.25 - 0.125**0.5, 1.25 + 0.125**0.5]), [0.5, 0.5]]  # ± the deviation of 1 and 1.5
    assert [axes.get_ylabel() for axes in drawn[0].axes] == ["reward", "P@32", "seconds a 1,000 interactions"]
    assert drawn[0].get_suptitle() == f"Figure 9\n{SETTING}"
    assert list(tmp_path.glob(".*")) == []


def test_a_line_joins_only_what_has_an_order(results, drawn, tmp_path):
    plot_rows(TABLE, results, tmp_path / "rows.png")
    plot_rows(replace(TABLE, ordered=True), results, tmp_path / "rows.png")
    assert [figure.axes[0].get_lines()[0].get_linestyle() for figure in drawn] == ["None", "-"]


def test_curves_may_be_some_of_the_rows(tmp_path, results, drawn):
    made_cell("C", 0, [0.5] * 5, curve=(1.0, 2.0)).write(tmp_path)
    plot_curves(replace(TABLE, curves=("third",)), results, tmp_path / "curves.png")
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()][:2] == ["third", "all-knowing"]
    assert all(set(table.curves) <= set(table.rows) for table in TABLES.values())


def test_a_figures_file_is_called_after_the_figure():
    assert TABLES["kgqr-table4"].picture == "kgqr-figure3"
    assert {name for name, table in TABLES.items() if table.picture != name} == {"kgqr-table4"}
