"""Graph networks that pool: by scores, down and up again; by given clusters."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from geodl.constants import cached_constants
from geodl.domain import Batch, Complete, Domain, Graph, memo
from geodl.domain.check import as_tensor
from geodl.errors import GeodlError, nearest, positive
from geodl.layer import Conv, Layer, Pool, Sequential, TopK
from geodl.layer.check import check_no_sender
from geodl.neighborhood import adjacency, relation, whole
from geodl.neighborhood.relation import Relation
from geodl.signal import Signal
from geodl.signal.check import describe

REDUCTIONS = ("mean", "max", "min", "sum")
GCN = adjacency("sym", self_loops=True)


class Unpooled(Layer):
    """`y = x + up(inner(pool(x)))`: layers on the nodes that a pooling keeps, whose answer is added
    where they came from; the other nodes keep what they have.

    Args:
        pool: chooses the nodes.
        inner: layers on them, that keep domain and channels.
        two_hops: whether nodes that stay are linked over two links as well (:func:`two_hop_links`),
            so that fewer of them stand alone.

    Raises:
        GeodlError: at the call, if the pooling or a layer refuses it, or if the answer has another
            domain or other channels.
    """

    def __init__(self, pool: TopK, inner: Layer, *, two_hops: bool = False):
        super().__init__()
        self.pool, self.inner, self.two_hops = pool, inner, two_hops
        # Its rule comes with each call: the reverse of what the pooling chose.
        self.spread = Pool(whole().reverse(), "sum")

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The signal with the answer of the inner layers added."""
        check_no_sender(self, sender)
        linked = receiver
        if self.two_hops and isinstance(receiver, Signal):
            # The new links have no state.
            domain = two_hop_links(receiver.domain)
            linked = Signal(receiver.x, domain, globals=receiver.globals)
        kept, chosen = self.pool.select(linked)
        back = self.spread(receiver, self.inner(kept), rule=chosen.reverse())
        return receiver + back

    def extra_repr(self) -> str:
        return f"two_hops={self.two_hops}"


def two_hop_links(domain: Domain) -> Domain:
    """The domain whose nodes are linked over one link or two: the weights are the entries of
    `(A + I)^2` off the diagonal, `2 a_ij + sum_k a_ik a_kj` where no node has a self-loop.

    (Gao and Ji 2019, section 3.4; PyG's `GraphUNet.augment_adj`.) Found once for a graph, and at
    each call where weights come with it.

    Args:
        domain: any; each member of a Batch stays by itself.

    Raises:
        GeodlError: if weights come with the call in several rows.

    >>> two_hop_links(Graph([[0, 1], [1, 2]])).edge_index.tolist()
    [[0, 0, 1], [1, 2, 2]]
    """
    if domain.runtime_weight is not None:
        return _two_hop_links(domain)
    with cached_constants():
        return memo(domain, "links of two hops", lambda: _two_hop_links(domain))


def _two_hop_links(domain: Domain) -> Domain:
    edges, n = adjacency(self_loops=True).edges(domain), domain.num_nodes
    weight = edges.weight
    if weight is None:
        weight = torch.ones(len(edges.dst), dtype=torch.float64, device=edges.dst.device)
    if weight.dim() == 2:
        if len(weight) != 1:
            found = f"{len(weight)} rows of weights, each with other links"
            raise GeodlError(f"links of two hops on {domain}", found, "give one row of weights")
        (weight,) = weight
    ends = torch.stack((edges.src, edges.dst))
    one_hop = torch.sparse_coo_tensor(ends, weight, (n, n), check_invariants=False)
    square = torch.sparse.mm(one_hop, one_hop).coalesce()
    index, weight = square.indices(), square.values()
    apart = index[0] != index[1]
    graph = _weighted(index[:, apart], n, weight[apart], domain.runtime_weight is not None)
    if not domain.is_union:
        return graph
    sizes = torch.tensor(domain.sizes, device=index.device)
    return Batch.from_union(graph, torch.nn.functional.pad(sizes.cumsum(0), (1, 0)))


def _weighted(index: Tensor, count: int, weight: Tensor, by_call: bool) -> Graph:
    """A graph with weights, which come with the call or belong to it."""
    if by_call:
        return Graph(index, count).with_weights(weight)
    return Graph(index, count, edge_weight=weight.detach())


def graph_unet(
    channels_in: int,
    hidden: int,
    channels_out: int,
    *,
    depth: int = 3,
    ratio: float | int = 0.5,
    two_hops: bool = True,
) -> Sequential:
    """The graph U-Net of Gao and Ji, "Graph U-Nets" (2019): `[1, N, C_in]` to `[1, N, C_out]` on a
    graph.

    A graph convolution at each level, a :class:`geodl.TopK` before the next one, and back up along
    the same nodes, with sums for shortcuts.

    Args:
        channels_in: C_in.
        hidden: channels at every level.
        channels_out: C_out.
        depth: how many times it pools.
        ratio: which share of the nodes stays each time, or how many.
        two_hops: link nodes over two links as well before each pooling, as the paper does (its
            section 3.4), up to the square of a node's links; False keeps the links between the
            nodes that stay, and no others.

    Raises:
        GeodlError: if a number is not a positive integer, or the ratio none of :class:`geodl.TopK`;
            at the call, as :class:`geodl.TopK`.

    >>> import torch, geodl as g
    >>> graph = g.Graph([[0, 1, 2, 3], [1, 2, 3, 0]])
    >>> graph_unet(3, 8, 2, depth=2)(g.Signal(torch.randn(1, 4, 3), graph)).x.shape
    torch.Size([1, 4, 2])
    """
    depth = positive(f"graph_unet(depth={depth!r})", depth)
    if not isinstance(two_hops, bool):
        raise GeodlError(f"graph_unet(two_hops={two_hops!r})", do="give True or False")
    # From the innermost level outwards.
    inner = Sequential(Conv(hidden, hidden, GCN), nn.ReLU())
    for _ in range(depth - 1):
        pooled = Unpooled(TopK(hidden, ratio), inner, two_hops=two_hops)
        down, up = Conv(hidden, hidden, GCN), Conv(hidden, hidden, GCN)
        inner = Sequential(down, nn.ReLU(), pooled, up, nn.ReLU())
    pooled = Unpooled(TopK(hidden, ratio), inner, two_hops=two_hops)
    down, up = Conv(channels_in, hidden, GCN), Conv(hidden, channels_out, GCN)
    return Sequential(down, nn.ReLU(), pooled, up)


def cluster_pool(signal: Signal, cluster: Any, *, reduce: str = "mean") -> tuple[Signal, Relation]:
    """A signal pooled onto clusters of its nodes, and the relation from nodes to clusters.

    Two clusters are linked once in each direction in which links lead from one to the other (and
    once for each type of these). The weight of the link is the sum of theirs, so that the weights
    are `P' A P` off the diagonal, P the membership `[N, K]`; its state is theirs, reduced as the
    nodes are. The way back is `Pool(relation.reverse(), "sum")(signal, pooled)`: each node receives
    from its cluster.

    Args:
        signal: `[B, N, C]` on any domain.
        cluster: `[N]` numbers from 0, each used; on a Batch member after member, no cluster in two
            of them.
        reduce: "mean", "max", "min" or "sum" over the nodes of a cluster.

    Returns:
        The signal `[B, K, C]` on a Graph, or a Batch, of the clusters; and the relation.

    Raises:
        GeodlError: if the reduction is unknown, if the numbers are not `[N]`, are negative or leave
            one out, or if a cluster stands in two members.

    >>> from geodl.domain import Chain
    >>> s = Signal(torch.tensor([[[1.0], [3.0], [8.0]]]), Chain(3))
    >>> pooled, rule = cluster_pool(s, [0, 0, 1])
    >>> pooled.x.flatten().tolist(), pooled.domain
    ([2.0, 8.0], Graph(2 nodes, 1 edges))
    >>> Pool(rule.reverse(), "sum")(s, pooled).x.flatten().tolist()
    [2.0, 2.0, 8.0]
    """
    if reduce not in REDUCTIONS:
        raise GeodlError(f"cluster_pool(reduce={reduce!r})", do=nearest(str(reduce), REDUCTIONS))
    asked = "cluster_pool(signal, cluster)"
    if not isinstance(signal, Signal):
        raise GeodlError(asked, describe(signal), "give a Signal")
    numbers = _cluster_numbers(asked, cluster, signal)
    count = int(numbers.max()) + 1
    nodes = torch.arange(len(numbers), device=numbers.device)
    rule = relation(torch.stack((nodes, numbers)), senders=len(numbers), receivers=count)
    links = _cluster_links(signal.domain, numbers, count)
    domain = _linked_clusters(asked, signal.domain, links, numbers, count)
    pooled = Pool(rule, reduce)(signal)
    edges = signal.edges
    if edges is not None:
        edges = _reduced(links, edges, reduce)
    return Signal(pooled.x, domain, edges, signal.globals), rule


def _cluster_numbers(asked: str, cluster: Any, signal: Signal) -> Tensor:
    """The cluster of each node, once every number from 0 is used."""
    n = signal.domain.num_nodes
    numbers = as_tensor(asked, "cluster", cluster, signal.device)
    do = f"give a number from 0 for each of the {n} nodes"
    integral = not numbers.is_floating_point() and numbers.dtype != torch.bool
    if numbers.shape != (n,) or not integral or numbers.is_complex():
        found = f"{numbers.dtype} of shape {list(numbers.shape)}"
        raise GeodlError(asked, found, do)
    if int(numbers.min()) < 0:
        raise GeodlError(asked, f"the number {int(numbers.min())}", do)
    used = torch.bincount(numbers)
    if not used.all():
        found = f"no node in cluster {int(used.argmin())}"
        raise GeodlError(asked, found, "number the clusters without gaps")
    return numbers.long()


class ClusterLinks(NamedTuple):
    """The links between clusters, and those that each stands for.

    Attributes:
        edge_index: `[2, L']`; row 0 sends, row 1 receives.
        type: `[L']` their types; None where the links have none.
        between: `[M]` the numbers of the links that lead from one cluster to another.
        place: `[M]` which of the L' each of these became part of.
    """

    edge_index: Tensor
    type: Tensor | None
    between: Tensor
    place: Tensor


@cached_constants()
def _cluster_links(domain: Domain, numbers: Tensor, count: int) -> ClusterLinks:
    """The links of a domain as links between the clusters of its nodes."""
    links = domain.links()
    dst, src = numbers[links.dst.to(numbers.device)], numbers[links.src.to(numbers.device)]
    between = (dst != src).nonzero()[:, 0]
    columns = [src[between], dst[between]]
    kind: Tensor | None = getattr(domain, "edge_type", None)
    if kind is not None:
        columns.append(kind[between])
    known, place = torch.stack(columns).unique(dim=1, return_inverse=True)
    if kind is not None:
        kind = known[2]
    return ClusterLinks(known[:2], kind, between, place)


def _reduced(links: ClusterLinks, state: Tensor, reduction: str) -> Tensor:
    """What links carry `[B, L, C]`, reduced to the links between clusters `[B, L', C]`."""
    index = torch.stack((torch.arange(len(links.place), device=state.device), links.place))
    senders, receivers = len(links.place), links.edge_index.shape[1]
    carried = state[:, links.between]
    if not senders:
        return carried
    rule = relation(index, senders=senders, receivers=receivers)
    return Pool(rule, reduction)(Signal(carried, Complete(senders))).x


def _linked_clusters(
    asked: str, domain: Domain, links: ClusterLinks, numbers: Tensor, count: int
) -> Domain:
    """The graph of the clusters; of a union a union of as many members."""
    weight = domain.links().weight
    graph = Graph(links.edge_index, count, edge_type=links.type)
    if weight is not None:
        rows = _reduced(links, weight.reshape(-1, domain.num_links, 1), "sum")
        summed = rows[..., 0].reshape(*weight.shape[:-1], -1)
        if domain.runtime_weight is None:
            graph = Graph(links.edge_index, count, edge_weight=summed, edge_type=links.type)
        else:
            graph = graph.with_weights(summed)
    if not domain.is_union:
        return graph
    return Batch.from_union(graph, _starts(asked, domain, numbers, count))


@cached_constants()
def _starts(asked: str, domain: Domain, numbers: Tensor, count: int) -> Tensor:
    """`[D + 1]` the first cluster of each member, and their number."""
    member = domain.member_of().to(numbers.device)
    lowest = member.new_full((count,), domain.num_members)
    lowest = lowest.scatter_reduce(0, numbers, member, "amin")
    highest = member.new_zeros(count).scatter_reduce(0, numbers, member, "amax")
    if not torch.equal(lowest, highest) or (lowest.diff() < 0).any():
        found = "clusters that do not stand member after member"
        raise GeodlError(asked, found, "number those of the first member first, of the next then")
    counts = torch.bincount(lowest, minlength=domain.num_members)
    return torch.cat((counts.new_zeros(1), counts.cumsum(0)))
