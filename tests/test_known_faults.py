"""Faults that are known and not mended yet: each test says what is right, its reason says which
work mends it. One that begins to pass fails here, so that nobody forgets to take the mark off.
"""

import pytest

import geodl as g


def due(work: str, raises: type[Exception]) -> pytest.MarkDecorator:
    """A strict mark: expected to fail so until this work lands."""
    return pytest.mark.xfail(strict=True, reason=work, raises=raises)


@due("groups by value: a group is what its generators make, not its name", AssertionError)
def test_a_name_makes_no_group():
    """Q8, of eight elements, has one element of order 2; "Q8" as a name is made into a D4."""
    product = g.Group("Q8", 8, 0).tables.product
    assert (product.diagonal() == 0).sum() == 2
