"""``TPGR``: tree-structured policy gradient."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data, HeteroData

from kgrl.agents.policy_gradient.finished_sessions import Recall
from kgrl.agents.policy_gradient.policy_gradient_agent import PolicyGradientAgent
from kgrl.agents.policy_gradient.tpgr_file import TASTES, LoadedTPGR
from kgrl.agents.policy_gradient.tpgr_parts import PRESETS, tpgr_options, tpgr_parts, tree_over, warn_unused_parts
from kgrl.agents.shared.catalogue import UNTRAINED, Catalogue
from kgrl.agents.shared.item_vectors import ItemVectors
from kgrl.agents.shared.warm_start import checked_start
from kgrl.agents.state.joined import JoinedState, KnownTaste, UserStatus
from kgrl.agents.state.recurrent import made_state
from kgrl.files import digest, restore
from kgrl.graph import kg_digest
from kgrl.nn.policy.tree_policy import TreePolicy
from kgrl.nn.state.taste import TasteTerms
from kgrl.options import at_least, one_of, single
from kgrl.parts import UnusedOption, named_part
from kgrl.presets.preset import preset as settings_of
from kgrl.presets.preset import suits
from kgrl.raw_ids import RawIds
from kgrl.seeding import fenced
from kgrl.tree.cluster_tree import ClusterTree


class TPGR(PolicyGradientAgent):
    r"""Tree-structured policy gradient recommendation (Chen et al., AAAI 2019).

    The policy walks a balanced clustering tree over the items, one small network a node, and learns by REINFORCE
    (equations 3 and 4, Algorithms 1 and 2):

    .. math:: \nabla J \approx \mathbb E\Bigl[\sum_t \nabla \log \pi_\theta(a_t \mid \mathbf s_t)\,
        \sum_{t' \ge t} \gamma^{t' - t} r_{t'}\Bigr]

    Differs from the paper: four updates a batch of sessions, where Algorithm 1 makes one a step; by default returns
    have their mean at that step over the batch taken off (a baseline) and are standardised over the batch; an entropy
    bonus; and a taste state beside the recurrent one (:class:`kgrl.nn.TasteTerms`, from
    :func:`kgrl.pretrain.item_tastes`), whose expected feedback the nodes' logits start from
    (:class:`kgrl.nn.ItemScores`). ``preset="paper"`` makes one update a batch, and has none of the others.

    Paper is silent: on sizes, rates and γ. Equation 4's Q is estimated from the step on, as Algorithm 1, line 13 does,
    but discounted from the step on too (there: from the session's start, which mutes late steps).

    Args:
        tree: over the N items, e.g. ``ClusterTree.build(item_vectors(data, users, kind="rating"))``; or how items are
            clustered by their ``embedding``: ``"pca"``, ``"kmeans"``, or a subclass of the tree's, by its ``build``.
        embedding: ``[N, d]``, of the items, or with ``kg`` ``[E, d]``, of its entities: where they start from; they are
            trained along unless ``frozen``. ``None``: uniform random, ``item_channels`` long.
        kg: a KG of N items; their vectors are then those of a graph convolution over it, KGQR's equations 5 and 6.
        ids: ``[N]``, the items' raw ids (``data["item"].raw_id``), where there is no KG that has them: by these the
            agent finds its items again.
        state: what is remembered of the items shown, beside status and taste: ``"sru"`` (the paper's), ``"gru"``
            (KGQR's), or a class or instance of your own, see :class:`kgrl.agents.state.session_state.SessionState`. A
            class is called with those of ``item_channels``, ``channels``, ``bins`` and ``highest`` that it names.
        aggregator, aggregator_kwargs: of the convolution over ``kg``, as :class:`kgrl.agents.KGQR` has them.
        tastes: of the items, what the taste state goes by, e.g. from :func:`kgrl.pretrain.item_tastes` or, for items
            that nobody has rated, too, :func:`kgrl.pretrain.kg_tastes`; ``None``: no taste state, as in the paper.
        preset: ``"default"`` or ``"paper"``: what ``baseline``, ``standardise``, ``entropy`` and ``minibatches`` are
            where they are not given, see :data:`kgrl.agents.policy_gradient.tpgr_parts.PRESETS`.
        item_channels: length of the convolution's item vectors, and of embeddings that are not given.
        state_channels: size of the recurrent state.
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
        frozen: whether the recurrent state and the item embeddings stay as they were drawn, or what :meth:`pretrain`
            made of them, as in the authors' code. ``None``: yes if ``tastes`` are given, ``state`` is ``"sru"`` and
            there is no ``kg`` (``"paper"``: no).
        baseline: whether the mean return of a step over the batch is taken off; ``None``: yes (``"paper"``: no).
        standardise: whether returns are divided by their standard deviation over the batch; ``None``: likewise.
        clip: PPO's ε (Schulman et al., 2017), which more ``epochs`` than one want; ``None``: plain policy gradient.
        epochs: passes over each batch.
        minibatches: parts that a pass splits the batch's sessions into, if there are as many, one gradient step each;
            ``None``: 4 (``"paper"``: 1).
        seed: of the initial weights.

    Warns:
        UnusedOption: as :class:`kgrl.agents.KGQR`.

    Raises:
        TypeError: ``tree`` is none, or ``state`` is no session state.
        ValueError: an option outside its range, or an embedding, a KG, ids or tastes of other items than the tree's.
    """

    def __init__(
        self, tree: str | type[ClusterTree] | ClusterTree, embedding: Tensor | None = None, *, kg: Data | None = None,
        ids: RawIds | None = None, state: Any = "sru", aggregator: Any = "mean",
        aggregator_kwargs: Mapping[str, Any] | None = None, tastes: TasteTerms | None = None, preset: str = "default",
        item_channels: int = 8, state_channels: int = 8, sharpness: float = 30.0, bins: int = 10,
        hidden: Sequence[int] = (), horizon: int = 32, eta: float = 0.0, gamma: float = 0.3, lr: float = 1e-3,
        weight_decay: float = 0.0, entropy: float | None = None, pretrain_lr: float = 1e-3, frozen: bool | None = None,
        baseline: bool | None = None, standardise: bool | None = None, clip: float | None = None, epochs: int = 1,
        minibatches: int | None = None, seed: int = 0,
    ) -> None:
        super().__init__()
        embedding = None if embedding is None else single("embedding", embedding)
        self.tree = tree = tree_over(tree, embedding, kg)
        self.num_items = len(tree)
        start, _ = checked_start(tastes, None, self.num_items)
        self.options: dict[str, Any] = {"state": named_part(state), **tpgr_options(
            preset, item_channels, state_channels, sharpness, bins, hidden, horizon, eta, gamma, lr, weight_decay,
            entropy, pretrain_lr, frozen, baseline, standardise, clip, epochs, minibatches, seed,
            remembers=start is not None and kg is None and named_part(state) == "sru")}
        layers = {"aggregator": aggregator, "aggregator_kwargs": aggregator_kwargs}
        if kg is not None:
            self.options |= layers | {"aggregator": named_part(aggregator)}
        self.kg_digest = None if kg is None else kg_digest(kg)
        self.catalogue = Catalogue.of_items(ids, self.num_items) if kg is None else Catalogue.of(kg)
        self.untrained: Tensor | None = None
        self.data_digest = digest(tree.paths, tree.children, self.kg_digest, embedding, *(start or ()))
        with fenced(self.options["seed"]):
            self.items = ItemVectors.made(embedding, self.num_items, item_channels, kg, **layers)
            recurrent = made_state("state", state, self.num_items, self.items.channels, state_channels, bins=bins,
                                   highest=1 + eta * (horizon - 1))
            self.state = JoinedState(recurrent=recurrent, status=UserStatus(horizon),
                                     taste=None if start is None else KnownTaste(start))
            self.policy = TreePolicy(self.state.channels, tree, hidden)
            if start is not None:  # the policy starts from the expected feedback alone
                self.sharpness, self.spread = (nn.Parameter(torch.tensor(value)) for value in (float(sharpness), 1.0))
                for parameter in (self.policy.weights[-1], self.policy.biases[-1]):
                    nn.init.zeros_(parameter)
            self.memory = Recall(self.state.parts[0].channels, self.items.channels)
        self._begin(lr, weight_decay, pretrain_lr)
        self.to(tree.paths.device)
        warn_unused_parts(TPGR, state, aggregator, embedding, self.options | layers | {"kg": kg, "tastes": start})

    @classmethod
    def from_data(
        cls, data: HeteroData, users: Tensor, *, tree: Any = None, state: Any = "sru",
        embedding: Tensor | None = None, tastes: TasteTerms | None = None, taste_channels: int | None = None,
        preset: str = "default", item_channels: int = 8, seed: int = 0, **options: Any,
    ) -> TPGR:
        """The agent for a data set: what the constructor wants is made of it where it is not given.

        Args:
            data: a data set.
            users: ``[U]``, training users; only their ratings are looked at.
            tree: as in the constructor, but a name or class clusters rating vectors; ``None``: the one attached to
                ``data``, or else ``"pca"``.
            state: as in the constructor; ``"kg"``: KGQR's, over the data's KG.
            embedding: ``None``: matrix factorization's item vectors (``"kg"``: uniform random).
            tastes: ``None``: :func:`kgrl.pretrain.item_tastes`.
            taste_channels: their length; 0 for no taste state; ``None``: that of ``tastes``, or 12 (``"paper"``: 0).
            preset, item_channels, seed: as in the constructor.
            **options: of the constructor.

        Raises:
            ValueError: an unknown user, a tree of other items than the data set's, tastes of another length than asked
                for, or what the constructor refuses.
        """
        parts = tpgr_parts(data, users, tree, state, embedding, tastes, taste_channels,
                           one_of("preset", preset, PRESETS), at_least("item_channels", item_channels, 1),
                           at_least("seed", seed, 0))
        return cls(**parts, preset=preset, item_channels=item_channels, seed=seed, **options)

    @classmethod
    def from_preset(
        cls, dataset: str, data: HeteroData, users: Tensor, *, world: str | None = None, **options: Any
    ) -> TPGR:
        """The agent with the settings that were found best on a data set, see :func:`kgrl.presets.preset`.

        Args:
            dataset: ``"ml-100k"``.
            data: the data set.
            users: ``[U]``, training users.
            world: ``None``: the data set's first.
            **options: of :meth:`from_data`, over those of the preset.

        Raises:
            ValueError: no such preset, or another data set.
        """
        found = suits(settings_of("TPGR", dataset, world), (data.get("provenance") or {}).get("name"))
        agent = cls.from_data(data, users, **(found.options | options))
        agent.schedule = found.training
        return agent

    # ------------------------------------------------------------------------------------------------ saving, moving

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
        :mod:`kgrl.agents.shared.warm_start`); and at its node, a new item is treated as the others there are on
        average.

        Args:
            path: the file.
            data: the data set, with raw ids unless it is the one it was trained on.
            users: its training users.
            vectors: ``[N, F]``, of the items, by which new ones are found leaves; ``None``: by the entities that they
                share (:func:`kgrl.agents.policy_gradient.tpgr_file.neighbour_vectors`), without a KG by who rated them.
            **options: over those in the file; ``tastes`` only may be among them where the data set is another and the
                agent has a taste state; a ``state`` of your own must be given again.

        Raises:
            ValueError: a damaged or foreign file; another number of items, or for an agent with a KG another KG, where
                the items have no raw ids; a data set that shares no item with the agent; more new items than free
                leaves; a state of your own that is not given again; or options that make another network.
        """
        file = LoadedTPGR(path, f"{cls.__name__} agent", data, users, vectors, options)
        with warnings.catch_warnings(action="ignore", category=UnusedOption):
            agent = cls(**(file.given | file.metadata["options"] | options))
        own = {name: part for name, part in agent.state_dict().items() if name.startswith(TASTES)}
        restore(agent, file.tensors | own, path)
        agent.untrained = file.untrained
        file.plan(agent.items)
        # of the embedding that training began with, and of what has changed since
        before = file.metadata["data"]
        agent.data_digest = before if file.match is None else digest(before, agent.data_digest)
        return agent
