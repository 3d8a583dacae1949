"""The API's pages: one for each public room, made from the names that can be imported from there."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path
from types import ModuleType

from sphinx.application import Sphinx

FOLDER = Path(__file__).resolve().parents[1] / "generated" / "api"
ROOMS = ("kgrl.datasets", "kgrl.graph", "kgrl.pretrain", "kgrl.nn", "kgrl.candidates", "kgrl.tree", "kgrl.simulator",
         "kgrl.simulator.gymnasium", "kgrl.sessions", "kgrl.agents", "kgrl.train", "kgrl.evaluate", "kgrl.rollout",
         "kgrl.significance", "kgrl.export", "kgrl.plots")
FOREIGN = "Module, MessagePassing, Dataset, InMemoryDataset, Data, HeteroData, Env, VectorEnv, tuple, dict, object"
"""Classes whose members are documented elsewhere."""


def public_names(module: ModuleType) -> list[str]:
    """What a room offers: its ``__all__``, or the functions and classes that are written in it."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    return [name for name, value in vars(module).items() if not name.startswith("_")
            and (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__ == module.__name__]


def page_of(room: str) -> str:
    """RST: the room's docstring, and each of its names."""
    module = import_module(room)
    lines = [f"{room}", "=" * len(room), "", f".. automodule:: {room}", f".. currentmodule:: {room}", ""]
    for name in public_names(module):
        value = getattr(module, name)
        lines += [name, "-" * len(name), ""]
        if inspect.isclass(value):
            lines += [f".. autoclass:: {name}", "   :members:", f"   :inherited-members: {FOREIGN}",
                      "   :exclude-members: extra_repr, load_state_dict, train", ""]
        else:
            lines += [f".. auto{'function' if callable(value) else 'data'}:: {name}", ""]
    return "\n".join(lines)


def write_pages(app: Sphinx) -> None:
    """All rooms, and the page that lists them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    index = ["API", "===", "", "Names by the path they are imported from; the dozen that a newcomer needs can also be",
             "had from ``kgrl`` itself. Tensors are named with their shapes: N items, E entities, B sessions, T steps.",
             "", ".. toctree::", "   :maxdepth: 1", "", *(f"   {room}" for room in ROOMS), ""]
    for name, text in {"index": "\n".join(index), **{room: page_of(room) for room in ROOMS}}.items():
        (FOLDER / f"{name}.rst").write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Makes Sphinx call it."""
    app.connect("builder-inited", write_pages, priority=100)
    return {"parallel_read_safe": True}
