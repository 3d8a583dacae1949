"""What a run shows: the table of scores, the learning curve, and sessions to read."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Container, Iterable, Mapping, Sequence

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.candidates.k_hop import KHopCandidates
from kgrl.candidates.reasons import Role, role_of
from kgrl.evaluate import METRICS, Scores, compare
from kgrl.experiments.canvas import canvas
from kgrl.sessions import Sessions
from kgrl.tree.cluster_tree import ClusterTree


def score_table(scores: Mapping[str, Scores], ours: str, way: tuple[str, str] | None = None) -> str:
    """A Markdown table of mean scores, with the p-value of ``ours`` against each other row.

    Args:
        scores: of every recommender, on the same users.
        ours: the row the others are compared with (two-sided paired Wilcoxon test over users, on the reward).
        way: two rows, e.g. random and all-knowing; a column says how much of the way from the first one's reward to the
            second one's each row goes.
    """
    columns = ["", "reward", *(["way"] if way else []), "precision", "recall", "F1", "difference", "p"]
    lines = [f"|{'|'.join(f' {column} ' if column else ' ' for column in columns)}|", "|---" * len(columns) + "|"]
    for name, row in scores.items():
        cells = [f"{getattr(row, metric):.4f}" for metric in METRICS]
        if way:
            cells.insert(1, f"{share_of_way(row, scores[way[0]], scores[way[1]]):.0%}")
        means = " | ".join(cells)
        test = compare(scores[ours], row)
        versus = "| | |" if name == ours else f"| {test.difference:+.4f} | {test.p_value:.2g} |"
        lines.append(f"| {name} | {means} {versus}")
    return "\n".join(lines)


def share_of_way(row: Scores, low: Scores, high: Scores) -> float:
    """How much of the way from the reward of ``low`` to that of ``high`` a row goes; NaN where these are equal."""
    return (row.reward - low.reward) / (high.reward - low.reward) if high.reward != low.reward else math.nan


def held(curve: Iterable[Mapping[str, float]], level: float, times: int = 3) -> int | None:
    """The interactions from which ``times`` evaluations in a row are at or above ``level``; ``None``: never."""
    rows = list(curve)
    for first in range(len(rows) - times + 1):
        if all(row["reward"] >= level for row in rows[first : first + times]):
            return int(rows[first]["interactions"])
    return None


def plot_curve(
    curve: Sequence[Mapping[str, float]], levels: Mapping[str, float], path: str | os.PathLike[str], title: str = "",
    ours: str = "KGQR",
) -> None:
    """Draws reward against interactions, with flat lines to read it against, into a PNG file.

    Args:
        curve: from :func:`kgrl.train.fit`.
        levels: rewards that need no learning, by name.
        path: the file.
        title: above the figure.
        ours: the method's name.
    """
    with canvas(path, title, legend="lower right") as (axes,):
        axes.plot([row["interactions"] for row in curve], [row["reward"] for row in curve], marker=".", label=ours)
        for number, (name, level) in enumerate(levels.items(), start=1):
            axes.axhline(level, color=f"C{number}", linestyle="--", linewidth=1, label=f"{name} ({level:.3f})")
        axes.set(xlabel="interactions with training users", ylabel="mean reward a step")


def session_pages(
    sessions: Sessions, rows: Iterable[int], candidates: KHopCandidates | None, name: Callable[[int], str],
    relation: Callable[[str], Role] = role_of, *, threshold: float | None = None,
    rated: Container[tuple[int, int]] | None = None,
) -> str:
    """Markdown to read a few sessions by: each pick, its feedback, and the KG path that made it a candidate.

    Args:
        sessions: finished sessions.
        rows: which of them.
        candidates: the rule that chose the candidates; it explains them. ``None``: nothing to explain.
        name: what a node of the KG is called, "" where it has no name: ``node_names(data).__getitem__``.
        relation: what one of its relations is called: ``relation_words(data).__getitem__``.
        threshold: feedback above it is 👍, and each heading says so.
        rated: (user, item) pairs that are logged, see :func:`rated_pairs`: no other has feedback to show. ``None``: the
            simulator knows what everybody feels about everything.
    """
    above = "" if threshold is None else f" (👍: feedback above {threshold:.2f})"
    pages = []
    for row in rows:
        session = sessions.rows(torch.tensor([row], device=sessions.device)).to("cpu")
        hits, steps = int(session.positive.sum()), int(session.length)
        pages.append(f"## User {int(session.users)}: {hits} of {steps} liked{above}\n")
        columns = ["step", "recommended", "feedback", *(["why it was a candidate"] if candidates else [])]
        pages.append(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
        pages += [_line(session, step, candidates, name, relation, rated) for step in range(steps)]
        pages.append("")
    return "\n".join(pages)


def _line(
    session: Sessions, step: int, candidates: KHopCandidates | None, name: Callable[[int], str],
    relation: Callable[[str], Role], rated: Container[tuple[int, int]] | None,
) -> str:
    item = int(session.items[0, step])
    mark = "👍" if session.positive[0, step] else "👎"
    feedback = f"{mark} {round(float(session.feedback[0, step]), 2) + 0.0:+.2f}"  # no −0.00
    cells = [str(step + 1), name(item),
             feedback if rated is None or (int(session.users), item) in rated else "– (not rated)"]
    if candidates is not None:
        liked: Tensor = session.before(step).liked[0]
        cells.append(_why(candidates, item, liked[liked >= 0], name, relation))
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def rated_pairs(data: HeteroData, users: Tensor) -> set[tuple[int, int]]:
    """(user, item) of every rating of ``users``."""
    pairs = data["user", "rates", "item"].edge_index
    return set(map(tuple, pairs[:, torch.isin(pairs[0], users)].T.tolist()))


def reasons(
    items: Iterable[int], liked: Tensor, candidates: KHopCandidates | None, name: Callable[[int], str],
    relation: Callable[[str], Role] = role_of,
) -> list[str]:
    """How the KG leads to each of ``items`` from what a user liked, in words: over the rarest entity in common.

    Args:
        items: item ids.
        liked: ``[L]``, item ids.
        candidates: the rule that explains. ``None``: nothing to explain, and each reason is "–".
        name: what a node of the KG is called, see :func:`session_pages`.
        relation: what one of its relations is called, likewise.
    """
    return ["–" if candidates is None else _why(candidates, item, liked, name, relation) for item in items]


def _why(
    candidates: KHopCandidates, item: int, liked: Tensor, name: Callable[[int], str], relation: Callable[[str], Role]
) -> str:
    if not len(liked):
        return "– (nothing liked before)"
    paths = candidates.paths(item, liked)
    return paths[0].describe(name, relation) if paths else "– (backfill: the KG links it to nothing liked before)"


def tree_page(tree: ClusterTree, name: Callable[[int], str], shown: int = 12) -> str:
    """Markdown to read a cluster tree by: the items below each child of the root.

    Args:
        tree: over the items.
        name: what an item is called.
        shown: items of a cluster that are named, spread over its leaves.
    """
    lines = [f"{len(tree)} items, depth {tree.depth}, {tree.children} children a node\n"]
    for digit in range(tree.children):
        items = tree.subtree([digit])
        if len(items):
            picked = items[torch.linspace(0, len(items) - 1, min(shown, len(items))).long()]
            lines += [f"## Cluster {digit + 1}: {len(items)} items\n", *(f"- {name(int(i))}" for i in picked), ""]
    return "\n".join(lines)
