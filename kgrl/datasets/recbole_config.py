"""``RecBoleConfig``: what RecBole's own options say of the files, as its users have them in a YAML file."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from kgrl.datasets.table import Names
from kgrl.objects import of_class
from kgrl.options import LARGEST, at_least, between, did_you_mean, expected

FIELDS = {
    "USER_ID_FIELD": ("user", "user_id"), "ITEM_ID_FIELD": ("item", "item_id"), "RATING_FIELD": ("rating", "rating"),
    "TIME_FIELD": ("time", "timestamp"), "LABEL_FIELD": ("label", "label"),
    "HEAD_ENTITY_ID_FIELD": ("head", "head_id"), "TAIL_ENTITY_ID_FIELD": ("tail", "tail_id"),
    "RELATION_ID_FIELD": ("relation", "relation_id"), "ENTITY_ID_FIELD": ("entity", "entity_id"),
}
"""RecBole's option → our name of the column, and the name that the field has by default."""
OF_KG = ("head", "relation", "tail", "entity")
READ = {*FIELDS, "field_separator", "threshold", "load_col", "benchmark_filename", "user_inter_num_interval",
        "item_inter_num_interval", "rm_dup_inter"}
WITHOUT_EFFECT = {"seq_separator", "seq_len", "NEG_PREFIX", "ITEM_LIST_LENGTH_FIELD", "LIST_SUFFIX",
                  "MAX_ITEM_LIST_LENGTH", "POSITION_FIELD", "unused_col", "filter_inter_by_user_or_item",
                  "normalize_field", "normalize_all", "data_path", "dataset"}
"""Known options that say nothing of what is read here; ratings are put on one scale anyway."""
NOT_READ = {"unload_col", "val_interval", "additional_feat_suffix", "preload_weight", "alias_of_user_id",
            "alias_of_item_id", "alias_of_entity_id", "alias_of_relation_id"}
"""Known options of the data that are refused unless they are ``None``, as another data set would be read."""
INTERVAL = re.compile(r"\s*([\[(])\s*([0-9.]+)\s*,\s*inf\s*[\])]\s*")


@dataclass(frozen=True)
class RecBoleConfig:
    """RecBole's data settings (https://recbole.io/docs/user_guide/config/data_settings.html), as far as they are read.

    Args:
        fields: our name of a column (and "label") → the field's.
        separator: of the fields.
        threshold: ``(field, value)``: a rating of at least ``value`` becomes 1, another 0.
        load: kind of file → its fields that are read; kinds it lacks are not; ``None``: all.
        parts: what the files of training, choosing and test are called, "train" for ``name.train.inter``.
        min_ratings, min_item_ratings: of a user, of an item.
    """

    fields: Mapping[str, str] = field(default_factory=dict)
    separator: str = "\t"
    threshold: tuple[str, float] | None = None
    load: Mapping[str, Collection[str]] | None = None
    parts: tuple[str, ...] = ()
    min_ratings: int = 1
    min_item_ratings: int = 0

    @classmethod
    def of(cls, config: Mapping[str, Any] | None) -> RecBoleConfig:
        """``config`` as ``yaml.safe_load`` gives it, checked.

        Raises:
            TypeError: no mapping, or an option of another kind.
            ValueError: an option that RecBole's data settings do not have, or that is not read here; a wrong value.
        """
        given = {} if config is None else dict(of_class("config", config, Mapping))
        for name in given:
            if name not in READ | WITHOUT_EFFECT | NOT_READ:
                hint = f"{did_you_mean(name, READ)}; options of models and of training are left out"
                raise ValueError(expected("config", "RecBole's data settings", name, hint))
        given = {name: value for name, value in given.items() if value is not None and name not in WITHOUT_EFFECT}
        if refused := sorted(given.keys() & NOT_READ):
            raise ValueError(expected(f"config[{refused[0]!r}]", "left out or None, as it is not read here",
                                      given[refused[0]]))
        for name in FIELDS.keys() & given.keys():
            _text(name, given[name])
        if given.get("rm_dup_inter", "last") != "last":
            raise ValueError(expected("config['rm_dup_inter']", "'last', as the last of several ratings is kept",
                                      given["rm_dup_inter"]))
        return cls({FIELDS[name][0]: value for name, value in given.items() if name in FIELDS},
                   _text("field_separator", given.get("field_separator", "\t")), _threshold(given.get("threshold")),
                   _load(given.get("load_col")), _parts(given.get("benchmark_filename")),
                   max(1, _least("user_inter_num_interval", given)), _least("item_inter_num_interval", given))

    def names(self, fields: Collection[str], with_kg: bool, own: Names) -> tuple[Names, bool]:
        """What columns are called in the files, and whether the ratings are labels of 0 and 1.

        Args:
            fields: of all files together.
            with_kg: whether there is a KG.
            own: names that were given by hand, which go first.

        Raises:
            ValueError: a field of another name than RecBole's own that no file has.
        """
        defaults = dict(FIELDS.values())
        names: dict[str, str | None] = {}
        for option, (ours, default) in FIELDS.items():
            theirs = self.fields.get(ours)
            if theirs in fields:
                names[ours] = theirs
            elif theirs not in (None, default) and ours != "label" and (with_kg or ours not in OF_KG):
                raise ValueError(expected(f"config[{option!r}]", f"one of the fields {', '.join(fields)}", theirs))
        label = names.pop("label", None)
        if self.threshold is not None:
            names["rating"] = self.threshold[0]
            if self.threshold[0] not in fields:
                raise ValueError(expected("config['threshold']", f"of one of the fields {', '.join(fields)}",
                                          self.threshold[0]))
        elif label is not None:
            names["rating"] = label
        if self.load is not None:
            for ours in ("rating", "time"):
                if names.get(ours, defaults[ours]) not in self.load["inter"]:
                    names[ours] = None
        names = {**names, **own}
        return names, "rating" not in own and (self.threshold or label) is not None and names["rating"] is not None


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(expected(f"config[{name!r}]", "a text", value))
    return value


def _threshold(value: Any) -> tuple[str, float] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping) or len(value) != 1 or not isinstance(next(iter(value)), str):
        raise TypeError(expected("config['threshold']", "one field → the least value of a positive", value))
    (name, least), = value.items()
    return name, between("config['threshold']", least, -LARGEST, LARGEST)


def _load(value: Any) -> Mapping[str, Collection[str]] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping) or not isinstance(value.get("inter"), list | tuple):
        raise TypeError(expected("config['load_col']", "kind of file → list of fields, with 'inter' among them", value))
    return {kind: fields or () for kind, fields in value.items()}


def _parts(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or len(set(map(str, value))) != 3 or len(value) != 3:
        raise TypeError(expected("config['benchmark_filename']", "three names, of training, choosing and test", value))
    return tuple(_text("benchmark_filename", each) for each in value)


def _least(name: str, given: Mapping[str, Any]) -> int:
    """The least whole number in an interval "[5,inf)"."""
    value = given.get(name, "[0,inf)")
    found = INTERVAL.fullmatch(value) if isinstance(value, str) else None
    if found is None or not found[2].replace(".", "", 1).isdecimal():
        raise ValueError(expected(f"config[{name!r}]", "an interval without end, as '[5,inf)'", value))
    least = float(found[2])
    whole = int(least) + (found[1] == "(" or least != int(least))
    return at_least(f"config[{name!r}]", whole, 0)
