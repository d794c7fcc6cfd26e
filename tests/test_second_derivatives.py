"""Derivatives of derivatives: of every kernel of attention, and through a network whose gradient is
penalised.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

import geodl as g
from geodl.lowering import LOWERINGS
from geodl.testing import assert_lowered_to, error

GRAPH = g.Graph([[0, 1, 2, 3, 1, 1], [1, 2, 3, 0, 3, 1]], 5)  # node 4 receives from no one
TYPED = g.Graph([[0, 1, 2], [1, 2, 0]], 4, edge_type=[0, 1, 0])
CHAIN, RAGGED = g.Chain(4), g.Batch([g.Chain(3), g.Chain(2)])


def attention(rule: g.Neighborhood, score: str = "dot", **options) -> g.Attention:
    torch.manual_seed(0)
    layer = g.Attention(2, rule, 1, score, **options).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    return layer


ATTENTION = {
    ("sdpa", "complete"): lambda: (attention(g.all_pairs()), g.Complete(4)),
    ("sdpa", "causal"): lambda: (attention(g.past()), CHAIN),
    ("sdpa", "ragged"): lambda: (attention(g.all_pairs()), RAGGED),
    ("sdpa", "causal and ragged"): lambda: (attention(g.past()), RAGGED),
    ("sdpa", "typed"): lambda: (attention(g.all_pairs("self"), relative=True), g.Complete(3)),
    ("linear", "complete"): lambda: (attention(g.all_pairs(), "linear"), g.Complete(4)),
    ("linear", "causal"): lambda: (attention(g.past(), "linear"), CHAIN),
    ("banded", "chain"): lambda: (attention(g.window(3, axes=1)), CHAIN),
    ("banded", "typed"): lambda: (attention(g.window(3, axes=1), relative=True), CHAIN),
    ("edge_softmax", "dot"): lambda: (attention(g.adjacency()), GRAPH),
    ("edge_softmax", "gat"): lambda: (attention(g.adjacency(), "gat"), GRAPH),
    ("edge_softmax", "linear"): lambda: (attention(g.adjacency(), "linear"), GRAPH),
    ("edge_softmax", "typed"): lambda: (attention(g.adjacency(types=2), relative=True), TYPED),
    ("edge_softmax", "additive"): lambda: (attention(g.adjacency(), "additive"), GRAPH),
    ("edges", "additive"): lambda: (attention(g.past(), "additive"), CHAIN),
    ("sdpa", "wide values"): lambda: (attention(g.all_pairs(), value_dim=3), g.Complete(3)),
    ("sdpa", "wide keys"): lambda: (
        attention(g.past(), "product", head_dim=3, value_dim=2),
        CHAIN,
    ),
    ("linear", "wide values"): lambda: (attention(g.past(), "linear", value_dim=3), CHAIN),
    ("banded", "wide values"): lambda: (attention(g.window(3, axes=1), value_dim=3), CHAIN),
    ("edge_softmax", "wide values"): lambda: (attention(g.adjacency(), value_dim=3), GRAPH),
    ("edge_softmax", "dot, edges"): lambda: (attention(g.adjacency(), edge_channels=2), GRAPH),
    ("edge_softmax", "gat, edges"): lambda: (
        attention(g.adjacency(self_loops="anew", fill="mean"), "gat", edge_channels=2),
        GRAPH,
    ),
    ("edge_softmax", "gatv2, edges"): lambda: (
        attention(g.adjacency(), "gatv2", edge_channels=2),
        GRAPH,
    ),
}


def call(layer: g.Layer, x: Tensor, domain: g.Domain) -> Tensor:
    return layer(signal(layer, x, domain)).x


def signal(layer: g.Layer, x: Tensor, domain: g.Domain) -> g.Signal:
    """Values with a state of edges where the layer reads one."""
    channels = getattr(layer, "edge_channels", None)
    if channels is None:
        return g.Signal(x, domain)
    generator = torch.Generator().manual_seed(2)
    shape = 1, domain.num_links, channels
    edges = torch.randn(shape, generator=generator, dtype=torch.float64)
    return g.Signal(x, domain, edges=edges)


def values(domain: g.Domain, batch: int = 1, channels: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = batch, domain.num_nodes, channels
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def second(layer: nn.Module, y: Tensor, x: Tensor) -> list[Tensor]:
    """The gradients of a gradient's norm: of x and of every parameter that it depends on."""
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape)
    (slope,) = torch.autograd.grad((weights * y).sum(), x, create_graph=True)
    leaves = [x, *layer.parameters()]
    found = torch.autograd.grad(slope.square().sum(), leaves, allow_unused=True)
    return [
        torch.zeros_like(leaf) if grad is None else grad
        for leaf, grad in zip(leaves, found, strict=True)
    ]


def test_every_kernel_of_attention_is_here():
    assert {name for name, _ in ATTENTION} == {low.name for low in LOWERINGS["attend"]}


@pytest.mark.parametrize("case", ATTENTION, ids=" ".join)
def test_gradients_of_gradients_check(case):
    layer, domain = ATTENTION[case]()
    x = values(domain).requires_grad_()
    assert_lowered_to(case[0], layer, signal(layer, x, domain))
    assert torch.autograd.gradcheck(lambda x: call(layer, x, domain), x)
    assert torch.autograd.gradgradcheck(lambda x: call(layer, x, domain), x)


@pytest.mark.parametrize("case", ATTENTION, ids=" ".join)
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_second_derivatives_are_the_references(case, batch):
    """Of the parameters too, whose upstream gradient is a constant, and of no batch at all."""
    layer, domain = ATTENTION[case]()
    found = []
    for lowering in (case[0], "edges"):
        layer.lowering = lowering
        x = values(domain, batch).requires_grad_()
        found.append(second(layer, call(layer, x, domain), x))
    for ours, wanted in zip(*found, strict=True):
        assert error(ours, wanted) < 1e-9


def test_an_ordinary_backward_after_one_that_was_differentiated():
    layer, x = attention(g.past()), values(CHAIN).requires_grad_()
    y = call(layer, x, CHAIN)
    (wanted,) = torch.autograd.grad(y.sum(), x, retain_graph=True)
    (graph,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    (after,) = torch.autograd.grad(y.sum(), x)
    assert graph.requires_grad and not after.requires_grad
    assert error(graph, wanted) < 1e-12
    assert torch.equal(after, wanted)


def test_the_inputs_are_held_no_longer_than_the_kernel_holds_them():
    """What torch's kernel saves is all that is saved: offloading and checkpoints see each input."""
    layer, x = attention(g.past()), values(CHAIN).requires_grad_()
    q = torch.zeros(1, 1, 4, 2, dtype=torch.float64, requires_grad=True)

    def saved(run: Callable[[], Tensor]) -> int:
        """How many values of heads `[B, H, N, D]` a computation keeps for its backward."""
        shapes = []

        def pack(t: Tensor) -> Tensor:
            shapes.append(t.shape)
            return t

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            run()
        return sum(len(shape) == 4 for shape in shapes)

    bare = saved(lambda: nn.functional.scaled_dot_product_attention(q, q, q, is_causal=True))
    assert saved(lambda: call(layer, x, CHAIN)) == bare > 0


def test_a_checkpoint_keeps_its_gradient_and_says_what_it_cannot_do():
    layer, x = attention(g.past()), values(CHAIN).requires_grad_()
    (wanted,) = torch.autograd.grad(call(layer, x, CHAIN).sum(), x)
    y = checkpoint(lambda x: call(layer, x, CHAIN), x, use_reentrant=False)
    (found,) = torch.autograd.grad(y.sum(), x, retain_graph=True)
    assert error(found, wanted) < 1e-12
    with pytest.raises(g.GeodlError, match="under torch.utils.checkpoint.*lowering='edges'"):
        torch.autograd.grad(y.sum(), x, create_graph=True)
    wanted = second(layer, call(layer, x, CHAIN), x)
    layer.lowering = "edges"
    y = checkpoint(lambda x: call(layer, x, CHAIN), x, use_reentrant=False)
    for ours, theirs in zip(second(layer, y, x), wanted, strict=True):
        assert error(ours, theirs) < 1e-9


def test_dropout_is_differentiated_twice_where_torch_drops_by_plain_operations():
    layer, x = attention(g.past(), dropout=0.5), values(CHAIN).requires_grad_()
    torch.manual_seed(0)
    assert all(bool(torch.isfinite(t).all()) for t in second(layer, call(layer, x, CHAIN), x))


def test_mixed_precision():
    layer, x = attention(g.past()).float(), values(CHAIN).float().requires_grad_()
    wanted = second(layer, call(layer, x, CHAIN), x)
    with torch.autocast("cpu", torch.bfloat16):
        y = call(layer, x, CHAIN)
    for ours, exact in zip(second(layer, y, x), wanted, strict=True):
        assert error(ours, exact) < 0.1


class Twin(nn.Module):
    """The same network in plain torch, on an image of one row."""

    def __init__(self, conv: g.Conv, norm: g.BatchNorm, attention: g.Attention):
        super().__init__()
        self.conv, self.norm = nn.Conv1d(2, 4, 3, padding=1), nn.BatchNorm1d(4)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.double()
        with torch.no_grad():
            self.conv.weight.copy_(conv.weight.permute(2, 1, 0))
            self.conv.bias.copy_(conv.bias)
            self.norm.load_state_dict(norm.state_dict())
            self.attention.load_state_dict(attention.state_dict())

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x.transpose(1, 2))).tanh().transpose(1, 2)
        with sdpa_kernel(SDPBackend.MATH):  # the one that torch can differentiate twice
            return self.attention(y, y, y, need_weights=False)[0]


def test_a_gradient_penalty_is_that_of_plain_torch():
    """Wasserstein GAN with gradient penalty: Gulrajani et al., 2017."""
    torch.manual_seed(0)
    conv, norm = g.Conv(2, 4, g.window(3, axes=1)), g.BatchNorm(4)
    attention = g.Attention(4, g.all_pairs(), 2)
    net = g.Sequential(conv, norm, nn.Tanh(), attention).double()
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2.0)
        attention.in_proj_bias.normal_()
    twin = Twin(conv, norm, attention)
    found = []
    for model, run in ((net, lambda x: call(net, x, CHAIN)), (twin, twin)):
        x = values(CHAIN, batch=3).requires_grad_()
        (slope,) = torch.autograd.grad(run(x).square().sum(), x, create_graph=True)
        (slope.flatten(1).norm(dim=1) - 1).square().sum().backward()
        found.append([x.grad, *(p.grad for p in model.parameters())])
    ours, theirs = found
    ours[1] = ours[1].permute(2, 1, 0)  # [T, C_in, C_out] as torch has it
    assert error(ours[0], theirs[0]) < 1e-9
    for a, b in zip(ours[1:], theirs[1:], strict=True):
        if b is None:
            assert a is None or not a.any()
            continue
        assert error(a, b) < 1e-9
    assert float(theirs[3].abs().max()) > 1e-3


@pytest.mark.parametrize("rule", [g.adjacency("sym", self_loops=True), g.adjacency(types=2)])
@pytest.mark.parametrize("channels", [(2, 3, 1), (3, 2, 1), (2, 4, 2), (3, 3, 3)])
def test_graph_convolutions(rule, channels):
    domain = GRAPH if rule.num_edge_types == 1 else TYPED
    channels_in, channels_out, groups = channels
    layer = g.Conv(channels_in, channels_out, rule, groups=groups).double()
    x = values(domain, channels=channels[0]).requires_grad_()
    assert_lowered_to("spmm", layer, g.Signal(x, domain))
    assert torch.autograd.gradgradcheck(lambda x: call(layer, x, domain).square(), x)


def test_sparse_features():
    """Of the weights and of the values: what a gradient penalty on a citation graph needs."""
    torch.manual_seed(0)
    layer = g.Conv(4, 2, g.adjacency("sym", self_loops=True)).double()
    dense = torch.eye(5, 4, dtype=torch.float64) + torch.eye(5, 4, dtype=torch.float64).roll(1, 1)

    def run(weight: Tensor) -> Tensor:
        named = {"weight": weight, "bias": layer.bias}
        signal = g.Signal(dense.to_sparse_csr(), GRAPH)
        return torch.func.functional_call(layer, named, (signal,)).x.sin()

    assert torch.autograd.gradgradcheck(run, layer.weight)


def test_what_a_graph_convolution_answers_may_be_changed_in_place():
    net = g.Sequential(g.Conv(2, 2, g.adjacency(), bias=False), nn.ReLU(inplace=True)).double()
    for batch in (0, 1, 2):
        x = values(GRAPH, batch).requires_grad_()
        y = call(net, x, GRAPH)
        y.sum().backward()
        assert x.grad.shape == x.shape and y.shape == (batch, 5, 2)


@pytest.mark.parametrize("reduce", ["max", "min", "sum", "mean", "std", "softmax"])
@pytest.mark.parametrize("max_edges", [None, 2])
def test_second_derivatives_without_edges_are_zero(reduce, max_edges):
    graph = g.Graph(torch.zeros(2, 0, dtype=torch.long), 3)
    x = torch.randn(1, 3, 2, dtype=torch.float64, requires_grad=True)
    layer = g.Message(lambda x_i, x_j, e_ij: x_i * x_j, g.adjacency(), reduce, max_edges=max_edges)
    y = layer(g.Signal(x, graph)).x
    (dx,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    (ddx,) = torch.autograd.grad(dx.sum() + (0 * x).sum(), x)
    assert not y.any() and not dx.any() and not ddx.any()
