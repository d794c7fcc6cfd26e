"""Pooling over windows, and over everything."""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.converters import converts
from geodl.interop.padding import with_mode
from geodl.interop.resampling import pooling_rule
from geodl.interop.whole.layout import Layout
from geodl.interop.whole.on_tensors import Apply, Slot
from geodl.interop.whole.values import Call, Value
from geodl.layer import Layer, Pointwise, Pool, Propagate, Readout, Sequential
from geodl.neighborhood import window
from geodl.neighborhood.window import Window

Ints = int | tuple[int, ...] | list[int]
MAX_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
MEAN_POOLS = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
ADAPTIVE = {
    nn.AdaptiveAvgPool1d: "mean",
    nn.AdaptiveAvgPool2d: "mean",
    nn.AdaptiveAvgPool3d: "mean",
    nn.AdaptiveMaxPool1d: "max",
    nn.AdaptiveMaxPool2d: "max",
    nn.AdaptiveMaxPool3d: "max",
}


def max_pool(
    axes: int,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Pool:
    """Max pooling as a `Pool` over a window; what torch pads is a missing edge."""
    if return_indices:
        raise GeodlError("max pooling", "return_indices=True", "pool without indices")
    rule = pool_window(axes, kernel_size, stride, padding, dilation, ceil_mode)
    return Pool(rule, "max")


def mean_pool(
    axes: int,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Layer:
    """Average pooling as a `Pool`: "mean" where what exists is averaged, else "sum" divided by the
    number of places of the window.
    """
    rule = pool_window(axes, kernel_size, stride, padding, 1, ceil_mode)
    padded = any(low for low, _ in rule.padding)
    if divisor_override is None and not (padded and count_include_pad):
        return Pool(rule, "mean")
    if ceil_mode and divisor_override is None:
        found = "ceil_mode=True with padding that counts, of which a border has less"
        raise GeodlError("average pooling", found, "use count_include_pad=False")
    places = divisor_override or math.prod(rule.size)
    return Sequential(Pool(rule, "sum"), Pointwise(Apply("div", (Slot(0), places), {})))


def pool_window(
    axes: int,
    kernel_size: Ints,
    stride: Ints | None,
    padding: Ints,
    dilation: Ints,
    ceil_mode: bool,
) -> Window:
    """The window of a pooling module, that keeps to a bounded lattice where it is padded.

    `ceil_mode` asks for one more window where the last one would not reach the end: that is a
    padding behind of stride - 1 more. torch leaves that window out where it would begin beyond the
    padding; with a kernel longer than padding + stride - 1 it never does.

    Raises:
        GeodlError: `ceil_mode` with a shorter kernel.
    """
    sizes, before, apart = (_each(value, axes) for value in (kernel_size, padding, dilation))
    steps = sizes if stride is None else _each(stride, axes)
    after = before
    if ceil_mode:
        after = tuple(p + s - 1 for p, s in zip(before, steps, strict=True))
        for k, d, more in zip(sizes, apart, after, strict=True):
            if d * (k - 1) + 1 <= more:
                found = f"ceil_mode=True with a kernel of {k} and padding {more} behind"
                raise GeodlError("pooling", found, "use a larger kernel, or ceil_mode=False")
    pairs = tuple(zip(before, after, strict=True))
    rule = window(sizes, stride=steps, dilation=apart, padding=pairs)
    return with_mode(rule, "zeros")


def _each(value: Ints, axes: int) -> tuple[int, ...]:
    if isinstance(value, int):
        return (value,) * axes
    if len(value) == 1:
        return tuple(value) * axes
    return tuple(value)


@converts(*MAX_POOLS, reads="planes")
def from_max_pool(module: Any, on: Domain | None) -> Pool:
    """`nn.MaxPool1d/2d/3d` as a `Pool`."""
    pool = max_pool(
        MAX_POOLS.index(type(module)) + 1,
        module.kernel_size,
        module.stride,
        module.padding,
        module.dilation,
        module.ceil_mode,
        module.return_indices,
    )
    return _placed(pool, on).train(module.training)


@converts(*MEAN_POOLS, reads="planes")
def from_mean_pool(module: Any, on: Domain | None) -> Layer:
    """`nn.AvgPool1d/2d/3d` as a `Pool`, or one and a division."""
    pool = mean_pool(
        MEAN_POOLS.index(type(module)) + 1,
        module.kernel_size,
        module.stride,
        module.padding,
        module.ceil_mode,
        module.count_include_pad,
        getattr(module, "divisor_override", None),
    )
    return _placed(pool, on).train(module.training)


def _placed(pool: Any, on: Domain | None) -> Any:
    if on is None:
        return pool
    if isinstance(pool, Sequential):
        found = "a pooling and a division, which take Signals"
        raise GeodlError(f"from_torch with on={on}", found, "convert without on=")
    return Pool(pool.rule, pool.options.reduction, on=on)


def _function(convert: Callable[..., Any], axes: int) -> Callable[..., Any]:
    def from_function(*args: Any, **kwargs: Any) -> Any:
        return convert(axes, *args, **kwargs)

    return from_function


for _axes, _max, _mean in (
    (1, (F.max_pool1d, torch.max_pool1d), (F.avg_pool1d,)),
    (2, (F.max_pool2d, torch.max_pool2d), (F.avg_pool2d,)),
    (3, (F.max_pool3d, torch.max_pool3d), (F.avg_pool3d,)),
):
    converts(*_max, reads="planes")(_function(max_pool, _axes))
    converts(*_mean, reads="planes")(_function(mean_pool, _axes))


@converts(Pool, back="torch", form="window(...)")
def to_pool(layer: Pool, on: Domain | None) -> nn.Module | None:
    """The inverse of :func:`from_max_pool` and :func:`from_mean_pool`, of windows padded alike on
    both sides, or as `ceil_mode` does.
    """
    rule: Any = layer.rule
    reduction = layer.options.reduction
    if getattr(rule, "size", None) is None or rule.group is not None or rule.basis is not None:
        return None
    if reduction not in ("max", "mean"):
        return None
    before = tuple(low for low, _ in rule.padding)
    after = tuple(high for _, high in rule.padding)
    ceiled = tuple(p + s - 1 for p, s in zip(before, rule.stride, strict=True))
    ceil_mode = after != before
    if ceil_mode and after != ceiled:
        return None
    options = {"stride": rule.stride, "padding": before, "ceil_mode": ceil_mode}
    if reduction == "max":
        kind: Any = MAX_POOLS[len(rule.size) - 1]
        return kind(rule.size, dilation=rule.dilation, **options).train(layer.training)
    if set(rule.dilation) != {1}:
        return None
    kind = MEAN_POOLS[len(rule.size) - 1]
    return kind(rule.size, count_include_pad=False, **options).train(layer.training)


@converts(*ADAPTIVE, traced=True)
def convert_adaptive(build: Any, call: Call) -> Any:
    """A call of `nn.AdaptiveAvgPool2d(n)` and the like."""
    module: Any = call.module
    (value,) = call.args
    sizes = _each_or_none(module.output_size, value.tensor.dim() - 2)
    if getattr(module, "return_indices", False):
        return None
    return adaptive(build, call, value, sizes, ADAPTIVE[type(module)])


for _functions, _how in (
    ((F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d), "mean"),
    ((F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d), "max"),
):

    def _convert_function(build: Any, call: Call, how: str = _how) -> Any:
        value, output_size, indices = call.given(
            "input", "output_size", "return_indices", return_indices=False
        )
        if indices:
            return None
        sizes = _each_or_none(output_size, value.tensor.dim() - 2)
        return adaptive(build, call, value, sizes, how)

    converts(*_functions, traced=True)(_convert_function)


def adaptive(
    build: Any, call: Call, value: Any, sizes: tuple[int | None, ...], reduction: str
) -> Value | None:
    """Pooling to so many receivers on each axis: to one node by a `Readout`, else by the windows
    that tile the lattice.
    """
    if not isinstance(value, Value) or not isinstance(call.example, Tensor):
        return None
    value = build.read(value, "planes")
    if set(sizes) == {1}:
        layout = value.kept
        made = Layout((*layout.dims[:2], *((),) * len(sizes)), layout.domain)
        return build.apply(call.name, Readout(reduction), value, call.example, made)
    return build.apply(call.name, AdaptivePool(sizes, reduction), value, call.example)


def _each_or_none(value: Any, axes: int) -> tuple[int | None, ...]:
    if isinstance(value, tuple | list):
        return tuple(value)
    return (value,) * axes


class AdaptivePool(Layer):
    """Pool a lattice to given lengths, as `nn.AdaptiveAvgPool2d`: by windows that tile it where the
    lengths divide, else by windows that overlap.

    Args:
        sizes: the receivers of each axis; None for as many as senders.
        reduction: "mean" or "max".

    Raises:
        GeodlError: at the call, no lattice of so many axes; over a group, lengths that do not
            divide.
    """

    transparent = True

    def __init__(self, sizes: tuple[int | None, ...], reduction: str):
        super().__init__()
        self.sizes = sizes
        self.pool = Pool(window((1,) * len(sizes)), reduction)
        self.mean = Propagate(window((1,) * len(sizes)))

    def compute(self, receiver: Any, sender: Any, rule: Any) -> Any:
        """The pool over the windows that fit the signal."""
        lattice = receiver.domain.lattice
        if lattice is None or len(lattice) != len(self.sizes):
            found = f"{receiver.domain}"
            raise GeodlError(self.label, found, f"give a Grid of {len(self.sizes)} axes")
        reduction = self.pool.options.reduction
        steps = []
        for length, wanted in zip(lattice, self.sizes, strict=True):
            count = wanted or length
            if length % count and receiver.domain.fiber is not None:
                found = f"an axis of {length} over {receiver.domain.fiber}"
                raise GeodlError(self.label, found, f"give a multiple of {count} there")
            if length % count and reduction == "mean":
                return self.mean(receiver, rule=pooling_rule(self.sizes, reduction))
            if length % count:
                return self.pool(receiver, rule=pooling_rule(self.sizes, reduction))
            steps.append(length // count)
        rule = window(tuple(steps), stride=tuple(steps), padding="valid")
        return self.pool(receiver, rule=rule)

    def extra_repr(self) -> str:
        return f"{self.sizes}, {self.pool.options.reduction!r}"


@converts(AdaptivePool, back="torch", form="lengths")
def to_adaptive(layer: AdaptivePool, on: Domain | None) -> nn.Module:
    """A pool to given lengths as `nn.AdaptiveAvgPool2d` and the like."""
    axes, reduction = len(layer.sizes), layer.pool.options.reduction
    kinds = [kind for kind, how in ADAPTIVE.items() if how == reduction]
    kind: Any = kinds[axes - 1]
    # Rows take one number, the others one for each axis.
    sizes = layer.sizes[0] if axes == 1 else layer.sizes
    return kind(sizes).train(layer.training)


@converts(Propagate, back="torch", form="window(k, stride=k).reverse()")
def to_upsampling(layer: Propagate, on: Domain | None) -> nn.Module | None:
    """Sums over a reversed window that tiles the lattice, each of one sender, as
    `nn.Upsample`.
    """
    forward: Any = getattr(layer.rule, "rule", None)
    if getattr(forward, "size", None) is None or layer.rule.onto is not None:
        return None
    tiles = forward.size == forward.stride and not any(map(any, forward.padding))
    if not tiles or set(forward.dilation) != {1} or forward.group is not None:
        return None
    if forward.basis is not None:
        return None
    scales = tuple(float(k) for k in forward.size)
    return nn.Upsample(scale_factor=scales, mode="nearest").train(layer.training)
