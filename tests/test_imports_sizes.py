"""What a model of a graph computes of its numbers of nodes, links and graphs follows each call,
also where they are equal on the example.
"""

import pytest
import torch
import torch_geometric.nn as pyg
from torch import nn

import geodl as g
from geodl.interop import from_pyg
from geodl.interop.converters import TRACED, Converter
from geodl.interop.whole.self_check import Imported, Original, check_import
from geodl.interop.whole.tracing import Trace
from geodl.testing import error
from tests.test_imports_pyg_calls import values
from tests.twins import drawn

RING = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])  # as many links as nodes and as channels
PAIRS = torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])


def links_of_a_row(model, x, links):
    return x / links[0].size(0)


def length_of_links(model, x, links):
    return x * len(links[1])


def mean_degree(model, x, links):
    return x * (links.size(1) / x.size(0))


def nodes_by_channels(model, x, links):
    return model.conv(x, links) * (x.size(0) / x.size(1))


def index_add(model, x, links):
    row, col = links[0], links[1]
    return torch.zeros_like(x).index_add(0, col, model.linear(x)[row])


def unpacked(model, x, links):
    row, col = links
    return x.new_zeros(x.shape).index_add_(0, col, x[row])


def gated_messages(model, x, links):
    gate = torch.sigmoid(model.linear(x[links[0]]))
    messages = gate * x[links[1]]
    index = links[1][:, None].expand(-1, 4)
    return torch.zeros(x.size(0), x.size(1), dtype=x.dtype).scatter_add(0, index, messages)


def scores_of_links(model, x, links):
    z = model.conv(x, links)
    return (z[links[0]] * z[links[1]]).sum(-1)


def features_of_links(model, x, links):
    return model.wide(torch.cat([x[links[0]], x[links[1]]], -1)).relu()


def inner_products(model, x, links):
    z = model.conv(x, links)
    return torch.sigmoid(z @ z.t())


def inner_products_by_mm(model, x, links):
    return torch.mm(model.conv(x, links), model.conv(x, links).T).relu()


def attention_of_all(model, x, links):
    z = model.conv(x, links)
    return torch.softmax(z @ z.t() / 2, -1) @ x


def sums_of_channels(model, x, links):
    return model.conv(x, links).sum(1)


MODELS = (
    *(links_of_a_row, length_of_links, mean_degree, nodes_by_channels),
    *(index_add, unpacked, gated_messages, scores_of_links, features_of_links),
    *(inner_products, inner_products_by_mm, attention_of_all, sums_of_channels),
)


def count_of_graphs(model, x, links, batch):
    means = pyg.global_mean_pool(model.conv(x, links), batch)
    return means * means.size(0)


def means_of_graphs(model, x, links, batch):
    return x - pyg.global_mean_pool(x, batch)[batch]


class Parts(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function
        self.conv = pyg.GCNConv(4, 4)
        self.linear = nn.Linear(4, 4)
        self.wide = nn.Linear(8, 4)


class OneGraph(Parts):
    def forward(self, x, edge_index):
        return self.function(self, x, edge_index)


class SeveralGraphs(Parts):
    def forward(self, x, edge_index, batch):
        return self.function(self, x, edge_index, batch)


def assert_agree(network, model, x, *given):
    """The same answer and the same gradient of the features."""
    one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    ours, theirs = network(one, *given), model(other, *given)
    assert error(ours, theirs) <= 1e-10
    upstream = torch.linspace(-1, 1, theirs.numel(), dtype=x.dtype).view(theirs.shape)
    (found,) = torch.autograd.grad(ours, one, upstream)
    (wanted,) = torch.autograd.grad(theirs, other, upstream)
    assert error(found, wanted) <= 1e-10


@pytest.mark.parametrize("count", [1, 4, 7, 10])
@pytest.mark.parametrize("function", MODELS, ids=lambda one: one.__name__)
def test_numbers_of_nodes_and_links_follow_the_call(function, count):
    model = drawn(OneGraph(function)).eval()
    network = from_pyg(model, (values(4, 4), RING))
    for links in (2 * count + 1, 3):
        index = torch.randint(count, (2, links), generator=torch.Generator().manual_seed(1))
        assert_agree(network, model, values(count, 4), index)


@pytest.mark.parametrize("function", [count_of_graphs, means_of_graphs])
def test_numbers_of_graphs_follow_the_call(function):
    model = drawn(SeveralGraphs(function)).eval()
    network = from_pyg(model, (values(4, 4), PAIRS, torch.tensor([0, 0, 1, 1])))
    for count in (1, 3, 8):
        loops = torch.arange(count).expand(2, -1)
        assert_agree(network, model, values(count, 4), loops, torch.arange(count) * 2 // 3)


def test_a_number_of_the_example_is_refused(monkeypatch):
    """As by a converter that takes a length for a constant."""

    def bake(build, call):
        return call.example

    monkeypatch.setitem(TRACED, torch.Tensor.size, Converter(bake, "each", ""))
    model = drawn(OneGraph(nodes_by_channels)).eval()
    with pytest.raises(g.GeodlError, match="an import whose answer on the example is .* off"):
        from_pyg(model, (values(4, 4), RING))


def test_an_import_that_is_right_on_the_example_alone_is_refused():
    model = drawn(OneGraph(inner_products)).eval()
    longer = (values(5, 4), RING)
    network = from_pyg(model, (values(4, 4), RING))
    made = Imported("it", network, Trace(model, None, {}), {})
    size = "a graph of another size"
    check_import(made, Original(model, longer, {}), size)
    other = drawn(OneGraph(links_of_a_row)).eval()
    with pytest.raises(g.GeodlError, match="answer on a graph of another size is inf off"):
        check_import(made, Original(other, longer, {}), size)


def test_a_model_of_one_number_of_nodes_is_imported():
    class Table(Parts):
        def __init__(self):
            super().__init__(None)
            self.table = nn.Parameter(torch.zeros(4, 4))

        def forward(self, x, edge_index):
            return self.conv(x + self.table, edge_index)

    model = drawn(Table()).eval()
    network = from_pyg(model, (values(4, 4), RING))
    assert_agree(network, model, values(4, 4), RING)


def test_graphs_without_links_are_examples():
    model = drawn(OneGraph(nodes_by_channels)).eval()
    network = from_pyg(model, (values(4, 4), RING[:, :0]))
    assert_agree(network, model, values(5, 4), RING)
