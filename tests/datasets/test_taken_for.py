from __future__ import annotations

import warnings

import pandas as pd
import pytest

from kgrl.datasets.frames import from_frames

RATINGS = pd.DataFrame({"user": [1, 1, 2], "item": [90, 91, 92], "rating": [1, 5, 5]})
LENGTHS = pd.DataFrame({"head": [90, 91, 92], "relation": "length", "tail": [91, 92, 91]})


def test_a_length_is_taken_for_an_item():
    with pytest.warns(UserWarning, match="3 tails .of length. are numbers that are items' ids.*'length 91'"):
        from_frames(RATINGS, LENGTHS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from_frames(RATINGS, LENGTHS, pd.DataFrame({"item": [90, 91, 92], "entity": [90, 91, 92]}))
        data = from_frames(RATINGS, LENGTHS.assign(head=[90, 91, 92], tail=[200, 201, 200]))
    assert data["entity"].raw_id.tolist() == [200, 201]


def test_attributes_of_items_that_are_not_read():
    items = pd.DataFrame({"item": [90, 91, 92], "title": "A", "genre": "Comedy", "year": 1999})
    with pytest.warns(UserWarning, match="only item and title are read, not genre, year; .* `triples`, as"):
        from_frames(RATINGS, items=items)


def test_items_without_a_triple_are_counted():
    triples = pd.DataFrame({"head": [90], "relation": "genre", "tail": [1]})
    with pytest.warns(UserWarning, match="2 of 3 items are no entity of the KG, and are left out .* linked_only=False"):
        from_frames(RATINGS, triples)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from_frames(RATINGS, triples, linked_only=False)
