from __future__ import annotations

import pandas as pd
import pytest
import torch

from kgrl.datasets.frames import from_frames
from kgrl.datasets.years import release_years

TITLES = ["Toys (1995)", "2001: A Space Odyssey (1968)", "Land (1995) (V)", "unknown", "M (Eine Stadt)", "(500) Days"]


def test_the_year_is_what_the_title_ends_in():
    names = range(len(TITLES))
    data = from_frames(pd.DataFrame({"user": 0, "item": names}), items=pd.DataFrame({"item": names, "title": TITLES}))
    years = release_years(data)
    assert years.tolist() == [1995, 1968, 1995, -1, -1, -1]
    assert years.dtype == torch.long


def test_years_of_the_data_set_go_first_and_are_checked():
    data = from_frames(pd.DataFrame({"user": 0, "item": [0, 1]}))
    data["item"].year = torch.tensor([1990, -1])
    assert release_years(data) is data["item"].year
    for wrong in (torch.tensor([1990.0, -1]), torch.tensor([1990]), [1990, 1991]):
        data["item"].year = wrong
        with pytest.raises(ValueError, match="a LongTensor \\[2\\], -1 where unknown"):
            release_years(data)
