"""Each domain keeps its promises, and each neighborhood on each domain that it accepts; both
registries are walked.
"""

from dataclasses import dataclass

import pytest
import torch

import geodl as g
from geodl.domain import DOMAINS
from geodl.neighborhood import Edges, Neighborhood, Symmetry, full_or_adjacency
from tests.conformance import accepts, hold_domain, hold_kind, hold_rule
from tests.rules.classes import concrete

SMALL = [domain for kind in DOMAINS for domain in kind.small()]
EXTRA = [
    g.Grid(6, 6),
    g.Chain(7),
    g.Grid(8, periodic=True),
    g.GroupGrid(g.Grid(5, 5), g.D(4)),
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
GRAPHS = [
    g.adjacency(norm, self_loops=loops)
    for norm in (None, "sym", "row", "laplacian")
    for loops in (True, False)
]
GRAPHS += [g.adjacency("row", self_loops=True, types=2), g.adjacency(types=2), g.predecessors()]
PAIRS = [g.all_pairs(by) for by in (None, "self", "offset", "orbit")] + [
    full_or_adjacency(),
    g.past(),
    g.previous(),
]
COARSE = [g.fiber(), g.whole(), g.itself()]
FORWARD = WINDOWS + GROUPS + GRAPHS + PAIRS + COARSE
RULES = FORWARD + [rule.reverse() for rule in FORWARD]


@pytest.mark.parametrize("kind", DOMAINS)
def test_every_kind_of_domain_keeps_its_promises(kind):
    assert hold_kind(kind, RULES) >= 8 * len(kind.small())


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
    assert [
        rule for rule in reversible if not any(accepts(rule, domain) for domain in SMALL + EXTRA)
    ] == []


@dataclass(frozen=True)
class Wrong(Neighborhood):
    """The node before, with one thing wrong."""

    fault: str

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
        weight = torch.full((len(dst),), torch.nan) if self.fault == "nan" else None
        return Edges(dst, src, kind, weight)

    @property
    def steps(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        return -1 if self.fault == "steps" else 1

    def fan_in(self, domain=None):
        return 0 if self.fault == "fan_in" else 1

    def block(self, domain, target):
        return 1 if self.fault == "block" else None

    def symmetries(self, domain, typed=True):
        flip = torch.arange(domain.num_nodes).flip(0)
        return [Symmetry("reflection", flip, flip)] if self.fault == "claim" else []


@pytest.mark.parametrize(
    "fault", ["out of range", "types", "nan", "steps", "fan_in", "block", "claim"]
)
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

    def replace(self, lattice=None, fiber=None, periodic=None):
        return self


@pytest.mark.parametrize("fault", ["lattice", "complete", "generators"])
def test_a_wrong_domain_is_found(fault):
    hold_domain(Torn(3))
    domain = type("Torn", (Torn,), {"fault": fault})(3)
    with pytest.raises(AssertionError):
        hold_domain(domain)
