"""Laplacian positions: the eigenvectors of any graph, whichever way they are found, and the layer
that adds them.
"""

import copy
import gc
import math
import pickle
import weakref

import networkx as nx
import pytest
import torch

import geodl as g
from geodl.layer import laplacian
from geodl.layer.laplacian import laplacian_eigenvectors
from geodl.testing import error

BIG = 600  # more nodes than are solved densely


def on(domain: g.Domain, dtype: torch.dtype = torch.float64) -> g.Signal:
    return g.Signal(torch.randn(2, domain.num_nodes, 4, dtype=dtype), domain)


def undirected(graph: nx.Graph) -> g.Graph:
    return g.Graph.from_networkx(graph, weight="weight" if nx.is_weighted(graph) else None)


def normalised_laplacian(domain: g.Domain) -> torch.Tensor:
    """`I - D^-1/2 A D^-1/2` written out, 0 on isolated nodes."""
    a = torch.zeros(domain.num_nodes, domain.num_nodes, dtype=torch.float64)
    dst, src, weight = domain.links()
    a.index_put_(
        (dst, src),
        torch.ones(len(dst)).double() if weight is None else weight.double(),
        accumulate=True,
    )
    a = (a + a.T).fill_diagonal_(0)
    root = torch.where(a.sum(0) > 0, a.sum(0).rsqrt(), 0.0)
    return torch.diag((root > 0).double()) - root[:, None] * a * root


GRAPHS = {
    "karate": lambda: undirected(nx.karate_club_graph()),
    "parts": lambda: undirected(
        nx.disjoint_union_all([nx.path_graph(4), nx.star_graph(5), nx.empty_graph(2)])
    ),
    "directed": lambda: g.Graph(
        [[0, 1, 2, 3, 3], [1, 2, 3, 3, 4]], 6, edge_weight=[1.0, 2.0, 0.5, 3.0, 0.0]
    ),
    "no links": lambda: g.Graph([[0], [0]], 3),
    "grid": lambda: g.Grid(4, 5),
    "set": lambda: g.Complete(5),
    "small world": lambda: undirected(nx.connected_watts_strogatz_graph(BIG, 6, 0.5, seed=0)),
    "torus": lambda: g.Grid(25, 25, periodic=True),
    "long path": lambda: g.Chain(2 * BIG),
    "many paths": lambda: undirected(
        nx.disjoint_union_all([nx.path_graph(k) for k in range(1, 45)])
    ),
    "path and random": lambda: undirected(
        nx.disjoint_union(nx.path_graph(BIG), nx.gnm_random_graph(BIG, BIG, seed=1))
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_eigenvectors(name):
    domain, count = GRAPHS[name](), 4
    u, full = laplacian_eigenvectors(domain, count), normalised_laplacian(domain)
    values = torch.linalg.eigvalsh(full)
    wanted = values[values > 1e-10][:count]
    found = u[:, : len(wanted)]
    assert u.shape == (domain.num_nodes, count) and u.dtype == torch.float64
    assert error(full @ found, found * wanted) < 1e-10, (
        "L u = lambda u for the smallest above 0, multiple ones too"
    )
    assert error(found.T @ found, torch.eye(len(wanted)).double()) < 1e-10
    assert not u[:, len(wanted) :].any() and not u[full.diagonal() == 0].any(), (
        "what is missing, and who is alone, has zeros"
    )


def test_every_way_to_eigenvectors_is_taken(monkeypatch):
    from scipy.sparse import linalg

    taken = []
    for name in ("eigsh", "splu"):
        call = getattr(linalg, name)
        monkeypatch.setattr(
            linalg,
            name,
            lambda *a, name=name, call=call, **kw: (taken.append(name), call(*a, **kw))[1],
        )
    for name, wanted in {
        "karate": set(),
        "small world": {"eigsh"},
        "long path": {"eigsh", "splu"},
    }.items():
        taken.clear()
        laplacian_eigenvectors(GRAPHS[name](), 3)
        assert set(taken) == wanted, name


def test_multiple_eigenvalues_are_found_whole(monkeypatch):
    """A start that sees a single vector of each eigenvalue finds the others on the second look."""
    from scipy.sparse import linalg

    call, blind = linalg.eigsh, []

    def lanczos(operator, k, **options):
        if not blind:
            blind.append(k)
            return None, torch.linalg.eigh(normalised_laplacian(domain))[1][:, [1, 5, 6, 7]].numpy()
        return call(operator, k, **options)

    domain = g.Grid(25, 25, periodic=True)
    monkeypatch.setattr(linalg, "eigsh", lanczos)
    found = laplacian._eigenvectors(domain, 4)
    values = torch.linalg.eigvalsh(found.T @ normalised_laplacian(domain) @ found)
    assert (
        blind == [4]
        and error(
            values, torch.full((4,), 0.5 - 0.5 * math.cos(2 * math.pi / 25), dtype=torch.float64)
        )
        < 1e-10
    )


def test_relabelled_up_to_signs():
    domain = undirected(nx.Graph([(0, 1), (1, 2), (2, 3), (3, 4), (4, 2), (4, 5)]))
    named = torch.tensor([3, 0, 5, 1, 4, 2])
    u, v = (
        laplacian_eigenvectors(domain, 5),
        laplacian_eigenvectors(domain.relabel(named), 5)[named],
    )
    assert (
        error((u * v).sum(0).abs(), torch.ones(5).double()) < 1e-10
        and error(v * (u * v).sum(0).sign(), u) < 1e-10
    )


def test_signs_are_flipped_while_training_only():
    layer, domain = (
        g.LaplacianPositions(3, 4).double(),
        g.Batch([g.Graph(GRAPHS["karate"]().edge_index), g.Chain(6)]),
    )
    s = g.Signal(torch.zeros(1, domain.num_nodes, 4, dtype=torch.float64), domain)
    assert error(layer.eval()(s).x[0], laplacian_eigenvectors(domain, 3) @ layer.weight.T) < 1e-12
    layer.weight.data = torch.eye(4, 3, dtype=torch.float64)
    fixed, layer = layer(s).x[0, :, :3], layer.train()
    flips = set()
    for _ in range(40):
        y = layer(s).x[0, :, :3]
        signs = torch.stack(
            [
                (a * b).sum(0).sign()
                for a, b in zip(y.split([34, 6]), fixed.split([34, 6]), strict=True)
            ]
        )
        assert error(y, fixed * signs.repeat_interleave(torch.tensor([34, 6]), 0)) < 1e-12
        flips.add(tuple(signs.flatten().tolist()))
    assert len(flips) > 10, "of each eigenvector and each member"


def test_eigenvectors_are_found_once_and_leave_with_the_graph(monkeypatch):
    found, solve = [], laplacian._eigenvectors
    monkeypatch.setattr(laplacian, "_eigenvectors", lambda *a: (found.append(a[0]), solve(*a))[1])
    graphs = [GRAPHS["karate"](), GRAPHS["parts"]()]
    layer = g.LaplacianPositions(2, 4)
    for domain in (graphs[0], g.Batch(graphs), g.Batch(graphs[::-1]), graphs[1]):
        layer.float()(on(domain, dtype=torch.float32))
        layer.double()(on(domain))
    assert len(found) == 2 and all(a is b for a, b in zip(found, graphs, strict=True))
    found.clear()
    assert (
        copy.deepcopy(graphs[0]).cache == {} and pickle.loads(pickle.dumps(graphs[1])).cache == {}
    )
    domain = g.Graph([[0], [1]])
    gone = weakref.ref(domain)
    gc.disable()
    layer(on(domain))
    found.clear()
    del domain
    gc.enable()
    assert gone() is None


def test_links_count_as_in_the_laplacian():
    """A link in both directions once, where others have one direction only."""
    domain = g.Graph([[0, 1, 1, 2], [1, 0, 2, 3]], 4)
    edges = g.laplacian("sym").edges(domain)
    full = torch.zeros(4, 4).double().index_put((edges.dst, edges.src), edges.weight, True)
    u, values = laplacian_eigenvectors(domain, 3), torch.linalg.eigvalsh(full)[1:]
    assert error(full @ u, u * values) < 1e-12
    with pytest.raises(g.GeodlError, match="weight 1 from 0 to 1 and 2 back"):
        laplacian_eigenvectors(g.Graph([[0, 1], [1, 0]], edge_weight=[1.0, 2.0]), 1)


def test_refused_in_words():
    with pytest.raises(g.GeodlError, match="the size 0; give positive"):
        g.LaplacianPositions(0, 4)
    with pytest.raises(g.GeodlError, match="negative weights.*use non-negative"):
        laplacian_eigenvectors(g.Graph([[0], [1]], edge_weight=[-1.0]), 1)
