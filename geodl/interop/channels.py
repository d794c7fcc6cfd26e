"""What models do to each channel with parameters of their own, and to all channels of a node."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodl.domain import Domain
from geodl.interop.conversion import with_parameters
from geodl.interop.converters import converts
from geodl.interop.whole.ancestry import own_tensor, own_tensor_behind
from geodl.interop.whole.channel_order import block_of
from geodl.interop.whole.entries import copy_of
from geodl.interop.whole.layout import Atom, Axis, Layout
from geodl.interop.whole.on_tensors import Apply, InBlocks, Slot
from geodl.interop.whole.values import Call, Value
from geodl.layer import Layer, Pointwise
from geodl.layer.check import check_no_sender, check_signal
from geodl.signal import Signal


class PerChannel(Layer):
    """A number for each channel, or one for all: `x + w`, `x - w`, `x w` or `x / w`; as "prelu" a
    slope, `w x` where x is negative.

    Args:
        operation: "add", "sub", "mul", "div" or "prelu".
        weight: w, `[C]` or `[1]`: a parameter, or a tensor that does not learn.

    >>> layer = PerChannel("mul", torch.tensor([2.0, 3.0]))
    >>> layer(Signal.sequence(torch.ones(1, 2, 2))).x.tolist()
    [[[2.0, 3.0], [2.0, 3.0]]]
    """

    nodewise = True
    transparent = True

    def __init__(self, operation: str, weight: Tensor):
        super().__init__()
        self.operation = operation
        self.channels_in = len(weight) if len(weight) > 1 else None
        if isinstance(weight, nn.Parameter):
            self.weight = weight
        else:
            self.register_buffer("weight", weight)

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The operation on the channels of each node."""
        check_no_sender(self, sender)
        signal = check_signal(self, receiver)
        if self.operation == "prelu":
            return signal.with_x(torch.where(signal.x > 0, signal.x, signal.x * self.weight))
        return signal.with_x(getattr(torch, self.operation)(signal.x, self.weight))

    def extra_repr(self) -> str:
        return f"{self.operation!r}, {len(self.weight)}"


def with_own_channels(build: Any, call: Call, operation: str) -> Value | None:
    """`x * gamma`, `gamma[:, None, None] * x`, `(x - mean) / std`: numbers of the model's own, one
    for each channel; None of any other call.
    """
    if call.kwargs or len(call.args) != 2:
        return None
    value, other = call.args
    if getattr(value, "layout", None) is None and operation in ("add", "mul"):
        value, other = other, value
    if not isinstance(value, Value) or not isinstance(other, Value):
        return None
    if value.layout is None or other.layout is not None:
        return None
    found = own_tensor_behind(build.nodes, other.name)
    if found is None or not _lies_on_channels(value, other.tensor, found[1]):
        return None
    path, tensor = found

    def make() -> PerChannel:
        flat = tensor.detach().clone().flatten()
        if isinstance(tensor, nn.Parameter):
            flat = nn.Parameter(flat, requires_grad=tensor.requires_grad)
        return PerChannel(operation, flat)

    layer = build.shared({"weight": tensor}, ("per channel", operation), make)
    return build.apply(path, layer, value, call.example)


def from_prelu(module: nn.PReLU, on: Domain | None) -> PerChannel:
    """`nn.PReLU` with a slope for each channel."""
    weight = module.weight.detach().clone()
    kept = nn.Parameter(weight, requires_grad=module.weight.requires_grad)
    return PerChannel("prelu", kept).train(module.training)


@converts(nn.PReLU, traced=True)
def convert_prelu(build: Any, call: Call) -> Any:
    """`nn.PReLU`, with one slope or one for each channel, which are on axis 1."""
    module: Any = call.module
    (value,) = call.args
    if module.num_parameters == 1:
        part = build.once(module, copy_of)
        return build.apply(call.name, part, build.read(value, "each"), call.example)
    layer = build.once(module, from_prelu)
    return build.apply(call.name, layer, build.read(value, "second"), call.example)


@converts(F.prelu, torch.prelu, traced=True)
def convert_prelu_function(build: Any, call: Call) -> Any:
    """`F.prelu(x, weight)` with a tensor of the model."""
    value, weight = call.given("input", "weight")
    tensor = own_tensor(build.nodes, weight)
    if tensor is None or not isinstance(value, Value):
        return None

    def make() -> PerChannel:
        kept = tensor.detach().clone()
        if isinstance(tensor, nn.Parameter):
            kept = nn.Parameter(kept, requires_grad=tensor.requires_grad)
        return PerChannel("prelu", kept)

    layer = build.shared({"weight": tensor}, "prelu", make)
    return build.apply(call.name, layer, build.read(value, "second"), call.example)


@converts(PerChannel, back="torch", form="a slope for each channel")
def to_prelu(layer: PerChannel, on: Domain | None) -> nn.PReLU | None:
    """The inverse of :func:`from_prelu`."""
    if layer.operation != "prelu":
        return None
    twin = nn.PReLU(len(layer.weight))
    return with_parameters(twin, layer, weight=layer.weight)


def _lies_on_channels(value: Value, spread: Tensor, own: Tensor) -> bool:
    """Whether a tensor is one number, or one for each channel, where torch spreads it."""
    if spread.numel() != own.numel() or spread.dim() > value.tensor.dim():
        return False
    if spread.numel() == 1:
        return True
    at = value.kept.channel_dim()
    if at is None or spread.numel() != value.kept.num_channels:
        return False
    shape = (1,) * (value.tensor.dim() - spread.dim()) + tuple(spread.shape)
    return shape[at] == spread.numel()


def reduce_channels(
    build: Any,
    call: Call,
    value: Value,
    dims: set[int],
    keepdim: bool,
    how: Any,
    options: dict[str, Any] | None = None,
) -> Value | None:
    """A reduction over the channels of each node, or over one axis of them, and nothing else, by a
    function of torch or by its name.
    """
    if len(dims) != 1:
        return None
    (at,) = dims
    block = block_of(value.kept, value.kept.dims[at])
    if block is None:
        return None
    layout = value.kept
    kept: tuple[Axis, ...] = ()
    part: Any = Apply(how, (Slot(0),), {"dim": -1, "keepdim": True, **(options or {})})
    if layout.dims[at] == layout.channels:
        if keepdim:
            kept = ((Atom("channel", 0, 1),),)
    else:
        part = InBlocks(part, *block)
        if keepdim:
            kept = ((),)
    made = Layout((*layout.dims[:at], *kept, *layout.dims[at + 1 :]), layout.domain)
    return build.apply(call.name, Pointwise(part), value, call.example, made)
