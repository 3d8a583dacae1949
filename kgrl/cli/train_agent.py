"""Train an agent in a simulated world, score it on test users, and write it into a folder.

    kgrl train kgqr --dataset ml-100k --out runs/films                 # with the settings that were found good there
    kgrl train kgqr --dataset synthetic --interactions 4096            # a made world: no files needed
    kgrl train tpgr --dataset ml-100k --world logged --eta 0 --patience 5
    kgrl train my_module:MyAgent --dataset ml-100k --set near=0.3       # an agent of your own

An interrupted run, started again, goes on where it was. The folder has the agent (model.safetensors, config.json), a
model card (README.md) and the learning curve (curve.json); `kgrl recommend` and `from_pretrained` read it.
"""

from __future__ import annotations

import json
import re
import time
import warnings
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import kgrl.experiments.methods  # noqa: F401 (makes methods known)
from kgrl.cli.own_agent import own_method
from kgrl.cli.shared_options import add_data_places, command_parser
from kgrl.evaluate import METRICS, evaluate
from kgrl.experiments.arguments import check_source, device_name, number_from, whole_from, world_name
from kgrl.experiments.data_sets import DATASETS, Unserved
from kgrl.experiments.method import METHODS, Method, method_of
from kgrl.experiments.report import score_table
from kgrl.experiments.script_run import few_data, run_folder
from kgrl.experiments.setting import DIM, WORLDS, Setting
from kgrl.files import whole_file
from kgrl.locks import alone_in
from kgrl.objects import with_methods
from kgrl.options import did_you_mean, expected
from kgrl.presets.preset import preset, preset_names
from kgrl.train.callback import EarlyStopping
from kgrl.train.checkpoint import Run
from kgrl.train.fit import fit

USUAL_WORLD = {"book-crossing": "kgqr", "synthetic": "planted"}
"""The world of a data set where none is named; of the others "heldout"."""
LEARNING = ("interactions", "evaluate_every", "sessions", "patience", "log", "checkpoint")
"""Options that an agent which learns nothing from interactions has no use for."""


def train_agent(argv: Sequence[str]) -> int:
    """The command ``kgrl train``; returns its exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    args.out = args.out or run_folder(parser, args, "train", apart=("out", "data", "source", "checkpoint", "log"))
    args.world = args.world or USUAL_WORLD.get(args.dataset, "heldout")
    try:
        world_name(f"{args.dataset}/{args.world}")
    except ArgumentTypeError as error:
        parser.error(f"--world {error}")
    check_source(parser, args.source, [args.dataset])
    method = own_method(args.agent) if ":" in args.agent else method_called(args.agent)
    options, training = _settings(parser, args, method)
    if args.set and method.name in METHODS:
        _try_options(method, args.eta, args.seed, options)
    with alone_in(args.out):
        _run(args, method, options, training)
    return 0


def _parser() -> ArgumentParser:
    parser = command_parser("train", __doc__ or "")
    add = parser.add_argument
    add("agent", help="a row of the tables, in any spelling: kgqr, tpgr, dqn-r, linear-gaussian, popularity, …; or "
        "module:name, of a class or an instance of your own")
    add("--dataset", choices=DATASETS, default="ml-100k", help="default: ml-100k")
    add("--world", help=f"how the simulator is made: one of {', '.join(WORLDS)}; default: kgqr (the paper's) for "
        "book-crossing, planted for synthetic, else heldout (a model of the ratings, chosen on held-out ones)")
    add("--eta", type=number_from(0), default=0.1, help="weight of the streak term (default: 0.1)")
    add("--preset", choices=["best", "table"], default="best", help="settings to begin with: the best that are known "
        "for data set and world where there are some, or those that the tables begin with (default: best)")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="another option of the agent, e.g. gamma=0.8; "
        "values are JSON")
    add("--interactions", type=whole_from(32), help="items shown in training; default: what the settings say")
    add("--evaluate-every", type=whole_from(1), metavar="N", help="interactions between evaluations; likewise")
    add("--sessions", type=whole_from(1), help="sessions a rollout; likewise")
    add("--patience", type=whole_from(1), metavar="N", help="stop after N evaluations without a rise, and keep the "
        "best weights")
    add("--log", choices=["csv", "tensorboard"], help="log the curve into the folder, as well")
    add("--seed", type=whole_from(0), default=0, help="of the agent; the split and the world have seed 0")
    add("--out", type=Path, help="the folder; default: one below runs, named after the options")
    add("--checkpoint", type=Path, help="folder of the checkpoint (default: `checkpoint` in the folder)")
    add("--license", default="unknown", help="of what is in the folder, for the model card, as the Hub names it")
    add("--device", type=device_name, default="cpu", help="cpu or cuda (default: cpu)")
    add_data_places(parser)
    return parser


def method_called(name: str) -> Method:
    """The method that is called so, whatever the spelling: "dqn-r", "DQNR" and "DQN-R" are one.

    Raises:
        ValueError: there is none; the text has the nearest.
    """
    def bare(text: str) -> str:
        return re.sub(r"[^a-z0-9]", "", text.lower())

    if not (found := [each for each in METHODS if bare(each) == bare(name)]):
        raise ValueError(expected("agent", "a row of the tables", name, did_you_mean(name, [*METHODS])))
    return method_of(found[0])


def _settings(parser: ArgumentParser, args: Namespace, method: Method) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of the agent and of its training."""
    options, training = dict(method.grid[0]), dict(method.training)
    if args.preset == "best" and (method.name.lower(), args.dataset, args.world) in preset_names():
        known = preset(method.name, args.dataset, args.world)
        options, training = dict(known.options), dict(known.training)
    for pair in args.set:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            parser.error(expected("--set", "NAME=VALUE, as in gamma=0.8", pair))
        try:
            options[name] = json.loads(value)
        except json.JSONDecodeError:
            parser.error(expected(f"--set {name}", 'a number, true, false, null, a "quoted text" or a [list]', value))
    if not training and (given := [name for name in LEARNING if getattr(args, name) is not None]):
        parser.error(f"{method.name} learns nothing from interactions: leave out --{given[0].replace('_', '-')}")
    changed = {name: getattr(args, name) for name in LEARNING[:3] if getattr(args, name) is not None}
    return options, training | changed if training else {}


def _run(args: Namespace, method: Method, options: Mapping[str, Any], training: Mapping[str, Any]) -> None:
    setting = Setting.load(args.dataset, args.world, args.eta, root=args.data, source=args.source, device=args.device)
    method.require(setting)
    items = setting.data["item"].num_nodes
    print(f"{setting.name}: {len(setting.train):,} training users, {items:,} items", flush=True)
    agent: Any = _built(method, setting, args.seed, options)
    bounds = setting.test_simulator.bounds(setting.test, setting.train)
    if setting.old is not None:
        with_methods(args.agent, agent, "restrict", hint="in a world with new items it is told which it may recommend")
        agent.restrict(setting.old)
    curve = fit(
        agent, setting.simulator, setting.train, eval_users=setting.curve_users, seed=args.seed,
        checkpoint=args.checkpoint or args.out / _checkpoint_of(method),
        keep="last" if args.patience is None else "best",
        callbacks=[_Shown(), *([] if args.patience is None else [EarlyStopping(args.patience)])],
        loggers=_logger(args), **training) if training else []
    if setting.new is not None:
        agent.restrict(setting.new)
    scores = evaluate(agent, setting.test_simulator, setting.test, seed=args.seed)
    print(f"\n{len(setting.test)} test users\n{bounds}\n\n{score_table({method.name: scores}, method.name)}")
    told = {"dataset": args.dataset, "world": args.world, "eta": args.eta, "method": method.name, "seed": args.seed,
            **({"interactions": int(curve[-1]["interactions"]), "seconds": round(curve[-1]["seconds"], 1)}
               if curve else {})}
    if hasattr(agent, "save_pretrained"):
        agent.save_pretrained(args.out, data=setting.data, scores=scores, bounds=bounds, training=told,
                              license=args.license)
    with whole_file(args.out / "curve.json") as temporary:
        temporary.write_text(json.dumps(curve, indent=1) + "\n", encoding="utf-8")
    if hasattr(agent, "save_pretrained"):
        print(f"wrote the agent and its model card to {args.out}/")
    else:
        print(f"wrote the curve to {args.out}/; the agent itself has no save_pretrained")


class _Few(Setting):
    """A made setting, ready at once: what options are tried in before data are read."""

    def __init__(self, times: int, eta: float) -> None:
        super().__init__(few_data(times), "heldout", eta, dataset="made")

    def entities_of(self, control: str) -> Tensor:
        return torch.ones(int(self.kg.num_nodes), DIM, device="cpu")  # in the place of a training


def _try_options(method: Method, eta: float, seed: int, options: Mapping[str, Any]) -> None:
    """Makes the agent on few data; of options that are too large for these alone nothing is said yet.

    Raises:
        TypeError, ValueError: what the agent says of its options, if it says the same on twice as many data.
    """
    said = []
    for times in (1, 2):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what few data are like
                method.require(few := _Few(times, eta))
                _built(method, few, seed, options)
        except Unserved:
            return
        except (TypeError, ValueError) as error:
            said.append(str(error))
            if said[1:] == said[:1]:
                raise
        else:
            return


def _checkpoint_of(method: Method) -> str:
    """The folder's name; that of an agent of one's own goes by its code, which may have changed since a run."""
    return "checkpoint" if method.code is None else f"checkpoint-{method.code[:8]}"


def _built(method: Method, setting: Setting, seed: int, options: Mapping[str, Any]) -> Any:
    """The agent; what it says of options that it does not have is said of ``--set``."""
    try:
        agent: Any = method.build(setting, seed, **options).to(setting.device)
    except TypeError as error:
        if "unexpected keyword argument" in str(error):
            name = str(error).rpartition(" ")[2]
            raise ValueError(expected("--set", f"options of {method.name}", name)) from error
        raise
    if not hasattr(agent, "save_pretrained") and method.name in METHODS:
        raise ValueError(expected("agent", "one that can be saved", method.name))
    return agent


class _Shown:
    """Prints each evaluation, and why a training has stopped."""

    def __init__(self) -> None:
        self.started = time.perf_counter()

    def on_evaluation(self, run: Run) -> None:
        row = run.curve[-1]
        scores = "  ".join(f"{name} {row[name]:.4f}" for name in METRICS)
        print(f"{row['interactions']:>10,.0f} interactions  {scores}  {row['seconds']:7.1f} s", flush=True)

    def on_end(self, run: Run) -> None:
        if run.stopped:
            print(f"stopped: {run.stopped}", flush=True)


def _logger(args: Namespace) -> Any:
    if args.log is None:
        return None
    from lightning_fabric.loggers.csv_logs import CSVLogger
    from lightning_fabric.loggers.tensorboard import TensorBoardLogger

    return CSVLogger(args.out, name="log") if args.log == "csv" else TensorBoardLogger(args.out, name="log")
