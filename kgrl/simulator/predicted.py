"""``PredictedFeedback``: every (user, item) has a feedback, predicted by matrix factorization."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.factorization import Factors
from kgrl.objects import a_device, of_class, shaped
from kgrl.options import at_least, between, dense_vectors, expected, representable, single
from kgrl.rating_scale import normalised_ratings
from kgrl.seeding import a_seed, full_precision
from kgrl.simulator.bounds import SMALLEST, taste_share_of_some
from kgrl.simulator.feedback import FeedbackModel
from kgrl.simulator.fitting import WEIGHT_DECAYS, Fitting, fit_factors

LOOKED_AT, LIST = 128, 32


class PredictedFeedback(FeedbackModel):
    r"""The world of KGQR (Zhou et al., 2020, section 5.1.2): feedback is the predicted rating.

    .. math:: r_{ij} = \mathrm{clamp}(p_i^\top q_j + b_i + b_j,\ -1,\ 1)

    Paper is silent: on biases, loss, regularisation and stopping; see :meth:`fit`.

    Args:
        factors: the factorization; from here on it is the world and does not learn.
        threshold: feedback above it is positive; not positive is negative.
        fitting: how ``factors`` were fitted, where they were.

    Raises:
        ValueError: a threshold outside [−1, 1], or factors that are not finite.
    """

    def __init__(self, factors: Factors, threshold: float = 0.0, fitting: Fitting | None = None) -> None:
        of_class("factors", factors, Factors, "PredictedFeedback.from_embeddings takes tensors")
        super().__init__(
            len(factors.user), len(factors.item), between("threshold", threshold, -1, 1), factors.user.device)
        for name, values in factors.named_parameters():
            if not representable(values):
                raise ValueError(expected(f"factors.{name}", "finite, and its products, too", "NaN or infinity"))
        self.factors = factors.requires_grad_(False)
        self.fitting = fitting

    @classmethod
    def from_embeddings(
        cls, user: Tensor, item: Tensor, user_bias: Tensor | None = None, item_bias: Tensor | None = None,
        threshold: float = 0.0,
    ) -> PredictedFeedback:
        """A world of one's own: feedback is clamp(``user[i]`` · ``item[j]`` + biases, −1, 1).

        Args:
            user: ``[U, d]``.
            item: ``[N, d]``.
            user_bias: ``[U]``, default 0.
            item_bias: ``[N]``, default 0.
            threshold: feedback above it is positive.

        Raises:
            TypeError: one of them is no tensor.
            ValueError: they do not fit together, are not real or not finite, or a threshold outside [−1, 1].
        """
        if dense_vectors("user", user).size(1) != dense_vectors("item", item).size(1):
            raise ValueError(expected("item", f"[N, d] with the d of user {list(user.shape)}", list(item.shape)))
        for name, bias, of in (("user_bias", user_bias, user), ("item_bias", item_bias, item)):
            if bias is not None:
                shaped(name, bias, len(of))
        factors = Factors(len(user), len(item), user.size(1)).to(user.device)
        values = {"user": user, "item": item, "user_bias": user_bias, "item_bias": item_bias}
        state = {name: single(name, value) for name, value in values.items() if value is not None}
        factors.load_state_dict(state, strict=False)  # biases that are not given stay 0
        return cls(factors, threshold)

    @classmethod
    @full_precision
    def fit(
        cls, data: HeteroData, dim: int = 20, seed: int = 0, preset: str | None = None, holdout: float = 0.1,
        weight_decays: tuple[float, ...] = WEIGHT_DECAYS, device: torch.device | str = "cpu",
    ) -> PredictedFeedback:
        """Fits the world to logged ratings, normalised to [−1, 1] by ``data.rating_scale``.

        Squared error, Adam (lr 0.01), batches of 8,192, embeddings from N(0, 0.1²), biases from 0, on the ratings of
        all users: the simulator is the world, and agents see only what they are shown.

        - ``preset="kgqr"``, the paper's world: biases, weight decay 1e-5, 30 epochs. On Book-Crossing it has the
          paper's 4,000 positives a user, and is nearly all popularity.
        - ``preset="taste"``: the same without biases, so that what a user likes is mostly personal.
        - ``preset=None``, for one's own data: biases; weight decay and number of epochs are those of the smallest error
          on held-out ratings (early stopping with a patience of 5), then fitted anew on all ratings.

        Args:
            data: holds ``data['user', 'rates', 'item']`` with ``rating``, and ``data.rating_scale``.
            dim: length of the embeddings.
            seed: of initialisation, order and held-out ratings.
            preset: ``"kgqr"``, ``"taste"`` or ``None``.
            holdout: share of the ratings held out to report the error (:attr:`fitting`) and to choose by. 0 with a
                preset saves half the time and reports none; the world is the same.
            weight_decays: tried with ``preset=None``.
            device: where to fit, and where the result is.

        Warns:
            UserWarning: in this world (nearly) every user likes everything, or nothing; or its taste share is below 1 %
                (lists of 32 items, up to 128 of the users): one list for all is as good as any agent.

        Raises:
            ValueError: an unknown preset, ``holdout`` outside [0, 0.5], or, without a preset, ``holdout=0`` or too few
                ratings to hold one out.
        """
        at_least("dim", dim, 1)
        a_seed("seed", seed)
        target, decays = a_device("device", device), weight_decays
        if not isinstance(decays, tuple | list):
            raise TypeError(expected("weight_decays", "a tuple of numbers", decays))
        for decay in decays:
            between("weight_decays", decay, 0, 1)
        between("holdout", holdout, 0, 0.5)
        ratings = normalised_ratings(data)
        factors, fitting = fit_factors(ratings, dim, seed, preset, holdout, decays, target)
        world = cls(factors, ratings.threshold, fitting)
        _warn_if_nothing_to_learn(world)
        return world

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        return self.factors(users, items).clamp_(-1, 1)

    def rows(self, users: Tensor) -> Tensor:
        return self.factors.rows(users).clamp_(-1, 1)

    def checked_rows(self, users: Tensor) -> Tensor:
        """:meth:`rows`: all that they are made of was looked at once, and what comes of it is clamped."""
        return self.rows(users)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold:g}, fitting={self.fitting}"


@torch.no_grad()
def _warn_if_nothing_to_learn(world: PredictedFeedback) -> None:
    """Looks at some users' feedback for everything; see :meth:`PredictedFeedback.fit`."""
    size = min(LIST, -(-world.num_items // 4))  # a list of all items would leave no choice
    users = torch.arange(0, world.num_users, -(-world.num_users // LOOKED_AT), device=world.factors.user.device)
    shares = torch.cat([(world.rows(part) > world.threshold).float().mean(1) for part in world.chunks(users)])
    everything, nothing = float(shares.quantile(0.01)) > 0.99, not float(shares.quantile(0.99))
    if everything or nothing:
        liked_items = "nearly every item" if everything else "no item at all"
        warnings.warn(f"PredictedFeedback.fit: in this world users like {liked_items}; do the ratings tell likes from "
                      f"dislikes? The readers' positive_from=… draws unrated items as not liked, rating_scale=… says "
                      f"where liking begins", stacklevel=3)
    elif (taste_share := taste_share_of_some(world, users, users, size)) < SMALLEST:
        warnings.warn(f"PredictedFeedback.fit: the taste share of this world is {taste_share:.1%}: one list for all is "
                      f"as good as any agent; preset='taste' fits without biases, so that more of what a user likes is "
                      f"personal", stacklevel=3)
