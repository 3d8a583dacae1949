"""KGQR on a data set with a KG: load, pre-train the embeddings, train against the simulator, show what was learned.

On MovieLens a fifth of the films is new: nobody has rated them yet when the agent is made and trained. In the end it
recommends these alone, and scores stand beside those of a prior with the KG, with a shuffled one and without any.

    python examples/kgqr.py                                            # MovieLens-100K
    python examples/kgqr.py --new 0                                    # no new films: all of them in training
    python examples/kgqr.py --dataset book-crossing --source FOLDER    # the paper's world; --world taste for the other
    python examples/kgqr.py --dataset synthetic                        # a made world, whose tastes follow the KG

Prints the data, the world's bounds, the learning curve and the scores of test users; writes metrics.json,
learning_curve.png and recommendations.md into --out. An interrupted run, started again, goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch_geometric.data import HeteroData

from kgrl.agents import KGQR
from kgrl.agents.random import Random
from kgrl.candidates import relation_words
from kgrl.datasets import MovieLens10M, as_released, node_names, popular_items, renumbered, split_items, split_users
from kgrl.evaluate import METRICS, Scores, evaluate, score
from kgrl.experiments.arguments import agent_options, check_source, number_from, whole_from, world_name
from kgrl.experiments.data_sets import DATASETS
from kgrl.experiments.new_item_report import new_item_picks, new_item_scores, prior_of, priors_with_controls
from kgrl.experiments.report import held, plot_curve, score_table, session_pages, share_of_way
from kgrl.experiments.script_run import own_folder, peak_gib, run_folder, tried
from kgrl.files import whole_file
from kgrl.graph import knowledge_graph, shuffled, without_edges
from kgrl.options import expected
from kgrl.presets import preset, preset_names
from kgrl.pretrain import factor_tastes, pretrain_entities
from kgrl.simulator import FeedbackModel, PlantedFeedback, PredictedFeedback, Simulator
from kgrl.simulator.bounds import ALL_KNOWING, RANDOM
from kgrl.train import Run, fit

WITH_KG: dict[str, Callable[..., Any]] = {
    **{name: made for name, made in DATASETS.items() if name != "netflix"}, "ml-10m": partial(MovieLens10M, kg=True)}

# what --set cannot give KGQR: what this script gives it, and what is no text
OWN = ("kg", "embedding", "popular", "aggregator", "tastes", "seed", "candidates")

NEW = {"book-crossing": 0.0, "synthetic": 0.0}  # elsewhere a fifth of the items is new
STARTS = ("none", "ratings", "kg")

READING = """Each pick of the agent, the simulator's feedback (👍: liked), and how the KG leads to it from something
that the user liked before: over the rarest entity that they have in common. This tells why the pick was a candidate;
to choose it from the candidates is what the agent has learned."""
READING_NEW = """Nobody had rated any of these when the agent was made and trained. The KG leads to each from something
that the user rated well, over the rarest entity that they have in common."""


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--dataset", choices=WITH_KG, default="ml-100k")
    add("--source", type=Path, help="folder that already holds the raw files; default: download them")
    add("--data", type=Path, default=Path(__file__).resolve().parents[1] / "data", help="where data sets are kept")
    add("--world", choices=["heldout", "kgqr", "taste", "planted"], help="how the simulator is fitted; default: "
        "heldout (chosen on held-out ratings); kgqr (the paper's) for book-crossing, planted (made) for synthetic")
    add("--eta", type=number_from(0), default=0.1, help="weight of the streak term")
    add("--new", type=number_from(0), metavar="SHARE", help="of the items, held out as new: recommended only after "
        "training; default: 0.2, and 0 for book-crossing and synthetic")
    add("--start", choices=STARTS, help="what is expected of the items before training: nothing, what the training "
        "users' ratings say, or what they say through the KG, of new items too; default: kg with new items, else none")
    add("--kg", choices=["real", "shuffled", "none"], default="real", help="controls: shuffled tails, or no KG at all")
    add("--aggregator", default="mean", help="mean, concat, neighbor, gat or relational")
    add("--interactions", type=whole_from(32), help="items shown in training; default: what the data set needs")
    add("--backfill", help="popular:N or random:N items added to the candidates, or none")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="any other option of KGQR, e.g. gamma=0.8")
    add("--sessions", type=whole_from(1), help="sessions a rollout; default: what the data set needs")
    add("--seed", type=int, default=0, help="of the agent; the split and the world have seed 0")
    add("--out", type=Path, help="folder of the results; default: one below runs, named after the options")
    args = parser.parse_args()
    args.out = args.out or run_folder(parser, args, "kgqr")
    args.world = args.world or {"book-crossing": "kgqr", "synthetic": "planted"}.get(args.dataset, "heldout")
    try:
        world_name(f"{args.dataset}/{args.world}")
    except argparse.ArgumentTypeError as error:
        parser.error(f"--world {error}")
    check_source(parser, args.source, [args.dataset])
    args.new = NEW.get(args.dataset, 0.2) if args.new is None else args.new
    if args.new >= 1:
        parser.error(expected("--new", "a share of the items, below 1", args.new, "0 holds none out"))
    args.start = args.start or ("kg" if args.new else "none")
    chosen, args.training = settings(args.dataset, args.world)
    if args.interactions is None:  # a start saves half of the way
        args.interactions = args.training["interactions"] // (1 if args.start == "none" else 2)
    if args.backfill is not None:
        kind, _, count = args.backfill.partition(":")
        if args.backfill != "none" and not (kind in ("popular", "random") and count.isdecimal() and int(count)):
            parser.error(expected("--backfill", "popular:N or random:N with N of at least 1, or none", args.backfill))
        chosen["backfill"] = None if kind == "none" else (kind, int(count))
    chosen |= {"lr": 1e-3} if args.start != "none" else {}  # higher ones forget the start
    args.agent = chosen | agent_options(parser, args.set, [KGQR], OWN)
    tried(parser, lambda data: KGQR(knowledge_graph(data), aggregator=args.aggregator, seed=args.seed, **args.agent,
                                    popular=popular_items(data, torch.arange(data["user"].num_nodes))))
    return args


def settings(dataset: str, world: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was found good there, of the agent and of its training; where there is no preset, the defaults."""
    if ("kgqr", dataset, world) not in preset_names():
        return {}, dict(KGQR.schedule)
    found = preset("KGQR", dataset, world)
    return dict(found.options), dict(found.training)


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
    with own_folder(args.out):
        run(args)


def run(args: argparse.Namespace) -> None:
    seconds: dict[str, float] = {}

    def timed(what: str, work: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        result = work()
        seconds[what] = time.perf_counter() - started
        return result

    data = timed("data", lambda: load(args))
    noun = data.provenance.get("item_noun", "item")
    seen, old, new = data, None, None
    if args.new:  # `seen` is all that the agent may know: nothing that anybody thinks of a new item
        data = renumbered(data, seed=0)
        old, new = split_items(data, args.new, seed=0)
        seen = as_released(data, new)
    train, valid, test = split_users(data, train=0.7, valid=0.1, seed=0)
    popular = popular_items(seen, train)
    real = knowledge_graph(seen)
    kg = {"real": real, "shuffled": shuffled(real, seed=0), "none": without_edges(real)}[args.kg]
    embedding = None if args.kg == "none" else timed("TransE", lambda: pretrain_entities(
        kg, model="TransE", dim=50, seed=0, cache=args.data / args.dataset / "embeddings"))
    feedback = timed("world", lambda: feedback_of(args.world, data))
    world = Simulator(feedback, eta=args.eta, horizon=32, first=popular, items=old)
    bounds = world.bounds(valid, train)
    print(f"{bounds}\n(on {len(valid)} validation users)")
    length = args.agent.get("taste_channels", 8)
    tastes = timed("tastes", {
        "none": lambda: None,
        "ratings": lambda: factor_tastes(seen, train, length),
        "kg": lambda: prior_of(kg, seen, train, length),
    }[args.start])
    print(", ".join(f"{what} {spent:.1f} s" for what, spent in seconds.items()))

    agent = KGQR(kg, embedding=embedding, popular=popular, aggregator=args.aggregator, tastes=tastes, seed=args.seed,
                 **args.agent).restrict(old)
    curve = fit(agent, world, train, eval_users=valid, interactions=args.interactions,
                evaluate_every=args.training["evaluate_every"], sessions=args.sessions or args.training["sessions"],
                checkpoint=args.out, evaluate_first=tastes is not None, seed=args.seed,
                callbacks=show)
    levels = {name: bounds.metrics(name)["reward"] for name in bounds.lines}    # of the same users as the curve
    levels["random candidate"] = evaluate(Random(agent.candidates), world, valid).reward
    plot_curve(curve, levels, args.out / "learning_curve.png",
               f"{args.dataset}, {args.world} world, η = {args.eta}, {len(valid)} validation users")

    bounds = world.bounds(test, train)
    scores = {"KGQR": evaluate(agent, world, test)}
    scores["random candidate"] = evaluate(Random(agent.candidates), world, test)
    scores |= {name: score(sessions, bounds.num_relevant) for name, sessions in bounds.lines.items()}
    print(f"\n{len(test)} test users; p: paired Wilcoxon test of KGQR against the row\n{score_table(scores, 'KGQR')}")
    pages = session_pages(scores["KGQR"].sessions, range(3), agent.candidates, node_names(data).__getitem__,
                          relation_words(data).__getitem__, threshold=feedback.threshold)
    on_new: dict[str, Scores] = {}
    page = f"# Sessions of test users\n\n{READING}\n\n{pages}"
    if new is not None:
        priors = timed("priors", lambda: priors_with_controls(real, seen, train))
        on_new = new_item_scores(agent, priors, feedback, new, train, test)
        print(f"\n{len(new)} new {noun}s, the same test users; reward: mean feedback (η = 0); way: from random to "
              f"all-knowing\n{score_table(on_new, 'KGQR', way=(RANDOM, ALL_KNOWING))}")
        picks = new_item_picks(agent, data, new, test, feedback.threshold)
        print(f"\n{picks}")
        page = f"# New {noun}s for a test user\n\n{READING_NEW}\n\n{picks}\n{page}"
    write(args, curve, levels, scores, seconds, bounds.upper, on_new)
    with whole_file(args.out / "recommendations.md") as temporary:
        temporary.write_text(page, encoding="utf-8")
    agent.save(args.out / "agent.safetensors")
    print(f"wrote metrics.json, learning_curve.png, recommendations.md and agent.safetensors to {args.out}/")


def show(training: Run) -> None:
    row = training.curve[-1]
    print(f"{row['interactions']:>8,.0f} interactions  reward {row['reward']:6.3f}  precision {row['precision']:.4f}"
          f"  {row['seconds']:6.1f} s", flush=True)


def write(
    args: argparse.Namespace, curve: list[Any], levels: dict[str, float], scores: dict[str, Scores], seconds: Any,
    upper: float, on_new: dict[str, Scores],
) -> None:
    """Everything measured, as metrics.json; curve and levels are of the validation users."""
    metrics = {
        "options": {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()},
        "seconds": seconds | {"training": curve[-1]["seconds"]},
        "peak_memory_gib": peak_gib(),
        "held": {level: held(curve, float(level)) for level in ("1.5", "2.0", "2.2", "2.32", "2.43")},
        "test": {name: {metric: getattr(row, metric) for metric in METRICS} for name, row in scores.items()},
        "test_upper_bound": upper, "levels": levels, "curve": curve,
    }
    if on_new:
        metrics["new_items"] = {
            name: {metric: getattr(row, metric) for metric in METRICS}
            | {"way": share_of_way(row, on_new[RANDOM], on_new[ALL_KNOWING])} for name, row in on_new.items()}
    with whole_file(args.out / "metrics.json") as temporary:
        temporary.write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
