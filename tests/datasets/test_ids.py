from __future__ import annotations

import pandas as pd
import torch

from kgrl.datasets.ids import Ids, same_type


def test_sorted_whatever_the_order():
    ids = Ids.sorted(pd.Series([30, 4]), pd.Series([5, 4]))
    assert ids.numbers(pd.Series([5, 30, 99, 4])).tolist() == [1, 2, -1, 0]
    assert torch.equal(ids.raw(), torch.tensor([4, 5, 30]))


def test_categories_without_rows_do_not_count():
    column = pd.Series(["b", "c"], dtype=pd.CategoricalDtype(["a", "b", "c"]))
    ids = Ids.sorted(column)
    assert ids.raw() == ["b", "c"]
    assert ids.numbers(column).tolist() == [0, 1]


def test_mixed_types_keep_their_order():
    assert Ids.sorted(pd.Series(["b", 1, "a"], dtype=object)).raw() == ["b", 1, "a"]


def test_then_appends_the_others():
    assert Ids(pd.Index([9, 1])).then(pd.Series([1, 7, 3])).index.tolist() == [9, 1, 3, 7]


def test_same_type_makes_text_where_one_is_text():
    number, text = pd.Series([2, 10]), pd.Series(["x", "10"], dtype="category")
    first, second = same_type([number, text])
    assert first.tolist() == ["2", "10"]
    assert Ids.sorted(first).numbers(second).tolist() == [-1, 0]
    assert same_type([number, number])[0].tolist() == [2, 10]
