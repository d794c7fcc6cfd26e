"""The Laplacian of a domain as a rule, over its undirected links."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from geodl.domain import LAPLACIAN_NORMS, Domain, memo
from geodl.domain.check import can_be_read
from geodl.errors import GeodlError, nearest
from geodl.neighborhood.base import Neighborhood, Symmetry, moved_alike, own_moves
from geodl.neighborhood.edges import Edges, untyped
from geodl.neighborhood.eigenvalue import largest_eigenvalue
from geodl.neighborhood.entries import Carried
from geodl.neighborhood.graph import (
    check_degrees,
    check_one_domain,
    inverse_or_zero,
    inverse_root_or_zero,
    sums,
)
from geodl.neighborhood.reversed import Reversed

SAME = 1e-6  # how far the weights of the two directions may differ, relative to the larger


@dataclass(frozen=True, repr=False)
class Laplacian(Neighborhood):
    """Each node receives from itself and from its neighbors with the entries of a Laplacian, made
    by :func:`laplacian`.
    """

    norm: str | None
    both_ways: bool = False
    reads_weights = True
    is_laplacian = True
    # Links are those of the whole union already.
    writes_unions = True

    def __repr__(self) -> str:
        words = []
        if self.norm is not None:
            words.append(repr(self.norm))
        if self.both_ways:
            words.append("both_ways=True")
        return f"laplacian({', '.join(words)})"

    def reverse(self, onto: Domain | None = None) -> Neighborhood:
        return Reversed(self, onto)

    def target(self, domain: Domain) -> Domain:
        return domain

    def _target(self, domain: Domain) -> Domain:
        return domain

    def carry(self, source: Domain, target: Domain) -> Carried:
        check_one_domain(self, source, target)
        pairs = undirected_pairs(source)
        if self.both_ways:
            _check_both_ways(self, source, pairs)
        dst = torch.cat((pairs.first, pairs.second))
        src = torch.cat((pairs.second, pairs.first))
        link = _links_behind(source, dst, src)
        node = torch.arange(source.num_nodes, device=dst.device)
        edges = untyped(torch.cat((dst, node)), torch.cat((src, node)))
        edges = edges._replace(link=torch.cat((link, torch.full_like(node, -1))))
        return Carried(self, edges, source.num_nodes, (pairs,))

    def entries(self, carried: Carried, weight: Tensor) -> Tensor:
        (pairs,) = carried.parts
        w = weight_of_pairs(pairs, weight, str(self))
        w = torch.cat((w, w), dim=-1)
        num_pairs = w.shape[-1]
        dst, src = carried.edges.dst[:num_pairs], carried.edges.src[:num_pairs]
        degree = sums(w, dst, carried.num_nodes)
        diagonal = torch.ones_like(degree)
        if self.norm is None:
            diagonal = degree
        else:
            check_degrees(self, degree)
        if self.norm == "sym":
            root = inverse_root_or_zero(degree)
            w = root[..., dst] * w * root[..., src]
        if self.norm == "rw":
            w = inverse_or_zero(degree)[..., dst] * w
        return torch.cat((-w, diagonal), dim=-1)

    def largest_eigenvalues(self, domain: Domain) -> Tensor:
        if self.norm is not None:
            # Of bipartite graphs the eigenvalue 2, of others a little less: the bound serves all.
            return torch.full((domain.num_members,), 2.0, dtype=torch.float64, device=domain.device)
        if domain.runtime_weight is not None:
            asked, found = f"the largest eigenvalue of {self}", "weights that come with each call"
            raise GeodlError(asked, found, 'name lambda_max=, or use laplacian("sym")')
        if domain.is_union:
            return torch.cat([self.largest_eigenvalues(part) for part in domain.members or ()])
        return memo(domain, "largest eigenvalue", lambda: self._largest_eigenvalue(domain))

    def _largest_eigenvalue(self, domain: Domain) -> Tensor:
        found = largest_eigenvalue(self.edges(domain), domain.num_nodes)
        return torch.tensor([found], dtype=torch.float64, device=domain.device)

    def _edges(self, domain: Domain, target: Domain) -> Edges:
        carried, weight = self.carry(domain, target), domain.links().weight
        if weight is None:
            device = carried.edges.dst.device
            weight = torch.ones(domain.num_links, dtype=torch.float64, device=device)
        elif domain.runtime_weight is None:
            weight = weight.double()
        return carried.edges._replace(weight=self.entries(carried, weight))

    def symmetries(self, domain: Domain, typed: bool = True) -> list[Symmetry]:
        return moved_alike(own_moves(domain))


def laplacian(norm: str | None = None, *, both_ways: bool = False) -> Laplacian:
    """The rule whose shift operator is the Laplacian of the undirected links of a domain.

    With A the symmetric matrix of undirected weights and D its degrees: None: `D - A`; "sym":
    `I - D^-1/2 A D^-1/2`; "rw": `I - D^-1 A`, where 0 stands for 1/0. It measures how rough a
    signal is: `x' (D - A) x = sum over linked pairs, each once, of w_ij (x_i - x_j)^2`.

    A link given in one direction counts in both, as those of a Chain; one that is given in both
    counts once, and its two weights must agree. Parallel links of one direction add up, self-loops
    drop out. A node without links has a row of zeros under None, and 1 on the diagonal under "sym"
    and "rw" (as in PyG's `get_laplacian`).

    Args:
        norm: None, "sym" or "rw" (Chung, "Spectral Graph Theory", 1997).
        both_ways: refuse a link that is given in one direction alone, where other libraries would
            compute something else.

    Raises:
        GeodlError: if the norm is unknown; on a graph, if weights differ in the two directions, if
            a link has no way back under `both_ways`, or if a degree is negative under "sym" or
            "rw".

    >>> from geodl.domain import Chain
    >>> edges = laplacian().edges(Chain(3))
    >>> dense = torch.zeros(3, 3).double()
    >>> dense.index_put((edges.dst, edges.src), edges.weight, accumulate=True).tolist()
    [[1.0, -1.0, 0.0], [-1.0, 2.0, -1.0], [0.0, -1.0, 1.0]]
    """
    if norm not in LAPLACIAN_NORMS:
        names = ["None", *filter(None, LAPLACIAN_NORMS)]
        raise GeodlError(f"laplacian(norm={norm!r})", do=nearest(str(norm), names))
    if not isinstance(both_ways, bool):
        raise GeodlError(f"laplacian(both_ways={both_ways!r})", do="give True or False")
    return Laplacian(norm, both_ways)


def _links_behind(domain: Domain, dst: Tensor, src: Tensor) -> Tensor:
    """The last link given from each sender to its receiver, else the last one given the other way:
    `[E]`.
    """
    links, n = domain.links(), domain.num_nodes
    code, place = torch.sort(links.dst * n + links.src, stable=True)
    found = []
    for wanted in (dst * n + src, src * n + dst):
        # The sort is stable: the last of equal codes is the last link given.
        at = torch.searchsorted(code, wanted, right=True) - 1
        there = code[at.clamp(min=0)] == wanted
        found.append(torch.where(there, place[at.clamp(min=0)], -1))
    return torch.where(found[0] < 0, found[1], found[0])


class Pairs(NamedTuple):
    """The pairs of linked nodes of a domain, each once, and the links between them.

    Attributes:
        first: `[P]` nodes, smaller than the second ones.
        second: `[P]` nodes.
        links: `[L']` the links that are not self-loops.
        way: `[L']` the pair of each, and P more for those that run to the larger number.
        ways: `[P]` in how many directions a pair is linked, 1 or 2.
    """

    first: Tensor
    second: Tensor
    links: Tensor
    way: Tensor
    ways: Tensor


def undirected_pairs(domain: Domain) -> Pairs:
    """The pairs of linked nodes of a domain, in either direction, self-loops aside."""
    dst, src, _ = domain.links()
    links = (dst != src).nonzero()[:, 0]
    dst, src = dst[links], src[links]
    first, second = torch.minimum(dst, src), torch.maximum(dst, src)
    pairs, pair = torch.unique(first * domain.num_nodes + second, return_inverse=True)
    way = (dst < src).long() * len(pairs) + pair
    there = torch.bincount(way, minlength=2 * len(pairs)).clamp(max=1)
    ways = there.view(2, -1).sum(0)
    return Pairs(pairs // domain.num_nodes, pairs % domain.num_nodes, links, way, ways)


def _check_both_ways(rule: Neighborhood, domain: Domain, pairs: Pairs) -> None:
    """Refuse pairs that are linked in one direction alone."""
    alone = (pairs.ways < 2).nonzero()
    if len(alone):
        first, second = int(pairs.first[alone[0, 0]]), int(pairs.second[alone[0, 0]])
        found = f"nodes {first} and {second}, linked in one direction alone"
        raise GeodlError(f"{rule} on {domain}", found, "give the link in both directions")


def weight_of_pairs(pairs: Pairs, weight: Tensor, asked: str) -> Tensor:
    """The weights of undirected pairs from those of the links, `[..., L]` to `[..., P]`.

    Raises:
        GeodlError: if a pair is linked in both directions with different weights.
    """
    count = len(pairs.first)
    total = sums(weight.index_select(-1, pairs.links), pairs.way, 2 * count)
    up, down = total[..., :count], total[..., count:]
    if can_be_read(total):
        _check_agreement(pairs, up.detach(), down.detach(), asked)
    # Where both directions are there they agree, and their mean is the weight.
    return (up + down) / pairs.ways.to(total.dtype)


def _check_agreement(pairs: Pairs, up: Tensor, down: Tensor, asked: str) -> None:
    """Refuse pairs whose two directions differ in weight."""
    differ = (up - down).abs() > SAME * torch.maximum(up.abs(), down.abs())
    differ = differ & (pairs.ways == 2)
    if not differ.any():
        return
    place = tuple(differ.nonzero()[0].tolist())
    i, j = int(pairs.first[place[-1]]), int(pairs.second[place[-1]])
    found = f"a link of weight {float(up[place]):g} from {i} to {j} and {float(down[place]):g} back"
    raise GeodlError(asked, found, "give both directions one weight, or use adjacency()")
