"""Compiled, exported and in mixed precision: the same numbers, and few compilations."""

import io
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.utils import _pytree as pytree

import geodl as g
from geodl.testing import error, outcome
from tests.table import EQUAL, GRAPH, GRID, MIXED, P4, SET, product, rows

ROWS = rows()
COMPILED = {
    name: row
    for name, row in ROWS.items()
    if row.lowering
    in ("lattice", "mean", "spmm", "sdpa", "linear", "banded", "edge_softmax", "blocks")
    and row.layer.on is None
}
ON = {name: row for name, row in ROWS.items() if row.layer.on is not None}


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Each test compiles for itself; torch's own compiler speaks of what it will change."""
    torch.compiler.reset()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch")
        yield


def on(domain: g.Domain, channels: int, batch: int = 2) -> g.Signal:
    return g.Signal(
        torch.randn(batch, domain.num_nodes, channels, generator=torch.Generator().manual_seed(0)),
        domain,
    )


def compiled(module: nn.Module) -> Any:
    return torch.compile(module, fullgraph=True, backend="aot_eager")


def same_when_compiled(module: nn.Module, *signals: g.Signal) -> None:
    """Values and every gradient of the compiled module are those of the module."""
    wanted, gradients = outcome(module, *signals)
    found, ours = outcome(compiled(module), *signals)
    assert error(found, wanted) < 1e-6
    assert len(ours) == len(gradients)
    assert max(error(a, b) for a, b in zip(ours.values(), gradients.values(), strict=True)) < 1e-5


@pytest.mark.parametrize("name", COMPILED)
def test_every_fast_path_compiles_whole(name):
    row = COMPILED[name]
    same_when_compiled(row.layer, *row.signals())


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("domain", [GRID, P4], ids=str)
def test_batch_norm_compiles(domain, training):
    ours, twin = g.BatchNorm(3).train(training), g.BatchNorm(3).train(training)
    s = on(domain, 3)
    wanted, found = outcome(ours, s), outcome(compiled(twin), s)
    assert error(found[0], wanted[0]) < 1e-6
    assert (
        max(error(a, b) for a, b in zip(found[1].values(), wanted[1].values(), strict=True)) < 1e-5
    )
    assert all(
        torch.equal(a, b)
        for a, b in zip(ours.state_dict().values(), twin.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("training", [True, False])
def test_models_compile(training):
    p4cnn, gcn = (
        g.models.digits_p4cnn(channels=2).train(training),
        g.models.gcn(4, 3, 2, dropout=0.0).train(training),
    )
    for model, s in ((p4cnn, on(g.Grid(8, 8), 1)), (gcn, on(GRAPH, 4))):
        g.prepare(model, s)
        same_when_compiled(model, s)


def test_the_p4cnn_of_the_paper_compiles():
    model, s = g.models.p4cnn(channels=1).eval(), on(g.Grid(28, 28), 1, batch=1)
    g.prepare(model, s)
    assert error(compiled(model)(s).x, model(s).x) < 1e-6


def test_containers_and_equal_members_compile():
    inner = g.Sequential(g.Conv(4, 4, g.window(3, axes=1)), nn.ReLU())
    model = g.Sequential(
        g.Residual(*inner),
        g.Concat(g.Conv(4, 2, g.itself()), g.Attention(4, g.past(), 2)),
        g.Readout(),
    )
    same_when_compiled(model, on(EQUAL, 4))


def test_a_message_compiles():
    same_when_compiled(g.Message(product, g.adjacency("sym", self_loops=True), "max"), on(GRAPH, 4))


def test_a_cold_plan_says_what_to_do():
    layer, s = g.Conv(4, 3, g.adjacency("sym", self_loops=True)), on(g.Graph([[0, 1], [1, 2]]), 4)
    with pytest.raises(
        torch._dynamo.exc.Unsupported, match=r"call g.prepare\(model, signal\) first"
    ) as caught:
        compiled(layer)(s)
    assert "GeodlError" in str(caught.value)
    torch.compiler.reset()
    g.prepare(layer, s)
    assert error(compiled(layer)(s).x, layer(s).x) < 1e-6


def test_two_signals_are_prepared():
    layer, s, t = g.Attention(4, g.all_pairs(), 2), on(g.Chain(6), 4), on(g.Chain(7), 4)
    g.prepare(layer, s, t)
    assert error(compiled(layer)(s, t).x, layer(s, t).x) < 1e-6


def test_ten_graphs_cost_at_most_two_compilations():
    counter = CompileCounterWithBackend("aot_eager")
    model = g.models.gcn(4, 8, 3, dropout=0.0)
    fast = torch.compile(model, fullgraph=True, backend=counter)
    for k in range(10):
        n, generator = 5 + k, torch.Generator().manual_seed(k)
        domain = g.Graph(torch.randint(n, (2, 3 * n), generator=generator), n)
        s = on(domain, 4, batch=1)
        g.prepare(model, s)
        assert error(fast(s).x, model(s).x) < 1e-6
    assert counter.frame_count <= 2


@pytest.mark.parametrize(
    "domain", [GRID, SET, GRAPH, MIXED, g.Batch([GRAPH, GRID]), g.GSet([[1, 0]])], ids=str
)
def test_a_signal_is_a_pytree(domain):
    s = on(domain, 3)
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


@pytest.mark.parametrize("name", ON)
def test_layers_on_a_domain_are_exported(name):
    exported(ON[name].layer, ON[name].domain)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "layer",
    [
        lambda: g.Conv(4, 3, g.window(3), on=GRID),
        lambda: g.Conv(4, 3, g.window(3, group=g.C(4)), on=P4),
        lambda: g.Conv(4, 3, g.window(2, stride=2).reverse(), on=GRID),
        lambda: g.Conv(4, 3, g.all_pairs("self"), on=SET),
        lambda: g.Attention(4, g.all_pairs(), 2, on=SET),
        lambda: g.Pool(g.window(2, padding="valid"), on=GRID),
    ],
)
def test_lattice_and_complete_layers_are_exported(layer, training):
    made = layer().train(training)
    exported(made, made.on)


def exported(layer: g.Layer, domain: g.Domain) -> None:
    """Exported, run, saved, loaded and run again: the layer's numbers."""
    x = on(domain, 4).x
    with torch.no_grad():
        y = layer(x)
        program = torch.export.export(layer, (x,))
        file = io.BytesIO()
        torch.export.save(program, file)
        file.seek(0)
        loaded = torch.export.load(file)
        assert torch.equal(program.module()(x), y)
        assert torch.equal(loaded.module()(x), y)
    assert set(program.state_dict) == set(layer.state_dict())


@pytest.mark.parametrize("name", ROWS)
def test_every_path_runs_in_bf16(name):
    """Mixed precision by autocast, forward and backward, on the kernel and on the reference."""
    row = ROWS[name]
    for lowering in (row.lowering, "edges"):
        row.layer.lowering = lowering
        wanted, gradients = outcome(row.layer, *row.signals())
        with torch.autocast("cpu", torch.bfloat16):
            found, ours = outcome(row.layer, *row.signals())
        assert error(found.float(), wanted) < 0.05
        assert (
            max(error(a, b) for a, b in zip(ours.values(), gradients.values(), strict=True)) < 0.1
        )


def test_models_train_in_bf16():
    for model, s in (
        (g.models.digits_p4cnn(channels=2), on(g.Grid(8, 8), 1)),
        (g.models.gcn(4, 8, 2), on(GRAPH, 4)),
    ):
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(s).x.float().square().mean()
        loss.backward()
        assert all(
            p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in model.parameters()
        )
