"""``ItemRows``: the vectors a tree is built on, checked, dense or sparse, handed out in double precision."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from kgrl.options import expected


class ItemRows:
    """Item vectors as NumPy and SciPy see them.

    All are divided by their largest absolute value: no clustering depends on it, and no square overflows.

    Args:
        vectors: ``[N, F]``, dense or sparse CSR, floating-point, on any device. A sparse one stays sparse.

    Raises:
        TypeError: no tensor.
        ValueError: not 2-D, no row, no column, neither dense nor CSR, no floating-point numbers, NaN or infinite.
    """

    def __init__(self, vectors: Tensor) -> None:
        if not isinstance(vectors, Tensor):
            raise TypeError(expected("vectors", "a tensor [N, F]", type(vectors).__name__))
        if vectors.dim() != 2 or 0 in vectors.shape:
            raise ValueError(expected("vectors", "[N, F] with at least one row and one column", tuple(vectors.shape)))
        if vectors.layout not in (torch.strided, torch.sparse_csr):
            raise ValueError(expected("vectors", "dense or sparse CSR", vectors.layout, "see Tensor.to_sparse_csr"))
        if not vectors.is_floating_point():
            raise ValueError(expected("vectors", "a floating-point tensor", vectors.dtype))
        vectors = vectors.detach().cpu()
        self.is_sparse = vectors.layout == torch.sparse_csr
        values = vectors.values() if self.is_sparse else vectors
        low, high = (float(end) for end in values.aminmax()) if values.numel() else (0.0, 0.0)
        if not np.isfinite([low, high]).all():
            raise ValueError(expected("vectors", "finite", *_first_wrong(vectors)))
        self.scale = max(-low, high) or 1.0
        self._vectors = _as_csr(vectors) if self.is_sparse else vectors
        self.num_items, self.num_columns = vectors.shape

    def take(self, items: np.ndarray) -> np.ndarray | csr_matrix:
        """The vectors of ``items [n]``: ``[n, F]``, dense or CSR as they came."""
        if isinstance(self._vectors, Tensor):
            return self._vectors[torch.from_numpy(items)].to(torch.double).div_(self.scale).numpy()
        taken = self._vectors[items]
        taken.data = taken.data.astype(np.double)
        taken.data /= self.scale
        return taken


def _as_csr(vectors: Tensor) -> csr_matrix:
    values = vectors.values()
    values = values if values.dtype in (torch.float, torch.double) else values.float()
    parts = values.numpy(), vectors.col_indices().numpy(), vectors.crow_indices().numpy()
    matrix = csr_matrix(parts, shape=tuple(vectors.shape))
    try:
        matrix.check_format(full_check=True)  # PyTorch does not look at the indices, and SciPy writes where they point
    except ValueError as error:
        raise ValueError(expected("vectors", "a valid sparse CSR tensor", str(error))) from error
    return matrix


def _first_wrong(vectors: Tensor) -> tuple[float, str]:
    """The first NaN or infinite value and where it is."""
    if vectors.layout == torch.sparse_csr:
        at = int((~vectors.values().isfinite()).nonzero()[0])
        return float(vectors.values()[at]), f"see row {int((vectors.crow_indices() <= at).sum()) - 1}"
    row, column = (~vectors.isfinite()).nonzero()[0].tolist()
    return float(vectors[row, column]), f"see row {row}"
