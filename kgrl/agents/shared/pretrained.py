"""``Pretrained``: a saved agent as a folder in the Hugging Face layout."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Self

from torch_geometric.data import HeteroData

from kgrl.files import sha256, whole_file
from kgrl.objects import a_data_set, a_path, of_class, with_methods
from kgrl.options import expected
from kgrl.version import __version__

MODEL, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
"""The files of a folder."""
TAGS = ("recommender-system", "interactive-recommendation", "reinforcement-learning", "knowledge-graph",
        "pytorch-geometric")
GIVEN = {"kg": "knowledge_graph(data)", "ids": 'data["item"].raw_id'}
"""What stands in the card's code for an argument of ``load``; any other is called as it is."""


class Pretrained:
    """An agent with ``save`` and ``load`` that can be a folder, too, as models are on the Hugging Face Hub.

    The folder holds ``model.safetensors``, which is the agent's own file, ``config.json``, which is for people and
    pages that list models, and ``README.md``, the model card. Nothing is in two places that could disagree unseen:
    ``config.json`` has the digest of the file it was written with.
    """

    def save_pretrained(
        self, folder: str | os.PathLike[str], *, data: HeteroData | None = None, scores: Any = None, bounds: Any = None,
        training: Mapping[str, Any] | None = None, license: str = "unknown", tags: Sequence[str] = (),
    ) -> None:
        """Writes the agent, its options and a model card into a folder, each file whole or not at all.

        ``huggingface_hub.upload_folder(repo_id=…, folder_path=folder)`` puts the folder on the Hub.

        Args:
            folder: made if it is not there; files of an earlier agent in it are replaced.
            data: the data set that it was trained on; its name, its counts and its files' digests are told.
            scores: what it reached, from :func:`kgrl.evaluate.evaluate`.
            bounds: of the same users, from ``world.bounds(test, train)``, to read the scores against.
            training: how it was trained, as plain values by name, e.g. ``{"interactions": 20_480, "seed": 0}``.
            license: of what is in the folder, as the Hub names it (``"mit"``, ``"cc-by-4.0"``, …). Mind the data's.
            tags: for the Hub, beside our own.

        Raises:
            TypeError: ``data``, ``scores`` or ``bounds`` are of another kind, or ``training`` has values that JSON does
                not know.
            ValueError: ``bounds`` without ``scores``, or of other users.
            OSError: the folder cannot be written to.
        """
        folder = a_path("folder", folder)
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(f"{folder} is a file; save_pretrained writes a folder")
        digests = {name: getattr(self, name, None) for name in ("kg_digest", "data_digest")}
        config = {
            "library_name": "kgrl", "architectures": [type(self).__name__], "kgrl_version": __version__,
            "options": json.loads(json.dumps(getattr(self, "options", {}), default=repr)),
            "num_items": int(getattr(self, "num_items", 0)) or None,
            "data": None if data is None else _provenance(data),
            "digests": {name: value for name, value in digests.items() if value is not None},
            "scores": scores_of(scores, bounds), "training": _plain("training", training or {}),
        }
        texts = of_class("license", license, str), [of_class("tags", each, str) for each in tags]
        card = model_card(type(self), config, folder.name, *texts)
        self.save(folder / MODEL)  # type: ignore[attr-defined]
        config["sha256"] = sha256(folder / MODEL)
        for name, text in ((CARD, card), (CONFIG, json.dumps(config, indent=1, ensure_ascii=False) + "\n")):
            with whole_file(folder / name) as temporary:  # the config last: it says which model the folder has
                temporary.write_text(text, encoding="utf-8")

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str], *given: Any, **options: Any) -> Self:
        """The agent that :meth:`save_pretrained` wrote.

        Of the Hub, ``huggingface_hub.snapshot_download(repo_id)`` gives the folder.

        Args:
            folder: with ``model.safetensors`` and ``config.json``.
            *given: what ``load`` wants beside the file: of :class:`kgrl.agents.KGQR` the KG, of
                :class:`kgrl.agents.TPGR` the data set and the training users, of others the raw ids of the items.
            **options: of ``load``.

        Raises:
            FileNotFoundError: there is no such folder, or it lacks a file.
            ValueError: a file is damaged, of another agent, or the two are not of the same save; or what ``load``
                raises.
        """
        config, path = read_config(folder), a_path("folder", folder) / MODEL
        if (name := config["architectures"][0]) != cls.__name__:
            raise ValueError(f"{folder} holds a {name}, no {cls.__name__}: kgrl.agents.{name}.from_pretrained reads it")
        if sha256(path) != config.get("sha256"):
            raise ValueError(f"{path} is not the file that {CONFIG} beside it was written with: it is damaged, or the "
                             "two are of different saves; restore or save the folder anew")
        return cls.load(path, *given, **options)  # type: ignore[attr-defined]


def read_config(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """What ``config.json`` of a folder says.

    Raises:
        FileNotFoundError: there is no such folder, or it lacks a file.
        ValueError: the file is damaged, or not of kgrl.
    """
    folder = a_path("folder", folder)
    for path in (folder, folder / CONFIG, folder / MODEL):
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist; expected a folder with {MODEL} and {CONFIG}, as "
                                    "save_pretrained writes it")
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no whole JSON file ({error}); restore it, or save the agent anew") from error
    names = config.get("architectures") if isinstance(config, dict) else None
    if not (isinstance(names, list) and len(names) == 1 and config.get("library_name") == "kgrl"):
        raise ValueError(expected(str(path), "the configuration of one agent of kgrl", names,
                                  "it was written by another library, or changed"))
    return dict(config)


def _provenance(data: HeteroData) -> dict[str, Any]:
    """Name, counts and digests of a data set, as far as it tells them."""
    told = a_data_set("data", data).get("provenance") or {}
    found = {name: told[name] for name in ("name", "files", "after") if name in told}
    audit = told.get("links")
    return found | ({"links": audit["sentence"]} if isinstance(audit, Mapping) and "sentence" in audit else {})


def _plain(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` as JSON has them."""
    try:
        return dict(json.loads(json.dumps(dict(of_class(name, values, Mapping)))))
    except (TypeError, ValueError) as error:
        raise TypeError(expected(name, "plain values by name, as JSON knows them", str(error))) from error


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
    what = inspect.cleandoc(agent.__doc__ or "").splitlines()[0]
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
    lines = [f"from kgrl.agents import {agent.__name__}"]
    lines += ["from kgrl.graph import knowledge_graph"] if "kg" in wanted else []
    where = (config["data"] or {}).get("name")
    lines += ["", "# data: the data set that it was trained on" + (f", {where}" if where else "")
              + ("; users: its training users" if "users" in wanted else "")]
    given = ", ".join([json.dumps(name, ensure_ascii=False), *(GIVEN.get(each, each) for each in wanted)])
    lines += [f"agent = {agent.__name__}.from_pretrained({given})",
              "print(agent.recommend(past, k=10))     # past: kgrl.sessions.Sessions.from_history(…)"]
    return "\n".join(["## How to load it", "", "```python", *lines, "```"])
