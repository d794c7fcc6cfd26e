"""Graphs of other libraries as plain tensors, and back.

Those libraries are imported only when asked for.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from geodl.errors import GeodlError


def from_networkx(graph: Any, weight: str | None) -> tuple[Tensor, int, Tensor | None]:
    """Edge index `[2, E]`, number of nodes and weights; undirected edges become two."""
    number = {node: k for k, node in enumerate(graph.nodes)}
    edges = [
        (number[u], number[v], 1.0 if weight is None else float(w))
        for u, v, w in graph.edges(data=weight, default=1.0)
    ]
    if not graph.is_directed():
        edges += [(v, u, w) for u, v, w in edges if u != v]
    index = torch.tensor([edge[:2] for edge in edges], dtype=torch.long).reshape(-1, 2).T
    weights = (
        None if weight is None else torch.tensor([edge[2] for edge in edges], dtype=torch.float64)
    )
    return index, len(number), weights


def to_networkx(edge_index: Tensor, num_nodes: int, edge_weight: Tensor | None) -> Any:
    """A MultiDiGraph, so that neither directions nor parallel edges are lost."""
    import networkx as nx

    graph = nx.MultiDiGraph()
    graph.add_nodes_from(range(num_nodes))
    pairs = edge_index.T.tolist()
    if edge_weight is None:
        graph.add_edges_from(pairs)
    else:
        graph.add_weighted_edges_from(
            (u, v, w) for (u, v), w in zip(pairs, edge_weight.tolist(), strict=True)
        )
    return graph


def from_scipy(matrix: Any) -> tuple[Tensor, int, Tensor]:
    """Edge index, number of nodes and weights of a sparse matrix with receivers in rows."""
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise GeodlError(
            "Graph.from_scipy(A)",
            f"a matrix of shape {matrix.shape}",
            "an adjacency matrix is square",
        )
    coo = matrix.tocoo()
    index = torch.from_numpy(np.stack((coo.col, coo.row)).astype(np.int64))
    return index, matrix.shape[0], torch.from_numpy(np.array(coo.data))


def to_scipy(edge_index: Tensor, num_nodes: int, edge_weight: Tensor | None) -> Any:
    """CSR with receivers in rows."""
    import scipy.sparse as sp

    src, dst = edge_index.cpu().numpy()
    data = np.ones(len(src)) if edge_weight is None else edge_weight.cpu().numpy()
    return sp.csr_matrix((data, (dst, src)), shape=(num_nodes, num_nodes))


def to_pyg(
    edge_index: Tensor,
    num_nodes: int,
    weight: Tensor | None,
    attr: Tensor | None,
    kind: Tensor | None,
) -> Any:
    """A PyG `Data` that holds the same tensors."""
    from torch_geometric.data import Data

    data = Data(edge_index=edge_index, num_nodes=num_nodes)
    for name, value in (("edge_weight", weight), ("edge_attr", attr), ("edge_type", kind)):
        if value is not None:
            data[name] = value
    return data
