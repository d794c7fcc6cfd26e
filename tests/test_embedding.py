"""Tokens as vectors: torch's numbers, on any domain, and what is refused."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import geodl as g
from geodl.testing import error

GRID, CHAINS = g.Grid(2, 3), g.Batch([g.Chain(3), g.Chain(2)])
IDS = torch.tensor([[3, 0, 4, 3], [1, 1, 2, 0]])


def test_embedding_is_torchs():
    torch.manual_seed(0)
    ours = g.Embedding(5, 3).double()
    torch.manual_seed(0)
    twin = nn.Embedding(5, 3).double()
    assert torch.equal(ours.weight, twin.weight), "drawn alike"
    y, wanted = ours(g.Signal.tokens(IDS)), twin(IDS)
    up = torch.randn_like(wanted)
    (mine,), (theirs,) = (
        torch.autograd.grad(y.x, ours.weight, up),
        torch.autograd.grad(wanted, twin.weight, up),
    )
    assert torch.equal(y.x, wanted) and error(mine, theirs) < 1e-12 and y.domain == g.Chain(4)
    assert list(ours.state_dict()) == ["weight"] and str(ours.label) == "Embedding(5, 3)"


def test_one_hot_is_the_identity_embedding():
    tokens = g.Signal.tokens(IDS)
    hot = g.Embedding.from_weight(torch.eye(5, dtype=torch.float64))(tokens)
    assert torch.equal(hot.x, F.one_hot(IDS, 5).double())
    embedding, conv = g.Embedding(5, 3).double(), g.Conv(5, 3, g.itself(), bias=False).double()
    conv.weight.data = embedding.weight.detach()[None].clone()
    y, wanted = embedding(tokens).x, conv(hot).x
    up = torch.randn_like(wanted)
    (mine,), (theirs,) = (
        torch.autograd.grad(y, [embedding.weight], up),
        torch.autograd.grad(wanted, [conv.weight], up),
    )
    assert error(y, wanted) < 1e-12 and error(mine, theirs[0]) < 1e-12


@pytest.mark.parametrize("domain", [GRID, g.Complete(3), g.Graph([[0], [1]], 3), CHAINS], ids=str)
@pytest.mark.parametrize("batch", [0, 2])
def test_tokens_live_on_any_domain(domain, batch):
    ids = torch.randint(5, (batch, domain.num_nodes, 1))
    layer = g.Embedding(5, 3)
    y = layer(g.Signal(ids, domain))
    assert y.domain is domain and torch.equal(y.x, layer.weight[ids[..., 0]])


def test_trained_vectors_are_copied_and_can_be_frozen():
    vectors = torch.randn(5, 3, dtype=torch.float64)
    layer = g.Embedding.from_weight(vectors).requires_grad_(False)
    vectors.zero_()
    assert layer.weight.abs().sum() > 0 and layer.weight.dtype == torch.float64 and layer.num == 5
    assert not layer(g.Signal.tokens(IDS)).x.requires_grad


def test_a_tied_head_is_one_parameter():
    embedding, head = g.Embedding(5, 3), nn.Linear(3, 5, bias=False)
    head.weight = embedding.weight
    model = g.Sequential(embedding, nn.Tanh(), head)
    assert len(list(model.parameters())) == 1
    wanted = embedding.weight[IDS].tanh() @ embedding.weight.T
    assert error(model(g.Signal.tokens(IDS)).x, wanted) < 1e-6
    twin = copy.deepcopy(model)
    assert twin[0].weight is twin[2].weight and twin[0].weight is not embedding.weight


def test_padded_tokens_are_missing_nodes():
    s = g.Signal.tokens(IDS, torch.tensor([[True] * 4, [True, False, False, False]]))
    assert s.x.flatten().tolist() == [3, 0, 4, 3, 1] and s.domain.members == (
        g.Chain(4),
        g.Chain(1),
    )


TOKENS, THREE = g.Signal.tokens(IDS), g.Signal.sequence(torch.zeros(1, 3, 4))
REFUSED = {
    "float ids": (
        lambda: g.Signal.tokens(torch.zeros(2, 3)),
        "torch.float32 of shape [2, 3]",
        "ids.long()",
    ),
    "small ids": (lambda: g.Signal.tokens(IDS.int()), "torch.int32", "ids.long()"),
    "ids of shape": (lambda: g.Signal.tokens(IDS[..., None]), "shape [2, 4, 1]", "[B, T]"),
    "no ids": (lambda: g.Signal.tokens(IDS[:, :0]), "without a token", "one token at least"),
    "wide integers": (
        lambda: g.Signal(torch.zeros(1, 3, 2, dtype=torch.long), g.Chain(3)),
        "torch.int64",
        "one channel",
    ),
    "too large": (lambda: g.Embedding(4, 3)(TOKENS), "ids from 0 to 4", "0..3"),
    "negative": (lambda: g.Embedding(5, 3)(g.Signal.tokens(IDS - 1)), "ids from -1 to 3", "0..4"),
    "float tokens": (
        lambda: g.Embedding(5, 3)(THREE),
        "4 channels of torch.float32",
        "one channel of torch.long",
    ),
    "a tensor": (lambda: g.Embedding(5, 3)(IDS), "a Tensor", "Signal.tokens(ids)"),
    "a sender": (lambda: g.Embedding(5, 3)(TOKENS, TOKENS), "a second signal", "one signal"),
    "device": (
        lambda: g.Embedding(5, 3).to("meta")(TOKENS),
        "tokens on cpu and vectors on meta",
        "one device",
    ),
    "integer vectors": (
        lambda: g.Embedding.from_weight(IDS),
        "torch.int64 of shape [2, 4]",
        "floating-point",
    ),
    "a list of vectors": (lambda: g.Embedding.from_weight([[1.0]]), "list", "vectors [num, C]"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_words(name):
    call, found, do = REFUSED[name]
    with pytest.raises(g.GeodlError) as refusal:
        call()
    parts = refusal.value.args
    assert found in parts[1] and do in parts[2] and parts[0], str(refusal.value)
