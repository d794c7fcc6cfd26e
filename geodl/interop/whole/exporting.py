"""The calls of a model by torch.export, where torch.fx cannot follow it: what its code makes of
shapes is followed by running it.
"""

import io
import logging
import operator
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from geodl.interop.converters import FROM, SCORES, TRACED
from geodl.interop.whole.failures import failure_in_words, last_place
from geodl.interop.whole.modes import first_difference, mark_modes
from geodl.interop.whole.tracing import OTHER_IN_TRAINING, Trace, are_equal

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
    "group_norm": (
        F.group_norm,
        ("input", "num_groups", "weight", "bias", "eps"),
        ("input", "num_groups", "weight", "bias", "eps"),
    ),
}
STATISTICS = ("running_mean", "running_var")
ORDERS["instance_norm"] = (
    F.instance_norm,
    ("input", "weight", "bias", *STATISTICS, "use_input_stats", "momentum", "eps"),
    ("input", *STATISTICS, "weight", "bias", "use_input_stats", "momentum", "eps"),
)
ATTENTION = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
ORDERS["scaled_dot_product_attention"] = (F.scaled_dot_product_attention, ATTENTION, ATTENTION)
# What torch.export leaves out where a mode has the default of its operator, and the other has not.
DEFAULTS: dict[str, dict[str, Any]] = {
    "scaled_dot_product_attention": {"attn_mask": None, "dropout_p": 0.0, "is_causal": False},
}


def export_calls(module: nn.Module, given: dict[str, Any], reason: str) -> Trace:
    """A model's calls as operators of ATen, every length free to differ from call to call.

    Its parts are gone: linear layers, convolutions and norms are functions of its parameters, which
    have converters of their own. It is followed in both modes; a model that makes other calls in
    training stays whole.

    Args:
        module: a copy, which is left in evaluation mode.
        given: the example's arguments by name.
        reason: why torch.fx could not follow it, for the record where torch.export cannot either.
    """
    graphs, exports = [], []
    exported: Any = module
    try:
        for training in (True, False):
            exported, graph = _exported(module.train(training), given)
            graphs.append(graph)
            exports.append(exported)
    # The model runs here with values that stand for shapes: what fails may be of any class, torch's
    # own or the model's. It is told as the reason why the whole stays one opaque node.
    except Exception as error:
        said = f"{reason}; {failure_in_words('torch.export', error)}"
        return Trace(module.eval(), None, {"": said})
    learnt, graph = graphs
    if first_difference(graph, learnt) is not None or not _same_constants(graph, *exports):
        return Trace(module, None, {"": OTHER_IN_TRAINING})
    mark_modes(graph, learnt)
    return Trace(exported, graph, {})


def _same_constants(graph: fx.Graph, one: Any, other: Any) -> bool:
    """Whether the tensors that two exports of a model read are the same."""
    for node in graph.nodes:
        if node.op == "get_attr":
            read = operator.attrgetter(str(node.target))
            if not are_equal(read(one), read(other)):
                return False
    return True


def _exported(module: nn.Module, given: dict[str, Any]) -> tuple[Any, fx.Graph]:
    """What torch.export makes of a model in its mode, and its calls."""
    tensors = {name: value for name, value in given.items() if isinstance(value, Tensor)}
    shapes = dict.fromkeys(given)
    for name, value in tensors.items():
        shapes[name] = dict.fromkeys(range(value.dim()), torch.export.Dim.AUTO)
    with _quiet(), torch.no_grad():
        program = torch.export.export(module, (), kwargs=given, dynamic_shapes=shapes, strict=False)
        exported: Any = program.module()
    graph = fx.Graph()
    # A plain copy: an exported graph takes its arguments apart by a code of its own.
    flat: Any = graph.graph_copy(exported.graph, {})
    form: Any = program.call_spec.out_spec
    graph.output(pytree.tree_unflatten(list(flat), form))
    for node in list(reversed(graph.nodes)):
        node.meta["place"] = last_place(node.stack_trace or "")
        if node.op == "call_module" or _counts_batches(node):
            # Checks of shapes, and what a batch norm counts in training: nothing reads them.
            graph.erase_node(node)
        elif node.op not in ("placeholder", "get_attr", "output"):
            _translate(node)
    return exported, graph


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch says of itself: warnings of its private layouts, and the graph that it
    prints where an export fails. The error tells the reason, and the import passes it on.
    """
    log = logging.getLogger("torch.fx.experimental.symbolic_shapes")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _counts_batches(node: fx.Node) -> bool:
    """Whether a call adds to the batches that a norm has seen, or to what another call made of
    them, and nobody reads it.
    """
    counted: Any = node
    while isinstance(counted, fx.Node) and counted.op == "call_function":
        counted = next(iter(counted.args), None)
    counts = str(getattr(counted, "target", "")).endswith("num_batches_tracked")
    return counts and counted is not node and not node.users


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
        values = {**DEFAULTS.get(name, {}), **dict(zip(theirs, node.args, strict=False))}
        node.target = function
        node.args = tuple(values[one] for one in ours if one in values)
        if name != "scaled_dot_product_attention":
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
