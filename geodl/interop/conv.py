"""Convolutions: a window with one edge type for each offset of the kernel."""

import copy
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.borders import padded
from geodl.interop.conversion import with_parameters
from geodl.interop.converters import converts
from geodl.interop.padding import centred, check_domain, check_mode, mode_of, padding_of, with_mode
from geodl.interop.weights import of_convolution
from geodl.interop.whole.values import Call, Value
from geodl.layer import Conv
from geodl.neighborhood import itself, window

# Modes that put copies of nodes beyond the border.
COPYING = ("reflect", "replicate")
CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@converts(*CONVS, reads="planes")
def from_conv(module: Any, on: Domain | None) -> Conv:
    """`nn.Conv1d/2d/3d`, weight `[C_out, C_in / groups, *kernel]`, as a `Conv` over `window(...)`,
    weight `[K, C_in / groups, C_out]`.
    """
    asked = f"from_torch({module})"
    check_mode(asked, module.padding_mode)
    rule = window(
        module.kernel_size,
        stride=module.stride,
        dilation=module.dilation,
        padding=padding_of(module),
    )
    rule = with_mode(rule, module.padding_mode)
    check_domain(asked, rule, on)
    layer = Conv(
        module.in_channels, module.out_channels, rule, module.bias is not None, on, module.groups
    )
    weight = of_convolution(module.weight)
    return with_parameters(layer, module, weight=weight, bias=module.bias)


@converts(*CONVS, traced=True)
def convert_conv(build: Any, call: Call) -> Any:
    """A convolution of one place on one node, as those behind global pooling, which reads no
    lattice; one whose padding copies values, as the padding and a convolution without.

    None of any other one, which is a layer as it stands.
    """
    module: Any = call.module
    (value,) = call.args
    if not isinstance(value, Value) or value.layout is None:
        return None
    if module.padding_mode in COPYING:
        return _with_copied_border(build, call, value)
    dims = value.kept.dims
    if value.kept.channel_dim() != 1 or any(dims[2:]) or value.on.domain.num_nodes != 1:
        return None
    moves = (*module.kernel_size, *module.stride)
    if set(moves) != {1} or any(map(any, padding_of(module))):
        return None
    layer = build.once(module, from_conv_of_one)
    return build.apply(call.name, layer, value, call.example)


def _with_copied_border(build: Any, call: Call, value: Value) -> Value | None:
    module: Any = call.module
    pad, mode = list(module._reversed_padding_repeated_twice), module.padding_mode
    value = build.read(value, "planes")
    example = F.pad(value.tensor, pad, mode)
    wide = padded(build, f"{call.name}_padding", value, pad, mode, example)
    layer = build.once(module, from_unpadded_conv)
    return build.apply(call.name, layer, wide, call.example)


def from_unpadded_conv(module: Any, on: Domain | None) -> Conv:
    """A convolution without its padding."""
    twin = copy.copy(module)
    twin.padding, twin.padding_mode = (0,) * len(module.kernel_size), "zeros"
    return from_conv(twin, None)


def from_conv_of_one(module: Any, on: Domain | None) -> Conv:
    """A convolution of one place as one over the node itself."""
    return from_conv(module, None).over(itself())


@converts(Conv, back="torch", form="window(...)")
def to_conv(layer: Conv, on: Domain | None) -> nn.Module | None:
    """The inverse of :func:`from_conv`; of a window on a basis with its filters written out, which
    learn as they are from then on.
    """
    if not is_plain(layer.rule, on_basis=True):
        return None
    asked = f"to_torch({layer.label})"
    rule: Any = layer.rule
    kind: Any = CONVS[len(rule.size) - 1]
    twin = kind(
        layer.channels_in,
        layer.channels_out,
        rule.size,
        stride=rule.stride,
        padding=padding_to(asked, rule),
        dilation=rule.dilation,
        groups=layer.groups,
        bias=layer.bias is not None,
        padding_mode=mode_of(asked, rule, on),
    )
    weight = place_weights(layer, rule).permute(2, 1, 0).unflatten(2, rule.size)
    return with_parameters(twin, layer, weight=weight, bias=layer.bias)


def place_weights(layer: Conv, rule: Any) -> Tensor:
    """The weight of each place of a window, `[K, C_in / groups, C_out]`: a layer's own, or sums of
    its over a basis.
    """
    if rule.basis is None:
        return layer.weight
    values = rule.bank().basis[0, 0].to(layer.weight)
    weight = torch.einsum("kt,tio->kio", values, layer.weight).detach()
    return weight.requires_grad_(layer.weight.requires_grad)


def is_plain(rule: Any, on_basis: bool = False) -> bool:
    """Whether a rule is a window without a group; one on a basis only where that is asked for."""
    if getattr(rule, "size", None) is None:
        return False
    same = window(
        rule.size,
        stride=rule.stride,
        dilation=rule.dilation,
        padding=rule.padding,
        exact=rule.exact,
    )
    if on_basis:
        same = replace(same, basis=rule.basis)
    return replace(same, boundary=rule.boundary, tiled=rule.tiled) == rule


def check_one_group(asked: str, layer: Conv) -> None:
    """Refuse a layer whose filters read some of the channels only."""
    if layer.groups != 1:
        do = "the twin mixes all channels: convert one Conv for each group"
        raise GeodlError(asked, f"groups={layer.groups}", do)


def even_padding(rule: Any) -> tuple[int, ...] | None:
    """One number for each axis where a window is padded equally on both sides, else None."""
    if any(low != high for low, high in rule.padding):
        return None
    return tuple(low for low, _ in rule.padding)


def padding_to(asked: str, rule: Any) -> str | tuple[int, ...]:
    """The padding of a window as torch names it."""
    padding = even_padding(rule)
    if padding is not None:
        return padding
    if rule.padding == centred(rule.size, rule.dilation) and set(rule.stride) == {1}:
        return "same"
    raise GeodlError(
        asked,
        f"padding {rule.padding}, which differs between the two sides",
        "use nn.ZeroPad and a valid window",
    )
