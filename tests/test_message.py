"""Messages: the state of edges and graphs, several reductions, pieces of edges, new edges."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch_geometric.nn.aggr import SoftmaxAggregation, StdAggregation

import geodl as g
from geodl.layer import MessagePassing
from geodl.layer.message import REDUCTIONS
from geodl.testing import (
    assert_lowered_to,
    assert_parity,
    assert_permutation_equivariant,
    error,
    outcome,
)
from tests.strategies import Gated

# node 4 receives from no one, node 1 over three edges, two of them parallel
GRAPH = g.Graph([[0, 1, 2, 3, 0, 0], [1, 2, 3, 0, 1, 3]], 5)
PATH = g.Graph([[0, 1], [1, 2]], 3)
LOWERINGS = ("segment", "edges")


def values(domain: g.Domain, batch: int = 1, channels: int = 2, dtype=torch.float64) -> g.Signal:
    """A signal with a state of edges of two channels and one of graphs of three."""
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    x, edges = normal(batch, domain.num_nodes, channels), normal(batch, domain.num_links, 2)
    return g.Signal(x, domain, edges, normal(batch, domain.num_members, 3))


def gated(rule: g.Neighborhood, reduce="sum", **options) -> g.Message:
    torch.manual_seed(0)
    layer = g.Message(Gated(2), rule, reduce, **options).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    return layer


def sender(x_i, x_j, e_ij):
    return x_j


def state(x_i, x_j, e_ij):
    return e_ij


def forced(layer: MessagePassing, lowering: str):
    layer.lowering = lowering
    return layer


# the state of edges


@pytest.mark.parametrize("loops", [False, True])
def test_edge_values_pass_a_container(loops):
    s = g.Signal(torch.ones(1, 3, 1), PATH, edges=torch.tensor([[[2.0], [3.0]]]))
    layer = g.Message(lambda x_i, x_j, e_ij: x_j * e_ij, g.adjacency(self_loops=loops))
    assert g.Sequential(layer, nn.ReLU())(s).x.flatten().tolist() == [0.0, 2.0, 3.0]


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize(
    ("fill", "wanted"), [(0, [0.0, 2.0, 3.0]), (0.5, [0.5, 2.5, 3.5]), ("mean", [0.0, 4.0, 6.0])]
)
def test_self_loops_have_what_fill_says(lowering, fill, wanted):
    s = g.Signal(torch.ones(1, 3, 1), PATH, edges=torch.tensor([[[2.0], [3.0]]]))
    layer = forced(g.Message(state, g.adjacency(self_loops=True, fill=fill)), lowering)
    assert layer(s).x.flatten().tolist() == wanted


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_edges_keep_their_state_in_every_order(lowering):
    """Turned around, and where the links of a graph stand in another order than its edges."""
    s = g.Signal(torch.ones(1, 3, 1), PATH, edges=torch.tensor([[[2.0], [3.0]]]))
    turned = forced(g.Message(state, g.adjacency().reverse()), lowering)
    assert turned(s).x.flatten().tolist() == [2.0, 3.0, 0.0]
    both = forced(g.Message(state, g.laplacian()), lowering)
    assert both(s).x.flatten().tolist() == [2.0, 5.0, 3.0]


def test_without_a_state_messages_read_weights_or_none():
    heavy = g.Graph(PATH.edge_index, 3, edge_weight=[4.0, 5.0])
    s = g.Signal(torch.ones(1, 3, 1), heavy)
    layer = g.Message(state, g.adjacency())
    assert layer(s).x.flatten().tolist() == [0.0, 4.0, 5.0]
    assert layer(s.with_edges(torch.ones(1, 2, 1))).x.flatten().tolist() == [0.0, 1.0, 1.0]
    seen = []

    def remember(x_i: Tensor, x_j: Tensor, e_ij: Tensor | None) -> Tensor:
        seen.append(e_ij)
        return x_j

    g.Message(remember, g.adjacency())(g.Signal(s.x, PATH))
    g.Message(remember, g.all_pairs())(s.with_edges(torch.ones(1, 2, 1)))
    assert seen == [None, None]


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("shape", [(6,), (2, 6)])
def test_weights_that_come_with_the_call_are_read(lowering, shape):
    w = torch.rand(shape, dtype=torch.float64).requires_grad_()
    layer = forced(gated(g.adjacency("sym", self_loops=True)), lowering)
    x = values(GRAPH, batch=2).x
    y = layer(g.Signal(x, GRAPH.with_weights(w))).x
    for k in range(2):
        weight = w.detach().expand(2, -1)[k]
        heavy = g.Graph(GRAPH.edge_index, 5, edge_weight=weight)
        assert error(y[k : k + 1], layer(g.Signal(x[k : k + 1], heavy)).x) < 1e-12
    assert torch.autograd.gradcheck(lambda w: layer(g.Signal(x, GRAPH.with_weights(w))).x, w)


@pytest.mark.parametrize("domain", [g.Batch([GRAPH] * 3), g.Batch([GRAPH, PATH])], ids=str)
def test_members_have_their_own_edges(domain):
    layer = gated(g.adjacency(self_loops=True))
    s = values(domain, batch=2)
    first_node = first_link = 0
    wanted = []
    for member in domain.members:
        last_node, last_link = first_node + member.num_nodes, first_link + member.num_links
        x, edges = s.x[:, first_node:last_node], s.edges[:, first_link:last_link]
        wanted.append(layer(g.Signal(x, member, edges)).x)
        first_node, first_link = last_node, last_link
    assert error(layer(s).x, torch.cat(wanted, 1)) < 1e-12


# reductions


def test_several_reductions_stand_one_after_another():
    s = values(GRAPH, batch=2)
    together = gated(g.adjacency(), REDUCTIONS)(s).x
    each = [gated(g.adjacency(), name)(s).x for name in REDUCTIONS]
    assert torch.equal(together, torch.cat(each, -1))


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize(
    ("reduce", "twin"), [("std", StdAggregation()), ("softmax", SoftmaxAggregation())]
)
def test_reductions_are_pygs(lowering, reduce, twin):
    """Down to what counts as no deviation at all: messages that differ by 1e-3."""
    s = values(GRAPH)
    x = s.x.detach().clone()
    x[0, 2] = x[0, 0] + 1e-3
    links = GRAPH.links()
    found = outcome(forced(g.Message(sender, g.adjacency(), reduce), lowering), g.Signal(x, GRAPH))
    flat = x[0].clone().requires_grad_()
    y = twin(flat[links.src], links.dst, dim_size=5)
    upstream = torch.randn(
        1, 5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )[0]
    (wanted,) = torch.autograd.grad(y, flat, upstream)
    assert error(found[0][0], y) < 1e-10
    assert error(found[1]["input 0"][0], wanted) < 1e-10


def test_a_deviation_does_not_cancel():
    """Around a large mean a difference of squares has no digits left; differences have."""
    s = g.Signal(torch.tensor([[[1e4], [1e4 + 1], [0.0]]]), g.Graph([[0, 1], [2, 2]], 3))
    y = g.Message(sender, g.adjacency(), "std")(s).x
    assert float(y[0, 2, 0]) == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize("reduce", REDUCTIONS)
@pytest.mark.parametrize("most", [None, 2])
def test_gradients_of_gradients_check(reduce, most):
    layer = gated(g.adjacency(self_loops=True), reduce, max_edges=most)
    s = values(GRAPH)

    def run(x: Tensor, edges: Tensor) -> Tensor:
        return layer(g.Signal(x, GRAPH, edges)).x

    leaves = s.x.requires_grad_(), s.edges.requires_grad_()
    assert_lowered_to("segment", layer, s)
    assert torch.autograd.gradcheck(run, leaves)
    assert torch.autograd.gradgradcheck(run, leaves)


@pytest.mark.parametrize("reduce", REDUCTIONS)
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_second_derivatives_are_the_references(reduce, batch):
    layer, found = gated(g.adjacency(), reduce), []
    for lowering in LOWERINGS:
        s = values(GRAPH, batch)
        leaves = [s.x.requires_grad_(), s.edges.requires_grad_(), *layer.parameters()]
        y = forced(layer, lowering)(s).x
        slopes = torch.autograd.grad(y.sin().sum(), leaves, create_graph=True)
        penalty = sum((slope.square().sum() for slope in slopes), torch.zeros(()).double())
        found.append(torch.autograd.grad(penalty, leaves))
    for ours, wanted in zip(*found, strict=True):
        assert error(ours, wanted) < 1e-9


@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_graphs_without_edges_answer_with_zeros(reduce):
    empty = g.Graph(torch.zeros(2, 0, dtype=torch.long), 3)
    for most in (None, 2):
        y, gradients = outcome(gated(g.adjacency(), reduce, max_edges=most), values(empty))
        assert torch.equal(y, torch.zeros(1, 3, 2).double())
        assert not any(bool(gradient.any()) for gradient in gradients.values())


def test_infinite_messages_are_messages():
    """What marks a receiver without messages is their number, not a value."""
    s = g.Signal(torch.tensor([[[-math.inf], [1.0], [2.0]]]), g.Graph([[0], [1]], 3))
    for lowering in LOWERINGS:
        layer = forced(g.Message(sender, g.adjacency(), ("max", "min")), lowering)
        assert layer(s).x[0].tolist() == [[0, 0], [-math.inf, -math.inf], [0, 0]]


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_half_precision_counts_in_integers(lowering):
    """bfloat16 knows no odd number above 256."""
    star = g.Graph(torch.stack((torch.arange(1, 1001), torch.zeros(1000).long())), 1001)
    s = g.Signal(torch.ones(1, 1001, 1, dtype=torch.bfloat16), star)
    y = forced(g.Message(sender, g.adjacency(), ("mean", "max")), lowering)(s).x
    assert y.dtype == torch.bfloat16
    if lowering == "segment":  # the reference adds in bfloat16, too
        assert y[0, 0].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_mixed_precision(reduce):
    layer, s = gated(g.adjacency(), reduce).float(), values(GRAPH, dtype=torch.float32)
    wanted, exact = outcome(layer, s)
    with torch.autocast("cpu", torch.bfloat16):
        y, gradients = outcome(layer, s)
    if reduce in ("max", "min"):  # rounding may decide which message is the largest
        assert error(y.float(), wanted) < 5e-2
        return
    assert error(y.float(), wanted) < 5e-2
    assert max(error(gradients[name], gradient) for name, gradient in exact.items()) < 0.2


# the state of graphs


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("domain", [g.Batch([PATH] * 2), g.Batch([PATH, GRAPH]), PATH], ids=str)
@pytest.mark.parametrize("most", [None, 2])
def test_messages_and_updates_read_the_state_of_their_graph(lowering, domain, most):
    def message(x_i: Tensor, x_j: Tensor, e_ij: Tensor, u: Tensor) -> Tensor:
        assert u.shape == (2, x_j.shape[1], 3) or domain.members is not None
        return u[..., :1]

    def update(x_i: Tensor, y_i: Tensor, u: Tensor) -> Tensor:
        return torch.cat((y_i, u[..., 1:]), -1)

    layer = g.Message(message, g.adjacency(), update=update, reads_globals=True, max_edges=most)
    s = values(domain, batch=2)
    y = forced(layer, lowering)(s).x
    dst, member = domain.links().dst, domain.member_of()
    degree = torch.bincount(dst, minlength=domain.num_nodes)
    at_nodes = s.globals[:, member]
    assert error(y[..., :1], at_nodes[..., :1] * degree[:, None]) < 1e-12
    assert torch.equal(y[..., 1:], at_nodes[..., 1:])


# pieces


@pytest.mark.parametrize("reduce", [*REDUCTIONS, ("max", "std", "softmax")], ids=str)
@given(most=st.integers(1, 30), graph=st.integers(0, 3))
def test_pieces_are_the_whole(reduce, most, graph):
    """Also where one receiver has more edges than a piece: node 1 of the star."""
    star = g.Graph([[0, 1, 2, 3, 4, 0], [1, 1, 1, 1, 1, 2]], 5)
    domain = (GRAPH, star, g.Batch([GRAPH, star]), g.Complete(4))[graph]
    layer = gated(g.adjacency(), reduce, max_edges=most, reads_globals=True)
    assert set(assert_parity(layer, values(domain, batch=2))) == {"segment"}


def kept_bytes(run: Callable[[], object]) -> int:
    """The bytes that a computation keeps for its backward."""
    sizes: dict[int, int] = {}

    def pack(t: Tensor) -> Tensor:
        sizes[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        run()
    return sum(sizes.values())


def test_pieces_keep_nothing_of_the_messages():
    generator = torch.Generator().manual_seed(0)
    graph = g.Graph(torch.randint(50, (2, 2000), generator=generator), 50)
    wide = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 2)).double()

    def message(x_i: Tensor, x_j: Tensor, e_ij: Tensor) -> Tensor:
        return wide(torch.cat((x_i, x_j, e_ij, x_i - x_j), -1))

    s = g.Signal(values(graph).x.requires_grad_(), graph, values(graph).edges)
    whole, pieces = (g.Message(message, g.adjacency(), max_edges=most) for most in (None, 100))
    assert kept_bytes(lambda: pieces(s)) < 0.1 * kept_bytes(lambda: whole(s))


def test_pieces_draw_the_same_noise_twice():
    layer = g.Message(lambda x_i, x_j, e_ij: torch.rand_like(x_j) * x_j, g.adjacency(), max_edges=2)
    s = values(GRAPH)
    torch.manual_seed(0)
    y, gradients = outcome(layer, s, upstream=torch.ones_like(s.x))
    # a message is linear in x, so that the gradient has the very factors of the answer
    assert error((gradients["input 0"] * s.x).sum(), y.sum()) < 1e-12


def test_a_backward_that_broke_off_leaves_nothing_behind():
    breaks = [False]

    def fail(gradient: Tensor) -> None:
        if breaks[0]:
            raise RuntimeError("broken off")

    def message(x_i: Tensor, x_j: Tensor, e_ij: Tensor) -> Tensor:
        m = x_i * x_j
        if bool((x_j == s.x[0, 0]).any()):  # pieces of other senders are done before or after
            m.register_hook(fail)
        return m

    s = values(GRAPH)
    layer, x = g.Message(message, g.adjacency(), max_edges=2), s.x.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(layer(s.with_x(x)).x.sum(), x)
    y = layer(s.with_x(x)).x
    breaks[0] = True
    with pytest.raises(RuntimeError, match="broken off"):
        torch.autograd.grad(y.sum(), x, retain_graph=True)
    breaks[0] = False
    for _ in range(2):
        (found,) = torch.autograd.grad(y.sum(), x, retain_graph=True)
        assert error(found, wanted) < 1e-12


def test_pieces_are_refused_under_torch_func():
    layer = gated(g.adjacency(), max_edges=2)
    with pytest.raises(g.GeodlError, match=r"max_edges= under .*torch.func.*without max_edges="):
        torch.func.grad(lambda x: layer(values(GRAPH).with_x(x)).x.sum())(values(GRAPH).x)


# new edges


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize(
    "domain", [GRAPH, g.Batch([GRAPH] * 2), g.Batch([GRAPH, PATH]), g.Chain(4)], ids=str
)
def test_edges_are_updated_in_the_order_of_the_links(lowering, domain):
    def f(x_i: Tensor, x_j: Tensor, e_ij: Tensor, u: Tensor) -> Tensor:
        return torch.cat((x_i - x_j, e_ij, u), -1)

    s, links = values(domain, batch=2), domain.links()
    for rule, turn in ((g.adjacency(), 1), (g.adjacency().reverse(), -1)):
        layer = forced(g.EdgeUpdate(f, rule, reads_globals=True), lowering)
        new = layer(s)
        wanted = turn * (s.x[:, links.dst] - s.x[:, links.src])
        u = s.globals[:, domain.member_of()[links.dst]]
        assert torch.equal(new.edges, torch.cat((wanted, s.edges, u), -1))
        assert new.x is s.x and new.globals is s.globals and new.domain is domain


def test_new_edges_have_gradients():
    torch.manual_seed(0)
    net = g.Sequential(
        g.EdgeUpdate(Gated(2), g.adjacency()), g.Message(Gated(2), g.adjacency())
    ).double()
    s = values(GRAPH)

    def run(x: Tensor, edges: Tensor) -> Tensor:
        return net(g.Signal(x, GRAPH, edges)).x

    assert torch.autograd.gradcheck(run, (s.x.requires_grad_(), s.edges.requires_grad_()))


def test_messages_relabel():
    assert_permutation_equivariant(gated(g.adjacency(self_loops=True), REDUCTIONS), values(GRAPH))


def test_labels():
    layer = g.Message(sender, g.past(), ("max", "std"), reads_globals=True, max_edges=9)
    wanted = "sender, past(), reduce=('max', 'std'), reads_globals=True, max_edges=9"
    assert layer.extra_repr() == wanted
    assert g.EdgeUpdate(Gated(2), g.adjacency()).extra_repr() == "adjacency()"
