"""How far a model sees, and how much alike its layers make neighbors."""

from typing import Any

import torch
from torch import Tensor, nn

from geodl.domain import same_place
from geodl.domain.check import can_be_read
from geodl.errors import GeodlError
from geodl.inspection.score import NodeScore, check_has_gradient, check_signal, with_gradients
from geodl.layer import evaluated, trace
from geodl.neighborhood import itself
from geodl.neighborhood.laplacian import undirected_pairs
from geodl.signal import Signal

NORMS = (None, "sym")


def receptive_field(model: nn.Module, signal: Signal, node: int) -> Tensor:
    """`[N]`, the influence of each node j on the answer at node i, `sum_cd |dy_ic / dx_jd|`: zero
    outside of the receptive field of i.

    k layers over the links see k hops. The field is that at this signal: a ReLU that is off hides
    what is behind it.

    Args:
        model: takes a signal and answers with one, `[1, M, K]`.
        signal: one signal, `x` of shape `[1, N, C]` or sparse `[N, C]`, on any domain.
        node: i, the number of a node of the answer.

    Raises:
        GeodlError: as :func:`geodl.inspection.saliency`.

    Source: Xu et al., "Representation Learning on Graphs with Jumping Knowledge Networks" (2018),
    definition 3.1.

    >>> import geodl as g
    >>> signal = g.Signal(torch.ones(1, 4, 1), g.Graph([[0, 1, 2], [1, 2, 3]]))
    >>> twice = g.Sequential(*(g.Propagate(g.adjacency(self_loops=True)) for _ in range(2)))
    >>> receptive_field(twice, signal, node=3).tolist()
    [0.0, 1.0, 2.0, 1.0]
    """
    with with_gradients(model):
        target = NodeScore("receptive_field(model, signal, node)", model, signal, node)
        x = target.x.requires_grad_()
        scores = target.scores(x, None)
        check_has_gradient(target.asked, scores)
        influence = torch.zeros_like(x[0, :, 0])
        for score in scores:
            (slope,) = torch.autograd.grad(score, x, retain_graph=True, allow_unused=True)
            if slope is not None:
                influence += slope[0].abs().sum(-1)
    return influence.detach()


def dirichlet_energy(signal: Signal, *, norm: str | None = "sym") -> Tensor:
    """`[B]`, how much neighbors differ: `sum over linked pairs {i, j} of w_ij |x_i / s_i - x_j /
    s_j|^2`, each pair once, w_ij the mean over the directions in which it is linked, one or two.

    Args:
        signal: values `[B, N, C]` or sparse `[N, C]` on a domain with links.
        norm: "sym" for `s_i = sqrt(1 + d_i)`, d_i the sum of the weights of the links into i: the
            energy is then zero for the signals that a deep GCN tends to; None for `s_i = 1`: zero
            for equal values.

    Raises:
        GeodlError: if it is not a Signal of floating point numbers, or if the norm is another one;
            if negative weights leave a node with `1 + d_i <= 0` under "sym".

    Source: Cai and Wang, "A Note on Over-Smoothing for Graph Neural Networks" (2020), definition
    2.1; Rusch, Bronstein and Mishra, "A Survey on Oversmoothing in Graph Neural Networks" (2023).

    >>> import geodl as g
    >>> both_ways = g.Graph([[0, 1], [1, 0]])
    >>> dirichlet_energy(g.Signal(torch.tensor([[[1.0], [3.0]]]), both_ways), norm=None)
    tensor([4.], dtype=torch.float64)
    """
    asked, do = "dirichlet_energy(signal)", "give a Signal of floating point numbers"
    if not isinstance(signal, Signal):
        raise GeodlError(asked, f"a {type(signal).__name__}", do)
    if not signal.x.is_floating_point():
        raise GeodlError(asked, f"values of {signal.x.dtype}", do)
    if norm not in NORMS:
        raise GeodlError(f"dirichlet_energy(norm={norm!r})", do="give None or 'sym'")
    x = signal.x.detach()
    if x.layout != torch.strided:
        x = x.to_dense()[None]
    # In double precision: deep layers make neighbors alike to many digits.
    x = x.double()
    links = signal.domain.links()
    weight = x.new_ones(len(links.dst))
    if links.weight is not None:
        weight = links.weight.detach().to(x)
    if norm == "sym":
        degree = x.new_zeros(*weight.shape[:-1], x.shape[1]).index_add(-1, links.dst, weight)
        if degree.numel() and can_be_read(degree) and not bool((degree > -1).all()):
            found = f"a degree of {float(degree.min()):g}, where 1 + d has no root to divide by"
            do = "use non-negative weights, or norm=None"
            raise GeodlError("dirichlet_energy(norm='sym')", found, do)
        x = x / (1 + degree).sqrt()[..., None]
    pairs = undirected_pairs(signal.domain)
    # Of a pair that is linked both ways each link counts half; loops join no pair.
    ways = pairs.ways[pairs.way % max(1, len(pairs.ways))]
    dst, src = links.dst[pairs.links], links.src[pairs.links]
    distance = (x[:, dst] - x[:, src]).square().sum(-1)
    return (weight[..., pairs.links] * distance / ways).sum(-1)


def smoothing(model: nn.Module, signal: Signal, *, norm: str | None = "sym") -> tuple[float, ...]:
    """The over-smoothing curve: Dirichlet energy over `|x|^2` of the values that each layer over
    the links reads, and of the answer.

    Number k says how different neighbors are after k such layers, whatever the scale of the values;
    0 means that they cannot be told apart. Layers on each node alone count with the next one, so
    that activations, norms and residual sums are in.

    Args:
        model: takes one signal.
        signal: one signal, `x` of shape `[1, N, C]` or sparse `[N, C]`.
        norm: that of `dirichlet_energy`.

    Raises:
        GeodlError: if no layer of the model is over links between nodes; as `dirichlet_energy`, and
            as the model itself.

    Source: as of `dirichlet_energy`.

    >>> import geodl as g
    >>> pair = g.Signal(torch.tensor([[[1.0], [-1.0]]]), g.Graph([[0, 1], [1, 0]]))
    >>> smoothing(g.Propagate(g.adjacency("sym", self_loops=True)), pair, norm=None)
    (2.0, 0.0)
    """
    asked = "smoothing(model, signal)"
    with evaluated(model):
        given = check_signal(asked, signal)
        with trace(model) as events:
            answer: Any = model(given)
    read: list[Signal] = []
    for event in events:
        # A layer on each node alone makes no two nodes more alike.
        joins = event.rule is not None and event.rule != itself()
        if not joins or not same_place(event.source, given.domain):
            continue
        # Layers side by side read the same values.
        if not read or read[-1].x is not event.signals[0].x:
            read.append(event.signals[0])
    if not read:
        found = f"no layer over links in {type(model).__name__}"
        raise GeodlError(asked, found, "give a model with g.Conv, g.Attention, ... on a graph")
    if isinstance(answer, Signal) and same_place(answer.domain, given.domain):
        read.append(answer)
    return tuple(_quotient(values, norm) for values in read)


def _quotient(signal: Signal, norm: str | None) -> float:
    """The energy over the squared length of all values; 0 where they are zero."""
    length = float(signal.x.detach().double().square().sum())
    if length == 0:
        return 0.0
    return float(dirichlet_energy(signal, norm=norm)[0]) / length
