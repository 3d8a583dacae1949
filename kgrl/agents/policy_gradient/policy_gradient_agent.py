"""``PolicyGradientAgent``: the loop of an agent that learns a tree policy by its gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor

from kgrl.agents.policy_gradient.finished_sessions import Kept, Recall, RolloutCache, decided_steps, parts, returns
from kgrl.agents.shared.catalogue import Catalogued
from kgrl.agents.shared.item_vectors import ItemVectors
from kgrl.agents.shared.picking import check_turn, check_values, finite_report, list_length, of_known_items
from kgrl.agents.shared.weights import Versioned, load_optimizer_tensors, moved_along, optimizer_tensors
from kgrl.agents.state.joined import JoinedState, KnownTaste
from kgrl.agents.state.session_state import advance, carry_of, states_over
from kgrl.candidates.fixed import checked_pool
from kgrl.files import below
from kgrl.nn.policy.item_scores import ItemScores, Levels
from kgrl.nn.policy.tree_policy import TreePolicy
from kgrl.options import expected
from kgrl.seeding import given_or_new
from kgrl.sessions import UNDEFINED, Sessions

OPTIMIZERS = ("optimizer", "pretrain_optimizer")


class PolicyGradientAgent(Catalogued, Versioned):
    r"""What :class:`kgrl.agents.TPGR` does with finished sessions: REINFORCE, or PPO's clipped form of it.

    .. math:: \nabla J \approx \mathbb E\Bigl[\sum_t \nabla \log \pi_\theta(a_t \mid \mathbf s_t)\, A_t\Bigr]

    with :math:`A_t` the returns of :func:`kgrl.agents.policy_gradient.finished_sessions.returns`.

    A subclass makes the parts below, sets ``options`` and calls :meth:`_begin`; ``num_items`` is what its tree holds.

    Attributes:
        items: the items' vectors.
        state: of the sessions, with a part named ``recurrent``.
        policy: which item, given a state.
        memory: what the recurrent state is pre-trained with.
    """

    schedule: Mapping[str, int] = {"interactions": 1_310_720, "evaluate_every": 262_144, "sessions": 8_192}
    """What :func:`kgrl.fit` takes where it is not told: rollouts of many sessions, as a walk costs little. Up to
    262,144 interactions are then one rollout: for a short run, give ``sessions``."""

    items: ItemVectors
    state: JoinedState
    policy: TreePolicy
    memory: Recall
    sharpness: Tensor
    spread: Tensor
    options: dict[str, Any]
    num_items: int

    def _begin(self, lr: float, weight_decay: float, pretrain_lr: float) -> None:
        """Makes the optimisers of what is there."""
        history = [*self.items.parameters(), *self.state.parameters()]
        rest = [p for name, p in self.named_parameters() if not name.startswith(("items.", "state.", "memory."))]
        policy = rest if self.options["frozen"] else [*history, *rest]
        self.optimizer = torch.optim.Adam(policy, lr=lr, weight_decay=weight_decay, fused=True)
        self.pretrain_optimizer = torch.optim.Adam([*history, *self.memory.parameters()], lr=pretrain_lr, fused=True)

    @property
    def device(self) -> torch.device:
        return self.policy.index.leaves.device

    # ------------------------------------------------------------------------------------------------------- acting

    def restrict(self, items: Tensor | None) -> Self:
        """From now on it recommends ``items [K]`` alone, as if no other hung in the tree; ``None``: all items again.

        Not kept in files.

        Raises:
            ValueError: no items, or some that are unknown or repeated.
        """
        self.policy.restrict(None if items is None else checked_pool("items", items, self.num_items))
        self.version += 1
        return self

    @torch.no_grad()
    def act(self, sessions: Sessions, explore: bool = False, generator: torch.Generator | None = None) -> Tensor:
        """``[B]``, the next item of every session; −1 where nothing is left to recommend.

        Writes the log-probability of each into ``sessions.log_prob``.

        Args:
            sessions: the sessions so far.
            explore: drawn from the policy rather than the likeliest child at every node.
            generator: of the draws, on the sessions' device; default a new one, seeded by the step.
        """
        check_turn(sessions, explore, generator)
        states = advance(self, self.state, self.kept("items", lambda: self.state.items(self.items())), sessions)
        gone = sessions.shown if sessions.step else None
        levels: Levels = self.kept(f"levels, explore={explore}",
                                   lambda: self.policy.prepare(self._scores(), merge=not explore))
        if explore:
            generator = given_or_new(generator, self.device, sessions.step)
            walk = self.policy.sample(states, gone, generator, levels)
            RolloutCache.note(self, sessions, states, walk)
        else:
            walk = self.policy.greedy(states, gone, levels)
        if sessions.step < sessions.items.size(1):
            sessions.log_prob[:, sessions.step] = walk.log_prob
        broken = walk.log_prob.isnan()
        if gone is not None and gone.size(1) >= self.policy.index.num_left:  # where all are gone, it is no number, too
            broken &= walk.items >= 0
        return walk.items.masked_fill(broken, UNDEFINED)

    def _scores(self) -> ItemScores | None:
        """The feedback expected of each item."""
        taste = self.state.part("taste")
        if not isinstance(taste, KnownTaste):
            return None
        terms = taste.terms
        return ItemScores(terms.loading, terms.expected, self.sharpness, self.spread)

    def recommend(self, past: Sessions, k: int = 10, beam: int | None = None) -> Tensor:
        """``[B, k]``, the k likeliest items of each real user, best first, padded with −1 where there are fewer.

        Args:
            past: what was shown and how it was received, see :meth:`kgrl.sessions.Sessions.from_history`.
            k: how many.
            beam: see :meth:`kgrl.nn.TreePolicy.topk`.

        Raises:
            ValueError: an item id the agent does not know, or values that are not finite: it has diverged.
        """
        past = of_known_items(past, self.num_items).to(self.device)
        with torch.no_grad():
            states = self.state.read(carry_of(self.state, self.items(), past))
            found = self.policy.topk(states, list_length(k), past.items, beam, self._scores())
        check_values(found.log_prob)
        return found.items

    # ----------------------------------------------------------------------------------------------------- learning

    def learn(self, sessions: Sessions, generator: torch.Generator | None = None) -> dict[str, float]:
        """One policy update (Algorithm 1) on finished sessions, or ``epochs`` × ``minibatches`` of them.

        Only what the agent decided is learned from: not the item that a cold-start protocol opened a session with.

        Args:
            sessions: finished.
            generator: of the minibatches, on the agent's device; default a new one, seeded by ``seed`` and by how often
                it has changed.

        Returns:
            ``loss``, ``entropy``, means over the gradient steps, and ``gradient_steps``.

        Raises:
            ValueError: the sessions are of another horizon than the agent was made for, or it decided nothing in them;
                or a loss or weight that is not finite: it has diverged.
        """
        if sessions.horizon != self.options["horizon"]:
            raise ValueError(expected("sessions", f"of horizon {self.options['horizon']}", sessions.horizon,
                                      f"make the agent with horizon={sessions.horizon}"))
        if not bool((decided := decided_steps(sessions)).any()):
            raise ValueError(expected("sessions", "of steps that the agent decided", "none, by their `log_prob`",
                                      "roll out with explore=True; an opening item of the simulator is not its own"))
        generator = given_or_new(generator, self.device, self.options["seed"] + self.version)
        gamma, baseline, standardise = (self.options[name] for name in ("gamma", "baseline", "standardise"))
        advantages = returns(sessions, gamma, baseline, standardise, decided)
        total, steps = torch.zeros(2, device=self.device, dtype=torch.float), 0
        kept = RolloutCache.take(self, sessions)
        for epoch in range(self.options["epochs"]):
            order = torch.randperm(len(sessions), generator=generator, device=self.device)
            for part in parts(order, self.options["minibatches"], shuffled=epoch > 0):
                total += self._gradient_step(sessions.rows(part), advantages[part], kept and kept.rows(part))
                steps += 1
        return finite_report(("loss", "entropy"), total / steps, self.parameters()) | {"gradient_steps": steps}

    def pretrain(self, sessions: Sessions, generator: torch.Generator | None = None) -> dict[str, float]:
        """Teaches the recurrent state to remember: one gradient step on the error of recalled rewards.

        See :class:`kgrl.agents.policy_gradient.finished_sessions.Recall`. :func:`kgrl.fit` calls this on sessions of
        random items.

        Returns ``loss``, the mean squared error, and ``gradient_steps``.

        Raises:
            ValueError: a loss or weight that is not finite: it has diverged.
        """
        vectors, generator = self.items(), given_or_new(generator, self.device, self.options["seed"] + self.version)
        recurrent = self.state.parts[self.state.place("recurrent")]
        states = states_over(recurrent, vectors, sessions)[1 + sessions.begin :]
        loss = self.memory(states, vectors, sessions, generator)
        self.pretrain_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.pretrain_optimizer.step()
        self.version += 1
        return finite_report(("loss",), loss.detach().unsqueeze(0), self.parameters()) | {"gradient_steps": 1}

    def _gradient_step(self, sessions: Sessions, advantages: Tensor, kept: Kept | None = None) -> Tensor:
        """Loss and entropy; ``kept``: what is known from the rollout."""
        begin, frozen = sessions.begin, self.options["frozen"]
        decided, drawn = decided_steps(sessions)[:, begin:].t(), sessions.log_prob[:, begin : sessions.step].t()
        if kept is not None and frozen:
            states = kept.states
        else:
            with torch.set_grad_enabled(not frozen):
                states = states_over(self.state, self.items(), sessions)[begin:-1]
        log_prob, entropy = self.policy.session_log_prob_and_entropy(
            states, sessions.shown[:, begin:], self._scores(), kept.choices if kept is not None else None,
            sessions.shown[:, :begin])
        gain = self._gain(log_prob, drawn, advantages[:, begin:].t())
        count = decided.sum().clamp(min=1)  # in a part of the sessions there may be none
        loss = -torch.where(decided, gain, 0.0).sum() / count
        bonus = torch.where(decided, entropy, 0.0).sum() / count
        objective = loss - self.options["entropy"] * bonus
        self.optimizer.zero_grad(set_to_none=True)
        objective.backward()
        self.optimizer.step()
        self.version += 1
        return torch.stack([loss.detach(), bonus.detach()])

    def _gain(self, log_prob: Tensor, old: Tensor, advantages: Tensor) -> Tensor:
        """What is maximised of each step: log π · advantage, or PPO's clipped ratio."""
        clip = self.options["clip"]
        if clip is None:
            return log_prob * advantages
        ratio = (log_prob - old.nan_to_num()).exp()
        return torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)

    # ------------------------------------------------------------------------------------------------ saving, moving

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        optimizers = [getattr(self, name) for name in OPTIMIZERS]
        return moved_along(self, optimizers, lambda: super(PolicyGradientAgent, self)._apply(*args, **kwargs))

    def training_state(self) -> dict[str, Tensor]:
        """What a run needs, beside the weights, to go on exactly."""
        return {f"{name}.{key}": value for name in OPTIMIZERS
                for key, value in optimizer_tensors(getattr(self, name)).items()}

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from :meth:`training_state`."""
        for name in OPTIMIZERS:
            load_optimizer_tensors(getattr(self, name), below(f"{name}.", state))
        self.version += 1
