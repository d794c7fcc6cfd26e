"""A model on every domain to which a group carries its own: a 28 x 32 image, and 32 x 28."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from geodl.domain import Domain, turn_domain
from geodl.errors import GeodlError
from geodl.group import Group
from geodl.neighborhood import Symmetry
from geodl.neighborhood.base import turns
from geodl.symmetry.model_rules import Part, parts_of
from geodl.symmetry.progress import watched
from geodl.symmetry.proof import Examined, examine, own_claims, with_goals
from geodl.symmetry.turning import DomainOrSignal, domain_of, turn_end

Domains = tuple[Domain, ...]


class Run(NamedTuple):
    """What ran on one set of domains.

    Attributes:
        ends: what the model was run on, receivers first.
        parts: the rules that ran, in order.
    """

    ends: list[DomainOrSignal]
    parts: list[Part]


def check_acts(group: Group, domains: Domains) -> None:
    """Refuse domains on which the group does not act; one without a lattice may stand beside one
    that has it.
    """
    lattices = [domain for domain in domains if domain.lattice is not None]
    for domain in lattices or domains:
        turn_domain(domain, group, 0)


def turned_runs(
    subject: Any, ends: list[DomainOrSignal], parts: list[Part], group: Group
) -> tuple[dict[Domains, Run], list[str]]:
    """The runs on all domains to which the group maps the given ones, and in words what failed.

    Where the axes are equal that is the given run alone. Products of generators lead from each of
    these domains to every other, so that the claims of the generators on all of them imply those of
    all elements.

    Args:
        subject: a rule or a model.
        ends: what it was run on.
        parts: the rules that ran there.
        group: acts on the domains.
    """
    runs = {_domains(ends): Run(ends, parts)}
    failed, waiting = [], [ends]
    while waiting:
        here = waiting.pop()
        for k in group.lattice_generators:
            there = [turn_end(end, group, k) for end in here]
            key = _domains(there)
            if key in runs:
                continue
            waiting.append(there)
            try:
                turned_parts, violations = parts_of(subject, there)
            except GeodlError as error:
                turned_parts, violations = [], []
                names = " <- ".join(map(str, key))
                failed.append(
                    f"{group} element {k} leads to {names}, where it does not run: {error}"
                )
            failed += violations
            runs[key] = Run(there, turned_parts)
    return runs, failed


def examine_turns(runs: dict[Domains, Run], group: Group) -> list[Examined]:
    """The proof of a group's generators and of the shifts that rules claim, for every part of
    every run.
    """
    examined = []
    every = [(run, number) for run in runs.values() for number in range(len(run.parts))]
    elements = group.lattice_generators
    for run, number in watched(every, "layers"):
        part = run.parts[number]
        shifts = [claim for claim in own_claims(part) if claim.leaves]
        claims: list[tuple[Symmetry, Part | None]] = [*with_goals(part, shifts)]
        made = turns(part.source, part.target, group, elements)
        for k, claim in zip(elements, made, strict=True):
            goal = runs[_domains([turn_end(end, group, k) for end in run.ends])]
            claims.append((claim, _part_at(goal, number)))
        examined.append(examine(part, claims))
    return examined


def _part_at(run: Run, number: int) -> Part | None:
    """The part of that number in a run; None where fewer ran."""
    if number < len(run.parts):
        return run.parts[number]
    return None


def _domains(ends: Iterable[DomainOrSignal]) -> Domains:
    return tuple(domain_of(end) for end in ends)
