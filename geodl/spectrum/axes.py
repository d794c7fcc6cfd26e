"""Fourier transforms along one axis of a box: rings by FFT, paths by cosines, all else by a matrix.

Each is orthonormal. `forward` gives the coefficients of values, `x^_k = sum_i conj(u_k(i)) x_i`,
`backward` the values of coefficients, `x_i = sum_k u_k(i) x^_k`, along one dimension of a tensor;
real transforms take complex values, part by part.

* "fft", a ring of n nodes: `u_k(i) = exp(2 pi j k i / n) / sqrt(n)`, the DFT.
* "dct-ii", a path of n nodes: `u_k(i) = s_k cos(pi k (2 i + 1) / (2 n))` (Strang, "The Discrete
  Cosine Transform", 1999): the modes of `D - A`.
* "dct-i", a path of n nodes: `u_k(i) = r_i r_k cos(pi k i / (n - 1)) / sqrt(2 (n - 1))` with r = 1
  at both ends and sqrt(2) between: the modes of `I - D^-1/2 A D^-1/2`, as r^2 are the degrees.
* "eigh", any graph: columns u_k that are given, eigenvectors of a dense or sparse solver.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Axis(NamedTuple):
    """One axis of a box of nodes, and how it is transformed.

    Attributes:
        kind: a key of `TRANSFORMS`.
        length: n, of nodes.
        twiddle: of an "fft", factors `[m_1, ..., m_j]` on the values before the DFT along the last
            of these axes, where those before hold frequencies already; None for ones.
        vectors: of an "eigh", its columns `[n, K]`, real; None of all others.
    """

    kind: str
    length: int
    twiddle: Tensor | None = None
    vectors: Tensor | None = None


def forward(axis: Axis, x: Tensor, dim: int) -> Tensor:
    """The coefficients of values along one dimension."""
    return TRANSFORMS[axis.kind][0](axis, x, dim)


def backward(axis: Axis, x: Tensor, dim: int) -> Tensor:
    """The values of coefficients along one dimension."""
    return TRANSFORMS[axis.kind][1](axis, x, dim)


def _fft_forward(axis: Axis, x: Tensor, dim: int) -> Tensor:
    if axis.twiddle is not None:
        x = x * _beside(axis.twiddle, x, dim)
    return torch.fft.fft(x, dim=dim, norm="ortho")


def _fft_backward(axis: Axis, x: Tensor, dim: int) -> Tensor:
    x = torch.fft.ifft(x, dim=dim, norm="ortho")
    if axis.twiddle is not None:
        x = x * _beside(axis.twiddle, x, dim).conj()
    return x


def _beside(twiddle: Tensor, x: Tensor, dim: int) -> Tensor:
    """Factors `[m_1, ..., m_j]` as they multiply the dimensions 1 to j of x, in its precision."""
    behind = (1,) * (x.dim() - dim - 1)
    wide = torch.promote_types(x.dtype, torch.complex64)
    return twiddle.reshape(*twiddle.shape, *behind).to(wide)


def _dct2_forward(axis: Axis, x: Tensor, dim: int) -> Tensor:
    """The DCT-II by one FFT of n numbers (Makhoul 1980): even places, then odd ones from behind.

    With `v = (x_0, x_2, x_4, ..., x_5, x_3, x_1)` and V its DFT, the sum of `x_i cos(pi k (2 i + 1)
    / (2 n))` is the real part of `exp(-pi j k / (2 n)) V_k`.
    """
    if x.is_complex():
        return _by_parts(_dct2_forward, axis, x, dim)
    x = x.movedim(dim, -1)
    folded = torch.cat((x[..., ::2], x[..., 1::2].flip(-1)), dim=-1)
    quarter, scale = _quarters(axis.length, x)
    sums = (torch.fft.fft(folded) * quarter).real
    return (sums * scale).movedim(-1, dim)


def _dct2_backward(axis: Axis, x: Tensor, dim: int) -> Tensor:
    """The inverse: with C_k the sums of :func:`_dct2_forward` and C_n = 0, the imaginary part of
    `exp(-pi j k / (2 n)) V_k` is `-C_(n-k)`, because `cos(pi (n - k) (2 i + 1) / (2 n))` is
    `(-1)^i sin(pi k (2 i + 1) / (2 n))`.
    """
    if x.is_complex():
        return _by_parts(_dct2_backward, axis, x, dim)
    x, n = x.movedim(dim, -1), axis.length
    quarter, scale = _quarters(n, x)
    sums = x / scale
    mirrored = torch.cat((torch.zeros_like(sums[..., :1]), sums[..., 1:].flip(-1)), dim=-1)
    folded = torch.fft.ifft(torch.complex(sums, -mirrored) * quarter.conj()).real
    place = torch.arange(n, device=x.device)
    # Place i of the values stands at i / 2 of the folded ones, or at the same distance from behind.
    place = torch.where(place % 2 == 0, place // 2, n - 1 - place // 2)
    return folded.index_select(-1, place).movedim(-1, dim)


def _quarters(n: int, x: Tensor) -> tuple[Tensor, Tensor]:
    """`exp(-pi j k / (2 n))` and the scale `s_k` that makes cosines orthonormal, in the precision
    of x.
    """
    k = torch.arange(n, device=x.device, dtype=torch.float64)
    angle = -math.pi * k / (2 * n)
    scale = torch.full_like(k, math.sqrt(2 / n))
    scale[0] = math.sqrt(1 / n)
    wide = torch.promote_types(x.dtype, torch.complex64)
    return torch.polar(torch.ones_like(angle), angle).to(wide), scale.to(x.dtype)


def _dct1(axis: Axis, x: Tensor, dim: int) -> Tensor:
    """The DCT-I, a symmetric matrix and therefore its own inverse: the DFT of the values and of
    their mirror image, a ring of `2 (n - 1)`.
    """
    if x.is_complex():
        return _by_parts(_dct1, axis, x, dim)
    x, n = x.movedim(dim, -1), axis.length
    root = x.new_full((n,), math.sqrt(2.0))
    root[0] = root[-1] = 1.0
    x = x * root
    inner = x[..., 1:-1] / 2
    ring = torch.cat((x[..., :1], inner, x[..., -1:], inner.flip(-1)), dim=-1)
    sums = torch.fft.fft(ring).real[..., :n]
    return (sums * root / math.sqrt(2 * (n - 1))).movedim(-1, dim)


def _matrix_forward(axis: Axis, x: Tensor, dim: int) -> Tensor:
    assert axis.vectors is not None
    return (x.movedim(dim, -1) @ axis.vectors.to(x.dtype)).movedim(-1, dim)


def _matrix_backward(axis: Axis, x: Tensor, dim: int) -> Tensor:
    assert axis.vectors is not None
    return (x.movedim(dim, -1) @ axis.vectors.to(x.dtype).T).movedim(-1, dim)


def _by_parts(transform: "Transform1d", axis: Axis, x: Tensor, dim: int) -> Tensor:
    """A real transform of complex values."""
    return torch.complex(transform(axis, x.real, dim), transform(axis, x.imag, dim))


Transform1d = Callable[[Axis, Tensor, int], Tensor]
TRANSFORMS: dict[str, tuple[Transform1d, Transform1d]] = {
    "fft": (_fft_forward, _fft_backward),
    "dct-ii": (_dct2_forward, _dct2_backward),
    "dct-i": (_dct1, _dct1),
    "eigh": (_matrix_forward, _matrix_backward),
}
