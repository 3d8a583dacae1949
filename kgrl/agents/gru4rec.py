"""``GRU4Rec``: the item that a recurrent network expects to be liked next."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.agents.shared.catalogue import Catalogue, Match
from kgrl.agents.shared.next_item_fit import fit_next_item
from kgrl.agents.shared.picking import without_shown
from kgrl.agents.shared.scorer import Scorer
from kgrl.agents.shared.weights import Versioned
from kgrl.agents.state.recurrent import LikedItems
from kgrl.agents.state.session_state import advance
from kgrl.files import digest, load_tensors
from kgrl.nn.policy.next_item import LOSSES, NextItem
from kgrl.options import a_tensor, at_least, between, expected, flag, one_of
from kgrl.parts import UnusedOption, warn_unused
from kgrl.pretrain.items import item_vectors
from kgrl.pretrain.sequences import LikedSequences
from kgrl.raw_ids import RawIds
from kgrl.seeding import fenced
from kgrl.sessions import Sessions

PER_ITEM = ("likes", "network.embedding", "network.output", "network.bias")
"""What has a row an item."""


class GRU4Rec(Versioned, Scorer):
    r"""Recommends the item most likely to be liked next (Hidasi et al., ICLR 2016; Hidasi and Karatzoglou, CIKM 2018).

    A baseline of the KGQR paper, "to predict what the user will click at the next timestep based on the browsing
    histories" (Zhou et al., 2020, section 5.1.4). A recurrent network
    (:class:`kgrl.nn.policy.next_item.NextItem`) learns from the training users' logged sequences of positive items
    which of them follows; a session's state is that of the positive items in it so far, and

    .. math:: a_t = \arg\max_j\ \mathbf w_j^\top \mathbf h_t + b_j + \beta \log p_j

    with :math:`p_j` the popularity of an item, its share of all positive ratings, one more given to each, as log 0
    ranks nothing. In training the negatives are other
    sequences' items and so drawn by p (with ``alpha`` = 1 those drawn besides, too): what the network can learn is how
    much likelier than usual an item is, which is why :math:`\beta \log p_j` is left out of the loss and added to what
    comes out (at β = 1 and for cross-entropy, log P(j | **h**) but for a constant). Before anything is liked, **h** is
    zero and b + β log p ranks. An item no training user liked is no target and, with ``alpha`` > 0, no negative: of it
    nothing is learned, and log p alone keeps it down.

    Differs from the papers: β (0 is theirs); session-parallel mini-batches go on for ``steps`` items between gradient
    steps, with back-propagation through these, where the first paper makes a gradient step an item; Adam, as KGQR has
    it, rather than Adagrad; see also :class:`~kgrl.nn.policy.next_item.NextItem`. Sequences are cut into sessions of at
    most ``longest`` items, as a user's whole log is no session. All N scores are looked at: O(N) a decision. It learns
    nothing from interactions.

    Paper is silent (KGQR's): on the loss, on what a sequence is where nothing was timed (Book-Crossing; here a random
    order, and ``ordered`` is ``False``), on everything but the item vectors: 50 long, from a matrix factorization.
    The defaults are what ranks the next item best for held-out training users (recall and reciprocal rank among the
    first 20) on MovieLens100K and BookCrossing; cross-entropy is best of the losses there, BPR-max in the second paper.

    Args:
        likes: ``[N]``, how often each item was liked by the training users.
        ordered: whether the sequences it is trained on are in the order of time.
        dim: length of an item vector.
        state_channels: width of the GRU; ``None``: ``dim``.
        tied: one vector an item for input and output, which takes ``state_channels`` = ``dim``.
        loss: one of :data:`kgrl.nn.policy.next_item.LOSSES`.
        regularisation: λ ≥ 0 of ``"bpr-max"``.
        prior: β ≥ 0.
        negatives: items drawn besides those of the mini-batch, n ≥ 0.
        alpha: they are drawn by likes\ :sup:`α`; 0: evenly.
        dropout: of the state on its way to the scores.
        epochs, batch_size: passes over the sequences, and how many go side by side.
        steps: items of each of them between gradient steps.
        longest: items a session.
        lr, weight_decay: of Adam.
        seed: of weights, order, cuts, drawn negatives and dropout.
        ids: ``[N]``, the items' raw ids (``data["item"].raw_id``), by which its file is checked when it is loaded.

    Warns:
        UnusedOption: a ``regularisation`` with a loss that has none.

    Raises:
        ValueError: ``likes`` that are no counts, ids of other items, or an option outside its range.
    """

    likes: Tensor
    offset: Tensor

    def __init__(
        self, likes: Tensor, ordered: bool = True, *, dim: int = 50, state_channels: int | None = None,
        tied: bool = True, loss: str = "cross-entropy", regularisation: float = 0.02, prior: float = 1.0,
        negatives: int = 256, alpha: float = 0.5, dropout: float = 0.2, epochs: int = 20, batch_size: int = 32,
        steps: int = 16, longest: int = 32, lr: float = 3e-3, weight_decay: float = 3e-4, seed: int = 0,
        ids: RawIds | None = None,
    ) -> None:
        super().__init__()
        if a_tensor("likes", likes).dim() != 1 or likes.dtype != torch.long or not len(likes) or likes.min() < 0:
            came = f"{likes.dtype} {list(likes.shape)}" + (f" from {int(likes.min())}" if likes.numel() else "")
            raise ValueError(expected("likes", "an int64 tensor [N] of counts, N > 0", came))
        self.catalogue = Catalogue.of_items(ids, len(likes))
        self.ordered, inf = flag("ordered", ordered), float("inf")
        self.options: dict[str, Any] = {
            "dim": at_least("dim", dim, 1),
            "state_channels": at_least("state_channels", dim if state_channels is None else state_channels, 1),
            "tied": flag("tied", tied), "loss": one_of("loss", loss, LOSSES),
            "regularisation": between("regularisation", regularisation, 0, inf),
            "prior": between("prior", prior, 0, inf),
            "negatives": at_least("negatives", negatives, 0), "alpha": between("alpha", alpha, 0, inf),
            "dropout": between("dropout", dropout, 0, 0.99), "epochs": at_least("epochs", epochs, 1),
            "batch_size": at_least("batch_size", batch_size, 1), "steps": at_least("steps", steps, 1),
            "longest": at_least("longest", longest, 1), "lr": between("lr", lr, 0, 1),
            "weight_decay": between("weight_decay", weight_decay, 0, 1), "seed": at_least("seed", seed, 0),
        }
        if loss != "bpr-max":
            warn_unused(GRU4Rec, f"with {loss=}", regularisation=regularisation)
        with fenced(self.options["seed"]):
            network = (self.options[name] for name in ("dim", "state_channels", "tied", "dropout"))
            self.network = NextItem(len(likes), *network)
        self.register_buffer("likes", likes.clone())
        share = (likes + 1).float() / (likes.sum() + len(likes))  # one more like for each, as log 0 ranks nothing
        self.register_buffer("offset", self.options["prior"] * share.log(), persistent=False)
        self.network.to(likes.device)

    @classmethod
    def from_ratings(
        cls, data: HeteroData, users: Tensor, *, pretrained: bool = True, seed: int = 0, **options: Any
    ) -> GRU4Rec:
        """Trained on what the training users liked, on the device of ``users``.

        Args:
            data: a data set.
            users: ``[U]``, training users, whose ratings alone are looked at.
            pretrained: whether item vectors start from the matrix factorization of :func:`kgrl.pretrain.item_vectors`,
                as KGQR's section 5.1.5 has it for all baselines, or at random.
            seed: of everything.
            **options: of the class.

        Raises:
            ValueError: no users, a user twice or unknown, none who likes anything, or an option outside its range.
            TypeError: an option the class does not have.
        """
        sequences = LikedSequences.of(data, users, seed)
        if not len(sequences.items):
            what = f"training users who rated something above {data.rating_scale[2]}"
            raise ValueError(expected("users", what, f"{len(users)} who did not"))
        agent = cls(sequences.likes(), sequences.ordered, seed=seed, ids=data["item"].get("raw_id"), **options)
        if flag("pretrained", pretrained):
            vectors = item_vectors(data, users, "mf", dim=agent.options["dim"], seed=seed)
            with torch.no_grad():
                agent.network.embedding.copy_(vectors)
        fit_next_item(agent.network, sequences, agent.options)
        agent.version += 1
        return agent

    # ------------------------------------------------------------------------------------------------------- acting

    @property
    def num_items(self) -> int:
        """N."""
        return len(self.likes)

    def _scores(self, sessions: Sessions, explore: bool = False) -> Tensor:
        """``[B, N]``, −∞ for what was shown."""
        state = self.kept("state", lambda: LikedItems.of(self.network.gru))
        hidden = advance(self, state, self.kept("items", lambda: state.items(self.network.embedding)), sessions)
        return without_shown(self.network.scores(hidden).add_(self.offset), sessions.shown)

    # ------------------------------------------------------------------------------------------------ saving, moving

    @property
    def data_digest(self) -> str:
        """What a checkpoint remembers of the training: all that came of it."""
        return digest(*(tensor for _, tensor in sorted(self.state_dict().items())))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes weights, likes, options and raw ids to one safetensors file, whole or not at all."""
        self._write(path, self.state_dict(), {"options": self.options, "ordered": self.ordered})

    @classmethod
    def load(cls, path: str | os.PathLike[str], ids: RawIds | None = None) -> GRU4Rec:
        """The agent that :meth:`save` wrote.

        Args:
            path: the file.
            ids: ``[N]``, the raw ids of the items as they are numbered now: those of the file, in any order. ``None``:
                they are numbered as they were, which is not checked.

        Raises:
            ValueError: a damaged or foreign file, or one of other items.
        """
        tensors, metadata = load_tensors(path, f"{cls.__name__} agent")
        known, _ = cls._found(path, tensors, ids)
        with warnings.catch_warnings(action="ignore", category=UnusedOption):
            agent = cls(tensors["likes"], metadata["ordered"], **metadata["options"], ids=known)
        agent.load_state_dict(tensors)
        return agent

    @classmethod
    def _renumbered(cls, tensors: Mapping[str, Tensor], match: Match) -> Mapping[str, Tensor]:
        return {name: tensors[name][match.item] for name in PER_ITEM if name in tensors}

    def extra_repr(self) -> str:
        return f"{len(self.likes)} items, loss={self.options['loss']}, ordered={self.ordered}"

