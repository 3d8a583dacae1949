"""A tree of five leaves, placed by hand."""

from __future__ import annotations

import pytest
import torch

from kgrl.plots import plot_tree
from kgrl.tree import ClusterTree
from tests.plots.drawn import lines, points, texts

pytest.importorskip("matplotlib")
TITLES = ["Alien", "Brazil", "Casablanca", "Diva", "Eraserhead"]


def tree() -> ClusterTree:
    """Brazil and Alien, Casablanca alone, Diva and Eraserhead."""
    return ClusterTree(torch.tensor([[0, 1], [0, 0], [1, 2], [2, 0], [2, 1]]), children=3)


def test_a_leaf_is_an_item_and_a_node_stands_in_the_middle_of_its_children() -> None:
    ax = plot_tree(tree(), titles=TITLES)
    assert texts(ax) == ["Brazil", "Alien", "Casablanca", "Diva", "Eraserhead"]  # in the order of the leaves
    assert [each.xy for each in ax.texts] == [(2, 0), (2, -1), (2, -2), (2, -3), (2, -4)]
    nodes = points(ax)["o"]
    assert sorted(nodes) == [(0, -2), (1, -3.5), (1, -2), (1, -0.5), *((2, -place) for place in (4, 3, 2, 1, 0))]
    ends = [(line[0], line[-1]) for line in lines(ax)]
    assert set(ends) == {((0, -2), (1, y)) for y in (-0.5, -2, -3.5)} | {
        ((1, -0.5), (2, 0)), ((1, -0.5), (2, -1)), ((1, -2), (2, -2)), ((1, -3.5), (2, -3)), ((1, -3.5), (2, -4))}


def test_a_node_that_is_not_drawn_further_names_a_few_items() -> None:
    assert texts(plot_tree(tree(), titles=TITLES, levels=1, named=1)) == [
        "2 items; Brazil", "1 items; Casablanca", "2 items; Diva"]
    assert texts(plot_tree(tree(), levels=0, named=3)) == ["5 items; 1; 2; 4"]  # the first, the middle, the last leaf


def test_a_part_of_the_tree() -> None:
    ax = plot_tree(tree(), titles=TITLES, prefix=[2])
    assert texts(ax) == ["Diva", "Eraserhead"]
    assert len(lines(ax)) == 2


def test_a_large_tree_is_drawn_one_level_deep() -> None:
    large = ClusterTree.build(torch.randn(70, 3, generator=torch.Generator().manual_seed(0)), depth=2)
    found = texts(plot_tree(large))
    assert len(found) == 9
    assert sum(int(text.split(" ")[0]) for text in found) == 70
    assert texts(plot_tree(large, prefix=(0, 0))) == [str(int(large.subtree([0, 0])))]


def test_a_long_title_is_cut() -> None:
    (text,) = texts(plot_tree(ClusterTree(torch.tensor([[0]]), 1), titles=["x" * 40]))
    assert text == "x" * 31 + "…"


@pytest.mark.parametrize(("options", "message"), [
    ({"prefix": [3]}, "`prefix` must be"), ({"titles": TITLES[:4]}, "`titles` must be at least 5 texts"),
    ({"levels": -1}, "`levels`"), ({"named": -1}, "`named`"),
])
def test_what_is_wrong_is_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_tree(tree(), **({"titles": TITLES} | options))


def test_what_is_no_tree_is_refused() -> None:
    with pytest.raises(TypeError, match="`tree` must be a ClusterTree"):
        plot_tree([[0]])
