"""``examples/your_own_data.py``: made frames, frames from CSV files, and a table of items in the place of triples."""

from __future__ import annotations

import ast
import re
import runpy
import sys
from pathlib import Path

import pandas as pd
import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "examples" / "your_own_data.py"


def said_by(monkeypatch, capsys, *arguments: object) -> str:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    return capsys.readouterr().out


def level(said: str, name: str) -> float:
    return float(re.search(rf"^{name} +(-?\d\.\d+)", said, re.MULTILINE)[1])


def recommended(said: str) -> tuple[list, list]:
    found = re.search(r"^to somebody who liked (\[.*\]): (\[.*\])$", said, re.MULTILINE)
    return tuple(ast.literal_eval(part) for part in found.groups())


def test_the_made_book_shop(monkeypatch, capsys):
    said = said_by(monkeypatch, capsys, "--interactions", 2048)
    assert "the links carry meaning; most through genre" in said
    assert level(said, "KGQR") > level(said, "best fixed list") + 0.1
    liked, items = recommended(said)
    assert len(items) == len({*items, *liked}) - 2 == 5
    assert all(re.fullmatch(r"b\d{3}", book) for book in items)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The made frames as CSV files of the first 40 readers, with numbers for ids."""
    ratings, triples, links = runpy.run_path(str(SCRIPT))["book_shop"](seed=1)
    ratings = ratings[ratings["user"].str.split().str[1].astype(int) < 40]
    number = {book: 1000 + place for place, book in enumerate(links["item"])}
    ratings.assign(item=ratings["item"].map(number)).to_csv(tmp_path / "r.csv", index=False)
    triples.to_csv(tmp_path / "t.csv", index=False)
    links.assign(item=links["item"].map(number)).to_csv(tmp_path / "l.csv", index=False)
    table = triples.pivot(index="head", columns="relation", values="tail").reset_index()
    genre = table["genre"] + "|" + table["genre"].shift().fillna("war")
    pd.DataFrame({"item": table["head"].str.removeprefix("work/").map(number), "title": table["head"],
                  "genre": genre, "author": table["author"]}).to_csv(tmp_path / "i.csv", index=False)
    return tmp_path


def test_files_of_ones_own(folder, monkeypatch, capsys):
    options = ["--ratings", folder / "r.csv", "--scale", "1,5,3.5", "--interactions", 512]
    said = said_by(monkeypatch, capsys, *options, "--triples", folder / "t.csv", "--links", folder / "l.csv")
    assert all(1000 <= book < 1150 for book in recommended(said)[1])
    assert "(item, genre, entity)={ edge_index=[2, 150] }" in said
    said = said_by(monkeypatch, capsys, *options, "--items", folder / "i.csv", "--separator", "|")
    assert re.search(r"\(item, genre, entity\)=\{ edge_index=\[2, 2[0-9]{2}\] \}", said)  # most books have two
    assert re.search(r"in words: work/b\d{3}; ", said)


def test_ratings_need_a_kg(folder, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        said_by(monkeypatch, capsys, "--ratings", folder / "r.csv")
    assert "--ratings needs either --triples or --items" in capsys.readouterr().err
