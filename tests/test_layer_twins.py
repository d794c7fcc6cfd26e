"""Norms, dropout, recurrence and attention weights against torch.nn, states included."""

import copy

import pytest
import torch
from torch import nn

import geodl as g
from geodl.testing import error


def norms(channels: int, dtype: torch.dtype, **options):
    torch.manual_seed(3)
    ours, twin = g.BatchNorm(channels, **options), nn.BatchNorm1d(channels, **options)
    state = {
        k: torch.rand_like(v) + 0.5 if v.is_floating_point() else v
        for k, v in twin.state_dict().items()
    }
    twin.load_state_dict(state)
    ours.load_state_dict(state)
    return ours.to(dtype), twin.to(dtype)


@pytest.mark.parametrize(
    "domain",
    [g.Chain(7), g.GroupGrid(g.Grid(4, 4), g.C(4)), g.Grid(30, 30), g.Complete(1)],
    ids=str,
)
@pytest.mark.parametrize("channels", [1, 10, 600])
def test_batch_norm_is_torchs_on_flattened_nodes(domain, channels):
    ours, twin = norms(channels, torch.float64, eps=1e-3, momentum=0.3)
    x = torch.empty(0)
    for _ in range(2):
        x = (
            3 * torch.randn(3, domain.num_nodes, channels, dtype=torch.float64) + 2
        ).requires_grad_()
        up = torch.randn_like(x)
        y, flat = ours(g.Signal(x, domain)).x, twin(x.flatten(0, 1)).view_as(x)
        assert error(y, flat) < 1e-12
        mine = torch.autograd.grad(y, [x, *ours.parameters()], up)
        theirs = torch.autograd.grad(flat, [x, *twin.parameters()], up)
        assert max(error(a, b) for a, b in zip(mine, theirs, strict=True)) < 1e-11
    assert (
        max(
            error(a, b)
            for a, b in zip(ours.state_dict().values(), twin.state_dict().values(), strict=True)
        )
        < 1e-12
    )
    assert (
        error(ours.eval()(g.Signal(x, domain)).x, twin.eval()(x.flatten(0, 1)).view_as(x)) < 1e-12
    )
    assert list(ours.state_dict()) == list(twin.state_dict()) and int(ours.num_batches_tracked) == 2


def test_batch_norm_in_bf16_and_alone():
    ours, twin = norms(6, torch.bfloat16)
    x = torch.randn(4, 9, 6, dtype=torch.bfloat16)
    for mode in (True, False):
        y = ours.train(mode)(g.Signal(x, g.Grid(3, 3))).x
        assert (
            y.dtype == torch.bfloat16
            and error(y.float(), twin.train(mode)(x.flatten(0, 1)).view_as(x).float()) < 2e-2
        )
    with pytest.raises(g.GeodlError, match="one value for each channel"):
        g.BatchNorm(2)(g.Signal(torch.zeros(1, 1, 2), g.Complete(1)))
    before = copy.deepcopy(ours.train().state_dict())
    assert ours(g.Signal(x[:0], g.Grid(3, 3))).x.shape == (0, 9, 6)
    assert all(torch.equal(v, before[k]) for k, v in ours.state_dict().items()), (
        "an empty batch teaches nothing"
    )


def test_batch_norm_shares_statistics_over_a_fiber():
    domain = g.GroupGrid(g.Grid(4, 4), g.C(4))
    s = g.Signal(
        torch.randn(2, 64, 3, dtype=torch.float64) * torch.rand(64, 1, dtype=torch.float64) * 5,
        domain,
    )
    ours, _ = norms(3, torch.float64)
    assert max(g.equivariance_error(ours, s, g.C(4)).values()) < 1e-12

    class Planes(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(12).double()
            nn.init.uniform_(self.norm.weight)

        def forward(self, s):
            return g.Signal(self.norm(s.x.reshape(2 * 16, 12)).view_as(s.x), s.domain)

    assert max(g.equivariance_error(Planes(), s, g.C(4)).values()) > 1e-2, (
        "a norm for each plane is not equivariant"
    )


@pytest.mark.parametrize("draws", ["bernoulli", "uniform"])
def test_dropout(draws):
    torch.manual_seed(0)
    drop, domain = g.Dropout(0.25, draws=draws), g.Graph([[0], [1]], 2000)
    y = drop(g.Signal(torch.ones(1, 2000, 4), domain)).x
    assert set(y.unique().tolist()) == {0.0, float(torch.tensor(1.0) / 0.75)}
    assert abs(float((y == 0).double().mean()) - 0.25) < 0.03
    sparse = torch.eye(2000).to_sparse_csr()
    kept = drop(g.Signal(sparse, domain)).x
    assert kept.layout == torch.sparse_csr and kept._nnz() == 2000
    assert set(kept.values().unique().tolist()) == set(y.unique().tolist())
    s = g.Signal(sparse, domain)
    assert drop.eval()(s) is s and g.Dropout(0.0, draws=draws).train()(s) is s


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_dropout_of_either_draws_keeps_dtypes_and_gradients(dtype):
    """Of one seed "bernoulli" is torch's own; a gradient has the factors of its values."""
    domain = g.Complete(50)
    for draws in ("bernoulli", "uniform"):
        x = torch.ones(2, 50, 3, dtype=dtype, requires_grad=True)
        torch.manual_seed(1)
        y = g.Sequential(g.Dropout(0.4, draws=draws), nn.Identity())(g.Signal(x, domain)).x
        (slope,) = torch.autograd.grad(y, x, torch.ones_like(y))
        assert y.dtype == dtype and torch.equal(slope, y) and 0 < int((y == 0).sum()) < y.numel()
        torch.manual_seed(1)
        same = torch.equal(nn.functional.dropout(torch.ones_like(x), 0.4), y)
        assert same == (draws == "bernoulli")


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn_tanh", "rnn_relu"])
@pytest.mark.parametrize("lowering", ["auto", "edges"])
def test_recurrent_states_are_torchs(cell, lowering):
    torch.manual_seed(0)
    kind = {"lstm": nn.LSTM, "gru": nn.GRU}.get(cell, nn.RNN)
    twin = kind(
        3, 4, batch_first=True, **({"nonlinearity": cell[4:]} if kind is nn.RNN else {})
    ).double()
    ours = g.Recurrent(3, 4, cell).double()
    ours.load_state_dict(twin.state_dict())
    ours.lowering = lowering
    x = torch.randn(2, 6, 3, dtype=torch.float64)
    state = tuple(
        torch.randn(2, 1, 4, dtype=torch.float64) for _ in range(2 if cell == "lstm" else 1)
    )
    before = tuple(s.transpose(0, 1).contiguous() for s in state)
    wanted, after = twin(x, before if cell == "lstm" else before[0])
    y, end = ours.step(g.Signal.sequence(x), state)
    assert error(y.x, wanted) < 1e-12
    assert (
        max(
            error(s.transpose(0, 1), t)
            for s, t in zip(end, after if cell == "lstm" else (after,), strict=True)
        )
        < 1e-12
    )
    first, middle = ours.step(g.Signal.sequence(x[:, :2]), state)
    second, last = ours.step(g.Signal.sequence(x[:, 2:]), middle)
    assert (
        error(torch.cat((first.x, second.x), 1), wanted) < 1e-12 and error(last[0], end[0]) < 1e-12
    )


@pytest.mark.parametrize("lengths", [(3, 3), (4, 2)])
def test_recurrent_states_of_a_union(lengths):
    torch.manual_seed(0)
    layer = g.Recurrent(2, 3).double()
    union = g.Batch([g.Chain(n) for n in lengths])
    x = torch.randn(2, union.num_nodes, 2, dtype=torch.float64)
    state = tuple(torch.randn(2, 2, 3, dtype=torch.float64) for _ in range(2))
    y, end = layer.step(g.Signal(x, union), state)
    for k, part in enumerate(union.split(x)):
        alone, last = layer.step(g.Signal.sequence(part), tuple(s[:, k : k + 1] for s in state))
        assert error(union.split(y.x)[k], alone.x) < 1e-12
        assert max(error(a[:, k : k + 1], b) for a, b in zip(end, last, strict=True)) < 1e-12


@pytest.mark.parametrize("causal", [False, True])
def test_attention_weights_are_torchs(causal):
    torch.manual_seed(0)
    twin = nn.MultiheadAttention(8, 4, batch_first=True).double()
    with torch.no_grad():
        for p in twin.parameters():
            p.normal_()
    ours = g.Attention(8, g.past() if causal else g.all_pairs(), heads=4).double()
    ours.load_state_dict(twin.state_dict())
    x = torch.randn(2, 5, 8, dtype=torch.float64)
    mask = torch.ones(5, 5, dtype=torch.bool).triu(1) if causal else None
    wanted, w = twin(x, x, x, attn_mask=mask, average_attn_weights=False)
    s = g.Signal.sequence(x)
    a, edges = ours.weights(s), ours.rule.edges(s.domain)
    assert (
        error(ours(s).x, wanted) < 1e-12
        and error(a.x, w.permute(0, 2, 3, 1)[:, edges.dst, edges.src]) < 1e-12
    )
    sums = torch.zeros(2, 5, 4, dtype=torch.float64).index_add(1, edges.dst, a.x)
    assert error(sums, torch.ones_like(sums)) < 1e-12
    if not causal:
        memory = torch.randn(2, 3, 8, dtype=torch.float64)
        wanted, w = twin(x, memory, memory, average_attn_weights=False)
        sender = g.Signal(memory, g.Complete(3))
        assert error(ours(s, sender).x, wanted) < 1e-12
        assert error(ours.weights(s, sender).x, w.permute(0, 2, 3, 1).flatten(1, 2)) < 1e-12
