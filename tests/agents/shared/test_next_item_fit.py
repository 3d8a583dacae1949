"""``fit_next_item`` against its gradient steps made by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from kgrl.agents.shared import next_item_fit
from kgrl.agents.shared.next_item_fit import fit_next_item, ranking_loss
from kgrl.nn.policy.next_item import NextItem
from kgrl.pretrain.sequences import LikedSequences
from kgrl.seeding import generator_for

ITEMS, DIM = 9, 4
OPTIONS: dict[str, Any] = {
    "loss": "cross-entropy", "regularisation": 0.5, "negatives": 0, "alpha": 1.0, "epochs": 2, "batch_size": 3,
    "steps": 2, "longest": 4, "lr": 0.05, "weight_decay": 0.01, "seed": 7,
}


def sequences(seed: int = 0) -> LikedSequences:
    generator = torch.Generator().manual_seed(seed)
    lengths = [4, 1, 6, 3, 5]
    items = torch.cat([torch.randperm(ITEMS, generator=generator)[:length] for length in lengths])
    return LikedSequences(items, torch.arange(5).repeat_interleave(torch.tensor(lengths)), ITEMS, True)


def network(dropout: float = 0.0) -> NextItem:
    torch.manual_seed(0)
    made = NextItem(ITEMS, DIM, 3, tied=False, dropout=dropout).double()
    torch.nn.init.normal_(made.output)
    return made


def scores_of(model: NextItem, h: Tensor) -> Tensor:
    return model.output @ h + model.bias


def draws(generator: torch.Generator) -> list[int]:
    if not OPTIONS["negatives"]:
        return []
    weight = sequences().likes().double()
    return torch.multinomial(weight, OPTIONS["negatives"], replacement=True, generator=generator).tolist()


def by_hand(model: NextItem) -> int:
    """The gradient steps of all epochs, session by session and item by item; states go on, gradients do not."""
    generator, source = generator_for("cpu", OPTIONS["seed"]), sequences()
    adam = torch.optim.Adam(model.parameters(), lr=OPTIONS["lr"], weight_decay=OPTIONS["weight_decay"])
    turns = 0
    for _ in range(OPTIONS["epochs"]):
        items, first = source.parallel(3, OPTIONS["longest"], generator)
        hidden = [torch.zeros(3, dtype=torch.double) for _ in range(3)]
        for begin in range(0, len(items), 2):
            hidden, each = [h.detach() for h in hidden], []
            extra = draws(generator)
            for step in range(begin, min(begin + 2, len(items))):
                for lane in range(3):
                    item = int(items[step, lane])
                    if item < 0:
                        continue
                    if first[step, lane]:
                        hidden[lane] = torch.zeros_like(hidden[lane])
                    scores = scores_of(model, hidden[lane])
                    others = [int(items[step, other]) for other in range(3) if other != lane] + extra
                    negatives = [scores[other] for other in others if other not in (item, -1)]
                    each.append(torch.stack([scores[item], *negatives]).logsumexp(0) - scores[item])
                    inputs = model.gru.project(model.embedding[item].unsqueeze(0))
                    hidden[lane] = model.gru.step(hidden[lane].unsqueeze(0), inputs).squeeze(0)
            loss = torch.stack(each).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
            turns += 1
    return turns


@pytest.mark.parametrize("negatives", [0, 5])
def test_equals_the_steps_by_hand(monkeypatch: pytest.MonkeyPatch, negatives: int) -> None:
    """Every weight after several gradient steps, with a state carried from one to the next."""
    monkeypatch.setitem(OPTIONS, "negatives", negatives)
    trained, slow = network(), network()
    assert by_hand(slow) >= 7
    fit_next_item(trained, sequences(), OPTIONS)
    for (name, mine), theirs in zip(trained.named_parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, msg=name)
        assert not torch.allclose(mine, network().get_parameter(name), atol=1e-3), name


def test_the_loss_is_the_mean_over_what_is_there() -> None:
    model, items = network(), torch.tensor([[3, 1, 4], [5, -1, -1]])
    before = torch.randn(2, 3, 3, dtype=torch.double)
    for name in ("cross-entropy", "bpr-max"):
        whole = ranking_loss(model, before, items, torch.tensor([7]), OPTIONS | {"loss": name})
        parts = [ranking_loss(model, before[:1], items[:1], torch.tensor([7]), OPTIONS | {"loss": name}) * 3,
                 ranking_loss(model, before[1:, :1], items[1:, :1], torch.tensor([7]), OPTIONS | {"loss": name})]
        torch.testing.assert_close(whole, sum(parts) / 4)
    light = ranking_loss(model, before, items, torch.tensor([7]), OPTIONS | {"loss": "bpr-max", "regularisation": 0.1})
    assert light < whole


def test_what_decayed_to_next_to_nothing_is_nothing() -> None:
    """Items that are never drawn and nobody liked; with the others the network is left alone."""
    model, source = NextItem(ITEMS + 2, DIM, DIM), LikedSequences(sequences().items, sequences().owner, ITEMS + 2, True)
    with torch.no_grad():
        model.embedding[ITEMS:] *= 1e-35
        model.embedding[ITEMS, 0] = 1e-20
    fit_next_item(model, source, OPTIONS | {"lr": 0.0, "negatives": 3})
    assert not model.embedding[ITEMS + 1].any()
    assert not model.embedding[ITEMS, 1:].any()
    assert model.embedding[ITEMS, 0] == 1e-20
    assert model.embedding[:ITEMS].all()


def test_drawn_by_likes_to_the_power_of_alpha(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(NextItem, "against", _noting(asked, NextItem.against))
    source = LikedSequences(torch.tensor([0, 1, 1, 1, 1]), torch.arange(5), 3, True)
    for alpha, wanted in ((0.0, [1 / 3, 1 / 3, 1 / 3]), (0.5, [1 / 3, 2 / 3, 0.0]), (1.0, [0.2, 0.8, 0.0])):
        asked.clear()
        options = OPTIONS | {"alpha": alpha, "negatives": 4000, "epochs": 1}
        fit_next_item(NextItem(3, DIM, DIM), source, options)
        share = torch.bincount(torch.cat(asked), minlength=3) / sum(map(len, asked))
        torch.testing.assert_close(share, torch.tensor(wanted), atol=0.03, rtol=0)


def _noting(asked: list[Tensor], whole: Any) -> Any:
    def against(self: NextItem, before: Tensor, items: Tensor, drawn: Tensor) -> Any:
        asked.append(drawn)
        return whole(self, before, items, drawn)

    return against


def test_dropout_follows_the_seed_and_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(next_item_fit, "generator_for", lambda device, seed: generator_for(device, 0))  # all the rest
    state, biases = torch.get_rng_state(), []
    for dropout, seed in ((0.5, 7), (0.5, 7), (0.5, 8), (0.0, 7), (0.0, 8)):
        model = network(dropout)
        torch.set_rng_state(state)
        fit_next_item(model, sequences(), OPTIONS | {"seed": seed})
        assert torch.equal(state, torch.get_rng_state())
        biases.append(model.bias.detach().clone())
    assert torch.equal(biases[0], biases[1])
    assert not torch.equal(biases[0], biases[2])
    assert not torch.equal(biases[0], biases[3])
    assert torch.equal(biases[3], biases[4])
