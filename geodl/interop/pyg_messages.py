"""Convolutions of PyTorch Geometric whose messages are learned: GINEConv, PNAConv."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.conversion import with_parameters
from geodl.interop.converters import converts, is_kept, to_part
from geodl.interop.pyg_conv import check_message_passing, copied, inner_network, refuse_domain
from geodl.layer import Message, Network
from geodl.layer.self_term import SelfTerm
from geodl.models.graph_isomorphism import EdgeAdded
from geodl.models.graph_parts import reading
from geodl.models.graph_pna import TowerMessage, TowerUpdate, tower_network
from geodl.neighborhood import adjacency

LINKS = adjacency(weights=False)
REDUCED = {"add": "sum", "sum": "sum", "mean": "mean", "max": "max", "min": "min"}
AGGREGATORS = {
    "MeanAggregation": "mean",
    "MinAggregation": "min",
    "MaxAggregation": "max",
    "StdAggregation": "std",
    "SumAggregation": "sum",
}


@converts("GINEConv")
def from_gine(twin: Any, on: Domain | None) -> Network:
    """`GINEConv` as a network: `nn((1 + eps) x_i + sum_j ReLU(x_j + E e_ij))`, a `Message` and a
    shortcut before the converted `nn`.
    """
    asked = "from_pyg(GINEConv)"
    refuse_domain(asked, on)
    check_message_passing(asked, twin, *REDUCED)
    if twin.lin is not None:
        channels = twin.lin.out_channels
        message = EdgeAdded(channels, twin.lin.in_channels)
        project: Any = message.project
        with_parameters(project, twin, weight=twin.lin.weight, bias=twin.lin.bias)
    else:
        channels = first_width(asked, twin.nn)
        message = EdgeAdded(channels, None)
    layer = reading(Message(message, LINKS, REDUCED[twin.aggr]), channels)
    nodes = {
        "aggr": (layer, "x"),
        "self": (SelfTerm(copied(twin.eps)), "x"),
        "sum": ("add", "self", "aggr"),
        "nn": (inner_network(asked, twin.nn), "sum"),
    }
    return Network("x", nodes).train(twin.training)


@converts(Network, back="pyg", form="the nodes of GINEConv")
def to_gine(layer: Network, on: Domain | None) -> nn.Module | None:
    """The inverse of :func:`from_gine`."""
    if list(layer) != ["aggr", "self", "sum", "nn"]:
        return None
    received: Any = layer["aggr"]
    message: Any = getattr(received, "message", None)
    if message is None:
        return None
    from torch_geometric.nn import GINEConv

    own: Any = layer["self"]
    (reduction,) = received.options.reductions
    options: dict[str, Any] = {"train_eps": isinstance(own.eps, nn.Parameter)}
    if message.project is not None:
        options["edge_dim"] = message.edge_channels
    twin: Any = GINEConv(to_part(layer["nn"], on), aggr=reduction, **options)
    # PyG draws the parameters of `nn` anew when it is built.
    twin.nn = to_part(layer["nn"], on)
    if message.project is not None:
        project = message.project
        with_parameters(twin.lin, layer, weight=project.weight, bias=project.bias)
    twin.initial_eps = float(own.eps.detach())
    twin.eps = copied(own.eps)
    return twin.train(layer.training)


def first_width(asked: str, module: nn.Module) -> int:
    """The channels that a network inside of a convolution reads."""
    for part in module.modules():
        for name in ("in_channels", "in_features"):
            channels = getattr(part, name, None)
            if isinstance(channels, int) and channels > 0:
                return channels
    found = f"a {type(module).__name__} that does not say how many channels it reads"
    raise GeodlError(asked, found, "give an nn.Sequential that begins with a linear layer")


@converts("PNAConv")
def from_pna(twin: Any, on: Domain | None) -> Network:
    """`PNAConv` as the network that a `g.models.pna_layer` is, with its towers."""
    asked = "from_pyg(PNAConv)"
    refuse_domain(asked, on)
    check_message_passing(asked, twin, twin.aggr)
    aggregation = twin.aggr_module
    reductions = _reductions(asked, aggregation.aggr)
    edges = None
    if twin.edge_dim is not None:
        edges = _linear(twin.edge_encoder)
    message = TowerMessage(
        [_plain(asked, net) for net in twin.pre_nns],
        twin.in_channels,
        divided=twin.divide_input,
        edges=edges,
    )
    update = TowerUpdate(
        [_plain(asked, net) for net in twin.post_nns],
        _linear(twin.lin),
        scalers=aggregation.scaler,
        mean_log=copied(aggregation.avg_deg_log),
        mean=copied(aggregation.avg_deg_lin),
        channels=twin.in_channels,
        reductions=len(reductions),
        divided=twin.divide_input,
    )
    return tower_network(message, update, reductions).train(twin.training)


def _reductions(asked: str, aggregation: Any) -> list[str]:
    """The names of the aggregators, in their order."""
    parts = [aggregation]
    if hasattr(aggregation, "aggrs"):
        parts = list(aggregation.aggrs)
    names = []
    for part in parts:
        kind = type(part).__name__
        if kind not in AGGREGATORS:
            known = ", ".join(map(repr, AGGREGATORS.values()))
            raise GeodlError(asked, f"the aggregator {part}", f"{known} are converted")
        names.append(AGGREGATORS[kind])
    return names


def _linear(linear: Any) -> nn.Linear:
    """PyG's `Linear` as one of torch."""
    made = nn.Linear(linear.in_channels, linear.out_channels, bias=linear.bias is not None)
    return with_parameters(made, linear, weight=linear.weight, bias=linear.bias)


def _plain(asked: str, net: Any) -> nn.Sequential:
    """A tower's network of PyG's linear layers as one of torch's."""
    parts: list[nn.Module] = []
    for part in net:
        if hasattr(part, "in_channels"):
            parts.append(_linear(part))
        elif is_kept(part):
            parts.append(copy.deepcopy(part))
        else:
            found = f"the activation {type(part).__name__}"
            raise GeodlError(asked, found, "give one that acts on each number alone")
    return nn.Sequential(*parts)


@converts(Network, back="pyg", form="the nodes of PNAConv")
def to_pna(layer: Network, on: Domain | None) -> nn.Module | None:
    """The inverse of :func:`from_pna`."""
    if list(layer) != ["received", "degree", "all", "out"]:
        return None
    from torch_geometric.nn import PNAConv

    received: Any = layer["received"]
    out: Any = layer["out"]
    message, update = received.message, out.module
    pre, post = message.networks, update.networks
    options: dict[str, Any] = {}
    if message.edges is not None:
        options["edge_dim"] = message.edges.in_features
    twin: Any = PNAConv(
        message.channels,
        update.last.out_features,
        list(received.options.reductions),
        list(update.scalers),
        # Any histogram: the means that PyG takes of it are set below.
        torch.tensor([0, 1]),
        towers=len(pre),
        pre_layers=_depth(pre[0]),
        post_layers=_depth(post[0]),
        divide_input=message.divided,
        train_norm=isinstance(update.mean_log, nn.Parameter),
        **options,
    )
    _copy_towers(twin.pre_nns, pre)
    _copy_towers(twin.post_nns, post)
    with_parameters(twin.lin, layer, weight=update.last.weight, bias=update.last.bias)
    if message.edges is not None:
        edges = message.edges
        with_parameters(twin.edge_encoder, layer, weight=edges.weight, bias=edges.bias)
    _set_means(twin.aggr_module, update)
    return twin.train(layer.training)


def _depth(net: nn.Module) -> int:
    """The linear layers of a tower's network."""
    return sum(hasattr(part, "in_features") for part in net.modules())


def _copy_towers(theirs: Any, ours: Sequence[Any]) -> None:
    """Set the networks of all towers."""
    for net, own in zip(theirs, ours, strict=True):
        parts = [own]
        if not hasattr(own, "in_features"):
            parts = list(own)
        for k, part in enumerate(parts):
            if hasattr(part, "in_features"):
                with_parameters(net[k], part, weight=part.weight, bias=part.bias)
            else:
                net[k] = copy.deepcopy(part)


def _set_means(aggregation: Any, update: Any) -> None:
    """Set the mean degrees of PyG's aggregation."""
    for name, value in (("avg_deg_log", update.mean_log), ("avg_deg_lin", update.mean)):
        setattr(aggregation, f"init_{name}", float(value.detach()))
        setattr(aggregation, name, copied(value))
