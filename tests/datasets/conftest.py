"""A hand-made world in frames and in files: 3 users, 4 items (3 linked), 2 further entities, 2 relations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest


@pytest.fixture
def frames() -> dict[str, pd.DataFrame]:
    """Keyword arguments of ``from_frames``; item "d" has no entity, entity "z" is linked to "c" and a tail."""
    return {
        "ratings": pd.DataFrame(
            [("u2", "a", 5.0, 10), ("u1", "a", 4.0, 11), ("u1", "b", 1.0, 12), ("u3", "d", 5.0, 13),
             ("u2", "c", 2.0, 14)],
            columns=["user", "item", "rating", "time"],
        ),
        "triples": pd.DataFrame(
            [("x", "film.genre", "g1"), ("y", "film.genre", "g1"), ("z", "film.genre", "g2"), ("x", "film.sequel", "z"),
             ("g1", "film.genre", "g2")],
            columns=["head", "relation", "tail"],
        ),
        "links": pd.DataFrame([("a", "x"), ("b", "y"), ("c", "z")], columns=["item", "entity"]),
    }


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes text files into one folder, name → text, and gives the folder."""

    def write_all(files: dict[str, str]) -> Path:
        for name, text in files.items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path

    return write_all
