"""Edge weights at run time that are refused, and rules and layers that refuse them, in words."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

import geodl as g
from geodl.neighborhood import Edges, Neighborhood
from geodl.neighborhood.reversed import Reversed
from tests.test_runtime_weights import GRAPH, TREE, values, weights


@dataclass(frozen=True)
class Doubled(Neighborhood):
    """Links with twice their weights: a rule that does not know of weights at run time."""

    def reverse(self, onto=None):
        return Reversed(self, onto)

    def _target(self, domain):
        return domain

    def _edges(self, domain, target):
        dst, src, weight = domain.links()
        return Edges(dst, src, torch.zeros_like(dst), None if weight is None else 2 * weight)


TWIN = GRAPH.with_weights(weights(GRAPH))
REFUSED = {
    "a parameter of a graph": (
        lambda: g.Graph([[0], [1]], edge_weight=nn.Parameter(torch.ones(1))),
        r"asks for a gradient.*learn it by graph.with_weights\(weight\)",
    ),
    "another length": (
        lambda: GRAPH.with_weights(torch.ones(3)),
        r"weights of shape \[3\]; give weights of shape \[8\] or \[B, 8\]",
    ),
    "three axes": (lambda: GRAPH.with_weights(torch.ones(1, 1, 8)), r"shape \[1, 1, 8\]"),
    "integers": (lambda: GRAPH.with_weights(torch.ones(8).long()), "dtype torch.int64"),
    "complex numbers": (lambda: GRAPH.with_weights(torch.ones(8) * 1j), "torch.complex64"),
    "NaN": (lambda: GRAPH.with_weights(torch.full((8,), torch.nan)), "NaN or infinite weights"),
    "another device": (
        lambda: GRAPH.with_weights(torch.ones(8, device="meta")),
        "weights on meta and edges on cpu",
    ),
    "a rule that cannot carry them": (
        lambda: g.Conv(2, 2, Doubled())(g.Signal(values(5).float(), TWIN)),
        "which this rule does not carry to its entries; use adjacency",
    ),
    "attention": (
        lambda: g.Attention(2, g.adjacency(), 1)(g.Signal(values(5).float(), TWIN)),
        r"weighted edges; use adjacency\(weights=False\).*Propagate",
    ),
    "pool": (
        lambda: g.Pool(g.adjacency(), "mean")(g.Signal(values(5).float(), TWIN)),
        "weighted edges; .* the weighted sum is Propagate",
    ),
    "pool of kept weights": (
        lambda: g.Pool(g.adjacency("row"))(g.Signal(values(5).float(), GRAPH)),
        "weighted edges; .* the weighted sum is Propagate",
    ),
    "attention over a window on a basis": (
        lambda: g.Attention(2, g.window(3, group=g.C(8)), 1)(
            g.Signal(torch.ones(1, 72, 2), g.GroupGrid(g.Grid(3, 3), g.C(8)))
        ),
        "weighted edges; use a window without a basis, and a group that maps the lattice",
    ),
    "rows of weights for scipy": (
        lambda: GRAPH.with_weights(weights(GRAPH, 2)).to_scipy(),
        "2 rows of weights, one for each entry of a batch; choose one",
    ),
    "rows of weights for PyG": (
        lambda: GRAPH.with_weights(weights(GRAPH, 2)).to_pyg(),
        "2 rows of weights",
    ),
    "positions": (
        lambda: g.LaplacianPositions(2, 2)(g.Signal(values(5).float(), TWIN)),
        "weights that come with each call, where positions are kept",
    ),
    "an eigenvalue": (
        lambda: g.Conv(2, 2, g.polynomial(g.laplacian(), 2))(
            g.Signal(values(5).float(), TREE.with_weights(weights(TREE)))
        ),
        "weights that come with each call; name lambda_max=",
    ),
    "negative degrees": (
        lambda: g.Conv(2, 2, g.adjacency("sym"))(
            g.Signal(values(5).float(), TREE.with_weights(-weights(TREE)))
        ),
        "a negative degree",
    ),
    "two directions of different weights": (
        lambda: g.Propagate(g.laplacian())(
            g.Signal(
                torch.zeros(1, 2, 1),
                g.Graph([[0, 1], [1, 0]]).with_weights(torch.tensor([1.0, 2.0])),
            )
        ),
        "a link of weight 1 from 0 to 1 and 2 back",
    ),
    "another batch": (
        lambda: g.Propagate(g.adjacency())(
            g.Signal(values(5, 2, 3), GRAPH.with_weights(weights(GRAPH, 2)))
        ),
        "weights for a batch of 2 and a batch of 3; give one row of weights for each",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    call, words = REFUSED[name]
    with pytest.raises(g.GeodlError, match=words):
        call()


def test_an_adjacency_of_pyg_that_is_not_square_is_refused():
    data = pytest.importorskip("torch_geometric.data").Data
    oblong = data(x=torch.zeros(3, 2), adj_t=torch.ones(2, 3).to_sparse_csr())
    with pytest.raises(g.GeodlError, match=r"adj_t of shape \[2, 3\].*square"):
        g.Graph.from_pyg(oblong)
