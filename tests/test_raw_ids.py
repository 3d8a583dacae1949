"""Raw ids: found among others, kept in files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.datasets import from_frames
from kgrl.graph import knowledge_graph
from kgrl.raw_ids import (
    aligned,
    are_numbers,
    as_tensor,
    checked_ids,
    from_tensor,
    joined,
    missing_ids,
    places,
    same_ids,
)

WHOLE = st.lists(st.integers(0, 20))
TEXT = st.lists(st.text(max_size=2))


def made(ids: list) -> Tensor | list[str]:
    """As the toolkit keeps them."""
    return torch.tensor(ids, dtype=torch.long) if all(isinstance(each, int) for each in ids) else ids


@given(st.one_of(st.tuples(WHOLE, WHOLE), st.tuples(TEXT, TEXT)))
def test_places_are_those_of_a_dictionary(both) -> None:
    wanted, among = both[0], list(dict.fromkeys(both[1]))
    slow = {raw: place for place, raw in enumerate(among) if raw not in (-1, "")}
    assert places(made(wanted), made(among)).tolist() == [slow.get(raw, -1) for raw in wanted]


def test_missing_ids_are_not_found_by_each_other() -> None:
    assert places(torch.tensor([-1, 3]), torch.tensor([-1, -1, 3])).tolist() == [-1, 2]
    assert places(["", "a"], ["", "", "a"]).tolist() == [-1, 2]
    assert missing_ids(2, torch.tensor([3])).tolist() == [-1, -1]
    assert missing_ids(2, ["a"]) == ["", ""]


def test_whole_numbers_are_not_text() -> None:
    assert places(["1", "2"], torch.tensor([1, 2])).tolist() == [-1, -1]
    assert not same_ids(["1", "2"], torch.tensor([1, 2]))
    assert same_ids([1, 2], torch.tensor([1, 2]))
    assert not same_ids(["a", "b"], ["b", "a"])


@pytest.mark.parametrize("ids", [torch.tensor([2**40, 3, -1]), ["0345", "ä→", "", 'q"\n'], []])
def test_a_file_keeps_them(ids) -> None:
    again = from_tensor(as_tensor(ids))
    assert are_numbers(again) == are_numbers(ids)
    assert same_ids(again, ids)


def test_checked_ids_are_numbers_or_text() -> None:
    assert checked_ids("ids", [3, 1], 2).tolist() == [3, 1]
    assert checked_ids("ids", [3, "a"], 2) == ["3", "a"]
    assert checked_ids("ids", torch.tensor([-1, -1, 3]), 3).tolist() == [-1, -1, 3]
    with pytest.raises(ValueError, match="`ids` must be one raw id for each of 3, got 2"):
        checked_ids("ids", ["a", "b"], 3)
    with pytest.raises(ValueError, match="`ids` must be distinct raw ids, got \"'a' more than once\""):
        checked_ids("ids", ["a", "b", "a"], 3)


def test_whole_floating_point_ids_are_whole_numbers() -> None:
    """As those of a data set, which pandas has made such numbers beside a gap."""
    for ids in (np.array([3.0, 1.0]), [3.0, 1.0], pd.Series([3.0, 1.0]), [3, 1.0]):
        assert checked_ids("ids", ids).tolist() == [3, 1]
        assert aligned(torch.tensor([1, 3]), torch.tensor([[3.0], [1.0]]), ids=ids).tolist() == [[1], [3]]
    assert checked_ids("ids", [3.0, "a", 1.5]) == ["3", "a", "1.5"]
    for gap in ([3.0, float("nan")], ["a", None]):
        with pytest.raises(ValueError, match="`ids` must be raw ids, got 'none .NaN or None.'; one that is missing is"):
            checked_ids("ids", gap)


def test_ids_that_no_file_could_hold() -> None:
    with pytest.raises(ValueError, match=r"`ids` must be ids that UTF-8 can write, .* got 'a\\udce9'; files"):
        checked_ids("ids", ["é", "a\udce9", "b"])


def test_joined() -> None:
    assert joined(torch.tensor([1]), torch.tensor([2])).tolist() == [1, 2]
    assert joined(["a"], ["b"]) == ["a", "b"]
    assert joined(torch.tensor([1, -1]), ["b", ""]) == ["1", "", "b", ""]


# ------------------------------------------------------------------------------------------- vectors of one's own


@given(st.lists(st.integers(0, 9), min_size=1), st.permutations(range(10)), st.integers(1, 10))
def test_aligned_is_a_lookup(own: list[int], rows: list[int], known: int) -> None:
    table = {raw: [float(raw), float(-raw)] for raw in rows[:known]}
    hits = [table[raw] for raw in own if raw in table]
    if not hits:
        return
    mean = torch.tensor(hits).mean(0).tolist()
    for missing, fill in (("mean", mean), ("zero", [0.0, 0.0])):
        slow = torch.tensor([table.get(raw, fill) for raw in own])
        matrix, ids = torch.tensor(list(table.values())), list(table)
        torch.testing.assert_close(aligned(torch.tensor(own), table, missing=missing), slow)
        torch.testing.assert_close(aligned(torch.tensor(own), matrix, ids, missing=missing), slow)


def test_aligned_takes_text_arrays_and_nodes_without_an_id() -> None:
    own = ["b", "", "a"]
    vectors = {"a": torch.tensor([1.0, 2.0]), "b": np.array([3, 4], np.float32), "c": [5.0, 6.0]}
    assert aligned(own, vectors, missing="mean").tolist() == [[3, 4], [2, 3], [1, 2]]
    assert aligned(["b", "a"], torch.tensor([[1, 2], [3, 4]]), ids=np.array(["a", "b"])).tolist() == [[3, 4], [1, 2]]
    assert aligned(["a"], torch.ones(1, 2, dtype=torch.double), ["a"]).dtype == torch.double


def test_an_item_may_have_the_vector_of_its_entity() -> None:
    ratings = pd.DataFrame({"user": [0, 0, 1], "item": [7, 8, 7], "rating": [1.0, 5.0, 4.0]})
    triples = pd.DataFrame({"head": ["x", "y"], "relation": "genre", "tail": "g"})
    data = from_frames(ratings, triples, pd.DataFrame({"item": [8, 7], "entity": ["x", "y"]}))
    of_entity = {"y": [1.0], "g": [2.0], "x": [3.0]}
    by_item = dict(zip(data["item"].raw_id.tolist(), aligned(data["item"].entity_id, of_entity).tolist(), strict=True))
    assert by_item == {7: [1.0], 8: [3.0]}
    kg = knowledge_graph(data)
    assert aligned(kg.entity_id, of_entity).flatten().tolist() == [of_entity[raw][0] for raw in kg.entity_id]


@pytest.mark.parametrize(("given", "message"), [
    ({"own": ["a", "z", "y", "x", "w"]}, "for each of `own`, got \"none for 4: 'z', 'y', 'x', ...\"; missing=\"mean"),
    ({"own": torch.tensor([1, 2]), "missing": "zero"}, "none for 2: 1, 2, .*are of ids that are text such as 'a'"),
    ({"vectors": {"a": [1.0], "b": [1.0, 2.0]}}, r"`vectors\['b'\]` must be of the others' shape \[1\], got \[2\]"),
    ({"vectors": {"a": [1j]}}, r"`vectors\['a'\]` must be real numbers, got 'torch.complex64'"),
    ({"vectors": {"a": [float("nan")]}}, "`vectors` must be finite numbers"),
    ({"vectors": {}}, "a vector for at least one raw id"),
    ({"vectors": torch.ones(300, 2), "ids": ["a", "b"]}, "`ids` must be one raw id for each of 300, got 2"),
    ({"vectors": torch.ones(300, 2)}, "`ids` must be one raw id for each of 300, got 0"),
    ({"vectors": torch.ones(2, 2), "ids": ["a", "a"]}, "distinct raw ids"),
    ({"missing": "men"}, "did you mean 'mean'"),
])
def test_what_cannot_be_aligned_is_named(given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        aligned(**({"own": ["a"], "vectors": {"a": [1.0]}} | given))


@pytest.mark.parametrize("ids", [{"a": 1}, "ab", 3, torch.ones(2), torch.ones(2, 2, dtype=torch.long), HeteroData()])
def test_what_holds_no_ids_is_named(ids: object) -> None:
    with pytest.raises(TypeError, match=r"`ids` must be raw ids, a LongTensor \[n\] or a list, got .*\.raw_id"):
        checked_ids("ids", ids, 2)  # type: ignore[arg-type]


def test_missing_ids_are_where_the_others_are() -> None:
    other = torch.arange(3, device="meta")
    assert joined(other, missing_ids(2, other)).device.type == "meta"
