"""``Shared``: a property that settings which differ in η alone make once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """A property that is made when it is first asked for, for a setting and all that differ from it in η alone."""

    def __init__(self, make: Callable[[Any], T]) -> None:
        self.make, self.name, self.__doc__ = make, make.__name__, make.__doc__

    def __get__(self, setting: Any, owner: type | None = None) -> T:
        made = setting._made
        if self.name not in made:
            made[self.name] = self.make(setting)
        found: T = made[self.name]
        return found
