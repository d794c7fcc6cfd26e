"""Every lowering gives the reference's values and gradients, wherever it says that it can."""

import pytest
import torch
from hypothesis import given

import geodl as g
from geodl.lowering import LOWERINGS
from geodl.testing import assert_parity, outcome
from tests.conformance import hold_lowering
from tests.strategies import CASES, graphs

ALL = [(verb, lowering.name) for verb, lowerings in LOWERINGS.items() for lowering in lowerings]


@pytest.mark.parametrize(("verb", "name"), ALL)
def test_parity(verb, name):
    hold_lowering(verb, name, CASES[verb, name])


def test_every_lowering_has_its_cases():
    assert set(CASES) == set(ALL)
