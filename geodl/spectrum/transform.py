"""The Fourier transform of a domain as a record: axes that are transformed one by one, and the
order that makes eigenvalues ascend.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from geodl.spectrum.axes import Axis, backward, forward

SAME = 1e-12  # eigenvalues that differ by less count as equal, and keep the order of their numbers


class Transform(NamedTuple):
    """An orthonormal basis of modes, written as a product of axes.

    Attributes:
        eigenvalues: `[K]` ascending, float64.
        axes: of the box of which each point is a node, and after the transform a frequency; of a
            graph one axis, whose columns are its eigenvectors.
        node: `[N]` the node at each point of the box; None where nodes stand in its order.
        order: `[K]` the point of the box at which each mode stands; None for all in their order.
        rank: `[N]` the mode at each point of the box, K for one that is left out; None alike.
        root: `[N]` `sqrt(degree / mean degree)`, where modes are those of `I - D^-1 A`, which are
            orthonormal under its squares as weights. None where they are orthonormal without.
        method: how the modes are found, in words.
    """

    eigenvalues: Tensor
    axes: tuple[Axis, ...]
    node: Tensor | None = None
    order: Tensor | None = None
    rank: Tensor | None = None
    root: Tensor | None = None
    method: str = ""

    @property
    def lengths(self) -> tuple[int, ...]:
        """Nodes along each axis."""
        return tuple(axis.length for axis in self.axes)

    @property
    def is_complex(self) -> bool:
        """Whether modes are complex."""
        return any(axis.kind == "fft" for axis in self.axes)


def sorted_transform(
    box: Tensor, axes: tuple[Axis, ...], method: str, node: Tensor | None = None
) -> Transform:
    """A transform whose modes are products of modes of its axes.

    Args:
        box: their eigenvalues, `[m_1, ..., m_j]`.
        axes: j of them.
        method: in words.
        node: as in :class:`Transform`.
    """
    values = box.flatten()
    # Sums of the same numbers in another order differ in the last bit: rounded, they are equal, and
    # the order is the same on every processor.
    order = torch.argsort(torch.round(values / SAME), stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order))
    return Transform(values[order], axes, node, order, rank, None, method)


def first_modes(t: Transform, count: int) -> Transform:
    """The transform with its first modes alone."""
    if count == len(t.eigenvalues):
        return t
    order, rank = t.order, t.rank
    if order is None or rank is None:
        order = rank = torch.arange(len(t.eigenvalues))
    return t._replace(
        eigenvalues=t.eigenvalues[:count], order=order[:count], rank=rank.clamp(max=count)
    )


def analyse(t: Transform, x: Tensor) -> Tensor:
    """The coefficients of values: `[B, N, C]` to `[B, K, C]`.

    In at least single precision, on the device of x, where the transform must be, too.
    """
    batch, _, channels = x.shape
    if batch * channels == 0:
        return analyse(t, _one_more(x))[:batch, :, :channels]
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    if t.root is not None:
        x = x * t.root.to(x.dtype)[:, None]
    if t.node is not None:
        x = x.index_select(1, t.node)
    x = x.unflatten(1, t.lengths)
    for k, axis in enumerate(t.axes):
        x = forward(axis, x, k + 1)
    x = x.flatten(1, len(t.axes))
    if t.order is not None:
        x = x.index_select(1, t.order)
    return x


def synthesise(t: Transform, x: Tensor) -> Tensor:
    """The values of coefficients: `[B, K, C]` to `[B, N, C]`, complex where modes are."""
    batch, _, channels = x.shape
    if batch * channels == 0:
        return synthesise(t, _one_more(x))[:batch, :, :channels]
    if t.rank is not None:
        count, nodes = x.shape[1], len(t.rank)
        if count < nodes:  # modes that were left out have coefficient 0, which stands last
            x = torch.cat((x, torch.zeros_like(x[:, :1])), dim=1)
        x = x.index_select(1, t.rank)
    if t.order is not None:
        x = x.unflatten(1, t.lengths)
    # Twiddle factors read the frequencies of the axes before them: the last axis is undone first.
    for k, axis in reversed(list(enumerate(t.axes))):
        x = backward(axis, x, k + 1)
    x = x.flatten(1, len(t.axes))
    if t.node is not None:
        x = x.index_select(1, torch.argsort(t.node))
    if t.root is not None:
        x = x / t.root.to(x.dtype)[:, None]
    return x


def one_of_zeros(x: Tensor) -> Tensor:
    """A batch of one entry in place of an empty one, which some FFTs of torch refuse."""
    return torch.cat((x, x.new_zeros(1, *x.shape[1:])))


def _one_more(x: Tensor) -> Tensor:
    """A batch with an entry and a channel of zeros more."""
    return torch.nn.functional.pad(x, (0, 1, 0, 0, 0, 1))


def write_modes(t: Transform, first: int = 0, count: int | None = None) -> Tensor:
    """Modes written out as columns: `[N, count]`, from number `first` on, by default all."""
    modes = len(t.eigenvalues)
    if count is None:
        count = modes - first
    dtype = torch.float64
    if t.is_complex:
        dtype = torch.complex128
    one = torch.zeros(count, modes, dtype=dtype, device=t.eigenvalues.device)
    one[torch.arange(count), first + torch.arange(count)] = 1
    return synthesise(t, one[:, :, None])[:, :, 0].T
