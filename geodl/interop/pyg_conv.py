"""Graph convolutions of PyTorch Geometric: GCN, GraphSAGE, GIN."""

import inspect
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.conv import check_one_group
from geodl.interop.conversion import with_parameters
from geodl.interop.converters import FROM, converts, from_part, is_kept, key_of, to_part
from geodl.interop.whole.importing import first_channels, import_model
from geodl.interop.whole.values import Call, Links, Value
from geodl.layer import Conv, Network, Pointwise, Pool, Residual
from geodl.layer.self_term import SelfTerm
from geodl.neighborhood import Neighborhood, adjacency, itself

# (normalize, add_self_loops) of GCNConv and the rule that says the same.
GCN_RULES: tuple[tuple[bool, bool, Neighborhood], ...] = (
    (True, True, adjacency("sym", self_loops=True)),
    (True, False, adjacency("sym")),
    (False, False, adjacency()),
)
SUMS = ("add", "sum")
# Called as conv(x, edge_index) or conv(x, edge_index, of_edges).
CONVOLUTIONS = (
    *("GCNConv", "SAGEConv", "GINConv", "GATConv", "GATv2Conv", "TransformerConv"),
    *("ChebConv", "RGCNConv", "GINEConv", "PNAConv"),
)
EDGE_ROLES = ("edge_weight", "edge_attr", "edge_type")


def check_message_passing(asked: str, twin: Any, *reductions: str) -> None:
    """Refuse the options of PyG's `MessagePassing` that no layer here has.

    Args:
        asked: the call in words, for the error.
        twin: a convolution of PyG.
        reductions: the values of `aggr` that its converter knows.
    """
    if twin.flow != "source_to_target":
        raise GeodlError(
            asked, f"flow={twin.flow!r}", "reverse the edges, and convert with source_to_target"
        )
    if twin.aggr not in reductions:
        known = ", ".join(map(repr, reductions))
        raise GeodlError(
            asked,
            f"aggr={twin.aggr!r}",
            f"{known} are converted; write other reductions as a Message",
        )
    # Of x [N, C] both name the axis of the nodes.
    if twin.node_dim not in (-2, 0):
        raise GeodlError(
            asked, f"node_dim={twin.node_dim}", "signals are [B, N, C]: convert with node_dim=-2"
        )


@converts(*CONVOLUTIONS, traced=True)
def convert_convolution(build: Any, call: Call) -> Any:
    """A call `conv(x, edge_index, ...)` on the links of the graph."""
    module: Any = call.module
    names = list(inspect.signature(module.forward).parameters)
    value, links, *others = call.given(*names, **dict.fromkeys(names[2:]))
    of_graph = isinstance(links, Links) and links.role == "edge_index"
    if not of_graph or not isinstance(value, Value):
        return None
    given = [one for one in others if one is not None]
    if not all(isinstance(one, Links) and one.role in EDGE_ROLES for one in given):
        return None
    layer = build.once(module, FROM[key_of(module)].convert)
    unweighted = not given and getattr(layer.rule, "reads_weights", False)
    if unweighted and hasattr(layer.rule, "weights"):
        # Without weights in its call the twin reads none, whatever the graph has.
        layer = layer.over(ignoring_weights(layer.rule))
    elif unweighted and value.on.domain.links().weight is not None:
        return None
    return build.apply(call.name, layer, build.read(value, "last"), call.example)


@converts("GCNConv")
def from_gcn(twin: Any, on: Domain | None) -> Conv:
    """`GCNConv` as a `Conv` over `adjacency(...)`.

    `normalize` and `add_self_loops` become the rule's `norm` and `self_loops`; of several
    self-loops of a node both keep the last one then. What changes no number is not kept: `cached`
    (plans stay with each graph), `decomposed_layers`, and `improved` without added self-loops.
    """
    asked = "from_pyg(GCNConv)"
    if twin.improved and twin.add_self_loops:
        raise GeodlError(
            asked,
            "improved=True",
            "give the graph self-loops of weight 2, and convert with improved=False",
        )
    check_message_passing(asked, twin, *SUMS)
    rules = {(norm, loops): rule for norm, loops, rule in GCN_RULES}
    rule = rules[twin.normalize, twin.add_self_loops]
    layer = Conv(twin.in_channels, twin.out_channels, rule, twin.bias is not None, on)
    return with_parameters(layer, twin, weight=twin.lin.weight.T[None], bias=twin.bias)


@converts(Conv, back="pyg", form="adjacency(...) as GCNConv has it")
def to_gcn(layer: Conv, on: Domain | None) -> nn.Module | None:
    """The inverse of :func:`from_gcn`."""
    # Imported models read weights only where their call hands them on; the twin decides it there.
    options = {}
    for normalize, loops, rule in GCN_RULES:
        options[rule] = options[ignoring_weights(rule)] = (normalize, loops)
    if layer.rule not in options:
        return None
    check_one_group(f"to_pyg({layer.label})", layer)
    from torch_geometric.nn import GCNConv

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


def ignoring_weights(rule: Any) -> Neighborhood:
    """The same adjacency, blind to the weights of the links."""
    return adjacency(rule.norm, rule.self_loops, rule.types, weights=False)


class UnitLength(nn.Module):
    """Each row divided by its Euclidean length: `SAGEConv(normalize=True)`."""

    def forward(self, x: Tensor) -> Tensor:
        """`x / max(|x|, 1e-12)` along the channels."""
        return F.normalize(x, p=2.0, dim=-1)


@converts("SAGEConv")
def from_sage(twin: Any, on: Domain | None) -> Network:
    """`SAGEConv` as a network under the twin's names: `lin_l(reduce_j x_j) + lin_r(x_i)`.

    The mean is a `Conv` over `adjacency("row")`, the sum one over `adjacency()`; the maximum and
    minimum are a `Pool` before `lin_l`. The weights of links are not read, as in the twin.
    """
    asked = "from_pyg(SAGEConv)"
    refuse_domain(asked, on)
    check_message_passing(asked, twin, "mean", "max", "min", *SUMS)
    nodes: dict[str, tuple[Any, ...]] = {}
    sent = "x"
    if twin.project:
        nodes["lin"] = (from_part(twin.lin), "x")
        nodes["act"] = (nn.ReLU(), "lin")
        sent = "act"
    if twin.aggr in ("max", "min"):
        nodes["aggr"] = (Pool(adjacency(weights=False), twin.aggr), sent)
        nodes["lin_l"] = (from_part(twin.lin_l), "aggr")
    else:
        norm = "row" if twin.aggr == "mean" else None
        nodes["lin_l"] = (_linear_over(twin.lin_l, adjacency(norm, weights=False)), sent)
    last = "lin_l"
    if twin.root_weight:
        nodes["lin_r"] = (from_part(twin.lin_r), "x")
        nodes["out"] = ("add", "lin_l", "lin_r")
        last = "out"
    if twin.normalize:
        nodes["unit"] = (Pointwise(UnitLength()), last)
    return Network("x", nodes).train(twin.training)


@converts(Network, back="pyg", form="the nodes of SAGEConv")
def to_sage(layer: Network, on: Domain | None) -> nn.Module | None:
    """The inverse of :func:`from_sage`."""
    names = set(layer)
    if not {"lin_l"} <= names <= {"lin", "act", "aggr", "lin_l", "lin_r", "out", "unit"}:
        return None
    from torch_geometric.nn import SAGEConv

    left: Any = layer["lin_l"]
    reduction = "mean" if getattr(left.rule, "norm", None) == "row" else "add"
    if "aggr" in names:
        pool: Any = layer["aggr"]
        reduction = pool.options.reduction
    first: Any = layer["lin"] if "lin" in names else left
    twin = SAGEConv(
        first.channels_in,
        left.channels_out,
        aggr=reduction,
        normalize="unit" in names,
        root_weight="lin_r" in names,
        project="lin" in names,
        bias=left.bias is not None,
    )
    for name in ("lin", "lin_l", "lin_r"):
        if name in names:
            _copy_linear(getattr(twin, name), layer[name])
    return twin.train(layer.training)


SAGE_RULES = (adjacency("row", weights=False), adjacency(weights=False))


@converts(Residual, back="pyg", form="the layers of g.models.sage_layer")
def to_sage_of_layers(layer: Residual, on: Domain | None) -> nn.Module | None:
    """A `g.models.sage_layer` as a `SAGEConv`, by way of the network that :func:`from_sage`
    makes.
    """
    own: Any = layer.shortcut
    received: list[Any] = list(layer.inner)
    if getattr(own, "rule", None) != itself() or own.bias is not None:
        return None
    nodes: dict[str, tuple[Any, ...]] = {}
    sent = "x"
    if len(received) > 1 and getattr(received[0], "rule", None) == itself():
        nodes["lin"], nodes["act"] = (received.pop(0), "x"), (received.pop(0), "lin")
        sent = "act"
    rules = [getattr(part, "rule", None) for part in received]
    if rules == [adjacency(weights=False), itself()]:
        nodes["aggr"] = (received.pop(0), sent)
        sent = "aggr"
    elif len(rules) != 1 or rules[0] not in SAGE_RULES:
        return None
    if not hasattr(received[0], "channels_out"):
        return None
    nodes["lin_l"], nodes["lin_r"] = (received[0], sent), (own, "x")
    nodes["out"] = ("add", "lin_l", "lin_r")
    return to_sage(Network("x", nodes).train(layer.training), on)


@converts("GINConv")
def from_gin(twin: Any, on: Domain | None) -> Network:
    """`GINConv` as a network: `nn((1 + eps) x_i + sum_j x_j)`, a `Pool` and a shortcut before the
    converted `nn`.
    """
    asked = "from_pyg(GINConv)"
    refuse_domain(asked, on)
    check_message_passing(asked, twin, *SUMS)
    nodes = {
        "aggr": (Pool(adjacency(weights=False), "sum"), "x"),
        "self": (SelfTerm(copied(twin.eps)), "x"),
        "sum": ("add", "self", "aggr"),
        "nn": (inner_network(asked, twin.nn), "sum"),
    }
    return Network("x", nodes).train(twin.training)


def inner_network(asked: str, module: nn.Module) -> nn.Module:
    """The network inside of a convolution: a layer, or any model of rows `[N, C]` as a Network."""
    if key_of(module) in FROM or is_kept(module):
        return from_part(module)
    channels = first_channels(module)
    if channels is None:
        found = f"a {type(module).__name__} that does not say how many channels it reads"
        raise GeodlError(asked, found, "give an nn.Sequential that begins with a linear layer")
    like = next(module.parameters(), torch.zeros(0))
    return import_model(module, like.new_zeros(2, channels))


@converts(Network, back="pyg", form="the nodes of GINConv")
def to_gin(layer: Network, on: Domain | None) -> nn.Module | None:
    """The inverse of :func:`from_gin`."""
    if list(layer) != ["aggr", "self", "sum", "nn"] or hasattr(layer["aggr"], "message"):
        return None
    from torch_geometric.nn import GINConv

    own: Any = layer["self"]
    eps = own.eps
    twin: Any = GINConv(to_part(layer["nn"], on), train_eps=isinstance(eps, nn.Parameter))
    # PyG draws the parameters of `nn` anew when it is built.
    twin.nn = to_part(layer["nn"], on)
    twin.initial_eps = float(eps.detach())
    twin.eps = copied(eps)
    return twin.train(layer.training)


def copied(value: Tensor) -> Tensor:
    """A copy of a buffer, or of a parameter, as one that is trained as the original."""
    made = value.detach().clone()
    if isinstance(value, nn.Parameter):
        return nn.Parameter(made, requires_grad=value.requires_grad)
    return made


def refuse_domain(asked: str, on: Domain | None) -> None:
    """Refuse a domain for what becomes a network."""
    if on is not None:
        raise GeodlError(
            f"{asked} with on={on}", "a network, which takes Signals", "convert without on="
        )


@converts("Linear")
def from_linear(twin: Any, on: Domain | None) -> Conv:
    """PyG's `Linear` as a `Conv` over `itself()`."""
    return _linear_over(twin, itself(), on)


@converts(Conv, back="pyg", form="itself()")
def to_linear(layer: Conv, on: Domain | None) -> nn.Module | None:
    """The inverse of :func:`from_linear`."""
    if layer.rule != itself():
        return None
    check_one_group(f"to_pyg({layer.label})", layer)
    from torch_geometric.nn import Linear

    twin = Linear(layer.channels_in, layer.channels_out, bias=layer.bias is not None)
    return with_parameters(twin, layer, weight=layer.weight[0].T, bias=layer.bias)


def _linear_over(linear: Any, rule: Neighborhood, on: Domain | None = None) -> Conv:
    """A linear layer of PyG as a convolution with the same weights over a rule of one type."""
    layer = Conv(linear.in_channels, linear.out_channels, rule, linear.bias is not None, on)
    return with_parameters(layer, linear, weight=linear.weight.T[None], bias=linear.bias)


def _copy_linear(linear: Any, layer: Any) -> None:
    with_parameters(linear, layer, weight=layer.weight[0].T, bias=layer.bias)
