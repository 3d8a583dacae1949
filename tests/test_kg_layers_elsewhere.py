"""KG layers in other libraries' models and loaders; ``examples/lightgcn.py``, its table, ``kgconv_in_pykeen.py``."""

from __future__ import annotations

import copy
import importlib
import json
import math
import re
import sys
import warnings
from pathlib import Path
from types import ModuleType

import pytest
import torch
from scipy.stats import ttest_rel, wilcoxon
from torch_geometric.data import Data, HeteroData
from torch_geometric.loader import DataLoader, NeighborLoader, RandomNodeLoader
from torch_geometric.nn import LightGCN
from torch_geometric.typing import WITH_PYG_LIB, WITH_TORCH_SPARSE

from kgrl.datasets import SyntheticKGRec, renumbered, split_items
from kgrl.nn import KGConv

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SMALL = ["--dim", "16", "--steps", "60", "--pairs", "1024"]


def script(monkeypatch: pytest.MonkeyPatch, name: str) -> ModuleType:
    for folder in (EXAMPLES, EXAMPLES / "reproduce"):
        monkeypatch.syspath_prepend(str(folder))
    return importlib.import_module(name)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> HeteroData:
    """300 users who like two of ten attributes each, and said so of 40 items."""
    return SyntheticKGRec(tmp_path_factory.mktemp("made"), num_users=300, num_items=200, ratings_per_user=40)[0]


def test_the_kg_finds_new_items_and_leaves_old_ones_as_they_are(data, monkeypatch):
    lightgcn = script(monkeypatch, "lightgcn")
    found, made, scores = {}, {}, lightgcn.scores
    for kg in ("real", "shuffled", "none"):
        monkeypatch.setattr(lightgcn, "scores", lambda *given, kg=kg: made.update({kg: given}) or scores(*given))
        found[kg] = lightgcn.run(lightgcn.options([*SMALL, "--kg", kg]), data)
    assert found["real"]["new"]["NDCG"] > 1.5 * max(found[kg]["new"]["NDCG"] for kg in ("shuffled", "none"))
    assert found["none"]["old"]["recall"] > 0.3     # of about 160 items; a random list of 20 has an eighth
    users, items, likes, _ = made["none"]
    for kg in ("real", "shuffled"):
        assert torch.equal(made[kg][0], users)
        assert torch.equal(made[kg][1][~likes.is_new], items[~likes.is_new])
        assert not torch.equal(made[kg][1], items)


def test_ratings_of_new_items_never_enter(data, monkeypatch):
    """Turned around, all of them, they change no vector."""
    lightgcn = script(monkeypatch, "lightgcn")
    args = lightgcn.options([*SMALL, "--steps", "5"])
    _, new = split_items(renumbered(data, 0), 0.2, 0)
    other = copy.deepcopy(data)
    back = renumbered(data, 0)["item"].raw_id[new]                  # their raw ids
    turned = torch.isin(data["item"].raw_id[data["user", "rates", "item"].edge_index[1]], back)
    other["user", "rates", "item"].rating[turned] = 1 - other["user", "rates", "item"].rating[turned]
    seen = []
    monkeypatch.setattr(lightgcn, "scores", lambda users, items, likes, who: seen.append((users, items, likes)))
    for ratings in (data, other):
        lightgcn.run(args, ratings)
    (users, items, likes), (users2, items2, likes2) = seen
    assert not torch.equal(likes.new, likes2.new)
    assert torch.equal(users, users2)
    assert torch.equal(items, items2)


def test_a_split_has_each_like_once(data, monkeypatch):
    lightgcn = script(monkeypatch, "lightgcn")
    _, new = split_items(data, 0.2, 0)
    likes = lightgcn.Likes(data, new, 0)
    users, items = data["user", "rates", "item"].edge_index[:, data["user", "rates", "item"].rating == 1]
    parts = [tuple(pair) for part in (likes.train, likes.old, likes.new) for pair in part.t().tolist()]
    assert sorted(parts) == sorted(zip(users.tolist(), items.tolist(), strict=True))
    assert set(likes.new[1].tolist()) <= set(new.tolist())
    assert not set(torch.cat([likes.train, likes.old], 1)[1].tolist()) & set(new.tolist())


def test_the_matrix_is_what_lightgcn_makes_of_the_edges(data, monkeypatch):
    lightgcn = script(monkeypatch, "lightgcn")
    _, new = split_items(data, 0.2, 0)
    likes = lightgcn.Likes(data, new, 0)
    model = LightGCN(likes.num_users + likes.num_items, 8, 3)
    plain = LightGCN(likes.num_users + likes.num_items, 8, 3, normalize=False)
    plain.load_state_dict(model.state_dict())
    user, item = likes.train
    item = item + likes.num_users
    edges = torch.stack([torch.cat([user, item]), torch.cat([item, user])])
    torch.testing.assert_close(plain.get_embedding(lightgcn.liked_graph(likes)), model.get_embedding(edges))


def test_scores_against_a_loop_over_users(data, monkeypatch):
    lightgcn = script(monkeypatch, "lightgcn")
    _, new = split_items(data, 0.3, 1)
    likes = lightgcn.Likes(data, new, 1)
    generator = torch.Generator().manual_seed(0)
    users = torch.randn(likes.num_users, 6, generator=generator)
    items = torch.randn(likes.num_items, 6, generator=generator)
    who = torch.arange(3, 120, 2)
    found = lightgcn.scores(users, items, likes, who)
    for name, wanted, pool in (("old", likes.old, ~likes.is_new), ("new", likes.new, likes.is_new)):
        recall, gain = [], []
        for user in who.tolist():
            known = set(likes.train[1][likes.train[0] == user].tolist())
            liked = set(wanted[1][wanted[0] == user].tolist())
            pick = [item for item in pool.nonzero().view(-1).tolist() if item not in known]
            pick = sorted(pick, key=lambda item: -float(users[user] @ items[item]))[:20]
            if liked:
                recall.append(len(liked & set(pick)) / len(liked))
                best = sum(1 / math.log2(place + 2) for place in range(min(20, len(liked))))
                gain.append(sum(1 / math.log2(place + 2) for place, item in enumerate(pick) if item in liked) / best)
        assert found[name]["recall"] == pytest.approx(sum(recall) / len(recall), abs=1e-5)
        assert found[name]["NDCG"] == pytest.approx(sum(gain) / len(gain), abs=1e-5)


def test_the_table(tmp_path, monkeypatch, capsys):
    table = script(monkeypatch, "lightgcn_table")
    arguments = ["table", "--splits", "0", "1", "--seeds", "0", "1", "--out", str(tmp_path / "out"), "--dataset",
                 "synthetic", "--data", str(tmp_path), "--steps", "2", "--dim", "4"]
    monkeypatch.setattr(sys, "argv", arguments)
    table.main()
    said = capsys.readouterr().out
    runs = {tuple(path.stem.split("-")[1:]): json.loads(path.read_text())["scores"]
            for path in (tmp_path / "out").iterdir()}
    assert len(runs) == 12
    real, control = ([runs[kg, split, seed]["new"]["recall"] for split in "01" for seed in "01"]
                     for kg in ("real", "shuffled"))
    values = torch.tensor(real, dtype=torch.double)
    assert f"| KG | {values.mean():.4f} ± {values.std():.4f} |" in said
    runs_p = wilcoxon(real, control, alternative="greater").pvalue
    splits_p = ttest_rel(*(torch.tensor(part).view(2, 2).mean(1) for part in (real, control)), alternative="greater")
    difference = sum(real) / 4 - sum(control) / 4
    assert f"| KG − shuffled KG | {difference:+.4f}, p {runs_p:.1g}; {splits_p.pvalue:.1g} |" in said
    assert said.count("the same") == 4      # old items, whose vectors are LightGCN's
    monkeypatch.setattr(table.lightgcn, "run", None)    # all is there: nothing is trained again
    table.main()
    assert capsys.readouterr().out.splitlines()[-7:] == said.splitlines()[-7:]
    for seeds, spread in ((("0", "1"), r"0\.\d{4}"), (("0",), "–")):     # one split tells nothing about splits
        monkeypatch.setattr(sys, "argv", ["table", "--splits", "0", "--seeds", *seeds, *arguments[7:]])
        with warnings.catch_warnings(action="error"):
            table.main()
        few = capsys.readouterr().out.splitlines()[-7:]
        assert re.match(rf"\| KG \| 0\.\d{{4}} ± {spread} \|", few[2])
        assert re.match(r"\| KG − shuffled KG \| [+-]0\.\d{4}, p \S+; – \|", few[5])


@pytest.mark.parametrize(("name", "arguments", "text"), [
    ("lightgcn", ["--kg", "wrong"], "invalid choice: 'wrong'"),
    ("lightgcn", ["--steps", "0"], "must be a whole number of at least 1, got '0'"),
    ("lightgcn", ["--lr", "nan"], "must be a finite number of at least 0, got 'nan'"),
    ("kgconv_in_pykeen", ["--models", "wrong"], "invalid choice: 'wrong'"),
    ("kgconv_in_pykeen", ["--hops", "0"], "must be a whole number of at least 1, got '0'"),
])
def test_a_wrong_argument_ends_the_script_at_once(name, arguments, text, monkeypatch, capsys):
    module = script(monkeypatch, name)
    with pytest.raises(SystemExit):
        module.options(arguments)
    assert text in capsys.readouterr().err


def test_kgconv_in_pykeen(tmp_path, monkeypatch, capsys):
    example = script(monkeypatch, "kgconv_in_pykeen")
    arguments = ["script", "--dataset", "synthetic", "--data", str(tmp_path), "--epochs", "2", "--held-out", "40",
                 "--seeds", "0", "1", "--dim", "8"]
    monkeypatch.setattr(sys, "argv", arguments)
    example.main()
    said = capsys.readouterr().out
    assert "920 triples to learn from, 40 held out" in said
    for name in ("TransE", "KGConv"):
        assert said.count(f"{name}, seed ") == 2
        assert f"\n{name}: MRR 0." in said


def test_pykeens_model_is_kgconv_over_its_own_table(monkeypatch):
    """An entity's vector, written out: W · mean of its neighbours, either way, + B · itself + b, of length 1."""
    example = script(monkeypatch, "kgconv_in_pykeen")
    triples = torch.tensor([[0, 0, 1], [0, 1, 2], [3, 0, 0]])
    model = example.make_model(example.options(["--dim", "4"]), "KGConv", example.CoreTriplesFactory(triples, 5, 2), 0)
    entities = model.entity_representations[0]
    layer, table = entities.layers[0].aggregator, entities.base()
    neighbours = {0: [1, 2, 3], 1: [0], 2: [0], 3: [0], 4: []}
    for entity, others in neighbours.items():
        mean = sum((table[other] for other in others), torch.zeros(4)) / max(len(others), 1)
        vector = layer.neighbours(mean) + layer.itself(table[entity])
        torch.testing.assert_close(entities()[entity], vector / vector.norm())
    head, relation, tail = entities()[0], model.relation_representations[0]()[1], entities()[2]
    torch.testing.assert_close(model.score_hrt(torch.tensor([[0, 1, 2]])).view(()), -(head + relation - tail).norm())


def test_an_answer_is_not_given_away(monkeypatch):
    """No training triple joins the two entities of a held-out one."""
    example = script(monkeypatch, "kgconv_in_pykeen")
    generator = torch.Generator().manual_seed(0)
    triples = torch.stack([torch.randint(size, (400,), generator=generator) for size in (30, 3, 30)], 1).unique(dim=0)
    args = example.options(["--held-out", "20"])
    training, held, known = example.split(args, triples, 30, 3)
    seen = {frozenset(pair) for pair in training.mapped_triples[:, ::2].tolist()}
    asked = {tuple(triple) for triple in held.mapped_triples.tolist()}
    assert len(asked) == len(known) == 20
    assert not seen & {frozenset((head, tail)) for head, _, tail in asked}
    _, validation, _ = example.split(example.options(["--held-out", "20", "--validate"]), triples, 30, 3)
    assert not {tuple(triple) for triple in validation.mapped_triples.tolist()} & asked


# ------------------------------------------------------------------------------------------------- PyG's loaders

def typed_graph(seed: int = 0, nodes: int = 60, edges: int = 400) -> Data:
    """Edges of three kinds between nodes with vectors, which know their own numbers."""
    draw = torch.Generator().manual_seed(seed)
    return Data(x=torch.randn(nodes, 6, generator=draw), edge_index=torch.randint(nodes, (2, edges), generator=draw),
                edge_type=torch.randint(3, (edges,), generator=draw), n_id=torch.arange(nodes))


def typed_layer(aggregator: str) -> KGConv:
    kwargs = {"num_relations": 3} if aggregator == "relational" else {}
    torch.manual_seed(0)
    return KGConv(6, 5, aggregator, aggregator_kwargs=kwargs).eval()


LAYERS = pytest.mark.parametrize("aggregator", ["mean", "gat", "relational"])


@LAYERS
@torch.no_grad()
def test_a_part_of_a_loader_is_the_graph_with_the_edges_inside_it(aggregator):
    graph, layer, seen = typed_graph(), typed_layer(aggregator), []
    for part in RandomNodeLoader(graph, num_parts=4, shuffle=True):
        inside = torch.isin(graph.edge_index, part.n_id).all(0)
        whole = layer(graph.x, graph.edge_index[:, inside], graph.edge_type[inside])
        torch.testing.assert_close(layer(part.x, part.edge_index, part.edge_type), whole[part.n_id])
        assert 0 < int(inside.sum()) < graph.num_edges
        seen.append(part.n_id)
    assert torch.cat(seen).sort().values.tolist() == list(range(60))


@LAYERS
@torch.no_grad()
def test_graphs_in_a_batch_do_not_hear_each_other(aggregator):
    graphs, layer = [typed_graph(seed, 20 + seed, 90) for seed in range(5)], typed_layer(aggregator)
    (batch,) = DataLoader(graphs, batch_size=5)
    alone = [layer(graph.x, graph.edge_index, graph.edge_type) for graph in graphs]
    torch.testing.assert_close(layer(batch.x, batch.edge_index, batch.edge_type), torch.cat(alone))


@pytest.mark.skipif(not (WITH_PYG_LIB or WITH_TORCH_SPARSE), reason="needs pyg-lib or torch-sparse")
@LAYERS
@torch.no_grad()
def test_all_neighbours_of_a_batch_of_nodes_give_what_the_graph_gives(aggregator):
    graph, layer = typed_graph(), typed_layer(aggregator)
    whole = layer(graph.x, graph.edge_index, graph.edge_type)
    for part in NeighborLoader(graph, [-1], torch.arange(0, 60, 2), batch_size=8):
        told = layer(part.x, part.edge_index, part.edge_type)[: part.batch_size]
        torch.testing.assert_close(told, whole[part.n_id[: part.batch_size]])
