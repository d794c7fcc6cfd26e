"""Planted faults: whatever a model computes between layers is found, and nothing else is."""

import pytest
import torch
from torch import nn

import geodl as g

GRID, P4 = g.Grid(5, 5), g.C(4)
TURNING = g.isotropic(3, group=P4)


def turning() -> g.Conv:
    return g.Conv(2, 2, TURNING)


def numbers(y: g.Signal) -> torch.Tensor:
    """The nodes' numbers, which no symmetry survives."""
    return torch.arange(y.domain.num_nodes, dtype=y.x.dtype)[:, None]


class Own(nn.Module):
    """A model of two layers; what stands between them is to be filled in."""

    def __init__(self):
        super().__init__()
        self.first, self.second = turning(), turning()

    def forward(self, s):
        return self.second(self.between(self.first(s)))

    def between(self, y):
        return y


class Scales(Own):
    def between(self, y):
        return g.Signal(y.x * numbers(y), y.domain)


class ScalesInPlace(Own):
    def between(self, y):
        y.x.mul_(numbers(y))
        return y


class ScalesAView(Own):
    def between(self, y):
        y.x.detach()[:, 0] += 1
        return y


class MakesAnew(Own):
    def between(self, y):
        return g.Signal(torch.zeros_like(y.x), y.domain)


class Preprocesses(Own):
    def forward(self, s):
        return self.second(self.first(g.Signal(s.x + numbers(s), s.domain)))


class AnswersAnother(Own):
    def forward(self, s):
        y = super().forward(s)
        return g.Signal(y.x.clone(), y.domain)


class AnswersEarlier(Own):
    def forward(self, s):
        y = self.first(s)
        self.second(y)
        return y


class ChangesItsAnswer(Own):
    def forward(self, s):
        y = super().forward(s)
        y.x.add_(numbers(y))
        return y


class ForgetsTheGrid(Own):
    """The same values, put on nodes that no rotation moves."""

    def __init__(self):
        super().__init__()
        self.second = g.Attention(2, g.all_pairs(), 1)

    def between(self, y):
        return g.Signal(y.x, g.Complete(25))


class AnswersElsewhere(Own):
    def forward(self, s):
        return g.Signal(super().forward(s).x, g.Complete(25))


class AnswersTwice(Own):
    def forward(self, s):
        y = super().forward(s)
        return y, y


class Tampered(Own):
    """Between two steps, the keys and values that the first one kept are changed."""

    def __init__(self):
        super().__init__()
        self.attention = g.Attention(2, g.all_pairs(), 1)

    def forward(self, s):
        _, (key, value) = self.attention.step(s, None, s)
        weight = torch.arange(25.0)[:, None, None]
        return self.attention.step(s, (key * weight, value), s)[0]


FAULTS = [
    Scales,
    ScalesInPlace,
    ScalesAView,
    MakesAnew,
    Preprocesses,
    AnswersAnother,
    AnswersEarlier,
    ChangesItsAnswer,
    ForgetsTheGrid,
    AnswersElsewhere,
    AnswersTwice,
    Tampered,
]


@pytest.mark.parametrize("fault", FAULTS)
def test_code_of_its_own_is_found(fault):
    certificate = g.certify(fault(), GRID, P4)
    assert not certificate.exact
    assert "code of its own" in certificate.violations[0], str(certificate)


def test_tensors_that_change_their_domain_are_found():
    second = g.Attention(2, g.all_pairs(), 1, on=g.Complete(25))
    certificate = g.certify(nn.Sequential(g.Conv(2, 2, TURNING, on=GRID), second), GRID, P4)
    assert not certificate.exact and "code of its own" in certificate.violations[0]


def test_a_model_of_layers_alone_is_proved():
    assert g.certify(Own(), GRID, P4).exact


def scaling_hook(layer, args, y):
    return g.Signal(y.x * numbers(y), y.domain)


def scaling_hook_in_place(layer, args, y):
    y.x.mul_(numbers(y))


@pytest.mark.parametrize("hook", [scaling_hook, scaling_hook_in_place])
@pytest.mark.parametrize(
    "build",
    [
        lambda layer: layer,
        lambda layer: g.Sequential(layer),
        lambda layer: g.Sequential(layer, nn.ReLU()),
        lambda layer: g.Residual(layer),
        lambda layer: g.Concat(nn.Identity(), layer),
        lambda layer: g.Sequential(g.Concat(layer, turning()), nn.Linear(4, 2)),
    ],
    ids=["alone", "last", "first", "residual", "concat", "nested"],
)
def test_a_hook_that_changes_an_answer_is_found(build, hook):
    layer = turning()
    layer.register_forward_hook(hook)
    certificate = g.certify(build(layer), GRID, P4)
    assert not certificate.exact and "code of its own" in certificate.violations[0]


def test_a_hook_that_looks_is_none():
    layer, seen = turning(), []
    layer.register_forward_hook(lambda layer, args, y: seen.append(y.x.shape))
    assert g.certify(g.Sequential(layer, nn.ReLU(inplace=True)), GRID, P4).exact and seen


def test_a_hook_on_a_pointwise_module_is_found():
    relu = nn.ReLU()
    relu.register_forward_hook(lambda module, args, y: y * torch.arange(25.0)[:, None])
    certificate = g.certify(g.Sequential(turning(), relu), GRID, P4)
    assert not certificate.exact and "1: ReLU has code of its own" in certificate.violations[0]


class Numbers(nn.Module):
    """Scales each node by its number."""

    def forward(self, x):
        return x * torch.arange(float(x.shape[1]))[:, None]


class OneBiasPerNode(nn.Module):
    def forward(self, bias):
        return bias * torch.arange(1.0, 5.0)[:, None]


def exchanged(layer):
    layer.out_proj = nn.Sequential(layer.out_proj, Numbers())


def hooked(layer):
    layer.out_proj.register_forward_hook(lambda module, args, y: Numbers()(y))


def hooked_before(layer):
    layer.out_proj.register_forward_pre_hook(lambda module, args: (Numbers()(args[0]),))


def replaced(layer):
    layer.out_proj.forward = Numbers()


def parametrized(layer):
    made = OneBiasPerNode()
    nn.utils.parametrize.register_parametrization(layer.out_proj, "bias", made, unsafe=True)


@pytest.mark.parametrize("change", [exchanged, hooked, hooked_before, replaced, parametrized])
@pytest.mark.parametrize("build", [lambda layer: layer, g.Residual], ids=["alone", "residual"])
def test_code_inside_a_layer_is_found(change, build):
    layer = g.Attention(4, g.all_pairs(), 2, bias=True)
    assert g.certify(build(layer), g.Complete(4)).exact
    change(layer)
    certificate = g.certify(build(layer), g.Complete(4))
    assert not certificate.exact and "code of its own" in certificate.violations[0]


def test_other_weights_inside_a_layer_are_none():
    layer = g.Attention(4, g.all_pairs(), 2)
    nn.utils.parametrizations.weight_norm(layer.out_proj)
    nn.utils.parametrizations.orthogonal(layer, "in_proj_weight")
    layer.root_proj = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    assert g.certify(layer, g.Complete(4)).exact


class Skewed(g.Conv):
    def _run(self, plan, receiver, sender, parts, state):
        y = super()._run(plan, receiver, sender, parts, state)
        return y * torch.arange(y.shape[1]).to(y)[:, None]


class Shuffling(g.Sequential):
    def compute(self, receiver, sender, rule):
        y = super().compute(receiver, sender, rule)
        return g.Signal(y.x.roll(1, 1), y.domain)


class Promised(g.Layer):
    """A layer that says of itself that nothing crosses nodes but what its rule says."""

    nodewise = True
    transparent = True

    def compute(self, receiver, sender, rule):
        return g.Signal(2 * receiver.x, receiver.domain)


class Unpromised(g.Layer):
    def compute(self, receiver, sender, rule):
        return g.Signal(2 * receiver.x, receiver.domain)


class Configured(g.Sequential):
    """A row with a name, without code of its own."""

    def __init__(self):
        super().__init__(turning(), nn.ReLU())

    def extra_repr(self):
        return "configured"


def test_a_subclass_is_trusted_as_far_as_its_code_is_the_librarys():
    assert g.certify(Configured(), GRID, P4).exact
    assert g.certify(g.Sequential(turning(), Promised()), GRID, P4).exact
    for model in (
        Skewed(2, 2, TURNING),
        Shuffling(turning()),
        g.Sequential(Shuffling(turning()), turning()),
        g.Sequential(turning(), Unpromised()),
    ):
        certificate = g.certify(model, GRID, P4)
        assert not certificate.exact and "code of its own" in certificate.violations[0]


def test_another_method_in_an_instance_is_found():
    layer = turning()
    own = layer.compute
    layer.compute = lambda *signals: scaling_hook(layer, (), own(*signals))
    assert not g.certify(layer, GRID, P4).exact
    assert not g.certify(g.Sequential(layer), GRID, P4).exact
