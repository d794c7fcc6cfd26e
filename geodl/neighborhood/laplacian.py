"""The Laplacian of a domain as a rule, over its undirected links."""

from dataclasses import dataclass

import torch
from torch import Tensor

from geodl.domain import Domain
from geodl.errors import GeodlError, nearest
from geodl.neighborhood.base import Neighborhood, Symmetry, permutations
from geodl.neighborhood.edges import Edges, untyped
from geodl.neighborhood.graph import check_degrees, check_one_domain, inverse_or_zero
from geodl.neighborhood.reversed import Reversed

NORMS = (None, "sym", "rw")
SAME = 1e-6  # how far the weights of the two directions may differ, relative to the larger


@dataclass(frozen=True, repr=False)
class Laplacian(Neighborhood):
    """Each node receives from itself and from its neighbors with the entries of a Laplacian, made
    by :func:`laplacian`.
    """

    norm: str | None

    def __repr__(self) -> str:
        if self.norm is None:
            return "laplacian()"
        return f"laplacian({self.norm!r})"

    def reverse(self, onto: Domain | None = None) -> Neighborhood:
        return Reversed(self, onto)

    def target(self, domain: Domain) -> Domain:
        return domain

    def edges(self, domain: Domain, target: Domain | None = None) -> Edges:
        # Links are those of the whole union already: it is written out at once.
        return self._edges(domain, target or domain)

    def _target(self, domain: Domain) -> Domain:
        return domain

    def _edges(self, domain: Domain, target: Domain) -> Edges:
        check_one_domain(self, domain, target)
        first, second, weight = undirected_links(domain)
        dst, src = torch.cat((first, second)), torch.cat((second, first))
        weight = torch.cat((weight, weight))
        link = _links_behind(domain, dst, src)
        degree = weight.new_zeros(domain.num_nodes).index_add_(0, dst, weight)
        diagonal = torch.ones_like(degree)
        if self.norm is None:
            diagonal = degree
        else:
            check_degrees(self, degree)
        if self.norm == "sym":
            root = inverse_or_zero(degree.sqrt())
            weight = root[dst] * weight * root[src]
        if self.norm == "rw":
            weight = inverse_or_zero(degree)[dst] * weight
        node = torch.arange(domain.num_nodes, device=dst.device)
        edges = untyped(
            torch.cat((dst, node)), torch.cat((src, node)), torch.cat((-weight, diagonal))
        )
        return edges._replace(link=torch.cat((link, torch.full_like(node, -1))))

    def symmetries(self, domain: Domain, typed: bool = True) -> list[Symmetry]:
        return permutations("generator", domain.generators())


def laplacian(norm: str | None = None) -> Laplacian:
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

    Raises:
        GeodlError: an unknown norm; weights that differ in the two directions; negative degrees
            under "sym" or "rw".

    >>> from geodl.domain import Chain
    >>> edges = laplacian().edges(Chain(3))
    >>> dense = torch.zeros(3, 3).double()
    >>> dense.index_put((edges.dst, edges.src), edges.weight, accumulate=True).tolist()
    [[1.0, -1.0, 0.0], [-1.0, 2.0, -1.0], [0.0, -1.0, 1.0]]
    """
    if norm not in NORMS:
        names = ["None", *filter(None, NORMS)]
        raise GeodlError(f"laplacian(norm={norm!r})", do=nearest(str(norm), names))
    return Laplacian(norm)


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


def undirected_links(domain: Domain) -> tuple[Tensor, Tensor, Tensor]:
    """Each pair of linked nodes once: nodes `first < second`, `[P]` each, and weights `[P]` in
    float64.

    Raises:
        GeodlError: a pair linked in both directions with different weights.
    """
    dst, src, weight = domain.links()
    if weight is None:
        weight = torch.ones_like(dst, dtype=torch.float64)
    apart = dst != src
    dst, src, weight = dst[apart], src[apart], weight[apart].double()
    first, second = torch.minimum(dst, src), torch.maximum(dst, src)
    pairs, pair = torch.unique(first * domain.num_nodes + second, return_inverse=True)
    # Sums and counts of what each pair has upwards (0: to the larger number) and downwards.
    direction = (dst < src).long()
    where = direction * len(pairs) + pair
    total = weight.new_zeros(2 * len(pairs)).index_add_(0, where, weight)
    there = torch.bincount(where, minlength=2 * len(pairs)).clamp(max=1)
    up, down = total.view(2, -1)
    both = there.view(2, -1).sum(0) == 2
    first, second = pairs // domain.num_nodes, pairs % domain.num_nodes
    differ = both & ((up - down).abs() > SAME * torch.maximum(up.abs(), down.abs()))
    if differ.any():
        k = int(differ.nonzero()[0, 0])
        i, j = int(first[k]), int(second[k])
        found = f"a link of weight {float(up[k]):g} from {i} to {j} and {float(down[k]):g} back"
        do = "give both directions one weight, or use adjacency()"
        raise GeodlError(f"the Laplacian of {domain}", found, do)
    # Where both directions are there they agree, and their mean is the weight.
    return first, second, (up + down) / (1 + both.double())
