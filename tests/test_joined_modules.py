"""Which modules read side by side what an edge sees, who else is called, and what is refused."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import geodl as g
from geodl.testing import assert_parity, error, outcome
from tests.joined import C, Row, U, network, values


class Reads(nn.Module):
    """A user's own module of the same arguments."""

    def forward(self, x_i: Tensor, x_j: Tensor, e_ij: Tensor) -> Tensor:
        return x_i - x_j


class Scaled(nn.Linear):
    """A class derived from one on the list, which is handed all one by one."""

    def forward(self, x_i: Tensor, x_j: Tensor, e_ij: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride] - as a message is called
        return super().forward(x_j) - x_i


@pytest.mark.parametrize("module", [Reads(), Scaled(C, C).double()], ids=["own", "derived"])
def test_other_modules_are_functions(module):
    layer = g.Message(module, g.adjacency())
    assert_parity(layer, values(), bound=1e-10)


MODULES = {
    "identity": lambda width: nn.Identity(),
    "nothing": lambda width: nn.Sequential(),
    "linear": lambda width: nn.Linear(width, 3),
    "no bias": lambda width: nn.Linear(width, 3, bias=False),
    "nested": lambda width: nn.Sequential(
        network(width), nn.Sequential(nn.ReLU()), nn.Linear(2, 2)
    ),
    "norm first": lambda width: nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 3), nn.GELU()),
    "softmax": lambda width: nn.Sequential(nn.Linear(width, 4), nn.Softmax(dim=-1), nn.GLU(2)),
    "parametrized": lambda width: nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Linear(width, 3)), nn.ReLU()
    ),
}


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("most", [None, 4])
def test_every_module_on_the_list_may_be_a_message(name, most):
    torch.manual_seed(0)
    module = MODULES[name](2 * C + 2).double()
    layer = g.Message(module, g.adjacency(), ("sum", "max"), max_edges=most)
    s = values(batch=2)
    assert_parity(layer, s, bound=1e-10)
    function = g.Message(Row(module), g.adjacency(), ("sum", "max"))
    assert error(layer(s).x, function(s).x) < 1e-10


def test_a_module_that_stands_in_a_row_twice_runs_twice():
    square = nn.Linear(4, 4)
    net = nn.Sequential(nn.Linear(2 * C + 2, 4), square, nn.ReLU(), square).double()
    layer = g.Message(net, g.adjacency())
    assert_parity(layer, values(), bound=1e-10)
    assert error(layer(values()).x, g.Message(Row(net), g.adjacency())(values()).x) < 1e-10


def test_a_lazy_layer_learns_its_width_at_the_first_call(edge_sums):
    net = nn.Sequential(nn.LazyLinear(4), nn.ReLU()).double()
    layer = g.Message(net, g.adjacency())
    layer(values())
    assert net[0].in_features == 2 * C + 2 and not edge_sums
    layer(values())
    assert edge_sums == [6]


def test_dropout_draws_alike_in_pieces_and_again_in_their_backward():
    net = nn.Sequential(nn.Linear(2 * C + 2, 4), nn.Dropout(0.5)).double()
    layer = g.Message(net, g.adjacency(), max_edges=2)
    with torch.no_grad():
        net[0].bias.zero_()
    s = values().with_edges(torch.zeros(1, 6, 2).double())
    torch.manual_seed(0)
    y, gradients = outcome(layer, s, upstream=torch.ones(1, 5, 4).double())
    # linear in x: the gradient has the very factors of the answer
    assert error((gradients["input 0"] * s.x).sum(), y.sum()) < 1e-12


# who else is called


def hooked(net: nn.Sequential, where: str, called: list[nn.Module]):
    def note(module: nn.Module, *_: Any) -> None:
        called.append(module)

    if where == "first":
        return net[0].register_forward_hook(note)
    if where == "before the first":
        return net[0].register_forward_pre_hook(note)
    if where == "last":
        return net[2].register_forward_hook(note)
    if where == "container":
        return net.register_forward_pre_hook(note)
    return nn.modules.module.register_module_forward_pre_hook(note)


@pytest.mark.parametrize("where", ["first", "before the first", "last", "container", "all"])
@pytest.mark.parametrize("most", [None, 3])
def test_hooks_run(where, most):
    net, called = network(2 * C + 2), list[nn.Module]()
    layer = g.Message(net, g.adjacency(), max_edges=most)
    wanted = layer(values()).x
    handle = hooked(net, where, called)
    try:
        assert error(layer(values()).x, wanted) < 1e-12
    finally:
        handle.remove()
    hears = {"last": {net[2]}, "container": {net}, "all": {layer, net, *net}}.get(where, {net[0]})
    assert set(called) == hears
    del called[:]
    layer(values())
    assert not called


def test_a_forward_of_one_module_alone_is_called():
    net = network(2 * C + 2)
    net[0].forward = lambda x: x[..., :6]
    layer = g.Message(net, g.adjacency())
    assert error(layer(values()).x, g.Message(Row(net), g.adjacency())(values()).x) == 0


# refusals


@pytest.mark.parametrize("lowering", ["segment", "edges"])
@pytest.mark.parametrize("most", [None, 3])
def test_other_widths_are_refused(lowering, most):
    layer = g.Message(network(12), g.adjacency(), max_edges=most, reads_globals=True)
    layer.lowering = lowering
    words = r"x_i 3 \+ x_j 3 \+ e_ij 2 \+ u 2 = 10 channels, and Linear expects 12; build"
    with pytest.raises(g.GeodlError, match=words):
        layer(values())
    without = r"x_i 3 \+ x_j 3 \+ u 2 = 8 channels"
    with pytest.raises(g.GeodlError, match=without):
        layer(values("none"))


def test_widths_that_a_norm_reads_are_refused():
    layer = g.Message(nn.Sequential(nn.ReLU(), nn.LayerNorm(7)), g.adjacency())
    with pytest.raises(g.GeodlError, match=r"= 8 channels, and LayerNorm expects 7"):
        layer(values().to(torch.float32))


@pytest.mark.parametrize("hidden", [6, 60])
@pytest.mark.parametrize("most", [None, 3])
def test_parameters_of_another_dtype_are_refused_in_words(hidden, most):
    layer = g.Message(network(2 * C + 2, hidden), g.adjacency(), max_edges=most)
    words = r"values of torch.float32 and a message with parameters of torch.float64; convert"
    with pytest.raises(g.GeodlError, match=words):
        layer(values().to(torch.float32))


# updates


def test_an_update_reads_its_parts_side_by_side():
    message, update = network(2 * C + 2), network(C + 2 + U)
    layer = g.Message(
        lambda x_i, x_j, e_ij, u: message(torch.cat((x_i, x_j, e_ij), -1)),
        g.adjacency(),
        update=update,
        reads_globals=True,
    )
    function = g.Message(layer.message, g.adjacency(), update=Row(update), reads_globals=True)
    assert error(layer(values()).x, function(values()).x) < 1e-12
    with pytest.raises(g.GeodlError, match=r"x_i 3 \+ y_i 2 \+ u 2 = 7 channels, and Linear exp"):
        g.Message(layer.message, g.adjacency(), update=network(9), reads_globals=True)(values())
    wrong = g.Message(layer.message, g.adjacency(), update=network(7).float(), reads_globals=True)
    with pytest.raises(g.GeodlError, match=r"update with parameters of torch.float32"):
        wrong(values())
