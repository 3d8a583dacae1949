"""``DDPG``: what the agents share whose actor answers with a vector and whose critic values it, and their network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from kgrl.agents.q_learning.network import ItemView, Outlook, QNetwork
from kgrl.agents.q_learning.vector_agent import VectorAgent
from kgrl.options import between
from kgrl.raw_ids import RawIds
from kgrl.seeding import fenced
from kgrl.sessions import Sessions


class ActorCritic(QNetwork):
    r"""State and critic of :class:`kgrl.agents.q_learning.network.QNetwork`, and an actor that answers with a vector.

    .. math::
        \mathbf x &= \mathbf W_3\, \sigma(\mathbf W_2\, \sigma(\mathbf W_1 \mathbf s + \mathbf b_1) + \mathbf b_2)
        + \mathbf b_3 \\
        \mu(\mathbf s) &= \mathbf c \circ \tanh(\mathbf x), \qquad c_j = \max_i |v_{ij}|

    with σ the ReLU: a *proto-action* in the range of the items' vectors. The critic takes a vector for an item, and so
    values proto-actions as it values items.

    Args:
        vectors: ``[N, d]``, the items'; they stay as they are, as the actor could not aim at what moves.
        reached: ``[P, d]``, those whose range the actor's answers are in.
        state_channels, hidden_channels, streak_state, taste_channels, horizon, recurrent: see
            :class:`kgrl.agents.q_learning.network.QNetwork`; ``hidden_channels`` is the actor's width, too.
    """

    scale: Tensor

    def __init__(
        self, vectors: Tensor, reached: Tensor, state_channels: int = 64, hidden_channels: int = 64,
        streak_state: bool = False, taste_channels: int = 0, horizon: int = 32, recurrent: nn.Module | None = None,
    ) -> None:
        size = vectors.size(1)
        super().__init__(vectors, len(vectors), None, size, state_channels, hidden_channels, streak_state,
                         taste_channels, horizon=horizon, recurrent=recurrent)
        self.items.embedding.requires_grad_(False)
        self.register_buffer("scale", reached.abs().amax(0))
        widths = (self.head.state_channels, hidden_channels, hidden_channels, size)
        first, second, last = (nn.Linear(*pair) for pair in pairwise(widths))
        self.actor = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), last)

    def bounded(self, aims: Tensor) -> Tensor:
        """μ of the actor's answers **x**."""
        return self.scale * aims.tanh()

    def worth(self, state: Tensor, actions: Tensor) -> Tensor:
        """``[B]``, Q of the states ``[B, s]`` with one vector each, ``[B, d]``."""
        rows = torch.arange(len(state), device=state.device)
        return self.values(state, ItemView(actions, actions, actions, actions), rows, rows)


class DDPG(VectorAgent):
    r"""Deep deterministic policy gradient over item vectors (Lillicrap et al., 2016).

    The actor μ answers a state with a vector, the *proto-action*; which item π that makes is what
    :class:`kgrl.agents.DDPGKNN` and :class:`kgrl.agents.DDPGR` differ in. The critic learns from the item shown, and
    the actor from the critic:

    .. math::
        y_t &= r_t + \gamma\, Q'\bigl(s_{t+1}, \pi'(s_{t+1})\bigr), \qquad
        L_Q = \mathbb E\,\bigl(y_t - Q(s_t, i_t)\bigr)^2 \\
        L_\mu &= -\mathbb E\, Q\bigl(s_t, \mu(s_t)\bigr) + \lambda\, \mathbb E\, \overline{\mathbf x_t^2}

    where Q′ and π′ are of target copies that follow slowly, and **x** is what μ's tanh is taken of. Actor and critic
    share KGQR's state (a GRU over the liked items), which the critic's loss alone trains; the actor's loss leaves the
    critic as it is. The item vectors stay as they are, too: in them the actor's answers have their meaning.

    Differs from DDPG: λ, for the critic knows items alone, promises more the further from them, and would drive the
    actor to where its tanh no longer moves (at λ = 0 it may answer all users alike); one Adam step for both, the
    actor's by the critic as it was before; white noise, not an Ornstein-Uhlenbeck process, and ε-greedy beside it.
    Paper is silent (KGQR's and TPGR's): on all of this but two fully connected ReLU layers. Between these and the
    proto-action there is a linear one here, and a tanh that keeps it in the vectors' range.

    Args:
        vectors: ``[N, d]``, the items' vectors, e.g. matrix factorization's, from
            :func:`kgrl.pretrain.item_vectors`.
        own: the subclass's own options, checked.
        pool: ``[P]``, the items that may be recommended, e.g. the 300 most liked; ``None``: all.
        actor_lr: learning rate of the actor; ``None``: as everything else.
        restraint: λ ≥ 0.
        noise: standard deviation of the noise on the proto-action while exploring, in those of the vectors.
        state: what is remembered of the items shown, as in :class:`kgrl.agents.KGQR`.
        ids: ``[N]``, the items' raw ids (``data["item"].raw_id``), by which its file is checked when it is loaded.
        preset, ..., seed: see :class:`kgrl.agents.q_learning.learner.OffPolicyAgent`; with ``target="head"`` the target
            is a copy of actor and dueling head, with ``"all"`` of the state, too.

    Raises:
        ValueError: vectors of another shape, or not finite, a pool that is none, ids of other items, or an option
            outside its range.
        TypeError: ``state`` is no session state.
    """

    REPORT: ClassVar[tuple[str, ...]] = ("loss", "q", "proto_q")
    network: ActorCritic
    spread: Tensor

    def __init__(
        self, vectors: Tensor, *, own: Mapping[str, Any] | None = None, pool: Tensor | None = None,
        ids: RawIds | None = None, actor_lr: float | None = None, restraint: float = 0.3, noise: float = 0.1,
        state: Any = "gru", preset: str = "default", state_channels: int = 64, hidden_channels: int = 64,
        streak_state: bool | None = None, horizon: int = 32, taste_channels: int | None = None, gamma: float = 0.1,
        epsilon: float | tuple[float, float] = 0.05, lr: float = 3e-3, weight_decay: float = 0.0,
        batch_size: int = 128, gradient_steps: int = 64, tau: float = 0.01, target: str = "head",
        average: float | None = None, replay_size: int = 100_000, seed: int = 0,
    ) -> None:
        checked = {"actor_lr": None if actor_lr is None else between("actor_lr", actor_lr, 0, 1),
                   "restraint": between("restraint", restraint, 0, float("inf")),
                   "noise": between("noise", noise, 0, float("inf"))}
        super().__init__(
            vectors, pool, {**(own or {}), **checked}, ids, state, preset=preset,
            state_channels=state_channels, hidden_channels=hidden_channels,
            streak_state=streak_state, horizon=horizon, taste_channels=taste_channels, gamma=gamma, epsilon=epsilon,
            lr=lr, weight_decay=weight_decay, batch_size=batch_size, gradient_steps=gradient_steps, tau=tau,
            target=target, average=average, replay_size=replay_size, seed=seed,
        )
        vectors = vectors.detach().float()
        reached = self.pool.of(vectors)
        widths = ("state_channels", "hidden_channels", "streak_state", "taste_channels", "horizon")
        with fenced(self.options["seed"]):
            network = ActorCritic(vectors, reached, **{name: self.options[name] for name in widths},
                                  recurrent=self._recurrent(state, vectors))
        self.register_buffer("spread", reached.std(0, correction=0))
        self._begin(network, list(network.actor.parameters()), actor_lr)
        self.to(vectors.device)

    def _followed(self) -> nn.Module:
        if self.options["target"] == "all":
            return self.network
        return nn.ModuleDict({"actor": self.network.actor, "head": self.network.head})

    @property
    def vectors(self) -> Tensor:
        """``[P, d]``, of the pool's items."""
        return self.pool.of(self.network.items.embedding)

    def _ranked(self, seen: Outlook, gone: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
        network = cast(ActorCritic, seen.network)
        actions = network.bounded(network.actor(seen.state))
        if generator is not None and self.options["noise"]:
            draws = torch.randn(actions.shape, generator=generator, device=actions.device, dtype=torch.float)
            actions = actions + self.options["noise"] * self.spread * draws
        return self._answers(seen, actions, gone, count)

    def _answers(self, seen: Outlook, actions: Tensor, gone: Tensor, count: int) -> Tensor:
        """``[B, count]``, the places of the items that proto-actions ``[B, d]`` make, best first; see _ranked."""
        raise NotImplementedError

    def _following(
        self, online: Outlook, delayed: Outlook, sessions: Sessions, generator: torch.Generator | None
    ) -> Tensor:
        """π′: what target actor and target critic would pick."""
        network = cast(ActorCritic, delayed.network)
        actions = network.bounded(cast(nn.Module, self.target.actor)(delayed.state))
        return self.pool.items(self._answers(delayed, actions, self.pool.places(sessions.shown), 1).squeeze(1))

    def _backward_more(self, seen: Outlook) -> Sequence[Tensor]:
        """The actor's gradients, and nobody else's."""
        network, state = self.network, seen.state.detach()
        aims = network.actor(state)
        worth = network.worth(state, network.bounded(aims)).mean()
        loss = self.options["restraint"] * aims.square().mean() - worth
        loss.backward(inputs=list(network.actor.parameters()))
        return [worth.detach()]
