"""Mixed precision by autocast: every path answers, near the numbers of single precision."""

import pytest
import torch

import geodl as g
from geodl.testing import outcome
from tests.compilation import random_signal
from tests.precision import HALF, relative_error
from tests.table import GRAPH, rows

ROWS = rows()


@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("name", ROWS)
def test_every_path_runs_in_half_precision(name, dtype):
    """Mixed precision by autocast, forward and backward, on the kernel and on the reference."""
    row = ROWS[name]
    for lowering in (row.lowering, "edges"):
        row.layer.lowering = lowering
        wanted, gradients = outcome(row.layer, *row.signals())
        with torch.autocast("cpu", dtype):
            found, ours = outcome(row.layer, *row.signals())
        assert relative_error(found, wanted) < HALF[dtype]
        for key, gradient in gradients.items():
            assert relative_error(ours[key], gradient) < HALF[dtype], key


def test_models_train_in_bf16():
    for model, s in (
        (g.models.digits_p4cnn(channels=2), random_signal(g.Grid(8, 8), 1)),
        (g.models.gcn(4, 8, 2), random_signal(GRAPH, 4)),
    ):
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(s).x.float().square().mean()
        loss.backward()
        assert all(
            p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in model.parameters()
        )
