"""Weights of a relation's edges that come with each call: the numbers of a relation that keeps
them, gradients to them, and plans that hold none of them.
"""

import dataclasses
import gc
import weakref

import pytest
import torch
from torch.func import grad

import geodl as g
from geodl.neighborhood.polynomial import PolynomialOf
from geodl.testing import error
from tests.test_relation import ITEMS, given_edges, num_plans, senders


def entry(x_i, x_j, e_ij):
    return e_ij * x_j


WITHIN = g.relation([[0, 0, 2, 4], [0, 1, 1, 2]], senders=5)
WEIGHED = {
    "conv": (lambda: g.Conv(4, 2, g.itself()), given_edges(), "spmm"),
    "typed": (lambda: g.Conv(4, 2, given_edges(type=[0, 1, 0, 1])), None, "spmm"),
    "propagate": (lambda: g.Propagate(g.itself()), given_edges(), "spmm"),
    "message": (lambda: g.Message(entry, g.itself()), given_edges(), "segment"),
    "reversed": (lambda: g.Conv(4, 2, g.itself()), given_edges().reverse(), "spmm"),
    "polynomial": (lambda: g.Conv(4, 2, g.polynomial(WITHIN, 2, "monomial")), None, "polynomial"),
}


def weighed(rule: g.Neighborhood, w: torch.Tensor, kept: bool) -> g.Neighborhood:
    """A rule over a relation with other weights, which come with the call or are kept."""
    if isinstance(rule, PolynomialOf):
        return dataclasses.replace(rule, base=weighed(rule.base, w, kept))
    if rule != rule.owner:
        return weighed(rule.owner, w, kept).reverse()
    if not kept:
        return rule.with_weights(w)
    receivers = None if rule.one_set else rule.receivers
    sides = {"senders": rule.senders, "receivers": receivers}
    return g.relation(rule.edge_index, weight=w.detach(), type=rule.type, **sides)


@pytest.mark.parametrize("batch", [(), (2,)])
@pytest.mark.parametrize("name", WEIGHED)
def test_weights_that_come_with_the_call(name, batch):
    """The numbers of a relation that keeps them, and gradients to them that the reference has."""
    make, rule, lowering = WEIGHED[name]
    layer = make().double()
    rule = layer.rule if rule is None else rule
    torch.manual_seed(0)
    w = torch.rand(*batch, 4, dtype=torch.float64) + 0.5
    source = g.Complete(3 if name == "reversed" else 5)
    target = rule.target(source)
    s, receiver = senders(source), senders(target)

    def answer(w: torch.Tensor) -> torch.Tensor:
        return layer(receiver, s, rule=weighed(rule, w, kept=False)).x

    found, grads = {}, {}
    for chosen in (lowering, "edges"):
        layer.lowering, leaf = chosen, w.clone().requires_grad_()
        found[chosen] = answer(leaf)
        grads[chosen] = torch.autograd.grad(found[chosen].sin().sum(), [leaf, *layer.parameters()])
        assert torch.autograd.gradgradcheck(lambda w: answer(w).sin(), (leaf,))
        slope = grad(lambda w: answer(w).sin().sum())(w)
        assert error(slope, grads[chosen][0]) < 1e-10
    assert error(found[lowering], found["edges"]) < 1e-10
    assert max(map(error, grads[lowering], grads["edges"])) < 1e-10
    assert grads["edges"][0].abs().min() > 1e-3
    rows = [w] if not batch else list(w)
    for k, row in enumerate(rows):
        part = slice(None) if not batch else slice(k, k + 1)
        kept = weighed(rule, row, kept=True)
        wanted = layer(receiver.with_x(receiver.x[part]), s.with_x(s.x[part]), rule=kept).x
        assert error(found["edges"][part], wanted) < 1e-10


def test_twins_with_weights_share_plans_and_leave_no_weights_behind():
    rule, layer, s = given_edges(), g.Conv(4, 2, g.itself()).double(), senders()
    w = torch.ones(4, dtype=torch.float64, requires_grad=True)
    for scale in (1.0, 2.0, 3.0):
        layer(s, rule=rule.with_weights(scale * w))
        layer(senders(ITEMS), rule=rule.with_weights(scale * w).reverse())
    assert num_plans(rule) == 2 and rule.weight is None
    gone = weakref.ref(w)
    del w
    gc.collect()
    assert gone() is None
    twin = rule.with_weights(torch.ones(2, 4))
    assert repr(twin) == "relation(5 senders, 3 receivers, 4 edges, weighted at run time)"
    assert twin.cache is rule.cache and twin.to("cpu") is twin
    for layer in (g.Pool(twin), g.Attention(4, twin, 2).double()):
        with pytest.raises(g.GeodlError, match="weighted edges"):
            layer(senders(ITEMS), s)
    with pytest.raises(g.GeodlError, match="weights for a batch of 3 and a batch of 2"):
        g.Propagate(rule.with_weights(torch.ones(3, 4)))(s)
    with pytest.raises(g.GeodlError, match=r"give weights of shape \[4\] or \[B, 4\]"):
        rule.with_weights(torch.ones(3))
