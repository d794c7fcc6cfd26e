"""Graph networks that pool: by scores, down and up again; by given clusters."""

from typing import Any

import torch
from torch import Tensor, nn

from geodl.domain import Batch, Domain, Graph
from geodl.domain.check import as_tensor
from geodl.errors import GeodlError, nearest, positive
from geodl.group import cached_constants
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

    Raises:
        GeodlError: at the call, if the pooling or a layer refuses it, or if the answer has another
            domain or other channels.
    """

    def __init__(self, pool: TopK, inner: Layer):
        super().__init__()
        self.pool, self.inner = pool, inner
        # Its rule comes with each call: the reverse of what the pooling chose.
        self.spread = Pool(whole().reverse(), "sum")

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The signal with the answer of the inner layers added."""
        check_no_sender(self, sender)
        kept, chosen = self.pool.select(receiver)
        back = self.spread(receiver, self.inner(kept), rule=chosen.reverse())
        return receiver + back


def graph_unet(
    channels_in: int, hidden: int, channels_out: int, *, depth: int = 3, ratio: float | int = 0.5
) -> Sequential:
    """The graph U-Net of Gao and Ji, "Graph U-Nets" (2019): `[1, N, C_in]` to `[1, N, C_out]` on a
    graph.

    A graph convolution at each level, a :class:`geodl.TopK` before the next one, and back up along
    the same nodes, with sums for shortcuts. (The paper links nodes two hops apart before it pools:
    here links stay as they are.)

    Args:
        channels_in: C_in.
        hidden: channels at every level.
        channels_out: C_out.
        depth: how many times it pools.
        ratio: which share of the nodes stays each time, or how many.

    >>> import torch, geodl as g
    >>> graph = g.Graph([[0, 1, 2, 3], [1, 2, 3, 0]])
    >>> graph_unet(3, 8, 2, depth=2)(g.Signal(torch.randn(1, 4, 3), graph)).x.shape
    torch.Size([1, 4, 2])
    """
    depth = positive(f"graph_unet(depth={depth!r})", depth)
    # From the innermost level outwards.
    inner = Sequential(Conv(hidden, hidden, GCN), nn.ReLU())
    for _ in range(depth - 1):
        pooled = Unpooled(TopK(hidden, ratio), inner)
        down, up = Conv(hidden, hidden, GCN), Conv(hidden, hidden, GCN)
        inner = Sequential(down, nn.ReLU(), pooled, up, nn.ReLU())
    pooled = Unpooled(TopK(hidden, ratio), inner)
    down, up = Conv(channels_in, hidden, GCN), Conv(hidden, channels_out, GCN)
    return Sequential(down, nn.ReLU(), pooled, up)


def cluster_pool(signal: Signal, cluster: Any, *, reduce: str = "mean") -> tuple[Signal, Relation]:
    """A signal pooled onto clusters of its nodes, and the relation from nodes to clusters.

    Two clusters are linked in each direction in which a link leads from one to the other. The way
    back is `Pool(relation.reverse(), "sum")(signal, pooled)`: each node receives from its cluster.

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
    coarse = _clusters_linked(asked, signal.domain, numbers, count)
    pooled = Pool(rule, reduce)(signal)
    return Signal(pooled.x, coarse, globals=signal.globals), rule


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


@cached_constants()
def _clusters_linked(asked: str, domain: Domain, numbers: Tensor, count: int) -> Domain:
    """The graph of the clusters; of a union a union of as many members."""
    links = domain.links()
    dst, src = numbers[links.dst.to(numbers.device)], numbers[links.src.to(numbers.device)]
    between = dst != src
    pairs = torch.unique(src[between] * count + dst[between])
    graph = Graph(torch.stack((pairs // count, pairs % count)), count)
    if not domain.is_union:
        return graph
    member = domain.member_of().to(numbers.device)
    lowest = member.new_full((count,), domain.num_members)
    lowest = lowest.scatter_reduce(0, numbers, member, "amin")
    highest = member.new_zeros(count).scatter_reduce(0, numbers, member, "amax")
    if not torch.equal(lowest, highest) or (lowest.diff() < 0).any():
        found = "clusters that do not stand member after member"
        raise GeodlError(asked, found, "number those of the first member first, of the next then")
    counts = torch.bincount(lowest, minlength=domain.num_members)
    starts = torch.cat((counts.new_zeros(1), counts.cumsum(0)))
    return Batch.from_union(graph, starts)
