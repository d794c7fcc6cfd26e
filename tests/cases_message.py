"""Random messages for the conformance tests: every option, with a state of edges and of graphs."""

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

import geodl as g
from geodl.layer.message import REDUCTIONS
from tests.strategies import (
    Case,
    Gated,
    anywhere,
    called,
    graphs,
    joined,
    plain_graphs,
    unequal,
    with_state,
)


def scaled(x: Tensor, y: Tensor, u: Tensor | None = None) -> Tensor:
    """An update that reads all it is given."""
    y = x.sum(-1, keepdim=True) * y
    return y if u is None else y + u.sum(-1, keepdim=True)


@st.composite
def any_message(draw: st.DrawFn) -> Case:
    loops = g.adjacency(self_loops=True, fill=draw(st.sampled_from((0, 0.5, "mean"))))
    normed = g.adjacency("sym", self_loops=True)
    plain = (g.adjacency(), g.adjacency().reverse(), g.predecessors(), g.itself(), g.all_pairs())
    rule = draw(st.sampled_from((loops, normed, *plain)))
    domain = draw(st.one_of(graphs(), plain_graphs(), anywhere(), unequal()))
    if draw(st.booleans()) and domain.members is None:
        domain = g.Batch([domain] * 2)
    several = (("mean", "max", "std"), ("softmax", "min", "sum"))
    reduce = draw(st.sampled_from((*REDUCTIONS, *several)))
    update, reads = draw(st.sampled_from((None, scaled))), draw(st.booleans())
    layer = g.Message(
        Gated(2),
        rule,
        reduce,
        update,
        reads_globals=reads,
        max_edges=draw(st.sampled_from((None, None, 1, 3))),
    )
    case = draw(called(layer, domain))
    if "std" in layer.options.reductions:
        # In single precision the root of a small variance loses more digits than the bound allows.
        layer.double()
        case = Case(layer, tuple(s.to(torch.float64) for s in case.signals))
    return draw(with_state(case, globals=reads))


@st.composite
def message_over_relation(draw: st.DrawFn) -> Case:
    """Messages between two sets of nodes, along edges with features and without."""
    between = draw(joined(weighted=draw(st.booleans())))
    layer = g.Message(Gated(2), between.rule, draw(st.sampled_from(("sum", "mean", "max", "min"))))
    case = draw(called(layer, *between.domains(reads_receivers=True)))
    if draw(st.booleans()):
        generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
        batch, dtype = case.signals[0].shape[0], case.signals[0].dtype
        shape = draw(st.sampled_from((1, batch))), layer.rule.owner.edge_index.shape[1], 2
        state = torch.randn(shape, generator=generator, dtype=dtype)
        layer.rule = with_features(layer.rule, state)
    return case


@st.composite
def message_of_a_network(draw: st.DrawFn) -> Case:
    """A network that reads side by side what the function of another call is handed one by one."""
    case = draw(st.one_of(any_message(), message_over_relation()))
    layer, options = case.layer, case.layer.options
    # A second layer with as many channels as the nodes have, or too many for its first one to be
    # split.
    width, hidden = channels_seen(case), draw(st.sampled_from((3, 20)))
    net = nn.Sequential(nn.Linear(width, hidden), nn.Tanh(), nn.Linear(hidden, 2))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    again = g.Message(
        net,
        layer.rule,
        options.reductions,
        layer.update,
        reads_globals=layer.reads_globals,
        max_edges=options.max_edges,
    )
    return Case(again.to(case.signals[0].dtype), case.signals)


def channels_seen(case: Case) -> int:
    """The channels of all that a function of messages is handed."""
    found = [0]

    def count(*values: Tensor | None) -> Tensor:
        given = [value for value in values if value is not None]
        found[0] = sum(value.shape[-1] for value in given)
        return given[0]

    g.Message(count, case.layer.rule, reads_globals=case.layer.reads_globals)(*case.signals)
    return found[0]


def with_features(rule: g.Neighborhood, state: Tensor) -> g.Neighborhood:
    """A relation, or one turned around, with features of its edges."""
    if rule is rule.owner:
        return rule.with_edges(state)
    return rule.owner.with_edges(state).reverse()
