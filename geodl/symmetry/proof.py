"""The proof for one rule: a claim holds if it carries every edge to an edge of its type and weight.

A claim may lead to another domain, as a quarter turn leads from 28 x 32 nodes to 32 x 28: then the
edges of the one are compared with those of the other. They are compared one by one
(`edge_by_edge.py`), or where sheets meet in the same way over every point of a lattice as tables
(`sheet_by_sheet.py`).
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch

from geodl.constants import cached_constants
from geodl.domain import same_place
from geodl.group import Group
from geodl.neighborhood import Symmetry
from geodl.symmetry.edge_by_edge import WrittenOut
from geodl.symmetry.model_rules import Part
from geodl.symmetry.progress import watched
from geodl.symmetry.sheet_by_sheet import first_fault


class Certificate(NamedTuple):
    """What was proved of a rule, layer or model on a domain, from its edges, in integers.

    Attributes:
        subject: what was certified, and where.
        group: the group that was named, or else the one that the rules name.
        exact: no violation, nothing approximate, and at least one claim proved on all nodes.
        proved: claims that hold on all nodes of every layer.
        interior: claims that hold wherever they are defined (shifts under zero padding).
        violations: what breaks a claim, first layer first.
        approximate: generators of the group that do not map the lattice to itself (45 degrees),
            which a basis approximates.
    """

    subject: str
    group: Group | None
    exact: bool
    proved: tuple[str, ...]
    interior: tuple[str, ...]
    violations: tuple[str, ...]
    approximate: tuple[str, ...] = ()

    def __str__(self) -> str:
        verdict = "exact" if self.exact else "not exact"
        if self.group is not None:
            verdict += f" under {self.group}"
        lines = []
        if self.proved:
            lines.append(f"proved on all nodes: {', '.join(self.proved)}")
        if self.interior:
            lines.append(f"proved in the interior: {', '.join(self.interior)}")
        lines += [f"violation: {violation}" for violation in self.violations]
        lines += [f"approximate: {element}" for element in self.approximate]
        lines = lines or ["nothing to check"]
        return "\n    ".join([f"{self.subject}: {verdict}", *lines])


class Examined(NamedTuple):
    """Which claims hold for one part, as :class:`Certificate` says it of a whole model.

    Attributes:
        proved: the names of claims that hold on all nodes.
        interior: of those that hold wherever they are defined.
        violations: what breaks a claim, in words.
        moves: whether there is more than one node on a side, so that a claim says something.
    """

    proved: frozenset[str]
    interior: frozenset[str]
    violations: tuple[str, ...]
    moves: bool


@cached_constants()
def examine(part: Part, claims: Iterable[tuple[Symmetry, Part | None]]) -> Examined:
    """Examine claims on a part.

    Args:
        part: a rule between two domains.
        claims: each with the part that ran where it leads: the same one, or for a quarter turn of
            an oblong lattice the one on the turned lattice; None where none ran there.
    """
    claims = list(claims)
    # What is compared numbers its types for each rule anew: these can be compared between two
    # domains of one rule only, and replace the rule's own types where these count.
    few = part.typed and all(run is None or run.rule == part.rule for _, run in claims)
    here = WrittenOut(part, few)
    where = f"{part.rule} on {part.source}"
    if part.path:
        where = f"{part.path}: {where}"
    proved: set[str] = set()
    interior: set[str] = set()
    violations = []
    goals = {part: here}
    for claim, run in watched(claims, "claims"):
        full = bool((claim.senders >= 0).all() and (claim.receivers >= 0).all())
        goal = _goal(part, claim, run)
        if goal is None:
            fault = f"on {claim.source} the model goes another way"
        elif not full and not claim.leaves:
            fault = "some nodes leave the lattice"
        else:
            if goal not in goals:
                goals[goal] = WrittenOut(goal, few)
            fault = first_fault(here, claim, goals[goal])
        if fault:
            violations.append(f"{where}, {claim.name}: {fault}")
        elif full:
            proved.add(claim.name)
        else:
            interior.add(claim.name)
    moves = part.source.num_nodes > 1 or part.target.num_nodes > 1
    return Examined(frozenset(proved), frozenset(interior), tuple(violations), moves)


def _goal(part: Part, claim: Symmetry, run: Part | None) -> Part | None:
    """The part whose edges a claim leads to; None where another one ran on those domains."""
    if run is None or run.path != part.path or run.typed != part.typed:
        return None
    source, target = claim.source or part.source, claim.target or part.target
    if not same_place(run.source, source) or not same_place(run.target, target):
        return None
    return run


def with_goals(part: Part, claims: Iterable[Symmetry]) -> list[tuple[Symmetry, Part]]:
    """A rule's own claims, each with the rule on the domains that it leads to."""
    pairs = []
    for claim in claims:
        source, target = claim.source or part.source, claim.target or part.target
        pairs.append((claim, part._replace(source=source, target=target)))
    return pairs


def own_claims(part: Part) -> list[Symmetry]:
    """What a rule claims between the domains of a part.

    Where receivers are given (cross-attention), what it claims of either side by the same name is
    claimed of both at once; a side without that claim stays.
    """
    rule = part.rule.with_receivers(part.target)
    claims = rule.symmetries(part.source, part.typed)
    if same_place(rule.target(part.source), part.target):
        return claims
    senders = {claim.name: claim for claim in claims}
    others = rule.symmetries(part.target, part.typed)
    receivers = {claim.name: claim for claim in others}
    still_senders = Symmetry("", torch.arange(part.source.num_nodes), torch.empty(0))
    still_receivers = Symmetry("", torch.empty(0), torch.arange(part.target.num_nodes))
    both = []
    for name in dict.fromkeys([*senders, *receivers]):
        sent, received = senders.get(name, still_senders), receivers.get(name, still_receivers)
        moves = sent.senders, received.receivers
        both.append(Symmetry(name, *moves, source=sent.source, target=received.target))
    return both
