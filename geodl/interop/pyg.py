"""PyTorch Geometric's graph convolution."""

from typing import Any

from torch import nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.conversion import conversion, with_parameters
from geodl.layer import Conv, Layer
from geodl.neighborhood import Neighborhood, adjacency

# (normalize, add_self_loops) of GCNConv and the rule that says the same.
OPTIONS: tuple[tuple[bool, bool, Neighborhood], ...] = (
    (True, True, adjacency("sym", self_loops=True)),
    (True, False, adjacency("sym")),
    (False, False, adjacency()),
)


def from_pyg(module: nn.Module, *, on: Domain | None = None) -> Conv:
    """PyG's `GCNConv` as a `Conv` over `adjacency(...)`, with copies of its parameters.

    `normalize` and `add_self_loops` become the rule's `norm` and `self_loops`; of several
    self-loops of a node both keep the last one then. What changes no
    number is not kept: `cached` (plans stay with each graph), `decomposed_layers`, and `improved`
    without added self-loops.

    Args:
        module: a `torch_geometric.nn.GCNConv`, not of a subclass.
        on: a graph; the layer then takes and returns tensors `[B, N, C]` on it.

    Raises:
        GeodlError: if the module has another type, is `improved`, or has another `flow`, `aggr` or
            `node_dim`; if it has parametrizations or hooks.

    >>> from torch_geometric.nn import GCNConv
    >>> from_pyg(GCNConv(3, 8, add_self_loops=False))
    Conv(3, 8, adjacency('sym'))
    """
    asked = f"from_pyg({type(module).__name__})"
    with conversion(asked, module, on):
        _check_options(asked, module)
        twin: Any = module
        rules = {(norm, loops): rule for norm, loops, rule in OPTIONS}
        rule = rules[twin.normalize, twin.add_self_loops]
        layer = Conv(twin.in_channels, twin.out_channels, rule, twin.bias is not None, on)
        return with_parameters(layer, twin, weight=twin.lin.weight.T[None], bias=twin.bias)


def _check_options(asked: str, twin: Any) -> None:
    """Refuse what a `Conv` over an adjacency does not compute."""
    from torch_geometric.nn import GCNConv

    if type(twin) is not GCNConv:
        raise GeodlError(asked, "a type with no converter", "GCNConv has one")
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
    # Of x [N, C] both name the axis of the nodes.
    if twin.node_dim not in (-2, 0):
        raise GeodlError(
            asked, f"node_dim={twin.node_dim}", "signals are [B, N, C]: convert with node_dim=-2"
        )


def to_pyg(layer: Layer) -> nn.Module:
    """The inverse of :func:`from_pyg`: a `GCNConv` with copies of a layer's parameters.

    Raises:
        GeodlError: if the layer is another one, or if `GCNConv` does not have its rule.

    >>> from geodl import Conv, adjacency
    >>> to_pyg(Conv(3, 8, adjacency("sym", self_loops=True)))
    GCNConv(3, 8)
    """
    from torch_geometric.nn import GCNConv

    asked = f"to_pyg({getattr(layer, 'label', type(layer).__name__)})"
    with conversion(asked, layer):
        options = {rule: (norm, loops) for norm, loops, rule in OPTIONS}
        computed = f"it computes a Conv over {', '.join(map(str, options))}"
        if not isinstance(layer, Conv):
            raise GeodlError(
                asked, "no graph convolution, which is all that GCNConv computes", computed
            )
        if layer.rule not in options:
            raise GeodlError(asked, f"{layer.rule}, which GCNConv does not compute", computed)
        normalize, loops = options[layer.rule]
        twin = GCNConv(
            layer.channels_in,
            layer.channels_out,
            normalize=normalize,
            add_self_loops=loops,
            bias=layer.bias is not None,
        )
        with_parameters(twin.lin, layer, weight=layer.weight[0].T)
        return with_parameters(twin, layer, bias=layer.bias)
