"""The surroundings of an item, on a KG small enough to lay out by hand."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data

from kgrl.graph import knowledge_graph
from kgrl.plots import plot_item
from tests.plots.drawn import lines, points, rounded, texts

pytest.importorskip("matplotlib")
NAMES = ["Alien", "Aliens", "Brazil", "Ran", "Scott", "horror", "English"]


def kg() -> Data:
    """Four films; Scott made one, two are horror, three are English."""
    edges = torch.tensor([[0, 0, 1, 0, 1, 2], [4, 5, 5, 6, 6, 6]])
    return knowledge_graph(edges, edge_type=torch.tensor([0, 1, 1, 2, 2, 2]), num_items=4, num_nodes=7,
                           relation_names=["director", "genre", "language"])


def test_rare_neighbours_come_first_and_items_stand_behind_them_once() -> None:
    """Horror has Aliens behind it, English Brazil, Scott nobody: three sectors of 120°, centres at 60°, 180°, 300°."""
    ax = plot_item(kg(), 0, names=NAMES)
    half, root = 0.5, 3**0.5 / 2
    assert points(ax) == {  # circles, then squares
        "o": rounded([(0, 0), (1, 2 * root), (-2, 0)]), "s": rounded([(half, root), (-1, 0), (half, -root)])}
    assert set(texts(ax)) == {*NAMES, "director", "genre", "language"} - {"Ran"}
    assert len(lines(ax)) == 5  # three links, and two behind


def test_a_sector_is_as_wide_as_what_is_behind() -> None:
    """Node 4 has two items behind it, and two thirds of the circle; 5 has none, and the last third."""
    edges = torch.tensor([[0, 1, 2, 0], [4, 4, 4, 5]])
    ax = plot_item(knowledge_graph(edges, num_items=4, num_nodes=6), 0)
    assert points(ax)["s"] == rounded([(-0.5, 3**0.5 / 2), (0.5, -(3**0.5) / 2)])  # 120°, 300°
    assert points(ax)["o"] == rounded([(0, 0), (1, 3**0.5), (-2, 0)])  # 60°, 180°
    assert {"0", "1", "2", "4", "5"} <= set(texts(ax))  # by ids


def test_most_and_onward_are_limits() -> None:
    ax = plot_item(kg(), 0, names=NAMES, most=2, onward=0)
    assert set(texts(ax)) == {"Alien", "horror", "English", "genre", "language"}
    assert len(lines(ax)) == 2


def test_a_node_without_a_name_has_none() -> None:
    assert sorted(filter(None, texts(plot_item(kg(), 0, names=[*NAMES[:5], "", ""], onward=0)))) == [
        "Alien", "Scott", "director", "genre", "language"]


def test_an_item_without_links_stands_alone() -> None:
    assert texts(plot_item(kg(), 3, names=NAMES)) == ["Ran"]


@pytest.mark.parametrize(("options", "message"), [
    ({"item": 4}, "`item` must be an item's id, below 4, got 4"), ({"item": -1}, "`item`"),
    ({"names": NAMES[:6]}, "`names` must be at least 7 texts"), ({"most": 0}, "`most`"), ({"onward": -1}, "`onward`"),
    ({"kg": Data()}, "`kg` must be a graph that"),
])
def test_what_is_wrong_is_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_item(**({"kg": kg(), "item": 0, "names": NAMES} | options))


def test_axes_of_ones_own() -> None:
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    assert plot_item(kg(), 0, ax=ax) is ax
    with pytest.raises(TypeError, match="`ax` must be an object with `plot"):
        plot_item(kg(), 0, ax="here")
    with pytest.raises(TypeError, match="`names` must be a list of texts, got 'str'"):
        plot_item(kg(), 0, names="Alien")
