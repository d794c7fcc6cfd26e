"""Graphs with classified nodes: Cora, CiteSeer and the karate club."""

import warnings

import torch
from torch import Tensor

from geodl.data.base import NodeData
from geodl.data.fetch import get
from geodl.domain import Graph
from geodl.signal import Signal


def cora(*, normalize: bool = True, sparse: bool = False) -> NodeData:
    """Cora: 2708 papers, 10556 directed citations, 1433 words, 7 topics, the public split of 140,
    500 and 1000 papers.

    Args:
        normalize: divide each row of features by its sum, as Kipf and Welling (2017) do; a row of
            zeros stays.
        sparse: give `signal.x` as sparse CSR `[N, C]` instead of dense `[1, N, C]`.

    Raises:
        GeodlError: if a file is missing everywhere, is truncated, or has another SHA-256 than the
            card says.

    Source: Yang, Cohen, Salakhutdinov, "Revisiting Semi-Supervised Learning with Graph Embeddings",
    2016; see its card.

    >>> import geodl as g
    >>> data = g.data.cora()  # doctest: +SKIP
    >>> data.signal.domain.num_nodes, int(data.train.sum())  # doctest: +SKIP
    (2708, 140)
    """
    return _planetoid("cora", normalize, sparse)


def citeseer(*, normalize: bool = True, sparse: bool = False) -> NodeData:
    """CiteSeer: 3327 papers, 9104 directed citations, 3703 words, 6 topics, the public split of
    120, 500 and 1000 papers.

    Arguments, errors and source as for `cora`. 48 papers are isolated; 15 have no words.

    >>> import geodl as g
    >>> g.data.citeseer().num_classes  # doctest: +SKIP
    6
    """
    return _planetoid("citeseer", normalize, sparse)


def karate() -> NodeData:
    """Zachary's karate club: 34 members, 78 ties both ways, two factions; embedded in networkx.

    The features are the identity `[1, 34, 34]`. Train: the instructor (node 0) and the president
    (node 33); validation: nobody; test: the other 32.

    Source: Zachary, "An Information Flow Model for Conflict and Fission in Small Groups", 1977.

    >>> import geodl as g
    >>> data = g.data.karate()
    >>> data.signal.x.shape, data.labels.bincount().tolist()
    (torch.Size([1, 34, 34]), [17, 17])
    """
    import networkx

    club = networkx.karate_club_graph()
    ties = torch.tensor(list(club.edges)).T
    edge_index = torch.cat([ties, ties.flip(0)], dim=1)
    labels = torch.tensor([int(faction == "Officer") for _, faction in club.nodes(data="club")])
    train = torch.zeros(34, dtype=torch.bool)
    train[[0, 33]] = True
    signal = Signal(torch.eye(34).unsqueeze(0), Graph(edge_index, 34))
    return NodeData("karate", signal, labels, train, torch.zeros_like(train), ~train, num_classes=2)


def _planetoid(name: str, normalize: bool, sparse: bool) -> NodeData:
    folder = get(name)[0].parent
    # Importing PyG warns of torch's deprecations, and its reader adds a filter for good.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from torch_geometric.io import read_planetoid_data

        parsed = read_planetoid_data(str(folder), name)
    x, edge_index, y = parsed["x"], parsed["edge_index"], parsed["y"]
    if normalize:
        x = torch.nn.functional.normalize(x, p=1.0, dim=1)
    values = _csr(x) if sparse else x.unsqueeze(0)
    return NodeData(
        name,
        Signal(values, Graph(edge_index, len(x))),
        labels=y,
        train=parsed["train_mask"],
        val=parsed["val_mask"],
        test=parsed["test_mask"],
        num_classes=int(y.max()) + 1,
    )


def _csr(x: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        return x.to_sparse_csr()
