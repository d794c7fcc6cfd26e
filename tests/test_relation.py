"""A rule that is data: its edges, its two sides, its plans, and how it moves."""

import copy
import gc
import io
import pickle
import weakref

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.utils import _pytree as pytree

import geodl as g
from geodl.lowering.plans import VALUES, Plan
from geodl.testing import assert_parity, error
from tests.strategies import joined

INDEX = [[0, 0, 2, 4], [0, 1, 1, 2]]
USERS, ITEMS = g.Complete(5), g.Chain(3)


def given_edges(**options) -> g.Neighborhood:
    return g.relation(INDEX, senders=5, receivers=3, **options)


def senders(domain: g.Domain = USERS, channels: int = 4, batch: int = 2) -> g.Signal:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, domain.num_nodes, channels, generator=generator, dtype=torch.float64)
    return g.Signal(x, domain)


BAD = {
    "senders beyond their side": (
        lambda: g.relation([[0, 5], [0, 0]], senders=5, receivers=3),
        r"2 edges, 5 senders and 3 receivers: found senders from 0 to 5; .* numbered 0..4",
    ),
    "receivers beyond their side": (
        lambda: g.relation([[0, 1], [0, 3]], senders=5, receivers=3),
        "receivers from 0 to 3; receivers are numbered 0..2",
    ),
    "negative": (lambda: g.relation([[0], [-1]], senders=5, receivers=3), "from -1 to -1"),
    "one side": (lambda: g.relation([[0], [3]], senders=3), "receivers from 3 to 3"),
    "no senders": (lambda: g.relation([[], []], senders=0, receivers=3), "the size 0"),
    "no receivers": (lambda: g.relation([[], []], senders=1, receivers=0), "the size 0"),
    "floats": (lambda: g.relation(torch.zeros(2, 1), senders=1), "use edge_index.long"),
    "three rows": (lambda: g.relation(torch.zeros(3, 1).long(), senders=1), r"give \[2, E\]"),
    "a short weight": (lambda: given_edges(weight=[1.0]), r"give edge_weight of shape \[4\]"),
    "a weight that is NaN": (lambda: given_edges(weight=[1.0, 2.0, 3.0, float("nan")]), "NaN"),
    "a weight to learn": (
        lambda: given_edges(weight=torch.ones(4, requires_grad=True)),
        r"asks for a gradient.*relation.with_weights\(weight\)",
    ),
    "a negative type": (lambda: given_edges(type=[0, 1, -1, 0]), "negative numbers"),
    "few types": (lambda: given_edges(type=[0, 1, 2, 0], types=2), "types=2; give more than .* 2"),
    "no number of types": (lambda: given_edges(types=True), "types=True"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_relation_is_refused(name):
    make, words = BAD[name]
    with pytest.raises(g.GeodlError, match=words):
        make()


@given(st.data())
def test_its_edges_are_what_was_given(data):
    between = data.draw(joined(weighted=True, types=2))
    rule, source = between.rule, between.senders
    target = between.receivers or rule.target(source)
    edges = rule.edges(source, target)
    forward = rule.owner
    first, second = forward.edge_index
    if rule is not forward:
        first, second = second, first
    assert edges.src.equal(first) and edges.dst.equal(second) and edges.link is None
    assert edges.weight.equal(forward.weight) and edges.type.equal(forward.type)
    assert rule.num_types(source) == 2
    # What a convolution computes is the operator of each type, written out.
    layer = g.Conv(2, 3, rule).double()
    s = senders(source, 2)
    dense = torch.zeros(2, target.num_nodes, source.num_nodes, dtype=torch.float64)
    dense.index_put_((edges.type, edges.dst, edges.src), edges.weight.double(), accumulate=True)
    wanted = torch.einsum("tmn,bnc,tcd->bmd", dense, s.x, layer.weight) + layer.bias
    found = layer(s)
    if between.receivers is not None:
        found = layer(senders(target, 1), s)
    assert found.domain == target and error(found.x, wanted) < 1e-12


def test_it_answers_on_nodes_without_order_or_where_the_receiver_is():
    rule, s = given_edges(), senders()
    conv = g.Conv(4, 2, rule).double()
    assert conv(s).domain == g.Complete(3) and conv(s).shape == (2, 3, 2)
    other = senders(ITEMS, 7)
    assert conv(other, s).domain is ITEMS
    assert g.Pool(rule, "mean")(s).domain == g.Complete(3)
    assert g.Attention(4, rule, 2).double()(senders(ITEMS), s).domain is ITEMS
    message = g.Message(lambda x_i, x_j, e_ij: x_j - x_i, rule)
    assert message(senders(ITEMS), s).shape == (2, 3, 4)
    for layer in (g.Attention(4, rule, 2).double(), message):
        with pytest.raises(g.GeodlError, match=r"give both signals: layer\(receiver, sender\)"):
            layer(s)
        # Five receivers that are other nodes than five senders.
        with pytest.raises(g.GeodlError, match="give both signals"):
            layer(s, rule=g.relation([[0], [4]], senders=5, receivers=5))


def test_within_one_set_the_answer_stays_on_the_domain():
    within = g.relation(INDEX, senders=5)
    union = g.Batch([g.Chain(2), g.Chain(3)])
    for domain in (USERS, union, g.Graph([[0], [1]], 5)):
        s = senders(domain)
        for layer in (g.Conv(4, 4, within), g.Attention(4, within, 2), g.Pool(within)):
            assert layer.double()(s).domain is domain
            assert layer.over(within.reverse())(s).domain is domain
    assert str(within) == "relation(5 nodes, 4 edges)"
    assert str(given_edges(weight=[1.0] * 4, type=[0, 1, 0, 1])) == (
        "relation(5 senders, 3 receivers, 4 edges, 2 types, weighted)"
    )


def test_equal_members_are_one_union_to_it():
    # Folded into the batch, both members would receive alike.
    union = g.Batch([g.Chain(2)] * 2)
    rule = g.relation([[3], [0]], senders=4)
    x = torch.arange(4.0).view(1, 4, 1)
    assert g.Pool(rule, "sum")(g.Signal(x, union)).x.flatten().tolist() == [3.0, 0.0, 0.0, 0.0]
    assert g.Pool(rule.reverse(), "sum")(g.Signal(x, union)).x.flatten().tolist() == [0, 0, 0, 0.0]


def test_a_call_may_name_it():
    layer = g.Conv(4, 2, g.adjacency()).double()
    s, rule = senders(), given_edges()
    assert layer(s, rule=rule).x.equal(layer.over(rule)(s).x)
    target = senders(ITEMS, 1)
    assert layer(target, s, rule=rule).x.equal(layer.over(rule)(target, s).x)
    with pytest.raises(g.GeodlError, match="2 edge types in place of 1"):
        layer(s, rule=given_edges(type=[0, 1, 0, 0]))
    assert g.Conv(4, 2, given_edges(types=3)).weight.shape == (3, 4, 2)


def test_explain_tells_the_rule_of_the_call():
    layer = g.Conv(4, 2, g.adjacency("sym", self_loops=True)).double()
    named = str(g.explain(layer, senders(), rule=given_edges())).splitlines()[0]
    assert " over relation(" in named and named.endswith("runs on spmm")
    own = str(g.explain(layer, senders(g.Chain(5)))).splitlines()[0]
    assert own.startswith(layer.label + " on Chain(5)")


def test_other_sizes_are_refused_at_every_call():
    rule = given_edges()
    layer = g.Conv(4, 2, rule).double()
    for _ in range(2):
        layer(senders())
        layer(senders(ITEMS, 1), senders())
        for call, words in (
            (lambda: layer(senders(g.Chain(4))), "4 nodes in place of 5 senders"),
            (lambda: layer(senders(USERS, 1), senders()), "5 nodes in place of 3 receivers"),
            (lambda: layer.over(rule.reverse())(senders()), "5 nodes in place of 3"),
        ):
            with pytest.raises(g.GeodlError, match=words):
                call()
    with pytest.raises(g.GeodlError, match="4 nodes in place of 5 senders"):
        rule.edges(g.Chain(4))


def test_weights_are_refused_where_they_would_be_dropped():
    rule, s = given_edges(weight=[1.0, 2.0, 3.0, 4.0]), senders()
    for layer in (g.Pool(rule), g.Attention(4, rule, 2).double()):
        with pytest.raises(g.GeodlError, match="weighted edges"):
            layer(senders(ITEMS), s)


def test_it_is_equal_to_itself_alone():
    one, other = given_edges(), given_edges()
    assert one != other and hash(one) != hash(other) and one == copy.deepcopy(one)
    assert one.reverse() == one.reverse() != other.reverse() and one.reverse().reverse() is one
    seen = {hash(given_edges()) for _ in range(50)}
    assert len(seen) == 50


def test_it_moves_with_its_layer_and_stands_in_no_state_dict():
    rule = given_edges(weight=[1.0, 2.0, 3.0, 4.0])
    layer = g.Conv(4, 2, rule)
    assert set(layer.state_dict()) == {"weight", "bias"}
    twin = copy.deepcopy(layer)
    twin.load_state_dict(layer.state_dict())
    assert twin.rule is rule and layer.double().rule is rule
    back = g.Conv(4, 2, rule.reverse()).to("meta")
    assert twin.to("meta").rule.edge_index.is_meta and back.rule.rule.edge_index.is_meta
    assert layer.rule is rule and not rule.edge_index.is_meta and rule.to("cpu") is rule


def test_it_is_pickled_and_saved():
    rule, s = given_edges(weight=[1.0, 2.0, 3.0, 4.0], type=[0, 1, 0, 0]), senders()
    layer = g.Conv(4, 2, rule).double()
    wanted = layer(s).x
    assert rule.cache
    again = pickle.loads(pickle.dumps(layer))
    assert again.rule != rule and not again.rule.cache and again(s).x.equal(wanted)
    file = io.BytesIO()
    torch.save(rule, file)
    file.seek(0)
    loaded = torch.load(file)
    assert loaded.edges(USERS).weight.equal(rule.weight) and loaded != rule
    assert layer.over(loaded)(s).x.equal(wanted)


def test_it_is_a_tree_of_tensors():
    rule = given_edges(weight=[1.0, 2.0, 3.0, 4.0])
    leaves, spec = pytree.tree_flatten(rule)
    assert leaves[0] is rule.edge_index and leaves[1] is rule.weight and len(leaves) == 2
    assert pytree.tree_unflatten(leaves, spec) is rule
    doubled = pytree.tree_map_only(
        torch.Tensor, lambda t: t * 2 if t.is_floating_point() else t, rule
    )
    assert doubled.weight.equal(rule.weight * 2) and doubled is not rule


def num_plans(rule: g.Neighborhood) -> int:
    """The plans that a relation keeps, beside what they share."""
    return sum(isinstance(kept.value, Plan) for kept in rule.cache["plans"].entries())


def test_plans_stand_in_it_and_die_with_it():
    layer, s = g.Conv(4, 2, g.itself()).double(), senders()
    rule = given_edges()
    before = len(VALUES)
    for call in (rule, rule.reverse(), rule.reverse(onto=USERS)):
        signal = s if call is rule else senders(g.Complete(3))
        layer(signal, rule=call)
        layer(signal, rule=call)
    assert num_plans(rule) == 3 and len(VALUES) == before
    gone = weakref.ref(rule)
    del rule, call
    gc.collect()
    assert gone() is None


def test_other_domains_of_its_sizes_have_one_plan_and_unions_their_own():
    rule = g.relation(INDEX, senders=5)
    layer = g.Conv(4, 2, rule).double()
    wanted = layer(senders()).x
    for domain in (g.Chain(5), g.Graph([[0], [1]], 5), g.Batch([g.Chain(5)])):
        assert layer(senders(domain)).x.equal(wanted)
    assert num_plans(rule) == 1
    layer(senders(g.Batch([g.Chain(2), g.Chain(3)])))
    assert num_plans(rule) == 2


def test_the_fast_paths_run_on_it():
    rule = given_edges(type=[0, 1, 0, 1])
    conv, s, target = g.Conv(4, 2, rule).double(), senders(), senders(ITEMS)
    assert set(assert_parity(conv, s)) == set(assert_parity(conv, target, s)) == {"spmm"}
    attention = g.Attention(4, rule, 2, relative=True).double()
    assert "edge_softmax" in assert_parity(attention, target, s)
    for layer in (conv, attention):
        assert layer.explain(s, target).lowering != "edges"


def test_second_derivatives_and_functional_transforms():
    rule = given_edges(weight=[1.0, 2.0, 3.0, 4.0])
    layer = g.Conv(4, 2, rule).double()
    s = senders()

    def answer(x: torch.Tensor) -> torch.Tensor:
        return layer(g.Signal(x, USERS)).x

    x = s.x.clone().requires_grad_()
    assert torch.autograd.gradcheck(answer, x) and torch.autograd.gradgradcheck(answer, x)

    def loss(weights: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        return functional_call(layer, weights, (g.Signal(x[None], USERS),)).x.square().sum()

    weights = {name: p.detach() for name, p in layer.named_parameters()}
    each = vmap(grad(loss), (None, 0))(weights, s.x)
    for b in range(2):
        alone = grad(loss)(weights, s.x[b])
        assert all(error(each[name][b], alone[name]) < 1e-12 for name in weights)


def test_no_edges_and_no_batch():
    rule = g.relation([[], []], senders=5, receivers=3)
    layer = g.Conv(4, 2, rule).double()
    assert layer(senders()).x.equal(layer.bias.expand(2, 3, 2))
    assert g.Pool(rule, "max")(senders()).x.equal(torch.zeros(2, 3, 4, dtype=torch.float64))
    assert layer(senders(batch=0)).shape == (0, 3, 2)


def test_nothing_is_certified_of_it():
    assert not g.certify(given_edges(), USERS).exact
    certificate = g.certify(
        g.Sequential(g.Conv(4, 4, g.relation(INDEX, senders=5)), nn.ReLU()), USERS
    )
    assert not certificate.exact and not certificate.violations


def test_polynomials_of_it_are_those_of_the_same_graph():
    within = g.relation(INDEX, senders=5, weight=[1.0, 0.5, 2.0, 1.0])
    graph = g.Graph(INDEX, 5, edge_weight=[1.0, 0.5, 2.0, 1.0])
    layer = g.Conv(4, 2, g.polynomial(within, 2, "monomial")).double()
    twin = layer.over(g.polynomial(g.adjacency(), 2, "monomial"))
    assert error(layer(senders()).x, twin(senders(graph)).x) < 1e-12
    back = layer.over(layer.rule.reverse())
    assert error(back(senders()).x, twin.over(twin.rule.reverse())(senders(graph)).x) < 1e-12
    # Two equal members are one union to it, not one member twice.
    union = g.Batch([g.Chain(2)] * 2)
    ends = g.relation([[3], [0]], senders=4)
    hop = g.Conv(1, 1, g.polynomial(ends, 1, "monomial"), bias=False).double()
    flat = g.Graph([[3], [0]], 4)
    s = senders(union, 1)
    wanted = hop.over(g.polynomial(g.adjacency(), 1, "monomial"))(g.Signal(s.x, flat))
    assert error(hop(s).x, wanted.x) < 1e-12
    assert len(within.cache["plans"])
    with pytest.raises(g.GeodlError, match="powers need a rule that stays on its domain"):
        g.Conv(4, 2, g.polynomial(given_edges(), 2, "monomial")).double()(senders())
