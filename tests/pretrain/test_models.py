"""Training and ranking through PyKEEN, against distances and ranks worked out one triple at a time."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import Tensor

from kgrl.pretrain import models
from kgrl.pretrain.triples import hold_out
from kgrl.seeding import fenced

ITEMS, GENRES = 40, 5
ENTITIES = ITEMS + GENRES + 2


def planted() -> Tensor:
    """Item i has genre i mod 5 (relation 0) and is made by one of two people (relation 1)."""
    item = torch.arange(ITEMS)
    genre = torch.stack([item, torch.zeros_like(item), ITEMS + item % GENRES], dim=1)
    person = torch.stack([item, torch.ones_like(item), ITEMS + GENRES + item % 2], dim=1)
    return torch.cat([genre, person])


def trained(name: str, triples: Tensor, num_entities: int = ENTITIES, epochs: int = 30) -> models.ERModel:
    with fenced(0), models.quiet():
        net, factory = models.make_model(name, triples, num_entities, 2, 8, 0, {})
        models.train(net, factory, epochs=epochs, batch_size=16, lr=0.1, negatives=1, progress=False)
    return net


@torch.no_grad()
def transe_score(net: models.ERModel, head: int, relation: int, tail: int) -> float:
    """−‖h + r − t‖, by hand; L1 is PyKEEN's default."""
    entity, relations = net.entity_representations[0](), net.relation_representations[0]()
    return -float((entity[head] + relations[relation] - entity[tail]).abs().sum())


def test_true_triples_score_above_corrupted_ones() -> None:
    net, true = trained("transe", planted()), set(map(tuple, planted().tolist()))
    wins = [
        transe_score(net, head, relation, tail) > transe_score(net, head, relation, other)
        for head, relation, tail in true
        for other in range(ITEMS, ENTITIES)
        if (head, relation, other) not in true
    ]
    assert sum(wins) / len(wins) > 0.95


def test_ranks_equal_ranks_by_hand() -> None:
    known = planted()
    train, held_out = hold_out(known, ENTITIES, 2, 12, torch.Generator().manual_seed(0))
    net, true = trained("transe", train), set(map(tuple, known.tolist()))
    ranks = []
    for head, relation, tail in held_out.tolist():
        own = transe_score(net, head, relation, tail)
        heads, tails = [(e, relation, tail) for e in range(ENTITIES)], [(head, relation, e) for e in range(ENTITIES)]
        for corrupted in (heads, tails):
            ranks.append(1 + sum(transe_score(net, *triple) > own for triple in corrupted if triple not in true))
    scores = models.rank(net, held_out, known, progress=False)
    assert scores.triples == len(held_out) == 12
    assert scores.hits_at_10 == pytest.approx(sum(rank <= 10 for rank in ranks) / len(ranks))
    assert scores.mrr == pytest.approx(sum(1 / rank for rank in ranks) / len(ranks))
    assert 0 < scores.hits_at_10 < 1


@pytest.mark.parametrize(("name", "width"), [("RotatE", 16), ("ComplEx", 16), ("QuatE", 32), ("RESCAL", 8)])
def test_vectors_of_other_models_are_their_real_view(name: str, width: int) -> None:
    net = trained(name, planted(), epochs=1)
    vectors, own = models.entity_vectors(net), net.entity_representations[0]().detach()
    assert vectors.shape == (ENTITIES, width)
    assert vectors.dtype == torch.float
    assert own.is_complex() == (name in ("RotatE", "ComplEx"))
    again = torch.view_as_complex(vectors.unflatten(1, (-1, 2))) if own.is_complex() else vectors.view_as(own)
    assert torch.equal(again, own)


def test_sparse_gradients_change_nothing() -> None:
    """PyKEEN's own training, dense gradients and all, ends with the same vectors."""
    mine = models.entity_vectors(trained("transe", planted(), epochs=2))
    with fenced(0), models.quiet():
        net, factory = models.make_model("transe", planted(), ENTITIES, 2, 8, 0, {})
        loop = models.SLCWATrainingLoop(
            model=net, triples_factory=factory, optimizer="adagrad", optimizer_kwargs={"lr": 0.1},
            automatic_memory_optimization=False,
        )  # fmt: skip
        loop.train(factory, num_epochs=2, batch_size=16, use_tqdm=False, pin_memory=False)
    torch.testing.assert_close(mine, net.entity_representations[0]().detach())


def test_entities_without_triples_keep_their_initial_vector() -> None:
    nets = []
    with fenced(0), models.quiet():
        for epochs in (1, 4):
            net, factory = models.make_model("transe", planted(), ENTITIES + 3, 2, 8, 0, {})
            nets.append(models.train(net, factory, epochs, batch_size=16, lr=0.1, negatives=4, progress=False))
    # the two differ in how they were drawn, so each is compared with a fresh model of its own
    for epochs, vectors in zip((1, 4), nets, strict=True):
        with fenced(0), models.quiet():
            net, factory = models.make_model("transe", planted(), ENTITIES + 3, 2, 8, 0, {})
            net.reset_parameters_()
        assert torch.equal(vectors[-3:], models.entity_vectors(net)[-3:]), epochs
        assert not torch.isclose(vectors[:-3], models.entity_vectors(net)[:-3]).all(dim=1).any()


@pytest.mark.parametrize(
    ("name", "options", "complaint"),
    [
        ("ConvE", {}, r"one vector an entity, got 'ConvE'; an entity has \[\(8,\), \(\)\]"),
        ("TransD", {}, r"one vector an entity, got 'TransD'"),
        ("KG2E", {}, r"one vector an entity, got 'KG2E'"),
        ("ComplExLiteral", {}, r"got 'ComplExLiteral'; PyKEEN says: .*literal"),
        ("trans-e", {}, r"did you mean 'transe'"),
        ("transe", {"scoring_fct_nrm": 2}, r"PyKEEN says: .*scoring_fct_nrm"),
    ],
)
def test_models_that_do_not_fit_are_named(name: str, options: dict, complaint: str) -> None:
    with fenced(0), models.quiet(), pytest.raises(ValueError, match=complaint):
        models.make_model(name, planted(), ENTITIES, 2, 8, 0, options)


def test_quiet_ends() -> None:
    logger = logging.getLogger("pykeen")
    before = logger.level
    with models.quiet():
        assert not logger.isEnabledFor(logging.WARNING)
    assert logger.level == before
