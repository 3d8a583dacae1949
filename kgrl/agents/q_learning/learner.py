"""``OffPolicyAgent``: the loop of every agent that learns a Q-function from replayed steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kgrl.agents.q_learning.learner_options import Epsilons, learner_options
from kgrl.agents.q_learning.network import ItemView, Outlook, QNetwork
from kgrl.agents.q_learning.replay import EpisodeReplay, Transitions
from kgrl.agents.shared.catalogue import Catalogued
from kgrl.agents.shared.picking import finite_report
from kgrl.agents.shared.weights import (
    Versioned,
    frozen_copy,
    load_optimizer_tensors,
    moved_along,
    moved_towards,
    optimizer_tensors,
)
from kgrl.agents.state.session_state import advance
from kgrl.files import below
from kgrl.nn.policy.dueling import DuelingHead
from kgrl.seeding import given_or_new
from kgrl.sessions import Sessions

SETTLING = 8
"""Batches of replayed steps that what all items have in common is fitted to."""
WARM_MEMORY = 100
"""Gradient steps that the running average of the weights remembers at least, after a warm start."""


class OffPolicyAgent(Catalogued, Versioned):
    r"""What :class:`kgrl.agents.KGQR`, :class:`kgrl.agents.DQNR` and the DDPG agents share.

    Finished sessions go into a replay, and each gradient step is made on steps drawn from it:

    .. math::
        y_t &= r_t + \gamma\, Q'\bigl(s_{t+1}, i'_{t+1}\bigr) \\
        L &= \mathbb E\,\bigl(y_t - Q(s_t, i_t)\bigr)^2, \qquad
        \theta_{Q'} \leftarrow \tau\,\theta_Q + (1 - \tau)\,\theta_{Q'}

    Which item :math:`i'_{t+1}` follows, and which is shown, is what its subclasses say; nothing is bootstrapped from
    beyond a session's last step. See :class:`kgrl.agents.KGQR` on where that differs from Algorithm 1.

    A subclass has ``num_items`` and ``data_digest``, makes its network, calls :meth:`_begin`, and defines ``act``,
    ``recommend`` and :meth:`_following`.

    Args:
        own: the subclass's own options, checked.
        state_channels, hidden_channels: width of the GRU and of the head.
        preset: ``"default"``, or ``"paper"``, which has none of streak state, taste state and average unless given.
        streak_state: whether the head also sees c_p, c_n and the step; ``None``: yes (``"paper"``: no).
        horizon: T, by whose root the streak and the step are divided; matters with ``streak_state`` alone.
        taste_channels: length of the taste state, see :class:`kgrl.nn.TasteState`, whose squared error joins the loss;
            0 for none; ``None``: 8 (``"paper"``: 0).
        gamma, lr, weight_decay: discount γ of learning (the metrics are undiscounted); Adam's rate and L2 term.
        epsilon: chance of a random item while exploring; (low, high): spread over the sessions of a rollout, see
            :class:`kgrl.agents.q_learning.learner_options.Epsilons`.
        batch_size, gradient_steps: steps a gradient step is made of, and gradient steps after each rollout.
        tau: share of the online weights that moves into the target at each gradient step; ``target="head"``: the
            target's state is the online one; ``"all"``: the target has a copy of that, too.
        average: memory of the running average of the weights, as a share of the gradient steps so far (and at least 100
            of them after a warm start); 0 for none; ``None``: 0.1 (``"paper"``: 0).
        replay_size, seed: sessions the replay holds; of the initial weights.

    Raises:
        ValueError: an option outside its range.
    """

    REPORT: ClassVar[tuple[str, ...]] = ("loss", "q")
    """What a gradient step returns."""
    schedule: Mapping[str, int] = {"interactions": 40_960, "evaluate_every": 1_024, "sessions": 32}
    """What :func:`kgrl.fit` takes where it is not told."""

    network: QNetwork
    target: nn.Module
    averaged: QNetwork | None
    num_items: int
    data_digest: str

    def __init__(
        self, own: Mapping[str, Any], *, preset: str = "default", state_channels: int = 64, hidden_channels: int = 64,
        streak_state: bool | None = None, horizon: int = 32, taste_channels: int | None = None, gamma: float = 0.1,
        lr: float = 3e-3, weight_decay: float = 0.0, epsilon: float | Sequence[float] = 0.05, batch_size: int = 128,
        gradient_steps: int = 64, tau: float = 0.01, target: str = "head", average: float | None = None,
        replay_size: int = 100_000, seed: int = 0,
    ) -> None:
        super().__init__()
        self.epsilons = Epsilons(epsilon)
        self.options: dict[str, Any] = {**own, **learner_options(
            preset, state_channels, hidden_channels, streak_state, horizon, taste_channels, gamma, lr, weight_decay,
            self.epsilons, batch_size, gradient_steps, tau, target, average, replay_size, seed)}
        self.gamma, self.tau, self.average = gamma, tau, self.options["average"]
        self.batch_size, self.gradient_steps = batch_size, gradient_steps
        self.replay, self.steps_taken = EpisodeReplay(replay_size), 0

    def _begin(self, network: QNetwork, apart: Sequence[nn.Parameter], lr: float | None) -> None:
        """Takes the online network, and makes target, running average and optimiser of it.

        Args:
            network: freshly made.
            apart: those of its parameters that have a learning rate of their own.
            lr: that rate; ``None``: as everything else.
        """
        self.network = network
        self.target = frozen_copy(self._followed())
        self.averaged = frozen_copy(network) if self.average else None
        known = {id(parameter) for parameter in apart}
        rest = [p for p in network.parameters() if p.requires_grad and id(p) not in known]
        usual, decay = self.options["lr"], self.options["weight_decay"]
        groups: list[dict[str, Any]] = [{"params": list(apart), "lr": usual if lr is None else lr}, {"params": rest}]
        self.optimizer = torch.optim.Adam(groups, lr=usual, weight_decay=decay, fused=True)

    def _followed(self) -> nn.Module:
        """What the target is a copy of: the network, or a dueling head, or what has one under the name ``head``."""
        return self.network if self.options["target"] == "all" else self.network.head

    # ------------------------------------------------------------------------------------------------------- acting

    @property
    def acting(self) -> QNetwork:
        """The network that decides: the running average where there is one."""
        return self.network if self.averaged is None else self.averaged

    @torch.no_grad()
    def _look(self, sessions: Sessions) -> Outlook:
        """``sessions`` as the deciding network sees them; what it says of the items is computed once a version."""
        network = self.acting
        view = self.kept("view", network.view)
        return Outlook(network, network.head, view, advance(self, network.state, view.state, sessions))

    # ----------------------------------------------------------------------------------------------------- learning

    def learn(self, sessions: Sessions, generator: torch.Generator | None = None) -> dict[str, float]:
        """Stores finished sessions and makes ``gradient_steps`` steps on replayed ones (Algorithm 1, lines 18 to 21).

        The first time after a warm start, what all items' rewards have in common is fitted by least squares before.

        Args:
            sessions: finished.
            generator: of the replayed steps, on the agent's device; default a new one, seeded by ``seed`` and the
                number of gradient steps made so far.

        Returns:
            ``loss``, ``q`` (of the items shown) and what else the method has, means over the gradient steps, and
            ``gradient_steps``.

        Raises:
            ValueError: a loss, Q-value or weight is not finite: the agent has diverged.
        """
        generator = given_or_new(generator, self.device, self.options["seed"] + self.steps_taken)
        self.replay.add(sessions)
        if self.gradient_steps and self.network.head.silent:
            self._settle(self.replay.sample(SETTLING * self.batch_size, generator))
        total = torch.zeros(len(self.REPORT), device=self.device, dtype=torch.float)
        for _ in range(self.gradient_steps):
            total += self._gradient_step(self.replay.sample(self.batch_size, generator), generator)
        means = total / max(self.gradient_steps, 1)
        return finite_report(self.REPORT, means, self.parameters()) | {"gradient_steps": self.gradient_steps}

    @torch.no_grad()
    def _settle(self, batch: Transitions) -> None:
        self.network.settle(batch.before, batch.items, batch.rewards)
        moved_towards(self.target, self._followed(), 1.0)
        if self.averaged is not None:
            moved_towards(self.averaged, self.network, 1.0)

    def _gradient_step(self, batch: Transitions, generator: torch.Generator | None) -> Tensor:
        network, rows = self.network, torch.arange(len(batch.items), device=self.device)
        view = network.view(project=False)
        seen = Outlook(network, network.head, view, network.states(view, batch.before))
        values = seen.values(batch.items, rows)
        loss = F.mse_loss(values, self._targets(view, batch, generator))
        if network.taste is not None:
            loss = loss + F.mse_loss(network.feedback(seen.state, view, batch.items, rows), batch.feedback)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        more = self._backward_more(seen)
        self.optimizer.step()
        self._follow()
        return torch.stack([loss.detach(), values.detach().mean(), *more])

    def _backward_more(self, seen: Outlook) -> Sequence[Tensor]:
        """Adds the gradients of what else is learned; returns what :attr:`REPORT` has of it."""
        return ()

    @torch.no_grad()
    def _targets(self, view: ItemView, batch: Transitions, generator: torch.Generator | None) -> Tensor:
        """``[R]``, y_t: the target's value of the item that follows."""
        if not self.gamma:
            return batch.rewards
        online = Outlook(self.network, self.network.head, view, self.network.states(view, batch.after))
        delayed = self._delayed(online, batch.after)
        chosen = self._following(online, delayed, batch.after, generator)
        rows = torch.arange(len(chosen), device=self.device)
        ends = batch.last | (chosen < 0)
        return batch.rewards + self.gamma * delayed.values(chosen.clamp(min=0), rows).masked_fill(ends, 0.0)

    def _delayed(self, online: Outlook, sessions: Sessions) -> Outlook:
        """The sessions as the target sees them."""
        if isinstance(self.target, QNetwork):
            view = self.target.view(project=False)
            return Outlook(self.target, self.target.head, view, self.target.states(view, sessions))
        return online._replace(head=cast(DuelingHead, getattr(self.target, "head", self.target)))

    def _following(
        self, online: Outlook, delayed: Outlook, sessions: Sessions, generator: torch.Generator | None
    ) -> Tensor:
        """``[B]``, the item whose value the step before is credited with; −1 where nothing is left."""
        raise NotImplementedError

    @torch.no_grad()
    def _follow(self) -> None:
        """Moves the target (equation 15) and the running average after a gradient step."""
        self.steps_taken += 1
        self.version += 1
        moved_towards(self.target, self._followed(), self.tau)
        if self.averaged is not None:
            # the memory grows with the run: short at first, as early weights should not linger, long when all is calm;
            # but what a warm start begins with is worth more than what the first few sessions teach
            least = WARM_MEMORY if self.network.warm else 0
            moved_towards(self.averaged, self.network, 1 / (1 + max(least, self.average * self.steps_taken)))

    @property
    def device(self) -> torch.device:
        return self.network.items.embedding.device

    def training_state(self) -> dict[str, Tensor]:
        """What a run needs, beside the weights, to go on exactly: optimiser, replay, counter."""
        state = {f"optimizer.{name}": value for name, value in optimizer_tensors(self.optimizer).items()}
        state |= {f"replay.{name}": value for name, value in self.replay.state_dict().items()}
        return state | {"steps_taken": torch.tensor(self.steps_taken, device="cpu")}

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from :meth:`training_state`."""
        load_optimizer_tensors(self.optimizer, below("optimizer.", state))
        self.replay.load_state_dict({name: part.to(self.device) for name, part in below("replay.", state).items()})
        self.steps_taken = int(state["steps_taken"])

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        found = moved_along(self, [self.optimizer], lambda: super(OffPolicyAgent, self)._apply(*args, **kwargs))
        self.replay.to(self.device)
        return found
