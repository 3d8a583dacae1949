"""The reader of the files that KGAT, KGIN, NGCF, LightGCN and their followers publish."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.datasets.assemble import Raw, Rules, assemble
from kgrl.datasets.delimited import UNDECODABLE, WHOLE_NUMBER, existing, read_delimited
from kgrl.datasets.frames import warn_of_left_out_items
from kgrl.datasets.rating_splits import PARTS
from kgrl.datasets.ratings import BINARY
from kgrl.datasets.table import Table, stacked
from kgrl.files import sha256
from kgrl.objects import a_path
from kgrl.options import flag
from kgrl.texts import with_texts

NUMBER = re.compile(rb"0|[1-9][0-9]{0,17}")
MARK = b"\xef\xbb\xbf"  # a byte order mark, which some editors write
ZERO, NINE, FEED = ord("0"), ord("9"), ord("\n")
KG = "kg_final.txt"
LISTS = {kind: f"{kind}_list.txt" for kind in ("user", "item", "entity", "relation")}
SMALL, GAPS = 1_000_000, 100
"""Up to which item number nothing is asked where no list names the items, and how many numbers a row may stand for."""


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
    for place, line in enumerate(content.replace(b"\r\n", b"\n").split(b"\n"), 1):
        for field in line.replace(b"\t", b" ").split(b" "):
            if field and not NUMBER.fullmatch(field):
                return ValueError(f"{path}, line {place}: expected whole numbers, plainly written, with blanks between "
                                  f"them (user item item …), got {field[:50].decode(errors='backslashreplace')!r}")
    raise AssertionError("a file is only called malformed if it has such a field")


def from_kgat(
    folder: str | os.PathLike[str],
    *,
    negatives: bool = False,
    linked_only: bool = True,
    min_ratings: int = 1,
    min_item_ratings: int = 0,
    seed: int = 0,
) -> HeteroData:
    """Reads a folder in the form of KGAT (https://github.com/xiangwang1223/knowledge_graph_attention_network).

    - ``train.txt`` and, where they are there, ``valid.txt`` and ``test.txt``: in each line a user and her items;
    - ``kg_final.txt``: lines ``head relation tail``; item i is entity i; without it there is no KG (NGCF, LightGCN);
    - ``user_list.txt``, ``item_list.txt``, ``entity_list.txt``, ``relation_list.txt``: a header, then lines ``org_id
      remap_id``, which give ``raw_id`` and the names of the relations; what comes after ``remap_id`` is not read.

    As in the authors' code, an item is taken once per user, and a triple once. Where a pair is in several files, it is
    of the first: an item that a user was trained with is no test. Of the relations' names, the web address before the
    last "/" is left out where they stay distinct. Differs from the authors' code: inverse relations are not added here
    (:func:`kgrl.graph.knowledge_graph` does).

    Whether the links are right is not checked here; ``print(audit_links(data))`` tells
    (:func:`~kgrl.datasets.audit_links`).

    Args:
        folder: where the files are.
        negatives: draw as many items that a user never had as 0, in each part of the split.
        linked_only: drop items that no triple has, and their ratings.
        min_ratings: drop users with fewer ratings.
        min_item_ratings: drop items with fewer; see :func:`kgrl.datasets.from_frames`.
        seed: of the negatives.

    Returns:
        The ``HeteroData`` that :func:`kgrl.datasets.from_frames` describes, on the scale (0, 1, 0.5), with ``part``
        ``[R]`` beside ``rating``: 0, 1 and 2 for the three files; ``split_ratings(data, by="given")`` reads it.

    Raises:
        FileNotFoundError: there is no ``train.txt``, or a KG that is still packed.
        ValueError: a malformed file, a number that its list lacks, or what ``from_frames`` refuses.
    """
    folder = a_path("folder", folder)
    rules = Rules(BINARY, linked_only, min_ratings, "error", 1.0 if flag("negatives", negatives) else None, seed,
                  min_item_ratings)
    lists = {kind: read_list(folder / name) for kind, name in LISTS.items() if (folder / name).is_file()}
    data = assemble(_read(folder, lists), rules, folder.name)
    warn_of_left_out_items(data)
    if "entity" in lists and len(twice := lists["entity"].frame["name"][lists["entity"].frame["name"].duplicated()]):
        warnings.warn(f"{lists['entity'].name}: {twice.iloc[0]!r} stands for several entities, so entities keep their "
                      f"numbers as raw ids", stacklevel=2)
        del lists["entity"]
    for kind in lists.keys() - {"relation"}:
        if "raw_id" in data[kind]:
            data[kind].raw_id = _original(data[kind].raw_id, lists[kind])
    if "entity" in lists and "entity_id" in data["item"]:
        data["item"].entity_id = _original(data["item"].entity_id, lists["entity"])
    return with_texts(data)


def read_list(path: Path) -> Table:
    """A file of original ids and the numbers that stand for them, as ``name, number``.

    A header, then lines ``org_id remap_id`` or ``org_id remap_id more``, as the header has two or three fields. An
    ``org_id`` may hold blanks. In the item list of Yelp2018 a blank is missing: ``org_id remap_idorg_id`` is read, too.

    Raises:
        ValueError: a header or a line that is not of this form, or a number that is listed twice; the text names the
            line.
    """
    with open(existing(path), encoding="utf-8-sig", errors=UNDECODABLE, newline="\n") as handle:
        lines = pd.Series([line.rstrip("\r\n") for line in handle], dtype=object)
    first = lines.iloc[0] if len(lines) else ""  # a byte order mark alone is no line
    header = first.split()
    if header[1:2] != ["remap_id"] or len(header) > 3:
        raise ValueError(f"{path}, line 1: expected the header 'org_id remap_id' or 'org_id remap_id freebase_id', "
                         f"got {first[:200]!r}")
    form = r"^(?P<name>.+?)[ \t](?P<number>0|[1-9][0-9]{0,17})(?:[ \t].*|(?P=name))?$" if len(header) == 3 else \
        r"^(?P<name>.+)[ \t](?P<number>0|[1-9][0-9]{0,17})[ \t]*$"
    rows = lines[1:][lines[1:].str.strip() != ""]
    found = Table(rows.str.extract(form).assign(line=rows), path.name, lambda row: f"{path}, line {row + 1}")
    found.complain(found.frame["number"].isna(), "line", f"of the form {' '.join(header)!r}")
    if not len(rows):
        raise ValueError(f"{path} has no row at all, only a header; expected lines {' '.join(header)!r}")
    found.frame["number"] = found.frame["number"].astype(np.int64)
    found.complain(found.frame["number"].duplicated(), "number", "listed once")
    if path.name != LISTS["entity"]:  # several items may be one thing of the world
        found.complain(found.frame["name"].duplicated(), "name", "listed once")
    return found


def _read(folder: Path, lists: dict[str, Table]) -> Raw:
    paths = [folder / f"{part}.txt" for part in PARTS]
    there = [number for number, path in enumerate(paths) if not number or path.is_file()]
    tables = [read_adjacency(paths[number]) for number in there]
    ratings = stacked(tables)
    part = np.repeat(there, [len(table.frame) for table in tables])
    items, triples = _items(ratings, lists.get("item")), _triples(folder, lists)
    for kind in ("user", "item"):
        if kind in lists:
            _require(ratings, kind, lists[kind])
    used = [paths[number] for number in there] + [folder / LISTS[kind] for kind in lists]
    used += [] if triples is None else [folder / KG]
    return Raw(ratings, triples, None, items, {path.name: sha256(path) for path in used}, part=part)


def _items(ratings: Table, listed: Table | None) -> Table:
    """All items: those of the list, else all numbers up to the largest."""
    if listed is not None:
        return Table(listed.frame[["number"]].rename(columns={"number": "item"}), listed.name, listed.locate)
    most = max(SMALL, GAPS * len(ratings.frame))  # memory for an item 10¹² is memory for all below it
    ratings.complain(ratings.frame["item"] >= most, "item", f"below {most:,}, as items have the numbers from 0 on")
    return Table.of(pd.DataFrame({"item": np.arange(ratings.frame["item"].max() + 1)}), "items", ["item"])


def _triples(folder: Path, lists: dict[str, Table]) -> Table | None:
    """The KG, each triple once, with the names of the relations."""
    path = folder / KG
    if not path.is_file():
        if packed := sorted(folder.glob("kg_final*.zip")):
            raise FileNotFoundError(f"{path} does not exist, but {packed[0].name}; unpack it there")
        return None
    with open(existing(path), encoding="utf-8", errors=UNDECODABLE) as handle:
        separator = "\t" if "\t" in handle.readline() else " "
    triples = read_delimited(path, {"head": "int", "relation": "int", "tail": "int"}, separator)
    for column, kind in (("head", "entity"), ("relation", "relation"), ("tail", "entity")):
        triples.complain(triples.frame[column] < 0, column, "at least 0")
        if kind in lists:
            _require(triples, column, lists[kind])
    frame = triples.frame.drop_duplicates()
    if "relation" in lists:
        names = lists["relation"].frame.set_index("number")["name"]
        short = names.str.replace(r"^https?://.*/(?=.)", "", regex=True)
        frame = frame.assign(relation=frame["relation"].map(short if short.is_unique else names))
    return Table(frame, triples.name, triples.locate)


def _require(table: Table, column: str, listed: Table) -> None:
    """Refuses a number that is not in its list."""
    table.complain(~table.frame[column].isin(listed.frame["number"]), column, f"listed in {listed.name}")


def _original(numbers: Tensor, listed: Table) -> Tensor | Sequence[str]:
    """The original ids of ``numbers``: whole numbers where all of the list are, else text; −1 or "" for −1."""
    names = listed.frame.set_index("number")["name"]
    if names.str.fullmatch(WHOLE_NUMBER).all():
        return torch.from_numpy(names.astype(np.int64).reindex(numbers.tolist(), fill_value=-1).to_numpy(copy=True))
    return names.reindex(numbers.tolist(), fill_value="").tolist()
