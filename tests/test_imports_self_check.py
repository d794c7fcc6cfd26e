"""An import is compared with its original before anyone has it."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import geodl as g
from geodl.interop import from_pyg, from_torch
from geodl.interop.whole.failures import Place
from geodl.interop.whole.self_check import Imported, Original, check_import
from geodl.interop.whole.tracing import Trace
from geodl.testing import error


class WritesThroughAView(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(x)
        x[:, :2].mul_(2)
        return x


class Random(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5, training=True)


class OnlySingle(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, torch.ones(2, 4)).relu()


def test_a_write_that_no_layer_stands_for_is_refused_by_name():
    why = r"0.*e.*off the model's; the model writes in place by mul_ .*y = y \* 2"
    with pytest.raises(g.GeodlError, match=why):
        from_torch(WritesThroughAView(), torch.randn(3, 4))


def test_another_answer_is_refused():
    """As the last bits of a formula that is nearly the same."""
    x = torch.randn(3, 4)
    twin = nn.Linear(4, 4)
    made = Imported("it", from_torch(twin, x), Trace(twin, None, {}), {})
    check_import(made, Original(twin, (x,), {}))
    with torch.no_grad():
        twin.bias += 5e-6
    with pytest.raises(g.GeodlError, match="e-06 off the model's; .*one by one"):
        check_import(made, Original(twin, (x,), {}))
    with torch.no_grad():
        twin.bias.fill_(torch.nan)
    with pytest.raises(g.GeodlError, match="inf off"):
        check_import(made, Original(twin, (x,), {}))


def test_what_cannot_be_compared_is_imported():
    x, state = torch.randn(3, 4), torch.random.get_rng_state()
    assert from_torch(Random().train(), x).training
    assert error(from_torch(OnlySingle(), x)(x), OnlySingle()(x)) < 1e-6
    assert torch.equal(state, torch.random.get_rng_state())


def ring() -> Tensor:
    node = torch.arange(5)
    return torch.stack((node, node.roll(1)))


def test_a_norm_of_pyg_is_told_whether_there_is_a_batch():
    """PyG's `LayerNorm` has two formulas, which differ in where eps stands."""
    from torch_geometric.nn import GCN

    torch.manual_seed(0)
    model = GCN(4, 8, 2, 2, norm="layer_norm").double().eval()
    for part in model.norms:
        if hasattr(part, "eps"):
            part.eps = 0.5
    network = from_pyg(model)
    x, links = torch.randn(5, 4, dtype=torch.float64), ring()
    assert error(network(x, links), model(x, links)) < 1e-12
    batch = torch.tensor([0, 0, 1, 1, 1])
    for given in (torch.zeros(5, dtype=torch.long), batch):
        wanted = model(x, links[:, :0], batch=given)
        assert error(network(x, links[:, :0], batch=given), wanted) < 1e-12
    assert error(model(x, links, batch=torch.zeros_like(batch)), model(x, links)) > 1e-3
    assert error(network(g.Signal(x[None], g.Graph(links))).x[0], model(x, links)) < 1e-12


def test_channels_that_no_call_has_told_are_asked_for():
    from torch_geometric.nn import GCN

    model = GCN(-1, 8, 2, 2)
    with pytest.raises(g.GeodlError, match=r"convs.0.*run it once.*channels are known"):
        from_pyg(model)
    x, links = torch.randn(5, 4), ring()
    wanted = model(x, links)
    assert error(from_pyg(model)(x, links), wanted) < 1e-5


class NamedEntries(nn.Module):
    """Reads entries of answers by their names."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)

    def forward(self, x):
        y = self.conv(x)
        largest = y.topk(2, dim=-1)
        return y.sort(-1).values.sum(1) + largest.values.mean(-1, keepdim=True).sum(1)


def test_entries_of_an_answer_are_read_by_their_names():
    x = torch.randn(2, 1, 6, 6)
    model = NamedEntries()
    network = from_torch(model, x)
    torch.testing.assert_close(network(x), model(x))
    assert any("sort" in where for where in map(str, network.opaque()))


class Breaks(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.cumsum(1).sin()


def test_a_failure_names_its_node_and_its_line(monkeypatch):
    network = from_torch(Breaks(), torch.randn(3, 4))
    nodes = {node.name: node.path for node in network.nodes}
    made = Imported("it", network, Trace(Breaks(), None, {}), {"cumsum": Place(__file__, LINE)})

    def fail(*values: Tensor) -> Tensor:
        raise RuntimeError("no memory")

    monkeypatch.setattr(network[nodes["cumsum"]].function, "function", fail)
    why = r"fails on the example, at cumsum, at test_imports_self_check.py, line \d+: "
    why += r"return x.cumsum\(1\).sin\(\): RuntimeError: no memory"
    with pytest.raises(g.GeodlError, match=why):
        check_import(made, Original(Breaks(), (torch.randn(3, 4),), {}))


LINE = Breaks.forward.__code__.co_firstlineno + 1


class Masked(nn.Module):
    """A constant mask of booleans, so that torch.fx cannot follow the attention."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        mask = torch.ones(6, 6).triu(1).bool()
        return self.attention(x, x, x, need_weights=False, attn_mask=mask)[0]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", ["masked", "encoder", "norm first"])
def test_views_of_tensors_that_lie_otherwise_than_the_original_s(name, training):
    """torch.export names views by their method; a signal's channels lie last in memory."""
    torch.manual_seed(0)
    model: nn.Module = Masked()
    if name != "masked":
        first = name == "norm first"
        model = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True, norm_first=first)
    model = model.double().train(training)
    x = torch.randn(2, 6, 8, dtype=torch.float64, requires_grad=True)
    network = from_torch(model, x)
    for given in (x, x[:1]):
        assert error(network(given), model(given)) < 1e-10
        upstream = torch.randn_like(given)
        (found,) = torch.autograd.grad(network(given), x, upstream)
        (wanted,) = torch.autograd.grad(model(given), x, upstream)
        assert error(found, wanted) < 1e-10
