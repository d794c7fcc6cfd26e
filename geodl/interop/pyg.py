"""The two doors to PyTorch Geometric: convolutions as layers, models as networks, and back."""

from typing import Any

from torch import nn

from geodl.domain import Domain

# Importing a file of converters puts them on the list.
from geodl.interop import (  # noqa: F401
    pyg_attention,
    pyg_conv,
    pyg_messages,
    pyg_polynomial,
    pyg_pool,
)
from geodl.interop.conversion import conversion
from geodl.interop.converters import FROM, from_module, key_of, to_module
from geodl.interop.whole.pyg_model import import_graph_model
from geodl.layer import Layer


def from_pyg(module: nn.Module, example: Any = None, *, on: Domain | None = None) -> Layer:
    """A convolution of PyG as a layer of ours, or a whole model as a Network, with copies of the
    parameters.

    | torch_geometric.nn | layer |
    |---|---|
    | `GCNConv` | `Conv` over `adjacency(...)` |
    | `SAGEConv` | a `Network`: `Conv` over `adjacency("row")`, and one over `itself()` |
    | `GINConv` | a `Network`: `Pool` over `adjacency()`, a shortcut, and its converted `nn` |
    | `GATConv`, `GATv2Conv` | `Attention`, score "gat" and "gatv2" |
    | `TransformerConv` | `Attention`, score "dot" |
    | `Linear` | `Conv` over `itself()` |
    | `ChebConv` | `Conv` over `polynomial(laplacian(..., both_ways=True), K - 1)` |
    | `RGCNConv` | `Conv` over `adjacency("row", types=R)`, in a `Residual` with `itself()` |
    | `GCN2Conv` | a `Network` of two signals, as `g.models.gcnii_layer` |
    | `GINEConv` | a `Network`: `Message`, a shortcut, and its converted `nn` |
    | `PNAConv` | a `Network`, as `g.models.pna_layer` |

    Attention leaves out a graph's own self-loops and adds one at each node, which tells where edges
    have features: `adjacency(self_loops="anew")`. Features of edges are the signal's `edges`. A
    pair of channels makes a layer of two signals, `layer(receiver, sender)`, and with
    `rule=relation` of two sets of nodes. A relation names all edges itself: the self-loops of
    `add_self_loops=True` belong to the layer's own rule, and are not added to it.

    A model is any module whose forward reads features, links and what PyG has beside them
    (`edge_weight`, `edge_attr`, `edge_type`, `batch`), each as an argument, or a `Data`: one of
    `torch_geometric.nn.models`, a `torch_geometric.nn.Sequential`, or one of your own. It becomes a
    `g.Network` that takes Signals on graphs, or what the model takes, and whose nodes have the
    names of the model's parts. Parts without a twin stay as they are: `network.opaque()` lists
    them.

    An argument that the import was made without (`edge_weight=None`) is refused at a call, unless
    the model never reads it; so is a Signal whose edges have it. What the model computes of its
    numbers of nodes, links and graphs follows each call.

    Graphs are remembered by their tensors; so are features, of which a sparse copy is made where
    95 % of them are zeros, they need no gradient and come again. What changes them in place makes
    them new, but for writes that torch does not count: into the numpy array of
    `torch.from_numpy`, or through `tensor.data`. After those give a copy.

    Parametrizations, as the bases of an `RGCNConv`, are saved by the `state_dict`: torch refuses to
    pickle modules with them.

    Args:
        module: of one of these types, not of a subclass; or a model.
        example: the arguments of a model, (x, edge_index, ...), or a `Data` with them; by default a
            small ring, with as many channels as the model's first part reads.
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
    asked = f"from_pyg({type(module).__name__})"
    is_model = isinstance(module, nn.Module) and key_of(module) not in FROM
    if is_model and not hasattr(module, "propagate") and on is None:
        with conversion(asked, module, whole=True):
            return import_graph_model(module, example)
    with conversion(asked, module, on):
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
