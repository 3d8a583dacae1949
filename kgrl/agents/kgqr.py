"""``KGQR``: knowledge-graph enhanced deep Q-learning."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Data

from kgrl.agents.optimizer_state import load_optimizer_tensors, optimizer_tensors
from kgrl.agents.q_network import ItemView, QNetwork
from kgrl.agents.ragged import ragged_argmax, ragged_topk
from kgrl.agents.replay import EpisodeReplay, Transitions
from kgrl.agents.running_state import RunningState
from kgrl.candidates.k_hop import KHopCandidates
from kgrl.files import below, digest, load_tensors, save_tensors
from kgrl.nn.encoder import KGEncoder
from kgrl.options import at_least, between, expected, one_of
from kgrl.seeding import fenced
from kgrl.sessions import Sessions

VARIANTS = ("KGQR", "KGQR-CS", "KGQR-GCN-CS", "KGQR-KG")
"""Table 5: the whole method; without candidate selection; and without convolution; and without any KG."""


class KGQR(nn.Module):
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

    Args:
        kg: the KG, from :func:`kgrl.graph.knowledge_graph`.
        embedding: ``[E, d]`` (without convolution ``[N, d]`` suffices), the embeddings to start from: TransE's, or for
            ``"KGQR-KG"`` the item vectors of matrix factorization. ``None``: uniform random, ``dim`` long.
        popular: ``[N]``, items by popularity, for ``backfill=("popular", n)``.
        variant: one of :data:`VARIANTS`, the ablations of Table 5.
        aggregator: of the convolution, see :class:`kgrl.nn.KGConv`.
        hops: convolution layers, and steps from a liked item to a candidate.
        num_candidates, backfill, max_degree: see :class:`kgrl.candidates.KHopCandidates`.
        candidates: a rule of your own instead, a module with ``select(seeds, exclude, generator)`` like that class.
        dim: length of i(G), and of ``embedding`` where none is given.
        state_channels, hidden_channels: width of the GRU and of the head.
        streak_state: whether the head also sees c_p, c_n and the step; off as in the paper.
        taste_channels: length of the taste state, see :class:`kgrl.nn.TasteState`: exact inference from all feedback of
            the session, disliked items included; 0 for none, as in the paper. Its squared error joins the loss.
        gamma: discount γ in [0, 1]; of learning alone, the metrics are undiscounted.
        lr, weight_decay: of Adam; ``weight_decay`` is the L2 term.
        embedding_lr: of the entity embeddings; ``None``: as everything else.
        epsilon: chance of a random candidate while exploring; (low, high): spread geometrically over the sessions of a
            rollout (Horgan et al., 2018, equation 1), so that some discover items and others see long streaks.
        batch_size: steps a gradient step is made of.
        gradient_steps: gradient steps after each rollout.
        tau: share of the online weights that moves into the target at each gradient step.
        target: ``"head"`` or ``"all"``, what the target has a copy of.
        average: memory of the running average of the weights, as a share of the gradient steps made so far; 0 for none.
        replay_size: sessions the replay holds.
        seed: of the initial weights.

    Raises:
        ValueError: an option outside its range, or an embedding that does not fit the KG.
    """

    def __init__(
        self, kg: Data, *, embedding: Tensor | None = None, popular: Tensor | None = None, variant: str = "KGQR",
        aggregator: Any = "mean", hops: int = 2, num_candidates: int | None = 1000,
        backfill: tuple[str, int] | None = ("random", 300), max_degree: int | None = None,
        candidates: nn.Module | None = None, dim: int = 50,
        state_channels: int = 64, hidden_channels: int = 64, streak_state: bool = False, taste_channels: int = 0,
        gamma: float = 0.5, lr: float = 3e-3, embedding_lr: float | None = None,
        weight_decay: float = 0.0, epsilon: float | tuple[float, float] = 0.1, batch_size: int = 128,
        gradient_steps: int = 64, tau: float = 0.01, target: str = "head", average: float = 0.1,
        replay_size: int = 100_000, seed: int = 0,
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = {
            "variant": one_of("variant", variant, VARIANTS),
            "aggregator": aggregator if isinstance(aggregator, str) else {"custom": repr(aggregator)},
            "hops": at_least("hops", hops, 1), "num_candidates": num_candidates, "backfill": backfill,
            "max_degree": max_degree, "own_candidates": None if candidates is None else repr(candidates),
            "dim": at_least("dim", dim, 1),
            "state_channels": at_least("state_channels", state_channels, 1),
            "hidden_channels": at_least("hidden_channels", hidden_channels, 1), "streak_state": bool(streak_state),
            "taste_channels": at_least("taste_channels", taste_channels, 0),
            "gamma": between("gamma", gamma, 0, 1), "lr": between("lr", lr, 0, 1),
            "embedding_lr": None if embedding_lr is None else between("embedding_lr", embedding_lr, 1e-12, 1),
            "weight_decay": between("weight_decay", weight_decay, 0, 1), "epsilon": _checked_epsilon(epsilon),
            "batch_size": at_least("batch_size", batch_size, 1),
            "gradient_steps": at_least("gradient_steps", gradient_steps, 0), "tau": between("tau", tau, 0, 1),
            "target": one_of("target", target, ("head", "all")), "average": between("average", average, 0, 1),
            "replay_size": at_least("replay_size", replay_size, 1), "seed": seed,
        }
        self.gamma, self.epsilon, self.tau, self.average = gamma, self.options["epsilon"], tau, average
        self.batch_size, self.gradient_steps, self.target_kind = batch_size, gradient_steps, target
        self.num_items, self.data_digest = int(kg.num_items), kg_digest(kg)
        self.register_buffer("popular", None if popular is None else popular.clone())
        with fenced(seed):
            self.network = _network(kg, embedding, self.options, aggregator)
        self.target = copy.deepcopy(self.network if target == "all" else self.network.head).requires_grad_(False)
        self.averaged = copy.deepcopy(self.network).requires_grad_(False) if average else None
        self.candidates: Any = _candidates(kg, popular, self.options) if candidates is None else candidates
        vectors, *rest = self.network.parameters()
        groups: list[dict[str, Any]] = [{"params": [vectors], "lr": embedding_lr or lr}, {"params": rest}]
        self.optimizer = torch.optim.Adam(groups, lr=lr, weight_decay=weight_decay, fused=True)
        self.replay = EpisodeReplay(replay_size)
        self.steps_taken = 0
        self._view: ItemView | None = None
        self._running = RunningState()

    # ------------------------------------------------------------------------------------------------------- acting

    @property
    def acting(self) -> QNetwork:
        """The network that decides: the running average where there is one."""
        return self.network if self.averaged is None else self.averaged

    def act(self, sessions: Sessions, explore: bool = False, generator: torch.Generator | None = None) -> Tensor:
        """``[B]``, the next item of every session; −1 where nothing is left to recommend.

        Args:
            sessions: the sessions so far.
            explore: ε-greedy rather than greedy.
            generator: of the candidates' sample and of ε, on the sessions' device.
        """
        items, batch, values = self._values(sessions, generator)
        if explore and any(self.epsilon):
            chance = self._epsilons(len(sessions))
            random = torch.rand(len(sessions), generator=generator, device=values.device) < chance
            draws = torch.rand(len(values), generator=generator, device=values.device)
            values = torch.where(random[batch], draws, values)
        best = ragged_argmax(values, batch, len(sessions))
        return F.pad(items, (0, 1), value=-1)[best]  # position −1 is the padding: no candidate

    def _epsilons(self, sessions: int) -> Tensor:
        """``[sessions]``, each session's ε."""
        low, high = self.epsilon
        if low == high:
            return torch.full((sessions,), low, device=self.device)
        return torch.logspace(math.log10(low), math.log10(high), sessions, device=self.device)

    def recommend(self, past: Sessions, k: int = 10, seed: int = 0) -> Tensor:
        """``[B, k]``, the k best candidates of each real user, best first, padded with −1 where there are fewer.

        Args:
            past: what was shown and how it was received, see :meth:`kgrl.sessions.Sessions.from_history`.
            k: how many.
            seed: of the candidates' sample.

        Raises:
            ValueError: an item id the agent does not know.
        """
        if (past.items >= self.num_items).any():
            raise ValueError(expected("past.items", f"item ids below {self.num_items}", int(past.items.max())))
        past = past.to(self.device)
        items, batch, values = self._values(past, torch.Generator(self.device).manual_seed(seed))
        return F.pad(items, (0, 1), value=-1)[ragged_topk(values, batch, len(past), at_least("k", k, 1))]

    @torch.no_grad()
    def _values(self, sessions: Sessions, generator: torch.Generator | None) -> tuple[Tensor, Tensor, Tensor]:
        """Candidates (``items [K]``, ``batch [K]``) and their Q-values ``[K]``."""
        network = self.acting
        if self._view is None:
            self._view = network.view()
        state = network.extend(self._running.advance(network, self._view, sessions), self._view, sessions)
        items, batch = self.candidates.select(sessions.liked, sessions.shown, generator)
        return items, batch, network.values(state, self._view, items, batch)

    # ----------------------------------------------------------------------------------------------------- learning

    def learn(self, sessions: Sessions, generator: torch.Generator | None = None) -> dict[str, float]:
        """Stores finished sessions and makes ``gradient_steps`` steps on replayed ones (Algorithm 1, lines 18 to 21).

        Returns:
            ``loss`` and ``q``, means over the gradient steps, and ``gradient_steps``.
        """
        self.replay.add(sessions)
        total = torch.zeros(2, device=self.device)
        for _ in range(self.gradient_steps):
            total += self._gradient_step(self.replay.sample(self.batch_size, generator), generator)
        loss, q = (total / max(self.gradient_steps, 1)).tolist()
        return {"loss": loss, "q": q, "gradient_steps": self.gradient_steps}

    def _gradient_step(self, batch: Transitions, generator: torch.Generator | None) -> Tensor:
        network, rows = self.network, torch.arange(len(batch.items), device=self.device)
        view = network.view(project=False)
        state = network.states(view, batch.before)
        values = network.values(state, view, batch.items, rows)
        loss = F.mse_loss(values, self._targets(view, batch, generator))
        if network.taste is not None:
            loss = loss + F.mse_loss(network.feedback(state, view, batch.items, rows), batch.feedback)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self._follow()
        return torch.stack([loss.detach(), values.detach().mean()])

    @torch.no_grad()
    def _targets(self, view: ItemView, batch: Transitions, generator: torch.Generator | None) -> Tensor:
        """``[R]``, y_t of equation 14: the online network picks among the candidates of o_{t+1}, the target values."""
        if not self.gamma:
            return batch.rewards
        state = self.network.states(view, batch.after)
        items, session = self.candidates.select(batch.after.liked, batch.after.shown, generator)
        values = self.network.values(state, view, items, session)
        best = ragged_argmax(values, session, len(batch.items))
        chosen = F.pad(items, (0, 1))[best]
        rows = torch.arange(len(chosen), device=self.device)
        if isinstance(self.target, QNetwork):
            view = self.target.view(project=False)
            following = self.target.values(self.target.states(view, batch.after), view, chosen, rows)
        else:
            following = self.network.values(state, view, chosen, rows, head=self.target)
        ends = batch.last | (best < 0)
        return batch.rewards + self.gamma * following.masked_fill(ends, 0.0)

    @torch.no_grad()
    def _follow(self) -> None:
        """Moves the target (equation 15) and the running average after a gradient step."""
        self.steps_taken += 1
        online = self.network if self.target_kind == "all" else self.network.head
        _lerp(self.target, online, self.tau)
        if self.averaged is not None:
            # the memory grows with the run: short at first, as early weights should not linger, long when all is calm
            _lerp(self.averaged, self.network, 1 / (1 + self.average * self.steps_taken))
        self._view = None

    # ------------------------------------------------------------------------------------------------ saving, moving

    @property
    def device(self) -> torch.device:
        return self.network.embedding.device

    def training_state(self) -> dict[str, Tensor]:
        """What a run needs, beside the weights, to go on exactly: optimiser, replay, counter."""
        state = {f"optimizer.{name}": value for name, value in optimizer_tensors(self.optimizer).items()}
        state |= {f"replay.{name}": value for name, value in self.replay.state_dict().items()}
        return state | {"steps_taken": torch.tensor(self.steps_taken)}

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from :meth:`training_state`."""
        load_optimizer_tensors(self.optimizer, below("optimizer.", state))
        self.replay.load_state_dict(below("replay.", state))
        self.steps_taken = int(state["steps_taken"])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes weights and options to one safetensors file, whole or not at all."""
        metadata = {"kind": "KGQR agent", "options": self.options, "kg": self.data_digest}
        save_tensors(path, self.state_dict(), metadata)

    @classmethod
    def load(cls, path: str | os.PathLike[str], kg: Data, **options: Any) -> KGQR:
        """The agent that :meth:`save` wrote.

        Args:
            path: the file.
            kg: the KG it was trained on.
            **options: over those in the file; a user-made ``aggregator`` or ``candidates`` must be given again.

        Raises:
            ValueError: a damaged or foreign file, another KG, or a missing user-made part.
        """
        tensors, metadata = load_tensors(path, "KGQR agent")
        if metadata["kg"] != kg_digest(kg):
            raise ValueError(f"{path} was trained on another knowledge graph ({metadata['kg'][:12]}…), "
                             f"got one with digest {kg_digest(kg)[:12]}…; load the same data set with the same options")
        saved = metadata["options"]
        for part, made in (("aggregator", saved["aggregator"]), ("candidates", saved.pop("own_candidates"))):
            if part not in options and made is not None and (part == "candidates" or isinstance(made, dict)):
                raise ValueError(expected(part, f"given again, as it was made by hand ({made})", None))
        options = saved | options
        if options["backfill"] is not None:
            options["backfill"] = tuple(options["backfill"])
        agent = cls(kg, embedding=tensors["network.embedding"], popular=tensors.get("popular"), **options)
        agent.load_state_dict(tensors)
        return agent

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        self._view = None
        return super().load_state_dict(*args, **kwargs)

    def _apply(self, *args: Any, **kwargs: Any) -> KGQR:
        self._view = None
        return cast(KGQR, super()._apply(*args, **kwargs))


def kg_digest(kg: Data) -> str:
    """What an agent file remembers of its KG: items, entities and every typed edge."""
    edge_type = kg.edge_type if "edge_type" in kg else torch.empty(0)
    return digest(int(kg.num_items), int(kg.num_nodes), torch.as_tensor(kg.edge_index).as_subclass(Tensor), edge_type)


def _checked_epsilon(epsilon: float | Sequence[float]) -> list[float]:
    """``[low, high]``."""
    low, high = (epsilon, epsilon) if isinstance(epsilon, (int, float)) else epsilon
    between("epsilon", high, 0, 1)
    return [between("epsilon", low, 0 if low == high else 1e-6, high), float(high)]


def _network(kg: Data, embedding: Tensor | None, options: Mapping[str, Any], aggregator: Any) -> QNetwork:
    """The online network; embeddings as given, everything else uniformly at random."""
    convolves = options["variant"] in ("KGQR", "KGQR-CS")
    need = int(kg.num_nodes) if convolves else int(kg.num_items)
    dim = options["dim"]
    if embedding is None:
        if options["variant"] == "KGQR-KG":
            hint = "kgrl.pretrain.item_vectors(data, users, kind='mf') makes them"
            raise ValueError(expected("embedding", "the items' vectors from ratings for variant KGQR-KG", None, hint))
        embedding = torch.empty(need, dim).uniform_(-1, 1).mul_(dim**-0.5)
    if embedding.dim() != 2 or len(embedding) < need or not embedding.isfinite().all():
        came = f"{list(embedding.shape)}"
        raise ValueError(expected("embedding", f"finite vectors [{need}, d], one an entity of the KG", came))
    channels = embedding.size(1)
    encoder = None
    if convolves:
        encoder = KGEncoder.from_kg(kg, channels=[channels] + [dim] * options["hops"], hops=options["hops"],
                                    aggregator=aggregator)
    return QNetwork(
        embedding[:need], int(kg.num_items), encoder, dim if convolves else channels, options["state_channels"],
        options["hidden_channels"], options["streak_state"], options["taste_channels"],
    )


def _candidates(kg: Data, popular: Tensor | None, options: Mapping[str, Any]) -> KHopCandidates:
    """The k-hop candidates; every item where the variant has no candidate selection."""
    if options["variant"] == "KGQR":
        return KHopCandidates(kg, hops=options["hops"], size=options["num_candidates"], popular=popular,
                              backfill=options["backfill"], max_degree=options["max_degree"])
    count = int(kg.num_items)
    return KHopCandidates(kg, hops=1, size=None, popular=torch.arange(count), backfill=("popular", count))


def _lerp(target: nn.Module, online: nn.Module, share: float) -> None:
    """Moves every parameter of ``target`` the given share of the way to ``online``'s."""
    torch._foreach_lerp_(list(target.parameters()), list(online.parameters()), share)
