"""`GraphLoader`: every graph once an epoch, with its edges, globals and target, reproducibly; and
signals through torch's own loaders.
"""

import itertools

import pytest
import torch
from torch.utils.data import DataLoader
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader as PygLoader

import geodl as g
from geodl import data


def parts(count: int = 7, per_node: bool = False) -> list[Data]:
    """Graphs that are told apart by any value: graph k holds the number k everywhere."""
    made = []
    for k in range(count):
        n, e = 1 + k % 3, k % 4
        index = torch.randint(n, (2, e), generator=torch.Generator().manual_seed(k))
        y = torch.full((n,), k) if per_node else torch.tensor([k])
        x, edges = torch.full((n, 2), float(k)), torch.full((e, 3), float(k))
        made.append(Data(x, index, edges, y=y, u=torch.full((1, 4), float(k)), num_nodes=n))
    return made


def hold_batch(signal: g.Signal, target: torch.Tensor, source: list[Data]) -> list[int]:
    """A batch has whole graphs, each with its own values: their numbers."""
    numbers = target.tolist()
    assert signal.domain.num_members == len(numbers)
    wanted = next(iter(PygLoader([source[k] for k in numbers], len(numbers))))
    assert signal.x.equal(wanted.x[None]) and signal.edges.equal(wanted.edge_attr[None])
    assert signal.globals.equal(wanted.u[None])
    assert torch.stack(signal.domain.links()[1::-1]).equal(wanted.edge_index)
    assert signal.domain.starts.equal(wanted.ptr) and signal.domain.union is not None
    return numbers


@pytest.mark.parametrize("kind", ["pyg", "signals", "one signal"])
@pytest.mark.parametrize("size", [1, 3, 7, 9])
@pytest.mark.parametrize("drop", [False, True])
def test_an_epoch_is_every_graph_once(kind, size, drop):
    source = parts()
    graphs, targets = source, None
    if kind != "pyg":
        graphs, targets = [g.Signal.from_pyg(one) for one in source], torch.arange(7)
    if kind == "one signal":
        graphs = g.collate(graphs)
    if drop and size > 7:
        with pytest.raises(g.GeodlError, match="make the batches smaller"):
            data.GraphLoader(graphs, targets, batch_size=size, drop_last=drop)
        return
    for shuffle in (False, True):
        loader = data.GraphLoader(graphs, targets, batch_size=size, drop_last=drop, shuffle=shuffle)
        batches = [hold_batch(signal, target, source) for signal, target in loader]
        seen = [k for batch in batches for k in batch]
        assert len(batches) == len(loader) == (7 // size if drop else -(-7 // size))
        assert len(set(seen)) == len(seen) == (7 // size * size if drop else 7)
        assert shuffle or seen == list(range(len(seen)))


def orders(seed: int, epochs: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    loader = data.GraphLoader(parts(), batch_size=3, shuffle=True, generator=generator)
    return [[k for _, y in loader for k in y.tolist()] for _ in range(epochs)]


def test_epochs_differ_and_are_reproducible():
    first = orders(0, 3)
    assert first == orders(0, 3) and first != orders(1, 3)
    assert len({tuple(epoch) for epoch in first}) == 3
    torch.manual_seed(5)
    loader = data.GraphLoader(parts(), batch_size=7, shuffle=True)
    once = [y.tolist() for _, y in loader]
    torch.manual_seed(5)
    assert [y.tolist() for _, y in loader] == once, "torch's own generator by default"


def test_targets_of_nodes_and_none():
    source = parts(per_node=True)
    loader = data.GraphLoader(source, batch_size=3, shuffle=True)
    for signal, target in loader:
        assert target.float().equal(signal.x[0, :, 0])
    for one in source:
        del one.y
    assert [target for _, target in data.GraphLoader(source, batch_size=7)] == [None]
    given = data.GraphLoader(source, torch.arange(14).view(7, 2), batch_size=7)
    assert next(iter(given))[1].equal(torch.arange(14).view(7, 2))


def test_a_batch_by_numbers():
    loader = data.GraphLoader(parts(), batch_size=2)
    signal, target = loader.batch(torch.tensor([5, 5, 0]))
    assert hold_batch(signal, target, parts()) == [5, 5, 0]
    with pytest.raises(g.GeodlError, match=r"give some of 0\.\.6"):
        loader.batch(torch.tensor([7]))


def test_other_domains_are_loaded_too():
    rows = [g.Signal(torch.full((1, n, 1), float(n)), g.Chain(n)) for n in (2, 3, 2)]
    loader = data.GraphLoader(rows, torch.tensor([2, 3, 2]), batch_size=2)
    assert [s.domain.members for s, _ in loader] == [(g.Chain(2), g.Chain(3)), (g.Chain(2),)]
    equal = [g.Signal(torch.zeros(1, 2, 1), g.Chain(2))] * 3
    assert [s.domain.sizes for s, _ in data.GraphLoader(equal, batch_size=2)] == [(2, 2), (2,)]


ONE = g.Signal(torch.zeros(1, 2, 1), g.Graph([[0], [1]]))
BAD = {
    "nothing": (lambda: data.GraphLoader([]), "values of the types"),
    "numbers": (lambda: data.GraphLoader([1, 2]), "types .'int'"),
    "a mixture": (lambda: data.GraphLoader([ONE, parts()[0]]), "'Data', 'Signal'"),
    "a number": (lambda: data.GraphLoader(3), "types .'int'"),
    "graphs without values": (lambda: data.GraphLoader([ONE.domain]), "types .'Graph'"),
    "no size": (lambda: data.GraphLoader([ONE], batch_size=0), "positive"),
    "wide": (
        lambda: data.GraphLoader([g.Signal(torch.zeros(2, 2, 1), ONE.domain)]),
        "batches of .2.",
    ),
    "few targets": (lambda: data.GraphLoader([ONE, ONE], torch.zeros(3)), "2 rows, .* or of 4"),
    "a list": (lambda: data.GraphLoader([ONE], [0]), "targets of type list"),
    "elsewhere": (lambda: data.GraphLoader([ONE], torch.zeros(1, device="meta")), "one device"),
    "channels": (
        lambda: data.GraphLoader([ONE, g.Signal(torch.zeros(1, 2, 2), ONE.domain)]),
        "channels",
    ),
    "no x": (
        lambda: data.GraphLoader([Data(edge_index=torch.zeros(2, 0).long(), num_nodes=1)]),
        "x of",
    ),
}


def pair(channels: int = 3, dtype: torch.dtype = torch.float32, **attributes: object) -> Data:
    x = torch.randn(2, channels, dtype=dtype)
    return Data(x=x, edge_index=torch.tensor([[0], [1]]), **attributes)


WIDE = torch.ones(1, 2)
UNLIKE = {
    "no y": (pair(y=1), pair(), "no y in graph 2, and some in graph 0"),
    "y is None": (pair(y=1), pair(y=None), "no y in graph 2"),
    "y late": (pair(), pair(y=1), "y in graph 2, and none in graph 0"),
    "y of another shape": (pair(y=WIDE), pair(y=WIDE[:, :1]), r"y of shape \[any, 1\] in graph 2"),
    "y without axes": (pair(y=torch.tensor(1)), pair(y=torch.tensor([1])), r"shape \[any\] in"),
    "y of another dtype": (pair(y=WIDE), pair(y=WIDE.long()), "y of torch.int64 in graph 2 and"),
    "y of another type": (pair(y=1), pair(y=torch.tensor([1])), "y of type Tensor in graph 2"),
    "no edge_attr": (pair(edge_attr=WIDE), pair(), "no edge_attr in graph 2"),
    "edge_attr late": (pair(), pair(edge_attr=WIDE), "edge_attr in graph 2, and none in graph 0"),
    "edge channels": (pair(edge_attr=WIDE), pair(edge_attr=WIDE[:, :1]), "edge_attr of shape"),
    "edge dtype": (pair(edge_attr=WIDE), pair(edge_attr=WIDE.double()), "edge_attr of torch.float"),
    "edge rows": (pair(edge_attr=WIDE), pair(edge_attr=WIDE[:0]), "0 rows for 1 edges in graph 2"),
    "no edge_weight": (pair(edge_weight=WIDE[0, :1]), pair(), "no edge_weight in graph 2"),
    "no edge_type": (pair(edge_type=torch.tensor([0])), pair(), "no edge_type in graph 2"),
    "no globals": (pair(u=WIDE), pair(), "no u in graph 2"),
    "global channels": (pair(u=WIDE), pair(u=WIDE[:, :1]), r"u of shape \[1, 1\] in graph 2"),
    "channels": (pair(), pair(4), r"x of shape \[any, 4\] in graph 2 and of shape \[any, 3\]"),
    "dtype": (pair(), pair(dtype=torch.float64), "x of torch.float64 in graph 2"),
    "device": (pair(), pair().to("meta"), "x on meta in graph 2 and on cpu in graph 0"),
    "rows": (pair(), pair(num_nodes=3), "x of 2 rows for 3 nodes in graph 2"),
    "a list": (pair(), Data(x=[[1.0]], edge_index=pair().edge_index), "x of type list in graph 2"),
    "no edges": (pair(), Data(x=torch.ones(1, 3)), "no edge_index in graph 2"),
}


@pytest.mark.parametrize("name", UNLIKE)
def test_unlike_graphs_are_named(name):
    first, other, words = UNLIKE[name]
    with pytest.raises(g.GeodlError, match=words):
        data.GraphLoader([first, first, other])


STATES = "x", "edges", "globals"
OTHERS = torch.ones(1, 1, 4), torch.ones(1, 1, 3).double()
UNLIKE_STATES = [*itertools.product(STATES, OTHERS), ("edges", None), ("globals", None)]


@pytest.mark.parametrize(("state", "other"), UNLIKE_STATES)
def test_unlike_signals_are_named(state, other):
    loop = g.Graph([[0], [0]], 1)
    values = dict.fromkeys(STATES, torch.ones(1, 1, 3))
    signals = [g.Signal(domain=loop, **each) for each in (values, values, {**values, state: other})]
    with pytest.raises(g.GeodlError, match=rf"{state} .*in signal 2.* in signal 0"):
        data.GraphLoader(signals)


def test_attributes_that_are_not_read_may_differ():
    graphs = [pair(y=1, name="a", pos=WIDE), pair(y=0.5), pair(y=True, name="b")]
    signal, targets = next(iter(data.GraphLoader(graphs)))
    assert signal.x.equal(torch.cat([one.x for one in graphs])[None])
    assert targets.tolist() == [1, 0.5, 1]
    assert graphs[0].name == "a" and graphs[0].pos is not None, "the caller's own stay as they are"
    # Targets that are given stand in the place of y, which is then not looked at.
    graphs = [pair(y=1), pair()]
    assert next(iter(data.GraphLoader(graphs, torch.arange(2))))[1].tolist() == [0, 1]


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_loaded(name):
    make, words = BAD[name]
    with pytest.raises(g.GeodlError, match=words):
        make()


def test_the_store_moves():
    loader = data.GraphLoader(parts(), batch_size=3).to("cpu")
    assert next(iter(loader))[0].x.device.type == "cpu" and len(loader) == 3


def seen(batch: object) -> object:
    return batch


@pytest.mark.parametrize("workers", [0, 1])
def test_signals_through_workers(workers):
    """A worker makes the batches in a process of its own and sends them back."""
    rows = [g.Signal.from_pyg(one) for one in parts()]
    flat = [g.collate(rows[:3]), data.GraphLoader(parts(), batch_size=4).batch(torch.arange(4))[0]]
    for source, size in ((rows, 3), (flat, None)):
        loader = DataLoader(source, batch_size=size, num_workers=workers)
        for signal in loader:
            assert isinstance(signal, g.Signal) and signal.edges is not None
            y = g.Conv(2, 2, g.adjacency("row"))(signal)
            assert y.domain is signal.domain and y.globals is not None


def test_signals_move_with_lightning():
    lightning = pytest.importorskip("lightning")
    move = lightning.pytorch.core.hooks.move_data_to_device
    signal, target = data.GraphLoader(parts(), batch_size=4).batch(torch.arange(4))
    moved, there = move((signal, target), torch.device("meta"))
    assert moved.x.is_meta and moved.edges.is_meta and moved.globals.is_meta and there.is_meta
    assert moved.domain.device.type == "meta" and moved.domain.sizes == signal.domain.sizes


@pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec")
@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_a_lightning_trainer_reads_it():
    lightning = pytest.importorskip("lightning")
    loader = data.GraphLoader(parts(8), batch_size=4, shuffle=True)
    counted = []

    class Net(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = g.Sequential(g.Conv(2, 4, g.adjacency("row")), g.Readout("sum"))

        def training_step(self, batch, _):
            signal, target = batch
            counted.append(len(target))
            return self.net(signal).x.square().mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.01)

    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = lightning.Trainer(
        max_epochs=2, accelerator="cpu", devices=1, enable_model_summary=False, **options
    )
    trainer.fit(Net(), loader)
    assert counted == [4, 4, 4, 4]


def test_mutag(data_root):
    found = data.mutag()
    assert found.name == "mutag" and found.num_classes == 2
    assert found.labels.bincount().tolist() == [63, 125]
    domain = found.signal.domain
    assert (domain.num_members, domain.num_nodes, domain.num_links) == (188, 3371, 7442)
    assert found.signal.x.sum((0, 1)).tolist() == [2395, 345, 593, 12, 1, 23, 2]
    assert found.signal.edges.sum((0, 1)).tolist() == [4708, 2008, 724, 2]
    assert max(domain.sizes) == 28 and min(domain.sizes) == 10
    index = domain.union.edge_index
    assert set(map(tuple, index.T.tolist())) == set(map(tuple, index.flip(0).T.tolist()))
    loader = data.GraphLoader(found.signal, found.labels, batch_size=100)
    assert [s.domain.num_members for s, _ in loader] == [100, 88]
    assert found.to("cpu").labels.equal(found.labels)
