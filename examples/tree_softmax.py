"""A softmax over 100,000 classes without 100,000 logits: `kgrl.nn.TreePolicy` beside a flat `nn.Linear`.

    python examples/tree_softmax.py
    python examples/tree_softmax.py --classes 20000 --steps 300

The classes are points; a sample is its class's point with noise. The tree is built over the points (in use: over item
vectors, or word vectors), and each inner node has a softmax over its children: a training step costs D · c logits a
sample instead of all. Both models get the same batches. Prints, of each, training time, peak memory above what was
there before, and the share of unseen samples whose class is found, beside chance.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import Tensor, nn

from kgrl.experiments.arguments import whole_from
from kgrl.experiments.script_run import peak_gib
from kgrl.nn import TreePolicy
from kgrl.tree import ClusterTree

TEST = 512


def points_of(args: argparse.Namespace) -> Tensor:
    return torch.randn(args.classes, args.features, generator=torch.Generator().manual_seed(args.seed))


def sample(points: Tensor, count: int, noise: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Features ``[count, d]`` and their classes ``[count]``."""
    classes = torch.randint(len(points), (count,), generator=generator)
    return points[classes] + noise * torch.randn(count, points.size(1), generator=generator), classes


def tree_softmax(
    features: int, tree: ClusterTree
) -> tuple[nn.Module, Callable[..., Tensor], Callable[[Tensor], Tensor]]:
    policy = TreePolicy(features, tree)
    total = policy.probabilities(torch.zeros(2, features)).sum(1)
    assert torch.allclose(total, torch.ones(2), atol=1e-3), total           # of all classes, they sum to one
    return policy, lambda x, y: -policy.log_prob(x, y).mean(), lambda x: policy.topk(x, 1).items.squeeze(1)


def flat_softmax(
    features: int, tree: ClusterTree
) -> tuple[nn.Module, Callable[..., Tensor], Callable[[Tensor], Tensor]]:
    layer = nn.Linear(features, len(tree))
    return layer, lambda x, y: nn.functional.cross_entropy(layer(x), y), lambda x: layer(x).argmax(1)


MODELS = {"tree": tree_softmax, "flat": flat_softmax}


def peak_mib() -> float:
    status = Path("/proc/self/status")
    if status.exists():  # the other number would begin with the peak of the process that this one was started by
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 2**10
    return peak_gib() * 2**10


def train(kind: str, args: argparse.Namespace, tree: ClusterTree, longest: float | None) -> dict[str, float]:
    """In a process of its own, whose peak of memory is the model's: ``longest`` seconds, or the steps asked for."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    points, generator = points_of(args), torch.Generator().manual_seed(args.seed + 2)
    unseen = sample(points, TEST, args.noise, torch.Generator().manual_seed(args.seed + 1))
    before = peak_mib()
    model, loss_of, best = MODELS[kind](args.features, tree)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    started, steps = time.process_time(), 0
    while steps < (args.steps if longest is None else 3) or (longest and time.process_time() - started < longest):
        steps += 1
        loss = loss_of(*sample(points, args.batch, args.noise, generator))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    seconds = time.process_time() - started
    with torch.no_grad():
        found = (best(unseen[0]) == unseen[1]).float().mean().item()
    return {"accuracy": found, "steps": steps, "seconds": seconds, "ms": 1e3 * seconds / steps,
            "mib": peak_mib() - before}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--classes", type=whole_from(4), default=100_000)
    add("--depth", type=whole_from(1), default=3, help="levels of the tree")
    add("--features", type=whole_from(2), default=32, help="length of a point")
    add("--noise", type=float, default=0.3, help="of a sample around its point, whose numbers have deviation 1")
    add("--steps", type=whole_from(1), default=300, help="of the tree")
    add("--batch", type=whole_from(1), default=1_024)
    add("--lr", type=float, default=0.03)
    add("--seed", type=int, default=0)
    args = parser.parse_args()
    started = time.process_time()
    tree = ClusterTree.build(points_of(args), depth=args.depth, method="kmeans", seed=args.seed)
    print(f"tree: {tree.depth} levels of {tree.children} children: {tree.depth * tree.children} logits a sample in "
          f"place of {len(tree):,}; built in {time.process_time() - started:.0f} s", flush=True)
    rows: dict[str, dict[str, float]] = {}
    for kind in MODELS:
        with get_context("spawn").Pool(1) as pool:
            rows[kind] = row = pool.apply(train, (kind, args, tree, rows["tree"]["seconds"] if rows else None))
        print(f"{kind}: {row['accuracy']:6.1%} of {TEST} unseen samples right (chance {1 / args.classes:.4%}) after "
              f"{row['steps']:,} steps of {args.batch} in {row['seconds']:.0f} s, {row['ms']:.1f} ms each, "
              f"{row['mib']:,.0f} MiB", flush=True)
    walk, flat = rows["tree"], rows["flat"]
    print(f"a step of the tree takes {walk['ms'] / flat['ms']:.3f} of the flat layer's time, and training it "
          f"{walk['mib'] / max(flat['mib'], 1):.2f} of its memory")


if __name__ == "__main__":
    main()
