"""Padding, upsampling, pixel shuffles and windows of models, as layers over a lattice."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from geodl.interop.by_lengths import padded_by_lengths, resized_by_lengths
from geodl.interop.converters import converts
from geodl.interop.padding import with_mode
from geodl.interop.resampling import PADDINGS, padding_rule, resizing_rule, slicing_rule
from geodl.interop.whole.layout import Atom, Axis, Layout
from geodl.interop.whole.values import Call, Length, Size, Value
from geodl.layer import Layer, Propagate
from geodl.layer.check import check_no_sender, check_signal
from geodl.neighborhood import Neighborhood, window

MODES = {"Reflection": "reflect", "Replication": "replicate", "Zero": "constant"}
MODES |= {"Constant": "constant", "Circular": "circular"}
PADS = []
for _prefix in MODES:
    for _axes in (1, 2, 3):
        PADS.append(getattr(nn, f"{_prefix}Pad{_axes}d"))


@converts(F.pad, *PADS, traced=True)
def convert_pad(build: Any, call: Call) -> Any:
    """`F.pad(x, (left, right, top, bottom), mode)` along a lattice: edges to mirrored, clamped or
    opposite nodes, none where zeros are padded.
    """
    if call.module is not None:
        module: Any = call.module
        value, pad = call.args[0], module.padding
        mode = MODES[type(module).__name__[:-5]]
        fill = getattr(module, "value", 0)
    else:
        names = ("input", "pad", "mode", "value")
        value, pad, mode, fill = call.given(*names, mode="constant", value=None)
    if mode not in PADDINGS or not isinstance(pad, tuple | list) or not isinstance(value, Value):
        return None
    if not all(type(one) is int for one in pad):
        return padded_by_lengths(build, call, value, list(pad), mode, fill)
    return padded(build, call.name, value, list(pad), mode, call.example, fill or 0.0)


def padded(
    build: Any,
    name: str,
    value: Value,
    pad: list[int],
    mode: str,
    example: Any,
    fill: float = 0.0,
) -> Value | None:
    """A value padded as torch says it: the last axis first, before and after."""
    axes = value.tensor.dim() - 2
    pairs = [(pad[k], pad[k + 1]) for k in range(0, len(pad), 2)]
    if len(pairs) > axes or axes < 1:
        return None
    pairs += [(0, 0)] * (axes - len(pairs))
    part: Any = Propagate(padding_rule(pairs[::-1], mode))
    if fill:
        part = FilledPadding(part.rule, fill)
    return build.apply(name, part, build.read(value, "planes"), example)


def cut_nodes(build: Any, call: Call, value: Value, parts: list[Any]) -> Value | None:
    """`x[:, :, 1:-1, ::2]`: some nodes of a lattice, a slice along each of its axes."""
    layout = value.kept
    if layout.num_axes == 0 or not layout.is_plain():
        return None
    slices: list[Any] = [(None, None, None)] * layout.num_axes
    for dim, part in zip(layout.dims, parts, strict=False):
        if part == slice(None):
            continue
        if len(dim) != 1 or dim[0].kind != "node" or not isinstance(part, slice):
            return None
        ends = (part.start, part.stop, part.step)
        if not all(end is None or type(end) is int for end in ends):
            return None
        slices[dim[0].place] = ends
    return build.apply(call.name, Propagate(slicing_rule(slices)), value, call.example)


class FilledPadding(Layer):
    """A lattice padded with a number: what receives from no node has it.

    Args:
        rule: of a padding.
        fill: the number.
    """

    transparent = True

    def __init__(self, rule: Neighborhood, fill: float):
        super().__init__()
        self.pad = Propagate(rule)
        self.fill = fill

    def compute(self, receiver: Any, sender: Any, rule: Any) -> Any:
        """The wider signal."""
        check_no_sender(self, sender)
        signal = check_signal(self, receiver)
        ones = signal.x.new_ones(1, signal.domain.num_nodes, 1)
        wide, reached = self.pad(signal), self.pad(signal.with_x(ones))
        return wide.with_x(torch.where(reached.x > 0, wide.x, self.fill))

    def extra_repr(self) -> str:
        return f"fill={self.fill:g}"


@converts(nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d, F.interpolate, traced=True)
def convert_upsampling(build: Any, call: Call) -> Any:
    """Resizing a lattice. By nearest neighbors and integers each node of a block receives from its
    sender; else each node receives from those around its place, with torch's weights.
    """
    if call.module is not None:
        module: Any = call.module
        value, size, scale, mode = call.args[0], module.size, module.scale_factor, module.mode
        options = {"align_corners": module.align_corners}
        options["recompute"] = bool(module.recompute_scale_factor)
    else:
        names = ("input", "size", "scale_factor", "mode", "align_corners")
        others = ("recompute_scale_factor", "antialias")
        value, size, scale, mode, corners, recompute, smooth = call.given(
            *names,
            *others,
            size=None,
            scale_factor=None,
            mode="nearest",
            align_corners=None,
            **dict.fromkeys(others),
        )
        options = {"align_corners": corners, "recompute": bool(recompute)}
        options["antialias"] = bool(smooth)
    if not isinstance(value, Value):
        return None
    axes = value.tensor.dim() - 2
    sizes, factors = _each(size, axes), _each(scale, axes)
    if any(isinstance(one, Size | Length) for one in sizes):
        return resized_by_lengths(build, call, value, sizes, mode, options)
    if not all(type(one) in (int, type(None)) for one in sizes):
        return None
    whole = all(one is not None and one >= 1 and one == int(one) for one in factors)
    if mode == "nearest" and whole and size is None:
        steps = tuple(int(one) for one in factors if one is not None)
        tiles = window(steps, stride=steps, padding="valid")
        rule: Any = with_mode(tiles, "zeros").reverse()
    else:
        rule = resizing_rule(sizes, tuple(map(_as_float, factors)), mode, **options)
    return build.apply(call.name, Propagate(rule), build.read(value, "planes"), call.example)


def _as_float(factor: Any) -> float | None:
    """A factor as a float; None stays None."""
    if factor is None:
        return None
    return float(factor)


def _each(value: Any, axes: int) -> tuple[Any, ...]:
    if isinstance(value, tuple | list):
        return tuple(value)
    return (value,) * axes


@converts(nn.PixelShuffle, F.pixel_shuffle, torch.pixel_shuffle, traced=True)
def convert_pixel_shuffle(build: Any, call: Call) -> Any:
    """`[B, C r r, H, W]` as `[B, C, H r, W r]`: channels become places on a finer lattice."""
    if call.module is not None:
        module: Any = call.module
        value, factor = call.args[0], module.upscale_factor
    else:
        value, factor = call.given("input", "upscale_factor")
    if not isinstance(value, Value) or value.tensor.dim() != 4:
        return None
    value = build.read(value, "planes")
    return _shuffled(build, call, value, factor)


@converts(nn.PixelUnshuffle, F.pixel_unshuffle, torch.pixel_unshuffle, traced=True)
def convert_pixel_unshuffle(build: Any, call: Call) -> Any:
    """`[B, C, H r, W r]` as `[B, C r r, H, W]`: places of a finer lattice become channels."""
    if call.module is not None:
        module: Any = call.module
        value, factor = call.args[0], module.downscale_factor
    else:
        value, factor = call.given("input", "downscale_factor")
    if not isinstance(value, Value) or value.tensor.dim() != 4:
        return None
    value = build.read(value, "planes")
    # Type by type, the places of a window side by side are the channels in torch's order but for
    # which comes first.
    rule = with_mode(window((factor,) * 2, stride=(factor,) * 2, padding="valid"), "zeros")
    batch, channels, *lattice = _of_windows(value, factor**2)
    made = Layout((batch, channels, *lattice), value.kept.domain)
    return build.apply(call.name, Propagate(rule, join="concat"), value, call.example, made)


def _of_windows(value: Value, places: int) -> tuple[Axis, ...]:
    """The axes of an image's windows, whose places stand beside each other as channels."""
    batch, _, *lattice = value.kept.dims
    parts = (Atom("channel", 0, places), Atom("channel", 1, value.kept.num_channels))
    return (batch, (parts[1], parts[0]), *lattice)


@converts(nn.Unfold, F.unfold, traced=True)
def convert_unfold(build: Any, call: Call) -> Any:
    """`F.unfold(x, size)`: what each window reads as channels of its place, the places in a row."""
    if call.module is not None:
        module: Any = call.module
        value, size = call.args[0], module.kernel_size
        apart, padding, stride = module.dilation, module.padding, module.stride
    else:
        names = ("input", "kernel_size", "dilation", "padding", "stride")
        value, size, apart, padding, stride = call.given(*names, dilation=1, padding=0, stride=1)
    if not isinstance(value, Value) or value.tensor.dim() != 4:
        return None
    value = build.read(value, "planes")
    sizes = _each(size, 2)
    pairs = tuple((before, before) for before in _each(padding, 2))
    rule = window(sizes, stride=_each(stride, 2), dilation=_each(apart, 2), padding=pairs)
    batch, channels, rows, columns = _of_windows(value, math.prod(sizes))
    made = Layout((batch, channels, (*rows, *columns)), value.kept.domain)
    part = Propagate(with_mode(rule, "zeros"), join="concat")
    return build.apply(call.name, part, value, call.example, made)


@converts(nn.ChannelShuffle, F.channel_shuffle, torch.channel_shuffle, traced=True)
def convert_channel_shuffle(build: Any, call: Call) -> Any:
    """Groups of channels interleaved: another order of reading, and no number is changed."""
    if call.module is not None:
        value, groups = call.args[0], getattr(call.module, "groups", 0)
    else:
        value, groups = call.given("input", "groups")
    if not isinstance(value, Value):
        return None
    value = build.read(value, "second")
    layout = value.kept.merged()
    axis = layout.dims[1]
    if len(axis) != 1:
        return None
    split = layout.with_split(axis[0], (groups, axis[0].size // groups))
    group, inner = split.dims[1]
    return value.read_as(split.with_dim(1, (inner, group)), call.example)


def _shuffled(build: Any, call: Call, value: Value, factor: int) -> Value | None:
    """The finer lattice, read from the coarse one with its channels in three parts."""
    batch, channels, height, width = value.kept.merged().dims
    if len(channels) != 1:
        return None
    (all_of,) = channels
    split = value.kept.merged().with_split(all_of, (all_of.size // factor**2, factor, factor))
    kept, rows, columns = split.channels
    read = Layout(((batch[0],), (kept,), (*height, rows), (*width, columns)), split.domain)
    made = Layout(((batch[0],), (Atom("channel", 0, kept.size),), height, width), split.domain)
    return build.rearrange(value.read_as(read, call.example), made)
