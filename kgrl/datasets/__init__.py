"""Raw files → validated ``HeteroData``: the only place that touches files, raw ids and downloads."""

from kgrl.datasets.book_crossing import BookCrossing
from kgrl.datasets.frames import from_frames
from kgrl.datasets.kgcn import from_kgcn
from kgrl.datasets.movielens_100k import MovieLens100K
from kgrl.datasets.recbole import from_recbole
from kgrl.datasets.splits import popular_items, split_users

__all__ = [
    "BookCrossing",
    "MovieLens100K",
    "from_frames",
    "from_kgcn",
    "from_recbole",
    "popular_items",
    "split_users",
]
