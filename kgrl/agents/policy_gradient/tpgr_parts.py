"""What ``TPGR`` is made of: its options, checked, and its tree, vectors and tastes, made of a data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch_geometric.data import Data, HeteroData

from kgrl.agents.shared.warm_start import checked_start
from kgrl.agents.state.recurrent import STATES
from kgrl.graph import checked_graph, knowledge_graph
from kgrl.nn.state.taste import TasteTerms
from kgrl.objects import a_data_set, of_class
from kgrl.options import LARGEST, at_least, between, expected, flag, ids, one_of, sizes_of
from kgrl.parts import takes, warn_unused
from kgrl.pretrain.items import item_vectors
from kgrl.pretrain.tastes import item_tastes
from kgrl.tree.cluster_tree import SPLITS, ClusterTree

PRESETS: dict[str, dict[str, Any]] = {
    "default": {"baseline": True, "standardise": True, "entropy": 0.01, "minibatches": 4},
    "paper": {"baseline": False, "standardise": False, "entropy": 0.0, "minibatches": 1},
}
"""What an option is by preset, where it is not given. ``"paper"`` is REINFORCE as printed: no baseline, returns as they
are, no entropy bonus, one update a batch with all of its parameters, and in :meth:`kgrl.agents.TPGR.from_data` no taste
state."""
TASTE_CHANNELS = 12
"""Length of TPGR's taste state where nothing else is said."""


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


def tpgr_parts(
    data: HeteroData, users: Tensor, tree: Any, state: Any, embedding: Tensor | None,
    tastes: TasteTerms | None, taste_channels: int | None, preset: str, item_channels: int, seed: int,
) -> dict[str, Any]:
    """Arguments of :class:`kgrl.agents.TPGR`; those of :meth:`kgrl.agents.TPGR.from_data`.

    Raises:
        ValueError: see there.
    """
    users = ids("users", users, a_data_set("data", data, "user")["user"].num_nodes)
    items = int(a_data_set("data", data)["item"].num_nodes)
    kg = knowledge_graph(data) if isinstance(state, str) and state.lower() == "kg" else None
    tree = _tree(data, users, tree, items)
    start, count = _tastes(tastes, taste_channels, items, preset)
    if embedding is None and kg is None:
        embedding = item_vectors(data, users, kind="mf", dim=item_channels, seed=seed)
    if start is None and count:
        start = item_tastes(data, users, dim=count)
    return {"tree": tree, "embedding": embedding, "kg": kg, "ids": data["item"].get("raw_id"),
            "state": "gru" if kg is not None else state, "tastes": start}


def _tastes(
    tastes: TasteTerms | None, taste_channels: int | None, items: int, preset: str
) -> tuple[TasteTerms | None, int]:
    """What the taste state goes by, where it is given, and its length.

    Raises:
        ValueError: tastes of another length than was asked for, of other items, that are none, or where there is no
            taste state.
    """
    if tastes is None:
        usual = 0 if preset == "paper" else TASTE_CHANNELS
        return None, usual if taste_channels is None else at_least("taste_channels", taste_channels, 0)
    start, length = checked_start(tastes, taste_channels, items)
    return start, length or 0


def made_tree(
    tree: str | type[ClusterTree] | ClusterTree, vectors: Callable[[], Tensor | None], hint: str = ""
) -> ClusterTree:
    """The tree.

    Args:
        tree: how to cluster, a name among :data:`kgrl.tree.cluster_tree.SPLITS`; a class, made by its
            ``build(vectors)``; or an instance.
        vectors: gives ``[N, F]``, of the items, for a name or a class.
        hint: for the error, what to do where it gives ``None``.

    Raises:
        TypeError: it is none of these.
        ValueError: an unknown name, or no vectors for it.
    """
    by_class = isinstance(tree, type) and issubclass(tree, ClusterTree)
    if not isinstance(tree, str) and not by_class:
        return of_class("tree", tree, ClusterTree, f"a name ({', '.join(SPLITS)}) or a class will do, too")
    method = one_of("tree", tree.lower(), SPLITS) if isinstance(tree, str) else None
    if (found := vectors()) is None:
        raise ValueError(expected("tree", "an instance", tree, hint))
    return ClusterTree.build(found, method=method, seed=0) if method else tree.build(found)  # type: ignore[union-attr]


def tree_over(tree: Any, embedding: Tensor | None, kg: Data | None) -> ClusterTree:
    """The tree of a ``TPGR``; where it is no instance, over its items' embeddings."""
    own = embedding if embedding is None or kg is None else embedding[: int(checked_graph(kg).num_items)]
    return made_tree(tree, lambda: own, "give `embedding`, too, or take TPGR.from_data(data, users)")


def _tree(
    data: HeteroData, users: Tensor, tree: str | type[ClusterTree] | ClusterTree | None, items: int
) -> ClusterTree:
    attached = tree is None and "cluster_path" in data["item"]
    tree = ClusterTree.from_data(data) if attached else made_tree(
        "pca" if tree is None else tree, lambda: item_vectors(data, users, kind="rating"))
    if len(tree) != items:
        raise ValueError(expected("tree", f"over the data set's {items} items", len(tree)))
    return tree
