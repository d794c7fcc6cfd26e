"""Models of sequences: piece by piece as at once, ragged as alone, blind to what comes after."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

import geodl as g
from geodl import models
from geodl.layer import MessagePassing
from geodl.testing import error

V, U = 11, 7  # symbols of tokens and of sources
CELLS = ("lstm", "gru", "rnn_tanh", "rnn_relu")
SMALL = {"channels": 8, "heads": 2, "depth": 2}
RNN = {"channels": 6, "hidden": 8, "depth": 2}

CAUSAL: dict[str, Callable[[], g.Layer]] = {
    "gpt": lambda: models.gpt(V, context=9, **SMALL),
    "gpt with biases": lambda: models.gpt(V, context=9, bias=True, **SMALL),
    **{
        f"char_rnn {cell}": lambda cell=cell: models.char_rnn(V, cell=cell, **RNN) for cell in CELLS
    },
    "tcn": lambda: models.tcn(V, channels=8, depth=2),
}
TRANSLATORS: dict[str, Callable[[], g.Layer]] = {
    "transformer": lambda: models.transformer(U, V, **SMALL),
    "transformer, norms first": lambda: models.transformer(
        U, V, pre_norm=True, activation="gelu", **SMALL
    ),
    "seq2seq": lambda: models.seq2seq(U, V, **RNN),
    "seq2seq gru": lambda: models.seq2seq(U, V, cell="gru", **RNN),
    "seq2seq_attention": lambda: models.seq2seq_attention(U, V, **RNN),
    "seq2seq_attention lstm": lambda: models.seq2seq_attention(U, V, cell="lstm", **RNN),
}
CAPTIONERS: dict[str, Callable[[], g.Layer]] = {
    f"captioner {cell}": lambda cell=cell: models.captioner(
        V, channels=4, hidden=8, depth=2, cell=cell
    )
    for cell in ("gru", "lstm")
}
READERS: dict[str, Callable[[], g.Layer]] = {
    "bert": lambda: models.bert(V, context=9, **SMALL),
    "bert, norms first": lambda: models.bert(V, context=9, pre_norm=True, **SMALL),
    "tagger": lambda: models.tagger(V, 3, **RNN),
    **{
        f"classifier {c}": lambda c=c: models.sequence_classifier(
            V, 3, channels=6, hidden=8, cell=c
        )
        for c in CELLS
    },
}
GENERATORS = CAUSAL | TRANSLATORS | CAPTIONERS


def judged(make: Callable[[], g.Layer]) -> g.Layer:
    """A model in float64 and evaluation mode, every parameter drawn anew."""
    torch.manual_seed(0)
    model = make().double().eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.2 * torch.randn_like(p))
    return model


def source(name: str, rows: int, length: int = 5) -> g.Signal | None:
    """A second signal of the kind that a model hears."""
    if name in CAPTIONERS:
        return g.Signal.image(torch.randn(rows, 1, 9, 8, dtype=torch.float64))
    return g.Signal.tokens(torch.randint(U, (rows, length))) if name in TRANSLATORS else None


def row(signal: g.Signal | None, k: int) -> g.Signal | None:
    """One row of a signal, or one member."""
    if signal is None:
        return None
    if signal.domain.members is None:
        return g.Signal(signal.x[k : k + 1], signal.domain)
    return g.Signal(signal.domain.split(signal.x)[k], signal.domain.members[k])


def pieces(
    model: g.Layer, ids: torch.Tensor, sender: g.Signal | None, cuts: list[int]
) -> torch.Tensor:
    parts, state = [], None
    for piece in ids.tensor_split(cuts, dim=1):
        y, state = model.step(g.Signal.tokens(piece), state, sender)
        parts.append(y.x)
    return torch.cat(parts, 1)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("name", GENERATORS)
def test_pieces_are_the_whole(name, rows):
    model = judged(GENERATORS[name])
    ids, sender = torch.randint(V, (rows, 9)), source(name, rows)
    whole = model(g.Signal.tokens(ids), sender)
    assert whole.x.shape == (rows, 9, V) and whole.domain == g.Chain(9)
    for cuts in ([], [4], [1, 2, 3, 4, 5, 6, 7, 8], [3, 4, 7]):
        assert error(pieces(model, ids, sender, cuts), whole.x) < 1e-10


@pytest.mark.parametrize("name", GENERATORS)
def test_a_lost_state_is_caught(name):
    model = judged(GENERATORS[name])
    ids, sender = torch.randint(V, (1, 6)), source(name, 1)
    forgotten = torch.cat(
        [model.step(g.Signal.tokens(piece), None, sender)[0].x for piece in ids.split(3, 1)], 1
    )
    assert error(forgotten, model(g.Signal.tokens(ids), sender).x) > 1e-4


@pytest.mark.parametrize("name", GENERATORS | READERS)
def test_gradients_reach_every_parameter(name):
    torch.manual_seed(1)
    model, rows = (GENERATORS | READERS)[name]().double(), 4
    y = model(
        g.Signal.tokens(torch.randint(V, (rows, 9))),
        *([source(name, rows)] if source(name, rows) else []),
    )
    (y.x * torch.randn_like(y.x)).sum().backward()
    silent = [
        n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 1e-9
    ]
    assert silent == []


RAGGED, SOURCES = torch.tensor([6, 2, 4]), torch.tensor([3, 5, 1])


def mixtures(name: str) -> Iterator[tuple[g.Signal, g.Signal | None]]:
    """Tokens and sources, each with rows of one length and ragged."""
    ids = torch.randint(V, (3, 6))
    targets = g.Signal.tokens(ids), g.Signal.tokens(ids, torch.arange(6) < RAGGED[:, None])
    words, heard = torch.randint(U, (3, 5)), [source(name, 3)]
    if name in TRANSLATORS:
        heard = [g.Signal.tokens(words), g.Signal.tokens(words, torch.arange(5) < SOURCES[:, None])]
    yield from ((target, sender) for target in targets for sender in heard)


@pytest.mark.parametrize("name", GENERATORS | READERS)
def test_ragged_sequences_are_each_alone(name):
    model = judged((GENERATORS | READERS)[name])
    for target, sender in mixtures(name):
        y = model(target, *([sender] if sender else []))
        for k in range(3):
            alone = model(row(target, k), *([row(sender, k)] if sender else [])).x
            if name.startswith("classifier"):
                assert y.domain == g.Complete(3 if target.domain.members else 1)
                mine = y.x[0, k] if target.domain.members else y.x[k, 0]
                assert error(mine, alone[0, 0]) < 1e-10
            else:
                assert y.domain is target.domain and error(row(y, k).x, alone) < 1e-10


@pytest.mark.parametrize("name", GENERATORS | READERS)
def test_padding_never_leaks(name):
    model = judged((GENERATORS | READERS)[name])
    ids, words = torch.randint(V, (3, 6)), torch.randint(U, (3, 5))
    exists, heard = torch.arange(6) < RAGGED[:, None], torch.arange(5) < SOURCES[:, None]

    def said(fill: int) -> torch.Tensor:
        target = g.Signal.tokens(ids.where(exists, fill), exists)
        torch.manual_seed(2)
        sender = (
            g.Signal.tokens(words.where(heard, fill), heard)
            if name in TRANSLATORS
            else source(name, 3)
        )
        return model(target, *([sender] if sender else [])).x

    assert torch.equal(said(0), said(U - 1))


def earlier_change(model: g.Layer, sender: g.Signal | None) -> tuple[float, float]:
    """How far another token at place 5 moves what is said before it, and from there on."""
    ids = torch.randint(V, (2, 9))
    other = ids.clone()
    other[:, 5] = (ids[:, 5] + 1) % V
    moved = (model(g.Signal.tokens(ids), sender).x - model(g.Signal.tokens(other), sender).x).abs()
    return float(moved[:, :5].max()), float(moved[:, 5:].max())


@pytest.mark.parametrize("name", GENERATORS)
def test_no_token_hears_those_to_come(name):
    with torch.no_grad():
        before, after = earlier_change(judged(GENERATORS[name]), source(name, 2))
    assert before < 1e-12 and after > 1e-3


@pytest.mark.parametrize("name", ["bert", "bert, norms first", "tagger"])
def test_readers_hear_both_sides(name):
    with torch.no_grad():
        before, after = earlier_change(judged(READERS[name]), None)
    assert before > 1e-6 and after > 1e-6


@pytest.mark.parametrize("name", TRANSLATORS | CAPTIONERS)
def test_the_source_is_heard(name):
    model, ids = judged(GENERATORS[name]), g.Signal.tokens(torch.randint(V, (2, 4)))
    one, two = source(name, 2), source(name, 2)
    assert error(model(ids, one).x, model(ids, two).x) > 1e-4
    if name in TRANSLATORS:
        flipped = g.Signal.tokens(one.x[..., 0].flip(1))
        assert error(model(ids, one).x, model(ids, flipped).x) > 1e-5, "in its order"


def test_a_source_is_encoded_once():
    model = judged(TRANSLATORS["transformer"])
    calls = []
    model.encoder.register_forward_hook(lambda *_: calls.append(1))
    pieces(model, torch.randint(V, (2, 6)), source("transformer", 2), [1, 2, 3])
    assert len(calls) == 1


@pytest.mark.parametrize("make", [models.transformer, models.seq2seq, models.seq2seq_attention])
def test_training_learns_to_reverse(make):
    torch.manual_seed(0)
    sizes = {"depth": 1, "dropout": 0.0} | (
        {"heads": 2, "pre_norm": True} if make is models.transformer else {"hidden": 48}
    )
    model, bos = make(6, 7, channels=32, **sizes), 6
    sources = torch.randint(6, (24, 4))
    targets = sources.flip(1)
    read, written = (
        g.Signal.tokens(sources),
        g.Signal.tokens(nn.functional.pad(targets, (1, -1), value=bos)),
    )
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    loss = torch.tensor(torch.inf)
    for _ in range(150):
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(model(written, read).x.flatten(0, 1), targets.flatten())
        loss.backward()
        optimiser.step()
    said = models.generate(model, torch.full((24, 1), bos), 4, sender=read, temperature=0)
    assert loss.item() < 0.05 and torch.equal(said[:, 1:], targets)


@pytest.mark.parametrize("name", TRANSLATORS)
def test_explain_hears_every_layer_once(name):
    model = TRANSLATORS[name]()
    target, source = (g.Signal.tokens(torch.zeros(2, n, dtype=torch.long)) for n in (5, 4))
    layers = {path for path, m in model.named_modules() if isinstance(m, MessagePassing)}
    with g.testing.record_lowerings() as ran:
        model(target, source)
    told = g.explain(model, target, source).choices
    assert sorted(choice.path for choice in told) == sorted(layers)
    assert [choice.lowering for choice in told] == ran
    assert not any("step" in vars(m) for m in model.modules()), "the model is left as it was"


def test_a_captioner_names_what_it_sees():
    torch.manual_seed(0)
    images, names = (
        torch.randn(4, 1, 8, 8),
        torch.tensor([[1, 2, 3], [2, 2, 1], [3, 1, 1], [1, 1, 2]]),
    )
    model = models.captioner(4, channels=8, hidden=24)
    seen, written = g.Signal.image(images), g.Signal.tokens(nn.functional.pad(names, (1, -1)))
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(100):
        optimiser.zero_grad()
        nn.functional.cross_entropy(
            model(written, seen).x.flatten(0, 1), names.flatten()
        ).backward()
        optimiser.step()
    assert torch.equal(
        models.generate(model, torch.zeros(4, 1, dtype=torch.long), 3, sender=seen, temperature=0)[
            :, 1:
        ],
        names,
    )
