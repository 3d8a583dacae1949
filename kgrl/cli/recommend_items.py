"""What a trained agent recommends to a user, by what she thought of some items.

    kgrl recommend runs/films --items 50,181,172 --feedback=0.6,0.6,0.4 -k 10

Items are the raw ids of the data set's files, oldest first; feedback is from -1 to 1, and positive means liked. Without
items, it is what the agent recommends to somebody new. Where the agent goes by a knowledge graph, each line says how it
leads there from something that was liked.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from torch_geometric.data import HeteroData

from kgrl.agents.shared.pretrained import read_config
from kgrl.candidates.reasons import relation_words
from kgrl.cli.shared_options import add_data_places, command_parser, data_set
from kgrl.datasets.names import node_names
from kgrl.datasets.splits import split_users
from kgrl.experiments.arguments import whole_from
from kgrl.experiments.report import reasons
from kgrl.graph import knowledge_graph
from kgrl.options import expected
from kgrl.raw_ids import are_numbers, as_list
from kgrl.sessions import Sessions


def recommend_items(argv: Sequence[str]) -> int:
    """The command ``kgrl recommend``; returns its exit code."""
    parser = command_parser("recommend", __doc__ or "")
    add = parser.add_argument
    add("folder", type=Path, help="of the agent: what `kgrl train` or `save_pretrained` wrote")
    add("--items", default="", metavar="ID,ID,…", help="raw ids of items that the user knows, oldest first")
    add("--feedback", default="", metavar="NUMBER,…", help="from -1 to 1, one for each; write --feedback=-1,… where "
        "the first is negative")
    add("-k", type=whole_from(1), default=10, help="how many to recommend (default: 10)")
    add("--dataset", help="its data set; default: what the folder says")
    add_data_places(parser)
    args = parser.parse_args(argv)
    config = read_config(args.folder)
    name = args.dataset or config.get("training", {}).get("dataset")
    if name is None:
        raise ValueError(expected("--dataset", "given, as the folder does not say what the agent was trained on", None))
    data = data_set(name, args)
    agent = loaded(args.folder, config["architectures"][0], data)
    ids = data["item"].raw_id
    items = [_raw_id(text, ids) for text in args.items.split(",") if text.strip()]
    past = Sessions.from_history([items], [_numbers(args.feedback)], ids=ids)
    for line in recommended(agent, data, past, args.k):
        print(line)
    return 0


def loaded(folder: Path, agent: str, data: HeteroData) -> Any:
    """The agent of a folder, for a data set.

    Args:
        folder: of the agent.
        agent: the name of its class.
        data: the data set that it was trained on, or a later state of it.

    Raises:
        ValueError: no agent of that name, a damaged folder, or a data set of other items.
    """
    kind: Any = getattr(import_module("kgrl.agents"), agent, None)  # which of its files is not known before
    if not hasattr(kind, "from_pretrained"):
        raise ValueError(expected("the folder's agent", "one of kgrl.agents", agent))
    have = {"kg": lambda: knowledge_graph(data), "data": lambda: data, "ids": lambda: data["item"].raw_id,
            "users": lambda: split_users(data, train=0.7, valid=0.1, seed=0)[0]}
    wanted = [have[each] for each in inspect.signature(kind.load).parameters if each in have]
    return kind.from_pretrained(folder, *(make() for make in wanted))


def recommended(agent: Any, data: HeteroData, past: Sessions, k: int) -> list[str]:
    """A line for each recommended item: its place, what it is called, its raw id, and why it was a candidate."""
    names, ids = node_names(data), as_list(data["item"].raw_id)
    items = [item for item in agent.recommend(past, k=k)[0].tolist() if item >= 0]
    lines = [f"{place:>3}. {names[item]} (id {ids[item]})" for place, item in enumerate(items, start=1)]
    rule = getattr(agent, "candidates", None)
    if hasattr(rule, "paths"):
        liked = past.liked[0]
        why = reasons(items, liked[liked >= 0], rule, names.__getitem__, relation_words(data).__getitem__)
        lines = [f"{line}: {each}" for line, each in zip(lines, why, strict=True)]
    return lines


def _raw_id(text: str, ids: Any) -> Any:
    """An id as the data set has it: a whole number, or a text."""
    if not are_numbers(ids):
        return text.strip()
    try:
        return int(text)
    except ValueError:
        raise ValueError(expected("--items", "whole numbers, as the data set's raw ids are", text)) from None


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise ValueError(expected("--feedback", "numbers from -1 to 1 with commas between them", text)) from None
