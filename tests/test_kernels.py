"""Kernels for CPUs: the reference's numbers compiled, interpreted and without numba, from several
threads and in forked processes.
"""

import multiprocessing
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import nn

import geodl as g
from geodl import compiler
from geodl.lowering import plans
from geodl.lowering.kernels import gat, segment, threads
from geodl.testing import assert_lowered_to, assert_parity, error, outcome
from tests.cases import CASES
from tests.strategies import Case
from tests.test_kernel_threads import WHOSE, choose_threads
from tests.test_threads import FORKED, in_threads


def apart(x_i: torch.Tensor, x_j: torch.Tensor, e_ij: None) -> torch.Tensor:
    return x_j * x_j - x_i


def sender(x_i: torch.Tensor, x_j: torch.Tensor, e_ij: None) -> torch.Tensor:
    return x_j


COUNT = 3  # threads of torch: more than a machine of two cores has, so that they take turns
LAYERS = {
    "max": lambda: g.Pool(g.adjacency(), "max"),
    "min": lambda: g.Pool(g.adjacency(), "min"),
    "gat": lambda: g.Attention(4, g.adjacency(), 2, "gat"),
    "message": lambda: g.Message(apart, g.adjacency(), ("max", "min")),
}


def interpreted(**options: Any) -> Any:
    """numba's `njit` where there is no numba: the kernel as Python runs it."""
    return lambda kernel: kernel


def uncached(**options: Any) -> Any:
    """numba's `njit` where no folder may be written."""
    raise RuntimeError("cannot cache function: no locator available")


SETTINGS = {"by numba": "numba", "interpreted": interpreted, "uncached": uncached, "absent": None}


def forget() -> None:
    """Let the library look for numba again."""
    compiler.numba_missing.cache_clear()
    compiler.compiled.cache_clear()
    compiler._teach_prefetch.cache_clear()


@pytest.fixture(autouse=True)
def _found_again(monkeypatch) -> Iterator[None]:
    forget()
    # A plan says which way it runs, and between value domains it would outlive the setting.
    monkeypatch.setattr(plans, "VALUES", plans.Store())
    yield
    forget()


def choose_numba(patch: pytest.MonkeyPatch, setting: str) -> bool:
    """Let the library find numba so; whether the kernels run."""
    if setting == "by numba":
        return compiler.numba_missing() == ""
    found: Any = None
    if SETTINGS[setting] is not None:
        config = SimpleNamespace(DISABLE_JIT=False)
        found = SimpleNamespace(config=config, njit=SETTINGS[setting])
        parts = SimpleNamespace(
            register_jitable=lambda part: part,
            intrinsic=lambda part: part,
            overload=lambda part: lambda twin: twin,
        )
        patch.setitem(sys.modules, "numba.extending", parts)
    patch.setitem(sys.modules, "numba", found)
    return setting == "interpreted"


@pytest.fixture(params=SETTINGS)
def runs(request, monkeypatch, _found_again) -> bool:
    """With numba, with kernels as Python runs them, without a cache and without numba: whether the
    kernels run.
    """
    return choose_numba(monkeypatch, request.param)


@pytest.fixture(params=WHOSE)
def several_threads(request, monkeypatch) -> Iterator[None]:
    """Small graphs are shared out, too, on either kind of threads."""
    choose_threads(monkeypatch, request.param)
    monkeypatch.setattr(threads, "SMALL", 0)
    monkeypatch.setattr(segment, "LINE", 1)
    kept = torch.get_num_threads()
    torch.set_num_threads(COUNT)
    yield
    torch.set_num_threads(kept)


@pytest.fixture
def several_kernel_threads(several_threads, monkeypatch) -> None:
    """Kernels are shared out, and torch's own operations are not: products of matrices would wait
    for ever, in a process that is forked, for threads that their libraries had started before. On
    some processors they start them for the smallest ones.
    """
    monkeypatch.setattr(torch, "get_num_threads", lambda: COUNT)
    torch.set_num_threads(1)


def graph(nodes: int = 40, edges: int = 200) -> g.Graph:
    """A graph with parallel edges; its last node receives from no one."""
    generator = torch.Generator().manual_seed(0)
    index = torch.randint(nodes, (2, edges), generator=generator)
    index[1].clamp_(max=nodes - 2)
    return g.Graph(index, nodes)


def noise(domain: g.Domain, batch: int = 2, dtype: torch.dtype = torch.float64) -> g.Signal:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batch, domain.num_nodes, 4, generator=generator, dtype=torch.float64)
    return g.Signal(x.to(dtype), domain)


def made(name: str) -> Any:
    torch.manual_seed(0)
    return LAYERS[name]().double()


@pytest.mark.parametrize("name", LAYERS)
def test_explain_says_which_path_runs(name, runs):
    layer, signal = made(name), noise(graph())
    told = layer.explain(signal)
    words = "by numba" if runs else "by torch: "
    assert told.note.removeprefix("extremes ").startswith(words)
    assert f"runs on {told.lowering}, {told.note}" in str(g.explain(layer, signal))
    lowering = "edge_softmax" if name == "gat" else "segment"
    assert_lowered_to(lowering, layer, signal)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_every_path_is_the_reference(name, batch, runs, several_threads):
    layer, signal = made(name), noise(graph(), batch)
    errors = assert_parity(layer, signal)
    assert {"segment", "edge_softmax"} & errors.keys()
    empty = g.Graph(torch.zeros(2, 0, dtype=torch.long), 3)
    assert_parity(layer, noise(empty, batch))


@pytest.mark.parametrize("verb", ["pool", "attend"])
def test_kernels_as_python_runs_them_draw_every_case(verb, monkeypatch, several_threads):
    """What numba compiles is what is read here: a wrong index that machine code forgives raises."""
    assert choose_numba(monkeypatch, "interpreted")
    name = {"pool": "segment", "attend": "edge_softmax"}[verb]

    @given(CASES[verb, name])
    def each(case: Case) -> None:
        assert_parity(case.layer, *case.signals)

    each()


def test_a_wrong_kernel_is_seen(monkeypatch):
    def first_sender(first, last, sign, rows, cols, x, y, winner, ties):
        winner[...], ties[...] = 0, 1
        if x.size:
            y[...] = x[:, cols[rows[:-1].clip(max=len(cols) - 1)]]

    assert choose_numba(monkeypatch, "interpreted")
    monkeypatch.setattr(segment, "find_largest", first_sender)
    with pytest.raises(AssertionError, match="segment is off the reference"):
        assert_parity(made("max"), noise(graph()))


@pytest.mark.parametrize("name", LAYERS)
def test_second_derivatives(name, runs):
    layer, domain = made(name), graph(6, 14)
    x = noise(domain, 1).x.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: layer(g.Signal(x, domain)).x, x)
    assert torch.autograd.gradgradcheck(lambda x: layer(g.Signal(x, domain)).x, x)


@pytest.mark.parametrize("reduce", ["max", "min"])
def test_ties_share_the_gradient(reduce, runs):
    """Equal values at both ends of parallel edges, and zeros of either sign."""
    domain = g.Graph([[0, 1, 1, 2, 3], [0, 0, 0, 0, 1]], 4)
    layer = g.Pool(g.adjacency(), reduce)
    x = torch.tensor([0.0, -0.0, 0.0, 7.0], dtype=torch.float64)[None, :, None].requires_grad_()
    (dx,) = torch.autograd.grad(layer(g.Signal(x, domain)).x.sum(), x)
    assert dx.flatten().tolist() == [0.25, 0.5, 0.25, 1.0]
    assert_parity(layer, g.Signal(x.detach(), domain))


@pytest.mark.parametrize("reduce", ["max", "min"])
def test_what_is_no_number_and_what_is_infinite(reduce, runs):
    domain = g.Graph([[0, 1, 2, 0, 3, 3], [0, 0, 0, 1, 1, 2]], 4)
    x = torch.tensor([1.0, torch.nan, 2.0, -torch.inf])[None, :, None]
    layer = g.Pool(g.adjacency(), reduce)
    found = layer(g.Signal(x, domain)).x
    layer.lowering = "edges"
    assert torch.equal(found.nan_to_num(5.0), layer(g.Signal(x, domain)).x.nan_to_num(5.0))


@pytest.mark.parametrize("reduce", ["max", "min"])
def test_the_gradient_of_a_maximum_that_is_nan(reduce, runs):
    """NaN for all that arrives where the maximum is NaN, and for nothing else; `lattice`, torch's
    pooling, gives all of it to the NaN.
    """
    domain = g.Graph([[1, 2, 3, 2, 3, 0], [0, 0, 0, 2, 2, 3]], 5)
    values = torch.tensor([1.0, 5.0, torch.nan, 0.0, 2.0], dtype=torch.float64)
    for layer in (g.Pool(g.adjacency(), reduce), g.Message(sender, g.adjacency(), reduce)):
        for lowering in ("segment", "edges"):
            layer.lowering = lowering
            for again in (False, True):
                x = values[None, :, None].clone().requires_grad_()
                y = layer(g.Signal(x, domain)).x
                assert y.isnan().flatten().tolist() == [True, False, True, False, False]
                (dx,) = torch.autograd.grad(y.nansum() + y[0, 0].sum(), x, create_graph=again)
                assert dx.isnan().flatten().tolist() == [False, True, True, True, False]
                assert dx[0, 0] == 1 and dx[0, 4] == 0
    layer = g.Pool(g.window(3), reduce)
    layer.lowering = "lattice"
    x = values[None, :4, None].clone().requires_grad_()
    (dx,) = torch.autograd.grad(layer(g.Signal(x, g.Grid(2, 2))).x.sum(), x)
    assert dx.flatten().tolist() == [0, 0, 4, 0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", LAYERS)
def test_half_precision_answers_in_half_precision(name, dtype, runs):
    layer, signal = made(name), noise(graph(), dtype=dtype)
    wanted, gradients = outcome(layer, g.Signal(signal.x.double(), signal.domain))
    found, ours = outcome(layer.to(dtype), signal)
    assert found.dtype == ours["input 0"].dtype == dtype
    assert error(found.double(), wanted) < 0.05
    assert error(ours["input 0"].double(), gradients["input 0"]) < 0.05


def test_what_a_pool_answers_may_be_changed_in_place(runs):
    net = g.Sequential(made("max"), nn.ReLU(inplace=True))
    signal = noise(graph())
    _, gradients = outcome(net, signal)
    _, wanted = outcome(g.Sequential(made("max"), nn.ReLU()), signal)
    assert torch.equal(gradients["input 0"], wanted["input 0"])


def test_far_scores_leave_numbers(runs):
    """Scores so far apart that weights vanish, and larger than exp can take."""
    layer, signal = made("gat"), noise(graph())
    with torch.no_grad():
        layer.score_vectors *= 1e4
    y, gradients = outcome(layer, signal)
    assert all(bool(torch.isfinite(t).all()) for t in (y, *gradients.values()))
    assert_parity(layer, signal, bound=1e-7)


def test_the_exponential_of_single_precision():
    """To 1e-7 of its value where it is a normal number, and never a number where x is none."""
    x = -np.linspace(0, 87, 2001, dtype=np.float32)
    y = np.array([gat.exponential_of_single(one) for one in x])
    wanted = np.exp(x.astype(np.float64))
    assert y.dtype == np.float32 and y[0] == 1
    assert np.abs(y / wanted - 1).max() < 2e-7
    assert 0 < gat.exponential_of_single(np.float32(-np.inf)) < 2e-38
    assert np.isnan(gat.exponential_of_single(np.float32(np.nan)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_no_number_reaches_its_receivers_alone(dtype, runs):
    layer, signal = made("gat").to(dtype), noise(graph(), dtype=dtype)
    signal.x[:, 3] = torch.nan
    wanted = made("gat").to(dtype)
    wanted.lowering = "edges"
    found = layer(signal).x.isnan()
    assert found.any() and not found.all() and torch.equal(found, wanted(signal).x.isnan())


@pytest.mark.usefixtures("several_threads")
@pytest.mark.parametrize("name", LAYERS)
def test_eight_threads_at_once(name, runs):
    """Kernels share one pool of threads; each caller gets the numbers of its own graph."""
    layer = made(name)
    signals = [noise(graph(20 + n, 90 + n)) for n in range(8)]
    wanted = [outcome(layer, signal) for signal in signals]

    def work(number: int) -> None:
        for _ in range(20):
            y, gradients = outcome(layer, signals[number])
            assert error(y, wanted[number][0]) < 1e-12
            for key, gradient in wanted[number][1].items():
                assert error(gradients[key], gradient) < 1e-12

    assert in_threads(work) == []


def compute(name: str, wanted: Any) -> None:
    y, gradients = outcome(made(name), noise(graph()))
    assert error(y, wanted[0]) < 1e-12
    for key, gradient in wanted[1].items():
        assert error(gradients[key], gradient) < 1e-12


@FORKED
@pytest.mark.skipif(torch.cuda.is_available(), reason="with CUDA no backward survives a fork")
@pytest.mark.usefixtures("several_kernel_threads")
@pytest.mark.parametrize("name", LAYERS)
def test_a_process_that_is_forked_after_a_kernel_runs_its_own(name, monkeypatch):
    """Its parent's threads are not there; work given to them would never be done."""
    if compiler.numba_missing():
        # torch's own threads, which its operations would use, do not survive a fork.
        forget()
        choose_numba(monkeypatch, "interpreted")
    wanted = outcome(made(name), noise(graph()))
    children = [
        multiprocessing.get_context("fork").Process(target=compute, args=(name, wanted))
        for _ in range(4)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    ends = [child.exitcode for child in children]
    for child in children:
        child.kill()
    assert ends == [0] * 4
    compute(name, wanted)
