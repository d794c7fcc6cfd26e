"""Graph networks whose layers are convolutions and propagations: sums over neighbors, one weight
for each type of edge.
"""

import math
from typing import Any

from torch import nn

from geodl.errors import GeodlError, is_real, nearest, positive
from geodl.layer import (
    Concat,
    Conv,
    Dropout,
    Layer,
    Network,
    Pointwise,
    Pool,
    Propagate,
    Residual,
    Sequential,
)
from geodl.models.basic import mlp
from geodl.models.graph_parts import (
    Mix,
    Shifted,
    check_share,
    convolutions,
    draw_as_linear,
    draw_by_glorot,
    stack,
)
from geodl.neighborhood import adjacency, itself, laplacian, polynomial

AGGREGATIONS = ("mean", "max", "sum")
ROOTS = ("add", "concat")
GCN = adjacency("sym", self_loops=True)


def chebnet(*channels: int, order: int = 2, dropout: float = 0.5) -> Sequential:
    """The Chebyshev network of Defferrard, Bresson and Vandergheynst, "Convolutional Neural
    Networks on Graphs with Fast Localized Spectral Filtering" (2016): `[B, N, C_0]` to
    `[B, N, C_k]` on a graph.

    Each layer is `Y = sum_k T_k(L - I) X W_k + b`, L the normalised Laplacian, with ReLU between
    the layers.

    Args:
        channels: channels C_0 of the input, of each hidden layer, and C_k of the output.
        order: the largest k; a layer reads nodes up to so many links away. PyG's `ChebConv(K)` is
            the order K - 1.
        dropout: probability of dropout before every layer.

    Raises:
        GeodlError: if there are fewer than two numbers of channels, or if one is not a positive
            integer; if the order is negative.

    >>> import torch, geodl as g
    >>> chebnet(3, 16, 2)(g.Signal(torch.zeros(1, 2, 3), g.Graph([[0, 1], [1, 0]]))).x.shape
    torch.Size([1, 2, 2])
    """
    return convolutions("chebnet", polynomial(laplacian("sym"), order), channels, dropout)


def sage_layer(
    channels_in: int,
    channels_out: int,
    *,
    aggregation: str = "mean",
    root: str = "add",
    project: bool = False,
) -> Layer:
    """A layer of GraphSAGE: `y_i = W x_i + V reduce over edges (j -> i) of x_j + b`.

    The sum is Algorithm 1 of the paper, whose `W concat(x_i, reduce)` is the sum of two products;
    "concat" puts the two products side by side, each with half the channels, as the authors' code
    does. Weights of links are not read.

    Args:
        channels_in: C_in.
        channels_out: C_out; even with "concat".
        aggregation: "mean", "max" or "sum".
        root: "add" or "concat", how x_i itself joins.
        project: reduce `ReLU(P x_j + p)`, as the paper's pooling does, and not x_j.

    Raises:
        GeodlError: if the aggregation or the root is unknown, or if C_out is odd for two halves.

    >>> sage_layer(3, 8, aggregation="max", project=True).inner[0]
    Conv(3, 3, itself())
    """
    asked = f"sage_layer({channels_in!r}, {channels_out!r})"
    if aggregation not in AGGREGATIONS:
        do = nearest(str(aggregation), AGGREGATIONS)
        raise GeodlError(f"graph_sage(aggregation={aggregation!r})", do=do)
    if root not in ROOTS:
        raise GeodlError(f"graph_sage(root={root!r})", do=nearest(str(root), ROOTS))
    width = positive(asked, channels_out)
    if root == "concat":
        width, rest = divmod(width, 2)
        if rest or not width:
            found = f"{channels_out} channels for two halves"
            raise GeodlError(f"{asked} with root='concat'", found, "give an even number, or 'add'")
    received = _received(channels_in, width, aggregation, project)
    own = draw_as_linear(Conv(channels_in, width, itself(), bias=root == "concat"))
    if root == "concat":
        return Concat(own, Sequential(*received))
    return Residual(*received, shortcut=own)


def _received(channels: int, width: int, aggregation: str, project: bool) -> list[nn.Module]:
    """What a node of GraphSAGE receives, in `width` channels."""
    layers: list[nn.Module] = []
    if project:
        layers += [Conv(channels, channels, itself()), nn.ReLU()]
    if aggregation == "max":
        # A maximum does not commute with the weights: it comes before them.
        layers += [Pool(adjacency(weights=False), "max"), Conv(channels, width, itself())]
        return layers
    norm = None
    if aggregation == "mean":
        norm = "row"
    convolution = Conv(channels, width, adjacency(norm, weights=False))
    return [*layers, draw_as_linear(convolution)]


def graph_sage(
    *channels: int,
    aggregation: str = "mean",
    root: str = "add",
    project: bool = False,
    dropout: float = 0.5,
) -> Sequential:
    """GraphSAGE, the network of Hamilton, Ying and Leskovec, "Inductive Representation Learning on
    Large Graphs" (2017): `[B, N, C_0]` to `[B, N, C_k]` on a graph.

    Rows of :func:`sage_layer` with ReLU between them.

    Args:
        channels: channels C_0 of the input, of each hidden layer, and C_k of the output.
        aggregation: "mean", "max" or "sum" over the neighbors.
        root: "add" or "concat", how a node itself joins.
        project: a linear layer and ReLU on what is sent.
        dropout: probability of dropout before every layer.

    Raises:
        GeodlError: if there are fewer than two numbers of channels, or if one is not a positive
            integer; as :func:`sage_layer`.

    >>> import torch, geodl as g
    >>> graph = g.Graph([[0, 1], [1, 0]])
    >>> graph_sage(3, 16, 2)(g.Signal(torch.zeros(1, 2, 3), graph)).x.shape
    torch.Size([1, 2, 2])
    """

    def make(before: int, after: int, last: bool) -> list[nn.Module]:
        layer = sage_layer(before, after, aggregation=aggregation, root=root, project=project)
        return [layer]

    return stack("graph_sage", channels, make, dropout=dropout)


def sgc(channels_in: int, channels_out: int, *, hops: int = 2) -> Sequential:
    """The simplified graph convolution of Wu et al., "Simplifying Graph Convolutional Networks"
    (2019): `Y = S^K X W + b`, S as in :func:`gcn`.

    The weights come first, which is the same product and works on fewer channels.

    Args:
        channels_in: C_in.
        channels_out: C_out.
        hops: K.

    Raises:
        GeodlError: if `hops` or a number of channels is not a positive integer.

    >>> import torch, geodl as g
    >>> sgc(3, 2)(g.Signal(torch.zeros(1, 2, 3), g.Graph([[0, 1], [1, 0]]))).x.shape
    torch.Size([1, 2, 2])
    """
    hops = positive(f"sgc(hops={hops!r})", hops)
    linear = Conv(channels_in, channels_out, itself(), bias=False)
    steps = [Propagate(GCN) for _ in range(hops)]
    return Sequential(linear, *steps, Pointwise(Shifted(channels_out, channels_in)))


def appnp(*channels: int, hops: int = 10, teleport: float = 0.1, dropout: float = 0.5) -> Network:
    """The network of Gasteiger, Bojchevski and Guennemann, "Predict then Propagate: Graph Neural
    Networks meet Personalized PageRank" (2019): `[B, N, C_0]` to `[B, N, C_k]` on a graph.

    An :func:`mlp` predicts H at each node alone, then `Z <- (1 - a) S Z + a H` K times from Z = H,
    S as in :func:`gcn`.

    Args:
        channels: channels C_0 of the input, of each hidden layer, and C_k of the output.
        hops: K.
        teleport: a, the probability to start again.
        dropout: probability of dropout before every linear layer.

    Raises:
        GeodlError: if there are fewer than two numbers of channels, or if one is not a positive
            integer;
            if `hops` is no positive integer, or `teleport` not in [0, 1].

    >>> import torch, geodl as g
    >>> appnp(3, 16, 2)(g.Signal(torch.zeros(1, 2, 3), g.Graph([[0, 1], [1, 0]]))).x.shape
    torch.Size([1, 2, 2])
    """
    hops = positive(f"appnp(hops={hops!r})", hops)
    check_share("appnp", "teleport", teleport)
    nodes: dict[str, tuple[Any, ...]] = {"predict": (mlp(*channels, dropout=dropout), "x")}
    # Neither has parameters: one of each serves for all hops.
    step, mix = Propagate(GCN), Mix(teleport)
    last = "predict"
    for hop in range(1, hops + 1):
        nodes[f"step{hop}"] = (step, last)
        last = f"hop{hop}"
        nodes[last] = (mix, f"step{hop}", "predict")
    return Network("x", nodes)


def gcnii_layer(channels: int, *, alpha: float = 0.1, beta: float = 1.0) -> Network:
    """A layer of GCNII, called with the signal and the first one: `y = (1 - b) m + b m W` with
    `m = (1 - a) S x + a x_0`, S as in :func:`gcn`.

    Args:
        channels: C.
        alpha: a, the share of the first signal.
        beta: b, the share of the weights.

    Raises:
        GeodlError: if a share is not in [0, 1].

    >>> import torch, geodl as g
    >>> s = g.Signal(torch.zeros(1, 2, 3), g.Graph([[0, 1], [1, 0]]))
    >>> gcnii_layer(3)(s, s).x.shape
    torch.Size([1, 2, 3])
    """
    weigh = nn.Linear(channels, channels, bias=False)
    draw_by_glorot(weigh.weight)
    nodes = {
        "received": (Propagate(GCN), "x"),
        "kept": (Mix(alpha), "received", "first"),
        "weighed": (weigh, "kept"),
        "out": (Mix(beta), "kept", "weighed"),
    }
    return Network(("x", "first"), nodes)


def gcnii(
    channels_in: int,
    hidden: int,
    channels_out: int,
    *,
    depth: int = 64,
    alpha: float = 0.1,
    theta: float = 0.5,
    dropout: float = 0.6,
) -> Network:
    """The deep network of Chen et al., "Simple and Deep Graph Convolutional Networks" (2020):
    `[B, N, C_in]` to `[B, N, C_out]` on a graph.

    A linear layer, `depth` times :func:`gcnii_layer`, a linear layer, with ReLU between them. The
    share of the weights of layer l is `log(theta / l + 1)`.

    Args:
        channels_in: C_in.
        hidden: channels of every layer.
        channels_out: C_out.
        depth: number of layers; 64 in the paper for Cora, 32 with theta=0.6 for CiteSeer.
        alpha: share of the first hidden signal in every layer.
        theta: in (0, e - 1]; the larger, the more do weights count in deep layers.
        dropout: probability of dropout before every layer.

    Raises:
        GeodlError: if `depth` or a number of channels is not a positive integer, if `alpha` is not
            in [0, 1], or `theta` not in (0, e - 1].

    >>> import torch, geodl as g
    >>> net = gcnii(3, 16, 2, depth=4)
    >>> net(g.Signal(torch.zeros(1, 2, 3), g.Graph([[0, 1], [1, 0]]))).x.shape
    torch.Size([1, 2, 2])
    """
    depth = positive(f"gcnii(depth={depth!r})", depth)
    if not (is_real(theta) and 0 < theta <= math.e - 1):
        do = "give a number above 0, so that log(theta + 1) is at most 1"
        raise GeodlError(f"gcnii(theta={theta!r})", do=do)
    first = Sequential(Dropout(dropout), Conv(channels_in, hidden, itself()), nn.ReLU())
    nodes: dict[str, tuple[Any, ...]] = {"first": (first, "x")}
    last = "first"
    for k in range(1, depth + 1):
        layer = gcnii_layer(hidden, alpha=alpha, beta=math.log(theta / k + 1))
        nodes[f"drop{k}"] = (Dropout(dropout), last)
        nodes[f"layer{k}"] = (layer, f"drop{k}", "first")
        last = f"relu{k}"
        nodes[last] = (nn.ReLU(), f"layer{k}")
    nodes["last"] = (Sequential(Dropout(dropout), Conv(hidden, channels_out, itself())), last)
    return Network("x", nodes)
