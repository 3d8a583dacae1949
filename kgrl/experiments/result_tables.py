"""What rows the papers' tables and figures have; one entry a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kgrl.experiments import paper
from kgrl.experiments.method import slug
from kgrl.experiments.paper import Figures
from kgrl.options import one_of

METRIC_NAMES = {"reward": "reward", "precision": "P@32", "recall": "R@32", "f1": "F1@32"}


@dataclass(frozen=True)
class ResultTable:
    """A table or figure that is made of cells.

    Args:
        name: what it is asked for by.
        title: what it is called.
        rows: label → method, in order.
        metrics: the columns.
        ours: the label that is tested against the others.
        test: ``"wilcoxon"`` or ``"welch"``, as in the paper.
        level: of significance, for a star.
        worlds: ``data set/world`` that it is made for unless others are asked for.
        etas: likewise.
        paper: data set → η → method → the metrics' values in the paper.
        stand_in: whose figures of the paper stand beside a data set that it does not have.
        rewards: levels of reward; given, it tells the interactions that they take rather than the scores.
        note: what is to be said below it.
        figure: what its figure is called where that belongs beside the table.
        curves: labels of the rows that its figure of curves has, those that matter; default: all. The others stand in
            a second figure, an appendix.
        ordered: whether the rows are values of one quantity in its order, so that a line may join them.
        pooled: whether it has one sheet for several splits, see :func:`kgrl.experiments.pooled.pooled_sheet`.
    """

    name: str
    title: str
    rows: Mapping[str, str]
    metrics: tuple[str, ...]
    ours: str
    test: str = "wilcoxon"
    level: float = 0.05
    worlds: tuple[str, ...] = ("book-crossing/kgqr", "ml-100k/heldout")
    etas: tuple[float, ...] = (0.1,)
    paper: Mapping[str, Mapping[float, Figures]] = field(default_factory=dict)
    stand_in: Mapping[str, str] = field(default_factory=lambda: paper.STAND_IN)
    rewards: tuple[float, ...] = ()
    note: str = ""
    figure: str = ""
    curves: tuple[str, ...] = ()
    ordered: bool = False
    pooled: bool = False

    @property
    def picture(self) -> str:
        """What the file of its figure is called: after the figure, where that has a name of its own."""
        return slug(self.figure.partition(":")[0]).replace("figure-", "figure") or self.name


def _itself(*methods: str) -> dict[str, str]:
    return {method: method for method in methods}


_BASELINES = _itself("Random", "Popularity", "Popularity (shrunken)", "Most rated", "GreedySVD", "Linear-Gaussian",
                     "GRU4Rec", "LinearUCB", "HLinearUCB", "DDPG-R", "DDPG-KNN (k=1)", "DDPG-KNN (k=0.1N)",
                     "DDPG-KNN (k=N)", "DQN-R")
_KGQR = ("reward", "precision", "recall")
_NEW = _itself("Random", "Fixed list by KG", "Fixed list by KG (shuffled KG)", "KG prior", "KG prior (shuffled KG)",
               "KG prior (with completeness)", "KG prior (with completeness) (shuffled KG)",
               "KG profile", "KG profile (shuffled KG)", "LinearUCB (KG vectors)", "DQN-R (KG vectors)",
               "KGQR, new items", "KGQR, new items (shuffled KG)", "KGQR, new items (no KG)", "KGQR with prior",
               "KGQR with prior (shuffled KG)", "KGQR with prior (no KG)",
               "KGQR with prior (cross-fitted)", "KGQR with prior (cross-fitted) (shuffled KG)",
               "KGQR with prior (relational)", "KGQR with prior (γ = 0.3)")
_NEW_WORLDS = (("ml-100k/heldout", ""), ("ml-100k/heldout", "-ever"), ("ml-100k/logged", ""),
               ("ml-100k/logged", "-ever"), ("ml-100k/logged", "-past-32"), ("book-crossing/logged", ""),
               ("book-crossing/logged", "-past-32"), ("book-crossing/kgqr", ""), ("book-crossing/taste", ""),
               ("synthetic/planted", ""))
_STEPS = ("from backfill to KGQR, one part after the other, with the same options: KGQR-KG (which is DQN-R) in the "
          "backfill, the most liked items alone; with KG vectors (KGQR-GCN-CS); with graph convolution (KGQR-CS); with "
          "k-hop candidates (KGQR)")

TABLES = {table.name: table for table in (
    ResultTable(
        "kgqr-table3", "KGQR Table 3: overall performance",
        _BASELINES | _itself("DQN-R (paper's state)", "KGQR (paper's state)", "KGQR (random backfill)", "KGQR"),
        _KGQR, "KGQR", worlds=("book-crossing/kgqr", "ml-100k/heldout", "book-crossing/taste"), etas=(0.0, 0.1, 0.2),
        paper=paper.KGQR_TABLE3),
    ResultTable(
        "kgqr-table4", "KGQR Table 4: interactions to reach a reward",
        _itself("DDPG-R (paper's state)", "DDPG-KNN (k=N) (paper's state)", "DQN-R (paper's state)",
                "KGQR (paper's state)", "DDPG-R", "DDPG-KNN (k=N)", "DQN-R", "KGQR-CS", "KGQR (random backfill)",
                "KGQR", "DDPG-R in the backfill", "DDPG-KNN (k=N) in the backfill",
                "DQN-R in the backfill (paper's state)", "DQN-R in the backfill", "KGQR-KG in the backfill",
                "KGQR-GCN-CS in the backfill", "KGQR-CS in the backfill", "DQN-R (warm start)",
                "DQN-R in the backfill (warm start)", "KGQR (warm start)"),
        ("reward",), "KGQR", rewards=(0.5, 1.0, 1.5, 2.0),
        paper={name: {0.1: rows} for name, rows in paper.KGQR_TABLE4.items()},
        note=_STEPS,
        figure="KGQR Figure 3: learning curves",
        curves=("DDPG-KNN (k=N)", "DQN-R (paper's state)", "DQN-R", "KGQR (paper's state)", "KGQR")),
    ResultTable(
        "kgqr-table6", "KGQR Tables 5 and 6: ablation",
        _itself("KGQR-KG", "KGQR-GCN-CS", "KGQR-CS", "KGQR"), ("reward", "precision"), "KGQR",
        paper=paper.KGQR_TABLE6, note="KGQR-KG: DQN-R with KGQR's options"),
    ResultTable(
        "kgqr-paper-state", "KGQR Table 3 with the papers' state for all",
        _itself("DDPG-R (paper's state)", "DDPG-KNN (k=N) (paper's state)", "DQN-R (paper's state)",
                "DQN-R in the backfill (paper's state)", "KGQR (paper's state)"),
        ("reward", "precision"), "KGQR (paper's state)", paper=paper.KGQR_TABLE3,
        note="options as searched with our state"),
    ResultTable(
        "kgqr-backfill", "From the backfill to KGQR, one part after the other",
        {"DQN-R in the backfill (its own options)": "DQN-R in the backfill"} | _itself(
            "KGQR-KG in the backfill", "KGQR-GCN-CS in the backfill", "KGQR-CS in the backfill", "KGQR"),
        ("reward", "precision"), "KGQR-KG in the backfill", note=_STEPS),
    ResultTable(
        "kgqr-warm-start", "A start from the training users' ratings",
        _itself("Linear-Gaussian (factors)", "GreedySVD", "DQN-R", "DQN-R in the backfill", "KGQR",
                "DQN-R (warm start)", "DQN-R in the backfill (warm start)", "KGQR (warm start)"),
        ("reward", "precision"), "KGQR (warm start)",
        worlds=("book-crossing/kgqr", "ml-100k/heldout", "book-crossing/taste"),
        note="warm start: the taste state begins where a matrix factorization of the training users' ratings puts "
             "it; Linear-Gaussian (factors) begins there and stays"),
    ResultTable(
        "new-items", "New items: neither rated nor shown before", _NEW, ("reward",), "KGQR with prior", etas=(0.0,),
        worlds=tuple(f"{world}-new-{split}{rest}" for world, rest in _NEW_WORLDS for split in (0, 1, 2)),
        pooled=True,
        note="a fifth of the items is new; best fixed list: knows the training users' feedback on the new items; KG "
             "prior: no interaction; without a KG, new items are all alike to a prior, and it picks as Random does"),
    ResultTable(
        "kgqr-splits", "KGQR and its controls over three splits of the users",
        _itself("GreedySVD", "DQN-R", "KGQR", "KGQR (shuffled KG)", "KGQR (no KG)"), ("reward",), "KGQR",
        worlds=("ml-100k/heldout", "ml-100k/heldout-users-1", "ml-100k/heldout-users-2"), pooled=True),
    ResultTable(
        "kgqr-controls", "KGQR on old items: what its KG is worth",
        _itself("KGQR (random backfill)", "KGQR (random backfill, shuffled KG)", "KGQR (random backfill, no KG)",
                "KGQR", "KGQR (shuffled KG)", "KGQR (no KG)"), ("reward",), "KGQR (random backfill)",
        worlds=("ml-100k/heldout",), rewards=(0.5, 1.0, 1.5)),
    ResultTable(
        "kgqr-figure4", "KGQR Figure 4: candidate size",
        {f"{size:,} candidates": f"KGQR ({size} candidates)" for size in (1_000, 2_000, 3_000, 5_000, 10_000)},
        ("reward", "precision"), "1,000 candidates", worlds=("book-crossing/kgqr",),
        note="what two hops reach is filled up at random to the size", figure="KGQR Figure 4", ordered=True),
    ResultTable(
        "tpgr-table2", "TPGR Table 2: overall performance",
        _BASELINES | _itself("TPGR (as printed)", "TPGR (KG tree)", "TPGR (KG tree and state)", "TPGR"),
        ("reward", "precision", "recall", "f1"), "TPGR", "welch", 1e-6, ("ml-100k/logged",), (0.0, 0.1, 0.2),
        paper.TPGR_TABLE2, paper.TPGR_STAND_IN),
    ResultTable(
        "tpgr-figure4-left", "TPGR Figure 4, left: clustering and item representation",
        {"K-means, rating": "TPGR (kmeans, rating)", "K-means, VAE": "TPGR (kmeans, vae)",
         "K-means, MF": "TPGR (kmeans, mf)", "PCA, VAE": "TPGR (pca, vae)", "PCA, MF": "TPGR (pca, mf)",
         "PCA, rating": "TPGR"},
        ("reward",), "PCA, rating", "welch", 1e-6, ("ml-100k/logged",), figure="TPGR Figure 4, left"),
    ResultTable(
        "tpgr-figure4-right", "TPGR Figure 4, right: depth of the tree",
        {"depth 1": "TPGR (depth 1)", "depth 2": "TPGR", "depth 3": "TPGR (depth 3)", "depth 4": "TPGR (depth 4)"},
        ("reward",), "depth 2", "welch", 1e-6, ("ml-100k/logged",), figure="TPGR Figure 4, right", ordered=True,
        note="seconds, in the figure, are those of the runs, which had others beside them; by themselves: timing.py "
             "depth"),
)}


def table_of(name: str) -> ResultTable:
    """The table of that name.

    Raises:
        ValueError: there is none; the text lists the choices and the nearest.
    """
    return TABLES[one_of("table", name, TABLES)]
