"""What the options of ``KGConv`` become: an aggregator, an activation, and those that every PyG layer has."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch_geometric.nn.aggr import Aggregation, MultiAggregation
from torch_geometric.nn.resolver import activation_resolver

from kgrl.nn.conv.aggregator import Aggregator
from kgrl.nn.conv.named_aggregators import AttentionAggregator, ConcatAggregator, MeanAggregator, NeighborAggregator
from kgrl.nn.conv.relational import RelationalAggregator
from kgrl.options import at_least, did_you_mean, expected, one_of, resolve

AGGREGATORS: dict[str, Callable[..., Aggregator]] = {
    "mean": MeanAggregator,
    "concat": ConcatAggregator,
    "neighbor": NeighborAggregator,
    "gat": AttentionAggregator,
    "relational": RelationalAggregator,
}

AggregatorLike: TypeAlias = str | type[Aggregator] | Aggregator | type[Aggregation] | Aggregation
"""What an ``aggregator`` option takes."""


def graph_options(aggregator: AggregatorLike, known: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the ``known`` facts about a graph that an aggregator's constructor takes; none of an instance's."""
    made = AGGREGATORS.get(aggregator.lower()) if isinstance(aggregator, str) else aggregator
    if not isinstance(made, type) or not issubclass(made, Aggregator):
        return {}
    return {name: value for name, value in known.items() if name in inspect.signature(made).parameters}


def resolved_aggregator(
    aggregator: AggregatorLike,
    in_channels: int | tuple[int, int],
    out_channels: int,
    bias: bool,
    kwargs: dict[str, Any],
) -> tuple[Aggregator, str | Aggregation]:
    """The aggregator, and what reduces its messages.

    Args:
        aggregator: a name, a class or an instance.
        in_channels: of sources and targets, or of both.
        out_channels: of the layer.
        bias: whether to add **b**.
        kwargs: what the constructor gets besides.

    Raises:
        TypeError: it is nothing of the kind, or its constructor does not take all this.
        ValueError: a name nobody knows, sizes below 1, or ``kwargs`` beside an instance.
    """
    pair = in_channels if isinstance(in_channels, tuple | list) else (in_channels, in_channels)
    if len(pair) != 2:
        raise ValueError(expected("in_channels", "one size, or a pair: of sources and of targets", in_channels))
    source, target = pair
    for size in (source, target):
        if isinstance(size, bool) or size != -1:  # which is known at the first input
            at_least("in_channels", size, 1)
    if kwargs and isinstance(aggregator, torch.nn.Module):
        raise ValueError(expected("aggregator_kwargs", "left out beside an instance", kwargs))
    _check_kwargs(aggregator, kwargs)
    if isinstance(aggregator, type) and issubclass(aggregator, Aggregation):
        aggregator, kwargs = aggregator(**kwargs), {}
    if isinstance(aggregator, Aggregation):
        wide = aggregator.get_out_channels(source) if isinstance(aggregator, MultiAggregation) else source
        return MeanAggregator((wide, target), out_channels, bias), aggregator
    options = {"in_channels": (source, target), "out_channels": out_channels, "bias": bias, **kwargs}
    part = resolve("aggregator", aggregator, AGGREGATORS, Aggregator, **options)
    if part.num_relations is None and "num_relations" in kwargs:
        part.num_relations = at_least("num_relations", kwargs["num_relations"], 0)
    return part, part.aggr


def _check_kwargs(aggregator: AggregatorLike, kwargs: Mapping[str, Any]) -> None:
    """Refuses by name what the aggregator's constructor does not take."""
    made = AGGREGATORS.get(aggregator.lower()) if isinstance(aggregator, str) else aggregator
    if made is None or isinstance(made, torch.nn.Module) or not callable(made):
        return
    parameters = inspect.signature(made).parameters
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return
    for name in kwargs:
        if name not in parameters:
            own = [each for each in parameters if each not in ("in_channels", "out_channels")]
            raise TypeError(expected("aggregator_kwargs", f"options of {getattr(made, '__name__', made)} "
                                     f"({', '.join(own)})", name, did_you_mean(name, own)))


def activation(act: str | Callable[[Tensor], Tensor] | None) -> Callable[[Tensor], Tensor]:
    """The non-linearity that an ``act`` option names.

    Raises:
        TypeError: it is no name, callable or ``None``.
        ValueError: nobody knows the name.
    """
    what = "the name of an activation, a callable or None"
    if not (act is None or isinstance(act, str) or (callable(act) and not isinstance(act, type))):
        raise TypeError(expected("act", what, act))
    try:
        return torch.nn.Identity() if act is None else activation_resolver(act)
    except (TypeError, ValueError) as error:
        raise type(error)(expected("act", what, act)) from error


def flow_of(kwargs: Mapping[str, Any]) -> str:
    """The direction of the messages, if nothing else is asked of PyG's ``MessagePassing`` than what a layer can do.

    Args:
        kwargs: of :class:`~torch_geometric.nn.conv.MessagePassing`.

    Raises:
        TypeError: an option that nobody knows, or that the aggregator answers.
        ValueError: a value that the layer cannot work with.
    """
    for name, value in kwargs.items():
        if name in ("aggr", "aggr_kwargs"):
            raise TypeError(expected(name, "left out", value, "`aggregator` says how messages are reduced: a name, "
                                     "one of PyG's aggregations, or an Aggregator with `aggr`"))
        if name == "decomposed_layers" and value != 1:
            raise ValueError(expected(name, "1", value, "it is for smaller messages; along an EdgeIndex sorted by "
                                      "column KGConv writes none at all"))
        if name == "node_dim" and value not in (0, -2):
            raise ValueError(expected(name, "0 or -2", value, "features are [nodes, channels]"))
        if name not in ("flow", "node_dim", "decomposed_layers"):
            raise TypeError(expected("kwargs", "options of KGConv or of PyG's MessagePassing", name,
                                     did_you_mean(name, ("flow", "aggregator_kwargs", "aggregator", "act", "bias"))))
    return one_of("flow", kwargs.get("flow", "source_to_target"), ("source_to_target", "target_to_source"))
