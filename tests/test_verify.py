"""`geodl verify` proves its rows, and each row rejects a fault planted in what it proves."""

import importlib
import math

import pytest
import torch

import geodl as g
from geodl import reference, verify
from geodl.domain import Links
from geodl.layer.conv import Conv
from geodl.lowering import Store, cells, lattice, linear, plans, rnn, scores
from geodl.lowering.cells import GRU
from geodl.neighborhood import graph, order
from geodl.neighborhood.bank import Bank
from geodl.neighborhood.edges import untyped
from geodl.neighborhood.laplacian import Laplacian
from geodl.spectrum import axes

WANTED = ("01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11")
FOURIER = importlib.import_module("geodl.spectrum.fourier")
FILTERS = importlib.import_module("geodl.neighborhood.filter_basis")
PAIRS = importlib.import_module("geodl.neighborhood.all_pairs")
WINDOWS = importlib.import_module(
    "geodl.neighborhood.window"
)  # its name in the room is the function's
ROW = verify.Row("05 a", "Grid(3)", 3, 7, 4, 1e-16, 2e-16, 1e-11, True)


@pytest.fixture(scope="module")
def rows():
    """All rows that need no data: those on Cora are in `tests/test_verify_trained.py`."""
    return verify.run(rows=tuple(number for number in verify.CLAIMS if number != "12"))


@pytest.fixture
def _unplanned(monkeypatch):
    """No plan from before: a fault in how plans are made shows."""
    monkeypatch.setattr(plans, "VALUES", Store())


def failed(number):
    """The claims of a row that do not hold; the run itself comes to its end."""
    found = verify.run(rows=(number,))
    assert {row.claim[:2] for row in found} == {number}
    return [row.claim for row in found if not row.passed]


def test_all_claims_hold(rows):
    assert [row for row in rows if not row.passed] == []
    assert len(rows) > 150


@pytest.mark.parametrize("number", WANTED)
def test_every_row_is_there(rows, number):
    of_row = [row for row in rows if row.claim.startswith(f"{number} ")]
    assert of_row
    assert any(row.max_gradient_error > 0 for row in of_row)


@pytest.mark.parametrize(
    "said",
    [
        "02 sum_t S_t X W_t: 3 edge types",
        "Jacobian of 4 tanh",
        "03 eigenvalues and projectors of eigh: torus 16 x 16",
        "03 DFT of a circular convolution = product of DFTs, 2-d",
        "03 cross-correlation does not",
        "03 db4 and its reverse",
        "03 z-transform of a linear recurrence",
        "04 GCN = PyG",
        "PyG's ChebConv(6)",
        "04 Filter(f, order=10)",
        "Chebyshev's, [",
        "05 conv1d 4, circular",
        "05 conv2d 4x4, zero padding",
        "05 conv3d 5x5x5, zero padding",
        "05 conv_transpose3d",
        "fully connected",
        "self-edge",
        "06 nn.LSTM, 2 layers, bidirectional",
        "06 nn.GRU, backward",
        "06 nn.RNN(relu), forward",
        "06 linear IndRNN = causal convolution with diag(u)^k W",
        "k < t rounds",
        "C A^k B",
        "self, weights of each head",
        "cross, weights of each head",
        "07 causal",
        "07 padding",
        "07 window",
        "07 the same weights on a ring",
        "07 W_k = 0",
        "08 nn.TransformerEncoderLayer, pre-norm, causal",
        "08 nn.TransformerDecoderLayer, post-norm",
        "08 nn.TransformerEncoder, post-norm, 4 layers, causal",
        "08 nn.TransformerDecoder, pre-norm, 4 layers, causal",
        "08 nn.Transformer, pre-norm",
        "08 padding",
        "4 layers: the answer in that order",
        "positions: off by > 0.01",
        "a causal mask: off by > 0.01",
        "08 trained as nn.Transformer",
        "08 trained here",
        "08 sinusoidal positions",
        "09 linear attention on past(), 150",
        "conv2d 3x3, 3 to 5 channels",
        "conv2d 3x3, 5 to 3 channels",
        "10 Z_8",
        "10 D_8",
        "10 S_8",
        "10 trivial",
        "10 Z_5 x Z_5",
        "10 p4 regular",
        "10 S_5",
        "11 lifting to p4m 2x2",
        "11 p4 4x4, stride 2",
        "11 p4m 3x3",
        "all 8 elements of D4",
        "all 24 elements of O",
        "translations on the torus",
        "away from the border",
        "near the border",
        "a plain CNN",
        "45 degrees",
    ],
)
def test_every_part_of_a_row_is_there(rows, said):
    assert any(said in row.claim for row in rows)


def test_rows_are_chosen_by_number():
    seen = []
    found = verify.run(rows=("04",), progress=seen.append)
    assert found == seen
    assert {row.claim[:2] for row in found} == {"04"}
    with pytest.raises(g.GeodlError, match="no claims numbered 99; choose from 01, 02"):
        verify.run(rows=("04", "99"))


def test_the_callers_random_state_and_threads_come_back():
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    verify.run(rows=("02",))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == threads


def rolled_bank(patch):
    bank = lattice.filter_bank
    patch.setattr(lattice, "filter_bank", lambda plan, weight: bank(plan, weight).roll(1, -1))


def no_bias(patch):
    run = Conv._run

    def deaf(self, *call):
        bias, self.bias = self.bias, None
        try:
            return run(self, *call)
        finally:
            self.bias = bias

    patch.setattr(Conv, "_run", deaf)


def reference_without_bias(patch):
    convolve = reference.convolve
    patch.setattr(
        reference,
        "convolve",
        lambda x, edges, weight, bias, count: convolve(x, edges, weight, None, count),
    )


def detached_bias(patch):
    run = Conv._run

    def silent(self, *call):
        y = run(self, *call)
        return y if self.bias is None else y - self.bias + self.bias.detach()

    patch.setattr(Conv, "_run", silent)


def half_degrees(patch):
    made = Laplacian._edges

    def halved(self, domain, target):
        edges = made(self, domain, target)
        assert edges.weight is not None
        return edges._replace(weight=torch.where(edges.weight > 0, edges.weight / 2, edges.weight))

    patch.setattr(Laplacian, "_edges", halved)


def doubled_frequencies(patch):
    found = FOURIER.transform_of

    def doubled(*call):
        made = found(*call)
        return made._replace(eigenvalues=2 * made.eigenvalues)

    patch.setattr(FOURIER, "transform_of", doubled)


def longer_waves(patch):
    forward, backward = axes.TRANSFORMS["fft"]
    patch.setitem(axes.TRANSFORMS, "fft", (lambda *call: 2 * forward(*call), backward))


def shifted_modes(patch):
    forward, backward = axes.TRANSFORMS["dct-ii"]
    patch.setitem(axes.TRANSFORMS, "dct-ii", (forward, lambda *call: backward(*call).roll(1, 1)))


def other_taps(patch):
    made = FILTERS.daubechies
    patch.setattr(FILTERS, "daubechies", lambda moments: made(moments).sort().values)


def relabelled_backwards(patch):
    relabel = g.Graph.relabel
    patch.setattr(
        g.Graph, "relabel", lambda self, permutation: relabel(self, permutation.argsort())
    )


def wrong_norm(patch):
    normalised = graph.Adjacency._normalised
    patch.setattr(graph.Adjacency, "_normalised", lambda self, *args: normalised(self, *args) ** 2)


def links_backwards(patch):
    patch.setattr(
        g.Graph,
        "links",
        lambda self: Links(self.edge_index[0], self.edge_index[1], self.edge_weight),
    )


def other_gates(patch):
    node = GRU.node
    patch.setattr(GRU, "node", lambda self, x, heard: tuple(2 * h for h in node(self, x, heard)))


def flipped_direction(patch):
    plan = rnn.RnnPlan

    def flipped(*parts):
        made = plan(*parts)
        return made._replace(backwards=not made.backwards)

    patch.setattr(rnn, "RnnPlan", flipped)


def hears_the_next(patch):
    def following(self, domain, target):
        node = torch.arange(domain.num_nodes)
        return untyped(node[:-1], node[1:])

    patch.setattr(order.Previous, "_edges", following)


def hears_the_future(patch):
    def all_of_it(self, domain, target):
        pairs = torch.ones(target.num_nodes, domain.num_nodes).triu().nonzero()
        return untyped(pairs[:, 0], pairs[:, 1])

    patch.setattr(order.Past, "_edges", all_of_it)


def forgets_nothing(patch):
    """The state as it was, whatever its weight."""
    patch.setattr(
        cells.IndRNN, "node", lambda self, x, total: (self.activation(x + total[0] + self.d),)
    )


def unscaled(patch):
    patch.setitem(scores.SCORES, "dot", scores.PRODUCT)


def keys_for_queries(patch):
    project = g.Attention._project

    def swapped(self, receiver, sender):
        query, key, value = project(self, receiver, sender)
        return (key, query, value) if key.shape == query.shape else (query, key, value)

    patch.setattr(g.Attention, "_project", swapped)


def forgets_other_chunks(patch):
    patch.setattr(
        linear, "_in_order", lambda skip, q, k, v: (q @ k.mT).tril().triu(1 - linear.CHUNK) @ v
    )


def offsets_backwards(patch):
    offsets = PAIRS.types_of_pairs
    patch.setattr(PAIRS, "types_of_pairs", lambda domain: offsets(domain).T)


def no_reflections(patch):
    patch.setattr(
        g.Grid, "generators", lambda self: torch.roll(torch.arange(self.num_nodes), 1)[None]
    )


def merged_orbits(patch):
    orbits = PAIRS.pair_orbits
    patch.setattr(PAIRS, "pair_orbits", lambda generators: (orbits(generators) - 1).clamp(min=0))


def sheets_in_another_order(patch):
    bank = WINDOWS.bank_of
    patch.setattr(WINDOWS, "bank_of", lambda *args: Bank(bank(*args).edge_type.roll(1, 0)))


def mirrored_table(patch):
    bank = WINDOWS.bank_of
    patch.setattr(WINDOWS, "bank_of", lambda *args: Bank(bank(*args).edge_type.flip(-1)))


@pytest.mark.usefixtures("_unplanned")
@pytest.mark.parametrize(
    ("number", "fault", "seen_in"),
    [
        ("01", half_degrees, "01 x'Lx"),
        ("01", relabelled_backwards, "01 relabelling, 20 permutations: Conv"),
        ("02", reference_without_bias, "02 sum_t S_t X W_t: A"),
        ("02", no_bias, "02 sum_t S_t X W_t: self and others"),
        ("02", detached_bias, "02 sum_t S_t X W_t: A"),
        ("02", wrong_norm, "02 sum_t S_t X W_t: D^-1 A"),
        ("02", links_backwards, "02 where the Jacobian of 1 tanh layers is not 0 = ((A+I)^1 > 0)"),
        ("03", doubled_frequencies, "03 eigenvalues 2-2cos(2 pi k/n), n=8"),
        ("03", longer_waves, "03 Parseval"),
        ("03", shifted_modes, "03 eigenvalues and projectors of eigh: path"),
        ("03", other_taps, "03 db2 and its reverse"),
        ("04", wrong_norm, "04 GCN = D~^-1/2 (A+I) D~^-1/2 X W"),
        ("04", links_backwards, "04 GCN = PyG's GCNConv"),
        ("04", half_degrees, "04 U p(Lambda) U'x = Chebyshev recursion, K=10"),
        ("05", rolled_bank, "05 conv2d 3x3, zero padding"),
        ("05", no_bias, "05 self-edge = conv2d 1x1"),
        ("05", mirrored_table, "05 conv1d 2, circular padding"),
        ("05", detached_bias, "05 conv3d 1x1x1, zero padding"),
        ("06", other_gates, "06 nn.GRU, forward, initial and final states"),
        ("06", flipped_direction, "06 nn.LSTM, backward, initial and final states"),
        ("06", hears_the_next, "06 nn.LSTM in rounds, T=8: after k >= t rounds node t is exact"),
        ("06", rolled_bank, "06 linear recurrence = causal convolution with C A^k B"),
        (
            "06",
            forgets_nothing,
            "06 linear IndRNN = causal convolution with diag(u)^k W",
        ),
        ("07", unscaled, "07 random mask = deleted edges"),
        ("07", keys_for_queries, "07 nn.MultiheadAttention, self, weights of each head"),
        ("07", hears_the_future, "07 causal mask = past()"),
        ("09", forgets_other_chunks, "09 linear attention on past(), 150 nodes"),
        ("09", offsets_backwards, "09 9 heads of width 4"),
        ("10", no_reflections, "10 D_8 (16 elements)"),
        ("10", merged_orbits, "10 "),
        ("11", rolled_bank, "11 lifting to p4 3x3"),
        ("11", sheets_in_another_order, "11 p4m 3x3"),
        ("11", mirrored_table, "11 lifting to p4m 2x2"),
    ],
)
def test_a_planted_fault_is_seen(number, fault, seen_in, monkeypatch):
    fault(monkeypatch)
    assert [claim for claim in failed(number) if claim.startswith(seen_in)]


def test_what_must_differ_has_to_differ(monkeypatch):
    monkeypatch.setattr(
        "geodl.verify.rotations.randomised", lambda module, draw, scale=0.5: all_ones(module)
    )
    assert [claim for claim in failed("11") if claim.startswith("11 a plain CNN")]


def all_ones(module):
    """A window of equal weights commutes with every turn."""
    for parameter in module.double().parameters():
        torch.nn.init.ones_(parameter)
    return module


def test_a_claim_that_raises_is_a_claim_that_failed(monkeypatch):
    def broken():
        yield ROW
        raise RuntimeError("no\nkernel " * 40)

    def next_one():
        yield ROW._replace(claim="02 b")

    monkeypatch.setitem(verify.CLAIMS, "02", (broken, next_one))
    first, stopped, last = verify.run(rows=("02",))
    assert (first, last.claim) == (ROW, "02 b")
    assert stopped.claim.startswith("02 broken stopped: RuntimeError: no kernel")
    assert not stopped.passed and stopped.max_output_error == math.inf and "\n" not in stopped.claim
