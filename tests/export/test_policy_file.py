"""Exported policies recommend what their agents do."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kgrl.agents import KGQR, TPGR, Random
from kgrl.agents.state.session_state import carry_of
from kgrl.candidates import FixedCandidates, KHopCandidates
from kgrl.export import export_policy, policy_file
from kgrl.export.policy_file import policy_module
from tests.export.exporting import (
    AGENTS,
    ITEMS,
    SHAPES,
    K,
    MoreOfTheSame,
    graph,
    histories,
    kgqr,
    looped,
    popular,
    sessions_of,
    tpgr,
    vectors,
)

Policy = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@pytest.fixture
def plain_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is exported, as ordinary Python: a scan is traced anew, for seconds, wherever it is met."""
    monkeypatch.setattr(import_module("torch._higher_order_ops.scan"), "scan", looped)


def check(policy: Policy, agent: Any, k: int = K, threshold: float = 0.0, **options: int) -> None:
    """Over many histories, empty and full-length ones among them: the agent's items, in its order, with its values."""
    for seed, shape in enumerate(SHAPES):
        items, feedback = histories(*shape, seed=seed)
        found, values = policy(items, feedback)
        past = sessions_of(items, feedback, threshold)
        assert torch.equal(found, agent.recommend(past, k=k, **options))
        assert not ((found.unsqueeze(2) == items.unsqueeze(1)) & (found >= 0).unsqueeze(2)).any()
        assert torch.equal(values == -torch.inf, found < 0)
        row, place = (found >= 0).nonzero().unbind(1)
        right = expected(agent, past, found[row, place], row)
        exact = right > -80  # the logarithm of a probability below 1e-35 has few digits
        # a tree's variance of the few items left below a node is the small difference of large numbers
        most = 2e-2 if isinstance(agent, TPGR) else 1e-4
        assert torch.allclose(values[row, place][exact], right[exact], atol=most, rtol=1e-4)


def expected(agent: Any, past: Any, items: Tensor, row: Tensor) -> Tensor:
    """The values that the agent itself has of these items in these sessions."""
    if isinstance(agent, TPGR):
        with torch.no_grad():
            states = agent.state.read(carry_of(agent.state, agent.items(), past))
            return agent.policy.probabilities(states, past.items, agent._scores()).log()[row, items]
    if isinstance(agent, KGQR):
        return agent._look(past).values(items, row)
    with torch.no_grad():
        seen = agent._look(past) if hasattr(agent, "_look") else None
        if seen is None:
            return agent._scores(past)[row, items]
        if hasattr(seen.network, "actor"):
            return (seen.network.bounded(seen.network.actor(seen.state)) @ seen.network.items().T)[row, items]
        return seen.values(items, row)


@pytest.mark.parametrize("name", AGENTS)
def test_what_is_exported_recommends_what_the_agent_does(name: str, plain_scan: None) -> None:
    agent = AGENTS[name]()
    with torch.no_grad():
        check(policy_module(agent, K), agent)


@pytest.mark.parametrize("name", ["KGQR", "TPGR"])
def test_threshold_and_number_of_items_are_as_asked_for(name: str, plain_scan: None) -> None:
    agent = AGENTS[name]()
    for k in (1, ITEMS + 5):
        check(policy_module(agent, k, threshold=0.3), agent, k, threshold=0.3)


def test_gaps_in_a_history_mean_nothing(plain_scan: None) -> None:
    for agent in (kgqr(), tpgr()):
        policy = policy_module(agent, K)
        items, feedback = histories(20, 6)
        wide, received = torch.full((20, 12), -1), torch.rand(20, 12)
        wide[:, 1::2], received[:, 1::2] = items, feedback
        assert all(torch.equal(*pair) for pair in zip(policy(items, feedback), policy(wide, received), strict=True))


def test_a_narrow_search_is_the_greedy_walk(plain_scan: None) -> None:
    agent = tpgr(3, tastes=None)
    items, feedback = histories(40, 32)
    found = policy_module(agent, 1, beam=1)(items, feedback)[0]
    past = sessions_of(items, feedback)
    assert torch.equal(found.squeeze(1), agent.act(past))
    assert not torch.equal(found, agent.recommend(past, k=1, beam=64))


def test_candidates_are_backfilled_in_the_order_of_the_ranking_where_none_is_left(plain_scan: None) -> None:
    agent = kgqr(backfill=("popular", 3))
    first = popular()[:20].tolist()
    found = policy_module(agent, K)(torch.tensor([first]), torch.full((1, 20), -1.0))[0][0]
    assert set(found.tolist()) == {-1, *popular()[20:23].tolist()}


def test_equal_values_go_by_number(plain_scan: None) -> None:
    agent = kgqr(variant="KGQR-CS", preset="paper")
    for network in (agent.network, agent.acting):
        for part in network.parameters():
            nn.init.zeros_(part)
    agent.version += 1
    items, feedback = histories(5, 3)
    assert torch.equal(policy_module(agent, K)(items, feedback)[0], agent.recommend(sessions_of(items, feedback), k=K))


def test_an_agent_of_ones_own(plain_scan: None) -> None:
    agent = MoreOfTheSame()
    items, feedback = histories(30, 6)
    found, values = policy_module(agent, K)(items, feedback)
    for row in range(30):
        left = [item for item in range(ITEMS) if item not in items[row].tolist()]
        liked = [float(received) * vectors()[item] for item, received in zip(items[row], feedback[row], strict=True)
                 if item >= 0]
        taste = torch.stack([torch.zeros(5), *liked]).sum(0)
        scores = torch.tensor([float((taste * vectors()[item]).sum()) for item in left])
        best = sorted(range(len(left)), key=lambda place: -scores[place])[:K]
        assert found[row].tolist() == [left[place] for place in best]
        assert torch.allclose(values[row], scores[best], atol=1e-4)


# ----------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("name", ["KGQR", "TPGR"])
def test_the_file_runs_in_onnx_runtime(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    agent, file = AGENTS[name](), tmp_path / "agent.onnx"
    export_policy(agent, file, k=K)
    session = runtime.InferenceSession(str(file))

    def policy(items: Tensor, feedback: Tensor) -> tuple[Tensor, Tensor]:
        given = {"items": items.numpy(), "feedback": feedback.numpy()}
        found = session.run(["recommended", "values"], given)
        return torch.from_numpy(found[0]), torch.from_numpy(found[1])

    check(policy, agent)


def test_torch_reads_the_file(tmp_path: Path) -> None:
    agent, file = AGENTS["KGQR as in the paper, a wide table"](), tmp_path / "agent.pt2"
    export_policy(agent, file, k=K, format="torch")
    policy = torch.export.load(file).module()
    check(lambda items, feedback: policy(items, feedback) if items.size(1) else policy_of_none(policy), agent)


def policy_of_none(policy: Policy) -> tuple[Tensor, Tensor]:
    """The file wants a column at least."""
    return policy(torch.tensor([[-1]]), torch.zeros(1, 1))


# ------------------------------------------------------------------------------------------------ what is refused


class Drawn(nn.Module):
    """One item a session, drawn."""

    def select(self, seeds: Tensor, exclude: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return torch.randint(1, ITEMS, (len(seeds),), generator=generator), torch.arange(len(seeds))


def walked() -> KGQR:
    agent = kgqr()
    agent.candidates = KHopCandidates(graph(), size=None, table_limit=0)
    return agent


def diverged(agent: Any) -> Any:
    next(iter(agent.parameters())).data.fill_(torch.nan)
    (agent.averaged.items.embedding if isinstance(agent, KGQR) else agent.policy.biases[0]).data.fill_(torch.nan)
    return agent


class Own(nn.Module):
    def __init__(self, scores: Any) -> None:
        super().__init__()
        self.scores = scores

    def item_scores(self, items: Tensor, feedback: Tensor) -> Any:
        return self.scores


@pytest.mark.parametrize(("agent", "options", "error", "said"), [
    (lambda: Random(FixedCandidates(ITEMS)), {}, TypeError, "`agent` must be one of TPGR, KGQR, DQNR, .* `item_scores"),
    (lambda: "KGQR", {}, TypeError, "`agent`"),
    (lambda: kgqr(backfill=("random", 5)), {}, ValueError, "`candidates.backfill` must be None or"),
    (lambda: kgqr(backfill=("fill", 5)), {}, ValueError, "`candidates.backfill` must be None or"),
    (lambda: kgqr(num_candidates=20), {}, ValueError, "`candidates.size` must be None or at least 60"),
    (lambda: kgqr(candidates=Drawn()), {}, TypeError, "`candidates` must be KHopCandidates or FixedCandidates"),
    (walked, {}, ValueError, "`candidates` must be with a table .* raise `table_limit`"),
    (lambda: diverged(kgqr()), {}, ValueError, "weights` must be finite"),
    (lambda: diverged(tpgr()), {}, ValueError, "weights` must be finite"),
    (lambda: Own("scores"), {}, ValueError, "`agent.item_scores` must be to give scores"),
    (lambda: Own(torch.zeros(3, 4)), {}, ValueError, "`agent.item_scores`"),
    (kgqr, {"k": 0}, ValueError, "`k`"),
    (kgqr, {"threshold": float("nan")}, ValueError, "`threshold`"),
    (kgqr, {"format": "onx"}, ValueError, "did you mean 'onnx'"),
    (kgqr, {"beam": 4}, ValueError, "`beam` must be None, as only TPGR"),
    (tpgr, {"beam": 0}, ValueError, "`beam`"),
])
def test_what_cannot_be_exported_is_named(
    agent: Callable[[], Any], options: dict[str, Any], error: type[Exception], said: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=said):
        export_policy(agent(), tmp_path / "agent.pt2", **({"format": "torch"} | options))
    assert not list(tmp_path.iterdir())


def test_enough_candidates_are_not_drawn(plain_scan: None) -> None:
    agent = kgqr(num_candidates=ITEMS)
    check(policy_module(agent, K), agent)
    agent.candidates = FixedCandidates(ITEMS, popular()[:9])
    check(policy_module(agent, K), agent)


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_file, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"needs onnx and onnxscript.*kgrl\[export\]"):
        export_policy(kgqr(), tmp_path / "agent.onnx")


def test_an_export_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    class Looks(Own):
        def item_scores(self, items: Tensor, feedback: Tensor) -> Tensor:
            scores = torch.zeros(len(items), ITEMS)
            return scores + 1 if items.max() > 3 else scores

    (tmp_path / "agent.pt2").write_text("before")
    with pytest.raises(RuntimeError, match="data-dependent"):
        export_policy(Looks(None), tmp_path / "agent.pt2", format="torch")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]
