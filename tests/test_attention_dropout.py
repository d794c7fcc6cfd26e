"""Dropout of attention weights along the edges of a graph: one draw of torch's generator for each
weight, the reference's numbers for the same draw.
"""

from typing import Any

import pytest
import torch
from torch.func import grad, jvp, vmap

import geodl as g
from geodl.lowering import edge_softmax
from geodl.lowering.draws import draw_ones
from geodl.lowering.fused_gat import Kept
from geodl.testing import assert_parity, error
from tests.compilation import same_when_compiled
from tests.test_kernels import _found_again, choose_numba, runs, several_threads  # noqa: F401

DROPOUT, HEADS = 0.4, 2


def sorted_graph(nodes: int = 12, edges: int = 40) -> g.Graph:
    """Edges in the order of their receivers, that of every kernel; the last node has none."""
    generator = torch.Generator().manual_seed(0)
    receivers = torch.randint(nodes - 1, (edges,), generator=generator).sort().values
    senders = torch.randint(nodes, (edges,), generator=generator)
    return g.Graph(torch.stack((senders, receivers)), nodes)


def noise(domain: g.Domain, batch: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = batch, domain.num_nodes, 4
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def layer_of(score: str = "gat") -> Any:
    torch.manual_seed(0)
    return g.Attention(4, g.adjacency(), HEADS, score, dropout=DROPOUT).double()


@pytest.fixture
def same_draw(monkeypatch) -> None:
    """Every kernel, and the reference, drop the same weights."""

    def flags(batch: int, edges: int, device: torch.device) -> torch.Tensor:
        number = torch.arange(batch * edges * HEADS, device=device)
        return (number * 7 % 10 >= 10 * DROPOUT).view(batch, edges, HEADS)

    def drawn(shape: tuple[int, int, int], dropout: float, device: torch.device) -> Kept:
        if not dropout:  # plans are made in evaluation mode
            return Kept(None, 1.0)
        return Kept(flags(*shape[:2], device), 1 / (1 - dropout))

    def dropped(a: torch.Tensor, dropout: float) -> torch.Tensor:
        return a * flags(*a.shape[:2], a.device) / (1 - dropout)

    monkeypatch.setattr(edge_softmax, "draw_kept", drawn)
    monkeypatch.setattr(torch.nn.functional, "dropout", dropped)


@pytest.mark.usefixtures("same_draw")
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_every_path_is_the_reference(batch, runs, several_threads):  # noqa: F811
    layer = layer_of()
    for domain in (sorted_graph(), g.Graph(torch.zeros(2, 0, dtype=torch.long), 3)):
        errors = assert_parity(layer, g.Signal(noise(domain, batch), domain))
        assert errors["edge_softmax"] < 1e-12


@pytest.mark.usefixtures("same_draw")
@pytest.mark.parametrize("score", ["dot", "gatv2"])
def test_scores_without_a_kernel_drop_the_same(score):
    domain = sorted_graph()
    assert_parity(layer_of(score), g.Signal(noise(domain), domain))


@pytest.mark.usefixtures("same_draw")
@pytest.mark.parametrize("runs", ["by numba", "absent"], indirect=True)
def test_derivatives_of_every_kind(runs):  # noqa: F811
    layer, domain = layer_of(), sorted_graph(5, 9)
    x = noise(domain, 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: layer(g.Signal(x, domain)).x, x)
    assert torch.autograd.gradgradcheck(lambda x: layer(g.Signal(x, domain)).x, x)
    plain = layer_of()
    plain.lowering = "edges"
    x, along = noise(domain, 3), noise(domain, 3).sin()

    def transforms(layer: Any) -> list[torch.Tensor]:
        def run(x: torch.Tensor) -> torch.Tensor:
            return layer(g.Signal(x, domain)).x

        def slope(x: torch.Tensor) -> torch.Tensor:
            return grad(lambda x: run(x).sin().sum())(x)

        pairs: list[Any] = [jvp(run, (x,), (along,)), jvp(slope, (x,), (along,))]
        return [*pairs[0], *pairs[1], vmap(slope)(x[:, None])]

    for found, wanted in zip(transforms(layer), transforms(plain), strict=True):
        assert error(found, wanted) < 1e-10


@pytest.mark.usefixtures("same_draw", "fresh_compiler")
def test_a_compiled_layer_drops_the_same():
    layer, domain = layer_of(), sorted_graph()
    signal = g.Signal(noise(domain), domain)
    g.prepare(layer, signal)
    same_when_compiled(layer, signal)


@pytest.mark.parametrize("runs", ["by numba"], indirect=True)
def test_a_seed_says_which_weights_are_dropped(runs):  # noqa: F811
    """With numba as without it."""
    layer, domain = layer_of(), sorted_graph()
    signal = g.Signal(noise(domain), domain)

    def drawn() -> torch.Tensor:
        torch.manual_seed(3)
        return layer(signal).x

    found = drawn()
    assert torch.equal(found, drawn()) and not torch.equal(found, layer(signal).x)
    assert torch.equal(layer.eval()(signal).x, layer_of().eval()(signal).x)
    layer.train()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edge_softmax, "_no_kernel", lambda call, reader: "left out here")
        other = sorted_graph()
        torch.manual_seed(3)
        assert error(layer(g.Signal(signal.x, other)).x, found) < 1e-12


@pytest.mark.parametrize("runs", ["by numba", "absent"], indirect=True)
def test_under_vmap_draws_are_as_torch_is_told(runs):  # noqa: F811
    layer, domain = layer_of(), sorted_graph()
    x = noise(domain, 1).expand(2, -1, -1, -1)
    for randomness in ("same", "different"):
        found = vmap(lambda x: layer(g.Signal(x, domain)).x, randomness=randomness)(x)
        assert bool(torch.isfinite(found).all())
        assert torch.equal(found[0], found[1]) == (randomness == "same")


@pytest.mark.parametrize("dropout", [1e-12, 0.25, 0.6, 1 - 1e-12])
def test_draws_keep_as_many_as_asked_and_neighbors_apart(dropout):
    """Of four values that one draw of 64 bits decides, each is dropped whatever the others are."""
    torch.manual_seed(0)
    ones = draw_ones((301, 333), dropout, torch.device("cpu"))
    torch.manual_seed(0)
    flags = draw_ones((301, 333), dropout, torch.device("cpu"), torch.bool)
    assert torch.equal(flags, ones.bool())
    assert ones.dtype == torch.float32 and set(ones.unique().tolist()) <= {0.0, 1.0}
    share, flat = 1 - dropout, ones.flatten()
    assert abs(float(ones.mean()) - share) < 0.01
    assert abs(float((flat[:-1] * flat[1:]).mean()) - share**2) < 0.01
    assert draw_ones((0, 3), dropout, torch.device("cpu")).shape == (0, 3)


def test_draws_drop_with_a_probability_between_two_numbers_of_16_bits():
    """Of 1.25 times 2^-16 either 1 or 2 of 2^16 values of a call are dropped, 2 in a quarter."""
    cpu, count = torch.device("cpu"), 2**20
    torch.manual_seed(0)
    calls = [count - float(draw_ones((count,), 1.25 * 2**-16, cpu).sum()) for _ in range(40)]
    # 20 on average, of a standard deviation of 8.3, in each call
    assert abs(sum(calls) / len(calls) - 20) < 4
    assert not draw_ones((5, 7), 1.0, cpu).any()
    assert draw_ones((5, 7), 0.0, cpu).all()


def test_as_many_weights_are_dropped_as_asked():
    """A star of 10,000 rays whose weights are equal: the standard deviation of the share is
    0.005.
    """
    rays = torch.arange(1, 10_001)
    star = g.Graph(torch.stack((rays, torch.zeros_like(rays))), 10_001)
    kept = edge_softmax.draw_kept((1, 10_000, 1), DROPOUT, torch.device("cpu"))
    assert kept.flags is not None and abs(kept.flags.float().mean() - 0.6) < 0.03
    layer = g.Attention(1, g.adjacency(), 1, "gat", out_proj=False, dropout=DROPOUT, bias=False)
    with torch.no_grad():
        layer.in_proj_weight.fill_(1)
        layer.score_vectors.zero_()
    y = layer(g.Signal(torch.ones(1, 10_001, 1), star)).x[0, 0, 0]
    assert abs(float(y.detach()) - 1) < 0.05
