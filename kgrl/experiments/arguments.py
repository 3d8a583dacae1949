"""What the scripts read from the command line and argparse does not check by itself: said before any data is made."""

from __future__ import annotations

import functools
import inspect
import json
import math
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, TypeVar

import torch

from kgrl.experiments.data_sets import DATASETS
from kgrl.experiments.method import Method, method_of
from kgrl.experiments.setting import WORLDS
from kgrl.experiments.variant import Variant
from kgrl.options import did_you_mean, expected, one_of

T = TypeVar("T")


def whole_from(low: int) -> Callable[[str], int]:
    """For ``add_argument(type=…)``: a whole number of at least ``low``."""

    def whole(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low:
            raise ArgumentTypeError(f"must be a whole number of at least {low}, got {text!r}")
        return value

    return whole


def number_from(low: float) -> Callable[[str], float]:
    """For ``add_argument(type=…)``: a finite number of at least ``low``."""

    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= low):
            raise ArgumentTypeError(f"must be a finite number of at least {low:g}, got {text!r}")
        return value

    return number


def known(find: Callable[[str], T]) -> Callable[[str], T]:
    """For ``add_argument(type=…)``: what ``find`` finds; what it raises is told (argparse would keep it to itself)."""

    @functools.wraps(find)
    def found(text: str) -> T:
        try:
            return find(text)
        except ValueError as error:
            raise ArgumentTypeError(str(error)) from None

    return found


def own_file(text: str) -> Path:
    """For ``add_argument(type=…)``: a file that is there."""
    if not Path(text).is_file():
        raise ArgumentTypeError(f"must be a file, got {text!r}, which is none")
    return Path(text)


def device_name(text: str) -> str:
    """For ``add_argument(type=…)``: a device of this machine, as in ``cpu`` or ``cuda:1``."""
    try:
        torch.empty(1, device=text).item()
    except (RuntimeError, AssertionError) as error:  # the latter where PyTorch was built without it
        reason = str(error).splitlines()[0].split(". ")[0]
        raise ArgumentTypeError(f"must be a device of this machine, got {text!r}: {reason}") from None
    return text


@known
def world_name(text: str) -> str:
    """For ``add_argument(type=…)``: ``DATASET/WORLD``, both known."""
    dataset, slash, world = text.partition("/")
    if not slash:
        raise ValueError(f"must be DATASET/WORLD, as in ml-100k/{WORLDS[0]}, got {text!r}; worlds are "
                         f"{', '.join(WORLDS)}")
    one_of("dataset", dataset, DATASETS)
    if one_of("world", Variant.read(world)[0], WORLDS) == "planted" and dataset != "synthetic":
        raise ValueError(f"must be a world that {dataset} has, got 'planted'; only synthetic has planted tastes")
    return text


def add_places(parser: ArgumentParser, here: Path) -> None:
    """The options of every script that runs agents: ``--tuned``, ``--data``, ``--source``, ``--with``, ``--device``.

    Args:
        parser: gets them.
        here: the scripts' folder, two below the project's.
    """
    add = parser.add_argument
    add("--tuned", type=Path, default=here / "tuned.json", help="what tune.py chose")
    add("--data", type=Path, default=here.parents[1] / "data", help="where data sets are kept")
    add("--source", type=Path, help="folder that already holds the raw files of the one data set asked for")
    add("--with", dest="own", type=own_file, help="a Python file that registers methods of one's own")
    add("--device", type=device_name, default="cpu")


def methods_named(parser: ArgumentParser, names: Iterable[str]) -> list[Method]:
    """The methods of these names; ends the script where one is not known (once ``--with`` has made its own known)."""
    try:
        return [method_of(name) for name in names]
    except ValueError as error:
        parser.error(str(error))


def check_source(parser: ArgumentParser, source: Path | None, worlds: Iterable[str]) -> None:
    """Ends the script where ``--source``, the raw files of one data set, can be of no use.

    Args:
        parser: whose ``error`` ends it.
        source: what was given, if anything.
        worlds: ``DATASET/WORLD`` or ``DATASET``, which are to be served.
    """
    datasets = {world.split("/")[0] for world in worlds} if source else set()
    if len(datasets) > 1:
        parser.error("--source is the folder of one data set; name its worlds with --worlds, one data set at a time")
    if "synthetic" in datasets:
        parser.error("--source is of no use: synthetic data are made, not read")


def agent_options(
    parser: ArgumentParser, pairs: Iterable[str], makers: Iterable[Callable[..., Any]], given: Collection[str]
) -> dict[str, Any]:
    """The keyword arguments of an agent that ``--set NAME=VALUE`` asks for.

    Args:
        parser: whose ``error`` ends the script where they cannot be.
        pairs: as they were typed; values are JSON.
        makers: what takes them: its class, and a method that makes it and hands on what it does not take itself.
        given: arguments that are not for ``--set``: the script gives them itself, or they are no JSON.
    """
    known, found = {name for maker in makers for name, each in inspect.signature(maker).parameters.items()
                    if each.kind is not each.VAR_KEYWORD} - set(given), {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign:
            parser.error(expected("--set", "NAME=VALUE, as in gamma=0.8", pair))
        if name in given:
            parser.error(expected("--set", "an option that the script does not give the agent itself", name,
                                  "see --help for the script's own"))
        if name not in known:
            parser.error(expected("--set", "an option of the agent", name, did_you_mean(name, known)))
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:
            parser.error(expected(f"--set {name}", 'a number, true, false, null, a "quoted text" or a [list]', value))
    return found
