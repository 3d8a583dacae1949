"""Entity vectors: what they depend on, what the cache does, what is said and what is left alone."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from kgrl.graph import knowledge_graph
from kgrl.pretrain import LinkScores, entities, pretrain_entities
from kgrl.pretrain.triples import hold_out, training_triples

ITEMS, GENRES = 30, 5


def small_kg(inverse: bool = True) -> Data:
    """Item i has the genres i mod 5 and i // 7 mod 5; one entity has no triple."""
    item = torch.arange(ITEMS)
    tails = torch.cat([ITEMS + item % GENRES, ITEMS + item // 7 % GENRES])
    edges = torch.stack([item.repeat(2), tails])
    return knowledge_graph(
        edges, inverse, edge_type=torch.arange(2).repeat_interleave(ITEMS), num_items=ITEMS,
        num_nodes=ITEMS + GENRES + 1,
    )  # fmt: skip


def test_same_seed_same_vectors() -> None:
    first, again, other = (pretrain_entities(small_kg(), dim=8, epochs=3, seed=seed) for seed in (0, 0, 1))
    assert first.shape == (ITEMS + GENRES + 1, 8)
    assert torch.equal(first, again)
    assert not torch.isclose(first, other).all(dim=1).any()


def test_inverse_edges_and_edge_order_change_nothing() -> None:
    vectors = pretrain_entities(small_kg(), dim=8, epochs=3)
    assert torch.equal(vectors, pretrain_entities(small_kg(inverse=False), dim=8, epochs=3))
    kg = small_kg()
    order = torch.randperm(kg.edge_index.size(1), generator=torch.Generator().manual_seed(0))
    kg.edge_index, kg.edge_type = kg.edge_index[:, order], kg.edge_type[order]
    assert torch.equal(vectors, pretrain_entities(kg, dim=8, epochs=3))


def test_complex_vectors_come_as_their_real_view() -> None:
    assert pretrain_entities(small_kg(), "RotatE", 8, epochs=1).shape == (ITEMS + GENRES + 1, 16)


def test_evaluation_trains_on_the_rest() -> None:
    kg = small_kg()
    vectors, scores = pretrain_entities(kg, dim=8, epochs=3, seed=5, evaluate=True)
    triples = training_triples(kg)
    train, held_out = hold_out(triples, kg.num_nodes, 2, len(triples) // 10, torch.Generator().manual_seed(5))
    rest = Data(edge_index=train[:, ::2].T, edge_type=train[:, 1], num_nodes=kg.num_nodes, num_relations=2)
    assert torch.equal(vectors, pretrain_entities(rest, dim=8, epochs=3, seed=5))
    assert isinstance(scores, LinkScores)
    assert scores.triples == len(held_out)
    assert 0 < scores.mrr <= 1


def test_the_cache_saves_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"dim": 8, "epochs": 2, "evaluate": True, "cache": tmp_path / "cache"}
    vectors, scores = pretrain_entities(small_kg(), **options)
    monkeypatch.setattr(entities, "_train", None)  # calling it would be an error
    again, same_scores = pretrain_entities(small_kg(), **options)
    assert torch.equal(vectors, again)
    assert scores == same_scores


def test_everything_that_matters_is_in_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(entities, "_train", lambda *args: made.append(args) or (torch.zeros(36, 50), None))
    other = small_kg()
    other.edge_index[1, 0] -= 1
    larger, renamed = small_kg(), small_kg()
    larger.num_nodes += 1
    renamed.relation_names = ["a", "b"]
    for options in (
        {}, {"model": "DistMult"}, {"dim": 8}, {"epochs": 2}, {"batch_size": 7}, {"lr": 0.2}, {"negatives": 3},
        {"model_options": {"scoring_fct_norm": 1}}, {"seed": 1}, {"evaluate": True}, {"device": "meta"}, {"kg": other},
        {"kg": larger}, "version",
    ):  # fmt: skip
        if options == "version":
            monkeypatch.setattr(entities, "version", lambda name: "0.0")
            options = {}
        for _ in range(2):
            pretrain_entities(**{"kg": small_kg(), "cache": tmp_path, **options})
    assert len(made) == len(list(tmp_path.iterdir())) == 14
    for options in ({"model": "transe"}, {"model_options": {}}, {"progress": True}, {"kg": renamed}):
        pretrain_entities(**{"kg": small_kg(), "cache": tmp_path, **options})
    assert len(made) == 14, "made anew although nothing that matters is different"


@pytest.mark.parametrize("damage", ["cut", "foreign"])
def test_a_damaged_cache_file_is_named_and_made_anew(tmp_path: Path, damage: str) -> None:
    options = {"dim": 8, "epochs": 2, "cache": tmp_path}
    vectors = pretrain_entities(small_kg(), **options)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] if damage == "cut" else whole.replace(b"entity vectors", b"other  vectors"))
    with pytest.warns(UserWarning, match=f"{file.name}.*made anew"):
        again = pretrain_entities(small_kg(), **options)
    assert torch.equal(vectors, again)
    assert len(file.read_bytes()) == len(whole)


def test_global_randomness_is_left_alone() -> None:
    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    pretrain_entities(small_kg(), dim=4, epochs=1, evaluate=True)
    assert random.getstate() == before[0]
    assert (np.random.get_state()[1] == before[1]).all()
    assert torch.equal(torch.get_rng_state(), before[2])


def test_says_nothing_unless_asked(capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder) -> None:
    options = {"dim": 4, "epochs": 2, "evaluate": True}
    pretrain_entities(small_kg(), **options)  # not a terminal
    pretrain_entities(small_kg(), progress=False, **options)
    assert capfd.readouterr() == ("", "")
    assert not [str(warning.message) for warning in recwarn]
    pretrain_entities(small_kg(), progress=True, **options)
    assert "TransE on cpu: 100%" in capfd.readouterr().err


def test_on_every_device(device: torch.device) -> None:
    vectors = pretrain_entities(small_kg().to(device), dim=4, epochs=1)
    assert vectors.device.type == device.type
    assert pretrain_entities(small_kg(), dim=4, epochs=1, device=device).device.type == "cpu"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"model": "TransEE"}, "did you mean 'transe'"),
        ({"model": "ConvE"}, "one vector an entity, got 'conve'"),
        ({"dim": 0}, "`dim` must be at least 1"),
        ({"epochs": 0}, "`epochs` must be at least 1"),
        ({"batch_size": 0}, "`batch_size` must be at least 1"),
        ({"negatives": 0}, "`negatives` must be at least 1"),
        ({"lr": float("nan")}, "`lr` must be a finite number"),
        ({"seed": -1}, "`seed` must be at least 0"),
    ],
)
def test_bad_options_are_named(options: dict, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=complaint):
        pretrain_entities(small_kg(), cache=tmp_path, **options)
    assert not list(tmp_path.iterdir())
