"""PyTorch Geometric's graph convolution."""

from typing import Any

from torch import nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.base import conversion, with_parameters
from geodl.layer import Conv, Layer
from geodl.neighborhood import Neighborhood, adjacency

OPTIONS = {  # normalize, add_self_loops
    (True, True): adjacency("sym", self_loops=True),
    (True, False): adjacency("sym"),
    (False, False): adjacency(),
}


def from_pyg(module: nn.Module, *, on: Domain | None = None) -> Conv:
    """PyG's `GCNConv` as a `Conv` over `adjacency(..., self_loops=True)`, with copies of its
    parameters.

    `normalize` and `add_self_loops` become the rule's `norm` and `self_loops`. `cached` does not
    matter here: plans stay with each graph. PyG counts several self-loops of one node as one, we
    count each.

    Args:
        module: a `torch_geometric.nn.GCNConv`.
        on: a graph; the layer then takes and returns tensors `[B, N, C]` on it.

    Raises:
        GeodlError: another type, `improved`, another `flow` or `aggr`; parametrizations, hooks.

    >>> from torch_geometric.nn import GCNConv
    >>> from_pyg(GCNConv(3, 8, add_self_loops=False))
    Conv(3, 8, adjacency('sym'))
    """
    from torch_geometric.nn import GCNConv

    twin: Any = module
    if type(module) is not GCNConv:
        raise GeodlError(
            f"from_pyg({type(module).__name__})", "a type with no converter", "GCNConv has one"
        )
    asked = f"from_pyg({module})"
    if twin.improved and twin.add_self_loops:
        raise GeodlError(
            asked,
            "improved=True",
            "give the graph self-loops of weight 2, and convert with improved=False",
        )
    if twin.flow != "source_to_target":
        raise GeodlError(
            asked, f"flow={twin.flow!r}", "reverse the edges, and convert with source_to_target"
        )
    if twin.aggr not in ("add", "sum"):
        raise GeodlError(
            asked, f"aggr={twin.aggr!r}", "a Conv adds; write other reductions as a Message"
        )
    with conversion(module):
        rule = OPTIONS[twin.normalize, twin.add_self_loops]
        layer = Conv(twin.in_channels, twin.out_channels, rule, twin.bias is not None, on)
        return with_parameters(layer, module, weight=twin.lin.weight.T[None], bias=twin.bias)


def to_pyg(layer: Layer) -> nn.Module:
    """The inverse of :func:`from_pyg`: a `GCNConv` with copies of a layer's parameters.

    Raises:
        GeodlError: another layer, or a rule that `GCNConv` does not have.

    >>> from geodl import Conv, adjacency
    >>> to_pyg(Conv(3, 8, adjacency("sym", self_loops=True)))
    GCNConv(3, 8)
    """
    from torch_geometric.nn import GCNConv

    known: dict[Neighborhood, tuple[bool, bool]] = {
        rule: options for options, rule in OPTIONS.items()
    }
    if not isinstance(layer, Conv) or layer.rule not in known:
        found = f"{layer.rule}" if isinstance(layer, Conv) else "another verb"
        rules = ", ".join(map(str, known))
        raise GeodlError(
            f"to_pyg({layer.label})",
            f"{found}, which GCNConv does not compute",
            f"it computes a Conv over {rules}",
        )
    with conversion(layer):
        normalize, loops = known[layer.rule]
        twin = GCNConv(
            layer.channels_in,
            layer.channels_out,
            normalize=normalize,
            add_self_loops=loops,
            bias=layer.bias is not None,
        )
        with_parameters(twin.lin, layer, weight=layer.weight[0].T)
        return with_parameters(twin, layer, bias=layer.bias)
