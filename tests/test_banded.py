"""Attention in tiles: windows on lattices, and members of different lengths."""

import pytest
import torch
import torch.nn.functional as F

import geodl as g
from geodl.lowering import Request, banded, plan_for
from geodl.testing import assert_equivariant, assert_parity, error, outcome

P4 = g.GroupGrid(g.Grid(6, 6), g.C(4))


def signal(
    domain: g.domain.Domain, dtype: torch.dtype = torch.float64, channels: int = 4
) -> g.Signal:
    return g.Signal(
        torch.randn(2, domain.num_nodes, channels, generator=torch.Generator().manual_seed(0)).to(
            dtype
        ),
        domain,
    )


def drawn(layer: g.Attention, dtype: torch.dtype = torch.float64) -> g.Attention:
    """The layer with random parameters, the typed bias too."""
    with torch.no_grad():
        for parameter in layer.to(dtype).parameters():
            parameter.copy_(
                torch.randn(
                    parameter.shape, generator=torch.Generator().manual_seed(1), dtype=dtype
                )
            )
    return layer


def plan_of(rule: g.Neighborhood, domain: g.domain.Domain, relative: bool = False):
    layer, x = g.Attention(4, rule, 2, relative=relative), torch.zeros(1, 1, 4)
    target = rule.target(domain)
    asked = Request("attend", "banded", rule, domain, target, x, layer.options)
    return plan_for(asked).data


def test_by_hand_a_window_is_a_band_of_the_dense_mask():
    q, k, v = torch.randn(
        3, 1, 200, 2, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    place = torch.arange(200)
    band = (place[:, None] - place).abs() <= 4
    wanted = F.scaled_dot_product_attention(
        *(t.transpose(1, 2) for t in (q, k, v)), band
    ).transpose(1, 2)
    found = banded.run(plan_of(g.window(9, axes=1), g.Chain(200)), q, k, v, None, None, 0.0, None)
    assert error(found, wanted) < 1e-12
    shifted = banded.run(
        plan_of(g.window(9, axes=1, padding="causal"), g.Chain(200)), q, k, v, None, None, 0.0, None
    )
    assert error(shifted, wanted) > 0.1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize(
    ("rule", "domain", "silent"),
    [
        (g.window(1, axes=1, padding=2), g.Chain(3), [0, 1, 5, 6]),
        (g.window(2, axes=1, dilation=2, padding=1, stride=3), g.Chain(1), [0]),
        (g.window(2, axes=1, padding=70), g.Chain(80), [*range(69), *range(150, 219)]),
        (g.window(1, padding=1), g.Grid(1, 2), [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]),
    ],
)
def test_who_hears_no_one_gets_zeros_and_gives_none(rule, domain, silent, relative, dtype):
    layer, target = (
        drawn(g.Attention(4, rule, 2, relative=relative, bias=False), dtype),
        rule.target(domain),
    )
    signals = (signal(target, dtype), signal(domain, dtype))
    layer.lowering = "banded"
    y, gradients = outcome(layer, *signals)
    assert all(bool(torch.isfinite(t).all()) for t in (y, *gradients.values()))
    assert y[0].abs().sum(-1).eq(0).nonzero()[:, 0].tolist() == silent
    assert not gradients["input 0"][:, silent].any()
    assert_parity(layer, *signals)


def test_nothing_of_the_size_of_all_pairs_is_made():
    n, rule = 4096, g.window(65, axes=1)
    plan = plan_of(rule, g.Chain(n), relative=True)
    assert max(t.numel() for t in plan if isinstance(t, torch.Tensor)) <= 130 * n
    q, sizes = torch.randn(1, n, 1, 4, requires_grad=True), []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: sizes.append(t.numel()) or t, lambda t: t
    ):
        banded.run(plan, q, q, q, None, torch.zeros(65, 1, requires_grad=True), 0.0, None)
    assert sizes and max(sizes) <= 130 * n


@pytest.mark.parametrize(
    ("rule", "domain", "bound"),
    [
        (g.window(65, axes=1), g.Chain(4096), 2),
        (g.window(65, axes=1, dilation=16), g.Chain(4096), 2.1),
        (g.window(65, axes=1), g.Chain(70), 2),
        (g.window(7), g.Grid(64, 64), 4.1),
        (g.window(7, dilation=3), g.Grid(63, 63), 4.1),
        (g.window(8, stride=8), g.Grid(64, 64), 1),
    ],
)
def test_the_waste_is_bounded(rule, domain, bound):
    """Scores that are computed for each that is read."""
    plan, m = plan_of(rule, domain), rule.target(domain).num_nodes
    rows = m if plan.receivers is None else len(plan.receivers)
    columns = (domain.num_nodes if plan.senders is None else len(plan.senders)) // plan.tiles
    assert rows * columns <= bound * len(rule.edges(domain).dst) * 1.05


def test_dropout_drops_weights():
    q, v = torch.zeros(1, 600, 1, 1), torch.ones(1, 600, 1, 1)
    plan = plan_of(g.window(5, axes=1), g.Chain(600))
    assert error(banded.run(plan, q, q, v, None, None, 0.0, None), v) < 1e-6
    with torch.random.fork_rng():
        torch.manual_seed(0)
        dropped = banded.run(plan, q, q, v, None, None, 0.5, None)
    kept = (dropped[0, 2:-2, 0, 0] * 5 / 2).round()
    assert error(kept * 2 / 5, dropped[0, 2:-2, 0, 0]) < 1e-6
    assert set(kept.tolist()) == {0, 1, 2, 3, 4, 5}
    assert abs(float(dropped.mean()) - 1) < 0.1


@pytest.mark.parametrize(
    ("make", "senders", "receivers"),
    [
        (lambda: g.Attention(4, g.window(3, group=g.C(4)), 2, relative=True), P4, P4),
        (lambda: g.Attention(4, g.lift(3, group=g.C(4)), 2, relative=True), g.Grid(6, 6), P4),
        (
            lambda: g.Attention(4, g.isotropic(3, group=g.D(4)), 2, relative=True),
            g.Grid(6, 6),
            g.Grid(6, 6),
        ),
    ],
)
def test_attention_with_a_group_is_certified(make, senders, receivers):
    layer = make()
    assert layer.explain(senders, receivers).lowering == "banded"
    certificate = g.certify(layer, senders)
    assert certificate.exact and certificate.proved, certificate


def test_attention_with_a_group_is_equivariant_in_numbers():
    layer = drawn(g.Attention(4, g.window(3, group=g.C(4)), 2, relative=True))
    assert_equivariant(layer, signal(P4), g.C(4))
    plain = drawn(g.Attention(4, g.window(3), 2, relative=True))
    with pytest.raises(AssertionError, match="is off by"):
        assert_equivariant(plain, signal(g.Grid(6, 6)), g.C(4))


@pytest.mark.parametrize(
    ("layer", "domain", "wanted", "reason"),
    [
        (
            g.Attention(4, g.window(3, axes=1), 2, "additive"),
            g.Chain(5),
            "banded",
            "not the additive score",
        ),
        (
            g.Attention(4, g.window(3, axes=1).reverse(), 2),
            g.Chain(5),
            "banded",
            "run against their window",
        ),
        (g.Attention(4, g.all_pairs(), 2), g.Chain(5), "banded", "no window on a lattice"),
        (
            g.Attention(4, g.window(3, axes=1), 2),
            g.Batch([g.Chain(5), g.Chain(4)]),
            "banded",
            "no window on a lattice",
        ),
        (
            g.Attention(4, g.past(), 2, relative=True),
            g.Batch([g.Chain(5), g.Chain(4)]),
            "sdpa",
            "a typed bias on members",
        ),
    ],
)
def test_what_the_tiles_do_not_know_is_refused_in_words(layer, domain, wanted, reason):
    layer.lowering = wanted
    with pytest.raises(g.GeodlError, match=reason):
        layer(signal(domain, torch.float32))


def test_members_are_paired_one_by_one():
    layer, two, three = (
        g.Attention(4, g.all_pairs(), 2),
        g.Batch(map(g.Chain, (5, 3))),
        g.Batch(map(g.Chain, (1, 2, 3))),
    )
    with pytest.raises(g.GeodlError, match="3 members that send and 2 that receive"):
        layer(signal(two, torch.float32), signal(three, torch.float32))


def test_a_member_is_as_it_is_alone():
    layer, lengths = drawn(g.Attention(4, g.past(), 2)), (5, 1, 9)
    batch = g.Batch(map(g.Chain, lengths))
    s = signal(batch)
    assert layer.explain(batch).lowering == "sdpa"
    alone = [
        layer(g.Signal(x, member)).x
        for x, member in zip(batch.split(s.x), batch.members, strict=True)
    ]
    assert error(layer(s).x, torch.cat(alone, 1)) < 1e-12
