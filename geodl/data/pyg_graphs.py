"""Many graphs of PyG as one, once they are known to have the same attributes."""

import copy
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from geodl.domain import Domain
from geodl.domain.graph import EDGE_VALUES
from geodl.domain.stackable import check_stackable
from geodl.errors import GeodlError

READ = ("x", "edge_index", "adj_t", *EDGE_VALUES, "u")  # by Signal.from_pyg
# The axes of an attribute that differ from graph to graph; the only one else is that of rows.
FREE = {"edge_index": None, "adj_t": None, "u": 0}


def is_pyg_graph(value: Any) -> bool:
    """Whether it is a homogeneous graph of PyG's, asked without importing it where it is not."""
    if not hasattr(value, "edge_index") or isinstance(value, Domain):
        return False
    from torch_geometric.data import Data

    return isinstance(value, Data)


def merge_graphs(asked: str, graphs: Sequence[Any], read_targets: bool) -> Any:
    """The graphs as one `Batch` of PyG's, with the attributes that a signal reads; PyG itself
    merges what the first graph has, and drops or fails at what others have.

    Args:
        asked: the beginning of the error.
        graphs: of PyG, at least one.
        read_targets: whether their `y` is read as well.

    Raises:
        GeodlError: if some lack an attribute that others have, or have it in another shape, dtype
            or on another device; if rows are not as many as nodes or edges of their graph.
    """
    from torch_geometric.data import Batch

    names = READ
    if read_targets:
        names = *READ, "y"
    for name in names:
        values = [graph.get(name) for graph in graphs]
        if name != "y":
            _check_tensors(asked, name, values)
        check_stackable(asked, "graph", name, values, free=FREE.get(name, 1))
    for number, graph in enumerate(graphs):
        _check_rows(asked, number, graph)
    return Batch.from_data_list([_with_attributes(graph, names) for graph in graphs])


def _check_tensors(asked: str, name: str, values: Sequence[Any]) -> None:
    """Refuse what is no tensor: PyG would stack lists, and fail at what reads them."""
    for number, value in enumerate(values):
        if value is not None and not isinstance(value, Tensor):
            found = f"{name} of type {type(value).__name__} in graph {number}"
            raise GeodlError(asked, found, "give a tensor")


def _check_rows(asked: str, number: int, graph: Any) -> None:
    """Refuse rows that would be those of the next graph: in the sum over all graphs they may fit.

    Raises:
        GeodlError: if x has not a row for each node, or an attribute of edges for each edge.
    """
    x, index = graph.get("x"), graph.get("edge_index")
    if isinstance(x, Tensor) and x.dim() and len(x) != graph.num_nodes:
        found = f"x of {len(x)} rows for {graph.num_nodes} nodes in graph {number}"
        raise GeodlError(asked, found, "give a row for each node")
    if index is None or index.dim() != 2:
        return
    for name in EDGE_VALUES:
        rows = graph.get(name)
        if rows is not None and rows.dim() and len(rows) != index.shape[1]:
            found = f"{name} of {len(rows)} rows for {index.shape[1]} edges in graph {number}"
            raise GeodlError(asked, found, "give a row for each edge")


def _with_attributes(graph: Any, names: Sequence[str]) -> Any:
    """The graph with these attributes alone, the same tensors: others need not be alike."""
    kept = copy.copy(graph)
    for name in list(kept.to_dict()):
        if name != "num_nodes" and (name not in names or kept[name] is None):
            del kept[name]
    return kept
