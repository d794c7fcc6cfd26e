"""Sums over neighbors plus a self term: one call of an unfolded list, and its operator."""

import pytest
import torch
from torch import Tensor, nn

import geodl as g
from geodl.layer.self_term import SelfTerm, SumWithSelfTerm
from geodl.layer.unfolded import unfolded_calls
from geodl.lowering.self_term import SpMMWithSelfTerm, multiply_with_self_term
from geodl.lowering.sparse import constant_pattern, multiply
from geodl.pattern import Pattern

LINKS = torch.tensor([[0, 1, 2, 3, 3, 3], [1, 2, 0, 4, 1, 3]])
GRAPH = g.Graph(LINKS, 6)


def _pattern() -> Pattern:
    return constant_pattern(LINKS[1], LINKS[0], (6, 6), None)


def _values(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def _gin(part: g.Layer, *, trained: bool = True) -> g.Sequential:
    eps = torch.tensor([0.25], dtype=torch.float64)
    if trained:
        eps = nn.Parameter(eps)
    own = SelfTerm(eps)
    network = g.Network("x", {"a": (part, "x"), "s": (own, "x"), "y": ("add", "s", "a")})
    return g.Sequential(network, nn.Linear(4, 4), g.Residual(part, shortcut=own)).double()


def _one_by_one(model: nn.Module, signal: g.Signal) -> g.Signal:
    with g.trace(model):
        return model(signal)


@pytest.mark.parametrize("batch", [0, 1, 3])
@pytest.mark.parametrize("part", [g.Pool(g.predecessors(), "sum"), g.Propagate(g.adjacency("row"))])
def test_same_as_layer_by_layer(part: g.Layer, batch: int) -> None:
    model, x = _gin(part), _values(batch, 6, 4).requires_grad_()
    calls = unfolded_calls(model)
    assert calls is not None
    assert [type(step.run) for step in calls._steps].count(SumWithSelfTerm) == 2
    signal = g.Signal(x, GRAPH)
    ours, wanted = model(signal).x, _one_by_one(model, signal).x
    assert torch.allclose(ours, wanted, atol=1e-12)
    read = [x, *model.parameters()]
    upstream = _values(*ours.shape)
    first, other = (
        torch.autograd.grad(y, read, upstream, create_graph=True) for y in (ours, wanted)
    )
    for one, two in zip(first, other, strict=True):
        assert torch.allclose(one, two, atol=1e-12)
    seconds = [
        torch.autograd.grad(sum(d.square().sum() for d in ds), read) for ds in (first, other)
    ]
    for one, two in zip(*seconds, strict=True):
        assert torch.allclose(one, two, atol=1e-10)


def test_operator_is_differentiated_and_mapped() -> None:
    pattern, c, x = _pattern(), torch.tensor([1.5], dtype=torch.float64), _values(1, 6, 2)

    def run(c: Tensor, x: Tensor) -> Tensor:
        return SpMMWithSelfTerm.apply(pattern, c, x)

    def reference(c: Tensor, x: Tensor) -> Tensor:
        return multiply(pattern, x) + c * x

    inputs = (c.clone().requires_grad_(), x.clone().requires_grad_())
    assert torch.autograd.gradcheck(run, inputs)
    assert torch.autograd.gradgradcheck(run, inputs)
    many = torch.stack((c, 2 * c)), torch.stack((x, -x))
    for in_dims in ((0, 0), (None, 0), (0, None)):
        given = [
            several if axis == 0 else one
            for several, axis, one in zip(many, in_dims, (c, x), strict=True)
        ]
        mapped, wanted = (torch.func.vmap(f, in_dims)(*given) for f in (run, reference))
        assert torch.allclose(mapped, wanted)
    slopes = [torch.func.jvp(f, (c, x), (c, x))[1] for f in (run, reference)]
    assert torch.allclose(*slopes)
    gradients = [
        torch.func.grad(lambda c, x, f=f: f(c, x).square().sum(), (0, 1))(c, x)
        for f in (run, reference)
    ]
    for one, two in zip(*gradients, strict=True):
        assert torch.allclose(one, two)


def test_operator_takes_parts_of_larger_tensors_and_no_edges() -> None:
    c, x = torch.tensor([0.5]), torch.randn(1, 12, 6)[:, ::2, ::3]
    assert torch.allclose(
        multiply_with_self_term(_pattern(), c, x), multiply(_pattern(), x) + c * x
    )
    none = torch.zeros(0, dtype=torch.long)
    assert torch.equal(
        multiply_with_self_term(constant_pattern(none, none, (6, 6), None), c, x), c * x
    )


def test_where_there_is_no_operator_the_layers_run() -> None:
    model, x = _gin(g.Pool(g.predecessors(), "sum"), trained=False), _values(2, 6, 4)
    for domain in (g.Batch([g.Chain(3)] * 2), g.Chain(6)):
        signal = g.Signal(x, domain)
        assert torch.allclose(model(signal).x, _one_by_one(model, signal).x)
    model[0]["a"].lowering = model[2].inner.lowering = "edges"
    signal = g.Signal(x, GRAPH)
    assert torch.equal(model(signal).x, _one_by_one(model, signal).x)


def test_hooks_of_the_self_term_run_and_another_module_is_heard_of() -> None:
    model, signal, heard = (
        _gin(g.Pool(g.predecessors(), "sum")),
        g.Signal(_values(1, 6, 4), GRAPH),
        [],
    )
    model(signal)
    own = model[0]["s"]
    handle = own.register_forward_hook(lambda *_: heard.append("forward"))
    model(signal)
    handle.remove()
    assert len(heard) == 2  # it stands in the network and in the Residual
    model[0].s = g.Pointwise(nn.Tanh())
    assert torch.allclose(model(signal).x, _one_by_one(model, signal).x, rtol=0, atol=1e-12)


def test_other_channels_and_dtypes_are_refused_as_before() -> None:
    model = _gin(g.Pool(g.predecessors(), "sum"))
    with pytest.raises(g.GeodlError, match="3 channels"):
        model(g.Signal(_values(1, 6, 3), GRAPH))
    wide = g.Residual(g.Pool(g.whole(), "sum"), shortcut=SelfTerm(torch.zeros(1)))
    for _ in range(2):
        with pytest.raises(g.GeodlError, match="Residual"):
            wide(g.Signal(torch.zeros(1, 6, 4), GRAPH))


@pytest.mark.parametrize("trained", [False, True])
def test_symmetrize_keeps_a_self_term(trained: bool) -> None:
    eps = torch.tensor([0.5])
    if trained:
        eps = nn.Parameter(eps)
    net = g.Sequential(g.Conv(1, 4, g.window(3)), SelfTerm(eps), g.Conv(4, 2, g.window(3)))
    twin = g.symmetrize(net, g.C(4))
    assert g.certify(twin, g.Grid(9, 9)).exact
    assert torch.equal(twin[1].eps, eps) and twin[1].eps is not eps
    assert "eps=0.5" in str(twin)
