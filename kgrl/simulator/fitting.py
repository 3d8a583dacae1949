"""``fit_factors``: the factorization that a predicted world is, with the choice of its options on held-out ratings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import ceil

import torch
from torch import Tensor

from kgrl.factorization import Factors, training_epochs
from kgrl.options import expected, one_of
from kgrl.rating_scale import NormalisedRatings
from kgrl.seeding import generator_for

WEIGHT_DECAYS = (1e-5, 1e-4, 1e-3)
"""What the held-out choice tries: below, 20 dimensions learn the noise by heart; above, no personal taste is left.

Decades, as a finer grid's neighbours differ by less than another draw of the held-out ratings does.
"""
MAX_EPOCHS, PATIENCE = 200, 5


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


def fit_factors(
    ratings: NormalisedRatings, dim: int, seed: int, preset: str | None, holdout: float, weight_decays: Sequence[float],
    device: torch.device,
) -> tuple[Factors, Fitting]:
    """The factors of :meth:`kgrl.simulator.PredictedFeedback.fit`, and how they were fitted; the same arguments.

    Raises:
        ValueError: an unknown preset, weight decays beside one, or, without one, no weight decay, ``holdout=0`` or too
            few ratings to hold one out.
    """
    kept, held = _split(ratings, holdout, seed, device)
    if preset is not None and tuple(weight_decays) != WEIGHT_DECAYS:
        what = f"left out with preset={preset!r}, which has its own"
        raise ValueError(expected("weight_decays", what, weight_decays))
    chosen = None if preset is None else PRESETS[one_of("preset", preset, PRESETS)]
    if chosen is None:
        _require_choice(len(ratings.values), len(held.values), holdout, weight_decays)
        chosen = min((_early_stopped(kept, held, dim, seed, decay) for decay in weight_decays), key=_heldout_error)
    elif len(held.values):
        errors = islice(_heldout_errors(kept, held, chosen, dim, seed), chosen.epochs - 1, None)
        chosen = _reported(chosen, kept, held, chosen.epochs, next(errors))
    factors = _factors(ratings, chosen, dim, seed, device)
    epochs = training_epochs(
        factors, ratings.users, ratings.items, ratings.values, weight_decay=chosen.weight_decay, seed=seed
    )
    for _ in islice(epochs, chosen.epochs):
        pass
    return factors, chosen


def _require_choice(num_ratings: int, num_held: int, holdout: float, weight_decays: Sequence[float]) -> None:
    """Refuses a choice among nothing, or by nothing."""
    hint = f"or choose a preset: {', '.join(sorted(PRESETS))}"
    if not weight_decays:
        raise ValueError(expected("weight_decays", "at least one without a preset", weight_decays, hint))
    if not holdout:
        raise ValueError(expected("holdout", "above 0 without a preset, to choose by", holdout, hint))
    if not num_held:
        raise ValueError(expected("data", f"a data set of at least {ceil(1 / holdout)} ratings, of which `holdout`, "
                                  f"{holdout:g}, is one", num_ratings, hint))


def _split(
    ratings: NormalisedRatings, holdout: float, seed: int, device: torch.device
) -> tuple[NormalisedRatings, NormalisedRatings]:
    """(kept, held out), on ``device``."""
    order = torch.randperm(len(ratings.values), generator=generator_for("cpu", seed), device="cpu")
    cut = int(holdout * len(order))
    held, kept = order[:cut], order[cut:]
    return tuple(  # type: ignore[return-value]
        ratings._replace(
            users=ratings.users[part].to(device), items=ratings.items[part].to(device),
            values=ratings.values[part].to(device),
        )
        for part in (kept, held)
    )


def _factors(ratings: NormalisedRatings, fitting: Fitting, dim: int, seed: int, device: torch.device) -> Factors:
    return Factors(ratings.num_users, ratings.num_items, dim, fitting.biases, seed).to(device)


def _heldout_errors(
    kept: NormalisedRatings, held: NormalisedRatings, fitting: Fitting, dim: int, seed: int
) -> Iterator[float]:
    """Fits on ``kept`` for as long as the caller iterates; the error on ``held`` after each epoch."""
    factors = _factors(kept, fitting, dim, seed, kept.values.device)
    epochs = training_epochs(
        factors, kept.users, kept.items, kept.values, weight_decay=fitting.weight_decay, seed=seed
    )
    for _ in epochs:
        with torch.no_grad():  # left before the yield: the caller must not run without gradients
            error = _rmse(factors(held.users, held.items).clamp_(-1, 1), held.values)
        yield error


def _early_stopped(
    kept: NormalisedRatings, held: NormalisedRatings, dim: int, seed: int, weight_decay: float
) -> Fitting:
    """The number of epochs with the smallest held-out error, given up after a while without a smaller one."""
    fitting = Fitting(biases=True, weight_decay=weight_decay, epochs=0)
    best, at = float("inf"), 0
    for epoch, error in enumerate(islice(_heldout_errors(kept, held, fitting, dim, seed), MAX_EPOCHS), start=1):
        if error < best - 1e-4:
            best, at = error, epoch
        elif epoch - at >= PATIENCE:
            break
    return _reported(fitting, kept, held, at, best)


def _reported(
    fitting: Fitting, kept: NormalisedRatings, held: NormalisedRatings, epochs: int, error: float
) -> Fitting:
    constant = _rmse(kept.values.mean(), held.values)
    return Fitting(fitting.biases, fitting.weight_decay, epochs, heldout_rmse=error, constant_rmse=constant)


def _heldout_error(fitting: Fitting) -> float:
    return float("inf") if fitting.heldout_rmse is None else fitting.heldout_rmse


def _rmse(predicted: Tensor, values: Tensor) -> float:
    return float((predicted - values).square().mean().sqrt())
