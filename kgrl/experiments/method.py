"""``Method``: a row of a table, and the register that tables look rows up in."""

from __future__ import annotations

import functools
import inspect
import os
import re
import runpy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from kgrl.experiments.data_sets import NEEDS
from kgrl.experiments.setting import Setting
from kgrl.files import digest, sha256
from kgrl.options import expected, one_of

PACKAGE = Path(__file__).resolve().parents[1]

BOUND = "bound: "
"""What the cells of a setting's bounds are named with; after it comes the line's name, or "upper"."""

METHODS: dict[str, Method] = {}
"""Every known method by name; :func:`register` adds to it."""


@dataclass(frozen=True)
class Method:
    """How a row of a table is made.

    Args:
        name: what the row is called.
        build: ``build(setting, seed, **options)`` → an agent.
        grid: option settings that the hyper-parameter search tries; the first is what runs without a search.
        training: arguments of :func:`kgrl.train.fit` (``interactions``, ``sessions``, ``evaluate_every``); empty for a
            method that does not learn from interactions.
        needs: what a data set must have: names of :data:`kgrl.experiments.data_sets.NEEDS`.
        tuned_as: the method whose search result it takes: itself unless given. Variants differ in what they are named
            for and in nothing else.
        in_paper: what the paper calls it, so that its figures stand beside the row: the same unless given.
        note: ``note(setting)`` → a remark that every table must make on the row, or "".
        file: that registered it, where :func:`methods_in` did.
    """

    name: str
    build: Callable[..., nn.Module]
    grid: Sequence[Mapping[str, Any]] = ({},)
    training: Mapping[str, Any] = field(default_factory=dict)
    needs: Sequence[str] = ()
    tuned_as: str = ""
    in_paper: str = ""
    note: Callable[[Setting], str] = field(default=lambda setting: "")
    file: Path | None = None

    @property
    def slug(self) -> str:
        """The name as a folder."""
        return slug(self.name)

    @property
    def code(self) -> str | None:
        """Digest of the files that a method of one's own is written in; ``None`` for kgrl's (cells tell the commit)."""
        files = {file.resolve() for file in (self.file, _written_in(self.build)) if file is not None}
        own = sorted(sha256(file) for file in files if file.is_file() and not file.is_relative_to(PACKAGE))
        return digest(own) if len(own) > 1 else own[0] if own else None

    @property
    def search_name(self) -> str:
        """Whose search result it takes."""
        return self.tuned_as or self.name

    def require(self, setting: Setting, of: str = "") -> None:
        """Refuses a data set that lacks what the method needs.

        Args:
            setting: whose data set.
            of: what the text says needs it; default: the method.

        Raises:
            Unserved: it lacks something, which is named.
        """
        for what in self.needs:
            setting.require(what, of or self.name)

    def training_with(self, changed: Mapping[str, Any]) -> dict[str, Any]:
        """Its training, some of it changed; {} where it has none."""
        return {**self.training, **changed} if self.training else {}

    @property
    def paper_name(self) -> str:
        """What the paper calls it."""
        return self.in_paper or self.name


def _written_in(build: Callable[..., Any]) -> Path | None:
    """The file of a function, of a class, or of the class of whatever else can be called."""
    while isinstance(build, functools.partial):
        build = build.func
    try:
        return Path(inspect.getsourcefile(build if inspect.isroutine(build) or inspect.isclass(build) else type(build))
                    or "")
    except TypeError:  # it has no source
        return None


def slug(name: str) -> str:
    """A name as a folder: letters, digits, dots and single hyphens."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")


def register(method: Method) -> Method:
    """Makes a method known, so that tables can have a row of it.

    Raises:
        ValueError: another method of that name, or of that folder, is known, the name is a bound's or has neither
            letter nor digit to name a folder with, ``needs`` has something unknown, the grid is empty, or ``tuned_as``
            is not known yet.
    """
    if not method.slug.strip("."):
        raise ValueError(expected("name", "one with a letter from a to z or a digit", method.name,
                                  "its cells are kept in a folder of that name"))
    if isinstance(method.needs, str):
        raise ValueError(expected("needs", "a sequence of names", method.needs, f"write ({method.needs!r},)"))
    for what in method.needs:
        one_of("needs", what, NEEDS)
    if method.slug.startswith(f"{slug(BOUND)}-"):
        raise ValueError(expected("name", f"one that does not begin with {BOUND!r}: the world's bounds are kept there",
                                  method.name))
    if method.tuned_as and method.tuned_as != method.name:
        one_of("tuned_as", method.tuned_as, METHODS)
    if not method.grid:
        raise ValueError(expected("grid", "at least one setting", method.grid, "({},) if there is nothing to choose"))
    for other in METHODS.values():
        if other.slug == method.slug:
            raise ValueError(expected("name", "another than those of the known methods", method.name,
                                      f"{other.name!r} is kept in {method.slug}/"))
    METHODS[method.name] = method
    return method


def methods_in(path: str | os.PathLike[str]) -> list[Method]:
    """The methods that a Python file makes known: it is run, and calls :func:`register`.

    Raises:
        ValueError: it makes none known.
    """
    before = set(METHODS)
    runpy.run_path(os.fspath(path), run_name="kgrl_methods")
    found = [replace(method, file=Path(path)) for name, method in METHODS.items() if name not in before]
    METHODS.update({method.name: method for method in found})
    if not found:
        raise ValueError(expected(str(path), "a file that calls kgrl.experiments.method.register", "no new method"))
    return found


def method_of(name: str) -> Method:
    """The known method of that name.

    Raises:
        ValueError: there is none; the text lists the choices and the nearest.
    """
    return METHODS[one_of("method", name, METHODS)]
