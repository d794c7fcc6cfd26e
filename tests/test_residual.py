"""A layer on the shortcut: blocks that change domain and channels."""

import pytest
import torch
from torch import nn

import geodl as g
from geodl.testing import error


class Block(nn.Module):
    """The block of a ResNet that halves an image, with its projection."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.second = nn.Conv2d(6, 6, 3, padding=1)
        self.projection = nn.Conv2d(3, 6, 1, stride=2)

    def forward(self, x):
        return self.projection(x) + self.second(self.first(x).relu())


def test_the_block_of_a_resnet():
    twin = Block().double()
    first, second, projection = (
        g.interop.from_torch(part) for part in (twin.first, twin.second, twin.projection)
    )
    block = g.Residual(first, nn.ReLU(), second, shortcut=projection)
    x = torch.randn(2, 3, 8, 6, dtype=torch.float64)
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    y, wanted = block(g.Signal.image(a)), twin(b)
    assert y.domain == g.Grid(4, 3) and error(y.to_image(), wanted) < 1e-10
    y.x.sin().sum().backward()
    wanted.sin().sum().backward()
    assert error(a.grad, b.grad) < 1e-10
    assert error(projection.bias.grad, twin.projection.bias.grad) < 1e-10


def test_a_pointwise_shortcut_and_no_shortcut():
    s = g.Signal.sequence(torch.randn(2, 5, 3))
    inner, own = g.Conv(3, 4, g.window(3, axes=1)), nn.Linear(3, 4)
    assert error(g.Residual(inner, shortcut=own)(s).x, inner(s).x + own(s.x)) < 1e-6
    keys = g.Residual(nn.Linear(3, 3)).state_dict().keys()
    assert list(keys) == ["inner.0.weight", "inner.0.bias"]


def test_certified_and_traced_with_its_shortcut():
    c4, grid = g.C(4), g.Grid(5, 5)
    block = g.Residual(
        g.Conv(2, 3, g.lift(3, group=c4)), shortcut=g.Conv(2, 3, g.lift(1, group=c4))
    )
    assert g.certify(block, grid).exact
    plain = g.Residual(
        g.Conv(2, 3, g.lift(3, group=c4)), shortcut=g.Conv(2, 3, g.lift(1, group=c4))
    )
    assert [
        choice.path for choice in g.explain(plain, g.Signal(torch.zeros(1, 25, 2), grid)).choices
    ]
    broken = g.Residual(g.Conv(2, 2, g.isotropic(3, group=c4)), shortcut=g.Conv(2, 2, g.window(3)))
    assert not g.certify(broken, grid, c4).exact


def test_steps_go_along_the_shortcut():
    causal = g.window(3, axes=1, padding="causal")
    block = g.Residual(
        g.Attention(4, g.past(), 2), shortcut=g.Sequential(g.Conv(4, 4, causal), nn.Tanh())
    ).double()
    x, state, pieces = torch.randn(2, 6, 4, dtype=torch.float64), None, []
    for k in range(0, 6, 2):
        y, state = block.step(g.Signal.sequence(x[:, k : k + 2]), state)
        pieces.append(y.x)
    assert error(torch.cat(pieces, 1), block(g.Signal.sequence(x)).x) < 1e-12
    with pytest.raises(g.GeodlError, match="a step of Residual"):
        block.step(g.Signal.sequence(x), (None,))


def test_a_crossing_shortcut_receives_the_second_signal():
    cross = g.Cross(g.Attention(4, g.all_pairs(), 2))
    s, t = g.Signal.sequence(torch.randn(2, 3, 4)), g.Signal.sequence(torch.randn(2, 5, 4))
    block = g.Residual(nn.Identity(), shortcut=cross)
    assert block.takes_context and not g.Residual(nn.Identity(), shortcut=nn.Tanh()).takes_context
    assert error(block(s, t).x, s.x + cross(s, t).x) < 1e-6


BAD = {
    "another domain": (
        lambda: g.Residual(nn.Identity(), shortcut=g.Readout())(
            g.Signal(torch.zeros(1, 25, 2), g.Grid(5, 5))
        ),
        r"Residual from \[1, 1, 2\] on Complete\(1\).*give a shortcut that changes them, too",
    ),
    "other channels": (
        lambda: g.Residual(nn.Linear(2, 3))(g.Signal(torch.zeros(1, 25, 2), g.Grid(5, 5))),
        "keep domain and channels inside, or give a shortcut",
    ),
    "a module of another axis": (
        lambda: g.Residual(nn.Identity(), shortcut=nn.Conv2d(2, 2, 1)),
        "nn.Conv2d inside a container",
    ),
    "no twin": (
        lambda: g.interop.to_torch(
            g.Sequential(
                g.Residual(
                    g.Attention(8, g.all_pairs(), 2), g.Dropout(0.1), shortcut=nn.Identity()
                ),
                nn.LayerNorm(8),
            )
        ),
        "a form that nn.Transformer and its parts do not have",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_words(name):
    call, words = BAD[name]
    with pytest.raises(g.GeodlError, match=words):
        call()


class ToFloat(nn.Module):
    """Changes the dtype of what it is given."""

    def forward(self, x):
        return x.float()


@pytest.mark.parametrize("join", [g.Residual, lambda part: g.Concat(part, nn.Identity())])
def test_nothing_is_cast_in_silence(join):
    s = g.Signal(torch.ones(1, 3, 2, dtype=torch.float64), g.Chain(3))
    with pytest.raises(g.GeodlError, match="in one dtype"):
        join(g.Pointwise(ToFloat()))(s)
    with torch.autocast("cpu", torch.bfloat16):
        assert join(g.Conv(2, 2, g.itself()))(s.to(torch.float32)).x.isfinite().all()


@pytest.mark.parametrize("domain", [g.Chain, g.Complete])
@pytest.mark.parametrize("join", [g.Residual, lambda part: g.Concat(part, nn.Identity())])
@pytest.mark.usefixtures("fresh_compiler")
def test_several_lengths_compile(join, domain):
    block = join(g.Conv(4, 4, g.itself()))
    signals = [g.Signal(torch.randn(2, n, 4), domain(n)) for n in (5, 7, 9)]
    for s in signals:
        g.prepare(block, s)
    compiled = torch.compile(block, fullgraph=True, backend="eager")
    for s in signals:
        assert compiled(s).x.equal(block(s).x)
