"""Signals: values on the nodes of a domain."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from geodl.domain import Chain, Domain, Grid
from geodl.errors import GeodlError


@dataclass(frozen=True)
class Signal:
    """Values on the nodes of a domain.

    Args:
        x: `[B, N, C]`, batch by nodes by channels; or sparse CSR `[N, C]`, read by `Conv` on a graph as B = 1.
        domain: where the N nodes live; `x` and the domain's tensors are on one device.

    Raises:
        GeodlError: another number of dimensions, nodes that do not match the domain, integers, mixed devices.

    >>> s = Signal(torch.zeros(2, 25, 3), Grid(5, 5))
    >>> s.to_image().shape
    torch.Size([2, 3, 5, 5])
    """

    x: Tensor
    domain: Domain

    def __post_init__(self):
        x = self.x
        if not isinstance(x, Tensor) or not isinstance(self.domain, Domain):
            found = f"a {type(x).__name__} on a {type(self.domain).__name__}"
            raise GeodlError("a Signal", found, "give a tensor [B, N, C] and a domain, as Grid(28, 28)")
        if x.layout not in (torch.strided, torch.sparse_csr):
            raise GeodlError(f"a Signal on {self.domain}", f"x of layout {x.layout}", "use x.to_dense() or x.to_sparse_csr()")
        if x.dim() != (2 if x.layout == torch.sparse_csr else 3):
            raise GeodlError(
                f"a Signal on {self.domain}", f"x of shape {list(x.shape)}", "give [B, N, C]; x[None] adds a batch axis"
            )
        if x.shape[-2] != self.domain.num_nodes:
            found = f"x of shape {list(x.shape)}, {x.shape[-2]} nodes"
            raise GeodlError(f"a Signal on {self.domain}", found, f"give [B, {self.domain.num_nodes}, C]")
        if not x.is_floating_point():
            raise GeodlError(f"a Signal on {self.domain}", f"x of dtype {x.dtype}", "signals are floating-point: use x.float()")
        if self.domain.plans is not None and self.domain.tensors()[0].device != x.device:
            found = f"x on {x.device} and the domain on {self.domain.tensors()[0].device}"
            raise GeodlError(f"a Signal on {self.domain}", found, f"move one: domain.to({str(x.device)!r})")

    @staticmethod
    def image(x: Tensor, *, periodic: bool = False) -> "Signal":
        """Images `[B, C, *axes]` of one to three axes as a signal on a Grid; copies once unless x is channels-last.

        >>> Signal.image(torch.zeros(2, 3, 28, 28)).domain
        Grid(28, 28)
        """
        if not 3 <= x.dim() <= 5:
            raise GeodlError("Signal.image(x)", f"x of shape {list(x.shape)}", "give [B, C, *axes] with one to three axes")
        axes = tuple(x.shape[2:])
        domain = Grid(*axes, periodic=periodic)
        return Signal(x.movedim(1, -1).reshape(x.shape[0], domain.num_nodes, x.shape[1]).contiguous(), domain)

    @staticmethod
    def sequence(x: Tensor) -> "Signal":
        """Sequences `[B, T, C]` as a signal on a Chain, without a copy.

        >>> Signal.sequence(torch.zeros(2, 7, 3)).domain
        Chain(7)
        """
        if x.dim() != 3:
            raise GeodlError("Signal.sequence(x)", f"x of shape {list(x.shape)}", "give [B, T, C]")
        return Signal(x, Chain(x.shape[1]))

    def to_image(self) -> Tensor:
        """`[B, C, *axes]` as a view; a fiber becomes channels, `[B, |G| C, *axes]`, channel c of element h at h * C + c."""
        lattice, fiber = self.domain.lattice, self.domain.fiber
        if lattice is None or self.x.layout != torch.strided:
            found = "a domain without a lattice" if lattice is None else "sparse values"
            raise GeodlError(f"an image of a signal on {self.domain}", found, "use a dense signal on a Grid")
        planes = self.x.shape[2] * (fiber.order if fiber else 1)
        return self.x.reshape(self.x.shape[0], *lattice, planes).movedim(-1, 1)

    def to_sequence(self) -> Tensor:
        """`[B, T, C]`, the values as they are, for a domain with an order."""
        if not self.domain.ordered or self.domain.members is not None:
            raise GeodlError(f"a sequence of a signal on {self.domain}", "a domain without one order", "use a signal on a Chain")
        return self.x

    def to(self, device: torch.device | str) -> "Signal":
        """This signal, values and domain, on a device."""
        return Signal(self.x.to(device), self.domain.to(device))


def _flatten(signal: Signal) -> tuple[list[Any], Domain]:
    return [signal.x, *signal.domain.tensors()], signal.domain


def _unflatten(leaves: Any, domain: Domain) -> Signal:
    x, *tensors = leaves
    signal = object.__new__(Signal)  # leaves may be anything while a pytree is being mapped
    known = all(isinstance(t, Tensor) for t in tensors)
    object.__setattr__(signal, "x", x)
    object.__setattr__(signal, "domain", domain.with_tensors(tuple(tensors)) if tensors and known else domain)
    return signal


pytree.register_pytree_node(Signal, _flatten, _unflatten, serialized_type_name="geodl.Signal")
