"""Whole models on CUDA: moved there and back, compiled, generating, trained for a step."""

import warnings
from dataclasses import replace

import pytest
import torch
from torch import nn

import geodl as g
from geodl.models import generate
from geodl.testing import error, outcome
from geodl.train import RECIPES, run
from tests.compilation import COMPILED, random_signal
from tests.gpu.cuda import BOUNDS, DEVICE, NEEDS_CUDA, moved, sent
from tests.table import EQUAL, GRAPH, rows
from tests.test_models_sequences import GENERATORS, READERS, V, judged, source
from tests.training import short

pytestmark = NEEDS_CUDA
ROWS = {
    name: row for name, row in rows().items() if row.lowering in COMPILED and row.layer.on is None
}


def a_block() -> g.Sequential:
    """A container of every kind."""
    inner = g.Sequential(g.Conv(4, 4, g.window(3, axes=1)), nn.ReLU())
    attention = g.Concat(g.Conv(4, 2, g.itself()), g.Attention(4, g.past(), 2))
    return g.Sequential(g.Residual(*inner), attention, g.Readout())


MODELS = {
    "p4cnn": lambda: (g.models.digits_p4cnn(channels=2), random_signal(g.Grid(8, 8), 1)),
    "gcn": lambda: (g.models.gcn(4, 8, 3, dropout=0.0), random_signal(GRAPH, 4)),
    "vit": lambda: (
        g.models.vit(5, size=8, patch=4, channels=8, heads=2, depth=1),
        random_signal(g.Grid(8, 8), 1),
    ),
    "containers": lambda: (a_block(), random_signal(EQUAL, 4)),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_there_and_back_is_the_same(name):
    model, signal = MODELS[name]()
    model.double().eval()
    signal = g.Signal(signal.x.double(), signal.domain)
    before = model(signal).x
    state = {key: value.clone() for key, value in model.state_dict().items()}
    there = model.to(DEVICE)(signal.to(DEVICE))
    assert there.x.device.type == DEVICE
    assert error(there.x.cpu(), before) < 1e-10
    assert there.domain.to("cpu").num_nodes == model.to("cpu")(signal).domain.num_nodes
    assert error(model(signal).x, before) < 1e-12
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", GENERATORS | READERS)
def test_models_of_sequences(name):
    model = judged((GENERATORS | READERS)[name])
    ids, sender = torch.randint(V, (3, 6)), source(name, 3)
    ragged = torch.arange(6) < torch.tensor([6, 2, 4])[:, None]
    there = moved(model, torch.float64)
    for target in (g.Signal.tokens(ids), g.Signal.tokens(ids, ragged)):
        wanted = model(target, *([sender] if sender else []))
        found = there(target.to(DEVICE), *([sender.to(DEVICE)] if sender else []))
        assert error(found.x.cpu(), wanted.x) < 1e-10


@pytest.mark.parametrize("name", GENERATORS)
def test_what_is_generated_is_the_same(name):
    model, ids, sender = judged(GENERATORS[name]), torch.randint(V, (3, 2)), source(name, 3)
    wanted = generate(model, ids, 6, sender=sender, temperature=0)
    there = moved(model, torch.float64)
    senders = None if sender is None else sender.to(DEVICE)
    found = generate(there, ids.to(DEVICE), 6, sender=senders, temperature=0)
    assert found.cpu().tolist() == wanted.tolist()
    generator = torch.Generator(DEVICE).manual_seed(0)
    drawn = generate(there, ids.to(DEVICE), 6, sender=senders, generator=generator)
    assert drawn.device.type == DEVICE
    assert drawn.shape == found.shape


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("name", ROWS)
def test_every_fast_path_compiles_whole(name):
    row = ROWS[name]
    layer, signals = moved(row.layer, torch.float32), sent(row.signals(), torch.float32)
    g.prepare(layer, *signals)
    wanted, gradients = outcome(layer, *signals)
    fast = torch.compile(layer, fullgraph=True, backend="aot_eager")
    found, ours = outcome(fast, *signals)
    assert error(found, wanted) < BOUNDS[torch.float32]
    values = zip(ours.values(), gradients.values(), strict=True)
    assert max(error(a, b) for a, b in values) < BOUNDS[torch.float32]


# The default back end advises TensorFloat-32, which these tests turn off.
@pytest.mark.filterwarnings("ignore::UserWarning:torch._inductor", "ignore::DeprecationWarning")
@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("name", MODELS)
def test_models_compile_with_the_default_back_end(name):
    model, signal = MODELS[name]()
    there, (at,) = moved(model.eval(), torch.float32), sent((signal,), torch.float32)
    g.prepare(there, at)
    fast = torch.compile(there, fullgraph=True)
    assert error(fast(at).x, there(at).x) < 1e-3


def test_a_signal_left_behind_is_refused_in_words():
    model, signal = MODELS["gcn"]()
    with pytest.raises(g.GeodlError, match="cuda"):
        model.to(DEVICE)(signal)
    with pytest.raises(g.GeodlError, match="cuda"):
        g.Signal(signal.x.to(DEVICE), signal.domain)


@pytest.mark.parametrize(
    ("name", "precision"), [("karate-gcn", "32-true"), ("digits-p4cnn", "bf16-mixed")]
)
def test_a_recipe_is_trained_on_the_device(name, precision, tmp_path):
    options = short(name, 2)
    trainer = replace(options.trainer, accelerator="gpu", precision=precision)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = run(RECIPES[name], replace(options, trainer=trainer), folder=tmp_path)
    accuracy = result.metrics["test/accuracy"]["mean"]
    assert 0 < accuracy <= 1
    kept = torch.load(tmp_path / "seed-0" / "last.ckpt", map_location="cpu", weights_only=True)
    assert all(value.isfinite().all() for value in kept["state_dict"].values())
