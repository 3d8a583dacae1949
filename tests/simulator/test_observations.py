"""What environments show of sessions, against loops; and the spaces of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kgrl.simulator import Past, PredictedFeedback, Simulator
from kgrl.simulator.observations import SessionSummary, observation_space_of, session_history

ITEMS, HORIZON = 12, 5


def world(past: bool = False) -> Simulator:
    generator = torch.Generator().manual_seed(1)
    feedback = PredictedFeedback.from_embeddings(
        torch.randn(4, 3, generator=generator), torch.randn(ITEMS, 3, generator=generator))
    if not past:
        return Simulator(feedback, 0.1, HORIZON)
    before = Past(torch.tensor([[-1, 10], [11, 10], [-1, -1], [-1, 11]]), torch.rand(4, 2, generator=generator))
    return Simulator(feedback, 0.1, HORIZON, items=torch.arange(10), past=before)


@pytest.mark.parametrize("past", [False, True])
def test_summary_against_a_loop(past: bool, device: torch.device) -> None:
    simulator, vectors = world(past).to(device), torch.randn(ITEMS, 2, generator=torch.Generator().manual_seed(2))
    summary = SessionSummary(vectors)
    space = pytest.importorskip("gymnasium").vector.utils.batch_space(observation_space_of(
        summary, simulator, torch.tensor([0], device=device)), 4)
    sessions = simulator.reset(torch.arange(4))
    for step in range(HORIZON + 1):
        got = summary(sessions).cpu()
        assert got.numpy() in space
        for row in range(4):
            torch.testing.assert_close(got[row], slow(sessions.to("cpu").rows(torch.tensor([row])), vectors))
        if step < HORIZON:
            simulator.step(sessions, torch.tensor([step, 9 - step, -1 if step > 1 else step, step + 3], device=device))


def slow(session, vectors):
    """The words of the docstring, one item at a time."""
    taste, likes, shown, liked = torch.zeros(2), torch.zeros(2), 0, 0
    for item, feedback, positive in zip(session.items[0].tolist(), session.feedback[0].tolist(),
                                        session.positive[0].tolist(), strict=True):
        if item >= 0:
            taste, shown = taste + feedback * vectors[item], shown + 1
        if positive:
            likes, liked = likes + vectors[item], liked + 1
    signs = session.streak[0, session.begin :][: int(session.length)].tolist()
    up = down = 0
    for sign in signs:
        up, down = (up + 1 if sign == 1 else 0), (down + 1 if sign == -1 else 0)
    numbers = [liked / session.items.size(1), len(signs) / HORIZON, up / HORIZON, down / HORIZON]
    return torch.cat([likes / max(liked, 1), taste / max(shown, 1), torch.tensor(numbers)])


def test_history_is_in_its_space() -> None:
    spaces = pytest.importorskip("gymnasium").spaces
    simulator = world(past=True)
    space = observation_space_of(session_history, simulator, torch.tensor([0]))
    sessions = simulator.play(torch.tensor([1]), torch.tensor([[3, 4]]))
    seen = {name: value[0].numpy() for name, value in session_history(sessions).items()}
    assert seen in space
    assert seen["items"].tolist() == [11, 10, 3, 4, -1, -1, -1]
    assert isinstance(space["items"], spaces.Box)


@pytest.mark.parametrize(("dtype", "low", "high"), [
    (torch.float32, -np.inf, np.inf), (torch.int8, -128, 127), (torch.bool, 0, 1), (torch.float64, -np.inf, np.inf)])
def test_the_space_of_a_function_is_read_off_what_it_gives(dtype: torch.dtype, low: float, high: float) -> None:
    spaces = pytest.importorskip("gymnasium").spaces
    found = observation_space_of(lambda sessions: {"a": sessions.items.to(dtype)}, world(), torch.tensor([0]))
    assert isinstance(found, spaces.Dict)
    assert found["a"].shape == (HORIZON,)
    assert found["a"].dtype == torch.zeros(1, dtype=dtype).numpy().dtype
    assert (found["a"].low == low).all()
    assert (found["a"].high == high).all()


@pytest.mark.parametrize(("vectors", "error"), [
    (torch.full((ITEMS, 2), torch.nan), ValueError), (torch.ones(ITEMS), ValueError), ([[1.0]], TypeError),
    (torch.ones(ITEMS, 2, dtype=torch.cfloat), ValueError)])
def test_wrong_vectors(vectors, error) -> None:
    with pytest.raises(error, match="`vectors`"):
        SessionSummary(vectors)


def test_vectors_of_other_items() -> None:
    pytest.importorskip("gymnasium")
    with pytest.raises(ValueError, match=rf"`vectors` must be finite vectors \[{ITEMS}, d\]"):
        SessionSummary(torch.ones(3, 2)).space(world())
