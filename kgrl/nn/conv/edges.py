"""``checked_edges``: the one gate between the edges of a caller and kernels that trust them.

Compressing edges to rows (``index2ptr``, ``EdgeIndex.get_csr``) writes where an id says, without looking: an id out of
range writes into foreign memory. So every public layer hands its edges through here, and a tensor that passed once
passes for nothing as long as it is not changed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary
from torch_geometric import EdgeIndex
from torch_geometric.typing import Adj, SparseTensor
from torch_geometric.utils import is_torch_sparse_tensor

from kgrl.options import a_tensor, expected


class Remembered:
    """What was found out about a tensor, for as long as it lives and is not written to."""

    def __init__(self) -> None:
        self._found: Any = WeakIdKeyDictionary()

    def get(self, tensor: Tensor, *key: object) -> Any:
        """What was kept under this key; ``None``: nothing, or the tensor has changed since."""
        found = self._found.get(tensor)
        return found[1] if found is not None and found[0] == (*_versions(tensor), *key) else None

    def keep(self, value: Any, tensor: Tensor, *key: object) -> Any:
        """Keeps ``value``, the last one alone, and returns it."""
        versions = _versions(tensor)
        if None not in versions:
            self._found[tensor] = ((*versions, *key), value)
        return value


_PASSED = Remembered()
_TYPES_PASSED = Remembered()


def checked_edges(edge_index: Adj, num_sources: int, num_targets: int) -> Adj:
    """``edge_index``, if every edge runs from a source to a target.

    Args:
        edge_index: ``[2, M]``, a tensor or an ``EdgeIndex``; or a matrix ``[num_targets, num_sources]``.
        num_sources: ids of the first row are below it.
        num_targets: ids of the second row are below it.

    Raises:
        TypeError: it is nothing of the kind.
        ValueError: it is of another shape, or an ``EdgeIndex`` is not what it claims to be: sorted, undirected.
        IndexError: an id is no node's.
    """
    if torch.compiler.is_compiling() or isinstance(edge_index, SparseTensor):
        return edge_index  # compiled code looks itself, and so does SparseTensor where it is made
    if _PASSED.get(a_tensor("edge_index", edge_index), num_sources, num_targets) is None:
        if is_torch_sparse_tensor(edge_index):
            _check_matrix(edge_index, num_sources)
        else:
            _check_list(edge_index, num_sources, num_targets)
        passed(edge_index, num_sources, num_targets)
    return edge_index


def passed(edge_index: Adj, num_sources: int, num_targets: int) -> Adj:
    """``edge_index``, for which the caller vouches: it is not looked at again."""
    _PASSED.keep(True, edge_index, num_sources, num_targets)
    return edge_index


def node_ids(name: str, ids: Tensor, num_nodes: int) -> Tensor:
    """``ids`` if every one is a node's.

    Raises:
        IndexError: one is not.
    """
    if ids.numel():
        low, high = (int(bound) for bound in torch.aminmax(ids))
        if low < 0 or high >= num_nodes:
            raise IndexError(expected(name, f"node ids from 0 to {num_nodes - 1}", low if low < 0 else high))
    return ids


def checked_types(edge_type: Tensor | None, num_edges: int, num_relations: int | None = None) -> Tensor:
    """``edge_type``, if it has a relation for each edge, below ``num_relations`` where that is known.

    Raises:
        ValueError: it has not, or is missing.
    """
    what = f"a LongTensor of the {num_edges} edges' relations"
    if not isinstance(edge_type, Tensor):
        raise ValueError(expected("edge_type", f"{what} for an aggregator that uses edge types", edge_type))
    if edge_type.dtype != torch.long or edge_type.shape != (num_edges,):
        raise ValueError(expected("edge_type", what, f"{edge_type.dtype} {list(edge_type.shape)}"))
    if num_edges and not torch.compiler.is_compiling() and _TYPES_PASSED.get(edge_type, num_relations) is None:
        low, high = (int(bound) for bound in torch.aminmax(edge_type))
        if low < 0 or (num_relations is not None and high >= num_relations):
            ids = "from 0" if num_relations is None else f"in [0, {num_relations})"
            raise ValueError(expected("edge_type", f"relation ids {ids}", low if low < 0 else high))
        _TYPES_PASSED.keep(True, edge_type, num_relations)
    return edge_type


def checked_attributes(edge_attr: Tensor | None, num_edges: int) -> Tensor:
    """``edge_attr``, if it has a row for each edge.

    Raises:
        ValueError: it has not, or is missing.
    """
    what = f"a tensor [{num_edges}, …], a row for each edge"
    if not isinstance(edge_attr, Tensor):
        raise ValueError(expected("edge_attr", f"{what}, for an aggregator that uses edge attributes",
                                  edge_attr if edge_attr is None else type(edge_attr).__name__))
    if not edge_attr.dim() or edge_attr.size(0) != num_edges:
        raise ValueError(expected("edge_attr", what, f"{edge_attr.dtype} {list(edge_attr.shape)}"))
    return edge_attr


def _check_list(edge_index: Tensor, num_sources: int, num_targets: int) -> None:
    whole = not (edge_index.is_floating_point() or edge_index.is_complex() or edge_index.dtype == torch.bool)
    if not whole or edge_index.dim() != 2 or edge_index.size(0) != 2:
        hint = "turn it with .t()" if whole and edge_index.dim() == 2 and edge_index.size(1) == 2 else ""
        raise ValueError(expected("edge_index", "a LongTensor [2, M], sources above targets",
                                  f"{edge_index.dtype} {list(edge_index.shape)}", hint))
    if isinstance(edge_index, EdgeIndex):
        try:
            edge_index.validate()
        except ValueError as error:
            raise ValueError(expected("edge_index", "an EdgeIndex that is what it says", str(error))) from error
        edge_index = edge_index.as_tensor()
    for row, size in zip(edge_index, (num_sources, num_targets), strict=True):
        node_ids("edge_index", row, size)


def _check_matrix(matrix: Tensor, num_sources: int) -> None:
    """PyTorch makes sparse matrices without a look at their indices."""
    if matrix.dim() != 2 or matrix.size(1) > num_sources:
        raise ValueError(expected("edge_index", f"a matrix [targets, {num_sources} sources]", list(matrix.shape)))
    *starts, ids = _parts(matrix)
    if not starts:
        node_ids("edge_index", ids[0], matrix.size(0))
        node_ids("edge_index", ids[1], matrix.size(1))
        return
    outer, inner = matrix.shape if matrix.layout == torch.sparse_csr else matrix.shape[::-1]
    node_ids("edge_index", ids, inner)
    ptr, ends = starts[0], (0, ids.numel())
    if ptr.shape != (outer + 1,) or (int(ptr[0]), int(ptr[-1])) != ends or bool((ptr.diff() < 0).any()):
        raise ValueError(expected("edge_index", f"compressed rows that begin in order, from 0 to {ids.numel()}",
                                  ptr.tolist() if outer < 10 else f"{outer} others"))


def _parts(matrix: Tensor) -> tuple[Tensor, ...]:
    """The tensors of indices of a sparse matrix."""
    if matrix.layout == torch.sparse_csr:
        return matrix.crow_indices(), matrix.col_indices()
    if matrix.layout == torch.sparse_csc:
        return matrix.ccol_indices(), matrix.row_indices()
    return (matrix._indices(),)


def _versions(tensor: Tensor) -> tuple[int | None, ...]:
    """How often each part of ``tensor`` was written to; ``None`` where PyTorch does not count."""
    if isinstance(tensor, EdgeIndex):
        parts: tuple[Tensor, ...] = (tensor.as_tensor(),)
    else:
        parts = _parts(tensor) if is_torch_sparse_tensor(tensor) else (tensor,)
    return tuple(None if part.is_inference() else part._version for part in parts)
