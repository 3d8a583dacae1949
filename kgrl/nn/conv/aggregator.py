"""``Aggregator``: what a layer does with a node's neighbours and the node itself, and what its methods are given."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn.dense.linear import Linear
from torch_geometric.nn.inits import reset

from kgrl.options import did_you_mean, expected

_ALL = ("sent_j", "asked_i", "edge_type", "edge_attr", "index", "ptr", "size")
GIVEN = {
    "score": _ALL,
    "message": _ALL,
    "edge_norm": ("edge_type", "edge_attr", "index", "size"),
    "edge_weight": ("edge_type", "edge_attr", "edge_norm"),
}
"""What each method may ask for."""


class Aggregator(torch.nn.Module):
    r"""The part of :class:`~kgrl.nn.KGConv` that one swaps: everything between the neighbours and :math:`\sigma`.

    It owns its weights. KGQR (eq. 5 and 6) works in two steps, and so does this class:

    .. math::
        \mathbf{n}_i = \bigoplus_{j \in \mathcal{N}(i)} \mathrm{message}(\mathbf{x}_j)
        \qquad
        \mathbf{x}^{\prime}_i = \sigma \left( \mathrm{forward}(\mathbf{n}_i, \mathbf{x}_i) \right)

    **One's own** needs ``forward`` only (and ``reset_parameters``, if it has parameters of its own beside those of its
    parts), and a constructor that takes ``in_channels``, ``out_channels`` and ``bias``
    when it is handed over as a class::

        class BiInteraction(Aggregator):
            def __init__(self, in_channels, out_channels, bias=True):
                super().__init__()
                self.both = uniform_linear(in_channels[0], out_channels, bias)

            def forward(self, neighbours, itself):
                return self.both(neighbours * itself)

        KGConv(50, 50, aggregator=BiInteraction)

    ``aggr`` names another :math:`\bigoplus`. Five further methods may be overridden: :meth:`project` (once a node),
    :meth:`score` (an attention), :meth:`message`, and :meth:`edge_norm` and :meth:`edge_weight` (a number an edge). An
    aggregator without ``score`` and ``message`` that reduces by ``"mean"`` or ``"sum"`` takes the fused path, in which
    no message is ever written.

    **Edges.** A method that works on edges gets what the names of its arguments ask for, as in PyG's ``message``: the
    relation of each edge by ``edge_type``, its attributes by ``edge_attr``. The layer and the encoder then demand them;
    other aggregators never see them. A constructor with ``num_relations`` or ``edge_dim`` gets these from
    :meth:`KGEncoder.from_kg <kgrl.nn.KGEncoder.from_kg>`. An attention by relation, like KGAT's::

        class ByRelation(Aggregator):
            def __init__(self, in_channels, out_channels, bias=True, num_relations=1):
                super().__init__()
                self.relations = torch.nn.Embedding(num_relations, in_channels[0])
                self.both = uniform_linear(in_channels[0], out_channels, bias)

            def project(self, x_src, x_dst):
                return x_src, x_dst

            def score(self, sent_j, asked_i, edge_type):
                return (sent_j * (asked_i + self.relations(edge_type)).tanh()).sum(-1)

            def forward(self, neighbours, itself):
                return self.both(neighbours + itself)

        KGConv(50, 50, aggregator=ByRelation, aggregator_kwargs={"num_relations": 24})(x, edge_index, edge_type)

    Args:
        in_channels (tuple): of sources and targets; −1 = known at the first input.
        out_channels (int): of the layer.
        bias (bool): whether to add **b**.
    """

    aggr: str = "mean"
    """How messages become one vector a target: the name of a PyG aggregation. ``"sum"`` where there is a ``score``."""
    asks: frozenset[str] = frozenset()
    """Which of ``edge_type`` and ``edge_attr`` it asks for; read off its methods' arguments when the class is made."""
    num_relations: int | None = None
    """Edge types are below it; ``None``: nobody said so. One given in ``aggregator_kwargs`` ends up here."""
    dropout: float = 0.0
    """Share of the attention's weights that are dropped in training, by PyTorch's global generator."""
    takes: Mapping[str, tuple[str, ...]] = {}
    """The arguments of each method that works on edges; read off when the class is made, too."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.takes = asked_for(cls)
        names = {name for method in cls.takes.values() for name in method}
        cls.asks = frozenset(names & {"edge_type", "edge_attr"})
        own = cls.__mro__[: cls.__mro__.index(Aggregator)]
        if cls.score is not Aggregator.score and not any("aggr" in vars(kind) for kind in own):
            cls.aggr = "sum"

    @property
    def looks_at_edges(self) -> bool:
        """Whether it wants anything of single edges: types, attributes or weights. These cannot come with a matrix."""
        return bool(self.asks) or type(self).edge_weight is not Aggregator.edge_weight

    def project(self, x_src: Tensor, x_dst: Tensor) -> tuple[Tensor, Tensor | None]:
        """What each source sends ``[S, …]``, and what each target asks with ``[T, …]`` (``None``: nothing)."""
        return x_src, None

    def score(self, *args: Any, **kwargs: Any) -> Tensor:
        """An attention's scores ``[M]``, or ``[M, H]`` of H heads; a softmax over each target's edges follows.

        It may ask for any of:

        - ``sent_j [M, …]``: what the source of each edge sends;
        - ``asked_i [M, …]``: what the target of each edge asks with;
        - ``edge_type [M]``, ``edge_attr [M, …]``: the relation and the attributes of each edge;
        - ``index [M]``: the target of each edge;
        - ``ptr [T + 1]``: where the edges of each target begin, if they are sorted by target, else ``None``;
        - ``size``: T.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `score`: it is no attention")

    def message(self, sent_j: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The messages ``[M, …]`` along M edges; the layer multiplies them by the weights of an attention.

        One's own may ask for what :meth:`score` may. Weights of H heads are for messages ``[M, H, …]``, or for those
        of all heads side by side, ``[M, H · channels]``.
        """
        return sent_j

    def edge_norm(self, *args: Any, **kwargs: Any) -> Tensor | None:
        """What :meth:`edge_weight` needs of the whole graph, ``[M]``: computed once where the graph is planned.

        It may ask for ``edge_type``, ``edge_attr``, ``index`` and ``size``, as :meth:`score` may.
        """
        return None

    def edge_weight(self, *args: Any, **kwargs: Any) -> Tensor | None:
        """What each message is multiplied by: ``[M]``, or ``[M, K]`` for K messages side by side (``None``: nothing).

        It may ask for ``edge_type``, ``edge_attr``, and ``edge_norm``: what :meth:`edge_norm` gave for these edges.
        """
        return None

    def forward(self, neighbours: Tensor, itself: Tensor) -> Tensor:
        r"""What :math:`\sigma` is applied to, ``[T, out_channels]``.

        Args:
            neighbours: ``[T, …]``, the reduced messages; zero where there is none.
            itself: ``[T, in_channels[1]]``, the target's own features.
        """
        raise NotImplementedError

    def reset_parameters(self) -> None:
        """Draws the weights of every part anew; who has parameters outside parts of their own says how to draw these.

        Raises:
            NotImplementedError: there are such parameters, and nobody said so.
        """
        own = [name for name, _ in self.named_parameters(recurse=False)]
        if own and type(self).reset_parameters is Aggregator.reset_parameters:
            raise NotImplementedError(f"{type(self).__name__} must have `reset_parameters`, which draws "
                                      f"{', '.join(own)} anew: layers that copy it would start alike")
        for part in self.children():
            reset(part)

    @property
    def options(self) -> str:
        """What the layer's ``repr`` adds about it."""
        return ""


def uniform_linear(in_channels: int, out_channels: int, bias: bool) -> Linear:
    """A linear map that starts uniform (Glorot) with bias zero; ``in_channels`` −1 waits for the first input."""
    return Linear(in_channels, out_channels, bias=bias, weight_initializer="glorot", bias_initializer="zeros")


def asked_for(kind: type) -> dict[str, tuple[str, ...]]:
    """The names that each method of an aggregator's class asks for.

    Raises:
        TypeError: a method has an argument that nobody could give it.
    """
    return {method: _arguments(kind, method) for method in GIVEN}


def _arguments(kind: type, method: str) -> tuple[str, ...]:
    _, *others = inspect.signature(getattr(kind, method)).parameters.values()
    named = [each for each in others if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    for each in named:
        if (each.name not in GIVEN[method] and each.default is each.empty) or each.kind is each.POSITIONAL_ONLY:
            what = "a method whose arguments' names say what it is given"
            raise TypeError(expected(f"{kind.__name__}.{method}", what, each.name,
                                     did_you_mean(each.name, GIVEN[method])))
    return tuple(each.name for each in named if each.name in GIVEN[method])


def told(part: Any, method: str, **known: Any) -> Any:
    """What a method of an aggregator makes of those of the ``known`` values that it asks for."""
    return getattr(part, method)(**{name: known[name] for name in part.takes[method]})


def rows_of(part: Any, method: str, out: Any, count: int, each: str, dims: tuple[int, ...] = ()) -> Tensor:
    """``out``, what a method of an aggregator returned, if it has a row for each of ``count`` edges or nodes.

    Args:
        part: the aggregator.
        method: its name.
        out: what was returned.
        count: of rows.
        each: what they are, for the error.
        dims: how many dimensions there may be; none: any number.

    Raises:
        ValueError: it has not.
    """
    if not isinstance(out, Tensor) or not out.dim() or out.size(0) != count or (dims and out.dim() not in dims):
        shape = f"[{count}]" if dims == (1,) else f"[{count}] or [{count}, …]" if dims else f"[{count}, …]"
        raise ValueError(expected(f"{type(part).__name__}.{method}", f"a tensor {shape}, a row for each of the {each}",
                                  list(out.shape) if isinstance(out, Tensor) else type(out).__name__))
    return out
