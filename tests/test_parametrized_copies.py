"""Models with parametrized weights: copies of their own, states that load, and pickles, which torch
refuses.
"""

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch_geometric.nn import RGCNConv

import geodl as g
from geodl.testing import error

TYPED = g.Graph([[0, 1, 2], [1, 2, 0]], 3, edge_type=[0, 1, 0])
ON_TYPES = g.Signal(torch.randn(1, 3, 3, generator=torch.Generator().manual_seed(0)), TYPED)
IMAGE = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))


def network() -> Any:
    first = parametrizations.weight_norm(nn.Conv2d(3, 4, 3))
    return g.interop.from_torch(nn.Sequential(first, nn.ReLU()), IMAGE)


def scores(gan: Any) -> Tensor:
    """The scores of images that are generated of the same noise each time."""
    return gan(*gan.draw_inputs(3, torch.arange(3), torch.Generator().manual_seed(0)))


def relational() -> Any:
    return g.interop.from_pyg(RGCNConv(3, 4, 2, num_bases=2))


MODELS = {
    "rgcn": (lambda: g.models.rgcn(3, 5, 4, types=2, bases=2), ON_TYPES),
    "rgcn layer": (lambda: g.models.rgcn_layer(3, 4, types=2, bases=2), ON_TYPES),
    "of PyG": (relational, ON_TYPES),
    "a layer of torch": (
        lambda: g.interop.from_torch(parametrizations.spectral_norm(nn.Linear(3, 4))),
        ON_TYPES,
    ),
    "a network of torch": (network, IMAGE),
    "sagan": (lambda: g.models.sagan(size=8, channels=8), None),
}
each = pytest.mark.parametrize("name", MODELS)


def answer(model: Any, given: Any) -> Tensor:
    if given is None:
        return scores(model)
    found = model(given)
    if isinstance(found, g.Signal):
        return found.x
    return found


@each
def test_a_deep_copy_learns_by_itself(name):
    make, given = MODELS[name]
    model = make().eval()
    wanted = answer(model, given).detach().clone()
    twin = copy.deepcopy(model)
    assert error(answer(twin, given), wanted) == 0
    assert not {id(p) for p in model.parameters()} & {id(p) for p in twin.parameters()}
    with torch.no_grad():
        for p in twin.parameters():
            p.add_(1)
    assert error(answer(twin, given), wanted) > 0
    assert error(answer(model, given), wanted) == 0
    answer(copy.deepcopy(twin), given).sum().backward()


@each
def test_states_are_saved_where_pickle_refuses(name):
    make, given = MODELS[name]
    model, other = make().eval(), make().eval()
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file))
    assert error(answer(other, given), answer(model, given)) == 0
    with pytest.raises(RuntimeError, match="state_dict"):
        pickle.dumps(model)
