"""The claims about trained networks, on real data."""

import pytest

from geodl import verify
from geodl.lowering import spmm
from geodl.verify import trained


@pytest.fixture
def _few_epochs(data_root, monkeypatch):
    monkeypatch.setattr(trained, "EPOCHS", 3)


@pytest.mark.usefixtures("_few_epochs")
def test_the_equalities_survive_training(monkeypatch):
    found = verify.run(rows=("12",))
    assert [row.passed for row in found] == [True, True]
    assert "by spmm and edges" in found[0].claim and "by edge_softmax and edges" in found[1].claim
    assert all(row.max_gradient_error < row.bound for row in found)
    real = spmm.multiply
    monkeypatch.setattr(spmm, "multiply", lambda *given: 1.001 * real(*given))
    assert [row.passed for row in verify.run(rows=("12",))] == [False, True]
