"""Random cases for the conformance tests: a layer and the signals it is called with, one strategy per verb and lowering."""

import math
from typing import NamedTuple

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

import geodl as g
from geodl.domain import Domain
from geodl.layer import MessagePassing
from geodl.neighborhood import Neighborhood

FLAT = (g.C(1), g.C(2), g.C(4), g.D(1), g.D(2), g.D(4))
SOLID = (g.O(), g.Oh())
CELLS = ("lstm", "gru", "rnn_tanh", "rnn_relu")
REDUCTIONS = ("sum", "mean", "max", "min")
few = st.integers(1, 3)


class Case(NamedTuple):
    """A layer, and the signals it is called with."""

    layer: MessagePassing
    signals: tuple[g.Signal, ...]


class Gated(nn.Module):
    """A message that reads all it is given."""

    def __init__(self, channels: int):
        super().__init__()
        self.receiver, self.sender = nn.Linear(channels, 2), nn.Linear(channels, 2)

    def forward(self, x_i: Tensor, x_j: Tensor, e_ij: Tensor | None) -> Tensor:
        y = torch.tanh(self.receiver(x_i)) * self.sender(x_j)
        return y if e_ij is None else y * e_ij + e_ij


def filled(shape: tuple[int, int, int], memory: str, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    """Normal values `[B, N, C]` that stand in memory in one of several orders."""
    b, n, c = shape
    if memory == "nodes first":
        return torch.randn(n, b, c, generator=generator, dtype=dtype).transpose(0, 1)
    if memory == "channels first":
        return torch.randn(b, c, n, generator=generator, dtype=dtype).transpose(1, 2)
    if memory == "every second":
        return torch.randn(b, n, 2 * c, generator=generator, dtype=dtype)[:, :, ::2]
    return torch.randn(b, n, c, generator=generator, dtype=dtype)


@st.composite
def called(draw: st.DrawFn, layer: MessagePassing, *domains: Domain) -> Case:
    """A layer with random parameters on random signals, on each of the domains one."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    batch, dtype = draw(st.sampled_from((0, 1, 3))), draw(st.sampled_from((torch.float64, torch.float32)))
    memory = draw(st.sampled_from(("contiguous", "nodes first", "channels first", "every second")))
    channels = getattr(layer, "channels_in", 2)
    with torch.no_grad():
        for parameter in layer.to(dtype).parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator, dtype=dtype))
    values = [filled((batch, domain.num_nodes, channels), memory, generator, dtype) for domain in domains]
    return Case(layer, tuple(g.Signal(x, domain) for x, domain in zip(values, domains, strict=True)))


@st.composite
def boxes(draw: st.DrawFn, axes: int, equal: bool, widest: int) -> dict:
    """Arguments of a window, even and odd, with every notation of padding."""
    each = st.tuples(*[st.integers(1, widest)] * axes)
    size = (draw(st.integers(1, widest)),) * axes if equal else draw(each)
    stride, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    paddings = [st.sampled_from(("valid", "causal")), st.integers(0, 2)]
    paddings += [st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * axes)]
    paddings += [st.just("same")] if all(k % 2 for k in size) else []
    return {"size": size, "stride": stride, "dilation": dilation, "padding": draw(st.one_of(paddings))}


@st.composite
def lattices(draw: st.DrawFn, rule: Neighborhood, periodic: bool = True) -> Domain:
    """A lattice on which a window fits, and around which its padding wraps at most once."""
    lengths = []
    for k, d, padding in zip(rule.size, rule.dilation, rule.padding, strict=True):
        lengths.append(max(1, d * (k - 1) + 1 - sum(padding), *padding) + draw(st.integers(0, 2 if len(rule.size) > 1 else 5)))
    wraps = draw(st.tuples(*[st.booleans() if periodic else st.just(False)] * len(lengths)))
    grid = g.Grid(*lengths, periodic=wraps)
    if rule.group is not None and rule.hears_fiber:
        return g.GroupGrid(grid, rule.group)
    return g.Chain(*lengths) if len(lengths) == 1 and not any(wraps) and draw(st.booleans()) else grid


@st.composite
def windows(draw: st.DrawFn) -> Neighborhood:
    """Plain windows on one to three axes, lifts, isotropic windows and windows of a group."""
    make = draw(st.sampled_from((g.window, g.window, g.lift, g.isotropic, "group")))
    if make is g.window:
        return g.window(**draw(boxes(draw(few), False, 3)))
    group = draw(st.sampled_from(FLAT * 2 + SOLID))
    box = draw(boxes(group.axes, True, 3 if group.axes == 2 else 2))
    return g.window(**box, group=group, exact=False) if make == "group" else make(**box, group=group, exact=False)


@st.composite
def lattice_convolve(draw: st.DrawFn) -> Case:
    rule = draw(windows())
    reverse = draw(st.booleans())
    domain = draw(lattices(rule, periodic=not reverse))
    if reverse:
        rule, domain = rule.reverse(onto=domain), rule.target(domain)
    layer = g.Conv(draw(few), draw(few), rule, bias=draw(st.booleans()))
    several = domain.num_nodes < 30 and not reverse and draw(st.booleans())
    return draw(called(layer, g.Batch([domain, domain]) if several else domain))


@st.composite
def graphs(draw: st.DrawFn, *, weighted: bool | None = None, types: bool | None = None) -> g.Graph:
    """Directed multigraphs with self-loops, parallel edges and isolated nodes, down to one node and no edges."""
    n, count = draw(st.integers(1, 7)), draw(st.integers(0, 14))
    ends = st.lists(st.integers(0, n - 1), min_size=count, max_size=count)
    weights = st.lists(st.floats(0, 2, width=32), min_size=count, max_size=count)
    heavy = draw(st.booleans()) if weighted is None else weighted
    typed = draw(st.booleans()) if types is None else types
    kinds = draw(st.lists(st.integers(0, 2), min_size=count, max_size=count)) if typed else None
    index = torch.tensor([draw(ends), draw(ends)], dtype=torch.long)
    kind = None if kinds is None else torch.tensor(kinds, dtype=torch.long)
    return g.Graph(index, n, edge_weight=torch.tensor(draw(weights)) if heavy else None, edge_type=kind)


@st.composite
def plain_graphs(draw: st.DrawFn) -> Domain:
    """Unweighted graphs, alone or several side by side."""
    parts = draw(st.lists(graphs(weighted=False), min_size=1, max_size=3))
    return parts[0] if len(parts) == 1 else g.Batch(parts)


@st.composite
def spmm_convolve(draw: st.DrawFn) -> Case:
    kind = draw(st.sampled_from(("graph", "graph", "relations", "members", "links", "around")))
    loops, norm = draw(st.booleans()), draw(st.sampled_from((None, "sym", "row", "laplacian")))
    if kind == "relations":
        rule = g.adjacency(draw(st.sampled_from((None, "sym", "row"))), loops, types=3)
        members = draw(st.lists(graphs(types=True), min_size=1, max_size=2))
        domain = members[0] if len(members) == 1 else g.Batch(members)
    elif kind == "around":
        forward = draw(windows().filter(lambda rule: rule.group is None))
        onto = draw(lattices(forward))
        rule, domain = forward.reverse(onto=onto), forward.target(onto)
    elif kind == "links":
        rule, domain = g.predecessors(), draw(st.sampled_from((*g.Grid.small(), *g.Chain.small(), *g.GroupGrid.small()[:3])))
    else:
        rule = g.adjacency(norm, loops)
        rule = rule.reverse() if draw(st.booleans()) else rule
        parts = draw(st.lists(graphs(), min_size=1, max_size=3 if kind == "members" else 1))
        domain = parts[0] if len(parts) == 1 else g.Batch(parts)
    return draw(called(g.Conv(draw(few), draw(few), rule, bias=draw(st.booleans())), domain))


@st.composite
def anywhere(draw: st.DrawFn) -> Domain:
    """A small domain of any kind that is no union."""
    n = draw(st.integers(1, 6))
    places = (g.Chain(n), g.Complete(n), g.Grid(n), g.Grid(2, 3, periodic=True), g.GroupGrid(g.Grid(2, 2), g.C(4)))
    return draw(st.one_of(st.sampled_from(places), graphs(weighted=False)))


@st.composite
def unequal(draw: st.DrawFn) -> g.Batch:
    """A union of chains of different lengths."""
    lengths = draw(st.lists(st.integers(1, 5), min_size=2, max_size=3, unique=True))
    return g.Batch([g.Chain(n) for n in lengths])


@st.composite
def mean_convolve(draw: st.DrawFn) -> Case:
    rule, domain = g.all_pairs(draw(st.sampled_from((None, "self")))), draw(anywhere())
    layer = g.Conv(draw(few), draw(few), rule, bias=draw(st.booleans()))
    if rule.by is None and draw(st.booleans()):
        return draw(called(layer, draw(anywhere()), domain))
    return draw(called(layer, g.Batch([domain] * 2) if draw(st.booleans()) else domain))


@st.composite
def typed_pairs(draw: st.DrawFn) -> tuple[Neighborhood, Domain]:
    """All pairs by a type that the domain decides."""
    if draw(st.booleans()):
        return g.all_pairs("orbit"), draw(st.one_of(anywhere(), st.sampled_from(g.GSet.small())))
    return g.all_pairs("offset"), draw(st.sampled_from((*g.Grid.small()[:4], g.Grid(2, 2, 2), *g.Chain.small())))


@st.composite
def edges_convolve(draw: st.DrawFn) -> Case:
    kind = draw(st.sampled_from(("typed", "past", "unequal")))
    if kind == "typed":
        rule, domain = draw(typed_pairs())
        return draw(called(g.Conv(draw(few), draw(few), rule, on=domain), domain))
    rule = g.past() if kind == "past" else g.all_pairs(draw(st.sampled_from((None, "self"))))
    domain = g.Chain(draw(st.integers(1, 6))) if kind == "past" else draw(unequal())
    return draw(called(g.Conv(draw(few), draw(few), rule), domain))


def attention(draw: st.DrawFn, rule: Neighborhood, relative: bool = False, on: Domain | None = None) -> g.Attention:
    heads = draw(few)
    return g.Attention(
        draw(few), rule, heads=heads, head_dim=draw(few), relative=relative, bias=draw(st.booleans()), on=on
    )  # fmt: skip


@st.composite
def sdpa_attend(draw: st.DrawFn) -> Case:
    kind = draw(st.sampled_from(("self", "cross", "causal", "relative", "typed")))
    if kind == "typed":
        rule, domain = draw(typed_pairs())
        return draw(called(attention(draw, rule, relative=True, on=domain), domain))
    domain = g.Chain(draw(st.integers(1, 6))) if kind == "causal" else draw(anywhere())
    rule = g.past() if kind == "causal" else g.all_pairs("self" if kind == "relative" else None)
    layer = attention(draw, rule, relative=kind == "relative")
    if kind == "cross":
        return draw(called(layer, draw(anywhere()), domain))
    return draw(called(layer, g.Batch([domain] * 3) if draw(st.booleans()) else domain))


@st.composite
def edges_attend(draw: st.DrawFn) -> Case:
    kind = draw(st.sampled_from(("graph", "relations", "window", "causal", "unequal")))
    if kind == "graph":
        rule = draw(st.sampled_from((g.adjacency(None, False), g.adjacency(None), g.predecessors())))
        return draw(called(attention(draw, rule), draw(plain_graphs())))
    if kind == "relations":
        rule = g.adjacency(None, draw(st.booleans()), types=3)
        return draw(called(attention(draw, rule, relative=True), draw(graphs(weighted=False, types=True))))
    if kind == "window":
        rule = draw(windows().filter(lambda w: w.group is None or w.group.axes == 2))
        rule = g.window(rule.size) if all(k % 2 for k in rule.size) else g.window(3, axes=1)
        return draw(called(attention(draw, rule, relative=True), draw(lattices(rule))))
    rule = g.past() if kind == "causal" else draw(st.sampled_from((g.past(), g.all_pairs())))
    domain = g.Chain(draw(st.integers(1, 6))) if kind == "causal" else draw(unequal())
    return draw(called(attention(draw, rule, relative=kind == "causal"), domain))


@st.composite
def edges_message(draw: st.DrawFn) -> Case:
    rule = draw(st.sampled_from((g.adjacency(None, False), g.adjacency("sym"), g.predecessors(), g.itself(), g.all_pairs())))
    domain = draw(st.one_of(graphs(), plain_graphs(), anywhere()))
    update = draw(st.sampled_from((None, lambda x, y: x.sum(-1, keepdim=True) * y)))
    return draw(called(g.Message(Gated(2), rule, draw(st.sampled_from(REDUCTIONS)), update), domain))


@st.composite
def rnn_recur(draw: st.DrawFn) -> Case:
    rule, chain = g.previous(), g.Chain(draw(st.integers(1, 6)))
    rule = rule.reverse() if draw(st.booleans()) else rule
    domain = g.Batch([chain] * 2) if draw(st.booleans()) else chain
    return draw(called(g.Recurrent(draw(few), draw(few), draw(st.sampled_from(CELLS)), rule), domain))


@st.composite
def dags(draw: st.DrawFn) -> g.Graph:
    """Directed graphs without cycles, in a random order of their nodes."""
    n = draw(st.integers(1, 6))
    pairs = draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).filter(lambda p: p[0] != p[1]), max_size=9)) if n > 1 else []
    order = draw(st.permutations(range(n)))
    index = torch.tensor([(order[min(p)], order[max(p)]) for p in pairs], dtype=torch.long).reshape(-1, 2).T
    return g.Graph(index, n)


@st.composite
def edges_recur(draw: st.DrawFn) -> Case:
    ragged = draw(st.booleans())
    rule = draw(st.sampled_from((g.previous(), g.previous().reverse()))) if ragged else g.predecessors()
    domain = draw(unequal()) if ragged else draw(dags())
    return draw(called(g.Recurrent(draw(few), draw(few), draw(st.sampled_from(CELLS)), rule), domain))


@st.composite
def lattice_pool(draw: st.DrawFn) -> Case:
    reduce, axes = draw(st.sampled_from(REDUCTIONS)), draw(few)
    size, stride = draw(st.tuples(*[st.integers(1, 3)] * axes)), draw(st.integers(1, 3))
    dilation = draw(st.integers(1, 2)) if reduce in ("max", "min") else 1
    padding = tuple(draw(st.integers(0, k // 2)) for k in size)
    rule = g.window(size, stride=stride, dilation=dilation, padding=padding, exact=False)
    domain = draw(lattices(rule, periodic=False))
    if axes == 3 or any(p and k == 2 for p, k in zip(padding, size, strict=True)):
        domain = g.Grid(*(n + 2 for n in domain.lattice))  # torch does not pool, or not all, of shorter axes
    if axes > 1 and draw(st.booleans()):
        domain = g.GroupGrid(domain, draw(st.sampled_from(FLAT if axes == 2 else SOLID[:1])))
    return draw(called(g.Pool(rule, reduce), g.Batch([domain] * 2) if draw(st.booleans()) else domain))


@st.composite
def blocks_pool(draw: st.DrawFn) -> Case:
    rule = draw(st.sampled_from((g.fiber(), g.whole())))
    domain = draw(st.sampled_from(g.GroupGrid.small()[:3]) if rule == g.fiber() else anywhere())
    layer = g.Pool(rule, draw(st.sampled_from(REDUCTIONS)))
    return draw(called(layer, g.Batch([domain] * 3) if draw(st.booleans()) else domain))


@st.composite
def edges_pool(draw: st.DrawFn) -> Case:
    kind, reduce = draw(st.sampled_from(("graph", "around", "unequal"))), draw(st.sampled_from(REDUCTIONS))
    if kind == "graph":
        rule = g.adjacency(None, draw(st.booleans()))
        return draw(called(g.Pool(rule, reduce), draw(plain_graphs())))
    if kind == "unequal":
        return draw(called(g.Pool(g.whole(), reduce), draw(unequal())))
    rule = g.window(draw(st.sampled_from((1, 3))), axes=draw(few), padding=2)
    domain = draw(lattices(rule))
    return draw(called(g.Pool(rule, reduce), domain))


CASES = {
    ("convolve", "lattice"): lattice_convolve(),
    ("convolve", "mean"): mean_convolve(),
    ("convolve", "spmm"): spmm_convolve(),
    ("convolve", "edges"): edges_convolve(),
    ("attend", "sdpa"): sdpa_attend(),
    ("attend", "edges"): edges_attend(),
    ("message", "edges"): edges_message(),
    ("recur", "rnn"): rnn_recur(),
    ("recur", "edges"): edges_recur(),
    ("pool", "lattice"): lattice_pool(),
    ("pool", "blocks"): blocks_pool(),
    ("pool", "edges"): edges_pool(),
}
