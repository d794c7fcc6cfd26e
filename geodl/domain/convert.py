"""Graphs of other libraries as plain tensors, and back.

Those libraries are imported only when asked for.
"""

import numbers
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from geodl.domain.check import EXACT
from geodl.domain.stackable import check_stackable
from geodl.errors import GeodlError, nearest


class GraphParts(NamedTuple):
    """The arguments of a Graph."""

    edge_index: Any
    num_nodes: int | None
    edge_weight: Any = None
    edge_attr: Tensor | None = None
    edge_type: Tensor | None = None

    @property
    def has_values(self) -> bool:
        """Whether the edges have weights, attributes or types."""
        has_none = self.edge_weight is None and self.edge_attr is None and self.edge_type is None
        return not has_none


def from_networkx(graph: Any, weight: str | None) -> GraphParts:
    """The edges of a networkx graph; undirected edges become two.

    Args:
        graph: a Graph, DiGraph, MultiGraph or MultiDiGraph; its nodes are numbered in its order.
        weight: the edge attribute to read as weights, None for none. Edges without the attribute
            weigh 1, as everywhere in networkx; weights that are all 1 give an unweighted graph.

    Raises:
        GeodlError: if it is not a networkx graph; if no edge has the attribute; if a weight is not
            a number.
    """
    import networkx as nx

    if not isinstance(graph, nx.Graph):
        asked = f"Graph.from_networkx({_short(graph)})"
        raise GeodlError(asked, f"a {type(graph).__name__}", "give a networkx graph")
    number = {node: k for k, node in enumerate(graph.nodes)}
    edges = list(graph.edges(data=True))
    pairs = [(number[u], number[v]) for u, v, _ in edges]
    weights = [1.0] * len(edges)
    if weight is not None:
        weights = _edge_attribute(edges, weight)
    if not graph.is_directed():
        # An undirected self-loop has one direction only.
        back = [k for k, (u, v) in enumerate(pairs) if u != v]
        weights += [weights[k] for k in back]
        pairs += [pairs[k][::-1] for k in back]
    index = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return GraphParts(index, len(number), _unless_ones(np.array(weights, dtype=np.float64)))


def _edge_attribute(edges: list[tuple[Any, Any, dict[Any, Any]]], name: str) -> list[float]:
    """One number for each edge, 1 for those without the attribute."""
    asked = f"Graph.from_networkx(graph, weight={name!r})"
    known = {key for *_, attributes in edges for key in attributes}
    if edges and name not in known:
        do = "leave out weight="
        if known:
            do = nearest(name, map(str, known))
        raise GeodlError(asked, f"no edge with the attribute {name!r}", do)
    weights = []
    for u, v, attributes in edges:
        value = attributes.get(name, 1.0)
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            found = f"the {name} {value!r} of edge ({u!r}, {v!r})"
            raise GeodlError(asked, found, "give each edge a real number, or no such attribute")
        if isinstance(value, numbers.Integral) and abs(int(value)) > EXACT:
            found = f"the {name} {value!r} of edge ({u!r}, {v!r}), which float64 rounds"
            raise GeodlError(asked, found, "use smaller numbers")
        weights.append(float(value))
    return weights


def to_networkx(edge_index: Tensor, num_nodes: int, edge_weight: Tensor | None) -> Any:
    """A MultiDiGraph, so that neither directions nor parallel edges are lost."""
    import networkx as nx

    graph = nx.MultiDiGraph()
    graph.add_nodes_from(range(num_nodes))
    pairs = edge_index.T.tolist()
    if edge_weight is None:
        graph.add_edges_from(pairs)
        return graph
    weighted = zip(pairs, edge_weight.tolist(), strict=True)
    graph.add_weighted_edges_from((u, v, w) for (u, v), w in weighted)
    return graph


def from_scipy(matrix: Any) -> GraphParts:
    """The entries of a sparse matrix with receivers in rows: `A[i, j]` is the weight of j -> i.

    Entries that are all 1, or booleans, give an unweighted graph.

    Raises:
        GeodlError: if it is not a sparse matrix, or not square.
    """
    import scipy.sparse as sp

    if not sp.issparse(matrix):
        asked = f"Graph.from_scipy({_short(matrix)})"
        do = "give a sparse matrix: scipy.sparse.csr_array(A)"
        raise GeodlError(asked, f"a {type(matrix).__name__}", do)
    asked = "Graph.from_scipy(A)"
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        found = f"a matrix of shape {matrix.shape}"
        raise GeodlError(asked, found, "an adjacency matrix is square")
    # Duplicate entries stay parallel edges, and stored zeros edges of weight 0.
    coo = matrix.tocoo()
    index, data = np.stack((coo.col, coo.row)).astype(np.int64), np.array(coo.data)
    if data.dtype == bool:
        # A stored False says that there is no link.
        return GraphParts(index[:, data], matrix.shape[0])
    return GraphParts(index, matrix.shape[0], _unless_ones(data))


def to_scipy(edge_index: Tensor, num_nodes: int, edge_weight: Tensor | None) -> Any:
    """CSR with receivers in rows."""
    import scipy.sparse as sp

    src, dst = edge_index.cpu().numpy()
    data = np.ones(len(src))
    if edge_weight is not None:
        # scipy knows no bfloat16 and no float16; both widen without loss.
        wide = torch.promote_types(edge_weight.dtype, torch.float32)
        data = edge_weight.to(wide).numpy(force=True)
    return sp.csr_matrix((data, (dst, src)), shape=(num_nodes, num_nodes))


def from_pyg(data: Any) -> GraphParts:
    """The edges of a PyG `Data`: `edge_index`, or else the transposed adjacency `adj_t` in CSR;
    `edge_weight`, `edge_attr` and `edge_type` where it has them.

    Without anything that tells the number of nodes, it is the largest node number plus one.

    Raises:
        GeodlError: if it is not a `Data`, if it is heterogeneous, or if it has no edges.
    """
    return parts_of_pyg(data, pyg_attributes(data))


def pyg_attributes(data: Any) -> dict[str, Any]:
    """All attributes of a PyG `Data` at once: to ask it for one after another takes longer than to
    read a few graphs.

    Raises:
        GeodlError: if it is not a `Data`, or if it is heterogeneous.
    """
    from torch_geometric.data import Data, HeteroData

    if isinstance(data, Data):
        return data.to_dict()
    # The data in words are made for an error alone: PyG's repr takes longer than all that follows.
    if isinstance(data, HeteroData):
        do = "use data.to_homogeneous(), whose edge_type tells its edges apart, or "
        do += "g.interop.from_hetero(data): a relation for each kind of edges"
        raise GeodlError(_from_pyg(data), "several kinds of nodes, a HeteroData", do)
    do = "give a torch_geometric.data.Data"
    raise GeodlError(_from_pyg(data), f"a {type(data).__name__}", do)


def parts_of_pyg(data: Any, held: dict[str, Any]) -> GraphParts:
    """As :func:`from_pyg`, of a `Data` whose attributes were read."""
    weight, index = held.get("edge_weight"), held.get("edge_index")
    if index is None:
        index, values = _transposed_csr(data)
        if weight is None:
            weight = values
    starts = held.get("ptr")
    if isinstance(starts, Tensor) and starts.dim() == 1 and starts.shape[0]:
        num_nodes = int(starts[-1])
    else:
        num_nodes = _count_pyg_nodes(data)
    return GraphParts(index, num_nodes, weight, held.get("edge_attr"), held.get("edge_type"))


def _count_pyg_nodes(data: Any) -> int | None:
    # PyG warns where only the edges tell how many nodes there are; so does our docstring.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return data.num_nodes


def _from_pyg(data: Any) -> str:
    """What was asked for, in words."""
    return f"Graph.from_pyg({_short(data)})"


def pyg_starts(held: dict[str, Any], num_nodes: int | None) -> Any:
    """Where the graphs of a PyG `Batch` begin, `[D + 1]`: its `ptr`, else told by its `batch`.

    Args:
        held: its attributes.
        num_nodes: of all graphs.

    Raises:
        GeodlError: if it is neither, or if the nodes do not stand graph after graph.
    """
    asked, starts = "Batch.from_pyg(batch)", held.get("ptr")
    if starts is not None:
        return starts
    member = held.get("batch")
    if not isinstance(member, Tensor) or member.shape != (num_nodes,) or not num_nodes:
        found = "neither ptr nor batch, which says where each graph begins"
        raise GeodlError(asked, found, "use Graph.from_pyg(data) for one graph")
    if bool((member.diff() < 0).any()) or int(member[0]) < 0:
        raise GeodlError(asked, "nodes that do not stand graph after graph", "sort them by batch")
    return torch.nn.functional.pad(torch.bincount(member).cumsum(0), (1, 0))


def _transposed_csr(data: Any) -> tuple[Tensor, Tensor | None]:
    """Edges and weights of a sparse matrix with receivers in rows, in the order of its entries,
    which is the order of all other edge attributes of the data.
    """
    asked, adj_t = _from_pyg(data), data.get("adj_t")
    if adj_t is None:
        do = "build them, as T.KNNGraph() does, or use Complete(n) for a set of points"
        raise GeodlError(asked, "neither edge_index nor adj_t: no edges", do)
    if not isinstance(adj_t, Tensor) or adj_t.layout != torch.sparse_csr or adj_t.dim() != 2:
        found = f"adj_t, a {type(adj_t).__name__}, in place of edge_index"
        do = "use T.ToSparseTensor(remove_edge_index=False), or a CSR tensor [N, N]"
        raise GeodlError(asked, found, do)
    if adj_t.shape[0] != adj_t.shape[1]:
        found = f"adj_t of shape {list(adj_t.shape)}"
        raise GeodlError(
            asked, found, "give a square one: receivers and senders are the same nodes"
        )
    dst = torch.repeat_interleave(adj_t.crow_indices().diff())
    return torch.stack((adj_t.col_indices(), dst)), _unless_ones(adj_t.values())


def to_pyg(parts: GraphParts) -> Any:
    """A PyG `Data` that holds the same tensors."""
    from torch_geometric.data import Data

    data = Data(edge_index=parts.edge_index, num_nodes=parts.num_nodes)
    for name in ("edge_weight", "edge_attr", "edge_type"):
        value = getattr(parts, name)
        if value is not None:
            data[name] = value
    return data


def to_pyg_batch(graphs: Sequence[Any]) -> Any:
    """A PyG `Batch` of several `Data`; weights are 1 where some have none.

    Raises:
        GeodlError: if some lack edge_attr or edge_type that others have, or if values differ in
            shape or dtype.
    """
    from torch_geometric.data import Batch

    weights = [data.get("edge_weight") for data in graphs]
    given = next((weight for weight in weights if weight is not None), None)
    for data, weight in zip(graphs, weights, strict=True):
        if weight is None and given is not None:
            data.edge_weight = given.new_ones(data.edge_index.shape[1])
    for name in ("edge_attr", "edge_type"):
        # PyG merges what its first graph has, and drops all else.
        check_stackable("a Batch to PyG", "member", name, [data.get(name) for data in graphs])
    return Batch.from_data_list(list(graphs))


def _unless_ones(weight: Any) -> Any:
    """Weights, None where all are 1: such a matrix says who is linked and nothing more."""
    if bool((weight == 1).all()):
        return None
    return weight


def _short(value: Any) -> str:
    """A value in few words: its repr where that is short, else its class."""
    words = repr(value)
    if len(words) <= 60 and "\n" not in words:
        return words
    return f"a {type(value).__name__}"
