"""The reader of adjacency lists: a user and her items in each line, as KGAT, NGCF and LightGCN publish them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from kgrl.datasets.delimited import existing
from kgrl.datasets.table import Table

NUMBER = re.compile(rb"0|[1-9][0-9]{0,17}")
MARK = b"\xef\xbb\xbf"  # a byte order mark, which some editors write
ZERO, NINE, FEED = ord("0"), ord("9"), ord("\n")


def read_adjacency(path: Path) -> Table:
    """Lines ``user item item …`` of plainly written whole numbers with blanks between them; a user may have no item.

    Args:
        path: of the file.

    Returns:
        A table of ``user, item``, a row for each item of each line.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a field that is no such number; the text names the line.
    """
    content = existing(path).read_bytes().removeprefix(MARK)
    code = np.frombuffer(content, np.uint8)
    digit = (code >= ZERO) & (code <= NINE)
    start = np.flatnonzero(digit & ~np.concatenate([[False], digit[:-1]]))
    end = np.flatnonzero(digit & ~np.concatenate([digit[1:], [False]]))
    in_disguise = ((code[start] == ZERO) & (end > start)) | (end - start >= 18)  # 07, or too long for 64 bits
    if content.translate(None, b"0123456789 \t\r\n") or b"\r" in content.replace(b"\r\n", b"") or in_disguise.any():
        raise _malformed(path, content)
    if not len(start):
        raise ValueError(f"{path} has no row at all, only blank lines; expected lines 'user item item …'")
    numbers = np.array(content.split(), dtype=np.int64)
    line = np.cumsum(code == FEED)[start]  # from 0, as no number starts with a line feed
    first = np.concatenate([[True], line[1:] != line[:-1]])
    user = numbers[first][np.cumsum(first) - 1]
    rows, lines = pd.DataFrame({"user": user[~first], "item": numbers[~first]}), line[~first]
    return Table(rows, path.name, lambda row: f"{path}, line {int(lines[row]) + 1}")


def _malformed(path: Path, content: bytes) -> ValueError:
    """The error about the first field that is no plainly written whole number."""
    for place, line in enumerate(content.split(b"\n"), 1):
        for field in line.removesuffix(b"\r").replace(b"\t", b" ").split(b" "):
            if field and not NUMBER.fullmatch(field):
                return ValueError(f"{path}, line {place}: expected whole numbers, plainly written, with blanks between "
                                  f"them (user item item …), got {field[:50].decode(errors='backslashreplace')!r}")
    raise AssertionError("a file is only called malformed if it has such a field")
