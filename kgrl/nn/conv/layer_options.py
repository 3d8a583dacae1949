"""The options of ``KGConv`` that every PyG layer has: its activation, and those of ``MessagePassing``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn.resolver import activation_resolver

from kgrl.options import did_you_mean, expected, one_of


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
