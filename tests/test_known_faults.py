"""Faults that are known and not mended yet: each test says what is right, its reason says which
work mends it. One that begins to pass fails here, so that nobody forgets to take the mark off.
"""

import pytest
import torch

import geodl as g


def due(work: str, raises: type[Exception]) -> pytest.MarkDecorator:
    """A strict mark: expected to fail so until this work lands."""
    return pytest.mark.xfail(strict=True, reason=work, raises=raises)


@due("groups by value: a group is what its generators make, not its name", AssertionError)
def test_a_name_makes_no_group():
    """Q8, of eight elements, has one element of order 2; "Q8" as a name is made into a D4."""
    product = g.Group("Q8", 8, 0).tables.product
    assert (product.diagonal() == 0).sum() == 2


@due(
    "edge state on the signal: a Message inside a container reads it, self-loops or not", TypeError
)
@pytest.mark.parametrize("loops", [False, True])
def test_edge_values_pass_a_container(loops):
    def weigh(x_i, x_j, e_ij):
        return x_j * e_ij

    graph = g.Graph([[0, 1], [1, 2]], 3, edge_attr=torch.tensor([[2.0], [3.0]]))
    edges = graph.edge_attr[None]
    s = g.Signal(torch.ones(1, 3, 1), graph, edges=edges)
    y = g.Sequential(g.Message(weigh, g.adjacency(self_loops=loops)))(s)
    assert y.x.flatten().tolist() == [0.0, 2.0, 3.0]
