"""The two doors to PyTorch Geometric: convolutions as layers, models as networks, and back."""

from torch import nn

from geodl.domain import Domain
from geodl.interop import pyg_attention, pyg_conv
from geodl.interop.conversion import conversion
from geodl.interop.converters import from_module, to_module
from geodl.layer import Layer

# The files of converters: importing one puts its converters on the list.
FAMILIES = (pyg_attention, pyg_conv)


def from_pyg(module: nn.Module, *, on: Domain | None = None) -> Layer:
    """A convolution of PyG as a layer of ours, with copies of its parameters.

    | torch_geometric.nn | layer |
    |---|---|
    | `GCNConv` | `Conv` over `adjacency(...)` |
    | `SAGEConv` | a `Network`: `Conv` over `adjacency("row")`, and one over `itself()` |
    | `GINConv` | a `Network`: `Pool` over `adjacency()`, a shortcut, and its converted `nn` |
    | `GATConv`, `GATv2Conv` | `Attention`, score "gat" and "gatv2" |
    | `TransformerConv` | `Attention`, score "dot" |
    | `Linear` | `Conv` over `itself()` |

    Attention leaves out a graph's own self-loops and adds one at each node, which tells where edges
    have features: `adjacency(self_loops="anew")`. Features of edges are the signal's `edges`. A
    pair of channels makes a layer of two signals, `layer(receiver, sender)`, and with
    `rule=relation` of two sets of nodes.

    Args:
        module: of one of these types, not of a subclass.
        on: a graph; a layer (no network) then takes and returns tensors `[B, N, C]` on it.

    Raises:
        GeodlError: another type, `improved`, another `flow`, `aggr` or `node_dim`, a
            `negative_slope` other than 0.2, a `fill_value` that is neither a number nor "mean",
            a projection of which some parts are trained and others are not; parametrizations,
            hooks.

    >>> from torch_geometric.nn import GCNConv
    >>> from_pyg(GCNConv(3, 8, add_self_loops=False))
    Conv(3, 8, adjacency('sym'))
    """
    with conversion(f"from_pyg({type(module).__name__})", module, on):
        return from_module(module, on, "pyg")


def to_pyg(layer: Layer) -> nn.Module:
    """The inverse of :func:`from_pyg`: a module of PyG with copies of a layer's parameters.

    What a `TransformerConv` without `root_weight` has and never reads is zero.

    Raises:
        GeodlError: a layer, a rule or an option that no module of PyG computes.

    >>> from geodl import Conv, adjacency
    >>> to_pyg(Conv(3, 8, adjacency("sym", self_loops=True)))
    GCNConv(3, 8)
    """
    with conversion(f"to_pyg({getattr(layer, 'label', type(layer).__name__)})", layer):
        return to_module(layer, None, "pyg")
