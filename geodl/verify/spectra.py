"""Row 03: Fourier without pixels. The modes of a domain's Laplacian are the DFT, the DCT and what
they become on other domains; wavelets and the z-transform beside them.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from geodl import (
    Chain,
    Complete,
    Conv,
    Domain,
    Filter,
    Grid,
    GSet,
    Signal,
    fourier,
    fourier_inverse,
    heat,
    spectrum,
    window,
)
from geodl.models import inverse_wavelet_transform, wavelet_transform
from geodl.spectrum import z_transform
from geodl.verify.base import (
    Row,
    Setting,
    above,
    as_leaves,
    count_edges,
    difference,
    normal,
    randomised,
    row,
    signal,
)
from geodl.verify.operators import dense_links, ring

BOUND = 1e-12


def eigenvalues() -> Iterator[Row]:
    """The formulas of rings and paths, entry by entry."""
    for n in (5, 8, 64):
        frequency = torch.arange(n, dtype=torch.float64)
        for domain, angle in (
            (Grid(n, periodic=True), 2 * math.pi * frequency / n),
            (Chain(n), math.pi * frequency / n),
        ):
            wanted = (2 - 2 * torch.cos(angle)).sort().values
            found = difference(spectrum(domain).eigenvalues, wanted, [])
            name = "2-2cos(pi k/n)"
            if domain.periodic[0]:
                name = "2-2cos(2 pi k/n)"
            yield row(f"03 eigenvalues {name}, n={n}", _where(domain), [found], BOUND)


def projectors() -> Iterator[Row]:
    """Closed forms against a dense eigensolver: eigenvalues, and the projectors on the modes of
    each eigenvalue, which no choice of vectors changes.
    """
    cayley = GSet([[(k + step) % 12 for k in range(12)] for step in (4, 1)])
    for name, domain in (
        ("ring, DFT", Grid(9, periodic=True)),
        ("path, DCT-II", Chain(9)),
        ("torus 16 x 16", Grid(16, 16, periodic=True)),
        ("grid 7 x 9", Grid(7, 9)),
        ("complete graph", Complete(6)),
        ("Cayley graph of Z_12 by 4 and 1", cayley),
    ):
        operator = dense_links(domain)
        values, vectors = torch.linalg.eigh(operator)
        modes = spectrum(domain)
        u = modes.vectors
        apart = [difference(modes.eigenvalues, values, [])]
        for first, last in _equal_runs(values):
            ours = u[:, first:last] @ u[:, first:last].mH
            theirs = vectors[:, first:last] @ vectors[:, first:last].T
            apart.append(difference(torch.view_as_real(ours + 0j)[..., 0], theirs, []))
        yield row(f"03 eigenvalues and projectors of eigh: {name}", _where(domain), apart, BOUND)


def _equal_runs(values: Tensor) -> list[tuple[int, int]]:
    """Where eigenvalues in order that are equal begin and end."""
    breaks = (values.diff() > 1e-8).nonzero()[:, 0].add(1).tolist()
    return list(zip([0, *breaks], [*breaks, len(values)], strict=True))


def parseval() -> Iterator[Row]:
    """Energies add up, and the way back restores the signal."""
    for domain in (Grid(9, periodic=True), Chain(8), Grid(4, 6, periodic=True), ring(9, ((0, 4),))):
        s = as_leaves([signal(domain, 3)])[0]
        found = fourier(s)
        ours, theirs = found.x.abs().square().sum(), s.x.square().sum()
        differences = [difference(ours, theirs, [s.x])]
        yield row("03 Parseval: sum |x|^2 = sum |Fx|^2", _where(domain), differences, BOUND)
        differences = [difference(fourier_inverse(found).x, s.x, [s.x])]
        yield row("03 there and back", _where(domain), differences, BOUND)


def convolution_theorem() -> Iterator[Row]:
    """`F(h * x) = F h F x` for the circular convolution, a window with its kernel reversed."""
    for lengths in ((9,), (4, 6)):
        domain, d = Grid(*lengths, periodic=True), len(lengths)
        layer, h = _whole(lengths, 70)
        s = as_leaves([signal(domain, 1)])[0]
        scale = math.sqrt(domain.num_nodes)
        ours = fourier(layer(s)).x
        theirs = scale * fourier(s).x * fourier(Signal(h, domain)).x
        leaves = [s.x, layer.weight]
        apart = difference(torch.view_as_real(ours), torch.view_as_real(theirs), leaves)
        claim = f"03 DFT of a circular convolution = product of DFTs, {d}-d"
        yield row(claim, count_edges(layer, s), [apart], BOUND)


def _whole(lengths: tuple[int, ...], seed: int) -> tuple[Conv, Tensor]:
    """A window as large as the torus, and its kernel h `[1, N, 1]`: `y_p = sum_q h_q x_(p - q)`."""
    pads = tuple((n - 1, 0) for n in lengths)
    layer = randomised(Conv(1, 1, window(lengths, padding=pads), bias=False), normal(seed))
    # Place k of the window looks k - (n - 1) nodes ahead: the kernel is its weights backwards.
    return layer, layer.weight[:, :, 0].flip(0)[None]


def commuting() -> Iterator[Row]:
    """Convolutions commute, as numbers do under a product; the cross-correlation that networks
    compute, `sum_q h_q x_(p + q)`, is another product of h and x, and does not.
    """
    domain = Grid(11, periodic=True)
    (first, h), (second, k) = _whole((11,), 71), _whole((11,), 72)
    s = as_leaves([signal(domain, 1)])[0]
    where = count_edges(first, s)
    leaves = [s.x, first.weight, second.weight]
    both = [difference(first(second(s)).x, second(first(s)).x, leaves)]
    yield row("03 convolution commutes: h * (k * x) = k * (h * x)", where, both, BOUND)
    place = torch.arange(11)
    ahead = (place[:, None] + place) % 11
    one = (h[0, :, 0] * k[0, ahead, 0]).sum(1)
    other = (k[0, :, 0] * h[0, ahead, 0]).sum(1)
    apart = float((one - other).detach().abs().max())
    yield above("03 cross-correlation does not: h x k and k x h differ", where, apart, 1e-2)


def heat_flow() -> Iterator[Row]:
    """A filter by structure against the exponential of the dense Laplacian, at 16 x 16."""
    domain = Grid(16, 16, periodic=True)
    layer = Filter(heat(0.8)).double()
    s = as_leaves([signal(domain, 2)])[0]
    flow = torch.linalg.matrix_exp(-layer.function.time * dense_links(domain))
    differences = [difference(layer(s).x, flow @ s.x, [s.x, layer.function.time])]
    where = Setting(str(domain), domain.num_nodes, 0, 1)
    yield row("03 heat filter = exp(-t L), torus 16 x 16", where, differences, 1e-10)


def wavelets() -> Iterator[Row]:
    """Windows of stride 2 and the same reversed: perfect reconstruction, on borders too."""
    for name in ("haar", "db2", "db3", "db4"):
        for domain in (Chain(12), Chain(9), Grid(6, 9), Grid(8, 12, periodic=True)):
            axes, periodic = len(domain.lattice or ()), any(domain.periodic)
            options = {"channels": 2, "periodic": periodic, "dtype": torch.float64}
            forward = wavelet_transform(name, axes, **options)
            back = inverse_wavelet_transform(name, axes, onto=domain, **options)
            s = as_leaves([signal(domain, 2)])[0]
            found = forward(s)
            energy = difference(found.x.square().sum(), s.x.square().sum(), [s.x])
            differences = [difference(back(found).x, s.x, [s.x]), energy]
            claim = f"03 {name} and its reverse restore the signal, and its energy"
            yield row(claim, count_edges(forward, s), differences, BOUND)


def recurrence() -> Iterator[Row]:
    """The z-transform of the kernel of `h_t = A h_(t-1) + B x_t, y_t = C h_t`."""
    draw, length = normal(73), 200
    a = draw(4, 4)
    a = (0.5 * a / torch.linalg.matrix_norm(a, 2)).requires_grad_()
    b, c = draw(4, 3).requires_grad_(), draw(2, 4).requires_grad_()
    powers, power = [], torch.eye(4, dtype=torch.float64)
    for _ in range(length):
        powers.append((c @ power @ b).flatten())
        power = a @ power
    kernel = Signal(torch.stack(powers)[None], Chain(length))
    z = torch.polar(torch.full((7,), 1.1), torch.linspace(0.1, 6.0, 7)).to(torch.complex128)
    found = z_transform(kernel, z)[0]
    one = torch.eye(4, dtype=torch.complex128)
    wanted = [(c + 0j) @ torch.linalg.solve(one - a / point, b + 0j) for point in z]
    theirs = torch.stack(wanted).flatten(1)
    apart = difference(torch.view_as_real(found), torch.view_as_real(theirs), [a, b, c])
    where = Setting(f"Chain({length})", length, 0, a.numel() + b.numel() + c.numel())
    claim = "03 z-transform of a linear recurrence's kernel = C (1 - A/z)^-1 B"
    yield row(claim, where, [apart], 1e-10)


def _where(domain: Domain) -> Setting:
    return Setting(str(domain), domain.num_nodes, 0, 0)


CLAIMS = (
    eigenvalues,
    projectors,
    parseval,
    convolution_theorem,
    commuting,
    heat_flow,
    wavelets,
    recurrence,
)
