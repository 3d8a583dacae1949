"""``export_policy``: a trained agent as a file that computes what it recommends, without kgrl."""

from __future__ import annotations

import copy
import io
import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from kgrl.agents.ddpg_r import DDPGR
from kgrl.agents.dqn_r import DQNR
from kgrl.agents.gru4rec import GRU4Rec
from kgrl.agents.kgqr import KGQR
from kgrl.agents.linear_gaussian import LinearGaussian
from kgrl.agents.shared.picking import finite_report, list_length
from kgrl.agents.shared.scorer import Scorer
from kgrl.agents.state.joined import KnownTaste
from kgrl.agents.state.recurrent import LikedItems
from kgrl.agents.tpgr import TPGR
from kgrl.export.item_policy import ActorAnswer, Chained, ItemPolicy, LinearValues, OwnScores, QValues
from kgrl.export.traced_parts import FollowedHistory, open_items
from kgrl.export.tree_items import TreeItems
from kgrl.files import whole_file
from kgrl.nn.policy.item_scores import ItemScores
from kgrl.nn.state.taste import TasteTerms
from kgrl.objects import a_path, of_class
from kgrl.options import LARGEST, at_least, between, expected, one_of

M = TypeVar("M", bound=nn.Module)
EXAMPLE = torch.tensor([[0, -1, -1], [-1, -1, -1]], device="cpu")
"""Histories that the graph is made by; neither number of rows nor of columns is kept."""


def export_policy(
    agent: nn.Module, path: str | os.PathLike[str], *, k: int = 10, format: str = "onnx", threshold: float = 0.0,
    beam: int | None = None,
) -> None:
    r"""Writes what ``agent.recommend`` does to one file, which needs neither kgrl nor the data set.

    The file takes whole histories and gives the k best items that are not in them:

    - inputs ``items [B, L]`` (64-bit whole numbers, the agent's item numbers, −1 anywhere for none) and
      ``feedback [B, L]`` (single precision, in [−1, 1]); any B of at least 1, any L, 0 included in ONNX;
    - outputs ``recommended [B, k]``, best first, −1 where fewer are left, and ``values [B, k]``, −∞ there: Q-values,
      scores, or TPGR's log-probabilities.

    They are the items of ``agent.recommend(Sessions.from_history(items, feedback, threshold), k)``, and its values up
    to rounding in single precision: items may change places where their values agree to six digits or so. The graph
    convolution is not in the file, the items' vectors that it made are.

    An agent of your own can be exported where it has ``item_scores(items, feedback)``, which gives ``[B, N]`` for the
    two inputs above by tensor operations that look at no value; what was shown is taken out here.

    Args:
        agent: :class:`kgrl.agents.KGQR`, :class:`kgrl.agents.TPGR`, :class:`kgrl.agents.DQNR`,
            :class:`kgrl.agents.DDPGR`, :class:`kgrl.agents.GRU4Rec`, :class:`kgrl.agents.LinearGaussian`, or your own.
            What it is restricted to, and a KGQR's candidate rule, are as they are now; the rule must draw nothing at
            random.
        path: the file, written whole or not at all.
        k: how many items.
        format: ``"onnx"``, for ONNX Runtime; or ``"torch"``, for :func:`torch.export.load`.
        threshold: feedback above it is positive, as in :meth:`kgrl.sessions.Sessions.from_history`.
        beam: of TPGR alone, see :meth:`kgrl.nn.TreePolicy.topk`; with k = 1, ``beam=1`` is its greedy walk.

    Raises:
        ImportError: ``format="onnx"`` without the packages of ``kgrl[export]``.
        TypeError: an agent or candidates that cannot be exported; the text says what they must provide.
        ValueError: candidates that are drawn at random, weights that are not finite, or an option out of range.
        RuntimeError: steps of a session state of your own, or scores, that look at values; PyTorch says where.
    """
    path, write = a_path("path", path), _WRITERS[one_of("format", format, _WRITERS)]
    if format == "onnx" and (lacking := [name for name in ("onnx", "onnxscript") if find_spec(name) is None]):
        raise ImportError(f"format=\"onnx\" needs {' and '.join(lacking)}, not installed; say pip install "
                          "'kgrl[export]'")
    policy = policy_module(agent, k, threshold, beam, sort=format == "torch")
    content = write(_program(policy))
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


@torch.no_grad()
def policy_module(
    agent: nn.Module, k: int = 10, threshold: float = 0.0, beam: int | None = None, sort: bool = True
) -> nn.Module:
    """What is exported: from histories to (items, values). Arguments and errors as in :func:`export_policy`.

    Args:
        agent, k, threshold, beam: as there.
        sort: see :class:`kgrl.export.item_policy.ItemPolicy`.
    """
    of_class("agent", agent, nn.Module)
    k, threshold = list_length(k), between("threshold", threshold, -LARGEST, LARGEST)
    if isinstance(agent, TPGR):
        return _tree_items(agent, k, threshold, None if beam is None else at_least("beam", beam, 1))
    if beam is not None:
        raise ValueError(expected("beam", "None, as only TPGR searches a tree", beam))
    if callable(getattr(agent, "item_scores", None)):
        own = OwnScores(agent)
        return ItemPolicy(own, own.num_items, k, sort=sort)
    make = next((make for kind, make in VALUES.items() if isinstance(agent, kind)), None)
    if make is None:
        names = ", ".join(kind.__name__ for kind in VALUES)
        raise TypeError(expected("agent", f"one of {TPGR.__name__}, {names}, or one of your own with "
                                 "`item_scores(items, feedback)`", type(agent).__name__))
    found: Any = agent
    if isinstance(agent, Scorer):
        rule, pool = None, None if agent._outside is None else (~agent._outside).nonzero().view(-1).cpu()
    else:
        rule, pool = open_items(found.candidates if isinstance(agent, KGQR) else found.pool)
    state, vectors, values = make(found, pool)
    history = FollowedHistory(state, vectors, threshold)
    return ItemPolicy(Chained(history, _finite(values)), found.num_items, k, rule, pool, threshold, sort)


def _tree_items(agent: TPGR, k: int, threshold: float, beam: int | None) -> TreeItems:
    items, state, policy = copy.deepcopy((agent.items, agent.state, agent.policy))
    for part in (items, state, policy):
        part.cpu().requires_grad_(False)
    scores = agent._scores()
    if scores is not None:
        scores = ItemScores(*(torch.as_tensor(part, device="cpu").detach() for part in scores))
    return TreeItems(FollowedHistory(state, items(), threshold), _finite(policy), scores, k, beam)


def _finite(learned: M) -> M:
    """``learned``, if it is: what has diverged recommends nothing that makes sense."""
    nothing = torch.empty(0, device="cpu", dtype=torch.float)
    finite_report((), nothing, (part for part in (*learned.parameters(), *learned.buffers())
                                if part.is_floating_point()))
    return learned


def _q_values(agent: Any, pool: Tensor | None) -> tuple[Any, Tensor, nn.Module]:
    network = copy.deepcopy(agent.acting).cpu().requires_grad_(False)
    return network.state, network.items(), QValues(network, pool)


def _ranking(agent: Any, pool: Tensor | None) -> tuple[Any, Tensor, nn.Module]:
    network = copy.deepcopy(agent.acting).cpu().requires_grad_(False)
    vectors = network.items()
    return network.state, vectors, LinearValues(_of(pool, vectors), answer=ActorAnswer(network))


def _next_item(agent: Any, pool: Tensor | None) -> tuple[Any, Tensor, nn.Module]:
    network = copy.deepcopy(agent.network).cpu().requires_grad_(False)
    values = LinearValues(_of(pool, network.weight), _of(pool, network.bias + agent.offset.cpu()))
    return LikedItems.of(network.gru), network.embedding, values


def _expected_feedback(agent: Any, pool: Tensor | None) -> tuple[Any, Tensor, nn.Module]:
    terms = TasteTerms(*(part.cpu() for part in (agent.expected, agent.loading, agent.noise)))
    return KnownTaste(terms), terms.loading, LinearValues(_of(pool, terms.loading), _of(pool, terms.expected))


def _of(pool: Tensor | None, table: Tensor) -> Tensor:
    return table if pool is None else table[pool]


VALUES: dict[type[nn.Module], Callable[[Any, Tensor | None], tuple[Any, Tensor, nn.Module]]] = {
    KGQR: _q_values, DQNR: _q_values, DDPGR: _ranking, GRU4Rec: _next_item, LinearGaussian: _expected_feedback,
}
"""Of an agent that values every item of a pool, on the CPU: its session state, the item vectors that this goes by, and
what values the pool's items in a state."""


def _program(policy: nn.Module) -> torch.export.ExportedProgram:
    """The graph of ``policy``, for any number of histories of any length."""
    sizes = {0: torch.export.Dim("sessions", min=1), 1: torch.export.Dim("shown", min=1)}
    example = EXAMPLE, torch.zeros(EXAMPLE.shape, device="cpu", dtype=torch.float)
    with torch.no_grad():
        return torch.export.export(policy.eval(), example, dynamic_shapes=(sizes, sizes))


def _onnx(program: torch.export.ExportedProgram) -> bytes:
    found = torch.onnx.export(
        program, dynamo=True, verbose=False, input_names=["items", "feedback"], output_names=["recommended", "values"])
    assert found is not None
    return found.model_proto.SerializeToString()


def _torch(program: torch.export.ExportedProgram) -> bytes:
    content = io.BytesIO()
    torch.export.save(program, content)
    return content.getvalue()


_WRITERS: dict[str, Callable[[torch.export.ExportedProgram], bytes]] = {"onnx": _onnx, "torch": _torch}
