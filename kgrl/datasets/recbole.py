"""The general reader of RecBole's atomic files (https://recbole.io/docs/user_guide/data/atomic_files.html)."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch_geometric.data import HeteroData

from kgrl.datasets.assemble import Raw, Rules, assemble
from kgrl.datasets.delimited import UNDECODABLE, Kind, existing, read_delimited
from kgrl.datasets.frames import warn_of_left_out_items
from kgrl.datasets.ids import same_type
from kgrl.datasets.rating_splits import PARTS
from kgrl.datasets.ratings import BINARY, Scale
from kgrl.datasets.recbole_config import RecBoleConfig
from kgrl.datasets.table import Names, Table, each_its_own, own_names, say_what_is_not_read, stacked
from kgrl.files import sha256
from kgrl.objects import a_path, of_class
from kgrl.options import expected

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
    config: Mapping[str, Any] | None = None,
) -> HeteroData:
    """Reads ``name.inter`` and, where they are there, ``name.kg`` with ``name.link``, and ``name.item``.

    Interactions may come in parts, ``name.part1.inter``, … or ``name.train.inter``, …; all are read, or one alone by
    its own name (``"name.part1"``), with the KG of the whole. ``name.train.inter``, ``name.valid.inter`` and
    ``name.test.inter`` give the ratings their ``part``, which ``split_ratings(data, by="given")`` reads.

    Whether the links are right is not checked here; ``print(audit_links(data))`` tells
    (:func:`~kgrl.datasets.audit_links`). Of ``ml-100k`` they are wrong: read it with
    :class:`~kgrl.datasets.MovieLens100K`. A KG or item list of another name is not read, and is warned of.

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
        config: RecBole's own options of the data, as ``yaml.safe_load`` gives them: the names of fields
            (``USER_ID_FIELD``, …), ``field_separator``, ``threshold`` and ``LABEL_FIELD`` (0/1 labels in the place of
            ratings), ``load_col``, ``benchmark_filename``, ``user_inter_num_interval`` and ``item_inter_num_interval``.

    Returns:
        The ``HeteroData`` that :func:`kgrl.datasets.from_frames` describes, with ``part`` ``[R]`` beside ``rating``
        where the files split the ratings: 0 to train on, 1 to choose by, 2 for the test. Titles come from the ``.item``
        file's field named ``…title`` or ``…name``, with the year where there is a ``release_year``.

    Raises:
        FileNotFoundError: no ``.inter`` file, or only one of ``.kg`` and ``.link``.
        ValueError: several ``.inter`` files and no ``name``, a malformed file, an option of ``config`` that is not
            read, or what ``from_frames`` refuses.
    """
    rules = Rules(rating_scale, linked_only, min_ratings, bad_links, positive_from, seed, min_item_ratings)
    theirs = RecBoleConfig.of(config)
    if theirs.threshold is not None and rating_scale is not None:
        raise ValueError(expected("rating_scale", "None where `config` has a threshold: labels are 0 and 1",
                                  rating_scale))
    raw, name, labels = read_recbole(a_path("folder", folder), name if name is None else of_class("name", name, str),
                                     columns, theirs)
    rules = replace(rules, rating_scale=rating_scale or (BINARY if labels else None),
                    min_ratings=max(rules.min_ratings, theirs.min_ratings),
                    min_item_ratings=max(rules.min_item_ratings, theirs.min_item_ratings))
    data = assemble(raw, rules, name)
    warn_of_left_out_items(data)
    return data


def read_recbole(
    folder: Path, name: str | None, columns: Names | None = None, config: RecBoleConfig | None = None
) -> tuple[Raw, str, bool]:
    """Parses the atomic files; see :func:`from_recbole`. Also gives the name, and whether ratings are 0/1 labels."""
    name, config = name or _only_name(folder), config or RecBoleConfig()
    interactions = [existing(folder / f"{name}.{part}.inter") for part in config.parts] or _interactions(folder, name)
    whole = PART.sub("", name) if (folder / f"{name}.inter").is_file() else name  # what one part shares with the others
    paths = {kind: folder / f"{whole}.{kind}" for kind in NEEDED if kind != "inter"}
    found = {kind: path for kind, path in paths.items()
             if path.exists() and (config.load is None or kind in config.load)}
    if ("kg" in found) != ("link" in found):
        missing = paths["link" if "kg" in found else "kg"]
        raise FileNotFoundError(f"{missing} does not exist; a KG needs both {whole}.kg and {whole}.link")
    _warn_of_other_names(folder, whole, [kind for kind in paths if kind not in found
                                         and (config.load is None or kind in config.load)])
    separator = config.separator
    fields = {field: None for path in (*interactions, *found.values()) for field in _fields(path, separator)}
    own = own_names(columns, [name for each in COLUMNS.values() for name in each.values()], fields)
    names, labels = config.names(fields, "kg" in found, own)
    parts = _same_columns([read_atomic(path, "inter", names, separator) for path in interactions])
    others = {kind: read_atomic(path, kind, names, separator) for kind, path in found.items()}
    tables = _same_types({"inter": stacked(parts), **others})
    if config.threshold is not None and labels:
        tables["inter"].frame["rating"] = (tables["inter"].frame["rating"] >= config.threshold[1]).astype(float)
    if "item" in tables:
        add_title(tables["item"].frame)
    files = {path.name: sha256(path) for path in (*interactions, *found.values())}
    raw = Raw(tables["inter"], tables.get("kg"), tables.get("link"), tables.get("item"), files,
              part=_parts(name, interactions, parts, config))
    return raw, name, labels


def _parts(name: str, paths: list[Path], tables: list[Table], config: RecBoleConfig) -> np.ndarray | None:
    """Of each rating, where the files are those of training, choosing and test."""
    endings, order = [path.stem.removeprefix(f"{name}.") for path in paths], config.parts or PARTS
    if len(paths) == 1 or not set(endings) <= set(order):
        return None
    return np.repeat([order.index(each) for each in endings], [len(table.frame) for table in tables])


def read_atomic(path: Path, kind: str, columns: Names | None = None, separator: str = "\t") -> Table:
    """One atomic file: fields between separators, with ``field:type`` in the first line.

    Args:
        path: of the file.
        kind: its suffix.
        columns: see :func:`from_recbole`.
        separator: of the fields.

    Raises:
        ValueError: a header or a line that is not of this form, or a header without the fields of ``kind``.
    """
    fields = _fields(path, separator)
    names = {**{ours: field for field, ours in COLUMNS[kind].items()}, **_of_kind(columns, kind, fields)}
    each_its_own(str(path), {ours: field for ours, field in names.items() if field in fields})
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
    return read_delimited(path, kinds, separator, header=True)


def _fields(path: Path, separator: str) -> dict[str, str]:
    """The header: field → type."""
    with open(existing(path), encoding="utf-8-sig", errors=UNDECODABLE) as handle:
        header = handle.readline().rstrip("\r\n").split(separator)
    fields = dict(field.rpartition(":")[::2] for field in header)
    whole = not any(re.search(f":({'|'.join(KINDS)})\\b", name) for name in fields)  # else another separator
    if not whole or len(fields) != len(header) or any(not name or each not in KINDS for name, each in fields.items()):
        how = "tab" if separator == "\t" else repr(separator)
        raise ValueError(f"{path}, line 1: expected distinct {how}-separated field:type with type in "
                         f"{', '.join(KINDS)}, got {header}")
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


def _warn_of_other_names(folder: Path, name: str, missing: Collection[str]) -> None:
    """Names files of the ``missing`` kinds that no interactions in the folder go with: they may be meant for these."""
    with_own = {PART.sub("", path.stem) for path in folder.glob("*.inter")}
    others = sorted(path.name for kind in missing for path in folder.glob(f"*.{kind}") if path.stem not in with_own)
    if others:
        wanted = ", ".join(f"{name}.{kind}" for kind in sorted({Path(other).suffix[1:] for other in others}))
        warnings.warn(f"{folder}: {', '.join(others)} are of no .inter file here, and not read; if they are of "
                      f"{name!r}, give them its name: {wanted}", stacklevel=4)


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
