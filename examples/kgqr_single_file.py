"""KGQR in one file, from the recommendation to the gradient step: for reading, and for trying what no option provides.

    python examples/kgqr_single_file.py                         # MovieLens-100K: prints a learning curve
    python examples/kgqr_single_file.py --dataset synthetic     # a made world whose tastes follow the KG: no files
    python examples/kgqr_single_file.py --gamma 0.8 --hops 1    # every field of `Options` is a flag

Data, KG and simulator are kgrl's; all that learns stands here, in plain PyTorch and PyG. kgrl.agents.KGQR gives the
same numbers with `num_candidates=None` (a test compares them), faster, and has more: aggregators, taste state, limits.

Equations and Algorithm 1: Zhou et al., "Interactive Recommender System via Knowledge Graph-enhanced Reinforcement
Learning", SIGIR 2020. Shapes: B sessions, N items, E entities (items first), K candidates of all sessions together,
d = dim, h = state_channels. Among item numbers, -1 stands for none.
"""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Data
from torch_geometric.nn import Linear, MessagePassing
from torch_geometric.utils import coalesce, index_sort, k_hop_subgraph, to_scipy_sparse_matrix

from kgrl.datasets import MovieLens100K, SyntheticKGRec, popular_items, split_users
from kgrl.graph import knowledge_graph
from kgrl.options import at_least, between
from kgrl.seeding import fenced, generator_for
from kgrl.sessions import Sessions
from kgrl.simulator import PlantedFeedback, PredictedFeedback, Simulator


@dataclass(frozen=True)
class Options:
    dim: int = 50                # d, of embeddings and item vectors
    hops: int = 2                # graph convolutions, and steps from a liked item to a candidate
    backfill: int = 300          # so many popular items are always candidates: who likes nothing yet has no other
    state_channels: int = 64     # h, of the GRU
    hidden_channels: int = 64    # of the dueling head
    gamma: float = 0.5           # discount
    lr: float = 3e-3             # of Adam
    epsilon: float = 0.1         # chance of a random candidate in training
    batch_size: int = 128        # replayed steps per gradient step
    gradient_steps: int = 64     # after each rollout
    tau: float = 0.01            # share of the online head that moves into the target at each gradient step
    average: float = 0.1         # memory of the running average of the weights, as a share of the gradient steps made
    sessions: int = 32           # of a rollout
    interactions: int = 20_480   # items shown in training, all told
    evaluate_every: int = 1_024  # interactions
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            least = {"seed": 0, "interactions": 32}.get(name, 1)
            between(name, value, 0, 1) if isinstance(value, float) else at_least(name, value, least)


class KGConv(MessagePassing):
    """Equations 5 and 6: relu(W · mean of the neighbours + B · itself + b)."""

    def __init__(self, dim: int) -> None:
        super().__init__(aggr="mean")
        self.neighbours = Linear(dim, dim, weight_initializer="glorot", bias_initializer="zeros")
        self.itself = Linear(dim, dim, bias=False, weight_initializer="glorot")

    def forward(self, x: tuple[Tensor, Tensor], edge_index: Tensor) -> Tensor:
        return (self.neighbours(self.propagate(edge_index, x=x)) + self.itself(x[1])).relu()


class GRU(nn.Module):
    """Equations 7 and 8: the user's state, from the items she liked. torch.nn.GRU has its reset gate elsewhere."""

    def __init__(self, dim: int, state: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.empty(3 * state, dim)), nn.Parameter(torch.empty(3 * state))
        self.gates = nn.Parameter(torch.empty(2 * state, state))        # U_z and U_r
        self.candidate = nn.Parameter(torch.empty(state, state))        # U_h
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1 / math.sqrt(state), 1 / math.sqrt(state))

    def project(self, vectors: Tensor) -> Tensor:               # W·i + b of gates and candidate: [N, d] → [N, 3h]
        return F.linear(vectors, self.weight, self.bias)

    def step(self, hidden: Tensor, inputs: Tensor) -> Tensor:   # one liked item later: [B, h], [B, 3h] → [B, h]
        gates, candidate = inputs.split([len(self.gates), len(self.candidate)], 1)
        update, reset = torch.sigmoid(gates + F.linear(hidden, self.gates)).chunk(2, 1)
        return torch.lerp(hidden, torch.tanh(candidate + F.linear(reset * hidden, self.candidate)), update)

    def forward(self, vectors: Tensor, liked: Tensor) -> Tensor:    # [N, d], [B, L] → [B, h]
        there = liked >= 0
        order = there.sum(1).argsort(descending=True, stable=True)  # first those who liked most: no step past an end
        steps = liked.gather(1, (~there).to(torch.uint8).argsort(stable=True))[order].t()
        items, lengths = steps[steps >= 0], [length for length in (steps >= 0).sum(1).tolist() if length]
        few = len(items) < len(vectors)                         # project what occurs, or each item once
        inputs = self.project(F.embedding(items, vectors)) if few else F.embedding(items, self.project(vectors))
        hidden = vectors.new_zeros(len(liked), len(self.candidate))
        for some in inputs.split(lengths):
            hidden = torch.cat([self.step(hidden[: len(some)], some), hidden[len(some) :]])
        return hidden.index_select(0, order.argsort())


class Head(nn.Module):
    """Equation 11: Q(s, i) = V(i) + A(s, i). A's first layer, on [s ‖ i], has a part per session and one per item."""

    def __init__(self, state: int, dim: int, hidden: int) -> None:
        super().__init__()
        self.value = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, 1))
        self.from_state, self.from_item = nn.Linear(state, hidden), nn.Linear(dim, hidden, bias=False)
        self.advantage = nn.Linear(hidden, 1)
        for layer in (*self.value, self.advantage):     # again, for the library's random numbers
            if isinstance(layer, nn.Linear):
                layer.reset_parameters()
        for part in (*self.from_state.parameters(), *self.from_item.parameters()):
            nn.init.uniform_(part, -1 / math.sqrt(state + dim), 1 / math.sqrt(state + dim))

    def project(self, vectors: Tensor) -> tuple[Tensor, Tensor]:        # [N, d] → V [N], part per item [N, hidden]
        return self.value(vectors).squeeze(1) + self.advantage.bias, self.from_item(vectors)

    def forward(self, state: Tensor, projected: tuple[Tensor, Tensor], items: Tensor, batch: Tensor) -> Tensor:
        """Q `[K]` of pairs: the rows `items [K]` of what is projected, and the rows `batch [K]` of `state [B, h]`."""
        value, from_item = projected
        hidden = F.embedding(items, from_item).add_(F.embedding(batch, self.from_state(state))).relu_()
        return torch.addmv(value[items], hidden, self.advantage.weight.squeeze(0))

    def of_each(self, state: Tensor, vectors: Tensor) -> Tensor:        # one item per session: [B, h], [B, d] → [B]
        each = torch.arange(len(state))
        return self(state, self.project(vectors), each, each)


class Network(nn.Module):
    def __init__(self, kg: Data, o: Options) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.empty(kg.num_nodes, o.dim).uniform_(-1, 1).mul_(o.dim**-0.5))
        self.convs = nn.ModuleList(KGConv(o.dim) for _ in range(o.hops))
        self.state = GRU(o.dim, o.state_channels)
        self.head = Head(o.state_channels, o.dim, o.hidden_channels)
        head, tail = coalesce(kg.edge_index)            # N(h) is a set: several relations of a pair count once
        # no convolution is computed where the items do not hear of it, and the last one is theirs alone
        self.heard = k_hop_subgraph(torch.arange(kg.num_items), o.hops - 1, kg.edge_index, num_nodes=kg.num_nodes,
                                    flow="target_to_source")[0]
        row = torch.full((kg.num_nodes,), -1).index_copy_(0, self.heard, torch.arange(len(self.heard)))
        self.layers = []
        for layer in range(o.hops):                     # messages go from tail to head
            source, target = row[tail] if layer else tail, row[head]
            size = len(self.heard) if layer < o.hops - 1 else kg.num_items
            edges = torch.stack([source, target])[:, (source >= 0) & (target >= 0) & (target < size)]
            self.layers.append((edges[:, index_sort(edges[0])[1]], size))   # in this order sums are the library's

    def vectors(self) -> Tensor:                        # i(G) of every item, [N, d]
        x, itself = self.embedding, self.embedding.index_select(0, self.heard)
        for conv, (edges, size) in zip(self.convs, self.layers, strict=True):
            x = itself = conv((x, itself[:size]), edges)
        return x


class KGQR:
    def __init__(self, kg: Data, popular: Tensor, o: Options) -> None:
        self.o, self.num_items, self.popular = o, kg.num_items, popular[: o.backfill]
        self.reach = torch.zeros(kg.num_items + 1, kg.num_items + 1, dtype=torch.bool)  # the last row and column: of -1
        step = walks = to_scipy_sparse_matrix(kg.edge_index, num_nodes=kg.num_nodes).tocsr()
        for _ in range(o.hops):                         # equation 9, from every item: what is k steps away
            self.reach[:-1, :-1] |= torch.from_numpy(walks[: kg.num_items, : kg.num_items].toarray() > 0)
            walks = walks[: kg.num_items] @ step
        with fenced(o.seed):
            self.network = Network(kg, o)
        self.averaged = copy.deepcopy(self.network).requires_grad_(False)       # decides what is shown
        self.target = copy.deepcopy(self.network.head).requires_grad_(False)    # Q', of the head alone
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=o.lr, fused=True)
        self.replay: Sessions | None = None
        self.steps_taken = 0

    def candidates(self, liked: Tensor, shown: Tensor) -> tuple[Tensor, Tensor]:
        """Equation 10 and backfill, of sessions `[B, L]`: items `[K]` and the session of each, `[K]`; none twice."""
        wanted = torch.zeros(len(liked), self.num_items + 1, dtype=torch.bool).index_fill_(1, self.popular, True)
        for seed in liked.unbind(1):
            wanted |= self.reach[seed]
        wanted.scatter_(1, shown.where(shown >= 0, self.num_items), False)
        batch, items = wanted.nonzero().unbind(1)
        return items, batch

    def best(self, items: Tensor, batch: Tensor, values: Tensor, size: int) -> Tensor:
        """`[B]`, each session's candidate of the highest value; -1 where it has none."""
        table = torch.full((size, self.num_items), -torch.inf).index_put_((batch, items), values)
        highest, item = table.max(1)
        return item.masked_fill(highest == -torch.inf, -1)

    @torch.no_grad()
    def play(self, world: Simulator, users: Tensor, explore: bool, generator: torch.Generator) -> Sessions:
        """One session of every user, ε-greedy or greedy."""
        sessions, network, state = world.reset(users), self.averaged, None
        vectors = network.vectors()                     # what the weights say of the items is computed once
        inputs, projected = network.state.project(vectors), network.head.project(vectors)
        for _ in range(world.horizon):
            shown = world.opening(sessions, explore, generator)     # a popular item, as nothing is known of the user
            if shown is None:
                liked = sessions.liked
                if state is None:
                    state = network.state(vectors, liked)
                else:                                   # what was shown last, where it was liked, is all that is new
                    state = torch.where(liked[:, -1:] >= 0, network.state.step(state, inputs[liked[:, -1]]), state)
                items, batch = self.candidates(liked, sessions.shown)
                values = network.head(state, projected, items, batch)
                if explore:
                    random = torch.rand(len(users), generator=generator) < self.o.epsilon
                    values = torch.where(random[batch], torch.rand(len(values), generator=generator), values)
                shown = self.best(items, batch, values, len(users))
            world.step(sessions, shown)                 # writes down feedback and reward (equation 16)
        return sessions

    def learn(self, sessions: Sessions, generator: torch.Generator) -> float:
        """Stores finished sessions, and makes gradient steps on random steps of all that are stored."""
        self.replay = Sessions.cat([self.replay, sessions]) if self.replay else sessions
        return float(sum(self.gradient_step(self.replay, generator) for _ in range(self.o.gradient_steps))
                     / self.o.gradient_steps)

    def gradient_step(self, replay: Sessions, generator: torch.Generator) -> Tensor:
        o, network, each = self.o, self.network, torch.arange(self.o.batch_size)
        ends = replay.length.cumsum(0)                  # all stored steps (o_t, i_t, r_t, o_t+1) are equally likely
        drawn = torch.rand(o.batch_size, generator=generator, dtype=torch.double).mul(ends[-1]).long()
        row = torch.searchsorted(ends, drawn, right=True)
        past, step = replay.rows(row), drawn - (ends - replay.length)[row]
        before, after = past.before(step), past.before(step + 1)
        vectors = network.vectors()
        q = network.head.of_each(network.state(vectors, before.liked), F.embedding(past.items[each, step], vectors))
        with torch.no_grad():                           # equation 14: the network picks, the target values the pick
            state = network.state(vectors, after.liked)
            items, batch = self.candidates(after.liked, after.shown)
            values = network.head(state, network.head.project(vectors), items, batch)
            picked = self.best(items, batch, values, len(each))
            following = self.target.of_each(state, F.embedding(picked.clamp(min=0), vectors))
            following.masked_fill_((picked < 0) | (step + 1 == past.length), 0)     # after the last step comes nothing
        loss = F.mse_loss(q, past.rewards[each, step] + o.gamma * following)        # equations 12 and 13
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.steps_taken += 1
        follow(self.target, network.head, o.tau)        # equation 15
        follow(self.averaged, network, 1 / (1 + o.average * self.steps_taken))
        return loss.detach()


@torch.no_grad()
def follow(target: nn.Module, online: nn.Module, share: float) -> None:
    for theirs, own in zip(target.parameters(), online.parameters(), strict=True):
        theirs.lerp_(own, share)


def train(agent: KGQR, world: Simulator, users: Tensor, valid: Tensor) -> Iterator[dict[str, float]]:
    """Algorithm 1, many sessions at a time; yields a row of the learning curve at each evaluation."""
    o, shown, generator = agent.o, 0, generator_for("cpu", agent.o.seed)
    orders = (generator_for("cpu", o.seed * 1_000_003 + epoch) for epoch in count())
    turns = (user for order in orders for user in users[torch.randperm(len(users), generator=order)])
    while turn := list(islice(turns, min(o.sessions, (o.interactions - shown) // world.horizon))):
        sessions = agent.play(world, torch.stack(turn), True, generator)
        loss = agent.learn(sessions, generator)
        before, shown = shown, shown + int(sessions.length.sum())
        if shown // o.evaluate_every > before // o.evaluate_every or o.interactions - shown < world.horizon:
            sessions = agent.play(world, valid, False, generator_for("cpu", o.seed + 20_000))
            scores = sessions.metrics(world.num_relevant(valid))        # equations 17 to 19, of each user
            yield {"interactions": shown, "loss": loss} | {name: float(each.mean()) for name, each in scores.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", choices=["ml-100k", "synthetic"], default="ml-100k")
    parser.add_argument("--source", type=Path, help="folder that already holds the raw files; default: download them")
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[1] / "data", help="kept there")
    for name, default in vars(Options()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    args = parser.parse_args()
    try:
        o = Options(**{name: getattr(args, name) for name in vars(Options())})
    except ValueError as error:
        parser.error(str(error))

    root, made = args.data / args.dataset, args.dataset == "synthetic"
    data = (SyntheticKGRec(root) if made else MovieLens100K(root, source=args.source))[0]
    users, valid, _ = split_users(data, train=0.7, valid=0.1, seed=0)
    popular = popular_items(data, users)
    feedback = PlantedFeedback(data) if made else PredictedFeedback.fit(data, dim=20, seed=0)
    world = Simulator(feedback, eta=0.1, horizon=32, first=popular)
    print(f"{world.bounds(valid, users)}\n(on {len(valid)} validation users)")
    for row in train(KGQR(knowledge_graph(data), popular, o), world, users, valid):
        print(f"{row['interactions']:>8,} interactions  loss {row['loss']:7.4f}  reward {row['reward']:6.3f}"
              f"  precision {row['precision']:.4f}", flush=True)


if __name__ == "__main__":
    main()
