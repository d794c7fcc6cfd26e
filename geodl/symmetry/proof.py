"""The proof for one rule: a claim holds if it carries every edge to an edge of its type and weight.

Edges are numbered, `(dst, src, type) -> (dst N + src) T + type`, a claim maps numbers to numbers,
and both sides are sorted and compared: no rounding, at the user's own size. A claim may lead to
another domain, as a quarter turn leads from 28 x 32 nodes to 32 x 28: then the edges of the one are
compared with those of the other.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geodl.constants import cached_constants
from geodl.domain import Domain, same_place
from geodl.group import Group
from geodl.neighborhood import Edges, Neighborhood, Symmetry

Codes = NDArray[np.int64]


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
    # `edges_to_compare` numbers its types for each rule anew: they can be compared between two
    # domains of one rule only, and replace the rule's own types where these count.
    few = part.typed and all(run is None or run.rule == part.rule for _, run in claims)
    edges = _edges_of(part, few)
    where = f"{part.rule} on {part.source}"
    if part.path:
        where = f"{part.path}: {where}"
    proved: set[str] = set()
    interior: set[str] = set()
    violations = []
    numbered: dict[Part, Numbered] = {}
    for claim, run in claims:
        full = bool((claim.senders >= 0).all() and (claim.receivers >= 0).all())
        goal = _goal(part, claim, run)
        if goal is None:
            fault = f"on {claim.source} the model goes another way"
        elif not full and not claim.leaves:
            fault = "some nodes leave the lattice"
        else:
            if goal not in numbered:
                there = edges
                if goal != part:
                    there = _edges_of(goal, few)
                numbered[goal] = _number(there, goal)
            fault = _fault(edges, claim, part, numbered[goal])
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


def _edges_of(part: Part, few: bool) -> Edges:
    """The edges that are compared: all of a rule, or the fewer that stand for them."""
    if few:
        return part.rule.edges_to_compare(part.source, part.target)
    return part.rule.edges(part.source, part.target)


def own_claims(part: Part) -> list[Symmetry]:
    """What a rule claims between the domains of a part.

    Where receivers are given (cross-attention), what it claims of either side by the same name is
    claimed of both at once; a side without that claim stays.
    """
    claims = part.rule.symmetries(part.source, part.typed)
    if same_place(part.rule.target(part.source), part.target):
        return claims
    senders = {claim.name: claim for claim in claims}
    others = part.rule.symmetries(part.target, part.typed)
    receivers = {claim.name: claim for claim in others}
    still_senders = Symmetry("", torch.arange(part.source.num_nodes), torch.empty(0))
    still_receivers = Symmetry("", torch.empty(0), torch.arange(part.target.num_nodes))
    both = []
    for name in dict.fromkeys([*senders, *receivers]):
        sent, received = senders.get(name, still_senders), receivers.get(name, still_receivers)
        moves = sent.senders, received.receivers
        both.append(Symmetry(name, *moves, source=sent.source, target=received.target))
    return both


class Numbered(NamedTuple):
    """The edges of one end of a claim, in order.

    Attributes:
        codes: the number of each edge, ascending.
        weight: of each edge in that order, parallel ones by their weights; None for all ones.
        types: T, with which they were numbered.
    """

    codes: Codes
    weight: NDArray[np.float64] | None
    types: int


def _number(edges: Edges, part: Part) -> Numbered:
    types = 1
    if part.typed and len(edges.type):
        types = int(edges.type.max()) + 1
    codes = _codes(edges.dst, edges.src, edges.type, part, types)
    return _in_order(codes, edges.weight, types)


def _codes(dst: Tensor, src: Tensor, kind: Tensor, part: Part, types: int) -> Codes:
    """`(dst N + src) T + type`; without types where they carry no weights."""
    codes = dst * part.source.num_nodes + src
    if part.typed:
        codes = codes * types + kind
    return codes.cpu().numpy()


def _in_order(codes: Codes, weight: Tensor | None, types: int) -> Numbered:
    if weight is None:
        # numpy's sort of whole numbers takes a tenth of the time of torch's, which also makes a
        # permutation.
        return Numbered(np.sort(codes), None, types)
    values = weight.detach().double().cpu().numpy()
    order = np.lexsort((values, codes))
    return Numbered(codes[order], values[order], types)


def _fault(edges: Edges, claim: Symmetry, part: Part, there: Numbered) -> str:
    """The first edge that a claim does not carry to an edge of the same type and weight, in words
    ("" if none).

    Args:
        edges: of the part.
        claim: carries them.
        part: on which it is made.
        there: the edges of the rule where the claim leads.
    """
    if part.typed and len(edges.type) and int(edges.type.max()) >= there.types:
        return (
            f"it carries edges of type {int(edges.type.max())} to where there is none of that type"
        )
    dst, src, kind, weight = claim.receivers[edges.dst], claim.senders[edges.src], edges.type, None
    if edges.weight is not None:
        weight = edges.weight
    stays = (dst >= 0) & (src >= 0)
    leaves = not bool(stays.all())
    if leaves:
        dst, src, kind = dst[stays], src[stays], kind[stays]
        weight = None if weight is None else weight[stays]
    after = _in_order(_codes(dst, src, kind, part, there.types), weight, there.types)
    if not leaves and np.array_equal(after.codes, there.codes):
        if _same_weights(after.weight, there.weight):
            return ""
        return "it changes the number or the weights of parallel edges"
    # Every carried edge has to be among the edges; parallel ones have one number.
    missing = after.codes[~_among(after.codes, there.codes)]
    if len(missing):
        pair, t = divmod(int(missing[0]), there.types)
        i, j = divmod(pair, part.source.num_nodes)
        return f"it carries an edge to {i} <- {j} of type {t}, where there is none of that type"
    # Where none leaves, there are as many of each number, and of the same weights.
    if leaves:
        return ""
    return "it changes the number or the weights of parallel edges"


def _among(codes: Codes, known: Codes) -> NDArray[np.bool_]:
    """Which of some numbers are among others, both ascending."""
    if not len(known):
        return np.zeros(len(codes), dtype=bool)
    at = np.searchsorted(known, codes).clip(max=len(known) - 1)
    return known[at] == codes


def _same_weights(one: NDArray[np.float64] | None, other: NDArray[np.float64] | None) -> bool:
    if one is None or other is None:
        return one is other
    return bool((np.abs(one - other) <= 1e-12).all())
