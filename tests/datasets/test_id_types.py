"""Ids of two types, and numbers that wrap or become one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from kgrl.datasets.frames import from_frames


def ratings(user: list, item: list, **more) -> pd.DataFrame:
    return pd.DataFrame({"user": user, "item": item, "rating": [1, 5, 1, 5][: len(user)], **more})


@pytest.mark.parametrize(("frame", "what"), [
    (ratings(["1", 1, "a"], [1, 2, 3]), "`ratings`, row 1: user must be of one type with '1' .*, got 1"),
    (ratings([1.0, "1", "a"], [1, 2, 3]), "`ratings`, row 1: user must be of one type with 1 .*, got '1'"),
    (ratings([1, 2, 3], ["1", "2", 1]), "`ratings`, row 2: item must be of one type with '1' .*, got 1"),
    (ratings([True, 1, 2], [1, 2, 3]).astype({"user": object}), "row 0: user must be an id: text or a number"),
    (ratings([[1], [2], [3]], [1, 2, 3]), "row 0: user must be an id: text or a number"),
])
def test_one_id_of_two_types(frame, what):
    with pytest.raises(ValueError, match=what):
        from_frames(frame)


@pytest.mark.parametrize(("name", "frame"), [
    ("items", pd.DataFrame({"item": ["1", "2"]})),
    ("links", pd.DataFrame({"item": ["1", "2"], "entity": ["e", "f"]})),
])
def test_one_item_of_two_types_in_two_frames(name, frame):
    triples = pd.DataFrame({"head": ["e", "f"], "relation": "r", "tail": "g"}) if name == "links" else None
    with pytest.raises(ValueError, match=f"`{name}`, row 0: item must be of one type with 1 .`ratings.*, got '1'|"
                                         f"`{name}`, row 0: item must be of one type with 1 .ratings.*, got '1'"):
        from_frames(ratings([7, 7], [1, 2]), triples, **{name: frame})


def test_an_item_and_its_entity_of_two_types():
    triples = pd.DataFrame({"head": ["1", "2"], "relation": "r", "tail": "g"})
    with pytest.raises(ValueError, match="`triples`, row 0: head must be of one type with 1"):
        from_frames(ratings([7, 7], [1, 2]), triples)
    links = pd.DataFrame({"item": [1, 2], "entity": ["1", "2"]})  # item 1 is entity "1": two id spaces
    assert from_frames(ratings([7, 7], [1, 2]), triples, links)["item"].entity_id == ["1", "2"]


def test_ids_of_two_types_that_differ_as_text_are_two():
    assert from_frames(ratings(["b", 1], [1, 2]))["user"].raw_id == ["b", 1]


@pytest.mark.parametrize("categorical", [False, True])
@pytest.mark.parametrize(("frame", "column"), [
    ("ratings", "user"), ("ratings", "item"), ("triples", "relation"), ("triples", "tail"),
    ("items", "title"), ("entities", "name"),
])
def test_text_that_no_file_could_hold(frame, column, categorical):
    """Bytes of Latin-1 read as UTF-8 with errors="surrogateescape": saving an agent would end in UnicodeEncodeError."""
    frames = {
        "ratings": pd.DataFrame({"user": ["ä", "b", "c"], "item": ["x", "y", "x"], "rating": [1, 5, 3]}),
        "triples": pd.DataFrame({"head": ["x", "y", "y"], "relation": ["r", "q", "r"], "tail": ["é", "f", "g"]}),
        "links": pd.DataFrame({"item": ["x", "y"], "entity": ["x", "y"]}),
        "items": pd.DataFrame({"item": ["x", "y"], "title": ["One", None]}),
        "entities": pd.DataFrame({"entity": ["f", "g"], "name": ["Ä", "B"]}),
    }
    from_frames(**frames)
    values = frames[frame][column].astype(object)
    values[1] = b"caf\xe9".decode(errors="surrogateescape")
    frames[frame][column] = values.astype("category") if categorical else values
    what = rf"`{frame}`, row 1: {column} must be text that UTF-8 can write, .*encoding=.*, got 'caf\\udce9'"
    with pytest.raises(ValueError, match=what):
        from_frames(**frames)


def test_unsigned_ids():
    hashes = np.array([2**64 - 1, 5], dtype=np.uint64)
    with pytest.raises(ValueError, match=r"row 0: user must be an id of at most 9223372036854775807 .*, got 184467"):
        from_frames(ratings(hashes, [1, 2]))
    near = np.array([2**63 - 1, 2**63 - 2], dtype=np.uint64)
    items = pd.DataFrame({"item": near.astype(np.int64)})
    data = from_frames(ratings([1, 2], near), items=items)  # together they would become floating-point numbers
    assert torch.equal(data["item"].raw_id, torch.tensor([2**63 - 1, 2**63 - 2]))


@pytest.mark.parametrize(("dtype", "large"), [(np.float64, 2.0**53), (np.float32, 2.0**24), (np.float64, np.inf)])
def test_floating_point_ids_that_have_become_one(dtype, large):
    with pytest.raises(ValueError, match=r"row 1: user must be a whole number or text, or below"):
        from_frames(ratings(np.array([1, large], dtype), [1, 2]))
