"""Modes of every kind of domain against the dense Laplacian, Fourier transforms there and back, and
what has no spectrum.
"""

import copy
import math

import networkx as nx
import pytest
import torch
from torch import Tensor

import geodl as g
from geodl.domain import DOMAINS
from geodl.spectrum import solver
from geodl.spectrum.closed import closed_form
from geodl.testing import error
from tests.bad_input import assert_refused

TWO_PARTS = g.Graph.from_networkx(nx.disjoint_union_all([nx.path_graph(4), nx.star_graph(3)]))
WEIGHTED = g.Graph([[0, 1, 1, 2], [1, 0, 2, 1]], 5, edge_weight=[0.5, 0.5, 2.0, 2.0])
# (domain, how its modes are found under None, "sym" and "rw")
FOUND = [
    (g.Grid(1, periodic=True), "dct-ii", "dct-ii"),
    (g.Grid(2, periodic=True), "dct-ii", "dct-ii"),
    (g.Grid(7, periodic=True), "fft", "fft"),
    (g.Chain(1), "dct-ii", "dct-ii"),
    (g.Chain(2), "dct-ii", "dct-ii"),
    (g.Chain(6), "dct-ii", "dct-i"),
    (g.Grid(1, 5), "dct-ii x dct-ii", "dct-i"),
    (g.Grid(4, 5), "dct-ii x dct-ii", "eigh of 20 x 20"),
    (g.Grid(4, 6, periodic=True), "fft x fft", "fft x fft"),
    (g.Grid(4, 5, periodic=(True, False)), "fft x dct-ii", "eigh of 20 x 20"),
    (g.Grid(3, 2, 4, periodic=True), "fft x dct-ii x fft", "fft x dct-ii x fft"),
    (g.Complete(1), "dct-ii of a complete graph", "dct-ii of a complete graph"),
    (g.Complete(5), "dct-ii of a complete graph", "dct-ii of a complete graph"),
    (g.GroupGrid(g.Grid(3, 4, periodic=True), g.C(4)), "fft x fft x eigh", "fft x fft x eigh"),
    (g.GroupGrid(g.Grid(3, 3), g.D(2)), "dct-ii x dct-ii x eigh", "eigh of 36 x 36"),
    (g.GSet([[1, 2, 3, 4, 0]]), "fft of an abelian group", "fft of an abelian group"),
    (
        g.GSet([[1, 0, 3, 2], [2, 3, 0, 1], [0, 1, 2, 3]]),
        "fft of an abelian group",
        "fft of an abelian group",
    ),
    # The integers modulo 8 from 2, 1 and 7: the square of the second is the first.
    (
        g.GSet([[(k + step) % 8 for k in range(8)] for step in (2, 1, 7)]),
        "fft of an abelian group",
        "fft of an abelian group",
    ),
    (g.GSet([[1, 0, 2], [1, 2, 0]]), "eigh of 3 x 3", "eigh of 3 x 3"),
    (g.GSet([[1, 0, 2, 3], [0, 1, 3, 2]]), "eigh of 4 x 4", "eigh of 4 x 4"),
    (TWO_PARTS, "eigh of 8 x 8", "eigh of 8 x 8"),
    (WEIGHTED, "eigh of 5 x 5", "eigh of 5 x 5"),
]
each = pytest.mark.parametrize(("domain", "plain", "normed"), FOUND, ids=str)


def dense(domain: g.Domain, norm: str | None) -> Tensor:
    edges, n = g.laplacian(norm).edges(domain), domain.num_nodes
    zeros = torch.zeros(n, n, dtype=torch.float64)
    return zeros.index_put((edges.dst, edges.src), edges.weight, accumulate=True)


def values(domain: g.Domain, batch: int = 2, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = batch, domain.num_nodes, channels
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("norm", [None, "sym", "rw"])
@each
def test_modes_are_the_eigenvectors_of_the_laplacian(domain, plain, normed, norm):
    found, operator = g.spectrum(domain, norm=norm), dense(domain, norm)
    u, n = found.vectors, domain.num_nodes
    assert found.method == {None: plain}.get(norm, normed)
    assert error(operator.to(u.dtype) @ u, u * found.eigenvalues) < 1e-12
    symmetric = dense(domain, "sym" if norm == "rw" else norm)
    assert error(found.eigenvalues, torch.linalg.eigvalsh(symmetric).clamp(min=0)) < 1e-12
    if norm != "rw":
        assert error(u.mH @ u, torch.eye(n, dtype=u.dtype)) < 1e-12
    assert (found.eigenvalues.diff() > -1e-12).all() and float(found.eigenvalues[0]) >= 0


@pytest.mark.parametrize("norm", [None, "sym", "rw"])
@each
def test_transforms_there_and_back(domain, plain, normed, norm):
    s = g.Signal(values(domain), domain)
    coefficients = g.fourier(s, norm)
    assert coefficients.domain == g.Spectrum(domain, norm)
    back = g.fourier_inverse(coefficients)
    assert back.domain is domain and error(back.x, s.x) < 1e-12
    found = g.spectrum(domain, norm=norm)
    weight = torch.ones(domain.num_nodes, dtype=torch.float64)
    if norm == "rw":
        degree = dense(domain, None).diagonal()
        degree = torch.where(degree > 0, degree / degree[degree > 0].mean(), 1.0)
        weight = degree.nan_to_num(1.0)
    wanted = found.vectors.mH @ (weight[:, None] * s.x).to(found.vectors.dtype)
    assert error(coefficients.x, wanted.to(coefficients.dtype)) < 1e-12
    energy = (weight[:, None] * s.x.square()).sum()
    assert error(coefficients.x.abs().square().sum(), energy) < 1e-12


def test_a_ring_is_the_dft_and_a_path_the_dct():
    ring, path = g.Grid(6, periodic=True), g.Chain(6)
    x = values(ring)
    order = [0, 1, 5, 2, 4, 3]
    assert error(g.fourier(g.Signal(x, ring)).x, torch.fft.fft(x, dim=1)[:, order] / 6**0.5) < 1e-12
    place = torch.arange(6).double()
    cosines = torch.cos(math.pi * place[:, None] * (2 * place + 1) / 12) * math.sqrt(2 / 6)
    cosines[0] /= math.sqrt(2)
    found = g.fourier(g.Signal(x, path)).x
    assert error(found, cosines @ x) < 1e-12


def test_circular_convolution_is_a_product_of_coefficients():
    ring = g.Grid(9, periodic=True)
    x, h = values(ring, 1, 1), values(ring, 1, 1).flip(1)
    place = torch.arange(9)
    wanted = sum(h[0, k, 0] * x[:, (place - k) % 9] for k in range(9))
    a, b = (g.fourier(g.Signal(t, ring)) for t in (x, h))
    y = g.fourier_inverse(a.map(lambda t: 3 * t * b.x))
    assert error(y.x, wanted) < 1e-12


@pytest.mark.parametrize("norm", [None, "sym", "rw"])
@pytest.mark.parametrize("index", range(len(FOUND)))
def test_a_few_modes_are_the_first(index, norm):
    domain = FOUND[index][0]
    count = (domain.num_nodes + 1) // 2
    few, every = g.spectrum(domain, count, norm), g.spectrum(domain, norm=norm)
    assert error(few.eigenvalues, every.eigenvalues[:count]) < 1e-12
    u = few.vectors
    assert u.shape == (domain.num_nodes, count)
    assert error(dense(domain, norm).to(u.dtype) @ u, u * few.eigenvalues) < 1e-12


@pytest.mark.parametrize("norm", [None, "sym"])
def test_a_few_modes_of_a_large_graph_are_found_by_products(norm):
    torus = g.Grid(25, 25, periodic=True)
    links = torch.stack(torus.links()[:2])
    both = torch.cat((links, links + 625), 1)  # twice, and a node alone
    graph = g.Graph(both, 1251)
    found = g.spectrum(graph, 8, norm)
    assert graph.num_nodes > solver.DENSE and found.method == "eigsh of 1251 x 1251"
    zeros = 2
    if norm is None:
        zeros = 3
    largest = 4.0 if norm == "sym" else 1.0
    first = (2 - 2 * math.cos(2 * math.pi / 25)) / largest
    wanted = [0.0] * zeros + [first] * (8 - zeros)
    assert error(found.eigenvalues, torch.tensor(wanted, dtype=torch.float64)) < 1e-10
    u = found.vectors
    assert error(u.T @ u, torch.eye(8, dtype=torch.float64)) < 1e-10
    assert found.parts == 3 and "3 connected parts" in str(found)


def test_a_lattice_is_not_solved_for():
    """Where there is a closed form no eigensolver is asked; without one there is."""
    for domain, plain, normed in FOUND:
        for norm, method in ((None, plain), ("sym", normed)):
            assert (closed_form(domain, norm) is None) == method.startswith("eigh of")


def test_members_of_a_union_are_transformed_for_themselves():
    ring = g.Grid(5, periodic=True)
    for members in ([ring, ring], [WEIGHTED, g.Chain(4)], [ring, WEIGHTED]):
        union = g.Batch(members)
        x = values(union)
        found = g.fourier(g.Signal(x, union))
        parts = [
            g.fourier(g.Signal(part, member)).x
            for part, member in zip(union.split(x), members, strict=True)
        ]
        assert error(found.x, torch.cat(parts, 1)) < 1e-12
        assert error(g.fourier_inverse(found).x, x) < 1e-12


SMALL = [(g.Grid(3, 2, periodic=(True, False)), None), (g.Chain(4), "sym"), (WEIGHTED, "rw")]


@pytest.mark.parametrize(("domain", "norm"), SMALL, ids=str)
def test_gradients_and_transforms_of_functions(domain, norm):
    for batch in (0, 1):
        x = values(domain, batch, 2).transpose(1, 2).contiguous().transpose(1, 2).requires_grad_()

        def energy(x: Tensor) -> Tensor:
            found = g.fourier(g.Signal(x, domain), norm)
            return (found.x.abs() ** 4).sum()

        assert torch.autograd.grad(energy(x), x)[0].shape == x.shape
    assert torch.autograd.gradcheck(energy, x) and torch.autograd.gradgradcheck(energy, x)
    rows = values(domain, 3, 2).requires_grad_()
    each = torch.func.vmap(torch.func.grad(lambda t: energy(t[None])))(rows)
    assert error(each, torch.autograd.grad(energy(rows), rows)[0]) < 1e-12


@pytest.mark.parametrize("shape", [(0, 2), (2, 0), (0, 0)], ids=str)
def test_no_values_have_no_coefficients(shape):
    batch, channels = shape
    for domain in (g.Grid(4, periodic=True), g.Chain(4), WEIGHTED):
        s = g.Signal(torch.zeros(batch, domain.num_nodes, channels), domain)
        there = g.fourier(s)
        assert there.shape == s.shape and g.fourier_inverse(there).shape == s.shape


def test_single_precision():
    for domain in (g.Grid(8, 8, periodic=True), g.Grid(8, 8), WEIGHTED):
        x = values(domain)
        found = g.fourier(g.Signal(x.float(), domain))
        assert found.x.real.dtype == torch.float32
        assert error(found.x, g.fourier(g.Signal(x, domain)).x.to(found.dtype)) < 1e-5


def test_spectra_are_domains():
    ring = g.Grid(5, periodic=True)
    assert g.Spectrum in DOMAINS
    assert g.Spectrum(ring) == g.Spectrum(ring) != g.Spectrum(ring, "sym")
    first, second = g.Spectrum(WEIGHTED), g.Spectrum(WEIGHTED, "sym")
    assert first.serial == g.Spectrum(WEIGHTED).serial != second.serial != WEIGHTED.serial
    assert first.cache is g.Spectrum(WEIGHTED).cache is not WEIGHTED.cache
    twin = copy.deepcopy(first)
    assert twin != first and twin.serial != first.serial
    s = g.fourier(g.Signal(values(ring), ring))
    assert (s + s).x.equal(2 * s.x)
    assert s.to(torch.float32).dtype == torch.complex64
    layer = g.Conv(3, 2, g.itself()).double()
    real = g.fourier(g.Signal(values(WEIGHTED), WEIGHTED))
    assert layer(real).domain == g.Spectrum(WEIGHTED)


NAN = g.Signal(torch.full((1, 5, 1), math.nan), g.Chain(5))
CSR = g.Signal(torch.eye(5).to_sparse_csr(), WEIGHTED)
BENT = g.Graph([[0, 1], [1, 0]], 2, edge_weight=[1.0, 2.0])
MINUS = g.Graph([[0, 1], [1, 0]], 2, edge_weight=[-1.0, -1.0])
RING_SIGNAL = g.Signal(torch.ones(1, 5, 1), g.Grid(5, periodic=True))
LARGE = g.Graph([[0], [1]], 20_000)
RUN = WEIGHTED.with_weights(torch.ones(4))
REFUSED = {
    "no signal": (lambda: g.fourier(torch.ones(3)), "fourier", "a Tensor", "give a Signal"),
    "nan": (lambda: g.fourier(NAN), "fourier", "NaN", "clean"),
    "sparse": (lambda: g.fourier(CSR), "fourier", "sparse", "dense"),
    "tokens": (
        lambda: g.fourier(g.Signal.tokens(torch.ones(1, 3, dtype=torch.long))),
        "fourier",
        "int64",
        "floating point",
    ),
    "norm": (lambda: g.fourier(RING_SIGNAL, "sim"), "norm='sim'", "", "did you mean 'sym'"),
    "twice": (
        lambda: g.fourier(g.fourier(g.Signal(torch.ones(1, 3, 1), g.Chain(3)))),
        "Spectrum",
        "a spectrum, which has no links",
        "the domain itself",
    ),
    "no spectrum": (
        lambda: g.fourier_inverse(RING_SIGNAL),
        "fourier_inverse",
        "Grid(5, periodic=True)",
        "on a Spectrum",
    ),
    "not real": (
        lambda: g.fourier_inverse(g.fourier(RING_SIGNAL).map(lambda x: x * 1j)),
        "fourier_inverse",
        "no real signal",
        "opposite frequencies",
    ),
    "complex elsewhere": (
        lambda: g.Signal(torch.ones(1, 3, 1) * 1j, g.Chain(3)),
        "Chain(3)",
        "complex64",
        "view_as_real",
    ),
    "complex in a layer": (
        lambda: g.Conv(1, 1, g.itself())(g.fourier(RING_SIGNAL)),
        "Conv",
        "complex values",
        "fourier_inverse",
    ),
    "no domain": (lambda: g.spectrum(3), "spectrum(3", "a int", "give a domain"),
    "union": (lambda: g.spectrum(g.Batch([g.Chain(2)] * 2)), "", "a union", "each member"),
    "no modes": (lambda: g.spectrum(g.Chain(3), 0), "", "k=0", "positive integer"),
    "more modes than nodes": (
        lambda: g.spectrum(g.Chain(3), 4),
        "the spectrum of Chain(3)",
        "4 modes wanted of 3 nodes",
        "at most 3",
    ),
    "negative weights": (lambda: g.spectrum(MINUS), "", "negative weights", "non-negative"),
    "two directions": (lambda: g.spectrum(BENT), "", "a link of weight", "one weight"),
    "too large": (lambda: g.spectrum(LARGE), "all modes", "6.0 GiB", "g.spectrum(domain, k)"),
    "too many to write": (
        lambda: g.spectrum(g.Grid(200, 200)).vectors,
        "40000 modes",
        "GiB",
        "g.fourier",
    ),
    "weights of a call": (lambda: g.spectrum(RUN), "", "come with each call", "order=20"),
    "spectrum of nothing": (lambda: g.Spectrum(3), "Spectrum(3", "a int", "give a domain"),
    "spectrum norm": (lambda: g.Spectrum(g.Chain(3), "row"), "'row'", "", "did you mean 'rw'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    assert_refused(REFUSED[name])


def test_a_link_of_weight_0_joins_no_parts():
    found = g.spectrum(g.Graph([[0, 1, 1, 2], [1, 0, 2, 1]], 3, edge_weight=[0.0, 0.0, 1.0, 1.0]))
    assert found.eigenvalues.round(decimals=6).tolist() == [0.0, 0.0, 2.0]
    assert "2 connected parts" in str(found)


def test_a_closed_form_takes_any_size():
    """Which neither solves for, nor writes out, anything of size N x N."""
    torus = g.Grid(256, 256, periodic=True)
    x = values(torus, 1, 1)
    assert error(g.fourier_inverse(g.fourier(g.Signal(x, torus))).x, x) < 1e-12
    assert g.spectrum(torus, 3).vectors.shape == (256**2, 3)
