"""KGConv inside a PyKEEN model, by PyKEEN's own layer resolver: which triples of a KG are missing?

    python examples/kgconv_in_pykeen.py                         # MovieLens-100K's KG, three seeds, two models
    python examples/kgconv_in_pykeen.py --dataset synthetic     # a made KG: no files

Both models score a triple by TransE, ‖h + r − t‖. In one, an entity's vector is a row of a table; in the other PyKEEN's
`SimpleMessagePassingRepresentation` runs KGConv over that table, along the training triples in both directions, so that
an entity is also what its neighbours are. Size, loss, optimiser and epochs are the same.

Held out: triples whose two entities no training triple joins (or a relation's inverse would give the answer away).
Prints filtered MRR and hits@10 of heads and tails alike, per seed and as mean ± deviation.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kgrl.datasets import MovieLens100K, SyntheticKGRec
from kgrl.experiments.arguments import number_from, whole_from
from kgrl.graph import knowledge_graph
from kgrl.nn import KGConv
from kgrl.pretrain.models import quiet
from kgrl.pretrain.triples import hold_out, pykeen_folder, training_triples
from kgrl.seeding import fenced, generator_for

with pykeen_folder():                                   # PyKEEN makes a folder as it is imported
    from pykeen.models import ERModel
    from pykeen.nn.pyg import layer_resolver
    from pykeen.pipeline import pipeline
    from pykeen.triples import CoreTriplesFactory

layer_resolver.register(KGConv, raise_on_conflict=False)        # from here on PyKEEN knows it as "kg"
warnings.filterwarnings("ignore", "'pin_memory'")       # PyKEEN's evaluation asks for it without a GPU, too
ROOT = Path(__file__).resolve().parents[1]
METRICS = {"MRR": "both.realistic.inverse_harmonic_mean_rank", "hits@10": "both.realistic.hits_at_10"}


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--dataset", choices=("ml-100k", "synthetic"), default="ml-100k")
    add("--data", type=Path, default=ROOT / "data", help="where data sets are kept")
    add("--source", type=Path, help="folder that already holds ml-100k's raw files; default: download them")
    add("--models", nargs="+", choices=("TransE", "KGConv"), default=["TransE", "KGConv"])
    add("--seeds", nargs="+", type=whole_from(0), default=[0, 1, 2])
    add("--dim", type=whole_from(1), default=50)
    add("--hops", type=whole_from(1), default=1, help="layers of KGConv")
    add("--aggregator", default="mean", help="of KGConv")
    add("--epochs", type=whole_from(1), default=20)
    add("--batch", type=whole_from(1), default=8_192)
    add("--lr", type=number_from(0), default=0.3)
    add("--held-out", type=whole_from(1), default=300, help="triples")
    add("--validate", action="store_true", help="score the triples to choose settings on, in place of the test's")
    return parser.parse_args(arguments)


def split(args: argparse.Namespace, triples: Tensor, num_entities: int, num_relations: int) -> tuple[Any, Any, Tensor]:
    """Training and held-out triples in PyKEEN's wrapping, and those that evaluation filters out besides."""
    parts = []
    for seed in (0, 1):                                 # first the test's, then those to choose settings on
        triples, held = hold_out(triples, num_entities, num_relations, args.held_out, generator_for("cpu", seed))
        parts.append(held)
    test, valid = parts
    scored, known = (valid, test) if args.validate else (test, valid)
    return (CoreTriplesFactory(triples, num_entities, num_relations),
            CoreTriplesFactory(scored, num_entities, num_relations), known)


def make_model(args: argparse.Namespace, name: str, training: Any, seed: int) -> ERModel:
    """TransE, its entities' vectors as they are or through KGConv."""
    vectors: dict[str, Any] = {"shape": args.dim, "initializer": "xavier_uniform_norm"}
    # TransE's entities have length 1; without the dim, PyKEEN takes another one where it scores all tails at once
    sphere: dict[str, Any] = {"normalizer": "normalize", "normalizer_kwargs": {"dim": -1}}
    made: dict[str, Any] = {
        "interaction": "transe", "interaction_kwargs": {"p": 2},
        "entity_representations": "embedding", "entity_representations_kwargs": vectors | sphere,
        "relation_representations_kwargs": {"shape": args.dim, "initializer": "xavier_uniform_norm"}}
    if name == "KGConv":
        both = torch.cat([training.mapped_triples, training.mapped_triples.flip(1)])
        made["entity_representations"] = "SimpleMessagePassing"
        made["entity_representations_kwargs"] = sphere | {
            "triples_factory": CoreTriplesFactory(both, training.num_entities, training.num_relations),
            "base_kwargs": vectors,
            "layers": ["kg"] * args.hops, "activations": torch.nn.Identity,   # KGConv has its own
            "layers_kwargs": [{"in_channels": args.dim, "out_channels": args.dim, "aggregator": args.aggregator,
                               "act": None}] * args.hops}
    return ERModel(triples_factory=training, loss="marginranking", random_seed=seed, **made)


def main() -> None:
    args = options()
    dataset = (MovieLens100K(args.data / "ml-100k", source=args.source) if args.dataset == "ml-100k"
               else SyntheticKGRec(args.data / "synthetic-two-relations", num_distractors=20, ratings_per_user=50))
    kg = knowledge_graph(dataset[0])
    training, held_out, known = split(args, training_triples(kg), int(kg.num_nodes), int(kg.num_relations))
    print(f"{training.num_triples:,} triples to learn from, {held_out.num_triples:,} held out")
    for name in args.models:
        found = []
        for seed in args.seeds:
            with fenced(seed), quiet():
                result = pipeline(
                    training=training, testing=held_out, model=make_model(args, name, training, seed),
                    random_seed=seed, optimizer="Adagrad", optimizer_kwargs={"lr": args.lr}, device="cpu",
                    training_kwargs={"num_epochs": args.epochs, "batch_size": args.batch, "use_tqdm": False,
                                     "pin_memory": False},
                    evaluation_kwargs={"batch_size": 16, "use_tqdm": False, "additional_filter_triples": [
                        training.mapped_triples, known]})
            found.append([result.get_metric(path) for path in METRICS.values()])
            print(f"{name}, seed {seed}: " + row(torch.tensor([found[-1]])) + f"   {result.train_seconds:.0f} s",
                  flush=True)
        print(f"{name}: {row(torch.tensor(found))}")


def row(found: Tensor) -> str:
    """Mean ± deviation of [seeds, metrics]."""
    spread = [f" ± {value:.4f}" for value in found.std(0)] if len(found) > 1 else [""] * len(METRICS)
    return "   ".join(f"{name} {mean:.4f}{beyond}" for name, mean, beyond in
                      zip(METRICS, found.mean(0).tolist(), spread, strict=True))


if __name__ == "__main__":
    main()
