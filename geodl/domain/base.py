"""What every domain is, and what domains that own tensors keep."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from operator import attrgetter
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

import torch
from torch import Tensor

from geodl.domain.check import read_device
from geodl.domain.chosen import Chosen
from geodl.domain.reading import SortedGraphs
from geodl.errors import GeodlError
from geodl.group import Cosets, Group

SERIALS = itertools.count()
NUM_BYTES = attrgetter("nbytes")
MOST_KEPT = 256  # values that `memo` leaves in the cache of one domain

Lengths = tuple[int, ...] | None
Wraps = tuple[bool, ...] | None
Value = TypeVar("Value")


class Links(NamedTuple):
    """The raw edges of a domain, receivers first: `src[e]` sends to `dst[e]`.

    Attributes:
        dst: `[E]` receivers.
        src: `[E]` senders.
        weight: `[E]`, None for all ones.
    """

    dst: Tensor
    src: Tensor
    weight: Tensor | None = None


class Selection(NamedTuple):
    """Some members of a union, and where in it their nodes and links stand.

    Attributes:
        domain: the union of the members that were chosen, in the order of the choice.
        nodes: `[N']` the number that each of its nodes has in the union chosen from.
        chosen: where its links stand there, when they are asked for.
    """

    domain: "Domain"
    nodes: Tensor
    chosen: Chosen

    @property
    def links(self) -> Tensor:
        """`[L']` the number that each of its links has in the union chosen from."""
        return self.chosen.place_links()


class Domain(ABC):
    """A set of nodes, and the structure that kernels may use. Kernels read these fields, not the
    class.

    Attributes:
        num_nodes: N.
        lattice: lengths of the axes when the nodes (or the blocks of nodes, see `fiber`) form a
            lattice, else None.
        periodic: for each lattice axis, whether it wraps around.
        fiber: the group whose elements, or cosets, stand over each lattice point (the last, fastest
            index of a node), or None.
        complete: every node is linked with every node.
        ordered: the nodes have a meaningful order, 0 first.
        is_union: whether it is a disjoint union of other domains.
        members: those domains, None for any other domain; a flat union makes them when
            they are asked for, so `is_union` is the question to ask first.
        chosen: of members that were chosen from a flat union, which they are; None of any other.
        serial: the number of a domain that owns tensors, else None.
        cache: where lowerings and :func:`memo` keep what they made for this domain; None when the
            domain is a plain value.
        linked_to_nearest: whether the links are those of nearest neighbors along each axis of the
            lattice, and of the group's generators over each point, all of weight 1.
        linked_by_generators: whether the links join each node with its images under the generators
            and their inverses, all of weight 1.
        frequencies_of: the domain whose modes its nodes stand for, None of all but a Spectrum;
            values on modes may be complex.
        runtime_weight: weights of the links that come with each call, `[L]` or one row for each
            entry of the batch `[B, L]`, as `Graph.with_weights` makes them; None where the domain
            keeps its weights, or has none. Nothing that is kept may depend on them.
        sorted_graphs: of small graphs that were read in one pass, their links in the order of
            sparse products; None of any other domain.
        set_of: makes a set of n nodes (`Complete`), on which edge states live.
    """

    set_of: ClassVar[Any]
    lattice: tuple[int, ...] | None = None
    periodic: tuple[bool, ...] = ()
    fiber: Group | Cosets | None = None
    complete: bool = False
    ordered: bool = False
    is_union: ClassVar[bool] = False
    members: "tuple[Domain, ...] | None" = None
    cache: ClassVar[dict[Any, Any] | None] = None
    chosen: Chosen | None = None
    sorted_graphs: SortedGraphs | None = None
    serial: int | None = None
    linked_to_nearest: ClassVar[bool] = False
    linked_by_generators: ClassVar[bool] = False
    frequencies_of: "Domain | None" = None
    runtime_weight: Tensor | None = None

    @property
    @abstractmethod
    def num_nodes(self) -> int:
        """N, the number of nodes."""

    @property
    def acting(self) -> Group | None:
        """The group that acts on the fiber, on its own elements or on cosets; None without one."""
        if self.fiber is None:
            return None
        return self.fiber.acting

    @property
    def kinds(self) -> "tuple[Domain, ...]":
        """The members that differ in what a rule may ask of them; of a domain that is not a union,
        itself.
        """
        return (self,)

    @property
    def equal_member(self) -> "Domain | None":
        """The one domain that all members are equal to, None where they differ; of a domain that is
        not a union, itself.
        """
        return self

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of nodes of each member; a domain that is not a union is its only member."""
        return (self.num_nodes,)

    @property
    def num_members(self) -> int:
        """D, the number of disjoint members."""
        if not self.is_union:
            return 1
        return len(self.sizes)

    @property
    def num_links(self) -> int:
        """The number of :meth:`links`."""
        return len(self.links().dst)

    @property
    def device(self) -> torch.device | None:
        """Where the tensors of this domain are; None for a value domain."""
        return None

    def member_of(self) -> Tensor:
        """The member that each node belongs to: `[N]`."""
        # A domain without tensors of its own names no device: its nodes are counted on the CPU.
        device = self.device or torch.device("cpu")
        return torch.repeat_interleave(torch.tensor(self.sizes, device=device))

    @property
    def link_order(self) -> Tensor | None:
        """`[E]` the numbers of the links, those of one member together and member after member;
        None where they stand so.
        """
        return None

    def flat(self) -> "Domain":
        """A union of graphs held in one graph; any other domain itself."""
        return self

    def select(self, numbers: Tensor) -> Selection:
        """Some of the members of a union, as a union of their own.

        Args:
            numbers: `[D']` of torch.long on the CPU, in the order in which members are wanted.

        Raises:
            GeodlError: if there are no numbers, if one is not that of a member, or if the domain is
                not a union.
        """
        do = "put several side by side: Batch([domain, ...])"
        raise GeodlError(f"members of {self}", "a domain that is not a union", do)

    def in_groups(self, sizes: Sequence[int]) -> "list[Domain]":
        """The members of a union in groups, so many in each, every group a union of its own.

        Raises:
            GeodlError: a domain that is no union.
        """
        do = "put several side by side: Batch([domain, ...])"
        raise GeodlError(f"{self} in groups of members", "a domain that is no union", do)

    @abstractmethod
    def generators(self) -> Tensor:
        """Permutations `[G, N]` that generate the symmetry group of this domain, or a part of it
        that is known: row k maps node i to `[k, i]`; `[0, N]` where none is known.
        """

    @abstractmethod
    def links(self) -> Links:
        """The raw edges that `adjacency` and `predecessors` read."""

    @classmethod
    @abstractmethod
    def small(cls) -> "tuple[Domain, ...]":
        """A few small examples, for tests that iterate over the registry."""

    def replace(
        self, lattice: Lengths = None, fiber: Group | Cosets | None = None, periodic: Wraps = None
    ) -> "Domain":
        """The same kind of domain at other lengths and with another fiber (None: without one).

        Raises:
            GeodlError: if the domain has no lattice.
        """
        asked = f"{self} at lengths {lattice} and fiber {fiber}"
        raise GeodlError(asked, "a domain without a lattice", "use a Grid or a Chain")

    def edge_domain(self) -> "Domain":
        """The domain of edge states: N is this domain's number of links, in the order of
        :meth:`links`.
        """
        return self.set_of(self.num_links)

    def relabel(self, permutation: Tensor) -> "Domain":
        """The same domain with node i renumbered to `permutation[i]`.

        Raises:
            GeodlError: if the nodes are fixed by their coordinates, as those of a lattice or a
                chain.
        """
        do = "relabel a Graph or a Complete domain"
        raise GeodlError(f"relabelling {self}", "nodes that are fixed by their coordinates", do)

    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors this domain owns (none for a value domain)."""
        return ()

    @property
    def num_bytes(self) -> int:
        """What the tensors take; of members that were chosen, what their links will."""
        if self.chosen is not None:
            return 16 * self.chosen.num_links
        return sum(map(NUM_BYTES, self.tensors()))

    def with_tensors(self, tensors: tuple[Tensor, ...]) -> Self:
        """This domain over other copies of its tensors, as `to` and pytrees make them."""
        return self

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Self:
        """This domain with its tensors on a device; plans are made anew there.

        Raises:
            GeodlError: if torch does not know the device, or if the domain is on meta and has no
                values to move.
        """
        place = read_device("a domain moved", device)
        if self.device is None or self.device == place:
            return self
        if self.device.type == "meta" and place.type != "meta":
            do = "keep the domain that was moved there, or build it anew"
            raise GeodlError(f"{self} from meta to {place}", "tensors without values", do)
        # What is moved while validating under inference_mode serves training later.
        with torch.inference_mode(False):
            moved = tuple(t.to(place, non_blocking=non_blocking) for t in self.tensors())
        return self.with_tensors(moved)


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

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.tensors()[0].device

    @abstractmethod
    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors this domain owns."""

    @abstractmethod
    def with_tensors(self, tensors: tuple[Tensor, ...]) -> Self:
        """This domain over other copies of its tensors."""

    def __getstate__(self) -> dict[str, Any]:
        # A copy has a number of its own, and plans are made anew: they may be on another device.
        state = {**self.__dict__, "cache": {}}
        del state["serial"]
        return state


def replace_fields(domain: TensorDomain, **fields: Any) -> Any:
    """A copy of a domain with other values of some fields, which are known to be valid; its cache
    is empty.
    """
    twin = type(domain).__new__(type(domain))
    # Not by the constructor: the fields are known to be valid, and compilers follow no checks.
    for name, value in {**domain.__getstate__(), **fields}.items():
        object.__setattr__(twin, name, value)
    return twin


def memo(domain: Domain, key: Hashable, make: Callable[[], Value]) -> Value:
    """What `make()` returns, made at the first call and kept in the cache of the domain.

    At most MOST_KEPT values are kept and the oldest leaves. A value domain has no cache: there the
    value is made at every call.

    Args:
        domain: whose cache keeps the value.
        key: names the value there.
        make: a function of no arguments.
    """
    if domain.cache is None:
        return make()
    kept = domain.cache.get("memo")
    if kept is None:
        kept = domain.cache.setdefault("memo", {})
    if key in kept:
        return kept[key]
    value = make()
    if len(kept) >= MOST_KEPT:
        kept.pop(next(iter(kept)), None)  # another thread may have been faster
    kept[key] = value
    return value


def same_place(one: Domain, other: Domain) -> bool:
    """Whether node i of one domain is node i of the other.

    Value domains are compared by value, tensor domains by identity (a graph and its twins
    `with_weights` are one), unions member by member: two masked batches of equal lengths stand on
    the same nodes.
    """
    if one is other:
        return True
    if one.is_union and other.is_union:
        ours, theirs = one.members or (), other.members or ()
        return len(ours) == len(theirs) and all(map(same_place, ours, theirs))
    # A graph and its twins with other weights have one serial number.
    return one == other or (one.serial is not None and one.serial == other.serial)


def told_apart(domain: Domain, other: Domain) -> str:
    """The repr of a domain; marked as another one where both print the same.

    >>> from geodl.domain import Graph
    >>> told_apart(Graph([[0], [1]]), Graph([[1], [0]]))
    'another Graph(2 nodes, 1 edges) (domains with tensors are compared by identity)'
    """
    if str(domain) != str(other) or domain.cache is None:
        return str(domain)
    return f"another {domain} (domains with tensors are compared by identity)"
