"""Signals: images, sequences and graphs as one data type, bit for bit."""

import io
import operator
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils import _pytree as pytree

import geodl as g
from tests.compilation import random_signal
from tests.table import GRAPH, GRID, MIXED, SET


@given(
    st.integers(0, 3),
    st.integers(1, 3),
    st.lists(st.integers(1, 5), min_size=1, max_size=3),
    st.booleans(),
)
def test_image_and_back_is_bit_equal(batch, channels, axes, periodic):
    image = torch.randn(batch, channels, *axes)
    s = g.Signal.image(image, axes=len(axes), periodic=periodic)
    assert s.domain == g.Grid(*axes, periodic=periodic) and s.x.is_contiguous()
    assert s.to_image().equal(image)
    x = torch.arange(image.numel()).view(image.shape)
    nodes = g.Signal.image(x.double(), axes=len(axes)).x
    assert nodes.equal(x.double().flatten(2).transpose(1, 2)), "the last axis is the fastest"


def test_channels_last_is_not_copied():
    image = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    s = g.Signal.image(image)
    assert s.x.data_ptr() == image.data_ptr() == s.to_image().data_ptr()
    sequence = torch.randn(2, 7, 3)
    assert (
        g.Signal.sequence(sequence).x is sequence
        and g.Signal.sequence(sequence).to_sequence() is sequence
    )


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(0, 2))
def test_padding_and_back(lengths, beyond):
    x = torch.randn(len(lengths), max(lengths) + beyond, 2, requires_grad=True)
    mask = torch.arange(x.shape[1]) < torch.tensor(lengths)[:, None]
    s = g.Signal.sequence(x, mask)
    kept = max(lengths)
    if min(lengths) == kept:
        assert s.domain == g.Chain(kept) and s.x.shape[0] == len(lengths)
    else:
        assert [m.num_nodes for m in s.domain.members] == lengths and s.x.shape == (
            1,
            sum(lengths),
            2,
        )
    back = s.to_sequence(fill=7.0)
    assert back.equal(torch.where(mask[..., None], x, 7.0)[:, :kept])
    assert s.to_sequence(7.0, length=x.shape[1]).equal(torch.where(mask[..., None], x, 7.0))
    (gradient,) = torch.autograd.grad(back.sum(), x)
    assert gradient.equal(mask[..., None].expand_as(x).float())


def test_padding_of_several_unions():
    s = g.Signal(torch.arange(8.0).view(2, 4, 1), g.Batch([g.Chain(3), g.Chain(1)]))
    assert s.to_sequence(-1.0)[..., 0].tolist() == [[0, 1, 2], [3, -1, -1], [4, 5, 6], [7, -1, -1]]
    none = g.Signal.sequence(torch.zeros(0, 3, 2), torch.zeros(0, 3, dtype=torch.bool))
    assert none.domain == g.Chain(3) and none.to_sequence().shape == (0, 3, 2)


SEQUENCE = g.Signal.sequence(torch.zeros(2, 3, 1))


def masked(*rows: list[bool], **options) -> g.Signal:
    return g.Signal.sequence(torch.zeros(2, 3, 1), torch.tensor(rows, **options))


def test_a_fiber_becomes_channels():
    domain = g.GroupGrid(g.Grid(2, 3), g.C(4))
    x = torch.arange(2 * 24 * 5.0).view(2, 24, 5)
    image = g.Signal(x, domain).to_image()
    assert image.shape == (2, 20, 2, 3)
    for point, h, c in ((0, 0, 0), (4, 3, 2), (5, 1, 4)):
        assert image[1, h * 5 + c, point // 3, point % 3] == x[1, point * 4 + h, c]


def test_as_a_tree_of_tensors():
    graph = g.Graph([[0, 1], [1, 0]], 3, edge_weight=[1.0, 2.0])
    s = g.Signal(torch.randn(1, 3, 2), graph)
    leaves, spec = pytree.tree_flatten(s)
    assert leaves[0] is s.x and leaves[1] is graph.edge_index and leaves[2] is graph.edge_weight
    assert pytree.tree_unflatten(leaves, spec).domain is graph, (
        "the same tensors are the same graph"
    )
    doubled = pytree.tree_map(lambda t: t * 2 if t.is_floating_point() else t.clone(), s)
    assert (
        doubled.x.equal(s.x * 2)
        and doubled.domain is not graph
        and doubled.domain.edge_weight.tolist() == [2.0, 4.0]
    )
    assert pytree.tree_leaves(g.Signal.sequence(torch.zeros(1, 2, 3)))[0].shape == (1, 2, 3)


def test_moves_and_pickles():
    s = g.Signal(torch.randn(1, 2, 2), g.Graph([[0, 1], [1, 0]]))
    moved = s.to("meta")
    assert moved.x.is_meta and moved.domain.edge_index.is_meta
    back = pickle.loads(pickle.dumps(s))
    assert back.x.equal(s.x) and back.domain.edge_index.equal(s.domain.edge_index)


def test_borders_refuse():
    for make, words in (
        (lambda: g.Signal.image(torch.zeros(2, 3)), r"\[B, C, \*axes\]"),
        (lambda: g.Signal.image(torch.zeros(1, 1, 2, 2, 2, 2)), "one to three axes"),
        (lambda: g.Signal.image(torch.zeros(1, 1, 0, 2)), "positive integers"),
        (
            lambda: g.Signal.image(torch.zeros(3, 8, 8)),
            r"shape \[3, 8, 8\]; .* x\[None\], .* axes=1",
        ),
        (lambda: g.Signal.image(torch.zeros(1, 3, 8, 8), axes=1), "one to three axes"),
        (lambda: g.Signal.image(torch.zeros(1, 3, 8), axes=True), "the size True"),
        (lambda: g.Signal.image([[1.0]]), "a list"),
        (lambda: g.Signal.sequence(torch.zeros(3, 2)), r"give \[B, T, C\]"),
        (lambda: g.Signal.sequence(torch.zeros(1, 0, 2)), "without a token"),
        (
            lambda: masked([1, 1, 0], [0, 0, 0], dtype=torch.bool),
            "row 1 without a token; .* leave empty rows out",
        ),
        (
            lambda: masked([0, 1, 1], [1, 1, 1], dtype=torch.bool),
            "row 0 with padding before a token",
        ),
        (
            lambda: masked([1, 1, 0], [1, 0, 1], dtype=torch.bool),
            "row 1 with padding before a token",
        ),
        (lambda: masked([1, 1, 0], [1, 1, 1]), r"torch.int64, cpu; give booleans \[2, 3\]"),
        (lambda: masked([1, 1], [1, 1], dtype=torch.bool), r"a mask that is \[2, 2\]"),
        (lambda: g.Signal.sequence(torch.zeros(2, 3, 1), [[True] * 3] * 2), "a list"),
        (
            lambda: masked([1, 1, 0], [1, 1, 1], dtype=torch.bool, device="meta"),
            "meta; give booleans",
        ),
        (lambda: g.Signal(torch.eye(4).to_sparse_csr(), g.Chain(4)).to_sequence(), "sparse values"),
        (lambda: SEQUENCE.to_sequence(length=2), "a row of 3; give length=3 at least"),
        (lambda: SEQUENCE.to_sequence(length=3.0), "the size 3.0"),
        (lambda: g.Signal.tokens(torch.zeros(1, 3).long()).to_sequence(0.5), "with an integer"),
        (
            lambda: g.Signal(torch.zeros(1, 3, 1).cfloat(), g.Chain(3)),
            r"complex64; .*view_as_real",
        ),
        (lambda: g.Signal(torch.zeros(1, 3, 1), g.Complete(3)).to_image(), "without a lattice"),
        (lambda: g.Signal(torch.zeros(1, 4, 1), g.Grid(2, 2)).to_sequence(), "without one order"),
        (lambda: g.Signal(torch.eye(4).to_sparse_csr(), g.Grid(2, 2)).to_image(), "sparse values"),
    ):
        with pytest.raises(g.GeodlError, match=words):
            make()


@pytest.mark.parametrize(
    "domain", [GRID, SET, GRAPH, MIXED, g.Batch([GRAPH, GRID]), g.GSet([[1, 0]])], ids=str
)
def test_a_signal_is_a_pytree(domain):
    s = random_signal(domain, 3)
    leaves, spec = pytree.tree_flatten(s)
    assert len(leaves) == 1 + len(domain.tensors())
    back = pytree.tree_unflatten(leaves, spec)
    assert back.x is s.x and back.domain is domain
    twice = pytree.tree_map(lambda leaf: leaf * 2 if leaf.is_floating_point() else leaf, s)
    assert torch.equal(twice.x, 2 * s.x) and twice.domain is domain
    moved = pytree.tree_map(lambda leaf: leaf.clone(), s)
    assert torch.equal(moved.x, s.x)
    assert all(
        torch.equal(a, b) for a, b in zip(moved.domain.tensors(), domain.tensors(), strict=True)
    )
    assert (moved.domain is domain) == (domain.cache is None)
    named = pytree.tree_map(type, s)
    assert named.x is torch.Tensor


def test_common_padding_comes_back_where_it_is_named():
    """As torch's pad_packed_sequence, which asks for `total_length`."""
    x, mask = torch.randn(2, 5, 8), torch.arange(5) < torch.tensor([[4], [2]])
    s = g.Signal.sequence(x, mask)
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, mask.sum(1), batch_first=True)
    for length in (None, 5, 9):
        theirs, _ = torch.nn.utils.rnn.pad_packed_sequence(packed, True, total_length=length)
        assert s.to_sequence(length=length).equal(theirs)
    one_length = g.Signal.sequence(x, torch.arange(5) < torch.full((2, 1), 3))
    assert one_length.domain == g.Chain(3)
    back = one_length.to_sequence(-1.0, length=5)
    assert back[:, :3].equal(x[:, :3]) and back[:, 3:].eq(-1).all()
    tokens = g.Signal.tokens(torch.tensor([[3, 1, 0]]))
    assert tokens.to_sequence(-100, length=4)[..., 0].tolist() == [[3, 1, 0, -100]]


def test_what_a_tensor_user_reaches_for():
    s = g.Signal(torch.randn(2, 9, 4), g.Grid(3, 3))
    assert s.shape == (2, 9, 4) and s.dtype == torch.float32 and s.device == torch.device("cpu")
    doubled = s.map(lambda x: 2 * x)
    assert doubled.domain is s.domain and doubled.x.equal(2 * s.x)
    assert (s + doubled).x.equal(3 * s.x) and (s + doubled).domain is s.domain
    assert s.with_x(torch.zeros(1, 9, 1, dtype=torch.float64)).shape == (1, 9, 1)
    assert s == s and s != g.Signal(s.x, s.domain), "equal only when they are the same object"
    sparse = g.Signal(torch.eye(9).to_sparse_csr(), s.domain)
    assert sparse.map(lambda x: 2 * x).x.to_dense().equal(2 * torch.eye(9))


def test_sums_of_masked_batches():
    """Two batches of equal chains are one domain, two graphs are not."""
    mask = torch.arange(4) < torch.tensor([[4], [2]])
    one, two = (g.Signal.sequence(torch.ones(2, 4, 3), mask) for _ in range(2))
    assert one.domain is not two.domain and (one + two).x.eq(2).all()
    twins = [g.Signal(torch.ones(1, 2, 1), g.Graph([[0], [1]])) for _ in range(2)]
    with pytest.raises(g.GeodlError, match="two domains; bring both to one"):
        _ = twins[0] + twins[1]
    with torch.autocast("cpu", torch.bfloat16):
        assert (one + two.to(torch.bfloat16)).dtype == torch.float32


def test_sums_and_maps_that_are_refused():
    s, ids = SEQUENCE, g.Signal.tokens(torch.zeros(2, 3).long())
    for make, words in (
        (lambda: s + g.Signal.sequence(torch.zeros(2, 4, 1)), "two domains"),
        (
            lambda: s + g.Signal.sequence(torch.zeros(1, 3, 1)),
            r"shapes \[2, 3, 1\] and \[1, 3, 1\]",
        ),
        (lambda: s + g.Signal.sequence(torch.zeros(2, 3, 4)), "nothing is broadcast"),
        (lambda: s + s.to(torch.float64), "float32 and torch.float64; convert one"),
        (lambda: s + s.to("meta"), "cpu and meta; move both"),
        (lambda: ids + ids, "tokens, which are names"),
        (lambda: s + 3, "a int; add two Signals"),
        (lambda: s + s.x, "float32 of shape"),
        (lambda: s.map(lambda x: x[:1]), r"shape \[1, 3, 1\]; give \[2, 3, C\]"),
        (lambda: s.map(lambda x: x.mean(1)), r"shape \[2, 1\]; give"),
        (lambda: s.map(lambda x: None), "a NoneType; give"),
        (lambda: s.map(None), r"signal.map\(None\): found a NoneType; give a function"),
        (lambda: s.to("abc"), "a signal moved to 'abc': found a device that torch does not know"),
        (lambda: s.to(3.5), "give a device"),
        (lambda: s.to(dtype="float"), "a str; give a torch.dtype"),
        (lambda: g.Graph([[0], [1]]).to("abc"), "a domain moved to 'abc'.*does not know"),
        (lambda: g.relation([[0], [0]], senders=1).to("abc"), "a relation moved to 'abc'"),
        (lambda: s.with_x(torch.zeros(2, 4, 1)), "4 nodes"),
    ):
        with pytest.raises(g.GeodlError, match=words):
            make()


NOT_OURS = {
    "a function": lambda s: torch.relu(s),
    "of several": lambda s: torch.cat([s, s]),
    "a functional": lambda s: torch.nn.functional.mse_loss(s, s),
    "a module": lambda s: torch.nn.Linear(1, 2)(s),
    "another module": lambda s: torch.nn.BatchNorm1d(3)(s),
    "a method": lambda s: s.view(-1),
    "an attribute": lambda s: s.grad,
    "from the left": lambda s: torch.ones(3) + s,
    "a number from the left": lambda s: 3 + s,
    "a product": lambda s: s * 2,
    "a product from the left": lambda s: 2 * s,
    "a matrix product": lambda s: s @ torch.ones(1, 2),
    "minus": lambda s: -s,
    "a difference": lambda s: s - s,
    "a power": lambda s: s**2,
    "a comparison": lambda s: s > 0,
    "a part": lambda s: s[0],
    "a part to be written": lambda s: operator.setitem(s, 0, 1),
    "a length": lambda s: len(s),
    "a number": lambda s: float(s),
    "an integer": lambda s: int(s),
    "rounding": lambda s: round(s),
    "an inversion": lambda s: ~s,
    "a mask": lambda s: s & s,
    "a membership": lambda s: 1 in s,
    "an array": lambda s: np.asarray(s),
}


@pytest.mark.parametrize("name", NOT_OURS)
def test_a_signal_is_no_tensor_and_says_so(name):
    with pytest.raises(g.GeodlError, match=r"a Signal, values together with their domain; use sig"):
        NOT_OURS[name](SEQUENCE)
    assert SEQUENCE, "as any object"


def test_unknown_attributes_are_attribute_errors():
    assert not hasattr(SEQUENCE, "view") and not hasattr(SEQUENCE, "nonsense")
    with pytest.raises(AttributeError, match="'Signal' object has no attribute 'nonsense'"):
        _ = SEQUENCE.nonsense
    with pytest.raises(g.GeodlError, match=r"use signal.x.view, or signal.map\(function\)"):
        _ = SEQUENCE.view


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
def test_moves_as_tensors_do(kind):
    s = g.Signal(torch.randn(1, 3, 2), g.Graph([[0, 1], [1, 2]], edge_weight=[1.0, 2.0]))
    assert s.to("cpu", non_blocking=True) is s and s.to(torch.float32) is s
    for moved in (s.to(kind), s.to(dtype=kind), s.to("cpu", kind), s.to(device="cpu", dtype=kind)):
        assert moved.x.equal(s.x.to(kind)) and moved.domain is s.domain
    assert s.to("meta", kind).domain.device.type == "meta" and s.to("meta").x.is_meta


def test_data_loaders_collate():
    images = [g.Signal.image(torch.randn(1, 1, 4, 4)) for _ in range(4)]
    loader = torch.utils.data.DataLoader(
        [(image, k) for k, image in enumerate(images)], batch_size=4
    )
    ((batch, labels),) = list(loader)
    assert batch.domain == g.Grid(4, 4) and labels.tolist() == [0, 1, 2, 3]
    assert batch.x.equal(torch.cat([image.x for image in images]))
    graphs = [g.Signal(torch.randn(1, n, 2), g.Graph([[0], [1]], n)) for n in (2, 3)]
    (batch,) = list(torch.utils.data.DataLoader(graphs, batch_size=2))
    assert batch.domain.members == tuple(s.domain for s in graphs) and batch.shape == (1, 5, 2)
    assert g.collate([batch, graphs[0]]).domain.num_members == 3
    same = [g.Signal(torch.randn(2, 2, 2), graphs[0].domain) for _ in range(3)]
    assert g.collate(same).domain is graphs[0].domain and g.collate(same).shape == (6, 2, 2)


def test_what_does_not_collate():
    chain = g.Signal.sequence(torch.zeros(1, 3, 1))
    for signals, words in (
        ([], "no signals"),
        ([chain, chain.to(torch.float64)], "of torch.float64 in signal 1"),
        ([chain, g.Signal.sequence(torch.zeros(1, 3, 2))], r"shape \[any, any, 2\] in signal 1"),
        ([chain, g.Signal.sequence(torch.zeros(2, 4, 1))], r"different domains, .* \[1, 2\]"),
        ([g.Signal(torch.eye(3).to_sparse_csr(), g.Chain(3))] * 2, "sparse values"),
    ):
        with pytest.raises(g.GeodlError, match=words):
            g.collate(signals)


def test_a_layer_is_exported_on_signals():
    layer, s = g.Conv(2, 3, g.window(3)), g.Signal(torch.randn(1, 16, 2), g.Grid(4, 4))
    domain = g.GroupGrid(g.Grid(4, 4), g.C(4))
    both = g.Signal(torch.randn(1, 64, 2), domain)
    for module, signal in ((layer, s), (g.Conv(2, 3, g.window(3, group=g.C(4))), both)):
        with torch.no_grad():
            y, file = module(signal), io.BytesIO()
            program = torch.export.export(module, (signal,))
            torch.export.save(program, file)
            file.seek(0)
            found = torch.export.load(file).module()(signal)
        assert found.x.equal(y.x) and found.domain == y.domain


def test_signals_compile():
    def double(s: g.Signal) -> g.Signal:
        return s.map(torch.relu) + s.with_x(s.x * 2)

    s = g.Signal(torch.randn(2, 9, 3), g.Grid(3, 3))
    fast = torch.compile(double, fullgraph=True, backend="eager")
    assert fast(s).x.equal(double(s).x) and fast(s).domain == s.domain
