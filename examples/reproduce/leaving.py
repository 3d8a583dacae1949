"""Where planning pays: KGQR by its discount γ, in worlds where users stay, leave, or have had enough for now.

    python examples/reproduce/leaving.py --cells FOLDER

MovieLens-100K, the world whose settings were chosen on held-out ratings, η = 0, the KG's genres as categories; the
rules have their defaults, which nothing here chose. KGQR has its own defaults too but for γ, all items as candidates,
32 gradient steps a rollout, and the KG: it gets the triples of genre alone, as a step on all of the KG takes about
twice as long. What a cell of the table holds is kept in ``--cells``, a file each, and not measured again. Each world's
γ is chosen on validation users; test users are scored once a cell. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing.connection
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from scipy.stats import ttest_rel
from torch import Tensor

from kgrl.agents import KGQR
from kgrl.candidates import FixedCandidates
from kgrl.evaluate import evaluate
from kgrl.experiments.arguments import number_from, whole_from
from kgrl.experiments.setting import Setting
from kgrl.experiments.sheet import MISSING, Sheet
from kgrl.files import whole_file
from kgrl.graph import knowledge_graph
from kgrl.rollout import rollout
from kgrl.significance import paired_wilcoxon
from kgrl.simulator import Categories, Simulator, item_categories

HERE = Path(__file__).resolve().parent
GENRE = "film_film_genre"
WORLDS: dict[str, dict[str, Any]] = {
    "nobody leaves": {}, "boredom": {"leaving": "boredom"}, "patience": {"leaving": "patience"},
    "satiation": {"drift": "satiation"}}
SESSIONS = {"boredom": 64}
"""Sessions a rollout, else 16: so that it has some 300 to 500 interactions in each world."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS))
    add("--gammas", nargs="+", type=number_from(0), default=[0.0, 0.5, 0.9])
    add("--seeds", nargs="+", type=whole_from(0), default=[0, 1, 2, 3, 4])
    add("--interactions", type=whole_from(32), default=4_096)
    add("--jobs", type=whole_from(1), default=1, help="processes; copies of this one, where the system can make them")
    add("--cells", type=Path, default=HERE / "cells-leaving", help="where what was measured is kept")
    add("--data", type=Path, default=HERE.parents[1] / "data", help="where data sets are kept")
    add("--print-only", action="store_true", help="measure nothing, and print what is there")
    args = parser.parse_args()
    setting = Setting.load("ml-100k", "heldout", 0.0, root=args.data)
    simulators = {world: world_of(setting, world) for world in args.worlds}
    missing = [] if args.print_only else [
        (world, gamma, seed) for seed in args.seeds for gamma in args.gammas for world in args.worlds
        if not place(args, world, gamma, seed).exists()]

    def work(number: int) -> None:
        measure(setting, simulators[missing[number][0]], *missing[number], args)

    run_all(work, len(missing), args.jobs)
    table, lines = [], []
    for world, simulator in simulators.items():
        table += rows(world, {gamma: {seed: read(place(args, world, gamma, seed)) for seed in args.seeds}
                              for gamma in args.gammas})
        lines.append(f"{world}\n\n```\n{simulator.bounds(setting.test, setting.train)}\n```\n")
    columns = ["world", "γ", "seeds", "validation users", "test users", "steps", "above γ = 0", "p, users",
               "p, seeds"]
    print(Sheet("KGQR by γ", columns, table).markdown(), *lines, sep="\n")


def world_of(setting: Setting, world: str) -> Simulator:
    """The world of a name."""
    return Simulator(setting.feedback, eta=0.0, horizon=setting.horizon, first=setting.popular,
                     categories=item_categories(setting.kg, GENRE), **WORLDS[world])


def place(args: argparse.Namespace, world: str, gamma: float, seed: int) -> Path:
    """The file of a cell."""
    file: Path = args.cells / world.replace(" ", "-") / f"gamma-{gamma:g}-seed-{seed}-{args.interactions}.json"
    return file


def read(file: Path) -> dict[str, Any]:
    """What a cell holds; ``{}`` where it is missing."""
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return found


def run_all(work: Callable[[int], None], count: int, jobs: int) -> None:
    """``work(0)``, …, ``work(count − 1)``, in copies of this process, ``jobs`` at a time."""
    if jobs == 1:
        for number in range(count):
            work(number)
        return
    copies = multiprocessing.get_context("fork")
    running: list[Any] = []
    for number in range(count):
        while len(running) == jobs:
            multiprocessing.connection.wait([each.sentinel for each in running])
            running = [each for each in running if each.exitcode is None]
        running.append(copies.Process(target=work, args=(number,)))
        running[-1].start()
    for each in running:
        each.join()


def measure(
    setting: Setting, simulator: Simulator, world: str, gamma: float, seed: int, args: argparse.Namespace
) -> None:
    """Trains one agent, scores it, and keeps what it reaches."""
    genres = Categories(item_categories(setting.kg, GENRE))
    items, places = (genres.table < genres.count).nonzero().T
    edges = torch.stack([items, genres.num_items + genres.table[items, places]])
    agent = KGQR(knowledge_graph(edges, num_items=genres.num_items), popular=setting.popular, gamma=gamma, seed=seed,
                 candidates=FixedCandidates(genres.num_items), gradient_steps=32)
    train(agent, simulator, setting.train, SESSIONS.get(world, 16), args.interactions, seed)
    valid, test = (evaluate(agent, simulator, users) for users in (setting.valid, setting.test))
    made = {"valid": valid.reward, "steps": test.length,
            "test": [round(value, 5) for value in test.per_user["reward"].tolist()]}
    file = place(args, world, gamma, seed)
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(file) as temporary:
        temporary.write_text(json.dumps(made), encoding="utf-8")
    print(f"{world}, γ {gamma:g}, seed {seed}: validation {made['valid']:.4f}, {made['steps']:.1f} steps", flush=True)


def train(agent: KGQR, simulator: Simulator, users: Tensor, sessions: int, interactions: int, seed: int) -> None:
    """Rollouts of as many sessions, until there were so many interactions.

    :func:`kgrl.train.fit` never exceeds them, and where most sessions are short it ends with many small rollouts.
    """
    generator, shown = torch.Generator().manual_seed(seed), 0
    while shown < interactions:
        drawn = users[torch.randperm(len(users), generator=generator)[:sessions]]
        played = rollout(agent, simulator, drawn, explore=True, generator=generator)
        agent.learn(played, generator)
        shown += int(played.length.sum())


def rows(world: str, cells: dict[float, dict[int, dict[str, Any]]]) -> list[list[str]]:
    """The world's rows: means and standard deviations over seeds, and how surely a γ is above 0.

    Once by Wilcoxon's test, paired over users (their means over the seeds), once by Student's, paired over seeds.
    """
    scores = {gamma: {seed: torch.tensor(each["test"]) for seed, each in made.items() if each}
              for gamma, made in cells.items()}
    made_rows = []
    for gamma, of_seed in scores.items():
        if not of_seed:
            made_rows.append([world, f"{gamma:g}", "0", *[MISSING] * 6])
            continue
        made = [cells[gamma][seed] for seed in of_seed]
        test = torch.stack(list(of_seed.values())).mean(1)
        spread = f" ± {float(test.std()):.4f}" if len(made) > 1 else ""
        both = [seed for seed in of_seed if gamma and seed in scores.get(0.0, {})]
        ours, theirs = (torch.stack([scores[each][seed] for seed in both]) if both else None for each in (gamma, 0.0))
        above, users, seeds = "", "", ""
        if ours is not None and theirs is not None:
            above = f"{float((ours - theirs).mean()):+.4f}"
            users = f"{paired_wilcoxon(ours.mean(0), theirs.mean(0)):.1g}"
            seeds = f"{ttest_rel(ours.mean(1), theirs.mean(1)).pvalue:.1g}" if len(both) > 1 else ""
        made_rows.append([world, f"{gamma:g}", str(len(made)), f"{_mean(made, 'valid'):.4f}",
                          f"{float(test.mean()):.4f}{spread}", f"{_mean(made, 'steps'):.1f}", above, users, seeds])
    return made_rows


def _mean(made: list[dict[str, Any]], name: str) -> float:
    return sum(each[name] for each in made) / len(made)


if __name__ == "__main__":
    main()
