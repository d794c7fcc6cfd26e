"""Random cases for the conformance tests: a layer and the signals it is called with, one strategy
per verb and lowering.
"""

from dataclasses import replace

from hypothesis import strategies as st

import geodl as g
from geodl.domain import Domain
from geodl.neighborhood import Neighborhood
from tests.cases_convolve import (
    edges_convolve,
    fft_convolve,
    gft_convolve,
    lattice_convolve,
    mean_convolve,
    polynomial_convolve,
    regroup_convolve,
    spmm_convolve,
)
from tests.cases_message import any_message, message_of_a_network, message_over_relation
from tests.strategies import (
    FLAT,
    SOLID,
    Case,
    anywhere,
    boxes,
    called,
    dags,
    few,
    graphs,
    joined,
    lattices,
    plain_graphs,
    typed_pairs,
    unequal,
    windows,
)

CELLS = ("lstm", "gru", "rnn_tanh", "rnn_relu")  # those of torch
ALL_CELLS = (*CELLS, "ind_rnn", "ind_rnn_linear")
REDUCTIONS = ("sum", "mean", "max", "min")
PRODUCTS = ("dot", "dot", "product")


def attention(
    draw: st.DrawFn,
    rule: Neighborhood,
    relative: bool = False,
    on: Domain | None = None,
    score: str = "",
    edges: bool = False,
) -> g.Attention:
    """Attention of any widths, joins and biases; of edges where some are asked for."""
    channels, heads, width = draw(few), draw(few), draw(few)
    options = {
        "projections": draw(st.sampled_from((None, 1, 2, 3))),
        "edge_channels": draw(st.sampled_from((None, 1, 2))) if edges else None,
        "out_proj": draw(st.booleans()),
        "join": draw(st.sampled_from(("concat", "mean"))),
        "root": draw(st.sampled_from((False, False, True, "gated"))),
        "bias": draw(st.sampled_from((True, False, "in", "out"))),
    }
    score = score or draw(st.sampled_from(PRODUCTS))
    by_itself = options["projections"] == 3 or score in (*PRODUCTS, "additive", "linear")
    apart = options["projections"] in (None, 3) and by_itself and not options["edge_channels"]
    if apart:
        options["value_dim"] = draw(few)
    if options["out_proj"]:
        options["channels_out"] = draw(few)
    return g.Attention(channels, rule, heads, score, width, relative, on=on, **options)


@st.composite
def sdpa_attend(draw: st.DrawFn) -> Case:
    kind = draw(
        st.sampled_from(("self", "cross", "causal", "relative", "typed", "unequal", "paired"))
    )
    if kind == "typed":
        rule, domain = draw(typed_pairs())
        return draw(called(attention(draw, rule, relative=True, on=domain), domain))
    if kind == "causal":
        before, relative = draw(st.integers(0, 3)), draw(st.booleans())
        lengths = draw(st.lists(few, min_size=1, max_size=1 if relative else 3))
        return draw(continued(attention(draw, g.past(), relative), before, lengths))
    if kind in ("unequal", "paired"):
        domain, layer = draw(unequal()), attention(draw, g.all_pairs())
        receivers = g.Batch([draw(anywhere()) for _ in domain.members])
        return draw(called(layer, receivers, domain) if kind == "paired" else called(layer, domain))
    domain, layer = (
        draw(anywhere()),
        attention(draw, g.all_pairs("self" if kind == "relative" else None), kind == "relative"),
    )
    if kind == "cross":
        return draw(called(layer, draw(anywhere()), domain))
    return draw(called(layer, g.Batch([domain] * 3) if draw(st.booleans()) else domain))


def heard(layer: g.Attention, domain: Domain) -> st.SearchStrategy[Case]:
    """A layer called with receivers of their own where its rule makes some."""
    target = layer.rule.target(domain)
    same = target == domain or (target.members is not None and target.members == domain.members)
    return called(layer, domain) if same else called(layer, target, domain)


@st.composite
def banded_attend(draw: st.DrawFn) -> Case:
    kind, several = (
        draw(st.sampled_from(("small", "small", "sheets", "tiles", "tiles"))),
        draw(st.booleans()),
    )
    if kind == "small":
        rule = draw(windows())
        domain = draw(lattices(rule))
    elif kind == "sheets":
        rule, domain = (
            g.window(draw(few), axes=2, stride=draw(few), padding=1),
            g.GroupGrid(g.Grid(4, 5), draw(st.sampled_from(FLAT[:3]))),
        )
        rule = replace(rule, exact=False)
    else:
        axes = draw(st.integers(1, 2))
        rule, sides = (
            g.window(**draw(boxes(axes, False, 3))),
            st.integers(60, 150) if axes == 1 else st.integers(9, 14),
        )
        domain = g.Grid(
            *(draw(sides) for _ in range(axes)), periodic=draw(st.tuples(*[st.booleans()] * axes))
        )
    layer = attention(draw, rule, relative=kind != "sheets" and draw(st.booleans()))
    return draw(heard(layer, g.Batch([domain] * 2) if several and kind != "tiles" else domain))


@st.composite
def linear_attend(draw: st.DrawFn) -> Case:
    if draw(st.booleans()):
        layer, domain = attention(draw, g.all_pairs(), score="linear"), draw(anywhere())
        return draw(
            called(layer, draw(anywhere()), domain)
            if draw(st.booleans())
            else called(layer, domain)
        )
    before, length = draw(st.sampled_from((0, 0, 1, 3))), draw(st.one_of(few, st.integers(60, 140)))
    layer = attention(draw, g.past(), score="linear")
    return draw(continued(layer, before, [length] * draw(st.sampled_from((1, 2)))))


def continued(layer: g.Attention, before: int, lengths: list[int]) -> st.SearchStrategy[Case]:
    """Causal attention in chains of which the last nodes receive, all but the first `before`."""
    receivers = [g.Chain(n) for n in lengths]
    senders = [g.Chain(before + n) for n in lengths]
    sides = [side[0] if len(side) == 1 else g.Batch(side) for side in (receivers, senders)]
    return called(layer, *sides) if before else called(layer, sides[1])


@st.composite
def edge_softmax_attend(draw: st.DrawFn) -> Case:
    kinds = ("graph", "graph", "relations", "window", "around", "pairs", "given")
    kind = draw(st.sampled_from(kinds))
    score = draw(st.sampled_from(("dot", "product", "gat", "linear", "additive", "gatv2")))
    if kind == "given":
        between = draw(joined(types=draw(few)))
        layer = attention(draw, between.rule, True, score=score)
        return draw(called(layer, *between.domains(reads_receivers=True)))
    if kind == "graph":
        loops = g.adjacency(self_loops=True), g.adjacency(self_loops="anew", fill="mean")
        rule = draw(st.sampled_from((g.adjacency(), *loops, g.predecessors())))
        layer = attention(draw, rule, score=score, edges=score != "linear")
        return draw(called(layer, draw(plain_graphs())))
    if kind == "relations":
        rule = g.adjacency(None, draw(st.booleans()), types=3)
        return draw(
            called(
                attention(draw, rule, relative=True, score=score),
                draw(graphs(weighted=False, types=True)),
            )
        )
    if kind == "pairs":
        domain, score = draw(unequal()), draw(st.sampled_from(("gat", "linear")))
        return draw(
            called(
                attention(draw, draw(st.sampled_from((g.past(), g.all_pairs()))), score=score),
                domain,
            )
        )
    rule = g.window(**draw(boxes(draw(st.integers(1, 2)), False, 3)))
    domain = draw(lattices(rule))
    if kind == "window":
        return draw(
            heard(
                attention(draw, rule, True, score=draw(st.sampled_from(("gat", "linear")))), domain
            )
        )
    return draw(
        heard(attention(draw, rule.reverse(onto=domain), True, score=score), rule.target(domain))
    )


@st.composite
def edges_attend(draw: st.DrawFn) -> Case:
    kind, relative = draw(st.sampled_from(("graph", "window", "pairs"))), False
    if kind == "graph":
        rule, domain = (
            draw(st.sampled_from((g.adjacency(), g.predecessors()))),
            draw(plain_graphs()),
        )
    elif kind == "pairs":
        rule, domain = (
            draw(st.sampled_from((g.past(), g.all_pairs()))),
            draw(st.one_of(unequal(), st.just(g.Chain(4)))),
        )
    else:
        rule, relative = g.window(**draw(boxes(draw(st.integers(1, 2)), False, 3))), True
        domain = draw(lattices(rule))
    score = draw(st.sampled_from(("additive", "gatv2")))
    return draw(heard(attention(draw, rule, relative, score=score, edges=kind == "graph"), domain))


@st.composite
def rnn_recur(draw: st.DrawFn) -> Case:
    rule, chain = g.previous(), g.Chain(draw(st.integers(1, 6)))
    rule = rule.reverse() if draw(st.booleans()) else rule
    domain = draw(st.one_of(st.sampled_from((chain, g.Batch([chain] * 2))), unequal()))
    return draw(
        called(g.Recurrent(draw(few), draw(few), draw(st.sampled_from(CELLS)), rule), domain)
    )


@st.composite
def levels_recur(draw: st.DrawFn) -> Case:
    parts = draw(
        st.lists(
            st.one_of(dags(), dags(), st.sampled_from(g.Chain.small())), min_size=1, max_size=3
        )
    )
    domain = draw(st.sampled_from((parts[0], g.Batch(parts), g.Batch([parts[0]] * 2))))
    rule = draw(st.sampled_from((g.predecessors(), g.predecessors().reverse())))
    return draw(
        called(g.Recurrent(draw(few), draw(few), draw(st.sampled_from(ALL_CELLS)), rule), domain)
    )


@st.composite
def lattice_pool(draw: st.DrawFn) -> Case:
    reduce, axes = draw(st.sampled_from(REDUCTIONS)), draw(few)
    size, stride = draw(st.tuples(*[st.integers(1, 3)] * axes)), draw(st.integers(1, 3))
    dilation = draw(st.integers(1, 2)) if reduce in ("max", "min") else 1
    before = tuple(draw(st.integers(0, k // 2)) for k in size)
    behind = 0
    if reduce in ("max", "min") and min(size) > max(before) + stride - 1:
        behind = draw(st.sampled_from((0, stride - 1)))  # torch's ceil_mode
    padding = tuple((p, p + behind) for p in before)
    rule = g.window(size, stride=stride, dilation=dilation, padding=padding, exact=False)
    domain = draw(lattices(rule, periodic=False))
    if axes == 3 or any(p and k == 2 for p, k in zip(before, size, strict=True)):
        domain = g.Grid(
            *(n + 2 for n in domain.lattice)
        )  # torch does not pool, or not all, of shorter axes
    if axes > 1 and draw(st.booleans()):
        domain = g.GroupGrid(domain, draw(st.sampled_from(FLAT if axes == 2 else SOLID[:1])))
    return draw(
        called(g.Pool(rule, reduce), g.Batch([domain] * 2) if draw(st.booleans()) else domain)
    )


@st.composite
def blocks_pool(draw: st.DrawFn) -> Case:
    rule = draw(st.sampled_from((g.fiber(), g.whole())))
    domain = draw(st.sampled_from(g.GroupGrid.small()[:3]) if rule == g.fiber() else anywhere())
    layer = g.Pool(rule, draw(st.sampled_from(REDUCTIONS)))
    return draw(called(layer, g.Batch([domain] * 3) if draw(st.booleans()) else domain))


@st.composite
def edges_pool(draw: st.DrawFn) -> Case:
    kind, reduce = (
        draw(st.sampled_from(("graph", "around", "unequal", "given"))),
        draw(st.sampled_from(REDUCTIONS)),
    )
    if kind == "given":
        between = draw(joined())
        return draw(called(g.Pool(between.rule, reduce), *between.domains(reads_receivers=False)))
    if kind == "graph":
        rule = g.adjacency(None, draw(st.booleans()))
        return draw(called(g.Pool(rule, reduce), draw(plain_graphs())))
    if kind == "unequal":
        return draw(called(g.Pool(g.whole(), reduce), draw(unequal())))
    rule = g.window(draw(st.sampled_from((1, 3))), axes=draw(few), padding=2)
    domain = draw(lattices(rule))
    return draw(called(g.Pool(rule, reduce), domain))


@st.composite
def spmm_pool(draw: st.DrawFn) -> Case:
    kind, reduce = (
        draw(st.sampled_from(("graph", "around", "unequal", "pairs"))),
        draw(st.sampled_from(("sum", "mean"))),
    )
    if kind == "graph":
        rule = g.adjacency(None, draw(st.booleans()))
        rule = rule.reverse() if draw(st.booleans()) else rule
        return draw(called(g.Pool(rule, reduce), draw(plain_graphs())))
    if kind == "unequal":
        return draw(called(g.Pool(g.whole(), reduce), draw(unequal())))
    if kind == "pairs":
        return draw(called(g.Pool(g.all_pairs(), reduce), draw(anywhere())))
    rule = g.window(draw(st.sampled_from((1, 3))), axes=draw(few), padding=2)
    return draw(called(g.Pool(rule, reduce), draw(lattices(rule))))


@st.composite
def segment_pool(draw: st.DrawFn) -> Case:
    reduce = draw(st.sampled_from(("max", "min", "max", "min", "sum", "mean")))
    layer, signals = draw(spmm_pool())
    return Case(g.Pool(layer.rule, reduce), signals)


MESSAGES = st.one_of(any_message(), message_over_relation(), message_of_a_network())
CASES = {
    ("convolve", "lattice"): lattice_convolve(),
    ("convolve", "fft"): fft_convolve(),
    ("convolve", "gft"): gft_convolve(),
    ("convolve", "mean"): mean_convolve(),
    ("convolve", "polynomial"): polynomial_convolve(),
    ("convolve", "regroup"): regroup_convolve(),
    ("convolve", "spmm"): spmm_convolve(),
    ("convolve", "edges"): edges_convolve(),
    ("attend", "sdpa"): sdpa_attend(),
    ("attend", "linear"): linear_attend(),
    ("attend", "banded"): banded_attend(),
    ("attend", "edge_softmax"): edge_softmax_attend(),
    ("attend", "edges"): edges_attend(),
    ("message", "segment"): MESSAGES,
    ("message", "edges"): MESSAGES,
    ("recur", "rnn"): rnn_recur(),
    ("recur", "levels"): levels_recur(),
    ("recur", "edges"): st.one_of(rnn_recur(), levels_recur()),
    ("pool", "lattice"): lattice_pool(),
    ("pool", "blocks"): blocks_pool(),
    ("pool", "spmm"): spmm_pool(),
    ("pool", "segment"): segment_pool(),
    ("pool", "edges"): edges_pool(),
}
