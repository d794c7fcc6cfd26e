"""Where plans are kept.

A plan is what a lowering makes of a call once: index tensors, sizes, flags. Plans between value
domains (a Grid, a Chain) stand in one store; a plan that involves a domain with tensors (a Graph, a
Batch) stands in that domain's own store, the receivers' if both have tensors, and leaves with it.

Stores are bounded: plans without tensors by number, plans with tensors by bytes, on a CPU and on
other devices apart. The plans that were not used for longest leave first; those that `prepare` made
for a model that still lives do not leave at all, because a compiled model cannot make them again.
Finding a plan is a plain read of two dictionaries: compilers refuse locks. Only insertion holds
one.

The first dictionary tells numbers of nodes apart, because compilers look at every key of one whose
keys are records, when they compile and at every call after: with 3,000 plans in it a compiled call
took 3 ms (measured). Of a dictionary with integers for keys they look at the key that is asked for.
"""

import ctypes
import itertools
import os
import sys
import threading
import weakref
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from geodl.constants import cached_constants
from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.lowering.base import Lowering
from geodl.neighborhood.base import Neighborhood
from geodl.neighborhood.entries import Carried

Value = TypeVar("Value")

MOST_VALUES = 4096
MOST_BYTES = 128 * 2**20
# A graph of ten million edges has plans larger than MOST_BYTES: a model of a few layers on it must
# still find them, so the bound grows with what the domain itself holds.
TIMES_ITS_DOMAIN = 16

CLOCK = itertools.count()
LOCK = threading.Lock()
# A lock that another thread held at a fork would stay locked in the child: workers of a DataLoader
# would wait for it for ever at the first plan they keep.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=LOCK.acquire, after_in_parent=LOCK.release, after_in_child=LOCK.release
    )
OWNER: ContextVar[Any] = ContextVar("the model whose plans are pinned", default=None)


class Usage:
    """When a value was used last, what it takes, and the models that need it to stay.

    Attributes:
        device: the type of device that its tensors are on, "" without tensors.
        size: the bytes of its tensors; 1 without tensors.
        last: a count that grows with every use of any value.
        owners: the models that it is pinned for, None before the first.
    """

    __slots__ = ("device", "last", "owners", "size")

    def __init__(self, tensors: list[Tensor]):
        # Views of one storage hold it once.
        storages = {s.data_ptr(): s.nbytes() for s in map(Tensor.untyped_storage, tensors)}
        self.size, self.device = 1, ""
        if tensors:
            self.size = sum(storages.values())
            self.device = tensors[0].device.type
        self.last = next(CLOCK)
        # Made when a model is pinned: most values are used once or twice and go.
        self.owners: weakref.WeakSet[Any] | None = None

    @property
    def pinned(self) -> bool:
        """Whether a model that needs the value still lives."""
        return self.owners is not None and len(self.owners) > 0

    def mark(self) -> None:
        """Note that the value was used, and by the model whose plans are being pinned."""
        self.last = next(CLOCK)
        owner = OWNER.get()
        if owner is not None:
            with LOCK:
                if self.owners is None:
                    self.owners = weakref.WeakSet()
                self.owners.add(owner)


class Kept(NamedTuple):
    """What a store holds under a key: the value, and when it was used.

    Both stand in one entry because a key is hashed at every call: once, not twice.
    """

    value: Any
    usage: Usage


class Plan(NamedTuple):
    """A lowering with what it made of a call.

    Attributes:
        lowering: what runs.
        data: what the lowering planned.
        target: the receivers' domain; None where it is the senders' or was named by the caller.
        carried: what makes entries of weights that come with each call; None where none do.
    """

    lowering: Lowering
    data: Any
    target: Domain | None
    carried: Carried | None = None

    @property
    def note(self) -> str:
        """What `explain` adds to the lowering's name; "" where the name says it all."""
        return self.lowering.note(self.data)

    def run(self, *values: Any) -> Any:
        """What the lowering makes of values, by its verb's run signature."""
        return self.lowering.run(self.data, *values)


class Latest(NamedTuple):
    """The last question that was asked for a step of decoding, and its plan, without tensors."""

    question: tuple[Any, ...]
    plan: Plan


class Store:
    """Values by their keys, within bounds: plans, and what else is made once for a domain.

    Args:
        most_bytes: how many bytes values may hold, on each type of device.
        most_values: how many values without tensors it keeps.

    Attributes:
        sizes: for each number of nodes the values by their keys, each with its usage; read without
            a lock.
        latest: the plan of the last step of decoding, which the next layer asks for, too.
    """

    def __init__(self, most_bytes: int = MOST_BYTES, most_values: int = MOST_VALUES):
        self.most_bytes, self.most_values = most_bytes, most_values
        self.sizes: dict[int, dict[Hashable, Kept]] = {}
        self.latest: Latest | None = None
        self._held: dict[str, int] = {}

    def __iter__(self) -> Iterator[Hashable]:
        """All keys."""
        return itertools.chain.from_iterable(self.sizes.values())

    def __len__(self) -> int:
        return sum(map(len, self.sizes.values()))

    def entries(self) -> Iterator[Kept]:
        """All values, each with its usage."""
        for values in self.sizes.values():
            yield from values.values()

    def find(self, size: int, key: Hashable) -> Kept | None:
        """What is kept under a key, for so many nodes."""
        values = self.sizes.get(size)
        if values is None:
            return None
        return values.get(key)

    def keep(self, size: int, key: Hashable, value: Any) -> Kept:
        """Put a value in. Where that is too much, the least recently used are dropped."""
        usage = Usage(tensors_of(value))
        kept = Kept(value, usage)
        with LOCK:
            self._drop(size, key)
            self.sizes.setdefault(size, {})[key] = kept
            held = self._held.get(usage.device, 0) + usage.size
            self._held[usage.device] = held
            bound = self.most_values
            if usage.device:
                bound = self.most_bytes
            if held > bound:
                # Some room is made at once, because it costs a look at every value.
                self._make_room(usage.device, bound - bound // 8, usage)
                if usage.device == "cpu":
                    return_memory()
        return kept

    def held_bytes(self) -> int:
        """The bytes of all values with tensors, on every device."""
        with LOCK:
            return sum(size for device, size in self._held.items() if device)

    def _make_room(self, device: str, bound: int, newest: Usage) -> None:
        kin = [
            (kept.usage, size, key)
            for size, values in self.sizes.items()
            for key, kept in values.items()
            if kept.usage.device == device
        ]
        kin.sort(key=lambda entry: entry[0].last)
        for usage, size, key in kin:
            if self._held[device] <= bound:
                return
            if usage is not newest and not usage.pinned:
                self._drop(size, key)

    def _drop(self, size: int, key: Hashable) -> None:
        values = self.sizes.get(size, {})
        kept = values.pop(key, None)
        if kept is not None:
            self._held[kept.usage.device] -= kept.usage.size
            if not values:
                del self.sizes[size]


VALUES = Store()


def return_memory() -> None:
    """Give freed memory back to the system.

    Plans of ever larger images leave gaps that no later plan fits into, and glibc keeps them: a
    store of 120 MB then stands in a process that grew by 400 (measured).
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def store_of(source: Domain, target: Domain | None) -> tuple[Store, int, Hashable]:
    """The store of plans from one domain to another, the number of nodes that they are found by,
    and what names the two in its keys.

    torch.compile guards on every value in a key and cannot hash tensors. The domain that owns the
    store is therefore left out of the key (`"own"`), and another domain with tensors is named by
    its serial number.
    """
    sender = source if source.serial is None else source.serial
    if target is not None and target.cache is not None:
        return _own_store(target), 0, (sender, "own")
    if source.cache is not None:
        return _own_store(source), 0, ("own", target)
    return VALUES, source.num_nodes, (sender, target)


def store_of_owner(
    owner: Any, source: Domain, target: Domain | None
) -> tuple[Store, int, Hashable]:
    """Where plans over a rule that owns its edges are kept, and what names the domains there, as
    :func:`store_of` answers.

    The edges say how many nodes there are on either side, so that only a union has to be named, of
    which a plan may know the members. Any other domain is left out: relations that are new at every
    step shall look alike to compilers.
    """
    return _own_store(owner), 0, (_named_union(source), _named_union(target))


def _named_union(domain: Domain | None) -> int | None:
    if domain is None or domain.num_members == 1:
        return None
    return domain.serial


def _own_store(domain: Any) -> Store:
    """The store in the cache of a domain, or of a rule, that owns tensors."""
    assert domain.cache is not None
    store = domain.cache.get("plans")
    if store is not None:
        return store
    if torch.compiler.is_compiling():
        return Store()  # nothing is kept there yet, and nothing can be made now
    most = max(MOST_BYTES, TIMES_ITS_DOMAIN * domain.num_bytes)
    with LOCK:
        return domain.cache.setdefault("plans", Store(most))


def cached_tensors(
    source: Domain,
    target: Domain | None,
    name: Hashable,
    make: Callable[[], Value],
    *,
    rule: Neighborhood | None = None,
) -> Value:
    """Tensors that are made once for a domain, or for a pair of them, and kept where their plans
    are.

    Args:
        source: the domain, or the senders'.
        target: the receivers' domain; None where only one counts, or where both are the same.
        name: what they are, beside the domains.
        make: a function of no arguments to a tensor, or to nested tuples of tensors.
        rule: whose edges they are made of, if of any; a rule that owns its edges keeps them.

    Raises:
        GeodlError: if there are none yet inside a compiled region.
    """
    named: Any = rule
    if rule is None or rule.owner is None:
        store, size, ends = store_of(source, target)
    else:
        store, size, ends = store_of_owner(rule.owner, source, target)
        named = rule.key
    key = (name, named, ends)
    kept = store.find(size, key)
    if torch.compiler.is_compiling():
        if kept is None:
            do = "call g.prepare(model, signal) first"
            raise GeodlError("what is kept for a domain, in a compiled region", "none made yet", do)
        return kept.value
    if kept is None:
        with cached_constants():
            value = make()
        kept = store.keep(size, key, value)
    kept.usage.mark()
    return kept.value


@contextmanager
def pinned_for(owner: Any) -> Iterator[None]:
    """A block in which every plan that is used stays as long as its owner lives."""
    token = OWNER.set(owner)
    try:
        yield
    finally:
        OWNER.reset(token)


def tensors_of(data: Any) -> list[Tensor]:
    """All tensors in nested tuples and lists."""
    if isinstance(data, Tensor):
        return [data]
    found: list[Tensor] = []
    if isinstance(data, tuple | list):
        _collect_tensors(data, found)
    return found


def _collect_tensors(data: Any, found: list[Tensor]) -> None:
    # A call for each tuple, and not for each of its parts: new plans come at every step where new
    # graphs do.
    for part in data:
        if isinstance(part, tuple | list):
            _collect_tensors(part, found)
        elif isinstance(part, Tensor):
            found.append(part)
