"""``SparseTasteTerms``: the linear-Gaussian model of feedback of many, sparse loadings, solved by its dual."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kgrl.nn.state.taste import require_numbers, solved
from kgrl.options import expected, real


class SparseTasteTerms(NamedTuple):
    r"""The linear-Gaussian model of :class:`kgrl.nn.TasteTerms`, whose k is large and whose loadings are sparse.

    .. math::
        f_j = \mu_j + \mathbf w_j^\top \mathbf p + \varepsilon_j, \qquad
        \mathbf p \sim \mathcal N(0, \mathbf I),\ \varepsilon_j \sim \mathcal N(0, \sigma_j^2)

        \mathbb E[\mathbf p \mid f_1 \dots f_t] =
        \mathbf W^\top \bigl(\mathbf W \mathbf W^\top + \boldsymbol\Sigma\bigr)^{-1} (\mathbf f - \boldsymbol\mu)

    with **W** ``[t, k]`` the loadings of what was shown and **Σ** the diagonal matrix of its noise: Gaussian-process
    regression. t items cost t³, whatever k is, so it is meant for sessions of a few hundred items at most.

    Args:
        expected: μ, ``[N]``.
        loading: **w**, sparse CSR ``[N, k]``.
        noise: σ², ``[N]``.
    """

    expected: Tensor
    loading: Tensor
    noise: Tensor

    def checked(self, name: str) -> SparseTasteTerms:
        """Itself, if it can be one; ``name`` is what it is called in the error.

        Raises:
            TypeError: a part is no tensor.
            ValueError: another layout, parts that do not fit together, are not finite, not real, or a noise of 0 or
                below.
        """
        shapes = [list(real(f"{name}.{field}", part).shape) for field, part in self._asdict().items()]
        if self.loading.layout != torch.sparse_csr or not shapes[0] == shapes[2] == shapes[1][:1] != [0]:
            what = "expected [N], loading [N, k] in the layout torch.sparse_csr and noise [N], N > 0"
            raise ValueError(expected(name, what, f"{shapes}, {self.loading.layout}"))
        require_numbers(name, (self.expected, self.loading.values(), self.noise), self.noise)
        return self

    def infer(self, sequences: Tensor, feedback: Tensor) -> Tensor:
        r"""``[B, k]``, :math:`\mathbb E[\mathbf p]` after whole sequences; their order does not matter.

        Args:
            sequences: ``[B, L]``, item ids; −1, anywhere, is skipped.
            feedback: ``[B, L]``; whatever stands at a −1, NaN too, does not matter.

        Raises:
            ValueError: feedback of another shape, or loadings too large beside the noise.
        """
        if feedback.shape != sequences.shape:
            raise ValueError(expected("feedback", f"of shape {list(sequences.shape)}", list(feedback.shape)))
        (num_sessions, steps), size = sequences.shape, self.loading.size(1)
        ids, present = sequences.clamp(min=0), sequences >= 0
        surprise = (feedback.to(self.expected.dtype) - self.expected[ids]).masked_fill(~present, 0)
        place, column, value = self._entries(sequences)
        column = column + place.div(max(steps, 1), rounding_mode="floor") * size  # each session's are its own
        # in double: of items with the same entities and little noise, single precision makes a singular matrix
        covariance = _products(place, column, value, num_sessions, steps).double()
        covariance.diagonal(dim1=1, dim2=2).add_(self.noise[ids])  # at a −1 there is nothing else, and no surprise
        dual = solved(covariance, surprise.double().unsqueeze(2), value).to(value.dtype).flatten()
        mean = value.new_zeros(num_sessions * size)
        return mean.index_add_(0, column, value * dual[place]).view(num_sessions, size)

    def predict(self, mean: Tensor) -> Tensor:
        """``[B, N]``, the feedback expected of every item, given tastes ``mean [B, k]``."""
        return (self.loading @ mean.T).T + self.expected

    def of(self, items: Tensor) -> SparseTasteTerms:
        """The model of ``items [n]`` alone, in their order."""
        place, column, value = self._entries(items)
        start = F.pad(torch.bincount(place, minlength=len(items)).cumsum(0), (1, 0))
        loading = sparse_rows(start, column, value, self.loading.size(1))
        return SparseTasteTerms(self.expected[items], loading, self.noise[items])

    def _entries(self, sequences: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(position in the flattened ``sequences``, column, value) of each entry of the loadings of what is there."""
        start, columns, values = self.loading.crow_indices(), self.loading.col_indices(), self.loading.values()
        position = (sequences.flatten() >= 0).nonzero().squeeze(1)
        items = sequences.flatten()[position]
        count = start[items + 1] - start[items]
        place = torch.repeat_interleave(position, count)
        at = torch.repeat_interleave(start[items] - (count.cumsum(0) - count), count)
        at = at + torch.arange(len(place), device=place.device)
        return place, columns[at], values[at]


def sparse_rows(start: Tensor, column: Tensor, value: Tensor, num_columns: int) -> Tensor:
    """A matrix in the layout torch.sparse_csr, without PyTorch's warning that it is in beta."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(start, column, value, (len(start) - 1, num_columns), device=value.device,
                                       check_invariants=False)


def _products(place: Tensor, column: Tensor, value: Tensor, num_sessions: int, steps: int) -> Tensor:
    """``[B, L, L]``, the products of the rows of each session with one another."""
    own, column = column.unique(return_inverse=True)
    shape = (num_sessions * steps, len(own))
    rows = torch.sparse_coo_tensor(torch.stack([place, column]), value, shape, device=value.device,
                                   check_invariants=False)
    products = torch.sparse.mm(rows, rows.T).coalesce()
    left, right = products.indices()
    dense = value.new_zeros(num_sessions * steps * steps)
    dense[left * steps + right % max(steps, 1)] = products.values()
    return dense.view(num_sessions, steps, steps)
