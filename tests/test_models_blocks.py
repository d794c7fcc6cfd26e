"""Blocks, sizes and beginnings of Transformers and recurrent models, held to torch's layers, and
their refusals.
"""

import copy

import pytest
import torch
from torch import nn

import geodl as g
from geodl import models
from geodl.testing import error

C, H, W = 8, 2, 12
STYLES = [
    {"pre_norm": pre_norm, "activation": activation, "bias": bias}
    for pre_norm in (True, False)
    for activation in ("gelu", "relu")
    for bias in (True, False)
]


def size(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def twin(kind: type[nn.Module], dropout: float, style: dict) -> nn.Module:
    """A layer of torch's, every parameter drawn anew."""
    torch.manual_seed(0)
    options = {
        "norm_first": style["pre_norm"],
        "activation": style["activation"],
        "bias": style["bias"],
    }
    layer = kind(C, H, W, dropout, batch_first=True, **options).double()
    for p in layer.parameters():
        nn.init.normal_(p, std=0.5)
    return layer


def loaded(block: g.Layer, layer: nn.Module) -> g.Layer:
    """Our block with the weights of torch's layer: parts of one kind stand in the order in which
    they are used.
    """
    block = block.double()

    def parts(model: nn.Module, *kinds: type[nn.Module]) -> list[nn.Module]:
        inside = {m.out_proj for m in model.modules() if hasattr(m, "out_proj")}
        return [m for m in model.modules() if isinstance(m, kinds) and m not in inside]

    for kinds in ((g.Attention, nn.MultiheadAttention), (nn.Linear,), (nn.LayerNorm,)):
        for mine, other in zip(parts(block, *kinds), parts(layer, *kinds), strict=True):
            mine.load_state_dict(other.state_dict())
    return block


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("style", STYLES, ids=lambda s: "-".join(map(str, s.values())))
def test_an_encoder_block_is_torchs(style, dropout):
    layer = twin(nn.TransformerEncoderLayer, dropout, style)
    blocks = models.transformer_encoder(
        C, H, 1, hidden=W, dropout=dropout, final_norm=False, **style
    )
    block, x = loaded(blocks[0], layer), torch.randn(1 if dropout else 3, 5, C, dtype=torch.float64)
    torch.manual_seed(1)
    wanted = layer(x)
    torch.manual_seed(1)
    assert error(block(g.Signal(x, g.Complete(5))).x, wanted) < 1e-10, (
        "the same values dropped at the same places"
    )


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("style", STYLES, ids=lambda s: "-".join(map(str, s.values())))
def test_a_decoder_block_is_torchs(style, dropout):
    layer = twin(nn.TransformerDecoderLayer, dropout, style)
    blocks = models.transformer_decoder(
        C, H, 1, hidden=W, dropout=dropout, final_norm=False, **style
    )
    block = loaded(blocks[0], layer)
    x, memory = (torch.randn(1 if dropout else 3, n, C, dtype=torch.float64) for n in (5, 4))
    mask = nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64)
    torch.manual_seed(1)
    wanted = layer(x, memory, tgt_mask=mask, tgt_is_causal=True)
    torch.manual_seed(1)
    assert error(block(g.Signal.sequence(x), g.Signal.sequence(memory)).x, wanted) < 1e-10
    if dropout:
        assert error(block.eval()(g.Signal.sequence(x), g.Signal.sequence(memory)).x, wanted) > 1e-3


def test_stacks_of_both_orders():
    for pre_norm in (True, False):
        stack = models.transformer_encoder(C, H, 3, pre_norm=pre_norm)
        assert len(stack) == 3 + pre_norm and isinstance(stack[-1], nn.LayerNorm) == pre_norm
        assert (
            len(models.transformer_decoder(C, H, 3, pre_norm=pre_norm, final_norm=not pre_norm))
            == 4 - pre_norm
        )
    dropped, whole = (models.transformer_encoder(C, H, 2, dropout=p) for p in (0.5, 0.0))
    whole.load_state_dict(dropped.state_dict())
    assert dropped.state_dict().keys() == whole.state_dict().keys()


def test_the_rule_decides_who_hears_whom():
    x = torch.randn(1, 4, C)
    moved = x + torch.tensor([0.0, 0.0, 0.0, 1.0])[:, None] * torch.randn(C)
    for rule, domain, blind in (
        (g.all_pairs(), g.Complete(4), []),
        (g.past(), g.Chain(4), [0, 1, 2]),
        (g.adjacency(self_loops=True), g.Graph([[0, 1, 3, 2], [1, 0, 2, 3]], 4), [0, 1]),
    ):
        stack = models.transformer_encoder(C, H, 2, rule=rule)
        shifts = (
            (stack(g.Signal(x, domain)).x - stack(g.Signal(moved, domain)).x).abs().amax((0, 2))
        )
        assert [k for k in range(4) if shifts[k] < 1e-5] == blind


def test_without_positions_order_is_nothing():
    stack, x, turn = models.transformer_encoder(C, H, 2), torch.randn(2, 6, C), torch.randperm(6)
    s = stack(g.Signal(x, g.Complete(6))).x
    assert error(stack(g.Signal(x[:, turn], g.Complete(6))).x, s[:, turn]) < 1e-5
    ids = torch.arange(6)[None]
    for model in (
        models.gpt(6, context=6, channels=8, heads=2),
        models.bert(6, channels=8, heads=2).eval(),
    ):
        said = model(g.Signal.tokens(ids)).x
        assert error(model(g.Signal.tokens(ids.flip(1))).x, said.flip(1)) > 1e-4


def test_sizes_of_nanogpt():
    model = models.gpt(65)
    block = 4 * 128 * 128 + 2 * 4 * 128 * 128 + 2 * 128
    assert size(model) - 64 * 128 == 65 * 128 + 4 * block + 128 == 795_904
    assert size(model) == 804_096
    assert size(models.gpt(65, bias=True)) == 804_096 + 4 * (3 + 1 + 4 + 1 + 2) * 128 + 128
    gpt2 = (
        50257 * 8 + 1024 * 8 + 12 * (12 * 64 + 13 * 8) + 2 * 8
    )  # GPT-2's formula, 768 channels in place of 8
    assert size(models.gpt(50257, context=1024, channels=8, heads=2, depth=12, bias=True)) == gpt2


def test_a_gpt_begins_as_gpt2():
    torch.manual_seed(0)
    model = models.gpt(65, depth=8, bias=True)
    ends = [
        p for n, p in model.named_parameters() if n.endswith(("out_proj.weight", "inner.4.weight"))
    ]
    others = [
        p
        for n, p in model.named_parameters()
        if p.dim() == 2 and not n.endswith(("out_proj.weight", "inner.4.weight"))
    ]
    assert len(ends) == 16 and {p.shape for p in ends} == {(128, 128), (128, 512)}
    assert all(abs(p.std() / (0.02 / 4) - 1) < 0.05 for p in ends) and all(
        abs(p.std() / 0.02 - 1) < 0.05 for p in others
    )
    assert all(not p.any() for n, p in model.named_parameters() if n.endswith("bias"))
    assert all(
        (p == 1).all() for n, p in model.named_parameters() if p.dim() == 1 and n.endswith("weight")
    )
    assert model[-1].weight is model[0].weight
    loss = nn.functional.cross_entropy(
        model(g.Signal.tokens(torch.randint(65, (4, 64)))).x.flatten(0, 1),
        torch.randint(65, (256,)),
    )
    assert abs(loss.item() - torch.tensor(65.0).log()) < 0.1, "it begins by knowing nothing"


def test_heads_stay_tied_through_copies():
    for model in (models.gpt(9, channels=8, heads=2), models.bert(9, channels=8, heads=2)):
        twin = copy.deepcopy(model)
        assert twin[-1].weight is twin[0].weight and twin[0].weight is not model[0].weight


@pytest.mark.parametrize(("patch", "patches"), [(7, 16), (4, 49)])
def test_vit(patch, patches):
    model = models.vit(10, patch=patch).eval()
    assert model(g.Signal.image(torch.randn(2, 1, 28, 28))).x.shape == (2, 1, 10)
    block = 12 * 64 * 64 + 13 * 64
    assert size(model) == (patch**2 * 64 + 64) + patches * 64 + 4 * block + 2 * 64 + 64 * 10 + 10
    colour = models.vit(3, size=8, patch=4, in_channels=3, channels=8, heads=2, depth=1)
    assert colour(g.Signal.image(torch.randn(2, 3, 8, 8))).x.shape == (2, 1, 3)
    nn.init.zeros_(colour[1].weight)
    image = torch.randn(1, 3, 8, 8)
    swapped = image.roll(4, 2)
    assert error(colour(g.Signal.image(image)).x, colour(g.Signal.image(swapped)).x) < 1e-5, (
        "a set of patches without positions"
    )


def test_a_tcn_hears_as_far_as_it_says():
    reach = 1 + 2 * (3 - 1) * (2**3 - 1)
    body = g.Sequential(*list(models.tcn(5, channels=4, depth=3, size=3))[1:])
    for p in body.parameters():
        nn.init.constant_(p, 0.1)  # so that no ReLU is silent
    x = torch.rand(1, 40, 4, requires_grad=True)
    (heard,) = torch.autograd.grad(body(g.Signal.sequence(x)).x[0, -1].sum(), x)
    assert heard[0].any(-1).tolist() == [False] * (40 - reach) + [True] * reach


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_last_states_are_torchs(cell):
    torch.manual_seed(0)
    both = [
        g.Recurrent(3, 4, cell, rule).double() for rule in (g.previous(), g.previous().reverse())
    ]
    theirs = {"lstm": nn.LSTM, "gru": nn.GRU}[cell](
        3, 4, batch_first=True, bidirectional=True
    ).double()
    ours = zip(both, ("", "_reverse"), strict=True)
    theirs.load_state_dict(
        {n + end: p for layer, end in ours for n, p in layer.state_dict().items()}
    )
    x, lengths = torch.randn(3, 6, 3, dtype=torch.float64), torch.tensor([2, 6, 5])
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    _, last = theirs(packed)
    states = torch.stack(last if cell == "lstm" else [last])  # [S, 2, B, hidden]
    wanted = states.permute(2, 1, 0, 3).flatten(1)
    read = g.Concat(*map(models.FinalState, both))(
        g.Signal.sequence(x, torch.arange(6) < lengths[:, None])
    )
    assert read.domain == g.Complete(3) and error(read.x[0], wanted) < 1e-10


def test_a_seq2seq_is_torchs():
    torch.manual_seed(0)
    model = models.seq2seq(5, 6, channels=3, hidden=4, depth=2).double()
    ids, words = torch.randint(6, (2, 4)), torch.randint(5, (2, 7))
    encoder, decoder = (nn.LSTM(3, 4, 2, batch_first=True).double() for _ in range(2))
    for twin, layers in ((encoder, model.encoder[1]), (decoder, model.decoder[1])):
        rows = [m for m in layers.layers if isinstance(m, g.Recurrent)]
        twin.load_state_dict(
            {
                n.replace("l0", f"l{k}"): p
                for k, m in enumerate(rows)
                for n, p in m.state_dict().items()
            }
        )
    _, state = encoder(model.encoder[0].weight[words])
    y, _ = decoder(model.decoder[0].weight[ids], state)
    assert (
        error(model(g.Signal.tokens(ids), g.Signal.tokens(words)).x, model.decoder[-1](y)) < 1e-10
    )


TOKENS, IMAGE = (
    g.Signal.tokens(torch.zeros(2, 5, dtype=torch.long)),
    g.Signal.image(torch.zeros(2, 1, 8, 8)),
)
REFUSALS = {
    "heads": (lambda: models.gpt(9, channels=10, heads=4), "heads that do not divide"),
    "no heads": (lambda: models.transformer_encoder(8, 0), "positive integers"),
    "depth": (lambda: models.transformer_decoder(8, 2, 0), "depth=0"),
    "no layers": (lambda: models.char_rnn(9, depth=0), "depth 0"),
    "no directions": (lambda: models.tagger(9, 2, depth=-1), "depth -1"),
    "no blocks": (lambda: models.tcn(9, depth=0), "depth=0"),
    "hidden": (lambda: models.transformer_encoder(8, 2, hidden=0), "hidden=0"),
    "activation": (
        lambda: models.transformer_encoder(8, 2, activation="gelo"),
        "did you mean 'gelu'",
    ),
    "cell": (lambda: models.seq2seq(9, 9, cell="lstn"), "did you mean 'lstm'"),
    "cell of a classifier": (
        lambda: models.sequence_classifier(9, 9, cell="gur"),
        "did you mean 'gru'",
    ),
    "dropout": (lambda: models.captioner(9, dropout=1.0), "probability"),
    "symbols": (lambda: models.bert(0), "positive integers"),
    "odd channels": (lambda: models.transformer(9, 9, channels=9, heads=3), "give a multiple of 2"),
    "patches": (lambda: models.vit(patch=5), "patches that do not tile"),
    "no patch": (lambda: models.vit(patch=0), "positive integers"),
    "another image": (
        lambda: models.vit()(g.Signal.image(torch.zeros(1, 1, 14, 56))),
        "another lattice",
    ),
    "context": (lambda: models.gpt(9, context=4, channels=8, heads=2)(TOKENS), "table of 4"),
    "a larger image": (
        lambda: models.vit(size=4, patch=2, channels=8, heads=2)(IMAGE),
        "table of 4",
    ),
    "unknown token": (
        lambda: models.gpt(3)(g.Signal.tokens(torch.tensor([[3]]))),
        "ids lie in 0..2",
    ),
    "no source": (lambda: models.seq2seq(9, 9)(TOKENS), "no second signal"),
    "no source to go on from": (
        lambda: models.transformer(9, 9).step(TOKENS),
        "no second signal",
    ),
    "a tensor": (lambda: models.transformer(9, 9)(TOKENS, torch.zeros(2, 3)), "a Tensor; call"),
    "another state to go on from": (
        lambda: models.transformer(9, 9).step(TOKENS, 5, TOKENS),
        "what step returned",
    ),
    "no encoder": (
        lambda: models.EncoderDecoder(nn.Linear(3, 3), models.FromState(g.Recurrent(3, 3))),
        "an encoder that is a Linear",
    ),
    "no classes": (lambda: models.tagger(5, 0), "the size 0"),
    "no state": (lambda: models.FromState(g.Recurrent(1, 4))(TOKENS), "no second signal"),
    "another state": (
        lambda: models.FromState(g.Recurrent(3, 4))(g.Signal.sequence(torch.zeros(2, 5, 3)), IMAGE),
        r"give \[2, 1, 8\]",
    ),
    "nothing recurrent": (lambda: models.FinalState(nn.Tanh()), "no Recurrent"),
    "no row": (lambda: models.FromState(g.Attention(8, g.past())), "Recurrent layers"),
    "no answer": (
        lambda: models.EncoderDecoder(g.Recurrent(3, 4), g.Recurrent(3, 4)),
        "takes no second signal",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_refused_is_said(name):
    make, words = REFUSALS[name]
    with pytest.raises(g.GeodlError, match=words):
        make()


def test_as_many_sources_as_targets():
    ids = torch.zeros(3, 2, dtype=torch.long)
    ragged = g.Signal.tokens(ids, torch.tensor([[True, False], [True, True], [True, True]]))
    for make in (models.transformer, models.seq2seq, models.seq2seq_attention):
        with pytest.raises(g.GeodlError, match="one source for each target"):
            make(9, 9)(TOKENS, ragged)
        with pytest.raises(g.GeodlError):
            make(9, 9)(TOKENS, g.Signal.tokens(ids))


def test_sizes_may_be_tensors():
    eight, four, two = (torch.tensor(n) for n in (8, 4, 2))
    made = [
        models.gpt(9, context=4, channels=eight, heads=2, depth=1),
        models.bert(9, context=4, channels=eight, heads=two, depth=1),
        models.vit(four, channels=eight, heads=two, depth=1),
        models.transformer(9, 9, channels=eight, heads=two, depth=1),
    ]
    widths = [
        p.shape[-1] for model in made for name, p in model.named_parameters() if "norm" in name
    ]
    assert set(widths) <= {8} and [model[0].channels for model in made[:2]] == [8, 8]
