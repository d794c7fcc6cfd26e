"""Data of several kinds: a signal for each kind of nodes, a relation for each kind of edges."""

from typing import Any, NamedTuple

from torch import Tensor

from geodl.domain import Batch, Complete, Domain
from geodl.errors import GeodlError
from geodl.neighborhood.relation import Relation, relation
from geodl.signal import Signal

Kind = tuple[str, str, str]  # of edges: senders, what they do, receivers


class HeteroGraph(NamedTuple):
    """Several kinds of nodes and edges.

    Attributes:
        signals: the features of each kind of nodes, `[1, N, C]`, by its name.
        relations: the rule of each kind of edges, by (senders, name, receivers).
    """

    signals: dict[str, Signal]
    relations: dict[Kind, Relation]


def from_hetero(data: Any) -> HeteroGraph:
    """A `HeteroData` of PyG, or a batch of several: one relation for each kind of edges.

    A layer from one kind of nodes to another is called `layer(receiver, sender)`, over the relation
    of their edges. Read are `x` of each kind of nodes, and `edge_index`, `edge_weight` and
    `edge_attr` (`[E, C_e]`, the features of the relation's edges) of each kind of edges; labels and
    masks stay in the data.

    Args:
        data: with `x` of shape `[N, C]` for each kind of nodes.

    Raises:
        GeodlError: if it is no HeteroData; if a kind of nodes has no features; if a kind of edges
            has no `edge_index`, joins nodes that are not there, or has `edge_attr` of another shape
            or of integers.

    >>> import torch
    >>> from geodl import Conv
    >>> from torch_geometric.data import HeteroData
    >>> data = HeteroData()
    >>> data["user"].x, data["film"].x = torch.ones(3, 4), torch.ones(2, 5)
    >>> data["user", "rates", "film"].edge_index = torch.tensor([[0, 2], [1, 1]])
    >>> signals, relations = from_hetero(data)
    >>> rates = relations["user", "rates", "film"]
    >>> rates
    relation(3 senders, 2 receivers, 2 edges)
    >>> Conv(4, 8, rates)(signals["film"], signals["user"]).shape
    torch.Size([1, 2, 8])
    """
    from torch_geometric.data import HeteroData

    if not isinstance(data, HeteroData):
        do = "give a torch_geometric.data.HeteroData; of one kind, Signal.from_pyg(data)"
        raise GeodlError("from_hetero(data)", f"a {type(data).__name__}", do)
    signals = {kind: _signal(kind, data[kind]) for kind in data.node_types}
    if not signals:
        raise GeodlError("from_hetero(data)", "no nodes", "give data[kind].x")
    relations = {}
    for kind in data.edge_types:
        relations[kind] = _relation(kind, data[kind], signals)
    return HeteroGraph(signals, relations)


def _signal(kind: str, store: Any) -> Signal:
    """The features of one kind of nodes, in a batch on a union of its graphs."""
    asked, x, starts = f"from_hetero: the nodes {kind!r}", store.get("x"), store.get("ptr")
    if not isinstance(x, Tensor) or x.dim() != 2:
        found = f"x of type {type(x).__name__}"
        if isinstance(x, Tensor):
            found = f"x of shape {list(x.shape)}"
        do = f"give [N, C], as data[{kind!r}].x = torch.ones(N, 1)"
        raise GeodlError(asked, found, do)
    domain: Domain = Complete(len(x))
    if starts is not None:
        domain = Batch([Complete(count) for count in starts.diff().tolist()]).to(x.device)
    return Signal(x[None], domain)


def _relation(kind: Kind, store: Any, signals: dict[str, Signal]) -> Relation:
    """The edges of one kind."""
    asked, (senders, _, receivers) = f"from_hetero: the edges {kind}", kind
    index, features = store.get("edge_index"), store.get("edge_attr")
    if not isinstance(index, Tensor):
        do = "give edge_index [2, E]"
        raise GeodlError(asked, f"edge_index of type {type(index).__name__}", do)
    if features is not None and not (isinstance(features, Tensor) and features.dim() == 2):
        do = f"give [E, C], as data[{kind}].edge_attr = torch.ones(E, 1)"
        raise GeodlError(asked, f"edge_attr of type {type(features).__name__}", do)
    missing = [end for end in (senders, receivers) if end not in signals]
    if missing:
        raise GeodlError(asked, f"no nodes {missing[0]!r}", f"give data[{missing[0]!r}].x")
    count = signals[receivers].domain.num_nodes
    if senders == receivers:
        count = None
    try:
        rule = relation(
            index,
            senders=signals[senders].domain.num_nodes,
            receivers=count,
            weight=store.get("edge_weight"),
        )
        if features is None:
            return rule
        return rule.with_edges(features[None])
    except GeodlError as error:
        _, found, do = error.args
        raise GeodlError(asked, found, do) from error
