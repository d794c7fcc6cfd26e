"""What a conversion keeps of a module besides its numbers, and what it leaves alone."""

import copy
import warnings
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import nn
from torch_geometric.nn import GCNConv

import geodl as g
from geodl.interop import from_pyg, from_torch, to_pyg, to_torch
from geodl.interop.channels import PerChannel
from geodl.interop.converters import BACK, FROM
from geodl.interop.joint_norm import JointNorm
from geodl.interop.pooling import AdaptivePool
from geodl.interop.recurrent_states import RecurrentStack
from geodl.interop.transformer import TRANSFORMERS
from geodl.layer import Expected
from geodl.testing import error
from tests.twins import (
    CONVS,
    TRANSPOSED,
    as_image,
    as_sequence,
    assert_same_state,
    assert_twins,
    drawn,
    of_attention,
    of_rnn,
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
EXAMPLES = [
    nn.Linear(3, 4),
    nn.Conv1d(3, 4, 3),
    nn.Conv2d(3, 4, 3, padding=1),
    nn.Conv3d(3, 4, 3),
    nn.ConvTranspose1d(3, 4, 3),
    nn.ConvTranspose2d(3, 4, 3),
    nn.ConvTranspose3d(3, 4, 3),
    nn.ConvTranspose2d(3, 4, 3, 2, output_padding=1),
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
    nn.BatchNorm1d(4),
    nn.InstanceNorm1d(4, affine=True, track_running_stats=True),
    nn.GroupNorm(2, 4),
    nn.Embedding(3, 4),
    nn.Embedding(3, 4, padding_idx=1),
]
POOLS = [
    nn.MaxPool1d(2),
    nn.MaxPool2d(3, 2, 1, 2),
    nn.MaxPool3d(2, ceil_mode=True),
    nn.AvgPool1d(2),
    nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    nn.AvgPool3d(2, ceil_mode=True),
]
# They come back with the axes of a domain, or of the convolutions beside them.
NORMS = [nn.BatchNorm2d(4), nn.BatchNorm3d(4), nn.InstanceNorm2d(4), nn.InstanceNorm3d(4)]
# Without parameters: they are compared with torch's in tests/test_local_response.py and
# tests/test_imports_lattices.py.
NUMBERS = [nn.LocalResponseNorm(3), nn.LPPool1d(2, 2), nn.LPPool2d(2, 2), nn.LPPool3d(2, 2)]
every_example = pytest.mark.parametrize("twin", EXAMPLES, ids=lambda twin: type(twin).__name__)


def test_every_entry_has_an_example():
    types = {kind for kind in FROM if isinstance(kind, type)}
    assert {type(twin) for twin in [*EXAMPLES, *POOLS, *NORMS, *NUMBERS]} == types
    # Networks, tables of positions and what depends on a length come from whole models only.
    of_models = {g.Network, g.LearnedPositions, g.Propagate, AdaptivePool, Expected}
    of_models |= {RecurrentStack, PerChannel, JointNorm}
    back = {kind for kind, library in BACK if library == "torch"} - of_models
    layers = [from_torch(twin) for twin in [*EXAMPLES, *POOLS, *NUMBERS]]
    assert {type(part) for layer in layers for part in layer.modules()} >= back


@every_example
def test_conversions_copy(twin):
    twin = copy.deepcopy(twin).to(torch.bfloat16).eval()
    next(twin.parameters()).requires_grad_(False)
    layer = from_torch(twin)
    back = to_torch(layer)
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


@pytest.mark.parametrize("twin", POOLS, ids=str)
def test_pools_come_back(twin):
    layer = from_torch(twin.eval())
    axes = int(type(twin).__name__[-2])
    x = torch.randn(2, 3, *[7] * axes, dtype=torch.float64)
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    theirs, ours = twin(a), as_image()(layer, b)
    assert error(ours, theirs) <= 1e-10
    upstream = torch.randn_like(theirs)
    theirs.backward(upstream)
    ours.backward(upstream)
    assert error(b.grad, a.grad) <= 1e-10
    back = to_torch(layer)
    assert torch.equal(back(x), twin(x))
    assert type(back) is type(twin)
    assert not back.training


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_batch_norms_come_back_on_a_domain(axes):
    kind = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[axes - 1]
    twin = drawn(kind(3, eps=0.1, momentum=None))
    twin(torch.randn(4, 3, *[2] * axes, dtype=torch.float64))
    for module in (twin, twin.eval()):
        layer = from_torch(module)
        x = torch.randn(2, 3, *[4] * axes, dtype=torch.float64)
        assert_twins(copy.deepcopy(module), layer, x, plainly, as_image())
        back = to_torch(from_torch(module), on=g.Grid(*[4] * axes))
        assert_same_state(module, back)
        assert (back.eps, back.momentum, back.training) == (0.1, None, module.training)


MODES = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "meta by default": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "none": nullcontext,
}


@every_example
@pytest.mark.parametrize("mode", MODES)
def test_the_modes_of_the_caller_stay_outside(twin, mode):
    random = torch.random.get_rng_state()
    with MODES[mode]():
        layer = from_torch(twin)
        back = to_torch(layer)
    assert torch.equal(torch.random.get_rng_state(), random)
    for p in [*layer.parameters(), *back.parameters()]:
        assert p.device.type == "cpu"
        assert p.dtype == torch.float32
        assert not p.is_inference()
    assert_same_state(twin, back)


@every_example
def test_the_device_is_kept(twin):
    twin = copy.deepcopy(twin).to("meta")
    layer = from_torch(twin)
    back = to_torch(layer)
    assert {p.device.type for p in [*layer.parameters(), *back.parameters()]} == {"meta"}
    assert {n: p.shape for n, p in back.named_parameters()} == {
        n: p.shape for n, p in twin.named_parameters()
    }


@pytest.mark.parametrize(
    "twin", EXAMPLES[:7] + EXAMPLES[8:9] + EXAMPLES[11:12], ids=lambda twin: type(twin).__name__
)
def test_layers_on_a_domain_take_tensors(twin):
    axes = next((k for k in (1, 2, 3) if type(twin) in (CONVS[k], TRANSPOSED[k])), 0)
    domain = g.Grid(*[4] * axes) if axes else g.Chain(4)
    layer = from_torch(twin, on=domain)
    channels = 4 if isinstance(twin, nn.MultiheadAttention) else 3
    out = layer(torch.zeros(2, domain.num_nodes, channels))
    assert (out.shape[0], out.shape[2]) == (2, 4)


@pytest.mark.parametrize("lost", ["in_proj_bias", "out_proj.bias"])
def test_a_bias_that_was_taken_away_stays_away(lost):
    twin: Any = drawn(nn.MultiheadAttention(4, 2, batch_first=True))
    owner = twin.out_proj if "." in lost else twin
    setattr(owner, lost.split(".")[-1], None)
    x = torch.randn(2, 5, 4, dtype=torch.float64)
    assert_twins(twin, from_torch(twin), x, of_attention(), as_sequence)
    assert_same_state(twin, to_torch(from_torch(twin)))


def test_attention_keeps_widths_that_are_named_but_equal():
    twin = drawn(nn.MultiheadAttention(4, 2, kdim=4, vdim=4, batch_first=True))
    x = torch.randn(2, 5, 4, dtype=torch.float64)
    assert_twins(twin, from_torch(twin), x, of_attention(), as_sequence)


@pytest.mark.parametrize("dropout", [g.Dropout(0.25), nn.Dropout(0.25)])
@pytest.mark.parametrize("training", [False, True])
def test_the_mode_of_a_recurrent_network_is_that_of_its_dropout(dropout, training):
    row = g.Sequential(g.Recurrent(3, 4), dropout, g.Recurrent(4, 4)).train(not training)
    dropout.train(training)
    twin: Any = to_torch(row)
    assert (twin.dropout, twin.training) == (0.25, training)
    mixed = g.Sequential(*row, g.Dropout(0.25).train(not training), g.Recurrent(4, 4))
    with pytest.raises(g.GeodlError, match="equal Dropout between all or none"):
        to_torch(mixed)


def test_dropout_of_one_layer_drops_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says so
        twin = drawn(nn.LSTM(3, 4, dropout=0.5, batch_first=True))
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    assert twin.training
    assert_twins(twin, from_torch(twin), x, of_rnn, as_sequence)


def test_biases_that_are_frozen_zeros_count_as_none():
    layer = from_torch(nn.LSTM(3, 4, bias=False))
    frozen = [name for name, p in layer.named_parameters() if not p.requires_grad]
    assert frozen == ["bias_ih_l0", "bias_hh_l0"]
    assert not to_torch(layer).bias
    layer.bias_ih_l0.requires_grad_()
    assert to_torch(layer).bias
    twin = nn.LSTM(3, 4, bias=False, device="meta")
    with pytest.raises(g.GeodlError, match="frozen biases without values, on the meta device"):
        to_torch(from_torch(twin))


@pytest.mark.parametrize(
    "options",
    [
        {"cached": True},
        {"node_dim": 0},
        {"improved": True, "add_self_loops": False},
        {"decomposed_layers": 2},
        {"normalize": False, "bias": False},
    ],
    ids=str,
)
def test_options_of_gcn_that_change_no_number(options):
    twin = drawn(GCNConv(6, 4, **options))
    weight = torch.tensor([0.5, 2.0, 1.0, 3.0, 0.25], dtype=torch.float64)
    graph = g.Graph([[0, 1, 1, 2, 2], [1, 0, 2, 1, 2]], 4, edge_weight=weight)
    assert_twins(
        twin,
        from_pyg(twin),
        torch.randn(1, 4, 6, dtype=torch.float64),
        lambda twin, x: twin(x[0], graph.edge_index, graph.edge_weight)[None],
        lambda layer, x: layer(g.Signal(x, graph)).x,
        convert=from_pyg,
    )
    assert_same_state(twin, to_pyg(from_pyg(twin)))
