"""The Netflix Prize ratings."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch_geometric.data import HeteroData

from kgrl.datasets.assemble import Raw, Rules, assemble
from kgrl.datasets.base import KGRecDataset
from kgrl.datasets.delimited import WHOLE_NUMBER, existing
from kgrl.datasets.table import Table
from kgrl.files import sha256

TITLES = "movie_titles.csv"
LARGEST = 999_999_999
FILES_AT_ONCE = 1000  # of the 17,770 small ones
# numbers that 32 bits hold, plainly written
LINE = re.compile(rb"[1-9]\d{0,8}:|[1-9]\d{0,8},\d{1,3},(\d{4}-\d{2}-\d{2})")


class NetflixPrize(KGRecDataset):
    """The Netflix Prize (Bennett and Lanning, 2007): 100,480,507 ratings, 1 to 5, by 480,189 users of 17,770 films.

    No KG: TPGR needs none. Above 3.5 is positive. All of it takes about 6 GB of memory to process.

    Args:
        root: folder of the data set.
        source: a folder that holds ``combined_data_*.txt`` or ``mv_*.txt`` and perhaps ``movie_titles.csv``; default
            ``root/raw``. There is no download: get the archive where Netflix's licence lets you.
        linked_only: as everywhere; without a KG nothing is dropped.
        min_ratings: drop users with fewer ratings.
        **kwargs: ``transform``, ``pre_transform``, ``force_reload``.
    """

    license = "Netflix: research use, no redistribution"
    citation = "Bennett and Lanning, The Netflix Prize, KDD Cup 2007"
    item_noun = "film"

    def __init__(
        self, root: str | os.PathLike[str], source: str | os.PathLike[str] | None = None, linked_only: bool = True,
        *, min_ratings: int = 1, **kwargs: Any,
    ) -> None:
        super().__init__(root, source, {"linked_only": linked_only, "min_ratings": min_ratings}, **kwargs)

    @property
    def raw_file_names(self) -> list[str]:
        folder = Path(self.raw_dir)
        ratings = sorted(folder.glob("combined_data_*.txt")) or sorted(folder.glob("mv_*.txt"))
        names = [path.name for path in ratings] or [f"combined_data_{part}.txt" for part in range(1, 5)]
        return names + ([TITLES] if (folder / TITLES).is_file() else [])

    def fetch(self, folder: Path) -> None:
        raise FileNotFoundError(f"{folder} must hold combined_data_*.txt or mv_*.txt of the Netflix Prize, which "
                                f"cannot be downloaded from here; put them there or name their folder with `source`")

    def read(self, folder: Path) -> HeteroData:
        paths = [folder / name for name in self.raw_file_names]
        titles = read_titles(folder / TITLES) if folder / TITLES in paths else None
        ratings = read_netflix([path for path in paths if path.name != TITLES])
        files = {path.name: sha256(path) for path in paths}
        return assemble(Raw(ratings, items=titles, files=files), Rules((1, 5, 3.5), **self.options), folder.name)


def read_netflix(paths: Sequence[Path]) -> Table:
    """Lines ``film:`` and, under each, ``user,rating,YYYY-MM-DD``.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: an empty file or a malformed line.
    """
    single = paths[0].name.startswith("combined")
    parts = [[path] for path in paths] if single else [paths[at : at + FILES_AT_ONCE]
                                                       for at in range(0, len(paths), FILES_AT_ONCE)]
    frame = pd.concat([_read_part(part) for part in parts], ignore_index=True)
    name = paths[0].name if len(paths) == 1 else f"{paths[0].name} to {paths[-1].name}"
    return Table(frame, name, lambda row: _place(paths, row))


def _read_part(paths: Sequence[Path]) -> pd.DataFrame:
    """One block of rows, read as numbers throughout: a film's line becomes a row with a negative user."""
    text = b"\n".join(existing(path).read_bytes().rstrip() for path in paths) + b"\n"
    numbers = re.sub(rb"(?m)^(\d+):[ \t\r]*$", rb"-\1,0,0", text.replace(b"-", b""))
    try:
        rows = pd.read_csv(BytesIO(numbers), names=["user", "rating", "day"], dtype=np.int64, index_col=False)
        largest = max(rows.max().max(), -rows.min().min()) if len(rows) else LARGEST + 1
        if largest > LARGEST or b"\n0" in text or text.startswith(b"0"):
            raise ValueError("a number is missing, too large or not plainly written")
        rows = rows.astype(np.int32)  # what pandas reads as such wraps without a word
    except (ValueError, OverflowError) as error:
        raise _malformed(paths, error) from None
    user, film = rows["user"].to_numpy(), rows["user"].to_numpy() < 0
    hyphens = 2 * (len(rows) - film.sum())  # a date's; they were taken out, a minus sign's, too
    if (not film[0] or (rows["day"].to_numpy()[~film] < 10_000_101).any() or len(rows) != text.count(b"\n")
            or text.count(b"-") != hyphens):
        raise _malformed(paths, ValueError("a film's line or a date is missing"))
    item = np.repeat(-user[film], np.diff(np.append(np.flatnonzero(film), len(user))))
    rows = rows.assign(item=item)[~film]
    day, days = pd.factorize(rows["day"])
    dates = pd.to_datetime(days.astype(str), format="%Y%m%d", errors="coerce")
    if dates.hasnans:
        raise _malformed(paths, ValueError("a date is none"))
    seconds = dates.to_numpy().astype("datetime64[s]").astype(np.int64)
    return pd.DataFrame({"user": rows["user"], "item": rows["item"], "rating": rows["rating"].astype(np.float32),
                         "time": seconds.astype(np.int32)[day]})


def _lines(paths: Sequence[Path]) -> Iterator[tuple[Path, int, bytes]]:
    for path in paths:
        with open(path, "rb") as handle:
            for number, line in enumerate(handle, 1):
                yield path, number, line.rstrip(b" \t\r\n")  # a line that begins with a blank is not of the form


def _malformed(paths: Sequence[Path], reason: Exception) -> ValueError:
    form = "expected 'film:' or 'user,rating,YYYY-MM-DD'"
    for path in paths:
        for where, number, line in _lines([path]):
            found = LINE.fullmatch(line)
            if not found or (number == 1 and not line.endswith(b":")) or not _is_day(found[1]):
                return ValueError(f"{where}, line {number}: {form}{' (a film first)' * (number == 1)}, got {line!r}")
    return ValueError(f"{paths[0]}: {form}, {reason}")


def _is_day(text: bytes | None) -> bool:
    """Whether ``text`` is a day of the calendar; a film's line has none."""
    return text is None or not pd.isna(pd.to_datetime(text.decode(), format="%Y-%m-%d", errors="coerce"))


def _place(paths: Sequence[Path], row: int) -> str:
    rated = ((path, number) for path, number, line in _lines(paths) if line and not line.endswith(b":"))
    path, number = next((place for at, place in enumerate(rated) if at == row), (paths[0], row))
    return f"{path}, line {number}"


def read_titles(path: Path) -> Table:
    """Lines ``film,year,title``; titles hold commas."""
    films = []
    for where, number, line in _lines([existing(path)]):
        fields = line.decode("latin-1").split(",", 2)
        if len(fields) != 3 or not re.fullmatch(WHOLE_NUMBER, fields[0]):
            raise ValueError(f"{where}, line {number}: expected film,year,title, got {line!r}")
        films.append((int(fields[0]), fields[2] if fields[1] == "NULL" else f"{fields[2]} ({fields[1]})"))
    return Table(pd.DataFrame(films, columns=["item", "title"]), path.name, lambda row: f"{path}, line {row + 1}")
