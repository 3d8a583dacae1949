"""``Results``: the cells of one setting, read and checked, ready to be put in tables."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kgrl.experiments.cell import Cell, same_agent, same_run
from kgrl.experiments.method import BOUND, METHODS, Method, slug
from kgrl.experiments.search import Tuned, world_of
from kgrl.options import expected


class Results:
    """The cells of one setting.

    Every cell of a setting must be of the same data, and of the options that the search chose and the training that
    the method asks for; one that is not is named and refused, never averaged in. A file is read again only where it
    has changed.

    Args:
        folder: of the cells.
        setting: ``data set/world/eta-η``.
        tuned: what the search chose.
        data: digest of the data, where it is at hand; else the cells are checked against one another.
        training: what of the methods' own training was another, e.g. ``{"interactions": 81_920}``.
    """

    def __init__(
        self, folder: str | os.PathLike[str], setting: str, tuned: Tuned, data: str | None = None,
        training: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder, self.setting, self.tuned = Path(folder), setting, tuned
        self.data, self.training = data, training or {}
        self._known: dict[Path, tuple[tuple[int, int], Cell]] = {}

    def of(self, method: str | Method) -> list[Cell]:
        """The cells of a method, one a seed; [] where none has been run.

        Raises:
            ValueError: a cell is broken, of other data, other options or other training; it is named.
        """
        method = METHODS[method] if isinstance(method, str) else method
        return self._read(method.slug, self.tuned.options(world_of(self.setting), method),
                          method.training_with(self.training), method.code)

    def bounds(self) -> dict[str, Cell]:
        """The bounds by name, ``"upper"`` among them; {} where they have not been run."""
        cells = [cell for path in sorted((self.folder / self.setting).glob(f"{slug(BOUND)}-*"))
                 for cell in self._read(path.name, {}, {})]
        return {cell.method.removeprefix(BOUND): cell for cell in cells}

    def _read(
        self, folder: str, options: Mapping[str, object], training: Mapping[str, Any], code: str | None = None
    ) -> list[Cell]:
        paths = list((self.folder / self.setting / folder).glob("seed-*.json"))
        for path in paths:
            if not re.fullmatch(r"seed-\d+\.json", path.name):
                raise ValueError(expected(str(path), "a cell's file, seed-NUMBER.json", path.name, "move it elsewhere"))
        cells = [self._cell(path) for path in sorted(paths, key=lambda path: int(path.stem.removeprefix("seed-")))]
        for cell in cells:
            self.data = self.data or cell.data
            same_run(cell, options=options, training=training, data=self.data, code=code)
            same_agent(cell, next((other for other in cells if other.made.get("agent")), cell))
        return cells

    def _cell(self, path: Path) -> Cell:
        now = path.stat().st_mtime_ns, path.stat().st_size
        if path not in self._known or self._known[path][0] != now:
            self._known[path] = now, Cell.read(path)
        return self._known[path][1]


def user_means(cells: list[Cell], metric: str) -> Tensor:
    """``[U]``, each test user's mean over the seeds: one number a user, as the tests of significance want it."""
    return torch.stack([cell.per_user[metric] for cell in cells]).double().mean(0)
