"""Plans of decoding: none is kept but that of the step that runs."""

import pytest
import torch

import geodl as g
from geodl.lowering import Store, dispatch
from geodl.lowering import plans as plan_store


@pytest.fixture
def plans(monkeypatch):
    """An empty store for plans between value domains, bounded to a few."""
    monkeypatch.setattr(plan_store, "VALUES", Store(most_values=8))
    return plan_store.VALUES


def test_decoding_keeps_no_plan(plans):
    model = g.models.gpt(7, context=64, channels=8, heads=2, depth=2).eval()
    g.prepare(model, g.Signal.tokens(torch.zeros(1, 5, dtype=torch.long)))
    before = set(plans)
    g.models.generate(model, torch.zeros(1, 1, dtype=torch.long), 50)
    assert before and set(plans) == before


def test_layers_of_one_step_share_its_plan(monkeypatch):
    made = []
    make = dispatch.plan_once

    def plan_once(question):
        made.append(question)
        return make(question)

    monkeypatch.setattr(dispatch, "plan_once", plan_once)
    dot = [g.Attention(4, g.past(), 2) for _ in range(3)]
    model = g.Sequential(*dot, g.Attention(4, g.past(), 2, "linear"))
    x, state, parts = torch.randn(1, 8, 4), None, []
    for n in range(8):
        made.clear()
        part, state = model.step(g.Signal.sequence(x[:, n : n + 1]), state)
        parts.append(part.x)
        assert len(made) == 2  # one of the three, one of the linear score
    torch.testing.assert_close(torch.cat(parts, 1), model(g.Signal.sequence(x)).x)


@pytest.mark.parametrize(
    "layer",
    [
        g.Pool(g.past()),
        g.Conv(4, 4, g.past()),
        g.Message(lambda a, b, e: b, g.past()),
        g.Residual(g.Conv(4, 4, g.past())),
    ],
    ids=["pool", "convolution", "message", "residual"],
)
def test_steps_of_any_layer_keep_no_plan(plans, layer):
    before, state = set(plans), None
    for _ in range(12):
        _, state = layer.step(g.Signal.sequence(torch.randn(1, 1, 4)), state)
    assert set(plans) == before


def test_a_compiled_model_finds_its_plans_after_a_long_decoding(plans):
    model = g.models.gpt(7, context=64, channels=8, heads=2, depth=1).eval()
    tokens = g.Signal.tokens(torch.randint(7, (1, 5)))
    g.prepare(model, tokens)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    wanted = compiled(tokens).x
    g.models.generate(model, torch.zeros(1, 1, dtype=torch.long), 40)
    assert torch.equal(compiled(tokens).x, wanted)
