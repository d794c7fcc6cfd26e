"""Transformers of torch.nn as blocks of shortcuts: the same numbers and gradients, the same masks,
and back bit for bit.
"""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import geodl as g
from geodl.interop import from_torch, over, to_torch
from geodl.interop.activation import FUNCTIONS
from geodl.neighborhood import full_or_adjacency
from geodl.testing import error
from tests.transformers import (
    CHANNELS,
    LENGTHS,
    TARGET,
    causal_of,
    layer_of,
    of_geodl,
    of_torch,
    stack_of,
    values,
    whole_of,
)
from tests.twins import assert_same_state, assert_twins, drawn

OPTIONS = {
    "dropout": st.sampled_from([0.0, 0.25]),
    "activation": st.sampled_from(["relu", "gelu", F.relu, F.gelu, F.silu, torch.tanh]),
    "layer_norm_eps": st.sampled_from([1e-5, 0.1]),
    "batch_first": st.booleans(),
    "norm_first": st.booleans(),
    "bias": st.booleans(),
}


def assert_options(back, twin):
    """What is no parameter."""
    told = (
        (nn.MultiheadAttention, ("num_heads", "dropout", "training")),
        (
            (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer),
            ("norm_first", "activation", "training"),
        ),
        (nn.Dropout, ("p", "training")),
        (nn.LayerNorm, ("eps", "elementwise_affine", "training")),
        ((nn.TransformerEncoder, nn.TransformerDecoder), ("num_layers", "training")),
        (nn.Transformer, ("d_model", "nhead", "training")),
    )
    for kinds, names in told:
        a, b = ([m for m in module.modules() if isinstance(m, kinds)] for module in (back, twin))
        assert [[getattr(m, name) for name in names] for m in a] == [
            [getattr(m, name) for name in names] for m in b
        ]
    assert all(
        m.batch_first
        for m in back.modules()
        if isinstance(m, nn.MultiheadAttention | nn.Transformer)
    )


@settings(max_examples=25)
@given(
    kind=st.sampled_from([nn.TransformerEncoderLayer, nn.TransformerDecoderLayer]),
    options=st.fixed_dictionaries(OPTIONS),
    data=st.data(),
)
def test_layers(kind, options, data):
    twin = drawn(layer_of(kind, **options)).eval()
    for p in list(twin.parameters())[1:]:
        p.requires_grad_(data.draw(st.booleans()))
    assert_twins(twin, from_torch(twin), values(), of_torch(), of_geodl(twin))
    assert_twins(
        twin, causal_of(twin), values(), of_torch(causal=True), of_geodl(twin), convert=causal_of
    )
    back = to_torch(from_torch(twin))
    assert_same_state(twin, back)
    assert_options(back, twin)
    trained = {name: p.requires_grad for name, p in twin.named_parameters()}
    assert {name: p.requires_grad for name, p in back.named_parameters()} == trained


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("kind", [nn.TransformerEncoder, nn.TransformerDecoder, nn.Transformer])
def test_stacks(kind, norm_first, causal):
    twin = (
        whole_of(norm_first=norm_first)
        if kind is nn.Transformer
        else stack_of(kind, norm_first=norm_first)
    )
    twin = drawn(twin).eval()
    convert = causal_of if causal else from_torch
    assert_twins(twin, convert(twin), values(), of_torch(causal), of_geodl(twin), convert=convert)
    assert_twins(
        twin,
        convert(twin),
        values(),
        of_torch(causal, LENGTHS),
        of_geodl(twin, LENGTHS),
        convert=convert,
    )
    back = to_torch(from_torch(twin))
    assert_same_state(twin, back)
    assert_options(back, twin)


def test_norms_that_are_missing_or_others():
    for twin in (
        stack_of(nn.TransformerEncoder, 2, norm=False),
        stack_of(nn.TransformerDecoder, 1, norm=False),
    ):
        twin = drawn(twin).eval()
        assert_twins(twin, from_torch(twin), values(), of_torch(), of_geodl(twin))
        assert to_torch(from_torch(twin)).norm is None
    twin = stack_of(nn.TransformerEncoder, 2)
    twin.norm, twin.layers[1].norm1 = (
        nn.RMSNorm(CHANNELS, eps=0.5),
        nn.LayerNorm(CHANNELS, elementwise_affine=False),
    )
    twin = drawn(twin).eval()
    assert_twins(twin, from_torch(twin), values(), of_torch(), of_geodl(twin))
    assert_same_state(twin, to_torch(from_torch(twin)))


def test_a_wrong_conversion_is_found():
    twin = drawn(stack_of(nn.TransformerDecoder, 2)).eval()

    def swapped(module):
        layer: Any = from_torch(module)
        norms = [part for part in layer[0] if isinstance(part, nn.LayerNorm)]
        norms[0].weight, norms[1].weight = norms[1].weight, norms[0].weight
        return layer

    for wrong in (swapped(twin), causal_of(twin)):
        with pytest.raises(AssertionError):
            assert_twins(twin, wrong, values(), of_torch(), of_geodl(twin))
    with pytest.raises(AssertionError):
        assert_twins(
            twin,
            from_torch(twin),
            values(),
            of_torch(lengths=LENGTHS),
            of_geodl(twin, (LENGTHS[0], LENGTHS[1].flip(0))),
        )


def test_the_form_of_a_stack():
    encoder: Any = from_torch(stack_of(nn.TransformerEncoder, 2, norm_first=True))
    models = g.models.transformer_encoder(
        CHANNELS, 2, 2, hidden=12, dropout=0.25, activation="relu", rule=full_or_adjacency()
    )
    assert str(encoder) == str(models)
    decoder: Any = over(from_torch(stack_of(nn.TransformerDecoder, 2, norm=False)), g.past())
    models = g.models.transformer_decoder(
        CHANNELS, 2, 2, hidden=12, dropout=0.25, activation="relu", pre_norm=False
    )
    assert str(decoder) == str(models)
    with pytest.raises(
        g.GeodlError, match=r"past\(\).*of a model, convert interop.over\(model, all_pairs\(\)\)"
    ):
        to_torch(models)
    twin = to_torch(over(drawn(models).eval(), g.all_pairs()))
    assert_twins(twin, models, values(), of_torch(causal=True), of_geodl(twin), convert=causal_of)


def test_attention_on_a_graph_hears_its_edges():
    twin = drawn(stack_of(nn.TransformerEncoder, batch_first=True)).eval()
    near = (torch.arange(TARGET)[:, None] - torch.arange(TARGET)).abs() <= 1
    dst, src = near.nonzero().T
    graph, x = g.Graph(torch.stack((src, dst)), TARGET), values()[:, :TARGET]
    assert error(from_torch(twin)(g.Signal(x, graph)).x, twin(x, mask=~near)) <= 1e-10


@pytest.mark.parametrize("kind", [nn.TransformerEncoder, nn.TransformerDecoder, nn.Transformer])
def test_weights_go_both_ways_while_training(kind):
    twin = (
        whole_of(batch_first=True)
        if kind is nn.Transformer
        else stack_of(kind, 2, batch_first=True)
    )
    torch.manual_seed(0)
    twin, x, wanted = (
        twin.double().eval(),
        values(),
        torch.randn(3, TARGET, CHANNELS, dtype=torch.float64),
    )

    def trained(module, call):
        before = copy.deepcopy(module.state_dict())
        optimizer = torch.optim.Adam(module.parameters(), 1e-2)
        for _ in range(3):
            optimizer.zero_grad()
            F.mse_loss(call(module, x), wanted).backward()
            optimizer.step()
        assert all(error(value, before[name]) > 1e-3 for name, value in module.state_dict().items())
        return module

    layer = from_torch(trained(twin, of_torch()))
    assert_twins(twin, layer, x, of_torch(), of_geodl(twin))
    again = to_torch(trained(layer, of_geodl(twin)))
    assert_twins(again, layer, x, of_torch(), of_geodl(twin))
    assert_same_state(again, to_torch(from_torch(again)))


def test_dropout_falls_where_torch_drops():
    twin = layer_of(nn.TransformerDecoderLayer)
    twin.dropout.p, twin.dropout1.p, twin.dropout2.p, twin.dropout3.p, twin.self_attn.dropout = (
        0.1,
        0.2,
        0.3,
        0.4,
        0.5,
    )
    twin.dropout2.eval()
    layer: Any = from_torch(twin)
    assert [part.p for part in layer.modules() if isinstance(part, g.Dropout)] == [
        0.2,
        0.3,
        0.1,
        0.4,
    ]
    assert [part.dropout for part in layer.modules() if isinstance(part, g.Attention)] == [
        0.5,
        0.25,
    ]
    assert [part for part in layer.modules() if not part.training] == [layer[2].inner[1]]
    assert_options(to_torch(layer), twin)


@pytest.mark.parametrize(("function", "kind"), FUNCTIONS, ids=lambda it: it.__name__)
def test_functions_are_their_modules(function, kind):
    x = torch.linspace(-30, 30, 97, dtype=torch.float64)
    assert torch.equal(function(x), kind()(x))
    twin = drawn(layer_of(nn.TransformerDecoderLayer, activation=function)).eval()
    layer = from_torch(twin)
    assert_twins(twin, layer, values(), of_torch(), of_geodl(twin))
    assert type(from_torch(to_torch(layer))[4].inner[1]) is kind


def test_activations_with_options_stay():
    twin = drawn(layer_of(activation=nn.GELU(approximate="tanh"))).eval()
    assert_twins(twin, from_torch(twin), values(), of_torch(), of_geodl(twin))
    back = to_torch(from_torch(twin))
    assert back.activation.approximate == "tanh" and back.activation is not twin.activation


def test_a_decoder_that_forgot_its_activation():
    """torch's deep copy of a decoder layer with a module computes ReLU: a conversion computes what
    torch computes.
    """
    twin = drawn(stack_of(nn.TransformerDecoder, 2, activation=nn.Tanh())).eval()
    assert_twins(twin, from_torch(twin), values(), of_torch(), of_geodl(twin))
    one = drawn(layer_of(nn.TransformerDecoderLayer, activation=nn.Tanh())).eval()
    assert error(of_geodl(one)(from_torch(one), x := values()), of_torch()(one, x)) <= 1e-10
    assert (
        error(of_torch()(copy.deepcopy(to_torch(from_torch(one))), x), of_torch()(one, x)) <= 1e-10
    )
