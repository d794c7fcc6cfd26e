"""Which nodes of an import keep a copy of a parameter: copies of one are made one again."""

from collections.abc import Mapping, Set
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from geodl.errors import GeodlError
from geodl.interop.converters import to_module
from geodl.layer import Conv
from geodl.layer.opaque import Opaque
from geodl.neighborhood import itself

Nodes = dict[str, tuple[Any, ...]]


class Holder(NamedTuple):
    """A parameter of a part of the network.

    Attributes:
        node: the first node that the part stands at.
        part: the part.
        owner: the module in it that has the parameter.
        attribute: its name there.
        name: its name in the part's twin.
    """

    node: str
    part: nn.Module
    owner: nn.Module
    attribute: str
    name: str

    @property
    def value(self) -> Tensor:
        """The parameter, or the buffer."""
        return getattr(self.owner, self.attribute)


class Owners:
    """For each tensor of a model the units that keep a copy of it, and the nodes they are in.

    A unit is a part of the model, a function with some of its tensors, or a tensor that is read by
    itself. Nodes of one unit share their copy.

    Attributes:
        paths: of the tensors that a model reads by itself, by their addresses.
    """

    def __init__(self):
        self.paths: dict[int, str] = {}
        self._units: dict[int, dict[Any, tuple[str, set[str]]]] = {}
        self._alive: list[Tensor] = []

    def add(self, tensors: Mapping[str, Tensor], unit: Any, nodes: Set[str]) -> None:
        """Note that nodes keep copies of tensors, by their names in the unit."""
        for name, tensor in tensors.items():
            self._alive.append(tensor)
            units = self._units.setdefault(id(tensor), {})
            units.setdefault(unit, (name, set()))[1].update(nodes)

    def tie(self, asked: str, nodes: Nodes) -> Nodes:
        """Give the nodes that keep copies of one tensor one parameter, as the model has.

        Layers of one form share it as it is. A linear layer beside an embedding becomes an
        `nn.Linear`, whose weight has the embedding's shape.

        Args:
            asked: the call in words.
            nodes: of the network.

        Returns:
            The nodes, some with another part.

        Raises:
            GeodlError: layers that keep a tensor in two forms.
        """
        nodes = dict(nodes)
        for units in self._units.values():
            holders = _holders(units, nodes)
            if len(holders) < 2:
                continue
            if not _alike(holders):
                _replace_linear_layers(holders, nodes)
                holders = _holders(units, nodes)
            if not _alike(holders):
                raise _refusal(asked, holders)
            first = holders[0].value
            for holder in holders[1:]:
                setattr(holder.owner, holder.attribute, first)
        return nodes

    def readers(self, nodes: Nodes) -> dict[str, tuple[str, str]]:
        """For each tensor that a model reads by itself the node whose layer keeps it, and its name
        in the layer's twin.
        """
        found = {}
        for tensor, path in self.paths.items():
            holders = _holders(self._units[tensor], nodes)
            if holders:
                found[path] = (holders[0].node, holders[0].name)
        return found


def _holders(units: Mapping[Any, tuple[str, set[str]]], nodes: Nodes) -> list[Holder]:
    """The parts among the nodes that keep a tensor, each once."""
    holders: list[Holder] = []
    for name, names in units.values():
        for node in nodes:
            if node not in names:
                continue
            holder = _holder(node, nodes[node][0], name)
            if holder is None or any(holder.owner is other.owner for other in holders):
                continue
            holders.append(holder)
    return holders


def _holder(node: str, part: Any, name: str) -> Holder | None:
    """Where a part keeps what its twin calls by a name; None where it has nothing of the name."""
    owner = part
    if isinstance(part, Opaque):
        owner = part.function
    if not isinstance(getattr(owner, "value", None), Tensor):
        # A module of the model that stays as it is, inside a call on tensors.
        owner = getattr(owner, "function", owner)
    *outer, attribute = name.removesuffix(".T").split(".")
    for piece in outer:
        owner = getattr(owner, piece, None)
    if not isinstance(owner, nn.Module) or not isinstance(getattr(owner, attribute, None), Tensor):
        return None
    return Holder(node, part, owner, attribute, name)


def _alike(holders: list[Holder]) -> bool:
    """Whether one tensor may stand in the place of all of them."""
    first = holders[0]
    turned = {holder.name.endswith(".T") for holder in holders}
    for holder in holders[1:]:
        if holder.value.shape != first.value.shape:
            return False
        if not torch.equal(holder.value, first.value):
            return False
    return len(turned) == 1


def _replace_linear_layers(holders: list[Holder], nodes: Nodes) -> None:
    """Let linear layers be torch's, whose weights are `[C_out, C_in]` as those of embeddings."""
    for holder in holders:
        part = holder.part
        if not isinstance(part, Conv) or part.rule != itself() or holder.name != "weight":
            continue
        twin = to_module(part, None, "torch")
        for node, (old, *read) in nodes.items():
            if old is part:
                nodes[node] = (twin, *read)


def _refusal(asked: str, holders: list[Holder]) -> GeodlError:
    nodes = [holder.node for holder in holders]
    return GeodlError(
        asked,
        f"one parameter in the nodes {nodes[0]} and {nodes[1]}, which would become two",
        "untie it in the model, and tie the layers again",
    )


def tied_names(module: nn.Module) -> list[list[str]]:
    """The names of each parameter of a model that has more than one."""
    names: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return [several for several in names.values() if len(several) > 1]
