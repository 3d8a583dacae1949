"""Training and ranking with PyKEEN: the one file that imports it, and itself only imported where it is needed.

(PyKEEN takes seconds to import and makes folders while it does so.)
"""

from __future__ import annotations

import gc
import inspect
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from kgrl.options import expected, one_of
from kgrl.pretrain.triples import LinkScores, pykeen_folder

with pykeen_folder():
    from pykeen.evaluation import RankBasedEvaluator
    from pykeen.models import ERModel, model_resolver
    from pykeen.nn import Embedding
    from pykeen.training import SLCWATrainingLoop, TrainingCallback
    from pykeen.triples import CoreTriplesFactory


def make_model(
    name: str, triples: Tensor, num_entities: int, num_relations: int, dim: int, seed: int, options: dict[str, Any]
) -> tuple[ERModel, CoreTriplesFactory]:
    """An untrained PyKEEN model that has one vector an entity, and the triples in PyKEEN's wrapping."""
    classes = {kind.__name__.lower(): kind for kind in model_resolver if issubclass(kind, ERModel)}
    kind = classes[one_of("model", name.lower(), classes)]
    if "embedding_dim" not in inspect.signature(kind).parameters:
        raise ValueError(expected("model", "a model with one vector of a chosen length an entity", name))
    factory = CoreTriplesFactory(triples, num_entities, num_relations)
    try:
        model = kind(triples_factory=factory, embedding_dim=dim, random_seed=seed, **options)
    except (AssertionError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(expected("model", f"a model that can be made from triples and {options}", name,
                                  f"PyKEEN says: {error or type(error).__name__}")) from error
    if len(model.entity_representations) != 1:
        shapes = [tuple(part.shape) for part in model.entity_representations]
        raise ValueError(expected("model", "a model with one vector an entity", name, f"an entity has {shapes} there"))
    return model, factory


def entity_vectors(model: ERModel) -> Tensor:
    """``[E, dim]``; complex vectors as their real view ``[E, 2·dim]``, real and imaginary parts side by side."""
    with torch.no_grad():
        vectors = model.entity_representations[0]().detach()
    return (torch.view_as_real(vectors) if vectors.is_complex() else vectors).flatten(1).float().clone()


def train(
    model: ERModel, factory: CoreTriplesFactory, epochs: int, batch_size: int, lr: float, negatives: int, progress: bool
) -> Tensor:
    """Trains ``model`` in place; gives its :func:`entity_vectors`, the initial ones for entities without a triple."""
    # gradients of a batch touch a few rows of the embeddings; Adagrad leaves the others as they are, so it can be told
    for module in model.modules():
        if isinstance(module, Embedding):
            module._embeddings.sparse = True
    loop = SLCWATrainingLoop(
        model=model, triples_factory=factory, optimizer="Adagrad", optimizer_kwargs={"lr": lr},
        negative_sampler_kwargs={"num_negs_per_pos": negatives}, automatic_memory_optimization=False,
    )
    initial = _Initial(model)
    with _short_collections():
        loop.train(
            factory, num_epochs=epochs, batch_size=min(batch_size, factory.num_triples), callbacks=initial,
            pin_memory=False, use_tqdm=progress, use_tqdm_batch=False,
            tqdm_kwargs={"desc": f"{type(model).__name__} on {model.device}"},
        )
    model.eval()
    vectors = entity_vectors(model)
    alone = torch.ones(len(vectors), dtype=torch.bool, device=factory.mapped_triples.device)
    alone[factory.mapped_triples[:, ::2].flatten()] = False
    alone = alone.to(vectors.device)
    vectors[alone] = initial.vectors[alone]
    return vectors


@contextmanager
def _short_collections() -> Iterator[None]:
    """Lets the garbage collection that PyKEEN asks for after each epoch (0.3 s) look at new objects only."""
    if gc.get_freeze_count():  # somebody else's, who also decides when it ends
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class _Initial(TrainingCallback):
    """Remembers the vectors before the first step; PyKEEN initialises anew as its training begins."""

    def __init__(self, net: ERModel) -> None:
        super().__init__()
        self.net = net
        self.vectors = torch.empty(0, device="cpu", dtype=torch.float)

    def pre_batch(self, **kwargs: Any) -> None:
        if not len(self.vectors):
            self.vectors = entity_vectors(self.net)


def rank(model: ERModel, held_out: Tensor, known: Tensor, progress: bool) -> LinkScores:
    """Scores ``model`` on ``held_out`` triples, filtered of the ``known`` ones."""
    evaluator = RankBasedEvaluator(metrics=["hits_at_k", "mrr"], metrics_kwargs=[{"k": 10}, None], add_defaults=False)
    results = evaluator.evaluate(
        model, held_out, batch_size=16, device=model.device, additional_filter_triples=known, use_tqdm=progress
    )
    return LinkScores(results.get_metric("hits@10"), results.get_metric("mrr"), len(held_out))


@contextmanager
def quiet() -> Iterator[None]:
    """While this runs, PyKEEN (and ``torch_max_mem`` below it) reports errors only."""
    loggers = [logging.getLogger(name) for name in ("pykeen", "torch_max_mem")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # PyKEEN's loop, of itself
            warnings.filterwarnings("ignore", message="Sparse invariant checks")  # torch, of the sparse gradients
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
