"""Damaged files: every reader gives a valid ``HeteroData``, or refuses by a text that names the file and the place.

``make fuzz`` runs many more: ``KGRL_FUZZ`` multiplies the number of files.
"""

from __future__ import annotations

import io
import os
import random
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch_geometric.data import HeteroData

from kgrl.datasets.assemble import Raw, Rules, assemble
from kgrl.datasets.book_crossing import RATINGS, read_bx_ratings
from kgrl.datasets.delimited import read_delimited
from kgrl.datasets.kgat import from_kgat
from kgrl.datasets.kgcn import from_kgcn, read_raw
from kgrl.datasets.movielens import RATING, read_films
from kgrl.datasets.netflix import read_netflix, read_titles
from kgrl.datasets.recbole import from_recbole

RUNS = 60 * int(os.environ.get("KGRL_FUZZ", "1"))  # of each form
TOKENS = (
    b"", b"0", b"00", b"-1", b"nan", b"inf", b"1e308", b"1e-400", b"9" * 10, b"9" * 19, b"9" * 400, b"1" + b"0" * 12,
    b"\xd9\xa7", b"\xff", b"\xc3", b"\x00", b'"', b'""', b"\t", b"::", b",", b";", b"\n", b"\r", b"\r\n", b" ",
    b"\xef\xbb\xbf", b"label:float", b"rating:token", b"1_0", b"0x1", b"True", b"x", b"2005-13-45", b"\x0b", b"\x1a",
)
PLACE = re.compile(r"\b(line|row) \d|\bcolumn \w")
WHOLE = ("is empty; expected a data file", "no row at all", "got none out of", "expected an array of whole numbers")
"""What is said of a file that is at fault as a whole."""


def array(rows: list[list[int]]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array(rows))
    return buffer.getvalue()


RECBOLE = {
    "a.inter": b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n9\t1\t4\t7\n9\t2\t1\t8\n8\t1\t2\t9\n",
    "a.item": b"item_id:token\tmovie_title:token_seq\trelease_year:token\n1\tOne\t1991\n2\tTwo\t\n",
    "a.link": b"item_id:token\tentity_id:token\n1\tm.1\n2\tm.2\n",
    "a.kg": b"head_id:token\trelation_id:token\ttail_id:token\nm.1\tgenre\tm.g\nm.2\tgenre\tm.g\n",
}
KGCN = {
    "item_index2entity_id.txt": b"30\t3\n10\t1\n20\t2\n", "kg.txt": b"1\tgenre\t7\n2\tgenre\t7\n3\tstar\t8\n",
    "ratings.csv": b"userId,movieId,rating,timestamp\n5,10,4.5,1\n5,30,1.0,2\n6,20,4.0,3\n",
}
KGAT = {
    "train.txt": b"0 2 0\n1 1\n2 0 1 2\n", "test.txt": b"0 1\n1 2\n", "kg_final.txt": b"0 0 3\n1 0 3\n2 1 4\n",
    "user_list.txt": b"org_id remap_id\n90 0\n7 1\n8 2\n",
    "item_list.txt": b"org_id remap_id freebase_id\n055X 0 m.a\n038 1 m.b\nc 2 m.c\n",
    "entity_list.txt": b"org_id remap_id\nm.a 0\nm.b 1\nm.c 2\nHome Sweet 3\nm.s 4\n",
    "relation_list.txt": b"org_id remap_id\nhttp://x.org/ns/genre 0\nstar 1\n",
}
KG, LABELS = [[0, 0, 3], [1, 0, 3], [2, 1, 4]], [[0, 2, 1], [0, 0, 0], [1, 0, 1]]
FINAL = {
    "kg_final.txt": b"0\t0\t3\n1\t0\t3\n2\t1\t4\n", "ratings_final.txt": b"0\t2\t1\n0\t0\t0\n1\t0\t1\n",
    "item_index2entity_id.txt": b"a\t0\nb\t1\nc\t2\n",
}
ARRAYS = {"kg_final.npy": array(KG), "ratings_final.npy": array(LABELS)}
MOVIELENS = {"ratings.dat": b"1::1::5::978300760\n1::2::3::978300761\n2::2::1::978300762\n",
             "movies.dat": b"1::Toy Story (1995)::Animation\n2::Alien: Two::Horror|X\n"}
MOVIELENS_CSV = {"ratings.csv": b"userId,movieId,rating,timestamp\n1,1,4.5,7\n1,3,0.5,8\n1,2,3.0,9\n",
                 "movies.csv": b'movieId,title,genres\n1,Toy Story (1995),X\n2,"Two, The (1996)",Y\n3,Three,Z\n'}
NETFLIX = {"combined_data_1.txt": b"1:\n1488844,3,2005-09-06\n822109,5,2005-05-13\n2:\n822109,4,1970-01-02\n",
           "movie_titles.csv": b"1,2003,Caf\xe9\n2,NULL,One, Two\n"}
BOOKS = {
    RATINGS: b'"User-ID";"ISBN";"Book-Rating"\r\n"7";"034X";"0"\r\n"7";"odd";"quo"te";"5"\r\n"8";"0002";"10"\r\n',
    "item_index2entity_id_rehashed.txt": b"0002\t0\n034X\t1\n", "kg_rehashed.txt": b"0\tauthor\t3\n1\tauthor\t3\n",
}


def movielens(folder: Path) -> HeteroData:
    raw = Raw(read_delimited(folder / "ratings.dat", RATING, "::"), items=read_films(folder / "movies.dat", "latin-1"))
    return assemble(raw, Rules((0.5, 5, 3.5)), "movielens")


def movielens_csv(folder: Path) -> HeteroData:
    films = read_delimited(folder / "movies.csv", {"item": "int", "title": "text", "genres": "text"}, ",", header=True,
                           quoted=True)
    return assemble(Raw(read_delimited(folder / "ratings.csv", RATING, ",", header=True), items=films),
                    Rules((0.5, 5, 3.5)), "movielens")


def netflix(folder: Path) -> HeteroData:
    ratings, titles = read_netflix([folder / "combined_data_1.txt"]), read_titles(folder / "movie_titles.csv")
    return assemble(Raw(ratings, items=titles), Rules((1, 5, 3.5)), "netflix")


def books(folder: Path) -> HeteroData:
    raw = read_raw(folder, read_bx_ratings(folder / RATINGS), RATINGS)
    return assemble(raw, Rules((0, 10, 5), positive_from=0), "books")


FORMS: dict[str, tuple[dict[str, bytes], Callable[[Path], HeteroData]]] = {
    "recbole": (RECBOLE, from_recbole),
    "recbole-scaled": (RECBOLE, lambda folder: from_recbole(folder, rating_scale=(1, 5, 3), bad_links="drop")),
    "kgcn": (KGCN, lambda folder: from_kgcn(folder, "ratings.csv", ",", linked_only=False)),
    "kgcn-labels": (KGCN, lambda folder: from_kgcn(folder, "ratings.csv", ",", 4, bad_links="drop")),
    "kgat": (KGAT, from_kgat),
    "kgat-negatives": ({name: KGAT[name] for name in ("train.txt", "test.txt", "kg_final.txt")},
                       lambda folder: from_kgat(folder, negatives=True, linked_only=False)),
    "final": (FINAL, from_kgcn),
    "arrays": (ARRAYS, from_kgcn),
    "movielens": (MOVIELENS, movielens),
    "movielens-csv": (MOVIELENS_CSV, movielens_csv),
    "netflix": (NETFLIX, netflix),
    "books": (BOOKS, books),
}


def damaged(content: bytes, rng: random.Random) -> bytes:
    """One to three small accidents."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        content = _damaged_once(content, rng)
    return content


def _damaged_once(content: bytes, rng: random.Random) -> bytes:
    at, end = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    lines, separator = content.split(b"\n"), rng.choice((b"\t", b",", b"::", b";"))
    line = rng.randrange(len(lines))
    before, after = lines[:line], lines[line + 1 :]
    fields = lines[line].split(separator)
    fields[rng.randrange(len(fields))] = rng.choice(TOKENS)
    return rng.choice((
        content[:at],
        content[:at] + content[end:],
        content[:at] + rng.choice(TOKENS) + content[at:],
        content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :],
        *[b"\n".join([*before, separator.join(fields), *after])] * 2,
        b"\n".join([*before, lines[line], lines[line], *after]),
        b"\n".join([*before, *after]),
        content.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\n\n"))),
    ))


def outcome(folder: Path, files: dict[str, bytes], read: Callable[[Path], HeteroData]) -> str:
    """ "" where all is well, else what is not: every refusal names a file of the folder, and the place in it."""
    try:
        data = read(folder)
    except (ValueError, TypeError, OSError) as error:
        text = str(error)
        if not any(name in text for name in files):
            return f"no file in {type(error).__name__}: {text}"
        placed = PLACE.search(text) or any(fault in text for fault in WHOLE)
        return "" if placed else f"no place in {type(error).__name__}: {text}"
    except Exception as error:  # this is what is looked for
        return f"{type(error).__name__}: {error}"
    rates = data["user", "rates", "item"]
    whole = data.validate(raise_on_error=False) and rates.rating.isfinite().all() and rates.edge_index.size(1)
    return "" if whole else "not a valid HeteroData"


@pytest.mark.parametrize("form", FORMS)
def test_damaged_files_are_read_or_refused_by_name(form, tmp_path):
    files, read = FORMS[form]
    rng = random.Random(form)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert outcome(tmp_path, files, read) == "", "the files are sound before they are damaged"
        assert read(tmp_path)["user"].num_nodes
        for _ in range(RUNS):
            name = rng.choice(list(files))
            content = damaged(files[name], rng)
            (tmp_path / name).write_bytes(content)
            wrong = outcome(tmp_path, files, read)
            assert not wrong, f"{name}: {content!r}: {wrong}"
            (tmp_path / name).write_bytes(files[name])
