"""Readouts, norms and jumping knowledge of PyTorch Geometric."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.conversion import with_parameters
from geodl.interop.converters import TRACED, converts
from geodl.interop.norm import from_batch_norm, to_batch_norm
from geodl.interop.whole.layout import Layout, nodes
from geodl.interop.whole.values import Call, Links, Value
from geodl.layer import BatchNorm, Readout
from geodl.models.graph_blocks import WeightedLayers

READOUTS = {"global_add_pool": "sum", "global_mean_pool": "mean", "global_max_pool": "max"}
AGGREGATIONS = {"SumAggregation": "sum", "MeanAggregation": "mean", "MaxAggregation": "max"}


def pooling_functions() -> tuple[Callable[..., Any], ...]:
    """PyG's global pooling, which a trace keeps as calls; each has its converter then."""
    from torch_geometric.nn import pool

    functions = []
    for name, reduction in READOUTS.items():
        function = getattr(pool, name)
        functions.append(function)
        if function not in TRACED:
            converts(function, traced=True)(_readout(reduction))
    return tuple(functions)


def _readout(reduction: str) -> Callable[..., Any]:
    def convert(build: Any, call: Call) -> Any:
        value, batch, size = call.given("x", "batch", "size", size=None)
        return _pooled(build, call, value, batch, size, reduction)

    return convert


@converts(*AGGREGATIONS, traced=True)
def convert_aggregation(build: Any, call: Call) -> Any:
    """An aggregation module over the members of a batch."""
    names = ("x", "index", "ptr", "dim_size", "dim")
    value, batch, ptr, size, dim = call.given(*names, index=None, ptr=None, dim_size=None, dim=-2)
    if ptr is not None or dim not in (-2, 0):
        return None
    reduction = AGGREGATIONS[type(call.module).__name__]
    return _pooled(build, call, value, batch, size, reduction)


def _pooled(
    build: Any, call: Call, value: Any, batch: Any, size: Any, reduction: str
) -> Value | None:
    """One node for each member of the graph."""
    known = _is_held(batch, "batch") and _is_held(size, "num_graphs")
    if not known or not isinstance(value, Value) or value.layout is None:
        return None
    channel = value.layout.channel_dim()
    if value.layout.dims[:1] != (nodes(1),) or channel != 1:
        return None
    made = Layout((nodes(1), value.layout.channels), "set")
    return build.apply(call.name, Readout(reduction), value, call.example, made)


def _is_held(value: Any, role: str) -> bool:
    """Whether an argument says no more than the domain, or nothing."""
    return value is None or (isinstance(value, Links) and value.role == role)


@converts("BatchNorm", reads="second")
def from_pyg_batch_norm(twin: Any, on: Domain | None) -> BatchNorm:
    """PyG's `BatchNorm`, which holds one of torch's."""
    if twin.allow_single_element:
        do = "build it without"
        raise GeodlError("from_pyg(BatchNorm)", "allow_single_element=True", do)
    return from_batch_norm(twin.module, on)


@converts(BatchNorm, back="pyg", form="any nodes")
def to_pyg_batch_norm(layer: BatchNorm, on: Domain | None) -> nn.Module:
    """The inverse of :func:`from_pyg_batch_norm`."""
    from torch_geometric.nn import BatchNorm as PygBatchNorm

    twin = PygBatchNorm(layer.num_features)
    twin.module = to_batch_norm(layer, None)
    return twin.train(layer.training)


@converts("LayerNorm", traced=True)
def convert_layer_norm(build: Any, call: Call) -> Any:
    """PyG's `LayerNorm(mode="node")`, which is torch's."""
    value = call.args[0]
    module: Any = call.module
    if module.mode != "node" or not isinstance(value, Value):
        return None
    part = build.once(module, _plain_layer_norm)
    return build.apply(call.name, part, build.read(value, "last"), call.example)


def _plain_layer_norm(twin: Any, on: Domain | None) -> nn.LayerNorm:
    norm = nn.LayerNorm(twin.in_channels, twin.eps, elementwise_affine=twin.weight is not None)
    return with_parameters(norm, twin, weight=twin.weight, bias=twin.bias)


@converts("JumpingKnowledge", traced=True)
def convert_jumping_knowledge(build: Any, call: Call) -> Any:
    """`JumpingKnowledge`: concatenation and maximum as joins, an LSTM's weights as the layer
    `WeightedLayers` behind a concatenation.
    """
    (values,) = call.args
    module: Any = call.module
    if len(values) < 2:
        return None
    if any(not isinstance(value, Value) or value.layout is None for value in values):
        return None
    if module.mode != "lstm":
        return build.join(call.name, module.mode, list(values), call.example)
    beside = torch.cat([value.tensor for value in values], -1)
    joined = build.join(f"{call.name}_cat", "cat", list(values), beside)
    part = build.once(module, _weighted_layers)
    return build.apply(call.name, part, joined, call.example)


def _weighted_layers(twin: Any, on: Domain | None) -> WeightedLayers:
    layer = WeightedLayers(twin.channels, twin.num_layers)
    layer.lstm = copy.deepcopy(twin.lstm)
    layer.attention = copy.deepcopy(twin.att)
    return layer.train(twin.training)


@converts(WeightedLayers, back="pyg", form="several layers")
def to_jumping_knowledge(layer: WeightedLayers, on: Domain | None) -> nn.Module:
    """The inverse of :func:`convert_jumping_knowledge` for the mode "lstm"."""
    from torch_geometric.nn import JumpingKnowledge

    twin: Any = JumpingKnowledge("lstm", layer.channels, layer.count)
    twin.lstm = copy.deepcopy(layer.lstm)
    twin.att = copy.deepcopy(layer.attention)
    return twin.train(layer.training)
