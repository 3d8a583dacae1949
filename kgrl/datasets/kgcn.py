"""The general reader of the files that RippleNet, KGCN, MKR and their followers publish, raw or processed."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from torch_geometric.data import HeteroData

from kgrl.datasets.assemble import Raw, Rules, assemble
from kgrl.datasets.delimited import UNDECODABLE, Kind, existing, read_delimited
from kgrl.datasets.frames import warn_of_left_out_items
from kgrl.datasets.ids import same_type
from kgrl.datasets.ratings import BINARY, Scale
from kgrl.datasets.table import Table, looks_like, stacked
from kgrl.files import sha256
from kgrl.objects import a_path, of_class
from kgrl.options import LARGEST, between, expected

LINKS = ("item_index2entity_id_rehashed.txt", "item_index2entity_id.txt")
TRIPLES = ("kg_rehashed.txt", "kg.txt")
PARTS = ("kg_part*_rehashed.txt", "kg_part[0-9].txt")
"""RippleNet's KG of films comes in parts, which its authors put together by hand."""
FINAL_RATINGS = ("ratings_final.npy", "ratings_final.txt")
FINAL_TRIPLES = ("kg_final.npy", "kg_final.txt")

SMALL, GAPS = 1_000_000, 100
"""Up to which item number nothing is asked, and how many numbers a row of the files may stand for beyond."""


def from_kgcn(
    folder: str | os.PathLike[str],
    ratings: str | None = None,
    separator: str = "\t",
    threshold: float | None = None,
    *,
    rating_scale: Scale | None = None,
    linked_only: bool = True,
    min_ratings: int = 1,
    min_item_ratings: int = 0,
    bad_links: str = "error",
    seed: int = 0,
) -> HeteroData:
    """Reads a folder in the form of RippleNet and KGCN, raw or processed.

    *Processed* (``kg_final.npy|txt`` and ``ratings_final.npy|txt``): ids are numbers, item i is entity i, labels are 0
    and 1. An ``item_index2entity_id*.txt`` beside them gives ``data['item'].raw_id``.

    *Raw* (``kg.txt`` or ``kg_part1.txt``, …, ``item_index2entity_id.txt``, or their ``_rehashed`` forms, and the
    ratings file): the items are the lines of the index, in order, then the rated items it lacks (unless
    ``linked_only``).

    Whether the links are right is not checked here; ``print(audit_links(data))`` tells
    (:func:`~kgrl.datasets.audit_links`).

    Args:
        folder: where the files are.
        ratings: the ratings file of the raw form, lines ``user, item, rating[, time]``, with a header or without;
            ``None`` reads the processed form.
        separator: of the ratings file.
        threshold: a rating of at least this is positive, and as many negatives are sampled: RippleNet's and KGCN's
            ``preprocess.py``. ``None`` keeps the ratings as they are.
        rating_scale: see :func:`kgrl.datasets.from_frames`, as the following options; processed: (0, 1, 0.5).
        linked_only: drop items without an entity, and their ratings.
        min_ratings: drop users with fewer ratings.
        min_item_ratings: drop items with fewer.
        bad_links: ``"error"`` or ``"drop"``.
        seed: of the sampled negatives.

    Raises:
        FileNotFoundError: a file is missing; the text names it.
        ValueError: a malformed file, an id out of range, or what ``from_frames`` refuses.
    """
    folder = a_path("folder", folder)
    rules = Rules(rating_scale, linked_only, min_ratings, bad_links, None, seed, min_item_ratings)
    if not of_class("separator", separator, str):
        raise ValueError(expected("separator", "a text between the fields of a line", separator))
    if threshold is not None:
        between("threshold", threshold, -LARGEST, LARGEST)
    if ratings is not None:
        rules = replace(rules, positive_from=threshold)
        a_path("ratings", ratings)
        raw = read_raw(folder, read_ratings(folder / ratings, separator), ratings)
        data = assemble(raw, rules, folder.name)
        warn_of_left_out_items(data)
        return data
    if threshold is not None:
        raise ValueError(f"`threshold` must be None for the processed form, whose labels are 0 and 1, "
                         f"got {threshold!r}; for the raw form name the `ratings` file")
    return assemble(read_processed(folder), replace(rules, rating_scale=rating_scale or BINARY), folder.name)


def read_raw(folder: Path, ratings: Table, ratings_file: str) -> Raw:
    """The raw form: its KG and index, and the ratings that the caller has read from ``ratings_file``."""
    paths = [folder / ratings_file, first_of(folder, LINKS), *triple_files(folder)]
    links = read_delimited(paths[1], {"item": "id", "entity": "id"})
    triples = stacked([read_delimited(path, {"head": "id", "relation": "id", "tail": "id"}) for path in paths[2:]])
    _numbers_where_possible((ratings, "item"), (links, "item"))
    _numbers_where_possible((links, "entity"), (triples, "head"), (triples, "tail"))
    items = Table(links.frame[["item"]].drop_duplicates(), links.name, links.locate)
    return Raw(ratings, triples, links, items, {path.name: sha256(path) for path in paths})


def read_ratings(path: Path, separator: str) -> Table:
    """Lines ``user, item, rating[, time]``, with a header or without.

    Raises:
        ValueError: a malformed line, a header that names the columns in another order, or a first line of which it is
            unclear whether it is a header.
    """
    with open(existing(path), encoding="utf-8", errors=UNDECODABLE) as handle:
        lines = handle.readline(), handle.readline()
    first, second = ([field.strip('"') for field in line.rstrip("\r\n").split(separator)] for line in lines)
    columns: dict[str, Kind] = {"user": "id", "item": "id", "rating": "float", "time": "float"}
    if len(first) not in (3, 4):
        raise ValueError(f"{path}, line 1: expected 3 or 4 fields (user, item, rating[, time]) separated by "
                         f"{separator!r}, got {first}")
    columns = dict(list(columns.items())[: len(first)])
    header = _is_header(path, list(columns), first, second)
    return read_delimited(path, columns, separator, header=header, quoted='"' in lines[0])


def _is_header(path: Path, columns: list[str], first: list[str], second: list[str]) -> bool:
    """Whether the first line is a header: a row with a damaged rating is none, and would be lost."""
    if _is_number(first[2]):
        return False
    likely = [looks_like(field) for field in first]
    for ours, theirs, field in zip(columns, likely, first, strict=True):
        if theirs in columns and theirs != ours and ours in likely:
            raise ValueError(f"{path}, line 1: expected the columns {', '.join(columns)}, in this order, got {field!r} "
                             f"in the place of {ours}")
    numbers = [place for place, field in enumerate(second[:len(first)]) if _is_number(field)]
    if set(likely) & set(columns) or any(place != 2 and not _is_number(first[place]) for place in numbers):
        return True
    raise ValueError(f"{path}, line 1: rating must be a number, or the line a header such as {', '.join(columns)}, "
                     f"got {first}")


def read_processed(folder: Path) -> Raw:
    """The processed form; checked for ids out of range."""
    ratings_path, triples_path = first_of(folder, FINAL_RATINGS), first_of(folder, FINAL_TRIPLES)
    ratings = _read_final(ratings_path, ["user", "item", "rating"])
    triples = _read_final(triples_path, ["head", "relation", "tail"])
    # numbers without gaps: memory for an item 10¹² is memory for all below it
    most = max(SMALL, GAPS * (len(ratings.frame) + len(triples.frame)))
    ratings.complain(ratings.frame["item"] >= most, "item", f"below {most:,}, as items have the numbers from 0 on")
    num_items = int(ratings.frame["item"].max()) + 1
    num_entities = int(triples.frame[["head", "tail"]].to_numpy().max()) + 1
    ratings.complain(ratings.frame["item"] >= num_entities, "item", f"an entity of the KG (0 to {num_entities - 1})")
    paths, items = [ratings_path, triples_path], pd.DataFrame({"item": np.arange(num_items)})
    index = next((folder / name for name in LINKS if (folder / name).is_file()), None)
    if index is not None:
        listed = read_delimited(index, {"item": "id", "entity": "id"})
        raw_id = listed.frame["item"]
        if len(raw_id) != num_items:
            last = "the first too many" if len(raw_id) > num_items else "the last"
            raise ValueError(f"{listed.place(min(len(raw_id) - 1, num_items))}, {last}: expected one line for each of "
                             f"the {num_items:,} items of {ratings_path}, got {len(raw_id):,}")
        items["raw_id"] = raw_id.astype(str)
        paths.append(index)
    return Raw(ratings, triples, None, Table.of(items, "items", ["item"]), {path.name: sha256(path) for path in paths})


def first_of(folder: Path, names: tuple[str, ...]) -> Path:
    """The first of several names that a file goes by.

    Raises:
        FileNotFoundError: there is none.
    """
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{folder} must hold {' or '.join(names)}, got neither" if folder.is_dir()
                            else f"{folder} does not exist; expected a folder with {' or '.join(names)}")


def triple_files(folder: Path) -> list[Path]:
    """The files of the raw KG: one, or its parts in order.

    Raises:
        FileNotFoundError: there is none.
    """
    whole = any((folder / name).is_file() for name in TRIPLES)
    parts = [] if whole else next(filter(None, (sorted(folder.glob(each)) for each in PARTS)), [])
    return parts or [first_of(folder, TRIPLES)]


def _read_final(path: Path, columns: list[str]) -> Table:
    """A table of three columns of whole numbers of at least 0."""
    if path.suffix == ".txt":
        table = read_delimited(path, dict.fromkeys(columns, "int"))
    else:
        table = Table(_load_array(path, columns), path.name, lambda row: f"{path}, row {row}")
    if not len(table.frame):
        raise ValueError(f"{path}, line 1: expected {', '.join(columns)}, got no row at all")
    for column in columns:
        table.complain(table.frame[column] < 0, column, "at least 0")
    return table


def _load_array(path: Path, columns: list[str]) -> pd.DataFrame:
    shape = f"an array of whole numbers with the columns {', '.join(columns)}"
    existing(path)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)  # so the header's size is held against the file's
    except Exception as error:  # a damaged header is parsed as Python: it may fail with anything, memory included
        raise ValueError(f"{path}: expected {shape}, {error}: it is damaged or cut off; fetch it again") from error
    if not isinstance(array, np.ndarray):  # an archive of arrays
        raise ValueError(f"{path}: expected {shape}, got {type(array).__name__}")
    whole = np.issubdtype(array.dtype, np.integer) and np.can_cast(array.dtype, np.int64)
    if array.ndim != 2 or array.shape[1] != len(columns) or not whole or not len(array):
        raise ValueError(f"{path}: expected {shape}, got {array.dtype} {array.shape}")
    return pd.DataFrame(np.array(array, np.int64), columns=columns)


def _numbers_where_possible(*places: tuple[Table, str]) -> None:
    for (table, column), ids in zip(places, same_type([table.frame[name] for table, name in places]), strict=True):
        table.frame[column] = ids


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
