"""``TasteState`` against conditioning of the joint normal distribution of the feedbacks, one session at a time."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from kgrl.nn import TasteState, TasteTerms

ITEMS, CHANNELS, TASTE = 12, 5, 3
SEQUENCES = torch.tensor([[4, 0, 7, -1], [-1, 2, -1, 9], [-1, -1, -1, -1], [1, 3, 5, 11]])


def make() -> tuple[TasteState, Tensor, Tensor]:
    torch.manual_seed(0)
    layer = TasteState(CHANNELS, TASTE, hidden=6).double()
    items = torch.randn(ITEMS, CHANNELS, dtype=torch.double, requires_grad=True)
    return layer, items, torch.rand(SEQUENCES.shape, dtype=torch.double) * 2 - 1


def conditioned(layer: TasteState, items: Tensor, shown: list[int], feedback: Tensor) -> tuple[Tensor, Tensor]:
    r"""(E[p | f], E[f(i) | f] for every item) by the block formula: cov(x, f) cov(f, f)⁻¹ (f − μ)."""
    mean = layer.expected(items).squeeze(1)
    loading = layer.loading(items)
    covariance = loading @ loading.T
    seen = covariance[shown][:, shown] + layer.log_noise.exp() * torch.eye(len(shown), dtype=torch.double)
    weights = torch.linalg.inv(seen) @ (feedback - mean[shown])
    return loading[shown].T @ weights, mean + covariance[:, shown] @ weights


@pytest.mark.parametrize("projected", [False, True])
@pytest.mark.parametrize("repeats", [1, 3])  # with 3, there are more ids than items
def test_equals_conditioning_the_joint_normal_distribution(projected: bool, repeats: int) -> None:
    """States, predictions, and the gradients of both."""
    layer, items, feedback = make()
    sequences, received = SEQUENCES.repeat(repeats, 1), feedback.repeat(repeats, 1)
    given = layer.project(items) if projected else items
    state = layer(given, sequences, received)
    batch = torch.arange(len(sequences)).repeat_interleave(ITEMS)
    predicted = layer.predict(state, given, torch.arange(ITEMS).repeat(len(sequences)), batch)
    by_hand = []
    for row, f in zip(sequences, received, strict=True):
        present = row >= 0
        by_hand.append(conditioned(layer, items, row[present].tolist(), f[present]))
    states, predictions = torch.stack([m for m, _ in by_hand]), torch.cat([f for _, f in by_hand])
    torch.testing.assert_close(state, states)
    torch.testing.assert_close(predicted, predictions)
    weight = torch.linspace(-1, 2, len(predictions), dtype=torch.double)
    inputs = [items, *layer.parameters()]
    ours = torch.autograd.grad((predicted * weight).sum(), inputs)
    theirs = torch.autograd.grad((predictions * weight).sum(), inputs)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


def test_a_few_pairs_project_only_their_items() -> None:
    layer, items, feedback = make()
    state = layer(items, SEQUENCES, feedback)
    index, batch = torch.tensor([3, 3, 8]), torch.tensor([0, 2, 3])
    torch.testing.assert_close(layer.predict(state, items, index, batch),
                               layer.predict(state, layer.project(items), index, batch))


def test_nothing_shown_is_the_average_user() -> None:
    layer, items, feedback = make()
    for sequences in (SEQUENCES[2:3], SEQUENCES[:1, :0]):
        state = layer(items, sequences, feedback[: len(sequences), : sequences.size(1)])
        assert torch.equal(state, torch.zeros(1, TASTE, dtype=torch.double))
    index = torch.arange(ITEMS)
    predicted = layer.predict(state, items, index, torch.zeros_like(index))
    torch.testing.assert_close(predicted, layer.expected(items).squeeze(1))


def test_order_and_padding_do_not_matter() -> None:
    layer, items, feedback = make()
    turned = SEQUENCES.flip(1), feedback.flip(1)
    torch.testing.assert_close(layer(items, *turned), layer(items, SEQUENCES, feedback))
    noise = feedback.masked_fill(SEQUENCES < 0, 99.0)
    torch.testing.assert_close(layer(items, SEQUENCES, noise), layer(items, SEQUENCES, feedback))


def test_feedback_of_no_item_may_be_anything() -> None:
    """NaN, too: states and gradients are the very same bits, whole and step by step."""
    layer, items, feedback = make()
    feedback.requires_grad_()
    blank, inputs = SEQUENCES < 0, [items, feedback, *layer.parameters()]
    zero, nan = feedback.masked_fill(blank, 0.0), feedback.masked_fill(blank, torch.nan)
    first, second = layer(items, SEQUENCES, zero), layer(items, SEQUENCES, nan)
    assert torch.equal(first, second)
    for one, other in zip(torch.autograd.grad(first.square().sum(), inputs, allow_unused=True),
                          torch.autograd.grad(second.square().sum(), inputs, allow_unused=True), strict=True):
        assert torch.equal(one, other)
    terms = layer.project(items)
    one = other = terms.prior(len(SEQUENCES))
    for step in range(SEQUENCES.size(1)):
        one = terms.update(one, SEQUENCES[:, step], zero[:, step])
        other = terms.update(other, SEQUENCES[:, step], nan[:, step])
    assert torch.equal(one.mean, other.mean)
    assert torch.equal(one.covariance, other.covariance)


def test_feedback_of_an_item_that_is_nan_is_not_hidden() -> None:
    layer, items, feedback = make()
    feedback[0, 1] = torch.nan
    state = layer(items, SEQUENCES, feedback)
    assert state.isnan().all(1).tolist() == [True, False, False, False]


def test_feedback_is_one_number_an_item() -> None:
    layer, items, feedback = make()
    with pytest.raises(ValueError, match=r"`feedback` must be of the shape of `sequences`, \[1, 2\], got \[1, 1\]"):
        layer(items, torch.tensor([[3, 7]]), feedback[:1, :1])
    with pytest.raises(ValueError, match=r"`feedback` must be of the shape of `sequences`, \[4, 4\], got \[4\]"):
        layer(items, SEQUENCES, feedback[0])
    terms = layer.project(items)
    with pytest.raises(ValueError, match=r"`feedback` must be of the shape of `items`, \[4\], got \[1\]"):
        terms.update(terms.prior(4), SEQUENCES[:, 0], feedback[0, :1])


def test_without_noise_a_users_taste_is_read_off_exactly() -> None:
    layer, items, _ = make()
    with torch.no_grad():
        layer.log_noise.fill_(-25.0)
        taste = torch.tensor([[0.5, -1.0, 2.0]], dtype=torch.double)
        shown = torch.tensor([[0, 4, 5, 9]])
        terms = layer.project(items)
        feedback = terms.expected[shown] + taste @ terms.loading[shown[0]].T
        torch.testing.assert_close(layer(terms, shown, feedback), taste, rtol=1e-6, atol=1e-6)


def test_learns_planted_tastes_by_gradient() -> None:
    """Feedback on unseen pairs: most of what is personal is found, of which the best fixed guess finds nothing."""
    torch.manual_seed(0)
    items, tastes = torch.randn(40, 4), torch.randn(500, 2)
    truth = items[:, 0] + tastes @ torch.randn(2, 4) @ items.T * 0.5
    layer = TasteState(4, 2, hidden=16)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
    users = torch.arange(400)
    for _ in range(300):
        order = torch.rand(400, 40).argsort(1)
        shown, asked = order[:, :10], order[:, 10:]
        state = layer(items, shown, truth[users].gather(1, shown))
        batch = users.repeat_interleave(30)
        loss = (layer.predict(state, items, asked.flatten(), batch)
                - truth[users].gather(1, asked).flatten()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    shown = torch.arange(10).expand(100, 10)
    state = layer(items, shown, truth[400:, :10])
    predicted = layer.predict(state, items, torch.arange(40).repeat(100), torch.arange(100).repeat_interleave(40))
    error = (predicted.view(100, 40) - truth[400:])[:, 10:].square().mean()
    fixed = (truth[400:] - truth[:400].mean(0))[:, 10:].square().mean()
    assert error < 0.05 * fixed


@pytest.mark.parametrize("options", [{"in_channels": 0}, {"taste_channels": 0}, {"hidden": 0}])
def test_sizes_are_checked(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"`{next(iter(options))}` must be"):
        TasteState(**{"in_channels": 3, **options})


# ----------------------------------------------------------------------------------------------------- a given start


def some_start(size: int = ITEMS) -> TasteTerms:
    generator = torch.Generator().manual_seed(3)
    return TasteTerms(torch.randn(size, generator=generator).double(),
                      torch.randn(size, TASTE, generator=generator).double(),
                      torch.rand(size, generator=generator).double() + 0.1)


def test_a_start_is_where_it_begins() -> None:
    start, (_, items, feedback) = some_start(), make()
    layer = TasteState(CHANNELS, TASTE, hidden=6, start=start).double()
    for found, given in zip(layer.project(items), start, strict=True):
        assert torch.equal(found, given)
    torch.testing.assert_close(layer(items, SEQUENCES, feedback), start.infer(SEQUENCES, feedback))
    layer.loading.weight.data.fill_(1.0)
    layer.reset_parameters()
    assert torch.equal(layer.project(items).loading, start.loading)


@pytest.mark.parametrize("repeats", [1, 3])  # with 3, there are more ids than items
def test_what_is_learned_comes_on_top_of_the_start(repeats: int) -> None:
    """Item by item, whether all items are projected or those asked for."""
    start, (other, items, feedback) = some_start(), make()
    layer = TasteState(CHANNELS, TASTE, hidden=6, start=start).double()
    layer.load_state_dict(other.state_dict(), strict=False)
    whole = TasteTerms(start.expected + other.expected(items).squeeze(1), start.loading + other.loading(items),
                       start.noise * other.log_noise.exp())
    for found, by_hand in zip(layer.project(items), whole, strict=True):
        torch.testing.assert_close(found, by_hand)
    sequences, received = SEQUENCES.repeat(repeats, 1), feedback.repeat(repeats, 1)
    state = layer(items, sequences, received)
    torch.testing.assert_close(state, whole.infer(sequences, received))
    index, batch = torch.tensor([11, 3, 8] * 5), torch.tensor([0, 2, 3] * 5)
    torch.testing.assert_close(layer.predict(state, items, index, batch), whole.predict(state, index, batch))
    torch.testing.assert_close(layer.predict(state, items, index[:3], batch[:3]),
                               whole.predict(state, index[:3], batch[:3]))


def test_the_size_is_the_starts_or_8() -> None:
    assert TasteState(CHANNELS, start=some_start()).taste_channels == TASTE
    assert TasteState(CHANNELS).taste_channels == 8


def test_a_start_is_kept_but_not_learned() -> None:
    layer = TasteState(CHANNELS, TASTE, start=some_start())
    assert {name for name in layer.state_dict() if name.startswith("start_")} == {
        "start_expected", "start_loading", "start_noise"}
    assert not any(name.startswith("start_") for name, _ in layer.named_parameters())
    assert {name for name in TasteState(CHANNELS, TASTE).state_dict() if name.startswith("start_")} == set()


@pytest.mark.parametrize(("changed", "text"), [
    ({"noise": torch.zeros(ITEMS)}, "`start` must be of noise above 0, got 0.0"),
    ({"noise": torch.ones(ITEMS - 1)}, r"`start` must be expected \[N\]"),
    ({"expected": torch.full((ITEMS,), torch.nan)}, "`start` must be finite"),
    ({"loading": torch.ones(ITEMS, 0)}, r"`start` must be .* N and k > 0"),
    ({"loading": torch.ones(ITEMS, TASTE + 1)}, "`taste_channels` must be 4, as `start` has it, got 3"),
])
def test_a_start_that_is_none(changed: dict[str, Tensor], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        TasteState(CHANNELS, TASTE, start=some_start()._replace(**changed))


@pytest.mark.parametrize("ids", [[[0, 1]], [list(range(ITEMS))]], ids=["few", "all"])
@pytest.mark.parametrize("other", [ITEMS - 1, ITEMS + 1])
def test_a_start_is_of_these_items(ids: list[list[int]], other: int) -> None:
    layer, sequences = TasteState(CHANNELS, TASTE, start=some_start()), torch.tensor(ids).clamp(max=other - 1)
    with pytest.raises(ValueError, match=f"must be the vectors of the 12 items that `start` knows, got {other}"):
        layer(torch.zeros(other, CHANNELS), sequences, torch.zeros(sequences.shape))


def test_a_start_with_a_gradient_is_taken_without() -> None:
    start = some_start()._replace(loading=torch.ones(ITEMS, TASTE, requires_grad=True))
    layer = TasteState(CHANNELS, TASTE, start=start)
    assert not layer.get_buffer("start_loading").requires_grad
    copy.deepcopy(layer)  # which a tensor with a history would not allow


def test_feedback_in_another_precision() -> None:
    layer, items, feedback = make()
    expected = layer(items, SEQUENCES, feedback)
    torch.testing.assert_close(layer(items, SEQUENCES, feedback.float()), expected, rtol=1e-4, atol=1e-5)
    single = layer.float()
    out = single(items.float(), SEQUENCES, feedback)
    assert out.dtype == torch.float
    torch.testing.assert_close(out.double(), expected, rtol=1e-3, atol=1e-4)
    terms = single.project(items.float())
    belief = terms.update(terms.prior(4), SEQUENCES[:, 0], feedback[:, 0])
    assert belief.mean.dtype == torch.float


@pytest.mark.parametrize("kind", [torch.half, torch.bfloat16])
def test_in_half_precision_it_is_what_full_precision_makes_of_the_same_numbers(kind: torch.dtype) -> None:
    """The inference itself loses nothing: only the layers' answers are rounded."""
    layer, items, feedback = make()
    half = copy.deepcopy(layer).to(kind)
    terms = half.project(items.detach().to(kind))
    exact = TasteTerms(*(part.detach().double() for part in terms)).infer(SEQUENCES, feedback.to(kind).double())
    state = half(terms, SEQUENCES, feedback.to(kind))
    assert state.dtype == kind
    torch.testing.assert_close(state.double(), exact, atol=0.0, rtol=torch.finfo(kind).eps)
    belief = terms.prior(len(SEQUENCES))
    for step in range(SEQUENCES.size(1)):
        belief = terms.update(belief, SEQUENCES[:, step], feedback[:, step].to(kind))
    torch.testing.assert_close(belief.mean.double(), exact, atol=1e-5, rtol=1e-4)
