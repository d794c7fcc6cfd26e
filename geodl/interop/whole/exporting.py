"""The calls of a model by torch.export, where torch.fx cannot follow it: what its code makes of
shapes is followed by running it.
"""

import operator
import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from geodl.interop.converters import FROM, SCORES, TRACED
from geodl.interop.whole.tracing import Trace, failure_in_words

# What an operator of ATen takes, in the order of the function of torch that is converted.
ORDERS: dict[str, tuple[Any, tuple[str, ...], tuple[str, ...]]] = {
    "embedding": (
        F.embedding,
        ("weight", "input", "padding_idx"),
        ("input", "weight"),
    ),
    "batch_norm": (
        F.batch_norm,
        ("input", "weight", "bias", "running_mean", "running_var", "training", "momentum", "eps"),
        ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"),
    ),
    "layer_norm": (
        F.layer_norm,
        ("input", "normalized_shape", "weight", "bias", "eps"),
        ("input", "normalized_shape", "weight", "bias", "eps"),
    ),
}


def export_calls(module: nn.Module, given: dict[str, Any], reason: str) -> Trace:
    """A model's calls as operators of ATen, every length free to differ from call to call.

    Its parts are gone: linear layers, convolutions and norms are functions of its parameters, which
    have converters of their own. Dropout and batch norms follow the network's mode.

    Args:
        module: a copy in evaluation mode.
        given: the example's arguments by name.
        reason: why torch.fx could not follow it, for the record where torch.export cannot either.
    """
    tensors = {name: value for name, value in given.items() if isinstance(value, Tensor)}
    shapes = dict.fromkeys(given)
    for name, value in tensors.items():
        shapes[name] = dict.fromkeys(range(value.dim()), torch.export.Dim.AUTO)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            # Private layouts of torch warn about themselves.
            warnings.simplefilter("ignore")
            program = torch.export.export(
                module, (), kwargs=given, dynamic_shapes=shapes, strict=False
            )
            exported: Any = program.module()
    # The model runs here with values that stand for shapes: what fails may be of any class, torch's
    # own or the model's. It is told as the reason why the whole stays one opaque node.
    except Exception as error:
        return Trace(module, None, {"": f"{reason}; {failure_in_words('torch.export', error)}"})
    graph = fx.Graph()
    # A plain copy: an exported graph takes its arguments apart by a code of its own.
    flat: Any = graph.graph_copy(exported.graph, {})
    form: Any = program.call_spec.out_spec
    graph.output(pytree.tree_unflatten(list(flat), form))
    for node in list(graph.nodes):
        if node.op == "call_module":
            # Checks of shapes, which nothing reads.
            graph.erase_node(node)
        elif node.op not in ("placeholder", "get_attr", "output"):
            node.meta["follows_mode"] = True
            _translate(node)
    return Trace(exported, graph, {})


def _translate(node: fx.Node) -> None:
    """An operator of ATen as the function of torch that has a converter, where one has."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return
    name = node.target._schema.name.split("::")[1]
    if name == "sym_size":
        node.op, node.target = "call_method", "size"
        return
    if name == "select":
        _as_item(node)
        return
    if name in ORDERS:
        function, theirs, ours = ORDERS[name]
        values = dict(zip(theirs, node.args, strict=False))
        node.target = function
        node.args = tuple(values[one] for one in ours if one in values)
        node.kwargs = {}
        return
    for home in (F, torch, Tensor):
        function = getattr(home, name, None)
        if function is not None and any(function in one for one in (FROM, SCORES, TRACED)):
            node.target = function
            return


def _as_item(node: fx.Node) -> None:
    """`select(x, dim, index)` as `x[:, index]`."""
    x, dim, index = node.args
    if not isinstance(dim, int) or dim < 0:
        return
    node.target = operator.getitem
    node.args = (x, (*[slice(None)] * dim, index))
