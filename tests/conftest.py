"""What every test shares: the devices, the folder of the developers' data, and small files of a data set."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from kgrl.datasets.movielens_100k import film_numbers

DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> torch.device:
    """Every device of this machine."""
    return torch.device(request.param)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The developers' folder of real data files; tests that need it skip where it is missing."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the developers' shared data folder is not here")
    return folder


@pytest.fixture(scope="session")
def small_ml100k(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The five atomic files of ML-100K's format: 40 users, 50 films, 5 directors; users like some directors' films."""
    folder, rng = tmp_path_factory.mktemp("ml-100k-files"), random.Random(0)
    numbers = film_numbers().head(50)
    ours, theirs = numbers["ml_100k"].tolist(), numbers["ml_1m"].tolist()  # the link file has MovieLens-1M's numbers
    likes = [rng.sample(range(5), 2) for _ in range(40)]
    ratings = [(user, film, 5 if film % 5 in likes[user] else 2) for user in range(40)
               for film in rng.sample(range(50), 20)]
    lines = {
        "inter": ["user_id:token\titem_id:token\trating:float\ttimestamp:float",
                  *(f"{user}\t{ours[film]}\t{rating}\t{at}" for at, (user, film, rating) in enumerate(ratings))],
        "item": ["item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq",
                 *(f"{ours[film]}\tFilm {film}\t1990\tDrama" for film in range(50))],
        "user": ["user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token",
                 *(f"{user}\t30\tF\tother\t12345" for user in range(40))],
        "link": ["item_id:token\tentity_id:token", *(f"{theirs[film]}\tm.{film}" for film in range(50))],
        "kg": ["head_id:token\trelation_id:token\ttail_id:token",
               *(f"m.{film}\tfilm.film.directed_by\tm.d{film % 5}" for film in range(50))],
    }
    for ending, content in lines.items():
        (folder / f"ml-100k.{ending}").write_text("\n".join(content) + "\n")
    return folder
