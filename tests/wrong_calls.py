"""Valid options of the public callables that read, link, prepare and choose; see ``wrong_values``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import torch

from kgrl import datasets, graph, pretrain
from kgrl.candidates import FixedCandidates, KHopCandidates, relation_words
from kgrl.tree import ClusterTree
from tests.agents.every_agent import ITEMS, NEW, OLD, TRAIN, data
from tests.datasets.test_fuzz import KGAT, KGCN, RECBOLE
from tests.wrong_values import Call, Fresh

EDGES = torch.tensor([[0, 1, 2, 3], [4, 5, 4, 5]])


def frames() -> dict[str, pd.DataFrame]:
    return {
        "ratings": pd.DataFrame([("u", "a", 5.0, 1), ("u", "b", 1.0, 2), ("v", "a", 4.0, 3)],
                                columns=["user", "item", "rating", "time"]),
        "triples": pd.DataFrame([("x", "genre", "g"), ("y", "genre", "g")], columns=["head", "relation", "tail"]),
        "links": pd.DataFrame([("a", "x"), ("b", "y")], columns=["item", "entity"]),
        "items": pd.DataFrame({"item": ["a", "b"], "title": ["A", "B"]}),
        "entities": pd.DataFrame({"entity": ["g"], "name": ["G"]}),
    }


def written(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def reader_calls(folder: Path) -> dict[str, Call]:
    """Of kgrl.datasets, with files in ``folder``; data sets that are downloaded have none, and end with that."""
    shared: dict[str, Any] = {"linked_only": True, "min_ratings": 1}
    files = shared | {"min_item_ratings": 0, "rating_scale": (1.0, 5.0, 3.0), "bad_links": "error", "seed": 0}
    source = {"root": folder / "made", "source": folder / "nothing"}
    calls = {
        "from_frames": Call(datasets.from_frames, frames() | files | {
            "columns": {"user": "user"}, "positive_from": 4.0, "name": "mine"}),
        "from_kgcn": Call(datasets.from_kgcn, files | {
            "folder": written(folder / "kgcn", KGCN), "ratings": "ratings.csv", "separator": ",", "threshold": 4.0}),
        "from_kgat": Call(datasets.from_kgat, shared | {
            "folder": written(folder / "kgat", KGAT), "negatives": True, "min_item_ratings": 0, "seed": 0}),
        "from_recbole": Call(datasets.from_recbole, files | {
            "folder": written(folder / "a", RECBOLE), "name": "a", "positive_from": 4.0,
            "columns": {"user": "user_id"}, "config": {"USER_ID_FIELD": "user_id"}}),
        "SyntheticKGRec": Call(datasets.SyntheticKGRec, {
            "root": folder / "planted", "num_users": 20, "num_items": 20, "num_attributes": 4, "tastes_per_user": 1,
            "num_distractors": 0, "ratings_per_user": 5, "liked_share": 0.5, "noise": 0.0, "seed": 0,
            "force_reload": False}),
    }
    for kind, options in (("MovieLens100K", {"links": "translated"}), ("MovieLens1M", {"kg": True}),
                          ("MovieLens10M", {"kg": False}), ("MovieLens20M", {}), ("NetflixPrize", {}),
                          ("BookCrossing", {"seed": 0})):
        calls[kind] = Call(getattr(datasets, kind), source | shared | options, (FileNotFoundError,))
    return calls


def data_calls() -> dict[str, Call]:
    """Of what is done with a data set."""
    made, labels = data(), [["x"]] * ITEMS
    return {
        "as_released": Call(datasets.as_released, {"data": made, "new": NEW, "known_at": "release", "late": ["has_a"],
                                                   "evenly": True}),
        "attribute_triples": Call(datasets.attribute_triples, {
            "items": frames()["items"].assign(genre="x|y", year=[1, 2]), "item": "item", "columns": ["genre", "year"],
            "title": "title", "separator": "|", "bins": 5, "dates": "year", "kinds": {"genre": "genre"},
            "min_items": 1}),
        "audit_links": Call(datasets.audit_links, {"data": made, "max_items": 20, "shufflings": 2, "max_pairs": 100,
                                                   "seed": 0}),
        "names_from_labels": Call(datasets.names_from_labels, {"data": made, "labels": labels}),
        "node_names": Call(datasets.node_names, {"data": made}),
        "popular_items": Call(datasets.popular_items, {"data": made, "users": TRAIN}),
        "ratings_from_counts": Call(datasets.ratings_from_counts, {
            "interactions": pd.DataFrame({"user": [1, 2], "item": [1, 2], "count": [1, 2]}), "kind": "log",
            "liked_from": 1.0, "negatives": 1.0, "seed": 0, "items": torch.arange(9).numpy(),
            "columns": {"count": "count"}}),
        "renumbered": Call(datasets.renumbered, {"data": made, "seed": 0}),
        "split_items": Call(datasets.split_items, {"data": made, "new": 0.2, "seed": 0, "by": "random"}),
        "split_ratings": Call(datasets.split_ratings, {"data": made, "train": 0.5, "valid": 0.2, "seed": 0,
                                                       "by": "user"}),
        "with_ratings": Call(datasets.with_ratings, {"data": made, "ratings": torch.tensor([0, 2, 5])}),
        "split_users": Call(datasets.split_users, {"data": made, "train": 0.5, "valid": 0.2, "seed": 0}),
    }


def graph_calls() -> dict[str, Call]:
    kg = graph.knowledge_graph(data())
    alone = {name: Call(getattr(graph, name), {"kg": kg})
             for name in ("checked_graph", "forward_triples", "distinct_pairs", "without_edges", "kg_digest")}
    return alone | {
        "knowledge_graph": Call(graph.knowledge_graph, {
            "data": EDGES, "inverse": True, "edge_type": torch.zeros(4, dtype=torch.long), "num_items": 4,
            "num_nodes": 6, "relation_names": ["a"], "item_id": list("abcd"), "entity_id": list("abcdef")}),
        "knowledge_graph of data": Call(graph.knowledge_graph, {"data": data(), "inverse": True}),
        "shuffled": Call(graph.shuffled, {"kg": kg, "seed": 0}),
    }


def pretrain_calls() -> dict[str, Call]:
    kg, rated = graph.knowledge_graph(data()), {"data": data(), "users": TRAIN}
    fit = {"dim": 2, "epochs": 1, "weight_decay": 1e-4, "seed": 0}
    return {
        "factor_tastes": Call(pretrain.factor_tastes, rated | fit | {"factors": 3, "noise": "fitted"}),
        "item_factors": Call(pretrain.item_factors, rated | fit),
        "item_features": Call(pretrain.item_features, {"kg": kg, "least": 2, "alike": 0.9}),
        "item_ranking": Call(pretrain.item_ranking, rated | {"by": "average", "min_ratings": 0, "shrinkage": 0.0}),
        "item_tastes": Call(pretrain.item_tastes, rated | {"dim": 2, "seed": 0}),
        "item_vectors": Call(pretrain.item_vectors, rated | fit | {"kind": "mf"}),
        "kg_likes": Call(pretrain.kg_likes, rated | {"kg": kg, "old": OLD, "least": 2}),
        "kg_tastes": Call(pretrain.kg_tastes, rated | {
            "kg": kg, "dim": 2, "unrated": "unknown", "own": True, "completeness": False, "popularity": False,
            "noise": "fitted", "seed": 0}),
        "pretrain_entities": Call(pretrain.pretrain_entities, {
            "kg": kg, "model": "TransE", "dim": 2, "epochs": 1, "batch_size": 64, "lr": 0.1, "negatives": 1,
            "model_options": {}, "seed": 0, "device": "cpu", "progress": False, "evaluate": False}),
    }


def choosing_calls() -> dict[str, Call]:
    kg, vectors = graph.knowledge_graph(data()), torch.rand(ITEMS, 3)
    tree = ClusterTree.build(vectors, depth=2)
    shown, rows = torch.tensor([[0, -1], [1, 2]]), torch.Generator()
    khop, fixed = KHopCandidates(kg, size=4), FixedCandidates(ITEMS, NEW)
    return {
        "KHopCandidates": Call(KHopCandidates, {
            "kg": kg, "hops": 2, "size": 4, "popular": torch.arange(ITEMS), "backfill": ("popular", 3),
            "max_degree": 5, "table_limit": 100}),
        "KHopCandidates.select": Call(khop.select, {"seeds": shown, "exclude": shown, "generator": rows}),
        "KHopCandidates.paths": Call(khop.paths, {"item": 4, "seeds": [0]}),
        "KHopCandidates.restrict": Call(KHopCandidates(kg).restrict, {"items": NEW}),
        "FixedCandidates": Call(FixedCandidates, {"num_items": ITEMS, "pool": NEW}),
        "FixedCandidates.select": Call(fixed.select, {"seeds": shown, "exclude": shown, "generator": rows}),
        "FixedCandidates.restrict": Call(FixedCandidates(ITEMS).restrict, {"items": NEW}),
        "relation_words": Call(relation_words, {"data": data()}),
        "ClusterTree": Call(ClusterTree, {"paths": tree.paths, "children": 5}),
        "ClusterTree.build": Call(ClusterTree.build, {"vectors": vectors, "depth": 2, "method": "pca", "seed": 0}),
        "ClusterTree.build of children": Call(ClusterTree.build, {"vectors": vectors, "children": 5}),
        "ClusterTree.extend": Call(tree.extend, {"known": torch.arange(ITEMS), "vectors": vectors}),
        "ClusterTree.attach": Call(tree.attach, {"data": Fresh(lambda: data().clone())}),
        "ClusterTree.from_data": Call(ClusterTree.from_data, {"data": Fresh(lambda: _with(tree))}),
        "ClusterTree.subtree": Call(tree.subtree, {"prefix": [0]}),
    }


def _with(tree: ClusterTree) -> Any:
    made = data().clone()
    tree.attach(made)
    return made
