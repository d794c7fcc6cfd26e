"""What models do to each channel with parameters of their own, and to all channels of a node."""

from typing import Any

import torch
from torch import Tensor, nn

from geodl.interop.whole.ancestry import own_tensor_behind
from geodl.interop.whole.layout import Layout
from geodl.interop.whole.on_tensors import Apply, Slot
from geodl.interop.whole.values import Call, Value
from geodl.layer import Layer, Pointwise
from geodl.layer.check import check_no_sender, check_signal
from geodl.signal import Signal


class PerChannel(Layer):
    """A number for each channel, or one for all: `x + w`, `x - w`, `x w` or `x / w`.

    Args:
        operation: "add", "sub", "mul" or "div".
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
    build: Any, call: Call, value: Value, dims: set[int], keepdim: bool, how: str
) -> Value | None:
    """A reduction over the channels of each node and nothing else."""
    layout = value.kept
    at = layout.channel_dim()
    if at is None or dims != {at}:
        return None
    made = layout.with_channels(1)
    if not keepdim:
        made = Layout((*layout.dims[:at], *layout.dims[at + 1 :]), layout.domain)
    part = Pointwise(Apply(how, (Slot(0), -1), {"keepdim": True}))
    return build.apply(call.name, part, value, call.example, made)
