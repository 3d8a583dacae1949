"""``TasteTerms``: a linear-Gaussian model of feedback, and a taste inferred in it; ``SparseTasteTerms``: the dual."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kgrl.objects import shaped
from kgrl.options import a_tensor, expected, real
from kgrl.seeding import full_precision


class Belief(NamedTuple):
    """What is believed of B tastes: their ``mean [B, k]`` and ``covariance [B, k, k]``."""

    mean: Tensor
    covariance: Tensor


def _require_numbers(name: str, parts: Iterable[Tensor], noise: Tensor) -> None:
    """Refuses terms that are not finite, or of a noise of 0 or below."""
    if not all(bool(part.isfinite().all()) for part in parts):
        raise ValueError(expected(name, "finite", "NaN or infinity"))
    if not bool((noise > 0).all()):
        raise ValueError(expected(name, "of noise above 0", float(noise.min())))


class TasteTerms(NamedTuple):
    r"""A linear-Gaussian model of feedback, item by item, and the exact inference of a user's taste in it.

    .. math::
        f_j = \mu_j + \mathbf w_j^\top \mathbf p + \varepsilon_j, \qquad
        \mathbf p \sim \mathcal N(0, \mathbf I),\ \varepsilon_j \sim \mathcal N(0, \sigma_j^2)

    Args:
        expected: μ, ``[N]``, feedback from a user of average taste.
        loading: **w**, ``[N, k]``.
        noise: σ², ``[N]``.
    """

    expected: Tensor
    loading: Tensor
    noise: Tensor

    def checked(self, name: str) -> TasteTerms:
        """Itself, if it can be one; ``name`` is what it is called in the error.

        Raises:
            TypeError: a part is no tensor.
            ValueError: parts that do not fit together, are not finite, not real, or a noise of 0 or below.
        """
        shapes = [list(real(f"{name}.{field}", part).shape) for field, part in self._asdict().items()]
        if self.loading.dim() != 2 or not self.loading.numel() or not shapes[0] == shapes[2] == shapes[1][:1] != [0]:
            raise ValueError(expected(name, "expected [N], loading [N, k] and noise [N], N and k > 0", shapes))
        _require_numbers(name, self, self.noise)
        return self

    @full_precision
    def infer(self, sequences: Tensor, feedback: Tensor) -> Tensor:
        r"""``[B, k]``, :math:`\mathbb E[\mathbf p]` after whole sequences; their order does not matter.

        Args:
            sequences: ``[B, L]``, item ids; −1, anywhere, is skipped.
            feedback: ``[B, L]``, how each was received; whatever stands at a −1, NaN too, does not matter.

        Raises:
            ValueError: feedback of another shape.
        """
        ids, present = shaped("sequences", sequences, None, None, whole=True).clamp(min=0), sequences >= 0
        given, kind = torch.promote_types(self.loading.dtype, self.noise.dtype), self._kind
        terms = TasteTerms(*(part.to(kind) for part in self))
        feedback = _received(feedback, sequences, "sequences").to(kind)
        # embedding, as its gradient adds in a fixed order, which that of x[index] does not
        deviation = F.embedding(ids, terms.noise.rsqrt().unsqueeze(1)) * present.unsqueeze(2)
        loading = F.embedding(ids, terms.loading) * deviation
        surprise = (feedback - F.embedding(ids, terms.expected.unsqueeze(1)).squeeze(2)) * deviation.squeeze(2)
        prior = torch.eye(loading.size(2), device=ids.device, dtype=kind)
        precision = torch.baddbmm(prior, loading.mT, loading)
        return torch.linalg.solve(precision, (loading.mT @ surprise.unsqueeze(2)).squeeze(2)).to(given)

    @property
    def _kind(self) -> torch.dtype:
        """What the inference is computed in: single precision at least, as its systems can be near singular."""
        return torch.promote_types(torch.promote_types(self.loading.dtype, self.noise.dtype), torch.float)

    def prior(self, num_sessions: int) -> Belief:
        """The belief before any feedback."""
        size = self.loading.size(1)
        prior = torch.eye(size, device=self.loading.device, dtype=self._kind)
        return Belief(prior.new_zeros(num_sessions, size), prior.expand(num_sessions, -1, -1))

    @full_precision
    def update(self, belief: Belief, items: Tensor, feedback: Tensor) -> Belief:
        r"""One feedback later: a rank-one update, so that a session of T steps costs T·k² rather than T²·k².

        Args:
            belief: of B sessions.
            items: ``[B]``, what was shown; −1 leaves the belief as it is.
            feedback: ``[B]``; whatever stands at a −1, NaN too, does not matter.

        Raises:
            ValueError: feedback of another shape.
        """
        ids, kind = items.clamp(min=0), self._kind
        feedback = _received(feedback, items, "items").to(kind)
        loading = F.embedding(ids, self.loading).to(kind) * (items >= 0).unsqueeze(1)
        spread = torch.bmm(belief.covariance, loading.unsqueeze(2))
        rest = self.noise.index_select(0, ids).to(kind) + (loading * spread.squeeze(2)).sum(1)
        gain = spread.squeeze(2) / rest.unsqueeze(1)
        surprise = feedback - self.expected.index_select(0, ids) - (loading * belief.mean).sum(1)
        return Belief(
            torch.addcmul(belief.mean, gain, surprise.unsqueeze(1)),
            torch.addcmul(belief.covariance, gain.unsqueeze(2), spread.mT, value=-1),
        )

    def predict(self, mean: Tensor, index: Tensor, batch: Tensor) -> Tensor:
        """``[K]``, the feedback expected of K (session, item) pairs.

        Args:
            mean: ``[B, k]``, of tastes.
            index: ``[K]``, each pair's item.
            batch: ``[K]``, each pair's session, a row of ``mean``.
        """
        shaped("mean", mean, None, self.loading.size(1))
        shaped("batch", batch, shaped("index", index, None, whole=True).numel(), whole=True)
        personal = (F.embedding(index, self.loading) * F.embedding(batch, mean)).sum(1)
        return personal + F.embedding(index, self.expected.unsqueeze(1)).squeeze(1)


def _received(feedback: Tensor, items: Tensor, name: str) -> Tensor:
    """``feedback``, and 0 where there is no item: NaN there would survive being multiplied by a mask."""
    if a_tensor("feedback", feedback).shape != items.shape:
        raise ValueError(expected("feedback", f"of the shape of `{name}`, {list(items.shape)}", list(feedback.shape)))
    return feedback.masked_fill(items < 0, 0.0)


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
        _require_numbers(name, (self.expected, self.loading.values(), self.noise), self.noise)
        return self

    def infer(self, sequences: Tensor, feedback: Tensor) -> Tensor:
        r"""``[B, k]``, :math:`\mathbb E[\mathbf p]` after whole sequences; their order does not matter.

        Args:
            sequences: ``[B, L]``, item ids; −1, anywhere, is skipped.
            feedback: ``[B, L]``; whatever stands at a −1, NaN too, does not matter.

        Raises:
            ValueError: feedback of another shape.
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
        dual = torch.linalg.solve(covariance, surprise.double().unsqueeze(2)).to(value.dtype).flatten()
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
