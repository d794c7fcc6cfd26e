"""The wider attention: other widths, joins, roots, positions, and the networks that are one layer
of it.
"""

import pytest
import torch
from torch import Tensor, nn

import geodl as g
from geodl.testing import assert_lowered_to, error

GRAPH = g.Graph([[0, 1, 2, 3, 1, 1], [1, 2, 3, 0, 3, 1]], 5)  # node 4 receives from no one
CHAIN = g.Chain(5)


def drawn(layer):
    """The layer in float64 with every parameter drawn at random."""
    generator = torch.Generator().manual_seed(0)
    layer = layer.double()
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) / 2)
    return layer


def values(domain: g.Domain, channels: int, batch: int = 2, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, domain.num_nodes, channels, generator=generator, dtype=torch.float64)


SHAPES = {
    "of a Transformer": (
        {},
        {"in_proj_weight": (24, 8), "in_proj_bias": (24,), "out_proj.weight": (8, 8)},
    ),
    "other channels out": ({"channels_out": 6}, {"out_proj.weight": (6, 8), "out_proj.bias": (6,)}),
    "wider values": (
        {"value_dim": 5},
        {"in_proj_weight": (8 + 8 + 10, 8), "out_proj.weight": (8, 10)},
    ),
    "the mean of heads": ({"join": "mean"}, {"out_proj.weight": (8, 4)}),
    "heads alone": (
        {"out_proj": False},
        {"in_proj_weight": (24, 8), "in_proj_bias": (24,), "out_bias": (8,)},
    ),
    "heads alone, as wide as asked": (
        {"out_proj": False, "channels_out": 12},
        {"in_proj_weight": (36, 8), "out_bias": (12,)},
    ),
    "the mean of heads alone": (
        {"out_proj": False, "channels_out": 12, "join": "mean"},
        {"in_proj_weight": (72, 8), "out_bias": (12,)},
    ),
    "another context": (
        {"context_channels": 3},
        {
            "q_proj_weight": (8, 8),
            "k_proj_weight": (8, 3),
            "v_proj_weight": (8, 3),
            "in_proj_bias": (24,),
        },
    ),
    "gat": ({"score": "gat"}, {"in_proj_weight": (8, 8), "score_vectors": (2, 2, 4)}),
    "gat of two kinds": (
        {"score": "gat", "context_channels": 3},
        {"q_proj_weight": (8, 8), "v_proj_weight": (8, 3)},
    ),
    "gatv2": ({"score": "gatv2"}, {"in_proj_weight": (16, 8), "score_vectors": (1, 2, 4)}),
    "gatv2, one projection": (
        {"score": "gatv2", "projections": 1},
        {"in_proj_weight": (8, 8), "in_proj_bias": (8,)},
    ),
    "gat with edges": (
        {"score": "gat", "edge_channels": 3},
        {"edge_proj_weight": (8, 3), "score_vectors": (3, 2, 4)},
    ),
    "biases of projections": ({"bias": "in"}, {"in_proj_bias": (24,), "out_proj.bias": None}),
    "a bias of the answer": (
        {"bias": "out", "out_proj": False},
        {"in_proj_bias": None, "out_bias": (8,)},
    ),
    "no biases": ({"bias": False}, {"in_proj_bias": None, "out_proj.bias": None}),
    "a root": (
        {"root": True, "out_proj": False},
        {"root_proj.weight": (8, 8), "root_proj.bias": (8,), "out_bias": None},
    ),
    "a gate": ({"root": "gated"}, {"root_gate.weight": (1, 24), "root_proj.bias": None}),
}


@pytest.mark.parametrize("name", SHAPES)
def test_parameters_have_the_shapes_that_the_arguments_say(name):
    options, shapes = SHAPES[name]
    layer = g.Attention(8, g.adjacency(), 2, **options)
    found = {key: tuple(p.shape) for key, p in layer.named_parameters()}
    assert {key: found.get(key) for key in shapes} == shapes
    x, context = values(GRAPH, 8).float(), layer.context_channels
    signals = [g.Signal(x, GRAPH)]
    if layer.reads_edges:
        signals = [signals[0].with_edges(torch.zeros(1, 6, 3))]
    if context != 8:
        signals.append(g.Signal(values(GRAPH, context).float(), GRAPH))
    y = layer(*signals).x
    assert y.shape == (2, 5, layer.channels_out)
    y.sum().backward()
    assert all(p.grad is not None for p in layer.parameters())


class Sagan(nn.Module):
    """Self-attention of an image as Zhang et al. (2019) write it: 1x1 convolutions f, g, h, v."""

    def __init__(self, channels: int):
        super().__init__()
        self.f, self.g = (nn.Conv2d(channels, channels // 8, 1) for _ in range(2))
        self.h = nn.Conv2d(channels, channels // 2, 1)
        self.v = nn.Conv2d(channels // 2, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        f, q, h = (part(x).flatten(2) for part in (self.f, self.g, self.h))
        beta = (f.mT @ q).softmax(1)  # [senders, receivers]
        return self.v((h @ beta).unflatten(2, x.shape[2:]))


def test_sagan_is_one_layer():
    twin = drawn(Sagan(16))
    layer = g.Attention(16, g.all_pairs(), 1, "product", head_dim=2, value_dim=8).double()
    parts = (twin.g, twin.f, twin.h)
    with torch.no_grad():
        layer.in_proj_weight.copy_(torch.cat([part.weight.flatten(1) for part in parts]))
        layer.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        layer.out_proj.weight.copy_(twin.v.weight.flatten(1))
        layer.out_proj.bias.copy_(twin.v.bias)
    x = torch.randn(2, 16, 3, 4, dtype=torch.float64)
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    assert_lowered_to("sdpa", layer, g.Signal.image(b))
    theirs, ours = twin(a), layer(g.Signal.image(b)).to_image()
    assert error(ours, theirs) < 1e-10
    theirs.sin().sum().backward()
    ours.sin().sum().backward()
    assert error(b.grad, a.grad) < 1e-10
    wanted = torch.cat([part.weight.grad.flatten(1) for part in parts])
    assert error(layer.in_proj_weight.grad, wanted) < 1e-10
    assert error(layer.out_proj.weight.grad, twin.v.weight.grad.flatten(1)) < 1e-10


def detr() -> tuple[nn.MultiheadAttention, g.Attention]:
    """The attention of DETR's decoder to an image: learned positions of its queries, sinusoidal
    ones of the image, and its twin.
    """
    positions = (g.LearnedPositions(6, 8), g.SinusoidalPositions(8))
    layer = drawn(g.Attention(8, g.all_pairs(), 2, positions=positions))
    twin = nn.MultiheadAttention(8, 2, batch_first=True).double()
    own = {k: v for k, v in layer.state_dict().items() if not k.startswith("positions")}
    twin.load_state_dict(own)
    return twin, layer


def test_the_cross_attention_of_detr_is_one_layer():
    twin, layer = detr()
    queries, image = g.Chain(6), g.Grid(3, 4)
    x, memory = values(queries, 8).requires_grad_(), values(image, 8, seed=2).requires_grad_()
    where = g.SinusoidalPositions(8)(g.Signal(torch.zeros_like(memory), image)).x
    at, by = x + layer.positions[0].weight, memory + where
    wanted, _ = twin(at, by, memory)
    found = layer(g.Signal(x, queries), g.Signal(memory, image)).x
    assert error(found, wanted) < 1e-12
    leaves = [x, memory, layer.positions[0].weight]
    theirs = torch.autograd.grad(wanted.sin().sum(), leaves)
    ours = torch.autograd.grad(found.sin().sum(), leaves)
    assert max(error(a, b) for a, b in zip(ours, theirs, strict=True)) < 1e-10
    block = g.Sequential(g.Residual(g.Cross(layer)), nn.ReLU())
    y = block(g.Signal(x, queries), g.Signal(memory, image)).x
    assert error(y, (x + found).relu()) < 1e-12


def test_the_self_attention_of_detr_is_one_layer():
    twin, _ = detr()
    positions = g.LearnedPositions(6, 8).double()
    layer = g.Attention(8, g.all_pairs(), 2, positions=positions).double()
    with torch.no_grad():
        for name, p in twin.state_dict().items():
            layer.get_parameter(name).copy_(p)
    x = values(g.Chain(6), 8)
    at = x + positions.weight
    found = layer(g.Signal(x, g.Chain(6)))
    assert error(found.x, twin(at, at, x)[0]) < 1e-12
    several = g.Batch([g.Chain(6)] * 2)
    both = layer(g.Signal(x.flatten(0, 1)[None], several)).x
    assert error(both.view_as(x), found.x) < 1e-12
    assert layer.breaks_symmetry and not g.certify(layer, g.Chain(6)).exact


def test_positions_reach_the_weights_and_the_other_projections():
    """Where keys are values they are projected by one weight, with positions and without."""
    layer = drawn(g.Attention(4, g.all_pairs(), 2, "gatv2", positions=g.SinusoidalPositions(4)))
    x = values(CHAIN, 4)
    where = g.SinusoidalPositions(4)(g.Signal(torch.zeros_like(x), CHAIN)).x
    plain = drawn(g.Attention(4, g.all_pairs(), 2, "gatv2"))
    plain.load_state_dict(layer.state_dict())
    a = plain.weights(g.Signal(x + where, CHAIN)).x
    assert error(layer.weights(g.Signal(x, CHAIN)).x, a) < 1e-12
    (weight, bias) = plain._projections()[-1]
    v = nn.functional.linear(x, weight, bias).view(2, 5, 2, 2)
    edges = plain.rule.edges(CHAIN)
    y = v.new_zeros(2, 5, 2, 2).index_add(1, edges.dst, a[..., None] * v[:, edges.src])
    assert error(layer(g.Signal(x, CHAIN)).x, plain.out_proj(y.flatten(2))) < 1e-12


def test_the_receiver_itself_is_added():
    layer = drawn(g.Attention(4, g.adjacency(), 2, root=True, out_proj=False, join="mean"))
    plain = drawn(g.Attention(4, g.adjacency(), 2, out_proj=False, join="mean", bias="in"))
    with torch.no_grad():
        plain.in_proj_weight.copy_(layer.in_proj_weight)
        plain.in_proj_bias.copy_(layer.in_proj_bias)
    s = g.Signal(values(GRAPH, 4), GRAPH)
    assert error(layer(s).x, plain(s).x + layer.root_proj(s.x)) < 1e-12


def test_a_gate_chooses_between_the_receiver_and_what_it_receives():
    layer = drawn(g.Attention(4, g.adjacency(), 2, root="gated", out_proj=False))
    s = g.Signal(values(GRAPH, 4), GRAPH)
    own = layer.root_proj(s.x)
    with torch.no_grad():
        layer.root_gate.weight.zero_()
    half = layer(s).x
    layer.root_gate = layer.root_proj = None
    received = layer(s).x
    assert error(half, (own + received) / 2) < 1e-12


@pytest.mark.parametrize("score", ["dot", "product", "additive", "gat", "gatv2", "linear"])
def test_one_and_two_projections_are_three_with_the_same_weights(score):
    for count in (1, 2):
        few = drawn(g.Attention(4, g.adjacency(), 2, score, projections=count))
        all_three = drawn(g.Attention(4, g.adjacency(), 2, score, projections=3))
        weights, biases = zip(*few._projections(), strict=True)
        order = (0, min(1, count - 1), -1)
        with torch.no_grad():
            all_three.in_proj_weight.copy_(torch.cat([weights[k] for k in order]))
            all_three.in_proj_bias.copy_(torch.cat([biases[k] for k in order]))
            all_three.out_proj.load_state_dict(few.out_proj.state_dict())
            if few.score_vectors is not None:
                all_three.score_vectors.copy_(few.score_vectors)
        s, other = (g.Signal(values(GRAPH, 4, seed=k), GRAPH) for k in range(2))
        assert error(few(s).x, all_three(s).x) < 1e-12
        assert error(few(s, other).x, all_three(s, other).x) < 1e-12


BAD = {
    "join": (lambda: g.Attention(8, g.past(), 2, join="sum"), "join='sum'"),
    "bias": (lambda: g.Attention(8, g.past(), 2, bias="both"), "bias='both'.*give one of"),
    "root": (lambda: g.Attention(8, g.past(), 2, root=2), "root=2"),
    "projections": (lambda: g.Attention(8, g.past(), 2, projections=4), "projections=4.*1, 2 or 3"),
    "one projection of two kinds": (
        lambda: g.Attention(8, g.past(), 2, projections=1, context_channels=3),
        "one projection for 8 and 3 channels; give projections=2",
    ),
    "an answer that heads do not divide": (
        lambda: g.Attention(8, g.past(), 2, channels_out=7, out_proj=False),
        "channels_out=7 of heads that are the answer; give a multiple of heads",
    ),
    "an answer of another width": (
        lambda: g.Attention(8, g.past(), 2, channels_out=8, value_dim=3, out_proj=False),
        "value_dim=3.*give value_dim=4",
    ),
    "values of another width than the keys that they are": (
        lambda: g.Attention(8, g.past(), 2, "gatv2", head_dim=2, value_dim=3),
        "keys of 2 and values of 3 channels.*keys and values of one projection",
    ),
    "edges added to two widths": (
        lambda: g.Attention(8, g.past(), 2, head_dim=2, value_dim=3, edge_channels=1),
        "features of edges, added to both; give one width",
    ),
    "no size": (lambda: g.Attention(8, g.past(), 2, value_dim=0), "value_dim=0"),
    "positions of no layer": (
        lambda: g.Attention(8, g.past(), 2, positions=nn.ReLU()),
        "positions=.*found a ReLU; give a layer, as SinusoidalPositions",
    ),
    "three positions": (
        lambda: g.Attention(8, g.past(), 2, positions=(g.SinusoidalPositions(8),) * 3),
        "found 3 of them",
    ),
    "positions of other channels": (
        lambda: g.Attention(4, g.past(), 2, positions=g.Conv(4, 3, g.itself()))(
            g.Signal(torch.zeros(1, 5, 4), CHAIN)
        ),
        r"shape \[1, 5, 4\] turned into \[1, 5, 3\]",
    ),
    "senders of other channels": (
        lambda: g.Attention(4, g.all_pairs(), 2, context_channels=3)(
            g.Signal(torch.zeros(1, 5, 4), CHAIN)
        ),
        "senders of 4 channels; give 3 channels",
    ),
    "a step with positions": (
        lambda: g.Attention(4, g.past(), 2, positions=g.SinusoidalPositions(4)).step(
            g.Signal(torch.zeros(1, 5, 4), CHAIN)
        ),
        "a step of .*positions of its own; add the positions before the layer",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_words(name):
    call, words = BAD[name]
    with pytest.raises(g.GeodlError, match=words):
        call()


@pytest.mark.parametrize("score", ["dot", "product"])
@pytest.mark.parametrize("widths", [(3, 5), (5, 3)])
def test_steps_with_values_of_another_width(score, widths):
    key, value = widths
    layer = drawn(g.Attention(4, g.past(), 2, score, key, value_dim=value))
    x = values(CHAIN, 4)
    whole, pieces, state = layer(g.Signal(x, CHAIN)).x, [], None
    for n in (2, 1, 2):
        done = sum(piece.shape[1] for piece in pieces)
        y, state = layer.step(g.Signal(x[:, done : done + n], g.Chain(n)), state)
        pieces.append(y.x)
    assert error(torch.cat(pieces, 1), whole) < 1e-12
    assert [tuple(part.shape) for part in state] == [(2, 5, 2, key), (2, 5, 2, value)]


@pytest.mark.parametrize("bias", [True, False])
def test_a_context_of_other_channels_is_torchs(bias):
    twin = drawn(nn.MultiheadAttention(8, 2, kdim=3, vdim=3, bias=bias, batch_first=True))
    layer = g.interop.from_torch(twin)
    x, memory = values(CHAIN, 8).requires_grad_(), values(g.Chain(4), 3, seed=2).requires_grad_()
    wanted = twin(x, memory, memory)[0]
    found = layer(g.Signal(x, CHAIN), g.Signal(memory, g.Chain(4)), rule=g.all_pairs()).x
    assert error(found, wanted) < 1e-12
    ours = torch.autograd.grad(found.sin().sum(), [x, memory, *layer.parameters()])
    theirs = torch.autograd.grad(wanted.sin().sum(), [x, memory, *twin.parameters()])
    assert max(error(a, b) for a, b in zip(ours, theirs, strict=True)) < 1e-10
    back = g.interop.to_torch(layer.over(g.all_pairs()))
    assert back.kdim == back.vdim == 3
    for name, p in twin.state_dict().items():
        assert torch.equal(p, back.state_dict()[name])
