"""Polynomials of a rule's operator: their terms, PyG's ChebConv, and what is refused."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.nn import ChebConv

import geodl as g
from geodl.lowering.polynomial import bernstein_in_chebyshev
from geodl.neighborhood import Edges
from geodl.neighborhood.eigenvalue import DENSE
from geodl.testing import assert_equivariant, assert_lowered_to, assert_parity, error
from tests.strategies import graphs, two_way

RING = torch.arange(9)
INDEX = torch.stack((torch.cat((RING, RING[:2])), torch.cat(((RING + 1) % 9, RING[4:6]))))
WEIGHT = torch.linspace(0.5, 2.0, 11, dtype=torch.float64)
GRAPH = g.Graph(INDEX, 10, edge_weight=WEIGHT)  # node 9 has no links
PLAIN = g.Graph(INDEX, 10)


def values(domain: g.Domain, channels: int = 2, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = batch, domain.num_nodes, channels
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def matrix(edges: Edges, n: int) -> Tensor:
    entries = torch.ones(len(edges.dst), dtype=torch.float64)
    if edges.weight is not None:
        entries = edges.weight.double()
    zeros = torch.zeros(n, n, dtype=torch.float64)
    return zeros.index_put((edges.dst, edges.src), entries, accumulate=True)


def of_type(edges: Edges, k: int, n: int) -> Tensor:
    here = edges.type == k
    assert edges.weight is not None
    return matrix(Edges(edges.dst[here], edges.src[here], edges.type[here], edges.weight[here]), n)


TERMS = {
    # By the eigenvalues t of S: what each term is of them.
    "chebyshev": lambda k, order, t, largest: torch.cos(
        k * torch.acos((2 * t / largest - 1).clamp(-1, 1))
    ),
    "monomial": lambda k, order, t, largest: t**k,
    "bernstein": lambda k, order, t, largest: (
        math.comb(order, k) * (t / largest) ** k * (1 - t / largest) ** (order - k)
    ),
}


@pytest.mark.parametrize("basis", TERMS)
@pytest.mark.parametrize("norm", [None, "sym"])
def test_terms_are_functions_of_the_spectrum(basis, norm):
    order, n = 4, GRAPH.num_nodes
    frequencies, modes = torch.linalg.eigh(matrix(g.laplacian(norm).edges(GRAPH), n))
    largest = float(frequencies[-1]) if norm is None else 2.0
    edges = g.polynomial(g.laplacian(norm), order, basis).edges(GRAPH)
    for k in range(order + 1):
        response = TERMS[basis](k, order, frequencies, largest)
        wanted = modes @ (response[:, None] * modes.T)
        assert error(of_type(edges, k, n), wanted) < 1e-12


@pytest.mark.parametrize("normalization", ["sym", "rw", None])
@pytest.mark.parametrize("terms", [1, 2, 3, 6])
@given(graph=graphs(types=False))
def test_chebyshev_is_pygs(normalization, terms, graph):
    graph = two_way(graph)
    torch.manual_seed(0)
    twin = ChebConv(3, 2, terms, normalization).double()
    largest = None if normalization else 7.5
    base = g.laplacian(normalization)
    if normalization == "rw":
        base = base.reverse()  # PyG divides by the degrees of the senders
    layer = g.Conv(3, 2, g.polynomial(base, terms - 1, lambda_max=largest)).double()
    with torch.no_grad():
        twin.bias.normal_()
        layer.weight.copy_(torch.stack([linear.weight.T for linear in twin.lins]))
        layer.bias.copy_(twin.bias)
    x, flat = (values(graph, 3, 1).requires_grad_() for _ in range(2))
    y = layer(g.Signal(x, graph)).x
    weight = graph.edge_weight
    if weight is not None:
        weight = weight.double()
    z = twin(flat[0], graph.edge_index, weight, lambda_max=torch.tensor(largest or 2.0))
    up = torch.randn_like(z)
    ours = torch.autograd.grad(y[0], [x, layer.weight, layer.bias], up)
    theirs = torch.autograd.grad(z, [flat, *(lin.weight for lin in twin.lins), twin.bias], up)
    assert error(y[0], z) < 1e-10 and error(ours[0], theirs[0]) < 1e-10
    stacked = torch.stack([grad.T for grad in theirs[1:-1]])
    assert error(ours[1], stacked) < 1e-10 and error(ours[2], theirs[-1]) < 1e-10


def test_powers_are_repeated_propagation():
    hop, x = g.adjacency("sym", self_loops=True), g.Signal(values(GRAPH), GRAPH)
    layer = g.Conv(2, 2, g.polynomial(hop, 3, "monomial"), bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(torch.zeros(4, 2, 2))
        layer.weight[3] = torch.eye(2)
    wanted = x
    for _ in range(3):
        wanted = g.Propagate(hop)(wanted)
    assert error(layer(x).x, wanted.x) < 1e-12


@given(st.integers(0, 12))
def test_bernstein_polynomials_in_chebyshevs(order):
    t = torch.linspace(0, 1, 50, dtype=torch.float64)
    chebyshev = torch.cos(torch.arange(order + 1)[:, None] * torch.acos(2 * t - 1))
    found = bernstein_in_chebyshev(order)
    wanted = [math.comb(order, k) * t**k * (1 - t) ** (order - k) for k in range(order + 1)]
    assert error(found @ chebyshev, torch.stack(wanted)) < 1e-12
    assert float(found.abs().max()) <= 1


@pytest.mark.parametrize("basis", ["chebyshev", "bernstein"])
def test_high_orders_stay_exact_in_single_precision(basis):
    rule = g.polynomial(g.laplacian("sym"), 15, basis)
    layer, x = g.Conv(2, 2, rule), values(PLAIN)
    exact = g.Conv(2, 2, rule).double()
    exact.load_state_dict(layer.state_dict())
    y = layer(g.Signal(x.float(), PLAIN)).x
    assert error(y.double(), exact(g.Signal(x, PLAIN)).x) < 1e-5


def test_each_member_of_a_union_is_scaled_by_its_own_eigenvalue():
    other = g.Graph([[0, 1, 2], [1, 2, 0]], 4, edge_weight=[9.0, 9.0, 9.0])
    layer = g.Conv(2, 3, g.polynomial(g.laplacian(), 3)).double()
    union = g.Batch([GRAPH, other])
    x = values(union)
    together = layer(g.Signal(x, union)).x
    alone = [
        layer(g.Signal(part, d)).x for part, d in zip(union.split(x), (GRAPH, other), strict=True)
    ]
    assert error(together, torch.cat(alone, 1)) < 1e-12


def test_the_largest_eigenvalue_of_a_large_graph_is_found_by_products():
    n = DENSE + 100
    grid = g.Grid(n // 4, 4)
    index = torch.stack(grid.links()[:2])
    graph = g.Graph(index, grid.num_nodes)
    sides = [4 * math.sin(math.pi * (k - 1) / (2 * k)) ** 2 for k in grid.lattice]
    found = g.laplacian().largest_eigenvalues(graph)
    assert grid.num_nodes > DENSE
    assert abs(float(found) - sum(sides)) < 1e-9
    assert g.laplacian().largest_eigenvalues(graph) is found


def test_a_domain_without_links_has_the_operator_zero():
    bare = g.Graph([[], []], 3)
    layer = g.Conv(2, 2, g.polynomial(g.laplacian(), 2)).double()
    assert_parity(layer, g.Signal(values(bare), bare))


def test_sparse_features():
    dense = torch.eye(10, 4, dtype=torch.float64) + torch.eye(10, 4, dtype=torch.float64).roll(1, 1)
    for basis in TERMS:
        layer = g.Conv(4, 6, g.polynomial(g.laplacian("sym"), 3, basis)).double()
        sparse = g.Signal(dense.to_sparse_csr(), GRAPH)
        assert_lowered_to("polynomial", layer, sparse)
        y, wanted = layer(sparse).x, layer(g.Signal(dense[None], GRAPH)).x
        up = torch.randn_like(y)
        ours = torch.autograd.grad(y, list(layer.parameters()), up)
        theirs = torch.autograd.grad(wanted, list(layer.parameters()), up)
        assert error(y, wanted) < 1e-12
        assert max(map(error, ours, theirs)) < 1e-12


def test_filters_of_a_torus_are_certified():
    torus = g.Grid(4, 4, periodic=True)
    layer = g.Conv(2, 2, g.polynomial(g.laplacian("sym"), 2)).double()
    assert g.certify(layer, torus).exact
    assert_equivariant(layer, g.Signal(values(torus), torus))


@pytest.mark.parametrize("channels", [(2, 3), (3, 2)])
@pytest.mark.parametrize("basis", TERMS)
def test_second_derivatives_and_transforms(channels, basis):
    layer = g.Conv(*channels, g.polynomial(g.laplacian("sym"), 3, basis)).double()
    x = values(GRAPH, channels[0], 1).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: layer(g.Signal(x, GRAPH)).x.sin(), x)

    def loss(x: Tensor) -> Tensor:
        return layer(g.Signal(x[None], GRAPH)).x.square().sum()

    batch = values(GRAPH, channels[0], 3)
    each = torch.func.vmap(torch.func.grad(loss))(batch)
    for found, one in zip(each, batch, strict=True):
        one = one.clone().requires_grad_()
        assert error(found, torch.autograd.grad(loss(one), one)[0]) < 1e-10


def test_the_bases_of_a_row_are_drawn_as_pygs():
    layer, twin = g.Conv(40, 50, g.polynomial(g.laplacian("sym"), 2)), ChebConv(40, 50, 3)
    bound = math.sqrt(6 / 90)
    for weight in (layer.weight, twin.lins[0].weight):
        assert 0.98 * bound < float(weight.detach().abs().max()) < 1.001 * bound
    assert not layer.bias.any()


REFUSED = {
    "negative order": (lambda: g.polynomial(g.laplacian(), -1), "the order -1; give an integer"),
    "order and a half": (lambda: g.polynomial(g.laplacian(), 1.5), "the order 1.5"),
    "types": (
        lambda: g.polynomial(g.window(3), 2),
        "a rule with 9 edge types; choose a rule with one",
    ),
    "relations": (lambda: g.polynomial(g.adjacency(types=2), 2), "a rule with 2 edge types"),
    "types of the domain": (
        lambda: g.polynomial(g.all_pairs("offset"), 2),
        "a rule whose edge types the domain decides",
    ),
    "no rule": (lambda: g.polynomial(3, 2), "a int; give a rule"),
    "a basis": (lambda: g.polynomial(g.laplacian(), 2, "chebychev"), "did you mean 'chebyshev'"),
    "an unknown eigenvalue": (
        lambda: g.polynomial(g.adjacency("sym"), 2),
        "whose largest eigenvalue is not known; name lambda_max=",
    ),
    "no positive eigenvalue": (
        lambda: g.polynomial(g.laplacian(), 2, lambda_max=0.0),
        "give a positive number",
    ),
    "eigenvalue of powers": (
        lambda: g.polynomial(g.laplacian(), 2, "monomial", lambda_max=2.0),
        "powers, which are not scaled; leave it out",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    make, words = REFUSED[name]
    with pytest.raises(g.GeodlError, match=words):
        make()


def test_a_rule_that_leaves_its_domain_has_no_powers():
    layer = g.Conv(2, 2, g.polynomial(g.whole(), 2, "monomial"))
    with pytest.raises(g.GeodlError, match="powers need a rule that stays on its domain"):
        layer(g.Signal(torch.zeros(1, 4, 2), g.Chain(4)))


def test_powers_of_large_graphs_are_not_written_out():
    large = g.Graph([[0], [1]], 6000)
    rule = g.polynomial(g.laplacian("sym"), 2)
    with pytest.raises(g.GeodlError, match='use the lowering "polynomial", which writes none out'):
        rule.edges(large)
    y = g.Conv(1, 1, rule)(g.Signal(torch.zeros(1, 6000, 1), large))
    assert y.x.shape == (1, 6000, 1)


def test_how_a_rule_reads():
    rule = g.polynomial(g.laplacian("rw"), 2, "bernstein", lambda_max=1.5)
    assert str(rule) == "polynomial(laplacian('rw'), 2, 'bernstein', lambda_max=1.5)"
    assert rule == g.polynomial(g.laplacian("rw"), 2, "bernstein", lambda_max=1.5)
    assert hash(rule) != hash(g.polynomial(g.laplacian("rw"), 3))
