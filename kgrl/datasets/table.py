"""A table of raw rows that can say where each row came from, and the fast reader of delimited text files."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

Kind = Literal["id", "int", "float", "text"]
CHUNK, BLOCK = 1 << 20, 1 << 24
WHAT = {"id": "an id", "int": "a whole number", "float": "a number", "text": "text"}


@dataclass(frozen=True)
class Table:
    """A frame and the place of each of its rows, for errors.

    Args:
        frame: the rows; the index holds their original numbers and survives filtering.
        name: the file or the argument that the rows came from.
        locate: row number → place, as "ratings.dat, line 7"; only called once something is wrong.
    """

    frame: pd.DataFrame
    name: str
    locate: Callable[[int], str]

    @classmethod
    def of(cls, frame: pd.DataFrame, name: str, columns: Sequence[str]) -> Table:
        """A user's own frame, with ``columns`` at least."""
        missing = [column for column in columns if column not in frame.columns]
        if missing:
            raise ValueError(f"`{name}` must have the columns {', '.join(columns)}, "
                             f"got {', '.join(map(str, frame.columns))}; missing: {', '.join(missing)}")
        return cls(frame.reset_index(drop=True), name, lambda row: f"`{name}`, row {row}")

    def complain(self, bad: np.ndarray | pd.Series, column: str, what: str) -> None:
        """Raises a ``ValueError`` about the first row where ``bad`` is true, if there is one."""
        rows = np.flatnonzero(np.asarray(bad))
        if len(rows):
            first, more = rows[0], f" (and {len(rows) - 1:,} more)" if len(rows) > 1 else ""
            value = self.frame[column].iloc[first]
            place = self.locate(int(self.frame.index[first]))
            raise ValueError(f"{place}: {column} must be {what}, got {value!r}{more}")


def existing(path: Path) -> Path:
    """``path`` if it is a file with something in it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is empty.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; expected a data file")
    if not path.stat().st_size:
        raise ValueError(f"{path} is empty; expected a data file: it was cut off, fetch it again")
    return path


def read_delimited(
    path: Path, columns: Mapping[str, Kind], separator: str = "\t", *, header: bool = False, encoding: str = "utf-8",
    quoted: bool = False,
) -> Table:
    """Reads a delimited text file with pandas' C parser; looks for the malformed line only after a failure.

    Args:
        path: the file; blank lines are skipped.
        columns: name → kind of *all* fields of a line, in order.
        separator: one character, or "::" (MovieLens), for files whose fields hold no ":" themselves.
        header: whether the first line is one.
        encoding: of the file; bytes that do not fit it are replaced.
        quoted: whether fields may stand in double quotes.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a malformed line, named.
    """
    existing(path)
    try:
        frame = _parse(path, columns, separator, header, encoding, quoted)
        _require_ids(frame, columns)
    except (ValueError, OverflowError, pd.errors.ParserWarning) as error:
        raise _malformed(path, columns, separator, header, encoding, quoted, error) from None
    return Table(frame, path.name, lambda row: f"{path}, line {line_number(path, row + header)}")


def _parse(
    path: Path, columns: Mapping[str, Kind], separator: str, header: bool, encoding: str, quoted: bool
) -> pd.DataFrame:
    """The rows; ids that are all plainly written whole numbers as such, which is several times faster, else as text."""
    # the C parser knows one-character separators only; "a::b" split at ":" is "a", "", "b"
    names = [name for column in columns for name in ((column,) if len(separator) == 1 else (column, f"-{column}"))]
    types = {"text": "str", "int": np.int64, "float": np.float64}

    def read(id_type: type | str, chunk: int | None = None) -> Any:
        return pd.read_csv(
            path, sep=separator[0], names=names[: len(names) + 1 - len(separator)], usecols=list(columns),
            header=0 if header else None, dtype={column: types.get(kind, id_type) for column, kind in columns.items()},
            keep_default_na=False, na_values=[], quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
            encoding=encoding, encoding_errors="replace", index_col=False, chunksize=chunk,
        )

    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # what pandas would drop silently
        if "id" in columns.values() and not quoted and _plainly_numbered(path, separator):
            try:
                return read(np.int64)
            except (ValueError, OverflowError):  # some id is text, or the file is malformed: the next attempt tells
                pass
        ids = {column: "category" for column, kind in columns.items() if kind == "id"}
        with read("str", CHUNK) as chunks:  # a category holds each distinct text once, whatever the number of rows
            parts = [chunk.astype(ids) for chunk in chunks]
    frame = pd.concat([part.drop(columns=list(ids)) for part in parts], ignore_index=True)
    for place, column in enumerate(columns):
        if column in ids:
            frame.insert(place, column, union_categoricals([part[column] for part in parts]))
    return frame


def _plainly_numbered(path: Path, separator: str) -> bool:
    """Whether no field can be a whole number in disguise: 07, +7 and "7 " would become the same id as 7."""
    with open(path, "rb") as handle:
        tail = b"\n"
        while block := handle.read(BLOCK):
            text = tail + block
            if any(sign in text for sign in (b" ", b"+", b"-")):
                return False
            code = np.frombuffer(text, np.uint8)
            first = (code[:-2] == ord(separator[0])) | (code[:-2] == ord("\n"))
            if (first & (code[1:-1] == ord("0")) & (code[2:] - np.uint8(ord("0")) < 10)).any():
                return False
            tail = text[-2:]
    return True


def _require_ids(frame: pd.DataFrame, columns: Mapping[str, Kind]) -> None:
    for column, kind in columns.items():
        text = kind == "id" and isinstance(frame[column].dtype, pd.CategoricalDtype)
        if text and (frame[column].isna().any() or "" in frame[column].cat.categories):
            raise ValueError(f"{column} is missing somewhere")


def line_number(path: Path, row: int) -> int:
    """The number, from 1, of the ``row``-th line that is not blank."""
    with open(path, "rb") as handle:
        filled = (number for number, line in enumerate(handle, 1) if line.strip())
        return next((number for place, number in enumerate(filled) if place == row), row + 1)


def _malformed(
    path: Path, columns: Mapping[str, Kind], separator: str, header: bool, encoding: str, quoted: bool,
    reason: Exception,
) -> ValueError:
    """The error about the first line that does not have the fields of ``columns``."""
    layout = separator.join(columns)
    with open(path, encoding=encoding, errors="replace", newline="") as handle:
        for number, line in enumerate(handle, 1):
            text = line.rstrip("\r\n")
            if not text.strip() or (header and number == 1):
                continue
            fields = next(csv.reader([text], delimiter=separator)) if quoted else text.split(separator)
            if len(fields) != len(columns):
                return ValueError(f"{path}, line {number}: expected {len(columns)} fields ({layout!r}), "
                                  f"got {len(fields)}: {text[:200]!r}")
            for field, (column, kind) in zip(fields, columns.items(), strict=True):
                if not _fits(field, kind):
                    return ValueError(f"{path}, line {number}: {column} must be {WHAT[kind]}, got {field!r}")
    return ValueError(f"{path}: expected lines {layout!r}, {reason}")


def _fits(field: str, kind: Kind) -> bool:
    try:
        return kind == "text" or bool(field if kind == "id" else (int if kind == "int" else float)(field) is not None)
    except ValueError:
        return False
