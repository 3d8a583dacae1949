"""MovieLens-1M with the Satori KG that MKR published."""

from __future__ import annotations

from kgrl.datasets.movielens import MovieLensArchive


class MovieLens1M(MovieLensArchive):
    """MovieLens-1M (Harper and Konstan, 2015): 1,000,209 ratings, 1 to 5, by 6,040 users of 3,706 films (3,883 listed).

    The KG is Satori's as MKR (Wang et al., 2019) links it; above 3.5 is positive. Arguments as
    :class:`kgrl.datasets.movielens.MovieLensArchive`, raw files ``ratings.dat`` and ``movies.dat``.
    """

    url = "https://files.grouplens.org/datasets/movielens/ml-1m.zip"
    kg_url = "https://raw.githubusercontent.com/hwwang55/MKR/master/data/movie"
    citation = "Harper and Konstan, The MovieLens Datasets, TiiS 2015; Wang et al., MKR, WWW 2019"
    sha256 = "a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20"
    folder = "ml-1m"
    encoding = "latin-1"
    scale = (1.0, 5.0, 3.5)
