"""What a conversion keeps and copies, one entry of the registry after another."""

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch_geometric.nn import GCNConv

import geodl as g
from geodl.interop import from_pyg, from_torch, to_pyg, to_torch
from geodl.interop.pointwise import POINTWISE
from geodl.interop.registry import FROM_TORCH, TO_TORCH
from geodl.interop.transformer import TRANSFORMERS
from geodl.layer.pointwise import ELEMENTWISE
from geodl.testing import error
from tests.twins import (
    CONVS,
    TRANSPOSED,
    as_image,
    as_sequence,
    assert_same_state,
    assert_twins,
    drawn,
    plainly,
)

TWINS = (
    *CONVS.values(),
    *TRANSPOSED.values(),
    nn.RNNBase,
    nn.MultiheadAttention,
    *TRANSFORMERS,
    GCNConv,
)


def test_sequential_of_convolutions():
    twin = drawn(
        nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Sequential(nn.Conv2d(4, 3, 2, stride=2)),
        )
    )
    twin.eval()
    layer: Any = from_torch(twin)
    assert [type(part).__name__ for part in layer] == ["Conv", "ReLU", "Dropout", "Sequential"]
    assert_twins(twin, layer, torch.randn(2, 2, 6, 6, dtype=torch.float64), plainly, as_image())
    assert_same_state(twin, to_torch(layer))
    assert twin[1] is not layer[1]


def test_sequential_of_linear_layers():
    twin = drawn(nn.Sequential(nn.Linear(3, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 2)))
    layer = from_torch(twin)
    assert_twins(twin, layer, torch.randn(2, 5, 3, dtype=torch.float64), plainly, as_sequence)
    assert_same_state(twin, to_torch(layer))


def test_sequential_back_follows_the_domain():
    net = g.Sequential(
        g.Conv(1, 2, g.window(3)),
        g.Dropout(0.25),
        g.Conv(2, 2, g.window(2, stride=2)),
        g.Conv(2, 1, g.window(3)),
    )
    twin: Any = to_torch(net.eval().double(), on=g.Grid(6, 6, periodic=True))
    assert [getattr(part, "padding_mode", None) for part in twin] == [
        "circular",
        None,
        "zeros",
        "circular",
    ]
    x = torch.randn(1, 1, 6, 6, dtype=torch.float64)
    assert error(twin(x), as_image(periodic=True)(net, x)) <= 1e-10
    assert (twin[1].p, twin.training) == (0.25, False)


@pytest.mark.parametrize("kind", sorted(ELEMENTWISE, key=lambda kind: kind.__name__))
def test_elementwise_modules_act_on_each_number(kind):
    options = {nn.Threshold: (0.1, 2.0)}.get(kind, ())
    module, x = kind(*options).double().eval(), torch.randn(2, 3, 5, dtype=torch.float64)
    assert error(module(x.transpose(1, 2)), module(x).transpose(1, 2)) <= 1e-12


EXAMPLES = [
    nn.Linear(3, 4),
    nn.Conv1d(3, 4, 3),
    nn.Conv2d(3, 4, 3),
    nn.Conv3d(3, 4, 3),
    nn.ConvTranspose1d(3, 4, 3),
    nn.ConvTranspose2d(3, 4, 3),
    nn.ConvTranspose3d(3, 4, 3),
    nn.RNN(3, 4),
    nn.GRU(3, 4, 2, dropout=0.5),
    nn.LSTM(3, 4, bidirectional=True),
    nn.MultiheadAttention(4, 2),
    nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Dropout()),
    nn.TransformerEncoderLayer(4, 2, 6),
    nn.TransformerDecoderLayer(4, 2, 6),
    nn.Transformer(4, 2, 1, 1, 6, batch_first=True),
    nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 6), 1, enable_nested_tensor=False),
    nn.TransformerDecoder(nn.TransformerDecoderLayer(4, 2, 6), 1),
]


def test_every_entry_has_an_example():
    assert {type(twin) for twin in EXAMPLES} == set(FROM_TORCH)
    assert {type(part) for twin in EXAMPLES for part in from_torch(twin).modules()} >= set(TO_TORCH)


@pytest.mark.parametrize("twin", EXAMPLES, ids=lambda twin: type(twin).__name__)
def test_conversions_copy(twin):
    twin = copy.deepcopy(twin).to(torch.bfloat16).eval()
    next(twin.parameters()).requires_grad_(False)
    random = torch.random.get_rng_state()
    with torch.no_grad():
        layer = from_torch(twin)
        back = to_torch(layer)
    assert torch.equal(torch.random.get_rng_state(), random)
    assert not any(isinstance(part, TWINS) for part in layer.modules())
    owned = {p.data_ptr() for p in twin.parameters()}
    assert not owned & {p.data_ptr() for p in [*layer.parameters(), *back.parameters()]}
    assert {p.dtype for p in [*layer.parameters(), *back.parameters()]} == {torch.bfloat16}
    assert not any(part.training for module in (layer, back) for part in module.modules())
    assert [p.requires_grad for p in back.parameters()] == [
        p.requires_grad for p in twin.parameters()
    ]
    assert [p.requires_grad for p in layer.parameters()].count(False) == 1
    assert all(p.is_contiguous() and p.is_leaf for p in layer.parameters())
    assert_same_state(twin, back)


@pytest.mark.parametrize(
    "twin", EXAMPLES[:8] + EXAMPLES[10:11], ids=lambda twin: type(twin).__name__
)
def test_layers_on_a_domain_take_tensors(twin):
    axes = next((k for k in (1, 2, 3) if type(twin) in (CONVS[k], TRANSPOSED[k])), 0)
    domain = g.Grid(*[4] * axes) if axes else g.Chain(4)
    layer = from_torch(twin, on=domain)
    out = layer(
        torch.zeros(2, domain.num_nodes, 4 if isinstance(twin, nn.MultiheadAttention) else 3)
    )
    assert (out.shape[0], out.shape[2]) == (2, 4)
