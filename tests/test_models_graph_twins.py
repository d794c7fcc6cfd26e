"""Layers of graph networks against PyG's, with weights copied by hand: outputs and gradients."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric import nn as pyg

import geodl as g
from geodl import models
from geodl.interop import from_pyg
from geodl.testing import error
from tests.graph_networks import EDGES, TYPES, graph

GRAPH = graph(8, 3)
Reads = Callable[[nn.Module], Tensor]


def transposed(name: str) -> Reads:
    """A weight `[C_out, C_in]` of PyG as ours `[1, C_in, C_out]`."""
    return lambda twin: twin.get_parameter(name).T[None]


def same(name: str) -> Reads:
    return lambda twin: twin.get_parameter(name)


class Twins(NamedTuple):
    """Our layer, PyG's, what each parameter of ours is in PyG's, and how PyG's is called."""

    ours: Callable[[], nn.Module]
    theirs: Callable[[], nn.Module]
    carried: dict[str, Reads]
    call: Callable[[Any, Tensor, Tensor], Tensor] = lambda twin, x, e: twin(x, GRAPH.edge_index)


def sage(aggregation: str, *, received: str = "0") -> Twins:
    carried = {
        f"inner.{received}.weight": transposed("lin_l.weight"),
        f"inner.{received}.bias": same("lin_l.bias"),
        "shortcut.weight": transposed("lin_r.weight"),
    }
    if aggregation == "max":
        carried |= {
            "inner.0.weight": transposed("lin.weight"),
            "inner.0.bias": same("lin.bias"),
        }
    project = aggregation == "max"
    return Twins(
        lambda: models.sage_layer(4, 3, aggregation=aggregation, project=project),
        lambda: pyg.SAGEConv(4, 3, aggr=aggregation, project=project),
        carried,
    )


def rgcn(**options: int) -> Twins:
    weight = "inner.0.weight"
    carried = {
        "inner.0.bias": same("bias"),
        "shortcut.weight": lambda twin: twin.root[None],
        weight: same("weight"),
    }
    if "bases" in options:
        del carried[weight]
        carried["inner.0.parametrizations.weight.original"] = same("weight")
        carried["inner.0.parametrizations.weight.0.share"] = same("comp")
    if "blocks" in options:
        # PyG holds blocks [T, G, C_in / G, C_out / G], ours stand side by side.
        carried[weight] = lambda twin: twin.weight.transpose(1, 2).flatten(2)
    return Twins(
        lambda: models.rgcn_layer(4, 6, types=TYPES, **options),
        lambda: pyg.RGCNConv(4, 6, TYPES, **{f"num_{name}": k for name, k in options.items()}),
        carried,
        lambda twin, x, e: twin(x, GRAPH.edge_index, GRAPH.edge_type),
    )


def perceptron(out: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, out))


GIN = {
    "0.shortcut.eps": same("eps"),
    "1.weight": same("nn.0.weight"),
    "1.bias": same("nn.0.bias"),
    "2.weight": same("nn.1.weight"),
    "2.bias": same("nn.1.bias"),
    "4.weight": same("nn.3.weight"),
    "4.bias": same("nn.3.bias"),
}
GINE = {
    "0.inner.0.message.project.weight": same("lin.weight"),
    "0.inner.0.message.project.bias": same("lin.bias"),
}
LAYERS = {
    "sage mean": sage("mean"),
    "sage max": sage("max", received="3"),
    "sage sum": sage("sum"),
    "rgcn": rgcn(),
    "rgcn of bases": rgcn(bases=2),
    "rgcn of blocks": rgcn(blocks=2),
    "gin": Twins(
        lambda: models.gin_layer(4, 3, train_eps=True),
        lambda: pyg.GINConv(perceptron(), train_eps=True),
        GIN,
    ),
    "gine": Twins(
        lambda: models.gine_layer(4, 3, edge_channels=EDGES, train_eps=True),
        lambda: pyg.GINEConv(perceptron(), train_eps=True, edge_dim=EDGES),
        GIN | GINE,
        lambda twin, x, e: twin(x, GRAPH.edge_index, e),
    ),
    "sgc": Twins(
        lambda: models.sgc(4, 3, hops=3),
        lambda: pyg.SGConv(4, 3, K=3),
        {"0.weight": transposed("lin.weight"), "4.module.bias": same("lin.bias")},
    ),
}


GPS = {
    "local.0.inner.0.1.weight": same("conv.nn.0.weight"),
    "local.0.inner.0.1.bias": same("conv.nn.0.bias"),
    "local.0.inner.0.2.weight": same("conv.nn.1.weight"),
    "local.0.inner.0.2.bias": same("conv.nn.1.bias"),
    "local.0.inner.0.4.weight": same("conv.nn.3.weight"),
    "local.0.inner.0.4.bias": same("conv.nn.3.bias"),
    "global.0.inner.0.in_proj_weight": same("attn.in_proj_weight"),
    "global.0.inner.0.in_proj_bias": same("attn.in_proj_bias"),
    "global.0.inner.0.out_proj.weight": same("attn.out_proj.weight"),
    "global.0.inner.0.out_proj.bias": same("attn.out_proj.bias"),
    "out.0.inner.0.weight": same("mlp.0.weight"),
    "out.0.inner.0.bias": same("mlp.0.bias"),
    "out.0.inner.3.weight": same("mlp.3.weight"),
    "out.0.inner.3.bias": same("mlp.3.bias"),
}
for place, norm in (("local", "norm1"), ("global", "norm2"), ("out", "norm3")):
    for kind in ("weight", "bias"):
        GPS[f"{place}.1.{kind}"] = same(f"{norm}.module.{kind}")


def sent(kind: str) -> Reads:
    parts = ("lin_query", "lin_value")
    return lambda twin: torch.cat([twin.get_parameter(f"{part}.{kind}") for part in parts])


def edge_networks() -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 3))


LAYERS |= {
    "edge conv": Twins(
        lambda: models.edge_conv_layer(4, 3, hidden=5),
        lambda: pyg.EdgeConv(edge_networks(), aggr="max"),
        {f"message.net.{k}": same(f"nn.{k}") for k in ("0.weight", "0.bias", "2.weight", "2.bias")},
    ),
    "gated": Twins(
        lambda: models.gated_gcn_layer(4, 3),
        lambda: pyg.ResGatedGraphConv(4, 3),
        {
            "key.weight": same("lin_key.weight"),
            "key.bias": same("lin_key.bias"),
            "sent.weight": sent("weight"),
            "sent.bias": sent("bias"),
            "own.weight": transposed("lin_skip.weight"),
            "own.bias": same("bias"),
        },
    ),
    "gps": Twins(
        lambda: models.gps_layer(4, models.gin_layer(4, 4, hidden=3), heads=2),
        lambda: pyg.GPSConv(4, pyg.GINConv(perceptron(4)), heads=2),
        GPS,
    ),
}


def leaves() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    x = torch.randn(8, 4, dtype=torch.float64, requires_grad=True)
    e = torch.randn(GRAPH.num_links, EDGES, dtype=torch.float64, requires_grad=True)
    return x, e


def redrawn(module: nn.Module) -> nn.Module:
    module = module.double()
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn_like(p) / 2)
    return module


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_pygs(name):
    entry = LAYERS[name]
    torch.manual_seed(0)
    twin, ours = redrawn(entry.theirs()), entry.ours().double()
    named = dict(ours.named_parameters())
    assert named.keys() == entry.carried.keys()
    with torch.no_grad():
        for key, read in entry.carried.items():
            named[key].copy_(read(twin))
    x, e = leaves()
    theirs = entry.call(twin, x, e)
    y = ours(g.Signal(x[None], GRAPH, e[None])).x[0]
    assert error(y, theirs) < 1e-10
    upstream = torch.randn_like(theirs)
    options: Any = {"allow_unused": True, "materialize_grads": True}
    parameters = dict(twin.named_parameters())
    wanted = torch.autograd.grad(theirs, [x, e, *parameters.values()], upstream, **options)
    found = torch.autograd.grad(y, [x, e, *named.values()], upstream, **options)
    assert error(found[0], wanted[0]) < 1e-10 and error(found[1], wanted[1]) < 1e-10
    # Gradients are read as the weights are: the twin holds its own in their place.
    with torch.no_grad():
        for p, grad in zip(parameters.values(), wanted[2:], strict=True):
            p.copy_(grad)
        for key, grad in zip(named, found[2:], strict=True):
            assert error(grad, entry.carried[key](twin)) < 1e-10, key


def assert_networks_agree(ours: nn.Module, call: Callable[[Tensor], Tensor]) -> None:
    """Outputs and the gradient of the input, in evaluation."""
    x, _ = leaves()
    y, theirs = ours.eval()(g.Signal(x[None], GRAPH)).x[0], call(x)
    upstream = torch.randn_like(theirs)
    assert error(y, theirs) < 1e-10
    (found,) = torch.autograd.grad(y, x, upstream)
    (wanted,) = torch.autograd.grad(theirs, x, upstream)
    assert error(found, wanted) < 1e-10


@pytest.mark.parametrize(("network", "kind"), [("gat", pyg.GATConv), ("gatv2", pyg.GATv2Conv)])
def test_attention_networks_are_pygs(network, kind):
    ours = getattr(models, network)(4, 6, 2, heads=3).double()
    twins = [kind(4, 2, heads=3), kind(6, 2, concat=False)]
    assert [m.p for m in ours if isinstance(m, g.Dropout)] == [0.6, 0.6]
    layers = [m for m in ours if isinstance(m, g.Attention)]
    for layer, twin in zip(layers, twins, strict=True):
        converted = from_pyg(redrawn(twin))
        assert converted.rule == layer.rule and layer.dropout == 0.6
        layer.load_state_dict(converted.state_dict())

    def call(x: Tensor) -> Tensor:
        hidden = F.elu(twins[0](x, GRAPH.edge_index))
        return twins[1](hidden, GRAPH.edge_index)

    assert_networks_agree(ours, call)


def test_chebnet_is_pygs():
    ours, twin = models.chebnet(4, 3).double(), redrawn(pyg.ChebConv(4, 3, 3))
    with torch.no_grad():
        ours[1].weight.copy_(torch.stack([linear.weight.T for linear in twin.lins]))
        ours[1].bias.copy_(twin.bias)
    assert_networks_agree(ours, lambda x: twin(x, GRAPH.edge_index))


def test_appnp_is_pygs():
    ours, twin = models.appnp(4, 3, 2, hops=4, teleport=0.2).double(), pyg.APPNP(4, 0.2)
    predict = ours["predict"].eval()

    def call(x: Tensor) -> Tensor:
        return twin(predict(g.Signal(x[None], GRAPH)).x[0], GRAPH.edge_index)

    assert_networks_agree(ours, call)


def test_gcnii_is_pygs():
    ours = models.gcnii(4, 3, 2, depth=3, theta=0.7).double().eval()
    twins = [redrawn(pyg.GCN2Conv(3, 0.1, 0.7, layer=k)) for k in (1, 2, 3)]
    for k, twin in enumerate(twins, 1):
        with torch.no_grad():
            ours[f"layer{k}"]["weighed"].weight.copy_(twin.weight1.T)

    def call(x: Tensor) -> Tensor:
        first = ours["first"](g.Signal(x[None], GRAPH)).x[0]
        hidden = first
        for twin in twins:
            hidden = twin(hidden, first, GRAPH.edge_index).relu()
        return ours["last"](g.Signal(hidden[None], GRAPH)).x[0]

    assert_networks_agree(ours, call)


def drawn_alike(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    """Whether numbers come from one uniform distribution."""
    a, b = (torch.cat([t.detach().flatten() for t in ts]) for ts in (ours, theirs))
    return abs(float(a.abs().max() / b.abs().max()) - 1) < 0.06


def test_layers_are_drawn_as_pygs():
    torch.manual_seed(0)
    layer, twin = models.sage_layer(60, 50), pyg.SAGEConv(60, 50)
    assert drawn_alike([layer.inner[0].weight], [twin.lin_l.weight])
    assert drawn_alike([layer.shortcut.weight], [twin.lin_r.weight])
    for heads in (1, 8):
        layer = models.gat(40, 48, last_heads=heads)[1]
        twin = pyg.GATConv(40, 48, heads=heads)
        assert drawn_alike([layer.in_proj_weight], [twin.lin.weight])
        assert drawn_alike([layer.score_vectors], [twin.att_src, twin.att_dst])
    layer, twin = models.gatv2(40, 48)[1], pyg.GATv2Conv(40, 48)
    assert drawn_alike([layer.in_proj_weight], [twin.lin_l.weight])
    layer, twin = models.gcnii_layer(60), pyg.GCN2Conv(60, 0.1)
    assert drawn_alike([layer["weighed"].weight], [twin.weight1])


def test_gates_that_read_edges_are_pygs():
    twin = redrawn(pyg.ResGatedGraphConv(4, 3, edge_dim=EDGES))
    layer = models.gated_gcn_layer(4, 3, edge_channels=EDGES).double()
    key, query, value = (twin.get_parameter(f"lin_{n}.weight") for n in ("key", "query", "value"))
    with torch.no_grad():
        layer["key"].weight.copy_(key[:, :4])
        layer["key"].bias.copy_(twin.lin_key.bias)
        layer["sent"].weight.copy_(torch.cat((query[:, :4], value[:, :4])))
        layer["sent"].bias.copy_(sent("bias")(twin))
        gates = layer["received"].message.of_edges.weight
        gates.copy_(torch.cat((key[:, 4:] + query[:, 4:], value[:, 4:])))
        layer["own"].weight.copy_(twin.lin_skip.weight.T[None])
        layer["own"].bias.copy_(twin.bias)
    x, e = leaves()
    theirs, ours = twin(x, GRAPH.edge_index, e), layer(g.Signal(x[None], GRAPH, e[None])).x[0]
    assert error(ours, theirs) < 1e-10
    upstream = torch.randn_like(theirs)
    wanted = torch.autograd.grad(theirs, [x, e], upstream)
    found = torch.autograd.grad(ours, [x, e], upstream)
    assert max(error(a, b) for a, b in zip(found, wanted, strict=True)) < 1e-10


def test_mpnn_is_pygs():
    ours = models.mpnn(4, 3, 2, edge_channels=EDGES, steps=2, edge_hidden=5).double()
    step = ours["step1"]
    options = {"aggr": "add", "root_weight": False, "bias": False}
    twin = pyg.NNConv(3, 3, step.message.net, **options).double()
    x, e = leaves()
    hidden = ours["first"](g.Signal(x[None], GRAPH)).x[0]
    for _ in range(2):
        hidden = step.update.cell(twin(hidden, GRAPH.edge_index, e), hidden)
    wanted = ours["last"](hidden)
    found = ours(g.Signal(x[None], GRAPH, e[None])).x[0]
    assert error(found, wanted) < 1e-10
