"""``VectorAgent``: what the agents over item vectors share, and the pool of items they recommend from."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from kgrl.agents.q_learning.learner import OffPolicyAgent
from kgrl.agents.q_learning.network import Outlook
from kgrl.agents.shared.catalogue import Catalogue, Match
from kgrl.agents.shared.picking import check_turn, defined, list_length, of_known_items
from kgrl.agents.shared.warm_start import saved_tastes
from kgrl.agents.state.recurrent import STATES, made_state
from kgrl.candidates.fixed import FixedCandidates
from kgrl.files import digest, load_tensors, restore
from kgrl.options import dense_vectors, expected
from kgrl.parts import UnusedOption, named_part, takes, warn_unused
from kgrl.raw_ids import RawIds
from kgrl.seeding import given_or_new
from kgrl.sessions import Sessions


class VectorAgent(OffPolicyAgent):
    """An agent that knows items by their vectors, and recommends any of them or any of a pool.

    A subclass makes its network of the vectors and calls ``_begin``; it defines ``_ranked`` and ``_following``. It
    counts items by their place in the pool (*places*, −1 for none); only what leaves it are item ids.

    Args:
        vectors: ``[N, d]``, one an item.
        pool: ``[P]``, the items that may be recommended; ``None``: all.
        own: the subclass's own options, checked.
        ids: ``[N]``, the items' raw ids (``data["item"].raw_id``), by which its file is checked when it is loaded.
        state: what is remembered of the items shown, as in :class:`kgrl.agents.KGQR`; see ``_recurrent``.
        **options: see :class:`kgrl.agents.q_learning.learner.OffPolicyAgent`.

    Raises:
        ValueError: vectors of another shape, or not finite, a pool that is none, ids of other items, or an option
            outside its range.
    """

    def __init__(
        self, vectors: Tensor, pool: Tensor | None, own: Mapping[str, Any], ids: RawIds | None = None,
        state: Any = "gru", **options: Any
    ) -> None:
        super().__init__({"state": named_part(state), **own}, **options)
        self.num_items = len(dense_vectors("vectors", vectors))
        self.catalogue = Catalogue.of_items(ids, self.num_items)
        self.pool = FixedCandidates(self.num_items, pool)
        self.data_digest = digest(vectors, self.pool.pool)

    def _recurrent(self, state: Any, vectors: Tensor) -> nn.Module:
        """The state by its name, its class or an instance, for the network that a subclass makes.

        Raises:
            TypeError: it is no session state.
            ValueError: an unknown name, or one whose carry changes its shape.
        """
        channels = self.options["state_channels"]
        made = made_state("state", state, len(vectors), vectors.size(1), channels)
        if not takes(state, STATES, "channels"):
            warn_unused(type(self), "beside a `state` that is made without it", state_channels=channels)
        return made

    def restrict(self, items: Tensor | None) -> Self:
        """From now on it recommends ``items [K]`` alone; ``None``: those of its pool again. Not kept in files.

        Raises:
            ValueError: no items, or some that are unknown or repeated.
        """
        self.pool.restrict(items)
        return self

    @torch.no_grad()
    def act(self, sessions: Sessions, explore: bool = False, generator: torch.Generator | None = None) -> Tensor:
        """``[B]``, the next item of every session; −1 where nothing is left to recommend.

        Args:
            sessions: the sessions so far.
            explore: whether to explore.
            generator: of what exploring draws, on the sessions' device; default a new one with seed 0.
        """
        check_turn(sessions, explore, generator)
        generator = given_or_new(generator, self.device)
        gone = self.pool.places(sessions.shown)
        items = self.pool.items(self._ranked(self._look(sessions), gone, 1, generator if explore else None).squeeze(1))
        if not explore or not self.epsilons:
            return items
        stray = self.epsilons.strays(len(sessions), self.device, generator)
        return torch.where(stray, self.pool.draw(sessions.shown, generator), items)

    @torch.no_grad()
    def recommend(self, past: Sessions, k: int = 10) -> Tensor:
        """``[B, k]``, the k best items of each real user, best first, padded with −1 where there are fewer.

        Args:
            past: what was shown and how it was received, see :meth:`kgrl.sessions.Sessions.from_history`.
            k: how many.

        Raises:
            ValueError: an item id the agent does not know, or values that are not finite: it has diverged.
        """
        past = of_known_items(past, self.num_items).to(self.device)
        gone = self.pool.places(past.shown)
        return defined(self.pool.items(self._ranked(self._look(past), gone, list_length(k), None)))

    def _ranked(self, seen: Outlook, gone: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
        """``[B, count]``, the places of each session's best items, best first, −1 where there are fewer.

        Args:
            seen: the sessions, as the deciding network sees them.
            gone: ``[B, L]``, places that may not be recommended; −1, anywhere, is skipped.
            count: how many.
            generator: of noise, where the agent is to explore.
        """
        raise NotImplementedError

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes weights, item vectors, options and raw ids to one safetensors file, whole or not at all."""
        self._write(path, self.state_dict(), {"options": self.options, "data": self.data_digest})

    @classmethod
    def load(cls, path: str | os.PathLike[str], ids: RawIds | None = None, **options: Any) -> Self:
        """The agent that :meth:`save` wrote, item vectors included.

        Args:
            path: the file.
            ids: ``[N]``, the raw ids of the items as they are numbered now: those of the file, in any order. ``None``:
                they are numbered as they were, which is not checked.
            **options: over those in the file; with ``pool`` it recommends other items than it was trained to. A
                ``state`` of your own must be given again.

        Raises:
            ValueError: a damaged or foreign file, one of other items, a state of your own that is not given again, or
                options that make another network.
        """
        tensors, metadata = load_tensors(path, f"{cls.__name__} agent")
        known, moved = cls._found(path, tensors, ids)
        given: dict[str, Any] = {"pool": tensors.pop("pool.pool", None)} | metadata["options"] | options
        if isinstance(made := given.get("state"), dict):
            raise ValueError(expected("state", f"given again, as it was made by hand ({made})", None))
        if (tastes := saved_tastes(tensors, options)) is not None:
            given["tastes"] = tastes
        with warnings.catch_warnings(action="ignore", category=UnusedOption):  # the agent was told when it was made
            agent = cls(tensors["network.items.embedding"], ids=known, **given)
        pool = {f"pool.{name}": tensor for name, tensor in agent.pool.state_dict().items()}
        restore(agent, tensors | pool, path)
        # of the vectors that training began with, and of what has changed since
        agent.data_digest = digest(metadata["data"], agent.data_digest) if moved else metadata["data"]
        if "pool" in options:
            agent.data_digest = digest(agent.data_digest, options["pool"])
        return agent

    @classmethod
    def _renumbered(cls, tensors: Mapping[str, Tensor], match: Match) -> Mapping[str, Tensor]:
        moved = {name: tensor[match.item] for name, tensor in tensors.items()
                 if name.endswith(".embedding") or ".taste.model.start_" in name}
        return moved | {name: match.moved(tensors[name]) for name in ("pool.pool",) if name in tensors}
