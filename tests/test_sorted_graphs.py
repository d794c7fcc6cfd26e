"""Small graphs read in one pass: what the checks of domains refuse is refused alike, and containers
that run on them as functions of tensors answer what they answer layer by layer.
"""

import gc
import weakref
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch_geometric.data import Batch as PygBatch
from torch_geometric.data import Data
from torch_geometric.nn import GIN, global_add_pool

import geodl as g
from geodl.compiler import numba_missing
from geodl.domain import reading
from geodl.interop import from_pyg
from geodl.interop.whole.graph_door import domain_of
from geodl.layer.self_term import SelfTerm
from geodl.layer.unfolded import UnfoldedCalls, unfolded_calls
from geodl.lowering import PoolOptions
from geodl.pattern import sort_both_ways

pytestmark = pytest.mark.skipif(bool(numba_missing()), reason=numba_missing() or "-")

CHANNELS = 3


def _batch(sizes: list[int], seed: int = 0, *, loops: bool = False, links: int = 12) -> PygBatch:
    """Random graphs of some sizes with parallel edges, each with a link."""
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for size in sizes:
        index = torch.randint(size, (2, links), generator=generator)
        if not loops:
            index = index[:, index[0] != index[1]]
        x = torch.randn(size, CHANNELS, dtype=torch.float64, generator=generator)
        parts.append(Data(x, index))
    return PygBatch.from_data_list(parts)


def _slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "numba_missing", lambda: "left out here")


def _program_runs(model: nn.Module, signal: g.Signal) -> bool:
    """Whether the last call ran as functions of tensors."""
    calls = unfolded_calls(model)  # pyright: ignore[reportArgumentType] - a container
    assert calls is not None
    return calls._run_program(signal) is not None


@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=8),
    links=st.integers(0, 20),
    seed=st.integers(0, 99),
)
def test_both_readings_are_those_of_the_checks(sizes: list[int], links: int, seed: int) -> None:
    batch = _batch(sizes, seed, loops=True, links=links)
    graphs = reading.read_by_start(batch.edge_index, batch.ptr)
    other = reading.read_by_member(batch.edge_index, batch.batch)
    assert graphs is not None and other is not None
    nodes = batch.num_nodes
    wanted = sort_both_ways(batch.edge_index[1], batch.edge_index[0], (nodes, nodes))
    of_member = sort_both_ways(batch.batch, torch.arange(nodes), (len(sizes), nodes))
    for read in (graphs, other):
        assert torch.equal(read.edge_index, batch.edge_index)
        assert links == 0 or read.edge_index.data_ptr() != batch.edge_index.data_ptr()
        assert read.counts == tuple(sizes)
        assert torch.equal(read.starts, batch.ptr)
        for found, right in ((read.links, wanted), (read.members, of_member)):
            assert all(map(torch.equal, found[:4], right[:4]))
    loops = graphs.loops
    has_loops = bool((batch.edge_index[0] == batch.edge_index[1]).any())
    assert (loops is None) == has_loops
    if loops is not None:
        each = torch.arange(nodes)
        src, dst = torch.cat((batch.edge_index, each.expand(2, -1)), 1)
        assert all(map(torch.equal, loops[:4], sort_both_ways(dst, src, (nodes, nodes))[:4]))


INDEX = torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])
MEMBER = torch.tensor([0, 0, 1, 1])
WRONG = {
    "beyond": (torch.tensor([[0, 4], [1, 0]]), MEMBER),
    "negative": (torch.tensor([[0, -1], [1, 0]]), MEMBER),
    "across": (torch.tensor([[0, 2], [1, 1]]), MEMBER),
    "back": (INDEX, torch.tensor([0, 1, 0, 1])),
    "gap": (INDEX, torch.tensor([0, 0, 2, 2])),
    "from one": (INDEX, torch.tensor([1, 1, 2, 2])),
    "from minus one": (INDEX, torch.tensor([-1, -1, 0, 0])),
    "short": (INDEX, torch.tensor([0, 0, 1])),
    "real": (INDEX, MEMBER.double()),
    "turned": (INDEX.T.clone(), MEMBER),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_refused_in_the_same_words(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, member = WRONG[name]
    links = {"edge_index": index, "batch": member}
    with pytest.raises(g.GeodlError) as ours:
        domain_of(4, links)
    _slowly(monkeypatch)
    with pytest.raises(g.GeodlError) as wanted:
        domain_of(4, links)
    assert str(ours.value) == str(wanted.value)


@pytest.mark.parametrize("starts", [[0, 2, 2, 4], [1, 4], [0, 3, 2, 4], [0, 3], [0, 2, 9], []])
def test_starts_that_do_not_grow_to_the_nodes_are_refused(starts: list[int]) -> None:
    data = Data(torch.zeros(4, CHANNELS), INDEX)
    data.ptr = torch.tensor(starts, dtype=torch.long)
    with pytest.raises(g.GeodlError):
        g.Signal.from_pyg(data)


def test_what_the_kernel_does_not_take_is_read_by_the_checks() -> None:
    for index, member in (
        (INDEX.int(), MEMBER),
        (INDEX, MEMBER.int()),
        (INDEX.T.contiguous().T, MEMBER),
        (INDEX, MEMBER.repeat_interleave(2)[::2]),
    ):
        assert reading.read_by_member(index, member) is None
        domain = domain_of(4, {"edge_index": index, "batch": member})
        assert domain.sizes == (2, 2)
        assert domain.sorted_graphs is None
    with torch.inference_mode():
        # Tensors that are made there could not be trained on later.
        assert reading.read_by_member(INDEX, MEMBER) is None
    with torch.device("meta"):
        assert reading.read_by_member(INDEX, MEMBER) is None


def test_weights_types_and_attributes_are_read_by_the_checks() -> None:
    batch = _batch([3, 4])
    assert g.Signal.from_pyg(batch).domain.sorted_graphs is not None
    for name in ("edge_weight", "edge_type", "edge_attr"):
        other = batch.clone()
        dtype = torch.float if name == "edge_attr" else torch.long
        other[name] = torch.ones(batch.num_edges, dtype=dtype)
        domain = g.Signal.from_pyg(other).domain
        assert domain.sorted_graphs is None
        assert torch.equal(getattr(domain.union, name), other[name].to(getattr(domain.union, name)))


def test_copies_and_moved_unions_are_not_taken_for_what_was_read() -> None:
    domain = g.Signal.from_pyg(_batch([3, 4])).domain
    assert domain.relabel(torch.arange(6, -1, -1)).sorted_graphs is None
    assert domain.select(torch.tensor([1])).domain.sorted_graphs is None
    assert domain.to("meta").sorted_graphs is None


def _gin(reduction: str = "sum") -> g.Sequential:
    """Sums with a self term, rows of every kind, a summary."""
    rows = (nn.Linear(CHANNELS, 4), g.BatchNorm(4), nn.ReLU(), nn.Linear(4, CHANNELS), nn.Tanh())
    own = g.Residual(g.Pool(g.adjacency(weights=False), "sum"))
    return g.Sequential(own, *rows, g.Readout(reduction), nn.Linear(CHANNELS, 2)).double()


def _several() -> g.Sequential:
    """Products with and without weights, in either order, with loops, joined in every way."""
    links, loops = g.adjacency(), g.adjacency(self_loops=True)
    network = g.Network(
        "x",
        {
            "wide": (g.Conv(CHANNELS, 5, links), "x"),
            "narrow": (g.Conv(5, CHANNELS, loops, bias=False), "wide"),
            "passed": (g.Propagate(loops), "narrow"),
            "sum": ("add", "x", "passed"),
            "both": ("cat", "sum", "narrow"),
        },
    )
    beside = g.Concat(nn.Linear(2 * CHANNELS, 2), g.Conv(2 * CHANNELS, 2, g.itself()))
    return g.Sequential(network, beside, g.Residual(nn.Linear(4, 4), nn.ELU())).double()


MODELS: dict[str, Callable[[], g.Sequential]] = {
    "gin": _gin,
    "mean": lambda: _gin("mean"),
    "several": _several,
}


def _layer_by_layer(model: nn.Module, signal: g.Signal) -> g.Signal:
    with g.trace(model):
        return model(signal)


@pytest.mark.parametrize("sizes", [[3, 5, 2], [4, 4, 4], [6]], ids=["ragged", "equal", "one"])
@pytest.mark.parametrize("name", MODELS)
def test_values_and_every_gradient_are_those_of_the_layers(name: str, sizes: list[int]) -> None:
    model, batch = MODELS[name](), _batch(sizes)
    x = batch.x.requires_grad_()
    read = [x, *model.parameters()]
    answers, gradients, seconds = [], [], []
    for run in (model, lambda signal: _layer_by_layer(model, signal)):
        # Each run moves the running statistics.
        torch.manual_seed(0)
        signal = run(g.Signal.from_pyg(batch))
        upstream = torch.linspace(-1, 1, signal.x.numel(), dtype=x.dtype).view(signal.shape)
        first = torch.autograd.grad(signal.x, read, upstream, create_graph=True)
        answers.append(signal)
        gradients.append(first)
        total = sum(part.square().sum() for part in first)
        assert isinstance(total, Tensor)
        seconds.append(torch.autograd.grad(total, read, materialize_grads=True))
    assert torch.allclose(answers[0].x, answers[1].x, rtol=0, atol=1e-12)
    assert answers[0].domain.num_nodes == answers[1].domain.num_nodes
    for ones in (gradients, seconds):
        for one, other in zip(*ones, strict=True):
            assert torch.allclose(one, other, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", MODELS)
def test_ragged_graphs_run_as_functions_of_tensors(name: str) -> None:
    model, signal = MODELS[name](), g.Signal.from_pyg(_batch([3, 5, 2]))
    assert not _program_runs(model, g.Signal.from_pyg(_batch([6])))  # it is its only member
    assert _program_runs(model, signal)
    # Loops that are there already, another batch, a state of edges: layer by layer.
    looped = g.Signal.from_pyg(_batch([3, 5, 2], loops=True))
    assert _program_runs(model, looped) == (name != "several")
    two = signal.with_x(signal.x.expand(2, -1, -1))
    edges = signal.with_edges(torch.ones(1, signal.domain.num_links, 1, dtype=torch.float64))
    for other in (two, edges, g.Signal(signal.x, signal.domain.relabel(torch.arange(10)))):
        assert not _program_runs(model, other)
    for other in (looped, two, edges):
        wanted = _layer_by_layer(model.eval(), other)
        assert torch.allclose(model(other).x, wanted.x, rtol=0, atol=1e-12)


def test_a_rule_or_a_lowering_that_is_exchanged_is_heard_of() -> None:
    model, signal = _gin(), g.Signal.from_pyg(_batch([3, 5, 2]))
    model(signal)
    pool = model[0].inner[0]
    for change in ("rule", "lowering"):
        if change == "rule":
            pool.rule = g.adjacency(self_loops=True, weights=False)
        else:
            pool.lowering = "edges"
        wanted = _layer_by_layer(model, signal)
        assert torch.allclose(model(signal).x, wanted.x, rtol=0, atol=1e-12)
    assert not _program_runs(model, signal)


def test_layers_that_compute_otherwise_are_called() -> None:
    class Doubled(g.Pool):
        def compute(self, receiver, sender, rule):
            return super().compute(receiver.with_x(2 * receiver.x), sender, rule)

    signal = g.Signal.from_pyg(_batch([3, 5]))
    own, plain = Doubled(g.adjacency(), "sum"), g.Pool(g.adjacency(), "sum")
    doubled, single = g.Sequential(own, nn.Identity()), g.Sequential(plain, nn.Identity())
    assert torch.equal(doubled(signal).x, 2 * single(signal).x)
    assert not _program_runs(doubled, signal)


def test_layers_that_promise_transparence_and_compute_more_are_called() -> None:
    class Doubled(g.Pool):
        transparent = True

        def compute(self, receiver, sender, rule):
            return super().compute(receiver.with_x(2 * receiver.x), sender, rule)

    signal = g.Signal.from_pyg(_batch([3, 5]))
    own = Doubled(g.adjacency(), "sum")
    term = SelfTerm(torch.zeros(1).double())
    for model in (g.Sequential(own, nn.Identity()), g.Residual(own, shortcut=term)):
        assert torch.equal(model(signal).x, _layer_by_layer(model, signal).x)
        assert not _program_runs(model, signal)


def test_a_layer_that_is_told_to_compute_otherwise_is_heard_of() -> None:
    pool = g.Pool(g.adjacency(), "sum")
    model, signal = g.Sequential(pool, nn.Identity()), g.Signal.from_pyg(_batch([3, 5]))
    model(signal)
    pool.options = PoolOptions("mean")
    assert torch.allclose(model(signal).x, _layer_by_layer(model, signal).x, rtol=0, atol=1e-12)
    pool.compute = lambda receiver, sender, rule: receiver
    assert torch.equal(model(signal).x, signal.x)


def test_under_autocast_statistics_are_taken_and_draws_are_made_once() -> None:
    parts = (g.BatchNorm(CHANNELS), nn.Dropout(0.5), g.Residual(nn.Linear(CHANNELS, CHANNELS)))
    model = g.Sequential(*parts, g.Propagate(g.adjacency()))
    signal, answers = g.Signal.from_pyg(_batch([3, 5])).to(torch.float32), []
    with torch.autocast("cpu", torch.bfloat16):
        for run in (model, lambda signal: _layer_by_layer(model, signal)):
            torch.manual_seed(0)
            answers.append(run(signal).x)
            assert int(parts[0].num_batches_tracked) == len(answers)
    assert torch.equal(*answers)


def test_sizes_that_are_symbols_are_followed() -> None:
    model, signal = _gin("mean").eval(), g.Signal.from_pyg(_batch([3, 5, 2]))
    options = {"tracing_mode": "symbolic", "_allow_non_fake_inputs": True}
    traced = make_fx(lambda x: model(signal.with_x(x)).x, **options)(signal.x)
    other = signal.with_x(2 * signal.x)
    assert torch.allclose(traced(other.x), _layer_by_layer(model, other).x, rtol=0, atol=1e-12)


def test_hooks_are_called_and_modules_out_of_place_are_refused() -> None:
    model, signal, heard = _gin(), g.Signal.from_pyg(_batch([3, 5, 2])), []
    model(signal)
    handle = model[0].inner[0].register_forward_hook(lambda *_: heard.append("pool"))
    model(signal)
    handle.remove()
    model(signal)
    assert heard == ["pool"]
    with pytest.raises(g.GeodlError, match="2 channels"):
        model(signal.with_x(signal.x[..., :2]))
    with pytest.raises(g.GeodlError, match="float32"):
        model(signal.to(torch.float32))
    model[4].float()
    with pytest.raises(g.GeodlError, match="float32"):
        model(signal)


def test_a_self_term_beside_a_summary_is_refused_of_graphs_of_one_node_too() -> None:
    model = g.Sequential(
        g.Residual(g.Pool(g.whole(), "sum"), shortcut=SelfTerm(torch.zeros(1).double()))
    )
    for sizes in ([1, 1, 1], [1, 2, 1]):
        with pytest.raises(g.GeodlError, match="Residual"):
            model(g.Signal.from_pyg(_batch(sizes)))


def test_statistics_of_a_batch_are_taken_once() -> None:
    model, signal = _gin(), g.Signal.from_pyg(_batch([3, 5, 2]))
    norm = model[2]
    for count in (1, 2):
        model(signal)
        assert int(norm.num_batches_tracked) == count
    model.eval()
    assert torch.allclose(model(signal).x, _layer_by_layer(model, signal).x, rtol=0, atol=1e-12)


def test_transforms_and_compiled_code_agree() -> None:
    model, signal = _gin().eval(), g.Signal.from_pyg(_batch([3, 5, 2]))
    wanted = _layer_by_layer(model, signal).x
    parameters = dict(model.named_parameters())

    def loss(values: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(model, values, (signal,)).x.square().sum()

    ours = torch.func.grad(loss)(parameters)
    for name, gradient in zip(
        parameters, torch.autograd.grad(loss(parameters), [*parameters.values()]), strict=True
    ):
        assert torch.allclose(ours[name], gradient, rtol=0, atol=1e-10)
    mapped = torch.func.vmap(lambda x: model(signal.with_x(x)).x)(signal.x.expand(2, -1, -1, -1))
    assert torch.allclose(mapped[1], wanted, rtol=0, atol=1e-12)
    with torch.no_grad():
        assert torch.allclose(model(signal).x, wanted, rtol=0, atol=1e-12)


def test_an_imported_model_reads_new_graphs_and_remembers_those_that_come_again() -> None:
    class Gin(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = GIN(CHANNELS, 4, 2, norm="batch_norm")
            self.head = nn.Linear(4, 2)

        def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
            return self.head(global_add_pool(self.inner(x, edge_index), batch))

    model = Gin().double()
    net = from_pyg(model)
    batches = [_batch([3, 5, 2], seed, loops=seed == 2) for seed in range(3)]
    for _ in range(3):
        # Those of a validation come in turn.
        for batch in batches:
            read = (batch.x, batch.edge_index, batch.batch)
            assert torch.allclose(net(*read), model(*read), rtol=0, atol=1e-10)
    memory, batch = net.door._graphs, batches[0]
    for other in batches:
        assert memory.find((other.edge_index, None, None, other.batch)) is not None
    batch.edge_index[:, :2] = 0
    read = (batch.x, batch.edge_index, batch.batch)
    assert torch.allclose(net(*read), model(*read), rtol=0, atol=1e-10)


def test_graphs_go_when_their_last_user_does() -> None:
    model = _gin()
    signal = g.Signal.from_pyg(_batch([3, 5, 2]))
    model(signal)
    domain = weakref.ref(signal.domain)
    del signal
    gc.collect()
    assert domain() is None
    assert isinstance(vars(model)["_calls"], UnfoldedCalls)
