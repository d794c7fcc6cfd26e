"""Every checker that is shipped rejects the fault it is there for."""

import re
from unittest import mock

import pytest
import torch
from torch import Tensor, nn

import geodl as g
from geodl import lowering
from geodl.testing import (
    accepting,
    assert_equivariant,
    assert_lowered_to,
    assert_parity,
    assert_permutation_equivariant,
    error,
    outcome,
    record_lowerings,
)

GRID = g.Grid(4, 5)


def noise(domain: g.Domain, channels: int = 2, dtype: torch.dtype = torch.float64) -> g.Signal:
    generator = torch.Generator().manual_seed(0)
    return g.Signal(
        torch.randn(2, domain.num_nodes, channels, generator=generator, dtype=torch.float64).to(
            dtype
        ),
        domain,
    )


def conv(rule: g.Neighborhood | None = None) -> g.Conv:
    torch.manual_seed(0)
    return g.Conv(2, 3, g.window(3) if rule is None else rule).double()


class Forgetful(g.Conv):
    """Drops the gradient of its bias on every lowering but `edges`."""

    def _run(self, plan, receiver: Tensor, sender: Tensor, parts, state) -> Tensor:
        kept = self.bias if plan.lowering.name == "edges" else self.bias.detach()
        return plan.run(sender, self.weight, kept)


class Skewed(g.Conv):
    """Adds to each node its own number."""

    def _run(self, plan, receiver: Tensor, sender: Tensor, parts, state) -> Tensor:
        y = super()._run(plan, receiver, sender, parts, state)
        return y + torch.arange(y.shape[1]).to(y)[:, None]


def faulty(change):
    """The registry with `change(y)` made of every answer of the lattice kernel."""
    true = lowering.LOWERINGS["convolve"][0]

    def run(plan, x, weight, bias):
        return change(true.run(plan, x, weight, bias))

    entries = (true._replace(run=run), *lowering.LOWERINGS["convolve"][1:])
    return mock.patch.dict(lowering.LOWERINGS, {"convolve": entries})


@pytest.fixture(autouse=True)
def _no_plans_left():
    """A plan made under a planted fault is for this test only."""
    with mock.patch.object(lowering.plans, "VALUES", lowering.Store()):
        yield


def test_error():
    ones = torch.ones(3)
    assert error(ones, ones) == 0 and error(torch.zeros(0), torch.zeros(0)) == 0
    assert error(3 * ones, ones) == 2 and error(101 * ones, 100 * ones) == pytest.approx(0.01)
    for wrong in (float("nan"), float("inf")):
        assert error(wrong * ones, ones) == error(ones, wrong * ones) == float("inf")
    with pytest.raises(AssertionError, match="shapes"):
        error(torch.zeros(3, 1), torch.zeros(1, 3))


def test_parity_passes_and_leaves_the_layer_as_it_was():
    layer = conv()
    layer.lowering = "spmm"
    errors = assert_parity(layer, noise(GRID))
    assert (
        set(errors) == {"lattice", "spmm"} == set(accepting(layer, noise(GRID)))
        and max(errors.values()) < 1e-12
    )
    assert layer.lowering == "spmm" and all(p.grad is None for p in layer.parameters())
    assert assert_parity(conv().float(), noise(GRID, dtype=torch.float32))["lattice"] < 1e-5


def test_parity_rejects_a_dropped_gradient():
    torch.manual_seed(0)
    with pytest.raises(AssertionError, match="off the reference by .* in the gradient of bias"):
        assert_parity(Forgetful(2, 3, g.window(3)).double(), noise(GRID))


FAULTS = {
    "shift": lambda y: y.roll(1, 1),
    "a little": lambda y: y + 1e-8,
    "nan": lambda y: y * float("nan"),
}


@pytest.mark.parametrize("change", FAULTS.values(), ids=FAULTS)
def test_parity_rejects_a_faulty_lowering(change):
    with (
        faulty(change),
        pytest.raises(AssertionError, match="lattice is off the reference by .* in the output"),
    ):
        assert_parity(conv(), noise(GRID))
    lowering.plans.VALUES.sizes.clear()
    assert assert_parity(conv(), noise(GRID))


def test_parity_rejects_a_faulty_input_gradient():
    class Halved(torch.autograd.Function):
        @staticmethod
        def forward(ctx, y):
            return y.clone()

        @staticmethod
        def backward(ctx, *grads):
            return grads[0] / 2

    with faulty(Halved.apply), pytest.raises(AssertionError, match="in the gradient of"):
        assert_parity(conv(), noise(GRID))


def test_equivariant():
    turning, domain = conv(g.lift(3, group=g.C(4))), g.Grid(5, 5)
    assert_equivariant(turning, noise(domain))
    assert_equivariant(turning, noise(domain), g.C(4))
    with pytest.raises(
        AssertionError, match="Conv on Grid\\(5, 5\\) is off by .* under C4 element 1"
    ):
        assert_equivariant(conv(), noise(domain), g.C(4))
    with pytest.raises(AssertionError, match="under shift of axis"):
        assert_equivariant(Skewed(2, 3, g.window(3)).double(), noise(domain))
    with pytest.raises(AssertionError, match="nothing to check"):
        assert_equivariant(conv(g.adjacency("sym", self_loops=True)), noise(g.Graph([[0], [1]])))
    with pytest.raises(AssertionError, match="nothing to check"):
        assert_equivariant(conv(), noise(g.Grid(1, 1)))


def test_equivariant_rejects_nan_wherever_it_comes():
    class Second(g.Conv):
        calls = 0

        def _run(self, plan, receiver: Tensor, sender: Tensor, parts, state) -> Tensor:
            self.calls += 1
            return super()._run(plan, receiver, sender, parts, state) * (
                float("nan") if self.calls == 3 else 1.0
            )

    layer = Second(2, 3, g.lift(3, group=g.C(4))).double()
    with pytest.raises(AssertionError, match="off by inf"):
        assert_equivariant(layer, noise(g.Grid(5, 5, periodic=True)))


class Numbered(nn.Module):
    """A module that reads the names of the nodes."""

    def forward(self, s: g.Signal) -> g.Signal:
        return g.Signal(s.x + torch.arange(s.x.shape[1]).to(s.x)[:, None], s.domain)


class First(nn.Module):
    """A summary that looks at node 0 only."""

    def forward(self, s: g.Signal) -> g.Signal:
        return g.Signal(s.x[:, :1], g.Complete(1))


NAMELESS = [g.Graph([[0, 1, 2], [1, 2, 3]], 5), g.Complete(4), g.Batch([g.Chain(2), g.Complete(3)])]


@pytest.mark.parametrize("domain", NAMELESS, ids=str)
def test_relabels(domain):
    assert_permutation_equivariant(conv(g.adjacency("sym", self_loops=True)), noise(domain))
    for fault in (Numbered(), First()):
        with pytest.raises(AssertionError, match="relabelling changes the answer"):
            assert_permutation_equivariant(fault, noise(domain))
    if domain.members is None:
        assert_permutation_equivariant(g.Readout(), noise(domain))


def test_relabels_that_check_nothing():
    layer = conv(g.adjacency())
    for s, options in (
        (noise(g.Graph([[0], [1]])), {"permutations": 0}),
        (noise(g.Complete(1)), {}),
        (g.Signal(torch.zeros(0, 2, 2, dtype=torch.float64), g.Graph([[0], [1]])), {}),
    ):
        with pytest.raises(AssertionError, match="nothing to check"):
            assert_permutation_equivariant(layer, s, **options)
    pair = noise(g.Graph([[0], [1]]))
    with pytest.raises(AssertionError, match="relabelling changes the answer"):
        assert_permutation_equivariant(Numbered(), pair, permutations=1)


def test_parity_that_compares_nothing():
    layer = conv(g.past())
    with pytest.raises(AssertionError, match="nothing to compare: Conv.* runs on edges alone"):
        assert_parity(layer, noise(g.Chain(4)))
    assert layer.lowering == "auto"


def test_lowered_to():
    assert_lowered_to("lattice", conv(), noise(GRID))
    assert_lowered_to("spmm", conv(g.adjacency("sym", self_loops=True)), noise(g.Graph([[0], [1]])))
    with pytest.raises(AssertionError, match="ran on lattice, not on spmm"):
        assert_lowered_to("spmm", conv(), noise(GRID))
    with pytest.raises(AssertionError, match="ran on lattice, not on mean"):
        assert_lowered_to("mean", conv(), noise(GRID))
    with pytest.raises(AssertionError, match="ran on nothing, not on mean"):
        assert_lowered_to("mean", g.BatchNorm(2).double(), noise(GRID))


def test_lowered_to_sees_what_ran_not_what_explain_says():
    class Liar(g.Conv):
        def explain(self, sender, target=None):
            return super().explain(sender, target)._replace(lowering="spmm")

    layer = Liar(2, 3, g.window(3)).double()
    assert layer.explain(GRID).lowering == "spmm"
    with pytest.raises(AssertionError, match="ran on lattice"):
        assert_lowered_to("spmm", layer, noise(GRID))


def test_recorded_sees_every_verb():
    chain = g.Chain(4)
    layers = [
        conv(g.window(3, axes=1)),
        g.Attention(2, g.all_pairs(), heads=1).double(),
        g.Recurrent(2, 2).double(),
        g.Message(lambda x_i, x_j, e_ij: x_j, g.previous()),
        g.Readout(),
    ]
    with record_lowerings() as ran:
        for layer in layers:
            layer(noise(chain))
    assert ran == ["lattice", "sdpa", "rnn", "segment", "blocks"]
    layers[0](noise(chain))
    assert len(ran) == 5, "nothing is recorded outside the block"


def test_outcome_takes_any_upstream_gradient():
    layer, s = conv(), noise(GRID)
    _, one = outcome(layer, s, upstream=torch.ones(2, 20, 3, dtype=torch.float64))
    assert one["bias"].tolist() == [40.0] * 3 and re.fullmatch("input 0", next(iter(one)))
    y, again = outcome(layer, s)
    assert y.grad_fn is None and again["weight"].equal(outcome(layer, s)[1]["weight"])


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (lambda: assert_parity(conv(), g.Chain(4)), "assert_parity.*a Chain; give a Sig"),
        (lambda: assert_parity(conv()), "assert_parity.*no signal; give a Signal"),
        (lambda: assert_parity(g.Dropout(), noise(GRID)), "a Dropout; give a layer"),
        (lambda: assert_lowered_to("edges", conv(), GRID), "assert_lowered_to.*a Grid; give"),
        (lambda: outcome(conv(), noise(GRID).x), "outcome.*a Tensor; give a Signal"),
        (lambda: assert_equivariant(conv(), GRID), "assert_equivariant.*a Grid; give"),
        (
            lambda: assert_permutation_equivariant(conv(), GRID),
            "assert_permutation_equivariant.*a Grid; give",
        ),
    ],
)
def test_checks_refuse_what_they_cannot_check(check, words):
    with pytest.raises(g.GeodlError, match=words):
        check()
