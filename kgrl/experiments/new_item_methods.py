"""The rows of the table ``new-items``: who can tell anything of an item that nobody has rated.

Each row that uses the KG stands beside the same row with the KG's tails exchanged, and without a KG. All of KGQR's have
the same options, and those that start from a prior a lower learning rate, as a higher one forgets the start. KGQR's
candidates are all items that may be shown, as there are few. Where a baseline's own paper would have vectors from
ratings, which a new item has none of, it gets the KG's (TransE), and is named so.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from kgrl.agents.dqn_r import DQNR
from kgrl.agents.fixed_list import FixedList
from kgrl.agents.kg_profile import KGProfile
from kgrl.agents.kgqr import KGQR
from kgrl.agents.linear_gaussian import LinearGaussian
from kgrl.agents.linear_ucb import LinearUCB
from kgrl.experiments.method import Method, register
from kgrl.experiments.methods import Q_TRAINING, with_ones
from kgrl.experiments.setting import TASTE, Setting

NAMES = {"real": "", "shuffled": " (shuffled KG)", "none": " (no KG)"}
"""What a row of a control is called, behind the name."""
TRAINING = Q_TRAINING | {"evaluate_every": 4_096}
OPTIONS: dict[str, Any] = {
    "variant": "KGQR-CS", "gamma": 0.0, "epsilon": 0.2, "batch_size": 256, "gradient_steps": 32, "state_channels": 16,
    "hidden_channels": 32, "weight_decay": 1e-4, "taste_channels": TASTE, "streak_state": False}


def new_item_kgqr(control: str, prior: bool = False, own: bool = True, **fixed: Any) -> Callable[..., nn.Module]:
    """KGQR on a KG or its control; ``prior``: from what the training users' ratings tell of items through that KG."""

    def made(setting: Setting, seed: int, **options: Any) -> nn.Module:
        embedding = None if control == "none" else setting.entities_of(control)
        start = {"tastes": setting.prior(control, own=own), "lr": 1e-3} if prior else {}
        return KGQR(setting.kg_of(control), embedding=embedding, seed=seed, horizon=setting.horizon,
                    **{**OPTIONS, **start, **fixed, **options})

    return made


def vectors(setting: Setting, control: str = "real") -> Any:
    """``[N, 50]``, the items' of TransE."""
    return setting.entities_of(control)[: setting.kg.num_items]


def prior_alone(control: str, setting: Setting, seed: int, completeness: bool = False) -> LinearGaussian:
    """What is expected of items through the KG or its control, and of the user by her feedback: nothing is learned."""
    return LinearGaussian(setting.prior(control, completeness=completeness))


def list_by_kg(control: str, setting: Setting, seed: int) -> FixedList:
    """The same list for all: the items of the highest expected feedback first."""
    return FixedList(setting.prior(control).expected.argsort(descending=True, stable=True))


for control, name in NAMES.items():
    if control != "none":  # without a KG all new items are alike to a prior: what it picks is Random's
        register(Method(f"KG prior{name}", partial(prior_alone, control), needs=("kg",)))
        register(Method(f"Fixed list by KG{name}", partial(list_by_kg, control), needs=("kg",)))
    register(Method(f"KGQR, new items{name}", new_item_kgqr(control), training=TRAINING, needs=("kg",)))
    register(Method(f"KGQR with prior{name}", new_item_kgqr(control, prior=True), training=TRAINING, needs=("kg",)))
    register(Method(f"KGQR with prior (cross-fitted){name}", new_item_kgqr(control, prior=True, own=False),
                    training=TRAINING, needs=("kg",)))
register(Method("KG prior (with completeness)", partial(prior_alone, "real", completeness=True), needs=("kg",)))
register(Method("KG prior (with completeness) (shuffled KG)", partial(prior_alone, "shuffled", completeness=True),
                needs=("kg",)))
register(Method("KGQR with prior (γ = 0.3)", new_item_kgqr("real", prior=True, gamma=0.3), training=TRAINING,
                needs=("kg",)))
register(Method("KGQR with prior (relational)", new_item_kgqr("real", prior=True, aggregator="relational"),
                training=TRAINING, needs=("kg",)))
register(Method("DQN-R (KG vectors)", lambda setting, seed: DQNR(
    vectors(setting), seed=seed, horizon=setting.horizon, **{k: v for k, v in OPTIONS.items() if k != "variant"}),
    training=TRAINING, needs=("kg",)))
register(Method("LinearUCB (KG vectors)", lambda setting, seed: LinearUCB(with_ones(vectors(setting))), needs=("kg",)))


def profile(control: str, setting: Setting, seed: int) -> KGProfile:
    """By the entities of what a user liked so far; where she has no past, by what the KG tells of items at first."""
    return KGProfile.from_data(setting.kg_of(control), setting.data, setting.train, old=setting.old)


for control in ("real", "shuffled"):
    register(Method(f"KG profile{NAMES[control]}", partial(profile, control), needs=("kg",)))
