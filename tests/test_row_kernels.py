"""Products of rows by vectors: as Python runs the kernels and as numba translates them, of any
sizes, by any number of threads.
"""

from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from geodl.compiler import numba_missing
from geodl.lowering import product
from geodl.lowering.kernels import rows, threads

COMPILED = pytest.param(
    True, marks=pytest.mark.skipif(numba_missing() != "", reason=numba_missing()), id="numba"
)
SIZES = [(0, 3, 5), (1, 1, 1), (7, 4, 8), (8, 16, 16), (37, 13, 41), (300, 24, 100), (1000, 3, 64)]


@pytest.fixture(params=[COMPILED, pytest.param(False, id="Python")])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Kernels by numba, or the same functions on numpy's arrays; whether by numba."""
    if not request.param:
        monkeypatch.setattr(rows, "compiled", lambda kernel, *parts: kernel)
    return request.param


@pytest.fixture
def many_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Small products are shared out, too."""
    monkeypatch.setattr(threads, "SMALL", 0)
    monkeypatch.setattr(rows, "TALLEST", 4)
    monkeypatch.setattr(rows, "SHORTEST", 4)
    kept = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(kept)


def _numbers(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator)


def _assert_near(found: Tensor, wanted: Tensor) -> None:
    assert found.shape == wanted.shape and found.dtype == torch.float32
    assert torch.allclose(found.double(), wanted, rtol=1e-5, atol=1e-5 * (1 + len(wanted)) ** 0.5)


@pytest.mark.parametrize(("count", "depth", "width"), SIZES)
def test_products(count: int, depth: int, width: int, kernels: bool) -> None:
    if not kernels and count > 100:
        count = 30
    x, w, b, g = (
        _numbers(*shape) for shape in ((count, depth), (depth, width), (width,), (count, width))
    )
    _assert_near(rows.multiply(x, w, None), x.double() @ w.double())
    _assert_near(rows.multiply(x, w, b), x.double() @ w.double() + b.double())
    turned = w.t().contiguous().t()
    assert torch.equal(rows.multiply(x, turned, b), rows.multiply(x, w, b))
    _assert_near(rows.multiply_transposed(x, g), x.double().t() @ g.double())


@pytest.mark.parametrize("openmp", [True, False])
@pytest.mark.parametrize(("count", "depth", "width"), SIZES[1:])
def test_threads_change_no_digit(
    count: int,
    depth: int,
    width: int,
    openmp: bool,
    many_threads: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if numba_missing():
        monkeypatch.setattr(rows, "compiled", lambda kernel, *parts: kernel)
    if not openmp:
        monkeypatch.setattr(threads, "find_openmp", lambda: None)
    x, w, g = _numbers(count, depth), _numbers(depth, width), _numbers(count, width)
    read: list[Callable[[], Tensor]] = [
        lambda: rows.multiply(x, w, None),
        lambda: rows.multiply_transposed(x, g),
    ]
    for compute in read:
        together = compute()
        torch.set_num_threads(1)
        assert torch.equal(compute(), together)
        torch.set_num_threads(3)


@given(st.integers(1, 2000))
def test_every_column_is_taken_once(width: int) -> None:
    taken = []
    for start, vectors, lanes in rows.columns_of(width):
        assert vectors >= 1 and len(lanes) & (len(lanes) - 1) == 0
        assert start == len(taken)
        taken.extend(range(start, start + vectors * len(lanes)))
    assert taken == list(range(width))


def test_long_sums_keep_their_digits() -> None:
    """A million rows: sums of sums, so that roundings do not add up."""
    if numba_missing():
        pytest.skip(numba_missing())
    x, g = torch.rand(1_000_003, 2), torch.rand(1_000_003, 8)
    wanted = x.double().t() @ g.double()
    found = rows.multiply_transposed(x, g).double()
    assert ((found - wanted) / wanted).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("count", "channels", "channels_out", "by_kernel"),
    [
        (64 * 16, 16, 8, True),
        (64 * 16 - 1, 16, 8, False),
        (100, 8, 5, False),
        (20000, 264, 256, False),
    ],
)
def test_gradients_of_large_weights_are_torch_s(
    count: int, channels: int, channels_out: int, by_kernel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    monkeypatch.setattr(rows, "multiply_transposed", lambda x, g: seen.append(x) or x.t() @ g)
    made = product.gradient_of_weight(
        _numbers(count, channels), _numbers(count, channels_out), True
    )
    assert made.shape == (channels, channels_out) and bool(seen) is by_kernel
