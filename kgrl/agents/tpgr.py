"""``TPGR``: tree-structured policy gradient."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data, HeteroData

from kgrl.agents.policy_gradient.returns import decided_steps, returns, taken_steps
from kgrl.agents.policy_gradient.rollout_cache import Kept, RolloutCache
from kgrl.agents.policy_gradient.tpgr_file import TASTES, extended_tree, moved_tensors, surroundings
from kgrl.agents.shared.catalogue import UNTRAINED, Catalogue, matched
from kgrl.agents.shared.catalogued import Catalogued
from kgrl.agents.shared.finite import finite_report
from kgrl.agents.shared.new_nodes import heard_graph
from kgrl.agents.shared.optimizer_state import load_optimizer_tensors, moved_along, optimizer_tensors
from kgrl.agents.shared.picking import check_turn, check_values, of_known_items
from kgrl.agents.shared.versioned import Versioned
from kgrl.agents.shared.warm_start import saved_tastes
from kgrl.agents.state.parts import checked_tastes, made_state, made_vectors
from kgrl.agents.state.session_state import advance, carry_of, states_over
from kgrl.candidates.fixed import checked_pool
from kgrl.files import below, digest, load_tensors, restore
from kgrl.graph import kg_digest, knowledge_graph
from kgrl.nn.policy.item_scores import ItemScores
from kgrl.nn.policy.tree_levels import Levels
from kgrl.nn.policy.tree_policy import TreePolicy
from kgrl.nn.state.taste import TasteTerms
from kgrl.objects import a_data_set, of_class
from kgrl.options import LARGEST, at_least, between, expected, flag, ids, one_of, single, sizes_of
from kgrl.pretrain.items import item_vectors
from kgrl.seeding import fenced, given_or_new
from kgrl.sessions import UNDEFINED, Sessions
from kgrl.tree.cluster_tree import ClusterTree

PRESETS = ("default", "paper")
"""``"paper"``: REINFORCE as printed: no baseline, returns as they are, no entropy bonus, no taste state."""
STATES = ("sru", "kg")
OPTIMIZERS = ("optimizer", "pretrain_optimizer")
CHOICES: dict[str, dict[str, Any]] = {
    "default": {"baseline": True, "standardise": True, "entropy": 0.01},
    "paper": {"baseline": False, "standardise": False, "entropy": 0.0},
}
"""What an option is by preset, where it is not given (the taste state's length: see ``checked_tastes``)."""


class TPGR(Catalogued, Versioned):
    r"""Tree-structured policy gradient recommendation (Chen et al., AAAI 2019).

    The policy walks a balanced clustering tree over the items, one small network a node, and learns by REINFORCE
    (equations 3 and 4, Algorithms 1 and 2):

    .. math:: \nabla J \approx \mathbb E\Bigl[\sum_t \nabla \log \pi_\theta(a_t \mid \mathbf s_t)\,
        \sum_{t' \ge t} \gamma^{t' - t} r_{t'}\Bigr]

    Differs from the paper: one update a batch of sessions, where Algorithm 1 makes one a step; by default returns have
    their mean at that step over the batch taken off (a baseline) and are standardised over the batch; an entropy bonus;
    and a taste state beside the recurrent one (:class:`kgrl.nn.TasteTerms`, from
    :func:`kgrl.pretrain.item_tastes`), whose expected feedback the nodes' logits start from
    (:class:`kgrl.nn.ItemScores`). ``preset="paper"`` takes away all but the first of these.

    Paper is silent: on sizes, rates and γ. Equation 4's Q is estimated from the step on, as Algorithm 1, line 13 does,
    but discounted from the step on too (there: from the session's start, which mutes late steps).

    Args:
        data: a data set.
        users: ``[U]``, training users; only their ratings are looked at, for the item embeddings and the taste state to
            start from and for the tree where none is given.
        tree: over the items; ``None``: the one attached to ``data``, or else one of rating vectors by PCA, depth 2.
        state: ``"sru"``: the paper's; ``"kg"``: KGQR's state encoder over the data's KG.
        preset: one of :data:`PRESETS`: what ``baseline``, ``standardise``, ``entropy`` and ``taste_channels`` are where
            they are not given.
        embedding: ``[N, d]`` (``"kg"``: ``[E, d]``), to start from; ``None``: matrix factorization's item vectors of
            the training users (``"kg"``: uniform random).
        item_channels: length of the item embeddings where none are given.
        state_channels: size of the recurrent state.
        taste_channels: length of the taste state; 0 for none; ``None``: that of ``tastes``, or 12 (``"paper"``: 0).
        tastes: of the items, what the taste state starts from, see :class:`kgrl.agents.KGQR`, e.g. from
            :func:`kgrl.pretrain.kg_tastes`, which knows of items that nobody has rated; ``None``:
            :func:`kgrl.pretrain.item_tastes` of the training users' ratings.
        sharpness: how much a logit changes with the expected feedback, at first. Where drawn sessions are far from
            greedy ones, as below 20 or so on MovieLens, the gradient teaches for decisions that greedy ones never meet.
        bins: length of the one-hot reward.
        hidden: sizes of each node's hidden layers; none: one linear layer a node.
        horizon: T, which the user status is divided by.
        eta: the simulator's, for the range of the one-hot reward.
        gamma: discount γ in [0, 1].
        lr, weight_decay: of Adam; ``weight_decay`` is the L2 term.
        entropy: weight of the entropy bonus; ``None``: 0.01 (``"paper"``: 0).
        pretrain_lr: of Adam in :meth:`pretrain`.
        frozen: whether the recurrent state and the item embeddings stay what :meth:`pretrain` made of them, as in the
            authors' code.
        baseline: whether the mean return of a step over the batch is taken off; ``None``: yes (``"paper"``: no).
        standardise: whether returns are divided by their standard deviation over the batch; ``None``: likewise.
        clip: PPO's ε (Schulman et al., 2017); ``None``: plain policy gradient.
        epochs: passes over each batch; more than one wants ``clip``.
        minibatches: parts that a pass splits the batch's sessions into, one gradient step each.
        seed: of the initial weights.

    Raises:
        ValueError: an option outside its range, a tree of other items than the data set's, or tastes that are none, of
            other items or of another length than asked for.
    """

    def __init__(
        self, data: HeteroData, users: Tensor, *, tree: ClusterTree | None = None, state: str = "sru",
        preset: str = "default", embedding: Tensor | None = None, item_channels: int = 16, state_channels: int = 16,
        taste_channels: int | None = None, tastes: TasteTerms | None = None, sharpness: float = 30.0, bins: int = 10,
        hidden: Sequence[int] = (), horizon: int = 32, eta: float = 0.0, gamma: float = 0.3, lr: float = 1e-3,
        weight_decay: float = 0.0, entropy: float | None = None, pretrain_lr: float = 1e-3, frozen: bool = False,
        baseline: bool | None = None, standardise: bool | None = None, clip: float | None = None, epochs: int = 1,
        minibatches: int = 1, seed: int = 0,
    ) -> None:
        super().__init__()
        chosen = CHOICES[one_of("preset", preset, PRESETS)]
        baseline = chosen["baseline"] if baseline is None else baseline
        standardise = chosen["standardise"] if standardise is None else standardise
        entropy = chosen["entropy"] if entropy is None else entropy
        hidden = sizes_of("hidden", hidden)
        users = ids("users", users, a_data_set("data", data, "user")["user"].num_nodes)
        start, count = checked_tastes(tastes, taste_channels, int(a_data_set("data", data)["item"].num_nodes), preset)
        self.options: dict[str, Any] = {
            "state": one_of("state", state, STATES), "preset": preset,
            "item_channels": at_least("item_channels", item_channels, 1),
            "state_channels": at_least("state_channels", state_channels, 1),
            "taste_channels": count,
            "sharpness": between("sharpness", sharpness, 0, float("inf")), "bins": at_least("bins", bins, 1),
            "hidden": hidden, "horizon": at_least("horizon", horizon, 1),
            "eta": between("eta", eta, 0, LARGEST / horizon), "gamma": between("gamma", gamma, 0, 1),
            "lr": between("lr", lr, 0, 1), "weight_decay": between("weight_decay", weight_decay, 0, 1),
            "entropy": between("entropy", entropy, 0, float("inf")),
            "pretrain_lr": between("pretrain_lr", pretrain_lr, 0, 1), "frozen": flag("frozen", frozen),
            "baseline": flag("baseline", baseline), "standardise": flag("standardise", standardise),
            "clip": None if clip is None else between("clip", clip, 0, 1),
            "epochs": at_least("epochs", epochs, 1), "minibatches": at_least("minibatches", minibatches, 1),
            "seed": at_least("seed", seed, 0),
        }
        self.tree = _tree(data, users, tree)
        self.num_items = len(self.tree.paths)
        kg = knowledge_graph(data) if self.options["state"] == "kg" else None
        self.kg_digest = None if kg is None else kg_digest(kg)
        self.catalogue = _catalogue(data, kg)
        self.untrained: Tensor | None = None
        embedding = None if embedding is None else single("embedding", embedding)
        self.data_digest = digest(self.tree.paths, self.tree.children, self.kg_digest, embedding, *(start or ()))
        with fenced(self.options["seed"]):
            self.items = made_vectors(data, kg, users, embedding, self.options)
            self.state = made_state(data, users, self.items, start, self.options)
            self.policy = TreePolicy(self.state.channels, self.tree, hidden)
            if count:  # the policy starts from the expected feedback alone
                self.sharpness, self.spread = (nn.Parameter(torch.tensor(value)) for value in (float(sharpness), 1.0))
                for parameter in (self.policy.weights[-1], self.policy.biases[-1]):
                    nn.init.zeros_(parameter)
            self.memory = nn.Linear(self.state.recurrent.channels, self.items.channels + 1)
        history = [*self.items.parameters(), *self.state.parameters()]
        memory = list(self.memory.parameters())
        rest = [p for name, p in self.named_parameters() if not name.startswith(("items.", "state.", "memory."))]
        policy = rest if frozen else [*history, *rest]
        self.optimizer = torch.optim.Adam(policy, lr=lr, weight_decay=weight_decay, fused=True)
        self.pretrain_optimizer = torch.optim.Adam([*history, *memory], lr=pretrain_lr, fused=True)

    @property
    def device(self) -> torch.device:
        return self.policy.index.leaves.device

    # ------------------------------------------------------------------------------------------------------- acting

    def restrict(self, items: Tensor | None) -> TPGR:
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
        """The feedback that the taste state expects of each item."""
        if not self.options["taste_channels"]:
            return None
        terms = self.state.taste.terms
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
            found = self.policy.topk(states, k, past.items, beam, self._scores())
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
        total, steps = torch.zeros(2, device=self.device), 0
        kept = RolloutCache.take(self, sessions)
        for _ in range(self.options["epochs"]):
            order = torch.randperm(len(sessions), generator=generator, device=self.device)
            parts = order.chunk(self.options["minibatches"]) if self.options["minibatches"] > 1 else (None,)
            for part in parts:
                some, weight, known = sessions, advantages, kept
                if part is not None:
                    some, weight, known = sessions.rows(part), advantages[part], kept and kept.rows(part)
                total += self._gradient_step(some, weight, known)
                steps += 1
        return finite_report(("loss", "entropy"), total / steps, self._learned()) | {"gradient_steps": steps}

    def pretrain(self, sessions: Sessions, generator: torch.Generator | None = None) -> dict[str, float]:
        r"""Teaches the recurrent state to remember: one gradient step on the error of recalled rewards.

        From the state :math:`\mathbf h_t` after t steps, how an item shown at a step :math:`j \le t`, drawn at random,
        was rewarded:

        .. math:: \hat r_j = (\mathbf A \mathbf h_t + \mathbf b)^\top [\mathbf e(a_j) \Vert 1]

        Paper is silent on how; its authors' code predicts past rewards, too. :func:`kgrl.fit` calls this on sessions
        of random items.

        Returns:
            ``loss``, the mean squared error, and ``gradient_steps``.

        Raises:
            ValueError: a loss or weight that is not finite: it has diverged.
        """
        generator = given_or_new(generator, self.device, self.options["seed"] + self.version)
        vectors = self.items()
        hidden = states_over(self.state.recurrent, vectors, sessions)[1 + sessions.begin :]  # [T, B, h]
        shown, rewards = (part[:, sessions.begin : sessions.step].t() for part in (sessions.items, sessions.rewards))
        steps = torch.arange(len(shown), device=self.device).unsqueeze(1)
        drawn = torch.rand(shown.shape, generator=generator, device=self.device)
        asked = (drawn * (steps + 1)).long().clamp_(max=len(shown) - 1)
        items, rewards = shown.gather(0, asked), rewards.gather(0, asked)
        key = F.embedding(items.clamp(min=0), vectors)
        read = self.memory(hidden)
        error = (read[..., :-1] * key).sum(-1) + read[..., -1] - rewards
        taken = taken_steps(sessions)[:, sessions.begin :].t()
        loss = torch.where(taken, error.square(), 0.0).sum() / taken.sum()
        self.pretrain_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.pretrain_optimizer.step()
        self.version += 1
        return finite_report(("loss",), loss.detach().unsqueeze(0), self._learned()) | {"gradient_steps": 1}

    def _learned(self) -> list[Tensor]:
        """What gradient steps change."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def _gradient_step(self, sessions: Sessions, advantages: Tensor, kept: Kept | None = None) -> Tensor:
        """Returns loss and entropy; ``kept``: what is known from the rollout."""
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
        return moved_along(self, optimizers, lambda: super(TPGR, self)._apply(*args, **kwargs))

    def training_state(self) -> dict[str, Tensor]:
        """What a run needs, beside the weights, to go on exactly."""
        return {f"{name}.{key}": value for name in OPTIMIZERS
                for key, value in optimizer_tensors(getattr(self, name)).items()}

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from :meth:`training_state`."""
        for name in OPTIMIZERS:
            load_optimizer_tensors(getattr(self, name), below(f"{name}.", state))
        self.version += 1

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes weights, tree, options and raw ids to one safetensors file, whole or not at all."""
        metadata = {"options": self.options, "children": self.tree.children, "kg": self.kg_digest,
                    "data": self.data_digest}
        untrained = {} if self.untrained is None else {UNTRAINED: self.untrained}
        self._write(path, {**self.state_dict(), "tree.paths": self.tree.paths, **untrained}, metadata)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], data: HeteroData, users: Tensor, *, vectors: Tensor | None = None,
        **options: Any,
    ) -> TPGR:
        """The agent that :meth:`save` wrote, for the data set it was trained on or for another state of it.

        Items are found again by their raw ids. What is gone is dropped. New items hang on free leaves beside the items
        nearest to them (:meth:`kgrl.tree.ClusterTree.extend`); their embeddings, and what is expected of them, are
        those of items that share entities with them, without a KG the mean of all items (see
        :mod:`kgrl.agents.shared.new_nodes`); and at its node, a new item is treated as the others there are on average.

        Args:
            path: the file.
            data: the data set, with raw ids unless it is the one it was trained on.
            users: its training users.
            vectors: ``[N, F]``, of the items, by which new ones are found leaves; ``None``: by the entities that they
                share (:func:`kgrl.agents.policy_gradient.tpgr_file.neighbour_vectors`), without a KG by who rated them.
            **options: over those in the file; ``tastes`` only may be among them where the data set is another and the
                agent has a taste state.

        Raises:
            ValueError: a damaged or foreign file; another number of items, or for ``state="kg"`` another KG, where the
                items have no raw ids; a data set that shares no item with the agent; more new items than free leaves;
                or options that make another network.
        """
        a_data_set("data", data)
        tensors, metadata = load_tensors(path, f"{cls.__name__} agent")
        before, untrained = Catalogue.taken_from(tensors), tensors.pop(UNTRAINED, None)
        tree = ClusterTree(tensors.pop("tree.paths"), metadata["children"])
        kg = knowledge_graph(data) if metadata["kg"] is not None else None
        same = len(tree) == data["item"].num_nodes and (kg is None or metadata["kg"] == kg_digest(kg))
        match = matched(path, before, _catalogue(data, kg), same, "data set")
        if match is not None:
            near = surroundings(data) if kg is None else kg
            tree = extended_tree(tree, match, data, users, near, vectors)
            tensors, untrained = moved_tensors(tensors, match, near, tree), match.untrained(untrained)
        embedding = tensors["items.embedding"]
        given = {"tree": tree, "embedding": embedding,
                 "tastes": saved_tastes(tensors, options, anew=match is not None, at=TASTES)}
        agent = cls(data, users, **(given | metadata["options"] | options))
        own = {name: part for name, part in agent.state_dict().items() if name.startswith(TASTES)}
        restore(agent, tensors | own, path)
        if kg is not None and untrained is not None:
            agent.untrained = untrained
            agent.items.encoder.plan_kg(heard_graph(kg, untrained))
        # of the embedding that training began with, and of what has changed since
        agent.data_digest = metadata["data"] if match is None else digest(metadata["data"], agent.data_digest)
        return agent


def _catalogue(data: HeteroData, kg: Data | None) -> Catalogue | None:
    return Catalogue.of_items(data["item"].get("raw_id")) if kg is None else Catalogue.of(kg)


def _tree(data: HeteroData, users: Tensor, tree: ClusterTree | None) -> ClusterTree:
    if tree is None:
        attached = "cluster_path" in data["item"]
        tree = ClusterTree.from_data(data) if attached else ClusterTree.build(
            item_vectors(data, users, kind="rating"), method="pca", seed=0)
    of_class("tree", tree, ClusterTree, "ClusterTree.build(vectors) makes one")
    if len(tree.paths) != data["item"].num_nodes:
        raise ValueError(expected("tree", f"over the data set's {data['item'].num_nodes} items", len(tree.paths)))
    return tree
