"""Values that an option was not meant to have, and what becomes of a call with one of them."""

from __future__ import annotations

import inspect
import math
import os
import signal
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

import kgrl

HOME = str(Path(kgrl.__file__).parent) + os.sep
FINE = ("named", "accepted")

ANY: list[Any] = [None, "text", "", 1.5, -1, 10**20, math.nan, math.inf, True, [], ["a"], [None], {}, object(), int,
                  b"text", torch.rand(2, 3, 4), torch.tensor([[0.5]]), torch.tensor(3), np.zeros((2, 2)),
                  pd.DataFrame({"a": [1]})]
"""For every option."""
IDS: list[Any] = [[-5], [10**6], [0, 0], [0.5], [[0, 1]], torch.tensor([0.5]), torch.tensor([], dtype=torch.long),
                  torch.tensor([True]), torch.tensor([0, 1], dtype=torch.int32), np.array(["a"]), pd.Series([1]),
                  torch.tensor([-1]), torch.tensor([10**12]), torch.tensor(3), torch.zeros(2, 0, dtype=torch.long)]
TABLE: list[Any] = [torch.full((20, 3), math.nan), torch.full((20, 3), math.inf),
                    torch.zeros(20, 3, dtype=torch.cfloat),
                    torch.zeros(20, 3, dtype=torch.long), torch.zeros(20), torch.zeros(3, 20), torch.zeros(0, 3),
                    torch.zeros(20, 0), torch.zeros(20, 3, 1), [[0.5]], np.zeros((20, 3)), torch.full((20, 3), 1e38)]
NUMBER: list[Any] = [-0.5, 1e300, -math.inf, 10**9, "1", 1j, [0.5], torch.tensor(math.nan)]
FURTHER: dict[str, list[Any]] = {"ids": IDS, "table": TABLE, "number": NUMBER, "count": [0, -(10**20), 0.5, "1"],
                                 "name": ["MF", " ", "none"], "flag": [0, 1, "false", "no", np.bool_(True)]}


class Call(NamedTuple):
    """A public callable, options that it takes, and which errors of it are none of these options'."""

    call: Callable[..., Any]
    options: dict[str, Any]
    beside: tuple[type[Exception], ...] = ()


class Fresh(NamedTuple):
    """A valid value that a call changes: made anew for each."""

    make: Callable[[], Any]


def kind_of(value: Any) -> str:
    """What kind of option has such a value."""
    if isinstance(value, Fresh):
        return "object"
    if isinstance(value, Tensor):
        whole = not value.is_floating_point()
        return "mixed" if value.dim() == 0 else "ids" if whole and value.dim() == 1 else "grid" if whole else "table"
    for kind, types in {"flag": bool, "count": int, "number": float, "name": str, "path": Path,
                        "sequence": (list, tuple, dict)}.items():
        if isinstance(value, types):  # type: ignore[arg-type]
            return kind
    return "object"


def may_be(kind: str, value: Any) -> bool:
    """Whether an option of a kind may have ``value``, so that its being accepted is no fault."""
    types: dict[str, Any] = {"flag": bool, "name": str, "path": str | Path, "number": int | float | np.number,
                             "count": int | np.integer, "object": ()}
    if kind in ("flag", "name", "path", "object"):
        return isinstance(value, types[kind])
    if kind in ("number", "count"):
        return isinstance(value, types[kind] | Tensor) and not isinstance(value, bool)
    return not (value is None or isinstance(value, str | bytes | type | Data | HeteroData) or type(value) is object)


def wrong_values(name: str, kind: str) -> list[Any]:
    """What an option of this name and kind is tried with."""
    values = ANY + FURTHER.get(kind, []) + [Data(), HeteroData()]  # which a look at may change
    return values[1:] if name == "source" else values  # None would download


def takes_none(call: Callable[..., Any], name: str) -> bool:
    """Whether ``None`` stands for something."""
    option = inspect.signature(call).parameters.get(name)
    return option is not None and (option.default is None or "None" in str(option.annotation))


def outcome(made: Call, name: str = "", wrong: Any = None, limit: float = 5) -> str:
    """What becomes of a call with one wrong option: accepted, named by kgrl, or the miss."""
    def late(*_: object) -> None:
        raise TimeoutError

    options = {key: value.make() if isinstance(value, Fresh) else value for key, value in made.options.items()}
    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made.call(**(options | ({name: wrong} if name else {})))
    except TimeoutError:
        return "hangs"
    except (ValueError, TypeError, IndexError, OSError) as error:
        if isinstance(error, made.beside) and (not name or may_be(kind_of(made.options[name]), wrong)):
            return "accepted"
        return _judged(error, name, kind_of(made.options.get(name)))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    if not name or may_be(kind := kind_of(made.options[name]), wrong) or (
            wrong is None and takes_none(made.call, name)):
        return "accepted"
    return f"taken for a {kind}"


def _judged(error: Exception, name: str, kind: str) -> str:
    """Whether kgrl itself has said what is wrong with the option."""
    last = traceback.extract_tb(error.__traceback__)[-1].filename
    of_a_file = isinstance(error, OSError) and kind == "path"
    if last.startswith(HOME) and (of_a_file or f"`{name}" in str(error)):
        return "named"
    return f"{type(error).__name__}{'' if last.startswith(HOME) else ' from elsewhere'}: {error}"
