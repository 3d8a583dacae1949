"""A version that counts every change; a stored optimiser goes on as the one that never stopped."""

from __future__ import annotations

import torch
from torch import nn

from kgrl.agents.shared.weights import Versioned, load_optimizer_tensors, optimizer_tensors


class Scale(Versioned):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))


def test_loading_and_moving_count():
    module, other = Scale(), Scale()
    seen = [module.version]
    for change in (lambda: module.load_state_dict(other.state_dict()), lambda: module.to(torch.float64),
                   lambda: nn.Sequential(module).float()):  # as a part of something that moves, too
        change()
        seen.append(module.version)
    assert len(set(seen)) == len(seen)
    assert other.version == 0
    assert module.weight.dtype == torch.float32


def test_goes_on_exactly():
    def steps(parameters: list[torch.Tensor], optimizer: torch.optim.Optimizer, count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            sum((p**3).sum() for p in parameters).backward()
            optimizer.step()

    whole = [torch.ones(3, requires_grad=True), torch.full((2, 2), 2.0, requires_grad=True)]
    optimizer = torch.optim.Adam(whole, lr=0.1)
    steps(whole, optimizer, 3)
    state = {name: value.clone() for name, value in optimizer_tensors(optimizer).items()}
    resumed = [p.detach().clone().requires_grad_() for p in whole]
    fresh = torch.optim.Adam(resumed, lr=0.1)
    load_optimizer_tensors(fresh, state)
    steps(whole, optimizer, 2)
    steps(resumed, fresh, 2)
    assert all(torch.equal(a, b) for a, b in zip(whole, resumed, strict=True))
    assert set(state) == {f"{index}.{name}" for index in (0, 1) for name in ("step", "exp_avg", "exp_avg_sq")}
