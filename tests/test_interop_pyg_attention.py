"""PyG's attention on graphs and the one layer that each of them is, both ways."""

import itertools

import pytest
import torch
from torch import nn
from torch_geometric.nn import GATConv, GATv2Conv, TransformerConv

import geodl as g
from geodl.interop import from_pyg, to_pyg
from geodl.testing import error
from tests.twins import assert_same_state, assert_twins, drawn

# Two loops at node 1, parallel edges, and node 4, which receives from no one.
INDEX = torch.tensor([[0, 1, 2, 3, 1, 1, 1, 0], [1, 2, 3, 0, 3, 1, 1, 1]])
GRAPH = g.Graph(INDEX, 5)
NAMES = {"gat": GATConv, "gatv2": GATv2Conv, "transformer": TransformerConv}


def values(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


ATTRIBUTES = values(INDEX.shape[1], 3, seed=3)


def options_of(name: str) -> list[dict]:
    """Every option of a twin, each with every other one where that can matter."""
    common = {"concat": [True, False], "edge_dim": [None, 3], "bias": [True, False]}
    if name == "transformer":
        own = {"root_weight": [True, False], "beta": [True, False]}
    else:
        own = {"add_self_loops": [True, False], "residual": [True, False]}
    if name == "gatv2":
        own["share_weights"] = [True, False]
    grid = common | own
    return [dict(zip(grid, row, strict=True)) for row in itertools.product(*grid.values())]


CASES = [(name, options) for name in NAMES for options in options_of(name)]


def in_words(case) -> str:
    if isinstance(case, str):
        return case
    return ",".join(f"{key}={value}" for key, value in case.items())


def assert_back(twin, layer):
    """The twin is given back, but for what it has and never reads."""
    back = to_pyg(layer)
    unread = isinstance(twin, TransformerConv) and not twin.root_weight
    if unread:
        for module in (twin, back):
            module.lin_skip.reset_parameters()
            for p in module.lin_skip.parameters():
                p.data.zero_()
    assert_same_state(twin, back)
    keys = ("concat", "dropout", "edge_dim", "heads", "out_channels")
    assert all(getattr(back, key) == getattr(twin, key) for key in keys)
    return back


@pytest.mark.parametrize(("name", "options"), CASES, ids=in_words)
def test_on_one_graph(name, options):
    twin = drawn(NAMES[name](4, 2, heads=3, **options))
    attributes = ATTRIBUTES if twin.edge_dim else None
    edges = None if attributes is None else attributes[None]
    layer = from_pyg(twin)
    assert isinstance(layer, g.Attention)

    def call(twin, x):
        return twin(x[0], INDEX, attributes)[None]

    def hear(layer, x):
        return layer(g.Signal(x, GRAPH, edges=edges)).x

    assert_twins(twin, layer, values(1, 5, 4), call, hear, convert=from_pyg)
    back = assert_back(twin, layer)
    assert error(call(back, values(1, 5, 4)), call(twin, values(1, 5, 4))) < 1e-12


@pytest.mark.parametrize("channels", [(4, 4), (6, 4)])
@pytest.mark.parametrize("edge_dim", [None, 3])
@pytest.mark.parametrize("name", NAMES)
def test_between_two_signals(name, edge_dim, channels):
    """Bipartite: the senders have channels and projections of their own."""
    options = {} if name == "transformer" else {"residual": True}
    twin = drawn(NAMES[name](channels, 2, heads=3, edge_dim=edge_dim, **options))
    layer = from_pyg(twin)
    senders, receivers = values(5, channels[0]), values(5, channels[1], seed=1)
    senders.requires_grad_()
    receivers.requires_grad_()
    attributes = ATTRIBUTES if edge_dim else None
    edges = None if edge_dim is None else ATTRIBUTES[None]
    theirs = twin((senders, receivers), INDEX, attributes)
    at = g.Signal(receivers[None], GRAPH, edges=edges)
    ours = layer(at, g.Signal(senders[None], GRAPH)).x[0]
    assert error(ours, theirs) < 1e-10
    wanted = torch.autograd.grad(theirs.sin().sum(), (senders, receivers))
    found = torch.autograd.grad(ours.sin().sum(), (senders, receivers))
    assert max(error(a, b) for a, b in zip(found, wanted, strict=True)) < 1e-10
    assert_back(twin, layer)


@pytest.mark.parametrize("channels", [(4, 4), (6, 4)])
@pytest.mark.parametrize("name", NAMES)
def test_between_two_sets_of_nodes(name, channels):
    """A sampled block: six senders, three receivers, joined by a relation at the call."""
    options = {"root_weight": True} if name == "transformer" else {"add_self_loops": False}
    twin = drawn(NAMES[name](channels, 2, heads=3, **options))
    layer = from_pyg(twin)
    senders, receivers = values(6, channels[0]), values(3, channels[1], seed=1)
    index = torch.tensor([[0, 5, 2, 3, 3], [0, 0, 1, 1, 1]])
    theirs = twin((senders.requires_grad_(), receivers.requires_grad_()), index)
    block = g.relation(index, senders=6, receivers=3)
    at, by = g.Signal(receivers[None], g.Complete(3)), g.Signal(senders[None], g.Complete(6))
    ours = layer(at, by, rule=block).x[0]
    assert error(ours, theirs) < 1e-10
    wanted = torch.autograd.grad(theirs.sin().sum(), (senders, receivers))
    found = torch.autograd.grad(ours.sin().sum(), (senders, receivers))
    assert max(error(a, b) for a, b in zip(found, wanted, strict=True)) < 1e-10


@pytest.mark.parametrize("fill", [0.0, 0.7, "mean"])
def test_the_features_of_added_loops(fill):
    for kind in (GATConv, GATv2Conv):
        twin = drawn(kind(4, 2, heads=2, edge_dim=3, fill_value=fill))
        layer, x = from_pyg(twin), values(5, 4)
        found = layer(g.Signal(x[None], GRAPH, edges=ATTRIBUTES[None])).x[0]
        assert error(found, twin(x, INDEX, ATTRIBUTES)) < 1e-10
        assert to_pyg(layer).fill_value == fill


class TwoLayers(nn.Module):
    """A model of a user's, with features of edges where its layers read some."""

    def __init__(self, kind, edge_dim):
        super().__init__()
        self.first = kind(4, 2, heads=3, edge_dim=edge_dim)
        self.last = kind(6, 2, edge_dim=edge_dim)

    def forward(self, x, edge_index, edge_attr):
        h = self.first(x, edge_index, edge_attr).relu()
        return self.last(h, edge_index, edge_attr)


@pytest.mark.parametrize("edge_dim", [None, 3])
@pytest.mark.parametrize("name", NAMES)
def test_models_are_imported_whole(name, edge_dim):
    """Called as PyG calls them, and with a signal."""
    model = drawn(TwoLayers(NAMES[name], edge_dim))
    network, x = from_pyg(model), values(5, 4).requires_grad_()
    assert network.opaque() == {}
    inside = {type(part).__module__ for part in network.modules()}
    assert not any(module.startswith("torch_geometric") for module in inside)
    attributes = ATTRIBUTES if edge_dim else None
    wanted = model(x, INDEX, attributes)
    edges = None if attributes is None else attributes[None]
    plain, signal = network(x, INDEX, attributes), network(g.Signal(x[None], GRAPH, edges=edges))
    assert max(error(plain, wanted), error(signal.x[0], wanted)) < 1e-10
    (theirs,) = torch.autograd.grad(wanted.sin().sum(), x)
    for ours in (plain, signal.x[0]):
        assert error(torch.autograd.grad(ours.sin().sum(), x)[0], theirs) < 1e-10


def test_dropout_and_mode_are_kept():
    twin = GATConv(4, 2, dropout=0.3).eval()
    layer = from_pyg(twin)
    assert layer.dropout == 0.3 and not layer.training and not to_pyg(layer).training


def test_a_frozen_layer_stays_frozen():
    twin = GATv2Conv(4, 2).requires_grad_(False)
    layer = from_pyg(twin)
    assert not any(p.requires_grad for p in layer.parameters())
    assert not any(p.requires_grad for p in to_pyg(layer).parameters())
    twin.lin_l.requires_grad_()
    with pytest.raises(g.GeodlError, match="of which some are trained"):
        from_pyg(twin)


class Mine(GATConv):
    """Of a subclass nobody knows what it computes."""


FROM = {
    "slope": (lambda: GATConv(4, 2, negative_slope=0.1), "negative_slope=0.1"),
    "fill": (lambda: GATConv(4, 2, edge_dim=3, fill_value="max"), "fill_value='max'"),
    "flow": (lambda: GATConv(4, 2, flow="target_to_source"), "flow='target_to_source'"),
    "aggr": (lambda: TransformerConv(4, 2, aggr="max"), "aggr='max'"),
    "subclass": (lambda: Mine(4, 2), "a type with no converter"),
}


@pytest.mark.parametrize("name", FROM)
def test_what_has_no_layer_is_refused(name):
    make, words = FROM[name]
    with pytest.raises(g.GeodlError, match=words):
        from_pyg(make())


def attention(score="gat", rule=None, **options):
    options = {"out_proj": False, "bias": False} | options
    return g.Attention(4, rule or g.adjacency(), 2, score, **options)


TO = {
    "out_proj": (lambda: attention(out_proj=True), "out_proj"),
    "score": (lambda: attention("additive"), "the score 'additive'"),
    "relative": (lambda: attention(relative=True), "a relative bias"),
    "rotary": (lambda: attention("dot", g.past(), rotary=True), "positions"),
    "rule": (lambda: attention(rule=g.all_pairs()), r"all_pairs\(\), which PyG"),
    "biases": (lambda: attention("gatv2", bias="in"), "of the projections or of the answer alone"),
    "biases of gat": (lambda: attention(bias=True), "biases of its projections"),
    "gate": (lambda: attention(root="gated"), "a gate"),
    "widths": (
        lambda: attention("dot", head_dim=2, value_dim=3),
        "keys and values of two widths",
    ),
    "loops": (lambda: attention("dot", g.adjacency(self_loops=True)), "self-loops"),
    "loops that stay": (
        lambda: attention("gat", g.adjacency(self_loops=True), edge_channels=3),
        "which PyG's attention does not compute",
    ),
    "keys that are values": (lambda: attention("dot", projections=2), "keys that are values"),
}


@pytest.mark.parametrize("name", TO)
def test_what_has_no_twin_is_refused(name):
    make, words = TO[name]
    with pytest.raises(g.GeodlError, match=words):
        to_pyg(make())
