"""Functions that the filters of a window are made of: sampled ones, Gabor functions, derivatives of
a Gaussian; circular harmonics stand in a file of their own.

A filter is a sum `h(o) = sum_t psi_t(o) W_t` over functions psi_t of the offset o from the window's
centre. The functions are data, the weights W_t are learned. A group turns a filter by turning its
functions, `(g psi)(o) = psi(g^-1 o)`: those that are given by a formula are turned first and
sampled then, those that are known at the window's places alone can only be carried from place to
place.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from geodl.errors import GeodlError, as_integer, nearest, positive

WAVELETS = {"haar": 1, "db2": 2, "db3": 3, "db4": 4}  # by name, the vanishing moments
ON_PLACES = 1e-9  # how far a point that was turned may lie from a place of the window


class FilterBasis(ABC):
    """Functions of the offset from a window's centre, in nodes along each axis.

    Attributes:
        is_scaled: whether windows scale the functions to norm 1; where not, they are taken as they
            were given.
    """

    is_scaled: ClassVar[bool] = True

    @abstractmethod
    def at(self, points: Tensor, size: tuple[int, ...]) -> Tensor:
        """The values of the T functions at points `[..., d]`, in float64: `[..., T]`.

        Args:
            points: offsets from the centre of the window.
            size: of the window.

        Raises:
            GeodlError: if the functions do not fit the window, or are not known at a point.
        """


@dataclass(frozen=True, repr=False)
class Sampled(FilterBasis):
    """Functions that are known at the places of a window, made by :func:`sampled`.

    Attributes:
        shape: `[*kernel, T]`.
        data: the values as bytes of float64, which are compared and hashed as one value.
    """

    shape: tuple[int, ...]
    data: bytes
    is_scaled: ClassVar[bool] = False

    def __repr__(self) -> str:
        return f"{self.shape[-1]} filters"

    def at(self, points: Tensor, size: tuple[int, ...]) -> Tensor:
        asked = f"a window of {size} on {self}"
        if self.shape[:-1] != size:
            found = f"values for a window of {self.shape[:-1]}"
            raise GeodlError(asked, found, "give a tensor [*kernel, T]")
        places = points + (torch.tensor(size) - 1) / 2
        nearest_place = places.round().long()
        inside = (nearest_place >= 0) & (nearest_place < torch.tensor(size))
        if not inside.all() or (places - nearest_place).abs().max() > ON_PLACES:
            found = "a group that moves places of the window off the others"
            raise GeodlError(asked, found, "use harmonics(), gabor() or gaussian_derivatives()")
        return self.values()[tuple(nearest_place.unbind(-1))]

    def values(self) -> Tensor:
        """The values, `[*kernel, T]` in float64."""
        return torch.from_numpy(np.frombuffer(self.data, dtype=np.float64).copy()).view(self.shape)


@dataclass(frozen=True, repr=False)
class Gabor(FilterBasis):
    """Waves under a Gaussian, made by :func:`gabor`, which explains the attributes."""

    orientations: int
    wavelengths: tuple[float, ...]
    width: float
    aspect: float

    def __repr__(self) -> str:
        numbers = f"{self.orientations}, {self.wavelengths}"
        return f"gabor({numbers}, width={self.width:g}, aspect={self.aspect:g})"

    def at(self, points: Tensor, size: tuple[int, ...]) -> Tensor:
        if len(size) != 2:
            asked = f"a window of {size} on {self}"
            raise GeodlError(asked, f"{len(size)} axes", "use a window of two axes")
        functions = []
        for wavelength in self.wavelengths:
            for k in range(self.orientations):
                angle = math.pi * k / self.orientations
                along = points @ points.new_tensor([math.sin(angle), math.cos(angle)])
                across = points @ points.new_tensor([math.cos(angle), -math.sin(angle)])
                squares = along.square() + (self.aspect * across).square()
                envelope = torch.exp(-squares / (2 * (self.width * wavelength) ** 2))
                phase = 2 * math.pi / wavelength * along
                functions += [envelope * torch.cos(phase), envelope * torch.sin(phase)]
        return torch.stack(functions, dim=-1)


@dataclass(frozen=True, repr=False)
class GaussianDerivatives(FilterBasis):
    """Derivatives of a Gaussian, made by :func:`gaussian_derivatives`, which explains the
    attributes.
    """

    order: int
    width: float

    def __repr__(self) -> str:
        return f"gaussian_derivatives({self.order}, width={self.width:g})"

    def at(self, points: Tensor, size: tuple[int, ...]) -> Tensor:
        scaled = points / self.width
        # The n-th derivative of exp(-u^2 / 2) is (-1)^n He_n(u) exp(-u^2 / 2), He_n the Hermite
        # polynomials of probability: He_(n+1) = u He_n - n He_(n-1).
        hermite = [torch.ones_like(scaled), scaled]
        for n in range(1, self.order):
            hermite.append(scaled * hermite[n] - n * hermite[n - 1])
        envelope = torch.exp(-scaled.square().sum(-1) / 2)
        functions = []
        for orders in _multi_indices(len(size), self.order):
            value = envelope
            for axis, n in enumerate(orders):
                value = value * (-1) ** n * hermite[n][..., axis]
            functions.append(value)
        return torch.stack(functions, dim=-1)


def sampled(asked: str, values: Any) -> Sampled:
    """A basis of given values `[*kernel, T]`.

    Args:
        asked: what the caller asked for, the beginning of the error.
        values: a tensor of real, finite numbers.

    Raises:
        GeodlError: if it is anything else, or learns.
    """
    if not isinstance(values, Tensor):
        found = f"basis={values!r}"
        raise GeodlError(asked, found, "give a tensor [*kernel, T], or a basis as g.harmonics()")
    if values.requires_grad:
        do = "register a parametrization of Conv.weight, or detach it"
        raise GeodlError(asked, "a basis that requires a gradient", do)
    if values.is_complex() or values.dtype == torch.bool or values.layout != torch.strided:
        found = f"a basis of {values.dtype}, {values.layout}"
        raise GeodlError(asked, found, "give a dense tensor of real numbers")
    numbers = values.to("cpu", torch.float64).contiguous()
    if values.dim() < 2 or numbers.numel() == 0:
        found = f"a basis of shape {tuple(values.shape)}"
        raise GeodlError(asked, found, "give values [*kernel, T]")
    if not bool(torch.isfinite(numbers).all()):
        raise GeodlError(asked, "a basis with NaN or infinite values", "give finite values")
    if not bool(numbers.flatten(0, -2).any(0).all()):
        raise GeodlError(asked, "a function that is 0 at every place", "leave it out")
    return Sampled(tuple(values.shape), numbers.numpy().tobytes())


def gabor(
    orientations: int = 8,
    wavelengths: tuple[float, ...] = (4.0,),
    *,
    width: float = 0.56,
    aspect: float = 0.5,
) -> Gabor:
    """Gabor functions `exp(-(u^2 + aspect^2 v^2) / 2 s^2) e^(2 pi i u / wavelength)`, real and
    imaginary parts, for each wavelength and orientation; u and v are the offset's coordinates along
    and across the wave, s = width * wavelength (Daugman, "Uncertainty relation for resolution in
    space, spatial frequency, and orientation", 1985).

    Args:
        orientations: n; the waves run at 0, 180 / n, 2 * 180 / n, ... degrees.
        wavelengths: in nodes.
        width: the deviation along the wave, in wavelengths; 0.56 is a bandwidth of one octave.
        aspect: the deviation along the wave by that across it.

    Raises:
        GeodlError: if a number is not positive.

    >>> from geodl.neighborhood import window
    >>> window(5, basis=gabor(orientations=4)).num_edge_types
    8
    """
    asked = f"gabor({orientations!r}, {wavelengths!r}, width={width!r}, aspect={aspect!r})"
    lengths = wavelengths if isinstance(wavelengths, tuple | list) else (wavelengths,)
    if not lengths:
        raise GeodlError(asked, "no wavelengths", "give at least one")
    checked = tuple(positive_number(asked, length) for length in lengths)
    ratios = positive_number(asked, width), positive_number(asked, aspect)
    return Gabor(positive(asked, orientations), checked, *ratios)


def gaussian_derivatives(order: int = 2, *, width: float = 0.8) -> GaussianDerivatives:
    """A Gaussian and its partial derivatives up to an order, on any number of axes: the local jet
    (Koenderink and van Doorn 1987; Jacobsen et al., "Structured Receptive Fields in CNNs", 2016).

    Args:
        order: of the highest derivatives.
        width: the Gaussian's deviation, in nodes.

    Raises:
        GeodlError: if a number is not positive.

    >>> from geodl.neighborhood import window
    >>> window(5, basis=gaussian_derivatives(2)).num_edge_types  # 1, d/dx, d/dy, and three more
    6
    """
    asked = f"gaussian_derivatives({order!r}, width={width!r})"
    return GaussianDerivatives(positive(asked, order), positive_number(asked, width))


def wavelets(name: str = "haar", axes: int = 2) -> Tensor:
    """The low- and high-pass filters of a discrete wavelet along each axis, the low-pass of all
    axes first: `[2 p, ..., 2 p, 2^axes]` in float64 for p vanishing moments, orthonormal.

    Args:
        name: "haar", "db2", "db3" or "db4".
        axes: 1, 2 or 3.

    Raises:
        GeodlError: if the name is unknown, or `axes` is not 1, 2 or 3.

    >>> from geodl.neighborhood import window
    >>> window(2, stride=2, basis=wavelets("haar")).num_edge_types
    4
    """
    asked = f"wavelets({name!r}, {axes!r})"
    # A list, which has no hash, cannot be looked up.
    if not isinstance(name, str) or name not in WAVELETS:
        raise GeodlError(asked, "no such wavelet", nearest(str(name), WAVELETS))
    count = as_integer(axes)
    if count not in (1, 2, 3):
        raise GeodlError(asked, f"{axes!r} axes", "give 1, 2 or 3")
    low = daubechies(WAVELETS[name])
    # The high-pass is the low-pass backwards with every second sign changed.
    signs = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(len(low) // 2)
    both = torch.stack((low, signs * low.flip(0)), dim=1)
    bands = both
    for _ in range(count - 1):
        bands = torch.kron(bands, both)
    return bands.unflatten(0, (len(low),) * count)


def daubechies(moments: int) -> Tensor:
    """The low-pass filter with 2 p taps and p vanishing moments, of norm 1: `[2 p]`, float64.

    `|H|^2 = 2 cos^(2p)(w / 2) P(sin^2(w / 2))` with `P(y) = sum_(k < p) C(p - 1 + k, k) y^k` is
    orthonormal to its shifts by 2. A root y of P is a pair z, 1/z of roots of H by `y = (2 - z -
    1/z) / 4`; taking those inside the unit circle gives the filter of least delay.
    """
    coefficients = [math.comb(moments - 1 + k, k) for k in range(moments)]
    taps = np.array([1.0])
    for _ in range(moments):
        taps = np.convolve(taps, [1.0, 1.0])
    for y in np.roots(coefficients[::-1]):
        pair = np.roots([1.0, 4 * y - 2, 1.0])
        inside = pair[np.argmin(np.abs(pair))]
        taps = np.convolve(taps, [1.0, -inside])
    real = torch.from_numpy(np.real(taps).copy())
    return real * math.sqrt(2) / real.sum()


@lru_cache(maxsize=64)
def _multi_indices(axes: int, order: int) -> list[tuple[int, ...]]:
    """The orders of partial derivatives along each axis, lowest sums first."""
    indices: list[tuple[int, ...]] = [()]
    for _ in range(axes):
        indices = [(*index, n) for index in indices for n in range(order + 1)]
    return sorted((index for index in indices if sum(index) <= order), key=sum)


def positive_number(asked: str, value: Any) -> float:
    """A positive number as a float, or the error."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value < math.inf:
        raise GeodlError(asked, f"the number {value!r}", "give positive numbers")
    return float(value)
