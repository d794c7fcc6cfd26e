"""Certificates by tables of sheets: the same verdict as edge by edge, and the same first fault."""

from dataclasses import dataclass
from functools import cache

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import geodl as g
from geodl.neighborhood import Edges, Neighborhood, SheetEdges
from geodl.neighborhood.base import turns
from geodl.symmetry.edge_by_edge import WrittenOut, fault
from geodl.symmetry.model_rules import Part
from geodl.symmetry.proof import with_goals
from geodl.symmetry.sheet_by_sheet import as_move, first_fault

P4, P4M = g.C(4), g.D(4)
TORUS = g.Grid(4, 4, periodic=True)
TINY = g.Grid(2, 2, periodic=True)  # a window of three places reaches one node twice
CASES = {
    "lift": (g.lift(3, group=P4), g.Grid(4, 5)),
    "p4": (g.window(3, group=P4), g.GroupGrid(g.Grid(4, 3), P4)),
    "p4m": (g.window(3, group=P4M), g.GroupGrid(g.Grid(3, 3), P4M)),
    "even": (g.window(2, group=P4, padding="valid"), g.GroupGrid(g.Grid(3, 4), P4)),
    "strided": (g.window(3, group=P4, stride=2), g.GroupGrid(g.Grid(5, 5), P4)),
    "backwards": (g.window(2, group=P4, stride=2).reverse(), g.GroupGrid(g.Grid(2, 2), P4)),
    "torus": (g.window(3, group=P4), g.GroupGrid(TORUS, P4)),
    "parallel edges": (g.window(3, group=P4), g.GroupGrid(TINY, P4)),
    "isotropic": (g.isotropic(3, group=P4M), g.Grid(4, 4)),
    "each sheet": (g.window(3), g.GroupGrid(TORUS, P4)),
    "cube": (g.window(2, group=g.O(), padding="valid"), g.GroupGrid(g.Grid(2, 2, 2), g.O())),
    "basis": (g.window(3, group=P4, basis=g.harmonics()), g.GroupGrid(g.Grid(4, 4), P4)),
}


@cache
def written(name: str) -> tuple[Part, SheetEdges]:
    rule, domain = CASES[name]
    part = Part("", rule, True, domain, rule.target(domain))
    sheets = rule.sheets_to_compare(part.source, part.target)
    assert sheets is not None, "no tables to compare"
    return part, sheets


def every_claim(part: Part):
    """What the rule claims, and the elements of a group whether it has them or not."""
    group = part.rule.group or P4
    elements = list(range(group.order))[:4]
    made = turns(part.source, part.target, group, elements)
    return with_goals(part, part.rule.symmetries(part.source) + made)


def changed(sheets: SheetEdges, draw) -> SheetEdges:
    """With one fault: another type in a table, another table or sender of an edge, or an edge less
    between two points.
    """
    kind = draw(st.sampled_from(["none", "type", "table", "sender", "lost"]))
    edge = draw(st.integers(0, len(sheets.dst) - 1))
    k, s, r = (draw(st.integers(0, size - 1)) for size in sheets.types.shape)
    if kind == "type":
        types = sheets.types.clone()
        types[k, s, r] = draw(st.integers(-1, int(types.max())))
        return sheets._replace(types=types)
    if kind == "table":
        place = sheets.place.clone()
        place[edge] = k
        return sheets._replace(place=place)
    if kind == "sender":
        src = sheets.src.clone()
        src[edge] = draw(st.integers(0, int(src.max())))
        return sheets._replace(src=src)
    if kind == "lost":
        return sheets.chosen(torch.arange(len(sheets.dst)) != edge)
    return sheets


def planted(part: Part, sheets: SheetEdges) -> WrittenOut:
    made = WrittenOut(part, few=True)
    vars(made).update(sheets=sheets, edges=sheets.written_out())
    return made


@given(st.sampled_from(sorted(CASES)), st.data())
def test_tables_and_edges_have_the_same_first_fault(name, data):
    part, sheets = written(name)
    here = planted(part, changed(sheets, data.draw))
    for claim, goal in every_claim(part):
        there = here
        if goal != part:
            there = planted(goal, goal.rule.sheets_to_compare(goal.source, goal.target))
        by_edges = fault(here.edges, claim, part, there.numbered)
        assert first_fault(here, claim, there) == by_edges, claim.name


@pytest.mark.parametrize("name", sorted(CASES))
def test_without_a_fault_what_is_claimed_is_proved(name):
    part, sheets = written(name)
    here = planted(part, sheets)
    claims = with_goals(part, part.rule.symmetries(part.source))
    assert claims
    for claim, goal in claims:
        assert first_fault(here, claim, WrittenOut(goal, few=True)) == "", claim.name


@dataclass(frozen=True)
class Unlike(Neighborhood):
    """A window whose table is another one at one edge between two points."""

    rule: Neighborhood
    edge: int

    def reverse(self, onto=None):
        raise NotImplementedError

    def refuses(self, domain, typed=True):
        return self.rule.refuses(domain, typed)

    def sheets_to_compare(self, domain, target):
        sheets = self.rule.sheets_to_compare(domain, target)
        place = sheets.place.clone()
        place[self.edge] = (place[self.edge] + 1) % len(sheets.types)
        return sheets._replace(place=place)

    def _target(self, domain):
        return self.rule.target(domain)

    def _edges(self, domain, target) -> Edges:
        return self.sheets_to_compare(domain, target).written_out()


def test_planted_faults_are_no_certificate():
    domain = g.GroupGrid(g.Grid(4, 4), P4)
    good = g.window(3, group=P4)
    for edge in (0, 50, 99):
        certificate = g.certify(Unlike(good, edge), domain, P4)
        assert not certificate.exact and len(certificate.violations) == len(certificate.proved) + 1
        assert "where there is none of that type" in certificate.violations[0]
    inexact = {
        "a stride that leaves a rest": g.window(3, group=P4, stride=2, exact=False),
        "an even window": g.window(2, group=P4, padding=((1, 0), (1, 0)), exact=False),
    }
    for rule in inexact.values():
        certificate = g.certify(rule, domain, P4)
        assert not certificate.exact and "C4 element 1" in certificate.violations[0]
    assert g.certify(good, domain, P4).exact


def test_moves_that_mix_points_and_sheets_are_no_moves_of_tables():
    assert as_move(torch.tensor([2, 3, 0, 1]), 2) is not None  # points exchanged
    assert as_move(torch.tensor([1, 0, 3, 2]), 2) is not None  # sheets exchanged
    assert as_move(torch.tensor([-1, -1, 0, 1]), 2) is not None
    for mixed in ([0, 1, 3, 2], [0, 2, 1, 3], [-1, 3, 0, 1], [2, 2, 0, 0], [-1, -1, -1, -1]):
        assert as_move(torch.tensor(mixed), 2) is None
    # All pairs of a torus with a fiber have claims of this form, rules without tables go on.
    assert g.certify(g.all_pairs("orbit"), g.GroupGrid(g.Grid(3, 3, periodic=True), P4), P4).exact


def test_the_cube_at_eight():
    """25 million edges a layer, of which none is written out."""
    group = g.Oh()
    lifted, inner = g.Conv(1, 1, g.lift(3, group=group)), g.Conv(1, 1, g.window(3, group=group))
    certificate = g.certify(g.Sequential(lifted, inner, g.Pool(g.fiber())), g.Grid(8, 8, 8))
    assert certificate.exact and len(certificate.proved) == 3
