"""``Texts``: what is known of nodes in words, as a tensor, so that PyG's loaders take a part of it with the nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, chain
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

JOINS = {"cat", "concat", "concatenate"}
PICKS = {"index_select", "__getitem__", "narrow", "flip", "to", "cpu", "cuda", "clone", "detach", "contiguous",
         "pin_memory", "share_memory_"}
"""What gives texts out of texts, by name: PyG puts functions of its own in the place of some."""
BLANKS = {"new", "as_subclass"}
"""What makes numbers of them: PyG's workers write what they pick into memory that is shared, and so made anew."""


class Texts(Tensor):
    """One text per node, ``[n]``.

    PyG takes a part of the nodes along by indexing what is a tensor of as many elements as there are nodes, and its
    loaders index nothing else. So this is a tensor, of where each text stands in a list of them. To whoever reads it,
    it is a sequence of texts: ``texts[0]``, ``for text in texts``, ``texts == ["a", "b"]``, ``texts.tolist()``. Indexed
    by a tensor or a slice, moved, copied or joined, it is texts again; nothing else is computed of it.

    Args:
        texts: of any type, as raw ids are.
    """

    words: list[Any]

    def __new__(cls, texts: Iterable[Any] = ()) -> Self:
        words = texts.tolist() if isinstance(texts, Tensor) else list(texts)
        # on the CPU wherever tensors are made by default: a text is nowhere else
        return cls._at(torch.arange(len(words), device="cpu"), words)

    def __init__(self, texts: Iterable[Any] = ()) -> None:
        super().__init__()

    @classmethod
    def _at(cls, places: Tensor, words: list[Any]) -> Self:
        made = places.as_subclass(cls)
        made.words = words
        return made

    @property
    def places(self) -> Tensor:
        """``[n]``, where each text stands in :attr:`words`, as an ordinary tensor."""
        return self.as_subclass(Tensor)

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Iterable[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        name = getattr(func, "__name__", str(func))
        if name in JOINS:
            return cls._joined([each.tolist() for each in args[0]])
        with torch._C.DisableTorchFunctionSubclass():
            found = func(*args, **(kwargs or {}))
        several = found if isinstance(found, tuple | list) else [found]
        if name in BLANKS or not any(isinstance(each, Tensor) for each in several):
            return found
        if name in PICKS and isinstance(args[0], Texts):
            return cls._at(found.as_subclass(Tensor), args[0].words)
        raise TypeError(f"texts are no numbers, so there is no `{name}` of them; "
                        "texts.tolist() is a list of them")

    @classmethod
    def _joined(cls, parts: Sequence[Sequence[Any]]) -> Self:
        """One after the other; where some are numbers, as raw ids may be, these become texts, and -1, for none, ""."""
        words = list(chain.from_iterable(parts))
        if not all_text(words):
            words = ["" if each == -1 else str(each) for each in words]
        return cls(words)

    def __getitem__(self, at: Any) -> Any:
        found: Any = super().__getitem__(at)
        return found if found.dim() else self.words[int(found.places)]

    def __setitem__(self, at: Any, text: Any) -> None:
        raise TypeError("texts are not changed one by one, as parts of the nodes share them; put a list of all in "
                        "their place")

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())

    def __contains__(self, text: object) -> bool:
        return text in self.tolist()

    def __bool__(self) -> bool:
        return len(self) > 0

    def __eq__(self, other: object) -> bool:  # type: ignore[override]  # as lists of texts are
        return isinstance(other, (Texts, list, tuple)) and self.tolist() == list(other)

    def __ne__(self, other: object) -> bool:  # type: ignore[override]
        return not self == other

    __hash__ = Tensor.__hash__

    def index(self, text: Any) -> int:  # type: ignore[override]  # as lists have it
        """Where ``text`` stands first.

        Raises:
            ValueError: nowhere.
        """
        return self.tolist().index(text)

    def tolist(self) -> list[Any]:
        """All of them."""
        return [self.words[place] for place in self.places.tolist()]

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """All of them, as an array of objects."""
        return np.array([*self.tolist(), None], dtype=object)[:-1]  # None: texts of one length are no second dimension

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.numpy() if dtype is None else self.numpy().astype(dtype)

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"Texts({self.tolist()})"

    def __deepcopy__(self, memo: Any) -> Self:
        return type(self)(self.tolist())

    def __reduce_ex__(self, proto: Any) -> Any:
        return type(self), (self.tolist(),)  # of many words, those alone that a part of the nodes has


def all_text(words: Iterable[Any]) -> bool:
    """Whether each of many words is a text, without a step of Python for each."""
    return set(map(type, words)) <= {str}


def unwritable(words: list[Any]) -> str | None:
    """The first text, if any, that UTF-8 cannot write: "surrogateescape" makes half signs of bytes it cannot read."""
    texts = words if all_text(words) else [each for each in words if isinstance(each, str)]
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as error:
        return next(text for text, end in zip(texts, accumulate(map(len, texts)), strict=True) if end > error.start)
    return None


def with_texts(data: HeteroData) -> HeteroData:
    """``data``, changed in place: each list of a node type's stores is of :class:`Texts`."""
    for store in data.node_stores:
        for name, value in store.items():
            if type(value) is list:
                store[name] = Texts(value)
    return data


def without_texts(data: HeteroData) -> dict[str, Any]:
    """The content of ``data``, with plain lists in place of :class:`Texts`: what a file may hold."""
    return {key: {name: value.tolist() if isinstance(value, Texts) else value for name, value in store.items()}
            if isinstance(store, dict) else store for key, store in data.to_dict().items()}
