"""What ``KGQR`` is made of, its network and its candidates: new ones, or a file's, made ready for the KG at hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from kgrl.agents.q_learning.network import QNetwork
from kgrl.agents.shared.catalogue import Match
from kgrl.agents.shared.item_vectors import tried_layers
from kgrl.agents.shared.warm_start import START, moved_rows, moved_tastes, saved_tastes
from kgrl.agents.state.recurrent import STATES, made_state
from kgrl.candidates.fixed import FixedCandidates
from kgrl.candidates.k_hop import KHopCandidates
from kgrl.graph import without_edges
from kgrl.nn.conv.encoder import KGEncoder
from kgrl.nn.state.taste import TasteTerms
from kgrl.objects import shaped, with_methods
from kgrl.options import dense_vectors, expected
from kgrl.parts import made_part, takes, warn_unused
from kgrl.seeding import generator_for

VARIANTS = ("KGQR", "KGQR-CS", "KGQR-GCN-CS", "KGQR-KG")
"""Table 5: the whole method; without candidate selection; and without convolution; and without any KG."""
CONVOLVES = ("KGQR", "KGQR-CS")
"""The variants with a graph convolution: their embeddings are those of all entities."""
CANDIDATES: dict[str, Callable[..., nn.Module]] = {"k-hop": KHopCandidates, "all": FixedCandidates}
"""``"k-hop"``: KGQR's equations 9 and 10; ``"all"``: every item, no candidate selection, as in Table 5's ablations."""


def kgqr_network(
    kg: Data, embedding: Tensor | None, options: Mapping[str, Any], aggregator: Any, state: Any,
    start: TasteTerms | None,
) -> QNetwork:
    """The online network; embeddings as given, everything else uniformly at random."""
    convolves = options["variant"] in CONVOLVES
    need = int(kg.num_nodes) if convolves else int(kg.num_items)
    dim = options["dim"]
    if embedding is None:
        if options["variant"] == "KGQR-KG":
            hint = "kgrl.pretrain.item_vectors(data, users, kind='mf') makes them"
            raise ValueError(expected("embedding", "the items' vectors from ratings for variant KGQR-KG", None, hint))
        embedding = torch.empty(need, dim, device="cpu", dtype=torch.float).uniform_(-1, 1).mul_(dim**-0.5)
    whole = embedding.shape[:1] == (kg.num_nodes,)  # all entities' vectors will do where items alone have one
    dense_vectors("embedding", embedding, len(embedding) if whole else need,
                  "entity of the KG" if convolves else "item")
    channels = embedding.size(1)
    encoder = None
    if convolves:
        encoder = KGEncoder.from_kg(kg, channels=[channels] + [dim] * options["hops"], hops=options["hops"],
                                    aggregator=aggregator, aggregator_kwargs=options["aggregator_kwargs"])
        tried_layers(encoder, aggregator)
    items = int(kg.num_items), dim if convolves else channels
    recurrent = made_state("state", state, *items, options["state_channels"])
    return QNetwork(
        embedding[:need], items[0], encoder, items[1], options["state_channels"], options["hidden_channels"],
        options["streak_state"], options["taste_channels"], start, options["horizon"], recurrent,
    )


def kgqr_candidates(kg: Data, popular: Tensor | None, options: Mapping[str, Any], candidates: Any) -> nn.Module:
    """The rule that chooses the candidates; ``None``: the variant's.

    Raises:
        TypeError: it has no ``select``, or ``select`` gives no pair of tensors.
        ValueError: an unknown name, one that goes against the variant, or ``select`` gives what are no candidates.
    """
    usual = "k-hop" if options["variant"] == "KGQR" else "all"
    if isinstance(candidates, str) and candidates.lower() == "k-hop" != usual:
        what = f"'all' or left out, as variant={options['variant']!r} has no candidate selection"
        raise ValueError(expected("candidates", what, candidates))
    if not isinstance(candidates, str | type | type(None)):
        with_methods("candidates", candidates, "select", hint="see kgrl.candidates.FixedCandidates")
    rule = made_part(
        "candidates", usual if candidates is None else candidates, CANDIDATES, nn.Module, kg=kg,
        num_items=int(kg.num_items), popular=popular, hops=options["hops"], size=options["num_candidates"],
        backfill=options["backfill"], max_degree=options["max_degree"])
    return rule if isinstance(rule, KHopCandidates | FixedCandidates) else _tried_rule(kg, rule)


def _tried_rule(kg: Data, rule: nn.Module) -> nn.Module:
    """``rule``, if it chooses candidates for two sessions: one that was shown an item, and a new one."""
    with_methods("candidates", rule, "select", hint="see kgrl.candidates.FixedCandidates")
    device, name = kg.edge_index.device, f"{type(rule).__name__}.select"
    shown = torch.tensor([[0], [-1]], device=device)
    found = rule.select(shown, shown, generator_for(device, 0))  # type: ignore[operator]
    if not isinstance(found, tuple) or len(found) != 2:
        raise TypeError(expected(name, "a pair: the candidates' ids, and the session of each", type(found).__name__))
    items, batch = shaped(name, found[0], None, whole=True), shaped(name, found[1], len(found[0]), whole=True)
    if bool(((items < 0) | (items >= kg.num_items)).any() or ((batch < 0) | (batch > 1)).any()):
        raise ValueError(expected(name, f"of item ids in [0, {kg.num_items}), and sessions in [0, 2) here",
                                  [items.tolist()[:10], batch.tolist()[:10]]))
    if bool(((items == 0) & (batch == 0)).any()):
        raise ValueError(expected(name, "without the items of `exclude`", "an item that was shown"))
    return rule


def warn_unused_options(owner: type, given: Mapping[str, Any], embedding: Tensor | None, candidates: Any) -> None:
    """Warns of options of ``KGQR`` that have no effect beside the others.

    Args:
        owner: ``KGQR``.
        given: its options.
        embedding, candidates: likewise, as they were given.
    """
    variant, convolves = given["variant"], given["variant"] in CONVOLVES
    rule = candidates if candidates is not None else "k-hop" if variant == "KGQR" else "all"
    if not convolves:
        why = f"with variant={variant!r}, which has no convolution"
        warn_unused(owner, why, aggregator=given["aggregator"], aggregator_kwargs=given["aggregator_kwargs"])
        if not takes(rule, CANDIDATES, "hops"):
            warn_unused(owner, why, hops=given["hops"])
        if embedding is not None and embedding.size(1) != given["dim"]:
            warn_unused(owner, f"beside an `embedding` {why}", dim=given["dim"])
    for option, name in (("size", "num_candidates"), ("backfill", "backfill"), ("max_degree", "max_degree")):
        if not takes(rule, CANDIDATES, option):
            why = "beside `candidates` that are made without it" if candidates is not None else f"with {variant=}"
            warn_unused(owner, why, **{name: given[name]})
    if not takes(given["state"], STATES, "channels"):
        warn_unused(owner, "beside a `state` that is made without it", state_channels=given["state_channels"])


def constructor_options(
    metadata: Mapping[str, Any], tensors: Mapping[str, Tensor], options: Mapping[str, Any], kg: Data, changed: bool
) -> dict[str, Any]:
    """What the constructor is given for a saved agent: the file's options and tensors, and ``options`` over them.

    Args:
        metadata: of the file.
        tensors: of the file, by the numbers of ``kg``.
        options: that the agent is loaded with.
        kg: its KG.
        changed: whether that is another one than the agent was saved with.
    """
    saved = dict(metadata["options"])
    made_by_hand = saved.pop("own_candidates")
    given: dict[str, Any] = {"embedding": tensors["network.items.embedding"], "popular": tensors.get("popular"),
                             "tastes": saved_tastes(tensors, options, anew=changed)}
    if made_by_hand is not None and metadata.get("fixed"):
        given["candidates"] = FixedCandidates(int(kg.num_items), tensors.get("candidates.pool"))
    saved.setdefault("state", "gru")  # which a file of before does not name
    for part, made in (("aggregator", saved["aggregator"]), ("state", saved["state"]), ("candidates", made_by_hand)):
        by_hand = made is not None and (part == "candidates" or isinstance(made, dict))
        if by_hand and part not in (given | dict(options)):
            raise ValueError(expected(part, f"given again, as it was made by hand ({made})", None))
    given |= saved | dict(options)
    if given["backfill"] is not None:
        given["backfill"] = tuple(given["backfill"])
    return given


def moved_tensors(tensors: Mapping[str, Tensor], match: Match, kg: Data, variant: str) -> dict[str, Tensor]:
    """A saved agent's tensors, those that have a row per node or item by the numbers of ``kg``."""
    near = without_edges(kg) if variant == "KGQR-KG" else kg  # which knows nothing of any KG
    rows = kg.num_nodes if variant in CONVOLVES else kg.num_items
    moved = dict(tensors)
    for name in ("network.items.embedding", "averaged.items.embedding", "target.items.embedding"):
        if name in tensors:
            moved[name] = moved_rows(tensors[name], match.node, near)[:rows]
    for name in ("popular", "candidates.pool"):
        if name in tensors:
            moved[name] = match.moved(tensors[name])
    if (start := saved_tastes(tensors, {})) is not None:
        parts = moved_tastes(start, match, near)._asdict()
        moved |= {f"{START}{name}": part for name, part in parts.items()}
    return moved
