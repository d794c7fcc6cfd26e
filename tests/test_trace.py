"""The record of a run says what every layer did, and shows where a model computes something
itself.
"""

import threading

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend

import geodl as g
from geodl import models
from geodl.layer.trace import code_between, stamps

GRID, P4 = g.Grid(5, 5), g.C(4)
TURNING = g.isotropic(3, group=P4)


def turning() -> g.Conv:
    return g.Conv(2, 2, TURNING)


def image(channels: int = 2) -> g.Signal:
    return g.Signal.image(torch.randn(1, channels, 5, 5))


def test_events_of_a_row():
    model = g.Sequential(g.Conv(2, 4, g.window(3)), nn.ReLU(), g.Dropout(), g.Readout())
    s = image()
    with g.trace(model) as events:
        y = model(s)
    assert [event.path for event in events] == ["0", "1", "2", "3"]
    assert [event.layer for event in events] == list(model)
    assert [event.lowering for event in events] == ["lattice", None, None, "blocks"]
    assert [event.rule for event in events] == [g.window(3), None, None, g.whole()]
    assert [event.source for event in events] == [GRID] * 4
    assert [event.target for event in events] == [GRID] * 3 + [g.Complete(1)]
    assert events[3].refused[0][0] == "lattice" and events[0].refused == ()
    assert events[0].signals == (s,) and events[-1].output.x is y.x
    model(s)
    assert len(events) == 4, "nothing is recorded outside the block"


def test_what_containers_make_is_an_event():
    model = g.Residual(g.Concat(turning(), nn.Identity()), nn.Linear(4, 2))
    with g.trace(model) as events:
        y = model(image())
    assert [type(event.layer).__name__ for event in events] == [
        "Conv",
        "Identity",
        "Concat",
        "Linear",
        "Residual",
    ]
    assert [event.path for event in events][-1] == "" and events[-1].output.x is y.x


def test_two_signals_and_a_named_rule():
    layer = g.Attention(4, g.all_pairs(), 2)
    receiver, sender = (g.Signal.sequence(torch.randn(1, n, 4)) for n in (3, 5))
    with g.trace(layer) as events:
        layer(receiver, sender)
        layer(sender, rule=g.past())
        layer.step(receiver, None, sender)
    assert [event.rule for event in events] == [g.all_pairs(), g.past(), g.all_pairs()]
    assert [(event.source, event.target) for event in events] == [
        (g.Chain(5), g.Chain(3)),
        (g.Chain(5), g.Chain(5)),
        (g.Chain(5), g.Chain(3)),
    ]
    assert events[0].signals == events[2].signals == (receiver, sender)


@pytest.mark.parametrize(
    "make",
    [
        lambda: models.gpt(7, context=9, channels=8, heads=2, depth=2),
        lambda: models.char_rnn(7, channels=4, hidden=4, depth=2),
        lambda: models.tcn(7, channels=4, depth=2),
    ],
    ids=["gpt", "rnn", "tcn"],
)
def test_a_step_is_recorded_as_a_call_is(make):
    model = make().eval()
    with g.trace(model) as called:
        model(g.Signal.tokens(torch.zeros(1, 4, dtype=torch.long)))
    state = None
    for _ in range(3):
        with g.trace(model) as stepped:
            piece = g.Signal.tokens(torch.zeros(1, 2, dtype=torch.long))
            _, state = model.step(piece, state)
        assert [event.path for event in stepped] == [event.path for event in called]


def test_an_encoder_and_a_decoder_leave_no_gap():
    for make in (models.seq2seq, models.seq2seq_attention):
        model = make(7, 7, channels=4, hidden=4).eval()
        ids = torch.zeros(3, 4, dtype=torch.long)
        ragged = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]]).bool()
        for source in (g.Signal.tokens(ids), g.Signal.tokens(ids, ragged)):
            target = g.Signal.tokens(ids[:, :3])
            given = stamps(target, source)
            with g.trace(model) as events, torch.no_grad():
                y = model(target, source)
            assert code_between(events, given, y) == []


def test_a_step_continues_from_a_state_of_the_record():
    model, s = g.Recurrent(2, 2), g.Signal.sequence(torch.randn(1, 3, 2))
    given = stamps(s)
    with g.trace(model) as events, torch.no_grad():
        _, state = model.step(s)
        y, _ = model.step(s, state)
    assert code_between(events, given, y) == []
    with g.trace(model) as events, torch.no_grad():
        _, state = model.step(s)
        y, _ = model.step(s, tuple(2 * part for part in state))
    assert code_between(events, given, y) == [("", "reads values that no layer made")]


def test_a_failed_call_leaves_no_trace():
    model = g.Sequential(turning(), g.Conv(3, 2, TURNING))
    with g.trace(model) as events:
        with pytest.raises(g.GeodlError):
            model(image())
        model[0](image())
    assert [event.path for event in events] == ["0", "0"]


def test_other_threads_are_not_heard():
    layer = turning()
    with g.trace(layer) as events:
        thread = threading.Thread(target=layer, args=(image(),))
        thread.start()
        thread.join()
    assert events == []


def test_in_inference_mode():
    model = g.Sequential(turning(), nn.ReLU())
    with torch.inference_mode(), g.trace(model) as events:
        model(image())
    assert [event.lowering for event in events] == ["lattice", None]


def test_layers_on_a_domain_and_strangers():
    layer, stranger = g.Conv(2, 2, TURNING, on=GRID), turning()
    with g.trace(nn.Sequential(layer)) as events:
        y = layer(image().x)
        stranger(image())
    assert [event.path for event in events] == ["0", ""]
    assert events[0].output.x is y and events[0].target == GRID


def test_no_model_is_refused():
    with pytest.raises(g.GeodlError, match="a str; give a layer or a model"), g.trace("model"):
        pass


@pytest.mark.parametrize("inside", [False, True], ids=["wrapped", "in place"])
def test_a_compiled_model_is_traced_as_it_was(inside):
    torch.compiler.reset()
    counter = CompileCounterWithBackend("eager")
    model, s = g.Sequential(turning(), nn.ReLU(), g.Readout()), image()
    g.prepare(model, s)
    fast = model if inside else torch.compile(model, backend=counter, fullgraph=True)
    if inside:
        model.compile(backend=counter, fullgraph=True)
    wanted = fast(s).x
    with g.trace(fast) as events:
        assert torch.equal(fast(s).x, wanted)
    assert [(event.path, event.lowering) for event in events] == [
        ("0", "lattice"),
        ("1", None),
        ("2", "blocks"),
    ]
    assert [choice.path for choice in g.explain(fast, s).choices] == ["0", "2"]
    assert g.certify(fast, GRID, P4).exact
    assert torch.equal(fast(s).x, wanted) and counter.frame_count == 1, "it stays compiled"
    torch.compiler.reset()


def test_a_cold_compiled_model_is_prepared():
    torch.compiler.reset()
    domain = g.Batch([g.Chain(3), g.Chain(2)])
    model, s = g.Attention(2, g.past(), 1), g.Signal(torch.randn(1, 5, 2), domain)
    fast = torch.compile(model, backend="eager", fullgraph=True)
    g.prepare(fast, s)
    assert torch.equal(fast(s).x, model(s).x)
    torch.compiler.reset()
