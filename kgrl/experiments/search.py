"""The hyper-parameter search: the same few settings for every method, on validation users, kept in a file."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from kgrl.evaluate import evaluate
from kgrl.experiments.method import Method
from kgrl.experiments.setting import Setting
from kgrl.files import whole_file
from kgrl.locks import one_at_a_time
from kgrl.options import expected
from kgrl.train.fit import fit

LAST = 3
"""Evaluations at the end of a run that a setting is judged by: single ones swing."""


def search(
    setting: Setting, method: Method, *, interactions: int | None = None, seed: int = 0,
    watch: Callable[[Mapping[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Tries every setting of a method's grid on validation users.

    Args:
        setting: data, world and η.
        method: whose grid.
        interactions: of each try, for methods that learn from them; default: half of the method's own. Settings that
            differ early differ late more often than not.
        seed: of the agent.
        watch: called with each try.

    Returns:
        ``options`` (the best), ``tried`` (``options``, ``reward`` and ``seconds`` of each), and what they were tried
        with: ``eta``, ``users``, ``training``, ``seed``.
    """
    training: dict[str, Any] = dict(method.training)
    if training:
        training["interactions"] = training["interactions"] // 2 if interactions is None else interactions
        training["evaluate_every"] = max(training["interactions"] // (2 * LAST), 1)
    tried: list[dict[str, Any]] = []
    for options in method.grid:
        started = time.perf_counter()
        agent = method.build(setting, seed, **options).to(setting.device)
        if training:
            curve = fit(agent, setting.simulator, setting.train, eval_users=setting.curve_users, seed=seed,
                        progress=False, **training)
            last = [row["reward"] for row in curve[-LAST:]]
            reward = sum(last) / len(last)
        else:
            reward = evaluate(cast(Any, agent), setting.simulator, setting.curve_users, seed=seed).reward
        tried.append({"options": dict(options), "reward": round(reward, 6),
                      "seconds": round(time.perf_counter() - started, 1)})
        if watch is not None:
            watch(tried[-1])
    best = max(tried, key=lambda row: row["reward"])  # of equal ones the first, which is the default
    return {"options": best["options"], "tried": tried, "eta": setting.eta, "users": len(setting.curve_users),
            "training": training, "seed": seed}


def _is_found(found: Any) -> bool:
    worlds = list(found.values()) if isinstance(found, dict) else [None]
    return all(isinstance(world, dict) and all(isinstance(each, dict) and isinstance(each.get("options"), dict)
                                               for each in world.values()) for world in worlds)


class Tuned:
    """The file of search results: for each data set and world, each method's.

    Args:
        path: a JSON file; it need not be there yet.

    Raises:
        ValueError: the file is broken.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.found: dict[str, dict[str, dict[str, Any]]] = {}
        if self.path.exists():
            try:
                self.found = json.loads(self.path.read_text(encoding="utf-8"))
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{path} is no file of search results ({error}); delete or restore it") from error
            if not _is_found(self.found):
                raise ValueError(f"{path} is no file of search results (world: method: options); delete or restore it")

    def options(self, world: str, method: Method) -> dict[str, Any]:
        """The options that the search chose, or the first of the grid where it was not made.

        Args:
            world: ``data set/world``; a search holds for every η.
            method: whose.

        Raises:
            ValueError: the file's choice is not in the method's grid: one of them has changed since.
        """
        result = self.found.get(world, {}).get(method.search_name)
        if result is None:
            return dict(method.grid[0])
        if result["options"] not in [json.loads(json.dumps(dict(options))) for options in method.grid]:
            raise ValueError(expected(f"{self.path}: {world}: {method.search_name}", "a setting of the method's grid",
                                      result["options"], "search again, with tune.py --again"))
        return dict(result["options"])

    def searched(self, world: str, method: Method) -> bool:
        """Whether a search was made."""
        return method.search_name in self.found.get(world, {})

    def add(self, world: str, method: Method, result: Mapping[str, Any]) -> None:
        """Keeps a search's result, in the file too; what others wrote there in the meantime stays.

        Raises:
            ValueError: ``method`` takes another's options.
        """
        if method.search_name != method.name:
            raise ValueError(expected("method", "one with a search of its own", method.name,
                                      f"search for {method.tuned_as!r}"))
        with one_at_a_time(self.path):
            self.found = Tuned(self.path).found
            self.found.setdefault(world, {})[method.search_name] = dict(result)
            ordered = {world: dict(sorted(methods.items())) for world, methods in sorted(self.found.items())}
            with whole_file(self.path) as temporary:
                temporary.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")


def world_of(setting: str) -> str:
    """``data set/world`` of a setting's name."""
    return setting.rpartition("/")[0]
