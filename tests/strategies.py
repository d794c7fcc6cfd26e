"""What random calls are made of: values, windows, lattices, graphs."""

from typing import NamedTuple

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

import geodl as g
from geodl.domain import Domain
from geodl.layer import MessagePassing
from geodl.neighborhood import Neighborhood

FLAT = (g.C(1), g.C(2), g.C(4), g.D(1), g.D(2), g.D(4))
SOLID = (g.O(), g.Oh())
FEW_NODES = 200
few = st.integers(1, 3)


class Case(NamedTuple):
    """A layer, and the signals it is called with."""

    layer: MessagePassing
    signals: tuple[g.Signal, ...]


class Gated(nn.Module):
    """A message that reads all it is given."""

    def __init__(self, channels: int):
        super().__init__()
        self.receiver, self.sender = nn.Linear(channels, 2), nn.Linear(channels, 2)

    def forward(
        self, x_i: Tensor, x_j: Tensor, e_ij: Tensor | None, u: Tensor | None = None
    ) -> Tensor:
        y = torch.tanh(self.receiver(x_i)) * self.sender(x_j)
        if u is not None:
            y = y + u.sum(-1, keepdim=True) * y
        return y if e_ij is None else y * e_ij + e_ij


def with_parameters(
    shape: tuple[int, int, int], memory: str, generator: torch.Generator, dtype: torch.dtype
) -> Tensor:
    """Normal values `[B, N, C]` that stand in memory in one of several orders."""
    b, n, c = shape
    if memory == "nodes first":
        return torch.randn(n, b, c, generator=generator, dtype=dtype).transpose(0, 1)
    if memory == "channels first":
        return torch.randn(b, c, n, generator=generator, dtype=dtype).transpose(1, 2)
    if memory == "every second":
        return torch.randn(b, n, 2 * c, generator=generator, dtype=dtype)[:, :, ::2]
    return torch.randn(b, n, c, generator=generator, dtype=dtype)


@st.composite
def called(draw: st.DrawFn, layer: MessagePassing, *domains: Domain) -> Case:
    """A layer with random parameters on random signals, on each of the domains one."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    batch = draw(st.sampled_from((0, 1, 3)))
    # Gradients of parameters are sums over all nodes: in single precision long ones lose as many
    # digits as the processor's order of adding has it.
    short = max(domain.num_nodes for domain in domains) <= FEW_NODES
    dtype = draw(st.sampled_from((torch.float64, torch.float32))) if short else torch.float64
    memory = draw(st.sampled_from(("contiguous", "nodes first", "channels first", "every second")))
    channels = getattr(layer, "channels_in", 2)
    with torch.no_grad():
        for parameter in layer.to(dtype).parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator, dtype=dtype))
    values = [
        with_parameters((batch, domain.num_nodes, channels), memory, generator, dtype)
        for domain in domains
    ]
    signals = [g.Signal(x, domain) for x, domain in zip(values, domains, strict=True)]
    read = getattr(layer, "edge_channels", None)
    if read is not None:
        rows = draw(st.sampled_from((1, batch)))
        shape = rows, len(domains[0].links()[0]), read
        edges = torch.randn(shape, generator=generator, dtype=dtype)
        signals[0] = signals[0].with_edges(edges)
    return Case(layer, tuple(signals))


@st.composite
def with_state(draw: st.DrawFn, case: Case, *, globals: bool) -> Case:
    """The call once more, with a state of edges or without, and of graphs where it is asked for."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    signals = []
    for s in case.signals:
        batch = draw(st.sampled_from((1, s.shape[0])))
        if draw(st.booleans()):
            shape = batch, s.domain.num_links, 2
            s = s.with_edges(torch.randn(shape, generator=generator, dtype=s.dtype))
        if globals:
            shape = batch, s.domain.num_members, 3
            s = s.with_globals(torch.randn(shape, generator=generator, dtype=s.dtype))
        signals.append(s)
    return Case(case.layer, tuple(signals))


@st.composite
def boxes(draw: st.DrawFn, axes: int, equal: bool, widest: int) -> dict:
    """Arguments of a window, even and odd, with every notation of padding."""
    each = st.tuples(*[st.integers(1, widest)] * axes)
    size = (draw(st.integers(1, widest)),) * axes if equal else draw(each)
    stride, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    paddings = [st.sampled_from(("valid", "causal")), st.integers(0, 2)]
    paddings += [st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * axes)]
    paddings += [st.just("same")] if all(k % 2 for k in size) else []
    return {
        "size": size,
        "stride": stride,
        "dilation": dilation,
        "padding": draw(st.one_of(paddings)),
    }


@st.composite
def lattices(draw: st.DrawFn, rule: Neighborhood, periodic: bool = True) -> Domain:
    """A lattice on which a window fits, and around which its padding wraps at most once."""
    lengths = []
    for k, d, padding in zip(rule.size, rule.dilation, rule.padding, strict=True):
        lengths.append(
            max(1, d * (k - 1) + 1 - sum(padding), *padding)
            + draw(st.integers(0, 2 if len(rule.size) > 1 else 5))
        )
    wraps = draw(st.tuples(*[st.booleans() if periodic else st.just(False)] * len(lengths)))
    grid = g.Grid(*lengths, periodic=wraps)
    if rule.group is not None and rule.in_fiber:
        return g.GroupGrid(grid, rule.group)
    return (
        g.Chain(*lengths) if len(lengths) == 1 and not any(wraps) and draw(st.booleans()) else grid
    )


@st.composite
def windows(draw: st.DrawFn) -> Neighborhood:
    """Plain windows on one to three axes, lifts, isotropic windows and windows of a group."""
    make = draw(st.sampled_from((g.window, g.window, g.lift, g.isotropic, "group")))
    if make is g.window:
        return g.window(**draw(boxes(draw(few), False, 3)))
    group = draw(st.sampled_from(FLAT * 2 + SOLID))
    box = draw(boxes(group.axes, True, 3 if group.axes == 2 else 2))
    return (
        g.window(**box, group=group, exact=False)
        if make == "group"
        else make(**box, group=group, exact=False)
    )


@st.composite
def based_windows(draw: st.DrawFn) -> Neighborhood:
    """Windows on a basis: of values with zeros among them on one to three axes, of functions on the
    plane, of both with a group, of functions with one that does not map the lattice to itself.
    """
    group = draw(st.sampled_from((None, None, g.C(2), g.C(4), g.D(1), g.D(4), g.C(8), g.D(3))))
    axes = draw(few) if group is None else 2
    box = draw(boxes(axes, axes == 2, 3))
    functions = (g.harmonics(), g.gaussian_derivatives(1), g.gabor(2))
    basis = draw(st.sampled_from(functions)) if axes == 2 else g.gaussian_derivatives(2)
    if group is not None and not group.action.exact:
        basis = g.harmonics()
    # In a window of one place, or along such an axis, some functions are 0.
    elif min(box["size"]) == 1 or draw(st.booleans()):
        shape = *box["size"], draw(few)
        generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
        basis = torch.randint(-1, 3, shape, generator=generator)
        basis[(0,) * axes] = 1
    make = g.window
    if group is not None:
        box |= {"group": group, "exact": False}
        make = draw(st.sampled_from((g.window, g.lift)))
    return make(**box, basis=basis)


@st.composite
def graphs(draw: st.DrawFn, *, weighted: bool | None = None, types: bool | None = None) -> g.Graph:
    """Directed multigraphs with self-loops, parallel edges and isolated nodes, down to one node and
    no edges.
    """
    n, count = draw(st.integers(1, 7)), draw(st.integers(0, 14))
    ends = st.lists(st.integers(0, n - 1), min_size=count, max_size=count)
    weights = st.lists(st.floats(0, 2, width=32), min_size=count, max_size=count)
    heavy = draw(st.booleans()) if weighted is None else weighted
    typed = draw(st.booleans()) if types is None else types
    kinds = draw(st.lists(st.integers(0, 2), min_size=count, max_size=count)) if typed else None
    index = torch.tensor([draw(ends), draw(ends)], dtype=torch.long)
    kind = None if kinds is None else torch.tensor(kinds, dtype=torch.long)
    return g.Graph(
        index, n, edge_weight=torch.tensor(draw(weights)) if heavy else None, edge_type=kind
    )


@st.composite
def chosen(draw: st.DrawFn, *, types: bool) -> g.Batch:
    """Members of a flat union, some of them several times; of graphs both ways too, whose matrix is
    symmetric.
    """
    parts = draw(st.lists(graphs(types=types), min_size=1, max_size=3))
    if not types and draw(st.booleans()):
        parts = [two_way(part) for part in parts]
    numbers = draw(st.lists(st.integers(0, len(parts) - 1), min_size=1, max_size=4))
    union = g.Batch(parts).flat().select(torch.tensor(numbers)).domain
    assert isinstance(union, g.Batch)
    return union


class Joined(NamedTuple):
    """A rule between two domains; `receivers` is None where the call names none."""

    rule: Neighborhood
    senders: Domain
    receivers: Domain | None

    def domains(self, reads_receivers: bool) -> tuple[Domain, ...]:
        """The domains of the signals of a call: receivers first where they are given."""
        if self.receivers is not None:
            return self.receivers, self.senders
        target = self.rule.target(self.senders)
        if reads_receivers and not self.rule.stays_on(self.senders):
            return target, self.senders
        return (self.senders,)


@st.composite
def joined(draw: st.DrawFn, *, weighted: bool = False, types: int = 1) -> Joined:
    """Relations between any two domains, unions among them, or within one; both ways."""
    senders = draw(st.one_of(anywhere(), plain_graphs(), unequal()))
    receivers = draw(st.one_of(st.none(), anywhere(), unequal()))
    n, m = senders.num_nodes, None
    if receivers is not None:
        m = receivers.num_nodes
    elif draw(st.booleans()):
        m = draw(st.integers(1, 6))
    count = draw(st.integers(0, 10))

    def numbers(most: int) -> list[int]:
        return draw(st.lists(st.integers(0, most), min_size=count, max_size=count))

    index = torch.tensor([numbers(n - 1), numbers((m or n) - 1)], dtype=torch.long)
    kind = torch.tensor(numbers(types - 1), dtype=torch.long) if types > 1 else None
    weight = torch.tensor(numbers(4)) / 2 if weighted else None
    sizes = {"senders": n, "receivers": m, "types": types}
    if draw(st.booleans()):
        return Joined(g.relation(index, weight=weight, type=kind, **sizes), senders, receivers)
    # The same edges from the receivers' numbers: given the other way, and turned around.
    if m is not None:
        sizes |= {"senders": m, "receivers": n}
    back = g.relation(index.flip(0), weight=weight, type=kind, **sizes)
    return Joined(back.reverse(), senders, receivers)


def two_way(graph: g.Graph) -> g.Graph:
    """The graph with every edge in both directions, of one weight."""
    index, weight = graph.edge_index, graph.edge_weight
    both = torch.cat((index, index.flip(0)), 1)
    twice = None if weight is None else torch.cat((weight, weight))
    return g.Graph(both, graph.num_nodes, edge_weight=twice)


@st.composite
def plain_graphs(draw: st.DrawFn) -> Domain:
    """Unweighted graphs, alone or several side by side."""
    parts = draw(st.lists(graphs(weighted=False), min_size=1, max_size=3))
    return parts[0] if len(parts) == 1 else g.Batch(parts)


@st.composite
def anywhere(draw: st.DrawFn) -> Domain:
    """A small domain of any kind that is no union."""
    n = draw(st.integers(1, 6))
    places = (
        g.Chain(n),
        g.Complete(n),
        g.Grid(n),
        g.Grid(2, 3, periodic=True),
        g.GroupGrid(g.Grid(2, 2), g.C(4)),
    )
    return draw(st.one_of(st.sampled_from(places), graphs(weighted=False)))


@st.composite
def unequal(draw: st.DrawFn) -> g.Batch:
    """A union of chains of different lengths."""
    lengths = draw(st.lists(st.integers(1, 5), min_size=2, max_size=3, unique=True))
    return g.Batch([g.Chain(n) for n in lengths])


@st.composite
def typed_pairs(draw: st.DrawFn) -> tuple[Neighborhood, Domain]:
    """All pairs by a type that the domain decides."""
    if draw(st.booleans()):
        return g.all_pairs("orbit"), draw(st.one_of(anywhere(), st.sampled_from(g.GSet.small())))
    return g.all_pairs("offset"), draw(
        st.sampled_from((*g.Grid.small()[:4], g.Grid(2, 2, 2), *g.Chain.small()))
    )


@st.composite
def dags(draw: st.DrawFn) -> g.Graph:
    """Directed graphs without cycles, in a random order of their nodes."""
    n = draw(st.integers(1, 6))
    pairs = (
        draw(
            st.lists(
                st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).filter(
                    lambda p: p[0] != p[1]
                ),
                max_size=9,
            )
        )
        if n > 1
        else []
    )
    order = draw(st.permutations(range(n)))
    index = (
        torch.tensor([(order[min(p)], order[max(p)]) for p in pairs], dtype=torch.long)
        .reshape(-1, 2)
        .T
    )
    return g.Graph(index, n)
