"""``Pretrained``: a saved agent as a folder in the Hugging Face layout."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from torch_geometric.data import HeteroData

from kgrl.agents.shared.model_card import model_card, scores_of
from kgrl.files import sha256, whole_file
from kgrl.objects import a_data_set, a_path, of_class
from kgrl.options import expected
from kgrl.version import __version__

MODEL, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
"""The files of a folder."""


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

        :meth:`push_to_hub` does the same and puts the folder on the Hub.

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

    def push_to_hub(
        self, repo_id: str, *, private: bool | None = None, token: str | None = None, message: str = "Upload the agent",
        **card: Any,
    ) -> str:
        """Writes the folder of :meth:`save_pretrained` and uploads it to the Hugging Face Hub.

        Args:
            repo_id: ``"owner/name"``; made if it is not there.
            private: whether nobody else may see a repository that is made here; ``None``: as the owner has it set.
            token: of the Hub; ``None``: that of ``hf auth login``, or of the environment.
            message: of the commit.
            **card: ``data``, ``scores``, ``bounds``, ``training``, ``license`` and ``tags``, as there.

        Returns:
            The address of the commit.

        Raises:
            ImportError: ``huggingface_hub`` is not installed.
            TypeError, ValueError: ``repo_id`` is no such text, or what :meth:`save_pretrained` raises. Nothing is sent.
        """
        if find_spec("huggingface_hub") is None:
            raise ImportError("push_to_hub needs huggingface_hub, not installed; say pip install 'kgrl[hub]'")
        from huggingface_hub import HfApi

        if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", of_class("repo_id", repo_id, str)):
            raise ValueError(expected("repo_id", "owner/name", repo_id))
        with TemporaryDirectory() as place:
            folder = Path(place) / repo_id.partition("/")[2]  # by which the card calls the model
            self.save_pretrained(folder, **card)
            api = HfApi(token=token)
            api.create_repo(repo_id, private=private, exist_ok=True)
            return str(api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=message).commit_url)

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
