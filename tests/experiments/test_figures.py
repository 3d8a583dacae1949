import pytest

from kgrl.experiments.figures import plot_curves, plot_rows
from kgrl.experiments.method import METHODS, Method
from kgrl.experiments.results import Results
from kgrl.experiments.search import Tuned
from kgrl.experiments.tables import Table
from tests.experiments.made_cells import SETTING, TRAINING, made_cell, write_bounds

pytest.importorskip("matplotlib", reason="matplotlib is an extra")
TABLE = Table("t", "Figure 9", {"first": "A", "second": "B", "third": "C"}, ("reward", "precision"), "first")


@pytest.fixture
def results(tmp_path, monkeypatch):
    for name in "ABC":
        monkeypatch.setitem(METHODS, name, Method(name, lambda setting, seed: None, training=TRAINING))
    made_cell("A", 0, [1.0] * 5, curve=(1.0, 2.0, 3.0)).write(tmp_path)
    made_cell("A", 1, [1.5] * 5, curve=(1.5, 2.5)).write(tmp_path)
    made_cell("B", 0, [0.5] * 5).write(tmp_path)
    write_bounds(tmp_path)
    return Results(tmp_path, SETTING, Tuned(tmp_path / "tuned.json"))


@pytest.fixture
def drawn(monkeypatch):
    """What lands on the figure: its axes, kept open for a look."""
    from matplotlib import pyplot

    kept = []
    monkeypatch.setattr(pyplot, "close", kept.append)
    yield kept
    monkeypatch.undo()
    pyplot.close("all")


def test_curves(results, drawn, tmp_path):
    plot_curves(TABLE, results, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    axes, = drawn[0].axes
    lines = {line.get_label(): list(map(float, line.get_ydata())) for line in axes.get_lines()}
    # the mean over seeds, as far as all of them go; B has no curve; the bounds at their level on the same users
    assert lines == {"first": [1.25, 2.25], "all-knowing": [3.1, 3.1], "best fixed list": [1.4, 1.4]}


def test_rows(results, drawn, tmp_path):
    plot_rows(TABLE, results, tmp_path / "rows.png")
    assert (tmp_path / "rows.png").read_bytes().startswith(b"\x89PNG")
    reward, precision, seconds = drawn[0].axes
    assert [label.get_text() for label in reward.get_xticklabels()] == ["first", "second"]
    assert reward.get_lines()[0].get_ydata().tolist() == pytest.approx([1.25, 0.5])
    assert precision.get_lines()[0].get_ydata().tolist() == pytest.approx([0.625, 0.25])
    assert seconds.get_lines()[0].get_ydata().tolist() == pytest.approx([20.0])  # 0.2 s for 10 interactions
    assert list(tmp_path.glob(".*")) == []
