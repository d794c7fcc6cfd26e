"""Every lowering gives the reference's values and gradients, wherever it says that it can."""

import pytest

from geodl.lowering import LOWERINGS
from tests.cases import CASES
from tests.conformance import hold_lowering

ALL = [(verb, lowering.name) for verb, lowerings in LOWERINGS.items() for lowering in lowerings]


@pytest.mark.parametrize(("verb", "name"), ALL)
def test_parity(verb, name):
    hold_lowering(verb, name, CASES[verb, name])


def test_every_lowering_has_its_cases():
    assert set(CASES) == set(ALL)
