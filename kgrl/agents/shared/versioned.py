"""``Versioned``: a module that counts how often its numbers have changed, for what is remembered of them."""

from __future__ import annotations

from typing import Any

from torch import nn


class Versioned(nn.Module):
    """A module with a ``version``, which is another one whenever its parameters or buffers may be.

    Loading weights and moving to a device or type count by themselves; whoever writes parameters (a gradient step)
    adds one. What is computed from the parameters once and kept is good as long as the version is the same.
    """

    version = 0

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        self.version += 1
        return super()._apply(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """As :meth:`torch.nn.Module.load_state_dict`."""
        self.version += 1
        return super().load_state_dict(*args, **kwargs)
