"""Rules that read a domain's links: graph convolutions, and trees and DAGs."""

from dataclasses import dataclass

import torch
from torch import Tensor

from geodl.domain import Domain
from geodl.errors import GeodlError, nearest
from geodl.neighborhood.base import Neighborhood, Symmetry, permutations
from geodl.neighborhood.edges import Edges, untyped
from geodl.neighborhood.reversed import Reversed

NORMS = (None, "sym", "row", "laplacian")


@dataclass(frozen=True, repr=False)
class Adjacency(Neighborhood):
    """Each node hears its links, made by :func:`adjacency`."""

    norm: str | None
    self_loops: bool
    types: int | None

    def __repr__(self) -> str:
        types = "" if self.types is None else f", types={self.types}"
        loops = ", self_loops=True" if self.self_loops else ""
        norm = "" if self.norm is None else repr(self.norm)
        return f"adjacency({f'{norm}{loops}{types}'.removeprefix(', ')})"

    @property
    def num_edge_types(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """One, or the relations of the graph and one more for the self-loops that were added."""
        if self.types is None:
            return 1
        return self.types + self.self_loops

    def reverse(self, onto: Domain | None = None) -> Neighborhood:
        return Reversed(self, onto)

    def edges(self, domain: Domain, target: Domain | None = None) -> Edges:
        # Links are those of the whole union already: it is written out at once.
        return self._edges(domain, domain if target is None else target)

    def _target(self, domain: Domain) -> Domain:
        return domain

    def _edges(self, domain: Domain, target: Domain) -> Edges:
        if target is not domain and target != domain:
            raise GeodlError(
                f"{self} from {domain} to {target}",
                "two domains",
                "links join the nodes of one domain",
            )
        dst, src, weight = domain.links()
        kind = self._types_of(domain, dst)
        if self.norm == "laplacian":
            return untyped(*_laplacian(dst, src, weight, domain.num_nodes))
        if self.self_loops:
            alone = torch.ones(domain.num_nodes, dtype=torch.bool, device=dst.device)
            alone[dst[dst == src]] = False
            extra = alone.nonzero()[:, 0]
            dst, src = torch.cat((dst, extra)), torch.cat((src, extra))
            kind = torch.cat((kind, torch.full_like(extra, self.num_edge_types - 1)))
            weight = (
                None
                if weight is None
                else torch.cat((weight.double(), torch.ones_like(extra, dtype=torch.float64)))
            )
        if self.norm is not None:
            weight = self._normalised(dst, src, kind, weight, domain.num_nodes)
        return Edges(dst, src, kind, weight)

    def _types_of(self, domain: Domain, dst: Tensor) -> Tensor:
        if self.types is None:
            return torch.zeros_like(dst)
        kind = getattr(domain, "edge_type", None)
        if kind is None:
            raise GeodlError(
                f"{self} on {domain}", "no edge types", "build the graph with edge_type="
            )
        if kind.numel() and int(kind.max()) >= self.types:
            raise GeodlError(
                f"{self} on {domain}",
                f"edge type {int(kind.max())}",
                f"types run from 0 to {self.types - 1}",
            )
        return kind.long()

    def _normalised(
        self, dst: Tensor, src: Tensor, kind: Tensor, weight: Tensor | None, n: int
    ) -> Tensor:
        w = (
            torch.ones(len(dst), dtype=torch.float64, device=dst.device)
            if weight is None
            else weight.double()
        )
        group = dst * self.num_edge_types + kind if self.norm == "row" else dst
        degree = w.new_zeros(n * (self.num_edge_types if self.norm == "row" else 1)).index_add_(
            0, group, w
        )
        if (degree < 0).any():
            raise GeodlError(
                f'{self} with norm="{self.norm}"',
                "a negative degree",
                "use non-negative weights, or norm=None",
            )
        if self.norm == "row":
            return w * torch.where(degree > 0, 1 / degree, 0.0)[group]
        root = torch.where(degree > 0, degree.rsqrt(), 0.0)
        return root[dst] * w * root[src]

    def symmetries(self, domain: Domain, typed: bool = True) -> list[Symmetry]:
        return permutations("generator", domain.generators())


@dataclass(frozen=True, repr=False)
class Predecessors(Neighborhood):
    """Each node hears its links as they are, made by :func:`predecessors`."""

    def __repr__(self) -> str:
        return "predecessors()"

    def reverse(self, onto: Domain | None = None) -> Neighborhood:
        return Reversed(self, onto)

    def edges(self, domain: Domain, target: Domain | None = None) -> Edges:
        # Links are those of the whole union already: it is written out at once.
        return self._edges(domain, domain if target is None else target)

    def _target(self, domain: Domain) -> Domain:
        return domain

    def _edges(self, domain: Domain, target: Domain) -> Edges:
        dst, src, _ = domain.links()
        return untyped(dst, src)

    def symmetries(self, domain: Domain, typed: bool = True) -> list[Symmetry]:
        return permutations("generator", domain.generators())


def adjacency(
    norm: str | None = None, self_loops: bool = False, types: int | None = None
) -> Adjacency:
    """The rule of graph convolutions: each node hears the nodes linked to it, and itself.

    The shift operator S is, with A the adjacency (receivers in rows) and D its in-degrees:
    None: `A`; "sym": `D^-1/2 A D^-1/2`; "row": `D^-1 A`; "laplacian": `D - A` (whose diagonal is
    its self-loops).

    Args:
        norm: None, "sym" (Kipf and Welling, "Semi-Supervised Classification with GCNs", 2017),
            "row" or "laplacian".
        self_loops: give each node without a self-loop one of weight 1, before degrees are counted.
        types: R when the graph carries `edge_type` 0..R-1, one weight for each and one more for the
            added self-loops (R-GCN: Schlichtkrull et al. 2018); "row" then normalises each type for
            itself.

    Raises:
        GeodlError: an unknown norm; negative degrees under "sym" or "row"; types that the graph
            does not have.

    >>> from geodl.domain import Graph
    >>> adjacency("row", self_loops=True).edges(Graph([[0], [1]])).weight.tolist()
    [0.5, 1.0, 0.5]
    """
    if norm not in NORMS:
        raise GeodlError(
            f"adjacency(norm={norm!r})", do=nearest(norm, ["None", *filter(None, NORMS)])
        )
    if types is not None and (norm == "laplacian" or type(types) is not int or types < 1):
        raise GeodlError(
            f"adjacency(norm={norm!r}, types={types!r})",
            do="give a positive number of types, and no laplacian",
        )
    return Adjacency(norm, self_loops, types)


def predecessors() -> Predecessors:
    """The rule of recurrence on trees and DAGs: each node hears the nodes with a link to it,
    without weights.

    >>> from geodl.domain import Chain
    >>> predecessors().edges(Chain(3)).src.tolist()
    [0, 1]
    """
    return Predecessors()


def _laplacian(
    dst: Tensor, src: Tensor, weight: Tensor | None, n: int
) -> tuple[Tensor, Tensor, Tensor]:
    w = (
        torch.ones(len(dst), dtype=torch.float64, device=dst.device)
        if weight is None
        else weight.double()
    )
    node = torch.arange(n, device=dst.device)
    degree = w.new_zeros(n).index_add_(0, dst, w)
    return torch.cat((dst, node)), torch.cat((src, node)), torch.cat((-w, degree))
