"""Signals: values on the nodes of a domain."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from geodl.domain import Batch, Chain, Domain, Grid
from geodl.errors import GeodlError


@dataclass(frozen=True)
class Signal:
    """Values on the nodes of a domain.

    Args:
        x: `[B, N, C]`, batch by nodes by channels; or sparse CSR `[N, C]`, read by `Conv` on a
            graph as B = 1; or tokens, one channel `[B, N, 1]` of torch.long, read by `Embedding`.
        domain: where the N nodes live; `x` and the domain's tensors are on one device.

    Raises:
        GeodlError: another number of dimensions, nodes that do not match the domain, other
            integers, mixed devices.

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
            raise GeodlError(
                "a Signal", found, "give a tensor [B, N, C] and a domain, as Grid(28, 28)"
            )
        if x.layout not in (torch.strided, torch.sparse_csr):
            raise GeodlError(
                f"a Signal on {self.domain}",
                f"x of layout {x.layout}",
                "use x.to_dense() or x.to_sparse_csr()",
            )
        if x.dim() != (2 if x.layout == torch.sparse_csr else 3):
            raise GeodlError(
                f"a Signal on {self.domain}",
                f"x of shape {list(x.shape)}",
                "give [B, N, C]; x[None] adds a batch axis",
            )
        if x.shape[-2] != self.domain.num_nodes:
            found = f"x of shape {list(x.shape)}, {x.shape[-2]} nodes"
            raise GeodlError(
                f"a Signal on {self.domain}", found, f"give [B, {self.domain.num_nodes}, C]"
            )
        if not x.is_floating_point() and (x.dtype, x.shape[2:]) != (torch.long, (1,)):
            found, do = (
                f"x of dtype {x.dtype}",
                "use x.float(), or one channel of torch.long for tokens",
            )
            raise GeodlError(f"a Signal on {self.domain}", found, do)
        if self.domain.cache is not None and self.domain.tensors()[0].device != x.device:
            found = f"x on {x.device} and the domain on {self.domain.tensors()[0].device}"
            raise GeodlError(
                f"a Signal on {self.domain}", found, f"move one: domain.to({str(x.device)!r})"
            )

    @staticmethod
    def image(x: Tensor, *, periodic: bool = False) -> "Signal":
        """Images `[B, C, *axes]` of one to three axes as a signal on a Grid; copies once unless x
        is channels-last.

        >>> Signal.image(torch.zeros(2, 3, 28, 28)).domain
        Grid(28, 28)
        """
        if not isinstance(x, Tensor) or not 3 <= x.dim() <= 5:
            raise GeodlError(
                "Signal.image(x)", _said(x), "give [B, C, *axes] with one to three axes"
            )
        axes = tuple(x.shape[2:])
        domain = Grid(*axes, periodic=periodic)
        return Signal(
            x.movedim(1, -1).reshape(x.shape[0], domain.num_nodes, x.shape[1]).contiguous(), domain
        )

    @staticmethod
    def sequence(x: Tensor, mask: Tensor | None = None) -> "Signal":
        """Sequences `[B, T, C]` as a signal on a Chain, without a copy; with a mask, padding is
        missing nodes.

        Args:
            x: `[B, T, C]`.
            mask: booleans `[B, T]`, True where a token exists: first all tokens of a row, then its
                padding. Rows of different lengths n_b become `[1, sum n_b, C]` on a Batch of
                chains, rows of one length n `[B, n, C]` on a Chain. A recurrent layer's `step`
                then ends at each row's last token.

        Raises:
            GeodlError: another shape, a mask of another shape, dtype or device, a row without a
                token or with a gap.

        >>> Signal.sequence(torch.zeros(2, 7, 3)).domain
        Chain(7)
        >>> Signal.sequence(torch.zeros(2, 7, 3), torch.arange(7) < torch.tensor([[7], [2]])).domain
        Batch(2 members: Chain(7), Chain(2))
        """
        if not isinstance(x, Tensor) or x.dim() != 3:
            raise GeodlError("Signal.sequence(x)", _said(x), "give [B, T, C]")
        if x.shape[1] == 0:
            raise GeodlError(
                "Signal.sequence(x)",
                f"x of shape {list(x.shape)}, without a token",
                "give one token at least",
            )
        if mask is None:
            return Signal(x, Chain(x.shape[1]))
        lengths = _lengths(x, mask)
        longest = max(lengths, default=x.shape[1])
        if min(lengths, default=longest) == longest:
            return Signal(x[:, :longest], Chain(longest))
        return Signal(x[mask][None], Batch([Chain(n) for n in lengths]).to(x.device))

    @staticmethod
    def tokens(ids: Tensor, mask: Tensor | None = None) -> "Signal":
        """Token numbers `[B, T]` (torch.long) as a signal `[B, T, 1]` on a Chain, for `Embedding`;
        masked as :meth:`sequence`.

        >>> Signal.tokens(torch.tensor([[3, 1, 2]])).x.shape
        torch.Size([1, 3, 1])
        """
        if not isinstance(ids, Tensor) or ids.dim() != 2 or ids.dtype != torch.long:
            raise GeodlError(
                "Signal.tokens(ids)", _said(ids), "give [B, T] of torch.long: ids.long()"
            )
        return Signal.sequence(ids[..., None], mask)

    def to_image(self) -> Tensor:
        """`[B, C, *axes]` as a view; a fiber becomes channels, `[B, |G| C, *axes]`, channel c of
        element h at h * C + c.
        """
        lattice, fiber = self.domain.lattice, self.domain.fiber
        if lattice is None or self.x.layout != torch.strided:
            found = "a domain without a lattice" if lattice is None else "sparse values"
            raise GeodlError(
                f"an image of a signal on {self.domain}", found, "use a dense signal on a Grid"
            )
        planes = self.x.shape[2] * (fiber.order if fiber else 1)
        return self.x.reshape(self.x.shape[0], *lattice, planes).movedim(-1, 1)

    def to_sequence(self, fill: float = 0.0) -> Tensor:
        """`[B, T, C]`, the values as they are, for a domain with an order.

        D members of a Batch give `[B D, T, C]` with the longest's T, padded behind: the inverse of
        :meth:`sequence`.

        Args:
            fill: the value of the padding.
        """
        domain, x = self.domain, self.x
        if not domain.ordered or x.layout != torch.strided:
            found = "sparse values" if domain.ordered else "a domain without one order"
            raise GeodlError(
                f"a sequence of a signal on {domain}", found, "use a dense signal on a Chain"
            )
        if domain.members is None:
            return x
        lengths = torch.tensor([m.num_nodes for m in domain.members], device=x.device)
        exists = torch.arange(int(lengths.max()), device=x.device) < lengths[:, None]
        y = x.new_full((x.shape[0], *exists.shape, x.shape[2]), fill)
        y[:, exists] = x
        return y.flatten(0, 1)

    def to(self, device: torch.device | str) -> "Signal":
        """This signal, values and domain, on a device."""
        return Signal(self.x.to(device), self.domain.to(device))


def _said(x: Any) -> str:
    return (
        f"{x.dtype} of shape {list(x.shape)}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
    )


def _lengths(x: Tensor, mask: Any) -> list[int]:
    """How many tokens each row has, once the mask is known to be one."""
    asked, shape = f"Signal.sequence(x, mask) with x of shape {list(x.shape)}", x.shape[:2]
    if not isinstance(mask, Tensor) or (mask.dtype, mask.shape, mask.device) != (
        torch.bool,
        shape,
        x.device,
    ):
        found = (
            f"{list(mask.shape)}, {mask.dtype}, {mask.device}"
            if isinstance(mask, Tensor)
            else f"a {type(mask).__name__}"
        )
        do = f"give booleans {list(shape)} on {x.device}, True where a token exists"
        raise GeodlError(asked, f"a mask that is {found}", do)
    lengths = mask.sum(1)
    wrong = (lengths == 0) | (
        mask != (torch.arange(x.shape[1], device=x.device) < lengths[:, None])
    ).any(1)
    if wrong.any():
        row = int(wrong.nonzero()[0, 0])
        found = f"row {row} {'with padding before a token' if lengths[row] else 'without a token'}"
        raise GeodlError(asked, found, "put the padding last, and leave empty rows out")
    return lengths.tolist()


def _flatten(signal: Signal) -> tuple[list[Any], Domain]:
    return [signal.x, *signal.domain.tensors()], signal.domain


def _unflatten(leaves: Any, domain: Domain) -> Signal:
    x, *tensors = leaves
    signal = object.__new__(Signal)  # leaves may be anything while a pytree is being mapped
    known = all(isinstance(t, Tensor) for t in tensors)
    object.__setattr__(signal, "x", x)
    object.__setattr__(
        signal, "domain", domain.with_tensors(tuple(tensors)) if tensors and known else domain
    )
    return signal


pytree.register_pytree_node(Signal, _flatten, _unflatten, serialized_type_name="geodl.Signal")
