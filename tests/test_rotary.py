"""Rotary positions by hand, and the claims on positions that `geodl verify` makes."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import geodl as g
from geodl import verify
from geodl.layer import position
from geodl.layer.position import rotate
from geodl.testing import error
from geodl.verify import positions


def test_rotary_by_hand():
    x = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64).expand(1, 2, 1, 4)
    a, b = 3.0, 0.03
    wanted = [math.cos(a) - 2 * math.sin(a), math.sin(a) + 2 * math.cos(a)]
    wanted += [3 * math.cos(b) - 4 * math.sin(b), 3 * math.sin(b) + 4 * math.cos(b)]
    y = rotate(x, torch.tensor([0, 3]))
    assert torch.equal(y[:, 0], x[:, 0])
    assert error(y[0, 1, 0], torch.tensor(wanted, dtype=torch.float64)) < 1e-12


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


@pytest.mark.usefixtures("fresh_compiler")
def test_rotary_compiles():
    x, here = torch.randn(2, 5, 3, 8), torch.arange(5)
    assert (
        error(torch.compile(rotate, fullgraph=True, backend="aot_eager")(x, here), rotate(x, here))
        < 1e-6
    )


REFUSED = {
    "odd head": (lambda: rotate(torch.zeros(1, 3, 2, 5), torch.arange(3)), "", "a multiple of 2"),
    "other places": (
        lambda: rotate(torch.zeros(1, 3, 2, 4), torch.arange(4)),
        "[1, 3, 2, 4] for 4 places",
        "[B, 4, H, D]",
    ),
}


def test_odd_heads_are_refused_when_the_layer_is_built():
    with pytest.raises(g.GeodlError, match="3 channels for sines and cosines"):
        g.Attention(6, g.past(), heads=2, rotary=True)


@pytest.mark.parametrize("lowering", ["auto", "edges"])
@pytest.mark.parametrize("sizes", [((5, 2),), ((4, 2), (6, 5)), ((4, 3), (4, 3)), ((3, 3),)])
def test_the_last_receivers_of_a_past_stand_at_the_last_places(sizes, lowering):
    # Receivers that are the last of the senders hear what they hear in the whole chains.
    layer = g.Attention(8, g.past(), heads=2, rotary=True).double()
    layer.lowering = lowering
    senders, receivers = (g.Batch([g.Chain(pair[k]) for pair in sizes]) for k in (0, 1))
    x = torch.randn(2, senders.num_nodes, 8, dtype=torch.float64)
    begins = senders.starts.tolist()
    last = [range(begin + n - m, begin + n) for begin, (n, m) in zip(begins, sizes, strict=False)]
    chosen = torch.tensor([node for nodes in last for node in nodes])
    whole = g.Signal(x, senders)
    answer = layer(g.Signal(x[:, chosen], receivers), whole)
    assert error(answer.x, layer(whole).x[:, chosen]) < 1e-12
    # A rule that is named at the call counts, not the layer's own.
    other = g.Attention(8, g.all_pairs(), heads=2, rotary=True).double()
    other.load_state_dict(layer.state_dict())
    named = other(g.Signal(x[:, chosen], receivers), whole, rule=g.past())
    assert error(named.x, answer.x) < 1e-12


def test_positions_of_the_last_receivers_are_refused():
    layer = g.Attention(8, g.past(), heads=2, positions=g.SinusoidalPositions(8))
    with pytest.raises(g.GeodlError, match="the last of Chain"):
        layer(g.Signal.sequence(torch.zeros(1, 2, 8)), g.Signal.sequence(torch.zeros(1, 5, 8)))


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
