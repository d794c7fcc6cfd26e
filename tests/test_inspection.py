"""What an answer depends on is found by every method: on graphs whose answer depends on one known
link, and by finite differences.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import geodl as g
from geodl import inspection
from geodl.testing import error

# Node 5 answers by what comes over the link 2 -> 5; the other links into it bring nothing that
# speaks for a class.
LINKS = torch.tensor([[0, 1, 2, 3, 4, 5, 2, 0], [5, 5, 5, 5, 5, 4, 1, 3]])
PLANTED, NODE = 2, 5
GRAPH = g.Graph(LINKS, 6)


def planted() -> g.Signal:
    """Node 2 alone speaks for class 1; all the others say as much for both."""
    x = torch.ones(1, 6, 2, dtype=torch.float64)
    x[0, PLANTED] = torch.tensor([0.0, 9.0])
    return g.Signal(x, GRAPH)


def smooth_network(rule: g.Neighborhood) -> g.Sequential:
    torch.manual_seed(0)
    layers = g.Conv(2, 5, rule), nn.Tanh(), g.Conv(5, 3, rule)
    return g.Sequential(*layers).double()


def scored() -> g.Layer:
    """Class 1 minus what both classes share: the derivative names the link that matters."""
    layer = g.Conv(2, 2, g.adjacency(), bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[[1.0, -1.0], [-1.0, 1.0]]]))
    return layer


LOOKS: dict[str, Callable[[g.Layer, g.Signal], Tensor | None]] = {
    "saliency": lambda model, s: inspection.saliency(model, s, NODE).edges,
    "integrated": lambda model, s: inspection.integrated_gradients(model, s, NODE).edges,
    "mask": lambda model, s: inspection.gnn_explainer(model, s, NODE).edges,
}


@pytest.mark.parametrize("name", LOOKS)
def test_the_one_link_that_matters_is_found(name):
    found = LOOKS[name](scored(), planted())
    assert found is not None and found.shape == (8,)
    assert int(found.argmax()) == PLANTED
    rest = torch.cat((found[:PLANTED], found[PLANTED + 1 :]))
    assert float(rest.abs().max()) < 0.1 * float(found[PLANTED])


def test_the_one_node_that_matters_is_found():
    model, signal = scored(), planted()
    for look in (inspection.integrated_gradients, inspection.gnn_explainer):
        nodes = look(model, signal, NODE).nodes.sum(-1)
        assert int(nodes.argmax()) == PLANTED, look.__name__


def test_attention_finds_the_one_link_that_is_heard():
    signal = planted()
    layer = g.Attention(2, g.adjacency(), 1, "gat", out_proj=False, bias=False).double()
    with torch.no_grad():
        layer.in_proj_weight.copy_(torch.eye(2))
        layer.score_vectors.copy_(torch.tensor([[[0.0, 0.0]], [[0.0, 1.0]]]))
    (found,) = inspection.attention_on_edges(layer, signal)
    on_links = found.on_links(8)
    into = LINKS[1] == NODE
    assert error(on_links[~into], torch.ones(3, dtype=torch.float64)) < 1e-12, "one sender each"
    assert int((on_links * into).argmax()) == PLANTED
    assert error(on_links[into].sum(), torch.ones((), dtype=torch.float64)) < 1e-12


def test_loops_that_a_rule_adds_are_no_links():
    torch.manual_seed(0)
    model = g.models.gat(2, 8, 3, heads=2).double()
    first, last = inspection.attention_on_edges(model, planted())
    assert (first.weights.shape, last.weights.shape) == ((14, 2), (14, 1))
    assert first.edges.link is not None and int((first.edges.link < 0).sum()) == 6
    assert float(first.on_links(8).sum()) < float(first.weights.mean(-1).sum()) - 0.1
    assert [layer.path for layer in (first, last)] == ["1", "4"]


@pytest.mark.parametrize("rule", [g.adjacency("sym", self_loops=True), g.adjacency("row")], ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_gradients_are_finite_differences(rule, weighted):
    both_ways = torch.tensor([[0, 1, 1, 2, 2, 3, 3, 0], [1, 0, 2, 1, 3, 2, 0, 3]])
    w = torch.ones(8, dtype=torch.float64)
    if weighted:
        w = torch.arange(1.0, 5.0, dtype=torch.float64).repeat_interleave(2)
    graph = g.Graph(both_ways, 4, edge_weight=w if weighted else None)
    x = torch.randn(1, 4, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    model = smooth_network(rule)
    found = inspection.saliency(model, g.Signal(x, graph), 1, 2)
    assert found.edges is not None

    def score(x: Tensor, w: Tensor) -> float:
        return float(model(g.Signal(x, graph.with_weights(w))).x[0, 1, 2].detach())

    step = 1e-6
    for j in range(4):
        for c in range(2):
            moved = torch.zeros_like(x)
            moved[0, j, c] = step
            slope = (score(x + moved, w) - score(x - moved, w)) / (2 * step)
            assert abs(slope - float(found.nodes[j, c])) < 1e-7
    for e in range(8):
        moved = torch.zeros_like(w)
        moved[e] = step
        slope = (score(x, w + moved) - score(x, w - moved)) / (2 * step)
        assert abs(slope - float(found.edges[e])) < 1e-7


def test_integrated_gradients_are_complete():
    model, signal = smooth_network(g.adjacency("sym", self_loops=True)), planted()
    found = inspection.integrated_gradients(model, signal, NODE, 0, steps=100)
    zeros, none = torch.zeros_like(signal.x), GRAPH.with_weights(torch.zeros(8).double())
    whole = model(signal).x[0, NODE, 0]
    assert found.edges is not None
    assert error(found.nodes.sum(), whole - model(g.Signal(zeros, GRAPH)).x[0, NODE, 0]) < 1e-3
    assert error(found.edges.sum(), whole - model(g.Signal(signal.x, none)).x[0, NODE, 0]) < 1e-3


def test_a_change_below_the_rounding_of_scores_misses_nothing():
    faint = g.Graph([[0], [1]], 2, edge_weight=[1e-30])
    model = g.Conv(1, 1, g.adjacency()).double()
    nn.init.ones_(model.weight)
    nn.init.ones_(model.bias)
    found = inspection.integrated_gradients(model, g.Signal(torch.ones(1, 2, 1).double(), faint), 1)
    assert error(found.edges, torch.tensor([1e-30]).double()) < 1e-40


def test_the_parts_of_a_mask_are_the_objective():
    """With no term for size what helps stays; where size is all that counts, nothing does."""
    found = inspection.gnn_explainer(scored(), planted(), NODE, 1, size=0.0, entropy=0.0)
    assert found.edges is not None and float(found.edges[PLANTED]) > 0.75
    bare = inspection.gnn_explainer(scored(), planted(), NODE, 1, size=10.0)
    assert bare.edges is not None and float(bare.edges.max()) < 0.1
    out_of_reach = LINKS[1] != NODE
    assert float(found.edges[out_of_reach].abs().max()) == 0


def test_masks_of_both_directions_agree_as_a_laplacian_wants():
    graph = both_ways(6)
    model = smooth_network(g.polynomial(g.laplacian("sym"), 2))
    found = inspection.gnn_explainer(model, g.Signal(SIGNAL.x, graph), 0, steps=20)
    assert found.edges is not None and torch.equal(found.edges[:6], found.edges[6:])
    assert len(found.edges.unique()) > 2


def test_graph_answers_sparse_values_and_other_domains():
    signal = planted()
    model = g.Sequential(scored(), g.Readout("mean"))
    whole = inspection.saliency(model, signal, 0, 1)
    assert whole.edges is not None and int(whole.edges.argmax()) in (PLANTED, 6)
    sparse = g.Signal(signal.x[0].to_sparse_csr(), GRAPH)
    assert torch.equal(inspection.saliency(model, sparse, 0, 1).nodes, whole.nodes)
    image = g.Signal.image(torch.rand(1, 2, 4, 4))
    found = inspection.saliency(g.Conv(2, 3, g.window(3)), image, node=5)
    assert found.edges is None
    assert int((found.nodes != 0).any(-1).sum()) == 9


def test_a_model_is_left_as_it_was():
    model = g.Sequential(g.Dropout(0.5), scored())
    model.train()
    with torch.no_grad():
        first, second = (inspection.saliency(model, planted(), NODE).nodes for _ in range(2))
    assert torch.equal(first, second)
    assert model.training and all(p.grad is None for p in model.parameters())
    inspection.gnn_explainer(model, planted(), NODE, steps=2)
    assert all(p.grad is None for p in model.parameters())


def test_attention_over_links_has_gradients_of_nodes_alone():
    layer = g.Attention(2, g.adjacency(), 1).double()
    found = inspection.saliency(layer, planted(), NODE)
    assert found.edges is None and float(found.nodes[:5].abs().min()) > 0


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_layers_see_as_many_hops(depth):
    rule = g.adjacency(self_loops=True)
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [g.Conv(2, 2, rule), nn.Tanh()]
    model = g.Sequential(*layers).double()
    a = torch.eye(6)
    a[LINKS[1], LINKS[0]] = 1
    for node in range(6):
        found = inspection.receptive_field(model, planted(), node)
        assert torch.equal(found > 0, torch.linalg.matrix_power(a, depth)[node] > 0)


def test_influence_is_the_sum_of_the_jacobian():
    model, signal = smooth_network(g.adjacency("sym", self_loops=True)), planted()
    jacobian = torch.func.jacrev(lambda x: model(g.Signal(x, GRAPH)).x[0, NODE])(signal.x)
    found = inspection.receptive_field(model, signal, NODE)
    assert error(found, jacobian.abs().sum((0, 1, 3))) < 1e-12


def both_ways(n: int) -> g.Graph:
    ring = torch.arange(n)
    there = torch.stack((ring, (ring + 1) % n))
    return g.Graph(torch.cat((there, there.flip(0)), 1), n)


def test_energy_is_the_quadratic_form_of_the_laplacian():
    graph, x = both_ways(7), torch.randn(2, 7, 3, dtype=torch.float64)
    signal = g.Signal(x, graph)
    form = (x * g.Propagate(g.laplacian())(signal).x).sum((1, 2))
    assert error(inspection.dirichlet_energy(signal, norm=None), form) < 1e-12
    # With one loop more at each node: x'x - x' D~^-1/2 (A + I) D~^-1/2 x.
    spread = g.Propagate(g.adjacency("sym", self_loops=True))(signal).x
    form = (x * (x - spread)).sum((1, 2))
    assert error(inspection.dirichlet_energy(signal), form) < 1e-12


def test_a_path_has_one_energy_however_its_links_are_given():
    x = torch.tensor([[[0.0], [1.0], [3.0]]])
    one_way, both = g.Graph([[0, 1], [1, 2]], 3), g.Graph([[0, 1, 2, 1], [1, 0, 1, 2]], 3)
    for path in (g.Chain(3), g.Grid(3), one_way, both):
        assert float(inspection.dirichlet_energy(g.Signal(x, path), norm=None)) == 5.0
    assert not inspection.dirichlet_energy(g.Signal(x, g.Graph([[], []], 3)), norm=None)


def test_deep_networks_over_smooth_and_residual_ones_less():
    torch.manual_seed(0)
    signal = g.Signal(torch.randn(1, 40, 8), both_ways(40))
    plain = g.models.gcn(*[8] * 17, dropout=0.0)
    curve = inspection.smoothing(plain, signal)
    assert len(curve) == 17
    assert curve[0] > 0.3 and curve[-1] < 0.1 * curve[0]
    kept = inspection.smoothing(g.models.gcnii(8, 8, 8, depth=16, alpha=0.5), signal)
    assert len(kept) >= 17 and min(kept[:-1]) > 3 * curve[-2]


SIGNAL = planted()
BATCH = g.Signal(torch.zeros(2, 6, 2), GRAPH)


class Root(nn.Module):
    """A function without a finite slope at 0."""

    def forward(self, x: Tensor) -> Tensor:
        return x.abs().sqrt()


ZEROS = SIGNAL.map(torch.zeros_like)
TWO_GRAPHS = g.collate([SIGNAL, g.Signal(SIGNAL.x[:, :2], g.Graph([[0], [1]]))])
MLP = g.models.mlp(2, 3).double()
MEAN = g.Propagate(g.adjacency("row"))
ATTENTION = g.Attention(2, g.adjacency(), 1).double()


class Rounded(g.Layer):
    """Answers by a step, which has no derivative."""

    def compute(self, receiver, sender, rule):
        return receiver.with_x((receiver.x > 0).double())


REFUSALS = {
    "a node beyond the last": (
        lambda: inspection.saliency(scored(), SIGNAL, 6),
        "node=6 of an answer with 6; give a number from 0 to 5",
    ),
    "a negative node": (lambda: inspection.receptive_field(MLP, SIGNAL, -1), "node=-1"),
    "a node by name": (lambda: inspection.saliency(MLP, SIGNAL, "a"), "node='a'"),
    "a class that is none": (
        lambda: inspection.integrated_gradients(scored(), SIGNAL, 0, 2),
        "channel=2 of an answer with 2",
    ),
    "NaN": (lambda: inspection.saliency(MLP, SIGNAL.map(lambda x: x / 0 * 0), 0), "are NaN"),
    "a batch": (lambda: inspection.saliency(MLP, BATCH, 0), r"values \[2, 6, 2\]"),
    "tokens": (
        lambda: inspection.saliency(MLP, g.Signal.tokens(torch.zeros(1, 3).long()), 0),
        "torch.int64; give one signal",
    ),
    "a tensor": (lambda: inspection.attention_on_edges(MLP, SIGNAL.x), "a Tensor"),
    "a function as model": (lambda: inspection.saliency(len, SIGNAL, 0), "give a module"),
    "steps of none": (
        lambda: inspection.integrated_gradients(scored(), SIGNAL, 0, steps=0),
        "the size 0",
    ),
    "a model without a derivative": (
        lambda: inspection.saliency(Rounded(), SIGNAL, 0),
        "without a derivative",
    ),
    "a jump at weights of zero": (
        lambda: inspection.integrated_gradients(MEAN, SIGNAL, NODE),
        "links that explain .* self_loops=True",
    ),
    "a mask for a model that reads no graph": (
        lambda: inspection.gnn_explainer(MLP, SIGNAL, 0),
        "does not read the weights of links",
    ),
    "a mask for attention": (
        lambda: inspection.gnn_explainer(g.models.gat(2, 8, 2).double(), SIGNAL, 0),
        "see attention_on_edges",
    ),
    "a mask on a Batch": (
        lambda: inspection.gnn_explainer(scored(), TWO_GRAPHS, 0),
        "take no weights at run time; give a signal on one Graph",
    ),
    "a mask without links": (
        lambda: inspection.gnn_explainer(scored(), g.Signal(SIGNAL.x, g.Graph([[], []], 6)), 0),
        "which has no links",
    ),
    "a mask for a node without links": (
        lambda: inspection.gnn_explainer(scored(), SIGNAL, 0),
        "depends on no link",
    ),
    "a mask for a derivative that is infinite": (
        lambda: inspection.gnn_explainer(g.Sequential(scored(), g.Pointwise(Root())), ZEROS, NODE),
        "derivative is NaN or infinite; look for roots",
    ),
    "a mask for one score": (
        lambda: inspection.gnn_explainer(g.Conv(2, 1, g.adjacency()).double(), SIGNAL, NODE),
        "an answer of one channel",
    ),
    "a negative size": (
        lambda: inspection.gnn_explainer(scored(), SIGNAL, NODE, size=-1.0),
        "size=-1.0",
    ),
    "no attention": (
        lambda: inspection.attention_on_edges(scored(), SIGNAL),
        "no attention in Conv",
    ),
    "attention that is over no links": (
        lambda: inspection.attention_on_edges(g.Attention(2, g.all_pairs(), 1).double(), SIGNAL)[
            0
        ].on_links(8),
        "all_pairs.* edges that are no links",
    ),
    "attention without edges": (
        lambda: inspection.attention_on_edges(ATTENTION, g.Signal(SIGNAL.x, g.Graph([[], []], 6))),
        "no edge to weigh; give a domain with edges",
    ),
    "a negative degree": (
        lambda: inspection.dirichlet_energy(g.Signal(SIGNAL.x, GRAPH.with_weights(-torch.ones(8)))),
        "a degree of -.* use non-negative weights, or norm=None",
    ),
    "no layer over links": (lambda: inspection.smoothing(MLP, SIGNAL), "no layer over links"),
    "an unknown norm": (
        lambda: inspection.dirichlet_energy(SIGNAL, norm="row"),
        "norm='row'",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_looked_at_is_refused_in_words(name):
    look, words = REFUSALS[name]
    with pytest.raises(g.GeodlError, match=words):
        look()
