"""Each domain keeps its promises, and each neighborhood on each domain that it accepts; both
registries are walked.
"""

from dataclasses import dataclass

import pytest
import torch

import geodl as g
from geodl.domain import DOMAINS
from geodl.interop.resampling import padding_rule, pooling_rule, resizing_rule
from geodl.neighborhood import (
    Blocks,
    Edges,
    Everyone,
    Linked,
    Neighborhood,
    OneOfEach,
    Polynomial,
    Segments,
    Shift,
    Stencil,
    Structure,
    Symmetry,
    full_or_adjacency,
)
from geodl.neighborhood.reversed import Reversed
from tests.conformance import accepts, hold_domain, hold_kind, hold_rule, hold_structures
from tests.rules.classes import concrete

SMALL = [domain for kind in DOMAINS for domain in kind.small()]
EXTRA = [
    g.Grid(6, 6),
    g.Chain(7),
    g.Grid(8, periodic=True),
    g.GroupGrid(g.Grid(5, 5), g.D(4)),
    g.GroupGrid(g.Grid(3, 4), g.C(4)),
    g.Batch([g.Grid(4, 4)] * 2),
]
EXTRA += [g.GroupGrid(g.Grid(4, 4), group) for group in (g.C(4), g.D(1), g.D(4))]

WINDOWS = [
    rule
    for axes in (1, 2, 3)
    for rule in (
        g.window(3, axes=axes),
        g.window(2, axes=axes, stride=2),
        g.window(3, axes=axes, stride=2, padding=1),
        g.window(2, axes=axes, dilation=2, padding="valid"),
        g.window(3, axes=axes, padding="causal"),
        g.window(2, axes=axes, padding=((1, 0),) * axes),
    )
]
GROUPS = [
    rule
    for group in (g.C(2), g.C(4), g.D(1), g.D(4), g.O())
    for rule in (
        g.lift(3, group=group),
        g.lift(2, group=group, padding="valid"),
        g.isotropic(3, group=group),
        g.window(3, group=group),
        g.window(2, group=group, padding="valid"),
        g.window(2, group=group, stride=2),
    )
]
BANKS = [
    g.window(3, basis=g.harmonics()),
    g.window(2, axes=1, padding="valid", basis=torch.tensor([[1.0, 0.0], [2.0, -1.0]])),
    g.window(3, axes=3, basis=g.gaussian_derivatives(1)),
    g.lift(3, group=g.D(4), basis=g.harmonics()),
    g.window(2, group=g.C(4), padding="valid", basis=g.harmonics()),
    g.window(3, group=g.C(4), basis=g.gabor(2)),
    g.isotropic(3, group=g.C(4), basis=g.gaussian_derivatives(2)),
    g.lift(3, group=g.C(8)),
    g.isotropic(3, group=g.D(3)),
]
GRAPHS = [
    g.adjacency(norm, self_loops=loops) for norm in (None, "sym", "row") for loops in (True, False)
]
GRAPHS += [g.adjacency("row", self_loops=True, types=2), g.adjacency(types=2), g.predecessors()]
GRAPHS += [g.laplacian(norm) for norm in (None, "sym", "rw")]
PAIRS = [g.all_pairs(by) for by in (None, "self", "offset", "orbit")] + [
    full_or_adjacency(),
    g.past(),
    g.previous(),
]
POLYNOMIALS = [
    g.polynomial(g.laplacian("sym"), 0),
    g.polynomial(g.laplacian("sym"), 3),
    g.polynomial(g.laplacian("rw"), 2, lambda_max=1.5),
    g.polynomial(g.laplacian(), 2),
    g.polynomial(g.adjacency("row", self_loops=True), 3, "monomial"),
    g.polynomial(g.laplacian("sym"), 3, "bernstein"),
]
MODES = [g.modes(1), g.modes(3, norm="rw")]
COARSE = [g.fiber(), g.fiber(g.C(2)), g.fiber(g.D(1)), g.whole(), g.itself()]
COARSE += [g.restriction(g.C(4), g.C(2)), g.restriction(g.D(4), g.D(1))]
GIVEN = [
    g.relation([[0, 1, 4, 4], [2, 0, 0, 2]], senders=5, receivers=3, type=[0, 2, 1, 0]),
    g.relation([[0, 1, 4, 4], [2, 0, 0, 2]], senders=5, weight=[1.0, 0.5, 2.0, 1.0]),
    g.relation([[], []], senders=4, receivers=9),
]
RESAMPLINGS = [
    padding_rule([(1, 1), (0, 2)], "reflect"),
    resizing_rule((3, 5), (None, None), "linear", False),
    pooling_rule((2,), "mean"),
]
FORWARD = WINDOWS + GROUPS + BANKS + GRAPHS + PAIRS + POLYNOMIALS + MODES + COARSE + GIVEN
FORWARD += RESAMPLINGS
RULES = FORWARD + [rule.reverse() for rule in FORWARD]


# How many rules each kind's small examples take: one that begins to refuse, or to take, is seen.
TAKEN = {
    g.Grid: 382,
    g.Chain: 131,
    g.Complete: 95,
    g.Graph: 191,
    g.GroupGrid: 287,
    g.GSet: 98,
    g.Batch: 209,
    g.Spectrum: 95,
}


@pytest.mark.parametrize("kind", DOMAINS)
def test_every_kind_of_domain_keeps_its_promises(kind):
    assert hold_kind(kind, RULES) == TAKEN[kind]


@pytest.mark.parametrize("domain", EXTRA, ids=str)
def test_every_rule_on_further_domains(domain):
    hold_domain(domain)
    taken = [rule for rule in RULES if accepts(rule, domain)]
    assert len(taken) >= 8
    for rule in taken:
        hold_rule(rule, domain)


def test_every_rule_is_walked_and_taken_somewhere():
    ours = {
        kind.__name__ for kind in concrete(Neighborhood) if kind.__module__.startswith("geodl.")
    }
    assert ours <= {type(rule).__name__ for rule in RULES}
    reversible = [rule for rule in RULES if type(rule).__name__ != "Reversed"]
    everywhere = SMALL + EXTRA
    assert [r for r in reversible if not any(accepts(r, domain) for domain in everywhere)] == []


CHAINS = g.Chain(3), g.Chain(5)
UNIONS = tuple(g.Batch([g.Chain(n) for n in sizes]) for sizes in ((2, 1), (2, 4), (3, 3)))
JOINED = [
    (g.all_pairs(), g.Chain(5), g.Grid(2, 2)),
    (g.all_pairs(), g.Grid(2, 2), g.Complete(7)),
    (g.all_pairs(), UNIONS[0], UNIONS[2]),
    (g.all_pairs(), g.Batch([g.Chain(3)]), g.Chain(2)),
    (g.past(), g.Chain(5), g.Chain(3)),
    (g.past(), g.Chain(5), g.Chain(1)),
    (g.past(), g.Chain(5), g.Chain(5)),
    (g.past(), UNIONS[1], UNIONS[0]),
    (g.window(2, stride=2).reverse(), g.Grid(3, 3), g.Grid(7, 7)),
    (g.window(3, axes=1, stride=2, padding=1).reverse(), g.Chain(3), g.Chain(6)),
    (g.fiber().reverse(), g.Grid(3, 3), g.GroupGrid(g.Grid(3, 3), g.C(4))),
    (g.whole().reverse(), g.Complete(1), g.Chain(4)),
    (g.whole().reverse(), g.Complete(2), UNIONS[0]),
]


@pytest.mark.parametrize(("rule", "source", "target"), JOINED, ids=str)
def test_records_between_two_domains_are_their_edges(rule, source, target):
    assert rule.refuses_pair(source, target) == ""
    edges = rule.edges(source, target)
    assert int(edges.dst.max()) < target.num_nodes and int(edges.src.max()) < source.num_nodes
    hold_structures(rule, source, target, edges)


def test_every_kind_of_record_is_held_somewhere():
    def below(kind):
        return {kind} | {leaf for child in kind.__subclasses__() for leaf in below(child)}

    held = set()
    for rule in RULES:
        for domain in SMALL:
            if accepts(rule, domain):
                target = rule.target(domain)
                edges = rule.edges(domain, target)
                held |= set(hold_structures(rule, domain, target, edges))
    ours = {kind for kind in below(Structure) if kind.__module__.startswith("geodl.")}
    assert held == ours - {Structure}


@pytest.mark.parametrize("rule", GRAPHS + [rule.reverse() for rule in GRAPHS], ids=str)
def test_a_rule_over_links_names_the_link_behind_each_edge(rule):
    taken = [domain for domain in SMALL if accepts(rule, domain) and domain.num_links]
    assert taken
    for domain in taken:
        edges = rule.edges(domain)
        assert edges.link is not None
        links = domain.links()
        apart = links.dst != links.src
        # Every link but a loop stands behind an edge, of a Laplacian each pair of linked nodes.
        behind = set(edges.link.tolist())
        pairs = torch.stack((links.dst, links.src)).sort(0).values.T.tolist()
        shown = {tuple(pair) for k, pair in enumerate(pairs) if k in behind}
        wanted = {tuple(pair) for pair, is_apart in zip(pairs, apart, strict=True) if is_apart}
        assert wanted <= shown


def test_links_of_a_mixed_union_are_numbered_over_all_members():
    graph = g.Graph([[0, 1], [1, 0]], edge_weight=[2.0, 3.0])
    union = g.Batch([g.Chain(3), graph, g.Complete(2), graph])
    edges = full_or_adjacency().edges(union)
    # The chain's two links and the set's two come before those of a graph, and stand behind none.
    assert edges.link.tolist() == [-1] * 9 + [2, 3] + [-1] * 4 + [6, 7]
    looped = g.adjacency(self_loops=True).edges(g.Batch([g.Chain(2), graph]))
    assert looped.link.tolist() == [0, 1, 2, -1, -1, -1, -1]


@dataclass(frozen=True)
class Wrong(Neighborhood):
    """The node before, with one thing wrong."""

    fault: str

    def reverse(self, onto=None):
        return Reversed(self, onto)

    def structures(self, source, target):
        n, one = source.num_nodes, (1,)
        types = torch.zeros(1, 1, 1, dtype=torch.long)
        wrong = {
            "shift": (Shift(2),),
            "backwards": (Shift(-1),),
            "blocks": (Blocks(1),),
            "segments": (Segments((2, n - 2)),),
            "everyone": (Everyone(),),
            "causal": (Everyone(causal=True),),
            "padding": (Stencil((n,), (n,), (False,), one, one, ((2, 0),), types),),
            "circular": (Stencil((n,), (n,), (True,), one, one, ((1, 0),), types),),
            "typed": (Stencil((n,), (n,), (False,), one, one, ((1, 0),), types + 1),),
            "transposed": (Stencil((n,), (n,), (False,), one, one, ((1, 0),), types, True),),
            "basis": (
                Stencil(
                    (n,),
                    (n,),
                    (False,),
                    one,
                    one,
                    ((1, 0),),
                    types,
                    basis=torch.full((1, 1, 1, 1), 2.0, dtype=torch.float64),
                ),
            ),
            "polynomial": (Polynomial(g.previous(), "monomial", 0),),
            "one of each": (OneOfEach(torch.zeros(1, 1, dtype=torch.long)),),
            "two of a kind": (Shift(1), Shift(1)),
            "linked": (Linked(torch.arange(n - 1), torch.arange(1, n)),),
        }
        right = (Shift(1), Stencil((n,), (n,), (False,), one, one, ((1, 0),), types))
        return wrong.get(self.fault, right)

    def fan_in(self, domain=None):
        return 0 if self.fault == "fan_in" else 1

    def symmetries(self, domain, typed=True):
        flip = torch.arange(domain.num_nodes).flip(0)
        return [Symmetry("reflection", flip, flip)] if self.fault == "claim" else []

    def _target(self, domain):
        return domain

    def _edges(self, domain, target):
        n = domain.num_nodes
        dst, src = torch.arange(1, n), torch.arange(n - 1)
        kind = torch.zeros_like(dst)
        if self.fault == "out of range":
            src = src + 2
        if self.fault == "types":
            kind = kind + 1
        weight = None
        if self.fault == "nan":
            weight = torch.full((len(dst),), torch.nan)
        if self.fault == "weighted":
            weight = torch.ones(len(dst))
        link = dst - 1
        if self.fault == "link out of range":
            link = link + 1
        if self.fault == "another link":
            link = link.flip(0)
        if self.fault == "no link":
            link = torch.full_like(link, -1)
        return Edges(dst, src, kind, weight, link)


FAULTS = ["out of range", "types", "nan", "weighted", "fan_in", "claim"]
FAULTS += ["shift", "backwards", "blocks", "everyone", "causal", "padding", "circular", "typed"]
FAULTS += ["basis", "transposed", "two of a kind", "link out of range", "another link", "no link"]
FAULTS += ["polynomial", "segments", "one of each", "linked"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_rule_is_found(fault):
    hold_rule(Wrong(""), g.Chain(5))
    with pytest.raises(AssertionError):
        hold_rule(Wrong(fault), g.Chain(5))


class Torn(g.Chain):
    """A chain, with one thing wrong."""

    fault = ""

    @property
    def lattice(self):
        return (self.length + 1,) if self.fault == "lattice" else (self.length,)

    @property
    def complete(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.fault == "complete"

    def generators(self):
        return (
            torch.zeros(1, self.length, dtype=torch.long)
            if self.fault == "generators"
            else super().generators()
        )

    def links(self):
        links = super().links()
        if self.fault == "nearest":  # says that it is linked to nearest neighbors
            links = links._replace(src=torch.zeros_like(links.src))
        return links

    @property
    def linked_by_generators(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.fault == "by generators"

    def replace(self, lattice=None, fiber=None, periodic=None):
        return self


@pytest.mark.parametrize("fault", ["lattice", "complete", "generators", "nearest", "by generators"])
def test_a_wrong_domain_is_found(fault):
    hold_domain(Torn(3))
    domain = type("Torn", (Torn,), {"fault": fault})(3)
    with pytest.raises(AssertionError):
        hold_domain(domain)
