"""Transposed convolutions: the edges of a convolution, reversed."""

from typing import Any

from torch import nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.conv import even_padding, is_plain, place_weights
from geodl.interop.conversion import with_parameters
from geodl.interop.converters import converts
from geodl.interop.padding import check_domain, check_mode, with_mode
from geodl.interop.weights import of_transposed
from geodl.layer import Conv, Layer
from geodl.layer.check import check_no_sender, check_signal
from geodl.neighborhood import Neighborhood, window
from geodl.neighborhood.window import Window
from geodl.signal import Signal

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@converts(*TRANSPOSED, reads="planes")
def from_transposed(module: Any, on: Domain | None) -> Layer:
    """`nn.ConvTranspose1d/2d/3d`, weight `[C_in, C_out / groups, *kernel]`, as a `Conv` over a
    reversed window, weight `[K, C_in / groups, C_out]`.

    Receivers and senders change places: the window maps what the transposed convolution makes to
    what it reads. With `output_padding`, and without a domain, it is a `Lengthened` one.
    """
    asked = f"from_torch({module})"
    check_mode(asked, module.padding_mode)
    if on is not None and any(on.periodic):
        raise GeodlError(asked, f"on={on}", "torch transposes convolutions on bounded domains only")
    forward = window(
        module.kernel_size, stride=module.stride, dilation=module.dilation, padding=module.padding
    )
    forward = with_mode(forward, module.padding_mode)
    longer = any(module.output_padding)
    rule = forward.reverse()
    if longer and on is not None:
        rule = longer_reverse(asked, forward, module.output_padding, on)
    check_domain(asked, rule, on)
    layer = Conv(
        module.in_channels, module.out_channels, rule, module.bias is not None, on, module.groups
    )
    weight = of_transposed(module.weight, module.groups)
    layer = with_parameters(layer, module, weight=weight, bias=module.bias)
    if longer and on is None:
        return Lengthened(layer, module.output_padding).train(module.training)
    return layer


class Lengthened(Layer):
    """A transposed convolution onto a lattice that is longer than the least one: what
    `output_padding` of torch asks for, on a signal of any size.

    Args:
        conv: a `Conv` over a reversed window.
        extra: how much longer, for each axis.
    """

    transparent = True

    def __init__(self, conv: Conv, extra: tuple[int, ...]):
        super().__init__()
        self.conv = conv
        self.extra = extra

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The convolution onto the longer lattice of this signal."""
        check_no_sender(self, sender)
        domain = check_signal(self.conv, receiver).domain
        reverse: Any = self.conv.rule
        longer = longer_reverse(self.label, reverse.rule, self.extra, domain)
        return self.conv(receiver, rule=longer)

    def extra_repr(self) -> str:
        return f"extra={self.extra}"


def longer_reverse(
    asked: str, forward: Window, output_padding: tuple[int, ...], on: Domain
) -> Neighborhood:
    """The reversed window onto one of the sizes that the window maps to the input's.

    A window of stride s maps s lengths to one. torch takes the least of them, and adds.
    """
    least = forward.restores(on)
    assert least.lattice is not None
    if any(least.periodic):
        # An axis that wraps has one length that the window leads around.
        return forward.reverse(onto=least)
    lengths = tuple(n + extra for n, extra in zip(least.lattice, output_padding, strict=True))
    onto = least.replace(lengths)
    if forward.target(onto) != on:
        found = f"output_padding={output_padding}, nodes of {onto} that no edge reaches"
        raise GeodlError(asked, found, "use less than the stride")
    return forward.reverse(onto=onto)


@converts(Conv, back="torch", form="window(...).reverse()")
def to_transposed(layer: Conv, on: Domain | None) -> nn.Module | None:
    """The inverse of :func:`from_transposed`, filters on a basis written out."""
    if not is_plain(getattr(layer.rule, "rule", None), on_basis=True):
        return None
    asked = f"to_torch({layer.label})"
    rule: Any = layer.rule
    forward, onto = rule.rule, rule.onto
    padding = even_padding(forward)
    if padding is None:
        raise GeodlError(
            asked,
            f"padding {forward.padding}, which differs between the two sides",
            "torch pads both sides of transposed windows equally",
        )
    bounded = not any(domain is not None and any(domain.periodic) for domain in (on, onto))
    if forward.boundary == "circular" or not bounded:
        raise GeodlError(
            asked, "a periodic domain", "torch transposes convolutions on bounded domains only"
        )
    check_domain(asked, rule, on)
    kind: Any = TRANSPOSED[len(forward.size) - 1]
    twin = kind(
        layer.channels_in,
        layer.channels_out,
        forward.size,
        stride=forward.stride,
        padding=padding,
        output_padding=_output_padding(forward, onto),
        groups=layer.groups,
        bias=layer.bias is not None,
        dilation=forward.dilation,
    )
    weight = place_weights(layer, forward)
    weight = weight.unflatten(2, (layer.groups, -1)).permute(2, 1, 3, 0)
    weight = weight.flatten(0, 1).unflatten(2, forward.size)
    return with_parameters(twin, layer, weight=weight, bias=layer.bias)


@converts(Lengthened, back="torch", form="a reversed window")
def to_lengthened(layer: Lengthened, on: Domain | None) -> nn.Module | None:
    """A transposed convolution with `output_padding`."""
    twin: Any = to_transposed(layer.conv, on)
    if twin is not None:
        twin.output_padding = layer.extra
    return twin


def _output_padding(forward: Any, onto: Domain | None) -> tuple[int, ...]:
    """How much longer than the least length the named domain is."""
    if onto is None:
        return (0,) * len(forward.size)
    least = forward.restores(forward.target(onto))
    assert onto.lattice is not None
    return tuple(n - m for n, m in zip(onto.lattice, least.lattice, strict=True))
