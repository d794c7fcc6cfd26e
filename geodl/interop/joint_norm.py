"""Layer norms over nodes and channels together, whose parameters have the shape of both, and over
blocks of channels, as those of queries by heads.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.converters import converts
from geodl.interop.whole.entries import copy_of
from geodl.interop.whole.layout import BATCH, Atom, Layout
from geodl.interop.whole.values import Call, Value
from geodl.layer import Layer
from geodl.layer.check import check_no_sender, check_signal
from geodl.signal import Signal

FUNCTIONS = {"layer": F.layer_norm, "rms": F.rms_norm}


class JointNorm(Layer):
    """`y = (x - mean) / sqrt(var + eps) * weight + bias` with the statistics of all nodes of an
    entry, of each channel by itself or of all channels together; or of each block of channels of a
    node. As "rms" `y = x / sqrt(mean of x^2 + eps) * weight`.

    Over nodes a weight or a bias tells them apart, and it takes one size alone.

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
        return not self.nodewise and (self.weight is not None or self.bias is not None)

    @property
    def nodewise(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """Of blocks of channels it treats each node alone."""
        return not _node_atoms(self.layout, self.count)

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
    read = along_last(build, value) if count == 1 else None
    if read is not None:
        part = build.once(module, copy_of)
        return build.apply(call.name, part, read, call.example)
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
    build: Any,
    call: Call,
    value: Value,
    shape: Any,
    tensors: list[Any],
    eps: float | None,
    kind: str = "layer",
) -> Value | None:
    """`F.layer_norm(x, shape, weight, bias)` over several axes, or over blocks of channels."""
    layout = joint_layout(build, value, len(shape))
    if layout is None:
        return None
    named = dict(zip(("weight", "bias"), tensors, strict=True))

    def make() -> JointNorm:
        return JointNorm(kind, layout, len(shape), eps, *tensors)

    if tensors[0] is None:
        return build.apply(call.name, make(), value, call.example)
    norm = build.shared(named, ("joint norm", kind, eps), make)
    return build.apply(call.name, norm, value, call.example)


def joint_layout(build: Any, value: Any, count: int) -> Layout | None:
    """How a value is read whose last axes are all nodes, with all channels or none, or a part of
    the channels alone; else None.
    """
    if not isinstance(value, Value) or value.layout is None:
        return None
    if not _node_atoms(value.kept, count):
        return value.kept if _is_block(value.kept, count) else None
    first, *kept = value.kept.dims[:-count]
    joined = [atom for dim in value.kept.dims[-count:] for atom in dim]
    nodes = [atom for atom in joined if atom.kind == "node"]
    if first != (BATCH,) or len(nodes) != value.kept.num_axes or not nodes:
        return None
    if any(atom.kind != "channel" for dim in kept for atom in dim):
        return None
    return value.kept


def _node_atoms(layout: Layout, count: int) -> list[Atom]:
    """The axes of nodes among the last axes."""
    return [atom for dim in layout.dims[-count:] for atom in dim if atom.kind == "node"]


def _is_block(layout: Layout, count: int) -> bool:
    """Whether the last axes are some of the channels, and not all of them."""
    last = [atom for dim in layout.dims[-count:] for atom in dim]
    return 0 < len(last) < len(layout.channels) and set(last) < set(layout.channels)


def along_last(build: Any, value: Any) -> Value | None:
    """A value whose last axis, which a norm reads, is all channels of a node; None where it is a
    block of them.
    """
    if isinstance(value, Value) and value.layout is not None and _is_block(value.kept, 1):
        return None
    return build.read(value, "last")


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
