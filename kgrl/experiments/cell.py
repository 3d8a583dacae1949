"""``Cell``: what one run of one method in one setting came to, as one small JSON file."""

from __future__ import annotations

import base64
import json
import math
import os
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kgrl.evaluate import METRICS
from kgrl.experiments.method import slug
from kgrl.files import digest, whole_file
from kgrl.options import expected

FORMAT = 1
"""Raised whenever the meaning of a cell file changes."""
SEAL = "sha256"
"""What the digest of all else is called."""
KINDS = {"setting": str, "method": str, "seed": int, "options": dict, "training": dict, "data": str, "scores": dict,
         "curve": list, "note": str, "made": dict}
"""What a file's fields must be."""


@dataclass(frozen=True)
class Cell:
    """A run and what it came to.

    Args:
        setting: ``data set/world/eta-η``, see :attr:`kgrl.experiments.setting.Setting.name`.
        method: the row's name.
        seed: of the agent.
        options: of the agent, as the search chose them.
        training: arguments of :func:`kgrl.train.fit`.
        data: digest of the data, see :attr:`kgrl.experiments.setting.Setting.digest`.
        scores: mean reward, precision, recall and F1 of the test users.
        per_user: the same four of every test user, each ``[U]``, in the order of the split's ids.
        curve: from :func:`kgrl.train.fit`, on validation users.
        note: a remark that tables must make.
        made: versions, device, threads, date, seconds, the commit where there is one, and all options of the agent, its
            defaults among them.
    """

    setting: str
    method: str
    seed: int
    options: Mapping[str, Any]
    training: Mapping[str, Any]
    data: str
    scores: Mapping[str, float]
    per_user: Mapping[str, Tensor] = field(repr=False)
    curve: list[dict[str, float]] = field(default_factory=list, repr=False)
    note: str = ""
    made: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def path(self) -> Path:
        """Where it is kept below the cells' folder."""
        return cell_path(self.setting, self.method, self.seed)

    def write(self, folder: str | os.PathLike[str]) -> Path:
        """Writes it below ``folder``, whole or not at all; returns the file."""
        fields = {"kind": "kgrl cell", "format": FORMAT} | asdict(self) | {
            "per_user": {name: _packed(self.per_user[name]) for name in METRICS},
            "curve": [_rounded(row) for row in self.curve]}
        path = Path(folder) / self.path
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(fields | {SEAL: _sealed(fields)}, indent=1) + "\n", encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Cell:
        """The cell in a file.

        Raises:
            ValueError: the file is broken, is no cell, is of another format, does not lie where a cell of its setting,
                method and seed belongs, or its means are not those of its users; the text names the file.
        """
        path = Path(path)
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            if (found := fields.pop(SEAL, None)) is not None and found != _sealed(fields):  # earlier cells have none
                raise ValueError("it is not what its digest was made of")
            if fields.pop("kind") != "kgrl cell" or fields.pop("format") != FORMAT:
                raise ValueError(f"not a cell of format {FORMAT}")
            fields["per_user"] = {name: _unpacked(fields["per_user"][name]) for name in METRICS}
            cell = cls(**fields)
            cell._check(path)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, zlib.error) as error:
            hint = "delete it and run the cell again"
            raise ValueError(f"{path} is not a whole cell ({type(error).__name__}: {error}); {hint}") from error
        return cell

    def _check(self, path: Path) -> None:
        for name, kind in KINDS.items():
            if not isinstance(value := getattr(self, name), kind) or isinstance(value, bool):
                raise TypeError(expected(name, f"of type {kind.__name__}", value))
        if not all(isinstance(row, dict) and {"interactions", "reward"} <= row.keys() for row in self.curve):
            raise ValueError(expected("curve", "rows with `interactions` and `reward`", self.curve))
        if path.parts[-len(self.path.parts):] != self.path.parts:
            raise ValueError(expected("its place", str(self.path), str(path)))
        if len({len(values) for values in self.per_user.values()}) != 1:
            raise ValueError(expected("per_user", "as many users for each metric", "different numbers"))
        for name in METRICS:
            mean = float(self.per_user[name].double().mean())
            if not math.isclose(mean, self.scores[name], rel_tol=1e-4, abs_tol=1e-5):
                raise ValueError(expected(f"scores.{name}", f"its users' mean {mean:.6f}", self.scores[name]))


def cell_path(setting: str, method: str, seed: int) -> Path:
    """Where the cell of a run is kept, below the cells' folder."""
    return Path(setting) / slug(method) / f"seed-{seed}.json"


def same_run(
    cell: Cell, *, options: Mapping[str, Any], training: Mapping[str, Any], data: str | None, code: str | None = None
) -> None:
    """Refuses a cell that is not of the run it is wanted for.

    Args:
        cell: as read.
        options, training, data: of the run; ``data=None``: not known here.
        code: digest of the file that a method of one's own is written in.

    Raises:
        ValueError: it was made with others, which are named.
    """
    wanted = {"options": dict(options), "training": dict(training)} | ({} if data is None else {"data": data})
    wanted = json.loads(json.dumps(wanted))  # as a file would have them
    differing = [f"  {name}: in the cell {getattr(cell, name)!r}, now {value!r}" for name, value in wanted.items()
                 if json.loads(json.dumps(getattr(cell, name))) != value]
    if cell.made.get("code") != code:
        differing.append("  code: the file that the method is written in has changed since")
    if differing:
        raise ValueError(f"{cell.path} is of another run; these differ:\n" + "\n".join(differing)
                         + "\nDelete it to run it again, or use another folder of cells.")


def same_agent(cell: Cell, other: Cell) -> None:
    """Refuses a cell whose agent had other options than another seed's: defaults that have changed since.

    Raises:
        ValueError: they differ in more than the seed; the options are named.
    """
    own, others = ({**(each.made.get("agent") or {}), "seed": None} for each in (cell, other))
    if cell.made.get("agent") and own != others:
        differing = [name for name in own.keys() | others.keys() if own.get(name, "?") != others.get(name, "?")]
        raise ValueError(f"{cell.path} is of another agent than {other.path}; they differ in "
                         f"{', '.join(sorted(differing))}. Delete what is out of date and run it again.")


def _sealed(fields: Mapping[str, Any]) -> str:
    """The digest of all that is in a file beside it."""
    return digest(json.loads(json.dumps(fields)))  # as a file has them, where numbers are no names


def _packed(values: Tensor) -> str:
    """32-bit floats, compressed, as text."""
    # byte planes: the floats' exponents are alike, and compress only side by side
    planes = values.cpu().numpy().astype("<f4").view(np.uint8).reshape(-1, 4).T.tobytes()
    return base64.b85encode(zlib.compress(planes, 9)).decode("ascii")


def _unpacked(text: str) -> Tensor:
    planes = np.frombuffer(zlib.decompress(base64.b85decode(text)), dtype=np.uint8)
    return torch.from_numpy(planes.reshape(4, -1).T.copy().view("<f4").reshape(-1).astype(np.float32))


def _rounded(row: Mapping[str, float]) -> dict[str, float]:
    """A curve's row with six digits; counts keep all of theirs."""
    return {name: value if float(value).is_integer() else float(f"{value:.6g}") for name, value in row.items()}
