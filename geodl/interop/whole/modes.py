"""A model's calls in evaluation and in training, compared."""

from typing import Any

from torch import fx
from torch.fx.node import map_aggregate, map_arg


def first_difference(one: fx.Graph, other: fx.Graph) -> str | None:
    """The path of the innermost part in which two traces begin to differ; "" for the model itself,
    None for traces of the same calls, whose flags and numbers may differ.
    """
    nodes, others = list(one.nodes), list(other.nodes)
    # By their places: torch.fx numbers the names of calls on after a part that it could not follow.
    twins: dict[fx.Node, fx.Node] = {}
    for a, b in zip(nodes, others, strict=False):
        twins[b] = a
        same = _shape(a.args, a.kwargs) == _shape(*_translated(b, twins))
        if (a.op, str(a.target)) != (b.op, str(b.target)) or not same:
            if a.op == "output":
                return _owner(b)
            return _owner(a)
    if len(nodes) != len(others):
        return ""
    return None


def mark_modes(graph: fx.Graph, other: fx.Graph) -> None:
    """Note what calls are given in training, where it is something else than in evaluation.

    Args:
        graph: the calls in evaluation, which get the notes.
        other: the same calls in training.
    """
    twins: dict[fx.Node, fx.Node] = {}
    for a, b in zip(graph.nodes, other.nodes, strict=True):
        twins[b] = a
        in_training = _translated(b, twins)
        if a.op != "output" and str((a.args, a.kwargs)) != str(in_training):
            a.meta["in_training"] = in_training


def _translated(node: fx.Node, twins: dict[fx.Node, fx.Node]) -> tuple[Any, Any]:
    """A call's arguments, with the calls of another trace in the places of its own's."""
    args, kwargs = map_arg((node.args, node.kwargs), twins.__getitem__)
    return args, kwargs


def _shape(args: Any, kwargs: Any) -> str:
    """A call's arguments but for flags and numbers, which may say in which mode it is."""
    return str(map_aggregate((args, kwargs), _without_number))


def _without_number(value: Any) -> Any:
    if isinstance(value, int | float):
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
