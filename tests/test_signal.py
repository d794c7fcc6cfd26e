"""Signals: images, sequences and graphs as one data type, bit for bit."""

import pickle

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
    s = g.Signal.image(image, periodic=periodic)
    assert s.domain == g.Grid(*axes, periodic=periodic) and s.x.is_contiguous()
    assert s.to_image().equal(image)
    x = torch.arange(image.numel()).view(image.shape)
    assert g.Signal.image(x.double()).x.equal(x.double().flatten(2).transpose(1, 2)), (
        "nodes are numbered last axis fastest"
    )


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
    (gradient,) = torch.autograd.grad(back.sum(), x)
    assert gradient.equal(mask[..., None].expand_as(x).float())


def test_padding_of_several_unions():
    s = g.Signal(torch.arange(8.0).view(2, 4, 1), g.Batch([g.Chain(3), g.Chain(1)]))
    assert s.to_sequence(-1.0)[..., 0].tolist() == [[0, 1, 2], [3, -1, -1], [4, 5, 6], [7, -1, -1]]
    none = g.Signal.sequence(torch.zeros(0, 3, 2), torch.zeros(0, 3, dtype=torch.bool))
    assert none.domain == g.Chain(3) and none.to_sequence().shape == (0, 3, 2)


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
