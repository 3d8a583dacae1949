"""Wrong options, one at a time: each is refused by the name of its argument, or accepted; none hangs."""

from __future__ import annotations

import inspect
import os
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from kgrl.candidates import FixedCandidates, KHopCandidates
from kgrl.graph import knowledge_graph
from kgrl.nn import KGConv, KGEncoder

ROUNDS = int(os.environ.get("KGRL_FUZZ", "1"))
WRONG: list[Any] = [None, "x", 1.5, -1, 10**20, float("nan"), [], object(), torch.rand(2, 3, 4), int, {}, 5,
                    torch.tensor([[0.5]])]
EDGES = torch.tensor([[0, 1, 2, 3], [4, 5, 4, 5]])
KG = knowledge_graph(EDGES, num_items=4)

CALLS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "KGConv": (KGConv, {"in_channels": 4, "out_channels": 4, "aggregator": "mean", "act": "relu"}),
    "KGConv.forward": (KGConv(4, 4).forward, {"x": torch.randn(6, 4), "edge_index": EDGES}),
    "KGEncoder": (KGEncoder, {"channels": 4, "hops": 2, "aggregator": "mean", "act": "relu"}),
    "KGEncoder.forward": (KGEncoder(4, 2).forward, {"x": torch.randn(6, 4), "edge_index": EDGES,
                                                    "targets": torch.arange(2)}),
    "KGEncoder.from_kg": (KGEncoder.from_kg, {"kg": KG, "channels": 4, "hops": 2}),
    "KGEncoder.plan": (KGEncoder(4, 2).plan, {"edge_index": EDGES, "num_nodes": 6, "targets": torch.arange(2)}),
    "KHopCandidates": (KHopCandidates, {"kg": KG, "popular": torch.arange(4), "hops": 2}),
    "FixedCandidates": (FixedCandidates, {"num_items": 4, "pool": torch.arange(3)}),
    "knowledge_graph": (knowledge_graph, {"data": EDGES, "num_items": 4, "num_nodes": 6}),
}


def outcome(call: Callable[..., Any], options: dict[str, Any], name: str) -> str:
    """What becomes of it: accepted, named, or the miss."""
    def late(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, 5)
    try:
        call(**options)
    except TimeoutError:
        return "hangs"
    except (ValueError, TypeError, IndexError) as error:
        return "named" if f"`{name}`" in str(error) else f"{type(error).__name__}: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return "accepted"


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="needs an alarm")
def test_wrong_options_are_named() -> None:
    found = []
    generator = torch.Generator().manual_seed(0)
    extra = [torch.randint(-9, 9, (int(torch.randint(4, (), generator=generator)),), generator=generator)
             for _ in range(ROUNDS)]
    for title, (call, options) in CALLS.items():
        assert set(options) <= set(inspect.signature(call).parameters) | {"channels"}
        assert outcome(call, options, "") == "accepted", title
        for name in options:
            found += [(title, name, wrong, outcome(call, options | {name: wrong}, name)) for wrong in WRONG + extra]
    misses = [part for part in found if part[3] not in ("named", "accepted")]
    assert not [part for part in misses if part[3] == "hangs"]
    text = "\n".join(f"{title}({name}={str(wrong)[:30]}): {what[:90]}" for title, name, wrong, what in misses)
    assert len(misses) <= 0.05 * len(found), f"{len(misses)} of {len(found)}:\n{text}"


@pytest.mark.parametrize("given", [[2, 0], (2, 0), np.array([2, 0]), torch.tensor([2, 0], dtype=torch.int32)])
def test_ids_come_as_they_are(given: object) -> None:
    assert FixedCandidates(4, given).pool.tolist() == [2, 0]


@pytest.mark.parametrize("given", [[True, False, True], np.array([True, False, True])])
def test_a_mask_is_its_places(given: object) -> None:
    assert FixedCandidates(4, given).pool.tolist() == [0, 2]
