"""Layer norms over nodes and channels together, whose parameters have the shape of both."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.converters import converts
from geodl.interop.whole.entries import copy_of
from geodl.interop.whole.layout import BATCH, Layout
from geodl.interop.whole.values import Call, Value
from geodl.layer import Layer
from geodl.layer.check import check_no_sender, check_signal
from geodl.signal import Signal

FUNCTIONS = {"layer": F.layer_norm, "rms": F.rms_norm}


class JointNorm(Layer):
    """`y = (x - mean) / sqrt(var + eps) * weight + bias` with the statistics of all nodes of an
    entry: of each channel by itself, or of all channels together. As "rms" `y = x / sqrt(mean of
    x^2 + eps) * weight`.

    With a weight or a bias it tells nodes apart, and takes one size alone.

    Args:
        kind: "layer" or "rms".
        layout: how the tensor that torch normalises is read from a signal.
        count: over how many of its last axes.
        eps: added to the variance; None for the precision of the values.
        weight: of the shape of these axes, or None.
        bias: likewise.
    """

    transparent = True

    def __init__(
        self,
        kind: str,
        layout: Layout,
        count: int,
        eps: float | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
    ):
        super().__init__()
        self.kind, self.layout, self.count, self.eps = kind, layout, count, eps
        self.weight, self.bias = _own_copy(weight), _own_copy(bias)
        self.channels_in = layout.num_channels

    @property
    def breaks_symmetry(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """Parameters stand at places."""
        return self.weight is not None or self.bias is not None

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The normalised signal."""
        check_no_sender(self, sender)
        signal = check_signal(self, receiver)
        if signal.domain.is_union:
            raise GeodlError(f"{self.label} called", str(signal.domain), "give equal members")
        x = self.layout.to_tensor(signal)
        shape = x.shape[-self.count :]
        if self.weight is not None and shape != self.weight.shape:
            found = f"axes of {list(shape)}"
            do = f"give {list(self.weight.shape)}, for which it has parameters"
            raise GeodlError(f"{self.label} called", found, do)
        given = [self.weight] if self.kind == "rms" else [self.weight, self.bias]
        y = FUNCTIONS[self.kind](x, shape, *given, self.eps)
        return signal.with_x(self.layout.to_signal(y, signal).x)

    def extra_repr(self) -> str:
        return f"{self.kind!r}, {self.layout}, {self.count}"


def _own_copy(tensor: Tensor | None) -> Tensor | None:
    if tensor is None:
        return None
    return nn.Parameter(tensor.detach().clone(), requires_grad=tensor.requires_grad)


@converts(nn.LayerNorm, nn.RMSNorm, traced=True)
def convert_norm(build: Any, call: Call) -> Any:
    """`nn.LayerNorm` and `nn.RMSNorm`: along the channels they stay as they are."""
    module: Any = call.module
    (value,) = call.args
    count = len(module.normalized_shape)
    if count == 1:
        part = build.once(module, copy_of)
        return build.apply(call.name, part, build.read(value, "last"), call.example)
    layout = joint_layout(build, value, count)
    if layout is None:
        return None
    kind = "rms" if isinstance(module, nn.RMSNorm) else "layer"

    def convert(module: Any, on: Any) -> JointNorm:
        bias = getattr(module, "bias", None)
        norm = JointNorm(kind, layout, count, module.eps, module.weight, bias)
        return norm.train(module.training)

    return build.apply(call.name, build.once(module, convert), value, call.example)


def joint_norm(
    build: Any, call: Call, value: Value, shape: Any, tensors: list[Any], eps: float
) -> Value | None:
    """`F.layer_norm(x, shape, weight, bias)` over several axes."""
    layout = joint_layout(build, value, len(shape))
    if layout is None:
        return None
    named = dict(zip(("weight", "bias"), tensors, strict=True))

    def make() -> JointNorm:
        return JointNorm("layer", layout, len(shape), eps, *tensors)

    if tensors[0] is None:
        return build.apply(call.name, make(), value, call.example)
    norm = build.shared(named, ("joint norm", eps), make)
    return build.apply(call.name, norm, value, call.example)


def joint_layout(build: Any, value: Any, count: int) -> Layout | None:
    """How a value is read whose last axes are all nodes, with all channels or none; else None."""
    if not isinstance(value, Value) or value.layout is None:
        return None
    first, *kept = value.kept.dims[:-count]
    joined = [atom for dim in value.kept.dims[-count:] for atom in dim]
    nodes = [atom for atom in joined if atom.kind == "node"]
    if first != (BATCH,) or len(nodes) != value.kept.num_axes or not nodes:
        return None
    if any(atom.kind != "channel" for dim in kept for atom in dim):
        return None
    return value.kept


@converts(JointNorm, back="torch", form="axes that it has parameters for")
def to_joint_norm(layer: JointNorm, on: Domain | None) -> nn.Module | None:
    """The norm of torch over as many axes."""
    if layer.weight is None:
        return None
    shape: Any = tuple(layer.weight.shape)
    if layer.kind == "rms":
        twin: Any = nn.RMSNorm(shape, layer.eps)
    else:
        twin = nn.LayerNorm(shape, layer.eps or 0.0, bias=layer.bias is not None)
        twin.bias = _own_copy(layer.bias)
    twin.weight = _own_copy(layer.weight)
    return twin.train(layer.training)
