"""The independently recurrent cell: by hand, step by step, on trees, and as a convolution."""

import pytest
import torch

import geodl as g
from geodl.testing import assert_lowered_to, assert_parity, error

CELLS = {"ind_rnn": torch.relu, "ind_rnn_linear": lambda x: x}


def layer_of(cell: str, rule=None) -> g.Recurrent:
    torch.manual_seed(0)
    layer = g.Recurrent(3, 4, cell, rule).double()
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.randn_like(p))
    return layer


def tokens(count: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, count, 3, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("cell", CELLS)
def test_each_hidden_unit_receives_from_itself_alone(cell):
    layer, x = layer_of(cell), tokens()
    assert layer.weight_hh_l0.shape == (4,)
    h, states = torch.zeros(2, 4, dtype=torch.float64), []
    for t in range(6):
        read = x[:, t] @ layer.weight_ih_l0.T + layer.bias_ih_l0
        h = CELLS[cell](read + layer.weight_hh_l0 * h + layer.bias_hh_l0)
        states.append(h)
    s = g.Signal.sequence(x)
    assert_lowered_to("levels", layer, s)
    assert error(layer(s).x, torch.stack(states, 1)) < 1e-12
    assert assert_parity(layer, s).keys() >= {"levels"}


@pytest.mark.parametrize("cell", CELLS)
def test_piece_by_piece_and_from_a_given_state(cell):
    layer, x, state, pieces = layer_of(cell), tokens(), None, []
    for k in range(0, 6, 2):
        y, state = layer.step(g.Signal.sequence(x[:, k : k + 2]), state)
        pieces.append(y.x)
    assert error(torch.cat(pieces, 1), layer(g.Signal.sequence(x)).x) < 1e-12
    assert len(state) == 1 and error(state[0], pieces[-1][:, 1:]) == 0


@pytest.mark.parametrize("cell", CELLS)
def test_on_a_tree_a_receiver_takes_the_sum(cell):
    layer = layer_of(cell, g.predecessors())
    tree, x = g.Graph([[0, 1], [2, 2]], 3), tokens(3)
    read = x @ layer.weight_ih_l0.T + layer.bias_ih_l0 + layer.bias_hh_l0
    leaves = CELLS[cell](read[:, :2])
    root = CELLS[cell](read[:, 2] + layer.weight_hh_l0 * leaves.sum(1))
    assert error(layer(g.Signal(x, tree)).x, torch.cat((leaves, root[:, None]), 1)) < 1e-12


def test_gradients_check():
    layer, x = layer_of("ind_rnn_linear"), tokens(4).requires_grad_()
    run = lambda x: layer(g.Signal.sequence(x)).x.sin()  # noqa: E731
    assert torch.autograd.gradcheck(run, x)
    assert torch.autograd.gradgradcheck(run, x)


def test_forgetting_is_drawn_between_at_once_and_never():
    weight = g.Recurrent(3, 4000, "ind_rnn").weight_hh_l0.detach()
    assert 0 <= float(weight.min()) < 0.01 and 0.99 < float(weight.max()) <= 1


def test_torch_has_no_such_cell():
    layer = g.Recurrent(3, 4, "ind_rnn")
    with pytest.raises(g.GeodlError, match="the cell 'ind_rnn'; torch has lstm, gru"):
        g.interop.to_torch(layer)
    layer.lowering = "rnn"
    with pytest.raises(g.GeodlError, match="torch has no kernel for the cell 'ind_rnn'"):
        layer(g.Signal.sequence(torch.zeros(1, 2, 3)))
    with pytest.raises(g.GeodlError, match="did you mean 'ind_rnn'"):
        g.Recurrent(3, 4, "indrnn")
