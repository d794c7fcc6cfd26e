"""Arguments to try a model on graphs with, where none are given: a small ring."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from geodl.errors import GeodlError
from geodl.interop.whole.graph_arguments import uses_of
from geodl.interop.whole.importing import first_channels
from geodl.interop.whole.tracing import Trace

NUM_NODES = 6
DO = "give its arguments: from_pyg(model, example=(x, edge_index, ...)), or a Data with them"


class Wanted(NamedTuple):
    """What an example is made of.

    Attributes:
        trace: of the model, with every argument that may be a tensor left open.
        roles: of its arguments.
        functions: of PyG, that are one call each.
    """

    trace: Trace
    roles: dict[str, str]
    functions: tuple[Callable[..., Any], ...]


def own_example(asked: str, wanted: Wanted, needed: list[str]) -> dict[str, Any]:
    """Values of the arguments of a model by name: features on a ring of six nodes, links both ways;
    two paths of three nodes where the model reads members.

    Args:
        asked: the call in words, for errors.
        wanted: what the model reads.
        needed: the arguments without a role that it cannot do without.

    Raises:
        GeodlError: if they are several, or if the model does not say how many channels it reads.
    """
    module = wanted.trace.module
    parameter = next(module.parameters(), torch.zeros(0))
    made = {"device": parameter.device, "dtype": parameter.dtype}
    if len(needed) != 1:
        raise GeodlError(asked, f"the arguments {', '.join(needed)} beside the graph's", DO)
    ring = torch.arange(NUM_NODES, device=parameter.device)
    back = torch.stack((ring, ring.roll(1)))
    if {"batch", "num_graphs"} & set(wanted.roles.values()):
        back = back[:, ring % 3 != 0]
    links = torch.cat((back, back.flip(0)), 1)
    count = links.shape[1]
    values: dict[str, Any] = {needed[0]: _features(asked, module, made)}
    of_role: dict[str, Any] = {
        "edge_index": links,
        "edge_weight": torch.linspace(0.5, 1.5, count, **made),
        "batch": ring // 3,
        "num_graphs": 2,
    }
    for name, role in wanted.roles.items():
        if role == "edge_attr":
            values[name] = _edge_features(wanted, name, count, made)
        elif role == "edge_type":
            values[name] = _edge_types(wanted, name, links)
        else:
            values[name] = of_role[role]
    return values


def _features(asked: str, module: nn.Module, made: dict[str, Any]) -> Tensor:
    """Features of as many channels as the first part reads; names of nodes where it embeds them."""
    for part in module.modules():
        if isinstance(part, nn.Embedding):
            return torch.arange(NUM_NODES, device=made["device"]) % part.num_embeddings
        if first_channels(part) is not None:
            break
    channels = first_channels(module)
    if channels is None:
        raise GeodlError(asked, "no part that says how many channels it reads", DO)
    return torch.linspace(-1, 1, NUM_NODES * channels, **made).view(NUM_NODES, channels).sin()


def _edge_features(wanted: Wanted, name: str, count: int, made: dict[str, Any]) -> Tensor | None:
    """Features of as many channels as a part reads of each edge; None where none says it."""
    for part, use in _uses(wanted, name):
        channels = getattr(part, "edge_dim", None)
        silent = not hasattr(part, "edge_dim")
        if use == "edge_attr" and silent and getattr(part, "lin", None) is not None:
            # PyG's GINEConv keeps its width of edges in a linear layer alone.
            channels = first_channels(part.lin)
        if use == "edge_attr" and isinstance(channels, int):
            return torch.linspace(-1, 1, count * channels, **made).view(count, channels).cos()
    return None


def _edge_types(wanted: Wanted, name: str, links: Tensor) -> Tensor:
    for part, _ in _uses(wanted, name):
        types = getattr(part, "num_relations", None)
        if isinstance(types, int):
            return torch.arange(links.shape[1], device=links.device) % types
    return torch.zeros_like(links[0])


def _uses(wanted: Wanted, name: str) -> list[tuple[Any, str]]:
    graph, found = wanted.trace.graph, []
    if graph is None:
        return [(part, "edge_attr") for part in wanted.trace.module.modules()]
    for node in graph.nodes:
        if node.op == "placeholder" and str(node.target) == name:
            found += uses_of(wanted.trace, node, wanted.functions)
    return found
