"""Whole models of torch as networks: the same numbers and gradients, and what a network can do."""

import copy
import functools
import pickle

import pytest
import torch
from torch import nn
from torch.utils import _pytree as pytree

import geodl as g
from geodl.interop import from_torch, to_torch
from geodl.testing import error
from tests import foreign
from tests.twins import drawn

MODELS = {
    "ResNet": (foreign.ResNet, (2, 3, 33, 31)),
    "UNet": (foreign.UNet, (2, 2, 16, 12)),
    "Mixer": (foreign.Mixer, (2, 3, 8, 8)),
    "LeNet": (foreign.LeNet, (3, 1, 16, 16)),
    "Circular": (foreign.Circular, (2, 1, 6, 6)),
    "Squeeze": (foreign.Squeeze, (2, 2, 4, 5)),
    "SmallTransformer": (foreign.SmallTransformer, (2, 5)),
    "Positions": (foreign.Positions, (2, 1, 6, 6)),
    "Functional": (foreign.Functional, (2, 1, 3, 4)),
    "ByShape": (foreign.ByShape, (2, 5)),
    "Unknown": (foreign.Unknown, (2, 2, 4, 4)),
}
every_model = pytest.mark.parametrize("name", MODELS)


def made(name):
    """A model with every parameter drawn, and an example for it."""
    kind, shape = MODELS[name]
    if name in ("SmallTransformer", "ByShape"):
        return drawn(kind()), torch.randint(7, shape)
    return drawn(kind()), torch.randn(shape, dtype=torch.float64)


@functools.cache
def _kept(name):
    model, example = made(name)
    return model, example, from_torch(model, example)


def imported(name):
    """A model, an example for it and its import: copies, as an export takes its time."""
    model, example, network = _kept(name)
    return copy.deepcopy(model), example, copy.deepcopy(network)


def trained(x):
    """An input that is asked for its gradient where it can be."""
    return x.clone().requires_grad_(x.is_floating_point())


def outputs_and_gradients(model, x):
    """The answer's tensors, and the gradients of the input and of each parameter by name."""
    given = trained(x)
    answer = pytree.tree_leaves(model(given))
    generator = torch.Generator().manual_seed(2)
    total = sum(
        (y * torch.randn(y.shape, generator=generator, dtype=y.dtype)).sum() for y in answer
    )
    wanted = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if x.is_floating_point():
        wanted["the input"] = given
    found = torch.autograd.grad(total, list(wanted.values()), allow_unused=True)
    grads = {
        name: torch.zeros_like(p) if grad is None else grad
        for (name, p), grad in zip(wanted.items(), found, strict=True)
    }
    return answer, grads


def assert_imported(model, example, x, bound=1e-10):
    """A model and its import agree on x: values, every gradient, and buffers afterwards."""
    network = from_torch(model, example)
    assert isinstance(network, g.Network)
    twin = copy.deepcopy(model)
    theirs, wanted = outputs_and_gradients(twin, x)
    ours, found = outputs_and_gradients(network, x)
    assert [error(a, b) <= bound for a, b in zip(ours, theirs, strict=True)] == [True] * len(ours)
    if x.is_floating_point():
        assert error(found.pop("the input"), wanted.pop("the input")) <= bound
    # The conversion itself carries gradients over: it copies parameters, and theirs are gradients.
    carrier = copy.deepcopy(model)
    with torch.no_grad():
        for name, p in carrier.named_parameters():
            p.copy_(wanted[name])
    carried = dict(from_torch(carrier, example).named_parameters())
    assert {
        name: error(grad, carried[name]) <= bound for name, grad in found.items()
    } == dict.fromkeys(found, True)
    assert len(found) == len(wanted)
    buffers = dict(twin.named_buffers())
    ours_after = dict(network.named_buffers())
    # Statistics that a function is given have another name in the layer that keeps them.
    renamed = {"mean": "batch_norm.running_mean", "var": "batch_norm.running_var"}
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        if f"bn.batch_norm.{name}" in ours_after:
            renamed[f"bn.{name}"] = f"bn.batch_norm.{name}"
    after = {name: ours_after[renamed.get(name, name)].double() for name in buffers}
    differ = [name for name, b in buffers.items() if error(after[name], b.double()) > bound]
    assert differ == []
    return network


@every_model
@pytest.mark.parametrize("training", [False, True])
def test_a_model_and_its_import_agree(name, training):
    model, example = made(name)
    model.train(training)
    before = copy.deepcopy(model.state_dict())
    network = assert_imported(model, example, example)
    after = model.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert network.training is training
    assert {part.training for part in network.modules()} == {training}


@every_model
def test_nothing_with_a_twin_remains(name):
    _, _, network = imported(name)
    twins = (nn.Linear, nn.Conv2d, nn.BatchNorm2d, nn.BatchNorm1d, nn.MaxPool2d, nn.Embedding)
    twins += (nn.MultiheadAttention, nn.GRU, nn.ConvTranspose2d, nn.TransformerEncoderLayer)
    if name == "Unknown":
        assert set(network.opaque()) == {"branch", "sort", "sort_0"}
        assert "control flow" in network.opaque()["branch"]
        return
    assert network.opaque() == {}
    inside = [part for part in network.modules() if not isinstance(part, g.Layer)]
    kept = [part for part in inside if isinstance(part, twins)]
    # Blocks of Transformers hold linear layers, as those of g.models do.
    assert name in ("SmallTransformer", "Positions") or kept == []


@every_model
def test_another_batch_and_another_mode(name):
    model, example, network = imported(name)
    network.eval()
    model.eval()
    x = torch.cat((example, example[:1]))
    for ours, theirs in zip(
        pytree.tree_leaves(network(x)), pytree.tree_leaves(model(x)), strict=True
    ):
        assert error(ours, theirs) <= 1e-10
    network.train()
    assert all(part.training for part in network.modules())


@every_model
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_example_of_one_row_will_do(name, dtype):
    model, example = made(name)
    model = model.to(dtype).eval()
    if example.is_floating_point():
        example = example.to(dtype)
    network = from_torch(model, example[:1])
    assert (network.opaque() == {}) == (name != "Unknown")
    answers = pytree.tree_leaves(network(example)), pytree.tree_leaves(model(example))
    bound = 1e-10 if dtype == torch.float64 else 1e-4
    assert all(error(a, b) <= bound for a, b in zip(*answers, strict=True))


@pytest.mark.parametrize("name", ["ResNet", "UNet", "Circular", "Squeeze"])
def test_another_size(name):
    model, example, network = imported(name)
    network.eval()
    x = torch.randn(1, example.shape[1], 24, 20, dtype=torch.float64)
    model.eval()
    theirs = pytree.tree_leaves(model(x))
    ours = pytree.tree_leaves(network(x))
    assert all(error(a, b) <= 1e-10 for a, b in zip(ours, theirs, strict=True))


def test_shapes_are_followed_by_running():
    model, _, network = imported("ByShape")
    assert network.opaque() == {}
    assert "conv.conv1d_1" in list(network)
    assert sum(p.numel() for p in network.parameters()) == sum(
        p.numel() for p in model.parameters()
    )
    ids = torch.randint(7, (3, 9))
    assert error(network.eval()(ids), model.eval()(ids)) <= 1e-10


def test_another_length():
    model, _, network = imported("SmallTransformer")
    ids = torch.randint(7, (3, 9))
    assert error(network(ids), model(ids)) <= 1e-10


@every_model
@pytest.mark.parametrize("how", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_of_imports(name, how):
    _, example, network = imported(name)
    network.eval()
    twin = how(network)
    answers = pytree.tree_leaves(twin(example)), pytree.tree_leaves(network(example))
    assert all(torch.equal(a, b) for a, b in zip(*answers, strict=True))


@every_model
def test_state_goes_round(name):
    _, example, network = imported(name)
    twin = imported(name)[2].eval()
    with torch.no_grad():
        for value in network.eval().state_dict().values():
            value.mul_(2)
    twin.load_state_dict(network.state_dict())
    answers = pytree.tree_leaves(twin(example)), pytree.tree_leaves(network(example))
    assert all(torch.equal(a, b) for a, b in zip(*answers, strict=True))


@every_model
def test_an_import_comes_back(name):
    model, example, network = imported(name)
    model.eval()
    network.eval()
    back = to_torch(network)
    state = model.state_dict()
    if name == "ByShape":
        # torch.export knows norms as functions, which do not count batches.
        del state["bn.num_batches_tracked"]
    assert [(k, v.shape) for k, v in sorted(back.state_dict().items())] == [
        (k, v.shape) for k, v in sorted(state.items())
    ]
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in back.state_dict().items())
    assert not any(part.training for part in back.modules())
    answers = pytree.tree_leaves(back(example)), pytree.tree_leaves(model(example))
    assert all(error(a, b) <= 1e-10 for a, b in zip(*answers, strict=True))
    # What was trained in between comes back too.
    with torch.no_grad():
        for p in network.parameters():
            p.mul_(0.5)
    for twin in (to_torch(network), to_torch(pickle.loads(pickle.dumps(network)))):
        answers = pytree.tree_leaves(twin(example)), pytree.tree_leaves(network(example))
        assert all(error(a, b) <= 1e-10 for a, b in zip(*answers, strict=True))


def test_names_are_those_of_the_model():
    model, _, network = imported("ResNet")
    assert list(network.state_dict()) == list(model.state_dict())
    assert "layer2.0.downsample.1" in list(network)


def test_an_import_moves():
    model, example, network = imported("UNet")
    network = network.eval().float()
    ours, theirs = network(example.float())[0], model.eval()(example)[0]
    assert ours.dtype == torch.float32
    assert error(ours.double(), theirs) <= 1e-4
    meta = network.to("meta")(example.float().to("meta"))[0]
    assert (meta.shape, meta.device.type) == (ours.shape, "meta")


def test_an_import_takes_signals():
    model, example, network = imported("UNet")
    network.eval()
    image, features = network(g.Signal.image(example))
    theirs = model.eval()(example)
    assert error(image.to_image(), theirs[0]) <= 1e-10
    assert error(features.to_image(), theirs[1]) <= 1e-10
    with pytest.raises(g.GeodlError, match="give one Signal for each"):
        network(g.Signal.image(example), example)


def test_an_import_is_explained():
    model, example, network = imported("ResNet")
    network.eval()
    choices = g.explain(network, g.Signal.image(example)).choices
    assert [c.path for c in choices][:2] == ["conv1", "maxpool"]
    assert {c.lowering for c in choices} == {"lattice", "blocks"}
    assert str(g.explain(network, example)) == str(g.explain(network, g.Signal.image(example)))
    g.set_lowering(network, "edges")
    assert error(network(example), model.eval()(example)) <= 1e-10


def test_translations_of_a_circular_model_are_proved():
    _, example, network = imported("Circular")
    certificate = g.certify(network, g.Grid(6, 6, periodic=True))
    assert certificate.exact
    assert any("shift" in claim or "cycle" in claim for claim in certificate.proved)
    assert not g.certify(network, g.Grid(6, 6, periodic=True), g.C(4)).exact
    s = g.Signal.image(example, periodic=True)
    moved = g.Signal.image(example.roll((1, 2), (2, 3)), periodic=True)
    assert error(network(s).x, network(moved).x) <= 1e-10


@pytest.mark.parametrize("name", ["LeNet", "Mixer", "Unknown"])
def test_what_tells_nodes_apart_is_not_proved(name):
    _, example, network = imported(name)
    certificate = g.certify(network, g.Grid(*example.shape[2:]))
    assert not certificate.exact
    assert certificate.violations


def test_an_opaque_node_is_a_gap():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout1d(0.1))
    network = from_torch(model, torch.zeros(1, 4, 2))
    assert set(network.opaque()) == {"1"}
    explained = str(g.explain(network, torch.zeros(1, 4, 2))).splitlines()
    assert explained[0].startswith("0: Conv(2, 2, itself())")
    assert explained[1] == f"1: Opaque(Dropout1d) is torch's own: {network.opaque()['1']}"
    violations = g.certify(network, g.Chain(4)).violations
    assert any("1: Opaque has code of its own" in violation for violation in violations)
    with pytest.raises(g.GeodlError, match="a node of which nobody knows"):
        network.step(g.Signal.sequence(torch.zeros(1, 4, 2)))


class Small(nn.Module):
    """A shortcut around a smaller lattice, and a way back to a longer one."""

    def __init__(self):
        super().__init__()
        self.down, self.bn = nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4)
        self.up = nn.ConvTranspose2d(4, 3, 3, 2, 1, output_padding=1)
        self.fc = nn.Linear(3 * 36, 2)

    def forward(self, x):
        x = x + self.up(self.bn(self.down(x)).relu())
        return self.fc(x.flatten(1))


def test_compiled_imports_agree():
    model, example = drawn(Small()), torch.randn(2, 3, 6, 6, dtype=torch.float64)
    network = from_torch(model, example).eval()
    g.prepare(network, example)
    torch.compiler.reset()
    fast = torch.compile(network, fullgraph=True, backend="aot_eager")
    assert error(fast(example), model.eval()(example)) <= 1e-10
