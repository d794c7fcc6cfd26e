"""A rule that is data: given edges from one set of nodes to another, or within one."""

from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from geodl.constants import cached_constants
from geodl.domain import Complete, Domain
from geodl.domain.base import SERIALS
from geodl.domain.check import (
    check_edge_index,
    check_edge_values,
    check_has_values,
    check_link_weights,
    device_of,
    read_device,
)
from geodl.errors import GeodlError, as_integer, positive
from geodl.neighborhood.base import Neighborhood
from geodl.neighborhood.edges import Edges
from geodl.neighborhood.entries import WEIGHTS_ARE_ENTRIES, Carried
from geodl.neighborhood.reversed import Reversed


@dataclass(frozen=True, eq=False, repr=False)
class Relation(Neighborhood):
    """Given edges between two sets of nodes, made by :func:`relation`.

    It owns its tensors and the plans that were made of them, and is equal only to itself. It moves
    with its layer and stands in no state dict.

    Attributes:
        edge_index: `[2, E]`; row 0 sends, row 1 receives.
        senders: N.
        receivers: M.
        weight: `[E]` entries of the shift operator, None for all ones.
        type: `[E]` edge types from 0, None for one type.
        num_edge_types: T.
        one_set: whether the receivers are the senders.
        reweighted: whether the weights come with each call, as :meth:`with_weights` makes them.
        edge_state: `[1 or B, E, C_e]` features of the edges, as :meth:`with_edges` makes them.
    """

    edge_index: Tensor
    senders: int
    receivers: int
    weight: Tensor | None = None
    type: Tensor | None = None
    num_edge_types: int = 1  # pyright: ignore[reportIncompatibleVariableOverride] - narrower: known
    one_set: bool = False
    reweighted: bool = False
    edge_state: Tensor | None = None  # pyright: ignore[reportIncompatibleVariableOverride] - given
    cache: dict[Any, Any] = field(default_factory=dict)

    by_member = False
    # The nodes of a union are numbered through, and so are those of its edges.
    writes_unions = True
    key = "given"

    def __new__(cls, *_args: Any, **_named: Any) -> Self:
        rule = super().__new__(cls)
        object.__setattr__(rule, "serial", next(SERIALS))
        return rule

    def __repr__(self) -> str:
        parts = [f"{self.senders} senders", f"{self.receivers} receivers"]
        if self.one_set:
            parts = [f"{self.senders} nodes"]
        words = f"{self.edge_index.shape[1]} edges"
        if self.edge_state is not None:
            words += f" of {self.edge_state.shape[2]} channels"
        parts.append(words)
        if self.num_edge_types > 1:
            parts.append(f"{self.num_edge_types} types")
        if self.reweighted:
            parts.append("weighted at run time")
        elif self.weight is not None:
            parts.append("weighted")
        return f"relation({', '.join(parts)})"

    def __hash__(self) -> int:
        return hash((Relation, vars(self)["serial"]))

    def __getstate__(self) -> dict[str, Any]:
        # A copy has a number of its own, and plans are made anew: they may be on another device.
        state = {**vars(self), "cache": {}}
        del state["serial"]
        return state

    @property
    def owner(self) -> "Relation":
        """Itself: its tensors and plans live and die with it."""
        return self

    @property
    def runtime_weight(self) -> Tensor | None:  # pyright: ignore[reportIncompatibleVariableOverride] - derived
        """The weights of a twin made by :meth:`with_weights`, None of any other relation."""
        if self.reweighted:
            return self.weight
        return None

    def with_weights(self, weight: Any) -> "Relation":
        """This relation with weights that come with each call: a light twin, over the same edges.

        It shares edges, cache and plans with this relation, and gradients flow to `weight`:
        `layer(receiver, sender, rule=relation.with_weights(w))`, in `Conv`, `Propagate` and
        `Message`. In one set of nodes it is what `Graph.with_weights` is for the links of a graph.

        Args:
            weight: `[E]`, or `[B, E]` for a batch whose entries differ in their weights; real
                floating point numbers, which may require a gradient.

        Raises:
            GeodlError: if the shape or device is another one, or if the weights are not finite
                floating point numbers.

        >>> rated, w = relation([[0, 1], [0, 0]], senders=2, receivers=1), torch.ones(2)
        >>> rated.with_weights(w.requires_grad_())
        relation(2 senders, 1 receivers, 2 edges, weighted at run time)
        """
        weight = check_link_weights(f"{self} with_weights(weight)", weight, self.edge_index)
        return self._twin(weight=weight, reweighted=True)

    def with_edges(self, edges: Tensor | None) -> "Relation":
        """This relation with features of its edges, which `Message` and `Attention` read as `e_ij`:
        a light twin, over the same edges and plans.

        It is what `Signal.with_edges` is for the links of a domain. Over a relation the features of
        the signal's own links are not read: its edges are not these links.

        Args:
            edges: `[1 or B, E, C_e]` floating point numbers in the order of `edge_index`, which may
                require a gradient; None for none. They move with a layer built over the relation,
                and keep their dtype.

        Raises:
            GeodlError: if it is no floating point tensor of this shape, or on another device.

        >>> rated = relation([[0, 1], [0, 0]], senders=2, receivers=1)
        >>> rated.with_edges(torch.ones(1, 2, 3))
        relation(2 senders, 1 receivers, 2 edges of 3 channels)
        """
        if edges is not None:
            _check_edge_state(f"{self} with_edges(edges)", edges, self.edge_index)
        return self._twin(edge_state=edges)

    def _twin(self, **changed: Any) -> "Relation":
        """This relation with other fields, and the same tensors, cache and plans beside."""
        # By hand: compilers follow neither the count of serial numbers nor the checks.
        twin = object.__new__(type(self))
        for name, value in {**vars(self), **changed}.items():
            object.__setattr__(twin, name, value)
        return twin

    def reverse(self, onto: Domain | None = None) -> Neighborhood:
        return Reversed(self, onto)

    def refuses(self, domain: Domain, typed: bool = True) -> str:
        if domain.num_nodes == self.senders:
            return ""
        return f"{domain.num_nodes} nodes in place of {self.senders} senders"

    def refuses_senders(self, source: Domain, typed: bool = True) -> str:
        return self.refuses(source, typed)

    def refuses_receivers(self, target: Domain) -> str:
        if target.num_nodes == self.receivers:
            return ""
        return f"{target.num_nodes} nodes in place of {self.receivers} receivers"

    def refuses_pair(self, source: Domain, target: Domain, typed: bool = True) -> str:
        if reason := self.refuses(source, typed):
            return reason
        return self.refuses_receivers(target)

    def stays_on(self, domain: Domain) -> bool:
        return self.one_set

    def target(self, domain: Domain) -> Domain:
        return self._target(domain)

    def restores(self, domain: Domain) -> Domain:
        if self.one_set:
            return domain
        return Complete(self.senders)

    @property
    def num_bytes(self) -> int:
        """What the tensors take."""
        return sum(tensor.nbytes for tensor in self.tensors())

    def tensors(self) -> tuple[Tensor, ...]:
        """Edge index, then weights, types and features of edges where given."""
        parts = (self.edge_index, self.weight, self.type, self.edge_state)
        return tuple(part for part in parts if part is not None)

    def with_tensors(self, tensors: tuple[Tensor, ...]) -> "Relation":
        """This relation over other copies of its tensors; itself when they are the very same."""
        if all(new is old for new, old in zip(tensors, self.tensors(), strict=True)):
            return self
        index, *values = tensors
        weight = values.pop(0) if self.weight is not None else None
        kind = values.pop(0) if self.type is not None else None
        state = values.pop(0) if self.edge_state is not None else None
        sides = (self.senders, self.receivers)
        shape = self.num_edge_types, self.one_set, self.reweighted
        return Relation(index, *sides, weight, kind, *shape, state)

    def to(self, device: torch.device | str) -> "Relation":
        """This relation with its tensors on a device.

        Raises:
            GeodlError: if torch does not know the device.
        """
        place = read_device("a relation moved", device)
        with torch.inference_mode(False):
            return self.with_tensors(tuple(tensor.to(place) for tensor in self.tensors()))

    def _target(self, domain: Domain) -> Domain:
        if self.one_set:
            return domain
        return Complete(self.receivers)

    def _edges(self, domain: Domain, target: Domain) -> Edges:
        if reason := self.refuses_pair(domain, target):
            do = "give signals on as many nodes"
            raise GeodlError(f"{self} from {domain} to {target}", reason, do)
        check_has_values(f"the edges of {self}", self.edge_index)
        return self._unweighted()._replace(weight=self.weight)

    def _unweighted(self) -> Edges:
        src, dst = self.edge_index
        kind = self.type
        if kind is None:
            kind = torch.zeros_like(dst)
        return Edges(dst, src, kind)

    def carry(self, source: Domain, target: Domain) -> Carried:
        if self.runtime_weight is None:
            return super().carry(source, target)
        # Not the twin itself: what is kept would keep the weights of one call alive.
        return Carried(WEIGHTS_ARE_ENTRIES, self._unweighted(), source.num_nodes)


def relation(
    edge_index: Any,
    *,
    senders: int,
    receivers: int | None = None,
    weight: Any = None,
    type: Any = None,
    types: int | None = None,
) -> Relation:
    """A rule given by its edges, from one set of nodes to another or within one: sampled blocks,
    nearest neighbors, clusters and pooled nodes, users and items, kinds of nodes.

    It takes senders on any domain of as many nodes, `Batch` among them, whose nodes are numbered
    through. `layer(receiver, sender, rule=relation)` answers on the receiver's domain; where no
    receiver is given the answer lies on `Complete(receivers)`, nodes without order. The tensors are
    copied once and never change.

    Args:
        edge_index: `[2, E]` integers; row 0 sends, row 1 receives.
        senders: N, the number of nodes that may send.
        receivers: M, the number of nodes that may receive; None where they are the senders
            themselves, and the answer lies on the senders' domain.
        weight: `[E]` finite real numbers, None for an unweighted relation.
        type: `[E]` edge types from 0; edges of one type share one weight of the layer.
        types: T, by default the largest type plus one.

    Raises:
        GeodlError: if the shape or dtype is another one, if node numbers are beyond the sides or
            types beyond T, or if weights are not finite real numbers or require a gradient.

    >>> from geodl.domain import Complete
    >>> rated = relation([[0, 0, 2], [0, 1, 1]], senders=3, receivers=2)
    >>> rated
    relation(3 senders, 2 receivers, 3 edges)
    >>> rated.target(Complete(3)), rated.reverse().target(Complete(2))
    (Complete(2), Complete(3))
    """
    # Asked before the modes of the caller are left: the default device is one of them.
    device = device_of(edge_index)
    one_set = receivers is None
    senders = positive(f"relation(senders={senders!r})", senders)
    if receivers is None:
        receivers = senders
    receivers = positive(f"relation(receivers={receivers!r})", receivers)
    with cached_constants():
        index = check_edge_index("relation(edge_index)", edge_index, device)
        asked = f"relation of {index.shape[1]} edges, {senders} senders and {receivers} receivers"
        _check_side(asked, "senders", index[0], senders)
        _check_side(asked, "receivers", index[1], receivers)
        if weight is not None:
            weight = check_edge_values(asked, "edge_weight", weight, index)
        if type is not None:
            type = check_edge_values(asked, "edge_type", type, index)
        count = _count_types(asked, type, types)
    return Relation(index, senders, receivers, weight, type, count, one_set)


def _flatten(rule: Relation) -> tuple[list[Any], Relation]:
    # As with domains, the context is the relation itself: a program that was exported with one
    # holds its plans and must not run on another.
    return list(rule.tensors()), rule


def _unflatten(leaves: Any, rule: Relation) -> Relation:
    return rule.with_tensors(tuple(leaves))


pytree.register_pytree_node(Relation, _flatten, _unflatten, serialized_type_name="geodl.Relation")


def _check_side(asked: str, side: str, numbers: Tensor, count: int) -> None:
    """Refuse numbers of nodes that a side does not have."""
    if not numbers.numel():
        return
    least, largest = int(numbers.min()), int(numbers.max())
    if least < 0 or largest >= count:
        found = f"{side} from {least} to {largest}"
        raise GeodlError(asked, found, f"{side} are numbered 0..{count - 1}")


def _check_edge_state(asked: str, state: Any, index: Tensor) -> None:
    """Refuse features of edges that are not `[1 or B, E, C_e]` of floating point numbers."""
    count = index.shape[1]
    do = f"give floating point numbers [1 or B, {count}, C]"
    if not isinstance(state, Tensor):
        raise GeodlError(asked, f"a {type(state).__name__}", do)
    fits = state.dim() == 3 and state.shape[1] == count and state.layout == torch.strided
    if not fits or not state.is_floating_point():
        raise GeodlError(asked, f"{state.dtype} of shape {list(state.shape)}", do)
    if state.device != index.device:
        found = f"features on {state.device} and edges on {index.device}"
        raise GeodlError(asked, found, "move them to one device")


def _count_types(asked: str, kind: Tensor | None, types: int | None) -> int:
    """T as given, or the largest type plus one."""
    largest = 0
    if kind is not None and kind.numel():
        largest = int(kind.max())
    if types is None:
        return largest + 1
    count = as_integer(types)
    if count is None or count <= largest:
        do = f"give more than the largest type, {largest}"
        raise GeodlError(asked, f"types={types!r}", do)
    return count
