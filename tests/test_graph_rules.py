"""Rules over links: Laplacians of undirected links, self-loops as PyG leaves them, links without
their weights.
"""

import pytest
import scipy.sparse.csgraph as csgraph
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.utils import add_remaining_self_loops, get_laplacian

import geodl as g
from geodl.domain import DOMAINS
from geodl.neighborhood import Edges
from tests.strategies import graphs, two_way

HEAVY = g.Graph([[0, 1, 2, 2], [1, 2, 0, 2]], 4, edge_weight=[0.5, 2.0, 3.0, 7.0])


def written_out(edges: Edges, n: int) -> Tensor:
    """The edges as one matrix, receivers in rows."""
    values = torch.ones(len(edges.dst), dtype=torch.float64)
    if edges.weight is not None:
        values = edges.weight.double()
    matrix = torch.zeros(n, n, dtype=torch.float64)
    return matrix.index_put((edges.dst, edges.src), values, accumulate=True)


def dense(rule: g.Neighborhood, domain: g.Domain) -> Tensor:
    return written_out(rule.edges(domain), domain.num_nodes)


def undirected(domain: g.Domain) -> Tensor:
    """The symmetric matrix of undirected links, entry by entry."""
    a = torch.zeros(domain.num_nodes, domain.num_nodes, dtype=torch.float64)
    dst, src, weight = domain.links()
    for k, (i, j) in enumerate(zip(dst.tolist(), src.tolist(), strict=True)):
        a[i, j] += 1.0 if weight is None else float(weight[k])
    a.fill_diagonal_(0)
    return torch.maximum(a, a.T)


@pytest.mark.parametrize("norm", [None, "sym", "rw"])
@given(graph=graphs(types=False))
def test_laplacian_is_pygs_on_undirected_graphs(norm, graph):
    graph = two_way(graph)
    index, weight = get_laplacian(
        graph.edge_index,
        None if graph.edge_weight is None else graph.edge_weight.double(),
        normalization=norm,
        dtype=torch.float64,
        num_nodes=graph.num_nodes,
    )
    theirs = written_out(Edges(index[0], index[1], index[0], weight), graph.num_nodes)
    torch.testing.assert_close(dense(g.laplacian(norm), graph), theirs, rtol=0, atol=1e-12)


@given(graphs(types=False))
def test_laplacian_is_scipys(graph):
    graph = two_way(graph)
    a = undirected(graph).numpy()
    ours = dense(g.laplacian(), graph)
    torch.testing.assert_close(ours, torch.from_numpy(csgraph.laplacian(a)), rtol=0, atol=1e-12)
    linked = torch.from_numpy(a).sum(1) > 0  # scipy leaves isolated nodes a row of zeros
    theirs = torch.from_numpy(csgraph.laplacian(a, normed=True))
    ours = dense(g.laplacian("sym"), graph)
    torch.testing.assert_close(ours[linked], theirs[linked], rtol=0, atol=1e-12)
    assert ours[~linked].equal(torch.eye(len(a), dtype=torch.float64)[~linked])


@given(
    st.integers(1, 6),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.floats(0.1, 3)), max_size=12),
)
def test_laplacian_measures_smoothness(n, links):
    """x' L x is the sum over undirected edges, each once, given in one direction or in both."""
    once = {(min(i, j), max(i, j)): w for i, j, w in links if max(i, j) < n and i != j}
    pairs = [(i, j) if (i + j) % 2 else (j, i) for i, j in once]
    weights = list(once.values())
    x = torch.sin(torch.arange(n, dtype=torch.float64) * 1.7)
    wanted = sum((w * float(x[i] - x[j]) ** 2 for (i, j), w in once.items()), 0.0)
    index = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).T
    one_way = g.Graph(index, n, edge_weight=torch.tensor(weights, dtype=torch.float64))
    for graph in (one_way, two_way(one_way)):
        quadratic = float(x @ dense(g.laplacian(), graph) @ x)
        assert abs(quadratic - wanted) <= 1e-12 * max(1, wanted)


@pytest.mark.parametrize("domain", [d for kind in DOMAINS for d in kind.small()], ids=str)
def test_laplacian_of_every_domain(domain):
    a = undirected(domain)
    degree = a.sum(1)
    torch.testing.assert_close(dense(g.laplacian(), domain), degree.diag() - a)
    inverse = torch.where(degree > 0, 1 / degree, 0.0)
    eye = torch.eye(len(a), dtype=torch.float64)
    torch.testing.assert_close(dense(g.laplacian("rw"), domain), eye - inverse.diag() @ a)
    root = inverse.sqrt().diag()
    torch.testing.assert_close(dense(g.laplacian("sym"), domain), eye - root @ a @ root)


def test_laplacian_of_a_path_by_hand():
    wanted = [[1, -1, 0], [-1, 2, -1], [0, -1, 1]]
    assert dense(g.laplacian(), g.Chain(3)).tolist() == wanted
    assert dense(g.laplacian().reverse(), g.Chain(3)).tolist() == wanted
    assert dense(g.laplacian("rw").reverse(), g.Chain(3)).tolist() == [
        [1, -0.5, 0],
        [-1, 1, -1],
        [0, -0.5, 1],
    ]


def test_directions_and_parallel_links():
    weighed = [0.5, 0.25, 0.75, 2.0]
    parallel = g.Graph([[0, 0, 1, 2], [1, 1, 0, 2]], 3, edge_weight=weighed)
    assert dense(g.laplacian(), parallel).tolist() == [[0.75, -0.75, 0], [-0.75, 0.75, 0], [0] * 3]
    for index, weight in (
        ([[0, 1], [1, 0]], [1.0, 1.001]),
        ([[0, 1, 0], [1, 0, 1]], None),  # twice one way and once the other
        ([[0, 1], [1, 0]], [0.0, 1.0]),
    ):
        graph = g.Graph(index, 2, edge_weight=weight)
        with pytest.raises(g.GeodlError, match="a link of weight .* from 0 to 1 and .* back"):
            g.laplacian().edges(graph)
    rounded = g.Graph([[0, 1], [1, 0]], 2, edge_weight=[0.1, 0.1 + 1e-12])
    matrix = dense(g.laplacian("sym"), rounded)
    assert matrix.equal(matrix.T)


def test_negative_degrees():
    negative = g.Graph([[0], [1]], 3, edge_weight=[-2.0])
    assert dense(g.laplacian(), negative)[:2, :2].tolist() == [[-2, 2], [2, -2]]
    for norm in ("sym", "rw"):
        with pytest.raises(g.GeodlError, match="a negative degree, -2; use non-negative"):
            g.laplacian(norm).edges(negative)
    assert str(g.laplacian("rw")) == "laplacian('rw')"


def test_the_layer_over_a_laplacian():
    """An operator on each component of a union, on its kernel as on the reference."""
    layer, union = g.Conv(2, 3, g.laplacian()).double(), g.Batch([HEAVY, g.Chain(5)])
    s = g.Signal(torch.randn(2, 9, 2, dtype=torch.float64), union)
    assert layer.explain(union).lowering == "spmm"
    errors = g.testing.assert_parity(layer, s)
    assert "spmm" in errors
    parts = [layer(g.Signal(x, d)).x for x, d in zip(union.split(s.x), union.members, strict=True)]
    torch.testing.assert_close(layer(s).x, torch.cat(parts, 1), rtol=0, atol=1e-12)


@given(graphs(types=False))
def test_self_loops_are_those_of_pyg(graph):
    """The last loop of a node stays, a node without one gets a loop of weight 1."""
    weight = graph.edge_weight
    if weight is None:
        weight = torch.ones(graph.edge_index.shape[1])
    index, theirs = add_remaining_self_loops(graph.edge_index, weight.double(), 1.0, graph.count)
    wanted = written_out(Edges(index[1], index[0], index[0], theirs), graph.count)
    edges = g.adjacency(self_loops=True).edges(graph)
    assert written_out(edges, graph.count).equal(wanted)
    loops = edges.dst[edges.dst == edges.src]
    assert loops.sort().values.equal(torch.arange(graph.count)), "one loop a node"


def test_self_loops_by_hand():
    twice = g.Graph([[0, 1, 1, 1], [1, 0, 1, 1]], 3, edge_weight=[1.0, 2.0, 5.0, 0.25])
    assert dense(g.adjacency(self_loops=True), twice).tolist() == [
        [1, 2, 0],
        [1, 0.25, 0],
        [0, 0, 1],
    ]
    plain = g.Graph([[0, 0], [0, 0]], 2)
    assert dense(g.adjacency(self_loops=True), plain).tolist() == [[1, 0], [0, 1]]
    assert dense(g.adjacency(), plain).tolist() == [[2, 0], [0, 0]]


def test_loops_of_relations_stay():
    typed = g.Graph([[0, 0, 1], [0, 0, 0]], 2, edge_type=[0, 1, 1])
    edges = g.adjacency(self_loops=True, types=2).edges(typed)
    found = sorted(zip(edges.type.tolist(), edges.dst.tolist(), edges.src.tolist(), strict=True))
    assert found == [(0, 0, 0), (1, 0, 0), (1, 0, 1), (2, 1, 1)]


def test_gcn_on_repeated_self_loops_is_pygs():
    from torch_geometric.nn import GCNConv

    graph = g.Graph([[0, 1, 1, 1], [1, 0, 1, 1]])
    twin = GCNConv(3, 2).double()
    layer, x = g.interop.from_pyg(twin), torch.randn(1, 2, 3, dtype=torch.float64)
    theirs = twin(x[0], graph.edge_index)
    torch.testing.assert_close(layer(g.Signal(x, graph)).x[0], theirs, rtol=0, atol=1e-12)


def test_links_without_their_weights():
    plain = g.Graph(HEAVY.edge_index, 4)
    for norm in (None, "sym", "row"):
        for loops in (False, True):
            rule = g.adjacency(norm, loops, weights=False)
            assert dense(rule, HEAVY).equal(dense(g.adjacency(norm, loops), plain))
    assert g.adjacency(weights=False).edges(HEAVY).weight is None
    assert g.predecessors() == g.adjacency(weights=False)
    assert str(g.adjacency("sym", True, weights=False)) == (
        "adjacency('sym', self_loops=True, weights=False)"
    )
    s = g.Signal(torch.randn(1, 4, 2), HEAVY)
    for make in (lambda rule: g.Attention(2, rule, 1), lambda rule: g.Pool(rule, "max")):
        with pytest.raises(g.GeodlError, match=r"adjacency\(\) on .* use adjacency\(weights=False"):
            make(g.adjacency())(s)
        y = make(g.adjacency(weights=False))(s)
        assert y.x.shape == (1, 4, 2)
    pool = g.Pool(g.adjacency(weights=False), "max")
    assert pool(s).x.equal(pool(g.Signal(s.x, plain)).x)


def test_what_is_no_rule_over_links():
    for make, words in (
        (lambda: g.adjacency("laplacian"), r"a rule of its own; use laplacian\(\)"),
        (lambda: g.laplacian("symm"), "did you mean 'sym'"),
        (lambda: g.laplacian("row"), "choose from None, rw, sym|did you mean 'rw'"),
        (lambda: g.adjacency("sym", 1), "self_loops=1.*True, False or"),
        (lambda: g.adjacency(weights="no"), "weights='no'.*True or False"),
        (lambda: g.adjacency(types=0), "a positive number of types"),
        (lambda: g.adjacency(types=True), "a positive number of types"),
    ):
        with pytest.raises(g.GeodlError, match=words):
            make()
    assert g.adjacency(types=torch.tensor(2)) == g.adjacency(types=2)


@pytest.mark.parametrize(
    ("rule", "coarse", "fine"),
    [
        (g.whole(), g.Complete(1), g.Graph([[0, 1], [1, 2]], 5)),
        (g.whole(), g.Complete(2), g.Batch([g.Chain(2), g.Chain(3)])),
        (g.fiber(), g.Grid(3, 3), g.GroupGrid(g.Grid(3, 3), g.C(4))),
        (g.window(2, stride=2), g.Grid(3, 3), g.Grid(7, 7)),
    ],
    ids=str,
)
def test_a_reversed_rule_spreads_over_the_receiver_it_is_given(rule, coarse, fine):
    """It asks whether the rule maps the receivers to the senders, and guesses no size."""
    hub = g.Signal(torch.randn(2, coarse.num_nodes, 2), coarse)
    nodes = g.Signal(torch.zeros(2, fine.num_nodes, 2), fine)
    layer = g.Conv(2, 3, rule.reverse(), bias=False)
    y = layer(nodes, hub)
    assert y.domain == fine
    edges = rule.edges(fine)
    wanted = torch.zeros(2, fine.num_nodes, 3)
    for i, j, t in zip(edges.dst.tolist(), edges.src.tolist(), edges.type.tolist(), strict=True):
        wanted[:, j] += hub.x[:, i] @ layer.weight[t]
    torch.testing.assert_close(y.x, wanted)
    other = g.Signal(torch.zeros(2, 4, 2), g.Chain(4))
    with pytest.raises(g.GeodlError):
        g.Conv(2, 3, g.fiber().reverse())(other, hub)
