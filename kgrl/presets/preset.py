"""``preset``: settings that were found good on a data set, as data."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any

from kgrl.options import expected, one_of


@dataclass(frozen=True)
class Preset:
    """Settings of an agent for a data set and a world.

    Attributes:
        agent, dataset, world: what they are of.
        eta: weight of the world's streak term that they were chosen with.
        chosen: how they were chosen.
        reached: what they reached on test users, or what is known beside them.
        command: what makes that figure.
        options: of the agent.
        training: of :func:`kgrl.fit`.
    """

    agent: str
    dataset: str
    world: str
    eta: float
    chosen: str
    reached: str
    command: str
    options: dict[str, Any]
    training: dict[str, Any]


def preset_names() -> list[tuple[str, str, str]]:
    """(agent, data set, world) of every preset."""
    folder = resources.files("kgrl.presets")
    stems = sorted(each.name[:-5] for each in folder.iterdir() if each.name.endswith(".toml"))
    return [(agent, dataset, world) for agent, dataset, world in (stem.split("_") for stem in stems)]


def preset(agent: str, dataset: str, world: str | None = None) -> Preset:
    """The settings of an agent for a data set.

    ``KGQR(kg, popular=popular, **preset("KGQR", "book-crossing").options)``; :meth:`kgrl.agents.KGQR.from_preset` and
    :meth:`kgrl.agents.TPGR.from_preset` do the same.

    Args:
        agent: ``"KGQR"`` or ``"TPGR"``.
        dataset: as the examples name it: ``"ml-100k"``, ``"book-crossing"``, ``"synthetic"``.
        world: how the simulator is made, as the examples name it; ``None``: the data set's first, or only, one.

    Raises:
        ValueError: none for such an agent, data set or world; the text lists those there are.
    """
    names = preset_names()
    one_of("agent", agent.lower(), {name[0] for name in names})
    mine = [name for name in names if name[0] == agent.lower()]
    one_of("dataset", dataset, {name[1] for name in mine})
    worlds = [name[2] for name in mine if name[1] == dataset]
    chosen = worlds[0] if world is None else one_of("world", world, worlds)
    file = resources.files("kgrl.presets") / f"{agent.lower()}_{dataset}_{chosen}.toml"
    read = tomllib.loads(file.read_text(encoding="utf-8"))
    return Preset(**(read | {"options": {name: _plain(value) for name, value in read["options"].items()}}))


def _plain(value: Any) -> Any:
    """A value as Python has it: TOML knows no tuple and no ``None``."""
    if isinstance(value, list):
        return tuple(value)
    return None if value == "none" else value


def suits(given: Preset, came_from: str | None) -> Preset:
    """``given``, if it is one of the data set that a KG or data set says to have come from.

    Raises:
        ValueError: it is one of another data set.
    """
    if came_from is not None and came_from != given.dataset:
        raise ValueError(expected("dataset", f"that of the data, {came_from!r}", given.dataset,
                                  "its settings were chosen there; to try them here, give them by hand: "
                                  "**kgrl.presets.preset(…).options"))
    return given
