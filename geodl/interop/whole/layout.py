"""How a tensor of torch is read from a signal: which axis holds the batch, nodes and channels.

A signal keeps `[B, N, C]`. The tensors that torch's modules exchange hold the same numbers in other
orders, with axes merged or split. A :class:`Layout` writes such a tensor as a list of axes, each a
product of *atoms*: the batch, one axis of the lattice, or one part of the channels. `view`,
`flatten`, `transpose` and `permute` then change a layout and no number.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from torch import Tensor

from geodl.domain import Chain, Complete, Domain, Grid
from geodl.errors import GeodlError
from geodl.signal import Signal

Places = Literal["grid", "torus", "chain", "set"]


class Atom(NamedTuple):
    """The smallest piece of an axis.

    Attributes:
        kind: what it counts.
        place: which axis of the lattice, or which part of the channels.
        size: of a part of the channels; 0 of the others, whose sizes differ from call to call.
    """

    kind: Literal["batch", "node", "channel"]
    place: int = 0
    size: int = 0


BATCH = Atom("batch")
Axis = tuple[Atom, ...]  # the first atom is the slowest; () is an axis of length 1


def nodes(count: int) -> tuple[Atom, ...]:
    """The atoms of a lattice with so many axes."""
    return tuple(Atom("node", axis) for axis in range(count))


NODES: Axis = nodes(1)


@dataclass(frozen=True)
class Layout:
    """The axes of a tensor, in terms of a signal's.

    Attributes:
        dims: its axes.
        domain: what the signal's nodes form, where it is made of the tensor.
    """

    dims: tuple[Axis, ...]
    domain: Places = "grid"

    def __str__(self) -> str:
        axes = []
        for dim in self.dims:
            names = [_name(atom) for atom in dim]
            axes.append(" ".join(names) or "1")
        return f"[{', '.join(axes)}]"

    @property
    def atoms(self) -> tuple[Atom, ...]:
        """All atoms in the tensor's order."""
        return tuple([atom for dim in self.dims for atom in dim])

    @property
    def channels(self) -> Axis:
        """The parts of the channels in the signal's order; () of tokens, which have none."""
        return tuple(sorted([atom for atom in self.atoms if atom.kind == "channel"]))

    @property
    def num_channels(self) -> int:
        """C."""
        return math.prod([atom.size for atom in self.channels])

    @property
    def num_axes(self) -> int:
        """The axes of the lattice; 0 where there is one node."""
        return len([atom for atom in self.atoms if atom.kind == "node"])

    @property
    def batched(self) -> bool:
        """Whether the tensor has a batch; else that of the signal is 1."""
        return BATCH in self.atoms

    def channel_dim(self) -> int | None:
        """The axis that all channels form, alone and in their order; None without one."""
        channels = self.channels
        if channels and channels in self.dims:
            return self.dims.index(channels)
        return None

    def is_planes(self, axes: int) -> bool:
        """Whether it is `[B, C, *lattice]` with so many axes."""
        lattice = tuple((atom,) for atom in nodes(axes))
        return self.dims == ((BATCH,), self.channels, *lattice) and bool(self.channels)

    @property
    def orders_nodes(self) -> bool:
        """Whether nodes stand in the order of a signal, on axes that hold no channels."""
        places = [atom.place for atom in self.atoms if atom.kind == "node"]
        for dim in self.dims:
            if {"node", "channel"} <= {atom.kind for atom in dim}:
                return False
        return places == sorted(places)

    def is_plain(self) -> bool:
        """Whether each axis is one atom or of length 1, so that a tensor alone tells all sizes."""
        return all(len(dim) < 2 for dim in self.dims)

    @property
    def is_rows(self) -> bool:
        """Whether it is `[N, C]`, without a batch."""
        if len(self.dims) != 2 or self.dims[0] != NODES:
            return False
        return len(self.dims[1]) == 1 and self.dims[1][0].kind == "channel"

    def with_channels(self, count: int) -> "Layout":
        """The same with other channels, where they form one axis."""
        dim = self.channel_dim()
        assert dim is not None
        return self.with_dim(dim, (Atom("channel", 0, count),))

    def with_dim(self, dim: int, axis: Axis) -> "Layout":
        """The same with another axis in place of one."""
        return replace(self, dims=(*self.dims[:dim], axis, *self.dims[dim + 1 :]))

    def with_split(self, channel: Atom, sizes: Sequence[int]) -> "Layout":
        """The same with a part of the channels cut into smaller ones, the first one slowest."""
        parts: dict[Atom, Axis] = {}
        count = 0
        for atom in self.channels:
            pieces = sizes if atom == channel else (atom.size,)
            parts[atom] = tuple(Atom("channel", count + k, n) for k, n in enumerate(pieces))
            count += len(pieces)
        dims = []
        for dim in self.dims:
            cut = [parts.get(atom, (atom,)) for atom in dim]
            dims.append(tuple(piece for pieces in cut for piece in pieces))
        return replace(self, dims=tuple(dims))

    def merged(self) -> "Layout":
        """The same with parts of the channels that stand side by side, in order, as one part."""
        groups: list[list[Atom]] = []
        beside = {(one, other) for dim in self.dims for one, other in itertools.pairwise(dim)}
        for atom in self.channels:
            if groups and (groups[-1][-1], atom) in beside:
                groups[-1].append(atom)
            else:
                groups.append([atom])
        first = {}
        for k, group in enumerate(groups):
            first[group[0]] = Atom("channel", k, math.prod([atom.size for atom in group]))
        dims = []
        for dim in self.dims:
            kept = [first.get(atom, atom) for atom in dim]
            dims.append(
                tuple(
                    a
                    for a, old in zip(kept, dim, strict=True)
                    if a is not old or old.kind != "channel"
                )
            )
        return replace(self, dims=tuple(dims))

    def to_tensor(self, signal: Signal) -> Tensor:
        """The tensor that a signal stands for; a view where torch can make one.

        Raises:
            GeodlError: if the signal has another number of axes or channels, or a batch of its own.
        """
        if self.is_rows and signal.x.shape[::2] == (1, self.dims[1][0].size):
            # The usual answer of a model on graphs, without the arithmetic of axes.
            return signal.x.squeeze(0)
        sizes = self.lengths(signal)
        channels = max(1, self.num_channels)
        if signal.x.shape[2] != channels:
            found = f"{signal.x.shape[2]} channels on {signal.domain}"
            raise GeodlError("a signal read as a tensor", found, f"give {channels} channels")
        stored = self._stored()
        x = signal.x.reshape([sizes[atom] for atom in stored])
        atoms = self.atoms
        x = x.permute([stored.index(atom) for atom in atoms])
        return x.reshape([math.prod([sizes[atom] for atom in dim]) for dim in self.dims])

    def to_signal(self, x: Tensor, like: Signal | None = None) -> Signal:
        """The signal that a tensor stands for.

        Args:
            x: the tensor.
            like: a signal whose nodes they are; needed where an axis is more than one atom.

        Raises:
            GeodlError: if the tensor has another number of channels, or of nodes than `like`.
        """
        atoms = self.atoms
        if like is None:
            kept = [k for k, dim in enumerate(self.dims) if dim]
            sizes = {atom: x.shape[k] for atom, k in zip(atoms, kept, strict=True)}
            self._check_channels(x, sizes)
        else:
            sizes = self.lengths(like)
            if x.numel() != math.prod(sizes.values()):
                found = f"{list(x.shape)} for {like.domain}"
                do = f"give {self} of its nodes"
                raise GeodlError("a tensor read as a signal", found, do)
        stored = self._stored()
        x = x.reshape([sizes[atom] for atom in atoms])
        x = x.permute([atoms.index(atom) for atom in stored])
        lengths = [sizes[atom] for atom in stored if atom.kind == "node"]
        batch = sizes.get(BATCH, 1) if self.batched else 1
        x = x.reshape(batch, math.prod(lengths), max(1, self.num_channels))
        if like is not None:
            return like.with_x(x)
        return Signal(x, make_domain(self.domain, lengths))

    def _check_channels(self, x: Tensor, sizes: Mapping[Atom, int]) -> None:
        """Refuse another number of channels than the layout has; nodes may be of any number."""
        for atom in self.channels:
            if sizes[atom] == atom.size:
                continue
            do = f"give {atom.size} channels, and as many nodes as the example had"
            found = f"shape {list(x.shape)}, {sizes[atom]} channels"
            raise GeodlError(f"a tensor read as {self}", found, do)

    def _stored(self) -> tuple[Atom, ...]:
        """The atoms in the order in which a signal stores them."""
        lattice = sorted([atom for atom in self.atoms if atom.kind == "node"])
        batch = [BATCH] if self.batched else []
        return (*batch, *lattice, *self.channels)

    def lengths(self, signal: Signal) -> dict[Atom, int]:
        """The length of each atom on a signal."""
        lattice = sorted([atom for atom in self.atoms if atom.kind == "node"])
        lengths: Sequence[int] = (signal.domain.num_nodes,)
        if len(lattice) > 1 and signal.domain.lattice is not None:
            lengths = signal.domain.lattice
        if not lattice and signal.domain.num_nodes == 1:
            lengths = ()
        # Rows of different lengths are no batch of one tensor; a graph's nodes are one.
        ragged = self.batched and signal.domain.is_union
        unbatched = not self.batched and signal.x.shape[0] != 1
        if len(lengths) != len(lattice) or ragged or unbatched:
            found = f"{list(signal.x.shape)} on {signal.domain}"
            do = f"give a signal on {len(lattice)} axes"
            raise GeodlError("a signal read as a tensor", found, do)
        sizes = dict(zip(lattice, lengths, strict=True))
        sizes[BATCH] = signal.x.shape[0]
        return sizes | {atom: atom.size for atom in self.channels}


def _name(atom: Atom) -> str:
    if atom.kind == "batch":
        return "B"
    if atom.kind == "node":
        return f"N{atom.place}"
    return str(atom.size)


def make_domain(places: Places, lengths: Sequence[int]) -> Domain:
    """The domain of nodes with these lengths; of no axis a single node."""
    if not lengths:
        return Complete(1)
    if places == "chain" and len(lengths) == 1:
        return Chain(lengths[0])
    if places == "set":
        return Complete(math.prod(lengths))
    return Grid(*lengths, periodic=places == "torus")


def planes(channels: int, axes: int, places: Places = "grid") -> Layout:
    """`[B, C, *lattice]`, as convolutions and batch norms of torch have it."""
    lattice = tuple((atom,) for atom in nodes(axes))
    return Layout(((BATCH,), (Atom("channel", 0, channels),), *lattice), places)


def last(channels: int, axes: int) -> Layout:
    """`[B, *lattice, C]`, as linear layers and attention of torch have it; one axis is a chain."""
    lattice = tuple((atom,) for atom in nodes(axes))
    dims = ((BATCH,), *lattice, (Atom("channel", 0, channels),))
    if axes == 1:
        return Layout(dims, "chain")
    return Layout(dims)


def tokens(axes: int) -> Layout:
    """`[B, *lattice]` of numbers that name tokens."""
    return Layout(((BATCH,), *((atom,) for atom in nodes(axes))), "chain")


def same_numbers(one: Layout, other: Layout) -> bool:
    """Whether two layouts read the same tensor from the same signal."""
    return one.merged().dims == other.merged().dims
