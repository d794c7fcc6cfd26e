"""A model that cannot be followed, as a network of one opaque node; modes of networks."""

import copy
from typing import Any

from torch import Tensor, nn

from geodl.interop.whole.door import CallForm, Entrance, TensorDoor, arguments_of
from geodl.interop.whole.on_tensors import Constant, OfDomain, OnTensors, Slot
from geodl.interop.whole.tracing import Trace
from geodl.layer import Network
from geodl.layer.opaque import Opaque


def as_one_node(module: nn.Module, trace: Trace, given: dict[str, Any]) -> Network:
    """A network of one opaque node, for a model that cannot be followed."""
    tensors = [name for name, value in given.items() if isinstance(value, Tensor)]
    part = Opaque(_Named(copy.deepcopy(module), given, tensors), trace.reasons[""])
    entrances = []
    for name, value in given.items():
        if name in tensors:
            entrances.append(Entrance(name, True, None, None))
        else:
            entrances.append(Entrance(name, False, None, value))
    form = CallForm(*arguments_of(module), tuple(entrances), ((0, None),), Slot(0))
    door = TensorDoor(form)
    network = Network(tuple(tensors), {"model": (part, *tensors)}, door=door)
    set_modes(network, module.training)
    return network


class _Named(nn.Module):
    """A model called with its tensors, and with constants that stay."""

    def __init__(self, module: nn.Module, given: dict[str, Any], tensors: list[str]):
        super().__init__()
        self.module = module
        self.constants = {name: v for name, v in given.items() if name not in tensors}
        self.tensors = tensors

    @property
    def label(self) -> str:
        """The model's class."""
        return type(self.module).__name__

    def forward(self, *values: Any) -> Any:
        """The model's answer."""
        named = dict(zip(self.tensors, values, strict=True))
        return self.module(**self.constants, **named)


def set_modes(network: Network, training: bool) -> None:
    """The mode of the network itself and of the modules around its parts."""
    network.training = training
    for part in network.modules():
        if type(part) in (nn.Module, Opaque, OnTensors, OfDomain, Constant):
            part.training = training
