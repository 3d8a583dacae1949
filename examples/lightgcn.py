"""LightGCN, another model than kgrl's, with a KGEncoder for the items that nobody has rated.

    python examples/lightgcn.py                               # MovieLens-100K, a fifth of the films new
    python examples/lightgcn.py --kg shuffled                 # the control: links without meaning
    python examples/lightgcn.py --kg none                     # LightGCN alone
    python examples/lightgcn.py --dataset synthetic           # a made world: no files

LightGCN (He et al., 2020; PyTorch Geometric's own) learns a vector per user and per item from who liked what, by the
BPR loss. A new item has no like, so LightGCN leaves its vector as it was drawn. `KGEncoder` makes the missing vector
from the item's genres, director and actors: it learns the same BPR loss, on the old items and the same pairs, against
LightGCN's user vectors, which it does not move (as content towers do, for example in CLCRec or DropoutNet). Old
items keep LightGCN's vectors, which are the same with and without a KG.

Held back: all ratings of new items, and a fifth of the likes of old items. Prints recall@20 and NDCG@20 of both, new
items ranked among new ones, and old ones among old ones that the user has not liked before. Users who served to choose
the settings are left out, unless --validate asks for them alone.
"""

from __future__ import annotations

import argparse
import math
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Data, HeteroData
from torch_geometric.metrics import LinkPredMetricCollection, LinkPredNDCG, LinkPredRecall
from torch_geometric.nn import LightGCN
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import to_torch_csr_tensor

from kgrl.datasets import MovieLens100K, SyntheticKGRec, as_released, renumbered, split_items, split_users
from kgrl.experiments.arguments import number_from, whole_from
from kgrl.graph import knowledge_graph, shuffled
from kgrl.nn import KGEncoder
from kgrl.rating_scale import normalised_ratings
from kgrl.seeding import fenced, generator_for

warnings.filterwarnings("ignore", "Sparse ")            # torch calls its sparse matrices a beta
ROOT = Path(__file__).resolve().parents[1]
K = 20
"""Length of a list."""


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--dataset", choices=("ml-100k", "synthetic"), default="ml-100k")
    add("--data", type=Path, default=ROOT / "data", help="where data sets are kept")
    add("--source", type=Path, help="folder that already holds ml-100k's raw files; default: download them")
    add("--kg", choices=("real", "shuffled", "none"), default="real")
    add("--split", type=whole_from(0), default=0, help="which items are new, and which likes are held back")
    add("--seed", type=whole_from(0), default=0, help="of weights, pairs and the shuffled KG")
    add("--dim", type=whole_from(1), default=32)
    add("--layers", type=whole_from(0), default=2, help="of LightGCN")
    add("--aggregator", default="relational", help="of the KGEncoder")
    add("--steps", type=whole_from(1), default=150)
    add("--pairs", type=whole_from(1), default=8_192, help="per step")
    add("--lr", type=number_from(0), default=0.05)
    add("--l2", type=number_from(0), default=3e-3)
    add("--kg-l2", type=number_from(0), default=3e-2, help="of the KG's vectors")
    add("--validate", action="store_true", help="score the users to choose settings on, in place of the others")
    return parser.parse_args(arguments)


class Likes:
    """Who liked what, by what it is for: `train`, and to be found, `old` and `new`; each [2, L], users above items."""

    def __init__(self, data: HeteroData, new: Tensor, split: int) -> None:
        ratings = normalised_ratings(data)
        self.num_users, self.num_items = ratings.num_users, ratings.num_items
        held = torch.rand(len(ratings.users), generator=generator_for("cpu", split)) < 0.2
        likes = ratings.values > ratings.threshold
        liked, held = torch.stack([ratings.users, ratings.items])[:, likes], held[likes]
        self.is_new = torch.zeros(self.num_items, dtype=torch.bool).index_fill_(0, new, True)
        fresh = self.is_new[liked[1]]
        self.train, self.old, self.new = liked[:, ~fresh & ~held], liked[:, ~fresh & held], liked[:, fresh]


class KGItems(nn.Module):
    """A vector per item from what the KG says of it, [N, d]; its own entity is left out: a new one's is untrained."""

    nothing: Tensor

    def __init__(self, kg: Data, dim: int, aggregator: str) -> None:
        super().__init__()
        self.register_buffer("nothing", torch.zeros(kg.num_items, dim))
        self.entities = nn.Embedding(kg.num_nodes - kg.num_items, dim)
        nn.init.normal_(self.entities.weight, std=0.1)
        self.encoder = KGEncoder.from_kg(kg, dim, hops=1, aggregator=aggregator, act=None)

    def forward(self) -> Tensor:
        return self.encoder(torch.cat([self.nothing, self.entities.weight]))


def bpr(users: Tensor, items: Tensor, pairs: Tensor) -> Tensor:
    """Scores of what a user liked, and of what was drawn for her: pairs [3, P] are (user, liked, drawn)."""
    user, liked, drawn = pairs
    of = users.index_select(0, user)
    return torch.stack([(of * items.index_select(0, item)).sum(1) for item in (liked, drawn)])


def liked_graph(likes: Likes) -> Tensor:
    """Users and, after them, items, as LightGCN weighs them, 1 / √(deg · deg): a sparse matrix, five times as fast."""
    nodes = likes.num_users + likes.num_items
    edges = likes.train + torch.tensor([[0], [likes.num_users]])
    edges, weight = gcn_norm(torch.cat([edges, edges.flip(0)], dim=1), None, nodes, add_self_loops=False)
    return to_torch_csr_tensor(edges, weight, size=(nodes, nodes))


def train(args: argparse.Namespace, likes: Likes, kg: Data) -> tuple[Tensor, Tensor]:
    """The users' vectors and the items', [U, d] and [N, d]."""
    sizes = likes.num_users, likes.num_items
    old = (~likes.is_new).nonzero().view(-1)
    graph = liked_graph(likes)
    draw = generator_for("cpu", args.seed)
    with fenced(args.seed):
        model = LightGCN(sum(sizes), args.dim, args.layers, normalize=False)    # liked_graph is
        content = KGItems(kg, args.dim, args.aggregator) if args.kg != "none" else None
    parts = nn.ModuleList([model] if content is None else [model, content])
    optimizer = torch.optim.Adam(parts.parameters(), lr=args.lr)
    for step in range(args.steps):
        at = torch.randint(likes.train.size(1), (args.pairs,), generator=draw)
        drawn = old[torch.randint(len(old), (args.pairs,), generator=draw)]
        pairs = torch.cat([likes.train[:, at], drawn[None]])
        users, items = model.get_embedding(graph).split(sizes)
        nodes = torch.cat([pairs[0], pairs[1:].flatten() + sizes[0]])
        loss = model.recommendation_loss(*bpr(users, items, pairs), node_id=nodes, lambda_reg=args.l2)
        if content is not None:
            vectors = content()
            liked, other = bpr(users.detach(), vectors, pairs)      # the KG learns the users' tastes, and changes none
            loss = loss - F.logsigmoid(liked - other).mean()
            loss = loss + args.kg_l2 * vectors[pairs[1:]].square().sum() / args.pairs
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            print(f"step {step:>4}  loss {loss.item():.3f}", flush=True)
    with torch.no_grad():
        users, items = model.get_embedding(graph).split(sizes)
        if content is not None:
            items = torch.where(likes.is_new[:, None], content(), items)
    return users.detach(), items.detach()


def scores(users: Tensor, items: Tensor, likes: Likes, who: Tensor) -> dict[str, dict[str, float]]:
    """Recall and NDCG, mean over the users `who` [B] who have something to find: of the old items and of the new."""
    place = torch.full((likes.num_users,), -1).index_copy_(0, who, torch.arange(len(who)))
    found = {}
    for name, wanted, others in (("old", likes.old, likes.is_new), ("new", likes.new, ~likes.is_new)):
        ranking = users @ items.T
        ranking[likes.train[0], likes.train[1]] = -math.inf
        top = ranking[:, ~others].topk(K).indices[who]
        number = (~others).cumsum(0) - 1                            # items are numbered among those that may be found
        wanted = torch.stack([place[wanted[0]], number[wanted[1]]])[:, place[wanted[0]] >= 0]
        metrics = LinkPredMetricCollection({"recall": LinkPredRecall(K), "NDCG": LinkPredNDCG(K)})
        metrics.update(top, wanted)
        found[name] = {metric: float(value) for metric, value in metrics.compute().items()}
    return found


def run(args: argparse.Namespace, data: HeteroData) -> dict[str, dict[str, float]]:
    """One training and its scores."""
    data = renumbered(data, args.split)                 # file numbers tell which films are well known
    _, new = split_items(data, 0.2, args.split)
    likes = Likes(data, new, args.split)
    kg = knowledge_graph(as_released(data, new))        # without ratings of new items, and without awards
    if args.kg == "shuffled":
        kg = shuffled(kg, args.seed)
    _, choosing, _ = split_users(data, train=0.5, valid=0.3)
    who = torch.zeros(likes.num_users, dtype=torch.bool).index_fill_(0, choosing, True)
    return scores(*train(args, likes, kg), likes, (who if args.validate else ~who).nonzero().view(-1))


def main() -> None:
    args = options()
    dataset = (MovieLens100K(args.data / "ml-100k", source=args.source) if args.dataset == "ml-100k"
               else SyntheticKGRec(args.data / "synthetic"))
    for name, row in run(args, dataset[0]).items():
        print(f"{name} items   " + "   ".join(f"{metric}@{K} {value:.4f}" for metric, value in row.items()))


if __name__ == "__main__":
    main()
