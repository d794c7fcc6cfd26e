"""Plans: made once, found again, bounded, and gone with the domain they were made for."""

import copy
import gc
import io
import pickle
import threading
import weakref

import pytest
import torch

import geodl as g
from geodl.lowering import Store
from geodl.lowering import plans as plan_store
from tests.cold import forget
from tests.table import product, rows

INDEX = [[0, 1, 2, 3, 1], [1, 2, 3, 0, 3]]
ROWS = rows()


@pytest.fixture
def plans(monkeypatch):
    """An empty store for plans between value domains, bounded to a few."""
    monkeypatch.setattr(plan_store, "VALUES", Store(most_values=8))
    return plan_store.VALUES


def on(domain, channels=4, **kwargs):
    return g.Signal(torch.randn(1, domain.num_nodes, channels, **kwargs), domain)


def graph():
    return g.Graph(INDEX, 5)


def test_plans_of_values_are_bounded_and_the_oldest_leaves(plans):
    layer = g.Conv(4, 3, g.window(3, axes=1))
    for n in range(1, 21):
        layer(on(g.Chain(n)))
    assert len(plans) == 8
    assert [key[3][0] for key in plans] == [g.Chain(n) for n in range(13, 21)]


def test_the_longest_unused_leaves(plans):
    layer = g.Conv(4, 3, g.window(3, axes=1))
    for n in range(1, 21):
        layer(on(g.Chain(n)))
        layer(on(g.Chain(1)))
    assert g.Chain(1) in [key[3][0] for key in plans]


def test_plans_of_a_graph_are_bounded_by_their_bytes(plans, monkeypatch):
    domain, layer = graph(), g.Conv(4, 3, g.adjacency("sym", self_loops=True))
    layer(on(domain))
    store = domain.cache["plans"]
    # A pattern, and a plan that holds it too: layers of other channels share the first.
    both = store.held_bytes()
    assert both == sum(t.nbytes for t in plan_store.tensors_of(list(store.entries())))
    monkeypatch.setattr(store, "most_bytes", 4 * both)
    for channels in range(1, 41):
        g.Conv(4, channels, g.adjacency("sym", self_loops=True))(on(domain))
    assert 7 <= len(store) <= 8 and store.held_bytes() <= 4 * both
    assert len(plans) == 0


def test_a_plan_larger_than_the_bound_is_kept_alone(monkeypatch):
    domain = graph()
    g.Conv(4, 3, g.adjacency())(on(domain))
    store = domain.cache["plans"]
    monkeypatch.setattr(store, "most_bytes", 1)
    for channels in (5, 6):
        g.Conv(4, channels, g.adjacency())(on(domain))
    assert [key[-1].channels_out for key in store] == [6]


def test_a_large_graph_keeps_the_plans_of_a_model():
    edges = torch.zeros(2, 2_000_000, dtype=torch.long)
    assert plan_store.store_of(g.Graph(edges, 5), None)[0].most_bytes == 16 * edges.nbytes


def test_what_is_prepared_stays_as_long_as_its_model(plans):
    model, other = g.Conv(4, 3, g.window(3, axes=1)), g.Conv(4, 5, g.window(3, axes=1))
    g.prepare(model, on(g.Chain(50)))
    (pinned,) = plans
    for n in range(1, 41):
        other(on(g.Chain(n)))
    assert pinned in plans and len(plans) <= 8
    del model
    gc.collect()
    for n in range(1, 41):
        other(on(g.Chain(n)))
    assert pinned not in plans


def test_threads_share_the_store():
    """Eight threads make more plans than the store holds: no error, and the right values."""
    layers = [g.Conv(2, 2, g.window(3, axes=1)) for _ in range(8)]
    store, faults = Store(most_values=16), []

    def work(layer):
        try:
            for n in range(1, 120):
                x = torch.randn(1, n, 2)
                y = layer(g.Signal(x, g.Chain(n))).x
                wanted = torch.nn.functional.conv1d(
                    x.mT, layer.weight.permute(2, 1, 0), layer.bias, padding=1
                )
                assert g.testing.error(y, wanted.mT) < 1e-5
        except Exception as fault:  # told in the main thread, where it fails the test
            faults.append(fault)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_store, "VALUES", store)
        threads = [threading.Thread(target=work, args=(layer,)) for layer in layers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert faults == [] and 1 <= len(store) <= 16


def test_a_plan_is_made_once_for_equal_values(plans):
    layer, twin = g.Conv(4, 3, g.window(3)), g.Conv(4, 3, g.window(3))
    layer(on(g.Grid(5, 5)))
    (made,) = plans.entries()
    twin(on(g.Grid(5, 5)))
    layer.eval()(on(g.Grid(5, 5)))
    assert [entry is made for entry in plans.entries()] == [True]
    layer(on(g.Grid(5, 6)))
    assert len(plans) == 2


def test_a_plan_is_made_once_for_a_graph_and_not_for_its_equal():
    layer, one, other = g.Conv(4, 3, g.adjacency("sym", self_loops=True)), graph(), graph()
    layer(on(one))
    before = list(one.cache["plans"].entries())
    layer(on(one))
    after = one.cache["plans"].entries()
    assert other.cache == {} and before
    assert all(kept is known for kept, known in zip(after, before, strict=True))


FLEETING = {
    "convolve": g.Conv(4, 3, g.adjacency("sym", self_loops=True)),
    "linear": g.Conv(4, 3, g.itself()),
    "mean": g.Conv(4, 3, g.all_pairs("self")),
    "attend": g.Attention(4, g.adjacency(self_loops=True), 2),
    "sdpa": g.Attention(4, g.all_pairs(), 2),
    "message": g.Message(product, g.adjacency("sym", self_loops=True)),
    "recur": g.Recurrent(4, 3, "gru", g.predecessors()),
    "pool": g.Readout(),
    "reversed": g.Conv(4, 3, g.adjacency("sym", self_loops=True).reverse()),
}


@pytest.mark.parametrize("name", FLEETING)
def test_a_new_graph_in_every_batch_leaves_nothing(plans, name):
    """Without the garbage collector: a plan that held its own domain would be a circle, and would
    wait for it.
    """
    layer, gone = FLEETING[name], []
    gc.disable()
    try:
        for _ in range(12):
            domain = g.Graph([[0, 1, 2], [2, 2, 3]], 5)
            layer(on(domain))
            assert domain.cache
            gone.append(weakref.ref(domain))
            del domain
        assert [reference() for reference in gone] == [None] * 12
    finally:
        gc.enable()
    assert len(plans) == 0


def test_a_new_batch_of_graphs_leaves_nothing(plans):
    model, gone = g.Sequential(g.Conv(4, 3, g.adjacency("sym", self_loops=True)), g.Readout()), []
    for _ in range(5):
        batch = g.Batch([graph(), graph(), g.Graph([[0], [1]])])
        model(on(batch))
        gone += [weakref.ref(batch), *map(weakref.ref, batch.members)]
        del batch
    equal = g.Batch([g.Chain(3)] * 4)
    model(on(equal))
    gone.append(weakref.ref(equal))
    del equal
    gc.collect()
    assert [reference() for reference in gone] == [None] * 21


@pytest.mark.parametrize(
    "fresh", [lambda: g.Complete(3), graph], ids=["from a value", "from a graph"]
)
def test_two_domains_leave_nothing(plans, fresh):
    layer, receivers, senders = g.Attention(4, g.all_pairs(), 2), graph(), fresh()
    gc.collect()
    gc.disable()
    try:
        with torch.no_grad():
            layer(on(receivers), on(senders))
        gone = [weakref.ref(receivers), weakref.ref(senders)]
        del receivers, senders
        held = [reference() for reference in gone]
    finally:
        gc.enable()
    assert fresh is graph or held[0] is None, (
        "a plan never holds its own domain: no collector is needed"
    )
    del held
    gc.collect()
    assert [reference() for reference in gone] == [None, None]
    assert len(plans) == 0


@pytest.mark.parametrize(
    "domain", [graph(), g.Batch([graph(), g.Chain(2)]), g.Batch([g.Chain(3)] * 2)], ids=str
)
@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d)), lambda d: d.to("meta")],
    ids=["deepcopy", "pickle", "to"],
)
def test_copies_begin_without_plans(domain, copied):
    g.Conv(4, 3, g.adjacency("sym", self_loops=True))(on(domain))
    g.Readout()(on(domain))
    assert domain.cache
    twin = copied(domain)
    assert twin.cache == {}
    assert all(not member.cache for member in twin.members or ())
    assert repr(twin) == repr(domain)
    if twin.tensors()[0].device.type != "meta":
        assert all(torch.equal(a, b) for a, b in zip(twin.tensors(), domain.tensors(), strict=True))
        assert g.Conv(4, 3, g.adjacency("sym", self_loops=True))(on(twin)).domain is twin
    assert domain.cache


def test_a_layer_on_a_graph_travels_without_plans():
    layer = g.Conv(4, 3, g.adjacency("sym", self_loops=True), on=graph())
    x = torch.randn(2, 5, 4)
    y = layer(x)
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    for twin in (copy.deepcopy(layer), torch.load(file, weights_only=False)):
        assert twin.on is not layer.on and twin.on.cache == {}
        assert torch.equal(twin(x), y)
    assert layer.on.cache


def test_one_layer_in_two_dtypes(plans):
    layer, domain = g.Conv(4, 3, g.adjacency("sym", self_loops=True)), graph()
    single = layer(on(domain))
    double = layer.double()(on(domain, dtype=torch.float64))
    half = layer.bfloat16()(on(domain, dtype=torch.bfloat16))
    assert [s.x.dtype for s in (single, double, half)] == [
        torch.float32,
        torch.float64,
        torch.bfloat16,
    ]
    kept = domain.cache["plans"].entries()
    assert sum(isinstance(entry.value, plan_store.Plan) for entry in kept) == 3
    values = g.Conv(4, 3, g.window(3))
    assert (
        values(on(g.Grid(3, 3))).x.dtype
        != values.double()(on(g.Grid(3, 3), dtype=torch.float64)).x.dtype
    )
    assert len(plans) == 2


def test_another_device_has_its_own_plan(plans):
    layer = g.Conv(4, 3, g.lift(3, group=g.C(4)))
    layer(on(g.Grid(5, 5)))
    y = layer.to("meta")(on(g.Grid(5, 5), device="meta"))
    assert y.x.device.type == "meta" and y.x.shape == (1, 100, 3)
    assert len(plans) == 2


@pytest.mark.parametrize("name", ROWS)
def test_the_state_is_parameters_only_whatever_runs(name):
    row = ROWS[name]
    layer = row.layer
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    assert set(before) == {key for key, _ in layer.named_parameters()}
    for lowering, training in (("auto", True), ("edges", False), ("auto", False)):
        layer.lowering = lowering
        layer.train(training)(*row.signals()) if layer.on is None else layer.train(training)(
            row.signals()[0].x
        )
        after = layer.state_dict()
        assert list(after) == list(before)
        assert all(torch.equal(after[key], before[key]) for key in before)


def test_a_model_keeps_its_keys_in_training_and_evaluation():
    model = g.models.digits_p4cnn(channels=2)
    keys = list(model.state_dict())
    s = on(g.Grid(8, 8), 1)
    for training in (True, False):
        model.train(training)(s)
        assert list(model.state_dict()) == keys
    g.set_lowering(model, "edges")
    model(s)
    assert list(model.state_dict()) == keys
    twin = g.models.digits_p4cnn(channels=2)
    twin.load_state_dict(model.state_dict())
    assert g.testing.error(twin.eval()(s).x, model.eval()(s).x) < 1e-5


def test_a_default_device_leaves_nothing_behind(plans):
    """Tables and plans that are made while another device is the default serve everyone after."""
    forget(g.C(4))
    signal = g.Signal(torch.zeros(1, 36, 1), g.Grid(6, 6))
    with torch.device("meta"):
        made = g.Sequential(
            g.Conv(1, 2, g.lift(3, group=g.C(4), padding="valid")), g.Pool(g.fiber())
        )
        assert all(p.is_meta for p in made.parameters())
        made.to_empty(device="cpu")(signal)
    assert made(signal).x.shape == (1, 16, 2)


def test_receivers_that_come_and_go_never_meet_the_plan_of_others():
    torch.manual_seed(0)
    layer = g.Attention(4, g.all_pairs(), 2).double()
    memory = g.Signal(torch.randn(1, 8, 4).double(), g.Batch([g.Chain(3), g.Chain(5)]))
    x = torch.randn(1, 4, 4).double()
    shapes = {
        sizes: g.Signal(x, g.Batch([g.Chain(n) for n in sizes])) for sizes in ((1, 3), (3, 1))
    }
    wanted = {sizes: layer(receivers, memory).x for sizes, receivers in shapes.items()}
    for k in range(200):
        sizes = ((1, 3), (3, 1))[k % 2]
        receivers = g.Signal(x, g.Batch([g.Chain(n) for n in sizes]))
        assert torch.equal(layer(receivers, memory).x, wanted[sizes])


def test_a_serial_number_is_never_used_twice():
    domains = [graph(), g.Batch([g.Chain(2)]), g.GSet([[1, 0]])]
    twins = [copy.deepcopy(d) for d in domains] + [pickle.loads(pickle.dumps(d)) for d in domains]
    moved = [d.with_tensors(tuple(t.clone() for t in d.tensors())) for d in domains]
    serials = [d.serial for d in domains + twins + moved]
    del domains, twins, moved
    serials += [g.Batch([g.Chain(2)]).serial for _ in range(3)]
    assert len(set(serials)) == len(serials)


def test_a_rule_that_names_a_graph_keeps_its_plans_there():
    """Among the plans of values its key would keep the graph alive, and no compiler hashes it."""
    graph, kept = g.Graph([[0, 1], [1, 2]]), len(plan_store.VALUES)
    layer = g.Conv(2, 3, g.whole().reverse(onto=graph))
    s, receivers = (
        g.Signal(torch.randn(1, 1, 2), g.Complete(1)),
        g.Signal(torch.zeros(1, 3, 2), graph),
    )
    for first, second in (((s,), (receivers, s)), ((receivers, s), (s,))):
        graph.cache.clear()
        assert layer(*first).domain is graph and layer(*second).domain is graph
    assert len(plan_store.VALUES) == kept
    gone = weakref.ref(graph)
    del graph, layer, s, receivers, first, second
    gc.collect()
    assert gone() is None
