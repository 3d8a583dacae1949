"""The options of ``TPGR``, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from kgrl.agents.state.recurrent import STATES
from kgrl.options import LARGEST, at_least, between, flag, one_of, sizes_of
from kgrl.parts import takes, warn_unused

PRESETS: dict[str, dict[str, Any]] = {
    "default": {"baseline": True, "standardise": True, "entropy": 0.01, "minibatches": 4},
    "paper": {"baseline": False, "standardise": False, "entropy": 0.0, "minibatches": 1},
}
"""What an option is by preset, where it is not given. ``"paper"`` is REINFORCE as printed: no baseline, returns as they
are, no entropy bonus, one update a batch with all of its parameters, and in :meth:`kgrl.agents.TPGR.from_data` no taste
state."""


def tpgr_options(
    preset: str, item_channels: int, state_channels: int, sharpness: float, bins: int, hidden: Sequence[int],
    horizon: int, eta: float, gamma: float, lr: float, weight_decay: float, entropy: float | None, pretrain_lr: float,
    frozen: bool | None, baseline: bool | None, standardise: bool | None, clip: float | None, epochs: int,
    minibatches: int | None, seed: int, *, remembers: bool,
) -> dict[str, Any]:
    """Those of :class:`kgrl.agents.TPGR`, by name; what is ``None`` is the preset's.

    Args:
        remembers: whether the session is remembered by more than the recurrent state, which may then stay as it is.

    Raises:
        ValueError: one outside its range.
    """
    given = {"baseline": baseline, "standardise": standardise, "entropy": entropy, "minibatches": minibatches}
    chosen = PRESETS[one_of("preset", preset, PRESETS)]
    chosen = chosen | {name: value for name, value in given.items() if value is not None}
    return {
        "preset": preset, "item_channels": at_least("item_channels", item_channels, 1),
        "state_channels": at_least("state_channels", state_channels, 1),
        "sharpness": between("sharpness", sharpness, 0, float("inf")), "bins": at_least("bins", bins, 1),
        "hidden": sizes_of("hidden", hidden), "horizon": at_least("horizon", horizon, 1),
        "eta": between("eta", eta, 0, LARGEST / horizon), "gamma": between("gamma", gamma, 0, 1),
        "lr": between("lr", lr, 0, 1), "weight_decay": between("weight_decay", weight_decay, 0, 1),
        "entropy": between("entropy", chosen["entropy"], 0, float("inf")),
        "pretrain_lr": between("pretrain_lr", pretrain_lr, 0, 1),
        "frozen": remembers and preset != "paper" if frozen is None else flag("frozen", frozen),
        "baseline": flag("baseline", chosen["baseline"]), "standardise": flag("standardise", chosen["standardise"]),
        "clip": None if clip is None else between("clip", clip, 0, 1),
        "epochs": at_least("epochs", epochs, 1), "minibatches": at_least("minibatches", chosen["minibatches"], 1),
        "seed": at_least("seed", seed, 0),
    }


def warn_unused_parts(
    owner: type, state: Any, aggregator: Any, embedding: Tensor | None, options: Mapping[str, Any]
) -> None:
    """Warns of options of ``TPGR`` that have no effect beside the others.

    Args:
        owner: ``TPGR``.
        state, aggregator, embedding: its options of these names, as they were given.
        options: and the others, with ``kg`` and ``tastes``.
    """
    for option, name in (("channels", "state_channels"), ("bins", "bins")):
        if not takes(state, STATES, option):
            warn_unused(owner, "beside a `state` that is made without it", **{name: options[name]})
    if options["kg"] is None:
        warn_unused(owner, "without `kg`", aggregator=aggregator, aggregator_kwargs=options["aggregator_kwargs"])
        if embedding is not None and embedding.size(1) != options["item_channels"]:
            warn_unused(owner, "beside an `embedding` without `kg`", item_channels=options["item_channels"])
    if options["tastes"] is None:
        warn_unused(owner, "without `tastes`", sharpness=options["sharpness"])
