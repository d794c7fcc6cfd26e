"""Plans that a first call under somebody else's mode makes: real tensors, fit for every later
call.
"""

import contextlib

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import geodl as g
from geodl.lowering import Store
from geodl.lowering import plans as plan_store
from tests.cold import forget
from tests.table import product


@pytest.fixture(autouse=True)
def _no_plans(monkeypatch):
    """Every call is the first."""
    monkeypatch.setattr(plan_store, "VALUES", Store())


def graph():
    return g.Graph([[0, 1, 2, 3, 1], [1, 2, 3, 0, 3]], 5)


def cold_in_inference_mode(layer, x):
    with torch.inference_mode():
        layer(x)


def cold_with_fake_tensors(layer, x):
    with FakeTensorMode(allow_non_fake_inputs=True):
        layer(x)


def cold_in_a_trace(layer, x):
    torch.jit.trace(layer, (x,), check_trace=False)


COLD = {
    "banded attention": lambda: (g.Attention(4, g.window(3, axes=1), 2, on=g.Chain(150)), 150),
    "pool on edges": lambda: (g.Pool(g.window(3, padding=2), on=g.Grid(4, 4)), 16),
    "sets": lambda: (
        g.Conv(4, 3, g.all_pairs("self"), on=g.Batch([g.Complete(2), g.Complete(3)])),
        5,
    ),
    "spmm": lambda: (g.Conv(4, 3, g.adjacency(), on=graph()), 5),
    "message": lambda: (g.Message(product, g.adjacency(), on=graph()), 5),
    "additive": lambda: (g.Attention(4, g.adjacency(), 2, "additive", on=graph()), 5),
    "group": lambda: (g.Conv(4, 3, g.lift(3, group=g.D(4)), on=g.Grid(5, 5)), 25),
    "basis": lambda: (g.Conv(4, 3, g.lift(3, group=g.C(8)), on=g.Grid(5, 5)), 25),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("cold", [cold_in_inference_mode, cold_with_fake_tensors, cold_in_a_trace])
@pytest.mark.parametrize("name", COLD)
def test_a_cold_call_under_somebody_elses_mode_leaves_good_plans(name, cold):
    layer, nodes = COLD[name]()
    wanted, _ = COLD[name]()
    wanted.load_state_dict(layer.state_dict())
    forget(g.D(4))
    x = torch.randn(2, nodes, 4)
    with contextlib.suppress(g.GeodlError):  # the reference selects by edge type
        cold(layer, x)
    x.requires_grad_()
    y = layer(x)
    y.sum().backward()
    assert torch.equal(y, wanted(x)) and x.grad.isfinite().all()
