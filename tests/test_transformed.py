"""A graph convolution as one function of autograd: held to the reference, values and every
gradient.
"""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

import geodl as g
from geodl.compiler import numba_missing
from geodl.lowering import product, transformed
from geodl.lowering.transformed import TransformedSum, is_one_function
from geodl.testing import error

pytestmark = pytest.mark.skipif(numba_missing() != "", reason="the kernels are numba's")

SYM = g.adjacency("sym", self_loops=True)
LAYERS = {
    "weights of links": lambda: g.Conv(8, 8, SYM),
    "ones": lambda: g.Conv(8, 4, g.adjacency()),
    "no bias": lambda: g.Conv(16, 8, SYM, bias=False),
    "one receives from another": lambda: g.Conv(8, 8, RELATION),
}
NODES, OTHERS = 70, 40


def _links(receivers: int, senders: int) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    src = torch.randint(senders, (300,), generator=generator)
    dst = torch.randint(receivers - 1, (300,), generator=generator)  # the last one hears nobody
    return torch.stack((src, dst))


GRAPH = g.Graph(_links(NODES, NODES), NODES)
RELATION = g.relation(_links(OTHERS, NODES), senders=NODES, receivers=OTHERS)


@pytest.fixture(autouse=True)
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often the function ran: here for every size, on every processor."""
    found: list[int] = []
    apply = TransformedSum.apply

    def count(*read: Any) -> Tensor:
        found.append(1)
        return apply(*read)

    monkeypatch.setattr(product, "mkl_is_slow", lambda: True)
    monkeypatch.setattr(product, "MANY", 1)
    monkeypatch.setattr(TransformedSum, "apply", count)
    return found


def _signals(name: str, layer: Any, dtype: torch.dtype) -> list[g.Signal]:
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(1, NODES, layer.channels_in, generator=generator, dtype=torch.float64)
    sender = g.Signal(x.to(dtype).requires_grad_(), GRAPH)
    if name != "one receives from another":
        return [sender]
    return [g.Signal(torch.zeros(1, OTHERS, 1, dtype=dtype), g.Complete(OTHERS)), sender]


def _run(name: str, by_edges: bool) -> list[Tensor]:
    """The answer, first derivatives and second ones; the reference in double precision."""
    torch.manual_seed(0)
    layer, dtype = LAYERS[name](), torch.float32
    if by_edges:
        layer, dtype = layer.double(), torch.float64
        layer.lowering = "edges"
    signals = _signals(name, layer, dtype)
    read = [signals[-1].x, *layer.parameters()]
    y = layer(*signals).x
    once = torch.autograd.grad(y.square().sum(), read, create_graph=True)
    twice = torch.autograd.grad(sum(d.square().sum() for d in once), read)
    usual = torch.autograd.grad(layer(*signals).x.square().sum(), read)
    return [y, *usual, *once, *twice]


@pytest.mark.parametrize("name", LAYERS)
def test_values_and_gradients_are_the_references(name: str, calls: list[int]) -> None:
    ours = _run(name, by_edges=False)
    assert len(calls) == 2
    for found, wanted in zip(ours, _run(name, by_edges=True), strict=True):
        assert error(found.double(), wanted) < 1e-5


@pytest.mark.parametrize("frozen", ["x", "weight", "bias", "weight bias", "x bias"])
def test_what_needs_no_gradient_gets_none(
    frozen: str, calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    layer: Any = g.Conv(8, 8, SYM)
    x = torch.randn(1, NODES, 8)
    read = {"x": x, "weight": layer.weight, "bias": layer.bias}
    found = []
    for with_kernel in (True, False):
        monkeypatch.setattr(product, "mkl_is_slow", lambda taken=with_kernel: taken)
        for name, tensor in read.items():
            tensor.grad = None
            tensor.requires_grad_(name not in frozen.split())
        layer(g.Signal(x, GRAPH)).x.square().sum().backward()
        found.append([copy.copy(tensor.grad) for tensor in read.values()])
    assert len(calls) == 1
    for name, ours, wanted in zip(read, *found, strict=True):
        assert (ours is None) == (wanted is None) == (name in frozen.split())
        if wanted is not None:
            assert error(ours, wanted) < 1e-5


def test_rows_of_a_program_are_the_same(calls: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(1, NODES, 8)
    net = g.Sequential(g.Conv(8, 8, SYM), torch.nn.ReLU(), g.Conv(8, 4, SYM))
    signal = g.Signal(x, GRAPH)
    found = net(signal).x
    assert len(calls) == 2
    monkeypatch.setattr(product, "mkl_is_slow", lambda: False)
    assert error(found, net(signal).x) < 1e-5


def test_transforms_run_without_it(calls: list[int]) -> None:
    layer: Any = g.Conv(8, 8, SYM)
    x = torch.randn(1, NODES, 8)
    wanted = torch.autograd.functional.jvp(lambda x: layer(g.Signal(x, GRAPH)).x, x, x)[1]
    calls.clear()
    found = torch.func.jvp(lambda x: layer(g.Signal(x, GRAPH)).x, (x,), (x,))[1]
    many = torch.func.vmap(lambda x: layer(g.Signal(x, GRAPH)).x)(x.expand(2, 1, NODES, 8))
    assert not calls
    assert error(found, wanted) < 1e-5
    assert error(many[1], layer(g.Signal(x, GRAPH)).x) < 1e-5


def test_gradients_of_a_batch_of_gradients() -> None:
    layer: Any = g.Conv(8, 8, SYM)
    x = torch.randn(1, NODES, 8, requires_grad=True)
    y = layer(g.Signal(x, GRAPH)).x
    upstream = torch.randn(3, *y.shape)
    together = torch.autograd.grad(
        y, (x, layer.weight), upstream, is_grads_batched=True, retain_graph=True
    )
    for k, one in enumerate(upstream):
        alone = torch.autograd.grad(y, (x, layer.weight), one, retain_graph=True)
        for ours, wanted in zip(together, alone, strict=True):
            assert error(ours[k], wanted) < 1e-5


def test_transforms_over_gradients_of_outside() -> None:
    layer: Any = g.Conv(8, 8, SYM)
    x = torch.randn(1, NODES, 8, requires_grad=True)
    y = layer(g.Signal(x, GRAPH)).x
    upstream = torch.randn(3, *y.shape)

    def grad(one: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(y, (x, layer.weight), one, retain_graph=True)

    together = torch.func.vmap(grad)(upstream)
    for k, one in enumerate(upstream):
        for ours, wanted in zip(together, grad(one), strict=True):
            assert error(ours[k], wanted) < 1e-5


def test_nothing_is_sent_back_for_a_bias_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    layer: Any = g.Conv(8, 8, SYM)
    layer.weight.requires_grad_(False)
    y = layer(g.Signal(torch.randn(1, NODES, 8), GRAPH)).x
    monkeypatch.setattr(transformed, "_sent_back", None)
    assert torch.equal(torch.autograd.grad(y.sum(), layer.bias)[0], torch.full((8,), NODES * 1.0))


def test_several_members_or_turned_values_are_left_to_others() -> None:
    x, weight = torch.randn(1, NODES, 8), torch.randn(8, 8)
    assert is_one_function(x, weight, None) and is_one_function(x[0], weight, None)
    assert not is_one_function(x.expand(2, NODES, 8), weight, None)
    assert not is_one_function(x.mT.contiguous().mT, weight, None)
    assert not is_one_function(x, weight[:4], None)
    assert not is_one_function(x[0].to_sparse_csr(), weight, None)
