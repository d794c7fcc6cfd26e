"""What graphs, sets and unions take: every value is kept as it is or refused in words; foreign
graphs are checked before they are read.
"""

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp
import torch
import torch_geometric.transforms as T
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch_geometric.data import Batch as PygBatch
from torch_geometric.data import Data, HeteroData

import geodl as g
from geodl.domain import DOMAINS, same_place
from geodl.domain.base import MOST_KEPT, memo
from geodl.errors import as_integer, positive

ONE = [[0], [1]]
INTEGERS = (3, np.int64(3), np.uint8(3), np.array(3), torch.tensor(3), torch.tensor(3).int())
NO_SIZES = (True, np.bool_(True), torch.tensor(True), 3.0, np.float64(3), torch.tensor(3.0), "3")
NO_SIZES += (None, [3], torch.tensor([3]), np.array([3]), torch.tensor(3, device="meta"))


@pytest.mark.parametrize("number", INTEGERS, ids=repr)
def test_sizes_are_the_integers_they_are(number):
    assert type(positive("", number)) is int and positive("", number) == 3
    assert g.Chain(number) == g.Chain(3) and hash(g.Chain(number)) == hash(g.Chain(3))
    assert g.Complete(number) == g.Complete(3)
    assert g.Grid(number, 4) == g.Grid(3, 4) and str(g.Grid(number, 4)) == "Grid(3, 4)"
    assert g.Graph(ONE, number).num_nodes == 3
    assert g.S(number) == g.S(3) and g.adjacency(types=number) == g.adjacency(types=3)
    assert g.window(number, axes=number, stride=number) == g.window(3, axes=3, stride=3)
    assert g.window(3, padding=(number, 1)) == g.window(3, padding=(3, 1))
    layers = (
        lambda n: g.Conv(n, n, g.itself()),
        lambda n: g.Attention(n, g.all_pairs(), n, head_dim=n),
        lambda n: g.Recurrent(n, n),
        lambda n: g.Embedding(n, n),
        lambda n: g.BatchNorm(n),
        lambda n: g.LearnedPositions(n, n),
        lambda n: g.LaplacianPositions(n, n),
    )
    for layer in layers:
        shapes = [p.shape for p in layer(number).parameters()]
        assert shapes == [p.shape for p in layer(3).parameters()]
        assert str(layer(number)) == str(layer(3))


@pytest.mark.parametrize("number", NO_SIZES, ids=repr)
@pytest.mark.filterwarnings("ignore:In future, it will be an error")
def test_what_is_no_size(number):
    assert as_integer(number) is None
    for make in (
        lambda n: g.window([n, n]),
        lambda n: g.window(3, axes=n),
        lambda n: g.window(3, stride=[n, n]),
        lambda n: g.window(3, padding=[n, n]),
    ):
        if not isinstance(number, list):
            with pytest.raises(g.GeodlError, match="window"):
                make(number)
    for make in (g.Chain, g.Complete, g.Grid, g.BatchNorm, lambda n: g.Conv(n, 2, g.itself())):
        with pytest.raises(g.GeodlError, match="the size .*; give positive integers"):
            make(number)
    if number is not None:
        with pytest.raises(g.GeodlError, match="the size .*; give positive integers"):
            g.Graph(ONE, number)


LOST = {
    "complex": (torch.tensor([1j]), "complex64; give real numbers"),
    "booleans": (torch.tensor([True]), "bool; keep the edges that are there"),
    "a list of booleans": ([True], "bool; keep the edges"),
    "large integers": (torch.tensor([2**53 + 1]), "beyond 2\\^53"),
    "large negative ones": (torch.tensor([-(2**63)]), "beyond 2\\^53"),
    "uint64": (np.array([2**63], dtype=np.uint64), "uint64; use weight.float"),
    "float8": (torch.ones(1).to(torch.float8_e5m2), "float8_e5m2; use weight.float"),
    "larger than int64": ([2**70], "not a tensor"),
    "strings": (["heavy"], "not a tensor"),
    "None inside": ([None], "not a tensor"),
    "ragged": ([[1.0, 2.0], [3.0]], "not a tensor"),
    "objects": (np.array([object()]), "not a tensor"),
    "sparse": (torch.ones(1).to_sparse(), "layout torch.sparse_coo; give a dense"),
    "a gradient": (nn.Parameter(torch.ones(1)), "asks for a gradient"),
    "NaN": (np.array([np.nan]), "NaN or infinite"),
}


@pytest.mark.parametrize("name", LOST)
def test_weights_that_a_copy_would_change(name):
    weight, words = LOST[name]
    with pytest.raises(g.GeodlError, match=words):
        g.Graph(ONE, edge_weight=weight)


@pytest.mark.parametrize(
    "weight",
    [
        [2],
        [2**53],
        np.array([-3], dtype=np.int8),
        np.array([2.5], dtype=">f8"),
        torch.tensor([0.1], dtype=torch.float64),
        torch.tensor([0.1], dtype=torch.float16),
        torch.tensor([0.1], dtype=torch.bfloat16),
        np.array([1.0, 2.5, 3.0])[::-2][:1],
    ],
    ids=str,
)
def test_weights_that_are_kept(weight):
    kept = g.Graph(ONE, edge_weight=weight).edge_weight
    assert kept.is_floating_point() and kept.double().tolist() == [float(weight[0])]


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ("ab", "edge_index that is not a tensor"),
        ([["a"], ["b"]], "not a tensor"),
        ([[0, 1], [1]], "not a tensor"),
        (torch.tensor([[0j], [1j]]), "complex64; node numbers are integers"),
        (torch.eye(2).to_sparse(), "layout torch.sparse_coo"),
        (torch.zeros(2, 3, dtype=torch.long, device="meta"), "without values"),
        (np.array([[2**63], [0]], dtype=np.uint64), "node numbers from -"),
        ([torch.zeros(2), torch.zeros(3)], "not a tensor"),
    ],
)
def test_edges_that_are_none(index, words):
    with pytest.raises(g.GeodlError, match=words):
        g.Graph(index, 3)


def test_edges_in_many_forms():
    src, dst = [0, 1, 1], [1, 0, 2]
    forms = [
        [src, dst],
        (tuple(src), tuple(dst)),
        torch.tensor([src, dst]),
        [torch.tensor(src), torch.tensor(dst)],
        [np.array(src), np.array(dst)],
        np.array([src, dst], dtype=np.uint16),
        np.array([dst, src])[::-1],
        np.array([src, dst], order="F", dtype=">i4"),
        torch.tensor([src, dst]).T.contiguous().T,
    ]
    for form in forms:
        graph = g.Graph(form)
        assert graph.edge_index.tolist() == [src, dst]
        assert graph.edge_index.dtype == torch.long
    array = np.array([src, dst])
    kept = g.Graph(array)
    array[:] = 0
    assert kept.edge_index.tolist() == [src, dst], "a graph keeps its own copy"


@pytest.mark.parametrize("kind", [[True], [0.5], [-1], torch.tensor([1j]), ["a"]], ids=str)
def test_relation_numbers_that_are_none(kind):
    with pytest.raises(g.GeodlError, match="edge_type"):
        g.Graph(ONE, edge_type=kind)


@pytest.mark.parametrize(
    "moves", [[[1.0, 0.0]], [[True, False]], [[1j, 0]], [1, 0], [["a"]], [[0, 0]], 3, "10"], ids=str
)
def test_permutations_that_are_none(moves):
    with pytest.raises(g.GeodlError, match="GSet"):
        g.GSet(moves)
    if moves != [1, 0]:
        with pytest.raises(g.GeodlError, match="relabelling"):
            g.Graph(ONE).relabel(moves)


def test_relabelled_by_a_list():
    assert g.Graph(ONE).relabel([1, 0]).edge_index.tolist() == [[1], [0]]
    with pytest.raises(g.GeodlError, match="3 numbers, not a permutation of its nodes"):
        g.Graph(ONE).relabel([1, 0, 2])


@pytest.mark.parametrize("members", [5, g.Chain(3), None, "ab", [3], [g.Batch([g.Chain(2)])]])
def test_members_that_are_none(members):
    with pytest.raises(g.GeodlError, match="Batch"):
        g.Batch(members)


@pytest.mark.parametrize("parts", [(g.Grid(4, 4), "C4"), ((4, 4), g.C(4)), (g.C(4), g.Grid(4, 4))])
def test_a_fiber_over_what_is_no_grid(parts):
    with pytest.raises(g.GeodlError, match=r"give both, as in GroupGrid"):
        g.GroupGrid(*parts)


# networkx


def test_weights_by_an_attribute_of_networkx():
    named = nx.Graph()
    named.add_edge("a", "b", weight=2.0)
    named.add_edge("b", "c")
    named.add_edge("c", "c", weight=np.float32(0.5))
    graph = g.Graph.from_networkx(named, weight="weight")
    wanted = nx.to_numpy_array(named, weight="weight")
    assert np.array_equal(graph.to_scipy().toarray(), wanted), "1 where the attribute is missing"
    nx.set_edge_attributes(named, 1, "weight")
    assert g.Graph.from_networkx(named, weight="weight").edge_weight is None
    empty = g.Graph.from_networkx(nx.empty_graph(3), weight="weight")
    assert empty.num_nodes == 3 and empty.edge_weight is None


@pytest.mark.parametrize(
    ("value", "weight", "words"),
    [
        (1.0, "wieght", "no edge with the attribute 'wieght'; did you mean 'weight'"),
        (1.0, "mass", "no edge with the attribute 'mass'; choose from weight"),
        (None, "weight", r"the weight None of edge \(0, 1\); give each edge a real number"),
        ("heavy", "weight", "the weight 'heavy'"),
        ("2.5", "weight", "the weight '2.5'"),
        (1j, "weight", "the weight 1j"),
        (True, "weight", "the weight True"),
        (2**53 + 1, "weight", "which float64 rounds"),
        (float("nan"), "weight", "NaN or infinite"),
    ],
)
def test_attributes_of_networkx_that_are_no_weights(value, weight, words):
    graph = nx.DiGraph()
    graph.add_edge(0, 1, weight=value)
    with pytest.raises(g.GeodlError, match=words):
        g.Graph.from_networkx(graph, weight=weight)


def test_a_plain_graph_has_no_attribute_to_name():
    with pytest.raises(
        g.GeodlError, match="no edge with the attribute 'weight'; leave out weight="
    ):
        g.Graph.from_networkx(nx.path_graph(3), weight="weight")


@pytest.mark.parametrize("foreign", [[(0, 1)], None, "graph", sp.eye_array(3), 3], ids=repr)
def test_what_is_no_graph_of_networkx(foreign):
    with pytest.raises(g.GeodlError, match="give a networkx graph"):
        g.Graph.from_networkx(foreign)


# scipy


def test_ones_in_scipy_say_who_is_linked():
    pattern = sp.csr_array([[0, 1, 0], [1, 0, 1], [0, 1, 0]])
    for matrix in (pattern, pattern.astype(float), pattern.astype(bool), pattern.tocoo()):
        graph = g.Graph.from_scipy(matrix)
        assert graph.edge_weight is None and graph.num_nodes == 3
        assert np.array_equal(graph.to_scipy().toarray(), pattern.toarray())
    s = g.Signal(torch.randn(1, 3, 2), g.Graph.from_scipy(pattern))
    assert g.Attention(2, g.adjacency(), 1)(s).x.shape == (1, 3, 2)
    assert g.Pool(g.adjacency(), "max")(s).x.shape == (1, 3, 2)
    heavy = g.Graph.from_scipy(2 * pattern)
    assert heavy.edge_weight.tolist() == [2.0] * 4 and heavy.edge_weight.dtype == torch.float64
    stored = sp.coo_array((np.array([True, False]), ([0, 1], [1, 0])), shape=(2, 2))
    assert g.Graph.from_scipy(stored).edge_index.tolist() == [[1], [0]], "False is no link"


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (np.eye(3), "ndarray; give a sparse matrix: scipy.sparse.csr_array"),
        (np.matrix(np.eye(3)), "give a sparse matrix"),
        (torch.eye(3), "a Tensor; give a sparse matrix"),
        ([[0, 1], [1, 0]], "a list; give a sparse matrix"),
        (nx.path_graph(3), "a Graph; give a sparse matrix"),
        (sp.csr_array((2, 3)), "an adjacency matrix is square"),
        (sp.csr_array([[1j, 0], [0, 1]]), "complex128; give real numbers"),
        (sp.csr_array(np.array([[2**60 + 1, 0], [0, 1]])), "beyond 2\\^53"),
    ],
    ids=range(8),
)
def test_matrices_that_are_none(matrix, words):
    with pytest.raises(g.GeodlError, match=words):
        g.Graph.from_scipy(matrix)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_scipy_takes_every_weight(dtype):
    matrix = g.Graph(ONE, edge_weight=torch.tensor([0.5], dtype=dtype)).to_scipy()
    assert matrix[1, 0] == 0.5


# PyG


@pytest.mark.filterwarnings("ignore:Sparse")
@given(seed=st.integers(0, 100), weighted=st.booleans())
def test_transposed_adjacency_is_the_graph(seed, weighted):
    rng = torch.Generator().manual_seed(seed)
    index = torch.randint(5, (2, 9), generator=rng).unique(dim=1)
    data = Data(x=torch.randn(5, 2, generator=rng), edge_index=index)
    data.edge_type = torch.arange(index.shape[1])
    if weighted:
        data.edge_weight = torch.rand(index.shape[1], generator=rng) + 1
    sparse = T.ToSparseTensor()(data.clone())
    assert "edge_index" not in sparse
    ours, plain = g.Graph.from_pyg(sparse), g.Graph.from_pyg(data)
    assert ours.num_nodes == 5 and (ours.edge_weight is None) == (not weighted)
    assert np.array_equal(ours.to_scipy().toarray(), plain.to_scipy().toarray())
    types = [
        {
            pair: kind
            for *pair, kind in torch.cat((d.edge_index, d.edge_type[None])).T.tolist()
            for pair in [tuple(pair)]
        }
        for d in (ours, plain)
    ]
    assert types[0] == types[1]


def test_the_number_of_nodes_of_a_data():
    index = torch.tensor([[0, 2], [2, 0]])
    assert g.Graph.from_pyg(Data(edge_index=index)).num_nodes == 3
    assert g.Graph.from_pyg(Data(edge_index=index, num_nodes=7)).num_nodes == 7
    assert g.Graph.from_pyg(Data(edge_index=index, x=torch.zeros(4, 1))).num_nodes == 4
    none = torch.zeros(2, 0, dtype=torch.long)
    assert g.Graph.from_pyg(Data(edge_index=none, num_nodes=2)).edge_index.shape == (2, 0)


def hetero() -> HeteroData:
    data = HeteroData()
    data["author"].x = torch.zeros(2, 1)
    data["author", "knows", "author"].edge_index = torch.tensor([[0], [1]])
    return data


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (Data(), "neither edge_index nor adj_t: no edges; build them"),
        (Data(x=torch.zeros(3, 1)), "no edges; .* Complete\\(n\\) for a set of points"),
        (Data(edge_index=torch.zeros(2, 0, dtype=torch.long)), "no nodes"),
        (Data(adj_t="sparse", num_nodes=3), "adj_t, a str, in place of edge_index"),
        (Data(adj_t=torch.eye(3)), "remove_edge_index=False"),
        (Data(adj_t=torch.eye(3).to_sparse_csc()), "a CSR tensor"),
        (hetero(), "a HeteroData; use data.to_homogeneous"),
        ([1, 2], "a list; give a torch_geometric.data.Data"),
        (nx.path_graph(2), "a Graph; give a torch_geometric"),
    ],
    ids=range(9),
)
def test_data_that_are_no_graph(data, words):
    with pytest.raises(g.GeodlError, match=words):
        g.Graph.from_pyg(data)


def test_batches_of_pyg_are_checked_too():
    with pytest.raises(g.GeodlError, match="a HeteroData"):
        g.Batch(PygBatch.from_data_list([hetero(), hetero()]))
    assert g.Graph.from_pyg(hetero().to_homogeneous()).edge_type.tolist() == [0]


# What every domain knows of its members


@pytest.mark.parametrize("domain", [d for kind in DOMAINS for d in kind.small()], ids=str)
def test_sizes_and_members(domain):
    members = domain.members or (domain,)
    assert domain.sizes == tuple(member.num_nodes for member in members)
    assert domain.num_members == len(domain.sizes)
    wanted = [k for k, size in enumerate(domain.sizes) for _ in range(size)]
    assert domain.member_of().tolist() == wanted
    assert domain.device == (domain.tensors()[0].device if domain.tensors() else None)


def test_the_same_place():
    graph = g.Graph(ONE)
    assert same_place(g.Chain(3), g.Chain(3)) and not same_place(g.Chain(3), g.Grid(3))
    assert same_place(graph, graph) and not same_place(graph, g.Graph(ONE))
    batch = g.Batch([graph, g.Chain(2)])
    assert same_place(batch, g.Batch([graph, g.Chain(2)]))
    assert not same_place(batch, g.Batch([g.Chain(2), graph]))


def test_what_a_domain_keeps_is_bounded():
    graph, made = g.Graph(ONE), []
    for k in range(3 * MOST_KEPT):
        assert memo(graph, k, lambda k=k: made.append(k) or k) == k
    assert memo(graph, 3 * MOST_KEPT - 1, lambda: -1) == 3 * MOST_KEPT - 1
    assert len(made) == 3 * MOST_KEPT and len(graph.cache["memo"]) == MOST_KEPT
    assert memo(graph, 0, lambda: -1) == -1, "the oldest leaves"
    assert [memo(g.Chain(2), "key", lambda k=k: k) for k in range(2)] == [0, 1]
