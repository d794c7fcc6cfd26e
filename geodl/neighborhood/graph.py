"""Rules that read a domain's links: graph convolutions, and trees and DAGs."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geodl.domain import Domain, same_place
from geodl.domain.check import can_be_read
from geodl.errors import GeodlError, as_integer, nearest
from geodl.neighborhood.base import Neighborhood, Symmetry, moved_alike, own_moves
from geodl.neighborhood.edges import Edges
from geodl.neighborhood.entries import Carried, weight_of_edges
from geodl.neighborhood.linked import linked
from geodl.neighborhood.reversed import Reversed
from geodl.neighborhood.structure import Structure

NORMS = (None, "sym", "row")


@dataclass(frozen=True, repr=False)
class Adjacency(Neighborhood):
    """Each node receives over its links, made by :func:`adjacency` and :func:`predecessors`."""

    norm: str | None
    self_loops: bool | str
    types: int | None
    weights: bool
    fill: float | str = 0.0

    # Links are those of the whole union already.
    writes_unions = True

    def __repr__(self) -> str:
        words = []
        if self.norm is not None:
            words.append(repr(self.norm))
        if self.self_loops:
            words.append(f"self_loops={self.self_loops!r}")
        if self.types is not None:
            words.append(f"types={self.types}")
        if self.fill != 0:
            words.append(f"fill={self.fill!r}")
        if not self.weights:
            words.append("weights=False")
        return f"adjacency({', '.join(words)})"

    @property
    def num_edge_types(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """One, or the relations of the graph and one more for the self-loops that were added."""
        if self.types is None:
            return 1
        return self.types + bool(self.self_loops)

    @property
    def reads_weights(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived
        """Unless it was asked for the links alone."""
        return self.weights

    @property
    def sorted_matrix(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] - derived
        """Without norms and types it is the links."""
        if self.norm is not None or self.types is not None:
            return ""
        if self.self_loops:
            return "loops"
        return "links"

    def reverse(self, onto: Domain | None = None) -> Neighborhood:
        return Reversed(self, onto)

    def target(self, domain: Domain) -> Domain:
        return domain

    def _target(self, domain: Domain) -> Domain:
        return domain

    def structures(self, source: Domain, target: Domain) -> tuple[Structure, ...]:
        weighs = self.norm is not None or (self.weights and source.runtime_weight is not None)
        if weighs or self.types is not None:
            return ()
        return linked(source, loops=bool(self.self_loops), weights=self.weights)

    def carry(self, source: Domain, target: Domain) -> Carried:
        check_one_domain(self, source, target)
        dst, src, _ = source.links()
        link = torch.arange(len(dst), device=dst.device)
        edges = Edges(dst, src, self._types_of(source, dst), None, link)
        if self.self_loops:
            edges = self._with_self_loops(edges, source.num_nodes)
        return Carried(self, edges, source.num_nodes)

    def entries(self, carried: Carried, weight: Tensor) -> Tensor:
        edges = carried.edges
        assert edges.link is not None
        w = weight_of_edges(weight, edges.link)
        if self.norm is None:
            return w
        return self._normalised(edges, w, carried.num_nodes)

    def _edges(self, domain: Domain, target: Domain) -> Edges:
        carried, weight = self.carry(domain, target), None
        if self.weights:
            weight = domain.links().weight
        if weight is None:
            if self.norm is None:
                return carried.edges
            device = carried.edges.dst.device
            weight = torch.ones(domain.num_links, dtype=torch.float64, device=device)
        elif domain.runtime_weight is None:
            weight = weight.double()
        return carried.edges._replace(weight=self.entries(carried, weight))

    def _types_of(self, domain: Domain, dst: Tensor) -> Tensor:
        """The relation of each link, 0 for all where types are not asked for."""
        if self.types is None:
            return torch.zeros_like(dst)
        asked, kind = f"{self} on {domain}", getattr(domain, "edge_type", None)
        if kind is None:
            raise GeodlError(asked, "no edge types", "build the graph with edge_type=")
        if kind.numel() and int(kind.max()) >= self.types:
            do = f"types run from 0 to {self.types - 1}"
            raise GeodlError(asked, f"edge type {int(kind.max())}", do)
        return kind

    def _with_self_loops(self, edges: Edges, num_nodes: int) -> Edges:
        """Append a self-loop to each node without one; without types, keep only the last of several
        at a node. Anew: one at each node, in place of its own.
        """
        added = torch.arange(num_nodes, device=edges.dst.device)
        # Most graphs have no loop at all, and a batch of small ones is written out at every step.
        is_loop = edges.dst == edges.src
        has_loops = bool(is_loop.any())
        if has_loops and self.self_loops == "anew":
            edges = edges.map_columns(lambda column: column[~is_loop])
        elif has_loops:
            if self.types is None:
                edges = _without_repeated_loops(edges, num_nodes)
            has_none = torch.ones_like(added, dtype=torch.bool)
            has_none[edges.dst[edges.dst == edges.src]] = False
            added = has_none.nonzero()[:, 0]
        dst, src, kind, _, link = edges
        assert link is not None
        more = (0, len(added))
        return Edges(
            torch.cat((dst, added)),
            torch.cat((src, added)),
            torch.constant_pad_nd(kind, more, self.num_edge_types - 1),
            None,
            torch.constant_pad_nd(link, more, -1),
        )

    def _normalised(self, edges: Edges, w: Tensor, num_nodes: int) -> Tensor:
        """The entries of `D^-1/2 A D^-1/2` or `D^-1 A` for those of A: `[..., E]`; 0 stands for
        1/0.
        """
        dst, src, kind = edges.dst, edges.src, edges.type
        # S has a row for each receiver: degrees are sums over the edges that come in.
        # "row" counts the degrees of each type for itself, as R-GCN does; "sym" all together.
        group, num_groups = dst, num_nodes
        if self.norm == "row":
            group, num_groups = dst * self.num_edge_types + kind, num_nodes * self.num_edge_types
        degree = sums(w, group, num_groups)
        check_degrees(self, degree)
        if self.norm == "row":
            return w * inverse_or_zero(degree)[..., group]
        root = inverse_root_or_zero(degree)
        return root[..., dst] * w * root[..., src]

    def symmetries(self, domain: Domain, typed: bool = True) -> list[Symmetry]:
        return moved_alike(own_moves(domain))


def adjacency(
    norm: str | None = None,
    self_loops: bool | str = False,
    types: int | None = None,
    *,
    fill: float | str = 0.0,
    weights: bool = True,
) -> Adjacency:
    """The rule of graph convolutions: each node receives from the nodes linked to it.

    The shift operator S is, with A the adjacency (receivers in rows) and D its in-degrees:
    None: `A`; "sym": `D^-1/2 A D^-1/2`; "row": `D^-1 A`; 0 stands for 1/0. The operator `D - A` is
    a rule of its own, :func:`laplacian`.

    Args:
        norm: None, "sym" (Kipf and Welling, "Semi-Supervised Classification with GCNs", 2017) or
            "row".
        self_loops: give each node exactly one self-loop before degrees are counted: its own last
            one if it has any, else one of weight 1 (PyG's `add_remaining_self_loops`). With types,
            the loops of the relations all stay. "anew" leaves out the graph's own loops and adds
            one of weight 1 at each node (PyG's attention), which tells where edges have a state.
        types: R when the graph carries `edge_type` 0..R-1, one weight for each and one more for the
            added self-loops (R-GCN: Schlichtkrull et al. 2018); "row" then normalises each type for
            itself.
        fill: the state of the self-loops that were added, where the signal has a state of edges: a
            number, or "mean" of the states of the edges into the node.
        weights: read the weights of the links; False reads who is linked, and nothing more.
            Attention and Pool, which weigh their neighbors themselves, need it on a weighted graph.

    Raises:
        GeodlError: if the norm or the fill is unknown; on a graph, if a degree is negative under
            "sym" or "row", or if the graph does not have the types.

    >>> from geodl.domain import Graph
    >>> adjacency("row", self_loops=True).edges(Graph([[0], [1]])).weight.tolist()
    [0.5, 1.0, 0.5]
    """
    asked = f"adjacency(norm={norm!r}, types={types!r})"
    if norm == "laplacian":
        raise GeodlError(asked, "a rule of its own", 'use laplacian(), laplacian("sym") or ("rw")')
    if norm not in NORMS:
        names = ["None", *filter(None, NORMS)]
        raise GeodlError(f"adjacency(norm={norm!r})", do=nearest(str(norm), names))
    if not isinstance(self_loops, bool) and self_loops != "anew":
        raise GeodlError(f"adjacency(self_loops={self_loops!r})", do='give True, False or "anew"')
    if not isinstance(weights, bool):
        raise GeodlError(f"adjacency(weights={weights!r})", do="give True or False")
    number = None if types is None else as_integer(types)
    if types is not None and (number is None or number < 1):
        raise GeodlError(asked, do="give a positive number of types")
    return Adjacency(norm, self_loops, number, weights, _checked_fill(fill))


def _checked_fill(fill: Any) -> float | str:
    """A state for added edges: a finite number, or "mean"."""
    if fill == "mean":
        return fill
    is_number = isinstance(fill, int | float) and not isinstance(fill, bool)
    if not is_number or not math.isfinite(fill):
        raise GeodlError(f"adjacency(fill={fill!r})", do='give a number, or "mean"')
    return float(fill)


def predecessors() -> Adjacency:
    """The rule of recurrence on trees and DAGs: each node receives from the nodes with a link to
    it, without weights. It is `adjacency(weights=False)`.

    See also: `past()` itself and all before (causal attention), `previous()` the one before (RNN),
    `predecessors()` all nodes with a link to it (trees, DAGs).

    >>> from geodl.domain import Chain
    >>> predecessors().edges(Chain(3)).src.tolist()
    [0, 1]
    """
    return adjacency(weights=False)


def check_one_domain(rule: Neighborhood, source: Domain, target: Domain) -> None:
    """Refuse to join two domains by the links of one."""
    if not same_place(source, target):
        asked = f"{rule} from {source} to {target}"
        raise GeodlError(asked, "two domains", "links join the nodes of one domain")


def check_degrees(rule: Neighborhood, degree: Tensor) -> None:
    """Refuse to divide by a negative degree, which has no root; where the numbers cannot be read,
    it is NaN.
    """
    if can_be_read(degree) and (degree < 0).any():
        found = f"a negative degree, {float(degree.detach().min()):g}"
        raise GeodlError(str(rule), found, "use non-negative weights, or norm=None")


def sums(weight: Tensor, group: Tensor, num_groups: int) -> Tensor:
    """The sum of the weights in each group: `[..., E]` to `[..., G]`."""
    return weight.new_zeros(*weight.shape[:-1], num_groups).index_add(-1, group, weight)


def inverse_or_zero(numbers: Tensor) -> Tensor:
    """`1 / numbers`, and 0 for 1/0: a node without edges neither sends nor receives."""
    # The division is of ones where it does not count: else its gradient would be NaN there.
    there = numbers != 0
    return torch.where(there, 1 / torch.where(there, numbers, 1.0), 0.0)


def inverse_root_or_zero(numbers: Tensor) -> Tensor:
    """`numbers^(-1/2)`, 0 for 1/0; NaN for roots that are none."""
    there = numbers != 0
    return torch.where(there, 1 / torch.where(there, numbers, 1.0).sqrt(), 0.0)


def _without_repeated_loops(edges: Edges, num_nodes: int) -> Edges:
    """The edges without the self-loops of a node that come before its last one."""
    dst, src = edges.dst, edges.src
    is_loop = dst == src
    # The last loop of a node is the one of the largest place among its loops.
    place = torch.arange(len(dst), device=dst.device)
    last = place.new_full((num_nodes,), -1)
    last = last.scatter_reduce(0, dst[is_loop], place[is_loop], "amax")
    keep = ~is_loop | (last[dst] == place)
    return edges.map_columns(lambda column: column[keep])
