"""Ragged reductions against a loop over sessions."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from kgrl.agents.shared.ragged import ragged_argmax, ragged_topk

PAIRS = st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 4)), max_size=30)


@given(PAIRS, st.integers(1, 4))
def test_against_a_loop(pairs, k):
    values = torch.tensor([float(value) for value, _ in pairs])
    batch = torch.tensor([session for _, session in pairs], dtype=torch.long)
    best, top = ragged_argmax(values, batch, 5), ragged_topk(values, batch, 5, k)
    for session in range(5):
        own = [at for at, (_, other) in enumerate(pairs) if other == session]
        own.sort(key=lambda at: -pairs[at][0])  # stable: of equal values the first wins
        assert best[session] == (own[0] if own else -1)
        assert top[session].tolist() == (own + [-1] * k)[:k]


def test_all_values_below_zero(device):
    values, batch = torch.tensor([-5.0, -2.0, -7.0], device=device), torch.tensor([0, 0, 2], device=device)
    assert ragged_argmax(values, batch, 3).tolist() == [1, -1, 2]
