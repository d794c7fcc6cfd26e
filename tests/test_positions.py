"""Where nodes stand: the numbers of pencil and paper, pieces and wholes, and what is refused."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import geodl as g
from geodl.layer.position import places, sinusoidal
from geodl.testing import error

GRID, CHAINS = g.Grid(2, 3), g.Batch([g.Chain(3), g.Chain(2)])
IDS = torch.tensor([[3, 0, 4, 3], [1, 1, 2, 0]])


def on(
    domain: g.Domain, channels: int = 4, batch: int = 2, dtype: torch.dtype = torch.float64
) -> g.Signal:
    return g.Signal(torch.randn(batch, domain.num_nodes, channels, dtype=dtype), domain)


def test_the_table_of_the_paper():
    wanted = [[f(p / rate) for rate in (1, 100) for f in (math.sin, math.cos)] for p in range(5)]
    assert (
        error(
            sinusoidal(torch.arange(5), 4, dtype=torch.float64),
            torch.tensor(wanted, dtype=torch.float64),
        )
        < 1e-12
    )
    x = on(g.Chain(5))
    assert (
        error(
            g.SinusoidalPositions(4)(x).x - x.x,
            torch.tensor(wanted, dtype=torch.float64).expand(2, 5, 4),
        )
        < 1e-12
    )


def test_axes_share_the_channels():
    pe = sinusoidal(places(GRID), 8)
    rows, columns = torch.arange(2).repeat_interleave(3), torch.arange(3).repeat(2)
    assert error(pe, torch.cat((sinusoidal(rows, 4), sinusoidal(columns, 4)), 1)) < 1e-6
    assert error(sinusoidal(places(g.Grid(5)), 4), sinusoidal(torch.arange(5), 4)) < 1e-6


def test_places():
    assert places(g.Chain(3)).tolist() == [0, 1, 2] and places(g.Batch([g.Chain(3)])).tolist() == [
        0,
        1,
        2,
    ]
    assert places(CHAINS).tolist() == [0, 1, 2, 0, 1]
    assert places(GRID).tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    assert places(g.GroupGrid(g.Grid(2, 2), g.C(4)))[4:8].tolist() == [[0, 1]] * 4


ADDED = {
    "sinusoidal": lambda: g.SinusoidalPositions(4),
    "learned": lambda: g.LearnedPositions(7, 4),
    "laplacian": lambda: g.LaplacianPositions(2, 4).eval(),
}
added = pytest.mark.parametrize("name", ADDED)


@added
def test_every_member_begins_at_its_first_node(name):
    layer, s = ADDED[name]().double(), on(CHAINS)
    alone = [
        layer(g.Signal(x.contiguous(), m)).x
        for x, m in zip(CHAINS.split(s.x), CHAINS.members, strict=True)
    ]
    assert error(layer(s).x, torch.cat(alone, 1)) < 1e-12


@added
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_dtypes_and_batches(name, dtype):
    for batch in (0, 1, 3):
        s = on(g.Chain(5), batch=batch, dtype=dtype)
        y = ADDED[name]().to(dtype)(s)
        assert (
            y.x.dtype == dtype
            and y.x.shape == (batch, 5, 4)
            and y.domain == s.domain
            and torch.isfinite(y.x).all()
        )


@added
def test_gradients_reach_everything(name):
    layer, s = ADDED[name]().double(), on(g.Chain(7))
    leaves = [s.x.requires_grad_(), *layer.parameters()]
    assert all(
        grad.abs().sum() > 0 for grad in torch.autograd.grad(layer(s).x.square().sum(), leaves)
    )
    assert set(layer.state_dict()) == {key for key, _ in layer.named_parameters()}


def test_learned_positions_are_rows_of_a_table():
    layer, s = g.LearnedPositions(6, 4).double(), on(GRID)
    assert torch.equal(layer(s).x, s.x + layer.weight)
    torch.manual_seed(0)
    assert 0.018 < float(g.LearnedPositions(200, 50).weight.detach().std()) < 0.022


@pytest.mark.parametrize("name", ["sinusoidal", "learned"])
@pytest.mark.parametrize("members", [0, 2])
@given(cuts=st.lists(st.integers(1, 6), max_size=6, unique=True).map(sorted))
def test_pieces_are_the_whole(name, members, cuts):
    def sequence(x):
        domain = g.Batch([g.Chain(x.shape[1])] * members) if members else g.Chain(x.shape[1])
        return g.Signal(x.reshape(-1, domain.num_nodes, 4), domain)

    layer, x = ADDED[name]().double(), torch.randn(2, 7, 4, dtype=torch.float64)
    parts, state = [], None
    for piece in x.tensor_split(cuts, dim=1):
        y, state = layer.step(sequence(piece), state)
        parts.append(y.x.reshape(piece.shape))
    assert error(torch.cat(parts, 1), layer(g.Signal.sequence(x)).x) < 1e-12 and state == 7


@pytest.mark.usefixtures("fresh_compiler")
@added
def test_compiles_whole(name):
    model = g.Sequential(g.Embedding(5, 4), ADDED[name]())
    s = g.Signal.tokens(IDS)
    fast = torch.compile(model, fullgraph=True, backend="aot_eager")
    if name == "laplacian":
        with pytest.raises(
            torch._dynamo.exc.Unsupported, match=r"call g.prepare\(model, signal\) first"
        ):
            fast(g.Signal(torch.randint(5, (1, 6, 1)), g.Graph([[0], [1]], 6)))
    g.prepare(model, s)
    assert error(fast(s).x, model(s).x) < 1e-6


def test_mixed_precision():
    model = g.Sequential(
        g.Embedding(5, 4),
        g.LearnedPositions(4, 4),
        nn.Linear(4, 4),
        g.SinusoidalPositions(4),
        ADDED["laplacian"](),
    )
    with torch.autocast("cpu", torch.bfloat16):
        y = model(g.Signal.tokens(IDS)).x
    assert y.dtype == torch.bfloat16 and error(y.float(), model(g.Signal.tokens(IDS)).x) < 5e-2


THREE = g.Signal.sequence(torch.zeros(1, 3, 4))
SET = g.Signal(torch.zeros(1, 3, 4), g.Complete(3))
REFUSED = {
    "places of a set": (
        lambda: places(g.Complete(3)),
        "nodes without places",
        "LaplacianPositions",
    ),
    "places of both": (
        lambda: places(g.Batch([g.Chain(2), GRID])),
        "members with different axes",
        "one kind",
    ),
    "odd channels": (lambda: g.SinusoidalPositions(5), "", "a multiple of 2"),
    "channels of axes": (lambda: g.SinusoidalPositions(6)(on(GRID, 6)), "", "a multiple of 4"),
    "channels": (lambda: g.SinusoidalPositions(6)(THREE), "4 channels", "give 6 channels"),
    "sines on a set": (
        lambda: g.SinusoidalPositions(4)(SET),
        "nodes without places",
        "LaplacianPositions",
    ),
    "rows of a set": (
        lambda: g.LearnedPositions(5, 4)(SET),
        "nodes without places",
        "LaplacianPositions",
    ),
    "too long": (lambda: g.LearnedPositions(2, 4)(THREE), "node 3 of a table of 2", "length=3"),
    "too far": (
        lambda: g.LearnedPositions(5, 4).step(THREE, 3),
        "node 6 of a table of 5",
        "length=6",
    ),
    "a step on a grid": (
        lambda: g.SinusoidalPositions(4).step(on(GRID)),
        "no order",
        "along a Chain",
    ),
    "an uneven step": (
        lambda: g.SinusoidalPositions(4).step(on(CHAINS)),
        "different lengths",
        "equal ones",
    ),
    "a state": (
        lambda: g.SinusoidalPositions(4).step(THREE, (1,)),
        "the state (1,)",
        "number of nodes",
    ),
    "a step of modes": (
        lambda: g.LaplacianPositions(1, 4).step(THREE),
        "all nodes at once",
        "read a node alone",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_words(name):
    call, found, do = REFUSED[name]
    with pytest.raises(g.GeodlError) as refusal:
        call()
    parts = refusal.value.args
    assert found in parts[1] and do in parts[2] and parts[0], str(refusal.value)


@pytest.mark.parametrize("domain", [g.Chain(4), g.Grid(2, 2), g.Batch([g.Chain(2), g.Chain(3)])])
def test_places_do_not_hang_on_the_default_device(domain):
    s = g.Signal(torch.randn(1, domain.num_nodes, 4), domain)
    layers = [g.SinusoidalPositions(4)]
    if domain.ordered:
        layers.append(g.Attention(4, g.all_pairs(), 1, rotary=True))
    for layer in layers:
        wanted = layer(s).x
        with torch.device("meta"):
            found = layer(s).x
        assert torch.equal(found, wanted)
