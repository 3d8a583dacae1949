"""The model card of a saved agent: a header that the Hugging Face Hub reads, and a page that people do."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any

from kgrl.objects import with_methods
from kgrl.options import expected

TAGS = ("recommender-system", "interactive-recommendation", "reinforcement-learning", "knowledge-graph",
        "pytorch-geometric")
GIVEN = {"kg": "knowledge_graph(data)", "ids": 'data["item"].raw_id'}
"""What stands in the card's code for an argument of ``load``; any other is called as it is."""


def scores_of(scores: Any, bounds: Any) -> dict[str, Any] | None:
    """Scores of an agent, and of what needs no learning, as plain values.

    Args:
        scores: :class:`kgrl.evaluate.Scores`, or ``None``.
        bounds: :class:`kgrl.simulator.Bounds` of the same users, or ``None``.

    Raises:
        TypeError: they are of another kind.
        ValueError: bounds alone, or of other users.
    """
    if scores is None:
        if bounds is not None:
            raise ValueError(expected("scores", "given with `bounds`", None, "kgrl.evaluate.evaluate gives them"))
        return None
    per_user = getattr(scores, "per_user", None)
    if not (isinstance(per_user, Mapping) and all(isinstance(getattr(scores, name, None), float) for name in per_user)):
        raise TypeError(expected("scores", "what kgrl.evaluate.evaluate gives", type(scores).__name__))
    found: dict[str, Any] = {"users": len(next(iter(per_user.values()))),
                             "agent": {name: getattr(scores, name) for name in per_user}}
    if bounds is not None:
        with_methods("bounds", bounds, "metrics", hint="Simulator.bounds gives them")
        if len(bounds.num_relevant) != found["users"]:
            raise ValueError(expected("bounds", f"of the {found['users']} users of the scores",
                                      len(bounds.num_relevant)))
        found["bounds"] = {line: bounds.metrics(line) for line in bounds.lines}
    return found


def model_card(agent: type, config: Mapping[str, Any], name: str, license: str, tags: Sequence[str]) -> str:
    """The card, as Markdown under a YAML header.

    Args:
        agent: the class.
        config: what ``config.json`` says.
        name: of the folder.
        license, tags: see :meth:`kgrl.agents.shared.pretrained.Pretrained.save_pretrained`.
    """
    what = (inspect.getdoc(agent) or agent.__name__).splitlines()[0]
    parts = [f"# {agent.__name__}", what, _data(config), _table("Scores", _score_rows(config["scores"])),
             _table("Training", [["", "value"], *([key, json.dumps(value, ensure_ascii=False)] for key, value in
                                                  config["training"].items())]),
             _how_to_load(agent, name, config),
             f"Made with kgrl {config['kgrl_version']}. Options: `config.json`."]
    return f"{_header(agent, config, name, license, tags)}\n" + "\n\n".join(part for part in parts if part) + "\n"


def _header(agent: type, config: Mapping[str, Any], name: str, license: str, tags: Sequence[str]) -> str:
    """YAML; its values are JSON, which YAML holds all of."""
    scores, data = config["scores"], (config["data"] or {}).get("name", "own data")
    values: dict[str, Any] = {"license": license, "library_name": "kgrl",
                              "tags": list(dict.fromkeys(["kgrl", agent.__name__.lower(), *TAGS, *tags]))}
    if scores is not None:
        values["metrics"] = list(scores["agent"])
        values["model-index"] = [{"name": name, "results": [{
            "task": {"type": "reinforcement-learning", "name": "interactive recommendation"},
            "dataset": {"type": data, "name": data},
            "metrics": [{"type": each, "name": each, "value": value} for each, value in scores["agent"].items()]}]}]
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    return "\n".join(["---", *lines, "---"])


def _data(config: Mapping[str, Any]) -> str:
    told, lines = config["data"] or {}, ["## Data", ""]
    if "name" in told:
        counts = ", ".join(f"{count:,} {what}" for what, count in told.get("after", {}).items())
        lines.append(f"{told['name']}" + (f": {counts}." if counts else "."))
    lines += [told["links"], ""] if "links" in told else [""]
    digests = {f"{name} (SHA-256)": value for name, value in told.get("files", {}).items()}
    digests |= {{"kg_digest": "the KG, as numbered", "data_digest": "all that the agent was made of"}[name]: value
                for name, value in config["digests"].items()}
    rows = [[name, f"`{value}`"] for name, value in digests.items()]
    return "\n".join(lines).rstrip() + ("\n\n" + _rows([["", "digest"], *rows]) if rows else "") if told or rows else ""


def _score_rows(scores: Mapping[str, Any] | None) -> list[list[str]]:
    if scores is None:
        return []
    lines = {"**this agent**": scores["agent"], **scores.get("bounds", {})}
    head = [f"{scores['users']:,} users", *scores["agent"]]
    return [head, *([name, *(f"{value:.4f}" for value in each.values())] for name, each in lines.items())]


def _table(title: str, rows: Sequence[Sequence[str]]) -> str:
    return f"## {title}\n\n{_rows(rows)}" if len(rows) > 1 else ""


def _rows(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, its first row the head."""
    lines = [f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def _how_to_load(agent: type, name: str, config: Mapping[str, Any]) -> str:
    """Code that loads it; ``load`` itself tells what it wants."""
    parameters = list(inspect.signature(agent.load).parameters.values())[1:]  # type: ignore[attr-defined]
    wanted = [each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
    room = "kgrl.agents" if agent.__module__.startswith("kgrl.") else agent.__module__
    lines = [f"from {room} import {agent.__name__}"]
    lines += ["from kgrl.graph import knowledge_graph"] if "kg" in wanted else []
    where = (config["data"] or {}).get("name")
    lines += ["", "# data: the data set that it was trained on" + (f", {where}" if where else "")
              + ("; users: its training users" if "users" in wanted else "")]
    given = ", ".join([json.dumps(name, ensure_ascii=False), *(GIVEN.get(each, each) for each in wanted)])
    lines += [f"agent = {agent.__name__}.from_pretrained({given})",
              "print(agent.recommend(past, k=10))     # past: kgrl.sessions.Sessions.from_history(…)"]
    return "\n".join(["## How to load it", "", "```python", *lines, "```"])
