"""Layers: shapes and gradients, parameters and nothing else in the state."""

import copy
import io

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import geodl as g
from geodl.lowering import lattice
from geodl.testing import error, outcome

RING = g.Graph([[0, 1, 2, 3, 0], [1, 2, 3, 0, 2]], 4)
LAYERS = {
    "conv": lambda: (g.Conv(3, 5, g.window(3)), g.Grid(4, 4), (16, 5)),
    "strided": lambda: (g.Conv(3, 5, g.window(2, stride=2)), g.Grid(4, 4), (4, 5)),
    "transposed": lambda: (g.Conv(3, 5, g.window(2, stride=2).reverse()), g.Grid(4, 4), (64, 5)),
    "lift": lambda: (g.Conv(3, 5, g.lift(3, group=g.C(4))), g.Grid(4, 4), (64, 5)),
    "gcn": lambda: (g.Conv(3, 5, g.adjacency("sym", self_loops=True), bias=False), RING, (4, 5)),
    "orbit": lambda: (
        g.Conv(3, 5, g.all_pairs("orbit"), on=g.Grid(5, periodic=True)),
        g.Grid(5, periodic=True),
        (5, 5),
    ),
    "attention": lambda: (g.Attention(4, g.past(), heads=2), g.Chain(5), (5, 4)),
    "relative": lambda: (
        g.Attention(4, g.window(3, axes=1), heads=2, head_dim=3, relative=True),
        g.Chain(5),
        (5, 4),
    ),
    "message": lambda: (
        g.Message(Edge(3, 5), g.adjacency(), "max"),
        RING,
        (4, 5),
    ),
    "lstm": lambda: (g.Recurrent(3, 5), g.Chain(4), (4, 5)),
    "gru": lambda: (g.Recurrent(3, 5, "gru", g.previous().reverse()), g.Chain(4), (4, 5)),
    "tree": lambda: (
        g.Recurrent(3, 5, "lstm", g.predecessors()),
        g.Graph([[0, 1], [2, 2]], 3),
        (3, 5),
    ),
    "pool": lambda: (g.Pool(g.window(2, stride=2)), g.Grid(4, 4), (4, 3)),
    "readout": lambda: (g.Readout("max"), g.Batch([g.Chain(2), RING]), (2, 3)),
    "norm": lambda: (g.BatchNorm(3), g.Grid(4, 4), (16, 3)),
    "stack": lambda: (
        g.Sequential(g.Conv(3, 4, g.window(3)), nn.ReLU(), nn.LayerNorm(4)),
        g.Grid(4, 4),
        (16, 4),
    ),
    "residual": lambda: (
        g.Residual(g.Conv(3, 3, g.window(3)), nn.Tanh(), g.Dropout(0.1)),
        g.Grid(4, 4),
        (16, 3),
    ),
    "both ways": lambda: (
        g.Concat(g.Recurrent(3, 2), g.Recurrent(3, 3, "gru", g.previous().reverse())),
        g.Chain(4),
        (4, 5),
    ),
}
every_layer = pytest.mark.parametrize("name", LAYERS)


class Edge(nn.Module):
    """A message by one linear layer."""

    def __init__(self, cin, cout):
        super().__init__()
        self.linear = nn.Linear(2 * cin, cout)

    def forward(self, x_i, x_j, e_ij):
        return self.linear(torch.cat((x_i, x_j), -1))


def made(name: str, dtype: torch.dtype = torch.float64, batch: int = 2):
    torch.manual_seed(0)
    layer, domain, shape = LAYERS[name]()
    channels = getattr(layer, "channels_in", 3)
    return (
        layer.to(dtype),
        torch.randn(batch, domain.num_nodes, channels, dtype=dtype),
        domain,
        shape,
    )


def call(layer, x, domain):
    return layer(x) if getattr(layer, "on", None) is not None else layer(g.Signal(x, domain)).x


@every_layer
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_shapes_and_dtypes(name, dtype):
    for batch in (0, 2):
        layer, x, domain, shape = made(name, dtype, batch)
        y = call(layer, x, domain)
        assert y.shape == (batch, *shape) and y.dtype == dtype and torch.isfinite(y).all()


@every_layer
def test_gradient_reaches_everything(name):
    layer, x, domain, _ = made(name)
    x.requires_grad_()
    y = call(layer, x, domain)
    y.backward(torch.randn_like(y))
    for parameter, p in [("x", x), *layer.named_parameters()]:
        assert p.grad is not None and p.grad.abs().sum() > 0, parameter


@every_layer
def test_state_is_parameters_and_running_statistics(name):
    layer, x, domain, _ = made(name)
    statistics = {key for key, _ in layer.named_buffers()}
    keys = list(layer.state_dict())
    assert set(keys) == {key for key, _ in layer.named_parameters()} | statistics
    assert all(
        key.split(".")[-1] in ("running_mean", "running_var", "num_batches_tracked")
        for key in statistics
    )
    call(layer.eval(), x, domain)
    g.set_lowering(layer, "edges")
    call(layer.train(), x, domain)
    assert list(layer.state_dict()) == keys
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    torch.manual_seed(1)
    other = LAYERS[name]()[0].double()
    other.load_state_dict(torch.load(file))
    assert call(other.eval(), x, domain).allclose(call(layer.eval(), x, domain), rtol=0, atol=1e-12)
    assert error(call(copy.deepcopy(layer), x, domain), call(layer, x, domain)) < 1e-12


def test_over_shares_parameters():
    layer = g.Attention(4, g.all_pairs(), heads=2)
    ring = layer.over(g.window(3, axes=1))
    assert all(a is b for a, b in zip(layer.parameters(), ring.parameters(), strict=True))
    assert str(layer.rule) == "all_pairs()"
    x = torch.randn(1, 5, 4)
    mask = (torch.arange(5)[:, None] - torch.arange(5)).abs() > 1
    q, k, v = (part.transpose(1, 2) for part in layer._project(x, x))
    wanted = (
        nn.functional.scaled_dot_product_attention(q, k, v, ~mask).transpose(1, 2).reshape(1, 5, 4)
    )
    assert error(ring(g.Signal.sequence(x)).x, layer.out_proj(wanted)) < 1e-6
    conv = g.Conv(2, 3, g.window(3))
    assert conv.over(g.window(3, dilation=2)).weight is conv.weight
    with pytest.raises(g.GeodlError, match="25 edge types in place of 9"):
        conv.over(g.window(5))
    ring.in_proj_weight.data.zero_()
    assert layer.in_proj_weight.abs().sum() == 0
    assert (
        len(g.explain(g.Sequential(layer, ring), g.Signal.sequence(x)).choices) == 2
    )  # hooks are each layer's own


def test_a_union_of_one_stays_a_union():
    for members in (1, 2):
        domain = g.Batch([g.Grid(4, 4)] * members)
        made = g.Pool(g.window(2, stride=2))(
            g.Signal(torch.zeros(1, domain.num_nodes, 2), domain)
        ).domain
        assert made.members == (g.Grid(2, 2),) * members


@pytest.mark.parametrize(
    "layer",
    [
        g.Conv(2, 2, g.all_pairs()),
        g.Conv(2, 2, g.window(3)),
        g.Conv(2, 2, g.adjacency("sym", self_loops=True)),
        g.BatchNorm(2),
    ],
    ids=str,
)
def test_an_activation_may_overwrite_the_answer(layer):
    x = torch.randn(2, 25, 2, requires_grad=True)
    grads = []
    for inplace in (True, False):
        y = g.Sequential(layer, nn.ReLU(inplace=inplace))(g.Signal(x, g.Grid(5, 5))).x
        assert y.is_contiguous()
        grads.append(torch.autograd.grad(y.square().sum(), x)[0])
    assert error(*grads) < 1e-6


def test_kernels_read_images_that_lie_plane_by_plane_channels_last(monkeypatch):
    read = []

    def conv2d(image, *others):
        read.append(image.is_contiguous(memory_format=torch.channels_last))
        return F.conv2d(image, *others)

    monkeypatch.setitem(lattice.CONV, 2, conv2d)
    signal = g.Signal(torch.randn(2, 3, 30).transpose(1, 2), g.Grid(5, 6))
    g.Conv(3, 2, g.window(3))(signal)
    assert not signal.x.is_contiguous() and read == [True]


def test_in_a_plain_training_loop():
    torch.manual_seed(0)
    ring = g.Grid(6, periodic=True)
    rule = g.window(3, axes=1)
    net = nn.Sequential(g.Conv(1, 8, rule, on=ring), nn.Tanh(), g.Conv(8, 1, rule, on=ring))
    x = torch.randn(32, 6, 1)
    y = x.roll(1, 1) - x
    optimiser, losses = torch.optim.Adam(net.parameters(), lr=0.02), []
    for _ in range(80):
        optimiser.zero_grad()
        loss = nn.functional.mse_loss(net(x), y)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0] and list(net.state_dict()) == [
        "0.weight",
        "0.bias",
        "2.weight",
        "2.bias",
    ]


def gin(epsilon):
    return g.Message(
        lambda x_i, x_j, e_ij: x_j,
        g.adjacency(),
        "sum",
        lambda x_i, heard: (1 + epsilon) * x_i + heard,
    )


def test_messages_by_hand():
    path = g.Graph([[0, 1, 1, 2], [1, 0, 2, 1]], 3)
    s = g.Signal(torch.tensor([[[1.0], [2.0], [5.0]]]), path)
    assert gin(0.5)(s).x.flatten().tolist() == [3.5, 9.0, 9.5]
    edge_conv = g.Message(
        lambda x_i, x_j, e_ij: torch.cat((x_i, x_j - x_i), -1),
        g.adjacency(),
        "max",
    )
    assert edge_conv(s).x[0].tolist() == [[1, 1], [2, 3], [5, -3]]
    for reduce, wanted in (
        ("sum", [2, 6, 2]),
        ("mean", [2, 3, 2]),
        ("min", [2, 1, 2]),
        ("max", [2, 5, 2]),
    ):
        assert (
            g.Message(lambda x_i, x_j, e_ij: x_j, g.adjacency(), reduce)(s).x.flatten().tolist()
            == wanted
        )
    weighted = g.Graph(path.edge_index, 3, edge_weight=[10.0, 20.0, 30.0, 40.0])
    product = g.Message(lambda x_i, x_j, e_ij: x_j * e_ij, g.adjacency())
    assert product(g.Signal(s.x, weighted)).x.flatten().tolist() == [40, 210, 60]
    state = torch.tensor([[[1.0], [0.0], [0.0], [2.0]]])
    assert product(s.with_edges(state)).x.flatten().tolist() == [0, 11, 0]
    assert (
        g.Message(lambda x_i, x_j, e_ij: x_j, g.adjacency(), "max")(
            g.Signal(-s.x, g.Graph([[0], [1]], 3))
        ).x[0, 2]
        == 0
    )


def test_outcome_sees_every_gradient():
    layer, x, domain, _ = made("conv")
    y, grads = outcome(layer, g.Signal(x, domain))
    assert y.shape == (2, 16, 5) and set(grads) == {"input 0", "weight", "bias"}
    assert all(v.abs().sum() > 0 for v in grads.values())


def test_a_layer_on_a_graph_moves_with_its_domain():
    layer = g.Conv(2, 3, g.adjacency("sym", self_loops=True), on=g.Graph([[0, 1], [1, 2]]))
    assert layer.to("meta").on.edge_index.device.type == "meta"
    assert (
        g.Conv(2, 3, g.adjacency("sym", self_loops=True), on=g.Graph([[0, 1], [1, 2]]))
        .double()
        .on.edge_index.dtype
        == torch.int64
    )


def test_a_p4_network_of_tensors():
    grid = g.Grid(5, 5)
    maps = g.GroupGrid(grid, g.C(4))
    layers = (
        g.Conv(1, 4, g.lift(3, group=g.C(4)), on=grid),
        g.BatchNorm(4, on=maps),
        g.Pool(g.fiber(), on=maps),
    )
    by_signals = g.Sequential(
        g.Conv(1, 4, g.lift(3, group=g.C(4))), g.BatchNorm(4), g.Pool(g.fiber())
    )
    x = torch.randn(2, 25, 1)
    for ours, theirs in zip(layers, by_signals, strict=True):
        theirs.load_state_dict(ours.state_dict())
    assert error(torch.nn.Sequential(*layers)(x), by_signals(g.Signal(x, grid)).x) < 1e-6


def test_a_graph_refuses_weights_that_ask_for_a_gradient():
    with pytest.raises(g.GeodlError, match="edge_weight that asks for a gradient.*with_weights"):
        g.Graph([[0], [1]], edge_weight=torch.ones(1, requires_grad=True))


@every_layer
def test_layers_on_meta_tell_shapes_or_refuse(name):
    """Numbers are missing there, shapes are not; what depends on a number says so."""
    layer, domain, shape = LAYERS[name]()
    layer = layer.to("meta")
    with torch.device("meta"):
        x = torch.randn(2, domain.num_nodes, getattr(layer, "channels_in", 3), requires_grad=True)
    if isinstance(domain, g.Graph | g.Batch):
        domain = domain.to("meta")
    if name in ON_META_REFUSED:
        with pytest.raises(g.GeodlError, match=ON_META_REFUSED[name]):
            call(layer, x, domain)
        return
    y = call(layer, x, domain)
    y.sum().backward()
    assert y.is_meta
    assert y.shape == (2, *shape)
    assert x.grad.shape == x.shape


ON_META_REFUSED = {
    "gcn": "tensors without values",
    "message": "tensors without values",
    "tree": "tensors without values",
    "orbit": "the device meta",
}
