"""The year that each item came out in."""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.options import expected

UNKNOWN = -1


def release_years(data: HeteroData) -> Tensor:
    """``[N]``, int64: ``data["item"].year`` where the data set has it, else the years that its titles end in.

    "Toy Story (1995)" came out in 1995. An item whose year is not known has −1.

    Raises:
        ValueError: years of another shape or type, or a data set with neither years nor titles.
    """
    store = data["item"]
    if "year" in store:
        year = store.year
        if not isinstance(year, Tensor) or year.shape != (store.num_nodes,) or year.dtype != torch.long:
            came = f"{year.dtype} {list(year.shape)}" if isinstance(year, Tensor) else type(year).__name__
            what = f"a LongTensor [{store.num_nodes}], {UNKNOWN} where unknown"
            raise ValueError(expected('data["item"].year', what, came))
        return year
    if "title" not in store:
        raise ValueError(expected("data", 'one with data["item"].year, or with titles that have the year',
                                  list(store.keys()), f'set data["item"].year, a LongTensor [N], {UNKNOWN}: unknown'))
    # the last one counts: "2001: A Space Odyssey (1968)", "Dracula (1931) (V)"
    found = pd.Series(list(store.title), dtype=object).str.extract(r"^.*\((\d{4})\)", expand=False)
    return torch.from_numpy(pd.to_numeric(found).fillna(UNKNOWN).to_numpy("int64", copy=True))
