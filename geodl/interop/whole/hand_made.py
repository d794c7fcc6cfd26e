"""A network of one's own layers as a module of torch: the twins of its layers, and its joins."""

import keyword
from functools import reduce
from typing import Any

import torch
from torch import fx, nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.converters import converts, to_part
from geodl.interop.planes import JOINED, goes_by_planes
from geodl.interop.sequential import check_layout, set_axes
from geodl.interop.targets import domains_of
from geodl.layer import Attention, Network, Recurrent, Residual


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
    if getattr(network.door, "origin", None) is not None or steps or goes_by_planes(network):
        return None
    parts = _twins(network, on)
    graph, values = fx.Graph(), dict[str, fx.Node]()
    for number, name in enumerate(network.inputs):
        values[name] = graph.placeholder(_argument(name, number))
    for node in network.nodes:
        read = [values[name] for name in node.inputs]
        if not node.join:
            values[node.name] = graph.call_module(node.path, tuple(read))
        elif node.join == "cat":
            # On the last axis, unless set_axes finds convolutions here or around the network.
            values[node.name] = graph.call_function(torch.cat, (read, -1))
            values[node.name].meta["joins_channels"] = True
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


@converts(Residual, back="torch", form="layers that have twins around a shortcut")
def to_residual(layer: Residual, on: Domain | None) -> nn.Module | None:
    """A residual block as a `torch.fx.GraphModule`, as :func:`to_graph_module` makes it."""
    nodes: dict[str, Any] = {"inner": (layer.inner, "x")}
    shortcut = "x"
    if layer.shortcut is not None:
        shortcut = "shortcut"
        nodes[shortcut] = (layer.shortcut, "x")
    nodes["sum"] = ("add", shortcut, "inner")
    return to_graph_module(Network("x", nodes).train(layer.training), on)


def _argument(name: str, number: int) -> str:
    """The name of an input as that of an argument, by its number where Python allows no such."""
    if name.isidentifier() and not keyword.iskeyword(name) and name != "self":
        return name
    return f"input{number}"


def _twins(network: Network, on: Domain | None) -> dict[str, nn.Module]:
    """The twin of each layer, by its place in the network."""
    parts: dict[str, nn.Module] = {}
    domains = domains_of(network, on)
    for node in network.nodes:
        if node.join:
            continue
        read, *others = node.inputs
        if others:
            asked = f"to_torch({type(network).__name__}), its node {node.name!r}"
            found = "a layer that receives from a second signal"
            raise GeodlError(asked, found, "convert the layers one by one")
        if node.path not in parts:
            parts[node.path] = to_part(network[node.path], domains[read])
    return parts
