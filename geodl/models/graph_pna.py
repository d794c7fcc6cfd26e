"""Principal neighborhood aggregation: several reductions, scaled by the number of neighbors."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from geodl.domain import Domain
from geodl.errors import GeodlError, is_real, nearest, positive
from geodl.layer import BatchNorm, Message, Network, Pointwise, Pool, Sequential
from geodl.layer.check import check_domain
from geodl.models.graph_parts import read_edges, reading, stack
from geodl.neighborhood import adjacency

LINKS = adjacency(weights=False)
REDUCTIONS = ("mean", "min", "max", "std")
SCALERS = ("identity", "amplification", "attenuation")


def mean_log_degree(*domains: Domain) -> float:
    """The mean of `log(d + 1)` over the nodes of some graphs, d the links into a node: what
    :func:`pna` divides by.

    Raises:
        GeodlError: if one of them is no domain, or if none has a link.

    >>> import geodl as g
    >>> round(mean_log_degree(g.Graph([[0, 1], [1, 0]], 2)), 4)
    0.6931
    """
    total, count = 0.0, 0
    for domain in domains:
        check_domain("mean_log_degree(*domains)", domain)
        degree = torch.bincount(domain.links().dst, minlength=domain.num_nodes)
        total += float((degree + 1).double().log().sum())
        count += domain.num_nodes
    if not total:
        raise GeodlError("mean_log_degree(*domains)", "no links", "give graphs with links")
    return total / count


class OneForEach(nn.Module):
    """A one for each node: `[B, N, C]` to `[B, N, 1]`."""

    def forward(self, x: Tensor) -> Tensor:
        """Ones, whatever the values."""
        return torch.ones_like(x[..., :1])


class TowerMessage(nn.Module):
    """The message of PNA: in each tower a network of `(x_i, x_j)`, or of `(x_i, x_j, E e_ij)`.

    Args:
        networks: one for each tower, from 2 F or 3 F channels to F.
        channels: C of the nodes.
        divided: whether each tower reads its own F = C / towers channels, or all F = C of them.
        edges: E, a linear layer to F channels; None where no edges are read.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        channels: int,
        *,
        divided: bool = False,
        edges: nn.Linear | None = None,
    ):
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.divided, self.edges = divided, edges
        self.channels = channels

    def forward(self, x_i: Tensor, x_j: Tensor, e_ij: Tensor | None) -> Tensor:
        """`[B, E, towers F]`."""
        edge = []
        if self.edges is not None:
            edge = [self.edges(read_edges("a message of PNA", e_ij, self.edges.in_features))]
        count = len(self.networks)
        ends = zip(shares(x_i, count, self.divided), shares(x_j, count, self.divided), strict=True)
        sent = []
        for net, (own, other) in zip(self.networks, ends, strict=True):
            sent.append(net(torch.cat((own, other, *edge), -1)))
        return torch.cat(sent, -1)


class TowerUpdate(nn.Module):
    """The update of PNA: in each tower the reductions, scaled by degree in several ways, and the
    node itself, through a network; then a linear layer of all towers.

    It reads `[x, reductions, degree]`, the reductions one after another, each of all towers.

    Args:
        networks: one for each tower.
        last: the linear layer.
        scalers: of "identity", "amplification" `log(d + 1) / m`, "attenuation" `m / log(d + 1)`,
            "linear" `d / a`, "inverse_linear" `a / d`; degrees below 1 count as 1 where they
            divide.
        mean_log: m, the mean of `log(d + 1)`; `[1]`, a buffer or trained.
        mean: a, the mean degree; likewise.
        channels: C of the nodes.
        reductions: how many there are.
        divided: as in :class:`TowerMessage`.
    """

    mean_log: Tensor
    mean: Tensor

    def __init__(
        self,
        networks: Sequence[nn.Module],
        last: nn.Module,
        *,
        scalers: Sequence[str],
        mean_log: Tensor,
        mean: Tensor,
        channels: int,
        reductions: int,
        divided: bool = False,
    ):
        super().__init__()
        self.networks, self.last = nn.ModuleList(networks), last
        self.scalers, self.divided = tuple(scalers), divided
        self.channels, self.reductions = channels, reductions
        for name, value in (("mean_log", mean_log), ("mean", mean)):
            if isinstance(value, nn.Parameter):
                self.register_parameter(name, value)
            else:
                self.register_buffer(name, value)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, N, C_out]`."""
        own, received, degree = x.tensor_split((self.channels, x.shape[-1] - 1), -1)
        count = len(self.networks)
        # [B, N, reductions, towers, F] with towers first: each reads its own reductions.
        by_tower = received.unflatten(-1, (self.reductions, count, -1)).transpose(-2, -3)
        scaled = [by_tower.flatten(-2) * self._scale(name, degree) for name in self.scalers]
        together = torch.cat(scaled, -1)
        answers = []
        for t, (net, part) in enumerate(
            zip(self.networks, shares(own, count, self.divided), strict=True)
        ):
            answers.append(net(torch.cat((part, together[..., t, :]), -1)))
        return self.last(torch.cat(answers, -1))

    def _scale(self, name: str, degree: Tensor) -> Tensor:
        """What a scaler multiplies by: `[B, N, 1, 1]`."""
        d = degree[..., None]
        # A node without neighbors received zeros: any number may scale them, but 1 / 0.
        some = d.clamp(min=1)
        if name == "amplification":
            return torch.log(d + 1) / self.mean_log
        if name == "attenuation":
            return self.mean_log / torch.log(some + 1)
        if name == "linear":
            return d / self.mean
        if name == "inverse_linear":
            return self.mean / some
        return torch.ones_like(d)


def shares(x: Tensor, count: int, divided: bool) -> list[Tensor]:
    """What each tower reads: its own share of the channels, or all of them."""
    if divided:
        return list(x.chunk(count, -1))
    return [x] * count


def tower_network(message: TowerMessage, update: TowerUpdate, reductions: Sequence[str]) -> Network:
    """A layer of PNA out of its parts: messages and degrees arrive, the update reads both."""
    arrived = reading(Message(message, LINKS, tuple(reductions)), message.channels)
    degree = Sequential(Pointwise(OneForEach()), Pool(LINKS, "sum"))
    nodes = {
        "received": (arrived, "x"),
        "degree": (degree, "x"),
        "all": ("cat", "x", "received", "degree"),
        "out": (Pointwise(update), "all"),
    }
    return Network("x", nodes)


def pna_layer(
    channels_in: int,
    channels_out: int,
    *,
    mean_log_degree: float,
    reductions: Sequence[str] = REDUCTIONS,
    scalers: Sequence[str] = SCALERS,
    edge_channels: int | None = None,
) -> Network:
    """A layer of PNA: `y_i = V U(x_i, concat over scalers s and reductions r of s(d_i) r over edges
    (j -> i) of M(x_i, x_j, E e_ij))`, all linear, d_i the links into i.

    Args:
        channels_in: C_in.
        channels_out: C_out.
        mean_log_degree: the mean of `log(d + 1)` over the nodes of the training graphs.
        reductions: those of :class:`geodl.Message`.
        scalers: of "identity", "amplification", "attenuation".
        edge_channels: C_e of the signal's `edges`; None where none are read.

    Raises:
        GeodlError: if the mean is no positive number, or if a scaler or a reduction is unknown.

    >>> import torch, geodl as g
    >>> s = g.Signal(torch.zeros(1, 2, 3), g.Graph([[0, 1], [1, 0]]))
    >>> pna_layer(3, 8, mean_log_degree=0.7)(s).x.shape
    torch.Size([1, 2, 8])
    """
    asked = f"pna_layer({channels_in!r}, {channels_out!r})"
    c, out = positive(asked, channels_in), positive(asked, channels_out)
    if not (is_real(mean_log_degree) and 0 < mean_log_degree < math.inf):
        do = "give the mean of log(d + 1) over nodes: models.mean_log_degree(*graphs)"
        raise GeodlError(f"{asked} with mean_log_degree={mean_log_degree!r}", do=do)
    unknown = [name for name in scalers if name not in SCALERS]
    if unknown or not scalers:
        do = nearest(str(*unknown[:1]), SCALERS)
        raise GeodlError(f"{asked} with scalers={tuple(scalers)!r}", do=do)
    edges, ends = None, 2
    if edge_channels is not None:
        edges, ends = nn.Linear(positive(asked, edge_channels), c), 3
    message = TowerMessage([nn.Sequential(nn.Linear(ends * c, c))], c, edges=edges)
    update = TowerUpdate(
        [nn.Sequential(nn.Linear((len(reductions) * len(scalers) + 1) * c, out))],
        nn.Linear(out, out),
        scalers=scalers,
        mean_log=torch.tensor([float(mean_log_degree)]),
        mean=torch.ones(1),
        channels=c,
        reductions=len(reductions),
    )
    return tower_network(message, update, reductions)


def pna(
    *channels: int,
    mean_log_degree: float,
    reductions: Sequence[str] = REDUCTIONS,
    scalers: Sequence[str] = SCALERS,
    edge_channels: int | None = None,
    dropout: float = 0.0,
) -> Sequential:
    """The network of Corso et al., "Principal Neighbourhood Aggregation for Graph Nets" (2020):
    `[B, N, C_0]` to `[B, N, C_k]` on a graph.

    Rows of :func:`pna_layer`, with batch norm and ReLU between them.

    Args:
        channels: channels C_0 of the input, of each hidden layer, and C_k of the output.
        mean_log_degree: the mean of `log(d + 1)` over the nodes of the training graphs.
        reductions: those of :class:`geodl.Message`.
        scalers: of "identity", "amplification", "attenuation".
        edge_channels: C_e of the signal's `edges`; None where none are read.
        dropout: probability of dropout before every layer.

    Raises:
        GeodlError: if there are fewer than two numbers of channels, or if one is not a positive
            integer;
            as :func:`pna_layer`.

    >>> import torch, geodl as g
    >>> s = g.Signal(torch.randn(1, 2, 3), g.Graph([[0, 1], [1, 0]]))
    >>> pna(3, 8, 2, mean_log_degree=mean_log_degree(s.domain))(s).x.shape
    torch.Size([1, 2, 2])
    """
    options: dict[str, Any] = {"mean_log_degree": mean_log_degree, "edge_channels": edge_channels}

    def make(before: int, after: int, last: bool) -> list[nn.Module]:
        layer = pna_layer(before, after, reductions=reductions, scalers=scalers, **options)
        if last:
            return [layer]
        return [layer, BatchNorm(after)]

    return stack("pna", channels, make, dropout=dropout)
