"""Graph networks: the reference, many signals on one graph, ragged batches, relabelled nodes,
compiled code, and what is refused.
"""

import copy
import io

import pytest
import torch
from torch import nn

import geodl as g
from geodl import models
from geodl.testing import assert_permutation_equivariant, error, outcome
from tests.compilation import compiled
from tests.graph_networks import NETWORKS, built, graph, signal

every_network = pytest.mark.parametrize("name", NETWORKS)
# Those with code that no other compiled test runs; the others are layers in a row.
COMPILED = ("appnp", "rgcn of bases", "graph net", "gps")


@every_network
def test_the_reference_agrees(name):
    model, s = built(name), signal(name, graph(7, 0), batch=_rows(name))
    ours = outcome(model, s)
    with g.trace(model) as events:
        model(s)
    ran = {event.lowering for event in events} - {None, "linear"}
    assert "edges" not in ran, ran
    g.set_lowering(model, "edges")
    wanted = outcome(model, s)
    assert error(ours[0], wanted[0]) < 1e-10 and ours[0].std() > 1e-3
    assert {key for key in wanted[1] if error(ours[1][key], wanted[1][key]) > 1e-10} == set()


@every_network
def test_signals_on_one_graph_and_graphs_in_a_batch_are_each_by_itself(name):
    model, parts = built(name), [graph(7, 0), graph(3, 1), graph(5, 2)]
    if not NETWORKS[name].by_data:
        many = signal(name, parts[0], batch=3)
        alone = [model(_row(many, k)).x for k in range(3)]
        assert error(model(many).x, torch.cat(alone)) < 1e-12
    members = [signal(name, part, batch=1, seed=k) for k, part in enumerate(parts)]
    together = model(g.collate(members))
    assert error(together.x, torch.cat([model(member).x for member in members], 1)) < 1e-12


def _rows(name: str) -> int:
    if NETWORKS[name].by_data:
        return 1
    return 2


def _row(s: g.Signal, k: int) -> g.Signal:
    edges = None
    if s.edges is not None:
        edges = s.edges[k : k + 1]
    return g.Signal(s.x[k : k + 1], s.domain, edges)


@every_network
def test_nothing_is_lost_on_the_way(name):
    """State dicts, copies, values that do not stand side by side in memory; no links, no rows."""
    model, s = built(name), signal(name, graph(7, 0), batch=_rows(name))
    y = model(s).x
    saved = io.BytesIO()
    torch.save(model.state_dict(), saved)
    saved.seek(0)
    other = NETWORKS[name].make().double().eval()
    other.load_state_dict(torch.load(saved, weights_only=True))
    assert torch.equal(other(s).x, y) and torch.equal(copy.deepcopy(model)(s).x, y)
    wide = torch.empty(*s.shape[:2], 8, dtype=torch.float64)
    apart = wide[..., ::2].copy_(s.x)
    assert error(model(s.with_x(apart)).x, y) < 1e-12
    single = model.bfloat16()(s.to(torch.bfloat16)).x
    assert single.dtype == torch.bfloat16 and error(single.double(), y) < 0.3
    alone = signal(name, g.Graph([[], []], 4, edge_type=[]), batch=_rows(name))
    found = model.double()(alone)
    g.set_lowering(model, "edges")
    assert torch.isfinite(found.x).all() and error(found.x, model(alone).x) < 1e-10
    if not NETWORKS[name].by_data:
        g.set_lowering(model, "auto")
        assert model(signal(name, graph(7, 0), batch=0)).shape[0] == 0


@every_network
def test_names_of_nodes_do_not_matter(name):
    assert_permutation_equivariant(
        built(name), signal(name, graph(7, 0), batch=_rows(name)), permutations=1
    )


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("name", COMPILED)
def test_networks_compile(name):
    model, s = built(name), signal(name, graph(7, 0))
    g.prepare(model, s)
    assert error(compiled(model)(s).x, model(s).x) < 1e-10


@pytest.mark.parametrize("name", ["gcn", "sage mean", "appnp", "sgc", "chebnet", "gcnii"])
def test_sparse_features_are_read(name):
    model, domain = built(name), graph(7, 0)
    x = torch.randn(7, 4, dtype=torch.float64).relu()
    sparse, dense = g.Signal(x.to_sparse_csr(), domain), g.Signal(x[None], domain)
    assert error(model(sparse).x, model(dense).x) < 1e-12


def test_sizes_of_the_papers():
    def size(model: nn.Module) -> int:
        return sum(p.numel() for p in model.parameters())

    assert size(models.gat(1433, 64, 7)) == 1433 * 64 + 64 + 2 * 64 + 64 * 7 + 7 + 2 * 7
    assert size(models.appnp(1433, 64, 7)) == 1433 * 64 + 64 + 64 * 7 + 7
    assert size(models.sgc(1433, 7)) == 1433 * 7 + 7
    deep = models.gcnii(1433, 64, 7)
    assert size(deep) == 1433 * 64 + 64 + 64 * 64 * 64 + 64 * 7 + 7
    assert str(deep["layer2"]["out"]) == "Mix(share=0.223144)"


REFUSED = {
    "one size": (lambda: models.gcn(4), "1 numbers of channels"),
    "no number": (lambda: models.gin("4", 2), "gin('4', 2)"),
    "no channels": (lambda: models.gat(4, 0, 2), "gat(4, 0, 2)"),
    "no width": (lambda: models.gps(4, 2.5, 2), "gps(4, 2.5, 2, depth=3)"),
    "no edges": (lambda: models.mpnn(4, 3, 2, edge_channels=None), "mpnn(edge_channels=None"),
    "no hidden": (lambda: models.gin_layer(4, 2, hidden=0), "gin_layer(4, 2, hidden=0)"),
    "aggregation": (lambda: models.graph_sage(4, 2, aggregation="maxx"), "did you mean 'max'"),
    "root": (lambda: models.graph_sage(4, 2, root="sum"), "graph_sage(root='sum')"),
    "halves": (lambda: models.graph_sage(4, 3, root="concat"), "3 channels for two halves"),
    "hops": (lambda: models.appnp(4, 2, hops=0), "appnp(hops=0)"),
    "teleport": (lambda: models.appnp(4, 2, teleport=1.5), "appnp(teleport=1.5)"),
    "depth": (lambda: models.gcnii(4, 3, 2, depth=0), "gcnii(depth=0)"),
    "theta": (lambda: models.gcnii(4, 3, 2, theta=0), "gcnii(theta=0)"),
    "heads": (lambda: models.gat(4, 6, 2, heads=4), "heads that are the answer"),
    "eps": (lambda: models.gin(4, 2, eps=None), "gin_layer(eps=None)"),
    "types": (lambda: models.rgcn(4, 2, types=0), "rgcn_layer(types=0)"),
    "both": (lambda: models.rgcn(4, 2, types=2, bases=2, blocks=2), "two ways to share"),
    "jumping": (lambda: models.jumping_knowledge(), "no layers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_arguments_are_refused(name):
    make, words = REFUSED[name]
    with pytest.raises(g.GeodlError) as found:
        make()
    assert words in str(found.value)


def test_a_mix_is_of_two_signals_on_one_domain():
    from geodl.models.graph_parts import Mix

    s = g.Signal(torch.zeros(1, 3, 2), g.Complete(3))
    with pytest.raises(g.GeodlError, match="one signal"):
        Mix(0.5)(s)
    for other in (g.Signal(torch.zeros(1, 3, 4), g.Complete(3)), g.Signal.sequence(s.x)):
        with pytest.raises(g.GeodlError, match="the join 'mix'"):
            Mix(0.5)(s, other)
