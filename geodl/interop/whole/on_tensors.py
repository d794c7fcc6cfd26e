"""Functions of torch on the tensors that signals stand for: the inside of opaque nodes."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from geodl.interop.whole.layout import Layout
from geodl.signal import Signal


class Slot(NamedTuple):
    """The place of a node's value in the arguments of a call.

    Attributes:
        value: which of the node's values.
    """

    value: int


class OnTensors(nn.Module):
    """A call of torch on tensors, between signals.

    Args:
        function: a module, a function, or the name of a method of the first argument.
        args: its arguments, with a `Slot` for each value of another node.
        kwargs: its named arguments, likewise.
        reads: for each value how it is read from a signal; None of a value that is none.
        made: how the answer is read as a signal; None leaves it as it is.
        like: the value on whose nodes the answer lives; None makes nodes of the answer's shape.
        in_training: other arguments for training, as (args, kwargs); None for the same ones.
    """

    def __init__(
        self,
        function: Callable[..., Any] | str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        reads: tuple[Layout | None, ...],
        made: Layout | None = None,
        like: int | None = None,
        in_training: tuple[Any, Any] | None = None,
    ):
        super().__init__()
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.reads = reads
        self.made = made
        self.like = like
        self.in_training = in_training

    def forward(self, *values: Any) -> Any:
        """The answer of the call."""
        tensors = []
        for value, layout in zip(values, self.reads, strict=True):
            if layout is not None:
                value = layout.to_tensor(value)
            tensors.append(value)
        given = (self.args, self.kwargs)
        if self.training and self.in_training is not None:
            given = self.in_training
        args, kwargs = fill(given, tensors)
        if isinstance(self.function, str):
            answer = getattr(args[0], self.function)(*args[1:], **kwargs)
        else:
            answer = self.function(*args, **kwargs)
        if self.made is None:
            return answer
        if self.like is None:
            return self.made.to_signal(answer)
        return self.made.to_signal(answer, values[self.like])

    @property
    def label(self) -> str:
        """What is called."""
        if isinstance(self.function, nn.Module):
            return type(self.function).__name__
        return getattr(self.function, "__name__", str(self.function))


class Constant(nn.Module):
    """A parameter or a buffer that a model reads by itself.

    Args:
        value: a copy of its own.
    """

    def __init__(self, value: Tensor):
        super().__init__()
        if isinstance(value, nn.Parameter):
            self.value = value
        else:
            self.register_buffer("value", value)

    def forward(self) -> Tensor:
        """The tensor itself."""
        return self.value


def fill(template: Any, values: list[Any]) -> Any:
    """A structure of tuples, lists, dicts and slices with values in its slots."""
    if isinstance(template, Slot):
        return values[template.value]
    if isinstance(template, tuple):
        return sequence_like(template, [fill(part, values) for part in template])
    if isinstance(template, list):
        return [fill(part, values) for part in template]
    if isinstance(template, dict):
        return {key: fill(part, values) for key, part in template.items()}
    if isinstance(template, slice):
        ends = (template.start, template.stop, template.step)
        return slice(*(fill(end, values) for end in ends))
    return template


def sequence_like(sequence: tuple[Any, ...] | list[Any], entries: list[Any]) -> Any:
    """Entries in a sequence of the same type, which may name them, as `x.sort()` does."""
    if isinstance(sequence, torch.Size):  # it takes numbers alone
        return tuple(entries)
    if hasattr(sequence, "_fields"):
        return type(sequence)(*entries)
    return type(sequence)(entries)


def size_of(x: Tensor, dim: int) -> int:
    """The length of an axis."""
    return x.shape[dim]


def identity(x: Any, *_: Any) -> Any:
    """The value itself."""
    return x


class OfDomain(nn.Module):
    """What a signal's domain holds, as PyG's tensors.

    Args:
        role: "edge_index", "edge_weight", "edge_type", "edge_attr", "batch", "num_graphs", a
            number, or "batch of several": that of a union, None of any other domain.
    """

    def __init__(self, role: str):
        super().__init__()
        self.role = role

    def forward(self, signal: Signal) -> Any:
        """The tensor; None where the domain has none."""
        domain: Any = signal.domain
        if self.role == "num_graphs":
            return domain.num_members
        if self.role == "batch of several" and not domain.is_union:
            return None
        if self.role in ("batch", "batch of several"):
            return domain.member_of()
        if self.role == "edge_type":
            return domain.edge_type
        dst, src, weight = domain.links()
        if self.role == "edge_index":
            return torch.stack((src, dst))
        if self.role == "edge_weight":
            return weight
        if signal.edges is None:
            return None
        return signal.edges[0]

    @property
    def label(self) -> str:
        """What is read."""
        return self.role


class Apply(nn.Module):
    """A function of torch on each number alone, with constants beside it.

    Args:
        function: takes a tensor in one of its places, constants in the others.
        args: the arguments, with a `Slot` for the tensor.
        kwargs: named constants.
    """

    def __init__(self, function: Callable[..., Any] | str, args: Any, kwargs: dict[str, Any]):
        super().__init__()
        self.function = function
        self.args = args
        self.kwargs = kwargs

    def forward(self, x: Tensor) -> Tensor:
        """The function of each number."""
        args = fill(self.args, [x])
        if isinstance(self.function, str):
            return getattr(args[0], self.function)(*args[1:], **self.kwargs)
        return self.function(*args, **self.kwargs)

    def extra_repr(self) -> str:
        name = self.function
        if not isinstance(name, str):
            name = getattr(name, "__name__", "function")
        return str(name)


class Narrow(nn.Module):
    """Some of the channels: those from `start` to `stop`; or of channels that are an array `[outer,
    size, inner]` those along its middle axis.
    """

    def __init__(self, start: int, stop: int, size: int | None = None, inner: int = 1):
        super().__init__()
        self.start, self.stop = start, stop
        self.size, self.inner = size, inner

    @property
    def is_plain(self) -> bool:
        """Whether they lie side by side."""
        return self.size is None

    def forward(self, x: Tensor) -> Tensor:
        """`x[..., start:stop]`, or that of the array."""
        if self.size is None:
            return x[..., self.start : self.stop]
        array = x.unflatten(-1, (-1, self.size, self.inner))
        return array[..., self.start : self.stop, :].flatten(-3)

    def extra_repr(self) -> str:
        if self.size is None:
            return f"{self.start}, {self.stop}"
        return f"{self.start}, {self.stop}, size={self.size}, inner={self.inner}"


class Spread(nn.Module):
    """One channel repeated; of channels that are an array `[blocks, 1, inner]` each block.

    Args:
        size: how often.
        inner: the channels of a block.
    """

    def __init__(self, size: int, inner: int = 1):
        super().__init__()
        self.size = size
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """The channels as often as wanted."""
        array = x.unflatten(-1, (-1, 1, self.inner))
        return array.expand(*array.shape[:-2], self.size, self.inner).flatten(-3)

    def extra_repr(self) -> str:
        return f"{self.size}, inner={self.inner}"


class InBlocks(nn.Module):
    """A module along one axis of channels that are an array `[blocks, size, inner]`.

    Args:
        module: acts on the last axis, and keeps it or leaves one of it.
        size: of the axis.
        inner: how many channels stand at each place of it.
    """

    def __init__(self, module: nn.Module, size: int, inner: int = 1):
        super().__init__()
        self.module = module
        self.size = size
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """The module along the axis."""
        array = x.unflatten(-1, (-1, self.size, self.inner))
        return self.module(array.mT).mT.flatten(-3)

    def extra_repr(self) -> str:
        return f"size={self.size}, inner={self.inner}"


class Reordered(nn.Module):
    """Channels that are an array, read with its axes in another order.

    Args:
        sizes: of the axes.
        order: the axis that comes first, second, ...
    """

    def __init__(self, sizes: tuple[int, ...], order: tuple[int, ...]):
        super().__init__()
        self.sizes = sizes
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        """The channels in the other order."""
        before = x.dim() - 1
        array = x.unflatten(-1, self.sizes)
        axes = [before + axis for axis in self.order]
        return array.permute(*range(before), *axes).flatten(before)

    def extra_repr(self) -> str:
        return f"{self.sizes}, {self.order}"


class OfParts(nn.Module):
    """A function of several parts of the channels, which are equally many.

    Args:
        function: of so many tensors, along their last axis or of each number.
        count: of the parts.
        options: what else it is given.
    """

    def __init__(self, function: Callable[..., Tensor], count: int, options: dict[str, Any]):
        super().__init__()
        self.function = function
        self.count = count
        self.options = options

    def forward(self, x: Tensor) -> Tensor:
        """The function of the parts."""
        return self.function(*x.chunk(self.count, -1), **self.options)

    def extra_repr(self) -> str:
        return getattr(self.function, "__name__", "function")


def close(one: Any, other: Any) -> bool:
    """Whether two tensors hold the same numbers but for rounding."""
    if not isinstance(one, Tensor) or not isinstance(other, Tensor) or one.shape != other.shape:
        return False
    if not one.is_floating_point():
        return torch.equal(one, other)
    bound = 1e-8 if one.dtype == torch.float64 else 1e-3
    if one.dtype in (torch.float16, torch.bfloat16):
        bound = 0.1
    if one.numel() == 0:
        return True
    # Infinite numbers are equal, or they are not.
    apart = torch.where(one == other, 0.0, (one - other).abs())
    sizes = torch.where(other.isfinite(), other.abs(), 0.0)
    scale = max(1.0, float(sizes.max()))
    return bool(apart.max() <= bound * scale)
