"""Principal components: of a cross by hand, of drawn vectors by scikit-learn; groups of a small KG."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from kgrl.graph import knowledge_graph
from kgrl.plots import plot_vectors, shared_entities

pytest.importorskip("matplotlib")


def test_a_cross_lies_along_the_axes() -> None:
    """Twice as long along the third dimension: 4/5 of the variance. The mean is taken off."""
    cross = torch.tensor([[1.0, 7, 2], [1, 7, -2], [2, 7, 0], [0, 7, 0]])
    ax = plot_vectors(cross)
    (drawn,) = ax.collections
    places = np.abs(np.asarray(drawn.get_offsets()))
    assert places == pytest.approx(np.array([[2, 0], [2, 0], [0, 1], [0, 1]]), abs=1e-6)
    assert ax.get_xlabel() == "first component (80% of the variance)"
    assert ax.get_ylabel() == "second component (20% of the variance)"
    assert ax.get_legend() is None


def test_positions_are_scikit_learns() -> None:
    vectors = torch.randn(50, 6, generator=torch.Generator().manual_seed(0)) * torch.arange(1.0, 7)
    (drawn,) = plot_vectors(vectors).collections
    ours, theirs = np.asarray(drawn.get_offsets()), PCA(2).fit_transform(vectors.numpy())
    signs = np.sign((ours * theirs).sum(0))
    assert ours == pytest.approx(theirs * signs, abs=1e-3)
    assert all(column[np.abs(column).argmax()] > 0 for column in ours.T)


def test_the_largest_groups_have_a_colour_and_the_rest_is_grey() -> None:
    groups = ["war", "war", "war", "noir", "noir", "farce", ""]
    ax = plot_vectors(torch.randn(7, 3), groups=groups, most=2)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["other", "war (3)", "noir (2)"]
    assert [len(each.get_offsets()) for each in ax.collections] == [2, 3, 2]
    colours = {tuple(each.get_facecolor()[0]) for each in ax.collections}
    assert len(colours) == 3


def test_one_dimension_is_drawn_as_a_line() -> None:
    (drawn,) = plot_vectors(torch.tensor([[1.0], [3.0]])).collections
    assert sorted(map(tuple, np.asarray(drawn.get_offsets()).round(6))) == [(-1, 0), (1, 0)]


@pytest.mark.parametrize(("options", "message"), [
    ({"vectors": torch.zeros(1, 3)}, "`vectors` must be at least two"),
    ({"vectors": torch.tensor([[torch.nan, 0], [0, 0]])}, "`vectors`"),
    ({"groups": ["a"]}, "`groups` must be 3 texts, one per vector"), ({"groups": [1, 2, 3]}, "`groups`"),
    ({"groups": ["a"] * 3, "most": 0}, "`most`"),
])
def test_what_is_wrong_is_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_vectors(**({"vectors": torch.randn(3, 2)} | options))


def test_groups_are_the_most_common_entities_of_a_relation() -> None:
    """Item 0 has genres 4 and 5, of which 5 is shared by item 1; item 2 is the tail of its own; item 3 has none."""
    edges = torch.tensor([[0, 0, 1, 5, 0], [4, 5, 5, 2, 6]])
    kg = knowledge_graph(edges, edge_type=torch.tensor([0, 0, 0, 0, 1]), num_items=4, num_nodes=7,
                         relation_names=["genre", "director"])
    names = ["a", "b", "c", "d", "noir", "war", "Scott"]
    assert shared_entities(kg, "genre", names) == ["war", "war", "war", ""]
    assert shared_entities(kg, "director") == ["6", "", "", ""]
    with pytest.raises(ValueError, match="`relation` must be a known name, got 'genres'; .*did you mean 'genre'"):
        shared_entities(kg, "genres")
