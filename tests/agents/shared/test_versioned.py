import torch
from torch import nn

from kgrl.agents.shared.versioned import Versioned


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
