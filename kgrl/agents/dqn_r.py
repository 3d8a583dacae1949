"""``DQNR``: deep Q-learning over item vectors, without a knowledge graph."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kgrl.agents.q_learning.network import Outlook, QNetwork
from kgrl.agents.q_learning.vector_agent import VectorAgent
from kgrl.agents.shared.warm_start import checked_start
from kgrl.files import digest
from kgrl.nn.state.taste import TasteTerms
from kgrl.options import between, dense_vectors
from kgrl.raw_ids import RawIds
from kgrl.seeding import fenced
from kgrl.sessions import Sessions


class DQNR(VectorAgent):
    r"""Deep Q-learning over item vectors (DRN; Zheng et al., WWW 2018), a baseline of both papers.

    It "learns a Q function to estimate the Q-value of all the actions at a given state" and "recommends the item with
    highest Q-value" (KGQR, Zhou et al., 2020, section 5.1.4): the network of KGQR without its graph, which the paper
    calls KGQR-KG. A GRU over the liked items is the state, a dueling head scores it with an item (equations 7, 8 and
    11), and double Q-learning trains both and the vectors (12 to 15):

    .. math::
        y_t = r_t + \gamma\, Q'\bigl(s_{t+1}, \arg\max_{i \in I \setminus \{i_1 \dots i_t\}} Q(s_{t+1}, i)\bigr)

    Differs from DRN: state and vectors are KGQR's, not features of news and users; ε-greedy rather than its dueling
    bandit. Differs from the paper as :class:`kgrl.agents.KGQR` does.

    It looks at every item, O(N) a decision, and B times as many at a gradient step of B steps; :math:`\gamma = 0` or a
    ``pool`` spares the latter.

    Args:
        vectors: ``[N, d]``, the items' vectors to start from, e.g. matrix factorization's, from
            :func:`kgrl.pretrain.item_vectors`; learned along.
        pool: ``[P]``, the items that may be recommended, e.g. the 300 most liked; ``None``: all.
        embedding_lr: learning rate of the vectors; ``None``: as everything else.
        tastes: of the items, what the taste state starts from, see :class:`kgrl.agents.KGQR`.
        state: what is remembered of the items shown, as in :class:`kgrl.agents.KGQR`.
        ids: ``[N]``, the items' raw ids (``data["item"].raw_id``), by which its file is checked when it is loaded.
        preset, ..., seed: see :class:`kgrl.agents.q_learning.learner.OffPolicyAgent`.

    Raises:
        ValueError: vectors of another shape, or not finite, a pool or tastes that are none, ids of other items, or an
            option outside its range.
        TypeError: ``state`` is no session state.
    """

    def __init__(
        self, vectors: Tensor, *, pool: Tensor | None = None, ids: RawIds | None = None,
        embedding_lr: float | None = None, tastes: TasteTerms | None = None, state: Any = "gru",
        preset: str = "default", state_channels: int = 64, hidden_channels: int = 64,
        streak_state: bool | None = None, horizon: int = 32, taste_channels: int | None = None, gamma: float = 0.1,
        epsilon: float | tuple[float, float] = 0.05, lr: float = 3e-3, weight_decay: float = 0.0,
        batch_size: int = 128, gradient_steps: int = 64, tau: float = 0.01, target: str = "head",
        average: float | None = None, replay_size: int = 100_000, seed: int = 0,
    ) -> None:
        rate = None if embedding_lr is None else between("embedding_lr", embedding_lr, 1e-12, 1)
        start, taste_channels = checked_start(tastes, taste_channels, len(dense_vectors("vectors", vectors)))
        super().__init__(
            vectors, pool, {"embedding_lr": rate}, ids, state, preset=preset,
            state_channels=state_channels, hidden_channels=hidden_channels,
            streak_state=streak_state, horizon=horizon, taste_channels=taste_channels, gamma=gamma, epsilon=epsilon,
            lr=lr, weight_decay=weight_decay, batch_size=batch_size, gradient_steps=gradient_steps, tau=tau,
            target=target, average=average, replay_size=replay_size, seed=seed,
        )
        widths = ("state_channels", "hidden_channels", "streak_state", "taste_channels", "horizon")
        sizes = {name: self.options[name] for name in widths}
        with fenced(self.options["seed"]):
            network = QNetwork(vectors.float(), len(vectors), None, vectors.size(1), **sizes, start=start,
                               recurrent=self._recurrent(state, vectors))
        if start is not None:
            self.data_digest = digest(self.data_digest, *start)
        self._begin(network, [network.items.embedding], rate)
        self.to(vectors.device)

    def _ranked(self, seen: Outlook, gone: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
        return seen.highest(self.pool, gone, count)

    def _following(
        self, online: Outlook, delayed: Outlook, sessions: Sessions, generator: torch.Generator | None
    ) -> Tensor:
        """KGQR's equation 14: the online network picks, and the target values the pick."""
        return self.pool.items(online.highest(self.pool, self.pool.places(sessions.shown), 1).squeeze(1))
