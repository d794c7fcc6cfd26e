"""Tensors that a forward makes itself, and parts that torch.fx cannot follow."""

import pytest
import torch
import torch_geometric.nn as pyg
from torch import nn

from geodl.interop import from_pyg, to_pyg
from geodl.testing import error
from tests.test_imports_pyg import EDGES, MEMBERS, outputs_and_gradients
from tests.test_imports_pyg_calls import values
from tests.twins import drawn


class OwnTensors(nn.Module):
    """Tensors that a forward makes itself, of which two hold the same numbers."""

    def __init__(self):
        super().__init__()
        self.conv = pyg.GCNConv(3, 3)

    def forward(self, x, edge_index):
        y = self.conv(x, edge_index) * torch.tensor(2.0, dtype=torch.float64)
        shift = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
        return y + shift - torch.tensor(2.0, dtype=torch.float64)


class Pooled(nn.Module):
    """Nodes that are chosen by their scores, in a part that torch.fx cannot follow."""

    def __init__(self, pool):
        super().__init__()
        self.conv = pyg.GCNConv(3, 4)
        self.pool = pool
        self.conv2 = pyg.GCNConv(4, 4)

    def forward(self, x, edge_index, batch):
        x = self.conv(x, edge_index)
        x, edge_index, _, batch, _, _ = self.pool(x, edge_index, None, batch)
        return pyg.global_max_pool(self.conv2(x, edge_index), batch)


def test_tensors_that_a_forward_makes_are_constants():
    model = drawn(OwnTensors())
    network = from_pyg(model)
    assert network.opaque() == {}
    for nodes in (7, 9):
        given = {"x": values(nodes, 3), "edge_index": EDGES}
        (ours, found), (theirs, wanted) = (
            outputs_and_gradients(one, given) for one in (network, model)
        )
        assert error(ours, theirs) <= 1e-10
        assert error(found["the input"], wanted["the input"]) <= 1e-10
    back = to_pyg(network)
    assert back.state_dict().keys() == model.state_dict().keys()
    assert error(back(values(7, 3), EDGES), model(values(7, 3), EDGES)) <= 1e-10


@pytest.mark.parametrize("kind", [pyg.TopKPooling, pyg.SAGPooling])
@pytest.mark.parametrize("training", [False, True])
def test_parts_that_cannot_be_followed_stay_as_they_are(kind, training):
    model = drawn(Pooled(kind(4, 0.5))).train(training)
    given = {"x": values(7, 3), "edge_index": EDGES, "batch": MEMBERS}
    for network in (from_pyg(model), from_pyg(model, tuple(given.values()))):
        assert "conv" not in network.opaque()
        (ours, found), (theirs, wanted) = (
            outputs_and_gradients(one, given) for one in (network, model)
        )
        assert error(ours, theirs) <= 1e-10
        assert error(found["the input"], wanted["the input"]) <= 1e-10
