"""Tokens as vectors, and where nodes stand: the numbers of torch and of pencil and paper, and what
is refused.
"""

import copy
import math
import warnings

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import geodl as g
from geodl import verify
from geodl.layer import position
from geodl.layer.position import places, rotate, sinusoidal
from geodl.testing import error
from geodl.verify import positions

GRID, CHAINS = g.Grid(2, 3), g.Batch([g.Chain(3), g.Chain(2)])
IDS = torch.tensor([[3, 0, 4, 3], [1, 1, 2, 0]])


def on(
    domain: g.Domain, channels: int = 4, batch: int = 2, dtype: torch.dtype = torch.float64
) -> g.Signal:
    return g.Signal(torch.randn(batch, domain.num_nodes, channels, dtype=dtype), domain)


def test_embedding_is_torchs():
    torch.manual_seed(0)
    ours = g.Embedding(5, 3).double()
    torch.manual_seed(0)
    twin = nn.Embedding(5, 3).double()
    assert torch.equal(ours.weight, twin.weight), "drawn alike"
    y, wanted = ours(g.Signal.tokens(IDS)), twin(IDS)
    up = torch.randn_like(wanted)
    (mine,), (theirs,) = (
        torch.autograd.grad(y.x, ours.weight, up),
        torch.autograd.grad(wanted, twin.weight, up),
    )
    assert torch.equal(y.x, wanted) and torch.equal(mine, theirs) and y.domain == g.Chain(4)
    assert list(ours.state_dict()) == ["weight"] and str(ours.label) == "Embedding(5, 3)"


def test_one_hot_is_the_identity_embedding():
    tokens = g.Signal.tokens(IDS)
    hot = g.Embedding.from_weight(torch.eye(5, dtype=torch.float64))(tokens)
    assert torch.equal(hot.x, F.one_hot(IDS, 5).double())
    embedding, conv = g.Embedding(5, 3).double(), g.Conv(5, 3, g.itself(), bias=False).double()
    conv.weight.data = embedding.weight.detach()[None].clone()
    y, wanted = embedding(tokens).x, conv(hot).x
    up = torch.randn_like(wanted)
    (mine,), (theirs,) = (
        torch.autograd.grad(y, [embedding.weight], up),
        torch.autograd.grad(wanted, [conv.weight], up),
    )
    assert error(y, wanted) < 1e-12 and error(mine, theirs[0]) < 1e-12


@pytest.mark.parametrize("domain", [GRID, g.Complete(3), g.Graph([[0], [1]], 3), CHAINS], ids=str)
@pytest.mark.parametrize("batch", [0, 2])
def test_tokens_live_on_any_domain(domain, batch):
    ids = torch.randint(5, (batch, domain.num_nodes, 1))
    layer = g.Embedding(5, 3)
    y = layer(g.Signal(ids, domain))
    assert y.domain is domain and torch.equal(y.x, layer.weight[ids[..., 0]])


def test_trained_vectors_are_copied_and_can_be_frozen():
    vectors = torch.randn(5, 3, dtype=torch.float64)
    layer = g.Embedding.from_weight(vectors).requires_grad_(False)
    vectors.zero_()
    assert layer.weight.abs().sum() > 0 and layer.weight.dtype == torch.float64 and layer.num == 5
    assert not layer(g.Signal.tokens(IDS)).x.requires_grad


def test_a_tied_head_is_one_parameter():
    embedding, head = g.Embedding(5, 3), nn.Linear(3, 5, bias=False)
    head.weight = embedding.weight
    model = g.Sequential(embedding, nn.Tanh(), head)
    assert len(list(model.parameters())) == 1
    assert torch.equal(
        model(g.Signal.tokens(IDS)).x, embedding.weight[IDS].tanh() @ embedding.weight.T
    )
    twin = copy.deepcopy(model)
    assert twin[0].weight is twin[2].weight and twin[0].weight is not embedding.weight


def test_padded_tokens_are_missing_nodes():
    s = g.Signal.tokens(IDS, torch.tensor([[True] * 4, [True, False, False, False]]))
    assert s.x.flatten().tolist() == [3, 0, 4, 3, 1] and s.domain.members == (
        g.Chain(4),
        g.Chain(1),
    )


def test_the_table_of_the_paper():
    wanted = [[f(p / rate) for rate in (1, 100) for f in (math.sin, math.cos)] for p in range(5)]
    assert (
        error(
            sinusoidal(torch.arange(5), 4, dtype=torch.float64),
            torch.tensor(wanted, dtype=torch.float64),
        )
        < 1e-15
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
    assert torch.equal(pe, torch.cat((sinusoidal(rows, 4), sinusoidal(columns, 4)), 1))
    assert torch.equal(sinusoidal(places(g.Grid(5)), 4), sinusoidal(torch.arange(5), 4))


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
    assert torch.equal(torch.cat(parts, 1), layer(g.Signal.sequence(x)).x) and state == 7


def test_rotary_by_hand():
    x = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64).expand(1, 2, 1, 4)
    a, b = 3.0, 0.03
    wanted = [math.cos(a) - 2 * math.sin(a), math.sin(a) + 2 * math.cos(a)]
    wanted += [3 * math.cos(b) - 4 * math.sin(b), 3 * math.sin(b) + 4 * math.cos(b)]
    y = rotate(x, torch.tensor([0, 3]))
    assert torch.equal(y[:, 0], x[:, 0])
    assert error(y[0, 1, 0], torch.tensor(wanted, dtype=torch.float64)) < 1e-15


@given(
    start=st.integers(0, 5000),
    heads=st.integers(1, 3),
    pairs=st.integers(1, 4),
    batch=st.sampled_from((0, 1, 3)),
)
def test_rotary_keeps_lengths_and_reads_differences(start, heads, pairs, batch):
    q, k = torch.randn(2, batch, 5, heads, 4 * pairs, dtype=torch.float64)
    for here in (torch.arange(5), torch.stack((torch.arange(5), torch.arange(5).flip(0)), 1)):
        assert error(rotate(q, here).norm(dim=-1), q.norm(dim=-1)) < 1e-12
        scores = [
            torch.einsum("bihd,bjhd->bhij", rotate(q, at), rotate(k, at))
            for at in (here, here + start)
        ]
        assert error(*scores) < 1e-10
    moved = torch.einsum("bihd,bjhd->bhij", rotate(q, here), rotate(k, here + 1))
    assert batch == 0 or error(moved, scores[0]) > 1e-6, "another difference is another score"


def test_rotary_keeps_dtypes_and_rounds_once():
    x = torch.randn(1, 300, 2, 8)
    exact = rotate(x.double(), torch.arange(300))
    assert (
        rotate(x, torch.arange(300)).dtype == torch.float32
        and error(rotate(x, torch.arange(300)).double(), exact) < 1e-4
    )
    half = rotate(x.bfloat16(), torch.arange(300))
    assert half.dtype == torch.bfloat16
    assert error(half.double(), rotate(x.bfloat16().double(), torch.arange(300))) < 1e-2


@pytest.fixture
def _fresh():
    torch.compiler.reset()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch")
        yield


@pytest.mark.usefixtures("_fresh")
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


@pytest.mark.usefixtures("_fresh")
def test_rotary_compiles():
    x, here = torch.randn(2, 5, 3, 8), torch.arange(5)
    assert (
        error(torch.compile(rotate, fullgraph=True, backend="aot_eager")(x, here), rotate(x, here))
        < 1e-6
    )


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


TOKENS, THREE = g.Signal.tokens(IDS), g.Signal.sequence(torch.zeros(1, 3, 4))
SET = g.Signal(torch.zeros(1, 3, 4), g.Complete(3))
REFUSED = {
    "float ids": (
        lambda: g.Signal.tokens(torch.zeros(2, 3)),
        "torch.float32 of shape [2, 3]",
        "ids.long()",
    ),
    "small ids": (lambda: g.Signal.tokens(IDS.int()), "torch.int32", "ids.long()"),
    "ids of shape": (lambda: g.Signal.tokens(IDS[..., None]), "shape [2, 4, 1]", "[B, T]"),
    "no ids": (lambda: g.Signal.tokens(IDS[:, :0]), "without a token", "one token at least"),
    "wide integers": (
        lambda: g.Signal(torch.zeros(1, 3, 2, dtype=torch.long), g.Chain(3)),
        "torch.int64",
        "one channel",
    ),
    "too large": (lambda: g.Embedding(4, 3)(TOKENS), "ids from 0 to 4", "0..3"),
    "negative": (lambda: g.Embedding(5, 3)(g.Signal.tokens(IDS - 1)), "ids from -1 to 3", "0..4"),
    "float tokens": (
        lambda: g.Embedding(5, 3)(THREE),
        "4 channels of torch.float32",
        "one channel of torch.long",
    ),
    "a tensor": (lambda: g.Embedding(5, 3)(IDS), "a Tensor", "Signal.tokens(ids)"),
    "a sender": (lambda: g.Embedding(5, 3)(TOKENS, TOKENS), "a second signal", "one signal"),
    "device": (
        lambda: g.Embedding(5, 3).to("meta")(TOKENS),
        "tokens on cpu and vectors on meta",
        "one device",
    ),
    "integer vectors": (
        lambda: g.Embedding.from_weight(IDS),
        "torch.int64 of shape [2, 4]",
        "floating-point",
    ),
    "a list of vectors": (lambda: g.Embedding.from_weight([[1.0]]), "list", "vectors [num, C]"),
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
    "odd head": (lambda: rotate(torch.zeros(1, 3, 2, 5), torch.arange(3)), "", "a multiple of 2"),
    "channels of axes": (lambda: g.SinusoidalPositions(6)(on(GRID, 6)), "", "a multiple of 4"),
    "channels": (lambda: g.SinusoidalPositions(6)(THREE), "4 channels", "give 6 channels"),
    "other places": (
        lambda: rotate(torch.zeros(1, 3, 2, 4), torch.arange(4)),
        "[1, 3, 2, 4] for 4 places",
        "[B, 4, H, D]",
    ),
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
    "unrolled on a grid": (
        lambda: g.SinusoidalPositions(4).step(on(GRID)),
        "no order",
        "along a Chain",
    ),
    "unrolled unevenly": (
        lambda: g.SinusoidalPositions(4).step(on(CHAINS)),
        "different lengths",
        "equal ones",
    ),
    "a state": (
        lambda: g.SinusoidalPositions(4).step(THREE, (1,)),
        "the state (1,)",
        "number of nodes",
    ),
    "unrolled modes": (lambda: g.LaplacianPositions(1, 4).step(THREE), "nodes to come", "past()"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_words(name):
    call, found, do = REFUSED[name]
    with pytest.raises(g.GeodlError) as refusal:
        call()
    parts = refusal.value.args
    assert found in parts[1] and do in parts[2] and parts[0], str(refusal.value)


def test_row_08():
    rows = [row for claim in positions.CLAIMS for row in claim()]
    assert len(rows) == 3 and all(row.passed and row.claim.startswith("08 ") for row in rows)
    assert (
        rows[0].claim == "08 sinusoidal positions: PE(p+k) = R(k) PE(p), k up to 1000"
        and rows[0].bound == 1e-12
    )
    assert all(row.max_gradient_error > 0 for row in rows[1:])
    assert set(positions.CLAIMS) <= set(verify.CLAIMS["08"])


def other_rates(patch):
    angles = position._angles
    patch.setattr(
        position,
        "_angles",
        lambda places, *rest: angles(places, *rest) + 1e-9 * places.view(-1, 1) ** 2,
    )


def restarted(patch):
    patch.setattr(g.SinusoidalPositions, "step", lambda self, s, state=None: (self(s), 0))


def sines_only(patch):
    patch.setattr(positions, "rotate", lambda x, at: x * torch.cos(at.double()).view(-1, 1, 1))


@pytest.mark.parametrize(
    ("fault", "seen_in"),
    [
        (other_rates, "08 sinusoidal"),
        (other_rates, "08 rotary positions: the same"),
        (other_rates, "08 rotary positions: score"),
        (restarted, "08 sinusoidal"),
        (sines_only, "08 rotary positions: the same"),
        (sines_only, "08 rotary positions: score"),
    ],
)
def test_a_planted_fault_is_seen(fault, seen_in, monkeypatch):
    fault(monkeypatch)
    rows = [row for claim in positions.CLAIMS for row in claim()]
    assert [row for row in rows if row.claim.startswith(seen_in) and not row.passed]
