"""What training with PyKEEN needs beside it: triples to evaluate on, their scores, and a folder to write to."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data

from kgrl.graph import forward_triples
from kgrl.options import expected


class LinkScores(NamedTuple):
    """How well held-out triples are predicted, heads and tails alike, filtered of the other known triples.

    Args:
        hits_at_10: share of the answers ranked among the first ten.
        mrr: mean reciprocal rank.
        triples: how many were held out.
    """

    hits_at_10: float
    mrr: float
    triples: int


def training_triples(kg: Data) -> Tensor:
    """The forward triples ``[M, 3]`` (head, relation, tail) on the CPU, sorted, each once.

    Raises:
        ValueError: ``kg`` is not what ``knowledge_graph`` makes, has no forward triple, or ids are out of range.
    """
    triples = forward_triples(kg).cpu().unique(dim=0)
    if not len(triples):
        raise ValueError(expected("kg", "a graph with at least one forward triple", kg))
    entities, relations = triples[:, ::2], triples[:, 1]
    if entities.min() < 0 or entities.max() >= kg.num_nodes or relations.min() < 0:
        raise ValueError(expected("kg", f"a graph with entity ids in [0, {kg.num_nodes}) and relation ids from 0",
                                  (entities.aminmax(), relations.min())))
    return triples


def hold_out(
    triples: Tensor, num_entities: int, num_relations: int, most: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Splits off a few triples that cannot be read off the rest.

    A triple (h, r, t) is given away by any triple between h and t, most of all by its inverse twin (t, r', h), so all
    of them leave the training triples with it. Every entity and every relation keeps a training triple.

    Args:
        triples: ``[M, 3]``, each once.
        num_entities: E.
        num_relations: of ``triples``.
        most: triples to hold out, if there are so many that can be spared.
        generator: of the choice; on the CPU.

    Returns:
        The training triples and the held-out triples, in their order.

    Raises:
        ValueError: no triple can be spared.
    """
    head, relation, tail = triples.unbind(1)
    pairs, pair = (torch.minimum(head, tail) * num_entities + torch.maximum(head, tail)).unique(return_inverse=True)
    rank = torch.randperm(len(pairs), generator=generator, device=generator.device)
    # the first pair, in this random order, of every entity and every relation stays
    owner = torch.cat([head, tail, num_entities + relation])
    first = rank.new_full((num_entities + num_relations,), len(pairs))
    first.scatter_reduce_(0, owner, rank[pair].repeat(3), "amin")
    spare = torch.ones(len(pairs) + 1, dtype=torch.bool, device=rank.device)
    spare[first] = False
    taken = spare[:-1].nonzero().squeeze(1)[-most:]
    if not len(taken):
        raise ValueError(expected("kg", "a graph that can spare a triple to evaluate on", f"{len(triples)} triples",
                                  "set evaluate=False"))
    leaves = torch.isin(rank[pair], taken)
    # of all triples between the two entities one is asked for, drawn at random
    draw = torch.randperm(len(triples), generator=generator, device=generator.device)
    chosen = draw.new_full((len(pairs),), len(triples)).scatter_reduce_(0, pair, draw, "amin")
    return triples[~leaves], triples[leaves & (draw == chosen[pair])]


@contextmanager
def pykeen_folder() -> Iterator[None]:
    """While this runs, PyKEEN and its helper PyStow have folders they can write to.

    Both make their data folders (``~/.data`` and ``~/.data/pykeen``, or what ``PYSTOW_HOME`` and ``PYKEEN_HOME`` say)
    the moment they are imported. A folder that cannot be made or written to is replaced by a temporary one, removed
    when the process ends; the environment is as before afterwards.
    """
    folders = {"PYSTOW_HOME": "~/.data", **os.environ}
    replaced = [name for name in ("PYSTOW_HOME", "PYKEEN_HOME") if name in folders and not _usable(folders[name])]
    before = {name: os.environ.get(name) for name in replaced}
    for name in replaced:
        os.environ[name] = tempfile.mkdtemp(prefix="pykeen-")
        atexit.register(shutil.rmtree, os.environ[name], ignore_errors=True)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _usable(folder: str) -> bool:
    # trying is the only test that knows of read-only disks, of root, and of parents that are no folders
    try:
        path = Path(folder).expanduser()
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return True
    except (OSError, RuntimeError):  # RuntimeError: the user has no home folder at all
        return False
