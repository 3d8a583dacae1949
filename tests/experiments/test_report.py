"""What a run shows: levels held, tables, the figure, and the sessions to read."""

from __future__ import annotations

import math

import pandas as pd
import pytest
import torch
from scipy.stats import wilcoxon

from kgrl.candidates import KHopCandidates
from kgrl.datasets.frames import from_frames
from kgrl.evaluate import score
from kgrl.experiments.report import (
    held,
    plot_curve,
    rated_pairs,
    reasons,
    score_table,
    session_pages,
    share_of_way,
    tree_page,
)
from kgrl.graph import knowledge_graph
from kgrl.sessions import Sessions
from kgrl.tree import ClusterTree


def curve(*rewards: float) -> list[dict[str, float]]:
    return [{"interactions": 100.0 * number, "reward": reward} for number, reward in enumerate(rewards, start=1)]


@pytest.mark.parametrize(("rewards", "since"), [
    ([1, 2, 2, 2, 1], 200), ([2, 2, 1, 2, 2], None), ([2, 2, 1, 2, 2, 3], 400), ([2, 2], None), ([], None),
    ([2.0, 2.0, 2.0], 100), ([1.999, 2, 2, 2], 200),
])
def test_a_level_is_held_from_the_first_of_three_in_a_row(rewards, since):
    assert held(curve(*rewards), 2.0) == since


def scores(rewards: list[float]):
    sessions = Sessions.empty(torch.arange(len(rewards)), 1)
    sessions.items[:, 0] = 0
    sessions.rewards[:, 0] = torch.tensor(rewards)
    sessions.positive[:, 0] = sessions.rewards[:, 0] > 0
    sessions.length += 1
    sessions.step = 1
    return score(sessions, torch.full((len(rewards),), 2))


def test_table_against_a_hand_written_one():
    ours, other = [0.5, 0.25, 1.0, 0.75, -0.5], [0.25, 0.5, 0.5, 0.0, -0.625]
    p = wilcoxon([a - b for a, b in zip(ours, other, strict=True)]).pvalue
    assert score_table({"KGQR": scores(ours), "list": scores(other)}, "KGQR").splitlines() == [
        "| | reward | precision | recall | F1 | difference | p |",
        "|---|---|---|---|---|---|---|",
        "| KGQR | 0.4000 | 0.8000 | 0.4000 | 0.5333 | | |",
        f"| list | 0.1250 | 0.6000 | 0.3000 | 0.4000 | +0.2750 | {p:.2g} |",
    ]


def test_table_with_the_share_of_the_way():
    rows = {"KGQR": scores([0.5, 0.5]), "low": scores([0.25, 0.0]), "high": scores([0.5, 0.75])}
    table = score_table(rows, "KGQR", way=("low", "high")).splitlines()
    assert table[0] == "| | reward | way | precision | recall | F1 | difference | p |"
    assert [row.split(" | ")[2] for row in table[2:]] == ["75%", "0%", "100%"]
    assert math.isnan(share_of_way(rows["low"], rows["low"], rows["low"]))  # there is no way


def test_the_figure_is_a_whole_png(tmp_path):
    pytest.importorskip("matplotlib")
    plot_curve(curve(0.1, 0.4, 0.3), {"random": 0.0, "all-knowing": 1.0}, tmp_path / "curve.png", "a title")
    assert (tmp_path / "curve.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert [path.name for path in tmp_path.iterdir()] == ["curve.png"]


def test_sessions_tell_why_each_item_was_a_candidate():
    kg = knowledge_graph(torch.tensor([[0, 1, 3], [4, 4, 5]]), num_nodes=6, num_items=4, relation_names=["director"],
                         edge_type=torch.zeros(3, dtype=torch.long))
    sessions = Sessions.from_history([[0, 1, 2]], [[1.0, -0.5, 0.25]])
    names = ["Fargo", "Blood Simple", "Alien", "Heat", "Joel Coen", "Michael Mann"]
    page = session_pages(sessions, [0], KHopCandidates(kg), names.__getitem__)
    assert page.splitlines() == [
        "## User -1: 2 of 3 liked",
        "",
        "| step | recommended | feedback | why it was a candidate |",
        "|---|---|---|---|",
        "| 1 | Fargo | 👍 +1.00 | – (nothing liked before) |",
        "| 2 | Blood Simple | 👎 -0.50 | shares the director Joel Coen with Fargo |",
        "| 3 | Alien | 👍 +0.25 | – (backfill: the KG links it to nothing liked before) |",
    ]
    names[0], names[4] = "Fargo | uncut", ""  # a bar would end the cell
    assert "has the same director as Fargo &#124; uncut |" in session_pages(
        sessions, [0], KHopCandidates(kg), names.__getitem__)


def test_reasons_of_single_items():
    kg = knowledge_graph(torch.tensor([[0, 1, 2], [3, 3, 4]]), num_nodes=5, num_items=3, relation_names=["director"],
                         edge_type=torch.zeros(3, dtype=torch.long))
    names, liked = ["Fargo", "Blood Simple", "Alien", "Joel Coen", "Ridley Scott"], torch.tensor([0])
    told = reasons([1, 2], liked, KHopCandidates(kg), names.__getitem__)
    assert told == ["shares the director Joel Coen with Fargo", "– (backfill: the KG links it to nothing liked before)"]
    assert reasons([1], liked, None, names.__getitem__) == ["–"]


def test_sessions_without_candidates_have_nothing_to_explain():
    sessions = Sessions.from_history([[0, 1]], [[1.0, -0.5]])
    assert session_pages(sessions, [0], None, ["Fargo", "Alien"].__getitem__).splitlines() == [
        "## User -1: 1 of 2 liked", "", "| step | recommended | feedback |", "|---|---|---|",
        "| 1 | Fargo | 👍 +1.00 |", "| 2 | Alien | 👎 -0.50 |",
    ]


def test_tree_page_names_some_items_of_each_cluster():
    tree = ClusterTree(torch.tensor([[0, 0], [0, 1], [1, 0], [0, 2]]), 3)
    assert tree_page(tree, ["Fargo", "Heat", "Alien", "Brazil"].__getitem__, shown=2).splitlines() == [
        "4 items, depth 2, 3 children a node", "", "## Cluster 1: 3 items", "", "- Fargo", "- Brazil", "",
        "## Cluster 2: 1 items", "", "- Alien",
    ]


def test_a_page_tells_its_threshold_and_what_was_not_rated():
    sessions = Sessions.from_history([[0, 1, 2]], [[1.0, -0.0, 0.24]])
    names = ["Fargo", "Alien", "Heat"].__getitem__
    page = session_pages(sessions, [0], None, names, threshold=0.5, rated={(-1, 0), (-1, 2)})
    assert "liked (👍: feedback above 0.50)" in page
    assert "| 2 | Alien | – (not rated) |" in page
    assert "| 3 | Heat | 👍 +0.24 |" in page
    assert "-0.00" not in session_pages(Sessions.from_history([[1]], [[-0.001]]), [0], None, names)


def test_rated_pairs():
    data = from_frames(pd.DataFrame({"user": [0, 0, 1], "item": [0, 1, 1], "rating": [1, 0, 1]}))
    assert rated_pairs(data, torch.tensor([0])) == {(0, 0), (0, 1)}
