"""``pretrain_entities``: entity vectors from the knowledge graph alone, trained by PyKEEN."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any, Literal, overload

import torch
from torch import Tensor
from torch_geometric.data import Data

from kgrl.files import digest, load_tensors, save_tensors
from kgrl.objects import a_device, a_path, of_class
from kgrl.options import at_least, between, expected, flag
from kgrl.pretrain.triples import LinkScores, hold_out, training_triples
from kgrl.seeding import fenced, generator_for

HELD_OUT = 500
"""Triples to evaluate on, at most; ranking one costs as much as scoring every entity twice."""

KIND = "set of entity vectors"

PREFERRED: dict[str, dict[str, Any]] = {"transe": {"scoring_fct_norm": 2}}
"""Model options that differ from PyKEEN's own: with L1, its choice for TransE, hits@10 of held-out triples is lower
(Book-Crossing 0.02 against 0.17, MovieLens-100K 0.10 against 0.15)."""


@overload
def pretrain_entities(
    kg: Data, model: str = ..., dim: int = ..., *, epochs: int = ..., batch_size: int = ..., lr: float = ...,
    negatives: int = ..., model_options: Mapping[str, Any] | None = ..., seed: int = ...,
    device: torch.device | str | None = ..., cache: str | PathLike[str] | None = ..., progress: bool | None = ...,
    evaluate: Literal[False] = ...,
) -> Tensor: ...


@overload
def pretrain_entities(
    kg: Data, model: str = ..., dim: int = ..., *, epochs: int = ..., batch_size: int = ..., lr: float = ...,
    negatives: int = ..., model_options: Mapping[str, Any] | None = ..., seed: int = ...,
    device: torch.device | str | None = ..., cache: str | PathLike[str] | None = ..., progress: bool | None = ...,
    evaluate: Literal[True],
) -> tuple[Tensor, LinkScores]: ...


def pretrain_entities(
    kg: Data,
    model: str = "TransE",
    dim: int = 50,
    *,
    epochs: int = 20,
    batch_size: int = 16_384,
    lr: float = 0.1,
    negatives: int = 1,
    model_options: Mapping[str, Any] | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    cache: str | PathLike[str] | None = None,
    progress: bool | None = None,
    evaluate: bool = False,
) -> Tensor | tuple[Tensor, LinkScores]:
    r"""Vectors of all entities, pre-trained on the forward triples of a knowledge graph.

    TransE (Bordes et al., 2013), as the KGQR paper has it (section 4.1), makes
    :math:`\lVert \mathbf e_h + \mathbf r - \mathbf e_t \rVert` small for true triples and, by a margin, larger for
    triples with a random head or tail. Training is PyKEEN's (stochastic local closed world assumption, Adagrad).

    Paper is silent on everything but the method and d = 50: the other defaults were chosen on held-out triples of
    Book-Crossing and MovieLens-100K.

    Args:
        kg: what :func:`kgrl.graph.knowledge_graph` makes; inverse relations are not trained on.
        model: TransE, or any PyKEEN model with one vector an entity, by its class's name in any letter case.
        dim: d, PyKEEN's ``embedding_dim``.
        epochs: passes over the triples.
        batch_size: triples a step.
        lr: of Adagrad.
        negatives: corrupted triples for each true one.
        model_options: further arguments of the PyKEEN model, as JSON-able values; TransE measures with L2 unless
            ``{"scoring_fct_norm": 1}`` says otherwise.
        seed: of initial vectors, order, corruption and hold-out. The same seed gives the same vectors, bit for bit on
            the CPU.
        device: where to train; ``None`` = where ``kg`` is.
        cache: a folder to keep results in, under a key made of the triples, every option and PyKEEN's version. A
            damaged file there is named in a warning and made anew.
        progress: whether to show a progress bar; ``None`` = only on a terminal.
        evaluate: whether to hold out at most 500 triples (and at most a tenth), train on the rest and score them. All
            triples between the same two entities leave training with a held-out one, so that no inverse twin gives it
            away; every entity and relation keeps one.

    Returns:
        ``[E, dim]`` on the device of ``kg``. Complex vectors come as their real view ``[E, 2·dim]``, quaternions as
        ``[E, 4·dim]``. Entities without a forward triple keep their initial vector. With ``evaluate=True`` a pair of
        that and a :class:`LinkScores` with hits@10 and MRR.

    Raises:
        TypeError: ``model`` is no name.
        ValueError: an unknown model, one without one vector an entity, an option out of range, a graph without
            forward triples or one too small to evaluate on.
    """
    if not isinstance(model, str):
        raise TypeError(expected("model", "the name of a PyKEEN model", model))
    further = dict(of_class("model_options", {} if model_options is None else model_options, Mapping))
    recipe = {
        "model": model.lower(),
        "model_options": PREFERRED.get(model.lower(), {}) | further,
        "dim": at_least("dim", dim, 1),
        "epochs": at_least("epochs", epochs, 1),
        "batch_size": at_least("batch_size", batch_size, 1),
        "lr": between("lr", lr, 0, 1e3),
        "negatives": at_least("negatives", negatives, 1),
        "seed": at_least("seed", seed, 0),
        "evaluate": flag("evaluate", evaluate),
    }
    if progress is not None:
        flag("progress", progress)
    triples, home = training_triples(kg), kg.edge_index.device
    target = a_device("device", device) if device is not None else home
    file = _cache_file(cache, triples, kg, recipe, target)
    vectors, scores = _read(file) or _train(triples, kg, recipe, target, progress)
    if file is not None and not file.exists():
        save_tensors(file, {"vectors": vectors}, {"kind": KIND, "recipe": recipe, "scores": scores})
    vectors = vectors.to(home)
    return vectors if scores is None else (vectors, scores)


def _train(
    triples: Tensor, kg: Data, recipe: Mapping[str, Any], device: torch.device, progress: bool | None
) -> tuple[Tensor, LinkScores | None]:
    progress = sys.stderr.isatty() if progress is None else progress
    train = triples
    if recipe["evaluate"]:
        most = min(HELD_OUT, max(1, len(triples) // 10))
        train, held_out = hold_out(triples, kg.num_nodes, kg.num_relations, most, generator_for("cpu", recipe["seed"]))
    with fenced(recipe["seed"]):
        from kgrl.pretrain import models  # takes seconds, and is not needed where the cache has the answer

        with models.quiet():
            net, factory = models.make_model(
                recipe["model"], train, kg.num_nodes, kg.num_relations, recipe["dim"], recipe["seed"],
                recipe["model_options"],
            )
            vectors = models.train(
                net.to(device), factory, recipe["epochs"], recipe["batch_size"], recipe["lr"], recipe["negatives"],
                progress,
            )
            return vectors, models.rank(net, held_out, triples, progress) if recipe["evaluate"] else None


def _cache_file(
    cache: str | PathLike[str] | None, triples: Tensor, kg: Data, recipe: Mapping[str, Any], device: torch.device
) -> Path | None:
    if cache is None:
        return None
    key = digest(triples, int(kg.num_nodes), int(kg.num_relations), recipe, device.type, version("pykeen"))
    return a_path("cache", cache) / f"{recipe['model']}-{key}.safetensors"


def _read(file: Path | None) -> tuple[Tensor, LinkScores | None] | None:
    """What the cache holds; a damaged file is taken away."""
    if file is None or not file.exists():
        return None
    try:
        tensors, metadata = load_tensors(file, KIND)
    except ValueError as error:
        warnings.warn(f"{error}; the entity vectors are made anew", stacklevel=3)
        file.unlink()
        return None
    return tensors["vectors"], LinkScores(*metadata["scores"]) if metadata["scores"] else None
