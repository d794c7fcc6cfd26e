"""The two doors to PyTorch Geometric: convolutions as layers, models as networks, and back."""

from torch import nn

from geodl.domain import Domain
from geodl.interop import pyg_conv
from geodl.interop.conversion import conversion
from geodl.interop.converters import from_module, to_module
from geodl.layer import Layer

# The files of converters: importing one puts its converters on the list.
FAMILIES = (pyg_conv,)


def from_pyg(module: nn.Module, *, on: Domain | None = None) -> Layer:
    """A convolution of PyG as a layer of ours, with copies of its parameters.

    | torch_geometric.nn | layer |
    |---|---|
    | `GCNConv` | `Conv` over `adjacency(...)` |
    | `SAGEConv` | a `Network`: `Conv` over `adjacency("row")`, and one over `itself()` |
    | `GINConv` | a `Network`: `Pool` over `adjacency()`, a shortcut, and its converted `nn` |
    | `Linear` | `Conv` over `itself()` |

    Args:
        module: of one of these types, not of a subclass.
        on: a graph; a layer (no network) then takes and returns tensors `[B, N, C]` on it.

    Raises:
        GeodlError: another type, `improved`, another `flow`, `aggr` or `node_dim`;
            parametrizations, hooks.

    >>> from torch_geometric.nn import GCNConv
    >>> from_pyg(GCNConv(3, 8, add_self_loops=False))
    Conv(3, 8, adjacency('sym'))
    """
    with conversion(f"from_pyg({type(module).__name__})", module, on):
        return from_module(module, on, "pyg")


def to_pyg(layer: Layer) -> nn.Module:
    """The inverse of :func:`from_pyg`: a module of PyG with copies of a layer's parameters.

    Raises:
        GeodlError: a layer, or a rule, that no module of PyG computes.

    >>> from geodl import Conv, adjacency
    >>> to_pyg(Conv(3, 8, adjacency("sym", self_loops=True)))
    GCNConv(3, 8)
    """
    with conversion(f"to_pyg({getattr(layer, 'label', type(layer).__name__)})", layer):
        return to_module(layer, None, "pyg")
