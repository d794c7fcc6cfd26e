"""Generated tokens are those of full passes, one step each, and what cannot be generated is
refused.
"""

import pytest
import torch
from torch import nn

import geodl as g
from geodl import models
from geodl.models import generate
from tests.test_models_sequences import GENERATORS, TRANSLATORS, U, V, judged, row, source


def drawn(
    logits: torch.Tensor, temperature: float, top_k: int | None, generator: torch.Generator
) -> torch.Tensor:
    """One token for each row, as the definition says it."""
    if temperature == 0:
        return logits.argmax(-1, keepdim=True)
    chances = (logits.float() / temperature).softmax(-1)
    if top_k is not None:
        kept = torch.zeros_like(chances).scatter(-1, chances.topk(top_k).indices, 1.0)
        chances = chances * kept / (chances * kept).sum(-1, keepdim=True)
    return torch.multinomial(chances, 1, generator=generator)


@pytest.mark.parametrize(
    "how",
    [{}, {"temperature": 0}, {"temperature": 0.5, "top_k": 4}],
    ids=["drawn", "likeliest", "top 4"],
)
@pytest.mark.parametrize("name", GENERATORS)
def test_steps_are_full_passes(name, how):
    model, ids = judged(GENERATORS[name]), torch.randint(V, (3, 2))
    sender, seeds = source(name, 3), [torch.Generator().manual_seed(5) for _ in range(2)]
    found = generate(model, ids, 6, sender=sender, generator=seeds[0], **how)
    with torch.no_grad():
        for _ in range(6):
            logits = model(g.Signal.tokens(ids), sender).x[:, -1]
            ids = torch.cat(
                (ids, drawn(logits, how.get("temperature", 1.0), how.get("top_k"), seeds[1])), 1
            )
    assert torch.equal(found, ids) and found.dtype == torch.long


def test_a_step_reads_one_token():
    model, read = judged(GENERATORS["gpt"]), []
    model[0].register_forward_hook(lambda _, args, __: read.append(args[0].x.shape[1]))
    generate(model, torch.randint(V, (2, 3)), 4)
    assert read == [3, 1, 1, 1]


def test_draws_follow_the_model():
    model = g.Sequential(g.Embedding(4, 4))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([0.5, 0.25, 0.125, 0.125]).log().expand(4, 4))
    start, generator = torch.zeros(1, 1, dtype=torch.long), torch.Generator().manual_seed(0)

    def shares(**how: float) -> torch.Tensor:
        ids = generate(model, start.expand(4000, 1), 1, generator=generator, **how)[:, 1]
        return torch.bincount(ids, minlength=4) / 4000

    assert torch.allclose(shares(), torch.tensor([0.5, 0.25, 0.125, 0.125]), atol=0.03)
    assert torch.allclose(shares(temperature=0.5), torch.tensor([16, 4, 1, 1]) / 22, atol=0.03)
    assert torch.allclose(shares(top_k=2), torch.tensor([2, 1, 0, 0]) / 3, atol=0.03)
    assert shares(top_k=1)[0] == shares(temperature=0)[0] == 1 and shares(top_k=99)[3] > 0


@pytest.mark.parametrize("name", ["gpt", "transformer", "captioner gru"])
def test_rows_end_where_they_end(name):
    model, ids, sender = judged(GENERATORS[name]), torch.randint(V, (6, 1)), source(name, 6)
    free = generate(model, ids, 8, sender=sender, temperature=0)
    end = int(free[0, 3])
    ended = generate(model, ids, 8, sender=sender, temperature=0, until=end)
    assert ended.shape == free.shape and (ended[0, 3:] == end).all()
    for mine, other in zip(ended.tolist(), free.tolist(), strict=True):
        stop = other.index(end, 1) if end in other[1:] else 9
        assert mine == other[:stop] + [end] * (9 - stop)


def test_all_rows_ended_ask_no_more():
    model, calls = g.Sequential(g.Embedding(4, 4)), []
    with torch.no_grad():
        model[0].weight.copy_(9 * torch.eye(4).roll(1, 1))  # after k comes k + 1
    model[0].register_forward_hook(lambda *_: calls.append(1))
    found = generate(model, torch.tensor([[0], [1]]), 50, temperature=0, until=3)
    assert found[:, :5].tolist() == [[0, 1, 2, 3, 3], [1, 2, 3, 3, 3]] and found.shape == (2, 51)
    assert (found[:, 3:] == 3).all() and len(calls) == 3


def test_learned_positions_end_and_a_context_slides():
    model, ids = judged(GENERATORS["gpt"]), torch.randint(V, (2, 3))
    assert generate(model, ids, 7).shape == (2, 10), "the ninth place says the tenth token"
    with pytest.raises(g.GeodlError, match="table of 9"):
        generate(model, ids, 8)
    found = generate(model, ids, 20, temperature=0, context=9)
    with torch.no_grad():
        for _ in range(20):
            ids = torch.cat((ids, model(g.Signal.tokens(ids[:, -9:])).x[:, -1:].argmax(-1)), 1)
    assert torch.equal(found, ids)
    long = torch.randint(V, (2, 30))
    found, short = (
        generate(model, beginning, 4, temperature=0, context=9)
        for beginning in (long, long[:, -9:])
    )
    assert torch.equal(found[:, -4:], short[:, -4:]) and torch.equal(found[:, :30], long)


@pytest.mark.parametrize("name", TRANSLATORS)
def test_ragged_sources_are_each_alone(name):
    model = judged(TRANSLATORS[name])
    lengths = torch.tensor([3, 5, 1, 3, 5])
    sender = g.Signal.tokens(torch.randint(U, (5, 5)), torch.arange(5) < lengths[:, None])
    ids = torch.randint(V, (5, 2))
    found = generate(model, ids, 5, sender=sender, temperature=0, until=3)
    alone = [
        generate(model, ids[k : k + 1], 5, sender=row(sender, k), temperature=0, until=3)
        for k in range(5)
    ]
    assert torch.equal(found, torch.cat(alone))


def test_the_model_is_left_as_it_was():
    model = models.char_rnn(V, channels=6, hidden=8, dropout=0.9).train()
    model[-1].eval()
    modes, ids = [m.training for m in model.modules()], torch.zeros(1, 1, dtype=torch.long)
    once, twice = (generate(model, ids, 6, temperature=0) for _ in range(2))
    assert torch.equal(once, twice), "nothing is dropped"
    assert not once.requires_grad and [m.training for m in model.modules()] == modes
    with pytest.raises(g.GeodlError, match="ids lie in"):
        generate(model, torch.full((1, 1), V), 2)
    assert [m.training for m in model.modules()] == modes and torch.is_grad_enabled()
    assert torch.equal(ids, torch.zeros(1, 1, dtype=torch.long))


START = torch.zeros(2, 1, dtype=torch.long)
RAGGED = g.Signal.tokens(
    torch.zeros(3, 2, dtype=torch.long), torch.arange(2) < torch.tensor([[1], [2], [2]])
)
REFUSALS = {
    "an empty beginning": ((START[:, :0], 3), {}, "no token to begin with"),
    "one row without an axis": ((START[:, 0], 3), {}, r"torch.int64 of shape \[2\]"),
    "floats": ((START.float(), 3), {}, "torch.long"),
    "a list": (([[0]], 3), {}, "a list"),
    "no count": ((START, 0), {}, "count=0"),
    "half a token": ((START, 1.5), {}, "count=1.5"),
    "no choice": ((START, 3), {"top_k": 0}, "top_k=0"),
    "no context": ((START, 3), {"context": 0}, "context=0"),
    "below zero": ((START, 3), {"temperature": -1.0}, "temperature=-1.0"),
    "no temperature": ((START, 3), {"temperature": float("nan")}, "temperature=nan"),
    "a temperature in words": ((START, 3), {"temperature": "hot"}, "temperature='hot'"),
    "a seed as generator": ((START, 3), {"generator": 7}, "a generator that is a int"),
    "no end": ((START, 3), {"until": -1}, "until=-1"),
    "other rows": ((START, 3), {"sender": RAGGED}, "one sender for each row"),
    "a tensor": ((START, 3), {"sender": torch.zeros(2, 4)}, "a Tensor; give a Signal"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_refused_is_said(name):
    args, how, words = REFUSALS[name]
    with pytest.raises(g.GeodlError, match=words):
        generate(judged(GENERATORS["char_rnn gru"]), *args, **how)


def test_models_that_hear_the_future_or_nothing():
    for model in (models.bert(V, channels=8, heads=2), models.tagger(V, V, channels=4, hidden=4)):
        with pytest.raises(g.GeodlError, match="nodes to come"):
            generate(model, START, 2)
    with pytest.raises(g.GeodlError, match="a Linear"):
        generate(nn.Linear(1, 1), START, 2)
    with pytest.raises(g.GeodlError, match="no second signal"):
        generate(models.seq2seq(U, V), START, 2)


def test_an_end_that_no_model_writes_is_refused():
    with pytest.raises(g.GeodlError, match="9 symbols"):
        generate(
            models.char_rnn(9, channels=4, hidden=4),
            torch.zeros(1, 1, dtype=torch.long),
            2,
            until=99,
        )


def test_the_smallest_temperature_is_greedy():
    model, start = models.char_rnn(9, channels=4, hidden=4), torch.zeros(2, 1, dtype=torch.long)
    assert torch.equal(
        generate(model, start, 5, temperature=1e-300), generate(model, start, 5, temperature=0)
    )


def test_no_more_than_k_are_drawn_where_scores_are_equal():
    model = g.Sequential(g.Embedding(4, 4))
    nn.init.zeros_(model[0].weight)
    drawn = [
        generate(model, torch.zeros(1, 1, dtype=torch.long), 40, top_k=k)[0, 1:].unique()
        for k in (1, 2)
    ]
    assert len(drawn[0]) == 1 and len(drawn[1]) == 2


def test_a_model_of_nothing_but_nan_is_told():
    model = models.char_rnn(5, channels=4, hidden=4)
    nn.init.constant_(model[0].weight, torch.nan)
    with pytest.raises(g.GeodlError, match="not finite"):
        generate(model, START, 3)
