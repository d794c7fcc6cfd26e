"""Functions of frequency for filters: heat, band-pass, and the wavelets of graphs.

Each is a module whose numbers are parameters, so that a `Filter` learns them. A frequency is an
eigenvalue of a Laplacian, from 0 up.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from geodl.errors import GeodlError, as_integer, is_real


class Heat(nn.Module):
    """`exp(-t lambda)`, made by :func:`heat`; the parameter is `time`."""

    def __init__(self, time: float):
        super().__init__()
        self.time = nn.Parameter(torch.tensor(time))

    def forward(self, frequency: Tensor) -> Tensor:
        return torch.exp(-self.time * frequency)


class BandPass(nn.Module):
    """`exp(-(lambda - c)^2 / (2 w^2))`, made by :func:`band_pass`; the parameters are `center` and
    `width`.
    """

    def __init__(self, center: float, width: float):
        super().__init__()
        self.center = nn.Parameter(torch.tensor(center))
        self.width = nn.Parameter(torch.tensor(width))

    def forward(self, frequency: Tensor) -> Tensor:
        return torch.exp(-(((frequency - self.center) / self.width) ** 2) / 2)


class MexicanHat(nn.Module):
    """`s lambda exp(-s lambda)`, made by :func:`mexican_hat`; the parameter is `scale`."""

    def __init__(self, scale: float):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, frequency: Tensor) -> Tensor:
        return self.scale * frequency * torch.exp(-self.scale * frequency)


class Meyer(nn.Module):
    """One band of Meyer's partition of the frequencies, made by :func:`meyer`; without parameters.

    Attributes:
        low: where it begins to rise; None of the lowest band.
        high: where it begins to fall; None of the highest.
    """

    def __init__(self, low: float | None, high: float | None):
        super().__init__()
        self.low, self.high = low, high

    def forward(self, frequency: Tensor) -> Tensor:
        y = torch.ones_like(frequency)
        if self.low is not None:
            y = y * torch.sin(math.pi / 2 * _step(frequency / self.low - 1))
        if self.high is not None:
            y = y * torch.cos(math.pi / 2 * _step(frequency / self.high - 1))
        return y

    def extra_repr(self) -> str:
        return f"{self.low}, {self.high}"


def heat(time: float) -> Heat:
    """The response of heat flow, `exp(-t lambda)`: the solution of `dx/dt = -L x` at time t.

    Args:
        time: t.

    Raises:
        GeodlError: if the time is not a positive finite number.

    >>> [round(y, 4) for y in heat(0.5)(torch.tensor([0.0, 2.0])).tolist()]
    [1.0, 0.3679]
    """
    return Heat(_positive("heat", "time", time))


def band_pass(center: float, width: float) -> BandPass:
    """A bell over the frequencies about one: `exp(-(lambda - c)^2 / (2 w^2))`.

    Args:
        center: c, the frequency that passes whole.
        width: w, the distance from c at which the response has fallen to 0.61.

    Raises:
        GeodlError: if the centre is negative, the width not positive, or one not finite.

    >>> [round(y, 4) for y in band_pass(1.0, 0.5)(torch.tensor([0.0, 1.0])).tolist()]
    [0.1353, 1.0]
    """
    if not is_real(center) or not 0 <= center < math.inf:
        raise GeodlError(f"band_pass(center={center!r})", do="give a number from 0")
    return BandPass(float(center), _positive("band_pass", "width", width))


def mexican_hat(scale: float) -> MexicanHat:
    """The wavelet `s lambda exp(-s lambda)` of a scale: the heat flow's derivative, on a line the
    second derivative of a Gaussian (Hammond, Vandergheynst, Gribonval, "Wavelets on Graphs via
    Spectral Graph Theory", 2011).

    Args:
        scale: s; the response is largest, 1 / e, at the frequency 1 / s.

    Raises:
        GeodlError: if the scale is not a positive finite number.

    >>> [round(y, 4) for y in mexican_hat(2.0)(torch.tensor([0.0, 0.5])).tolist()]
    [0.0, 0.3679]
    """
    return MexicanHat(_positive("mexican_hat", "scale", scale))


def meyer(scales: int, highest: float = 2.0) -> tuple[Meyer, ...]:
    """Meyer's wavelets: bands of frequencies, each twice as wide as the one below, whose squares
    add up to 1. Filters of all of them keep the energy of a signal (a tight frame; Leonardi and Van
    De Ville, "Tight Wavelet Frames on Multislice Graphs", 2013).

    Args:
        scales: how many wavelets; one low-pass band comes before them.
        highest: the largest eigenvalue: 2 under the norms "sym" and "rw".

    Returns:
        The bands, lowest first: `scales + 1` of them.

    Raises:
        GeodlError: if `scales` is not a positive integer, or `highest` not a positive number.

    >>> bands = meyer(3)
    >>> f = torch.linspace(0, 2, 5)
    >>> torch.stack([band(f) ** 2 for band in bands]).sum(0).round(decimals=4).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    count = as_integer(scales)
    if count is None or count < 1:
        raise GeodlError(f"meyer(scales={scales!r})", do="give a positive integer")
    top = _positive("meyer", "highest", highest)
    # Band j rises from b_j to 2 b_j and falls from b_(j+1) = 2 b_j on; the highest one has risen
    # at 2/3 of the largest eigenvalue, as Meyer's own has.
    edges = [top / 3 / 2**j for j in reversed(range(count))]
    bands = [Meyer(None, edges[0])]
    for j, low in enumerate(edges):
        high = None
        if j + 1 < count:
            high = edges[j + 1]
        bands.append(Meyer(low, high))
    return tuple(bands)


def _step(t: Tensor) -> Tensor:
    """Meyer's smooth step from 0 at t = 0 to 1 at t = 1: `t^4 (35 - 84 t + 70 t^2 - 20 t^3)`, whose
    values at t and 1 - t add up to 1.
    """
    t = t.clamp(0, 1)
    return t**4 * (35 - 84 * t + 70 * t**2 - 20 * t**3)


def _positive(name: str, key: str, number: Any) -> float:
    if not is_real(number) or not 0 < number < math.inf:
        raise GeodlError(f"{name}({key}={number!r})", do="give a positive number")
    return float(number)
