"""``TasteTerms``: a linear-Gaussian model of feedback, and a taste inferred in it."""

from __future__ import annotations

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


def require_numbers(name: str, parts: Iterable[Tensor], noise: Tensor) -> None:
    """Refuses terms that are not finite, or of a noise of 0 or below."""
    if not all(bool(part.isfinite().all()) for part in parts):
        raise ValueError(expected(name, "finite", "NaN or infinity"))
    if not bool((noise > 0).all()):
        raise ValueError(expected(name, "of noise above 0", float(noise.min())))


def solved(matrix: Tensor, right: Tensor, loading: Tensor) -> Tensor:
    """:func:`torch.linalg.solve` of a matrix made of the items' ``loading``.

    Raises:
        ValueError: it cannot be solved, which items of long vectors can bring about.
    """
    try:
        return torch.linalg.solve(matrix, right)
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise ValueError(expected(
            "the items' loadings", f"small enough beside their noise to infer a taste in {matrix.dtype}",
            f"up to {float(loading.detach().abs().max()):.3g}",
            "standardise the vectors that the items were given (`vectors` or `embedding`): subtract each column's mean "
            "and divide by its deviation")) from error


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
        require_numbers(name, self, self.noise)
        return self

    @full_precision
    def infer(self, sequences: Tensor, feedback: Tensor) -> Tensor:
        r"""``[B, k]``, :math:`\mathbb E[\mathbf p]` after whole sequences; their order does not matter.

        Args:
            sequences: ``[B, L]``, item ids; −1, anywhere, is skipped.
            feedback: ``[B, L]``, how each was received; whatever stands at a −1, NaN too, does not matter.

        Raises:
            ValueError: feedback of another shape, or loadings too large beside the noise for the precision.
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
        return solved(precision, (loading.mT @ surprise.unsqueeze(2)).squeeze(2), terms.loading).to(given)

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
