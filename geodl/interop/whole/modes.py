"""A model's calls in evaluation and in training, compared."""

from typing import Any

import torch.nn.functional as F
from torch import fx
from torch.fx.node import map_aggregate


def first_difference(one: fx.Graph, other: fx.Graph) -> str | None:
    """The path of the innermost part in which two traces begin to differ; "" for the model itself,
    None for equal traces.
    """
    nodes, others = list(one.nodes), list(other.nodes)
    for a, b in zip(nodes, others, strict=False):
        if (a.op, str(a.target), _shape(a)) != (b.op, str(b.target), _shape(b)):
            if a.op == "output":
                return _owner(b)
            return _owner(a)
    if len(nodes) != len(others):
        return ""
    return None


def mark_modes(graph: fx.Graph, other: fx.Graph) -> None:
    """Mark the calls whose flags say in which mode the model is."""
    for a, b in zip(graph.nodes, other.nodes, strict=True):
        given = [str((node.args, node.kwargs)) for node in (a, b)]
        a.meta["follows_mode"] = given[0] != given[1]
        if a.target is F.scaled_dot_product_attention:
            a.meta["in_training"] = {"dropout_p": _attention_dropout(b)}


def _shape(node: fx.Node) -> str:
    """A call's arguments but for flags, which may say in which mode it is."""
    args, kwargs = node.args, dict(node.kwargs)
    if node.target is F.scaled_dot_product_attention:
        # A number that is 0 in evaluation.
        kwargs["dropout_p"] = None
        args = (*args[:4], *args[5:])
    given = map_aggregate((args, kwargs), _without_flag)
    return str(given)


def _attention_dropout(node: fx.Node) -> Any:
    if len(node.args) > 4:
        return node.args[4]
    return node.kwargs.get("dropout_p", 0.0)


def _without_flag(value: Any) -> Any:
    if isinstance(value, bool):
        return None
    return value


def _owner(node: fx.Node) -> str:
    stack = node.meta.get("nn_module_stack") or {}
    paths = [path for path, _ in stack.values()]
    if node.op == "call_module":
        # A call of a whole part is on its own stack.
        paths = paths[:-1]
    if not paths:
        return ""
    return paths[-1]
