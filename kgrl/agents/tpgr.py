"""``TPGR``: tree-structured policy gradient."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from kgrl.agents.history import KGHistory, SRUHistory
from kgrl.agents.optimizer_state import load_optimizer_tensors, optimizer_tensors
from kgrl.agents.session_state import Follower, SessionState
from kgrl.files import below, digest, load_tensors, save_tensors
from kgrl.graph import knowledge_graph
from kgrl.nn.encoder import KGEncoder
from kgrl.nn.taste import TasteState
from kgrl.nn.tree_policy import ItemScores, Levels, TreePolicy
from kgrl.options import at_least, between, expected, one_of
from kgrl.pretrain.items import item_vectors
from kgrl.seeding import fenced
from kgrl.sessions import Sessions
from kgrl.tree.cluster_tree import ClusterTree

PRESETS = ("default", "paper")
"""``"paper"``: REINFORCE as printed: no baseline, returns as they are, no entropy bonus, no taste state."""
STATES = ("sru", "kg")
PAPER = {"baseline": False, "standardise": False, "entropy": 0.0, "taste_channels": 0, "clip": None}


class TPGR(nn.Module):
    r"""Tree-structured policy gradient recommendation (Chen et al., AAAI 2019).

    The policy walks a balanced clustering tree over the items, one small network a node, and learns by REINFORCE
    (equations 3 and 4, Algorithms 1 and 2):

    .. math:: \nabla J \approx \mathbb E\Bigl[\sum_t \nabla \log \pi_\theta(a_t \mid \mathbf s_t)\,
        \sum_{t' \ge t} \gamma^{t' - t} r_{t'}\Bigr]

    Differs from the paper: one update a batch of sessions, where Algorithm 1 makes one a step; by default returns have
    their mean at that step over the batch taken off (a baseline) and are standardised over the batch; an entropy bonus;
    and a :class:`kgrl.nn.TasteState` beside the recurrent state. ``preset="paper"`` takes
    away all but the first of these.

    Paper is silent: on sizes, rates and γ. Equation 4's Q is estimated from the step on, as Algorithm 1, line 13 does,
    but discounted from the step on too (there: from the session's start, which mutes late steps).

    Args:
        data: a data set.
        users: ``[U]``, training users; only their ratings are looked at, for the item embeddings to start from and
            for the tree where none is given.
        tree: over the items; ``None``: the one attached to ``data``, or else one of rating vectors by PCA, depth 2.
        state: ``"sru"``: the paper's; ``"kg"``: KGQR's state encoder over the data's KG.
        preset: one of :data:`PRESETS`.
        embedding: ``[N, d]`` (``"kg"``: ``[E, d]``), to start from; ``None``: matrix factorization's item vectors of
            the training users (``"kg"``: uniform random).
        item_channels: length of the item embeddings where none are given.
        state_channels: size of the recurrent state.
        taste_channels: length of the taste state; 0 for none.
        bins: length of the one-hot reward.
        hidden: sizes of each node's hidden layers; none: one linear layer a node.
        horizon: T, which the user status is divided by.
        eta: the simulator's, for the range of the one-hot reward.
        gamma: discount γ in [0, 1].
        lr, weight_decay: of Adam; ``weight_decay`` is the L2 term.
        taste_lr: of the taste state and the item embeddings under it.
        entropy: weight of the entropy bonus.
        baseline: whether the mean return of a step over the batch is taken off.
        standardise: whether returns are divided by their standard deviation over the batch.
        clip: PPO's ε (Schulman et al., 2017); ``None``: plain policy gradient.
        epochs: passes over each batch; more than one wants ``clip``.
        minibatches: parts that a pass splits the batch's sessions into, one gradient step each.
        taste_steps, taste_rows: gradient steps of the taste state after each rollout, and steps of the rollout that
            each is made of.
        seed: of the initial weights.

    Raises:
        ValueError: an option outside its range, or a tree of other items than the data set's.
    """

    def __init__(
        self, data: HeteroData, users: Tensor, *, tree: ClusterTree | None = None, state: str = "sru",
        preset: str = "default", embedding: Tensor | None = None, item_channels: int = 32, state_channels: int = 32,
        taste_channels: int = 8, bins: int = 10, hidden: Sequence[int] = (), horizon: int = 32, eta: float = 0.0,
        gamma: float = 0.3, lr: float = 1e-4, taste_lr: float = 3e-3, weight_decay: float = 0.0, entropy: float = 0.01,
        baseline: bool = True, standardise: bool = True, clip: float | None = None, epochs: int = 1,
        minibatches: int = 1, taste_rows: int = 512, taste_steps: int = 64, seed: int = 0,
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = {
            "state": one_of("state", state, STATES), "preset": one_of("preset", preset, PRESETS),
            "item_channels": at_least("item_channels", item_channels, 1),
            "state_channels": at_least("state_channels", state_channels, 1),
            "taste_channels": at_least("taste_channels", taste_channels, 0), "bins": at_least("bins", bins, 1),
            "hidden": list(hidden), "horizon": at_least("horizon", horizon, 1),
            "eta": between("eta", eta, 0, float("inf")), "gamma": between("gamma", gamma, 0, 1),
            "lr": between("lr", lr, 0, 1), "taste_lr": between("taste_lr", taste_lr, 0, 1),
            "weight_decay": between("weight_decay", weight_decay, 0, 1),
            "entropy": between("entropy", entropy, 0, float("inf")), "baseline": bool(baseline),
            "standardise": bool(standardise), "clip": None if clip is None else between("clip", clip, 0, 1),
            "epochs": at_least("epochs", epochs, 1), "minibatches": at_least("minibatches", minibatches, 1),
            "taste_rows": at_least("taste_rows", taste_rows, 1),
            "taste_steps": at_least("taste_steps", taste_steps, 1), "seed": seed,
        } | (PAPER if preset == "paper" else {})
        self.tree = _tree(data, users, tree)
        self.num_items = len(self.tree.paths)
        with fenced(seed):
            self.state = _state(data, users, embedding, self.options)
            self.policy = TreePolicy(self.state.channels, self.tree, hidden)
            self.sharpness = nn.Parameter(torch.tensor(5.0)) if self.state.taste is not None else None
        self.optimizer = torch.optim.Adam(self.parameters(), lr=lr, weight_decay=weight_decay, fused=True)
        self.taste_optimizer = None if self.state.taste is None else torch.optim.Adam(
            [*self.state.taste.parameters(), *self.state.history.parameters()], lr=taste_lr, fused=True)
        self.version = 0
        self._follower = Follower()
        self._levels: tuple[int, Levels] | None = None

    @property
    def device(self) -> torch.device:
        return self.policy.leaves.device

    # ------------------------------------------------------------------------------------------------------- acting

    @torch.no_grad()
    def act(self, sessions: Sessions, explore: bool = False, generator: torch.Generator | None = None) -> Tensor:
        """``[B]``, the next item of every session; −1 where nothing is left to recommend.

        Writes the log-probability of each into ``sessions.log_prob``.

        Args:
            sessions: the sessions so far.
            explore: drawn from the policy rather than the likeliest child at every node.
            generator: of the draws, on the sessions' device.
        """
        states = self._follower.states(self.state, sessions, self.version)
        gone = sessions.shown if sessions.step else None
        if self._levels is None or self._levels[0] != self.version:
            self._levels = self.version, self.policy.prepare(self._scores())
        levels = self._levels[1]
        walk = (self.policy.sample(states, gone, generator, levels) if explore
                else self.policy.greedy(states, gone, levels))
        if sessions.step < sessions.horizon:
            sessions.log_prob[:, sessions.step] = walk.log_prob
        return walk.items

    def _scores(self) -> ItemScores | None:
        """The feedback that the taste state expects of each item, in units that the policy learns."""
        if self.state.taste is None or self.sharpness is None:
            return None
        with torch.no_grad():
            terms = self.state.taste.project(self.state.history.vectors())
        return ItemScores(terms.loading * self.sharpness, terms.expected * self.sharpness)

    def recommend(self, past: Sessions, k: int = 10, beam: int | None = None) -> Tensor:
        """``[B, k]``, the k likeliest items of each real user, best first, padded with −1 where there are fewer.

        Args:
            past: what was shown and how it was received, see :meth:`kgrl.sessions.Sessions.from_history`.
            k: how many.
            beam: see :meth:`kgrl.nn.TreePolicy.topk`.

        Raises:
            ValueError: an item id the agent does not know.
        """
        if (past.items >= self.num_items).any():
            raise ValueError(expected("past.items", f"item ids below {self.num_items}", int(past.items.max())))
        past = past.to(self.device)
        with torch.no_grad():
            states = self.state(past)[past.length, torch.arange(len(past), device=self.device)]
            return self.policy.topk(states, k, past.items, beam, self._scores()).items

    # ----------------------------------------------------------------------------------------------------- learning

    def learn(self, sessions: Sessions, generator: torch.Generator | None = None) -> dict[str, float]:
        """One policy update (Algorithm 1) on finished sessions, or ``epochs`` × ``minibatches`` of them.

        Returns:
            ``loss``, ``entropy``, ``taste_loss``, means over the gradient steps, and ``gradient_steps``.
        """
        advantages = self.advantages(sessions)
        total, steps = torch.zeros(2, device=self.device), 0
        taste = self._learn_taste(sessions, generator)
        for _ in range(self.options["epochs"]):
            order = torch.randperm(len(sessions), generator=generator, device=self.device)
            parts = order.chunk(self.options["minibatches"]) if self.options["minibatches"] > 1 else (None,)
            for part in parts:
                some, weight = sessions, advantages
                if part is not None:
                    some, weight = sessions.rows(part), advantages[part]
                total += self._gradient_step(some, weight)
                steps += 1
        loss, entropy, taste_loss = (*(total / steps).tolist(), float(taste))
        return {"loss": loss, "entropy": entropy, "taste_loss": taste_loss, "gradient_steps": steps}

    def _learn_taste(self, sessions: Sessions, generator: torch.Generator | None) -> Tensor:
        """``taste_steps`` gradient steps of the taste state and the item embeddings; returns the mean loss."""
        total = torch.zeros((), device=self.device)
        if self.taste_optimizer is None:
            return total
        for _ in range(self.options["taste_steps"]):
            rows = torch.randint(len(sessions), (self.options["taste_rows"],), generator=generator, device=self.device)
            drawn = torch.rand(len(rows), generator=generator, device=self.device)
            steps = (drawn * sessions.length[rows]).long().clamp_(max=sessions.step - 1)
            loss = self.state.taste_loss(sessions, rows, steps)
            self.taste_optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.taste_optimizer.step()
            total += loss.detach()
        self.version += 1
        return total / self.options["taste_steps"]

    def advantages(self, sessions: Sessions) -> Tensor:
        """``[B, T]``, each step's return, less the baseline and standardised where switched on; 0 after the end."""
        taken, steps = _taken(sessions), torch.arange(sessions.step, device=sessions.device)
        later = (steps.unsqueeze(0) - steps.unsqueeze(1)).clamp(min=0)  # [from, to]
        discount = (self.options["gamma"] ** later.to(sessions.rewards.dtype)).triu()
        returns = (sessions.rewards[:, : sessions.step] * taken) @ discount.T
        count = taken.sum(0).clamp(min=1)
        if self.options["baseline"]:
            returns = returns - (returns * taken).sum(0) / count
        if self.options["standardise"]:
            returns = returns - (returns * taken).sum() / taken.sum()
            returns = returns / ((returns * taken).square().sum() / taken.sum()).sqrt().clamp(min=1e-8)
        return returns * taken

    def _gradient_step(self, sessions: Sessions, advantages: Tensor) -> Tensor:
        """Returns loss and entropy."""
        taken = _taken(sessions).t()
        states = self.state(sessions)[:-1]
        log_prob, entropy = self.policy.session_log_prob_and_entropy(states, sessions.shown, self._scores())
        gain = self._gain(log_prob, sessions.log_prob[:, : sessions.step].t(), advantages.t())
        count = taken.sum()
        loss = -torch.where(taken, gain, 0.0).sum() / count
        bonus = torch.where(taken, entropy, 0.0).sum() / count
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

    def training_state(self) -> dict[str, Tensor]:
        """What a run needs, beside the weights, to go on exactly."""
        state = {f"optimizer.{name}": value for name, value in optimizer_tensors(self.optimizer).items()}
        if self.taste_optimizer is not None:
            tensors = optimizer_tensors(self.taste_optimizer)
            state |= {f"taste_optimizer.{name}": value for name, value in tensors.items()}
        return state | {"version": torch.tensor(self.version)}

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from :meth:`training_state`."""
        load_optimizer_tensors(self.optimizer, below("optimizer.", state))
        if self.taste_optimizer is not None:
            load_optimizer_tensors(self.taste_optimizer, below("taste_optimizer.", state))
        self.version = int(state["version"])

    @property
    def data_digest(self) -> str:
        """What a checkpoint remembers of the items: the tree."""
        return digest(self.tree.paths.cpu(), self.tree.children)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes weights, tree and options to one safetensors file, whole or not at all."""
        metadata = {"kind": "TPGR agent", "options": self.options, "children": self.tree.children}
        save_tensors(path, self.state_dict() | {"tree.paths": self.tree.paths.cpu()}, metadata)

    @classmethod
    def load(cls, path: str | os.PathLike[str], data: HeteroData, users: Tensor, **options: Any) -> TPGR:
        """The agent that :meth:`save` wrote.

        Args:
            path: the file.
            data: the data set it was trained on.
            users: its training users.
            **options: over those in the file.

        Raises:
            ValueError: a damaged or foreign file, or one of other items.
        """
        tensors, metadata = load_tensors(path, "TPGR agent")
        tree = ClusterTree(tensors.pop("tree.paths"), metadata["children"])
        embedding = tensors["state.history.embedding"]
        agent = cls(data, users, tree=tree, embedding=embedding, **(metadata["options"] | options))
        agent.load_state_dict(tensors)
        return agent

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        self.version += 1
        return super()._apply(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        self.version += 1
        return super().load_state_dict(*args, **kwargs)


def _taken(sessions: Sessions) -> Tensor:
    """``[B, step]``, whether each step was taken: not those after a session's early end."""
    return torch.arange(sessions.step, device=sessions.device) < sessions.length.unsqueeze(1)


def _tree(data: HeteroData, users: Tensor, tree: ClusterTree | None) -> ClusterTree:
    if tree is None:
        attached = "cluster_path" in data["item"]
        tree = ClusterTree.from_data(data) if attached else ClusterTree.build(
            item_vectors(data, users, kind="rating"), method="pca", seed=0)
    if len(tree.paths) != data["item"].num_nodes:
        raise ValueError(expected("tree", f"over the data set's {data['item'].num_nodes} items", len(tree.paths)))
    return tree


def _state(data: HeteroData, users: Tensor, embedding: Tensor | None, options: Mapping[str, Any]) -> SessionState:
    """Embeddings as given or by matrix factorization, everything else uniformly at random."""
    dim, channels = options["item_channels"], options["state_channels"]
    if options["state"] == "kg":
        kg = knowledge_graph(data)
        if embedding is None:
            embedding = torch.empty(kg.num_nodes, dim).uniform_(-1, 1).mul_(dim**-0.5)
        encoder = KGEncoder.from_kg(kg, channels=[embedding.size(1), dim, dim], hops=2, aggregator="mean")
        history: nn.Module = KGHistory(embedding, encoder, dim, channels)
    else:
        if embedding is None:
            embedding = item_vectors(data, users, kind="mf", dim=dim, seed=options["seed"])
        dim = embedding.size(1)
        history = SRUHistory(embedding, channels, options["bins"], 1 + options["eta"] * (options["horizon"] - 1))
    count = options["taste_channels"]
    taste = TasteState(dim, count) if count else None
    return SessionState(history, options["horizon"], taste)
