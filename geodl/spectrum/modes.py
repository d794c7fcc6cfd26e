"""Modes as a rule: one edge type, and so one weight, for each mode of a domain."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geodl.domain import Domain
from geodl.errors import GeodlError, as_integer
from geodl.neighborhood import Edges, Neighborhood, Structure
from geodl.neighborhood.edges import turned_around
from geodl.neighborhood.reversed import Reversed
from geodl.spectrum.find import refuses_spectrum, transform_of
from geodl.spectrum.fourier import check_norm
from geodl.spectrum.transform import analyse, write_modes

MOST_ENTRIES = 2**26  # of all types written out, half a gigabyte


@dataclass(frozen=True, repr=False)
class ByMode(Neighborhood):
    """Each node receives over type k with the entries of `Re(u_k u_k*)`, made by :func:`modes`."""

    count: int | None
    norm: str | None
    reads_weights = True  # and refuses those that come with each call
    writes_unions = True

    def __repr__(self) -> str:
        words = []
        if self.count is not None:
            words.append(str(self.count))
        if self.norm is not None:
            words.append(f"norm={self.norm!r}")
        return f"modes({', '.join(words)})"

    @property
    def num_edge_types(self) -> int | None:  # pyright: ignore[reportIncompatibleVariableOverride] - derived
        """As many as modes were asked for; all of a domain are as many as it has nodes."""
        return self.count

    @property
    def by_member(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived
        """Where the first modes are asked for; all modes are numbered through a union."""
        return self.count is not None

    def num_types(self, domain: Domain) -> int:
        if self.count is not None:
            return self.count
        return domain.num_nodes

    def reverse(self, onto: Domain | None = None) -> Neighborhood:
        return Reversed(self, onto)

    def refuses(self, domain: Domain, typed: bool = True) -> str:
        return refuses_spectrum(domain, self.count)

    def structures(self, source: Domain, target: Domain) -> tuple[Structure, ...]:
        return (Projections(self.count, self.norm),)

    def _target(self, domain: Domain) -> Domain:
        return domain

    def _edges(self, domain: Domain, target: Domain) -> Edges:
        # All modes of a union are numbered member after member, as its nodes are.
        return by_member(domain, self._edges_of_member, self.count)

    def _edges_of_member(self, domain: Domain, target: Domain) -> Edges:
        transform = transform_of(domain, self.norm, self.count)
        check_size(f"{self} written out on {domain}", len(transform.eigenvalues), domain)
        u = write_modes(transform)
        back = u
        if transform.root is not None:
            # U'D, less the factor that makes its degrees relative: the inverse of U.
            back = transform.root.square()[:, None] * u
        projections = torch.einsum("ik,jk->kij", u, back.conj())
        return dense_edges(projections)


@dataclass(frozen=True, eq=False)
class Projections(Structure):
    """Receiver i receives from sender j over type k with the entry `Re(u_k(i) conj(u_k(j)))`, u_k
    mode k of the Laplacian.

    Args:
        count: how many modes, the first of each member; None for all, those of a union numbered
            member after member.
        norm: of the Laplacian.
        transposed: sender and receiver exchanged, which differs where modes are not orthonormal.
    """

    count: int | None
    norm: str | None
    transposed: bool = False
    weighted: ClassVar[bool] = True

    def edges(self, source: Domain, target: Domain) -> Edges:
        """By the coefficients of impulses, and back mode by mode."""
        # All modes of a union are numbered member after member, as its nodes are.
        edges = by_member(source, self._edges_of_member, self.count)
        if self.transposed:
            return turned_around(edges)
        return edges

    def reverse(self) -> Structure | None:
        return Projections(self.count, self.norm, not self.transposed)

    def _edges_of_member(self, domain: Domain, target: Domain) -> Edges:
        transform = transform_of(domain, self.norm, self.count)
        impulses = torch.eye(domain.num_nodes, dtype=torch.float64)[:, :, None]
        coefficients = analyse(transform, impulses)[:, :, 0]
        u = write_modes(transform)
        parts = []
        for k in range(len(transform.eigenvalues)):
            parts.append(u[:, k, None] * coefficients[None, :, k])
        return dense_edges(torch.stack(parts))


def modes(k: int | None = None, *, norm: str | None = None) -> ByMode:
    """The rule of spectral convolution: type k is the projection on mode k of the domain's
    Laplacian, so that a `Conv` over it, `Y = sum_k u_k u_k' X W_k`, has free weights in every
    frequency (Bruna, Zaremba, Szlam, LeCun, "Spectral Networks and Locally Connected Networks on
    Graphs", 2014).

    Where modes are complex, the real part is taken: opposite frequencies share the mean of their
    weights. On a union each member has its own modes.

    Args:
        k: how many, smallest eigenvalues first; None for all. Their number is then that of the
            domain's nodes: build the layer with `on=domain`.
        norm: of the Laplacian, as in :func:`geodl.spectrum`.

    Raises:
        GeodlError: if k is not a positive integer, or the norm unknown; at the call, if a domain
            has fewer nodes than modes are asked for.

    >>> from geodl.domain import Grid
    >>> modes(3, norm="sym"), modes().num_types(Grid(8, 8))
    (modes(3, norm='sym'), 64)
    """
    check_norm("modes(k)", norm)
    count = None
    if k is not None:
        count = as_integer(k)
        if count is None or count < 1:
            raise GeodlError(f"modes({k!r})", do="give a positive integer, or None for all modes")
    return ByMode(count, norm)


def by_member(
    domain: Domain, edges_of: Callable[[Domain, Domain], Edges], count: int | None
) -> Edges:
    """The edges of a domain, or of all members of a union.

    Args:
        domain: any.
        edges_of: the edges of one member, receivers and senders on it, all of them weighted.
        count: how many modes a member has; None for as many as it has nodes, so that types are
            numbered through the union, as nodes are.
    """
    if not domain.is_union:
        return edges_of(domain, domain)
    columns: list[list[Tensor]] = [[], [], [], []]
    first = 0
    for member in domain.members or ():
        part = edges_of(member, member)
        moved = 0
        if count is None:
            moved = first
        columns[0].append(part.dst + first)
        columns[1].append(part.src + first)
        columns[2].append(part.type + moved)
        assert part.weight is not None
        columns[3].append(part.weight)
        first += member.num_nodes
    dst, src, kind, weight = (torch.cat(column) for column in columns)
    return Edges(dst, src, kind, weight)


def check_size(asked: str, types: int, domain: Domain) -> None:
    """Refuse to write out so many matrices `[N, N]` that memory does not hold them."""
    n = domain.num_nodes
    if types * n * n > MOST_ENTRIES:
        found = f"{types} matrices of {n} x {n} entries"
        raise GeodlError(asked, found, 'use the lowering "gft", which writes none out')


def dense_edges(matrices: Tensor) -> Edges:
    """Matrices `[T, M, N]` as edges, those of one type after the other."""
    if matrices.is_complex():
        matrices = matrices.real
    kind, dst, src = torch.ones_like(matrices, dtype=torch.bool).nonzero().unbind(1)
    return Edges(dst, src, kind, matrices.flatten())
