"""What `geodl verify` calls an error, and the table and the file it makes."""

import json
import math
import sys

import pytest
import torch

import geodl as g
from geodl import verify
from geodl.verify.base import Setting, above, difference, equal, largest, normal, randomised, row

KEYS = [
    "claim",
    "domain",
    "nodes",
    "edges",
    "parameters",
    "max_output_error",
    "max_gradient_error",
    "bound",
    "passed",
]
ROW = verify.Row("05 a", "Grid(3)", 3, 7, 4, 1e-16, 2e-16, 1e-11, True)


def test_nan_is_no_small_error():
    nan, here = float("nan"), Setting("Grid(3)", 3, 7, 4)
    assert largest([0.0, nan, 1.0]) == math.inf and largest([]) == 0.0
    assert row("05 a", here, [(1e-16, 0.0), (0.0, 1e-16)], 1e-11).passed
    assert not row("05 a", here, [(nan, 0.0), (0.0, 0.0)], 1e-11).passed
    assert not row("05 a", here, [(0.0, 0.0), (0.0, nan)], 1e-11).passed
    assert above("05 error", here, 0.5, 1e-2) == ("05 error > 0.01", *here, 0.5, 0.0, 1e-2, True)
    assert not any(
        above("05 error", here, wrong, 1e-2).passed for wrong in (1e-2, 0.0, nan, math.inf)
    )


def test_nan_in_an_output_or_a_gradient_fails():
    layer, s = (
        randomised(g.Conv(1, 1, g.itself()), normal(1)),
        g.Signal(normal(2)(1, 3, 1), g.Grid(3)),
    )

    def peer(x):
        return x * layer.weight[0] + layer.bias

    assert equal("05 a", layer, [s], peer, 1e-11).passed
    assert not equal("05 a", layer, [s], lambda x: peer(x) * float("nan"), 1e-11).passed
    kink = torch.zeros(1, dtype=torch.float64)
    assert not equal(
        "05 a", layer, [s], lambda x: peer(x) + torch.sqrt(0 * x.sum() + kink), 1e-11
    ).passed


def test_a_difference_compares_gradients_too():
    x = normal(3)(4).requires_grad_()
    assert difference(x * x, x * x, [x]) == (0.0, 0.0)
    outputs, gradients = difference(x * x, x * x.detach(), [x])
    assert outputs == 0.0 and gradients > 0.1
    assert difference(x, x + 1, [])[1] == 0.0
    with pytest.raises(AssertionError, match="shapes"):
        difference(x, x[:3], [x])


def test_table_tells_who_passed():
    text = verify.table([ROW, ROW._replace(claim="11 b", passed=False, max_output_error=math.inf)])
    head, first, second, last = text.splitlines()
    assert (
        " ".join(head.split())
        == "claim domain nodes edges parameters max output error max gradient error bound"
    )
    assert " ".join(first.split()) == "05 a Grid(3) 3 7 4 1.0e-16 2.0e-16 1e-11 PASS"
    assert second.endswith("FAIL") and "inf" in second
    assert last == "1 of 2 claims hold"


def test_json_round_trip(tmp_path):
    rows = verify.run(rows=("04",))
    verify.save(rows, tmp_path / "claims.json")
    found = json.loads((tmp_path / "claims.json").read_text())
    assert [list(row) for row in found] == [KEYS] * len(rows)
    assert [verify.Row(**row) for row in found] == rows
    assert [path.name for path in tmp_path.iterdir()] == ["claims.json"]


def test_json_has_no_infinity(tmp_path):
    verify.save(
        [ROW._replace(max_output_error=math.inf, max_gradient_error=math.nan, passed=False)],
        tmp_path / "a.json",
    )
    (found,) = json.loads(
        (tmp_path / "a.json").read_text(),
        parse_constant=lambda name: pytest.fail(f"{name} is no JSON"),
    )
    assert found["max_output_error"] == found["max_gradient_error"] == sys.float_info.max
    assert found["passed"] is False


def test_what_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(g.GeodlError, match="name a file in a folder that exists"):
        verify.save([ROW], tmp_path / "missing" / "a.json")
    (tmp_path / "folder").mkdir()
    with pytest.raises(g.GeodlError, match="folder"):
        verify.save([ROW], tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
