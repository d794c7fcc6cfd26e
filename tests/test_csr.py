"""Products of sparse matrices with few columns by our kernel, and where it is chosen: on any
processor, whatever it would choose for itself.
"""

import warnings
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

import geodl as g
from geodl.compiler import numba_missing
from geodl.errors import GeodlError
from geodl.lowering import csr, product
from geodl.lowering.csr import csr_matmul, fits, is_large, pattern_matmul
from geodl.lowering.kernels import csr as kernel
from geodl.lowering.sparse import constant_pattern
from geodl.pattern import Pattern
from tests.compilation import same_when_compiled

with_numba = pytest.mark.skipif(numba_missing() != "", reason="the kernel is numba's")


def _pattern(receivers: int, senders: int, links: int, weighted: bool) -> Pattern:
    generator = torch.Generator().manual_seed(receivers + links)
    dst = torch.randint(receivers, (links,), generator=generator)
    src = torch.randint(senders, (links,), generator=generator)
    values = None
    if weighted:
        values = torch.randn(links, generator=generator)
    return constant_pattern(dst, src, (receivers, senders), values)


def _values(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def _entries(pattern: Pattern) -> Tensor | None:
    if pattern.values is None:
        return None
    return pattern.values[0]


def _by_formula(pattern: Pattern, x: Tensor, bias: Tensor | None) -> Tensor:
    """One row after the other, in double precision."""
    y = x.new_zeros(len(pattern.rows) - 1, x.shape[1], dtype=torch.float64)
    values = _entries(pattern)
    for row in range(len(y)):
        for e in range(int(pattern.rows[row]), int(pattern.rows[row + 1])):
            sent = x[pattern.cols[e]].double()
            if values is not None:
                sent = sent * values[e]
            y[row] += sent
    if bias is not None:
        y += bias
    return y


@with_numba
@given(
    receivers=st.integers(1, 9),
    senders=st.integers(1, 9),
    links=st.integers(0, 30),
    width=st.sampled_from([1, 3, 4, 7, 8, 16, 24, 32, 64, 100]),
    weighted=st.booleans(),
    with_bias=st.booleans(),
)
def test_kernel_against_the_formula(
    receivers: int, senders: int, links: int, width: int, weighted: bool, with_bias: bool
) -> None:
    pattern, x = _pattern(receivers, senders, links, weighted), _values(senders, width)
    bias = None
    if with_bias:
        bias = _values(width)
    y = kernel.multiply(pattern.rows, pattern.cols, _entries(pattern), x, bias)
    assert y.shape == (receivers, width) and y.dtype == torch.float32
    torch.testing.assert_close(y.double(), _by_formula(pattern, x, bias), atol=1e-5, rtol=1e-5)


@with_numba
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_kernel_shared_by_threads(threads: int) -> None:
    """Each row is one thread's, so that the answer is the same to the last digit."""
    pattern, x, bias = _pattern(3000, 2000, 20_000, True), _values(2000, 16), _values(16)
    read = pattern.rows, pattern.cols, _entries(pattern), x, bias
    wanted = kernel.multiply(*read)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert torch.equal(kernel.multiply(*read), wanted)
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(wanted, csr_matmul(*read[:4]) + bias)


@with_numba
def test_kernel_adds_the_bias_last() -> None:
    """A sum that began with a large bias would lose the digits of its terms."""
    many = 100_000
    pattern = constant_pattern(torch.zeros(many).long(), torch.arange(many), (2, many), None)
    x, bias = torch.ones(many, 4), torch.full((4,), 1e8)
    y = kernel.multiply(pattern.rows, pattern.cols, None, x, bias)
    assert torch.equal(y, torch.tensor([[1e8 + many] * 4, [1e8] * 4]))


@with_numba
def test_kernel_keeps_the_sign_of_nothing() -> None:
    """A node that hears nobody has 0 plus the bias, and `0 + (-0)` is 0."""
    pattern = constant_pattern(torch.zeros(3).long(), torch.arange(3), (2, 3), None)
    y = kernel.multiply(pattern.rows, pattern.cols, None, torch.ones(3, 4), torch.full((4,), -0.0))
    assert not torch.signbit(y[1]).any()


def _trace_by_jit(layer: Any, x: Tensor) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that it is deprecated
        return torch.jit.trace(layer, (x,), check_trace=False)


def _trace_by_fx(layer: Any, x: Tensor) -> Any:
    return make_fx(layer)(x)


def _trace_before_dispatch(layer: Any, x: Tensor) -> Any:
    return make_fx(layer, pre_dispatch=True)(x)


@pytest.mark.parametrize("trace", [_trace_by_jit, _trace_by_fx, _trace_before_dispatch])
@pytest.mark.parametrize(
    "make",
    [
        lambda: g.Propagate(g.adjacency(), on=GRAPH),
        lambda: g.Propagate(g.adjacency("sym"), on=GRAPH),
        lambda: g.Pool(g.adjacency(), "max", on=GRAPH),
        lambda: g.Attention(8, g.adjacency(self_loops=True), score="gat", on=GRAPH),
    ],
    ids=["sum", "weighted", "max", "gat"],
)
def test_traced_programs_read_no_place_beyond_the_end(trace: Any, make: Any, calls: list) -> None:
    """They have lost the layer's check of sizes: values of fewer nodes are refused all the same."""
    layer = make()
    traced = trace(layer, torch.zeros(1, 70, 8))
    x = _values(1, 70, 8)
    torch.testing.assert_close(traced(x), layer(x))
    before = len(calls)
    for size in (1, 69):
        with pytest.raises((RuntimeError, GeodlError)):
            traced(_values(1, size, 8))
    assert len(calls) == before


def test_values_that_change_their_size_under_a_signal(calls: list) -> None:
    signal = g.Signal(_values(1, 70, 8), GRAPH)
    signal.x.data = _values(1, 5, 8)
    with pytest.raises(RuntimeError, match="range"):
        g.Propagate(g.adjacency())(signal)
    assert not calls


def test_tensors_without_numbers_in_memory(calls: list) -> None:
    layer, x = g.Propagate(g.adjacency(), on=GRAPH), _values(1, 70, 8)
    # torch makes these itself, and has no public name for them.
    private: Any = torch
    answer = layer(private._to_functional_tensor(x))
    torch.testing.assert_close(private._from_functional_tensor(answer), layer(x))
    before = len(calls)
    nothing = private._efficientzerotensor((1, 70, 8))
    assert torch.equal(layer(nothing), torch.zeros(1, 70, 8))
    assert len(calls) == before


@with_numba
def test_kernel_reads_negated_views() -> None:
    pattern, x = _pattern(20, 30, 100, True), _values(30, 8)
    # torch has no public function that makes one of real numbers.
    negate: Any = torch.ops.aten._neg_view
    read = pattern.rows, pattern.cols, _entries(pattern)
    assert torch.equal(kernel.multiply(*read, negate(x), None), -kernel.multiply(*read, x, None))


@pytest.mark.parametrize("faster", [False, True])
@pytest.mark.parametrize(
    ("threads", "rows", "entries", "many"),
    [
        (1, 10, 2**16 - 1, False),
        (1, 10, 2**16, True),
        (1, 2**14, 2**16, True),
        (1, 2**14 + 1, 2**16, False),
        (2, 10, 2**20 - 1, False),
        (2, 10, 2**20, True),
    ],
)
def test_choice_by_size(
    monkeypatch: pytest.MonkeyPatch,
    faster: bool,
    threads: int,
    rows: int,
    entries: int,
    many: bool,
) -> None:
    monkeypatch.setattr(csr, "runs_on_wide_amd", lambda: faster)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    nothing = torch.zeros(1)
    pattern = Pattern(torch.zeros(rows), torch.zeros(entries), nothing, nothing)
    taken = is_large(pattern, torch.zeros(1, 16))
    assert taken is (faster and many)


@with_numba
@pytest.mark.parametrize(
    ("x", "chosen"),
    [
        (torch.zeros(5, 4), True),
        (torch.zeros(4, 4), False),
        (torch.zeros(6, 4), False),
        (torch.zeros(5, 16), True),
        (torch.zeros(5, 32), False),
        (torch.zeros(5, 6), False),
        (torch.zeros(5, 4, dtype=torch.float64), False),
        (torch.zeros(5, 4, device="meta"), False),
    ],
)
def test_choice_by_tensors(x: Tensor, chosen: bool) -> None:
    pattern = _pattern(7, 5, 9, False)
    assert fits(pattern, None, x, None) is chosen
    assert fits(pattern, torch.zeros(9), x, x.new_zeros(x.shape[1])) is chosen
    assert not fits(pattern, torch.zeros(9, dtype=torch.float64), x, None)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """What is left to the kernel, the shape of each answer: of all sizes here, on all
    processors.
    """
    found: list[torch.Size] = []
    multiply = kernel.multiply

    def count(*read: Any) -> Tensor:
        y = multiply(*read)
        found.append(y.shape)
        return y

    monkeypatch.setattr(csr, "runs_on_wide_amd", lambda: True)
    monkeypatch.setattr(csr, "LEAST_NUMBERS", 1)
    monkeypatch.setattr(csr, "LEAST_NUMBERS_SHARED", 1)
    monkeypatch.setattr(csr, "MEAN_ENTRIES", 0)
    monkeypatch.setattr(kernel, "multiply", count)
    return found


@pytest.mark.parametrize("weighted", [False, True])
def test_bias_beside_either_kernel(weighted: bool, calls: list) -> None:
    for width, chosen in ((8, numba_missing() == ""), (6, False)):
        pattern, x, bias = _pattern(9, 7, 30, weighted), _values(7, width), _values(width)
        y = pattern_matmul(pattern, _entries(pattern), x, bias)
        torch.testing.assert_close(y.double(), _by_formula(pattern, x, bias), atol=1e-5, rtol=1e-5)
        assert (calls == [(9, width)]) is chosen
        calls.clear()


GRAPH = g.Graph(torch.randint(70, (2, 400), generator=torch.Generator().manual_seed(1)), 70)
PARTS = [
    g.Conv(8, 8, g.adjacency("sym", self_loops=True)),
    g.Conv(16, 8, g.adjacency("row")),
    g.Conv(8, 16, g.adjacency()),
    g.Conv(8, 8, g.polynomial(g.adjacency("row"), 2, "monomial")),
    g.Propagate(g.adjacency("sym")),
    g.Pool(g.adjacency(), "mean"),
    g.Attention(8, g.adjacency(self_loops=True), heads=1),
]


@with_numba
@pytest.mark.parametrize("as_one", [False, True], ids=["parts", "one function"])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_layers(
    part: Any, batch: int, as_one: bool, calls: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values, every gradient and those of gradients, beside `embedding_bag`."""
    channels = 8
    if getattr(part, "channels_in", 8) == 16:
        channels = 16
    x = _values(batch, 70, channels).requires_grad_()
    read = [x, *part.parameters()]
    monkeypatch.setattr(product, "mkl_is_slow", lambda: as_one)
    monkeypatch.setattr(product, "MANY", 1)
    found = []
    for by_kernel in (True, False):
        monkeypatch.setattr(csr, "runs_on_wide_amd", lambda taken=by_kernel: taken)
        before = len(calls)
        y = part(g.Signal(x, GRAPH)).x
        first = torch.autograd.grad(y.square().sum(), read, create_graph=True)
        second = torch.autograd.grad(sum(d.square().sum() for d in first), read)
        found.append([y, *first, *second])
        assert (len(calls) > before) is by_kernel
    for ours, wanted in zip(*found, strict=True):
        scale = wanted.abs().max().clamp(min=1e-30)
        assert (ours - wanted).abs().max() <= 1e-4 * scale


@with_numba
def test_transforms(calls: list) -> None:
    layer: Any = g.Conv(8, 8, g.adjacency("sym", self_loops=True), on=GRAPH)
    x = _values(3, 1, 70, 8)
    wanted = torch.stack([layer(member) for member in x])
    assert calls
    torch.testing.assert_close(torch.func.vmap(layer)(x), wanted)
    tangent = torch.func.jvp(layer, (x[0],), (x[0],))[1]
    torch.testing.assert_close(tangent, wanted[0] - layer.bias)


@with_numba
@pytest.mark.usefixtures("fresh_compiler")
def test_compiled_layer(calls: list) -> None:
    layer = g.Conv(8, 8, g.adjacency("sym", self_loops=True), on=GRAPH)
    same_when_compiled(layer, g.Signal(_values(1, 70, 8), GRAPH))
    assert calls
