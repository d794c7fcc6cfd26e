"""Where escnn is missing, the conversions that need it say how to get it."""

import sys

import pytest
from torch import nn

import geodl as g
from geodl.interop import from_escnn, to_escnn


def test_a_missing_escnn_is_told(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "escnn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "escnn", None)
    for convert, module in (
        (from_escnn, nn.Linear(2, 2)),
        (to_escnn, g.Conv(1, 2, g.lift(3, group=g.C(4)))),
    ):
        with pytest.raises(g.GeodlError, match="no escnn.*pip install --no-deps escnn"):
            convert(module)
