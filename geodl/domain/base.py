"""What every domain is, and the plainest one: `Complete`, on which every other domain's edges
live.
"""

import itertools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from geodl.errors import GeodlError
from geodl.group import Group

SERIALS = itertools.count()


class Links(NamedTuple):
    """The raw edges of a domain, receivers first: node `dst[e]` may hear node `src[e]`."""

    dst: Tensor
    src: Tensor
    weight: Tensor | None = None


class Domain(ABC):
    """Where signals live. Lowerings and layers read these fields and never ask for the class.

    Attributes:
        num_nodes: N.
        lattice: lengths of the axes when the nodes (or the blocks of nodes, see `fiber`) form a
            lattice, else None.
        periodic: for each lattice axis, whether it wraps around.
        fiber: the group whose elements stand over each lattice point (the last, fastest index of a
            node), or None.
        complete: every node is linked with every node.
        ordered: the nodes have a meaningful order, 0 first.
        members: the domains of a disjoint union, None for a domain that is no union.
        serial: the number of a domain that owns tensors, else None.
        cache: where lowerings keep what they made for this domain; None when the domain is a plain
            value.
    """

    lattice: tuple[int, ...] | None = None
    periodic: tuple[bool, ...] = ()
    fiber: Group | None = None
    complete: bool = False
    ordered: bool = False
    members: "tuple[Domain, ...] | None" = None
    cache: ClassVar[dict[Any, Any] | None] = None
    serial: int | None = None

    @property
    @abstractmethod
    def num_nodes(self) -> int:
        """N, the number of nodes."""

    @property
    def num_members(self) -> int:
        """D, the number of disjoint members: 1 for all but a Batch."""
        return 1

    @abstractmethod
    def generators(self) -> Tensor:
        """Generators of the largest symmetry this domain vouches for: `[G, N]`, row k sends node i
        to `[k, i]`.
        """

    @abstractmethod
    def links(self) -> Links:
        """The raw edges that `adjacency` and `predecessors` read."""

    @classmethod
    @abstractmethod
    def small(cls) -> "tuple[Domain, ...]":
        """A few small examples, for tests that iterate over the registry."""

    def replace(
        self,
        lattice: tuple[int, ...] | None = None,
        fiber: Group | None = None,
        periodic: tuple[bool, ...] | None = None,
    ) -> "Domain":
        """The same kind of domain at other lengths and with another fiber (None: without one)."""
        raise GeodlError(
            f"{self} at lengths {lattice} and fiber {fiber}",
            "a domain without a lattice",
            "use a Grid or a Chain",
        )

    def edge_domain(self) -> "Domain":
        """The domain whose N is this domain's number of links, in the order of :meth:`links`: where
        edge states live.
        """
        return Complete(len(self.links().dst))

    def relabel(self, permutation: Tensor) -> "Domain":
        """The same domain with node i called `permutation[i]`."""
        raise GeodlError(
            f"relabelling {self}", "nodes that are places", "relabel a Graph or a Complete domain"
        )

    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors this domain owns (none for a value domain)."""
        return ()

    def with_tensors(self, tensors: tuple[Tensor, ...]) -> Self:
        """This domain over other copies of its tensors, as `to` and pytrees make them."""
        return self

    def to(self, device: torch.device | str) -> Self:
        """This domain with its tensors on a device; plans are made anew there."""
        return self.with_tensors(tuple(t.to(device) for t in self.tensors()))


class TensorDomain(Domain):
    """A domain that owns frozen tensors: it is compared by identity and keeps its plans on itself.

    Attributes:
        serial: a number that no other domain of this process ever had or will have. Keys name a
            domain by it: an address (`id`) is given out again once its owner is gone.
    """

    serial: int  # pyright: ignore[reportIncompatibleVariableOverride] - narrower: always there
    cache: dict[Any, Any]  # pyright: ignore[reportIncompatibleVariableOverride] - an instance's own

    def __new__(cls, *_args: Any, **_named: Any) -> Self:
        domain = super().__new__(cls)
        object.__setattr__(domain, "serial", next(SERIALS))
        return domain

    @abstractmethod
    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors this domain owns."""

    @abstractmethod
    def with_tensors(self, tensors: tuple[Tensor, ...]) -> Self:
        """This domain over other copies of its tensors."""

    def __getstate__(self) -> dict[str, Any]:
        state = {**self.__dict__, "cache": {}}
        del state["serial"]
        return state


@dataclass(frozen=True)
class Complete(Domain):
    """Nodes without order or place; every node is linked with every other.

    Args:
        size: the number of nodes.

    >>> Complete(3).generators().tolist()
    [[1, 0, 2], [1, 2, 0]]
    """

    size: int

    def __post_init__(self):
        positive(f"Complete({self.size!r})", self.size)

    def __repr__(self) -> str:
        return f"Complete({self.size})"

    @property
    def num_nodes(self) -> int:
        """The size."""
        return self.size

    @property
    def complete(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """Every node hears every node."""
        return True

    def generators(self) -> Tensor:
        """An exchange of two nodes and a cycle through all: they generate every permutation."""
        n = self.size
        exchange, cycle = torch.arange(n), torch.arange(1, n + 1) % n
        exchange[:2] = exchange[:2].flip(0)
        return torch.stack((exchange, cycle))

    def links(self) -> Links:
        """All ordered pairs of different nodes."""
        node = torch.arange(self.size)
        pairs = torch.cartesian_prod(node, node)
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
        return Links(pairs[:, 0], pairs[:, 1])

    def relabel(self, permutation: Tensor) -> Domain:
        """Itself: the nodes of a set have no names."""
        return self

    @classmethod
    def small(cls) -> tuple[Domain, ...]:
        return Complete(1), Complete(5)


def replace_tensors(domain: TensorDomain, **tensors: Tensor) -> Any:
    """A copy of a domain in which some tensors, known to be valid, are others."""
    twin = type(domain).__new__(type(domain))
    for name, value in {**domain.__getstate__(), **tensors}.items():
        object.__setattr__(twin, name, value)
    return twin


def positive(asked: str, *numbers: int) -> None:
    """Refuse sizes that are no positive integers."""
    for n in numbers:
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise GeodlError(asked, f"the size {n!r}", "give positive integers")


def coordinates(lattice: tuple[int, ...]) -> Tensor:
    """The points of a box, last axis fastest: `[N, d]`."""
    axes = [torch.arange(n) for n in lattice]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, len(lattice))


def ravel(points: Tensor, lattice: tuple[int, ...]) -> Tensor:
    """Node numbers of points `[..., d]` of a box, -1 for points outside it."""
    sizes = torch.tensor(lattice)
    strides = torch.tensor([int(sizes[k + 1 :].prod()) for k in range(len(lattice))])
    inside = ((points >= 0) & (points < sizes)).all(-1)
    return torch.where(inside, (points * strides).sum(-1), -1)
