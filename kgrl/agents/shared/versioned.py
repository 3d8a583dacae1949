"""``Versioned``: a module that counts how often its numbers have changed, for what is remembered of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from torch import nn

T = TypeVar("T")


class Versioned(nn.Module):
    """A module with a ``version``, which is another one whenever its parameters or buffers may be.

    Loading weights and moving to a device or type count by themselves; whoever writes parameters (a gradient step)
    adds one. What is computed from the parameters once and kept is good as long as the version is the same.
    """

    version = 0

    def kept(self, name: str, make: Callable[[], T]) -> T:
        """What ``make()`` gave under this name at the present version: made once, and anew when the version changes."""
        known: dict[str, tuple[int, Any]] = self.__dict__.setdefault("_kept", {})
        if name not in known or known[name][0] != self.version:
            known[name] = self.version, make()
        return cast(T, known[name][1])

    def __getstate__(self) -> dict[str, Any]:
        """A copy begins with nothing kept."""
        return {name: value for name, value in self.__dict__.items() if name != "_kept"}

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        self.version += 1
        return super()._apply(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """As :meth:`torch.nn.Module.load_state_dict`."""
        self.version += 1
        return super().load_state_dict(*args, **kwargs)
