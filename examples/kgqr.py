"""KGQR on a data set with a KG: load, pre-train the embeddings, train against the simulator, show what was learned.

    python examples/kgqr.py                                            # MovieLens-100K
    python examples/kgqr.py --dataset book-crossing --source FOLDER    # the paper's world; --world taste for the other
    python examples/kgqr.py --dataset synthetic                        # a made world, whose tastes follow the KG

Prints the data, the world's bounds, the learning curve and the scores of test users; writes metrics.json,
learning_curve.png and recommendations.md into --out. An interrupted run, started again, goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from torch_geometric.data import HeteroData

from kgrl.agents import KGQR
from kgrl.agents.random import Random
from kgrl.candidates import relation_words
from kgrl.datasets import MovieLens10M, node_names, popular_items, split_users
from kgrl.evaluate import METRICS, Scores, evaluate, score
from kgrl.experiments.arguments import agent_options, check_source, number_from, whole_from, world_name
from kgrl.experiments.data_sets import DATASETS
from kgrl.experiments.report import held, plot_curve, score_table, session_pages
from kgrl.files import whole_file
from kgrl.graph import knowledge_graph, shuffled, without_edges
from kgrl.options import expected
from kgrl.pretrain import factor_tastes, pretrain_entities
from kgrl.simulator import FeedbackModel, PlantedFeedback, PredictedFeedback, Simulator
from kgrl.train import fit

WITH_KG: dict[str, Callable[..., Any]] = {
    **{name: made for name, made in DATASETS.items() if name != "netflix"}, "ml-10m": partial(MovieLens10M, kg=True)}

# what the paper's state lacks: the streaks that the reward depends on, and the feedback beside the liking
BEYOND_THE_PAPER = {"streak_state": True, "taste_channels": 8}

# what --set cannot give KGQR: what this script gives it, and what is no text
OWN = ("kg", "embedding", "popular", "aggregator", "tastes", "seed", "candidates")

# chosen on validation users (README, "How the settings were chosen"); everything else is KGQR's default
SETTINGS: dict[tuple[str, str], dict[str, Any]] = {
    ("ml-100k", "heldout"): {
        "interactions": 30_720, "backfill": "popular:300", "num_candidates": None, "gamma": 0.0, "epsilon": 0.2,
        "batch_size": 256, "gradient_steps": 32, "state_channels": 16, "hidden_channels": 32, **BEYOND_THE_PAPER},
    ("book-crossing", "kgqr"): {
        "interactions": 20_480, "backfill": "random:300", "gamma": 0.1, "epsilon": 0.03, **BEYOND_THE_PAPER},
    ("book-crossing", "taste"): {
        "interactions": 40_960, "backfill": "popular:300", "gamma": 0.0, "epsilon": 0.1, "batch_size": 256,
        "gradient_steps": 32, **BEYOND_THE_PAPER},
    ("synthetic", "planted"): {
        "interactions": 20_480, "backfill": "popular:300", "gamma": 0.1, "lr": 1e-3, **BEYOND_THE_PAPER},
}
ELSEWHERE = {"interactions": 20_480, "backfill": "popular:300", **BEYOND_THE_PAPER}

READING = """Each pick of the agent, the simulator's feedback (👍: liked), and how the KG leads to it from something
that the user liked before: over the rarest entity that they have in common. This tells why the pick was a candidate;
to choose it from the candidates is what the agent has learned."""


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--dataset", choices=WITH_KG, default="ml-100k")
    add("--source", type=Path, help="folder that already holds the raw files; default: download them")
    add("--data", type=Path, default=Path(__file__).resolve().parents[1] / "data", help="where data sets are kept")
    add("--world", choices=["heldout", "kgqr", "taste", "planted"], help="how the simulator is fitted; default: "
        "heldout (chosen on held-out ratings); kgqr (the paper's) for book-crossing, planted (made) for synthetic")
    add("--eta", type=number_from(0), default=0.1, help="weight of the streak term")
    add("--kg", choices=["real", "shuffled", "none"], default="real", help="controls: shuffled tails, or no KG at all")
    add("--aggregator", default="mean", help="mean, concat, neighbor, gat or relational")
    add("--interactions", type=whole_from(32), help="items shown in training; default: what the data set needs")
    add("--backfill", help="popular:N or random:N items added to the candidates, or none")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="any other option of KGQR, e.g. gamma=0.8")
    add("--warm", action="store_true", help="start from tastes of the items that the training users' ratings give")
    add("--sessions", type=whole_from(1), default=32, help="sessions a rollout")
    add("--seed", type=int, default=0, help="of the agent; the split and the world have seed 0")
    add("--out", type=Path, default=Path("runs/kgqr"), help="folder of the results")
    args = parser.parse_args()
    args.world = args.world or {"book-crossing": "kgqr", "synthetic": "planted"}.get(args.dataset, "heldout")
    try:
        world_name(f"{args.dataset}/{args.world}")
    except argparse.ArgumentTypeError as error:
        parser.error(f"--world {error}")
    check_source(parser, args.source, [args.dataset])
    chosen = SETTINGS.get((args.dataset, args.world), ELSEWHERE).copy()
    interactions, backfill = chosen.pop("interactions"), chosen.pop("backfill")
    args.interactions = interactions if args.interactions is None else args.interactions
    args.backfill = backfill if args.backfill is None else args.backfill
    kind, _, count = args.backfill.partition(":")
    if args.backfill != "none" and not (kind in ("popular", "random") and count.isdecimal() and int(count)):
        parser.error(expected("--backfill", "popular:N or random:N with N of at least 1, or none", args.backfill))
    given = agent_options(parser, args.set, KGQR, OWN)
    chosen |= {"lr": 1e-3} if args.warm else {}  # higher ones forget the start
    args.agent = chosen | {"backfill": None if kind == "none" else (kind, int(count))} | given
    return args


def load(args: argparse.Namespace) -> HeteroData:
    data = WITH_KG[args.dataset](args.data / args.dataset, source=args.source)[0]
    for stage in ("before", "after"):
        counts = ", ".join(f"{count:,} {what}" for what, count in data.provenance[stage].items())
        print(f"{stage} linking: {counts}")
    print(data.provenance["links"]["sentence"])
    return data


def feedback_of(world: str, data: HeteroData) -> FeedbackModel:
    """What users feel about items: as planted, or as a matrix factorization of the ratings predicts."""
    if world == "planted":
        return PlantedFeedback(data)
    feedback = PredictedFeedback.fit(data, dim=20, seed=0, preset=None if world == "heldout" else world)
    print(f"world: {feedback.fitting}")
    return feedback


def main() -> None:
    args = options()
    args.out.mkdir(parents=True, exist_ok=True)
    seconds: dict[str, float] = {}

    def timed(what: str, work: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        result = work()
        seconds[what] = time.perf_counter() - started
        return result

    data = timed("data", lambda: load(args))
    train, valid, test = split_users(data, train=0.7, valid=0.1, seed=0)
    popular = popular_items(data, train)
    kg = knowledge_graph(data)
    kg = {"real": lambda: kg, "shuffled": lambda: shuffled(kg, seed=0), "none": lambda: without_edges(kg)}[args.kg]()
    embedding = None if args.kg == "none" else timed("TransE", lambda: pretrain_entities(
        kg, model="TransE", dim=50, seed=0, cache=args.data / args.dataset / "embeddings"))
    feedback = timed("world", lambda: feedback_of(args.world, data))
    world = Simulator(feedback, eta=args.eta, horizon=32, first=popular)
    bounds = world.bounds(valid, train)
    print(f"{bounds}\n(on {len(valid)} validation users)")
    print(", ".join(f"{what} {spent:.1f} s" for what, spent in seconds.items()))

    length = args.agent.get("taste_channels", 8)
    tastes = timed("tastes", lambda: factor_tastes(data, train, length)) if args.warm else None
    agent = KGQR(kg, embedding=embedding, popular=popular, aggregator=args.aggregator, tastes=tastes, seed=args.seed,
                 **args.agent)
    curve = fit(agent, world, train, eval_users=valid, interactions=args.interactions, evaluate_every=1_024,
                sessions=args.sessions, checkpoint=args.out, evaluate_first=args.warm, seed=args.seed, watch=show)
    levels = {name: bounds.metrics(name)["reward"] for name in bounds.lines}    # of the same users as the curve
    levels["random candidate"] = evaluate(Random(agent.candidates), world, valid).reward
    plot_curve(curve, levels, args.out / "learning_curve.png",
               f"{args.dataset}, {args.world} world, η = {args.eta}, {len(valid)} validation users")

    bounds = world.bounds(test, train)
    scores = {"KGQR": evaluate(agent, world, test)}
    scores["random candidate"] = evaluate(Random(agent.candidates), world, test)
    scores |= {name: score(sessions, bounds.num_relevant) for name, sessions in bounds.lines.items()}
    print(f"\n{len(test)} test users; p: paired Wilcoxon test of KGQR against the row\n{score_table(scores, 'KGQR')}")
    write(args, curve, levels, scores, seconds, bounds.upper)
    pages = session_pages(scores["KGQR"].sessions, range(3), agent.candidates, node_names(data).__getitem__,
                          relation_words(data).__getitem__)
    with whole_file(args.out / "recommendations.md") as temporary:
        temporary.write_text(f"# Sessions of test users\n\n{READING}\n\n{pages}", encoding="utf-8")
    agent.save(args.out / "agent.safetensors")
    print(f"wrote metrics.json, learning_curve.png, recommendations.md and agent.safetensors to {args.out}/")


def show(row: Any) -> None:
    print(f"{row['interactions']:>8,.0f} interactions  reward {row['reward']:6.3f}  precision {row['precision']:.4f}"
          f"  {row['seconds']:6.1f} s", flush=True)


def write(
    args: argparse.Namespace, curve: list[Any], levels: dict[str, float], scores: dict[str, Scores], seconds: Any,
    upper: float,
) -> None:
    """Everything measured, as metrics.json; curve and levels are of the validation users."""
    metrics = {
        "options": {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()},
        "seconds": seconds | {"training": curve[-1]["seconds"]},
        "peak_memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "held": {level: held(curve, float(level)) for level in ("1.5", "2.0", "2.2", "2.32", "2.43")},
        "test": {name: {metric: getattr(row, metric) for metric in METRICS} for name, row in scores.items()},
        "test_upper_bound": upper, "levels": levels, "curve": curve,
    }
    with whole_file(args.out / "metrics.json") as temporary:
        temporary.write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
