"""What a Transformer of torch.nn and its conversion may be, and the masks that are exchanged
edges.
"""

import copy
from typing import Any

import pytest
import torch
from torch import nn

import geodl as g
from geodl.interop import from_torch, over, to_torch
from geodl.testing import error
from tests.transformers import (
    SOURCE,
    TARGET,
    causal_of,
    layer_of,
    of_torch,
    stack_of,
    values,
    whole_of,
)
from tests.twins import drawn


def test_what_is_no_model_is_told():
    for act in (lambda: over(5, g.past()), lambda: from_torch(5), lambda: to_torch(5)):
        with pytest.raises(g.GeodlError, match="found a int; give a mod"):
            act()
    with pytest.raises(g.GeodlError, match="over 5: found a int; give a rule"):
        over(g.Attention(8, g.past(), 2), 5)


def test_over_exchanges_what_hears_the_first_signal():
    layer: Any = from_torch(drawn(whole_of()).eval())
    causal: Any = over(layer, g.past())
    assert causal.encoder is layer.encoder
    rules = [part.rule for part in causal.decoder.modules() if isinstance(part, g.Attention)]
    assert rules == [g.past(), g.all_pairs()] * 2
    assert all(part.rule != g.past() for part in layer.modules() if isinstance(part, g.Attention))
    assert [id(p) for p in causal.parameters()] == [id(p) for p in layer.parameters()]
    assert list(causal.state_dict()) == list(layer.state_dict())
    attention = g.Attention(4, g.all_pairs(), 2)
    assert over(attention, g.past()).rule == g.past()
    for nothing in (g.Cross(attention), g.Conv(2, 2, g.itself()), nn.Linear(2, 2)):
        with pytest.raises(
            g.GeodlError,
            match=r"over\(.*past\(\)\): found no self-attention in it; give a model with some",
        ):
            over(nothing, g.past())


def test_over_takes_parametrized_layers():
    norm: Any = nn.utils.parametrizations.weight_norm
    plain = g.Sequential(nn.Linear(8, 8), g.Residual(g.Attention(8, g.all_pairs(), 2)))
    model: Any = copy.deepcopy(plain)
    norm(model[0])
    norm(model[1].inner[0], "in_proj_weight")
    causal = over(model, g.past())
    x = g.Signal.sequence(torch.randn(2, 5, 8))
    assert error(causal(x).x, over(plain, g.past())(x).x) <= 1e-5
    assert [id(p) for p in causal.parameters()] == [id(p) for p in model.parameters()]


def test_a_causal_one_decodes_node_by_node():
    twin = drawn(whole_of(norm_first=True)).eval()
    causal, x, parts, state = causal_of(twin), values(), [], None
    target, source = x.split((TARGET, SOURCE), dim=1)
    for k in range(TARGET):
        y, state = causal.step(
            g.Signal.sequence(target[:, k : k + 1]), state, g.Signal.sequence(source)
        )
        parts.append(y.x)
    assert error(torch.cat(parts, 1), of_torch(causal=True)(twin, x)) <= 1e-10
    with pytest.raises(
        g.GeodlError, match=r"no second signal; call model\(target, source\) with two"
    ):
        causal(g.Signal.sequence(target))


class MyLayer(nn.TransformerEncoderLayer):
    pass


def changed(module, **parts):
    for name, part in parts.items():
        setattr(module, name, part)
    return module


def mixed():
    twin = stack_of(nn.TransformerEncoder, 2)
    twin.layers[1].self_attn.batch_first = True
    return twin


REFUSED = [
    (
        lambda: layer_of(activation=lambda x: x),
        "from_torch.TransformerEncoderLayer.: found activation=<lambda>, .*use one of CELU, .*ELU",
    ),
    (lambda: layer_of(activation=torch.sin), "activation=sin, which may be any function"),
    (lambda: layer_of(activation=nn.PReLU()), "activation=PReLU, which may be any function"),
    (lambda: layer_of(activation=nn.Softmax(-1)), "activation=Softmax, which"),
    (lambda: layer_of(dropout=1.0), "dropout=1.0.; give a probability in"),
    (lambda: changed(layer_of(), dropout1=nn.Dropout(1.0)), "Dropout.1.0.; give a probability in"),
    (
        lambda: changed(layer_of(), dropout1=nn.Identity()),
        "dropout1 of type Identity; nn.Dropout has a converter here",
    ),
    (
        lambda: changed(layer_of(), norm1=nn.BatchNorm1d(8)),
        "norm1 of type BatchNorm1d; nn.LayerNorm has a converter here",
    ),
    (
        lambda: changed(layer_of(), linear2=nn.Bilinear(2, 2, 2)),
        "linear2 of type Bilinear; nn.Linear has a converter here",
    ),
    (lambda: changed(layer_of(), self_attn=nn.MultiheadAttention(8, 2, kdim=3)), "kdim=3, vdim=8"),
    (
        lambda: changed(layer_of(), self_attn=nn.MultiheadAttention(8, 2, add_bias_kv=True)),
        "add_bias_kv=True",
    ),
    (
        lambda: changed(layer_of(), self_attn=nn.MultiheadAttention(8, 2, add_zero_attn=True)),
        "add_zero_attn=True",
    ),
    (
        lambda: changed(layer_of(), self_attn=nn.Linear(8, 8)),
        "self_attn of type Linear; nn.MultiheadAttention has",
    ),
    (lambda: MyLayer(8, 2), "a subclass of TransformerEncoderLayer may compute something else"),
    (
        lambda: nn.TransformerEncoder(MyLayer(8, 2), 2, enable_nested_tensor=False),
        (
            "from_torch.TransformerEncoder.: found layers.0 of type MyLayer; "
            "nn.TransformerEncoderLayer has a converter here"
        ),
    ),
    (
        lambda: nn.TransformerEncoder(
            nn.TransformerDecoderLayer(8, 2), 2, enable_nested_tensor=False
        ),
        "layers.0 of type TransformerDecoderLayer; nn.TransformerEncoderLayer has",
    ),
    (
        lambda: changed(stack_of(nn.TransformerDecoder), norm=nn.BatchNorm1d(8)),
        "norm of type BatchNorm1d; nn.LayerNorm or nn.RMSNorm",
    ),
    (
        lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2), 0),
        "from_torch.TransformerDecoder.: found num_layers=0",
    ),
    (mixed, "batch_first=True in some parts only; give all one layout"),
    (lambda: changed(whole_of(), batch_first=True), "batch_first=True in some parts only"),
    (
        lambda: changed(whole_of(), encoder=nn.Linear(8, 8)),
        "encoder of type Linear; nn.TransformerEncoder has",
    ),
    (
        lambda: nn.Transformer(
            8, 2, custom_encoder=nn.Identity(), custom_decoder=stack_of(nn.TransformerDecoder)
        ),
        "from_torch.Transformer.: found encoder of type Identity",
    ),
    (
        lambda: changed(whole_of(), decoder=nn.LSTM(8, 8)),
        "decoder of type LSTM; nn.TransformerDecoder has",
    ),
    (
        lambda: nn.Sequential(layer_of()),
        "TransformerEncoderLayer, which may take or return more than one tensor; convert it",
    ),
    (
        lambda: nn.Sequential(nn.Linear(8, 8), stack_of(nn.TransformerEncoder)),
        "TransformerEncoder, which may take",
    ),
]


@pytest.mark.parametrize(("module", "why"), REFUSED)
def test_from_torch_refuses(module, why):
    with pytest.raises(g.GeodlError, match=why):
        from_torch(module())


@pytest.mark.parametrize(
    "module",
    [layer_of(), stack_of(nn.TransformerDecoder), whole_of()],
    ids=lambda m: type(m).__name__,
)
def test_from_torch_refuses_a_domain(module):
    with pytest.raises(
        g.GeodlError,
        match=r"with on=Chain\(3\): found a container, which takes Signals; convert without on=",
    ):
        from_torch(module, on=g.Chain(3))


def attention(**options):
    return g.Attention(8, g.all_pairs(), 2, **options)


def block(*first, feed=None):
    """A post-norm block with these layers around its first shortcut."""
    fed = feed or (nn.Linear(8, 12), nn.ReLU(), g.Dropout(0), nn.Linear(12, 8), g.Dropout(0))
    return g.Sequential(
        g.Residual(*(first or (attention(), g.Dropout(0)))),
        nn.LayerNorm(8),
        g.Residual(*fed),
        nn.LayerNorm(8),
    )


def swapped_stacks():
    layer: Any = from_torch(whole_of())
    layer.encoder, layer.decoder = layer.decoder, layer.encoder
    return layer


FORM = (
    "a form that nn.Transformer and its parts do not have; "
    "give blocks as g.models.transformer_encoder"
)


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (lambda: block(attention(), g.Dropout(0), nn.ReLU()), FORM),
        (lambda: block(attention()), FORM),
        (lambda: block(g.Cross(attention()), g.Dropout(0)), FORM),
        (
            lambda: block(
                g.Cross(g.Conv(8, 8, g.itself())), g.Dropout(0), feed=(attention(), g.Dropout(0))
            ),
            FORM,
        ),
        (lambda: block(feed=(nn.Linear(8, 8), nn.ReLU(), g.Dropout(0))), FORM),
        (
            lambda: block(
                feed=(nn.Linear(8, 8), nn.Softmax(-1), g.Dropout(0), nn.Linear(8, 8), g.Dropout(0))
            ),
            FORM,
        ),
        (
            lambda: block(
                feed=(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), g.Dropout(0), g.Dropout(0))
            ),
            FORM,
        ),
        (lambda: g.Sequential(*list(block())[:3]), FORM),
        (lambda: g.Sequential(*list(block())[:2]), FORM),
        (lambda: g.Sequential(*list(block())[:3], nn.RMSNorm(8)), FORM),
        (lambda: g.Sequential(nn.LayerNorm(8), *list(block())[:3]), FORM),
        (lambda: g.Sequential(attention(), nn.ReLU()), FORM),
        (lambda: g.Sequential(nn.Linear(8, 8), block()), FORM),
        (lambda: g.Sequential(nn.LayerNorm(8), block()), FORM),
        (lambda: g.Sequential(block(), from_torch(layer_of(nn.TransformerDecoderLayer))), FORM),
        (lambda: g.Sequential(g.Sequential(block())), FORM),
        (
            lambda: g.Sequential(
                g.Residual(), g.Residual(nn.LayerNorm(8), attention(), g.Dropout(0))
            ),
            FORM,
        ),
        (swapped_stacks, FORM),
        (
            lambda: block(attention(rotary=True), g.Dropout(0)),
            "rotary positions; nn.MultiheadAttention knows the plain dot product",
        ),
        (
            lambda: block(attention(relative=True), g.Dropout(0)),
            "a relative bias; nn.MultiheadAttention knows",
        ),
        (
            lambda: block(attention(score="linear"), g.Dropout(0)),
            "the score 'linear'; nn.MultiheadAttention knows",
        ),
        (lambda: block(attention(head_dim=3), g.Dropout(0)), "6 inner channels for 8"),
        (
            lambda: g.Residual(nn.LayerNorm(8), attention()),
            "a Residual that no torch.nn module computes",
        ),
    ],
)
def test_to_torch_refuses(layer, why):
    with pytest.raises(g.GeodlError, match=why):
        to_torch(layer())


def test_what_is_refused_differs_by_one_thing():
    assert isinstance(to_torch(block()), nn.TransformerEncoderLayer)
    assert isinstance(to_torch(g.Sequential(block(), block())), nn.TransformerEncoder)
    assert isinstance(to_torch(block(attention(), nn.Dropout(0.5))), nn.TransformerEncoderLayer)
