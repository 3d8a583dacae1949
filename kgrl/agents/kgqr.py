"""``KGQR``: knowledge-graph enhanced deep Q-learning."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Data

from kgrl.agents.q_learning.kgqr_file import CONVOLVES, constructor_options, moved_tensors
from kgrl.agents.q_learning.learner import OffPolicyAgent
from kgrl.agents.q_learning.network import QNetwork
from kgrl.agents.q_learning.outlook import Outlook
from kgrl.agents.shared.catalogue import UNTRAINED, Catalogue, matched
from kgrl.agents.shared.new_nodes import heard_graph
from kgrl.agents.shared.picking import check_turn, check_values, defined, of_known_items
from kgrl.agents.shared.ragged import ragged_argmax, ragged_topk
from kgrl.agents.shared.warm_start import checked_start
from kgrl.agents.state.named import made_state, named_state
from kgrl.candidates.fixed import FixedCandidates
from kgrl.candidates.k_hop import KHopCandidates
from kgrl.files import digest, load_tensors, restore
from kgrl.graph import checked_graph, kg_digest
from kgrl.nn.conv.encoder import KGEncoder
from kgrl.nn.state.taste import TasteTerms
from kgrl.objects import of_class, with_methods
from kgrl.options import at_least, between, dense_vectors, expected, ids, one_of, single
from kgrl.presets.preset import preset, suits
from kgrl.seeding import fenced, generator_for, given_or_new
from kgrl.sessions import UNDEFINED, Sessions

VARIANTS = ("KGQR", "KGQR-CS", "KGQR-GCN-CS", "KGQR-KG")
"""Table 5: the whole method; without candidate selection; and without convolution; and without any KG."""


BACKFILL = 300
"""Items that the candidates are filled up with, where nothing else is said."""


class KGQR(OffPolicyAgent):
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

    Args, the graph:
        kg: the KG, from :func:`kgrl.graph.knowledge_graph`.
        embedding: ``[E, d]`` (without convolution ``[N, d]`` suffices), the embeddings to start from: TransE's, or for
            ``"KGQR-KG"`` the item vectors of matrix factorization; :func:`kgrl.raw_ids.aligned` puts those of your own
            in order. ``None``: uniform random, ``dim`` long.
        popular: ``[N]``, items by popularity, from :func:`kgrl.datasets.popular_items`, for the backfill.
        variant: one of :data:`VARIANTS`, the ablations of Table 5.
        aggregator: of the convolution, see :class:`kgrl.nn.KGConv`; ``"relational"`` tells the KG's relations apart.
        aggregator_kwargs: what the aggregator's constructor gets besides, e.g. ``{"heads": 5}`` for ``"gat"``.
        hops: convolution layers, and steps from a liked item to a candidate.
        dim: length of i(G), and of ``embedding`` where none is given.

    Args, the candidates:
        num_candidates, max_degree: see :class:`kgrl.candidates.KHopCandidates`.
        backfill: see there; ``"default"``: the 300 most popular, or 300 at random where ``popular`` is not given
            (``"paper"``: none).
        candidates: :class:`kgrl.candidates.FixedCandidates` or a rule of your own instead, a module with
            ``select(seeds, exclude, generator)`` like that class.

    Args, the state:
        state: what is remembered of the items shown: ``"gru"`` (the paper's: the liked ones, in order), ``"sru"``
            (TPGR's: all of them, and how they were rewarded), or a class or instance of your own, see
            :class:`kgrl.agents.state.session_state.SessionState`.
        state_channels, hidden_channels: width of that state and of the head.
        streak_state: whether the head also sees c_p, c_n and the step; ``None``: yes (``"paper"``: no).
        horizon: T of the sessions it is trained on; matters with ``streak_state`` alone.
        taste_channels: length of the taste state, see :class:`kgrl.nn.TasteState`: exact inference from all feedback of
            the session, disliked items included. Its squared error joins the loss. 0 for none; ``None``: that of
            ``tastes``, or 8 (``"paper"``: 0).
        tastes: of the items, from :func:`kgrl.pretrain.factor_tastes`, :func:`kgrl.pretrain.item_tastes` or, for items
            that nobody has rated, too, :func:`kgrl.pretrain.kg_tastes`: what the taste state starts from, so that the
            first decisions are as good as the training users' ratings make them. The head says nothing at first, begins
            with what all items' rewards have in common (least squares on the first sessions), and the running average
            remembers at least 100 gradient steps. ``None``: everything starts from nothing.

    Args, the learning:
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

    Raises:
        ValueError: an option outside its range, a ``kg`` that knowledge_graph did not make, or an embedding or tastes
            that do not fit it.
        TypeError: an option of another type, or ``candidates`` without ``select``.
    """

    def __init__(
        self, kg: Data, *, embedding: Tensor | None = None, popular: Tensor | None = None, variant: str = "KGQR",
        aggregator: Any = "mean", aggregator_kwargs: Mapping[str, Any] | None = None, hops: int = 2,
        dim: int = 50,
        num_candidates: int | None = 1000, backfill: tuple[str, int] | str | None = "default",
        max_degree: int | None = None, candidates: nn.Module | None = None,
        state: Any = "gru", state_channels: int = 64, hidden_channels: int = 64, streak_state: bool | None = None,
        horizon: int = 32, taste_channels: int | None = None, tastes: TasteTerms | None = None,
        preset: str = "default", gamma: float = 0.1, epsilon: float | tuple[float, float] = 0.1, lr: float = 3e-3,
        embedding_lr: float | None = None, weight_decay: float = 0.0, batch_size: int = 128, gradient_steps: int = 64,
        tau: float = 0.01, target: str = "head", average: float | None = None, replay_size: int = 100_000,
        seed: int = 0,
    ) -> None:
        popular = None if popular is None else ids("popular", popular, int(checked_graph(kg).num_items))
        start, taste_channels = checked_start(tastes, taste_channels, int(checked_graph(kg).num_items))
        if backfill == "default":
            backfill = None if preset == "paper" else ("random" if popular is None else "popular", BACKFILL)
        if candidates is not None:
            with_methods("candidates", candidates, "select", hint="see kgrl.candidates.FixedCandidates")
            of_class("candidates", candidates, nn.Module)
        kwargs = {} if aggregator_kwargs is None else of_class("aggregator_kwargs", aggregator_kwargs, Mapping)
        embedding = None if embedding is None else single("embedding", embedding)
        own = {
            "variant": one_of("variant", variant, VARIANTS),
            "aggregator": aggregator if isinstance(aggregator, str) else {"custom": repr(aggregator)},
            "aggregator_kwargs": dict(kwargs) or None,
            "state": named_state("state", state), "hops": at_least("hops", hops, 1),
            "num_candidates": None if num_candidates is None else at_least("num_candidates", num_candidates, 1),
            "backfill": backfill,
            "max_degree": max_degree, "own_candidates": None if candidates is None else repr(candidates),
            "dim": at_least("dim", dim, 1),
            "embedding_lr": None if embedding_lr is None else between("embedding_lr", embedding_lr, 1e-12, 1),
        }
        super().__init__(
            own, preset=preset, state_channels=state_channels, hidden_channels=hidden_channels,
            streak_state=streak_state, horizon=horizon, taste_channels=taste_channels, gamma=gamma, lr=lr,
            weight_decay=weight_decay,
            epsilon=epsilon, batch_size=batch_size, gradient_steps=gradient_steps, tau=tau, target=target,
            average=average, replay_size=replay_size, seed=seed,
        )
        self.num_items, self.kg_digest = int(kg.num_items), kg_digest(kg)
        self.catalogue = Catalogue.of(kg)
        self.untrained: Tensor | None = None
        self.data_digest = digest(self.kg_digest, embedding, popular, *(start or ()))
        self.register_buffer("popular", None if popular is None else popular.clone())
        with fenced(self.options["seed"]):
            network = _network(kg, embedding, self.options, aggregator, state, start)
        self._begin(network, [network.items.embedding], embedding_lr)
        self.candidates: Any = _candidates(kg, popular, self.options) if candidates is None else candidates

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
        agent = cls(kg, **(found.options | options))
        agent.schedule = found.training
        return agent

    # ------------------------------------------------------------------------------------------------------- acting

    def restrict(self, items: Tensor | None) -> KGQR:
        """From now on it recommends ``items [K]`` alone, of its candidates; ``None``: any candidate. Not kept in files.

        Raises:
            TypeError: candidates of your own that have no ``restrict``.
            ValueError: no items, or some that are unknown or repeated.
        """
        if not callable(getattr(self.candidates, "restrict", None)):
            raise TypeError(expected("candidates", "a module with `restrict(items)`", self.candidates,
                                     "see kgrl.candidates.FixedCandidates"))
        self.candidates.restrict(items)
        return self

    @torch.no_grad()
    def act(self, sessions: Sessions, explore: bool = False, generator: torch.Generator | None = None) -> Tensor:
        """``[B]``, the next item of every session; −1 where nothing is left to recommend.

        Args:
            sessions: the sessions so far.
            explore: ε-greedy rather than greedy.
            generator: of the candidates' sample and of ε, on the sessions' device; default a new one with seed 0.
        """
        check_turn(sessions, explore, generator)
        seen, explores = self._look(sessions), explore and bool(self.epsilons)
        generator = given_or_new(generator, self.device)
        if isinstance(self.candidates, FixedCandidates):
            best = self._highest(seen, sessions.shown, 1).squeeze(1)
            if not explores:
                return best
            stray = self.epsilons.strays(len(sessions), self.device, generator)
            return torch.where(stray, self.candidates.draw(sessions.shown, generator), best)
        items, batch, values = self._values(seen, sessions, generator)
        if explores:
            random = self.epsilons.strays(len(sessions), self.device, generator)
            draws = torch.rand(len(values), generator=generator, device=values.device)
            values = torch.where(random[batch], draws, values)
        return _best(items, batch, values, len(sessions))

    @torch.no_grad()
    def recommend(self, past: Sessions, k: int = 10, seed: int = 0) -> Tensor:
        """``[B, k]``, the k best candidates of each real user, best first, padded with −1 where there are fewer.

        Args:
            past: what was shown and how it was received, see :meth:`kgrl.sessions.Sessions.from_history`.
            k: how many.
            seed: of the candidates' sample.

        Raises:
            ValueError: an item id the agent does not know, or values that are not finite: it has diverged.
        """
        past = of_known_items(past, self.num_items).to(self.device)
        seen = self._look(past)
        if isinstance(self.candidates, FixedCandidates):
            return defined(self._highest(seen, past.shown, at_least("k", k, 1)))
        items, batch, values = self._values(seen, past, generator_for(self.device, seed))
        check_values(values.abs())  # −∞ would be no mask: what was shown is not among the candidates
        return F.pad(items, (0, 1), value=-1)[ragged_topk(values, batch, len(past), at_least("k", k, 1))]

    def _following(
        self, online: Outlook, delayed: Outlook, sessions: Sessions, generator: torch.Generator | None
    ) -> Tensor:
        """Equation 14: the online network picks among the candidates of o_{t+1}, and the target values the pick."""
        if isinstance(self.candidates, FixedCandidates):
            return self._highest(online, sessions.shown, 1).squeeze(1)
        return _best(*self._values(online, sessions, generator), len(sessions))

    def _values(
        self, seen: Outlook, sessions: Sessions, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Each session's candidates (``items [K]``, ``batch [K]``) and their Q-values ``[K]``."""
        items, batch = self.candidates.select(sessions.liked, sessions.shown, generator)
        return items, batch, seen.values(items, batch)

    def _highest(self, seen: Outlook, shown: Tensor, count: int) -> Tensor:
        """``[B, count]``, the items of the highest Q-values where all sessions have the same candidates."""
        return self.candidates.items(seen.highest(self.candidates, self.candidates.places(shown), count))

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
        neighbours (:func:`kgrl.agents.shared.new_nodes.moved_rows`), what is expected of a new item from the items that
        share entities with it, and nodes that the agent was trained with do not hear of new ones
        (:func:`kgrl.agents.shared.new_nodes.heard_graph`), nor when it is trained further: whatever else comes, an item
        keeps its vector as long as what it was trained with is around it. New items are the least popular ones.

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


def _network(
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
        embedding = torch.empty(need, dim).uniform_(-1, 1).mul_(dim**-0.5)
    whole = embedding.shape[:1] == (kg.num_nodes,)  # all entities' vectors will do where items alone have one
    dense_vectors("embedding", embedding, len(embedding) if whole else need,
                  "entity of the KG" if convolves else "item")
    channels = embedding.size(1)
    encoder = None
    if convolves:
        encoder = KGEncoder.from_kg(kg, channels=[channels] + [dim] * options["hops"], hops=options["hops"],
                                    aggregator=aggregator, aggregator_kwargs=options["aggregator_kwargs"])
    items = int(kg.num_items), dim if convolves else channels
    recurrent = made_state("state", state, *items, options["state_channels"])
    return QNetwork(
        embedding[:need], items[0], encoder, items[1], options["state_channels"], options["hidden_channels"],
        options["streak_state"], options["taste_channels"], start, options["horizon"], recurrent,
    )


def _candidates(kg: Data, popular: Tensor | None, options: Mapping[str, Any]) -> KHopCandidates | FixedCandidates:
    """The k-hop candidates; every item where the variant has no candidate selection."""
    if options["variant"] == "KGQR":
        return KHopCandidates(kg, hops=options["hops"], size=options["num_candidates"], popular=popular,
                              backfill=options["backfill"], max_degree=options["max_degree"])
    return FixedCandidates(int(kg.num_items))


def _best(items: Tensor, batch: Tensor, values: Tensor, sessions: int) -> Tensor:
    """``[sessions]``, each session's candidate of the highest value; −1 where it has none."""
    best = ragged_argmax(values, batch, sessions)
    # positions −2 and −1 are the padding: no number, no candidate
    return F.pad(F.pad(items, (0, 1), value=UNDEFINED), (0, 1), value=-1)[best]
