"""Checks of what is given as a whole: objects of a class, data sets, generators, paths, and tensors of a shape.

They look at kinds and sizes alone, never at numbers, so that they cost nothing in a training loop.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.options import a_tensor, expected

T = TypeVar("T")
RATES = ("user", "rates", "item")


def of_class(name: str, value: Any, kind: type[T], hint: str = "") -> T:
    """``value`` if it is an instance of ``kind``.

    Raises:
        TypeError: it is of another class.
    """
    if not isinstance(value, kind):
        word = kind.__name__
        what = f"{'an' if word[0] in 'AEIOU' else 'a'} {word}"
        raise TypeError(expected(name, what, type(value).__name__, hint))
    return value


def with_methods(name: str, value: Any, *methods: str, hint: str = "") -> Any:
    """``value`` if it has these methods, whatever its class: for parts that anybody may write.

    Raises:
        TypeError: it lacks one, or is a class and not made yet.
    """
    if isinstance(value, type) or not all(callable(getattr(value, each, None)) for each in methods):
        what = f"an object with {' and '.join(f'`{each}(…)`' for each in methods)}"
        raise TypeError(expected(name, what, value.__name__ if isinstance(value, type) else type(value).__name__, hint))
    return value


def a_data_set(name: str, value: Any, node: str = "item") -> HeteroData:
    """``value`` if it is a ``HeteroData`` that knows how many nodes of a type it has.

    Raises:
        TypeError: it is something else.
        ValueError: it has no such nodes.
    """
    data = of_class(name, value, HeteroData, "the data sets of kgrl.datasets are: MovieLens100K(root)[0]")
    if node not in data.node_types or data[node].num_nodes is None:
        raise ValueError(expected(name, f"a data set with nodes of the type {node!r}, and their number",
                                  data.node_types))
    return data


def a_rated_set(name: str, value: Any) -> HeteroData:
    """``value`` if it is a data set of users, items, and ratings with their scale.

    Raises:
        TypeError: it is something else.
        ValueError: it lacks one of them.
    """
    data = a_data_set(name, a_data_set(name, value), "user")
    if RATES not in data.edge_types or not {"edge_index", "rating"} <= set(data[RATES].keys()):
        what = f"a HeteroData with `edge_index` and `rating` under {RATES}"
        raise ValueError(expected(name, what, data.edge_types))
    if not isinstance(rating := data[RATES].rating, Tensor) or rating.is_complex():
        raise ValueError(expected(f"{name}[{', '.join(map(repr, RATES))}].rating", "a tensor of real numbers",
                                  getattr(rating, "dtype", type(rating).__name__)))
    if "rating_scale" not in data:
        raise ValueError(expected(f"{name}.rating_scale", "(low, high, threshold)", None, "set it on the HeteroData"))
    return data


def a_path(name: str, value: Any) -> Path:
    """``value`` as a path, its ``~`` expanded.

    Raises:
        TypeError: it is neither text nor a path.
        ValueError: it is empty, which would be the folder one happens to be in.
    """
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise TypeError(expected(name, "a path", value))
    if not os.fspath(value):
        raise ValueError(expected(name, "a path", value, "'.' is the working directory"))
    return Path(value).expanduser()


def a_generator(name: str, value: Any) -> torch.Generator | None:
    """``value`` if it is a ``torch.Generator``, or ``None``.

    Raises:
        TypeError: it is something else.
    """
    return None if value is None else of_class(name, value, torch.Generator, "torch.Generator().manual_seed(0)")


def a_device(name: str, value: Any) -> torch.device:
    """``value`` as a device.

    Raises:
        ValueError: it is none, or none that this machine has.
    """
    what = "a device of this machine, as 'cpu' or 'cuda'"
    if not isinstance(value, str | torch.device):
        raise ValueError(expected(name, what, value))
    try:
        found = torch.device(value)
        if found.type != "cpu":
            torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:  # the latter where PyTorch was built without it
        raise ValueError(expected(name, what, str(value), str(error).splitlines()[0].split(". ")[0])) from error
    return found


def shaped(name: str, value: Any, *sizes: int | None, whole: bool = False) -> Tensor:
    """``value`` if it is a dense tensor of these sizes.

    Args:
        name: what it is called in an error.
        value: the tensor.
        *sizes: of its dimensions; ``None``: any.
        whole: whether of whole numbers, as ids are, or of real ones.

    Raises:
        TypeError: it is no tensor.
        ValueError: it is of another shape or kind.
    """
    shape = a_tensor(name, value).shape
    fits = len(shape) == len(sizes) and all(want is None or want == got for want, got in zip(sizes, shape, strict=True))
    kind = value.dtype == torch.long if whole else value.is_floating_point()
    if not (fits and kind and value.layout == torch.strided):
        wanted = ", ".join("…" if size is None else str(size) for size in sizes)
        what = f"a LongTensor [{wanted}]" if whole else f"a dense tensor of real numbers [{wanted}]"
        raise ValueError(expected(name, what, f"{value.dtype} {list(shape)}"))
    return value
