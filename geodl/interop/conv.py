"""Linear layers, convolutions and transposed convolutions."""

from typing import Any, Literal

from torch import nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.base import with_parameters
from geodl.layer import Conv
from geodl.neighborhood import Neighborhood, itself, window

CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
Pairs = tuple[tuple[int, int], ...]


def from_linear(module: nn.Linear, on: Domain | None) -> Conv:
    """A linear layer is a convolution in which each node hears itself."""
    layer = Conv(module.in_features, module.out_features, itself(), module.bias is not None, on)
    return with_parameters(layer, module, weight=module.weight.T[None], bias=module.bias)


def from_conv(module: Any, on: Domain | None) -> Conv:
    """A convolution: one edge type for each offset of the kernel."""
    asked = f"from_torch({module})"
    _whole(asked, module)
    rule = window(
        module.kernel_size, stride=module.stride, dilation=module.dilation, padding=_padding(module)
    )
    hold_padding(asked, module.padding_mode, rule.padding, on)
    layer = Conv(module.in_channels, module.out_channels, rule, module.bias is not None, on)
    return with_parameters(
        layer, module, weight=module.weight.flatten(2).permute(2, 1, 0), bias=module.bias
    )


def from_transposed(module: Any, on: Domain | None) -> Conv:
    """A transposed convolution: the edges of the convolution, reversed."""
    asked = f"from_torch({module})"
    _whole(asked, module)
    if on is not None and any(on.periodic):
        raise GeodlError(asked, f"on={on}", "torch transposes convolutions on bounded domains only")
    rule = window(
        module.kernel_size, stride=module.stride, dilation=module.dilation, padding=module.padding
    )
    backwards = rule.reverse()
    if any(module.output_padding):
        if on is None:
            raise GeodlError(
                asked,
                f"output_padding={module.output_padding}",
                "name its input's domain with on=domain",
            )
        least = rule.restores(on)
        assert least.lattice is not None
        onto = least.replace(
            tuple(n + extra for n, extra in zip(least.lattice, module.output_padding, strict=True))
        )
        if rule.target(onto) != on:
            found = f"output_padding={module.output_padding}, nodes of {onto} that no edge reaches"
            raise GeodlError(asked, found, "use less than the stride")
        backwards = rule.reverse(onto=onto)
    layer = Conv(module.in_channels, module.out_channels, backwards, module.bias is not None, on)
    return with_parameters(
        layer, module, weight=module.weight.flatten(2).permute(2, 0, 1), bias=module.bias
    )


def to_conv(layer: Conv, on: Domain | None) -> nn.Module:
    """`nn.Linear`, a convolution or a transposed one, by the neighborhood."""
    rule = layer.rule
    if rule == itself():
        twin = nn.Linear(layer.channels_in, layer.channels_out, layer.bias is not None)
        return with_parameters(twin, layer, weight=layer.weight[0].T, bias=layer.bias)
    forward: Any = getattr(rule, "rule", rule)
    if not _plain(forward):
        advice = "itself(), window(...) and its reverse have twins"
        if "adjacency" in str(rule):
            advice = "to_pyg knows graph convolutions"
        raise GeodlError(
            f"to_torch({layer.label})", f"{rule}, which no torch.nn module computes", advice
        )
    return _to_window(layer, forward, on) if forward == rule else _to_transposed(layer, forward, on)


def _to_window(layer: Conv, rule: Any, on: Domain | None) -> nn.Module:
    asked, axes = f"to_torch({layer.label})", len(rule.size)
    padding: Any = tuple(low for low, _ in rule.padding)
    if rule.padding != tuple((low, low) for low in padding):
        if rule.padding != _centred(rule.size, rule.dilation) or set(rule.stride) != {1}:
            raise GeodlError(
                asked,
                f"padding {rule.padding}, unlike on both sides",
                "use nn.ZeroPad and a valid window",
            )
        padding = "same"
    twin: Any = CONVS[axes - 1](
        layer.channels_in,
        layer.channels_out,
        rule.size,
        stride=rule.stride,
        padding=padding,
        dilation=rule.dilation,
        bias=layer.bias is not None,
        padding_mode=padding_mode(asked, rule.padding, on),
    )
    weight = layer.weight.permute(2, 1, 0).unflatten(2, rule.size)
    return with_parameters(twin, layer, weight=weight, bias=layer.bias)


def _to_transposed(layer: Conv, rule: Any, on: Domain | None) -> nn.Module:
    asked, axes, onto = (
        f"to_torch({layer.label})",
        len(rule.size),
        getattr(layer.rule, "onto", None),
    )
    padding = tuple(low for low, _ in rule.padding)
    if rule.padding != tuple((low, low) for low in padding):
        raise GeodlError(
            asked,
            f"padding {rule.padding}, unlike on both sides",
            "torch pads transposed windows alike",
        )
    if any(domain is not None and any(domain.periodic) for domain in (on, onto)):
        raise GeodlError(
            asked, "a periodic domain", "torch transposes convolutions on bounded domains only"
        )
    extra: Any = (0,) * axes
    if onto is not None:
        least = rule.restores(rule.target(onto))
        extra = tuple(n - m for n, m in zip(onto.lattice, least.lattice, strict=True))
    twin: Any = TRANSPOSED[axes - 1](
        layer.channels_in,
        layer.channels_out,
        rule.size,
        stride=rule.stride,
        padding=padding,
        output_padding=extra,
        bias=layer.bias is not None,
        dilation=rule.dilation,
    )
    weight = layer.weight.permute(1, 2, 0).unflatten(2, rule.size)
    return with_parameters(twin, layer, weight=weight, bias=layer.bias)


def _whole(asked: str, module: Any) -> None:
    if module.groups != 1:
        raise GeodlError(
            asked,
            f"groups={module.groups}",
            "a Conv mixes all channels: convert one Conv for each group",
        )
    if module.padding_mode not in ("zeros", "circular"):
        found = f"padding_mode={module.padding_mode!r}, which invents values where no node is"
        raise GeodlError(asked, found, "use zeros, or circular on a periodic domain")


def _padding(module: Any) -> Pairs:
    if module.padding == "same":
        return _centred(module.kernel_size, module.dilation)
    return tuple(
        (p, p)
        for p in ((0,) * len(module.kernel_size) if module.padding == "valid" else module.padding)
    )


def _centred(size: tuple[int, ...], dilation: tuple[int, ...]) -> Pairs:
    """torch's "same": of an odd reach the longer half comes after."""
    reaches = [d * (k - 1) for k, d in zip(size, dilation, strict=True)]
    return tuple((reach // 2, reach - reach // 2) for reach in reaches)


def padding_mode(asked: str, padding: Pairs, on: Domain | None) -> Literal["zeros", "circular"]:
    """How a twin pads what wraps on a domain; where some axes wrap and others do not, it has no
    mode.
    """
    padded = (
        {wraps for wraps, pair in zip(on.periodic, padding, strict=False) if any(pair)}
        if on is not None
        else set()
    )
    if len(padded) > 1:
        raise GeodlError(asked, f"{on}, periodic on some axes only", "a twin pads all axes alike")
    return "circular" if padded == {True} else "zeros"


def hold_padding(asked: str, mode: str, padding: Pairs, on: Domain | None) -> None:
    """Refuse a domain on which a twin's padding would be another."""
    wanted = mode if any(map(any, padding)) else "zeros"
    if on is not None and padding_mode(asked, padding, on) != wanted:
        raise GeodlError(
            asked,
            f"on={on}",
            "zeros pads a bounded domain, circular a periodic one: Grid(..., periodic=True)",
        )


def _plain(rule: Neighborhood) -> bool:
    """Whether a rule is a window without a group."""
    r: Any = rule
    known = getattr(rule, "size", None) is not None
    return known and rule == window(
        r.size, stride=r.stride, dilation=r.dilation, padding=r.padding, exact=r.exact
    )
