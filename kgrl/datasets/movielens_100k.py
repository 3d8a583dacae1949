"""MovieLens-100K with its Freebase KG."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from torch_geometric.data import HeteroData

from kgrl.datasets.assemble import Rules, assemble
from kgrl.datasets.base import KGRecDataset
from kgrl.datasets.download import download_wheel, unzip
from kgrl.datasets.labels import name_by_labels
from kgrl.datasets.recbole import read_recbole


class MovieLens100K(KGRecDataset):
    """MovieLens-100K (Harper and Konstan, 2015) linked to Freebase by KB4Rec (Zhao et al., 2019), as RecBole ships it.

    100,000 ratings by 943 users of 1,682 films, of which 1,598 are linked and hold 97,554 of the ratings; 91,631
    triples, 34,628 entities, 24 relations. Ratings 1 to 5, above 3.5 is positive; ``data['item'].title`` has the year.

    Args:
        root: folder of the data set.
        source: a folder that holds ``ml-100k.inter``, ``.kg``, ``.link``, ``.item`` and ``.user``; else pip fetches the
            RecBole wheel that holds them (2 MB; nothing of it is installed).
        linked_only: drop films without an entity, and their ratings.
        min_ratings: drop users with fewer of the ratings that remain.
        **kwargs: ``transform``, ``pre_transform``, ``force_reload``.
    """

    license = "GroupLens: research use, no redistribution without permission; Freebase: CC BY"
    citation = "Harper and Konstan, The MovieLens Datasets, TiiS 2015; Zhao et al., KB4Rec, Data Intelligence 2019"
    item_noun = "film"
    wheel = "recbole-1.2.1-py3-none-any.whl"
    sha256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"

    def __init__(
        self, root: str | os.PathLike[str], source: str | os.PathLike[str] | None = None, linked_only: bool = True,
        *, min_ratings: int = 1, **kwargs: Any,
    ) -> None:
        super().__init__(root, source, {"linked_only": linked_only, "min_ratings": min_ratings}, **kwargs)

    @property
    def raw_file_names(self) -> list[str]:
        return [f"ml-100k.{kind}" for kind in ("inter", "kg", "link", "item", "user")]

    def fetch(self, folder: Path) -> None:
        wheel = download_wheel("recbole==1.2.1", self.wheel, self.sha256, folder)
        unzip(wheel, [f"recbole/dataset_example/ml-100k/{name}" for name in self.raw_file_names], folder)

    def read(self, folder: Path) -> HeteroData:
        raw, name = read_recbole(folder, "ml-100k")
        data = assemble(raw, Rules((1, 5, 3.5), **self.options), name)
        if raw.items is not None:
            name_by_labels(data, raw.items.frame, "class", " ")
        return data
