"""Filters by a function of frequency: exact ones and polynomials, on every kind of domain, with the
gradients of signal and parameters; spectral convolution; what is refused.
"""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

import geodl as g
from geodl.testing import assert_lowered_to, assert_parity, error
from tests.bad_input import assert_refused
from tests.compilation import same_when_compiled

RING, TORUS, CHAIN = g.Grid(8, periodic=True), g.Grid(4, 4, periodic=True), g.Chain(7)
INDEX = [[0, 1, 1, 2, 3, 4], [1, 0, 2, 1, 4, 3]]
GRAPH = g.Graph(INDEX, 6, edge_weight=[0.5, 0.5, 2.0, 2.0, 1.0, 1.0])
DOMAINS = [RING, TORUS, CHAIN, GRAPH, g.Complete(5), g.Grid(3, 4), g.Batch([CHAIN, CHAIN])]
DOMAINS += [g.Batch([GRAPH, RING]), g.GroupGrid(g.Grid(3, 3, periodic=True), g.C(4))]
each = pytest.mark.parametrize("domain", DOMAINS, ids=str)


def dense(domain: g.Domain, norm: str | None) -> Tensor:
    edges, n = g.laplacian(norm).edges(domain), domain.num_nodes
    zeros = torch.zeros(n, n, dtype=torch.float64)
    return zeros.index_put((edges.dst, edges.src), edges.weight, accumulate=True)


def signal(domain: g.Domain, channels: int = 2, batch: int = 2) -> g.Signal:
    generator = torch.Generator().manual_seed(0)
    shape = batch, domain.num_nodes, channels
    return g.Signal(torch.randn(shape, generator=generator, dtype=torch.float64), domain)


@pytest.mark.parametrize("norm", [None, "sym", "rw"])
@each
def test_heat_is_the_exponential_of_the_laplacian(domain, norm):
    layer, s = g.Filter(g.heat(0.7), norm).double(), signal(domain)
    wanted = torch.linalg.matrix_exp(-0.7 * dense(domain, norm)) @ s.x
    assert_lowered_to("gft", layer, s)
    assert error(layer(s).x, wanted) < 1e-6  # 0.7 in single precision
    assert set(assert_parity(layer, s)) == {"gft", "spmm"}


@pytest.mark.parametrize("norm", [None, "sym", "rw"])
@each
def test_polynomials_approach_the_exact_filter(domain, norm):
    s = signal(domain)
    for function in (g.heat(0.5), g.band_pass(1.0, 0.8), g.mexican_hat(1.5)):
        exact = g.Filter(function.double(), norm)(s).x
        off = [error(g.Filter(function, norm, order)(s).x, exact) for order in (2, 8, 40)]
        assert off[2] < 1e-7 and off[2] <= off[1] <= off[0] + 1e-12


def test_half_precision():
    for order in (None, 3):
        layer, s = g.Filter(g.heat(0.5), "sym", order), signal(TORUS)
        found = layer(s.to(torch.bfloat16))
        assert found.dtype == torch.bfloat16
        assert error(found.x.double(), layer.double()(s).x) < 2e-2


def mixing(*more: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Linear(1, 4), *more, nn.Tanh(), nn.Linear(4, 1)
    return nn.Sequential(nn.Unflatten(0, (-1, 1)), *layers, nn.Flatten(0))


@pytest.mark.parametrize("order", [None, 3])
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_a_module_of_half_precision_answers_in_single(half, order):
    """The exact answer of its rounded numbers, up to the rounding of values in and out."""
    layer, s = g.Filter(mixing(), "sym", order).to(half), signal(TORUS).to(half)
    found = layer(s)
    found.x.square().sum().backward()
    wide = copy.deepcopy(layer).double()
    wide.zero_grad()
    wanted = wide(s.to(torch.float64))
    wanted.x.square().sum().backward()
    assert found.dtype == half and error(found.x.double(), wanted.x) < 2**-7
    for p, q in zip(layer.parameters(), wide.parameters(), strict=True):
        assert p.grad.dtype == half and error(p.grad.double(), q.grad) < 2**-5 * q.grad.abs().max()
    # Frequencies in half precision would be off by more than the output's own rounding.
    wider = g.Filter(mixing(), "sym", order)
    wider.load_state_dict(layer.state_dict())
    assert wider(s).x.equal(found.x)


def test_running_statistics_of_half_precision_move():
    layer, s = g.Filter(mixing(nn.BatchNorm1d(4))).bfloat16(), signal(TORUS).to(torch.bfloat16)
    norm = layer.function[2]
    layer(s)
    wanted = g.Filter(mixing(nn.BatchNorm1d(4)))
    wanted(s)
    assert norm.num_batches_tracked == 1
    assert error(norm.running_mean.float(), wanted.function[2].running_mean) < 2**-7
    layer.eval()
    kept = norm.running_mean.clone()
    layer(s)
    assert norm.running_mean.equal(kept)


@pytest.mark.usefixtures("fresh_compiler")
def test_a_module_of_half_precision_compiles_whole():
    layer, s = g.Filter(mixing()).bfloat16(), signal(TORUS).to(torch.bfloat16)
    g.prepare(layer, s)
    with torch.no_grad():
        found = torch.compile(layer, fullgraph=True, backend="eager")(s)
    assert found.x.equal(layer(s).x)


DTYPES = torch.bfloat16, torch.float16, torch.float32, torch.float64


@pytest.mark.parametrize("order", [None, 3])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("other", DTYPES)
def test_modules_of_another_dtype_are_refused_in_words(dtype, other, order):
    layer, s = g.Filter(mixing(), None, order).to(other), signal(RING).to(dtype)
    if other in (dtype, torch.promote_types(dtype, torch.float32)):
        assert layer(s).dtype == dtype
        return
    with pytest.raises(g.GeodlError, match=f"a function with parameters of {other}; convert"):
        layer(s)


def test_a_polynomial_function_is_met_exactly():
    layer = g.Filter(lambda f: 1 - f + 0.5 * f**3, "sym", 3)
    s, operator = signal(GRAPH), dense(GRAPH, "sym")
    one = torch.eye(6, dtype=torch.float64)
    cube = torch.linalg.matrix_power(operator, 3)
    assert error(layer(s).x, (one - operator + 0.5 * cube) @ s.x) < 1e-12


@pytest.mark.parametrize("order", [None, 4])
def test_gradients_reach_signal_and_parameters(order):
    layer = g.Filter(g.band_pass(0.8, 0.5), "sym", order).double()
    parameters = list(layer.parameters())
    assert len(parameters) == 2
    for domain in (TORUS, GRAPH):
        x = signal(domain, batch=1).x.requires_grad_()

        def answer(x: Tensor, *parameters: Tensor, domain=domain) -> Tensor:
            names = dict(zip(("function.center", "function.width"), parameters, strict=True))
            return torch.func.functional_call(layer, names, (g.Signal(x, domain),)).x

        assert torch.autograd.gradcheck(answer, (x, *parameters))
        assert torch.autograd.gradgradcheck(answer, (x, *parameters))


def test_transforms_of_functions():
    layer = g.Filter(g.heat(0.5)).double()

    def loss(x: Tensor) -> Tensor:
        return layer(g.Signal(x[None], RING)).x.square().sum()

    batch = signal(RING, batch=3).x
    each = torch.func.vmap(torch.func.grad(loss))(batch)
    for found, one in zip(each, batch, strict=True):
        one = one.clone().requires_grad_()
        assert error(found, torch.autograd.grad(loss(one), one)[0]) < 1e-12


@pytest.mark.usefixtures("fresh_compiler")
def test_a_polynomial_up_to_a_domains_own_eigenvalue_compiles_whole():
    layer, s = g.Filter(g.heat(0.5), None, 2), signal(GRAPH).to(torch.float32)
    g.prepare(layer, s)
    same_when_compiled(layer, s)


@pytest.mark.parametrize("batch", [0, 1, 3])
def test_batches_and_views(batch):
    for domain in (TORUS, GRAPH):
        layer, s = g.Filter(g.heat(0.5)).double(), signal(domain, 4, batch)
        y = layer(s).x
        assert y.shape == s.shape
        apart = s.with_x(s.x.transpose(1, 2).contiguous().transpose(1, 2))
        assert error(layer(apart).x, y) < 1e-12


def test_bands_of_meyer_keep_the_energy():
    bands = g.meyer(3)
    s = signal(GRAPH)
    energy = sum(g.Filter(band, "sym")(s).x.square().sum() for band in bands)
    assert len(bands) == 4
    assert error(energy, g.fourier(s, "sym").x.square().sum()) < 1e-12
    for low, high in zip(bands, bands[2:], strict=False):
        f = torch.linspace(0, 2, 500)
        assert float((low(f) * high(f)).abs().max()) < 1e-6  # each touches its two neighbors alone


def test_spectral_convolution_of_bruna():
    """One matrix for each mode, `Y = U (U'X)_k W_k`; smooth ones from fewer numbers."""
    layer, s = g.Conv(2, 3, g.modes(), on=GRAPH).double(), signal(GRAPH)
    assert layer.weight.shape == (6, 2, 3)
    u = g.spectrum(GRAPH).vectors
    wanted = u @ torch.einsum("bki,kio->bko", u.T @ s.x, layer.weight) + layer.bias
    assert error(layer(s.x), wanted) < 1e-12
    first = g.Conv(2, 3, g.modes(4)).double()
    assert_lowered_to("gft", first, s)
    few = g.Filter(first.weight.detach())
    assert error(few(s).x + first.bias, first(s).x) < 1e-12

    class Smooth(nn.Module):
        def __init__(self):
            super().__init__()
            self.knots = nn.Parameter(torch.randn(3, 2, 3, dtype=torch.float64))

        def forward(self, frequency: Tensor) -> Tensor:
            powers = torch.stack([frequency**k for k in range(3)], dim=1)
            return torch.einsum("pk,kio->pio", powers, self.knots)

    smooth = Smooth()
    spectral = g.Filter(smooth)
    chebyshev = g.Filter(smooth, order=2)
    assert error(spectral(s).x, chebyshev(s).x) < 1e-12
    on_ring = spectral(signal(RING))
    assert on_ring.shape == (2, 8, 3)


def test_numbers_are_learnt_mode_by_mode():
    layer = g.Filter([1.0, 0.5]).double()
    s = signal(CHAIN)
    u = g.spectrum(CHAIN, 2).vectors
    wanted = u @ (torch.tensor([1.0, 0.5]).double()[:, None] * (u.T @ s.x))
    assert error(layer(s).x, wanted) < 1e-12
    layer(s).x.square().sum().backward()
    assert layer.weight.grad is not None and layer.weight.grad.all()


def test_long_polynomials_of_a_torus_are_transformed():
    """Layers that mix channels, too, from an order on that no recursion reaches as fast."""
    for order, wanted in ((31, "polynomial"), (32, "gft")):
        layer = g.Conv(2, 3, g.polynomial(g.laplacian("sym"), order)).double()
        assert_lowered_to(wanted, layer, signal(TORUS))
    layer = layer.over(g.polynomial(g.laplacian(), 32))
    assert max(assert_parity(layer, signal(TORUS)).values()) < 1e-10


def test_explain_says_which_transform_ran():
    layer = g.Filter(g.heat(1.0))
    assert "runs on gft, fft x fft" in str(layer.explain(TORUS))
    assert "runs on gft, eigh of 6 x 6" in str(layer.explain(GRAPH))
    assert "runs on polynomial" in str(g.Filter(g.heat(1.0), order=3).explain(GRAPH))


def test_weights_of_a_call():
    weight = torch.tensor([0.5, 0.5, 2.0, 2.0, 1.0, 1.0], dtype=torch.float64, requires_grad=True)
    plain = g.Graph(INDEX, 6)
    layer, s = g.Filter(g.heat(0.5), "sym", 8).double(), signal(GRAPH)
    y = layer(g.Signal(s.x, plain.with_weights(weight))).x
    assert error(y, layer(s).x) < 1e-12
    assert torch.autograd.grad(y.square().sum(), weight)[0].any()


def test_members_share_the_polynomial_of_the_largest_eigenvalue():
    heavy = g.Graph([[0, 1], [1, 0]], 2, edge_weight=[9.0, 9.0])
    union = g.Batch([GRAPH, heavy])
    layer, s = g.Filter(g.heat(0.2).double(), None, 40), signal(union)
    assert error(layer(s).x, g.Filter(layer.function)(s).x) < 1e-10


def wrong(answer):
    return lambda: g.Filter(lambda f: answer)(signal(CHAIN))


REFUSED = {
    "order": (lambda: g.Filter(g.heat(1.0), None, -1), "Filter", "the order -1", "from 0"),
    "norm": (lambda: g.Filter(g.heat(1.0), "symm"), "symm", "", "did you mean 'sym'"),
    "eigenvalue": (
        lambda: g.Filter(g.heat(1.0), lambda_max=2.0),
        "Filter",
        "no order",
        "name the order",
    ),
    "order of numbers": (
        lambda: g.Filter([1.0], order=2),
        "Filter",
        "numbers mode by mode",
        "a function of frequency",
    ),
    "numbers": (lambda: g.Filter([[1.0]]), "Filter", "shape [1, 1]", "[P, C_in, C_out]"),
    "no numbers": (lambda: g.Filter("heat"), "Filter", "a str", "give a function, or numbers"),
    "too many numbers": (
        lambda: g.Filter([1.0] * 9).double()(signal(CHAIN)),
        "modes(9)",
        "9 modes wanted of 7 nodes",
        "",
    ),
    "answer": (wrong(3.0), "Filter", "a float", "answer with [7]"),
    "shape": (wrong(torch.ones(3)), "Filter", "shape [3]", "answer with [7]"),
    "dtype": (wrong(torch.ones(7)), "Filter", "torch.float32", "float64"),
    "channels": (
        wrong(torch.ones(7, 3, 1).double()),
        "Filter",
        "3 rows for 2 channels",
        "[P, C_in, C_out]",
    ),
    "sender": (
        lambda: g.Filter(g.heat(1.0)).double()(signal(CHAIN), signal(CHAIN)),
        "a sender",
        "a second signal",
        "one signal",
    ),
    "weights of a call": (
        lambda: g.Filter(g.heat(1.0))(g.Signal(torch.ones(1, 6, 1), GRAPH.with_weights([1.0] * 6))),
        "modes()",
        "come with each call",
        "",
    ),
    "eigenvalue of a call": (
        lambda: g.Filter(g.heat(1.0), order=3)(
            g.Signal(torch.ones(1, 6, 1), GRAPH.with_weights([1.0] * 6))
        ),
        "largest eigenvalue",
        "come with each call",
        "lambda_max=",
    ),
    "too large": (
        lambda: g.Filter(g.heat(1.0))(
            g.Signal(torch.ones(1, 20_000, 1), g.Graph([[0], [1]], 20_000))
        ),
        "all modes",
        "6.0 GiB",
        "order=20",
    ),
    "NaN": (
        lambda: g.Filter(g.heat(1.0))(g.Signal(torch.full((1, 7, 1), math.nan), CHAIN)),
        "Filter",
        "NaN or infinite values",
        "nan_to_num",
    ),
    "NaN for the first modes": (
        lambda: g.Filter([1.0])(g.Signal(torch.full((1, 7, 1), math.inf), CHAIN)),
        "Filter",
        "NaN or infinite values",
        "nan_to_num",
    ),
    "heat": (lambda: g.heat(-1.0), "heat(time=-1.0)", "", "positive"),
    "hat": (lambda: g.mexican_hat(math.inf), "mexican_hat", "", "positive"),
    "band": (lambda: g.band_pass(-1.0, 2.0), "band_pass", "", "from 0"),
    "bands": (lambda: g.meyer(0), "meyer(scales=0)", "", "positive integer"),
    "rule": (lambda: g.modes(0), "modes(0)", "", "positive integer"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    assert_refused(REFUSED[name])


def test_numbers_of_modes_are_no_symmetry():
    # Modes of one frequency with numbers of their own: a quarter turn exchanges them.
    grid, layer = g.Grid(5, 5), g.Filter([1.0, 0.5, 0.2]).double()
    s = g.Signal(torch.randn(1, 25, 2, dtype=torch.float64), grid)
    assert max(g.equivariance_error(layer, s, g.C(4)).values()) > 1e-3
    assert not g.certify(layer, grid, g.C(4)).exact
    assert not g.certify(g.Sequential(g.Conv(2, 2, g.itself()).double(), layer), grid, g.D(4)).exact
