"""Raw files → validated ``HeteroData``: the only place that touches files, raw ids and downloads."""

from kgrl.datasets.attributes import attribute_triples
from kgrl.datasets.audit import LinkAudit, audit_links
from kgrl.datasets.book_crossing import BookCrossing
from kgrl.datasets.frames import from_frames
from kgrl.datasets.implicit import ratings_from_counts
from kgrl.datasets.kgat import from_kgat
from kgrl.datasets.kgcn import from_kgcn
from kgrl.datasets.movielens import MovieLens1M, MovieLens10M, MovieLens20M
from kgrl.datasets.movielens_100k import MovieLens100K
from kgrl.datasets.names import names_from_labels, node_names
from kgrl.datasets.netflix import NetflixPrize
from kgrl.datasets.rating_splits import split_ratings, with_ratings
from kgrl.datasets.recbole import from_recbole
from kgrl.datasets.released import as_released
from kgrl.datasets.splits import popular_items, renumbered, split_items, split_users
from kgrl.datasets.synthetic import SyntheticKGRec

__all__ = [
    "BookCrossing",
    "LinkAudit",
    "MovieLens1M",
    "MovieLens10M",
    "MovieLens20M",
    "MovieLens100K",
    "NetflixPrize",
    "SyntheticKGRec",
    "as_released",
    "attribute_triples",
    "audit_links",
    "from_frames",
    "from_kgat",
    "from_kgcn",
    "from_recbole",
    "names_from_labels",
    "node_names",
    "popular_items",
    "ratings_from_counts",
    "renumbered",
    "split_items",
    "split_ratings",
    "split_users",
    "with_ratings",
]
