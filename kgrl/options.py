"""Checks of options, with one wording for every error.

Every check returns the value it was given, so that a constructor reads ``self.hops = at_least("hops", hops, 1)``.
"""

from __future__ import annotations

import difflib
import math
import numbers
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

T = TypeVar("T")
WIDEST = 2**63 - 1
"""The largest whole number of 64 bits."""
LARGEST = torch.finfo(torch.float).max
"""Networks and worlds compute in single precision: a larger number is infinite there."""


def expected(name: str, what: str, got: object, hint: str = "") -> str:
    """The text of every option error: "``name`` must be *what*, got *got*; *hint*"."""
    return f"`{name}` must be {what}, got {got!r}" + (f"; {hint}" if hint else "")


def did_you_mean(value: object, choices: Iterable[str]) -> str:
    """The sorted choices and, where one is near, a guess at what was meant."""
    names = sorted(choices)
    folded = {name.casefold(): name for name in reversed(names)}
    near = difflib.get_close_matches(str(value).casefold(), folded, n=1)
    return f"choose from {', '.join(names)}" + (f"; did you mean {folded[near[0]]!r}?" if near else "")


def one_of(name: str, value: str, choices: Iterable[str]) -> str:
    """``value`` if it is among ``choices``.

    Raises:
        ValueError: it is not; the text lists the choices and the nearest.
    """
    choices = list(choices)
    if not isinstance(value, str) or value not in choices:
        raise ValueError(expected(name, "a known name", value, did_you_mean(value, choices)))
    return value


def whole_number(name: str, value: Any) -> int:
    """``value``, a whole number of Python's, NumPy's or PyTorch's, as an ``int``."""
    try:
        if not isinstance(value, bool | type):
            return operator.index(value)
    except (TypeError, ValueError, RuntimeError):
        pass  # a tensor of several numbers, or of a fraction
    raise TypeError(expected(name, "a whole number", value))


def at_least(name: str, value: int, low: int) -> int:
    """``value`` if it is a whole number of at least ``low``.

    Raises:
        TypeError: it is not a whole number.
        ValueError: it is below ``low``, or no number of 64 bits.
    """
    value = whole_number(name, value)
    if value < low:
        raise ValueError(expected(name, f"at least {low}", value))
    if value > WIDEST:
        raise ValueError(expected(name, f"at most {WIDEST}, the largest number of 64 bits", value))
    return int(value)


def between(name: str, value: Any, low: float, high: float) -> float:
    """``value`` if it is a finite number in [``low``, ``high``].

    Raises:
        TypeError: it is not a number.
        ValueError: it is NaN, infinite (in single precision, too) or outside the range.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(expected(name, "a number", value))
    if not math.isfinite(value) or not low <= float(value) <= min(high, LARGEST):
        hint = f"what is above {LARGEST:.1e} is infinite in single precision" if high > LARGEST < float(value) else ""
        raise ValueError(expected(name, f"a finite number in [{low}, {high}]", value, hint))
    return float(value)


def sizes_of(name: str, values: Any) -> list[int]:
    """``values`` as a list of whole numbers of at least 1, as of layers; none: an empty one.

    Raises:
        TypeError: they are no list or tuple of whole numbers.
        ValueError: one is below 1.
    """
    if not isinstance(values, list | tuple):
        raise TypeError(expected(name, "a list of sizes", values))
    return [at_least(name, value, 1) for value in values]


def flag(name: str, value: Any) -> bool:
    """``value`` if it is ``True`` or ``False``: "false" and 0 would be taken for what they are not.

    Raises:
        TypeError: it is neither.
    """
    if not isinstance(value, bool):
        raise TypeError(expected(name, "True or False", value))
    return value


def resolve(
    name: str, value: str | type[T] | T, choices: Mapping[str, Callable[..., T]], base: type[T], **kwargs: Any
) -> T:
    """Makes a part from its name, its class or an instance of it.

    Args:
        name: the option's name, for the error.
        value: a name among ``choices``, a subclass of ``base`` (called with ``kwargs``), or an instance of ``base``,
            which is returned untouched.
        choices: the parts known by name; the name's letter case does not matter.
        base: the class that every such part derives from.
        **kwargs: what the part's constructor is given, where one is called.

    Raises:
        ValueError: an unknown name; the text lists the choices and the nearest.
        TypeError: neither a name nor a ``base``.
    """
    if isinstance(value, str):
        return choices[one_of(name, value.lower(), choices)](**kwargs)
    if isinstance(value, type) and issubclass(value, base):
        return value(**kwargs)
    if isinstance(value, base):
        return value
    raise TypeError(expected(name, f"a name, a subclass or an instance of {base.__name__}", value,
                             f"choose from {', '.join(sorted(choices))}"))


def a_tensor(name: str, value: Any) -> Tensor:
    """``value`` if it is a tensor: of a list or an array it would be unclear on which device it is meant to be.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(value, Tensor):
        hint = "torch.as_tensor makes one of a list or an array"
        raise TypeError(expected(name, "a tensor", type(value).__name__, hint))
    return value


def ids(name: str, values: Any, count: int | None = None) -> Tensor:
    """``values`` as a LongTensor ``[M]`` of ids: a tensor, a list, an array, a pandas Series, or a mask of them.

    A tensor of ids comes back as it is; of a mask, a bool for each, the places that are marked.

    Args:
        name: what they are called in an error.
        values: the ids.
        count: of what they are ids; where it is given there must be at least one id, and none out of range.

    Raises:
        TypeError: it is nothing of the kind.
        ValueError: they are no whole numbers, not in one row, none, out of range, or a mask of another length.
    """
    what = "a LongTensor [M], or a list, an array or a mask, of ids"
    if not isinstance(values, Tensor):
        if not isinstance(values, list | tuple | range) and not hasattr(values, "__array__"):
            raise TypeError(expected(name, what, type(values).__name__))
        try:
            array = np.asarray(values)
            values = torch.from_numpy(array.astype(np.int64 if array.size == 0 else array.dtype))
        except (TypeError, ValueError, OverflowError) as error:
            raise TypeError(expected(name, what, type(values).__name__)) from error
    if values.dim() != 1 or values.is_floating_point() or values.is_complex():
        raise ValueError(expected(name, what, f"{values.dtype} {list(values.shape)}"))
    if values.dtype == torch.bool and count is not None and len(values) != count:
        raise ValueError(expected(name, f"a mask of {count}", len(values)))
    found = values.nonzero().view(-1) if values.dtype == torch.bool else values.long()
    if count is not None:
        if not len(found):
            raise ValueError(expected(name, "at least one id", "none"))
        bad = (found < 0) | (found >= count)
        if bad.any():
            raise ValueError(expected(name, f"ids from 0 to {count - 1}", int(found[bad][0])))
    return found


def a_table(name: str, values: Tensor) -> Tensor:
    """``values`` if they are a tensor ``[rows, columns]`` of real numbers, as features and vectors are.

    Raises:
        TypeError: they are no tensor.
        ValueError: they are of another shape or kind.
    """
    if a_tensor(name, values).dim() != 2 or not values.is_floating_point():
        raise ValueError(expected(name, "a tensor of real numbers [rows, columns]",
                                  f"{values.dtype} {list(values.shape)}"))
    return values


def real(name: str, values: Tensor) -> Tensor:
    """``values`` if they are a tensor of real numbers: single precision would drop the imaginary part of others.

    Raises:
        TypeError: they are no tensor.
        ValueError: they are complex.
    """
    if a_tensor(name, values).is_complex():
        raise ValueError(expected(name, "real numbers", str(values.dtype), "torch.view_as_real(vectors).flatten(1) "
                                  "makes real vectors [N, 2d] of complex ones [N, d]"))
    return values


def single(name: str, values: Tensor) -> Tensor:
    """``values``, if they are :func:`real`, in single precision as the networks compute: NumPy's are in double."""
    return real(name, values).float()


def dense_vectors(name: str, vectors: Tensor, count: int | None = None, each: str = "item") -> Tensor:
    """``vectors`` if they are dense ``[N, d]``, real and finite.

    Args:
        name: what they are called in an error.
        vectors: the vectors.
        count: N, where it is known: more rows are no better than fewer, as it is unclear which of them are meant.
        each: what has one, for the error.

    Raises:
        TypeError: they are no tensor.
        ValueError: they are of another shape or layout, empty, complex, or not finite.
    """
    if real(name, vectors).layout != torch.strided or vectors.dim() != 2 or not vectors.numel():
        raise ValueError(expected(name, "dense [N, d]", f"{vectors.layout} {list(vectors.shape)}"))
    if count not in (None, len(vectors)):
        raise ValueError(expected(name, f"finite vectors [{count}, d], one an {each}", list(vectors.shape),
                                  "kgrl.raw_ids.aligned puts vectors of your own in order by their raw ids"))
    if not representable(vectors):
        raise ValueError(expected(name, "finite numbers, and their squares, too, in single precision",
                                  "NaN, infinity or too large a number"))
    return vectors


def representable(vectors: Tensor) -> bool:
    """Whether ``vectors [N, d]`` are finite in single precision, and their products are."""
    return bool(torch.linalg.vector_norm(vectors.detach().float(), dim=-1).isfinite().all())
