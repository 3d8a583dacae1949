"""``PredictedFeedback``: every (user, item) has a feedback, predicted by matrix factorization."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.factorization import Factors, training_epochs
from kgrl.objects import a_device, of_class, shaped
from kgrl.options import a_seed, at_least, between, dense_vectors, expected, one_of, representable, single
from kgrl.precision import full_precision
from kgrl.seeding import generator_for
from kgrl.simulator.bounds import SMALLEST, taste_share_of_some
from kgrl.simulator.feedback import FeedbackModel
from kgrl.simulator.ratings import Ratings, normalised_ratings

WEIGHT_DECAYS = (1e-5, 1e-4, 1e-3)
"""What the held-out choice tries: below, 20 dimensions learn the noise by heart; above, no personal taste is left.

Decades, as a finer grid's neighbours differ by less than another draw of the held-out ratings does.
"""

MAX_EPOCHS, PATIENCE = 200, 5
LOOKED_AT, LIST = 128, 32


@dataclass(frozen=True)
class Fitting:
    """How a world was fitted, and how far it is from ratings it has not seen.

    Args:
        biases: whether users and items have biases.
        weight_decay: of Adam.
        epochs: over all ratings.
        heldout_rmse: root mean squared error on the held-out ratings, on the scale [−1, 1], of the same fit without
            them; ``None`` where none were held out.
        constant_rmse: the same of a single constant, the mean of the other ratings: what any fit should beat.
    """

    biases: bool
    weight_decay: float
    epochs: int
    heldout_rmse: float | None = None
    constant_rmse: float | None = None


PRESETS = {
    "kgqr": Fitting(biases=True, weight_decay=1e-5, epochs=30),
    "taste": Fitting(biases=False, weight_decay=1e-5, epochs=30),
}


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
            ValueError: an unknown preset, ``holdout`` outside [0, 0.5], or ``holdout=0`` without a preset.
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
        kept, held = _split(ratings, holdout, seed, target)
        if preset is not None and tuple(decays) != WEIGHT_DECAYS:
            raise ValueError(expected("weight_decays", f"left out with preset={preset!r}, which has its own", decays))
        chosen = None if preset is None else PRESETS[one_of("preset", preset, PRESETS)]
        if chosen is None:
            if not len(held.values) or not weight_decays:
                raise ValueError(expected("holdout", "above 0 without a preset, with `weight_decays` to choose from",
                                          holdout, f"or choose a preset: {', '.join(sorted(PRESETS))}"))
            chosen = min((_early_stopped(kept, held, dim, seed, decay) for decay in weight_decays), key=_heldout_error)
        elif len(held.values):
            errors = islice(_heldout_errors(kept, held, chosen, dim, seed), chosen.epochs - 1, None)
            chosen = _reported(chosen, kept, held, chosen.epochs, next(errors))
        factors = _factors(ratings, chosen, dim, seed, target)
        epochs = training_epochs(
            factors, ratings.users, ratings.items, ratings.values, weight_decay=chosen.weight_decay, seed=seed
        )
        for _ in islice(epochs, chosen.epochs):
            pass
        world = cls(factors, ratings.threshold, chosen)
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


def _split(ratings: Ratings, holdout: float, seed: int, device: torch.device) -> tuple[Ratings, Ratings]:
    """(kept, held out), on ``device``."""
    order = torch.randperm(len(ratings.values), generator=generator_for("cpu", seed))
    cut = int(holdout * len(order))
    held, kept = order[:cut], order[cut:]
    return tuple(  # type: ignore[return-value]
        ratings._replace(
            users=ratings.users[part].to(device), items=ratings.items[part].to(device),
            values=ratings.values[part].to(device),
        )
        for part in (kept, held)
    )


def _factors(ratings: Ratings, fitting: Fitting, dim: int, seed: int, device: torch.device) -> Factors:
    return Factors(ratings.num_users, ratings.num_items, dim, fitting.biases, seed).to(device)


def _heldout_errors(kept: Ratings, held: Ratings, fitting: Fitting, dim: int, seed: int) -> Iterator[float]:
    """Fits on ``kept`` for as long as the caller iterates; the error on ``held`` after each epoch."""
    factors = _factors(kept, fitting, dim, seed, kept.values.device)
    epochs = training_epochs(
        factors, kept.users, kept.items, kept.values, weight_decay=fitting.weight_decay, seed=seed
    )
    for _ in epochs:
        with torch.no_grad():  # left before the yield: the caller must not run without gradients
            error = _rmse(factors(held.users, held.items).clamp_(-1, 1), held.values)
        yield error


def _early_stopped(kept: Ratings, held: Ratings, dim: int, seed: int, weight_decay: float) -> Fitting:
    """The number of epochs with the smallest held-out error, given up after a while without a smaller one."""
    fitting = Fitting(biases=True, weight_decay=weight_decay, epochs=0)
    best, at = float("inf"), 0
    for epoch, error in enumerate(islice(_heldout_errors(kept, held, fitting, dim, seed), MAX_EPOCHS), start=1):
        if error < best - 1e-4:
            best, at = error, epoch
        elif epoch - at >= PATIENCE:
            break
    return _reported(fitting, kept, held, at, best)


def _reported(fitting: Fitting, kept: Ratings, held: Ratings, epochs: int, error: float) -> Fitting:
    constant = _rmse(kept.values.mean(), held.values)
    return Fitting(fitting.biases, fitting.weight_decay, epochs, heldout_rmse=error, constant_rmse=constant)


def _heldout_error(fitting: Fitting) -> float:
    return float("inf") if fitting.heldout_rmse is None else fitting.heldout_rmse


def _rmse(predicted: Tensor, values: Tensor) -> float:
    return float((predicted - values).square().mean().sqrt())
