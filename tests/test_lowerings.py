"""Every lowering gives the reference's values and gradients, wherever it says that it can."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings

from geodl.lowering import LOWERINGS
from geodl.testing import accepting, assert_parity
from tests.cases import CASES
from tests.conformance import hold_lowering
from tests.strategies import Case

ALL = [(verb, lowering.name) for verb, lowerings in LOWERINGS.items() for lowering in lowerings]


@pytest.mark.parametrize(("verb", "name"), ALL)
def test_parity(verb, name):
    hold_lowering(verb, name, CASES[verb, name])


def test_every_lowering_has_its_cases():
    assert set(CASES) == set(ALL)


@pytest.fixture
def two_threads() -> Iterator[None]:
    """As a user's torch runs: the other tests have one thread each."""
    kept = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(kept)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("verb", "name"), ALL)
def test_parity_in_two_threads(verb, name):
    """Kernels that share their work out take other paths, on an empty batch among others."""

    @settings(max_examples=5)
    @given(CASES[verb, name])
    def each(case: Case) -> None:
        if accepting(case.layer, *case.signals):
            assert_parity(case.layer, *case.signals)

    each()
