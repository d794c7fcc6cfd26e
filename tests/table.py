"""Which lowering runs where: one row for each kind of (verb, domain, neighborhood)."""

from typing import NamedTuple

import torch
from torch import Tensor

import geodl as g
from geodl.domain import Domain
from geodl.layer import MessagePassing

CHAIN, GRID, RING, CUBE = g.Chain(6), g.Grid(5, 5), g.Grid(6, periodic=True), g.Grid(3, 3, 3)
TORUS = g.Grid(4, 4, periodic=True)
P4, P4M, OCTA = (
    g.GroupGrid(GRID, g.C(4)),
    g.GroupGrid(GRID, g.D(4)),
    g.GroupGrid(g.Grid(2, 2, 2), g.O()),
)
SMALL_P4 = g.GroupGrid(g.Grid(2, 3), g.C(4))
SET = g.Complete(5)
GRAPH = g.Graph([[0, 1, 2, 3, 1, 1], [1, 2, 3, 0, 3, 1]], 6)
HEAVY = g.Graph([[0, 1, 2, 3], [1, 2, 3, 0]], 4, edge_weight=[0.5, 1.0, 2.0, 0.0])
KNOWN = g.Graph([[0, 1, 2], [1, 2, 0]], 4, edge_type=[0, 1, 0])
TREE = g.Graph([[0, 1, 2], [2, 2, 3]], 4)
EQUAL, RAGGED = g.Batch([CHAIN, CHAIN]), g.Batch([CHAIN, g.Chain(3)])
TWO, MIXED = g.Batch([GRAPH, HEAVY]), g.Batch([GRID, GRID])
FIVE = g.GSet([[1, 2, 3, 4, 0]])
RAGGED_FIVE = g.Batch([g.Chain(2), g.Chain(3)])
LINKED = g.relation([[0, 1, 4, 4], [2, 0, 0, 1]], senders=5, receivers=3, type=[0, 1, 0, 1])
RATED = g.relation(
    [[0, 1, 2, 4], [2, 0, 0, 1]], senders=5, receivers=3, weight=[1.0, 2.0, 0.5, 4.0]
)


class Row(NamedTuple):
    """A layer, the domain of its senders, that of its receivers where it is another, and the
    lowering that must run.
    """

    layer: MessagePassing
    domain: Domain
    lowering: str
    receivers: Domain | None = None

    def signals(self, dtype: torch.dtype = torch.float32) -> tuple[g.Signal, ...]:
        """Random signals to call the layer with: receivers first."""
        generator, channels = (
            torch.Generator().manual_seed(0),
            getattr(self.layer, "channels_in", 4),
        )
        domains = (self.domain,) if self.receivers is None else (self.receivers, self.domain)
        signals = [
            g.Signal(torch.randn(2, d.num_nodes, channels, generator=generator).to(dtype), d)
            for d in domains
        ]
        read = getattr(self.layer, "edge_channels", None)
        if read is not None:
            links = len(domains[0].links()[0])
            edges = torch.randn(1, links, read, generator=generator).to(dtype)
            signals[0] = signals[0].with_edges(edges)
        return tuple(signals)


def product(x_i: Tensor, x_j: Tensor, e_ij: Tensor | None) -> Tensor:
    """A message that reads all it is given."""
    return x_i * x_j if e_ij is None else x_i * x_j * e_ij


def rows() -> dict[str, Row]:
    """The table, with layers made anew."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = (
            _convolve()
            + _on_a_basis()
            + _in_blocks()
            + _polynomials()
            + _attend_all()
            + _attend_windows()
            + _attend_edges()
            + _others()
        )
    return {
        (
            f"{row.layer.label} on "
            f"{row.domain}{' to ' + str(row.receivers) if row.receivers else ''}"
        ): row
        for row in made
    }


def _conv(rule: g.Neighborhood, on: Domain | None = None) -> g.Conv:
    return g.Conv(4, 3, rule, on=on)


def _attention(
    rule: g.Neighborhood, relative: bool = False, on: Domain | None = None, score: str = "dot"
) -> g.Attention:
    return g.Attention(4, rule, 2, score, relative=relative, on=on)


def _edged(score: str, rule: g.Neighborhood) -> g.Attention:
    """One layer of PyG's kind, of edges with features."""
    return g.Attention(4, rule, 2, score, edge_channels=3, out_proj=False, root=True)


def _convolve() -> list[Row]:
    c4, d4, octa = g.C(4), g.D(4), g.O()
    return [
        Row(_conv(g.window(3, axes=1)), CHAIN, "lattice"),
        Row(_conv(g.window(3, axes=1)), RING, "lattice"),
        Row(_conv(g.window(3, axes=1)), EQUAL, "lattice"),
        Row(_conv(g.window(3, axes=1)), RAGGED, "spmm"),
        Row(_conv(g.window(3, axes=1, padding="causal", dilation=2)), CHAIN, "lattice"),
        Row(_conv(g.window(3)), GRID, "lattice"),
        Row(_conv(g.window(3)), TORUS, "lattice"),
        Row(_conv(g.window(3)), g.Grid(4, 3, periodic=(True, False)), "lattice"),
        Row(_conv(g.window((2, 3), stride=(2, 1), padding="valid")), GRID, "lattice"),
        Row(_conv(g.window(2, padding=((1, 0), (0, 1)))), GRID, "lattice"),
        Row(_conv(g.window(3, padding=5)), TORUS, "spmm"),
        Row(_conv(g.window(3, axes=3)), CUBE, "lattice"),
        Row(_conv(g.window(2, stride=2).reverse()), GRID, "lattice"),
        Row(_conv(g.window(3, stride=2).reverse(onto=g.Grid(6, 6))), g.Grid(3, 3), "lattice"),
        Row(_conv(g.window(3).reverse()), TORUS, "spmm"),
        Row(_conv(g.lift(3, group=c4)), GRID, "lattice"),
        Row(_conv(g.lift(2, group=d4, stride=2)), g.Grid(4, 4), "lattice"),
        Row(_conv(g.isotropic(3, group=d4)), GRID, "lattice"),
        Row(_conv(g.window(3, group=c4)), P4, "lattice"),
        Row(_conv(g.window(3, group=c4)), g.GroupGrid(TORUS, c4), "lattice"),
        Row(_conv(g.window(3, group=d4)), P4M, "lattice"),
        Row(_conv(g.window(3, group=c4).reverse()), P4, "lattice"),
        Row(_conv(g.lift(3, group=octa)), CUBE, "lattice"),
        Row(_conv(g.window(2, group=octa, padding="valid")), OCTA, "lattice"),
        Row(_conv(g.itself()), GRAPH, "lattice"),
        Row(_conv(g.itself()), P4, "lattice"),
        Row(_conv(g.all_pairs()), SET, "mean"),
        Row(_conv(g.all_pairs("self")), GRAPH, "mean"),
        Row(_conv(g.all_pairs("self")), EQUAL, "mean"),
        Row(_conv(g.all_pairs()), SET, "mean", receivers=CHAIN),
        Row(_conv(g.all_pairs("self")), RAGGED, "edges"),
        Row(_conv(g.all_pairs("offset"), on=CHAIN), CHAIN, "lattice"),
        Row(_conv(g.all_pairs("offset"), on=TORUS), TORUS, "lattice"),
        Row(_conv(g.all_pairs("orbit"), on=FIVE), FIVE, "edges"),
        Row(_conv(g.past()), CHAIN, "edges"),
        Row(_conv(g.fiber()), P4, "spmm"),
        Row(_conv(g.whole()), GRID, "spmm"),
        Row(_conv(g.previous()), CHAIN, "spmm"),
        Row(_conv(g.adjacency("sym", self_loops=True)), GRAPH, "spmm"),
        Row(_conv(g.adjacency("sym", self_loops=True)), GRID, "spmm"),
        Row(_conv(g.laplacian()), HEAVY, "spmm"),
        Row(_conv(g.adjacency("row", self_loops=True, types=2)), KNOWN, "spmm"),
        Row(_conv(g.adjacency().reverse()), TWO, "spmm"),
        Row(_conv(RATED), SET, "spmm"),
        Row(_conv(RATED), RAGGED_FIVE, "spmm", receivers=g.Chain(3)),
        Row(_conv(RATED.reverse()), g.Complete(3), "spmm"),
    ]


def _on_a_basis() -> list[Row]:
    return [
        Row(_conv(g.window(5, basis=g.gabor(4))), GRID, "lattice"),
        Row(_conv(g.window(3, axes=1, basis=g.gaussian_derivatives(1))), RAGGED, "spmm"),
        Row(_conv(g.lift(3, group=g.C(8))), GRID, "lattice"),
        Row(_conv(g.window(3, group=g.C(4), basis=g.harmonics())), P4, "lattice"),
        Row(_conv(g.window(2, stride=2, basis=g.wavelets()).reverse()), GRID, "lattice"),
        Row(g.Conv(4, 6, g.window(3, basis=g.harmonics()), groups=2), GRID, "lattice"),
        Row(g.Propagate(g.window(3, basis=g.gaussian_derivatives(1))), P4, "lattice"),
        Row(g.Conv(4, 3, g.window(15, basis=g.gaussian_derivatives())), TORUS, "fft"),
    ]


def _in_blocks() -> list[Row]:
    gcn = g.adjacency("sym", self_loops=True)
    return [
        Row(g.Conv(4, 6, g.window(3), groups=2), GRID, "lattice"),
        Row(g.Conv(4, 4, g.window(3, axes=1), groups=4), RING, "lattice"),
        Row(g.Conv(4, 2, g.window(3, group=g.C(4)), groups=2), P4, "lattice"),
        Row(g.Conv(4, 4, g.window(2, stride=2).reverse(), groups=2), GRID, "lattice"),
        Row(g.Conv(4, 4, g.window(3, axes=1), groups=2), RAGGED, "spmm"),
        Row(g.Conv(4, 6, gcn, groups=2), GRAPH, "spmm"),
        Row(g.Conv(4, 4, gcn, groups=4), TWO, "spmm"),
        Row(g.Conv(4, 2, g.adjacency("row", self_loops=True, types=2), groups=2), KNOWN, "spmm"),
        Row(g.Conv(4, 6, g.all_pairs("self"), groups=2), SET, "mean"),
        Row(g.Conv(4, 2, g.past(), groups=2), CHAIN, "edges"),
        Row(g.Propagate(g.window(3)), GRID, "lattice"),
        Row(g.Propagate(g.window(3)), P4, "lattice"),
        Row(g.Propagate(g.lift(3, group=g.C(4))), GRID, "lattice"),
        Row(g.Propagate(g.window(2, stride=2).reverse()), GRID, "lattice"),
        Row(g.Propagate(g.window(3), join="concat"), GRID, "lattice"),
        Row(_conv(g.all_pairs("offset"), on=SMALL_P4), SMALL_P4, "lattice"),
        Row(g.Restrict(g.D(4), g.C(4)), P4M, "regroup"),
        Row(g.Restrict(g.D(4), g.D(1)), P4M, "regroup"),
        Row(g.Propagate(gcn), GRAPH, "spmm"),
        Row(g.Propagate(g.adjacency(types=2)), KNOWN, "spmm"),
        Row(g.Propagate(g.laplacian("rw")), HEAVY, "spmm"),
        Row(g.Propagate(g.all_pairs("orbit")), TORUS, "mean"),
        Row(g.Propagate(g.past()), CHAIN, "edges"),
    ]


def _polynomials() -> list[Row]:
    cheb = g.polynomial(g.laplacian("sym"), 2)
    high = g.polynomial(g.laplacian("sym"), 8)
    wide = g.window(15, padding="same")
    return [
        Row(g.Conv(4, 3, cheb), HEAVY, "polynomial"),
        Row(g.Conv(4, 6, cheb), GRID, "polynomial"),
        Row(g.Conv(4, 4, cheb, groups=2), TWO, "polynomial"),
        Row(g.Conv(4, 3, g.polynomial(g.laplacian(), 2)), g.Batch([HEAVY, TREE]), "polynomial"),
        Row(g.Conv(4, 3, g.polynomial(g.laplacian(), 2, "bernstein")), HEAVY, "polynomial"),
        Row(g.Conv(4, 3, g.polynomial(g.adjacency("row"), 3, "monomial")), GRAPH, "polynomial"),
        Row(g.Propagate(cheb), TREE, "polynomial"),
        Row(g.Conv(4, 4, high, groups=4), TORUS, "gft"),
        Row(g.Conv(4, 6, g.modes(3)), HEAVY, "gft"),
        Row(g.Filter(g.heat(0.5)), TORUS, "gft"),
        Row(g.Filter(g.heat(0.5), "sym", 3), HEAVY, "polynomial"),
        Row(g.Conv(4, 3, wide), TORUS, "fft"),
        Row(g.Conv(4, 3, g.lift(15, group=g.C(4))), TORUS, "fft"),
    ]


def _attend_all() -> list[Row]:
    return [
        Row(_attention(g.all_pairs()), SET, "sdpa"),
        Row(_attention(g.all_pairs()), GRAPH, "sdpa"),
        Row(_attention(g.all_pairs()), EQUAL, "sdpa"),
        Row(_attention(g.all_pairs()), RAGGED, "sdpa"),
        Row(_attention(g.all_pairs()), SET, "sdpa", receivers=CHAIN),
        Row(_attention(g.all_pairs("self"), relative=True), SET, "sdpa"),
        Row(_attention(g.all_pairs("offset"), relative=True, on=GRID), GRID, "sdpa"),
        Row(_attention(g.all_pairs("orbit"), relative=True, on=TORUS), TORUS, "sdpa"),
        Row(_attention(g.past()), CHAIN, "sdpa"),
        Row(_attention(g.past()), EQUAL, "sdpa"),
        Row(_attention(g.past(), relative=True), CHAIN, "sdpa"),
        Row(_attention(g.past()), RAGGED, "sdpa"),
        Row(
            _attention(g.all_pairs()),
            g.Batch([CHAIN, SET]),
            "sdpa",
            receivers=g.Batch([CHAIN, g.Chain(3)]),
        ),
        Row(g.Attention(4, g.all_pairs(), 2, "product", 1, value_dim=3), SET, "sdpa"),
        Row(g.Attention(4, g.past(), 2, value_dim=1, channels_out=5), CHAIN, "sdpa"),
        Row(g.Attention(4, g.all_pairs(), 2, positions=g.SinusoidalPositions(4)), GRID, "sdpa"),
    ]


def _attend_windows() -> list[Row]:
    return [
        Row(_attention(g.window(3), relative=True), GRID, "banded"),
        Row(_attention(g.window(3, axes=1, padding="causal")), CHAIN, "banded"),
        Row(_attention(g.window(3, axes=1, dilation=2), relative=True), g.Chain(150), "banded"),
        Row(_attention(g.window(5, padding=5, stride=2)), TORUS, "banded", receivers=g.Grid(5, 5)),
        Row(_attention(g.window(3, axes=3)), CUBE, "banded"),
        Row(_attention(g.window(3)), MIXED, "banded"),
        Row(_attention(g.window(3, group=g.C(4)), relative=True), P4, "banded"),
        Row(_attention(g.lift(3, group=g.D(4)), relative=True), GRID, "banded", receivers=P4M),
    ]


def _attend_edges() -> list[Row]:
    return [
        Row(_attention(g.adjacency()), GRAPH, "edge_softmax"),
        Row(_attention(LINKED, relative=True), SET, "edge_softmax", receivers=g.Chain(3)),
        Row(
            _attention(g.adjacency(self_loops=True), score="gat"),
            g.Batch([GRAPH, KNOWN]),
            "edge_softmax",
        ),
        Row(
            _attention(g.adjacency(types=2), relative=True, score="gat"),
            KNOWN,
            "edge_softmax",
        ),
        Row(_attention(g.predecessors(), score="linear"), GRAPH, "edge_softmax"),
        Row(_attention(g.window(3, axes=1)), RAGGED, "edge_softmax"),
        Row(_attention(g.window(3, axes=1).reverse()), CHAIN, "edge_softmax"),
        Row(
            _attention(g.window(2, stride=2), score="gat"),
            g.Grid(4, 4),
            "edge_softmax",
            receivers=g.Grid(2, 2),
        ),
        Row(_attention(g.all_pairs(), score="gat"), SET, "edge_softmax"),
        Row(_attention(g.all_pairs(), score="linear"), RAGGED, "edge_softmax"),
        Row(_attention(g.all_pairs("self"), relative=True, score="linear"), SET, "edge_softmax"),
        Row(_attention(g.all_pairs(), score="linear"), SET, "linear"),
        Row(_attention(g.all_pairs(), score="linear"), SET, "linear", receivers=CHAIN),
        Row(_attention(g.past(), score="linear"), g.Chain(130), "linear"),
        Row(_attention(g.past(), score="linear"), EQUAL, "linear"),
        Row(_edged("gat", g.adjacency(self_loops="anew", fill="mean")), GRAPH, "edge_softmax"),
        Row(_edged("gat", g.adjacency()), g.Batch([GRAPH, CHAIN]), "edge_softmax"),
        Row(_edged("dot", g.adjacency(self_loops=True)), GRAPH, "edge_softmax"),
        Row(_edged("product", g.predecessors()), g.Batch([GRAPH, GRAPH]), "edge_softmax"),
        Row(_edged("linear", g.adjacency()), GRAPH, "edges"),
        Row(_edged("gatv2", g.adjacency(self_loops=True)), GRAPH, "edge_softmax"),
        Row(_attention(g.adjacency(), score="gatv2"), GRAPH, "edge_softmax"),
        Row(_attention(g.adjacency(self_loops=True), score="additive"), GRAPH, "edge_softmax"),
        Row(_attention(g.past(), score="additive"), CHAIN, "edges"),
    ]


def _others() -> list[Row]:
    return [
        Row(g.Message(product, g.adjacency(self_loops=True), "max"), GRAPH, "segment"),
        Row(g.Message(product, g.adjacency("sym", self_loops=True)), TWO, "segment"),
        Row(g.Message(product, g.all_pairs(), ("mean", "std", "softmax")), SET, "segment"),
        Row(g.Recurrent(4, 3), CHAIN, "rnn"),
        Row(g.Recurrent(4, 3, "gru", g.previous().reverse()), EQUAL, "rnn"),
        Row(g.Recurrent(4, 3, "rnn_tanh"), CHAIN, "rnn"),
        Row(g.Recurrent(4, 3, "rnn_relu"), RAGGED, "rnn"),
        Row(g.Recurrent(4, 3, "lstm", g.predecessors()), TREE, "levels"),
        Row(g.Recurrent(4, 3, "gru", g.predecessors().reverse()), g.Batch([TREE, CHAIN]), "levels"),
        Row(g.Recurrent(4, 3, "ind_rnn"), CHAIN, "levels"),
        Row(g.Pool(g.window(2, stride=2)), g.Grid(4, 4), "lattice"),
        Row(g.Pool(g.window(2, stride=2), "mean"), g.GroupGrid(g.Grid(4, 4), g.C(4)), "lattice"),
        Row(g.Pool(g.window(3, axes=1, stride=2), "sum"), CHAIN, "lattice"),
        Row(g.Pool(g.window(2, axes=3, padding="valid"), "min"), CUBE, "lattice"),
        Row(g.Pool(g.window(2, stride=2)), TORUS, "lattice"),
        Row(g.Pool(g.window(3)), TORUS, "segment"),
        Row(g.Pool(g.window(2, stride=2)), g.Batch([g.Grid(4, 4)] * 2), "lattice"),
        Row(g.Pool(g.fiber()), P4, "blocks"),
        Row(g.Readout(), GRAPH, "blocks"),
        Row(g.Readout("max"), MIXED, "blocks"),
        Row(g.Readout("sum"), RAGGED, "spmm"),
        Row(g.Readout("max"), RAGGED, "segment"),
        Row(g.Pool(g.adjacency(self_loops=True), "mean"), GRAPH, "spmm"),
        Row(g.Pool(g.adjacency()), GRAPH, "segment"),
        Row(g.Pool(g.adjacency().reverse(), "min"), g.Batch([GRAPH, KNOWN]), "segment"),
    ]
