"""`torch.func` on layers: gradients of functions of the parameters, one for each sample, and under
another map.
"""

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.autograd.functional import jacobian
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vjp, vmap

import geodl as g
from geodl.layer import MessagePassing
from geodl.testing import error
from tests.strategies import Gated

GRAPH = g.Graph([[0, 1, 2, 3, 1], [1, 2, 3, 0, 3]], 5)


def layers():
    return {
        "spmm": (g.Conv(4, 3, g.adjacency("sym", self_loops=True)), GRAPH),
        "spmm, aggregating first": (g.Conv(3, 4, g.adjacency("sym", self_loops=True)), GRAPH),
        "spmm, in blocks": (g.Conv(4, 6, g.adjacency(self_loops=True), groups=2), GRAPH),
        "lattice": (g.Conv(4, 3, g.window(3)), g.Grid(4, 4)),
        "lattice, depthwise": (g.Conv(3, 3, g.window(3), groups=3), g.Grid(4, 4)),
        "mean": (g.Conv(4, 3, g.all_pairs("self")), g.Complete(5)),
    }


@pytest.mark.parametrize("name", layers())
def test_gradients_of_each_sample_are_those_of_the_samples_alone(name):
    layer, domain = layers()[name]
    x = torch.randn(3, domain.num_nodes, layer.channels_in)
    g.testing.assert_lowered_to(name.split(",")[0], layer, g.Signal(x, domain))
    parameters = {key: p.detach() for key, p in layer.named_parameters()}

    def loss(parameters, x):
        return functional_call(layer, parameters, (g.Signal(x[None], domain),)).x.square().sum()

    each = vmap(grad(loss, argnums=(0, 1)), in_dims=(None, 0))(parameters, x)
    for k, one in enumerate(x):
        one = one.clone().requires_grad_()
        ours = layer(g.Signal(one[None], domain)).x.square().sum()
        wanted = torch.autograd.grad(ours, (layer.weight, layer.bias, one))
        found = (each[0]["weight"][k], each[0]["bias"][k], each[1][k])
        assert max(error(a, b) for a, b in zip(found, wanted, strict=True)) < 1e-5


def test_the_jacobian_of_a_graph_convolution_is_its_operator():
    layer = g.Conv(1, 1, g.adjacency("sym", self_loops=True), bias=False)
    jacobian = jacrev(lambda x: layer(g.Signal(x[None, :, None], GRAPH)).x[0, :, 0])(torch.randn(5))
    dst, src, _, weight, _ = layer.rule.edges(GRAPH)
    operator = torch.zeros(5, 5).index_put((dst, src), weight.float(), accumulate=True)
    assert error(jacobian, layer.weight.item() * operator) < 1e-6


def message(*reductions: str) -> g.Message:
    return g.Message(Gated(2), g.adjacency("sym", self_loops=True), reductions)


ON_GRAPHS = {
    "convolution": (lambda: g.Conv(2, 2, g.adjacency("sym", self_loops=True)), "spmm"),
    "aggregating first": (lambda: g.Conv(2, 3, g.adjacency("sym", self_loops=True)), "spmm"),
    "dot": (lambda: g.Attention(2, g.adjacency(), 1), "edge_softmax"),
    "gat": (lambda: g.Attention(2, g.adjacency(), 1, "gat"), "edge_softmax"),
    "linear": (lambda: g.Attention(2, g.adjacency(), 1, "linear"), "edge_softmax"),
    "complete": (lambda: g.Attention(2, g.all_pairs(), 1), "sdpa"),
    "complete, linear": (lambda: g.Attention(2, g.all_pairs(), 1, "linear"), "linear"),
    "complete, wide": (lambda: g.Attention(2, g.all_pairs(), 1, "product", 1, value_dim=3), "sdpa"),
    "dot, edges": (lambda: g.Attention(2, g.adjacency(), 1, edge_channels=2), "edge_softmax"),
    "gat, edges": (
        lambda: g.Attention(
            2, g.adjacency(self_loops=True, fill="mean"), 1, "gat", edge_channels=2
        ),
        "edge_softmax",
    ),
    "maximum": (lambda: g.Pool(g.adjacency(), "max"), "segment"),
    "minimum": (lambda: g.Pool(g.adjacency(), "min"), "segment"),
    "average": (lambda: g.Pool(g.adjacency(), "mean"), "spmm"),
    "messages added": (lambda: message("sum", "mean"), "segment"),
    "messages compared": (lambda: message("max", "min"), "segment"),
    "messages weighed": (lambda: message("std", "softmax"), "segment"),
}


@pytest.fixture
def quiet() -> Iterator[None]:
    """torch's own forward mode uses what torch has deprecated, its vectorize is a slow loop."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch")
        warnings.filterwarnings("ignore", message="There is a performance drop")
        yield


def on_graph(name: str, lowering: str = "") -> MessagePassing:
    torch.manual_seed(0)
    make, kernel = ON_GRAPHS[name]
    layer = make().double()
    layer.lowering = lowering or kernel
    return layer


def graph_values(batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, 5, 2, generator=generator, dtype=torch.float64)


def on_nodes(layer: MessagePassing, x: Tensor) -> g.Signal:
    """Values on the graph, with a state of its edges where the layer reads one."""
    if not getattr(layer, "reads_edges", False):
        return g.Signal(x, GRAPH)
    edges = torch.arange(2.0 * GRAPH.num_links, dtype=torch.float64).view(1, -1, 2).sin()
    return g.Signal(x, GRAPH, edges=edges)


def all_transforms(layer: MessagePassing) -> dict[str, Tensor]:
    """One answer of each transform of torch.func, and of torch.autograd's own."""
    x, stack = graph_values(), torch.stack((graph_values(), 2 * graph_values()))
    parameters = {name: p.detach() for name, p in layer.named_parameters()}
    several = {name: torch.stack((p, p.sin())) for name, p in parameters.items()}

    def run(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(layer, parameters, (on_nodes(layer, x),)).x

    def loss(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return run(parameters, x).sin().sum()

    def alone(x: Tensor) -> Tensor:
        return run(parameters, x)

    pulled: Any = vjp(alone, x)
    y, pull = pulled
    with forward_ad.dual_level():
        dual = forward_ad.unpack_dual(alone(forward_ad.make_dual(x, x.cos()))).tangent
    found = {
        "vmap": vmap(alone)(stack),
        "jacrev": jacrev(alone)(x),
        "jacfwd": jacfwd(alone)(x),
        "jvp": jvp(alone, (x,), (x.cos(),))[1],
        "vjp after its transform": pull(y.cos())[0],
        "hessian": hessian(lambda x: alone(x).sin().sum())(x),
        "dual numbers": dual,
        "vectorize": jacobian(alone, x, vectorize=True),
        "vectorize, create_graph": jacobian(alone, x, vectorize=True, create_graph=True).detach(),
        "forward strategy": jacobian(alone, x, strategy="forward-mode", vectorize=True),
    }
    if several:
        found["vmap over parameters"] = vmap(run, in_dims=(0, None))(several, x)
    for kind, transformed in {
        "grad": grad(loss, argnums=(0, 1))(parameters, x),
        "each sample": vmap(grad(loss, argnums=(0, 1)), in_dims=(None, 0))(parameters, stack),
    }.items():
        of_parameters, of_x = transformed
        found |= {f"{kind}, {name}": t for name, t in of_parameters.items()}
        found[f"{kind}, x"] = of_x
    return found


@pytest.mark.parametrize("name", ON_GRAPHS)
def test_every_transform_gives_what_the_reference_gives(name, quiet):
    layer = on_graph(name)
    g.testing.assert_lowered_to(layer.lowering, layer, on_nodes(layer, graph_values()))
    found, wanted = all_transforms(layer), all_transforms(on_graph(name, "edges"))
    assert found.keys() == wanted.keys()
    for kind, t in wanted.items():
        assert error(found[kind], t) < 1e-9, kind


def test_transforms_of_attention_inside_a_compiled_function(quiet):
    layer, stack = on_graph("complete"), torch.stack((graph_values(), 2 * graph_values()))
    g.prepare(layer, g.Signal(graph_values(), GRAPH))

    def each(x: Tensor) -> Tensor:
        return vmap(grad(lambda x: layer(g.Signal(x, GRAPH)).x.sin().sum()))(x)

    torch.compiler.reset()
    fast = torch.compile(each, backend="aot_eager", fullgraph=True)
    assert error(fast(stack), each(stack)) < 1e-9


def test_dropout_under_vmap_is_drawn_as_torch_is_told():
    layer = g.Attention(2, g.all_pairs(), 1, dropout=0.5).double()
    x = graph_values().expand(2, -1, -1, -1)
    found = vmap(lambda x: layer(g.Signal(x, GRAPH)).x, randomness="different")(x)
    assert bool(torch.isfinite(found).all()) and not torch.equal(found[0], found[1])


def test_sparse_values_refuse_in_words():
    layer = g.Conv(5, 2, g.adjacency("sym", self_loops=True))
    signal = g.Signal(torch.eye(5).to_sparse_csr(), GRAPH)

    def loss(weight: Tensor) -> Tensor:
        return functional_call(layer, {"weight": weight}, (signal,)).x.sum()

    for lowering in ("spmm", "edges"):
        layer.lowering = lowering
        with pytest.raises(g.GeodlError, match=r"sparse values under .*torch.func.*x.to_dense"):
            grad(loss)(layer.weight.detach())


@pytest.mark.parametrize("domain", [g.Chain(5), g.Batch([g.Chain(3), g.Chain(2)])], ids=str)
def test_recurrence_refuses_in_words_and_names_a_way(domain):
    layer = g.Recurrent(2, 3).double()
    x = torch.stack((graph_values(), 2 * graph_values()))

    def run(x: Tensor) -> Tensor:
        return layer(g.Signal(x, domain)).x

    wanted = torch.stack([run(one) for one in x])
    with pytest.raises(g.GeodlError, match="recurrence under .*torch.func.*lowering='levels'"):
        vmap(run)(x)
    layer.lowering = "levels"
    assert error(vmap(run)(x), wanted) < 1e-9


def test_statistics_of_several_norms_move_together():
    """An ensemble under vmap, as torch.func's own tutorial trains one."""
    norms = [g.BatchNorm(2).double() for _ in range(3)]
    parameters, buffers = torch.func.stack_module_state(norms)
    x = torch.stack([graph_values(4) + k for k in range(3)])

    def run(parameters: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(norms[0], (parameters, buffers), (g.Signal(x, GRAPH),)).x

    found = vmap(run)(parameters, buffers, x)
    for k, norm in enumerate(norms):
        assert error(found[k], norm(g.Signal(x[k], GRAPH)).x) < 1e-12
        assert error(buffers["running_mean"][k], norm.running_mean) < 1e-12
        assert error(buffers["running_var"][k], norm.running_var) < 1e-12
