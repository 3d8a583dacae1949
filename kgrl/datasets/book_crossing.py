"""Book-Crossing with its Satori KG, as RippleNet and KGQR use it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch_geometric.data import HeteroData

from kgrl.datasets.assemble import Rules, assemble
from kgrl.datasets.base import KGRecDataset
from kgrl.datasets.delimited import UNDECODABLE, WHOLE_NUMBER, existing, line_number
from kgrl.datasets.download import download
from kgrl.datasets.kgcn import FINAL_RATINGS, FINAL_TRIPLES, LINKS, TRIPLES, read_processed, read_raw
from kgrl.datasets.ratings import BINARY
from kgrl.datasets.table import Table

RATINGS = "BX-Book-Ratings.csv"
ROW = rf'^"(?P<user>{WHOLE_NUMBER})";"(?P<item>.*)";"(?P<rating>[0-9]{{1,3}})"$'
VARIABLE = "KGRL_BOOK_CROSSING"


class BookCrossing(KGRecDataset):
    """Book-Crossing (Ziegler et al., 2005) linked to Satori by RippleNet (Wang et al., 2018), as in KGQR's Table 2.

    Binary: every rating of a linked book counts as 1, and as many books that the user never rated are drawn as 0. In
    the published processed form: 139,746 ratings by 17,860 users of 14,967 books; 151,500 triples, 77,903 entities, 25
    relations. (Table 2 says 14,910 linked items.) ``data['item'].raw_id`` is the ISBN, where the index file is there.

    Args:
        root: folder of the data set.
        source: a folder in the processed form (``kg_final.npy|txt``, ``ratings_final.npy|txt``) or the raw one
            (``BX-Book-Ratings.csv``, ``item_index2entity_id*.txt``, ``kg*.txt``); default: the folder that the
            environment variable ``KGRL_BOOK_CROSSING`` names, else the raw form is downloaded from RippleNet's
            repository.
        linked_only: drop books without an entity, and their ratings.
        min_ratings: drop users with fewer ratings.
        bad_links: ``"error"``, or ``"drop"`` for leaving out links that cannot stand, in the raw form.
        seed: of the negatives, in the raw form; the processed form comes with its own.
        **kwargs: ``transform``, ``pre_transform``, ``force_reload``.
    """

    url = "https://raw.githubusercontent.com/hwwang55/RippleNet/master/data/book"
    license = "Book-Crossing: free for research, with acknowledgement; KG: as published with RippleNet"
    citation = "Ziegler et al., Improving Recommendation Lists Through Topic Diversification, WWW 2005; " \
               "Wang et al., RippleNet, CIKM 2018"
    item_noun = "book"

    def __init__(
        self, root: str | os.PathLike[str], source: str | os.PathLike[str] | None = None, linked_only: bool = True,
        *, min_ratings: int = 1, bad_links: str = "error", seed: int = 0, **kwargs: Any,
    ) -> None:
        source = source if source is not None else os.environ.get(VARIABLE) or None
        options = {"linked_only": linked_only, "min_ratings": min_ratings, "bad_links": bad_links, "seed": seed}
        super().__init__(root, source, options, **kwargs)

    @property
    def processed_form(self) -> bool:
        """Whether the raw folder holds the processed form."""
        return any(os.path.exists(os.path.join(self.raw_dir, name)) for name in FINAL_RATINGS + FINAL_TRIPLES)

    @property
    def raw_file_names(self) -> list[str]:
        there = [name for name in LINKS if os.path.exists(os.path.join(self.raw_dir, name))][:1]
        if self.processed_form:
            return [self._first(FINAL_RATINGS), self._first(FINAL_TRIPLES), *there]
        return [RATINGS, self._first(LINKS), self._first(TRIPLES)]

    def _first(self, names: tuple[str, ...]) -> str:
        """The name that is there, else the usual one."""
        return next((name for name in names if os.path.exists(os.path.join(self.raw_dir, name))), names[0])

    def fetch(self, folder: Path) -> None:
        for name in self.raw_file_names:
            download(f"{self.url}/{name}", folder / name)

    def read(self, folder: Path) -> HeteroData:
        if self.processed_form:
            rules = Rules(BINARY, self.options["linked_only"], self.options["min_ratings"])
            return assemble(read_processed(folder), rules, folder.name)
        raw = read_raw(folder, read_bx_ratings(folder / RATINGS), RATINGS)
        return assemble(raw, Rules((0, 10, 5), positive_from=0, **self.options), folder.name)


def read_bx_ratings(path: Path) -> Table:
    """Lines ``"user";"isbn";"rating"``. ISBNs were typed by users and may hold anything, the separator included.

    Raises:
        ValueError: a line of another form.
    """
    with open(existing(path), encoding="utf-8", errors=UNDECODABLE, newline="\n") as handle:
        lines = pd.Series([line.rstrip("\r\n") for line in handle if line.strip()], dtype=object)  # only "\n" ends one
    fields = lines.str.extract(ROW, flags=re.DOTALL)
    if len(fields) and not fields["user"].isna().iloc[0]:
        raise ValueError(f"{path}, line 1: expected a header, got {lines.iloc[0]!r}")
    lines, fields = lines[1:].reset_index(drop=True), fields[1:].reset_index(drop=True)
    table = Table(fields.assign(line=lines), path.name, lambda row: f"{path}, line {line_number(path, row + 1)}")
    table.complain(fields["user"].isna(), "line", 'of the form "user";"isbn";"rating", numbers plainly written')
    columns = {"user": np.int64, "item": "category", "rating": float}
    return Table(fields.astype(columns), path.name, table.locate)
