"""The state of edges and of whole graphs that a signal carries beside its values: what is refused,
what keeps it, and where it goes.
"""

import io
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils import _pytree as pytree

import geodl as g
from geodl.layer.encoder_decoder import EncoderDecoder, FinalState
from geodl.layer.folding import state_to_batch
from geodl.layer.trace import code_between, stamps
from geodl.models.generate import _groups_of_equal_senders
from geodl.neighborhood.edges import Edges, edge_state
from geodl.testing import assert_permutation_equivariant, outcome

RING = g.Graph([[0, 1, 2, 3], [1, 2, 3, 0]])
PAIR = g.Graph([[0], [1]])
EDGES, WHOLE = torch.randn(2, 4, 3), torch.randn(1, 1, 2, dtype=torch.float64)


def signal(batch: int = 2, channels: int = 5) -> g.Signal:
    return g.Signal(torch.randn(batch, 4, channels), RING, EDGES[:batch], WHOLE)


BAD = {
    "a list": (lambda: signal().with_edges([1.0]), "edges .*a list; give a tensor"),
    "another length": (
        lambda: signal().with_edges(torch.zeros(1, 3, 1)),
        r"edges of shape \[1, 3, 1\], 3 rows; give one row for each link: \[1 or 2, 4, C\]",
    ),
    "without a batch axis": (lambda: signal().with_edges(torch.zeros(4, 1)), r"edges\[None\]"),
    "another batch": (
        lambda: signal().with_edges(torch.zeros(3, 4, 1)),
        "a batch of 3 for a batch of 2; give a batch of 1 or 2",
    ),
    "integers": (lambda: signal().with_edges(torch.zeros(1, 4, 1).long()), r"use .float\(\)"),
    "sparse": (lambda: signal().with_edges(torch.zeros(1, 4, 1).to_sparse()), "a dense tensor"),
    "another device": (
        lambda: signal().with_edges(torch.zeros(1, 4, 1, device="meta")),
        "edges on meta and x on cpu",
    ),
    "globals of two": (
        lambda: signal().with_globals(torch.zeros(1, 2, 1)),
        r"globals of shape \[1, 2, 1\], 2 rows; give one row for each member: \[1 or 2, 1, C\]",
    ),
    "globals of one": (
        lambda: g.Signal(torch.zeros(1, 6, 1), g.Batch([RING, PAIR]), None, torch.zeros(1, 1, 1)),
        r"give one row for each member: \[1, 2, C\]",
    ),
    "another batch of x": (lambda: signal().with_x(torch.zeros(3, 4, 1)), "for a batch of 3"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_state_is_refused(name):
    make, words = BAD[name]
    with pytest.raises(g.GeodlError, match=words):
        make()


def test_a_signal_keeps_its_state():
    s = signal()
    for kept in (s.with_x(torch.zeros(2, 4, 1).double()), s.map(torch.relu), s + s):
        assert kept.edges is s.edges and kept.globals is WHOLE
    bare = g.Signal(s.x, RING)
    assert (bare + s).edges is None and (s + bare).edges is s.edges
    assert s.with_edges(None).edges is None and s.with_globals(None).globals is None
    shared = g.Signal(torch.zeros(3, 4, 1), RING, EDGES[:1])
    assert shared.with_x(torch.zeros(7, 4, 1)).edges is shared.edges
    none = g.Graph([[], []], 2)
    assert g.Signal(torch.zeros(1, 2, 1), none, torch.zeros(1, 0, 3)).edges.shape == (1, 0, 3)
    assert g.Signal(torch.zeros(0, 4, 1), RING, EDGES[:1], WHOLE).shape == (0, 4, 1)


def test_a_state_goes_to_another_domain_where_it_fits():
    s = signal()
    assert s.carry_state(s.x, RING).edges is s.edges
    other = s.carry_state(torch.zeros(2, 2, 1), PAIR)
    assert other.edges is None and other.globals is WHOLE
    union = g.Batch([RING, PAIR])
    both = g.Signal(torch.zeros(1, 6, 1), union, None, torch.zeros(1, 2, 1))
    assert g.Readout()(both).globals is None and g.Readout()(both).domain == g.Complete(2)
    assert both.carry_state(both.x, g.Batch([RING, PAIR])).globals is both.globals


def test_it_moves_and_is_saved():
    s = signal()
    moved = s.to(torch.float64)
    assert moved.edges.dtype == torch.float64 and moved.globals is WHOLE
    assert s.to("cpu") is s and moved.to(torch.float64) is moved
    assert s.to("meta").edges.is_meta and s.to("meta").globals.is_meta
    tokens = g.Signal(torch.zeros(1, 4, 1).double(), RING, EDGES[:1]).to(torch.long)
    assert tokens.dtype == torch.long and tokens.edges.dtype == torch.float32
    back = pickle.loads(pickle.dumps(s))
    assert back.edges.equal(s.edges) and back.globals.equal(WHOLE)
    file = io.BytesIO()
    torch.save(s, file)
    file.seek(0)
    loaded = torch.load(file)
    assert loaded.edges.equal(s.edges) and loaded.globals.equal(WHOLE)


@pytest.mark.parametrize("has_edges", [True, False])
@pytest.mark.parametrize("has_globals", [True, False])
def test_it_is_part_of_the_tree(has_edges, has_globals):
    s = signal()
    if not has_edges:
        s = s.with_edges(None)
    if not has_globals:
        s = s.with_globals(None)
    given = [t for t in (s.x, s.edges, s.globals) if t is not None]
    leaves, spec = pytree.tree_flatten(s)
    assert len(leaves) == len(given) + 1
    assert all(a is b for a, b in zip(leaves, [*given, RING.edge_index], strict=True))
    back = pytree.tree_unflatten(leaves, spec)
    assert back.edges is s.edges and back.globals is s.globals and back.domain is RING
    doubled = pytree.tree_map(lambda t: t * 2, s)
    assert (doubled.edges is None) is not has_edges
    assert not has_edges or doubled.edges.equal(EDGES * 2)


def test_functional_transforms_reach_it():
    s = g.Signal(torch.randn(2, 5, 1), g.Chain(5), EDGES, WHOLE)

    def total(signal: g.Signal) -> torch.Tensor:
        edges, whole = signal.edges, signal.globals
        assert edges is not None and whole is not None
        return (edges * 3).sum() + whole.sum() + signal.x.sum()

    found = torch.func.grad(total)(s)
    assert found.edges.equal(torch.full_like(s.edges, 3)) and found.x.equal(torch.ones_like(s.x))
    assert found.globals.equal(torch.ones_like(WHOLE))


def test_signals_of_one_domain_collate():
    first, second = signal(), signal(1)
    both = g.collate([first, second])
    assert both.domain is RING and both.edges.equal(torch.cat((EDGES, EDGES[:1])))
    assert both.globals.equal(WHOLE.expand(3, 1, 2))


def test_signals_of_several_domains_collate():
    one = g.Signal(torch.randn(1, 4, 1), RING, torch.randn(1, 4, 3), torch.randn(1, 1, 2))
    two = g.Signal(torch.randn(1, 2, 1), PAIR, torch.randn(1, 1, 3), torch.randn(1, 1, 2))
    both = g.collate([one, two])
    assert both.edges.equal(torch.cat((one.edges, two.edges), 1))
    assert both.globals.equal(torch.cat((one.globals, two.globals), 1))
    # The union's links are the members' in this order.
    rule = g.adjacency()
    assert rule.edges(both.domain).link.tolist() == [0, 1, 2, 3, 4]
    for lacking, words in (
        (two.with_edges(None), "no edges in signal 1, .*; give edges to all"),
        (two.with_globals(None), "no globals in signal 1"),
        (two.with_edges(torch.zeros(1, 1, 4)), r"edges of shape \[any, any, 4\] in signal 1"),
        (two.with_globals(two.globals.double()), "globals of torch.float64 in signal 1"),
    ):
        with pytest.raises(g.GeodlError, match=words):
            g.collate([one, lacking])


def attention() -> g.Attention:
    return g.Attention(4, g.adjacency(), 2)


LAYERS = {
    "Conv": lambda: g.Conv(4, 3, g.adjacency("sym", self_loops=True)),
    "Attention": attention,
    "Message": lambda: g.Message(lambda x_i, x_j, e_ij: x_j - x_i, g.adjacency()),
    "Pool": lambda: g.Pool(g.adjacency()),
    "BatchNorm": lambda: g.BatchNorm(4),
    "BatchNorm in evaluation": lambda: g.BatchNorm(4).eval(),
    "Dropout": lambda: g.Dropout(0.5),
    "GroupNorm": lambda: g.GroupNorm(2, 4),
    "InstanceNorm": lambda: g.InstanceNorm(4),
    "Propagate": lambda: g.Propagate(g.adjacency()),
    "polynomial": lambda: g.Conv(4, 3, g.polynomial(g.laplacian(), 2)),
    "Network": lambda: g.Network(
        "nodes", {"a": (attention(), "nodes"), "b": (nn.ReLU(), "a"), "c": ("add", "nodes", "b")}
    ),
    "Network of channels": lambda: g.Network(
        "nodes", {"a": (attention(), "nodes"), "b": ("cat", "a", "nodes")}
    ),
    "LaplacianPositions": lambda: g.LaplacianPositions(2, 4),
    "Pointwise": lambda: g.Pointwise(nn.Tanh()),
    "Sequential": lambda: g.Sequential(nn.Linear(4, 4), attention(), nn.ReLU()),
    "Residual": lambda: g.Residual(attention()),
    "Residual with a shortcut": lambda: g.Residual(attention(), shortcut=nn.Linear(4, 4)),
    "Concat": lambda: g.Concat(attention(), nn.Identity()),
}


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_passes_it_on(name):
    s = signal(2, 4)
    y = LAYERS[name]()(s)
    assert y.edges is s.edges and y.globals is s.globals


def test_it_passes_through_recurrence_positions_and_steps():
    chain = g.Chain(3)
    s = g.Signal(torch.randn(2, 3, 4), chain, torch.randn(2, 2, 1), WHOLE)
    tokens = g.Signal(torch.zeros(2, 3, 1).long(), chain, s.edges, WHOLE)
    makers = g.Recurrent(4, 3), g.SinusoidalPositions(4), g.LearnedPositions(6, 4), nn.ReLU()
    causal = g.Attention(4, g.past(), 2), g.Conv(4, 4, g.window(2, 1, padding="causal"))
    for layer in (*causal, *makers):
        model = g.Sequential(layer)
        for y in (model(s), model.step(s)[0], model.step(s, model.step(s)[1])[0]):
            assert y.edges is s.edges and y.globals is WHOLE
    assert g.Embedding(3, 4)(tokens).edges is s.edges


def test_of_two_signals_the_receivers_state_stays():
    layer = g.Cross(g.Attention(4, g.all_pairs(), 2))
    target = g.Signal(torch.randn(2, 4, 4), RING, EDGES, WHOLE)
    source = g.Signal(torch.randn(2, 3, 4), g.Chain(3), torch.randn(1, 2, 1))
    y = layer(target, source)
    assert y.edges is EDGES and y.globals is WHOLE


def test_another_domain_keeps_globals_alone():
    s = g.Signal.image(torch.randn(2, 3, 4, 4))
    s = g.Signal(s.x, s.domain, torch.randn(1, s.domain.num_links, 2), WHOLE)
    coarser = g.Pool(g.window(2, stride=2)), g.Conv(3, 2, g.lift(3, group=g.C(4))), g.Readout()
    for layer in coarser:
        y = layer(s)
        assert y.edges is None and y.globals is WHOLE
    chain = g.Signal(torch.randn(2, 3, 4), g.Chain(3), None, WHOLE)
    assert FinalState(g.Recurrent(4, 2))(chain).globals is WHOLE
    union = g.Batch([g.Grid(4, 4)] * 3)
    three = g.Signal(torch.randn(1, 48, 3), union, None, torch.randn(1, 3, 2))
    pooled = g.Pool(g.window(2, stride=2))(three)
    assert pooled.domain.num_members == 3 and pooled.globals is three.globals


@given(st.integers(0, 3), st.integers(1, 3), st.booleans(), st.booleans())
def test_equal_members_fold_with_their_state(batch, members, wide, whole):
    rows = batch if wide else 1
    edges = torch.randn(rows, members * 4, 3)
    state = torch.randn(rows, members, 2) if whole else None
    s = g.Signal(torch.zeros(batch, members * 4, 1), g.Batch([RING] * members), edges, state)
    found = state_to_batch(s, members)
    if members == 1:
        assert found.edges is edges and found.globals is state
        return
    assert found.edges.shape == (batch * members, 4, 3)
    for b in range(batch):
        for d in range(members):
            row = edges[b % rows, 4 * d : 4 * d + 4]
            assert found.edges[b * members + d].equal(row)
            if whole:
                assert found.globals[b * members + d, 0].equal(state[b % rows, d])
    assert (found.globals is None) is not whole


def test_rows_become_members_with_their_state():
    seen = []

    class Probe(g.Layer):
        def compute(self, receiver, sender, rule):
            seen.append((receiver, sender))
            return receiver

        takes_context = True

    model = EncoderDecoder(g.Sequential(nn.Identity()), Probe())
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]]).bool()
    source = g.Signal.sequence(torch.randn(2, 3, 4), mask)
    chain = g.Signal.sequence(torch.randn(2, 3, 4))
    target = g.Signal(chain.x, chain.domain, torch.randn(1, 2, 1), torch.randn(2, 1, 5))
    y = model(target, source)
    inside, _ = seen[0]
    assert inside.edges.equal(target.edges.expand(2, 2, 1).reshape(1, 4, 1))
    assert inside.globals.equal(target.globals.reshape(1, 2, 5))
    assert y.edges is target.edges and y.globals is target.globals


def test_senders_of_equal_domains_keep_their_state():
    one, two = g.Graph([[0, 1], [1, 0]], 2), g.Chain(3)
    domain = g.Batch([one, two, one])
    edges, whole = torch.randn(1, 6, 2), torch.randn(1, 3, 1)
    s = g.Signal(torch.randn(1, 7, 1), domain, edges, whole)
    (rows, pair), (others, chain) = _groups_of_equal_senders(s, 3)
    assert rows == [0, 2] and pair.domain is one and others == [1] and chain.domain == two
    assert pair.x.equal(torch.cat((s.x[:, :2], s.x[:, 5:])))
    assert pair.edges.equal(torch.cat((edges[:, :2], edges[:, 4:])))
    assert pair.globals.equal(whole[0, [0, 2]][:, None]) and chain.edges.equal(edges[:, 2:4])


def test_a_state_that_no_layer_made_is_a_gap():
    class Swaps(g.Sequential):
        def compute(self, receiver, sender, rule):
            return super().compute(receiver.with_edges(EDGES * 2), sender, rule)

    s = signal(2, 4)
    for model, found in (
        (g.Sequential(attention(), nn.ReLU()), []),
        (Swaps(attention(), nn.ReLU()), [("0", "reads values that no layer made")]),
    ):
        given = stamps(s)
        with g.trace(model) as events, torch.no_grad():
            y = model(s)
        assert code_between(events, given, y)[:1] == found
    layer = attention()
    with g.trace(layer) as events, torch.no_grad():
        y = layer(s)
    ends = [("", "answers with values that its last layer did not make")]
    assert code_between(events, stamps(s), y.with_globals(WHOLE * 2)) == ends


def test_outcomes_have_the_gradients_of_states():
    s = g.Signal(torch.randn(1, 4, 2), RING, torch.randn(1, 4, 3), torch.randn(1, 1, 2))
    _, grads = outcome(nn.Sequential(), s)
    assert set(grads) == {"input 0", "edges 0", "globals 0"}
    assert grads["edges 0"].equal(torch.zeros(1, 4, 3))


def test_checks_take_states_or_refuse_them():
    class OfEdges(g.Layer):
        """Adds to each receiver what arrives over its links."""

        def compute(self, receiver, sender, rule):
            dst = receiver.domain.links().dst
            return receiver.with_x(receiver.x.index_add(1, dst, receiver.edges))

    class ByNumber(g.Layer):
        """Adds the state of link i to node i, whatever they are called."""

        def compute(self, receiver, sender, rule):
            return receiver.with_x(receiver.x + receiver.edges)

    s = g.Signal(torch.randn(1, 4, 3), RING, torch.randn(1, 4, 3))
    assert_permutation_equivariant(OfEdges(), s)
    with pytest.raises(AssertionError, match="relabelling changes the answer"):
        assert_permutation_equivariant(ByNumber(), s)
    with pytest.raises(g.GeodlError, match="a state of edges, which is not carried along"):
        g.equivariance_error(OfEdges(), s)
    complete = g.Signal(torch.randn(1, 3, 2), g.Complete(3), torch.randn(1, 6, 2))
    with pytest.raises(AssertionError, match="have no other names"):
        assert_permutation_equivariant(g.Readout(), complete)
    union = g.Signal(torch.randn(1, 6, 2), g.Batch([RING, PAIR]), None, torch.randn(1, 2, 2))
    with pytest.raises(AssertionError, match="becomes one graph"):
        assert_permutation_equivariant(g.Readout(), union)


HAND = Edges(
    torch.tensor([1, 1, 0, 2, 1]),
    torch.tensor([0, 2, 0, 2, 1]),
    torch.zeros(5).long(),
    None,
    torch.tensor([1, 0, -1, -1, -1]),
)


def test_the_state_of_added_edges():
    state = torch.tensor([[[1.0, 10.0], [3.0, 30.0]]])
    linked = [[3.0, 30.0], [1.0, 10.0]]
    assert edge_state(HAND, state, 0.0, 3)[0].tolist() == linked + [[0.0, 0.0]] * 3
    assert edge_state(HAND, state, 2.5, 3)[0].tolist() == linked + [[2.5, 2.5]] * 3
    means = [[0.0, 0.0], [0.0, 0.0], [2.0, 20.0]]
    assert edge_state(HAND, state, "mean", 3)[0].tolist() == linked + means
    nothing = edge_state(HAND._replace(link=torch.full((5,), -1)), state[:, :0], "mean", 3)
    assert nothing.equal(torch.zeros(1, 5, 2))
    exact = state.double().requires_grad_()
    for fill in (1.0, "mean"):
        assert torch.autograd.gradcheck(lambda s, f=fill: edge_state(HAND, s, f, 3), exact)


def test_the_mean_is_that_of_pyg():
    from torch_geometric.utils import add_self_loops

    graph = g.Graph([[0, 1, 2, 2], [1, 0, 1, 0]], 4)
    state = torch.randn(1, 4, 3)
    index, theirs = add_self_loops(graph.edge_index, state[0], fill_value="mean", num_nodes=4)
    rule = g.adjacency(self_loops=True, fill="mean")
    edges = rule.edges(graph)
    assert index[1].equal(edges.dst) and index[0].equal(edges.src)
    assert torch.allclose(edge_state(edges, state, rule.fill, 4)[0], theirs)
    assert rule.reverse().fill == "mean" and g.window(3).fill == 0.0


@pytest.mark.parametrize("fill", ["median", None, True, float("nan"), torch.zeros(2)])
def test_what_is_no_fill_is_refused(fill):
    with pytest.raises(g.GeodlError, match='give a number, or "mean"'):
        g.adjacency(self_loops=True, fill=fill)
