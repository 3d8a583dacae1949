"""The general reader of RecBole's atomic files (https://recbole.io/docs/user_guide/data/atomic_files.html)."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
from torch_geometric.data import HeteroData

from kgrl.datasets.assemble import Raw, Rules, assemble
from kgrl.datasets.ids import same_type
from kgrl.datasets.ratings import Scale
from kgrl.datasets.table import Kind, Table, existing, read_delimited
from kgrl.files import sha256

KINDS: dict[str, Kind] = {"token": "id", "token_seq": "text", "float": "float", "float_seq": "text"}
COLUMNS = {
    "inter": {"user_id": "user", "item_id": "item", "rating": "rating", "timestamp": "time"},
    "kg": {"head_id": "head", "relation_id": "relation", "tail_id": "tail"},
    "link": {"item_id": "item", "entity_id": "entity"},
}
NEEDED = {"inter": ["user", "item"], "kg": ["head", "relation", "tail"], "link": ["item", "entity"], "item": ["item"]}


def from_recbole(
    folder: str | os.PathLike[str],
    name: str | None = None,
    *,
    rating_scale: Scale | None = None,
    linked_only: bool = True,
    min_ratings: int = 1,
    bad_links: str = "error",
) -> HeteroData:
    """Reads ``name.inter`` and, where they are there, ``name.kg`` with ``name.link``, and ``name.item``.

    Whether the links are right is not checked here; ``print(audit_links(data))`` tells
    (:func:`~kgrl.datasets.audit.audit_links`). Of ``ml-100k`` they are wrong: read it with
    :class:`~kgrl.datasets.movielens_100k.MovieLens100K`.

    Args:
        folder: where the files are.
        name: their common stem; ``None``: that of the one ``.inter`` file in the folder.
        rating_scale: see :func:`kgrl.datasets.frames.from_frames`, as the other options.
        linked_only: drop items without an entity, and their ratings.
        min_ratings: drop users with fewer ratings.
        bad_links: ``"error"`` or ``"drop"``.

    Returns:
        The ``HeteroData`` that :func:`kgrl.datasets.frames.from_frames` describes. Titles come from the ``.item``
        file's field named ``…title`` or ``…name``, with the year where there is a ``release_year``.

    Raises:
        FileNotFoundError: no ``.inter`` file, or only one of ``.kg`` and ``.link``.
        ValueError: several ``.inter`` files and no ``name``, a malformed file, or what ``from_frames`` refuses.
    """
    raw, name = read_recbole(Path(folder), name)
    return assemble(raw, Rules(rating_scale, linked_only, min_ratings, bad_links), name)


def read_recbole(folder: Path, name: str | None) -> tuple[Raw, str]:
    """Parses the atomic files; see :func:`from_recbole`."""
    name = name or _only_name(folder)
    paths = {kind: folder / f"{name}.{kind}" for kind in NEEDED}
    found = {kind: path for kind, path in paths.items() if path.exists() or kind == "inter"}
    if ("kg" in found) != ("link" in found):
        missing = paths["link" if "kg" in found else "kg"]
        raise FileNotFoundError(f"{missing} does not exist; a KG needs both {name}.kg and {name}.link")
    tables = _same_types({kind: read_atomic(path, kind) for kind, path in found.items()})
    if "item" in tables:
        add_title(tables["item"].frame)
    files = {path.name: sha256(path) for path in found.values()}
    return Raw(tables["inter"], tables.get("kg"), tables.get("link"), tables.get("item"), files), name


def read_atomic(path: Path, kind: str) -> Table:
    """One atomic file: tab-separated, with ``field:type`` in the first line.

    Raises:
        ValueError: a header or a line that is not of this form, or a header without the fields of ``kind``.
    """
    with open(existing(path), encoding="utf-8-sig", errors="replace") as handle:
        header = handle.readline().rstrip("\r\n").split("\t")
    fields = dict(field.rpartition(":")[::2] for field in header)
    if len(fields) != len(header) or any(not name or each not in KINDS for name, each in fields.items()):
        raise ValueError(f"{path}, line 1: expected distinct tab-separated field:type with type in {', '.join(KINDS)}, "
                         f"got {header}")
    names = COLUMNS.get(kind, {"item_id": "item"})
    other = {field: f"-{field}" for field in fields if field in names.values()}  # a field of its own called "user"
    columns = {{**other, **names}.get(field, field): KINDS[each] for field, each in fields.items()}
    # of a feature file only the key must be filled: other tokens may be empty
    columns = {name: "text" if each == "id" and name not in NEEDED[kind] else each for name, each in columns.items()}
    missing = [name for name, column in names.items() if column in NEEDED[kind] and fields.get(name) != "token"]
    if missing:
        raise ValueError(f"{path}, line 1: expected {', '.join(f'{name}:token' for name in missing)}, got {header}")
    return read_delimited(path, columns, header=True)


def _only_name(folder: Path) -> str:
    names = sorted(path.stem for path in folder.glob("*.inter"))
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
