"""Edge weights that come with each call: the same numbers as a graph that keeps them, and gradients
to them through every norm.
"""

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

import geodl as g
from geodl.neighborhood import Neighborhood, Polynomial
from geodl.testing import assert_lowered_to, error
from tests.strategies import graphs

INDEX = torch.tensor([[0, 1, 2, 3, 1, 1, 2, 2], [1, 2, 3, 0, 3, 1, 2, 2]])
KINDS = [0, 1, 0, 1, 1, 0, 0, 1]
GRAPH = g.Graph(INDEX, 5, edge_type=KINDS)  # parallel loops at node 2; node 4 has no links
# Each pair once, so that no two weights have to agree.
TREE = g.Graph([[0, 1, 1, 3], [1, 2, 3, 3]], 5)

RULES = {
    "plain": g.adjacency(),
    "loops": g.adjacency(self_loops=True),
    "sym": g.adjacency("sym"),
    "sym with loops": g.adjacency("sym", self_loops=True),
    "row": g.adjacency("row"),
    "row with loops": g.adjacency("row", self_loops=True),
    "relations": g.adjacency(types=2),
    "relations by row": g.adjacency("row", self_loops=True, types=2),
    "relations by sym": g.adjacency("sym", self_loops=True, types=2),
    "reversed": g.adjacency("row", self_loops=True).reverse(),
    "powers": g.polynomial(g.adjacency("sym", self_loops=True), 3, "monomial"),
}
LAPLACIANS = {
    "laplacian": g.laplacian(),
    "laplacian sym": g.laplacian("sym"),
    "laplacian rw": g.laplacian("rw"),
    "laplacian reversed": g.laplacian("rw").reverse(),
    "chebyshev": g.polynomial(g.laplacian("sym"), 3),
    "chebyshev, scaled": g.polynomial(g.laplacian(), 2, lambda_max=5.0),
    "bernstein": g.polynomial(g.laplacian("rw"), 2, "bernstein"),
}
ALL = {name: (rule, GRAPH) for name, rule in RULES.items()}
ALL |= {name: (rule, TREE) for name, rule in LAPLACIANS.items()}


def values(n: int, channels: int = 2, batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, n, channels, generator=generator, dtype=torch.float64)


def weights(graph: g.Domain, *batch: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = *batch, graph.num_links
    return torch.rand(shape, generator=generator, dtype=torch.float64) + 0.5


def layer_over(rule: Neighborhood, channels: tuple[int, int] = (2, 3), groups: int = 1) -> g.Conv:
    torch.manual_seed(0)
    return g.Conv(*channels, rule, groups=groups).double()


def learned(layer: nn.Module, x: Tensor, graph: g.Graph, w: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The answer, and the gradients of x, w and every parameter."""
    x, w = x.clone().requires_grad_(), w.clone().requires_grad_()
    y = layer(g.Signal(x, graph.with_weights(w))).x
    up = torch.randn(y.shape, generator=torch.Generator().manual_seed(2), dtype=y.dtype)
    return y, list(torch.autograd.grad(y, [x, w, *layer.parameters()], up))


def lowering_of(rule: Neighborhood) -> str:
    kinds = {type(record) for record in rule.structures(TREE, TREE)}
    return "polynomial" if Polynomial in kinds else "spmm"


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("channels", [(2, 3, 1), (3, 2, 1), (4, 2, 2)])
@pytest.mark.parametrize("batch", [0, 1, 3])
@pytest.mark.parametrize("rows", [False, True])
def test_values_and_gradients_are_the_references(name, channels, batch, rows):
    rule, graph = ALL[name]
    layer = layer_over(rule, channels[:2], channels[2])
    x = values(5, channels[0], batch)
    w = weights(graph, *[batch] * rows)
    assert_lowered_to(lowering_of(rule), layer, g.Signal(x, graph.with_weights(w)))
    y, ours = learned(layer, x, graph, w)
    for lowering in ("spmm", "edges"):
        layer.lowering = lowering
        wanted, theirs = learned(layer, x, graph, w)
        assert error(y, wanted) < 1e-10
        assert max(map(error, ours, theirs)) < 1e-10


@pytest.mark.parametrize("name", ALL)
def test_the_numbers_are_those_of_a_graph_that_keeps_them(name):
    rule, graph = ALL[name]
    layer, x, w = layer_over(rule), values(5, 2, 2), weights(graph)
    kept = g.Graph(graph.edge_index, 5, edge_weight=w, edge_type=graph.edge_type)
    twin = graph.with_weights(w)
    assert error(layer(g.Signal(x, twin)).x, layer(g.Signal(x, kept)).x) < 1e-12
    ours, theirs = rule.edges(twin), rule.edges(kept)
    assert all(torch.equal(a, b) for a, b in zip(ours[:3], theirs[:3], strict=True))
    assert ours.weight is not None and theirs.weight is not None
    assert error(ours.weight, theirs.weight) < 1e-12


def dense(graph: g.Graph, w: Tensor) -> Tensor:
    """A of a graph, receivers in rows."""
    zeros = w.new_zeros(graph.num_nodes, graph.num_nodes)
    return zeros.index_put((graph.edge_index[1], graph.edge_index[0]), w, accumulate=True)


def loops_of_one(graph: g.Graph, w: Tensor) -> Tensor:
    """A with one loop a node: the last one given, else 1."""
    loops = torch.ones(graph.num_nodes, dtype=w.dtype)
    for k, (j, i) in enumerate(graph.edge_index.T.tolist()):
        if i == j:
            loops = loops.index_put((torch.tensor(i),), w[k])
    a = dense(graph, w)
    return a - torch.diag(torch.diag(a)) + torch.diag(loops)


def by_sym(a: Tensor) -> Tensor:
    root = a.sum(1) ** -0.5
    return root[:, None] * a * root


def laplacian_of(graph: g.Graph, w: Tensor) -> Tensor:
    a = dense(graph, w)
    a = a - torch.diag(torch.diag(a))
    both = a + a.T
    return torch.diag(both.sum(1)) - both


FORMULAS: dict[str, Callable[[g.Graph, Tensor], Tensor]] = {
    "plain": dense,
    "loops": loops_of_one,
    "sym with loops": lambda graph, w: by_sym(loops_of_one(graph, w)),
    "row with loops": lambda graph, w: (
        loops_of_one(graph, w) / loops_of_one(graph, w).sum(1, keepdim=True)
    ),
    "laplacian": laplacian_of,
}


@pytest.mark.parametrize("name", FORMULAS)
def test_gradients_are_those_of_the_formula(name):
    rule, graph = ALL[name]
    x, w = values(5), weights(graph).requires_grad_()
    y = g.Propagate(rule)(g.Signal(x, graph.with_weights(w))).x
    z = FORMULAS[name](graph, w) @ x
    up = torch.randn_like(z)
    (ours,), (theirs,) = (torch.autograd.grad(out, w, up) for out in (y, z))
    assert error(y, z) < 1e-12 and error(ours, theirs) < 1e-12
    assert float(ours.abs().max()) > 1e-3


@pytest.mark.parametrize("name", ALL)
def test_derivatives_of_derivatives(name):
    rule, graph = ALL[name]
    layer, x, w = layer_over(rule, (2, 2)), values(5), weights(graph)

    def run(x: Tensor, w: Tensor) -> Tensor:
        return layer(g.Signal(x, graph.with_weights(w))).x.sin()

    leaves = x.requires_grad_(), w.requires_grad_()
    assert torch.autograd.gradcheck(run, leaves)
    assert torch.autograd.gradgradcheck(run, leaves)


@pytest.mark.parametrize("name", ALL)
def test_transforms_of_functions_of_the_weights(name):
    rule, graph = ALL[name]
    layer, x = layer_over(rule), values(5, 2, 2)

    def loss(w: Tensor) -> Tensor:
        return layer(g.Signal(x, graph.with_weights(w))).x.square().sum()

    several = weights(graph, 3)
    each = torch.func.vmap(torch.func.grad(loss))(several)
    for found, w in zip(each, several, strict=True):
        w = w.clone().requires_grad_()
        assert error(found, torch.autograd.grad(loss(w), w)[0]) < 1e-10
    twice = torch.func.hessian(loss)(several[0])
    assert error(twice, twice.T) < 1e-9


@given(graphs(weighted=False), st.sampled_from((None, "sym", "row")), st.booleans())
def test_any_graph(graph, norm, loops):
    layer = layer_over(g.adjacency(norm, loops))
    x, w = values(graph.num_nodes, 2, 2), weights(graph)
    y, ours = learned(layer, x, graph, w)
    layer.lowering = "edges"
    wanted, theirs = learned(layer, x, graph, w)
    assert error(y, wanted) < 1e-10 and max(map(error, ours, theirs)) < 1e-10
    assert all(torch.isfinite(grad).all() for grad in ours)


@pytest.mark.parametrize("name", ["sym with loops", "relations", "chebyshev", "powers"])
def test_rows_of_weights_are_calls_of_their_own(name):
    rule, graph = ALL[name]
    layer, x, w = layer_over(rule), values(5, 2, 3), weights(graph, 3)
    together = layer(g.Signal(x, graph.with_weights(w))).x
    for k in range(3):
        one = layer(g.Signal(x[k : k + 1], graph.with_weights(w[k]))).x
        assert error(together[k : k + 1], one) < 1e-12


def test_twins_share_edges_cache_and_plans():
    graph = g.Graph(INDEX, 5)
    layer = layer_over(g.adjacency("sym", self_loops=True))
    x = values(5)
    answers = []
    for scale in (1.0, 2.0, 3.0):
        twin = graph.with_weights(weights(graph) ** scale)
        answers.append(layer(g.Signal(x, twin)).x)
        assert twin.edge_index is graph.edge_index and twin.cache is graph.cache
        assert len(graph.cache["plans"]) == 2, "a plan, and the pattern that plans share"
    assert error(answers[0], answers[1]) > 1e-3
    layer(g.Signal(x, graph))
    assert len(graph.cache["plans"]) == 4
    blind = g.Conv(2, 2, g.adjacency(weights=False)).double()
    both = [blind(g.Signal(x, domain)).x for domain in (graph, graph.with_weights(weights(graph)))]
    assert torch.equal(*both) and len(graph.cache["plans"]) == 6


def test_a_graph_and_its_twins_are_one_place():
    twin = GRAPH.with_weights(weights(GRAPH))
    s, t = g.Signal(values(5), GRAPH), g.Signal(values(5), twin)
    layer = layer_over(g.adjacency(), (2, 2))
    assert layer(s, t).domain is GRAPH
    assert error(layer(s, t).x, layer(t).x) == 0
    model = g.Sequential(layer, nn.ReLU(), g.Residual(layer), g.Pool(g.whole(), "mean"))
    assert model(t).x.shape == (1, 1, 2)


def test_rules_that_read_no_weights_run_as_on_the_graph():
    twin = GRAPH.with_weights(weights(GRAPH))
    for layer in (
        g.Conv(2, 2, g.itself()),
        g.Conv(2, 2, g.all_pairs("self")),
        g.Attention(2, g.predecessors(), 1),
        g.Pool(g.adjacency(weights=False), "max"),
        g.Readout("sum"),
    ):
        x = values(5)
        layer = layer.double()
        assert error(layer(g.Signal(x, twin)).x, layer(g.Signal(x, GRAPH)).x) == 0


def test_unions_of_twins():
    other = g.Graph([[0, 1], [1, 2]], 3)
    for rule in (g.adjacency("sym", self_loops=True), g.polynomial(g.laplacian("sym"), 2)):
        layer, parts = layer_over(rule), (TREE, other)
        w = [weights(part).requires_grad_() for part in parts]
        union = g.Batch([part.with_weights(v) for part, v in zip(parts, w, strict=True)])
        x = values(8, 2, 2)
        together = layer(g.Signal(x, union)).x
        up = torch.randn_like(together)
        found = torch.autograd.grad(together, w, up)
        for k, (start, end) in enumerate(((0, 5), (5, 8))):
            alone = layer(g.Signal(x[:, start:end], parts[k].with_weights(w[k]))).x
            assert error(together[:, start:end], alone) < 1e-12
            assert error(found[k], torch.autograd.grad(alone, w[k], up[:, start:end])[0]) < 1e-12


def test_unions_with_members_that_keep_their_weights():
    kept = g.Graph([[0, 1], [1, 2]], 3, edge_weight=[2.0, 3.0])
    bare = g.Graph([[0], [1]], 2)
    w = weights(TREE, 2).requires_grad_()
    union = g.Batch([TREE.with_weights(w), kept, bare])
    layer, x = layer_over(g.adjacency()), values(10, 2, 2)
    y = layer(g.Signal(x, union)).x
    assert error(y[:, 5:8], layer(g.Signal(x[:, 5:8], kept)).x) < 1e-12
    assert error(y[:, 8:], layer(g.Signal(x[:, 8:], bare)).x) < 1e-12
    y.sum().backward()
    assert w.grad is not None and w.grad.shape == w.shape


def test_equal_members_with_different_weights_stay_apart():
    layer, x = layer_over(g.adjacency()), values(10, 2, 2)
    first, second = weights(TREE), 2 * weights(TREE)
    union = g.Batch([TREE.with_weights(first), TREE.with_weights(second)])
    y = layer(g.Signal(x, union)).x
    for k, w in enumerate((first, second)):
        alone = layer(g.Signal(x[:, 5 * k : 5 * k + 5], TREE.with_weights(w))).x
        assert error(y[:, 5 * k : 5 * k + 5], alone) < 1e-12
    for w in (first, weights(TREE, 2)):
        twin = TREE.with_weights(w)
        y = layer(g.Signal(x, g.Batch([twin, twin]))).x
        halves = [layer(g.Signal(part, twin)).x for part in x.split(5, 1)]
        assert error(y, torch.cat(halves, 1)) < 1e-12


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("name", ["sym with loops", "relations by row", "chebyshev"])
def test_compiled(name):
    rule, graph = ALL[name]
    counter = CompileCounterWithBackend("aot_eager")
    layer, x = layer_over(rule), values(5, 2, 2)
    fast = torch.compile(layer, fullgraph=True, backend=counter)
    g.prepare(layer, g.Signal(x, graph.with_weights(weights(graph))))
    for scale in (1.0, 2.0, 3.0):
        w = (weights(graph) ** scale).requires_grad_()
        twin = graph.with_weights(w)
        y, z = fast(g.Signal(x, twin)).x, layer(g.Signal(x, twin)).x
        assert error(y, z) < 1e-12
        ours, theirs = (torch.autograd.grad(out.square().sum(), w)[0] for out in (y, z))
        assert error(ours, theirs) < 1e-12
    assert counter.frame_count <= 2


def test_copies_keep_the_weights():
    w = weights(GRAPH)
    twin, x, layer = GRAPH.with_weights(w), values(5), layer_over(g.adjacency("row"))
    wanted = layer(g.Signal(x, twin)).x
    for other in (copy.deepcopy(twin), twin.to("cpu"), twin.relabel(torch.arange(5))):
        assert error(layer(g.Signal(x, other)).x, wanted) < 1e-12
        assert other.runtime_weight is not None
    assert repr(twin) == "Graph(5 nodes, 8 edges, weighted at run time)"
    assert GRAPH.edge_weight is None and GRAPH.runtime_weight is None


def test_other_libraries_are_given_the_weights():
    w = weights(TREE).requires_grad_()
    twin = TREE.with_weights(w)
    assert error(torch.from_numpy(twin.to_scipy().toarray()), dense(TREE, w)) == 0
    assert [e["weight"] for *_, e in twin.to_networkx().edges(data=True)] == w.tolist()
    assert twin.to_pyg().edge_weight is w


def test_half_precision():
    layer, w = layer_over(g.adjacency("sym", self_loops=True)).float(), weights(GRAPH).float()
    x = values(5).float()
    wanted, exact = learned(layer, x, GRAPH, w)
    with torch.autocast("cpu", torch.bfloat16):
        y, found = learned(layer, x, GRAPH, w)
    assert error(y.float(), wanted) < 5e-2
    assert max(map(error, found, exact)) < 5e-2


def test_a_model_learns_the_structure():
    """Weights that were forgotten are found again from what the layer answers."""
    true, layer = weights(TREE), g.Propagate(g.adjacency("row", self_loops=True))
    x = values(5, 4, 20)
    wanted = layer(g.Signal(x, TREE.with_weights(true))).x
    w = nn.Parameter(torch.ones(4, dtype=torch.float64))
    optimizer, loss = torch.optim.Adam([w], 0.05), torch.tensor(torch.inf)
    for _ in range(300):
        optimizer.zero_grad()
        loss = (layer(g.Signal(x, TREE.with_weights(w))).x - wanted).square().mean()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 1e-8
