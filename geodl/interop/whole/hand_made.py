"""A network of one's own layers as a module of torch: the twins of its layers, and its joins."""

import keyword
import operator
from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
from torch import fx, nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.converters import converts, to_part
from geodl.interop.sequential import PLANES, check_layout, first_of, set_axes, target_of
from geodl.layer import Attention, Network, Recurrent

# Of two tensors; of several one after the other. Channels one after another need their axis.
JOINED: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "max": torch.maximum,
}


@converts(Network, back="torch", form="nodes of one input, by layers that have twins, and joins")
def to_graph_module(network: Network, on: Domain | None) -> nn.Module | None:
    """A hand-made network as a `torch.fx.GraphModule` with the same names of nodes and parameters.

    It takes and answers what the twins of its layers do: images `[B, C, *axes]` where one of them
    is a convolution or a pooling of torch, else `[B, N, C]`.

    Args:
        network: made of named layers; None of an import, which goes back as it came.
        on: the domain of its inputs, followed from node to node.

    Raises:
        GeodlError: if a layer has no twin, or receives from a second signal.
    """
    steps = any(isinstance(part, Recurrent | Attention) for part in network.modules())
    if getattr(network.door, "origin", None) is not None or steps:
        return None
    parts = _twins(network, on)
    axis = -1
    if any(first_of(part, PLANES) for part in parts.values()):
        axis = 1
    graph, values = fx.Graph(), dict[str, fx.Node]()
    for number, name in enumerate(network.inputs):
        values[name] = graph.placeholder(_argument(name, number))
    for node in network.nodes:
        read = [values[name] for name in node.inputs]
        if not node.join:
            values[node.name] = graph.call_module(node.path, tuple(read))
        elif node.join == "cat":
            values[node.name] = graph.call_function(torch.cat, (read, axis))
        else:
            join = JOINED[node.join]
            values[node.name] = reduce(lambda a, b: graph.call_function(join, (a, b)), read)
    answers = tuple(values[name] for name in network.outputs)
    if network.single:
        answers = answers[0]
    graph.output(answers)
    twin = fx.GraphModule(parts, graph, type(network).__name__)
    set_axes(twin)
    check_layout(f"to_torch({type(network).__name__})", twin)
    twin.training = network.training
    return twin


def _argument(name: str, number: int) -> str:
    """The name of an input as that of an argument, by its number where Python allows no such."""
    if name.isidentifier() and not keyword.iskeyword(name) and name != "self":
        return name
    return f"input{number}"


def _twins(network: Network, on: Domain | None) -> dict[str, nn.Module]:
    """The twin of each layer, by its place in the network."""
    parts: dict[str, nn.Module] = {}
    domains = dict.fromkeys(network.inputs, on)
    for node in network.nodes:
        domain = domains[node.inputs[0]]
        domains[node.name] = domain
        if node.join:
            continue
        if len(node.inputs) > 1:
            asked = f"to_torch({type(network).__name__}), its node {node.name!r}"
            found = "a layer that receives from a second signal"
            raise GeodlError(asked, found, "convert the layers one by one")
        layer = network[node.path]
        if node.path not in parts:
            parts[node.path] = to_part(layer, domain)
        domains[node.name] = target_of(layer, domain)
    return parts
