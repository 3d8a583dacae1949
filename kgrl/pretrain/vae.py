"""``RatingVAE``: a variational auto-encoder of the items' rating vectors."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from kgrl.seeding import fenced, generator_for


class RatingVAE(nn.Module):
    r"""A variational auto-encoder of rating vectors, one dimension a user, 0 where the user did not rate the item.

    From `"Auto-Encoding Variational Bayes" <https://arxiv.org/abs/1312.6114>`_ (Kingma and Welling, 2014; appendices B
    and C.2), with the Gaussian likelihood, the weight β and the denoising of `"Variational Autoencoders for
    Collaborative Filtering" <https://arxiv.org/abs/1802.05814>`_ (Liang et al., 2018; their equation 3 with all
    confidences 1):

    .. math::
        \begin{aligned}
        \mathbf h &= \tanh(\mathbf W_1 \mathbf x / \sqrt U + \mathbf b_1), &
        q(\mathbf z \mid \mathbf x) &= \mathcal N(\boldsymbol\mu, \operatorname{diag} e^{\mathbf s}), \quad
        \boldsymbol\mu = \mathbf W_2 \mathbf h + \mathbf b_2, \; \mathbf s = \mathbf W_3 \mathbf h + \mathbf b_3 \\
        \mathbf f(\mathbf z) &= \mathbf W_5 \tanh(\mathbf W_4 \mathbf z + \mathbf b_4) + \mathbf b_5, &
        p(\mathbf x \mid \mathbf z) &= \mathcal N(\mathbf f(\mathbf z), \mathbf I), \quad
        p(\mathbf z) = \mathcal N(\mathbf 0, \mathbf I)
        \end{aligned}

    .. math:: \mathcal L(\mathbf x) = \tfrac 1 2 \lVert \mathbf x - \mathbf f(\mathbf z) \rVert^2 + \tfrac \beta 2
        \sum_j (e^{s_j} + \mu_j^2 - 1 - s_j), \qquad
        \mathbf z = \boldsymbol\mu + e^{\mathbf s / 2} \odot \boldsymbol\varepsilon

    which at β = 1 is the negative evidence lower bound less the constant ½ U log 2π. In training, q sees a part of x.

    Paper is silent (TPGR's, and so is its authors' code) on layers, likelihood and training. Here every entry counts
    the same, rated or not: what is to be represented is the vector that rating-based trees are built on, zeros and all.
    Liang et al. prefer a multinomial likelihood, but that is for clicks and knows no negative rating. The entries of x
    should have a mean square of 1; :math:`\sqrt U` is then the length of an average vector.

    Args:
        num_users: U.
        dim: length of z.
        hidden: length of both hidden layers.
        seed: of the initial weights.

    Shapes:
        - ``forward(x [B, U])`` → μ ``[B, dim]`` and s ``[B, dim]``.
        - ``loss(x [B, U], seen [B, U], noise [B, dim], kl_weight)`` → ``[B]``: seen is what q gets of x, noise is ε,
          from the standard normal distribution.
    """

    def __init__(self, num_users: int, dim: int, hidden: int = 100, seed: int = 0) -> None:
        super().__init__()
        with fenced(seed):
            self.hidden = nn.Linear(num_users, hidden)
            self.mean = nn.Linear(hidden, dim)
            self.log_variance = nn.Linear(hidden, dim)
            self.decoder = nn.Sequential(nn.Linear(dim, hidden), nn.Tanh(), nn.Linear(hidden, num_users))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(self.hidden(x / math.sqrt(x.shape[1])))
        return self.mean(h), self.log_variance(h)

    def loss(self, x: Tensor, seen: Tensor, noise: Tensor, kl_weight: float = 1.0) -> Tensor:
        mean, log_variance = self(seen)
        z = mean + (log_variance / 2).exp() * noise
        misfit = (x - self.decoder(z)).square().sum(1) / 2
        divergence = (log_variance.exp() + mean.square() - 1 - log_variance).sum(1) / 2
        return misfit + kl_weight * divergence


def vae_vectors(
    rows: Tensor, dim: int, *, epochs: int = 30, weight_decay: float = 1e-4, lr: float = 1e-3, batch_size: int = 100,
    hidden: int = 100, dropout: float = 0.5, seed: int = 0,
) -> Tensor:
    """Trains a :class:`RatingVAE` on all rows and gives every row's mean.

    The rows are divided by the root of their mean square over all N·U entries: the noise of a model that explains
    nothing, so that the likelihood's variance is never too small, and the same for any density of ratings. One batch
    of rows at a time is made dense. As in Liang et al., the weight β of the divergence rises evenly (here to 1, over
    the first half of the epochs), lest z be given up before the decoder has learnt to use it, and the encoder sees but
    a part of the ratings, lest z tell items apart by what is noise.

    Args:
        rows: sparse CSR ``[N, U]``; its device is where the work happens.
        dim: length of the vectors.
        epochs: passes over the rows.
        lr, weight_decay: of Adam (L2 in the gradient, not decoupled). The loss is a sum over users, so an L2 of 1/N is
            the standard normal prior of all weights that Kingma and Welling use.
        batch_size: rows a step.
        hidden: length of both hidden layers.
        dropout: portion of the ratings that the encoder does not see in training.
        seed: of the initial weights, the order of the rows, the dropout and the noise.

    Returns:
        ``[N, dim]``.
    """
    model = RatingVAE(rows.shape[1], dim, hidden, seed).to(rows.device)
    # fused: the other ways write a weight's update in several passes over memory, which takes as long as the gradient
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=weight_decay, fused=True)
    generator = generator_for("cpu", seed)
    values = _standardised(rows)
    for epoch in range(1, epochs + 1):
        keep = torch.rand(len(values), generator=generator, device="cpu", dtype=torch.float).to(rows.device) >= dropout
        seen = values * keep / (1 - dropout)
        for batch in torch.randperm(len(rows), generator=generator, device="cpu").to(rows.device).split(batch_size):
            noise = torch.randn(len(batch), dim, generator=generator, device="cpu", dtype=torch.float).to(rows.device)
            x, partial = _dense(rows, values, batch), _dense(rows, seen, batch)
            loss = model.loss(x, partial, noise, kl_weight=min(1.0, 2 * epoch / epochs)).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        batches = torch.arange(len(rows), device=rows.device).split(batch_size)
        return torch.cat([model(_dense(rows, values, batch))[0] for batch in batches])


def _standardised(rows: Tensor) -> Tensor:
    """The entries of ``rows``, scaled so that all N·U have a mean square of 1; zeros if all are."""
    values = rows.values()
    scale = (values.double().square().sum() / (rows.shape[0] * rows.shape[1])).sqrt().float()
    return values / torch.where(scale > 0, scale, 1)


def _dense(rows: Tensor, values: Tensor, batch: Tensor) -> Tensor:
    """``[B, U]``, the rows ``batch [B]`` of a sparse CSR tensor with other ``values``."""
    start = rows.crow_indices()[batch]
    count = rows.crow_indices()[batch + 1] - start
    owner = torch.arange(len(batch), device=batch.device).repeat_interleave(count)
    place = torch.arange(len(owner), device=batch.device) + (start - (count.cumsum(0) - count))[owner]
    x = values.new_zeros(len(batch), rows.shape[1])
    x[owner, rows.col_indices()[place]] = values[place]
    return x
