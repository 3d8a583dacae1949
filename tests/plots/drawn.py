"""What a picture shows: the positions of its points, its texts and its lines."""

from __future__ import annotations

from typing import Any


def points(ax: Any) -> dict[str, list[tuple[float, float]]]:
    """The points of each scatter: circles under "o", squares under "s"."""
    return {"s" if len(each.get_paths()[0]) == 5 else "o": rounded(each.get_offsets())
            for each in ax.collections}


def rounded(places: Any) -> list[tuple[float, float]]:
    """To six digits, so that they can be compared."""
    return [(round(float(x), 6) + 0.0, round(float(y), 6) + 0.0) for x, y in places]


def texts(ax: Any) -> list[str]:
    return [each.get_text() for each in ax.texts]


def lines(ax: Any) -> list[list[tuple[float, float]]]:
    return [[tuple(map(float, place)) for place in each.get_xydata()] for each in ax.lines]
