"""Random convolutions: dense, in blocks, depthwise and without weights, one strategy for each
lowering.
"""

from dataclasses import replace

import torch
from hypothesis import strategies as st

import geodl as g
from geodl.domain import Domain
from geodl.neighborhood import Neighborhood
from tests.strategies import (
    Case,
    anywhere,
    based_windows,
    called,
    chosen,
    few,
    graphs,
    joined,
    lattices,
    two_way,
    typed_pairs,
    unequal,
    windows,
)


def linear(draw: st.DrawFn, rule: Neighborhood, on: Domain | None = None) -> g.Conv | g.Propagate:
    """A linear layer: dense, in blocks, depthwise, or the operator alone, its types added or
    apart.
    """
    kind = draw(st.sampled_from(("dense", "dense", "blocks", "depthwise", "bare", "apart")))
    if kind == "bare":
        return g.Propagate(rule, on=on)
    if kind == "apart":
        return g.Propagate(rule, join="concat", on=on)
    channels, made, groups = draw(few), draw(few), 1
    if kind == "blocks":
        channels, made, groups = 2 * channels, 2 * made, 2
    if kind == "depthwise":
        made, groups = channels * made, channels
    return g.Conv(channels, made, rule, draw(st.booleans()), on, groups)


@st.composite
def lattice_convolve(draw: st.DrawFn) -> Case:
    rule = draw(st.one_of(windows(), windows(), based_windows()))
    reverse = draw(st.booleans())
    domain = draw(lattices(rule, periodic=not reverse))
    if reverse:
        rule, domain = rule.reverse(onto=domain), rule.target(domain)
    layer = linear(draw, rule)
    several = domain.num_nodes < 30 and not reverse and draw(st.booleans())
    return draw(called(layer, g.Batch([domain, domain]) if several else domain))


@st.composite
def regroup_convolve(draw: st.DrawFn) -> Case:
    pairs = ((g.D(4), g.C(4)), (g.C(4), g.C(2)), (g.D(4), g.D(1)), (g.Oh(), g.O()))
    group, part = draw(st.sampled_from(pairs))
    lengths = [draw(st.integers(1, 3)) for _ in range(group.axes)]
    domain: Domain = g.GroupGrid(g.Grid(*lengths, periodic=draw(st.booleans())), group)
    if draw(st.booleans()):
        domain = g.Batch([domain, domain])
    return draw(called(g.Restrict(group, part), domain))


def reweighted(draw: st.DrawFn, graph: g.Graph) -> g.Graph:
    """A twin of a graph whose weights come with each call."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    return graph.with_weights(torch.rand(graph.num_links, generator=generator))


@st.composite
def spmm_convolve(draw: st.DrawFn) -> Case:
    kinds = ("graph", "graph", "laplacian", "relations", "members", "chosen", "links", "around")
    kinds += ("given",)
    kind = draw(st.sampled_from(kinds))
    if kind == "given":
        between = draw(joined(weighted=draw(st.booleans()), types=draw(few)))
        return draw(called(linear(draw, between.rule), *between.domains(reads_receivers=False)))
    loops, norm = draw(st.booleans()), draw(st.sampled_from((None, "sym", "row")))
    if kind == "relations":
        rule = g.adjacency(draw(st.sampled_from((None, "sym", "row"))), loops, types=3)
        members = draw(st.lists(graphs(types=True), min_size=1, max_size=2))
        domain = members[0] if len(members) == 1 else g.Batch(members)
    elif kind == "chosen":
        types = draw(st.sampled_from((None, 3)))
        rule = g.adjacency(norm, loops, types)
        rule = rule.reverse() if draw(st.booleans()) else rule
        domain = draw(chosen(types=types is not None))
    elif kind == "around":
        either = st.one_of(windows(), based_windows())
        forward = draw(either.filter(lambda rule: rule.group is None))
        onto = draw(lattices(forward))
        rule, domain = forward.reverse(onto=onto), forward.target(onto)
    elif kind == "links":
        rule, domain = (
            g.predecessors(),
            draw(st.sampled_from((*g.Grid.small(), *g.Chain.small(), *g.GroupGrid.small()[:3]))),
        )
    elif kind == "laplacian":
        rule = g.laplacian(draw(st.sampled_from((None, "sym", "rw"))))
        rule = rule.reverse() if draw(st.booleans()) else rule
        domain = two_way(draw(graphs(types=False)))
    else:
        rule = g.adjacency(norm, self_loops=loops)
        rule = rule.reverse() if draw(st.booleans()) else rule
        parts = draw(st.lists(graphs(), min_size=1, max_size=3 if kind == "members" else 1))
        if draw(st.booleans()):
            parts[0] = reweighted(draw, parts[0])
        domain = parts[0] if len(parts) == 1 else g.Batch(parts)
    return draw(called(linear(draw, rule), domain))


@st.composite
def polynomials(draw: st.DrawFn) -> tuple[Neighborhood, Domain]:
    """Polynomials of Laplacians, of adjacencies and of a shift, on graphs and unions of them."""
    order, basis = draw(st.integers(0, 4)), draw(st.sampled_from(("chebyshev", "bernstein")))
    if draw(st.booleans()):
        parts = draw(st.lists(graphs(types=False), min_size=1, max_size=2))
        parts = [two_way(part) for part in parts]
        domain = parts[0] if len(parts) == 1 else g.Batch(parts)
        rule = g.laplacian(draw(st.sampled_from((None, "sym", "rw"))))
        largest = draw(st.sampled_from((None, 3.0)))
        rule = g.polynomial(rule, order, basis, lambda_max=largest)
        return draw(st.sampled_from((rule, rule.reverse()))), domain
    base, domain = g.previous(), draw(st.one_of(st.just(g.Chain(5)), unequal()))
    if draw(st.booleans()):
        base = g.adjacency(draw(st.sampled_from((None, "row"))), draw(st.booleans()))
        domain = draw(graphs())
    if basis == "chebyshev":
        return g.polynomial(base, order, "monomial"), domain
    return g.polynomial(base, order, basis, lambda_max=2.0), domain


@st.composite
def polynomial_convolve(draw: st.DrawFn) -> Case:
    rule, domain = draw(polynomials())
    return draw(called(linear(draw, rule), domain))


@st.composite
def mean_convolve(draw: st.DrawFn) -> Case:
    rule, domain = g.all_pairs(draw(st.sampled_from((None, "self")))), draw(anywhere())
    layer = linear(draw, rule)
    if rule.by is None and draw(st.booleans()):
        return draw(called(layer, draw(anywhere()), domain))
    return draw(called(layer, g.Batch([domain] * 2) if draw(st.booleans()) else domain))


@st.composite
def edges_convolve(draw: st.DrawFn) -> Case:
    kind = draw(st.sampled_from(("typed", "past", "unequal")))
    if kind == "typed":
        rule, domain = draw(typed_pairs())
        return draw(called(linear(draw, rule, domain), domain))
    rule = g.past() if kind == "past" else g.all_pairs(draw(st.sampled_from((None, "self"))))
    domain = g.Chain(draw(st.integers(1, 6))) if kind == "past" else draw(unequal())
    return draw(called(linear(draw, rule), domain))


@st.composite
def fft_convolve(draw: st.DrawFn) -> Case:
    """Windows of many places around lattices that wrap, wider than these too, both ways, between
    fibers; depthwise ones.
    """
    if draw(st.booleans()):
        size = draw(st.integers(128, 140))
        low = draw(st.integers(0, size - 1))
        rule = g.window(size, axes=1, dilation=draw(few), padding=((low, 0),))
        reach = rule.dilation[0] * (size - 1)
        rule = replace(rule, padding=((low, reach - low),))
        domain: Domain = g.Grid(draw(st.integers(3, 150)), periodic=True)
    elif draw(st.booleans()):
        group = draw(st.sampled_from((g.C(2), g.C(4))))
        make = draw(st.sampled_from((g.lift, g.window, g.isotropic)))
        basis = draw(st.sampled_from((None, g.gaussian_derivatives(2))))
        rule = make(15, group=group, exact=False, basis=basis)
        domain = g.Grid(4, 4, periodic=True)
        if make is g.window:
            domain = g.GroupGrid(domain, group)
    else:
        basis = draw(st.sampled_from((None, g.gaussian_derivatives(3, width=2.0))))
        rule = g.window((15, 17), dilation=draw(st.sampled_from((1, 2))), basis=basis)
        domain = g.Grid(draw(st.integers(3, 9)), draw(st.integers(16, 18)), periodic=True)
    if draw(st.booleans()):
        rule, domain = rule.reverse(onto=domain), rule.target(domain)
    layer = g.Conv(draw(few), draw(few), rule, draw(st.booleans()))
    if domain.fiber is None and rule.group is None and draw(st.booleans()):
        channels = draw(few)
        layer = g.Conv(channels, channels, rule, draw(st.booleans()), groups=channels)
        if draw(st.booleans()):
            layer = g.Propagate(rule)
    return draw(called(layer, domain))


@st.composite
def gft_convolve(draw: st.DrawFn) -> Case:
    """Modes of any domain, and polynomials of high order on those with a fast transform."""
    norm = draw(st.sampled_from((None, "sym", "rw")))
    if draw(st.booleans()):
        places: tuple[Domain, ...] = (
            g.Chain(4),
            g.Complete(3),
            g.Grid(3, 3, periodic=True),
            g.Grid(2, 3),
            g.GroupGrid(g.Grid(2, 2), g.C(4)),
        )
        domain = draw(st.one_of(st.sampled_from(places), unequal()))
        if draw(st.booleans()):
            domain = two_way(draw(graphs(types=False)))
        count = draw(st.one_of(st.none(), st.integers(1, min(domain.sizes))))
        rule = g.modes(count, norm=norm)
        return draw(called(linear(draw, rule, domain), domain))
    fast = (
        g.Grid(5, periodic=True),
        g.Grid(3, 4, periodic=True),
        g.Complete(4),
        g.Chain(6),
        g.Batch([g.Chain(3), g.Grid(4, periodic=True)]),
    )
    # Layers that mix channels run on it from order 32 on, where single precision loses digits.
    basis, channels = draw(st.sampled_from(("chebyshev", "bernstein"))), draw(few)
    rule = g.polynomial(g.laplacian(norm), draw(st.integers(8, 10)), basis)
    layer = g.Conv(channels, channels, rule, draw(st.booleans()), groups=channels)
    return draw(called(layer, draw(st.sampled_from(fast))))
