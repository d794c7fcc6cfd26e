"""Functions of torch along all nodes of a signal: softmax, unit length, deviations, norms."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodl.domain import Complete, Domain
from geodl.interop.channels import reduce_channels
from geodl.interop.converters import converts
from geodl.interop.reductions import layout_after
from geodl.interop.whole.channel_order import block_of
from geodl.interop.whole.layout import nodes
from geodl.interop.whole.on_tensors import Apply, InBlocks, Slot
from geodl.interop.whole.values import Call, Value
from geodl.layer import Layer, Pointwise
from geodl.layer.check import check_no_sender, check_signal
from geodl.layer.pointwise import is_pointwise
from geodl.signal import Signal

KEEPING: dict[str, Any] = {
    "softmax": F.softmax,
    "log_softmax": F.log_softmax,
    "softmin": F.softmin,
    "normalize": F.normalize,
}
REDUCING: dict[str, Any] = {"std": torch.std, "var": torch.var, "norm": torch.linalg.vector_norm}


class AlongNodes(Layer):
    """A function of torch along all nodes, separately for each channel and each member of a batch.

    "softmax", "log_softmax", "softmin" and "normalize" keep the nodes; "std", "var" and "norm"
    reduce them to one. It is equivariant under permutations of the nodes.

    Args:
        function: its name.
        options: what else torch's function is given.

    >>> signal = Signal.sequence(torch.zeros(1, 4, 1))
    >>> AlongNodes("softmax", {})(signal).x.flatten().tolist()
    [0.25, 0.25, 0.25, 0.25]
    """

    transparent = True

    def __init__(self, function: str, options: dict[str, Any]):
        super().__init__()
        self.function = function
        self.options = options

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The function of the nodes of each member."""
        check_no_sender(self, sender)
        signal = check_signal(self, receiver)
        sizes = list(signal.domain.sizes)
        made = [self._of(part) for part in signal.x.split(sizes, 1)]
        x = made[0] if len(made) == 1 else torch.cat(made, 1)
        if self.function in KEEPING:
            return signal.with_x(x)
        domain: Domain = Complete(len(sizes))
        return Signal(x, domain, globals=signal.globals)

    def _of(self, x: Tensor) -> Tensor:
        if self.function in KEEPING:
            return KEEPING[self.function](x, dim=1, **self.options)
        return REDUCING[self.function](x, dim=1, keepdim=True, **self.options)

    def extra_repr(self) -> str:
        named = [f"{name}={value}" for name, value in self.options.items()]
        return ", ".join([repr(self.function), *named])


def along(
    build: Any,
    call: Call,
    value: Any,
    dim: Any,
    function: str,
    options: dict[str, Any],
    part: nn.Module,
) -> Value | None:
    """A function along one axis of a tensor: that of all nodes, of the channels, or of a part of
    them; None along any other axis.

    Args:
        build: the import.
        call: that is converted.
        value: what the function reads.
        dim: the axis.
        function: its name among those that keep the nodes.
        options: what else it is given.
        part: the module that does the same along the last axis.
    """
    if not isinstance(value, Value) or value.layout is None or not isinstance(dim, int):
        return None
    layout = value.kept
    axis = layout.dims[dim % value.tensor.dim()]
    if layout.num_axes and axis == nodes(layout.num_axes):
        return build.apply(call.name, AlongNodes(function, options), value, call.example)
    block = block_of(layout, axis)
    if block is None:
        return None
    if axis != layout.channels:
        part = InBlocks(part, *block)
    if not is_pointwise(part):
        part = Pointwise(part)
    return build.apply(call.name, part, value, call.example, layout)


@converts(F.normalize, traced=True)
def convert_unit_length(build: Any, call: Call) -> Any:
    """`F.normalize(x, p, dim)`: divided by the p-norm along the channels, or along all nodes."""
    names = ("input", "p", "dim", "eps", "out")
    value, p, dim, eps, out = call.given(*names, p=2.0, dim=1, eps=1e-12, out=None)
    if out is not None:
        return None
    options = {"p": p, "eps": eps}
    part = Apply(F.normalize, (Slot(0),), {"dim": -1, **options})
    return along(build, call, value, dim, "normalize", options, part)


@converts(torch.std, Tensor.std, traced=True)
def convert_deviation(build: Any, call: Call) -> Any:
    """`x.std(dim)` over all nodes, or over the channels."""
    return _deviation(build, call, "std")


@converts(torch.var, Tensor.var, traced=True)
def convert_variance(build: Any, call: Call) -> Any:
    """`x.var(dim)` over all nodes, or over the channels."""
    return _deviation(build, call, "var")


def _deviation(build: Any, call: Call, name: str) -> Value | None:
    """torch has the correction by its number, or by a truth value at two places."""
    kwargs = dict(call.kwargs)
    value, *others = call.args
    if others and isinstance(others[0], bool):
        return None
    keys = ("dim", "unbiased", "keepdim")
    given = {**dict(zip(keys, others, strict=False)), **kwargs}
    if set(given) - {*keys, "correction"} or given.get("dim") is None:
        return None
    correction = given.get("correction", int(given.get("unbiased", True)))
    options = {"correction": correction}
    return _reduced(build, call, value, given["dim"], given.get("keepdim", False), name, options)


@converts(torch.norm, Tensor.norm, torch.linalg.vector_norm, torch.linalg.norm, traced=True)
def convert_norm(build: Any, call: Call) -> Any:
    """`x.norm(p, dim)`: the length of each node's channels, or of each channel over all nodes."""
    of_matrices = getattr(call.function, "__name__", "") == "linalg_norm"
    names = ("input", "ord", "dim", "keepdim", "dtype")
    if call.function in (torch.norm, "norm"):
        names = ("input", "p", "dim", "keepdim", "out", "dtype")
    defaults = {**dict.fromkeys(names[1:]), "keepdim": False}
    value, p, dim, keepdim, *rest = call.given(*names, **defaults)
    if p in (None, "fro"):
        p = 2.0
    if dim is None or any(one is not None for one in rest) or not isinstance(p, int | float):
        return None
    if of_matrices and not isinstance(dim, int) and len(dim) > 1:
        return None
    return _reduced(build, call, value, dim, keepdim, "norm", {"ord": p})


def _reduced(
    build: Any,
    call: Call,
    value: Any,
    dim: Any,
    keepdim: bool,
    name: str,
    options: dict[str, Any],
) -> Value | None:
    """A statistic over all axes of nodes and no other, or over the channels alone."""
    if not isinstance(value, Value) or value.layout is None:
        return None
    dims = (dim,) if isinstance(dim, int) else dim
    reduced = {one % value.tensor.dim() for one in dims}
    of_channels = reduce_channels(build, call, value, reduced, keepdim, REDUCING[name], options)
    if of_channels is not None:
        return of_channels
    made = layout_after(value, reduced, keepdim)
    if made is None:
        return None
    return build.apply(call.name, AlongNodes(name, options), value, call.example, made)
