import pytest

from kgrl.experiments.canvas import canvas

pyplot = pytest.importorskip("matplotlib.pyplot", reason="matplotlib is an extra")


def test_a_figure_is_drawn_written_and_closed(tmp_path):
    pyplot.switch_backend("svg")
    with canvas(tmp_path / "a.png", "a title", panels=2, size=(3, 4), legend="upper left") as (left, right):
        left.plot([1, 2], label="a line")
        right.plot([2, 1])
    assert left.figure.get_suptitle() == "a title"
    assert left.figure.get_size_inches().tolist() == [6, 4]
    assert left.get_position().x0 < right.get_position().x0
    assert left.get_legend()._loc == left.get_legend().codes["upper left"]
    assert right.get_legend() is None  # it has nothing to say
    assert all(line.get_visible() for line in left.get_xgridlines())
    assert not pyplot.get_fignums()
    width, height = pyplot.imread(tmp_path / "a.png").shape[1::-1]
    assert (width, height) == (720, 480)
    assert pyplot.get_backend().lower() == "svg"  # the caller's


def test_no_legend_unless_asked_for(tmp_path):
    with canvas(tmp_path / "a.png") as (axes,):
        axes.plot([1, 2], label="a line")
    assert axes.get_legend() is None


def test_a_legend_beside_covers_no_panel(tmp_path):
    with canvas(tmp_path / "a.png", legend="beside") as (axes,):
        for line in range(20):
            axes.plot([1, 2], [line, line], label=f"line {line}")
    legend, = axes.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [f"line {line}" for line in range(20)]
    assert axes.get_legend() is None
    assert legend.get_window_extent().x0 > axes.get_window_extent().x1


def test_a_block_that_fails_leaves_the_old_figure(tmp_path):
    (tmp_path / "a.png").write_text("old")
    with pytest.raises(RuntimeError, match="inside"), canvas(tmp_path / "a.png"):
        raise RuntimeError("inside")
    assert not pyplot.get_fignums()
    assert (tmp_path / "a.png").read_text() == "old"


def test_a_write_that_is_cut_off_leaves_the_old_figure(tmp_path, monkeypatch):
    def cut_off(*_):
        raise OSError("cut off")

    (tmp_path / "a.png").write_text("old")
    monkeypatch.setattr("os.replace", cut_off)
    with pytest.raises(OSError, match="cut off"), canvas(tmp_path / "a.png"):
        pass
    assert (tmp_path / "a.png").read_text() == "old"
