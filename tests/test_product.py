"""Products of many rows by kernels, and where they are chosen: on any processor, whatever it would
choose for itself.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import geodl as g
from geodl.compiler import numba_missing
from geodl.lowering import product
from geodl.lowering.kernels import rows as kernels
from geodl.lowering.product import RowProduct, fits, linear, multiply_rows

pytestmark = pytest.mark.skipif(numba_missing() != "", reason="the kernels are numba's")

# The leading shape, C and C_out; with rows in the block alone, and beside it.
SHAPES = [
    ((1,), 4, 4),
    ((16,), 8, 3),
    ((1, 1000), 16, 16),
    ((3, 37), 33, 65),
    ((2, 5, 10), 7, 64),
    ((100,), 1, 6),
    ((100,), 6, 1),
    ((100,), 1, 1),
]


def _values(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator)


def _arguments(shape: tuple[int, ...], rows: int, columns: int) -> list[Tensor]:
    given = _values(*shape, rows), _values(rows, columns), _values(columns)
    return [tensor.requires_grad_() for tensor in given]


def _by_formula(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    y = x @ weight
    if bias is not None:
        y = y + bias
    return y


def _assert_close(ours: Tensor, wanted: Tensor, within: float = 1e-5) -> None:
    scale = wanted.abs().max().clamp(min=1e-30)
    assert ours.shape == wanted.shape
    assert (ours - wanted).abs().max() <= within * scale


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """What is left to kernels, the shape of each product: of all sizes here, on all processors."""
    found: list[torch.Size] = []
    multiply = kernels.multiply

    def count(*read: Any) -> Tensor:
        y = multiply(*read)
        found.append(y.shape)
        return y

    monkeypatch.setattr(product, "mkl_is_slow", lambda: True)
    monkeypatch.setattr(product, "MANY", 1)
    monkeypatch.setattr(kernels, "multiply", count)
    return found


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize(("shape", "rows", "columns"), SHAPES)
def test_values_and_gradients(
    shape: tuple[int, ...], rows: int, columns: int, with_bias: bool
) -> None:
    read = _arguments(shape, rows, columns)[: 2 + with_bias]
    y = RowProduct.apply(*read, *[None] * (3 - len(read)))
    wide = [tensor.detach().double().requires_grad_() for tensor in read]
    wanted = _by_formula(*wide)
    _assert_close(y, wanted)
    upstream = _values(*shape, columns)
    ours = torch.autograd.grad(y, read, upstream)
    theirs = torch.autograd.grad(wanted, wide, upstream.double())
    for one, two in zip(ours, theirs, strict=True):
        _assert_close(one, two)


@pytest.mark.parametrize(("shape", "rows", "columns"), SHAPES)
def test_second_derivatives(shape: tuple[int, ...], rows: int, columns: int, calls: list) -> None:
    read = _arguments(shape, rows, columns)
    wide = [tensor.detach().double().requires_grad_() for tensor in read]
    found = []
    for function, given in ((RowProduct.apply, read), (_by_formula, wide)):
        y = function(*given).square().sum()
        first = torch.autograd.grad(y, given, create_graph=True)
        found.append(torch.autograd.grad(sum(d.square().sum() for d in first), given))
    for one, two in zip(*found, strict=True):
        _assert_close(one, two, 1e-4)


@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (0, 2), (1, 2)])
def test_some_gradients(wanted: tuple[int, ...]) -> None:
    read = [tensor.detach() for tensor in _arguments((50,), 8, 5)]
    for place in wanted:
        read[place].requires_grad_()
    y = RowProduct.apply(*read)
    ours = torch.autograd.grad(y.square().sum(), [read[place] for place in wanted])
    y = _by_formula(*read)
    theirs = torch.autograd.grad(y.square().sum(), [read[place] for place in wanted])
    for one, two in zip(ours, theirs, strict=True):
        _assert_close(one, two)


def test_frozen_weights_keep_no_values() -> None:
    x, weight, _ = _arguments((50,), 8, 5)
    y = RowProduct.apply(x, weight.detach(), None)
    node: Any = y.grad_fn
    assert node.saved_tensors[0] is None


@pytest.mark.parametrize(
    "upstream",
    [torch.ones(1).expand(60, 5), _values(5, 60).t(), _values(60, 10)[:, ::2]],
    ids=["expanded", "turned", "strided"],
)
def test_gradients_that_do_not_lie_in_order(upstream: Tensor) -> None:
    x, weight, _ = _arguments((60,), 8, 5)
    ours = torch.autograd.grad(RowProduct.apply(x, weight, None), (x, weight), upstream)
    theirs = torch.autograd.grad(x @ weight, (x, weight), upstream)
    for one, two in zip(ours, theirs, strict=True):
        _assert_close(one, two)


def test_answer_may_be_changed_in_place() -> None:
    x, weight, bias = _arguments((2, 30), 8, 5)
    y = RowProduct.apply(x, weight, None).add_(bias)
    _assert_close(y, _by_formula(x, weight, bias))
    _assert_close(torch.autograd.grad(y.sum(), bias)[0], torch.full((5,), 60.0))


@pytest.mark.parametrize("shape", [(0, 4), (2, 0, 4), (0, 7, 4)])
def test_nothing_to_multiply(shape: tuple[int, ...], calls: list) -> None:
    x, weight = _values(*shape).requires_grad_(), _values(4, 5).requires_grad_()
    y = multiply_rows(x, weight)
    assert y.shape == (*shape[:-1], 5) and not calls
    assert torch.equal(torch.autograd.grad(y.sum(), weight)[0], torch.zeros(4, 5))


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize(("rows", "many"), [(2**14 - 1, False), (2**14, True)])
def test_choice_by_size(monkeypatch: pytest.MonkeyPatch, slow: bool, rows: int, many: bool) -> None:
    monkeypatch.setattr(product, "mkl_is_slow", lambda: slow)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    x, weight = torch.zeros(1, 3 * rows, 16), torch.zeros(16, 16)
    assert product.is_taken_over(x, weight) is (slow and many)


def _parameters(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    return x, nn.Parameter(weight)


def _doubles(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    return x.double(), weight.double()


def _weights_of_two_bytes(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    return x, weight.bfloat16()


def _elsewhere(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    return x.to("meta"), weight.to("meta")


def _turned(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    return x.mT.contiguous().mT, weight


def _sparse(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    return x[0].to_sparse(), weight


def _wide(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    return x[:, :7], weight


def _thin(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    return x[..., :3].contiguous(), weight[:3]


def _turned_weights(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    return x, weight.t()


@pytest.mark.parametrize(
    ("change", "chosen"),
    [
        (_parameters, True),
        (_turned_weights, True),
        (_doubles, False),
        (_weights_of_two_bytes, False),
        (_elsewhere, False),
        (_turned, False),
        (_sparse, False),
        (_wide, False),
        (_thin, False),
    ],
)
def test_choice_by_tensors(change: Callable[..., tuple[Tensor, Tensor]], chosen: bool) -> None:
    x, weight = change(_values(1, 100, 8), _values(8, 8))
    assert fits(x, weight) is chosen


def test_choice_by_settings() -> None:
    x, weight = _values(1, 100, 8), _values(8, 8)
    assert fits(x, weight)
    with torch.autocast("cpu"):
        assert not fits(x, weight)


def test_narrower_products_are_left_to_torch() -> None:
    settings = getattr(torch.backends.mkldnn, "matmul", None)
    if settings is None:
        pytest.skip("a torch that knows one precision for all products")
    before = settings.fp32_precision
    settings.fp32_precision = "bf16"
    try:
        assert not fits(_values(100, 8), _values(8, 8))
    finally:
        settings.fp32_precision = before


@pytest.mark.parametrize("function", [multiply_rows, lambda x, w, b: linear(x, w.t(), b)])
def test_both_layouts_of_weights(function: Callable[..., Tensor], calls: list) -> None:
    read = _arguments((2, 60), 8, 5)
    ours = function(*read)
    assert calls == [(120, 5)]
    wanted = _by_formula(*read)
    _assert_close(ours, wanted)
    pairs = zip(
        torch.autograd.grad(ours.square().sum(), read),
        torch.autograd.grad(wanted.square().sum(), read),
        strict=True,
    )
    for one, two in pairs:
        _assert_close(one, two)


def test_transforms_run_as_torch_does(calls: list) -> None:
    x, weight, bias = (tensor.detach() for tensor in _arguments((4, 60), 8, 5))

    def loss(weight: Tensor) -> Tensor:
        return multiply_rows(x, weight, bias).square().sum()

    _assert_close(torch.func.grad(loss)(weight), 2 * x.flatten(0, 1).t() @ _flat(x, weight, bias))
    mapped = torch.func.vmap(multiply_rows, in_dims=(0, None, None))(x, weight, bias)
    _assert_close(mapped, _by_formula(x, weight, bias))
    tangent = torch.func.jvp(lambda x: multiply_rows(x, weight, bias), (x,), (x,))[1]
    _assert_close(tangent, x @ weight)
    assert not calls


def _flat(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return _by_formula(x, weight, bias).flatten(0, 1)


def test_batched_gradients(calls: list) -> None:
    x, weight, bias = _arguments((30,), 8, 5)
    y = multiply_rows(x, weight, bias)
    assert calls
    upstream = _values(3, 30, 5)
    ours = torch.autograd.grad(y, (x, weight, bias), upstream, is_grads_batched=True)
    _assert_close(ours[0], upstream @ weight.t())
    _assert_close(ours[1], x.t() @ upstream)
    _assert_close(ours[2], upstream.sum(1))


def test_compilers_see_torch_s_product(calls: list) -> None:
    run = torch.compile(multiply_rows, backend="eager", fullgraph=True, dynamic=True)
    for rows in (20, 30, 40):
        x, weight, bias = _arguments((rows,), 8, 5)
        _assert_close(run(x, weight, bias), _by_formula(x, weight, bias))
    assert not calls


def test_weights_that_come_with_a_call(calls: list) -> None:
    """Links that are learned, whose product is no function of its own."""
    layer: Any = g.Conv(8, 4, g.adjacency())
    links = torch.rand(GRAPH.num_links).requires_grad_()
    x = _values(1, 70, 8)
    layer(g.Signal(x, GRAPH.with_weights(links)))
    assert calls == [(70, 4)]


GRAPH = g.Graph(torch.randint(70, (2, 400), generator=torch.Generator().manual_seed(1)), 70)
PARTS = [
    g.Conv(8, 8, g.adjacency("sym", self_loops=True)),
    g.Conv(8, 4, g.adjacency("sym", self_loops=True)),
    g.Conv(4, 8, g.adjacency("sym", self_loops=True)),
    g.Conv(8, 8, g.polynomial(g.adjacency("row"), 2, "monomial")),
    g.Attention(8, g.adjacency(self_loops=True), heads=2, score="gat"),
    g.Attention(8, g.adjacency(self_loops=True), heads=2),
    g.Message(nn.Sequential(nn.Linear(16, 8), nn.ReLU()), g.adjacency()),
    g.Conv(8, 8, g.itself()),
    g.Sequential(nn.ReLU(), g.Conv(8, 8, g.itself()), nn.ReLU()),
]


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_layers(part: Any, batch: int, calls: list, monkeypatch: pytest.MonkeyPatch) -> None:
    channels = 4 if getattr(part, "channels_in", 8) == 4 else 8
    x = _values(batch, 70, channels).requires_grad_()
    read = [x, *part.parameters()]
    found = []
    for by_kernel in (True, False):
        monkeypatch.setattr(product, "mkl_is_slow", lambda taken=by_kernel: taken)
        before = len(calls)
        y = part(g.Signal(x, GRAPH)).x
        assert (len(calls) > before) is by_kernel
        found.append((y, torch.autograd.grad(y.square().sum(), read, allow_unused=True)))
    (ours, first), (wanted, other) = found
    _assert_close(ours, wanted)
    for one, two in zip(first, other, strict=True):
        if two is None:
            assert one is None
            continue
        _assert_close(one, two, 1e-4)


@pytest.mark.parametrize("function", [multiply_rows, lambda x, w, b: linear(x, w.t(), b)])
def test_shapes_that_do_not_fit_are_left_to_torch(
    function: Callable[..., Tensor], calls: list
) -> None:
    x, weight = _values(100, 8), _values(8, 5)
    _assert_close(function(x, weight, torch.full((1,), 3.0)), x @ weight + 3)
    for wrong in (_values(5, 5), _values(4000, 5)):
        with pytest.raises(RuntimeError, match="shape|size"):
            function(x, wrong, _values(5))
    with pytest.raises(RuntimeError, match="shape|size|expand"):
        function(x, weight, _values(4))
    _assert_close(function(x, weight, torch.tensor(3.0)), x @ weight + 3)
    assert not calls


def test_factors_that_no_gradient_reads_may_change() -> None:
    x, weight, bias = (tensor.detach() for tensor in _arguments((100,), 8, 8))
    for place, changed in ((1, weight), (0, x), (2, weight), (2, x)):
        read = [x.clone(), weight.clone(), bias.clone()]
        read[place].requires_grad_()
        y = RowProduct.apply(*read)
        other = read[1] if changed is weight else read[0]
        wanted = torch.autograd.grad(_by_formula(*read).sum(), read[place])[0]
        with torch.no_grad():
            other.mul_(2)
        _assert_close(torch.autograd.grad(y.sum(), read[place])[0], wanted)


def test_negated_views_are_read_as_what_they_say(calls: list) -> None:
    x, weight, bias = _arguments((100,), 8, 8)
    y = multiply_rows(x, weight, bias)
    # torch has no public function that makes one of real numbers.
    negate: Any = torch.ops.aten._neg_view
    upstream = negate(torch.ones(100, 8))
    ours = torch.autograd.grad(y, (x, weight, bias), upstream)
    theirs = torch.autograd.grad(
        _by_formula(x, weight, bias), (x, weight, bias), -torch.ones(100, 8)
    )
    assert calls
    for one, two in zip(ours, theirs, strict=True):
        _assert_close(one, two)
