"""A second signal, or a state, that a layer does not take is refused in words."""

import pytest
import torch
from torch import nn

import geodl as g
from tests.bad_input import GRID, THREE, TWO, assert_refused, attention, conv, on, twice

SECOND_SIGNALS = {
    "cross batch": (
        lambda: attention()(on(g.Chain(3), batch=3), on(g.Chain(2), batch=2)),
        "from Chain(2)",
        "a batch of 2 for a batch of 3",
        "equal batches",
    ),
    "conv batch": (
        lambda: conv(g.all_pairs())(on(g.Chain(3), batch=3), on(g.Chain(2), batch=2)),
        "",
        "a batch of 2",
        "equal",
    ),
    "cross channels": (lambda: attention()(on(g.Chain(3), 5), TWO), "", "receivers of 5", "give 2"),
    "cross device": (
        lambda: conv(g.all_pairs())(on(g.Chain(3), device="meta"), TWO),
        "",
        "receivers on meta",
        "one device",
    ),
    "cross tensor": (
        lambda: conv(g.all_pairs())(torch.zeros(1, 3, 2), TWO),
        "",
        "a Tensor as the receiver",
        "two Signals",
    ),
    "cross window": (
        lambda: conv(g.window(3, axes=1))(on(g.Chain(7)), on(g.Chain(5))),
        "Chain(5) to Chain(7)",
        "receivers on Chain(7) in place of Chain(5)",
        "all_pairs",
    ),
    "cross self": (
        lambda: conv(g.all_pairs("self"))(THREE, TWO),
        "",
        "another domain",
        "all_pairs()",
    ),
    "no queries": (
        lambda: attention(g.window(2, stride=2))(on(GRID)),
        "",
        "receivers on Grid(2, 2)",
        "layer(receiver, sender)",
    ),
    "no receivers": (
        lambda: g.Message(twice, g.whole())(on(GRID)),
        "",
        "receivers on Complete(1)",
        "layer(receiver, sender)",
    ),
    "sender of a cell": (
        lambda: g.Recurrent(2, 2)(THREE, THREE),
        "",
        "a second signal",
        "its own domain",
    ),
    "sender of a norm": (
        lambda: g.BatchNorm(2)(THREE, THREE),
        "",
        "a second signal",
        "its own domain",
    ),
    "sender of a module": (
        lambda: g.Sequential(nn.ReLU())(on(GRID), on(GRID)),
        "Sequential() with a sender",
        "a second signal that no layer in it takes",
        "Cross(layer)",
    ),
    "message of another length": (
        lambda: g.Message(lambda x_i, x_j, e_ij: x_j[:, 1:], g.past())(TWO),
        "Message(<lambda>, past(), reduce='sum')",
        "a message of shape [1, 2, 2] for values of shape [1, 3, 2]",
        "give [1, 3, C]",
    ),
    "message without channels": (
        lambda: g.Message(lambda x_i, x_j, e_ij: x_j.sum(-1), g.past())(TWO),
        "",
        "a message of shape [1, 3]",
        "give [1, 3, C]",
    ),
    "no message": (
        lambda: g.Message(lambda x_i, x_j, e_ij: None, g.past())(TWO),
        "",
        "a message that answers with a NoneType",
        "give [1, 3, C]",
    ),
    "update of another length": (
        lambda: g.Message(twice, g.past(), update=lambda x_i, y_i: y_i[:, 1:])(TWO),
        "",
        "a update of shape [1, 1, 2]",
        "give [1, 2, C]",
    ),
    "no globals": (
        lambda: g.Message(twice, g.past(), reads_globals=True)(TWO),
        "reads_globals=True) called",
        "a signal without globals",
        "signal.with_globals(u)",
    ),
    "edges of another dtype": (
        lambda: g.Message(twice, g.adjacency())(TWO.with_edges(torch.zeros(1, 1, 1).double())),
        "",
        "edges of torch.float64 and values of torch.float32",
        "with .to(dtype)",
    ),
    "new edges over added ones": (
        lambda: g.EdgeUpdate(twice, g.adjacency(self_loops=True))(TWO),
        "a new state of edges over adjacency(self_loops=True)",
        "edges that are not the links, each of them once",
        "as adjacency()",
    ),
    "new edges over a window": (
        lambda: g.EdgeUpdate(twice, g.past())(TWO),
        "a new state of edges over past()",
        "a rule that reads no links",
        "as adjacency()",
    ),
    "new edges between two signals": (
        lambda: g.EdgeUpdate(twice, g.adjacency())(TWO, TWO),
        "",
        "a second signal",
        "its own domain",
    ),
}
STATES = {
    "state of edges": (
        lambda: g.Message(twice, g.predecessors()).step(TWO.with_edges(torch.zeros(1, 1, 1))),
        "a step of Message(",
        "a state of edges, which pieces do not have in common",
        "signal.with_edges(None)",
    ),
    "state": (
        lambda: g.Recurrent(2, 2).step(THREE, (torch.zeros(1, 1, 2),)),
        "a state",
        "[1, 1, 2]",
        "what step returned",
    ),
    "state dtype": (
        lambda: g.Recurrent(2, 2).step(THREE, (torch.zeros(1, 1, 2).double(),) * 2),
        "",
        "float64",
        "[1, 1, 2]",
    ),
    "state of numbers": (
        lambda: g.Recurrent(2, 2).step(THREE, 5),
        "a state",
        "['int']",
        "what step returned",
    ),
    "state of keys": (
        lambda: attention(g.past()).step(THREE, (torch.zeros(1, 2, 1, 3),) * 2),
        "a state",
        "[1, 2, 1, 3]",
        "[1, any, 1, 2] and [1, any, 1, 2]",
    ),
    "state of two lengths": (
        lambda: attention(g.past()).step(THREE, (torch.zeros(1, 4, 1, 2), torch.zeros(1, 2, 1, 2))),
        "a state",
        "[1, 4, 1, 2]",
        "[1, any, 1, 2] and",
    ),
    "cell elsewhere": (
        lambda: g.Recurrent(2, 2, rule=g.window(1, 1, stride=2))(on(g.Chain(4))),
        "recurs",
        "receivers on Chain(2)",
        "stays on its domain",
    ),
    "state of a window": (
        lambda: conv(g.window(3, axes=1, padding="causal")).step(THREE, torch.zeros(2, 2, 2)),
        "a state",
        "[2, 2, 2]",
        "[1, any, 2] like",
    ),
    "state of a row": (
        lambda: g.Sequential(g.Recurrent(2, 2)).step(THREE, (None, None)),
        "a step of Sequential",
        "2 states of 1 layers",
        "what step returned",
    ),
    "state of no row": (
        lambda: g.Concat(g.Recurrent(2, 2)).step(THREE, 5),
        "a step of Concat",
        "a int",
        "what step",
    ),
    "step of a tensor": (
        lambda: conv(g.window(3, axes=1, padding="causal")).step(torch.zeros(1, 3, 2)),
        "Conv",
        "a Tensor",
        "give a Signal",
    ),
}


@pytest.mark.parametrize("name", SECOND_SIGNALS)
def test_second_signals_are_refused_in_words(name):
    assert_refused(SECOND_SIGNALS[name])


@pytest.mark.parametrize("name", STATES)
def test_states_are_refused_in_words(name):
    assert_refused(STATES[name])
