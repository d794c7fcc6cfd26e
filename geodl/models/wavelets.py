"""The discrete wavelet transform of sequences and images: a window of stride 2 with fixed weights,
and the same window reversed.
"""

from dataclasses import replace

import torch
from torch import Tensor

from geodl.domain import Domain
from geodl.errors import GeodlError, positive
from geodl.layer import Conv
from geodl.layer.check import check_domain
from geodl.neighborhood import Neighborhood, wavelets, window


def wavelet_transform(
    name: str = "haar",
    axes: int = 2,
    *,
    channels: int = 1,
    periodic: bool = False,
    dtype: torch.dtype | None = None,
) -> Conv:
    """One level of the discrete wavelet transform, as a `Conv` whose weights do not learn.

    Each channel becomes 2^axes of them at half the length: low- and high-pass along each axis, the
    low-pass of all axes first. That one is transformed again for the next level. The window is
    orthonormal, so that energies add up and :func:`inverse_wavelet_transform` restores every
    signal (Daubechies, "Ten Lectures on Wavelets", 1992; Mallat 1989).

    Args:
        name: "haar", "db2", "db3" or "db4": with as many vanishing moments, twice as many taps.
        axes: 1 for chains and rows, 2 for images, 3 for volumes.
        channels: C of the signal.
        periodic: for axes that wrap, of even lengths at every level: then half as many coefficients
            as nodes. Else a few more at the border, where signals of any length are continued by
            zeros.
        dtype: of the weights; None for torch's default. `.double()` gives back no lost digits.

    Shapes: in `[B, N, C]`, out `[B, M, C 2^axes]`, the bands of one channel side by side.

    Raises:
        GeodlError: if the name is unknown, if there are not 1, 2 or 3 axes, or if `channels` is not
            a positive integer; at the call, if axes wrap and `periodic` is False, or the reverse,
            or if one that wraps has an odd length, at whose last node no window begins.

    >>> from geodl import Signal
    >>> image = Signal.image(torch.ones(1, 1, 4, 4))
    >>> y = wavelet_transform("haar")(image)
    >>> y.shape, [round(v, 4) for v in y.x[0, 0].tolist()]
    (torch.Size([1, 4, 4]), [2.0, 0.0, 0.0, 0.0])
    """
    rule = _rule(name, axes, periodic)
    bands = wavelets(name, axes).flatten(0, -2)  # [places, 2^d]
    count = positive(f"wavelet_transform({name!r}, channels={channels!r})", channels)
    layer = Conv(count, count * bands.shape[1], rule, bias=False, groups=count)
    # [T, 1, C 2^d]: the bands of each channel stand side by side.
    return _fixed(layer, bands[:, None].repeat(1, 1, count), dtype)


def inverse_wavelet_transform(
    name: str = "haar",
    axes: int = 2,
    *,
    onto: Domain,
    channels: int = 1,
    periodic: bool = False,
    dtype: torch.dtype | None = None,
) -> Conv:
    """The inverse of :func:`wavelet_transform`: its window reversed, with the same weights.

    Args:
        name: of the wavelet.
        axes: 1, 2 or 3, as in :func:`wavelet_transform`.
        onto: the domain that was transformed.
        channels: C of the signal that is restored.
        periodic: for axes that wrap, of even lengths.
        dtype: of the weights; None for torch's default.

    Shapes: in `[B, M, C 2^axes]`, out `[B, N, C]`.

    Raises:
        GeodlError: as :func:`wavelet_transform`; if `onto` is no domain, or has a periodic axis of
            odd length, at whose last node no window of stride 2 begins.

    >>> from geodl import Chain, Signal
    >>> s = Signal(torch.arange(5.0).view(1, 5, 1), Chain(5))
    >>> y = wavelet_transform("db2", 1)(s)
    >>> back = inverse_wavelet_transform("db2", 1, onto=Chain(5))(y).x.flatten()
    >>> back.round(decimals=4).tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0]
    """
    rule = _rule(name, axes, periodic)
    asked = f"inverse_wavelet_transform({name!r}, onto={onto})"
    check_domain(asked, onto)
    if periodic and any(n % 2 for n in onto.lattice or ()):
        raise GeodlError(asked, "a periodic axis of odd length", "use even lengths")
    bands = wavelets(name, axes).flatten(0, -2)  # [places, 2^d]
    count = positive(f"{asked} with channels={channels!r}", channels)
    layer = Conv(count * bands.shape[1], count, rule.reverse(onto=onto), bias=False, groups=count)
    return _fixed(layer, bands[:, :, None].repeat(1, 1, count), dtype)


def _rule(name: str, axes: int, periodic: bool) -> Neighborhood:
    *taps_by_axis, _ = wavelets(name, axes).shape
    taps, count = taps_by_axis[0], len(taps_by_axis)
    # Every window that touches the signal is there, for even lengths and odd ones; around an axis
    # that wraps, half as many as nodes are enough.
    if periodic:
        rule = window(taps, count, stride=2, padding=taps // 2 - 1)
        # Haar's window, without padding, would leave out the last node of an odd axis.
        return replace(rule, boundary="circular", tiled=True)
    rule = window(taps, count, stride=2, padding=((taps - 2, taps - 1),) * count)
    # On axes that wrap it would be another transform, which its reverse does not invert.
    return replace(rule, boundary="zeros")


def _fixed(layer: Conv, weight: Tensor, dtype: torch.dtype | None) -> Conv:
    """A layer with these weights, which do not learn."""
    layer.to(dtype or layer.weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight)
    return layer.requires_grad_(False)
