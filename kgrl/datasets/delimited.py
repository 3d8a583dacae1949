"""The fast reader of delimited text files, which names the line that is malformed."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from kgrl.datasets.table import Table
from kgrl.options import expected

Kind = Literal["id", "int", "float", "text"]
WHOLE_NUMBER = r"0|-?[1-9][0-9]{0,17}"  # \d would take the digits of other scripts, too
BLANK = b" \r\n"  # what pandas skips; a line of two tabs is one of three empty fields
CHUNK = 1 << 20
BLOCK = 1 << 18  # small enough for a processor's own memory: faster by half than 1 << 24
UNDECODABLE = "backslashreplace"  # with one sign for all that is not decoded, two ids could become one
WHAT = {"id": "an id", "int": "a whole number, plainly written", "float": "a number", "text": "text"}


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
        encoding: of the file; bytes that do not fit it are written out in hexadecimal.
        quoted: whether fields may stand in double quotes.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a malformed line, named, or a separator of another form.
    """
    if len(separator) not in (1, 2) or len(set(separator)) != 1:
        raise ValueError(expected("separator", "one character or one doubled, as '::'", separator))
    form = _Form(dict(columns), separator, header, encoding, quoted)
    existing(path)
    if header:
        _require_header(path, form)
    try:
        scan = _Scan(False, 0) if quoted else _scan(path, separator)
        frame = _parse(path, form, scan.plain)
        _require_whole_lines(path, form, scan, len(frame))
    except _WrongRecord:
        raise
    except (ValueError, OverflowError, csv.Error) as error:
        raise _malformed(path, form, error) from None
    return Table(frame, path.name, lambda row: f"{path}, line {line_number(path, row + header)}")


@dataclass(frozen=True)
class _Form:
    """What :func:`read_delimited` was told of a file."""

    columns: dict[str, Kind]
    separator: str
    header: bool
    encoding: str
    quoted: bool

    @property
    def whole(self) -> list[str]:
        """The columns in which 7 and 07 must not become one."""
        return [column for column, kind in self.columns.items() if kind in ("id", "int")]


def _parse(path: Path, form: _Form, plain: bool) -> pd.DataFrame:
    """The rows; an id column of nothing but plainly written whole numbers as numbers, others as categories of text."""
    # the C parser knows one-character separators only: "a::b" split at ":" is "a", "", "b"
    names = [name for column in form.columns for name in (f"-{column}", column)[-len(form.separator) :]]
    types: dict[str, Any] = {"text": "str", "float": np.float64}

    def read(id_type: type | str, chunk: int | None = None) -> Any:
        return pd.read_csv(
            path, sep=form.separator[0], names=names[len(form.separator) - 1 :], usecols=list(form.columns),
            header=0 if form.header else None, index_col=False, chunksize=chunk, keep_default_na=False, na_values=[],
            dtype={column: types.get(kind, id_type) for column, kind in form.columns.items()},
            quoting=csv.QUOTE_MINIMAL if form.quoted else csv.QUOTE_NONE, encoding=form.encoding,
            encoding_errors=UNDECODABLE,
        )

    if plain:
        try:
            return read(np.int64)
        except (ValueError, OverflowError):  # some id is text, or the file is malformed: the next attempt tells
            pass
    with read("str", CHUNK) as chunks:  # a category holds each distinct text once, whatever the number of rows
        parts = [chunk.astype(dict.fromkeys(form.whole, "category")) for chunk in chunks]
    frame = pd.concat([part.drop(columns=form.whole) for part in parts], ignore_index=True)
    for place, (column, kind) in enumerate(form.columns.items()):
        if column in form.whole:
            ids = _numbers_or_text(union_categoricals([part[column] for part in parts]))
            if kind == "int" and isinstance(ids, pd.Categorical):
                raise ValueError(f"{column} is no whole number")
            frame.insert(place, column, ids)
    return frame


def _require_header(path: Path, form: _Form) -> None:
    """Refuses a first line that is a row: it would be lost."""
    numbers = [place for place, kind in enumerate(form.columns.values()) if kind in ("int", "float")]
    with open(path, encoding=form.encoding, errors=UNDECODABLE, newline="\n") as handle:
        line = handle.readline().rstrip("\r\n")
    fields = [field.strip('"') for field in line.split(form.separator)]
    if numbers and len(fields) > numbers[-1] and all(_fits(fields[place], "float") for place in numbers):
        layout = form.separator.join(form.columns)
        raise ValueError(f"{path}, line 1: expected a header, as in {layout!r}, got {line!r}")


def _numbers_or_text(ids: pd.Categorical) -> np.ndarray | pd.Categorical:
    if ids.isna().any() or "" in ids.categories:
        raise ValueError("an id is missing")
    if all(map(re.compile(WHOLE_NUMBER).fullmatch, ids.categories)):  # of text, the first one tells
        return ids.categories.astype(np.int64).to_numpy()[ids.codes]
    return ids


@dataclass(frozen=True)
class _Scan:
    """What one pass over the bytes of a file shows.

    Args:
        plain: whether no field can be a whole number in disguise: 07, +7 and "7 " would become the same id as 7.
        separators: how often the separator's character comes.
    """

    plain: bool
    separators: int


def _scan(path: Path, separator: str) -> _Scan:
    signs = [sign for sign in (b" ", b"+", b"-", b"\t", b"\v", b"\f") if sign != separator.encode()]
    plain, separators, tail = True, 0, b"\n"
    with open(path, "rb") as handle:
        while block := handle.read(BLOCK):
            text = tail + block
            code = np.frombuffer(text, np.uint8)
            ends = code[:-2] == ord(separator[0])
            separators += int(np.count_nonzero(ends))
            plain = plain and not any(sign in text for sign in signs)
            if plain:
                ends |= code[:-2] == ord("\n")
                ends &= code[1:-1] == ord("0")  # in place: a pass over a new array takes as long as all of this
                plain = not (ends.any() and (ends & (code[2:] - np.uint8(ord("0")) < 10)).any())
            tail = text[-2:]
    return _Scan(plain, separators + tail.count(separator[0].encode()))


class _WrongRecord(ValueError):
    """What is between quotes may hold line ends: which line a record ends in is known where it is read."""


def _require_whole_lines(path: Path, form: _Form, scan: _Scan, rows: int) -> None:
    """Refuses lines with fields too many or too few, which pandas drops or makes up without a word."""
    fields = len(form.columns)
    separators, separator = (fields - 1) * len(form.separator), form.separator[0].encode()
    if form.quoted:
        with open(path, encoding=form.encoding, errors=UNDECODABLE, newline="") as handle:
            lines, whole = csv.reader(handle, delimiter=form.separator), True
            for line in lines:  # between quotes a field may go on in the next line
                if len(line) != fields and "".join(line).strip(" "):
                    raise _WrongRecord(f"{path}, line {lines.line_num}: expected {fields} fields "
                                       f"({form.separator.join(form.columns)!r}), got {len(line)}: {line!r:.200}")
    elif list(form.columns.values())[-1] == "text":  # one that is missing is read as an empty one
        with open(path, "rb") as handle:
            whole = all(line.count(separator) == separators for line in handle if line.strip(BLANK))
    else:  # the sum will do: a number or an id that is missing at the end is refused by the parser
        whole = scan.separators == (rows + form.header) * separators
    if not whole:
        raise ValueError(f"some line has not {fields} fields")


def line_number(path: Path, row: int) -> int:
    """The number, from 1, of the ``row``-th line that is not blank."""
    with open(path, "rb") as handle:
        filled = (number for number, line in enumerate(handle, 1) if line.strip(BLANK))
        return next((number for place, number in enumerate(filled) if place == row), row + 1)


def _malformed(path: Path, form: _Form, reason: Exception) -> ValueError:
    """The error about the first line that has not the fields it should have."""
    columns, layout, alone, blank = form.columns, form.separator.join(form.columns), 0, True
    with open(path, encoding=form.encoding, errors=UNDECODABLE, newline="") as handle:
        for number, line in enumerate(handle, 1):
            alone = alone or number * line.endswith("\r")
            text = line.rstrip("\r\n")
            if number == 1 and form.encoding == "utf-8":  # as pandas does; alone on a line, it is a field to csv
                text = text.removeprefix("\ufeff") or text * form.quoted
            if not text.strip(" ") and form.separator not in text:  # where blanks separate, they are fields of nothing
                continue
            blank = False
            try:
                fields = next(csv.reader([text], delimiter=form.separator), []) if form.quoted \
                    else text.split(form.separator)
            except csv.Error as error:
                return ValueError(f"{path}, line {number}: expected {layout!r}, {error}: {text[:200]!r}")
            if len(fields) != len(columns):
                return ValueError(f"{path}, line {number}: expected {len(columns)} fields ({layout!r}), "
                                  f"got {len(fields)}: {text[:200]!r}")
            for field, (column, kind) in zip(fields, columns.items(), strict=True):
                if form.header and number == 1:
                    break
                if not _fits(field, kind):
                    return ValueError(f"{path}, line {number}: {column} must be {WHAT[kind]}, got {field!r}")
    if blank:
        return ValueError(f"{path} has no row at all, only blank lines; expected lines {layout!r}")
    if alone:  # pandas takes it for the end of a line; most tools do not
        return ValueError(f"{path}, line {alone}: expected a line feed (\\n) at its end, got a carriage return (\\r) "
                          f"alone; {reason}")
    return ValueError(f"{path}: expected lines {layout!r}, {reason}")


def _fits(field: str, kind: Kind) -> bool:
    try:
        if kind == "int":
            return re.fullmatch(WHOLE_NUMBER, field) is not None
        if kind == "float":
            return math.isfinite(float(field)) and field.isascii() and "_" not in field
        return kind == "text" or bool(field)
    except ValueError:
        return False
