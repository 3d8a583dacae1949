"""``KGQR``: knowledge-graph enhanced deep Q-learning."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch_geometric.data import Data

from kgrl.agents.q_learning.candidate_agent import CandidateAgent
from kgrl.agents.q_learning.kgqr_parts import (
    VARIANTS,
    constructor_options,
    kgqr_candidates,
    kgqr_network,
    moved_tensors,
    warn_unused_options,
)
from kgrl.agents.q_learning.network import QNetwork
from kgrl.agents.shared.catalogue import UNTRAINED, Catalogue, matched
from kgrl.agents.shared.warm_start import checked_start, heard_graph
from kgrl.candidates.fixed import FixedCandidates
from kgrl.files import digest, load_tensors, restore
from kgrl.graph import checked_graph, kg_digest
from kgrl.nn.state.taste import TasteTerms
from kgrl.objects import of_class
from kgrl.options import at_least, between, ids, one_of, single
from kgrl.parts import UnusedOption, named_part
from kgrl.presets.preset import preset, suits
from kgrl.seeding import fenced

BACKFILL = 300
"""Items that the candidates are filled up with, where nothing else is said."""


class KGQR(CandidateAgent):
    r"""Knowledge-graph enhanced Q-learning for interactive recommendation (Zhou et al., SIGIR 2020).

    A graph convolution over the KG embeds the items (equations 5 and 6), a GRU over the liked items gives the state
    (7, 8), the items within k hops of them are the candidates (9, 10), and a dueling head scores state and candidate
    (11). It is trained by double Q-learning on replayed steps (12 to 15, Algorithm 1):

    .. math::
        y_t &= r_t + \gamma\, Q'\bigl(s_{t+1}, \arg\max_{i \in I_{t+1}(G)} Q(s_{t+1}, i)\bigr) \\
        L &= \mathbb E\,\bigl(y_t - Q(s_t, i_t)\bigr)^2, \qquad
        \theta_{Q'} \leftarrow \tau\,\theta_Q + (1 - \tau)\,\theta_{Q'}

    Differs from the paper: candidates may be backfilled (the paper's neighbourhood can be empty); an item joins the
    state on positive feedback, where Algorithm 1 asks for a positive reward, streak term included; many sessions run
    at once and ``gradient_steps`` follow each rollout, where Algorithm 1 makes one an episode; nothing is bootstrapped
    from beyond a session's last step; greedy decisions are made with a running average of the weights.

    Paper is silent: on widths, rates, ε and τ. The target covers the dueling head alone, as :math:`\theta_{Q'}` does in
    the paper (``target="all"`` copies state network and embeddings, too).

    ``preset="paper"`` is the paper's letter: its state, no backfill, no running average; with ``fit(sessions=1)`` and
    ``gradient_steps=1`` one gradient step an episode, too. :meth:`from_preset` has what was found best on a data set.

    Args of the graph:
        kg: the KG, from :func:`kgrl.graph.knowledge_graph`.
        embedding: ``[E, d]`` (without convolution ``[N, d]`` suffices), the embeddings to start from: TransE's, or for
            ``"KGQR-KG"`` the item vectors of matrix factorization; :func:`kgrl.raw_ids.aligned` puts those of your own
            in order. ``None``: uniform random, ``dim`` long.
        popular: ``[N]``, items by popularity, from :func:`kgrl.datasets.popular_items`, for the backfill.
        variant: one of :data:`kgrl.agents.q_learning.kgqr_parts.VARIANTS`, the ablations of Table 5.
        aggregator: of the convolution, see :class:`kgrl.nn.KGConv`; ``"relational"`` tells the KG's relations apart.
        aggregator_kwargs: what the aggregator's constructor gets besides, e.g. ``{"heads": 5}`` for ``"gat"``.
        hops: convolution layers, and steps from a liked item to a candidate.
        dim: length of i(G), and of ``embedding`` where none is given.

    Args of the candidates:
        num_candidates, max_degree: see :class:`kgrl.candidates.KHopCandidates`.
        backfill: see there; ``"default"``: the 300 most popular, or 300 at random where ``popular`` is not given
            (``"paper"``: none).
        candidates: what chooses them: ``"k-hop"``, as above; ``"all"``, every item; or a class or instance of your own,
            a module with ``select(seeds, exclude, generator)`` like :class:`kgrl.candidates.FixedCandidates`. A class
            is called with those of ``kg``, ``num_items``, ``popular``, ``hops``, ``size``, ``backfill`` and
            ``max_degree`` that it names. ``None``: ``"k-hop"``, or ``"all"`` where the variant has no selection.

    Args of the state:
        state: what is remembered of the items shown: ``"gru"`` (the paper's: the liked ones, in order), ``"sru"``
            (TPGR's: all of them, and how they were rewarded, in ten bins over [−1, 1]; beyond counts as −1 or 1), or a
            class (called with ``item_channels`` and ``channels``) or instance of your own, see
            :class:`kgrl.agents.state.session_state.SessionState`.
        state_channels, hidden_channels: width of that state and of the head.
        streak_state: whether the head also sees c_p, c_n and the step; ``None``: yes (``"paper"``: no).
        horizon: T, by whose root the streak and the step are divided; matters with ``streak_state`` alone.
        taste_channels: length of the taste state, see :class:`kgrl.nn.TasteState`: exact inference from all feedback of
            the session, disliked items included. Its squared error joins the loss. 0 for none; ``None``: that of
            ``tastes``, or 8 (``"paper"``: 0).
        tastes: of the items, from :func:`kgrl.pretrain.factor_tastes`, :func:`kgrl.pretrain.item_tastes` or, for items
            that nobody has rated, too, :func:`kgrl.pretrain.kg_tastes`: what the taste state starts from, so that the
            first decisions are as good as the training users' ratings make them. The head says nothing at first, begins
            with what all items' rewards have in common (least squares on the first sessions), and the running average
            remembers at least 100 gradient steps. ``None``: everything starts from nothing.

    Args of the learning:
        preset: ``"default"`` or ``"paper"``: what ``backfill``, ``streak_state``, ``taste_channels`` and ``average``
            are where they are not given.
        gamma: discount γ in [0, 1]; of learning alone, the metrics are undiscounted.
        epsilon: chance of a random candidate while exploring; (low, high): spread geometrically over the sessions of a
            rollout (Horgan et al., 2018, equation 1), so that some discover items and others see long streaks.
        lr, weight_decay: of Adam; ``weight_decay`` is the L2 term.
        embedding_lr: of the entity embeddings; ``None``: as everything else.
        batch_size: steps a gradient step is made of.
        gradient_steps: gradient steps after each rollout.
        tau: share of the online weights that moves into the target at each gradient step.
        target: ``"head"`` or ``"all"``, what the target has a copy of.
        average: memory of the running average of the weights, as a share of the gradient steps made so far; 0 for none;
            ``None``: 0.1 (``"paper"``: 0).
        replay_size: sessions the replay holds.
        seed: of the initial weights.

    Warns:
        UnusedOption: an option was given that has no effect beside the others (:class:`kgrl.parts.UnusedOption`).

    Raises:
        ValueError: an option outside its range, a ``kg`` that knowledge_graph did not make, or an embedding, tastes or
            a part that do not fit it.
        TypeError: an option of another type, or ``candidates`` without ``select``.
    """

    def __init__(
        self, kg: Data, *, embedding: Tensor | None = None, popular: Tensor | None = None, variant: str = "KGQR",
        aggregator: Any = "mean", aggregator_kwargs: Mapping[str, Any] | None = None, hops: int = 2,
        dim: int = 50, num_candidates: int | None = 1000, backfill: tuple[str, int] | str | None = "default",
        max_degree: int | None = None, candidates: str | type[nn.Module] | nn.Module | None = None,
        state: Any = "gru", state_channels: int = 64, hidden_channels: int = 64, streak_state: bool | None = None,
        horizon: int = 32, taste_channels: int | None = None, tastes: TasteTerms | None = None,
        preset: str = "default", gamma: float = 0.1, epsilon: float | tuple[float, float] = 0.05, lr: float = 3e-3,
        embedding_lr: float | None = None, weight_decay: float = 0.0, batch_size: int = 128, gradient_steps: int = 64,
        tau: float = 0.01, target: str = "head", average: float | None = None, replay_size: int = 100_000,
        seed: int = 0,
    ) -> None:
        popular = None if popular is None else ids("popular", popular, int(checked_graph(kg).num_items))
        start, taste_channels = checked_start(tastes, taste_channels, int(checked_graph(kg).num_items))
        wanted = backfill
        if backfill == "default":
            backfill = None if preset == "paper" else ("random" if popular is None else "popular", BACKFILL)
        kwargs = {} if aggregator_kwargs is None else of_class("aggregator_kwargs", aggregator_kwargs, Mapping)
        embedding = None if embedding is None else single("embedding", embedding)
        own = {
            "variant": one_of("variant", variant, VARIANTS),
            "aggregator": named_part(aggregator), "aggregator_kwargs": dict(kwargs) or None,
            "state": named_part(state), "hops": at_least("hops", hops, 1),
            "num_candidates": None if num_candidates is None else at_least("num_candidates", num_candidates, 1),
            "backfill": backfill, "max_degree": max_degree, "own_candidates": None, "dim": at_least("dim", dim, 1),
            "embedding_lr": None if embedding_lr is None else between("embedding_lr", embedding_lr, 1e-12, 1),
        }
        super().__init__(
            own, preset=preset, state_channels=state_channels, hidden_channels=hidden_channels,
            streak_state=streak_state, horizon=horizon, taste_channels=taste_channels, gamma=gamma, lr=lr,
            weight_decay=weight_decay, epsilon=epsilon, batch_size=batch_size, gradient_steps=gradient_steps, tau=tau,
            target=target, average=average, replay_size=replay_size, seed=seed,
        )
        self.num_items, self.kg_digest = int(kg.num_items), kg_digest(kg)
        self.catalogue = Catalogue.of(kg)
        self.untrained: Tensor | None = None
        self.data_digest = digest(self.kg_digest, embedding, popular, *(start or ()))
        self.register_buffer("popular", None if popular is None else popular.clone())
        with fenced(self.options["seed"]):
            network = kgqr_network(kg, embedding, self.options, aggregator, state, start)
            rule = kgqr_candidates(kg, popular, self.options, candidates)
        self._begin(network, [network.items.embedding], embedding_lr)
        self.candidates: Any = rule
        if candidates is not None and not (isinstance(candidates, str) and candidates.lower() == "k-hop"):
            self.options["own_candidates"] = repr(self.candidates)
        self.to(kg.edge_index.device)
        warn_unused_options(KGQR, self.options | {"backfill": wanted, "state": state}, embedding, candidates)

    @classmethod
    def from_preset(cls, dataset: str, kg: Data, *, world: str | None = None, **options: Any) -> KGQR:
        """The agent with the settings that were found best on a data set, see :func:`kgrl.presets.preset`.

        Args:
            dataset: ``"ml-100k"``, ``"book-crossing"`` or ``"synthetic"``.
            kg: its KG.
            world: ``None``: the data set's first.
            **options: over those of the preset; ``popular`` wants to be among them.

        Raises:
            ValueError: no such preset, or a KG of another data set.
        """
        found = suits(preset("KGQR", dataset, world), checked_graph(kg).get("source"))
        with warnings.catch_warnings(action="ignore", category=UnusedOption):  # a preset's cannot be left out
            agent = cls(kg, **(found.options | options))
        agent.schedule = found.training
        return agent

    # ------------------------------------------------------------------------------------------------ saving, moving

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes weights, options and raw ids to one safetensors file, whole or not at all."""
        metadata = {"options": self.options, "kg": self.kg_digest, "data": self.data_digest,
                    "fixed": isinstance(self.candidates, FixedCandidates)}
        untrained = {} if self.untrained is None else {UNTRAINED: self.untrained}
        self._write(path, {**self.state_dict(), **untrained}, metadata)

    @classmethod
    def load(cls, path: str | os.PathLike[str], kg: Data, **options: Any) -> KGQR:
        """The agent that :meth:`save` wrote, for the KG it was trained with or for another state of it.

        Items and entities are found again by their raw ids. What is gone is dropped. A new node starts from its
        neighbours (:func:`kgrl.agents.shared.warm_start.moved_rows`), what is expected of a new item from the items
        that share entities with it, and nodes that the agent was trained with do not hear of new ones
        (:func:`kgrl.agents.shared.warm_start.heard_graph`), nor when it is trained further: whatever else comes, an
        item keeps its vector as long as what it was trained with is around it. New items are the least popular ones.

        Args:
            path: the file.
            kg: the KG, with raw ids (``item_id`` and ``entity_id``) unless it is the very one it was trained on.
            **options: over those in the file; a user-made ``aggregator`` or ``candidates`` must be given again
                (:class:`kgrl.candidates.FixedCandidates` need not), and ``tastes`` only may be where the KG is another
                and the agent started from some.

        Raises:
            ValueError: a damaged or foreign file, another KG where items have no raw ids, one that shares no item with
                the agent, a missing user-made part, or options that make another network.
        """
        tensors, metadata = load_tensors(path, f"{cls.__name__} agent")
        before, untrained = Catalogue.taken_from(tensors), tensors.pop(UNTRAINED, None)
        same = metadata["kg"] == kg_digest(checked_graph(kg))
        match = matched(path, before, Catalogue.of(kg), same, "knowledge graph")
        if match is not None:
            tensors = moved_tensors(tensors, match, kg, metadata["options"]["variant"])
            untrained = match.untrained(untrained)
        with warnings.catch_warnings(action="ignore", category=UnusedOption):
            agent = cls(kg, **constructor_options(metadata, tensors, options, kg, match is not None))
        own = {name: part for name, part in agent.state_dict().items() if agent._is_per_item(name)}
        restore(agent, {name: part for name, part in tensors.items() if not agent._is_per_item(name)} | own, path)
        agent._hear(kg, untrained)
        # of the embeddings that training began with, and of what has changed since
        agent.data_digest = metadata["data"] if match is None else digest(metadata["data"], agent.data_digest)
        return agent

    def _is_per_item(self, name: str) -> bool:
        """Whether the tensor ``name`` is what the constructor was given of each item, rather than learned."""
        pool = name == "candidates.pool" and isinstance(self.candidates, FixedCandidates)
        return pool or name == "popular" or ".taste.model.start_" in name

    def _hear(self, kg: Data, untrained: Tensor | None) -> None:
        """Plans the convolutions so that trained nodes do not hear of the ``untrained [E]`` ones."""
        self.untrained = untrained
        for network in (self.network, self.averaged, self.target):
            if untrained is not None and isinstance(network, QNetwork) and network.items.encoder is not None:
                network.items.encoder.plan_kg(heard_graph(kg, untrained))
