"""The spectrum of a domain, and the Fourier transform of signals on it, there and back."""

from typing import NamedTuple

import torch
from torch import Tensor

from geodl.domain import LAPLACIAN_NORMS, Domain, Spectrum
from geodl.domain.check import can_be_read, check_finite
from geodl.errors import GeodlError, as_integer, nearest
from geodl.signal import Signal
from geodl.spectrum.find import (
    analyse_members,
    on_device,
    synthesise_members,
    transform_of,
    transforms_of,
)
from geodl.spectrum.solver import MOST_BYTES, num_parts
from geodl.spectrum.transform import Transform, write_modes

# Imaginary parts up to this share of the largest value are rounding errors of a real signal.
REAL = {torch.float64: 1e-9, torch.float32: 1e-4}


class Modes(NamedTuple):
    """Eigenvalues of a domain's Laplacian, smallest first, and the modes that belong to them.

    Printed, it says how they were found, and where a domain falls into parts.

    Attributes:
        domain: whose modes they are.
        norm: of the Laplacian: None, "sym" or "rw".
        transform: from values to coefficients and back.
    """

    domain: Domain
    norm: str | None
    transform: Transform

    @property
    def eigenvalues(self) -> Tensor:
        """`[K]` ascending, float64; those of "sym" and "rw" are at most 2."""
        return self.transform.eigenvalues

    @property
    def method(self) -> str:
        """How the modes are found: a fast transform by name, or an eigensolver."""
        return self.transform.method

    @property
    def parts(self) -> int:
        """Into how many connected parts the domain falls: as many modes are constant on each."""
        return num_parts(self.domain)

    @property
    def vectors(self) -> Tensor:
        """`[N, K]` the modes as columns, complex on rings and tori; written out anew at each call.

        Orthonormal, but for the norm "rw" where degrees differ: then under weights proportional to
        the degrees. A mode is fixed up to its sign, those of an equal eigenvalue up to a rotation.

        Raises:
            GeodlError: if the modes written out take more than 1 GiB.
        """
        count = len(self.eigenvalues)
        needed = self.domain.num_nodes * count * 16
        if needed > MOST_BYTES:
            asked = f"{count} modes of {self.domain} written out"
            do = "ask for fewer, g.spectrum(domain, k), or use g.fourier, which writes none out"
            raise GeodlError(asked, f"{needed / 2**30:.1f} GiB of them", do)
        return write_modes(self.transform)

    def __str__(self) -> str:
        words = f"{len(self.eigenvalues)} modes of {self.domain}"
        if self.norm is not None:
            words += f" under the norm {self.norm!r}"
        words += f" by {self.method}"
        if self.parts > 1:
            words += f"; {self.parts} connected parts, each with a constant mode of its own"
        return words


def spectrum(domain: Domain, k: int | None = None, norm: str | None = None) -> Modes:
    """The modes of a domain's Laplacian: in closed form where its structure gives one (rings,
    paths, grids, tori, complete graphs, Cayley graphs of finite abelian groups), else by scipy.

    Args:
        domain: with links of non-negative weight. One that falls into parts has eigenvalue 0 once
            for each.
        k: how many, smallest eigenvalues first; None for all.
        norm: None for `D - A`, "sym" for `I - D^-1/2 A D^-1/2`, "rw" for `I - D^-1 A`.

    Raises:
        GeodlError: if it is no domain, or a union; if k is not a positive integer, or larger than
            the number of nodes; if the norm is unknown; if a weight is negative, differs in the two
            directions of a link, or comes with each call; if a graph is too large for a dense
            solver.

    >>> from geodl.domain import Chain
    >>> found = spectrum(Chain(3))
    >>> found.eigenvalues.round(decimals=6).tolist()
    [0.0, 1.0, 3.0]
    >>> print(found)
    3 modes of Chain(3) by dct-ii
    """
    asked = f"spectrum({domain}, {k!r}, {norm!r})"
    check_norm(asked, norm)
    if not isinstance(domain, Domain):
        raise GeodlError(asked, f"a {type(domain).__name__}", "give a domain, as Grid(8, 8)")
    if domain.is_union:
        do = "ask for that of each member: [g.spectrum(m) for m in domain.members]"
        raise GeodlError(asked, "a union, whose members have their own", do)
    count = None
    if k is not None:
        count = as_integer(k)
        if count is None or count < 1:
            raise GeodlError(asked, f"k={k!r}", "give a positive integer")
    return Modes(domain, norm, transform_of(domain, norm, count))


def fourier(signal: Signal, norm: str | None = None) -> Signal:
    """The Fourier transform `U* x` of a signal: its coefficients in the modes of its domain's
    Laplacian, eigenvalues ascending.

    On a ring or a torus it is the DFT (complex), on a path or a grid the DCT-II; a union is
    transformed member by member. Modes are orthonormal, so that `sum |x_i|^2 = sum |x^_k|^2`
    (Parseval); for the norm "rw" each node counts with its degree over the mean degree. The state
    of edges and graphs, which has no place among modes, stays behind. (Shuman et al., "The Emerging
    Field of Signal Processing on Graphs", 2013.)

    Args:
        signal: `[B, N, C]` on any domain.
        norm: of the Laplacian, as in :func:`spectrum`.

    Returns:
        `[B, N, C]` on `Spectrum(domain, norm)`, in at least single precision.

    Raises:
        GeodlError: if it is no Signal, if its values are tokens, sparse, complex, NaN or infinite,
            and as :func:`spectrum`.

    >>> from geodl.domain import Grid
    >>> ring = Grid(4, periodic=True)
    >>> fourier(Signal(torch.ones(1, 4, 1), ring)).x.abs().flatten().round(decimals=5).tolist()
    [2.0, 0.0, 0.0, 0.0]
    """
    asked = "fourier(signal)"
    check_norm(asked, norm)
    _check_values(asked, signal)
    if not signal.x.is_floating_point():
        raise GeodlError(asked, f"values of {signal.x.dtype}", "give real floating point values")
    domain = signal.domain
    place = Spectrum(domain, norm)
    transforms = on_device(transforms_of(domain, norm), signal.device)
    return Signal(analyse_members(transforms, signal.x), place)


def fourier_inverse(signal: Signal) -> Signal:
    """The signal `U x^` on the domain whose modes have these coefficients: the inverse of
    :func:`fourier`.

    Args:
        signal: `[B, N, C]` on a Spectrum.

    Raises:
        GeodlError: if the signal is not on a Spectrum, or is NaN or infinite; if the coefficients
            are of no real signal (those of opposite frequencies have to be conjugate).

    >>> from geodl.domain import Chain
    >>> s = Signal(torch.tensor([[[1.0], [2.0], [4.0]]]), Chain(3))
    >>> fourier_inverse(fourier(s)).x.flatten().round(decimals=4).tolist()
    [1.0, 2.0, 4.0]
    """
    asked = "fourier_inverse(signal)"
    _check_values(asked, signal)
    domain = signal.domain.frequencies_of
    if domain is None:
        found = f"a signal on {signal.domain}"
        raise GeodlError(asked, found, "give one on a Spectrum, as fourier(signal) makes it")
    norm = getattr(signal.domain, "norm", None)
    transforms = on_device(transforms_of(domain, norm), signal.device)
    y = synthesise_members(transforms, signal.x)
    if y.is_complex():
        _check_real(asked, y)
        y = y.real
    return Signal(y, domain)


def check_norm(asked: str, norm: str | None) -> None:
    """Refuse a norm that no Laplacian has."""
    if norm not in LAPLACIAN_NORMS:
        names = ["None", *filter(None, LAPLACIAN_NORMS)]
        raise GeodlError(f"{asked} with norm={norm!r}", do=nearest(str(norm), names))


def _check_values(asked: str, signal: Signal) -> None:
    """Refuse what has no transform, and values that are NaN or infinite."""
    if not isinstance(signal, Signal):
        raise GeodlError(asked, f"a {type(signal).__name__}", "give a Signal")
    if signal.x.layout != torch.strided:
        raise GeodlError(asked, "sparse values", "use dense ones: x.to_dense()[None]")
    check_finite(asked, signal.x, "which would spread over all modes")


def _check_real(asked: str, y: Tensor) -> None:
    """Refuse values with an imaginary part that is more than rounding."""
    if not can_be_read(y) or not y.numel():
        return
    apart, largest = float(y.imag.detach().abs().max()), float(y.detach().abs().max())
    if apart <= REAL[y.real.dtype] * largest:
        return
    found = f"coefficients of no real signal: imaginary parts of {apart:.1e}"
    do = "change those of opposite frequencies alike, as a Filter does"
    raise GeodlError(asked, found, do)
