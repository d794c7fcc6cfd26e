"""Signals, domains and rules are saved by torch.save and loaded by torch.load's safe default."""

import io
from typing import Any

import pytest
import torch

import geodl as g
from geodl.domain import DOMAINS
from geodl.neighborhood import Neighborhood
from tests.rules.classes import concrete
from tests.test_rules import RULES


def saved_and_loaded(value: Any) -> Any:
    file = io.BytesIO()
    torch.save({"value": value}, file)
    file.seek(0)
    return torch.load(file, weights_only=True)["value"]


@pytest.mark.parametrize("domain", [d for kind in DOMAINS for d in kind.small()], ids=str)
def test_signals_of_every_domain(domain):
    s = g.Signal(torch.randn(2, domain.num_nodes, 3), domain)
    back = saved_and_loaded(s)
    assert back.x.equal(s.x) and str(back.domain) == str(domain)
    assert domain.serial is not None or back.domain == domain
    assert back.domain.serial is None or back.domain.serial != domain.serial
    assert g.Readout("sum")(back).x.allclose(g.Readout("sum")(s).x)


def test_every_rule():
    ours = {kind for kind in concrete(Neighborhood) if kind.__module__.startswith("geodl.")}
    assert ours == {type(rule) for rule in RULES}
    for rule, back in zip(RULES, saved_and_loaded(RULES), strict=True):
        if rule.owner is None:
            assert back == rule
            continue
        # A rule that owns tensors is equal to itself alone: its copy says and holds the same.
        assert back != rule and str(back) == str(rule)
        for mine, theirs in zip(back.owner.tensors(), rule.owner.tensors(), strict=True):
            assert mine.equal(theirs)
    onto = g.window(3, stride=2).reverse(onto=g.Grid(6, 6))
    assert saved_and_loaded(onto) == onto
