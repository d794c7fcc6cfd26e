"""Every layer over a group goes back to torch: each kind of rule that takes a domain with a group,
with each kind of layer, in values and every gradient; networks on domains that are named.
"""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import geodl as g
from geodl.interop import to_torch, written_out
from geodl.testing import error
from tests.conformance import accepts
from tests.test_interop_groups import assert_plain, planes_of, randomised
from tests.test_rules import RULES

P4 = g.GroupGrid(g.Grid(2, 3), g.C(4))
FIVE = g.GSet([[1, 2, 0, 3, 4]])
DOMAINS = [
    P4,
    g.GroupGrid(g.Grid(3, 2), g.D(1)),
    g.GroupGrid(g.Grid(2, 2), g.D(4)),
    g.GroupGrid(g.Grid(2, 2, 1), g.O()),
    FIVE,
]
LIFTED = [g.Grid(3, 3), g.Grid(2, 2, 2)]
KINDS = {
    "Conv": lambda rule, on: g.Conv(2, 3, rule, on=on),
    "Conv without bias": lambda rule, on: g.Conv(2, 4, rule, False, on=on, groups=2),
    "Attention": lambda rule, on: g.Attention(4, rule, 2, relative=True, on=on),
    "Propagate": lambda rule, on: g.Propagate(rule, join="concat", on=on),
    "Pool": lambda rule, on: g.Pool(rule, "mean", on=on),
}
OPTIONS = {
    "additive": {"score": "additive", "bias": "in"},
    "gat": {"score": "gat", "out_proj": False, "join": "mean"},
    "gatv2": {"score": "gatv2", "root": "gated"},
    "linear": {"score": "linear", "out_proj": False, "root": True},
    "product": {"score": "product", "head_dim": 3, "value_dim": 2, "channels_out": 5},
}


def place_of(rule: g.Neighborhood) -> g.Domain | None:
    """A domain with a group that the rule takes, or from which it leads to one."""
    for domain in DOMAINS + LIFTED:
        over_group = domain not in LIFTED or rule.group is not None
        if over_group and accepts(rule, domain):
            return domain
    return None


def kind_of(rule: Any) -> tuple[Any, ...]:
    """What tells rules apart here: their class, and what of a group and a basis they have."""
    inner = getattr(rule, "rule", rule)
    named = [getattr(inner, name, None) is not None for name in ("group", "basis", "subgroup")]
    ends = [getattr(inner, name, None) for name in ("in_fiber", "out_fiber", "by")]
    return type(rule), type(inner), *named, *ends


def over_groups() -> dict[str, g.Neighborhood]:
    """The first rule of each kind in the registry that meets a group."""
    first: dict[tuple[Any, ...], g.Neighborhood] = {}
    for rule in RULES:
        if place_of(rule) is not None:
            first.setdefault(kind_of(rule), rule)
    return {str(rule): rule for rule in first.values()}


OVER_GROUPS = over_groups()


def on_planes(twin: nn.Module) -> bool:
    """Whether a twin of one layer reads images."""
    written = ("Convolution", "Propagation", "Pooling", "SelfAttention", "CrossAttention")
    return type(twin).__name__ not in (*written, "Linear")


def as_read(s: g.Signal, twin: nn.Module) -> Tensor:
    return planes_of(s) if on_planes(twin) else s.x


def hold(layer: Any, on: g.Domain) -> None:
    """The twin of a layer computes the same: values, and the gradients of its input and of each
    parameter.
    """
    layer = randomised(copy.deepcopy(layer))
    # A copy of a domain with tensors is another domain.
    layer.on = on
    twin = to_torch(layer, on=on)
    assert_plain(twin)
    for batch in (0, 1, 3):
        ends = [drawn(end, layer, batch) for end in ends_of(layer, on)]
        given = [as_read(s, twin).detach().requires_grad_() for s in ends]
        ours, theirs = layer(*ends), twin(*given)
        wanted = as_read(ours, twin)
        assert theirs.shape == wanted.shape
        if batch < 3:
            assert batch == 0 or error(theirs, wanted) < 1e-12
            continue
        assert error(theirs, wanted) < 1e-12
        upstream = torch.randn_like(ours.x)
        here, of_ours = gradients(ours.x, [s.x for s in ends], layer, upstream)
        upstream = as_read(ours.with_x(upstream), twin)
        there, of_theirs = gradients(theirs, given, twin, upstream)
        for s, one, other in zip(ends, here, there, strict=True):
            assert error(other, as_read(s.with_x(one), twin)) < 1e-12
        hold_parameters(layer, on, of_ours, of_theirs)


def hold_parameters(
    layer: Any, on: g.Domain, ours: dict[str, Tensor], theirs: dict[str, Tensor]
) -> None:
    """The gradient of each parameter, of copies added up.

    The twin's parameters are linear in the layer's, `p' = A p`, so that `grad = A^T grad'`; what A
    makes of a direction v is the twin of a layer with v for its parameter and zeros else.
    """
    shapes = [{name: one.shape for name, one in named.items()} for named in (ours, theirs)]
    for name, gradient in ours.items():
        if shapes[0] == shapes[1]:
            # The parameters are the layer's own.
            assert error(theirs[name], gradient) < 1e-12, name
            continue
        other = copy.deepcopy(layer)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.zero_()
            direction = torch.randn_like(gradient)
            other.get_parameter(name).copy_(direction)
        copies = dict(to_torch(other, on=on).named_parameters())
        along = sum((theirs[key] * copies[key]).sum() for key in theirs)
        assert error(torch.as_tensor(along), (gradient * direction).sum()) < 1e-11, name


def gradients(
    y: Tensor, inputs: list[Tensor], module: nn.Module, upstream: Tensor
) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    """Of inputs, and of parameters by name."""
    named = dict(module.named_parameters())
    of = [*inputs, *named.values()]
    made = torch.autograd.grad(y, of, upstream, allow_unused=True, materialize_grads=True)
    count = len(inputs)
    return made[:count], dict(zip(named, made[count:], strict=True))


def ends_of(layer: Any, on: g.Domain) -> list[g.Domain]:
    """Receivers' domain first where a layer reads them and they are elsewhere."""
    target = layer.rule.target(on)
    if isinstance(layer, g.Attention) and target != on:
        return [target, on]
    return [on]


def drawn(domain: g.Domain, layer: Any, batch: int) -> g.Signal:
    channels = getattr(layer, "channels_in", 2)
    x = torch.randn(batch, domain.num_nodes, channels, dtype=torch.float64)
    return g.Signal(x.requires_grad_(), domain)


CASES = [f"{kind} over {name}" for name in OVER_GROUPS for kind in KINDS]


@pytest.mark.parametrize("case", CASES)
def test_every_layer_over_a_group(case):
    kind, _, name = case.partition(" over ")
    rule = OVER_GROUPS[name]
    on = place_of(rule)
    assert on is not None
    layer = KINDS[kind](rule, on).double()
    refused = refusal(lambda: layer(*[drawn(end, layer, 1) for end in ends_of(layer, on)]))
    if refused:
        # What takes no signal is refused in the same words.
        assert "weighted edges" in refused
        assert refusal(lambda: to_torch(layer, on=on)) == refused
        return
    hold(layer, on)


def refusal(call: Callable[[], Any]) -> str:
    """The words of a refusal, "" of an answer."""
    try:
        call()
    except g.GeodlError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("options", OPTIONS)
def test_every_score_and_answer_of_attention(options):
    hold(g.Attention(4, g.all_pairs("offset"), 2, relative=True, on=P4, **OPTIONS[options]), P4)


GRID, RING = g.Grid(3, 2), g.Grid(4, periodic=True)
OVER_P4 = g.GroupGrid(GRID, g.C(4))


def lifted_attention() -> g.Sequential:
    """Group self-attention between group convolutions, with shortcuts and norms."""
    return g.Sequential(
        g.Conv(1, 4, g.lift(3, group=g.C(4))),
        nn.ReLU(),
        g.Residual(
            nn.LayerNorm(4),
            g.Attention(4, g.window(3, group=g.C(4)), 2, relative=True, dropout=0.5),
            g.Dropout(0.1),
        ),
        g.BatchNorm(4),
        g.Attention(4, g.all_pairs("offset"), 2, relative=True, on=OVER_P4),
        g.Conv(4, 2, g.all_pairs("orbit"), on=OVER_P4),
        g.Pool(g.fiber(), "mean"),
        g.Conv(2, 3, g.all_pairs("offset"), on=GRID),
        g.Readout(),
    )


def dense_on(domain: g.Domain) -> g.Sequential:
    """Every equivariant linear map, norms and pointwise modules."""
    return g.Sequential(
        g.Conv(2, 4, g.all_pairs("orbit"), on=domain),
        g.BatchNorm(4),
        nn.Tanh(),
        g.GroupNorm(2, 4),
        g.Residual(g.Attention(4, g.all_pairs("orbit"), 2, relative=True, on=domain)),
        g.Attention(4, g.all_pairs(), 2),
        g.Conv(4, 3, g.all_pairs("orbit"), on=domain),
    )


def network_on(domain: g.Domain) -> g.Network:
    nodes = {
        "one": (g.Conv(2, 3, g.all_pairs("orbit"), on=domain), "x"),
        "two": (g.Conv(2, 3, g.itself()), "x"),
        "both": ("cat", "one", "two"),
        "answer": (g.Readout("max"), "both"),
    }
    return g.Network("x", nodes)


NETWORKS = {
    "group attention": (lifted_attention, GRID, 1, planes_of),
    "a set with an action": (lambda: dense_on(FIVE), FIVE, 2, lambda s: s.x),
    "a ring": (lambda: dense_on(RING), RING, 2, lambda s: s.x),
    "sheets": (lambda: dense_on(OVER_P4), OVER_P4, 2, lambda s: s.x),
    "a network": (lambda: network_on(FIVE), FIVE, 2, lambda s: s.x),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name):
    make, domain, channels, read = NETWORKS[name]
    model = randomised(make())
    assert len({type(part) for part in model.modules() if isinstance(part, g.Layer)}) > 2
    twin = to_torch(model, on=domain)
    assert_plain(twin)
    x = torch.randn(3, domain.num_nodes, channels, dtype=torch.float64, requires_grad=True)
    s = g.Signal(x, domain)
    given = read(s).detach().requires_grad_()
    ours, theirs = model(s), twin(given)
    wanted = ours.x[:, 0] if theirs.dim() == 2 else read(ours)
    assert error(theirs, wanted) < 1e-12
    upstream = torch.randn_like(wanted)
    (here,), of_ours = gradients(wanted, [x], model, upstream)
    (there,), of_theirs = gradients(theirs, [given], twin, upstream)
    assert error(there, read(s.with_x(here))) < 1e-12
    assert of_ours.keys() == of_theirs.keys(), "names stay"
    shared = [key for key in of_ours if of_ours[key].shape == of_theirs[key].shape]
    assert len(shared) > 2
    for key in shared:
        assert error(of_theirs[key], of_ours[key]) < 1e-12, key


def test_a_trained_twin_keeps_the_symmetry():
    """Its parameters are shared by edges of one type, as the layer's own."""
    layer = g.Conv(2, 3, g.all_pairs("orbit"), on=OVER_P4)
    twin: Any = to_torch(layer)
    with torch.no_grad():
        twin.weight.normal_()
        layer.weight.copy_(twin.weight)
    x = torch.randn(2, OVER_P4.num_nodes, 2)
    assert error(twin(x), layer(x)) < 1e-5
    assert g.certify(layer, OVER_P4).exact


def test_a_wrong_table_is_seen(monkeypatch):
    right = written_out.table_of

    def wrong(*arguments: Any) -> Any:
        table = right(*arguments)
        return table._replace(types=table.types.roll(1, 0))

    monkeypatch.setattr(written_out, "table_of", wrong)
    for layer in (
        g.Conv(2, 3, g.all_pairs("orbit"), on=P4),
        g.Attention(4, g.all_pairs("offset"), 2, relative=True, on=P4),
    ):
        with pytest.raises(AssertionError):
            hold(layer, P4)


def test_several_edges_and_none_between_two_nodes():
    """A window wider than its torus, and a graph with a node that nobody sends to."""
    narrow = g.GroupGrid(g.Grid(2, 2, periodic=True), g.C(4))
    lonely = g.Graph([[0, 1, 1], [1, 2, 2]], 4)
    for rule, on in ((g.window(5, group=g.C(4)), narrow), (g.adjacency(), lonely)):
        hold(g.Attention(4, rule, 2, relative=True), on)
    for reduction in ("max", "min", "mean", "sum"):
        hold(g.Pool(g.adjacency(), reduction), lonely)


def test_what_a_table_does_not_say_is_refused():
    pairs = g.all_pairs("offset")
    chain = g.Chain(4)
    weighted = g.Graph([[0, 1], [1, 2]], 3).with_weights(torch.ones(2))
    for make, words in (
        (lambda: to_torch(g.Attention(4, pairs, 2, rotary=True, on=chain)), "positions"),
        (
            lambda: to_torch(g.Attention(4, g.adjacency(), 2, edge_channels=3), on=chain),
            "features of edges",
        ),
        (lambda: to_torch(g.Conv(2, 3, g.adjacency()), on=weighted), "come with each call"),
        (lambda: to_torch(g.Attention(4, pairs, 2)), "name the domain, on=domain"),
        (lambda: to_torch(g.Conv(2, 3, g.fiber()), on=GRID), "fiber"),
    ):
        with pytest.raises(g.GeodlError, match=words):
            make()
