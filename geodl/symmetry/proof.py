"""The proof for one rule: a claim holds if it carries every edge to an edge of its type and weight.

Edges are numbered, `(dst, src, type) -> (dst N + src) T + type`, a claim maps numbers to numbers,
and both sides are sorted and compared: no rounding, at the user's own size.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from geodl.domain import Domain, rotate_nodes, same_place
from geodl.group import Group, cached_constants
from geodl.neighborhood import Edges, Neighborhood, Symmetry


class Certificate(NamedTuple):
    """What was proved of a rule, layer or model on a domain, from its edges, in integers.

    Attributes:
        subject: what was certified, and where.
        group: the group asked for or found.
        exact: no violation, nothing undecided, and at least one claim proved on all nodes.
        proved: claims that hold on all nodes of every layer.
        interior: claims that hold wherever they are defined (shifts under zero padding).
        violations: what breaks a claim, first layer first.
        undecided: elements of the group that carry the domain to another one (a quarter turn of an
            oblong lattice), of which nothing is said here.
    """

    subject: str
    group: Group | None
    exact: bool
    proved: tuple[str, ...]
    interior: tuple[str, ...]
    violations: tuple[str, ...]
    undecided: tuple[str, ...] = ()

    def __str__(self) -> str:
        verdict = "exact" if self.exact else "not exact"
        if self.undecided and not self.violations:
            verdict = "undecided"
        if self.group is not None:
            verdict += f" under {self.group}"
        lines = []
        if self.proved:
            lines.append(f"proved on all nodes: {', '.join(self.proved)}")
        if self.interior:
            lines.append(f"proved in the interior: {', '.join(self.interior)}")
        lines += [f"violation: {violation}" for violation in self.violations]
        lines += [f"not decided: {element}" for element in self.undecided]
        lines = lines or ["nothing to check"]
        return "\n    ".join([f"{self.subject}: {verdict}", *lines])


class Part(NamedTuple):
    """One rule inside a model: where it is, whether its edge types carry weights, and between which
    domains it acts.
    """

    path: str
    rule: Neighborhood
    typed: bool
    source: Domain
    target: Domain


class Examined(NamedTuple):
    """What was found of one part, in the words of :class:`Certificate`."""

    proved: frozenset[str]
    interior: frozenset[str]
    violations: tuple[str, ...]


@cached_constants()
def examine(part: Part, group: Group | None, elements: list[int]) -> Examined:
    """Examine every claim on a part.

    Args:
        part: a rule between two domains.
        group: a point group whose elements are claimed; None takes the rule's own claims.
        elements: of the group.
    """
    claims = own_claims(part)
    if group is not None:
        claims = [claim for claim in claims if claim.leaves]
        claims += turns(part.source, part.target, group, elements)
    edges = part.rule.edges(part.source, part.target)
    where = f"{part.rule} on {part.source}"
    if part.path:
        where = f"{part.path}: {where}"
    proved: set[str] = set()
    interior: set[str] = set()
    violations = []
    for claim in claims:
        full = bool((claim.senders >= 0).all() and (claim.receivers >= 0).all())
        fault = "some nodes leave the lattice"
        if full or claim.leaves:
            fault = _fault(edges, claim, part)
        if fault:
            violations.append(f"{where}, {claim.name}: {fault}")
        elif full:
            proved.add(claim.name)
        else:
            interior.add(claim.name)
    return Examined(frozenset(proved), frozenset(interior), tuple(violations))


def own_claims(part: Part) -> list[Symmetry]:
    """What a rule claims between the domains of a part.

    Where receivers are given (cross-attention), what it claims of either side by the same name is
    claimed of both at once; a side without that claim stays.
    """
    claims = part.rule.symmetries(part.source, part.typed)
    if same_place(part.rule.target(part.source), part.target):
        return claims
    senders = {claim.name: claim.senders for claim in claims}
    others = part.rule.symmetries(part.target, part.typed)
    receivers = {claim.name: claim.receivers for claim in others}
    still_senders = torch.arange(part.source.num_nodes)
    still_receivers = torch.arange(part.target.num_nodes)
    return [
        Symmetry(name, senders.get(name, still_senders), receivers.get(name, still_receivers))
        for name in dict.fromkeys([*senders, *receivers])
    ]


@cached_constants()
def turns(source: Domain, target: Domain, group: Group, elements: list[int]) -> list[Symmetry]:
    """The claims of a point group's elements between two domains; on a domain without a lattice
    nothing moves.
    """
    return [
        Symmetry(f"{group} element {k}", _rotate(source, group, k), _rotate(target, group, k))
        for k in elements
    ]


@cached_constants()
def keeps(domain: Domain, group: Group, element: int) -> bool:
    """Whether an element of a point group carries a lattice to itself.

    >>> from geodl.domain import Grid
    >>> from geodl.group import C
    >>> [keeps(Grid(2, 3), C(4), k) for k in range(4)]
    [True, False, True, False]
    """
    nodes = torch.arange(domain.num_nodes)
    return torch.equal(_rotate(domain, group, element).sort().values, nodes)


def _rotate(domain: Domain, group: Group, element: int) -> Tensor:
    """The move of the nodes by a group's element; of none where there is no lattice."""
    if domain.lattice is None:
        return torch.arange(domain.num_nodes)
    return rotate_nodes(domain, group, element)


def _fault(edges: Edges, claim: Symmetry, part: Part) -> str:
    """The first edge that a claim does not carry to an edge of the same type and weight, in words
    ("" if none).
    """
    senders, types = part.source.num_nodes, 1
    kind = torch.zeros_like(edges.type)
    if part.typed and len(edges.type):
        kind, types = edges.type, int(edges.type.max()) + 1
    weight = torch.ones(len(kind), dtype=torch.float64)
    if edges.weight is not None:
        weight = edges.weight.double()
    dst, src = claim.receivers[edges.dst], claim.senders[edges.src]
    stays = (dst >= 0) & (src >= 0)
    before, before_weight = _sorted((edges.dst * senders + edges.src) * types + kind, weight)
    carried = (dst * senders + src) * types + kind
    after, after_weight = _sorted(carried[stays], weight[stays])
    # Every carried edge has to be among the edges; parallel ones have one number.
    at = torch.searchsorted(before, after).clamp(max=max(0, len(before) - 1))
    missing = torch.zeros(0, dtype=torch.bool)
    if len(before):
        missing = before[at] != after
    if missing.any():
        code = int(after[missing][0])
        pair, t = divmod(code, types)
        i, j = divmod(pair, senders)
        return f"it carries an edge to {i} <- {j} of type {t}, where there is none of that type"
    # Where none leaves, there are as many of each number, and of the same weights.
    if not stays.all():
        return ""
    same_weights = (before_weight - after_weight).abs() <= 1e-12
    if torch.equal(before, after) and bool(same_weights.all()):
        return ""
    return "it changes the number or the weights of parallel edges"


def _sorted(code: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Edge numbers in order, those of parallel edges by their weights."""
    first = torch.argsort(weight, stable=True)
    order = first[torch.argsort(code[first], stable=True)]
    return code[order], weight[order]
