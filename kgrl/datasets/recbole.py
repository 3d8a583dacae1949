"""The general reader of RecBole's atomic files (https://recbole.io/docs/user_guide/data/atomic_files.html)."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path

import pandas as pd
from torch_geometric.data import HeteroData

from kgrl.datasets.assemble import Raw, Rules, assemble
from kgrl.datasets.delimited import UNDECODABLE, Kind, existing, read_delimited
from kgrl.datasets.frames import warn_of_left_out_items
from kgrl.datasets.ids import same_type
from kgrl.datasets.ratings import Scale
from kgrl.datasets.table import Names, Table, own_names, say_what_is_not_read, stacked
from kgrl.files import sha256
from kgrl.objects import a_path, of_class

PART = re.compile(r"\.(part_?\d+|train|valid|test)$")
KINDS: dict[str, Kind] = {"token": "id", "token_seq": "text", "float": "float", "float_seq": "text"}
COLUMNS = {
    "inter": {"user_id": "user", "item_id": "item", "rating": "rating", "timestamp": "time"},
    "kg": {"head_id": "head", "relation_id": "relation", "tail_id": "tail"},
    "link": {"item_id": "item", "entity_id": "entity"},
    "item": {"item_id": "item"},
}
NEEDED = {"inter": ["user", "item"], "kg": ["head", "relation", "tail"], "link": ["item", "entity"], "item": ["item"]}


def from_recbole(
    folder: str | os.PathLike[str],
    name: str | None = None,
    *,
    rating_scale: Scale | None = None,
    linked_only: bool = True,
    min_ratings: int = 1,
    min_item_ratings: int = 0,
    bad_links: str = "error",
    positive_from: float | None = None,
    seed: int = 0,
    columns: Names | None = None,
) -> HeteroData:
    """Reads ``name.inter`` and, where they are there, ``name.kg`` with ``name.link``, and ``name.item``.

    Interactions may come in parts, ``name.part1.inter``, … or ``name.train.inter``, …; all are read, or one alone by
    its own name (``"name.part1"``), with the KG of the whole.

    Whether the links are right is not checked here; ``print(audit_links(data))`` tells
    (:func:`~kgrl.datasets.audit_links`). Of ``ml-100k`` they are wrong: read it with
    :class:`~kgrl.datasets.MovieLens100K`.

    Args:
        folder: where the files are.
        name: their common stem; ``None``: that of the one ``.inter`` file in the folder.
        rating_scale: see :func:`kgrl.datasets.from_frames`, as the other options.
        linked_only: drop items without an entity, and their ratings.
        min_ratings: drop users with fewer ratings.
        min_item_ratings: drop items with fewer.
        bad_links: ``"error"`` or ``"drop"``.
        positive_from: makes the ratings binary: at least this is 1, and as many items that the user never rated are
            drawn as 0. For clicks and plays, which know no dislike.
        seed: of that draw.
        columns: the files' own names of fields, by the names of ``from_frames``: ``{"rating": "label"}``;
            ``{"rating": None}``: there are no ratings. Else ``user_id``, ``item_id``, ``rating``, ``timestamp``, …

    Returns:
        The ``HeteroData`` that :func:`kgrl.datasets.from_frames` describes. Titles come from the ``.item``
        file's field named ``…title`` or ``…name``, with the year where there is a ``release_year``.

    Raises:
        FileNotFoundError: no ``.inter`` file, or only one of ``.kg`` and ``.link``.
        ValueError: several ``.inter`` files and no ``name``, a malformed file, or what ``from_frames`` refuses.
    """
    rules = Rules(rating_scale, linked_only, min_ratings, bad_links, positive_from, seed, min_item_ratings)
    raw, name = read_recbole(a_path("folder", folder), name if name is None else of_class("name", name, str), columns)
    data = assemble(raw, rules, name)
    warn_of_left_out_items(data)
    return data


def read_recbole(folder: Path, name: str | None, columns: Names | None = None) -> tuple[Raw, str]:
    """Parses the atomic files; see :func:`from_recbole`."""
    name = name or _only_name(folder)
    interactions = _interactions(folder, name)
    whole = PART.sub("", name) if (folder / f"{name}.inter").is_file() else name  # what one part shares with the others
    paths = {kind: folder / f"{whole}.{kind}" for kind in NEEDED if kind != "inter"}
    found = {kind: path for kind, path in paths.items() if path.exists()}
    if ("kg" in found) != ("link" in found):
        missing = paths["link" if "kg" in found else "kg"]
        raise FileNotFoundError(f"{missing} does not exist; a KG needs both {whole}.kg and {whole}.link")
    if columns is not None:
        ours = [name for each in COLUMNS.values() for name in each.values()]
        own_names(columns, ours, [field for path in (*interactions, *found.values())
                                  for field in _fields(path)])
    ratings = stacked(_same_columns([read_atomic(path, "inter", columns) for path in interactions]))
    others = {kind: read_atomic(path, kind, columns) for kind, path in found.items()}
    tables = _same_types({"inter": ratings, **others})
    if "item" in tables:
        add_title(tables["item"].frame)
    files = {path.name: sha256(path) for path in (*interactions, *found.values())}
    return Raw(tables["inter"], tables.get("kg"), tables.get("link"), tables.get("item"), files), name


def read_atomic(path: Path, kind: str, columns: Names | None = None) -> Table:
    """One atomic file: tab-separated, with ``field:type`` in the first line.

    Args:
        path: of the file.
        kind: its suffix.
        columns: see :func:`from_recbole`.

    Raises:
        ValueError: a header or a line that is not of this form, or a header without the fields of ``kind``.
    """
    fields = _fields(path)
    names = {**{ours: field for field, ours in COLUMNS[kind].items()}, **_of_kind(columns, kind, fields)}
    needed = NEEDED[kind]
    if missing := [names[ours] or ours for ours in needed if fields.get(names[ours] or "") != "token"]:
        raise ValueError(f"{path}, line 1: expected {', '.join(f'{name}:token' for name in missing)}, got "
                         f"{', '.join(f'{name}:{each}' for name, each in fields.items())}")
    ours = {field: ours for ours, field in names.items() if field in fields}
    unread = [field for field in fields if field not in ours]
    say_what_is_not_read(str(path), {*ours.values(), *_of_kind(columns, kind, fields)}, names, unread)
    kinds = {ours.get(field, f"-{field}" if field in names else field): KINDS[each] for field, each in fields.items()}
    # of a feature file only the key must be filled: other tokens may be empty
    kinds = {name: "text" if each == "id" and name not in needed else each for name, each in kinds.items()}
    return read_delimited(path, kinds, header=True)


def _fields(path: Path) -> dict[str, str]:
    """The header: field → type."""
    with open(existing(path), encoding="utf-8-sig", errors=UNDECODABLE) as handle:
        header = handle.readline().rstrip("\r\n").split("\t")
    fields = dict(field.rpartition(":")[::2] for field in header)
    if len(fields) != len(header) or any(not name or each not in KINDS for name, each in fields.items()):
        raise ValueError(f"{path}, line 1: expected distinct tab-separated field:type with type in {', '.join(KINDS)}, "
                         f"got {header}")
    return fields


def _of_kind(columns: Names | None, kind: str, fields: Collection[str]) -> Names:
    """The names of one's own that one file has."""
    return {ours: field for ours, field in (columns or {}).items()
            if ours in COLUMNS[kind].values() and (field is None or field in fields)}


def _interactions(folder: Path, name: str) -> list[Path]:
    """``name.inter``, or its parts in order."""
    parts = [path for path in folder.glob("*.inter") if PART.sub("", path.stem) == name != path.stem]
    if not parts or (folder / f"{name}.inter").is_file():
        return [existing(folder / f"{name}.inter")]
    last = {path: path.stem[len(name) :] for path in parts}
    return sorted(parts, key=lambda path: (int(re.sub(r"\D", "", last[path]) or 0), path.name))  # part10 after part9


def _same_columns(parts: list[Table]) -> list[Table]:
    """``parts``, if they have the same fields.

    Raises:
        ValueError: they have not.
    """
    for part in parts[1:]:
        if list(part.frame) != list(parts[0].frame):
            raise ValueError(f"{part.name}, line 1: expected the fields of {parts[0].name}, "
                             f"{', '.join(parts[0].frame)}, got {', '.join(part.frame)}")
    return parts


def _only_name(folder: Path) -> str:
    names = sorted({PART.sub("", path.stem) for path in folder.glob("*.inter")})
    if not names:
        raise FileNotFoundError(f"{folder} must hold a RecBole .inter file, got none")
    if len(names) > 1:
        raise ValueError(f"`name` must say which of {', '.join(names)} in {folder} to read")
    return names[0]


def _same_types(tables: dict[str, Table]) -> dict[str, Table]:
    """Makes ids numbers where an id space of several files is written in numbers throughout: items, entities."""
    for space in (("item",), ("entity", "head", "tail")):
        places = [(table.frame, column) for kind, table in tables.items() for column in space if column in NEEDED[kind]]
        for (frame, column), ids in zip(places, same_type([frame[column] for frame, column in places]), strict=True):
            frame[column] = ids
    return tables


def add_title(frame: pd.DataFrame) -> None:
    """Adds the column ``title`` to a parsed ``.item`` file, where it has titles: with the year, where it has years."""
    title = next((column for column in frame if str(column).endswith(("title", "name"))), None)
    if title is not None:
        frame["title"] = frame[title].astype(str)
        if "release_year" in frame:
            year = frame["release_year"].astype(str)
            frame["title"] = frame["title"].where(year == "", frame["title"] + " (" + year + ")")
